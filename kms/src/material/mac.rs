//! HMAC (RFC 2104, FIPS 198-1).

use aws_lc_rs::hmac::{self, HMAC_SHA224, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512, Key};

use super::MaterialError;
use crate::hygiene::scrubbed;
use crate::secret::SecretBytes;
use crate::spec::KeySpec;

/// A key that makes and verifies MACs.
pub(super) struct MacKey {
    secret: SecretBytes,
    /// Boxed, so that it is wiped where it stood.
    key: Box<Key>,
}

impl MacKey {
    /// A key of its spec's length.
    ///
    /// # Errors
    /// [`MaterialError::KeyMaterial`] for another length.
    pub(super) fn new(spec: KeySpec, secret: SecretBytes) -> Result<Self, MaterialError> {
        if spec.secret_len() != Some(secret.expose().len()) {
            return Err(MaterialError::KeyMaterial(spec));
        }
        let key = scrubbed(|| Box::new(Key::new(algorithm(spec), secret.expose())));
        Ok(Self { secret, key })
    }

    pub(super) fn expose(&self) -> &[u8] {
        self.secret.expose()
    }

    pub(super) fn generate(&self, message: &[u8]) -> Vec<u8> {
        scrubbed(|| hmac::sign(&self.key, message))
            .as_ref()
            .to_vec()
    }

    pub(super) fn verifies(&self, message: &[u8], mac: &[u8]) -> bool {
        scrubbed(|| hmac::verify(&self.key, message, mac)).is_ok()
    }
}

fn algorithm(spec: KeySpec) -> hmac::Algorithm {
    match spec {
        KeySpec::Hmac224 => HMAC_SHA224,
        KeySpec::Hmac256 => HMAC_SHA256,
        KeySpec::Hmac384 => HMAC_SHA384,
        KeySpec::Hmac512 => HMAC_SHA512,
        _ => unreachable!("only MAC keys are made here"),
    }
}
