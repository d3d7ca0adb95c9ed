//! A target's connections: kept by the worker that uses them, limited for all workers together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use config::TargetLimits;
use hyper::client::conn::http1::{self, SendRequest};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::connect::{Dial, Wire};
use super::request_body::RequestBody;
use crate::error::{End, ProxyError};
use crate::metrics::Sharded;

/// The connections to one target.
#[derive(Debug)]
pub struct Pool {
    slots: Arc<Slots>,
    /// Per worker, the one used last at the end.
    idle: Sharded<Mutex<Vec<Idle>>>,
    most_idle: usize,
    idle_timeout: Duration,
    connect_timeout: Duration,
}

/// A connection that waits for its next request.
#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection to a target that serves one request at a time.
#[derive(Debug)]
pub struct Connection {
    /// Takes the request.
    pub sender: SendRequest<RequestBody>,
    /// What has come over it.
    pub wire: Arc<Wire>,
    /// Whether it has served a request before.
    pub reused: bool,
    task: AbortHandle,
}

impl Connection {
    /// Whether it can take another request.
    pub fn is_free(&self) -> bool {
        self.sender.is_ready() && !self.sender.is_closed()
    }
}

impl Drop for Connection {
    /// A connection that is given up in the midst of a message is cut, so that neither side goes on.
    fn drop(&mut self) {
        if !self.sender.is_ready() {
            self.task.abort();
        }
    }
}

impl Pool {
    /// An empty pool for `workers` worker threads.
    pub fn new(limits: &TargetLimits, workers: usize) -> Self {
        Self {
            slots: Arc::new(Slots {
                limit: limits.max_connections.max(1),
                open: AtomicUsize::new(0),
                waiting: AtomicUsize::new(0),
                queue: Mutex::default(),
            }),
            idle: Sharded::new(workers),
            most_idle: limits.max_idle_connections,
            idle_timeout: limits.idle_timeout,
            connect_timeout: limits.connect_timeout,
        }
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.slots.open.load(Ordering::Relaxed)
    }

    /// The connection that `worker` used last, if it still has one. `sure`: one that the target has not
    /// closed by now, for a request that could not be sent again.
    pub fn take(&self, worker: usize, sure: bool) -> Option<Connection> {
        let mut idle = self.idle.shard(worker).lock();
        while let Some(Idle { connection, since }) = idle.pop() {
            let kept = connection.is_free() && since.elapsed() < self.idle_timeout;
            if kept && (!sure || connection.wire.is_quiet()) {
                return Some(connection);
            }
        }
        None
    }

    /// A new connection, as soon as one may be made; or one that another request is done with, where
    /// `max_connections` is reached.
    ///
    /// # Errors
    /// When none is free in time, or the target cannot be connected to.
    pub async fn connect(&self, dial: &Dial) -> Result<Connection, ProxyError> {
        let slot = match self.slots.try_take() {
            Some(slot) => slot,
            None => match self.wait(dial).await? {
                Grant::Slot(slot) => slot,
                Grant::Connection(connection) => return Ok(connection),
            },
        };
        open(dial, slot).await
    }

    /// Gives a connection back. One that is not free yet is waited for in the background, but not for
    /// long: its target answered before the request was whole.
    pub fn give_back(self: &Arc<Self>, worker: usize, mut connection: Connection) {
        connection.reused = true;
        if connection.is_free() {
            self.keep(worker, connection);
        } else if !connection.sender.is_closed() {
            let pool = self.clone();
            tokio::spawn(async move {
                let ready = timeout_at(Instant::now() + LINGER, connection.sender.ready()).await;
                if matches!(ready, Ok(Ok(()))) {
                    pool.keep(worker, connection);
                }
            });
        }
    }

    fn keep(self: &Arc<Self>, worker: usize, connection: Connection) {
        let Some(connection) = self.slots.hand_on(connection) else {
            return;
        };
        let mut idle = self.idle.shard(worker).lock();
        if idle.len() >= self.most_idle {
            return;
        }
        let first = idle.is_empty();
        idle.push(Idle {
            connection,
            since: Instant::now(),
        });
        drop(idle);
        if first {
            self.sweep_later(worker);
        }
        // One who began to wait in the meantime has looked too early.
        if self.slots.waiting.load(Ordering::SeqCst) > 0
            && let Some(connection) = self.take(worker, false)
        {
            self.keep(worker, connection);
        }
    }

    /// Closes what is idle for too long, for as long as anything is idle. One task per worker and target,
    /// on the worker's own thread.
    fn sweep_later(self: &Arc<Self>, worker: usize) {
        let pool = Arc::downgrade(self);
        let pause = (self.idle_timeout / 2).max(SWEEP);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(pool) = pool.upgrade() else { return };
                if !pool.sweep(worker) {
                    return;
                }
            }
        });
    }

    /// Whether anything is left.
    fn sweep(&self, worker: usize) -> bool {
        let mut idle = self.idle.shard(worker).lock();
        idle.retain(|idle| idle.connection.is_free() && idle.since.elapsed() < self.idle_timeout);
        !idle.is_empty()
    }

    async fn wait(&self, dial: &Dial) -> Result<Grant, ProxyError> {
        let deadline = Instant::now() + self.connect_timeout;
        loop {
            let granted = self.slots.queue();
            if let Some(connection) = self.take_from_any() {
                return Ok(Grant::Connection(connection));
            }
            if let Some(slot) = self.slots.try_take() {
                return Ok(Grant::Slot(slot));
            }
            match timeout_at(deadline, granted).await {
                Ok(Ok(Grant::Connection(connection))) if !connection.is_free() => {}
                Ok(Ok(grant)) => return Ok(grant),
                Ok(Err(_)) | Err(_) => {
                    let limit = self.slots.limit;
                    let detail = format!("{}: {limit} connections are busy", dial.address());
                    return Err(ProxyError::because(End::TargetBusy, detail));
                }
            }
        }
    }

    fn take_from_any(&self) -> Option<Connection> {
        for idle in self.idle.iter() {
            while let Some(Idle { connection, .. }) = idle.lock().pop() {
                if connection.is_free() {
                    return Some(connection);
                }
            }
        }
        None
    }
}

async fn open(dial: &Dial, slot: Slot) -> Result<Connection, ProxyError> {
    let (stream, wire) = dial.connect(Some(slot)).await?;
    let handshake = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_BUFFER)
        .handshake(stream)
        .await;
    let (sender, connection) =
        handshake.map_err(|error| ProxyError::because(End::ConnectFailed, error))?;
    let address = dial.address();
    let task = tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(target = %address, %error, "a connection to a target broke off");
        }
    });
    Ok(Connection {
        sender,
        wire,
        reused: false,
        task: task.abort_handle(),
    })
}

/// How many connections there may be, and who waits for one.
#[derive(Debug)]
struct Slots {
    limit: usize,
    open: AtomicUsize,
    waiting: AtomicUsize,
    queue: Mutex<VecDeque<oneshot::Sender<Grant>>>,
}

/// What one who waits is given.
#[derive(Debug)]
enum Grant {
    Connection(Connection),
    Slot(Slot),
}

/// The right to have one connection open.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) > 0
            && let Some(slot) = self.0.try_take()
        {
            self.0.grant(Grant::Slot(slot));
        }
    }
}

impl Slots {
    fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let more = |open: usize| (open < self.limit).then_some(open + 1);
        let taken = self
            .open
            .try_update(Ordering::SeqCst, Ordering::SeqCst, more);
        taken.is_ok().then(|| Slot(self.clone()))
    }

    /// Queues first and looks for what is free afterwards, so that nothing freed in between is missed.
    fn queue(&self) -> oneshot::Receiver<Grant> {
        let (sender, receiver) = oneshot::channel();
        let mut queue = self.queue.lock();
        // Those who waited longest give up first; others are passed over when it is their turn.
        while queue.front().is_some_and(oneshot::Sender::is_closed) {
            queue.pop_front();
        }
        queue.push_back(sender);
        self.waiting.store(queue.len(), Ordering::SeqCst);
        receiver
    }

    /// The connection, unless somebody waits for it.
    fn hand_on(&self, connection: Connection) -> Option<Connection> {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return Some(connection);
        }
        match self.grant(Grant::Connection(connection)) {
            Some(Grant::Connection(connection)) => Some(connection),
            _ => None,
        }
    }

    /// Gives `grant` to the first who still waits; back, if nobody does.
    fn grant(&self, mut grant: Grant) -> Option<Grant> {
        loop {
            let mut queue = self.queue.lock();
            let first = queue.pop_front();
            self.waiting.store(queue.len(), Ordering::SeqCst);
            drop(queue);
            match first?.send(grant) {
                Ok(()) => return None,
                Err(back) => grant = back,
            }
        }
    }
}

/// How long a connection is waited for whose response is whole and whose request is not.
const LINGER: Duration = Duration::from_secs(1);
/// The shortest time between two looks at what is idle.
const SWEEP: Duration = Duration::from_millis(100);
/// Fields of a target's response.
const MAX_HEADERS: usize = 200;
/// Bytes of the head of a target's response.
const MAX_HEAD: usize = MAX_BUFFER;
/// Bytes that are read ahead of what the client has taken: every client that reads slowly costs as many. A
/// head must fit in.
const MAX_BUFFER: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(most: usize, idle: usize) -> TargetLimits {
        TargetLimits {
            connect_timeout: SECOND,
            response_timeout: SECOND,
            max_connections: most,
            max_idle_connections: idle,
            idle_timeout: SECOND * 60,
        }
    }

    /// A target that takes connections and says nothing.
    async fn target() -> (TcpListener, Dial) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dial = Dial::new(listener.local_addr().unwrap(), SECOND, None);
        (listener, dial)
    }

    #[tokio::test]
    async fn the_last_used_connection_is_taken_first() {
        let (_listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(9, 9), 1));
        let mut first = pool.connect(&dial).await.unwrap();
        let mut second = pool.connect(&dial).await.unwrap();
        first.sender.ready().await.unwrap();
        second.sender.ready().await.unwrap();
        let marks = [first.wire.clone(), second.wire.clone()];
        pool.give_back(0, first);
        pool.give_back(0, second);
        for mark in marks.iter().rev() {
            let taken = pool.take(0, false).unwrap();
            assert!(taken.reused && Arc::ptr_eq(&taken.wire, mark));
        }
        assert!(pool.take(0, false).is_none());
    }

    #[tokio::test]
    async fn one_who_waits_gets_what_is_given_back() {
        let (_listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(1, 9), 2));
        let mut only = pool.connect(&dial).await.unwrap();
        only.sender.ready().await.unwrap();
        let waiting = tokio::spawn({
            let (pool, dial) = (pool.clone(), dial.clone());
            async move { pool.connect(&dial).await }
        });
        while pool.slots.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        pool.give_back(1, only);
        let handed = waiting.await.unwrap().unwrap();
        assert!(handed.reused);
        assert_eq!(pool.open(), 1);
    }

    #[tokio::test]
    async fn one_who_waits_gets_the_place_of_a_closed_connection() {
        let (_listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(1, 9), 1));
        let only = pool.connect(&dial).await.unwrap();
        let (closed, connected) = tokio::join!(
            async {
                while pool.slots.waiting.load(Ordering::SeqCst) == 0 {
                    tokio::task::yield_now().await;
                }
                drop(only);
            },
            pool.connect(&dial)
        );
        let () = closed;
        assert!(!connected.unwrap().reused);
    }

    #[tokio::test]
    async fn waiting_has_an_end() {
        let (_listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(1, 9), 1));
        let _only = pool.connect(&dial).await.unwrap();
        tokio::time::pause();
        let error = pool.connect(&dial).await.unwrap_err();
        assert_eq!(error.end, End::TargetBusy);
    }

    #[tokio::test]
    async fn what_is_idle_for_too_long_is_closed() {
        let (_listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(9, 9), 1));
        let mut connection = pool.connect(&dial).await.unwrap();
        connection.sender.ready().await.unwrap();
        pool.give_back(0, connection);
        tokio::time::pause();
        // Nobody asks for it: the sweep closes it.
        while pool.open() > 0 {
            tokio::time::sleep(SECOND * 10).await;
        }
        assert!(pool.take(0, false).is_none());
    }

    #[tokio::test]
    async fn a_worker_with_none_takes_anothers_where_there_may_be_no_more() {
        let (_listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(1, 9), 2));
        let mut only = pool.connect(&dial).await.unwrap();
        only.sender.ready().await.unwrap();
        pool.give_back(0, only);
        assert!(pool.take(1, false).is_none());
        assert!(pool.connect(&dial).await.unwrap().reused);
    }

    #[tokio::test]
    async fn no_more_are_kept_than_allowed() {
        let (_listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(9, 1), 1));
        let mut first = pool.connect(&dial).await.unwrap();
        let mut second = pool.connect(&dial).await.unwrap();
        first.sender.ready().await.unwrap();
        second.sender.ready().await.unwrap();
        pool.give_back(0, first);
        pool.give_back(0, second);
        assert!(pool.take(0, false).is_some());
        assert!(pool.take(0, false).is_none());
    }

    #[tokio::test]
    async fn a_closed_connection_is_not_taken() {
        let (listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(9, 9), 1));
        let mut connection = pool.connect(&dial).await.unwrap();
        connection.sender.ready().await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        pool.give_back(0, connection);
        drop(stream);
        while pool.open() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(pool.take(0, false).is_none());
    }

    #[tokio::test]
    async fn a_connection_that_is_closed_unnoticed_is_not_taken_for_sure() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let dial = Dial::new(listener.local_addr().unwrap(), SECOND, None);
        let pool = Arc::new(Pool::new(&limits(9, 9), 1));
        for closed in [false, true] {
            let mut connection = pool.connect(&dial).await.unwrap();
            connection.sender.ready().await.unwrap();
            let (stream, _) = listener.accept().unwrap();
            pool.give_back(0, connection);
            if closed {
                drop(stream);
            }
            // Nothing has been awaited: the connection's own task knows of nothing.
            assert_eq!(pool.take(0, true).is_none(), closed);
        }
    }
}
