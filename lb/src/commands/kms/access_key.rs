//! `sealgate kms identity …-access-key`: by which users sign their requests from the network.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use kms::api::{
    AccessKeyDescription, CreateAccessKeyRequest, CreateAccessKeyResponse, DeleteAccessKeyRequest,
    ListAccessKeysRequest, ListAccessKeysResponse, NewAccessKeyDescription, Nothing, SecretText,
    UpdateAccessKeyRequest,
};
use serde_json::json;
use zeroize::Zeroizing;

use super::super::failure::Failure;
use super::super::output::{Format, Output};
use super::{Service, every_page, time};

/// An access key that there is already.
#[derive(Debug, Clone, Args)]
pub struct Given {
    /// Id of an access key that there is already, instead of a new one
    #[arg(long, value_name = "ID", requires = "secret")]
    access_key_id: Option<String>,
    /// Its secret, which other users of this machine see while the command runs
    #[arg(
        long,
        value_name = "SECRET",
        group = "secret",
        requires = "access_key_id"
    )]
    secret_access_key: Option<String>,
    /// File that has its secret in its first line, `-` for standard input
    #[arg(
        long,
        value_name = "FILE",
        group = "secret",
        requires = "access_key_id"
    )]
    secret_access_key_file: Option<PathBuf>,
}

/// Whether an access key may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Status {
    /// It may.
    Active,
    /// It may not, until it is switched on again.
    Inactive,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Inactive => "Inactive",
        }
    }
}

impl Given {
    /// Id and secret, where they are given.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub(super) fn read(&self) -> Result<Option<(String, SecretText)>, Failure> {
        let Some(id) = &self.access_key_id else {
            return Ok(None);
        };
        let secret = match (&self.secret_access_key, &self.secret_access_key_file) {
            (Some(secret), _) => SecretText::copy_of(secret),
            (None, Some(file)) => first_line(file)?,
            (None, None) => return Ok(None),
        };
        Ok(Some((id.clone(), secret)))
    }
}

fn first_line(file: &Path) -> Result<SecretText, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(LONGEST));
    let read = match file == Path::new("-") {
        true => take(io::stdin().lock(), &mut text),
        false => fs::File::open(file).and_then(|file| take(file, &mut text)),
    };
    read.map_err(|error| {
        let file = file.display();
        Failure::failed(format!(
            "cannot read the secret access key from {file}: {error}"
        ))
    })?;
    Ok(SecretText::copy_of(text.lines().next().unwrap_or_default()))
}

/// No more than fits: a text that grows leaves copies behind.
fn take(source: impl Read, text: &mut String) -> io::Result<()> {
    source.take(LONGEST as u64).read_to_string(text).map(|_| ())
}

/// Bytes of a file with a secret access key, which has 128 characters at most.
const LONGEST: usize = 1024;

pub(super) fn create(
    service: &Service<'_>,
    user: &str,
    given: Option<(String, SecretText)>,
) -> Result<(), Failure> {
    let (access_key_id, secret_access_key) = given.unzip();
    let input = CreateAccessKeyRequest {
        user_name: user.to_owned(),
        access_key_id,
        secret_access_key,
    };
    let answer: CreateAccessKeyResponse = service.call("CreateAccessKey", &input)?;
    match service.session.output.format() {
        Format::Json => service.show_secret(&answer),
        Format::Text => {
            let shown = show_new(&answer.access_key);
            shown.map_err(|error| Failure::output(&error))
        }
    }
}

/// As the environment of AWS's clients has it. In memory that is wiped.
fn show_new(key: &NewAccessKeyDescription) -> io::Result<()> {
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST));
    writeln!(text, "# {}", key.user_name)?;
    writeln!(text, "AWS_ACCESS_KEY_ID={}", key.access_key_id)?;
    let secret = key.secret_access_key.expose();
    writeln!(text, "AWS_SECRET_ACCESS_KEY={secret}")?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&text)?;
    stdout.flush()
}

pub(super) fn update(service: &Service<'_>, id: &str, status: Status) -> Result<(), Failure> {
    let status = status.as_str().to_owned();
    let done = format!("The access key {id} is {}.", status.to_lowercase());
    let input = UpdateAccessKeyRequest {
        access_key_id: id.to_owned(),
        status,
    };
    service.call::<Nothing>("UpdateAccessKey", &input)?;
    service.done(&done)
}

pub(super) fn delete(service: &Service<'_>, id: &str) -> Result<(), Failure> {
    let input = DeleteAccessKeyRequest {
        access_key_id: id.to_owned(),
    };
    service.call::<Nothing>("DeleteAccessKey", &input)?;
    service.done(&format!("Deleted the access key {id}."))
}

pub(super) fn list(service: &Service<'_>, user: Option<&str>) -> Result<(), Failure> {
    let keys = every_page(|marker| {
        let input = ListAccessKeysRequest {
            user_name: user.map(str::to_owned),
            limit: None,
            marker,
        };
        let page: ListAccessKeysResponse = service.call("ListAccessKeys", &input)?;
        Ok((page.access_key_metadata, page.next_marker))
    })?;
    let value = json!({ "AccessKeyMetadata": keys });
    service.show(&value, |out| table(&keys, out))
}

fn table(keys: &[AccessKeyDescription], output: &Output) -> String {
    let mut table = output.table(["ID", "USER", "STATUS", "CREATED", "LAST USED"]);
    for key in keys {
        table.row([
            key.access_key_id.clone(),
            key.user_name.clone(),
            key.status.clone(),
            time(key.create_date),
            key.last_used_date.map(time).unwrap_or_default(),
        ]);
    }
    table.finish()
}
