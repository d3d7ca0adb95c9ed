//! An answer's body on its way to the client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::idle::IdleTimer;
use super::upgrade::Upgrade;
use crate::error::{End, ProxyError};
use crate::exchange::Exchange;
use crate::headers;
use crate::upstream::http1::{AnswerBody, BrokenBody};
use crate::upstream::pool::Pool;
use crate::upstream::request_body::BodyError;

/// What follows the head of an answer.
pub enum Answer {
    /// This.
    Whole(Bytes),
    /// What a target sends.
    Relay(Box<Relay>),
    /// Another protocol.
    Upgrade(Box<Upgrade>),
}

/// A target's body, and the connection that it comes over.
pub struct Relay {
    /// Until it is whole, or broken.
    body: Option<AnswerBody>,
    begun: Begun,
    /// Why it is broken, until what came before is on its way.
    fault: Option<BrokenBody>,
    idle: IdleTimer,
    /// How much of the request's body was taken when that was last looked at.
    taken: u64,
    home: Home,
}

/// Where a connection goes when its answer is whole.
pub(super) struct Home {
    pub(super) pool: Arc<Pool>,
    pub(super) worker: usize,
}

/// What was taken of a body before its answer is passed on: a frame, or its end.
type Begun = Option<Option<Frame<Bytes>>>;

/// What is there already of a body in chunks, without waiting: as long as the head is not passed on, what
/// is no body can be said to be none.
///
/// # Errors
/// When it breaks before anything of it came.
pub(super) fn begin(body: &mut AnswerBody) -> Result<Begun, ProxyError> {
    if body.size_hint().exact().is_some() {
        return Ok(None);
    }
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(body).poll_frame(&mut cx) {
        Poll::Pending => Ok(None),
        Poll::Ready(frame) => match frame.transpose() {
            Ok(frame) => Ok(Some(frame)),
            Err(error) => Err(ProxyError::because(End::TargetTruncated, error)),
        },
    }
}

impl Answer {
    /// What comes over a connection, which goes `home` afterwards.
    pub(super) fn relay(body: AnswerBody, begun: Begun, home: Home, idle: Duration) -> Self {
        Self::Relay(Box::new(Relay {
            body: Some(body),
            begun,
            fault: None,
            idle: IdleTimer::new(idle),
            taken: 0,
            home,
        }))
    }
}

impl Relay {
    /// Whether nothing has come for too long, while nothing was `taken` of the request's body either: a target
    /// that is still reading may have more to say only behind it.
    fn is_stalled(&mut self, taken: u64, cx: &mut Context<'_>) -> bool {
        if taken != self.taken {
            self.taken = taken;
            self.idle.progress();
        }
        self.idle.poll_expired(cx)
    }

    fn is_at_end(&self) -> bool {
        self.begun.is_none() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }
}

/// The body that a client's connection sends. It ends the exchange that it belongs to.
pub struct ResponseBody {
    body: Kind,
    exchange: Option<Box<Exchange>>,
}

enum Kind {
    Whole(Option<Bytes>),
    Relay(Box<Relay>),
}

impl ResponseBody {
    /// The body of the `exchange`, which goes on until it is sent.
    pub fn new(answer: Answer, mut exchange: Box<Exchange>) -> Self {
        let body = match answer {
            Answer::Whole(bytes) => {
                exchange.sent(bytes.len());
                drop(exchange);
                return Self::whole(bytes);
            }
            Answer::Upgrade(upgrade) => {
                upgrade.start(exchange);
                return Self::whole(Bytes::new());
            }
            Answer::Relay(relay) => Kind::Relay(relay),
        };
        let mut body = Self {
            body,
            exchange: Some(exchange),
        };
        if body.is_end_stream() {
            body.finish(End::Done);
        }
        body
    }

    fn whole(bytes: Bytes) -> Self {
        Self {
            body: Kind::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())),
            exchange: None,
        }
    }

    fn finish(&mut self, end: End) {
        if let Kind::Relay(relay) = &mut self.body
            && let Some(body) = relay.body.take()
            && end == End::Done
        {
            relay.home.pool.give_back(relay.home.worker, body.end());
        }
        if let Some(mut exchange) = self.exchange.take() {
            exchange.end(end);
        }
    }

    /// What comes of a frame of a target.
    fn pass(
        &mut self,
        frame: Option<Result<Frame<Bytes>, BrokenBody>>,
    ) -> Option<Result<Frame<Bytes>, BodyError>> {
        match frame {
            None => {
                self.finish(End::Done);
                None
            }
            Some(Err(error)) => {
                if let Some(exchange) = &mut self.exchange {
                    exchange.record().detail = Some(error.to_string());
                }
                self.finish(End::TargetTruncated);
                Some(Err(BodyError(End::TargetTruncated)))
            }
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    headers::clean_trailers(trailers);
                }
                if let (Some(data), Some(exchange)) = (frame.data_ref(), &mut self.exchange) {
                    exchange.sent(data.len());
                }
                if frame.is_trailers() || self.is_end_stream() {
                    self.finish(End::Done);
                }
                Some(Ok(frame))
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        let relay = match &mut body.body {
            Kind::Whole(bytes) => return Poll::Ready(bytes.take().map(|all| Ok(Frame::data(all)))),
            Kind::Relay(relay) => relay,
        };
        if let Some(frame) = relay.begun.take() {
            return Poll::Ready(body.pass(frame.map(Ok)));
        }
        let Some(incoming) = &mut relay.body else {
            return Poll::Ready(None);
        };
        if let Some(fault) = relay.fault.take() {
            return Poll::Ready(body.pass(Some(Err(fault))));
        }
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Err(fault))) => {
                // hyper would throw away what it has not sent yet.
                relay.fault = Some(fault);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(frame) => {
                relay.idle.progress();
                Poll::Ready(body.pass(frame))
            }
            Poll::Pending => {
                let exchange = body.exchange.as_ref();
                let progress = exchange.and_then(|exchange| exchange.progress.as_ref());
                if !relay.is_stalled(progress.map_or(0, |body| body.bytes()), cx) {
                    return Poll::Pending;
                }
                body.finish(End::TargetStalled);
                Poll::Ready(Some(Err(BodyError(End::TargetStalled))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Relay(relay) => relay.is_at_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Relay(relay) => {
                let none = || SizeHint::with_exact(0);
                relay.body.as_ref().map_or_else(none, Body::size_hint)
            }
        }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Relay(_) => "Relay",
            Self::Upgrade(_) => "Upgrade",
        })
    }
}
