//! The load generator against a small server that counts as well.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{End, Group, Offer, Plan, Report, Share, Suite, Trust, Version, run};

#[tokio::test]
async fn what_the_client_counts_the_server_counted() {
    let server = Server::start(|_| {}).await;
    let plan = Plan {
        threads: 2,
        concurrency: 5,
        ..server.plan(201)
    };
    let report = measure(plan).await;
    assert_eq!((report.handshakes.full, report.handshakes.failed), (201, 0));
    assert_eq!((server.full(), server.resumed()), (201, 0));
    assert_eq!(report.handshakes.tickets, 201);
    let shakes = &report.handshakes;
    assert_eq!((shakes.left_open, shakes.unannounced), (0, 0));
    let latency = report.latency.expect("handshakes took their time");
    assert!(latency.p50_us > 0.0 && latency.p50_us <= latency.max_us);
}

#[tokio::test]
async fn the_share_of_resumptions_is_exact() {
    for (share, resumed) in [("50%", 100), ("100%", 200), ("10%", 20)] {
        for version in [Version::Tls13, Version::Tls12] {
            let server = Server::start(|_| {}).await;
            let mut plan = Plan {
                resume: share.parse().expect("a share"),
                concurrency: 4,
                ..server.plan(200)
            };
            plan.offer.versions = vec![version];
            let shakes = measure(plan).await.handshakes;
            assert_eq!((shakes.resumed, shakes.full), (resumed, 200 - resumed));
            assert_eq!((shakes.resumption_asked, shakes.primed), (resumed, 4));
            assert_eq!(server.resumed(), resumed);
            assert_eq!(server.full(), 200 - resumed + 4);
        }
    }
}

#[tokio::test]
async fn a_server_without_tickets_resumes_nothing() {
    let server = Server::start(|config| {
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    })
    .await;
    let plan = Plan {
        resume: Share::ALL,
        ..server.plan(20)
    };
    let report = measure(plan).await;
    let shakes = &report.handshakes;
    assert_eq!((shakes.full, shakes.resumption_asked), (20, 20));
    assert!(
        report
            .text()
            .contains("20 sessions that were to be resumed were not")
    );
}

#[tokio::test]
async fn what_was_agreed_on_is_named() {
    let server = Server::start(|config| config.alpn_protocols = vec![b"h2".to_vec()]).await;
    let mut plan = server.plan(3);
    plan.offer = Offer {
        versions: vec![Version::Tls13],
        groups: vec![Group::P256],
        suites: vec![Suite::Chacha20],
        alpn: vec!["h2".to_owned()],
        ..Offer::default()
    };
    let report = measure(plan).await;
    let [agreed] = report.negotiated.as_slice() else {
        panic!("{:?}", report.negotiated);
    };
    assert_eq!((agreed.count, agreed.resumed), (3, false));
    assert_eq!(agreed.version, "TLSv1.3");
    assert_eq!(agreed.suite, "TLS13_CHACHA20_POLY1305_SHA256");
    assert_eq!(agreed.group.as_deref(), Some("secp256r1"));
    assert_eq!(agreed.alpn.as_deref(), Some("h2"));
    assert_eq!(agreed.certificate.as_deref(), Some("ECDSA P-256"));
}

#[tokio::test]
async fn tls_1_2_only() {
    let server = Server::start(|_| {}).await;
    let mut plan = server.plan(3);
    plan.offer.versions = vec![Version::Tls12];
    let report = measure(plan).await;
    assert_eq!(report.negotiated[0].version, "TLSv1.2");
    assert_eq!(report.handshakes.full, 3);
}

#[tokio::test]
async fn requests_are_answered() {
    let server = Server::start(|_| {}).await;
    let plan = Plan {
        request: Some("/somewhere".to_owned()),
        ..server.plan(7)
    };
    let responses = measure(plan).await.responses.expect("responses");
    assert_eq!(
        responses.statuses.into_iter().collect::<Vec<_>>(),
        [(200, 7)]
    );
    assert!(responses.latency.is_some());
}

#[tokio::test]
async fn an_end_without_close_notify_is_noticed() {
    let server = Server::start(|_| {}).await;
    let plan = Plan {
        request: Some("/rudely".to_owned()),
        ..server.plan(2)
    };
    let report = measure(plan).await;
    assert_eq!(report.handshakes.unannounced, 2);
    let remark = "2 connections were closed without a close_notify";
    assert!(report.text().contains(remark), "{}", report.text());
}

#[tokio::test]
async fn certificates_are_verified_if_asked_for() {
    let server = Server::start(|_| {}).await;
    let mut roots = RootCertStore::empty();
    let nobody = Arc::new(self_signed("nobody").0);
    roots.add((*nobody).clone()).expect("a root");
    let mut plan = server.plan(3);
    plan.offer.trust = Trust::Roots(Arc::new(roots.clone()));
    let report = measure(plan.clone()).await;
    assert_eq!(failures(&report), [("certificate: unknown issuer", 3)]);
    assert!(report.verified && report.latency.is_none());

    roots.add(server.certificate.clone()).expect("a root");
    plan.offer.trust = Trust::Roots(Arc::new(roots));
    let report = measure(plan).await;
    assert_eq!(report.handshakes.succeeded, 3);
}

#[tokio::test]
async fn alerts_are_named() {
    let server = Server::start(|config| {
        config.cert_resolver = Arc::new(rustls::server::ResolvesServerCertUsingSni::new());
    })
    .await;
    let report = measure(server.plan(3)).await;
    assert_eq!(failures(&report), [("alert: access_denied", 3)]);
    assert_eq!(report.handshakes.succeeded, 0);
    assert!(!report.gave_up);
}

#[tokio::test]
async fn servers_that_hang_up_or_say_nothing() {
    let (address, _listener) = plain(|tcp| async move { drop(tcp) }).await;
    let report = measure(plan(address, 3)).await;
    let kinds: Vec<_> = report.failures.keys().map(String::as_str).collect();
    assert!(
        kinds
            .iter()
            .all(|kind| ["closed during the handshake", "connection reset"].contains(kind)),
        "{kinds:?}"
    );
    assert_eq!(report.handshakes.failed, 3);

    let (address, _listener) = plain(|tcp| async move {
        std::future::pending::<()>().await;
        drop(tcp);
    })
    .await;
    let timeout = Duration::from_millis(50);
    let report = measure(Plan {
        timeout,
        ..plan(address, 3)
    })
    .await;
    assert_eq!(failures(&report), [("timeout: handshake", 3)]);

    let (address, _listener) = plain(|mut tcp| async move {
        let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let report = measure(plan(address, 1)).await;
    assert!(
        failures(&report)[0].0.starts_with("tls: "),
        "{:?}",
        report.failures
    );
}

#[tokio::test]
async fn nobody_there_ends_it_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let forever = Plan {
        end: End::After(Duration::from_secs(3600)),
        threads: 2,
        concurrency: 4,
        ..plan(address, 1)
    };
    let report = measure(forever).await;
    assert!(report.gave_up);
    assert_eq!(failures(&report), [("connect: refused", 4)]);
}

#[tokio::test]
async fn an_early_end_still_reports() {
    let server = Server::start(|_| {}).await;
    let forever = Plan {
        end: End::After(Duration::from_secs(3600)),
        ..server.plan(1)
    };
    let (wish, wished) = tokio::sync::oneshot::channel::<()>();
    let wish = std::cell::Cell::new(Some(wish));
    let show = |progress: super::Progress| {
        if progress.succeeded > 10 {
            drop(wish.take());
        }
    };
    let stop = async { drop(wished.await) };
    let report = run(forever, stop, show).await.expect("a report");
    assert!(report.interrupted && report.handshakes.succeeded > 10);
    assert_eq!(report.handshakes.failed, 0);
}

#[tokio::test]
async fn a_rate_is_kept() {
    let server = Server::start(|_| {}).await;
    let plan = Plan {
        rate: Some(200.0),
        threads: 2,
        end: End::After(Duration::from_millis(500)),
        ..server.plan(1)
    };
    let report = measure(plan).await;
    // One is due every 5 ms from the beginning on; what a busy machine does not get to is known.
    let shakes = report.handshakes;
    assert_eq!(shakes.succeeded + shakes.unsent, 100);
}

#[tokio::test]
async fn the_report_for_programs_keeps_its_shape() {
    let server = Server::start(|_| {}).await;
    let plan = Plan {
        pid: Some(std::os::unix::process::parent_id()),
        ..server.plan(2)
    };
    let report = serde_json::to_value(measure(plan).await).expect("JSON");
    for path in [
        "/handshakes/full",
        "/handshakes/per_second",
        "/latency/p50_us",
        "/latency/p99_9_us",
        "/failures",
        "/negotiated/0/version",
        "/client/cpu_us_per_handshake",
        "/client/limit",
        "/server/cpu_us_per_handshake",
        "/server/peak_memory_bytes",
    ] {
        assert!(report.pointer(path).is_some(), "{path}: {report}");
    }
    assert_eq!(report["measured"], "handshake");
    assert_eq!(report["server_name"], "localhost");
    assert_eq!(report["verified"], false);
}

async fn measure(plan: Plan) -> Report {
    let report = run(plan, std::future::pending(), |_| {}).await;
    report.expect("a plan that can be carried out")
}

fn plan(address: SocketAddr, count: u64) -> Plan {
    let name = ServerName::try_from("localhost").expect("a name");
    Plan {
        end: End::Count(count),
        concurrency: 3,
        ..Plan::new(address, name)
    }
}

fn failures(report: &Report) -> Vec<(&str, u64)> {
    kinds(&report.failures)
}

/// Failures by kind, for a comparison with what is expected.
pub(super) fn kinds(failures: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let kinds = failures.iter().map(|(kind, count)| (kind.as_str(), *count));
    kinds.collect()
}

/// A TLS server that answers a request, if there is one, and counts handshakes.
struct Server {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    counts: Arc<Counts>,
    _listener: tokio::task::JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    full: AtomicU64,
    resumed: AtomicU64,
}

impl Server {
    async fn start(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let (mut config, certificate) = server_config();
        change(&mut config);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let counts = Arc::<Counts>::default();
        let counted = counts.clone();
        let (address, listener) =
            plain(move |tcp| serve(acceptor.clone(), tcp, counted.clone())).await;
        Self {
            address,
            certificate,
            counts,
            _listener: listener,
        }
    }

    fn plan(&self, count: u64) -> Plan {
        plan(self.address, count)
    }

    fn full(&self) -> u64 {
        self.counts.full.load(Ordering::SeqCst)
    }

    fn resumed(&self) -> u64 {
        self.counts.resumed.load(Ordering::SeqCst)
    }
}

async fn serve(acceptor: TlsAcceptor, tcp: TcpStream, counts: Arc<Counts>) {
    let Ok(mut stream) = acceptor.accept(tcp).await else {
        return;
    };
    let kind = stream.get_ref().1.handshake_kind();
    let count = match kind {
        Some(rustls::HandshakeKind::Resumed) => &counts.resumed,
        _ => &counts.full,
    };
    count.fetch_add(1, Ordering::SeqCst);
    // The client may be gone already.
    let _ = answer(&mut stream).await;
}

async fn answer(stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
    let mut request = [0; 1024];
    if stream.read(&mut request).await? > 0 {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nHello")
            .await?;
    }
    if request.starts_with(b"GET /rudely") {
        return Ok(());
    }
    stream.shutdown().await
}

/// A report as it stands in a file.
pub(crate) fn written_report(per_second: f64) -> serde_json::Value {
    serde_json::json!({
        "measured": "handshake", "address": "127.0.0.1:1", "server_name": "localhost",
        "concurrency": 8, "threads": 2, "rate": null, "verified": false, "seconds": 1.0,
        "interrupted": false, "gave_up": false,
        "handshakes": { "succeeded": 100, "failed": 0, "per_second": per_second },
        "latency": {
            "p50_us": 900.0, "p90_us": 1100.0, "p99_us": 2000.0, "p99_9_us": 3000.0,
            "max_us": 4000.0, "mean_us": 1000.0,
            "curve": [[0.0, 500.0], [0.5, 900.0], [0.99, 2000.0], [1.0, 4000.0]],
        },
        "failures": {},
        "negotiated": [{
            "count": 100, "version": "TLSv1.3", "suite": "TLS13_AES_128_GCM_SHA256",
            "group": "X25519", "alpn": null, "resumed": false, "certificate": "ECDSA P-256",
        }],
        "client": { "cpu_us_per_handshake": 40.0, "busy": 0.5, "limit": false },
        "server": {
            "pid": 1, "processes": 1, "cpu_us_per_handshake": 50.0, "cpu_seconds": 0.005,
            "busy": 0.9, "peak_memory_bytes": 1_048_576,
        },
        "machine": {
            "processor": "A processor", "cores": 2, "kernel": "Linux 6.1",
            "tool": "sealgate bench 0.1.0", "time": "2026-01-01T00:00:00Z",
        },
    })
}

/// For a server with a certificate of its own making.
pub(super) fn server_config() -> (ServerConfig, CertificateDer<'static>) {
    let (certificate, key) = self_signed("server");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a certificate with its key");
    config.send_tls13_tickets = 1;
    (config, certificate)
}

/// A listener that has each connection served by `serve`.
pub(super) async fn plain<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(tcp));
        }
    });
    (address, tasks)
}

fn self_signed(common_name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let name = rcgen::DnType::CommonName;
    params.distinguished_name.push(name, common_name);
    let certificate = params.self_signed(&key).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    (certificate.der().clone(), key)
}
