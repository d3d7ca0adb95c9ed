//! In which state a key is, where its material comes from, and what each operation needs of both.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// Where a key's material comes from. The names are AWS's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeyOrigin {
    /// It was made here.
    #[default]
    #[serde(rename = "AWS_KMS")]
    AwsKms,
    /// It was imported.
    #[serde(rename = "EXTERNAL")]
    External,
}

impl KeyOrigin {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AwsKms => "AWS_KMS",
            Self::External => "EXTERNAL",
        }
    }
}

impl fmt::Display for KeyOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What may be done with a key. The names are AWS's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum KeyState {
    /// Everything.
    Enabled,
    /// Nothing but to look at it and to change it.
    Disabled,
    /// Nothing but to look at it and to take that back, until it is deleted.
    PendingDeletion {
        /// When it is deleted, for ever.
        date: SystemTime,
    },
    /// It has no material, or not all of it: that has to be imported first.
    PendingImport,
}

impl KeyState {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion { .. } => "PendingDeletion",
            Self::PendingImport => "PendingImport",
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
