//! Root keys: the secret outside the KMS that seals its key database.
//!
//! A root key is kept in one of several kinds of place ([`RootKeySource`]). A file holds the key itself
//! (`file.rs`). Every other place gives a key-encryption key, under which the state directory has the
//! root key in a *root record* (`record.rs`). What such a place needs from people, or from whoever
//! starts this process, is handed in as [`Unlock`]; without it the KMS is [sealed](crate::Error::Sealed).

mod credential;
mod error;
mod file;
mod make;
mod open;
mod passphrase;
mod record;
mod shamir;
mod share;
mod source;

pub use error::{Needs, RootError};
pub use file::RootKeyFile;
pub use make::{NewRoot, Sharing};
pub use open::Unlock;
pub use passphrase::Passphrase;
pub use share::Share;
pub use source::{RootKeySource, SourceKind};

pub(crate) use make::make;
pub(crate) use open::{Places, in_force, open, receive};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use record::RootRecord;
pub(crate) use record::{DatabaseId, record_name, record_name_of};

use crate::derive::derive;
use crate::secret::SecretKey;

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

    pub(crate) const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
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
