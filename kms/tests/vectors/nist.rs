//! NIST's Cryptographic Algorithm Validation Program.

use std::collections::BTreeMap;

use kms::material::{PublicKey, unwrap_padded, wrap_padded};
use kms::{KeyAgreementAlgorithm, KeySpec, KeyUsage, MessageType, SigningAlgorithm, aead};

use crate::{Met, der, material, met, secret_key};

#[test]
fn aes_gcm() {
    let mut seen = Met::default();
    for vector in read(include_str!("nist/aes_gcm_256.rsp")) {
        let key = secret_key(&vector.bytes("Key"));
        let nonce = vector.bytes("IV").try_into().unwrap();
        let tag: [u8; 16] = vector.bytes("Tag").try_into().unwrap();
        let data = vector.bytes("AAD");
        let mut message = vector.bytes("CT");
        let opened = aead::open(&key, &nonce, &data, &mut message, &tag).is_ok();
        seen.vector(vector.passes(), opened, &vector);
        if vector.passes() {
            assert_eq!(message, vector.bytes("PT"), "{vector}");
            assert_eq!(aead::seal(&key, &nonce, &data, &mut message), tag);
            assert_eq!(message, vector.bytes("CT"), "{vector}");
        }
    }
    assert_eq!(seen, met(50, 25));
}

#[test]
fn aes_key_wrap_with_padding() {
    let mut seen = Met::default();
    for vector in read(include_str!("nist/aes_kwp_256.rsp")) {
        let (key, wrapped) = (secret_key(&vector.bytes("K")), vector.bytes("C"));
        let unwrapped = unwrap_padded(&key, &wrapped).ok();
        seen.vector(vector.passes(), unwrapped.is_some(), &vector);
        if let Some(unwrapped) = unwrapped {
            assert_eq!(unwrapped.expose(), vector.bytes("P"), "{vector}");
            assert_eq!(wrap_padded(&key, &vector.bytes("P")), Ok(wrapped));
        }
    }
    assert_eq!(seen, met(20, 10));
}

#[test]
fn ecdsa() {
    let mut seen = Met::default();
    for vector in read(include_str!("nist/ecdsa_sigver.rsp")) {
        let (spec, algorithm) = match &*vector.section {
            "P-256,SHA-256" => (KeySpec::EccNistP256, SigningAlgorithm::EcdsaSha256),
            "P-384,SHA-384" => (KeySpec::EccNistP384, SigningAlgorithm::EcdsaSha384),
            _ => (KeySpec::EccNistP521, SigningAlgorithm::EcdsaSha512),
        };
        let key = der::ec_public_key(spec, &vector.bytes("Qx"), &vector.bytes("Qy"));
        let signature = der::ecdsa_signature(&vector.bytes("R"), &vector.bytes("S"));
        let message = vector.bytes("Msg");
        let verified = PublicKey::from_der(spec, &key)
            .and_then(|key| key.verify(algorithm, MessageType::Raw, &message, &signature));
        seen.vector(vector.passes(), verified.is_ok(), &vector);
    }
    assert_eq!(seen, met(9, 36));
}

#[test]
fn rsa_pkcs1() {
    let mut seen = Met::default();
    for vector in read(include_str!("nist/rsa_pkcs1_sigver.rsp")) {
        let spec = match &*vector.section {
            "mod = 2048" => KeySpec::Rsa2048,
            "mod = 3072" => KeySpec::Rsa3072,
            _ => KeySpec::Rsa4096,
        };
        let algorithm = match vector.text("SHAAlg") {
            "SHA256" => SigningAlgorithm::RsassaPkcs1V15Sha256,
            "SHA384" => SigningAlgorithm::RsassaPkcs1V15Sha384,
            _ => SigningAlgorithm::RsassaPkcs1V15Sha512,
        };
        let key = der::rsa_public_key(&vector.bytes("n"), &vector.bytes("e"));
        let (message, signature) = (vector.bytes("Msg"), vector.bytes("S"));
        let verified = PublicKey::from_der(spec, &key)
            .and_then(|key| key.verify(algorithm, MessageType::Raw, &message, &signature));
        seen.vector(vector.passes(), verified.is_ok(), &vector);
    }
    assert_eq!(seen, met(9, 9));
}

/// Invalid are points off the curve, private keys that are not the public ones', and other secrets.
#[test]
fn ecdh() {
    let mut seen = Met::default();
    for vector in read(include_str!("nist/ecdh.rsp")) {
        let spec = match &*vector.section {
            "P-256" => KeySpec::EccNistP256,
            "P-384" => KeySpec::EccNistP384,
            _ => KeySpec::EccNistP521,
        };
        let [x, y, d] = ["QsIUTx", "QsIUTy", "dsIUT"].map(|name| vector.bytes(name));
        let key = der::ec_private_key(spec, &d, Some((&x, &y)));
        let key = material(spec, KeyUsage::KeyAgreement, &key);
        let [x, y] = ["QsCAVSx", "QsCAVSy"].map(|name| vector.bytes(name));
        let theirs = der::ec_public_key(spec, &x, &y);
        let agreed = key.is_some_and(|key| {
            key.derive_shared_secret(KeyAgreementAlgorithm::Ecdh, &theirs)
                .is_ok_and(|secret| secret.expose().ends_with(&vector.bytes("Z")))
        });
        seen.vector(vector.passes(), agreed, &vector);
    }
    assert_eq!(seen, met(18, 36));
}

struct Vector {
    section: String,
    values: BTreeMap<String, String>,
}

impl Vector {
    fn text(&self, name: &str) -> &str {
        &self.values[name]
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let text = self.text(name);
        // The exponents of RSA keys have no leading zeros.
        let even = format!("{}{text}", &"0"[..text.len() % 2]);
        let byte = |at| u8::from_str_radix(&even[at..at + 2], 16).expect("hexadecimal digits");
        (0..even.len()).step_by(2).map(byte).collect()
    }

    fn passes(&self) -> bool {
        self.values
            .get("Result")
            .is_none_or(|result| result.starts_with('P'))
    }
}

impl std::fmt::Display for Vector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {:?}", self.section, self.values)
    }
}

/// Sections of vectors, which an empty line parts.
fn read(text: &str) -> Vec<Vector> {
    let mut vectors = Vec::new();
    let mut section = String::new();
    for block in text.split("\n\n") {
        let mut values = BTreeMap::new();
        for line in block.lines().filter(|line| !line.starts_with('#')) {
            let name = line
                .strip_prefix('[')
                .and_then(|line| line.strip_suffix(']'));
            match (name, line.split_once(" =")) {
                (Some(name), _) => name.clone_into(&mut section),
                (None, Some((name, value))) => {
                    values.insert(name.to_owned(), value.trim().to_owned());
                }
                (None, None) => {}
            }
        }
        if !values.is_empty() {
            let section = section.clone();
            vectors.push(Vector { section, values });
        }
    }
    vectors
}
