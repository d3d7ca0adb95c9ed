use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;
use zeroize::Zeroizing;

use super::root::Mover;
use super::*;
use crate::context::EncryptionContext;
use crate::key::KeyRef;
use crate::root_key::{Needs, Passphrase, RootError};
use crate::secret::SecretKey;
use crate::service::Caller;
use crate::storage::lossy::LossyFiles;

struct Scratch {
    _directory: TempDir,
    state: PathBuf,
    root_key: PathBuf,
}

fn scratch() -> Scratch {
    let directory = TempDir::new().unwrap();
    // Without links, as the paths in the manifest are.
    let path = directory.path().canonicalize().unwrap();
    Scratch {
        state: path.join("state"),
        root_key: path.join("state.root.key"),
        _directory: directory,
    }
}

impl Scratch {
    fn init(&self) -> Result<StateDirectory, Error> {
        self.init_with(&InitOptions::default())
    }

    fn init_with(&self, options: &InitOptions) -> Result<StateDirectory, Error> {
        StateDirectory::init(&self.state, options, &Environment::system())
    }

    fn init_with_root(&self, root_key: &Path) -> Result<StateDirectory, Error> {
        self.init_with(&InitOptions {
            root_key: Some(RootKeySource::File(root_key.to_owned())),
            ..InitOptions::default()
        })
    }

    fn open_kms(&self) -> Result<Kms, Error> {
        StateDirectory::open(&self.state)?.open_kms(None, &Unlock::default(), Environment::system())
    }
}

fn works(kms: &Kms) {
    let key: KeyRef = Kms::CERTSTORE_ALIAS.parse().unwrap();
    let context = EncryptionContext::new();
    let (_, wrapped) = kms
        .generate_data_key(&Caller::Internal, &key, &context)
        .unwrap();
    kms.open_data_key(&Caller::Internal, &wrapped, &context)
        .unwrap();
}

#[test]
fn what_init_made_opens() {
    let scratch = scratch();
    let made = scratch.init().unwrap();
    assert!(made.remarks().is_empty());
    let opened = StateDirectory::open(&scratch.state).unwrap();
    assert_eq!(opened.store_id(), made.store_id());
    assert_eq!(opened.identity(), made.identity());
    let root_key = RootKeySource::File(scratch.root_key.clone());
    assert_eq!(opened.root_key(), &root_key);
    works(&scratch.open_kms().unwrap());
    for directory in [
        opened.path().to_owned(),
        opened.kms_directory(),
        opened.store_directory(),
        opened.trust_directory(),
    ] {
        let mode = fs::metadata(directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
    }
}

#[test]
fn account_and_region_are_recorded() {
    let scratch = scratch();
    let options = InitOptions {
        account: Some("123456789012".to_owned()),
        region: Some("eu-central-1".to_owned()),
        ..InitOptions::default()
    };
    scratch.init_with(&options).unwrap();
    let arn = scratch
        .open_kms()
        .unwrap()
        .list_keys(&Caller::Internal)
        .unwrap()[0]
        .arn
        .clone();
    assert!(arn.starts_with("arn:aws:kms:eu-central-1:123456789012:key/"));
}

#[test]
fn a_second_init_is_refused_and_changes_nothing() {
    let scratch = scratch();
    scratch.init().unwrap();
    let before = fs::read(scratch.state.join(MANIFEST)).unwrap();
    let lock = StateDirectory::open(&scratch.state).unwrap().lock("a test");
    let again = scratch.init().unwrap_err();
    assert!(matches!(&again, Error::Exists { path, .. } if path.ends_with(MANIFEST)));
    drop(lock);
    assert_eq!(fs::read(scratch.state.join(MANIFEST)).unwrap(), before);
    works(&scratch.open_kms().unwrap());
}

#[test]
fn a_root_key_inside_is_refused_before_anything_is_made() {
    let scratch = scratch();
    let beside = scratch.state.with_file_name("link");
    symlink(&scratch.state, &beside).unwrap();
    for inside in [
        scratch.state.join("root.key"),
        scratch.state.join("deep/er/root.key"),
        scratch.state.join("../state/root.key"),
    ] {
        let refused = scratch.init_with_root(&inside);
        assert!(
            matches!(refused, Err(Error::RootKeyInside { .. })),
            "{}",
            inside.display()
        );
        assert!(!scratch.state.exists());
    }
    fs::create_dir(&scratch.state).unwrap();
    let refused = scratch.init_with_root(&beside.join("root.key"));
    assert!(matches!(refused, Err(Error::RootKeyInside { .. })));
    // A name outside that leads inside.
    let link = scratch.state.with_file_name("root.key");
    fs::write(scratch.state.join("hidden"), "").unwrap();
    symlink(scratch.state.join("hidden"), &link).unwrap();
    let refused = scratch.init_with_root(&link);
    assert!(matches!(refused, Err(Error::RootKeyInside { .. })));
}

#[test]
fn a_root_key_that_cannot_be_made_is_refused_before_anything_is() {
    let scratch = scratch();
    let link = scratch.state.with_file_name("link");
    for target in [
        scratch.state.with_file_name("nothing"),
        scratch.state.join("root.key"),
    ] {
        symlink(&target, &link).unwrap();
        let refused = scratch.init_with_root(&link).map(drop);
        assert!(
            matches!(&refused, Err(Error::RootKeyDangling { to, .. }) if *to == target),
            "{refused:?}"
        );
        fs::remove_file(&link).unwrap();
    }
    let too_long = scratch.state.with_file_name("k".repeat(256));
    assert!(scratch.init_with_root(&too_long).is_err());
    assert!(!scratch.state.exists());
    let longest = scratch.state.with_file_name("k".repeat(255));
    scratch.init_with_root(&longest).unwrap();
}

#[test]
fn a_root_key_that_moved_inside_is_not_used() {
    let scratch = scratch();
    let state = scratch.init().unwrap();
    let inside = scratch.state.join("root.key");
    fs::rename(&scratch.root_key, &inside).unwrap();
    let inside = RootKeySource::File(inside);
    let refused = state.open_kms(Some(&inside), &Unlock::default(), Environment::system());
    assert!(matches!(
        refused.map(drop),
        Err(Error::RootKeyInside { .. })
    ));
}

#[test]
fn a_valid_root_key_that_is_there_is_used_and_never_overwritten() {
    let scratch = scratch();
    let elsewhere = scratch.state.with_file_name("keys").join("root.key");
    let first = scratch.init_with_root(&elsewhere).unwrap();
    let before = fs::read(&elsewhere).unwrap();
    fs::remove_dir_all(first.path()).unwrap();
    let second = scratch.init_with_root(&elsewhere).unwrap();
    assert_eq!(second.remarks().len(), 1, "{:?}", second.remarks());
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
    works(&scratch.open_kms().unwrap());
}

#[test]
fn what_is_no_root_key_is_left_alone() {
    let scratch = scratch();
    fs::write(&scratch.root_key, "my notes").unwrap();
    fs::set_permissions(&scratch.root_key, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = scratch.init();
    assert!(matches!(refused, Err(Error::RootKeyMalformed { .. })));
    assert_eq!(fs::read(&scratch.root_key).unwrap(), b"my notes");
    assert!(!scratch.state.join(MANIFEST).exists());
}

#[test]
fn a_key_database_without_its_root_key_is_not_replaced() {
    let scratch = scratch();
    scratch.init().unwrap();
    fs::remove_file(scratch.state.join(MANIFEST)).unwrap();
    fs::rename(&scratch.root_key, scratch.state.with_file_name("kept")).unwrap();
    let refused = scratch.init();
    assert!(matches!(refused, Err(Error::RootKeyMissing(_))));
    fs::rename(scratch.state.with_file_name("kept"), &scratch.root_key).unwrap();
    assert_eq!(scratch.init().unwrap().remarks().len(), 2);
    works(&scratch.open_kms().unwrap());
}

#[test]
fn a_missing_wrong_or_exposed_root_key_is_said_clearly() {
    let scratch = scratch();
    scratch.init().unwrap();
    fs::set_permissions(&scratch.root_key, fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = scratch.open_kms().map(drop);
    assert!(matches!(
        exposed,
        Err(Error::RootKeyExposed { mode: 0o644, .. })
    ));
    fs::remove_file(&scratch.root_key).unwrap();
    let missing = scratch.open_kms().map(drop);
    assert!(matches!(missing, Err(Error::RootKeyMissing(_))));
    RootKeyFile::new(&scratch.root_key)
        .create(&Environment::system())
        .unwrap();
    let wrong = scratch.open_kms().map(drop);
    assert!(matches!(wrong, Err(Error::WrongRootKey { .. })));
}

#[test]
fn there_is_one_writer_and_it_has_a_name() {
    let scratch = scratch();
    let state = scratch.init().unwrap();
    let own = format!("sealgate run, process {}", std::process::id());
    let lock = state.lock(&own).unwrap();
    let refused = state.lock("another").unwrap_err();
    assert!(matches!(&refused, Error::Locked { holder, .. } if *holder == own));
    drop(lock);
    let _lock = state.lock("short").unwrap();
    assert_eq!(fs::read(scratch.state.join(LOCK)).unwrap(), b"short");
}

#[test]
fn what_is_no_state_directory_is_said_so() {
    let scratch = scratch();
    let open = || StateDirectory::open(&scratch.state).map(drop);
    assert!(matches!(open(), Err(Error::NoStateDirectory(_))));
    fs::create_dir(&scratch.state).unwrap();
    assert!(matches!(open(), Err(Error::NoStateDirectory(_))));
    for manifest in ["", "{}", "[]", "{\"format\": 1}", "\0"] {
        fs::write(scratch.state.join(MANIFEST), manifest).unwrap();
        assert!(matches!(open(), Err(Error::Manifest { .. })), "{manifest}");
    }
}

#[test]
fn a_lost_manifest_is_written_anew_with_the_id_that_the_entries_have() {
    let scratch = scratch();
    let made = scratch.init().unwrap();
    let entry = [&b"sealcert\0\x01"[..], made.store_id().as_bytes(), b"more"].concat();
    fs::write(made.store_directory().join("a.example.e"), entry).unwrap();
    fs::write(made.store_directory().join("b.example.e"), "broken").unwrap();
    fs::remove_file(scratch.state.join(MANIFEST)).unwrap();
    let missing = StateDirectory::open(&scratch.state).unwrap_err();
    assert!(matches!(missing, Error::ManifestMissing(_)), "{missing}");
    let again = scratch.init().unwrap();
    assert_eq!(again.store_id(), made.store_id());
    assert_eq!(again.remarks().len(), 3, "{:?}", again.remarks());
}

/// As of a directory whose store's id was drawn apart.
#[test]
fn entries_of_another_store_are_not_orphaned_by_init() {
    let scratch = scratch();
    let made = scratch.init().unwrap();
    let entry = [&b"sealcert\0\x01"[..], Uuid::nil().as_bytes(), b"more"].concat();
    fs::write(made.store_directory().join("a.example.e"), entry).unwrap();
    fs::remove_file(scratch.state.join(MANIFEST)).unwrap();
    assert!(matches!(scratch.init(), Err(Error::StoreOrphaned(_))));
    assert!(!scratch.state.join(MANIFEST).exists());
    fs::remove_dir_all(made.kms_directory()).unwrap();
    assert!(matches!(scratch.init(), Err(Error::StoreOrphaned(_))));
    let mut kms = fs::read_dir(made.kms_directory()).unwrap();
    assert!(kms.next().is_none(), "no other key database is made");
}

#[test]
fn another_region_is_said_to_be_one() {
    let scratch = scratch();
    scratch.init().unwrap();
    let manifest = scratch.state.join(MANIFEST);
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"local\"", "\"eu-west-1\"")).unwrap();
    let other = |error: Error| {
        assert!(matches!(&error, Error::OtherIdentity(found) if found.region == "eu-west-1"));
    };
    other(scratch.open_kms().map(drop).unwrap_err());
    fs::remove_file(&manifest).unwrap();
    let options = InitOptions {
        region: Some("eu-west-1".to_owned()),
        ..InitOptions::default()
    };
    other(scratch.init_with(&options).unwrap_err());
    assert!(!manifest.exists());
}

#[test]
fn a_directory_that_others_can_write_in_is_refused() {
    let scratch = scratch();
    fs::create_dir(&scratch.state).unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&scratch.state, 0o777);
    assert!(matches!(scratch.init(), Err(Error::StateExposed { .. })));
    assert_eq!(fs::read_dir(&scratch.state).unwrap().count(), 0);
    mode(&scratch.state, 0o750);
    let made = scratch.init().unwrap();
    for path in [
        made.path().to_owned(),
        made.kms_directory(),
        made.store_directory(),
        made.trust_directory(),
    ] {
        for exposed in [0o720, 0o702, 0o1777] {
            mode(&path, exposed);
            let refused = StateDirectory::open(&scratch.state).unwrap_err();
            assert!(
                matches!(&refused, Error::StateExposed { path: named, mode } if *named == path && *mode == exposed)
            );
        }
        mode(&path, 0o755);
        StateDirectory::open(&scratch.state).unwrap();
    }
}

/// A manifest of format 1 as it was first written: it must be readable for ever.
#[test]
fn format_1_stays_readable_and_a_later_one_is_refused() {
    let text = include_str!("../../vectors/manifest-1.json");
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    assert_eq!(manifest.to_json(), text.as_bytes());
    let state = manifest.into_state(Path::new("/state")).unwrap();
    let root_key = RootKeySource::File("/etc/sealgate/root.key".into());
    assert_eq!(state.root_key, root_key);
    let later = text.replace("\"format\": 1", "\"format\": 3");
    assert!(
        Manifest::parse(later.as_bytes())
            .unwrap_err()
            .contains("format 3")
    );
}

#[test]
fn the_default_root_key_is_beside_the_state() {
    let path = |state| default_root_key(Path::new(state)).unwrap();
    let standard = Path::new("/etc/sealgate/root.key");
    assert_eq!(path("/var/lib/sealgate"), standard);
    assert_eq!(path("/var/lib/sealgate/"), standard);
    assert_eq!(path("/nowhere/s/"), Path::new("/nowhere/s.root.key"));
    assert_eq!(path("/nowhere/x/../s"), Path::new("/nowhere/s.root.key"));
    assert!(default_root_key(Path::new("/")).is_err());
}

/// A manifest of format 2 as it was first written: it must be readable for ever.
#[test]
fn format_2_stays_readable() {
    let text = include_str!("../../vectors/manifest-2.json");
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    let state = manifest.into_state(Path::new("/state")).unwrap();
    assert_eq!(state.root_key, RootKeySource::Credential("root".to_owned()));
    let next = state.next.clone().unwrap();
    assert_eq!(next.root_key, RootKeySource::Passphrase);
    assert_eq!(state.manifest().to_json(), text.as_bytes());
}

// === root keys that are in no file ===

fn passphrase(text: &str) -> Unlock {
    Unlock {
        passphrase: Some(Passphrase::new(Zeroizing::new(text.as_bytes().to_vec()))),
        ..Unlock::default()
    }
}

/// A directory of credentials, among which is `root`.
fn credentials() -> (TempDir, Unlock) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("root");
    fs::write(&path, [7; 32]).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
    let unlock = Unlock {
        credentials: Some(directory.path().to_owned()),
        ..Unlock::default()
    };
    (directory, unlock)
}

impl Scratch {
    fn init_under(&self, source: RootKeySource, unlock: &Unlock) -> (StateDirectory, Vec<Share>) {
        let options = InitOptions {
            root_key: Some(source),
            ..InitOptions::default()
        };
        StateDirectory::init_with(&self.state, &options, unlock, &Environment::system()).unwrap()
    }

    fn open_with(&self, unlock: &Unlock) -> Result<Kms, Error> {
        StateDirectory::open(&self.state)?.open_kms(None, unlock, Environment::system())
    }
}

#[test]
fn a_passphrase_opens_what_was_made_under_it() {
    let scratch = scratch();
    let (made, shares) = scratch.init_under(
        RootKeySource::Passphrase,
        &passphrase("correct horse battery"),
    );
    assert!(shares.is_empty() && !scratch.root_key.exists());
    assert_eq!(made.root_key(), &RootKeySource::Passphrase);
    works(
        &scratch
            .open_with(&passphrase("correct horse battery"))
            .unwrap(),
    );
    let wrong = scratch.open_with(&passphrase("correct horse batterx"));
    assert!(
        matches!(wrong.map(drop), Err(Error::Root(why)) if matches!(*why, RootError::PassphraseWrong))
    );
    let without = scratch.open_kms();
    assert!(matches!(
        without.map(drop),
        Err(Error::Sealed(Needs::Passphrase))
    ));
}

#[test]
fn shares_open_what_was_made_under_them_whoever_brings_them() {
    let scratch = scratch();
    let (_, shares) = scratch.init_under(RootKeySource::Shamir, &Unlock::default());
    assert_eq!(shares.len(), 3);
    let typed = |index: usize| Share::parse(shares[index].text().as_bytes()).unwrap();
    let with = |indices: &[usize]| Unlock {
        shares: indices.iter().map(|index| typed(*index)).collect(),
        ..Unlock::default()
    };
    for two in [[0, 1], [2, 0], [1, 2]] {
        works(&scratch.open_with(&with(&two)).unwrap());
    }
    let too_few = scratch.open_with(&with(&[1]));
    let Err(Error::Sealed(needs)) = too_few.map(drop) else {
        panic!("one is not enough");
    };
    assert!(matches!(
        needs,
        Needs::Shares {
            missing: 1,
            threshold: 2,
            count: 3
        }
    ));
    let twice = scratch.open_with(&with(&[1, 1])).map(drop);
    assert!(matches!(twice, Err(Error::Root(why)) if matches!(*why, RootError::ShareRepeated(2))));
}

#[test]
fn a_credential_opens_what_was_made_under_it() {
    let scratch = scratch();
    let (_directory, unlock) = credentials();
    scratch.init_under(RootKeySource::Credential("root".to_owned()), &unlock);
    works(&scratch.open_with(&unlock).unwrap());
    assert!(matches!(
        scratch.open_kms().map(drop),
        Err(Error::Sealed(_))
    ));
}

#[test]
fn every_byte_of_a_root_record_flipped_or_cut_is_named() {
    let scratch = scratch();
    let (_directory, unlock) = credentials();
    scratch.init_under(RootKeySource::Credential("root".to_owned()), &unlock);
    let record = root_record(&scratch.state);
    let good = fs::read(&record).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&record, bytes).unwrap();
        let refused = scratch.open_with(&unlock).map(drop).unwrap_err();
        assert!(
            refused.to_string().contains(&record.display().to_string()),
            "{refused}"
        );
    };
    for at in 0..good.len() {
        // The kind decides what it takes; that of shares cannot be asked for what it takes here.
        let mut changed = good.clone();
        changed[at] ^= 0x40;
        refused(&changed);
        refused(&good[..at]);
    }
    refused(&[&good[..], b"x"].concat());
    fs::remove_file(&record).unwrap();
    let missing = scratch.open_with(&unlock).map(drop).unwrap_err();
    assert!(
        missing.to_string().contains(&record.display().to_string()),
        "{missing}"
    );
    fs::write(&record, &good).unwrap();
    works(&scratch.open_with(&unlock).unwrap());
}

#[test]
fn a_root_record_of_another_database_is_refused() {
    let (one, other) = (scratch(), scratch());
    let (_directory, unlock) = credentials();
    for scratch in [&one, &other] {
        scratch.init_under(RootKeySource::Credential("root".to_owned()), &unlock);
    }
    let (mine, theirs) = (root_record(&one.state), root_record(&other.state));
    // Whatever it is called.
    fs::copy(&theirs, one.state.join(theirs.file_name().unwrap())).unwrap();
    works(&one.open_with(&unlock).unwrap());
    fs::copy(&theirs, &mine).unwrap();
    let refused = one.open_with(&unlock).map(drop).unwrap_err();
    assert!(
        refused.to_string().contains("it is of another root key"),
        "{refused}"
    );
}

/// The root record of a state directory that has one.
fn root_record(state: &Path) -> PathBuf {
    let mut files = fs::read_dir(state)
        .unwrap()
        .map(|file| file.unwrap().path());
    let is_record = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("root-")
    };
    files.find(is_record).unwrap()
}

// === a power failure during init ===

fn plan() -> Plan {
    Plan {
        state: "/var/state".into(),
        root_key: RootKeySource::File("/etc/keys/root.key".into()),
        sharing: Sharing::default(),
        identity: Identity::new("000000000000", "local").unwrap(),
    }
}

/// A plan whose root key takes a credential, and what it takes.
fn plan_with_credential() -> (TempDir, Plan, Unlock) {
    let (directory, unlock) = credentials();
    let plan = Plan {
        root_key: RootKeySource::Credential("root".to_owned()),
        ..plan()
    };
    (directory, plan, unlock)
}

fn init_on(files: &LossyFiles, plan: &Plan, unlock: &Unlock) -> Result<StateDirectory, Error> {
    create_directories(files, &plan.state)?;
    let made = plan.carry_out(files, unlock, &Environment::system());
    made.map(|(directory, _)| directory)
}

/// Opens the state as a start of the balancer would.
fn start_on(files: &LossyFiles, plan: &Plan, unlock: &Unlock) -> Result<Kms, Error> {
    let state = StateDirectory::open_on(files, &plan.state)?;
    let storage = Arc::new(FileStorage::on(files.clone(), state.kms_directory()));
    let (id, fingerprint) = Database::described(&*storage)?;
    let places = state.places_on(files.clone(), None, fingerprint);
    let (root, _) = root_key::open(&places, fingerprint, id, unlock)?;
    Kms::open(storage, &root, state.identity, Environment::system())
}

#[test]
fn a_power_failure_at_any_call_of_init_leaves_a_whole_state_or_none() {
    survives_power_failures(&plan(), &Unlock::default());
}

#[test]
fn so_it_does_where_the_root_key_is_in_a_record() {
    let (_directory, plan, unlock) = plan_with_credential();
    survives_power_failures(&plan, &unlock);
}

fn survives_power_failures(plan: &Plan, unlock: &Unlock) {
    let files = LossyFiles::new();
    init_on(&files, plan, unlock).unwrap();
    for call in 0..=files.calls() {
        let files = LossyFiles::new();
        files.lose_power_at(call);
        let acknowledged = init_on(&files, plan, unlock).is_ok();
        for seed in 0..30 {
            let files = files.after_power_loss(seed);
            match start_on(&files, plan, unlock) {
                Ok(kms) => works(&kms),
                Err(Error::NoStateDirectory(_) | Error::ManifestMissing(_)) if !acknowledged => {
                    init_on(&files, plan, unlock)
                        .unwrap_or_else(|e| panic!("call {call}, seed {seed}: {e}"));
                    works(&start_on(&files, plan, unlock).unwrap());
                }
                Err(error) => panic!("call {call}, seed {seed}: {error}"),
            }
        }
    }
}

// === moves of the root key, and a power failure during one ===

/// Moves the root key as `move_root` does.
fn move_on(
    files: &LossyFiles,
    plan: &Plan,
    (kms, unlock): (&Kms, &Unlock),
    to: &RootKeySource,
) -> Result<(), Error> {
    let mover = Mover::on(files.clone(), &plan.state);
    let environment = Environment::system();
    let new = match to.file() {
        Some(file) => mover.make_file(file, plan.root_key.file() == Some(file), &environment)?,
        None => {
            let storage = FileStorage::on(files.clone(), plan.state.join(KMS));
            let (id, _) = Database::described(&storage)?;
            let wanted = (to, Sharing::default());
            root_key::make(files.clone(), wanted, id, unlock, &environment)?
        }
    };
    mover.begin(kms, &new)?;
    mover.finish(kms, &|_, _| {}).map(drop)
}

/// Whether every record of the database is under the root key of its header, and no move is under way.
fn settled(files: &LossyFiles, plan: &Plan) {
    let state = StateDirectory::open_on(files, &plan.state).unwrap();
    assert_eq!(state.next, None);
    let storage = FileStorage::on(files.clone(), state.kms_directory());
    let (_, fingerprint) = Database::described(&storage).unwrap();
    for name in storage.list().unwrap() {
        let record = storage.get(&name).unwrap().unwrap().bytes;
        assert_eq!(record[6..14], *fingerprint.as_bytes(), "{name}");
    }
    let top = FileStorage::on(files.clone(), &plan.state);
    let names = top.list().unwrap();
    let records: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with("root-"))
        .collect();
    let expected = match state.root_key {
        RootKeySource::File(_) => Vec::new(),
        _ => vec![format!("root-{fingerprint}")],
    };
    assert_eq!(records, expected.iter().collect::<Vec<_>>());
}

fn move_survives_power_failures(plan: &Plan, unlock: &Unlock, to: &RootKeySource) {
    let begun = || {
        let files = LossyFiles::new();
        init_on(&files, plan, unlock).unwrap();
        let kms = start_on(&files, plan, unlock).unwrap();
        (files, kms)
    };
    let (files, kms) = begun();
    let before = files.calls();
    move_on(&files, plan, (&kms, unlock), to).unwrap();
    settled(&files, plan);
    works(&start_on(&files, plan, unlock).unwrap());
    for call in before..=files.calls() {
        let (files, kms) = begun();
        files.lose_power_at(call);
        let acknowledged = move_on(&files, plan, (&kms, unlock), to).is_ok();
        for seed in 0..10 {
            let files = files.after_power_loss(seed);
            let kms = start_on(&files, plan, unlock)
                .unwrap_or_else(|error| panic!("call {call}, seed {seed}: {error}"));
            works(&kms);
            assert_eq!(kms.damaged(), []);
            let state = StateDirectory::open_on(&files, &plan.state).unwrap();
            assert!(!acknowledged || (state.next.is_none() && !kms.is_rekeying()));
            Mover::on(files.clone(), &plan.state)
                .finish(&kms, &|_, _| {})
                .unwrap();
            settled(&files, plan);
            works(&start_on(&files, plan, unlock).unwrap());
            // It can be tried again, whatever was left over.
            if !acknowledged && seed == 0 && to == &plan.root_key {
                move_on(&files, plan, (&kms, unlock), to).unwrap();
                settled(&files, plan);
            }
        }
    }
}

#[test]
fn a_power_failure_at_any_call_of_a_move_from_a_file_leaves_one_root_key() {
    let (_directory, unlock) = credentials();
    let to = RootKeySource::Credential("root".to_owned());
    move_survives_power_failures(&plan(), &unlock, &to);
}

#[test]
fn so_it_does_of_a_move_to_a_file() {
    let (_directory, plan, unlock) = plan_with_credential();
    let to = RootKeySource::File("/etc/other/root.key".into());
    move_survives_power_failures(&plan, &unlock, &to);
}

#[test]
fn so_it_does_of_a_rotation_in_the_same_file() {
    let plan = plan();
    move_survives_power_failures(&plan, &Unlock::default(), &plan.root_key);
}

#[test]
fn so_it_does_of_a_rotation_under_the_same_credential() {
    let (_directory, plan, unlock) = plan_with_credential();
    move_survives_power_failures(&plan, &unlock, &plan.root_key);
}

#[test]
fn a_file_that_is_replaced_is_kept_beside_the_new_one() {
    let scratch = scratch();
    let state = scratch.init().unwrap();
    let old = fs::read(&scratch.root_key).unwrap();
    let kms = scratch.open_kms().unwrap();
    let before = state.root_in_force(None).unwrap().fingerprint;
    let new = state
        .make_root_file(&scratch.root_key, None, &Environment::system())
        .unwrap();
    state.move_root(&kms, &new, &|_, _| {}).unwrap();
    works(&kms);
    works(&scratch.open_kms().unwrap());
    let kept = scratch
        .root_key
        .with_file_name(format!("state.root.key.{before}"));
    assert_eq!(fs::read(&kept).unwrap(), old);
    assert_ne!(fs::read(&scratch.root_key).unwrap(), old);
    let with_old = StateDirectory::open(&scratch.state)
        .unwrap()
        .with_root_key(kept);
    let refused = with_old.open_kms(None, &Unlock::default(), Environment::system());
    assert!(matches!(refused.map(drop), Err(Error::WrongRootKey { .. })));
}

#[test]
fn a_root_record_that_was_made_elsewhere_must_fit() {
    let (mine, other) = (scratch(), scratch());
    let (state, foreign) = (mine.init().unwrap(), other.init().unwrap());
    let (_directory, unlock) = credentials();
    let source = RootKeySource::Credential("root".to_owned());
    let made = |state: &StateDirectory| {
        let wanted = (&source, Sharing::default());
        let new = state
            .make_root(wanted, &unlock, &Environment::system())
            .unwrap();
        let (key, record) = new.to_send().unwrap();
        (SecretKey::copy_from(key.expose()).unwrap(), record.to_vec())
    };
    let (key, record) = made(&foreign);
    let refused = state
        .receive_root(source.clone(), record.clone(), key)
        .map(drop);
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("another key database")
    );
    let (key, _) = made(&state);
    assert!(state.receive_root(source.clone(), record, key).is_err());
    let (key, record) = made(&state);
    assert!(
        state
            .receive_root(RootKeySource::Passphrase, record.clone(), key)
            .is_err()
    );
    let (key, cut) = (made(&state).0, record[1..].to_vec());
    assert!(state.receive_root(source, cut, key).is_err());
}
