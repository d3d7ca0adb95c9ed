use parking_lot::Mutex as Lock;

use super::*;
use crate::caller::{CallOptions, Outside};
use crate::context::EncryptionContext;
use crate::event::{Event, Named};
use crate::storage::MemoryStorage;
use crate::test_util::{identity, root_key};

const INSIDE: Caller = Caller::Internal;

/// Remembers all that it is told, and refuses when it is told to.
#[derive(Default)]
struct Witness {
    told: Lock<Vec<String>>,
    refuses: Lock<Option<&'static str>>,
}

impl Witness {
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock())
    }

    fn answer(&self, step: &'static str) -> Result<(), Error> {
        match *self.refuses.lock() {
            Some(refused) if refused == step => Err(Error::Conflict("the log".to_owned())),
            _ => Ok(()),
        }
    }
}

impl Auditor for Witness {
    fn admit(&self, event: &Event<'_>) -> Result<(), Error> {
        self.told.lock().push(format!("admit {}", event.operation));
        self.answer("admit")
    }

    fn record(&self, event: &Event<'_>, outcome: Result<(), &Error>) -> Result<(), Error> {
        let outcome = outcome.map_or_else(Error::code, |()| "done");
        let on = event.key.map_or("no key", |_| "a key");
        let line = format!("record {} on {on}: {outcome}", event.operation);
        self.told.lock().push(line);
        self.answer("record")
    }
}

fn watched() -> (Kms, Arc<Witness>) {
    let witness = Arc::new(Witness::default());
    let storage = Arc::new(MemoryStorage::new());
    let kms = Kms::create(storage, &root_key(1), identity(), Environment::system()).unwrap();
    (kms.with_auditor(witness.clone()), witness)
}

fn root() -> Caller {
    Caller::local(identity().root(), 1000)
}

fn shop() -> NewKey {
    NewKey {
        alias: Some("alias/shop".to_owned()),
        ..NewKey::default()
    }
}

fn named(text: &str) -> KeyRef {
    text.parse().unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::new().with("purpose", "test")
}

#[test]
fn what_is_done_and_what_is_refused_is_recorded() {
    let (kms, witness) = watched();
    kms.create_key(&root(), shop()).unwrap();
    assert_eq!(
        witness.told(),
        ["admit CreateKey", "record CreateKey on a key: done"]
    );
    let shop = named("alias/shop");
    let blob = kms.encrypt(&root(), &shop, &context(), b"x").unwrap();
    witness.told();
    kms.decrypt(&root(), &blob, &EncryptionContext::new())
        .unwrap_err();
    kms.rotate_key(&root(), &named(Kms::CERTSTORE_ALIAS))
        .unwrap_err();
    kms.describe_key(&root(), &named("alias/none")).unwrap_err();
    kms.decrypt(&root(), b"", &context()).unwrap_err();
    assert_eq!(
        witness.told(),
        [
            "admit Decrypt",
            "record Decrypt on a key: InvalidCiphertextException",
            "record RotateKeyOnDemand on a key: AccessDeniedException",
            "record DescribeKey on no key: NotFoundException",
            "record Decrypt on no key: InvalidCiphertextException",
        ]
    );
}

#[test]
fn a_log_that_cannot_be_written_refuses_the_act_or_the_answer() {
    let (kms, witness) = watched();
    *witness.refuses.lock() = Some("admit");
    kms.create_key(&root(), shop()).unwrap_err();
    assert!(
        kms.resolve(&named("alias/shop")).is_err(),
        "nothing was done"
    );
    *witness.refuses.lock() = Some("record");
    kms.create_key(&root(), shop()).unwrap_err();
    assert!(kms.resolve(&named("alias/shop")).is_ok(), "it was done");
    kms.describe_key(&root(), &named("alias/none")).unwrap_err();
}

#[test]
fn owned_keys_leave_no_trace() {
    let (kms, witness) = watched();
    let new = NewKey::default();
    let owned = {
        let key = kms.made(KeyTier::Owned, &new).unwrap();
        let created = kms.add_key(&kms.database.lock(), &INSIDE, key, &new);
        KeyRef::Id(created.unwrap().id)
    };
    let blob = kms.encrypt(&INSIDE, &owned, &context(), b"x").unwrap();
    kms.decrypt(&INSIDE, &blob, &context()).unwrap();
    kms.rotate_key(&INSIDE, &owned).unwrap();
    assert_eq!(witness.told(), [""; 0]);
    // From outside it is a key that is not there.
    kms.encrypt(&root(), &owned, &context(), b"x").unwrap_err();
    let told = ["record Encrypt on no key: NotFoundException"];
    assert_eq!(witness.told(), told);
    // What the product does with its managed key is recorded.
    kms.generate_data_key(&INSIDE, &named(Kms::CERTSTORE_ALIAS), &context())
        .unwrap();
    assert_eq!(witness.told().len(), 2);
}

#[test]
fn a_dry_run_goes_all_the_way_but_the_act() {
    let (kms, witness) = watched();
    let Caller::Outside(outside) = root() else {
        unreachable!()
    };
    let options = CallOptions {
        dry_run: true,
        ..CallOptions::default()
    };
    let dry = Caller::Outside(Outside { options, ..outside });
    let refused = kms.create_key(&dry, shop()).unwrap_err();
    assert!(matches!(refused, Error::DryRun));
    assert!(kms.resolve(&named("alias/shop")).is_err());
    let told = ["record CreateKey on no key: DryRunOperationException"];
    assert_eq!(witness.told(), told);
    let nobody = kms.describe_key(&dry, &named("alias/none")).unwrap_err();
    assert!(matches!(nobody, Error::KeyNotFound(_)));
}

/// Keeps of each event the request id, the key's ARN, whether an alias named it, and how many pairs its
/// context has.
#[derive(Default)]
struct Details(Lock<Vec<Detail>>);

type Detail = (uuid::Uuid, Option<String>, bool, usize);

impl Auditor for Details {
    fn admit(&self, _: &Event<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn record(&self, event: &Event<'_>, _: Result<(), &Error>) -> Result<(), Error> {
        let by_name = matches!(event.named, Some(Named::Key(KeyRef::Alias(_))));
        let pairs = event.context.map_or(0, |context| context.iter().count());
        let seen = (event.request_id, event.key_arn(), by_name, pairs);
        self.0.lock().push(seen);
        Ok(())
    }
}

#[test]
fn an_event_holds_what_an_auditor_needs() {
    let details = Arc::new(Details::default());
    let (kms, _) = watched();
    let kms = kms.with_auditor(details.clone());
    let arn = kms.create_key(&root(), shop()).unwrap().arn;
    let Caller::Outside(outside) = root() else {
        unreachable!()
    };
    let request_id = Some(uuid::Uuid::from_u128(7));
    let options = CallOptions {
        request_id,
        ..CallOptions::default()
    };
    let caller = Caller::Outside(Outside { options, ..outside });
    kms.encrypt(&caller, &named("alias/shop"), &context(), b"x")
        .unwrap();
    let seen = details.0.lock();
    assert_eq!(seen[1], (uuid::Uuid::from_u128(7), Some(arn), true, 1));
    assert_ne!(seen[0].0, seen[1].0);
}
