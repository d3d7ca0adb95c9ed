//! A request on its way to a target.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request};
use http_body::{Body, Frame};

use super::connection::Connection;
use super::head;
use crate::error::End;
use crate::headers;
use crate::upstream::request_body::{BodyError, RequestBody};

/// A request in the form in which it is sent.
pub struct Outgoing {
    method: Method,
    head: Vec<u8>,
    body: RequestBody,
    coding: Coding,
}

/// How the target learns where the body ends (RFC 9112, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// By its length.
    Length(u64),
    Chunked,
}

/// A request that is being sent.
pub(super) struct Upload {
    outgoing: Outgoing,
    /// How much of the head is written.
    written: usize,
    /// How much of the body may come, where it has a length.
    coding: Coding,
    piece: Piece,
    state: State,
}

/// A piece of a body with its framing.
#[derive(Default)]
struct Piece {
    size: Bytes,
    data: Bytes,
    end: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There may be more of the body.
    Open,
    /// All of it is in the last piece, or written.
    Last,
    /// All is sent.
    Sent,
    /// The target takes no more.
    CutOff,
}

impl Outgoing {
    /// `request`, whose fields say how its body is framed.
    pub fn new(request: Request<RequestBody>) -> Self {
        let head = head::write(&request);
        let coding = coding(request.headers());
        let (parts, body) = request.into_parts();
        Self {
            method: parts.method,
            head,
            body,
            coding,
        }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }
}

fn coding(fields: &HeaderMap) -> Coding {
    if fields.contains_key(TRANSFER_ENCODING) {
        return Coding::Chunked;
    }
    let length = fields
        .get(CONTENT_LENGTH)
        .map(|_| headers::content_length(fields));
    match length {
        Some(Ok(Some(length))) => Coding::Length(length),
        _ => Coding::Length(0),
    }
}

impl Upload {
    pub(super) fn new(outgoing: Outgoing) -> Self {
        Self {
            coding: outgoing.coding,
            outgoing,
            written: 0,
            piece: Piece::default(),
            state: State::Open,
        }
    }

    /// The request once more, if nothing of its body is gone.
    pub(super) fn again(self) -> Option<Outgoing> {
        self.outgoing.body.is_whole().then_some(self.outgoing)
    }

    /// Whether nothing was written.
    pub(super) fn is_unwritten(&self) -> bool {
        self.written == 0
    }

    pub(super) fn method(&self) -> &Method {
        &self.outgoing.method
    }

    /// Whether everything is written, or nothing more can be.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Sent | State::CutOff)
    }

    /// Whether the target took only a part.
    pub(super) fn is_cut_off(&self) -> bool {
        self.state == State::CutOff
    }

    /// Writes what there is. A target that takes no more may have said why before it closed: what there is
    /// to read decides, an answer or the end.
    ///
    /// # Errors
    /// When the client's side of the body fails.
    pub(super) fn poll(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), BodyError>> {
        loop {
            if self.is_over() {
                return Poll::Ready(Ok(()));
            }
            if self.state == State::Open && self.piece.is_empty() {
                self.poll_body(cx)?;
            }
            if !self.has_unwritten() {
                match (ready!(connection.poll_flush(cx)), self.state) {
                    (Err(_), _) => self.state = State::CutOff,
                    (Ok(()), State::Last) => self.state = State::Sent,
                    (Ok(()), _) => return Poll::Pending,
                }
                continue;
            }
            match ready!(self.poll_write(connection, cx)) {
                Ok(written @ 1..) => self.advance(written),
                _ => self.state = State::CutOff,
            }
        }
    }

    /// Takes the next piece of the body, if there is one.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        while self.piece.is_empty() && self.state == State::Open {
            if self.outgoing.body.is_end_stream() {
                return self.end(None);
            }
            match Pin::new(&mut self.outgoing.body).poll_frame(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(None) => return self.end(None),
                Poll::Ready(Some(frame)) => self.take(frame?)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), BodyError> {
        match frame.into_data() {
            Err(frame) => self.end(frame.into_trailers().ok()),
            Ok(data) if data.is_empty() => Ok(()),
            Ok(data) => {
                match &mut self.coding {
                    Coding::Chunked => self.piece = Piece::chunk(data),
                    Coding::Length(left) => {
                        let length = data.len() as u64;
                        *left = left.checked_sub(length).ok_or(BodyError(End::BadLength))?;
                        self.piece = Piece::plain(data);
                    }
                }
                Ok(())
            }
        }
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), BodyError> {
        match self.coding {
            Coding::Length(0) => {}
            // The target would take what follows for the rest.
            Coding::Length(_) => return Err(BodyError(End::BadLength)),
            Coding::Chunked => self.piece = Piece::last_chunk(trailers.as_ref()),
        }
        self.state = State::Last;
        Ok(())
    }

    fn has_unwritten(&self) -> bool {
        self.written < self.outgoing.head.len() || !self.piece.is_empty()
    }

    fn poll_write(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<usize>> {
        let head = &self.outgoing.head[self.written..];
        let Piece { size, data, end } = &self.piece;
        let slices = [head, size, data, end].map(IoSlice::new);
        connection.poll_write(cx, &slices)
    }

    fn advance(&mut self, written: usize) {
        let of_head = written.min(self.outgoing.head.len() - self.written);
        self.written += of_head;
        self.piece.advance(written - of_head);
    }
}

impl Piece {
    fn plain(data: Bytes) -> Self {
        Self {
            data,
            ..Self::default()
        }
    }

    fn chunk(data: Bytes) -> Self {
        Self {
            size: format!("{:x}\r\n", data.len()).into(),
            data,
            end: Bytes::from_static(b"\r\n"),
        }
    }

    fn last_chunk(trailers: Option<&HeaderMap>) -> Self {
        let mut lines = Vec::new();
        for (name, value) in trailers.into_iter().flatten() {
            head::write_field(&mut lines, name, value);
        }
        Self {
            size: Bytes::from_static(b"0\r\n"),
            data: lines.into(),
            end: Bytes::from_static(b"\r\n"),
        }
    }

    fn is_empty(&self) -> bool {
        self.size.is_empty() && self.data.is_empty() && self.end.is_empty()
    }

    fn advance(&mut self, mut written: usize) {
        for part in [&mut self.size, &mut self.data, &mut self.end] {
            let here = written.min(part.len());
            part.advance(here);
            written -= here;
        }
    }
}
