//! The threads of a measurement, from their start to what they bring back.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::plan::{End, InvalidPlan};
use super::process::{NoProcess, Usage, Watch};
use super::schedule::{Shared, Window};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The plan cannot be carried out.
    #[error(transparent)]
    Plan(#[from] InvalidPlan),
    /// The server's process cannot be watched.
    #[error(transparent)]
    Process(#[from] NoProcess),
    /// The system gave no thread or no runtime.
    #[error("cannot start the threads of the load generator: {0}")]
    System(#[from] io::Error),
}

/// How far a measurement is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// How long it has been going on.
    pub elapsed: Duration,
    /// Handshakes or requests that went well.
    pub succeeded: u64,
    /// Those that failed.
    pub failed: u64,
}

/// What one thread is to do.
pub(super) trait Duty: Send + 'static {
    /// What it brings back.
    type Finished: Send + 'static;

    /// What it shares with the one that watches.
    fn shared(&self) -> Arc<Shared>;

    /// Does it, on the calling thread; says `ready` when it has what it needs to begin, and waits
    /// for `start`.
    ///
    /// # Errors
    /// When the system gives no runtime.
    fn work(self, start: Start, ready: impl FnOnce()) -> io::Result<Self::Finished>;
}

/// When a measurement begins and ends, once that is known.
pub(super) struct Start(watch::Receiver<Option<Window>>);

impl Start {
    /// Waits for the beginning; none: it will not come.
    pub(super) async fn window(mut self) -> Option<Window> {
        let begun = self.0.wait_for(Option::is_some).await;
        begun.ok().and_then(|window| *window)
    }
}

/// What all threads together are to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    /// When it is over.
    pub(super) end: End,
    /// The process to be watched.
    pub(super) pid: Option<u32>,
}

/// What came of it.
pub(super) struct Outcome<F> {
    /// From the beginning to the end of the last operation.
    pub(super) elapsed: Duration,
    /// Whether it was ended before its time.
    pub(super) interrupted: bool,
    /// What each thread brought back.
    pub(super) finished: Vec<F>,
    /// What the watched process used.
    pub(super) usage: Option<Usage>,
}

/// Has each of `duties` done by a thread of its own, calling `show` a few times per second. When
/// `stop` is done before, what is open is brought to its end.
///
/// # Errors
/// When there is no such process to watch, or the system gives no threads.
pub(super) async fn carry_out<D: Duty>(
    order: Order,
    duties: Vec<D>,
    stop: impl Future<Output = ()>,
    show: impl Fn(Progress),
) -> Result<Outcome<D::Finished>, Broken> {
    let watched = || order.pid.map(Watch::new).transpose();
    watched()?;
    let mut stop = Stop {
        future: std::pin::pin!(stop),
        done: false,
    };
    let mut crew = Crew::hire(duties)?;
    crew.ready(&mut stop).await?;
    let mut server = watched()?;
    let begin = Instant::now();
    crew.begin(begin, order.end);
    let finished = crew.work(&mut stop, |progress| {
        server.iter_mut().for_each(Watch::sample);
        show(progress);
    });
    let finished = finished.await?;
    let elapsed = begin.elapsed();
    server.iter_mut().for_each(Watch::sample);
    Ok(Outcome {
        elapsed,
        interrupted: stop.done,
        finished,
        usage: server.map(|server| server.usage()),
    })
}

struct Crew<F> {
    shared: Vec<Arc<Shared>>,
    start: watch::Sender<Option<Window>>,
    events: mpsc::UnboundedReceiver<Event<F>>,
    begun: Instant,
}

enum Event<F> {
    /// A thread has what it needs to begin.
    Ready,
    /// A thread has ended.
    Ended(io::Result<Box<F>>),
}

impl<F: Send + 'static> Crew<F> {
    fn hire<D: Duty<Finished = F>>(duties: Vec<D>) -> io::Result<Self> {
        let (start, begin) = watch::channel(None);
        let (tell, events) = mpsc::unbounded_channel();
        let shared = duties.iter().map(Duty::shared).collect();
        for (index, duty) in duties.into_iter().enumerate() {
            let (tell, start) = (tell.clone(), Start(begin.clone()));
            let thread = std::thread::Builder::new().name(format!("bench-{index}"));
            thread.spawn(move || {
                let ready = tell.clone();
                let ended = duty.work(start, move || drop(ready.send(Event::Ready)));
                // Nobody listens any more only if the measurement was given up.
                let _ = tell.send(Event::Ended(ended.map(Box::new)));
            })?;
        }
        Ok(Self {
            shared,
            start,
            events,
            begun: Instant::now(),
        })
    }

    /// Waits until all threads have what they need.
    async fn ready<S: Future<Output = ()>>(&mut self, stop: &mut Stop<'_, S>) -> io::Result<()> {
        let mut waiting = self.shared.len();
        while waiting > 0 {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(Event::Ready) => waiting -= 1,
                    Some(Event::Ended(ended)) => drop(ended?),
                    None => return Err(died()),
                },
                () = stop.called() => self.stop(),
            }
        }
        Ok(())
    }

    fn begin(&mut self, begin: Instant, end: End) {
        self.begun = begin;
        let end = match end {
            End::After(duration) => Some(begin + duration),
            End::Count(_) => None,
        };
        self.start.send_replace(Some(Window { begin, end }));
    }

    /// Waits until all threads have ended.
    async fn work<S: Future<Output = ()>>(
        &mut self,
        stop: &mut Stop<'_, S>,
        mut look: impl FnMut(Progress),
    ) -> io::Result<Vec<F>> {
        let mut finished = Vec::new();
        let mut clock = interval(LOOK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while finished.len() < self.shared.len() {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(Event::Ended(ended)) => finished.push(*ended?),
                    Some(Event::Ready) => {}
                    None => return Err(died()),
                },
                _ = clock.tick() => look(self.progress()),
                () = stop.called() => self.stop(),
            }
        }
        Ok(finished)
    }

    fn progress(&self) -> Progress {
        let sum = |count: fn(&Shared) -> u64| self.shared.iter().map(|shared| count(shared)).sum();
        Progress {
            elapsed: self.begun.elapsed(),
            succeeded: sum(|shared| shared.succeeded.load(Ordering::Relaxed)),
            failed: sum(|shared| shared.failed.load(Ordering::Relaxed)),
        }
    }

    fn stop(&self) {
        for shared in &self.shared {
            shared.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// The wish to end early, which is uttered once.
struct Stop<'a, F> {
    future: Pin<&'a mut F>,
    done: bool,
}

impl<F: Future<Output = ()>> Stop<'_, F> {
    /// Done when the wish is uttered, and never again.
    async fn called(&mut self) {
        if self.done {
            return std::future::pending().await;
        }
        self.future.as_mut().await;
        self.done = true;
    }
}

/// The `nth` of `parts` parts of `whole`, which differ by one at most.
pub(super) fn part(whole: u64, parts: u64, nth: u64) -> u64 {
    whole / parts + u64::from(nth < whole % parts)
}

fn died() -> io::Error {
    io::Error::other("a thread ended before its time")
}

/// How often to look at the server's accounts, and to show how far it is.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_make_up_the_whole() {
        let parts: Vec<_> = (0..3).map(|nth| part(11, 3, nth)).collect();
        assert_eq!(parts, [4, 4, 3]);
        assert_eq!(part(1, 2, 1), 0);
    }
}
