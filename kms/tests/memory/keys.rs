//! Symmetric keys: backing keys and data keys.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use kms::{
    Caller, EncryptionContext, Environment, Error, InitOptions, KeyRef, Kms, NewKey, Random,
    SecretKey, StateDirectory, Unlock, WrappedKey, aead, secret,
};

use crate::alone;
use crate::search::{Masked, look_for};

/// Keys in use stand in locked pages and nowhere else; keys that were dropped stand nowhere at all.
#[test]
fn keys_stand_in_locked_pages_only() {
    let _alone = alone();
    a_key_that_stands_elsewhere_is_found();
    let witness = Arc::new(Witness::default());
    let directory = tempfile::tempdir().unwrap();
    let (started, kms) = mpsc::channel();
    let (stop, stopped) = mpsc::channel();
    thread::scope(|scope| {
        // Dropped with this closure, also when it fails: then the thread ends.
        let _stop: Sender<()> = stop;
        let (state, random) = (directory.path().join("state"), witness.clone());
        scope.spawn(move || live(&state, random, &started, &stopped).unwrap());
        let kms = kms.recv().unwrap();
        assert!(
            secret::all_locked(),
            "RLIMIT_MEMLOCK is too low for this test"
        );
        let root_and_backing_keys = witness.take();
        use_keys(&kms).unwrap();
        let data_keys = witness.take();

        let found = look_for(&data_keys);
        assert_eq!((data_keys.len(), found.locked), (DATA_KEYS, 0));
        assert_eq!(found.elsewhere, [""; 0]);
        // The root key was needed to open the database only.
        let found = look_for(&root_and_backing_keys);
        assert_eq!(
            (root_and_backing_keys.len(), found.locked),
            (1 + BACKING_KEYS, 2 * BACKING_KEYS)
        );
        assert_eq!(found.elsewhere, [""; 0]);
    });
}

/// Or the search would prove nothing.
fn a_key_that_stands_elsewhere_is_found() {
    let witness = Witness::default();
    let mut stray = Box::new([0; SecretKey::LEN]);
    witness.fill(&mut *stray);
    let found = look_for(&witness.take());
    assert_eq!(
        (found.elsewhere.len(), found.locked),
        (2, 0),
        "{:?}",
        found.elsewhere
    );
    stray.fill(0);
}

/// Two keys, one of which was rotated.
const BACKING_KEYS: usize = 3;
const DATA_KEYS: usize = 20;

/// Makes and opens a KMS on a thread that stays, whose stack will be searched too.
fn live(
    state: &Path,
    random: Arc<Witness>,
    started: &Sender<Arc<Kms>>,
    stop: &Receiver<()>,
) -> Result<(), Error> {
    let environment = Environment {
        random,
        ..Environment::system()
    };
    StateDirectory::init(state, &InitOptions::default(), &environment)?;
    let state = StateDirectory::open(state)?;
    let kms = state.open_kms(None, &Unlock::default(), environment.clone())?;
    let new = NewKey {
        description: "a customer's".to_owned(),
        alias: Some("alias/shop".to_owned()),
        policy: None,
        ..NewKey::default()
    };
    kms.create_key(&Caller::Internal, new)?;
    kms.rotate_key(&Caller::Internal, &shop())?;
    drop(kms);
    let kms = state.open_kms(None, &Unlock::default(), environment)?;
    started.send(Arc::new(kms)).expect("the test waits");
    stop.recv().expect_err("the test is over");
    Ok(())
}

/// What a certificate store does: data keys made, used, opened, wrapped anew.
fn use_keys(kms: &Kms) -> Result<(), Error> {
    let context = EncryptionContext::new().with("sealgate:store", "1");
    for _ in 0..DATA_KEYS {
        let key = &shop();
        let (data_key, wrapped) = kms.generate_data_key(&Caller::Internal, key, &context)?;
        let mut message = *b"a private key";
        let tag = aead::seal(data_key.key(), &[0; 12], b"header", &mut message);
        drop(data_key);
        let blob = wrapped.as_bytes();
        let wrapped = kms.re_encrypt(&Caller::Internal, blob, &context, key, &context)?;
        let wrapped = WrappedKey::from_bytes(wrapped);
        let data_key = kms.open_data_key(&Caller::Internal, &wrapped, &context)?;
        let opened = aead::open(data_key.key(), &[0; 12], b"header", &mut message, &tag);
        assert_eq!((opened, &message), (Ok(()), b"a private key"));
    }
    Ok(())
}

fn shop() -> KeyRef {
    "alias/shop".parse().expect("an alias")
}

/// The system's randomness, which remembers all keys that it gave out.
#[derive(Default)]
struct Witness(Mutex<Vec<Masked>>);

impl Witness {
    fn take(&self) -> Vec<Masked> {
        std::mem::take(&mut self.0.lock().expect("no test has failed"))
    }
}

impl Random for Witness {
    fn fill(&self, out: &mut [u8]) {
        Environment::system().random.fill(out);
        if out.len() == SecretKey::LEN {
            let masked = Masked::new(&*out);
            self.0.lock().expect("no test has failed").push(masked);
        }
    }
}
