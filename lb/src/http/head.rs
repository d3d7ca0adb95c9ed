//! Heads of HTTP/1.x requests, checked byte by byte (RFC 9112, sections 2 to 6).
//!
//! Stricter than the RFC where recipients are known to differ: whatever two of them could read in two
//! ways is refused.

use http::StatusCode;

use super::framing::{HeadLimits, Refusal};

/// What a valid head says of what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the head, its last empty line included.
    pub(super) length: usize,
    /// What follows.
    pub(super) body: BodyLength,
    /// Whether the connection may become a tunnel after the response: CONNECT, or an `Upgrade` to
    /// WebSocket.
    pub(super) tunnel: bool,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// After this many bytes.
    Bytes(u64),
    /// After the last chunk and the trailers.
    Chunked,
}

/// Scans one head that arrives in pieces. Every byte is looked at a bounded number of times, however
/// small the pieces are.
#[derive(Debug, Default)]
pub(super) struct HeadScanner {
    /// Where the line begins that is not complete yet.
    line: usize,
    /// Up to where no line feed was found in it.
    searched: usize,
    /// Whether the one empty line that may come before a request came (RFC 9112, section 2.2).
    empty_line: bool,
    facts: Option<Facts>,
}

/// What the lines so far say.
#[derive(Debug, Default)]
struct Facts {
    http_10: bool,
    connect: bool,
    upgrade: bool,
    fields: usize,
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
}

impl HeadScanner {
    /// Looks at `bytes`: everything from the head's first byte on, a continuation of what was given
    /// before. None: the head is not complete.
    pub(super) fn scan(
        &mut self,
        bytes: &[u8],
        limits: HeadLimits,
    ) -> Result<Option<Head>, Refusal> {
        while let Some(feed) = find_line_feed(&bytes[self.searched..]) {
            let end = self.searched + feed;
            if end >= limits.bytes {
                return Err(TOO_LARGE);
            }
            let Some(line) = bytes[self.line..end].strip_suffix(b"\r") else {
                return Err(BARE_LF);
            };
            (self.line, self.searched) = (end + 1, end + 1);
            if self.take_line(line, limits)? {
                return self.finish().map(Some);
            }
        }
        self.searched = bytes.len();
        if bytes.len() > limits.bytes {
            return Err(TOO_LARGE);
        }
        Ok(None)
    }

    /// Whether the line was the last one.
    fn take_line(&mut self, line: &[u8], limits: HeadLimits) -> Result<bool, Refusal> {
        match &mut self.facts {
            Some(_) if line.is_empty() => return Ok(true),
            Some(facts) => facts.take_field(line, limits)?,
            None if line.is_empty() && !self.empty_line => self.empty_line = true,
            None => self.facts = Some(Facts::of_request_line(line)?),
        }
        Ok(false)
    }

    fn finish(&mut self) -> Result<Head, Refusal> {
        let facts = self.facts.take().unwrap_or_default();
        facts.check()?;
        Ok(Head {
            length: self.line,
            body: if facts.chunked {
                BodyLength::Chunked
            } else {
                BodyLength::Bytes(facts.length.unwrap_or(0))
            },
            tunnel: facts.connect || facts.upgrade,
        })
    }
}

impl Facts {
    fn of_request_line(line: &[u8]) -> Result<Self, Refusal> {
        let (method, rest) = split_at_space(line)?;
        let (target, version) = split_at_space(rest)?;
        if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
            return Err(METHOD);
        }
        if target.is_empty() || !target.iter().all(|byte| is_target(*byte)) {
            return Err(TARGET);
        }
        let http_10 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(VERSION),
            _ => return Err(REQUEST_LINE),
        };
        Ok(Self {
            http_10,
            connect: method == b"CONNECT",
            ..Self::default()
        })
    }

    fn take_field(&mut self, line: &[u8], limits: HeadLimits) -> Result<(), Refusal> {
        let (name, value) = split_field(line)?;
        self.fields += 1;
        if self.fields > limits.fields {
            return Err(TOO_MANY);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.hosts += 1,
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade |= !self.http_10 && names_websocket(value);
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.take_length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.take_coding(value)?,
            _ => {}
        }
        Ok(())
    }

    fn take_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(REPEATED_LENGTH);
        }
        self.length = Some(parse_length(trim_spaces(value)).ok_or(MALFORMED_LENGTH)?);
        Ok(())
    }

    fn take_coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.chunked {
            return Err(REPEATED_CODING);
        }
        if !trim_spaces(value).eq_ignore_ascii_case(b"chunked") {
            return Err(CODING);
        }
        self.chunked = true;
        Ok(())
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.hosts > 1 {
            return Err(REPEATED_HOST);
        }
        if self.hosts == 0 && !self.http_10 {
            return Err(NO_HOST);
        }
        if self.chunked && self.length.is_some() {
            return Err(LENGTH_AND_CODING);
        }
        if self.chunked && self.http_10 {
            return Err(CODING_IN_HTTP_10);
        }
        Ok(())
    }
}

/// Name and value of a field line (RFC 9112, section 5), the value with the spaces around it.
pub(super) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(FOLDED);
    }
    let colon = line.iter().position(|byte| !is_token(*byte));
    let colon = colon.ok_or(NO_COLON)?;
    match line[colon] {
        b':' if colon > 0 => {}
        b' ' | b'\t' => return Err(SPACE_BEFORE_COLON),
        _ => return Err(FIELD_NAME),
    }
    let value = &line[colon + 1..];
    // Without an early end the compiler looks at many bytes at once; there is seldom a reason to end.
    let good = value
        .iter()
        .fold(true, |good, byte| good & is_field_content(*byte));
    match good {
        true => Ok((&line[..colon], value)),
        false => Err(bad_value(value)),
    }
}

#[cold]
fn bad_value(value: &[u8]) -> Refusal {
    match value.iter().find(|byte| !is_field_content(**byte)) {
        Some(b'\r') => BARE_CR,
        _ => FIELD_VALUE,
    }
}

fn split_at_space(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let space = line.iter().position(|byte| *byte == b' ');
    let space = space.ok_or(REQUEST_LINE)?;
    Ok((&line[..space], &line[space + 1..]))
}

fn find_line_feed(bytes: &[u8]) -> Option<usize> {
    memchr::memchr(b'\n', bytes)
}

/// Without spaces at both ends. Tabs stay: not every recipient takes them off.
fn trim_spaces(mut value: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = value {
        value = rest;
    }
    value
}

/// Whether `websocket` is among the protocols (RFC 9110, section 7.8; RFC 6455, section 4.1). No other one
/// makes a tunnel.
fn names_websocket(value: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|name| name.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

/// Decimal digits only: no sign, no list, no overflow.
fn parse_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let length = digits.iter().try_fold(0u64, |length, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        length.checked_mul(10)?.checked_add(u64::from(digit))
    });
    length.filter(|length| *length <= MAX_LENGTH)
}

/// More than any body has, and less than the lengths by which hyper means something else.
const MAX_LENGTH: u64 = i64::MAX as u64;

/// `tchar` of RFC 9110, section 5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// What a field's value is made of: visible characters, `obs-text`, space and tab.
pub(super) const fn is_field_content(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

/// Visible ASCII, but not `#`: a fragment is never sent (RFC 9110, section 7.1).
const fn is_target(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let separator = matches!(
            byte as u8,
            b'"' | b'('
                | b')'
                | b','
                | b'/'
                | b':'
                | b';'
                | b'<'
                | b'='
                | b'>'
                | b'?'
                | b'@'
                | b'['
                | b'\\'
                | b']'
                | b'{'
                | b'}'
        );
        table[byte] = (byte as u8).is_ascii_graphic() && !separator;
        byte += 1;
    }
    table
};

const REQUEST_LINE: Refusal =
    Refusal::bad_request("the request line is not `METHOD TARGET HTTP/1.1` with single spaces");
const METHOD: Refusal = Refusal::bad_request("the method is not a token");
const TARGET: Refusal = Refusal::bad_request(
    "the request target is empty or holds a character that must be percent-encoded",
);
const VERSION: Refusal = Refusal::new(
    StatusCode::HTTP_VERSION_NOT_SUPPORTED,
    "the version of HTTP is neither 1.1 nor 1.0",
);
const TOO_LARGE: Refusal = Refusal::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the request head is larger than this listener takes",
);
const TOO_MANY: Refusal = Refusal::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the request has more header fields than this listener takes",
);
const CODING: Refusal = Refusal::new(
    StatusCode::NOT_IMPLEMENTED,
    "Transfer-Encoding is something else than `chunked`",
);
const REPEATED_CODING: Refusal = Refusal::bad_request("Transfer-Encoding is given more than once");
const LENGTH_AND_CODING: Refusal =
    Refusal::bad_request("Content-Length and Transfer-Encoding are both given");
const CODING_IN_HTTP_10: Refusal = Refusal::bad_request("Transfer-Encoding is given in HTTP/1.0");
const REPEATED_LENGTH: Refusal = Refusal::bad_request("Content-Length is given more than once");
const MALFORMED_LENGTH: Refusal = Refusal::bad_request("Content-Length is not one decimal number");
const REPEATED_HOST: Refusal = Refusal::bad_request("Host is given more than once");
const NO_HOST: Refusal = Refusal::bad_request("Host is missing");
const FOLDED: Refusal =
    Refusal::bad_request("a header line begins with a space (folding is obsolete)");
const NO_COLON: Refusal = Refusal::bad_request("a header line has no colon");
const SPACE_BEFORE_COLON: Refusal =
    Refusal::bad_request("a space stands before the colon of a header line");
const FIELD_NAME: Refusal = Refusal::bad_request("the name of a header field is not a token");
const FIELD_VALUE: Refusal =
    Refusal::bad_request("the value of a header field holds a control character");
const BARE_CR: Refusal = Refusal::bad_request("a carriage return stands without a line feed");
const BARE_LF: Refusal = Refusal::bad_request("a line ends without a carriage return");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 1024,
        fields: 8,
    };

    fn scan(head: &str) -> Result<Option<Head>, Refusal> {
        HeadScanner::default().scan(head.as_bytes(), LIMITS)
    }

    /// A POST with these lines after `Host`.
    fn with(lines: &str) -> Result<Option<Head>, Refusal> {
        scan(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n"))
    }

    fn body(lines: &str) -> BodyLength {
        with(lines).unwrap().unwrap().body
    }

    #[test]
    fn lengths_and_codings_are_understood() {
        assert_eq!(body("Content-Length: 5"), BodyLength::Bytes(5));
        assert_eq!(body("content-length:0005 "), BodyLength::Bytes(5));
        assert_eq!(body("Accept: */*"), BodyLength::Bytes(0));
        assert_eq!(body("Transfer-Encoding: chunked"), BodyLength::Chunked);
        assert_eq!(body("TRANSFER-ENCODING:Chunked"), BodyLength::Chunked);
        let most = "Content-Length: 9223372036854775807";
        assert_eq!(body(most), BodyLength::Bytes(MAX_LENGTH));
    }

    #[test]
    fn smuggling_is_refused() {
        for (lines, refusal) in [
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked",
                LENGTH_AND_CODING,
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 5",
                LENGTH_AND_CODING,
            ),
            ("Content-Length: 5\r\nContent-Length: 5", REPEATED_LENGTH),
            ("Content-Length: 5\r\ncontent-length: 6", REPEATED_LENGTH),
            ("Content-Length: 5, 5", MALFORMED_LENGTH),
            ("Content-Length: +5", MALFORMED_LENGTH),
            ("Content-Length: -5", MALFORMED_LENGTH),
            ("Content-Length: 0x5", MALFORMED_LENGTH),
            ("Content-Length: 5 5", MALFORMED_LENGTH),
            ("Content-Length: 5.0", MALFORMED_LENGTH),
            ("Content-Length: \t5", MALFORMED_LENGTH),
            ("Content-Length: 5\t", MALFORMED_LENGTH),
            ("Content-Length:", MALFORMED_LENGTH),
            ("Content-Length: 9223372036854775808", MALFORMED_LENGTH),
            ("Content-Length: 18446744073709551615", MALFORMED_LENGTH),
            ("Content-Length: 18446744073709551616", MALFORMED_LENGTH),
            ("Transfer-Encoding: \tchunked", CODING),
            ("Transfer-Encoding: xchunked", CODING),
            ("Transfer-Encoding: chunkedx", CODING),
            ("Transfer-Encoding: \"chunked\"", CODING),
            ("Transfer-Encoding: identity", CODING),
            ("Transfer-Encoding: gzip, chunked", CODING),
            ("Transfer-Encoding: chunked, chunked", CODING),
            ("Transfer-Encoding: chunked;q=1", CODING),
            ("Transfer-Encoding:", CODING),
            ("Transfer-Encoding: \u{b}chunked", FIELD_VALUE),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
                REPEATED_CODING,
            ),
            ("Transfer-Encoding : chunked", SPACE_BEFORE_COLON),
            ("Transfer-Encoding\t: chunked", SPACE_BEFORE_COLON),
            (" Transfer-Encoding: chunked", FOLDED),
            ("X: y\r\n Transfer-Encoding: chunked", FOLDED),
            ("Transfer-Encoding:\r\n chunked", CODING),
            ("X: y\r\n\tz", FOLDED),
            ("X: y\rTransfer-Encoding: chunked", BARE_CR),
            ("X: y\r\r\nZ: z", BARE_CR),
            ("X: y\nTransfer-Encoding: chunked", BARE_LF),
            ("X: y\0z", FIELD_VALUE),
            ("X: \u{7f}", FIELD_VALUE),
            ("X\0: y", FIELD_NAME),
            (": y", FIELD_NAME),
            ("X(: y", FIELD_NAME),
            ("Transfer-Encoding", NO_COLON),
            ("Host: b", REPEATED_HOST),
        ] {
            assert_eq!(with(lines), Err(refusal), "{lines:?}");
        }
    }

    #[test]
    fn request_lines_are_exact() {
        for (line, refusal) in [
            ("GET  / HTTP/1.1", TARGET),
            ("GET /  HTTP/1.1", REQUEST_LINE),
            (" GET / HTTP/1.1", METHOD),
            ("GET\t/ HTTP/1.1", REQUEST_LINE),
            ("GET /", REQUEST_LINE),
            ("GET / HTTP/1.1 ", REQUEST_LINE),
            ("GET / http/1.1", REQUEST_LINE),
            ("GET / HTTP/1.10", REQUEST_LINE),
            ("GET / HTTP/2.0", VERSION),
            ("GET / HTTP/0.9", VERSION),
            ("GET /\u{e4} HTTP/1.1", TARGET),
            ("GET /#a HTTP/1.1", TARGET),
            ("GET /\0 HTTP/1.1", TARGET),
            ("G(T / HTTP/1.1", METHOD),
        ] {
            let head = format!("{line}\r\nHost: a\r\n\r\n");
            assert_eq!(scan(&head), Err(refusal), "{line:?}");
        }
    }

    #[test]
    fn http_10_needs_no_host_and_takes_no_coding() {
        assert!(scan("GET / HTTP/1.0\r\n\r\n").unwrap().is_some());
        assert_eq!(scan("GET / HTTP/1.1\r\n\r\n"), Err(NO_HOST));
        let coded = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(scan(coded), Err(CODING_IN_HTTP_10));
    }

    #[test]
    fn one_empty_line_may_come_first() {
        let head = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(scan(head).unwrap().unwrap().length, head.len());
        assert_eq!(scan(&format!("\r\n{head}")), Err(REQUEST_LINE));
        assert_eq!(scan(&head[1..]), Err(BARE_LF));
    }

    #[test]
    fn limits_hold() {
        let long = format!("X: {}", "y".repeat(LIMITS.bytes));
        assert_eq!(with(&long), Err(TOO_LARGE));
        assert_eq!(scan(&"G".repeat(LIMITS.bytes + 1)), Err(TOO_LARGE));
        let most = ["X: y"; 7].join("\r\n");
        assert!(with(&most).is_ok());
        assert_eq!(with(&format!("{most}\r\nX: y")), Err(TOO_MANY));
    }

    #[test]
    fn tunnels_are_foreseen() {
        let tunnel = |head: &str| scan(head).unwrap().unwrap().tunnel;
        assert!(tunnel("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(tunnel(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"
        ));
        assert!(tunnel(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c ,WebSocket\r\nUpgrade: x\r\n\r\n"
        ));
        assert!(!tunnel("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n"));
        assert!(!tunnel("GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n"));
        assert!(!tunnel("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    }

    proptest! {
        /// What this scanner takes, httparse reads in the same way.
        #[test]
        fn valid_heads_mean_the_same_to_httparse(
            method in "[A-Z!#$%&'*+.^_`|~-]{1,8}",
            target in "/[!\"$-~]{0,20}",
            fields in prop::collection::vec(("x-[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,10}", "[ \t!-~]{0,20}"), 0..6),
        ) {
            let mut head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n");
            for (name, value) in &fields {
                head += &format!("{name}:{value}\r\n");
            }
            head += "\r\n";
            let scanned = scan(&head).unwrap().unwrap();
            let mut headers = [httparse::EMPTY_HEADER; 16];
            let mut request = httparse::Request::new(&mut headers);
            let length = request.parse(head.as_bytes()).unwrap().unwrap();
            prop_assert_eq!(scanned.length, length);
            prop_assert_eq!(request.method, Some(method.as_str()));
            prop_assert_eq!(request.path, Some(target.as_str()));
            prop_assert_eq!(request.headers.len(), fields.len() + 1);
            for (header, (name, value)) in request.headers[1..].iter().zip(&fields) {
                prop_assert_eq!(header.name, name);
                prop_assert_eq!(header.value, value.trim_matches([' ', '\t']).as_bytes());
            }
        }

        /// What httparse cannot read, this scanner does not take either.
        #[test]
        fn nothing_is_taken_that_httparse_refuses(noise in prop::collection::vec(any::<u8>(), 0..12)) {
            let head = [b"GET / HTTP/1.1\r\nHost: a\r\n", noise.as_slice(), b"\r\n\r\n"].concat();
            if let Ok(Some(_)) = HeadScanner::default().scan(&head, LIMITS) {
                let mut headers = [httparse::EMPTY_HEADER; 16];
                prop_assert!(httparse::Request::new(&mut headers).parse(&head).unwrap().is_complete());
            }
        }
    }
}
