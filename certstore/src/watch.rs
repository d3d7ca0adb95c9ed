//! From a changed file to the table of the next handshake.
//!
//! Changes come in through a watch on the store's directory, and through [`Watcher::refresh`] from
//! whoever has just written. Both take turns: from the reading of a file to the publication of what
//! was in it nobody else reads, so that an older reading never overwrites a newer one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;

use crate::error::{BrokenEntry, Error};
use crate::name::EntryFile;
use crate::served::ServedCertificate;
use crate::store::{FileState, Opened, SealedStore, parallel};
use crate::table::CertTable;

/// Keeps a table what the store's directory says, until it is dropped.
pub struct Watcher {
    publisher: Arc<Publisher>,
    inbox: Arc<Inbox>,
    thread: Option<JoinHandle<()>>,
}

/// What changed in a table at once.
#[derive(Debug, Default)]
pub struct Change {
    /// Certificates that are served from now on.
    pub served: Vec<Arc<ServedCertificate>>,
    /// Certificates that are no longer served, since their files are gone.
    pub removed: Vec<Arc<ServedCertificate>>,
    /// Files that cannot be used; the last good version of each goes on being served.
    pub broken: Vec<BrokenEntry>,
}

impl Watcher {
    /// Watches `directory`, in which the records of `store` stand, and publishes in `table` what
    /// changes. What changed since the table was made is looked for first.
    ///
    /// `on_change` is told of every publication and every broken file, in their order; it must not
    /// call the watcher.
    ///
    /// # Errors
    /// [`Error::Watch`] and [`Error::Thread`], where the system refuses.
    pub fn start(
        store: Arc<SealedStore>,
        table: Arc<ArcSwap<CertTable>>,
        directory: &Path,
        on_change: impl Fn(&Change) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let publisher = Arc::new(Publisher {
            store,
            table,
            on_change: Box::new(on_change),
            broken: Mutex::default(),
            turn: Mutex::new(()),
        });
        let (wake, woken) = sync_channel(1);
        let inbox = Arc::new(Inbox::new(directory, wake)?);
        let worker = Worker {
            publisher: publisher.clone(),
            notify: watch(&inbox)?,
            inbox: inbox.clone(),
        };
        inbox.add(|news| news.rescan = true);
        Ok(Self {
            publisher,
            inbox,
            thread: Some(worker.start(woken)?),
        })
    }

    /// Looks at these files now, and returns once what is in them is published.
    pub fn refresh(&self, files: &[String]) -> Change {
        self.publisher.apply(files)
    }

    /// The files that cannot be used now, and why, sorted by their names.
    pub fn broken(&self) -> Vec<(String, String)> {
        let broken = self.publisher.broken.lock();
        let copy = |(file, reason): (&String, &String)| (file.clone(), reason.clone());
        broken.iter().map(copy).collect()
    }

    /// Looks at all files now, and returns once what changed is published.
    ///
    /// # Errors
    /// What the storage says where it cannot be listed; all stays as it is then.
    pub fn rescan(&self) -> Result<Change, Error> {
        self.publisher.rescan()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.inbox.add(|news| news.stop = true);
        if let Some(thread) = self.thread.take() {
            // It has said what it died of, if it did.
            let _ = thread.join();
        }
    }
}

impl Change {
    fn is_empty(&self) -> bool {
        self.served.is_empty() && self.removed.is_empty() && self.broken.is_empty()
    }

    fn extend(&mut self, later: Self) {
        self.served.extend(later.served);
        self.removed.extend(later.removed);
        self.broken.extend(later.broken);
    }
}

// === Publishing ===

/// The only writer of the table.
struct Publisher {
    store: Arc<SealedStore>,
    table: Arc<ArcSwap<CertTable>>,
    on_change: Box<dyn Fn(&Change) + Send + Sync>,
    /// Why files cannot be used now, by their names.
    broken: Mutex<BTreeMap<String, String>>,
    turn: Mutex<()>,
}

impl Publisher {
    /// Publishes what is in `files`, a batch at a time, so that nobody waits long for a turn.
    fn apply(&self, files: &[String]) -> Change {
        let mut change = Change::default();
        for batch in files.chunks(BATCH) {
            change.extend(self.apply_batch(batch));
        }
        change
    }

    fn rescan(&self) -> Result<Change, Error> {
        let mut files: BTreeSet<_> = self.store.files()?.into_iter().collect();
        // What is served and has no file any more is to be looked at, too.
        files.extend(self.table.load().iter().filter_map(|served| served.file()));
        Ok(self.apply(&Vec::from_iter(files)))
    }

    fn apply_batch(&self, files: &[String]) -> Change {
        let _turn = self.turn.lock();
        let states = parallel::map(files, |file| self.store.open_changed(file), &|_, _| {});
        let mut table = CertTable::clone(&self.table.load());
        let mut change = Change::default();
        for (file, state) in files.iter().zip(states) {
            let applied = state
                .and_then(|state| self.of_its_time(file, state))
                .and_then(|state| self.apply_one(&mut table, file, state, &mut change));
            self.note(file, applied.as_ref().err());
            if let Err(reason) = applied {
                change.broken.push(BrokenEntry::new(file, reason));
            }
        }
        if !change.served.is_empty() || !change.removed.is_empty() {
            self.table.store(Arc::new(table));
        }
        if !change.is_empty() {
            (self.on_change)(&change);
        }
        change
    }

    /// What is in `file`, read anew if it was overwritten since it was read: what is older than the latest
    /// write is then no attempt to bring it back.
    fn of_its_time(&self, file: &str, mut state: FileState) -> Result<FileState, Error> {
        while let FileState::Opened(Opened::Served(certificate), content) = &state {
            let Err(older) = self.store.check_age(file, certificate.version) else {
                break;
            };
            let again = self.store.open_changed(file)?;
            if matches!(&again, FileState::Opened(_, same) if same == content) {
                return Err(older);
            }
            state = again;
        }
        Ok(state)
    }

    fn note(&self, file: &str, reason: Option<&Error>) {
        let mut broken = self.broken.lock();
        match reason {
            Some(reason) => drop(broken.insert(file.to_owned(), reason.to_string())),
            None => drop(broken.remove(file)),
        }
    }

    fn apply_one(
        &self,
        table: &mut CertTable,
        file: &str,
        state: FileState,
        change: &mut Change,
    ) -> Result<(), Error> {
        match state {
            FileState::Same => {}
            FileState::Gone => {
                change.removed.extend(remove(table, file));
                self.store.note_served(file, None);
            }
            FileState::Opened(Opened::Pending, content) => {
                self.store.note_served(file, Some(content));
            }
            FileState::Opened(Opened::Served(certificate), content) => {
                self.store.check_age(file, certificate.version)?;
                let certificate = Arc::<ServedCertificate>::from(certificate);
                table.insert(certificate.clone());
                self.store.note_served(file, Some(content));
                change.served.push(certificate);
            }
        }
        Ok(())
    }
}

/// Removes what stood in `file`.
fn remove(table: &mut CertTable, file: &str) -> Option<Arc<ServedCertificate>> {
    let place = EntryFile::parse(file).filter(|place| !place.pending)?;
    table.remove(place.name.as_str(), place.family)
}

// === Watching ===

/// What the watch has seen, each file once, however often it was touched.
struct Inbox {
    directory: PathBuf,
    news: Mutex<News>,
    wake: SyncSender<()>,
}

#[derive(Default)]
struct News {
    files: BTreeSet<String>,
    /// Events were lost, or have said nothing of use.
    rescan: bool,
    /// The directory itself was moved or replaced, and the watch with it.
    lost: bool,
    stop: bool,
}

impl Inbox {
    fn new(directory: &Path, wake: SyncSender<()>) -> Result<Self, Error> {
        // Events have absolute paths, and the directory's own are told by theirs.
        let directory = absolute(directory).map_err(|source| Error::Watch {
            path: directory.to_owned(),
            source: source.into(),
        })?;
        Ok(Self {
            directory,
            news: Mutex::default(),
            wake,
        })
    }

    fn add(&self, add: impl FnOnce(&mut News)) {
        add(&mut self.news.lock());
        // Full means that the wake-up call is already on its way.
        let _ = self.wake.try_send(());
    }

    fn take(&self) -> News {
        std::mem::take(&mut self.news.lock())
    }

    fn handle(&self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.need_rescan() => self.add(|news| news.rescan = true),
            Ok(event) if is_read(&event) => {}
            Ok(event) => {
                for path in &event.paths {
                    self.handle_path(path);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the watch on the certificate store failed: looking at all files");
                self.add(|news| news.rescan = true);
            }
        }
    }

    fn handle_path(&self, path: &Path) {
        if path == self.directory {
            return self.add(|news| (news.rescan, news.lost) = (true, true));
        }
        let file = path.file_name().and_then(|name| name.to_str());
        // Temporary files have a dot in front, and names that are not UTF-8 are no record's.
        if let Some(file) = file.filter(|file| !file.starts_with('.')) {
            self.add(|news| {
                news.files.insert(file.to_owned());
            });
        }
    }
}

/// Whether nothing was written: opening a file is an event, too, and this program opens them.
fn is_read(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}

fn watch(inbox: &Arc<Inbox>) -> Result<RecommendedWatcher, Error> {
    let fail = |source| Error::Watch {
        path: inbox.directory.clone(),
        source,
    };
    let events = inbox.clone();
    let mut watcher =
        notify::recommended_watcher(move |event| events.handle(event)).map_err(fail)?;
    watcher
        .watch(&inbox.directory, RecursiveMode::NonRecursive)
        .map_err(fail)?;
    Ok(watcher)
}

/// The thread that opens what changed.
struct Worker {
    publisher: Arc<Publisher>,
    inbox: Arc<Inbox>,
    notify: RecommendedWatcher,
}

impl Worker {
    fn start(self, woken: Receiver<()>) -> Result<JoinHandle<()>, Error> {
        let thread = thread::Builder::new().name(THREAD.to_owned());
        let started = thread.spawn(move || self.run(&woken));
        started.map_err(|source| Error::Thread {
            name: THREAD,
            source,
        })
    }

    fn run(mut self, woken: &Receiver<()>) {
        while woken.recv().is_ok() {
            settle(woken);
            let news = self.inbox.take();
            if news.stop {
                return;
            }
            self.handle(news);
        }
    }

    fn handle(&mut self, news: News) {
        if news.lost {
            self.watch_again();
        }
        let mut files = news.files;
        let before = files.len();
        files.retain(|file| !self.publisher.store.key_changed(file));
        if files.len() < before {
            // What a key kept from opening may open now.
            files.extend(self.publisher.broken.lock().keys().cloned());
        }
        if !news.rescan {
            self.publisher.apply(&Vec::from_iter(files));
        } else if let Err(error) = self.publisher.rescan() {
            tracing::error!(%error, "the certificate store cannot be read: what is served goes on being served");
        }
    }

    fn watch_again(&mut self) {
        let directory = &self.inbox.directory;
        // A watch on what is gone ends by itself.
        let _ = self.notify.unwatch(directory);
        if let Err(error) = self.notify.watch(directory, RecursiveMode::NonRecursive) {
            tracing::error!(%error, "the certificate store cannot be watched: changed files are not noticed until a restart");
        }
    }
}

/// Waits until nothing has happened for a moment, though not for long: many changes make one table.
fn settle(woken: &Receiver<()>) {
    let latest = Instant::now() + LONGEST;
    while Instant::now() < latest {
        match woken.recv_timeout(QUIET) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Files that are opened in one turn.
const BATCH: usize = 512;
const QUIET: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(250);
const THREAD: &str = "certificate-watch";

#[cfg(test)]
mod tests;
