//! Running instances of services: balancers elsewhere that use the product's own contexts here.
//!
//! A service identity alone opens nothing under such a context. Each running instance of it makes itself a
//! grant on the key, named by its instance id; while that is live, calls that carry the id may use the
//! contexts that the grant's constraint has. The grant holds for [`Kms::INSTANCE_LEASE`]: an instance
//! renews it by half of that, and retires it when it stops. What a killed one leaves is of no use once its
//! time is over, and reaped.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::Kms;
use super::authorise::Wanted;
use crate::caller::{Caller, Outside};
use crate::context::EncryptionContext;
use crate::database::StoredKey;
use crate::error::Error;
use crate::grant::{Grant, GrantConstraints, NewGrant};
use crate::key::KeyRef;
use crate::policy::{Action, denied};
use crate::principal::{Principal, PrincipalKind};

impl Kms {
    /// How long the grant of an instance holds.
    pub const INSTANCE_LEASE: Duration = Duration::from_secs(60 * 60);

    /// Lets the instance of a service that `caller` is use `key` under contexts that have these pairs, for
    /// [`INSTANCE_LEASE`](Self::INSTANCE_LEASE) at least half. The service needs the right to create that
    /// grant.
    ///
    /// # Errors
    /// [`Error::NoInstance`] for who is no instance of a service; as of
    /// [`create_grant`](Self::create_grant).
    pub fn start_instance(
        &self,
        caller: &Caller,
        key: &KeyRef,
        context: EncryptionContext,
    ) -> Result<Arc<Grant>, Error> {
        let (service, instance) = instance_of(caller)?;
        let terms = NewGrant {
            grantee: service.clone(),
            retiring: Some(service.clone()),
            operations: OPERATIONS.into(),
            constraints: GrantConstraints {
                encryption_context_equals: None,
                encryption_context_subset: Some(context),
            },
            name: Some(self.lease_name(instance)),
        };
        self.create_grant(caller, key, terms)
    }

    /// Gives back all that the instance of a service that `caller` is has on `key`.
    ///
    /// # Errors
    /// [`Error::NoInstance`]; as of [`retire_grant`](Self::retire_grant).
    pub fn stop_instance(&self, caller: &Caller, key: &KeyRef) -> Result<(), Error> {
        let (service, instance) = instance_of(caller)?;
        let key = self.find(key)?;
        let grants = self.access.read().grants_of(key.id, service).to_vec();
        let own = grants.iter().filter(|grant| is_of(grant, instance));
        own.map(|grant| grant.token())
            .try_for_each(|token| self.retire_grant(caller, &token))
    }

    /// Takes away what instances have left behind whose time is over, and says how much it was.
    ///
    /// # Errors
    /// As of [`revoke_grant`](Self::revoke_grant).
    pub fn reap_instances(&self) -> Result<usize, Error> {
        let now = self.now();
        let access = self.access.read();
        let stale = access
            .all_grants()
            .filter(|grant| is_lease(grant) && !is_live(grant, now));
        let stale: Vec<_> = stale.cloned().collect();
        drop(access);
        for grant in &stale {
            self.revoke_grant(&Caller::Internal, &KeyRef::Id(grant.key), &grant.id)?;
        }
        Ok(stale.len())
    }

    /// Whether `caller` is a running instance that may use the product's context so: no policy denies it,
    /// and the instance's own live grant allows it.
    ///
    /// # Errors
    /// [`Error::IdentityNotFound`].
    pub(super) fn is_instance_that_may(
        &self,
        caller: &Outside,
        wanted: Wanted<'_>,
        key: &StoredKey,
    ) -> Result<bool, Error> {
        let service = &caller.principal;
        let Some(instance) = caller.options.instance.filter(|_| is_service(service)) else {
            return Ok(false);
        };
        let now = self.now();
        let grants = self.access.read().grants_of(key.id, service).to_vec();
        let granted = grants.iter().any(|grant| {
            is_of(grant, instance)
                && is_live(grant, now)
                && grant.permits(wanted.action, wanted.context, None)
        });
        self.judge(caller, wanted, None, |policies, request| {
            granted && denied(policies, request).is_none()
        })
    }

    /// Another name every half of a lease, so that a renewal is another grant, and the same call twice is one.
    fn lease_name(&self, instance: Uuid) -> String {
        let since = self.now().duration_since(SystemTime::UNIX_EPOCH);
        let half = Self::INSTANCE_LEASE.as_secs() / 2;
        let number = since.unwrap_or_default().as_secs() / half;
        format!("{PREFIX}{instance}/{number}")
    }
}

fn instance_of(caller: &Caller) -> Result<(&Principal, Uuid), Error> {
    match caller {
        Caller::Outside(Outside {
            principal, options, ..
        }) if is_service(principal) => {
            let instance = options.instance.ok_or(Error::NoInstance)?;
            Ok((principal, instance))
        }
        Caller::Outside(_) | Caller::Internal => Err(Error::NoInstance),
    }
}

fn is_service(principal: &Principal) -> bool {
    principal.kind() == PrincipalKind::Service
}

/// Made by a service for an instance of its own: nobody else's grants count as one, whatever their name.
fn is_lease(grant: &Grant) -> bool {
    let named = grant.terms.name.as_deref();
    named.is_some_and(|name| name.starts_with(PREFIX))
        && is_service(&grant.terms.grantee)
        && grant.issuer.as_ref() == Some(&grant.terms.grantee)
}

fn is_of(grant: &Grant, instance: Uuid) -> bool {
    let own = format!("{PREFIX}{instance}/");
    let named = grant.terms.name.as_deref();
    is_lease(grant) && named.is_some_and(|name| name.starts_with(&own))
}

fn is_live(grant: &Grant, now: SystemTime) -> bool {
    now < grant.created + Kms::INSTANCE_LEASE
}

const OPERATIONS: [Action; 6] = [
    Action::Decrypt,
    Action::DescribeKey,
    Action::Encrypt,
    Action::GenerateDataKey,
    Action::ReEncryptFrom,
    Action::ReEncryptTo,
];

const PREFIX: &str = "sealgate-instance/";

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::environment::{Clock, Environment};
    use crate::key::KeyId;
    use crate::service::{NewKey, NewPolicy};
    use crate::storage::MemoryStorage;
    use crate::test_util::{identity, root_key};

    /// A clock that is set by hand, in seconds.
    struct Hands(AtomicU64);

    impl Clock for Hands {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::Relaxed))
        }
    }

    /// A KMS with the service `edge`, which may make itself grants on a key, and its clock.
    fn with_service() -> (Kms, KeyRef, Arc<Hands>) {
        let clock = Arc::new(Hands(AtomicU64::new(1_700_000_000)));
        let environment = Environment {
            clock: clock.clone(),
            ..Environment::system()
        };
        let storage = Arc::new(MemoryStorage::new());
        let kms = Kms::create(storage, &root_key(1), identity(), environment).unwrap();
        let root = Caller::local(identity().root(), 0);
        kms.create_identity(&root, service()).unwrap();
        let text = format!(
            r#"{{"Statement":[
                {{"Effect":"Allow","Principal":{{"AWS":"{}"}},"Action":"kms:*","Resource":"*"}},
                {{"Effect":"Allow","Principal":{{"AWS":"{}"}},"Action":["kms:CreateGrant","kms:Decrypt"],"Resource":"*"}}
            ]}}"#,
            identity().root(),
            service()
        );
        let policy = NewPolicy {
            text,
            bypass_lockout_check: false,
        };
        let new = NewKey {
            policy: Some(policy),
            ..NewKey::default()
        };
        let key: KeyId = kms.create_key(&root, new).unwrap().id;
        (kms, KeyRef::Id(key), clock)
    }

    fn service() -> Principal {
        "arn:aws:iam::000000000000:service/edge".parse().unwrap()
    }

    fn instance(id: u128) -> Caller {
        let mut caller = Caller::local(service(), 0);
        if let Caller::Outside(outside) = &mut caller {
            outside.options.instance = Some(Uuid::from_u128(id));
        }
        caller
    }

    fn store() -> EncryptionContext {
        EncryptionContext::new().with("sealgate:store", "1")
    }

    fn uses(kms: &Kms, caller: &Caller, key: &KeyRef, context: &EncryptionContext) -> bool {
        kms.generate_data_key(caller, key, context).is_ok()
    }

    #[test]
    fn an_instance_uses_the_contexts_of_its_grant_while_it_runs() {
        let (kms, key, _) = with_service();
        let entry = store().with("sealgate:entry", "a");
        assert!(!uses(&kms, &instance(1), &key, &entry));
        kms.start_instance(&instance(1), &key, store()).unwrap();
        assert!(uses(&kms, &instance(1), &key, &entry));
        let other = EncryptionContext::new().with("sealgate:store", "2");
        assert!(!uses(&kms, &instance(1), &key, &other));
        assert!(!uses(&kms, &instance(2), &key, &entry), "another instance");
        assert!(
            !uses(&kms, &Caller::local(service(), 0), &key, &entry),
            "no instance"
        );
        let root = Caller::local(identity().root(), 0);
        assert!(!uses(&kms, &root, &key, &entry), "the account's root");
        kms.stop_instance(&instance(1), &key).unwrap();
        assert!(!uses(&kms, &instance(1), &key, &entry));
    }

    #[test]
    fn a_lease_ends_by_itself_is_renewed_and_reaped() {
        let (kms, key, clock) = with_service();
        let first = kms.start_instance(&instance(1), &key, store()).unwrap();
        let again = kms.start_instance(&instance(1), &key, store()).unwrap();
        assert_eq!(first.id, again.id);
        clock.0.fetch_add(40 * 60, Ordering::Relaxed);
        let renewed = kms.start_instance(&instance(1), &key, store()).unwrap();
        assert_ne!(first.id, renewed.id);
        clock.0.fetch_add(40 * 60, Ordering::Relaxed);
        assert_eq!(kms.reap_instances().unwrap(), 1);
        assert!(uses(&kms, &instance(1), &key, &store()));
        clock.0.fetch_add(40 * 60, Ordering::Relaxed);
        assert!(!uses(&kms, &instance(1), &key, &store()));
        assert_eq!(kms.reap_instances().unwrap(), 1);
        assert_eq!(kms.reap_instances().unwrap(), 0);
    }

    #[test]
    fn nobody_passes_for_an_instance() {
        let (kms, key, _) = with_service();
        let root = Caller::local(identity().root(), 0);
        assert!(matches!(
            kms.start_instance(&root, &key, store()),
            Err(Error::NoInstance)
        ));
        // A grant of the same name that somebody else made counts for nothing.
        let id = Uuid::from_u128(1);
        let terms = NewGrant {
            grantee: service(),
            retiring: None,
            operations: OPERATIONS.into(),
            constraints: GrantConstraints {
                encryption_context_equals: None,
                encryption_context_subset: Some(store()),
            },
            name: Some(format!("{PREFIX}{id}/1")),
        };
        kms.create_grant(&root, &key, terms).unwrap();
        assert!(!uses(&kms, &instance(1), &key, &store()));
    }
}
