//! How a listener ends TLS.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use certstore::{CertTable, ServedCertificate};
use config::HttpVersion;
use rustls::server::{Acceptor, NoServerSessionStorage};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::policy;
use super::resolver::{CertLookup, NoCertificate, Show, ShowNone};
use super::ticketer::Ticketer;
use crate::connection::HandshakeFailure;
use crate::downstream::TlsInfo;

/// How a listener ends TLS: everything but the certificate, which each handshake looks up.
///
/// The ClientHello is read first, the certificate chosen by it, and only then rustls told to go on,
/// with a copy of the configuration that knows this certificate alone. So the certificate that was
/// shown is known to everything that happens on the connection, also for a resumed session, and the
/// answer with its signature can be computed elsewhere. The copy costs well under a microsecond.
pub struct ServerTls {
    template: ServerConfig,
    /// Refuses: the client gets an `access_denied` alert.
    refusing: Arc<ServerConfig>,
    lookup: CertLookup,
}

impl ServerTls {
    /// TLS as `tls` says, with certificates from `table`, offering `protocols` by ALPN.
    pub fn new(
        tls: &config::ListenerTls,
        protocols: &[HttpVersion],
        table: Arc<ArcSwap<CertTable>>,
        ticketer: Arc<Ticketer>,
    ) -> Self {
        let mut template = policy::server_config(tls.policy, Arc::new(ShowNone));
        template.session_storage = Arc::new(NoServerSessionStorage {});
        template.ticketer = ticketer;
        // A resumed handshake costs nearly what a full one does, and so does its ticket: one is enough.
        template.send_tls13_tickets = 1;
        template.alpn_protocols = protocols.iter().copied().map(alpn_name).collect();
        Self {
            refusing: Arc::new(template.clone()),
            template,
            lookup: CertLookup::new(table, tls),
        }
    }

    /// Which certificate a client gets.
    pub fn lookup(&self) -> &CertLookup {
        &self.lookup
    }

    /// Brings a TLS session about on `stream`, which was accepted at `accepted`.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        accepted: Instant,
    ) -> Result<(TlsStream<TcpStream>, TlsInfo), HandshakeFailure> {
        if is_http(&stream).await {
            speak_plainly(stream).await;
            return Err(HandshakeFailure::Protocol);
        }
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
        let start = start.map_err(|error| classify(&error))?;
        let hello = start.client_hello();
        let certificate = match self.lookup.find_for(&hello, SystemTime::now()) {
            Ok(certificate) => certificate,
            Err(none) => return Err(self.refuse(start, none).await),
        };
        let config = self.config_for(&hello, &certificate);
        let stream = start.into_stream(config).await;
        let stream = stream.map_err(|error| classify(&error))?;
        let info = describe(stream.get_ref().1, certificate, accepted);
        Ok((stream, info))
    }

    fn config_for(
        &self,
        hello: &rustls::server::ClientHello<'_>,
        certificate: &ServedCertificate,
    ) -> Arc<ServerConfig> {
        let mut config = self.template.clone();
        config.ignore_client_order = !policy::prefers_chacha(hello.cipher_suites());
        config.cert_resolver = Arc::new(Show(Arc::clone(&certificate.key)));
        Arc::new(config)
    }

    async fn refuse(
        &self,
        start: StartHandshake<TcpStream>,
        none: NoCertificate,
    ) -> HandshakeFailure {
        tracing::debug!(name = start.client_hello().server_name(), reason = %none, "no certificate");
        // The client is to get an alert; what becomes of it is its own affair.
        let _ = start.into_stream(Arc::clone(&self.refusing)).await;
        match none {
            NoCertificate::Incompatible => HandshakeFailure::NothingInCommon,
            _ => HandshakeFailure::UnknownName,
        }
    }
}

/// Whether the client speaks HTTP without TLS, whose records begin with other bytes than methods.
async fn is_http(stream: &TcpStream) -> bool {
    let mut first = [0; 4];
    let length = stream.peek(&mut first).await.unwrap_or(0);
    let first = &first[..length];
    let method = |byte: &u8| byte.is_ascii_uppercase() || *byte == b' ';
    first.first().is_some_and(u8::is_ascii_uppercase) && first.iter().all(method)
}

/// Tells the client in its own words what is wrong, and hears it out: closing at once would take back
/// what was said. How that ends is its own affair.
async fn speak_plainly(mut stream: TcpStream) {
    let hear_out = async {
        stream.write_all(NOT_HTTPS).await?;
        stream.shutdown().await?;
        let mut heard = stream.take(HEARD);
        tokio::io::copy(&mut heard, &mut tokio::io::sink()).await
    };
    let _ = timeout(HEAR, hear_out).await;
}

/// The answer to a client that speaks HTTP without TLS.
const NOT_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 56\r\n\
    connection: close\r\n\r\n\
    this port speaks HTTPS: use https:// instead of http://\n";

/// How long, and how many bytes, such a client is heard.
const HEAR: Duration = Duration::from_secs(1);
const HEARD: u64 = 64 << 10;

fn alpn_name(version: HttpVersion) -> Vec<u8> {
    match version {
        HttpVersion::Http1 => b"http/1.1".to_vec(),
        HttpVersion::Http2 => ALPN_H2.to_vec(),
    }
}

/// The name of HTTP/2 over TLS (RFC 9113, section 3.2).
pub(crate) const ALPN_H2: &[u8] = b"h2";

fn describe(
    session: &ServerConnection,
    certificate: Arc<ServedCertificate>,
    accepted: Instant,
) -> TlsInfo {
    let suite = session.negotiated_cipher_suite();
    let group = session.negotiated_key_exchange_group();
    TlsInfo {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        cipher_suite: suite
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or("unknown"),
        group: group.and_then(|group| group.name().as_str()),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        server_name: session.server_name().map(Arc::from),
        certificate,
        handshake: accepted.elapsed(),
    }
}

fn classify(error: &io::Error) -> HandshakeFailure {
    use rustls::Error;

    tracing::debug!(%error, "a TLS handshake failed");
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        None => HandshakeFailure::Closed,
        Some(Error::AlertReceived(_)) => HandshakeFailure::Alert,
        Some(Error::NoApplicationProtocol | Error::PeerIncompatible(_)) => {
            HandshakeFailure::NothingInCommon
        }
        Some(_) => HandshakeFailure::Protocol,
    }
}
