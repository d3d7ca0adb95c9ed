//! When the operations of a thread begin, and when there are no more.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::timer::Timer;

/// What a thread shares with the one that watches: nothing of it is waited for.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Shared {
    /// Whether to begin nothing more.
    pub(super) stop: AtomicBool,
    /// How many operations went well.
    pub(super) succeeded: AtomicU64,
    /// How many failed.
    pub(super) failed: AtomicU64,
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// When a measurement begins and ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) begin: Instant,
    pub(super) end: Option<Instant>,
}

/// When a thread's operations are to begin, after the measurement has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    first: Duration,
    interval: Duration,
}

impl Pace {
    /// The share of the `nth` of so many threads in `rate` operations per second.
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

    /// How many are due before so much time has passed.
    fn due_within(&self, time: Duration) -> u64 {
        match time.checked_sub(self.first) {
            None | Some(Duration::ZERO) => 0,
            Some(rest) => (rest.as_secs_f64() / self.interval.as_secs_f64()).ceil() as u64,
        }
    }
}

/// A rate may be so low that the next operation is due in a distant age.
fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.min(A_DISTANT_AGE))
}

/// What a thread is allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// How many operations in all; none: until the window's end.
    pub(super) quota: Option<u64>,
    /// When they are to begin; none: as soon as a lane is free.
    pub(super) pace: Option<Pace>,
}

/// Hands out beginnings to the lanes of a thread, each of which does one thing after the other.
#[derive(Debug)]
pub(super) struct Schedule {
    allowance: Allowance,
    window: Window,
    shared: Arc<Shared>,
    /// Only the first in the row of those that wait for their turn looks at the clock.
    turnstile: Semaphore,
    timer: Timer,
    begun: Cell<u64>,
    late: Cell<u64>,
    ended: Cell<Option<Instant>>,
}

impl Schedule {
    /// For the runtime that this is called in.
    ///
    /// # Errors
    /// When the system gives no timer.
    pub(super) fn new(
        allowance: Allowance,
        window: Window,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        Ok(Self {
            allowance,
            window,
            shared,
            turnstile: Semaphore::new(1),
            timer: Timer::new()?,
            begun: Cell::new(0),
            late: Cell::new(0),
            ended: Cell::new(None),
        })
    }

    /// When the next operation begins, or was to have begun; none when the measurement is over.
    /// With a rate this is when it was due, whether or not a lane was free then, so that no latency
    /// leaves out the time in which it was waited for others.
    pub(super) async fn next(&self) -> Option<Instant> {
        let begin = match &self.allowance.pace {
            None => self.now(),
            Some(pace) => self.turn(pace).await,
        };
        match begin {
            Some(_) => self.begun.set(self.begun.get() + 1),
            None => self.end(),
        }
        begin
    }

    /// Ends it before its time.
    pub(super) fn end(&self) {
        let now = Instant::now();
        let end = self.window.end.map_or(now, |end| end.min(now));
        self.ended.set(self.ended.get().or(Some(end)));
    }

    /// Says to the one that watches how many went well and how many failed so far.
    pub(super) fn show(&self, succeeded: u64, failed: u64) {
        self.shared.succeeded.store(succeeded, Ordering::Relaxed);
        self.shared.failed.store(failed, Ordering::Relaxed);
    }

    /// How many operations found no free lane when they were due.
    pub(super) fn late(&self) -> u64 {
        self.late.get()
    }

    /// How many were due before the end, but had not begun by then.
    pub(super) fn unsent(&self) -> u64 {
        let (Some(pace), Some(ended)) = (self.allowance.pace, self.ended.get()) else {
            return 0;
        };
        let due = pace.due_within(ended - self.window.begin);
        let due = self.allowance.quota.map_or(due, |quota| due.min(quota));
        due.saturating_sub(self.begun.get())
    }

    fn now(&self) -> Option<Instant> {
        let now = Instant::now();
        self.goes_on(now).then_some(now)
    }

    fn goes_on(&self, now: Instant) -> bool {
        let enough = |quota| self.begun.get() >= quota;
        self.ended.get().is_none()
            && !self.shared.is_stopped()
            && self.window.end.is_none_or(|end| now < end)
            && !self.allowance.quota.is_some_and(enough)
    }

    async fn turn(&self, pace: &Pace) -> Option<Instant> {
        // It is never closed.
        let _first = self.turnstile.acquire().await.ok()?;
        let due = self.window.begin + pace.after(self.begun.get());
        let mut now = Instant::now();
        self.goes_on(now.max(due)).then_some(())?;
        self.late.set(self.late.get() + u64::from(now > due + LATE));
        while now < due {
            self.timer.wait(due.min(now + ATTENTION)).await.ok()?;
            now = Instant::now();
            if self.shared.is_stopped() {
                return None;
            }
        }
        Some(due)
    }
}

/// An operation that begins so long after it was due was held up by others.
const LATE: Duration = Duration::from_millis(1);
/// How long a lane sleeps at most before it looks whether all is over.
const ATTENTION: Duration = Duration::from_millis(100);
/// A hundred years, in seconds.
const A_DISTANT_AGE: f64 = 3.2e9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_the_rate() {
        let paces = [0, 1].map(|nth| Pace::of(100.0, 2, nth));
        let ms = Duration::from_millis;
        assert_eq!(paces.map(|pace| pace.after(1)), [ms(20), ms(30)]);
        let due = |time| paces.map(|pace| pace.due_within(time)).iter().sum::<u64>();
        assert_eq!([0, 5, 25, 1000].map(|time| due(ms(time))), [0, 1, 3, 100]);
        assert!(Pace::of(1e-300, 1, 0).after(1) > ms(1));
    }

    #[tokio::test]
    async fn what_is_held_up_counts_from_when_it_was_due() {
        let begin = Instant::now() - Duration::from_millis(50);
        let end = Some(begin + Duration::from_millis(20));
        let schedule = |end| {
            let allowance = Allowance {
                quota: None,
                pace: Some(Pace::of(1000.0, 1, 0)),
            };
            Schedule::new(allowance, Window { begin, end }, Arc::default()).expect("a timer")
        };
        let open = schedule(None);
        assert_eq!(open.next().await, Some(begin));
        let second = open.next().await.expect("one that is due");
        assert_eq!(second, begin + Duration::from_millis(1));
        assert_eq!(open.late(), 2);
        // It is over: what was due and did not begin is known.
        let over = schedule(end);
        assert_eq!(over.next().await, None);
        assert_eq!(over.unsent(), 20);
    }
}
