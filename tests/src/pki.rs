//! Certificates for tests: by rcgen where many or odd ones are needed, by openssl as people make them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate authority with one intermediate.
pub struct Authority {
    root_pem: String,
    intermediate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub struct Issued {
    /// The leaf in PEM.
    pub leaf: String,
    /// Leaf and intermediate in PEM.
    pub chain: String,
    /// The key in PEM (PKCS#8).
    pub key: String,
    /// The key in DER (PKCS#8).
    pub key_der: Vec<u8>,
    /// The serial number in lower-case hexadecimal.
    pub serial: String,
}

/// Kinds of keys that rcgen makes.
#[derive(Debug, Clone, Copy)]
pub enum KeyKind {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA with 2048 bits.
    Rsa2048,
}

impl Authority {
    /// A fresh root with an intermediate.
    pub fn new() -> Self {
        let root_key = KeyPair::generate().expect("a key can be made");
        let root_params = authority("Test Root");
        let root = root_params
            .self_signed(&root_key)
            .expect("a root can be signed");
        let root_issuer = Issuer::new(root_params, root_key);
        let key = KeyPair::generate().expect("a key can be made");
        let params = authority("Test Intermediate");
        let intermediate = params
            .signed_by(&key, &root_issuer)
            .expect("it can be signed");
        Self {
            root_pem: root.pem(),
            intermediate_pem: intermediate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// The root in PEM.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The intermediate in PEM.
    pub fn intermediate_pem(&self) -> &str {
        &self.intermediate_pem
    }

    /// A P-256 certificate for `names`, valid for 90 days.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, KeyKind::P256, Duration::from_secs(90 * DAY))
    }

    /// A certificate for `names`, valid from a day ago until `life` from now.
    pub fn issue_with(&self, names: &[&str], kind: KeyKind, life: Duration) -> Issued {
        let now = SystemTime::now();
        self.issue_between(names, kind, now - Duration::from_secs(DAY), now + life)
    }

    /// A certificate that has expired.
    pub fn issue_expired(&self, names: &[&str]) -> Issued {
        let now = SystemTime::now();
        let days = |n| now - Duration::from_secs(n * DAY);
        self.issue_between(names, KeyKind::P256, days(90), days(1))
    }

    fn issue_between(
        &self,
        names: &[&str],
        kind: KeyKind,
        from: SystemTime,
        until: SystemTime,
    ) -> Issued {
        let key = key_pair(kind);
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names are valid");
        params.not_before = from.into();
        params.not_after = until.into();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let leaf = params
            .signed_by(&key, &self.issuer)
            .expect("it can be signed");
        issued(leaf.pem(), leaf.der(), &self.intermediate_pem, &key)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Issued {
    /// Writes chain and key as `NAME.pem` and `NAME.key` into `directory`, and gives the paths.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (chain, key) = (
            directory.join(format!("{name}.pem")),
            directory.join(format!("{name}.key")),
        );
        fs::write(&chain, &self.chain).expect("the directory is writable");
        fs::write(&key, &self.key).expect("the directory is writable");
        (chain, key)
    }
}

/// Runs `openssl ARGUMENTS` in `directory`, which must succeed, and gives its standard output.
pub fn openssl(directory: &Path, arguments: &str) -> String {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .output()
        .expect("openssl is installed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn key_pair(kind: KeyKind) -> KeyPair {
    let algorithm = match kind {
        KeyKind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyKind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        KeyKind::Ed25519 => &rcgen::PKCS_ED25519,
        KeyKind::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
    };
    KeyPair::generate_for(algorithm).expect("a key can be made")
}

fn issued(leaf: String, der: &[u8], intermediate: &str, key: &KeyPair) -> Issued {
    let (_, parsed) = x509_parser::parse_x509_certificate(der).expect("rcgen makes certificates");
    let serial = parsed
        .raw_serial()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Issued {
        chain: format!("{leaf}{intermediate}"),
        leaf,
        key: key.serialize_pem(),
        key_der: key.serialize_der(),
        serial,
    }
}

const DAY: u64 = 24 * 60 * 60;
