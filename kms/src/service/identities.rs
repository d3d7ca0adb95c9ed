//! Users and roles: their policies, and the local user ids that act as them. The account's root
//! keeps them.

use super::Kms;
use super::door::Call;
use crate::caller::Caller;
use crate::database::identity_record;
use crate::error::Error;
use crate::grant::Grant;
use crate::identity::{IdentityMetadata, StoredIdentity};
use crate::key::KeyTier;
use crate::principal::Principal;

impl Kms {
    /// Creates a user or a role, without rights.
    ///
    /// # Errors
    /// [`Error::IdentityExists`]; [`Error::InvalidIdentityChange`] for a root;
    /// [`Error::DamagedRecord`]; [`Error::RootOnly`]; or what the storage says.
    pub fn create_identity(
        &self,
        caller: &Caller,
        principal: Principal,
    ) -> Result<IdentityMetadata, Error> {
        let call = Call::of_root(caller, "CreateIdentity", WHAT, Some(&principal));
        self.through_account_to_change(call, |database, _| {
            if self.access.read().identity(&principal).is_some() {
                return Err(Error::IdentityExists(principal.clone()));
            }
            if let Some(error) = self.damage(&identity_record(&principal)) {
                return Err(error);
            }
            let identity = StoredIdentity::new(principal.clone(), self.now())?;
            database.put_identity(&identity, &self.environment)?;
            let metadata = identity.metadata();
            self.access.write().put_identity(identity);
            Ok(metadata)
        })
    }

    /// Removes a user or a role that no key policy and no grant names, and its access keys with it.
    ///
    /// # Errors
    /// [`Error::IdentityInUse`]; [`Error::IdentityNotFound`]; [`Error::RootOnly`]; or what the
    /// storage says.
    pub fn delete_identity(&self, caller: &Caller, principal: &Principal) -> Result<(), Error> {
        let call = Call::of_root(caller, "DeleteIdentity", WHAT, Some(principal));
        self.through_account_to_change(call, |database, _| {
            self.stored_identity(principal)?;
            if let Some(by) = self.who_names(principal) {
                let identity = principal.clone();
                return Err(Error::IdentityInUse { identity, by });
            }
            // First: what stayed of them would be the next one's of that name.
            self.forget_access_keys_of(database, principal)?;
            database.delete_identity(principal)?;
            self.access.write().remove_identity(principal);
            Ok(())
        })
    }

    /// All users and roles, by ARN.
    ///
    /// # Errors
    /// [`Error::RootOnly`].
    pub fn list_identities(&self, caller: &Caller) -> Result<Vec<IdentityMetadata>, Error> {
        let call = Call::of_root(caller, "ListIdentities", "list identities", None);
        self.through_account(call, |_| {
            let access = self.access.read();
            Ok(access.identities().map(StoredIdentity::metadata).collect())
        })
    }

    /// Gives an identity a policy, or another one under that name.
    ///
    /// # Errors
    /// [`Error::MalformedPolicy`]; [`Error::InvalidIdentityChange`] for the name, or for an eleventh
    /// policy; [`Error::IdentityNotFound`]; [`Error::RootOnly`]; or what the storage says.
    pub fn put_identity_policy(
        &self,
        caller: &Caller,
        principal: &Principal,
        name: &str,
        text: &str,
    ) -> Result<(), Error> {
        let change = |identity: StoredIdentity| identity.with_policy(name, text);
        self.change_identity(caller, "PutIdentityPolicy", principal, change)
    }

    /// Takes a policy from an identity.
    ///
    /// # Errors
    /// [`Error::InvalidIdentityChange`] where it has none of that name; else as of
    /// [`put_identity_policy`](Self::put_identity_policy).
    pub fn delete_identity_policy(
        &self,
        caller: &Caller,
        principal: &Principal,
        name: &str,
    ) -> Result<(), Error> {
        let change = |identity: StoredIdentity| identity.without_policy(name);
        self.change_identity(caller, "DeleteIdentityPolicy", principal, change)
    }

    /// The text of an identity's policy, as it was put.
    ///
    /// # Errors
    /// [`Error::InvalidIdentityChange`] where it has none of that name;
    /// [`Error::IdentityNotFound`]; [`Error::RootOnly`].
    pub fn get_identity_policy(
        &self,
        caller: &Caller,
        principal: &Principal,
        name: &str,
    ) -> Result<String, Error> {
        let what = "read an identity's policy";
        let call = Call::of_root(caller, "GetIdentityPolicy", what, Some(principal));
        self.through_account(call, |_| {
            let identity = self.stored_identity(principal)?;
            identity.policy(name).map(str::to_owned)
        })
    }

    /// Lets local processes of that user id act as an identity.
    ///
    /// # Errors
    /// [`Error::InvalidIdentityChange`] where the user id acts as another already, or is root's; else as of
    /// [`put_identity_policy`](Self::put_identity_policy).
    pub fn map_uid(&self, caller: &Caller, uid: u32, principal: &Principal) -> Result<(), Error> {
        let change = |mut identity: StoredIdentity| {
            match self.principal_of_uid(uid) {
                _ if uid == SUPERUSER => {
                    let why = "user id 0 is root, who acts as the account's root in any case";
                    return Err(identity.refused(why.to_owned()));
                }
                Some(other) if other != *principal => {
                    return Err(identity.refused(format!("user id {uid} acts as {other} already")));
                }
                _ => {}
            }
            identity.uids.insert(uid);
            Ok(identity)
        };
        self.change_identity(caller, "MapUserId", principal, change)
    }

    /// Takes a user id from an identity.
    ///
    /// # Errors
    /// [`Error::InvalidIdentityChange`] where it does not act as it; else as of
    /// [`put_identity_policy`](Self::put_identity_policy).
    pub fn unmap_uid(&self, caller: &Caller, uid: u32, principal: &Principal) -> Result<(), Error> {
        let change = |mut identity: StoredIdentity| match identity.uids.remove(&uid) {
            true => Ok(identity),
            false => Err(identity.refused(format!("user id {uid} does not act as it"))),
        };
        self.change_identity(caller, "UnmapUserId", principal, change)
    }

    /// As whom local processes of that user id act; nobody, where nothing was said of it.
    pub fn principal_of_uid(&self, uid: u32) -> Option<Principal> {
        self.access.read().of_uid(uid).cloned()
    }

    fn change_identity(
        &self,
        caller: &Caller,
        operation: &'static str,
        principal: &Principal,
        change: impl FnOnce(StoredIdentity) -> Result<StoredIdentity, Error>,
    ) -> Result<(), Error> {
        let call = Call::of_root(caller, operation, WHAT, Some(principal));
        self.through_account_to_change(call, |database, _| {
            let changed = change(self.stored_identity(principal)?)?;
            database.put_identity(&changed, &self.environment)?;
            self.access.write().put_identity(changed);
            Ok(())
        })
    }

    fn stored_identity(&self, principal: &Principal) -> Result<StoredIdentity, Error> {
        let found = self.access.read().identity(principal).cloned();
        found.ok_or_else(|| self.unknown_identity(principal))
    }

    pub(super) fn unknown_identity(&self, principal: &Principal) -> Error {
        let damage = self.damage(&identity_record(principal));
        damage.unwrap_or_else(|| Error::IdentityNotFound(principal.clone()))
    }

    /// The key policy or grant that names a principal.
    fn who_names(&self, principal: &Principal) -> Option<String> {
        let keys = self.keys.read();
        let mut keys = keys
            .by_id
            .values()
            .filter(|key| key.tier == KeyTier::Customer);
        let names = |policy: &crate::policy::PolicyDocument| {
            policy.principals().any(|named| named == principal)
        };
        let key = keys.find(|key| key.policy.as_deref().is_some_and(names));
        if let Some(key) = key {
            return Some(format!("the policy of KMS key {}", key.id));
        }
        let access = self.access.read();
        let names = |grant: &Grant| {
            grant.terms.grantee == *principal || grant.terms.retiring.as_ref() == Some(principal)
        };
        let grant = access.all_grants().find(|grant| names(grant));
        grant.map(|grant| format!("the grant {} on KMS key {}", grant.id, grant.key))
    }
}

const WHAT: &str = "change identities";
/// It can read the root key.
const SUPERUSER: u32 = 0;
