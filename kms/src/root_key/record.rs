//! Root records: a random root key, encrypted under a key that something outside gives.
//!
//! A root key in a file stands for itself. Every other kind of place gives a *key-encryption key*: derived
//! from a passphrase or a credential, shared among people, or kept by a module or a service. The root key
//! itself is random, and stands encrypted under it in the state directory, in a file called `root-` and
//! the root key's fingerprint. The key database's header names the root key by the same fingerprint.
//!
//! # A record, version 1
//! Numbers are big-endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `SGRR` |
//! | 4 | 1 | version: 1 |
//! | 5 | 1 | kind: 1 passphrase, 2 credential, 3 shares, 4 PKCS#11, 5 AWS KMS, 6 Vault Transit |
//! | 6 | 8 | fingerprint of the root key |
//! | 14 | 16 | id of the key database |
//! | 30 | 8 | time of creation, milliseconds since 1970 |
//! | 38 | 4 | length n of the parameters, at most 16,384 |
//! | 42 | n | parameters, as the kind has them |
//! | 42 + n | 12 | nonce, random |
//! | 54 + n | 32 | root key, AES-256-GCM under the key-encryption key |
//! | 86 + n | 16 | tag |
//!
//! The additional data are the first 54 + n bytes: a record that is changed, or comes from another
//! database, does not open. The parameters: `passphrase.rs`, `credential.rs` and `share.rs` say theirs; of
//! the last three kinds they are the key-encryption key as the module or service has wrapped it.

use std::time::{Duration, SystemTime};

use super::credential::Salt;
use super::passphrase::Argon2Parameters;
use super::share::ShareSet;
use super::{Fingerprint, RootKey, Sharing, SourceKind, shamir};
use crate::aead::{self, NONCE_LEN, TAG_LEN};
use crate::environment::Environment;
use crate::secret::SecretKey;

/// The id of a key database.
pub(crate) type DatabaseId = [u8; 16];

/// An encrypted root key, and how its key-encryption key is had.
pub(crate) struct RootRecord {
    head: Head,
    nonce: [u8; NONCE_LEN],
    sealed: [u8; SecretKey::LEN],
    tag: [u8; TAG_LEN],
}

/// All of a record that is authenticated and not encrypted.
pub(super) struct Head {
    pub(super) protection: Protection,
    pub(super) fingerprint: Fingerprint,
    pub(super) database: DatabaseId,
    pub(super) created: SystemTime,
}

/// How a key-encryption key is had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Protection {
    Passphrase(Argon2Parameters),
    Credential(Salt),
    Shares(ShareSet),
    /// Wrapped by what the kind says.
    Wrapped(SourceKind, Vec<u8>),
}

impl Protection {
    pub(super) fn kind(&self) -> SourceKind {
        match self {
            Self::Passphrase(_) => SourceKind::Passphrase,
            Self::Credential(_) => SourceKind::Credential,
            Self::Shares(_) => SourceKind::Shamir,
            Self::Wrapped(kind, _) => *kind,
        }
    }

    /// How the key is shared, if it is.
    pub(super) fn sharing(&self) -> Option<Sharing> {
        let Self::Shares(set) = self else {
            return None;
        };
        let (threshold, count) = set.numbers();
        Some(Sharing { threshold, count })
    }

    fn parameters(&self) -> Vec<u8> {
        match self {
            Self::Passphrase(parameters) => parameters.encode(),
            Self::Credential(salt) => salt.to_vec(),
            Self::Shares(set) => set.encode(),
            Self::Wrapped(_, key) => key.clone(),
        }
    }

    fn parse(kind: SourceKind, set: Fingerprint, parameters: &[u8]) -> Result<Self, Why> {
        Ok(match kind {
            SourceKind::File => return Err(KIND),
            SourceKind::Passphrase => Self::Passphrase(Argon2Parameters::parse(parameters)?),
            SourceKind::Credential => {
                let salt = parameters.try_into();
                Self::Credential(salt.map_err(|_| "its salt is of another length")?)
            }
            SourceKind::Shamir => Self::Shares(ShareSet::parse(set, parameters)?),
            SourceKind::Pkcs11 | SourceKind::AwsKms | SourceKind::Vault => {
                Self::Wrapped(kind, parameters.to_vec())
            }
        })
    }
}

impl RootRecord {
    /// Encrypts `root` under `key`.
    pub(super) fn seal(
        root: &RootKey,
        key: &SecretKey,
        (protection, database): (Protection, DatabaseId),
        environment: &Environment,
    ) -> Self {
        let head = Head {
            protection,
            fingerprint: root.fingerprint(),
            database,
            created: environment.clock.now(),
        };
        let nonce = environment.random_bytes();
        let mut tag = [0; TAG_LEN];
        // Encrypted in a slot for keys, where no copy of it stays.
        let sealed = shamir::filled(|out| {
            out.copy_from_slice(root.key().expose());
            tag = aead::seal(key, &nonce, &head.with(&nonce), out);
        });
        Self {
            head,
            nonce,
            sealed: *sealed.expose(),
            tag,
        }
    }

    /// The root key, where `key` is the one under which it was encrypted.
    pub(super) fn open(&self, key: &SecretKey) -> Option<SecretKey> {
        let root = SecretKey::try_fill(|out| {
            *out = self.sealed;
            aead::open(
                key,
                &self.nonce,
                &self.head.with(&self.nonce),
                out,
                &self.tag,
            )
        });
        root.ok()
            .filter(|root| Fingerprint::of(root) == self.head.fingerprint)
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut record = self.head.with(&self.nonce);
        record.extend_from_slice(&self.sealed);
        record.extend_from_slice(&self.tag);
        record
    }

    /// Takes apart the record of the root key `fingerprint`.
    pub(crate) fn parse(record: &[u8], fingerprint: Fingerprint) -> Result<Self, Why> {
        let (head, rest) = record.split_first_chunk::<HEAD_LEN>().ok_or(CUT)?;
        let (magic, head) = head.split_first_chunk().ok_or(CUT)?;
        if magic != MAGIC {
            return Err("it does not begin as a root record does");
        }
        let ([version, kind], head) = head.split_first_chunk().ok_or(CUT)?;
        if *version != VERSION {
            return Err("its version is not known");
        }
        let (found, head) = head.split_first_chunk().ok_or(CUT)?;
        if found != fingerprint.as_bytes() {
            return Err("it is of another root key");
        }
        let (database, head) = head.split_first_chunk().ok_or(CUT)?;
        let (created, len) = head.split_first_chunk().ok_or(CUT)?;
        let len = len.try_into().map(u32::from_be_bytes).map_err(|_| CUT)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > MAX_PARAMETERS {
            return Err("its parameters are longer than any");
        }
        let (parameters, rest) = rest.split_at_checked(len).ok_or(CUT)?;
        let kind = kind_of(*kind)?;
        let (nonce, rest) = rest.split_first_chunk().ok_or(CUT)?;
        let (sealed, rest) = rest.split_first_chunk().ok_or(CUT)?;
        Ok(Self {
            head: Head {
                protection: Protection::parse(kind, fingerprint, parameters)?,
                fingerprint,
                database: *database,
                created: time(*created)?,
            },
            nonce: *nonce,
            sealed: *sealed,
            tag: rest
                .try_into()
                .map_err(|_| "it is cut or longer than what it holds")?,
        })
    }
}

impl Head {
    /// As it stands in the record, with the nonce after it.
    fn with(&self, nonce: &[u8; NONCE_LEN]) -> Vec<u8> {
        let parameters = self.protection.parameters();
        let len = u32::try_from(parameters.len()).expect("parameters are short");
        let mut head = Vec::with_capacity(HEAD_LEN + parameters.len() + NONCE_LEN);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&[VERSION, code(self.protection.kind())]);
        head.extend_from_slice(self.fingerprint.as_bytes());
        head.extend_from_slice(&self.database);
        head.extend_from_slice(&milliseconds(self.created).to_be_bytes());
        head.extend_from_slice(&len.to_be_bytes());
        head.extend_from_slice(&parameters);
        head.extend_from_slice(nonce);
        head
    }
}

/// The name of the record of a root key.
pub(crate) fn record_name(fingerprint: Fingerprint) -> String {
    record_name_of(&fingerprint.to_string())
}

/// The same, from the digits of its fingerprint.
pub(crate) fn record_name_of(fingerprint: &str) -> String {
    format!("{NAME_PREFIX}{fingerprint}")
}

fn code(kind: SourceKind) -> u8 {
    match kind {
        SourceKind::File => 0,
        SourceKind::Passphrase => 1,
        SourceKind::Credential => 2,
        SourceKind::Shamir => 3,
        SourceKind::Pkcs11 => 4,
        SourceKind::AwsKms => 5,
        SourceKind::Vault => 6,
    }
}

fn kind_of(found: u8) -> Result<SourceKind, Why> {
    let mut kinds = SourceKind::ALL.into_iter().skip(1);
    kinds.find(|kind| code(*kind) == found).ok_or(KIND)
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

fn time(milliseconds: [u8; 8]) -> Result<SystemTime, Why> {
    let since = Duration::from_millis(u64::from_be_bytes(milliseconds));
    let time = SystemTime::UNIX_EPOCH.checked_add(since);
    time.ok_or("its time of creation is out of range")
}

/// What is wrong with a record.
pub(super) type Why = &'static str;

const MAGIC: &[u8; 4] = b"SGRR";
const VERSION: u8 = 1;
const HEAD_LEN: usize = 42;
const MAX_PARAMETERS: usize = 16 * 1024;
/// How the names of root records begin.
const NAME_PREFIX: &str = "root-";
const CUT: Why = "it is cut";
const KIND: Why = "its kind is not known";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_util::{repeatable, root_key};

    fn key(byte: u8) -> SecretKey {
        SecretKey::copy_from(&[byte; 32]).unwrap()
    }

    fn sealed(protection: Protection) -> RootRecord {
        RootRecord::seal(
            &root_key(7),
            &key(1),
            (protection, *b"DATABASEDATABASE"),
            &repeatable(),
        )
    }

    fn protections() -> Vec<Protection> {
        let environment = repeatable();
        let set = root_key(7).fingerprint();
        let (set, _) = ShareSet::deal(&key(1), set, (2, 3), &*environment.random).unwrap();
        vec![
            Protection::Passphrase(Argon2Parameters::recommended(&environment)),
            Protection::Credential([9; 16]),
            Protection::Shares(set),
            Protection::Wrapped(SourceKind::Pkcs11, vec![5; 40]),
            Protection::Wrapped(SourceKind::AwsKms, vec![5; 200]),
            Protection::Wrapped(SourceKind::Vault, vec![5; 100]),
        ]
    }

    fn parse(record: &[u8]) -> Result<RootRecord, Why> {
        RootRecord::parse(record, root_key(7).fingerprint())
    }

    #[test]
    fn what_was_sealed_opens_under_its_key_only() {
        for protection in protections() {
            let record = parse(&sealed(protection.clone()).encode()).unwrap();
            assert_eq!(record.head().protection, protection);
            assert_eq!(record.open(&key(1)).unwrap().expose(), &[7; 32]);
            assert!(record.open(&key(2)).is_none());
        }
    }

    #[test]
    fn every_changed_byte_every_cut_and_every_addition_is_found() {
        for protection in protections() {
            let good = sealed(protection).encode();
            let opens = |record: &[u8]| parse(record).ok().and_then(|record| record.open(&key(1)));
            for at in 0..good.len() {
                for change in [1, 0x80, 0xff] {
                    let mut changed = good.clone();
                    changed[at] ^= change;
                    assert!(opens(&changed).is_none(), "{at}");
                }
                assert!(parse(&good[..at]).is_err(), "cut at {at}");
            }
            assert!(parse(&[&good[..], b"x"].concat()).is_err());
        }
    }

    #[test]
    fn one_of_another_root_key_is_refused() {
        let record = sealed(Protection::Credential([9; 16])).encode();
        let other = RootRecord::parse(&record, root_key(8).fingerprint()).map(drop);
        assert_eq!(other, Err("it is of another root key"));
    }

    /// A record of version 1 as it was first written: it must be readable for ever.
    #[test]
    fn version_1_stays_readable() {
        let hex: String = sealed(Protection::Credential([9; 16]))
            .encode()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            include_str!("../../vectors/root-record-1.hex").trim_end()
        );
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u8..9) {
            let _ = parse(&bytes);
            let fingerprint = root_key(7).fingerprint();
            let head = [&MAGIC[..], &[VERSION, kind], fingerprint.as_bytes(), &bytes].concat();
            let _ = parse(&head);
        }
    }
}
