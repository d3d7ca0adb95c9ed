//! A limit on the time that a request may take, which costs no timer per request.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// How long to wait. Its one alarm is not set anew for every request: when it goes off, it is set to
/// when the request under way is too late.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    alarm: Pin<Box<Sleep>>,
}

impl Patience {
    /// Waits up to `limit` each time.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            alarm: Box::pin(sleep(limit)),
        }
    }

    /// What comes of `work`; none if it takes too long.
    pub(super) async fn limit<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let deadline = Instant::now() + self.limit;
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            while self.alarm.as_mut().poll(context).is_ready() {
                if self.alarm.deadline() >= deadline {
                    return Poll::Ready(None);
                }
                self.alarm.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_time_the_whole_limit_is_allowed() {
        let second = Duration::from_secs(1);
        let mut patience = Patience::new(second);
        for _ in 0..5 {
            let short = patience.limit(sleep(second * 2 / 3)).await;
            assert_eq!(short, Some(()));
        }
        let begun = Instant::now();
        let forever = patience.limit(std::future::pending::<()>()).await;
        assert_eq!(forever, None);
        assert_eq!(begun.elapsed().as_secs(), 1);
    }
}
