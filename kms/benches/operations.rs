//! What a call on the KMS costs beyond the cryptography in it: CPU time of each kind of operation, all the
//! way through the door (an outside caller, its key's policy, an auditor who counts), beside the same
//! cryptography alone.
//!
//! Both sides take turns in rounds, and the ratio is the median of the rounds' ratios, so that a machine
//! that others use as well does not decide. `cargo bench -p sealgate-kms`; `-- --rounds N` for more, and
//! `-- --audit` for the audit log itself, on disk, in the auditor's place.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kms::aead::{self, NONCE_LEN};
use kms::audit::AuditOptions;
use kms::derive::derive;
use kms::spec::{KeySpec, KeyUsage, MacAlgorithm, MessageType, SigningAlgorithm};
use kms::storage::MemoryStorage;
use kms::{
    Auditor, Caller, EncryptionContext, Environment, Error, Event, Identity, KeyRef, Kms, Material,
    NewKey, RootKey, SecretKey,
};
use rustix::time::{ClockId, clock_gettime};

/// Counts what it is told.
#[derive(Default)]
struct Counter(AtomicU64);

impl Auditor for Counter {
    fn admit(&self, _: &Event<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn record(&self, _: &Event<'_>, _: Result<(), &Error>) -> Result<(), Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

struct Bench {
    kms: Kms,
    caller: Caller,
    environment: Environment,
    context: EncryptionContext,
    key: SecretKey,
}

impl Bench {
    /// With the audit log in that directory; none: with an auditor who counts.
    fn new(log: Option<&Path>) -> Result<Self, Error> {
        let environment = Environment::system();
        let identity = Identity::new("000000000000", "local")?;
        let key = || SecretKey::generate(&*environment.random);
        let root = RootKey::new(key(), "a benchmark");
        let caller = Caller::local(identity.root(), 1000);
        let storage = Arc::new(MemoryStorage::new());
        let kms = Kms::create(storage, &root, identity, environment.clone())?;
        let kms = match log {
            Some(directory) => kms.with_audit_log(directory, AuditOptions::default())?,
            None => kms.with_auditor(Arc::new(Counter::default())),
        };
        Ok(Self {
            kms,
            caller,
            context: EncryptionContext::new().with("purpose", "bench"),
            key: key(),
            environment,
        })
    }

    fn create(&self, spec: KeySpec, usage: Option<KeyUsage>) -> Result<KeyRef, Error> {
        let new = NewKey {
            spec,
            usage,
            ..NewKey::default()
        };
        let created = self.kms.create_key(&self.caller, new)?;
        Ok(KeyRef::Id(created.id))
    }

    /// What `encrypt` does of cryptography: salt, nonce, a key derived for the message, AES-256-GCM.
    fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(49 + plaintext.len() + 16);
        let salt: [u8; 16] = self.environment.random_bytes();
        let nonce: [u8; NONCE_LEN] = self.environment.random_bytes();
        let key = derive(&self.key, &salt, &[b"bench"]);
        out.extend_from_slice(&salt);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plaintext);
        let tag = aead::seal(&key, &nonce, &salt, &mut out[28..]);
        out.extend_from_slice(&tag);
        out
    }

    /// The reverse.
    fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (salt, rest) = sealed.split_first_chunk::<16>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        let key = derive(&self.key, salt, &[b"bench"]);
        let mut out = ciphertext.to_vec();
        aead::open(&key, nonce, salt, &mut out, tag).ok()?;
        Some(out)
    }
}

/// Lets nobody leave a call out.
fn run<T>(value: T) {
    drop(black_box(value));
}

/// CPU time of this thread, in nanoseconds.
fn cpu() -> i64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Nanoseconds of CPU per call.
#[allow(clippy::cast_precision_loss)]
fn cost(calls: u32, call: &mut dyn FnMut()) -> f64 {
    let before = cpu();
    for _ in 0..calls {
        call();
    }
    (cpu() - before) as f64 / f64::from(calls)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One line: both sides in turns, a millisecond or more each.
fn compare(rounds: usize, name: &str, through: &mut dyn FnMut(), alone: &mut dyn FnMut()) {
    let calls = |call: &mut dyn FnMut()| {
        let once = cost(8, call).max(1.0);
        (5_000_000.0 / once).clamp(4.0, 20_000.0) as u32
    };
    let (many, few) = (calls(through), calls(alone));
    let (mut costs, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (with, without) = (cost(many, through), cost(few, alone));
        costs.push(with);
        bare.push(without);
        ratios.push(with / without);
    }
    let (with, without, ratio) = (median(costs), median(bare), median(ratios));
    println!(
        "{name:<34} {:>10.2} µs {:>10.2} µs {:>10.0}/s {ratio:>7.2}",
        with / 1000.0,
        without / 1000.0,
        1e9 / with,
    );
}

fn symmetric(bench: &Bench, rounds: usize) -> Result<(), Error> {
    let key = bench.create(KeySpec::SymmetricDefault, None)?;
    let (kms, caller, context) = (&bench.kms, &bench.caller, &bench.context);
    for len in [32, 4096] {
        let plaintext = vec![7; len];
        let blob = kms.encrypt(caller, &key, context, &plaintext)?;
        let sealed = bench.seal(&plaintext);
        compare(
            rounds,
            &format!("encrypt {len} bytes"),
            &mut || run(kms.encrypt(caller, &key, context, &plaintext)),
            &mut || run(bench.seal(&plaintext)),
        );
        compare(
            rounds,
            &format!("decrypt {len} bytes"),
            &mut || run(kms.decrypt(caller, &blob, context)),
            &mut || run(bench.open(&sealed)),
        );
    }
    let random = &*bench.environment.random;
    compare(
        rounds,
        "generate data key",
        &mut || run(kms.generate_data_key(caller, &key, context)),
        &mut || {
            let key = SecretKey::generate(random);
            run(bench.seal(key.expose()));
        },
    );
    Ok(())
}

fn signatures(bench: &Bench, rounds: usize) -> Result<(), Error> {
    let (kms, caller) = (&bench.kms, &bench.caller);
    let raw = MessageType::Raw;
    for (spec, algorithm) in [
        (KeySpec::EccNistP256, SigningAlgorithm::EcdsaSha256),
        (KeySpec::EccNistP384, SigningAlgorithm::EcdsaSha384),
        (
            KeySpec::EccNistEdwards25519,
            SigningAlgorithm::Ed25519Sha512,
        ),
        (KeySpec::Rsa2048, SigningAlgorithm::RsassaPssSha256),
        (KeySpec::Rsa4096, SigningAlgorithm::RsassaPkcs1V15Sha256),
    ] {
        let usage = KeyUsage::SignVerify;
        let key = bench.create(spec, Some(usage))?;
        let material = Material::generate(spec, usage, &*bench.environment.random)?;
        compare(
            rounds,
            &format!("sign {algorithm}"),
            &mut || run(kms.sign(caller, &key, algorithm, raw, b"message")),
            &mut || run(material.sign(algorithm, raw, b"message")),
        );
    }
    Ok(())
}

fn macs(bench: &Bench, rounds: usize) -> Result<(), Error> {
    let (spec, usage) = (KeySpec::Hmac256, KeyUsage::GenerateVerifyMac);
    let algorithm = MacAlgorithm::HmacSha256;
    let (kms, caller, message) = (&bench.kms, &bench.caller, [7; 1024]);
    let key = bench.create(spec, Some(usage))?;
    let material = Material::generate(spec, usage, &*bench.environment.random)?;
    compare(
        rounds,
        "generate MAC HMAC_SHA_256, 1 KiB",
        &mut || run(kms.generate_mac(caller, &key, algorithm, &message)),
        &mut || run(material.generate_mac(algorithm, &message)),
    );
    Ok(())
}

fn rounds() -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--rounds");
    let given = arguments.nth(1).and_then(|count| count.parse().ok());
    given.unwrap_or(15)
}

fn main() -> Result<(), Error> {
    let directory = tempfile::tempdir().expect("there is room for a log");
    let audited = std::env::args().any(|argument| argument == "--audit");
    let log = audited.then(|| directory.path());
    let (bench, rounds) = (Bench::new(log)?, rounds());
    println!(
        "{:<34} {:>13} {:>13} {:>12} {:>7}",
        "CPU per call", "whole call", "cryptography", "calls", "ratio"
    );
    symmetric(&bench, rounds)?;
    macs(&bench, rounds)?;
    signatures(&bench, rounds)
}
