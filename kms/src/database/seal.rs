//! The seal around every record, whatever it holds.

use std::convert::Infallible;
use std::time::SystemTime;

use super::codec::{CHANGED, CUT, LATER, Reader, Why, put_text, put_time};
use super::names::HEADER;
use crate::aead::{self, NONCE_LEN, TAG_LEN};
use crate::derive::derive;
use crate::environment::Environment;
use crate::key::Identity;
use crate::root_key::{Fingerprint, RootKey};
use crate::secret::SecretKey;

/// Seals and opens the records of one database.
pub(crate) struct Sealer {
    key: SecretKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) database: [u8; ID_LEN],
    identity: Identity,
}

impl Sealer {
    pub(super) fn new(root: &RootKey, database: [u8; ID_LEN], identity: &Identity) -> Self {
        Self {
            key: derive(root.key(), &database, &[b"sealgate kms database 1"]),
            fingerprint: root.fingerprint(),
            database,
            identity: identity.clone(),
        }
    }

    /// The same records, under another root key.
    pub(super) fn under(&self, root: &RootKey) -> Self {
        Self::new(root, self.database, &self.identity)
    }

    /// The header, with the key of the root key before as long as records may be under it.
    pub(super) fn seal_header(
        &self,
        created: SystemTime,
        old: Option<&Self>,
        environment: &Environment,
    ) -> Vec<u8> {
        let version = old.map_or(1, |_| HEADER_WITH_OLD_KEY);
        self.seal_as(
            (Kind::Database, version),
            HEADER,
            environment,
            |body, key| {
                put_time(body, created);
                if let Some(old) = old {
                    put_old_key(body, key, old, environment);
                }
            },
        )
    }

    /// A record whose body `write` appends, with the record's key at hand.
    pub(super) fn seal(
        &self,
        kind: Kind,
        name: &str,
        environment: &Environment,
        write: impl FnOnce(&mut Vec<u8>, &SecretKey),
    ) -> Vec<u8> {
        self.seal_as((kind, kind.version()), name, environment, write)
    }

    fn seal_as(
        &self,
        (kind, version): (Kind, u8),
        name: &str,
        environment: &Environment,
        write: impl FnOnce(&mut Vec<u8>, &SecretKey),
    ) -> Vec<u8> {
        let clear = Clear {
            version,
            kind: kind as u8,
            fingerprint: self.fingerprint,
            database: self.database,
            salt: environment.random_bytes(),
            nonce: environment.random_bytes(),
        };
        let key = self.record_key(&clear.salt);
        let mut record = clear.encode();
        write(&mut record, &key);
        let additional_data = self.additional_data(&record[..CLEAR_LEN], name);
        let body = &mut record[CLEAR_LEN..];
        let tag = aead::seal(&key, &clear.nonce, &additional_data, body);
        record.extend_from_slice(&tag);
        record
    }

    /// The body of a record of this database, and the record's key.
    pub(super) fn open(
        &self,
        kind: Kind,
        name: &str,
        record: &[u8],
    ) -> Result<(Vec<u8>, SecretKey), Why> {
        let clear = Clear::parse(record)?;
        if clear.kind != kind as u8 {
            return Err("it is a record of another kind");
        }
        if clear.version > kind.version() {
            return Err(LATER);
        }
        if clear.fingerprint != self.fingerprint {
            return Err("it is sealed under another root key");
        }
        if clear.database != self.database {
            return Err("it is of another database");
        }
        self.open_body(name, &clear, record)
    }

    /// The header, under this sealer's root key whatever fingerprint it shows.
    pub(super) fn open_header(&self, record: &[u8]) -> Result<Header, Why> {
        let clear = Clear::parse(record)?;
        if clear.kind != Kind::Database as u8 {
            return Err("it is a record of another kind");
        }
        let mine = Clear {
            fingerprint: self.fingerprint,
            ..clear
        };
        let (body, key) = self.open_body(HEADER, &mine, record)?;
        let mut body = Reader(&body);
        let created = body.time()?;
        let old = match mine.version {
            1 => None,
            HEADER_WITH_OLD_KEY => Some(self.read_old(&mut body, &key)?),
            _ => return Err(LATER),
        };
        body.end()?;
        Ok(Header { created, old })
    }

    /// What opens the records that are still under the root key before.
    fn read_old(&self, body: &mut Reader<'_>, record_key: &SecretKey) -> Result<Self, Why> {
        let fingerprint = Fingerprint::from_bytes(body.array()?);
        let nonce = body.array()?;
        let sealed: [u8; SecretKey::LEN] = body.array()?;
        let tag = body.array()?;
        let key = SecretKey::try_fill(|key| {
            *key = sealed;
            aead::open(record_key, &nonce, &old_key_data(fingerprint), key, &tag)
        });
        Ok(Self {
            key: key.map_err(|_| CHANGED)?,
            fingerprint,
            database: self.database,
            identity: self.identity.clone(),
        })
    }

    fn open_body(
        &self,
        name: &str,
        clear: &Clear,
        record: &[u8],
    ) -> Result<(Vec<u8>, SecretKey), Why> {
        let (body, tag) = record[CLEAR_LEN..]
            .split_last_chunk::<TAG_LEN>()
            .ok_or(CUT)?;
        let mut body = body.to_vec();
        let key = self.record_key(&clear.salt);
        let additional_data = self.additional_data(&clear.encode(), name);
        aead::open(&key, &clear.nonce, &additional_data, &mut body, tag).map_err(|_| CHANGED)?;
        Ok((body, key))
    }

    fn record_key(&self, salt: &[u8; SALT_LEN]) -> SecretKey {
        derive(&self.key, salt, &[b"sealgate kms record 1"])
    }

    fn additional_data(&self, clear: &[u8], name: &str) -> Vec<u8> {
        let mut data = clear.to_vec();
        for text in [name, &self.identity.account, &self.identity.region] {
            put_text(&mut data, text);
        }
        data
    }
}

/// What the header says.
pub(super) struct Header {
    pub(super) created: SystemTime,
    /// What opens the records that are still under the root key before, if there may be any.
    pub(super) old: Option<Sealer>,
}

/// Appends the key of the root key before, sealed by itself: the body must never hold it in plain.
fn put_old_key(
    body: &mut Vec<u8>,
    record_key: &SecretKey,
    old: &Sealer,
    environment: &Environment,
) {
    let nonce = environment.random_bytes();
    let data = old_key_data(old.fingerprint);
    let mut tag = [0; TAG_LEN];
    let sealed = SecretKey::try_fill(|out| {
        out.copy_from_slice(old.key.expose());
        tag = aead::seal(record_key, &nonce, &data, out);
        Ok::<_, Infallible>(())
    });
    let Ok(sealed) = sealed;
    body.extend_from_slice(old.fingerprint.as_bytes());
    body.extend_from_slice(&nonce);
    body.extend_from_slice(sealed.expose());
    body.extend_from_slice(&tag);
}

fn old_key_data(fingerprint: Fingerprint) -> Vec<u8> {
    [&b"database key"[..], fingerprint.as_bytes()].concat()
}

/// Which kind of thing a record holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Database = 1,
    Key = 2,
    Alias = 3,
    Grant = 4,
    Identity = 5,
    Audit = 6,
    ImportToken = 7,
    AccessKey = 8,
}

impl Kind {
    /// The version that is written; earlier ones are read too.
    fn version(self) -> u8 {
        match self {
            Self::Key => 3,
            Self::Alias => 2,
            Self::Database
            | Self::Grant
            | Self::Identity
            | Self::Audit
            | Self::ImportToken
            | Self::AccessKey => 1,
        }
    }
}

/// The clear part of a record.
pub(super) struct Clear {
    pub(super) version: u8,
    kind: u8,
    pub(super) fingerprint: Fingerprint,
    pub(super) database: [u8; ID_LEN],
    salt: [u8; SALT_LEN],
    nonce: [u8; NONCE_LEN],
}

impl Clear {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(CLEAR_LEN);
        out.extend_from_slice(MAGIC);
        out.push(self.version);
        out.push(self.kind);
        out.extend_from_slice(self.fingerprint.as_bytes());
        out.extend_from_slice(&self.database);
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.nonce);
        out
    }

    pub(super) fn parse(record: &[u8]) -> Result<Self, Why> {
        if record.len() < CLEAR_LEN + TAG_LEN {
            return Err(CUT);
        }
        let mut clear = Reader(record);
        if clear.array()? != *MAGIC {
            return Err("it does not begin as a record does");
        }
        let [version, kind] = clear.array()?;
        if !(1..=NEWEST_VERSION).contains(&version) {
            return Err(LATER);
        }
        Ok(Self {
            version,
            kind,
            fingerprint: Fingerprint::from_bytes(clear.array()?),
            database: clear.array()?,
            salt: clear.array()?,
            nonce: clear.array()?,
        })
    }
}

/// The version of a header that holds the key of the root key before.
const HEADER_WITH_OLD_KEY: u8 = 2;
const MAGIC: &[u8; 4] = b"SGKR";
const NEWEST_VERSION: u8 = 3;
/// Bytes in a database's id.
const ID_LEN: usize = 16;
const SALT_LEN: usize = 16;
const CLEAR_LEN: usize = 46 + NONCE_LEN;
