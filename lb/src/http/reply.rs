//! What the two sides of hyper tell each other: the stream that it reads from, and the service that it
//! calls.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::framing::Refusal;

/// What is going on on one connection. Touched by its own task (HTTP/1.1) or its own thread (HTTP/2)
/// alone, so that nothing in here is ever waited for.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Requests that the service was called for.
    begun: AtomicU64,
    /// Requests whose response is known.
    answered: AtomicU64,
    /// Requests whose response was sent, or given up.
    ended: AtomicU64,
    /// When the last of them was; when the connection began, before there was any.
    ended_at: Mutex<Instant>,
    /// Whether the last answer opens a tunnel.
    tunnel: AtomicBool,
    /// Who waits for the answer.
    waiting: Mutex<Option<Waker>>,
    /// The head that was refused, counted from 1, and why.
    refusal: OnceLock<(u64, Refusal)>,
    /// When the connection should end once nothing is in flight.
    closing: OnceLock<Instant>,
}

impl Exchange {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            ended_at: Mutex::new(Instant::now()),
            tunnel: AtomicBool::new(false),
            waiting: Mutex::default(),
            refusal: OnceLock::new(),
            closing: OnceLock::new(),
        })
    }

    /// Since when nothing is in flight. None: a request waits for its response, or a response is being
    /// sent.
    pub(crate) fn quiet_since(&self) -> Option<Instant> {
        let busy = self.begun.load(Ordering::Relaxed) != self.ended.load(Ordering::Relaxed);
        (!busy).then(|| *self.ended_at.lock())
    }

    /// Resolves when nothing was in flight for `limit`.
    pub(crate) async fn idle(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let end = self.quiet_since().unwrap_or(now) + limit;
            if end <= now {
                return;
            }
            sleep_until(end).await;
        }
    }

    /// No request is wanted after `at`, and every response from now on says so.
    pub(crate) fn close_at(&self, at: Instant) {
        // A second drain changes nothing: what is sooner than the first one is the deadline's affair.
        let _ = self.closing.set(at);
    }

    /// When the connection should end once nothing is in flight.
    pub(crate) fn closing(&self) -> Option<Instant> {
        self.closing.get().copied()
    }

    /// The head number `head` will not be served but answered with `refusal`.
    pub(crate) fn refuse(&self, head: u64, refusal: Refusal) {
        // The first refusal is the last thing that a connection reads.
        let _ = self.refusal.set((head, refusal));
    }

    /// Whether the answer to request number `head` opens a tunnel; none: there is no answer yet, and
    /// `waker` will be woken.
    pub(crate) fn tunnel(&self, head: u64, waker: &Waker) -> Option<bool> {
        if self.answered.load(Ordering::Relaxed) >= head {
            return Some(self.tunnel.load(Ordering::Relaxed));
        }
        *self.waiting.lock() = Some(waker.clone());
        None
    }

    /// Begins a request, or says that it is the refused one.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<InFlight, Refusal> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        let in_flight = InFlight(Arc::clone(self));
        match self.refusal.get() {
            Some((head, refusal)) if *head == number => Err(*refusal),
            _ => Ok(in_flight),
        }
    }
}

/// A request in flight, until this is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Exchange>);

impl InFlight {
    /// The HTTP/1.1 response that hyper sends: the service's, which may end the connection.
    pub(crate) fn answer<B>(self, mut response: Response<B>, connect: bool) -> Response<Reply<B>> {
        let status = response.status();
        let tunnel = status == StatusCode::SWITCHING_PROTOCOLS || connect && status.is_success();
        self.0.tunnel.store(tunnel, Ordering::Relaxed);
        self.0.answered.fetch_add(1, Ordering::Relaxed);
        if let Some(waker) = self.0.waiting.lock().take() {
            waker.wake();
        }
        if self.0.closing().is_some() && !tunnel {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        self.follow(response)
    }

    /// The response as it is, in flight until its body is sent.
    pub(crate) fn follow<B>(self, response: Response<B>) -> Response<Reply<B>> {
        response.map(|body| Reply::Service {
            body,
            _in_flight: self,
        })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        *self.0.ended_at.lock() = Instant::now();
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// The body of a response.
#[derive(Debug)]
pub(crate) enum Reply<B> {
    /// From the service.
    Service {
        /// As it came.
        body: B,
        /// Until it is sent.
        _in_flight: InFlight,
    },
    /// One line to a client whose request was refused.
    Line(Option<Bytes>),
}

/// The answer to a request that was refused on its bytes. The connection ends with it.
pub(crate) fn refusal<B>(refusal: Refusal) -> Response<Reply<B>> {
    let line = Bytes::from(format!("{}\n", refusal.reason));
    let mut response = Response::new(Reply::Line(Some(line)));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, text);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

impl<B: Body<Data = Bytes> + Unpin> Body for Reply<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.get_mut() {
            Self::Service { body, .. } => Pin::new(body).poll_frame(cx),
            Self::Line(line) => Poll::Ready(line.take().map(|line| Ok(Frame::data(line)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Service { body, .. } => body.is_end_stream(),
            Self::Line(line) => line.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Service { body, .. } => body.size_hint(),
            Self::Line(line) => {
                SizeHint::with_exact(line.as_ref().map_or(0, |line| line.len() as u64))
            }
        }
    }
}
