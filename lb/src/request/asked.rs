//! What a request asks for: one host, one path.

use http::{HeaderValue, Method, Request};

use crate::action::default_port;
use crate::authority::Authority;
use crate::downstream::{Downstream, TlsInfo};
use crate::error::{End, ProxyError};
use crate::http::incoming::Incoming;
use crate::path::{self, PathForm};

/// What a request asks for.
pub(super) struct Asked {
    pub(super) authority: Authority,
    /// The authority as a field says it.
    pub(super) host: HeaderValue,
    /// In the form that is matched; `*` for all of the server.
    pub(super) path: Box<str>,
}

impl Asked {
    /// What `request` asks for.
    ///
    /// # Errors
    /// When it could be understood differently by the next who reads it.
    pub(super) fn of(
        request: &Request<Incoming>,
        downstream: &Downstream,
    ) -> Result<Self, ProxyError> {
        if request.method() == Method::CONNECT {
            return Err(End::MethodRefused.into());
        }
        if request.method() == Method::TRACE {
            return Err(End::TraceRefused.into());
        }
        let port = default_port(scheme(downstream));
        let authority = Authority::of(request.uri(), request.headers(), port)
            .map_err(|error| ProxyError::because(End::BadAuthority, error))?;
        let host = match authority.port() {
            None => HeaderValue::from_str(authority.host()),
            Some(_) => HeaderValue::from_str(&authority.to_string()),
        };
        let host = host.map_err(|_| End::BadAuthority)?;
        path::check_query(request.uri().query())
            .map_err(|error| ProxyError::because(End::BadPath, error))?;
        let path = match request.uri().path() {
            "*" if request.method() == Method::OPTIONS => "*".into(),
            path => path::normalise(path, PathForm::of(&downstream.listener))
                .map_err(|error| ProxyError::because(End::BadPath, error))?
                .into(),
        };
        Ok(Self {
            authority,
            host,
            path,
        })
    }

    /// Whether the request belongs on its connection: 421 if not.
    ///
    /// # Errors
    /// When the certificate of the connection is for other hosts.
    pub(super) fn check_certificate(&self, downstream: &Downstream) -> Result<(), End> {
        match &downstream.tls {
            Some(tls) if !is_directed(tls, &self.authority) => Err(End::Misdirected),
            _ => Ok(()),
        }
    }
}

/// Whether a request for this host belongs on a connection with this certificate (RFC 9110, section
/// 15.5.20). A client that named no server, or one that the certificate is not for, was shown the
/// listener's default certificate, and took it: without a name, whatever it asks for is its choice; with
/// one, it must ask for that one.
fn is_directed(tls: &TlsInfo, authority: &Authority) -> bool {
    let host = authority.certificate_name();
    match tls.server_name.as_deref() {
        None => true,
        Some(name) => name == host || tls.certificate.covers(host),
    }
}

/// `http` or `https`.
pub(super) fn scheme(downstream: &Downstream) -> &'static str {
    if downstream.tls.is_some() {
        "https"
    } else {
        "http"
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::testing;

    /// A TLS session with this server name and a certificate for these names.
    fn tls(server_name: Option<&str>, names: &[&str]) -> TlsInfo {
        TlsInfo {
            version: "TLSv1.3",
            cipher_suite: "TLS13_AES_128_GCM_SHA256",
            group: Some("X25519"),
            resumed: false,
            server_name: server_name.map(Into::into),
            certificate: Arc::new(testing::certificate("shop", names)),
            handshake: Duration::ZERO,
        }
    }

    #[test]
    fn a_host_that_the_certificate_is_not_for_is_misdirected() {
        let names = ["a.example", "*.b.example", "192.0.2.1", "2001:db8::1"];
        for (server_name, host, directed) in [
            (Some("a.example"), "a.example", true),
            (Some("a.example"), "x.b.example:8443", true),
            (Some("a.example"), "192.0.2.1", true),
            (Some("a.example"), "[2001:db8::1]", true),
            (Some("a.example"), "b.example", false),
            (Some("a.example"), "x.y.b.example", false),
            (Some("a.example"), "c.example", false),
            // The default certificate, for a name that it is not for and for none.
            (Some("other.example"), "other.example", true),
            (Some("other.example"), "third.example", false),
            (None, "third.example", true),
        ] {
            let authority = Authority::parse(host.as_bytes()).unwrap();
            let found = is_directed(&tls(server_name, &names), &authority);
            assert_eq!(found, directed, "{server_name:?} {host}");
        }
    }
}
