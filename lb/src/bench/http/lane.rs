//! One request after the other.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::sync::Mutex;

use super::dial::{Dialer, Sender};
use super::patience::Patience;
use crate::bench::failure::{Failure, Stage};

/// A place for one connection at a time, opened anew when it is closed.
pub(super) struct Line {
    dialer: Rc<Dialer>,
    /// The connection, if its requests may share it. Locked while it is opened, so that all of its
    /// lanes wait for the same one.
    open: Mutex<Option<Sender>>,
}

/// Sends one request after the other.
pub(super) struct Lane {
    line: Rc<Line>,
    request: Rc<Request<Full<Bytes>>>,
    sender: Option<Sender>,
    patience: Patience,
}

/// A response that has come in whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The length of its body.
    pub(super) bytes: u64,
}

/// Why there is no answer.
enum Refusal {
    /// Nothing of the request was sent: the connection was closed before.
    Unsent(Failure),
    /// It may have been sent.
    Failed(Failure),
}

impl Refusal {
    fn why(self) -> Failure {
        match self {
            Self::Unsent(failure) | Self::Failed(failure) => failure,
        }
    }
}

impl Line {
    pub(super) fn new(dialer: Rc<Dialer>) -> Rc<Self> {
        let open = Mutex::new(None);
        Rc::new(Self { dialer, open })
    }

    /// The connection, opened if need be.
    async fn sender(&self, stage: &Cell<Stage>) -> Result<Sender, Failure> {
        let mut open = self.open.lock().await;
        let usable = open.as_ref().filter(|sender| !sender.is_closed());
        if let Some(sender) = usable.and_then(Sender::share) {
            return Ok(sender);
        }
        let sender = self.dialer.dial(stage).await?;
        *open = sender.share();
        Ok(sender)
    }
}

impl Lane {
    pub(super) fn new(
        line: Rc<Line>,
        request: Rc<Request<Full<Bytes>>>,
        patience: Patience,
    ) -> Self {
        Self {
            line,
            request,
            sender: None,
            patience,
        }
    }

    /// Opens the connection before it is needed. What fails here fails again and is counted then.
    pub(super) async fn prepare(mut self) -> Self {
        let stage = Cell::new(Stage::Connect);
        let opened = self.patience.limit(self.line.sender(&stage)).await;
        self.sender = opened.and_then(Result::ok);
        self
    }

    /// Sends a request and reads the response to its end.
    ///
    /// # Errors
    /// How it failed.
    pub(super) async fn ask(&mut self) -> Result<Answer, Failure> {
        let stage = Cell::new(Stage::Connect);
        let (line, request, sender) = (&self.line, &self.request, &mut self.sender);
        let answer = ask(line, request, sender, &stage);
        match self.patience.limit(answer).await {
            Some(answer) => answer,
            None => Err(Failure::late(stage.get())),
        }
    }
}

/// On the connection of the request before, or on a new one if that one has been closed since.
async fn ask(
    line: &Line,
    request: &Request<Full<Bytes>>,
    kept: &mut Option<Sender>,
    stage: &Cell<Stage>,
) -> Result<Answer, Failure> {
    if let Some(sender) = kept.take().filter(|sender| !sender.is_closed()) {
        stage.set(Stage::Response);
        match ask_on(sender, request, kept).await {
            Ok(answer) => return Ok(answer),
            Err(Refusal::Failed(failure)) => return Err(failure),
            Err(Refusal::Unsent(_)) => {}
        }
    }
    // Boxed, since it is large and rare: it would be moved about with every request.
    let sender = Box::pin(line.sender(stage)).await?;
    stage.set(Stage::Response);
    let answer = ask_on(sender, request, kept).await;
    answer.map_err(Refusal::why)
}

/// Puts the connection into `kept` if another request may be sent on it.
async fn ask_on(
    mut sender: Sender,
    request: &Request<Full<Bytes>>,
    kept: &mut Option<Sender>,
) -> Result<Answer, Refusal> {
    // Failed or timed out, a stream is no more, but the others go on.
    *kept = sender.share();
    let ready = sender.ready().await;
    ready.map_err(|error| Refusal::Unsent(Failure::asking(&error)))?;
    let response = sender.send(request.clone()).await;
    let response = response.map_err(|error| match error.message() {
        Some(_) => Refusal::Unsent(Failure::asking(error.error())),
        None => Refusal::Failed(Failure::asking(error.error())),
    })?;
    let answer = read(response).await;
    let answer = answer.map_err(|error| Refusal::Failed(Failure::asking(&error)))?;
    *kept = Some(sender);
    Ok(answer)
}

/// Counts the body, which nobody keeps.
async fn read(mut response: Response<Incoming>) -> hyper::Result<Answer> {
    let mut bytes = 0;
    while let Some(frame) = response.body_mut().frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len) as u64;
    }
    let status = response.status().as_u16();
    Ok(Answer { status, bytes })
}
