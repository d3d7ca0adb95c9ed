//! Security policies: what the names in the configuration stand for.
//!
//! | | `modern` | `compatible` |
//! |---|---|---|
//! | versions | TLS 1.3, TLS 1.2 | the same |
//! | suites | AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305, with ECDHE | the same |
//! | groups | X25519MLKEM768, X25519, P-256, P-384 | the same |
//! | TLS 1.2 without extended master secret (RFC 7627) | refused | served |
//!
//! rustls has no suites with CBC or without forward secrecy, and no TLS 1.1, so that no policy can
//! offer them. What keeps older TLS 1.2 clients out of `modern` is the extended master secret, which
//! OpenSSL before 1.1.0 and Java before 8u161 do not speak.

use std::sync::{Arc, LazyLock};

use config::SecurityPolicy;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite};

/// A configuration that follows `policy`, with no certificate and no tickets yet.
pub(super) fn server_config(
    policy: SecurityPolicy,
    resolver: Arc<dyn rustls::server::ResolvesServerCert>,
) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has suites and groups for both versions")
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.require_ems = requires_extended_master_secret(policy);
    config
}

/// Whether the client would rather have ChaCha20-Poly1305 than AES-GCM, which clients without
/// instructions for AES say by naming it first. Others get AES-128-GCM, whatever their order: it costs
/// both sides the least.
pub(super) fn prefers_chacha(suites: &[CipherSuite]) -> bool {
    let known = |suite: &&CipherSuite| SUITES.iter().any(|own| own.suite() == **suite);
    let first = suites.iter().find(known);
    matches!(
        first,
        Some(
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        )
    )
}

/// Whether suites of TLS 1.3, of TLS 1.2 with ECDSA and of TLS 1.2 with RSA are among `suites`.
pub(super) fn authentications(suites: &[CipherSuite]) -> Authentications {
    let mut found = Authentications::default();
    for suite in suites {
        match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => {
                (found.ecdsa, found.rsa) = (true, true);
            }
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => found.ecdsa = true,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => found.rsa = true,
            _ => {}
        }
    }
    found
}

/// Which kinds of keys the suites in common can authenticate with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Authentications {
    /// ECDSA and Ed25519.
    pub(super) ecdsa: bool,
    /// RSA.
    pub(super) rsa: bool,
}

fn requires_extended_master_secret(policy: SecurityPolicy) -> bool {
    match policy {
        SecurityPolicy::Modern => true,
        SecurityPolicy::Compatible => false,
    }
}

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    Arc::new(CryptoProvider {
        cipher_suites: SUITES.to_vec(),
        kx_groups: GROUPS.to_vec(),
        ..default_provider()
    })
});

/// In the order of preference.
static SUITES: &[SupportedCipherSuite] = &[
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// In the order of preference.
static GROUPS: &[&dyn SupportedKxGroup] = &[
    kx_group::X25519MLKEM768,
    kx_group::X25519,
    kx_group::SECP256R1,
    kx_group::SECP384R1,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chacha_is_preferred_by_those_who_name_it_first() {
        let aes = CipherSuite::TLS13_AES_256_GCM_SHA384;
        let chacha = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
        let grease = CipherSuite::Unknown(0x0a0a);
        assert!(prefers_chacha(&[grease, chacha, aes]));
        assert!(!prefers_chacha(&[grease, aes, chacha]));
        assert!(!prefers_chacha(&[grease]));
    }

    #[test]
    fn suites_of_tls_12_name_the_key() {
        let rsa = CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256;
        let found = authentications(&[rsa]);
        assert!(found.rsa && !found.ecdsa);
        let both = authentications(&[CipherSuite::TLS13_AES_128_GCM_SHA256]);
        assert!(both.rsa && both.ecdsa);
    }
}
