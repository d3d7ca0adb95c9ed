//! Rotation: by itself and on demand.

use std::time::SystemTime;

use serde::Serialize;

use super::Kms;
use super::door::Call;
use crate::caller::Caller;
use crate::database::{Database, StoredKey};
use crate::error::Error;
use crate::key::{
    BackingKeyKind, BackingKeyMetadata, KeyMetadata, KeyOrigin, KeyRef, KeyState, RotationSchedule,
};
use crate::key_ring::KeyRing;
use crate::policy::Action;

/// Whether and when a key is rotated by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RotationStatus {
    /// Whether it is, which it is not while it waits for its deletion.
    pub enabled: bool,
    /// Its schedule, also while it is suspended.
    pub schedule: Option<RotationSchedule>,
}

/// One rotation that took place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rotation {
    /// When.
    pub date: SystemTime,
    /// By itself or on demand.
    pub kind: BackingKeyKind,
    /// The number of the backing key that it made.
    pub number: u32,
    /// The id of that material, 64 hexadecimal digits.
    pub material_id: String,
}

impl Kms {
    /// How often a key can be rotated on demand (AWS's limit).
    pub const MAX_ON_DEMAND_ROTATIONS: usize = 25;

    /// Has a key rotated every so many days (365 where nothing is said), counted from now.
    ///
    /// # Errors
    /// [`Error::RotationPeriod`]; [`Error::Spec`], [`Error::Origin`] for keys that are not rotated by
    /// themselves; for the key's state; [`Error::MultiRegion`] for a replica; [`Error::ManagedKey`];
    /// [`Error::KeyNotFound`]; [`Error::AccessDenied`]; or what the storage says.
    pub fn enable_key_rotation(
        &self,
        caller: &Caller,
        key: &KeyRef,
        period_days: Option<u32>,
    ) -> Result<(), Error> {
        let change = self.change(caller, Action::EnableKeyRotation, key, |key| {
            self.refuse_replica(key)?;
            let period = period_days.unwrap_or(RotationSchedule::DEFAULT_PERIOD);
            if !RotationSchedule::PERIODS.contains(&period) {
                return Err(Error::RotationPeriod(period));
            }
            // Asked again without a change, the dates stay.
            if key.rotation.is_none_or(|now| now.period_days != period) {
                key.rotation = Some(RotationSchedule::starting(self.now(), period));
            }
            Ok(())
        });
        change.map(drop)
    }

    /// Has a key no longer rotated by itself.
    ///
    /// # Errors
    /// As of [`enable_key_rotation`](Self::enable_key_rotation).
    pub fn disable_key_rotation(&self, caller: &Caller, key: &KeyRef) -> Result<(), Error> {
        let change = self.change(caller, Action::DisableKeyRotation, key, |key| {
            self.refuse_replica(key)?;
            key.rotation = None;
            Ok(())
        });
        change.map(drop)
    }

    /// Whether and when a key is rotated by itself.
    ///
    /// # Errors
    /// [`Error::Spec`]; [`Error::KeyNotFound`]; [`Error::AccessDenied`].
    pub fn get_key_rotation_status(
        &self,
        caller: &Caller,
        key: &KeyRef,
    ) -> Result<RotationStatus, Error> {
        let call = Call::on_key(caller, Action::GetKeyRotationStatus, key);
        self.through(call, |key| {
            let waits = matches!(key.state, KeyState::PendingDeletion { .. });
            Ok(RotationStatus {
                enabled: key.rotation.is_some() && !waits,
                schedule: key.rotation,
            })
        })
    }

    /// The rotations of a key, oldest first.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`]; [`Error::AccessDenied`].
    pub fn list_key_rotations(
        &self,
        caller: &Caller,
        key: &KeyRef,
    ) -> Result<Vec<Rotation>, Error> {
        let call = Call::on_key(caller, Action::ListKeyRotations, key);
        self.through(call, |key| {
            let rotations = key.ring.metadata().into_iter();
            let rotations = rotations.filter(|key| key.kind != BackingKeyKind::Initial);
            Ok(rotations.map(Rotation::from).collect())
        })
    }

    /// Adds a backing key: it encrypts from now on, and all older ones still decrypt. Of an imported key
    /// it is the one that waits for that. It does not move the dates of the automatic rotations.
    ///
    /// # Errors
    /// [`Error::TooManyRotations`], [`Error::NothingToRotate`]; else as of
    /// [`enable_key_rotation`](Self::enable_key_rotation).
    pub fn rotate_key(&self, caller: &Caller, key: &KeyRef) -> Result<KeyMetadata, Error> {
        self.change(caller, Action::RotateKeyOnDemand, key, |key| {
            self.refuse_replica(key)?;
            let arn = || self.identity.key_arn(key.id);
            // The product's own hand is not counted.
            if *caller != Caller::Internal
                && key.ring.on_demand_count() >= Self::MAX_ON_DEMAND_ROTATIONS
            {
                return Err(Error::TooManyRotations(arn()));
            }
            key.ring = match key.origin {
                KeyOrigin::AwsKms => self.rotated(&key.ring, BackingKeyKind::OnDemand)?,
                KeyOrigin::External => {
                    let promoted = key.ring.promoted(self.now());
                    promoted.ok_or_else(|| Error::NothingToRotate(arn()))?
                }
            };
            Ok(())
        })
    }

    /// Does a rotation that is due, and sets the date of the next.
    ///
    /// # Errors
    /// What the storage says.
    pub(super) fn rotate_by_schedule(
        &self,
        database: &Database,
        key: &StoredKey,
        schedule: RotationSchedule,
    ) -> Result<(), Error> {
        let mut rotated = key.clone();
        rotated.rotation = Some(schedule.aligned(self.now()));
        rotated.ring = self.rotated(&key.ring, BackingKeyKind::Automatic)?;
        self.put(database, rotated).map(drop)
    }

    fn rotated(&self, ring: &KeyRing, kind: BackingKeyKind) -> Result<KeyRing, Error> {
        Ok(ring.rotated(&self.environment, kind, self.now())?)
    }
}

impl From<BackingKeyMetadata> for Rotation {
    fn from(key: BackingKeyMetadata) -> Self {
        Self {
            date: key.created,
            kind: key.kind,
            number: key.number,
            material_id: key.material_id,
        }
    }
}
