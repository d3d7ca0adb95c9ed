//! One thread, one runtime, its share of everything.
//!
//! Each worker has a socket of its own in every listener and never hands a connection to another: what
//! a connection touches stays in the caches of one core, and nothing on its path is waited for.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::connection::Service;
use crate::drain::{Leave, cutting, leave};
use crate::listener::{Accepting, BoundListener, ListenerSettings};

/// The threads that serve clients.
pub struct Workers {
    threads: Vec<Thread>,
    limit: Arc<ConnectionLimit>,
    listeners: Mutex<HashMap<String, Listening>>,
    next_id: AtomicU64,
}

struct Thread {
    commands: mpsc::UnboundedSender<Command>,
    open: Arc<Open>,
    /// Until it is waited for.
    handle: Mutex<Option<JoinHandle<()>>>,
}

/// A listener that is served.
struct Listening {
    /// What the workers know it by.
    id: u64,
    address: SocketAddr,
    settings: Arc<ArcSwap<ListenerSettings>>,
    /// One for each worker.
    places: Vec<Arc<Place>>,
}

enum Command {
    Listen {
        id: u64,
        socket: StdTcpListener,
        address: SocketAddr,
        settings: Arc<ArcSwap<ListenerSettings>>,
        place: Arc<Place>,
    },
    Leave {
        id: u64,
        deadline: Instant,
    },
    Drain {
        deadline: Instant,
        /// Told how many connections were cut.
        done: oneshot::Sender<usize>,
    },
    End,
}

/// A listener cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// There is one of that name.
    #[error("there is a listener `{0}` already")]
    Exists(String),
    /// It was bound for another number of workers.
    #[error("listener `{0}` was bound for {1} workers, but there are {2}")]
    Workers(String, usize, usize),
}

impl Workers {
    /// Starts `count` threads that take at most `max_connections` connections in all. Each makes its
    /// own service, on its own thread and within its runtime.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start<S: Service>(
        count: usize,
        max_connections: usize,
        service: impl Fn(usize) -> S + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let limit = Arc::new(ConnectionLimit::new(max_connections));
        let service = Arc::new(service);
        let threads = (0..count).map(|worker| {
            let service = Arc::clone(&service);
            Thread::start(worker, move || service(worker))
        });
        Ok(Self {
            threads: threads.collect::<io::Result<_>>()?,
            limit,
            listeners: Mutex::default(),
            next_id: AtomicU64::new(0),
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Serves a bound listener.
    ///
    /// # Errors
    /// When a listener of its name is served already, or it was bound for another number of workers.
    pub fn add(&self, bound: BoundListener, settings: ListenerSettings) -> Result<(), AddError> {
        let name = settings.listener.name.clone();
        let address = bound.local_addr();
        let sockets = bound.into_sockets();
        if sockets.len() != self.threads.len() {
            return Err(AddError::Workers(name, sockets.len(), self.threads.len()));
        }
        let mut listeners = self.listeners.lock();
        if listeners.contains_key(&name) {
            return Err(AddError::Exists(name));
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let mut places = Vec::new();
        for (thread, socket) in self.threads.iter().zip(sockets) {
            let place = Arc::new(Place::new(&thread.open, &self.limit));
            places.push(Arc::clone(&place));
            thread.send(Command::Listen {
                id,
                socket,
                address,
                settings: Arc::clone(&settings),
                place,
            });
        }
        let listening = Listening {
            id,
            address,
            settings,
            places,
        };
        listeners.insert(name, listening);
        Ok(())
    }

    /// Gives the listener of the same name other settings, which hold for connections from now on. Its
    /// sockets stay as they are. False: there is none of that name.
    pub fn update(&self, settings: ListenerSettings) -> bool {
        let name = settings.listener.name.clone();
        self.replace(&name, settings)
    }

    /// Makes the listener `old` one of another name and other settings that listens on the same address:
    /// its sockets stay as they are. False: there is no listener `old`, or there is one of the new name.
    pub fn replace(&self, old: &str, settings: ListenerSettings) -> bool {
        let mut listeners = self.listeners.lock();
        let new = settings.listener.name.clone();
        if new != old && listeners.contains_key(&new) {
            return false;
        }
        let Some(listening) = listeners.remove(old) else {
            return false;
        };
        listening.settings.store(Arc::new(settings));
        listeners.insert(new, listening);
        true
    }

    /// Stops to listen, and lets the listener's connections finish what they are at for as long as
    /// `limit`. False: there is none of that name.
    pub fn remove(&self, name: &str, limit: Duration) -> bool {
        let Some(listening) = self.listeners.lock().remove(name) else {
            return false;
        };
        let deadline = Instant::now() + limit;
        let id = listening.id;
        for thread in &self.threads {
            thread.send(Command::Leave { id, deadline });
        }
        true
    }

    /// The address of a listener that is served.
    pub fn local_addr(&self, name: &str) -> Option<SocketAddr> {
        let listeners = self.listeners.lock();
        listeners.get(name).map(|listening| listening.address)
    }

    /// The open connections of each listener that is served, by name.
    pub fn connections(&self) -> Vec<(String, usize)> {
        let listeners = self.listeners.lock();
        let count = |places: &[Arc<Place>]| places.iter().map(|place| place.open()).sum();
        let counts = listeners
            .iter()
            .map(|(name, listening)| (name.clone(), count(&listening.places)));
        let mut counts: Vec<_> = counts.collect();
        counts.sort();
        counts
    }

    /// Changes how many connections there may be in all.
    pub fn set_max_connections(&self, most: usize) {
        self.limit.most.store(most, Ordering::Relaxed);
    }

    /// Stops to listen and resolves when all connections have finished what they were at, at the latest
    /// after `limit`. How many were cut then.
    pub async fn drain(&self, limit: Duration) -> usize {
        self.listeners.lock().clear();
        let deadline = Instant::now() + limit;
        let mut waiting = Vec::new();
        for thread in &self.threads {
            let (done, finished) = oneshot::channel();
            thread.send(Command::Drain { deadline, done });
            waiting.push(finished);
        }
        let mut cut = 0;
        for finished in waiting {
            // A thread that is gone has no connections.
            cut += finished.await.unwrap_or(0);
        }
        cut
    }

    /// Ends the threads, and with them what connections are left. Blocks until they have ended.
    pub fn end(&self) {
        for thread in &self.threads {
            thread.send(Command::End);
        }
        let handles = self
            .threads
            .iter()
            .filter_map(|thread| thread.handle.lock().take());
        for handle in handles {
            if handle.join().is_err() {
                tracing::error!("a worker thread has panicked");
            }
        }
    }
}

impl Thread {
    fn start<S: Service>(
        worker: usize,
        service: impl FnOnce() -> S + Send + 'static,
    ) -> io::Result<Self> {
        // Made here, so that what fails is reported to whoever starts.
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let open = Arc::new(Open::default());
        let own = Arc::clone(&open);
        let handle = std::thread::Builder::new()
            .name(format!("worker-{worker}"))
            .spawn(move || {
                runtime.block_on(async { Worker::new(service(), own).run(inbox).await });
                cutting(|| drop(runtime));
            })?;
        Ok(Self {
            commands,
            open,
            handle: Mutex::new(Some(handle)),
        })
    }

    fn send(&self, command: Command) {
        // A thread that has ended after a drain has nothing to do.
        let _ = self.commands.send(command);
    }
}

/// What runs on a worker's thread.
struct Worker<S> {
    service: S,
    open: Arc<Open>,
    listening: HashMap<u64, Leave>,
    accepting: JoinSet<()>,
}

impl<S: Service> Worker<S> {
    fn new(service: S, open: Arc<Open>) -> Self {
        Self {
            service,
            open,
            listening: HashMap::new(),
            accepting: JoinSet::new(),
        }
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        while let Some(command) = inbox.recv().await {
            match command {
                Command::Listen {
                    id,
                    socket,
                    address,
                    settings,
                    place,
                } => self.listen(id, socket, address, settings, place),
                Command::Leave { id, deadline } => {
                    if let Some(leave) = self.listening.remove(&id) {
                        leave.begin(deadline);
                    }
                }
                Command::Drain { deadline, done } => {
                    // Nobody may be interested any more.
                    let _ = done.send(self.drain(deadline).await);
                }
                Command::End => return,
            }
        }
    }

    fn listen(
        &mut self,
        id: u64,
        socket: StdTcpListener,
        address: SocketAddr,
        settings: Arc<ArcSwap<ListenerSettings>>,
        place: Arc<Place>,
    ) {
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => {
                return tracing::error!(%address, %error, "cannot wait for connections");
            }
        };
        let (leave, leaving) = leave();
        let accepting = Accepting {
            socket,
            address,
            settings,
            service: self.service.clone(),
            place,
            leaving,
        };
        self.accepting.spawn(accepting.run());
        self.listening.insert(id, leave);
    }

    /// How many connections were cut.
    async fn drain(&mut self, deadline: Instant) -> usize {
        for leave in self.listening.values() {
            leave.begin(deadline);
        }
        while self.accepting.join_next().await.is_some() {}
        let open = &self.open;
        let finished = timeout_at(deadline, open.wait_for_none()).await.is_ok();
        if finished {
            0
        } else {
            open.count.load(Ordering::Relaxed)
        }
    }
}

/// The open connections of one worker.
#[derive(Debug, Default)]
struct Open {
    count: AtomicUsize,
    /// Told when the last one ends.
    none: Notify,
}

impl Open {
    async fn wait_for_none(&self) {
        while self.count.load(Ordering::Relaxed) > 0 {
            self.none.notified().await;
        }
    }
}

/// Where connections of one listener on one worker are counted.
#[derive(Debug)]
pub(crate) struct Place {
    count: AtomicUsize,
    worker: Arc<Open>,
    limit: Arc<ConnectionLimit>,
}

impl Place {
    fn new(worker: &Arc<Open>, limit: &Arc<ConnectionLimit>) -> Self {
        Self {
            count: AtomicUsize::new(0),
            worker: Arc::clone(worker),
            limit: Arc::clone(limit),
        }
    }

    /// The limit of all connections.
    pub(crate) fn limit(&self) -> &ConnectionLimit {
        &self.limit
    }

    fn open(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn enter(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.worker.count.fetch_add(1, Ordering::Relaxed);
        self.limit.open.fetch_add(1, Ordering::Relaxed);
    }

    fn exit(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.limit.open.fetch_sub(1, Ordering::Relaxed);
        if self.worker.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.worker.none.notify_one();
        }
    }
}

/// How many connections there are and may be, in all listeners of all workers.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    open: AtomicUsize,
    most: AtomicUsize,
}

impl ConnectionLimit {
    fn new(most: usize) -> Self {
        Self {
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(most),
        }
    }

    /// Whether no more should be accepted. Workers that ask at the same moment may exceed the limit by
    /// one each.
    fn is_full(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.most.load(Ordering::Relaxed)
    }

    /// Waits until another connection may be accepted. Those that wait are in the kernel's queue.
    pub(crate) async fn wait_for_room(&self) {
        while self.is_full() {
            sleep(FULL_PAUSE).await;
        }
    }
}

/// How often a full balancer looks whether it still is: waking the acceptors of all workers at each
/// connection's end would cost more when it matters most.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// A connection that counts, until this is dropped: with the connection's last byte, also where a tunnel
/// outlives its requests.
pub(crate) struct Admission<S: Service> {
    service: S,
    listener: Arc<config::Listener>,
    place: Arc<Place>,
}

impl<S: Service> Admission<S> {
    pub(crate) fn new(service: S, listener: Arc<config::Listener>, place: Arc<Place>) -> Self {
        place.enter();
        service.connection(&listener, true);
        Self {
            service,
            listener,
            place,
        }
    }
}

/// Nothing of it is ever pinned.
impl<S: Service> Unpin for Admission<S> {}

impl<S: Service> Drop for Admission<S> {
    fn drop(&mut self) {
        self.place.exit();
        self.service.connection(&self.listener, false);
    }
}

#[cfg(test)]
mod tests;
