//! Finding and fetching the root key of a key database.

use std::path::{Path, PathBuf};

use super::error::{Needs, RootError};
use super::passphrase::Passphrase;
use super::record::{DatabaseId, Protection, RootRecord, record_name};
use super::share::Share;
use super::{Fingerprint, RootKey, RootKeyFile, RootKeySource, SourceKind, credential};
use crate::error::Error;
use crate::secret::SecretKey;
use crate::storage::{FileStorage, FileSystem, Storage, SystemFiles};

/// What people, or whoever starts this process, have brought to open a root key.
#[derive(Default)]
pub struct Unlock {
    /// The passphrase.
    pub passphrase: Option<Passphrase>,
    /// The shares.
    pub shares: Vec<Share>,
    /// The PIN of a token.
    pub pin: Option<Passphrase>,
    /// The directory of the service manager's credentials.
    pub credentials: Option<PathBuf>,
}

impl Unlock {
    /// What comes with the process: the credentials in `$CREDENTIALS_DIRECTORY`.
    pub fn from_process() -> Self {
        Self {
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            ..Self::default()
        }
    }
}

/// Reads the root key in a file.
type ReadFile<'a> = dyn Fn(&Path) -> Result<RootKey, Error> + 'a;

/// Where the root key of a key database may be.
pub(crate) struct Places<'a> {
    /// The state directory, for messages.
    state: PathBuf,
    /// Where the root records are.
    records: Box<dyn Storage + 'a>,
    /// The places that are named, the likeliest first.
    named: Vec<RootKeySource>,
    /// The files that are looked into.
    pub(crate) files: Vec<PathBuf>,
    read: Box<ReadFile<'a>>,
}

impl Places<'_> {
    /// `named`, the likeliest first, of the state directory `state`.
    pub(crate) fn new(state: &Path, named: Vec<RootKeySource>) -> Self {
        Self::on(SystemFiles, state, named)
    }

    /// [`new`](Self::new), of the file system `files`.
    pub(crate) fn on<F: FileSystem + Clone + 'static>(
        files: F,
        state: &Path,
        named: Vec<RootKeySource>,
    ) -> Self {
        let first = named.iter().find_map(RootKeySource::file);
        Self {
            state: state.to_owned(),
            records: Box::new(FileStorage::on(files.clone(), state)),
            files: first.map(Path::to_owned).into_iter().collect(),
            named,
            read: Box::new(move |path| RootKeyFile::on(files.clone(), path).root_key()),
        }
    }

    /// One more to look for, and into.
    pub(crate) fn add(&mut self, source: &RootKeySource) {
        self.files.extend(source.file().map(Path::to_owned));
        self.named.push(source.clone());
    }
}

/// Fetches the root key `fingerprint`, under which the key database `database` is sealed, and says where
/// it was.
///
/// # Errors
/// [`Error::Sealed`] where `unlock` does not have what it takes; why the root key cannot be had.
pub(crate) fn open(
    places: &Places<'_>,
    fingerprint: Fingerprint,
    database: DatabaseId,
    unlock: &Unlock,
) -> Result<(RootKey, RootKeySource), Error> {
    let name = record_name(fingerprint);
    let path = places.state.join(&name);
    let damaged = |why| RootError::RecordDamaged {
        record: path.clone(),
        why,
    };
    let Some(found) = places.records.get(&name)? else {
        return from_file(places, fingerprint, path);
    };
    let record = RootRecord::parse(&found.bytes, fingerprint).map_err(damaged)?;
    if record.head().database != database {
        return Err(damaged("it is of another key database").into());
    }
    let kind = record.head().protection.kind();
    let source = places.of_kind(kind)?;
    let key = key_encryption_key(&record, &source, unlock)?;
    let root = record.open(&key).ok_or_else(|| match kind {
        SourceKind::Passphrase => RootError::PassphraseWrong,
        _ => damaged("it does not open"),
    })?;
    Ok((RootKey::new(root, source.place()), source))
}

impl Places<'_> {
    /// The place of that kind: people need not be named.
    fn of_kind(&self, kind: SourceKind) -> Result<RootKeySource, RootError> {
        let named = self.named.iter().find(|named| named.kind() == kind);
        match (named, kind) {
            (Some(named), _) => Ok(named.clone()),
            (None, SourceKind::Passphrase) => Ok(RootKeySource::Passphrase),
            (None, SourceKind::Shamir) => Ok(RootKeySource::Shamir),
            (None, found) => Err(RootError::Elsewhere {
                named: self
                    .named
                    .first()
                    .map_or(SourceKind::File, RootKeySource::kind),
                found,
            }),
        }
    }
}

/// Without a record, the root key stands for itself in one of the files. Where it is in none, whoever
/// opens the database with what was in the first says that it is the wrong one.
fn from_file(
    places: &Places<'_>,
    fingerprint: Fingerprint,
    record: PathBuf,
) -> Result<(RootKey, RootKeySource), Error> {
    let mut first = None;
    for file in &places.files {
        let source = RootKeySource::File(file.clone());
        match (places.read)(file) {
            Ok(root) if root.fingerprint() == fingerprint => return Ok((root, source)),
            other => first = first.or(Some(other.map(|root| (root, source)))),
        }
    }
    first.unwrap_or_else(|| {
        Err(RootError::RecordMissing {
            fingerprint: fingerprint.to_string(),
            record,
        }
        .into())
    })
}

fn key_encryption_key(
    record: &RootRecord,
    source: &RootKeySource,
    unlock: &Unlock,
) -> Result<SecretKey, Error> {
    match (&record.head().protection, source) {
        (Protection::Passphrase(parameters), _) => {
            let passphrase = unlock.passphrase.as_ref();
            let passphrase = passphrase.ok_or(Error::Sealed(Needs::Passphrase))?;
            Ok(parameters.derive(passphrase)?)
        }
        (Protection::Credential(salt), RootKeySource::Credential(name)) => {
            credential::derive_from(unlock.credentials.as_deref(), name, salt)
        }
        (Protection::Shares(set), _) => {
            let (threshold, count) = set.numbers();
            set.combine(&unlock.shares)?.map_err(|missing| {
                Error::Sealed(Needs::Shares {
                    missing,
                    threshold,
                    count,
                })
            })
        }
        (protection, _) => Err(RootError::NotBuilt(protection.kind()).into()),
    }
}
