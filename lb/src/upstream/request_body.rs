//! A request's body on its way to a target: counted, limited, and never read before the target is taking
//! it, so that a client that expects a `100 Continue` gets it only then.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::End;
use crate::forward::idle::IdleTimer;
use crate::headers;
use crate::http::framing::Refusal;
use crate::http::incoming::Incoming;

/// The body that a connection to a target sends.
pub struct RequestBody {
    incoming: Option<Incoming>,
    progress: Option<Arc<Progress>>,
    idle: IdleTimer,
    most: u64,
}

/// How far the body has come, for the one who waits for the response.
#[derive(Debug)]
pub struct Progress {
    start: Instant,
    bytes: AtomicU64,
    state: AtomicU8,
    /// Milliseconds from `start` to the last change.
    moved: AtomicU64,
    /// Whether the client's turn it is.
    on_client: AtomicBool,
    /// What is wrong with the body.
    fault: OnceLock<&'static str>,
    gate: Gate,
}

/// Where a body stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing of it was taken.
    NotBegun,
    /// A part was taken.
    Begun,
    /// All of it was taken.
    Whole,
    /// It failed: the client's fault.
    Failed(End),
}

impl RequestBody {
    /// No body.
    pub fn empty() -> Self {
        Self {
            incoming: None,
            progress: None,
            idle: IdleTimer::new(Duration::MAX),
            most: u64::MAX,
        }
    }

    /// A client's body of at most `most` bytes, no two pieces of which may be further apart than `idle`.
    pub fn new(
        incoming: Incoming,
        progress: Arc<Progress>,
        idle: Duration,
        most: Option<u64>,
    ) -> Self {
        Self {
            incoming: Some(incoming),
            progress: Some(progress),
            idle: IdleTimer::new(idle),
            most: most.unwrap_or(u64::MAX),
        }
    }

    /// Whether nothing of it was taken.
    pub fn is_whole(&self) -> bool {
        let progress = self.progress.as_ref();
        progress.is_none_or(|progress| progress.stage() == Stage::NotBegun)
    }

    /// What comes of a frame.
    fn pass(
        &mut self,
        frame: Option<Result<Frame<Bytes>, hyper::Error>>,
    ) -> Option<Result<Frame<Bytes>, BodyError>> {
        let progress = self.progress.as_deref()?;
        self.idle.progress();
        match frame {
            None => {
                progress.reach(Stage::Whole);
                None
            }
            Some(Err(error)) => Some(Err(progress.fail_because(&error))),
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    headers::clean_request_trailers(trailers);
                }
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                let before = progress.bytes.fetch_add(length, Ordering::Relaxed);
                if before.saturating_add(length) > self.most {
                    return Some(Err(progress.fail(End::BodyTooLarge)));
                }
                let whole = self.incoming.as_ref().is_none_or(Body::is_end_stream);
                let whole = whole || frame.is_trailers();
                progress.reach(if whole { Stage::Whole } else { Stage::Begun });
                Some(Ok(frame))
            }
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        let (Some(incoming), Some(progress)) = (&mut body.incoming, &body.progress) else {
            return Poll::Ready(None);
        };
        ready!(progress.gate.poll_open(cx));
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(body.pass(frame)),
            Poll::Pending if body.idle.poll_expired(cx) => {
                Poll::Ready(Some(Err(progress.fail(End::ClientTimeout))))
            }
            Poll::Pending => {
                progress.wait_for_client();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let none = || SizeHint::with_exact(0);
        self.incoming.as_ref().map_or_else(none, Body::size_hint)
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

impl Progress {
    /// A body that is not begun. With `expects`, it stays so until [`Progress::open`] is called.
    pub fn new(expects: bool) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            bytes: AtomicU64::new(0),
            state: AtomicU8::new(NOT_BEGUN),
            moved: AtomicU64::new(0),
            on_client: AtomicBool::new(false),
            fault: OnceLock::new(),
            gate: Gate {
                open: AtomicBool::new(!expects),
                waker: Mutex::new(None),
            },
        })
    }

    /// The target is taking the body.
    pub fn open(&self) {
        self.gate.open();
    }

    /// Whether the target was seen to take the body.
    pub fn is_open(&self) -> bool {
        self.gate.open.load(Ordering::Acquire)
    }

    /// Bytes taken.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Where the body stands.
    pub fn stage(&self) -> Stage {
        match self.state.load(Ordering::Acquire) {
            NOT_BEGUN => Stage::NotBegun,
            BEGUN => Stage::Begun,
            WHOLE => Stage::Whole,
            code => Stage::Failed(End::ALL[usize::from(code - FAILED)]),
        }
    }

    /// When the last piece was taken, or the last wait for the client began.
    pub fn moved(&self) -> Instant {
        self.start + Duration::from_millis(self.moved.load(Ordering::Relaxed))
    }

    /// Whether the next piece is awaited from the client, and not for the target to take it.
    pub fn is_on_client(&self) -> bool {
        self.on_client.load(Ordering::Relaxed)
    }

    /// What is wrong with a body that has failed, where that is known.
    pub fn fault(&self) -> Option<&'static str> {
        self.fault.get().copied()
    }

    fn reach(&self, stage: Stage) {
        let code = match stage {
            Stage::NotBegun => NOT_BEGUN,
            Stage::Begun => BEGUN,
            Stage::Whole => WHOLE,
            Stage::Failed(end) => FAILED + end as u8,
        };
        self.on_client.store(false, Ordering::Relaxed);
        self.stamp();
        self.state.store(code, Ordering::Release);
    }

    fn fail(&self, end: End) -> BodyError {
        self.reach(Stage::Failed(end));
        BodyError(end)
    }

    /// The client's side has broken off: on bytes that are no body, in time, or because it left.
    fn fail_because(&self, error: &hyper::Error) -> BodyError {
        let cause = error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>());
        let end = match cause.map(io::Error::kind) {
            Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => End::BadBody,
            Some(io::ErrorKind::TimedOut) => End::ClientTimeout,
            _ => End::ClientGone,
        };
        let refusal = cause
            .and_then(io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<Refusal>());
        if let Some(refusal) = refusal {
            // It fails once.
            let _ = self.fault.set(refusal.reason);
        }
        self.fail(end)
    }

    fn wait_for_client(&self) {
        if !self.on_client.swap(true, Ordering::Relaxed) {
            self.stamp();
        }
    }

    fn stamp(&self) {
        let millis = self.start.elapsed().as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.moved.store(millis, Ordering::Relaxed);
    }
}

/// Holds a body back.
#[derive(Debug)]
struct Gate {
    open: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Gate {
    fn open(&self) {
        self.open.store(true, Ordering::Release);
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }

    fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        if self.open.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        *self.waker.lock() = Some(cx.waker().clone());
        // It may have been opened before the waker was there.
        if self.open.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// Why a body goes no further.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{}", .0.word())]
pub struct BodyError(pub End);

const NOT_BEGUN: u8 = 0;
const BEGUN: u8 = 1;
const WHOLE: u8 = 2;
/// And the number of the end.
const FAILED: u8 = 3;
