//! The KMS by AWS's names: each operation with its request and its answer in JSON.
//!
//! [`call`] is what every outside surface stands on: the command line, the admin socket, the network.
//! A request is checked against its shapes, then read, then done by [`Kms`], which authorises it. Blobs
//! are base64, timestamps seconds since 1970. What is secret is wiped, here and in the answer.
//!
//! # What differs from AWS
//! Members that an operation does not have are refused, not ignored. Grant tokens are checked and not
//! needed: a grant holds at once. `Recipient`, custom key stores and external keys are not supported.
//!
//! # Beside AWS's
//! Identities (`CreateUser`, `CreateRole`, `CreateService`, `ListIdentities`, `PutIdentityPolicy`, `MapUid`, …), their access
//! keys (`CreateAccessKey`, `UpdateAccessKey`, `DeleteAccessKey`, `ListAccessKeys`), `Explain` and `DescribeKeys`, in the same manner. A principal is an ARN, or `user/NAME`, `role/NAME` or `root` of this account.

mod access_keys;
mod aliases;
mod blob;
mod cryptography;
mod exception;
mod explain;
mod grants;
mod identities;
mod json;
mod keys;
mod names;
mod page;
mod pairs;
mod policies;
mod rotation;
mod shape;
mod shapes;
mod tags;
mod time;
mod validate;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::caller::Caller;
use crate::service::Kms;
use shape::Structure;

pub use access_keys::*;
pub use aliases::*;
pub use blob::{Blob, SecretBlob, SecretText};
pub use cryptography::*;
pub use exception::Exception;
pub use explain::*;
pub use grants::*;
pub use identities::*;
pub use json::write;
pub use keys::*;
pub use pairs::*;
pub use policies::*;
pub use rotation::*;
pub use tags::*;
pub use time::Timestamp;

/// Has an operation done.
///
/// # Errors
/// With AWS's code and message: what is wrong with the request, or why it was not done.
pub fn call(
    kms: &Kms,
    caller: &Caller,
    operation: &str,
    input: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Exception> {
    let found = OPERATIONS.iter().find(|known| known.name == operation);
    let found = found.ok_or_else(|| Exception::unknown_operation(operation))?;
    (found.run)(kms, caller, input)
}

/// The names of all operations.
pub fn operations() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().map(|operation| operation.name)
}

/// The JSON of an answer.
type Answered = Result<Zeroizing<Vec<u8>>, Exception>;

struct Operation {
    name: &'static str,
    run: fn(&Kms, &Caller, &[u8]) -> Answered,
}

macro_rules! operations {
    ($($name:literal => $function:ident,)*) => {
        &[$(Operation {
            name: $name,
            run: |kms, caller, input| answer(kms, caller, input, $function),
        },)*]
    };
}

static OPERATIONS: &[Operation] = operations! {
    "CancelKeyDeletion" => cancel_key_deletion,
    "CreateAccessKey" => create_access_key,
    "CreateAlias" => create_alias,
    "CreateGrant" => create_grant,
    "CreateKey" => create_key,
    "CreateRole" => create_role,
    "CreateService" => create_service,
    "CreateUser" => create_user,
    "Decrypt" => decrypt,
    "DeleteAccessKey" => delete_access_key,
    "DeleteAlias" => delete_alias,
    "DeleteIdentity" => delete_identity,
    "DeleteIdentityPolicy" => delete_identity_policy,
    "DeriveSharedSecret" => derive_shared_secret,
    "DescribeKey" => describe_key,
    "DescribeKeys" => describe_keys,
    "DisableKey" => disable_key,
    "DisableKeyRotation" => disable_key_rotation,
    "EnableKey" => enable_key,
    "EnableKeyRotation" => enable_key_rotation,
    "Encrypt" => encrypt,
    "Explain" => explain,
    "GenerateDataKey" => generate_data_key,
    "GenerateDataKeyPair" => generate_data_key_pair,
    "GenerateDataKeyPairWithoutPlaintext" => generate_data_key_pair_without_plaintext,
    "GenerateDataKeyWithoutPlaintext" => generate_data_key_without_plaintext,
    "GenerateMac" => generate_mac,
    "GenerateRandom" => generate_random,
    "GetCallerIdentity" => get_caller_identity,
    "GetIdentity" => get_identity,
    "GetIdentityPolicy" => get_identity_policy,
    "GetKeyPolicy" => get_key_policy,
    "GetKeyRotationStatus" => get_key_rotation_status,
    "GetPublicKey" => get_public_key,
    "ListAccessKeys" => list_access_keys,
    "ListAliases" => list_aliases,
    "ListGrants" => list_grants,
    "ListIdentities" => list_identities,
    "ListKeyPolicies" => list_key_policies,
    "ListKeyRotations" => list_key_rotations,
    "ListKeys" => list_keys,
    "ListResourceTags" => list_resource_tags,
    "ListRetirableGrants" => list_retirable_grants,
    "MapUid" => map_uid,
    "PutIdentityPolicy" => put_identity_policy,
    "PutKeyPolicy" => put_key_policy,
    "ReEncrypt" => re_encrypt,
    "RetireGrant" => retire_grant,
    "RevokeGrant" => revoke_grant,
    "RotateKeyOnDemand" => rotate_key_on_demand,
    "ScheduleKeyDeletion" => schedule_key_deletion,
    "Sign" => sign,
    "TagResource" => tag_resource,
    "UnmapUid" => unmap_uid,
    "UntagResource" => untag_resource,
    "UpdateAccessKey" => update_access_key,
    "UpdateAlias" => update_alias,
    "UpdateKeyDescription" => update_key_description,
    "Verify" => verify,
    "VerifyMac" => verify_mac,
};

fn answer<I: Structure + DeserializeOwned, O: Serialize>(
    kms: &Kms,
    caller: &Caller,
    input: &[u8],
    function: impl FnOnce(&Kms, &Caller, I) -> Result<O, Exception>,
) -> Answered {
    let answer = function(kms, caller, json::read(input)?)?;
    write(&answer).map_err(|error| Exception::internal(&error))
}

/// What an operation answers that has nothing to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Nothing {}

#[cfg(test)]
mod tests;
