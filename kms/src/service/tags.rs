//! Tags of keys.

use super::Kms;
use super::door::Call;
use crate::caller::Caller;
use crate::error::Error;
use crate::key::{KeyRef, Tags, check_tag_count, checked_tags};
use crate::policy::Action;

impl Kms {
    /// Gives a key tags, in place of those that have the same keys.
    ///
    /// # Errors
    /// [`Error::InvalidTag`]; [`Error::PendingDeletion`]; [`Error::ManagedKey`];
    /// [`Error::KeyNotFound`]; [`Error::AccessDenied`]; or what the storage says.
    pub fn tag_resource<'a>(
        &self,
        caller: &Caller,
        key: &KeyRef,
        tags: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Error> {
        let change = self.change(caller, Action::TagResource, key, |key| {
            key.tags.append(&mut checked_tags(tags)?);
            check_tag_count(&key.tags)
        });
        change.map(drop)
    }

    /// Takes a key's tags away; those that it does not have do not count.
    ///
    /// # Errors
    /// As of [`tag_resource`](Self::tag_resource).
    pub fn untag_resource(
        &self,
        caller: &Caller,
        key: &KeyRef,
        tag_keys: &[String],
    ) -> Result<(), Error> {
        let change = self.change(caller, Action::UntagResource, key, |key| {
            key.tags.retain(|name, _| !tag_keys.contains(name));
            Ok(())
        });
        change.map(drop)
    }

    /// A key's tags.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`]; [`Error::AccessDenied`].
    pub fn list_resource_tags(&self, caller: &Caller, key: &KeyRef) -> Result<Tags, Error> {
        let call = Call::on_key(caller, Action::ListResourceTags, key);
        self.through(call, |key| Ok(key.tags.clone()))
    }
}
