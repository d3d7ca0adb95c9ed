//! What tests of this crate share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kms::storage::{MemoryStorage, Storage};
use kms::{Environment, Identity, KeyRef, Kms, RootKey, SecretKey};
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

pub(crate) fn store(
    storage: Arc<dyn Storage>,
    kms: Arc<Kms>,
    id: Uuid,
    region: &str,
) -> SealedStore {
    let key = KeyRef::Alias(Kms::CERTSTORE_ALIAS.to_owned());
    SealedStore::new(
        storage,
        kms,
        key,
        id,
        region.to_owned(),
        Environment::system(),
    )
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
