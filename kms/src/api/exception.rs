//! How an operation fails: AWS's code and message, and what this KMS has to say beside them.

use std::fmt;

use crate::error::Error;

/// An operation that was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// AWS's name for it, the `__type` of its answer: `AccessDeniedException`.
    pub code: &'static str,
    /// What, where, why and what to do.
    pub message: String,
}

impl Exception {
    /// The request is no JSON of the operation's.
    pub(super) fn serialization(error: &serde_json::Error) -> Self {
        // Without the text that was found there: it may be secret.
        let place = format!("line {}, column {}", error.line(), error.column());
        let what = match error.classify() {
            serde_json::error::Category::Eof => "the request ends too early".to_owned(),
            serde_json::error::Category::Syntax => format!("the request is no JSON at {place}"),
            _ => format!("a member of the request has another type at {place}"),
        };
        Self {
            code: "SerializationException",
            message: what,
        }
    }

    /// The request is out of bounds.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self {
            code: "ValidationException",
            message: message.into(),
        }
    }

    /// A member is missing that the service model does not require.
    pub(super) fn missing(label: &str) -> Self {
        Self::validation(format!(
            "1 validation error detected: Value null at '{label}' failed to satisfy constraint: \
             Member must not be null"
        ))
    }

    /// An answer cannot be written: a fault of this KMS.
    pub(super) fn internal(error: &serde_json::Error) -> Self {
        Self {
            code: "KMSInternalException",
            message: format!("the answer cannot be written: {error}"),
        }
    }

    /// There is no such operation.
    pub(super) fn unknown_operation(name: &str) -> Self {
        Self {
            code: "UnknownOperationException",
            message: format!("`{name}` is no operation of the KMS"),
        }
    }

    /// It is an operation, or a member of one, that this KMS does not have.
    pub(super) fn unsupported(what: impl fmt::Display) -> Self {
        Self {
            code: "UnsupportedOperationException",
            message: format!("{what} is not supported"),
        }
    }
}

impl From<Error> for Exception {
    fn from(error: Error) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exception {}
