//! Public keys: what anybody may do with a pair.

use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::MaterialError;
use super::ec::EcdsaPublicKey;
use super::ed25519::Ed25519PublicKey;
use super::message::Message;
use super::rsa::RsaPublicKey;
use crate::spec::{EncryptionAlgorithm, KeySpec, MessageType, SigningAlgorithm};

/// The public half of a pair, parsed.
pub struct PublicKey {
    spec: KeySpec,
    der: Box<[u8]>,
    form: Form,
}

enum Form {
    Rsa(Box<RsaPublicKey>),
    /// Of keys that agree on secrets, too: what it is for is the private key's matter.
    Elliptic(EcdsaPublicKey),
    Ed25519(Box<Ed25519PublicKey>),
}

impl PublicKey {
    /// A public key from its SubjectPublicKeyInfo in DER (RFC 5280).
    ///
    /// # Errors
    /// [`MaterialError::InvalidPublicKey`] for what is no public key of `spec`.
    pub fn from_der(spec: KeySpec, der: &[u8]) -> Result<Self, MaterialError> {
        let form = match spec {
            _ if !is_spki(spec, der) => None,
            KeySpec::EccNistEdwards25519 => Ed25519PublicKey::parse(der)
                .map(Box::new)
                .map(Form::Ed25519),
            _ if spec.is_rsa() => RsaPublicKey::parse(spec, der).map(Box::new).map(Form::Rsa),
            _ if spec.is_elliptic() => EcdsaPublicKey::parse(spec, der).map(Form::Elliptic),
            _ => None,
        };
        Ok(Self {
            spec,
            der: der.into(),
            form: form.ok_or(MaterialError::InvalidPublicKey(spec))?,
        })
    }

    /// What kind of key this is of.
    pub fn spec(&self) -> KeySpec {
        self.spec
    }

    /// The key as a SubjectPublicKeyInfo in DER.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Verifies a signature of a message, or of a digest of one.
    ///
    /// # Errors
    /// [`MaterialError::InvalidSignature`]; and as [`Material::sign`](super::Material::sign).
    pub fn verify(
        &self,
        algorithm: SigningAlgorithm,
        message_type: MessageType,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), MaterialError> {
        self.check(algorithm, self.spec.signing_algorithms())?;
        let message = Message::new(algorithm, message_type, message)?;
        let valid = match (&self.form, &message) {
            (Form::Rsa(key), Message::Digest(digest)) => key.verifies(algorithm, digest, signature),
            (Form::Elliptic(key), Message::Digest(digest)) => key.verifies(digest, signature),
            (Form::Ed25519(key), Message::Whole(message)) => key.verifies(message, signature),
            (Form::Ed25519(key), Message::Prehash(message)) => {
                key.verifies_prehashed(message, signature)
            }
            _ => unreachable!("the algorithm was checked against the key's spec"),
        };
        valid.then_some(()).ok_or(MaterialError::InvalidSignature)
    }

    /// Encrypts with an RSA key.
    ///
    /// # Errors
    /// [`MaterialError::Algorithm`] for an algorithm that is not this key's, and
    /// [`MaterialError::TooLong`] for more than OAEP has room for.
    pub fn encrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, MaterialError> {
        self.check(algorithm, self.spec.encryption_algorithms())?;
        let Form::Rsa(key) = &self.form else {
            unreachable!("the algorithm was checked against the key's spec");
        };
        match algorithm.max_plaintext(self.spec) {
            Some(max) if plaintext.len() > max => Err(MaterialError::TooLong {
                algorithm: algorithm.as_str(),
                spec: self.spec,
                max,
            }),
            _ => key.encrypt(algorithm, plaintext),
        }
    }

    fn check<A>(&self, algorithm: A, own: &[A]) -> Result<(), MaterialError>
    where
        A: PartialEq + Into<&'static str>,
    {
        MaterialError::check_algorithm(self.spec, algorithm, own)
    }
}

/// Whether this is one SubjectPublicKeyInfo and nothing else: the library would take other forms of keys,
/// and not see what follows them. A curve must be named, not spelled out (RFC 5480, section 2.1.1).
pub(super) fn is_spki(spec: KeySpec, der: &[u8]) -> bool {
    SubjectPublicKeyInfoRef::try_from(der).is_ok_and(|key| names_curve(spec, &key.algorithm))
}

/// Whether a key that needs a curve names it.
pub(super) fn names_curve(spec: KeySpec, algorithm: &AlgorithmIdentifierRef<'_>) -> bool {
    !spec.is_weierstrass() || algorithm.parameters_oid().is_ok()
}
