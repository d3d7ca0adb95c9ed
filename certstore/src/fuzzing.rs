//! What fuzzers feed: functions that take any bytes and must not panic, whatever these are.
//!
//! `certstore/fuzz` calls them with libFuzzer; tests call them with random bytes.

use std::str;
use std::time::SystemTime;

use crate::certificate::CertificateInfo;
use crate::entry::EntrySummary;
use crate::key_type::KeyType;
use crate::name::{EntryFile, EntryName};
use crate::private_key::{Encoding, PrivateKey};
use crate::{format, host_name, import, pem};

/// Files in PEM, with certificates, keys and requests.
pub fn pem(data: &[u8]) {
    if let Ok(file) = pem::read("fuzz.pem", data)
        && !file.certificates.is_empty()
    {
        let found = pem::certificates("fuzz.pem", &file.certificates);
        assert!(found.is_ok_and(|found| !found.is_empty()));
    }
    if let Ok(text) = str::from_utf8(data) {
        let _ = pem::request("fuzz.pem", text);
    }
}

/// Sealed entries. What is one is written the same.
pub fn entry(data: &[u8]) {
    if let Ok(entry) = format::parse(data) {
        assert_eq!(entry.header.encode(), entry.clear);
        let _ = EntrySummary::of("a.ecdsa.sealed", &entry, None);
    }
}

/// Certificates, keys and requests in DER, and the import of chains.
pub fn import(data: &[u8]) {
    let _ = CertificateInfo::read("fuzz.der", data);
    for encoding in [Encoding::Pkcs8, Encoding::Pkcs1, Encoding::Sec1] {
        if let Ok(key) = PrivateKey::from_der(data, encoding) {
            let again = PrivateKey::from_der(key.expose_pkcs8(), Encoding::Pkcs8);
            assert!(again.is_ok_and(|again| again.key_type() == key.key_type()));
        }
    }
    chain(pem::encode("CERTIFICATE", data));
    if let Ok(text) = str::from_utf8(data) {
        chain(text.to_owned());
    }
}

fn chain(pem: String) {
    let inputs = import::inputs(&[("fuzz.pem".to_owned(), pem)]);
    let Ok(inputs) = inputs else { return };
    for key in import::public_keys(&inputs).unwrap_or_default() {
        let key = (KeyType::EcdsaP256, key.as_slice());
        let _ = import::check(&inputs, key, SystemTime::UNIX_EPOCH, false);
    }
}

/// Names of entries, files and hosts. What is one is found again.
pub fn names(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(name) = EntryName::new(text) {
        assert_eq!(EntryName::from_file_stem(&name.file_stem()), Some(name));
    }
    let _ = EntryFile::parse(text);
    let _ = host_name(text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes, and texts that look like what is read here.
    fn data() -> impl Strategy<Value = Vec<u8>> {
        let words = prop::sample::select(WORDS).prop_map(str::to_owned);
        let piece = prop_oneof![words, "\\PC{0,3}", "[A-Za-z0-9+/=]{0,64}"];
        let text = prop::collection::vec(piece, 0..24);
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            text.prop_map(|pieces| pieces.concat().into_bytes()),
        ]
    }

    const WORDS: &[&str] = &[
        "-----BEGIN CERTIFICATE-----\n",
        "-----END CERTIFICATE-----\n",
        "-----BEGIN PRIVATE KEY-----\n",
        "-----END PRIVATE KEY-----\n",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\n",
        "-----",
        "\n",
        "MII",
        "sealcert",
        "*.",
        "a.example",
        "xn--",
        ".sealed",
        ".pending",
    ];

    /// A chain that goes through, so that what follows a parse is met too.
    #[test]
    fn what_is_right_does_not_panic_either() {
        let fixture = crate::testing::Fixture::new();
        fixture.import("a.example", KeyType::EcdsaP256, 10);
        let files = fixture.store.files().unwrap();
        files.iter().for_each(|file| entry(&fixture.bytes(file)));
    }

    proptest! {
        #[test]
        fn nothing_panics(data in data()) {
            pem(&data);
            entry(&data);
            import(&data);
            names(&data);
        }
    }
}
