//! Data keys: one fresh key for one payload, in its plain and its wrapped form.

use crate::message::{self, Header};
use crate::secret::SecretKey;

/// A data key in plain: in memory only, wiped on drop.
pub struct DataKey(SecretKey);

impl DataKey {
    pub(crate) fn new(key: SecretKey) -> Self {
        Self(key)
    }

    /// The key itself, for [`aead`](crate::aead).
    pub fn key(&self) -> &SecretKey {
        &self.0
    }
}

/// A data key encrypted under a KMS key: bytes that may be stored anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey(Vec<u8>);

impl WrappedKey {
    /// A wrapped key as it was stored; whether it opens is for the KMS to say.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Which KMS key and generation wrapped it, as the clear part says; authenticated on opening.
    pub fn header(&self) -> Option<Header> {
        message::header(&self.0)
    }
}
