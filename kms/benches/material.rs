//! What key material costs beside the library's own calls: `cargo bench -p sealgate-kms --bench material`.
//!
//! Both sides do the same work on the same key, in turns; each shows the CPU time of its fastest turn, which
//! is the one that nothing disturbed.

#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that fails has nothing to say"
)]

use std::hint::black_box;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1,
    ECDSA_P256K1_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING,
    ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING, ED25519, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
    VerificationAlgorithm,
};
use aws_lc_rs::{agreement, hmac, rsa};
use kms::{
    EncryptionAlgorithm, Environment, KeyAgreementAlgorithm, KeySpec, KeyUsage, MacAlgorithm,
    Material, MessageType, SecretBytes, SigningAlgorithm,
};
use rustix::time::{ClockId, clock_gettime};

use KeyUsage::{EncryptDecrypt, GenerateVerifyMac, KeyAgreement, SignVerify};

const MESSAGE: &[u8] = &[7; 256];

fn main() {
    println!("{:42} {:>11} {:>11} {:>6}", "", "here", "library", "ratio");
    let rsa = [
        (
            SigningAlgorithm::RsassaPssSha256,
            &RSA_PSS_SHA256,
            &RSA_PSS_2048_8192_SHA256,
        ),
        (
            SigningAlgorithm::RsassaPkcs1V15Sha256,
            &RSA_PKCS1_SHA256,
            &RSA_PKCS1_2048_8192_SHA256,
        ),
    ];
    for (algorithm, encoding, parameters) in rsa {
        rsa_signatures(algorithm, encoding, parameters);
    }
    ecdsa(
        KeySpec::EccNistP256,
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        &ECDSA_P256_SHA256_ASN1,
    );
    ecdsa(
        KeySpec::EccNistP384,
        &ECDSA_P384_SHA384_ASN1_SIGNING,
        &ECDSA_P384_SHA384_ASN1,
    );
    ecdsa(
        KeySpec::EccNistP521,
        &ECDSA_P521_SHA512_ASN1_SIGNING,
        &ECDSA_P521_SHA512_ASN1,
    );
    ecdsa(
        KeySpec::EccSecgP256k1,
        &ECDSA_P256K1_SHA256_ASN1_SIGNING,
        &ECDSA_P256K1_SHA256_ASN1,
    );
    ed25519();
    oaep();
    mac();
    ecdh();
}

fn rsa_signatures(
    algorithm: SigningAlgorithm,
    encoding: &'static dyn RsaEncoding,
    parameters: &'static dyn VerificationAlgorithm,
) {
    let (key, secret) = generate(KeySpec::Rsa2048, SignVerify);
    let pair = RsaKeyPair::from_pkcs8(secret.expose()).unwrap();
    let sign = || {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), MESSAGE, &mut signature)
            .unwrap();
        signature
    };
    signatures(&key, algorithm, sign, parameters);
}

fn ecdsa(
    spec: KeySpec,
    signing: &'static EcdsaSigningAlgorithm,
    verification: &'static dyn VerificationAlgorithm,
) {
    let (key, secret) = generate(spec, SignVerify);
    let pair = EcdsaKeyPair::from_pkcs8(signing, secret.expose()).unwrap();
    let sign = || {
        pair.sign(&SystemRandom::new(), MESSAGE)
            .unwrap()
            .as_ref()
            .to_vec()
    };
    signatures(&key, spec.signing_algorithms()[0], sign, verification);
}

fn ed25519() {
    let (key, secret) = generate(KeySpec::EccNistEdwards25519, SignVerify);
    let pair = Ed25519KeyPair::from_pkcs8(secret.expose()).unwrap();
    let sign = || pair.sign(MESSAGE).as_ref().to_vec();
    signatures(&key, SigningAlgorithm::Ed25519Sha512, sign, &ED25519);
}

fn signatures(
    key: &Material,
    algorithm: SigningAlgorithm,
    library: impl Fn() -> Vec<u8>,
    verification: &'static dyn VerificationAlgorithm,
) {
    let sign = || key.sign(algorithm, MessageType::Raw, MESSAGE).unwrap();
    compare(&format!("sign {} {algorithm}", key.spec()), sign, &library);
    let public = key.public_key().unwrap();
    let parsed = ParsedPublicKey::new(verification, public.as_der()).unwrap();
    let signature = sign();
    compare(
        &format!("verify {} {algorithm}", key.spec()),
        || {
            public
                .verify(algorithm, MessageType::Raw, MESSAGE, &signature)
                .unwrap();
        },
        || parsed.verify_sig(MESSAGE, &signature).unwrap(),
    );
}

fn oaep() {
    let (key, secret) = generate(KeySpec::Rsa2048, EncryptDecrypt);
    let algorithm = EncryptionAlgorithm::RsaesOaepSha256;
    let private = rsa::PrivateDecryptingKey::from_pkcs8(secret.expose()).unwrap();
    let private = rsa::OaepPrivateDecryptingKey::new(private).unwrap();
    let ciphertext = key
        .encrypt(algorithm, b"a data key of some 32 bytes or so")
        .unwrap();
    compare(
        "decrypt RSA_2048 RSAES_OAEP_SHA_256",
        || drop(key.decrypt(algorithm, &ciphertext).unwrap()),
        || {
            let mut plaintext = vec![0; private.min_output_size()];
            let oaep = &rsa::OAEP_SHA256_MGF1SHA256;
            private
                .decrypt(oaep, &ciphertext, &mut plaintext, None)
                .unwrap();
        },
    );
}

fn mac() {
    let (key, secret) = generate(KeySpec::Hmac256, GenerateVerifyMac);
    let library = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
    compare(
        "generate_mac HMAC_256",
        || key.generate_mac(MacAlgorithm::HmacSha256, MESSAGE).unwrap(),
        || hmac::sign(&library, MESSAGE).as_ref().to_vec(),
    );
}

fn ecdh() {
    let (key, secret) = generate(KeySpec::EccNistP256, KeyAgreement);
    let curve = &agreement::ECDH_P256;
    let private = agreement::PrivateKey::from_private_key_der(curve, secret.expose()).unwrap();
    let theirs = key.public_key().unwrap().as_der();
    compare(
        "derive_shared_secret ECC_NIST_P256",
        || {
            let secret = key.derive_shared_secret(KeyAgreementAlgorithm::Ecdh, theirs);
            drop(secret.unwrap());
        },
        || {
            let theirs = agreement::UnparsedPublicKey::new(curve, theirs);
            agreement::agree(&private, theirs, (), |secret| Ok(secret.to_vec())).unwrap();
        },
    );
}

fn generate(spec: KeySpec, usage: KeyUsage) -> (Material, SecretBytes) {
    let material = Material::generate(spec, usage, &*Environment::system().random).unwrap();
    let secret = material.to_secret().unwrap();
    (material, secret)
}

/// How often each side has its turn.
const TURNS: usize = 60;
/// Microseconds of a turn.
const TURN: f64 = 8_000.0;

fn compare<A, B>(name: &str, here: impl Fn() -> A, library: impl Fn() -> B) {
    let (mut best_here, mut best_library) = (f64::MAX, f64::MAX);
    for _ in 0..TURNS {
        best_here = best_here.min(microseconds(&here));
        best_library = best_library.min(microseconds(&library));
    }
    let ratio = best_here / best_library;
    println!("{name:42} {best_here:8.2} us {best_library:8.2} us {ratio:6.3}");
}

/// The CPU time of one call.
fn microseconds<R>(call: &impl Fn() -> R) -> f64 {
    let started = cpu_time();
    let mut calls = 0;
    while cpu_time() - started < TURN {
        for _ in 0..10 {
            black_box(call());
        }
        calls += 10;
    }
    (cpu_time() - started) / f64::from(calls)
}

/// Of this thread, in microseconds.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
