//! What finding and swapping a certificate costs among ten, and among a hundred thousand: prints, as
//! JSON, nanoseconds of CPU time for each, by how many certificates there are.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certstore::{CertTable, ClientOffer, KeyType, ServedCertificate};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rustix::time::{ClockId, clock_gettime};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let key = certified_key()?;
    let mut rows = Vec::new();
    for certificates in [10, 1_000, 10_000, 100_000] {
        let mut table = CertTable::default();
        (0..certificates).for_each(|at| table.insert(served(at, 1, &key)));
        rows.push(json!({
            "certificates": certificates,
            "lookup_ns": median(|random| lookups(&table, certificates, random)),
            "swap_ns": median(|random| swaps(&table, certificates, &key, random)),
        }));
    }
    println!("{}", serde_json::to_string_pretty(&rows)?);
    Ok(())
}

fn certified_key() -> Result<Arc<CertifiedKey>, Box<dyn Error>> {
    let key = rcgen::KeyPair::generate()?;
    let der = PrivateKeyDer::try_from(key.serialize_der())?;
    Ok(Arc::new(CertifiedKey::new(
        vec![],
        any_supported_type(&der)?,
    )))
}

fn served(at: usize, version: u64, key: &Arc<CertifiedKey>) -> Arc<ServedCertificate> {
    let name = name(at);
    let hour = Duration::from_secs(3600);
    Arc::new(ServedCertificate {
        entry: name.clone(),
        key_type: KeyType::EcdsaP256,
        version,
        names: vec![name],
        serial: String::new(),
        sha256: String::new(),
        not_before: SystemTime::now() - hour,
        not_after: SystemTime::now() + hour,
        key: key.clone(),
    })
}

fn name(at: usize) -> String {
    format!("n{at}.example.com")
}

/// Nanoseconds for each lookup of one of the names that there are.
fn lookups(table: &CertTable, certificates: usize, random: &mut SmallRng) -> f64 {
    let names: Vec<_> = (0..LOOKUPS)
        .map(|_| name(random.random_range(0..certificates)))
        .collect();
    let (offer, now) = (OFFER, SystemTime::now());
    spent(LOOKUPS, || {
        for name in &names {
            black_box(table.select(black_box(name), offer, now, |_| true)).expect("it is there");
        }
    })
}

/// Nanoseconds for each new table in which one certificate is another one.
fn swaps(
    table: &CertTable,
    certificates: usize,
    key: &Arc<CertifiedKey>,
    random: &mut SmallRng,
) -> f64 {
    let renewed: Vec<_> = (0..SWAPS)
        .map(|_| served(random.random_range(0..certificates), 2, key))
        .collect();
    let mut table = table.clone();
    spent(SWAPS, || {
        for certificate in renewed {
            table = black_box(table.with(certificate));
        }
    })
}

fn spent(times: usize, work: impl FnOnce()) -> f64 {
    let before = cpu();
    work();
    (cpu() - before).as_nanos() as f64 / times as f64
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

fn median(measure: impl Fn(&mut SmallRng) -> f64) -> f64 {
    let mut random = SmallRng::seed_from_u64(1);
    let mut all: Vec<_> = (0..ROUNDS).map(|_| measure(&mut random)).collect();
    all.sort_by(f64::total_cmp);
    all[ROUNDS / 2].round()
}

const OFFER: ClientOffer<'_> = ClientOffer {
    signature_schemes: &[SignatureScheme::ECDSA_NISTP256_SHA256],
    ecdsa_suites: true,
    rsa_suites: true,
};
const LOOKUPS: usize = 100_000;
const SWAPS: usize = 1_000;
const ROUNDS: usize = 9;
