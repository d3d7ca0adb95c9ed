//! `sealgate kms key list` and `describe`.

use kms::KeyTier;
use kms::api::{DescribeKeysRequest, DescribeKeysResponse, KeyDescription};
use serde_json::json;

use super::super::super::failure::Failure;
use super::super::super::output::Output;
use super::super::{Service, every_page, lines, time};
use super::KeyName;

pub(super) fn list(service: &Service<'_>) -> Result<(), Failure> {
    let keys = every_page(|marker| {
        let input = DescribeKeysRequest {
            marker,
            ..DescribeKeysRequest::default()
        };
        let page: DescribeKeysResponse = service.call("DescribeKeys", &input)?;
        Ok((page.keys, page.next_marker))
    })?;
    service.show(&json!({ "Keys": keys }), |out| table(&keys, out))
}

pub(super) fn describe(service: &Service<'_>, name: &KeyName) -> Result<(), Failure> {
    let input = DescribeKeysRequest {
        key_id: Some(name.key.clone()),
        ..DescribeKeysRequest::default()
    };
    let answer: DescribeKeysResponse = service.call("DescribeKeys", &input)?;
    match &answer.keys[..] {
        [key] => service.show(key, |_| details(key)),
        _ => Err(Failure::failed("the KMS did not answer with one key")),
    }
}

fn table(keys: &[KeyDescription], output: &Output) -> String {
    let mut table = output.table(["KEY ID", "TIER", "ALIASES", "SPEC", "STATE", "DESCRIPTION"]);
    for key in keys {
        let metadata = &key.key_metadata;
        table.row([
            metadata.key_id.clone(),
            tier(key).to_owned(),
            key.aliases.join(", "),
            metadata.key_spec.clone(),
            metadata.key_state.clone(),
            metadata.description.clone(),
        ]);
    }
    table.finish()
}

fn details(key: &KeyDescription) -> String {
    let metadata = &key.key_metadata;
    let mut pairs = vec![
        ("Key id", metadata.key_id.clone()),
        ("ARN", metadata.arn.clone()),
        ("Tier", tier(key).to_owned()),
        ("State", metadata.key_state.clone()),
        ("Spec", metadata.key_spec.clone()),
        ("Usage", metadata.key_usage.clone()),
        ("Origin", metadata.origin.clone()),
        ("Description", metadata.description.clone()),
        ("Aliases", key.aliases.join(", ")),
        ("Created", time(metadata.creation_date)),
    ];
    let dates = [
        ("Deletion", metadata.deletion_date),
        ("Material until", metadata.valid_to),
    ];
    pairs.extend(
        dates
            .iter()
            .filter_map(|(label, date)| Some((*label, time((*date)?)))),
    );
    pairs.push(("Generations", key.backing_key_dates.len().to_string()));
    pairs.extend(key.backing_key_dates.iter().map(|made| ("", time(*made))));
    lines(&pairs)
}

fn tier(key: &KeyDescription) -> &'static str {
    match key.tier {
        KeyTier::Owned => "owned",
        KeyTier::Managed => "managed",
        KeyTier::Customer => "customer",
    }
}
