use std::sync::Mutex as StdMutex;
use std::time::Duration;

use kms::storage::{Expected, MemoryStorage};
use kms::{Caller, NewKey};

use super::*;
use crate::testing::{DAY, Fixture, STORE, import, kms, opened_kms, records, store, unhex};

const NAME: &str = "shop.example.com";
const FILE: &str = "shop.example.com.e";

fn refusal(store: &SealedStore, file: &str) -> Error {
    let broken = store.open_file(file).unwrap_err();
    assert_eq!(broken.file, file);
    broken.reason
}

#[test]
fn what_is_imported_is_listed_opened_and_deleted() {
    let f = Fixture::new();
    let imported = f.import(NAME, KeyType::EcdsaP256, 30);
    assert_eq!(
        (imported.entry.file.as_str(), imported.entry.version),
        (FILE, 1)
    );
    assert_eq!(imported.entry.names, [NAME]);
    let listed = f.store.list().unwrap().remove(0).unwrap();
    assert_eq!(listed, imported.entry);
    let served = f.store.open_file(FILE).unwrap().unwrap();
    assert_eq!(served.sha256, imported.entry.certificate.unwrap().sha256);
    assert_eq!((served.entry.as_str(), served.version), (NAME, 1));
    let deleted = f.store.delete(NAME, None).unwrap();
    assert_eq!(deleted[0].file, FILE);
    assert!(f.store.list().unwrap().is_empty());
    assert!(matches!(f.store.delete(NAME, None), Err(Error::NoEntry(_))));
}

#[test]
fn every_kind_of_key_is_served() {
    let f = Fixture::new();
    for key_type in KeyType::ALL {
        let imported = f.import(key_type.as_str(), key_type, 30);
        let served = f.store.open_file(&imported.entry.file).unwrap().unwrap();
        assert_eq!(served.key_type, key_type);
        served.key.keys_match().unwrap();
    }
    let (table, broken) = f.store.open_all(&|_, _| {}).unwrap();
    assert_eq!(
        (table.iter().count(), broken.len()),
        (KeyType::ALL.len(), 0)
    );
}

#[test]
fn names_are_put_in_lower_case_and_bad_ones_refused() {
    let f = Fixture::new();
    let issued = f.ca.issue(&["shop.example.com"]).unwrap();
    let imported = f.store.import(import("Shop.Example.COM", issued)).unwrap();
    assert_eq!(imported.entry.name, NAME);
    let issued = f.ca.issue(&["shop.example.com"]).unwrap();
    let refused = f.store.import(import("../shop", issued));
    assert!(matches!(refused, Err(Error::InvalidName { .. })));
    assert_eq!(f.storage.list().unwrap(), [FILE]);
}

#[test]
fn chains_are_read_without_a_key() {
    let f = Fixture::new();
    let issued = f.ca.issue(&[NAME]).unwrap();
    let given = pem::certificates("issued", &issued.0).unwrap();
    f.store.import(import(NAME, issued)).unwrap();
    let (store, region) = f.store.home();
    let read = |file: &str| chain(&*f.storage, file, store, region);
    assert_eq!(read(FILE).unwrap(), given[..read(FILE).unwrap().len()]);
    assert_eq!(read(FILE).unwrap()[0], given[0]);
    assert!(matches!(read("no.e").unwrap_err().reason, Error::Missing));
}

#[test]
fn a_name_has_one_entry_of_each_family() {
    let f = Fixture::new();
    f.import(NAME, KeyType::EcdsaP256, 30);
    f.import(NAME, KeyType::Rsa2048, 60);
    let replaced = f.import(NAME, KeyType::EcdsaP384, 30);
    assert_eq!(
        (replaced.entry.file.as_str(), replaced.entry.version),
        (FILE, 2)
    );
    assert_eq!(f.storage.list().unwrap(), [FILE, "shop.example.com.r"]);
    let none = f.store.delete(NAME, Some(KeyFamily::Ed25519));
    assert!(matches!(none, Err(Error::NoEntryOfFamily { .. })));
    f.store.delete(NAME, Some(KeyFamily::Rsa)).unwrap();
    assert_eq!(f.storage.list().unwrap(), [FILE]);
}

#[test]
fn an_expiring_twin_is_not_forgotten_in_silence() {
    let f = Fixture::new();
    assert_eq!(
        f.import(NAME, KeyType::Rsa2048, 10).remarks.len(),
        1,
        "about the missing intermediate"
    );
    let remarks = f.import(NAME, KeyType::EcdsaP256, 90).remarks;
    assert!(
        remarks
            .iter()
            .any(|remark| remark.contains("with an rsa key stays")),
        "{remarks:?}"
    );
    let remarks = f.import(NAME, KeyType::Rsa2048, 89).remarks;
    assert!(
        !remarks.iter().any(|remark| remark.contains("stays")),
        "{remarks:?}"
    );
}

#[test]
fn every_write_has_its_own_salt_and_data_key() {
    let f = Fixture::new();
    let (chain, key) = f.ca.issue(&[NAME]).unwrap();
    let again = PrivateKey::from_der(key.expose_pkcs8(), Encoding::Pkcs8).unwrap();
    f.store.import(import(NAME, (chain.clone(), key))).unwrap();
    let one = f.bytes(FILE);
    f.store.import(import(NAME, (chain, again))).unwrap();
    let other = f.bytes(FILE);
    let (one, other) = (
        crate::format::parse(&one).unwrap(),
        crate::format::parse(&other).unwrap(),
    );
    assert_ne!(one.header.salt, other.header.salt);
    assert_ne!(one.wrapped, other.wrapped);
    assert_ne!(one.nonce, other.nonce);
    assert_ne!(one.ciphertext, other.ciphertext);
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let f = Fixture::new();
    f.import(NAME, KeyType::Ed25519, 30);
    let file = "shop.example.com.d";
    let good = f.bytes(file);
    let refused = |bytes: &[u8]| {
        f.storage.put(file, bytes, Expected::Any).unwrap();
        refusal(&f.store, file);
    };
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        refused(&changed);
    }
    for len in 0..good.len() {
        refused(&good[..len]);
    }
    refused(&[&good[..], b"x"].concat());
    f.storage.put(file, &good, Expected::Any).unwrap();
    assert!(f.store.open_file(file).unwrap().is_some());
}

#[test]
fn a_renamed_or_copied_file_is_refused() {
    let f = Fixture::new();
    f.import(NAME, KeyType::EcdsaP256, 30);
    let bytes = f.bytes(FILE);
    for other in [
        "other.example.com.e",
        "shop.example.com.r",
        "shop.example.com~e",
    ] {
        f.storage.put(other, &bytes, Expected::Any).unwrap();
        assert!(matches!(refusal(&f.store, other), Error::Renamed(name) if name == NAME));
    }
    f.storage.put("README", b"?", Expected::Any).unwrap();
    assert!(matches!(refusal(&f.store, "README"), Error::NotAnEntry));
    let (table, broken) = f.store.open_all(&|_, _| {}).unwrap();
    assert_eq!((table.iter().count(), broken.len()), (1, 4));
    assert_eq!(
        f.store
            .list()
            .unwrap()
            .iter()
            .filter(|entry| entry.is_ok())
            .count(),
        1
    );
}

#[test]
fn parts_of_two_entries_do_not_mix() {
    let f = Fixture::new();
    f.import(NAME, KeyType::EcdsaP256, 30);
    let old = f.bytes(FILE);
    f.import(NAME, KeyType::EcdsaP256, 30);
    let new = f.bytes(FILE);
    let (old, new) = (
        crate::format::parse(&old).unwrap(),
        crate::format::parse(&new).unwrap(),
    );
    let mixed = [
        crate::format::assemble(
            old.clear.to_vec(),
            new.wrapped,
            new.nonce,
            new.ciphertext,
            new.tag,
        ),
        crate::format::assemble(
            new.clear.to_vec(),
            old.wrapped,
            new.nonce,
            new.ciphertext,
            new.tag,
        ),
        crate::format::assemble(
            new.clear.to_vec(),
            new.wrapped,
            old.nonce,
            old.ciphertext,
            old.tag,
        ),
    ];
    for bytes in mixed {
        f.storage.put(FILE, &bytes, Expected::Any).unwrap();
        assert!(matches!(refusal(&f.store, FILE), Error::Tampered));
    }
}

#[test]
fn entries_of_another_store_region_or_kms_are_refused() {
    let f = Fixture::new();
    f.import(NAME, KeyType::EcdsaP256, 30);
    let elsewhere = store(f.storage.clone(), f.kms.clone(), Uuid::nil(), "local");
    assert!(matches!(
        refusal(&elsewhere, FILE),
        Error::ForeignStore { .. }
    ));
    let elsewhere = store(f.storage.clone(), f.kms.clone(), STORE, "other");
    assert!(matches!(
        refusal(&elsewhere, FILE),
        Error::ForeignRegion { .. }
    ));
    let elsewhere = store(f.storage.clone(), Arc::new(kms()), STORE, "local");
    let foreign = refusal(&elsewhere, FILE);
    assert!(matches!(foreign, Error::ForeignKms(_)));
    // A key that is not here cannot be configured.
    assert!(!foreign.to_string().contains("certstore.key"), "{foreign}");
}

#[test]
fn an_entry_under_a_kms_key_that_is_not_configured_is_refused() {
    let f = Fixture::new();
    f.import(NAME, KeyType::EcdsaP256, 30);
    let new = NewKey {
        alias: Some("alias/other".to_owned()),
        ..NewKey::default()
    };
    f.kms.create_key(&Caller::Internal, new).unwrap();
    let key = "alias/other".parse().unwrap();
    let storage = f.storage.clone();
    let other = SealedStore::new(
        storage,
        f.kms.clone(),
        key,
        STORE,
        "local".into(),
        Environment::system(),
    );
    assert!(matches!(refusal(&other, FILE), Error::ForeignKey { .. }));
}

#[test]
fn a_bad_import_leaves_the_good_entry_alone() {
    let f = Fixture::new();
    f.import(NAME, KeyType::EcdsaP256, 30);
    let good = f.bytes(FILE);
    let now = SystemTime::now();
    let expired =
        f.ca.issue_for(KeyType::EcdsaP256, &[NAME], now - 9 * DAY, now - DAY)
            .unwrap();
    assert!(matches!(
        f.store.import(import(NAME, expired)),
        Err(Error::Expired { .. })
    ));
    let (chain, _) = f.ca.issue(&[NAME]).unwrap();
    let (_, other_key) = f.ca.issue(&[NAME]).unwrap();
    let mismatch = f.store.import(import(NAME, (chain, other_key)));
    assert!(matches!(mismatch, Err(Error::KeyMismatch { .. })));
    assert_eq!(f.bytes(FILE), good);
}

#[test]
fn expired_certificates_are_taken_where_that_is_allowed() {
    let f = Fixture::new();
    let now = SystemTime::now();
    let expired =
        f.ca.issue_for(KeyType::EcdsaP256, &[NAME], now - 9 * DAY, now - DAY)
            .unwrap();
    let allowed = Import {
        allow_expired: true,
        ..import(NAME, expired)
    };
    let remarks = f.store.import(allowed).unwrap().remarks;
    assert!(
        remarks
            .iter()
            .any(|remark| remark.contains("outside its time")),
        "{remarks:?}"
    );
    let verification = f.store.verify(&|_, _| {}).unwrap();
    assert_eq!((verification.good.len(), verification.bad.len()), (1, 0));
    assert!(
        verification.remarks[0].contains("expired on"),
        "{:?}",
        verification.remarks
    );
}

#[test]
fn versions_grow_whatever_becomes_of_the_file() {
    let f = Fixture::new();
    f.import(NAME, KeyType::EcdsaP256, 30);
    f.import(NAME, KeyType::EcdsaP256, 30);
    f.store.delete(NAME, None).unwrap();
    assert_eq!(f.import(NAME, KeyType::EcdsaP256, 30).entry.version, 3);
    f.storage.put(FILE, b"broken", Expected::Any).unwrap();
    let repaired = f.import(NAME, KeyType::EcdsaP256, 30);
    assert_eq!(repaired.entry.version, 4);
    assert!(
        repaired
            .remarks
            .iter()
            .any(|remark| remark.contains("was replaced"))
    );
    // Another process has nothing to go by but the file.
    let fresh = store(f.storage.clone(), f.kms.clone(), STORE, "local");
    let issued = f.ca.issue(&[NAME]).unwrap();
    assert_eq!(fresh.import(import(NAME, issued)).unwrap().entry.version, 5);
}

#[test]
fn a_version_that_somebody_wrote_into_the_file_is_not_believed() {
    let f = Fixture::new();
    f.import(NAME, KeyType::EcdsaP256, 30);
    let mut bytes = f.bytes(FILE);
    let version_at = 8 + 2 + 16 + 1 + "local".len() + 1 + NAME.len() + 2;
    bytes[version_at..version_at + 8].fill(0xff);
    f.storage.put(FILE, &bytes, Expected::Any).unwrap();
    assert_eq!(
        f.store.list().unwrap()[0].as_ref().unwrap().version,
        u64::MAX
    );
    assert_eq!(f.import(NAME, KeyType::EcdsaP256, 30).entry.version, 2);
}

#[test]
fn names_that_a_replacement_loses_are_said_by_name() {
    let f = Fixture::new();
    let put = |names: &[&str], allow_name_change| {
        let import = import(NAME, f.ca.issue(names).unwrap());
        let imported = f.store.import(Import {
            allow_name_change,
            ..import
        });
        imported.map(|imported| imported.remarks.join("\n"))
    };
    put(&[NAME, "a.example", "b.example", "c.example.org"], false).unwrap();
    let remarks = put(&[NAME, "*.example.org"], false).unwrap();
    assert!(
        remarks.contains("NO LONGER COVERED: a.example, b.example. "),
        "{remarks}"
    );
    let remarks = put(&["c.example.org"], false).unwrap();
    assert!(
        remarks.contains("NO LONGER COVERED: shop.example.com, *.example.org. "),
        "{remarks}"
    );
    let before = f.bytes(FILE);
    let refused = put(&["other.example"], false).unwrap_err();
    assert!(
        matches!(&refused, Error::NamesReplaced { .. })
            && refused.to_string().contains("--allow-name-change"),
        "{refused}"
    );
    assert_eq!(f.bytes(FILE), before);
    let remarks = put(&["other.example"], true).unwrap();
    assert!(remarks.contains("NO LONGER COVERED: c.example.org. "));
    assert!(
        !put(&["other.example"], false)
            .unwrap()
            .contains("NO LONGER")
    );
    // What cannot be used covers nothing.
    f.storage.put(FILE, b"broken", Expected::Any).unwrap();
    put(&[NAME], false).unwrap();
}

#[test]
fn writers_of_one_name_take_turns() {
    let f = Fixture::new();
    let versions = StdMutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..20 {
            let issued = f.ca.issue(&[NAME]).unwrap();
            let (f, versions) = (&f, &versions);
            scope.spawn(move || {
                let imported = f.store.import(import(NAME, issued)).unwrap();
                versions.lock().unwrap().push(imported.entry.version);
            });
        }
    });
    let mut versions = versions.into_inner().unwrap();
    versions.sort_unstable();
    assert_eq!(versions, Vec::from_iter(1..=20));
}

// === Requests ===

fn csr(key_type: KeyType, names: &[&str]) -> CsrRequest {
    CsrRequest {
        name: NAME.to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        key_type,
        exportable: false,
    }
}

fn without_key(chain: String) -> Import {
    Import {
        name: NAME.to_owned(),
        chain_pem: vec![("chain.pem".to_owned(), chain)],
        key: None,
        exportable: true,
        allow_expired: false,
        allow_name_change: false,
    }
}

#[test]
fn a_request_is_completed_by_its_certificate_alone() {
    let f = Fixture::new();
    for key_type in [KeyType::EcdsaP256, KeyType::Ed25519, KeyType::Rsa2048] {
        let (entry, request) = f
            .store
            .create_csr(csr(key_type, &[NAME, "10.0.0.1"]))
            .unwrap();
        assert!(entry.is_pending());
        assert_eq!(entry.names, [NAME, "10.0.0.1"]);
        assert!(f.store.open_file(&entry.file).unwrap().is_none());
        let chain = f.ca.sign(&request).unwrap();
        let imported = f.store.import(without_key(chain)).unwrap();
        assert_eq!(imported.entry.key_type, key_type);
        assert!(
            !imported.entry.exportable,
            "a mark that the key does not have is not given later"
        );
        assert!(f.store.open_file(&imported.entry.file).unwrap().is_some());
    }
    let left = f.storage.list().unwrap();
    assert!(left.iter().all(|file| !file.contains('~')), "{left:?}");
}

#[test]
fn a_request_leaves_the_certificate_that_serves_alone() {
    let f = Fixture::new();
    f.import(NAME, KeyType::EcdsaP256, 30);
    let (entry, _) = f
        .store
        .create_csr(csr(KeyType::EcdsaP256, &[NAME]))
        .unwrap();
    assert_eq!(entry.file, "shop.example.com~e");
    let (table, broken) = f.store.open_all(&|_, _| {}).unwrap();
    assert_eq!((table.iter().count(), broken.len()), (1, 0));
    assert_eq!(f.store.verify(&|_, _| {}).unwrap().good.len(), 2);
    let deleted = f.store.delete(NAME, None).unwrap();
    assert_eq!(deleted.iter().filter(|deleted| deleted.pending).count(), 1);
}

#[test]
fn the_same_request_is_given_again() {
    let f = Fixture::new();
    let one = f
        .store
        .create_csr(csr(KeyType::EcdsaP256, &[NAME]))
        .unwrap();
    assert_eq!(
        f.store
            .create_csr(csr(KeyType::EcdsaP256, &[NAME]))
            .unwrap(),
        one
    );
    let other = f
        .store
        .create_csr(csr(KeyType::EcdsaP256, &[NAME, "b.example"]))
        .unwrap();
    assert_eq!(other.0.version, 2);
    assert_ne!(other.1, one.1);
}

#[test]
fn a_certificate_without_key_renews_the_one_of_the_same_key() {
    let f = Fixture::new();
    let (_, request) = f
        .store
        .create_csr(csr(KeyType::EcdsaP256, &[NAME]))
        .unwrap();
    for version in 1..=2 {
        let chain = f.ca.sign(&request).unwrap();
        let imported = f.store.import(without_key(chain)).unwrap();
        assert_eq!(imported.entry.version, version);
    }
}

#[test]
fn a_certificate_without_any_key_is_refused() {
    let f = Fixture::new();
    let (chain, _) = f.ca.issue(&[NAME]).unwrap();
    let refused = f.store.import(without_key(chain.clone()));
    assert!(matches!(refused, Err(Error::NoPendingKey(_))));
    f.store
        .create_csr(csr(KeyType::EcdsaP256, &[NAME]))
        .unwrap();
    let refused = f.store.import(without_key(chain));
    assert!(matches!(refused, Err(Error::NoPendingKey(_))));
}

#[test]
fn requests_are_for_names_that_certificates_can_have() {
    let f = Fixture::new();
    for (names, bad) in [(&["a b"][..], true), (&["a_b.example"], true), (&[], false)] {
        let refused = f
            .store
            .create_csr(csr(KeyType::EcdsaP256, names))
            .unwrap_err();
        assert_eq!(matches!(refused, Error::InvalidHost { .. }), bad);
    }
}

// === What does not belong there ===

#[test]
fn an_entry_that_cannot_be_read_is_shown_with_the_reason() {
    let f = Fixture::new();
    f.import(NAME, KeyType::EcdsaP256, 30);
    f.import(NAME, KeyType::Rsa2048, 30);
    f.storage.put(FILE, b"broken", Expected::Any).unwrap();
    let shown = show(&*f.storage, STORE, "local", NAME).unwrap();
    let [broken, good] = &shown[..] else {
        panic!("{shown:?}")
    };
    assert_eq!(broken.as_ref().unwrap_err().file, FILE);
    assert_eq!(good.as_ref().unwrap().key_type, KeyType::Rsa2048);
    assert_eq!(f.store.show("Shop.Example.com").unwrap().len(), 2);
    assert!(matches!(
        f.store.show("other.example"),
        Err(Error::NoEntry(_))
    ));
}

#[test]
fn a_directory_in_an_entrys_place_is_named_and_not_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let f = Fixture::on(Arc::new(kms::storage::FileStorage::new(directory.path())));
    std::fs::create_dir(directory.path().join(FILE)).unwrap();
    let refused = f.store.delete(NAME, None).unwrap_err();
    assert!(
        matches!(&refused, Error::Kms(kms::Error::NotARecord(path)) if path.ends_with(FILE)),
        "{refused}"
    );
    let shown = f.store.show(NAME).unwrap();
    assert!(shown[0].is_err());
    assert!(directory.path().join(FILE).exists());
}

// === Many ===

#[test]
fn many_entries_open_with_progress_and_share_their_issuer() {
    let f = Fixture::new();
    for number in 0..100 {
        f.import(&format!("host{number}.example.com"), KeyType::EcdsaP256, 30);
    }
    f.storage
        .put("host7.example.com.e", b"broken", Expected::Any)
        .unwrap();
    let told = StdMutex::new(Vec::new());
    let (table, broken) = f
        .store
        .open_all(&|done, total| told.lock().unwrap().push((done, total)))
        .unwrap();
    assert_eq!(table.iter().count(), 99);
    assert_eq!(
        broken
            .iter()
            .map(|broken| broken.file.as_str())
            .collect::<Vec<_>>(),
        ["host7.example.com.e"]
    );
    let told = told.into_inner().unwrap();
    assert!(told.is_sorted() && told.last() == Some(&(100, 100)));
}

// === The known answer ===

/// An entry of version 1 as it was first written: it must open for ever.
#[test]
fn version_1_stays_readable() {
    let kms = opened_kms(records(include_str!("../../vectors/entry-1.kms")));
    let storage = Arc::new(MemoryStorage::new());
    let entry = unhex(include_str!("../../vectors/entry-1.hex").trim());
    storage.put(FILE, &entry, Expected::Absent).unwrap();
    let store = store(storage, Arc::new(kms), STORE, "local");
    let served = store.open_file(FILE).unwrap().unwrap();
    assert_eq!((served.key_type, served.version), (KeyType::EcdsaP256, 1));
    assert_eq!(served.names, [NAME]);
    let written = store.list().unwrap().remove(0).unwrap().written;
    assert!(written > SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
}
