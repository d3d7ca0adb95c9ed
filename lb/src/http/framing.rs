//! Requests whose bytes leave a doubt about where they end are refused before hyper repairs them.

use std::error::Error;
use std::fmt;

use http::StatusCode;

use super::body::BodyScanner;
use super::head::HeadScanner;

/// Why a request was refused on its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// 400, 408, 431, 501 or 505.
    pub status: StatusCode,
    /// One plain line for the client, the access log and people, without a full stop.
    pub reason: &'static str,
}

impl Refusal {
    pub(crate) const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason }
    }

    pub(crate) const fn bad_request(reason: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

/// A body that is refused fails with this as the source of its error.
impl Error for Refusal {}

/// How large a request's head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadLimits {
    /// Bytes, the last empty line included.
    pub(crate) bytes: usize,
    /// Fields.
    pub(crate) fields: usize,
}

/// Follows the requests of one HTTP/1.x connection: head, body, answer, next head, or a tunnel.
#[derive(Debug)]
pub(crate) struct Framing {
    limits: HeadLimits,
    state: State,
    heads: u64,
}

#[derive(Debug)]
enum State {
    Head(HeadScanner),
    Body {
        body: BodyScanner,
        tunnel: bool,
    },
    /// What follows waits for the response, which may open a tunnel if one was asked for.
    Answering {
        tunnel: bool,
    },
    Tunnel,
    Refused,
}

/// What of some bytes may be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cleared {
    /// So many from the first on. What follows is not known to be good yet and must be shown again,
    /// with more behind it.
    pub(crate) bytes: usize,
    /// What follows is refused, and nothing after it will be cleared.
    pub(crate) refusal: Option<Refused>,
}

/// What is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A head; none of it was cleared.
    Head(Refusal),
    /// A body; its head, and maybe some of it, was cleared.
    Body(Refusal),
}

/// Where a connection stands in its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// At or in a head.
    Head,
    /// In a body.
    Body,
    /// After a request.
    Answering,
    /// In a tunnel.
    Tunnel,
    /// After a refusal.
    Refused,
}

impl Framing {
    pub(crate) fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            state: State::Head(HeadScanner::default()),
            heads: 0,
        }
    }

    /// How many heads were cleared.
    pub(crate) fn heads(&self) -> u64 {
        self.heads
    }

    pub(crate) fn position(&self) -> Position {
        match self.state {
            State::Head(_) => Position::Head,
            State::Body { .. } => Position::Body,
            State::Answering { .. } => Position::Answering,
            State::Tunnel => Position::Tunnel,
            State::Refused => Position::Refused,
        }
    }

    /// The request is answered, and by that the connection has become a `tunnel` or not.
    pub(crate) fn answered(&mut self, tunnel: bool) {
        if let State::Answering { tunnel: asked } = self.state {
            self.state = match asked && tunnel {
                true => State::Tunnel,
                false => State::Head(HeadScanner::default()),
            };
        }
    }

    /// Nothing will be cleared any more.
    pub(crate) fn close(&mut self) {
        self.state = State::Refused;
    }

    /// Looks at `bytes`, which begin where the last ones that were cleared ended.
    pub(crate) fn clear(&mut self, bytes: &[u8]) -> Cleared {
        let mut cleared = 0;
        let refusal = loop {
            match self.advance(&bytes[cleared..]) {
                Ok(0) => break None,
                Ok(more) => cleared += more,
                Err(refused) => {
                    self.state = State::Refused;
                    break Some(refused);
                }
            }
            if cleared == bytes.len() {
                break None;
            }
        };
        Cleared {
            bytes: cleared,
            refusal,
        }
    }

    /// Clears at most one head or the rest of one body.
    fn advance(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        match &mut self.state {
            State::Head(head) => {
                let scanned = head.scan(bytes, self.limits);
                let Some(head) = scanned.map_err(Refused::Head)? else {
                    return Ok(0);
                };
                self.heads += 1;
                self.begin_body(BodyScanner::new(head.body), head.tunnel);
                Ok(head.length)
            }
            State::Body { body, tunnel } => {
                let end = body.scan(bytes).map_err(Refused::Body)?;
                let Some(end) = end else {
                    return Ok(bytes.len());
                };
                self.state = State::Answering { tunnel: *tunnel };
                Ok(end)
            }
            State::Tunnel => Ok(bytes.len()),
            State::Answering { .. } | State::Refused => Ok(0),
        }
    }

    fn begin_body(&mut self, body: BodyScanner, tunnel: bool) {
        self.state = match body {
            BodyScanner::Length(0) => State::Answering { tunnel },
            body => State::Body { body, tunnel },
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 256,
        fields: 6,
    };

    /// What came of a connection: bytes passed on, heads among them, the refusal at the end.
    #[derive(Debug, PartialEq)]
    struct Verdict {
        passed: Vec<u8>,
        heads: u64,
        position: Position,
        refusal: Option<Refused>,
    }

    /// Shows `bytes` in pieces of the given sizes, and then the rest at once; every request is answered.
    fn run(bytes: &[u8], pieces: &[usize]) -> Verdict {
        let mut framing = Framing::new(LIMITS);
        let (mut passed, mut refusal) = (0, None);
        let mut seen = 0;
        for piece in pieces.iter().copied().chain([bytes.len()]) {
            seen = bytes.len().min(seen + piece);
            loop {
                let cleared = framing.clear(&bytes[passed..seen]);
                passed += cleared.bytes;
                refusal = refusal.or(cleared.refusal);
                if framing.position() != Position::Answering {
                    break;
                }
                framing.answered(false);
            }
        }
        Verdict {
            passed: bytes[..passed].to_vec(),
            heads: framing.heads(),
            position: framing.position(),
            refusal,
        }
    }

    #[test]
    fn requests_follow_each_other() {
        let one = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        let two =
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
        let all = [one.as_slice(), two, one].concat();
        let verdict = run(&all, &[]);
        assert_eq!((verdict.heads, verdict.refusal), (3, None));
        assert_eq!(verdict.passed, all);
    }

    #[test]
    fn a_refused_head_is_not_passed_on() {
        let good = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let bad = b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n";
        let verdict = run(&[good.as_slice(), bad, good].concat(), &[]);
        assert_eq!(verdict.passed, good);
        assert!(matches!(verdict.refusal, Some(Refused::Head(_))));
    }

    /// CL.0: a body that a recipient might take for the next request.
    #[test]
    fn a_body_is_never_a_request() {
        let smuggled = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
        let outer = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            smuggled.len()
        );
        let verdict = run(&[outer.as_bytes(), smuggled].concat(), &[]);
        assert_eq!((verdict.heads, verdict.position), (1, Position::Head));
    }

    #[test]
    fn nothing_passes_until_the_answer() {
        let ask = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
        let bytes = [ask.as_slice(), b"\0binary"].concat();
        let mut framing = Framing::new(LIMITS);
        assert_eq!(framing.clear(&bytes).bytes, ask.len());
        assert_eq!(framing.position(), Position::Answering);
        framing.answered(true);
        assert_eq!(framing.clear(&bytes[ask.len()..]).bytes, 7);

        let mut framing = Framing::new(LIMITS);
        framing.clear(ask);
        framing.answered(false);
        assert!(framing.clear(b"\0\r\n").refusal.is_some());

        let plain = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut framing = Framing::new(LIMITS);
        assert_eq!(framing.clear(&plain.repeat(2)).bytes, plain.len());
        framing.answered(true);
        assert!(framing.clear(b"\0\r\n").refusal.is_some(), "nobody asked");
    }

    /// How much of a body passes before it is refused is of no importance.
    fn comparable(mut verdict: Verdict) -> Verdict {
        if let Some(Refused::Body(_)) = verdict.refusal {
            verdict.passed.clear();
        }
        verdict
    }

    fn fragments() -> impl Strategy<Value = Vec<u8>> {
        let fragment = prop::sample::select(vec![
            "GET / HTTP/1.1\r\n",
            "POST /x HTTP/1.1\r\n",
            "Host: a\r\n",
            "\r\n",
            "\n",
            "\r",
            " ",
            "Content-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n",
            "abc",
            "3\r\nabc\r\n",
            "0\r\n\r\n",
            "X: y\r\n",
            "X : y\r\n",
            "\0",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "Upgrade: websocket\r\n",
            "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n",
        ]);
        let fragments = prop::collection::vec(fragment, 0..14);
        fragments.prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_the_pieces(
            bytes in fragments(),
            pieces in prop::collection::vec(0usize..9, 0..80),
        ) {
            let whole = comparable(run(&bytes, &[]));
            prop_assert_eq!(&comparable(run(&bytes, &pieces)), &whole);
            prop_assert_eq!(&comparable(run(&bytes, &vec![1; bytes.len()])), &whole);
        }
    }
}
