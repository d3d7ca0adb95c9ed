//! What an auditor is told of: one event for each call on a key that is not the product's own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use uuid::Uuid;

use crate::caller::Caller;
use crate::context::EncryptionContext;
use crate::environment::Environment;
use crate::error::Error;
use crate::key::{Identity, KeyId, KeyRef};

/// A call as it came to the door.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Names the call, in the answer and in the log.
    pub request_id: Uuid,
    /// When it came.
    pub time: SystemTime,
    /// Who asks, and from where.
    pub caller: &'a Caller,
    /// AWS's name of the operation, `Decrypt` for instance.
    pub operation: &'static str,
    /// Whose KMS this is.
    pub identity: &'a Identity,
    /// The key that it is about; none where there is no such key, or none is concerned. Of a creation
    /// it is known when that has been done.
    pub key: Option<KeyId>,
    /// How the call named that key, or the alias or principal that it is about.
    pub named: Option<Named<'a>>,
    /// The encryption context, where the operation has one.
    pub context: Option<&'a EncryptionContext>,
}

/// By which name a call says what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'a> {
    /// A key: by id, ARN or alias.
    Key(&'a KeyRef),
    /// An alias, by itself.
    Alias(&'a str),
    /// A principal, by its ARN.
    Principal(&'a str),
}

impl Event<'_> {
    /// The ARN of the key that it is about.
    pub fn key_arn(&self) -> Option<String> {
        self.key.map(|key| self.identity.key_arn(key))
    }
}

/// Who writes down what was asked, and what became of it.
///
/// Both calls stand between a caller and its answer: they may wait for a disk.
pub trait Auditor: Send + Sync {
    /// Before an allowed act: an error refuses it, and is the caller's answer (a log that is full).
    ///
    /// # Errors
    /// Why nothing can be written down now.
    fn admit(&self, event: &Event<'_>) -> Result<(), Error>;

    /// After the act or its refusal, and before the answer: an error takes the answer's place.
    ///
    /// # Errors
    /// Why it was not written down.
    fn record(&self, event: &Event<'_>, outcome: Result<(), &Error>) -> Result<(), Error>;
}

/// Writes nothing down.
pub(crate) struct Unaudited;

impl Auditor for Unaudited {
    fn admit(&self, _: &Event<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn record(&self, _: &Event<'_>, _: Result<(), &Error>) -> Result<(), Error> {
        Ok(())
    }
}

/// Names for calls that have none: unique, and no secret.
pub(crate) struct RequestIds {
    process: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(environment: &Environment) -> Self {
        Self {
            process: u64::from_be_bytes(environment.random_bytes()),
            count: AtomicU64::new(0),
        }
    }

    /// A UUID of version 8 (RFC 9562): random for the process, counted within it.
    pub(crate) fn next(&self) -> Uuid {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let (process, count) = (self.process.to_be_bytes(), count.to_be_bytes());
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&process);
        bytes[8..].copy_from_slice(&count);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}
