//! One downstream connection: handshake, protocol, service, end.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;

use crate::downstream::{Downstream, TlsInfo};
use crate::http::framing::Refusal;

/// What a connection asks of the rest of the balancer. One per worker thread; a clone is cheap.
pub trait Service: Clone + Send + Sync + 'static {
    /// The body of a response.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Answers one request.
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

impl HandshakeFailure {
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
