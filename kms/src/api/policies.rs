//! Key policies.

use serde::{Deserialize, Serialize};

use super::Nothing;
use super::exception::Exception;
use super::names::key_ref;
use super::page::Page;
use super::shape::request;
use super::shapes::{BOOLEAN, KEY_ID, LIMIT, MARKER, POLICY, POLICY_NAME};
use crate::caller::Caller;
use crate::service::{Kms, NewPolicy};

request! {
    /// What `GetKeyPolicy` takes.
    GetKeyPolicyRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// `default`.
        policy_name: Option<String> = POLICY_NAME,
    }
}

request! {
    /// What `PutKeyPolicy` takes.
    PutKeyPolicyRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// `default`.
        policy_name: Option<String> = POLICY_NAME,
        /// The policy, in JSON.
        policy: String = POLICY,
        /// Also where its author could not change it again.
        bypass_policy_lockout_safety_check: Option<bool> = BOOLEAN,
    }
}

request! {
    /// What `ListKeyPolicies` takes.
    ListKeyPoliciesRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// At most so many.
        limit: Option<u32> = LIMIT,
        /// The `NextMarker` of the page before.
        marker: Option<String> = MARKER,
    }
}

/// What `GetKeyPolicy` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyPolicyResponse {
    /// The policy as it was put.
    pub policy: String,
    /// `default`.
    pub policy_name: String,
}

/// What `ListKeyPolicies` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListKeyPoliciesResponse {
    /// `default`.
    pub policy_names: Vec<String>,
    /// The marker of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// Whether there is a next one.
    pub truncated: bool,
}

pub(super) fn get_key_policy(
    kms: &Kms,
    caller: &Caller,
    request: GetKeyPolicyRequest,
) -> Result<KeyPolicyResponse, Exception> {
    check_name(request.policy_name.as_deref())?;
    Ok(KeyPolicyResponse {
        policy: kms.get_key_policy(caller, &key_ref(&request.key_id)?)?,
        policy_name: DEFAULT.to_owned(),
    })
}

pub(super) fn put_key_policy(
    kms: &Kms,
    caller: &Caller,
    request: PutKeyPolicyRequest,
) -> Result<Nothing, Exception> {
    check_name(request.policy_name.as_deref())?;
    let policy = NewPolicy {
        text: request.policy,
        bypass_lockout_check: request.bypass_policy_lockout_safety_check.unwrap_or(false),
    };
    kms.put_key_policy(caller, &key_ref(&request.key_id)?, &policy)?;
    Ok(Nothing {})
}

pub(super) fn list_key_policies(
    kms: &Kms,
    caller: &Caller,
    request: ListKeyPoliciesRequest,
) -> Result<ListKeyPoliciesResponse, Exception> {
    let page = Page::new(request.limit, request.marker.as_deref(), 100)?;
    kms.list_key_policies(caller, &key_ref(&request.key_id)?)?;
    let listed = page.of(vec![DEFAULT.to_owned()], Clone::clone);
    Ok(ListKeyPoliciesResponse {
        truncated: listed.truncated(),
        next_marker: listed.next_marker,
        policy_names: listed.items,
    })
}

fn check_name(name: Option<&str>) -> Result<(), Exception> {
    match name {
        None | Some(DEFAULT) => Ok(()),
        Some(_) => Err(Exception {
            code: "NotFoundException",
            message: "No such policy exists".to_owned(),
        }),
    }
}

const DEFAULT: &str = "default";
