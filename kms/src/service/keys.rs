//! Keys: create, list, describe, enable and disable.

use std::cmp::Ordering;

use super::authorise::{On, Wanted};
use super::door::Call;
use super::key_state;
use super::{Kms, NewPolicy};
use crate::caller::Caller;
use crate::database::{Database, StoredAlias, StoredKey};
use crate::error::Error;
use crate::key::{
    KeyId, KeyMetadata, KeyOrigin, KeyRef, KeyState, KeyTier, MultiRegion, MultiRegionKind,
    RotationSchedule, checked_tags, is_alias,
};
use crate::key_ring::KeyRing;
use crate::policy::Action;
use crate::spec::{KeySpec, KeyUsage};

/// What a key to be created is like. By default: symmetric, made here, of this region only.
#[derive(Debug, Clone, Default)]
pub struct NewKey {
    /// For people, at most 8,192 bytes.
    pub description: String,
    /// `alias/NAME`, which nothing has yet.
    pub alias: Option<String>,
    /// Its policy; none: the default one, by which the account decides.
    pub policy: Option<NewPolicy>,
    /// What its material is.
    pub spec: KeySpec,
    /// What it is for; symmetric keys need not say it.
    pub usage: Option<KeyUsage>,
    /// Whether its material is made here, or comes in later.
    pub origin: KeyOrigin,
    /// Its tags, as keys and values.
    pub tags: Vec<(String, String)>,
    /// Whether other regions may have it too.
    pub multi_region: bool,
}

impl Kms {
    /// The most customer keys (AWS's limit).
    pub const MAX_KEYS: usize = 100_000;

    /// Creates a customer key, and its alias with it. That takes `kms:CreateKey`, and
    /// `kms:CreateAlias` on the alias; the key itself is then under its policy, its creator too.
    ///
    /// # Errors
    /// [`Error::InvalidAlias`], [`Error::ReservedAlias`], [`Error::AliasExists`],
    /// [`Error::DescriptionTooLong`], [`Error::InvalidTag`], [`Error::UsageMissing`],
    /// [`Error::Material`] where no such key is for that usage, [`Error::TooManyKeys`];
    /// for its policy as of [`put_key_policy`](Self::put_key_policy);
    /// [`Error::AccessDenied`]; or what the storage says, and then the next
    /// [`open`](Self::open) finds the key whole or not at all.
    pub fn create_key(&self, caller: &Caller, new: NewKey) -> Result<KeyMetadata, Error> {
        let call = Call::on_account(caller, Action::CreateKey);
        self.through_account(call, |event| {
            if let Some(alias) = &new.alias {
                self.authorise(caller, Wanted::on(Action::CreateAlias, On::Alias(alias)))?;
            }
            // Before the lock: an RSA key takes its time.
            let key = self.made(KeyTier::Customer, &new)?;
            let created = self.add_key(&self.database.lock(), caller, key, &new)?;
            event.key = Some(created.id);
            Ok(created)
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

    /// Gives a key another description.
    ///
    /// # Errors
    /// [`Error::DescriptionTooLong`]; as of [`enable_key`](Self::enable_key).
    pub fn update_key_description(
        &self,
        caller: &Caller,
        key: &KeyRef,
        description: &str,
    ) -> Result<KeyMetadata, Error> {
        self.change(caller, Action::UpdateKeyDescription, key, |key| {
            key.description = checked_description(description)?;
            Ok(())
        })
    }

    /// Lets a disabled key be used again.
    ///
    /// # Errors
    /// For the key's state: [`Error::PendingDeletion`], [`Error::PendingImport`];
    /// [`Error::ManagedKey`]; [`Error::KeyNotFound`]; [`Error::AccessDenied`]; or what the storage says.
    pub fn enable_key(&self, caller: &Caller, key: &KeyRef) -> Result<KeyMetadata, Error> {
        self.change(caller, Action::EnableKey, key, |key| {
            key.state = KeyState::Enabled;
            Ok(())
        })
    }

    /// Lets a key be used for nothing until it is enabled again.
    ///
    /// # Errors
    /// As of [`enable_key`](Self::enable_key).
    pub fn disable_key(&self, caller: &Caller, key: &KeyRef) -> Result<KeyMetadata, Error> {
        self.change(caller, Action::DisableKey, key, |key| {
            key.state = KeyState::Disabled;
            Ok(())
        })
    }
}

impl Kms {
    /// Lets a change of a key's record through.
    ///
    /// # Errors
    /// As of [`through`](Self::through), what `change` says, or what the storage says.
    pub(super) fn change(
        &self,
        caller: &Caller,
        action: Action,
        key: &KeyRef,
        change: impl FnOnce(&mut StoredKey) -> Result<(), Error>,
    ) -> Result<KeyMetadata, Error> {
        self.through_to_change(Call::on_key(caller, action, key), |database, key| {
            let mut changed = (**key).clone();
            change(&mut changed)?;
            self.put(database, changed)
        })
    }

    /// Stores a key and makes it the one that is found.
    ///
    /// # Errors
    /// What the storage says; then the key is found as it was.
    pub(super) fn put(&self, database: &Database, key: StoredKey) -> Result<KeyMetadata, Error> {
        database.put_key(&key, &self.environment)?;
        let mut keys = self.keys.write();
        let key = keys.add(key);
        Ok(self.metadata(&keys, &key))
    }

    /// What is known of a key, for the answer to a call that has passed the door.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`]; [`Error::DamagedRecord`].
    pub(crate) fn known(&self, key: &KeyRef) -> Result<KeyMetadata, Error> {
        let key = self.find(key)?;
        Ok(self.metadata(&self.keys.read(), &key))
    }

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

    /// A new key, with its material where that is made here.
    pub(super) fn made(&self, tier: KeyTier, new: &NewKey) -> Result<StoredKey, Error> {
        let (spec, now) = (new.spec, self.now());
        let usage = new.usage.or(spec.default_usage());
        let usage = usage.ok_or(Error::UsageMissing(spec))?;
        let tags = new.tags.iter().map(|(key, value)| (&**key, &**value));
        let environment = &self.environment;
        let period = RotationSchedule::DEFAULT_PERIOD;
        let managed = tier == KeyTier::Managed;
        Ok(StoredKey {
            id: match new.multi_region {
                true => KeyId::multi_region_from_random(environment.random_bytes()),
                false => KeyId::from_random(environment.random_bytes()),
            },
            tier,
            created: now,
            description: checked_description(&new.description)?,
            spec,
            usage,
            origin: new.origin,
            state: match new.origin {
                KeyOrigin::AwsKms => KeyState::Enabled,
                KeyOrigin::External => KeyState::PendingImport,
            },
            tags: checked_tags(tags)?,
            rotation: managed.then(|| RotationSchedule::starting(now, period)),
            multi_region: new.multi_region.then(|| self.primary_here()),
            ring: self.first_ring(spec, usage, new.origin)?,
            policy: None,
        })
    }

    fn primary_here(&self) -> MultiRegion {
        MultiRegion {
            kind: MultiRegionKind::Primary,
            primary: self.identity.region.clone(),
            replicas: std::collections::BTreeSet::new(),
        }
    }

    fn first_ring(
        &self,
        spec: KeySpec,
        usage: KeyUsage,
        origin: KeyOrigin,
    ) -> Result<KeyRing, Error> {
        match origin {
            KeyOrigin::AwsKms => Ok(KeyRing::generate(
                spec,
                usage,
                &self.environment,
                self.now(),
            )?),
            KeyOrigin::External if spec.allows(usage) => Ok(KeyRing::default()),
            KeyOrigin::External => {
                Err(crate::material::MaterialError::Usage { spec, usage }.into())
            }
        }
    }

    /// Writes the alias first: without its key it counts for nothing, so that key and alias come
    /// into being together, with the key's record.
    pub(super) fn add_key(
        &self,
        database: &Database,
        caller: &Caller,
        mut key: StoredKey,
        new: &NewKey,
    ) -> Result<KeyMetadata, Error> {
        self.require_room(key.tier)?;
        if let Some(policy) = &new.policy {
            key.policy = Some(self.accepted(caller, &key, policy)?);
        }
        if let Some(alias) = &new.alias {
            self.put_alias(database, alias, &key)?;
        }
        database.put_key(&key, &self.environment)?;
        let mut keys = self.keys.write();
        if let Some(alias) = &new.alias {
            keys.point(StoredAlias {
                alias: alias.clone(),
                created: key.created,
                updated: key.created,
                key: key.id,
            });
        }
        let key = keys.add(key);
        Ok(self.metadata(&keys, &key))
    }

    /// Refuses a customer key too many.
    ///
    /// # Errors
    /// [`Error::TooManyKeys`].
    pub(super) fn require_room(&self, tier: KeyTier) -> Result<(), Error> {
        let keys = self.keys.read();
        let full = || keys.customer_keys >= Self::MAX_KEYS;
        match tier == KeyTier::Customer && full() {
            true => Err(Error::TooManyKeys),
            false => Ok(()),
        }
    }

    fn put_alias(&self, database: &Database, alias: &str, key: &StoredKey) -> Result<(), Error> {
        self.require_new_alias(alias)?;
        let stored = StoredAlias {
            alias: alias.to_owned(),
            created: key.created,
            updated: key.created,
            key: key.id,
        };
        database.put_alias(&stored, &self.environment)
    }

    /// Refuses an alias that cannot be given.
    ///
    /// # Errors
    /// [`Error::InvalidAlias`], [`Error::AliasExists`], [`Error::DamagedRecord`].
    pub(super) fn require_new_alias(&self, alias: &str) -> Result<(), Error> {
        if !is_alias(alias) {
            return Err(Error::InvalidAlias(alias.to_owned()));
        }
        match self.find(&KeyRef::Alias(alias.to_owned())) {
            Err(Error::KeyNotFound(_)) => Ok(()),
            Err(error) => Err(error),
            Ok(found) => Err(Error::AliasExists {
                alias: alias.to_owned(),
                key: found.id,
            }),
        }
    }

    /// The state that a key is in now.
    pub(super) fn state_of(&self, key: &StoredKey) -> KeyState {
        key_state::state(key, self.now())
    }
}

fn checked_description(description: &str) -> Result<String, Error> {
    match description.len() > MAX_DESCRIPTION {
        true => Err(Error::DescriptionTooLong(description.len())),
        false => Ok(description.to_owned()),
    }
}

fn oldest_first(one: &KeyMetadata, other: &KeyMetadata) -> Ordering {
    (one.created, one.id).cmp(&(other.created, other.id))
}

/// AWS's limit.
const MAX_DESCRIPTION: usize = 8192;
