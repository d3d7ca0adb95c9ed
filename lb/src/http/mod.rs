//! One HTTP connection and its requests.

mod body;
pub mod framing;
mod head;
pub(crate) mod reply;
mod stall;
pub(crate) mod stream;
pub(crate) mod transport;
