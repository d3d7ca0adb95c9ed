use std::fs;
use std::sync::mpsc::{self, Receiver};

use kms::Environment;
use kms::storage::FileStorage;

use super::*;
use crate::key_type::{KeyFamily, KeyType};
use crate::testing::{Fixture, import};

const NAME: &str = "shop.example.com";
const FILE: &str = "shop.example.com.e";

/// A store in a directory, its table, and what the watcher says.
struct Watched {
    f: Fixture,
    directory: tempfile::TempDir,
    table: Arc<ArcSwap<CertTable>>,
    changes: Receiver<Vec<String>>,
    watcher: Watcher,
}

impl Watched {
    fn new() -> Self {
        Self::after(|_| {})
    }

    /// With something in the store that the table does not know.
    fn after(prepare: impl FnOnce(&Fixture)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let f = Fixture::on(Arc::new(FileStorage::new(directory.path())));
        Self::over(f, directory, prepare)
    }

    /// With bucket keys.
    fn with_bucket_keys() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let storage = Arc::new(FileStorage::new(directory.path()));
        let f = Fixture::with_bucket_keys_on(storage, Environment::system());
        Self::over(f, directory, |_| {})
    }

    fn over(f: Fixture, directory: tempfile::TempDir, prepare: impl FnOnce(&Fixture)) -> Self {
        prepare(&f);
        let table = Arc::new(ArcSwap::default());
        let (said, changes) = mpsc::channel();
        let tell = move |change: &Change| {
            // Nobody listens any more at the end of a test.
            let _ = said.send(words(change));
        };
        let watcher =
            Watcher::start(f.store.clone(), table.clone(), directory.path(), tell).unwrap();
        Self {
            f,
            directory,
            table,
            changes,
            watcher,
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    /// Waits until the watcher says so.
    fn wait_for(&self, word: &str) {
        loop {
            let said = self.changes.recv_timeout(Duration::from_secs(20));
            if said
                .expect("the watcher says it")
                .iter()
                .any(|said| said == word)
            {
                return;
            }
        }
    }

    fn version(&self) -> Option<u64> {
        version(&self.table.load())
    }
}

/// Of the entry's certificate that is served.
fn version(table: &CertTable) -> Option<u64> {
    let served = table.entry_of_family(NAME, KeyFamily::Ecdsa);
    served.map(|served| served.version)
}

fn words(change: &Change) -> Vec<String> {
    let served = change
        .served
        .iter()
        .map(|c| format!("served {} {}", c.entry, c.version));
    let removed = change
        .removed
        .iter()
        .map(|c| format!("removed {}", c.entry));
    let broken = change
        .broken
        .iter()
        .map(|broken| format!("broken {}", broken.file));
    served.chain(removed).chain(broken).collect()
}

#[test]
fn what_is_written_elsewhere_is_served() {
    let w = Watched::new();
    w.f.import(NAME, KeyType::EcdsaP256, 30);
    w.wait_for("served shop.example.com 1");
    w.f.import(NAME, KeyType::EcdsaP256, 30);
    w.wait_for("served shop.example.com 2");
    assert_eq!(w.version(), Some(2));
    fs::remove_file(w.path(FILE)).unwrap();
    w.wait_for("removed shop.example.com");
    assert_eq!(w.version(), None);
}

#[test]
fn entries_open_once_their_bucket_key_is_there() {
    let w = Watched::with_bucket_keys();
    w.f.import(NAME, KeyType::EcdsaP256, 30);
    w.wait_for("served shop.example.com 1");
    let mut files = w.f.storage.list().unwrap();
    files.retain(|file| file.ends_with(".bucket"));
    let [bucket] = &files[..] else {
        panic!("one bucket key, and no entry taken for one: {files:?}")
    };
    // A backup comes back entry first: what opened before does not now, and is served all the same.
    let entry = fs::read(w.path(FILE)).unwrap();
    fs::remove_file(w.path(FILE)).unwrap();
    w.wait_for("removed shop.example.com");
    let away = w.directory.path().join(".away");
    fs::rename(w.path(bucket), &away).unwrap();
    w.f.store.key_changed(bucket);
    fs::write(w.path(FILE), entry).unwrap();
    w.wait_for("broken shop.example.com.e");
    let (file, reason) = w.watcher.broken().remove(0);
    assert!(file == FILE && reason.contains(bucket.as_str()), "{reason}");
    fs::rename(&away, w.path(bucket)).unwrap();
    w.wait_for("served shop.example.com 1");
    assert!(w.watcher.broken().is_empty());
}

#[test]
fn what_was_written_before_the_watch_is_served() {
    let w = Watched::after(|f| {
        f.import(NAME, KeyType::EcdsaP256, 30);
    });
    w.wait_for("served shop.example.com 1");
}

#[test]
fn a_refresh_returns_after_the_swap() {
    let w = Watched::new();
    for version in 1..20 {
        let imported = w.f.import(NAME, KeyType::EcdsaP256, 30);
        w.watcher.refresh(&[imported.entry.file]);
        assert_eq!(w.version(), Some(version));
    }
    let files: Vec<_> =
        w.f.store
            .delete(NAME, None)
            .unwrap()
            .into_iter()
            .map(|deleted| deleted.file)
            .collect();
    w.watcher.refresh(&files);
    assert_eq!(w.version(), None);
    // Even if both come in one: a later entry of that name is a later one.
    w.f.import(NAME, KeyType::EcdsaP256, 30);
    w.watcher.refresh(&files);
    assert_eq!(w.version(), Some(20));
}

#[test]
fn what_was_refreshed_is_not_opened_again() {
    let w = Watched::new();
    let imported = w.f.import(NAME, KeyType::EcdsaP256, 30);
    let file = [imported.entry.file];
    w.watcher.refresh(&file);
    assert!(w.watcher.refresh(&file).is_empty());
    assert!(w.watcher.rescan().unwrap().is_empty());
    assert_eq!(w.changes.try_iter().count(), 1);
}

#[test]
fn a_broken_file_leaves_all_that_serves_alone() {
    let w = Watched::new();
    w.f.import(NAME, KeyType::EcdsaP256, 30);
    w.wait_for("served shop.example.com 1");
    let good = fs::read(w.path(FILE)).unwrap();
    for broken in [&good[..good.len() - 1], b"", b"garbage"] {
        fs::write(w.path(FILE), broken).unwrap();
        w.wait_for("broken shop.example.com.e");
        assert_eq!(w.version(), Some(1));
    }
    w.f.import("other.example.com", KeyType::EcdsaP256, 30);
    w.wait_for("served other.example.com 1");
    fs::copy(w.path(FILE), w.path("third.example.com.e")).unwrap();
    w.wait_for("broken third.example.com.e");
    fs::write(w.path(FILE), &good).unwrap();
    w.f.import(NAME, KeyType::EcdsaP256, 30);
    w.wait_for("served shop.example.com 2");
}

#[test]
fn an_older_entry_does_not_come_back() {
    let w = Watched::new();
    w.f.import(NAME, KeyType::EcdsaP256, 30);
    w.wait_for("served shop.example.com 1");
    let old = fs::read(w.path(FILE)).unwrap();
    w.f.import(NAME, KeyType::EcdsaP256, 30);
    w.wait_for("served shop.example.com 2");
    fs::write(w.path("new"), &old).unwrap();
    fs::rename(w.path("new"), w.path(FILE)).unwrap();
    w.wait_for("broken shop.example.com.e");
    let change = w.watcher.refresh(&[FILE.to_owned()]);
    assert!(matches!(
        change.broken[0].reason,
        Error::Older {
            found: 1,
            newest: 2
        }
    ));
    assert_eq!(w.version(), Some(2));
}

#[test]
fn an_older_entry_does_not_come_back_behind_a_removal() {
    let w = Watched::new();
    let file = [FILE.to_owned()];
    w.f.import(NAME, KeyType::EcdsaP256, 30);
    let old = fs::read(w.path(FILE)).unwrap();
    w.f.import(NAME, KeyType::EcdsaP256, 30);
    w.watcher.refresh(&file);
    let put_back = |bytes: &[u8]| {
        fs::remove_file(w.path(FILE)).unwrap();
        w.watcher.refresh(&file);
        assert_eq!(w.version(), None);
        fs::write(w.path("new"), bytes).unwrap();
        fs::rename(w.path("new"), w.path(FILE)).unwrap();
        w.watcher.refresh(&file);
    };
    let newest = fs::read(w.path(FILE)).unwrap();
    put_back(&old);
    assert_eq!(w.version(), None);
    assert!(w.watcher.broken()[0].1.contains("older (version 1)"));
    put_back(&newest);
    assert_eq!(w.version(), Some(2));
    // On purpose.
    w.f.store.delete(NAME, None).unwrap();
    w.watcher.refresh(&file);
    fs::write(w.path("new"), &old).unwrap();
    fs::rename(w.path("new"), w.path(FILE)).unwrap();
    w.watcher.refresh(&file);
    assert_eq!(w.version(), Some(1));
    assert_eq!(w.f.import(NAME, KeyType::EcdsaP256, 30).entry.version, 3);
}

#[test]
fn many_imports_make_few_tables() {
    let w = Watched::new();
    let mut files = Vec::new();
    for number in 0..200 {
        let name = format!("host{number}.example.com");
        let issued = w.f.ca.issue(&[&name]).unwrap();
        files.push(w.f.store.import(import(&name, issued)).unwrap().entry.file);
    }
    w.watcher.refresh(&files);
    assert_eq!(w.table.load().iter().count(), files.len());
    let said = w.changes.try_iter().count();
    assert!(said < 100, "{said} tables");
}

/// Four writers, each of which waits for its own swap, and the watch, which sees all of it.
#[test]
fn an_older_reading_never_overwrites_a_newer() {
    let w = Watched::new();
    let (f, table, watcher) = (&w.f, &w.table, &w.watcher);
    let write = || {
        for _ in 0..25 {
            let issued = f.ca.issue(&[NAME]).unwrap();
            let imported = f.store.import(import(NAME, issued)).unwrap();
            watcher.refresh(&[imported.entry.file]);
            assert!(version(&table.load()) >= Some(imported.entry.version));
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(write);
        }
    });
    w.watcher.rescan().unwrap();
    let stored = w.f.store.list().unwrap().remove(0).unwrap();
    assert_eq!(w.version(), Some(stored.version));
    let mut served = 0;
    for said in w.changes.try_iter().flatten() {
        let version = said.strip_prefix("served shop.example.com ").expect(&said);
        let version: u64 = version.parse().unwrap();
        assert!(version > served, "{version} after {served}");
        served = version;
    }
}

#[test]
fn a_directory_that_was_replaced_is_watched_again() {
    let w = Watched::new();
    w.f.import(NAME, KeyType::EcdsaP256, 30);
    w.wait_for("served shop.example.com 1");
    let directory = w.directory.path();
    let aside = directory.with_extension("aside");
    fs::rename(directory, &aside).unwrap();
    fs::create_dir(directory).unwrap();
    w.wait_for("removed shop.example.com");
    w.f.import(NAME, KeyType::EcdsaP256, 30);
    w.wait_for("served shop.example.com 2");
    fs::remove_dir_all(aside).unwrap();
}

#[test]
fn only_what_was_written_is_looked_at() {
    use notify::event::{CreateKind, Flag, ModifyKind, RenameMode};
    let (wake, woken) = sync_channel(1);
    let inbox = Inbox::new(Path::new("/store"), wake).unwrap();
    let news = |kind, path: &str| {
        inbox.handle(Ok(Event::new(kind).add_path(path.into())));
        let news = inbox.take();
        (
            Vec::from_iter(news.files),
            news.rescan,
            woken.try_recv().is_ok(),
        )
    };
    let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
    let nothing = (vec![], false, false);
    assert_eq!(
        news(renamed, "/store/a.e"),
        (vec!["a.e".to_owned()], false, true)
    );
    assert_eq!(
        news(EventKind::Create(CreateKind::File), "/store/.tmp-1"),
        nothing
    );
    assert_eq!(
        news(
            EventKind::Access(AccessKind::Open(AccessMode::Any)),
            "/store/a.e"
        ),
        nothing
    );
    assert_eq!(
        news(
            EventKind::Access(AccessKind::Open(AccessMode::Any)),
            "/store"
        ),
        nothing
    );
    assert_eq!(news(renamed, "/store"), (vec![], true, true));
    for lost in [
        Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)),
        Err(notify::Error::generic("test")),
    ] {
        inbox.handle(lost);
        assert!(inbox.take().rescan);
    }
}

#[test]
fn a_directory_that_is_not_there_cannot_be_watched() {
    let f = Fixture::new();
    let missing = Path::new("/nonexistent/store");
    let refused = Watcher::start(f.store.clone(), Arc::default(), missing, |_| {});
    assert!(matches!(refused, Err(Error::Watch { .. })));
}
