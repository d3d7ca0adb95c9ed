//! A certificate that is open and ready to be shown in handshakes.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::sign::CertifiedKey;

use crate::host;
use crate::key_type::KeyType;
use crate::name::{EntryFile, EntryName};

/// An opened entry of the store: chain, signing key, and what is said of them.
pub struct ServedCertificate {
    /// The entry's name, in lower case: what a listener's `certificates` speak of.
    pub entry: String,
    /// The kind of its key.
    pub key_type: KeyType,
    /// How often the entry was written.
    pub version: u64,
    /// DNS names (RFC 6125: exact, or with one leading `*.`) and addresses in the leaf's subject
    /// alternative names, in lower case.
    pub names: Vec<String>,
    /// The leaf's serial number in lower-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the leaf in lower-case hexadecimal.
    pub sha256: String,
    /// From when the leaf is valid.
    pub not_before: SystemTime,
    /// Until when the leaf is valid.
    pub not_after: SystemTime,
    /// What rustls signs with.
    pub key: Arc<CertifiedKey>,
}

impl ServedCertificate {
    /// The file in the store's directory that it stands in.
    pub(crate) fn file(&self) -> Option<String> {
        let name = EntryName::known(&self.entry).ok()?;
        Some(EntryFile::new(&name, self.key_type.family(), false).to_string())
    }

    /// Whether the certificate is valid at `now`.
    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether the certificate is for `host` (lower case, without port or trailing dot), by an exact
    /// name, an address, or a wildcard that stands for exactly one label.
    pub fn covers(&self, host: &str) -> bool {
        host::covers(&self.names, host)
    }
}

impl fmt::Debug for ServedCertificate {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedCertificate")
            .field("entry", &self.entry)
            .field("key_type", &self.key_type)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}
