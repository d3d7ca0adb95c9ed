//! Who does a command's work: the balancer that runs on the state directory, or this process.

use std::io;

use super::failure::Failure;
use super::session::Session;
use crate::admin::client::{CallError, Client};
use crate::admin::protocol::{Request, Response};
use crate::admin::rendezvous::Rendezvous;

impl Session {
    /// Asks the running balancer.
    ///
    /// # Errors
    /// When none runs, or what it answers.
    pub fn ask_running(&self, request: Request) -> Result<Response, Failure> {
        self.connect()?.call(request, &[], &|_| {}).map_err(failed)
    }

    /// Connects to the running balancer.
    ///
    /// # Errors
    /// When none runs on the state directory.
    pub fn connect(&self) -> Result<Client, Failure> {
        let found = Rendezvous::find(&self.state).map_err(|error| self.unreadable(&error))?;
        let Some(found) = found else {
            return Err(Failure::failed(format!(
                "no balancer runs on the state directory {}: `sealgate run` starts one",
                self.state.display()
            )));
        };
        Client::connect(&found.socket).map_err(|error| {
            Failure::failed(format!(
                "the balancer of {} (process {}) does not answer on {}: {error}",
                self.state.display(),
                found.pid,
                found.socket.display()
            ))
        })
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::failed(format!(
            "cannot read what the balancer of {} has announced: {error}",
            self.state.display()
        ))
    }
}

/// A call to the running balancer that failed.
pub(super) fn failed(error: CallError) -> Failure {
    match error {
        CallError::Refused(refusal) => refusal.into(),
        CallError::Io(_) => Failure::failed(error),
    }
}

/// A response to another question: a balancer of another build, at best.
pub(super) fn unexpected(response: &Response) -> Failure {
    let kind = serde_json::to_value(response).ok();
    let kind = kind
        .as_ref()
        .and_then(|value| value["kind"].as_str())
        .unwrap_or("nothing");
    Failure::failed(format!(
        "the running balancer answered with `{kind}`, which was not the question: is it of another \
         version?"
    ))
}
