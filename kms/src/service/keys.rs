//! Keys: create, rotate, list, describe.

use std::cmp::Ordering;

use super::authorise::{On, Wanted};
use super::door::Call;
use super::{Kms, NewPolicy};
use crate::caller::Caller;
use crate::database::{Database, StoredAlias, StoredKey};
use crate::error::Error;
use crate::key::{KeyId, KeyMetadata, KeyRef, KeyTier, is_alias};
use crate::key_ring::KeyRing;
use crate::policy::Action;

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
    /// Creates a customer key, and its alias with it. That takes `kms:CreateKey`, and
    /// `kms:CreateAlias` on the alias; the key itself is then under its policy, its creator too.
    ///
    /// # Errors
    /// [`Error::InvalidAlias`], [`Error::ReservedAlias`], [`Error::AliasExists`],
    /// [`Error::DescriptionTooLong`]; for its policy as of [`put_key_policy`](Self::put_key_policy);
    /// [`Error::AccessDenied`]; or what the storage says, and then the next
    /// [`open`](Self::open) finds the key whole or not at all.
    pub fn create_key(&self, caller: &Caller, new: NewKey) -> Result<KeyMetadata, Error> {
        let call = Call::on_account(caller, Action::CreateKey);
        self.through_account_to_change(call, |database, event| {
            if let Some(alias) = &new.alias {
                self.authorise(caller, Wanted::on(Action::CreateAlias, On::Alias(alias)))?;
            }
            let created = self.add_key(database, caller, KeyTier::Customer, new)?;
            event.key = Some(created.id);
            Ok(created)
        })
    }

    /// Adds a backing key to a customer key: it encrypts from now on, and all older ones still decrypt.
    ///
    /// # Errors
    /// [`Error::ManagedKey`]; [`Error::KeyNotFound`]; [`Error::AccessDenied`]; or what the storage
    /// says.
    pub fn rotate_key(&self, caller: &Caller, key: &KeyRef) -> Result<KeyMetadata, Error> {
        let call = Call::on_key(caller, Action::RotateKeyOnDemand, key);
        self.through_to_change(call, |database, key| {
            let ring = key.ring.rotated(&self.environment, self.now());
            let key = StoredKey {
                ring,
                ..(**key).clone()
            };
            database.put_key(&key, &self.environment)?;
            let mut keys = self.keys.write();
            keys.add(key.clone());
            Ok(self.metadata(&keys, &key))
        })
    }

    /// All keys that `caller` may see, oldest first.
    ///
    /// # Errors
    /// Where it cannot be written down.
    pub fn list_keys(&self, caller: &Caller) -> Result<Vec<KeyMetadata>, Error> {
        let call = Call::of_anybody(caller, "ListKeys");
        self.through_account(call, |_| Ok(self.visible_keys(caller)))
    }

    /// What is known of a key.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`]; [`Error::DamagedRecord`]; [`Error::AccessDenied`].
    pub fn describe_key(&self, caller: &Caller, key: &KeyRef) -> Result<KeyMetadata, Error> {
        let call = Call::on_key(caller, Action::DescribeKey, key);
        self.through(call, |key| Ok(self.metadata(&self.keys.read(), key)))
    }
}

impl Kms {
    fn visible_keys(&self, caller: &Caller) -> Vec<KeyMetadata> {
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

    /// Writes the alias first: without its key it counts for nothing, so that key and alias come
    /// into being together, with the key's record.
    pub(super) fn add_key(
        &self,
        database: &Database,
        caller: &Caller,
        tier: KeyTier,
        new: NewKey,
    ) -> Result<KeyMetadata, Error> {
        if new.description.len() > MAX_DESCRIPTION {
            return Err(Error::DescriptionTooLong(new.description.len()));
        }
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
            self.put_alias(database, alias, &key)?;
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
}

/// AWS's limit.
const MAX_DESCRIPTION: usize = 8192;

fn oldest_first(one: &KeyMetadata, other: &KeyMetadata) -> Ordering {
    (one.created, one.id).cmp(&(other.created, other.id))
}
