//! The sealed store in the test's own process, for what would take too many commands.

use std::path::Path;
use std::sync::Arc;

use certstore::{Encoding, Import, PrivateKey, SealedStore};
use kms::storage::FileStorage;
use kms::{Environment, Kms, StateDirectory};

use crate::pki::Issued;
use crate::testbed::Testbed;

/// The store of a test bed on which no balancer runs.
pub fn open_store(testbed: &Testbed) -> SealedStore {
    open_store_at(&testbed.state())
}

/// The store of a state directory on which no balancer runs.
pub fn open_store_at(state: &Path) -> SealedStore {
    let directory = StateDirectory::open(state).expect("init has run");
    let kms = directory
        .open_kms(None, &kms::Unlock::default(), Environment::system())
        .expect("the root key is there");
    let key = Kms::CERTSTORE_ALIAS.parse().expect("an alias");
    SealedStore::new(
        Arc::new(FileStorage::new(directory.store_directory())),
        Arc::new(kms),
        key,
        directory.store_id(),
        directory.identity().region.clone(),
        Environment::system(),
    )
}

/// Seals a certificate.
pub fn import(store: &SealedStore, name: &str, issued: &Issued) {
    let key = PrivateKey::from_der(&issued.key_der, Encoding::Pkcs8).expect("a key");
    let import = Import {
        name: name.to_owned(),
        chain_pem: vec![("the test".to_owned(), issued.chain.clone())],
        key: Some(key),
        exportable: false,
        allow_expired: false,
        allow_name_change: false,
    };
    store.import(import).expect("a good certificate is sealed");
}
