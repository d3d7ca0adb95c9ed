//! `sealgate kms key tag`, `untag` and `tags`.

use kms::api::{
    ListResourceTagsRequest, ListResourceTagsResponse, Nothing, Tag, TagResourceRequest,
    UntagResourceRequest,
};
use serde_json::json;

use super::super::super::failure::Failure;
use super::super::{Service, every_page};
use super::KeyName;

pub(super) fn tag(
    service: &Service<'_>,
    name: &KeyName,
    tags: &[(String, String)],
) -> Result<(), Failure> {
    let tags = tags.iter().cloned();
    let input = TagResourceRequest {
        key_id: name.key.clone(),
        tags: tags
            .map(|(tag_key, tag_value)| Tag { tag_key, tag_value })
            .collect(),
    };
    service.call::<Nothing>("TagResource", &input)?;
    service.done(&format!("{} has these tags.", name.key))
}

pub(super) fn untag(service: &Service<'_>, name: &KeyName, tags: &[String]) -> Result<(), Failure> {
    let input = UntagResourceRequest {
        key_id: name.key.clone(),
        tag_keys: tags.to_vec(),
    };
    service.call::<Nothing>("UntagResource", &input)?;
    service.done(&format!("{} has none of these tags.", name.key))
}

pub(super) fn list(service: &Service<'_>, name: &KeyName) -> Result<(), Failure> {
    let tags = every_page(|marker| {
        let input = ListResourceTagsRequest {
            key_id: name.key.clone(),
            limit: None,
            marker,
        };
        let page: ListResourceTagsResponse = service.call("ListResourceTags", &input)?;
        Ok((page.tags, page.next_marker))
    })?;
    service.show(&json!({ "Tags": tags }), |out| {
        let mut table = out.table(["NAME", "VALUE"]);
        for tag in &tags {
            table.row([tag.tag_key.clone(), tag.tag_value.clone()]);
        }
        table.finish()
    })
}
