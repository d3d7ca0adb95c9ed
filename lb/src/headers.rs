//! Header fields on their way to a target and back: what belongs to one connection only is removed
//! (RFC 9110, section 7.6.1), what a target must be able to believe is set by us.
//!
//! A target may believe `X-Forwarded-For`, `-Proto`, `-Port`, `-Host` and `X-Request-Id`. Of clients that are
//! no trusted proxies nothing of the kind gets through, nor `Forwarded` (RFC 7239), which is passed on as it
//! is from trusted ones; nor any field with an underscore in its name, which CGI and its heirs take for the
//! one with a hyphen.

use std::net::{IpAddr, SocketAddr};

use config::{FieldValue, Secrets};
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

/// The addresses that a request has passed.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme that the client used.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The port that the client connected to.
pub const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
/// The authority that the client asked for.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The request's name in every log.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a target is told of the client.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The address of who sent the request.
    pub client: &'a HeaderValue,
    /// Whether it is one of `trusted_proxies`, whose own fields are kept.
    pub trusted: bool,
    /// Whether it came over TLS.
    pub tls: bool,
    /// To which port it connected.
    pub port: &'a HeaderValue,
    /// The authority in canonical form.
    pub authority: &'a HeaderValue,
    /// The request's id, if the client's own is not kept.
    pub request_id: &'a HeaderValue,
}

/// What a message says of the connection that it came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HopByHop {
    /// `Connection: upgrade` with `Upgrade: websocket` and nothing else.
    pub websocket: bool,
    /// `TE: trailers`.
    pub trailers: bool,
}

/// Removes what belongs to the connection that a request or response came over, and what its
/// `Connection` nominates. Fields that we or a trusted proxy set cannot be nominated away.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) -> HopByHop {
    // Most messages have none: one look at the names is cheaper than a search for each.
    if !headers.keys().any(is_hop_by_hop) {
        return HopByHop::default();
    }
    let hop = HopByHop {
        websocket: asks_for_websocket(headers),
        trailers: list_has(headers, &TE, "trailers"),
    };
    for name in nominated(headers) {
        headers.remove(name);
    }
    remove_all(headers, is_hop_by_hop);
    hop
}

/// Removes from trailers what does not belong there (RFC 9110, section 6.5.1): what frames, routes or
/// vouches for a message, which a target that merges trailers into the head would believe.
pub fn clean_trailers(trailers: &mut HeaderMap) {
    remove_all(trailers, |name| is_hop_by_hop(name) || is_protected(name));
}

/// Removes from the trailers of a request what does not belong there, and every name that some servers
/// take for another.
pub fn clean_request_trailers(trailers: &mut HeaderMap) {
    clean_trailers(trailers);
    remove_all(trailers, has_underscore);
}

/// Sets what a target is told of the client, and of how the request reached us.
pub fn set_origin(headers: &mut HeaderMap, origin: Origin<'_>) {
    if !origin.trusted {
        remove_imitations(headers);
    }
    append_client(headers, origin);
    let scheme = if origin.tls { "https" } else { "http" };
    set(headers, X_FORWARDED_PROTO, origin.trusted, || {
        HeaderValue::from_static(scheme)
    });
    set(headers, X_FORWARDED_PORT, origin.trusted, || {
        origin.port.clone()
    });
    set(headers, X_FORWARDED_HOST, origin.trusted, || {
        origin.authority.clone()
    });
    headers.insert(X_REQUEST_ID, origin.request_id.clone());
    if headers.get(HOST) != Some(origin.authority) {
        headers.insert(HOST, origin.authority.clone());
    }
}

/// The client that trusted proxies say a request comes from: the last address in `X-Forwarded-For` that is
/// no trusted proxy itself, or the first, where all are.
pub fn forwarded_client(headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let mut client = None;
    let fields = headers.get_all(X_FORWARDED_FOR).iter();
    let passed: Vec<_> = fields.flat_map(tokens).collect();
    for token in passed.into_iter().rev() {
        let Some(address) = address(token) else { break };
        client = Some(address);
        if !trusts(address) {
            break;
        }
    }
    client
}

/// An address, with or without a port.
fn address(token: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(token).ok()?;
    let address = text.parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(with_port).or_else(bare)
}

/// The id that a trusted proxy gave the request, if it can stand in a log.
pub fn request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let id = headers.get(X_REQUEST_ID)?;
    let plain = id.as_bytes().iter().all(u8::is_ascii_graphic);
    (plain && (1..=LONGEST_ID).contains(&id.len())).then_some(id)
}

/// Whether there are more than `most` fields, where all the crumbs into which HTTP/2 may split a `Cookie`
/// are one.
pub fn are_more_than(headers: &HeaderMap, most: usize) -> bool {
    let crumbs = || headers.get_all(COOKIE).iter().count();
    headers.len() > most && headers.len() - crumbs().saturating_sub(1) > most
}

/// Joins the crumbs into which HTTP/2 may split a `Cookie` (RFC 9113, section 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// The length that the fields give the body.
///
/// # Errors
/// When there are several `Content-Length`, or one is no number.
pub fn content_length(headers: &HeaderMap) -> Result<Option<u64>, LengthError> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else {
        return Ok(None);
    };
    let text = length.to_str().map_err(|_| LengthError)?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(length) if digits && lengths.next().is_none() => Ok(Some(length)),
        _ => Err(LengthError),
    }
}

/// The length of an answer's body: several that are the same are one (RFC 9110, section 8.6).
///
/// # Errors
/// When two differ, or one is no number.
pub fn agreed_length(headers: &HeaderMap) -> Result<Option<u64>, LengthError> {
    if let Ok(only) = content_length(headers) {
        return Ok(only);
    }
    let mut agreed = None;
    for token in headers.get_all(CONTENT_LENGTH).iter().flat_map(tokens) {
        let digits = !token.is_empty() && token.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(token).map_err(|_| LengthError)?;
        let length = text.parse().map_err(|_| LengthError)?;
        if !digits || agreed.is_some_and(|agreed| agreed != length) {
            return Err(LengthError);
        }
        agreed = Some(length);
    }
    Ok(agreed)
}

/// Whether another message may follow over the connection (RFC 9112, section 9.3).
pub fn keeps_alive(headers: &HeaderMap, version: Version) -> bool {
    if !headers.contains_key(CONNECTION) {
        return version == Version::HTTP_11;
    }
    let says = |token| list_has(headers, &CONNECTION, token);
    !says("close") && (version == Version::HTTP_11 || says("keep-alive"))
}

/// Writes the length as one number in one form: some take `010` for eight.
pub fn set_length(headers: &mut HeaderMap, length: u64) {
    let plain = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        bytes.iter().all(u8::is_ascii_digit) && (bytes.len() == 1 || !bytes.starts_with(b"0"))
    };
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if !lengths.next().is_some_and(plain) || lengths.next().is_some() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Whether it is beyond doubt where a message ends: by `Transfer-Encoding: chunked` once and without a
/// length beside it, or not by a transfer coding at all. Another coding would be taken off with the field
/// that names it, and nobody behind could read the body.
pub fn is_plainly_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            coding.as_bytes().eq_ignore_ascii_case(b"chunked")
                && !headers.contains_key(CONTENT_LENGTH)
        }
        _ => false,
    }
}

/// A body whose length is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the length of the body is in doubt")]
pub struct LengthError;

/// Header edits of a rule, ready to be applied.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl Edits {
    /// The edits of the configuration. Those of fields that frame a message are left out: they are not
    /// a rule's to change.
    pub fn new(edits: &config::HeaderEdits) -> Self {
        let name = |name: &String| HeaderName::try_from(name).ok().filter(is_editable);
        let pair = |(field, value): &(String, String)| {
            Some((name(field)?, HeaderValue::try_from(value).ok()?))
        };
        Self {
            remove: edits.remove.iter().filter_map(name).collect(),
            set: edits.set.iter().filter_map(pair).collect(),
            add: edits.add.iter().filter_map(pair).collect(),
        }
    }

    /// The edits of a target group. What was sealed is marked as sensitive: it is not printed, and HTTP/2
    /// would not index it.
    pub fn for_targets(edits: &config::TargetHeaders, secrets: &Secrets) -> Self {
        let name = |name: &String| HeaderName::try_from(name).ok().filter(is_editable);
        let pair = |(field, value): &(String, FieldValue)| {
            let value = match value {
                FieldValue::Plain(value) => HeaderValue::try_from(value).ok()?,
                FieldValue::Sealed(sealed) => {
                    let mut value = HeaderValue::from_bytes(secrets.get(sealed)?).ok()?;
                    value.set_sensitive(true);
                    value
                }
            };
            Some((name(field)?, value))
        };
        Self {
            remove: edits.remove.iter().filter_map(name).collect(),
            set: edits.set.iter().filter_map(pair).collect(),
            add: edits.add.iter().filter_map(pair).collect(),
        }
    }

    /// Applies them in the order remove, set, add.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

fn is_editable(name: &HeaderName) -> bool {
    *name != CONTENT_LENGTH && !is_hop_by_hop(name)
}

/// Whether a field says something of the connection only. `Trailer` does not: it says what follows the
/// body.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// The fields that `Connection` nominates and that may go.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let nominated = headers.get_all(CONNECTION).iter().flat_map(tokens);
    let nominated = nominated.filter(|token| !matches!(*token, b"close" | b"keep-alive"));
    let names = nominated.filter_map(|token| HeaderName::from_bytes(token).ok());
    names.filter(|name| !is_protected(name)).collect()
}

/// Whether others decide by a field, so that no client may take it away.
fn is_protected(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded-")
        || matches!(
            name,
            "forwarded"
                | "x-real-ip"
                | "x-request-id"
                | "host"
                | "content-length"
                | "content-type"
                | "authorization"
                | "cookie"
        )
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    let only = match (upgrades.next(), upgrades.next()) {
        (Some(upgrade), None) => upgrade.as_bytes().trim_ascii(),
        _ => return false,
    };
    only.eq_ignore_ascii_case(b"websocket") && list_has(headers, &CONNECTION, "upgrade")
}

/// Whether the lists in the fields `name` hold `token`.
fn list_has(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut tokens = headers.get_all(name).iter().flat_map(tokens);
    tokens.any(|own| own.eq_ignore_ascii_case(token.as_bytes()))
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let tokens = value.as_bytes().split(|byte| *byte == b',');
    tokens.map(<[u8]>::trim_ascii)
}

/// Removes what an untrusted client says in the place of a proxy, and every name that some servers take
/// for another (`X_Forwarded_For`, and `X_Auth_User` beside what a rule sets).
fn remove_imitations(headers: &mut HeaderMap) {
    let imitates = |name: &HeaderName| {
        let text = name.as_str();
        let proxied = match text.as_bytes().first() {
            Some(b'x') => text.starts_with("x-forwarded-") || text == "x-real-ip",
            Some(b'f') => text == "forwarded",
            _ => false,
        };
        proxied || has_underscore(name)
    };
    remove_all(headers, imitates);
}

fn has_underscore(name: &HeaderName) -> bool {
    name.as_str().as_bytes().contains(&b'_')
}

/// Removes all fields whose name is `unwanted`; there are seldom any.
fn remove_all(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    if headers.keys().any(&unwanted) {
        let names: Vec<_> = headers
            .keys()
            .filter(|name| unwanted(name))
            .cloned()
            .collect();
        for name in names {
            headers.remove(name);
        }
    }
}

fn append_client(headers: &mut HeaderMap, origin: Origin<'_>) {
    let mut passed = Vec::new();
    let earlier = headers.get_all(X_FORWARDED_FOR).iter();
    for earlier in earlier.filter(|earlier| earlier.to_str().is_ok()) {
        passed.extend_from_slice(earlier.as_bytes());
        passed.extend_from_slice(b", ");
    }
    let passed = if passed.is_empty() {
        origin.client.clone()
    } else {
        passed.extend_from_slice(origin.client.as_bytes());
        HeaderValue::try_from(passed).expect("it is made of valid values")
    };
    headers.insert(X_FORWARDED_FOR, passed);
}

/// Sets the field unless it is there and `kept`.
fn set(headers: &mut HeaderMap, name: HeaderName, kept: bool, value: impl FnOnce() -> HeaderValue) {
    if !(kept && headers.contains_key(&name)) {
        headers.insert(name, value());
    }
}

const LONGEST_ID: usize = 128;

#[cfg(test)]
mod tests {
    use http::header::FORWARDED;
    use proptest::prelude::*;

    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn told(fields: &[(&'static str, &'static str)], trusted: bool) -> HeaderMap {
        let mut headers = map(fields);
        let origin = Origin {
            client: &HeaderValue::from_static("198.51.100.7"),
            trusted,
            tls: true,
            port: &HeaderValue::from_static("8443"),
            authority: &HeaderValue::from_static("shop.example"),
            request_id: &HeaderValue::from_static("id"),
        };
        set_origin(&mut headers, origin);
        headers
    }

    #[test]
    fn what_belongs_to_the_connection_is_removed() {
        let mut headers = map(&[
            ("connection", "close, X-Internal"),
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip, Trailers"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("x-internal", "1"),
            ("accept", "*/*"),
            ("trailer", "x-sum"),
        ]);
        let hop = remove_hop_by_hop(&mut headers);
        let trailers = HopByHop {
            websocket: false,
            trailers: true,
        };
        assert_eq!(hop, trailers);
        assert_eq!(headers, map(&[("accept", "*/*"), ("trailer", "x-sum")]));
    }

    #[test]
    fn only_websocket_is_an_upgrade() {
        for (connection, upgrade, websocket) in [
            ("Upgrade", "websocket", true),
            ("keep-alive, upgrade", "WebSocket", true),
            ("keep-alive", "websocket", false),
            ("upgrade", "h2c", false),
            ("upgrade, http2-settings", "h2c, websocket", false),
            ("upgrade", "websocket, h2c", false),
        ] {
            let fields = [("connection", connection), ("upgrade", upgrade)];
            let hop = remove_hop_by_hop(&mut map(&fields));
            assert_eq!(hop.websocket, websocket, "{connection} / {upgrade}");
        }
    }

    #[test]
    fn nobody_nominates_away_what_targets_decide_by() {
        let kept = [("x-forwarded-for", "192.0.2.9"), ("authorization", "x")];
        let nominations = "x-forwarded-for, Authorization, host, content-length";
        let mut headers = map(&[kept[0], kept[1], ("connection", nominations)]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&kept));
    }

    #[test]
    fn a_strangers_word_is_dropped() {
        let headers = told(
            &[
                ("x-forwarded-for", "10.0.0.1"),
                ("x_forwarded_for", "10.0.0.1"),
                ("x_auth_user", "admin"),
                ("x_request_id", "chosen"),
                ("content_length", "0"),
                ("transfer_encoding", "chunked"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-prefix", "/admin"),
                ("x-forwarded-host", "evil.example"),
                ("forwarded", "for=10.0.0.1"),
                ("x-real-ip", "10.0.0.1"),
                ("x-request-id", "chosen"),
                ("host", "Shop.Example"),
            ],
            false,
        );
        let expected = map(&[
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-host", "shop.example"),
            ("x-request-id", "id"),
            ("host", "shop.example"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_trusted_proxys_word_is_kept_and_appended_to() {
        let headers = told(
            &[
                ("x-forwarded-for", "203.0.113.5"),
                ("x-forwarded-for", "203.0.113.6, 203.0.113.7"),
                ("x-forwarded-proto", "http"),
                ("forwarded", "for=203.0.113.5"),
                ("x_custom", "1"),
            ],
            true,
        );
        let passed = "203.0.113.5, 203.0.113.6, 203.0.113.7, 198.51.100.7";
        assert_eq!(headers[X_FORWARDED_FOR], passed);
        assert_eq!(headers[X_FORWARDED_PROTO], "http");
        assert_eq!(headers[X_FORWARDED_PORT], "8443");
        assert_eq!(headers[FORWARDED], "for=203.0.113.5");
        assert_eq!(headers["x_custom"], "1");
    }

    #[test]
    fn cookie_crumbs_are_joined() {
        let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2"), ("accept", "*/*")]);
        join_cookies(&mut headers);
        assert_eq!(headers, map(&[("cookie", "a=1; b=2"), ("accept", "*/*")]));
    }

    #[test]
    fn a_length_is_one_number() {
        for (fields, length) in [
            (&[][..], Ok(None)),
            (&["5"], Ok(Some(5))),
            (&["5", "5"], Err(LengthError)),
            (&["5", "6"], Err(LengthError)),
            (&["5, 5"], Err(LengthError)),
            (&["+5"], Err(LengthError)),
            (&["-5"], Err(LengthError)),
            (&[""], Err(LengthError)),
            (&["99999999999999999999"], Err(LengthError)),
        ] {
            let fields: Vec<_> = fields
                .iter()
                .map(|value| ("content-length", *value))
                .collect();
            assert_eq!(content_length(&map(&fields)), length, "{fields:?}");
        }
    }

    #[test]
    fn edits_are_applied_in_order_and_leave_the_framing_alone() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let edits = Edits::new(&config::HeaderEdits {
            remove: vec!["Server".to_owned(), "Content-Length".to_owned()],
            set: vec![pair("X-A", "2"), pair("transfer-encoding", "chunked")],
            add: vec![pair("x-a", "3")],
        });
        let mut headers = map(&[("server", "x"), ("x-a", "1"), ("content-length", "0")]);
        edits.apply(&mut headers);
        let expected = [("content-length", "0"), ("x-a", "2"), ("x-a", "3")];
        assert_eq!(headers, map(&expected));
    }

    #[test]
    fn trailers_neither_frame_nor_vouch() {
        let mut trailers = map(&[
            ("x-sum", "1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("host", "b"),
            ("x_auth_user", "admin"),
        ]);
        clean_request_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("x-sum", "1")]));
    }

    #[test]
    fn a_length_has_one_form() {
        for (length, form) in [("0", "0"), ("10", "10"), ("0010", "10"), ("00", "0")] {
            let mut headers = map(&[("content-length", length)]);
            let number = content_length(&headers).unwrap().unwrap();
            set_length(&mut headers, number);
            assert_eq!(headers, map(&[("content-length", form)]));
        }
        for lengths in [&["5", "5"][..], &["5, 5"]] {
            let fields: Vec<_> = lengths
                .iter()
                .map(|length| ("content-length", *length))
                .collect();
            let mut headers = map(&fields);
            let number = agreed_length(&headers).unwrap().unwrap();
            set_length(&mut headers, number);
            assert_eq!(headers, map(&[("content-length", "5")]), "{lengths:?}");
        }
    }

    #[test]
    fn the_client_is_the_last_that_is_no_trusted_proxy() {
        let trusts = |address: IpAddr| address.to_string().starts_with("10.");
        for (passed, client) in [
            ("203.0.113.5", Some("203.0.113.5")),
            ("192.0.2.1, 203.0.113.5:99, 10.0.0.1", Some("203.0.113.5")),
            ("[2001:db8::1]:80, 10.0.0.1", Some("2001:db8::1")),
            ("10.0.0.2, 10.0.0.1", Some("10.0.0.2")),
            ("203.0.113.5, unknown, 10.0.0.1", Some("10.0.0.1")),
            ("unknown", None),
        ] {
            let headers = map(&[("x-forwarded-for", passed)]);
            let found = forwarded_client(&headers, trusts).map(|address| address.to_string());
            assert_eq!(found.as_deref(), client, "{passed}");
        }
    }

    #[test]
    fn an_id_that_would_break_a_log_is_not_kept() {
        for (id, kept) in [("abc-1", true), ("", false), ("a b", false)] {
            assert_eq!(request_id(&map(&[("x-request-id", id)])).is_some(), kept);
        }
    }

    proptest! {
        #[test]
        fn no_nomination_removes_a_protected_field(
            tokens in proptest::collection::vec("[a-zA-Z-]{1,16}|x-forwarded-for|,", 0..6),
        ) {
            let mut headers = map(&[("x-forwarded-for", "192.0.2.9")]);
            headers.insert(CONNECTION, HeaderValue::from_str(&tokens.join(",")).unwrap());
            remove_hop_by_hop(&mut headers);
            prop_assert!(headers.contains_key(X_FORWARDED_FOR));
            prop_assert!(!headers.contains_key(CONNECTION));
        }
    }
}
