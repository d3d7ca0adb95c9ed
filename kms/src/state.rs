//! The state directory: all that a balancer keeps, in files that are safe to copy to a backup.
//!
//! | name | holds |
//! |---|---|
//! | `manifest.json` | format, store id, account, region, where the root key is kept; no secret |
//! | `lock` | who writes here: locked (flock(2)) by that process, whose description it holds |
//! | `kms/` | the key database, sealed under the root key |
//! | `store/` | the certificate store's sealed entries |
//! | `trust/` | trust stores |
//!
//! The root key is not in it, and [`StateDirectory::init`] and
//! [`open_kms`](StateDirectory::open_kms) refuse one that is.
//!
//! # Init and crashes
//! The manifest is written last: without it there is no state directory, and with it a whole one. A
//! second `init` after a crash goes on where the first was cut short. It never overwrites nor removes
//! a root key or a key database: a valid root key file at the place is taken as the root key, and a
//! database that opens under it is finished; [`remarks`](StateDirectory::remarks) say so. What does
//! not open is an error, for it may be all that is left of something.
//!
//! A manifest that was lost is written anew in the same way. The store's id, to which every entry is
//! bound, follows from the key database's: its 16 random bytes with the bits of a UUID of version 4.
//! Where the store's entries name another (those of directories that were made before this was so),
//! `init` refuses, and the manifest must come from a backup.

mod lock;

pub use lock::DirectoryLock;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::database::{CHANGED, Database, HEADER};
use crate::environment::Environment;
use crate::error::Error;
use crate::key::Identity;
use crate::root_key::{RootKey, RootKeyFile, RootKeyProvider, RootKeySource};
use crate::service::Kms;
use crate::storage::{Expected, FileStorage, FileSystem, Storage, SystemFiles, parent};

/// A state directory whose manifest has been read.
#[derive(Debug, Clone)]
pub struct StateDirectory {
    path: PathBuf,
    store_id: Uuid,
    identity: Identity,
    root_key: RootKeySource,
    /// Named by whoever opens it, before everything else that names one.
    named: Option<RootKeySource>,
    remarks: Vec<String>,
}

/// What `init` may be told.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// The root key file; without it [`default_root_key`].
    pub root_key: Option<PathBuf>,
    /// Twelve digits; without it, zeroes.
    pub account: Option<String>,
    /// Without it, `local`.
    pub region: Option<String>,
}

impl StateDirectory {
    /// Makes a state directory, with a root key outside it and a key database in it.
    ///
    /// # Errors
    /// [`Error::Exists`] where there is one already, [`Error::StateExposed`], [`Error::RootKeyInside`],
    /// [`Error::RootKeyDangling`], [`Error::InvalidIdentity`], [`Error::Locked`], [`Error::OtherIdentity`],
    /// [`Error::StoreOrphaned`]; for a root key or key database that is there and
    /// does not open, what is wrong with it; or what the system says.
    pub fn init(
        path: &Path,
        options: &InitOptions,
        environment: &Environment,
    ) -> Result<Self, Error> {
        let plan = Plan::new(path, options)?;
        // Before the lock, which a running balancer holds.
        plan.refuse_second(&FileStorage::new(path))?;
        create_directories(&SystemFiles, &plan.state)?;
        refuse_exposed(&plan.state)?;
        let holder = format!("sealgate init, process {}", std::process::id());
        let _lock = DirectoryLock::take(&plan.state, &holder)?;
        plan.carry_out(&SystemFiles, environment)
    }

    /// Reads a state directory's manifest, and looks at who can write beside it.
    ///
    /// # Errors
    /// [`Error::StateExposed`], [`Error::NoStateDirectory`], [`Error::ManifestMissing`], [`Error::Manifest`]; or what the system
    /// says.
    pub fn open(path: &Path) -> Result<Self, Error> {
        refuse_exposed(path)?;
        Self::open_on(&SystemFiles, path)
    }

    fn open_on<F: FileSystem + Clone>(files: &F, path: &Path) -> Result<Self, Error> {
        match FileStorage::on(files.clone(), path).get(MANIFEST)? {
            Some(record) => Manifest::parse(&record.bytes)
                .and_then(|manifest| manifest.into_state(path))
                .map_err(|why| Error::Manifest {
                    path: path.join(MANIFEST),
                    why,
                }),
            None => Err(missing(files, path)?),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The account and region that stand in every ARN.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The id of the certificate store, which is bound to each of its entries.
    pub fn store_id(&self) -> Uuid {
        self.store_id
    }

    /// Where the root key is kept.
    pub fn root_key(&self) -> &RootKeySource {
        &self.root_key
    }

    /// What [`init`](Self::init) found and kept, in sentences for people.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The key database's directory.
    pub fn kms_directory(&self) -> PathBuf {
        self.path.join(KMS)
    }

    /// The certificate store's directory.
    pub fn store_directory(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// The trust stores' directory.
    pub fn trust_directory(&self) -> PathBuf {
        self.path.join(TRUST)
    }

    /// Becomes the directory's only writer, as `holder` ("sealgate run, process 12"). Never waits.
    ///
    /// # Errors
    /// [`Error::Locked`], which names the holder where that is known; [`Error::StateOwner`] where the
    /// directory is another user's, who must do the work, and nobody holds it; [`Error::LockFile`]; or
    /// what the system says.
    pub fn lock(&self, holder: &str) -> Result<DirectoryLock, Error> {
        DirectoryLock::take(&self.path, holder)
    }

    /// This directory, with its root key in `file` whatever its manifest or a configuration says: for
    /// one that was moved or restored.
    #[must_use]
    pub fn with_root_key(self, file: PathBuf) -> Self {
        Self {
            named: Some(RootKeySource::File(file)),
            ..self
        }
    }

    /// Opens the KMS with the root key that was [named](Self::with_root_key), else from `root`, else from
    /// where the manifest says.
    ///
    /// # Errors
    /// Why the root key cannot be had, [`Error::RootKeyInside`], [`Error::WrongRootKey`],
    /// [`Error::OtherIdentity`], and others of [`Kms::open`].
    pub fn open_kms(
        &self,
        root: Option<&RootKeySource>,
        environment: Environment,
    ) -> Result<Kms, Error> {
        let source = self.named.as_ref().or(root).unwrap_or(&self.root_key);
        let RootKeySource::File(file) = source;
        refuse_inside(file, &self.path)?;
        let root = source.provider().root_key()?;
        let storage = Arc::new(FileStorage::new(self.kms_directory()));
        let opened = Kms::open(storage, &root, self.identity.clone(), environment);
        opened.map_err(|error| foreign(error, &self.identity))
    }
}

/// Refuses a directory into which others can put what they like: a certificate of theirs, or an older
/// one.
fn refuse_exposed(state: &Path) -> Result<(), Error> {
    let parts = [KMS, STORE, TRUST].map(|part| state.join(part));
    for path in std::iter::once(state.to_owned()).chain(parts) {
        let mode = match fs::metadata(&path) {
            Ok(metadata) => metadata.mode() & 0o7777,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("examine", path)(error)),
        };
        if mode & WRITABLE_BY_OTHERS != 0 {
            return Err(Error::StateExposed { path, mode });
        }
    }
    Ok(())
}

/// Why a directory without a manifest is none.
fn missing<F: FileSystem + Clone>(files: &F, path: &Path) -> Result<Error, Error> {
    let kms = FileStorage::on(files.clone(), path.join(KMS));
    Ok(match Database::exists(&kms)? {
        true => Error::ManifestMissing(path.to_owned()),
        false => Error::NoStateDirectory(path.to_owned()),
    })
}

/// Where the root key of a state directory is kept unless something else is said:
/// `/etc/sealgate/root.key` for `/var/lib/sealgate`, for any other DIR the file `DIR.root.key` beside it.
///
/// # Errors
/// [`Error::Io`] where the path cannot be made absolute, or has no name.
pub fn default_root_key(state: &Path) -> Result<PathBuf, Error> {
    let mut path = real_path(state)?;
    if path == Path::new("/var/lib/sealgate") {
        return Ok("/etc/sealgate/root.key".into());
    }
    let Some(name) = path.file_name() else {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it has no name");
        return Err(Error::io("put a root key beside", path)(source));
    };
    let mut name = name.to_owned();
    name.push(".root.key");
    path.set_file_name(name);
    Ok(path)
}

// === init ===

/// All that `init` decides before it writes anything.
struct Plan {
    state: PathBuf,
    root_key: PathBuf,
    identity: Identity,
}

impl Plan {
    fn new(path: &Path, options: &InitOptions) -> Result<Self, Error> {
        let account = options.account.as_deref().unwrap_or("000000000000");
        let identity = Identity::new(account, options.region.as_deref().unwrap_or("local"))?;
        let root_key = match &options.root_key {
            Some(path) => std::path::absolute(path).map_err(Error::io("find", path))?,
            None => default_root_key(path)?,
        };
        refuse_inside(&root_key, path)?;
        refuse_dangling(&root_key)?;
        Ok(Self {
            state: path.to_owned(),
            root_key,
            identity,
        })
    }

    fn refuse_second(&self, top: &dyn Storage) -> Result<(), Error> {
        match top.get(MANIFEST)? {
            None => Ok(()),
            Some(_) => Err(Error::Exists {
                path: self.state.join(MANIFEST),
                fix: "this state directory is complete, and needs no other init",
            }),
        }
    }

    /// Makes what is not there yet, the manifest last.
    fn carry_out<F: FileSystem + Clone + 'static>(
        &self,
        files: &F,
        environment: &Environment,
    ) -> Result<StateDirectory, Error> {
        let top = FileStorage::on(files.clone(), &self.state);
        self.refuse_second(&top)?;
        for directory in [KMS, STORE, TRUST] {
            create_directories(files, &self.state.join(directory))?;
        }
        let mut remarks = Vec::new();
        let kms = FileStorage::on(files.clone(), self.state.join(KMS));
        if !Database::exists(&kms)? && !self.store(files).list()?.is_empty() {
            return Err(Error::StoreOrphaned(self.state.clone()));
        }
        let root = self.root_key(files, &kms, environment, &mut remarks)?;
        let kms = Arc::new(kms);
        self.key_database(kms.clone(), &root, environment, &mut remarks)?;
        let manifest = Manifest {
            format: FORMAT,
            store: self.store_id(files, &*kms, &mut remarks)?,
            account: self.identity.account.clone(),
            region: self.identity.region.clone(),
            root_key: RootKeySource::File(self.root_key.clone()),
        };
        top.put(MANIFEST, &manifest.to_json(), Expected::Absent)?;
        Ok(StateDirectory {
            path: self.state.clone(),
            store_id: manifest.store,
            identity: self.identity.clone(),
            root_key: manifest.root_key,
            named: None,
            remarks,
        })
    }

    fn root_key<F: FileSystem + Clone>(
        &self,
        files: &F,
        kms: &dyn Storage,
        environment: &Environment,
        remarks: &mut Vec<String>,
    ) -> Result<RootKey, Error> {
        let file = RootKeyFile::on(files.clone(), &self.root_key);
        match file.root_key() {
            Ok(root) => {
                remarks.push(format!(
                    "{} was there already, with the fingerprint {}: it is the root key.",
                    self.root_key.display(),
                    root.fingerprint()
                ));
                Ok(root)
            }
            // A new root key would not open the database that is there.
            Err(missing @ Error::RootKeyMissing(_)) if Database::exists(kms)? => Err(missing),
            Err(Error::RootKeyMissing(_)) => {
                if let Some(parent) = self.root_key.parent() {
                    create_directories(files, parent)?;
                }
                file.create(environment)
            }
            Err(error) => Err(error),
        }
    }

    fn key_database(
        &self,
        storage: Arc<dyn Storage>,
        root: &RootKey,
        environment: &Environment,
        remarks: &mut Vec<String>,
    ) -> Result<(), Error> {
        let (identity, environment) = (self.identity.clone(), environment.clone());
        if !Database::exists(&*storage)? {
            return Kms::create(storage, root, identity, environment).map(drop);
        }
        Kms::finish(storage, root, identity, environment)
            .map_err(|error| foreign(error, &self.identity))?;
        remarks.push(format!(
            "{} held a key database that this root key opens, without a manifest: it is kept.",
            self.state.join(KMS).display()
        ));
        Ok(())
    }

    /// The id of the store, which follows from that of the key database: a manifest that was lost is
    /// written anew with the same.
    fn store_id<F: FileSystem + Clone>(
        &self,
        files: &F,
        kms: &dyn Storage,
        remarks: &mut Vec<String>,
    ) -> Result<Uuid, Error> {
        let database = Database::id(kms)?;
        let id = uuid::Builder::from_random_bytes(database).into_uuid();
        let store = self.store(files);
        let records = store.list()?;
        if records.is_empty() {
            return Ok(id);
        }
        if !records.iter().any(|record| names_store(&store, record, id)) {
            return Err(Error::StoreOrphaned(self.state.clone()));
        }
        remarks.push(format!(
            "{} held entries of this store, without a manifest: they are kept. `sealgate store verify` \
             says whether all of them open.",
            self.state.join(STORE).display()
        ));
        Ok(id)
    }

    fn store<F: FileSystem + Clone>(&self, files: &F) -> FileStorage<F> {
        FileStorage::on(files.clone(), self.state.join(STORE))
    }
}

/// Whether a record of the store says that it belongs to the store `id`: its id stands in the clear
/// near the beginning of each.
fn names_store(store: &dyn Storage, record: &str, id: Uuid) -> bool {
    let Ok(Some(record)) = store.get(record) else {
        return false;
    };
    let start = &record.bytes[..record.bytes.len().min(ID_WITHIN)];
    start.windows(16).any(|bytes| bytes == id.as_bytes())
}

/// A header that does not open under its own root key is most often that of another identity.
fn foreign(error: Error, identity: &Identity) -> Error {
    match error {
        Error::DamagedRecord { record, why } if record == HEADER && why == CHANGED => {
            Error::OtherIdentity(identity.clone())
        }
        error => error,
    }
}

/// Creates a directory and its parents where they are not there, each durable before what is in it.
fn create_directories(files: &impl FileSystem, path: &Path) -> Result<(), Error> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let created = match files.create_directory(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_directories(files, parent(path))?;
            files.create_directory(path)
        }
        created => created,
    };
    match created {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Error::io("create the directory", path)(error));
        }
        // Also where it was there: whoever made it may have been cut short before the sync.
        _ => {}
    }
    let parent = parent(path);
    let synced = files.sync_directory(parent);
    synced.map_err(Error::io("sync the directory", parent))
}

fn refuse_inside(root_key: &Path, state: &Path) -> Result<(), Error> {
    let state = real_path(state)?;
    // By its name, and by what the name leads to.
    let named = std::path::absolute(root_key).map_err(Error::io("find", root_key))?;
    let parent = real_path(parent(&named))?;
    if parent.starts_with(&state) || real_path(root_key)?.starts_with(&state) {
        return Err(Error::RootKeyInside {
            path: root_key.to_owned(),
            state,
        });
    }
    Ok(())
}

/// A link to nothing can neither be read nor be replaced by a new root key.
fn refuse_dangling(root_key: &Path) -> Result<(), Error> {
    let is_link = fs::symlink_metadata(root_key).is_ok_and(|metadata| metadata.is_symlink());
    match fs::metadata(root_key) {
        Err(error) if is_link && error.kind() == io::ErrorKind::NotFound => {
            Err(Error::RootKeyDangling {
                to: fs::read_link(root_key).unwrap_or_default(),
                path: root_key.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// The path without symbolic links and dots, as far as it exists; the rest as it is written.
fn real_path(path: &Path) -> Result<PathBuf, Error> {
    let absolute = std::path::absolute(path).map_err(Error::io("find", path))?;
    for ancestor in absolute.ancestors() {
        match ancestor.canonicalize() {
            Ok(real) => {
                let rest = absolute.strip_prefix(ancestor);
                return Ok(join(real, rest.expect("an ancestor is a prefix")));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("find", ancestor)(error)),
        }
    }
    Ok(absolute)
}

/// `path` and `rest`, in which nothing exists, so that `..` can be taken by its word.
fn join(mut path: PathBuf, rest: &Path) -> PathBuf {
    for part in rest.components() {
        match part {
            std::path::Component::ParentDir => {
                path.pop();
            }
            part => path.push(part),
        }
    }
    path
}

// === the manifest ===

/// `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    store: Uuid,
    account: String,
    region: String,
    root_key: RootKeySource,
}

impl Manifest {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if manifest.format != FORMAT {
            return Err(format!(
                "it has format {}, and this version of sealgate knows {FORMAT}",
                manifest.format
            ));
        }
        Ok(manifest)
    }

    fn into_state(self, path: &Path) -> Result<StateDirectory, String> {
        let identity = Identity::new(&self.account, &self.region);
        Ok(StateDirectory {
            path: path.to_owned(),
            store_id: self.store,
            identity: identity.map_err(|error| error.to_string())?,
            root_key: self.root_key,
            named: None,
            remarks: Vec::new(),
        })
    }

    fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("a manifest is plain data");
        json.push(b'\n');
        json
    }
}

const MANIFEST: &str = "manifest.json";
const LOCK: &str = "lock";
const KMS: &str = "kms";
const STORE: &str = "store";
const TRUST: &str = "trust";
const FORMAT: u32 = 1;
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Bytes at the start of an entry in which its store's id stands.
const ID_WITHIN: usize = 64;

#[cfg(test)]
mod tests;
