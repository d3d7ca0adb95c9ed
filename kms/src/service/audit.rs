//! The audit log of a KMS: its key and its last checkpoint stand in the key database.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Kms;
use crate::audit::{Anchor, AnchorStore, AuditLog, AuditOptions, file_number};
use crate::database::{Database, StoredAudit};
use crate::environment::Environment;
use crate::error::Error;
use crate::secret::SecretKey;
use crate::storage::SystemFiles;

impl Kms {
    /// This KMS with what is asked of it from now on written down in `directory`, which is there. Nobody else
    /// may write there.
    ///
    /// # Errors
    /// [`Error::AuditLogUnknown`]; [`Error::DamagedRecord`] where the database's record of the log does not
    /// open; or what the system says.
    pub fn with_audit_log(self, directory: &Path, options: AuditOptions) -> Result<Self, Error> {
        let StoredAudit { key, anchor } = self.stored_audit(directory)?;
        let key = Arc::new(key);
        let anchors = Anchors {
            database: Arc::clone(&self.database),
            key: Arc::clone(&key),
            environment: self.environment.clone(),
        };
        let log = Arc::new(AuditLog::open(
            SystemFiles,
            directory.to_owned(),
            &key,
            &anchor,
            options,
            Arc::clone(&self.environment.clock),
            Arc::new(anchors),
        )?);
        Ok(Self {
            auditor: log.clone(),
            audit_log: Some(log),
            ..self
        })
    }

    /// The audit log, where there is one.
    pub fn audit_log(&self) -> Option<&AuditLog> {
        self.audit_log.as_deref()
    }

    /// What the database holds of the log: for the first time, a key and an id for a new one.
    fn stored_audit(&self, directory: &Path) -> Result<StoredAudit, Error> {
        let database = self.database.lock();
        if let Some(stored) = database.audit()? {
            return Ok(stored);
        }
        if has_log(directory).map_err(Error::io("list the directory", directory))? {
            return Err(Error::AuditLogUnknown(PathBuf::from(directory)));
        }
        let id = uuid::Builder::from_random_bytes(self.environment.random_bytes());
        let stored = StoredAudit {
            key: SecretKey::generate(&*self.environment.random),
            anchor: Anchor::new(id.into_uuid()),
        };
        database.put_audit(&stored.key, &stored.anchor, &self.environment)?;
        Ok(stored)
    }
}

fn has_log(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        if entry?.file_name().to_str().and_then(file_number).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The anchor in the key database.
struct Anchors {
    database: Arc<Mutex<Database>>,
    key: Arc<SecretKey>,
    environment: Environment,
}

impl AnchorStore for Anchors {
    fn put(&self, anchor: &Anchor) -> Result<(), Error> {
        let database = self.database.lock();
        database.put_audit(&self.key, anchor, &self.environment)
    }
}
