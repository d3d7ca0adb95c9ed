//! Multi-region keys: one id and one material in several regions, each with a KMS of its own.
//!
//! Regions do not speak with each other: a key goes from one to another in an export, sealed under a
//! transport key that both have (a file of a root key's form, for instance), and somebody carries it.
//! - [`replicate_key`](Kms::replicate_key) of the primary makes the export of a replica;
//!   [`receive_key`](Kms::receive_key) in the other region makes that replica of it. After a rotation
//!   the same again brings the replica the new material: until then it opens nothing that was encrypted
//!   under that.
//! - [`update_primary_region`](Kms::update_primary_region) makes a replica of the primary, and the export
//!   of a primary, which the other region receives. So there is never more than one primary.
//!
//! Policies, aliases, tags, grants and states are each region's own. Whoever keeps an old export of a
//! primary can make a second one of it: exports are to be deleted when they have been received.

use super::door::Call;
use super::{Kms, NewPolicy};
use crate::caller::Caller;
use crate::database::{Database, StoredKey, open_export, seal_export};
use crate::error::Error;
use crate::key::{
    Identity, KeyMetadata, KeyRef, KeyState, KeyTier, MultiRegion, MultiRegionKind, Tags,
};
use crate::policy::Action;
use crate::secret::SecretKey;

impl Kms {
    /// The export of a multi-region key for a replica in `region`, also of one that is there already.
    ///
    /// # Errors
    /// [`Error::MultiRegion`] for keys of one region, replicas, and this region; for the key's state;
    /// [`Error::InvalidIdentity`]; [`Error::KeyNotFound`]; [`Error::AccessDenied`]; or what the storage
    /// says.
    pub fn replicate_key(
        &self,
        caller: &Caller,
        key: &KeyRef,
        region: &str,
        transport: &SecretKey,
    ) -> Result<Vec<u8>, Error> {
        let call = Call::on_key(caller, Action::ReplicateKey, key);
        self.through_to_change(call, |database, key| {
            let to = Identity::new(&self.identity.account, region)?;
            let mut primary = self.primary(key)?;
            if region == self.identity.region {
                return Err(self.multi_region_error(key, HERE));
            }
            primary.replicas.insert(region.to_owned());
            let replica = MultiRegion {
                kind: MultiRegionKind::Replica,
                ..primary.clone()
            };
            self.put_multi_region(database, key, primary)?;
            self.exported(key, replica, transport, &to)
        })
    }

    /// Makes a replica of the primary, and the export of the primary for `region`, where a replica is.
    ///
    /// # Errors
    /// [`Error::MultiRegion`] where no replica is; else as of [`replicate_key`](Self::replicate_key).
    pub fn update_primary_region(
        &self,
        caller: &Caller,
        key: &KeyRef,
        region: &str,
        transport: &SecretKey,
    ) -> Result<Vec<u8>, Error> {
        let call = Call::on_key(caller, Action::UpdatePrimaryRegion, key);
        self.through_to_change(call, |database, key| {
            let to = Identity::new(&self.identity.account, region)?;
            let mut regions = self.primary(key)?;
            if !regions.replicas.remove(region) {
                return Err(self.multi_region_error(key, NO_REPLICA));
            }
            regions.replicas.insert(self.identity.region.clone());
            let of_kind = |kind| MultiRegion {
                kind,
                primary: region.to_owned(),
                replicas: regions.replicas.clone(),
            };
            // Made before it is needed: what follows leaves no primary here.
            let primary = of_kind(MultiRegionKind::Primary);
            let export = self.exported(key, primary, transport, &to)?;
            self.put_multi_region(database, key, of_kind(MultiRegionKind::Replica))?;
            Ok(export)
        })
    }

    /// Tells a primary that its replica in `region` is no more. The primary itself can be deleted only
    /// when it has none.
    ///
    /// # Errors
    /// As of [`update_primary_region`](Self::update_primary_region).
    pub fn forget_replica(
        &self,
        caller: &Caller,
        key: &KeyRef,
        region: &str,
    ) -> Result<KeyMetadata, Error> {
        let call = Call::on_key(caller, Action::UpdatePrimaryRegion, key);
        self.through_to_change(call, |database, key| {
            let mut primary = self.primary(key)?;
            if !primary.replicas.remove(region) {
                return Err(self.multi_region_error(key, NO_REPLICA));
            }
            self.put_multi_region(database, key, primary)
        })
    }

    /// Takes in what another region exported: a new key, or newer material or another role for one that
    /// is here. That takes `kms:CreateKey`.
    ///
    /// # Errors
    /// [`Error::InvalidReplica`] for what does not open with that transport key, is not for this account
    /// and region, or is older than what is here; for its policy as of
    /// [`put_key_policy`](Self::put_key_policy); [`Error::TooManyKeys`]; [`Error::AccessDenied`]; or what
    /// the storage says.
    pub fn receive_key(
        &self,
        caller: &Caller,
        export: &[u8],
        transport: &SecretKey,
        policy: Option<&NewPolicy>,
    ) -> Result<KeyMetadata, Error> {
        let call = Call::on_account(caller, Action::CreateKey);
        self.through_account_to_change(call, |database, event| {
            let received = open_export(export, transport, &self.identity);
            let mut received = received.map_err(Error::InvalidReplica)?;
            event.key = Some(received.id);
            let here = self.find(&KeyRef::Id(received.id));
            let key = match here {
                Ok(here) => merged(&here, received)?,
                Err(Error::KeyNotFound(_)) => {
                    self.require_room(KeyTier::Customer)?;
                    received.created = self.now();
                    received
                }
                Err(error) => return Err(error),
            };
            let policy = policy.map(|policy| self.accepted(caller, &key, policy));
            let policy = policy.transpose()?.or_else(|| key.policy.clone());
            self.put(database, StoredKey { policy, ..key })
        })
    }
}

impl Kms {
    /// Refuses what only a primary does.
    ///
    /// # Errors
    /// [`Error::MultiRegion`].
    pub(super) fn refuse_replica(&self, key: &StoredKey) -> Result<(), Error> {
        match is_replica(key) {
            true => Err(self.multi_region_error(key, REPLICA)),
            false => Ok(()),
        }
    }

    /// Refuses to part with a primary while it has replicas.
    ///
    /// # Errors
    /// [`Error::MultiRegion`].
    pub(super) fn refuse_with_replicas(&self, key: &StoredKey) -> Result<(), Error> {
        let replicated = |region: &MultiRegion| !region.replicas.is_empty();
        match !is_replica(key) && key.multi_region.as_ref().is_some_and(replicated) {
            true => Err(self.multi_region_error(key, REPLICATED)),
            false => Ok(()),
        }
    }

    fn primary(&self, key: &StoredKey) -> Result<MultiRegion, Error> {
        self.refuse_replica(key)?;
        let regions = key.multi_region.clone();
        regions.ok_or_else(|| self.multi_region_error(key, ONE_REGION))
    }

    fn put_multi_region(
        &self,
        database: &Database,
        key: &StoredKey,
        regions: MultiRegion,
    ) -> Result<KeyMetadata, Error> {
        let mut changed = key.clone();
        changed.multi_region = Some(regions);
        self.put(database, changed)
    }

    /// A key as another region is to have it: what is each region's own stays here.
    fn exported(
        &self,
        key: &StoredKey,
        regions: MultiRegion,
        transport: &SecretKey,
        to: &Identity,
    ) -> Result<Vec<u8>, Error> {
        let state = match key.state {
            KeyState::PendingImport => KeyState::PendingImport,
            _ => KeyState::Enabled,
        };
        let exported = StoredKey {
            state,
            tags: Tags::new(),
            multi_region: Some(regions),
            policy: None,
            ..key.clone()
        };
        seal_export(&exported, transport, to, &self.environment)
    }

    fn multi_region_error(&self, key: &StoredKey, why: &'static str) -> Error {
        let arn = self.identity.key_arn(key.id);
        Error::MultiRegion { arn, why }
    }
}

/// Whether a key is rotated and exported elsewhere.
pub(super) fn is_replica(key: &StoredKey) -> bool {
    let kind = key.multi_region.as_ref().map(|region| region.kind);
    kind == Some(MultiRegionKind::Replica)
}

/// What is here, with the material, the schedule and the role of what came.
fn merged(here: &StoredKey, received: StoredKey) -> Result<StoredKey, Error> {
    let was_primary = !is_replica(here);
    if was_primary && here.multi_region.is_some() {
        return Err(Error::InvalidReplica("its primary is here"));
    }
    let same = |key: &crate::key_ring::BackingKey| key.material_id;
    let before: Vec<_> = here.ring.iter().map(same).collect();
    let after: Vec<_> = received.ring.iter().map(same).collect();
    if !after.starts_with(&before) {
        return Err(Error::InvalidReplica("it is older than what is here"));
    }
    Ok(StoredKey {
        ring: received.ring,
        rotation: received.rotation,
        multi_region: received.multi_region,
        ..here.clone()
    })
}

const REPLICA: &str = "it is a replica: its primary in another region decides that";
const REPLICATED: &str =
    "it has replicas in other regions: delete those first, and have it forget them";
const ONE_REGION: &str = "it is a key of this region only: only a multi-region key has replicas";
const NO_REPLICA: &str = "it has no replica in that region";
const HERE: &str = "it is in that region";
