//! Whether a caller may do something: the one place that decides.
//!
//! The product's own rules come first, and bind the account's root too: owned keys are invisible,
//! managed ones unchangeable, reserved contexts and aliases out of reach. Then policies and grants decide.

use std::collections::BTreeMap;

use super::Kms;
use super::catalogue::Catalogue;
use crate::caller::{Caller, Outside};
use crate::context::EncryptionContext;
use crate::database::StoredKey;
use crate::error::Error;
use crate::grant::NewGrant;
use crate::key::{KeyRef, KeyTier};
use crate::policy::{
    Action, Decision, Explanation, KeyFacts, Policies, PolicyDocument, Reason, Request, Target,
    denied, evaluate,
};
use crate::principal::Principal;

/// What a caller wants, and all that a decision on it may depend on.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) action: Action,
    pub(super) on: On<'a>,
    pub(super) context: Option<&'a EncryptionContext>,
    /// The grant to be created.
    pub(super) grant: Option<&'a NewGrant>,
    /// The algorithm to be used, where the action has several.
    pub(super) algorithm: Option<&'static str>,
}

/// On what a caller wants something.
#[derive(Clone, Copy)]
pub(super) enum On<'a> {
    Account,
    /// An alias to be created.
    Alias(&'a str),
    /// A key, and how it was named.
    Key(&'a StoredKey, Option<&'a KeyRef>),
}

impl<'a> Wanted<'a> {
    pub(super) fn on(action: Action, on: On<'a>) -> Self {
        Self {
            action,
            on,
            context: None,
            grant: None,
            algorithm: None,
        }
    }

    pub(super) fn with_context(self, context: &'a EncryptionContext) -> Self {
        Self {
            context: Some(context),
            ..self
        }
    }

    fn key(&self) -> Option<&'a StoredKey> {
        match self.on {
            On::Key(key, _) => Some(key),
            On::Account | On::Alias(_) => None,
        }
    }

    fn target(&self, keys: &'a Catalogue) -> Target<'a> {
        match self.on {
            On::Account => Target::Account,
            On::Alias(alias) => Target::Alias(alias),
            On::Key(key, named) => Target::Key {
                id: key.id,
                named: named.and_then(KeyRef::alias),
                aliases: keys.aliases_of.get(&key.id),
                facts: KeyFacts {
                    spec: key.spec,
                    usage: key.usage,
                    origin: key.origin,
                    multi_region: key.multi_region.as_ref().map(|region| region.kind),
                },
            },
        }
    }

    /// What no policy can allow.
    fn forbidden(&self) -> Option<Error> {
        let by_key = self.key().and_then(|key| forbidden_on(key, self.action));
        let by_context = || {
            let mut reserved = self.context?.reserved_keys();
            let reserved = reserved.find(|key| !may_be_used(key, self.action));
            reserved.map(|key| Error::ReservedContext(key.to_owned()))
        };
        let by_alias = || match self.on {
            On::Alias(alias) if RESERVED_ALIASES.iter().any(|own| alias.starts_with(own)) => {
                Some(Error::ReservedAlias(alias.to_owned()))
            }
            _ => None,
        };
        by_key.or_else(by_context).or_else(by_alias)
    }
}

/// Whoever may encrypt may do it for a place in the configuration; the product alone opens it there.
fn may_be_used(reserved: &str, action: Action) -> bool {
    reserved == EncryptionContext::CONFIG_PATH && action == Action::Encrypt
}

/// Owned keys are invisible, and managed ones change by the product's hand only.
fn forbidden_on(key: &StoredKey, action: Action) -> Option<Error> {
    match key.tier {
        KeyTier::Owned => Some(Error::KeyNotFound(key.id.to_string())),
        KeyTier::Managed if changes_key(action) => Some(Error::ManagedKey(key.id)),
        KeyTier::Managed | KeyTier::Customer => None,
    }
}

fn changes_key(action: Action) -> bool {
    matches!(
        action,
        Action::CancelKeyDeletion
            | Action::CreateAlias
            | Action::DeleteAlias
            | Action::DeleteImportedKeyMaterial
            | Action::DisableKey
            | Action::DisableKeyRotation
            | Action::EnableKey
            | Action::EnableKeyRotation
            | Action::ImportKeyMaterial
            | Action::PutKeyPolicy
            | Action::ReplicateKey
            | Action::RotateKeyOnDemand
            | Action::ScheduleKeyDeletion
            | Action::TagResource
            | Action::UntagResource
            | Action::UpdateAlias
            | Action::UpdateKeyDescription
            | Action::UpdatePrimaryRegion
    )
}

impl Kms {
    /// Refuses what `caller` may not do.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`] for an owned key, [`Error::ManagedKey`], [`Error::ReservedContext`],
    /// [`Error::ReservedAlias`], [`Error::IdentityNotFound`], [`Error::AccessDenied`].
    pub(super) fn authorise(&self, caller: &Caller, wanted: Wanted<'_>) -> Result<(), Error> {
        let Caller::Outside(caller) = caller else {
            return Ok(());
        };
        match (wanted.forbidden(), wanted.key()) {
            (None, _) => {}
            (Some(Error::ReservedContext(_)), Some(key))
                if self.is_instance_that_may(caller, wanted, key)? =>
            {
                return Ok(());
            }
            (Some(error), _) => return Err(error),
        }
        self.judge(caller, wanted, None, |policies, request| {
            match evaluate(policies, request) {
                Decision::Allowed(_) => Ok(()),
                denied @ Decision::Denied(_) => Err(access_denied(request, denied.into())),
            }
        })?
    }

    /// Whether it is allowed, and by what.
    pub(super) fn explained(
        &self,
        caller: &Outside,
        wanted: Wanted<'_>,
    ) -> Result<Explanation, Error> {
        let forbidden = match wanted.forbidden() {
            Some(Error::ReservedContext(key)) => Some(Reason::ReservedContext(key)),
            Some(Error::ManagedKey(_)) => Some(Reason::ManagedKey),
            Some(error) => return Err(error),
            None => None,
        };
        self.judge(caller, wanted, None, |policies, request| match forbidden {
            Some(reason) => explanation(request, false, reason),
            None if request.action == Action::RetireGrant => self.retiring(policies, request),
            None => {
                let decision = evaluate(policies, request);
                let allowed = matches!(decision, Decision::Allowed(_));
                explanation(request, allowed, decision.into())
            }
        })
    }

    /// Who may retire a grant is said by the grant, which is not known here.
    fn retiring(&self, policies: Policies<'_>, request: &Request<'_>) -> Explanation {
        match denied(policies, request) {
            Some(denial) => explanation(request, false, Decision::Denied(denial).into()),
            None if request.caller.principal == self.identity.root() => {
                explanation(request, true, Reason::AccountRoot)
            }
            None => explanation(request, false, Reason::NamedByGrantOnly),
        }
    }

    /// Refuses a key policy under which `caller` could not change it again.
    pub(super) fn refuse_lock_out(
        &self,
        caller: &Caller,
        key: &StoredKey,
        policy: &PolicyDocument,
    ) -> Result<(), Error> {
        let Caller::Outside(caller) = caller else {
            return Ok(());
        };
        let wanted = Wanted::on(Action::PutKeyPolicy, On::Key(key, None));
        self.judge(
            caller,
            wanted,
            Some(policy),
            |policies, request| match evaluate(policies, request) {
                Decision::Allowed(_) => Ok(()),
                Decision::Denied(_) => Err(Error::PolicyLockOut(caller.principal.clone())),
            },
        )?
    }

    /// Hands `decide` all that a decision depends on; `policy` takes the place of the key's own.
    ///
    /// # Errors
    /// [`Error::IdentityNotFound`] for a user or role that is not known here: it may have been
    /// forbidden what others may. [`Error::DamagedRecord`] where its record does not open.
    pub(super) fn judge<T>(
        &self,
        caller: &Outside,
        wanted: Wanted<'_>,
        policy: Option<&PolicyDocument>,
        decide: impl FnOnce(Policies<'_>, &Request<'_>) -> T,
    ) -> Result<T, Error> {
        let (keys, access) = (self.keys.read(), self.access.read());
        let principal = &caller.principal;
        let identity = access.identity(principal);
        if identity.is_none() && !principal.is_root() {
            return Err(self.unknown_identity(principal));
        }
        let (none, key) = (BTreeMap::new(), wanted.key());
        let policies = Policies {
            key: policy.or_else(|| key.map(|key| self.key_policy(key))),
            identity: identity.map_or(&none, |identity| &identity.policies),
            grants: key.map_or(&[], |key| access.grants_of(key.id, principal)),
        };
        let request = Request {
            action: wanted.action,
            caller,
            now: self.environment.clock.now(),
            identity: &self.identity,
            target: wanted.target(&keys),
            context: wanted.context,
            grant: wanted.grant,
            algorithm: wanted.algorithm,
        };
        Ok(decide(policies, &request))
    }

    /// The policy that a key is under.
    pub(super) fn key_policy<'a>(&'a self, key: &'a StoredKey) -> &'a PolicyDocument {
        match key.tier {
            KeyTier::Owned | KeyTier::Managed => &self.managed_policy,
            KeyTier::Customer => key.policy.as_deref().unwrap_or(&self.default_policy),
        }
    }

    /// Refuses all but the account's root and the product itself.
    ///
    /// # Errors
    /// [`Error::RootOnly`].
    pub(super) fn require_root(&self, caller: &Caller, what: &'static str) -> Result<(), Error> {
        match caller {
            Caller::Outside(outside) if outside.principal != self.identity.root() => {
                let principal = outside.principal.clone();
                Err(Error::RootOnly { principal, what })
            }
            Caller::Internal | Caller::Outside(_) => Ok(()),
        }
    }

    /// Refuses users and roles of this account that are not there.
    ///
    /// # Errors
    /// [`Error::IdentityNotFound`].
    pub(super) fn require_known<'a>(
        &self,
        principals: impl IntoIterator<Item = &'a Principal>,
    ) -> Result<(), Error> {
        let access = self.access.read();
        let known = |principal: &Principal| {
            principal.is_root()
                || principal.account() != self.identity.account
                || access.identity(principal).is_some()
        };
        let mut unknown = principals.into_iter().filter(|principal| !known(principal));
        unknown
            .next()
            .map_or(Ok(()), |principal| Err(self.unknown_identity(principal)))
    }
}

pub(super) fn access_denied(request: &Request<'_>, reason: Reason) -> Error {
    Error::AccessDenied(Box::new(explanation(request, false, reason)))
}

fn explanation(request: &Request<'_>, allowed: bool, reason: Reason) -> Explanation {
    Explanation {
        allowed,
        principal: request.caller.principal.clone(),
        action: request.action,
        resource: request.resource(),
        reason,
    }
}

/// The product's own, and what no key of a customer is called in AWS either.
const RESERVED_ALIASES: [&str; 2] = ["alias/sealgate/", "alias/aws/"];
