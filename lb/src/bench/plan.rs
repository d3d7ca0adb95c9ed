//! What is to be done to whom.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::offer::Offer;

/// What is to be done to whom.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to connect to.
    pub address: SocketAddr,
    /// The name to ask for; an IP address is sent to nobody.
    pub server_name: ServerName<'static>,
    /// What to offer in a handshake.
    pub offer: Offer,
    /// How many of the handshakes are to resume a session.
    pub resume: Share,
    /// The path to GET with HTTP/1.1 on each connection; none: close after the handshake.
    pub request: Option<String>,
    /// How many connections are open at a time.
    pub concurrency: usize,
    /// On how many threads.
    pub threads: usize,
    /// When it is over.
    pub end: End,
    /// Connections opened per second; none: as many as go.
    pub rate: Option<f64>,
    /// How long a connection may take from its first to its last byte.
    pub timeout: Duration,
    /// The server's process, whose children count as well.
    pub pid: Option<u32>,
}

impl Plan {
    /// A plan with nothing particular about it: as fast as possible for ten seconds.
    pub fn new(address: SocketAddr, server_name: ServerName<'static>) -> Self {
        Self {
            address,
            server_name,
            offer: Offer::default(),
            resume: Share::NONE,
            request: None,
            concurrency: 64,
            threads: 1,
            end: End::After(Duration::from_secs(10)),
            rate: None,
            timeout: Duration::from_secs(10),
            pid: None,
        }
    }

    /// This plan if it can be carried out.
    ///
    /// # Errors
    /// The first thing in it that cannot.
    pub fn checked(mut self) -> Result<Self, InvalidPlan> {
        if self.concurrency == 0 || self.threads == 0 {
            return Err(InvalidPlan::NoConnections);
        }
        check_extent(self.rate, self.end)?;
        self.offer.check()?;
        if let Some(path) = &self.request {
            check_path(path)?;
            self.offer_http1()?;
        }
        self.threads = self.threads.min(self.concurrency);
        Ok(self)
    }

    /// A GET is written in HTTP/1.1, so nothing else may be agreed on.
    fn offer_http1(&mut self) -> Result<(), InvalidPlan> {
        if self.offer.alpn.is_empty() {
            self.offer.alpn.push(HTTP1.to_owned());
        }
        match self.offer.alpn.iter().find(|protocol| *protocol != HTTP1) {
            Some(other) => Err(InvalidPlan::Protocol(other.clone())),
            None => Ok(()),
        }
    }
}

/// Why a plan cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// Without connections there is nothing to measure.
    #[error("at least one connection at a time and one thread are needed")]
    NoConnections,
    /// A rate must be above zero.
    #[error("the rate must be a number above 0, in connections or requests per second")]
    NoRate,
    /// It would end before it begins.
    #[error("the duration or the count must be above 0")]
    NoEnd,
    /// The path would not be a request's target.
    #[error(
        "`{0}` is no path: it must begin with `/` and hold neither space nor control characters"
    )]
    Path(String),
    /// Requests are written in HTTP/1.1.
    #[error("the request is sent with HTTP/1.1, so that `{0}` must not be offered with ALPN")]
    Protocol(String),
    /// HTTP/1.1 has one request at a time on a connection.
    #[error("{0} streams on a connection need HTTP/2 (`--http 2`)")]
    Streams(usize),
    /// What is to be sent is no request.
    #[error("no request can be made of this: {0}")]
    Request(String),
    /// Versions, suites and groups have nothing in common.
    #[error("no handshake is possible with these versions, suites and groups: {0}")]
    Nothing(String),
}

/// When a measurement is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// After this long; what is open then is brought to its end.
    After(Duration),
    /// After this many connections or requests, good or bad.
    Count(u64),
}

impl End {
    pub(super) fn count(self) -> Option<u64> {
        match self {
            Self::Count(count) => Some(count),
            Self::After(_) => None,
        }
    }
}

/// A share of the whole: `0` or a percentage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

impl Share {
    /// Nothing of it.
    pub const NONE: Self = Self(0.0);
    /// All of it.
    pub const ALL: Self = Self(1.0);

    /// As a fraction, 0 to 1.
    pub fn fraction(self) -> f64 {
        self.0
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self::NONE);
        }
        let number = text.strip_suffix('%').and_then(|n| n.parse::<f64>().ok());
        match number {
            Some(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(percent / 100.0)),
            _ => Err("expected 0 or a percentage up to 100%, as in 50%".to_owned()),
        }
    }
}

/// Refuses a rate or an end that leaves nothing to measure.
pub(super) fn check_extent(rate: Option<f64>, end: End) -> Result<(), InvalidPlan> {
    let positive = |number: f64| number.is_finite() && number > 0.0;
    if rate.is_some_and(|rate| !positive(rate)) {
        return Err(InvalidPlan::NoRate);
    }
    match end {
        End::Count(0) | End::After(Duration::ZERO) => Err(InvalidPlan::NoEnd),
        _ => Ok(()),
    }
}

/// Refuses what is no request's target.
pub(super) fn check_path(path: &str) -> Result<(), InvalidPlan> {
    let printable = path.bytes().all(|byte| byte.is_ascii_graphic());
    match path.starts_with('/') && printable {
        true => Ok(()),
        false => Err(InvalidPlan::Path(path.to_owned())),
    }
}

const HTTP1: &str = "http/1.1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Group, Version};

    fn plan() -> Plan {
        let name = ServerName::try_from("localhost").expect("a name");
        Plan::new(([127, 0, 0, 1], 1).into(), name)
    }

    #[test]
    fn shares_carry_their_unit() {
        assert_eq!("0".parse(), Ok(Share::NONE));
        assert_eq!("100%".parse(), Ok(Share::ALL));
        assert_eq!("12.5%".parse::<Share>().map(Share::fraction), Ok(0.125));
        for wrong in ["", "%", "1", "0.5", "-1%", "101%", "NaN%", "inf%"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn plans_that_lead_nowhere_are_refused() {
        let refused = |change: fn(&mut Plan)| {
            let mut plan = plan();
            change(&mut plan);
            plan.checked().expect_err("it leads nowhere")
        };
        assert_eq!(refused(|p| p.threads = 0), InvalidPlan::NoConnections);
        assert_eq!(refused(|p| p.rate = Some(f64::NAN)), InvalidPlan::NoRate);
        assert_eq!(refused(|p| p.end = End::Count(0)), InvalidPlan::NoEnd);
        let impossible = refused(|p| {
            p.offer.versions = vec![Version::Tls12];
            p.offer.groups = vec![Group::X25519mlkem768];
        });
        assert!(matches!(impossible, InvalidPlan::Nothing(_)));
        for path in ["index.html", "/a b", "/a\r\nHost:b", ""] {
            let plan = Plan {
                request: Some(path.to_owned()),
                ..plan()
            };
            assert_eq!(
                plan.checked().err(),
                Some(InvalidPlan::Path(path.to_owned()))
            );
        }
    }

    #[test]
    fn a_request_is_http_1() {
        let plan = Plan {
            request: Some("/".to_owned()),
            ..plan()
        };
        let checked = plan.clone().checked().expect("a good plan");
        assert_eq!(checked.offer.alpn, ["http/1.1"]);
        let mut h2 = plan;
        h2.offer.alpn = vec!["h2".to_owned()];
        assert_eq!(
            h2.checked().err(),
            Some(InvalidPlan::Protocol("h2".to_owned()))
        );
    }

    #[test]
    fn no_thread_goes_without_a_connection() {
        let plan = Plan {
            threads: 8,
            concurrency: 3,
            ..plan()
        };
        assert_eq!(plan.checked().map(|plan| plan.threads), Ok(3));
    }
}
