//! What a thread counts.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::lane::Answer;
use crate::bench::failure::Failure;
use crate::bench::negotiated::Agreements;
use crate::bench::tally::{add_counts, histogram, nanoseconds};

/// What a thread counts; added up when all are done.
#[derive(Debug)]
pub(super) struct HttpTally {
    /// Requests that were answered, whatever the status.
    pub(super) succeeded: u64,
    /// Requests that were not.
    pub(super) failed: u64,
    /// How they failed.
    pub(super) failures: BTreeMap<String, u64>,
    /// Whether there ever was a TCP connection.
    pub(super) connected: bool,
    /// Responses by status.
    pub(super) statuses: BTreeMap<u16, u64>,
    /// Bytes of their bodies.
    pub(super) bytes: u64,
    /// From when a request was due to the end of its response, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    /// Requests for which no lane was free when they were due.
    pub(super) late: u64,
    /// Requests that were due and had not begun by the end.
    pub(super) unsent: u64,
    /// Connections that came about before the measurement, and in it.
    pub(super) opened: u64,
    /// Of these: those in it.
    pub(super) reopened: u64,
    /// What was agreed on.
    pub(super) agreements: Agreements,
}

impl HttpTally {
    pub(super) fn new() -> Self {
        Self {
            succeeded: 0,
            failed: 0,
            failures: BTreeMap::new(),
            connected: false,
            statuses: BTreeMap::new(),
            bytes: 0,
            latency: histogram(),
            late: 0,
            unsent: 0,
            opened: 0,
            reopened: 0,
            agreements: Agreements::default(),
        }
    }

    /// Counts a request that was due at `due`.
    pub(super) fn count(&mut self, due: Instant, outcome: Result<Answer, &Failure>) {
        match outcome {
            Ok(answer) => self.count_answer(due, answer),
            Err(failure) => self.count_failure(failure),
        }
    }

    fn count_answer(&mut self, due: Instant, answer: Answer) {
        self.connected = true;
        self.succeeded += 1;
        self.bytes += answer.bytes;
        *self.statuses.entry(answer.status).or_default() += 1;
        self.latency.saturating_record(nanoseconds(due.elapsed()));
    }

    fn count_failure(&mut self, failure: &Failure) {
        self.connected |= !failure.is_connect();
        self.failed += 1;
        *self.failures.entry(failure.to_string()).or_default() += 1;
    }

    /// Adds what another thread counted.
    pub(super) fn add(&mut self, other: Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.connected |= other.connected;
        self.bytes += other.bytes;
        self.late += other.late;
        self.unsent += other.unsent;
        self.opened += other.opened;
        self.reopened += other.reopened;
        add_counts(&mut self.failures, other.failures);
        add_counts(&mut self.statuses, other.statuses);
        // They have the same bounds.
        self.latency += other.latency;
        self.agreements.add(other.agreements);
    }
}
