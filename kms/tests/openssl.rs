//! With `openssl` on the other side: its keys come in, wrapped by it; it verifies what is signed here and
//! the other way; both agree on secrets and MACs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use kms::material::{PublicKey, unwrap_key_material};
use kms::{
    EncryptionAlgorithm, Environment, KeyAgreementAlgorithm, KeySpec, KeyUsage, Material,
    MaterialError, MessageType, SecretBytes, SigningAlgorithm, WrappingAlgorithm,
};

use KeyUsage::{EncryptDecrypt, KeyAgreement, SignVerify};

/// How `openssl genpkey` makes a pair of each spec.
const PAIRS: [(KeySpec, &str); 7] = [
    (KeySpec::Rsa2048, "RSA -pkeyopt rsa_keygen_bits:2048"),
    (KeySpec::Rsa3072, "RSA -pkeyopt rsa_keygen_bits:3072"),
    (KeySpec::EccNistP256, "EC -pkeyopt ec_paramgen_curve:P-256"),
    (KeySpec::EccNistP384, "EC -pkeyopt ec_paramgen_curve:P-384"),
    (KeySpec::EccNistP521, "EC -pkeyopt ec_paramgen_curve:P-521"),
    (
        KeySpec::EccSecgP256k1,
        "EC -pkeyopt ec_paramgen_curve:secp256k1",
    ),
    (KeySpec::EccNistEdwards25519, "ED25519"),
];

#[test]
fn its_pairs_come_in_by_every_way() {
    let openssl = OpenSsl::new();
    let wrapping = generate(KeySpec::Rsa4096, EncryptDecrypt);
    openssl.write("wrapping.der", wrapping.public_key().unwrap().as_der());
    for (spec, options) in PAIRS {
        openssl.generate(options);
        for &algorithm in WrappingAlgorithm::ALL {
            if !algorithm.wraps(spec, KeySpec::Rsa4096) {
                continue;
            }
            let wrapped = openssl.wrap(algorithm, "key.der");
            let key = unwrap_key_material(&wrapping, algorithm, &wrapped, spec, SignVerify);
            let key = key.unwrap_or_else(|why| panic!("{spec} {algorithm}: {why}"));
            let theirs = openssl.read("public.der");
            assert_eq!(key.public_key().unwrap().as_der(), theirs, "{spec}");
        }
    }
}

#[test]
fn a_curve_that_is_spelled_out_is_refused() {
    let openssl = OpenSsl::new();
    let spec = KeySpec::EccNistP256;
    openssl.generate("EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit");
    let secret = SecretBytes::copy_from(&openssl.read("key.der")).unwrap();
    let key = Material::from_secret(spec, SignVerify, &secret).err();
    assert_eq!(key, Some(MaterialError::KeyMaterial(spec)));
    let public = PublicKey::from_der(spec, &openssl.read("public.der")).err();
    assert_eq!(public, Some(MaterialError::InvalidPublicKey(spec)));
}

#[test]
fn its_secrets_come_in_by_oaep() {
    let openssl = OpenSsl::new();
    let wrapping = generate(KeySpec::Rsa2048, EncryptDecrypt);
    openssl.write("wrapping.der", wrapping.public_key().unwrap().as_der());
    let secrets = KeySpec::ALL.iter().filter(|spec| !spec.is_asymmetric());
    for &spec in secrets {
        let len = spec.secret_len().unwrap();
        openssl.run(&format!("rand -out secret {len}"));
        for algorithm in [
            WrappingAlgorithm::RsaesOaepSha1,
            WrappingAlgorithm::RsaesOaepSha256,
        ] {
            let (wrapped, usage) = (openssl.wrap(algorithm, "secret"), spec.usages()[0]);
            let key = unwrap_key_material(&wrapping, algorithm, &wrapped, spec, usage).unwrap();
            assert_eq!(key.to_secret().unwrap().expose(), openssl.read("secret"));
        }
    }
}

#[test]
fn each_verifies_what_the_other_signs() {
    let openssl = OpenSsl::new();
    openssl.write("message", b"a message");
    for (spec, options) in PAIRS {
        openssl.generate(options);
        let key = openssl.key(spec, SignVerify);
        for &algorithm in spec.signing_algorithms() {
            // Debian's openssl 3.0 has no Ed25519ph.
            if algorithm == SigningAlgorithm::Ed25519PhSha512 {
                continue;
            }
            let scheme = scheme(algorithm);
            let signature = key.sign(algorithm, MessageType::Raw, b"a message").unwrap();
            openssl.write("signature", &signature);
            openssl.run(&format!(
                "pkeyutl -verify -pubin -inkey public.der -keyform DER -rawin -in message \
                 -sigfile signature {scheme}"
            ));
            openssl.run(&format!(
                "pkeyutl -sign -inkey key.der -keyform DER -rawin -in message -out signature {scheme}"
            ));
            let public = PublicKey::from_der(spec, &openssl.read("public.der")).unwrap();
            let signature = openssl.read("signature");
            let verified = public.verify(algorithm, MessageType::Raw, b"a message", &signature);
            assert_eq!(verified, Ok(()), "{algorithm}");
        }
    }
}

#[test]
fn both_agree_on_secrets() {
    let openssl = OpenSsl::new();
    for (spec, options) in &PAIRS[2..5] {
        openssl.generate(options);
        let key = generate(*spec, KeyAgreement);
        openssl.write("theirs.der", key.public_key().unwrap().as_der());
        openssl.run(
            "pkeyutl -derive -inkey key.der -keyform DER -peerkey theirs.der -peerform DER -out shared",
        );
        let public = openssl.read("public.der");
        let shared = key.derive_shared_secret(KeyAgreementAlgorithm::Ecdh, &public);
        assert_eq!(shared.unwrap().expose(), openssl.read("shared"));
    }
}

#[test]
fn it_encrypts_for_a_key_here() {
    let openssl = OpenSsl::new();
    openssl.write("message", b"a message");
    let key = generate(KeySpec::Rsa2048, EncryptDecrypt);
    openssl.write("wrapping.der", key.public_key().unwrap().as_der());
    for (algorithm, wrapping) in [
        (
            EncryptionAlgorithm::RsaesOaepSha1,
            WrappingAlgorithm::RsaesOaepSha1,
        ),
        (
            EncryptionAlgorithm::RsaesOaepSha256,
            WrappingAlgorithm::RsaesOaepSha256,
        ),
    ] {
        let ciphertext = openssl.wrap(wrapping, "message");
        let plaintext = key.decrypt(algorithm, &ciphertext).unwrap();
        assert_eq!(plaintext.expose(), b"a message");
    }
}

#[test]
fn its_macs_are_the_same() {
    let openssl = OpenSsl::new();
    openssl.write("message", b"a message");
    let specs = KeySpec::ALL
        .iter()
        .filter(|spec| !spec.mac_algorithms().is_empty());
    for &spec in specs {
        let algorithm = spec.mac_algorithms()[0];
        let key = generate(spec, KeyUsage::GenerateVerifyMac);
        let (bits, secret) = (algorithm.hash().digest_len() * 8, key.to_secret().unwrap());
        let secret = hex(secret.expose());
        let theirs = openssl.run(&format!(
            "mac -digest SHA{bits} -macopt hexkey:{secret} -binary -in message HMAC"
        ));
        assert_eq!(key.verify_mac(algorithm, b"a message", &theirs), Ok(()));
    }
}

fn generate(spec: KeySpec, usage: KeyUsage) -> Material {
    let made = Material::generate(spec, usage, &*Environment::system().random);
    made.expect("a key of an allowed usage")
}

/// What `openssl pkeyutl` must be told.
fn scheme(algorithm: SigningAlgorithm) -> String {
    use kms::spec::SignatureScheme as S;
    let hash = algorithm.hash().digest_len() * 8;
    match algorithm.scheme() {
        S::RsaPss => format!(
            "-digest sha{hash} -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest"
        ),
        S::RsaPkcs1 | S::Ecdsa => format!("-digest sha{hash}"),
        S::Ed25519 | S::Ed25519Ph => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A directory in which `openssl` is called.
struct OpenSsl(tempfile::TempDir);

impl OpenSsl {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    /// A pair in `key.der` (PKCS#8) and `public.der`.
    fn generate(&self, options: &str) {
        self.run(&format!("genpkey -quiet -out key.pem -algorithm {options}"));
        self.run("pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.der");
        self.run("pkey -in key.pem -pubout -outform DER -out public.der");
    }

    /// The pair of [`generate`](Self::generate).
    fn key(&self, spec: KeySpec, usage: KeyUsage) -> Material {
        let secret = SecretBytes::copy_from(&self.read("key.der")).expect("no longer than a key");
        let key = Material::from_secret(spec, usage, &secret);
        key.expect("the key that openssl wrote")
    }

    /// Wraps a file with the key in `wrapping.der`, as AWS's guide to importing key material does.
    fn wrap(&self, algorithm: WrappingAlgorithm, file: &str) -> Vec<u8> {
        let hash = match algorithm.oaep() {
            EncryptionAlgorithm::RsaesOaepSha1 => "sha1",
            _ => "sha256",
        };
        let oaep = |file: &str| {
            self.run(&format!(
                "pkeyutl -encrypt -pubin -inkey wrapping.der -keyform DER -in {file} \
                 -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:{hash} -pkeyopt rsa_mgf1_md:{hash}"
            ))
        };
        if !algorithm.has_aes_key() {
            return oaep(file);
        }
        self.run("rand -out aes 32");
        let aes = hex(&self.read("aes"));
        let wrapped = self.run(&format!(
            "enc -id-aes256-wrap-pad -iv A65959A6 -K {aes} -in {file}"
        ));
        [oaep("aes"), wrapped].concat()
    }

    /// Calls `openssl` with these arguments, and hands back what it writes.
    fn run(&self, arguments: &str) -> Vec<u8> {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .expect("openssl is installed");
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {why}");
        output.stdout
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path(file)).expect("what openssl wrote")
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        fs::write(self.path(file), bytes).expect("a file in the directory");
    }
}
