//! Who does a command's work: the balancer that runs on the state directory, or this process.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use kms::{DirectoryLock, StateDirectory};

use super::failure::Failure;
use super::session::Session;
use crate::admin::client::{CallError, Client};
use crate::admin::custody::{Custody, CustodyOptions};
use crate::admin::protocol::{Answer, Request, Response, Step};
use crate::admin::rendezvous::Rendezvous;
use crate::admin::wire::Secret;
use crate::app::keys;

impl Session {
    /// The state directory.
    ///
    /// # Errors
    /// When there is none, or its manifest cannot be read.
    pub fn directory(&self) -> Result<StateDirectory, Failure> {
        let directory = StateDirectory::open(&self.state).map_err(Failure::failed)?;
        Ok(match &self.root_key {
            Some(file) => directory.with_root_key(file.clone()),
            None => directory,
        })
    }

    /// Has `request` done by the running balancer or, while nobody holds the state directory, by
    /// this process. Waits a while for another command that is at work there.
    ///
    /// # Errors
    /// Why it was not done, or who holds the directory.
    pub fn perform(&self, request: Request, secret: Secret) -> Result<Response, Failure> {
        self.carry_out(request, secret)
            .map(|answer| answer.response)
    }

    /// [`perform`](Self::perform), with the secret that comes back.
    ///
    /// # Errors
    /// Those of [`perform`](Self::perform).
    pub fn carry_out(&self, request: Request, secret: Secret) -> Result<Answer, Failure> {
        let directory = self.directory()?;
        let bar = self.output.progress("");
        let progress = |step: Step| {
            bar.set_length(step.total);
            bar.set_position(step.done);
        };
        let deadline = Instant::now() + PATIENCE;
        let done = loop {
            match directory.lock(&holder()) {
                Ok(lock) => {
                    let custody = self.custody(&directory, &lock);
                    break custody.and_then(|custody| {
                        let done = custody.handle(me(), request, secret, &progress);
                        done.map_err(Failure::from)
                    });
                }
                Err(kms::Error::Locked { .. }) if Instant::now() < deadline => {}
                Err(error) => break Err(Failure::failed(error)),
            }
            if let Ok(mut client) = self.connect() {
                break client.call(request, &secret, &progress).map_err(failed);
            }
            thread::sleep(PAUSE);
        };
        bar.finish_and_clear();
        done
    }

    /// The keys and the store, opened by this process.
    fn custody(
        &self,
        directory: &StateDirectory,
        lock: &DirectoryLock,
    ) -> Result<Custody, Failure> {
        let kms = self.open_kms(directory, None)?;
        let options = CustodyOptions::default();
        let custody = Custody::open(directory.clone(), kms, &options, Some(lock))?;
        let kms = custody.kms()?;
        keys::tend(&kms);
        for damaged in kms.damaged() {
            self.output.warning(&damaged.error().to_string());
        }
        Ok(custody)
    }

    /// Asks the running balancer.
    ///
    /// # Errors
    /// When none runs, or what it answers.
    pub fn ask_running(&self, request: Request) -> Result<Response, Failure> {
        let asked = self.connect()?.call(request, &[], &|_| {});
        asked.map(|answer| answer.response).map_err(failed)
    }

    /// Connects to the running balancer.
    ///
    /// # Errors
    /// When none runs on the state directory.
    pub fn connect(&self) -> Result<Client, Failure> {
        let found = Rendezvous::find(&self.state).map_err(|error| self.unreadable(&error))?;
        // What is announced may be left over, or have come with a copy: the lock tells.
        let runs = self.directory()?.lock(&holder()).is_err();
        let Some(found) = found.filter(|_| runs) else {
            return Err(Failure::failed(format!(
                "no balancer runs on the state directory {}: `sealgate run` starts one",
                self.state.display()
            )));
        };
        Client::connect(&found.socket, &self.state).map_err(|error| {
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

/// This process, as it is named to others that want the state directory.
pub(super) fn holder() -> String {
    let command = std::env::args()
        .skip(1)
        .take_while(|word| !word.starts_with('-'));
    let command = command.take(2).collect::<Vec<_>>().join(" ");
    format!("sealgate {command}, process {}", std::process::id())
}

/// The user that this process runs as.
fn me() -> u32 {
    rustix::process::geteuid().as_raw()
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

/// How long a command waits for another one, or for a balancer that is starting.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
