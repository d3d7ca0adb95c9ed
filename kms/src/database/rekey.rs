//! Sealing a database anew under another root key, while it is used.
//!
//! The header changes first, in one write: it is sealed under the new root key, and holds the database key
//! of the old one. From then on the new root key opens everything, whichever of the two a record is under.
//! Then record after record is read under the old key and written under the new one; what changes in the
//! meantime is written under the new one anyway. When no record is left under the old key, the header is
//! written without it. A crash at any point leaves a database that opens under one root key, and
//! goes on from there.

use super::codec::Why;
use super::names::{HEADER, is_record};
use super::seal::{Clear, Sealer};
use super::{Database, Stored};
use crate::environment::Environment;
use crate::error::Error;
use crate::root_key::RootKey;
use crate::storage::Expected;

impl Database {
    /// Whether records may be left under the root key before.
    pub(crate) fn is_rekeying(&self) -> bool {
        self.old.is_some()
    }

    /// Puts the database under `root`: the old root key does not open it any more, though records are still
    /// under its key.
    ///
    /// # Errors
    /// [`Error::DamagedRecord`] for the header; or what the storage says: it is as it was then, or
    /// is opened by `root` at the next start.
    pub(crate) fn begin_rekey(
        &mut self,
        root: &RootKey,
        environment: &Environment,
    ) -> Result<(), Error> {
        let header = self
            .storage
            .get(HEADER)?
            .ok_or_else(|| damaged(HEADER, "it is missing"))?;
        let created = self.sealer.open_header(&header.bytes);
        let created = created.map_err(|why| damaged(HEADER, why))?.created;
        let new = self.sealer.under(root);
        let record = new.seal_header(created, Some(&self.sealer), environment);
        let expected = Expected::Version(header.version);
        self.storage.put(HEADER, &record, expected)?;
        self.old = Some(std::mem::replace(&mut self.sealer, new));
        Ok(())
    }

    /// The records that may be under the old key.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn records(&self) -> Result<Vec<String>, Error> {
        let mut records = self.storage.list()?;
        records.retain(|record| record != HEADER && is_record(record));
        Ok(records)
    }

    /// Seals a record anew, if it is under the old key and still there.
    ///
    /// # Errors
    /// [`Error::DamagedRecord`]; or what the storage says.
    pub(crate) fn rekey_record(
        &self,
        record: &str,
        environment: &Environment,
    ) -> Result<(), Error> {
        let (Some(found), Some(old)) = (self.storage.get(record)?, &self.old) else {
            return Ok(());
        };
        let damaged = |why| damaged(record, why);
        let clear = Clear::parse(&found.bytes).map_err(damaged)?;
        if clear.fingerprint == self.sealer.fingerprint {
            return Ok(());
        }
        let stored = Stored::open(old, record, &found.bytes).map_err(damaged)?;
        let sealed = stored.seal(&self.sealer, environment)?;
        let expected = Expected::Version(found.version);
        self.storage.put(record, &sealed, expected).map(drop)
    }

    /// Forgets the old key. Every record has been sealed anew.
    ///
    /// # Errors
    /// [`Error::DamagedRecord`] for the header; or what the storage says.
    pub(crate) fn end_rekey(&mut self, environment: &Environment) -> Result<(), Error> {
        let header = self
            .storage
            .get(HEADER)?
            .ok_or_else(|| damaged(HEADER, "it is missing"))?;
        let opened = self.sealer.open_header(&header.bytes);
        let created = opened.map_err(|why| damaged(HEADER, why))?.created;
        let record = self.sealer.seal_header(created, None, environment);
        self.storage
            .put(HEADER, &record, Expected::Version(header.version))?;
        self.old = None;
        Ok(())
    }

    /// What opens a record: the key of this root key, or of the one before.
    pub(super) fn sealer_of(&self, record: &[u8]) -> Result<&Sealer, Why> {
        let fingerprint = Clear::parse(record)?.fingerprint;
        let old = self
            .old
            .as_ref()
            .filter(|old| old.fingerprint == fingerprint);
        Ok(old.unwrap_or(&self.sealer))
    }
}

fn damaged(record: &str, why: Why) -> Error {
    Error::DamagedRecord {
        record: record.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::{put, records, written};
    use super::*;
    use crate::storage::{MemoryStorage, Storage};
    use crate::test_util::{identity, repeatable, root_key};

    fn open(storage: &Arc<MemoryStorage>, root: u8) -> Result<Database, Error> {
        Database::open(storage.clone(), &root_key(root), &identity())
    }

    /// What a database holds, to be compared.
    fn held(database: &Database) -> Vec<String> {
        let contents = database.load().unwrap();
        assert_eq!(contents.damaged, []);
        let mut held: Vec<_> = contents
            .keys
            .iter()
            .map(|key| {
                let material: Vec<_> = key
                    .ring
                    .iter()
                    .map(|one| (one.material.is_some(), one.material_id))
                    .collect();
                format!("{} {} {material:?}", key.id, key.description)
            })
            .collect();
        held.extend(contents.aliases.iter().map(|alias| format!("{alias:?}")));
        held.extend(contents.grants.iter().map(|grant| format!("{grant:?}")));
        held.extend(
            contents
                .identities
                .iter()
                .map(|identity| format!("{identity:?}")),
        );
        held.extend(contents.access_keys.iter().map(|key| {
            let secret = key.secret.expose();
            format!("{:?} {secret:?}", key.metadata())
        }));
        held
    }

    #[test]
    fn all_is_there_under_the_new_root_key_at_every_step_and_nothing_under_the_old_one_at_the_end()
    {
        let environment = repeatable();
        let storage = written(&environment);
        let mut database = open(&storage, 1).unwrap();
        let before = held(&database);
        database.begin_rekey(&root_key(2), &environment).unwrap();
        for record in database.records().unwrap() {
            assert!(matches!(open(&storage, 1), Err(Error::WrongRootKey { .. })));
            assert_eq!(held(&open(&storage, 2).unwrap()), before);
            database.rekey_record(&record, &environment).unwrap();
        }
        assert!(open(&storage, 2).unwrap().is_rekeying());
        database.end_rekey(&environment).unwrap();
        let anew = open(&storage, 2).unwrap();
        assert!(!anew.is_rekeying());
        assert_eq!(held(&anew), before);
        assert_eq!(held(&database), before);
        let old = Sealer::new(&root_key(1), anew.sealer.database, &identity());
        for (name, record) in records(&storage) {
            assert!(
                name == HEADER || Stored::open(&old, &name, &record).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_record_of_the_old_root_key_is_refused_afterwards() {
        let environment = repeatable();
        let storage = written(&environment);
        let before = records(&storage);
        let mut database = open(&storage, 1).unwrap();
        database.begin_rekey(&root_key(2), &environment).unwrap();
        for record in database.records().unwrap() {
            database.rekey_record(&record, &environment).unwrap();
        }
        database.end_rekey(&environment).unwrap();
        for (name, record) in before.iter().filter(|(name, _)| *name != HEADER) {
            let good = storage.get(name).unwrap().unwrap().bytes;
            put(&storage, name, record);
            let damaged = open(&storage, 2).unwrap().load().unwrap().damaged;
            assert_eq!(damaged.len(), 1, "{name}");
            assert_eq!(
                (&damaged[0].record, damaged[0].why),
                (name, "it is sealed under another root key")
            );
            put(&storage, name, &good);
        }
    }

    #[test]
    fn every_byte_of_a_header_with_two_keys_flipped_or_cut_is_found() {
        let environment = repeatable();
        let storage = written(&environment);
        open(&storage, 1)
            .unwrap()
            .begin_rekey(&root_key(2), &environment)
            .unwrap();
        let good = storage.get(HEADER).unwrap().unwrap().bytes;
        let refused = |header: &[u8]| {
            put(&storage, HEADER, header);
            let refused = open(&storage, 2).map(drop).unwrap_err();
            assert!(matches!(refused, Error::DamagedRecord { record, .. } if record == HEADER));
        };
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            refused(&changed);
            refused(&good[..at]);
        }
    }

    #[test]
    fn a_damaged_record_stops_it_and_is_named() {
        let environment = repeatable();
        let storage = written(&environment);
        let mut database = open(&storage, 1).unwrap();
        let name = database.records().unwrap().remove(0);
        put(&storage, &name, b"SGKR");
        database.begin_rekey(&root_key(2), &environment).unwrap();
        let stopped = database.rekey_record(&name, &environment);
        assert!(matches!(stopped, Err(Error::DamagedRecord { record, .. }) if record == name));
    }
}
