//! What is to be done to whom.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::{SupportedKxGroup, aws_lc_rs::kx_group};
use rustls::pki_types::ServerName;
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion, version};

/// What is to be done to whom.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where to connect to.
    pub address: SocketAddr,
    /// The name to ask for; an IP address is sent to nobody.
    pub server_name: ServerName<'static>,
    /// Which versions to offer; empty: all.
    pub versions: Vec<Version>,
    /// Which cipher suites to offer; empty: all.
    pub suites: Vec<Suite>,
    /// Which key exchange groups to offer, best first; empty: the usual ones.
    pub groups: Vec<Group>,
    /// Which application protocols to offer, best first; empty: none.
    pub alpn: Vec<String>,
    /// Whose certificates are good.
    pub trust: Trust,
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
            versions: Vec::new(),
            suites: Vec::new(),
            groups: Vec::new(),
            alpn: Vec::new(),
            trust: Trust::Blind,
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
        let positive = |number: f64| number.is_finite() && number > 0.0;
        if self.concurrency == 0 || self.threads == 0 {
            return Err(InvalidPlan::NoConnections);
        }
        if self.rate.is_some_and(|rate| !positive(rate)) {
            return Err(InvalidPlan::NoRate);
        }
        if self.end == End::Count(0) || self.end == End::After(Duration::ZERO) {
            return Err(InvalidPlan::NoEnd);
        }
        if self.groups_need_tls13() && self.versions == [Version::Tls12] {
            return Err(InvalidPlan::Nothing(HYBRID.to_owned()));
        }
        if let Some(path) = &self.request {
            check_path(path)?;
            self.offer_http1()?;
        }
        self.threads = self.threads.min(self.concurrency);
        Ok(self)
    }

    fn groups_need_tls13(&self) -> bool {
        let hybrid = |group: &Group| matches!(group, Group::X25519mlkem768 | Group::P256mlkem768);
        !self.groups.is_empty() && self.groups.iter().all(hybrid)
    }

    /// A GET is written in HTTP/1.1, so nothing else may be agreed on.
    fn offer_http1(&mut self) -> Result<(), InvalidPlan> {
        if self.alpn.is_empty() {
            self.alpn.push(HTTP1.to_owned());
        }
        match self.alpn.iter().find(|protocol| *protocol != HTTP1) {
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
    #[error("the rate must be a number above 0, in connections per second")]
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
    /// Versions, suites and groups have nothing in common.
    #[error("no handshake is possible with these versions, suites and groups: {0}")]
    Nothing(String),
}

/// Whose certificates are good.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Everybody's: neither chain, dates, name nor signature are looked at.
    Blind,
    /// Those that chain up to one of these, for the name that was asked for.
    Roots(Arc<RootCertStore>),
}

/// When a measurement is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// After this long; what is open then is brought to its end.
    After(Duration),
    /// After this many connections, good or bad.
    Count(u64),
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl Version {
    pub(super) fn rustls(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::Tls12 => &version::TLS12,
            Self::Tls13 => &version::TLS13,
        }
    }
}

/// A cipher, in whatever suite of whatever version it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// AES-128-GCM with SHA-256.
    Aes128,
    /// AES-256-GCM with SHA-384.
    Aes256,
    /// ChaCha20-Poly1305 with SHA-256.
    Chacha20,
}

impl Suite {
    pub(super) fn holds(self, suite: &SupportedCipherSuite) -> bool {
        use CipherSuite as S;
        let same = match suite.suite() {
            S::TLS13_AES_128_GCM_SHA256
            | S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => Self::Aes128,
            S::TLS13_AES_256_GCM_SHA384
            | S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => Self::Aes256,
            _ => Self::Chacha20,
        };
        self == same
    }
}

/// A key exchange group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// Curve25519 (RFC 7748).
    X25519,
    /// NIST P-256.
    #[value(alias = "secp256r1")]
    P256,
    /// NIST P-384.
    #[value(alias = "secp384r1")]
    P384,
    /// X25519 with ML-KEM-768 (TLS 1.3 only).
    X25519mlkem768,
    /// P-256 with ML-KEM-768 (TLS 1.3 only).
    #[value(alias = "secp256r1mlkem768")]
    P256mlkem768,
}

impl Group {
    pub(super) fn rustls(self) -> &'static dyn SupportedKxGroup {
        match self {
            Self::X25519 => kx_group::X25519,
            Self::P256 => kx_group::SECP256R1,
            Self::P384 => kx_group::SECP384R1,
            Self::X25519mlkem768 => kx_group::X25519MLKEM768,
            Self::P256mlkem768 => kx_group::SECP256R1MLKEM768,
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

fn check_path(path: &str) -> Result<(), InvalidPlan> {
    let printable = path.bytes().all(|byte| byte.is_ascii_graphic());
    match path.starts_with('/') && printable {
        true => Ok(()),
        false => Err(InvalidPlan::Path(path.to_owned())),
    }
}

const HTTP1: &str = "http/1.1";
const HYBRID: &str = "groups with ML-KEM exist in TLS 1.3 only";

#[cfg(test)]
mod tests {
    use super::*;

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
            p.versions = vec![Version::Tls12];
            p.groups = vec![Group::X25519mlkem768];
        });
        assert_eq!(impossible, InvalidPlan::Nothing(HYBRID.to_owned()));
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
        assert_eq!(checked.alpn, ["http/1.1"]);
        let h2 = Plan {
            alpn: vec!["h2".to_owned()],
            ..plan
        };
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
