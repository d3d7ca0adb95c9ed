//! HTTP on one connection: hyper between our stream and the service, and the ways in which it ends.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::framing::Refusal;
use super::reply::{self, Exchange, Reply};
use super::stream::HttpStream;
use super::transport::Transport;
use crate::connection::Service;
use crate::downstream::Downstream;
use crate::drain::{GRACE, Leaving};
use crate::listener::ListenerSettings;
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
    pub(crate) async fn http1(self) {
        let requests = Requests::new(self.service, self.downstream);
        let exchange = &requests.exchange;
        let mut leaving = self.leaving;
        let stream = HttpStream::new(
            self.transport,
            self.settings.head_limits,
            self.settings.timeouts,
            Arc::clone(exchange),
            leaving.clone(),
        );
        let service = service_fn(|request| requests.answer_http1(request));
        let http1 = &self.settings.http1;
        let connection = http1.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection.with_upgrades());
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = leaving.begun() => {
                exchange.close_at(leaving.grace());
                tokio::select! {
                    biased;
                    ended = connection.as_mut() => ended,
                    () = leaving.cut() => return,
                }
            }
        };
        if ended.is_err_and(|error| error.is_parse()) {
            requests.service.refused(&requests.downstream, &UNREADABLE);
        }
    }

    /// Serves HTTP/2 until the connection ends.
    pub(crate) async fn http2(self) {
        let requests = Requests::new(self.service, self.downstream);
        let exchange = &requests.exchange;
        let mut leaving = self.leaving;
        let timeouts = self.settings.timeouts;
        let service = service_fn(|request| requests.answer_http2(request));
        let http2 = &self.settings.http2;
        let connection = http2.serve_connection(TokioIo::new(self.transport), service);
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            // How it ended is no news: each of its requests has been accounted for.
            _ = connection.as_mut() => return,
            () = leaving.begun() => {}
            () = exchange.idle(timeouts.idle) => {}
            () = exchange.stalled(timeouts.body) => return,
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            _ = connection => {}
            () = leaving.cut() => {}
            () = exchange.idle(GRACE) => {}
            () = exchange.stalled(timeouts.body) => {}
        }
    }
}

impl<S: Service> Requests<S> {
    fn new(service: S, downstream: Arc<Downstream>) -> Self {
        Self {
            service,
            downstream,
            exchange: Exchange::new(),
        }
    }

    fn answer_http1(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Reply<S::Body>>, Infallible>> + Send + use<S> {
        let (service, downstream) = (self.service.clone(), Arc::clone(&self.downstream));
        let begun = self.exchange.begin();
        async move {
            let in_flight = match begun {
                Ok(in_flight) => in_flight,
                Err(refusal) => {
                    service.refused(&downstream, &refusal);
                    return Ok(reply::refusal(refusal));
                }
            };
            let connect = request.method() == Method::CONNECT;
            let response = service.serve(downstream, request).await;
            Ok(in_flight.answer_http1(response, connect))
        }
    }

    fn answer_http2(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Reply<S::Body>>, Infallible>> + Send + use<S> {
        let (service, downstream) = (self.service.clone(), Arc::clone(&self.downstream));
        let in_flight = self.exchange.begin_http2();
        async move {
            let response = service.serve(downstream, request).await;
            Ok(in_flight.answer_http2(response))
        }
    }
}

/// hyper finds fault with a head that passed our own scan, and has answered it.
const UNREADABLE: Refusal = Refusal::bad_request("the request head cannot be understood");
