//! What a KMS makes for use elsewhere: data keys, pairs, randomness.

use zeroize::Zeroizing;

use super::Kms;
use super::door::Call;
use crate::caller::Caller;
use crate::context::EncryptionContext;
use crate::data_key::{DataKey, WrappedKey};
use crate::error::Error;
use crate::key::KeyRef;
use crate::material::{DataKeyPair, MaterialError};
use crate::policy::Action;
use crate::secret::{SecretBytes, SecretKey};
use crate::spec::{KeySpec, KeyUsage};

/// The most random bytes that are given out at once, as data keys too (AWS's limit).
pub const MAX_RANDOM: usize = 1024;

/// A fresh pair whose private key is encrypted under a KMS key.
pub struct DataKeyPairBlob {
    /// The private key (PKCS#8 in DER), where it was asked for.
    pub private_key: Option<SecretBytes>,
    /// The same, encrypted: [`Kms::decrypt`] opens it.
    pub private_key_blob: Vec<u8>,
    /// A SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
}

impl Kms {
    /// A fresh data key, in plain and wrapped under `key`.
    ///
    /// # Errors
    /// [`Error::ReservedContext`]; [`Error::KeyUsage`]; for the key's state; [`Error::KeyNotFound`];
    /// [`Error::AccessDenied`].
    pub fn generate_data_key(
        &self,
        caller: &Caller,
        key: &KeyRef,
        context: &EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), Error> {
        let call = Call::on_key(caller, Action::GenerateDataKey, key).with_context(context);
        self.through(call, |key| {
            let data_key = SecretKey::generate(&*self.environment.random);
            let wrapped = self.seal(key, context, data_key.expose())?;
            Ok((DataKey::new(data_key), WrappedKey::from_bytes(wrapped)))
        })
    }

    /// A fresh data key of 1 to 1,024 bytes, in plain and encrypted under `key`.
    ///
    /// # Errors
    /// [`Error::NumberOfBytes`]; as of [`generate_data_key`](Self::generate_data_key).
    pub fn generate_data_key_of(
        &self,
        caller: &Caller,
        key: &KeyRef,
        context: &EncryptionContext,
        len: usize,
    ) -> Result<(SecretBytes, Vec<u8>), Error> {
        let call = Call::on_key(caller, Action::GenerateDataKey, key).with_context(context);
        self.through(call, |key| {
            let data_key = self.random_secret(len)?;
            let blob = self.seal(key, context, data_key.expose())?;
            Ok((data_key, blob))
        })
    }

    /// The same, encrypted only.
    ///
    /// # Errors
    /// As of [`generate_data_key_of`](Self::generate_data_key_of).
    pub fn generate_data_key_without_plaintext(
        &self,
        caller: &Caller,
        key: &KeyRef,
        context: &EncryptionContext,
        len: usize,
    ) -> Result<Vec<u8>, Error> {
        let action = Action::GenerateDataKeyWithoutPlaintext;
        let call = Call::on_key(caller, action, key).with_context(context);
        self.through(call, |key| {
            self.seal(key, context, self.random_secret(len)?.expose())
        })
    }

    /// A fresh pair of `spec`, its private key in plain and encrypted under `key`.
    ///
    /// # Errors
    /// [`Error::Material`] for a spec of keys that are no pairs; as of
    /// [`generate_data_key`](Self::generate_data_key).
    pub fn generate_data_key_pair(
        &self,
        caller: &Caller,
        key: &KeyRef,
        context: &EncryptionContext,
        spec: KeySpec,
    ) -> Result<DataKeyPairBlob, Error> {
        self.data_key_pair(caller, Action::GenerateDataKeyPair, key, context, spec)
    }

    /// The same, its private key encrypted only.
    ///
    /// # Errors
    /// As of [`generate_data_key_pair`](Self::generate_data_key_pair).
    pub fn generate_data_key_pair_without_plaintext(
        &self,
        caller: &Caller,
        key: &KeyRef,
        context: &EncryptionContext,
        spec: KeySpec,
    ) -> Result<DataKeyPairBlob, Error> {
        let action = Action::GenerateDataKeyPairWithoutPlaintext;
        let pair = self.data_key_pair(caller, action, key, context, spec)?;
        Ok(DataKeyPairBlob {
            private_key: None,
            ..pair
        })
    }

    /// 1 to 1,024 random bytes.
    ///
    /// # Errors
    /// [`Error::NumberOfBytes`]; [`Error::AccessDenied`].
    pub fn generate_random(
        &self,
        caller: &Caller,
        len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let call = Call::on_account(caller, Action::GenerateRandom);
        self.through_account(call, |_| {
            require_in_range(len)?;
            let mut bytes = Zeroizing::new(vec![0; len]);
            self.environment.random.fill(&mut bytes);
            Ok(bytes)
        })
    }
}

impl Kms {
    fn data_key_pair(
        &self,
        caller: &Caller,
        action: Action,
        key: &KeyRef,
        context: &EncryptionContext,
        spec: KeySpec,
    ) -> Result<DataKeyPairBlob, Error> {
        let call = Call::on_key(caller, action, key).with_context(context);
        self.through(call, |key| {
            if !spec.is_asymmetric() {
                let usage = KeyUsage::SignVerify;
                return Err(MaterialError::Usage { spec, usage }.into());
            }
            let pair = DataKeyPair::generate(spec, &*self.environment.random)?;
            Ok(DataKeyPairBlob {
                private_key_blob: self.seal(key, context, pair.private_key.expose())?,
                private_key: Some(pair.private_key),
                public_key: pair.public_key,
            })
        })
    }

    fn random_secret(&self, len: usize) -> Result<SecretBytes, Error> {
        require_in_range(len)?;
        Ok(SecretBytes::generate(len, &*self.environment.random))
    }
}

fn require_in_range(found: usize) -> Result<(), Error> {
    match (1..=MAX_RANDOM).contains(&found) {
        true => Ok(()),
        false => Err(Error::NumberOfBytes { found }),
    }
}
