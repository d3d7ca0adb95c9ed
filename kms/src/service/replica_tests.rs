//! Multi-region keys between the KMS of two regions.

use super::*;
use crate::context::EncryptionContext;
use crate::key::{MultiRegionKind, days};
use crate::secret::SecretKey;
use crate::storage::MemoryStorage;
use crate::test_util::{root_key, settable};

fn region(name: &str, root: u8) -> Kms {
    let (environment, _) = settable(SystemTime::UNIX_EPOCH + days(20_000));
    let identity = Identity::new("000000000000", name).unwrap();
    let storage = Arc::new(MemoryStorage::new());
    Kms::create(storage, &root_key(root), identity, environment).unwrap()
}

fn admin(kms: &Kms) -> Caller {
    Caller::local(kms.identity().root(), 1000)
}

fn transport(byte: u8) -> SecretKey {
    SecretKey::copy_from(&[byte; 32]).unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::new().with("purpose", "test")
}

fn code<T>(result: Result<T, Error>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "done")
}

fn shared(kms: &Kms) -> KeyRef {
    let new = NewKey {
        multi_region: true,
        ..NewKey::default()
    };
    let key = kms.create_key(&admin(kms), new).unwrap();
    assert!(key.id.to_string().starts_with("mrk-"));
    KeyRef::Id(key.id)
}

fn moved(from: &Kms, to: &Kms, blob: &[u8]) {
    let blob = to.decrypt(&admin(to), blob, &context());
    assert_eq!(*blob.unwrap(), b"x", "from {}", from.identity().region);
}

#[test]
fn a_replica_opens_what_its_primary_sealed_and_the_reverse() {
    let (here, there) = (region("here", 1), region("there", 2));
    let key = shared(&here);
    let first = here.encrypt(&admin(&here), &key, &context(), b"x").unwrap();
    let export = here
        .replicate_key(&admin(&here), &key, "there", &transport(9))
        .unwrap();
    let replica = there
        .receive_key(&admin(&there), &export, &transport(9), None)
        .unwrap();
    assert_eq!(replica.multi_region.unwrap().kind, MultiRegionKind::Replica);
    assert!(replica.arn.starts_with("arn:aws:kms:there:"));
    moved(&here, &there, &first);
    let back = there
        .encrypt(&admin(&there), &key, &context(), b"x")
        .unwrap();
    moved(&there, &here, &back);
    // Rotated by its primary only, and brought up to date by the same way.
    assert_eq!(
        code(there.rotate_key(&admin(&there), &key)),
        "UnsupportedOperationException"
    );
    here.rotate_key(&admin(&here), &key).unwrap();
    let newer = here.encrypt(&admin(&here), &key, &context(), b"x").unwrap();
    assert_eq!(
        code(there.decrypt(&admin(&there), &newer, &context())),
        "InvalidCiphertextException"
    );
    let update = here
        .replicate_key(&admin(&here), &key, "there", &transport(9))
        .unwrap();
    there
        .receive_key(&admin(&there), &update, &transport(9), None)
        .unwrap();
    moved(&here, &there, &newer);
    moved(&here, &there, &first);
    let older = there.receive_key(&admin(&there), &export, &transport(9), None);
    assert_eq!(code(older), "ValidationException");
}

#[test]
fn an_export_opens_where_it_is_for_and_whole_only() {
    let (here, there, elsewhere) = (
        region("here", 1),
        region("there", 2),
        region("elsewhere", 3),
    );
    let key = shared(&here);
    let export = here
        .replicate_key(&admin(&here), &key, "there", &transport(9))
        .unwrap();
    let refused = |kms: &Kms, export: &[u8], byte| {
        let received = kms.receive_key(&admin(kms), export, &transport(byte), None);
        assert_eq!(code(received), "ValidationException");
    };
    refused(&there, &export, 8);
    refused(&elsewhere, &export, 9);
    for at in 0..export.len() {
        let mut changed = export.clone();
        changed[at] ^= 1;
        refused(&there, &changed, 9);
        refused(&there, &export[..at], 9);
    }
    assert_eq!(there.list_keys(&admin(&there)).unwrap().len(), 1);
}

#[test]
fn the_primary_moves_and_there_is_one() {
    let (here, there) = (region("here", 1), region("there", 2));
    let key = shared(&here);
    let to_there = |export: &[u8]| there.receive_key(&admin(&there), export, &transport(9), None);
    let none = here.update_primary_region(&admin(&here), &key, "there", &transport(9));
    assert_eq!(code(none), "UnsupportedOperationException");
    let export = here
        .replicate_key(&admin(&here), &key, "there", &transport(9))
        .unwrap();
    to_there(&export).unwrap();
    assert_eq!(
        code(here.schedule_key_deletion(&admin(&here), &key, None)),
        "UnsupportedOperationException"
    );
    let handed = here
        .update_primary_region(&admin(&here), &key, "there", &transport(9))
        .unwrap();
    let kind = |kms: &Kms| {
        let described = kms.describe_key(&admin(kms), &key).unwrap();
        described.multi_region.unwrap().kind
    };
    assert_eq!(
        (kind(&here), kind(&there)),
        (MultiRegionKind::Replica, MultiRegionKind::Replica)
    );
    to_there(&handed).unwrap();
    assert_eq!(kind(&there), MultiRegionKind::Primary);
    there.rotate_key(&admin(&there), &key).unwrap();
    let update = there
        .replicate_key(&admin(&there), &key, "here", &transport(9))
        .unwrap();
    here.receive_key(&admin(&here), &update, &transport(9), None)
        .unwrap();
    there.forget_replica(&admin(&there), &key, "here").unwrap();
    there
        .schedule_key_deletion(&admin(&there), &key, None)
        .unwrap();
    let single = here.create_key(&admin(&here), NewKey::default()).unwrap();
    let refused = here.replicate_key(
        &admin(&here),
        &KeyRef::Id(single.id),
        "there",
        &transport(9),
    );
    assert_eq!(code(refused), "UnsupportedOperationException");
}
