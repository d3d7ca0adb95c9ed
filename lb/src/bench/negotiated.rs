//! What client and server agreed on.

use rustls::client::ClientConnection;
use rustls::crypto::SupportedKxGroup;
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use x509_parser::parse_x509_certificate;
use x509_parser::public_key::PublicKey;

use super::report::Negotiated;

/// Counts of what was agreed on. There are few different ones, so a list is searched.
#[derive(Debug, Default)]
pub(super) struct Agreements {
    seen: Vec<(Agreement, u64)>,
}

/// What was agreed on in one handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Agreement {
    version: Option<ProtocolVersion>,
    suite: Option<rustls::CipherSuite>,
    group: Option<NamedGroup>,
    alpn: Option<Vec<u8>>,
    resumed: bool,
    leaf: Option<Vec<u8>>,
}

impl Agreements {
    /// Counts the handshake of `connection`.
    pub(super) fn count(&mut self, connection: &ClientConnection) {
        let known = self.seen.iter_mut().find(|(a, _)| a.is_of(connection));
        match known {
            Some((_, count)) => *count += 1,
            None => self.seen.push((Agreement::of(connection), 1)),
        }
    }

    /// Adds the counts of another thread.
    pub(super) fn add(&mut self, other: Self) {
        for (agreement, count) in other.seen {
            match self.seen.iter_mut().find(|(a, _)| *a == agreement) {
                Some((_, sum)) => *sum += count,
                None => self.seen.push((agreement, count)),
            }
        }
    }

    /// In words, most frequent first.
    pub(super) fn describe(&self) -> Vec<Negotiated> {
        let mut all: Vec<_> = self.seen.iter().map(|(a, n)| a.describe(*n)).collect();
        all.sort_by_key(|negotiated| std::cmp::Reverse(negotiated.count));
        all
    }
}

impl Agreement {
    fn of(connection: &ClientConnection) -> Self {
        Self {
            version: connection.protocol_version(),
            suite: suite(connection),
            group: group(connection),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            resumed: resumed(connection),
            leaf: leaf(connection).map(<[u8]>::to_vec),
        }
    }

    /// Without a copy of anything: this is asked for every connection.
    fn is_of(&self, connection: &ClientConnection) -> bool {
        self.version == connection.protocol_version()
            && self.suite == suite(connection)
            && self.group == group(connection)
            && self.alpn.as_deref() == connection.alpn_protocol()
            && self.resumed == resumed(connection)
            && self.leaf.as_deref() == leaf(connection)
    }

    fn describe(&self, count: u64) -> Negotiated {
        let lossy = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        Negotiated {
            count,
            version: self.version.map(version_name).unwrap_or_default(),
            suite: self.suite.map(|s| format!("{s:?}")).unwrap_or_default(),
            group: self.group.map(|group| format!("{group:?}")),
            alpn: self.alpn.as_ref().map(lossy),
            resumed: self.resumed,
            certificate: self.leaf.as_deref().map(certificate_type),
        }
    }
}

/// Whether a session was resumed.
pub(super) fn resumed(connection: &ClientConnection) -> bool {
    connection.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// Whether the server asked for another group, which costs a round trip.
pub(super) fn retried(connection: &ClientConnection) -> bool {
    connection.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest)
}

fn suite(connection: &ClientConnection) -> Option<rustls::CipherSuite> {
    connection
        .negotiated_cipher_suite()
        .map(|suite| suite.suite())
}

fn group(connection: &ClientConnection) -> Option<NamedGroup> {
    connection
        .negotiated_key_exchange_group()
        .map(SupportedKxGroup::name)
}

fn leaf(connection: &ClientConnection) -> Option<&[u8]> {
    connection
        .peer_certificates()
        .and_then(<[_]>::first)
        .map(AsRef::as_ref)
}

fn version_name(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2".to_owned(),
        ProtocolVersion::TLSv1_3 => "TLSv1.3".to_owned(),
        other => format!("{other:?}"),
    }
}

/// `ECDSA 256`, `RSA 2048`, `Ed25519`: the type of the key in a certificate.
fn certificate_type(der: &[u8]) -> String {
    let Ok((_, certificate)) = parse_x509_certificate(der) else {
        return "unreadable".to_owned();
    };
    match certificate.public_key().parsed() {
        Ok(PublicKey::EC(point)) => format!("ECDSA P-{}", point.key_size()),
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        _ => match certificate
            .public_key()
            .algorithm
            .algorithm
            .to_id_string()
            .as_str()
        {
            ED25519 => "Ed25519".to_owned(),
            other => other.to_owned(),
        },
    }
}

/// RFC 8410.
const ED25519: &str = "1.3.101.112";

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    };

    #[test]
    fn certificates_go_by_their_keys() {
        for (algorithm, name) in [
            (&PKCS_ECDSA_P256_SHA256, "ECDSA P-256"),
            (&PKCS_ECDSA_P384_SHA384, "ECDSA P-384"),
            (&PKCS_ED25519, "Ed25519"),
        ] {
            let key = KeyPair::generate_for(algorithm).expect("a key");
            let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
            let certificate = params.self_signed(&key).expect("a certificate");
            assert_eq!(certificate_type(certificate.der()), name);
        }
        assert_eq!(certificate_type(b"nonsense"), "unreadable");
    }
}
