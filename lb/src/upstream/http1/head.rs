//! Heads of messages to and from targets (RFC 9112, sections 2 to 6).

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use httparse::{Header, ParserConfig, Status};
use hyper::ext::ReasonPhrase;

use super::decoder::Decoder;
use crate::headers;

/// The head of a request in the form in which it is sent.
pub(super) fn write<B>(request: &Request<B>) -> Vec<u8> {
    let fields = request.headers();
    let mut head = Vec::with_capacity(64 + fields.len() * USUAL_FIELD);
    head.extend_from_slice(request.method().as_str().as_bytes());
    head.push(b' ');
    let target = request.uri().path_and_query();
    head.extend_from_slice(target.map_or("*", |target| target.as_str()).as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in fields {
        write_field(&mut head, name, value);
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Appends one line.
pub(super) fn write_field(head: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    head.extend_from_slice(name.as_str().as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value.as_bytes());
    head.extend_from_slice(b"\r\n");
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    /// Of the body that follows.
    pub(super) decoder: Decoder,
    /// Whether another request may follow over the connection.
    pub(super) keep_alive: bool,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// Takes the head of an answer off `input`, if all of it is there. `to_head`: of one to a HEAD request.
pub(super) fn take(input: &mut BytesMut, to_head: bool) -> Result<Option<Head>, Malformed> {
    let Some(lines) = Lines::read(input)? else {
        return Ok(None);
    };
    let bytes = input.split_to(lines.length).freeze();
    let fields = lines.fields(&bytes)?;
    let decoder = decoder(lines.status, lines.version, &fields, to_head)?;
    let keep_alive = lines.status != StatusCode::SWITCHING_PROTOCOLS
        && !matches!(decoder, Decoder::UntilClose)
        && !is_at_odds(lines.status, &fields)
        && headers::keeps_alive(&fields, lines.version);
    let mut response = Response::new(());
    *response.status_mut() = lines.status;
    *response.version_mut() = lines.version;
    *response.headers_mut() = fields;
    let reason = bytes.slice(lines.reason);
    if lines.status.canonical_reason().map(str::as_bytes) != Some(&*reason)
        && let Ok(reason) = ReasonPhrase::try_from(reason)
    {
        response.extensions_mut().insert(reason);
    }
    Ok(Some(Head {
        response,
        decoder,
        keep_alive,
    }))
}

/// Where what is in a head.
struct Lines {
    length: usize,
    version: Version,
    status: StatusCode,
    reason: Range<usize>,
    /// Names and values.
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Lines {
    fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut fields: [MaybeUninit<Header<'_>>; MAX_FIELDS] =
            [const { MaybeUninit::uninit() }; _];
        let mut response = httparse::Response::new(&mut []);
        let parsed = ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            bytes,
            &mut fields,
        );
        let length = match parsed.map_err(said)? {
            Status::Complete(length) if length <= MAX_HEAD => length,
            Status::Partial if bytes.len() < MAX_HEAD => return Ok(None),
            _ => return Err(Malformed("the head of the answer is too large")),
        };
        let place = |part: &[u8]| {
            let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
            start..start + part.len()
        };
        let status = StatusCode::from_u16(response.code.unwrap_or_default());
        let reason = response.reason.filter(|reason| !reason.is_empty());
        let both = |field: &Header<'_>| (place(field.name.as_bytes()), place(field.value));
        Ok(Some(Self {
            length,
            version: match response.version {
                Some(1) => Version::HTTP_11,
                _ => Version::HTTP_10,
            },
            status: status.map_err(|_| Malformed("the status of the answer is none"))?,
            reason: reason.map_or(0..0, |reason| place(reason.as_bytes())),
            fields: response.headers.iter().map(both).collect(),
        }))
    }

    /// The fields in `bytes`, which they share.
    fn fields(&self, bytes: &Bytes) -> Result<HeaderMap, Malformed> {
        let mut fields = HeaderMap::with_capacity(self.fields.len() + ADDED);
        for (name, value) in &self.fields {
            let name = HeaderName::from_bytes(&bytes[name.clone()]);
            let value = HeaderValue::from_maybe_shared(bytes.slice(value.clone()));
            match (name, value) {
                (Ok(name), Ok(value)) => fields.append(name, value),
                _ => return Err(Malformed("a header field of the answer is malformed")),
            };
        }
        Ok(fields)
    }
}

fn said(error: httparse::Error) -> Malformed {
    use httparse::Error;
    Malformed(match error {
        Error::HeaderName => "the name of a header field is malformed",
        Error::HeaderValue => "the value of a header field is malformed",
        Error::NewLine => "a line does not end as it should",
        Error::Status => "the status line is malformed",
        Error::TooManyHeaders => "the answer has too many header fields",
        Error::Version => "the answer is no HTTP/1.1",
        Error::Token => "the status line is malformed",
    })
}

/// How the body ends (RFC 9112, section 6.3).
fn decoder(
    status: StatusCode,
    version: Version,
    fields: &HeaderMap,
    to_head: bool,
) -> Result<Decoder, Malformed> {
    if to_head || status.is_informational() || matches!(status.as_u16(), 204 | 304) {
        return Ok(Decoder::none());
    }
    if !headers::is_plainly_coded(fields) {
        return Err(Malformed(
            "its transfer coding is another than chunked, or stands beside a length",
        ));
    }
    if fields.contains_key(TRANSFER_ENCODING) {
        return match version {
            Version::HTTP_11 => Ok(Decoder::chunked()),
            _ => Err(Malformed("an answer of HTTP/1.0 has a transfer coding")),
        };
    }
    match headers::agreed_length(fields) {
        Ok(Some(length)) => Ok(Decoder::length(length)),
        Ok(None) => Ok(Decoder::until_close()),
        Err(_) => Err(Malformed("the length of the answer is in doubt")),
    }
}

/// Whether an answer that has no body announces one, which only a broken target does (RFC 9110, section
/// 8.6): it may send it as well, and the next request would be answered with it.
fn is_at_odds(status: StatusCode, fields: &HeaderMap) -> bool {
    status == StatusCode::NO_CONTENT
        && (fields.contains_key(TRANSFER_ENCODING)
            || !matches!(headers::agreed_length(fields), Ok(None | Some(0))))
}

/// Fields of an answer.
const MAX_FIELDS: usize = 200;
/// Bytes of the head of an answer.
pub(super) const MAX_HEAD: usize = 32 << 10;
/// Bytes that a line has, mostly.
const USUAL_FIELD: usize = 40;
/// Fields that are added on the way to the client: room for them from the start.
const ADDED: usize = 4;
