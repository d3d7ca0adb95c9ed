//! The one door to the keys: every caller, local or remote, goes through [`Kms`].
//!
//! Each operation goes the same way: find the key, authorise the caller, act. (The audit log will
//! stand at the end of that way.)

mod access;
mod authorise;
mod grants;
mod identities;
mod policies;

pub use policies::{NewPolicy, Question};

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};
use zeroize::Zeroizing;

pub use crate::caller::Caller;
use crate::context::EncryptionContext;
use crate::data_key::{DataKey, WrappedKey};
use crate::database::{self, Damaged, Database, StoredAlias, StoredKey, alias_record, key_record};
use crate::environment::Environment;
use crate::error::Error;
use crate::key::{Identity, KeyId, KeyMetadata, KeyRef, KeyTier, is_alias};
use crate::key_ring::KeyRing;
use crate::message::{self, Header};
use crate::policy::{Action, PolicyDocument};
use crate::root_key::RootKey;
use crate::secret::SecretKey;
use crate::storage::Storage;
use access::Access;
use authorise::{On, Wanted};

/// A key management service over one key database.
///
/// Operations on keys take no lock while they encrypt or decrypt, and any number runs at once;
/// changes are written to storage one after the other.
pub struct Kms {
    identity: Identity,
    environment: Environment,
    /// Taken before `access` where both are.
    keys: RwLock<Keys>,
    access: RwLock<Access>,
    default_policy: PolicyDocument,
    managed_policy: PolicyDocument,
    /// The only writer; held over a change from its check to its publication.
    database: Mutex<Database>,
    damaged: Vec<Damaged>,
}

/// What a key to be created is like.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// For people, at most 8,192 bytes.
    pub description: String,
    /// `alias/NAME`, which nothing has yet.
    pub alias: Option<String>,
    /// Its policy; none: the default one, by which the account decides.
    pub policy: Option<NewPolicy>,
}

impl Kms {
    /// The managed key under which the certificate store's data keys are wrapped.
    pub const CERTSTORE_ALIAS: &'static str = "alias/sealgate/certstore";
    /// The longest plaintext for direct encryption, in bytes.
    pub const MAX_PLAINTEXT: usize = 4096;

    /// Makes a key database in `storage`, with the managed key [`CERTSTORE_ALIAS`](Self::CERTSTORE_ALIAS).
    ///
    /// # Errors
    /// [`Error::Conflict`] where there is a database already; or what the storage says.
    pub fn create(
        storage: Arc<dyn Storage>,
        root: &RootKey,
        identity: Identity,
        environment: Environment,
    ) -> Result<Self, Error> {
        let database = Database::create(storage, root, &identity, &environment)?;
        Self::on(database, identity, environment)?.with_managed_key()
    }

    /// Opens the key database in `storage`.
    ///
    /// A damaged record does not take the other keys down: [`damaged`](Self::damaged) names it, and
    /// its key or alias is refused.
    ///
    /// # Errors
    /// [`Error::WrongRootKey`]; [`Error::DamagedRecord`] where the database's header is damaged or
    /// missing; or what the storage says.
    pub fn open(
        storage: Arc<dyn Storage>,
        root: &RootKey,
        identity: Identity,
        environment: Environment,
    ) -> Result<Self, Error> {
        let database = Database::open(storage, root, &identity)?;
        Self::on(database, identity, environment)
    }

    /// Goes on where a [`create`](Self::create) was cut short.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub(crate) fn finish(
        storage: Arc<dyn Storage>,
        root: &RootKey,
        identity: Identity,
        environment: Environment,
    ) -> Result<Self, Error> {
        Self::open(storage, root, identity, environment)?.with_managed_key()
    }

    /// Creates a customer key, and its alias with it. That takes `kms:CreateKey`, and
    /// `kms:CreateAlias` on the alias; the key itself is then under its policy, its creator too.
    ///
    /// # Errors
    /// [`Error::InvalidAlias`], [`Error::ReservedAlias`], [`Error::AliasExists`],
    /// [`Error::DescriptionTooLong`]; for its policy as of [`put_key_policy`](Self::put_key_policy);
    /// [`Error::AccessDenied`]; or what the storage says, and then the next
    /// [`open`](Self::open) finds the key whole or not at all.
    pub fn create_key(&self, caller: &Caller, new: NewKey) -> Result<KeyMetadata, Error> {
        self.authorise(caller, Wanted::of_account(Action::CreateKey))?;
        if let Some(alias) = &new.alias {
            self.authorise(caller, Wanted::on(Action::CreateAlias, On::Alias(alias)))?;
        }
        self.add_key(caller, KeyTier::Customer, new)
    }

    /// Adds a backing key to a customer key: it encrypts from now on, and all older ones still decrypt.
    ///
    /// # Errors
    /// [`Error::ManagedKey`]; [`Error::KeyNotFound`]; [`Error::AccessDenied`]; or what the storage
    /// says.
    pub fn rotate_key(&self, caller: &Caller, key: &KeyRef) -> Result<KeyMetadata, Error> {
        let database = self.database.lock();
        let named = key;
        let key = self.find(named)?;
        self.authorise(
            caller,
            Wanted::of_key(Action::RotateKeyOnDemand, &key, named),
        )?;
        let ring = key.ring.rotated(&self.environment, self.now());
        let key = StoredKey {
            ring,
            ..(*key).clone()
        };
        database.put_key(&key, &self.environment)?;
        let mut keys = self.keys.write();
        keys.add(key.clone());
        Ok(self.metadata(&keys, &key))
    }

    /// A fresh data key, in plain and wrapped under `key`.
    ///
    /// # Errors
    /// [`Error::ReservedContext`]; [`Error::KeyNotFound`]; [`Error::AccessDenied`].
    pub fn generate_data_key(
        &self,
        caller: &Caller,
        key: &KeyRef,
        context: &EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), Error> {
        let key = self.usable(caller, Action::GenerateDataKey, key, context)?;
        let data_key = SecretKey::generate(&*self.environment.random);
        let wrapped = self.seal(&key, context, data_key.expose());
        Ok((DataKey::new(data_key), WrappedKey::from_bytes(wrapped)))
    }

    /// Unwraps a data key, which never stands elsewhere than in its [`SecretKey`].
    ///
    /// # Errors
    /// [`Error::MalformedCiphertext`], [`Error::ReservedContext`], [`Error::KeyNotFound`],
    /// [`Error::BackingKeyNotFound`], [`Error::InvalidCiphertext`], [`Error::AccessDenied`].
    pub fn open_data_key(
        &self,
        caller: &Caller,
        wrapped: &WrappedKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, Error> {
        let blob = wrapped.as_bytes();
        let opener = self.opener(caller, Action::Decrypt, blob, context)?;
        if message::plaintext_len(blob) != SecretKey::LEN {
            return Err(Error::MalformedCiphertext);
        }
        SecretKey::try_fill(|out| opener.open_into(blob, context, out)).map(DataKey::new)
    }

    /// Encrypts a small plaintext, at most 4,096 bytes.
    ///
    /// # Errors
    /// [`Error::PlaintextTooLong`], [`Error::ReservedContext`], [`Error::KeyNotFound`],
    /// [`Error::AccessDenied`].
    pub fn encrypt(
        &self,
        caller: &Caller,
        key: &KeyRef,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        self.encrypt_as(caller, Action::Encrypt, key, context, plaintext)
    }

    fn encrypt_as(
        &self,
        caller: &Caller,
        action: Action,
        key: &KeyRef,
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let key = self.usable(caller, action, key, context)?;
        if plaintext.len() > Self::MAX_PLAINTEXT {
            return Err(Error::PlaintextTooLong(plaintext.len()));
        }
        Ok(self.seal(&key, context, plaintext))
    }

    /// Decrypts what [`encrypt`](Self::encrypt) made. The message names its key and backing key.
    ///
    /// # Errors
    /// As of [`open_data_key`](Self::open_data_key).
    pub fn decrypt(
        &self,
        caller: &Caller,
        blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.decrypt_as(caller, Action::Decrypt, blob, context)
    }

    fn decrypt_as(
        &self,
        caller: &Caller,
        action: Action,
        blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let opener = self.opener(caller, action, blob, context)?;
        let len = message::plaintext_len(blob);
        if len > Self::MAX_PLAINTEXT {
            return Err(Error::MalformedCiphertext);
        }
        let mut plaintext = Zeroizing::new(vec![0; len]);
        opener.open_into(blob, context, &mut plaintext)?;
        Ok(plaintext)
    }

    /// Encrypts a message anew, under another key or context, without showing its plaintext.
    ///
    /// # Errors
    /// As of [`decrypt`](Self::decrypt) and [`encrypt`](Self::encrypt).
    pub fn re_encrypt(
        &self,
        caller: &Caller,
        blob: &[u8],
        from_context: &EncryptionContext,
        to: &KeyRef,
        to_context: &EncryptionContext,
    ) -> Result<Vec<u8>, Error> {
        let plaintext = self.decrypt_as(caller, Action::ReEncryptFrom, blob, from_context)?;
        self.encrypt_as(caller, Action::ReEncryptTo, to, to_context, &plaintext)
    }

    /// All keys that `caller` may see, oldest first.
    pub fn list_keys(&self, caller: &Caller) -> Vec<KeyMetadata> {
        // Not under the lock: to authorise takes it too.
        let mut visible: Vec<_> = self.keys.read().by_id.values().cloned().collect();
        visible.retain(|key| {
            let wanted = Wanted::on(Action::DescribeKey, On::Key(key, None));
            self.authorise(caller, wanted).is_ok()
        });
        let keys = self.keys.read();
        let listed = visible.iter().map(|key| self.metadata(&keys, key));
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by(oldest_first);
        listed
    }

    /// What is known of a key.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`]; [`Error::DamagedRecord`]; [`Error::AccessDenied`].
    pub fn describe_key(&self, caller: &Caller, key: &KeyRef) -> Result<KeyMetadata, Error> {
        let named = key;
        let key = self.find(named)?;
        self.authorise(caller, Wanted::of_key(Action::DescribeKey, &key, named))?;
        Ok(self.metadata(&self.keys.read(), &key))
    }

    /// Which key `key` names.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`]; [`Error::DamagedRecord`].
    pub fn resolve(&self, key: &KeyRef) -> Result<KeyId, Error> {
        self.find(key).map(|key| key.id)
    }

    /// The records that did not open with the database.
    pub fn damaged(&self) -> &[Damaged] {
        &self.damaged
    }

    /// Whose keys these are.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

// === act ===

/// The backing key that opens a message.
struct Opener {
    header: Header,
    key: Arc<SecretKey>,
}

impl Opener {
    fn open_into(
        &self,
        blob: &[u8],
        context: &EncryptionContext,
        out: &mut [u8],
    ) -> Result<(), Error> {
        message::open_into(blob, &self.key, context, out)
            .map_err(|_| Error::InvalidCiphertext(self.header.key_id))
    }
}

impl Kms {
    fn on(database: Database, identity: Identity, environment: Environment) -> Result<Self, Error> {
        let contents = database.load()?;
        let root = identity.root();
        Ok(Self {
            identity,
            environment,
            keys: RwLock::new(Keys::new(contents.keys, contents.aliases)),
            access: RwLock::new(Access::new(contents.identities, contents.grants)),
            default_policy: PolicyDocument::default_of(&root),
            managed_policy: PolicyDocument::managed_by(&root),
            database: Mutex::new(database),
            damaged: contents.damaged,
        })
    }

    fn with_managed_key(self) -> Result<Self, Error> {
        let alias: KeyRef = Self::CERTSTORE_ALIAS.parse()?;
        match self.resolve(&alias) {
            Ok(_) => {}
            Err(Error::KeyNotFound(_)) => {
                let new = NewKey {
                    description: "Wraps the data keys of the certificate store".to_owned(),
                    alias: Some(alias.to_string()),
                    policy: None,
                };
                self.add_key(&Caller::Internal, KeyTier::Managed, new)?;
            }
            Err(error) => return Err(error),
        }
        Ok(self)
    }

    /// Writes the alias first: without its key it counts for nothing, so that key and alias come
    /// into being together, with the key's record.
    fn add_key(&self, caller: &Caller, tier: KeyTier, new: NewKey) -> Result<KeyMetadata, Error> {
        if new.description.len() > MAX_DESCRIPTION {
            return Err(Error::DescriptionTooLong(new.description.len()));
        }
        let database = self.database.lock();
        let created = self.now();
        let mut key = StoredKey {
            id: KeyId::from_random(self.environment.random_bytes()),
            tier,
            created,
            description: new.description,
            ring: KeyRing::generate(&self.environment, created),
            policy: None,
        };
        if let Some(policy) = &new.policy {
            key.policy = Some(self.accepted(caller, &key, policy)?);
        }
        if let Some(alias) = &new.alias {
            self.put_alias(&database, alias, &key)?;
        }
        database.put_key(&key, &self.environment)?;
        let mut keys = self.keys.write();
        if let Some(alias) = new.alias {
            keys.point(alias, key.id);
        }
        keys.add(key.clone());
        Ok(self.metadata(&keys, &key))
    }

    fn put_alias(&self, database: &Database, alias: &str, key: &StoredKey) -> Result<(), Error> {
        if !is_alias(alias) {
            return Err(Error::InvalidAlias(alias.to_owned()));
        }
        let stored = StoredAlias {
            alias: alias.to_owned(),
            created: key.created,
            key: key.id,
        };
        match self.find(&KeyRef::Alias(stored.alias.clone())) {
            Err(Error::KeyNotFound(_)) => database.put_alias(&stored, &self.environment),
            Err(error) => Err(error),
            Ok(found) => Err(Error::AliasExists {
                alias: stored.alias,
                key: found.id,
            }),
        }
    }

    /// The key, if `caller` may use it so.
    fn usable(
        &self,
        caller: &Caller,
        action: Action,
        key: &KeyRef,
        context: &EncryptionContext,
    ) -> Result<Arc<StoredKey>, Error> {
        let found = self.find(key)?;
        let wanted = Wanted::of_key(action, &found, key).with_context(context);
        self.authorise(caller, wanted)?;
        Ok(found)
    }

    /// The backing key for `blob`, if `caller` may use it so.
    fn opener(
        &self,
        caller: &Caller,
        action: Action,
        blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<Opener, Error> {
        let header = message::header(blob).ok_or(Error::MalformedCiphertext)?;
        let key = self.usable(caller, action, &KeyRef::Id(header.key_id), context)?;
        let not_found = || Error::BackingKeyNotFound {
            key: header.key_id,
            number: header.backing_key,
        };
        let backing_key = key.ring.get(header.backing_key).ok_or_else(not_found)?;
        Ok(Opener {
            header,
            key: Arc::clone(&backing_key.key),
        })
    }

    fn seal(&self, key: &StoredKey, context: &EncryptionContext, plaintext: &[u8]) -> Vec<u8> {
        let primary = key.ring.primary();
        let header = Header {
            key_id: key.id,
            backing_key: primary.number,
        };
        message::seal(header, &primary.key, context, plaintext, &self.environment)
    }

    fn find(&self, key: &KeyRef) -> Result<Arc<StoredKey>, Error> {
        let not_found = || Error::KeyNotFound(key.to_string());
        if !key.is_local(&self.identity) {
            return Err(not_found());
        }
        let keys = self.keys.read();
        let id = match key {
            KeyRef::Id(id) | KeyRef::Arn { id, .. } => *id,
            KeyRef::Alias(alias) | KeyRef::AliasArn { alias, .. } => {
                let id = keys.aliases.get(alias).copied();
                id.ok_or_else(|| self.damage(&alias_record(alias)).unwrap_or_else(not_found))?
            }
        };
        let found = keys.by_id.get(&id).cloned();
        found.ok_or_else(|| self.damage(&key_record(id)).unwrap_or_else(not_found))
    }

    fn damage(&self, record: &str) -> Option<Error> {
        let damaged = self.damaged.iter().find(|damaged| damaged.record == record);
        damaged.map(Damaged::error)
    }

    fn metadata(&self, keys: &Keys, key: &StoredKey) -> KeyMetadata {
        let aliases = keys.aliases_of.get(&key.id);
        KeyMetadata {
            id: key.id,
            arn: self.identity.key_arn(key.id),
            tier: key.tier,
            description: key.description.clone(),
            aliases: aliases.into_iter().flatten().cloned().collect(),
            created: key.created,
            backing_keys: key.ring.metadata(),
        }
    }

    fn now(&self) -> SystemTime {
        database::in_milliseconds(self.environment.clock.now())
    }
}

/// AWS's limit.
const MAX_DESCRIPTION: usize = 8192;

fn oldest_first(one: &KeyMetadata, other: &KeyMetadata) -> Ordering {
    (one.created, one.id).cmp(&(other.created, other.id))
}

/// The keys as they are found by id and alias.
#[derive(Default)]
struct Keys {
    by_id: HashMap<KeyId, Arc<StoredKey>>,
    /// Also those whose key is not there: a creation was cut short, or the key is damaged.
    aliases: HashMap<String, KeyId>,
    aliases_of: HashMap<KeyId, BTreeSet<String>>,
}

impl Keys {
    fn new(stored: Vec<StoredKey>, aliases: Vec<StoredAlias>) -> Self {
        let mut keys = Self::default();
        for key in stored {
            keys.add(key);
        }
        for alias in aliases {
            keys.point(alias.alias, alias.key);
        }
        keys
    }

    fn add(&mut self, key: StoredKey) {
        self.by_id.insert(key.id, Arc::new(key));
    }

    fn point(&mut self, alias: String, key: KeyId) {
        self.aliases_of
            .entry(key)
            .or_default()
            .insert(alias.clone());
        self.aliases.insert(alias, key);
    }
}

#[cfg(test)]
mod access_tests;
#[cfg(test)]
mod tests;
