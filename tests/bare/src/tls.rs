//! TLS as Sealgate has it: AES-128 first, one ticket per handshake.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::TlsConnector;

/// For connections of clients, which may choose HTTP/2.
///
/// # Errors
/// When certificate and key cannot be read or do not go together.
pub(crate) fn server(cert: &Path, key: &Path) -> Result<ServerConfig, Box<dyn Error>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert)?.collect();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aes_128_first()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain?, PrivateKeyDer::from_pem_file(key)?)?;
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.ignore_client_order = true;
    config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// For connections to a target with this name and a certificate of this CA.
///
/// # Errors
/// When the CA cannot be read or the name is none.
pub(crate) fn client(
    ca: &Path,
    name: String,
) -> Result<(TlsConnector, ServerName<'static>), Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(ca)? {
        roots.add(root?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aes_128_first()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((TlsConnector::from(Arc::new(config)), name.try_into()?))
}

fn aes_128_first() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let is_aes_128 = |suite| {
        matches!(
            suite,
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    // The sort is stable: the rest stays in its order.
    provider
        .cipher_suites
        .sort_by_key(|suite| !is_aes_128(suite.suite()));
    provider
}

/// HTTP/2 in ALPN (RFC 9113 section 3.2).
pub(crate) const HTTP_2: &[u8] = b"h2";
