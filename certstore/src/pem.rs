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

/// The request for a certificate in `text`, in DER.
pub(crate) fn request(source: &str, text: &str) -> Result<Vec<u8>, Error> {
    let blocks = blocks(source, text.as_bytes())?;
    let request = blocks
        .iter()
        .find(|block| block.label.ends_with("CERTIFICATE REQUEST"));
    let request = request.ok_or_else(|| nothing(source, text.as_bytes()))?;
    Ok(request.decode(source)?.to_vec())
}

/// `der` as a PEM block of that label. Not for private keys.
pub fn encode(label: &str, der: &[u8]) -> String {
    let text = Base64::encode_string(der);
    // Sized once, so that it leaves no copies behind as it grows.
    let mut pem = String::with_capacity(2 * label.len() + 34 + text.len() + text.len() / 64 + 1);
    pem += "-----BEGIN ";
    pem += label;
    pem += "-----\n";
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
                label: known(self.label),
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
            label: known(self.label),
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
            (None, still) => {
                refuse_run_together(source, number, line)?;
                open = still;
            }
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
    let (begins, label) = match line.strip_prefix(b"BEGIN ") {
        Some(label) => (true, label),
        None => (false, line.strip_prefix(b"END ")?),
    };
    let label = label_of(label)?;
    Some(match begins {
        true => Boundary::Begin(label),
        false => Boundary::End(label),
    })
}

/// What a boundary says that its block is. Whatever is not like a label may be a key that lost its
/// line ends.
fn label_of(bytes: &[u8]) -> Option<&str> {
    let allowed = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ';
    let is_label = (1..=MAX_LABEL).contains(&bytes.len()) && bytes.iter().all(allowed);
    str::from_utf8(bytes).ok().filter(|_| is_label)
}

/// Refuses a line on which more follows the end of a boundary.
fn refuse_run_together(source: &str, number: usize, line: &[u8]) -> Result<(), Error> {
    let after = |text: &[u8], what: &[u8]| {
        let at = text.windows(what.len()).position(|found| found == what)?;
        Some(at + what.len())
    };
    let begun = [&b"-----BEGIN "[..], b"-----END "]
        .iter()
        .filter_map(|start| after(line, start))
        .min();
    let rest = begun.and_then(|at| Some(&line[at + after(&line[at..], b"-----")?..]));
    match rest {
        Some(rest) if !rest.trim_ascii().is_empty() => Err(Error::PemLineEnds {
            source_name: source.to_owned(),
            line: number,
        }),
        _ => Ok(()),
    }
}

/// A label for an error: never what stands in the input, which may be a key.
fn known(label: &str) -> &'static str {
    let known = LABELS.into_iter().find(|known| *known == label);
    known.unwrap_or(match label.ends_with("PRIVATE KEY") {
        true => "PRIVATE KEY",
        false => "unknown",
    })
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

const LABELS: [&str; 16] = [
    "CERTIFICATE",
    "X509 CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "CERTIFICATE REQUEST",
    "NEW CERTIFICATE REQUEST",
    "X509 CRL",
    "PKCS7",
    "CMS",
    "PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "DSA PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "PUBLIC KEY",
    "EC PARAMETERS",
];
/// Bytes in the longest label.
const MAX_LABEL: usize = 64;
const UNENDED: &str = "its END line is missing: the text is cut, or two files ran together";
const LEGACY: &str = "openssl pkcs8 -topk8 -in FILE -out key.pem";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key_type::KeyType;
    use crate::testing::OpenSsl;

    fn key(source: &str, text: &[u8]) -> Result<PrivateKey, Error> {
        match read(source, text)?.key {
            Some(PemKey::Plain(key)) => Ok(key),
            Some(PemKey::Encrypted(key)) => key.decrypt(b"secret"),
            None => panic!("{source} has no key"),
        }
    }

    /// Makes `key.pem`, and the same key in every form that openssl writes.
    fn every_form(openssl: &OpenSsl, genpkey: &str) -> Vec<(&'static str, Vec<u8>)> {
        openssl.run(&format!("genpkey {genpkey} -out key.pem"));
        let mut forms = vec![
            ("pkcs8", openssl.read("key.pem")),
            (
                "aes-256",
                openssl.run("pkcs8 -topk8 -in key.pem -passout pass:secret"),
            ),
            (
                "aes-128",
                openssl.run("pkcs8 -topk8 -v2 aes128 -in key.pem -passout pass:secret"),
            ),
            (
                "scrypt",
                openssl.run("pkcs8 -topk8 -scrypt -in key.pem -passout pass:secret"),
            ),
        ];
        if !genpkey.contains("ed25519") {
            let traditional = openssl.run("pkey -traditional -in key.pem");
            let parameters =
                b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
            forms.push((
                "behind parameters",
                [&parameters[..], &traditional].concat(),
            ));
            forms.push(("traditional", traditional));
        }
        forms
    }

    #[test]
    fn every_form_of_every_kind_becomes_the_same_key() {
        let openssl = OpenSsl::new();
        for (arguments, key_type) in [
            (
                "-algorithm ec -pkeyopt ec_paramgen_curve:P-256",
                KeyType::EcdsaP256,
            ),
            (
                "-algorithm ec -pkeyopt ec_paramgen_curve:P-384",
                KeyType::EcdsaP384,
            ),
            ("-algorithm ed25519", KeyType::Ed25519),
            (
                "-algorithm rsa -pkeyopt rsa_keygen_bits:2048",
                KeyType::Rsa2048,
            ),
            (
                "-algorithm rsa -pkeyopt rsa_keygen_bits:3072",
                KeyType::Rsa3072,
            ),
        ] {
            let forms = every_form(&openssl, arguments);
            let expected = key("key.pem", &forms[0].1).unwrap();
            assert_eq!(expected.key_type(), key_type);
            assert_eq!(
                expected.public_key(),
                openssl.run("pkey -in key.pem -pubout -outform DER")
            );
            for (form, text) in &forms {
                assert_eq!(
                    key(form, text).unwrap().expose_pkcs8(),
                    expected.expose_pkcs8(),
                    "{form}"
                );
            }
        }
    }

    #[test]
    fn keys_that_are_not_taken_say_why() {
        let openssl = OpenSsl::new();
        for (arguments, why) in [
            ("-algorithm ec -pkeyopt ec_paramgen_curve:P-521", "P-521"),
            (
                "-algorithm ec -pkeyopt ec_paramgen_curve:secp256k1",
                "1.3.132.0.10",
            ),
            (
                "-algorithm ec -pkeyopt ec_paramgen_curve:P-521 -pkeyopt ec_param_enc:explicit",
                "-param_enc named_curve",
            ),
            (
                "-algorithm rsa -pkeyopt rsa_keygen_bits:1024",
                "less than 2048",
            ),
            ("-algorithm rsa -pkeyopt rsa_keygen_bits:2560", "2560 bits"),
            ("-algorithm rsa-pss -pkeyopt rsa_keygen_bits:2048", "PSS"),
            ("-algorithm x25519", "1.3.101.110"),
        ] {
            let error = key("key.pem", &openssl.run(&format!("genpkey {arguments}")))
                .err()
                .unwrap();
            assert!(
                matches!(&error, Error::UnsupportedKey(text) if text.contains(why)),
                "{error}"
            );
        }
    }

    #[test]
    fn a_wrong_passphrase_is_told_from_an_outdated_encryption() {
        let openssl = OpenSsl::new();
        openssl.run("genpkey -algorithm ed25519 -out key.pem");
        let wrong = openssl.run("pkcs8 -topk8 -in key.pem -passout pass:other");
        assert!(matches!(key("k", &wrong), Err(Error::WrongPassphrase(_))));
        let outdated = openssl.run("pkcs8 -topk8 -v2 des3 -in key.pem -passout pass:secret");
        assert!(matches!(
            key("k", &outdated),
            Err(Error::UnsupportedEncryption(_))
        ));
        let legacy = b"-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\nDEK-Info: AES-256-CBC,00\r\n\r\nAAAA\r\n-----END RSA PRIVATE KEY-----\r\n";
        let error = key("old.pem", legacy).err().unwrap().to_string();
        assert!(
            error.starts_with("old.pem:1:") && error.contains("openssl pkcs8 -topk8"),
            "{error}"
        );
    }

    #[test]
    fn certificates_and_key_are_told_apart_in_any_order() {
        let openssl = OpenSsl::new();
        openssl.run("req -x509 -newkey ed25519 -nodes -subj /CN=a -keyout key.pem -out plain.pem");
        openssl.run("x509 -in plain.pem -text -out cert.pem");
        let (certificate, key) = (openssl.text("cert.pem"), openssl.text("key.pem"));
        assert!(
            certificate.starts_with("Certificate:"),
            "with the text that openssl puts before"
        );
        for text in [
            format!("{certificate}{key}"),
            format!("\u{feff}{key}{certificate}").replace('\n', "\r\n"),
        ] {
            let found = read("both.pem", text.as_bytes()).unwrap();
            assert!(certificate.ends_with(&found.certificates) && found.key.is_some());
        }
        let twice = format!("{key}{key}");
        assert!(matches!(
            read("twice.pem", twice.as_bytes()),
            Err(Error::SeveralKeys(_))
        ));
        assert!(matches!(
            certificates("chain.pem", &key),
            Err(Error::UnexpectedKey(_))
        ));
        let der = openssl.run("x509 -in cert.pem -outform DER");
        assert!(matches!(read("cert.der", &der), Err(Error::NotPem(_))));
        assert!(matches!(
            read("empty.pem", b""),
            Err(Error::NothingInPem(_))
        ));
    }

    #[test]
    fn malformed_blocks_are_named_by_their_line() {
        for (text, expected) in [
            (
                "x\n-----BEGIN CERTIFICATE-----\nAAAA\n",
                "f:2: the PEM block `CERTIFICATE`",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----BEGIN A-----\n",
                "END line is missing",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END A-----\n",
                "END line is missing",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nA*AA\n-----END CERTIFICATE-----",
                "not base64",
            ),
            (
                "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
                "not base64",
            ),
            (
                "-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----",
                "openssl pkcs7",
            ),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----",
                "ssh-keygen",
            ),
        ] {
            let error = read("f", text.as_bytes()).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    /// Whether a run of 16 bytes of `secret` stands in `text`.
    fn leaks(text: &str, secret: &[u8]) -> bool {
        let mut runs = secret.windows(16);
        runs.any(|run| text.as_bytes().windows(16).any(|found| found == run))
    }

    #[test]
    fn no_error_shows_anything_of_a_key() {
        let openssl = OpenSsl::new();
        openssl.run("genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out key.pem");
        let pkcs8 = openssl.text("key.pem");
        let sec1 = String::from_utf8(openssl.run("pkey -traditional -in key.pem")).unwrap();
        for pem in [pkcs8, sec1] {
            let body: String = pem.lines().filter(|line| !line.contains("-----")).collect();
            let unended: Vec<_> = pem.lines().filter(|line| !line.contains("END")).collect();
            let end = pem.lines().last().unwrap();
            for damaged in [
                pem.replace('\n', " "),
                pem.replace('\n', "\r"),
                pem.replace('\n', ""),
                format!("Key:\r{}", pem.replace('\n', "\r")),
                unended.join("\n"),
                unended.join(" "),
                unended.join("\r"),
                unended.join("\n") + end,
                format!("-----BEGIN {body}-----\nAAAA\n-----END {body}-----\n"),
                format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"),
                format!("-----BEGIN CERTIFICATE-----\n{body}*\n-----END CERTIFICATE-----\n"),
            ] {
                let read = read("one.key", damaged.as_bytes()).map(drop);
                let inputs = [("one.key".to_owned(), damaged.clone())];
                let chain = crate::import::inputs(&inputs)
                    .and_then(|inputs| crate::import::public_keys(&inputs).map(drop));
                for error in [read, chain].into_iter().filter_map(Result::err) {
                    let text = format!("{error} {error:?}");
                    assert!(!leaks(&text, body.as_bytes()), "{damaged:?}");
                }
            }
        }
    }

    #[test]
    fn lines_that_ran_together_are_said_so() {
        let good = encode("CERTIFICATE", &[7; 60]);
        for joined in ["", " ", "\r"] {
            let text = format!("Subject: a\n{}", good.replace('\n', joined));
            let error = certificates("f", &text).unwrap_err().to_string();
            assert!(
                error.starts_with("f:2: the line ends of the PEM are gone"),
                "{error}"
            );
        }
        let commented = format!("#-----BEGIN A-----\n#AAAA\n#-----END A-----\n{good}");
        assert_eq!(certificates("f", &commented).unwrap(), [[7; 60]]);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(der in proptest::collection::vec(any::<u8>(), 1..300)) {
            let text = encode("CERTIFICATE", &der) + &encode("CERTIFICATE", b"other");
            prop_assert_eq!(certificates("f", &text).unwrap(), [der, b"other".to_vec()]);
        }

        #[test]
        fn arbitrary_text_never_panics(
            pieces in proptest::collection::vec(prop_oneof![
                Just("-----BEGIN CERTIFICATE-----"), Just("-----END CERTIFICATE-----"), Just("-----BEGIN PRIVATE KEY-----"),
                Just("-----END PRIVATE KEY-----"), Just("-----BEGIN -----"), Just("-----"), Just("\n"), Just("AAAA"), Just("Proc-Type: 4,ENCRYPTED"),
            ], 0..20),
            bytes in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let _ = read("f", &[pieces.concat().as_bytes(), &bytes].concat());
        }
    }
}
