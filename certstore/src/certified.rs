//! From an unsealed entry to what signs handshakes.
//!
//! Of the private key nothing stays but aws-lc's own copy of it, which is the key in use. Parsed
//! certificates are dropped, and certificates that many chains share stand in memory once.

use std::collections::HashSet;
use std::sync::Arc;

use kms::hygiene::wipe_stack;
use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs::sign::{any_ecdsa_type, any_eddsa_type, any_supported_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};

use crate::certificate::{self, CertificateInfo};
use crate::error::Error;
use crate::format::Header;
use crate::key_type::{KeyFamily, KeyType};
use crate::served::ServedCertificate;

/// The certificate of an entry, ready to be served.
///
/// `pkcs8` is borrowed by all that reads it; the caller wipes it.
pub(crate) fn certify(
    header: &Header<'_>,
    chain: &[&[u8]],
    pkcs8: &[u8],
) -> Result<ServedCertificate, Error> {
    let (leaf, issuers) = chain.split_first().expect("a chain in an entry has a leaf");
    let certificate = certificate::parse(LEAF, leaf)?;
    let names = certificate::names(LEAF, &certificate)?;
    let signer = signer(header.key_type, pkcs8)?;
    let public_key = signer
        .public_key()
        .ok_or(Error::Crypto("tell the public key"))?;
    if public_key.as_ref() != certificate.public_key().raw {
        return Err(Error::EntryMismatch);
    }
    let info = CertificateInfo::of(&certificate, names);
    let mut served_chain = Vec::with_capacity(chain.len());
    served_chain.push(CertificateDer::from(leaf.to_vec()));
    served_chain.extend(issuers.iter().map(|der| shared(der)));
    Ok(ServedCertificate {
        entry: header.name.to_owned(),
        key_type: header.key_type,
        version: header.version,
        names: info.names,
        serial: info.serial,
        sha256: info.sha256,
        not_before: info.not_before,
        not_after: info.not_after,
        key: Arc::new(CertifiedKey::new(served_chain, signer)),
    })
}

/// What signs with the key; each kind is tried alone, since every trial parses the key.
fn signer(key_type: KeyType, pkcs8: &[u8]) -> Result<Arc<dyn SigningKey>, Error> {
    let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8);
    let signer = match key_type.family() {
        KeyFamily::Ecdsa => any_ecdsa_type(&PrivateKeyDer::Pkcs8(pkcs8)),
        KeyFamily::Ed25519 => any_eddsa_type(&pkcs8),
        KeyFamily::Rsa => any_supported_type(&PrivateKeyDer::Pkcs8(pkcs8)),
    };
    // Where the parser read the key.
    wipe_stack();
    signer.map_err(|_| Error::EntryMismatch)
}

/// An issuer's certificate, in memory once however many chains have it.
///
/// rustls takes certificates that are owned or live for ever, so these live for ever. There are few,
/// they come from authenticated entries only, and beyond a bound they are owned after all.
fn shared(der: &[u8]) -> CertificateDer<'static> {
    static ISSUERS: Mutex<Option<HashSet<&'static [u8]>>> = Mutex::new(None);
    let mut guard = ISSUERS.lock();
    let issuers = guard.get_or_insert_default();
    if let Some(known) = issuers.get(der) {
        return CertificateDer::from(*known);
    }
    if issuers.len() >= MAX_SHARED {
        return CertificateDer::from(der.to_vec());
    }
    let known: &'static [u8] = Box::leak(der.into());
    issuers.insert(known);
    CertificateDer::from(known)
}

const LEAF: &str = "its leaf certificate";
/// Of issuers' certificates that are shared: at 2 KiB each, 2 MiB.
const MAX_SHARED: usize = 1024;
