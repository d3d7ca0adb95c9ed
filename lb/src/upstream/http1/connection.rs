//! A connection to a target that serves one request at a time.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::task::coop::unconstrained;

use crate::forward::idle::IdleTimer;
use crate::upstream::connect::TargetStream;
use crate::upstream::pool::Slot;

/// A connection to a target.
pub struct Connection {
    stream: TargetStream,
    /// What has come and was not looked at yet.
    pub(super) input: BytesMut,
    /// How much is read at a time.
    piece: usize,
    /// Whether it has served a request before.
    pub reused: bool,
    /// For answers; it lives as long as the connection, so that a request costs no timer.
    pub(super) patience: IdleTimer,
}

/// A connection that speaks another protocol from now on.
pub struct Upgraded {
    stream: TargetStream,
    /// What has come of it already.
    first: Bytes,
}

impl Connection {
    /// One that was just made, to a target whose answers may take as long as `patience` to begin.
    pub fn new(stream: TargetStream, patience: Duration) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            piece: SMALLEST_PIECE,
            reused: false,
            patience: IdleTimer::new(patience),
        }
    }

    /// Whether the target has said nothing since the last answer, as far as the runtime knows: it has not
    /// closed the connection either. `cx` is woken when it does. What comes unasked for is no answer to the
    /// next request.
    pub fn poll_quiet(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.input.is_empty() {
            return false;
        }
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let stream = &mut self.stream;
        let reading = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer));
        // A task that has had its turn would be told that there is nothing.
        pin!(unconstrained(reading)).poll(cx).is_pending()
    }

    /// The same as of now: one system call, which sees what the runtime has not been told of.
    pub fn is_quiet(&self) -> bool {
        self.input.is_empty() && self.stream.is_quiet()
    }

    /// Closes it for another that takes its place.
    pub fn into_slot(self) -> Option<Slot> {
        self.stream.into_slot()
    }

    /// Says goodbye, where that can be done at once.
    pub fn close(mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        // It is given up, whether the target hears it or not.
        let _ = Pin::new(&mut self.stream).poll_shutdown(&mut cx);
    }

    #[cfg(test)]
    pub(crate) async fn readable(&self) {
        self.stream.socket().readable().await.unwrap();
    }

    #[cfg(test)]
    pub(crate) fn local_addr(&self) -> std::net::SocketAddr {
        self.stream.socket().local_addr().unwrap()
    }

    /// The bytes, for another protocol.
    pub(super) fn upgrade(self) -> Upgraded {
        Upgraded {
            stream: self.stream,
            first: self.input.freeze(),
        }
    }

    /// Whether what was written may have been sent in part when writing fails.
    pub(super) fn is_plain(&self) -> bool {
        self.stream.is_plain()
    }

    /// Reads something. 0: there will be nothing more.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() - self.input.len() < SMALLEST_PIECE / 2 {
            self.input.reserve(self.piece);
        }
        let room = self.input.capacity() - self.input.len();
        let read = pin!(self.stream.read_buf(&mut self.input)).poll(cx);
        if let Poll::Ready(Ok(length)) = read
            && length == room
        {
            self.piece = (self.piece * 2).min(LARGEST_PIECE);
        }
        read
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("reused", &self.reused)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// How much is read at first: most answers fit in.
const SMALLEST_PIECE: usize = 4 << 10;
/// How much is read at most, and so what a client that reads slowly costs.
const LARGEST_PIECE: usize = 32 << 10;
