//! `sealgate kms key create`.

use std::path::PathBuf;

use clap::Args;
use kms::api::{CreateKeyRequest, KeyResponse, Tag};
use kms::{KeyOrigin, KeySpec, KeyUsage};

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
    #[arg(long, value_name = "ALIAS")]
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
    let answer: KeyResponse = service.call("CreateKey", &request(options)?)?;
    let id = &answer.key_metadata.key_id;
    if let Some(name) = &options.alias {
        alias::create(service, name, id).map_err(|failure| without_alias(failure, name, id))?;
    }
    service.show(&answer, |_| id.clone())
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
