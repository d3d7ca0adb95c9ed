//! How a request ends: the one word that the access log, the metrics and the client are given, and whose
//! fault it is.

use std::fmt;

use http::StatusCode;

/// Whose fault it is that a request was not answered by a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Nobody's.
    Nobody,
    /// The client's.
    Downstream,
    /// The target's.
    Upstream,
    /// Ours, or of our configuration.
    Internal,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum End {
    /// It was answered whole.
    Done,
    /// The client left before the answer was whole.
    ClientGone,
    /// The rest of the request's body did not come in time.
    ClientTimeout,
    /// The request's body is larger than the listener allows.
    BodyTooLarge,
    /// The head was refused on its bytes.
    BadHead,
    /// The head has more fields than the listener allows.
    HeadTooLarge,
    /// There is no authority, more than one, or none that can be.
    BadAuthority,
    /// The path is malformed, or holds what the listener does not allow.
    BadPath,
    /// The length of the body is in doubt.
    BadLength,
    /// `Expect` names something else than `100-continue`.
    ExpectationFailed,
    /// The request's body is malformed.
    BadBody,
    /// The served certificate is not for the host.
    Misdirected,
    /// `CONNECT`.
    MethodRefused,
    /// `TRACE`, which would say what this side adds to a request.
    TraceRefused,
    /// No rule matches, and the listener has no action.
    NoRule,
    /// No target of the group is healthy.
    NoHealthyTarget,
    /// All connections to the target are busy.
    TargetBusy,
    /// The system has no descriptor, port or memory left for a connection to a target.
    OutOfResources,
    /// The target takes no connection.
    ConnectFailed,
    /// The target did not take the connection in time.
    ConnectTimeout,
    /// The TLS handshake with the target failed.
    TlsFailed,
    /// The target closed the connection without an answer.
    TargetClosed,
    /// The target's answer is no HTTP/1.1, or its head is too large.
    TargetInvalid,
    /// The target did not begin to answer in time.
    TargetTimeout,
    /// The target took or sent nothing of a body for too long.
    TargetStalled,
    /// The target's answer broke off.
    TargetTruncated,
    /// An upgraded connection was idle for too long.
    UpgradeIdle,
    /// An upgraded connection was cut by the end of the drain.
    Drained,
}

/// What is said of one end.
struct Facts {
    word: &'static str,
    status: u16,
    source: Source,
    text: &'static str,
}

impl End {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 28] = [
        Self::Done,
        Self::ClientGone,
        Self::ClientTimeout,
        Self::BodyTooLarge,
        Self::BadHead,
        Self::HeadTooLarge,
        Self::BadAuthority,
        Self::BadPath,
        Self::BadLength,
        Self::ExpectationFailed,
        Self::BadBody,
        Self::Misdirected,
        Self::MethodRefused,
        Self::TraceRefused,
        Self::NoRule,
        Self::NoHealthyTarget,
        Self::TargetBusy,
        Self::OutOfResources,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::TlsFailed,
        Self::TargetClosed,
        Self::TargetInvalid,
        Self::TargetTimeout,
        Self::TargetStalled,
        Self::TargetTruncated,
        Self::UpgradeIdle,
        Self::Drained,
    ];

    /// Its word in access log, metrics and answers.
    pub fn word(self) -> &'static str {
        self.facts().word
    }

    /// The status that a client gets for it, where nothing was answered yet.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.facts().status).expect("the table holds valid statuses")
    }

    /// Whose fault it is.
    pub fn source(self) -> Source {
        self.facts().source
    }

    /// The one plain line that a client gets: `502 connect_failed: no connection …`.
    pub fn line(self) -> String {
        let Facts {
            word, status, text, ..
        } = self.facts();
        format!("{status} {word}: {text}\n")
    }

    /// The line with `why` in the place of the general text.
    pub fn line_because(self, why: &str) -> String {
        let Facts { word, status, .. } = self.facts();
        format!("{status} {word}: {why}\n")
    }

    fn facts(self) -> Facts {
        use Source::{Downstream, Internal, Nobody, Upstream};
        let (word, status, source, text) = match self {
            Self::Done => ("done", 200, Nobody, "answered"),
            Self::ClientGone => ("client_gone", 499, Downstream, "the client left"),
            Self::ClientTimeout => (
                "client_timeout",
                408,
                Downstream,
                "the rest of the request did not come in time",
            ),
            Self::BodyTooLarge => (
                "body_too_large",
                413,
                Downstream,
                "the body is larger than is allowed here",
            ),
            Self::BadHead => ("bad_head", 400, Downstream, "the head is malformed"),
            Self::BadAuthority => (
                "bad_authority",
                400,
                Downstream,
                "the request must name one host, and only one",
            ),
            Self::BadPath => (
                "bad_path",
                400,
                Downstream,
                "the path is malformed or one that servers understand differently",
            ),
            Self::BadLength => (
                "bad_length",
                400,
                Downstream,
                "the length of the body is in doubt",
            ),
            Self::Misdirected => (
                "misdirected",
                421,
                Downstream,
                "the certificate of this connection is not for that host; open another one",
            ),
            Self::MethodRefused => (
                "method_refused",
                501,
                Downstream,
                "CONNECT is not served here",
            ),
            Self::BadBody => ("bad_body", 400, Downstream, "the body is malformed"),
            Self::OutOfResources => (
                "out_of_resources",
                503,
                Internal,
                "this server has no room for another connection; try again later",
            ),
            Self::ExpectationFailed => (
                "expectation_failed",
                417,
                Downstream,
                "only 100-continue can be expected here",
            ),
            Self::HeadTooLarge => (
                "head_too_large",
                431,
                Downstream,
                "the head has more fields than are allowed here",
            ),
            Self::TraceRefused => ("trace_refused", 405, Downstream, "TRACE is not served here"),
            Self::NoRule => ("no_rule", 404, Downstream, "nothing is served here"),
            Self::NoHealthyTarget => (
                "no_healthy_target",
                503,
                Upstream,
                "no target is healthy; try again later",
            ),
            Self::TargetBusy => (
                "target_busy",
                503,
                Upstream,
                "all connections to the target are busy; try again later",
            ),
            Self::ConnectFailed => (
                "connect_failed",
                502,
                Upstream,
                "no connection to a target could be made",
            ),
            Self::ConnectTimeout => (
                "connect_timeout",
                504,
                Upstream,
                "the target did not take the connection in time",
            ),
            Self::TlsFailed => (
                "tls_failed",
                502,
                Upstream,
                "the TLS handshake with the target failed",
            ),
            Self::TargetClosed => (
                "target_closed",
                502,
                Upstream,
                "the target closed the connection without an answer",
            ),
            Self::TargetInvalid => (
                "target_invalid",
                502,
                Upstream,
                "the target's answer is not valid HTTP",
            ),
            Self::TargetTimeout => (
                "target_timeout",
                504,
                Upstream,
                "the target did not answer in time",
            ),
            Self::TargetStalled => (
                "target_stalled",
                504,
                Upstream,
                "the target stopped taking or sending the body",
            ),
            Self::TargetTruncated => (
                "target_truncated",
                502,
                Upstream,
                "the target's answer broke off",
            ),
            Self::UpgradeIdle => (
                "upgrade_idle",
                504,
                Nobody,
                "the upgraded connection was idle",
            ),
            Self::Drained => ("drained", 503, Internal, "the balancer is leaving"),
        };
        Facts {
            word,
            status,
            source,
            text,
        }
    }
}

/// Why a request gets no answer from a target.
#[derive(Debug)]
pub struct ProxyError {
    /// What the client is told.
    pub end: End,
    /// What only the access log is told: addresses, and the system's words.
    pub detail: Option<String>,
}

impl ProxyError {
    /// An `end` with what lies behind it.
    pub fn because(end: End, detail: impl fmt::Display) -> Self {
        Self {
            end,
            detail: Some(detail.to_string()),
        }
    }
}

impl From<End> for ProxyError {
    fn from(end: End) -> Self {
        Self { end, detail: None }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{}: {detail}", self.end.word()),
            None => f.write_str(self.end.word()),
        }
    }
}

impl std::error::Error for ProxyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_the_numbers() {
        for (number, end) in End::ALL.into_iter().enumerate() {
            assert_eq!(end as usize, number);
        }
    }

    #[test]
    fn words_are_unique_and_statuses_fit_the_source() {
        for end in End::ALL {
            let same = End::ALL.iter().filter(|other| other.word() == end.word());
            assert_eq!(same.count(), 1, "{}", end.word());
            match end.source() {
                Source::Downstream => assert!(end.status().as_u16() < 502, "{}", end.word()),
                Source::Upstream => assert!(end.status().is_server_error(), "{}", end.word()),
                Source::Nobody | Source::Internal => {}
            }
        }
    }

    #[test]
    fn the_line_is_one_line() {
        assert_eq!(
            End::TargetTimeout.line(),
            "504 target_timeout: the target did not answer in time\n"
        );
    }
}
