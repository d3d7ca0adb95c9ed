//! What came out, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

use rustls::pki_types::ServerName;
use serde::Serialize;

use super::cost::{Client, Effort, Operations, Server};
use super::crew::Outcome;
use super::latency::Latency;
use super::machine::Machine;
use super::plan::Plan;
use super::tally::Tally;
use super::words::grouped;
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
    /// Where and when this was measured.
    pub machine: Machine,
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
    /// With a rate: connections for which no lane was free when they were due.
    pub late: u64,
    /// With a rate: connections that were due and had not begun by the end. No latency knows them.
    pub unsent: u64,
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

impl Report {
    pub(super) fn new(plan: &Plan, outcome: Outcome<Finished>) -> Self {
        let (elapsed, finished) = (outcome.elapsed, outcome.finished);
        let efforts: Vec<Effort> = finished.iter().map(|finished| finished.effort).collect();
        let gave_up = finished.iter().all(|finished| finished.gave_up);
        let primed = finished.iter().map(|finished| finished.primed).sum();
        let mut tally = Tally::new();
        finished
            .into_iter()
            .for_each(|finished| tally.add(finished.tally));
        let done = Operations::Handshakes(tally.succeeded());
        let server = plan.pid.zip(outcome.usage);
        let server = server.map(|(pid, usage)| Server::new(pid, &usage, elapsed, done));
        Self {
            measured: HANDSHAKE,
            address: plan.address.to_string(),
            server_name: sent_name(&plan.server_name),
            concurrency: plan.concurrency,
            threads: plan.threads,
            rate: plan.rate,
            verified: plan.offer.trust.verifies(),
            seconds: elapsed.as_secs_f64(),
            interrupted: outcome.interrupted,
            gave_up,
            handshakes: Handshakes::new(&tally, primed, elapsed),
            latency: Latency::of(&tally.handshakes),
            responses: plan.request.as_ref().map(|_| Responses::of(&tally)),
            negotiated: tally.agreements.describe(),
            failures: tally.failures,
            client: Client::new(&efforts, elapsed, done, server.as_ref()),
            server,
            machine: Machine::this(),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = self.heading();
        write_line(&mut text, "handshakes", &self.handshakes);
        if let Some(latency) = &self.latency {
            write_line(&mut text, "latency", latency);
        }
        for negotiated in &self.negotiated {
            write_line(&mut text, "negotiated", negotiated);
        }
        if let Some(responses) = &self.responses {
            write_line(&mut text, "responses", responses);
        }
        write_failures(&mut text, &self.failures);
        write_use(&mut text, self.server.as_ref(), &self.client);
        for remark in self.remarks() {
            write_line(&mut text, "remark", &remark);
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
        remarks.extend(behind("connections", shakes.late, shakes.unsent));
        if self.server.is_some() && shakes.failed > 0 {
            remarks
                .push("the server's CPU time includes what the failed connections took".to_owned());
        }
        remarks
    }
}

/// A line of a report: what it is about in the first column.
pub(super) fn write_line(text: &mut String, name: &str, what: &dyn fmt::Display) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{name:<11} {what}");
}

/// A line for each kind of failure.
pub(super) fn write_failures(text: &mut String, failures: &BTreeMap<String, u64>) {
    for (kind, count) in failures {
        let count = grouped(*count);
        write_line(text, "failed", &format_args!("{count} × {kind}"));
    }
}

/// What was used.
pub(super) fn write_use(text: &mut String, server: Option<&Server>, client: &Client) {
    if let Some(server) = server {
        write_line(text, "server", server);
    }
    write_line(text, "client", client);
}

/// What became of a rate that could not be kept.
pub(super) fn behind(what: &str, late: u64, unsent: u64) -> Option<String> {
    (late + unsent > 0).then(|| {
        format!(
            "the rate was not kept: {} {what} began late, which is in the latency; {} that were \
             due did not begin before the end and are in no figure",
            grouped(late),
            grouped(unsent)
        )
    })
}

/// The name that a handshake asks for: addresses are not sent (RFC 6066 section 3).
pub(super) fn sent_name(name: &ServerName<'_>) -> Option<String> {
    match name {
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
            late: tally.late,
            unsent: tally.unsent,
            resumption_asked: tally.resumption_asked,
            primed,
            retried: tally.retried,
            tickets: tally.tickets,
            left_open: tally.left_open,
            unannounced: tally.unannounced,
        }
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

/// What [`Report::measured`] says.
const HANDSHAKE: &str = "handshake";
