use std::path::Path;
use std::thread;

use super::*;
use crate::context::EncryptionContext;
use crate::data_key::WrappedKey;
use crate::database::key_record;
use crate::key::KeyMetadata;
use crate::message;
use crate::storage::lossy::LossyFiles;
use crate::storage::{Expected, FileStorage, MemoryStorage};
use crate::test_util::{identity, root_key};

const INSIDE: Caller = Caller::Internal;

fn outside() -> Caller {
    Caller::local(identity().root(), 1000)
}

fn kms_on(storage: Arc<dyn Storage>) -> Kms {
    Kms::create(storage, &root_key(1), identity(), Environment::system()).unwrap()
}

fn reopened(storage: Arc<dyn Storage>) -> Kms {
    Kms::open(storage, &root_key(1), identity(), Environment::system()).unwrap()
}

fn kms() -> Kms {
    kms_on(Arc::new(MemoryStorage::new()))
}

fn named(alias: &str) -> NewKey {
    NewKey {
        description: String::new(),
        alias: Some(alias.to_owned()),
        policy: None,
        ..NewKey::default()
    }
}

fn reference(text: &str) -> KeyRef {
    text.parse().unwrap()
}

fn certstore() -> KeyRef {
    reference(Kms::CERTSTORE_ALIAS)
}

fn context() -> EncryptionContext {
    EncryptionContext::new().with("purpose", "test")
}

fn reserved() -> EncryptionContext {
    EncryptionContext::new().with("sealgate:store", "1")
}

#[test]
fn a_data_key_opens_to_itself_also_after_a_restart() {
    let storage = Arc::new(MemoryStorage::new());
    let kms = kms_on(storage.clone());
    let (plain, wrapped) = kms
        .generate_data_key(&INSIDE, &certstore(), &reserved())
        .unwrap();
    for kms in [kms, reopened(storage)] {
        let opened = kms.open_data_key(&INSIDE, &wrapped, &reserved()).unwrap();
        assert_eq!(opened.key().expose(), plain.key().expose());
        assert_eq!(
            wrapped.header().unwrap().key_id,
            kms.resolve(&certstore()).unwrap()
        );
    }
}

#[test]
fn only_the_same_context_opens() {
    let kms = kms();
    let (_, wrapped) = kms
        .generate_data_key(&INSIDE, &certstore(), &context())
        .unwrap();
    let opened = kms.open_data_key(&INSIDE, &wrapped, &EncryptionContext::new());
    assert!(matches!(opened, Err(Error::InvalidCiphertext(_))));
}

#[test]
fn direct_encryption_takes_4096_bytes() {
    let kms = kms();
    kms.create_key(&outside(), named("alias/shop")).unwrap();
    let shop = reference("alias/shop");
    for len in [0, 1, 4096] {
        let plaintext = vec![7; len];
        let blob = kms
            .encrypt(&outside(), &shop, &context(), &plaintext)
            .unwrap();
        let opened = kms.decrypt(&outside(), &blob, &context()).unwrap();
        assert_eq!(*opened, plaintext);
        assert_eq!(
            opened.capacity(),
            len,
            "a larger buffer could have been moved"
        );
    }
    let refused = kms.encrypt(&INSIDE, &certstore(), &context(), &[0; 4097]);
    assert!(matches!(refused, Err(Error::PlaintextTooLong(4097))));
}

#[test]
fn what_is_no_data_key_does_not_open_as_one() {
    let kms = kms();
    let blob = kms
        .encrypt(&INSIDE, &certstore(), &context(), &[7; 31])
        .unwrap();
    let opened = kms.open_data_key(&INSIDE, &WrappedKey::from_bytes(blob), &context());
    assert!(matches!(opened, Err(Error::MalformedCiphertext)));
}

#[test]
fn every_changed_byte_of_a_message_is_refused() {
    let kms = kms();
    let blob = kms
        .encrypt(&INSIDE, &certstore(), &context(), b"secret")
        .unwrap();
    for at in 0..blob.len() {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        assert!(
            kms.decrypt(&INSIDE, &changed, &context()).is_err(),
            "byte {at}"
        );
        assert!(kms.decrypt(&INSIDE, &blob[..at], &context()).is_err());
    }
    let long = vec![1; 1 << 20];
    assert!(kms.decrypt(&INSIDE, &long, &context()).is_err());
}

#[test]
fn an_unknown_key_or_generation_is_named() {
    let (kms, other) = (kms(), kms());
    let blob = kms
        .encrypt(&INSIDE, &certstore(), &context(), b"secret")
        .unwrap();
    let opened = other.decrypt(&INSIDE, &blob, &context()).map(drop);
    assert!(matches!(opened, Err(Error::KeyNotFound(_))));
    let mut newer = blob;
    newer[20] = 2;
    let opened = kms.decrypt(&INSIDE, &newer, &context()).map(drop);
    assert!(matches!(
        opened,
        Err(Error::BackingKeyNotFound { number: 2, .. })
    ));
}

#[test]
fn outside_callers_never_use_reserved_contexts() {
    let kms = kms();
    kms.create_key(&outside(), named("alias/shop")).unwrap();
    for key in [certstore(), reference("alias/shop")] {
        reserved_contexts_are_refused(&kms, &key);
    }
}

fn reserved_contexts_are_refused(kms: &Kms, key: &KeyRef) {
    let (_, wrapped) = kms.generate_data_key(&INSIDE, key, &reserved()).unwrap();
    let shop = reference("alias/shop");
    let blob = kms.encrypt(&INSIDE, &shop, &context(), b"secret").unwrap();
    let wrapped = wrapped.as_bytes();
    let more = reserved().with("other", "1");
    let refused = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::ReservedContext(key)) if key == "sealgate:store"));
    };
    let caller = outside();
    for reserved in [reserved(), more] {
        let parsed = WrappedKey::from_bytes(wrapped.to_vec());
        refused(kms.open_data_key(&caller, &parsed, &reserved).map(drop));
        refused(kms.decrypt(&caller, wrapped, &reserved).map(drop));
        refused(kms.encrypt(&caller, key, &reserved, b"").map(drop));
        refused(kms.generate_data_key(&caller, key, &reserved).map(drop));
        let plain = context();
        let from = kms.re_encrypt(&caller, wrapped, &reserved, key, &plain);
        refused(from.map(drop));
        let to = kms.re_encrypt(&caller, &blob, &plain, key, &reserved);
        refused(to.map(drop));
    }
}

#[test]
fn re_encryption_changes_key_and_context() {
    let kms = kms();
    let shop = kms.create_key(&outside(), named("alias/shop")).unwrap();
    kms.create_key(&outside(), named("alias/old")).unwrap();
    let old = reference("alias/old");
    let blob = kms.encrypt(&INSIDE, &old, &context(), b"secret").unwrap();
    let moved = context().with("moved", "yes");
    let again = kms
        .re_encrypt(&outside(), &blob, &context(), &KeyRef::Id(shop.id), &moved)
        .unwrap();
    assert_eq!(message::header(&again).unwrap().key_id, shop.id);
    assert_eq!(*kms.decrypt(&INSIDE, &again, &moved).unwrap(), b"secret");
}

#[test]
fn a_key_answers_to_its_four_names_also_after_a_restart() {
    let storage = Arc::new(MemoryStorage::new());
    let kms = kms_on(storage.clone());
    let key = kms.create_key(&outside(), named("alias/shop")).unwrap();
    assert_eq!(key.aliases, ["alias/shop"]);
    for kms in [kms, reopened(storage)] {
        let id = key.id.to_string();
        let alias_arn = "arn:aws:kms:local:000000000000:alias/shop";
        for name in [&id, &key.arn, "alias/shop", alias_arn] {
            assert_eq!(kms.resolve(&reference(name)).unwrap(), key.id);
        }
        let foreign = key.arn.replace("local", "elsewhere");
        let unknown = kms.resolve(&reference(&foreign));
        assert!(matches!(unknown, Err(Error::KeyNotFound(name)) if name == foreign));
        let described = kms
            .describe_key(&outside(), &reference("alias/shop"))
            .unwrap();
        assert_eq!(described.created, key.created);
        // In any order: both are of the same millisecond.
        let listed = kms.list_keys(&outside()).unwrap();
        assert_eq!(listed.len(), 2);
        let mine = |listed: &&KeyMetadata| listed.id == key.id;
        let listed = listed.iter().find(mine).unwrap();
        assert_eq!(
            (listed.tier, &listed.aliases),
            (KeyTier::Customer, &key.aliases)
        );
    }
}

#[test]
fn an_alias_is_given_once_and_not_of_the_products_own() {
    let kms = kms();
    let key = kms.create_key(&outside(), named("alias/shop")).unwrap();
    let again = kms.create_key(&outside(), named("alias/shop"));
    assert!(matches!(again, Err(Error::AliasExists { key: k, .. }) if k == key.id));
    let reserved = kms.create_key(&outside(), named("alias/sealgate/mine"));
    assert!(matches!(reserved, Err(Error::ReservedAlias(_))));
    let invalid = kms.create_key(&outside(), named("shop"));
    assert!(matches!(invalid, Err(Error::InvalidAlias(_))));
    let long = NewKey {
        description: "x".repeat(8193),
        ..NewKey::default()
    };
    let long = kms.create_key(&outside(), long);
    assert!(matches!(long, Err(Error::DescriptionTooLong(8193))));
    assert_eq!(
        kms.list_keys(&INSIDE).unwrap().len(),
        2,
        "nothing half done is left"
    );
}

#[test]
fn after_rotation_the_new_key_encrypts_and_the_old_decrypts() {
    let storage = Arc::new(MemoryStorage::new());
    let kms = kms_on(storage.clone());
    let shop = reference("alias/shop");
    kms.create_key(&outside(), named("alias/shop")).unwrap();
    let old = kms.encrypt(&outside(), &shop, &context(), b"old").unwrap();
    let rotated = kms.rotate_key(&outside(), &shop).unwrap();
    assert_eq!(rotated.backing_keys.len(), 2);
    let new = kms.encrypt(&outside(), &shop, &context(), b"new").unwrap();
    assert_eq!(message::header(&new).unwrap().backing_key, 2);
    for kms in [kms, reopened(storage)] {
        assert_eq!(*kms.decrypt(&outside(), &old, &context()).unwrap(), b"old");
        assert_eq!(*kms.decrypt(&outside(), &new, &context()).unwrap(), b"new");
    }
}

#[test]
fn outside_callers_do_not_rotate_a_managed_key() {
    let kms = kms();
    let refused = kms.rotate_key(&outside(), &certstore());
    assert!(matches!(refused, Err(Error::ManagedKey(_))));
    kms.rotate_key(&INSIDE, &certstore()).unwrap();
}

#[test]
fn an_owned_key_is_invisible_outside() {
    let kms = kms();
    let new = named("alias/sealgate/tickets");
    let owned = {
        let key = kms.made(KeyTier::Owned, &new).unwrap();
        let created = kms.add_key(&kms.database.lock(), &INSIDE, key, &new);
        created.unwrap().id
    };
    let key = KeyRef::Id(owned);
    let unseen = kms.describe_key(&outside(), &key).map(drop);
    assert!(matches!(unseen, Err(Error::KeyNotFound(_))));
    let unused = kms.encrypt(&outside(), &key, &context(), b"");
    assert!(matches!(unused, Err(Error::KeyNotFound(_))));
    let unrotated = kms.rotate_key(&outside(), &key).map(drop);
    assert!(matches!(unrotated, Err(Error::KeyNotFound(_))));
    assert_eq!(kms.list_keys(&outside()).unwrap().len(), 1);
    kms.encrypt(&INSIDE, &key, &context(), b"").unwrap();
}

#[test]
fn a_damaged_key_is_refused_by_name_and_takes_no_other_down() {
    let storage = Arc::new(MemoryStorage::new());
    let kms = kms_on(storage.clone());
    let shop = kms.create_key(&outside(), named("alias/shop")).unwrap();
    kms.create_key(&outside(), named("alias/other")).unwrap();
    let record = key_record(shop.id);
    for damaged in [record.as_str(), "@other"] {
        let bytes = storage.get(damaged).unwrap().unwrap().bytes;
        storage.put(damaged, &bytes[1..], Expected::Any).unwrap();
    }
    let kms = reopened(storage);
    let names: Vec<_> = kms.damaged().iter().map(|d| d.record.as_str()).collect();
    assert_eq!(names, ["@other", &record]);
    let refused = |key: KeyRef, record: &str| {
        let error = kms.encrypt(&INSIDE, &key, &context(), b"").unwrap_err();
        assert!(matches!(error, Error::DamagedRecord { record: r, .. } if r == record));
    };
    refused(KeyRef::Id(shop.id), &record);
    refused(reference("alias/shop"), &record);
    refused(reference("alias/other"), "@other");
    // What may be restored from a backup is not overwritten.
    let again = kms.create_key(&outside(), named("alias/other"));
    assert!(matches!(again, Err(Error::DamagedRecord { .. })));
    kms.encrypt(&INSIDE, &certstore(), &context(), b"").unwrap();
}

#[test]
fn many_threads_use_a_key_while_it_rotates() {
    let kms = kms();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..100_u32 {
                    let plaintext = number.to_be_bytes();
                    let blob = kms
                        .encrypt(&INSIDE, &certstore(), &context(), &plaintext)
                        .unwrap();
                    let opened = kms.decrypt(&INSIDE, &blob, &context()).unwrap();
                    assert_eq!(*opened, plaintext);
                }
            });
        }
        for _ in 0..20 {
            kms.rotate_key(&INSIDE, &certstore()).unwrap();
        }
    });
}

/// Two keys with aliases and a rotation; returns what was acknowledged: the blobs that must open.
fn life(kms: &Kms) -> Vec<Vec<u8>> {
    let mut acknowledged = Vec::new();
    let mut encrypt = |key: &KeyRef| {
        let blob = kms.encrypt(&INSIDE, key, &context(), b"secret");
        acknowledged.push(blob.expect("an acknowledged key encrypts"));
    };
    encrypt(&certstore());
    if kms.create_key(&INSIDE, named("alias/one")).is_ok() {
        encrypt(&reference("alias/one"));
    }
    if kms.create_key(&INSIDE, named("alias/two")).is_ok() {
        encrypt(&reference("alias/two"));
    }
    if kms.rotate_key(&INSIDE, &reference("alias/one")).is_ok() {
        encrypt(&reference("alias/one"));
    }
    acknowledged
}

#[test]
fn a_power_failure_at_any_call_loses_no_acknowledged_key() {
    let on = |files: &LossyFiles| Arc::new(FileStorage::on(files.clone(), Path::new("/")));
    let files = LossyFiles::new();
    let kms = kms_on(on(&files));
    let created = files.calls();
    assert_eq!(life(&kms).len(), 4);
    for call in created..files.calls() {
        let files = LossyFiles::new();
        let kms = kms_on(on(&files));
        files.lose_power_at(call);
        let acknowledged = life(&kms);
        for seed in 0..10 {
            let kms = reopened(on(&files.after_power_loss(seed)));
            assert_eq!(kms.damaged(), []);
            for blob in &acknowledged {
                assert_eq!(*kms.decrypt(&INSIDE, blob, &context()).unwrap(), b"secret");
            }
            // A key and its alias came together, or not at all.
            let nameless = |key: &KeyMetadata| key.aliases.is_empty();
            assert!(!kms.list_keys(&INSIDE).unwrap().iter().any(nameless));
            for alias in ["alias/one", "alias/two"] {
                if kms.resolve(&reference(alias)).is_err() {
                    kms.create_key(&INSIDE, named(alias)).unwrap();
                }
            }
        }
    }
}
