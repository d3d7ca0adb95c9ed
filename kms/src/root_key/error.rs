//! What can go wrong on the way to a root key, each with what to do about it.

use std::fmt;
use std::path::PathBuf;

use super::SourceKind;

/// A root key cannot be had, or not be made.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// There is no way from here to the root key of this database.
    #[error(
        "the key database is sealed under the root key {fingerprint}, and {} is missing: restore it from \
         a backup of the same time", record.display()
    )]
    RecordMissing {
        /// The root key of the database.
        fingerprint: String,
        /// The record's file.
        record: PathBuf,
    },
    /// A root record is not what was written.
    #[error(
        "the root record {} was changed, cut, moved or belongs to another key database ({why}): restore \
         it from a backup", record.display()
    )]
    RecordDamaged {
        /// The record's file.
        record: PathBuf,
        /// What was seen.
        why: &'static str,
    },
    /// Somebody names another kind of place.
    #[error(
        "{named} is named as the place of the root key, but it is {found}: name that (in the \
         configuration, under `kms.root_key`), or `sealgate kms root migrate`"
    )]
    Elsewhere {
        /// What was named.
        named: SourceKind,
        /// Where it is.
        found: SourceKind,
    },
    /// It opens nothing.
    #[error("the passphrase does not open the root key")]
    PassphraseWrong,
    /// It would be guessed.
    #[error(
        "a passphrase for a root key has at least {0} characters: six random words are a good one"
    )]
    PassphraseShort(usize),
    /// Argon2id cannot have its memory.
    #[error("the system does not give the {0} KiB of memory that the passphrase takes")]
    Memory(u32),
    /// What was typed is no share.
    #[error("this is no share of a root key: {0}")]
    ShareMalformed(&'static str),
    /// It opens something else.
    #[error(
        "share {index} is of the root key {found}, and this key database is sealed under {expected}: it \
         is of another database, or older than a rotation"
    )]
    ShareForeign {
        /// Its number.
        index: u8,
        /// What it opens.
        found: String,
        /// What is to be opened.
        expected: String,
    },
    /// It was not dealt with the others.
    #[error("share {0} is not one of those that were dealt for this root key, though it says so")]
    ShareWrong(u8),
    /// It is there already.
    #[error("share {0} was given already: another one is needed")]
    ShareRepeated(u8),
    /// No such sharing.
    #[error(
        "{threshold} of {count} shares make no sense: the threshold is at least 2, and at most their number"
    )]
    Threshold {
        /// How many it takes.
        threshold: u8,
        /// Of how many.
        count: u8,
    },
    /// It is not as random as a key.
    #[error(
        "the credential `{name}` {why}: make it with `head -c 32 /dev/urandom | base64 | systemd-creds \
         encrypt --name={name} - FILE`"
    )]
    CredentialUnfit {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The binary cannot do that.
    #[error("this build of sealgate cannot use {0}: it was built without that feature")]
    NotBuilt(SourceKind),
    /// What keeps the key does not do what is asked.
    #[error("{place}: {why}")]
    Keeper {
        /// Which keeper.
        place: String,
        /// What it says, and what to do.
        why: String,
    },
}

/// What a sealed KMS waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// Somebody who knows it.
    Passphrase,
    /// So many people more.
    Shares {
        /// How many more.
        missing: u8,
        /// How many it takes.
        threshold: u8,
        /// How many there are.
        count: u8,
    },
    /// Somebody who knows the PIN of a token.
    Pin(String),
    /// What keeps the key, and why it does not answer.
    Keeper {
        /// Which keeper.
        place: String,
        /// Why it does not answer.
        why: String,
    },
    /// Calls that were under way when it was sealed.
    Calls,
    /// Somebody sealed it, and whoever may shall unseal it.
    Unseal,
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passphrase => f.write_str("it takes the passphrase of its root key"),
            Self::Shares {
                missing,
                threshold,
                count,
            } => write!(
                f,
                "it takes {missing} more of the {count} shares of its root key ({threshold} in all)"
            ),
            Self::Pin(token) => write!(f, "it takes the PIN of {token}"),
            Self::Keeper { place, why } => {
                write!(f, "its root key cannot be had from {place}: {why}")
            }
            Self::Calls => f.write_str(
                "calls that were under way when it was sealed have not ended: try again",
            ),
            Self::Unseal => f.write_str("somebody has sealed it"),
        }
    }
}
