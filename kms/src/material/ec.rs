//! Keys on the curves of Weierstrass form: ECDSA (FIPS 186-5) and ECDH (SP 800-56A).

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521, UnparsedPublicKey, agree};
use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1,
    ECDSA_P256K1_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING,
    ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    EcdsaVerificationAlgorithm, KeyPair, ParsedPublicKey,
};

use super::pair::{Pair, generated, parsed, public, written};
use super::public_key::is_spki;
use super::{MaterialError, copy};
use crate::hygiene::scrubbed;
use crate::secret::SecretBytes;
use crate::spec::KeySpec;

/// A key that signs.
pub(super) struct EcdsaKey(EcdsaKeyPair);

impl EcdsaKey {
    pub(super) fn sign(&self, digest: &Digest) -> Result<Vec<u8>, MaterialError> {
        let signature = scrubbed(|| self.0.sign_digest(digest));
        let signature = signature.map_err(|_| MaterialError::Library("sign"))?;
        Ok(signature.as_ref().to_vec())
    }
}

impl Pair for EcdsaKey {
    fn generate(spec: KeySpec) -> Result<Self, MaterialError> {
        generated(|| EcdsaKeyPair::generate(ecdsa(spec).0)).map(Self)
    }

    fn from_pkcs8(spec: KeySpec, der: &[u8]) -> Result<Self, MaterialError> {
        let parse = |der: &[u8]| EcdsaKeyPair::from_pkcs8(ecdsa(spec).0, der);
        parsed(spec, der, parse).map(Self)
    }

    fn to_pkcs8(&self) -> Result<SecretBytes, MaterialError> {
        written(|| self.0.to_pkcs8v1().map(|der| copy(der.as_ref())))
    }

    fn public_key(&self) -> Result<Box<[u8]>, MaterialError> {
        public(self.0.public_key().as_der())
    }
}

/// A key that verifies.
pub(super) struct EcdsaPublicKey(ParsedPublicKey);

impl EcdsaPublicKey {
    pub(super) fn parse(spec: KeySpec, der: &[u8]) -> Option<Self> {
        ParsedPublicKey::new(ecdsa(spec).1, der).ok().map(Self)
    }

    pub(super) fn verifies(&self, digest: &Digest, signature: &[u8]) -> bool {
        self.0.verify_digest_sig(digest, signature).is_ok()
    }
}

/// How keys on that curve sign, and how they verify.
fn ecdsa(
    spec: KeySpec,
) -> (
    &'static EcdsaSigningAlgorithm,
    &'static EcdsaVerificationAlgorithm,
) {
    match spec {
        KeySpec::EccNistP256 => (&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_ASN1),
        KeySpec::EccNistP384 => (&ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1),
        KeySpec::EccNistP521 => (&ECDSA_P521_SHA512_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1),
        KeySpec::EccSecgP256k1 => (&ECDSA_P256K1_SHA256_ASN1_SIGNING, &ECDSA_P256K1_SHA256_ASN1),
        _ => unreachable!("only keys on these curves are made for ECDSA"),
    }
}

/// A key that agrees on secrets.
pub(super) struct EcdhKey {
    spec: KeySpec,
    private: agreement::PrivateKey,
}

impl EcdhKey {
    pub(super) fn agree(&self, public_key: &[u8]) -> Result<SecretBytes, MaterialError> {
        let invalid = MaterialError::InvalidPublicKey(self.spec);
        if !is_spki(self.spec, public_key) {
            return Err(invalid);
        }
        let theirs = UnparsedPublicKey::new(ecdh(self.spec), public_key);
        scrubbed(|| agree(&self.private, theirs, invalid, |secret| Ok(copy(secret))))
    }
}

impl Pair for EcdhKey {
    fn generate(spec: KeySpec) -> Result<Self, MaterialError> {
        let private = generated(|| agreement::PrivateKey::generate(ecdh(spec)))?;
        Ok(Self { spec, private })
    }

    fn from_pkcs8(spec: KeySpec, der: &[u8]) -> Result<Self, MaterialError> {
        let parse = |der: &[u8]| agreement::PrivateKey::from_private_key_der(ecdh(spec), der);
        let private = parsed(spec, der, parse)?;
        Ok(Self { spec, private })
    }

    fn to_pkcs8(&self) -> Result<SecretBytes, MaterialError> {
        written(|| {
            let der: Pkcs8V1Der<'_> = self.private.as_der()?;
            Ok(copy(der.as_ref()))
        })
    }

    fn public_key(&self) -> Result<Box<[u8]>, MaterialError> {
        public(
            self.private
                .compute_public_key()
                .and_then(|key| key.as_der()),
        )
    }
}

fn ecdh(spec: KeySpec) -> &'static agreement::Algorithm {
    match spec {
        KeySpec::EccNistP256 => &ECDH_P256,
        KeySpec::EccNistP384 => &ECDH_P384,
        KeySpec::EccNistP521 => &ECDH_P521,
        _ => unreachable!("only keys on these curves are made for ECDH"),
    }
}
