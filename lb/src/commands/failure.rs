//! How a command fails: what people and programs are told, and the exit status.

use std::fmt;
use std::io;

use serde_json::{Value, json};

use crate::admin::protocol::Refusal;

/// A command that did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    /// 1: it could not be done. 2: it was asked wrongly, or the configuration is invalid.
    pub status: u8,
    /// What, where, why and what to do; empty if everything has been said already.
    pub message: String,
    /// What programs are told beside the message.
    pub details: Option<Value>,
    /// AWS's name for it: `AccessDeniedException`.
    pub code: Option<Box<str>>,
}

impl Failure {
    /// Something could not be done.
    pub fn failed(why: impl fmt::Display) -> Self {
        Self {
            status: 1,
            message: why.to_string(),
            details: None,
            code: None,
        }
    }

    /// Something was asked for wrongly.
    pub fn usage(why: impl fmt::Display) -> Self {
        Self {
            status: 2,
            message: why.to_string(),
            details: None,
            code: None,
        }
    }

    /// The result has been shown, and it is a bad one.
    pub fn shown(status: u8) -> Self {
        Self {
            status,
            message: String::new(),
            details: None,
            code: None,
        }
    }

    /// Nobody reads the output any more, as in `sealgate cert list | head`: no fault of anybody.
    pub fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::shown(0),
            _ => Self::failed(format!("cannot write the output: {error}")),
        }
    }

    /// A file that the user named cannot be read.
    pub fn reading(path: &std::path::Path, error: &io::Error) -> Self {
        Self::failed(format!("cannot read {}: {error}", path.display()))
    }

    /// What programs are told.
    pub fn to_json(&self) -> Value {
        let mut error = json!({ "message": self.message, "status": self.status });
        if let Some(details) = &self.details {
            error["details"] = details.clone();
        }
        if let Some(code) = &self.code {
            error["code"] = (**code).into();
        }
        json!({ "error": error })
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = if refusal.usage { 2 } else { 1 };
        Self {
            status,
            message: refusal.message,
            details: refusal.diagnostics,
            code: refusal.code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert_eq!(Failure::output(&io::ErrorKind::BrokenPipe.into()).status, 0);
        assert_eq!(
            Failure::output(&io::ErrorKind::StorageFull.into()).status,
            1
        );
    }

    #[test]
    fn wrong_usage_and_failed_work_have_their_own_status() {
        assert_eq!(Failure::from(Refusal::usage("so not")).status, 2);
        assert_eq!(Failure::from(Refusal::failed("could not")).status, 1);
        assert_eq!(Failure::usage("so not").to_json()["error"]["status"], 2);
    }
}
