//! How requests name keys, principals and grants, and what they say of themselves.

use std::str::FromStr;

use super::exception::Exception;
use crate::caller::Caller;
use crate::error::Error;
use crate::grant::GrantToken;
use crate::key::KeyRef;
use crate::principal::Principal;
use crate::service::Kms;
use crate::spec::UnknownName;

/// The key that a request names.
pub(super) fn key_ref(text: &str) -> Result<KeyRef, Exception> {
    Ok(text.parse::<KeyRef>()?)
}

/// The principal that a request names: by ARN, or `user/NAME`, `role/NAME`, `root` of this account.
pub(super) fn principal(kms: &Kms, text: &str) -> Result<Principal, Error> {
    match text.starts_with("arn:") {
        true => text.parse(),
        false => of_account(&kms.identity().account, text),
    }
}

/// The principal `resource` (`user/NAME`) of an account.
pub(super) fn of_account(account: &str, resource: &str) -> Result<Principal, Error> {
    format!("arn:aws:iam::{account}:{resource}").parse()
}

/// A word of an enumeration. AWS has some that are not supported here.
///
/// # Errors
/// `UnsupportedOperationException`.
pub(super) fn word<T: FromStr<Err = UnknownName>>(text: &str) -> Result<T, Exception> {
    text.parse().map_err(|_| Exception::unsupported(text))
}

/// The caller, who only tries where `dry_run` says so.
pub(super) fn trying(caller: &Caller, dry_run: Option<bool>) -> Caller {
    let mut caller = caller.clone();
    if let Caller::Outside(outside) = &mut caller {
        outside.options.dry_run |= dry_run.unwrap_or(false);
    }
    caller
}

/// Refuses what is no grant token. One is not needed here: a grant holds at once.
///
/// # Errors
/// `InvalidGrantTokenException`.
pub(super) fn check_grant_tokens(tokens: Option<&[String]>) -> Result<(), Exception> {
    let mut tokens = tokens.unwrap_or_default().iter();
    match tokens.find(|token| token.parse::<GrantToken>().is_err()) {
        None => Ok(()),
        Some(token) => Err(Exception {
            code: "InvalidGrantTokenException",
            message: format!("`{token}` is no grant token: it is what CreateGrant answered"),
        }),
    }
}
