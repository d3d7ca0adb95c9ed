//! Bound sockets and the accept loop.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use ipnet::IpNet;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::connection::{self, Arrival, Service};
use crate::drain::Leaving;
use crate::http::framing::HeadLimits;
use crate::http::stream::Timeouts;
use crate::tls::ServerTls;
use crate::tls::failures::Failures;
use crate::worker::{Admission, Place};

/// Everything about a listener that can change without its sockets. What is in force when a connection
/// is accepted holds for all of its life.
pub struct ListenerSettings {
    /// As configured.
    pub listener: Arc<config::Listener>,
    /// Whose PROXY headers are believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// How TLS is ended; none on a plain listener.
    pub tls: Option<Arc<ServerTls>>,
    pub(crate) http1: http1::Builder,
    pub(crate) head_limits: HeadLimits,
    pub(crate) timeouts: Timeouts,
    pub(crate) failures: Failures,
}

impl ListenerSettings {
    /// The settings of `listener`.
    pub fn new(
        listener: Arc<config::Listener>,
        trusted_proxies: Arc<[IpNet]>,
        tls: Option<Arc<ServerTls>>,
    ) -> Self {
        let limits = &listener.limits;
        Self {
            http1: http1_builder(limits),
            head_limits: HeadLimits {
                bytes: limits.max_header_bytes,
                fields: limits.max_headers,
            },
            timeouts: Timeouts {
                head: limits.header_timeout,
                body: limits.body_idle_timeout,
                idle: limits.idle_timeout,
            },
            failures: Failures::default(),
            listener,
            trusted_proxies,
            tls,
        }
    }
}

/// Heads have passed our own scan, and all waiting is watched, before hyper sees anything: its limits
/// must only not be tighter, and its timers are not needed.
fn http1_builder(limits: &config::ListenerLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.half_close(false);
    builder.header_read_timeout(None);
    builder.max_buf_size(HTTP1_BUFFER.max(limits.max_header_bytes + (8 << 10)));
    // Up to hyper's default the table of fields is on the stack.
    if limits.max_headers > 100 {
        builder.max_headers(limits.max_headers);
    }
    builder
}

/// How HTTP/2 is spoken on a connection whose streams `executor` runs.
pub(crate) fn http2_builder<E: Clone>(
    limits: &config::ListenerLimits,
    executor: E,
) -> http2::Builder<E> {
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .max_pending_accept_reset_streams(HTTP2_RESETS)
        .max_local_error_reset_streams(HTTP2_RESETS)
        .keep_alive_interval(limits.body_idle_timeout)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT);
    builder
}

/// A listener's sockets, bound but not served yet: one for each worker.
#[derive(Debug)]
pub struct BoundListener {
    address: SocketAddr,
    sockets: Vec<StdTcpListener>,
}

/// A listener's address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listener `{listener}` cannot listen on {address}: {hint} ({source})")]
pub struct BindError {
    listener: String,
    address: SocketAddr,
    hint: &'static str,
    source: io::Error,
}

impl BoundListener {
    /// Binds `listener`'s address once for each of so many workers; the kernel spreads connections
    /// over the sockets.
    ///
    /// # Errors
    /// When the address is in use, not this machine's, or not for unprivileged processes.
    pub fn bind(listener: &config::Listener, workers: usize) -> Result<Self, BindError> {
        let error = |source| BindError::new(listener, source);
        // Sockets that share a port share it with any other process of the same user: this one does not
        // share, and so finds out whether somebody is there already.
        let probe = socket(listener.bind, false).map_err(error)?;
        let address = local_addr(&probe).map_err(error)?;
        drop(probe);
        let sockets = (0..workers).map(|_| listen(address));
        let sockets = sockets.collect::<io::Result<_>>().map_err(error)?;
        Ok(Self { address, sockets })
    }

    /// The address that is listened on, with the port that the kernel chose where none was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn into_sockets(self) -> Vec<StdTcpListener> {
        self.sockets
    }
}

impl BindError {
    fn new(listener: &config::Listener, source: io::Error) -> Self {
        let hint = match source.kind() {
            io::ErrorKind::PermissionDenied if listener.bind.port() < 1024 => {
                "ports below 1024 need the capability CAP_NET_BIND_SERVICE; start it by its systemd unit, \
                 run `setcap cap_net_bind_service=+ep` on the binary, or choose a higher port"
            }
            io::ErrorKind::AddrInUse => {
                "another program listens there; `ss -ltnp` names it; stop it or choose another `bind`"
            }
            io::ErrorKind::AddrNotAvailable => {
                "no interface of this machine has that address; `ip address` lists those that it has"
            }
            _ => "the system refuses it",
        };
        Self {
            listener: listener.name.clone(),
            address: listener.bind,
            hint,
            source,
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<StdTcpListener> {
    let socket = socket(address, true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket that is bound, but does not listen yet.
fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 as well.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Accepted connections inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn local_addr(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// A listener's accept loop on one worker.
pub(crate) struct Accepting<S: Service> {
    pub(crate) socket: TcpListener,
    /// The address of the socket, where it is one address.
    pub(crate) address: SocketAddr,
    pub(crate) settings: Arc<ArcSwap<ListenerSettings>>,
    pub(crate) service: S,
    pub(crate) place: Arc<Place>,
    pub(crate) leaving: Leaving,
}

impl<S: Service> Accepting<S> {
    /// Accepts connections until the listener leaves, then those that wait in the socket, and closes
    /// it.
    pub(crate) async fn run(self) {
        let mut leaving = self.leaving.clone();
        tokio::select! {
            biased;
            () = leaving.begun() => {}
            () = self.accept_all() => {}
        }
        loop {
            match self.accept_waiting() {
                Ok((stream, peer)) => self.welcome(stream, peer),
                Err(error) if is_of_client(&error) => {}
                Err(_) => return,
            }
        }
    }

    async fn accept_all(&self) {
        let mut backoff = Backoff::default();
        loop {
            self.place.limit().wait_for_room().await;
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    backoff.works_again();
                    self.welcome(stream, peer);
                }
                Err(error) => {
                    let settings = self.settings.load_full();
                    backoff.after(&error, &settings.listener.name).await;
                }
            }
        }
    }

    /// A connection that waits already, also where the runtime has not heard of it yet.
    fn accept_waiting(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = SockRef::from(&self.socket).accept()?;
        stream.set_nonblocking(true)?;
        let peer = peer.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok((TcpStream::from_std(stream.into())?, peer))
    }

    fn welcome(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(local) = self.local_addr(&stream) else {
            return;
        };
        let settings = self.settings.load_full();
        let listener = Arc::clone(&settings.listener);
        let admission = Admission::new(self.service.clone(), listener, Arc::clone(&self.place));
        tokio::spawn(connection::run(Arrival {
            stream,
            peer: canonical(peer),
            local: canonical(local),
            accepted: Instant::now(),
            settings,
            leaving: self.leaving.clone(),
            service: self.service.clone(),
            admission,
        }));
    }

    /// None: the client is gone already.
    fn local_addr(&self, stream: &TcpStream) -> Option<SocketAddr> {
        if self.address.ip().is_unspecified() {
            return stream.local_addr().ok();
        }
        Some(self.address)
    }
}

/// IPv4 clients of an IPv6 socket are IPv4 clients.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => (ip, address.port()).into(),
        IpAddr::V6(_) => address,
    }
}

/// What to do when accepting fails. Some failures are the client's, who went away before it was
/// accepted; the others (no descriptors, no memory) last, and trying again at once would burn a core.
#[derive(Default)]
pub(crate) struct Backoff {
    pause: Duration,
    /// When it was last said.
    said: Option<Instant>,
}

impl Backoff {
    /// Accepting works again.
    pub(crate) fn works_again(&mut self) {
        self.pause = Duration::ZERO;
    }

    /// Pauses after `error`. It may come and go with every connection that ends: it is said now and then.
    pub(crate) async fn after(&mut self, error: &io::Error, listener: &str) {
        if is_of_client(error) {
            return;
        }
        if self.is_news() {
            tracing::warn!(
                listener,
                %error,
                "cannot accept connections; they wait until it works again (raise LimitNOFILE, or lower max_connections)"
            );
        }
        self.pause = (self.pause * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
        sleep(self.pause).await;
    }

    fn is_news(&mut self) -> bool {
        let known = self.said.is_some_and(|said| said.elapsed() < SAY_AGAIN);
        if !known {
            self.said = Some(Instant::now());
        }
        !known
    }
}

/// Errors that accept(2) passes on from the connection.
fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

/// Connections that wait in the kernel; it takes net.core.somaxconn if that is less.
const BACKLOG: i32 = 4096;

const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// How long it goes unsaid that accepting still fails.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// Bytes that hyper holds of a response that the client does not take, and of a body that no target
/// takes.
const HTTP1_BUFFER: usize = 64 << 10;

/// How much of a request's body a client may send ahead. 256 KiB is 40 MB/s over 6 ms, or 20 Mbit/s over
/// 100 ms, and bounds what one connection can make us hold to the connection's window.
const HTTP2_STREAM_WINDOW: u32 = 256 << 10;
const HTTP2_CONNECTION_WINDOW: u32 = 1 << 20;

/// Bytes of a response that wait in a stream for the client's window.
const HTTP2_SEND_BUFFER: usize = 64 << 10;

/// Streams that a client may reset before they were looked at, and streams reset for its errors: a
/// flood of them ends the connection (CVE-2023-44487).
const HTTP2_RESETS: usize = 64;

/// How long a ping may take.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn accepting_pauses_while_there_are_no_descriptors() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        let full = io::Error::from(rustix::io::Errno::MFILE);
        backoff.after(&full, "test").await;
        assert_eq!(start.elapsed(), BACKOFF_MIN);
        for _ in 0..20 {
            backoff.after(&full, "test").await;
        }
        let before = Instant::now();
        backoff.after(&full, "test").await;
        assert_eq!(before.elapsed(), BACKOFF_MAX);
    }

    /// Descriptors may come free one by one.
    #[tokio::test(start_paused = true)]
    async fn it_is_not_said_at_every_failure() {
        let mut backoff = Backoff::default();
        assert!(backoff.is_news());
        backoff.works_again();
        assert!(!backoff.is_news());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_went_away_costs_no_pause() {
        let start = Instant::now();
        let gone = io::Error::from(rustix::io::Errno::CONNABORTED);
        Backoff::default().after(&gone, "test").await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
