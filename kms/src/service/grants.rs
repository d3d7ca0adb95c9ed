//! Grants: create, list, retire, revoke.

use std::sync::Arc;

use super::Kms;
use super::authorise::{Wanted, access_denied};
use super::door::Call;
use crate::caller::Caller;
use crate::database::{Database, StoredKey};
use crate::error::Error;
use crate::grant::{Grant, GrantId, GrantToken, NewGrant};
use crate::key::{KeyRef, KeyTier};
use crate::policy::{Action, Decision, Reason, denied};
use crate::principal::Principal;

impl Kms {
    /// Creates a grant, which holds at once. The same terms under the same name again give the
    /// grant that is there.
    ///
    /// # Errors
    /// [`Error::InvalidGrant`], [`Error::IdentityNotFound`] for whom it names,
    /// [`Error::TooManyGrants`]; [`Error::KeyNotFound`]; [`Error::AccessDenied`]; or what the
    /// storage says.
    pub fn create_grant(
        &self,
        caller: &Caller,
        key: &KeyRef,
        terms: NewGrant,
    ) -> Result<Arc<Grant>, Error> {
        let call = Call::on_key(caller, Action::CreateGrant, key).with_grant(&terms);
        self.through_to_change(call, |database, key| {
            terms.check()?;
            self.require_known([&terms.grantee].into_iter().chain(&terms.retiring))?;
            if let Some(grant) = self.same_grant(key, &terms)? {
                return Ok(grant);
            }
            let grant = self.new_grant(caller, key, &terms);
            database.put_grant(&grant, &self.environment)?;
            self.access.write().add_grant(grant.clone());
            Ok(Arc::new(grant))
        })
    }

    fn new_grant(&self, caller: &Caller, key: &StoredKey, terms: &NewGrant) -> Grant {
        Grant {
            id: GrantId::from_random(self.environment.random_bytes()),
            key: key.id,
            created: self.now(),
            issuer: match caller {
                Caller::Internal => None,
                Caller::Outside(outside) => Some(outside.principal.clone()),
            },
            terms: terms.clone(),
        }
    }

    /// The grant of that name and these terms, or none, where there is room for one.
    fn same_grant(&self, key: &StoredKey, terms: &NewGrant) -> Result<Option<Arc<Grant>>, Error> {
        let access = self.access.read();
        let mut grants = access.grants_on(key.id);
        let count = grants.len();
        let same = grants.find(|grant| terms.name.is_some() && grant.terms == *terms);
        match same {
            None if count >= Grant::MAX_PER_KEY => Err(Error::TooManyGrants(key.id)),
            same => Ok(same.cloned()),
        }
    }

    /// The grants on a key, by id.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`]; [`Error::AccessDenied`].
    pub fn list_grants(&self, caller: &Caller, key: &KeyRef) -> Result<Vec<Arc<Grant>>, Error> {
        let call = Call::on_key(caller, Action::ListGrants, key);
        self.through(call, |key| {
            let access = self.access.read();
            Ok(access.grants_on(key.id).cloned().collect())
        })
    }

    /// The grants that `retiring` may retire, by id.
    ///
    /// # Errors
    /// [`Error::AccessDenied`].
    pub fn list_retirable_grants(
        &self,
        caller: &Caller,
        retiring: &Principal,
    ) -> Result<Vec<Arc<Grant>>, Error> {
        let call = Call::on_account(caller, Action::ListRetirableGrants);
        self.through_account(call, |_| Ok(self.retirable_by(caller, retiring)))
    }

    fn retirable_by(&self, caller: &Caller, retiring: &Principal) -> Vec<Arc<Grant>> {
        let access = self.access.read();
        let retirable = |grant: &&Arc<Grant>| grant.terms.retiring.as_ref() == Some(retiring);
        let mut grants: Vec<_> = access.all_grants().filter(retirable).cloned().collect();
        drop(access);
        let visible = |grant: &Arc<Grant>| {
            let key = self.find(&KeyRef::Id(grant.key));
            *caller == Caller::Internal || key.is_ok_and(|key| key.tier != KeyTier::Owned)
        };
        grants.retain(visible);
        grants.sort_by(|one, other| one.id.cmp(&other.id));
        grants
    }

    /// Gives a grant back. The account's root may, the grant's retiring principal, and its grantee
    /// where the grant has that operation; unless a policy denies it.
    ///
    /// # Errors
    /// [`Error::GrantNotFound`]; [`Error::KeyNotFound`]; [`Error::AccessDenied`]; or what the storage
    /// says.
    pub fn retire_grant(&self, caller: &Caller, token: &GrantToken) -> Result<(), Error> {
        let key = KeyRef::Id(token.key);
        self.through_to_change(Call::retire(caller, token, &key), |database, _| {
            self.remove_grant(database, token)
        })
    }

    /// Takes a grant away.
    ///
    /// # Errors
    /// As of [`retire_grant`](Self::retire_grant).
    pub fn revoke_grant(&self, caller: &Caller, key: &KeyRef, id: &GrantId) -> Result<(), Error> {
        let call = Call::on_key(caller, Action::RevokeGrant, key);
        self.through_to_change(call, |database, key| {
            let (key, grant) = (key.id, id.clone());
            self.remove_grant(database, &GrantToken { key, grant })
        })
    }

    fn remove_grant(&self, database: &Database, token: &GrantToken) -> Result<(), Error> {
        let grant = self.grant(token)?;
        database.delete_grant(grant.key, &grant.id)?;
        self.access.write().remove_grant(grant.key, &grant.id);
        Ok(())
    }

    fn grant(&self, token: &GrantToken) -> Result<Arc<Grant>, Error> {
        let grant = self.access.read().grant(token.key, &token.grant);
        grant.ok_or_else(|| Error::GrantNotFound(token.grant.to_string()))
    }

    /// Refuses to let `caller` retire a grant that is neither its own nor its to retire.
    ///
    /// # Errors
    /// As of [`retire_grant`](Self::retire_grant).
    pub(super) fn authorise_retiring(
        &self,
        caller: &Caller,
        wanted: Wanted<'_>,
        key: &StoredKey,
        token: &GrantToken,
    ) -> Result<(), Error> {
        let Caller::Outside(caller) = caller else {
            return Ok(());
        };
        if key.tier == KeyTier::Owned {
            return Err(Error::KeyNotFound(key.id.to_string()));
        }
        let grant = self.grant(token)?;
        let (principal, terms) = (&caller.principal, &grant.terms);
        let entitled = *principal == self.identity.root()
            || terms.retiring.as_ref() == Some(principal)
            || terms.grantee == *principal && terms.operations.contains(&Action::RetireGrant);
        self.judge(caller, wanted, None, |policies, request| {
            match denied(policies, request) {
                Some(denial) => Err(access_denied(request, Decision::Denied(denial).into())),
                None if entitled => Ok(()),
                None => Err(access_denied(request, Reason::NamedByGrantOnly)),
            }
        })?
    }
}
