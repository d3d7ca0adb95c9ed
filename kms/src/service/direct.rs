//! Encryption of small things, and of what is encrypted already.

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
use crate::material::{Material, MaterialError};
use crate::message::{self, Header};
use crate::policy::Action;
use crate::secret::SecretKey;
use crate::spec::EncryptionAlgorithm;

impl Kms {
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
        let algorithm = EncryptionAlgorithm::SymmetricDefault;
        self.encrypt_with(caller, key, algorithm, context, plaintext)
    }

    /// Encrypts with an algorithm of the key's: an RSA key has several, and no context.
    ///
    /// # Errors
    /// [`Error::KeyUsage`], [`Error::Material`] for the algorithm or a plaintext that is too long; for the
    /// key's state; as of [`encrypt`](Self::encrypt).
    pub fn encrypt_with(
        &self,
        caller: &Caller,
        key: &KeyRef,
        algorithm: EncryptionAlgorithm,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.encrypt_as(
            caller,
            Action::Encrypt,
            key,
            (algorithm, context),
            plaintext,
        )
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
        self.decrypt_as(caller, Action::Decrypt, blob, None, context)
    }

    /// Decrypts a message of which it is said by which key and algorithm it was encrypted. For a
    /// symmetric key that is checked; an RSA key has to be named.
    ///
    /// # Errors
    /// [`Error::IncorrectKey`]; [`Error::Material`] with `InvalidCiphertext`; as of
    /// [`decrypt`](Self::decrypt).
    pub fn decrypt_with(
        &self,
        caller: &Caller,
        key: &KeyRef,
        algorithm: EncryptionAlgorithm,
        blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let action = Action::Decrypt;
        match algorithm {
            EncryptionAlgorithm::SymmetricDefault => {
                self.decrypt_as(caller, action, blob, Some(key), context)
            }
            _ => self.decrypt_with_pair(caller, action, key, algorithm, blob),
        }
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
        let from = Source {
            blob,
            key: None,
            algorithm: EncryptionAlgorithm::SymmetricDefault,
            context: from_context,
        };
        let algorithm = EncryptionAlgorithm::SymmetricDefault;
        self.re_encrypt_with(caller, &from, to, algorithm, to_context)
    }

    /// The same between keys of any kind that encrypts.
    ///
    /// # Errors
    /// As of [`decrypt_with`](Self::decrypt_with) and [`encrypt_with`](Self::encrypt_with).
    pub fn re_encrypt_with(
        &self,
        caller: &Caller,
        from: &Source<'_>,
        to: &KeyRef,
        algorithm: EncryptionAlgorithm,
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, Error> {
        let action = Action::ReEncryptFrom;
        let plaintext = match (from.algorithm, from.key) {
            (EncryptionAlgorithm::SymmetricDefault, key) => {
                self.decrypt_as(caller, action, from.blob, key, from.context)?
            }
            (algorithm, Some(key)) => {
                self.decrypt_with_pair(caller, action, key, algorithm, from.blob)?
            }
            (_, None) => return Err(Error::MalformedCiphertext),
        };
        self.encrypt_as(
            caller,
            Action::ReEncryptTo,
            to,
            (algorithm, context),
            &plaintext,
        )
    }
}

impl Kms {
    fn encrypt_as(
        &self,
        caller: &Caller,
        action: Action,
        key: &KeyRef,
        (algorithm, context): (EncryptionAlgorithm, &EncryptionContext),
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let call = Call::on_key(caller, action, key).with_context(context);
        self.through(call.with_algorithm(algorithm.as_str()), |key| {
            if plaintext.len() > Self::MAX_PLAINTEXT {
                return Err(Error::PlaintextTooLong(plaintext.len()));
            }
            match algorithm {
                EncryptionAlgorithm::SymmetricDefault => self.seal(key, context, plaintext),
                _ => Ok(self.material(key)?.encrypt(algorithm, plaintext)?),
            }
        })
    }

    fn decrypt_as(
        &self,
        caller: &Caller,
        action: Action,
        blob: &[u8],
        named: Option<&KeyRef>,
        context: &EncryptionContext,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let call = Call::on_message(caller, action, blob).with_context(context);
        self.through(call, |key| {
            if let Some(named) = named
                && self.resolve(named)? != key.id
            {
                return Err(Error::IncorrectKey);
            }
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

    fn decrypt_with_pair(
        &self,
        caller: &Caller,
        action: Action,
        key: &KeyRef,
        algorithm: EncryptionAlgorithm,
        blob: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let call = Call::on_key(caller, action, key).with_algorithm(algorithm.as_str());
        self.through(call, |key| {
            let plaintext = self.material(key)?.decrypt(algorithm, blob)?;
            Ok(Zeroizing::new(plaintext.expose().to_vec()))
        })
    }

    /// Encrypts under a symmetric key.
    ///
    /// # Errors
    /// [`Error::Material`] for a key of another spec.
    pub(super) fn seal(
        &self,
        key: &StoredKey,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let (number, material) = key.ring.symmetric().ok_or(MaterialError::Algorithm {
            algorithm: EncryptionAlgorithm::SymmetricDefault.as_str(),
            spec: key.spec,
        })?;
        let header = Header {
            key_id: key.id,
            backing_key: number,
        };
        let environment = &self.environment;
        Ok(message::seal(
            header,
            material,
            context,
            plaintext,
            environment,
        ))
    }
}

/// What is to be encrypted anew.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The message.
    pub blob: &'a [u8],
    /// By which key it was encrypted; a symmetric message says that itself.
    pub key: Option<&'a KeyRef>,
    /// With which algorithm.
    pub algorithm: EncryptionAlgorithm,
    /// Under which context.
    pub context: &'a EncryptionContext,
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
        let material = backing_key.material.as_deref();
        let key = material.and_then(Material::symmetric);
        let key = key.ok_or(Error::InvalidCiphertext(header.key_id))?;
        Ok(Self { header, key })
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
