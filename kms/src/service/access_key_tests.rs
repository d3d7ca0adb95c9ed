use std::path::Path;
use std::time::Duration;

use super::*;
use crate::access_key::{AccessKeyId, GivenAccessKey};
use crate::principal::Principal;
use crate::secret::SecretBytes;
use crate::storage::lossy::LossyFiles;
use crate::storage::{FileStorage, MemoryStorage};
use crate::test_util::{identity, root_key, settable};

/// A change.
type Step = fn(&Kms) -> Result<(), Error>;

const ID: &str = "AKIAIOSFODNN7EXAMPLE";

fn user(name: &str) -> Principal {
    format!("arn:aws:iam::000000000000:user/{name}")
        .parse()
        .unwrap()
}

fn root() -> Caller {
    Caller::local(identity().root(), 0)
}

fn open(storage: Arc<dyn Storage>) -> Kms {
    Kms::open(storage, &root_key(1), identity(), Environment::system()).unwrap()
}

fn kms_on(storage: Arc<dyn Storage>) -> Kms {
    let kms = Kms::create(storage, &root_key(1), identity(), Environment::system()).unwrap();
    kms.create_identity(&root(), user("alice")).unwrap();
    kms
}

fn kms() -> (Kms, Arc<MemoryStorage>) {
    let storage = Arc::new(MemoryStorage::new());
    (kms_on(storage.clone()), storage)
}

fn id() -> AccessKeyId {
    ID.parse().unwrap()
}

fn given() -> Option<GivenAccessKey> {
    let secret = SecretBytes::copy_from(&[b'x'; 40]).unwrap();
    Some(GivenAccessKey { id: id(), secret })
}

fn made(kms: &Kms) -> AccessKeyId {
    let made = kms.create_access_key(&root(), &user("alice"), None);
    made.unwrap().metadata.id
}

#[test]
fn a_key_is_its_user_s_after_a_restart_too() {
    let (kms, storage) = kms();
    let made = kms
        .create_access_key(&root(), &user("alice"), None)
        .unwrap();
    let found = open(storage).holder_of_access_key(made.metadata.id.as_str());
    let found = found.unwrap();
    assert_eq!(found.user, user("alice"));
    assert_eq!(found.secret.expose(), made.secret.expose());
    assert!(kms.holder_of_access_key("AKIAAAAAAAAAAAAAAAAA").is_none());
    assert!(kms.holder_of_access_key("../../etc/passwd").is_none());
}

#[test]
fn two_are_the_most_and_no_id_is_twice() {
    let (kms, _) = kms();
    kms.create_identity(&root(), user("bob")).unwrap();
    kms.create_access_key(&root(), &user("alice"), given())
        .unwrap();
    let again = kms.create_access_key(&root(), &user("bob"), given());
    assert!(matches!(again, Err(Error::AccessKeyExists(found)) if found == id()));
    made(&kms);
    let third = kms.create_access_key(&root(), &user("alice"), None);
    assert!(matches!(third, Err(Error::TooManyAccessKeys(who)) if who == user("alice")));
    kms.delete_access_key(&root(), &id()).unwrap();
    made(&kms);
}

#[test]
fn one_that_is_switched_off_opens_nothing() {
    let (kms, storage) = kms();
    let id = made(&kms);
    kms.update_access_key(&root(), &id, false).unwrap();
    for kms in [&kms, &open(storage)] {
        assert!(kms.holder_of_access_key(id.as_str()).is_none());
    }
    kms.update_access_key(&root(), &id, true).unwrap();
    assert!(kms.holder_of_access_key(id.as_str()).is_some());
}

#[test]
fn they_go_with_their_user() {
    let (kms, storage) = kms();
    let id = made(&kms);
    kms.delete_identity(&root(), &user("alice")).unwrap();
    assert!(kms.holder_of_access_key(id.as_str()).is_none());
    let gone = kms.delete_access_key(&root(), &id);
    assert!(matches!(gone, Err(Error::AccessKeyNotFound(_))));
    kms.create_identity(&root(), user("alice")).unwrap();
    for kms in [&kms, &open(storage)] {
        assert_eq!(kms.list_access_keys(&root(), None).unwrap(), []);
    }
}

#[test]
fn only_users_have_them_and_only_the_root_makes_them() {
    let (kms, _) = kms();
    let role: Principal = "arn:aws:iam::000000000000:role/web".parse().unwrap();
    kms.create_identity(&root(), role.clone()).unwrap();
    let of_role = kms.create_access_key(&root(), &role, None);
    assert!(matches!(of_role, Err(Error::InvalidIdentityChange { .. })));
    let of_nobody = kms.create_access_key(&root(), &user("nobody"), None);
    assert!(matches!(of_nobody, Err(Error::IdentityNotFound(_))));
    let alice = Caller::local(user("alice"), 1000);
    let own = kms.create_access_key(&alice, &user("alice"), None);
    assert!(matches!(own, Err(Error::RootOnly { .. })));
    let id = made(&kms);
    assert!(kms.update_access_key(&alice, &id, false).is_err());
    assert!(kms.delete_access_key(&alice, &id).is_err());
    assert!(kms.list_access_keys(&alice, None).is_err());
}

#[test]
fn the_last_use_is_written_once_an_hour() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let storage = Arc::new(MemoryStorage::new());
    let (environment, clock) = settable(start);
    let kms = Kms::create(storage.clone(), &root_key(1), identity(), environment).unwrap();
    kms.create_identity(&root(), user("alice")).unwrap();
    let id = made(&kms);
    let last_used = |kms: &Kms| kms.list_access_keys(&root(), None).unwrap()[0].last_used;
    assert_eq!(last_used(&kms), None);
    let hour = Duration::from_secs(3600);
    for (at, noted) in [
        (start, start),
        (start + hour / 2, start),
        (start + hour, start + hour),
    ] {
        clock.set(at);
        kms.note_use_of_access_key(id.as_str()).unwrap();
        assert_eq!(last_used(&kms), Some(noted));
        assert_eq!(last_used(&open(storage.clone())), Some(noted));
    }
}

#[test]
fn a_power_failure_at_any_call_loses_nothing_and_revives_nothing() {
    let on = |files: &LossyFiles| Arc::new(FileStorage::on(files.clone(), Path::new("/")));
    let steps: &[Step] = &[
        |kms| {
            kms.create_access_key(&root(), &user("alice"), given())
                .map(drop)
        },
        |kms| kms.update_access_key(&root(), &id(), false),
        |kms| kms.delete_identity(&root(), &user("alice")),
    ];
    let lived = |kms: &Kms| steps.iter().take_while(|step| step(kms).is_ok()).count();
    let files = LossyFiles::new();
    let kms = kms_on(on(&files));
    let begun = files.calls();
    assert_eq!(lived(&kms), steps.len());
    for call in begun..files.calls() {
        let files = LossyFiles::new();
        let kms = kms_on(on(&files));
        files.lose_power_at(call);
        let acknowledged = lived(&kms);
        for seed in 0..4 {
            let kms = open(on(&files.after_power_loss(seed)));
            assert_eq!(kms.damaged(), [], "call {call}, seed {seed}");
            let keys = kms.list_access_keys(&root(), None).unwrap();
            let user_is_there = kms.access.read().identity(&user("alice")).is_some();
            let fits = match acknowledged {
                0 => user_is_there,
                1 => keys.len() == 1 && user_is_there,
                // A deletion that was cut short may have taken the access key already.
                2 => keys.iter().all(|key| !key.active),
                _ => !user_is_there,
            };
            assert!(fits, "call {call}, seed {seed}: {acknowledged} {keys:?}");
            assert!(user_is_there || keys.is_empty(), "call {call}, seed {seed}");
        }
    }
}
