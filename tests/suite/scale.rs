//! Much of everything: bodies of gigabytes, ten thousand connections, ten thousand certificates.

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use testbed::{Authority, Balancer, Nginx, Testbed, TlsClient, curl};

/// Kilobytes of memory that the process has resident now (`VmRSS`) or had at most (`VmHWM`).
fn memory(pid: u32, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn import(testbed: &Testbed, authority: &Authority) {
    testbed.imported("a.example.com", &authority.issue(&["a.example.com"]));
}

#[test]
fn two_gibibytes_each_way_in_flat_memory() {
    const SIZE: u64 = 2 << 30;
    let (testbed, authority) = (Testbed::new(), Authority::new());
    import(&testbed, &authority);
    let file = fs::File::create(testbed.path().join("big")).unwrap();
    file.set_len(SIZE).unwrap();
    let server = format!(
        "root {}; location /upload {{ return 200; }} location / {{ }}",
        testbed.path().display()
    );
    let target = Nginx::start(testbed.path(), "target", &server);
    let sink = Sink::start();
    let mut balancer = testbed.start(&format!(
        "version: 1
listeners:
  https: {{ bind: 127.0.0.1:0, tls: {{ policy: modern, certificates: [\"*\"] }} }}
rules:
  - {{ when: {{ method: PUT }}, forward: sink }}
  - {{ forward: files }}
target_groups:
  files: {{ targets: [\"{}\"], health_check: {{ path: /upload }} }}
  sink: {{ targets: [\"{}\"] }}
",
        target.address(),
        sink.0
    ));
    let address = balancer.address("https");
    let root = testbed
        .write("root.pem", authority.root_pem())
        .display()
        .to_string();
    let resolve = format!("a.example.com:{}:127.0.0.1", address.port());
    let url = |path: &str| format!("https://a.example.com:{}{path}", address.port());
    let big = testbed.path().join("big").display().to_string();
    let before = memory(balancer.process().pid(), "VmRSS");
    for version in ["--http1.1", "--http2"] {
        let common = [
            "--max-time",
            "600",
            "--cacert",
            &root,
            "--resolve",
            &resolve,
            version,
            "-o",
            "/dev/null",
        ];
        let down = common.iter().copied().chain(["-w", "%{size_download}"]);
        assert_eq!(curl(down.chain([url("/big").as_str()])), SIZE.to_string());
        let up = common
            .iter()
            .copied()
            .chain(["-w", "%{size_upload} %{http_code}", "-T", &big]);
        assert_eq!(
            curl(up.chain([url("/upload").as_str()])),
            format!("{SIZE} 200")
        );
    }
    let peak = memory(balancer.process().pid(), "VmHWM");
    println!("2 GiB down and up, twice: {before} KiB before, {peak} KiB at most");
    assert!(peak < before + 32 * 1024, "{before} KiB grew to {peak} KiB");
}

/// A target that reads whatever comes and answers 200 at its end.
struct Sink(std::net::SocketAddr);

impl Sink {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || swallow(stream));
            }
        });
        Self(address)
    }
}

/// One request: counts the body by its length, or up to the last chunk.
fn swallow(mut stream: std::net::TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&head).to_lowercase();
    let length = text.lines().find_map(|line| {
        line.strip_prefix("content-length: ")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    let mut buffer = vec![0; 1 << 16];
    let mut seen = 0;
    let mut tail = Vec::new();
    loop {
        let done = match length {
            Some(length) => seen >= length,
            None => {
                text.contains("chunked") && tail.ends_with(b"0\r\n\r\n")
                    || !text.contains("chunked")
            }
        };
        if done {
            break;
        }
        let Ok(read @ 1..) = stream.read(&mut buffer) else {
            return;
        };
        seen += read as u64;
        tail.extend_from_slice(&buffer[read.saturating_sub(5)..read]);
        tail.drain(..tail.len().saturating_sub(5));
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

#[test]
fn ten_thousand_idle_connections() {
    const CONNECTIONS: usize = 10_000;
    let (testbed, authority) = (Testbed::new(), Authority::new());
    import(&testbed, &authority);
    let mut balancer = testbed.start(
        "version: 1
max_connections: 20000
listeners:
  https:
    bind: 127.0.0.1:0
    tls: { policy: modern, certificates: [\"*\"] }
    limits: { idle_timeout: 10m }
    action: { respond: { status: 200, body: fine } }
",
    );
    let address = balancer.address("https");
    raise_open_files();
    let client = TlsClient::new(authority.root_pem());
    let mut sessions = vec![client.connect(address, "a.example.com").unwrap()];
    let before = memory(balancer.process().pid(), "VmRSS");
    sessions.extend((1..CONNECTIONS).map(|_| client.connect(address, "a.example.com").unwrap()));
    let after = memory(balancer.process().pid(), "VmRSS");
    let each = (after - before) as f64 / (CONNECTIONS - 1) as f64;
    println!("{CONNECTIONS} idle TLS connections: {each:.1} KiB each");
    for session in sessions.iter_mut().step_by(997) {
        assert_eq!(session.get("a.example.com", "/").unwrap().body, "fine");
    }
    assert_eq!(
        balancer.status()["listeners"][0]["connections"],
        CONNECTIONS
    );
}

/// The client's end of each connection is an open file of this process.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, limit).expect("a process may use what it is allowed");
    assert!(
        most.is_none_or(|most| most > 10_500),
        "only {most:?} open files are allowed: raise `ulimit -Hn`"
    );
}

#[test]
fn ten_thousand_certificates() {
    const ENTRIES: usize = 10_000;
    let (testbed, authority) = (Testbed::new(), Authority::new());
    let store = testbed::open_store(&testbed);
    let start = Instant::now();
    for at in 0..ENTRIES {
        testbed::import(
            &store,
            &format!("n{at}.example.com"),
            &authority.issue(&[&format!("n{at}.example.com")]),
        );
    }
    println!(
        "{ENTRIES} certificates issued and sealed in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    drop(store);
    let yaml = "version: 1
listeners:
  https:
    bind: 127.0.0.1:0
    tls: { policy: modern, certificates: [\"*\"] }
    action: { respond: { status: 200, body: fine } }
";
    let empty = Testbed::new();
    let mut bare = empty.start(yaml);
    let baseline = memory(bare.process().pid(), "VmRSS");
    let start = Instant::now();
    let mut balancer = testbed.start(yaml);
    let wall = start.elapsed().as_secs_f64();
    let loaded = memory(balancer.process().pid(), "VmRSS");
    let cpu = cpu_seconds(&mut balancer);
    println!(
        "{ENTRIES} certificates: started in {wall:.1} s ({cpu:.1} s CPU with unsealing), {} KiB more memory, {:.1} KiB each",
        loaded - baseline,
        (loaded - baseline) as f64 / ENTRIES as f64
    );
    let address = balancer.address("https");
    let client = TlsClient::new(authority.root_pem());
    for at in (0..ENTRIES).step_by(997) {
        client
            .connect(address, &format!("n{at}.example.com"))
            .unwrap();
    }
    assert!(testbed.ok(["store", "verify"]).contains("10000"));
}

/// CPU time of the process so far, user and system.
fn cpu_seconds(balancer: &mut Balancer<'_>) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", balancer.process().pid())).unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

#[test]
fn a_client_that_leaves_in_the_middle_stops_the_work() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    import(&testbed, &authority);
    let file = fs::File::create(testbed.path().join("big")).unwrap();
    file.set_len(8 << 30).unwrap();
    let server = format!("root {};", testbed.path().display());
    let target = Nginx::start(testbed.path(), "target", &server);
    let balancer = testbed.start(&format!(
        "version: 1
listeners:
  https: {{ bind: 127.0.0.1:0, tls: {{ policy: modern, certificates: [\"*\"] }} }}
rules: [ {{ forward: files }} ]
target_groups:
  files: {{ targets: [\"{}\"], on_all_unhealthy: forward }}
",
        target.address()
    ));
    let address = balancer.address("https");
    let mut session = TlsClient::new(authority.root_pem())
        .connect(address, "a.example.com")
        .unwrap();
    session
        .send("GET /big HTTP/1.1\r\nhost: a.example.com\r\n\r\n")
        .unwrap();
    let mut some = vec![0; 1 << 20];
    session.stream().read_exact(&mut some).unwrap();
    drop(session);
    testbed::eventually("no request is in flight", Duration::from_secs(60), || {
        (balancer.status()["target_groups"][0]["targets"][0]["in_flight"] == 0).then_some(())
    });
}
