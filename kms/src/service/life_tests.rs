//! Twenty years in simulated time.

use std::time::{Duration, SystemTime};

use super::*;
use crate::context::EncryptionContext;
use crate::key::{BackingKeyKind, KeyState, days};
use crate::policy::Action;
use crate::spec::{KeySpec, KeyUsage, MessageType, SigningAlgorithm};
use crate::storage::MemoryStorage;
use crate::test_util::{SetClock, identity, root_key, settable};

const INSIDE: Caller = Caller::Internal;
const YEAR: u64 = 365;
const YEARS: u64 = 20;

/// A KMS whose clock and storage a test owns.
struct Life {
    kms: Kms,
    storage: Arc<MemoryStorage>,
    environment: Environment,
    clock: Arc<SetClock>,
    start: SystemTime,
    /// What was encrypted, and under which key.
    blobs: Vec<Vec<u8>>,
}

impl Life {
    fn begin() -> Self {
        let start = SystemTime::UNIX_EPOCH + days(20_454);
        let (environment, clock) = settable(start);
        let storage = Arc::new(MemoryStorage::new());
        let kms = Kms::create(
            storage.clone(),
            &root_key(1),
            identity(),
            environment.clone(),
        );
        Self {
            kms: kms.unwrap(),
            storage,
            environment,
            clock,
            start,
            blobs: Vec::new(),
        }
    }

    fn day(&self, day: u64) -> SystemTime {
        self.start + Duration::from_secs(day * 24 * 60 * 60)
    }

    fn set_day(&self, day: u64) {
        self.clock.set(self.day(day));
    }

    fn create(&self, alias: &str) {
        let new = NewKey {
            alias: Some(alias.to_owned()),
            ..NewKey::default()
        };
        self.kms.create_key(&root(), new).unwrap();
    }

    fn restart(&mut self) {
        let (storage, environment) = (self.storage.clone(), self.environment.clone());
        self.kms = Kms::open(storage, &root_key(1), identity(), environment).unwrap();
        assert_eq!(self.kms.damaged(), []);
    }

    fn encrypt(&mut self, alias: &str) {
        let blob = self
            .kms
            .encrypt(&INSIDE, &named(alias), &context(), alias.as_bytes());
        self.blobs.push(blob.unwrap());
    }

    fn all_open(&self) {
        for blob in &self.blobs {
            self.kms.decrypt(&INSIDE, blob, &context()).unwrap();
        }
    }

    /// On which days a key was rotated, and how.
    fn rotations(&self, alias: &str) -> Vec<(u64, BackingKeyKind)> {
        let rotations = self.kms.list_key_rotations(&root(), &named(alias)).unwrap();
        let day = |at: SystemTime| {
            let since = at.duration_since(self.start).unwrap().as_secs();
            assert_eq!(since % (24 * 60 * 60), 0, "to the second");
            since / (24 * 60 * 60)
        };
        let rotations = rotations.into_iter();
        rotations
            .map(|rotation| (day(rotation.date), rotation.kind))
            .collect()
    }
}

fn root() -> Caller {
    Caller::local(identity().root(), 1000)
}

fn named(text: &str) -> KeyRef {
    text.parse().unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::new().with("purpose", "test")
}

fn code<T>(result: Result<T, Error>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "done")
}

#[test]
fn twenty_years_of_rotations() {
    let mut life = Life::begin();
    for alias in ["alias/yearly", "alias/quarterly", "alias/never"] {
        life.create(alias);
    }
    let (yearly, quarterly) = (named("alias/yearly"), named("alias/quarterly"));
    life.kms
        .enable_key_rotation(&root(), &yearly, None)
        .unwrap();
    life.kms
        .enable_key_rotation(&root(), &quarterly, Some(90))
        .unwrap();
    for day in 1..=YEARS * YEAR {
        life.set_day(day);
        let ticked = life.kms.tick();
        assert!(ticked.failed.is_empty());
        assert!(ticked.next.unwrap() > life.day(day));
        if day % YEAR == 7 {
            a_year_in(&mut life);
        }
        if day % (5 * YEAR) == 0 {
            life.restart();
        }
    }
    let every = |period: u64| -> Vec<_> {
        let dates = (period..=YEARS * YEAR).step_by(usize::try_from(period).unwrap());
        dates.map(|day| (day, BackingKeyKind::Automatic)).collect()
    };
    assert_eq!(life.rotations(Kms::CERTSTORE_ALIAS), every(YEAR));
    assert_eq!(life.rotations("alias/yearly"), every(YEAR));
    assert_eq!(life.rotations("alias/quarterly"), every(90));
    assert_eq!(life.rotations("alias/never"), []);
    assert_eq!(life.blobs.len() as u64, YEARS * 4);
    life.all_open();
    life.restart();
    life.all_open();
}

/// What holds in every year: all keys encrypt, all that was encrypted opens, and each tier has its rules.
fn a_year_in(life: &mut Life) {
    for alias in [
        Kms::CERTSTORE_ALIAS,
        "alias/yearly",
        "alias/quarterly",
        "alias/never",
    ] {
        life.encrypt(alias);
    }
    life.all_open();
    the_managed_key_is_nobodys_to_change(&life.kms);
}

fn the_managed_key_is_nobodys_to_change(kms: &Kms) {
    let (root, managed) = (root(), named(Kms::CERTSTORE_ALIAS));
    let policy = NewPolicy::default();
    let alias = Kms::CERTSTORE_ALIAS;
    let never = named("alias/never");
    for refused in [
        code(kms.disable_key(&root, &managed)),
        code(kms.enable_key(&root, &managed)),
        code(kms.schedule_key_deletion(&root, &managed, None)),
        code(kms.cancel_key_deletion(&root, &managed)),
        code(kms.rotate_key(&root, &managed)),
        code(kms.enable_key_rotation(&root, &managed, Some(90))),
        code(kms.disable_key_rotation(&root, &managed)),
        code(kms.put_key_policy(&root, &managed, &policy)),
        code(kms.update_key_description(&root, &managed, "mine")),
        code(kms.tag_resource(&root, &managed, [("a", "b")])),
        code(kms.untag_resource(&root, &managed, &["a".to_owned()])),
        code(kms.create_alias(&root, "alias/mine", &managed)),
        code(kms.update_alias(&root, alias, &never)),
        code(kms.delete_alias(&root, alias)),
    ] {
        assert_eq!(refused, "AccessDeniedException");
    }
    let described = kms.describe_key(&root, &managed).unwrap();
    assert_eq!(described.state, KeyState::Enabled);
    assert_eq!(described.rotation.unwrap().period_days, 365);
}

#[test]
fn pauses_and_clock_jumps_move_no_date() {
    let mut life = Life::begin();
    life.create("alias/key");
    let key = named("alias/key");
    life.kms
        .enable_key_rotation(&root(), &key, Some(100))
        .unwrap();
    let at = |life: &Life, day| {
        life.set_day(day);
        let ticked = life.kms.tick();
        assert!(ticked.failed.is_empty());
        ticked.rotated.len()
    };
    assert_eq!((at(&life, 99), at(&life, 100), at(&life, 101)), (0, 1, 0));
    // Down over three dates: one rotation when it runs again, and the next on the grid.
    life.set_day(450);
    life.restart();
    assert_eq!((at(&life, 450), at(&life, 499), at(&life, 500)), (2, 0, 1));
    // On demand in between: no date moves.
    life.kms.rotate_key(&root(), &key).unwrap();
    assert_eq!((at(&life, 599), at(&life, 600)), (0, 1));
    // Disabled over a date: rotated when it is enabled again.
    life.kms.disable_key(&root(), &key).unwrap();
    assert_eq!(at(&life, 750), 1, "the managed key");
    life.kms.enable_key(&root(), &key).unwrap();
    assert_eq!((at(&life, 751), at(&life, 799), at(&life, 800)), (1, 0, 1));
    // The clock jumps ahead, and is set right: on the grid again as soon as that is so.
    assert_eq!(at(&life, 5050), 2);
    assert_eq!((at(&life, 805), at(&life, 899)), (0, 0));
    assert_eq!((at(&life, 900), at(&life, 901)), (1, 0));
    // The clock falls back years.
    assert_eq!((at(&life, 50), at(&life, 99), at(&life, 100)), (0, 0, 1));
    let (by_itself, demand) = (BackingKeyKind::Automatic, BackingKeyKind::OnDemand);
    let expected = [
        (100, by_itself),
        (450, by_itself),
        (500, by_itself),
        (500, demand),
        (600, by_itself),
        (751, by_itself),
        (800, by_itself),
        (5050, by_itself),
        (900, by_itself),
        (100, by_itself),
    ];
    assert_eq!(life.rotations("alias/key"), expected);
}

#[test]
fn a_key_is_deleted_when_its_time_is_over_also_after_downtime() {
    let mut life = Life::begin();
    for alias in ["alias/gone", "alias/kept", "alias/late"] {
        life.create(alias);
        life.encrypt(alias);
    }
    let (gone, kept, late) = (
        named("alias/gone"),
        named("alias/kept"),
        named("alias/late"),
    );
    life.kms
        .create_alias(&root(), "alias/gone/too", &gone)
        .unwrap();
    let terms = crate::grant::NewGrant {
        grantee: identity().root(),
        retiring: None,
        operations: [Action::Decrypt].into(),
        constraints: crate::grant::GrantConstraints::default(),
        name: None,
    };
    life.kms.create_grant(&root(), &gone, terms).unwrap();
    for window in [0, 6, 31] {
        let refused = life.kms.schedule_key_deletion(&root(), &gone, Some(window));
        assert_eq!(code(refused), "ValidationException");
    }
    let scheduled = life
        .kms
        .schedule_key_deletion(&root(), &gone, Some(7))
        .unwrap();
    let date = life.day(7);
    assert_eq!(scheduled.state, KeyState::PendingDeletion { date });
    life.kms
        .schedule_key_deletion(&root(), &kept, Some(30))
        .unwrap();
    life.kms
        .schedule_key_deletion(&root(), &late, None)
        .unwrap();
    life.set_day(6);
    assert!(life.kms.tick().deleted.is_empty());
    assert_eq!(life.kms.next_due(), Some(date));
    life.kms.cancel_key_deletion(&root(), &kept).unwrap();
    assert_eq!(
        life.kms.describe_key(&root(), &kept).unwrap().state,
        KeyState::Disabled
    );
    life.set_day(7);
    assert_eq!(life.kms.tick().deleted.len(), 1);
    assert!(
        life.kms.resolve(&gone).is_err() && life.kms.resolve(&named("alias/gone/too")).is_err()
    );
    // Down when it was due: of no use from the start, and soon gone.
    life.set_day(40);
    life.restart();
    assert_eq!(
        code(life.kms.cancel_key_deletion(&root(), &late)),
        "NotFoundException"
    );
    assert_eq!(life.kms.tick().deleted.len(), 1);
    life.restart();
    let records = life.storage.list().unwrap();
    // The header, two keys and their aliases.
    assert_eq!(records.len(), 5, "{records:?}");
    life.kms.enable_key(&root(), &kept).unwrap();
    let opened: Vec<_> = life
        .blobs
        .iter()
        .map(|blob| code(life.kms.decrypt(&INSIDE, blob, &context())))
        .collect();
    assert_eq!(opened, ["NotFoundException", "done", "NotFoundException"]);
}

#[test]
fn keys_that_are_not_symmetric_are_not_rotated() {
    let life = Life::begin();
    let new = NewKey {
        alias: Some("alias/sign".to_owned()),
        spec: KeySpec::EccNistP256,
        usage: Some(KeyUsage::SignVerify),
        ..NewKey::default()
    };
    life.kms.create_key(&root(), new).unwrap();
    let key = named("alias/sign");
    let unsupported = "UnsupportedOperationException";
    assert_eq!(
        code(life.kms.enable_key_rotation(&root(), &key, None)),
        unsupported
    );
    assert_eq!(code(life.kms.rotate_key(&root(), &key)), unsupported);
    assert_eq!(
        code(life.kms.get_key_rotation_status(&root(), &key)),
        unsupported
    );
    life.set_day(YEAR * 3);
    life.kms.tick();
    let (algorithm, raw) = (SigningAlgorithm::EcdsaSha256, MessageType::Raw);
    let signature = life
        .kms
        .sign(&root(), &key, algorithm, raw, b"message")
        .unwrap();
    life.kms
        .verify(&root(), &key, algorithm, raw, b"message", &signature)
        .unwrap();
    assert_eq!(
        code(
            life.kms
                .verify(&root(), &key, algorithm, raw, b"massage", &signature)
        ),
        "KMSInvalidSignatureException"
    );
}

#[test]
fn a_key_is_rotated_on_demand_25_times() {
    let life = Life::begin();
    life.create("alias/key");
    let key = named("alias/key");
    for _ in 0..25 {
        life.kms.rotate_key(&root(), &key).unwrap();
    }
    let refused = life.kms.rotate_key(&root(), &key);
    assert_eq!(code(refused), "LimitExceededException");
    for (period, expected) in [(89, "ValidationException"), (90, "done"), (2560, "done")] {
        let enabled = life.kms.enable_key_rotation(&root(), &key, Some(period));
        assert_eq!(code(enabled), expected);
    }
    assert_eq!(
        code(life.kms.enable_key_rotation(&root(), &key, Some(2561))),
        "ValidationException"
    );
    let status = life.kms.get_key_rotation_status(&root(), &key).unwrap();
    assert_eq!(status.schedule.unwrap().next, life.day(2560));
    life.kms.schedule_key_deletion(&root(), &key, None).unwrap();
    assert!(
        !life
            .kms
            .get_key_rotation_status(&root(), &key)
            .unwrap()
            .enabled
    );
}
