//! Who may use a key: policies, and the decision that follows from them.
//!
//! A key has exactly one policy; users and roles have policies of their own; grants give single rights
//! on single keys. The decision is a pure function of these and the request, time included, by AWS's
//! rules, and it can say what it rests on ([`Explanation`]):
//! 1. A `Deny` that applies wins, wherever it stands.
//! 2. A key policy that names the caller is enough.
//! 3. A policy of the caller's own counts only where the key policy delegates to its account.
//! 4. A grant is enough.
//! 5. A caller of another account needs both sides, the key's and its own.
//! 6. Nobody has a right otherwise, neither the account's root nor who created the key.
//!
//! # The grammar
//! AWS's JSON: `Version`, `Id`, `Statement` (one or a list) with `Sid`, `Effect`, `Principal` or
//! `NotPrincipal` (`"*"`, or `AWS`: accounts, roots, users and roles), `Action` or `NotAction`, `Resource`
//! or `NotResource`, `Condition`. A document is at most 32 KiB long.
//!
//! Operators: `StringEquals`, `StringNotEquals`, `StringEqualsIgnoreCase`, `StringNotEqualsIgnoreCase`,
//! `StringLike`, `StringNotLike`; `ArnEquals`, `ArnLike`, `ArnNotEquals`, `ArnNotLike`; `Numeric` and `Date`
//! with `Equals`, `NotEquals`, `LessThan`, `LessThanEquals`, `GreaterThan`, `GreaterThanEquals`; `Bool`;
//! `IpAddress`, `NotIpAddress`; `Null`; all but the last also with `ForAllValues:`, `ForAnyValue:` and
//! `IfExists`. Where several values answer an operator without a set (`kms:EncryptionContextKeys`), one that
//! matches is enough, and none may for a negated operator.
//!
//! Condition keys: `kms:EncryptionContext:KEY`, `kms:EncryptionContextKeys`, `kms:EncryptionAlgorithm`,
//! `kms:ViaService`, `kms:CallerAccount`, `kms:KeySpec`, `kms:KeyUsage`, `kms:KeyOrigin`, `kms:MultiRegion`, `kms:MultiRegionKeyType`,
//! `kms:RequestAlias`, `kms:ResourceAliases`, `kms:GrantOperations`, `kms:GrantConstraintType`,
//! `kms:GrantIsForAWSResource`, `kms:GranteePrincipal`, `kms:RetiringPrincipal`; `aws:PrincipalArn`,
//! `aws:PrincipalAccount`, `aws:PrincipalType`, `aws:username`, `aws:ResourceAccount`, `aws:ViaAWSService`,
//! `aws:SourceIp` and `aws:SecureTransport` (of callers from the network), `aws:CurrentTime`, `aws:EpochTime`.
//! AWS's other `kms:` keys and those of other services are accepted, and no request has them.
//!
//! # What differs from AWS
//! What would be ignored there, or is not done here, is refused: unknown elements, members that stand
//! twice, `kms:` condition keys that do not exist, statements without `Resource`, `Allow` with `NotPrincipal`,
//! policy variables (but `${*}`, `${?}` and `${$}`), principals of services and sessions, `BinaryEquals`.

mod action;
mod condition;
mod document;
mod evaluate;
mod explain;
mod json;
mod pattern;
mod request;
#[cfg(test)]
mod test_util;

pub use action::Action;
pub use explain::{Explanation, KeySideName, Reason, StatementName};

pub(crate) use document::{PolicyDocument, PolicyKind};
pub(crate) use evaluate::{Decision, Policies, denied, evaluate};
pub(crate) use request::{KeyFacts, Request, Target};
