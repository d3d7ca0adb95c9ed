//! Who can be named in a policy: an account's root, users and roles.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::key::is_account;

/// A principal by its ARN: `arn:aws:iam::ACCOUNT:root`, `…:user/NAME`, `…:role/NAME` or, not known to
/// AWS, `…:service/NAME`; a path may stand before the name (`user/ops/alice`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Principal(String);

/// What kind of thing a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalKind {
    /// The account itself, and its root user.
    Root,
    /// A person or a program.
    User,
    /// What several may act as.
    Role,
    /// A balancer that uses this KMS from elsewhere.
    Service,
}

impl Principal {
    /// The root of an account of 12 digits.
    pub(crate) fn root(account: &str) -> Self {
        Self(format!("{PREFIX}{account}:root"))
    }

    /// The ARN.
    pub fn arn(&self) -> &str {
        &self.0
    }

    /// The account's 12 digits.
    pub fn account(&self) -> &str {
        &self.0[PREFIX.len()..PREFIX.len() + ACCOUNT_LEN]
    }

    /// What follows the account: `root`, `user/NAME`, `role/NAME`, `service/NAME`.
    pub fn resource(&self) -> &str {
        &self.0[PREFIX.len() + ACCOUNT_LEN + 1..]
    }

    /// Whether it is a root, a user, a role or a service.
    pub fn kind(&self) -> PrincipalKind {
        match self.resource().split('/').next() {
            Some("user") => PrincipalKind::User,
            Some("role") => PrincipalKind::Role,
            Some("service") => PrincipalKind::Service,
            _ => PrincipalKind::Root,
        }
    }

    /// Whether it is the root of its account.
    pub fn is_root(&self) -> bool {
        self.kind() == PrincipalKind::Root
    }

    /// Whether it is of the account `root` is the root of, and not that root itself.
    pub(crate) fn is_member_of(&self, root: &Self) -> bool {
        root.is_root() && !self.is_root() && root.account() == self.account()
    }
}

impl FromStr for Principal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once(':'));
        match parts {
            Some((account, resource)) if is_account(account) && is_resource(resource) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(Error::InvalidPrincipal(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Principal {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> Self {
        principal.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_resource(resource: &str) -> bool {
    let kinds = ["user/", "role/", "service/"];
    let mut paths = kinds.iter().map(|kind| resource.strip_prefix(kind));
    let path = paths.find_map(|path| path);
    resource == "root" || path.is_some_and(|path| path.len() <= 576 && path.split('/').all(is_name))
}

/// 1 to 64 of the characters that IAM allows in a name.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

const PREFIX: &str = "arn:aws:iam::";
const ACCOUNT_LEN: usize = 12;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn root_users_and_roles_are_principals() {
        let cases = [
            ("root", PrincipalKind::Root),
            ("user/alice", PrincipalKind::User),
            ("user/ops/alice", PrincipalKind::User),
            ("role/web-1", PrincipalKind::Role),
            ("service/edge", PrincipalKind::Service),
        ];
        for (resource, kind) in cases {
            let arn = format!("arn:aws:iam::000000000000:{resource}");
            let principal: Principal = arn.parse().unwrap();
            assert_eq!((principal.arn(), principal.kind()), (&*arn, kind));
            assert_eq!(
                (principal.account(), principal.resource()),
                ("000000000000", resource)
            );
        }
    }

    #[test]
    fn what_is_no_principal_is_refused() {
        for text in [
            "",
            "*",
            "root",
            "arn:aws:iam::00000000000:root",
            "arn:aws:iam::000000000000:user/",
            "arn:aws:iam::000000000000:user/a*",
            "arn:aws:iam::000000000000:user//a",
            "arn:aws:iam::000000000000:group/a",
            "arn:aws:sts::000000000000:assumed-role/a/b",
        ] {
            assert!(text.parse::<Principal>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(arn:aws:iam::)?[0-9é]{0,14}:?.{0,30}") {
            if let Ok(principal) = text.parse::<Principal>() {
                let _ = (principal.kind(), principal.account());
                prop_assert_eq!(principal.to_string(), text);
            }
        }
    }
}
