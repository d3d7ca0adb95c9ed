//! `sealgate kms key …`: the keys themselves.

mod create;
mod rotation;
mod show;
mod tags;

use base64ct::{Base64, Encoding};
use clap::{Args, Subcommand};
use kms::api::{
    GetPublicKeyRequest, GetPublicKeyResponse, KeyIdResponse, KeyRequest, Nothing,
    ScheduleKeyDeletionRequest, ScheduleKeyDeletionResponse, UpdateKeyDescriptionRequest,
};

use super::super::failure::Failure;
use super::super::words::key_ref;
use super::data::pair;
use super::{Service, time};
use create::Create;

/// KMS keys
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a customer key
    Create(Create),
    /// List the KMS keys
    #[command(after_help = "Example:\n  sealgate kms key list")]
    List,
    /// Show a KMS key
    #[command(after_help = "Example:\n  sealgate kms key describe alias/sealgate/certstore")]
    Describe(KeyName),
    /// Say what a key is for
    #[command(
        after_help = "Example:\n  sealgate kms key update-description alias/shop shop-tokens"
    )]
    UpdateDescription {
        /// The key.
        #[command(flatten)]
        name: KeyName,
        /// What it is for, for people
        description: String,
    },
    /// Let a key be used again
    #[command(after_help = "Example:\n  sealgate kms key enable alias/shop")]
    Enable(KeyName),
    /// Let a key not be used
    #[command(after_help = "Example:\n  sealgate kms key disable alias/shop")]
    Disable {
        /// The key.
        #[command(flatten)]
        name: KeyName,
        /// Also where certificates of the store would no longer open
        #[arg(long)]
        force: bool,
    },
    /// Have a key deleted in some days, with all that is encrypted under it
    #[command(
        after_help = "Until then it is of no use, and that can be taken back.\n\n\
                      Example:\n  sealgate kms key schedule-deletion alias/shop --days 7"
    )]
    ScheduleDeletion {
        /// The key.
        #[command(flatten)]
        name: KeyName,
        /// In how many days, 7 to 30
        #[arg(long, value_name = "DAYS", default_value_t = ::kms::Kms::DEFAULT_PENDING_WINDOW)]
        days: u32,
        /// Also where certificates of the store would no longer open
        #[arg(long)]
        force: bool,
    },
    /// Take a deletion back; the key is disabled then
    #[command(after_help = "Example:\n  sealgate kms key cancel-deletion alias/shop")]
    CancelDeletion(KeyName),
    /// Give a key tags, in place of those of the same names
    #[command(after_help = "Example:\n  sealgate kms key tag alias/shop team=web stage=test")]
    Tag {
        /// The key.
        #[command(flatten)]
        name: KeyName,
        /// Tags
        #[arg(value_name = "NAME=VALUE", value_parser = pair, required = true)]
        tags: Vec<(String, String)>,
    },
    /// Take tags from a key
    #[command(after_help = "Example:\n  sealgate kms key untag alias/shop stage")]
    Untag {
        /// The key.
        #[command(flatten)]
        name: KeyName,
        /// Names of tags
        #[arg(value_name = "NAME", required = true)]
        tags: Vec<String>,
    },
    /// List the tags of a key
    #[command(after_help = "Example:\n  sealgate kms key tags alias/shop")]
    Tags(KeyName),
    /// Give a key new material: it encrypts from now on, and the old still decrypts
    #[command(after_help = "Example:\n  sealgate kms key rotate alias/shop")]
    Rotate(KeyName),
    /// Have a key rotated by itself
    #[command(after_help = "Example:\n  sealgate kms key enable-rotation alias/shop --days 90")]
    EnableRotation {
        /// The key.
        #[command(flatten)]
        name: KeyName,
        /// Every so many days, 90 to 2,560
        #[arg(long, value_name = "DAYS", default_value_t = 365)]
        days: u32,
    },
    /// Have a key no longer rotated by itself
    #[command(after_help = "Example:\n  sealgate kms key disable-rotation alias/shop")]
    DisableRotation(KeyName),
    /// Show when a key is rotated, and its rotations so far
    #[command(after_help = "Example:\n  sealgate kms key rotations alias/shop")]
    Rotations(KeyName),
    /// Print the public half of a key pair in PEM
    #[command(after_help = "Example:\n  sealgate kms key public-key alias/release > release.pem")]
    PublicKey(KeyName),
}

/// A key.
#[derive(Debug, Args)]
pub struct KeyName {
    /// Key id, key ARN, alias or alias ARN
    #[arg(value_parser = key_ref)]
    pub key: String,
}

pub(super) fn run(service: &Service<'_>, command: &KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Create(options) => create::create(service, options),
        KeyCommand::List => show::list(service),
        KeyCommand::Describe(name) => show::describe(service, name),
        KeyCommand::UpdateDescription { name, description } => {
            update_description(service, name, description)
        }
        KeyCommand::Enable(name) => change(service, "EnableKey", name, "can be used."),
        KeyCommand::Disable { name, force } => disable(service, name, *force),
        KeyCommand::ScheduleDeletion { name, days, force } => {
            schedule_deletion(service, name, *days, *force)
        }
        KeyCommand::CancelDeletion(name) => cancel_deletion(service, name),
        KeyCommand::Tag { name, tags } => tags::tag(service, name, tags),
        KeyCommand::Untag { name, tags } => tags::untag(service, name, tags),
        KeyCommand::Tags(name) => tags::list(service, name),
        KeyCommand::Rotate(name) => rotation::rotate(service, name),
        KeyCommand::EnableRotation { name, days } => rotation::enable(service, name, *days),
        KeyCommand::DisableRotation(name) => {
            let done = "is not rotated by itself any more.";
            change(service, "DisableKeyRotation", name, done)
        }
        KeyCommand::Rotations(name) => rotation::list(service, name),
        KeyCommand::PublicKey(name) => public_key(service, name),
    }
}

/// Has something done that needs to know the key alone.
fn change(
    service: &Service<'_>,
    operation: &str,
    name: &KeyName,
    done: &str,
) -> Result<(), Failure> {
    service.call::<Nothing>(operation, &request(name))?;
    service.done(&format!("{} {done}", name.key))
}

fn request(name: &KeyName) -> KeyRequest {
    KeyRequest {
        key_id: name.key.clone(),
    }
}

fn update_description(
    service: &Service<'_>,
    name: &KeyName,
    description: &str,
) -> Result<(), Failure> {
    let input = UpdateKeyDescriptionRequest {
        key_id: name.key.clone(),
        description: description.to_owned(),
    };
    service.call::<Nothing>("UpdateKeyDescription", &input)?;
    service.done(&format!("{} has a new description.", name.key))
}

fn disable(service: &Service<'_>, name: &KeyName, force: bool) -> Result<(), Failure> {
    service.call_forcing::<Nothing>("DisableKey", &request(name), force)?;
    service.done(&format!("{} cannot be used.", name.key))
}

fn schedule_deletion(
    service: &Service<'_>,
    name: &KeyName,
    days: u32,
    force: bool,
) -> Result<(), Failure> {
    let input = ScheduleKeyDeletionRequest {
        key_id: name.key.clone(),
        pending_window_in_days: Some(days),
    };
    let answer: ScheduleKeyDeletionResponse =
        service.call_forcing("ScheduleKeyDeletion", &input, force)?;
    service.show(&answer, |_| {
        format!(
            "{} is deleted on {}, with all that is encrypted under it; `sealgate kms key cancel-deletion {}` \
             takes that back.",
            name.key,
            answer.deletion_date.map(time).unwrap_or_default(),
            name.key
        )
    })
}

fn cancel_deletion(service: &Service<'_>, name: &KeyName) -> Result<(), Failure> {
    let answer: KeyIdResponse = service.call("CancelKeyDeletion", &request(name))?;
    service.show(&answer, |_| {
        format!(
            "{} stays, and is disabled: `sealgate kms key enable {}` lets it be used.",
            name.key, name.key
        )
    })
}

fn public_key(service: &Service<'_>, name: &KeyName) -> Result<(), Failure> {
    let input = GetPublicKeyRequest {
        key_id: name.key.clone(),
        grant_tokens: None,
    };
    let answer: GetPublicKeyResponse = service.call("GetPublicKey", &input)?;
    service.show(&answer, |_| pem(&answer.public_key.0))
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    let text = Base64::encode_string(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    )
}
