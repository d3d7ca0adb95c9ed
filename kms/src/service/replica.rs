//! Multi-region keys: what a replica leaves to its primary.

use super::Kms;
use crate::database::StoredKey;
use crate::error::Error;
use crate::key::MultiRegionKind;

impl Kms {
    /// Refuses what only a primary does.
    ///
    /// # Errors
    /// [`Error::MultiRegion`].
    pub(super) fn refuse_replica(&self, key: &StoredKey) -> Result<(), Error> {
        let kind = key.multi_region.as_ref().map(|region| region.kind);
        match kind == Some(MultiRegionKind::Replica) {
            true => Err(self.multi_region_error(key, REPLICA)),
            false => Ok(()),
        }
    }

    /// Refuses to part with a primary while it has replicas.
    ///
    /// # Errors
    /// [`Error::MultiRegion`].
    pub(super) fn refuse_with_replicas(&self, key: &StoredKey) -> Result<(), Error> {
        let replicated = |region: &&crate::key::MultiRegion| {
            region.kind == MultiRegionKind::Primary && !region.replicas.is_empty()
        };
        match key.multi_region.as_ref().filter(replicated) {
            Some(_) => Err(self.multi_region_error(key, REPLICATED)),
            None => Ok(()),
        }
    }

    fn multi_region_error(&self, key: &StoredKey, why: &'static str) -> Error {
        let arn = self.identity.key_arn(key.id);
        Error::MultiRegion { arn, why }
    }
}

const REPLICA: &str = "it is a replica: its primary in another region decides that";
const REPLICATED: &str = "it has replicas in other regions: delete those first";
