//! Deletion of keys: after a waiting time, for ever.

use std::time::SystemTime;

use super::Kms;
use crate::caller::Caller;
use crate::database::{Database, StoredKey};
use crate::error::Error;
use crate::key::{KeyMetadata, KeyRef, KeyState, days};
use crate::policy::Action;

impl Kms {
    /// The waiting time where none is said, in days.
    pub const DEFAULT_PENDING_WINDOW: u32 = 30;

    /// Has a key deleted in 7 to 30 days. From now on it is of no use, and then it is gone for ever,
    /// with all that is encrypted under it; until then that can be
    /// [taken back](Self::cancel_key_deletion).
    ///
    /// # Errors
    /// [`Error::PendingWindow`]; [`Error::PendingDeletion`], [`Error::MultiRegion`] for a primary that
    /// has replicas; [`Error::ManagedKey`]; [`Error::KeyNotFound`]; [`Error::AccessDenied`]; or what the
    /// storage says.
    pub fn schedule_key_deletion(
        &self,
        caller: &Caller,
        key: &KeyRef,
        window_days: Option<u32>,
    ) -> Result<KeyMetadata, Error> {
        self.change(caller, Action::ScheduleKeyDeletion, key, |key| {
            let window = window_days.unwrap_or(Self::DEFAULT_PENDING_WINDOW);
            if !(7..=30).contains(&window) {
                return Err(Error::PendingWindow(window));
            }
            self.refuse_with_replicas(key)?;
            let date = self.now() + days(window);
            key.state = KeyState::PendingDeletion { date };
            Ok(())
        })
    }

    /// Takes a deletion back. The key is then disabled.
    ///
    /// # Errors
    /// [`Error::NotPendingDeletion`]; [`Error::KeyNotFound`] also where its time is over;
    /// [`Error::ManagedKey`]; [`Error::AccessDenied`]; or what the storage says.
    pub fn cancel_key_deletion(&self, caller: &Caller, key: &KeyRef) -> Result<KeyMetadata, Error> {
        self.change(caller, Action::CancelKeyDeletion, key, |key| {
            if is_due(key, self.now()) {
                return Err(Error::KeyNotFound(key.id.to_string()));
            }
            key.state = KeyState::Disabled;
            Ok(())
        })
    }

    /// Deletes a key whose time is over: its grants, its aliases, and then itself. Cut short, it goes on
    /// where it was: until the last step the key is still one whose time is over.
    ///
    /// # Errors
    /// What the storage says.
    pub(super) fn delete_key(&self, database: &Database, key: &StoredKey) -> Result<(), Error> {
        let grants: Vec<_> = self.access.read().grants_on(key.id).cloned().collect();
        for grant in grants {
            database.delete_grant(key.id, &grant.id)?;
            self.access.write().remove_grant(key.id, &grant.id);
        }
        let aliases = self.keys.read().aliases_of.get(&key.id).cloned();
        for alias in aliases.into_iter().flatten() {
            database.delete_alias(&alias)?;
            self.keys.write().remove_alias(&alias);
        }
        database.delete_key(key.id)?;
        self.access.write().remove_key(key.id);
        self.keys.write().remove(key.id);
        Ok(())
    }
}

/// Whether it is to be deleted now.
pub(super) fn is_due(key: &StoredKey, now: SystemTime) -> bool {
    matches!(key.state, KeyState::PendingDeletion { date } if date <= now)
}
