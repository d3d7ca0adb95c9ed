//! One HTTP connection and its requests.

pub mod framing;
