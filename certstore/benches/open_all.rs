//! What it costs to open a store of ten thousand certificates: time, CPU and memory.
//!
//! `cargo bench -p sealgate-certstore`

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use certstore::ca::TestCa;
use certstore::{Import, SealedStore};
use kms::storage::MemoryStorage;
use kms::{Environment, Identity, KeyRef, Kms, RootKey, SecretKey};

fn main() {
    let store = store();
    fill(&store);
    let (memory, cpu, started) = (resident_bytes(), cpu_seconds(), Instant::now());
    let (table, broken) = store.open_all(&|_, _| {}).expect("the store can be read");
    let (wall, cpu) = (started.elapsed(), cpu_seconds() - cpu);
    assert_eq!((table.iter().count(), broken.len()), (ENTRIES, 0));
    let each = (resident_bytes() - memory) / ENTRIES;
    println!(
        "{ENTRIES} entries opened in {wall:.2?}, {cpu:.2} s of CPU, {each} bytes of memory each"
    );
}

fn store() -> SealedStore {
    let environment = Environment::system();
    let root = SecretKey::generate(&*environment.random);
    let identity = Identity::new("000000000000", "local").expect("a valid identity");
    let kms = Kms::create(
        Arc::new(MemoryStorage::new()),
        &RootKey::new(root, "memory"),
        identity,
        environment.clone(),
    );
    let kms = Arc::new(kms.expect("a KMS in memory"));
    let key = KeyRef::Alias(Kms::CERTSTORE_ALIAS.to_owned());
    let id = uuid::Uuid::from_bytes([1; 16]);
    SealedStore::new(
        Arc::new(MemoryStorage::new()),
        kms,
        key,
        id,
        "local".to_owned(),
        environment,
    )
}

fn fill(store: &SealedStore) {
    let ca = TestCa::new(&Environment::system()).expect("a test CA");
    for number in 0..ENTRIES {
        let name = format!("host{number}.example.com");
        let (chain, key) = ca
            .issue(&[&name, &format!("www.{name}")])
            .expect("a certificate");
        let import = Import {
            name,
            chain_pem: vec![
                ("leaf".to_owned(), chain),
                ("ca".to_owned(), ca.pem().to_owned()),
            ],
            key: Some(key),
            exportable: false,
            allow_expired: false,
            allow_name_change: false,
        };
        store.import(import).expect("a good certificate");
    }
}

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/statm").expect("procfs");
    let pages = status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("a number of pages") * 4096
}

/// Of all threads, those that ended among them, in user and in system mode.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("procfs");
    let fields = stat
        .rsplit(')')
        .next()
        .expect("fields follow the name")
        .split(' ');
    let ticks: u32 = fields
        .skip(12)
        .take(2)
        .filter_map(|field| field.parse::<u32>().ok())
        .sum();
    f64::from(ticks) / 100.0
}

const ENTRIES: usize = 10_000;
