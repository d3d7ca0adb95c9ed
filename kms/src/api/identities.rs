//! Users, roles and services: Sealgate's own operations, which only the account's root may do.

use serde::{Deserialize, Serialize};

use super::Nothing;
use super::exception::Exception;
use super::names::{of_account, principal};
use super::page::Page;
use super::shape::request;
use super::shapes::{
    ACCOUNT_ID, IDENTITY_PATH, IDENTITY_POLICY_NAME, LIMIT, MARKER, POLICY, PRINCIPAL, USER_ID,
};
use super::time::Timestamp;
use crate::caller::{Caller, Source};
use crate::error::Error;
use crate::identity::IdentityMetadata;
use crate::principal::Principal;
use crate::service::Kms;

request! {
    /// What `CreateUser` takes.
    CreateUserRequest {
        /// Its name, with a path before it or not: `alice`, `ops/alice`.
        user_name: String = IDENTITY_PATH,
        /// Its account; none: this KMS's own.
        account_id: Option<String> = ACCOUNT_ID,
    }
}

request! {
    /// What `CreateRole` takes.
    CreateRoleRequest {
        /// Its name, with a path before it or not.
        role_name: String = IDENTITY_PATH,
        /// Its account; none: this KMS's own.
        account_id: Option<String> = ACCOUNT_ID,
    }
}

request! {
    /// What `CreateService` takes.
    CreateServiceRequest {
        /// Its name, with a path before it or not.
        service_name: String = IDENTITY_PATH,
        /// Its account; none: this KMS's own.
        account_id: Option<String> = ACCOUNT_ID,
    }
}

request! {
    /// What an operation takes that needs to know the identity alone.
    IdentityRequest {
        /// Which user or role.
        principal: String = PRINCIPAL,
    }
}

request! {
    /// What `ListIdentities` takes.
    #[derive(Default)]
    ListIdentitiesRequest {
        /// At most so many; none: 100.
        limit: Option<u32> = LIMIT,
        /// The `NextMarker` of the page before.
        marker: Option<String> = MARKER,
    }
}

request! {
    /// What `PutIdentityPolicy` takes.
    PutIdentityPolicyRequest {
        /// Which user or role.
        principal: String = PRINCIPAL,
        /// The policy's name.
        policy_name: String = IDENTITY_POLICY_NAME,
        /// The policy, in JSON.
        policy_document: String = POLICY,
    }
}

request! {
    /// What `GetIdentityPolicy` and `DeleteIdentityPolicy` take.
    IdentityPolicyRequest {
        /// Which user or role.
        principal: String = PRINCIPAL,
        /// The policy's name.
        policy_name: String = IDENTITY_POLICY_NAME,
    }
}

request! {
    /// What `MapUid` and `UnmapUid` take.
    UidRequest {
        /// Which user or role.
        principal: String = PRINCIPAL,
        /// A user id of this machine.
        uid: u32 = USER_ID,
    }
}

request! {
    /// What `GetCallerIdentity` takes.
    #[derive(Default)]
    GetCallerIdentityRequest {}
}

/// What the operations answer that show one identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IdentityResponse {
    /// The user or role.
    pub identity: IdentityDescription,
}

/// A user or a role.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IdentityDescription {
    /// Its ARN.
    pub arn: String,
    /// When it was created.
    pub creation_date: Timestamp,
    /// The local user ids that act as it.
    pub uids: Vec<u32>,
    /// The names of its policies.
    pub policy_names: Vec<String>,
}

/// What `ListIdentities` answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListIdentitiesResponse {
    /// The users and roles of this page.
    pub identities: Vec<IdentityDescription>,
    /// The marker of the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// Whether there is a next one.
    pub truncated: bool,
}

/// What `GetIdentityPolicy` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IdentityPolicyResponse {
    /// Whose it is.
    pub principal: String,
    /// Its name.
    pub policy_name: String,
    /// The policy as it was put.
    pub policy_document: String,
}

/// What `GetCallerIdentity` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetCallerIdentityResponse {
    /// The ARN of who asks.
    pub arn: String,
    /// Its account.
    pub account: String,
    /// The user id of its process, where it asks from this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
}

pub(super) fn create_user(
    kms: &Kms,
    caller: &Caller,
    request: CreateUserRequest,
) -> Result<IdentityResponse, Exception> {
    let resource = format!("user/{}", request.user_name);
    create(kms, caller, request.account_id.as_deref(), &resource)
}

pub(super) fn create_role(
    kms: &Kms,
    caller: &Caller,
    request: CreateRoleRequest,
) -> Result<IdentityResponse, Exception> {
    let resource = format!("role/{}", request.role_name);
    create(kms, caller, request.account_id.as_deref(), &resource)
}

pub(super) fn create_service(
    kms: &Kms,
    caller: &Caller,
    request: CreateServiceRequest,
) -> Result<IdentityResponse, Exception> {
    let resource = format!("service/{}", request.service_name);
    create(kms, caller, request.account_id.as_deref(), &resource)
}

fn create(
    kms: &Kms,
    caller: &Caller,
    account: Option<&str>,
    resource: &str,
) -> Result<IdentityResponse, Exception> {
    let account = account.unwrap_or(&kms.identity().account);
    let created = kms.create_identity(caller, of_account(account, resource)?)?;
    Ok(IdentityResponse {
        identity: description(created),
    })
}

pub(super) fn delete_identity(
    kms: &Kms,
    caller: &Caller,
    request: IdentityRequest,
) -> Result<Nothing, Exception> {
    kms.delete_identity(caller, &principal(kms, &request.principal)?)?;
    Ok(Nothing {})
}

pub(super) fn get_identity(
    kms: &Kms,
    caller: &Caller,
    request: IdentityRequest,
) -> Result<IdentityResponse, Exception> {
    let principal = principal(kms, &request.principal)?;
    Ok(IdentityResponse {
        identity: find(kms, caller, &principal).map(description)?,
    })
}

pub(super) fn list_identities(
    kms: &Kms,
    caller: &Caller,
    request: ListIdentitiesRequest,
) -> Result<ListIdentitiesResponse, Exception> {
    let page = Page::new(request.limit, request.marker.as_deref(), 100)?;
    let all = kms.list_identities(caller)?;
    let listed = page.of(all, |identity| identity.principal.to_string());
    Ok(ListIdentitiesResponse {
        truncated: listed.truncated(),
        next_marker: listed.next_marker,
        identities: listed.items.into_iter().map(description).collect(),
    })
}

pub(super) fn put_identity_policy(
    kms: &Kms,
    caller: &Caller,
    request: PutIdentityPolicyRequest,
) -> Result<Nothing, Exception> {
    let principal = principal(kms, &request.principal)?;
    let (name, text) = (&request.policy_name, &request.policy_document);
    kms.put_identity_policy(caller, &principal, name, text)?;
    Ok(Nothing {})
}

pub(super) fn get_identity_policy(
    kms: &Kms,
    caller: &Caller,
    request: IdentityPolicyRequest,
) -> Result<IdentityPolicyResponse, Exception> {
    let principal = principal(kms, &request.principal)?;
    Ok(IdentityPolicyResponse {
        policy_document: kms.get_identity_policy(caller, &principal, &request.policy_name)?,
        principal: principal.to_string(),
        policy_name: request.policy_name,
    })
}

pub(super) fn delete_identity_policy(
    kms: &Kms,
    caller: &Caller,
    request: IdentityPolicyRequest,
) -> Result<Nothing, Exception> {
    let principal = principal(kms, &request.principal)?;
    kms.delete_identity_policy(caller, &principal, &request.policy_name)?;
    Ok(Nothing {})
}

pub(super) fn map_uid(
    kms: &Kms,
    caller: &Caller,
    request: UidRequest,
) -> Result<Nothing, Exception> {
    kms.map_uid(caller, request.uid, &principal(kms, &request.principal)?)?;
    Ok(Nothing {})
}

pub(super) fn unmap_uid(
    kms: &Kms,
    caller: &Caller,
    request: UidRequest,
) -> Result<Nothing, Exception> {
    kms.unmap_uid(caller, request.uid, &principal(kms, &request.principal)?)?;
    Ok(Nothing {})
}

pub(super) fn get_caller_identity(
    kms: &Kms,
    caller: &Caller,
    _request: GetCallerIdentityRequest,
) -> Result<GetCallerIdentityResponse, Exception> {
    let (principal, source) = match caller {
        Caller::Outside(outside) => (outside.principal.clone(), Some(outside.source)),
        Caller::Internal => (kms.identity().root(), None),
    };
    Ok(GetCallerIdentityResponse {
        arn: principal.to_string(),
        account: principal.account().to_owned(),
        uid: match source {
            Some(Source::Local { uid }) => Some(uid),
            _ => None,
        },
    })
}

fn find(kms: &Kms, caller: &Caller, principal: &Principal) -> Result<IdentityMetadata, Error> {
    let all = kms.list_identities(caller)?;
    let found = all
        .into_iter()
        .find(|identity| identity.principal == *principal);
    found.ok_or_else(|| Error::IdentityNotFound(principal.clone()))
}

fn description(identity: IdentityMetadata) -> IdentityDescription {
    IdentityDescription {
        arn: identity.principal.to_string(),
        creation_date: identity.created.into(),
        uids: identity.uids.into_iter().collect(),
        policy_names: identity.policies,
    }
}
