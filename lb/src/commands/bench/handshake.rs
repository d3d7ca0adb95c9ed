//! `sealgate bench handshake`.

use clap::Args;

use super::options::{Extent, Series, resolve};
use super::series::{Contestant, run_series};
use super::tls::TlsOptions;
use crate::bench::{Plan, Share};
use crate::commands::failure::Failure;
use crate::commands::session::Session;

/// Options of `sealgate bench handshake`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Handshake {
    /// The server, of whatever make; several are measured in turn
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub connect: Vec<String>,
    /// What to offer.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// Which application protocols to offer, best first [default: none]
    #[arg(long, value_name = "PROTOCOL", value_delimiter = ',')]
    pub alpn: Vec<String>,
    /// Which share of the handshakes resumes a session
    #[arg(long, value_name = "SHARE", default_value = "0")]
    pub resume: Share,
    /// GET this path with HTTP/1.1 after each handshake
    #[arg(long, value_name = "PATH")]
    pub request: Option<String>,
    /// How many connections are open at a time
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub concurrency: usize,
    /// How much and how fast.
    #[command(flatten)]
    pub extent: Extent,
    /// Servers and rounds.
    #[command(flatten)]
    pub series: Series,
}

/// Measures handshakes.
pub(super) fn handshake(session: &Session, options: &Handshake) -> Result<(), Failure> {
    let labels = options.series.labels(&options.connect)?;
    let pids = options.series.pids(options.connect.len())?;
    let mut contestants = Vec::new();
    for ((connect, label), pid) in options.connect.iter().zip(labels).zip(pids) {
        contestants.push(Contestant {
            label,
            asked: connect.clone(),
            connections: options.concurrency,
            plan: options.plan(connect, pid)?,
        });
    }
    run_series(session, &options.series, contestants)
}

impl Handshake {
    fn plan(&self, connect: &str, pid: Option<u32>) -> Result<Plan, Failure> {
        let address = resolve(connect)?;
        let server_name = self.tls.server_name(connect, address);
        Ok(Plan {
            offer: self.tls.offer(&self.alpn)?,
            resume: self.resume,
            request: self.request.clone(),
            concurrency: self.concurrency,
            threads: self.extent.threads(),
            end: self.extent.end(),
            rate: self.extent.rate,
            timeout: self.extent.timeout,
            pid,
            ..Plan::new(address, server_name)
        })
    }
}

const EXAMPLES: &str = "\
The server may be of any make. Connections begin as fast as others end, or at --rate; latency then
counts from when a connection was due. Ctrl-C ends it early and still reports.

Examples:
  sealgate bench handshake --connect 127.0.0.1:8443 --sni shop.example.com --duration 10s
  sealgate bench handshake --connect 127.0.0.1:8443 --tls 1.3 --group x25519 --suite aes128 --resume 50% --pid 4711
  sealgate bench handshake --connect localhost:8443 --request / --rate 200 --count 1000 --output json | jq .latency
  sealgate bench handshake --connect localhost:8443 --connect localhost:9443 --label sealgate --label nginx \\
      --pid 4711 --pid 4712 --sni localhost --rounds 9 --duration 2s --html report.html";
