//! Sealing the database anew under another root key, beside all other work.

use super::Kms;
use crate::database::Damaged;
use crate::error::Error;
use crate::root_key::RootKey;

impl Kms {
    /// Whether records may be left under the root key before.
    pub fn is_rekeying(&self) -> bool {
        self.database.lock().is_rekeying()
    }

    /// Refuses to begin where the end could not be reached.
    pub(crate) fn refuse_rekey(&self) -> Result<(), Error> {
        match self.damaged.first().map(Damaged::error) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Puts the database under `root`, and leaves every record to [`rekey`](Self::rekey).
    pub(crate) fn begin_rekey(&self, root: &RootKey) -> Result<(), Error> {
        self.database.lock().begin_rekey(root, &self.environment)
    }

    /// Seals every record anew that is still under the root key before. Others wait for one record at
    /// most. `progress` hears how many of how many are done.
    pub(crate) fn rekey(&self, progress: &dyn Fn(u64, u64)) -> Result<(), Error> {
        let records = self.database.lock().records()?;
        let total = records.len() as u64;
        for (done, record) in (1..).zip(&records) {
            self.database
                .lock()
                .rekey_record(record, &self.environment)?;
            progress(done, total);
        }
        self.database.lock().end_rekey(&self.environment)
    }
}
