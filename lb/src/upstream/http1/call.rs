//! One request and its answer.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::connection::{Connection, Upgraded};
use super::decoder::{BrokenBody, Decoded, Decoder};
use super::head::{self, Head, Malformed};
use super::upload::{Outgoing, Upload};
use crate::upstream::request_body::BodyError;

/// A request on its way, until its answer begins.
pub struct Call {
    connection: Connection,
    upload: Upload,
    /// Bytes that have come.
    received: usize,
}

/// Why a call came to no answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The target closed the connection.
    #[error("{}", closed(.0.as_ref()))]
    Closed(Option<io::Error>),
    /// What came is no answer.
    #[error("{0}")]
    Invalid(&'static str),
    /// The client's side of the body failed.
    #[error(transparent)]
    Body(#[from] BodyError),
}

fn closed(error: Option<&io::Error>) -> String {
    match error {
        Some(error) => format!("the connection broke off before an answer: {error}"),
        None => "the target closed the connection before an answer".to_owned(),
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::Invalid(malformed.0)
    }
}

impl Call {
    /// `outgoing` over `connection`. Nothing is sent yet.
    pub fn new(mut connection: Connection, outgoing: Outgoing) -> Self {
        connection.patience.progress();
        Self {
            connection,
            upload: Upload::new(outgoing),
            received: 0,
        }
    }

    /// Sends, and waits for the head of the answer. `informed` is called for each informational answer
    /// before it.
    ///
    /// # Errors
    /// When there is none. The call is over then.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut informed: impl FnMut(StatusCode),
    ) -> Poll<Result<Answered, Fault>> {
        loop {
            if let Poll::Ready(sent) = self.upload.poll(&mut self.connection, cx) {
                sent?;
            }
            if let Some(head) = self.take_head()? {
                let status = head.response.status();
                if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(Answered(head)));
                }
                // Who waits for a `100 Continue` may go on.
                informed(status);
                continue;
            }
            match ready!(self.connection.poll_fill(cx)) {
                Ok(0) => return Poll::Ready(Err(Fault::Closed(None))),
                Ok(more) => self.received += more,
                Err(error) => return Poll::Ready(Err(Fault::Closed(Some(error)))),
            }
        }
    }

    fn take_head(&mut self) -> Result<Option<Head>, Fault> {
        if self.connection.input.is_empty() {
            return Ok(None);
        }
        if self.received > MOST_BEFORE_HEAD {
            return Err(Fault::Invalid("informational answers without end"));
        }
        let to_head = *self.upload.method() == Method::HEAD;
        Ok(head::take(&mut self.connection.input, to_head)?)
    }

    /// The same for a request without a body, but no longer than the connection's patience lasts. None: it
    /// took longer.
    pub fn poll_in_time(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Answered, Fault>>> {
        if let Poll::Ready(answered) = self.poll(cx, |_| {}) {
            return Poll::Ready(Some(answered));
        }
        match self.connection.patience.poll_expired(cx) {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }

    /// After an end of the connection: the request, if it may be sent again because not a byte of it has
    /// left; or, where it `may_be_seen` by a target twice, because not a byte of an answer has come.
    pub fn again(self, may_be_seen: bool) -> Option<Outgoing> {
        let unsent = self.upload.is_unwritten() && self.connection.is_plain();
        let unanswered = may_be_seen && self.received == 0;
        (unsent || unanswered)
            .then(|| self.upload.again())
            .flatten()
    }

    /// The answer, whose head has come.
    pub fn answer(self, answered: Answered) -> Response<AnswerBody> {
        let Answered(Head {
            response,
            decoder,
            keep_alive,
        }) = answered;
        response.map(|()| AnswerBody {
            keep_alive: keep_alive && !self.upload.is_cut_off(),
            connection: self.connection,
            decoder,
            upload: (!self.upload.is_over()).then(|| Box::new(self.upload)),
        })
    }
}

/// That the head of an answer has come.
pub struct Answered(Head);

/// The body of an answer, and the connection that it comes over.
pub struct AnswerBody {
    connection: Connection,
    decoder: Decoder,
    keep_alive: bool,
    /// What is not sent yet of the request.
    upload: Option<Box<Upload>>,
}

/// What is left when an answer was read.
pub enum Left {
    /// Another request may follow.
    Free(Connection),
    /// Once the request is sent.
    Sending(Sending),
    /// Nothing.
    Spent,
}

impl AnswerBody {
    /// What can be done with the connection.
    pub fn end(self) -> Left {
        if !self.keep_alive || !self.decoder.is_at_end() || !self.connection.input.is_empty() {
            return Left::Spent;
        }
        match self.upload {
            None => Left::Free(self.connection),
            Some(upload) => Left::Sending(Sending {
                connection: self.connection,
                upload,
            }),
        }
    }

    /// Gives up the answer and its connection.
    pub fn close(self) {
        self.connection.close();
    }

    /// The connection, where the answer was to switch protocols.
    pub fn upgrade(self) -> Upgraded {
        self.connection.upgrade()
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) {
        if let Some(upload) = &mut self.upload
            && let Poll::Ready(sent) = upload.poll(&mut self.connection, cx)
        {
            self.keep_alive &= sent.is_ok() && !upload.is_cut_off();
            self.upload = None;
        }
    }
}

/// A connection whose answer was read before the request was sent.
pub struct Sending {
    connection: Connection,
    upload: Box<Upload>,
}

impl Sending {
    /// Sends the rest. None: that failed.
    pub async fn finish(mut self) -> Option<Connection> {
        let sent = poll_fn(|cx| self.upload.poll(&mut self.connection, cx)).await;
        (sent.is_ok() && !self.upload.is_cut_off()).then_some(self.connection)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let body = self.get_mut();
        body.poll_upload(cx);
        loop {
            match body.decoder.decode(&mut body.connection.input)? {
                Decoded::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Decoded::Trailers(trailers) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Decoded::End => return Poll::Ready(None),
                Decoded::Nothing => {}
            }
            match ready!(body.connection.poll_fill(cx)) {
                Ok(0) => body.decoder.close()?,
                Ok(_) => {}
                Err(_) => return Poll::Ready(Some(Err(BROKE_OFF))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.decoder
            .left()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

const BROKE_OFF: BrokenBody = BrokenBody("the connection broke off before the end of the body");
/// Bytes of informational answers, and of the head behind them.
const MOST_BEFORE_HEAD: usize = 256 << 10;
