//! What the two sides of hyper tell each other: the stream that it reads from, and the service that it
//! calls.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
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
pub(super) struct Exchange {
    /// Requests that the service was called for.
    begun: AtomicU64,
    /// Requests whose response is known.
    answered: AtomicU64,
    /// Requests whose response was sent, or given up.
    ended: AtomicU64,
    /// When the last of them was; when the connection began, before there was any.
    ended_at: Mutex<Instant>,
    /// HTTP/1.1: whether a response is not wholly on its way yet, though hyper may be done with it.
    unflushed: AtomicBool,
    /// HTTP/2: whose turn it is in the stream that has just begun, until its task knows it.
    beginning: Mutex<Option<Arc<Turn>>>,
    /// Whether the last answer opens a tunnel.
    tunnel: AtomicBool,
    /// Who waits for the answer, or for its end.
    waiting: Mutex<Option<Waker>>,
    /// The head that was refused, counted from 1, and why.
    refusal: OnceLock<(u64, Refusal)>,
    /// When the connection should end once nothing is in flight.
    closing: OnceLock<Instant>,
    /// HTTP/2: whether the connection was cut at a drain's deadline, and its streams with it.
    cut: AtomicBool,
}

impl Exchange {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            ended_at: Mutex::new(Instant::now()),
            unflushed: AtomicBool::new(false),
            beginning: Mutex::default(),
            tunnel: AtomicBool::new(false),
            waiting: Mutex::default(),
            refusal: OnceLock::new(),
            closing: OnceLock::new(),
            cut: AtomicBool::new(false),
        })
    }

    /// Since when nothing is in flight. None: a request waits for its response, or a response is being
    /// sent.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        let busy = self.begun.load(Ordering::Relaxed) != self.ended.load(Ordering::Relaxed);
        let busy = busy || self.unflushed.load(Ordering::Relaxed);
        (!busy).then(|| *self.ended_at.lock())
    }

    /// hyper has begun to write, or has written everything.
    pub(super) fn flushed(&self, flushed: bool) {
        self.unflushed.store(!flushed, Ordering::Relaxed);
    }

    /// Resolves when nothing was in flight for `limit`, from now on.
    pub(super) async fn idle(&self, limit: Duration) {
        let begun = Instant::now();
        loop {
            let now = Instant::now();
            let end = self.quiet_since().unwrap_or(now).max(begun) + limit;
            if end <= now {
                return;
            }
            sleep_until(end).await;
        }
    }

    /// No request is wanted after `at`, and every response from now on says so.
    pub(super) fn close_at(&self, at: Instant) {
        // A second drain changes nothing: what is sooner than the first one is the deadline's affair.
        let _ = self.closing.set(at);
    }

    /// When the connection should end once nothing is in flight.
    pub(super) fn closing(&self) -> Option<Instant> {
        self.closing.get().copied()
    }

    /// What is in flight ends because a drain's deadline has come.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    /// Whether it does.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// The head number `head` will not be served but answered with `refusal`.
    pub(super) fn refuse(&self, head: u64, refusal: Refusal) {
        // The first refusal is the last thing that a connection reads.
        let _ = self.refusal.set((head, refusal));
    }

    /// Ready when what follows request number `head` may be read: whether it is a tunnel. Until then
    /// `waker` waits, if there is one.
    pub(super) fn poll_answered(&self, head: u64, waker: Option<&Waker>) -> Poll<bool> {
        let answered = self.answered.load(Ordering::Relaxed) >= head;
        if answered && self.tunnel.load(Ordering::Relaxed) {
            return Poll::Ready(true);
        }
        if self.ended.load(Ordering::Relaxed) >= head {
            return Poll::Ready(false);
        }
        if let Some(waker) = waker {
            *self.waiting.lock() = Some(waker.clone());
        }
        Poll::Pending
    }

    /// Begins an HTTP/1.1 request, or says that it is the refused one.
    pub(super) fn begin(self: &Arc<Self>) -> Result<InFlight, Refusal> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        let in_flight = InFlight::new(self, None);
        match self.refusal.get() {
            Some((head, refusal)) if *head == number => Err(*refusal),
            _ => Ok(in_flight),
        }
    }

    /// Begins an HTTP/2 request.
    pub(super) fn begin_http2(self: &Arc<Self>) -> InFlight {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let turn = Arc::new(Turn::default());
        *self.beginning.lock() = Some(Arc::clone(&turn));
        InFlight::new(self, Some(turn))
    }

    /// Whose turn it is in the HTTP/2 stream that has just begun.
    pub(super) fn take_turn(&self) -> Option<Arc<Turn>> {
        self.beginning.lock().take()
    }

    fn answered(&self, tunnel: bool) {
        self.tunnel.store(tunnel, Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
        if tunnel {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waiting.lock().take() {
            waker.wake();
        }
    }
}

/// Whose turn it is in a stream of HTTP/2: the service's, or the client's, who must take a piece of the
/// response before the next one is asked for.
#[derive(Debug, Default)]
pub(super) struct Turn(AtomicU64);

impl Turn {
    /// How often it has changed. Even: it is the service's.
    pub(super) fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether `number` is one of the client's.
    pub(super) fn is_of_client(number: u64) -> bool {
        number % 2 == 1
    }

    fn pass(&self, to_client: bool) {
        if Self::is_of_client(self.number()) != to_client {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A request in flight, until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    exchange: Arc<Exchange>,
    /// HTTP/1.1 has none and is watched where it writes: a stream of HTTP/2 writes nothing when it stalls.
    turn: Option<Arc<Turn>>,
}

impl InFlight {
    fn new(exchange: &Arc<Exchange>, turn: Option<Arc<Turn>>) -> Self {
        Self {
            exchange: Arc::clone(exchange),
            turn,
        }
    }

    /// The response that hyper sends: the service's, which may end the connection.
    pub(super) fn answer_http1<B>(
        self,
        mut response: Response<B>,
        connect: bool,
    ) -> Response<Reply<B>> {
        let status = response.status();
        let tunnel = status == StatusCode::SWITCHING_PROTOCOLS || connect && status.is_success();
        self.exchange.answered(tunnel);
        if self.exchange.closing().is_some() && !tunnel {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        self.follow(response)
    }

    /// The response as it is, which the client is to take.
    pub(super) fn answer_http2<B>(self, response: Response<B>) -> Response<Reply<B>> {
        self.pass_turn(true);
        self.follow(response)
    }

    fn follow<B>(self, response: Response<B>) -> Response<Reply<B>> {
        response.map(|body| Reply::Service {
            body,
            in_flight: self,
            rest: Bytes::new(),
        })
    }

    fn pass_turn(&self, to_client: bool) {
        if let Some(turn) = &self.turn {
            turn.pass(to_client);
        }
    }

    /// How much of a response the client gets at once.
    fn piece(&self) -> usize {
        self.turn.as_ref().map_or(usize::MAX, |_| PIECE)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        *self.exchange.ended_at.lock() = Instant::now();
        self.exchange.ended.fetch_add(1, Ordering::Relaxed);
        self.exchange.wake();
    }
}

/// The body of a response.
#[derive(Debug)]
pub(super) enum Reply<B> {
    /// From the service.
    Service {
        /// As it came.
        body: B,
        /// Until it is sent.
        in_flight: InFlight,
        /// What is left of the piece that came last.
        rest: Bytes,
    },
    /// One line to a client whose request was refused.
    Line(Option<Bytes>),
}

/// The answer to a request that was refused on its bytes. The connection ends with it.
pub(super) fn refusal<B>(refusal: Refusal) -> Response<Reply<B>> {
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
            Self::Service {
                body,
                in_flight,
                rest,
            } => {
                // hyper asks: the client has taken what there was.
                in_flight.pass_turn(false);
                if rest.is_empty() {
                    let frame = match ready!(Pin::new(body).poll_frame(cx)) {
                        Some(Ok(frame)) => frame,
                        end => return Poll::Ready(end),
                    };
                    match frame.into_data() {
                        Ok(data) => *rest = data,
                        Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                    }
                }
                in_flight.pass_turn(true);
                let piece = rest.split_to(rest.len().min(in_flight.piece()));
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Self::Line(line) => Poll::Ready(line.take().map(|line| Ok(Frame::data(line)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Service { body, rest, .. } => rest.is_empty() && body.is_end_stream(),
            Self::Line(line) => line.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Service { body, rest, .. } => with_rest(body.size_hint(), rest.len() as u64),
            Self::Line(line) => {
                SizeHint::with_exact(line.as_ref().map_or(0, |line| line.len() as u64))
            }
        }
    }
}

fn with_rest(mut hint: SizeHint, rest: u64) -> SizeHint {
    if let Some(upper) = hint.upper() {
        hint.set_upper(upper + rest);
    }
    hint.set_lower(hint.lower() + rest);
    hint
}

/// How much of a response a client of HTTP/2 gets at once, and must take within `body_idle_timeout`: a
/// frame. A slow client takes that much in time where it would not take all that a target sends at once.
const PIECE: usize = 16 << 10;
