//! A request as a target gets it.

use http::header::{CONNECTION, EXPECT, TE, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Version};
use http_body::Body;

use super::asked::Asked;
use crate::action::origin_form;
use crate::downstream::Downstream;
use crate::error::{End, ProxyError};
use crate::forward::{self, Prepared};
use crate::headers::{self, Edits, Origin};
use crate::http::incoming::Incoming;

/// What a target is told that the request does not say itself.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    /// Whether the client is a trusted proxy.
    pub(super) trusted: bool,
    /// The request's id.
    pub(super) id: &'a HeaderValue,
}

/// The request as the target gets it.
///
/// # Errors
/// When its body is too large, or the length of it in doubt.
pub(super) fn prepare(
    mut request: Request<Incoming>,
    asked: &Asked,
    told: Told<'_>,
    edits: [&Edits; 2],
    downstream: &Downstream,
) -> Result<Prepared, ProxyError> {
    let length = length(&request, &downstream.listener.limits)?;
    let expects = expects_continue(&request)?;
    let upgrade = upgrade(&mut request);
    let crumbs = request.version() == Version::HTTP_2;
    let uri = origin_form(request.uri(), &asked.path);
    *request.uri_mut() = uri.ok_or(End::BadPath)?;
    *request.version_mut() = Version::HTTP_11;
    request.extensions_mut().clear();
    let bodiless = request.body().is_end_stream();
    let fields = request.headers_mut();
    let hop = headers::remove_hop_by_hop(fields);
    if crumbs {
        headers::join_cookies(fields);
    }
    headers::set_origin(fields, origin(asked, told, downstream));
    for edits in edits {
        edits.apply(fields);
    }
    if expects && !bodiless {
        fields.insert(EXPECT, HeaderValue::from_static("100-continue"));
    } else {
        fields.remove(EXPECT);
    }
    match length {
        Some(length) => headers::set_length(fields, length),
        None if !bodiless => {
            fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        None => {}
    }
    let upgrade = upgrade.filter(|_| hop.websocket && bodiless);
    if upgrade.is_some() {
        forward::set_upgrade(fields);
    } else if hop.trailers {
        fields.insert(TE, HeaderValue::from_static("trailers"));
        fields.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    Ok(Prepared {
        request,
        expects: expects && !bodiless,
        upgrade,
    })
}

/// The client's side of an upgrade, where there can be one.
fn upgrade(request: &mut Request<Incoming>) -> Option<hyper::upgrade::OnUpgrade> {
    let can = request.version() == Version::HTTP_11 && request.method() == Method::GET;
    can.then(|| hyper::upgrade::on(request))
}

fn origin<'a>(asked: &'a Asked, told: Told<'a>, downstream: &'a Downstream) -> Origin<'a> {
    Origin {
        client: &downstream.told().client,
        trusted: told.trusted,
        tls: downstream.tls.is_some(),
        port: &downstream.told().port,
        authority: &asked.host,
        request_id: told.id,
    }
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

/// Whether the client waits for a `100 Continue`, which HTTP/1.0 does not know (RFC 9110, section 10.1.1).
///
/// # Errors
/// When it expects anything else.
fn expects_continue(request: &Request<Incoming>) -> Result<bool, End> {
    if request.version() == Version::HTTP_10 || !request.headers().contains_key(EXPECT) {
        return Ok(false);
    }
    let mut expected = request.headers().get_all(EXPECT).iter();
    let only = expected.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    only.then_some(true).ok_or(End::ExpectationFailed)
}
