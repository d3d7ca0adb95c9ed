//! Tags of keys.

use serde::{Deserialize, Serialize};

use super::Nothing;
use super::exception::Exception;
use super::names::key_ref;
use super::page::Page;
use super::shape::request;
use super::shapes::{KEY_ID, LIMIT, MARKER, TAG_KEY, TAG_KEYS, TAG_VALUE, TAGS};
use crate::caller::Caller;
use crate::service::Kms;

request! {
    /// A tag.
    #[derive(Debug, Clone, PartialEq, Eq)]
    Tag {
        /// What it is called.
        tag_key: String = TAG_KEY,
        /// What it says.
        tag_value: String = TAG_VALUE,
    }
}

request! {
    /// What `TagResource` takes.
    TagResourceRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// Its new tags.
        tags: Vec<Tag> = TAGS,
    }
}

request! {
    /// What `UntagResource` takes.
    UntagResourceRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// Which of its tags.
        tag_keys: Vec<String> = TAG_KEYS,
    }
}

request! {
    /// What `ListResourceTags` takes.
    ListResourceTagsRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// At most so many; none: 50.
        limit: Option<u32> = LIMIT,
        /// The `NextMarker` of the page before.
        marker: Option<String> = MARKER,
    }
}

/// What `ListResourceTags` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListResourceTagsResponse {
    /// The tags of this page.
    pub tags: Vec<Tag>,
    /// The marker of the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// Whether there is a next one.
    pub truncated: bool,
}

pub(super) fn tag_resource(
    kms: &Kms,
    caller: &Caller,
    request: TagResourceRequest,
) -> Result<Nothing, Exception> {
    let tags = request.tags.iter();
    let tags = tags.map(|tag| (tag.tag_key.as_str(), tag.tag_value.as_str()));
    kms.tag_resource(caller, &key_ref(&request.key_id)?, tags)?;
    Ok(Nothing {})
}

pub(super) fn untag_resource(
    kms: &Kms,
    caller: &Caller,
    request: UntagResourceRequest,
) -> Result<Nothing, Exception> {
    kms.untag_resource(caller, &key_ref(&request.key_id)?, &request.tag_keys)?;
    Ok(Nothing {})
}

pub(super) fn list_resource_tags(
    kms: &Kms,
    caller: &Caller,
    request: ListResourceTagsRequest,
) -> Result<ListResourceTagsResponse, Exception> {
    let page = Page::new(request.limit, request.marker.as_deref(), 50)?;
    let tags = kms.list_resource_tags(caller, &key_ref(&request.key_id)?)?;
    let tags = tags
        .into_iter()
        .map(|(tag_key, tag_value)| Tag { tag_key, tag_value });
    let listed = page.of(tags.collect(), |tag| tag.tag_key.clone());
    Ok(ListResourceTagsResponse {
        truncated: listed.truncated(),
        next_marker: listed.next_marker,
        tags: listed.items,
    })
}
