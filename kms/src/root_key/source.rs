//! Where a root key is kept.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Which place keeps the root key, as a manifest or a configuration says it. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RootKeySource {
    /// A file, with the root key itself.
    File(PathBuf),
    /// Somebody's memory.
    Passphrase,
    /// A credential that the service manager hands to the process, by its name.
    Credential(String),
    /// Several people, each of whom keeps a share.
    Shamir,
}

impl RootKeySource {
    /// Which kind of place it is.
    pub fn kind(&self) -> SourceKind {
        match self {
            Self::File(_) => SourceKind::File,
            Self::Passphrase => SourceKind::Passphrase,
            Self::Credential(_) => SourceKind::Credential,
            Self::Shamir => SourceKind::Shamir,
        }
    }

    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            _ => None,
        }
    }

    /// The place, for people.
    pub fn place(&self) -> String {
        match self {
            Self::File(path) => SourceKind::File.of(&path.display().to_string()),
            Self::Credential(name) => SourceKind::Credential.of(name),
            Self::Passphrase | Self::Shamir => self.kind().to_string(),
        }
    }
}

/// A kind of place that keeps root keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// [`RootKeySource::File`].
    File,
    /// [`RootKeySource::Passphrase`].
    Passphrase,
    /// [`RootKeySource::Credential`].
    Credential,
    /// [`RootKeySource::Shamir`].
    Shamir,
    /// A module that speaks PKCS#11.
    Pkcs11,
    /// A key management service that speaks AWS's protocol.
    AwsKms,
    /// A Transit engine of Vault or OpenBao.
    Vault,
}

impl SourceKind {
    pub(super) const ALL: [Self; 7] = [
        Self::File,
        Self::Passphrase,
        Self::Credential,
        Self::Shamir,
        Self::Pkcs11,
        Self::AwsKms,
        Self::Vault,
    ];

    /// The word for it in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Passphrase => "passphrase",
            Self::Credential => "credential",
            Self::Shamir => "shamir",
            Self::Pkcs11 => "pkcs11",
            Self::AwsKms => "aws_kms",
            Self::Vault => "vault",
        }
    }

    /// One of this kind, for people.
    pub(super) fn of(self, name: &str) -> String {
        match self {
            Self::Credential => format!("the systemd credential `{name}`"),
            kind => format!("{kind} {name}"),
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "the file",
            Self::Passphrase => "a passphrase",
            Self::Credential => "a systemd credential",
            Self::Shamir => "shares that people keep",
            Self::Pkcs11 => "a PKCS#11 token",
            Self::AwsKms => "a key of AWS KMS",
            Self::Vault => "a Transit key of Vault",
        })
    }
}
