//! One attempt to get an answer over one connection.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use config::ListenerLimits;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tokio::time::{Instant, sleep_until};

use super::body_of;
use crate::error::{End, ProxyError};
use crate::http::incoming::Incoming;
use crate::upstream::http1::{AnswerBody, Answered, Call, Connection, Fault, Outgoing};
use crate::upstream::request_body::{Progress, Stage};

/// A request on its way out.
pub(super) struct Outbound {
    outgoing: Outgoing,
    /// Of the body, if there is one.
    pub(super) progress: Option<Arc<Progress>>,
}

/// Why an attempt came to no answer.
pub(super) enum SendError {
    /// The target closed the connection without a byte of an answer, and the request may be sent again.
    Stale(Box<Outbound>),
    /// It may not.
    Failed(ProxyError),
}

impl Outbound {
    /// `request`, whose client waits for a `100 Continue` if it `expects`.
    pub(super) fn new(request: Request<Incoming>, expects: bool, limits: &ListenerLimits) -> Self {
        let progress = (!request.body().is_end_stream()).then(|| Progress::new(expects));
        let request = request.map(|body| body_of(body, progress.as_ref(), limits));
        Self {
            outgoing: Outgoing::new(request),
            progress,
        }
    }

    /// Whether it can be sent again although a target may have seen a part of it.
    pub(super) fn is_repeatable(&self) -> bool {
        self.progress.is_none() && self.outgoing.method().is_idempotent()
    }
}

/// Sends the request and waits for the head of the answer: `response_timeout` from the end of the request.
pub(super) async fn send(
    connection: Connection,
    outbound: Outbound,
    response_timeout: Duration,
    limits: &ListenerLimits,
) -> Result<Response<AnswerBody>, SendError> {
    let Outbound { outgoing, progress } = outbound;
    let may_be_seen = connection.reused && outgoing.method().is_idempotent();
    let mut call = Call::new(connection, outgoing);
    let answered = wait(&mut call, progress.as_deref(), response_timeout, limits).await;
    let fault = match answered.map_err(|end| SendError::Failed(end.into()))? {
        Ok(answered) => return Ok(call.answer(answered)),
        Err(fault) => fault,
    };
    if matches!(fault, Fault::Closed(_))
        && let Some(outgoing) = call.again(may_be_seen)
    {
        if let Some(progress) = &progress {
            // The new target says nothing of a 100 that the old one was asked for.
            progress.open();
        }
        return Err(SendError::Stale(Box::new(Outbound { outgoing, progress })));
    }
    Err(SendError::Failed(why(&fault, progress.as_deref())))
}

async fn wait(
    call: &mut Call,
    progress: Option<&Progress>,
    response_timeout: Duration,
    limits: &ListenerLimits,
) -> Result<Result<Answered, Fault>, End> {
    let Some(progress) = progress else {
        let answered = poll_fn(|cx| call.poll_in_time(cx)).await;
        return answered.ok_or(End::TargetTimeout);
    };
    let answer = poll_fn(|cx| {
        call.poll(cx, |status| {
            if status == StatusCode::CONTINUE {
                progress.open();
            }
        })
    });
    let patience = Patience {
        response: response_timeout,
        body: limits.body_idle_timeout,
    };
    patience.wait(answer, progress).await
}

/// What a fault means here.
fn why(fault: &Fault, progress: Option<&Progress>) -> ProxyError {
    if let Some(progress) = progress
        && let Stage::Failed(end) = progress.stage()
    {
        let detail = progress.fault().map(str::to_owned);
        return ProxyError { end, detail };
    }
    let end = match fault {
        Fault::Closed(_) => End::TargetClosed,
        Fault::Invalid(_) => End::TargetInvalid,
        Fault::Body(error) => error.0,
    };
    ProxyError::because(end, fault)
}

/// How long a target is waited for while it takes a body.
struct Patience {
    response: Duration,
    body: Duration,
}

impl Patience {
    async fn wait<T>(
        &self,
        answer: impl Future<Output = T>,
        progress: &Progress,
    ) -> Result<T, End> {
        let mut answer = pin!(answer);
        let mut alarm = pin!(sleep_until(Instant::now()));
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Ok(answer));
            }
            // The body may have come further by that, and with it when to give up.
            loop {
                let due = self.due(progress, Instant::now())?;
                // Where that is later now, the alarm is moved when it goes off: most never do.
                if due < alarm.deadline() || alarm.is_elapsed() {
                    alarm.as_mut().reset(due);
                }
                ready!(alarm.as_mut().poll(cx));
            }
        })
        .await
    }

    /// When to look again; or that it has taken too long.
    fn due(&self, progress: &Progress, now: Instant) -> Result<Instant, End> {
        let (due, end) = match progress.stage() {
            Stage::Whole => (progress.moved() + self.response, End::TargetTimeout),
            Stage::NotBegun if !progress.is_open() => {
                let due = progress.moved() + CONTINUE.min(self.response);
                if due <= now {
                    // A target that says nothing takes the body (RFC 9110, section 10.1.1).
                    progress.open();
                    return Ok(now + self.body);
                }
                return Ok(due);
            }
            // The body's own timer watches the client.
            _ if progress.is_on_client() => return Ok(now + self.body.min(self.response)),
            _ => (progress.moved() + self.body, End::TargetStalled),
        };
        if due <= now { Err(end) } else { Ok(due) }
    }
}

/// How long a target is given to say `100 Continue`.
const CONTINUE: Duration = Duration::from_secs(1);
