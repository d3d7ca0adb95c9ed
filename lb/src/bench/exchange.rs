//! One connection from its first to its last byte.
//!
//! After `close_notify` the server is left to close first. So the whole of its work is in what it is
//! measured by, and the waiting state of TCP, which would use up the local ports, is not ours. What
//! comes before the end is read: session tickets.

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{ClientConfig, ClientConnection};
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::failure::{Failure, Stage};

/// What every connection has in common.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    pub(super) server_name: ServerName<'static>,
    /// The request to send after the handshake, byte for byte.
    pub(super) request: Option<Vec<u8>>,
    pub(super) timeout: Duration,
}

/// A connection that went well.
pub(super) struct Done {
    /// Its TLS side, for what was agreed on.
    pub(super) tls: ClientConnection,
    /// When the handshake was complete.
    pub(super) shaken: Instant,
    /// The response's status, and when it had been read.
    pub(super) response: Option<(u16, Instant)>,
    /// How the server took the client's `close_notify`.
    pub(super) farewell: Farewell,
}

/// How the server took the client's `close_notify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// It sent its own and closed (RFC 8446 section 6.1).
    Proper,
    /// It closed without its own.
    Silent,
    /// It left the connection open for longer than [`GOODBYE`].
    LeftOpen,
}

impl Endpoint {
    /// Opens a connection, shakes hands, has the request answered, and closes.
    ///
    /// # Errors
    /// How the connection failed.
    pub(super) async fn exchange(&self, config: &Arc<ClientConfig>) -> Result<Done, Failure> {
        let mut stage = Stage::Connect;
        match timeout(self.timeout, self.open_to_close(config, &mut stage)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::late(stage)),
        }
    }

    async fn open_to_close(
        &self,
        config: &Arc<ClientConfig>,
        stage: &mut Stage,
    ) -> Result<Done, Failure> {
        let connect = TcpStream::connect(self.address).await;
        let tcp = connect.map_err(|error| Failure::connecting(&error))?;
        tcp.set_nodelay(true)
            .map_err(|error| Failure::transferring(&error))?;
        *stage = Stage::Handshake;
        let tls = ClientConnection::new(config.clone(), self.server_name.clone())?;
        let mut connection = Connection {
            tcp,
            tls,
            out: Vec::with_capacity(OUT),
            peer_closed: false,
        };
        connection.handshake().await?;
        let shaken = Instant::now();
        *stage = Stage::Response;
        let response = match &self.request {
            Some(request) => Some((connection.ask(request).await?, Instant::now())),
            None => None,
        };
        let farewell = connection.close().await;
        let tls = connection.tls;
        Ok(Done {
            tls,
            shaken,
            response,
            farewell,
        })
    }
}

struct Connection {
    tcp: TcpStream,
    tls: ClientConnection,
    out: Vec<u8>,
    /// Whether the server has sent `close_notify`.
    peer_closed: bool,
}

impl Connection {
    async fn handshake(&mut self) -> Result<(), Failure> {
        loop {
            self.flush().await?;
            if !self.tls.is_handshaking() {
                return Ok(());
            }
            if self.receive().await? == 0 {
                return Err(Failure::Closed);
            }
        }
    }

    /// Sends `request` and reads the response until the server ends it; its status.
    async fn ask(&mut self, request: &[u8]) -> Result<u16, Failure> {
        self.tls.writer().write_all_now(request)?;
        self.flush().await?;
        let mut head = Vec::new();
        let mut chunk = [0; CHUNK];
        loop {
            match self.tls.reader().read(&mut chunk) {
                Ok(0) => return status(&head),
                Ok(n) if head.len() < MAX_HEAD => head.extend_from_slice(&chunk[..n]),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.receive().await? == 0 {
                        return status(&head);
                    }
                }
                // The server closed without `close_notify`.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return status(&head),
                Err(error) => return Err(Failure::transferring(&error)),
            }
        }
    }

    /// Says goodbye and waits for the server to close.
    async fn close(&mut self) -> Farewell {
        self.tls.send_close_notify();
        let left_open = timeout(GOODBYE, self.drain()).await.is_err();
        if left_open {
            // Without this, the port would be ours for another minute.
            let _ = self.tcp.set_zero_linger();
        }
        match self.peer_closed {
            _ if left_open => Farewell::LeftOpen,
            true => Farewell::Proper,
            false => Farewell::Silent,
        }
    }

    /// Reads to the end. How it ends is nobody's fault any more: the handshake is done.
    async fn drain(&mut self) {
        if self.flush().await.is_err() {
            return;
        }
        while let Ok(1..) = self.receive().await {}
    }

    /// Reads what is there, or waits for it; how many bytes, 0 at the end.
    async fn receive(&mut self) -> Result<usize, Failure> {
        loop {
            match self.tls.read_tls(&mut Ready(&self.tcp)) {
                Ok(0) => return Ok(0),
                Ok(n) => return self.process().await.map(|()| n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let ready = self.tcp.readable().await;
                    ready.map_err(|error| Failure::transferring(&error))?;
                }
                Err(error) => return Err(Failure::transferring(&error)),
            }
        }
    }

    async fn process(&mut self) -> Result<(), Failure> {
        match self.tls.process_new_packets() {
            Ok(state) => {
                self.peer_closed |= state.peer_has_closed();
                Ok(())
            }
            Err(error) => {
                // The alert that tells the server what is wrong.
                let _ = self.flush().await;
                Err(error.into())
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        if !self.tls.wants_write() {
            return Ok(());
        }
        self.out.clear();
        while self.tls.wants_write() {
            let written = self.tls.write_tls(&mut self.out);
            written.map_err(|error| Failure::transferring(&error))?;
        }
        let sent = self.tcp.write_all(&self.out).await;
        sent.map_err(|error| Failure::transferring(&error))
    }
}

/// The bytes that have arrived on a socket.
struct Ready<'a>(&'a TcpStream);

impl Read for Ready<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

/// Plaintext to send goes into a buffer: nothing is waited for.
trait WriteNow {
    fn write_all_now(&mut self, bytes: &[u8]) -> Result<(), Failure>;
}

impl WriteNow for rustls::Writer<'_> {
    fn write_all_now(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        io::Write::write_all(self, bytes).map_err(|error| Failure::transferring(&error))
    }
}

fn status(head: &[u8]) -> Result<u16, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(head) {
        Ok(httparse::Status::Complete(_)) => response.code.ok_or(Failure::Response),
        _ => Err(Failure::Response),
    }
}

/// A ClientHello with a post-quantum share fits in.
const OUT: usize = 2048;
const CHUNK: usize = 16 * 1024;
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
/// How long a server may take to close.
const GOODBYE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_one_with_a_whole_head() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody"), Ok(200));
        for broken in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\nA: b\r\n",
            b"SSH-2.0-x\r\n\r\n",
        ] {
            assert_eq!(status(broken), Err(Failure::Response));
        }
    }
}
