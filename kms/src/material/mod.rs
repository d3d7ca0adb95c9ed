//! Key material: what stands behind a KMS key, made, kept and used.
//!
//! A [`Material`] is ready for use: pairs are parsed once, when they are made or read, and no call parses
//! them again. It is made for one [`KeyUsage`], as a KMS key is, so that the library holds a private key
//! in one form only.
//!
//! Signatures, OAEP, MACs, key agreement and key wrap are AWS-LC's ([`aws_lc_rs`]); Ed25519ph, which that
//! crate does not have, is `ed25519-dalek`'s. Randomness for pairs, signatures and padding is the
//! library's own; keys that are no pairs are drawn from the [`Random`] that is handed in.
//!
//! # How it is stored
//! [`Material::to_secret`] gives the bytes that the database seals, and [`Material::from_secret`] reads
//! them: the key itself for symmetric and MAC keys; for pairs PKCS#8 in DER (RFC 5958), version 1, as the
//! library writes it.
//!
//! # What is in memory
//! Those bytes, decrypted plaintexts and shared secrets stand in locked pages ([`SecretBytes`]). A parsed
//! private key does not: the library keeps its numbers on the heap, and wipes them when the key is
//! dropped. A MAC key is also held as the states of its hash after the padded key, which are as good as
//! the key. Stack and registers are wiped after each use.

mod data_key_pair;
mod ec;
mod ed25519;
mod error;
mod import;
mod key_wrap;
mod mac;
mod message;
mod pair;
mod public_key;
mod rsa;

pub use data_key_pair::DataKeyPair;
pub use error::MaterialError;
pub use import::{unwrap_key_material, wrap_key_material};
pub use key_wrap::{unwrap_padded, wrap_padded};
pub use public_key::PublicKey;

use crate::derive::identify;
use crate::environment::Random;
use crate::secret::{SecretBytes, SecretKey};
use crate::spec::{
    EncryptionAlgorithm, KeyAgreementAlgorithm, KeySpec, KeyUsage, MacAlgorithm, MessageType,
    SigningAlgorithm,
};
use ec::{EcdhKey, EcdsaKey};
use ed25519::Ed25519Key;
use mac::MacKey;
use message::Message;
use pair::Pair;
use rsa::{RsaDecryptionKey, RsaSigningKey};

/// One generation of a KMS key's material: neither printable nor cloneable.
pub struct Material {
    spec: KeySpec,
    usage: KeyUsage,
    form: Form,
    /// The public half of a pair.
    public: Option<PublicKey>,
}

/// The material as its algorithms want it.
enum Form {
    Symmetric(SecretKey),
    Mac(MacKey),
    RsaDecryption(RsaDecryptionKey),
    RsaSigning(Box<RsaSigningKey>),
    Ecdsa(EcdsaKey),
    Ed25519(Box<Ed25519Key>),
    Ecdh(EcdhKey),
}

impl Material {
    /// Fresh material.
    ///
    /// # Errors
    /// [`MaterialError::Usage`] where no such key is for that.
    pub fn generate(
        spec: KeySpec,
        usage: KeyUsage,
        random: &dyn Random,
    ) -> Result<Self, MaterialError> {
        let form = match kind(spec, usage)? {
            Kind::Symmetric => Form::Symmetric(SecretKey::generate(random)),
            Kind::Mac(len) => Form::Mac(MacKey::new(spec, SecretBytes::generate(len, random))?),
            Kind::RsaDecryption => Form::RsaDecryption(Pair::generate(spec)?),
            Kind::RsaSigning => Form::RsaSigning(Box::new(Pair::generate(spec)?)),
            Kind::Ecdsa => Form::Ecdsa(Pair::generate(spec)?),
            Kind::Ed25519 => Form::Ed25519(Box::new(Pair::generate(spec)?)),
            Kind::Ecdh => Form::Ecdh(Pair::generate(spec)?),
        };
        Self::new(spec, usage, form)
    }

    /// Material from what [`to_secret`](Self::to_secret) gave, or from what somebody imports: the key
    /// itself, or a pair's PKCS#8 in DER.
    ///
    /// # Errors
    /// [`MaterialError::Usage`] where no such key is for that, and [`MaterialError::KeyMaterial`] for
    /// bytes that are no such key.
    pub fn from_secret(
        spec: KeySpec,
        usage: KeyUsage,
        secret: &SecretBytes,
    ) -> Result<Self, MaterialError> {
        let bytes = secret.expose();
        let form = match kind(spec, usage)? {
            Kind::Symmetric => {
                let key = SecretKey::copy_from(bytes);
                Form::Symmetric(key.ok_or(MaterialError::KeyMaterial(spec))?)
            }
            Kind::Mac(_) => {
                let secret = SecretBytes::copy_from(bytes);
                Form::Mac(MacKey::new(
                    spec,
                    secret.ok_or(MaterialError::KeyMaterial(spec))?,
                )?)
            }
            Kind::RsaDecryption => Form::RsaDecryption(Pair::from_pkcs8(spec, bytes)?),
            Kind::RsaSigning => Form::RsaSigning(Box::new(Pair::from_pkcs8(spec, bytes)?)),
            Kind::Ecdsa => Form::Ecdsa(Pair::from_pkcs8(spec, bytes)?),
            Kind::Ed25519 => Form::Ed25519(Box::new(Pair::from_pkcs8(spec, bytes)?)),
            Kind::Ecdh => Form::Ecdh(Pair::from_pkcs8(spec, bytes)?),
        };
        Self::new(spec, usage, form)
    }

    /// The bytes to seal and store.
    ///
    /// # Errors
    /// [`MaterialError::Library`] where the library cannot write a pair, for want of memory.
    pub fn to_secret(&self) -> Result<SecretBytes, MaterialError> {
        match &self.form {
            Form::Symmetric(key) => Ok(copy(key.expose())),
            Form::Mac(key) => Ok(copy(key.expose())),
            pair => pair.pair().expect(A_PAIR).to_pkcs8(),
        }
    }

    /// What kind of key this is of.
    pub fn spec(&self) -> KeySpec {
        self.spec
    }

    /// What it is for.
    pub fn usage(&self) -> KeyUsage {
        self.usage
    }

    /// Which material this is: 32 bytes that say nothing of the key, the same for the same key only.
    ///
    /// # Errors
    /// As [`to_secret`](Self::to_secret).
    pub fn id(&self) -> Result<[u8; 32], MaterialError> {
        let secret = self.to_secret()?;
        Ok(identify(secret.expose(), self.spec.as_str().as_bytes()))
    }

    /// The key of a symmetric KMS key; none for other kinds.
    pub fn symmetric(&self) -> Option<&SecretKey> {
        match &self.form {
            Form::Symmetric(key) => Some(key),
            _ => None,
        }
    }

    /// The public half of a pair; none for other kinds.
    pub fn public_key(&self) -> Option<&PublicKey> {
        self.public.as_ref()
    }

    /// Signs a message, or a digest of one. ECDSA signatures are in DER (RFC 3279), Ed25519's 64 bytes
    /// (RFC 8032), RSA's as long as the modulus.
    ///
    /// # Errors
    /// [`MaterialError::OtherUsage`] and [`MaterialError::Algorithm`] for what is not this key's,
    /// [`MaterialError::MessageType`] and [`MaterialError::DigestLength`] for a message that is not as it
    /// is said to be.
    pub fn sign(
        &self,
        algorithm: SigningAlgorithm,
        message_type: MessageType,
        message: &[u8],
    ) -> Result<Vec<u8>, MaterialError> {
        self.check(
            KeyUsage::SignVerify,
            algorithm,
            self.spec.signing_algorithms(),
        )?;
        let message = Message::new(algorithm, message_type, message)?;
        match (&self.form, &message) {
            (Form::RsaSigning(key), Message::Digest(digest)) => key.sign(algorithm, digest),
            (Form::Ecdsa(key), Message::Digest(digest)) => key.sign(digest),
            (Form::Ed25519(key), Message::Whole(message)) => key.sign(message),
            (Form::Ed25519(key), Message::Prehash(message)) => key.sign_prehashed(message),
            _ => unreachable!("the algorithm was checked against the key's spec"),
        }
    }

    /// Verifies a signature of a message, or of a digest of one.
    ///
    /// # Errors
    /// [`MaterialError::InvalidSignature`]; and as [`sign`](Self::sign).
    pub fn verify(
        &self,
        algorithm: SigningAlgorithm,
        message_type: MessageType,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), MaterialError> {
        self.check(
            KeyUsage::SignVerify,
            algorithm,
            self.spec.signing_algorithms(),
        )?;
        let public = self.public.as_ref().expect(A_PAIR);
        public.verify(algorithm, message_type, message, signature)
    }

    /// Encrypts with the public half of an RSA pair. (A symmetric KMS key encrypts messages with a header
    /// and a context: see [`message`](mod@crate::message).)
    ///
    /// # Errors
    /// [`MaterialError::OtherUsage`] and [`MaterialError::Algorithm`] for what is not this key's, and
    /// [`MaterialError::TooLong`] for more than OAEP has room for.
    pub fn encrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, MaterialError> {
        self.check(KeyUsage::EncryptDecrypt, algorithm, self.rsa_algorithms())?;
        let public = self.public.as_ref().expect(A_PAIR);
        public.encrypt(algorithm, plaintext)
    }

    /// Decrypts what [`encrypt`](Self::encrypt), or anybody with the public key, has encrypted.
    ///
    /// # Errors
    /// [`MaterialError::InvalidCiphertext`], without a reason; [`MaterialError::Algorithm`] for an
    /// algorithm that is not this key's.
    pub fn decrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
    ) -> Result<SecretBytes, MaterialError> {
        self.check(KeyUsage::EncryptDecrypt, algorithm, self.rsa_algorithms())?;
        match &self.form {
            Form::RsaDecryption(key) => key.decrypt(algorithm, ciphertext),
            _ => unreachable!("the algorithm was checked against the key's spec"),
        }
    }

    /// The HMAC of a message, as long as the hash's digest.
    ///
    /// # Errors
    /// [`MaterialError::OtherUsage`] and [`MaterialError::Algorithm`] for what is not this key's.
    pub fn generate_mac(
        &self,
        algorithm: MacAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, MaterialError> {
        Ok(self.mac_key(algorithm)?.generate(message))
    }

    /// Verifies a whole HMAC of a message, in a time that says nothing of where it differs.
    ///
    /// # Errors
    /// [`MaterialError::InvalidMac`]; [`MaterialError::OtherUsage`] and [`MaterialError::Algorithm`] for what
    /// is not this key's.
    pub fn verify_mac(
        &self,
        algorithm: MacAlgorithm,
        message: &[u8],
        mac: &[u8],
    ) -> Result<(), MaterialError> {
        let valid = self.mac_key(algorithm)?.verifies(message, mac);
        valid.then_some(()).ok_or(MaterialError::InvalidMac)
    }

    /// The secret shared with the owner of a public key on the same curve (a SubjectPublicKeyInfo in
    /// DER): the x-coordinate of the common point, undigested, as long as the curve's field.
    ///
    /// # Errors
    /// [`MaterialError::InvalidPublicKey`] for another curve, or no point of the curve;
    /// [`MaterialError::Algorithm`] for a key that cannot do it.
    pub fn derive_shared_secret(
        &self,
        algorithm: KeyAgreementAlgorithm,
        public_key: &[u8],
    ) -> Result<SecretBytes, MaterialError> {
        let own = self.spec.key_agreement_algorithms();
        self.check(KeyUsage::KeyAgreement, algorithm, own)?;
        match &self.form {
            Form::Ecdh(key) => key.agree(public_key),
            _ => unreachable!("the usage was checked"),
        }
    }

    fn mac_key(&self, algorithm: MacAlgorithm) -> Result<&MacKey, MaterialError> {
        let own = self.spec.mac_algorithms();
        self.check(KeyUsage::GenerateVerifyMac, algorithm, own)?;
        match &self.form {
            Form::Mac(key) => Ok(key),
            _ => unreachable!("the usage was checked"),
        }
    }

    /// What this key encrypts with by itself: a symmetric one does it message by message.
    fn rsa_algorithms(&self) -> &'static [EncryptionAlgorithm] {
        match self.spec.is_rsa() {
            true => self.spec.encryption_algorithms(),
            false => &[],
        }
    }

    /// Refuses what the key is not for, and an algorithm that is none of its own.
    fn check<A>(&self, wanted: KeyUsage, algorithm: A, own: &[A]) -> Result<(), MaterialError>
    where
        A: PartialEq + Into<&'static str>,
    {
        let usage = self.usage;
        match usage == wanted {
            true => MaterialError::check_algorithm(self.spec, algorithm, own),
            false => Err(MaterialError::OtherUsage { usage, wanted }),
        }
    }

    fn new(spec: KeySpec, usage: KeyUsage, form: Form) -> Result<Self, MaterialError> {
        let der = form.pair().map(Pair::public_key).transpose()?;
        let public = der.map(|der| PublicKey::from_der(spec, &der)).transpose()?;
        Ok(Self {
            spec,
            usage,
            form,
            public,
        })
    }
}

impl Form {
    /// The pair that this is; none for keys that are no pairs.
    fn pair(&self) -> Option<&dyn Pair> {
        match self {
            Self::Symmetric(_) | Self::Mac(_) => None,
            Self::RsaDecryption(key) => Some(key),
            Self::RsaSigning(key) => Some(&**key),
            Self::Ecdsa(key) => Some(key),
            Self::Ed25519(key) => Some(&**key),
            Self::Ecdh(key) => Some(key),
        }
    }
}

/// Which form a key of that spec and usage has.
enum Kind {
    Symmetric,
    /// Of so many bytes.
    Mac(usize),
    RsaDecryption,
    RsaSigning,
    Ecdsa,
    Ed25519,
    Ecdh,
}

fn kind(spec: KeySpec, usage: KeyUsage) -> Result<Kind, MaterialError> {
    if !spec.allows(usage) {
        return Err(MaterialError::Usage { spec, usage });
    }
    Ok(match (usage, spec.secret_len()) {
        (KeyUsage::EncryptDecrypt, Some(_)) => Kind::Symmetric,
        (KeyUsage::EncryptDecrypt, None) => Kind::RsaDecryption,
        (_, Some(len)) => Kind::Mac(len),
        (KeyUsage::KeyAgreement, None) => Kind::Ecdh,
        (_, None) if spec.is_rsa() => Kind::RsaSigning,
        (_, None) if spec == KeySpec::EccNistEdwards25519 => Kind::Ed25519,
        (_, None) => Kind::Ecdsa,
    })
}

/// A copy in memory of its own kind.
fn copy(bytes: &[u8]) -> SecretBytes {
    SecretBytes::copy_from(bytes).expect("no key is longer than a secret can be")
}

const A_PAIR: &str = "what is neither symmetric nor a MAC key is a pair";

#[cfg(test)]
mod tests;
