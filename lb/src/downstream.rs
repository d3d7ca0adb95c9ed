//! What is known of a client's connection, for everything that happens on it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use certstore::ServedCertificate;
use http::HeaderValue;

/// A client's connection, once its handshake is done. Shared by all requests on it.
#[derive(Debug)]
pub struct Downstream {
    /// Index of the listener in the configuration in force when it was accepted.
    pub listener: Arc<config::Listener>,
    /// Who connected: the socket's peer, or what a PROXY header says.
    pub client: SocketAddr,
    /// The socket's peer: differs from `client` behind a PROXY header.
    pub peer: SocketAddr,
    /// To which address it connected.
    pub local: SocketAddr,
    /// When the connection was accepted.
    pub accepted: Instant,
    /// What the TLS handshake came to; none on a plain listener.
    pub tls: Option<TlsInfo>,
    /// What targets are told of it, once there was a request.
    pub told: OnceLock<Told>,
}

/// What targets are told of a connection, in the form of header fields.
#[derive(Debug)]
pub struct Told {
    /// The client's address.
    pub client: HeaderValue,
    /// The port that it connected to.
    pub port: HeaderValue,
}

impl Downstream {
    /// What targets are told of it.
    pub fn told(&self) -> &Told {
        self.told.get_or_init(|| Told {
            client: HeaderValue::try_from(self.client.ip().to_canonical().to_string())
                .expect("an address is made of visible characters"),
            port: HeaderValue::from(self.local.port()),
        })
    }
}

/// What a TLS handshake came to.
#[derive(Debug, Clone)]
pub struct TlsInfo {
    /// `TLSv1.3`, `TLSv1.2`.
    pub version: &'static str,
    /// `TLS13_AES_128_GCM_SHA256`, …
    pub cipher_suite: &'static str,
    /// `X25519MLKEM768`, …; none where no key exchange took place.
    pub group: Option<&'static str>,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// The name that the client asked for, in lower case.
    pub server_name: Option<Arc<str>>,
    /// The certificate that was chosen; for a resumed session the one that would be shown now.
    pub certificate: Arc<ServedCertificate>,
    /// How long the handshake took, from the accepted connection.
    pub handshake: Duration,
}
