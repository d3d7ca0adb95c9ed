//! Connections to the target, kept open: each worker has its own.

use std::cell::RefCell;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::CONNECTION;
use hyper::rt::{Read, Write};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where requests go.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<(TlsConnector, ServerName<'static>)>,
}

type Sender = SendRequest<Incoming>;
type Failure = Box<dyn Error + Send + Sync>;

thread_local! {
    /// The connections that nobody uses, the one used last at the end.
    static IDLE: RefCell<Vec<Sender>> = const { RefCell::new(Vec::new()) };
}

/// Sends a request over a connection that is open, or over a new one.
///
/// # Errors
/// When the target cannot be reached or does not answer.
pub(crate) async fn send(
    mut request: Request<Incoming>,
    target: &Target,
) -> Result<Response<Lent>, Failure> {
    while let Some(mut sender) = IDLE.with_borrow_mut(Vec::pop) {
        // It has read the response before to its end, but may yet have to notice that.
        if sender.ready().await.is_err() {
            continue;
        }
        match sender.try_send_request(request).await {
            Ok(response) => return Ok(lend(response, sender)),
            Err(mut refusal) => match refusal.take_message() {
                // Closed before anything was sent: the next one will do.
                Some(unsent) => request = unsent,
                None => return Err(refusal.into_error().into()),
            },
        }
    }
    let mut sender = connect(target).await?;
    let response = sender.send_request(request).await?;
    Ok(lend(response, sender))
}

async fn connect(target: &Target) -> Result<Sender, Failure> {
    let tcp = TcpStream::connect(target.address).await?;
    tcp.set_nodelay(true)?;
    match &target.tls {
        None => open(TokioIo::new(tcp)).await,
        Some((connector, name)) => {
            open(TokioIo::new(connector.connect(name.clone(), tcp).await?)).await
        }
    }
}

async fn open(io: impl Read + Write + Unpin + Send + 'static) -> Result<Sender, Failure> {
    let (sender, connection) = handshake(io).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn lend(mut response: Response<Incoming>, sender: Sender) -> Response<Lent> {
    response.headers_mut().remove(CONNECTION);
    response.map(|body| {
        let mut lent = Lent {
            body: Some(body),
            sender: Some(sender),
        };
        lent.give_back_at_the_end();
        lent
    })
}

/// The body of a response; its end gives the connection back.
pub(crate) struct Lent {
    body: Option<Incoming>,
    sender: Option<Sender>,
}

impl Lent {
    /// An empty body.
    pub(crate) fn nothing() -> Self {
        Self {
            body: None,
            sender: None,
        }
    }

    fn give_back_at_the_end(&mut self) {
        if self.is_end_stream()
            && let Some(sender) = self.sender.take()
        {
            IDLE.with_borrow_mut(|idle| idle.push(sender));
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = std::task::ready!(Pin::new(body).poll_frame(context));
        if frame.is_none() {
            self.body = None;
        }
        self.give_back_at_the_end();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let known = self.body.as_ref().map(Incoming::size_hint);
        known.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}
