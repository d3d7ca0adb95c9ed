//! The log as the door's auditor.

use super::auditor::AuditLog;
use super::call::{begun_body, call_body, changes};
use crate::error::Error;
use crate::event::{Auditor, Event};
use crate::storage::FileSystem;

impl<F: FileSystem + Clone + 'static> Auditor for AuditLog<F>
where
    F::File: Send,
{
    /// A change is written down before it is made, so that there is none without a trace; of all else
    /// it is enough that it can be written down as far as is known.
    fn admit(&self, event: &Event<'_>) -> Result<(), Error> {
        match changes(event.operation) {
            true => self.write(event.time, &begun_body(event)),
            false => self.probe(),
        }
    }

    fn record(&self, event: &Event<'_>, outcome: Result<(), &Error>) -> Result<(), Error> {
        let body = || call_body(event, outcome);
        match outcome {
            // Counted already, and in the record of the gap.
            Err(Error::AuditLog { .. }) => Ok(()),
            Err(Error::Throttled { .. }) if !self.takes_throttled(event.time) => Ok(()),
            Ok(()) if changes(event.operation) => self.finish(event.time, &body()),
            _ => self.write(event.time, &body()),
        }
    }
}
