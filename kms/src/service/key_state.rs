//! Which operation a key can do, by what it is and by the state that it is in: AWS's tables.

use std::time::SystemTime;

use super::Kms;
use crate::database::StoredKey;
use crate::error::Error;
use crate::key::{KeyOrigin, KeyState};
use crate::policy::Action;
use crate::spec::{KeySpec, KeyUsage};

impl Kms {
    /// Refuses what the key cannot do, ever or in its state.
    ///
    /// # Errors
    /// [`Error::KeyUsage`], [`Error::Origin`], [`Error::Spec`]; [`Error::Disabled`],
    /// [`Error::PendingDeletion`], [`Error::NotPendingDeletion`], [`Error::PendingImport`].
    pub(super) fn check_state(&self, action: Action, key: &StoredKey) -> Result<(), Error> {
        let needs = needs(action);
        self.check_kind(needs.kind, action, key)?;
        let arn = || self.identity.key_arn(key.id);
        match (needs.state, state(key, self.now())) {
            (Needs::NotPendingDeletion, KeyState::PendingDeletion { .. }) => {
                Err(Error::PendingDeletion(arn()))
            }
            (Needs::PendingDeletion, KeyState::PendingDeletion { .. }) => Ok(()),
            (Needs::PendingDeletion, _) => Err(Error::NotPendingDeletion(arn())),
            (Needs::Any | Needs::NotPendingDeletion, _) => Ok(()),
            (Needs::Enabled | Needs::Material, KeyState::PendingDeletion { .. }) => {
                Err(Error::PendingDeletion(arn()))
            }
            (Needs::Enabled | Needs::Material, KeyState::PendingImport) => {
                Err(Error::PendingImport(arn()))
            }
            (Needs::Enabled, KeyState::Disabled) => Err(Error::Disabled(arn())),
            (Needs::Enabled | Needs::Material, _) => Ok(()),
        }
    }

    fn check_kind(&self, kind: Kind, action: Action, key: &StoredKey) -> Result<(), Error> {
        let arn = || self.identity.key_arn(key.id);
        match kind {
            Kind::Usage(usage) if key.usage != usage => Err(self.wrong_usage(action, key)),
            Kind::Symmetric if key.usage != KeyUsage::EncryptDecrypt => {
                Err(self.wrong_usage(action, key))
            }
            Kind::Symmetric | Kind::Rotated | Kind::RotatedByItself
                if key.spec != KeySpec::SymmetricDefault =>
            {
                Err(Error::Spec {
                    arn: arn(),
                    spec: key.spec,
                })
            }
            Kind::RotatedByItself if key.origin != KeyOrigin::AwsKms => Err(self.wrong_origin(key)),
            Kind::Imported if key.origin != KeyOrigin::External => Err(self.wrong_origin(key)),
            Kind::Pair if !key.spec.is_asymmetric() => Err(Error::Spec {
                arn: arn(),
                spec: key.spec,
            }),
            _ => Ok(()),
        }
    }

    fn wrong_usage(&self, action: Action, key: &StoredKey) -> Error {
        Error::KeyUsage {
            arn: self.identity.key_arn(key.id),
            usage: key.usage,
            operation: match action {
                Action::ReEncryptFrom | Action::ReEncryptTo => "ReEncrypt",
                action => action.operation(),
            },
        }
    }

    fn wrong_origin(&self, key: &StoredKey) -> Error {
        Error::Origin {
            arn: self.identity.key_arn(key.id),
            origin: key.origin,
        }
    }
}

/// The state that a key is in: without all of its material it waits for that, whatever was done to it.
pub(super) fn state(key: &StoredKey, now: SystemTime) -> KeyState {
    match key.state {
        deleted @ KeyState::PendingDeletion { .. } => deleted,
        _ if key.origin == KeyOrigin::External && !key.ring.is_complete(now) => {
            KeyState::PendingImport
        }
        // Its material is there again.
        KeyState::PendingImport => KeyState::Enabled,
        state => state,
    }
}

struct Needed {
    kind: Kind,
    state: Needs,
}

/// What kind of key an action needs.
#[derive(Clone, Copy)]
enum Kind {
    Any,
    Usage(KeyUsage),
    /// For encryption, with a context.
    Symmetric,
    Rotated,
    RotatedByItself,
    Imported,
    Pair,
}

/// What state an action needs.
#[derive(Clone, Copy)]
enum Needs {
    Any,
    NotPendingDeletion,
    PendingDeletion,
    /// Enabled or disabled.
    Material,
    Enabled,
}

/// AWS's table "Key states of AWS KMS keys" of the developer guide, and what each operation's own page
/// says of the kinds of keys.
fn needs(action: Action) -> Needed {
    let (kind, state) = match action {
        Action::Encrypt | Action::Decrypt | Action::ReEncryptFrom | Action::ReEncryptTo => {
            (Kind::Usage(KeyUsage::EncryptDecrypt), Needs::Enabled)
        }
        Action::GenerateDataKey
        | Action::GenerateDataKeyPair
        | Action::GenerateDataKeyPairWithoutPlaintext
        | Action::GenerateDataKeyWithoutPlaintext => (Kind::Symmetric, Needs::Enabled),
        Action::Sign | Action::Verify => (Kind::Usage(KeyUsage::SignVerify), Needs::Enabled),
        Action::GenerateMac | Action::VerifyMac => {
            (Kind::Usage(KeyUsage::GenerateVerifyMac), Needs::Enabled)
        }
        Action::DeriveSharedSecret => (Kind::Usage(KeyUsage::KeyAgreement), Needs::Enabled),
        Action::GetPublicKey => (Kind::Pair, Needs::Enabled),
        Action::CreateGrant | Action::ReplicateKey => (Kind::Any, Needs::Enabled),
        Action::RotateKeyOnDemand => (Kind::Rotated, Needs::Enabled),
        Action::EnableKeyRotation | Action::DisableKeyRotation => {
            (Kind::RotatedByItself, Needs::Enabled)
        }
        Action::GetKeyRotationStatus => (Kind::Rotated, Needs::Any),
        Action::EnableKey | Action::DisableKey => (Kind::Any, Needs::Material),
        Action::CancelKeyDeletion => (Kind::Any, Needs::PendingDeletion),
        Action::DeleteImportedKeyMaterial
        | Action::GetParametersForImport
        | Action::ImportKeyMaterial => (Kind::Imported, Needs::NotPendingDeletion),
        Action::CreateAlias
        | Action::ScheduleKeyDeletion
        | Action::TagResource
        | Action::UntagResource
        | Action::UpdateAlias
        | Action::UpdateKeyDescription
        | Action::UpdatePrimaryRegion => (Kind::Any, Needs::NotPendingDeletion),
        _ => (Kind::Any, Needs::Any),
    };
    Needed { kind, state }
}
