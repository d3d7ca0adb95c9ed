use proptest::prelude::*;

use super::*;

/// The model of AWS's API, version 2014-11-01, less what is not offered here: SM2, and ML-DSA and
/// ML-KEM.
#[test]
fn names_are_those_of_aws() {
    assert_eq!(
        KeyUsage::NAMES,
        [
            "ENCRYPT_DECRYPT",
            "SIGN_VERIFY",
            "GENERATE_VERIFY_MAC",
            "KEY_AGREEMENT"
        ]
    );
    assert_eq!(KeySpec::NAMES.len(), 13);
    assert_eq!(SigningAlgorithm::NAMES.len(), 11);
    assert_eq!(
        EncryptionAlgorithm::NAMES,
        [
            "SYMMETRIC_DEFAULT",
            "RSAES_OAEP_SHA_1",
            "RSAES_OAEP_SHA_256"
        ]
    );
    assert_eq!(
        MacAlgorithm::NAMES,
        [
            "HMAC_SHA_224",
            "HMAC_SHA_256",
            "HMAC_SHA_384",
            "HMAC_SHA_512"
        ]
    );
    assert_eq!(MessageType::NAMES, ["RAW", "DIGEST"]);
    assert_eq!(KeyAgreementAlgorithm::NAMES, ["ECDH"]);
}

#[test]
fn a_name_is_the_same_in_text_and_json() {
    for &spec in KeySpec::ALL {
        assert_eq!(spec.as_str().parse(), Ok(spec));
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(json, format!("\"{spec}\""));
        assert_eq!(serde_json::from_str::<KeySpec>(&json).unwrap(), spec);
    }
    for &algorithm in SigningAlgorithm::ALL {
        assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
        let json = serde_json::to_string(&algorithm).unwrap();
        assert_eq!(json, format!("\"{algorithm}\""));
    }
}

#[test]
fn an_unknown_name_is_told_what_there_is() {
    let error = "AES_256".parse::<KeyUsage>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`AES_256` is no key usage: write ENCRYPT_DECRYPT, SIGN_VERIFY, GENERATE_VERIFY_MAC, \
         KEY_AGREEMENT"
    );
    assert!(serde_json::from_str::<KeySpec>("\"rsa_2048\"").is_err());
}

/// A key has algorithms for exactly what it can be made for.
#[test]
fn usages_and_algorithms_agree() {
    for &spec in KeySpec::ALL {
        let has = |usage| match usage {
            KeyUsage::EncryptDecrypt => !spec.encryption_algorithms().is_empty(),
            KeyUsage::SignVerify => !spec.signing_algorithms().is_empty(),
            KeyUsage::GenerateVerifyMac => !spec.mac_algorithms().is_empty(),
            KeyUsage::KeyAgreement => !spec.key_agreement_algorithms().is_empty(),
        };
        for &usage in KeyUsage::ALL {
            assert_eq!(spec.allows(usage), has(usage), "{spec} {usage}");
        }
        assert_eq!(spec.is_asymmetric(), spec.secret_len().is_none(), "{spec}");
    }
}

/// "This parameter is optional when you are creating a symmetric encryption KMS key; otherwise, it is
/// required" (`CreateKey`).
#[test]
fn only_symmetric_keys_have_a_default_usage() {
    for &spec in KeySpec::ALL {
        let symmetric = spec == KeySpec::SymmetricDefault;
        let usage = symmetric.then_some(KeyUsage::EncryptDecrypt);
        assert_eq!(spec.default_usage(), usage);
    }
}

/// The table of `Encrypt`.
#[test]
fn oaep_leaves_room_for_this_much() {
    use EncryptionAlgorithm::{RsaesOaepSha1, RsaesOaepSha256, SymmetricDefault};
    let room =
        |spec| [RsaesOaepSha1, RsaesOaepSha256].map(|algorithm| algorithm.max_plaintext(spec));
    assert_eq!(room(KeySpec::Rsa2048), [Some(214), Some(190)]);
    assert_eq!(room(KeySpec::Rsa3072), [Some(342), Some(318)]);
    assert_eq!(room(KeySpec::Rsa4096), [Some(470), Some(446)]);
    assert_eq!(room(KeySpec::EccNistP256), [None, None]);
    assert_eq!(SymmetricDefault.max_plaintext(KeySpec::Rsa2048), None);
}

/// The rules of `GetParametersForImport`: RSA_AES_KEY_WRAP is "supported for wrapping RSA and ECC key
/// material", RSAES_OAEP "for all types of key material, except RSA key material", and not "with the
/// RSA_2048 wrapping key spec to wrap ECC_NIST_P521 key material".
#[test]
fn material_comes_in_by_what_aws_allows() {
    use WrappingAlgorithm::{
        RsaAesKeyWrapSha1, RsaAesKeyWrapSha256, RsaesOaepSha1, RsaesOaepSha256,
    };
    let takes = |spec: KeySpec, wrapping| {
        let direct = [RsaesOaepSha1, RsaesOaepSha256].map(|a| a.wraps(spec, wrapping));
        let by_aes = [RsaAesKeyWrapSha1, RsaAesKeyWrapSha256].map(|a| a.wraps(spec, wrapping));
        assert_eq!((direct[0], by_aes[0]), (direct[1], by_aes[1]));
        (direct[0], by_aes[0])
    };
    for wrapping in [KeySpec::Rsa2048, KeySpec::Rsa3072, KeySpec::Rsa4096] {
        for &spec in KeySpec::ALL {
            let expected = match spec {
                KeySpec::EccNistP521 => (wrapping != KeySpec::Rsa2048, true),
                _ => (!spec.is_rsa(), spec.is_asymmetric()),
            };
            assert_eq!(takes(spec, wrapping), expected, "{spec} {wrapping}");
        }
    }
    assert_eq!(
        takes(KeySpec::EccNistP256, KeySpec::EccNistP256),
        (false, false)
    );
}

#[test]
fn the_hash_is_that_of_the_name() {
    for algorithm in SigningAlgorithm::ALL {
        let bits = (algorithm.hash().digest_len() * 8).to_string();
        assert!(algorithm.as_str().ends_with(&bits), "{algorithm}");
    }
    for algorithm in MacAlgorithm::ALL {
        let bits = (algorithm.hash().digest_len() * 8).to_string();
        assert!(algorithm.as_str().ends_with(&bits), "{algorithm}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(text in ".*") {
        let _ = text.parse::<KeySpec>();
        let _ = text.parse::<SigningAlgorithm>();
    }
}
