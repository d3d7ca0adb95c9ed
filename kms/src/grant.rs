//! Grants: rights on one key, given to one principal, taken back one by one.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};

use crate::context::EncryptionContext;
use crate::error::Error;
use crate::key::KeyId;
use crate::policy::Action;
use crate::principal::Principal;

/// A grant on a key. It is live from its creation until it is retired or revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The key that it is on.
    pub key: KeyId,
    /// When it was created.
    pub created: SystemTime,
    /// Who created it; nobody where the product itself did.
    pub issuer: Option<Principal>,
    /// What it gives to whom.
    #[serde(flatten)]
    pub terms: NewGrant,
}

/// What a grant gives to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// Who may then use the key.
    pub grantee: Principal,
    /// Who, beside the account's root, may retire the grant.
    pub retiring: Option<Principal>,
    /// For what: see [`Action::is_grantable`].
    pub operations: BTreeSet<Action>,
    /// With which encryption contexts only.
    #[serde(default)]
    pub constraints: GrantConstraints,
    /// 1 to 256 letters, digits, `:`, `/`, `_` and `-`. The same terms under the same name are the same grant.
    pub name: Option<String>,
}

/// Which encryption contexts a grant allows. Without a constraint: all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantConstraints {
    /// The context has these pairs and no other.
    pub encryption_context_equals: Option<EncryptionContext>,
    /// The context has these pairs, and may have more.
    pub encryption_context_subset: Option<EncryptionContext>,
}

/// The id of a grant: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct GrantId(String);

/// A grant by its key and id, in one word that whoever created it hands on.
///
/// It gives no right by itself: here a grant holds at once, and a token needs not be shown for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantToken {
    /// The key.
    pub key: KeyId,
    /// The grant on it.
    pub grant: GrantId,
}

impl Grant {
    /// The most grants on one key (AWS's limit).
    pub const MAX_PER_KEY: usize = 50_000;

    /// The word that names it.
    pub fn token(&self) -> GrantToken {
        GrantToken {
            key: self.key,
            grant: self.id.clone(),
        }
    }

    /// Whether it lets its grantee do `action`, with this encryption context, or to make this grant.
    pub(crate) fn permits(
        &self,
        action: Action,
        context: Option<&EncryptionContext>,
        grant: Option<&NewGrant>,
    ) -> bool {
        let within = match (action, grant) {
            (Action::CreateGrant, Some(grant)) => self.terms.contain(grant),
            (Action::CreateGrant, None) => false,
            _ => !action.has_context() || self.terms.constraints.allow(context),
        };
        self.terms.operations.contains(&action) && within
    }
}

impl NewGrant {
    /// Whether it can be granted at all.
    ///
    /// # Errors
    /// [`Error::InvalidGrant`], which says what is wrong.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |why: String| Err(Error::InvalidGrant(why));
        if self.operations.is_empty() {
            return invalid("it has no operations".to_owned());
        }
        if let Some(action) = self.operations.iter().find(|action| !action.is_grantable()) {
            return invalid(format!("{} is not given by grants", action.operation()));
        }
        if let Some(name) = self.name.as_deref().filter(|name| !is_grant_name(name)) {
            return invalid(format!(
                "`{name}` is no name: write 1 to 256 letters, digits, `:`, `/`, `_` or `-`"
            ));
        }
        self.check_constraints()
    }

    fn check_constraints(&self) -> Result<(), Error> {
        if self
            .constraints
            .iter()
            .any(|context| context.iter().next().is_none())
        {
            return Err(Error::InvalidGrant(
                "a constraint without pairs constrains nothing".to_owned(),
            ));
        }
        let mut unbound = self
            .operations
            .iter()
            .filter(|action| !is_constrainable(**action));
        match unbound.next() {
            Some(action) if self.constraints.iter().next().is_some() => {
                Err(Error::InvalidGrant(format!(
                    "{} has no encryption context that a constraint could bind",
                    action.operation()
                )))
            }
            _ => Ok(()),
        }
    }

    /// Whether a grantee may pass `other` on: nothing more, under constraints at least as strict.
    fn contain(&self, other: &Self) -> bool {
        other.operations.is_subset(&self.operations)
            && other.constraints.are_within(&self.constraints)
    }
}

impl GrantConstraints {
    /// The constraints that there are, by AWS's names.
    pub(crate) fn types(&self) -> impl Iterator<Item = &'static str> {
        let equals = self.encryption_context_equals.as_ref();
        let subset = self.encryption_context_subset.as_ref();
        let equals = equals.map(|_| "EncryptionContextEquals");
        equals
            .into_iter()
            .chain(subset.map(|_| "EncryptionContextSubset"))
    }

    fn iter(&self) -> impl Iterator<Item = &EncryptionContext> {
        let equals = self.encryption_context_equals.iter();
        equals.chain(&self.encryption_context_subset)
    }

    fn allow(&self, context: Option<&EncryptionContext>) -> bool {
        let none = EncryptionContext::new();
        let context = context.unwrap_or(&none);
        let equals = self.encryption_context_equals.as_ref();
        let subset = self.encryption_context_subset.as_ref();
        equals.is_none_or(|equals| equals == context)
            && subset.is_none_or(|subset| context.contains(subset))
    }

    /// Whether these allow nothing that `outer` does not.
    fn are_within(&self, outer: &Self) -> bool {
        let equals = self.encryption_context_equals.as_ref();
        let outer_equals = outer.encryption_context_equals.as_ref();
        let outer_subset = outer.encryption_context_subset.as_ref();
        outer_equals.is_none_or(|outer| equals == Some(outer))
            && outer_subset.is_none_or(|outer| self.iter().any(|mine| mine.contains(outer)))
    }
}

impl GrantId {
    /// An id from random bytes.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn bytes(&self) -> Vec<u8> {
        let digits = self.0.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
        digits.filter_map(byte).collect()
    }
}

impl FromStr for GrantId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(digit) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::GrantNotFound(text.to_owned()))
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for GrantToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let not_found = || Error::GrantNotFound(text.to_owned());
        let bytes = Base64UrlUnpadded::decode_vec(text).map_err(|_| not_found())?;
        let (key, grant) = bytes.split_first_chunk().ok_or_else(not_found)?;
        Ok(Self {
            key: KeyId::from_bytes(*key),
            grant: GrantId::from_random(grant.try_into().map_err(|_| not_found())?),
        })
    }
}

impl fmt::Display for GrantToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key.as_bytes()[..], &self.grant.bytes()].concat();
        f.write_str(&Base64UrlUnpadded::encode_string(&bytes))
    }
}

/// AWS ignores a constraint for the last two, and passes it on with the first.
fn is_constrainable(action: Action) -> bool {
    let free = [
        Action::CreateGrant,
        Action::DescribeKey,
        Action::RetireGrant,
    ];
    action.has_context() || free.contains(&action)
}

fn is_grant_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":/_-".contains(&byte);
    (1..=256).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grant(constraints: GrantConstraints) -> Grant {
        Grant {
            id: GrantId::from_random([7; 32]),
            key: KeyId::from_bytes([9; 16]),
            created: SystemTime::UNIX_EPOCH,
            issuer: None,
            terms: NewGrant {
                grantee: Principal::root("000000000000"),
                retiring: None,
                operations: [Action::Decrypt, Action::CreateGrant, Action::DescribeKey].into(),
                constraints,
                name: None,
            },
        }
    }

    fn equals(context: EncryptionContext) -> GrantConstraints {
        GrantConstraints {
            encryption_context_equals: Some(context),
            encryption_context_subset: None,
        }
    }

    fn subset(context: EncryptionContext) -> GrantConstraints {
        GrantConstraints {
            encryption_context_equals: None,
            encryption_context_subset: Some(context),
        }
    }

    fn pairs(names: &str) -> EncryptionContext {
        let one = |name: char| (name.to_string(), "1".to_owned());
        names.chars().map(one).collect()
    }

    #[test]
    fn a_constraint_binds_what_has_a_context_and_nothing_else() {
        let cases = [
            (equals(pairs("a")), "a", true),
            (equals(pairs("a")), "ab", false),
            (equals(pairs("a")), "", false),
            (subset(pairs("a")), "ab", true),
            (subset(pairs("ab")), "a", false),
            (GrantConstraints::default(), "", true),
        ];
        for (constraints, context, expected) in cases {
            let grant = grant(constraints);
            let context = pairs(context);
            assert_eq!(
                grant.permits(Action::Decrypt, Some(&context), None),
                expected
            );
            assert!(grant.permits(Action::DescribeKey, None, None));
            assert!(!grant.permits(Action::Encrypt, Some(&context), None));
        }
        assert!(!grant(subset(pairs("a"))).permits(Action::Decrypt, None, None));
    }

    #[test]
    fn what_is_passed_on_is_no_more_and_no_looser() {
        let unbound = GrantConstraints::default;
        let cases = [
            (unbound(), unbound(), true),
            (unbound(), equals(pairs("a")), true),
            (equals(pairs("a")), unbound(), false),
            (equals(pairs("a")), equals(pairs("a")), true),
            (equals(pairs("a")), equals(pairs("ab")), false),
            (equals(pairs("a")), subset(pairs("a")), false),
            (subset(pairs("a")), equals(pairs("ab")), true),
            (subset(pairs("a")), subset(pairs("ab")), true),
            (subset(pairs("ab")), subset(pairs("a")), false),
        ];
        for (outer, inner, expected) in cases {
            let (outer, mut inner) = (grant(outer), grant(inner).terms);
            let passes = |inner: &NewGrant| outer.permits(Action::CreateGrant, None, Some(inner));
            assert_eq!(passes(&inner), expected, "{outer:?} {inner:?}");
            inner.operations.insert(Action::Encrypt);
            assert!(!passes(&inner));
        }
        assert!(!grant(unbound()).permits(Action::CreateGrant, None, None));
    }

    #[test]
    fn terms_that_make_no_grant_are_refused() {
        let with = |change: fn(&mut NewGrant)| {
            let mut terms = grant(equals(pairs("a"))).terms;
            change(&mut terms);
            terms.check()
        };
        assert!(with(|_| ()).is_ok());
        let refused: [fn(&mut NewGrant); 5] = [
            |terms| terms.operations.clear(),
            |terms| terms.operations = [Action::PutKeyPolicy].into(),
            |terms| terms.operations = [Action::Sign].into(),
            |terms| terms.constraints = equals(EncryptionContext::new()),
            |terms| terms.name = Some("a b".to_owned()),
        ];
        for change in refused {
            assert!(matches!(with(change), Err(Error::InvalidGrant(_))));
        }
    }

    proptest! {
        #[test]
        fn a_token_names_its_grant(key in any::<[u8; 16]>(), id in any::<[u8; 32]>()) {
            let grant = GrantId::from_random(id);
            prop_assert_eq!(&grant.to_string().parse::<GrantId>()?, &grant);
            let token = GrantToken { key: KeyId::from_bytes(key), grant };
            prop_assert_eq!(token.to_string().parse::<GrantToken>()?, token);
        }

        #[test]
        fn arbitrary_tokens_and_ids_never_panic(text in ".{0,80}") {
            let _ = text.parse::<GrantToken>();
            let _ = text.parse::<GrantId>();
        }
    }
}
