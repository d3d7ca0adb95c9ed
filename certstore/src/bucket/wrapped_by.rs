//! Which KMS key stands behind an entry, from what is in the clear.

use std::collections::HashMap;

use kms::WrappedKey;
use kms::message::Header as WrappedHeader;
use kms::storage::Storage;
use parking_lot::Mutex;

use super::{BucketId, read};
use crate::error::Error;
use crate::format::{DataKeySource, SealedEntry};
use crate::wrapping::NO_CIPHERTEXT;

/// Looks up what wraps the keys of entries; each bucket key's record is read once.
pub(crate) struct WrappedBy<'a> {
    storage: &'a dyn Storage,
    known: Mutex<HashMap<BucketId, Option<WrappedHeader>>>,
}

impl<'a> WrappedBy<'a> {
    pub(crate) fn new(storage: &'a dyn Storage) -> Self {
        Self {
            storage,
            known: Mutex::default(),
        }
    }

    /// The KMS key and generation that wrap the key of `entry` or its bucket key, as the clear part says;
    /// none where the bucket key's record cannot be read.
    ///
    /// # Errors
    /// [`Error::Malformed`] where a wrapped key in the entry is none.
    pub(crate) fn of(&self, entry: &SealedEntry<'_>) -> Result<Option<WrappedHeader>, Error> {
        match entry.header.source {
            DataKeySource::Wrapped => {
                let wrapped = WrappedKey::from_bytes(entry.wrapped.unwrap_or_default().to_vec());
                wrapped.header().ok_or(NO_CIPHERTEXT).map(Some)
            }
            DataKeySource::Derived(id) => Ok(self.of_bucket(id)),
        }
    }

    fn of_bucket(&self, id: BucketId) -> Option<WrappedHeader> {
        let mut known = self.known.lock();
        *known.entry(id).or_insert_with(|| {
            let (record, _) = read(self.storage, id).ok()?;
            record.wrapped_by().ok()
        })
    }
}
