//! PEM (RFC 7468): what a user hands in, taken apart into certificates and a private key.
//!
//! Text around the blocks is skipped, as `openssl` writes it. Private keys are decoded into memory
//! that is sized once and wiped.

use std::str;

use base64ct::{Base64, Encoding as _};
use pkcs8::EncryptedPrivateKeyInfoRef;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::private_key::{Encoding, PrivateKey};

/// What one input held.
pub struct PemFile {
    /// Its certificates in order, as PEM without anything else.
    pub certificates: String,
    /// Its private key, if it had one.
    pub key: Option<PemKey>,
}

/// A private key as it was found.
pub enum PemKey {
    /// In the clear.
    Plain(PrivateKey),
    /// Behind a passphrase.
    Encrypted(EncryptedKey),
}

/// A private key behind a passphrase: PKCS#8 with PBES2 (RFC 8018).
pub struct EncryptedKey {
    source: String,
    der: Zeroizing<Vec<u8>>,
}

/// Takes apart the input `text`, which errors call `source`. The caller wipes `text`.
///
/// # Errors
/// [`Error::Pem`] with the line for what is malformed, [`Error::UnsupportedPem`] with the command
/// that converts it for forms that are not taken, [`Error::SeveralKeys`], and those of
/// [`PrivateKey::from_der`].
pub fn read(source: &str, text: &[u8]) -> Result<PemFile, Error> {
    let mut certificates = String::new();
    let mut key = None;
    for block in blocks(source, text)? {
        match block.kind(source)? {
            Kind::Certificate => certificates += &encode("CERTIFICATE", &block.decode(source)?),
            Kind::Key(form) if key.is_none() => key = Some(block.key(source, form)?),
            Kind::Key(_) => return Err(Error::SeveralKeys(source.to_owned())),
            Kind::Other => {}
        }
    }
    if certificates.is_empty() && key.is_none() {
        return Err(nothing(source, text));
    }
    Ok(PemFile { certificates, key })
}

/// The certificates of `text`, in DER and in their order.
///
/// # Errors
/// As [`read`]; [`Error::UnexpectedKey`] where the text has a private key, which would stand in
/// memory that nobody wipes.
pub fn certificates(source: &str, text: &str) -> Result<Vec<Vec<u8>>, Error> {
    let mut found = Vec::new();
    for block in blocks(source, text.as_bytes())? {
        match block.kind(source)? {
            Kind::Certificate => found.push(block.decode(source)?.to_vec()),
            Kind::Key(_) => return Err(Error::UnexpectedKey(source.to_owned())),
            Kind::Other => {}
        }
    }
    if found.is_empty() {
        return Err(nothing(source, text.as_bytes()));
    }
    Ok(found)
}

/// `der` as a PEM block of that label. Not for private keys.
pub fn encode(label: &str, der: &[u8]) -> String {
    let text = Base64::encode_string(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem += str::from_utf8(line).expect("base64 is ASCII");
        pem.push('\n');
    }
    pem + "-----END " + label + "-----\n"
}

impl EncryptedKey {
    /// Where it came from, for a prompt.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The key.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`], [`Error::UnsupportedEncryption`] with the command that converts
    /// it, and those of [`PrivateKey::from_der`].
    pub fn decrypt(&self, passphrase: &[u8]) -> Result<PrivateKey, Error> {
        let unsupported = || Error::UnsupportedEncryption(self.source.clone());
        let info =
            EncryptedPrivateKeyInfoRef::try_from(&self.der[..]).map_err(|_| unsupported())?;
        let plain = match info.decrypt(passphrase) {
            Ok(plain) => plain,
            Err(pkcs8::Error::EncryptedPrivateKey(error)) if is_unsupported(error) => {
                return Err(unsupported());
            }
            Err(_) => return Err(Error::WrongPassphrase(self.source.clone())),
        };
        PrivateKey::from_der(plain.as_bytes(), Encoding::Pkcs8)
    }
}

fn is_unsupported(error: pkcs8::pkcs5::Error) -> bool {
    use pkcs8::pkcs5::Error::{
        AlgorithmParametersInvalid, NoPbes1CryptSupport, UnsupportedAlgorithm,
    };
    matches!(
        error,
        AlgorithmParametersInvalid { .. } | NoPbes1CryptSupport | UnsupportedAlgorithm { .. }
    )
}

/// What a block is to the store.
enum Kind {
    Certificate,
    Key(KeyForm),
    /// Parameters, requests, public keys: passed over.
    Other,
}

#[derive(Clone, Copy)]
enum KeyForm {
    Plain(Encoding),
    Encrypted,
}

/// One block, from `BEGIN` to `END`.
#[derive(Debug)]
struct Block<'a> {
    label: &'a str,
    /// Of its `BEGIN`, from 1.
    line: usize,
    /// The lines between.
    body: &'a [u8],
}

impl Block<'_> {
    fn kind(&self, source: &str) -> Result<Kind, Error> {
        let refuse = |fix| {
            Err(Error::UnsupportedPem {
                source_name: source.to_owned(),
                line: self.line,
                label: self.label.to_owned(),
                fix,
            })
        };
        match self.label {
            "CERTIFICATE" | "X509 CERTIFICATE" => Ok(Kind::Certificate),
            _ if self.is_legacy_encrypted() => refuse(LEGACY),
            "PRIVATE KEY" => Ok(Kind::Key(KeyForm::Plain(Encoding::Pkcs8))),
            "RSA PRIVATE KEY" => Ok(Kind::Key(KeyForm::Plain(Encoding::Pkcs1))),
            "EC PRIVATE KEY" => Ok(Kind::Key(KeyForm::Plain(Encoding::Sec1))),
            "ENCRYPTED PRIVATE KEY" => Ok(Kind::Key(KeyForm::Encrypted)),
            "TRUSTED CERTIFICATE" => refuse("openssl x509 -in FILE -out chain.pem"),
            "PKCS7" | "CMS" => refuse("openssl pkcs7 -print_certs -in FILE -out chain.pem"),
            "OPENSSH PRIVATE KEY" => refuse("ssh-keygen -p -N '' -m pkcs8 -f FILE"),
            label if label.ends_with("PRIVATE KEY") => {
                refuse("openssl pkcs8 -topk8 -in FILE -out key.pem")
            }
            _ => Ok(Kind::Other),
        }
    }

    /// Encrypted as RFC 1421 did: a header that says so before the base64.
    fn is_legacy_encrypted(&self) -> bool {
        let mut lines = self.body.split(|byte| *byte == b'\n');
        lines.any(|line| {
            let line = line.trim_ascii();
            line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED")
        })
    }

    /// The decoded content, in memory that never grew.
    fn decode(&self, source: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut text = Zeroizing::new(Vec::with_capacity(self.body.len()));
        text.extend(self.body.iter().filter(|byte| !byte.is_ascii_whitespace()));
        let decoded = Base64::decode_in_place(&mut text).map(<[u8]>::len);
        match decoded {
            Ok(len) if len > 0 => {
                text.truncate(len);
                Ok(text)
            }
            _ => Err(self.fault(source, "its content is not base64")),
        }
    }

    fn key(&self, source: &str, form: KeyForm) -> Result<PemKey, Error> {
        let der = self.decode(source)?;
        match form {
            KeyForm::Plain(encoding) => PrivateKey::from_der(&der, encoding).map(PemKey::Plain),
            KeyForm::Encrypted => Ok(PemKey::Encrypted(EncryptedKey {
                source: source.to_owned(),
                der,
            })),
        }
    }

    fn fault(&self, source: &str, why: &'static str) -> Error {
        Error::Pem {
            source_name: source.to_owned(),
            line: self.line,
            label: self.label.to_owned(),
            why,
        }
    }
}

/// Splits `text` into its blocks.
fn blocks<'a>(source: &str, text: &'a [u8]) -> Result<Vec<Block<'a>>, Error> {
    let mut found = Vec::new();
    let mut open: Option<Block<'a>> = None;
    let mut at = 0;
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let next = at + line.len() + 1;
        match (boundary(line), open.take()) {
            (Some(Boundary::Begin(label)), None) => {
                open = Some(Block {
                    label,
                    line: number,
                    // From here to the end of the text: cut at the block's end.
                    body: text.get(next..).unwrap_or_default(),
                });
            }
            (Some(Boundary::End(label)), Some(mut block)) if label == block.label => {
                let body_at = text.len() - block.body.len();
                block.body = &text[body_at..at];
                found.push(block);
            }
            (None, still) => open = still,
            (Some(_), Some(block)) => return Err(block.fault(source, UNENDED)),
            // An END without a BEGIN is text around blocks.
            (Some(Boundary::End(_)), None) => {}
        }
        at = next;
    }
    match open {
        None => Ok(found),
        Some(block) => Err(block.fault(source, UNENDED)),
    }
}

enum Boundary<'a> {
    Begin(&'a str),
    End(&'a str),
}

fn boundary(line: &[u8]) -> Option<Boundary<'_>> {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    let line = line
        .trim_ascii()
        .strip_prefix(b"-----")?
        .strip_suffix(b"-----")?;
    let line = str::from_utf8(line).ok()?;
    let begin = line.strip_prefix("BEGIN ").map(Boundary::Begin);
    begin.or_else(|| line.strip_prefix("END ").map(Boundary::End))
}

/// Why an input is of no use, with the command that makes it so where there is one.
fn nothing(source: &str, text: &[u8]) -> Error {
    let source = source.to_owned();
    // A DER file and a PKCS#12 container both are a SEQUENCE.
    match text.first() {
        Some(0x30) => Error::NotPem(source),
        _ => Error::NothingInPem(source),
    }
}

const UNENDED: &str = "its END line is missing: the text is cut, or two files ran together";
const LEGACY: &str = "openssl pkcs8 -topk8 -in FILE -out key.pem";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
