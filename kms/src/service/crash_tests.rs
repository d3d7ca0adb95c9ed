//! Every change of a key under a file system that loses power.

use std::path::Path;

use super::*;
use crate::context::EncryptionContext;
use crate::key::{KeyOrigin, KeyState, days};
use crate::material::wrap_key_material;
use crate::secret::SecretBytes;
use crate::spec::{KeySpec, WrappingAlgorithm};
use crate::storage::FileStorage;
use crate::storage::lossy::LossyFiles;
use crate::test_util::{SetClock, identity, root_key, settable};

const INSIDE: Caller = Caller::Internal;

fn named(text: &str) -> KeyRef {
    text.parse().unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::new().with("purpose", "test")
}

fn state(kms: &Kms, key: &str) -> Option<KeyState> {
    kms.describe_key(&INSIDE, &named(key))
        .ok()
        .map(|key| key.state)
}

/// A change, and what is so from then on.
struct Step {
    act: fn(&Kms, &SetClock) -> Result<(), Error>,
    holds: fn(&Kms) -> bool,
}

fn create(kms: &Kms, alias: &str, origin: KeyOrigin) -> Result<(), Error> {
    let new = NewKey {
        alias: Some(alias.to_owned()),
        origin,
        ..NewKey::default()
    };
    kms.create_key(&INSIDE, new).map(drop)
}

fn import(kms: &Kms) -> Result<(), Error> {
    let (key, algorithm) = (named("alias/imported"), WrappingAlgorithm::RsaesOaepSha256);
    let parameters = kms.get_parameters_for_import(&INSIDE, &key, KeySpec::Rsa2048, algorithm)?;
    let secret = SecretBytes::copy_from(&[7; 32]).unwrap();
    let random = &*kms.environment.random;
    let spec = KeySpec::SymmetricDefault;
    let wrapped = wrap_key_material(&parameters.public_key, algorithm, &secret, spec, random);
    let import = KeyImport {
        token: &parameters.token,
        wrapped: &wrapped.unwrap(),
        valid_to: None,
        is_new: false,
    };
    kms.import_key_material(&INSIDE, &key, &import).map(drop)
}

/// Each step's promise is untouched by those after it.
const LIFE: &[Step] = &[
    Step {
        act: |kms, _| create(kms, "alias/a", KeyOrigin::AwsKms),
        holds: |kms| kms.resolve(&named("alias/a")).is_ok(),
    },
    Step {
        act: |kms, _| create(kms, "alias/doomed", KeyOrigin::AwsKms),
        holds: |_| true,
    },
    Step {
        act: |kms, _| kms.create_alias(&INSIDE, "alias/doomed/too", &named("alias/doomed")),
        holds: |_| true,
    },
    Step {
        act: |kms, _| kms.create_alias(&INSIDE, "alias/b", &named("alias/a")),
        holds: |kms| kms.resolve(&named("alias/b")).is_ok(),
    },
    Step {
        act: |kms, _| kms.tag_resource(&INSIDE, &named("alias/a"), [("tag", "1")]),
        holds: |kms| {
            let tags = kms.list_resource_tags(&INSIDE, &named("alias/a"));
            tags.unwrap().contains_key("tag")
        },
    },
    Step {
        act: |kms, _| kms.enable_key_rotation(&INSIDE, &named("alias/a"), Some(90)),
        holds: |kms| {
            let status = kms.get_key_rotation_status(&INSIDE, &named("alias/a"));
            status.unwrap().schedule.is_some()
        },
    },
    Step {
        act: |kms, _| kms.rotate_key(&INSIDE, &named("alias/a")).map(drop),
        holds: |kms| {
            !kms.list_key_rotations(&INSIDE, &named("alias/a"))
                .unwrap()
                .is_empty()
        },
    },
    Step {
        act: |kms, _| create(kms, "alias/imported", KeyOrigin::External),
        holds: |kms| kms.resolve(&named("alias/imported")).is_ok(),
    },
    Step {
        act: |kms, _| import(kms),
        holds: |kms| state(kms, "alias/imported") == Some(KeyState::Enabled),
    },
    Step {
        act: |kms, _| kms.update_alias(&INSIDE, "alias/b", &named("alias/imported")),
        holds: |kms| {
            kms.resolve(&named("alias/b")).unwrap()
                == kms.resolve(&named("alias/imported")).unwrap()
        },
    },
    Step {
        act: |kms, _| {
            let scheduled = kms.schedule_key_deletion(&INSIDE, &named("alias/doomed"), Some(7));
            scheduled.map(drop)
        },
        holds: |kms| !matches!(state(kms, "alias/doomed"), Some(KeyState::Enabled)),
    },
    Step {
        act: |kms, clock| {
            clock.set(kms.now() + days(91));
            let mut ticked = kms.tick();
            ticked.failed.pop().map_or(Ok(()), |(_, error)| Err(error))
        },
        holds: |kms| {
            let gone = |alias| kms.resolve(&named(alias)).is_err();
            let rotations = kms.list_key_rotations(&INSIDE, &named("alias/a")).unwrap();
            gone("alias/doomed") && gone("alias/doomed/too") && rotations.len() == 2
        },
    },
    Step {
        act: |kms, _| kms.delete_alias(&INSIDE, "alias/b"),
        holds: |kms| kms.resolve(&named("alias/b")).is_err(),
    },
    Step {
        act: |kms, _| kms.disable_key(&INSIDE, &named("alias/a")).map(drop),
        holds: |kms| state(kms, "alias/a") == Some(KeyState::Disabled),
    },
];

/// Whatever the last step did half: `alias/b` is deleted by a later step than the one that moved it.
fn promised(acknowledged: usize) -> impl Iterator<Item = (usize, &'static Step)> {
    let steps = LIFE[..acknowledged].iter().enumerate();
    steps.filter(move |(number, _)| acknowledged < 12 || ![3, 9].contains(number))
}

#[test]
fn a_power_failure_at_any_call_loses_no_acknowledged_change() {
    let on = |files: &LossyFiles| Arc::new(FileStorage::on(files.clone(), Path::new("/")));
    let start = SystemTime::UNIX_EPOCH + days(20_000);
    let begun = |files: &LossyFiles| {
        let (environment, clock) = settable(start);
        let kms = Kms::create(on(files), &root_key(1), identity(), environment.clone());
        (kms.unwrap(), environment, clock)
    };
    let lived = |kms: &Kms, clock: &SetClock| {
        let done = LIFE
            .iter()
            .take_while(|step| (step.act)(kms, clock).is_ok());
        done.count()
    };
    let files = LossyFiles::new();
    let (kms, _, clock) = begun(&files);
    let created = files.calls();
    assert_eq!(lived(&kms, &clock), LIFE.len());
    for call in created..files.calls() {
        let files = LossyFiles::new();
        let (kms, environment, clock) = begun(&files);
        files.lose_power_at(call);
        let acknowledged = lived(&kms, &clock);
        for seed in 0..4 {
            let storage = on(&files.after_power_loss(seed));
            let kms = Kms::open(storage, &root_key(1), identity(), environment.clone());
            let kms = kms.unwrap();
            assert_eq!(kms.damaged(), [], "call {call}, seed {seed}");
            for (number, step) in promised(acknowledged) {
                assert!(
                    (step.holds)(&kms),
                    "call {call}, seed {seed}: step {number}"
                );
            }
            what_was_begun_is_finished(&kms);
        }
    }
}

/// A tick deletes what a deletion left; no alias leads to half a key.
fn what_was_begun_is_finished(kms: &Kms) {
    assert!(kms.tick().failed.is_empty());
    let doomed = kms.resolve(&named("alias/doomed"));
    if let Ok(doomed) = doomed {
        let described = kms.describe_key(&INSIDE, &KeyRef::Id(doomed)).unwrap();
        let waits = matches!(described.state, KeyState::PendingDeletion { .. });
        let later = kms.next_due().is_none_or(|next| next > kms.now());
        assert!(!waits || later);
    }
    for key in kms.list_keys(&INSIDE).unwrap() {
        let reference = KeyRef::Id(key.id);
        if key.state == KeyState::Enabled {
            let blob = kms.encrypt(&INSIDE, &reference, &context(), b"x").unwrap();
            kms.decrypt(&INSIDE, &blob, &context()).unwrap();
        }
    }
}
