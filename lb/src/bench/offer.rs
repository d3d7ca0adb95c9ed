//! What the client offers in a TLS handshake, and whom it trusts.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{SupportedKxGroup, aws_lc_rs::kx_group};
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion, version};

use super::plan::InvalidPlan;

/// What the client offers in a TLS handshake, and whom it trusts.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    /// Which versions; empty: all.
    pub versions: Vec<Version>,
    /// Which cipher suites; empty: all.
    pub suites: Vec<Suite>,
    /// Which key exchange groups, best first; empty: the usual ones.
    pub groups: Vec<Group>,
    /// Which application protocols, best first; empty: none.
    pub alpn: Vec<String>,
    /// Whose certificates are good.
    pub trust: Trust,
}

impl Offer {
    /// Refuses what no handshake can come of.
    pub(super) fn check(&self) -> Result<(), InvalidPlan> {
        match self.groups_need_tls13() && self.versions == [Version::Tls12] {
            true => Err(InvalidPlan::Nothing(HYBRID.to_owned())),
            false => Ok(()),
        }
    }

    fn groups_need_tls13(&self) -> bool {
        let hybrid = |group: &Group| matches!(group, Group::X25519mlkem768 | Group::P256mlkem768);
        !self.groups.is_empty() && self.groups.iter().all(hybrid)
    }
}

/// Whose certificates are good.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// Everybody's: neither chain, dates, name nor signature are looked at.
    #[default]
    Blind,
    /// Those that chain up to one of these, for the name that was asked for.
    Roots(Arc<RootCertStore>),
}

impl Trust {
    /// Whether anything is verified.
    pub(super) fn verifies(&self) -> bool {
        matches!(self, Self::Roots(_))
    }
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

const HYBRID: &str = "groups with ML-KEM exist in TLS 1.3 only";
