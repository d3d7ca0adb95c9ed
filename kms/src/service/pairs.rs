//! What keys do that are not symmetric: signatures, MACs, shared secrets.

use super::Kms;
use super::door::Call;
use crate::caller::Caller;
use crate::database::StoredKey;
use crate::error::Error;
use crate::key::KeyRef;
use crate::material::Material;
use crate::policy::Action;
use crate::secret::SecretBytes;
use crate::spec::{KeyAgreementAlgorithm, MacAlgorithm, MessageType, SigningAlgorithm};

impl Kms {
    /// The longest message that is signed or authenticated, in bytes.
    pub const MAX_MESSAGE: usize = 4096;

    /// Signs a message of at most 4,096 bytes, or the digest of one.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`]; [`Error::KeyUsage`], [`Error::Material`] for the algorithm or the
    /// digest; for the key's state; [`Error::KeyNotFound`]; [`Error::AccessDenied`].
    pub fn sign(
        &self,
        caller: &Caller,
        key: &KeyRef,
        algorithm: SigningAlgorithm,
        message_type: MessageType,
        message: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let call = Call::on_key(caller, Action::Sign, key).with_algorithm(algorithm.as_str());
        self.through(call, |key| {
            require_short(message)?;
            let material = self.material(key)?;
            Ok(material.sign(algorithm, message_type, message)?)
        })
    }

    /// Verifies a signature of a message or the digest of one.
    ///
    /// # Errors
    /// [`Error::Material`] with `InvalidSignature`; else as of [`sign`](Self::sign).
    pub fn verify(
        &self,
        caller: &Caller,
        key: &KeyRef,
        algorithm: SigningAlgorithm,
        message_type: MessageType,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let call = Call::on_key(caller, Action::Verify, key).with_algorithm(algorithm.as_str());
        self.through(call, |key| {
            require_short(message)?;
            let material = self.material(key)?;
            Ok(material.verify(algorithm, message_type, message, signature)?)
        })
    }

    /// The public half of a pair, a SubjectPublicKeyInfo in DER (RFC 5280).
    ///
    /// # Errors
    /// [`Error::Spec`] for keys that are no pairs; for the key's state; [`Error::KeyNotFound`];
    /// [`Error::AccessDenied`].
    pub fn get_public_key(&self, caller: &Caller, key: &KeyRef) -> Result<Vec<u8>, Error> {
        let call = Call::on_key(caller, Action::GetPublicKey, key);
        self.through(call, |key| {
            let public_key = self
                .material(key)?
                .public_key()
                .map(|key| key.as_der().to_vec());
            public_key.ok_or_else(|| Error::Spec {
                arn: self.identity.key_arn(key.id),
                spec: key.spec,
            })
        })
    }

    /// The HMAC of a message of at most 4,096 bytes.
    ///
    /// # Errors
    /// As of [`sign`](Self::sign).
    pub fn generate_mac(
        &self,
        caller: &Caller,
        key: &KeyRef,
        algorithm: MacAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let call = Call::on_key(caller, Action::GenerateMac, key);
        self.through(call.with_algorithm(algorithm.as_str()), |key| {
            require_short(message)?;
            Ok(self.material(key)?.generate_mac(algorithm, message)?)
        })
    }

    /// Verifies the HMAC of a message.
    ///
    /// # Errors
    /// [`Error::Material`] with `InvalidMac`; else as of [`sign`](Self::sign).
    pub fn verify_mac(
        &self,
        caller: &Caller,
        key: &KeyRef,
        algorithm: MacAlgorithm,
        message: &[u8],
        mac: &[u8],
    ) -> Result<(), Error> {
        let call = Call::on_key(caller, Action::VerifyMac, key);
        self.through(call.with_algorithm(algorithm.as_str()), |key| {
            require_short(message)?;
            Ok(self.material(key)?.verify_mac(algorithm, message, mac)?)
        })
    }

    /// The secret shared with the owner of a public key on the same curve.
    ///
    /// # Errors
    /// [`Error::Material`] with `InvalidPublicKey`; else as of [`sign`](Self::sign).
    pub fn derive_shared_secret(
        &self,
        caller: &Caller,
        key: &KeyRef,
        algorithm: KeyAgreementAlgorithm,
        public_key: &[u8],
    ) -> Result<SecretBytes, Error> {
        let call = Call::on_key(caller, Action::DeriveSharedSecret, key);
        self.through(call.with_algorithm(algorithm.as_str()), |key| {
            let material = self.material(key)?;
            Ok(material.derive_shared_secret(algorithm, public_key)?)
        })
    }

    /// The material that encrypts, signs or makes MACs.
    ///
    /// # Errors
    /// [`Error::PendingImport`] where it is not there, which the door has looked at.
    pub(super) fn material<'a>(&self, key: &'a StoredKey) -> Result<&'a Material, Error> {
        let material = key.ring.material();
        material.ok_or_else(|| Error::PendingImport(self.identity.key_arn(key.id)))
    }
}

fn require_short(message: &[u8]) -> Result<(), Error> {
    match message.len() > Kms::MAX_MESSAGE {
        true => Err(Error::MessageTooLong(message.len())),
        false => Ok(()),
    }
}
