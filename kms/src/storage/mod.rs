//! Records: small values under a name, written whole or not at all.
//!
//! The KMS and the certificate store keep all they have in records, so that another storage (a
//! database of a fleet) can take the place of files.

#[cfg(test)]
mod crash_tests;
mod file;
mod file_system;
#[cfg(any(test, feature = "test-util"))]
pub mod lossy;
mod memory;
#[cfg(test)]
mod tests;

pub use file::FileStorage;
pub use file_system::{Access, FileSystem, OpenFile, SystemFiles};
pub use memory::MemoryStorage;

pub(crate) use file_system::parent;

use sha2::{Digest, Sha256};

use crate::error::Error;

/// Where records are kept.
///
/// A record that was put and acknowledged survives a crash; one whose put failed, or was cut short,
/// is afterwards the old or the new one, whole.
pub trait Storage: Send + Sync {
    /// The record of that name, if there is one.
    ///
    /// # Errors
    /// [`Error::InvalidRecordName`], [`Error::RecordTooLong`], [`Error::NotARecord`], or what the
    /// medium says.
    fn get(&self, name: &str) -> Result<Option<Record>, Error>;

    /// Writes a record, if it is now as `expected`; durable when this returns.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it is not, with nothing written; [`Error::InvalidRecordName`],
    /// [`Error::RecordTooLong`], [`Error::NotARecord`], or what the medium says, and then it is the old or the new one.
    fn put(&self, name: &str, bytes: &[u8], expected: Expected) -> Result<Version, Error>;

    /// Removes a record, if it is now as `expected`; durable when this returns. To remove what is
    /// not there, expecting anything, is no error.
    ///
    /// # Errors
    /// As of [`put`](Self::put).
    fn delete(&self, name: &str, expected: Expected) -> Result<(), Error>;

    /// The names of all records, sorted.
    ///
    /// # Errors
    /// What the medium says.
    fn list(&self) -> Result<Vec<String>, Error>;
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What was put.
    pub bytes: Vec<u8>,
    /// Which putting that was.
    pub version: Version,
}

impl Record {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            version: Version::of(&bytes),
            bytes,
        }
    }
}

/// What a writer believes a record to be now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Not there.
    Absent,
    /// As it was read.
    Version(Version),
    /// Whatever it is.
    Any,
}

impl Expected {
    fn check(self, name: &str, found: Option<Version>) -> Result<(), Error> {
        let met = match self {
            Self::Absent => found.is_none(),
            Self::Version(version) => found == Some(version),
            Self::Any => true,
        };
        if met {
            Ok(())
        } else {
            Err(Error::Conflict(name.to_owned()))
        }
    }
}

/// Tells one state of a record from another: equal for equal content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version([u8; 16]);

impl Version {
    /// The head of the content's SHA-256: a file has no other number that survives a restore.
    fn of(bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        Self(*digest.first_chunk().expect("SHA-256 gives 32 bytes"))
    }
}

/// The longest record, in bytes: far above what is ever written, and little enough to read.
pub const MAX_RECORD: usize = 4 << 20;

/// A name is 1 to 255 bytes without `/` and NUL, and does not begin with a dot: it is one file name,
/// and never a temporary or a parent.
fn check_name(name: &str) -> Result<(), Error> {
    let fits = (1..=255).contains(&name.len());
    if fits && !name.starts_with('.') && !name.contains(['/', '\0']) {
        return Ok(());
    }
    Err(Error::InvalidRecordName(name.to_owned()))
}

fn check_len(name: &str, bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() <= MAX_RECORD {
        return Ok(());
    }
    Err(Error::RecordTooLong(name.into()))
}
