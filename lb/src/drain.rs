//! Leaving without losing a request.
//!
//! A listener that leaves takes in what waits in its sockets, closes them, and tells its connections.
//! Each finishes what is in flight and says that it closes: `Connection: close` (RFC 9112, section
//! 9.6), or GOAWAY (RFC 9113, section 6.8). A connection between two HTTP/1.1 requests is kept for
//! `GRACE`: the next request may be on its way already, and closing would lose it. At the deadline
//! what is left is cut.

use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// How long a connection without a request waits for one when it should leave.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Tells the connections of one listener on one worker to leave.
#[derive(Debug)]
pub(crate) struct Leave(watch::Sender<Option<Instant>>);

/// A connection's side of it.
#[derive(Debug, Clone)]
pub(crate) struct Leaving(watch::Receiver<Option<Instant>>);

/// Both sides.
pub(crate) fn leave() -> (Leave, Leaving) {
    let (sender, receiver) = watch::channel(None);
    (Leave(sender), Leaving(receiver))
}

impl Leave {
    /// From now on all leave, and are cut at `deadline`. Of several deadlines the first holds.
    pub(crate) fn begin(&self, deadline: Instant) {
        self.0.send_modify(|present| {
            *present = Some(present.map_or(deadline, |present| present.min(deadline)));
        });
    }
}

impl Leaving {
    /// Whether it has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Resolves when it begins.
    pub(crate) async fn begun(&mut self) {
        let begun = self.0.wait_for(Option::is_some).await.is_ok();
        if !begun {
            // The sender is gone with its worker, and so will this connection be.
            pending::<()>().await;
        }
    }

    /// Until when a connection waits for a request that may be on its way: for `GRACE`, or for half of
    /// the time that is left if that is less.
    pub(crate) fn grace(&self) -> Instant {
        let now = Instant::now();
        let left = self.0.borrow().map(|deadline| deadline.duration_since(now));
        now + left.map_or(GRACE, |left| GRACE.min(left / 2))
    }

    /// Resolves when a connection without a request should end: after `limit`, or a while after it begins.
    pub(crate) async fn patience(&mut self, limit: Duration) {
        let left = async {
            self.begun().await;
            sleep_until(self.grace()).await;
        };
        // Running into the limit and leaving are the same to the connection.
        let _ = timeout(limit, left).await;
    }

    /// Resolves at the deadline.
    pub(crate) async fn cut(mut self) {
        loop {
            self.begun().await;
            let deadline = *self.0.borrow_and_update();
            let Some(deadline) = deadline else { continue };
            tokio::select! {
                biased;
                () = sleep_until(deadline) => return,
                sooner = self.0.changed() => if sooner.is_err() {
                    return sleep_until(deadline).await;
                },
            }
        }
    }
}

thread_local! {
    static CUTTING: Cell<bool> = const { Cell::new(false) };
}

/// Calls `end`. Whatever is dropped in it ends because the deadline has come.
pub(crate) fn cutting<R>(end: impl FnOnce() -> R) -> R {
    let before = CUTTING.replace(true);
    let ended = end();
    CUTTING.set(before);
    ended
}

/// Whether what is dropped now ends because the deadline has come.
pub(crate) fn is_cutting() -> bool {
    CUTTING.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_deadline_holds() {
        let (leave, leaving) = leave();
        let start = Instant::now();
        leave.begin(start + Duration::from_secs(10));
        let cut = tokio::spawn(leaving.clone().cut());
        tokio::task::yield_now().await;
        leave.begin(start + Duration::from_secs(3));
        leave.begin(start + Duration::from_secs(20));
        cut.await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 3);
    }
}
