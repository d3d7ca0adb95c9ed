//! A request's way to a target, and the answer's way back. Bodies stream both ways, as fast as the slower
//! side takes them.

pub mod idle;
mod relay;
mod send;
mod upgrade;

use std::sync::Arc;
use std::time::Instant;

use config::ListenerLimits;
use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Version};

pub use relay::{Answer, ResponseBody};
use relay::{Home, begin};
pub use upgrade::Upgrade;

use crate::access_log::micros;
use crate::error::{End, ProxyError};
use crate::exchange::Exchange;
use crate::headers;
use crate::http::incoming::Incoming;
use crate::target_group::{InFlight, Target, TargetGroup};
use crate::upstream::http1::{AnswerBody, Connection};
use crate::upstream::request_body::{Progress, RequestBody};
use send::{Outbound, SendError};

/// Where a request goes and what it may take.
#[derive(Debug, Clone, Copy)]
pub struct Forwarding<'a> {
    /// The group.
    pub group: &'a Arc<TargetGroup>,
    /// The worker thread, whose connections are used.
    pub worker: usize,
    /// The listener's limits.
    pub limits: &'a ListenerLimits,
}

/// A request that is ready for a target.
pub struct Prepared {
    /// Method, path and fields as the target gets them.
    pub request: Request<Incoming>,
    /// Whether the client waits for a `100 Continue`.
    pub expects: bool,
    /// The client's side of a WebSocket upgrade, if it asks for one.
    pub upgrade: Option<hyper::upgrade::OnUpgrade>,
}

/// Sends a request to a target of the group, and brings the answer back.
///
/// A target that cannot be connected to is replaced by another, once. A request whose connection the target
/// closed before a byte of the answer is sent again over a new one, once: if nothing of it was sent; or, over
/// a connection from the pool, if its method is idempotent and its body was not begun.
///
/// # Errors
/// When there is no target, no connection, or no answer.
pub async fn forward(
    forwarding: Forwarding<'_>,
    prepared: Prepared,
    exchange: &mut Exchange,
) -> Result<Response<Answer>, ProxyError> {
    let Prepared {
        request,
        expects,
        upgrade,
    } = prepared;
    let outbound = Outbound::new(request, expects, forwarding.limits);
    exchange.progress = outbound.progress.clone();
    exchange.record().queue_us = Some(exchange.elapsed_us());
    let (mut target, connection) = connect(forwarding, !outbound.is_repeatable(), exchange).await?;
    let timeout = forwarding.group.limits().response_timeout;
    let mut sent = Instant::now();
    let mut answer = send::send(connection, outbound, timeout, forwarding.limits).await;
    if let Err(SendError::Stale(again)) = answer {
        exchange.record().retries += 1;
        let connection = fresh(&mut target, true, forwarding, exchange).await?;
        sent = Instant::now();
        answer = send::send(connection, *again, timeout, forwarding.limits).await;
    }
    let response = answer.map_err(|error| match error {
        SendError::Failed(error) => error,
        SendError::Stale(_) => End::TargetClosed.into(),
    })?;
    exchange.record().head_us = Some(micros(sent.elapsed()));
    answer_of(response, &target, upgrade, forwarding)
}

/// A connection to a healthy target, from the pool (`sure`: one that is known to be open) or new; to another target if the first cannot be
/// connected to.
async fn connect(
    forwarding: Forwarding<'_>,
    sure: bool,
    exchange: &mut Exchange,
) -> Result<(Arc<Target>, Connection), ProxyError> {
    let target = pick(forwarding, None, exchange)?;
    if let Some(connection) = target.pool().take(forwarding.worker, sure) {
        exchange.record().reused = true;
        return Ok((target, connection));
    }
    let mut target = target;
    let connection = fresh(&mut target, false, forwarding, exchange).await?;
    Ok((target, connection))
}

/// A connection to `target` that the worker had not got; to another one, which takes its place, if that
/// fails. `anew`: one that has served no request.
async fn fresh(
    target: &mut Arc<Target>,
    anew: bool,
    forwarding: Forwarding<'_>,
    exchange: &mut Exchange,
) -> Result<Connection, ProxyError> {
    let begun = Instant::now();
    let connected = match dial(target, anew).await {
        Err(error) if !matches!(error.end, End::TargetBusy | End::OutOfResources) => {
            let Ok(other) = pick(forwarding, Some(target), exchange) else {
                return Err(error);
            };
            *target = other;
            exchange.record().retries += 1;
            dial(target, anew).await
        }
        connected => connected,
    };
    let record = exchange.record();
    record.connect_us = Some(micros(begun.elapsed()));
    let connection = connected?;
    record.reused = connection.reused;
    Ok(connection)
}

async fn dial(target: &Target, anew: bool) -> Result<Connection, ProxyError> {
    match anew {
        true => target.pool().connect_anew(target.dial()).await,
        false => target.pool().connect(target.dial()).await,
    }
}

fn pick(
    forwarding: Forwarding<'_>,
    failed: Option<&Arc<Target>>,
    exchange: &mut Exchange,
) -> Result<Arc<Target>, ProxyError> {
    let target = forwarding.group.pick(forwarding.worker, failed);
    let target = target.ok_or(End::NoHealthyTarget)?;
    exchange.record().target = Some(target.dial().address());
    exchange.in_flight = Some(InFlight::new(target.clone()));
    Ok(target)
}

/// The answer in the form that a client gets, and the body that is to follow it.
fn answer_of(
    mut response: Response<AnswerBody>,
    target: &Target,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
    forwarding: Forwarding<'_>,
) -> Result<Response<Answer>, ProxyError> {
    *response.version_mut() = Version::HTTP_11;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switch(response, upgrade, forwarding);
    }
    let bodiless = matches!(response.status().as_u16(), 204 | 304);
    let fields = response.headers_mut();
    match headers::agreed_length(fields) {
        Ok(Some(length)) if !bodiless => headers::set_length(fields, length),
        _ => drop(fields.remove(CONTENT_LENGTH)),
    }
    headers::remove_hop_by_hop(fields);
    let begun = begin(response.body_mut())?;
    let home = Home {
        pool: target.pool().clone(),
        worker: forwarding.worker,
    };
    let idle = forwarding.limits.body_idle_timeout;
    Ok(response.map(|body| Answer::relay(body, begun, home, idle)))
}

/// The answer to a WebSocket handshake.
fn switch(
    mut response: Response<AnswerBody>,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
    forwarding: Forwarding<'_>,
) -> Result<Response<Answer>, ProxyError> {
    let Some(client) = upgrade else {
        let detail = "it switches protocols without being asked to";
        return Err(ProxyError::because(End::TargetInvalid, detail));
    };
    let fields = response.headers_mut();
    if !headers::remove_hop_by_hop(fields).websocket {
        let detail = "it switches to another protocol than websocket";
        return Err(ProxyError::because(End::TargetInvalid, detail));
    }
    set_upgrade(fields);
    let limits = forwarding.limits;
    let idle = limits.idle_timeout.max(limits.body_idle_timeout);
    Ok(response.map(|body| {
        let upgrade = Upgrade::new(client, body.upgrade(), idle);
        Answer::Upgrade(Box::new(upgrade))
    }))
}

/// The fields of a WebSocket handshake that belong to the connection (RFC 6455, section 4).
pub fn set_upgrade(headers: &mut http::HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// What a request sends of a body, as far as the client's side goes.
fn body_of(
    incoming: Incoming,
    progress: Option<&Arc<Progress>>,
    limits: &ListenerLimits,
) -> RequestBody {
    match progress {
        None => RequestBody::empty(),
        Some(progress) => RequestBody::new(
            incoming,
            progress.clone(),
            limits.body_idle_timeout,
            limits.max_body_bytes,
        ),
    }
}
