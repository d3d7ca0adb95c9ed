//! What a running balancer answers on its admin socket.

use std::sync::Arc;

use super::Foundation;
use crate::admin::Control;
use crate::admin::protocol::{Refusal, Request, Response, Step};
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
        request: Request,
        secret: Secret,
        progress: &dyn Fn(Step),
    ) -> Result<Response, Refusal> {
        match request {
            Request::Status => Ok(Response::Status(Box::new(self.control.status()))),
            Request::Reload => self.control.reload().map(Response::Reloaded),
            Request::Drain => {
                let draining = self.control.drain();
                Ok(Response::Draining {
                    connections: draining.connections,
                    deadline_s: draining.deadline_s,
                })
            }
            Request::Explain(request) => {
                let explained = self.control.explain(&request)?;
                Ok(Response::Explained(Box::new(explained)))
            }
            other => {
                let done = self.foundation.custody().handle(other, secret, progress)?;
                Ok(self.publish(done))
            }
        }
    }

    fn leave(&self) {
        self.control.leave();
    }
}

impl Desk {
    /// What was written in the store reaches the clients before the command hears of it.
    fn publish(&self, done: Response) -> Response {
        match done {
            Response::Imported(mut imported) => {
                imported.publication = Some(self.control.publish(&imported.entry));
                Response::Imported(imported)
            }
            Response::Deleted { .. } => {
                self.control.refresh();
                done
            }
            other => other,
        }
    }
}
