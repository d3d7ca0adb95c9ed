//! `sealgate kms key create`.

use std::path::PathBuf;

use clap::Args;
use kms::api::{CreateKeyRequest, DescribeKeyRequest, KeyResponse, Tag};
use kms::{KeyOrigin, KeyRef, KeySpec, KeyUsage};

use super::super::super::failure::Failure;
use super::super::data::pair;
use super::super::policy::read_policy;
use super::super::{Service, alias};

/// Options of `sealgate kms key create`.
#[derive(Debug, Args)]
#[command(
    after_help = "Without a policy, the account decides: its root may all, and others what policies of their own \
                  say.\n\n\
                  Example:\n  sealgate kms key create --alias alias/shop --description shop-tokens\n  \
                  sealgate kms key create --alias alias/release --spec ECC_NIST_P256 --usage SIGN_VERIFY"
)]
pub struct Create {
    /// A name for it: alias/NAME
    #[arg(long, value_name = "ALIAS", value_parser = alias_name)]
    pub alias: Option<String>,
    /// What it is for, for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub description: String,
    /// What its material is: SYMMETRIC_DEFAULT, RSA_2048, ECC_NIST_P256, HMAC_256, …
    #[arg(long, value_name = "SPEC", default_value_t)]
    pub spec: KeySpec,
    /// What it is used for: ENCRYPT_DECRYPT, SIGN_VERIFY, GENERATE_VERIFY_MAC, KEY_AGREEMENT [with a symmetric key,
    /// default: ENCRYPT_DECRYPT]
    #[arg(long, value_name = "USAGE")]
    pub usage: Option<KeyUsage>,
    /// Its material is imported later
    #[arg(long)]
    pub external: bool,
    /// It may have replicas in other regions
    #[arg(long)]
    pub multi_region: bool,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = pair)]
    pub tags: Vec<(String, String)>,
    /// File with its policy, `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Also where you could not change the policy again then
    #[arg(long, requires = "policy")]
    pub bypass_lockout_check: bool,
}

pub(super) fn create(service: &Service<'_>, options: &Create) -> Result<(), Failure> {
    if let Some(alias) = &options.alias {
        refuse_taken(service, alias)?;
    }
    let answer: KeyResponse = service.call("CreateKey", &request(options)?)?;
    let id = &answer.key_metadata.key_id;
    if let Some(name) = &options.alias {
        alias::create(service, name, id).map_err(|failure| without_alias(failure, name, id))?;
    }
    service.show(&answer, |_| id.clone())
}

/// Refuses a name that a key has already, before there is another key without one.
fn refuse_taken(service: &Service<'_>, alias: &str) -> Result<(), Failure> {
    let input = DescribeKeyRequest {
        key_id: alias.to_owned(),
        grant_tokens: None,
    };
    match service.call::<KeyResponse>("DescribeKey", &input) {
        Ok(taken) => Err(Failure::failed(format!(
            "{alias} names the key {} already: give this one another name, or none",
            taken.key_metadata.key_id
        ))),
        Err(failure) if failure.code.as_deref() == Some("NotFoundException") => Ok(()),
        // There is one, which this user may not see; or what keeps it from seeing keeps it from more.
        Err(failure) => Err(failure),
    }
}

/// `alias/NAME`, and none of those that are not given.
///
/// # Errors
/// What is allowed.
fn alias_name(text: &str) -> Result<String, String> {
    let reserved = ["alias/sealgate/", "alias/aws/"];
    if reserved.iter().any(|prefix| text.starts_with(prefix)) {
        return Err(format!(
            "aliases under {} and {} are reserved",
            reserved[0], reserved[1]
        ));
    }
    match text.parse() {
        Ok(KeyRef::Alias(alias)) => Ok(alias),
        _ => Err("write alias/NAME, of letters, digits, `/`, `_` and `-`".to_owned()),
    }
}

fn request(options: &Create) -> Result<CreateKeyRequest, Failure> {
    let origin = options
        .external
        .then(|| KeyOrigin::External.as_str().to_owned());
    let tags = options.tags.iter().cloned();
    let tags = tags.map(|(tag_key, tag_value)| Tag { tag_key, tag_value });
    Ok(CreateKeyRequest {
        policy: options.policy.as_deref().map(read_policy).transpose()?,
        description: Some(options.description.clone()),
        key_usage: options.usage.map(|usage| usage.as_str().to_owned()),
        key_spec: Some(options.spec.as_str().to_owned()),
        origin,
        bypass_policy_lockout_safety_check: Some(options.bypass_lockout_check),
        tags: Some(tags.collect()),
        multi_region: Some(options.multi_region),
        ..CreateKeyRequest::default()
    })
}

/// The key is there, its name is not.
fn without_alias(failure: Failure, alias: &str, id: &str) -> Failure {
    Failure {
        message: format!(
            "key {id} was made, but not its name: {}; `sealgate kms alias create {alias} {id}` tries again",
            failure.message
        ),
        ..failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_none_is_refused_before_a_key_is_made() {
        assert_eq!(alias_name("alias/shop").unwrap(), "alias/shop");
        for text in [
            "shop",
            "alias/",
            "alias/a b",
            "alias/sealgate/x",
            "alias/aws/s3",
        ] {
            assert!(alias_name(text).is_err(), "{text}");
        }
    }
}
