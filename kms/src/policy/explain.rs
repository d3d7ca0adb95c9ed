//! A decision, in words: AWS has no such answer.

use std::fmt;

use serde::Serialize;

use crate::grant::GrantId;
use crate::policy::action::Action;
use crate::policy::document::Statement;
use crate::policy::evaluate::{Allowance, Decision, Denial, IdentityStatement, KeySide};
use crate::principal::Principal;

/// Whether somebody may do something, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Who asks.
    pub principal: Principal,
    /// What for.
    pub action: Action,
    /// On what: the ARN of a key or an alias, or `*`.
    pub resource: String,
    /// By what it was decided.
    pub reason: Reason,
}

/// By what a decision was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Allowed: the key policy names the caller.
    KeyPolicy(StatementName),
    /// Allowed: the caller's own policy says so, and the key policy delegates to its account.
    IdentityPolicy {
        /// The caller's own.
        by: StatementName,
        /// The key policy's; none where no key is concerned.
        delegated: Option<StatementName>,
    },
    /// Allowed by a grant.
    Grant(GrantId),
    /// Allowed to a principal of another account, which has both sides.
    BothSides {
        /// The key's side.
        key: KeySideName,
        /// The caller's own policy.
        identity: StatementName,
    },
    /// Allowed: the caller is the account's root, and no key is concerned.
    AccountRoot,
    /// Denied: a statement says so.
    ExplicitDeny(StatementName),
    /// Denied: the caller's own policy would allow it, but the key policy does not delegate to its account.
    NotDelegated(StatementName),
    /// Denied to a principal of another account: it has no policy of its own that allows it.
    NoIdentitySide(KeySideName),
    /// Denied to a principal of another account: neither key policy nor grant allows it.
    NoKeySide(StatementName),
    /// Denied: nothing allows it.
    NothingAllows,
    /// Denied: the encryption context has a key that only the product itself uses.
    ReservedContext(String),
    /// Denied: a grant is given back by the principals that it names for that, and by the account's root.
    NamedByGrantOnly,
    /// Denied: the key is the product's own, which nobody else changes.
    ManagedKey,
}

/// Which statement, of which policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatementName {
    /// The name of a policy of the caller's own; none: the key policy.
    pub policy: Option<String>,
    /// The statement's place in it, from 0.
    pub index: usize,
    /// Its `Sid`.
    pub sid: Option<String>,
}

/// What allows on the key's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySideName {
    /// The key policy.
    KeyPolicy(StatementName),
    /// A grant.
    Grant(GrantId),
}

impl From<Decision<'_>> for Reason {
    fn from(decision: Decision<'_>) -> Self {
        match decision {
            Decision::Allowed(allowance) => allowance.into(),
            Decision::Denied(denial) => denial.into(),
        }
    }
}

impl From<Allowance<'_>> for Reason {
    fn from(allowance: Allowance<'_>) -> Self {
        match allowance {
            Allowance::KeyPolicy(statement) => Self::KeyPolicy(statement.into()),
            Allowance::Identity(by, delegated) => Self::IdentityPolicy {
                by: by.into(),
                delegated: Some(delegated.into()),
            },
            Allowance::IdentityAlone(by) => Self::IdentityPolicy {
                by: by.into(),
                delegated: None,
            },
            Allowance::Grant(grant) => Self::Grant(grant.id.clone()),
            Allowance::BothSides(key, identity) => Self::BothSides {
                key: key.into(),
                identity: identity.into(),
            },
            Allowance::Root => Self::AccountRoot,
        }
    }
}

impl From<Denial<'_>> for Reason {
    fn from(denial: Denial<'_>) -> Self {
        match denial {
            Denial::KeyPolicy(statement) => Self::ExplicitDeny(statement.into()),
            Denial::Identity(statement) => Self::ExplicitDeny(statement.into()),
            Denial::NotDelegated(statement) => Self::NotDelegated(statement.into()),
            Denial::NoIdentitySide(key) => Self::NoIdentitySide(key.into()),
            Denial::NoKeySide(statement) => Self::NoKeySide(statement.into()),
            Denial::Nothing => Self::NothingAllows,
        }
    }
}

impl From<&Statement> for StatementName {
    fn from(statement: &Statement) -> Self {
        Self {
            policy: None,
            index: statement.index,
            sid: statement.sid.clone(),
        }
    }
}

impl From<IdentityStatement<'_>> for StatementName {
    fn from(found: IdentityStatement<'_>) -> Self {
        Self {
            policy: Some(found.policy.to_owned()),
            ..found.statement.into()
        }
    }
}

impl From<KeySide<'_>> for KeySideName {
    fn from(side: KeySide<'_>) -> Self {
        match side {
            KeySide::KeyPolicy(statement) => Self::KeyPolicy(statement.into()),
            KeySide::Grant(grant) => Self::Grant(grant.id.clone()),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            principal,
            action,
            resource,
            reason,
            ..
        } = self;
        let may = if self.allowed { "may" } else { "may not" };
        write!(f, "{principal} {may} {action} on {resource}: {reason}")
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyPolicy(statement) => write!(f, "{statement} allows it"),
            Self::IdentityPolicy {
                by,
                delegated: None,
            } => write!(f, "{by} allows it"),
            Self::IdentityPolicy {
                by,
                delegated: Some(delegated),
            } => {
                write!(f, "{by} allows it, to which {delegated} delegates")
            }
            Self::Grant(grant) => write!(f, "grant {grant} allows it"),
            Self::BothSides { key, identity } => write!(f, "both {key} and {identity} allow it"),
            Self::AccountRoot => f.write_str("it is the root of the account"),
            Self::ExplicitDeny(statement) => write!(f, "{statement} denies it"),
            Self::NotDelegated(statement) => {
                write!(
                    f,
                    "{statement} would allow it, but the key policy does not delegate to the account"
                )
            }
            Self::NoIdentitySide(key) => {
                write!(
                    f,
                    "{key} would allow it, but a principal of another account needs a policy of its own too"
                )
            }
            Self::NoKeySide(statement) => {
                write!(
                    f,
                    "{statement} would allow it, but for another account key policy or grant must too"
                )
            }
            Self::NothingAllows => {
                f.write_str("neither key policy, nor grant, nor a policy of its own allows it")
            }
            Self::ReservedContext(key) => {
                write!(
                    f,
                    "only the balancer itself may use the encryption-context key `{key}`"
                )
            }
            Self::NamedByGrantOnly => {
                f.write_str("only the account's root may, and whom the grant names for it")
            }
            Self::ManagedKey => {
                f.write_str("the key is managed: the product itself rotates and changes it")
            }
        }
    }
}

impl fmt::Display for StatementName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement {}", self.index)?;
        if let Some(sid) = &self.sid {
            write!(f, " (`{sid}`)")?;
        }
        match &self.policy {
            Some(policy) => write!(f, " of the policy `{policy}`"),
            None => f.write_str(" of the key policy"),
        }
    }
}

impl fmt::Display for KeySideName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyPolicy(statement) => statement.fmt(f),
            Self::Grant(grant) => write!(f, "grant {grant}"),
        }
    }
}
