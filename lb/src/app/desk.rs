//! What a running balancer answers on its admin socket.

use std::sync::Arc;

use super::Foundation;
use crate::admin::Control;
use crate::admin::protocol::{Answer, Refusal, Request, Response, SealState, Step};
use crate::admin::socket::Handler;
use crate::admin::wire::Secret;

/// Sends each request to whom it is for: the keys, or the balancer.
pub(super) struct Desk {
    foundation: Arc<Foundation>,
    control: Arc<dyn Control>,
}

impl Desk {
    /// A desk in front of both.
    pub(super) fn new(foundation: Arc<Foundation>, control: Arc<dyn Control>) -> Self {
        Self {
            foundation,
            control,
        }
    }
}

impl Handler for Desk {
    fn handle(
        &self,
        peer: u32,
        request: Request,
        secret: Secret,
        progress: &dyn Fn(Step),
    ) -> Result<Answer, Refusal> {
        match request {
            Request::Status => Ok(Response::Status(Box::new(self.control.status())).into()),
            Request::Reload => Ok(self.control.reload().map(Response::Reloaded)?.into()),
            Request::Drain => {
                let draining = self.control.drain();
                Ok(Response::Draining {
                    connections: draining.connections,
                    deadline_s: draining.deadline_s,
                }
                .into())
            }
            Request::Explain(request) => {
                let explained = self.control.explain(&request)?;
                Ok(Response::Explained(Box::new(explained)).into())
            }
            other => {
                self.refuse_in_use(&other)?;
                let custody = self.foundation.custody();
                let answer = custody.handle(peer, other, secret, progress)?;
                Ok(Answer {
                    response: self.publish(answer.response),
                    secret: answer.secret,
                })
            }
        }
    }

    fn leave(&self) {
        self.control.leave();
    }
}

impl Desk {
    /// Refuses to delete what the configuration in force needs.
    fn refuse_in_use(&self, request: &Request) -> Result<(), Refusal> {
        let (name, users) = match request {
            Request::CertDelete(delete) if !delete.force => {
                (&delete.name, self.control.users_of_entry(delete))
            }
            Request::TrustDelete { name, force: false } => {
                (name, self.control.users_of_trust_store(name))
            }
            _ => return Ok(()),
        };
        match users.is_empty() {
            true => Ok(()),
            false => Err(Refusal::failed(format!(
                "`{name}` is in use by {}: take it out of the configuration and reload first, or insist with \
                 --force",
                users.join(", ")
            ))),
        }
    }

    /// What was written in the store reaches the clients before the command hears of it.
    fn publish(&self, done: Response) -> Response {
        match done {
            Response::Imported(mut imported) => {
                imported.publication = Some(self.control.publish(&imported.entry));
                Response::Imported(imported)
            }
            Response::Deleted { .. }
            | Response::Seal(SealState {
                waits_for: None, ..
            }) => {
                self.control.refresh();
                done
            }
            other => other,
        }
    }
}
