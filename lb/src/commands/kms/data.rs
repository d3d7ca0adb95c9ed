//! What goes in and out of cryptographic operations: files, standard input and output, never arguments,
//! which every user of the machine may read.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use clap::Args;
use kms::EncryptionContext;
use kms::api::{Blob, SecretBlob};

use super::super::failure::Failure;
use super::super::prompt::{read_secret, source_name};

/// The encryption context of an operation.
#[derive(Debug, Args)]
pub struct Context {
    /// A pair of the encryption context; may be given several times
    #[arg(long = "context", value_name = "KEY=VALUE", value_parser = pair)]
    pub pairs: Vec<(String, String)>,
}

/// A file for an answer that may be binary.
#[derive(Debug, Args)]
pub struct Out {
    /// File to write to, `-` for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

impl Context {
    /// The pairs; none where none was given.
    pub fn get(&self) -> Option<EncryptionContext> {
        context_of(&self.pairs)
    }
}

/// A context of these pairs; none where there are none.
pub(super) fn context_of(pairs: &[(String, String)]) -> Option<EncryptionContext> {
    (!pairs.is_empty()).then(|| pairs.iter().cloned().collect())
}

/// `KEY=VALUE`.
///
/// # Errors
/// What is allowed.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// Reads what is to be encrypted, signed or the like.
///
/// # Errors
/// When it cannot be read or is longer than `limit` bytes.
pub(super) fn read_plaintext(path: &Path, limit: usize) -> Result<SecretBlob, Failure> {
    read_secret(path, limit).map(SecretBlob)
}

/// Reads a ciphertext: in base64, as the commands print them, or raw.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read_ciphertext(path: &Path) -> Result<Blob, Failure> {
    let bytes = read_secret(path, CIPHERTEXT_LIMIT)?;
    if bytes.is_empty() {
        return Err(Failure::failed(format!("{} is empty", source_name(path))));
    }
    Ok(Blob(from_base64(&bytes).unwrap_or_else(|| bytes.to_vec())))
}

/// What a text of base64 stands for, line ends left aside; none where it is none.
fn from_base64(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text: String = text.split_ascii_whitespace().collect();
    Base64::decode_vec(&text).ok()
}

/// Writes secret bytes as they are.
///
/// # Errors
/// When they cannot be written; and on a terminal, unless they are text.
pub(super) fn write_plaintext(out: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if out != Path::new("-") {
        return write_file(out, bytes);
    }
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() && !is_text(bytes) {
        return Err(Failure::usage(
            "the plaintext is binary and would garble the terminal: write it to a file by --out FILE, or \
             pipe it on",
        ));
    }
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::output(&error))
}

/// Writes bytes in base64, with a line end.
///
/// # Errors
/// When they cannot be written.
pub(super) fn write_base64(out: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_text(out, &Base64::encode_string(bytes))
}

/// Writes a line of text that is no secret.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write_text(out: &Path, text: &str) -> Result<(), Failure> {
    let line = format!("{text}\n");
    if out != Path::new("-") {
        return write_file(out, line.as_bytes());
    }
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush());
    written.map_err(|error| Failure::output(&error))
}

/// Only this user may read what is written.
fn write_file(out: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let opened = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(out);
    let written = opened.and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| Failure::failed(format!("cannot write {}: {error}", out.display())))
}

/// Whether a terminal shows it as it is.
fn is_text(bytes: &[u8]) -> bool {
    let plain = |character: char| !character.is_control() || "\t\n\r".contains(character);
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(plain))
}

/// In base64, with line ends.
const CIPHERTEXT_LIMIT: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_and_raw_ciphertexts_are_told_apart() {
        assert_eq!(from_base64(b"AQID\nBA==\n").unwrap(), [1, 2, 3, 4]);
        assert_eq!(from_base64(&[1, 2, 3, 0xff]), None);
    }

    #[test]
    fn a_terminal_is_shown_text_alone() {
        assert!(is_text("Grüße\n".as_bytes()));
        assert!(!is_text(b"\x1b[2J") && !is_text(&[0xff, 1]));
    }

    #[test]
    fn files_are_for_their_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        write_plaintext(&out, b"secret").unwrap();
        let mode = std::fs::metadata(&out).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read(&out).unwrap(), b"secret");
    }

    #[test]
    fn a_pair_has_a_key() {
        assert_eq!(pair("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
