//! The state directory: all that a balancer keeps, in files that are safe to copy to a backup.
//!
//! | name | holds |
//! |---|---|
//! | `manifest.json` | format, store id, account, region, where the root key is kept; no secret |
//! | `root-FINGERPRINT` | a root key, encrypted; none where it stands in a file |
//! | `lock` | who writes here: locked (flock(2)) by that process, whose description it holds |
//! | `kms/` | the key database, sealed under the root key |
//! | `store/` | the certificate store's sealed entries |
//! | `trust/` | trust stores |
//! | `audit/` | the audit log |
//!
//! The root key is not in it in the clear, and [`StateDirectory::init`] and
//! [`open_kms`](StateDirectory::open_kms) refuse a root key file that is.
//!
//! The manifest has format 1, or 2 where it says what format 1 could not: a root key that is not in a
//! file, or one that is on its way elsewhere.
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
mod root;

pub use lock::DirectoryLock;
pub use root::RootInForce;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::audit::AuditOptions;
use crate::database::{CHANGED, Database, HEADER};
use crate::environment::Environment;
use crate::error::Error;
use crate::key::Identity;
use crate::root_key::{
    self, Fingerprint, Places, RootKey, RootKeyFile, RootKeySource, Share, Sharing, Unlock,
    record_name,
};
use crate::service::Kms;
use crate::storage::{Expected, FileStorage, FileSystem, Storage, SystemFiles, parent};

/// A state directory whose manifest has been read.
#[derive(Debug, Clone)]
pub struct StateDirectory {
    path: PathBuf,
    store_id: Uuid,
    identity: Identity,
    root_key: RootKeySource,
    /// Where the root key goes, while the database is sealed anew.
    next: Option<NextRoot>,
    /// Named by whoever opens it, before everything else that names one.
    named: Option<RootKeySource>,
    remarks: Vec<String>,
}

/// What `init` may be told.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// Where the root key shall be kept; without it, in the file [`default_root_key`].
    pub root_key: Option<RootKeySource>,
    /// How it is shared, where it is.
    pub sharing: Sharing,
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
        let made = Self::init_with(path, options, &Unlock::default(), environment);
        made.map(|(directory, _)| directory)
    }

    /// [`init`](Self::init) where the root key takes what is in `unlock`. Also gives the shares that
    /// people are to keep, where it is shared: nothing else opens it.
    ///
    /// # Errors
    /// As of [`init`](Self::init); [`Error::Sealed`] where `unlock` does not have what it takes.
    pub fn init_with(
        path: &Path,
        options: &InitOptions,
        unlock: &Unlock,
        environment: &Environment,
    ) -> Result<(Self, Vec<Share>), Error> {
        let plan = Plan::new(path, options)?;
        // Before the lock, which a running balancer holds.
        plan.refuse_second(&FileStorage::new(path))?;
        create_directories(&SystemFiles, &plan.state)?;
        refuse_exposed(&plan.state)?;
        let holder = format!("sealgate init, process {}", std::process::id());
        let _lock = DirectoryLock::take(&plan.state, &holder)?;
        plan.carry_out(&SystemFiles, unlock, environment)
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

    /// The audit log's directory.
    pub fn audit_directory(&self) -> PathBuf {
        self.path.join(AUDIT)
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
    /// where the manifest says, by what is in `unlock`.
    ///
    /// # Errors
    /// [`Error::Sealed`] where `unlock` does not have what it takes; why the root key cannot be had,
    /// [`Error::RootKeyInside`], [`Error::WrongRootKey`], [`Error::OtherIdentity`], and others of
    /// [`Kms::open`].
    pub fn open_kms(
        &self,
        root: Option<&RootKeySource>,
        unlock: &Unlock,
        environment: Environment,
    ) -> Result<Kms, Error> {
        let storage = Arc::new(FileStorage::new(self.kms_directory()));
        let (id, fingerprint) = Database::described(&*storage)?;
        let places = self.places(root, fingerprint)?;
        let (root, _) = root_key::open(&places, fingerprint, id, unlock)?;
        let opened = Kms::open(storage, &root, self.identity.clone(), environment);
        opened.map_err(|error| foreign(error, &self.identity))
    }

    /// Where the root key `fingerprint` may be: where somebody names it, or where it went.
    fn places(
        &self,
        root: Option<&RootKeySource>,
        fingerprint: Fingerprint,
    ) -> Result<Places<'static>, Error> {
        let places = self.places_on(SystemFiles, root, fingerprint);
        for file in &places.files {
            refuse_inside(file, &self.path)?;
        }
        Ok(places)
    }

    fn places_on<F: FileSystem + Clone + 'static>(
        &self,
        files: F,
        root: Option<&RootKeySource>,
        fingerprint: Fingerprint,
    ) -> Places<'static> {
        let next = self.next.iter();
        let next = next.filter(|next| next.fingerprint == fingerprint.to_string());
        let mut named: Vec<_> = next.map(|next| next.root_key.clone()).collect();
        match &self.named {
            Some(explicit) => named.push(explicit.clone()),
            None => named.extend(root.into_iter().chain([&self.root_key]).cloned()),
        }
        Places::on(files, &self.path, named)
    }

    /// The same directory, as its manifest describes it by now.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub fn reopened(&self) -> Result<Self, Error> {
        Ok(Self {
            named: self.named.clone(),
            ..Self::open(&self.path)?
        })
    }

    fn manifest(&self) -> Manifest {
        Manifest {
            format: FORMAT,
            store: self.store_id,
            account: self.identity.account.clone(),
            region: self.identity.region.clone(),
            root_key: self.root_key.clone(),
            next: self.next.clone(),
        }
    }
}

impl StateDirectory {
    /// This directory's KMS for its only writer: what is asked of it is written down in the audit log.
    ///
    /// # Errors
    /// As of [`Kms::with_audit_log`].
    pub fn audited(&self, kms: Kms, options: AuditOptions) -> Result<Kms, Error> {
        let directory = self.audit_directory();
        // State directories that were made before there was a log have no place for it.
        create_directories(&SystemFiles, &directory)?;
        kms.with_audit_log(&directory, options)
    }
}

/// Refuses a directory into which others can put what they like: a certificate of theirs, or an older
/// one.
fn refuse_exposed(state: &Path) -> Result<(), Error> {
    let parts = [KMS, STORE, TRUST, AUDIT].map(|part| state.join(part));
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
    root_key: RootKeySource,
    sharing: Sharing,
    identity: Identity,
}

impl Plan {
    fn new(path: &Path, options: &InitOptions) -> Result<Self, Error> {
        let account = options.account.as_deref().unwrap_or("000000000000");
        let identity = Identity::new(account, options.region.as_deref().unwrap_or("local"))?;
        let root_key = match &options.root_key {
            None => RootKeySource::File(default_root_key(path)?),
            Some(RootKeySource::File(path)) => {
                RootKeySource::File(std::path::absolute(path).map_err(Error::io("find", path))?)
            }
            Some(elsewhere) => elsewhere.clone(),
        };
        if let RootKeySource::File(file) = &root_key {
            refuse_inside(file, path)?;
            refuse_dangling(file)?;
        }
        Ok(Self {
            state: path.to_owned(),
            root_key,
            sharing: options.sharing,
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
        unlock: &Unlock,
        environment: &Environment,
    ) -> Result<(StateDirectory, Vec<Share>), Error> {
        let top = FileStorage::on(files.clone(), &self.state);
        self.refuse_second(&top)?;
        for directory in [KMS, STORE, TRUST, AUDIT] {
            create_directories(files, &self.state.join(directory))?;
        }
        let mut remarks = Vec::new();
        let kms = Arc::new(FileStorage::on(files.clone(), self.state.join(KMS)));
        let mut shares = Vec::new();
        if Database::exists(&*kms)? {
            self.finish(files, kms.clone(), unlock, environment, &mut remarks)?;
        } else if !self.store(files).list()?.is_empty() {
            return Err(Error::StoreOrphaned(self.state.clone()));
        } else if let RootKeySource::File(file) = &self.root_key {
            let root = key_file(files, file, environment, &mut remarks)?;
            Kms::create(
                kms.clone(),
                &root,
                self.identity.clone(),
                environment.clone(),
            )?;
        } else {
            shares = self.begin(files, kms.clone(), unlock, environment)?;
        }
        let directory = StateDirectory {
            path: self.state.clone(),
            store_id: self.store_id(files, &*kms, &mut remarks)?,
            identity: self.identity.clone(),
            root_key: self.root_key.clone(),
            next: None,
            named: None,
            remarks,
        };
        top.put(MANIFEST, &directory.manifest().to_json(), Expected::Absent)?;
        Ok((directory, shares))
    }

    /// A key database under a root key that stands in a record: the record first, for the database
    /// would not open without.
    fn begin<F: FileSystem + Clone>(
        &self,
        files: &F,
        kms: Arc<dyn Storage>,
        unlock: &Unlock,
        environment: &Environment,
    ) -> Result<Vec<Share>, Error> {
        let id = environment.random_bytes();
        let wanted = (&self.root_key, self.sharing);
        let new = root_key::make(files.clone(), wanted, id, unlock, environment)?;
        if let Some(record) = &new.record {
            let top = FileStorage::on(files.clone(), &self.state);
            let name = record_name(new.root.fingerprint());
            top.put(&name, record, Expected::Absent)?;
        }
        let identity = self.identity.clone();
        Kms::create_as(kms, (id, &new.root), identity, environment.clone())?;
        Ok(new.shares)
    }

    /// The key database that is there, made whole.
    fn finish<F: FileSystem + Clone + 'static>(
        &self,
        files: &F,
        kms: Arc<dyn Storage>,
        unlock: &Unlock,
        environment: &Environment,
        remarks: &mut Vec<String>,
    ) -> Result<(), Error> {
        let (id, fingerprint) = Database::described(&*kms)?;
        let places = Places::on(files.clone(), &self.state, vec![self.root_key.clone()]);
        let (root, found) = root_key::open(&places, fingerprint, id, unlock)?;
        if let RootKeySource::File(file) = found {
            remarks.push(found_already(&file, &root));
        }
        Kms::finish(kms, &root, self.identity.clone(), environment.clone())
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
        let (database, _) = Database::described(kms)?;
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

/// The root key in `file`, which is made if it is not there.
fn key_file<F: FileSystem + Clone>(
    files: &F,
    file: &Path,
    environment: &Environment,
    remarks: &mut Vec<String>,
) -> Result<RootKey, Error> {
    let key = RootKeyFile::on(files.clone(), file);
    match key.root_key() {
        Ok(root) => {
            remarks.push(found_already(file, &root));
            Ok(root)
        }
        Err(Error::RootKeyMissing(_)) => {
            create_directories(files, parent(file))?;
            key.create(environment)
        }
        Err(error) => Err(error),
    }
}

fn found_already(file: &Path, root: &RootKey) -> String {
    format!(
        "{} was there already, with the fingerprint {}: it is the root key.",
        file.display(),
        root.fingerprint()
    )
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    store: Uuid,
    account: String,
    region: String,
    root_key: RootKeySource,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<NextRoot>,
}

/// Where the root key goes, while the database is sealed anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextRoot {
    root_key: RootKeySource,
    /// Which root key it is: it is in force once the database's header names it.
    fingerprint: String,
    /// Which one it replaces.
    from: String,
}

impl Manifest {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if !(1..=FORMAT).contains(&manifest.format) {
            return Err(format!(
                "it has format {}, and this version of sealgate knows those up to {FORMAT}",
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
            next: self.next,
            named: None,
            remarks: Vec::new(),
        })
    }

    /// In the oldest format that can say it.
    fn to_json(&self) -> Vec<u8> {
        let oldest = Self {
            format: match (&self.root_key, &self.next) {
                (RootKeySource::File(_), None) => 1,
                _ => FORMAT,
            },
            ..self.clone()
        };
        let mut json = serde_json::to_vec_pretty(&oldest).expect("a manifest is plain data");
        json.push(b'\n');
        json
    }
}

const MANIFEST: &str = "manifest.json";
const LOCK: &str = "lock";
const KMS: &str = "kms";
const STORE: &str = "store";
const TRUST: &str = "trust";
const AUDIT: &str = "audit";
const FORMAT: u32 = 2;
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// Bytes at the start of an entry in which its store's id stands.
const ID_WITHIN: usize = 64;

#[cfg(test)]
mod tests;
