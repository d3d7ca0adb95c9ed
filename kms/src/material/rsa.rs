//! RSA (RFC 8017): signatures with PSS and PKCS #1 v1.5, encryption with OAEP.

use std::sync::OnceLock;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm,
    OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaParameters, RsaSignatureEncoding,
};

use super::pair::{Pair, generated, parsed, public, written};
use super::{MaterialError, copy};
use crate::hygiene::scrubbed;
use crate::secret::SecretBytes;
use crate::spec::{EncryptionAlgorithm, KeySpec, SigningAlgorithm};

/// A key that signs.
pub(super) struct RsaSigningKey(KeyPair);

impl RsaSigningKey {
    pub(super) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        digest: &Digest,
    ) -> Result<Vec<u8>, MaterialError> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        let encoding = scheme(algorithm).encoding;
        let signed = scrubbed(|| self.0.sign_digest(encoding, digest, &mut signature));
        signed.map_err(|_| MaterialError::Library("sign"))?;
        Ok(signature)
    }
}

impl Pair for RsaSigningKey {
    fn generate(spec: KeySpec) -> Result<Self, MaterialError> {
        generated(|| KeyPair::generate(size(spec))).map(Self)
    }

    fn from_pkcs8(spec: KeySpec, der: &[u8]) -> Result<Self, MaterialError> {
        let pair = parsed(spec, der, KeyPair::from_pkcs8)?;
        match pair.public_modulus_len() * 8 == bits(spec) {
            true => Ok(Self(pair)),
            false => Err(MaterialError::KeyMaterial(spec)),
        }
    }

    fn to_pkcs8(&self) -> Result<SecretBytes, MaterialError> {
        written(|| self.0.as_der().map(|der| copy(der.as_ref())))
    }

    fn public_key(&self) -> Result<Box<[u8]>, MaterialError> {
        public(self.0.public_key().as_der())
    }
}

/// A key that decrypts.
pub(super) struct RsaDecryptionKey {
    private: PrivateDecryptingKey,
    /// The same.
    oaep: OaepPrivateDecryptingKey,
}

impl RsaDecryptionKey {
    pub(super) fn decrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
    ) -> Result<SecretBytes, MaterialError> {
        let algorithm = oaep(algorithm);
        let decrypted = SecretBytes::try_fill(self.oaep.min_output_size(), |out| {
            let decrypted = scrubbed(|| self.oaep.decrypt(algorithm, ciphertext, out, None));
            decrypted.map(|plaintext| plaintext.len())
        });
        decrypted.map_err(|_| MaterialError::InvalidCiphertext)
    }

    fn new(private: PrivateDecryptingKey) -> Result<Self, MaterialError> {
        let oaep = OaepPrivateDecryptingKey::new(private.clone());
        let oaep = oaep.map_err(|_| MaterialError::Library("hold an RSA key"))?;
        Ok(Self { private, oaep })
    }
}

impl Pair for RsaDecryptionKey {
    fn generate(spec: KeySpec) -> Result<Self, MaterialError> {
        Self::new(generated(|| PrivateDecryptingKey::generate(size(spec)))?)
    }

    fn from_pkcs8(spec: KeySpec, der: &[u8]) -> Result<Self, MaterialError> {
        let private = parsed(spec, der, PrivateDecryptingKey::from_pkcs8)?;
        match private.key_size_bits() == bits(spec) {
            true => Self::new(private),
            false => Err(MaterialError::KeyMaterial(spec)),
        }
    }

    fn to_pkcs8(&self) -> Result<SecretBytes, MaterialError> {
        written(|| self.private.as_der().map(|der| copy(der.as_ref())))
    }

    fn public_key(&self) -> Result<Box<[u8]>, MaterialError> {
        public(self.private.public_key().as_der())
    }
}

/// A key that verifies and encrypts.
pub(super) struct RsaPublicKey {
    oaep: OaepPublicEncryptingKey,
    der: Box<[u8]>,
    /// The key once more for each algorithm that was used: the library binds the two together.
    verifiers: [OnceLock<ParsedPublicKey>; ALGORITHMS],
}

/// How many algorithms RSA keys sign with.
const ALGORITHMS: usize = 6;

impl RsaPublicKey {
    pub(super) fn parse(spec: KeySpec, der: &[u8]) -> Option<Self> {
        let public = PublicEncryptingKey::from_der(der).ok()?;
        let ours = public.key_size_bits() == bits(spec);
        Some(Self {
            oaep: ours.then(|| OaepPublicEncryptingKey::new(public).ok())??,
            der: der.into(),
            verifiers: [const { OnceLock::new() }; ALGORITHMS],
        })
    }

    pub(super) fn verifies(
        &self,
        algorithm: SigningAlgorithm,
        digest: &Digest,
        signature: &[u8],
    ) -> bool {
        let scheme = scheme(algorithm);
        let verifier = self.verifiers[scheme.place].get_or_init(|| {
            ParsedPublicKey::new(scheme.parameters, &self.der).expect("it was parsed before")
        });
        verifier.verify_digest_sig(digest, signature).is_ok()
    }

    /// Encrypts what OAEP has room for.
    pub(super) fn encrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, MaterialError> {
        let algorithm = oaep(algorithm);
        let mut ciphertext = vec![0; self.oaep.ciphertext_size()];
        let encrypted = scrubbed(|| {
            let encrypted = self
                .oaep
                .encrypt(algorithm, plaintext, &mut ciphertext, None);
            encrypted.map(drop)
        });
        encrypted.map_err(|_| MaterialError::Library("encrypt"))?;
        Ok(ciphertext)
    }
}

/// A signing algorithm in the library's words.
struct Scheme {
    /// Among all of RSA's.
    place: usize,
    encoding: &'static RsaSignatureEncoding,
    parameters: &'static RsaParameters,
}

fn scheme(algorithm: SigningAlgorithm) -> Scheme {
    use SigningAlgorithm as S;
    let (place, encoding, parameters) = match algorithm {
        S::RsassaPssSha256 => (0, &RSA_PSS_SHA256, &RSA_PSS_2048_8192_SHA256),
        S::RsassaPssSha384 => (1, &RSA_PSS_SHA384, &RSA_PSS_2048_8192_SHA384),
        S::RsassaPssSha512 => (2, &RSA_PSS_SHA512, &RSA_PSS_2048_8192_SHA512),
        S::RsassaPkcs1V15Sha256 => (3, &RSA_PKCS1_SHA256, &RSA_PKCS1_2048_8192_SHA256),
        S::RsassaPkcs1V15Sha384 => (4, &RSA_PKCS1_SHA384, &RSA_PKCS1_2048_8192_SHA384),
        S::RsassaPkcs1V15Sha512 => (5, &RSA_PKCS1_SHA512, &RSA_PKCS1_2048_8192_SHA512),
        _ => unreachable!("algorithms are checked against the key's spec first"),
    };
    Scheme {
        place,
        encoding,
        parameters,
    }
}

fn oaep(algorithm: EncryptionAlgorithm) -> &'static OaepAlgorithm {
    match algorithm {
        EncryptionAlgorithm::RsaesOaepSha1 => &OAEP_SHA1_MGF1SHA1,
        EncryptionAlgorithm::RsaesOaepSha256 => &OAEP_SHA256_MGF1SHA256,
        EncryptionAlgorithm::SymmetricDefault => {
            unreachable!("algorithms are checked against the key's spec first")
        }
    }
}

fn size(spec: KeySpec) -> KeySize {
    match spec {
        KeySpec::Rsa2048 => KeySize::Rsa2048,
        KeySpec::Rsa3072 => KeySize::Rsa3072,
        KeySpec::Rsa4096 => KeySize::Rsa4096,
        _ => unreachable!("only RSA keys are made here"),
    }
}

fn bits(spec: KeySpec) -> usize {
    size(spec).len() * 8
}
