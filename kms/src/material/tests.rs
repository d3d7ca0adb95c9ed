use std::collections::BTreeMap;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::environment::Environment;
use crate::spec::{MessageType, WrappingAlgorithm};

use KeyUsage::{EncryptDecrypt, GenerateVerifyMac, KeyAgreement, SignVerify};

/// Every spec with each of its usages.
fn all() -> impl Iterator<Item = (KeySpec, KeyUsage)> {
    let usages = |&spec: &KeySpec| spec.usages().iter().map(move |&usage| (spec, usage));
    KeySpec::ALL.iter().flat_map(usages)
}

fn random() -> std::sync::Arc<dyn Random> {
    Environment::system().random
}

/// A key of that kind, the same for all tests: RSA keys take long to make.
fn key(spec: KeySpec, usage: KeyUsage) -> Material {
    numbered(1, spec, usage)
}

/// Another one than [`key`].
fn another(spec: KeySpec, usage: KeyUsage) -> Material {
    numbered(2, spec, usage)
}

fn numbered(number: u8, spec: KeySpec, usage: KeyUsage) -> Material {
    static MADE: Mutex<BTreeMap<(KeySpec, u8), SecretBytes>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock();
    let secret = made.entry((spec, number)).or_insert_with(|| {
        let made = Material::generate(spec, spec.usages()[0], &*random());
        made.unwrap().to_secret().unwrap()
    });
    Material::from_secret(spec, usage, secret).ok().unwrap()
}

fn spki(key: &Material) -> Option<&[u8]> {
    key.public_key().map(PublicKey::as_der)
}

fn secret(bytes: &[u8]) -> SecretBytes {
    SecretBytes::copy_from(bytes).unwrap()
}

/// A message as every type of message that `algorithm` takes.
fn forms(algorithm: SigningAlgorithm) -> Vec<(MessageType, Vec<u8>)> {
    let form = |&message_type: &MessageType| match message_type {
        MessageType::Raw => (message_type, b"a message".to_vec()),
        MessageType::Digest => (message_type, vec![7; algorithm.hash().digest_len()]),
    };
    algorithm.message_types().iter().map(form).collect()
}

#[test]
fn every_key_is_made_and_read_again() {
    for (spec, usage) in all() {
        let made = key(spec, usage);
        let stored = made.to_secret().unwrap();
        let read = Material::from_secret(spec, usage, &stored).unwrap();
        assert_eq!((read.spec(), read.usage()), (spec, usage));
        assert_eq!(read.to_secret().unwrap().expose(), stored.expose());
        assert_eq!(spki(&read), spki(&made));
        assert_eq!(read.id().unwrap(), made.id().unwrap());
        assert_eq!(made.public_key().is_some(), spec.is_asymmetric());
        assert_eq!(
            made.symmetric().is_some(),
            spec == KeySpec::SymmetricDefault
        );
    }
}

#[test]
fn another_key_has_another_id() {
    let one = key(KeySpec::Hmac256, GenerateVerifyMac);
    let two = another(KeySpec::Hmac256, GenerateVerifyMac);
    assert_ne!(one.id().unwrap(), two.id().unwrap());
    let bytes = one.to_secret().unwrap();
    let symmetric = Material::from_secret(KeySpec::SymmetricDefault, EncryptDecrypt, &bytes);
    assert_ne!(symmetric.ok().unwrap().id().unwrap(), one.id().unwrap());
}

#[test]
fn a_key_is_for_what_its_spec_allows() {
    for &spec in KeySpec::ALL {
        for &usage in KeyUsage::ALL.iter().filter(|&&usage| !spec.allows(usage)) {
            let refused = Material::generate(spec, usage, &*random()).err();
            assert_eq!(refused, Some(MaterialError::Usage { spec, usage }));
        }
    }
}

#[test]
fn signatures_verify_and_nothing_else_does() {
    for (spec, _) in all().filter(|&(_, usage)| usage == SignVerify) {
        let (key, other) = (key(spec, SignVerify), another(spec, SignVerify));
        for &algorithm in spec.signing_algorithms() {
            for (kind, message) in forms(algorithm) {
                let signature = key.sign(algorithm, kind, &message).unwrap();
                let verify = |key: &Material, message: &[u8], signature: &[u8]| {
                    key.verify(algorithm, kind, message, signature)
                };
                assert_eq!(verify(&key, &message, &signature), Ok(()), "{algorithm}");
                let invalid = Err(MaterialError::InvalidSignature);
                assert_eq!(verify(&other, &message, &signature), invalid);
                let mut changed = message.clone();
                changed[0] ^= 1;
                assert_eq!(verify(&key, &changed, &signature), invalid);
                for at in [0, signature.len() / 2, signature.len() - 1] {
                    let mut changed = signature.clone();
                    changed[at] ^= 1;
                    assert_eq!(verify(&key, &message, &changed), invalid, "{algorithm}");
                }
                assert_eq!(verify(&key, &message, &signature[1..]), invalid);
                assert_eq!(verify(&key, &message, b""), invalid);
            }
        }
    }
}

/// What is signed as a message verifies as its digest, and the other way.
#[test]
fn a_digest_stands_for_its_message() {
    use sha2::{Digest, Sha256};
    for spec in [
        KeySpec::Rsa2048,
        KeySpec::EccNistP256,
        KeySpec::EccSecgP256k1,
    ] {
        let key = key(spec, SignVerify);
        let algorithms = spec.signing_algorithms().iter().copied();
        for algorithm in algorithms.filter(|a| a.hash().digest_len() == 32) {
            let digest = Sha256::digest(b"a message");
            let of_message = key.sign(algorithm, MessageType::Raw, b"a message").unwrap();
            let of_digest = key.sign(algorithm, MessageType::Digest, &digest).unwrap();
            let verify = |kind, message: &[u8], signature: &[u8]| {
                key.verify(algorithm, kind, message, signature)
            };
            assert_eq!(verify(MessageType::Digest, &digest, &of_message), Ok(()));
            assert_eq!(verify(MessageType::Raw, b"a message", &of_digest), Ok(()));
        }
    }
}

#[test]
fn a_digest_has_the_length_of_its_hash() {
    let key = key(KeySpec::Rsa2048, SignVerify);
    let algorithm = SigningAlgorithm::RsassaPssSha256;
    for len in [0, 31, 33, 64] {
        let digest = vec![0; len];
        let refused = key
            .sign(algorithm, MessageType::Digest, &digest)
            .unwrap_err();
        assert_eq!(
            refused.to_string(),
            "Digest is invalid length for algorithm RSASSA_PSS_SHA_256."
        );
        let refused = key.verify(algorithm, MessageType::Digest, &digest, b"");
        assert!(matches!(refused, Err(MaterialError::DigestLength { .. })));
    }
}

/// "ED25519_SHA_512 signing algorithm requires KMS MessageType:RAW; ED25519_PH_SHA_512 signing algorithm
/// requires KMS MessageType:DIGEST" (`Sign`).
#[test]
fn ed25519_takes_one_type_of_message_each() {
    let key = key(KeySpec::EccNistEdwards25519, SignVerify);
    let sign = |algorithm, kind| key.sign(algorithm, kind, &[0; 64]).map(|s| s.len());
    use SigningAlgorithm::{Ed25519PhSha512, Ed25519Sha512};
    assert_eq!(sign(Ed25519Sha512, MessageType::Raw), Ok(64));
    assert_eq!(sign(Ed25519PhSha512, MessageType::Digest), Ok(64));
    for (algorithm, kind) in [
        (Ed25519Sha512, MessageType::Digest),
        (Ed25519PhSha512, MessageType::Raw),
    ] {
        let refused = sign(algorithm, kind).unwrap_err();
        assert!(matches!(refused, MaterialError::MessageType { .. }));
    }
}

#[test]
fn an_algorithm_of_other_keys_is_refused() {
    let mac = key(KeySpec::Hmac256, GenerateVerifyMac);
    let refused = mac.generate_mac(MacAlgorithm::HmacSha512, b"").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Algorithm HMAC_SHA_512 is incompatible with key spec HMAC_256."
    );
    let ec = key(KeySpec::EccNistP256, SignVerify);
    let refused = ec.sign(SigningAlgorithm::EcdsaSha384, MessageType::Raw, b"");
    assert!(matches!(refused, Err(MaterialError::Algorithm { .. })));
    let symmetric = key(KeySpec::SymmetricDefault, EncryptDecrypt);
    for &algorithm in EncryptionAlgorithm::ALL {
        let refused = symmetric.encrypt(algorithm, b"").unwrap_err();
        assert!(matches!(refused, MaterialError::Algorithm { .. }));
    }
}

/// Even where the spec has the algorithm.
#[test]
fn a_key_does_nothing_but_what_it_is_for() {
    let (encrypts, signs) = (
        key(KeySpec::Rsa2048, EncryptDecrypt),
        key(KeySpec::Rsa2048, SignVerify),
    );
    let (ecdsa, ecdh) = (
        key(KeySpec::EccNistP256, SignVerify),
        key(KeySpec::EccNistP256, KeyAgreement),
    );
    let refused = |error: Option<MaterialError>| {
        assert!(matches!(error, Some(MaterialError::OtherUsage { .. })));
    };
    let pss = SigningAlgorithm::RsassaPssSha256;
    let oaep = EncryptionAlgorithm::RsaesOaepSha256;
    refused(encrypts.sign(pss, MessageType::Raw, b"").err());
    refused(encrypts.verify(pss, MessageType::Raw, b"", b"").err());
    refused(signs.encrypt(oaep, b"").err());
    refused(signs.decrypt(oaep, b"").err());
    let es256 = SigningAlgorithm::EcdsaSha256;
    refused(ecdh.sign(es256, MessageType::Raw, b"").err());
    let public_key = spki(&ecdh).unwrap();
    let agreed = ecdsa.derive_shared_secret(KeyAgreementAlgorithm::Ecdh, public_key);
    refused(agreed.err());
}

#[test]
fn oaep_encrypts_as_much_as_there_is_room_for() {
    for (spec, _) in all().filter(|&(spec, usage)| spec.is_rsa() && usage == EncryptDecrypt) {
        let (key, other) = (key(spec, EncryptDecrypt), another(spec, EncryptDecrypt));
        for &algorithm in spec.encryption_algorithms() {
            let max = algorithm.max_plaintext(spec).unwrap();
            for len in [0, 1, max] {
                let plaintext = vec![5; len];
                let ciphertext = key.encrypt(algorithm, &plaintext).unwrap();
                let decrypted = key.decrypt(algorithm, &ciphertext).unwrap();
                assert_eq!(decrypted.expose(), plaintext);
                let invalid = Some(MaterialError::InvalidCiphertext);
                assert_eq!(other.decrypt(algorithm, &ciphertext).err(), invalid);
                assert_eq!(key.decrypt(algorithm, &ciphertext[1..]).err(), invalid);
                let mut changed = ciphertext;
                changed[9] ^= 1;
                assert_eq!(key.decrypt(algorithm, &changed).err(), invalid);
            }
            let refused = key.encrypt(algorithm, &vec![5; max + 1]).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!(
                    "Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {max} bytes."
                )
            );
        }
    }
}

#[test]
fn a_mac_verifies_whole_and_unchanged() {
    for (spec, _) in all().filter(|&(_, usage)| usage == GenerateVerifyMac) {
        let key = key(spec, GenerateVerifyMac);
        let algorithm = spec.mac_algorithms()[0];
        let mac = key.generate_mac(algorithm, b"a message").unwrap();
        assert_eq!(mac.len(), algorithm.hash().digest_len());
        assert_eq!(key.verify_mac(algorithm, b"a message", &mac), Ok(()));
        let invalid = Err(MaterialError::InvalidMac);
        assert_eq!(key.verify_mac(algorithm, b"a messagE", &mac), invalid);
        assert_eq!(key.verify_mac(algorithm, b"a message", &mac[1..]), invalid);
        assert_eq!(key.verify_mac(algorithm, b"a message", b""), invalid);
        let mut longer = mac;
        longer.push(0);
        assert_eq!(key.verify_mac(algorithm, b"a message", &longer), invalid);
    }
}

#[test]
fn both_sides_share_a_secret() {
    let derive = |key: &Material, public_key: &[u8]| {
        key.derive_shared_secret(KeyAgreementAlgorithm::Ecdh, public_key)
    };
    for (spec, len) in [
        (KeySpec::EccNistP256, 32),
        (KeySpec::EccNistP384, 48),
        (KeySpec::EccNistP521, 66),
    ] {
        let (one, two) = (key(spec, KeyAgreement), another(spec, KeyAgreement));
        let theirs = derive(&one, spki(&two).unwrap()).unwrap();
        let ours = derive(&two, spki(&one).unwrap()).unwrap();
        assert_eq!((ours.expose(), ours.expose().len()), (theirs.expose(), len));
    }
    let elsewhere = key(KeySpec::EccNistP384, KeyAgreement);
    let key = key(KeySpec::EccNistP256, KeyAgreement);
    let mut cut = spki(&key).unwrap().to_vec();
    let point = cut.split_off(cut.len() - 65);
    for public_key in [spki(&elsewhere).unwrap(), &cut, &point, b""] {
        let refused = derive(&key, public_key).err();
        assert_eq!(refused, Some(MaterialError::InvalidPublicKey(key.spec())));
    }
}

#[test]
fn a_pair_is_of_its_spec_and_nothing_follows_it() {
    let pairs: Vec<_> = all().filter(|(spec, _)| spec.is_asymmetric()).collect();
    for &(spec, usage) in &pairs {
        let der = key(spec, usage).to_secret().unwrap();
        for &(other, usage) in pairs.iter().filter(|&&(other, _)| other != spec) {
            let refused = Material::from_secret(other, usage, &der).err();
            assert_eq!(refused, Some(MaterialError::KeyMaterial(other)), "{spec}");
        }
        let longer = secret(&[der.expose(), &[0]].concat());
        let shorter = secret(&der.expose()[..der.expose().len() - 1]);
        for der in [longer, shorter, secret(b"")] {
            let refused = Material::from_secret(spec, usage, &der).err();
            assert_eq!(refused, Some(MaterialError::KeyMaterial(spec)));
        }
    }
}

#[test]
fn a_key_that_is_no_pair_has_one_length() {
    for (spec, usage) in all().filter(|(spec, _)| !spec.is_asymmetric()) {
        let len = spec.secret_len().unwrap();
        for wrong in [0, len - 1, len + 1] {
            let refused = Material::from_secret(spec, usage, &secret(&vec![1; wrong])).err();
            assert_eq!(refused, Some(MaterialError::KeyMaterial(spec)));
        }
    }
}

#[test]
fn a_data_key_pair_is_a_pair() {
    for (spec, _) in all().filter(|&(_, usage)| usage == SignVerify) {
        let pair = DataKeyPair::generate(spec, &*random()).unwrap();
        let read = Material::from_secret(spec, SignVerify, &pair.private_key).unwrap();
        assert_eq!(spki(&read), Some(&pair.public_key[..]));
    }
    let refused = DataKeyPair::generate(KeySpec::Hmac256, &*random()).err();
    assert!(matches!(refused, Some(MaterialError::Usage { .. })));
}

#[test]
fn every_kind_of_material_comes_in_by_what_can_wrap_it() {
    for &wrapping in &[KeySpec::Rsa2048, KeySpec::Rsa4096] {
        let wrapping_key = key(wrapping, EncryptDecrypt);
        let public_key = spki(&wrapping_key).unwrap();
        for (spec, usage) in all() {
            let material = key(spec, usage);
            let plain = material.to_secret().unwrap();
            for &algorithm in WrappingAlgorithm::ALL {
                let wrapped = wrap_key_material(public_key, algorithm, &plain, spec, &*random());
                if !algorithm.wraps(spec, wrapping) {
                    assert!(matches!(wrapped, Err(MaterialError::Wrapping { .. })));
                    continue;
                }
                let wrapped = wrapped.unwrap();
                let unwrapped =
                    unwrap_key_material(&wrapping_key, algorithm, &wrapped, spec, usage);
                let unwrapped = unwrapped.ok().unwrap();
                assert_eq!(unwrapped.id(), material.id());
            }
        }
    }
}

#[test]
fn what_was_not_wrapped_for_this_key_does_not_come_in() {
    let (spec, usage) = (KeySpec::EccNistP256, SignVerify);
    let (wrapping, other) = (
        key(KeySpec::Rsa2048, EncryptDecrypt),
        another(KeySpec::Rsa2048, EncryptDecrypt),
    );
    let plain = key(spec, usage).to_secret().unwrap();
    for &algorithm in WrappingAlgorithm::ALL {
        let public_key = spki(&wrapping).unwrap();
        let wrapped = wrap_key_material(public_key, algorithm, &plain, spec, &*random()).unwrap();
        let unwrap = |key: &Material, algorithm, wrapped: &[u8], spec| {
            unwrap_key_material(key, algorithm, wrapped, spec, usage).err()
        };
        let invalid = Some(MaterialError::InvalidCiphertext);
        assert_eq!(unwrap(&other, algorithm, &wrapped, spec), invalid);
        for &wrong in WrappingAlgorithm::ALL.iter().filter(|&&a| a != algorithm) {
            assert_eq!(unwrap(&wrapping, wrong, &wrapped, spec), invalid);
        }
        for len in [0, 1, 255, wrapped.len() - 1] {
            assert_eq!(unwrap(&wrapping, algorithm, &wrapped[..len], spec), invalid);
        }
        for at in (0..wrapped.len()).step_by(31).chain([wrapped.len() - 1]) {
            let mut changed = wrapped.clone();
            changed[at] ^= 0x40;
            assert_eq!(
                unwrap(&wrapping, algorithm, &changed, spec),
                invalid,
                "{at}"
            );
        }
        let other_curve = KeySpec::EccSecgP256k1;
        let refused = unwrap(&wrapping, algorithm, &wrapped, other_curve);
        assert_eq!(refused, Some(MaterialError::KeyMaterial(other_curve)));
    }
}

proptest! {
    #[test]
    fn what_is_no_key_is_refused_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        which in any::<proptest::sample::Index>(),
    ) {
        let pairs: Vec<_> = all().filter(|(spec, _)| spec.is_asymmetric()).collect();
        let &(spec, usage) = which.get(&pairs);
        let refused = Material::from_secret(spec, usage, &secret(&bytes)).err();
        prop_assert_eq!(refused, Some(MaterialError::KeyMaterial(spec)));
    }

    #[test]
    fn key_wrap_gives_back_what_it_took(
        key in any::<[u8; 32]>(),
        material in proptest::collection::vec(any::<u8>(), 1..3000),
        at in any::<proptest::sample::Index>(),
    ) {
        let key = SecretKey::copy_from(&key).unwrap();
        let mut wrapped = wrap_padded(&key, &material)?;
        let unwrapped = unwrap_padded(&key, &wrapped)?;
        prop_assert_eq!(unwrapped.expose(), &material);
        let at = at.index(wrapped.len());
        wrapped[at] ^= 1;
        prop_assert_eq!(unwrap_padded(&key, &wrapped).err(), Some(MaterialError::InvalidCiphertext));
    }

    #[test]
    fn any_bytes_are_no_wrapping(wrapped in proptest::collection::vec(any::<u8>(), 0..600)) {
        let key = SecretKey::copy_from(&[1; 32]).unwrap();
        prop_assert!(unwrap_padded(&key, &wrapped).is_err());
    }
}
