//! One attempt to get an answer over one connection.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use config::ListenerLimits;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use tokio::time::{Instant, sleep_until, timeout};

use super::body_of;
use crate::error::{End, ProxyError};
use crate::http::incoming::Incoming;
use crate::upstream::pool::Connection;
use crate::upstream::request_body::{Progress, RequestBody, Stage};

/// A request on its way out.
#[derive(Debug)]
pub(super) struct Outbound {
    request: Request<RequestBody>,
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
        let mut request = request.map(|body| body_of(body, progress.as_ref(), limits));
        if let Some(progress) = progress.clone().filter(|_| expects) {
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    progress.open();
                }
            });
        }
        Self { request, progress }
    }

    /// Whether it can be sent again although a target may have seen a part of it.
    pub(super) fn is_repeatable(&self) -> bool {
        self.progress.is_none() && self.request.method().is_idempotent()
    }
}

/// What is needed to send a request again.
struct Spare {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Spare {
    /// Of a request that may be sent again although the target may have seen it.
    fn of(request: &Request<RequestBody>) -> Option<Self> {
        request.method().is_idempotent().then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        })
    }

    /// The request once more, unless a part of its body is gone.
    fn again(self, progress: Option<Arc<Progress>>, limits: &ListenerLimits) -> Option<Outbound> {
        let body = match &progress {
            None => RequestBody::empty(),
            Some(progress) => {
                let body = progress.take_back()?;
                // The new target says nothing of a 100 that the old one was asked for.
                progress.open();
                body_of(body, Some(progress), limits)
            }
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        Some(Outbound { request, progress })
    }
}

/// Sends the request and waits for the head of the answer: `response_timeout` from the end of the request.
pub(super) async fn send(
    connection: &mut Connection,
    outbound: Outbound,
    response_timeout: Duration,
    limits: &ListenerLimits,
) -> Result<Response<hyper::body::Incoming>, SendError> {
    let Outbound { request, progress } = outbound;
    let spare = connection.reused.then(|| Spare::of(&request)).flatten();
    let before = connection.wire.received();
    connection.wire.await_head();
    let answer = connection.sender.try_send_request(request);
    let answered = match &progress {
        None => timeout(response_timeout, answer)
            .await
            .map_err(|_| End::TargetTimeout),
        Some(progress) => {
            let patience = Patience {
                response: response_timeout,
                body: limits.body_idle_timeout,
            };
            patience.wait(answer, progress).await
        }
    };
    let answered = answered.map_err(|end| SendError::Failed(end.into()))?;
    let mut error = match answered {
        Ok(response) => {
            connection.wire.head_came();
            return Ok(response);
        }
        Err(error) => error,
    };
    if let Some(request) = error.take_message() {
        // Not a byte of it has left.
        return Err(SendError::Stale(Box::new(Outbound { request, progress })));
    }
    if connection.wire.received() == before {
        let again = spare.and_then(|spare| spare.again(progress.clone(), limits));
        if let Some(outbound) = again {
            return Err(SendError::Stale(Box::new(outbound)));
        }
    }
    Err(SendError::Failed(why(
        &error.into_error(),
        progress.as_deref(),
    )))
}

/// What an error of hyper means here.
fn why(error: &hyper::Error, progress: Option<&Progress>) -> ProxyError {
    if let Some(progress) = progress
        && let Stage::Failed(end) = progress.stage()
    {
        let detail = progress.fault().map(str::to_owned);
        return ProxyError { end, detail };
    }
    let source = std::error::Error::source(error);
    let invalid = source
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|error| error.kind() == io::ErrorKind::InvalidData);
    let end = if invalid || error.is_parse() {
        End::TargetInvalid
    } else {
        End::TargetClosed
    };
    match source {
        Some(source) => ProxyError::because(end, format_args!("{error}: {source}")),
        None => ProxyError::because(end, error),
    }
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
        loop {
            let due = self.due(progress, Instant::now())?;
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                () = sleep_until(due) => {}
            }
        }
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
