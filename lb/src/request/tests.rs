//! Requests over real sockets: scripted targets of raw TCP, and clients that read every byte.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64ct::Encoding;
use bytes::Bytes;
use config::{Config, HeaderEdits};
use http_body::Body;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::access_log::AccessLog;
use crate::testing;

/// A balancer with one worker in front of targets, and its access log.
struct Front {
    address: SocketAddr,
    balancer: Balancer,
    published: Arc<Published>,
    metrics: Arc<Metrics>,
    log: AccessLog,
    directory: tempfile::TempDir,
}

impl Front {
    async fn start(config: Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let metrics = Metrics::new(1);
        let file = config::AccessLog::File(directory.path().join("log"));
        let log = AccessLog::start(&file, metrics.access_log_lost.clone()).unwrap();
        let published = testing::publish(config, Some(log.clone()), &metrics);
        let shared = Arc::new(ArcSwap::from(published.clone()));
        let balancer = Balancer::new(shared, metrics.clone(), 0, [1, 2]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = published.config().listeners[0].clone();
        let serving = balancer.clone();
        tokio::spawn(async move {
            while let Ok((stream, client)) = listener.accept().await {
                let downstream = Arc::new(Downstream {
                    listener: Arc::new(limits.clone()),
                    client,
                    peer: client,
                    local: address,
                    accepted: Instant::now(),
                    tls: None,
                    told: OnceLock::new(),
                });
                tokio::spawn(connection(stream, downstream, serving.clone()));
            }
        });
        Self {
            address,
            balancer,
            published,
            metrics,
            log,
            directory,
        }
    }

    async fn to(targets: &[&TestTarget]) -> Self {
        Self::start(config(targets)).await
    }

    async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// One request on a connection of its own; all that comes back until it is closed.
    async fn ask(&self, request: &str) -> String {
        let mut client = self.client().await;
        client.send(request).await;
        client.rest().await
    }

    /// The lines of the access log, once there are `count` requests.
    async fn log(&self, count: u64) -> Vec<serde_json::Value> {
        while self.ended() < count {
            tokio::task::yield_now().await;
        }
        let log = self.log.clone();
        tokio::task::spawn_blocking(move || log.close())
            .await
            .unwrap();
        let text = std::fs::read_to_string(self.directory.path().join("log")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn ended(&self) -> u64 {
        let page = self.metrics.encode(
            &self.published,
            &certstore::CertTable::default(),
            Default::default(),
        );
        let ends = page
            .lines()
            .filter(|line| line.starts_with("sealgate_request_ends_total"));
        let counts = ends.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
        counts.sum()
    }
}

async fn connection(stream: TcpStream, downstream: Arc<Downstream>, balancer: Balancer) {
    let mut first = [0; 3];
    let h2 = matches!(stream.peek(&mut first).await, Ok(3) if &first == b"PRI");
    let service = service_fn(move |request| {
        let (balancer, downstream) = (balancer.clone(), downstream.clone());
        let request = Incoming::of(request);
        async move { Ok::<_, std::convert::Infallible>(balancer.serve(downstream, request).await) }
    });
    let io = TokioIo::new(stream);
    // How a connection ends is seen by its client.
    let _ = if h2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.serve_connection(io, service).await
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        server.serve_connection(io, service).with_upgrades().await
    };
}

fn config(targets: &[&TestTarget]) -> Config {
    let ports: Vec<_> = targets.iter().map(|target| target.address.port()).collect();
    testing::config(vec![testing::group(&ports)])
}

/// A client that speaks bytes.
struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let reading = self.0.read_to_end(&mut rest);
        // A reset is an end as well.
        let ended = tokio::time::timeout(Duration::from_secs(20), reading).await;
        assert!(
            ended.is_ok(),
            "the connection stays open: {}",
            String::from_utf8_lossy(&rest)
        );
        String::from_utf8(rest).unwrap()
    }

    async fn until(&mut self, end: &str) -> String {
        until(&mut self.0, end).await
    }
}

/// Reads until what was read ends so, or nothing more comes.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = String::new();
    while !seen.ends_with(end) {
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(1) => seen.push(byte[0].into()),
            _ => break,
        }
    }
    seen
}

/// A target that plays a script on each connection.
struct TestTarget {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl TestTarget {
    async fn start<F, P>(script: F) -> Self
    where
        F: Fn(usize, TcpStream) -> P + Send + 'static,
        P: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(number, stream));
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// Takes connections, and whatever comes over them.
    async fn silent() -> Self {
        Self::start(|_, mut stream| async move {
            until(&mut stream, "never").await;
        })
        .await
    }

    /// Says this after the first head, and then takes whatever comes.
    async fn saying(answer: &'static str) -> Self {
        Self::start(move |_, mut stream| async move {
            until(&mut stream, "\r\n\r\n").await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            until(&mut stream, "never").await;
        })
        .await
    }

    /// Answers every request without a body so.
    async fn answering(answer: &'static str) -> Self {
        Self::start(move |_, mut stream| async move {
            loop {
                let head = until(&mut stream, "\r\n\r\n").await;
                if head.is_empty() {
                    return;
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await
    }

    /// Answers every request without a body with the head that it saw.
    async fn echoing() -> Self {
        Self::start(|_, mut stream| async move {
            loop {
                let head = until(&mut stream, "\r\n\r\n").await;
                if head.is_empty() {
                    return;
                }
                let length = head.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{head}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await
    }

    /// Nobody listens there.
    async fn absent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

const GET: &str = "GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n";
const LAST_GET: &str = "GET /x HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_request_reaches_the_target_in_canonical_form() {
    let target = TestTarget::echoing().await;
    let front = Front::to(&[&target]).await;
    let answer = front
        .ask(
            "GET /a/../%78?q=%41 HTTP/1.1\r\nHost: A.Example.:80\r\nConnection: close, x-hop\r\n\
             x-hop: 1\r\nx-forwarded-for: 10.0.0.1\r\nexpect: 100-continue\r\nupgrade: h2c\r\n\r\n",
        )
        .await;
    let seen = answer.split("\r\n\r\n").nth(1).unwrap();
    assert!(seen.starts_with("GET /x?q=%41 HTTP/1.1\r\n"), "{seen}");
    for field in [
        "host: a.example:80",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: a.example:80",
    ] {
        assert!(seen.lines().any(|line| line == field), "{field}: {seen}");
    }
    for name in [
        "x-hop",
        "connection",
        "upgrade",
        "expect",
        "transfer-encoding",
    ] {
        assert!(!seen.contains(&format!("\n{name}:")), "{name}: {seen}");
    }
    let lines = front.log(1).await;
    let id = lines[0]["request_id"].as_str().unwrap();
    assert!(seen.contains(&format!("x-request-id: {id}\r\n")), "{seen}");
    assert_eq!(lines[0]["path"], "/a/../%78?q=%41");
    assert_eq!(lines[0]["end"], "done");
    assert_eq!(lines[0]["status"], 200);
    assert_eq!(lines[0]["target_group"], "g");
    assert_eq!(lines[0]["rule"], "listener http");
    assert_eq!(lines[0]["target"], target.address.to_string());
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let target = TestTarget::answering(OK).await;
    let front = Front::to(&[&target]).await;
    let mut client = front.client().await;
    for _ in 0..3 {
        client.send(GET).await;
        assert!(client.until("ok").await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(target.connections(), 1);
    let lines = front.log(3).await;
    let reused: Vec<_> = lines
        .iter()
        .map(|line| line["reused"].as_bool().unwrap())
        .collect();
    assert_eq!(reused, [false, true, true]);
    assert!(lines[0]["connect_us"].is_u64() && lines[1]["connect_us"].is_null());
}

/// A target whose first connection answers once, and is closed when the second request is there.
async fn forgetful() -> TestTarget {
    TestTarget::start(|number, mut stream| async move {
        until(&mut stream, "\r\n\r\n").await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        if number == 0 {
            until(&mut stream, "\r\n\r\n").await;
        } else {
            until(&mut stream, "never").await;
        }
    })
    .await
}

#[tokio::test]
async fn an_idempotent_request_on_a_stale_connection_is_sent_again() {
    let target = forgetful().await;
    let front = Front::to(&[&target]).await;
    let mut client = front.client().await;
    for _ in 0..2 {
        client.send(GET).await;
        assert!(client.until("ok").await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(target.connections(), 2);
    assert_eq!(front.log(2).await[1]["retries"], 1);
}

#[tokio::test]
async fn a_body_that_was_not_begun_is_sent_again() {
    let target = forgetful().await;
    let front = Front::to(&[&target]).await;
    let mut client = front.client().await;
    client.send(GET).await;
    client.until("ok").await;
    let head = "PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    client.send(head).await;
    let answer = client.until("ok").await;
    assert!(answer.contains("HTTP/1.1 200 "), "{answer}");
    assert_eq!(target.connections(), 2);
    let lines = front.log(2).await;
    assert_eq!(
        (&lines[1]["retries"], &lines[1]["status"]),
        (&1.into(), &200.into())
    );
}

#[tokio::test]
async fn another_request_on_a_stale_connection_is_not() {
    let target = forgetful().await;
    let front = Front::to(&[&target]).await;
    let mut client = front.client().await;
    client.send(GET).await;
    client.until("ok").await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("502 target_closed: "), "{answer}");
    assert_eq!(target.connections(), 1);
    assert_eq!(front.log(2).await[1]["end"], "target_closed");
}

#[tokio::test]
async fn a_first_request_on_a_connection_is_not_sent_again() {
    let target = TestTarget::start(|_, mut stream| async move {
        until(&mut stream, "\r\n\r\n").await;
    })
    .await;
    let front = Front::to(&[&target]).await;
    let answer = front.ask(LAST_GET).await;
    assert!(answer.contains("502 target_closed: "), "{answer}");
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn half_an_answer_is_not_asked_for_again() {
    let target = TestTarget::start(|number, mut stream| async move {
        until(&mut stream, "\r\n\r\n").await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        until(&mut stream, "\r\n\r\n").await;
        if number == 0 {
            stream.write_all(b"HTTP/1.1 200").await.unwrap();
        }
    })
    .await;
    let front = Front::to(&[&target]).await;
    let mut client = front.client().await;
    client.send(GET).await;
    client.until("ok").await;
    client.send(LAST_GET).await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn a_target_that_is_not_there_is_replaced_by_another() {
    let (absent, target) = (TestTarget::absent().await, TestTarget::answering(OK).await);
    let front = Front::to(&[&absent, &target]).await;
    for _ in 0..2 {
        let answer = front.ask(LAST_GET).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let lines = front.log(2).await;
    assert_eq!(lines[0]["retries"], 1);
    assert_eq!(lines[0]["target"], target.address.to_string());
    let alone = Front::to(&[&absent]).await;
    let answer = alone.ask(LAST_GET).await;
    assert!(answer.contains("502 connect_failed: "), "{answer}");
    let detail = alone.log(1).await[0]["detail"].to_string();
    assert!(detail.contains(&absent.address.to_string()), "{detail}");
    assert!(!answer.contains("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn a_slow_target_is_given_up() {
    let target = TestTarget::silent().await;
    let mut config = config(&[&target]);
    config.target_groups[0].limits.response_timeout = Duration::from_millis(50);
    let front = Front::start(config).await;
    let answer = front.ask(LAST_GET).await;
    assert!(answer.contains("504 target_timeout: "), "{answer}");
    let post = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n";
    for body in [
        "content-length: 1\r\n\r\nx",
        "transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    ] {
        let answer = front.ask(&format!("{post}{body}")).await;
        assert!(answer.contains("504 target_timeout: "), "{answer}");
    }
    let lines = front.log(3).await;
    assert!(lines.iter().all(|line| line["end"] == "target_timeout"));
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_said_to_be_none() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ] {
        let target = TestTarget::answering(answer).await;
        let front = Front::to(&[&target]).await;
        let seen = front.ask(LAST_GET).await;
        assert!(seen.contains("502 target_invalid: "), "{answer}: {seen}");
    }
}

#[tokio::test]
async fn an_endless_head_is_given_up() {
    let target = TestTarget::start(|_, mut stream| async move {
        until(&mut stream, "\r\n\r\n").await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream
            .write_all(b"x-field: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
            .await
            .is_ok()
        {}
    })
    .await;
    let front = Front::to(&[&target]).await;
    let answer = front.ask(LAST_GET).await;
    assert!(answer.contains("502 target_invalid: "), "{answer}");
}

#[tokio::test]
async fn a_truncated_answer_stays_truncated() {
    let target = TestTarget::start(|_, mut stream| async move {
        until(&mut stream, "\r\n\r\n").await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            .await
            .unwrap();
    })
    .await;
    let front = Front::to(&[&target]).await;
    let answer = front.ask(GET).await;
    assert!(answer.ends_with("half"), "{answer}");
    let lines = front.log(1).await;
    assert_eq!(lines[0]["end"], "target_truncated");
    assert_eq!(lines[0]["response_bytes"], 4);
}

#[tokio::test]
async fn a_target_that_falls_silent_is_cut() {
    let target = TestTarget::saying("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let mut config = config(&[&target]);
    config.listeners[0].limits.body_idle_timeout = Duration::from_millis(50);
    let front = Front::start(config).await;
    assert!(front.ask(GET).await.ends_with("half"));
    assert_eq!(front.log(1).await[0]["end"], "target_stalled");
}

#[tokio::test]
async fn bodiless_answers_have_no_body() {
    for (status, request) in [
        ("204 No Content", LAST_GET),
        ("304 Not Modified", LAST_GET),
        (
            "200 OK",
            "HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        ),
    ] {
        let target = TestTarget::start(move |_, mut stream| async move {
            loop {
                until(&mut stream, "\r\n\r\n").await;
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\nx: y\r\n\r\n");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let front = Front::to(&[&target]).await;
        let answer = front.ask(request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{answer}"
        );
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        let says_length = answer.contains("content-length: 5\r\n");
        assert_eq!(says_length, status == "200 OK", "{answer}");
        assert_eq!(front.log(1).await[0]["end"], "done");
        let again = front.published.groups()[0].targets()[0]
            .pool()
            .take(0, false);
        // Of a length that cannot be (RFC 9110, section 8.6) a body may follow.
        let kept = status != "204 No Content";
        assert_eq!(again.is_some(), kept, "the connection of {status}");
    }
}

/// Reads a request whole, chunked or with a length of `body`, and answers with the bytes after its head.
async fn swallow(stream: &mut TcpStream, end: &str) {
    until(stream, "\r\n\r\n").await;
    let body = until(stream, end).await;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn bodies_and_trailers_pass_both_ways() {
    let target = TestTarget::start(|_, mut stream| async move {
        let head = until(&mut stream, "\r\n\r\n").await;
        assert!(head.contains("\r\nte: trailers\r\n"), "{head}");
        assert!(
            head.contains("\r\ntransfer-encoding: chunked\r\n"),
            "{head}"
        );
        let body = until(&mut stream, "x-sum: 1\r\n\r\n").await;
        assert!(body.starts_with("5\r\nhello\r\n0\r\n"), "{body}");
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                      3\r\nyes\r\n0\r\nx-sum: 2\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        until(&mut stream, "never").await;
    })
    .await;
    let front = Front::to(&[&target]).await;
    let answer = front
        .ask(
            "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntrailer: x-sum\r\nconnection: te, close\r\n\
             transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
        )
        .await;
    assert!(
        answer.ends_with("3\r\nyes\r\n0\r\nx-sum: 2\r\n\r\n"),
        "{answer}"
    );
    let lines = front.log(1).await;
    assert_eq!(
        (&lines[0]["request_bytes"], &lines[0]["response_bytes"]),
        (&5.into(), &3.into())
    );
}

#[tokio::test]
async fn an_old_client_is_served_without_chunks() {
    let target = TestTarget::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n",
    )
    .await;
    let front = Front::to(&[&target]).await;
    let answer = front.ask("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nyes"), "{answer}");
}

#[tokio::test]
async fn too_large_a_body_is_refused_early_or_late() {
    let target = TestTarget::silent().await;
    let mut config = config(&[&target]);
    config.listeners[0].limits.max_body_bytes = Some(8);
    let front = Front::start(config).await;
    let declared = front
        .ask(
            "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 9\r\n\r\n123456789",
        )
        .await;
    assert!(declared.contains("413 body_too_large: "), "{declared}");
    assert_eq!(target.connections(), 0);
    let chunked = "5\r\n12345\r\n5\r\n12345\r\n0\r\n\r\n";
    let head =
        "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let counted = front.ask(&format!("{head}{chunked}")).await;
    assert!(counted.contains("413 body_too_large: "), "{counted}");
}

#[tokio::test]
async fn a_client_that_falls_silent_is_refused() {
    let target = TestTarget::silent().await;
    let mut config = config(&[&target]);
    config.listeners[0].limits.body_idle_timeout = Duration::from_millis(50);
    let front = Front::start(config).await;
    let answer = front
        .ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n1234")
        .await;
    assert!(answer.contains("408 client_timeout: "), "{answer}");
    let lines = front.log(1).await;
    assert_eq!(lines[0]["request_bytes"], 4);
}

#[tokio::test]
async fn a_target_that_stops_taking_a_body_is_given_up() {
    let target = TestTarget::start(|_, mut stream| async move {
        until(&mut stream, "\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut config = config(&[&target]);
    config.listeners[0].limits.body_idle_timeout = Duration::from_millis(200);
    let front = Front::start(config).await;
    let mut client = front.client().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 999999999\r\n\r\n")
        .await;
    // It may be told why, or find the connection reset: what it has sent lies unread.
    while client.0.write_all(&[b'x'; 65536]).await.is_ok() {}
    assert_eq!(front.log(1).await[0]["end"], "target_stalled");
}

#[tokio::test]
async fn a_client_that_expects_is_told_to_go_on_when_the_target_says_so() {
    let target = TestTarget::start(|_, mut stream| async move {
        let head = until(&mut stream, "\r\n\r\n").await;
        assert!(head.contains("expect: 100-continue"), "{head}");
        stream
            .write_all(b"HTTP/1.1 102 Processing\r\n\r\n")
            .await
            .unwrap();
        stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(until(&mut stream, "hello").await, "hello");
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let front = Front::to(&[&target]).await;
    let mut client = front.client().await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    client.send(head).await;
    assert_eq!(
        client.until("\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.send("hello").await;
    assert!(client.until("ok").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_client_that_expects_is_spared_the_body_that_the_target_refuses() {
    let target =
        TestTarget::answering("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno").await;
    let front = Front::to(&[&target]).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    let mut client = front.client().await;
    client.send(head).await;
    let answer = client.until("no").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_could_end_in_two_places_is_none() {
    for fields in [
        "content-length: 99\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: identity, chunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n3\r\nyes\r\n0\r\n\r\n");
        let target = TestTarget::saying(answer.leak()).await;
        let front = Front::to(&[&target]).await;
        let answer = front.ask(LAST_GET).await;
        assert!(
            answer.contains("502 target_invalid: "),
            "{fields}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_silent_websocket_is_closed() {
    let target = TestTarget::saying(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                      connection: upgrade\r\n\r\n",
    )
    .await;
    let mut config = config(&[&target]);
    config.listeners[0].limits.idle_timeout = Duration::from_millis(50);
    config.listeners[0].limits.body_idle_timeout = Duration::from_millis(50);
    let front = Front::start(config).await;
    let head = "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    assert!(front.ask(head).await.starts_with("HTTP/1.1 101 "));
    assert_eq!(front.log(1).await[0]["end"], "upgrade_idle");
}

#[test]
fn a_websocket_is_logged_when_the_runtime_ends() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let front = runtime.block_on(async {
        let target = TestTarget::saying(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                          connection: upgrade\r\n\r\nhi",
        )
        .await;
        let front = Front::to(&[&target]).await;
        let mut client = front.client().await;
        let head = "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
        client.send(head).await;
        client.until("hi").await;
        front
    });
    drop(runtime);
    front.log.close();
    let text = std::fs::read_to_string(front.directory.path().join("log")).unwrap();
    assert!(text.contains("\"status\":101,"), "{text}");
    assert!(text.contains("\"end\":\"drained\""), "{text}");
}

#[tokio::test]
async fn all_connections_busy_is_said_in_time() {
    let target = TestTarget::silent().await;
    let mut config = config(&[&target]);
    config.target_groups[0].limits.max_connections = 1;
    config.target_groups[0].limits.connect_timeout = Duration::from_millis(200);
    let front = Front::start(config).await;
    let mut first = front.client().await;
    first.send(GET).await;
    while target.connections() == 0 {
        tokio::task::yield_now().await;
    }
    let answer = front.ask(LAST_GET).await;
    assert!(answer.contains("503 target_busy: "), "{answer}");
}

#[tokio::test]
async fn an_early_answer_is_passed_on() {
    let target = TestTarget::saying(OK).await;
    let front = Front::to(&[&target]).await;
    let mut client = front.client().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\npart")
        .await;
    let answer = client.until("ok").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn an_answer_may_wait_for_the_body_that_follows_its_head() {
    let target = TestTarget::start(|_, mut stream| async move {
        until(&mut stream, "\r\n\r\n").await;
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        until(&mut stream, "end").await;
        stream.write_all(b"ok").await.unwrap();
    })
    .await;
    let mut config = config(&[&target]);
    config.listeners[0].limits.body_idle_timeout = Duration::from_millis(400);
    let front = Front::start(config).await;
    let mut client = front.client().await;
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\n")
        .await;
    for piece in ["aa", "bb", "cc", "dd", "end"] {
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.send(piece).await;
    }
    let answer = client.until("ok").await;
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_work() {
    let (gone, mut seen) = tokio::sync::mpsc::channel(1);
    let target = TestTarget::start(move |_, mut stream| {
        let gone = gone.clone();
        async move {
            until(&mut stream, "\r\n\r\n").await;
            until(&mut stream, "never").await;
            gone.send(()).await.unwrap();
        }
    })
    .await;
    let front = Front::to(&[&target]).await;
    let mut client = front.client().await;
    client.send(GET).await;
    while target.connections() == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    seen.recv().await.unwrap();
    assert_eq!(front.published.groups()[0].targets()[0].in_flight(), 0);
    let lines = front.log(1).await;
    assert_eq!(
        (&lines[0]["end"], &lines[0]["status"]),
        (&"client_gone".into(), &499.into())
    );
}

#[tokio::test]
async fn a_slow_client_holds_the_target_back() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let target = TestTarget::start(move |_, mut stream| {
        let count = count.clone();
        async move {
            until(&mut stream, "\r\n\r\n").await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n";
            stream.write_all(head).await.unwrap();
            while stream.write_all(&[b'x'; 16384]).await.is_ok() {
                count.fetch_add(16384, Ordering::SeqCst);
            }
        }
    })
    .await;
    let front = Front::to(&[&target]).await;
    let mut client = front.client().await;
    client.send(GET).await;
    client.until("\r\n\r\n").await;
    let mut before = usize::MAX;
    while before != written.load(Ordering::SeqCst) {
        before = written.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // The kernel's buffers take most of it: two sockets with at most 6 MiB for each direction here.
    assert!(
        before < 32 << 20,
        "{before} bytes were taken from the target"
    );
}

#[tokio::test]
async fn a_websocket_passes_both_ways_and_nothing_else_is_upgraded() {
    let target = TestTarget::start(|_, mut stream| async move {
        let head = until(&mut stream, "\r\n\r\n").await;
        assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
        assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                      sec-websocket-accept: x\r\n\r\nhi";
        stream.write_all(answer.as_bytes()).await.unwrap();
        assert_eq!(until(&mut stream, "ping").await, "ping");
        stream.write_all(b"pong").await.unwrap();
    })
    .await;
    let front = Front::to(&[&target]).await;
    let mut client = front.client().await;
    let head = "GET /chat HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                sec-websocket-key: x\r\n\r\n";
    client.send(head).await;
    let answer = client.until("\r\n\r\nhi").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("sec-websocket-accept: x"), "{answer}");
    client.send("ping").await;
    assert_eq!(client.rest().await, "pong");
    drop(client);
    let lines = front.log(1).await;
    assert_eq!(lines[0]["status"], 101);
    assert_eq!(
        (&lines[0]["request_bytes"], &lines[0]["response_bytes"]),
        (&4.into(), &6.into())
    );
    assert_eq!(lines[0]["end"], "done");
}

#[tokio::test]
async fn doubtful_requests_are_refused_here() {
    let target = TestTarget::answering(OK).await;
    let front = Front::to(&[&target]).await;
    for (request, line) in [
        (
            "GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
            "400 bad_authority: ",
        ),
        (
            "GET http://a/ HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n",
            "400 bad_authority: ",
        ),
        (
            "GET /%2F HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            "400 bad_path: ",
        ),
        (
            "GET * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            "400 bad_path: ",
        ),
        (
            "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\nconnection: close\r\n\r\n",
            "501 method_refused: ",
        ),
        (
            "TRACE / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            "405 trace_refused: ",
        ),
    ] {
        let answer = front.ask(request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {}", &line[..3])),
            "{answer}"
        );
        assert!(answer.contains(line), "{request}: {answer}");
    }
    assert_eq!(target.connections(), 0);
    let options = "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    assert!(front.ask(options).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn answers_from_here_need_no_target() {
    let mut config = testing::config(vec![testing::group(&[1])]);
    let rule = |path: &str, action| config::Rule {
        name: path.to_owned(),
        listener: None,
        when: config::RuleCondition {
            path: vec![config::PathPattern::Exact(path.to_owned())],
            ..config::RuleCondition::default()
        },
        action,
    };
    config.listeners[0].action = None;
    config.rules = vec![
        rule(
            "/fixed",
            config::Action::Respond(config::FixedResponse {
                status: 418,
                content_type: "text/x-tea".to_owned(),
                body: "tea".to_owned(),
            }),
        ),
        rule(
            "/moved",
            config::Action::Redirect(config::Redirect {
                scheme: Some("https".to_owned()),
                host: None,
                port: None,
                path: None,
                query: None,
                status: 308,
            }),
        ),
    ];
    let front = Front::start(config).await;
    let ask = async |method: &str, path: &str| {
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: a:8080\r\nconnection: close\r\n\r\n");
        front.ask(&request).await
    };
    let tea = ask("GET", "/fixed").await;
    assert!(
        tea.starts_with("HTTP/1.1 418 ") && tea.ends_with("\r\n\r\ntea"),
        "{tea}"
    );
    let no_tea = ask("HEAD", "/fixed").await;
    assert!(
        no_tea.contains("content-length: 3\r\n") && no_tea.ends_with("\r\n\r\n"),
        "{no_tea}"
    );
    let moved = ask("GET", "/moved?x=1").await;
    assert!(
        moved.contains("location: https://a/moved?x=1\r\n"),
        "{moved}"
    );
    let nothing = ask("GET", "/other").await;
    assert!(nothing.contains("404 no_rule: "), "{nothing}");
    let ends: Vec<_> = front
        .log(4)
        .await
        .iter()
        .map(|line| line["end"].clone())
        .collect();
    assert_eq!(ends, ["done", "done", "done", "no_rule"]);
}

#[tokio::test]
async fn a_rules_edits_are_applied_both_ways() {
    let target = TestTarget::echoing().await;
    let mut config = config(&[&target]);
    let set = |name: &str| HeaderEdits {
        set: vec![(name.to_owned(), "1".to_owned())],
        ..HeaderEdits::default()
    };
    config.listeners[0].action = Some(config::Action::Forward(config::Forward {
        groups: vec![(0, 1)],
        request_headers: set("x-in"),
        response_headers: set("x-out"),
    }));
    let front = Front::start(config).await;
    let answer = front.ask(LAST_GET).await;
    let (head, seen) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("x-out: 1") && !head.contains("x-in"),
        "{answer}"
    );
    assert!(
        seen.contains("x-in: 1") && !seen.contains("x-out"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let target = TestTarget::echoing().await;
    let mut config = config(&[&target]);
    config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let front = Front::start(config).await;
    let answer = front
        .ask(
            "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 203.0.113.9\r\nx-request-id: theirs\r\n\
             connection: close, x-forwarded-for\r\n\r\n",
        )
        .await;
    assert!(
        answer.contains("x-forwarded-for: 203.0.113.9, 127.0.0.1\r\n"),
        "{answer}"
    );
    assert_eq!(front.log(1).await[0]["request_id"], "theirs");
}

#[tokio::test]
async fn probes_decide_who_is_asked() {
    let target = TestTarget::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let sick = TestTarget::answering("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").await;
    let mut config = config(&[&target, &sick]);
    config.target_groups[0].health_check = Some(testing::health_check());
    let front = Front::start(config).await;
    assert!(
        front
            .ask(LAST_GET)
            .await
            .contains("503 no_healthy_target: ")
    );
    front
        .published
        .start_probes(&tokio::runtime::Handle::current());
    front.published.first_round(Duration::from_secs(5)).await;
    for _ in 0..2 {
        assert!(front.ask(LAST_GET).await.starts_with("HTTP/1.1 204 "));
    }
    let reason = front.published.groups()[0].targets()[1].reason();
    assert_eq!(reason.as_deref(), Some("status 500"));
    let page = front.metrics.encode(
        &front.published,
        &certstore::CertTable::default(),
        Default::default(),
    );
    let line = format!(
        "sealgate_target_healthy{{target_group=\"g\",target=\"{}\"}} 0",
        sick.address
    );
    assert!(page.contains(&line), "{page}");
    let requests = "sealgate_requests_total{listener=\"http\",target_group=\"g\",status=\"2xx\"} 2";
    assert!(page.contains(requests), "{page}");
}

/// A body that does not say its length.
struct Piece(Option<&'static str>);

impl Body for Piece {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let piece = self
            .0
            .take()
            .map(|text| Ok(http_body::Frame::data(text.into())));
        std::task::Poll::Ready(piece)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

#[tokio::test]
async fn http2_clients_are_served() {
    use http_body_util::BodyExt;
    let target = TestTarget::start(|_, mut stream| async move {
        let head = until(&mut stream, "\r\n\r\n").await;
        assert!(head.starts_with("GET /a HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nhost: a.example\r\n"), "{head}");
        assert!(head.contains("\r\ncookie: a=1; b=2\r\n"), "{head}");
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n\
                  3\r\nyes\r\n0\r\nx-sum: 2\r\n\r\n",
            )
            .await
            .unwrap();
        swallow(&mut stream, "hello\r\n0\r\n\r\n").await;
        until(&mut stream, "never").await;
    })
    .await;
    let front = Front::to(&[&target]).await;
    let stream = TcpStream::connect(front.address).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let get = Request::get("http://a.example/a")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(Piece(None))
        .unwrap();
    let response = sender.send_request(get).await.unwrap();
    assert!(!response.headers().contains_key("x-hop"));
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "2");
    assert_eq!(body.to_bytes(), "yes");
    let post = Request::post("http://a.example/b")
        .body(Piece(Some("hello")))
        .unwrap();
    let body = sender
        .send_request(post)
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(body.to_bytes(), "5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(target.connections(), 1);
    assert_eq!(front.log(2).await[1]["protocol"], "h2");
}

/// A target that speaks TLS with this certificate, and answers with the name that it was asked for.
async fn secure_target(certificate: &certstore::ServedCertificate) -> TestTarget {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let resolver = rustls::sign::SingleCertAndKey::from(certificate.key.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    TestTarget::start(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let mut head = [0; 1024];
            while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                let name = stream
                    .get_ref()
                    .1
                    .server_name()
                    .unwrap_or("none")
                    .to_owned();
                let length = name.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{name}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await
}

#[tokio::test]
async fn targets_are_verified_unless_told_otherwise() {
    let certificate = testing::certificate("api", &["api.internal"]);
    let target = secure_target(&certificate).await;
    let directory = tempfile::tempdir().unwrap();
    let trust = |certificate: &certstore::ServedCertificate, name: &str| {
        let base64 = base64ct::Base64::encode_string(&certificate.key.cert[0]);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        let path = directory.path().join(name);
        std::fs::write(&path, pem).unwrap();
        Some(config::CertificateAuthorities::File(path))
    };
    let own = trust(&certificate, "own.pem");
    let other = trust(
        &testing::certificate("other", &["api.internal"]),
        "other.pem",
    );
    for (name, ca, expected) in [
        (Some("api.internal"), own.clone(), "\r\n\r\napi.internal"),
        (Some("other.internal"), own.clone(), "502 tls_failed: "),
        (None, own, "502 tls_failed: "),
        (Some("api.internal"), other, "502 tls_failed: "),
        (None, None, "\r\n\r\nnone"),
    ] {
        let mut config = config(&[&target]);
        config.target_groups[0].protocol = config::TargetProtocol::Https(config::TargetTls {
            server_name: name.map(str::to_owned),
            ca,
            client_certificate: None,
        });
        let front = Front::start(config).await;
        let answer = front.ask(LAST_GET).await;
        assert!(answer.contains(expected), "{name:?} {expected}: {answer}");
    }
}

#[tokio::test]
async fn a_rule_for_a_path_is_not_walked_around() {
    let target = TestTarget::echoing().await;
    let mut config = config(&[&target]);
    let prefixes = ["/admin/", "/@int/", "/priv%C3%A9/"];
    config.rules = vec![config::Rule {
        name: "keep out".to_owned(),
        listener: None,
        when: config::RuleCondition {
            path: prefixes
                .map(|prefix| config::PathPattern::Prefix(prefix.to_owned()))
                .to_vec(),
            ..config::RuleCondition::default()
        },
        action: config::Action::Respond(config::FixedResponse {
            status: 403,
            content_type: "text/plain".to_owned(),
            body: String::new(),
        }),
    }];
    let front = Front::start(config).await;
    for (path, status) in [
        ("//admin/", 403),
        ("///admin//x", 403),
        ("/%40int/x", 403),
        ("/priv\u{e9}/x", 403),
        ("/x/..;/admin/", 400),
        ("/.;/admin/", 400),
        ("/x?q=\u{e9}", 400),
        ("/a//b", 200),
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n");
        let answer = front.ask(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
        assert_eq!(
            answer.contains("GET /a/b HTTP/1.1"),
            status == 200,
            "{answer}"
        );
    }
}

/// A client's bytes as the edge hands them over: they end with an error.
struct Broken {
    bytes: &'static [u8],
    error: Option<std::io::Error>,
    written: Arc<parking_lot::Mutex<Vec<u8>>>,
}

impl tokio::io::AsyncRead for Broken {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if !self.bytes.is_empty() {
            buffer.put_slice(std::mem::take(&mut self.bytes));
            return std::task::Poll::Ready(Ok(()));
        }
        std::task::Poll::Ready(self.error.take().map_or(Ok(()), Err))
    }
}

impl tokio::io::AsyncWrite for Broken {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.written.lock().extend_from_slice(bytes);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_body_that_breaks_is_answered_with_what_broke_it() {
    use std::io::{Error, ErrorKind};
    let refusal = Refusal {
        status: StatusCode::BAD_REQUEST,
        reason: "the size line of a chunk is malformed",
    };
    for (error, line, end) in [
        (
            Error::new(ErrorKind::InvalidData, refusal),
            "400 bad_body: the size line of a chunk is malformed",
            "bad_body",
        ),
        (
            Error::from(ErrorKind::TimedOut),
            "408 client_timeout: ",
            "client_timeout",
        ),
        (
            Error::from(ErrorKind::ConnectionReset),
            "499 client_gone: ",
            "client_gone",
        ),
    ] {
        let target = TestTarget::silent().await;
        let front = Front::to(&[&target]).await;
        let written = Arc::<parking_lot::Mutex<Vec<u8>>>::default();
        let stream = Broken {
            bytes: b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
            error: Some(error),
            written: written.clone(),
        };
        let (balancer, downstream) = (front.balancer.clone(), testing::downstream());
        let service = service_fn(move |request| {
            let (balancer, downstream) = (balancer.clone(), downstream.clone());
            let request = Incoming::of(request);
            async move { Ok::<_, std::convert::Infallible>(balancer.serve(downstream, request).await) }
        });
        let server = hyper::server::conn::http1::Builder::new();
        // It ends with the error that it was given.
        let _ = server.serve_connection(TokioIo::new(stream), service).await;
        let answer = String::from_utf8(written.lock().clone()).unwrap();
        assert!(end == "client_gone" || answer.contains(line), "{answer}");
        let lines = front.log(1).await;
        assert_eq!(lines[0]["end"], end, "{}", lines[0]);
    }
}

#[tokio::test]
async fn what_is_expected_is_one_thing() {
    let target = TestTarget::echoing().await;
    let front = Front::to(&[&target]).await;
    for (fields, status, seen) in [
        ("expect: 100-Continue\r\nexpect: 100-continue\r\n", 200, 1),
        ("expect: 100-continue\r\nexpect: x\r\n", 417, 0),
        ("expect: 200-ok\r\n", 417, 0),
    ] {
        let mut client = front.client().await;
        let request = format!(
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n{fields}\r\n"
        );
        client.send(&request).await;
        let answer = client.rest().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert_eq!(
            answer.matches("expect: 100-continue\r\n").count(),
            seen,
            "{answer}"
        );
        assert_eq!(answer.matches("expect:").count(), seen, "{answer}");
    }
}

#[tokio::test]
async fn too_many_fields_are_refused_in_every_version() {
    let target = TestTarget::echoing().await;
    let mut config = config(&[&target]);
    config.listeners[0].limits.max_headers = 4;
    let front = Front::start(config).await;
    let stream = TcpStream::connect(front.address).await.unwrap();
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (name, count, status) in [("cookie", 9, 200), ("x-field", 4, 200), ("x-field", 5, 431)] {
        let mut request = Request::get("http://a.example/x");
        for number in 0..count {
            request = request.header(name, format!("a={number}"));
        }
        let request = request.body(http_body_util::Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{count} {name}");
    }
}

#[tokio::test]
async fn informational_answers_without_end_are_given_up() {
    let target = TestTarget::start(|_, mut stream| async move {
        until(&mut stream, "\r\n\r\n").await;
        let flood = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1_000);
        while stream.write_all(flood.as_bytes()).await.is_ok() {}
    })
    .await;
    let front = Front::to(&[&target]).await;
    let answer = front.ask(LAST_GET).await;
    assert!(answer.contains("502 target_invalid: "), "{answer}");
    let detail = front.log(1).await[0]["detail"].to_string();
    assert!(
        detail.contains("informational answers without end"),
        "{detail}"
    );
}

#[tokio::test]
async fn what_a_target_says_before_it_closes_is_passed_on() {
    let target = TestTarget::start(|_, mut stream| async move {
        until(&mut stream, "\r\n\r\n").await;
        stream
            .write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
            .await
            .unwrap();
        // With the upload unread, the target's system resets the connection.
    })
    .await;
    let front = Front::to(&[&target]).await;
    for _ in 0..20 {
        let mut client = front.client().await;
        client
            .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 999999999\r\n\r\n")
            .await;
        let (mut reader, mut writer) = client.0.split();
        let mut seen = Vec::new();
        let upload = async { while writer.write_all(&[b'x'; 65536]).await.is_ok() {} };
        let answer = async {
            let mut piece = [0; 1024];
            while !seen.ends_with(b"no") {
                match reader.read(&mut piece).await {
                    Ok(read @ 1..) => seen.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
        };
        tokio::select! {
            () = answer => {}
            () = upload => {}
        }
        let seen = String::from_utf8_lossy(&seen);
        assert!(
            seen.is_empty() || seen.starts_with("HTTP/1.1 413 "),
            "{seen}"
        );
    }
    let lines = front.log(20).await;
    let statuses: Vec<_> = lines
        .iter()
        .map(|line| line["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [413; 20]);
}

#[tokio::test]
async fn every_answer_says_under_which_name_it_is_logged() {
    let target = TestTarget::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-request-id: own\r\n\r\nok",
    )
    .await;
    let mut config = config(&[&target]);
    config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let front = Front::start(config).await;
    let fields = "user-agent: curl/8\r\nreferer: http://b/\r\nx-forwarded-for: 203.0.113.5\r\n";
    let mut answers = Vec::new();
    for path in ["/x", "/%2F"] {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n");
        answers.push(front.ask(&request).await);
    }
    for (line, answer) in front.log(2).await.iter().zip(answers) {
        let id = line["request_id"].as_str().unwrap();
        assert_eq!(answer.matches("x-request-id: ").count(), 1, "{answer}");
        assert!(
            answer.contains(&format!("x-request-id: {id}\r\n")),
            "{answer}"
        );
        assert_eq!(line["user_agent"], "curl/8");
        assert_eq!(line["referer"], "http://b/");
        assert_eq!(line["client"], "203.0.113.5");
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
}

#[tokio::test]
async fn a_body_that_is_none_is_said_to_be_none() {
    let target =
        TestTarget::saying("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nno\r\n")
            .await;
    let front = Front::to(&[&target]).await;
    let answer = front.ask(LAST_GET).await;
    assert!(answer.contains("502 target_truncated: "), "{answer}");
}
