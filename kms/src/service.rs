//! The one door to the keys: every caller, local or remote, goes through [`Kms`].
//!
//! Each operation goes the same way (`door.rs`): find the key, authorise the caller, look at the key's
//! state, act, write it down.

mod access;
mod access_keys;
mod aliases;
mod audit;
mod authorise;
mod catalogue;
mod data_keys;
mod deletion;
mod direct;
mod door;
mod grants;
mod identities;
mod import;
mod instances;
mod key_state;
mod keys;
mod pairs;
mod policies;
mod rekey;
mod replica;
mod rotation;
mod tags;
mod tick;

pub use aliases::Alias;
pub use data_keys::{DataKeyPairBlob, MAX_RANDOM};
pub use direct::Source as ReEncryptSource;
pub use import::{ImportParameters, KeyImport};
pub use keys::NewKey;
pub use policies::{NewPolicy, Question};
pub use rotation::{Rotation, RotationStatus};
pub use tick::Ticked;

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};

use crate::audit::AuditLog;
pub use crate::caller::Caller;
use crate::database::{self, Damaged, Database};
use crate::environment::Environment;
use crate::error::Error;
use crate::event::{Auditor, RequestIds, Unaudited};
use crate::key::{Identity, KeyId, KeyRef, KeyTier};
use crate::policy::PolicyDocument;
use crate::quota::{Quotas, RequestQuotas};
use crate::root_key::{DatabaseId, RootKey};
use crate::storage::Storage;
use access::Access;
use catalogue::Catalogue;

/// A key management service over one key database.
///
/// Operations on keys take no lock while they encrypt or decrypt, and any number runs at once;
/// changes are written to storage one after the other.
pub struct Kms {
    identity: Identity,
    environment: Environment,
    /// Taken before `access` where both are.
    keys: RwLock<Catalogue>,
    access: RwLock<Access>,
    default_policy: PolicyDocument,
    managed_policy: PolicyDocument,
    /// The only writer; held over a change from its check to its publication.
    database: Arc<Mutex<Database>>,
    damaged: Vec<Damaged>,
    auditor: Arc<dyn Auditor>,
    /// The auditor, where it is the log of the state directory.
    audit_log: Option<Arc<AuditLog>>,
    quotas: Quotas,
    request_ids: RequestIds,
}

impl Kms {
    /// The managed key under which the certificate store's data keys are wrapped.
    pub const CERTSTORE_ALIAS: &'static str = "alias/sealgate/certstore";
    /// The longest plaintext for direct encryption, in bytes.
    pub const MAX_PLAINTEXT: usize = 4096;

    /// Makes a key database in `storage`, with the managed key [`CERTSTORE_ALIAS`](Self::CERTSTORE_ALIAS).
    ///
    /// # Errors
    /// [`Error::Conflict`] where there is a database already; or what the storage says.
    pub fn create(
        storage: Arc<dyn Storage>,
        root: &RootKey,
        identity: Identity,
        environment: Environment,
    ) -> Result<Self, Error> {
        let id = environment.random_bytes();
        Self::create_as(storage, (id, root), identity, environment)
    }

    /// [`create`](Self::create) with an id of the database that the caller has drawn.
    pub(crate) fn create_as(
        storage: Arc<dyn Storage>,
        (id, root): (DatabaseId, &RootKey),
        identity: Identity,
        environment: Environment,
    ) -> Result<Self, Error> {
        let database = Database::create(storage, (id, root), &identity, &environment)?;
        Self::on(database, identity, environment)?.with_managed_key()
    }

    /// Opens the key database in `storage`.
    ///
    /// A damaged record does not take the other keys down: [`damaged`](Self::damaged) names it, and
    /// its key or alias is refused.
    ///
    /// # Errors
    /// [`Error::WrongRootKey`]; [`Error::DamagedRecord`] where the database's header is damaged or
    /// missing; or what the storage says.
    pub fn open(
        storage: Arc<dyn Storage>,
        root: &RootKey,
        identity: Identity,
        environment: Environment,
    ) -> Result<Self, Error> {
        let database = Database::open(storage, root, &identity)?;
        Self::on(database, identity, environment)
    }

    /// Goes on where a [`create`](Self::create) was cut short.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub(crate) fn finish(
        storage: Arc<dyn Storage>,
        root: &RootKey,
        identity: Identity,
        environment: Environment,
    ) -> Result<Self, Error> {
        Self::open(storage, root, identity, environment)?.with_managed_key()
    }

    /// This KMS with somebody who writes down what is asked of it from now on.
    #[must_use]
    pub fn with_auditor(self, auditor: Arc<dyn Auditor>) -> Self {
        Self { auditor, ..self }
    }

    /// This KMS with quotas for all who call it from outside.
    #[must_use]
    pub fn with_request_quotas(self, quotas: RequestQuotas) -> Self {
        let quotas = Quotas::new(Some(quotas));
        Self { quotas, ..self }
    }

    /// Which key `key` names.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`]; [`Error::DamagedRecord`].
    pub fn resolve(&self, key: &KeyRef) -> Result<KeyId, Error> {
        self.find(key).map(|key| key.id)
    }

    /// The records that did not open with the database.
    pub fn damaged(&self) -> &[Damaged] {
        &self.damaged
    }

    /// Whose keys these are.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Kms {
    fn on(database: Database, identity: Identity, environment: Environment) -> Result<Self, Error> {
        let contents = database.load()?;
        let root = identity.root();
        let request_ids = RequestIds::new(&environment);
        Ok(Self {
            identity,
            environment,
            keys: RwLock::new(Catalogue::new(contents.keys, contents.aliases)),
            access: RwLock::new(Access::new(
                contents.identities,
                contents.access_keys,
                contents.grants,
            )),
            default_policy: PolicyDocument::default_of(&root),
            managed_policy: PolicyDocument::managed_by(&root),
            database: Arc::new(Mutex::new(database)),
            damaged: contents.damaged,
            auditor: Arc::new(Unaudited),
            audit_log: None,
            quotas: Quotas::new(None),
            request_ids,
        })
    }

    fn with_managed_key(self) -> Result<Self, Error> {
        let alias: KeyRef = Self::CERTSTORE_ALIAS.parse()?;
        match self.resolve(&alias) {
            Ok(_) => {}
            Err(Error::KeyNotFound(_)) => {
                let new = NewKey {
                    description: "Wraps the data keys of the certificate store".to_owned(),
                    alias: Some(alias.to_string()),
                    ..NewKey::default()
                };
                let key = self.made(KeyTier::Managed, &new)?;
                self.add_key(&self.database.lock(), &Caller::Internal, key, &new)?;
            }
            Err(error) => return Err(error),
        }
        Ok(self)
    }

    fn now(&self) -> SystemTime {
        database::in_milliseconds(self.environment.clock.now())
    }
}

#[cfg(test)]
mod access_key_tests;
#[cfg(test)]
mod access_tests;
#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod door_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod replica_tests;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod tests;
