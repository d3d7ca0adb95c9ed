//! What is left once an entry is sealed and opened: in memory nothing but the key in use, on disk
//! nothing of it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use kms::storage::{FileStorage, MemoryStorage};
use kms::{Caller, EncryptionContext, WrappedKey};
use zeroize::Zeroizing;

use super::*;
use crate::testing::{DAY, Fixture, STORE, TestClock, import};

const NAME: &str = "shop.example.com";

/// Held by each of these tests: to look through the memory is to copy it, secrets of other tests too.
static ALONE: Mutex<()> = Mutex::new(());

/// Bytes to look for, kept so that they do not find themselves.
struct Masked(Vec<u8>);

impl Masked {
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.iter().map(|byte| !byte).collect())
    }

    fn starts(&self, memory: &[u8]) -> bool {
        let start = memory.get(..self.0.len());
        start.is_some_and(|start| {
            start
                .iter()
                .zip(&self.0)
                .all(|(byte, masked)| *byte == !masked)
        })
    }

    fn is_in(&self, memory: &[u8]) -> bool {
        (0..memory.len()).any(|at| self.starts(&memory[at..]))
    }
}

type Wanted = (&'static str, Masked);

/// Which of these stand anywhere in this process's memory, each name once.
fn found(wanted: &[Wanted]) -> Vec<&'static str> {
    let mut by_first: [Vec<&Wanted>; 256] = [const { Vec::new() }; 256];
    for one in wanted {
        by_first[usize::from(!one.1.0[0])].push(one);
    }
    let mut found = BTreeSet::new();
    for_each_region(|content| {
        for (at, byte) in content.iter().enumerate() {
            let candidates = by_first[usize::from(*byte)].iter();
            found.extend(
                candidates
                    .filter(|(_, bytes)| bytes.starts(&content[at..]))
                    .map(|(name, _)| *name),
            );
        }
    });
    Vec::from_iter(found)
}

fn for_each_region(mut look: impl FnMut(&[u8])) {
    let memory = File::open("/proc/self/mem").unwrap();
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut content = vec![0; usize::try_from(end - start).unwrap()];
        // Some regions of the kernel's cannot be read.
        if rest.starts_with("rw") && memory.read_exact_at(&mut content, start).is_ok() {
            look(&content);
        }
        content.fill(0);
    }
}

/// The halves of the scalar as DER has it, behind the 36 bytes that are the same in every P-256 key:
/// what frees and allocates memory overwrites a start or an end. (The library's copy has the other
/// byte order.)
fn halves(der: &[u8]) -> [Wanted; 2] {
    [
        ("DER", Masked::of(&der[36..52])),
        ("DER", Masked::of(&der[52..68])),
    ]
}

fn name(number: usize) -> String {
    format!("host{number}.example.com")
}

/// Imports an entry from PEM, and hands back what must not be left.
fn import_from_pem(f: &Fixture, number: usize) -> Vec<Wanted> {
    let (chain, key) = f.ca.issue(&[&name(number)]).unwrap();
    let text = Zeroizing::new(pem::encode("PRIVATE KEY", key.expose_pkcs8()));
    let mut wanted = Vec::from(halves(key.expose_pkcs8()));
    // What the scalar is in base64, about.
    wanted.push(("PEM", Masked::of(&text.as_bytes()[80..110])));
    if number == 0 {
        assert_eq!(
            found(&wanted),
            ["DER", "PEM"],
            "while they are there, they are found"
        );
    }
    drop(key);
    let file = pem::read("key.pem", text.as_bytes()).unwrap();
    let Some(pem::PemKey::Plain(key)) = file.key else {
        panic!("a key in the clear");
    };
    f.store.import(import(&name(number), (chain, key))).unwrap();
    wanted.push(("data key", data_key(f, number)));
    wanted
}

fn data_key(f: &Fixture, number: usize) -> Masked {
    let bytes = f.bytes(&format!("{}.e", name(number)));
    let wrapped = crate::format::parse(&bytes)
        .unwrap()
        .wrapped
        .unwrap()
        .to_vec();
    let context = EncryptionContext::new()
        .with("sealgate:store", STORE.to_string())
        .with("sealgate:region", "local")
        .with("sealgate:entry", name(number));
    let wrapped = WrappedKey::from_bytes(wrapped);
    let key = f
        .kms
        .open_data_key(&Caller::Internal, &wrapped, &context)
        .unwrap();
    let wanted = [("data key", Masked::of(key.key().expose()))];
    if number == 0 {
        assert_eq!(
            found(&wanted),
            ["data key"],
            "while it is there, it is found"
        );
    }
    let [(_, masked)] = wanted;
    masked
}

#[test]
fn no_der_no_pem_and_no_data_key_is_left() {
    let _alone = ALONE.lock();
    let f = Fixture::new();
    let wanted: Vec<_> = (0..16)
        .flat_map(|number| import_from_pem(&f, number))
        .collect();
    let (table, broken) = f.store.open_all(&|_, _| {}).unwrap();
    kms::hygiene::wipe_stack();
    assert_eq!(found(&wanted), [""; 0]);
    assert_eq!((table.iter().count(), broken.len()), (16, 0));
}

#[test]
fn no_derived_key_is_left_and_no_bucket_key_beyond_its_time() {
    let _alone = ALONE.lock();
    let (clock, environment) = TestClock::environment();
    let f = Fixture::with_bucket_keys_on(Arc::new(MemoryStorage::new()), environment);
    let issued = f.ca.issue(&[NAME]).unwrap();
    f.store.import(import(NAME, issued)).unwrap();
    let bytes = f.bytes("shop.example.com.e");
    let entry = crate::format::parse(&bytes).unwrap();
    let crate::format::DataKeySource::Derived(id) = entry.header.source else {
        panic!("a derived key");
    };
    let sealer = f.store.sealer();
    let bucket_key = sealer.buckets.open(&sealer.wrapping, id).unwrap();
    let salt = &entry.header.salt;
    let entry_key = crate::format::derive_data_key(bucket_key.key(), salt, STORE, NAME);
    let wanted = [
        ("bucket key", Masked::of(bucket_key.key().expose())),
        ("entry key", Masked::of(entry_key.expose())),
    ];
    assert_eq!(found(&wanted), ["bucket key", "entry key"]);
    drop((bucket_key, entry_key));
    assert!(f.store.open_file("shop.example.com.e").unwrap().is_some());
    kms::hygiene::wipe_stack();
    assert_eq!(found(&wanted), ["bucket key"]);
    clock.go_on(2 * DAY);
    f.store.end_bucket_keys();
    assert_eq!(found(&wanted), [""; 0]);
}

#[test]
fn a_request_leaves_no_key() {
    let _alone = ALONE.lock();
    let f = Fixture::new();
    let request = CsrRequest {
        name: NAME.to_owned(),
        names: vec![NAME.to_owned()],
        key_type: KeyType::Rsa2048,
        exportable: false,
    };
    f.store.create_csr(request).unwrap();
    let bytes = f.bytes("shop.example.com~r");
    let pkcs8 = f
        .store
        .sealer
        .unseal(&f.store.sealer.read("shop.example.com~r", &bytes).unwrap())
        .unwrap();
    // The private exponent of RSA stands in the middle; aws-lc keeps numbers in the other byte order.
    let wanted = [("DER", Masked::of(&pkcs8[300..500]))];
    assert_eq!(found(&wanted), ["DER"]);
    drop(pkcs8);
    assert_eq!(found(&wanted), [""; 0]);
}

#[test]
fn nothing_of_the_key_is_on_disk() {
    let _alone = ALONE.lock();
    let directory = tempfile::tempdir().unwrap();
    let f = Fixture::on(Arc::new(FileStorage::new(directory.path())));
    let (chain, key) = f.ca.issue(&[NAME]).unwrap();
    let der = key.expose_pkcs8();
    // The scalar stands behind the 36 bytes that are the same in every P-256 key.
    let scalar = &der[36..68];
    let reversed: Vec<_> = scalar.iter().rev().copied().collect();
    let text = pem::encode("PRIVATE KEY", der);
    let wanted = [
        ("scalar", Masked::of(scalar)),
        ("scalar, reversed", Masked::of(&reversed)),
        ("PEM", Masked::of(&text.as_bytes()[80..140])),
    ];
    assert!(wanted[0].1.is_in(der) && wanted[2].1.is_in(text.as_bytes()));
    f.store.import(import(NAME, (chain, key))).unwrap();
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(files.len(), 1);
    for file in files {
        let content = fs::read(file.unwrap().path()).unwrap();
        assert!(wanted.iter().all(|(_, bytes)| !bytes.is_in(&content)));
    }
}

/// Looked for at once, before anything else takes the memory that became free.
#[test]
fn a_key_is_wiped_when_it_is_dropped() {
    let _alone = ALONE.lock();
    let f = Fixture::new();
    let (_, key) = f.ca.issue(&[NAME]).unwrap();
    let wanted = halves(key.expose_pkcs8());
    drop(key);
    assert_eq!(found(&wanted), [""; 0]);
}
