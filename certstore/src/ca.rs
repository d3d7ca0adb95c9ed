//! A small private certificate authority for trying things out. Its key is made in memory, and ends there.

use std::time::{Duration, SystemTime};

use kms::Environment;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    PublicKeyData, SerialNumber, SignatureAlgorithm,
};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

use crate::entry::{requested_key, requested_names};
use crate::error::Error;
use crate::key_type::KeyType;
use crate::pem;
use crate::private_key::{Encoding, PrivateKey};
use crate::request::{common_name, generate, hosts, params};

/// A certificate authority that nobody trusts by default: for demonstrations and tests.
pub struct TestCa {
    params: CertificateParams,
    key: Zeroizing<KeyPair>,
    pem: String,
    environment: Environment,
}

impl TestCa {
    /// A fresh authority, valid for ten years from yesterday.
    ///
    /// # Errors
    /// [`Error::Crypto`] where the cryptographic library refuses.
    pub fn new(environment: &Environment) -> Result<Self, Error> {
        let key = generate(KeyType::EcdsaP256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("Sealgate test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(serial(environment));
        let now = environment.clock.now();
        set_validity(&mut params, now - DAY, now + 3650 * DAY);
        let certificate = params.self_signed(&*key).map_err(|_| SIGN)?;
        Ok(Self {
            pem: pem::encode("CERTIFICATE", certificate.der()),
            params,
            key,
            environment: environment.clone(),
        })
    }

    /// The authority's certificate in PEM: what a client is told to trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate in PEM for `names` (DNS names and addresses), valid for 90 days from yesterday,
    /// and its key.
    ///
    /// # Errors
    /// [`Error::InvalidHost`] and [`Error::NoHosts`] for the names; [`Error::Crypto`].
    pub fn issue(&self, names: &[&str]) -> Result<(String, PrivateKey), Error> {
        let now = self.environment.clock.now();
        self.issue_for(KeyType::EcdsaP256, names, now - DAY, now + 89 * DAY)
    }

    /// As [`issue`](Self::issue), with another kind of key and time.
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub fn issue_for(
        &self,
        key_type: KeyType,
        names: &[&str],
        not_before: SystemTime,
        not_after: SystemTime,
    ) -> Result<(String, PrivateKey), Error> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = generate(key_type)?;
        let certificate = self.certificate(&hosts(&names)?, &*key, (not_before, not_after))?;
        let key = PrivateKey::from_der(key.serialized_der(), Encoding::Pkcs8)?;
        Ok((certificate, key))
    }

    /// The certificate in PEM that a request (PKCS#10, in PEM) asks for, valid for 90 days from
    /// yesterday.
    ///
    /// # Errors
    /// What is wrong with the request; [`Error::Crypto`].
    pub fn sign(&self, request: &str) -> Result<String, Error> {
        let der = pem::request("the request", request)?;
        let key = RequestedKey::read(&requested_key(&der)?)?;
        let now = self.environment.clock.now();
        self.certificate(&requested_names(&der)?, &key, (now - DAY, now + 89 * DAY))
    }

    /// A server's certificate for names that have been checked.
    fn certificate(
        &self,
        names: &[String],
        key: &impl PublicKeyData,
        (not_before, not_after): (SystemTime, SystemTime),
    ) -> Result<String, Error> {
        let mut params = params(names)?;
        params.distinguished_name = common_name(&names[0]);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial(&self.environment));
        set_validity(&mut params, not_before, not_after);
        let issuer = Issuer::from_params(&self.params, &*self.key);
        let certificate = params.signed_by(key, &issuer).map_err(|_| SIGN)?;
        Ok(pem::encode("CERTIFICATE", certificate.der()))
    }
}

/// The public key in a request.
struct RequestedKey {
    bits: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl RequestedKey {
    /// From a SubjectPublicKeyInfo in DER.
    fn read(der: &[u8]) -> Result<Self, Error> {
        let unsupported = || Error::UnsupportedKey("the key in the request".to_owned());
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| unsupported())?;
        let algorithm = match info.parsed() {
            Ok(PublicKey::RSA(_)) => &PKCS_RSA_SHA256,
            Ok(PublicKey::EC(point)) if point.key_size() == 256 => &PKCS_ECDSA_P256_SHA256,
            Ok(PublicKey::EC(point)) if point.key_size() == 384 => &PKCS_ECDSA_P384_SHA384,
            // Ed25519 is the one that the parser does not know.
            Ok(PublicKey::Unknown(bits)) if bits.len() == 32 => &PKCS_ED25519,
            _ => return Err(unsupported()),
        };
        let bits = info.subject_public_key.data.to_vec();
        Ok(Self { bits, algorithm })
    }
}

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

fn set_validity(params: &mut CertificateParams, not_before: SystemTime, not_after: SystemTime) {
    params.not_before = not_before.into();
    params.not_after = not_after.into();
}

/// 127 random bits, as RFC 5280 wants serial numbers: positive, and of at most 20 bytes.
fn serial(environment: &Environment) -> SerialNumber {
    let mut bytes: [u8; 16] = environment.random_bytes();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const SIGN: Error = Error::Crypto("sign a certificate");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::OpenSsl;

    #[test]
    fn openssl_trusts_what_it_issues() {
        let ca = TestCa::new(&Environment::system()).unwrap();
        let openssl = OpenSsl::new();
        openssl.write("ca.pem", ca.pem());
        let (chain, _) = ca.issue(&["localhost", "127.0.0.1"]).unwrap();
        openssl.write("leaf.pem", &chain);
        openssl.run("verify -x509_strict -purpose sslserver -verify_hostname localhost -CAfile ca.pem leaf.pem");
        openssl.run(
            "verify -x509_strict -purpose sslserver -verify_ip 127.0.0.1 -CAfile ca.pem leaf.pem",
        );
    }

    #[test]
    fn requests_of_openssl_are_signed() {
        let ca = TestCa::new(&Environment::system()).unwrap();
        let openssl = OpenSsl::new();
        openssl.run("req -newkey rsa:2048 -nodes -subj /CN=a -addext subjectAltName=DNS:a.example -keyout key.pem -out csr.pem");
        openssl.write("ca.pem", ca.pem());
        openssl.write("leaf.pem", &ca.sign(&openssl.text("csr.pem")).unwrap());
        openssl.run("verify -x509_strict -verify_hostname a.example -CAfile ca.pem leaf.pem");
        assert!(matches!(ca.sign("nothing"), Err(Error::NothingInPem(_))));
    }
}
