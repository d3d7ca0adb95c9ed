use std::sync::{Arc, Mutex};

use kms::storage::lossy::LossyFiles;
use kms::storage::{FileStorage, MemoryStorage, Storage};
use kms::{Caller, Environment, Kms, NewKey};

use super::*;
use crate::key_type::KeyType;
use crate::store::CsrRequest;
use crate::testing::{Fixture, STORE, import};

/// A store with entries of every kind under the managed key, and a customer key.
struct Moving {
    f: Fixture,
    own: KeyRef,
}

impl Moving {
    fn new() -> Self {
        Self::on(Arc::new(MemoryStorage::new()))
    }

    fn on(storage: Arc<dyn Storage>) -> Self {
        let moving = Self::empty_on(storage);
        moving.fill();
        moving
    }

    fn empty_on(storage: Arc<dyn Storage>) -> Self {
        let f = Fixture::with_bucket_keys_on(storage, Environment::system());
        let new = NewKey {
            alias: Some("alias/own".to_owned()),
            ..NewKey::default()
        };
        f.kms.create_key(&Caller::Internal, new).unwrap();
        let own = "alias/own".parse().unwrap();
        Self { f, own }
    }

    fn fill(&self) {
        let f = &self.f;
        f.import("derived.example", KeyType::EcdsaP256, 30);
        f.store.use_bucket_keys(false);
        f.import("wrapped.example", KeyType::EcdsaP256, 30);
        f.store.create_csr(csr("wrapped.example")).unwrap();
        f.store.use_bucket_keys(true);
        f.store.create_csr(csr("derived.example")).unwrap();
    }

    /// Another process, whose configuration names that key.
    fn store(&self, key: &str) -> SealedStore {
        self.store_on(self.f.storage.clone(), key)
    }

    fn store_on(&self, storage: Arc<dyn Storage>, key: &str) -> SealedStore {
        let (kms, key) = (self.f.kms.clone(), key.parse().unwrap());
        let region = "local".to_owned();
        SealedStore::new(storage, kms, key, STORE, region, Environment::system())
    }

    fn id(&self, key: &str) -> KeyId {
        self.f.kms.resolve(&key.parse().unwrap()).unwrap()
    }
}

fn csr(name: &str) -> CsrRequest {
    CsrRequest {
        name: name.to_owned(),
        names: vec![name.to_owned()],
        key_type: KeyType::EcdsaP256,
        exportable: false,
    }
}

fn is_whole(store: &SealedStore) {
    let verified = store.verify(&|_, _| {}).unwrap();
    assert!(verified.bad.is_empty(), "{:?}", verified.bad);
    assert_eq!(verified.good.len(), 4);
}

const MANAGED: &str = Kms::CERTSTORE_ALIAS;
const OWN: &str = "alias/own";

#[test]
fn everything_moves_to_another_key() {
    let m = Moving::new();
    let store = &m.f.store;
    let (table, _) = store.open_all(&|_, _| {}).unwrap();
    assert_eq!(table.iter().count(), 2);
    let told = Mutex::new(Vec::new());
    let tell = |done, total| told.lock().unwrap().push((done, total));
    let moved = store.reseal(Some(&m.own), &tell).unwrap();
    assert_eq!(
        (moved.kms_key, moved.moved, moved.unchanged),
        (m.id(OWN), 4, 0)
    );
    assert!(moved.bad.is_empty());
    assert_eq!(
        told.into_inner().unwrap(),
        [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    );
    assert_eq!(Vec::from_iter(store.kms_keys().unwrap()), [(m.id(OWN), 4)]);
    is_whole(store);
    // No version is new, and what is served need not be opened again.
    assert!(
        store
            .list()
            .unwrap()
            .iter()
            .all(|entry| entry.as_ref().unwrap().version == 1)
    );
    let same = store.open_changed("wrapped.example.e").unwrap();
    assert!(matches!(same, crate::store::FileState::Same));
    // Whatever a later process is configured with, it opens all, and seals under the new key.
    for (number, key) in [MANAGED, OWN].into_iter().enumerate() {
        let later = m.store(key);
        assert!(later.open_all(&|_, _| {}).unwrap().1.is_empty());
        let name = format!("later{number}.example");
        let issued = m.f.ca.issue(&[&name]).unwrap();
        let entry = later.import(import(&name, issued)).unwrap().entry;
        assert_eq!(entry.kms_key, Some(m.id(OWN)));
    }
    // And back again.
    let back = store
        .reseal(Some(&MANAGED.parse().unwrap()), &|_, _| {})
        .unwrap();
    assert_eq!((back.moved, back.unchanged), (6, 0));
    assert_eq!(
        Vec::from_iter(store.kms_keys().unwrap()),
        [(m.id(MANAGED), 6)]
    );
}

#[test]
fn everything_moves_to_the_newest_generation() {
    let m = Moving::new();
    m.f.store.reseal(Some(&m.own), &|_, _| {}).unwrap();
    let again = m.f.store.reseal(None, &|_, _| {}).unwrap();
    assert_eq!((again.moved, again.unchanged), (0, 4));
    m.f.kms.rotate_key(&Caller::Internal, &m.own).unwrap();
    let rotated = m.f.store.reseal(None, &|_, _| {}).unwrap();
    assert_eq!((rotated.moved, rotated.unchanged), (4, 0));
    let newest = Some(rotated.backing_key);
    let listed = m.f.store.list().unwrap();
    assert!(
        listed
            .iter()
            .all(|entry| entry.as_ref().unwrap().backing_key == newest)
    );
    is_whole(&m.f.store);
}

#[test]
fn the_current_bucket_key_goes_on_after_a_move() {
    let m = Moving::new();
    m.f.kms.rotate_key(&Caller::Internal, &m.own).unwrap();
    m.f.store.reseal(Some(&m.own), &|_, _| {}).unwrap();
    for number in 0..5 {
        m.f.import(&format!("host{number}.example"), KeyType::EcdsaP256, 30);
    }
    let verified = m.f.store.verify(&|_, _| {}).unwrap();
    assert_eq!((verified.good.len(), verified.bad.len()), (9, 0));
}

#[test]
fn what_cannot_be_moved_is_named_and_stays() {
    let m = Moving::new();
    let storage = &m.f.storage;
    let good = m.f.bytes("wrapped.example.e");
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    storage
        .put("wrapped.example.e", &bad, Expected::Any)
        .unwrap();
    let moved = m.f.store.reseal(Some(&m.own), &|_, _| {}).unwrap();
    let named: Vec<_> = moved.bad.iter().map(|bad| bad.file.as_str()).collect();
    assert_eq!((moved.moved, &named[..]), (3, &["wrapped.example.e"][..]));
    assert_eq!(m.f.bytes("wrapped.example.e"), bad);
    // The former key is not forgotten: what comes back from a backup opens, and moves the next time.
    storage
        .put("wrapped.example.e", &good, Expected::Any)
        .unwrap();
    is_whole(&m.store(OWN));
    let moved = m.f.store.reseal(None, &|_, _| {}).unwrap();
    assert_eq!((moved.moved, moved.unchanged, moved.bad.len()), (1, 3, 0));
    // Then it is.
    storage
        .put("wrapped.example.e", &good, Expected::Any)
        .unwrap();
    let refused = m.store(OWN).open_file("wrapped.example.e").unwrap_err();
    assert!(
        matches!(refused.reason, Error::ForeignKey { .. }),
        "{refused}"
    );
}

#[test]
fn every_flipped_bit_and_every_cut_of_the_record_is_found_and_named() {
    let m = Moving::new();
    m.f.store.reseal(Some(&m.own), &|_, _| {}).unwrap();
    let good = m.f.bytes(StoreKey::FILE);
    let named = |bytes: &[u8]| {
        m.f.storage
            .put(StoreKey::FILE, bytes, Expected::Any)
            .unwrap();
        let verified = m.f.store.verify(&|_, _| {}).unwrap();
        assert_eq!(verified.bad[0].file, StoreKey::FILE);
        let refused = m.store(MANAGED).open_file("wrapped.example.e").unwrap_err();
        assert!(
            matches!(refused.reason, Error::StoreKey { .. }),
            "{refused}"
        );
    };
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        named(&changed);
    }
    for len in 0..good.len() {
        named(&good[..len]);
    }
    m.f.storage
        .put(StoreKey::FILE, &good, Expected::Any)
        .unwrap();
    is_whole(&m.f.store);
}

#[test]
fn a_power_failure_at_any_call_leaves_all_open_and_is_made_good() {
    let mounted = |files: &LossyFiles| Arc::new(FileStorage::on(files.clone(), "/"));
    let run = |fault: Option<u64>| {
        let files = LossyFiles::new();
        let m = Moving::on(mounted(&files));
        let before = files.calls();
        if let Some(call) = fault {
            files.lose_power_at(before + call);
        }
        let moved = m.f.store.reseal(Some(&m.own), &|_, _| {});
        (m, files.calls() - before, files, moved)
    };
    let (_, calls, _, moved) = run(None);
    assert!(moved.unwrap().bad.is_empty());
    assert!(calls >= 20, "{calls}");
    for call in 0..calls {
        let (m, _, files, moved) = run(Some(call));
        assert!(
            moved.is_err() || !moved.unwrap().bad.is_empty(),
            "call {call}"
        );
        for seed in 0..6 {
            let storage = mounted(&files.after_power_loss(seed));
            is_whole(&m.store_on(storage.clone(), MANAGED));
            let store = m.store_on(storage, MANAGED);
            let moved = store.reseal(Some(&m.own), &|_, _| {}).unwrap();
            assert_eq!((moved.moved + moved.unchanged, moved.bad.len()), (4, 0));
            assert_eq!(Vec::from_iter(store.kms_keys().unwrap()), [(m.id(OWN), 4)]);
            is_whole(&store);
        }
    }
}
