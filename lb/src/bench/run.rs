//! A measurement from its first to its last connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::client::Profiles;
use super::exchange::Endpoint;
use super::plan::{End, InvalidPlan, Plan};
use super::process::{NoProcess, Watch};
use super::report::Report;
use super::worker::{Finished, Pace, Shared, Window, Worker};

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
    /// Handshakes that went well.
    pub succeeded: u64,
    /// Connections that failed.
    pub failed: u64,
}

/// Carries out `plan`, calling `show` a few times per second. When `stop` is done before it, what is
/// open is brought to its end, and what there is gets reported.
///
/// # Errors
/// When the plan cannot be carried out. That connections fail is no error but a result.
pub async fn run(
    plan: Plan,
    stop: impl Future<Output = ()>,
    show: impl Fn(Progress),
) -> Result<Report, Broken> {
    let plan = plan.checked()?;
    plan.pid.map(Watch::new).transpose()?;
    let mut stop = Stop {
        future: std::pin::pin!(stop),
        done: false,
    };
    let mut crew = Crew::hire(&plan)?;
    crew.ready(&mut stop).await?;
    let mut server = plan.pid.map(Watch::new).transpose()?;
    let begin = Instant::now();
    crew.begin(begin, plan.end);
    let finished = crew.work(&mut stop, |progress| {
        server.iter_mut().for_each(Watch::sample);
        show(progress);
    });
    let finished = finished.await?;
    let elapsed = begin.elapsed();
    server.iter_mut().for_each(Watch::sample);
    let usage = server.map(|server| server.usage());
    Ok(Report::new(&plan, elapsed, stop.done, finished, usage))
}

/// The threads that open connections.
struct Crew {
    shared: Vec<Arc<Shared>>,
    start: watch::Sender<Option<Window>>,
    events: mpsc::UnboundedReceiver<Event>,
    begun: Instant,
}

enum Event {
    /// A thread has its sessions to resume.
    Ready,
    /// A thread has ended.
    Ended(io::Result<Box<Finished>>),
}

impl Crew {
    fn hire(plan: &Plan) -> Result<Self, Broken> {
        let (start, begin) = watch::channel(None);
        let (tell, events) = mpsc::unbounded_channel();
        let endpoint = Arc::new(endpoint(plan));
        let mut shared = Vec::with_capacity(plan.threads);
        for index in 0..plan.threads {
            let worker = worker(plan, index, &endpoint, begin.clone())?;
            shared.push(worker.shared.clone());
            let tell = tell.clone();
            let thread = std::thread::Builder::new().name(format!("bench-{index}"));
            thread.spawn(move || {
                let ready = tell.clone();
                let ended = worker.run(move || drop(ready.send(Event::Ready)));
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

    /// Waits until all threads have their sessions to resume.
    async fn ready<F: Future<Output = ()>>(&mut self, stop: &mut Stop<'_, F>) -> io::Result<()> {
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
    async fn work<F: Future<Output = ()>>(
        &mut self,
        stop: &mut Stop<'_, F>,
        mut look: impl FnMut(Progress),
    ) -> io::Result<Vec<Finished>> {
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

/// What a thread is to do: its share of connections, of their number, and of their rate.
fn worker(
    plan: &Plan,
    index: usize,
    endpoint: &Arc<Endpoint>,
    start: watch::Receiver<Option<Window>>,
) -> Result<Worker, InvalidPlan> {
    let (threads, nth) = (plan.threads as u64, index as u64);
    let connections = part(plan.concurrency as u64, threads, nth) as usize;
    let quota = match plan.end {
        End::Count(count) => Some(part(count, threads, nth)),
        End::After(_) => None,
    };
    Ok(Worker {
        endpoint: endpoint.clone(),
        profiles: Profiles::new(plan, connections)?,
        connections,
        resume: plan.resume.fraction(),
        quota,
        pace: plan.rate.map(|rate| Pace::of(rate, threads, nth)),
        shared: Arc::default(),
        start,
    })
}

/// The `nth` of `parts` parts of `whole`, which differ by one at most.
fn part(whole: u64, parts: u64, nth: u64) -> u64 {
    whole / parts + u64::from(nth < whole % parts)
}

fn endpoint(plan: &Plan) -> Endpoint {
    Endpoint {
        address: plan.address,
        server_name: plan.server_name.clone(),
        request: plan.request.as_ref().map(|path| request(path, plan)),
        timeout: plan.timeout,
    }
}

fn request(path: &str, plan: &Plan) -> Vec<u8> {
    let host = match &plan.server_name {
        ServerName::DnsName(name) => name.as_ref().to_owned(),
        _ => plan.address.to_string(),
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: sealgate-bench/{}\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    )
    .into_bytes()
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
