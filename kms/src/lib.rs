//! A local key management service: keys that never leave it, data keys, and the sealed database they live in.

pub mod aead;
pub mod context;
pub mod data_key;
mod database;
pub mod derive;
pub mod environment;
pub mod error;
pub mod hygiene;
pub mod key;
mod key_ring;
pub mod message;
pub mod root_key;
pub mod secret;
pub mod service;

pub mod state;
pub mod storage;

#[cfg(test)]
mod test_util;

pub use context::EncryptionContext;
pub use data_key::{DataKey, WrappedKey};
pub use database::Damaged;
pub use environment::{Clock, Environment, Random};
pub use error::Error;
pub use key::{Identity, KeyId, KeyMetadata, KeyRef, KeyTier};
pub use root_key::{RootKey, RootKeySource};
pub use secret::SecretKey;
pub use service::{Caller, Kms, NewKey};
pub use state::{DirectoryLock, InitOptions, StateDirectory};
