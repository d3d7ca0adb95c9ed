use kms::storage::lossy::LossyFiles;
use kms::storage::{FileStorage, MemoryStorage};
use kms::{Caller, Environment, KeyRef, NewKey};

use super::record::MOST_ENTRIES;
use super::*;
use crate::error::BrokenEntry;
use crate::key_type::KeyType;
use crate::private_key::{Encoding, PrivateKey};
use crate::store::{Import, SealedStore};
use crate::testing::{
    DAY, Fixture, STORE, TestClock, derived_store, import, kms as new_kms, opened_kms, records,
    store as wrapping_store,
};
use crate::wrapping::KmsCalls;

const NAME: &str = "shop.example.com";
const FILE: &str = "shop.example.com.e";

/// A certificate that is imported again and again under many names.
struct Issued {
    chain: String,
    key: PrivateKey,
}

impl Issued {
    fn new(f: &Fixture) -> Self {
        let (chain, key) = f.ca.issue(&[NAME]).unwrap();
        Self { chain, key }
    }

    fn import(&self, name: &str) -> Import {
        let key = PrivateKey::from_der(self.key.expose_pkcs8(), Encoding::Pkcs8).unwrap();
        Import {
            allow_expired: true,
            ..import(name, (self.chain.clone(), key))
        }
    }
}

fn keys_of(store: &SealedStore) -> &BucketKeys {
    &store.sealer().buckets
}

fn buckets(storage: &dyn Storage) -> Vec<String> {
    let mut files = storage.list().unwrap();
    files.retain(|file| BucketId::of_file(file).is_some());
    files
}

fn bucket_of(f: &Fixture, file: &str) -> BucketId {
    let bytes = f.bytes(file);
    match crate::format::parse(&bytes).unwrap().header.source {
        crate::format::DataKeySource::Derived(id) => id,
        crate::format::DataKeySource::Wrapped => panic!("{file} has a wrapped key"),
    }
}

fn record(f: &Fixture, file: &str) -> BucketRecord {
    BucketRecord::parse(file, &f.bytes(file)).unwrap()
}

fn fresh(f: &Fixture, environment: &Environment) -> SealedStore {
    derived_store(f.storage.clone(), f.kms.clone(), environment.clone())
}

/// What is wrong with the files that do not open, by their names.
fn broken(store: &SealedStore) -> Vec<BrokenEntry> {
    store.open_all(&|_, _| {}).unwrap().1
}

#[test]
fn entries_of_a_day_share_a_bucket_key() {
    let (clock, environment) = TestClock::environment();
    let f = Fixture::with_bucket_keys_on(Arc::new(MemoryStorage::new()), environment);
    for name in ["a.example", "b.example"] {
        f.import(name, KeyType::EcdsaP256, 300);
    }
    assert_eq!(f.store.kms_calls(), KmsCalls { made: 1, saved: 1 });
    clock.go_on(CURRENT - Duration::from_secs(1));
    f.import("c.example", KeyType::EcdsaP256, 300);
    assert_eq!(buckets(&*f.storage).len(), 1);
    clock.go_on(Duration::from_secs(1));
    let summary = f.import("d.example", KeyType::EcdsaP256, 300).entry;
    assert_eq!(buckets(&*f.storage).len(), 2);
    assert_eq!(
        summary.bucket_key,
        Some(bucket_of(&f, "d.example.e").uuid())
    );
    assert_ne!(bucket_of(&f, "a.example.e"), bucket_of(&f, "d.example.e"));
    let listed = f.store.list().unwrap();
    assert_eq!(listed.len(), 4);
    let alias: KeyRef = kms::Kms::CERTSTORE_ALIAS.parse().unwrap();
    let kms_key = f.kms.resolve(&alias).unwrap();
    assert!(
        listed
            .iter()
            .all(|entry| entry.as_ref().unwrap().kms_key == Some(kms_key))
    );
}

#[test]
fn a_clock_that_is_set_back_makes_a_new_bucket_key() {
    let (clock, environment) = TestClock::environment();
    let f = Fixture::with_bucket_keys_on(Arc::new(MemoryStorage::new()), environment);
    f.import("a.example", KeyType::EcdsaP256, 300);
    clock.set_back(Duration::from_secs(60));
    f.import("b.example", KeyType::EcdsaP256, 300);
    assert_eq!(buckets(&*f.storage).len(), 2);
}

#[test]
fn another_process_goes_on_with_the_current_bucket_key() {
    let (_, environment) = TestClock::environment();
    let f = Fixture::with_bucket_keys_on(Arc::new(MemoryStorage::new()), environment.clone());
    let issued = Issued::new(&f);
    for number in 0..5 {
        let store = fresh(&f, &environment);
        store
            .import(issued.import(&format!("host{number}.example")))
            .unwrap();
        assert_eq!(store.kms_calls(), KmsCalls { made: 1, saved: 0 });
    }
    let [bucket] = &buckets(&*f.storage)[..] else {
        panic!("one bucket key")
    };
    let header = record(&f, bucket).header;
    assert_eq!((header.version, header.reserved), (5, 5));
}

#[test]
fn a_process_reserves_ever_more_and_never_too_many() {
    let f = Fixture::with_bucket_keys();
    let sealer = f.store.sealer();
    let issue = || sealer.buckets.issue(&sealer.wrapping).unwrap().0;
    let first = issue();
    for _ in 1..10_000 {
        assert_eq!(issue(), first);
    }
    let header = record(&f, &first.file()).header;
    assert!((10_000..20_000).contains(&header.reserved), "{header:?}");
    assert!(header.version < 20, "{header:?}");
    for _ in 10_000..MOST_ENTRIES {
        assert_eq!(issue(), first);
    }
    assert_eq!(record(&f, &first.file()).header.reserved, MOST_ENTRIES);
    assert_ne!(issue(), first);
    assert_eq!(buckets(&*f.storage).len(), 2);
    assert_eq!(
        f.store.kms_calls(),
        KmsCalls {
            made: 2,
            saved: u64::from(MOST_ENTRIES) - 1
        }
    );
}

#[test]
fn two_writers_of_one_bucket_key_do_not_overwrite_each_other() {
    let (_, environment) = TestClock::environment();
    let f = Fixture::with_bucket_keys_on(Arc::new(MemoryStorage::new()), environment.clone());
    let issued = Issued::new(&f);
    let stores = [fresh(&f, &environment), fresh(&f, &environment)];
    for number in 0..20 {
        let import = issued.import(&format!("host{number}.example"));
        stores[number % 2].import(import).unwrap();
    }
    let mut reserved = 0;
    for file in buckets(&*f.storage) {
        reserved += record(&f, &file).header.reserved;
    }
    assert!(reserved >= 20);
    assert!(broken(&f.store).is_empty());
}

#[test]
fn both_sources_of_keys_stay_readable() {
    let f = Fixture::with_bucket_keys();
    let without = wrapping_store(f.storage.clone(), f.kms.clone(), STORE, "local");
    f.import("a.example", KeyType::EcdsaP256, 30);
    let wrapped = without
        .import(import("b.example", f.ca.issue(&["b.example"]).unwrap()))
        .unwrap();
    assert_eq!(wrapped.entry.bucket_key, None);
    for store in [&*f.store, &without] {
        assert!(broken(store).is_empty());
        assert!(store.open_file("a.example.e").unwrap().is_some());
        assert!(store.open_file("b.example.e").unwrap().is_some());
        assert_eq!(store.verify(&|_, _| {}).unwrap().good.len(), 2);
    }
    let (_, csr) = f.store.create_csr(csr_for("c.example")).unwrap();
    assert!(!csr.is_empty());
    assert_eq!(f.store.verify(&|_, _| {}).unwrap().good.len(), 3);
}

fn csr_for(name: &str) -> crate::store::CsrRequest {
    crate::store::CsrRequest {
        name: name.to_owned(),
        names: vec![name.to_owned()],
        key_type: KeyType::EcdsaP256,
        exportable: false,
    }
}

/// The promise: ten thousand certificates of sixty days open with at most a hundred calls.
#[test]
fn ten_thousand_certificates_of_sixty_days_open_with_few_calls() {
    let (clock, environment) = TestClock::environment();
    let f = Fixture::with_bucket_keys_on(Arc::new(MemoryStorage::new()), environment.clone());
    let issued = Issued::new(&f);
    for number in 0..10_000 {
        f.store
            .import(issued.import(&format!("host{number}.example")))
            .unwrap();
        clock.go_on(60 * DAY / 10_000);
    }
    let sealed = f.store.kms_calls();
    assert!(
        sealed.made <= 100 && sealed.made + sealed.saved == 10_000,
        "{sealed:?}"
    );
    let store = fresh(&f, &environment);
    let (table, broken) = store.open_all(&|_, _| {}).unwrap();
    assert_eq!((table.iter().count(), broken.len()), (10_000, 0));
    let opened = store.kms_calls();
    assert!(
        opened.made <= 100 && opened.made + opened.saved == 10_000,
        "{opened:?}"
    );
    println!("sealed: {sealed:?}, opened: {opened:?}");
}

#[test]
fn a_bucket_key_is_unwrapped_once_and_held_for_a_while() {
    let (clock, environment) = TestClock::environment();
    let f = Fixture::with_bucket_keys_on(Arc::new(MemoryStorage::new()), environment.clone());
    let issued = Issued::new(&f);
    for number in 0..64 {
        f.store
            .import(issued.import(&format!("host{number}.example")))
            .unwrap();
    }
    let store = fresh(&f, &environment);
    for _ in 0..3 {
        assert!(broken(&store).is_empty());
    }
    assert_eq!(store.kms_calls().made, 1);
    assert_eq!(keys_of(&store).held(), 1);
    clock.go_on(HOLD);
    store.end_bucket_keys();
    assert_eq!(keys_of(&store).held(), 0);
    assert!(store.open_file("host1.example.e").unwrap().is_some());
    assert_eq!(store.kms_calls().made, 2);
    // The one that is sealed under is held while it is current.
    f.store.end_bucket_keys();
    assert_eq!(keys_of(&f.store).held(), 1);
    clock.go_on(CURRENT);
    f.store.end_bucket_keys();
    assert_eq!(keys_of(&f.store).held(), 0);
    assert!(keys_of(&f.store).current.lock().is_none());
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_record_is_found_and_named() {
    let f = Fixture::with_bucket_keys();
    f.import(NAME, KeyType::EcdsaP256, 30);
    let file = bucket_of(&f, FILE).file();
    let good = f.bytes(&file);
    let named = |bytes: &[u8]| {
        f.storage.put(&file, bytes, Expected::Any).unwrap();
        // A running process that holds the key, and a start.
        let verified = f.store.verify(&|_, _| {}).unwrap();
        assert_eq!(verified.bad[0].file, file);
        let start = fresh(&f, &Environment::system());
        let refused = start.open_file(FILE).unwrap_err();
        assert!(
            matches!(&refused.reason, Error::BucketKey { file: named, .. } if *named == file),
            "{refused}"
        );
        assert!(refused.to_string().contains(&file));
    };
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        named(&changed);
    }
    for len in 0..good.len() {
        named(&good[..len]);
    }
    named(&[&good[..], b"x"].concat());
    f.storage.put(&file, &good, Expected::Any).unwrap();
    assert!(f.store.verify(&|_, _| {}).unwrap().bad.is_empty());
}

#[test]
fn every_flipped_bit_and_every_cut_of_an_entry_is_refused() {
    let f = Fixture::with_bucket_keys();
    f.import(NAME, KeyType::EcdsaP256, 30);
    let good = f.bytes(FILE);
    let refused = |bytes: &[u8]| {
        f.storage.put(FILE, bytes, Expected::Any).unwrap();
        assert_eq!(f.store.open_file(FILE).unwrap_err().file, FILE);
    };
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        refused(&changed);
    }
    for len in 0..good.len() {
        refused(&good[..len]);
    }
    f.storage.put(FILE, &good, Expected::Any).unwrap();
    assert!(f.store.open_file(FILE).unwrap().is_some());
}

#[test]
fn a_broken_record_takes_down_its_own_entries_only() {
    let (clock, environment) = TestClock::environment();
    let f = Fixture::with_bucket_keys_on(Arc::new(MemoryStorage::new()), environment.clone());
    let issued = Issued::new(&f);
    for day in 0..3 {
        for number in 0..2 {
            let name = format!("host{number}.day{day}.example");
            f.store.import(issued.import(&name)).unwrap();
        }
        clock.go_on(DAY);
    }
    let file = bucket_of(&f, "host0.day1.example.e").file();
    for damage in [None, Some(&b"damaged"[..])] {
        match damage {
            None => f.storage.delete(&file, Expected::Any).unwrap(),
            Some(bytes) => drop(f.storage.put(&file, bytes, Expected::Any).unwrap()),
        }
        let store = fresh(&f, &environment);
        let files: Vec<_> = broken(&store)
            .into_iter()
            .map(|broken| broken.file)
            .collect();
        assert_eq!(files, ["host0.day1.example.e", "host1.day1.example.e"]);
        let unknown = store.show("host0.day1.example").unwrap();
        assert_eq!(unknown[0].as_ref().unwrap().kms_key, None);
        // And an import repairs its entry.
        store.import(issued.import("new.example")).unwrap();
    }
    f.store.import(issued.import("host0.day1.example")).unwrap();
    assert_eq!(broken(&fresh(&f, &environment)).len(), 1);
}

#[test]
fn a_broken_current_record_is_replaced_by_another() {
    let f = Fixture::with_bucket_keys();
    f.import(NAME, KeyType::EcdsaP256, 30);
    let first = bucket_of(&f, FILE);
    let mut bytes = f.bytes(&first.file());
    *bytes.last_mut().unwrap() ^= 1;
    f.storage.put(&first.file(), &bytes, Expected::Any).unwrap();
    let store = fresh(&f, &Environment::system());
    let issued = Issued::new(&f);
    store.import(issued.import(NAME)).unwrap();
    assert_ne!(bucket_of(&f, FILE), first);
    assert!(broken(&store).is_empty());
}

#[test]
fn records_of_two_stores_do_not_mix() {
    let here = Fixture::with_bucket_keys();
    here.import(NAME, KeyType::EcdsaP256, 30);
    let file = bucket_of(&here, FILE).file();
    let good = here.bytes(&file);
    // Of another store under the same KMS, of another region, and of another KMS altogether.
    let key = || KeyRef::Alias(kms::Kms::CERTSTORE_ALIAS.to_owned());
    let other = |kms: Arc<kms::Kms>, id: uuid::Uuid, region: &str| {
        let storage = Arc::new(MemoryStorage::new());
        let environment = Environment::system();
        let store = SealedStore::new(storage.clone(), kms, key(), id, region.into(), environment);
        store
            .import(import(NAME, here.ca.issue(&[NAME]).unwrap()))
            .unwrap();
        let bucket = buckets(&*storage).remove(0);
        storage.get(&bucket).unwrap().unwrap().bytes
    };
    let foreign = [
        other(here.kms.clone(), uuid::Uuid::nil(), "local"),
        other(here.kms.clone(), STORE, "other"),
        other(Arc::new(new_kms()), STORE, "local"),
    ];
    let reason = |bytes: &[u8]| {
        here.storage.put(&file, bytes, Expected::Any).unwrap();
        let refused = fresh(&here, &Environment::system())
            .open_file(FILE)
            .unwrap_err();
        match refused.reason {
            Error::BucketKey { reason, .. } => *reason,
            other => panic!("{other}"),
        }
    };
    for bytes in &foreign {
        // Under its own name, under the name that is looked for, and with that id written into it.
        assert!(matches!(reason(bytes), Error::Renamed(_)));
        let mut renamed = bytes.clone();
        let id_at = 8 + 2 + 16 + 1 + usize::from(bytes[26]);
        renamed[id_at..id_at + 16].copy_from_slice(&good[8 + 2 + 16 + 1 + 5..][..16]);
        assert!(matches!(
            reason(&renamed),
            Error::ForeignStore { .. } | Error::ForeignRegion { .. } | Error::ForeignKms(_)
        ));
    }
    // The wrapped key of one in the record of another, in the same store.
    let elsewhere = Arc::new(MemoryStorage::new());
    let store = derived_store(elsewhere.clone(), here.kms.clone(), Environment::system());
    store
        .import(import(NAME, here.ca.issue(&[NAME]).unwrap()))
        .unwrap();
    let second = elsewhere
        .get(&buckets(&*elsewhere)[0])
        .unwrap()
        .unwrap()
        .bytes;
    let wrapped_at = good.len() - 2 - record_wrapped_len(&good);
    let mixed = [&good[..wrapped_at], &second[wrapped_at..]].concat();
    assert!(matches!(reason(&mixed), Error::Tampered));
    here.storage.put(&file, &good, Expected::Any).unwrap();
    assert!(broken(&fresh(&here, &Environment::system())).is_empty());
}

fn record_wrapped_len(bytes: &[u8]) -> usize {
    // The header with a region of five bytes, nonce and tag; then the length.
    let at = 8 + 2 + 16 + 1 + 5 + 16 + 8 + 8 + 4 + 12 + 16;
    usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))
}

#[test]
fn a_record_under_another_kms_key_is_refused() {
    let f = Fixture::with_bucket_keys();
    f.import(NAME, KeyType::EcdsaP256, 30);
    let new = NewKey {
        alias: Some("alias/other".to_owned()),
        ..NewKey::default()
    };
    f.kms.create_key(&Caller::Internal, new).unwrap();
    let key = "alias/other".parse().unwrap();
    let (storage, environment) = (f.storage.clone(), Environment::system());
    let other = SealedStore::new(
        storage,
        f.kms.clone(),
        key,
        STORE,
        "local".into(),
        environment,
    );
    let refused = other.open_file(FILE).unwrap_err().reason;
    assert!(
        matches!(&refused, Error::BucketKey { reason, .. } if matches!(**reason, Error::ForeignKey { .. })),
        "{refused}"
    );
    // Nor is it sealed under: the new key gets a bucket key of its own.
    other
        .import(import("b.example", f.ca.issue(&["b.example"]).unwrap()))
        .unwrap();
    assert_eq!(buckets(&*f.storage).len(), 2);
}

#[test]
fn no_command_deletes_a_record() {
    let f = Fixture::with_bucket_keys();
    f.import(NAME, KeyType::EcdsaP256, 30);
    let file = bucket_of(&f, FILE).file();
    assert!(matches!(
        f.store.delete(&file, None),
        Err(Error::NoEntry(_) | Error::InvalidName { .. })
    ));
    let id = file.trim_end_matches(".bucket");
    assert!(matches!(f.store.delete(id, None), Err(Error::NoEntry(_))));
    f.store.delete(NAME, None).unwrap();
    assert_eq!(f.storage.list().unwrap(), [file]);
}

#[test]
fn rotation_changes_nothing_for_bucket_keys() {
    let f = Fixture::with_bucket_keys();
    f.import("a.example", KeyType::EcdsaP256, 30);
    // Managed keys are rotated by the service alone; a customer key by its owner.
    let new = NewKey {
        alias: Some("alias/own".to_owned()),
        ..NewKey::default()
    };
    f.kms.create_key(&Caller::Internal, new).unwrap();
    let key: KeyRef = "alias/own".parse().unwrap();
    let storage = Arc::new(MemoryStorage::new());
    let environment = Environment::system();
    let store = SealedStore::new(
        storage.clone(),
        f.kms.clone(),
        key.clone(),
        STORE,
        "local".into(),
        environment,
    );
    store
        .import(import("a.example", f.ca.issue(&["a.example"]).unwrap()))
        .unwrap();
    f.kms.rotate_key(&Caller::Internal, &key).unwrap();
    store
        .import(import("b.example", f.ca.issue(&["b.example"]).unwrap()))
        .unwrap();
    assert_eq!(buckets(&*storage).len(), 1);
    assert!(broken(&store).is_empty());
}

// === Crashes ===

/// Three imports, a day, and two more.
fn script(
    f: &Fixture,
    clock: &TestClock,
    issued: &Issued,
) -> Result<Vec<&'static str>, Vec<&'static str>> {
    let mut done = Vec::new();
    for name in [
        "a.example",
        "b.example",
        "c.example",
        "d.example",
        "e.example",
    ] {
        if name == "d.example" {
            clock.go_on(DAY);
        }
        if f.store.import(issued.import(name)).is_err() {
            return Err(done);
        }
        done.push(name);
    }
    Ok(done)
}

#[test]
fn a_power_failure_at_any_call_loses_no_acknowledged_entry() {
    let mounted = |files: &LossyFiles| Arc::new(FileStorage::on(files.clone(), "/"));
    let run = |fault: Option<u64>| {
        let (clock, environment) = TestClock::environment();
        let files = LossyFiles::new();
        if let Some(call) = fault {
            files.lose_power_at(call);
        }
        let f = Fixture::with_bucket_keys_on(mounted(&files), environment.clone());
        let issued = Issued::new(&f);
        let done = script(&f, &clock, &issued);
        (files, f, issued, environment, done)
    };
    let (files, .., done) = run(None);
    assert_eq!(done.unwrap().len(), 5);
    let calls = files.calls();
    assert!(calls > 30, "{calls}");
    for call in 0..calls {
        let (files, f, issued, environment, done) = run(Some(call));
        let done = done.unwrap_err();
        for seed in 0..8 {
            let storage = mounted(&files.after_power_loss(seed));
            let store = derived_store(storage.clone(), f.kms.clone(), environment.clone());
            let (table, broken) = store.open_all(&|_, _| {}).unwrap();
            assert!(broken.is_empty(), "call {call}, seed {seed}: {broken:?}");
            for name in &done {
                assert_eq!(
                    table.entry(name).len(),
                    1,
                    "call {call}, seed {seed}: {name}"
                );
            }
            store.import(issued.import("next.example")).unwrap();
            let again = derived_store(storage, f.kms.clone(), environment.clone());
            assert!(again.open_file("next.example.e").unwrap().is_some());
            assert!(again.verify(&|_, _| {}).unwrap().bad.is_empty());
        }
    }
}

// === The known answer ===

/// A bucket key and an entry under it as they were first written: they must open for ever.
#[test]
fn version_1_stays_readable() {
    let kms = opened_kms(records(include_str!("../../vectors/bucket-1.kms")));
    let storage = records(include_str!("../../vectors/bucket-1.txt"));
    let store = derived_store(storage, Arc::new(kms), Environment::system());
    let served = store.open_file(FILE).unwrap().unwrap();
    assert_eq!((served.key_type, served.version), (KeyType::EcdsaP256, 1));
    assert!(store.verify(&|_, _| {}).unwrap().bad.is_empty());
}
