//! What a measurement took of the client and of the server.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::process::{Usage, own_thread};

/// CPU time for each operation that went well; none without any. What failed is in it as well.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Cost {
    /// Microseconds for each handshake.
    #[serde(rename = "cpu_us_per_handshake")]
    Handshake(Option<f64>),
    /// Microseconds for each request.
    #[serde(rename = "cpu_us_per_request")]
    Request(Option<f64>),
}

/// What the client used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Client {
    /// CPU time for each operation.
    #[serde(flatten)]
    pub cost: Cost,
    /// Which part of the time its threads ran or waited for a core, 0 to 1.
    pub busy: f64,
    /// Whether it was the client that could not go faster. Unknown if the threads were busy and the
    /// server was not watched.
    pub limit: Option<bool>,
}

/// What the server used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Server {
    /// The process, whose children are counted with it.
    pub pid: u32,
    /// How many processes there were.
    pub processes: usize,
    /// CPU time for each operation.
    #[serde(flatten)]
    pub cost: Cost,
    /// CPU time, user and system.
    pub cpu_seconds: f64,
    /// Which part of the time its busiest thread ran or waited for a core, 0 to 1.
    pub busy: f64,
    /// The most memory that was resident at a time since its beginning.
    pub peak_memory_bytes: u64,
}

/// Which [`Cost`] it is, with how many operations it is divided by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operations {
    Handshakes(u64),
    Requests(u64),
}

/// What one thread used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Effort {
    /// CPU time.
    pub(super) ran: Duration,
    /// Time that it could have run but had no core.
    pub(super) waited: Duration,
}

impl Effort {
    /// What the calling thread has used since it began.
    pub(super) fn so_far() -> Self {
        let (ran, waited) = own_thread();
        Self { ran, waited }
    }

    /// What has been used since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(before.ran),
            waited: self.waited.saturating_sub(before.waited),
        }
    }
}

impl Operations {
    fn share(self, cpu: Duration) -> Cost {
        let each = |count| (count > 0).then(|| cpu.as_secs_f64() * 1e6 / count as f64);
        match self {
            Self::Handshakes(count) => Cost::Handshake(each(count)),
            Self::Requests(count) => Cost::Request(each(count)),
        }
    }
}

impl Server {
    pub(super) fn new(pid: u32, usage: &Usage, elapsed: Duration, done: Operations) -> Self {
        Self {
            pid,
            processes: usage.processes,
            cost: done.share(usage.cpu),
            cpu_seconds: usage.cpu.as_secs_f64(),
            busy: part_of(usage.busiest, elapsed),
            peak_memory_bytes: usage.peak_memory_bytes,
        }
    }
}

impl Client {
    /// From what each thread used: while one has nothing to do, the client is not the limit.
    pub(super) fn new(
        threads: &[Effort],
        elapsed: Duration,
        done: Operations,
        server: Option<&Server>,
    ) -> Self {
        let busy = |effort: &Effort| part_of(effort.ran + effort.waited, elapsed);
        let busy = threads.iter().map(busy).fold(1.0, f64::min);
        let ran = threads.iter().map(|effort| effort.ran).sum();
        Self {
            cost: done.share(ran),
            busy,
            limit: limit(busy, server),
        }
    }
}

fn limit(busy: f64, server: Option<&Server>) -> Option<bool> {
    match server {
        _ if busy < SATURATED => Some(false),
        Some(server) => Some(server.busy < IDLING),
        None => None,
    }
}

fn part_of(part: Duration, whole: Duration) -> f64 {
    (part.as_secs_f64() / whole.as_secs_f64()).min(1.0)
}

// === for people ===

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cpu_us, what) = match self {
            Self::Handshake(cpu_us) => (cpu_us, "handshake"),
            Self::Request(cpu_us) => (cpu_us, "request"),
        };
        match cpu_us {
            Some(cpu_us) => write!(f, "{cpu_us:.1} µs CPU per {what}"),
            None => write!(f, "no {what}"),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; busiest thread {:.0} % busy; peak memory {:.1} MiB; process {}",
            self.cost,
            self.busy * 100.0,
            self.peak_memory_bytes as f64 / MIB,
            self.pid
        )?;
        match self.processes {
            1 => Ok(()),
            more => write!(f, " with {} children", more - 1),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; threads {:.0} % busy", self.cost, self.busy * 100.0)?;
        f.write_str(match self.limit {
            Some(true) => {
                ": the client was the limit, the server had time to spare (more --threads?)"
            }
            Some(false) => "",
            None => ": perhaps the client was the limit (--pid tells)",
        })
    }
}

/// From here on a thread has hardly a moment to spare.
const SATURATED: f64 = 0.9;
/// Below this a thread has time to spare. What lies between is no clear case.
const IDLING: f64 = 0.75;
const MIB: f64 = 1024.0 * 1024.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_the_limit() {
        let limit = |busy, server: Option<f64>| {
            let effort = Effort {
                ran: Duration::from_secs_f64(busy),
                waited: Duration::ZERO,
            };
            let server = server.map(busy_server);
            let done = Operations::Requests(1);
            Client::new(&[effort], Duration::from_secs(1), done, server.as_ref()).limit
        };
        assert_eq!(limit(0.99, Some(0.5)), Some(true));
        assert_eq!(limit(0.99, Some(0.99)), Some(false));
        assert_eq!(limit(0.5, Some(0.99)), Some(false));
        assert_eq!(limit(0.5, None), Some(false));
        assert_eq!(limit(0.99, None), None);
    }

    #[test]
    fn costs_carry_the_name_of_what_they_are_for() {
        let json = serde_json::to_value(busy_server(0.5)).expect("JSON");
        assert_eq!(json["cpu_us_per_request"], 2.0);
        assert_eq!(json["busy"], 0.5);
    }

    fn busy_server(busy: f64) -> Server {
        let usage = Usage {
            cpu: Duration::from_micros(8),
            peak_memory_bytes: 0,
            processes: 1,
            busiest: Duration::from_secs_f64(busy),
        };
        Server::new(1, &usage, Duration::from_secs(1), Operations::Requests(4))
    }
}
