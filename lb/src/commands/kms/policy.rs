//! `sealgate kms policy …`: key policies.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use kms::api::{GetKeyPolicyRequest, KeyPolicyResponse, Nothing, PutKeyPolicyRequest};

use super::super::failure::Failure;
use super::super::prompt::{read_secret, source_name};
use super::super::words::key_ref;
use super::Service;

/// Key policies: who may use a key
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Print the policy of a key
    #[command(after_help = "Example:\n  sealgate kms policy get alias/shop > policy.json")]
    Get {
        /// Key id, key ARN, alias or alias ARN
        #[arg(value_parser = key_ref)]
        key: String,
    },
    /// Give a customer key another policy
    #[command(
        after_help = "The policy is JSON in AWS's grammar; it holds from the next call on.\n\n\
                      Example:\n  sealgate kms policy put alias/shop policy.json"
    )]
    Put {
        /// Key id, key ARN, alias or alias ARN
        #[arg(value_parser = key_ref)]
        key: String,
        /// File with the policy, `-` for standard input
        #[arg(value_name = "FILE")]
        policy: PathBuf,
        /// Also where you could not change the policy again then
        #[arg(long)]
        bypass_lockout_check: bool,
    },
}

pub(super) fn run(service: &Service<'_>, command: &PolicyCommand) -> Result<(), Failure> {
    match command {
        PolicyCommand::Get { key } => get(service, key),
        PolicyCommand::Put {
            key,
            policy,
            bypass_lockout_check,
        } => put(service, key, policy, *bypass_lockout_check),
    }
}

fn get(service: &Service<'_>, key: &str) -> Result<(), Failure> {
    let input = GetKeyPolicyRequest {
        key_id: key.to_owned(),
        policy_name: None,
    };
    let answer: KeyPolicyResponse = service.call("GetKeyPolicy", &input)?;
    service.show(&answer, |_| answer.policy.clone())
}

fn put(
    service: &Service<'_>,
    key: &str,
    policy: &Path,
    bypass_lockout_check: bool,
) -> Result<(), Failure> {
    let input = PutKeyPolicyRequest {
        key_id: key.to_owned(),
        policy_name: None,
        policy: read_policy(policy)?,
        bypass_policy_lockout_safety_check: Some(bypass_lockout_check),
    };
    service.call::<Nothing>("PutKeyPolicy", &input)?;
    service.done(&format!("{key} has the policy of {}.", source_name(policy)))
}

/// The text of a policy.
///
/// # Errors
/// When it cannot be read, or is no text.
pub(super) fn read_policy(path: &Path) -> Result<String, Failure> {
    let bytes = read_secret(path, POLICY_LIMIT)?;
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| Failure::usage(format!("{} is not UTF-8", source_name(path))))?;
    Ok(text.to_owned())
}

/// AWS's limit of what is asked; the KMS itself takes 32 KiB.
const POLICY_LIMIT: usize = 131_072;
