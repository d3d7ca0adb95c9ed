//! What the encryption of a file costs, in CPU, beside the cipher alone.
//!
//! `cargo bench -p sealgate-kms --bench file`; `SEALGATE_BENCH_GIB` says how much, 2 GiB unless it does.

use std::fs;
use std::io::{self, Read};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use kms::file::{EncryptedDataKey, EncryptionMaterials, Message, encrypt};
use kms::{EncryptionContext, Environment, SecretKey};

fn main() {
    let gib = std::env::var("SEALGATE_BENCH_GIB").ok();
    let gib = gib.and_then(|text| text.parse().ok()).unwrap_or(2);
    let bytes: u64 = gib << 30;
    let key = SecretKey::generate(&*Environment::system().random);
    let raw = measured("AES-256-GCM alone", bytes, || cipher(&key, bytes));
    let mut message = Vec::new();
    let sealed = measured("encrypt", bytes, || {
        encrypt_to(&key, bytes, &mut io::sink());
    });
    encrypt_to(&key, SAMPLE, &mut message);
    let opened = measured("decrypt", bytes, || {
        for _ in 0..bytes / SAMPLE {
            let read = Message::read(&message[..]).expect("a message");
            let done = read.decrypt(&key, &mut io::sink(), &mut |_| {});
            assert_eq!(done.expect("it opens"), SAMPLE);
        }
    });
    println!("encrypt / alone: {:.2}", sealed / raw);
    println!("decrypt / alone: {:.2}", opened / raw);
}

/// What any program needs that encrypts so much in pieces of 64 KiB, each of them authenticated.
fn cipher(key: &SecretKey, bytes: u64) {
    let key = UnboundKey::new(&AES_256_GCM, key.expose()).expect("a key");
    let key = LessSafeKey::new(key);
    let mut buffer = vec![0; 64 << 10];
    for number in 0..bytes / (64 << 10) {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut buffer);
        let _tag = sealed.expect("it is short");
    }
}

fn encrypt_to(key: &SecretKey, bytes: u64, target: &mut impl io::Write) {
    let materials = EncryptionMaterials {
        data_key: key,
        encrypted_data_keys: vec![EncryptedDataKey::of_kms("arn", Vec::new())],
        context: EncryptionContext::new(),
    };
    let mut source = io::repeat(7).take(bytes);
    let environment = Environment::system();
    let done = encrypt(materials, &environment, &mut source, target, &mut |_| {});
    assert_eq!(done.expect("nothing fails"), bytes);
}

/// Seconds of CPU that `work` takes.
fn measured(what: &str, bytes: u64, work: impl FnOnce()) -> f64 {
    let before = cpu_seconds();
    work();
    let seconds = cpu_seconds() - before;
    #[expect(clippy::cast_precision_loss, reason = "it is for people")]
    let rate = bytes as f64 / seconds / f64::from(1 << 30);
    println!("{what}: {seconds:.2} s of CPU, {rate:.2} GiB/s");
    seconds
}

fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("procfs");
    let fields = stat.rsplit(')').next().expect("fields follow the name");
    let ticks = fields.split(' ').skip(12).take(2);
    let ticks: u32 = ticks.filter_map(|field| field.parse::<u32>().ok()).sum();
    f64::from(ticks) / 100.0
}

const SAMPLE: u64 = 256 << 20;
