//! HTTP/1.1 as a client of targets (RFC 9112), on the task of whoever asks: no task of its own, no channel,
//! no copy of a body.
//!
//! A [`Call`] is one request and its answer on a [`Connection`]. Reading and writing take turns, since a
//! target may answer before it has read everything. What could be understood in two ways is no answer:
//! the next one over the connection would be somebody else's.

mod call;
mod connection;
mod decoder;
mod head;
mod upload;

pub use call::{AnswerBody, Answered, Call, Fault, Left};
pub use connection::{Connection, Upgraded};
pub use decoder::BrokenBody;
pub use upload::Outgoing;

#[cfg(test)]
mod tests;
