//! Grants: create, list, retire, revoke.

use std::sync::Arc;

use super::Kms;
use super::authorise::{Wanted, access_denied};
use crate::caller::{Caller, Outside};
use crate::database::StoredKey;
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
        let database = self.database.lock();
        let found = self.find(key)?;
        let wanted = Wanted::of_key(Action::CreateGrant, &found, key);
        self.authorise(
            caller,
            Wanted {
                grant: Some(&terms),
                ..wanted
            },
        )?;
        terms.check()?;
        self.require_known([&terms.grantee].into_iter().chain(&terms.retiring))?;
        if let Some(grant) = self.same_grant(&found, &terms)? {
            return Ok(grant);
        }
        let grant = Grant {
            id: GrantId::from_random(self.environment.random_bytes()),
            key: found.id,
            created: self.now(),
            issuer: match caller {
                Caller::Internal => None,
                Caller::Outside(outside) => Some(outside.principal.clone()),
            },
            terms,
        };
        database.put_grant(&grant, &self.environment)?;
        self.access.write().add_grant(grant.clone());
        Ok(Arc::new(grant))
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
        let found = self.find(key)?;
        self.authorise(caller, Wanted::of_key(Action::ListGrants, &found, key))?;
        let access = self.access.read();
        Ok(access.grants_on(found.id).cloned().collect())
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
        self.authorise(caller, Wanted::of_account(Action::ListRetirableGrants))?;
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
        Ok(grants)
    }

    /// Gives a grant back. The account's root may, the grant's retiring principal, and its grantee
    /// where the grant has that operation; unless a policy denies it.
    ///
    /// # Errors
    /// [`Error::GrantNotFound`]; [`Error::KeyNotFound`]; [`Error::AccessDenied`]; or what the storage
    /// says.
    pub fn retire_grant(&self, caller: &Caller, token: &GrantToken) -> Result<(), Error> {
        let database = self.database.lock();
        let named = KeyRef::Id(token.key);
        let key = self.find(&named)?;
        let grant = self.grant(token)?;
        if let Caller::Outside(outside) = caller {
            self.authorise_retiring(outside, &key, &named, &grant)?;
        }
        database.delete_grant(grant.key, &grant.id)?;
        self.access.write().remove_grant(grant.key, &grant.id);
        Ok(())
    }

    /// Takes a grant away.
    ///
    /// # Errors
    /// As of [`retire_grant`](Self::retire_grant).
    pub fn revoke_grant(&self, caller: &Caller, key: &KeyRef, id: &GrantId) -> Result<(), Error> {
        let database = self.database.lock();
        let found = self.find(key)?;
        self.authorise(caller, Wanted::of_key(Action::RevokeGrant, &found, key))?;
        let grant = self.grant(&GrantToken {
            key: found.id,
            grant: id.clone(),
        })?;
        database.delete_grant(grant.key, &grant.id)?;
        self.access.write().remove_grant(grant.key, &grant.id);
        Ok(())
    }

    fn grant(&self, token: &GrantToken) -> Result<Arc<Grant>, Error> {
        let grant = self.access.read().grant(token.key, &token.grant);
        grant.ok_or_else(|| Error::GrantNotFound(token.grant.to_string()))
    }

    fn authorise_retiring(
        &self,
        caller: &Outside,
        key: &StoredKey,
        named: &KeyRef,
        grant: &Grant,
    ) -> Result<(), Error> {
        if key.tier == KeyTier::Owned {
            return Err(Error::KeyNotFound(key.id.to_string()));
        }
        let wanted = Wanted::of_key(Action::RetireGrant, key, named);
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
