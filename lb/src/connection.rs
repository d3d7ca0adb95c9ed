//! One downstream connection: handshake, protocol, service, end.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use config::HttpVersion;
use http::{Request, Response};
use http_body::Body;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::downstream::{Downstream, TlsInfo};
use crate::drain::Leaving;
use crate::http::framing::Refusal;
use crate::http::incoming::Incoming;
use crate::http::serve::Session;
use crate::http::transport::{Io, Transport};
use crate::listener::ListenerSettings;
use crate::proxy_protocol::{self, Proxied};
use crate::tls::ALPN_H2;
use crate::worker::Admission;

/// What a connection asks of the rest of the balancer. One per worker thread; a clone is cheap.
pub trait Service: Clone + Send + Sync + 'static {
    /// The body of a response.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;

    /// Answers one request. A `101`, or a success to CONNECT, makes a tunnel of an HTTP/1.1 connection:
    /// `hyper::upgrade::on` gives its bytes.
    fn serve(
        &self,
        downstream: Arc<Downstream>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// A request was refused on its bytes, and has been answered: for access log and metrics.
    fn refused(&self, downstream: &Arc<Downstream>, refusal: &Refusal);

    /// A TLS handshake ended.
    fn handshake(&self, listener: &config::Listener, outcome: HandshakeOutcome<'_>);

    /// A connection was accepted, or has ended.
    fn connection(&self, listener: &config::Listener, opened: bool);
}

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy)]
pub enum HandshakeOutcome<'a> {
    /// It came to a session, full or resumed.
    Done(&'a TlsInfo),
    /// It came to none.
    Failed(HandshakeFailure),
}

/// Why a connection came to no TLS session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandshakeFailure {
    /// `handshake_timeout` passed.
    Timeout,
    /// The client closed the connection, or the network did.
    Closed,
    /// The client named a server that no permitted certificate is for, or none.
    UnknownName,
    /// No version, suite, group, signature scheme or application protocol in common.
    NothingInCommon,
    /// The client answered with an alert: most often it does not trust the certificate.
    Alert,
    /// What came is not TLS, or breaks its rules.
    Protocol,
    /// The PROXY header is missing, malformed, or not this peer's to send.
    ProxyHeader,
}

/// An accepted connection.
pub(crate) struct Arrival<S: Service> {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) accepted: std::time::Instant,
    pub(crate) settings: Arc<ListenerSettings>,
    pub(crate) leaving: Leaving,
    pub(crate) service: S,
    pub(crate) admission: Admission<S>,
}

/// The life of a connection: PROXY header, TLS, the client's first word, HTTP.
///
/// What comes after the handshake is a task of its own: the handshake's state is large, and a
/// connection may be idle for long.
pub(crate) async fn run<S: Service>(arrival: Arrival<S>) {
    let settings = Arc::clone(&arrival.settings);
    let service = arrival.service.clone();
    let (listener, peer) = (&settings.listener, arrival.peer);
    let opened = timeout(listener.limits.handshake_timeout, open(arrival)).await;
    match opened.unwrap_or(Err(HandshakeFailure::Timeout)) {
        Ok(opened) => drop(tokio::spawn(serve(opened))),
        Err(failure) => {
            let (name, kind) = (&listener.name, failure.as_str());
            match settings.failures.count(failure) {
                None => tracing::debug!(%peer, listener = name, failure = kind, "no session"),
                Some(count) => {
                    tracing::info!(%peer, listener = name, failure = kind, count, "handshakes fail");
                }
            }
            service.handshake(listener, HandshakeOutcome::Failed(failure));
        }
    }
}

/// A connection on which requests can be read.
struct Opened<S: Service> {
    session: Session<S>,
    /// What the client chose by ALPN.
    version: Option<HttpVersion>,
}

async fn open<S: Service>(mut arrival: Arrival<S>) -> Result<Opened<S>, HandshakeFailure> {
    let (client, local) = meet_proxy(&mut arrival).await?;
    let settings = arrival.settings;
    let (io, version, tls) = match &settings.tls {
        None => (Io::Tcp(arrival.stream), None, None),
        Some(tls) => {
            let (stream, info) = tls.accept(arrival.stream, arrival.accepted).await?;
            let done = HandshakeOutcome::Done(&info);
            arrival.service.handshake(&settings.listener, done);
            let version = stream.get_ref().1.alpn_protocol().map(version_of);
            (Io::Tls(Box::new(stream)), version, Some(info))
        }
    };
    let patience = settings.listener.limits.body_idle_timeout;
    let session = Session {
        transport: Transport::new(io, patience, arrival.admission),
        downstream: Arc::new(Downstream {
            listener: Arc::clone(&settings.listener),
            client,
            peer: arrival.peer,
            local,
            accepted: arrival.accepted,
            tls,
            told: OnceLock::new(),
        }),
        settings,
        leaving: arrival.leaving,
        service: arrival.service,
    };
    Ok(Opened { session, version })
}

/// The client, and the address that it connected to. A PROXY header is demanded from trusted proxies;
/// from others it is not looked for, and is not TLS, nor a request.
async fn meet_proxy<S: Service>(
    arrival: &mut Arrival<S>,
) -> Result<(SocketAddr, SocketAddr), HandshakeFailure> {
    let peer = arrival.peer;
    let trusted = || {
        arrival
            .settings
            .trusted_proxies
            .iter()
            .any(|net| net.contains(&peer.ip()))
    };
    if !arrival.settings.listener.proxy_protocol || !trusted() {
        return Ok((peer, arrival.local));
    }
    match proxy_protocol::read(&mut arrival.stream).await {
        Ok(Proxied::Client {
            source,
            destination,
        }) => Ok((source, destination)),
        Ok(Proxied::Itself) => Ok((peer, arrival.local)),
        Err(error) => {
            tracing::debug!(%peer, %error, "a trusted proxy sent no PROXY header");
            Err(HandshakeFailure::ProxyHeader)
        }
    }
}

fn version_of(alpn: &[u8]) -> HttpVersion {
    if alpn == ALPN_H2 {
        HttpVersion::Http2
    } else {
        HttpVersion::Http1
    }
}

/// Waits for the client's first word with as little memory as possible, then serves it.
async fn serve<S: Service>(opened: Opened<S>) {
    let Opened {
        mut session,
        version,
    } = opened;
    let limit = session.settings.timeouts.idle;
    let mut leaving = session.leaving.clone();
    let version = tokio::select! {
        biased;
        version = first_word(&mut session, version) => version,
        () = leaving.patience(limit) => Ok(None),
    };
    match version {
        Ok(Some(version)) => speak(session, version).await,
        // Without `close_notify` an end looks like a cut (RFC 8446, section 6.1). The client may be
        // gone already.
        Ok(None) => drop(session.transport.shutdown().await),
        // What breaks off is the client's affair.
        Err(_) => {}
    }
}

/// Not `async`, so that an idle connection's task has no room for this.
fn speak<S: Service>(
    session: Session<S>,
    version: HttpVersion,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    match version {
        HttpVersion::Http1 => Box::pin(session.http1()),
        HttpVersion::Http2 => Box::pin(session.http2()),
    }
}

/// What the client speaks, if that is offered here. None: it left.
async fn first_word<S: Service>(
    session: &mut Session<S>,
    chosen: Option<HttpVersion>,
) -> io::Result<Option<HttpVersion>> {
    let offered = &session.settings.listener.protocols;
    let version = match chosen {
        None if offered.contains(&HttpVersion::Http2) => session.transport.version().await?,
        chosen => {
            let spoke = session.transport.wait().await?;
            spoke.map(|()| chosen.unwrap_or(HttpVersion::Http1))
        }
    };
    Ok(version.filter(|version| offered.contains(version)))
}

impl HandshakeFailure {
    /// How many kinds there are.
    pub(crate) const COUNT: usize = Self::ProxyHeader as usize + 1;

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::UnknownName => "unknown_name",
            Self::NothingInCommon => "nothing_in_common",
            Self::Alert => "alert",
            Self::Protocol => "protocol",
            Self::ProxyHeader => "proxy_header",
        }
    }
}
