//! One connection to a target, TCP and TLS.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

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

    /// A new connection, ready for HTTP. `slot` is given back when it is closed.
    ///
    /// # Errors
    /// When the target cannot be reached, is too slow, or its TLS is not what it should be.
    pub async fn connect(&self, slot: Option<Slot>) -> Result<TargetStream, ProxyError> {
        let connected = timeout(self.timeout, self.connect_unbounded()).await;
        let io = connected.map_err(|_| {
            let detail = format!("{}: not connected within {:?}", self.address, self.timeout);
            ProxyError::because(End::ConnectTimeout, detail)
        })??;
        Ok(TargetStream { io, slot })
    }

    async fn connect_unbounded(&self) -> Result<Transport, ProxyError> {
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
        let Some((connector, name)) = &self.tls else {
            return Ok(Transport::Plain(stream));
        };
        let stream = connector.connect(name.clone(), stream).await;
        let stream = stream.map_err(failed(End::TlsFailed))?;
        Ok(Transport::Tls(Box::new(stream)))
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

/// The bytes of a connection to a target.
pub struct TargetStream {
    io: Transport,
    slot: Option<Slot>,
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

impl TargetStream {
    #[cfg(test)]
    pub(super) fn of_memory(io: tokio::io::DuplexStream) -> Self {
        Self {
            io: Transport::Memory(io),
            slot: None,
        }
    }

    /// Closes it, and leaves its place.
    pub(super) fn into_slot(self) -> Option<Slot> {
        self.slot
    }

    /// Whether there is no TLS.
    pub fn is_plain(&self) -> bool {
        matches!(self.io, Transport::Plain(_))
    }

    /// Whether the target has neither closed the connection nor sent anything that was not read yet: one
    /// system call, which sees what the runtime has not been told of.
    pub fn is_quiet(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let seen = recv(self.socket(), &mut [0_u8; 1], flags);
        matches!(seen, Err(Errno::AGAIN))
    }

    pub(super) fn socket(&self) -> &TcpStream {
        match &self.io {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.get_ref().0,
            #[cfg(test)]
            Transport::Memory(_) => unreachable!("memory has no socket"),
        }
    }
}

/// Calls a method of whichever stream there is.
macro_rules! either {
    ($stream:expr, $method:ident $(, $argument:expr)*) => {
        match &mut $stream.get_mut().io {
            Transport::Plain(io) => Pin::new(io).$method($($argument),*),
            Transport::Tls(io) => Pin::new(io.as_mut()).$method($($argument),*),
            #[cfg(test)]
            Transport::Memory(io) => Pin::new(io).$method($($argument),*),
        }
    };
}

impl AsyncRead for TargetStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, poll_read, cx, buffer)
    }
}

impl AsyncWrite for TargetStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, poll_write, cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, poll_write_vectored, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_shutdown, cx)
    }
}

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
