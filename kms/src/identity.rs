//! Identities: the users and roles of this account and of others, with policies of their own.
//!
//! A local process acts as the identity that its user id is mapped to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::Serialize;

use crate::error::Error;
use crate::policy::{PolicyDocument, PolicyKind};
use crate::principal::Principal;

/// A user or a role as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredIdentity {
    pub(crate) principal: Principal,
    pub(crate) created: SystemTime,
    /// The local user ids that act as it.
    pub(crate) uids: BTreeSet<u32>,
    pub(crate) policies: BTreeMap<String, PolicyDocument>,
}

/// What may be known of an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdentityMetadata {
    /// Its ARN.
    pub principal: Principal,
    /// When it was created.
    pub created: SystemTime,
    /// The local user ids that act as it.
    pub uids: BTreeSet<u32>,
    /// The names of its policies, sorted.
    pub policies: Vec<String>,
}

impl StoredIdentity {
    /// The most policies of one identity.
    pub(crate) const MAX_POLICIES: usize = 10;

    /// A user or a role without rights.
    ///
    /// # Errors
    /// [`Error::InvalidIdentityChange`] for a root: it needs no creating.
    pub(crate) fn new(principal: Principal, created: SystemTime) -> Result<Self, Error> {
        if principal.is_root() {
            let why = "a root is there with its account, and has no policies".to_owned();
            return Err(Error::InvalidIdentityChange {
                identity: principal,
                why,
            });
        }
        Ok(Self {
            principal,
            created,
            uids: BTreeSet::new(),
            policies: BTreeMap::new(),
        })
    }

    /// This identity with one policy more, or another under that name.
    ///
    /// # Errors
    /// [`Error::MalformedPolicy`]; [`Error::InvalidIdentityChange`] for the name or one too many.
    pub(crate) fn with_policy(&self, name: &str, text: &str) -> Result<Self, Error> {
        if !is_policy_name(name) {
            return Err(self.refused(format!(
                "`{name}` is no name of a policy: write 1 to 128 letters, digits or any of `_+=,.@-`"
            )));
        }
        let mut changed = self.clone();
        let policy = PolicyDocument::parse(PolicyKind::Identity, text)?;
        changed.policies.insert(name.to_owned(), policy);
        if changed.policies.len() > Self::MAX_POLICIES {
            return Err(self.refused(format!("it has {} policies already", Self::MAX_POLICIES)));
        }
        Ok(changed)
    }

    /// This identity without that policy.
    ///
    /// # Errors
    /// [`Error::InvalidIdentityChange`] where it has none of that name.
    pub(crate) fn without_policy(&self, name: &str) -> Result<Self, Error> {
        let mut changed = self.clone();
        match changed.policies.remove(name) {
            Some(_) => Ok(changed),
            None => Err(self.refused(format!("it has no policy `{name}`"))),
        }
    }

    /// The text of one of its policies.
    ///
    /// # Errors
    /// [`Error::InvalidIdentityChange`] where it has none of that name.
    pub(crate) fn policy(&self, name: &str) -> Result<&str, Error> {
        let policy = self.policies.get(name).map(PolicyDocument::text);
        policy.ok_or_else(|| self.refused(format!("it has no policy `{name}`")))
    }

    pub(crate) fn metadata(&self) -> IdentityMetadata {
        IdentityMetadata {
            principal: self.principal.clone(),
            created: self.created,
            uids: self.uids.clone(),
            policies: self.policies.keys().cloned().collect(),
        }
    }

    pub(crate) fn refused(&self, why: String) -> Error {
        Error::InvalidIdentityChange {
            identity: self.principal.clone(),
            why,
        }
    }
}

fn is_policy_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str =
        r#"{"Statement":{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}}"#;

    fn alice() -> StoredIdentity {
        let principal = "arn:aws:iam::000000000000:user/alice".parse().unwrap();
        StoredIdentity::new(principal, SystemTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn policies_come_and_go_by_name() {
        let with = alice().with_policy("a", POLICY).unwrap();
        assert_eq!(with.policy("a").unwrap(), POLICY);
        assert_eq!(with.metadata().policies, ["a"]);
        assert_eq!(with.without_policy("a").unwrap(), alice());
        assert!(with.without_policy("b").is_err() && with.policy("b").is_err());
        assert!(alice().with_policy("a b", POLICY).is_err());
        assert!(alice().with_policy("a", "{}").is_err());
    }

    #[test]
    fn ten_policies_are_the_most() {
        let names = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        let full = names.iter().fold(alice(), |identity, name| {
            identity.with_policy(name, POLICY).unwrap()
        });
        assert!(full.with_policy("9", POLICY).is_ok());
        assert!(full.with_policy("10", POLICY).is_err());
    }

    #[test]
    fn a_root_is_not_created() {
        let root = StoredIdentity::new(Principal::root("000000000000"), SystemTime::UNIX_EPOCH);
        assert!(matches!(root, Err(Error::InvalidIdentityChange { .. })));
    }
}
