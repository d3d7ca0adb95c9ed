//! A target's connections: kept by the worker that uses them, limited for all workers together.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use config::TargetLimits;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};

use super::connect::Dial;
use super::http1::{Connection, Left};
use crate::error::{End, ProxyError};
use crate::metrics::Sharded;

/// The connections to one target.
#[derive(Debug)]
pub struct Pool {
    slots: Arc<Slots>,
    /// Per worker.
    idle: Sharded<Mutex<Shelf>>,
    most_idle: usize,
    idle_timeout: Duration,
    connect_timeout: Duration,
    response_timeout: Duration,
}

/// A connection that waits for its next request.
#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// The connections of one worker that wait.
#[derive(Debug, Default)]
struct Shelf {
    /// The one used last at the end.
    idle: Vec<Idle>,
    /// The task that looks after them, as long as there are any.
    keeper: Option<Waker>,
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
            response_timeout: limits.response_timeout,
        }
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.slots.open.load(Ordering::Relaxed)
    }

    /// The connection that `worker` used last, if it still has one. `sure`: one that the target has not
    /// closed by now, for a request that could not be sent again.
    pub fn take(&self, worker: usize, sure: bool) -> Option<Connection> {
        let mut shelf = self.idle.shard(worker).lock();
        while let Some(idle) = shelf.idle.pop() {
            if idle.since.elapsed() < self.idle_timeout
                && let Some(connection) = idle.check()
                && (!sure || connection.is_quiet())
            {
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
        let stream = dial.connect(Some(slot)).await?;
        Ok(Connection::new(stream, self.response_timeout))
    }

    /// The same, but never one that has served a request: for one that has met a closed one already.
    ///
    /// # Errors
    /// As above.
    pub async fn connect_anew(&self, dial: &Dial) -> Result<Connection, ProxyError> {
        let connection = self.connect(dial).await?;
        if !connection.reused {
            return Ok(connection);
        }
        let stream = dial.connect(connection.into_slot()).await?;
        Ok(Connection::new(stream, self.response_timeout))
    }

    /// Gives a connection back whose answer was read. Where the request is not sent yet, that is waited
    /// for in the background, but not for long: its target has answered before the request was whole.
    pub fn give_back(self: &Arc<Self>, worker: usize, left: Left) {
        match left {
            Left::Free(connection) => self.keep(worker, connection),
            Left::Sending(sending) => {
                let pool = self.clone();
                tokio::spawn(async move {
                    if let Ok(Some(connection)) = timeout(LINGER, sending.finish()).await {
                        pool.keep(worker, connection);
                    }
                });
            }
            Left::Spent => {}
        }
    }

    fn keep(self: &Arc<Self>, worker: usize, mut connection: Connection) {
        connection.reused = true;
        let Some(connection) = self.slots.hand_on(connection) else {
            return;
        };
        let mut shelf = self.idle.shard(worker).lock();
        if shelf.idle.len() >= self.most_idle {
            return connection.close();
        }
        let mut idle = Idle {
            connection,
            since: Instant::now(),
        };
        let kept = match &shelf.keeper {
            Some(keeper) => idle.is_quiet(&mut Context::from_waker(keeper)),
            None => {
                // It looks at all there are before it waits.
                shelf.keeper = Some(Waker::noop().clone());
                self.keep_watch(worker);
                true
            }
        };
        if !kept {
            return;
        }
        shelf.idle.push(idle);
        drop(shelf);
        // One who began to wait in the meantime has looked too early.
        if self.slots.waiting.load(Ordering::SeqCst) > 0
            && let Some(connection) = self.take(worker, false)
        {
            self.keep(worker, connection);
        }
    }

    /// Closes what its target has closed, or what is idle for too long, for as long as anything is idle. One
    /// task per worker and target, on the worker's own thread.
    fn keep_watch(self: &Arc<Self>, worker: usize) {
        let pool = Arc::downgrade(self);
        let pause = (self.idle_timeout / 2).max(SWEEP);
        tokio::spawn(async move {
            let mut timer = pin!(sleep(pause));
            poll_fn(|cx| {
                let Some(pool) = pool.upgrade() else {
                    return Poll::Ready(());
                };
                poll_timer(timer.as_mut(), pause, cx);
                match pool.sweep(worker, cx) {
                    true => Poll::Pending,
                    false => Poll::Ready(()),
                }
            })
            .await;
        });
    }

    /// Whether anything is left.
    fn sweep(&self, worker: usize, cx: &mut Context<'_>) -> bool {
        let mut shelf = self.idle.shard(worker).lock();
        let over =
            |idle: &mut Idle| idle.since.elapsed() >= self.idle_timeout || !idle.is_quiet(cx);
        for idle in shelf.idle.extract_if(.., over) {
            idle.connection.close();
        }
        let any = !shelf.idle.is_empty();
        shelf.keeper = any.then(|| cx.waker().clone());
        any
    }

    /// What comes of it is open for sure: the request may be one that cannot be sent again.
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
                Ok(Ok(Grant::Connection(mut connection))) => {
                    let mut cx = Context::from_waker(Waker::noop());
                    if connection.poll_quiet(&mut cx) && connection.is_quiet() {
                        return Ok(Grant::Connection(connection));
                    }
                }
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
        for shelf in self.idle.iter() {
            while let Some(idle) = shelf.lock().idle.pop() {
                if let Some(connection) = idle.check()
                    && connection.is_quiet()
                {
                    return Some(connection);
                }
            }
        }
        None
    }
}

impl Idle {
    /// Whether it can take another request; `cx` is woken when it no longer can.
    fn is_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        self.connection.poll_quiet(cx)
    }

    /// The connection, if it can take another request.
    fn check(mut self) -> Option<Connection> {
        let mut cx = Context::from_waker(Waker::noop());
        self.is_quiet(&mut cx).then_some(self.connection)
    }
}

/// Has `timer` wake the task every `pause`.
fn poll_timer(mut timer: Pin<&mut Sleep>, pause: Duration, cx: &mut Context<'_>) {
    while timer.as_mut().poll(cx).is_ready() {
        timer.as_mut().reset(Instant::now() + pause);
    }
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::task::consume_budget;
    use tokio::task::coop::has_budget_remaining;

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
        let first = pool.connect(&dial).await.unwrap();
        let second = pool.connect(&dial).await.unwrap();
        let marks = [first.local_addr(), second.local_addr()];
        pool.give_back(0, Left::Free(first));
        pool.give_back(0, Left::Free(second));
        for mark in marks.iter().rev() {
            let taken = pool.take(0, false).unwrap();
            assert!(taken.reused && taken.local_addr() == *mark);
        }
        assert!(pool.take(0, false).is_none());
    }

    #[tokio::test]
    async fn one_who_waits_gets_what_is_given_back() {
        let (_listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(1, 9), 2));
        let only = pool.connect(&dial).await.unwrap();
        let waiting = tokio::spawn({
            let (pool, dial) = (pool.clone(), dial.clone());
            async move { pool.connect(&dial).await }
        });
        while pool.slots.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        pool.give_back(1, Left::Free(only));
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
        let connection = pool.connect(&dial).await.unwrap();
        pool.give_back(0, Left::Free(connection));
        tokio::time::pause();
        // Nobody asks for it: the sweep closes it.
        while pool.open() > 0 {
            sleep(SECOND * 10).await;
        }
        assert!(pool.take(0, false).is_none());
    }

    #[tokio::test]
    async fn a_worker_with_none_takes_anothers_where_there_may_be_no_more() {
        let (_listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(1, 9), 2));
        let only = pool.connect(&dial).await.unwrap();
        pool.give_back(0, Left::Free(only));
        assert!(pool.take(1, false).is_none());
        assert!(pool.connect(&dial).await.unwrap().reused);
    }

    #[tokio::test]
    async fn no_more_are_kept_than_allowed() {
        let (_listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(9, 1), 1));
        let first = pool.connect(&dial).await.unwrap();
        let second = pool.connect(&dial).await.unwrap();
        pool.give_back(0, Left::Free(first));
        pool.give_back(0, Left::Free(second));
        assert!(pool.take(0, false).is_some());
        assert!(pool.take(0, false).is_none());
    }

    #[tokio::test]
    async fn a_closed_connection_is_not_taken() {
        let (listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(9, 9), 1));
        let connection = pool.connect(&dial).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        pool.give_back(0, Left::Free(connection));
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
            let connection = pool.connect(&dial).await.unwrap();
            let (stream, _) = listener.accept().unwrap();
            pool.give_back(0, Left::Free(connection));
            if closed {
                drop(stream);
            }
            // Nothing has been awaited: the runtime knows of nothing.
            assert_eq!(pool.take(0, true).is_none(), closed);
        }
    }

    #[tokio::test]
    async fn nor_is_it_where_there_may_be_no_more() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let dial = Dial::new(listener.local_addr().unwrap(), SECOND, None);
        let pool = Arc::new(Pool::new(&limits(1, 9), 2));
        let connection = pool.connect(&dial).await.unwrap();
        let (stream, _) = listener.accept().unwrap();
        pool.give_back(0, Left::Free(connection));
        drop(stream);
        assert!(!pool.connect(&dial).await.unwrap().reused);
    }

    #[tokio::test]
    async fn a_new_one_takes_the_place_of_one_that_is_free() {
        let (_listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(1, 9), 1));
        let only = pool.connect(&dial).await.unwrap();
        pool.give_back(0, Left::Free(only));
        let new = pool.connect_anew(&dial).await.unwrap();
        assert!(!new.reused);
        assert_eq!(pool.open(), 1);
        drop(new);
        assert_eq!(pool.open(), 0);
    }

    #[tokio::test]
    async fn what_came_unasked_for_is_seen_at_the_end_of_a_turn() {
        let (listener, dial) = target().await;
        let pool = Arc::new(Pool::new(&limits(9, 9), 1));
        let mut connection = pool.connect(&dial).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(connection.poll_quiet(&mut cx));
        stream.write_all(b"HTTP/1.1 408 Late").await.unwrap();
        connection.readable().await;
        poll_fn(|cx| {
            while has_budget_remaining() {
                let _ = pin!(consume_budget()).poll(cx);
            }
            assert!(!connection.poll_quiet(cx));
            Poll::Ready(())
        })
        .await;
    }
}
