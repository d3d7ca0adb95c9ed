//! A thread of the load generator: its own runtime, connections, sessions and counts.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustls::client::ClientConnection;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::client::Profiles;
use super::exchange::{Done, Endpoint};
use super::failure::Failure;
use super::process;
use super::tally::Tally;

/// What a thread is to do.
pub(super) struct Worker {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) profiles: Profiles,
    /// How many connections at a time.
    pub(super) connections: usize,
    /// Which share of the handshakes is to resume a session.
    pub(super) resume: f64,
    /// How many connections in all; none: until the deadline.
    pub(super) quota: Option<u64>,
    /// When connections are to begin; none: as soon as one is free.
    pub(super) pace: Option<Pace>,
    pub(super) shared: Arc<Shared>,
    /// When the measurement begins and ends, once that is known.
    pub(super) start: watch::Receiver<Option<Window>>,
}

/// What a thread shares with the one that watches: nothing of it is waited for.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Shared {
    /// Whether to open no more connections.
    pub(super) stop: AtomicBool,
    /// How many handshakes went well.
    pub(super) succeeded: AtomicU64,
    /// How many connections failed.
    pub(super) failed: AtomicU64,
}

/// When a measurement begins and ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) begin: Instant,
    pub(super) end: Option<Instant>,
}

/// When a thread's connections are to begin, after the measurement has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) first: Duration,
    pub(super) interval: Duration,
}

/// What a thread did.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) tally: Tally,
    /// Full handshakes that came before, for sessions to resume.
    pub(super) primed: u64,
    /// CPU time.
    pub(super) ran: Duration,
    /// Time that it could have run but had no core.
    pub(super) waited: Duration,
    /// Whether it ended early since not one connection came about.
    pub(super) gave_up: bool,
}

impl Worker {
    /// Does it, on the calling thread; says `ready` when it has what it needs to begin.
    ///
    /// # Errors
    /// When the system gives no runtime.
    pub(super) fn run(self, ready: impl FnOnce()) -> io::Result<Finished> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(LocalSet::new().block_on(&runtime, self.measure(ready)))
    }

    async fn measure(mut self, ready: impl FnOnce()) -> Finished {
        self.warm_up();
        let primed = self.prime().await;
        ready();
        let Some(window) = self.window().await else {
            return Finished::nothing(primed);
        };
        let (connections, before) = (self.connections, process::own_thread());
        let work = Rc::new(Work::new(self, window));
        let mut lanes = JoinSet::new();
        for _ in 0..connections {
            lanes.spawn_local(work.clone().lane());
        }
        lanes.join_all().await;
        let after = process::own_thread();
        work.finished(primed, after.0 - before.0, after.1 - before.1)
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

    async fn window(&mut self) -> Option<Window> {
        let begun = self.start.wait_for(Option::is_some).await;
        begun.ok().and_then(|window| *window)
    }
}

impl Finished {
    fn nothing(primed: u64) -> Self {
        Self {
            tally: Tally::new(),
            primed,
            ran: Duration::ZERO,
            waited: Duration::ZERO,
            gave_up: false,
        }
    }
}

/// What the lanes of a thread have in common: each lane is one connection after the other.
struct Work {
    worker: Worker,
    window: Window,
    tally: RefCell<Tally>,
    begun: Cell<u64>,
    resumptions_owed: Cell<f64>,
    gave_up: Cell<bool>,
    tickets_before: u64,
}

impl Work {
    fn new(worker: Worker, window: Window) -> Self {
        Self {
            tickets_before: worker.profiles.tickets.received(),
            worker,
            window,
            tally: RefCell::new(Tally::new()),
            begun: Cell::new(0),
            resumptions_owed: Cell::new(0.0),
            gave_up: Cell::new(false),
        }
    }

    async fn lane(self: Rc<Self>) {
        while let Some(begun) = self.next().await {
            let outcome = self.exchange().await;
            self.count(begun, &outcome);
            if outcome.is_err_and(|failure| failure.is_connect()) {
                sleep(BREATH).await;
            }
        }
    }

    /// When the next connection begins, or is to have begun; none when the measurement is over.
    async fn next(&self) -> Option<Instant> {
        if self.is_over(Instant::now()) {
            return None;
        }
        let number = self.begun.replace(self.begun.get() + 1);
        match self.worker.pace {
            None => Some(Instant::now()),
            Some(pace) => self.turn(self.window.begin + pace.after(number)).await,
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        let stopped = self.worker.shared.stop.load(Ordering::Relaxed) || self.gave_up.get();
        let late = self.window.end.is_some_and(|end| now >= end);
        let enough = self
            .worker
            .quota
            .is_some_and(|quota| self.begun.get() >= quota);
        stopped || late || enough
    }

    /// Waits for `due`. A connection for which no lane was free counts from when it was due. One
    /// that was waited for counts from when the timer let go, which is a little late by nature.
    async fn turn(&self, due: Instant) -> Option<Instant> {
        if self.window.end.is_some_and(|end| due >= end) {
            return None;
        }
        let mut now = Instant::now();
        if now >= due {
            return Some(due);
        }
        while now < due {
            sleep_until(due.min(now + ATTENTION)).await;
            now = Instant::now();
            if self.worker.shared.stop.load(Ordering::Relaxed) {
                return None;
            }
        }
        Some(if now - due < GRAIN { now } else { due })
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
        let shared = &self.worker.shared;
        let mut tally = self.tally.borrow_mut();
        tally.count(begun, outcome.as_ref());
        shared.succeeded.store(tally.succeeded(), Ordering::Relaxed);
        shared.failed.store(tally.failed, Ordering::Relaxed);
        let hopeless = !tally.connected && tally.failed >= self.worker.connections as u64;
        self.gave_up.set(hopeless);
    }

    fn finished(self: Rc<Self>, primed: u64, ran: Duration, waited: Duration) -> Finished {
        let mut tally = self.tally.replace(Tally::new());
        tally.tickets = self.worker.profiles.tickets.received() - self.tickets_before;
        let gave_up = self.gave_up.get();
        Finished {
            tally,
            primed,
            ran,
            waited,
            gave_up,
        }
    }
}

impl Pace {
    /// The share of the `nth` of so many threads in `rate` connections per second.
    pub(super) fn of(rate: f64, threads: u64, nth: u64) -> Self {
        Self {
            first: seconds(nth as f64 / rate),
            interval: seconds(threads as f64 / rate),
        }
    }

    fn after(&self, number: u64) -> Duration {
        self.first
            .saturating_add(seconds(self.interval.as_secs_f64() * number as f64))
    }
}

/// A rate may be so low that the next connection is due in a distant age.
fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.min(A_DISTANT_AGE))
}

/// A pause after a connection that did not come about: the next one will hardly do better.
const BREATH: Duration = Duration::from_millis(10);
/// How long a lane sleeps at most before it looks whether all is over.
const ATTENTION: Duration = Duration::from_millis(100);
/// A hundred years, in seconds.
const A_DISTANT_AGE: f64 = 3.2e9;
/// Timers of the runtime are in milliseconds.
const GRAIN: Duration = Duration::from_millis(2);
