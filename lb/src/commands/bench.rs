//! `sealgate bench`: the load generator.

mod compare;
mod handshake;
mod http;
mod options;
mod series;
mod tls;

use clap::{Args, Subcommand};

use super::failure::Failure;
use super::session::Session;

pub use compare::Compare;
pub use handshake::Handshake;
pub use http::Http;
pub use options::{Extent, Series};
pub use tls::{Tls, TlsOptions};

/// Options of `sealgate bench`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sealgate bench handshake --connect 127.0.0.1:8443 --sni localhost"
)]
pub struct Bench {
    /// What to measure.
    #[command(subcommand)]
    pub what: What,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Measure TLS handshakes: how many, how long, what they cost the server
    Handshake(Box<Handshake>),
    /// Measure HTTP requests over connections that stay open: how many, how long, what they cost
    Http(Box<Http>),
    /// Compare two reports that were written with `--output json`
    Compare(Compare),
}

/// Measures.
///
/// # Errors
/// When the server cannot be reached, or nothing goes well.
pub fn bench(session: &Session, options: &Bench) -> Result<(), Failure> {
    match &options.what {
        What::Handshake(options) => handshake::handshake(session, options),
        What::Http(options) => http::http(session, options),
        What::Compare(options) => compare::compare(session, options),
    }
}

#[cfg(test)]
mod tests;
