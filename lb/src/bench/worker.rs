//! A thread of the load generator: its own runtime, connections, sessions and counts.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::ClientConnection;
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use super::client::Profiles;
use super::cost::Effort;
use super::crew::{Duty, Start};
use super::exchange::{Done, Endpoint};
use super::failure::Failure;
use super::schedule::{Allowance, Schedule, Shared, Window};
use super::tally::Tally;

/// What a thread is to do.
pub(super) struct Worker {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) profiles: Profiles,
    /// How many connections at a time.
    pub(super) connections: usize,
    /// Which share of the handshakes is to resume a session.
    pub(super) resume: f64,
    /// How many connections in all, and when.
    pub(super) allowance: Allowance,
    pub(super) shared: Arc<Shared>,
}

/// What a thread did.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) tally: Tally,
    /// Full handshakes that came before, for sessions to resume.
    pub(super) primed: u64,
    pub(super) effort: Effort,
    /// Whether it ended early since not one connection came about.
    pub(super) gave_up: bool,
}

impl Duty for Worker {
    type Finished = Finished;

    fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    fn work(self, start: Start, ready: impl FnOnce()) -> io::Result<Finished> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, self.measure(start, ready))
    }
}

impl Worker {
    async fn measure(self, start: Start, ready: impl FnOnce()) -> io::Result<Finished> {
        self.warm_up();
        let primed = self.prime().await;
        ready();
        let Some(window) = start.window().await else {
            return Ok(Finished::nothing(primed));
        };
        let (connections, before) = (self.connections, Effort::so_far());
        let work = Rc::new(Work::new(self, window)?);
        let mut lanes = JoinSet::new();
        for _ in 0..connections {
            lanes.spawn_local(work.clone().lane());
        }
        lanes.join_all().await;
        Ok(work.finished(primed, Effort::so_far().since(before)))
    }

    /// The first random number of a process takes tens of milliseconds: aws-lc gathers entropy. It
    /// would be the first handshake's latency. What fails here fails again and is counted then.
    fn warm_up(&self) {
        let name = self.endpoint.server_name.clone();
        drop(ClientConnection::new(self.profiles.full.clone(), name));
    }

    /// Opens as many connections as will be open at a time, for sessions to resume.
    async fn prime(&self) -> u64 {
        if self.resume == 0.0 {
            return 0;
        }
        let mut connections = JoinSet::new();
        for _ in 0..self.connections {
            let (endpoint, config) = (self.endpoint.clone(), self.profiles.full.clone());
            connections.spawn_local(async move { endpoint.exchange(&config).await.is_ok() });
        }
        let done = connections.join_all().await;
        done.into_iter().filter(|done| *done).count() as u64
    }
}

impl Finished {
    fn nothing(primed: u64) -> Self {
        Self {
            tally: Tally::new(),
            primed,
            effort: Effort::default(),
            gave_up: false,
        }
    }
}

/// What the lanes of a thread have in common: each lane is one connection after the other.
struct Work {
    worker: Worker,
    schedule: Schedule,
    tally: RefCell<Tally>,
    resumptions_owed: Cell<f64>,
    gave_up: Cell<bool>,
    tickets_before: u64,
}

impl Work {
    fn new(worker: Worker, window: Window) -> io::Result<Self> {
        Ok(Self {
            tickets_before: worker.profiles.tickets.received(),
            schedule: Schedule::new(worker.allowance, window, worker.shared.clone())?,
            worker,
            tally: RefCell::new(Tally::new()),
            resumptions_owed: Cell::new(0.0),
            gave_up: Cell::new(false),
        })
    }

    async fn lane(self: Rc<Self>) {
        while let Some(begun) = self.schedule.next().await {
            let outcome = self.exchange().await;
            self.count(begun, &outcome);
            if outcome.is_err_and(|failure| failure.is_connect()) {
                sleep(BREATH).await;
            }
        }
    }

    async fn exchange(&self) -> Result<Done, Failure> {
        let profiles = &self.worker.profiles;
        let config = match self.is_to_resume() {
            true => &profiles.resuming,
            false => &profiles.full,
        };
        self.worker.endpoint.exchange(config).await
    }

    /// Spreads the resumptions evenly, so that their share is exact.
    fn is_to_resume(&self) -> bool {
        let owed = self.resumptions_owed.get() + self.worker.resume;
        let due = owed >= 1.0 - f64::EPSILON * 1e3;
        self.resumptions_owed
            .set(if due { owed - 1.0 } else { owed });
        self.tally.borrow_mut().resumption_asked += u64::from(due);
        due
    }

    fn count(&self, begun: Instant, outcome: &Result<Done, Failure>) {
        let mut tally = self.tally.borrow_mut();
        tally.count(begun, outcome.as_ref());
        self.schedule.show(tally.succeeded(), tally.failed);
        if !tally.connected && tally.failed >= self.worker.connections as u64 {
            self.gave_up.set(true);
            self.schedule.end();
        }
    }

    fn finished(self: Rc<Self>, primed: u64, effort: Effort) -> Finished {
        let mut tally = self.tally.replace(Tally::new());
        tally.tickets = self.worker.profiles.tickets.received() - self.tickets_before;
        tally.late = self.schedule.late();
        tally.unsent = self.schedule.unsent();
        Finished {
            tally,
            primed,
            effort,
            gave_up: self.gave_up.get(),
        }
    }
}

/// A pause after a connection that did not come about: the next one will hardly do better.
pub(super) const BREATH: Duration = Duration::from_millis(10);
