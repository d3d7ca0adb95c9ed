//! The AWS exception that stands for each error.

use super::Error;
use crate::material::MaterialError;

impl Error {
    /// The name of the AWS exception that says this, `NotFoundException` for instance.
    ///
    /// What AWS has no word for, because there it happens out of sight (files, locks, the root key), is
    /// `KMSInternalException`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "ThrottlingException",
            Self::DryRun => "DryRunOperationException",
            Self::InvalidKeyRef(_)
            | Self::KeyNotFound(_)
            | Self::GrantNotFound(_)
            | Self::AliasNotFound(_)
            | Self::IdentityNotFound(_)
            | Self::AccessKeyNotFound(_) => "NotFoundException",
            Self::AccessDenied(_)
            | Self::RootOnly { .. }
            | Self::NoInstance
            | Self::ReservedContext(_)
            | Self::ReservedAlias(_)
            | Self::ManagedKey(_) => "AccessDeniedException",
            Self::MalformedPolicy { .. } | Self::PolicyLockOut(_) => {
                "MalformedPolicyDocumentException"
            }
            Self::TooManyGrants(_)
            | Self::TooManyKeys
            | Self::TooManyAliases(_)
            | Self::TooManyRotations(_)
            | Self::TooManyAccessKeys(_) => "LimitExceededException",
            Self::Disabled(_) => "DisabledException",
            Self::PendingDeletion(_)
            | Self::NotPendingDeletion(_)
            | Self::PendingImport(_)
            | Self::NothingToRotate(_) => "KMSInvalidStateException",
            Self::KeyUsage { .. } => "InvalidKeyUsageException",
            Self::Origin { .. } | Self::Spec { .. } | Self::MultiRegion { .. } => {
                "UnsupportedOperationException"
            }
            Self::Material(error) => of_material(error),
            Self::IncorrectKey => "IncorrectKeyException",
            Self::InvalidTag(_) => "TagException",
            Self::InvalidImportToken => "InvalidImportTokenException",
            Self::ExpiredImportToken => "ExpiredImportTokenException",
            Self::IncorrectKeyMaterial(_) => "IncorrectKeyMaterialException",
            Self::AliasExists { .. } | Self::IdentityExists(_) | Self::AccessKeyExists(_) => {
                "AlreadyExistsException"
            }
            Self::InvalidAlias(_) => "InvalidAliasNameException",
            Self::InvalidCiphertext(_)
            | Self::MalformedCiphertext
            | Self::BackingKeyNotFound { .. } => "InvalidCiphertextException",
            Self::InvalidIdentity { .. }
            | Self::InvalidPrincipal(_)
            | Self::InvalidAction(_)
            | Self::InvalidIdentityChange { .. }
            | Self::InvalidAccessKey(_)
            | Self::IdentityInUse { .. }
            | Self::InvalidGrant(_)
            | Self::DescriptionTooLong(_)
            | Self::UsageMissing(_)
            | Self::PendingWindow(_)
            | Self::RotationPeriod(_)
            | Self::AliasOfOtherKind { .. }
            | Self::NumberOfBytes { .. }
            | Self::MessageTooLong(_)
            | Self::InvalidExpiry
            | Self::InvalidReplica(_)
            | Self::PlaintextTooLong(_) => "ValidationException",
            Self::Sealed(_) => "KeyUnavailableException",
            _ => "KMSInternalException",
        }
    }
}

fn of_material(error: &MaterialError) -> &'static str {
    match error {
        MaterialError::Algorithm { .. } | MaterialError::OtherUsage { .. } => {
            "InvalidKeyUsageException"
        }
        MaterialError::InvalidCiphertext => "InvalidCiphertextException",
        MaterialError::InvalidSignature => "KMSInvalidSignatureException",
        MaterialError::InvalidMac => "KMSInvalidMacException",
        MaterialError::KeyMaterial(_) => "IncorrectKeyMaterialException",
        MaterialError::Library(_) => "KMSInternalException",
        _ => "ValidationException",
    }
}
