//! Aliases.

use serde::{Deserialize, Serialize};

use super::Nothing;
use super::exception::Exception;
use super::names::key_ref;
use super::page::Page;
use super::shape::request;
use super::shapes::{ALIAS_NAME, KEY_ID, LIMIT, MARKER};
use super::time::Timestamp;
use crate::caller::Caller;
use crate::service::{Alias, Kms};

request! {
    /// What `CreateAlias` and `UpdateAlias` take.
    AliasRequest {
        /// `alias/NAME`.
        alias_name: String = ALIAS_NAME,
        /// The key that it points to.
        target_key_id: String = KEY_ID,
    }
}

request! {
    /// What `DeleteAlias` takes.
    DeleteAliasRequest {
        /// `alias/NAME`.
        alias_name: String = ALIAS_NAME,
    }
}

request! {
    /// What `ListAliases` takes.
    #[derive(Default)]
    ListAliasesRequest {
        /// Those of this key only.
        key_id: Option<String> = KEY_ID,
        /// At most so many; none: 50.
        limit: Option<u32> = LIMIT,
        /// The `NextMarker` of the page before.
        marker: Option<String> = MARKER,
    }
}

/// What `ListAliases` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAliasesResponse {
    /// The aliases of this page.
    pub aliases: Vec<AliasListEntry>,
    /// The marker of the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// Whether there is a next one.
    pub truncated: bool,
}

/// An alias in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AliasListEntry {
    /// `alias/NAME`.
    pub alias_name: String,
    /// Its ARN.
    pub alias_arn: String,
    /// The id of the key that it points to.
    pub target_key_id: String,
    /// When it was created.
    pub creation_date: Timestamp,
    /// When it was last pointed to another key.
    pub last_updated_date: Timestamp,
}

pub(super) fn create_alias(
    kms: &Kms,
    caller: &Caller,
    request: AliasRequest,
) -> Result<Nothing, Exception> {
    let key = key_ref(&request.target_key_id)?;
    kms.create_alias(caller, &request.alias_name, &key)?;
    Ok(Nothing {})
}

pub(super) fn update_alias(
    kms: &Kms,
    caller: &Caller,
    request: AliasRequest,
) -> Result<Nothing, Exception> {
    let key = key_ref(&request.target_key_id)?;
    kms.update_alias(caller, &request.alias_name, &key)?;
    Ok(Nothing {})
}

pub(super) fn delete_alias(
    kms: &Kms,
    caller: &Caller,
    request: DeleteAliasRequest,
) -> Result<Nothing, Exception> {
    kms.delete_alias(caller, &request.alias_name)?;
    Ok(Nothing {})
}

pub(super) fn list_aliases(
    kms: &Kms,
    caller: &Caller,
    request: ListAliasesRequest,
) -> Result<ListAliasesResponse, Exception> {
    let page = Page::new(request.limit, request.marker.as_deref(), 50)?;
    let key = request.key_id.as_deref().map(key_ref).transpose()?;
    let listed = page.of(kms.list_aliases(caller, key.as_ref())?, |alias| {
        alias.name.clone()
    });
    Ok(ListAliasesResponse {
        truncated: listed.truncated(),
        next_marker: listed.next_marker,
        aliases: listed.items.into_iter().map(AliasListEntry::from).collect(),
    })
}

impl From<Alias> for AliasListEntry {
    fn from(alias: Alias) -> Self {
        Self {
            alias_name: alias.name,
            alias_arn: alias.arn,
            target_key_id: alias.key.to_string(),
            creation_date: alias.created.into(),
            last_updated_date: alias.updated.into(),
        }
    }
}
