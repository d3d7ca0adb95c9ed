//! Ed25519 and Ed25519ph (RFC 8032).

use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign_prehashed};
use ed25519_dalek::{Signature, VerifyingKey};
use pkcs8::spki::SubjectPublicKeyInfoRef;
use sha2::{Digest, Sha512};

use super::pair::{Pair, generated, parsed, public, written};
use super::{MaterialError, copy};
use crate::hygiene::scrubbed;
use crate::secret::{SecretBytes, SecretKey};
use crate::spec::KeySpec;

/// A key that signs.
pub(super) struct Ed25519Key {
    pair: Ed25519KeyPair,
    /// The same key for the variant that the library does not have: in locked memory, and expanded, which
    /// is cheap, for each signature.
    seed: SecretKey,
    public: VerifyingKey,
}

impl Ed25519Key {
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, MaterialError> {
        let signature = scrubbed(|| self.pair.try_sign(message));
        let signature = signature.map_err(|_| MaterialError::Library("sign"))?;
        Ok(signature.as_ref().to_vec())
    }

    /// Ed25519ph: signs the SHA-512 of the message.
    pub(super) fn sign_prehashed(&self, message: &[u8]) -> Result<Vec<u8>, MaterialError> {
        let hash = Sha512::new_with_prefix(message);
        let signed = scrubbed(|| {
            let key = ExpandedSecretKey::from(self.seed.expose());
            raw_sign_prehashed::<Sha512, _>(&key, hash, &self.public, None)
        });
        let signature = signed.map_err(|_| MaterialError::Library("sign"))?;
        Ok(signature.to_bytes().to_vec())
    }

    fn new(pair: Ed25519KeyPair) -> Result<Self, MaterialError> {
        let seed = scrubbed(|| {
            let seed: Curve25519SeedBin<'_> = pair.seed().ok()?.as_be_bytes().ok()?;
            SecretKey::copy_from(seed.as_ref())
        });
        let public = verifying_key(pair.public_key().as_ref());
        let read = MaterialError::Library("read an Ed25519 key");
        Ok(Self {
            seed: seed.ok_or_else(|| read.clone())?,
            public: public.ok_or(read)?,
            pair,
        })
    }
}

impl Pair for Ed25519Key {
    fn generate(_: KeySpec) -> Result<Self, MaterialError> {
        Self::new(generated(Ed25519KeyPair::generate)?)
    }

    fn from_pkcs8(spec: KeySpec, der: &[u8]) -> Result<Self, MaterialError> {
        Self::new(parsed(spec, der, Ed25519KeyPair::from_pkcs8)?)
    }

    fn to_pkcs8(&self) -> Result<SecretBytes, MaterialError> {
        written(|| self.pair.to_pkcs8v1().map(|der| copy(der.as_ref())))
    }

    fn public_key(&self) -> Result<Box<[u8]>, MaterialError> {
        public(self.pair.public_key().as_der())
    }
}

/// A key that verifies.
pub(super) struct Ed25519PublicKey {
    public: ParsedPublicKey,
    /// For Ed25519ph.
    prehash: VerifyingKey,
}

impl Ed25519PublicKey {
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let raw = SubjectPublicKeyInfoRef::try_from(der).ok()?;
        Some(Self {
            public: ParsedPublicKey::new(&ED25519, der).ok()?,
            prehash: verifying_key(raw.subject_public_key.as_bytes()?)?,
        })
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }

    pub(super) fn verifies_prehashed(&self, message: &[u8], signature: &[u8]) -> bool {
        let hash = Sha512::new_with_prefix(message);
        Signature::from_slice(signature)
            .and_then(|signature| self.prehash.verify_prehashed_strict(hash, None, &signature))
            .is_ok()
    }
}

fn verifying_key(raw: &[u8]) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(raw.try_into().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.3.
    #[test]
    fn ed25519ph_agrees_with_the_rfc() {
        let seed = hex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42");
        let key = Ed25519Key::new(Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()).unwrap();
        let signature = hex(concat!(
            "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41",
            "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
        ));
        assert_eq!(key.sign_prehashed(b"abc").unwrap(), signature);
        let public = Ed25519PublicKey::parse(&key.public_key().unwrap()).unwrap();
        assert!(public.verifies_prehashed(b"abc", &signature));
        assert!(!public.verifies(b"abc", &signature));
    }

    fn hex(text: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect()
    }
}
