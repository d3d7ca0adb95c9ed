//! What can go wrong in the certificate store, each with what to do about it.

use std::io;
use std::path::PathBuf;

use crate::key_type::{KeyFamily, KeyType};
use crate::private_key::Encoding;

/// An error of the store, of what was to be imported, or of a sealed file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // === What a user hands in ===
    /// The text cannot be an entry's name.
    #[error("`{name}` cannot be a name in the store: {why}")]
    InvalidName {
        /// What was given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A PEM block is malformed.
    #[error("{source_name}:{line}: the PEM block `{label}` cannot be read: {why}")]
    Pem {
        /// The input.
        source_name: String,
        /// The line of its `BEGIN`.
        line: usize,
        /// What the block says that it is, where that is known.
        label: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Boundaries do not stand on lines of their own. Nothing of the line is shown: a key may be in it.
    #[error(
        "{source_name}:{line}: the line ends of the PEM are gone: BEGIN and END stand on lines of \
         their own"
    )]
    PemLineEnds {
        /// The input.
        source_name: String,
        /// The line.
        line: usize,
    },
    /// A PEM block is of a form that is not taken.
    #[error("{source_name}:{line}: this form of `{label}` is not supported; convert it: {fix}")]
    UnsupportedPem {
        /// The input.
        source_name: String,
        /// The line of its `BEGIN`.
        line: usize,
        /// What the block says that it is, where that is known.
        label: &'static str,
        /// The command that converts it.
        fix: &'static str,
    },
    /// The input is binary.
    #[error(
        "{0} is not PEM but looks like DER or PKCS#12; convert it: `openssl x509 -inform DER -in FILE` \
         for a certificate, `openssl pkcs12 -in FILE` for a container"
    )]
    NotPem(String),
    /// The input has neither certificate nor key.
    #[error("{0} has neither a certificate nor a private key in PEM (-----BEGIN …-----)")]
    NothingInPem(String),
    /// The input has more than one private key.
    #[error("{0} has several private keys: leave the one that belongs to the certificate")]
    SeveralKeys(String),
    /// A private key stands where only certificates may.
    #[error("{0} has a private key where only certificates are expected: hand it in as the key")]
    UnexpectedKey(String),
    /// The passphrase does not open the key.
    #[error("the passphrase does not open the private key in {0}")]
    WrongPassphrase(String),
    /// The key is encrypted in a way that is not taken.
    #[error(
        "the private key in {0} is encrypted in an outdated way; encrypt it anew: \
         openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out key.pem"
    )]
    UnsupportedEncryption(String),
    /// A kind or size of key that the store does not take.
    #[error(
        "{0} is not supported: use ECDSA on P-256 or P-384, Ed25519, or RSA with 2048, 3072 or 4096 bits"
    )]
    UnsupportedKey(String),
    /// The bytes are no private key, or its parts do not fit together.
    #[error("the private key is damaged: it is no valid {0} key")]
    MalformedKey(Encoding),
    /// A certificate cannot be read.
    #[error("{place} is no certificate that can be used: {why}")]
    Certificate {
        /// Which one: a file and a number, or an entry's leaf.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// No certificate is for the key.
    #[error(
        "the private key ({key_type}) belongs to none of the certificates ({subjects}): they are of \
         another key; hand in the key that the certificate was requested with"
    )]
    KeyMismatch {
        /// The key's kind.
        key_type: KeyType,
        /// What the certificates are for.
        subjects: String,
    },
    /// The certificate is the key's, in a form that TLS does not have.
    #[error(
        "the certificate for {0} spells the curve of its key out instead of naming it, and TLS clients \
         refuse that: `openssl ec -param_enc named_curve -in key.pem -out named.pem`, then have a \
         certificate issued for that key"
    )]
    ExplicitParameters(String),
    /// The certificate's time is over.
    #[error(
        "the certificate for {subject} expired on {date}: renew it, or import it all the same with \
         --allow-expired"
    )]
    Expired {
        /// What it is for.
        subject: String,
        /// When.
        date: String,
    },
    /// The certificate's time has not come.
    #[error(
        "the certificate for {subject} is not valid before {date}: check this machine's clock, or \
         import it all the same with --allow-expired"
    )]
    NotYetValid {
        /// What it is for.
        subject: String,
        /// From when.
        date: String,
    },
    /// The certificate is for something else than the one that it would replace.
    #[error(
        "the certificate is for {new}, and the one of the entry `{name}` that it would replace is for \
         {old}: no name is in both. Import it under another name; or, if that is meant, with \
         --allow-name-change"
    )]
    NamesReplaced {
        /// The entry.
        name: String,
        /// What its certificate is for.
        old: String,
        /// What the new one is for.
        new: String,
    },
    /// The chain does not fit into a handshake.
    #[error("the chain is too long ({found}): at most {allowed} fit into a handshake")]
    ChainTooLong {
        /// What there is.
        found: String,
        /// What there may be.
        allowed: &'static str,
    },
    /// A request for a certificate cannot be made of these names.
    #[error("`{name}` cannot stand in a certificate: {why}")]
    InvalidHost {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing to ask a certificate for.
    #[error("a request needs at least one DNS name or address (--san NAME)")]
    NoHosts,

    // === What the store has or has not ===
    /// No such entry.
    #[error(
        "there is no entry `{0}` in the store: `sealgate cert list` shows those that there are"
    )]
    NoEntry(String),
    /// No such entry of that kind.
    #[error(
        "the entry `{name}` has no {family} key: `sealgate cert show {name}` shows what it has"
    )]
    NoEntryOfFamily {
        /// The entry.
        name: String,
        /// The kind of key.
        family: KeyFamily,
    },
    /// A certificate came without key, and none waits for it.
    #[error(
        "the certificates come without a private key, and the store holds no key for `{0}` that \
         belongs to one of them: hand in the key, or the certificate of the latest `sealgate cert csr`"
    )]
    NoPendingKey(String),
    /// The entry's number cannot grow.
    #[error(
        "the entry `{0}` was written as often as can be counted: delete it and import it again"
    )]
    VersionExhausted(String),
    /// No such trust store.
    #[error("there is no trust store `{0}`: `sealgate trust list` shows those that there are")]
    NoTrustStore(String),

    // === What is wrong with a sealed file ===
    /// It is not there.
    #[error("it is not there")]
    Missing,
    /// It is no sealed entry.
    #[error("it is no sealed entry, and does not belong here: move it away")]
    NotAnEntry,
    /// It is no trust store.
    #[error("it is no trust store, and does not belong here: move it away")]
    NotATrustStore,
    /// It is no bucket key.
    #[error("it is no bucket key, and does not belong here: move it away")]
    NotABucketKey,
    /// It is no record of the store's KMS key.
    #[error("it is no record of the store's KMS key, and does not belong here: move it away")]
    NotAStoreKey,
    /// The record of the store's KMS key cannot be used.
    #[error(
        "the record of the store's KMS key, the file {file} in the store, cannot be used: {reason}"
    )]
    StoreKey {
        /// Its name in the store's directory.
        file: &'static str,
        /// What is wrong with it.
        reason: Box<Error>,
    },
    /// The record of an entry's bucket key cannot be used.
    #[error("its bucket key, the file {file} beside it, cannot be used: {reason}")]
    BucketKey {
        /// The record's name in the store's directory.
        file: String,
        /// What is wrong with it.
        reason: Box<Error>,
    },
    /// A later program wrote it.
    #[error("it was written by a later version of this program ({0}): update this one")]
    LaterFormat(String),
    /// It is cut short or malformed.
    #[error("it is damaged ({0}): restore it from a backup, or import the certificate again")]
    Malformed(&'static str),
    /// It does not open.
    #[error(
        "it was changed after it was sealed: restore it from a backup, or import the certificate again"
    )]
    Tampered,
    /// It stands under another name than its own.
    #[error(
        "it is `{0}` under another file name: it was renamed or copied; give it its own name back"
    )]
    Renamed(String),
    /// It is of another store.
    #[error(
        "it belongs to another store ({found}, and this one is {here}): import the certificate here"
    )]
    ForeignStore {
        /// The store that it says.
        found: uuid::Uuid,
        /// This one.
        here: uuid::Uuid,
    },
    /// It is of another region.
    #[error(
        "it belongs to the region `{found}`, and this store is of `{here}`: import the certificate here"
    )]
    ForeignRegion {
        /// The region that it says.
        found: String,
        /// This one.
        here: String,
    },
    /// A KMS key that is here, but not the store's, wrapped its data key.
    #[error(
        "it is sealed under KMS key {found}, and the store's key is {configured}: set `certstore.key` to it"
    )]
    ForeignKey {
        /// What it says.
        found: kms::KeyId,
        /// What is configured.
        configured: kms::KeyId,
    },
    /// A KMS key that is not here wrapped its data key.
    #[error(
        "it is sealed under KMS key {0}, which is not here: it comes from another KMS, or from a later \
         state of this one; restore the key database that belongs to it, or import the certificate again"
    )]
    ForeignKms(kms::KeyId),
    /// Key and certificate of an entry are not of each other.
    #[error("its private key and its certificate do not belong together: import both again")]
    EntryMismatch,
    /// It is older than what was there.
    #[error(
        "it is older (version {found}) than what was here before (version {newest}), and is not served; \
         to go back on purpose, delete the entry with `sealgate cert delete --force`, then put the file back"
    )]
    Older {
        /// Of the file.
        found: u64,
        /// Of the newest that was seen.
        newest: u64,
    },

    // === What the surroundings refuse ===
    /// The KMS or the storage.
    #[error(transparent)]
    Kms(#[from] kms::Error),
    /// A cryptographic operation that cannot fail did.
    #[error("cannot {0}: the cryptographic library refuses")]
    Crypto(&'static str),
    /// The directory cannot be watched.
    #[error(
        "cannot watch {} for changes: {source}; if it says that no space is left, raise \
         fs.inotify.max_user_watches and max_user_instances", path.display()
    )]
    Watch {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: notify::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start the thread `{name}`: {source}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// A file of the store that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", file.escape_debug())]
pub struct BrokenEntry {
    /// Its name in the store's directory.
    pub file: String,
    /// What is wrong with it, and what to do.
    pub reason: Error,
}

impl BrokenEntry {
    pub(crate) fn new(file: &str, reason: Error) -> Self {
        Self {
            file: file.to_owned(),
            reason,
        }
    }
}
