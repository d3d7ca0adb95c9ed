//! The tasks of an HTTP/2 connection: one for each of its streams.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;

use super::reply::{Exchange, Turn};
use super::stall::Stall;
use crate::drain::cutting;

/// Runs the streams of one connection. One whose client takes nothing of the response for too long is
/// reset, with everything that it holds, whatever the others do: a client could hold streams for ever by
/// never opening their windows, while it answers pings and asks for small things.
#[derive(Clone)]
pub(super) struct Streams {
    exchange: Arc<Exchange>,
    patience: Duration,
}

impl Streams {
    /// A client may take nothing of a response for as long as `patience`.
    pub(super) fn new(exchange: Arc<Exchange>, patience: Duration) -> Self {
        Self { exchange, patience }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        // hyper calls the service for a stream, and then this for its task.
        let Some(turn) = self.exchange.take_turn() else {
            return drop(tokio::spawn(stream));
        };
        let mut watch = Watch::new(turn, self.patience);
        let exchange = Arc::clone(&self.exchange);
        let mut stream = Some(Box::pin(stream));
        tokio::spawn(poll_fn(move |cx| {
            let Some(running) = &mut stream else {
                return Poll::Ready(());
            };
            if running.as_mut().poll(cx).is_pending() {
                // With its task the stream is dropped, and so reset (RFC 9113, section 5.4.2).
                return watch.poll_over(cx);
            }
            if exchange.is_cut() {
                cutting(|| stream = None);
            }
            Poll::Ready(())
        }));
    }
}

/// How long it has been the client's turn.
struct Watch {
    turn: Arc<Turn>,
    seen: u64,
    stall: Stall,
    patience: Duration,
}

impl Watch {
    fn new(turn: Arc<Turn>, patience: Duration) -> Self {
        Self {
            turn,
            seen: 0,
            stall: Stall::default(),
            patience,
        }
    }

    /// Ready when it has been for too long.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let turn = self.turn.number();
        if turn != self.seen {
            self.seen = turn;
            self.stall.progress();
        }
        if !Turn::is_of_client(turn) {
            return Poll::Pending;
        }
        ready!(self.stall.poll_over(cx, self.patience, None));
        Poll::Ready(())
    }
}
