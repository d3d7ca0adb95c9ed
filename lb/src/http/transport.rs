//! The bytes of a connection: TCP, or TLS over it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use config::HttpVersion;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::stall::Stall;

/// A connection's bytes, in the clear. Holds `A` for as long as it lives, also where it was handed on to
/// a tunnel.
pub(crate) struct Transport<A> {
    io: Io,
    /// What was read to see which protocol is spoken.
    first: Vec<u8>,
    writing: Stall,
    /// How long a client may take nothing.
    patience: Duration,
    _admission: A,
}

/// Where the bytes go.
pub(crate) enum Io {
    /// Plain.
    Tcp(TcpStream),
    /// A session's state is large, and most connections are idle most of the time.
    Tls(Box<TlsStream<TcpStream>>),
}

impl<A> Transport<A> {
    /// A client that takes none of the bytes meant for it for longer than `patience` is given up.
    pub(crate) fn new(io: Io, patience: Duration, admission: A) -> Self {
        Self {
            io,
            first: Vec::new(),
            writing: Stall::default(),
            patience,
            _admission: admission,
        }
    }

    /// Waits for the client to say something. None: it leaves without a word.
    pub(crate) async fn wait(&mut self) -> io::Result<Option<()>> {
        let waiting = self.io.peek(&mut [0]).await?;
        Ok((waiting > 0).then_some(()))
    }

    /// Waits for the client to show whether it speaks HTTP/2 with prior knowledge (RFC 9113, section
    /// 3.3). None: it leaves without a word.
    pub(crate) async fn version(&mut self) -> io::Result<Option<HttpVersion>> {
        loop {
            let expected = &PREFACE[self.first.len()..];
            let mut waiting = [0; PREFACE.len()];
            let length = self.io.peek(&mut waiting[..expected.len()]).await?;
            if length == 0 {
                return Ok(None);
            }
            if waiting[..length] != expected[..length] {
                return Ok(Some(HttpVersion::Http1));
            }
            if length == expected.len() {
                return Ok(Some(HttpVersion::Http2));
            }
            self.io.skip(&mut waiting[..length]).await?;
            self.first.extend_from_slice(&waiting[..length]);
        }
    }

    /// After writing came to `written`: whether the client has taken nothing for too long.
    fn watch<R>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.writing.progress();
            return written;
        }
        ready!(self.writing.poll_over(cx, self.patience, None));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// What both kinds of bytes can do.
trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl Io {
    fn duplex(&mut self) -> Pin<&mut dyn Duplex> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp),
            Self::Tls(tls) => Pin::new(tls.as_mut()),
        }
    }

    /// Waits for bytes and copies them, without taking them away. 0: there will be none.
    async fn peek(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.peek(bytes).await,
            Self::Tls(tls) => {
                let waiting = tls.fill_buf().await?;
                let length = waiting.len().min(bytes.len());
                bytes[..length].copy_from_slice(&waiting[..length]);
                Ok(length)
            }
        }
    }

    /// Takes the bytes away that were looked at.
    async fn skip(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.read_exact(bytes).await.map(drop),
            Self::Tls(tls) => {
                Pin::new(tls.as_mut()).consume(bytes.len());
                Ok(())
            }
        }
    }
}

impl<A: Unpin> AsyncRead for Transport<A> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.first.is_empty() {
            let length = this.first.len().min(buf.remaining());
            buf.put_slice(&this.first[..length]);
            this.first.drain(..length);
            return Poll::Ready(Ok(()));
        }
        this.io.duplex().poll_read(cx, buf)
    }
}

impl<A: Unpin> AsyncWrite for Transport<A> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.io.duplex().poll_write(cx, buf);
        this.watch(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.io.duplex().poll_write_vectored(cx, bufs);
        this.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(tcp) => tcp.is_write_vectored(),
            Io::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = this.io.duplex().poll_flush(cx);
        this.watch(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = this.io.duplex().poll_shutdown(cx);
        this.watch(cx, shut)
    }
}

/// What a client sends first that speaks HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
