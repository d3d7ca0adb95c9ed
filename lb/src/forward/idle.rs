//! A limit on the time in which nothing comes.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Counts the time since somebody began to wait. Costs nothing while nobody waits.
#[derive(Debug)]
pub struct IdleTimer {
    limit: Duration,
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    /// Waiting may take `limit`.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: None,
            sleep: None,
        }
    }

    /// Something came.
    pub fn progress(&mut self) {
        self.since = None;
    }

    /// Whether the wait that began with the first call since [`IdleTimer::progress`] is over its limit; if
    /// not, the task is woken when it is.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        let Some(due) = since.checked_add(self.limit) else {
            return false;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        // It may have been set for an earlier wait: moving it only when it fires is cheaper.
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= due {
                return true;
            }
            sleep.as_mut().reset(due);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn expired(timer: &mut IdleTimer) {
        poll_fn(|cx| match timer.poll_expired(cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_counted_from_its_own_beginning() {
        let start = Instant::now();
        let mut timer = IdleTimer::new(LIMIT);
        let early = tokio::time::timeout(LIMIT - Duration::from_secs(1), expired(&mut timer));
        assert!(early.await.is_err());
        timer.progress();
        expired(&mut timer).await;
        let waited = start.elapsed();
        assert!(waited >= LIMIT * 2 - Duration::from_secs(1), "{waited:?}");
        assert!(waited < LIMIT * 2, "{waited:?}");
    }
}
