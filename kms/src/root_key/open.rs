//! Finding and fetching the root key of a key database.

use std::path::{Path, PathBuf};

use super::error::{Needs, RootError};
use super::passphrase::Passphrase;
use super::record::{DatabaseId, Protection, RootRecord, record_name};
use super::share::Share;
use super::{Fingerprint, NewRoot, RootKey, RootKeyFile, RootKeySource, SourceKind, credential};
use crate::error::Error;
use crate::secret::SecretKey;
use crate::state::RootInForce;
use crate::storage::{FileStorage, FileSystem, Storage};

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
    /// `named`, the likeliest first, of the state directory `state` in the file system `files`.
    pub(crate) fn on<F: FileSystem + Clone + 'static>(
        files: F,
        state: &Path,
        named: Vec<RootKeySource>,
    ) -> Self {
        let paths = named.iter().filter_map(RootKeySource::file);
        Self {
            state: state.to_owned(),
            records: Box::new(FileStorage::on(files.clone(), state)),
            files: paths.map(Path::to_owned).collect(),
            named,
            read: Box::new(move |path| RootKeyFile::on(files.clone(), path).root_key()),
        }
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
    let mut opened = None;
    for source in places.of_kind(kind)? {
        let root = open_at(&record, &source, unlock).and_then(|root| {
            root.ok_or_else(|| {
                Error::from(match kind {
                    SourceKind::Passphrase => RootError::PassphraseWrong,
                    _ => damaged("it does not open"),
                })
            })
        });
        match root {
            Ok(root) => return Ok((RootKey::new(root, source.place()), source)),
            Err(error) => opened = opened.or(Some(error)),
        }
    }
    Err(opened.unwrap_or_else(|| places.elsewhere(kind).into()))
}

/// What stands in a record, by what `source` and `unlock` give; none if that is another key.
fn open_at(
    record: &RootRecord,
    source: &RootKeySource,
    unlock: &Unlock,
) -> Result<Option<SecretKey>, Error> {
    let key = key_encryption_key(record, source, unlock)?;
    Ok(record.open(&key))
}

/// What can be said of the root key `fingerprint` without opening it.
pub(crate) fn in_force(
    places: &Places<'_>,
    fingerprint: Fingerprint,
    moving: bool,
) -> Result<RootInForce, Error> {
    let name = record_name(fingerprint);
    let Some(found) = places.records.get(&name)? else {
        let source = from_file(places, fingerprint, places.state.join(name))?.1;
        return Ok(RootInForce {
            source,
            fingerprint,
            created: None,
            sharing: None,
            moving,
        });
    };
    let record = RootRecord::parse(&found.bytes, fingerprint);
    let record = record.map_err(|why| RootError::RecordDamaged {
        record: places.state.join(name),
        why,
    })?;
    let head = record.head();
    let kind = head.protection.kind();
    let source = places.of_kind(kind)?.into_iter().next();
    Ok(RootInForce {
        source: source.ok_or_else(|| places.elsewhere(kind))?,
        fingerprint,
        created: Some(head.created),
        sharing: head.protection.sharing(),
        moving,
    })
}

/// A root key that was [made](super::make) elsewhere, if it belongs to `record` and to the database `id` of
/// the state directory `state`.
pub(crate) fn receive(
    source: RootKeySource,
    record: Vec<u8>,
    key: SecretKey,
    (id, state): (DatabaseId, &Path),
) -> Result<NewRoot, Error> {
    let root = RootKey::new(key, source.place());
    let damaged = |why| RootError::RecordDamaged {
        record: state.join(record_name(root.fingerprint())),
        why,
    };
    let parsed = RootRecord::parse(&record, root.fingerprint()).map_err(damaged)?;
    let head = parsed.head();
    if head.database != id {
        return Err(damaged("it is of another key database").into());
    }
    if head.protection.kind() != source.kind() {
        return Err(damaged("it is of another kind").into());
    }
    Ok(NewRoot {
        root,
        source,
        record: Some(record),
        shares: Vec::new(),
    })
}

impl Places<'_> {
    /// The places of that kind that are named, the likeliest first: people need not be named.
    fn of_kind(&self, kind: SourceKind) -> Result<Vec<RootKeySource>, RootError> {
        let named = self.named.iter().filter(|named| named.kind() == kind);
        let named: Vec<_> = named.cloned().collect();
        match kind {
            SourceKind::Passphrase => Ok(vec![RootKeySource::Passphrase]),
            SourceKind::Shamir => Ok(vec![RootKeySource::Shamir]),
            kind if named.is_empty() => Err(self.elsewhere(kind)),
            _ => Ok(named),
        }
    }

    fn elsewhere(&self, found: SourceKind) -> RootError {
        let named = self.named.first();
        RootError::Elsewhere {
            named: named.map_or(SourceKind::File, RootKeySource::kind),
            found,
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
