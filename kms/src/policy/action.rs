//! What can be asked of a KMS, by AWS's names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

macro_rules! actions {
    ($($action:ident $name:literal,)*) => {
        /// An action that a policy or a grant speaks of, `kms:Decrypt` for instance.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize)]
        pub enum Action {
            $(#[doc = concat!("`", $name, "`.")] $action,)*
        }

        impl Action {
            /// All actions, by name.
            pub const ALL: &[Self] = &[$(Self::$action),*];

            /// As it stands in a policy: `kms:Decrypt`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)*
                }
            }
        }
    };
}

actions! {
    CancelKeyDeletion "kms:CancelKeyDeletion",
    CreateAlias "kms:CreateAlias",
    CreateGrant "kms:CreateGrant",
    CreateKey "kms:CreateKey",
    Decapsulate "kms:Decapsulate",
    Decrypt "kms:Decrypt",
    DeleteAlias "kms:DeleteAlias",
    DeleteImportedKeyMaterial "kms:DeleteImportedKeyMaterial",
    DeriveSharedSecret "kms:DeriveSharedSecret",
    DescribeKey "kms:DescribeKey",
    DisableKey "kms:DisableKey",
    DisableKeyRotation "kms:DisableKeyRotation",
    EnableKey "kms:EnableKey",
    EnableKeyRotation "kms:EnableKeyRotation",
    Encapsulate "kms:Encapsulate",
    Encrypt "kms:Encrypt",
    GenerateDataKey "kms:GenerateDataKey",
    GenerateDataKeyPair "kms:GenerateDataKeyPair",
    GenerateDataKeyPairWithoutPlaintext "kms:GenerateDataKeyPairWithoutPlaintext",
    GenerateDataKeyWithoutPlaintext "kms:GenerateDataKeyWithoutPlaintext",
    GenerateMac "kms:GenerateMac",
    GenerateRandom "kms:GenerateRandom",
    GetKeyLastUsage "kms:GetKeyLastUsage",
    GetKeyPolicy "kms:GetKeyPolicy",
    GetKeyRotationStatus "kms:GetKeyRotationStatus",
    GetParametersForImport "kms:GetParametersForImport",
    GetPublicKey "kms:GetPublicKey",
    ImportKeyMaterial "kms:ImportKeyMaterial",
    ListAliases "kms:ListAliases",
    ListGrants "kms:ListGrants",
    ListKeyPolicies "kms:ListKeyPolicies",
    ListKeyRotations "kms:ListKeyRotations",
    ListKeys "kms:ListKeys",
    ListResourceTags "kms:ListResourceTags",
    ListRetirableGrants "kms:ListRetirableGrants",
    PutKeyPolicy "kms:PutKeyPolicy",
    ReEncryptFrom "kms:ReEncryptFrom",
    ReEncryptTo "kms:ReEncryptTo",
    ReplicateKey "kms:ReplicateKey",
    RetireGrant "kms:RetireGrant",
    RevokeGrant "kms:RevokeGrant",
    RotateKeyOnDemand "kms:RotateKeyOnDemand",
    ScheduleKeyDeletion "kms:ScheduleKeyDeletion",
    Sign "kms:Sign",
    TagResource "kms:TagResource",
    UntagResource "kms:UntagResource",
    UpdateAlias "kms:UpdateAlias",
    UpdateKeyDescription "kms:UpdateKeyDescription",
    UpdatePrimaryRegion "kms:UpdatePrimaryRegion",
    Verify "kms:Verify",
    VerifyMac "kms:VerifyMac",
}

impl Action {
    /// As it stands in a grant: `Decrypt`.
    pub fn operation(self) -> &'static str {
        self.name().trim_start_matches("kms:")
    }

    /// Whether it has an encryption context, which a grant's constraint can then bind.
    pub fn has_context(self) -> bool {
        matches!(
            self,
            Self::Decrypt
                | Self::Encrypt
                | Self::GenerateDataKey
                | Self::GenerateDataKeyPair
                | Self::GenerateDataKeyPairWithoutPlaintext
                | Self::GenerateDataKeyWithoutPlaintext
                | Self::ReEncryptFrom
                | Self::ReEncryptTo
        )
    }

    /// Whether a grant can give it.
    pub fn is_grantable(self) -> bool {
        self.has_context()
            || matches!(
                self,
                Self::CreateGrant
                    | Self::Decapsulate
                    | Self::DeriveSharedSecret
                    | Self::DescribeKey
                    | Self::Encapsulate
                    | Self::GenerateMac
                    | Self::GetPublicKey
                    | Self::RetireGrant
                    | Self::Sign
                    | Self::Verify
                    | Self::VerifyMac
            )
    }
}

impl FromStr for Action {
    type Err = Error;

    /// With or without `kms:`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let named = |action: &&Self| action.name() == text || action.operation() == text;
        let found = Self::ALL.iter().find(named).copied();
        found.ok_or_else(|| Error::InvalidAction(text.to_owned()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_two_spellings() {
        for action in Action::ALL {
            assert_eq!(action.name().parse::<Action>().unwrap(), *action);
            assert_eq!(action.operation().parse::<Action>().unwrap(), *action);
        }
        assert!("kms:decrypt".parse::<Action>().is_err());
    }

    #[test]
    fn nineteen_actions_can_be_granted() {
        let grantable = Action::ALL.iter().filter(|action| action.is_grantable());
        assert_eq!(grantable.count(), 19);
    }
}
