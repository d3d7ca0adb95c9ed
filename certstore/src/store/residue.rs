//! What is left once an entry is sealed and opened: in memory nothing but the key in use, on disk
//! nothing of it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use kms::storage::FileStorage;
use kms::{Caller, EncryptionContext, WrappedKey};
use zeroize::Zeroizing;

use super::*;
use crate::testing::{Fixture, STORE, import};

const NAME: &str = "shop.example.com";
const FILE: &str = "shop.example.com.e";

/// Bytes to look for, kept so that they do not find themselves.
struct Masked(Vec<u8>);

impl Masked {
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.iter().map(|byte| !byte).collect())
    }

    fn is_in(&self, memory: &[u8]) -> bool {
        let first = !self.0[0];
        let starts = memory
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == first);
        let is_at = |at: usize| {
            let found = memory.get(at..at + self.0.len());
            found.is_some_and(|found| {
                found
                    .iter()
                    .zip(&self.0)
                    .all(|(byte, masked)| *byte == !masked)
            })
        };
        starts.into_iter().any(|(at, _)| is_at(at))
    }
}

/// Which of these stand anywhere in this process's memory.
fn found(wanted: &[(&'static str, Masked)]) -> Vec<&'static str> {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = Vec::new();
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut content = vec![0; usize::try_from(end - start).unwrap()];
        // Some regions of the kernel's cannot be read.
        if memory.read_exact_at(&mut content, start).is_err() {
            continue;
        }
        found.extend(
            wanted
                .iter()
                .filter(|(_, bytes)| bytes.is_in(&content))
                .map(|(name, _)| *name),
        );
        content.fill(0);
    }
    found
}

fn data_key(f: &Fixture) -> Masked {
    let bytes = f.bytes(FILE);
    let wrapped = WrappedKey::from_bytes(crate::format::parse(&bytes).unwrap().wrapped.to_vec());
    let context = EncryptionContext::new()
        .with("sealgate:store", STORE.to_string())
        .with("sealgate:region", "local")
        .with("sealgate:entry", NAME);
    let key = f
        .kms
        .open_data_key(&Caller::Internal, &wrapped, &context)
        .unwrap();
    let wanted = [("data key", Masked::of(key.key().expose()))];
    assert_eq!(
        found(&wanted),
        ["data key"],
        "while it is there, it is found"
    );
    let [(_, masked)] = wanted;
    masked
}

#[test]
fn no_der_no_pem_and_no_data_key_is_left() {
    let f = Fixture::new();
    let (chain, key) = f.ca.issue(&[NAME]).unwrap();
    let text = Zeroizing::new(pem::encode("PRIVATE KEY", key.expose_pkcs8()));
    // The middle of the DER: what follows the scalar, and the scalar with what stands before it.
    let mut wanted = vec![
        ("DER", Masked::of(&key.expose_pkcs8()[20..68])),
        ("PEM", Masked::of(&text.as_bytes()[60..150])),
    ];
    assert_eq!(
        found(&wanted),
        ["DER", "PEM"],
        "while they are there, they are found"
    );
    drop(key);
    let Ok(pem::PemFile {
        key: Some(pem::PemKey::Plain(key)),
        ..
    }) = pem::read("key.pem", text.as_bytes())
    else {
        panic!("a key in PEM");
    };
    drop(text);
    f.store.import(import(NAME, (chain, key))).unwrap();
    wanted.push(("data key", data_key(&f)));
    let served = f.store.open_file(FILE).unwrap().unwrap();
    let (table, _) = f.store.open_all(&|_, _| {}).unwrap();
    kms::hygiene::wipe_stack();
    assert_eq!(found(&wanted), [""; 0]);
    assert_eq!((served.entry.as_str(), table.iter().count()), (NAME, 1));
}

#[test]
fn a_request_leaves_no_key() {
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
