//! A balancer in bad surroundings: closed pipes, copies of its state, sockets and files that are others'.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use testbed::{Authority, Balancer, Process, Testbed, TlsClient, curl, eventually};

const LIMIT: Duration = Duration::from_secs(60);
const REQUESTS: usize = 200;

fn yaml(body: &str, rest: &str) -> String {
    format!(
        "version: 1
listeners:
  https:
    bind: 127.0.0.1:0
    tls: {{ policy: modern, certificates: [\"*\"] }}
    action: {{ respond: {{ status: 200, body: {body} }} }}
{rest}"
    )
}

fn serving(testbed: &Testbed) -> bool {
    testbed
        .run(["status", "--output", "json"])
        .stdout
        .contains("\"serving\"")
}

#[test]
fn a_log_that_nobody_reads_harms_nothing() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    testbed.write("sealgate.yaml", yaml("fine", "access_log: stdout\n"));
    let mut command = testbed.command(["run", "-c", "sealgate.yaml"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("sealgate can be started");
    // Both ends of what it says are closed.
    drop((child.stdout.take(), child.stderr.take()));
    let mut process = Process::of(child);
    eventually("it serves", LIMIT, || serving(&testbed).then_some(()));
    let imported = testbed.imported("a.example.com", &authority.issue(&["a.example.com"]));
    assert_eq!(imported["publication"]["failed"], false, "{imported}");
    testbed.ok(["reload"]);
    testbed.ok(["drain"]);
    assert_eq!(process.wait(LIMIT).code(), Some(0));
}

#[test]
fn a_full_disk_loses_lines_of_the_access_log_and_no_request() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    testbed.imported("a.example.com", &authority.issue(&["a.example.com"]));
    let balancer = testbed.start(&yaml(
        "fine",
        "access_log: { file: /dev/full }\nadmin: { http: 127.0.0.1:0 }\n",
    ));
    let client = TlsClient::new(authority.root_pem());
    let mut session = client
        .connect(balancer.address("https"), "a.example.com")
        .unwrap();
    for _ in 0..REQUESTS {
        assert_eq!(session.get("a.example.com", "/").unwrap().body, "fine");
    }
    let admin = balancer.status()["admin_http"].clone();
    let metrics = format!("http://{}/metrics", admin.as_str().expect("its address"));
    let counted = format!("sealgate_access_log_lost_lines_total {REQUESTS}");
    eventually("all lines are counted as lost", LIMIT, || {
        curl([metrics.as_str()]).contains(&counted).then_some(())
    });
    assert!(balancer.log().contains("lines of the access log are lost"));
}

#[test]
fn an_idle_balancer_answers_before_it_ends() {
    for arguments in [&["drain"][..], &["drain", "--no-wait"]] {
        let testbed = Testbed::new();
        let mut balancer = testbed.start(&yaml("fine", ""));
        testbed.ok(arguments);
        assert_eq!(balancer.process().wait(LIMIT).code(), Some(0));
        assert!(testbed.refused(["status"]).contains("no balancer runs"));
    }
}

#[test]
fn a_copy_of_the_state_does_not_steer_the_original() {
    let testbed = Testbed::new();
    let balancer = testbed.start(&yaml("fine", ""));
    let copied = Command::new("cp")
        .args(["-a", "state", "copy"])
        .current_dir(testbed.path())
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
    let copy = testbed.path().join("copy");
    for command in ["status", "reload", "drain"] {
        let said = Command::new(testbed::sealgate_binary())
            .args([command, "--state"])
            .arg(&copy)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(1), "{command}: {stderr}");
        assert!(stderr.contains("no balancer runs"), "{command}: {stderr}");
    }
    assert_eq!(balancer.status()["phase"], "serving");
}

#[test]
fn two_balancers_do_not_share_a_socket() {
    let (one, other) = (Testbed::new(), Testbed::new());
    let socket = format!(
        "admin: {{ socket: {}/shared.sock }}\n",
        one.path().display()
    );
    let first = one.start(&yaml("one", &socket));
    other.write("sealgate.yaml", yaml("other", &socket));
    let mut second = Balancer::launch(&other, "sealgate.yaml");
    assert_eq!(second.process().wait(LIMIT).code(), Some(1));
    assert!(
        second.log().contains("another process listens"),
        "{}",
        second.log()
    );
    assert_eq!(first.status()["phase"], "serving");
}

#[test]
fn a_killed_balancer_is_no_running_one() {
    let testbed = Testbed::new();
    let mut balancer = testbed.start(&yaml("fine", ""));
    balancer.process().signal("KILL");
    balancer.process().wait(LIMIT);
    assert!(testbed.refused(["status"]).contains("no balancer runs"));
    testbed.ok(["store", "verify"]);
    drop(balancer);
    let again = testbed.start(&yaml("fine", ""));
    assert_eq!(again.status()["phase"], "serving");
}

#[test]
fn an_edit_and_a_signal_during_the_start_are_obeyed() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    testbed.imported("a.example.com", &authority.issue(&["a.example.com"]));
    // A target that accepts and never answers: the start waits for its first probe.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let group = format!(
        "target_groups: {{ silent: {{ targets: [\"{}\"], health_check: {{ path: /, interval: 60s, timeout: 30s }} }} }}\n",
        silent.local_addr().unwrap()
    );
    let rules = "rules: [ { when: { path: /silent }, forward: silent } ]\n";
    testbed.write("sealgate.yaml", yaml("old", &format!("{rules}{group}")));
    let mut balancer = Balancer::launch(&testbed, "sealgate.yaml");
    let (mut probe, _) = silent.accept().unwrap();
    testbed.write("sealgate.yaml", yaml("new", &format!("{rules}{group}")));
    balancer.process().signal("HUP");
    eventually("it serves", LIMIT, || serving(&testbed).then_some(()));
    let client = TlsClient::new(authority.root_pem());
    let address = balancer.address("https");
    eventually("the edit is in force", LIMIT, || {
        let mut session = client.connect(address, "a.example.com").ok()?;
        (session.get("a.example.com", "/").ok()?.body == "new").then_some(())
    });
    drop(probe.read(&mut [0]));
}

#[test]
fn what_would_wait_for_ever_is_refused() {
    let testbed = Testbed::new();
    let balancer = testbed.start(&yaml("fine", ""));
    let config = testbed.path().join("sealgate.yaml");
    let whole = fs::read(&config).unwrap();
    let fifo = |name: &str| {
        let made = Command::new("mkfifo")
            .arg(testbed.path().join(name))
            .status();
        assert!(made.is_ok_and(|status| status.success()));
    };
    fs::remove_file(&config).unwrap();
    fifo("sealgate.yaml");
    assert!(testbed.refused(["reload"]).contains("not a regular file"));
    assert_eq!(balancer.status()["phase"], "serving");
    fs::remove_file(&config).unwrap();
    fs::write(&config, &whole).unwrap();
    fifo("log");
    let log = format!("access_log: {{ file: {}/log }}\n", testbed.path().display());
    testbed.write("sealgate.yaml", yaml("fine", &log));
    assert!(testbed.refused(["reload"]).contains("access log"));
    testbed.write("sealgate.yaml", yaml("better", ""));
    testbed.ok(["reload"]);
    assert_eq!(balancer.status()["phase"], "serving");
}

#[test]
fn a_restored_directory_is_told_where_its_root_key_is() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    testbed.imported("a.example.com", &authority.issue(&["a.example.com"]));
    for (from, to) in [("state", "restored"), ("state.root.key", "kept.key")] {
        let moved = fs::rename(testbed.path().join(from), testbed.path().join(to));
        moved.expect("the scratch directory is writable");
    }
    let verify = |more: &[&str]| {
        Command::new(testbed::sealgate_binary())
            .args(["store", "verify", "--state", "restored"])
            .args(more)
            .current_dir(testbed.path())
            .output()
            .unwrap()
    };
    let refused = verify(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("state.root.key is missing"));
    assert_eq!(verify(&["--root-key", "kept.key"]).status.code(), Some(0));
}
