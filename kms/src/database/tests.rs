use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::storage::MemoryStorage;
use crate::test_util::{identity, repeatable, root_key};

const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

/// A database of one key, rotated once, and one alias; the same at every call.
fn written(environment: &Environment) -> Arc<MemoryStorage> {
    let storage = Arc::new(MemoryStorage::new());
    let database =
        Database::create(storage.clone(), &root_key(1), &identity(), environment).unwrap();
    let now = environment.clock.now();
    let key = StoredKey {
        id: ID.parse().unwrap(),
        tier: KeyTier::Customer,
        created: now,
        description: "für den Laden".to_owned(),
        ring: KeyRing::generate(environment, now).rotated(environment, now),
    };
    let alias = StoredAlias {
        alias: "alias/team/shop".to_owned(),
        created: now,
        key: key.id,
    };
    database.put_key(&key, environment).unwrap();
    database.put_alias(&alias, environment).unwrap();
    storage
}

fn open(storage: &Arc<MemoryStorage>) -> Result<Database, Error> {
    Database::open(storage.clone(), &root_key(1), &identity())
}

fn records(storage: &MemoryStorage) -> BTreeMap<String, Vec<u8>> {
    let names = storage.list().unwrap().into_iter();
    names
        .map(|name| {
            let record = storage.get(&name).unwrap().expect("it was listed");
            (name, record.bytes)
        })
        .collect()
}

fn put(storage: &MemoryStorage, name: &str, bytes: &[u8]) {
    storage.put(name, bytes, Expected::Any).unwrap();
}

/// The records that are refused: the header alone, or those that a load names.
fn refused(storage: &Arc<MemoryStorage>) -> Vec<String> {
    match open(storage) {
        Ok(database) => {
            let damaged = database.load().unwrap().damaged.into_iter();
            damaged.map(|damaged| damaged.record).collect()
        }
        Err(Error::DamagedRecord { record, .. }) => vec![record],
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_was_written_is_read() {
    let contents = open(&written(&repeatable())).unwrap().load().unwrap();
    assert_eq!(contents.damaged, []);
    let [key] = &contents.keys[..] else {
        panic!("one key")
    };
    assert_eq!(
        (key.id.to_string().as_str(), key.tier),
        (ID, KeyTier::Customer)
    );
    assert_eq!(key.created, repeatable().clock.now());
    assert_eq!(key.description, "für den Laden");
    assert_eq!(key.ring.iter().len(), 2);
    let [alias] = &contents.aliases[..] else {
        panic!("one alias")
    };
    assert_eq!(
        (alias.alias.as_str(), alias.key),
        ("alias/team/shop", key.id)
    );
}

/// The records of a database of version 1 as they were first written, under a root key of 32 bytes 01:
/// they must open for ever, and to the same backing keys.
#[test]
fn version_1_stays_readable() {
    let vector = include_str!("../../vectors/database-1.txt");
    let now: String = records(&written(&repeatable()))
        .iter()
        .map(|(name, bytes)| format!("{name} {}\n", hex(bytes)))
        .collect();
    assert_eq!(now, vector);
    let contents = open(&written(&repeatable())).unwrap().load().unwrap();
    let ring = &contents.keys[0].ring;
    let material: String = ring
        .iter()
        .map(|key| hex(key.key.expose()) + "\n")
        .collect();
    assert_eq!(material, include_str!("../../vectors/database-1-keys.txt"));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_changed_byte_and_every_cut_is_refused_by_name() {
    for (name, bytes) in records(&written(&repeatable())) {
        let storage = written(&repeatable());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            put(&storage, &name, &changed);
            assert_eq!(refused(&storage), [&*name], "byte {at}");
            put(&storage, &name, &bytes[..at]);
            assert_eq!(refused(&storage), [&*name], "cut at {at}");
        }
        put(&storage, &name, &[&bytes[..], b"x"].concat());
        assert_eq!(refused(&storage), [&*name]);
    }
}

#[test]
fn a_moved_record_is_refused_by_name() {
    let storage = written(&repeatable());
    let names: Vec<_> = records(&storage).into_keys().collect();
    let other_key = format!("key-{}", ID.replace('1', "2"));
    let elsewhere = ["@other", &other_key, "notes.txt", "@a@b", "key-1"];
    for (from, bytes) in records(&storage) {
        for to in names.iter().map(String::as_str).chain(elsewhere) {
            if from != to {
                let storage = written(&repeatable());
                put(&storage, to, &bytes);
                assert_eq!(refused(&storage), [to], "from {from}");
            }
        }
    }
}

#[test]
fn records_of_two_databases_do_not_mix() {
    let storage = written(&repeatable());
    let other = records(&written(&Environment::system()));
    for name in [format!("key-{ID}"), "@team+shop".to_owned()] {
        put(&storage, &name, &other[&name]);
    }
    assert_eq!(refused(&storage).len(), 2);
    // With the other's header it is the other's database, and all that is left of this one is foreign.
    let storage = written(&repeatable());
    put(&storage, HEADER, &other[HEADER]);
    assert_eq!(refused(&storage).len(), 2);
}

#[test]
fn another_identity_or_root_key_opens_nothing() {
    let storage = written(&repeatable());
    let elsewhere = Identity::new("000000000000", "elsewhere").unwrap();
    let opened = Database::open(storage.clone(), &root_key(1), &elsewhere).map(drop);
    assert!(matches!(opened, Err(Error::DamagedRecord { record, .. }) if record == HEADER));
    let opened = Database::open(storage, &root_key(2), &identity()).map(drop);
    let Err(Error::WrongRootKey {
        found, expected, ..
    }) = opened
    else {
        panic!("another root key is not this one");
    };
    assert_eq!(found, root_key(2).fingerprint().to_string());
    assert_eq!(expected, root_key(1).fingerprint().to_string());
}

#[test]
fn a_missing_header_is_named_and_an_existing_one_not_overwritten() {
    let storage = Arc::new(MemoryStorage::new());
    assert_eq!(refused(&storage), [HEADER]);
    let storage = written(&repeatable());
    let before = records(&storage);
    let again = Database::create(storage.clone(), &root_key(1), &identity(), &repeatable());
    assert!(matches!(again.map(drop), Err(Error::Conflict(_))));
    assert_eq!(records(&storage), before);
}

#[test]
fn aliases_and_record_names_go_one_to_one() {
    for alias in ["alias/shop", "alias/sealgate/certstore", "alias/a//b_-"] {
        let record = alias_record(alias);
        assert!(!record.contains('/'));
        assert_eq!(alias_of(&record).unwrap(), alias);
    }
    let longest = format!("alias/{}", "x".repeat(250));
    assert!(alias_record(&longest).len() <= 255);
    for record in ["@", "@a b", "shop", "@a/b"] {
        assert_eq!(alias_of(record), None, "{record}");
    }
}

#[test]
fn times_out_of_range_are_refused_or_cut() {
    let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(in_milliseconds(early), SystemTime::UNIX_EPOCH);
    let exact = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_999_999);
    let expected = SystemTime::UNIX_EPOCH + Duration::from_millis(1);
    assert_eq!(in_milliseconds(exact), expected);
}

fn sealer() -> Sealer {
    Sealer::new(&root_key(1), [3; ID_LEN], &identity())
}

proptest! {
    #[test]
    fn arbitrary_records_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (sealer, id) = (sealer(), ID.parse().unwrap());
        prop_assert!(sealer.open_header(&bytes).is_err());
        prop_assert!(sealer.open_key(id, &bytes).is_err());
        prop_assert!(sealer.open_alias("alias/a".to_owned(), &bytes).is_err());
    }

    /// The parsers behind the seal, which only a faulty writer could feed.
    #[test]
    fn arbitrary_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (sealer, id) = (sealer(), ID.parse().unwrap());
        let seal = |kind, name: &str| {
            sealer.seal(kind, name, &repeatable(), |out, _| out.extend_from_slice(&body))
        };
        let _ = sealer.open_header(&seal(Kind::Database, HEADER));
        let _ = sealer.open_key(id, &seal(Kind::Key, &key_record(id))).map(drop);
        let alias = sealer.open_alias("alias/a".to_owned(), &seal(Kind::Alias, "@a"));
        prop_assert_eq!(alias.is_ok(), body.len() == 24);
    }
}
