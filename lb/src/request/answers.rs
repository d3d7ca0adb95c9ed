//! Answers from here, and the end of every answer.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};

use super::asked::Asked;
use crate::action::{FixedResponse, Redirect, Requested};
use crate::downstream::Downstream;
use crate::error::End;
use crate::exchange::Exchange;
use crate::forward::{Answer, ResponseBody};
use crate::http::incoming::Incoming;

/// The answer of a redirect.
pub(super) fn redirected(
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
        Err(_) => refusal(End::BadPath, None),
    }
}

/// The answer that a rule gives.
pub(super) fn fixed(fixed: &FixedResponse) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(fixed.body.clone()));
    *response.status_mut() = fixed.status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, fixed.content_type.clone());
    response
}

/// The answer where no target gives one: one plain line. Of what lies behind it a client is told only what
/// is wrong with its own body.
pub(super) fn refusal(end: End, detail: Option<&str>) -> Response<Answer> {
    let line = match detail {
        Some(why) if end == End::BadBody => end.line_because(why),
        _ => end.line(),
    };
    let mut response = Response::new(Answer::Whole(line.into()));
    *response.status_mut() = end.status();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    if end == End::TraceRefused {
        let others = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        response.headers_mut().insert(ALLOW, others);
    }
    if end.status() == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Makes the exchange last as long as the answer's body.
pub(super) fn finish(
    response: Response<Answer>,
    head: bool,
    mut exchange: Box<Exchange>,
) -> Response<ResponseBody> {
    let (mut parts, answer) = response.into_parts();
    let answer = match answer {
        Answer::Whole(body) => {
            if exchange.record().end.is_none() {
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
