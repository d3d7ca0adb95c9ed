//! What is said of handshakes that fail.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::HandshakeFailure;

/// Failures on one listener that were not said yet. Anybody can make handshakes fail: each kind is said
/// now and then, with how many there were.
#[derive(Debug)]
pub(crate) struct Failures {
    begun: Instant,
    kinds: [Kind; HandshakeFailure::COUNT],
}

#[derive(Debug, Default)]
struct Kind {
    count: AtomicU64,
    /// When the next line may come, in milliseconds from the beginning.
    due: AtomicU64,
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            kinds: Default::default(),
        }
    }
}

impl Failures {
    /// One more. Some: so many are to be said now.
    pub(crate) fn count(&self, failure: HandshakeFailure) -> Option<u64> {
        let kind = &self.kinds[failure as usize];
        kind.count.fetch_add(1, Ordering::Relaxed);
        let now = millis(self.begun.elapsed());
        let due = kind.due.load(Ordering::Relaxed);
        let next = now + millis(SAY_AGAIN);
        let mine = now >= due
            && kind
                .due
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        mine.then(|| kind.count.swap(0, Ordering::Relaxed))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long a kind of failure goes unsaid after it was said.
const SAY_AGAIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_kind_is_said_now_and_then() {
        let failures = Failures::default();
        assert_eq!(failures.count(HandshakeFailure::Closed), Some(1));
        assert_eq!(failures.count(HandshakeFailure::Closed), None);
        assert_eq!(failures.count(HandshakeFailure::ProxyHeader), Some(1));
        tokio::time::advance(SAY_AGAIN).await;
        assert_eq!(failures.count(HandshakeFailure::Closed), Some(2));
    }
}
