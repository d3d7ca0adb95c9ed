//! What happens by itself: rotations, deletions, the end of imported material.

use std::sync::Arc;
use std::time::SystemTime;

use super::Kms;
use super::deletion;
use super::replica::is_replica;
use crate::caller::Caller;
use crate::database::{Database, StoredKey};
use crate::error::Error;
use crate::event::Event;
use crate::key::{KeyId, KeyState, RotationSchedule};

/// What a [`tick`](Kms::tick) did.
#[derive(Debug, Default)]
pub struct Ticked {
    /// The keys that were rotated.
    pub rotated: Vec<KeyId>,
    /// The keys that were deleted.
    pub deleted: Vec<KeyId>,
    /// The keys whose imported material was deleted, for it had expired.
    pub expired: Vec<KeyId>,
    /// What was due and could not be done; the next tick tries again.
    pub failed: Vec<(KeyId, Error)>,
    /// When the next thing is due, as far as is known now.
    pub next: Option<SystemTime>,
}

/// What is due for a key.
enum Due {
    Deletion,
    Expiry,
    Rotation(RotationSchedule),
    /// The clock was set back: the schedule's next date is further away than its period.
    Realignment(RotationSchedule),
}

impl Kms {
    /// Does all that is due by the clock: whoever runs a KMS calls this after opening it, and then when
    /// [`next`](Ticked::next) has come, or every minute, since clocks are set.
    ///
    /// Nothing depends on its punctuality but the dates: a key whose deletion is due is of no use
    /// already, nor is expired material.
    pub fn tick(&self) -> Ticked {
        let now = self.now();
        let keys: Vec<_> = self.keys.read().by_id.values().cloned().collect();
        let mut ticked = Ticked::default();
        for key in keys.iter().filter(|key| due(key, now).is_some()) {
            if let Err(error) = self.do_due(key.id, &mut ticked) {
                ticked.failed.push((key.id, error));
            }
        }
        ticked.next = self.next_due();
        ticked
    }

    /// When the next thing is due that happens by itself.
    pub fn next_due(&self) -> Option<SystemTime> {
        let keys = self.keys.read();
        keys.by_id.values().filter_map(|key| next_date(key)).min()
    }

    fn do_due(&self, key: KeyId, ticked: &mut Ticked) -> Result<(), Error> {
        let database = self.database.lock();
        // Another may have changed it meanwhile.
        let Some(key) = self.keys.read().by_id.get(&key).cloned() else {
            return Ok(());
        };
        match due(&key, self.now()) {
            None => Ok(()),
            Some(Due::Deletion) => {
                self.by_itself("DeleteKey", &key, || self.delete_key(&database, &key))?;
                ticked.deleted.push(key.id);
                Ok(())
            }
            Some(Due::Expiry) => {
                let expire = || self.expire(&database, &key);
                self.by_itself("DeleteExpiredKeyMaterial", &key, expire)?;
                ticked.expired.push(key.id);
                Ok(())
            }
            Some(Due::Rotation(schedule)) => {
                let rotate = || self.rotate_by_schedule(&database, &key, schedule);
                self.by_itself("RotateKey", &key, rotate)?;
                ticked.rotated.push(key.id);
                Ok(())
            }
            Some(Due::Realignment(schedule)) => self.realign(&database, &key, schedule),
        }
    }

    fn by_itself(
        &self,
        operation: &'static str,
        key: &Arc<StoredKey>,
        act: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        if key.tier == crate::key::KeyTier::Owned {
            return act();
        }
        let mut event = Event {
            request_id: self.request_ids.next(),
            time: self.environment.clock.now(),
            caller: &Caller::Internal,
            operation,
            identity: &self.identity,
            key: Some(key.id),
            named: None,
            context: None,
        };
        self.audited(&mut event, Ok(()), |_, ()| act())
    }

    fn expire(&self, database: &Database, key: &StoredKey) -> Result<(), Error> {
        let mut expired = key.clone();
        expired.ring = key.ring.without_expired(self.now());
        self.put(database, expired).map(drop)
    }

    fn realign(
        &self,
        database: &Database,
        key: &StoredKey,
        schedule: RotationSchedule,
    ) -> Result<(), Error> {
        let mut aligned = key.clone();
        aligned.rotation = Some(schedule.aligned(self.now()));
        self.put(database, aligned).map(drop)
    }
}

fn due(key: &StoredKey, now: SystemTime) -> Option<Due> {
    if deletion::is_due(key, now) {
        return Some(Due::Deletion);
    }
    if key.ring.has_expired(now) {
        return Some(Due::Expiry);
    }
    let schedule = running_schedule(key)?;
    match schedule.is_due(now) {
        true => Some(Due::Rotation(schedule)),
        false if schedule.aligned(now) != schedule => Some(Due::Realignment(schedule)),
        false => None,
    }
}

fn next_date(key: &StoredKey) -> Option<SystemTime> {
    let deletion = match key.state {
        KeyState::PendingDeletion { date } => Some(date),
        _ => None,
    };
    let rotation = running_schedule(key).map(|schedule| schedule.next);
    [deletion, rotation, key.ring.next_expiry()]
        .into_iter()
        .flatten()
        .min()
}

/// A key's schedule while it is not suspended: by being disabled, or to be deleted. A replica has its
/// primary's, which is kept there.
fn running_schedule(key: &StoredKey) -> Option<RotationSchedule> {
    let runs = key.state == KeyState::Enabled && !is_replica(key);
    key.rotation.filter(|_| runs)
}
