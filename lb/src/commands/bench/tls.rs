//! What is offered in handshakes, and who is trusted.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};

use crate::bench::{Group, Offer, Suite, Trust, Version};
use crate::commands::failure::Failure;

/// What is offered in handshakes, and who is trusted.
#[derive(Debug, Args)]
pub struct TlsOptions {
    /// The server name to ask for [default: the host, unless it is an address]
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    pub sni: Option<ServerName<'static>>,
    /// Which version of TLS to offer
    #[arg(long, value_name = "1.2|1.3|any", value_enum, default_value_t = Tls::Any, hide_possible_values = true)]
    pub tls: Tls,
    /// Which key exchange groups to offer, best first [default: the usual ones]
    #[arg(long, value_name = "GROUP", value_enum, value_delimiter = ',')]
    pub group: Vec<Group>,
    /// Which ciphers to offer [default: all]
    #[arg(long, value_name = "CIPHER", value_enum, value_delimiter = ',')]
    pub suite: Vec<Suite>,
    /// Verify the server's certificates against this PEM file, or `system` [default: verify nothing]
    #[arg(long, value_name = "FILE|system")]
    pub ca: Option<String>,
}

/// Versions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tls {
    /// TLS 1.2 only.
    #[value(name = "1.2")]
    Tls12,
    /// TLS 1.3 only.
    #[value(name = "1.3")]
    Tls13,
    /// Both.
    Any,
}

impl TlsOptions {
    /// What they come to, with these application protocols.
    ///
    /// # Errors
    /// When there are no certificates where they should be.
    pub(super) fn offer(&self, alpn: &[String]) -> Result<Offer, Failure> {
        Ok(Offer {
            versions: self.tls.versions(),
            suites: self.suite.clone(),
            groups: self.group.clone(),
            alpn: alpn.to_vec(),
            trust: self.ca.as_deref().map_or(Ok(Trust::Blind), trust)?,
        })
    }

    /// The name to ask for at `host:port`.
    pub(super) fn server_name(&self, connect: &str, address: SocketAddr) -> ServerName<'static> {
        match &self.sni {
            Some(name) => name.clone(),
            None => host(connect, address),
        }
    }
}

impl Tls {
    fn versions(self) -> Vec<Version> {
        match self {
            Self::Tls12 => vec![Version::Tls12],
            Self::Tls13 => vec![Version::Tls13],
            Self::Any => Vec::new(),
        }
    }
}

fn host(connect: &str, address: SocketAddr) -> ServerName<'static> {
    let host = connect.rsplit_once(':').map_or(connect, |(host, _)| host);
    ServerName::try_from(host.to_owned()).unwrap_or_else(|_| address.ip().into())
}

fn trust(ca: &str) -> Result<Trust, Failure> {
    let certificates = match ca {
        "system" => rustls_native_certs::load_native_certs().certs,
        file => read_certificates(Path::new(file))?,
    };
    let mut roots = RootCertStore::empty();
    let (good, _) = roots.add_parsable_certificates(certificates);
    match good {
        0 => Err(Failure::failed(format!(
            "there is no usable certificate in `--ca {ca}`"
        ))),
        _ => Ok(Trust::Roots(Arc::new(roots))),
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let text = std::fs::read(path).map_err(|error| Failure::reading(path, &error))?;
    let certificates: Result<_, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    certificates.map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned()).map_err(|_| "expected a host name".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_for_follows_from_the_address() {
        let address = ([127, 0, 0, 1], 443).into();
        assert_eq!(
            host("shop.example.com:443", address).to_str(),
            "shop.example.com"
        );
        assert_eq!(host("127.0.0.1:443", address).to_str(), "127.0.0.1");
        let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 443));
        assert_eq!(host("[::1]:443", v6).to_str(), "::1");
    }
}
