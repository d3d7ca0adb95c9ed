//! The sealed store: entries in, summaries and opened certificates out.

mod ledger;
pub(crate) mod parallel;
mod reseal;
#[cfg(test)]
mod residue;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use kms::storage::{Expected, Record, Storage, Version};
use kms::{Environment, KeyRef, Seal};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::bucket::{BucketId, WrappedBy};
use crate::certificate::date;
use crate::certified::certify;
use crate::entry::{self, EntrySummary};
use crate::error::{BrokenEntry, Error};
use crate::format::{Content, SealedEntry};
use crate::import;
use crate::key_type::{KeyFamily, KeyType};
use crate::name::{EntryFile, EntryName};
use crate::pem;
use crate::private_key::{Encoding, PrivateKey};
use crate::request;
use crate::seal::{self, Sealer};
use crate::served::ServedCertificate;
use crate::store_key::StoreKey;
use crate::table::CertTable;
use crate::wrapping::{CallCounter, KmsCalls, StoreKeyCache, Wrapping};

use self::ledger::Ledger;
pub use self::reseal::Resealed;
use self::write::{KeySource, REQUEST_LABEL, compare_names, remark_on_name};

/// The entries of one store, and the KMS that seals them.
///
/// Every call reads or writes storage, and may wait for it.
pub struct SealedStore {
    storage: Arc<dyn Storage>,
    sealer: Sealer,
    ledger: Ledger,
    /// Held from the look at what is there to the write over it: writers take turns.
    writer: Mutex<()>,
}

/// What is to be imported.
pub struct Import {
    /// The entry's name; what is there under it with a key of the same family is replaced.
    pub name: String,
    /// Certificates in PEM, in any order, each text with the name that errors call it.
    pub chain_pem: Vec<(String, String)>,
    /// The key; none takes the one that was made with a request, or the one that the entry has.
    pub key: Option<PrivateKey>,
    /// Whether the key may leave the store, encrypted. A key that is in the store keeps its mark.
    pub exportable: bool,
    /// Whether a certificate outside its time is taken.
    pub allow_expired: bool,
    /// Whether it may replace one with which it has no name in common.
    pub allow_name_change: bool,
}

/// What was imported.
#[derive(Debug)]
pub struct Imported {
    /// The entry as it is now.
    pub entry: EntrySummary,
    /// What the user should know.
    pub remarks: Vec<String>,
}

/// What a certificate is to be requested for.
#[derive(Debug, Clone)]
pub struct CsrRequest {
    /// The entry's name.
    pub name: String,
    /// DNS names and addresses for the certificate, the first of them also as common name.
    pub names: Vec<String>,
    /// The kind of key to make.
    pub key_type: KeyType,
    /// Whether the key may leave the store, encrypted.
    pub exportable: bool,
}

/// A file that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// Its name in the store's directory.
    pub file: String,
    /// The family of its key.
    pub family: KeyFamily,
    /// Whether its certificate was still to come.
    pub pending: bool,
}

/// What came of opening everything.
#[derive(Debug, Default)]
pub struct Verification {
    /// Entries that open, and are what they say.
    pub good: Vec<EntrySummary>,
    /// Files that do not.
    pub bad: Vec<BrokenEntry>,
    /// What the user should know of the good ones.
    pub remarks: Vec<String>,
}

/// What a file held.
pub(crate) enum Opened {
    /// A certificate.
    Served(Box<ServedCertificate>),
    /// A request whose certificate is still to come.
    Pending,
}

/// All entries in `storage` that belong to the store `store` in `region`, from their clear headers and
/// without any key: [`SealedStore::verify`] says whether they are authentic.
///
/// # Errors
/// What the storage says.
pub fn list(
    storage: &dyn Storage,
    store: Uuid,
    region: &str,
) -> Result<Vec<Result<EntrySummary, BrokenEntry>>, Error> {
    let files = entry_files(storage)?;
    let wrapped_by = WrappedBy::new(storage);
    let summary = |file: &str| summary(storage, file, (store, region), &wrapped_by);
    Ok(parallel::map(&files, summary, &|_, _| {}))
}

/// What the entry `name` has, one for each family of keys and for each request, as [`list`] says it; a
/// file that cannot be read is there, too.
///
/// # Errors
/// [`Error::InvalidName`], [`Error::NoEntry`].
pub fn show(
    storage: &dyn Storage,
    store: Uuid,
    region: &str,
    name: &str,
) -> Result<Vec<Result<EntrySummary, BrokenEntry>>, Error> {
    let name = EntryName::known(name)?;
    let files = files_of(storage, &name);
    if files.is_empty() {
        return Err(Error::NoEntry(name.to_string()));
    }
    let wrapped_by = WrappedBy::new(storage);
    let summary =
        |file: &EntryFile| summary(storage, &file.to_string(), (store, region), &wrapped_by);
    Ok(files.iter().map(summary).collect())
}

/// The files in which entries stand, and those that do not belong there: all but the records of keys.
fn entry_files(storage: &dyn Storage) -> Result<Vec<String>, Error> {
    let mut files = storage.list()?;
    files.retain(|file| BucketId::of_file(file).is_none() && file != StoreKey::FILE);
    Ok(files)
}

/// The bucket keys of which there are records.
fn bucket_ids(storage: &dyn Storage) -> Result<Vec<BucketId>, Error> {
    let files = storage.list()?;
    let ids = files.iter().filter_map(|file| BucketId::of_file(file));
    Ok(ids.collect())
}

/// The files that the entry `name` has, requests among them.
fn files_of(storage: &dyn Storage, name: &EntryName) -> Vec<EntryFile> {
    let both = |family| [false, true].map(|pending| EntryFile::new(name, family, pending));
    let mut files: Vec<_> = KeyFamily::ALL.into_iter().flat_map(both).collect();
    // One that cannot be read is there, too.
    files.retain(|file| !matches!(storage.get(&file.to_string()), Ok(None)));
    files
}

fn summary(
    storage: &dyn Storage,
    file: &str,
    (store, region): (Uuid, &str),
    wrapped_by: &WrappedBy<'_>,
) -> Result<EntrySummary, BrokenEntry> {
    let read = || {
        let record = storage.get(file)?.ok_or(Error::Missing)?;
        let entry = seal::read(file, &record.bytes, store, region)?;
        EntrySummary::of(file, &entry, wrapped_by.of(&entry)?)
    };
    read().map_err(|reason| BrokenEntry::new(file, reason))
}

/// The certificates in the file `file` of the store `store` in `region`, in DER, the leaf first; none
/// where the certificate is still to come. They come from the clear header, as in [`list`].
///
/// # Errors
/// What is wrong with the file; or what the storage says.
pub fn chain(
    storage: &dyn Storage,
    file: &str,
    store: Uuid,
    region: &str,
) -> Result<Vec<Vec<u8>>, BrokenEntry> {
    let read = || {
        let record = storage.get(file)?.ok_or(Error::Missing)?;
        let entry = seal::read(file, &record.bytes, store, region)?;
        Ok(match entry.header.content {
            Content::Chain(chain) => chain.iter().map(|der| der.to_vec()).collect(),
            Content::Request(_) => Vec::new(),
        })
    };
    read().map_err(|reason| BrokenEntry::new(file, reason))
}

impl SealedStore {
    /// The store whose entries stand in `storage`, sealed under the KMS key `key` by way of bucket keys.
    pub fn new(
        storage: Arc<dyn Storage>,
        kms: impl Into<Seal>,
        key: KeyRef,
        store_id: Uuid,
        region: String,
        environment: Environment,
    ) -> Self {
        let wrapping = Wrapping {
            storage: storage.clone(),
            kms: kms.into(),
            configured: key,
            store: store_id,
            region,
            environment,
            calls: CallCounter::default(),
            store_key: StoreKeyCache::default(),
        };
        Self {
            sealer: Sealer::new(storage.clone(), wrapping),
            storage,
            ledger: Ledger::default(),
            writer: Mutex::new(()),
        }
    }

    /// Seals new entries with bucket keys, or without: then the KMS wraps a data key for each. Entries of
    /// both kinds are opened.
    pub fn use_bucket_keys(&self, enabled: bool) {
        self.sealer.derives.store(enabled, Ordering::Relaxed);
    }

    /// The calls of the KMS since the store was opened.
    pub fn kms_calls(&self) -> KmsCalls {
        self.sealer.wrapping.calls.read()
    }

    /// Lets go of bucket keys that have been in memory for long enough: to be called from time to time.
    pub fn end_bucket_keys(&self) {
        self.sealer.buckets.end(self.now());
    }

    /// Lets go of every bucket key: the KMS is being sealed.
    pub fn forget_bucket_keys(&self) {
        self.sealer.buckets.forget();
    }

    /// Checks a certificate and its key, and seals them: nothing is written before all is found good.
    ///
    /// # Errors
    /// What is wrong with the name, the certificates or the key; [`Error::NoPendingKey`];
    /// [`Error::NamesReplaced`]; or what the KMS or the storage says.
    pub fn import(&self, import: Import) -> Result<Imported, Error> {
        let name = EntryName::new(&import.name)?;
        let inputs = import::inputs(&import.chain_pem)?;
        let _writer = self.writer.lock();
        let source = self.key_source(&name, &inputs, import.key, import.exportable)?;
        let key = (source.key.key_type(), source.key.public_key());
        let checked = import::check(&inputs, key, self.now(), import.allow_expired)?;
        let mut remarks = checked.remarks;
        let file = EntryFile::new(&name, key.0.family(), false);
        let there = self.look(&file, &mut remarks);
        let names = (&there.names[..], &checked.names[..]);
        let lost = compare_names(&name, names, import.allow_name_change)?;
        remarks.splice(0..0, lost);
        let content = Content::Chain(checked.chain.iter().map(Vec::as_slice).collect());
        let entry = self.write(&file, content, &source, &there)?;
        if let Some(request) = source.request {
            self.drop_request(&request, &mut remarks);
        }
        remark_on_name(&entry, &mut remarks);
        self.remark_on_twins(&name, &entry, &mut remarks);
        Ok(Imported { entry, remarks })
    }

    /// Makes a key and seals it, and a request (PKCS#10) in PEM for a certificate of it. The entry
    /// that serves goes on serving until the certificate is imported without a key.
    ///
    /// Asked again for the same, it gives the same request; asked for something else under that name
    /// and with a key of that family, it replaces the request.
    ///
    /// # Errors
    /// What is wrong with the names; or what the KMS or the storage says.
    pub fn create_csr(&self, wanted: CsrRequest) -> Result<(EntrySummary, String), Error> {
        let name = EntryName::new(&wanted.name)?;
        let hosts = request::hosts(&wanted.names)?;
        let file = EntryFile::new(&name, wanted.key_type.family(), true);
        let _writer = self.writer.lock();
        if let Some(known) = self.same_request(&file, &wanted, &hosts)? {
            return Ok(known);
        }
        let (key, der) = request::request(wanted.key_type, &hosts)?;
        let source = KeySource {
            key,
            exportable: wanted.exportable,
            request: None,
        };
        let there = self.look(&file, &mut Vec::new());
        let entry = self.write(&file, Content::Request(&der), &source, &there)?;
        Ok((entry, pem::encode(REQUEST_LABEL, &der)))
    }

    /// All entries, from their clear headers and without any key: `verify` says whether they are
    /// authentic.
    ///
    /// # Errors
    /// What the storage says.
    pub fn list(&self) -> Result<Vec<Result<EntrySummary, BrokenEntry>>, Error> {
        let (store, region) = self.home();
        list(&*self.storage, store, region)
    }

    /// What the entry `name` has, as [`show`] says it.
    ///
    /// # Errors
    /// As of [`show`].
    pub fn show(&self, name: &str) -> Result<Vec<Result<EntrySummary, BrokenEntry>>, Error> {
        let (store, region) = self.home();
        show(&*self.storage, store, region, name)
    }

    /// Deletes the entry `name`, or its part with a key of that family, with requests that wait. An
    /// older version of it that is put back afterwards is served again.
    ///
    /// # Errors
    /// [`Error::NoEntry`], [`Error::NoEntryOfFamily`]; or what the storage says.
    pub fn delete(&self, name: &str, family: Option<KeyFamily>) -> Result<Vec<Deleted>, Error> {
        let name = EntryName::known(name)?;
        let _writer = self.writer.lock();
        let files = self.files_of(&name);
        let none = files.is_empty();
        let chosen = |file: &EntryFile| family.is_none_or(|family| family == file.family);
        let deleted: Vec<_> = files
            .into_iter()
            .filter(chosen)
            .map(Deleted::from)
            .collect();
        match family {
            _ if none => return Err(Error::NoEntry(name.to_string())),
            Some(family) if deleted.is_empty() => {
                let name = name.to_string();
                return Err(Error::NoEntryOfFamily { name, family });
            }
            _ => {}
        }
        for Deleted { file, .. } in &deleted {
            self.storage.delete(file, Expected::Any)?;
            self.ledger.forgive(file);
        }
        Ok(deleted)
    }

    /// Opens everything, for a start: the table of what may be served, and what cannot be.
    /// `progress` is told how many files of how many are done.
    ///
    /// # Errors
    /// What the storage says where it cannot be listed; a single file never fails the rest.
    pub fn open_all(
        &self,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(CertTable, Vec<BrokenEntry>), Error> {
        let files = self.files()?;
        let opened = parallel::map(&files, |file| self.open_and_note(file), progress);
        let mut table = CertTable::default();
        let mut broken = Vec::new();
        for (file, opened) in files.into_iter().zip(opened) {
            match opened {
                Ok(Opened::Served(certificate)) => table.insert(Arc::new(*certificate)),
                Ok(Opened::Pending) => {}
                Err(reason) => broken.push(BrokenEntry { file, reason }),
            }
        }
        Ok((table, broken))
    }

    /// Opens one file; none where its certificate is still to come.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn open_file(&self, file: &str) -> Result<Option<ServedCertificate>, BrokenEntry> {
        let record = self.get(file);
        match record.and_then(|record| self.open(file, &record.bytes)) {
            Ok(Opened::Served(certificate)) => Ok(Some(*certificate)),
            Ok(Opened::Pending) => Ok(None),
            Err(reason) => Err(BrokenEntry::new(file, reason)),
        }
    }

    /// Opens every entry and every bucket key anew, and says which are what they claim to be.
    ///
    /// # Errors
    /// What the storage says where it cannot be listed.
    pub fn verify(&self, progress: &dyn Fn(u64, u64)) -> Result<Verification, Error> {
        let mut verification = Verification {
            bad: self.broken_keys()?,
            ..Verification::default()
        };
        let files = self.files()?;
        let results = parallel::map(&files, |file| self.verify_file(file), progress);
        for (file, result) in files.into_iter().zip(results) {
            match result {
                Ok(entry) => {
                    remark_on_dates(&entry, self.now(), &mut verification.remarks);
                    verification.good.push(entry);
                }
                Err(reason) => verification.bad.push(BrokenEntry { file, reason }),
            }
        }
        Ok(verification)
    }

    // === What the watcher needs ===

    /// Opens `file`, unless its content is that which is served.
    pub(crate) fn open_changed(&self, file: &str) -> Result<FileState, Error> {
        let Some(record) = self.storage.get(file)? else {
            return Ok(FileState::Gone);
        };
        if self.ledger.is_served(file, record.version) {
            return Ok(FileState::Same);
        }
        let opened = self.open(file, &record.bytes)?;
        Ok(FileState::Opened(opened, record.version))
    }

    /// Remembers which content of `file` is served, so that it is not opened again.
    pub(crate) fn note_served(&self, file: &str, content: Option<Version>) {
        self.ledger.note_served(file, content);
    }

    /// Refuses an entry that is older than one that this process has seen in that file, whatever became
    /// of the newer one: it is somebody's attempt to bring it back.
    pub(crate) fn check_age(&self, file: &str, version: u64) -> Result<(), Error> {
        let newest = self.ledger.floor(file);
        if version >= newest {
            return Ok(());
        }
        Err(Error::Older {
            found: version,
            newest,
        })
    }

    /// The names of all files but records of keys.
    pub(crate) fn files(&self) -> Result<Vec<String>, Error> {
        entry_files(&*self.storage)
    }

    /// Takes note of a file that has changed, if it is the record of a key; whether it is.
    pub(crate) fn key_changed(&self, file: &str) -> bool {
        if file == StoreKey::FILE {
            self.sealer.wrapping.store_key.forget();
            return true;
        }
        let id = BucketId::of_file(file);
        if let Some(id) = id {
            self.sealer.buckets.look_at(id);
        }
        id.is_some()
    }

    // === Opening ===

    fn open_and_note(&self, file: &str) -> Result<Opened, Error> {
        let record = self.get(file)?;
        let opened = self.open(file, &record.bytes)?;
        self.note_served(file, Some(record.version));
        Ok(opened)
    }

    /// Unseals the content of `file` and makes a certificate of it that can be served.
    fn open(&self, file: &str, bytes: &[u8]) -> Result<Opened, Error> {
        let entry = self.sealer.read(file, bytes)?;
        let opened = match &entry.header.content {
            Content::Request(_) => {
                self.sealer.unseal(&entry)?;
                Opened::Pending
            }
            Content::Chain(chain) => {
                let pkcs8 = self.sealer.unseal(&entry)?;
                Opened::Served(Box::new(certify(&entry.header, chain, &pkcs8)?))
            }
        };
        self.ledger.note_version(file, entry.header.version);
        Ok(opened)
    }

    fn verify_file(&self, file: &str) -> Result<EntrySummary, Error> {
        let record = self.get(file)?;
        let entry = self.sealer.read(file, &record.bytes)?;
        match &entry.header.content {
            Content::Chain(_) => drop(self.open(file, &record.bytes)?),
            Content::Request(der) => {
                if self.unseal_key(&entry)?.public_key() != entry::requested_key(der)? {
                    return Err(Error::EntryMismatch);
                }
            }
        }
        self.describe(file, &entry)
    }

    /// Records of keys that do not open, whether or not the key is at hand.
    fn broken_keys(&self) -> Result<Vec<BrokenEntry>, Error> {
        let sealer = &self.sealer;
        sealer.wrapping.store_key.forget();
        let store_key = match sealer.wrapping.store_key() {
            Err(Error::StoreKey { file, reason }) => Some(BrokenEntry::new(file, *reason)),
            _ => None,
        };
        let broken = |id: BucketId| {
            let reason = sealer.buckets.verify(&sealer.wrapping, id).err()?;
            Some(BrokenEntry::new(&id.file(), reason))
        };
        let ids = bucket_ids(&*self.storage)?;
        let buckets = ids.into_iter().filter_map(broken);
        Ok(store_key.into_iter().chain(buckets).collect())
    }

    fn describe(&self, file: &str, entry: &SealedEntry<'_>) -> Result<EntrySummary, Error> {
        let wrapped_by = WrappedBy::new(&*self.storage).of(entry)?;
        EntrySummary::of(file, entry, wrapped_by)
    }

    #[cfg(test)]
    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// The store's id and region.
    fn home(&self) -> (Uuid, &str) {
        let wrapping = &self.sealer.wrapping;
        (wrapping.store, &wrapping.region)
    }

    fn unseal_key(&self, entry: &SealedEntry<'_>) -> Result<PrivateKey, Error> {
        let pkcs8 = self.sealer.unseal(entry)?;
        PrivateKey::from_der(&pkcs8, Encoding::Pkcs8)
    }

    fn summary(&self, file: &str) -> Result<EntrySummary, BrokenEntry> {
        let wrapped_by = WrappedBy::new(&*self.storage);
        summary(&*self.storage, file, self.home(), &wrapped_by)
    }

    fn get(&self, file: &str) -> Result<Record, Error> {
        self.storage.get(file)?.ok_or(Error::Missing)
    }

    fn files_of(&self, name: &EntryName) -> Vec<EntryFile> {
        files_of(&*self.storage, name)
    }

    fn now(&self) -> SystemTime {
        self.sealer.wrapping.now()
    }
}

/// What became of a file.
pub(crate) enum FileState {
    /// It is not there.
    Gone,
    /// It is what is served.
    Same,
    /// It was opened, and this is its content.
    Opened(Opened, Version),
}

impl From<EntryFile> for Deleted {
    fn from(file: EntryFile) -> Self {
        Self {
            file: file.to_string(),
            family: file.family,
            pending: file.pending,
        }
    }
}

fn remark_on_dates(entry: &EntrySummary, now: SystemTime, remarks: &mut Vec<String>) {
    let Some(certificate) = &entry.certificate else {
        return;
    };
    if certificate.not_after < now {
        let expired = date(certificate.not_after);
        remarks.push(format!(
            "{}: its certificate expired on {expired}: renew it",
            entry.file
        ));
    } else if now < certificate.not_before {
        let begins = date(certificate.not_before);
        remarks.push(format!(
            "{}: its certificate is not valid before {begins}",
            entry.file
        ));
    }
}
