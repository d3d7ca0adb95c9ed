//! The key database: what a KMS has in its storage, every record sealed under the root key.
//!
//! | record | holds |
//! |---|---|
//! | `database` | that there is a database, and its id |
//! | `key-UUID` | one KMS key with all its backing keys |
//! | `@NAME` | the alias `alias/NAME`, each `/` of NAME written `+` |
//! | `grant-UUID-ID` | the grant of that id on that key |
//! | `identity-HASH` | a user or role, by the first 32 digits of its ARN's SHA-256 |
//! | `access-key-ID` | the access key of that id, of a user |
//! | `audit` | the key of the audit log, and its last checkpoint |
//!
//! # A record, versions 1 to 3
//! Numbers are big-endian; a time is 64 bits of milliseconds since 1970; a text is UTF-8 behind its
//! length of 32 bits.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `SGKR` |
//! | 4 | 1 | version: 3 of a key (2 while all were symmetric, 1 before they had policies), 2 of an alias (1 while none could be updated), 2 of a header with an old key, 1 of all others |
//! | 5 | 1 | kind: 1 database, 2 key, 3 alias, 4 grant, 5 identity, 6 audit, 7 import token, 8 access key |
//! | 6 | 8 | fingerprint of the root key |
//! | 14 | 16 | id of the database, random |
//! | 30 | 16 | salt, random at every write |
//! | 46 | 12 | nonce, random at every write |
//! | 58 | n | ciphertext of the body |
//! | 58 + n | 16 | tag |
//!
//! The database key is HKDF-SHA256(root key, salt: id of the database, "sealgate kms database 1"), and
//! a record's key HKDF-SHA256(database key, salt: the record's, "sealgate kms record 1"). The
//! additional data are the first 58 bytes, then the record's name, account and region as texts: a
//! record that is changed, renamed, or comes from another database or identity does not open.
//!
//! # The bodies
//! - database: time of creation; in version 2, as long as records may be under the root key before, that
//!   root key's fingerprint (8 bytes) and the database key that was derived from it, sealed like a backing
//!   key, with the additional data "database key" ‖ fingerprint.
//! - alias: time of creation, the 16 bytes of the key's id; from version 2 on the time of its last update.
//! - key, versions 1 and 2: tier (1 byte: 1 owned, 2 managed, 3 customer), time of creation, description
//!   (text), number of backing keys (32 bits), and for each its number (32 bits), time of creation and
//!   sealed form, which is always of 32 bytes and stands without its length; in version 2 its key policy
//!   (text; empty: the default one). Such a key is symmetric, made here, enabled, and was rotated on
//!   demand.
//! - key, version 3: see below.
//! - grant: time of creation, ARN of the issuer (text; empty: the product), terms (text: JSON).
//! - identity: time of creation, ARN (text), number of user ids (32 bits) and each (32 bits), number
//!   of policies (32 bits), and for each its name and itself (texts).
//! - access key: time of creation, ARN of its user (text), 1 byte: 1 active, 0 not, time of its last use to
//!   the hour (0: never), and its secret, sealed like a backing key, with the additional data "access key" ‖ ARN ‖ id.
//! - audit: time of writing, id of the log (16 bytes), of its last checkpoint the record's number (64 bits;
//!   0: there is none yet) and MAC (32 bytes), the file's number and the byte behind the record in it
//!   (64 bits each), and the log's key: nonce (12 bytes, random), ciphertext (32), tag (16), under the
//!   record key, with the additional data "audit key" ‖ id of the log.
//! - import token, which is no record but given out, in the form of one called `import-token`: the 16 bytes
//!   of the key's id, until when it is good (time), wrapping algorithm and spec of the wrapping key (texts,
//!   by AWS's names), and that key's sealed form with the additional data "import token".
//!
//! A backing key is sealed once more by itself, so that no buffer but its [`SecretBytes`] ever holds
//! it: length (32 bits), nonce (12 bytes, random), ciphertext (of that length), tag (16), under the record
//! key, with the additional data "backing key" ‖ key id ‖ number.
//!
//! # The body of a key, version 3
//! | field | form |
//! |---|---|
//! | tier | 1 byte: 1 owned, 2 managed, 3 customer |
//! | creation | time |
//! | description | text |
//! | spec, usage | two texts, by AWS's names: `SYMMETRIC_DEFAULT`, `ENCRYPT_DECRYPT` |
//! | origin | 1 byte: 1 `AWS_KMS`, 2 `EXTERNAL` |
//! | state | 1 byte: 1 enabled, 2 disabled, 3 pending deletion, 4 pending import; then a time: that of the deletion, else 0 |
//! | tags | number (32 bits), for each its key and value (texts) |
//! | rotation | period in days (32 bits; 0: none), time of the next (0 where there is none) |
//! | multi-region | 1 byte: 0 no, 1 primary, 2 replica; but for 0 the primary's region (text), number of replicas (32 bits) and their regions (texts) |
//! | policy | text; empty: the default one |
//! | backing keys | number (32 bits); 1 byte: 1 where one more waits for its rotation, else 0; then each in order |
//!
//! and of a backing key, whose number is its place from 1:
//!
//! | field | form |
//! |---|---|
//! | since when it encrypts | time |
//! | why it came to be | 1 byte: 1 with its key, 2 by the schedule, 3 on demand |
//! | id of its material | 32 bytes |
//! | when imported material expires | time; 0: never |
//! | material | its sealed form; a length of 0, and no more, where imported material was deleted |
//!
//! [`SecretBytes`]: crate::secret::SecretBytes

mod access_key;
mod alias;
mod audit;
mod codec;
mod export;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod grant;
mod identity;
mod key;
mod names;
mod rekey;
mod seal;
mod token;

pub(crate) use alias::StoredAlias;
pub(crate) use audit::StoredAudit;
pub(crate) use codec::{CHANGED, in_milliseconds};
pub(crate) use export::{open_export, seal_export};
pub(crate) use key::StoredKey;
pub(crate) use names::{
    AUDIT, HEADER, access_key_record, alias_record, identity_record, key_record,
};
pub(crate) use token::ImportToken;

use std::sync::Arc;

use crate::access_key::{AccessKeyId, StoredAccessKey};
use crate::audit::Anchor;
use crate::environment::Environment;
use crate::error::Error;
use crate::grant::{Grant, GrantId};
use crate::identity::StoredIdentity;
use crate::key::{Identity, KeyId};
use crate::policy::{PolicyDocument, PolicyKind};
use crate::principal::Principal;
use crate::root_key::{DatabaseId, Fingerprint, RootKey};
use crate::secret::SecretKey;
use crate::storage::{Expected, Storage};
use codec::Why;
use names::{IDENTITY_PREFIX, access_key_of, alias_of, grant_of, grant_record, is_record, key_of};
use seal::{Clear, Sealer};

/// The records of one KMS, opened with its root key.
pub(crate) struct Database {
    storage: Arc<dyn Storage>,
    sealer: Sealer,
    /// What opens records that are still under the root key before.
    old: Option<Sealer>,
}

/// What a record holds.
pub(crate) enum Stored {
    Key(Box<StoredKey>),
    Alias(StoredAlias),
    Grant(Grant),
    Identity(StoredIdentity),
    AccessKey(StoredAccessKey),
    Audit(StoredAudit),
}

impl Stored {
    fn open(sealer: &Sealer, record: &str, bytes: &[u8]) -> Result<Self, Why> {
        if let Some(id) = key_of(record) {
            sealer.open_key(id, bytes).map(Box::new).map(Self::Key)
        } else if let Some(alias) = alias_of(record) {
            sealer.open_alias(alias, bytes).map(Self::Alias)
        } else if let Some((key, id)) = grant_of(record) {
            sealer.open_grant(key, id, bytes).map(Self::Grant)
        } else if record.starts_with(IDENTITY_PREFIX) {
            sealer.open_identity(record, bytes).map(Self::Identity)
        } else if let Some(id) = access_key_of(record) {
            sealer.open_access_key(id, bytes).map(Self::AccessKey)
        } else if record == AUDIT {
            sealer.open_audit(bytes).map(Self::Audit)
        } else {
            Err(NO_RECORD)
        }
    }

    fn seal(&self, sealer: &Sealer, environment: &Environment) -> Result<Vec<u8>, Error> {
        Ok(match self {
            Self::Key(key) => sealer.seal_key(key, environment)?,
            Self::Alias(alias) => sealer.seal_alias(alias, environment),
            Self::Grant(grant) => sealer.seal_grant(grant, environment),
            Self::Identity(identity) => sealer.seal_identity(identity, environment),
            Self::AccessKey(key) => sealer.seal_access_key(key, environment),
            Self::Audit(audit) => sealer.seal_audit(&audit.key, &audit.anchor, environment),
        })
    }
}

/// All that a database holds.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) keys: Vec<StoredKey>,
    pub(crate) aliases: Vec<StoredAlias>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) identities: Vec<StoredIdentity>,
    pub(crate) access_keys: Vec<StoredAccessKey>,
    pub(crate) damaged: Vec<Damaged>,
}

/// A record that does not open: its name, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The record's name.
    pub record: String,
    /// What was seen.
    pub why: &'static str,
}

impl Damaged {
    /// The error that whoever needs the record gets.
    pub fn error(&self) -> Error {
        Error::DamagedRecord {
            record: self.record.clone(),
            why: self.why,
        }
    }
}

impl Database {
    /// Makes a database in `storage`, which has none.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it has one; or what the storage says.
    pub(crate) fn create(
        storage: Arc<dyn Storage>,
        (id, root): (DatabaseId, &RootKey),
        identity: &Identity,
        environment: &Environment,
    ) -> Result<Self, Error> {
        let sealer = Sealer::new(root, id, identity);
        let record = sealer.seal_header(environment.clock.now(), None, environment);
        storage.put(HEADER, &record, Expected::Absent)?;
        Ok(Self {
            storage,
            sealer,
            old: None,
        })
    }

    /// Opens the database in `storage`.
    ///
    /// # Errors
    /// [`Error::WrongRootKey`]; [`Error::DamagedRecord`] for its header; or what the storage says.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        root: &RootKey,
        identity: &Identity,
    ) -> Result<Self, Error> {
        let damaged = |why| Error::DamagedRecord {
            record: HEADER.to_owned(),
            why,
        };
        let record = storage
            .get(HEADER)?
            .ok_or_else(|| damaged("it is missing"))?;
        let clear = Clear::parse(&record.bytes).map_err(damaged)?;
        let sealer = Sealer::new(root, clear.database, identity);
        let opened = sealer.open_header(&record.bytes);
        match opened {
            Ok(header) if clear.fingerprint == root.fingerprint() => Ok(Self {
                storage,
                sealer,
                old: header.old,
            }),
            // With the root key's own fingerprint it opens: only that field was changed.
            Ok(_) => Err(damaged(CHANGED)),
            Err(_) if clear.fingerprint != root.fingerprint() => Err(Error::WrongRootKey {
                place: root.place().to_owned(),
                found: root.fingerprint().to_string(),
                expected: clear.fingerprint.to_string(),
            }),
            Err(why) => Err(damaged(why)),
        }
    }

    /// Whether `storage` has a database.
    pub(crate) fn exists(storage: &dyn Storage) -> Result<bool, Error> {
        Ok(storage.get(HEADER)?.is_some())
    }

    /// The id of the database in `storage` and its root key's fingerprint, from its header as it stands
    /// there: they are authentic where the database has been opened.
    ///
    /// # Errors
    /// [`Error::DamagedRecord`] for the header; or what the storage says.
    pub(crate) fn described(storage: &dyn Storage) -> Result<(DatabaseId, Fingerprint), Error> {
        let damaged = |why| Error::DamagedRecord {
            record: HEADER.to_owned(),
            why,
        };
        let record = storage.get(HEADER)?;
        let record = record.ok_or_else(|| damaged("it is missing"))?;
        let clear = Clear::parse(&record.bytes).map_err(damaged)?;
        Ok((clear.database, clear.fingerprint))
    }

    /// Reads and opens every record. One that is damaged is named, and does not take the others down.
    ///
    /// # Errors
    /// Where the storage cannot list its records.
    pub(crate) fn load(&self) -> Result<Contents, Error> {
        let mut contents = Contents::default();
        for record in self.storage.list()? {
            if let Err(why) = self.load_record(&record, &mut contents) {
                contents.damaged.push(Damaged { record, why });
            }
        }
        Ok(contents)
    }

    fn load_record(&self, record: &str, contents: &mut Contents) -> Result<(), Why> {
        if record == HEADER {
            return Ok(());
        }
        if !is_record(record) {
            return Err(NO_RECORD);
        }
        let bytes = self.read(record)?;
        match Stored::open(self.sealer_of(&bytes)?, record, &bytes)? {
            Stored::Key(key) => contents.keys.push(*key),
            Stored::Alias(alias) => contents.aliases.push(alias),
            Stored::Grant(grant) => contents.grants.push(grant),
            Stored::Identity(identity) => contents.identities.push(identity),
            Stored::AccessKey(key) => contents.access_keys.push(key),
            Stored::Audit(_) => {}
        }
        Ok(())
    }

    fn read(&self, record: &str) -> Result<Vec<u8>, Why> {
        match self.storage.get(record) {
            Ok(Some(found)) => Ok(found.bytes),
            Ok(None) => Err("it went away while the database was opened"),
            Err(Error::RecordTooLong(_)) => Err("it is longer than any record"),
            Err(_) => Err("it cannot be read"),
        }
    }

    /// What is stored of the audit log.
    ///
    /// # Errors
    /// [`Error::DamagedRecord`]; or what the storage says.
    pub(crate) fn audit(&self) -> Result<Option<StoredAudit>, Error> {
        let record = self.storage.get(AUDIT)?;
        let opened = record.map(|record| {
            let sealer = self.sealer_of(&record.bytes)?;
            sealer.open_audit(&record.bytes)
        });
        opened.transpose().map_err(|why| Error::DamagedRecord {
            record: AUDIT.to_owned(),
            why,
        })
    }

    /// Writes the last checkpoint of the audit log, and its key, over whatever is stored of them.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn put_audit(
        &self,
        key: &SecretKey,
        anchor: &Anchor,
        environment: &Environment,
    ) -> Result<(), Error> {
        let record = self.sealer.seal_audit(key, anchor, environment);
        self.storage.put(AUDIT, &record, Expected::Any).map(drop)
    }

    /// Writes a key over whatever is stored of it.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn put_key(&self, key: &StoredKey, environment: &Environment) -> Result<(), Error> {
        let name = key_record(key.id);
        let record = self.sealer.seal_key(key, environment)?;
        self.storage.put(&name, &record, Expected::Any).map(drop)
    }

    /// A token that this database opens again.
    ///
    /// # Errors
    /// [`Error::Material`] where its key cannot be written, for want of memory.
    pub(crate) fn seal_token(
        &self,
        token: &ImportToken,
        environment: &Environment,
    ) -> Result<Vec<u8>, Error> {
        self.sealer.seal_token(token, environment)
    }

    pub(crate) fn open_token(&self, token: &[u8]) -> Result<ImportToken, Why> {
        self.sealer.open_token(token)
    }

    /// Removes a key, and its material with it.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn delete_key(&self, key: KeyId) -> Result<(), Error> {
        self.storage.delete(&key_record(key), Expected::Any)
    }

    /// Removes an alias.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn delete_alias(&self, alias: &str) -> Result<(), Error> {
        self.storage.delete(&alias_record(alias), Expected::Any)
    }

    /// Writes an alias over whatever is stored of it.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn put_alias(
        &self,
        alias: &StoredAlias,
        environment: &Environment,
    ) -> Result<(), Error> {
        let name = alias_record(&alias.alias);
        let record = self.sealer.seal_alias(alias, environment);
        self.storage.put(&name, &record, Expected::Any).map(drop)
    }

    /// Writes a grant, which is not there yet.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn put_grant(&self, grant: &Grant, environment: &Environment) -> Result<(), Error> {
        let name = grant_record(grant.key, &grant.id);
        let record = self.sealer.seal_grant(grant, environment);
        self.storage.put(&name, &record, Expected::Absent).map(drop)
    }

    /// Removes a grant.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn delete_grant(&self, key: KeyId, grant: &GrantId) -> Result<(), Error> {
        self.storage
            .delete(&grant_record(key, grant), Expected::Any)
    }

    /// Writes an identity over whatever is stored of it.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn put_identity(
        &self,
        identity: &StoredIdentity,
        environment: &Environment,
    ) -> Result<(), Error> {
        let name = identity_record(&identity.principal);
        let record = self.sealer.seal_identity(identity, environment);
        self.storage.put(&name, &record, Expected::Any).map(drop)
    }

    /// Removes an identity.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn delete_identity(&self, identity: &Principal) -> Result<(), Error> {
        self.storage
            .delete(&identity_record(identity), Expected::Any)
    }

    /// Writes an access key over whatever is stored of it.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn put_access_key(
        &self,
        key: &StoredAccessKey,
        environment: &Environment,
    ) -> Result<(), Error> {
        let name = access_key_record(&key.id);
        let record = self.sealer.seal_access_key(key, environment);
        self.storage.put(&name, &record, Expected::Any).map(drop)
    }

    /// Removes an access key.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn delete_access_key(&self, id: &AccessKeyId) -> Result<(), Error> {
        self.storage.delete(&access_key_record(id), Expected::Any)
    }
}

fn stored_policy(kind: PolicyKind, text: &str) -> Result<PolicyDocument, Why> {
    PolicyDocument::parse(kind, text).map_err(|_| "a policy in it is not understood")
}

fn stored_principal(arn: &str) -> Result<Principal, Why> {
    arn.parse().map_err(|_| "an ARN in it names no principal")
}

const NO_RECORD: Why = "no record of this database is called so";

#[cfg(test)]
mod tests;
