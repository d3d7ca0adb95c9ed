//! Keys and aliases as they are found.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Kms;
use crate::database::{Damaged, StoredAlias, StoredKey, alias_record, key_record};
use crate::error::Error;
use crate::key::{KeyId, KeyMetadata, KeyRef};

/// The keys as they are found by id and alias.
#[derive(Default)]
pub(super) struct Catalogue {
    pub(super) by_id: HashMap<KeyId, Arc<StoredKey>>,
    /// Also those whose key is not there: a creation was cut short, or the key is damaged.
    pub(super) aliases: HashMap<String, KeyId>,
    pub(super) aliases_of: HashMap<KeyId, BTreeSet<String>>,
}

impl Catalogue {
    pub(super) fn new(stored: Vec<StoredKey>, aliases: Vec<StoredAlias>) -> Self {
        let mut keys = Self::default();
        for key in stored {
            keys.add(key);
        }
        for alias in aliases {
            keys.point(alias.alias, alias.key);
        }
        keys
    }

    pub(super) fn add(&mut self, key: StoredKey) {
        self.by_id.insert(key.id, Arc::new(key));
    }

    pub(super) fn point(&mut self, alias: String, key: KeyId) {
        self.aliases_of
            .entry(key)
            .or_default()
            .insert(alias.clone());
        self.aliases.insert(alias, key);
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
                let id = keys.aliases.get(alias).copied();
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
            aliases: aliases.into_iter().flatten().cloned().collect(),
            created: key.created,
            backing_keys: key.ring.metadata(),
        }
    }
}
