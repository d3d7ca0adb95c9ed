//! Access keys of users: made and taken back by the account's root, found by whoever checks a signature.

use super::Kms;
use super::door::Call;
use crate::access_key::{
    AccessKeyHolder, AccessKeyId, AccessKeyMetadata, GivenAccessKey, NewAccessKey, StoredAccessKey,
};
use crate::caller::Caller;
use crate::database::{Database, access_key_record};
use crate::error::Error;
use crate::principal::{Principal, PrincipalKind};

impl Kms {
    /// Gives a user an access key: `given`, or a random one.
    ///
    /// # Errors
    /// [`Error::TooManyAccessKeys`]; [`Error::AccessKeyExists`]; [`Error::InvalidAccessKey`];
    /// [`Error::InvalidIdentityChange`] for who is no user; [`Error::IdentityNotFound`];
    /// [`Error::DamagedRecord`]; [`Error::RootOnly`]; or what the storage says.
    pub fn create_access_key(
        &self,
        caller: &Caller,
        user: &Principal,
        given: Option<GivenAccessKey>,
    ) -> Result<NewAccessKey, Error> {
        let call = Call::of_root(caller, "CreateAccessKey", WHAT, Some(user));
        self.through_account_to_change(call, |database, _| {
            let key = StoredAccessKey::new(user.clone(), given, self.now(), &self.environment)?;
            self.check_new_access_key(&key)?;
            database.put_access_key(&key, &self.environment)?;
            let new = NewAccessKey {
                metadata: key.metadata(),
                secret: key.secret.clone(),
            };
            self.access.write().put_access_key(key);
            Ok(new)
        })
    }

    /// Switches an access key on or off.
    ///
    /// # Errors
    /// [`Error::AccessKeyNotFound`]; [`Error::DamagedRecord`]; [`Error::RootOnly`]; or what the storage
    /// says.
    pub fn update_access_key(
        &self,
        caller: &Caller,
        id: &AccessKeyId,
        active: bool,
    ) -> Result<(), Error> {
        let user = self.user_of_access_key(id);
        let call = Call::of_root(caller, "UpdateAccessKey", WHAT, user.as_ref());
        self.through_account_to_change(call, |database, _| {
            let mut key = self.stored_access_key(id)?;
            key.active = active;
            self.put_access_key(database, key)
        })
    }

    /// Takes an access key back for good.
    ///
    /// # Errors
    /// As of [`update_access_key`](Self::update_access_key).
    pub fn delete_access_key(&self, caller: &Caller, id: &AccessKeyId) -> Result<(), Error> {
        let user = self.user_of_access_key(id);
        let call = Call::of_root(caller, "DeleteAccessKey", WHAT, user.as_ref());
        self.through_account_to_change(call, |database, _| {
            self.stored_access_key(id)?;
            self.forget_access_key(database, id)
        })
    }

    /// The access keys of a user, or of all, by id.
    ///
    /// # Errors
    /// [`Error::IdentityNotFound`]; [`Error::RootOnly`].
    pub fn list_access_keys(
        &self,
        caller: &Caller,
        user: Option<&Principal>,
    ) -> Result<Vec<AccessKeyMetadata>, Error> {
        let call = Call::of_root(caller, "ListAccessKeys", "list access keys", user);
        self.through_account(call, |_| {
            if let Some(user) = user {
                self.check_is_known(user)?;
            }
            let access = self.access.read();
            let keys = access.access_keys();
            let listed = keys.filter(|key| user.is_none_or(|user| key.user == *user));
            Ok(listed.map(StoredAccessKey::metadata).collect())
        })
    }

    /// Whose an access key is, for whoever checks a signature: none where there is no such user or key,
    /// or it is switched off.
    pub fn holder_of_access_key(&self, id: &str) -> Option<AccessKeyHolder> {
        let access = self.access.read();
        let key = access.access_key(&id.parse().ok()?)?;
        let known = access.identity(&key.user).is_some();
        (key.active && known).then(|| AccessKeyHolder {
            user: key.user.clone(),
            secret: key.secret.clone(),
        })
    }

    /// Notes that a request came whose signature holds. It is written down at most once an hour.
    ///
    /// # Errors
    /// What the storage says.
    pub fn note_use_of_access_key(&self, id: &str) -> Result<(), Error> {
        let Ok(id) = id.parse::<AccessKeyId>() else {
            return Ok(());
        };
        let now = self.now();
        let is_news = || {
            let access = self.access.read();
            let key = access.access_key(&id);
            key.is_some_and(|key| key.is_use_news(now))
        };
        if !is_news() {
            return Ok(());
        }
        let database = self.database.lock();
        // Another may have written it meanwhile, or deleted the key.
        if !is_news() {
            return Ok(());
        }
        let mut key = self.stored_access_key(&id)?;
        key.last_used = Some(now);
        self.put_access_key(&database, key)
    }

    /// Removes all access keys of a user.
    pub(super) fn forget_access_keys_of(
        &self,
        database: &Database,
        user: &Principal,
    ) -> Result<(), Error> {
        for id in self.access_key_ids_of(user) {
            self.forget_access_key(database, &id)?;
        }
        Ok(())
    }

    fn check_new_access_key(&self, key: &StoredAccessKey) -> Result<(), Error> {
        self.check_is_known(&key.user)?;
        if key.user.kind() != PrincipalKind::User {
            return Err(Error::InvalidIdentityChange {
                identity: key.user.clone(),
                why: "only users have access keys".to_owned(),
            });
        }
        if let Some(error) = self.damage(&access_key_record(&key.id)) {
            return Err(error);
        }
        if self.access.read().access_key(&key.id).is_some() {
            return Err(Error::AccessKeyExists(key.id.clone()));
        }
        if self.access_key_ids_of(&key.user).len() >= StoredAccessKey::MAX_PER_USER {
            return Err(Error::TooManyAccessKeys(key.user.clone()));
        }
        Ok(())
    }

    fn check_is_known(&self, user: &Principal) -> Result<(), Error> {
        match self.access.read().identity(user) {
            Some(_) => Ok(()),
            None => Err(self.unknown_identity(user)),
        }
    }

    fn put_access_key(&self, database: &Database, key: StoredAccessKey) -> Result<(), Error> {
        database.put_access_key(&key, &self.environment)?;
        self.access.write().put_access_key(key);
        Ok(())
    }

    fn forget_access_key(&self, database: &Database, id: &AccessKeyId) -> Result<(), Error> {
        database.delete_access_key(id)?;
        self.access.write().remove_access_key(id);
        Ok(())
    }

    fn stored_access_key(&self, id: &AccessKeyId) -> Result<StoredAccessKey, Error> {
        let found = self.access.read().access_key(id).cloned();
        found.ok_or_else(|| {
            let damage = self.damage(&access_key_record(id));
            damage.unwrap_or_else(|| Error::AccessKeyNotFound(id.clone()))
        })
    }

    fn user_of_access_key(&self, id: &AccessKeyId) -> Option<Principal> {
        let access = self.access.read();
        access.access_key(id).map(|key| key.user.clone())
    }

    fn access_key_ids_of(&self, user: &Principal) -> Vec<AccessKeyId> {
        let access = self.access.read();
        let keys = access.access_keys().filter(|key| key.user == *user);
        keys.map(|key| key.id.clone()).collect()
    }
}

const WHAT: &str = "change access keys";
