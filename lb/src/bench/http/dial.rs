//! How a thread opens connections, and what requests are sent on.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::rt::{Executor, Read, Write};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::plan::Protocol;
use crate::bench::failure::{Failure, Stage};
use crate::bench::negotiated::Agreements;

/// Opens the connections of a thread.
pub(super) struct Dialer {
    pub(super) address: SocketAddr,
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(super) protocol: Protocol,
    /// How many connections came about.
    pub(super) opened: Cell<u64>,
    /// What was agreed on.
    pub(super) agreements: RefCell<Agreements>,
}

/// What requests are sent on.
pub(super) enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Dialer {
    /// One that has not opened a connection yet.
    pub(super) fn new(
        address: SocketAddr,
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
        protocol: Protocol,
    ) -> Self {
        Self {
            address,
            tls: tls.map(|(config, name)| (TlsConnector::from(config), name)),
            protocol,
            opened: Cell::new(0),
            agreements: RefCell::default(),
        }
    }

    /// Opens a connection, which is served by a task of this thread.
    ///
    /// # Errors
    /// How it failed.
    pub(super) async fn dial(&self, stage: &Cell<Stage>) -> Result<Sender, Failure> {
        stage.set(Stage::Connect);
        let tcp = TcpStream::connect(self.address).await;
        let tcp = tcp.map_err(|error| Failure::connecting(&error))?;
        tcp.set_nodelay(true)
            .map_err(|error| Failure::transferring(&error))?;
        stage.set(Stage::Handshake);
        let sender = match &self.tls {
            None => self.speak(TokioIo::new(tcp)).await,
            Some((connector, name)) => {
                let tls = connector.connect(name.clone(), tcp).await;
                let tls = tls.map_err(|error| Failure::shaking(&error))?;
                self.agreed(&tls)?;
                // Boxed, since hyper moves a type as large as this about with every HTTP/2 request.
                self.speak(TokioIo::new(Box::new(tls))).await
            }
        };
        let sender = sender.map_err(|error| Failure::asking(&error))?;
        self.opened.set(self.opened.get() + 1);
        Ok(sender)
    }

    /// Counts what was agreed on. Without ALPN one may still speak HTTP/1.1 (RFC 9112 section 9.7).
    fn agreed(&self, stream: &TlsStream<TcpStream>) -> Result<(), Failure> {
        let (_, connection) = stream.get_ref();
        self.agreements.borrow_mut().count(connection);
        match (connection.alpn_protocol(), self.protocol) {
            (Some(_), _) | (None, Protocol::Http1) => Ok(()),
            (None, Protocol::Http2) => Err(Failure::Alpn),
        }
    }

    async fn speak(&self, io: impl Read + Write + Unpin + 'static) -> hyper::Result<Sender> {
        match self.protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await?;
                // How a connection ends, its requests learn.
                tokio::task::spawn_local(async { drop(connection.await) });
                Ok(Sender::Http1(sender))
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(ThisThread, io).await?;
                tokio::task::spawn_local(async { drop(connection.await) });
                Ok(Sender::Http2(sender))
            }
        }
    }
}

impl Sender {
    /// Another one for the same connection, if it has room for several requests at a time.
    pub(super) fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }

    /// Whether the connection is known to be closed.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Waits until a request may be sent.
    pub(super) async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
    }

    /// Sends a request and waits for the head of its response.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        }
    }
}

/// Runs what HTTP/2 has to run beside a connection on the thread of that connection.
#[derive(Debug, Clone, Copy)]
struct ThisThread;

impl<F: Future<Output: 'static> + 'static> Executor<F> for ThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
