//! Looks for keys in this process's own memory, as somebody with a debugger would.
//!
//! The one test of this binary, so that no other's keys are in the way.

use std::collections::HashMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use kms::{
    Caller, EncryptionContext, Environment, Error, InitOptions, KeyRef, Kms, NewKey, Random,
    SecretKey, StateDirectory, Unlock, WrappedKey, aead, secret,
};

/// Keys in use stand in locked pages and nowhere else; keys that were dropped stand nowhere at all.
#[test]
fn keys_stand_in_locked_pages_only() {
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

/// A key that a search cannot find here.
type Masked = [u8; SecretKey::LEN];

const MASK: u8 = 0x5a;

impl Witness {
    fn take(&self) -> Vec<Masked> {
        std::mem::take(&mut self.0.lock().expect("no test has failed"))
    }
}

impl Random for Witness {
    fn fill(&self, out: &mut [u8]) {
        Environment::system().random.fill(out);
        if out.len() == SecretKey::LEN {
            let mut masked = [MASK; SecretKey::LEN];
            for (masked, byte) in masked.iter_mut().zip(out) {
                *masked ^= *byte;
            }
            self.0.lock().expect("no test has failed").push(masked);
        }
    }
}

// === the search ===

/// Where halves of keys were seen: half a key is as bad as a whole one, and the unit in which ciphers
/// move keys about.
#[derive(Default)]
struct Found {
    locked: usize,
    elsewhere: Vec<String>,
}

const HALF: usize = SecretKey::LEN / 2;

fn look_for(keys: &[Masked]) -> Found {
    let needles = Needles::new(keys);
    let memory = File::open("/proc/self/mem").expect("proc is mounted");
    let mut window = vec![0; 1 << 20];
    let own = window.as_ptr().addr()..window.as_ptr().addr() + window.len();
    let mut found = Found::default();
    for mapping in mappings() {
        let mut at = mapping.range.start;
        while at + HALF <= mapping.range.end {
            let len = window.len().min(mapping.range.end - at);
            // A mapping may have gone since it was listed.
            let Ok(len @ HALF..) = memory.read_at(&mut window[..len], at as u64) else {
                break;
            };
            for hit in needles.hits(&window[..len]).map(|offset| at + offset) {
                match mapping.locked {
                    _ if own.contains(&hit) => {}
                    true => found.locked += 1,
                    false => found.elsewhere.push(format!("{hit:x} {}", mapping.name)),
                }
            }
            at += len - (HALF - 1);
        }
    }
    found
}

/// Masked halves of keys, with a table of how they begin.
struct Needles {
    halves: HashMap<[u8; 2], Vec<Vec<u8>>>,
    begins: Vec<bool>,
}

impl Needles {
    fn new(keys: &[Masked]) -> Self {
        let mut halves: HashMap<_, Vec<_>> = HashMap::new();
        let mut begins = vec![false; 1 << 16];
        for half in keys.iter().flat_map(|key| key.chunks(HALF)) {
            begins[begin(half[0] ^ MASK, half[1] ^ MASK)] = true;
            let same = halves.entry([half[0], half[1]]).or_default();
            same.push(half.to_vec());
        }
        Self { halves, begins }
    }

    fn hits<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let places = 0..=bytes.len() - HALF;
        let begun = places.filter(|&at| self.begins[begin(bytes[at], bytes[at + 1])]);
        begun.filter(|&at| self.is_half(&bytes[at..at + HALF]))
    }

    fn is_half(&self, bytes: &[u8]) -> bool {
        let same = self.halves.get(&[bytes[0] ^ MASK, bytes[1] ^ MASK]);
        let is = |half: &Vec<u8>| {
            bytes
                .iter()
                .zip(half)
                .all(|(byte, mask)| byte ^ MASK == *mask)
        };
        same.into_iter().flatten().any(is)
    }
}

fn begin(one: u8, two: u8) -> usize {
    usize::from(u16::from_be_bytes([one, two]))
}

struct Mapping {
    range: Range<usize>,
    name: String,
    locked: bool,
}

/// The readable parts of this process's memory, and whether each is locked (proc_pid_smaps(5)).
fn mappings() -> Vec<Mapping> {
    let mut mappings = Vec::<Mapping>::new();
    let smaps = fs::read_to_string("/proc/self/smaps").expect("proc is mounted");
    for line in smaps.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let last = mappings.last_mut().expect("flags follow a mapping");
            last.locked = flags.split_whitespace().any(|flag| flag == "lo");
        } else if let Some((range, name)) = header(line) {
            mappings.push(Mapping {
                range,
                name: name.to_owned(),
                locked: false,
            });
        }
    }
    // What the kernel maps by itself (`[vvar]`) is no memory of ours.
    mappings.retain(|mapping| mapping.name.starts_with('r') && !mapping.name.contains("[v"));
    mappings
}

/// `7f00-7fff rw-p 00000000 00:00 0   [heap]`
fn header(line: &str) -> Option<(Range<usize>, &str)> {
    let (range, name) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some((number(start)?..number(end)?, name))
}
