//! A request on one screen: authority, path, rule, target, answer, log.

mod answers;
mod asked;
mod chance;
mod outgoing;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{CONNECTION, EXPECT, REFERER, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;

use self::answers::{finish, fixed, redirected, refusal};
use self::asked::Asked;
use self::chance::Chance;
use self::outgoing::{Told, prepare};
use crate::action::{Action, Forward};
use crate::connection::{HandshakeOutcome, Service};
use crate::downstream::Downstream;
use crate::error::{End, ProxyError};
use crate::exchange::Exchange;
use crate::forward::{self, Answer, Forwarding, ResponseBody};
use crate::headers::{self, X_REQUEST_ID};
use crate::http::framing::Refusal;
use crate::http::incoming::Incoming;
use crate::metrics::Metrics;
use crate::published::{Published, View};
use crate::router::{Route, Rule};
use crate::target_group::TargetGroup;

/// What answers the requests of one worker thread.
#[derive(Debug, Clone)]
pub struct Balancer {
    published: Arc<ArcSwap<Published>>,
    metrics: Arc<Metrics>,
    worker: usize,
    chance: Arc<Chance>,
}

impl Balancer {
    /// For the worker thread number `worker`, with a `seed` of its own for what is left to chance.
    pub fn new(
        published: Arc<ArcSwap<Published>>,
        metrics: Arc<Metrics>,
        worker: usize,
        seed: [u64; 2],
    ) -> Self {
        Self {
            published,
            metrics,
            worker,
            chance: Arc::new(Chance::new(seed)),
        }
    }

    /// From the head to the answer. What is said of it on the way goes into the `exchange`.
    async fn answer(
        &self,
        view: &View,
        downstream: &Downstream,
        request: Request<Incoming>,
        told: Told<'_>,
        exchange: &mut Exchange,
    ) -> Result<Response<Answer>, ProxyError> {
        if headers::are_more_than(request.headers(), downstream.listener.limits.max_headers) {
            return Err(End::HeadTooLarge.into());
        }
        // For which host, and for which path.
        let asked = Asked::of(&request, downstream)?;
        exchange.record().host = Some(asked.host.clone());
        asked.check_certificate(downstream)?;
        // Which rule.
        let rule = route(view, downstream, &asked, request.method()).ok_or(End::NoRule)?;
        exchange.record().rule = Some(rule.name.clone());
        // What it says: an answer from here, or to a target and back.
        let forward = match &rule.action {
            Action::Redirect(to) => return Ok(redirected(to, &asked, &request, downstream)),
            Action::Respond(response) => return Ok(fixed(response)),
            Action::Forward(forward) => forward,
        };
        let group = self.choose(view, downstream, forward, exchange)?;
        let edits = [&forward.request_headers, group.request_headers()];
        let prepared = prepare(request, &asked, told, edits, downstream)?;
        let forwarding = Forwarding {
            group,
            worker: self.worker,
            limits: &downstream.listener.limits,
        };
        let mut response = forward::forward(forwarding, prepared, exchange).await?;
        forward.response_headers.apply(response.headers_mut());
        Ok(response)
    }

    /// The target group, by weight.
    fn choose<'a>(
        &self,
        view: &'a View,
        downstream: &Downstream,
        forward: &Forward,
        exchange: &mut Exchange,
    ) -> Result<&'a Arc<TargetGroup>, End> {
        let chosen = forward.choose(self.chance.number());
        let chosen = chosen.ok_or(End::NoHealthyTarget)?;
        let group = &view.groups()[chosen];
        exchange.record().target_group = Some(group.shared_name().clone());
        let listener = &downstream.listener.name;
        exchange.counters = view.request_counters(listener, Some(chosen), &self.metrics);
        Ok(group)
    }

    /// The request's id: a trusted proxy's own, else a fresh one.
    fn id(&self, request: &Request<Incoming>, trusted: bool) -> HeaderValue {
        let kept = headers::request_id(request.headers()).filter(|_| trusted);
        kept.cloned().unwrap_or_else(|| self.chance.id())
    }

    /// What requests of the connection see, and the record of a new one.
    fn begin(&self, downstream: &Arc<Downstream>, version: Version) -> (Arc<View>, Box<Exchange>) {
        let published = self.published.load();
        let (metrics, log) = (self.metrics.clone(), published.access_log().cloned());
        let exchange = Exchange::begin(downstream.clone(), version, self.worker, metrics, log);
        (published.view(&downstream.listener.name), exchange)
    }

    /// Counts a request that goes to no target group.
    fn count_here(&self, view: &View, exchange: &mut Exchange) {
        if exchange.counters.is_none() {
            let downstream = exchange.record().downstream.clone();
            let listener = &downstream.listener.name;
            exchange.counters = view.request_counters(listener, None, &self.metrics);
        }
    }
}

fn route<'a>(
    view: &'a View,
    downstream: &Downstream,
    asked: &Asked,
    method: &Method,
) -> Option<&'a Rule> {
    view.router().route(Route {
        listener: view.listener(&downstream.listener.name)?.index,
        host: asked.authority.host(),
        path: &asked.path,
        method,
    })
}

/// What the access log says of a request from its head alone.
fn describe(request: &Request<Incoming>, id: &HeaderValue, exchange: &mut Exchange) {
    let logged = exchange.is_logged();
    let record = exchange.record();
    record.method = Some(request.method().clone());
    record.target_uri = Some(request.uri().clone());
    record.request_id = Some(id.clone());
    if logged {
        record.user_agent = request.headers().get(USER_AGENT).cloned();
        record.referer = request.headers().get(REFERER).cloned();
    }
}

/// Whether a client of HTTP/1.1 waits for a `100 Continue` before it sends a body.
fn waits_to_send(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_11
        && !request.body().is_end_stream()
        && request.headers().contains_key(EXPECT)
}

impl Service for Balancer {
    type Body = ResponseBody;

    async fn serve(
        &self,
        downstream: Arc<Downstream>,
        request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let (view, mut exchange) = self.begin(&downstream, request.version());
        let trusted = view.trusts(downstream.client.ip());
        let id = self.id(&request, trusted);
        describe(&request, &id, &mut exchange);
        if trusted && exchange.is_logged() {
            let client = headers::forwarded_client(request.headers(), |proxy| view.trusts(proxy));
            exchange.record().forwarded = client;
        }
        let head = request.method() == Method::HEAD;
        let waits = waits_to_send(&request);
        let answered = self
            .answer(
                &view,
                &downstream,
                request,
                Told { trusted, id: &id },
                &mut exchange,
            )
            .await;
        let mut response = answered.unwrap_or_else(|error| {
            let response = refusal(error.end, error.detail.as_deref());
            exchange.end(error.end);
            exchange.record().detail = error.detail;
            response
        });
        if waits && !exchange.has_begun_body() {
            // Whether the client sends the body that nobody wants is up to it: no next request could be told
            // from it.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response.headers_mut().insert(X_REQUEST_ID, id);
        exchange.record().status = response.status().as_u16();
        self.count_here(&view, &mut exchange);
        finish(response, head, exchange)
    }

    fn refused(&self, downstream: &Arc<Downstream>, refusal: &Refusal) {
        let (view, mut exchange) = self.begin(downstream, Version::HTTP_11);
        self.count_here(&view, &mut exchange);
        let id = self.chance.id();
        let record = exchange.record();
        record.request_id = Some(id);
        record.status = refusal.status.as_u16();
        record.detail = Some(refusal.reason.to_owned());
        record.end = Some(match refusal.status {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => End::HeadTooLarge,
            _ => End::BadHead,
        });
    }

    fn handshake(&self, listener: &config::Listener, outcome: HandshakeOutcome<'_>) {
        if let Some(listener) = self.published.load().listener(&listener.name) {
            listener.counters.shard(self.worker).handshake(outcome);
        }
    }

    fn connection(&self, listener: &config::Listener, opened: bool) {
        // A listener that a reload has removed still has connections to count.
        let published = self.published.load();
        match published.listener(&listener.name) {
            Some(listener) => listener.counters.shard(self.worker).connection(opened),
            None => self
                .metrics
                .listener(&listener.name)
                .shard(self.worker)
                .connection(opened),
        }
    }
}

#[cfg(test)]
mod tests;
