//! The load generator behind `sealgate bench`: it opens TLS connections as fast as it can, or at a
//! given rate, and says what they took and what they cost the server.
//!
//! ```text
//! plan -> run -> worker (a thread with a runtime) -> exchange (one connection) -> tally -> report
//! ```
//!
//! On the path of a connection nothing is shared between threads. By default nobody's certificate is
//! verified and no signature of the server is checked: this spares the client more work than the
//! server has with a handshake, so that the server is the one that is measured. The report says so.

mod client;
mod exchange;
mod failure;
mod negotiated;
mod plan;
mod process;
mod report;
mod run;
mod tally;
mod tickets;
mod worker;

pub use failure::Failure;
pub use plan::{End, Group, InvalidPlan, Plan, Share, Suite, Trust, Version};
pub use process::{NoProcess, Usage};
pub use report::{Client, Handshakes, Latency, Negotiated, Report, Responses, Server};
pub use run::{Broken, Progress, run};

#[cfg(test)]
mod tests;
