//! Target groups: who answers requests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::{FieldValue, Sealed};

/// Servers that answer the same requests.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetGroup {
    /// Unique among the target groups.
    pub name: String,
    /// How its targets are spoken to.
    pub protocol: TargetProtocol,
    /// How a target is chosen.
    pub algorithm: Algorithm,
    /// What happens when no target is healthy.
    pub on_all_unhealthy: OnAllUnhealthy,
    /// How targets are probed; none: they are taken for healthy.
    pub health_check: Option<HealthCheck>,
    /// What a target may be asked for.
    pub limits: TargetLimits,
    /// What is changed in requests to them, after what their rule changes.
    pub request_headers: TargetHeaders,
    /// At least one; addresses are unique.
    pub targets: Vec<Target>,
}

/// Changes of the header fields of requests, applied in the order remove, set, add. Names and values in
/// clear are valid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetHeaders {
    /// Fields to remove.
    pub remove: Vec<String>,
    /// Fields to replace or add.
    pub set: Vec<(String, FieldValue)>,
    /// Fields to add beside those that are there.
    pub add: Vec<(String, FieldValue)>,
}

impl TargetHeaders {
    /// The values that are sealed.
    pub fn sealed(&self) -> impl Iterator<Item = &Sealed> {
        let values = self.set.iter().chain(&self.add);
        values.filter_map(|(_, value)| match value {
            FieldValue::Plain(_) => None,
            FieldValue::Sealed(sealed) => Some(sealed),
        })
    }
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share of the requests; 0: none.
    pub weight: u32,
}

/// How targets are spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetProtocol {
    /// HTTP/1.1 in plain.
    Http,
    /// HTTP/1.1 over TLS.
    Https(TargetTls),
}

/// How TLS towards targets is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTls {
    /// The name that is asked for (SNI) and must stand in the certificate; the target's address where
    /// none is named.
    pub server_name: Option<String>,
    /// Who may have issued the certificate; none: `verify: none`, anybody.
    pub ca: Option<CertificateAuthorities>,
    /// The entry of the sealed store that is shown to targets.
    pub client_certificate: Option<String>,
}

/// Which certificate authorities are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateAuthorities {
    /// Those of the operating system.
    System,
    /// Those in a PEM file.
    File(PathBuf),
    /// Those of a trust store of the state directory.
    TrustStore(String),
}

/// How a target is chosen among the healthy ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// One after the other, by weight.
    RoundRobin,
    /// The one with the fewest requests in flight, by weight.
    LeastOutstandingRequests,
}

/// What happens when no target is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnAllUnhealthy {
    /// 503.
    Refuse,
    /// All targets are taken for healthy.
    Forward,
}

/// How targets are probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Path and query that are asked for.
    pub path: String,
    /// The `Host` of the probe; the target's address where none is named.
    pub host: Option<String>,
    /// Time from one probe to the next.
    pub interval: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// Successes in a row that make a target healthy again. The first success of all is enough.
    pub healthy: u32,
    /// Failures in a row that make a target unhealthy.
    pub unhealthy: u32,
    /// First and last status that is a success.
    pub statuses: Vec<(u16, u16)>,
}

/// What a target may be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetLimits {
    /// How long connecting may take, TLS included.
    pub connect_timeout: Duration,
    /// From the end of the request to the first byte of the response's head.
    pub response_timeout: Duration,
    /// Connections to one target; beyond it requests wait for at most `connect_timeout`.
    pub max_connections: usize,
    /// Connections to one target that are kept without a request, per worker.
    pub max_idle_connections: usize,
    /// How long a connection is kept without a request.
    pub idle_timeout: Duration,
}
