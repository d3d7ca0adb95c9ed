//! HTTP on one connection: hyper between our stream and the service, and the ways in which it ends.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::framing::Refusal;
use super::incoming::Incoming;
use super::reply::{self, Exchange, Reply};
use super::stream::HttpStream;
use super::streams::Streams;
use super::transport::Transport;
use crate::connection::Service;
use crate::downstream::Downstream;
use crate::drain::{GRACE, Leaving, cutting};
use crate::listener::{ListenerSettings, http2_builder};
use crate::worker::Admission;

/// A connection that requests come on.
pub(crate) struct Session<S: Service> {
    pub(crate) transport: Transport<Admission<S>>,
    pub(crate) downstream: Arc<Downstream>,
    pub(crate) settings: Arc<ListenerSettings>,
    pub(crate) leaving: Leaving,
    pub(crate) service: S,
}

/// Answers the requests of a connection.
struct Requests<S> {
    service: S,
    downstream: Arc<Downstream>,
    exchange: Arc<Exchange>,
}

impl<S: Service> Session<S> {
    /// Serves HTTP/1.1 until the connection ends or becomes a tunnel.
    ///
    /// hyper holds 16 KiB of buffers. A connection that rests gives it up, and gets another when the
    /// next request begins.
    pub(crate) async fn http1(self) {
        let requests = Requests::new(self.service, self.downstream);
        let mut leaving = self.leaving;
        let idle_timeout = self.settings.timeouts.idle;
        let mut stream = HttpStream::new(
            self.transport,
            self.settings.head_limits,
            self.settings.timeouts,
            Arc::clone(&requests.exchange),
            leaving.clone(),
        );
        loop {
            let http1 = &self.settings.http1;
            let resting = requests.serve_http1(http1, stream, &mut leaving).await;
            let Some(resting) = resting else { return };
            stream = resting;
            tokio::select! {
                biased;
                awake = wait(&mut stream) => if !awake { break },
                () = leaving.patience(idle_timeout.saturating_sub(REST)) => break,
            }
        }
        // The client may be gone already.
        let _ = stream.shutdown().await;
    }

    /// Serves HTTP/2 until the connection ends.
    pub(crate) async fn http2(self) {
        let requests = Requests::new(self.service, self.downstream);
        let exchange = &requests.exchange;
        let mut leaving = self.leaving;
        let timeouts = self.settings.timeouts;
        let service = service_fn(|request| requests.answer_http2(request));
        let streams = Streams::new(Arc::clone(exchange), timeouts.body);
        let http2 = http2_builder(&self.settings.listener.limits, streams);
        let connection = http2.serve_connection(TokioIo::new(self.transport), service);
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            // How it ended is no news: each of its requests has been accounted for.
            _ = connection.as_mut() => return,
            () = leaving.begun() => {}
            () = exchange.idle(timeouts.idle) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            _ = connection => {}
            () = leaving.cut() => exchange.cut(),
            () = exchange.idle(GRACE) => {}
        }
    }
}

/// Waits for the next request. False: there will be none.
async fn wait<A: Unpin>(stream: &mut HttpStream<Transport<A>>) -> bool {
    if !stream.is_between_requests() {
        return true;
    }
    matches!(stream.io().wait().await, Ok(Some(())))
}

impl<S: Service> Requests<S> {
    fn new(service: S, downstream: Arc<Downstream>) -> Arc<Self> {
        Arc::new(Self {
            service,
            downstream,
            exchange: Exchange::new(),
        })
    }

    async fn serve(&self, request: Request<hyper::body::Incoming>) -> Response<S::Body> {
        let downstream = Arc::clone(&self.downstream);
        self.service.serve(downstream, Incoming::of(request)).await
    }

    /// Serves requests from `stream` until nothing was in flight for [`REST`], and returns it then. None:
    /// the connection has ended.
    async fn serve_http1(
        self: &Arc<Self>,
        http1: &http1::Builder,
        stream: HttpStream<Transport<Admission<S>>>,
        leaving: &mut Leaving,
    ) -> Option<HttpStream<Transport<Admission<S>>>> {
        if leaving.has_begun() {
            self.exchange.close_at(leaving.grace());
        }
        let service = service_fn(|request| self.answer_http1(request));
        let connection = http1.serve_connection(TokioIo::new(stream), service);
        let mut connection = connection.with_upgrades();
        let ended = tokio::select! {
            biased;
            ended = &mut connection => ended,
            () = leaving.begun() => {
                self.exchange.close_at(leaving.grace());
                tokio::select! {
                    biased;
                    ended = &mut connection => ended,
                    () = leaving.clone().cut() => {
                        cutting(|| drop(connection));
                        return None;
                    }
                }
            }
            () = self.exchange.idle(REST) => {
                let parts = connection.into_parts()?;
                let mut stream = parts.io.into_inner();
                stream.take_back(&parts.read_buf);
                return Some(stream);
            }
        };
        if ended.is_err_and(|error| error.is_parse()) {
            self.service.refused(&self.downstream, &UNREADABLE);
        }
        None
    }

    fn answer_http1(
        self: &Arc<Self>,
        request: Request<hyper::body::Incoming>,
    ) -> impl Future<Output = Result<Response<Reply<S::Body>>, Infallible>> + Send + use<S> {
        let this = Arc::clone(self);
        // Before hyper polls what this returns, it reads: the stream must know by then.
        let begun = self.exchange.begin();
        async move {
            let in_flight = match begun {
                Ok(in_flight) => in_flight,
                Err(refusal) => {
                    this.service.refused(&this.downstream, &refusal);
                    return Ok(reply::refusal(refusal));
                }
            };
            let connect = request.method() == Method::CONNECT;
            let response = this.serve(request).await;
            Ok(in_flight.answer_http1(response, connect))
        }
    }

    /// Boxed, since hyper hands over what this returns several times on its way to a task.
    fn answer_http2(
        self: &Arc<Self>,
        request: Request<hyper::body::Incoming>,
    ) -> Answering<Reply<S::Body>> {
        let this = Arc::clone(self);
        let in_flight = self.exchange.begin_http2();
        Box::pin(async move {
            if !request.headers().values().all(is_trimmed) {
                this.service.refused(&this.downstream, &UNTRIMMED);
                return Ok(reply::refusal(UNTRIMMED));
            }
            let response = this.serve(request).await;
            Ok(in_flight.answer_http2(response))
        })
    }
}

/// An answer on its way.
type Answering<B> = Pin<Box<dyn Future<Output = Result<Response<B>, Infallible>> + Send>>;

/// Whether a field's value has no white space at its ends (RFC 9113, section 8.2.1). Recipients differ in
/// whether they take it off.
fn is_trimmed(value: &HeaderValue) -> bool {
    let white = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let value = value.as_bytes();
    !white(value.first()) && !white(value.last())
}

const UNTRIMMED: Refusal =
    Refusal::bad_request("the value of a header field begins or ends with white space");

/// After how long without a request a connection rests.
const REST: Duration = Duration::from_secs(2);

/// hyper finds fault with a head that passed our own scan, and has answered it.
const UNREADABLE: Refusal = Refusal::bad_request("the request head cannot be understood");
