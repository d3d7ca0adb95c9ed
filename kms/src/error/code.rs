//! The AWS exception that stands for each error.

use super::Error;

impl Error {
    /// The name of the AWS exception that says this, `NotFoundException` for instance.
    ///
    /// What AWS has no word for, because there it happens out of sight (files, locks, the root key), is
    /// `KMSInternalException`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DryRun => "DryRunOperationException",
            Self::InvalidKeyRef(_)
            | Self::KeyNotFound(_)
            | Self::GrantNotFound(_)
            | Self::IdentityNotFound(_) => "NotFoundException",
            Self::AccessDenied(_)
            | Self::RootOnly { .. }
            | Self::ReservedContext(_)
            | Self::ReservedAlias(_)
            | Self::ManagedKey(_) => "AccessDeniedException",
            Self::MalformedPolicy { .. } | Self::PolicyLockOut(_) => {
                "MalformedPolicyDocumentException"
            }
            Self::TooManyGrants(_) => "LimitExceededException",
            Self::AliasExists { .. } | Self::IdentityExists(_) => "AlreadyExistsException",
            Self::InvalidAlias(_) => "InvalidAliasNameException",
            Self::InvalidCiphertext(_)
            | Self::MalformedCiphertext
            | Self::BackingKeyNotFound { .. } => "InvalidCiphertextException",
            Self::InvalidIdentity { .. }
            | Self::InvalidPrincipal(_)
            | Self::InvalidAction(_)
            | Self::InvalidIdentityChange { .. }
            | Self::IdentityInUse { .. }
            | Self::InvalidGrant(_)
            | Self::DescriptionTooLong(_)
            | Self::PlaintextTooLong(_) => "ValidationException",
            Self::Sealed(_) => "KeyUnavailableException",
            _ => "KMSInternalException",
        }
    }
}
