//! Moving the root key: to another place, or to a fresh one in the same place.
//!
//! A move goes like this, each step durable before the next:
//!
//! 1. The manifest names the new place as the next one (of a file, the key is there already).
//! 2. The root record of the new root key is written, where it has one.
//! 3. The database's header is sealed under the new root key (`database/rekey.rs`): the move has happened.
//! 4. Every record is sealed anew, then the header once more, without the old key.
//! 5. A file that replaces another takes its name; the old one is kept under its name and fingerprint.
//! 6. The root record of the old root key goes.
//! 7. The manifest names the new place as the only one.
//!
//! After a crash before step 3 the old root key is in force, and what was prepared is removed; after it
//! the new one is, and the move goes on where it was.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{
    KMS, MANIFEST, Manifest, NextRoot, StateDirectory, create_directories, refuse_dangling,
    refuse_inside,
};
use crate::database::Database;
use crate::environment::Environment;
use crate::error::Error;
use crate::root_key::{
    self, Fingerprint, NewRoot, RootKeyFile, RootKeySource, Sharing, Unlock, record_name,
};
use crate::secret::SecretKey;
use crate::service::Kms;
use crate::storage::{Expected, FileStorage, FileSystem, Storage, SystemFiles, parent};

/// The root key under which a key database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootInForce {
    /// Where it is kept.
    pub source: RootKeySource,
    /// Which one it is.
    pub fingerprint: Fingerprint,
    /// When its record was made, if it has one.
    pub created: Option<SystemTime>,
    /// How it is shared, if it is.
    pub sharing: Option<Sharing>,
    /// Whether records may be left that the root key before opens.
    pub moving: bool,
}

impl StateDirectory {
    /// The root key in force, which is not opened: nothing of this is proven.
    ///
    /// # Errors
    /// Where header, manifest or root record are missing or not understood.
    pub fn root_in_force(&self, root: Option<&RootKeySource>) -> Result<RootInForce, Error> {
        let storage = FileStorage::new(self.kms_directory());
        let (_, fingerprint) = Database::described(&storage)?;
        let places = self.places(root, fingerprint)?;
        root_key::in_force(&places, fingerprint, self.next.is_some())
    }

    /// Makes a fresh root key for the database of this directory, to be kept at `source`, which is no file.
    /// Nothing is written.
    ///
    /// # Errors
    /// Why the place cannot keep it; [`Error::Sealed`] where `unlock` does not have what it takes.
    pub fn make_root(
        &self,
        (source, sharing): (&RootKeySource, Sharing),
        unlock: &Unlock,
        environment: &Environment,
    ) -> Result<NewRoot, Error> {
        let (id, _) = Database::described(&FileStorage::new(self.kms_directory()))?;
        root_key::make(SystemFiles, (source, sharing), id, unlock, environment)
    }

    /// A root key that [`make_root`](Self::make_root) made in another process.
    ///
    /// # Errors
    /// [`RootError::RecordDamaged`](root_key::RootError::RecordDamaged) where `record` does not belong to
    /// `key` and this database.
    pub fn receive_root(
        &self,
        source: RootKeySource,
        record: Vec<u8>,
        key: SecretKey,
    ) -> Result<NewRoot, Error> {
        let (id, _) = Database::described(&FileStorage::new(self.kms_directory()))?;
        root_key::receive(source, record, key, (id, &self.path))
    }

    /// Makes a root key in the file `path`, which may be the one in force: then the old one is kept beside
    /// it, under its name and fingerprint.
    ///
    /// # Errors
    /// [`Error::RootKeyInside`], [`Error::RootKeyDangling`], [`Error::Exists`]; or what the system says.
    pub fn make_root_file(
        &self,
        path: &Path,
        root: Option<&RootKeySource>,
        environment: &Environment,
    ) -> Result<NewRoot, Error> {
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        refuse_inside(&path, &self.path)?;
        refuse_dangling(&path)?;
        let in_force = self.root_in_force(root)?;
        let mover = self.mover();
        mover.make_file(&path, in_force.source.file() == Some(&path), environment)
    }

    /// Seals the database that `kms` has open anew under `new`, and keeps it there. `progress` hears how
    /// many records of how many are done.
    ///
    /// # Errors
    /// [`Error::DamagedRecord`] where a record does not open, before anything is changed; or what
    /// the system says: then [`finish_move`](Self::finish_move) goes on.
    pub fn move_root(
        &self,
        kms: &Kms,
        new: &NewRoot,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), Error> {
        let mover = self.mover();
        mover.begin(kms, new)?;
        mover.finish(kms, progress).map(drop)
    }

    /// Goes on where a [`move_root`](Self::move_root) was cut short, and says whether there was one.
    ///
    /// # Errors
    /// As of [`move_root`](Self::move_root).
    pub fn finish_move(&self, kms: &Kms, progress: &dyn Fn(u64, u64)) -> Result<bool, Error> {
        self.mover().finish(kms, progress)
    }

    fn mover(&self) -> Mover<SystemFiles> {
        Mover::on(SystemFiles, &self.path)
    }
}

/// Moves the root key of one state directory.
pub(super) struct Mover<F> {
    files: F,
    state: PathBuf,
    top: FileStorage<F>,
}

impl<F: FileSystem + Clone> Mover<F> {
    pub(super) fn on(files: F, state: &Path) -> Self {
        Self {
            top: FileStorage::on(files.clone(), state),
            files,
            state: state.to_owned(),
        }
    }

    /// A root key in a file, before step 1.
    pub(super) fn make_file(
        &self,
        path: &Path,
        in_place: bool,
        environment: &Environment,
    ) -> Result<NewRoot, Error> {
        let path = match in_place {
            true => self.vacant(path)?,
            false => path.to_owned(),
        };
        create_directories(&self.files, parent(&path))?;
        Ok(NewRoot::file(
            RootKeyFile::on(self.files.clone(), &path).create(environment)?,
            path,
        ))
    }

    /// Where the file that will replace `path` stands until then. What a crash left there opens nothing.
    fn vacant(&self, path: &Path) -> Result<PathBuf, Error> {
        let next = with_suffix(path, NEXT);
        if self.manifest()?.next.is_none() {
            self.remove(&next)?;
        }
        Ok(next)
    }

    /// Steps 1 to 3.
    pub(super) fn begin(&self, kms: &Kms, new: &NewRoot) -> Result<(), Error> {
        kms.refuse_rekey()?;
        let (_, from) = self.described()?;
        let fingerprint = new.root.fingerprint();
        self.write(&Manifest {
            next: Some(NextRoot {
                root_key: new.source.clone(),
                fingerprint: fingerprint.to_string(),
                from: from.to_string(),
            }),
            ..self.manifest()?
        })?;
        if let Some(record) = &new.record {
            let name = record_name(fingerprint);
            self.top.put(&name, record, Expected::Any)?;
        }
        kms.begin_rekey(&new.root)
    }

    /// Steps 4 to 7; or, where step 3 has not been reached, back to the beginning.
    pub(super) fn finish(&self, kms: &Kms, progress: &dyn Fn(u64, u64)) -> Result<bool, Error> {
        let unfinished = kms.is_rekeying();
        if unfinished {
            kms.rekey(progress)?;
        }
        let manifest = self.manifest()?;
        let Some(next) = manifest.next.clone() else {
            return Ok(unfinished);
        };
        let (_, in_force) = self.described()?;
        let moved = next.fingerprint == in_force.to_string();
        let (root_key, over) = match moved {
            true => (self.settle(&manifest.root_key, &next)?, &next.from),
            false => (manifest.root_key.clone(), &next.fingerprint),
        };
        let record = root_key::record_name_of(over);
        self.top.delete(&record, Expected::Any)?;
        self.write(&Manifest {
            root_key,
            next: None,
            ..manifest
        })?;
        Ok(true)
    }

    /// Step 5: where the root key is kept from now on.
    fn settle(&self, old: &RootKeySource, next: &NextRoot) -> Result<RootKeySource, Error> {
        let (Some(old), Some(new)) = (old.file(), next.root_key.file()) else {
            return Ok(next.root_key.clone());
        };
        if new != with_suffix(old, NEXT) {
            return Ok(next.root_key.clone());
        }
        if self.holds(old, &next.from)? {
            let kept = with_suffix(old, &format!(".{}", next.from));
            self.rename(old, &kept)?;
        }
        if self.holds(new, &next.fingerprint)? {
            self.rename(new, old)?;
        }
        Ok(RootKeySource::File(old.to_owned()))
    }

    /// Whether a file is there, and holds that root key.
    fn holds(&self, file: &Path, fingerprint: &str) -> Result<bool, Error> {
        match RootKeyFile::on(self.files.clone(), file).root_key() {
            Ok(root) => Ok(root.fingerprint().to_string() == fingerprint),
            Err(Error::RootKeyMissing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let renamed = self.files.rename(from, to);
        renamed.map_err(Error::io("rename", from))?;
        let synced = self.files.sync_directory(parent(to));
        synced.map_err(Error::io("sync the directory", parent(to)))
    }

    fn remove(&self, file: &Path) -> Result<(), Error> {
        match self.files.remove(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", file)(error))
            }
            _ => Ok(()),
        }
    }

    fn described(&self) -> Result<(root_key::DatabaseId, Fingerprint), Error> {
        let kms = FileStorage::on(self.files.clone(), self.state.join(KMS));
        Database::described(&kms)
    }

    fn manifest(&self) -> Result<Manifest, Error> {
        let malformed = |why| Error::Manifest {
            path: self.state.join(MANIFEST),
            why,
        };
        let record = self.top.get(MANIFEST)?;
        let record = record.ok_or_else(|| Error::ManifestMissing(self.state.clone()))?;
        Manifest::parse(&record.bytes).map_err(malformed)
    }

    fn write(&self, manifest: &Manifest) -> Result<(), Error> {
        let written = manifest.to_json();
        self.top.put(MANIFEST, &written, Expected::Any).map(drop)
    }
}

/// The path of a file beside `path`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

const NEXT: &str = ".next";
