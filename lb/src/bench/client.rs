//! How a thread shakes hands: one configuration for full handshakes, one for resumed ones.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption, WantsClientCert};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ConfigBuilder, DigitallySignedStruct, Error, SignatureScheme, WantsVerifier, version,
};

use super::offer::{Offer, Suite, Trust, Version};
use super::plan::InvalidPlan;
use super::tickets::Tickets;

/// The two configurations of a thread, and what they share.
#[derive(Debug)]
pub(super) struct Profiles {
    /// For handshakes that resume nothing.
    pub(super) full: Arc<ClientConfig>,
    /// For handshakes that resume a session if there is one.
    pub(super) resuming: Arc<ClientConfig>,
    /// The sessions that there are.
    pub(super) tickets: Arc<Tickets>,
}

impl Profiles {
    /// For a thread with `connections` connections at a time.
    ///
    /// # Errors
    /// When versions, suites and groups leave no possible handshake.
    pub(super) fn new(offer: &Offer, connections: usize) -> Result<Self, InvalidPlan> {
        let tickets = Tickets::new(connections * TICKETS_PER_CONNECTION);
        // One is a copy of the other: rustls resumes a session only under the verifier it began with.
        let mut full = client_config(offer)?;
        full.resumption = Resumption::store(tickets.hoard());
        let mut resuming = full.clone();
        resuming.resumption = Resumption::store(tickets.clone());
        Ok(Self {
            full: Arc::new(full),
            resuming: Arc::new(resuming),
            tickets,
        })
    }
}

/// A configuration that offers this.
///
/// # Errors
/// When versions, suites and groups leave no possible handshake.
pub(super) fn client_config(offer: &Offer) -> Result<ClientConfig, InvalidPlan> {
    let builder = ClientConfig::builder_with_provider(Arc::new(provider(offer)))
        .with_protocol_versions(&versions(&offer.versions))
        .map_err(|error| InvalidPlan::Nothing(error.to_string()))?;
    let mut config = trusting(builder, &offer.trust).with_no_client_auth();
    config.alpn_protocols = offer.alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    Ok(config)
}

fn provider(offer: &Offer) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let wanted = |suite: &_| {
        offer
            .suites
            .iter()
            .any(|wanted: &Suite| wanted.holds(suite))
    };
    if !offer.suites.is_empty() {
        provider.cipher_suites.retain(wanted);
    }
    if !offer.groups.is_empty() {
        provider.kx_groups = offer.groups.iter().map(|group| group.rustls()).collect();
    }
    provider
}

fn versions(wanted: &[Version]) -> Vec<&'static rustls::SupportedProtocolVersion> {
    match wanted {
        [] => vec![&version::TLS13, &version::TLS12],
        _ => wanted.iter().map(|version| version.rustls()).collect(),
    }
}

fn trusting(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    trust: &Trust,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    match trust {
        Trust::Roots(roots) => builder.with_root_certificates(roots.clone()),
        Trust::Blind => {
            let schemes = builder
                .crypto_provider()
                .signature_verification_algorithms
                .supported_schemes();
            let verifier = Arc::new(Blind { schemes });
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        }
    }
}

/// Trusts everybody: for measurements, where the client's work is none of the server's.
#[derive(Debug)]
struct Blind {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Blind {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// A server may send several tickets at a time, and a few handshakes may get none.
const TICKETS_PER_CONNECTION: usize = 4;
