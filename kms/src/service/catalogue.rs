//! Keys and aliases as they are found.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Kms;
use crate::database::{Damaged, StoredAlias, StoredKey, alias_record, key_record};
use crate::error::Error;
use crate::key::{KeyId, KeyMetadata, KeyRef, KeyTier};

/// The keys as they are found by id and alias.
#[derive(Default)]
pub(super) struct Catalogue {
    pub(super) by_id: HashMap<KeyId, Arc<StoredKey>>,
    /// Also those whose key is not there: a creation was cut short, or the key is damaged.
    pub(super) aliases: HashMap<String, StoredAlias>,
    pub(super) aliases_of: HashMap<KeyId, BTreeSet<String>>,
    /// How many of the keys are the customers'.
    pub(super) customer_keys: usize,
}

impl Catalogue {
    pub(super) fn new(stored: Vec<StoredKey>, aliases: Vec<StoredAlias>) -> Self {
        let mut keys = Self::default();
        for key in stored {
            keys.add(key);
        }
        for alias in aliases {
            keys.point(alias);
        }
        keys
    }

    /// Adds a key, or puts it in the place of what it was.
    pub(super) fn add(&mut self, key: StoredKey) -> Arc<StoredKey> {
        let key = Arc::new(key);
        let before = self.by_id.insert(key.id, Arc::clone(&key));
        let is_new = before.is_none() && key.tier == KeyTier::Customer;
        self.customer_keys += usize::from(is_new);
        key
    }

    pub(super) fn remove(&mut self, key: KeyId) {
        let removed = self.by_id.remove(&key);
        let counted = removed.is_some_and(|key| key.tier == KeyTier::Customer);
        self.customer_keys -= usize::from(counted);
        for alias in self.aliases_of.remove(&key).into_iter().flatten() {
            self.aliases.remove(&alias);
        }
    }

    /// Lets an alias point to a key, whatever it pointed to.
    pub(super) fn point(&mut self, alias: StoredAlias) {
        self.remove_alias(&alias.alias);
        let of_key = self.aliases_of.entry(alias.key).or_default();
        of_key.insert(alias.alias.clone());
        self.aliases.insert(alias.alias.clone(), alias);
    }

    pub(super) fn remove_alias(&mut self, alias: &str) {
        let removed = self.aliases.remove(alias);
        let of_key = removed.and_then(|alias| self.aliases_of.get_mut(&alias.key));
        if let Some(aliases) = of_key {
            aliases.remove(alias);
        }
    }
}

impl Kms {
    pub(super) fn find(&self, key: &KeyRef) -> Result<Arc<StoredKey>, Error> {
        let not_found = || Error::KeyNotFound(key.to_string());
        if !key.is_local(&self.identity) {
            return Err(not_found());
        }
        let keys = self.keys.read();
        let id = match key {
            KeyRef::Id(id) | KeyRef::Arn { id, .. } => *id,
            KeyRef::Alias(alias) | KeyRef::AliasArn { alias, .. } => {
                let id = keys.aliases.get(alias).map(|alias| alias.key);
                id.ok_or_else(|| self.damage(&alias_record(alias)).unwrap_or_else(not_found))?
            }
        };
        let found = keys.by_id.get(&id).cloned();
        found.ok_or_else(|| self.damage(&key_record(id)).unwrap_or_else(not_found))
    }

    pub(super) fn damage(&self, record: &str) -> Option<Error> {
        let damaged = self.damaged.iter().find(|damaged| damaged.record == record);
        damaged.map(Damaged::error)
    }

    pub(super) fn metadata(&self, keys: &Catalogue, key: &StoredKey) -> KeyMetadata {
        let aliases = keys.aliases_of.get(&key.id);
        KeyMetadata {
            id: key.id,
            arn: self.identity.key_arn(key.id),
            tier: key.tier,
            description: key.description.clone(),
            spec: key.spec,
            usage: key.usage,
            origin: key.origin,
            state: self.state_of(key),
            rotation: key.rotation,
            multi_region: key.multi_region.clone(),
            valid_to: key.ring.next_expiry(),
            aliases: aliases.into_iter().flatten().cloned().collect(),
            created: key.created,
            backing_keys: key.ring.metadata(),
        }
    }
}
