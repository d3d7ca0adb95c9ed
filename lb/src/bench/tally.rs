//! What a thread counts.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::exchange::{Done, Farewell};
use super::failure::Failure;
use super::negotiated::{self, Agreements};

/// What a thread counts; added up when all are done.
#[derive(Debug)]
pub(super) struct Tally {
    /// Handshakes that resumed nothing.
    pub(super) full: u64,
    /// Handshakes that resumed a session.
    pub(super) resumed: u64,
    /// Connections that were to resume a session.
    pub(super) resumption_asked: u64,
    /// Full handshakes that took another round trip for the group.
    pub(super) retried: u64,
    /// Sessions that the server handed out.
    pub(super) tickets: u64,
    /// Connections that the server left open after `close_notify`.
    pub(super) left_open: u64,
    /// Connections that the server closed without a `close_notify` of its own.
    pub(super) unannounced: u64,
    /// Connections for which no lane was free when they were due.
    pub(super) late: u64,
    /// Connections that were due and had not begun by the end.
    pub(super) unsent: u64,
    /// Connections that failed.
    pub(super) failed: u64,
    /// How they failed.
    pub(super) failures: BTreeMap<String, u64>,
    /// Whether any failure came after the TCP connection was there.
    pub(super) connected: bool,
    /// From the beginning of the connection to the end of the handshake, in nanoseconds.
    pub(super) handshakes: Histogram<u64>,
    /// From the beginning of the connection to the end of the response, in nanoseconds.
    pub(super) responses: Histogram<u64>,
    /// Responses by status.
    pub(super) statuses: BTreeMap<u16, u64>,
    /// What was agreed on.
    pub(super) agreements: Agreements,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            full: 0,
            resumed: 0,
            resumption_asked: 0,
            retried: 0,
            tickets: 0,
            left_open: 0,
            unannounced: 0,
            late: 0,
            unsent: 0,
            failed: 0,
            failures: BTreeMap::new(),
            connected: false,
            handshakes: histogram(),
            responses: histogram(),
            statuses: BTreeMap::new(),
            agreements: Agreements::default(),
        }
    }

    /// How many handshakes went well.
    pub(super) fn succeeded(&self) -> u64 {
        self.full + self.resumed
    }

    /// Counts a connection that began at `begun`.
    pub(super) fn count(&mut self, begun: Instant, outcome: Result<&Done, &Failure>) {
        match outcome {
            Ok(done) => self.count_done(begun, done),
            Err(failure) => self.count_failure(failure),
        }
    }

    fn count_done(&mut self, begun: Instant, done: &Done) {
        self.connected = true;
        match negotiated::resumed(&done.tls) {
            true => self.resumed += 1,
            false => self.full += 1,
        }
        self.retried += u64::from(negotiated::retried(&done.tls));
        self.left_open += u64::from(done.farewell == Farewell::LeftOpen);
        self.unannounced += u64::from(done.farewell == Farewell::Silent);
        self.agreements.count(&done.tls);
        self.handshakes
            .saturating_record(nanoseconds(done.shaken - begun));
        if let Some((status, at)) = done.response {
            *self.statuses.entry(status).or_default() += 1;
            self.responses.saturating_record(nanoseconds(at - begun));
        }
    }

    fn count_failure(&mut self, failure: &Failure) {
        self.connected |= !failure.is_connect();
        self.failed += 1;
        *self.failures.entry(failure.to_string()).or_default() += 1;
    }

    /// Adds what another thread counted.
    pub(super) fn add(&mut self, other: Self) {
        self.full += other.full;
        self.resumed += other.resumed;
        self.resumption_asked += other.resumption_asked;
        self.retried += other.retried;
        self.tickets += other.tickets;
        self.left_open += other.left_open;
        self.unannounced += other.unannounced;
        self.late += other.late;
        self.unsent += other.unsent;
        self.failed += other.failed;
        self.connected |= other.connected;
        add_counts(&mut self.failures, other.failures);
        add_counts(&mut self.statuses, other.statuses);
        // They have the same bounds.
        self.handshakes += other.handshakes;
        self.responses += other.responses;
        self.agreements.add(other.agreements);
    }
}

/// Adds up counts by kind.
pub(super) fn add_counts<K: Ord>(sums: &mut BTreeMap<K, u64>, counts: BTreeMap<K, u64>) {
    for (kind, count) in counts {
        *sums.entry(kind).or_default() += count;
    }
}

/// For times in nanoseconds.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS).expect("bounds that make sense")
}

/// For a [`histogram`].
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

const LOWEST_NS: u64 = 1_000;
const HIGHEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;
