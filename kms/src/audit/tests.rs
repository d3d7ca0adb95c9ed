use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use parking_lot::Mutex;
use uuid::Uuid;

use super::record::OwnRecord;
use super::*;
use crate::error::Error;
use crate::secret::SecretKey;
use crate::storage::lossy::LossyFiles;
use crate::storage::{FileSystem, OpenFile};
use crate::test_util::repeatable;

/// A database that holds an anchor, and a disk that holds a log.
struct Place {
    files: LossyFiles,
    key: u8,
    anchor: Arc<Anchors>,
    options: AuditOptions,
}

struct Anchors(Mutex<Anchor>);

impl AnchorStore for Anchors {
    fn put(&self, anchor: &Anchor) -> Result<(), Error> {
        *self.0.lock() = *anchor;
        Ok(())
    }
}

impl Place {
    fn new() -> Self {
        Self::of(1)
    }

    fn of(key: u8) -> Self {
        let anchor = Anchor::new(Uuid::from_bytes([key; 16]));
        Self {
            files: LossyFiles::new(),
            key,
            anchor: Arc::new(Anchors(Mutex::new(anchor))),
            options: AuditOptions {
                mode: AuditMode::Required,
                max_file_size: 800,
            },
        }
    }

    fn with_mode(mut self, mode: AuditMode) -> Self {
        self.options.mode = mode;
        self
    }

    /// A copy of the database, with another disk.
    fn on(&self, files: LossyFiles) -> Self {
        Self {
            files,
            key: self.key,
            anchor: Arc::new(Anchors(Mutex::new(*self.anchor.0.lock()))),
            options: self.options,
        }
    }

    fn try_open(&self) -> Result<AuditLog<LossyFiles>, Error> {
        let key = SecretKey::copy_from(&[self.key; 32]).unwrap();
        let anchor = *self.anchor.0.lock();
        AuditLog::open(
            self.files.clone(),
            "/".into(),
            &key,
            &anchor,
            self.options,
            repeatable().clock,
            self.anchor.clone(),
        )
    }

    fn open(&self) -> AuditLog<LossyFiles> {
        self.try_open().unwrap()
    }

    /// A log of `calls` calls, closed.
    fn written(self, calls: usize) -> Self {
        let log = self.open();
        for call in 0..calls {
            write(&log, call).unwrap();
        }
        drop(log);
        self
    }

    fn verify(&self) -> Verification {
        self.open().verify(false, &|_, _| {}).unwrap()
    }

    /// What `verify` finds first, as (record, kind).
    fn fault(&self) -> Option<(u64, FaultKind)> {
        let fault = self.verify().fault?;
        assert!(fault.to_string().contains(&fault.file), "{fault}");
        Some((fault.record, fault.kind))
    }

    /// The lines of all files, by file.
    fn lines(&self) -> BTreeMap<String, Vec<Vec<u8>>> {
        let names = self.files.list(Path::new("/")).unwrap().into_iter();
        names
            .map(|name| {
                let name = name.into_string().unwrap();
                let bytes = self.files.read(&path(&name), usize::MAX).unwrap();
                let lines = bytes.split_inclusive(|byte| *byte == b'\n');
                (name, lines.map(<[u8]>::to_vec).collect())
            })
            .collect()
    }

    /// This database with a disk that holds these lines.
    fn holding(&self, lines: &BTreeMap<String, Vec<Vec<u8>>>) -> Self {
        let files = LossyFiles::new();
        for (name, lines) in lines {
            let mut file = files.create(&path(name)).unwrap();
            file.write_all(&lines.concat()).unwrap();
        }
        self.on(files)
    }
}

fn path(name: &str) -> PathBuf {
    Path::new("/").join(name)
}

fn write(log: &AuditLog<LossyFiles>, call: usize) -> Result<(), Error> {
    let body = format!(r#""eventType":"AwsApiCall","call":{call}"#);
    log.write(SystemTime::UNIX_EPOCH, body.as_bytes())
}

/// Every line of a log in order, with its file and its place in it.
fn places(lines: &BTreeMap<String, Vec<Vec<u8>>>) -> Vec<(String, usize)> {
    let in_file = |(name, lines): (&String, &Vec<_>)| {
        let name = name.clone();
        (0..lines.len()).map(move |at| (name.clone(), at))
    };
    lines.iter().flat_map(in_file).collect()
}

#[test]
fn a_log_that_nobody_touched_is_whole() {
    let place = Place::new().written(10);
    let found = place.verify();
    assert_eq!(found.fault, None);
    assert!(found.files >= 3, "{found:?}");
    assert_eq!(
        (found.calls, found.first, found.last),
        (10, 1, found.records)
    );
    assert_eq!(found.checkpoint, found.last);
    let again = Place::new().written(10).written(5);
    assert_eq!((again.verify().calls, again.fault()), (15, None));
    assert_eq!(Place::new().verify().records, 0);
}

#[test]
fn a_checkpoint_stands_every_thousand_records() {
    let mut place = Place::new();
    place.options.max_file_size = 1 << 20;
    let place = place.written(2500);
    let log = place.open();
    assert_eq!(log.verify(false, &|_, _| {}).unwrap().last, 2500 + 1 + 3);
    let lines = place.lines().into_values().flatten().collect::<Vec<_>>();
    let is_checkpoint = |line: &&Vec<u8>| String::from_utf8_lossy(line).contains("Checkpoint");
    assert_eq!(lines.iter().filter(is_checkpoint).count(), 3);
}

#[test]
fn every_changed_byte_is_found_and_named() {
    let place = Place::new().written(9);
    let lines = place.lines();
    for (at, (file, line)) in (1..).zip(places(&lines)) {
        for byte in 0..lines[&file][line].len() {
            for bit in [0x01, 0x20, 0x80] {
                let mut changed = lines.clone();
                changed.get_mut(&file).unwrap()[line][byte] ^= bit;
                let (record, kind) = place.holding(&changed).fault().expect("it is found");
                assert_eq!(record, at, "byte {byte}, bit {bit}: {kind:?}");
            }
        }
    }
}

#[test]
fn every_cut_is_found_and_named() {
    let place = Place::new().written(9);
    let lines = place.lines();
    for (at, (file, line)) in (1..).zip(places(&lines)) {
        for byte in 0..lines[&file][line].len() {
            let mut cut = lines.clone();
            let of_file = cut.get_mut(&file).unwrap();
            of_file.truncate(line + 1);
            of_file[line].truncate(byte);
            let (record, kind) = place.holding(&cut).fault().expect("it is found");
            assert_eq!(record, at, "byte {byte}: {kind:?}");
            // And with all that stood behind it gone.
            cut.retain(|name, _| *name <= file);
            let (record, kind) = place.holding(&cut).fault().expect("it is found");
            assert_eq!(record, at, "byte {byte}: {kind:?}");
        }
    }
}

#[test]
fn every_missing_moved_repeated_or_foreign_record_is_found_and_named() {
    let place = Place::new().written(9);
    let foreign = Place::of(2).written(9).lines();
    let lines = place.lines();
    let places = places(&lines);
    for (at, (file, line)) in (1..).zip(&places) {
        let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut lines = lines.clone();
            change(lines.get_mut(file).unwrap());
            place.holding(&lines).fault().expect("it is found")
        };
        let deleted = with(&|lines| drop(lines.remove(*line)));
        assert_eq!(deleted, (at, FaultKind::Missing { to: at }));
        let repeated = with(&|lines| lines.insert(line + 1, lines[*line].clone()));
        assert_eq!(repeated, (at + 1, FaultKind::Repeated { of: at }));
        let inserted = with(&|lines| lines.insert(*line, b"{}\n".to_vec()));
        assert_eq!(inserted, (at, FaultKind::Inserted));
        let other = foreign[file][*line].clone();
        let (record, _) = with(&|lines| lines[*line] = other.clone());
        assert_eq!(record, at);
        let (record, _) = with(&|lines| lines.insert(*line, other.clone()));
        assert_eq!(record, at);
        if lines[file].len() > line + 1 {
            let moved = with(&|lines| lines.swap(*line, line + 1));
            assert_eq!(moved, (at, FaultKind::Reordered { behind: at + 1 }));
        }
    }
}

#[test]
fn missing_and_foreign_files_are_named() {
    let place = Place::new().written(9);
    let foreign = Place::of(2).written(9).lines();
    let lines = place.lines();
    let mut before = 0;
    for (file, of_file) in &lines {
        let mut changed = lines.clone();
        changed.remove(file);
        let to = before + of_file.len() as u64;
        let missing = (before + 1, FaultKind::Missing { to });
        assert_eq!(place.holding(&changed).fault(), Some(missing), "{file}");
        changed.insert(file.clone(), foreign[file].clone());
        let replaced = (before + 1, FaultKind::Foreign);
        assert_eq!(place.holding(&changed).fault(), Some(replaced), "{file}");
        before = to;
    }
    let all = (1, FaultKind::Missing { to: before });
    assert_eq!(place.holding(&BTreeMap::new()).fault(), Some(all));
    assert_eq!(
        place.holding(&foreign).fault(),
        Some((1, FaultKind::Foreign))
    );
}

#[test]
fn files_that_were_archived_may_be_gone() {
    let place = Place::new().written(9);
    let mut lines = place.lines();
    let (_, first) = lines.pop_first().unwrap();
    let log = place.holding(&lines).open();
    let found = log.verify(true, &|_, _| {}).unwrap();
    assert_eq!((found.fault, found.first), (None, first.len() as u64 + 1));
}

#[test]
fn a_log_that_went_another_way_than_its_database_is_told() {
    let place = Place::new().written(3);
    let other = Place::new();
    let log = other.open();
    for call in [7, 8, 9] {
        write(&log, call).unwrap();
    }
    drop(log);
    let found = place.on(other.files).fault();
    assert!(
        matches!(found, Some((5.., FaultKind::Diverged))),
        "{found:?}"
    );
}

#[test]
fn a_log_that_was_cut_goes_on_and_never_looks_whole_again() {
    let place = Place::new().written(9);
    let mut lines = place.lines();
    lines.pop_last();
    let cut = place.holding(&lines).written(3);
    let last = lines.values().map(Vec::len).sum::<usize>() as u64;
    assert!(matches!(cut.fault(), Some((record, FaultKind::Missing { .. })) if record == last + 1));
}

#[test]
fn a_torn_line_is_left_behind_and_told_of() {
    let place = Place::new().written(9);
    let log = place.open();
    write(&log, 9).unwrap();
    let mut lines = place.lines();
    drop(log);
    let torn = lines.last_entry().unwrap().into_mut().last_mut().unwrap();
    torn.truncate(20);
    // As the database was before that log was closed.
    let crashed = Place::new().written(9).holding(&lines);
    let log = crashed.open();
    let before = log.verify(false, &|_, _| {}).unwrap();
    assert_eq!((before.fault, before.unfinished), (None, 20));
    write(&log, 10).unwrap();
    let found = log.verify(false, &|_, _| {}).unwrap();
    assert_eq!(
        (found.fault, found.left_behind.len(), found.unfinished),
        (None, 1, 0)
    );
    assert_eq!(found.left_behind[0].bytes, 20);
}

#[test]
fn a_full_disk_refuses_and_goes_on_by_itself_with_a_record_of_the_gap() {
    let place = Place::new();
    let log = place.open();
    write(&log, 0).unwrap();
    place.files.fill(true);
    for call in 1..20 {
        let error = write(&log, call).unwrap_err();
        assert!(error.to_string().contains("cannot be written"), "{error}");
        assert!(log.probe().is_err());
    }
    assert_eq!(log.status().refused, 38);
    assert!(log.status().failing.is_some());
    place.files.fill(false);
    log.probe().unwrap();
    write(&log, 20).unwrap();
    assert_eq!((log.status().failing, log.status().refused), (None, 38));
    let found = log.verify(false, &|_, _| {}).unwrap();
    assert_eq!((found.fault, found.calls, found.gaps), (None, 2, 1));
    drop(log);
    let lines = place.lines().into_values().flatten();
    let gaps = lines.filter_map(|line| {
        let body = chain::Line::parse(line.strip_suffix(b"\n")?)?.body.to_vec();
        match OwnRecord::parse(&body)? {
            OwnRecord::LogGap(gap) => Some((gap.refused, gap.lost)),
            _ => None,
        }
    });
    assert_eq!(gaps.collect::<Vec<_>>(), [(38, 0)]);
}

#[test]
fn a_full_disk_loses_records_where_that_was_chosen() {
    let place = Place::new().with_mode(AuditMode::BestEffort);
    let log = place.open();
    place.files.fill(true);
    write(&log, 0).unwrap();
    log.probe().unwrap();
    assert_eq!(log.status().lost, 1);
    place.files.fill(false);
    write(&log, 1).unwrap();
    let found = log.verify(false, &|_, _| {}).unwrap();
    assert_eq!((found.fault, found.calls, found.gaps), (None, 1, 1));
}

#[test]
fn any_single_failure_of_the_disk_leaves_a_whole_log() {
    let calls = {
        let place = Place::new().written(9);
        place.files.calls()
    };
    for call in 0..calls {
        let place = Place::new();
        place.files.fail_once_at(call);
        let log = place.open();
        let answered = (0..9).filter(|call| write(&log, *call).is_ok()).count() as u64;
        let found = log.verify(false, &|_, _| {}).unwrap();
        assert_eq!((found.fault, found.calls), (None, answered), "call {call}");
        drop(log);
        assert_eq!(place.fault(), None, "call {call}");
    }
}

#[test]
fn what_was_acknowledged_survives_the_loss_of_power() {
    let calls = {
        let place = Place::new().with_mode(AuditMode::Durable).written(9);
        place.files.calls()
    };
    for call in 0..=calls {
        let place = Place::new().with_mode(AuditMode::Durable);
        place.files.lose_power_at(call);
        let log = place.open();
        let answered = (0..9).take_while(|call| write(&log, *call).is_ok()).count() as u64;
        drop(log);
        for seed in 0..8 {
            let after = place.on(place.files.after_power_loss(seed));
            let known = after.anchor.0.lock().checkpoint.sequence;
            let log = after.open();
            write(&log, 10).unwrap();
            let found = log.verify(false, &|_, _| {}).unwrap();
            assert_eq!(found.fault, None, "call {call}, seed {seed}");
            assert!(
                found.calls > answered && found.last > known,
                "call {call}, seed {seed}: {found:?}"
            );
        }
    }
}

#[test]
fn many_callers_share_the_log() {
    for mode in [AuditMode::Required, AuditMode::Durable] {
        let mut place = Place::new().with_mode(mode);
        place.options.max_file_size = 20_000;
        let log = place.open();
        thread::scope(|scope| {
            for caller in 0..8 {
                let log = &log;
                scope.spawn(move || {
                    (0..200).for_each(|call| write(log, caller * 200 + call).unwrap());
                });
            }
        });
        drop(log);
        let found = place.verify();
        assert_eq!((found.fault, found.calls), (None, 1600));
        let all: String = place
            .lines()
            .into_values()
            .flatten()
            .map(|l| String::from_utf8(l).unwrap())
            .collect();
        assert!((0..1600).all(|call| all.contains(&format!("\"call\":{call},"))));
    }
}

#[test]
fn the_outcome_of_a_change_is_written_when_there_is_room_again() {
    let place = Place::new();
    let log = place.open();
    write(&log, 0).unwrap();
    place.files.fill(true);
    let outcome = br#""eventType":"AwsApiCall","call":1"#;
    log.finish(SystemTime::UNIX_EPOCH, outcome).unwrap();
    assert!(log.probe().is_err());
    assert_eq!(log.status().refused, 1);
    place.files.fill(false);
    log.checkpoint().unwrap();
    let found = log.verify(false, &|_, _| {}).unwrap();
    assert_eq!((found.fault, found.calls, found.gaps), (None, 2, 1));
}
