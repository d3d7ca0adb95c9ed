//! What came out, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use rustls::pki_types::ServerName;
use serde::Serialize;

use super::plan::{Plan, Trust};
use super::process::Usage;
use super::tally::Tally;
use super::worker::Finished;

/// What came out of a measurement. Its JSON form is what programs get.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was measured: `handshake`.
    pub measured: &'static str,
    /// The server's address.
    pub address: String,
    /// The name that was asked for; none: an address, which is not sent.
    pub server_name: Option<String>,
    /// How many connections were open at a time.
    pub concurrency: usize,
    /// On how many threads.
    pub threads: usize,
    /// Connections per second that were to be opened; none: as many as went.
    pub rate: Option<f64>,
    /// Whether certificates and the server's signatures were verified.
    pub verified: bool,
    /// From the beginning of the first to the end of the last connection.
    pub seconds: f64,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// Whether it ended by itself, for not one connection came about.
    pub gave_up: bool,
    /// How the handshakes went.
    pub handshakes: Handshakes,
    /// From the beginning of a connection (with a rate: from when it was due) to the end of the
    /// handshake on the client's side; none without handshakes.
    pub latency: Option<Latency>,
    /// What requests came to; none without.
    pub responses: Option<Responses>,
    /// Failures by kind.
    pub failures: BTreeMap<String, u64>,
    /// What was agreed on, most frequent first.
    pub negotiated: Vec<Negotiated>,
    /// What the client used.
    pub client: Client,
    /// What the server used; none without its process id.
    pub server: Option<Server>,
}

/// How the handshakes went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Handshakes {
    /// Those that went well.
    pub succeeded: u64,
    /// Of these: those that resumed nothing.
    pub full: u64,
    /// Of these: those that resumed a session.
    pub resumed: u64,
    /// Connections that failed, at whatever stage.
    pub failed: u64,
    /// Those that went well, per second.
    pub per_second: f64,
    /// Connections that were to resume a session.
    pub resumption_asked: u64,
    /// Full handshakes before the measurement, for sessions to resume. Counted nowhere else.
    pub primed: u64,
    /// Full handshakes with another round trip, as the server wanted another group.
    pub retried: u64,
    /// Sessions that the server handed out.
    pub tickets: u64,
    /// Connections that the server left open a second after `close_notify`.
    pub left_open: u64,
    /// Connections that the server closed without a `close_notify` of its own, against RFC 8446
    /// section 6.1.
    pub unannounced: u64,
}

/// A distribution of times, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Half are shorter.
    pub p50_us: f64,
    /// 90 % are shorter.
    pub p90_us: f64,
    /// 99 % are shorter.
    pub p99_us: f64,
    /// 99.9 % are shorter.
    pub p99_9_us: f64,
    /// The longest.
    pub max_us: f64,
    /// On average.
    pub mean_us: f64,
}

/// What requests came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Responses {
    /// By status.
    pub statuses: BTreeMap<u16, u64>,
    /// From the beginning of a connection to the end of the response; none without responses.
    pub latency: Option<Latency>,
}

/// Something that was agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Negotiated {
    /// In how many handshakes.
    pub count: u64,
    /// `TLSv1.3`
    pub version: String,
    /// `TLS13_AES_128_GCM_SHA256`
    pub suite: String,
    /// `X25519`; none where no key exchange took place.
    pub group: Option<String>,
    /// `h2`; none where no application protocol was agreed on.
    pub alpn: Option<String>,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// `ECDSA P-256`: the type of the certificate's key.
    pub certificate: Option<String>,
}

/// What the client used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Client {
    /// CPU time for each handshake that went well.
    pub cpu_us_per_handshake: Option<f64>,
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
    /// CPU time for each handshake that went well; what failed is in it as well.
    pub cpu_us_per_handshake: Option<f64>,
    /// CPU time, user and system.
    pub cpu_seconds: f64,
    /// Which part of the time its busiest thread ran or waited for a core, 0 to 1.
    pub busy: f64,
    /// The most memory that was resident at a time since its beginning.
    pub peak_memory_bytes: u64,
}

impl Report {
    pub(super) fn new(
        plan: &Plan,
        elapsed: Duration,
        interrupted: bool,
        finished: Vec<Finished>,
        usage: Option<Usage>,
    ) -> Self {
        let crew = CrewUse::of(&finished, elapsed);
        let gave_up = finished.iter().all(|finished| finished.gave_up);
        let primed = finished.iter().map(|finished| finished.primed).sum();
        let mut tally = Tally::new();
        finished
            .into_iter()
            .for_each(|finished| tally.add(finished.tally));
        let succeeded = tally.succeeded();
        let server = plan.pid.zip(usage);
        let server = server.map(|(pid, usage)| Server::new(pid, &usage, elapsed, succeeded));
        Self {
            measured: "handshake",
            address: plan.address.to_string(),
            server_name: server_name(plan),
            concurrency: plan.concurrency,
            threads: plan.threads,
            rate: plan.rate,
            verified: matches!(plan.trust, Trust::Roots(_)),
            seconds: elapsed.as_secs_f64(),
            interrupted,
            gave_up,
            handshakes: Handshakes::new(&tally, primed, elapsed),
            latency: Latency::of(&tally.handshakes),
            responses: plan.request.as_ref().map(|_| Responses::of(&tally)),
            negotiated: tally.agreements.describe(),
            failures: tally.failures,
            client: crew.judged(succeeded, server.as_ref()),
            server,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = self.heading();
        let mut line = |name: &str, what: &dyn fmt::Display| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<11} {what}");
        };
        line("handshakes", &self.handshakes);
        if let Some(latency) = &self.latency {
            line("latency", latency);
        }
        for negotiated in &self.negotiated {
            line("negotiated", negotiated);
        }
        if let Some(responses) = &self.responses {
            line("responses", responses);
        }
        for (kind, count) in &self.failures {
            line("failed", &format_args!("{} × {kind}", grouped(*count)));
        }
        if let Some(server) = &self.server {
            line("server", server);
        }
        line("client", &self.client);
        for remark in self.remarks() {
            line("remark", &remark);
        }
        text
    }

    fn heading(&self) -> String {
        let name = self.server_name.as_deref().unwrap_or("no server name");
        let pace = self.rate.map(|rate| format!(", {rate} per second"));
        format!(
            "{} ({name}): {:.2} s, {} connections at a time on {} threads{}{}\n",
            self.address,
            self.seconds,
            self.concurrency,
            self.threads,
            pace.unwrap_or_default(),
            if self.interrupted {
                ", ended early"
            } else {
                ""
            },
        )
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.verified {
            remarks.push("certificates and signatures were not verified (see --ca)".to_owned());
        }
        let shakes = &self.handshakes;
        if shakes.primed > 0 {
            remarks.push(format!(
                "{} full handshakes came before, for sessions to resume",
                shakes.primed
            ));
        }
        if shakes.resumed < shakes.resumption_asked {
            let missing = grouped(shakes.resumption_asked - shakes.resumed);
            remarks.push(format!(
                "{missing} sessions that were to be resumed were not"
            ));
        }
        if shakes.left_open > 0 {
            remarks.push(format!(
                "{} connections were left open after close_notify",
                shakes.left_open
            ));
        }
        if shakes.unannounced > 0 {
            let silent = grouped(shakes.unannounced);
            remarks.push(format!(
                "{silent} connections were closed without a close_notify"
            ));
        }
        if self.server.is_some() && shakes.failed > 0 {
            remarks
                .push("the server's CPU time includes what the failed connections took".to_owned());
        }
        remarks
    }
}

fn server_name(plan: &Plan) -> Option<String> {
    match &plan.server_name {
        ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
        _ => None,
    }
}

// === impl parts ===

impl Handshakes {
    fn new(tally: &Tally, primed: u64, elapsed: Duration) -> Self {
        let succeeded = tally.succeeded();
        Self {
            succeeded,
            full: tally.full,
            resumed: tally.resumed,
            failed: tally.failed,
            per_second: succeeded as f64 / elapsed.as_secs_f64(),
            resumption_asked: tally.resumption_asked,
            primed,
            retried: tally.retried,
            tickets: tally.tickets,
            left_open: tally.left_open,
            unannounced: tally.unannounced,
        }
    }
}

impl Latency {
    fn of(times: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
        (!times.is_empty()).then(|| Self {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            max_us: times.max() as f64 / 1000.0,
            mean_us: times.mean() / 1000.0,
        })
    }
}

impl Responses {
    fn of(tally: &Tally) -> Self {
        Self {
            statuses: tally.statuses.clone(),
            latency: Latency::of(&tally.responses),
        }
    }
}

impl Server {
    fn new(pid: u32, usage: &Usage, elapsed: Duration, handshakes: u64) -> Self {
        Self {
            pid,
            processes: usage.processes,
            cpu_us_per_handshake: each(usage.cpu, handshakes),
            cpu_seconds: usage.cpu.as_secs_f64(),
            busy: share(usage.busiest, elapsed),
            peak_memory_bytes: usage.peak_memory_bytes,
        }
    }
}

/// What the client's threads used.
struct CrewUse {
    ran: Duration,
    /// Of the thread with the least to do: while one has nothing to do, the client is not the limit.
    busy: f64,
}

impl CrewUse {
    fn of(finished: &[Finished], elapsed: Duration) -> Self {
        let busy = finished.iter().map(|f| share(f.ran + f.waited, elapsed));
        Self {
            ran: finished.iter().map(|finished| finished.ran).sum(),
            busy: busy.fold(1.0, f64::min),
        }
    }

    fn judged(&self, handshakes: u64, server: Option<&Server>) -> Client {
        let limit = match server {
            _ if self.busy < SATURATED => Some(false),
            Some(server) => Some(server.busy < IDLING),
            None => None,
        };
        Client {
            cpu_us_per_handshake: each(self.ran, handshakes),
            busy: self.busy,
            limit,
        }
    }
}

fn each(cpu: Duration, handshakes: u64) -> Option<f64> {
    (handshakes > 0).then(|| cpu.as_secs_f64() * 1e6 / handshakes as f64)
}

fn share(part: Duration, whole: Duration) -> f64 {
    (part.as_secs_f64() / whole.as_secs_f64()).min(1.0)
}

// === for people ===

impl fmt::Display for Handshakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1}/s: {} full, {} resumed, {} failed; {} tickets",
            self.per_second,
            grouped(self.full),
            grouped(self.resumed),
            grouped(self.failed),
            grouped(self.tickets),
        )?;
        match self.retried {
            0 => Ok(()),
            retried => write!(f, "; {} with HelloRetryRequest", grouped(retried)),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: f64| format!("{:.2}", us / 1000.0);
        write!(
            f,
            "p50 {}, p90 {}, p99 {}, p99.9 {}, max {} ms",
            ms(self.p50_us),
            ms(self.p90_us),
            ms(self.p99_us),
            ms(self.p99_9_us),
            ms(self.max_us),
        )
    }
}

impl fmt::Display for Negotiated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} × {} {}",
            grouped(self.count),
            self.version,
            self.suite
        )?;
        let or =
            |what: &Option<String>, none: &str| what.clone().unwrap_or_else(|| none.to_owned());
        write!(f, ", {}", or(&self.group, "no key exchange"))?;
        write!(f, ", {}", or(&self.certificate, "no certificate"))?;
        write!(f, ", ALPN {}", or(&self.alpn, "none"))?;
        f.write_str(if self.resumed { ", resumed" } else { "" })
    }
}

impl fmt::Display for Responses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (status, count) in &self.statuses {
            write!(f, "{} × {status}; ", grouped(*count))?;
        }
        match &self.latency {
            Some(latency) => latency.fmt(f),
            None => f.write_str("none"),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        per_handshake(f, self.cpu_us_per_handshake)?;
        write!(
            f,
            "; busiest thread {:.0} % busy; peak memory {:.1} MiB; process {}",
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
        per_handshake(f, self.cpu_us_per_handshake)?;
        write!(f, "; threads {:.0} % busy", self.busy * 100.0)?;
        f.write_str(match self.limit {
            Some(true) => {
                ": the client was the limit, the server had time to spare (more --threads?)"
            }
            Some(false) => "",
            None => ": perhaps the client was the limit (--pid tells)",
        })
    }
}

fn per_handshake(f: &mut fmt::Formatter<'_>, cpu_us: Option<f64>) -> fmt::Result {
    match cpu_us {
        Some(cpu_us) => write!(f, "{cpu_us:.1} µs CPU per handshake"),
        None => f.write_str("no handshake"),
    }
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
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
    fn long_numbers_are_grouped() {
        let shown = [0, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn who_was_the_limit() {
        let server = |busy| Server {
            pid: 1,
            processes: 1,
            cpu_us_per_handshake: None,
            cpu_seconds: 0.0,
            busy,
            peak_memory_bytes: 0,
        };
        let limit = |busy, server: Option<Server>| {
            let crew = CrewUse {
                ran: Duration::ZERO,
                busy,
            };
            crew.judged(1, server.as_ref()).limit
        };
        assert_eq!(limit(0.99, Some(server(0.5))), Some(true));
        assert_eq!(limit(0.99, Some(server(0.99))), Some(false));
        assert_eq!(limit(0.5, Some(server(0.99))), Some(false));
        assert_eq!(limit(0.5, None), Some(false));
        assert_eq!(limit(0.99, None), None);
    }

    #[test]
    fn quantiles_of_nothing_are_nothing() {
        assert_eq!(Latency::of(&Tally::new().handshakes), None);
    }
}
