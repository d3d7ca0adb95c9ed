//! Requests on their way to real targets: re-encryption, tunnels, rules, headers, failures.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use testbed::{Authority, Nginx, Testbed, TlsClient, curl, eventually};

fn with_certificate(testbed: &Testbed, authority: &Authority) {
    testbed.imported("a.example.com", &authority.issue(&["a.example.com"]));
}

const HTTPS: &str = "version: 1
listeners:
  https:
    bind: 127.0.0.1:0
    tls: { policy: modern, certificates: [\"*\"] }
";

/// A target that does with each connection what it is told.
fn target(each: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = each.clone();
            thread::spawn(move || each(stream));
        }
    });
    address
}

/// Reads up to the end of a head.
fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

fn respond(stream: &mut TcpStream, body: &str) {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes());
}

#[test]
fn targets_are_spoken_to_over_tls_and_verified() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    with_certificate(&testbed, &authority);
    let internal = Authority::new();
    let (chain, key) = internal
        .issue(&["api.internal"])
        .write(testbed.path(), "internal");
    let server =
        "ssl_protocols TLSv1.3; location / { return 200 \"$ssl_protocol $ssl_server_name\"; }";
    let nginx = Nginx::start_tls(testbed.path(), "target", &chain, &key, server);
    testbed.write("internal-ca.pem", internal.root_pem());
    testbed.write("other-ca.pem", authority.root_pem());
    testbed.ok(["trust", "import", "internal-ca", "--ca", "internal-ca.pem"]);
    let yaml = |name: &str, ca: &str| {
        format!(
            "{HTTPS}rules: [ {{ forward: api }} ]
target_groups:
  api: {{ protocol: https, tls: {{ server_name: {name}, ca: {ca} }}, targets: [\"{}\"] }}
",
            nginx.address()
        )
    };
    let balancer = testbed.start(&yaml("api.internal", "internal-ca"));
    let client = TlsClient::new(authority.root_pem());
    let address = balancer.address("https");
    let get = || {
        let mut session = client.connect(address, "a.example.com").unwrap();
        session.get("a.example.com", "/").unwrap()
    };
    assert_eq!(get().body, "TLSv1.3 api.internal");
    for (name, ca) in [
        ("other.internal", "internal-ca"),
        ("api.internal", "{ file: other-ca.pem }"),
    ] {
        testbed.write("sealgate.yaml", yaml(name, ca));
        testbed.ok(["reload"]);
        let answer = get();
        assert_eq!(answer.status, 502, "{name} {ca}: {answer:?}");
    }
}

#[test]
fn a_websocket_goes_through_and_h2c_does_not() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    with_certificate(&testbed, &authority);
    let echo = target(|mut stream| {
        let head = read_head(&mut stream).to_lowercase();
        if !head.contains("upgrade: websocket") {
            return respond(&mut stream, "no upgrade");
        }
        let _ = stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        );
        let mut bytes = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            let _ = stream.write_all(&bytes[..read]);
        }
    });
    let balancer = testbed.start(&format!(
        "{HTTPS}rules: [ {{ forward: echo }} ]\ntarget_groups: {{ echo: {{ targets: [\"{echo}\"] }} }}\n"
    ));
    let client = TlsClient::new(authority.root_pem());
    let address = balancer.address("https");
    let upgrade = |token: &str| {
        let mut session = client.connect(address, "a.example.com").unwrap();
        session
            .send(&format!(
                "GET /chat HTTP/1.1\r\nhost: a.example.com\r\nconnection: Upgrade\r\nupgrade: {token}\r\n\
                 sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ))
            .unwrap();
        session
    };
    let mut session = upgrade("websocket");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        session.stream().read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    testbed.ok(["reload"]);
    session.send("hello").unwrap();
    let mut echoed = [0; 5];
    session.stream().read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"hello", "a reload does not cut it");
    assert_eq!(upgrade("h2c").answer().unwrap().body, "no upgrade");
}

#[test]
fn targets_learn_who_asks_and_clients_cannot_lie() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    with_certificate(&testbed, &authority);
    let mirror = target(|mut stream| {
        loop {
            let head = read_head(&mut stream);
            if head.is_empty() {
                return;
            }
            respond(&mut stream, &head);
        }
    });
    let balancer = testbed.start(&format!(
        "{HTTPS}  proxied:
    bind: 127.0.0.1:0
    proxy_protocol: true
  plain:
    bind: 127.0.0.1:0
    action: {{ redirect: https }}
trusted_proxies: [127.0.0.2/32, 127.0.0.1/32]
rules:
  - {{ listener: https, when: {{ path: /fixed }}, respond: {{ status: 418, body: short and stout }} }}
  - {{ listener: https, forward: mirror, request_headers: {{ set: {{ x-rule: applied }} }} }}
  - {{ listener: proxied, forward: mirror }}
target_groups: {{ mirror: {{ targets: [\"{mirror}\"] }} }}
"
    ));
    let root = testbed
        .write("root.pem", authority.root_pem())
        .display()
        .to_string();
    let port = balancer.address("https").port();
    let resolve = format!("a.example.com:{port}:127.0.0.1");
    let get = |path: &str, more: &[&str]| {
        let url = format!("https://a.example.com:{port}{path}");
        let common = [
            "--cacert",
            &root,
            "--resolve",
            &resolve,
            &url,
            "--path-as-is",
        ];
        curl(common.into_iter().chain(more.iter().copied())).to_lowercase()
    };
    for version in ["--http1.1", "--http2"] {
        let seen = get(
            "/a/./b/../%63?q=1",
            &[version, "-H", "Connection: x-forwarded-for, close"],
        );
        assert!(seen.starts_with("get /a/c?q=1 http/1.1\r\n"), "{seen}");
        assert!(seen.contains("x-forwarded-for: 127.0.0.1\r\n"), "{seen}");
        assert!(seen.contains("x-forwarded-proto: https\r\n"), "{seen}");
        assert!(seen.contains("x-rule: applied\r\n"), "{seen}");
        assert!(seen.contains("x-request-id: "), "{seen}");
        assert!(get("/fixed", &[version]).contains("short and stout"));
    }
    let proxied = format!("http://{}/", balancer.address("proxied"));
    let seen = curl(["--haproxy-protocol", &proxied]).to_lowercase();
    assert!(seen.contains("x-forwarded-proto: http\r\n"), "{seen}");
    let plain = format!("http://{}/x?y", balancer.address("plain"));
    let location = curl([
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{redirect_url}",
        &plain,
    ]);
    assert!(location.starts_with("308 https://127.0.0.1"), "{location}");
}

#[test]
fn a_target_that_dies_is_left_out_and_said_so() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    with_certificate(&testbed, &authority);
    let one = Nginx::start(testbed.path(), "one", "location / { return 200 one; }");
    let two = Nginx::start(testbed.path(), "two", "location / { return 200 two; }");
    let balancer = testbed.start(&format!(
        "{HTTPS}access_log: stdout
rules: [ {{ forward: pair }} ]
target_groups:
  pair:
    targets: [\"{}\", \"{}\"]
    health_check: {{ path: /, interval: 200ms, unhealthy: 1 }}
",
        one.address(),
        two.address()
    ));
    balancer.wait_healthy();
    let client = TlsClient::new(authority.root_pem());
    let mut session = client
        .connect(balancer.address("https"), "a.example.com")
        .unwrap();
    drop(one);
    for _ in 0..20 {
        let answer = session.get("a.example.com", "/").unwrap();
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "two"),
            "{}",
            answer.head
        );
    }
    drop(two);
    eventually("nobody is healthy", Duration::from_secs(60), || {
        let status = balancer.status();
        let targets = status["target_groups"][0]["targets"].as_array().cloned()?;
        targets
            .iter()
            .all(|target| target["health"] == "unhealthy")
            .then_some(())
    });
    let answer = session.get("a.example.com", "/").unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body.lines().count(), 1, "{answer:?}");
    eventually("the log says why", Duration::from_secs(60), || {
        balancer.log().contains("no_healthy_target").then_some(())
    });
    let explained = testbed.run([
        "explain",
        &format!(
            "https://a.example.com:{}/",
            balancer.address("https").port()
        ),
    ]);
    assert_eq!(explained.status, 1, "{explained:?}");
}

#[test]
fn ambiguous_requests_never_reach_a_target() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    with_certificate(&testbed, &authority);
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = seen.clone();
    let counting = target(move |mut stream| {
        while !read_head(&mut stream).is_empty() {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            respond(&mut stream, "reached");
        }
    });
    let balancer = testbed.start(&format!(
        "{HTTPS}rules: [ {{ forward: counting }} ]\ntarget_groups: {{ counting: {{ targets: [\"{counting}\"] }} }}\n"
    ));
    let client = TlsClient::new(authority.root_pem());
    let address = balancer.address("https");
    for head in [
        "POST / HTTP/1.1\r\nhost: a.example.com\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a.example.com\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nhost: a.example.com\r\ncontent-length: +4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nhost: a.example.com\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a.example.com\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.example.com\r\nx: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\nhost: a.example.com\n\n",
        "GET / HTTP/1.1\r\nhost: a.example.com\r\nx: a\rb\r\n\r\n",
        "GET https://a.example.com/ HTTP/1.1\r\nhost: b.example.com\r\n\r\n",
        "GET /%2e%2e%2fetc HTTP/1.1\r\nhost: a.example.com\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut session = client.connect(address, "a.example.com").unwrap();
        session.send(head).unwrap();
        let answer = session.answer().unwrap();
        assert!(matches!(answer.status, 400 | 501), "{head:?}: {answer:?}");
    }
    let mut session = client.connect(address, "a.example.com").unwrap();
    assert_eq!(session.get("b.example.com", "/").unwrap().status, 421);
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 0);
}
