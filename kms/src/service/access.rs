//! Identities, their access keys, and grants as they are found.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::access_key::{AccessKeyId, StoredAccessKey};
use crate::grant::{Grant, GrantId};
use crate::identity::StoredIdentity;
use crate::key::KeyId;
use crate::principal::Principal;

#[derive(Default)]
pub(super) struct Access {
    identities: BTreeMap<Principal, StoredIdentity>,
    uids: HashMap<u32, Principal>,
    access_keys: BTreeMap<AccessKeyId, StoredAccessKey>,
    grants: HashMap<KeyId, KeyGrants>,
}

#[derive(Default)]
struct KeyGrants {
    by_id: BTreeMap<GrantId, Arc<Grant>>,
    by_grantee: HashMap<Principal, Vec<Arc<Grant>>>,
}

impl Access {
    pub(super) fn new(
        identities: Vec<StoredIdentity>,
        access_keys: Vec<StoredAccessKey>,
        grants: Vec<Grant>,
    ) -> Self {
        let mut access = Self::default();
        for key in access_keys {
            access.put_access_key(key);
        }
        for identity in identities {
            access.put_identity(identity);
        }
        for grant in grants {
            access.add_grant(grant);
        }
        access
    }

    pub(super) fn identity(&self, principal: &Principal) -> Option<&StoredIdentity> {
        self.identities.get(principal)
    }

    pub(super) fn identities(&self) -> impl Iterator<Item = &StoredIdentity> {
        self.identities.values()
    }

    pub(super) fn put_identity(&mut self, identity: StoredIdentity) {
        self.remove_identity(&identity.principal);
        for uid in &identity.uids {
            self.uids.insert(*uid, identity.principal.clone());
        }
        self.identities.insert(identity.principal.clone(), identity);
    }

    pub(super) fn remove_identity(&mut self, principal: &Principal) {
        self.uids.retain(|_, mapped| mapped != principal);
        self.identities.remove(principal);
    }

    pub(super) fn of_uid(&self, uid: u32) -> Option<&Principal> {
        self.uids.get(&uid)
    }

    pub(super) fn access_key(&self, id: &AccessKeyId) -> Option<&StoredAccessKey> {
        self.access_keys.get(id)
    }

    pub(super) fn access_keys(&self) -> impl Iterator<Item = &StoredAccessKey> {
        self.access_keys.values()
    }

    pub(super) fn put_access_key(&mut self, key: StoredAccessKey) {
        self.access_keys.insert(key.id.clone(), key);
    }

    pub(super) fn remove_access_key(&mut self, id: &AccessKeyId) {
        self.access_keys.remove(id);
    }

    pub(super) fn add_grant(&mut self, grant: Grant) {
        let grant = Arc::new(grant);
        let grants = self.grants.entry(grant.key).or_default();
        let of_grantee = grants.by_grantee.entry(grant.terms.grantee.clone());
        of_grantee.or_default().push(grant.clone());
        grants.by_id.insert(grant.id.clone(), grant);
    }

    pub(super) fn remove_grant(&mut self, key: KeyId, id: &GrantId) {
        let Some(grants) = self.grants.get_mut(&key) else {
            return;
        };
        grants.by_id.remove(id);
        grants.by_grantee.retain(|_, grants| {
            grants.retain(|grant| grant.id != *id);
            !grants.is_empty()
        });
    }

    pub(super) fn remove_key(&mut self, key: KeyId) {
        self.grants.remove(&key);
    }

    pub(super) fn grant(&self, key: KeyId, id: &GrantId) -> Option<Arc<Grant>> {
        self.grants.get(&key)?.by_id.get(id).cloned()
    }

    pub(super) fn grants_on(&self, key: KeyId) -> impl ExactSizeIterator<Item = &Arc<Grant>> {
        static NONE: BTreeMap<GrantId, Arc<Grant>> = BTreeMap::new();
        self.grants
            .get(&key)
            .map_or(&NONE, |grants| &grants.by_id)
            .values()
    }

    pub(super) fn grants_of(&self, key: KeyId, grantee: &Principal) -> &[Arc<Grant>] {
        let grants = self.grants.get(&key);
        let grants = grants.and_then(|grants| grants.by_grantee.get(grantee));
        grants.map_or(&[], Vec::as_slice)
    }

    pub(super) fn all_grants(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.grants
            .values()
            .flat_map(|grants| grants.by_id.values())
    }
}
