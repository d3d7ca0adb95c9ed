//! One connection to a target, TCP and TLS.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pool::Slot;
use crate::error::{End, ProxyError};

/// How a target is connected to.
#[derive(Clone)]
pub struct Dial {
    address: SocketAddr,
    /// Connecting may take as long, TLS included.
    timeout: Duration,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Dial {
    /// To `address`, within `timeout`, with TLS where there is a configuration and a name for it.
    pub fn new(
        address: SocketAddr,
        timeout: Duration,
        tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
    ) -> Self {
        Self {
            address,
            timeout,
            tls: tls.map(|(config, name)| (TlsConnector::from(config), name)),
        }
    }

    /// Where the target listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A new connection, ready for HTTP, and what can be seen of it from outside. `slot` is given back when
    /// the connection is closed.
    ///
    /// # Errors
    /// When the target cannot be reached, is too slow, or its TLS is not what it should be.
    pub async fn connect(
        &self,
        slot: Option<Slot>,
    ) -> Result<(TokioIo<TargetStream>, Arc<Wire>), ProxyError> {
        let connected = timeout(self.timeout, self.connect_unbounded()).await;
        let (io, socket) = connected.map_err(|_| {
            let detail = format!("{}: not connected within {:?}", self.address, self.timeout);
            ProxyError::because(End::ConnectTimeout, detail)
        })??;
        let wire = Arc::new(Wire {
            received: AtomicU64::new(0),
            most: AtomicU64::new(u64::MAX),
            socket,
        });
        let stream = TargetStream {
            io,
            wire: wire.clone(),
            is_deaf: false,
            _slot: slot,
        };
        Ok((TokioIo::new(stream), wire))
    }

    async fn connect_unbounded(&self) -> Result<(Transport, Weak<Mutex<TcpStream>>), ProxyError> {
        let failed = |end| {
            move |error: io::Error| {
                ProxyError::because(end, format_args!("{}: {error}", self.address))
            }
        };
        let stream = TcpStream::connect(self.address).await;
        let stream = stream.map_err(|error| failed(why_not_connected(&error))(error))?;
        stream
            .set_nodelay(true)
            .map_err(failed(End::ConnectFailed))?;
        let stream = Arc::new(Mutex::new(stream));
        let (socket, stream) = (Arc::downgrade(&stream), Socket(stream));
        let Some((connector, name)) = &self.tls else {
            return Ok((Transport::Plain(stream), socket));
        };
        let stream = connector.connect(name.clone(), stream).await;
        let stream = stream.map_err(failed(End::TlsFailed))?;
        Ok((Transport::Tls(Box::new(stream)), socket))
    }
}

impl std::fmt::Debug for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dial")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// Whose fault it is that no connection was made: the target's, unless something of our own ran out.
fn why_not_connected(error: &io::Error) -> End {
    let own = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    match Errno::from_io_error(error) {
        Some(errno) if own.contains(&errno) => End::OutOfResources,
        _ => End::ConnectFailed,
    }
}

/// A connection to a target that counts what comes over it.
pub struct TargetStream {
    io: Transport,
    wire: Arc<Wire>,
    /// Whether the target takes nothing any more.
    is_deaf: bool,
    _slot: Option<Slot>,
}

impl TargetStream {
    /// A target that takes no more may have said why before it closed: writing waits from then on, and what
    /// there is to read decides, an answer or the end.
    fn heed<T>(&mut self, written: Poll<io::Result<T>>, cx: &Context<'_>) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match written {
            Poll::Ready(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                self.is_deaf = true;
                // Reading comes before writing: it has another turn now.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            written => written,
        }
    }
}

enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// A socket that can be looked at while its connection holds it. Nobody ever waits for the lock: a socket
/// is looked at while nothing is under way on it.
struct Socket(Arc<Mutex<TcpStream>>);

/// What can be seen of a connection from outside.
#[derive(Debug)]
pub struct Wire {
    received: AtomicU64,
    /// How many bytes may have come by now.
    most: AtomicU64,
    socket: Weak<Mutex<TcpStream>>,
}

impl Wire {
    /// Bytes that have come over it.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// A head is awaited: reading fails once so much has come before it that it can only be informational
    /// answers without end.
    pub fn await_head(&self) {
        let most = self.received().saturating_add(MOST_BEFORE_HEAD);
        self.most.store(most, Ordering::Relaxed);
    }

    /// The head is there: what follows is a body of any size.
    pub fn head_came(&self) {
        self.most.store(u64::MAX, Ordering::Relaxed);
    }

    /// So many bytes more have come.
    ///
    /// # Errors
    /// When they are more than may come before a head.
    fn receive(&self, bytes: usize) -> io::Result<()> {
        let before = self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        if before.saturating_add(bytes as u64) > self.most.load(Ordering::Relaxed) {
            let why = "informational answers without end";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(())
    }

    /// Whether the target has neither closed the connection nor sent anything that was not read yet: one
    /// system call, which sees what no task has been told of.
    pub fn is_quiet(&self) -> bool {
        let Some(socket) = self.socket.upgrade() else {
            return false;
        };
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let seen = recv(&*socket.lock(), &mut [0_u8; 1], flags);
        matches!(seen, Err(Errno::AGAIN))
    }
}

/// Calls a method of whichever stream there is.
macro_rules! either {
    ($stream:expr, $method:ident $(, $argument:expr)*) => {
        match &mut $stream.get_mut().io {
            Transport::Plain(io) => Pin::new(io).$method($($argument),*),
            Transport::Tls(io) => Pin::new(io).$method($($argument),*),
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock()).poll_shutdown(cx)
    }
}

impl AsyncRead for TargetStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(either!(self.as_mut(), poll_read, cx, buffer))?;
        let came = buffer.filled().len() - before;
        Poll::Ready(self.wire.receive(came))
    }
}

impl AsyncWrite for TargetStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        let written = either!(self.as_mut(), poll_write, cx, bytes);
        self.heed(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        let written = either!(self.as_mut(), poll_write_vectored, cx, slices);
        self.heed(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Transport::Plain(io) => io.is_write_vectored(),
            Transport::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        let written = either!(self.as_mut(), poll_flush, cx);
        self.heed(written, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_shutdown, cx)
    }
}

/// Bytes of informational answers, and of the head behind them.
const MOST_BEFORE_HEAD: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_out_here_is_not_the_targets_fault() {
        for (errno, end) in [
            (Errno::MFILE, End::OutOfResources),
            (Errno::NFILE, End::OutOfResources),
            (Errno::NOBUFS, End::OutOfResources),
            (Errno::NOMEM, End::OutOfResources),
            (Errno::CONNREFUSED, End::ConnectFailed),
        ] {
            let error = io::Error::from(errno);
            assert_eq!(why_not_connected(&error), end, "{error}");
        }
    }
}
