//! Which certificate a client gets.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use certstore::{CertTable, ClientOffer, ServedCertificate};
use config::{CertificateSelector, UnknownSni};
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::policy;

/// Finds the certificate of a listener for a name: in the table as it is at that moment, among those
/// that the listener's `certificates` let through.
#[derive(Clone)]
pub struct CertLookup {
    table: Arc<ArcSwap<CertTable>>,
    permitted: Permitted,
    on_unknown: UnknownSni,
}

/// Why a client gets no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCertificate {
    /// It named no server, and the listener has no default certificate.
    #[error("the client named no server, and the listener has no `default_certificate`")]
    NoName,
    /// The listener may show no certificate for the name, and has no default certificate.
    #[error(
        "no certificate of this listener is for that name, and it has no `default_certificate`"
    )]
    UnknownName,
    /// The listener's default certificate is not in the store, or cannot be opened.
    #[error("the listener's `default_certificate` is not in the store")]
    NoDefault,
    /// There is one, but the client takes neither its kind of key nor that of a twin.
    #[error("the client takes no certificate with such a key")]
    Incompatible,
}

impl CertLookup {
    /// A lookup in `table` for a listener that is set up so.
    pub fn new(table: Arc<ArcSwap<CertTable>>, tls: &config::ListenerTls) -> Self {
        Self {
            table,
            permitted: Permitted::new(&tls.certificates),
            on_unknown: tls.on_unknown_sni.clone(),
        }
    }

    /// The certificate for `server_name` (lower case, no trailing dot) that the client gets at `now`.
    ///
    /// # Errors
    /// When it gets none.
    pub fn find(
        &self,
        server_name: Option<&str>,
        offer: ClientOffer<'_>,
        now: SystemTime,
    ) -> Result<Arc<ServedCertificate>, NoCertificate> {
        let table = self.table.load();
        let Some(name) = server_name else {
            return self.find_default(&table, offer, now, NoCertificate::NoName);
        };
        let permitted = |certificate: &ServedCertificate| self.permitted.allows(certificate);
        if let Some(found) = table.select(name, offer, now, permitted) {
            return Ok(Arc::clone(found));
        }
        if table.select(name, ANY_CLIENT, now, permitted).is_some() {
            return Err(NoCertificate::Incompatible);
        }
        self.find_default(&table, offer, now, NoCertificate::UnknownName)
    }

    fn find_default(
        &self,
        table: &CertTable,
        offer: ClientOffer<'_>,
        now: SystemTime,
        none: NoCertificate,
    ) -> Result<Arc<ServedCertificate>, NoCertificate> {
        let UnknownSni::DefaultCertificate(entry) = &self.on_unknown else {
            return Err(none);
        };
        if table.entry(entry).is_empty() {
            return Err(NoCertificate::NoDefault);
        }
        let found = table.select_entry(entry, offer, now);
        found.map(Arc::clone).ok_or(NoCertificate::Incompatible)
    }

    /// Whether the listener may show `certificate` at all.
    pub fn may_show(&self, certificate: &ServedCertificate) -> bool {
        self.permitted.allows(certificate)
    }

    /// As [`Self::find`], for the client that sent `hello`.
    pub(super) fn find_for(
        &self,
        hello: &ClientHello<'_>,
        now: SystemTime,
    ) -> Result<Arc<ServedCertificate>, NoCertificate> {
        let suites = policy::authentications(hello.cipher_suites());
        let offer = ClientOffer {
            signature_schemes: hello.signature_schemes(),
            ecdsa_suites: suites.ecdsa,
            rsa_suites: suites.rsa,
        };
        self.find(hello.server_name(), offer, now)
    }
}

/// A client that takes every certificate.
pub const ANY_CLIENT: ClientOffer<'static> = ClientOffer {
    signature_schemes: &[
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureScheme::ED25519,
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::RSA_PSS_SHA384,
        SignatureScheme::RSA_PSS_SHA512,
    ],
    ecdsa_suites: true,
    rsa_suites: true,
};

/// The entries that a listener may show, prepared for lookups.
#[derive(Debug, Clone)]
struct Permitted {
    all: bool,
    names: HashSet<String>,
    globs: Vec<CertificateSelector>,
}

impl Permitted {
    fn new(selectors: &[CertificateSelector]) -> Self {
        let mut permitted = Self {
            all: false,
            names: HashSet::new(),
            globs: Vec::new(),
        };
        for selector in selectors {
            match selector {
                CertificateSelector::All => permitted.all = true,
                CertificateSelector::Name(name) => {
                    permitted.names.insert(name.to_ascii_lowercase());
                }
                CertificateSelector::Glob(_) => permitted.globs.push(selector.clone()),
            }
        }
        permitted
    }

    fn allows(&self, certificate: &ServedCertificate) -> bool {
        let entry = certificate.entry.as_str();
        self.all || self.names.contains(entry) || self.globs.iter().any(|glob| glob.matches(entry))
    }
}

/// Shows the certificate that was found for one handshake.
#[derive(Debug)]
pub(super) struct Show(pub(super) Arc<CertifiedKey>);

impl ResolvesServerCert for Show {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Shows none, so that the client gets an alert.
#[derive(Debug)]
pub(super) struct ShowNone;

impl ResolvesServerCert for ShowNone {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}
