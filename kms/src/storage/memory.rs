//! Records in memory: for tests, and for what need not outlive the process.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{Expected, Record, Storage, Version, check_len, check_name};
use crate::error::Error;

/// Records in memory.
#[derive(Default)]
pub struct MemoryStorage(Mutex<BTreeMap<String, Record>>);

impl MemoryStorage {
    /// A storage without records.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Storage for MemoryStorage {
    fn get(&self, name: &str) -> Result<Option<Record>, Error> {
        check_name(name)?;
        Ok(self.0.lock().get(name).cloned())
    }

    fn put(&self, name: &str, bytes: &[u8], expected: Expected) -> Result<Version, Error> {
        check_name(name)?;
        check_len(name, bytes)?;
        let mut records = self.0.lock();
        expected.check(name, records.get(name).map(|record| record.version))?;
        let record = Record::new(bytes.to_vec());
        let version = record.version;
        records.insert(name.to_owned(), record);
        Ok(version)
    }

    fn delete(&self, name: &str, expected: Expected) -> Result<(), Error> {
        check_name(name)?;
        let mut records = self.0.lock();
        expected.check(name, records.get(name).map(|record| record.version))?;
        records.remove(name);
        Ok(())
    }

    fn list(&self) -> Result<Vec<String>, Error> {
        Ok(self.0.lock().keys().cloned().collect())
    }
}
