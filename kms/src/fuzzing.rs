//! What fuzzers feed: functions that take any bytes and must not panic, whatever these are.
//!
//! `kms/fuzz` calls them with libFuzzer; tests call them with random bytes.

use std::str;

use crate::context::EncryptionContext;
pub use crate::database::fuzzing::record;
use crate::grant::{GrantId, GrantToken};
use crate::key::{Identity, KeyId, KeyRef};
use crate::material::{PublicKey, unwrap_padded};
use crate::message;
use crate::policy::{Action, PolicyDocument, PolicyKind};
use crate::principal::Principal;
use crate::root_key::{Fingerprint, RootRecord, Share};
use crate::secret::{SecretBytes, SecretKey};
use crate::spec::{KeySpec, SigningAlgorithm};
use crate::{Material, MaterialError};

/// Policy documents. What is one is kept to the letter.
pub fn policy(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    for kind in [PolicyKind::Key, PolicyKind::Identity] {
        if let Ok(document) = PolicyDocument::parse(kind, text) {
            assert_eq!(document.text(), text);
            let principals = document.principals().count();
            assert!(principals <= text.len());
        }
    }
}

/// ARNs, aliases, ids, principals, names of actions and algorithms. What is one is written the same.
pub fn names(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let written: [Option<String>; 6] = [
        text.parse::<KeyRef>().ok().map(|name| name.to_string()),
        text.parse::<KeyId>().ok().map(|name| name.to_string()),
        text.parse::<Principal>().ok().map(|name| name.to_string()),
        text.parse::<GrantId>().ok().map(|name| name.to_string()),
        text.parse::<KeySpec>().ok().map(|name| name.to_string()),
        text.parse::<SigningAlgorithm>()
            .ok()
            .map(|name| name.to_string()),
    ];
    for written in written.into_iter().flatten() {
        assert_eq!(written, text);
    }
    let _ = text.parse::<GrantToken>();
    let _ = text.parse::<Action>();
    let _ = text
        .split_once(' ')
        .map(|(account, region)| Identity::new(account, region));
}

/// Encryption contexts in JSON.
pub fn context(data: &[u8]) {
    let Ok(context) = serde_json::from_slice::<EncryptionContext>(data) else {
        return;
    };
    let json = serde_json::to_vec(&context).expect("a context is JSON");
    let again: EncryptionContext = serde_json::from_slice(&json).expect("as it was written");
    assert_eq!(again, context);
    assert_eq!(again.encode(), context.encode());
    let _ = context.reserved_key();
}

/// Messages: ciphertexts that come back from their callers.
pub fn message(data: &[u8]) {
    let _ = message::header(data);
    let mut out = vec![0; message::plaintext_len(data)];
    let opened = message::open_into(data, &key(), &EncryptionContext::new(), &mut out);
    assert!(opened.is_err(), "nobody knows the key");
}

/// Root records, and shares of a root key.
pub fn root(data: &[u8]) {
    let fingerprint = data.get(6..).and_then(<[u8]>::first_chunk).copied();
    let fingerprint = Fingerprint::from_bytes(fingerprint.unwrap_or_default());
    if let Ok(record) = RootRecord::parse(data, fingerprint) {
        assert_eq!(record.encode(), data);
    }
    let _ = Share::parse(data);
}

/// Private and public keys, and wrapped ones, from outside.
pub fn material(data: &[u8]) {
    let _ = unwrap_padded(&key(), data);
    let Some(secret) = SecretBytes::copy_from(data) else {
        return;
    };
    for &spec in KeySpec::ALL {
        let _ = PublicKey::from_der(spec, data);
        for &usage in spec.usages() {
            if let Ok(material) = Material::from_secret(spec, usage, &secret) {
                read_again(&material).expect("what was read is written and read");
            }
        }
    }
}

fn read_again(material: &Material) -> Result<(), MaterialError> {
    let (spec, usage) = (material.spec(), material.usage());
    let again = Material::from_secret(spec, usage, &material.to_secret()?)?;
    assert_eq!(again.id()?, material.id()?);
    Ok(())
}

fn key() -> SecretKey {
    SecretKey::copy_from(&[7; SecretKey::LEN]).expect("it has the length")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes, and texts that look like what is read here.
    fn data() -> impl Strategy<Value = Vec<u8>> {
        let words = prop::sample::select(WORDS).prop_map(str::to_owned);
        let piece = prop_oneof![words, "\\PC{0,3}", "[0-9a-f-]{0,12}"];
        let text = prop::collection::vec(piece, 0..24);
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            text.prop_map(|pieces| pieces.concat().into_bytes()),
        ]
    }

    const WORDS: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\u",
        "null",
        "1e9",
        "\"Version\":\"2012-10-17\"",
        "\"Statement\":",
        "\"Effect\":\"Allow\"",
        "\"Principal\":{\"AWS\":\"*\"}",
        "\"Action\":\"kms:*\"",
        "\"Resource\":\"*\"",
        "\"Condition\":",
        "\"StringLike\":",
        "\"kms:EncryptionContext:a\":",
        "${*}",
        "arn:aws:kms:",
        "arn:aws:iam::000000000000:",
        "user/",
        "key/",
        "alias/",
        "local:",
        "SGKR",
        "SGRR",
        "000000000000",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
    ];

    proptest! {
        #[test]
        fn nothing_panics(data in data()) {
            policy(&data);
            names(&data);
            context(&data);
            message(&data);
            record(&data);
            root(&data);
            material(&data);
        }
    }
}
