//! A request on one screen: authority, path, rule, target, answer, log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, EXPECT, LOCATION, RETRY_AFTER, TE, TRANSFER_ENCODING,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;

use crate::action::{self, Action, FixedResponse, Forward, Redirect, Requested, origin_form};
use crate::authority::Authority;
use crate::connection::{HandshakeOutcome, Service};
use crate::downstream::{Downstream, TlsInfo};
use crate::error::{End, ProxyError};
use crate::exchange::Exchange;
use crate::forward::{self, Answer, Forwarding, Prepared, ResponseBody};
use crate::headers::{self, Origin};
use crate::http::framing::Refusal;
use crate::metrics::Metrics;
use crate::path;
use crate::published::{Published, View};
use crate::router::Route;

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
            chance: Arc::new(Chance(seed.map(AtomicU64::new))),
        }
    }

    /// From the head to the answer. What is said of it on the way goes into the `exchange`.
    async fn answer(
        &self,
        view: &View,
        downstream: &Downstream,
        request: Request<Incoming>,
        exchange: &mut Exchange,
    ) -> Result<Response<Answer>, ProxyError> {
        let asked = Asked::of(&request, downstream)?;
        let authority = HeaderValue::try_from(asked.authority.to_string());
        let authority = authority.map_err(|_| End::BadAuthority)?;
        exchange.record().host = Some(authority.clone());
        if let Some(tls) = &downstream.tls
            && !is_directed(tls, &asked.authority)
        {
            return Err(End::Misdirected.into());
        }
        let listener = view.listener(&downstream.listener.name);
        let rule = listener.and_then(|listener| {
            view.router().route(Route {
                listener: listener.index,
                host: asked.authority.host(),
                path: &asked.path,
                method: request.method(),
            })
        });
        let rule = rule.ok_or(End::NoRule)?;
        exchange.record().rule = Some(rule.name.clone());
        match &rule.action {
            Action::Redirect(redirect) => Ok(redirected(redirect, &asked, &request, downstream)),
            Action::Respond(response) => Ok(fixed(response)),
            Action::Forward(forward) => {
                let group = forward
                    .choose(self.chance.number())
                    .ok_or(End::NoHealthyTarget)?;
                let name = &downstream.listener.name;
                exchange.counters = view.request_counters(name, Some(group), &self.metrics);
                let group = &view.groups()[group];
                exchange.record().target_group = Some(group.shared_name().clone());
                let told = self.told(view, downstream, &authority, &request);
                exchange.record().request_id = Some(told.1.clone());
                let prepared = prepare(request, &asked, told, forward, downstream)?;
                let forwarding = Forwarding {
                    group,
                    worker: self.worker,
                    limits: &downstream.listener.limits,
                };
                let mut response = forward::forward(forwarding, prepared, exchange).await?;
                forward.response_headers.apply(response.headers_mut());
                Ok(response)
            }
        }
    }

    /// What the target is told, and the request's id.
    fn told<'a>(
        &self,
        view: &View,
        downstream: &Downstream,
        authority: &'a HeaderValue,
        request: &Request<Incoming>,
    ) -> (Told<'a>, HeaderValue) {
        let trusted = view.trusts(downstream.client.ip());
        let kept = headers::request_id(request.headers()).filter(|_| trusted);
        let id = kept.cloned().unwrap_or_else(|| self.chance.id());
        (Told { trusted, authority }, id)
    }

    fn begin(
        &self,
        published: &Published,
        downstream: &Arc<Downstream>,
        version: Version,
    ) -> Box<Exchange> {
        let log = published.access_log().cloned();
        let mut exchange = Exchange::begin(
            downstream.clone(),
            version,
            self.worker,
            self.metrics.clone(),
            log,
        );
        exchange.counters =
            published.request_counters(&downstream.listener.name, None, &self.metrics);
        exchange
    }
}

impl Service for Balancer {
    type Body = ResponseBody;

    async fn serve(
        &self,
        downstream: Arc<Downstream>,
        request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let (view, mut exchange) = {
            let published = self.published.load();
            let exchange = self.begin(&published, &downstream, request.version());
            (published.view(&downstream.listener.name), exchange)
        };
        exchange.record().method = Some(request.method().clone());
        exchange.record().target_uri = Some(request.uri().clone());
        let head = request.method() == Method::HEAD;
        let answered = self
            .answer(&view, &downstream, request, &mut exchange)
            .await;
        let response = answered.unwrap_or_else(|error| {
            let end = error.end;
            exchange.record().detail = error.detail;
            exchange.end(end);
            refusal(end)
        });
        exchange.record().status = response.status().as_u16();
        finish(response, head, exchange)
    }

    fn refused(&self, downstream: &Arc<Downstream>, refusal: &Refusal) {
        let published = self.published.load();
        let mut exchange = self.begin(&published, downstream, Version::HTTP_11);
        let record = exchange.record();
        record.status = refusal.status.as_u16();
        record.detail = Some(refusal.reason.to_owned());
        record.end = End::BadHead;
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

/// What a request asks for.
struct Asked {
    authority: Authority,
    /// In the form that is matched; `*` for all of the server.
    path: Box<str>,
}

impl Asked {
    fn of(request: &Request<Incoming>, downstream: &Downstream) -> Result<Self, ProxyError> {
        if request.method() == Method::CONNECT {
            return Err(End::MethodRefused.into());
        }
        let default_port = action::default_port(scheme(downstream));
        let authority = Authority::of(request.uri(), request.headers(), default_port)
            .map_err(|error| ProxyError::because(End::BadAuthority, error))?;
        let path = match request.uri().path() {
            "*" if request.method() == Method::OPTIONS => "*".into(),
            path => path::normalise(path, downstream.listener.allow_encoded_slash)
                .map_err(|error| ProxyError::because(End::BadPath, error))?
                .into(),
        };
        Ok(Self { authority, path })
    }
}

/// What a target is told of the client, as far as it is not the connection's.
struct Told<'a> {
    trusted: bool,
    authority: &'a HeaderValue,
}

/// Whether a request for this host belongs on a connection with this certificate (RFC 9110, section
/// 15.5.20). A client that named no server, or one that the certificate is not for, was shown the
/// listener's default certificate, and took it: without a name, whatever it asks for is its choice; with
/// one, it must ask for that one.
fn is_directed(tls: &TlsInfo, authority: &Authority) -> bool {
    let host = authority.certificate_name();
    match tls.server_name.as_deref() {
        None => true,
        Some(name) => name == host || tls.certificate.covers(host),
    }
}

/// The request as the target gets it.
fn prepare(
    request: Request<Incoming>,
    asked: &Asked,
    (told, id): (Told<'_>, HeaderValue),
    forward: &Forward,
    downstream: &Downstream,
) -> Result<Prepared, ProxyError> {
    let mut request = request;
    let length = length(&request, &downstream.listener.limits)?;
    let (version, expects) = (request.version(), expects_continue(&request));
    let upgrade = (version == Version::HTTP_11 && request.method() == Method::GET)
        .then(|| hyper::upgrade::on(&mut request));
    let uri = origin_form(request.uri(), &asked.path);
    *request.uri_mut() = uri.ok_or(End::BadPath)?;
    *request.version_mut() = Version::HTTP_11;
    request.extensions_mut().clear();
    let bodiless = request.body().is_end_stream();
    let fields = request.headers_mut();
    let hop = headers::remove_hop_by_hop(fields);
    headers::join_cookies(fields);
    headers::set_origin(
        fields,
        Origin {
            client: downstream.client.ip().to_canonical(),
            trusted: told.trusted,
            tls: downstream.tls.is_some(),
            local: downstream.local,
            authority: told.authority,
            request_id: &id,
        },
    );
    forward.request_headers.apply(fields);
    if !expects || bodiless {
        fields.remove(EXPECT);
    }
    if !bodiless && length.is_none() {
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let upgrade = upgrade.filter(|_| hop.websocket && bodiless);
    if upgrade.is_some() {
        forward::set_upgrade(fields);
    } else if hop.trailers {
        fields.insert(TE, HeaderValue::from_static("trailers"));
        fields.insert(http::header::CONNECTION, HeaderValue::from_static("te"));
    }
    Ok(Prepared {
        request,
        expects: expects && !bodiless,
        upgrade,
    })
}

/// The length of the body, if it is known, and not more than is allowed.
fn length(
    request: &Request<Incoming>,
    limits: &config::ListenerLimits,
) -> Result<Option<u64>, ProxyError> {
    let length = headers::content_length(request.headers())
        .map_err(|error| ProxyError::because(End::BadLength, error))?;
    if length.is_some() && request.headers().contains_key(TRANSFER_ENCODING) {
        return Err(End::BadLength.into());
    }
    let bytes = length.unwrap_or(0);
    if bytes > limits.max_body_bytes.unwrap_or(u64::MAX) {
        return Err(End::BodyTooLarge.into());
    }
    // HTTP/2 could end a stream early: the target would wait for the rest, or take the next request for it.
    if bytes > 0 && request.body().is_end_stream() {
        return Err(End::BadLength.into());
    }
    Ok(length)
}

/// HTTP/1.0 knows no `Expect` (RFC 9110, section 10.1.1).
fn expects_continue(request: &Request<Incoming>) -> bool {
    let expect = request.headers().get(EXPECT);
    let expects =
        expect.is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    expects && request.version() != Version::HTTP_10
}

fn scheme(downstream: &Downstream) -> &'static str {
    if downstream.tls.is_some() {
        "https"
    } else {
        "http"
    }
}

fn redirected(
    redirect: &Redirect,
    asked: &Asked,
    request: &Request<Incoming>,
    downstream: &Downstream,
) -> Response<Answer> {
    let location = redirect.location(Requested {
        tls: downstream.tls.is_some(),
        authority: &asked.authority,
        path: &asked.path,
        query: request.uri().query(),
    });
    let mut response = Response::new(Answer::Whole(Bytes::new()));
    match HeaderValue::try_from(location) {
        Ok(location) => {
            *response.status_mut() = redirect.status();
            response.headers_mut().insert(LOCATION, location);
            response
        }
        Err(_) => refusal(End::BadPath),
    }
}

fn fixed(fixed: &FixedResponse) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(fixed.body.clone()));
    *response.status_mut() = fixed.status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, fixed.content_type.clone());
    response
}

/// The answer where no target gives one: one plain line.
fn refusal(end: End) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(end.line().into()));
    *response.status_mut() = end.status();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    if end.status() == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Makes the exchange last as long as the answer's body.
fn finish(
    response: Response<Answer>,
    head: bool,
    mut exchange: Box<Exchange>,
) -> Response<ResponseBody> {
    let (mut parts, answer) = response.into_parts();
    let answer = match answer {
        Answer::Whole(body) => {
            if exchange.record().end == End::ClientGone {
                exchange.end(End::Done);
            }
            // To HEAD, only the length is said.
            let body = if head {
                parts
                    .headers
                    .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
                Bytes::new()
            } else {
                body
            };
            Answer::Whole(body)
        }
        answer => answer,
    };
    Response::from_parts(parts, ResponseBody::new(answer, exchange))
}

/// Numbers that nobody can foresee without the seed, and that no lock is taken for.
#[derive(Debug)]
struct Chance([AtomicU64; 2]);

impl Chance {
    fn number(&self) -> u64 {
        self.draw(0)
    }

    /// In the form of a random UUID (RFC 9562, section 5.4).
    fn id(&self) -> HeaderValue {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.draw(0).to_be_bytes());
        bytes[8..].copy_from_slice(&self.draw(1).to_be_bytes());
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        let mut text = uuid::Uuid::encode_buffer();
        let text = id.hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).expect("a UUID is made of hexadecimal digits and hyphens")
    }

    /// SplitMix64.
    fn draw(&self, stream: usize) -> u64 {
        let before = self.0[stream].fetch_add(GOLDEN, Ordering::Relaxed);
        let mut z = before.wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests;
