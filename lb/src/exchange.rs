//! One request and its answer, for as long as either is under way: what is counted and logged when it
//! ends, however it ends.

use std::sync::Arc;
use std::time::Instant;

use http::Version;

use crate::access_log::{AccessLog, Record, micros};
use crate::downstream::Downstream;
use crate::drain::is_cutting;
use crate::error::End;
use crate::metrics::{Metrics, RequestCounters};
use crate::target_group::InFlight;
use crate::upstream::request_body::{Progress, Stage};

/// A request under way. Dropped, it is over: counted, logged, and no longer in flight. Unless somebody
/// said otherwise, the client left, or was cut at a drain's deadline.
#[derive(Debug)]
pub struct Exchange {
    /// What the access log will be told.
    pub record: Option<Box<Record>>,
    /// The target's count of requests in flight.
    pub in_flight: Option<InFlight>,
    /// How far the request's body has come.
    pub progress: Option<Arc<Progress>>,
    /// Where the request is counted.
    pub counters: Option<Arc<RequestCounters>>,
    start: Instant,
    worker: usize,
    metrics: Arc<Metrics>,
    log: Option<AccessLog>,
}

impl Exchange {
    /// A request whose head has just come whole.
    pub fn begin(
        downstream: Arc<Downstream>,
        version: Version,
        worker: usize,
        metrics: Arc<Metrics>,
        log: Option<AccessLog>,
    ) -> Box<Self> {
        Box::new(Self {
            record: Some(Box::new(Record::new(downstream, version))),
            in_flight: None,
            progress: None,
            counters: None,
            start: Instant::now(),
            worker,
            metrics,
            log,
        })
    }

    /// What the access log will be told.
    pub fn record(&mut self) -> &mut Record {
        self.record
            .as_mut()
            .expect("only dropping takes the record")
    }

    /// Microseconds since the head was whole.
    pub fn elapsed_us(&self) -> u64 {
        micros(self.start.elapsed())
    }

    /// Whether anything of the request's body was asked for.
    pub fn has_begun_body(&self) -> bool {
        let progress = self.progress.as_ref();
        progress.is_some_and(|progress| progress.stage() != Stage::NotBegun)
    }

    /// Whether there is a log that it will be told to.
    pub fn is_logged(&self) -> bool {
        self.log.is_some()
    }

    /// Bytes of the response's body that were passed on.
    pub fn sent(&mut self, bytes: usize) {
        self.record().response_bytes += bytes as u64;
    }

    /// It ends so, unless somebody says otherwise before it is dropped.
    pub fn end(&mut self, end: End) {
        self.record().end = Some(end);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let Some(mut record) = self.record.take() else {
            return;
        };
        if record.end() == End::ClientGone && is_cutting() {
            record.end = Some(End::Drained);
        }
        record.total_us = micros(self.start.elapsed());
        if let Some(progress) = &self.progress {
            record.request_bytes = progress.bytes();
        }
        if record.status == 0 {
            record.status = record.end().status().as_u16();
        }
        self.metrics.end(self.worker, record.end());
        if let Some(counters) = &self.counters {
            counters.shard(self.worker).observe(&record);
        }
        if let Some(log) = &self.log {
            log.record(record);
        }
    }
}
