use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use tempfile::TempDir;

use super::*;

fn each_storage(test: impl Fn(&dyn Storage)) {
    test(&MemoryStorage::new());
    let directory = TempDir::new().unwrap();
    test(&FileStorage::new(directory.path()));
}

#[test]
fn what_was_put_is_there() {
    each_storage(|storage| {
        assert_eq!(storage.get("a").unwrap(), None);
        let version = storage.put("a", b"one", Expected::Absent).unwrap();
        let record = Record {
            bytes: b"one".to_vec(),
            version,
        };
        assert_eq!(storage.get("a").unwrap(), Some(record));
        storage.put("b", b"", Expected::Any).unwrap();
        assert_eq!(storage.list().unwrap(), ["a", "b"]);
        storage.delete("a", Expected::Version(version)).unwrap();
        storage.delete("a", Expected::Any).unwrap();
        assert_eq!(storage.list().unwrap(), ["b"]);
    });
}

#[test]
fn a_writer_who_has_not_seen_the_last_version_is_refused() {
    each_storage(|storage| {
        let old = storage.put("a", b"one", Expected::Absent).unwrap();
        let new = storage.put("a", b"two", Expected::Version(old)).unwrap();
        for expected in [Expected::Absent, Expected::Version(old)] {
            let put = storage.put("a", b"three", expected);
            assert!(matches!(put, Err(Error::Conflict(name)) if name == "a"));
            let deleted = storage.delete("a", expected);
            assert!(matches!(deleted, Err(Error::Conflict(name)) if name == "a"));
        }
        assert_eq!(storage.get("a").unwrap().unwrap().version, new);
        let absent = storage.put("b", b"one", Expected::Version(new));
        assert!(matches!(absent, Err(Error::Conflict(name)) if name == "b"));
    });
}

#[test]
fn names_stay_in_the_directory() {
    let long = "x".repeat(256);
    each_storage(|storage| {
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "../a",
            "a\0b",
            long.as_str(),
        ] {
            let refused = |result: Result<(), Error>| {
                assert!(
                    matches!(result, Err(Error::InvalidRecordName(_))),
                    "{name:?}"
                );
            };
            refused(storage.get(name).map(drop));
            refused(storage.put(name, b"", Expected::Any).map(drop));
            refused(storage.delete(name, Expected::Any));
        }
        storage.put(&long[1..], b"", Expected::Absent).unwrap();
    });
}

#[test]
fn a_record_has_a_longest_length() {
    each_storage(|storage| {
        let put = storage.put("a", &vec![0; MAX_RECORD + 1], Expected::Any);
        assert!(matches!(put, Err(Error::RecordTooLong(_))));
        storage
            .put("a", &vec![0; MAX_RECORD], Expected::Any)
            .unwrap();
        assert_eq!(storage.get("a").unwrap().unwrap().bytes.len(), MAX_RECORD);
    });
}

#[test]
fn a_file_too_long_to_be_a_record_is_not_read_whole() {
    let directory = TempDir::new().unwrap();
    let file = fs::File::create(directory.path().join("huge")).unwrap();
    file.set_len(1 << 40).unwrap();
    let storage = FileStorage::new(directory.path());
    assert!(matches!(storage.get("huge"), Err(Error::RecordTooLong(_))));
}

#[test]
fn what_is_no_regular_file_is_an_error_and_never_waited_for() {
    let directory = TempDir::new().unwrap();
    let fifo = directory.path().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    fs::create_dir(directory.path().join("directory")).unwrap();
    let storage = FileStorage::new(directory.path());
    let refused = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::NotARecord(_))), "{result:?}");
    };
    for name in ["fifo", "directory"] {
        refused(storage.get(name).map(drop));
    }
    refused(storage.put("directory", b"", Expected::Any).map(drop));
    refused(storage.delete("directory", Expected::Any));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn only_the_owner_reads_a_record() {
    let directory = TempDir::new().unwrap();
    FileStorage::new(directory.path())
        .put("a", b"", Expected::Any)
        .unwrap();
    let metadata = fs::metadata(directory.path().join("a")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(metadata.nlink(), 1);
}

#[test]
fn leftovers_of_a_crash_are_no_records_and_go_with_the_next_write() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join(".tmp-0"), "half").unwrap();
    let storage = FileStorage::new(directory.path());
    assert!(storage.list().unwrap().is_empty());
    storage.put("a", b"whole", Expected::Absent).unwrap();
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(files.len(), 1);
    assert_eq!(storage.get("a").unwrap().unwrap().bytes, b"whole");
}

#[test]
fn what_cannot_be_swept_is_in_nobodys_way() {
    let directory = TempDir::new().unwrap();
    for name in [".tmp-0", ".tmp-1", ".tmp-x"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    let storage = FileStorage::new(directory.path());
    storage.put("a", b"whole", Expected::Absent).unwrap();
    assert_eq!(storage.list().unwrap(), ["a"]);
    assert_eq!(storage.get("a").unwrap().unwrap().bytes, b"whole");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
}
