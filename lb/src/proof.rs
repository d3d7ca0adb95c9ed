//! A handshake with ourselves, to see what is really served.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use certstore::KeyFamily;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, SignatureScheme};
use sha2::{Digest, Sha256};

use crate::tls::Anybody;

/// The leaf certificate that the listener at `bound` shows to a client that asks for `server_name`
/// and verifies signatures of `family` alone: its SHA-256 in lower-case hexadecimal. The handshake
/// is completed, so the listener has the certificate's key.
///
/// # Errors
/// What ended the handshake.
pub fn served(bound: SocketAddr, server_name: &str, family: KeyFamily) -> io::Result<String> {
    let name = ServerName::try_from(server_name.to_owned()).map_err(io::Error::other)?;
    let mut tcp = TcpStream::connect_timeout(&reachable(bound), PATIENCE)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    let mut client = ClientConnection::new(config(family)?, name).map_err(io::Error::other)?;
    while client.is_handshaking() {
        client.complete_io(&mut tcp)?;
    }
    client.send_close_notify();
    client.complete_io(&mut tcp)?;
    let leaf = client.peer_certificates().and_then(<[_]>::first);
    let leaf = leaf.ok_or_else(|| io::Error::other("no certificate was shown"))?;
    Ok(hex(&Sha256::digest(leaf)))
}

/// A name that a client could ask for to be shown a certificate for `name`: a wildcard stands for
/// some label. None for an address, which is never asked for.
pub fn server_name_for(name: &str) -> Option<String> {
    if name.parse::<IpAddr>().is_ok() {
        return None;
    }
    Some(match name.strip_prefix("*.") {
        Some(domain) => format!("sealgate-proof.{domain}"),
        None => name.to_owned(),
    })
}

/// The signatures that keys of `family` make.
pub fn schemes(family: KeyFamily) -> &'static [SignatureScheme] {
    use SignatureScheme as S;
    match family {
        KeyFamily::Ecdsa => &[S::ECDSA_NISTP256_SHA256, S::ECDSA_NISTP384_SHA384],
        KeyFamily::Ed25519 => &[S::ED25519],
        KeyFamily::Rsa => &[
            S::RSA_PSS_SHA256,
            S::RSA_PSS_SHA384,
            S::RSA_PSS_SHA512,
            S::RSA_PKCS1_SHA256,
            S::RSA_PKCS1_SHA384,
            S::RSA_PKCS1_SHA512,
        ],
    }
}

/// Where a socket that is bound to `bound` can be connected to from here.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

fn config(family: KeyFamily) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Anybody::signing_with(provider.clone(), schemes(family));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let mut config = config
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_asked_for_by_some_label() {
        assert_eq!(
            server_name_for("a.example.com").as_deref(),
            Some("a.example.com")
        );
        assert_eq!(
            server_name_for("*.example.com").as_deref(),
            Some("sealgate-proof.example.com")
        );
        assert_eq!(server_name_for("127.0.0.1"), None);
    }

    #[test]
    fn any_address_is_reached_through_the_loopback() {
        let reached = |bound: &str| reachable(bound.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:443"), "127.0.0.1:443");
        assert_eq!(reached("[::]:443"), "[::1]:443");
        assert_eq!(reached("10.0.0.1:443"), "10.0.0.1:443");
    }
}
