//! What is read from a certificate (RFC 5280). Parsed certificates are not kept: they are many times
//! as large as their bytes.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::prelude::*;

use crate::error::Error;
use crate::host;

/// What is said of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateInfo {
    /// The distinguished name that it is for; often empty, since names stand in `names`.
    pub subject: String,
    /// The distinguished name of who signed it.
    pub issuer: String,
    /// Its serial number in lower-case hexadecimal.
    pub serial: String,
    /// SHA-256 of it in lower-case hexadecimal.
    pub sha256: String,
    /// The DNS names and addresses that it is for, in lower case, each once.
    pub names: Vec<String>,
    /// From when it is valid.
    #[serde(with = "rfc3339")]
    pub not_before: SystemTime,
    /// Until when it is valid.
    #[serde(with = "rfc3339")]
    pub not_after: SystemTime,
}

impl CertificateInfo {
    /// Reads the certificate `der`, which errors call `place`.
    pub(crate) fn read(place: &str, der: &[u8]) -> Result<Self, Error> {
        let certificate = parse(place, der)?;
        Ok(Self::of(&certificate, names(place, &certificate)?))
    }

    /// What is said of `certificate`, whose names have been read.
    pub(crate) fn of(certificate: &X509Certificate<'_>, names: Vec<String>) -> Self {
        Self {
            subject: name(certificate.subject()),
            issuer: name(certificate.issuer()),
            serial: serial(certificate),
            sha256: hex(&Sha256::digest(certificate.as_raw())),
            names,
            not_before: time(certificate.validity().not_before),
            not_after: time(certificate.validity().not_after),
        }
    }

    /// What to call it in a sentence: its first name, or its subject.
    pub(crate) fn title(&self) -> &str {
        self.names.first().unwrap_or(&self.subject)
    }
}

/// Parses one certificate and nothing behind it.
pub(crate) fn parse<'a>(place: &str, der: &'a [u8]) -> Result<X509Certificate<'a>, Error> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(unusable(place, "bytes follow it".to_owned())),
        Err(_) => Err(unusable(place, "it is malformed".to_owned())),
    }
}

/// The DNS names and addresses in the subject alternative names, in lower case, each once.
///
/// # Errors
/// [`Error::Certificate`] where there are none, or one that could be taken for another: a
/// certificate is refused whole then.
pub(crate) fn names(place: &str, certificate: &X509Certificate<'_>) -> Result<Vec<String>, Error> {
    let extension = certificate.subject_alternative_name().map_err(|_| {
        unusable(
            place,
            "its subject alternative names are malformed".to_owned(),
        )
    })?;
    let general = extension
        .iter()
        .flat_map(|found| &found.value.general_names);
    let mut names = collect(general).map_err(|why| unusable(place, why))?;
    if names.is_empty() {
        return Err(unusable(place, NO_NAMES.to_owned()));
    }
    names.shrink_to_fit();
    Ok(names)
}

/// The names that a request for a certificate asks for.
pub(crate) fn requested_names(request: &X509CertificationRequest<'_>) -> Option<Vec<String>> {
    let mut extensions = request.requested_extensions()?;
    let found = extensions.find_map(|extension| match extension {
        ParsedExtension::SubjectAlternativeName(names) => Some(names),
        _ => None,
    });
    collect(&found?.general_names).ok()
}

fn collect<'a>(
    general: impl IntoIterator<Item = &'a GeneralName<'a>>,
) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for general in general {
        let name = match general {
            GeneralName::DNSName(text) => host::dns_name(text)
                .map_err(|why| format!("its name `{}` is refused: {why}", text.escape_debug()))?,
            GeneralName::IPAddress(bytes) => {
                host::address(bytes).ok_or("an address in it has neither 4 nor 16 bytes")?
            }
            GeneralName::Invalid(..) => return Err("one of its names is not ASCII".to_owned()),
            // Mail addresses, URIs and the like are nothing that a server is reached by.
            _ => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// A distinguished name for people, without what would steer a terminal.
pub(crate) fn name(name: &X509Name<'_>) -> String {
    let text = name.to_string();
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// A time for people and programs: RFC 3339, in UTC.
pub(crate) fn date(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| "an unknown time".to_owned(), |time| time.to_string())
}

fn serial(certificate: &X509Certificate<'_>) -> String {
    // A leading zero only says that the number is not negative.
    match certificate.raw_serial() {
        [0, rest @ ..] if !rest.is_empty() => hex(rest),
        bytes => hex(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes all that is written to it");
    }
    text
}

fn time(time: ASN1Time) -> SystemTime {
    let seconds = time.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::UNIX_EPOCH - distance
    } else {
        SystemTime::UNIX_EPOCH + distance
    }
}

fn unusable(place: &str, why: String) -> Error {
    Error::Certificate {
        place: place.to_owned(),
        why,
    }
}

/// A time in documents.
pub(crate) mod rfc3339 {
    use std::time::SystemTime;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::date(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        let time: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        SystemTime::try_from(time).map_err(D::Error::custom)
    }
}

const NO_NAMES: &str = "it has no subject alternative name of the kind DNS or IP, and clients have long stopped \
                        looking at the common name: request it with its names as subject alternative names";
