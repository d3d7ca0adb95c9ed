//! Puts and deletes under a power failure at every call: what was acknowledged survives, and the one
//! that was under way is old or new, whole.

use std::collections::BTreeMap;
use std::path::Path;

use super::lossy::LossyFiles;
use super::*;

type Records = BTreeMap<String, Vec<u8>>;

/// A put of some bytes, or a delete.
const SCRIPT: [(&str, Option<&[u8]>); 7] = [
    ("a", Some(b"first")),
    ("b", Some(b"other")),
    ("a", Some(b"second, longer")),
    ("b", None),
    ("a", Some(b"3rd")),
    ("c", Some(b"")),
    ("b", Some(b"again")),
];

#[test]
fn a_power_failure_at_any_call_loses_nothing_that_was_acknowledged() {
    for call in 0..calls_of_the_script() {
        let files = LossyFiles::new();
        let storage = mounted(&files);
        files.lose_power_at(call);
        let (before, after) = run_until_it_fails(&storage);
        for seed in 0..50 {
            let found = records(&mounted(&files.after_power_loss(seed)));
            assert!(
                found == before || found == after,
                "call {call}, seed {seed}: {found:?}"
            );
        }
    }
}

#[test]
fn a_call_that_fails_leaves_old_or_new_and_the_next_succeeds() {
    for call in 0..calls_of_the_script() {
        let files = LossyFiles::new();
        let storage = mounted(&files);
        files.fail_once_at(call);
        let (before, after) = run_until_it_fails(&storage);
        let found = records(&storage);
        assert!(found == before || found == after, "call {call}: {found:?}");
        storage.put("a", b"next", Expected::Any).unwrap();
        let found = records(&mounted(&files.after_power_loss(call)));
        assert_eq!(found["a"], b"next", "call {call}");
    }
}

#[test]
fn leftovers_of_a_crash_are_swept_by_the_next_writer() {
    let files = LossyFiles::new();
    files.lose_power_at(2);
    assert!(mounted(&files).put("a", b"1", Expected::Any).is_err());
    let files = (0..)
        .map(|seed| files.after_power_loss(seed))
        .find(|files| files.list(Path::new("/")).unwrap() == [".tmp-0"])
        .expect("the temporary file survives for some seed");
    mounted(&files).put("a", b"1", Expected::Absent).unwrap();
    assert_eq!(files.list(Path::new("/")).unwrap(), ["a"]);
}

fn mounted(files: &LossyFiles) -> FileStorage<LossyFiles> {
    FileStorage::on(files.clone(), "/")
}

fn calls_of_the_script() -> u64 {
    let files = LossyFiles::new();
    let (before, after) = run_until_it_fails(&mounted(&files));
    assert_eq!(before, after);
    files.calls()
}

/// The records before and after the step that failed: the same where none did.
fn run_until_it_fails(storage: &impl Storage) -> (Records, Records) {
    let mut before = Records::new();
    for (name, bytes) in SCRIPT {
        let mut after = before.clone();
        let result = match bytes {
            Some(bytes) => {
                after.insert(name.to_owned(), bytes.to_vec());
                storage.put(name, bytes, Expected::Any).map(drop)
            }
            None => {
                after.remove(name);
                storage.delete(name, Expected::Any)
            }
        };
        if result.is_err() {
            return (before, after);
        }
        before = after;
    }
    (before.clone(), before)
}

fn records(storage: &impl Storage) -> Records {
    let names = storage.list().unwrap().into_iter();
    names
        .map(|name| {
            let record = storage.get(&name).unwrap().expect("it was listed");
            (name, record.bytes)
        })
        .collect()
}
