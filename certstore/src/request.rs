//! Requests for certificates (PKCS#10, RFC 2986), with keys that are born in the store.

use std::net::IpAddr;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::host;
use crate::key_type::KeyType;
use crate::private_key::{Encoding, PrivateKey};

/// A fresh key and a request for a certificate for `names`, in DER.
pub(crate) fn request(key_type: KeyType, names: &[String]) -> Result<(PrivateKey, Vec<u8>), Error> {
    let pair = generate(key_type)?;
    let mut params = params(names)?;
    // Some authorities copy the common name and nothing else.
    params.distinguished_name = common_name(&names[0]);
    let request = params
        .serialize_request(&*pair)
        .map_err(|_| Error::Crypto("sign a request"))?;
    let key = PrivateKey::from_der(pair.serialized_der(), Encoding::Pkcs8)?;
    Ok((key, request.der().to_vec()))
}

/// The names in the form that certificates have them, each once.
///
/// # Errors
/// [`Error::InvalidHost`], and [`Error::NoHosts`] where there are none.
pub(crate) fn hosts(names: &[String]) -> Result<Vec<String>, Error> {
    let mut hosts = Vec::new();
    for name in names {
        let host = host_name(name)?;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if hosts.is_empty() {
        return Err(Error::NoHosts);
    }
    Ok(hosts)
}

/// A DNS name or an address in the form that certificates have it: in lower case, or canonical.
///
/// # Errors
/// [`Error::InvalidHost`].
pub fn host_name(text: &str) -> Result<String, Error> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => host::dns_name(text).map_err(|why| Error::InvalidHost {
            name: text.escape_debug().to_string(),
            why,
        }),
    }
}

/// A fresh key pair, wiped on drop.
pub(crate) fn generate(key_type: KeyType) -> Result<Zeroizing<KeyPair>, Error> {
    let pair = match key_type {
        KeyType::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyType::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyType::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
        KeyType::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyType::Rsa3072 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
        KeyType::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
    };
    pair.map(Zeroizing::new)
        .map_err(|_| Error::Crypto("generate a key"))
}

/// Parameters for a certificate or a request for names that have been checked.
pub(crate) fn params(names: &[String]) -> Result<CertificateParams, Error> {
    CertificateParams::new(names).map_err(|_| Error::Crypto("encode the names"))
}

pub(crate) fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    // 64 characters are all that a common name may have (RFC 5280, ub-common-name).
    if text.len() <= 64 {
        name.push(DnType::CommonName, text);
    }
    name
}
