//! What all measurements have in common.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::bench::End;
use crate::commands::failure::Failure;

/// How much, how fast, for how long.
#[derive(Debug, Args)]
pub struct Extent {
    /// How many threads do it [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// For how long; with several servers, each in each round
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// How many connections or requests, instead of for how long
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    pub count: Option<u64>,
    /// Begin this many per second [default: as many as go]
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// How long one may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub timeout: Duration,
}

/// Several servers, several rounds, and where the report goes.
#[derive(Debug, Args)]
pub struct Series {
    /// The server's process: say what CPU time and memory it uses, its children included; once for
    /// each server
    #[arg(long, value_name = "PID")]
    pub pid: Vec<u32>,
    /// What to call the server in the report; once for each server
    #[arg(long, value_name = "WORD")]
    pub label: Vec<String>,
    /// How many rounds; in each, all servers have their turn, in an order that is drawn anew
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub rounds: usize,
    /// Write the report to this file as a page with charts as well
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

impl Extent {
    /// When it is over.
    pub(super) fn end(&self) -> End {
        self.count.map_or(End::After(self.duration), End::Count)
    }

    /// On how many threads.
    pub(super) fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.threads.unwrap_or_else(cores)
    }
}

impl Series {
    /// The process of each of so many servers.
    ///
    /// # Errors
    /// When there are more or fewer.
    pub(super) fn pids(&self, servers: usize) -> Result<Vec<Option<u32>>, Failure> {
        match self.pid.len() {
            0 => Ok(vec![None; servers]),
            given if given == servers => Ok(self.pid.iter().copied().map(Some).collect()),
            given => Err(wrong_number("--pid", given, servers)),
        }
    }

    /// What each server is called: as it was asked for, unless it has a label.
    ///
    /// # Errors
    /// When there are more or fewer labels, or one stands twice.
    pub(super) fn labels(&self, asked: &[String]) -> Result<Vec<String>, Failure> {
        let labels = match self.label.len() {
            0 => asked,
            given if given == asked.len() => &self.label,
            given => return Err(wrong_number("--label", given, asked.len())),
        };
        let twice = |label: &&String| labels.iter().filter(|other| other == label).count() > 1;
        match labels.iter().find(twice) {
            None => Ok(labels.to_vec()),
            Some(label) => Err(Failure::usage(format!(
                "two servers are called `{label}`: tell them apart with --label, once for each"
            ))),
        }
    }
}

fn wrong_number(option: &str, given: usize, servers: usize) -> Failure {
    Failure::usage(format!(
        "`{option}` is there {given} times for {servers} servers: name it once for each, in the \
         same order"
    ))
}

/// The first address of `connect` that takes a connection, if there are several.
///
/// # Errors
/// When there is no port, or no address.
pub(super) fn resolve(connect: &str) -> Result<SocketAddr, Failure> {
    if !connect.contains(':') {
        return Err(Failure::usage(format!(
            "`--connect {connect}` lacks the port: write {connect}:443"
        )));
    }
    let found = connect.to_socket_addrs();
    let found = found.map_err(|error| {
        Failure::failed(format!("the address of {connect} cannot be found: {error}"))
    })?;
    let found: Vec<_> = found.collect();
    let open = |address: &&SocketAddr| TcpStream::connect_timeout(address, PATIENCE).is_ok();
    let chosen = match found.as_slice() {
        [_, _, ..] => found.iter().find(open).or(found.first()),
        _ => found.first(),
    };
    chosen
        .copied()
        .ok_or_else(|| Failure::failed(format!("{connect} has no address")))
}

/// `500ms`, `10s`, `2m`
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time with its unit, as in 500ms, 10s or 2m".to_owned();
    let time = jiff::SignedDuration::from_str(text).map_err(|_| expected())?;
    Duration::try_from(time).map_err(|_| expected())
}

/// `0`, `100B`, `16KiB`, `1MiB`
pub(super) fn size(text: &str) -> Result<usize, String> {
    let expected = || "expected a size with its unit, as in 100B, 16KiB or 1MiB".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(unit_at.unwrap_or(text.len()));
    let factor: usize = match (number, unit) {
        ("0", "") | (_, "B") => 1,
        (_, "KiB") => 1 << 10,
        (_, "MiB") => 1 << 20,
        _ => return Err(expected()),
    };
    let number: usize = number.parse().map_err(|_| expected())?;
    let bytes = number.checked_mul(factor);
    let allowed = bytes.filter(|bytes| *bytes <= MOST_BYTES);
    allowed.ok_or_else(|| "expected at most 1024MiB".to_owned())
}

const PATIENCE: Duration = Duration::from_secs(2);
const MOST_BYTES: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_their_unit() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "10", "-1s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_carry_their_unit() {
        let sizes = ["0", "0B", "100B", "16KiB", "1MiB"].map(size);
        assert_eq!(sizes, [Ok(0), Ok(0), Ok(100), Ok(16_384), Ok(1_048_576)]);
        for wrong in [
            "",
            "1",
            "B",
            "-1B",
            "1kb",
            "2000MiB",
            "99999999999999999999B",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_server_without_a_port_is_wrong_usage() {
        let failure = resolve("localhost").expect_err("no port");
        assert_eq!(failure.status, 2);
        let message = &failure.message;
        assert!(message.contains("localhost:443"), "{message}");
    }

    #[test]
    fn each_server_has_its_own_label_and_process() {
        let series = |label: &[&str], pid: &[u32]| Series {
            pid: pid.to_vec(),
            label: label.iter().map(ToString::to_string).collect(),
            rounds: 1,
            html: None,
        };
        let asked = ["a:1".to_owned(), "a:2".to_owned()];
        assert_eq!(series(&[], &[]).labels(&asked).ok(), Some(asked.to_vec()));
        let pids = series(&[], &[1, 2]).pids(2).ok();
        assert_eq!(pids, Some(vec![Some(1), Some(2)]));
        assert!(series(&["one"], &[]).labels(&asked).is_err());
        assert!(series(&["one", "one"], &[]).labels(&asked).is_err());
        assert!(series(&[], &[1]).pids(2).is_err());
    }
}
