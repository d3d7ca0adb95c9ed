//! Clients that stop doing what they should.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// How long nothing happened, where something should.
#[derive(Default)]
pub(super) struct Stall {
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// Something happened. Costs nothing; a timer that runs is corrected when it fires.
    pub(super) fn progress(&mut self) {
        self.deadline = None;
    }

    /// There is time until `deadline`.
    pub(super) fn extend(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Ready when nothing has happened for `limit`, or it is later than `at_latest`.
    pub(super) fn poll_over(
        &mut self,
        cx: &mut Context<'_>,
        limit: Duration,
        at_latest: Option<Instant>,
    ) -> Poll<()> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + limit);
        let deadline = at_latest.map_or(deadline, |latest| latest.min(deadline));
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
