//! One HTTP connection and its requests.

pub(crate) mod body;
pub mod framing;
mod head;
pub mod incoming;
mod reply;
pub(crate) mod serve;
mod stall;
pub(crate) mod stream;
mod streams;
pub(crate) mod transport;
