//! The key database: what a KMS has in its storage, every record sealed under the root key.
//!
//! | record | holds |
//! |---|---|
//! | `database` | that there is a database, and its id |
//! | `key-UUID` | one KMS key with all its backing keys |
//! | `@NAME` | the alias `alias/NAME`, each `/` of NAME written `+` |
//! | `grant-UUID-ID` | the grant of that id on that key |
//! | `identity-HASH` | a user or role, by the first 32 digits of its ARN's SHA-256 |
//!
//! # A record, versions 1 and 2
//! Numbers are big-endian; a time is 64 bits of milliseconds since 1970; a text is UTF-8 behind its
//! length of 32 bits.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `SGKR` |
//! | 4 | 1 | version: 2 of a key (1 before keys had policies), 1 of all others |
//! | 5 | 1 | kind: 1 database, 2 key, 3 alias, 4 grant, 5 identity |
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
//! - database: time of creation.
//! - alias: time of creation, then the 16 bytes of the key's id.
//! - key: tier (1 byte: 1 owned, 2 managed, 3 customer), time of creation, description (text), number
//!   of backing keys (32 bits), and for each its number (32 bits), time of creation and sealed form;
//!   from version 2 on, its key policy (text; empty: the default one).
//! - grant: time of creation, ARN of the issuer (text; empty: the product), terms (text: JSON).
//! - identity: time of creation, ARN (text), number of user ids (32 bits) and each (32 bits), number
//!   of policies (32 bits), and for each its name and itself (texts).
//!
//! A backing key is sealed once more by itself, so that no buffer but its [`SecretKey`] ever holds
//! it: nonce (12 bytes, random), ciphertext (32), tag (16), under the record key, with the additional
//! data "backing key" ‖ key id ‖ number.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::aead::{self, NONCE_LEN, TAG_LEN};
use crate::derive::derive;
use crate::environment::Environment;
use crate::error::Error;
use crate::grant::{Grant, GrantId};
use crate::identity::StoredIdentity;
use crate::key::{Identity, KeyId, KeyTier, is_alias};
use crate::key_ring::{BackingKey, KeyRing};
use crate::policy::{PolicyDocument, PolicyKind};
use crate::principal::Principal;
use crate::root_key::{Fingerprint, RootKey};
use crate::secret::SecretKey;
use crate::storage::{Expected, Storage};

/// The records of one KMS, opened with its root key.
pub(crate) struct Database {
    storage: Arc<dyn Storage>,
    sealer: Sealer,
}

/// A KMS key as it is stored.
#[derive(Clone)]
pub(crate) struct StoredKey {
    pub(crate) id: KeyId,
    pub(crate) tier: KeyTier,
    pub(crate) created: SystemTime,
    pub(crate) description: String,
    pub(crate) ring: KeyRing,
    /// None: the default policy.
    pub(crate) policy: Option<Arc<PolicyDocument>>,
}

/// An alias as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredAlias {
    pub(crate) alias: String,
    pub(crate) created: SystemTime,
    pub(crate) key: KeyId,
}

/// All that a database holds.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) keys: Vec<StoredKey>,
    pub(crate) aliases: Vec<StoredAlias>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) identities: Vec<StoredIdentity>,
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
        root: &RootKey,
        identity: &Identity,
        environment: &Environment,
    ) -> Result<Self, Error> {
        let id = environment.random_bytes();
        let sealer = Sealer::new(root, id, identity);
        let record = sealer.seal_header(environment.clock.now(), environment);
        storage.put(HEADER, &record, Expected::Absent)?;
        Ok(Self { storage, sealer })
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
            Ok(()) if clear.fingerprint == root.fingerprint() => Ok(Self { storage, sealer }),
            // With the root key's own fingerprint it opens: only that field was changed.
            Ok(()) => Err(damaged(CHANGED)),
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

    /// The id of the database in `storage`, from its header as it stands there: it is authentic where
    /// the database has been opened.
    ///
    /// # Errors
    /// [`Error::DamagedRecord`] for the header; or what the storage says.
    pub(crate) fn id(storage: &dyn Storage) -> Result<[u8; ID_LEN], Error> {
        let damaged = |why| Error::DamagedRecord {
            record: HEADER.to_owned(),
            why,
        };
        let record = storage.get(HEADER)?;
        let record = record.ok_or_else(|| damaged("it is missing"))?;
        Ok(Clear::parse(&record.bytes).map_err(damaged)?.database)
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
        if let Some(id) = key_of(record) {
            let key = self.sealer.open_key(id, &self.read(record)?)?;
            contents.keys.push(key);
        } else if let Some(alias) = alias_of(record) {
            let alias = self.sealer.open_alias(alias, &self.read(record)?)?;
            contents.aliases.push(alias);
        } else if let Some((key, id)) = grant_of(record) {
            let grant = self.sealer.open_grant(key, id, &self.read(record)?)?;
            contents.grants.push(grant);
        } else if record.starts_with(IDENTITY_PREFIX) {
            let identity = self.sealer.open_identity(record, &self.read(record)?)?;
            contents.identities.push(identity);
        } else if record != HEADER {
            return Err("no record of this database is called so");
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

    /// Writes a key over whatever is stored of it.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn put_key(&self, key: &StoredKey, environment: &Environment) -> Result<(), Error> {
        let name = key_record(key.id);
        let record = self.sealer.seal_key(key, environment);
        self.storage.put(&name, &record, Expected::Any).map(drop)
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
}

/// The name of a key's record.
pub(crate) fn key_record(id: KeyId) -> String {
    format!("{KEY_PREFIX}{id}")
}

fn key_of(record: &str) -> Option<KeyId> {
    record.strip_prefix(KEY_PREFIX)?.parse().ok()
}

/// The name of an alias's record: `+` stands in no alias, so that no two share a record.
pub(crate) fn alias_record(alias: &str) -> String {
    let name = alias.strip_prefix("alias/").unwrap_or(alias);
    format!("{ALIAS_PREFIX}{}", name.replace('/', "+"))
}

fn alias_of(record: &str) -> Option<String> {
    let name = record.strip_prefix(ALIAS_PREFIX)?;
    let alias = format!("alias/{}", name.replace('+', "/"));
    (is_alias(&alias) && alias_record(&alias) == record).then_some(alias)
}

fn grant_record(key: KeyId, grant: &GrantId) -> String {
    format!("{GRANT_PREFIX}{key}-{grant}")
}

fn grant_of(record: &str) -> Option<(KeyId, GrantId)> {
    let (key, grant) = record.strip_prefix(GRANT_PREFIX)?.rsplit_once('-')?;
    Some((key.parse().ok()?, grant.parse().ok()?))
}

/// The name of an identity's record: an ARN is longer than the name of a record may be, and has characters that no name has.
pub(crate) fn identity_record(identity: &Principal) -> String {
    let digest = Sha256::digest(identity.arn());
    let digits = digest[..16].iter().map(|byte| format!("{byte:02x}"));
    format!("{IDENTITY_PREFIX}{}", digits.collect::<String>())
}

/// Milliseconds are what a record keeps of a time.
pub(crate) fn in_milliseconds(time: SystemTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds(time))
}

/// What is wrong with a record.
pub(crate) type Why = &'static str;

/// Seals and opens the records of one database.
struct Sealer {
    key: SecretKey,
    fingerprint: Fingerprint,
    database: [u8; ID_LEN],
    identity: Identity,
}

impl Sealer {
    fn new(root: &RootKey, database: [u8; ID_LEN], identity: &Identity) -> Self {
        Self {
            key: derive(root.key(), &database, &[b"sealgate kms database 1"]),
            fingerprint: root.fingerprint(),
            database,
            identity: identity.clone(),
        }
    }

    fn seal_header(&self, created: SystemTime, environment: &Environment) -> Vec<u8> {
        self.seal(Kind::Database, HEADER, environment, |body, _| {
            put_time(body, created);
        })
    }

    fn seal_alias(&self, alias: &StoredAlias, environment: &Environment) -> Vec<u8> {
        let name = alias_record(&alias.alias);
        self.seal(Kind::Alias, &name, environment, |body, _| {
            put_time(body, alias.created);
            body.extend_from_slice(alias.key.as_bytes());
        })
    }

    fn seal_key(&self, key: &StoredKey, environment: &Environment) -> Vec<u8> {
        let name = key_record(key.id);
        self.seal(Kind::Key, &name, environment, |body, record_key| {
            body.push(tier_code(key.tier));
            put_time(body, key.created);
            put_text(body, &key.description);
            put_len(body, key.ring.iter().len());
            for backing_key in key.ring.iter() {
                body.extend_from_slice(&backing_key.number.to_be_bytes());
                put_time(body, backing_key.created);
                put_material(body, record_key, key.id, backing_key, environment);
            }
            put_text(body, key.policy.as_deref().map_or("", PolicyDocument::text));
        })
    }

    fn seal_grant(&self, grant: &Grant, environment: &Environment) -> Vec<u8> {
        let name = grant_record(grant.key, &grant.id);
        let terms = serde_json::to_string(&grant.terms).expect("terms have texts for keys");
        self.seal(Kind::Grant, &name, environment, |body, _| {
            put_time(body, grant.created);
            put_text(body, grant.issuer.as_ref().map_or("", Principal::arn));
            put_text(body, &terms);
        })
    }

    fn seal_identity(&self, identity: &StoredIdentity, environment: &Environment) -> Vec<u8> {
        let name = identity_record(&identity.principal);
        self.seal(Kind::Identity, &name, environment, |body, _| {
            put_time(body, identity.created);
            put_text(body, identity.principal.arn());
            put_len(body, identity.uids.len());
            for uid in &identity.uids {
                body.extend_from_slice(&uid.to_be_bytes());
            }
            put_len(body, identity.policies.len());
            for (name, policy) in &identity.policies {
                put_text(body, name);
                put_text(body, policy.text());
            }
        })
    }

    /// A record whose body `write` appends, with the record's key at hand.
    fn seal(
        &self,
        kind: Kind,
        name: &str,
        environment: &Environment,
        write: impl FnOnce(&mut Vec<u8>, &SecretKey),
    ) -> Vec<u8> {
        let clear = Clear {
            version: kind.version(),
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

    fn open_alias(&self, alias: String, record: &[u8]) -> Result<StoredAlias, Why> {
        let (body, _) = self.open(Kind::Alias, &alias_record(&alias), record)?;
        let mut body = Reader(&body);
        let created = body.time()?;
        let key = KeyId::from_bytes(body.array()?);
        body.end()?;
        Ok(StoredAlias {
            alias,
            created,
            key,
        })
    }

    fn open_key(&self, id: KeyId, record: &[u8]) -> Result<StoredKey, Why> {
        let (body, record_key) = self.open(Kind::Key, &key_record(id), record)?;
        let version = Clear::parse(record)?.version;
        let mut body = Reader(&body);
        let tier = tier(body.array()?)?;
        let created = body.time()?;
        let description = body.text()?;
        let ring = read_ring(&mut body, &record_key, id)?;
        let policy = match version {
            1 => None,
            _ => read_key_policy(&mut body)?,
        };
        body.end()?;
        Ok(StoredKey {
            id,
            tier,
            created,
            description,
            ring,
            policy,
        })
    }

    fn open_grant(&self, key: KeyId, id: GrantId, record: &[u8]) -> Result<Grant, Why> {
        let (body, _) = self.open(Kind::Grant, &grant_record(key, &id), record)?;
        let mut body = Reader(&body);
        let created = body.time()?;
        let issuer = body.text()?;
        let terms = body.text()?;
        body.end()?;
        Ok(Grant {
            id,
            key,
            created,
            issuer: (!issuer.is_empty())
                .then(|| principal(&issuer))
                .transpose()?,
            terms: serde_json::from_str(&terms).map_err(|_| "its terms are not a grant's")?,
        })
    }

    fn open_identity(&self, name: &str, record: &[u8]) -> Result<StoredIdentity, Why> {
        let (body, _) = self.open(Kind::Identity, name, record)?;
        let mut body = Reader(&body);
        let created = body.time()?;
        let principal = principal(&body.text()?)?;
        let mut identity =
            StoredIdentity::new(principal, created).map_err(|_| "it is of an account's root")?;
        for _ in 0..body.number()? {
            identity.uids.insert(body.number()?);
        }
        for _ in 0..body.number()? {
            let (name, text) = (body.text()?, body.text()?);
            identity
                .policies
                .insert(name, policy(PolicyKind::Identity, &text)?);
        }
        body.end()?;
        Ok(identity)
    }

    /// The body of a record of this database, and the record's key.
    fn open(&self, kind: Kind, name: &str, record: &[u8]) -> Result<(Vec<u8>, SecretKey), Why> {
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

    /// The header, whose body is read for its authenticity, under this sealer's root key whatever
    /// fingerprint it shows.
    fn open_header(&self, record: &[u8]) -> Result<(), Why> {
        let clear = Clear::parse(record)?;
        if clear.kind != Kind::Database as u8 {
            return Err("it is a record of another kind");
        }
        let mine = Clear {
            fingerprint: self.fingerprint,
            ..clear
        };
        let (body, _) = self.open_body(HEADER, &mine, record)?;
        let mut body = Reader(&body);
        body.time()?;
        body.end()
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

/// Which kind of thing a record holds.
#[derive(Clone, Copy)]
enum Kind {
    Database = 1,
    Key = 2,
    Alias = 3,
    Grant = 4,
    Identity = 5,
}

impl Kind {
    /// The version that is written; earlier ones are read too.
    fn version(self) -> u8 {
        match self {
            Self::Key => 2,
            Self::Database | Self::Alias | Self::Grant | Self::Identity => 1,
        }
    }
}

/// The clear part of a record.
struct Clear {
    version: u8,
    kind: u8,
    fingerprint: Fingerprint,
    database: [u8; ID_LEN],
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

    fn parse(record: &[u8]) -> Result<Self, Why> {
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

/// Reads a record from front to back.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Why> {
        let (head, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(*head)
    }

    fn number(&mut self) -> Result<u32, Why> {
        self.array().map(u32::from_be_bytes)
    }

    fn time(&mut self) -> Result<SystemTime, Why> {
        let milliseconds = self.array().map(u64::from_be_bytes)?;
        SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_millis(milliseconds))
            .ok_or("a time in it is out of range")
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Why> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(CUT)?;
        self.0 = rest;
        Ok(head)
    }

    fn text(&mut self) -> Result<String, Why> {
        let len = usize::try_from(self.number()?).map_err(|_| CUT)?;
        let text = str::from_utf8(self.bytes(len)?).map_err(|_| "a text in it is not UTF-8")?;
        Ok(text.to_owned())
    }

    fn end(&self) -> Result<(), Why> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err("it is longer than what it holds")
    }
}

fn read_ring(body: &mut Reader<'_>, record_key: &SecretKey, id: KeyId) -> Result<KeyRing, Why> {
    let count = body.number()?;
    let mut keys = Vec::new();
    for _ in 0..count {
        let number = body.number()?;
        let created = body.time()?;
        let key = Arc::new(read_material(body, record_key, id, number)?);
        keys.push(BackingKey {
            number,
            created,
            key,
        });
    }
    KeyRing::from_keys(keys).ok_or("its backing keys are not numbered from 1 without gaps")
}

fn read_key_policy(body: &mut Reader<'_>) -> Result<Option<Arc<PolicyDocument>>, Why> {
    match body.text()? {
        text if text.is_empty() => Ok(None),
        text => policy(PolicyKind::Key, &text).map(Arc::new).map(Some),
    }
}

fn policy(kind: PolicyKind, text: &str) -> Result<PolicyDocument, Why> {
    PolicyDocument::parse(kind, text).map_err(|_| "a policy in it is not understood")
}

fn principal(arn: &str) -> Result<Principal, Why> {
    arn.parse().map_err(|_| "an ARN in it names no principal")
}

fn read_material(
    body: &mut Reader<'_>,
    record_key: &SecretKey,
    id: KeyId,
    number: u32,
) -> Result<SecretKey, Why> {
    let nonce = body.array()?;
    let ciphertext: [u8; SecretKey::LEN] = body.array()?;
    let tag = body.array()?;
    SecretKey::try_fill(|key| {
        *key = ciphertext;
        aead::open(record_key, &nonce, &material_data(id, number), key, &tag)
    })
    .map_err(|_| CHANGED)
}

fn put_material(
    body: &mut Vec<u8>,
    record_key: &SecretKey,
    id: KeyId,
    backing_key: &BackingKey,
    environment: &Environment,
) {
    let nonce = environment.random_bytes();
    let data = material_data(id, backing_key.number);
    // Encrypted in a slot for keys: the body grows, and would leave copies behind.
    let mut tag = [0; TAG_LEN];
    let sealed = SecretKey::try_fill(|out| {
        out.copy_from_slice(backing_key.key.expose());
        tag = aead::seal(record_key, &nonce, &data, out);
        Ok::<_, Infallible>(())
    });
    let Ok(sealed) = sealed;
    body.extend_from_slice(&nonce);
    body.extend_from_slice(sealed.expose());
    body.extend_from_slice(&tag);
}

fn material_data(id: KeyId, number: u32) -> Vec<u8> {
    [&b"backing key"[..], id.as_bytes(), &number.to_be_bytes()].concat()
}

fn tier_code(tier: KeyTier) -> u8 {
    match tier {
        KeyTier::Owned => 1,
        KeyTier::Managed => 2,
        KeyTier::Customer => 3,
    }
}

fn tier([code]: [u8; 1]) -> Result<KeyTier, Why> {
    match code {
        1 => Ok(KeyTier::Owned),
        2 => Ok(KeyTier::Managed),
        3 => Ok(KeyTier::Customer),
        _ => Err("its tier is unknown"),
    }
}

fn put_time(out: &mut Vec<u8>, time: SystemTime) {
    out.extend_from_slice(&milliseconds(time).to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("a record is shorter than 4 GiB");
    out.extend_from_slice(&len.to_be_bytes());
}

/// Since 1970; a clock that is set before counts as 1970.
fn milliseconds(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The record that says that there is a database.
pub(crate) const HEADER: &str = "database";
const KEY_PREFIX: &str = "key-";
const ALIAS_PREFIX: &str = "@";
const GRANT_PREFIX: &str = "grant-";
const IDENTITY_PREFIX: &str = "identity-";

const MAGIC: &[u8; 4] = b"SGKR";
const NEWEST_VERSION: u8 = 2;
const ID_LEN: usize = 16;
const SALT_LEN: usize = 16;
const CLEAR_LEN: usize = 46 + NONCE_LEN;

const LATER: Why = "its version is not known";
const CUT: Why = "it is cut";
/// What is wrong with a record that is whole, and not what was sealed.
pub(crate) const CHANGED: Why = "it does not open";

#[cfg(test)]
mod tests;
