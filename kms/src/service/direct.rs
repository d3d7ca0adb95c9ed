//! What symmetric keys do: data keys, and the encryption of small things.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Kms;
use super::door::Call;
use crate::caller::Caller;
use crate::context::EncryptionContext;
use crate::data_key::{DataKey, WrappedKey};
use crate::database::StoredKey;
use crate::error::Error;
use crate::key::KeyRef;
use crate::message::{self, Header};
use crate::policy::Action;
use crate::secret::SecretKey;

impl Kms {
    /// A fresh data key, in plain and wrapped under `key`.
    ///
    /// # Errors
    /// [`Error::ReservedContext`]; [`Error::KeyNotFound`]; [`Error::AccessDenied`].
    pub fn generate_data_key(
        &self,
        caller: &Caller,
        key: &KeyRef,
        context: &EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), Error> {
        let call = Call::on_key(caller, Action::GenerateDataKey, key).with_context(context);
        self.through(call, |key| {
            let data_key = SecretKey::generate(&*self.environment.random);
            let wrapped = self.seal(key, context, data_key.expose());
            Ok((DataKey::new(data_key), WrappedKey::from_bytes(wrapped)))
        })
    }

    /// Unwraps a data key, which never stands elsewhere than in its [`SecretKey`].
    ///
    /// # Errors
    /// [`Error::MalformedCiphertext`], [`Error::ReservedContext`], [`Error::KeyNotFound`],
    /// [`Error::BackingKeyNotFound`], [`Error::InvalidCiphertext`], [`Error::AccessDenied`].
    pub fn open_data_key(
        &self,
        caller: &Caller,
        wrapped: &WrappedKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, Error> {
        let blob = wrapped.as_bytes();
        let call = Call::on_message(caller, Action::Decrypt, blob).with_context(context);
        self.through(call, |key| {
            let opener = Opener::new(key, blob)?;
            if message::plaintext_len(blob) != SecretKey::LEN {
                return Err(Error::MalformedCiphertext);
            }
            SecretKey::try_fill(|out| opener.open_into(blob, context, out)).map(DataKey::new)
        })
    }

    /// Encrypts a small plaintext, at most 4,096 bytes.
    ///
    /// # Errors
    /// [`Error::PlaintextTooLong`], [`Error::ReservedContext`], [`Error::KeyNotFound`],
    /// [`Error::AccessDenied`].
    pub fn encrypt(
        &self,
        caller: &Caller,
        key: &KeyRef,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.encrypt_as(caller, Action::Encrypt, key, context, plaintext)
    }

    /// Decrypts what [`encrypt`](Self::encrypt) made. The message names its key and backing key.
    ///
    /// # Errors
    /// As of [`open_data_key`](Self::open_data_key).
    pub fn decrypt(
        &self,
        caller: &Caller,
        blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.decrypt_as(caller, Action::Decrypt, blob, context)
    }

    /// Encrypts a message anew, under another key or context, without showing its plaintext.
    ///
    /// # Errors
    /// As of [`decrypt`](Self::decrypt) and [`encrypt`](Self::encrypt).
    pub fn re_encrypt(
        &self,
        caller: &Caller,
        blob: &[u8],
        from_context: &EncryptionContext,
        to: &KeyRef,
        to_context: &EncryptionContext,
    ) -> Result<Vec<u8>, Error> {
        let plaintext = self.decrypt_as(caller, Action::ReEncryptFrom, blob, from_context)?;
        self.encrypt_as(caller, Action::ReEncryptTo, to, to_context, &plaintext)
    }
}

impl Kms {
    fn encrypt_as(
        &self,
        caller: &Caller,
        action: Action,
        key: &KeyRef,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let call = Call::on_key(caller, action, key).with_context(context);
        self.through(call, |key| {
            if plaintext.len() > Self::MAX_PLAINTEXT {
                return Err(Error::PlaintextTooLong(plaintext.len()));
            }
            Ok(self.seal(key, context, plaintext))
        })
    }

    fn decrypt_as(
        &self,
        caller: &Caller,
        action: Action,
        blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let call = Call::on_message(caller, action, blob).with_context(context);
        self.through(call, |key| {
            let opener = Opener::new(key, blob)?;
            let len = message::plaintext_len(blob);
            if len > Self::MAX_PLAINTEXT {
                return Err(Error::MalformedCiphertext);
            }
            let mut plaintext = Zeroizing::new(vec![0; len]);
            opener.open_into(blob, context, &mut plaintext)?;
            Ok(plaintext)
        })
    }

    fn seal(&self, key: &StoredKey, context: &EncryptionContext, plaintext: &[u8]) -> Vec<u8> {
        let primary = key.ring.primary();
        let header = Header {
            key_id: key.id,
            backing_key: primary.number,
        };
        message::seal(header, &primary.key, context, plaintext, &self.environment)
    }
}

/// The backing key that opens a message.
struct Opener<'a> {
    header: Header,
    key: &'a SecretKey,
}

impl<'a> Opener<'a> {
    fn new(key: &'a Arc<StoredKey>, blob: &[u8]) -> Result<Self, Error> {
        let header = message::header(blob).ok_or(Error::MalformedCiphertext)?;
        let backing_key = key.ring.get(header.backing_key);
        let backing_key = backing_key.ok_or(Error::BackingKeyNotFound {
            key: header.key_id,
            number: header.backing_key,
        })?;
        Ok(Self {
            header,
            key: &backing_key.key,
        })
    }

    fn open_into(
        &self,
        blob: &[u8],
        context: &EncryptionContext,
        out: &mut [u8],
    ) -> Result<(), Error> {
        message::open_into(blob, self.key, context, out)
            .map_err(|_| Error::InvalidCiphertext(self.header.key_id))
    }
}
