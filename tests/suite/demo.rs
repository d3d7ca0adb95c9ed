//! `sealgate demo`: everything at once, and the curl line that proves it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use testbed::{eventually, free_port, sealgate_binary};

/// Runs the demonstration once, does what it says, and ends it by a signal: Ctrl-C, or the end of its
/// terminal.
fn demonstrate(port: u16, signal: &str) {
    let mut child = Command::new(sealgate_binary())
        .args(["demo", "--port", &port.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("sealgate can be started");
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let line = lines
        .find(|line| line.trim_start().starts_with("curl --cacert"))
        .expect("a curl line");
    let output = Command::new("sh")
        .args(["-c", &format!("{line} --silent --show-error --max-time 30")])
        .output();
    let output = output.expect("a shell is there");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
    let told = Command::new("kill")
        .args(["-s", signal, &child.id().to_string()])
        .status();
    assert!(told.is_ok_and(|status| status.success()));
    let status = eventually("the demonstration ends", Duration::from_secs(60), || {
        child.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(0));
    let rest: Vec<_> = lines.collect();
    let ca = line.split_whitespace().nth(2).expect("a file of the CA");
    assert!(
        !std::path::Path::new(ca).exists(),
        "the scratch directory goes with it: {rest:?}"
    );
}

#[test]
fn the_demonstration_works_twice() {
    let port = free_port();
    demonstrate(port, "INT");
    demonstrate(port, "HUP");
}

#[test]
fn a_taken_port_is_said_plainly() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(sealgate_binary())
        .args(["demo", "--port", &port])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&port) && said.contains("--port"), "{said}");
}
