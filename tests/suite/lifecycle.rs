//! Starting, reloading and leaving: signals, drains, and what is told about them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use testbed::{Authority, Testbed, TlsClient, curl, eventually};

fn with_certificate(testbed: &Testbed, authority: &Authority) {
    testbed.imported("a.example.com", &authority.issue(&["a.example.com"]));
}

fn yaml(body: &str, rest: &str) -> String {
    format!(
        "version: 1
admin: {{ http: \"127.0.0.1:0\" }}
listeners:
  https:
    bind: 127.0.0.1:0
    tls: {{ policy: modern, certificates: [\"*\"] }}
    action: {{ respond: {{ status: 200, body: {body} }} }}
{rest}"
    )
}

#[test]
fn a_changed_file_and_sighup_put_a_new_configuration_in_force() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    with_certificate(&testbed, &authority);
    let mut balancer = testbed.start(&yaml("one", ""));
    let address = balancer.address("https");
    let client = TlsClient::new(authority.root_pem());
    let mut old = client.connect(address, "a.example.com").unwrap();
    assert_eq!(old.get("a.example.com", "/").unwrap().body, "one");
    testbed.write("sealgate.yaml", yaml("two", ""));
    let body = || {
        client
            .connect(address, "a.example.com")
            .unwrap()
            .get("a.example.com", "/")
            .unwrap()
            .body
    };
    eventually(
        "the changed file is in force",
        Duration::from_secs(60),
        || (body() == "two").then_some(()),
    );
    assert_eq!(
        old.get("a.example.com", "/").unwrap().body,
        "two",
        "the connection lives on"
    );
    testbed.write("sealgate.yaml", yaml("three", ""));
    balancer.process().signal("HUP");
    eventually("SIGHUP reloads", Duration::from_secs(60), || {
        (body() == "three").then_some(())
    });
    assert!(
        client.connect(address, "a.example.com").unwrap().resumed(),
        "tickets outlive a reload"
    );
}

#[test]
fn a_listener_comes_and_goes_with_a_reload() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    with_certificate(&testbed, &authority);
    let balancer = testbed.start(&yaml("one", ""));
    let second = "  second:\n    bind: 127.0.0.1:0\n    action: { redirect: https }\n";
    testbed.write("sealgate.yaml", yaml("one", second));
    testbed.ok(["reload"]);
    let address = balancer.address("second");
    let location = curl([
        "-o",
        "/dev/null",
        "-w",
        "%{redirect_url}",
        &format!("http://{address}/a?b=c"),
    ]);
    assert!(
        location.starts_with("https://127.0.0.1") && location.ends_with("/a?b=c"),
        "{location}"
    );
    testbed.write("sealgate.yaml", yaml("one", ""));
    testbed.ok(["reload"]);
    eventually("the listener is gone", Duration::from_secs(60), || {
        std::net::TcpStream::connect(address).is_err().then_some(())
    });
}

#[test]
fn sigterm_finishes_what_is_in_flight() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    with_certificate(&testbed, &authority);
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let rest = format!(
        "rules: [ {{ forward: slow }} ]\ntarget_groups:\n  slow: {{ targets: [\"{}\"] }}\n",
        target.local_addr().unwrap()
    );
    let mut balancer = testbed.start(&yaml("one", &rest));
    let client = TlsClient::new(authority.root_pem());
    let address = balancer.address("https");
    let mut idle = client.connect(address, "a.example.com").unwrap();
    let mut busy = client.connect(address, "a.example.com").unwrap();
    busy.send("GET / HTTP/1.1\r\nhost: a.example.com\r\n\r\n")
        .unwrap();
    // The health check's connections come to the same target: the request is the one with our host.
    let mut held = eventually(
        "the request has reached the target",
        Duration::from_secs(60),
        || {
            let (mut stream, _) = target.accept().unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or(0);
            let text = String::from_utf8_lossy(&head[..read]).into_owned();
            if text.contains("a.example.com") {
                return Some(stream);
            }
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            None
        },
    );
    balancer.process().signal("TERM");
    let refused = thread::spawn(move || {
        eventually("nobody is let in any more", Duration::from_secs(60), || {
            std::net::TcpStream::connect(address).is_err().then_some(())
        });
    });
    refused.join().unwrap();
    assert!(balancer.process().ended().is_none());
    held.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate")
        .unwrap();
    assert_eq!(busy.answer().unwrap().body, "late");
    assert_eq!(
        balancer.process().wait(Duration::from_secs(60)).code(),
        Some(0)
    );
    assert!(idle.get("a.example.com", "/").is_err());
}

#[test]
fn health_and_metrics_are_told() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    with_certificate(&testbed, &authority);
    let balancer = testbed.start(&yaml("one", ""));
    let mut session = TlsClient::new(authority.root_pem())
        .connect(balancer.address("https"), "a.example.com")
        .unwrap();
    session.get("a.example.com", "/").unwrap();
    let admin = balancer.status()["admin_http"]
        .as_str()
        .expect("its address")
        .to_owned();
    assert_eq!(
        curl([format!("http://{admin}/livez").as_str()]).trim(),
        "live"
    );
    assert_eq!(
        curl([format!("http://{admin}/readyz").as_str()]).trim(),
        "ready"
    );
    let metrics = curl([
        "--header",
        "accept: application/openmetrics-text",
        format!("http://{admin}/metrics").as_str(),
    ]);
    for name in [
        "sealgate_requests_total",
        "sealgate_handshakes_total",
        "sealgate_certificate_not_after",
    ] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    assert!(metrics.contains(&session.serial()), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
}
