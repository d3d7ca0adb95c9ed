//! `sealgate kms sign`, `verify`, `mac`, `verify-mac`, `random`: what keys do that do not encrypt.

use std::path::{Path, PathBuf};

use clap::Args;
use kms::Kms;
use kms::api::{
    GenerateMacRequest, GenerateMacResponse, GenerateRandomRequest, GenerateRandomResponse,
    SignRequest, SignResponse, VerifyMacRequest, VerifyMacResponse, VerifyRequest, VerifyResponse,
};

use super::super::failure::Failure;
use super::super::output::Format;
use super::super::words::key_ref;
use super::Service;
use super::data::{Out, read_ciphertext, read_plaintext, write_base64, write_plaintext};

/// What is signed, and by which key.
#[derive(Debug, Args)]
pub struct Message {
    /// Key id, key ARN, alias or alias ARN
    #[arg(long, value_name = "KEY", value_parser = key_ref)]
    pub key: String,
    /// Signing or MAC algorithm: ECDSA_SHA_256, RSASSA_PSS_SHA_256, HMAC_SHA_256, …
    #[arg(long, value_name = "ALGORITHM")]
    pub algorithm: String,
    /// File with the message of at most 4,096 bytes, `-` for standard input
    #[arg(long = "in", value_name = "FILE", default_value = "-")]
    pub input: PathBuf,
}

/// Options of `sealgate kms sign`.
#[derive(Debug, Args)]
#[command(
    after_help = "The signature is printed in base64. Of what is longer than 4,096 bytes, sign the digest.\n\n\
                  Example:\n  sealgate kms sign --key alias/release --algorithm ECDSA_SHA_256 --in notes.txt > notes.sig\n  \
                  openssl dgst -sha256 -binary image.iso > image.sha256\n  \
                  sealgate kms sign --key alias/release --algorithm ECDSA_SHA_256 --digest --in image.sha256"
)]
pub struct Sign {
    /// What is signed.
    #[command(flatten)]
    pub message: Message,
    /// The file holds the message's digest, raw
    #[arg(long)]
    pub digest: bool,
    /// Where the signature goes.
    #[command(flatten)]
    pub out: Out,
}

/// Options of `sealgate kms verify`.
#[derive(Debug, Args)]
#[command(after_help = "Exit status 0 for a good signature.\n\n\
                  Example:\n  sealgate kms verify --key alias/release --algorithm ECDSA_SHA_256 --in notes.txt --signature notes.sig")]
pub struct Verify {
    /// What was signed.
    #[command(flatten)]
    pub message: Message,
    /// The file holds the message's digest, raw
    #[arg(long)]
    pub digest: bool,
    /// File with the signature, in base64 or raw
    #[arg(long, value_name = "FILE")]
    pub signature: PathBuf,
}

/// Options of `sealgate kms mac`.
#[derive(Debug, Args)]
#[command(after_help = "The MAC is printed in base64.\n\n\
                  Example:\n  sealgate kms mac --key alias/tokens --algorithm HMAC_SHA_256 --in claims.json")]
pub struct Mac {
    /// What is authenticated.
    #[command(flatten)]
    pub message: Message,
    /// Where the MAC goes.
    #[command(flatten)]
    pub out: Out,
}

/// Options of `sealgate kms verify-mac`.
#[derive(Debug, Args)]
#[command(after_help = "Exit status 0 for a good MAC.\n\n\
                  Example:\n  sealgate kms verify-mac --key alias/tokens --algorithm HMAC_SHA_256 --in claims.json --mac claims.mac")]
pub struct VerifyMac {
    /// What was authenticated.
    #[command(flatten)]
    pub message: Message,
    /// File with the MAC, in base64 or raw
    #[arg(long, value_name = "FILE")]
    pub mac: PathBuf,
}

/// Options of `sealgate kms random`.
#[derive(Debug, Args)]
#[command(after_help = "Raw to a file or a pipe, in base64 with --base64.\n\n\
                  Example:\n  sealgate kms random 32 --base64")]
pub struct Random {
    /// How many bytes, 1 to 1,024
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub bytes: u32,
    /// Print them in base64
    #[arg(long)]
    pub base64: bool,
    /// Where they go.
    #[command(flatten)]
    pub out: Out,
}

pub(super) fn sign(service: &Service<'_>, options: &Sign) -> Result<(), Failure> {
    let message = &options.message;
    let input = SignRequest {
        key_id: message.key.clone(),
        message: read_plaintext(&message.input, Kms::MAX_MESSAGE)?,
        message_type: message_type(options.digest),
        grant_tokens: None,
        signing_algorithm: message.algorithm.clone(),
        dry_run: None,
    };
    let answer: SignResponse = service.call("Sign", &input)?;
    match service.session.output.format() {
        Format::Json => service.show(&answer, |_| String::new()),
        Format::Text => write_base64(&options.out.out, &answer.signature.0),
    }
}

pub(super) fn verify(service: &Service<'_>, options: &Verify) -> Result<(), Failure> {
    let message = &options.message;
    refuse_two_inputs(&message.input, &options.signature)?;
    let input = VerifyRequest {
        key_id: message.key.clone(),
        message: read_plaintext(&message.input, Kms::MAX_MESSAGE)?,
        message_type: message_type(options.digest),
        signature: read_ciphertext(&options.signature)?,
        signing_algorithm: message.algorithm.clone(),
        grant_tokens: None,
        dry_run: None,
    };
    let answer: VerifyResponse = service.call("Verify", &input)?;
    service.show(&answer, |_| "The signature is good.".to_owned())
}

pub(super) fn mac(service: &Service<'_>, options: &Mac) -> Result<(), Failure> {
    let message = &options.message;
    let input = GenerateMacRequest {
        message: read_plaintext(&message.input, Kms::MAX_MESSAGE)?,
        key_id: message.key.clone(),
        mac_algorithm: message.algorithm.clone(),
        grant_tokens: None,
        dry_run: None,
    };
    let answer: GenerateMacResponse = service.call("GenerateMac", &input)?;
    match service.session.output.format() {
        Format::Json => service.show(&answer, |_| String::new()),
        Format::Text => write_base64(&options.out.out, &answer.mac.0),
    }
}

pub(super) fn verify_mac(service: &Service<'_>, options: &VerifyMac) -> Result<(), Failure> {
    let message = &options.message;
    refuse_two_inputs(&message.input, &options.mac)?;
    let input = VerifyMacRequest {
        message: read_plaintext(&message.input, Kms::MAX_MESSAGE)?,
        key_id: message.key.clone(),
        mac_algorithm: message.algorithm.clone(),
        mac: read_ciphertext(&options.mac)?,
        grant_tokens: None,
        dry_run: None,
    };
    let answer: VerifyMacResponse = service.call("VerifyMac", &input)?;
    service.show(&answer, |_| "The MAC is good.".to_owned())
}

pub(super) fn random(service: &Service<'_>, options: &Random) -> Result<(), Failure> {
    let input = GenerateRandomRequest {
        number_of_bytes: Some(options.bytes),
        custom_key_store_id: None,
        recipient: None,
    };
    let answer: GenerateRandomResponse = service.call("GenerateRandom", &input)?;
    match (service.session.output.format(), options.base64) {
        (Format::Json, _) => service.show_secret(&answer),
        (Format::Text, true) => write_base64(&options.out.out, &answer.plaintext.0),
        (Format::Text, false) => write_plaintext(&options.out.out, &answer.plaintext.0),
    }
}

fn message_type(digest: bool) -> Option<String> {
    digest.then(|| "DIGEST".to_owned())
}

/// Standard input is read once.
fn refuse_two_inputs(one: &Path, other: &Path) -> Result<(), Failure> {
    let stdin = Path::new("-");
    match one == stdin && other == stdin {
        true => Err(Failure::usage(
            "only one of the two can be standard input: name a file by --in",
        )),
        false => Ok(()),
    }
}
