//! Whether a request is allowed, by AWS's rules.
//!
//! 1. A `Deny` that applies wins, wherever it stands: in the key policy or in the caller's own.
//! 2. A key policy that names the caller is enough.
//! 3. A policy of the caller's own counts only where the key policy delegates to its account.
//! 4. A grant is enough.
//! 5. A caller of another account needs both sides: the key policy or a grant, and a policy of its own.
//! 6. Nobody has a right otherwise, neither the account's root nor who created the key.
//!
//! Where no key is concerned (to create one, to list grants by their principal) there is no key policy:
//! the account's root may, and who has a policy of its own that says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::grant::Grant;
use crate::policy::document::{Effect, PolicyDocument, Reach, Statement};
use crate::policy::request::Request;

/// What decides.
#[derive(Clone, Copy)]
pub(crate) struct Policies<'a> {
    /// The key's; none where no key is concerned.
    pub(crate) key: Option<&'a PolicyDocument>,
    /// The caller's own, by name.
    pub(crate) identity: &'a BTreeMap<String, PolicyDocument>,
    /// The caller's grants on the key.
    pub(crate) grants: &'a [Arc<Grant>],
}

/// Whether a request is allowed, and by what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Decision<'a> {
    Allowed(Allowance<'a>),
    Denied(Denial<'a>),
}

/// What allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Allowance<'a> {
    /// The key policy names the caller.
    KeyPolicy(&'a Statement),
    /// A policy of the caller's own, to which the key policy delegates.
    Identity(IdentityStatement<'a>, &'a Statement),
    Grant(&'a Grant),
    /// The caller of another account has both sides.
    BothSides(KeySide<'a>, IdentityStatement<'a>),
    /// The account's root, where no key is concerned.
    Root,
    /// A policy of the caller's own, where no key is concerned.
    IdentityAlone(IdentityStatement<'a>),
}

/// What denies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Denial<'a> {
    /// A `Deny` of the key policy.
    KeyPolicy(&'a Statement),
    /// A `Deny` of the caller's own policies.
    Identity(IdentityStatement<'a>),
    /// The caller's own policy would allow it: the key policy does not delegate.
    NotDelegated(IdentityStatement<'a>),
    /// The key's side allows it to another account, whose side does not.
    NoIdentitySide(KeySide<'a>),
    /// Another account allows it to its principal: the key's side does not.
    NoKeySide(IdentityStatement<'a>),
    /// Nothing allows it.
    Nothing,
}

/// What allows a principal of another account, on the key's side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum KeySide<'a> {
    KeyPolicy(&'a Statement),
    Grant(&'a Grant),
}

/// A statement of a policy of the caller's own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct IdentityStatement<'a> {
    pub(super) policy: &'a str,
    pub(super) statement: &'a Statement,
}

/// Decides.
pub(crate) fn evaluate<'a>(policies: Policies<'a>, request: &Request<'_>) -> Decision<'a> {
    let decided = match denied(policies, request) {
        Some(denial) => Err(denial),
        None if policies.key.is_none() => without_key(policies, request),
        None if request.is_domestic() => domestic(policies, request),
        None => foreign(policies, request),
    };
    match decided {
        Ok(allowance) => Decision::Allowed(allowance),
        Err(denial) => Decision::Denied(denial),
    }
}

/// What denies explicitly.
pub(crate) fn denied<'a>(policies: Policies<'a>, request: &Request<'_>) -> Option<Denial<'a>> {
    let mut statements = policies
        .key
        .into_iter()
        .flat_map(PolicyDocument::statements);
    let by_key = statements.find(|statement| {
        statement.effect == Effect::Deny
            && statement.denies(request.principal())
            && statement.applies(request)
    });
    let by_identity = || identity(policies, request, Effect::Deny).map(Denial::Identity);
    by_key.map(Denial::KeyPolicy).or_else(by_identity)
}

fn domestic<'a>(
    policies: Policies<'a>,
    request: &Request<'_>,
) -> Result<Allowance<'a>, Denial<'a>> {
    if let Some(statement) = key_policy(policies, request, Reach::Direct) {
        return Ok(Allowance::KeyPolicy(statement));
    }
    let own = identity(policies, request, Effect::Allow);
    let delegation = key_policy(policies, request, Reach::Delegated);
    if let (Some(own), Some(delegation)) = (own, delegation) {
        return Ok(Allowance::Identity(own, delegation));
    }
    match (grant(policies, request), own) {
        (Some(grant), _) => Ok(Allowance::Grant(grant)),
        (None, Some(own)) => Err(Denial::NotDelegated(own)),
        (None, None) => Err(Denial::Nothing),
    }
}

fn foreign<'a>(policies: Policies<'a>, request: &Request<'_>) -> Result<Allowance<'a>, Denial<'a>> {
    let direct = key_policy(policies, request, Reach::Direct);
    let statement = direct.or_else(|| key_policy(policies, request, Reach::Delegated));
    let grant = || grant(policies, request).map(KeySide::Grant);
    let key_side = statement.map(KeySide::KeyPolicy).or_else(grant);
    match (key_side, identity(policies, request, Effect::Allow)) {
        (Some(key_side), Some(own)) => Ok(Allowance::BothSides(key_side, own)),
        (Some(key_side), None) => Err(Denial::NoIdentitySide(key_side)),
        (None, Some(own)) => Err(Denial::NoKeySide(own)),
        (None, None) => Err(Denial::Nothing),
    }
}

fn without_key<'a>(
    policies: Policies<'a>,
    request: &Request<'_>,
) -> Result<Allowance<'a>, Denial<'a>> {
    if !request.is_domestic() {
        return Err(Denial::Nothing);
    }
    if request.principal().is_root() {
        return Ok(Allowance::Root);
    }
    let own = identity(policies, request, Effect::Allow);
    own.map(Allowance::IdentityAlone).ok_or(Denial::Nothing)
}

/// The first statement of the key policy that allows so.
fn key_policy<'a>(
    policies: Policies<'a>,
    request: &Request<'_>,
    reach: Reach,
) -> Option<&'a Statement> {
    let mut statements = policies.key?.statements().iter();
    statements.find(|statement| {
        statement.effect == Effect::Allow
            && statement.allows(request.principal()) == Some(reach)
            && statement.applies(request)
    })
}

/// The first statement of the caller's own policies with that effect.
fn identity<'a>(
    policies: Policies<'a>,
    request: &Request<'_>,
    effect: Effect,
) -> Option<IdentityStatement<'a>> {
    let named = policies.identity.iter();
    let mut statements = named.flat_map(|(policy, document)| {
        let statements = document.statements().iter();
        statements.map(|statement| IdentityStatement { policy, statement })
    });
    statements.find(|found| found.statement.effect == effect && found.statement.applies(request))
}

fn grant<'a>(policies: Policies<'a>, request: &Request<'_>) -> Option<&'a Grant> {
    let mut grants = policies.grants.iter().map(Arc::as_ref);
    grants.find(|grant| {
        grant.terms.grantee == *request.principal()
            && grant.permits(request.action, request.context, request.grant)
    })
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
