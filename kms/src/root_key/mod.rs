//! Root keys: the secret outside the KMS that seals its key database.

mod file;

pub use file::RootKeyFile;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::derive::derive;
use crate::error::Error;
use crate::secret::SecretKey;

/// A kind of place that keeps a root key.
pub trait RootKeyProvider {
    /// Where the key is kept, for people.
    fn place(&self) -> String;

    /// Fetches the key.
    ///
    /// # Errors
    /// Why it cannot be had, and what to do about it.
    fn root_key(&self) -> Result<RootKey, Error>;
}

/// Which place keeps the root key, as a manifest or a configuration says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RootKeySource {
    /// A file.
    File(PathBuf),
}

impl RootKeySource {
    /// The place itself.
    pub fn provider(&self) -> Box<dyn RootKeyProvider> {
        match self {
            Self::File(path) => Box::new(RootKeyFile::new(path)),
        }
    }
}

/// A root key in memory, with its place for error messages.
pub struct RootKey {
    key: SecretKey,
    place: String,
    fingerprint: Fingerprint,
}

impl RootKey {
    /// A root key that came from `place`.
    pub fn new(key: SecretKey, place: impl Into<String>) -> Self {
        let fingerprint = Fingerprint::of(&key);
        Self {
            key,
            place: place.into(),
            fingerprint,
        }
    }

    /// Where it came from, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What tells it from other root keys, and tells nothing of the key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn key(&self) -> &SecretKey {
        &self.key
    }
}

/// Eight bytes that tell one root key from another: the head of
/// HKDF-SHA256(root key, no salt, "sealgate root key fingerprint 1"). Shown as 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; Self::LEN]);

impl Fingerprint {
    /// Bytes in a fingerprint.
    pub const LEN: usize = 8;

    fn of(key: &SecretKey) -> Self {
        let derived = derive(key, &[], &[b"sealgate root key fingerprint 1"]);
        Self::from_bytes(*derived.expose().first_chunk().expect("32 bytes hold 8"))
    }

    /// The fingerprint as it stands in a record.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_keys_apart_and_stays_the_same() {
        let of = |byte| Fingerprint::of(&SecretKey::copy_from(&[byte; 32]).unwrap());
        assert_ne!(of(1), of(2));
        // It stands in every record: it must never change.
        assert_eq!(of(1).to_string(), "64e7d3e9dc4922c8");
    }
}
