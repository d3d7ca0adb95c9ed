//! Pairs for use outside of the KMS.

use super::{Material, MaterialError};
use crate::environment::Random;
use crate::secret::SecretBytes;
use crate::spec::{KeySpec, KeyUsage};

/// A fresh pair that the KMS does not keep: the caller does, its private key encrypted.
pub struct DataKeyPair {
    /// PKCS#8 in DER (RFC 5958).
    pub private_key: SecretBytes,
    /// A SubjectPublicKeyInfo in DER (RFC 5280).
    pub public_key: Vec<u8>,
}

impl DataKeyPair {
    /// A fresh pair.
    ///
    /// # Errors
    /// [`MaterialError::Usage`] for a spec of keys that are no pairs.
    pub fn generate(spec: KeySpec, random: &dyn Random) -> Result<Self, MaterialError> {
        let material = Material::generate(spec, KeyUsage::SignVerify, random)?;
        let public_key = material.public_key().expect("what signs is a pair");
        Ok(Self {
            private_key: material.to_secret()?,
            public_key: public_key.as_der().to_vec(),
        })
    }
}
