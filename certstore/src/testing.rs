//! What tests of this crate share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kms::storage::{Expected, MemoryStorage, Storage};
use kms::{Clock, Environment, Identity, KeyRef, Kms, RootKey, SecretKey};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::ca::TestCa;
use crate::key_type::KeyType;
use crate::private_key::PrivateKey;
use crate::store::{Import, Imported, SealedStore};

/// A store in memory, and a certificate authority.
pub(crate) struct Fixture {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) kms: Arc<Kms>,
    pub(crate) store: Arc<SealedStore>,
    pub(crate) ca: TestCa,
}

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
pub(crate) const STORE: Uuid = Uuid::from_bytes([3; 16]);

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(MemoryStorage::new()))
    }

    pub(crate) fn on(storage: Arc<dyn Storage>) -> Self {
        let kms = Arc::new(kms());
        let environment = Environment::system();
        Self {
            store: Arc::new(store(storage.clone(), kms.clone(), STORE, "local")),
            storage,
            kms,
            ca: TestCa::new(&environment).unwrap(),
        }
    }

    /// As [`new`](Self::new), with bucket keys.
    pub(crate) fn with_bucket_keys() -> Self {
        Self::with_bucket_keys_on(Arc::new(MemoryStorage::new()), Environment::system())
    }

    /// A store with bucket keys in that storage, for which time is that of `environment`.
    pub(crate) fn with_bucket_keys_on(storage: Arc<dyn Storage>, environment: Environment) -> Self {
        let kms = Arc::new(kms());
        let store = derived_store(storage.clone(), kms.clone(), environment.clone());
        Self {
            store: Arc::new(store),
            storage,
            kms,
            ca: TestCa::new(&environment).unwrap(),
        }
    }

    /// Imports a certificate of that kind for `name` alone, valid for that many days.
    pub(crate) fn import(&self, name: &str, key_type: KeyType, days: u32) -> Imported {
        let now = SystemTime::now();
        let issued = self
            .ca
            .issue_for(key_type, &[name], now - DAY, now + days * DAY)
            .unwrap();
        self.store.import(import(name, issued)).unwrap()
    }

    pub(crate) fn bytes(&self, file: &str) -> Vec<u8> {
        self.storage.get(file).unwrap().unwrap().bytes
    }
}

pub(crate) fn import(name: &str, (chain, key): (String, PrivateKey)) -> Import {
    Import {
        name: name.to_owned(),
        chain_pem: vec![("chain.pem".to_owned(), chain)],
        key: Some(key),
        exportable: false,
        allow_expired: false,
        allow_name_change: false,
    }
}

pub(crate) fn kms() -> Kms {
    let root = RootKey::new(SecretKey::copy_from(&[1; 32]).unwrap(), "a test");
    let identity = Identity::new("000000000000", "local").unwrap();
    Kms::create(
        Arc::new(MemoryStorage::new()),
        &root,
        identity,
        Environment::system(),
    )
    .unwrap()
}

/// A KMS as it was kept, under the root key of [`kms`].
pub(crate) fn opened_kms(storage: Arc<dyn Storage>) -> Kms {
    let root = RootKey::new(SecretKey::copy_from(&[1; 32]).unwrap(), "a test");
    let identity = Identity::new("000000000000", "local").unwrap();
    Kms::open(storage, &root, identity, Environment::system()).unwrap()
}

/// The records of a text in which each line is a name and, in hexadecimal, a content.
pub(crate) fn records(text: &str) -> Arc<MemoryStorage> {
    let storage = Arc::new(MemoryStorage::new());
    for line in text.lines() {
        let (name, hex) = line.split_once(' ').unwrap();
        storage.put(name, &unhex(hex), Expected::Absent).unwrap();
    }
    storage
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// A store without bucket keys.
pub(crate) fn store(
    storage: Arc<dyn Storage>,
    kms: Arc<Kms>,
    id: Uuid,
    region: &str,
) -> SealedStore {
    let key = KeyRef::Alias(Kms::CERTSTORE_ALIAS.to_owned());
    let environment = Environment::system();
    let store = SealedStore::new(storage, kms, key, id, region.to_owned(), environment);
    store.use_bucket_keys(false);
    store
}

/// A store with bucket keys.
pub(crate) fn derived_store(
    storage: Arc<dyn Storage>,
    kms: Arc<Kms>,
    environment: Environment,
) -> SealedStore {
    let key = KeyRef::Alias(Kms::CERTSTORE_ALIAS.to_owned());
    SealedStore::new(storage, kms, key, STORE, "local".to_owned(), environment)
}

/// A clock that stands until it is told to go on.
pub(crate) struct TestClock(Mutex<SystemTime>);

impl TestClock {
    /// A clock that shows what it is now, and the system's randomness.
    pub(crate) fn environment() -> (Arc<Self>, Environment) {
        let clock = Arc::new(Self(Mutex::new(SystemTime::now())));
        let environment = Environment {
            clock: clock.clone(),
            ..Environment::system()
        };
        (clock, environment)
    }

    pub(crate) fn go_on(&self, time: Duration) {
        *self.0.lock() += time;
    }

    pub(crate) fn set_back(&self, time: Duration) {
        *self.0.lock() -= time;
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        *self.0.lock()
    }
}

/// A directory in which `openssl` is called, and its files.
pub(crate) struct OpenSsl(tempfile::TempDir);

impl OpenSsl {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Calls `openssl` with these arguments, and hands back what it writes.
    pub(crate) fn run(&self, arguments: &str) -> Vec<u8> {
        let mut command = Command::new("openssl");
        let output = command
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        Path::join(self.0.path(), file)
    }

    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path(file)).unwrap()
    }

    pub(crate) fn text(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }
}
