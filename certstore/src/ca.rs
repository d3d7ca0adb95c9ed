//! A small private certificate authority for trying things out. Its key is made in memory, and ends there.

use std::time::{Duration, SystemTime};

use kms::Environment;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use zeroize::Zeroizing;

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
        let mut params = params(&hosts(&names)?)?;
        params.distinguished_name = common_name(&names[0]);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial(&self.environment));
        set_validity(&mut params, not_before, not_after);
        let issuer = Issuer::from_params(&self.params, &*self.key);
        let certificate = params.signed_by(&*key, &issuer).map_err(|_| SIGN)?;
        let key = PrivateKey::from_der(key.serialized_der(), Encoding::Pkcs8)?;
        Ok((pem::encode("CERTIFICATE", certificate.der()), key))
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
