//! TLS towards targets: who is believed, for which name, and what they are shown.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use certstore::{CertTable, ClientOffer};
use config::{CertificateAuthorities, TargetTls};
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use tracing::warn;

use crate::tls::Anybody;

/// What TLS towards targets needs from the rest of the process.
pub struct UpstreamTls<'a> {
    /// The CA certificates of a trust store, by its name; an error says why there are none.
    pub trust: &'a dyn Fn(&str) -> Result<Vec<CertificateDer<'static>>, String>,
    /// The open certificates: what targets are shown follows every swap.
    pub certificates: &'a Arc<ArcSwap<CertTable>>,
}

/// How one target group is spoken to over TLS. Two are equal that trust the same authorities.
#[derive(Debug, Clone)]
pub struct GroupTls {
    /// For connections; it holds the sessions to resume.
    pub config: Arc<ClientConfig>,
    anchors: Option<Vec<TrustAnchor<'static>>>,
}

impl PartialEq for GroupTls {
    fn eq(&self, other: &Self) -> bool {
        self.anchors == other.anchors
    }
}

/// Why TLS towards a target group cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamTlsError {
    /// No CA certificate can be had.
    #[error("target group {group}: no CA certificate from {from}: {why}")]
    Roots {
        /// The target group.
        group: String,
        /// The system, a file or a trust store.
        from: String,
        /// Why.
        why: String,
    },
    /// The client certificate is not in the store.
    #[error(
        "target group {group}: no certificate named {name} is open in the store; import it with \
         `sealgate cert import {name}`"
    )]
    ClientCertificate {
        /// The target group.
        group: String,
        /// The entry.
        name: String,
    },
    /// The server name is none.
    #[error("target group {group}: {name} is no server name")]
    ServerName {
        /// The target group.
        group: String,
        /// What stands there.
        name: String,
    },
}

impl UpstreamTls<'_> {
    /// How a target group is spoken to. Sessions are resumed.
    ///
    /// # Errors
    /// When there are no CA certificates, or the client certificate is not there.
    pub fn group(&self, group: &str, tls: &TargetTls) -> Result<GroupTls, UpstreamTlsError> {
        let roots = match &tls.ca {
            Some(authorities) => Some(self.roots(group, authorities)?),
            None => None,
        };
        let anchors = roots.as_ref().map(|roots| roots.roots.clone());
        Ok(GroupTls {
            config: self.client_config(group, tls, roots)?,
            anchors,
        })
    }

    fn client_config(
        &self,
        group: &str,
        tls: &TargetTls,
        roots: Option<RootCertStore>,
    ) -> Result<Arc<ClientConfig>, UpstreamTlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions");
        let builder = match roots {
            Some(roots) => builder.with_root_certificates(roots),
            None => {
                warn!(
                    target_group = group,
                    "certificates of targets are not verified"
                );
                let anybody = Arc::new(Anybody::new(provider));
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(anybody)
            }
        };
        let mut config = match &tls.client_certificate {
            None => builder.with_no_client_auth(),
            Some(name) => builder.with_client_cert_resolver(self.resolver(group, name)?),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn roots(
        &self,
        group: &str,
        authorities: &CertificateAuthorities,
    ) -> Result<RootCertStore, UpstreamTlsError> {
        let (from, found) = match authorities {
            CertificateAuthorities::System => ("the system".to_owned(), system_roots()),
            CertificateAuthorities::File(path) => (path.display().to_string(), file_roots(path)),
            CertificateAuthorities::TrustStore(name) => {
                (format!("trust store {name}"), (self.trust)(name))
            }
        };
        let fault = |why: String| UpstreamTlsError::Roots {
            group: group.to_owned(),
            from: from.clone(),
            why,
        };
        let mut roots = RootCertStore::empty();
        let (added, ignored) = roots.add_parsable_certificates(found.map_err(fault)?);
        if ignored > 0 {
            warn!(
                target_group = group,
                from, ignored, "CA certificates are not usable"
            );
        }
        if added == 0 {
            return Err(fault("there is none that is usable".to_owned()));
        }
        Ok(roots)
    }

    fn resolver(&self, group: &str, name: &str) -> Result<Arc<FromStore>, UpstreamTlsError> {
        if self.certificates.load().entry(name).is_empty() {
            return Err(UpstreamTlsError::ClientCertificate {
                group: group.to_owned(),
                name: name.to_owned(),
            });
        }
        Ok(Arc::new(FromStore {
            certificates: self.certificates.clone(),
            entry: name.to_owned(),
        }))
    }
}

/// The name that a target is asked for, and that must stand in its certificate.
///
/// # Errors
/// When the configured name is no DNS name and no address.
pub fn server_name(
    group: &str,
    tls: &TargetTls,
    address: std::net::SocketAddr,
) -> Result<ServerName<'static>, UpstreamTlsError> {
    let Some(name) = &tls.server_name else {
        return Ok(ServerName::IpAddress(address.ip().into()));
    };
    ServerName::try_from(name.clone()).map_err(|_| UpstreamTlsError::ServerName {
        group: group.to_owned(),
        name: name.clone(),
    })
}

fn system_roots() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.first() {
        Some(error) if found.certs.is_empty() => Err(error.to_string()),
        _ => Ok(found.certs),
    }
}

fn file_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    certificates
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

/// Shows targets the newest certificate of an entry of the store.
struct FromStore {
    certificates: Arc<ArcSwap<CertTable>>,
    entry: String,
}

impl ResolvesClientCert for FromStore {
    fn resolve(&self, _roots: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let offer = ClientOffer {
            signature_schemes: schemes,
            ecdsa_suites: true,
            rsa_suites: true,
        };
        let table = self.certificates.load();
        let now = std::time::SystemTime::now();
        let shown = table.select_entry(&self.entry, offer, now)?;
        Some(shown.key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for FromStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromStore")
            .field("entry", &self.entry)
            .finish_non_exhaustive()
    }
}
