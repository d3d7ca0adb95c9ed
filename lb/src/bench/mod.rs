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

mod chart;
mod client;
mod comparison;
mod cost;
mod crew;
mod exchange;
mod failure;
mod figures;
mod http;
mod latency;
mod machine;
mod negotiated;
mod offer;
mod page;
mod plan;
mod process;
mod report;
mod rounds;
mod run;
mod schedule;
mod statistics;
mod tally;
mod tickets;
mod timer;
mod words;
mod worker;

pub use comparison::{Change, Comparison, Contender, Shift, Standing};
pub use cost::{Client, Cost, Server};
pub use crew::{Broken, Progress};
pub use failure::Failure;
pub use figures::{Figure, NotAReport, Sheet};
pub use http::{HttpPlan, HttpReport, Protocol, RequestPlan, Requests, TlsPlan, run as run_http};
pub use latency::Latency;
pub use machine::Machine;
pub use offer::{Group, Offer, Suite, Trust, Version};
pub use page::page;
pub use plan::{End, InvalidPlan, Plan, Share};
pub use process::{NoProcess, Usage};
pub use report::{Handshakes, Negotiated, Report, Responses};
pub use rounds::{Turn, in_rounds};
pub use run::run;
pub use statistics::{Ratio, Spread};

#[cfg(test)]
pub(crate) mod tests;
