//! Making a fresh root key, and putting it where it shall be kept.

use std::path::PathBuf;

use super::error::{Needs, RootError};
use super::open::Unlock;
use super::passphrase::Argon2Parameters;
use super::record::{DatabaseId, Protection, RootRecord};
use super::share::{Share, ShareSet};
use super::{Fingerprint, RootKey, RootKeyFile, RootKeySource, credential};
use crate::environment::Environment;
use crate::error::Error;
use crate::secret::SecretKey;
use crate::storage::FileSystem;

/// A root key that was made, and that nothing is sealed under yet.
pub struct NewRoot {
    pub(crate) root: RootKey,
    pub(crate) source: RootKeySource,
    /// None: it stands for itself.
    pub(crate) record: Option<Vec<u8>>,
    pub(crate) shares: Vec<Share>,
}

impl NewRoot {
    /// One that was made in the file `path`, where it stands for itself.
    pub(crate) fn file(root: RootKey, path: PathBuf) -> Self {
        Self {
            root,
            source: RootKeySource::File(path),
            record: None,
            shares: Vec::new(),
        }
    }

    /// The key and its record, for the process that moves to it; none for a file, which it makes itself.
    pub fn to_send(&self) -> Option<(&SecretKey, &[u8])> {
        let record = self.record.as_deref()?;
        Some((self.root.key(), record))
    }

    /// What tells it from other root keys.
    pub fn fingerprint(&self) -> Fingerprint {
        self.root.fingerprint()
    }

    /// Where it is kept.
    pub fn source(&self) -> &RootKeySource {
        &self.source
    }

    /// What the people who shall keep it write down; empty unless it is shared.
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }
}

/// How many shares there are, and how many it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// How many it takes.
    pub threshold: u8,
    /// How many there are.
    pub count: u8,
}

impl Default for Sharing {
    fn default() -> Self {
        Self {
            threshold: 2,
            count: 3,
        }
    }
}

/// Makes a root key for the key database `database`, kept at `source`. A file is written; of all others
/// the record is handed back.
///
/// # Errors
/// [`Error::Exists`] for a file that is there; why the place cannot keep it.
pub(crate) fn make<F: FileSystem>(
    files: F,
    (source, sharing): (&RootKeySource, Sharing),
    database: DatabaseId,
    unlock: &Unlock,
    environment: &Environment,
) -> Result<NewRoot, Error> {
    if let RootKeySource::File(path) = source {
        let root = RootKeyFile::on(files, path).create(environment)?;
        return Ok(NewRoot::file(root, path.clone()));
    }
    let root = RootKey::new(SecretKey::generate(&*environment.random), source.place());
    let mut shares = Vec::new();
    let (key, protection) = match source {
        RootKeySource::File(_) => unreachable!("it has been made"),
        RootKeySource::Passphrase => under_passphrase(unlock, environment)?,
        RootKeySource::Credential(name) => under_credential(name, unlock, environment)?,
        RootKeySource::Shamir => {
            let key = SecretKey::generate(&*environment.random);
            let numbers = (sharing.threshold, sharing.count);
            let dealt = ShareSet::deal(&key, root.fingerprint(), numbers, &*environment.random)?;
            shares = dealt.1;
            (key, Protection::Shares(dealt.0))
        }
    };
    let record = RootRecord::seal(&root, &key, (protection, database), environment);
    Ok(NewRoot {
        root,
        source: source.clone(),
        record: Some(record.encode()),
        shares,
    })
}

fn under_passphrase(
    unlock: &Unlock,
    environment: &Environment,
) -> Result<(SecretKey, Protection), Error> {
    let passphrase = unlock.passphrase.as_ref();
    let passphrase = passphrase.ok_or(Error::Sealed(Needs::Passphrase))?;
    passphrase.check_new()?;
    let parameters = Argon2Parameters::recommended(environment);
    let key = parameters.derive(passphrase)?;
    Ok((key, Protection::Passphrase(parameters)))
}

fn under_credential(
    name: &str,
    unlock: &Unlock,
    environment: &Environment,
) -> Result<(SecretKey, Protection), Error> {
    let salt = environment.random_bytes();
    let key = credential::derive_from(unlock.credentials.as_deref(), name, &salt)?;
    Ok((key, Protection::Credential(salt)))
}

impl From<RootError> for Error {
    fn from(error: RootError) -> Self {
        Self::Root(Box::new(error))
    }
}
