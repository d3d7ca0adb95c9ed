//! Access keys of users, in IAM's words: only the account's root may make and take them.

use serde::{Deserialize, Serialize};

use super::Nothing;
use super::blob::SecretText;
use super::exception::Exception;
use super::names::{of_account, principal};
use super::page::Page;
use super::shape::request;
use super::shapes::{
    ACCESS_KEY_ID, ACCESS_KEY_STATUS, LIMIT, MARKER, PRINCIPAL, SECRET_ACCESS_KEY,
};
use super::time::Timestamp;
use crate::access_key::{AccessKeyId, AccessKeyMetadata, GivenAccessKey};
use crate::caller::Caller;
use crate::error::Error;
use crate::principal::Principal;
use crate::secret::SecretBytes;
use crate::service::Kms;

request! {
    /// What `CreateAccessKey` takes: id and secret together, or neither, and they are made.
    CreateAccessKeyRequest {
        /// Whose it is to be: an ARN, or the name of a user of this account.
        user_name: String = PRINCIPAL,
        /// An id that is given.
        access_key_id: Option<String> = ACCESS_KEY_ID,
        /// The secret that belongs to it.
        secret_access_key: Option<SecretText> = SECRET_ACCESS_KEY,
    }
}

request! {
    /// What `UpdateAccessKey` takes.
    UpdateAccessKeyRequest {
        /// Which access key.
        access_key_id: String = ACCESS_KEY_ID,
        /// `Active`, or `Inactive`.
        status: String = ACCESS_KEY_STATUS,
    }
}

request! {
    /// What `DeleteAccessKey` takes.
    DeleteAccessKeyRequest {
        /// Which access key.
        access_key_id: String = ACCESS_KEY_ID,
    }
}

request! {
    /// What `ListAccessKeys` takes.
    #[derive(Default)]
    ListAccessKeysRequest {
        /// Whose: an ARN, or the name of a user of this account; none: everybody's.
        user_name: Option<String> = PRINCIPAL,
        /// At most so many; none: 100.
        limit: Option<u32> = LIMIT,
        /// The `NextMarker` of the page before.
        marker: Option<String> = MARKER,
    }
}

/// What `CreateAccessKey` answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateAccessKeyResponse {
    /// The access key, with its secret: no later answer has it.
    pub access_key: NewAccessKeyDescription,
}

/// An access key that was just made.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NewAccessKeyDescription {
    /// The ARN of its user.
    pub user_name: String,
    /// Its id.
    pub access_key_id: String,
    /// `Active`.
    pub status: String,
    /// What requests are to be signed with.
    pub secret_access_key: SecretText,
    /// When it was made.
    pub create_date: Timestamp,
}

/// What `ListAccessKeys` answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAccessKeysResponse {
    /// The access keys of this page.
    pub access_key_metadata: Vec<AccessKeyDescription>,
    /// The marker of the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// Whether there is a next one.
    pub truncated: bool,
}

/// An access key, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccessKeyDescription {
    /// The ARN of its user.
    pub user_name: String,
    /// Its id.
    pub access_key_id: String,
    /// `Active` or `Inactive`.
    pub status: String,
    /// When it was made.
    pub create_date: Timestamp,
    /// When it was last used, to the hour; none: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_date: Option<Timestamp>,
}

pub(super) fn create_access_key(
    kms: &Kms,
    caller: &Caller,
    request: CreateAccessKeyRequest,
) -> Result<CreateAccessKeyResponse, Exception> {
    let user = user(kms, &request.user_name)?;
    let given = match (request.access_key_id, request.secret_access_key) {
        (None, None) => None,
        (Some(id), Some(secret)) => Some(given(&id, &secret)?),
        (None, Some(_)) => return Err(Exception::missing("accessKeyId")),
        (Some(_), None) => return Err(Exception::missing("secretAccessKey")),
    };
    let made = kms.create_access_key(caller, &user, given)?;
    let about = description(made.metadata);
    Ok(CreateAccessKeyResponse {
        access_key: NewAccessKeyDescription {
            user_name: about.user_name,
            access_key_id: about.access_key_id,
            status: about.status,
            secret_access_key: SecretText::copy_of(&String::from_utf8_lossy(made.secret.expose())),
            create_date: about.create_date,
        },
    })
}

fn given(id: &str, secret: &SecretText) -> Result<GivenAccessKey, Error> {
    let too_long = Error::InvalidAccessKey("a secret access key has at most 128 characters");
    Ok(GivenAccessKey {
        id: id.parse()?,
        secret: SecretBytes::copy_from(secret.expose().as_bytes()).ok_or(too_long)?,
    })
}

pub(super) fn update_access_key(
    kms: &Kms,
    caller: &Caller,
    request: UpdateAccessKeyRequest,
) -> Result<Nothing, Exception> {
    let id: AccessKeyId = request.access_key_id.parse()?;
    kms.update_access_key(caller, &id, request.status == ACTIVE)?;
    Ok(Nothing {})
}

pub(super) fn delete_access_key(
    kms: &Kms,
    caller: &Caller,
    request: DeleteAccessKeyRequest,
) -> Result<Nothing, Exception> {
    kms.delete_access_key(caller, &request.access_key_id.parse()?)?;
    Ok(Nothing {})
}

pub(super) fn list_access_keys(
    kms: &Kms,
    caller: &Caller,
    request: ListAccessKeysRequest,
) -> Result<ListAccessKeysResponse, Exception> {
    let page = Page::new(request.limit, request.marker.as_deref(), 100)?;
    let user = request.user_name.map(|name| user(kms, &name)).transpose()?;
    let all = kms.list_access_keys(caller, user.as_ref())?;
    let listed = page.of(all, |key| key.id.to_string());
    Ok(ListAccessKeysResponse {
        truncated: listed.truncated(),
        next_marker: listed.next_marker,
        access_key_metadata: listed.items.into_iter().map(description).collect(),
    })
}

/// The user of that name, or what `text` says otherwise.
fn user(kms: &Kms, text: &str) -> Result<Principal, Error> {
    match text.starts_with("user/") || text.starts_with("arn:") {
        true => principal(kms, text),
        false => of_account(&kms.identity().account, &format!("user/{text}")),
    }
}

fn description(key: AccessKeyMetadata) -> AccessKeyDescription {
    let status = if key.active { ACTIVE } else { INACTIVE };
    AccessKeyDescription {
        user_name: key.user.to_string(),
        access_key_id: key.id.to_string(),
        status: status.to_owned(),
        create_date: key.created.into(),
        last_used_date: key.last_used.map(Timestamp::from),
    }
}

const ACTIVE: &str = "Active";
const INACTIVE: &str = "Inactive";
