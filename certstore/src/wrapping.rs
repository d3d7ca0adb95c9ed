//! The KMS as a store uses it: under the store's key, bound to store and region, every call counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use kms::message::Header as WrappedHeader;
use kms::service::Caller;
use kms::storage::{Expected, Storage};
use kms::{DataKey, EncryptionContext, Environment, KeyId, KeyRef, Seal, WrappedKey};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;
use crate::store_key::StoreKey;

/// What has keys wrapped and unwrapped for one store.
pub(crate) struct Wrapping {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) kms: Seal,
    /// The KMS key that wraps the store's keys, as long as its record names no other.
    pub(crate) configured: KeyRef,
    pub(crate) store: Uuid,
    pub(crate) region: String,
    pub(crate) environment: Environment,
    pub(crate) calls: CallCounter,
    pub(crate) store_key: StoreKeyCache,
}

/// The record of the store's KMS key as it was last read; none before.
#[derive(Default)]
pub(crate) struct StoreKeyCache(Mutex<Option<Arc<StoreKey>>>);

impl StoreKeyCache {
    pub(crate) fn forget(&self) {
        *self.0.lock() = None;
    }
}

/// How often the KMS was called for entries since the process started, and how often a bucket key that was at
/// hand made that unnecessary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KmsCalls {
    /// Calls made, those that were refused among them.
    pub made: u64,
    /// Calls that one for each entry would have taken more.
    pub saved: u64,
}

/// Counts [`KmsCalls`].
#[derive(Debug, Default)]
pub(crate) struct CallCounter {
    made: AtomicU64,
    saved: AtomicU64,
}

impl CallCounter {
    pub(crate) fn saved_one(&self) {
        self.saved.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> KmsCalls {
        KmsCalls {
            made: self.made.load(Relaxed),
            saved: self.saved.load(Relaxed),
        }
    }
}

impl Wrapping {
    /// A fresh key, in plain and wrapped.
    pub(crate) fn generate(
        &self,
        context: &EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), Error> {
        self.calls.made.fetch_add(1, Relaxed);
        let key = KeyRef::Id(self.key_id()?);
        Ok(self
            .kms
            .get()?
            .generate_data_key(&Caller::Internal, &key, context)?)
    }

    /// A wrapped key in plain.
    ///
    /// # Errors
    /// [`Error::ForeignKey`] where it is not the store's KMS key that wraps it; [`Error::Tampered`]; or what
    /// the KMS says.
    pub(crate) fn unwrap(
        &self,
        wrapped: &[u8],
        context: &EncryptionContext,
    ) -> Result<DataKey, Error> {
        let wrapped = WrappedKey::from_bytes(wrapped.to_vec());
        self.check_key(&wrapped)?;
        self.calls.made.fetch_add(1, Relaxed);
        let kms = self.kms.get()?;
        let opened = kms.open_data_key(&Caller::Internal, &wrapped, context);
        opened.map_err(|error| match error {
            kms::Error::InvalidCiphertext(_) => Error::Tampered,
            other => other.into(),
        })
    }

    /// A wrapped key, wrapped anew by the key for new entries. It never stands in plain outside the KMS.
    pub(crate) fn rewrap(
        &self,
        wrapped: &[u8],
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, Error> {
        self.check_key(&WrappedKey::from_bytes(wrapped.to_vec()))?;
        let to = KeyRef::Id(self.key_id()?);
        let rewrapped =
            self.kms
                .get()?
                .re_encrypt(&Caller::Internal, wrapped, context, &to, context);
        rewrapped.map_err(|error| match error {
            kms::Error::InvalidCiphertext(_) => Error::Tampered,
            other => other.into(),
        })
    }

    /// The KMS key that wraps the keys of new entries.
    pub(crate) fn key_id(&self) -> Result<KeyId, Error> {
        Ok(self.store_key()?.current)
    }

    /// The KMS keys of the store: as its record says, or else the configuration.
    ///
    /// # Errors
    /// [`Error::StoreKey`] for a record that cannot be used; or what the KMS says of the configured key.
    pub(crate) fn store_key(&self) -> Result<Arc<StoreKey>, Error> {
        let mut known = self.store_key.0.lock();
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let recorded = self.read_store_key().map_err(|reason| Error::StoreKey {
            file: StoreKey::FILE,
            reason: Box::new(reason),
        })?;
        let Some(recorded) = recorded else {
            // Not kept: an alias may come to point elsewhere.
            let former = Vec::new();
            let current = self.kms.get()?.resolve(&self.configured)?;
            return Ok(Arc::new(StoreKey { current, former }));
        };
        Ok(known.insert(Arc::new(recorded)).clone())
    }

    /// Writes the record of the store's KMS keys, and says by what it is encrypted: the newest generation.
    pub(crate) fn put_store_key(&self, keys: StoreKey) -> Result<WrappedHeader, Error> {
        let (bytes, newest) = self.seal_store_key(&keys)?;
        self.storage.put(StoreKey::FILE, &bytes, Expected::Any)?;
        *self.store_key.0.lock() = Some(Arc::new(keys));
        Ok(newest)
    }

    /// The newest generation of the current key.
    pub(crate) fn newest(&self, keys: &StoreKey) -> Result<WrappedHeader, Error> {
        Ok(self.seal_store_key(keys)?.1)
    }

    fn seal_store_key(&self, keys: &StoreKey) -> Result<(Vec<u8>, WrappedHeader), Error> {
        let mut bytes = keys.encode(self.store, &self.region);
        let key = KeyRef::Id(keys.current);
        let context = self.record_context();
        let sealed = self
            .kms
            .get()?
            .encrypt(&Caller::Internal, &key, &context, &bytes)?;
        let newest = WrappedKey::from_bytes(sealed.clone())
            .header()
            .ok_or(NO_CIPHERTEXT)?;
        let len = u16::try_from(sealed.len()).expect("the record is short");
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(&sealed);
        Ok((bytes, newest))
    }

    fn read_store_key(&self) -> Result<Option<StoreKey>, Error> {
        let Some(record) = self.storage.get(StoreKey::FILE)? else {
            return Ok(None);
        };
        let parsed = StoreKey::parse(&record.bytes)?;
        self.check_home(parsed.store, parsed.region)?;
        let sealed = WrappedKey::from_bytes(parsed.sealed.to_vec());
        let by = sealed.header().ok_or(NO_CIPHERTEXT)?;
        let context = self.record_context();
        let opened = self
            .kms
            .get()?
            .decrypt(&Caller::Internal, parsed.sealed, &context);
        let opened = opened.map_err(|error| match error {
            kms::Error::InvalidCiphertext(_) | kms::Error::KeyNotFound(_) => Error::Tampered,
            other => other.into(),
        })?;
        match by.key_id == parsed.keys.current && opened[..] == *parsed.clear {
            true => Ok(Some(parsed.keys)),
            false => Err(Error::Tampered),
        }
    }

    fn record_context(&self) -> EncryptionContext {
        self.context().with("sealgate:record", StoreKey::FILE)
    }

    /// What every key of the store is bound to; it stands in the KMS's audit log.
    pub(crate) fn context(&self) -> EncryptionContext {
        EncryptionContext::new()
            .with("sealgate:store", self.store.to_string())
            .with("sealgate:region", self.region.as_str())
    }

    /// Refuses what is of another store or region.
    pub(crate) fn check_home(&self, store: Uuid, region: &str) -> Result<(), Error> {
        check_home((store, region), (self.store, &self.region))
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.environment.clock.now()
    }

    /// A key that another KMS key wrapped is not the store's, even if that KMS key is here.
    fn check_key(&self, wrapped: &WrappedKey) -> Result<(), Error> {
        let found = wrapped.header().ok_or(NO_CIPHERTEXT)?;
        let keys = self.store_key()?;
        let is_configured = |id| id == found.key_id;
        if keys.accepts(found.key_id)
            || self
                .kms
                .get()?
                .resolve(&self.configured)
                .is_ok_and(is_configured)
        {
            return Ok(());
        }
        Err(match self.kms.get()?.resolve(&KeyRef::Id(found.key_id)) {
            Err(kms::Error::KeyNotFound(_)) => Error::ForeignKms(found.key_id),
            Err(damaged) => damaged.into(),
            Ok(_) => Error::ForeignKey {
                found: found.key_id,
                configured: keys.current,
            },
        })
    }
}

/// Refuses what is not of `here`, a store and its region.
pub(crate) fn check_home(found: (Uuid, &str), here: (Uuid, &str)) -> Result<(), Error> {
    if found.0 != here.0 {
        return Err(Error::ForeignStore {
            found: found.0,
            here: here.0,
        });
    }
    if found.1 != here.1 {
        return Err(Error::ForeignRegion {
            found: found.1.escape_debug().to_string(),
            here: here.1.to_owned(),
        });
    }
    Ok(())
}

/// What is wrong with bytes in the place of a wrapped key.
pub(crate) const NO_CIPHERTEXT: Error =
    Error::Malformed("its wrapped key is no ciphertext of the KMS");
