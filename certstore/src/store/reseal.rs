//! Moving every entry to the newest generation of the store's KMS key, or to another KMS key, while the store
//! is in use.
//!
//! Only what the KMS has wrapped is wrapped anew: data keys in entries, and bucket keys in their records, with
//! which all entries move that are sealed under them. No private key is touched, no entry gets a new version,
//! and what is served goes on being served. Whatever the moment of an interruption, each file is the old or the
//! new one, and both open; to go on is to begin again, for what has been moved is passed over.

use std::collections::{BTreeMap, HashSet};

use kms::message::Header as WrappedHeader;
use kms::storage::{Expected, Record};
use kms::{KeyId, KeyRef};

use super::{SealedStore, bucket_ids};
use crate::bucket::{BucketId, WrappedBy};
use crate::error::{BrokenEntry, Error};
use crate::format::{self, DataKeySource, SealedEntry};
use crate::store_key::StoreKey;

/// What came of a move.
#[derive(Debug)]
pub struct Resealed {
    /// The KMS key under which everything is now.
    pub kms_key: KeyId,
    /// The generation of its material.
    pub backing_key: u32,
    /// Entries that were moved.
    pub moved: u64,
    /// Entries that were there already.
    pub unchanged: u64,
    /// Files that could not be moved, and stay as they are.
    pub bad: Vec<BrokenEntry>,
}

/// What one move has done so far.
struct Move {
    target: WrappedHeader,
    /// Bucket keys that it has wrapped anew.
    buckets: HashSet<BucketId>,
    result: Resealed,
}

impl Move {
    fn new(target: WrappedHeader) -> Self {
        Self {
            target,
            buckets: HashSet::new(),
            result: Resealed {
                kms_key: target.key_id,
                backing_key: target.backing_key,
                moved: 0,
                unchanged: 0,
                bad: Vec::new(),
            },
        }
    }
}

impl SealedStore {
    /// Moves everything to the newest generation of the store's KMS key; or to the key `to`, which is the
    /// store's from then on. Entries open and are imported meanwhile. `progress` is told how many files of how
    /// many are done.
    ///
    /// # Errors
    /// What the KMS says of the key, and the storage where it cannot be listed or the store's key not be written
    /// down; a single file never fails the rest.
    pub fn reseal(
        &self,
        to: Option<&KeyRef>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Resealed, Error> {
        let mut moving = Move::new(self.begin(to)?);
        let buckets = bucket_ids(&*self.storage)?;
        let entries = self.files()?;
        let total = (buckets.len() + entries.len()) as u64;
        let mut steps = 1..;
        let mut step = || progress(steps.next().unwrap_or(total), total);
        for id in buckets {
            self.move_bucket(&mut moving, id);
            step();
        }
        for file in entries {
            self.move_entry(&mut moving, &file);
            step();
        }
        let result = moving.result;
        if result.bad.is_empty() {
            self.settle(result.kms_key)?;
        }
        Ok(result)
    }

    /// How many entries are sealed under each KMS key; the key for new ones is there, too.
    ///
    /// # Errors
    /// What the storage says where it cannot be listed.
    pub fn kms_keys(&self) -> Result<BTreeMap<KeyId, u64>, Error> {
        let mut keys = BTreeMap::new();
        if let Ok(key) = self.sealer.wrapping.key_id() {
            keys.insert(key, 0);
        }
        for entry in self.list()?.into_iter().flatten() {
            if let Some(key) = entry.kms_key {
                *keys.entry(key).or_default() += 1;
            }
        }
        Ok(keys)
    }

    /// What would no longer open without that KMS key: the names of entries, each once; where there is none and
    /// new ones are to be sealed under it, that.
    ///
    /// # Errors
    /// What the storage says where it cannot be listed.
    pub fn users_of(&self, key: KeyId) -> Result<Vec<String>, Error> {
        let entries = self.list()?.into_iter().flatten();
        let under = entries.filter(|entry| entry.kms_key == Some(key));
        let mut names: Vec<_> = under.map(|entry| entry.name).collect();
        names.dedup();
        if names.is_empty() && self.sealer.wrapping.key_id().is_ok_and(|own| own == key) {
            names.push("new entries".to_owned());
        }
        Ok(names)
    }

    /// Makes the key `to` the one for new entries, and says what is to be moved where.
    fn begin(&self, to: Option<&KeyRef>) -> Result<WrappedHeader, Error> {
        let _writer = self.writer.lock();
        let wrapping = &self.sealer.wrapping;
        let before = wrapping.store_key()?;
        let current = match to {
            Some(key) => wrapping.kms.get()?.resolve(key)?,
            None => before.current,
        };
        let mut keys = StoreKey {
            current,
            former: before.former.clone(),
        };
        if current != before.current {
            keys.former.push(before.current);
            keys.former.retain(|key| *key != current);
            return wrapping.put_store_key(keys);
        }
        wrapping.newest(&keys)
    }

    /// Forgets the former keys: nothing is sealed under them any more.
    fn settle(&self, current: KeyId) -> Result<(), Error> {
        let _writer = self.writer.lock();
        let wrapping = &self.sealer.wrapping;
        let keys = wrapping.store_key()?;
        if keys.current == current && !keys.former.is_empty() {
            let former = Vec::new();
            wrapping.put_store_key(StoreKey { current, former })?;
        }
        Ok(())
    }

    fn move_bucket(&self, moving: &mut Move, id: BucketId) {
        let _writer = self.writer.lock();
        let sealer = &self.sealer;
        match sealer.buckets.rewrap(&sealer.wrapping, id, moving.target) {
            Ok(true) => drop(moving.buckets.insert(id)),
            Ok(false) => {}
            Err(reason) => moving.result.bad.push(BrokenEntry::new(&id.file(), reason)),
        }
    }

    fn move_entry(&self, moving: &mut Move, file: &str) {
        let _writer = self.writer.lock();
        match self.try_move(moving, file) {
            Ok(true) => moving.result.moved += 1,
            Ok(false) => moving.result.unchanged += 1,
            // It was deleted meanwhile.
            Err(Error::Missing) => {}
            Err(reason) => moving.result.bad.push(BrokenEntry::new(file, reason)),
        }
    }

    /// Whether it had to be moved. What had not is opened all the same.
    fn try_move(&self, moving: &Move, file: &str) -> Result<bool, Error> {
        let record = self.get(file)?;
        let entry = self.sealer.read(file, &record.bytes)?;
        self.sealer.unseal(&entry)?;
        if let DataKeySource::Derived(id) = entry.header.source {
            return Ok(moving.buckets.contains(&id));
        }
        let wrapped_by = WrappedBy::new(&*self.storage).of(&entry)?;
        if wrapped_by == Some(moving.target) {
            return Ok(false);
        }
        self.rewrap_entry(file, &record, &entry)?;
        Ok(true)
    }

    fn rewrap_entry(
        &self,
        file: &str,
        record: &Record,
        entry: &SealedEntry<'_>,
    ) -> Result<(), Error> {
        let wrapped = self.sealer.rewrap(entry)?;
        let (clear, wrapped) = (entry.clear.to_vec(), Some(&wrapped[..]));
        let bytes = format::assemble(clear, wrapped, entry.nonce, entry.ciphertext, entry.tag);
        // What replaces a file that opens must open.
        self.sealer.unseal(&self.sealer.read(file, &bytes)?)?;
        let expected = Expected::Version(record.version);
        let content = self.storage.put(file, &bytes, expected)?;
        // What is served of it is the same.
        if self.ledger.is_served(file, record.version) {
            self.note_served(file, Some(content));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
