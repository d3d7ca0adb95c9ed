//! Requests against a small server that counts as well.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::{HttpPlan, HttpReport, Protocol, RequestPlan, TlsPlan, run};
use crate::bench::tests::{kinds, plain, server_config};
use crate::bench::{End, Offer, Trust};

#[tokio::test]
async fn what_the_client_counts_the_server_counted() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let server = Server::start(protocol).await;
        let report = measure(HttpPlan {
            threads: 2,
            connections: 3,
            streams: if protocol == Protocol::Http2 { 4 } else { 1 },
            ..server.plan(301)
        })
        .await;
        let requests = &report.requests;
        assert_eq!((requests.succeeded, requests.failed), (301, 0));
        assert_eq!(server.requests(), 301);
        assert_eq!((requests.opened, requests.reopened), (3, 0));
        assert_eq!(server.connections(), 3);
        assert_eq!(requests.received_bytes, 301 * 5);
        assert_eq!(Vec::from_iter(report.statuses.clone()), [(200, 301)]);
        assert_eq!(report.negotiated, []);
        let latency = report.latency.expect("requests took their time");
        assert!(latency.p50_us > 0.0 && latency.p50_us <= latency.max_us);
    }
}

#[tokio::test]
async fn through_tls_the_protocol_is_agreed_on() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let server = Server::with_tls(protocol).await;
        let report = measure(server.plan(20)).await;
        assert_eq!(report.requests.succeeded, 20, "{:?}", report.failures);
        assert_eq!(report.negotiated.len(), 1);
        assert_eq!(report.negotiated[0].count, 2);
        assert_eq!(report.negotiated[0].alpn.as_deref(), Some(protocol.alpn()));
        assert_eq!(report.url, "https://localhost/");
    }
}

#[tokio::test]
async fn a_server_that_verifies_badly_is_named_once_per_request() {
    let server = Server::with_tls(Protocol::Http1).await;
    let mut plan = server.plan(3);
    let nobody = Trust::Roots(Arc::new(rustls::RootCertStore::empty()));
    plan.tls.as_mut().expect("TLS").offer.trust = nobody;
    let report = measure(plan).await;
    assert_eq!(failures(&report), [("certificate: unknown issuer", 3)]);
    assert!(report.verified && report.latency.is_none());
}

#[tokio::test]
async fn what_is_sent_is_what_was_planned() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let server = Server::start(protocol).await;
        let mut plan = server.plan(2);
        plan.request = RequestPlan {
            method: Method::PUT,
            path: "/echo?x".to_owned(),
            headers: vec![(
                "x-a".parse().expect("a name"),
                "b".parse().expect("a value"),
            )],
            body_bytes: 100_000,
            ..plan.request
        };
        let report = measure(plan).await;
        let echoed = "PUT localhost /echo?x b 100000".len() as u64;
        assert_eq!(report.requests.received_bytes, 2 * echoed);
        assert_eq!(
            (report.method.as_str(), report.body_bytes),
            ("PUT", 100_000)
        );
    }
}

#[tokio::test]
async fn errors_are_answers_of_a_class_of_their_own() {
    let server = Server::start(Protocol::Http1).await;
    let mut plan = server.plan(4);
    plan.request.path = "/503".to_owned();
    let report = measure(plan).await;
    assert_eq!(report.requests.classes["5xx"], 4);
    assert!(report.text().contains("4 responses are errors"));
}

#[tokio::test]
async fn connections_that_the_server_closes_are_opened_anew() {
    let server = Server::start(Protocol::Http1).await;
    let mut plan = server.plan(10);
    plan.connections = 1;
    plan.request.path = "/close".to_owned();
    let report = measure(plan).await;
    assert_eq!(report.requests.succeeded, 10, "{:?}", report.failures);
    assert_eq!(report.requests.opened, server.connections());
    assert!(report.requests.reopened >= 9);
}

#[tokio::test]
async fn with_a_rate_latency_includes_the_wait_for_others() {
    // Each answer takes 20 ms and one is due every 5 ms, on one connection: the tenth is due at
    // 45 ms and has its answer at 200 ms at the earliest.
    let server = Server::start(Protocol::Http1).await;
    let mut plan = server.plan(10);
    plan.connections = 1;
    plan.rate = Some(200.0);
    plan.request.path = "/slowly".to_owned();
    let report = measure(plan.clone()).await;
    assert_eq!(report.requests.succeeded, 10);
    assert!(report.requests.late >= 8, "{}", report.requests.late);
    let max = report.latency.expect("answers").max_us;
    assert!(max >= 155_000.0, "{max}");
    // What was due and never sent is said.
    plan.end = End::After(Duration::from_millis(100));
    let report = measure(plan).await;
    let requests = &report.requests;
    assert_eq!(requests.succeeded + requests.unsent, 20);
    assert!(requests.unsent >= 10, "{}", requests.unsent);
    assert!(report.text().contains("the rate was not kept"));
}

#[tokio::test]
async fn without_a_rate_latency_is_the_servers_alone() {
    let server = Server::start(Protocol::Http1).await;
    let mut plan = server.plan(5);
    plan.connections = 1;
    plan.request.path = "/slowly".to_owned();
    let latency = measure(plan).await.latency.expect("answers");
    assert!(latency.p50_us >= 20_000.0);
}

#[tokio::test]
async fn a_rate_is_kept() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let server = Server::start(protocol).await;
        let plan = HttpPlan {
            rate: Some(400.0),
            threads: 2,
            end: End::After(Duration::from_millis(250)),
            ..server.plan(1)
        };
        let report = measure(plan).await;
        let requests = report.requests;
        assert_eq!(requests.succeeded + requests.unsent, 100);
    }
}

#[tokio::test]
async fn failures_go_by_their_kind() {
    let cut_off = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nHello";
    let mut kinds = Vec::new();
    for answer in [&cut_off[..], b"SSH-2.0-x\r\n\r\n", b""] {
        let (address, _listener) = plain(move |mut tcp| async move {
            let _ = tcp.read(&mut [0; 1024]).await;
            let _ = tcp.write_all(answer).await;
        })
        .await;
        let report = measure(plan(address, Protocol::Http1, 2)).await;
        assert_eq!(report.requests.failed, 2);
        kinds.extend(report.failures.into_keys());
    }
    let closed = "closed before the end of the response";
    assert_eq!(kinds, [closed, "response: not HTTP", closed]);
}

#[tokio::test]
async fn silence_is_waited_for_only_so_long() {
    let (address, _listener) = plain(|tcp| async move {
        std::future::pending::<()>().await;
        drop(tcp);
    })
    .await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let plan = HttpPlan {
            timeout: Duration::from_millis(50),
            ..plan(address, protocol, 2)
        };
        let report = measure(plan).await;
        assert_eq!(failures(&report), [("timeout: response", 2)]);
    }
}

#[tokio::test]
async fn nobody_there_ends_it_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let forever = HttpPlan {
        end: End::After(Duration::from_secs(3600)),
        ..plan(address, Protocol::Http1, 1)
    };
    let report = measure(forever).await;
    assert!(report.gave_up);
    assert_eq!(failures(&report), [("connect: refused", 2)]);
}

#[tokio::test]
async fn an_early_end_still_reports() {
    let server = Server::start(Protocol::Http1).await;
    let forever = HttpPlan {
        end: End::After(Duration::from_secs(3600)),
        ..server.plan(1)
    };
    let enough = Arc::new(Semaphore::new(0));
    let show = |progress: crate::bench::Progress| {
        if progress.succeeded > 10 {
            enough.add_permits(1);
        }
    };
    let stop = async { drop(enough.acquire().await) };
    let report = run(forever, stop, show).await.expect("a report");
    assert!(report.interrupted && report.requests.succeeded > 10);
    assert_eq!(report.requests.failed, 0);
}

#[tokio::test]
async fn the_report_for_programs_keeps_its_shape() {
    let server = Server::with_tls(Protocol::Http2).await;
    let plan = HttpPlan {
        pid: Some(std::os::unix::process::parent_id()),
        ..server.plan(2)
    };
    let report = serde_json::to_value(measure(plan).await).expect("JSON");
    for path in [
        "/address",
        "/connections",
        "/streams",
        "/requests/succeeded",
        "/requests/per_second",
        "/requests/classes/2xx",
        "/requests/late",
        "/requests/unsent",
        "/statuses/200",
        "/latency/p50_us",
        "/latency/curve/0/1",
        "/failures",
        "/negotiated/0/version",
        "/client/cpu_us_per_request",
        "/client/limit",
        "/server/cpu_us_per_request",
        "/server/peak_memory_bytes",
        "/machine/processor",
    ] {
        assert!(report.pointer(path).is_some(), "{path}: {report}");
    }
    assert_eq!(report["measured"], "http");
    assert_eq!(report["protocol"], "HTTP/2");
    assert_eq!(report["url"], "https://localhost/");
    assert_eq!(report["verified"], false);
}

async fn measure(plan: HttpPlan) -> HttpReport {
    let report = run(plan, std::future::pending(), |_| {}).await;
    report.expect("a plan that can be carried out")
}

fn plan(address: SocketAddr, protocol: Protocol, count: u64) -> HttpPlan {
    let request = RequestPlan::new("localhost".to_owned());
    HttpPlan {
        protocol,
        connections: 2,
        end: End::Count(count),
        ..HttpPlan::new(address, request)
    }
}

fn failures(report: &HttpReport) -> Vec<(&str, u64)> {
    kinds(&report.failures)
}

/// A server that answers in both protocols, and counts.
struct Server {
    address: SocketAddr,
    tls: bool,
    protocol: Protocol,
    counts: Arc<Counts>,
    _listener: tokio::task::JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
}

impl Server {
    async fn start(protocol: Protocol) -> Self {
        Self::listen(protocol, None).await
    }

    async fn with_tls(protocol: Protocol) -> Self {
        let (mut config, _) = server_config();
        config.alpn_protocols = vec![protocol.alpn().as_bytes().to_vec()];
        Self::listen(protocol, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(protocol: Protocol, acceptor: Option<TlsAcceptor>) -> Self {
        let tls = acceptor.is_some();
        let counts = Arc::<Counts>::default();
        let counted = counts.clone();
        let (address, listener) = plain(move |tcp| {
            let (acceptor, counts) = (acceptor.clone(), counted.clone());
            async move {
                counts.connections.fetch_add(1, Ordering::SeqCst);
                match acceptor {
                    None => serve(TokioIo::new(tcp), protocol, counts).await,
                    Some(acceptor) => {
                        if let Ok(tls) = acceptor.accept(tcp).await {
                            serve(TokioIo::new(tls), protocol, counts).await;
                        }
                    }
                }
            }
        })
        .await;
        Self {
            address,
            tls,
            protocol,
            counts,
            _listener: listener,
        }
    }

    fn plan(&self, count: u64) -> HttpPlan {
        let tls = TlsPlan {
            server_name: ServerName::try_from("localhost").expect("a name"),
            offer: Offer::default(),
        };
        HttpPlan {
            tls: self.tls.then_some(tls),
            ..plan(self.address, self.protocol, count)
        }
    }

    fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::SeqCst)
    }

    fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::SeqCst)
    }
}

async fn serve(
    io: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    protocol: Protocol,
    counts: Arc<Counts>,
) {
    let service = service_fn(move |request| {
        counts.requests.fetch_add(1, Ordering::SeqCst);
        answer(request)
    });
    // The client may be gone already.
    let _ = match protocol {
        Protocol::Http1 => http1::Builder::new().serve_connection(io, service).await,
        Protocol::Http2 => {
            let server = http2::Builder::new(TokioExecutor::new());
            server.serve_connection(io, service).await
        }
    };
}

async fn answer(request: Request<Incoming>) -> http::Result<Response<Full<Bytes>>> {
    let response = Response::builder();
    match request.uri().path() {
        "/503" => response.status(503).body(Full::default()),
        "/close" => response.header("connection", "close").body(Full::default()),
        "/slowly" => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            response.body(Full::default())
        }
        "/echo" => response.body(Full::from(echo(request).await)),
        _ => response.body(Full::from("Hello")),
    }
}

async fn echo(request: Request<Incoming>) -> String {
    let (head, body) = request.into_parts();
    let host = head.headers.get("host").and_then(|host| host.to_str().ok());
    let host = head.uri.host().or(host).unwrap_or_default().to_owned();
    let target = head
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    let name = head.headers["x-a"].to_str().expect("a header");
    let body = body.collect().await.expect("a body").to_bytes();
    format!("{} {host} {target} {name} {}", head.method, body.len())
}
