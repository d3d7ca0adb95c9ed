//! Bucket keys that are open: each is unwrapped once, however many entries ask for it, and held for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use kms::DataKey;
use kms::storage::Version;
use parking_lot::{Mutex, MutexGuard};

use super::record::BucketId;

/// The bucket keys that are open, each in a place of its own: who opens one keeps nobody else waiting.
#[derive(Default)]
pub(super) struct Held(Mutex<HashMap<BucketId, Arc<Place>>>);

/// The place of one bucket key; locked while it is being opened.
#[derive(Default)]
pub(super) struct Place(Mutex<Option<Opened>>);

/// A bucket key that is open.
pub(super) struct Opened {
    pub(super) key: Arc<DataKey>,
    /// The content of the record that it came from.
    pub(super) content: Version,
    pub(super) since: SystemTime,
    /// From when on it is no longer held.
    pub(super) until: SystemTime,
}

impl Opened {
    /// A clock that was set back lets nothing be held for longer.
    pub(super) fn may_be_held(&self, now: SystemTime) -> bool {
        self.since <= now && now < self.until
    }
}

impl Place {
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Opened>> {
        self.0.lock()
    }
}

impl Held {
    pub(super) fn place(&self, id: BucketId) -> Arc<Place> {
        self.0.lock().entry(id).or_default().clone()
    }

    /// Lets go of the key `id` unless it came from a record with this content.
    pub(super) fn keep_only(&self, id: BucketId, content: Option<Version>) {
        self.place(id)
            .lock()
            .take_if(|opened| Some(opened.content) != content);
    }

    /// Lets go of those whose time is over.
    pub(super) fn end(&self, now: SystemTime) {
        self.0.lock().retain(|_, place| {
            // One that is being opened now is used now.
            let Some(mut place) = place.0.try_lock() else {
                return true;
            };
            place.take_if(|opened| !opened.may_be_held(now));
            place.is_some()
        });
    }

    /// Lets go of all.
    pub(super) fn forget(&self) {
        self.0.lock().clear();
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        let places = self.0.lock();
        places
            .values()
            .filter(|place| place.0.lock().is_some())
            .count()
    }
}
