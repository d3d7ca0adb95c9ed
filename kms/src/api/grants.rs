//! Grants.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Nothing;
use super::exception::Exception;
use super::names::{check_grant_tokens, key_ref, principal, trying};
use super::page::{Listed, Page};
use super::shape::{Shape, Structure, request};
use super::shapes::{
    BOOLEAN, CONTEXT, GRANT_ID, GRANT_NAME, GRANT_OPERATIONS, GRANT_TOKEN, GRANT_TOKENS, KEY_ID,
    LIMIT, MARKER, PRINCIPAL, SERVICE_PRINCIPAL, SOURCE_ARN,
};
use super::time::Timestamp;
use crate::caller::Caller;
use crate::context::EncryptionContext;
use crate::grant::{Grant, GrantConstraints, GrantId, GrantToken, NewGrant};
use crate::policy::Action;
use crate::service::Kms;

request! {
    /// With which encryption contexts only.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    Constraints {
        /// The context has these pairs, and may have more.
        encryption_context_subset: Option<EncryptionContext> = CONTEXT,
        /// The context has these pairs and no other.
        encryption_context_equals: Option<EncryptionContext> = CONTEXT,
        /// Not supported.
        source_arn: Option<String> = SOURCE_ARN,
    }
}

static CONSTRAINTS: Shape = Shape::Structure(Constraints::MEMBERS);

request! {
    /// What `CreateGrant` takes.
    CreateGrantRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// Who may then use it.
        grantee_principal: Option<String> = PRINCIPAL,
        /// Who may retire the grant.
        retiring_principal: Option<String> = PRINCIPAL,
        /// For what.
        operations: Vec<String> = GRANT_OPERATIONS,
        /// With which encryption contexts only.
        constraints: Option<Constraints> = CONSTRAINTS,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
        /// The same terms under the same name are the same grant.
        name: Option<String> = GRANT_NAME,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
        /// Not supported.
        grantee_service_principal: Option<String> = SERVICE_PRINCIPAL,
        /// Not supported.
        retiring_service_principal: Option<String> = SERVICE_PRINCIPAL,
    }
}

request! {
    /// What `ListGrants` takes.
    ListGrantsRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// This one only.
        grant_id: Option<String> = GRANT_ID,
        /// Those of this grantee only.
        grantee_principal: Option<String> = PRINCIPAL,
        /// Not supported.
        grantee_service_principal: Option<String> = SERVICE_PRINCIPAL,
        /// At most so many; none: 50.
        limit: Option<u32> = LIMIT,
        /// The `NextMarker` of the page before.
        marker: Option<String> = MARKER,
    }
}

request! {
    /// What `ListRetirableGrants` takes.
    ListRetirableGrantsRequest {
        /// At most so many; none: 50.
        limit: Option<u32> = LIMIT,
        /// The `NextMarker` of the page before.
        marker: Option<String> = MARKER,
        /// Who may retire them.
        retiring_principal: Option<String> = PRINCIPAL,
        /// Not supported.
        retiring_service_principal: Option<String> = SERVICE_PRINCIPAL,
    }
}

request! {
    /// What `RetireGrant` takes: a token, or key and id.
    #[derive(Default)]
    RetireGrantRequest {
        /// The word that names the grant.
        grant_token: Option<String> = GRANT_TOKEN,
        /// Which key.
        key_id: Option<String> = KEY_ID,
        /// Which grant on it.
        grant_id: Option<String> = GRANT_ID,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
    }
}

request! {
    /// What `RevokeGrant` takes.
    RevokeGrantRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// Which grant on it.
        grant_id: String = GRANT_ID,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
    }
}

/// What `CreateGrant` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateGrantResponse {
    /// The word that names the grant, for who retires it.
    pub grant_token: String,
    /// Its id.
    pub grant_id: String,
}

/// What `ListGrants` and `ListRetirableGrants` answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListGrantsResponse {
    /// The grants of this page.
    pub grants: Vec<GrantListEntry>,
    /// The marker of the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// Whether there is a next one.
    pub truncated: bool,
}

/// A grant in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GrantListEntry {
    /// The ARN of the key.
    pub key_id: String,
    /// Its id.
    pub grant_id: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was created.
    pub creation_date: Timestamp,
    /// Who may use the key.
    pub grantee_principal: String,
    /// Who may retire the grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retiring_principal: Option<String>,
    /// Whose grant it is.
    pub issuing_account: String,
    /// For what.
    pub operations: Vec<String>,
    /// With which encryption contexts only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraints: Option<ListedConstraints>,
}

/// The constraints of a grant in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedConstraints {
    /// The context has these pairs, and may have more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_context_subset: Option<EncryptionContext>,
    /// The context has these pairs and no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_context_equals: Option<EncryptionContext>,
}

pub(super) fn create_grant(
    kms: &Kms,
    caller: &Caller,
    request: CreateGrantRequest,
) -> Result<CreateGrantResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    let caller = &trying(caller, request.dry_run);
    let key = key_ref(&request.key_id)?;
    let grant = kms.create_grant(caller, &key, terms(kms, request)?)?;
    Ok(CreateGrantResponse {
        grant_token: grant.token().to_string(),
        grant_id: grant.id.to_string(),
    })
}

pub(super) fn list_grants(
    kms: &Kms,
    caller: &Caller,
    request: ListGrantsRequest,
) -> Result<ListGrantsResponse, Exception> {
    refuse_services([&request.grantee_service_principal])?;
    let page = Page::new(request.limit, request.marker.as_deref(), 50)?;
    let grantee = request.grantee_principal.as_deref();
    let grantee = grantee.map(|text| principal(kms, text)).transpose()?;
    let mut grants = kms.list_grants(caller, &key_ref(&request.key_id)?)?;
    grants.retain(|grant| {
        let id = request.grant_id.as_ref();
        id.is_none_or(|id| grant.id.to_string() == *id)
            && grantee
                .as_ref()
                .is_none_or(|grantee| grant.terms.grantee == *grantee)
    });
    Ok(listed(kms, page.of(grants, |grant| grant.id.to_string())))
}

pub(super) fn list_retirable_grants(
    kms: &Kms,
    caller: &Caller,
    request: ListRetirableGrantsRequest,
) -> Result<ListGrantsResponse, Exception> {
    refuse_services([&request.retiring_service_principal])?;
    let page = Page::new(request.limit, request.marker.as_deref(), 50)?;
    let retiring = request.retiring_principal.as_deref();
    let retiring = retiring.ok_or_else(|| Exception::missing("retiringPrincipal"))?;
    let grants = kms.list_retirable_grants(caller, &principal(kms, retiring)?)?;
    Ok(listed(kms, page.of(grants, |grant| grant.id.to_string())))
}

pub(super) fn retire_grant(
    kms: &Kms,
    caller: &Caller,
    request: RetireGrantRequest,
) -> Result<Nothing, Exception> {
    let caller = &trying(caller, request.dry_run);
    kms.retire_grant(caller, &retired(kms, &request)?)?;
    Ok(Nothing {})
}

pub(super) fn revoke_grant(
    kms: &Kms,
    caller: &Caller,
    request: RevokeGrantRequest,
) -> Result<Nothing, Exception> {
    let caller = &trying(caller, request.dry_run);
    let grant: GrantId = request.grant_id.parse()?;
    kms.revoke_grant(caller, &key_ref(&request.key_id)?, &grant)?;
    Ok(Nothing {})
}

fn terms(kms: &Kms, request: CreateGrantRequest) -> Result<NewGrant, Exception> {
    refuse_services([
        &request.grantee_service_principal,
        &request.retiring_service_principal,
    ])?;
    let grantee = request.grantee_principal.as_deref();
    let grantee = grantee.ok_or_else(|| Exception::missing("granteePrincipal"))?;
    let retiring = request.retiring_principal.as_deref();
    let operations = request.operations.iter().map(|name| name.parse::<Action>());
    Ok(NewGrant {
        grantee: principal(kms, grantee)?,
        retiring: retiring.map(|text| principal(kms, text)).transpose()?,
        operations: operations.collect::<Result<_, _>>()?,
        constraints: constraints(request.constraints.unwrap_or_default())?,
        name: request.name,
    })
}

fn constraints(asked: Constraints) -> Result<GrantConstraints, Exception> {
    if asked.source_arn.is_some() {
        return Err(Exception::unsupported("the grant constraint SourceArn"));
    }
    Ok(GrantConstraints {
        encryption_context_equals: asked.encryption_context_equals,
        encryption_context_subset: asked.encryption_context_subset,
    })
}

/// The grant that is to be retired: by its token, or by key and id.
fn retired(kms: &Kms, request: &RetireGrantRequest) -> Result<GrantToken, Exception> {
    match (&request.grant_token, &request.key_id, &request.grant_id) {
        (Some(token), None, None) => Ok(token.parse()?),
        (None, Some(key), Some(grant)) => Ok(GrantToken {
            key: kms.resolve(&key_ref(key)?)?,
            grant: grant.parse()?,
        }),
        _ => Err(Exception::validation(
            "Either a GrantToken, or both a KeyId and a GrantId must be given",
        )),
    }
}

fn listed(kms: &Kms, listed: Listed<Arc<Grant>>) -> ListGrantsResponse {
    ListGrantsResponse {
        truncated: listed.truncated(),
        next_marker: listed.next_marker,
        grants: listed.items.iter().map(|grant| entry(kms, grant)).collect(),
    }
}

fn entry(kms: &Kms, grant: &Grant) -> GrantListEntry {
    let operations = grant.terms.operations.iter();
    GrantListEntry {
        key_id: kms.identity().key_arn(grant.key),
        grant_id: grant.id.to_string(),
        name: grant.terms.name.clone(),
        creation_date: grant.created.into(),
        grantee_principal: grant.terms.grantee.to_string(),
        retiring_principal: grant.terms.retiring.as_ref().map(ToString::to_string),
        issuing_account: kms.identity().root().to_string(),
        operations: operations
            .map(|action| action.operation().to_owned())
            .collect(),
        constraints: shown(&grant.terms.constraints),
    }
}

fn shown(constraints: &GrantConstraints) -> Option<ListedConstraints> {
    let shown = ListedConstraints {
        encryption_context_subset: constraints.encryption_context_subset.clone(),
        encryption_context_equals: constraints.encryption_context_equals.clone(),
    };
    let any =
        shown.encryption_context_subset.is_some() || shown.encryption_context_equals.is_some();
    any.then_some(shown)
}

fn refuse_services<const N: usize>(named: [&Option<String>; N]) -> Result<(), Exception> {
    match named.iter().any(|named| named.is_some()) {
        true => Err(Exception::unsupported("a service as principal of a grant")),
        false => Ok(()),
    }
}
