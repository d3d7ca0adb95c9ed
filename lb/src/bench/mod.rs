//! The load generator behind `sealgate bench`: it opens TLS connections or sends HTTP requests as
//! fast as it can, or at a given rate, and says what they took and what they cost the server.
//!
//! ```text
//! handshakes  plan -> run -> crew -> worker (a thread with a runtime) -> exchange (one connection) -> tally -> report
//! requests    http::plan -> crew -> http::worker -> lane (one request after the other) -> tally -> report
//! ```
//!
//! On the path of a connection nothing is shared between threads. By default nobody's certificate is
//! verified and no signature of the server is checked: this spares the client more work than the
//! server has with a handshake, so that the server is the one that is measured. The report says so.

mod client;
mod cost;
mod crew;
mod exchange;
mod failure;
mod http;
mod latency;
mod machine;
mod negotiated;
mod offer;
mod plan;
mod process;
mod report;
mod run;
mod schedule;
mod tally;
mod tickets;
mod timer;
mod words;
mod worker;

pub use cost::{Client, Cost, Server};
pub use crew::{Broken, Progress};
pub use failure::Failure;
pub use http::{HttpPlan, HttpReport, Protocol, RequestPlan, Requests, TlsPlan, run as run_http};
pub use latency::Latency;
pub use machine::Machine;
pub use offer::{Group, Offer, Suite, Trust, Version};
pub use plan::{End, InvalidPlan, Plan, Share};
pub use process::{NoProcess, Usage};
pub use report::{Handshakes, Negotiated, Report, Responses};
pub use run::run;

#[cfg(test)]
mod tests;
