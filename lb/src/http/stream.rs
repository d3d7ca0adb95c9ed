//! The byte stream that hyper reads HTTP/1.1 requests from, and nothing but good ones.
//!
//! Bytes go from the connection into hyper's own buffer and are looked at there. Only what is not
//! known to be good yet, the beginning of a head whose end has not come, is held back in a buffer
//! here, as is what follows a request that is not answered: hyper would not read on behind it, and not
//! notice that the client leaves. A refused head never reaches hyper: in its place hyper is given a small request of our own,
//! which the service answers with the refusal, so that it comes after the responses that are due
//! before it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::framing::{Framing, HeadLimits, Position, Refusal, Refused};
use super::incoming::{LINGER, LINGER_BYTES};
use super::reply::Exchange;
use super::stall::Stall;
use crate::drain::Leaving;

/// How long an HTTP/1.1 client may take to send something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// From a head's first byte to its end.
    pub(crate) head: Duration,
    /// Between two pieces of a body.
    pub(crate) body: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
}

/// An HTTP/1.1 connection as hyper sees it.
pub(crate) struct HttpStream<T> {
    io: T,
    framing: Framing,
    exchange: Arc<Exchange>,
    timeouts: Timeouts,
    /// Bytes that were read but not passed on.
    held: Vec<u8>,
    /// How many of them may be.
    cleared: usize,
    end: Option<End>,
    reading: Stall,
    lingering: Option<Lingering>,
    /// Ends tunnels: they outlive hyper's connection, and everything that watches over it.
    leaving: Leaving,
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Why hyper gets nothing more once what is held was passed on.
enum End {
    /// The client has closed, or has been silent too long.
    Closed,
    /// A refusal is on its way to the client.
    Refused,
    /// The body broke off.
    Broken(io::Error),
}

impl<T: AsyncRead + AsyncWrite + Unpin> HttpStream<T> {
    /// Reads requests from `io`.
    pub(super) fn new(
        io: T,
        limits: HeadLimits,
        timeouts: Timeouts,
        exchange: Arc<Exchange>,
        leaving: Leaving,
    ) -> Self {
        Self {
            io,
            framing: Framing::new(limits),
            exchange,
            timeouts,
            held: Vec::new(),
            cleared: 0,
            end: None,
            reading: Stall::default(),
            lingering: None,
            leaving,
            cut: None,
        }
    }

    /// Whether the client has said nothing of the next request yet.
    pub(super) fn is_between_requests(&self) -> bool {
        let heads = self.framing.heads();
        let between = match self.framing.position() {
            Position::Head => true,
            Position::Answering => self.exchange.poll_answered(heads, None) == Poll::Ready(false),
            _ => false,
        };
        between && self.held.is_empty() && self.end.is_none()
    }

    /// Takes back what hyper has read but not looked at.
    pub(super) fn take_back(&mut self, bytes: &[u8]) {
        self.held.splice(..0, bytes.iter().copied());
        self.cleared += bytes.len();
    }

    /// What is underneath.
    pub(super) fn io(&mut self) -> &mut T {
        &mut self.io
    }

    /// Moves what is held and may be passed on. Whether there was any.
    fn pass_on(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let passed = self.cleared.min(buf.remaining());
        if passed == 0 {
            return false;
        }
        buf.put_slice(&self.held[..passed]);
        self.held.drain(..passed);
        self.cleared -= passed;
        if self.held.is_empty() {
            self.held = Vec::new();
        }
        true
    }

    /// Whether no more is read of what waits for the response before it: a client that leaves is noticed
    /// only by reading.
    fn is_full(&self) -> bool {
        self.framing.position() == Position::Answering && self.held.len() >= AHEAD
    }

    /// Reads, and passes on what is good. Whether hyper has anything to look at.
    fn poll_more(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        if self.is_full() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let arrived = &buf.filled()[before..];
        if arrived.is_empty() {
            self.end = Some(End::Closed);
            return Poll::Ready(Ok(false));
        }
        if self.held.is_empty() {
            self.reading.progress();
            let cleared = self.framing.clear(arrived);
            self.held.extend_from_slice(&arrived[cleared.bytes..]);
            buf.set_filled(before + cleared.bytes);
            self.heed(cleared.refusal);
            return Poll::Ready(Ok(cleared.bytes > 0));
        }
        self.held.extend_from_slice(arrived);
        buf.set_filled(before);
        self.clear_held();
        // A head that arrives byte by byte gets no more time by it.
        if self.cleared > 0 {
            self.reading.progress();
        }
        Poll::Ready(Ok(false))
    }

    /// Waits for the response, which makes a tunnel of the connection or not, and goes on to what follows
    /// the request.
    fn poll_answered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Where nothing is held, the client wakes whoever reads.
        let waker = (!self.held.is_empty()).then(|| cx.waker());
        let tunnel = ready!(self.exchange.poll_answered(self.framing.heads(), waker));
        self.framing.answered(tunnel);
        self.reading.progress();
        self.clear_held();
        Poll::Ready(())
    }

    fn clear_held(&mut self) {
        let cleared = self.framing.clear(&self.held);
        self.cleared = cleared.bytes;
        self.heed(cleared.refusal);
    }

    fn heed(&mut self, refused: Option<Refused>) {
        match refused {
            None => {}
            Some(Refused::Head(refusal)) => self.refuse(refusal),
            Some(Refused::Body(refusal)) => {
                self.break_off(io::Error::new(io::ErrorKind::InvalidData, refusal));
            }
        }
    }

    /// Puts the refusal in the place of the head that was not good.
    fn refuse(&mut self, refusal: Refusal) {
        self.exchange.refuse(self.framing.heads() + 1, refusal);
        self.framing.close();
        self.held.truncate(self.cleared);
        self.held.extend_from_slice(STAND_IN);
        self.cleared = self.held.len();
        self.end = Some(End::Refused);
    }

    fn break_off(&mut self, error: io::Error) {
        self.framing.close();
        self.held.truncate(self.cleared);
        self.end = Some(End::Broken(error));
    }

    /// Nothing has arrived. Until when may that go on?
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.framing.position() {
            Position::Head | Position::Answering if self.held.is_empty() => {
                ready!(self.poll_idle(cx));
                self.end = Some(End::Closed);
            }
            Position::Head => {
                ready!(self.reading.poll_over(cx, self.timeouts.head, None));
                self.refuse(HEAD_TIMEOUT);
            }
            Position::Body => {
                ready!(self.reading.poll_over(cx, self.timeouts.body, None));
                self.break_off(io::Error::new(io::ErrorKind::TimedOut, BODY_TIMEOUT));
            }
            Position::Tunnel => {
                ready!(self.poll_cut(cx));
                self.break_off(io::ErrorKind::ConnectionAborted.into());
            }
            Position::Answering | Position::Refused => return Poll::Pending,
        }
        Poll::Ready(())
    }

    /// Ready when the client has been without a request for too long. hyper does not read again when a
    /// response has been sent, if it has read in vain before: so the timer runs all the time, and when
    /// it fires it is seen how long nothing was in flight.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.timeouts.idle;
        loop {
            let quiet = self.exchange.quiet_since();
            let closing = self.exchange.closing().filter(|_| quiet.is_some());
            ready!(self.reading.poll_over(cx, limit, closing));
            let now = Instant::now();
            let end = quiet.unwrap_or(now) + limit;
            if closing.is_some_and(|closing| closing <= now) || end <= now {
                return Poll::Ready(());
            }
            self.reading.extend(end);
        }
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let leaving = &self.leaving;
        let cut = self
            .cut
            .get_or_insert_with(|| Box::pin(leaving.clone().cut()));
        cut.as_mut().poll(cx)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for HttpStream<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.pass_on(buf) {
                return Poll::Ready(Ok(()));
            }
            match this.end.take() {
                None => {}
                Some(End::Closed) => {
                    this.end = Some(End::Closed);
                    return Poll::Ready(Ok(()));
                }
                Some(End::Refused) => {
                    this.end = Some(End::Refused);
                    return Poll::Pending;
                }
                Some(End::Broken(error)) => {
                    this.end = Some(End::Closed);
                    return Poll::Ready(Err(error));
                }
            }
            let answering = this.framing.position() == Position::Answering;
            if answering && this.poll_answered(cx).is_ready() {
                continue;
            }
            match this.poll_more(cx, buf)? {
                Poll::Ready(true) => return Poll::Ready(Ok(())),
                Poll::Ready(false) => {}
                Poll::Pending => ready!(this.poll_patience(cx)),
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HttpStream<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.exchange.flushed(false);
        Pin::new(&mut this.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.exchange.flushed(false);
        Pin::new(&mut this.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.exchange.flushed(flushed.is_ready());
        flushed
    }

    /// Says that no more will come. Where the client may still be sending, what it sends is read for a
    /// while and thrown away: closing at once would make the kernel reset the connection, and the
    /// client could lose the response before it reads it.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            if this.framing.position() == Position::Answering {
                // Without an answer there is no tunnel, and nothing to wait for.
                let _ = this.poll_answered(cx);
            }
            // The other half of a tunnel is not ours to throw away.
            let tunnel = this.framing.position() == Position::Tunnel;
            if tunnel || matches!(this.end, Some(End::Closed)) {
                return Poll::Ready(Ok(()));
            }
        }
        let lingering = this.lingering.get_or_insert_with(Lingering::begin);
        let scrap = lingering.poll(cx, Pin::new(&mut this.io));
        if this.is_between_requests() {
            return Poll::Ready(Ok(()));
        }
        scrap
    }
}

/// Reading what nobody wants any more.
struct Lingering {
    left: usize,
    timer: Pin<Box<Sleep>>,
}

impl Lingering {
    fn begin() -> Self {
        Self {
            left: LINGER_BYTES,
            timer: Box::pin(tokio::time::sleep(LINGER)),
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut io: Pin<&mut impl AsyncRead>,
    ) -> Poll<io::Result<()>> {
        let mut scrap = [0; 2048];
        while self.left > 0 && self.timer.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut scrap);
            let read = ready!(io.as_mut().poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                break;
            }
            self.left = self.left.saturating_sub(buf.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}

/// What hyper reads in the place of a refused head.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// How much is read of what follows a request before it is answered.
const AHEAD: usize = 16 << 10;

const HEAD_TIMEOUT: Refusal = Refusal::new(
    StatusCode::REQUEST_TIMEOUT,
    "the request head did not arrive in time",
);
const BODY_TIMEOUT: Refusal = Refusal::new(
    StatusCode::REQUEST_TIMEOUT,
    "the request body stopped arriving",
);

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt, Full};
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use parking_lot::Mutex;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::drain::leave;

    /// A request's method and body, in chunks of the given sizes or with its length.
    type Sent = (&'static str, Vec<u8>, Option<usize>);

    fn requests() -> impl Strategy<Value = Vec<Sent>> {
        let method = prop::sample::select(vec!["GET", "POST", "HEAD", "DELETE"]);
        let body = prop::collection::vec(any::<u8>(), 0..40);
        let chunk = prop::option::of(1usize..9);
        prop::collection::vec((method, body, chunk), 1..6)
    }

    fn encode((method, body, chunk): &Sent) -> Vec<u8> {
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n");
        let Some(chunk) = chunk else {
            let length = format!("Content-Length: {}\r\n\r\n", body.len());
            return [head.as_bytes(), length.as_bytes(), body].concat();
        };
        let mut bytes = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for piece in body.chunks(*chunk) {
            bytes.extend_from_slice(format!("{:x};e\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(&[piece, b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"0\r\nT: u\r\n\r\n");
        bytes
    }

    /// The methods and bodies that hyper makes of `bytes`, which come in pieces of the given sizes.
    async fn serve(bytes: Vec<u8>, pieces: Vec<usize>) -> Vec<(String, Vec<u8>)> {
        let (mut client, server) = duplex(64);
        let limits = HeadLimits {
            bytes: 1024,
            fields: 10,
        };
        let long = Duration::from_secs(60);
        let timeouts = Timeouts {
            head: long,
            body: long,
            idle: long,
        };
        let (_leave, leaving) = leave();
        let exchange = Exchange::new();
        let stream = HttpStream::new(server, limits, timeouts, Arc::clone(&exchange), leaving);
        let seen = Mutex::new(Vec::new());
        let service = service_fn(|request: Request<Incoming>| {
            let in_flight = exchange.begin().expect("nothing is refused");
            let seen = &seen;
            async move {
                let method = request.method().to_string();
                let body = request.into_body().collect().await.unwrap();
                seen.lock().push((method, body.to_bytes().to_vec()));
                let response = Response::new(Full::<Bytes>::default());
                Ok::<_, Infallible>(in_flight.answer_http1(response, false))
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let send = async move {
            let (mut from, mut to) = tokio::io::split(&mut client);
            let answers = async { from.read_to_end(&mut Vec::new()).await };
            let send = async {
                let mut rest = bytes.as_slice();
                for piece in pieces.into_iter().cycle() {
                    let (now, later) = rest.split_at(piece.min(rest.len()));
                    to.write_all(now).await.unwrap();
                    tokio::task::yield_now().await;
                    rest = later;
                    if rest.is_empty() {
                        break;
                    }
                }
            };
            let _ = tokio::join!(send, answers);
        };
        let (ended, ()) = tokio::join!(connection, send);
        ended.unwrap();
        seen.into_inner()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// hyper and the scan agree where each request ends, however the bytes come.
        #[test]
        fn hyper_sees_the_same_requests(
            requests in requests(),
            pieces in prop::collection::vec(1usize..60, 1..8),
        ) {
            let mut bytes = requests.iter().flat_map(encode).collect::<Vec<_>>();
            bytes.extend_from_slice(b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let seen = runtime.unwrap().block_on(serve(bytes, pieces));
            let mut sent: Vec<_> = requests
                .into_iter()
                .map(|(method, body, _)| (method.to_owned(), body))
                .collect();
            sent.push(("GET".to_owned(), Vec::new()));
            prop_assert_eq!(seen, sent);
        }
    }
}
