//! Private keys of pairs.
//!
//! The library holds a parsed key on its heap, not in locked pages, and nothing can be done about that
//! from outside: for RSA and ECDSA as numbers in little-endian words, for Ed25519 as the bytes of the
//! seed. This test counts those, and so says that there is no other copy: none in the form in which keys
//! are stored and imported (big-endian, in DER), none on a stack, and none at all once the key is dropped.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use kms::material::{unwrap_key_material, wrap_key_material};
use kms::{
    EncryptionAlgorithm, Environment, KeyAgreementAlgorithm, KeySpec, KeyUsage, Material,
    MaterialError, MessageType, WrappingAlgorithm, secret,
};

use crate::alone;
use crate::search::{Masked, look_for};

#[test]
fn private_keys_stand_in_the_library_only() {
    let _alone = alone();
    let (done, used) = mpsc::channel();
    let (stop, stopped) = mpsc::channel();
    thread::scope(|scope| {
        // Dropped with this closure, also when it fails: then the thread ends.
        let _stop: Sender<()> = stop;
        scope.spawn(move || live(&done, &stopped).unwrap());
        let keys = used.recv().unwrap();
        assert!(
            secret::all_locked(),
            "RLIMIT_MEMLOCK is too low for this test"
        );

        let found = look_for(keys.iter().flat_map(|key| &key.stored));
        assert_eq!((found.elsewhere, found.locked), (vec![], 0));
        let found = look_for(keys.iter().flat_map(|key| &key.held));
        let expected: usize = keys.iter().map(Used::halves).sum();
        let seeds = keys.iter().filter(|key| key.is_ed25519()).count();
        assert_eq!((found.elsewhere.len(), found.locked), (expected, 2 * seeds));

        // Dropped.
        let parts = keys.into_iter().flat_map(|key| [key.stored, key.held]);
        let parts: Vec<Masked> = parts.flatten().collect();
        let found = look_for(&parts);
        assert_eq!((found.elsewhere, found.locked), (vec![], 0));
    });
}

/// A key in use, and the parts of its private key.
struct Used {
    material: Material,
    /// As in PKCS#8, where the library holds them otherwise.
    stored: Vec<Masked>,
    /// As the library holds them.
    held: Vec<Masked>,
}

impl Used {
    fn is_ed25519(&self) -> bool {
        self.material.spec() == KeySpec::EccNistEdwards25519
    }

    /// How many halves of keys the library holds: each number once; all of RSA's but the last (the
    /// private exponent, the primes and their exponents) once more, in the form that it computes with.
    fn halves(&self) -> usize {
        let halves = |parts: &[Masked]| parts.iter().map(Masked::halves).sum::<usize>();
        match self.material.spec().is_rsa() {
            true => halves(&self.held) + halves(&self.held[..self.held.len() - 1]),
            false => halves(&self.held),
        }
    }
}

/// Makes, imports and uses pairs on a thread that stays, whose stack will be searched too.
fn live(done: &Sender<Vec<Used>>, stop: &Receiver<()>) -> Result<(), MaterialError> {
    let kinds = [
        (KeySpec::Rsa2048, KeyUsage::SignVerify),
        (KeySpec::Rsa2048, KeyUsage::EncryptDecrypt),
        (KeySpec::EccNistP256, KeyUsage::SignVerify),
        (KeySpec::EccNistP384, KeyUsage::SignVerify),
        (KeySpec::EccNistP521, KeyUsage::SignVerify),
        (KeySpec::EccSecgP256k1, KeyUsage::SignVerify),
        (KeySpec::EccNistEdwards25519, KeyUsage::SignVerify),
        (KeySpec::EccNistP256, KeyUsage::KeyAgreement),
        (KeySpec::EccNistP521, KeyUsage::KeyAgreement),
    ];
    let random = &*Environment::system().random;
    let wrapping = Material::generate(KeySpec::Rsa3072, KeyUsage::EncryptDecrypt, random)?;
    let used = kinds
        .into_iter()
        .map(|(spec, usage)| used(spec, usage, &wrapping))
        .collect::<Result<_, _>>()?;
    done.send(used).expect("the test waits");
    stop.recv().expect_err("the test is over");
    Ok(())
}

/// A key made, stored, read again, imported, used.
fn used(spec: KeySpec, usage: KeyUsage, wrapping: &Material) -> Result<Used, MaterialError> {
    let random = &*Environment::system().random;
    let algorithm = WrappingAlgorithm::RsaAesKeyWrapSha256;
    let made = Material::generate(spec, usage, random)?;
    use_key(&made)?;
    let secret = made.to_secret()?;
    let (stored, held) = private_parts(spec, secret.expose());
    let public_key = wrapping.public_key().expect("a pair").as_der();
    let wrapped = wrap_key_material(public_key, algorithm, &secret, spec, random)?;
    let material = Material::from_secret(spec, usage, &secret)?;
    drop((made, secret));
    let imported = unwrap_key_material(wrapping, algorithm, &wrapped, spec, usage)?;
    use_key(&imported)?;
    drop(imported);
    use_key(&material)?;
    Ok(Used {
        material,
        stored,
        held,
    })
}

fn use_key(key: &Material) -> Result<(), MaterialError> {
    let (spec, usage) = (key.spec(), key.usage());
    let public_key = key.public_key().expect("a pair");
    if usage == KeyUsage::SignVerify {
        for &algorithm in spec.signing_algorithms() {
            let (kind, message) = match algorithm.message_types() {
                [MessageType::Digest] => (MessageType::Digest, [1; 64].as_slice()),
                _ => (MessageType::Raw, b"a message".as_slice()),
            };
            let signature = key.sign(algorithm, kind, message)?;
            key.verify(algorithm, kind, message, &signature)?;
        }
    }
    if usage == KeyUsage::KeyAgreement {
        key.derive_shared_secret(KeyAgreementAlgorithm::Ecdh, public_key.as_der())?;
    }
    if usage == KeyUsage::EncryptDecrypt {
        let algorithm = EncryptionAlgorithm::RsaesOaepSha256;
        let ciphertext = public_key.encrypt(algorithm, b"a message")?;
        key.decrypt(algorithm, &ciphertext)?;
    }
    Ok(())
}

/// The private parts of a PKCS#8, as they stand there and as the library holds them.
fn private_parts(spec: KeySpec, pkcs8: &[u8]) -> (Vec<Masked>, Vec<Masked>) {
    let private_key = values(values(pkcs8)[0])[2];
    let parts = match spec {
        KeySpec::EccNistEdwards25519 => {
            return (vec![], vec![Masked::new(values(private_key)[0])]);
        }
        _ if spec.is_rsa() => values(values(private_key)[0])[3..].to_vec(),
        _ => vec![values(values(private_key)[0])[1]],
    };
    // What a number of DER has in front so that it is not negative.
    let parts = parts
        .iter()
        .map(|part| part.strip_prefix(&[0]).unwrap_or(part));
    parts
        .map(|part| (Masked::new(part), Masked::new(part.iter().rev())))
        .unzip()
}

/// The contents of DER values, one after the other.
fn values(mut der: &[u8]) -> Vec<&[u8]> {
    let mut values = Vec::new();
    while let [_, first, rest @ ..] = der {
        let (len, rest) = match *first {
            0x81 => (usize::from(rest[0]), &rest[1..]),
            0x82 => (
                usize::from(u16::from_be_bytes([rest[0], rest[1]])),
                &rest[2..],
            ),
            short => (usize::from(short), rest),
        };
        let (value, rest) = rest.split_at(len);
        values.push(value);
        der = rest;
    }
    values
}
