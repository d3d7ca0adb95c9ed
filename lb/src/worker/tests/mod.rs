//! The edge as a whole, on real sockets: clients on one side, a service that says what it saw on the
//! other.

mod drain;
mod http1;
mod http2;
mod sockets;
mod tls;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use certstore::{CertTable, KeyType, ServedCertificate};
use config::{
    CertificateSelector, HttpVersion, ListenerLimits, ListenerTls, SecurityPolicy, UnknownSni,
};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SignatureAlgorithm};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Workers;
use crate::connection::{HandshakeFailure, HandshakeOutcome, Service};
use crate::downstream::Downstream;
use crate::drain::is_cutting;
use crate::http::framing::Refusal;
use crate::http::incoming::Incoming;
use crate::listener::{BoundListener, ListenerSettings};
use crate::tls::{ClientAuthentication, ServerTls, Ticketers};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// How soon impatient listeners lose patience.
const SOON: Duration = Duration::from_millis(150);

/// A balancer's edge with one listener, `test`.
struct Edge {
    workers: Workers,
    probe: Probe,
    table: Arc<ArcSwap<CertTable>>,
    ticketers: Ticketers,
    pki: Pki,
}

impl Edge {
    fn start(listener: config::Listener) -> Self {
        Self::start_with(listener, 2, 100)
    }

    fn start_with(listener: config::Listener, workers: usize, max_connections: usize) -> Self {
        let probe = Probe::default();
        let service = probe.clone();
        let edge = Self {
            workers: Workers::start(workers, max_connections, move |_| service.clone()).unwrap(),
            probe,
            table: Arc::default(),
            ticketers: Ticketers::default(),
            pki: Pki::new(),
        };
        edge.serve(
            "shop",
            &["shop.example.com", "*.shop.example.com"],
            &rcgen::PKCS_ECDSA_P256_SHA256,
        );
        let bound = BoundListener::bind(&listener, workers).unwrap();
        edge.workers.add(bound, edge.settings(listener)).unwrap();
        edge
    }

    fn settings(&self, listener: config::Listener) -> ListenerSettings {
        let tls = listener.tls.as_ref().map(|tls| {
            let clients = ClientAuthentication::None;
            let ticketer = self
                .ticketers
                .get(&listener.name, tls.policy, clients)
                .unwrap();
            let table = Arc::clone(&self.table);
            Arc::new(ServerTls::new(tls, &listener.protocols, table, ticketer))
        });
        let trusted = Arc::from(["127.0.0.0/8".parse().unwrap()]);
        ListenerSettings::new(Arc::new(listener), trusted, tls)
    }

    fn update(&self, listener: config::Listener) {
        assert!(self.workers.update(self.settings(listener)));
    }

    /// Puts a certificate into the table. Its serial number.
    fn serve(&self, entry: &str, names: &[&str], key: &'static SignatureAlgorithm) -> String {
        let certificate = self.pki.certificate(entry, names, key);
        let serial = certificate.serial.clone();
        self.table
            .store(Arc::new(self.table.load().with(Arc::new(certificate))));
        serial
    }

    fn address(&self) -> SocketAddr {
        self.workers.local_addr("test").unwrap()
    }

    async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    async fn connect_tls(
        &self,
        config: &Arc<ClientConfig>,
        name: &'static str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::clone(config));
        let name = ServerName::try_from(name).unwrap();
        connector.connect(name, self.connect().await).await
    }

    fn connections(&self) -> usize {
        self.workers.connections()[0].1
    }
}

/// A plain listener that speaks everything.
fn plain() -> config::Listener {
    config::Listener {
        name: "test".to_owned(),
        bind: "127.0.0.1:0".parse().unwrap(),
        protocols: vec![HttpVersion::Http2, HttpVersion::Http1],
        tls: None,
        proxy_protocol: false,
        action: None,
        limits: ListenerLimits {
            handshake_timeout: LONG,
            header_timeout: LONG,
            idle_timeout: LONG,
            body_idle_timeout: LONG,
            max_header_bytes: 2048,
            max_headers: 20,
            max_streams: 10,
            max_body_bytes: None,
        },
        allow_encoded_slash: false,
        merge_slashes: true,
    }
}

/// One that ends TLS.
fn secure() -> config::Listener {
    config::Listener {
        tls: Some(ListenerTls {
            policy: SecurityPolicy::Modern,
            certificates: vec![CertificateSelector::All],
            on_unknown_sni: UnknownSni::Reject,
        }),
        ..plain()
    }
}

/// `listener` with other limits.
fn limited(
    mut listener: config::Listener,
    change: impl FnOnce(&mut ListenerLimits),
) -> config::Listener {
    change(&mut listener.limits);
    listener
}

/// A service that answers by path, and remembers what it was told.
#[derive(Clone, Default)]
struct Probe {
    told: Arc<Mutex<Told>>,
    /// Lets one request to `/wait` be answered.
    go: Arc<Notify>,
    /// Told when a request to `/wait` waits.
    waits: Arc<Notify>,
    /// Told at everything else.
    news: Arc<Notify>,
}

#[derive(Default)]
struct Told {
    refused: Vec<Refusal>,
    failed: Vec<HandshakeFailure>,
    paths: Vec<String>,
    opened: usize,
    closed: usize,
    tunnelled: Option<String>,
    /// Of each request to `/wait` that was given up, whether a drain's deadline did it.
    given_up: Vec<bool>,
}

/// A request to `/wait`, until it is answered.
struct Waiting<'a>(&'a Probe);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.tell(|told| told.given_up.push(is_cutting()));
    }
}

impl Probe {
    /// Waits until `told` shows what `wanted` looks for.
    async fn until<T>(&self, wanted: impl Fn(&Told) -> Option<T>) -> T {
        let look = async {
            loop {
                let news = self.news.notified();
                if let Some(found) = wanted(&self.told.lock()) {
                    return found;
                }
                news.await;
            }
        };
        tokio::time::timeout(LONG, look)
            .await
            .expect("it is told in time")
    }

    async fn failure(&self) -> HandshakeFailure {
        self.until(|told| told.failed.last().copied()).await
    }

    async fn refusal(&self) -> Refusal {
        self.until(|told| told.refused.last().copied()).await
    }

    fn paths(&self) -> Vec<String> {
        self.told.lock().paths.clone()
    }

    fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock());
        self.news.notify_one();
    }

    async fn answer(
        &self,
        downstream: &Downstream,
        mut request: Request<Incoming>,
    ) -> Response<Answer> {
        match request.uri().path() {
            "/wait" => {
                let waiting = Waiting(self);
                self.waits.notify_one();
                self.go.notified().await;
                std::mem::forget(waiting);
                line("waited")
            }
            "/client" => line(&format!("{} {}", downstream.client, downstream.local)),
            "/tls" => line(&describe(downstream)),
            "/echo" => match request.body_mut().collect().await {
                Ok(body) => Response::new(Answer::Line(Full::new(body.to_bytes()))),
                Err(_) => with_status(StatusCode::BAD_REQUEST, "broken body"),
            },
            "/early" => line("early"),
            "/stream" => Response::new(Answer::Stream(request.into_body())),
            "/tunnel" => {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(send_back(upgrade));
                switching()
            }
            "/half" => {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(close_and_listen(upgrade, self.clone()));
                switching()
            }
            _ => line("hello"),
        }
    }
}

impl Service for Probe {
    type Body = Answer;

    async fn serve(
        &self,
        downstream: Arc<Downstream>,
        request: Request<Incoming>,
    ) -> Response<Answer> {
        self.tell(|told| told.paths.push(request.uri().path().to_owned()));
        self.answer(&downstream, request).await
    }

    fn refused(&self, _: &Arc<Downstream>, refusal: &Refusal) {
        self.tell(|told| told.refused.push(*refusal));
    }

    fn handshake(&self, _: &config::Listener, outcome: HandshakeOutcome<'_>) {
        if let HandshakeOutcome::Failed(failure) = outcome {
            self.tell(|told| told.failed.push(failure));
        }
    }

    fn connection(&self, _: &config::Listener, opened: bool) {
        self.tell(|told| match opened {
            true => told.opened += 1,
            false => told.closed += 1,
        });
    }
}

enum Answer {
    Line(Full<Bytes>),
    Stream(Incoming),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Line(line) => Pin::new(line)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Line(line) => line.size_hint(),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

fn line(text: &str) -> Response<Answer> {
    Response::new(Answer::Line(Full::new(Bytes::from(text.to_owned()))))
}

fn with_status(status: StatusCode, text: &str) -> Response<Answer> {
    let mut response = line(text);
    *response.status_mut() = status;
    response
}

/// Version, suite, group, resumed or not, the name that was asked for, and the serial.
fn describe(downstream: &Downstream) -> String {
    let tls = downstream.tls.as_ref().expect("there is TLS");
    let resumed = if tls.resumed { "resumed" } else { "full" };
    let name = tls.server_name.as_deref().unwrap_or("-");
    let (group, serial) = (tls.group.unwrap_or("-"), &tls.certificate.serial);
    format!(
        "{} {} {group} {resumed} {name} {serial}",
        tls.version, tls.cipher_suite
    )
}

fn switching() -> Response<Answer> {
    let mut response = with_status(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// Sends back what comes through a tunnel, until it ends.
async fn send_back(upgrade: OnUpgrade) {
    let mut io = TokioIo::new(upgrade.await.unwrap());
    let mut bytes = [0; 64];
    while let Ok(length @ 1..) = io.read(&mut bytes).await {
        io.write_all(&bytes[..length]).await.unwrap();
    }
}

/// Closes its half of a tunnel, and tells what comes through the other.
async fn close_and_listen(upgrade: OnUpgrade, probe: Probe) {
    let mut io = TokioIo::new(upgrade.await.unwrap());
    io.shutdown().await.unwrap();
    let said = rest(&mut io).await;
    probe.tell(|told| told.tunnelled = Some(said));
}

/// Who signs the certificates of a test.
struct Pki {
    issuer: Issuer<'static, KeyPair>,
    roots: Arc<RootCertStore>,
    serial: Mutex<u64>,
}

impl Pki {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            roots: Arc::new(roots),
            serial: Mutex::new(0x1000),
        }
    }

    fn certificate(
        &self,
        entry: &str,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
    ) -> ServedCertificate {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        let mut serial = self.serial.lock();
        *serial += 1;
        params.serial_number = Some((*serial).into());
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let signer = any_supported_type(&der).unwrap();
        let ecdsa = algorithm == &rcgen::PKCS_ECDSA_P256_SHA256;
        ServedCertificate {
            entry: entry.to_owned(),
            key_type: if ecdsa {
                KeyType::EcdsaP256
            } else {
                KeyType::Rsa2048
            },
            version: *serial,
            names,
            serial: format!("{:x}", *serial),
            sha256: String::new(),
            not_before: SystemTime::UNIX_EPOCH,
            not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 32),
            key: Arc::new(CertifiedKey::new(vec![leaf.der().clone()], signer)),
        }
    }

    /// A client that trusts it, and speaks these versions and protocols.
    fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// Sends bytes, and reads until the other side closes.
async fn exchange(
    stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    bytes: &[u8],
) -> String {
    stream.write_all(bytes).await.unwrap();
    rest(stream).await
}

/// Everything until the other side closes.
async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut all)).await;
    let read = read.expect("the other side closes");
    read.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&all)));
    String::from_utf8(all).unwrap()
}

/// Reads one response whose body is `body`.
async fn response(stream: &mut (impl AsyncReadExt + Unpin), body: &str) -> String {
    let mut all = String::new();
    let read = async {
        while !all.ends_with(&format!("\r\n\r\n{body}")) {
            let byte = stream.read_u8().await;
            let byte = byte.unwrap_or_else(|error| panic!("{error} after {all:?}"));
            all.push(char::from(byte));
        }
    };
    let timely = tokio::time::timeout(LONG, read).await;
    assert!(timely.is_ok(), "only {all:?} came");
    all
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

fn get_and_close(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes()
}

/// What `future` comes to, within a time that nothing here needs.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future)
        .await
        .expect("it happens in time")
}
