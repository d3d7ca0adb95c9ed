//! Aliases: names for keys that can be moved from one key to another.

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde::Serialize;

use super::Kms;
use super::authorise::{On, Wanted};
use super::door::Call;
use crate::caller::Caller;
use crate::database::{StoredAlias, StoredKey, alias_record};
use crate::error::Error;
use crate::key::{KeyId, KeyRef, is_alias};
use crate::policy::Action;

/// An alias, and the key that it points to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alias {
    /// `alias/NAME`.
    pub name: String,
    /// With account and region.
    pub arn: String,
    /// The key.
    pub key: KeyId,
    /// When it was created.
    pub created: SystemTime,
    /// When it was last pointed to another key.
    pub updated: SystemTime,
}

impl Kms {
    /// The most aliases of one key (AWS's limit).
    pub const MAX_ALIASES: usize = 50;

    /// Gives a key an alias. That takes `kms:CreateAlias` on both.
    ///
    /// # Errors
    /// [`Error::InvalidAlias`], [`Error::ReservedAlias`], [`Error::AliasExists`],
    /// [`Error::TooManyAliases`]; [`Error::PendingDeletion`]; [`Error::ManagedKey`];
    /// [`Error::KeyNotFound`]; [`Error::AccessDenied`]; or what the storage says.
    pub fn create_alias(&self, caller: &Caller, alias: &str, key: &KeyRef) -> Result<(), Error> {
        let call = Call::on_key(caller, Action::CreateAlias, key);
        self.through_to_change(call, |database, key| {
            let wanted = Wanted::on(Action::CreateAlias, On::Alias(alias));
            self.authorise(caller, wanted)?;
            self.require_new_alias(alias)?;
            self.require_room_for_alias(key)?;
            let now = self.now();
            let stored = StoredAlias {
                alias: alias.to_owned(),
                created: now,
                updated: now,
                key: key.id,
            };
            database.put_alias(&stored, &self.environment)?;
            self.keys.write().point(stored);
            Ok(())
        })
    }

    /// Points an alias to another key of the same kind. That takes `kms:UpdateAlias` on the alias and on
    /// both keys.
    ///
    /// # Errors
    /// [`Error::AliasNotFound`], [`Error::AliasOfOtherKind`]; as of [`create_alias`](Self::create_alias).
    pub fn update_alias(&self, caller: &Caller, alias: &str, key: &KeyRef) -> Result<(), Error> {
        let call = Call::on_key(caller, Action::UpdateAlias, key);
        self.through_to_change(call, |database, key| {
            let action = Action::UpdateAlias;
            self.authorise(caller, Wanted::on(action, On::Alias(alias)))?;
            let before = self.alias(alias)?;
            if let Ok(old) = self.find(&KeyRef::Id(before.key)) {
                self.authorise(caller, Wanted::on(action, On::Key(&old, None)))?;
                require_same_kind(alias, &old, key)?;
            }
            if before.key != key.id {
                self.require_room_for_alias(key)?;
            }
            let stored = StoredAlias {
                updated: self.now(),
                key: key.id,
                ..before
            };
            database.put_alias(&stored, &self.environment)?;
            self.keys.write().point(stored);
            Ok(())
        })
    }

    /// Takes an alias away. That takes `kms:DeleteAlias` on the alias and its key.
    ///
    /// # Errors
    /// [`Error::AliasNotFound`], [`Error::ReservedAlias`]; [`Error::ManagedKey`];
    /// [`Error::AccessDenied`]; or what the storage says.
    pub fn delete_alias(&self, caller: &Caller, alias: &str) -> Result<(), Error> {
        let call = Call::on_alias(caller, Action::DeleteAlias, alias);
        self.through_account_to_change(call, |database, event| {
            let stored = self.alias(alias)?;
            if let Ok(key) = self.find(&KeyRef::Id(stored.key)) {
                let wanted = Wanted::on(Action::DeleteAlias, On::Key(&key, None));
                self.authorise(caller, wanted)?;
            }
            event.key = Some(stored.key);
            database.delete_alias(alias)?;
            self.keys.write().remove_alias(alias);
            Ok(())
        })
    }

    /// The aliases of a key, or all, of keys that `caller` may see; by name. That takes
    /// `kms:ListAliases`.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`]; [`Error::AccessDenied`].
    pub fn list_aliases(&self, caller: &Caller, key: Option<&KeyRef>) -> Result<Vec<Alias>, Error> {
        let call = Call::on_account(caller, Action::ListAliases);
        self.through_account(call, |event| {
            let of = key.map(|key| self.find(key)).transpose()?;
            event.key = of.as_ref().map(|key| key.id);
            let aliases = self.keys.read().aliases.clone();
            let mut listed: Vec<_> = aliases.into_values().collect();
            listed.retain(|alias| of.as_ref().is_none_or(|key| key.id == alias.key));
            listed.retain(|alias| self.may_see(caller, alias.key));
            listed.sort_by(|one, other| one.alias.cmp(&other.alias));
            Ok(listed.into_iter().map(|alias| self.shown(alias)).collect())
        })
    }

    fn may_see(&self, caller: &Caller, key: KeyId) -> bool {
        let visible = |key: &StoredKey| {
            let internal = *caller == Caller::Internal;
            internal || key.tier != crate::key::KeyTier::Owned
        };
        self.find(&KeyRef::Id(key)).is_ok_and(|key| visible(&key))
    }

    fn shown(&self, alias: StoredAlias) -> Alias {
        Alias {
            arn: self.identity.alias_arn(&alias.alias),
            name: alias.alias,
            key: alias.key,
            created: alias.created,
            updated: alias.updated,
        }
    }

    fn alias(&self, alias: &str) -> Result<StoredAlias, Error> {
        if !is_alias(alias) {
            return Err(Error::InvalidAlias(alias.to_owned()));
        }
        let found = self.keys.read().aliases.get(alias).cloned();
        found.ok_or_else(|| {
            let damage = self.damage(&alias_record(alias));
            damage.unwrap_or_else(|| Error::AliasNotFound(self.identity.alias_arn(alias)))
        })
    }

    fn require_room_for_alias(&self, key: &StoredKey) -> Result<(), Error> {
        let keys = self.keys.read();
        let count = keys.aliases_of.get(&key.id).map_or(0, BTreeSet::len);
        match count >= Self::MAX_ALIASES {
            true => Err(Error::TooManyAliases(self.identity.key_arn(key.id))),
            false => Ok(()),
        }
    }
}

/// What was encrypted under the alias must not meet a key that cannot do it.
fn require_same_kind(alias: &str, old: &StoredKey, new: &StoredKey) -> Result<(), Error> {
    match (old.spec, old.usage) == (new.spec, new.usage) {
        true => Ok(()),
        false => Err(Error::AliasOfOtherKind {
            alias: alias.to_owned(),
            spec: old.spec,
            usage: old.usage,
        }),
    }
}
