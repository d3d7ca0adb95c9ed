//! `sealgate kms encrypt`, `decrypt`, `re-encrypt`, `generate-data-key`: what keys are for.

use std::path::{Path, PathBuf};

use clap::Args;
use kms::api::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, GenerateDataKeyRequest,
    GenerateDataKeyResponse, ReEncryptRequest, ReEncryptResponse,
};
use kms::{EncryptionContext, Kms};
use serde_json::json;

use super::super::failure::Failure;
use super::super::output::Format;
use super::super::words::key_ref;
use super::Service;
use super::data::{
    Context, Out, context_of, pair, read_ciphertext, read_plaintext, write_base64, write_plaintext,
    write_text,
};
use super::file::Passage;

/// Options of `sealgate kms encrypt`.
#[derive(Debug, Args)]
#[command(
    after_help = "The plaintext is read as it is, line end included. The ciphertext is printed in base64; to \
                  decrypt it takes the same context.\n\
                  With --for, it is a secret for the configuration: one line of text, printed as `kms:BASE64`, \
                  which opens at that\nplace of the configuration and nowhere else.\n\n\
                  Example:\n  printf %s \"$TOKEN\" | sealgate kms encrypt --key alias/shop --context app=shop > token.enc\n  \
                  sealgate kms encrypt --key alias/shop --in token.txt --out token.enc\n  \
                  sealgate kms encrypt --for target_groups.shop.request_headers.set.authorization --in token.txt\n  \
                  sealgate kms encrypt --key alias/shop --file backup.tar --out backup.tar.enc"
)]
pub struct Encrypt {
    /// Key id, key ARN, alias or alias ARN [with --for, default: alias/sealgate/certstore]
    #[arg(long, value_name = "KEY", value_parser = key_ref, required_unless_present = "place")]
    pub key: Option<String>,
    /// The place in the configuration that it is for
    #[arg(
        long = "for",
        id = "place",
        value_name = "PATH",
        conflicts_with = "pairs"
    )]
    pub place: Option<String>,
    /// File with the plaintext, `-` for standard input
    #[arg(long = "in", value_name = "FILE", default_value = "-")]
    pub input: PathBuf,
    /// File of any length, to be encrypted in the message format of the AWS Encryption SDK
    #[arg(long, value_name = "FILE", conflicts_with_all = ["input", "place"])]
    pub file: Option<PathBuf>,
    /// Where the ciphertext goes.
    #[command(flatten)]
    pub out: Out,
    /// What is bound to it.
    #[command(flatten)]
    pub context: Context,
}

/// Options of `sealgate kms decrypt`.
#[derive(Debug, Args)]
#[command(
    after_help = "The ciphertext may be in base64 or raw. The plaintext is written as it is, but binary never to a \
                  terminal.\n\n\
                  A file (--file) is there under its name once it is whole; on standard output, only exit status 0 says \
                  that it is.\n\n\
                  Example:\n  sealgate kms decrypt --in token.enc --context app=shop\n  \
                  sealgate kms decrypt --file backup.tar.enc --out backup.tar"
)]
pub struct Decrypt {
    /// File with the ciphertext, `-` for standard input
    #[arg(long = "in", value_name = "FILE", default_value = "-")]
    pub input: PathBuf,
    /// File that `encrypt --file` or the AWS Encryption SDK made; its context need not be named, and what is
    /// named is checked
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    pub file: Option<PathBuf>,
    /// Where the plaintext goes.
    #[command(flatten)]
    pub out: Out,
    /// What is bound to it.
    #[command(flatten)]
    pub context: Context,
    /// The key that it must be of [default: the one that it names]
    #[arg(long, value_name = "KEY", value_parser = key_ref)]
    pub key: Option<String>,
}

/// Options of `sealgate kms re-encrypt`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sealgate kms re-encrypt --in token.enc --context app=shop --key alias/new \\\n    \
                  --new-context app=shop"
)]
pub struct ReEncrypt {
    /// The key under which it is encrypted then
    #[arg(long, value_name = "KEY", value_parser = key_ref)]
    pub key: String,
    /// File with the ciphertext, `-` for standard input
    #[arg(long = "in", value_name = "FILE", default_value = "-")]
    pub input: PathBuf,
    /// Where the new ciphertext goes.
    #[command(flatten)]
    pub out: Out,
    /// What is bound to it.
    #[command(flatten)]
    pub context: Context,
    /// A pair of the encryption context that is bound to it then; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub new_context: Vec<(String, String)>,
}

/// Options of `sealgate kms generate-data-key`.
#[derive(Debug, Args)]
#[command(
    after_help = "The wrapped key is printed in base64; `kms decrypt` opens it. Programs find both in the JSON.\n\n\
                  Example:\n  sealgate kms generate-data-key --key alias/shop --plaintext-out data.key > data.key.wrapped"
)]
pub struct GenerateDataKey {
    /// Key id, key ARN, alias or alias ARN
    #[arg(long, value_name = "KEY", value_parser = key_ref)]
    pub key: String,
    /// Bytes of the data key, 1 to 1,024
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub bytes: u32,
    /// File for the data key in plain, raw
    #[arg(long, value_name = "FILE")]
    pub plaintext_out: Option<PathBuf>,
    /// Where the wrapped data key goes.
    #[command(flatten)]
    pub out: Out,
    /// What is bound to it.
    #[command(flatten)]
    pub context: Context,
}

pub(super) fn encrypt(service: &Service<'_>, options: &Encrypt) -> Result<(), Failure> {
    if let Some(source) = &options.file {
        let out = &options.out.out;
        let passage = Passage {
            service,
            source,
            out,
        };
        let key = options.key.as_deref().unwrap_or_default();
        return passage.encrypt(key, options.context.get());
    }
    let plaintext = read_plaintext(&options.input, Kms::MAX_PLAINTEXT)?;
    let key = options.key.as_deref();
    let input = EncryptRequest {
        key_id: key.unwrap_or(Kms::CERTSTORE_ALIAS).to_owned(),
        plaintext,
        encryption_context: options.context.get(),
        grant_tokens: None,
        encryption_algorithm: None,
        dry_run: None,
    };
    if let Some(place) = &options.place {
        return encrypt_for(service, place, input, &options.out.out);
    }
    let answer: EncryptResponse = service.call("Encrypt", &input)?;
    match service.session.output.format() {
        Format::Json => service.show(&answer, |_| String::new()),
        Format::Text => write_base64(&options.out.out, &answer.ciphertext_blob.0),
    }
}

/// Encrypts a line of text for a place in the configuration.
fn encrypt_for(
    service: &Service<'_>,
    place: &str,
    mut input: EncryptRequest,
    out: &Path,
) -> Result<(), Failure> {
    let line = &mut input.plaintext.0;
    let end = line.trim_ascii_end().len();
    line.truncate(end);
    if line.is_empty()
        || !line
            .iter()
            .all(|byte| byte.is_ascii_graphic() || *byte == b' ')
    {
        return Err(Failure::usage(
            "a secret for the configuration is one line of visible ASCII: write anything else to a file of its \
             own",
        ));
    }
    let context = EncryptionContext::new().with(EncryptionContext::CONFIG_PATH, place);
    input.encryption_context = Some(context);
    let answer: EncryptResponse = service.call("Encrypt", &input)?;
    let value = config::Sealed::write(&answer.ciphertext_blob.0);
    match service.session.output.format() {
        Format::Json => {
            let answer = json!({ "Place": place, "Value": value, "KeyId": answer.key_id });
            service.show(&answer, |_| String::new())
        }
        Format::Text => write_text(out, &value),
    }
}

pub(super) fn decrypt(service: &Service<'_>, options: &Decrypt) -> Result<(), Failure> {
    if let Some(source) = &options.file {
        let out = &options.out.out;
        let passage = Passage {
            service,
            source,
            out,
        };
        return passage.decrypt(options.key.as_deref(), options.context.get().as_ref());
    }
    let input = DecryptRequest {
        ciphertext_blob: Some(read_ciphertext(&options.input)?),
        encryption_context: options.context.get(),
        grant_tokens: None,
        key_id: options.key.clone(),
        encryption_algorithm: None,
        recipient: None,
        dry_run: None,
        dry_run_modifiers: None,
    };
    let answer: DecryptResponse = service.call("Decrypt", &input)?;
    match service.session.output.format() {
        Format::Json => service.show_secret(&answer),
        Format::Text => write_plaintext(&options.out.out, &answer.plaintext.0),
    }
}

pub(super) fn re_encrypt(service: &Service<'_>, options: &ReEncrypt) -> Result<(), Failure> {
    let input = ReEncryptRequest {
        ciphertext_blob: Some(read_ciphertext(&options.input)?),
        source_encryption_context: options.context.get(),
        source_key_id: None,
        destination_key_id: options.key.clone(),
        destination_encryption_context: context_of(&options.new_context),
        source_encryption_algorithm: None,
        destination_encryption_algorithm: None,
        grant_tokens: None,
        dry_run: None,
        dry_run_modifiers: None,
    };
    let answer: ReEncryptResponse = service.call("ReEncrypt", &input)?;
    match service.session.output.format() {
        Format::Json => service.show(&answer, |_| String::new()),
        Format::Text => write_base64(&options.out.out, &answer.ciphertext_blob.0),
    }
}

pub(super) fn generate_data_key(
    service: &Service<'_>,
    options: &GenerateDataKey,
) -> Result<(), Failure> {
    let input = GenerateDataKeyRequest {
        key_id: options.key.clone(),
        encryption_context: options.context.get(),
        number_of_bytes: Some(options.bytes),
        key_spec: None,
        grant_tokens: None,
        recipient: None,
        dry_run: None,
    };
    let answer: GenerateDataKeyResponse = service.call("GenerateDataKey", &input)?;
    if let Some(out) = &options.plaintext_out {
        write_plaintext(out, &answer.plaintext.0)?;
    }
    match service.session.output.format() {
        Format::Json => service.show_secret(&answer),
        Format::Text => write_base64(&options.out.out, &answer.ciphertext_blob.0),
    }
}
