//! A thread that sends requests: its own runtime, connections and counts.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rustls::ClientConfig;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use super::dial::Dialer;
use super::lane::{Answer, Lane, Line};
use super::patience::Patience;
use super::plan::HttpPlan;
use super::tally::HttpTally;
use crate::bench::cost::Effort;
use crate::bench::crew::{Duty, Start};
use crate::bench::failure::Failure;
use crate::bench::schedule::{Allowance, Schedule, Shared};
use crate::bench::worker::BREATH;

/// What a thread is to do.
pub(super) struct HttpWorker {
    pub(super) plan: Arc<HttpPlan>,
    /// What is sent.
    pub(super) template: Request<Full<Bytes>>,
    /// How it speaks TLS, if it does.
    pub(super) config: Option<Arc<ClientConfig>>,
    /// How many connections are its own.
    pub(super) connections: usize,
    /// How many requests in all, and when.
    pub(super) allowance: Allowance,
    pub(super) shared: Arc<Shared>,
}

/// What a thread did.
#[derive(Debug)]
pub(super) struct HttpFinished {
    pub(super) tally: HttpTally,
    pub(super) effort: Effort,
    /// Whether it ended early since not one connection came about.
    pub(super) gave_up: bool,
}

impl Duty for HttpWorker {
    type Finished = HttpFinished;

    fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    fn work(self, start: Start, ready: impl FnOnce()) -> io::Result<HttpFinished> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, self.measure(start, ready))
    }
}

impl HttpWorker {
    async fn measure(self, start: Start, ready: impl FnOnce()) -> io::Result<HttpFinished> {
        let dialer = Rc::new(self.dialer());
        let lanes = self.lanes(&dialer).await;
        let opened = dialer.opened.get();
        ready();
        let Some(window) = start.window().await else {
            return Ok(HttpFinished::nothing());
        };
        let before = Effort::so_far();
        let schedule = Schedule::new(self.allowance, window, self.shared)?;
        let work = Rc::new(Work::new(schedule, lanes.len() as u64));
        let mut running = JoinSet::new();
        for lane in lanes {
            running.spawn_local(work.clone().lane(lane));
        }
        running.join_all().await;
        let effort = Effort::so_far().since(before);
        Ok(work.finished(&dialer, opened, effort))
    }

    fn dialer(&self) -> Dialer {
        let plan = &self.plan;
        let name = plan.tls.as_ref().map(|tls| tls.server_name.clone());
        Dialer::new(plan.address, self.config.clone().zip(name), plan.protocol)
    }

    /// As many lanes as requests may be under way, each with an open connection. A few are opened at a
    /// time: a crowd would fill the server's backlog, and its memory with unfinished handshakes.
    async fn lanes(&self, dialer: &Rc<Dialer>) -> Vec<Lane> {
        let request = Rc::new(self.template.clone());
        let gate = Rc::new(Semaphore::new(OPENING));
        let mut preparing = JoinSet::new();
        for _ in 0..self.connections {
            let line = Line::new(dialer.clone());
            for _ in 0..self.plan.streams {
                let patience = Patience::new(self.plan.timeout);
                let lane = Lane::new(line.clone(), request.clone(), patience);
                let gate = gate.clone();
                preparing.spawn_local(async move {
                    let _turn = gate.acquire().await;
                    lane.prepare().await
                });
            }
        }
        preparing.join_all().await
    }
}

impl HttpFinished {
    fn nothing() -> Self {
        Self {
            tally: HttpTally::new(),
            effort: Effort::default(),
            gave_up: false,
        }
    }
}

/// What the lanes of a thread have in common.
struct Work {
    schedule: Schedule,
    lanes: u64,
    tally: RefCell<HttpTally>,
    gave_up: Cell<bool>,
}

impl Work {
    fn new(schedule: Schedule, lanes: u64) -> Self {
        Self {
            schedule,
            lanes,
            tally: RefCell::new(HttpTally::new()),
            gave_up: Cell::new(false),
        }
    }

    async fn lane(self: Rc<Self>, mut lane: Lane) {
        while let Some(due) = self.schedule.next().await {
            let outcome = lane.ask().await;
            self.count(due, &outcome);
            if outcome.is_err_and(|failure| failure.is_connect()) {
                sleep(BREATH).await;
            }
        }
    }

    fn count(&self, due: Instant, outcome: &Result<Answer, Failure>) {
        let mut tally = self.tally.borrow_mut();
        tally.count(due, outcome.as_ref().copied());
        self.schedule.show(tally.succeeded, tally.failed);
        if !tally.connected && tally.failed >= self.lanes {
            self.gave_up.set(true);
            self.schedule.end();
        }
    }

    fn finished(&self, dialer: &Dialer, opened: u64, effort: Effort) -> HttpFinished {
        let mut tally = self.tally.replace(HttpTally::new());
        tally.late = self.schedule.late();
        tally.unsent = self.schedule.unsent();
        tally.opened = dialer.opened.get();
        tally.reopened = tally.opened - opened;
        tally.agreements = dialer.agreements.take();
        HttpFinished {
            tally,
            effort,
            gave_up: self.gave_up.get(),
        }
    }
}

/// How many connections a thread opens at a time.
const OPENING: usize = 16;
