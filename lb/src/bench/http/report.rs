//! What came out of requests, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::plan::HttpPlan;
use super::tally::HttpTally;
use super::worker::HttpFinished;
use crate::bench::cost::{Client, Effort, Operations, Server};
use crate::bench::crew::Outcome;
use crate::bench::latency::Latency;
use crate::bench::machine::Machine;
use crate::bench::report::{Negotiated, behind, sent_name, write_failures, write_line, write_use};
use crate::bench::words::grouped;

/// What came out of a measurement of requests. Its JSON form is what programs get.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HttpReport {
    /// What was measured: `http`.
    pub measured: &'static str,
    /// What was asked for.
    pub url: String,
    /// The server's address.
    pub address: String,
    /// The name that handshakes asked for; none: an address, which is not sent, or no TLS.
    pub server_name: Option<String>,
    /// `HTTP/1.1` or `HTTP/2`
    pub protocol: String,
    /// `GET`
    pub method: String,
    /// How long the body of each request was.
    pub body_bytes: usize,
    /// How many connections were open.
    pub connections: usize,
    /// How many requests were under way at a time on each.
    pub streams: usize,
    /// On how many threads.
    pub threads: usize,
    /// Requests per second that were to be sent; none: as many as went.
    pub rate: Option<f64>,
    /// Whether certificates and the server's signatures were verified.
    pub verified: bool,
    /// From the beginning of the first to the end of the last request.
    pub seconds: f64,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// Whether it ended by itself, for not one connection came about.
    pub gave_up: bool,
    /// How the requests went.
    pub requests: Requests,
    /// Responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// From the beginning of a request (with a rate: from when it was due) to the end of its
    /// response, whatever the status; none without responses.
    pub latency: Option<Latency>,
    /// Failures by kind.
    pub failures: BTreeMap<String, u64>,
    /// What was agreed on when connections were opened, most frequent first.
    pub negotiated: Vec<Negotiated>,
    /// What the client used.
    pub client: Client,
    /// What the server used; none without its process id.
    pub server: Option<Server>,
    /// Where and when this was measured.
    pub machine: Machine,
}

/// How the requests went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Requests {
    /// Those that were answered, whatever the status.
    pub succeeded: u64,
    /// Those that were not.
    pub failed: u64,
    /// Those that were answered, per second.
    pub per_second: f64,
    /// Those that were answered, by class of the status: `2xx`.
    pub classes: BTreeMap<String, u64>,
    /// Bytes of the responses' bodies.
    pub received_bytes: u64,
    /// The same per second.
    pub received_bytes_per_second: f64,
    /// With a rate: requests for which no connection or stream was free when they were due.
    pub late: u64,
    /// With a rate: requests that were due and had not begun by the end. No latency knows them.
    pub unsent: u64,
    /// Connections opened before the measurement and in it.
    pub opened: u64,
    /// Of these: those in it, as others had been closed.
    pub reopened: u64,
}

impl HttpReport {
    pub(super) fn new(plan: &HttpPlan, outcome: Outcome<HttpFinished>) -> Self {
        let (elapsed, finished) = (outcome.elapsed, outcome.finished);
        let efforts: Vec<Effort> = finished.iter().map(|finished| finished.effort).collect();
        let gave_up = finished.iter().all(|finished| finished.gave_up);
        let mut tally = HttpTally::new();
        finished
            .into_iter()
            .for_each(|finished| tally.add(finished.tally));
        let done = Operations::Requests(tally.succeeded);
        let server = plan.pid.zip(outcome.usage);
        let server = server.map(|(pid, usage)| Server::new(pid, &usage, elapsed, done));
        let tls = plan.tls.as_ref();
        Self {
            measured: HTTP,
            url: plan.url(),
            address: plan.address.to_string(),
            server_name: tls.and_then(|tls| sent_name(&tls.server_name)),
            protocol: plan.protocol.to_string(),
            method: plan.request.method.to_string(),
            body_bytes: plan.request.body_bytes,
            connections: plan.connections,
            streams: plan.streams,
            threads: plan.threads,
            rate: plan.rate,
            verified: tls.is_some_and(|tls| tls.offer.trust.verifies()),
            seconds: elapsed.as_secs_f64(),
            interrupted: outcome.interrupted,
            gave_up,
            requests: Requests::new(&tally, elapsed),
            latency: Latency::of(&tally.latency),
            negotiated: tally.agreements.describe(),
            statuses: tally.statuses,
            failures: tally.failures,
            client: Client::new(&efforts, elapsed, done, server.as_ref()),
            server,
            machine: Machine::this(),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = self.heading();
        write_line(&mut text, "requests", &self.requests);
        if let Some(latency) = &self.latency {
            write_line(&mut text, "latency", latency);
        }
        for (status, count) in &self.statuses {
            let count = grouped(*count);
            write_line(&mut text, "responses", &format_args!("{count} × {status}"));
        }
        for negotiated in &self.negotiated {
            write_line(&mut text, "negotiated", negotiated);
        }
        write_failures(&mut text, &self.failures);
        write_use(&mut text, self.server.as_ref(), &self.client);
        for remark in self.remarks() {
            write_line(&mut text, "remark", &remark);
        }
        text
    }

    fn heading(&self) -> String {
        let streams = (self.streams > 1).then(|| format!(" × {} streams", self.streams));
        let pace = self.rate.map(|rate| format!(", {rate} per second"));
        format!(
            "{} {} at {}, {}: {:.2} s, {} connections{} on {} threads{}{}\n",
            self.method,
            self.url,
            self.address,
            self.protocol,
            self.seconds,
            self.connections,
            streams.unwrap_or_default(),
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
        let requests = &self.requests;
        let mut remarks = Vec::new();
        if !self.verified && !self.negotiated.is_empty() {
            remarks.push("certificates and signatures were not verified (see --ca)".to_owned());
        }
        let refused: u64 = self.statuses.range(400..).map(|(_, count)| count).sum();
        if refused > 0 {
            remarks.push(format!("{} responses are errors", grouped(refused)));
        }
        if requests.reopened > 0 {
            let reopened = grouped(requests.reopened);
            remarks.push(format!(
                "{reopened} connections had to be opened anew, which is in the latency"
            ));
        }
        remarks.extend(behind("requests", requests.late, requests.unsent));
        if self.server.is_some() && requests.failed > 0 {
            remarks.push("the server's CPU time includes what the failed requests took".to_owned());
        }
        remarks
    }
}

impl Requests {
    fn new(tally: &HttpTally, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        Self {
            succeeded: tally.succeeded,
            failed: tally.failed,
            per_second: tally.succeeded as f64 / seconds,
            classes: classes(&tally.statuses),
            received_bytes: tally.bytes,
            received_bytes_per_second: tally.bytes as f64 / seconds,
            late: tally.late,
            unsent: tally.unsent,
            opened: tally.opened,
            reopened: tally.reopened,
        }
    }
}

fn classes(statuses: &BTreeMap<u16, u64>) -> BTreeMap<String, u64> {
    let mut classes = BTreeMap::new();
    for (status, count) in statuses {
        *classes.entry(format!("{}xx", status / 100)).or_default() += count;
    }
    classes
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1}/s: {} answered, {} failed; bodies of {:.1} MiB, {:.1} MiB/s",
            self.per_second,
            grouped(self.succeeded),
            grouped(self.failed),
            self.received_bytes as f64 / MIB,
            self.received_bytes_per_second / MIB,
        )
    }
}

/// What [`HttpReport::measured`] says.
const HTTP: &str = "http";
const MIB: f64 = 1024.0 * 1024.0;
