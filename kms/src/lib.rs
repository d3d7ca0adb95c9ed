//! A local key management service: keys that never leave it, data keys, and the sealed database they
//! live in.
//!
//! # Who wraps whom
//! ```text
//! root key            outside the state directory, or encrypted under what is  root_key
//!   └─ database key   derived from it and the database's id                  database
//!        └─ record    one per KMS key, alias, grant, identity, access key    database
//!           │         and the header, each under a key of its own, bound to its name
//!           └─ KMS key           a stable id over its generations            key, key_ring
//!                └─ backing key  one generation of material
//!                     └─ message     a data key, or up to 4,096 bytes,       message
//!                        │           under a key derived for it alone
//!                        └─ data key     encrypts one payload of a caller's  data_key
//! ```
//! A key has a kind, a state, tags and a schedule ([`KeyMetadata`]); what happens by itself, rotations and
//! deletions, [`Kms::tick`] does.
//!
//! What a KMS key's material can be besides, and what it does then (signatures, MACs, key agreement, RSA),
//! stands in [`spec`] and [`material`].
//!
//! Every step is AES-256-GCM ([`aead`]) or HKDF-SHA256 ([`derive`](mod@derive)). A message names its KMS key and the
//! generation of its backing key, so that a rotation changes no message; it opens only with the same
//! [`EncryptionContext`].
//!
//! # Who may use a key
//! Every call goes through [`Kms`], which asks who the [`Caller`] is. The product itself may all. For all
//! others, the account's root included, the key's policy, the caller's own policies and grants decide
//! ([`policy`], [`grant`], [`identity`]); [`Kms::explain`] says how. An [`Auditor`] is told of each call on
//! a key that is not the product's own, before the act and before the answer, and may refuse both.
//!
//! # What is on disk
//! In the state directory ([`state`]): a manifest without secrets, and the key database, which opens with
//! the root key and nothing else. Outside it: the root key. Both in formats with a version, written down
//! byte by byte in `database.rs`, `root_key/file.rs`, `root_key/record.rs` and [`message`]. Messages and wrapped data keys are the callers' to keep.
//!
//! And the audit log ([`audit`](mod@audit)): a record for each call, chained so that none is edited quietly.
//!
//! Files of any length are encrypted in the message format of the AWS Encryption SDK ([`file`](mod@file)).
//!
//! # What is in memory
//! Backing keys, the database key and data keys in use, each in a [`SecretKey`]: pages locked against
//! swapping, wiped on drop. Pairs are the exception: the library holds a parsed private key on its heap,
//! which may be swapped, and wipes it on drop. The root key is there while the database is opened. Round keys and other
//! scratch are wiped from the heap, the stack and the vector registers when each call ends; a test
//! searches the process's memory for what was forgotten ([`hygiene`]).
//!
//! # What it refuses
//! Outside callers do what a policy or a grant allows them and nothing else, and never use a context of
//! the product's own, so that nobody opens a certificate's data key through it. Whatever was changed, cut, moved or mixed is an error that names it. Who can read the
//! root key and the state directory *is* this KMS: it protects neither against root on this machine, nor
//! against the return of an older backup of the directory or of single records in it: a grant that was
//! revoked holds again when its record is put back while nothing runs.

pub mod access_key;
pub mod aead;
pub mod api;
pub mod audit;
pub mod caller;
pub mod context;
pub mod data_key;
mod database;
pub mod derive;
pub mod environment;
pub mod error;
mod event;
pub mod file;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod grant;
pub mod hygiene;
pub mod identity;
pub mod key;
mod key_ring;
pub mod material;
pub mod message;
pub mod policy;
pub mod principal;
pub mod quota;
pub mod root_key;
pub mod seal;
pub mod secret;
pub mod service;
pub mod spec;
pub mod state;
pub mod storage;

#[cfg(test)]
mod test_util;
mod user;

pub use access_key::{
    AccessKeyHolder, AccessKeyId, AccessKeyMetadata, GivenAccessKey, NewAccessKey,
};
pub use caller::{CallOptions, Caller, Outside, Source};
pub use context::EncryptionContext;
pub use data_key::{DataKey, WrappedKey};
pub use database::Damaged;
pub use environment::{Clock, Environment, Random};
pub use error::Error;
pub use event::{Auditor, Event, Named};
pub use grant::{Grant, GrantConstraints, GrantId, GrantToken, NewGrant};
pub use identity::IdentityMetadata;
pub use key::{
    BackingKeyKind, BackingKeyMetadata, Identity, KeyId, KeyMetadata, KeyOrigin, KeyRef, KeyState,
    KeyTier, MultiRegion, MultiRegionKind, RotationSchedule, Tags,
};
pub use material::{Material, MaterialError};
pub use policy::{Action, Explanation, Reason};
pub use principal::{Principal, PrincipalKind};
pub use root_key::{NewRoot, RootKey, RootKeySource, Share, Sharing, Unlock};
pub use seal::Seal;
pub use secret::{SecretBytes, SecretKey};
pub use service::{
    Alias, DataKeyPairBlob, ImportParameters, KeyImport, Kms, NewKey, NewPolicy, Question,
    ReEncryptSource, Rotation, RotationStatus, Ticked,
};
pub use spec::{
    EncryptionAlgorithm, KeyAgreementAlgorithm, KeySpec, KeyUsage, MacAlgorithm, MessageType,
    SigningAlgorithm, WrappingAlgorithm,
};
pub use state::{DirectoryLock, InitOptions, RootInForce, StateDirectory};
