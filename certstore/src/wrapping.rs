//! The KMS as a store uses it: under the store's key, bound to store and region, every call counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use kms::service::Caller;
use kms::{DataKey, EncryptionContext, Environment, KeyId, KeyRef, Kms, WrappedKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;

/// What has keys wrapped and unwrapped for one store.
pub(crate) struct Wrapping {
    pub(crate) kms: Arc<Kms>,
    /// The KMS key that wraps the store's keys.
    pub(crate) key: KeyRef,
    pub(crate) store: Uuid,
    pub(crate) region: String,
    pub(crate) environment: Environment,
    pub(crate) calls: CallCounter,
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
        let generated = self
            .kms
            .generate_data_key(&Caller::Internal, &self.key, context);
        Ok(generated?)
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
        let opened = self.kms.open_data_key(&Caller::Internal, &wrapped, context);
        opened.map_err(|error| match error {
            kms::Error::InvalidCiphertext(_) => Error::Tampered,
            other => other.into(),
        })
    }

    /// The KMS key that wraps the store's keys.
    pub(crate) fn key_id(&self) -> Result<KeyId, Error> {
        Ok(self.kms.resolve(&self.key)?)
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
        let configured = self.key_id()?;
        if found.key_id == configured {
            return Ok(());
        }
        Err(match self.kms.resolve(&KeyRef::Id(found.key_id)) {
            Err(kms::Error::KeyNotFound(_)) => Error::ForeignKms(found.key_id),
            Err(damaged) => damaged.into(),
            Ok(_) => Error::ForeignKey {
                found: found.key_id,
                configured,
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
