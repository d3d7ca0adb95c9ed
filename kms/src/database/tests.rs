use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::codec::LATER;
use super::seal::Kind;
use super::*;
use crate::grant::{GrantConstraints, NewGrant};
use crate::key::{
    BackingKeyKind, KeyOrigin, KeyState, KeyTier, MultiRegion, MultiRegionKind, RotationSchedule,
    Tags,
};
use crate::key_ring::{BackingKey, KeyRing};
use crate::material::Material;
use crate::policy::Action;
use crate::secret::SecretBytes;
use crate::spec::{KeySpec, KeyUsage};
use crate::storage::MemoryStorage;
use crate::test_util::{identity, repeatable, root_key};

const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const OTHER_ID: &str = "mrk-1234abcd12ab84cd96ef1234567890ab";

const POLICY: &str =
    r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#;
const OWN_POLICY: &str = r#"{"Statement":{"Effect":"Deny","Action":"kms:*","Resource":"*"}}"#;

/// A database of one key with a policy, rotated once, one alias, one grant and one identity; the
/// same at every call.
pub(super) fn written(environment: &Environment) -> Arc<MemoryStorage> {
    let storage = Arc::new(MemoryStorage::new());
    let id = environment.random_bytes();
    let database = Database::create(
        storage.clone(),
        (id, &root_key(1)),
        &identity(),
        environment,
    )
    .unwrap();
    let now = environment.clock.now();
    let key = shop(environment);
    let alias = StoredAlias {
        alias: "alias/team/shop".to_owned(),
        created: now,
        updated: now + Duration::from_secs(1),
        key: key.id,
    };
    database.put_key(&key, environment).unwrap();
    database
        .put_key(&imported(environment), environment)
        .unwrap();
    database.put_alias(&alias, environment).unwrap();
    database.put_grant(&grant(now), environment).unwrap();
    database.put_identity(&alice(now), environment).unwrap();
    let access_key = access_key(now);
    database.put_access_key(&access_key, environment).unwrap();
    storage
}

/// A symmetric key, rotated on demand and by its schedule.
fn shop(environment: &Environment) -> StoredKey {
    let now = environment.clock.now();
    let (spec, usage) = (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt);
    let ring = KeyRing::generate(spec, usage, environment, now).unwrap();
    let ring = ring.rotated(environment, BackingKeyKind::OnDemand, now);
    let ring = ring
        .unwrap()
        .rotated(environment, BackingKeyKind::Automatic, now);
    StoredKey {
        id: ID.parse().unwrap(),
        tier: KeyTier::Customer,
        created: now,
        description: "für den Laden".to_owned(),
        spec,
        usage,
        origin: KeyOrigin::AwsKms,
        state: KeyState::Disabled,
        tags: [("Kostenstelle".to_owned(), "Laden 7".to_owned())].into(),
        rotation: Some(RotationSchedule::starting(now, 90)),
        multi_region: None,
        ring: ring.unwrap(),
        policy: Some(Arc::new(stored_policy(PolicyKind::Key, POLICY).unwrap())),
    }
}

/// The replica of an imported key, some of whose material is gone, and some waits.
fn imported(environment: &Environment) -> StoredKey {
    let now = environment.clock.now();
    let later = now + Duration::from_secs(3600);
    let base = shop(environment);
    let ring = base.ring.map(|key| match key.number {
        2 => key.emptied(),
        _ => key.clone(),
    });
    let material = Material::generate(base.spec, base.usage, &*environment.random);
    let ring = ring.with_pending(material.unwrap(), Some(later), now);
    StoredKey {
        id: OTHER_ID.parse().unwrap(),
        origin: KeyOrigin::External,
        state: KeyState::PendingDeletion { date: later },
        tags: Tags::new(),
        rotation: None,
        multi_region: Some(MultiRegion {
            kind: MultiRegionKind::Replica,
            primary: "elsewhere".to_owned(),
            replicas: ["local".to_owned(), "there".to_owned()].into(),
        }),
        ring: ring.unwrap(),
        policy: None,
        ..base
    }
}

fn grant(created: SystemTime) -> Grant {
    let context = [("dept".to_owned(), "HR".to_owned())].into_iter().collect();
    Grant {
        id: GrantId::from_random([7; 32]),
        key: ID.parse().unwrap(),
        created,
        issuer: Some(identity().root()),
        terms: NewGrant {
            grantee: alice(created).principal,
            retiring: None,
            operations: [Action::Decrypt, Action::DescribeKey].into(),
            constraints: GrantConstraints {
                encryption_context_equals: Some(context),
                encryption_context_subset: None,
            },
            name: Some("shop".to_owned()),
        },
    }
}

fn alice(created: SystemTime) -> StoredIdentity {
    let principal = "arn:aws:iam::000000000000:user/alice".parse().unwrap();
    let mut alice = StoredIdentity::new(principal, created).unwrap();
    alice.uids = [1000, 1001].into();
    alice.with_policy("mine", OWN_POLICY).unwrap()
}

fn access_key(created: SystemTime) -> StoredAccessKey {
    StoredAccessKey {
        id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
        user: alice(created).principal,
        created,
        active: false,
        last_used: Some(created + Duration::from_secs(5)),
        secret: Arc::new(SecretBytes::copy_from(&[b'x'; 40]).unwrap()),
    }
}

fn open(storage: &Arc<MemoryStorage>) -> Result<Database, Error> {
    Database::open(storage.clone(), &root_key(1), &identity())
}

pub(super) fn records(storage: &MemoryStorage) -> BTreeMap<String, Vec<u8>> {
    let names = storage.list().unwrap().into_iter();
    names
        .map(|name| {
            let record = storage.get(&name).unwrap().expect("it was listed");
            (name, record.bytes)
        })
        .collect()
}

pub(super) fn put(storage: &MemoryStorage, name: &str, bytes: &[u8]) {
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
    let [key, other] = &contents.keys[..] else {
        panic!("two keys")
    };
    assert_eq!(facts(key), facts(&shop(&repeatable())));
    assert_eq!(facts(other), facts(&imported(&repeatable())));
    assert_eq!(other.id.to_string(), OTHER_ID);
    let there = |key: &BackingKey| (key.material.is_some(), key.expires.is_some());
    let ring: Vec<_> = other.ring.iter().map(there).collect();
    assert_eq!(ring, [(true, false), (false, false), (true, false)]);
    assert_eq!(other.ring.pending().map(there), Some((true, true)));
    let kinds: Vec<_> = key.ring.iter().map(|key| key.kind).collect();
    let [first, second, third] = kinds[..] else {
        panic!("three backing keys")
    };
    assert_eq!(first, BackingKeyKind::Initial);
    assert_eq!(
        (second, third),
        (BackingKeyKind::OnDemand, BackingKeyKind::Automatic)
    );
    assert_eq!(
        (key.id.to_string().as_str(), key.tier),
        (ID, KeyTier::Customer)
    );
    assert_eq!(key.created, repeatable().clock.now());
    assert_eq!(key.description, "für den Laden");
    let [alias] = &contents.aliases[..] else {
        panic!("one alias")
    };
    assert_eq!(
        (alias.alias.as_str(), alias.key),
        ("alias/team/shop", key.id)
    );
    assert_eq!(alias.updated, alias.created + Duration::from_secs(1));
    let policy = key.policy.as_deref().map(PolicyDocument::text);
    assert_eq!(policy, Some(POLICY));
    assert_eq!(contents.grants, [grant(key.created)]);
    assert_eq!(contents.identities, [alice(key.created)]);
    let [found] = &contents.access_keys[..] else {
        panic!("one access key")
    };
    assert_eq!(found.metadata(), access_key(key.created).metadata());
    assert_eq!(found.secret.expose(), [b'x'; 40]);
}

type Facts = (
    (KeySpec, KeyUsage, KeyOrigin, KeyState),
    Tags,
    Option<RotationSchedule>,
    Option<MultiRegion>,
);

/// What version 3 knows beyond the versions before.
fn facts(key: &StoredKey) -> Facts {
    let kind = (key.spec, key.usage, key.origin, key.state);
    let multi_region = key.multi_region.clone();
    (kind, key.tags.clone(), key.rotation, multi_region)
}

/// Each kind of material comes back as it went, and as nothing else.
#[test]
fn material_of_every_spec_comes_back() {
    let (environment, storage) = (Environment::system(), Arc::new(MemoryStorage::new()));
    let root = ([7; 16], &root_key(1));
    let database = Database::create(storage, root, &identity(), &environment);
    let database = database.unwrap();
    let mut written = Vec::new();
    for &spec in KeySpec::ALL.iter().filter(|spec| !spec.is_rsa()) {
        for &usage in spec.usages() {
            let ring = KeyRing::generate(spec, usage, &environment, SystemTime::UNIX_EPOCH);
            let id = KeyId::from_random(environment.random_bytes());
            let base = shop(&environment);
            let key = StoredKey {
                id,
                spec,
                usage,
                ring: ring.unwrap(),
                ..base
            };
            database.put_key(&key, &environment).unwrap();
            written.push(key);
        }
    }
    let read = database.load().unwrap();
    assert_eq!((read.keys.len(), read.damaged.len()), (written.len(), 0));
    for key in read.keys {
        let before = written.iter().find(|before| before.id == key.id).unwrap();
        assert_eq!((key.spec, key.usage), (before.spec, before.usage));
        let id = key.ring.material().unwrap().id().unwrap();
        assert_eq!(id, before.ring.primary().unwrap().material_id);
    }
}

#[test]
fn what_was_deleted_is_gone() {
    let storage = written(&repeatable());
    let database = open(&storage).unwrap();
    let contents = database.load().unwrap();
    let (grant, identity) = (&contents.grants[0], &contents.identities[0]);
    database.delete_grant(grant.key, &grant.id).unwrap();
    database.delete_identity(&identity.principal).unwrap();
    database.delete_alias(&contents.aliases[0].alias).unwrap();
    let access_key = &contents.access_keys[0];
    database.delete_access_key(&access_key.id).unwrap();
    for key in &contents.keys {
        database.delete_key(key.id).unwrap();
    }
    let contents = database.load().unwrap();
    assert_eq!((contents.grants.len(), contents.identities.len()), (0, 0));
    assert_eq!((contents.aliases.len(), contents.keys.len()), (0, 0));
    assert_eq!(contents.access_keys.len(), 0);
    assert_eq!(storage.list().unwrap(), [HEADER]);
    assert_eq!(contents.damaged, []);
}

/// The records of a database of version 1 as they were first written, under a root key of 32 bytes 01:
/// they must open for ever, and to the same backing keys.
#[test]
fn version_1_stays_readable() {
    let contents = stored(include_str!("../../vectors/database-1.txt"));
    let alias = &contents.aliases[0];
    assert_eq!(alias.updated, alias.created);
    let key = &contents.keys[0];
    assert_eq!(
        (key.spec, key.state),
        (KeySpec::SymmetricDefault, KeyState::Enabled)
    );
    assert!(key.rotation.is_none() && key.tags.is_empty());
    assert!(key.policy.is_none(), "it has the default policy");
    assert_eq!(
        material(key),
        include_str!("../../vectors/database-1-keys.txt")
    );
}

/// The same of version 2, in which keys have policies.
#[test]
fn version_2_stays_readable() {
    let contents = stored(include_str!("../../vectors/database-2.txt"));
    let key = &contents.keys[0];
    let policy = key.policy.as_deref().map(PolicyDocument::text);
    assert_eq!(policy, Some(POLICY));
    let kinds: Vec<_> = key.ring.iter().map(|key| key.kind).collect();
    assert_eq!(kinds, [BackingKeyKind::Initial, BackingKeyKind::OnDemand]);
    assert_eq!(
        material(key),
        include_str!("../../vectors/database-1-keys.txt")
    );
}

/// The same of version 3, in which keys are of any kind and in any state.
#[test]
fn version_3_stays_readable() {
    let now: String = records(&written(&repeatable()))
        .iter()
        .map(|(name, bytes)| format!("{name} {}\n", hex(bytes)))
        .collect();
    let before = include_str!("../../vectors/database-3.txt");
    assert_eq!(now, before);
    let contents = stored(before);
    assert_eq!(contents.keys.len(), 2);
    assert_eq!(facts(&contents.keys[0]), facts(&shop(&repeatable())));
}

/// What a database of these records holds.
fn stored(records: &str) -> Contents {
    let storage = Arc::new(MemoryStorage::new());
    for line in records.lines() {
        let (name, digits) = line.split_once(' ').unwrap();
        put(&storage, name, &unhex(digits));
    }
    let contents = open(&storage).unwrap().load().unwrap();
    assert_eq!(contents.damaged, []);
    contents
}

#[test]
fn a_later_version_is_refused_by_name() {
    for (name, bytes) in records(&written(&repeatable())) {
        let storage = written(&repeatable());
        put(&storage, &name, &[&bytes[..4], &[4], &bytes[5..]].concat());
        let why = match open(&storage) {
            Ok(database) => database.load().unwrap().damaged[0].why,
            Err(Error::DamagedRecord { why, .. }) => why,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(why, LATER, "{name}");
    }
}

fn material(key: &StoredKey) -> String {
    let keys = key.ring.iter();
    keys.map(|key| {
        let material = key.material.as_deref().unwrap();
        hex(material.symmetric().unwrap().expose()) + "\n"
    })
    .collect()
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
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
    let other_grant = grant_record(ID.parse().unwrap(), &GrantId::from_random([8; 32]));
    let elsewhere = [
        "@other",
        &other_key,
        "notes.txt",
        "@a@b",
        "key-1",
        &other_grant,
        "grant-1",
        "identity-1",
    ];
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
    let names: Vec<_> = other.keys().filter(|name| *name != HEADER).collect();
    for name in &names {
        put(&storage, name, &other[*name]);
    }
    assert_eq!(refused(&storage).len(), names.len());
    // With the other's header it is the other's database, and all that is left of this one is foreign.
    let storage = written(&repeatable());
    put(&storage, HEADER, &other[HEADER]);
    assert_eq!(refused(&storage).len(), names.len());
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
    let again = Database::create(
        storage.clone(),
        ([0; 16], &root_key(1)),
        &identity(),
        &repeatable(),
    );
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
    Sealer::new(&root_key(1), [3; 16], &identity())
}

proptest! {
    #[test]
    fn arbitrary_records_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (sealer, id) = (sealer(), ID.parse().unwrap());
        prop_assert!(sealer.open_header(&bytes).is_err());
        prop_assert!(sealer.open_key(id, &bytes).is_err());
        prop_assert!(sealer.open_alias("alias/a".to_owned(), &bytes).is_err());
        prop_assert!(sealer.open_grant(id, GrantId::from_random([7; 32]), &bytes).is_err());
        prop_assert!(sealer.open_identity("identity-1", &bytes).is_err());
        let id = "AKIAIOSFODNN7EXAMPLE".parse().unwrap();
        prop_assert!(sealer.open_access_key(id, &bytes).is_err());
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
        let grant = GrantId::from_random([7; 32]);
        let record = seal(Kind::Grant, &grant_record(id, &grant));
        let _ = sealer.open_grant(id, grant, &record);
        let _ = sealer.open_identity("identity-1", &seal(Kind::Identity, "identity-1"));
        let id: AccessKeyId = "AKIAIOSFODNN7EXAMPLE".parse().unwrap();
        let record = seal(Kind::AccessKey, &access_key_record(&id));
        let _ = sealer.open_access_key(id, &record);
        let alias = sealer.open_alias("alias/a".to_owned(), &seal(Kind::Alias, "@a"));
        prop_assert_eq!(alias.is_ok(), body.len() == 32);
    }
}
