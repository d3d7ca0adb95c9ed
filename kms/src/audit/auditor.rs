//! The log as all callers share it: who comes while another writes is written with the next batch.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};
use std::{io, mem};

use parking_lot::{Condvar, Mutex};

use super::anchor::{Anchor, AnchorStore};
use super::chain::Chain;
use super::files::LogFiles;
use super::log::{Entry, Log};
use super::record::{LogGap, OwnRecord};
use super::resume::Resumed;
use super::time::TimeWriter;
use super::verify::{Verification, Verifier};
use crate::environment::Clock;
use crate::error::Error;
use crate::quota;
use crate::secret::SecretKey;
use crate::storage::{FileSystem, OpenFile, SystemFiles};

/// What a call waits for before it is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuditMode {
    /// Its record is written (write(2)): a crash of the process does not lose it, one of the machine may.
    #[default]
    Required,
    /// Its record is on the disk (fsync(2), one for all calls that wait at the same time).
    Durable,
    /// Nothing: where the log cannot be written, calls are answered all the same, and counted as lost.
    BestEffort,
}

/// How a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditOptions {
    /// What a call waits for.
    pub mode: AuditMode,
    /// Bytes after which another file is begun.
    pub max_file_size: u64,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self {
            mode: AuditMode::default(),
            max_file_size: 100 << 20,
        }
    }
}

/// How a log is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditStatus {
    /// Records written since it was opened, its own among them.
    pub records: u64,
    /// Calls that were refused for want of a record.
    pub refused: u64,
    /// Calls that were answered without a record.
    pub lost: u64,
    /// Why it cannot be written now.
    pub failing: Option<String>,
}

/// The audit log: any number of callers, one writer.
pub struct AuditLog<F: FileSystem = SystemFiles> {
    shared: Arc<Shared<F>>,
    keeper: Option<JoinHandle<()>>,
}

/// What the callers and the keeper share.
struct Shared<F: FileSystem> {
    files: LogFiles<F>,
    chain: Chain,
    mode: AuditMode,
    clock: Arc<dyn Clock>,
    anchors: Arc<dyn AnchorStore>,
    /// Taken within `writer`, and for moments only.
    queue: Mutex<Batch>,
    writer: Mutex<Writer<F>>,
    /// The number of the last record that is on the disk; held while it is being brought there.
    synced: Mutex<u64>,
    /// What the database holds; held while it is being brought there.
    anchored: Mutex<Anchor>,
    failing: AtomicBool,
    /// Told when the log can be written again.
    on_recovery: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// The bucket of records of throttled calls.
    throttled: AtomicU64,
    counts: Counts,
    keeper: Mutex<Orders>,
    woken: Condvar,
}

#[derive(Default)]
struct Counts {
    records: AtomicU64,
    refused: AtomicU64,
    lost: AtomicU64,
}

/// What the keeper is to do.
#[derive(Default)]
struct Orders {
    anchor: bool,
    stop: bool,
}

impl<F: FileSystem + Clone + 'static> AuditLog<F>
where
    F::File: Send,
{
    /// Goes on with the log in `directory` of which the database holds `anchor`, under its key.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(
        files: F,
        directory: PathBuf,
        key: &SecretKey,
        anchor: &Anchor,
        options: AuditOptions,
        clock: Arc<dyn Clock>,
        anchors: Arc<dyn AnchorStore>,
    ) -> Result<Self, Error> {
        let shared = Shared::open(files, directory, key, anchor, options, clock, anchors)?;
        let mut log = Self {
            shared: Arc::new(shared),
            keeper: None,
        };
        let shared = Arc::clone(&log.shared);
        let keeper = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || shared.keep());
        let started =
            keeper.map_err(Error::io("start a thread for", &log.shared.files.directory))?;
        log.keeper = Some(started);
        Ok(log)
    }

    /// How it is.
    pub fn status(&self) -> AuditStatus {
        self.shared.status()
    }

    /// Has `tell` told whenever the log can be written again after it could not. It must return at once, and
    /// not use the KMS. Only the first is told.
    pub fn on_recovery(&self, tell: impl Fn() + Send + Sync + 'static) {
        // A second one is none.
        let _ = self.shared.on_recovery.set(Box::new(tell));
    }

    /// Writes a record, and waits for what the mode says.
    ///
    /// # Errors
    /// [`Error::AuditLog`] where the answer must not be given.
    pub(super) fn write(&self, time: SystemTime, body: &[u8]) -> Result<(), Error> {
        self.shared.write(time, body)
    }

    /// Writes the record of a change that has been made, and of which the log has the beginning: where it
    /// cannot be written now, it will be before any other.
    ///
    /// # Errors
    /// [`Error::AuditLog`] where it is written, and not on the disk as the mode demands.
    pub(super) fn finish(&self, time: SystemTime, body: &[u8]) -> Result<(), Error> {
        self.shared.finish(time, body)
    }

    /// Whether a record could be written now, as far as is known: tries, where the last was not.
    ///
    /// # Errors
    /// [`Error::AuditLog`] where no key may be used.
    pub(super) fn probe(&self) -> Result<(), Error> {
        match self.shared.mode {
            AuditMode::Required | AuditMode::Durable if self.shared.failing.load(Relaxed) => {
                self.shared.recover(1)
            }
            _ => Ok(()),
        }
    }

    /// Whether another throttled call is to be written down now: a caller who calls too often must not
    /// fill the disk.
    pub(super) fn takes_throttled(&self, now: SystemTime) -> bool {
        let next = |full_at| quota::take(full_at, now, THROTTLED_PER_SECOND);
        let taken = self.shared.throttled.fetch_update(Relaxed, Relaxed, next);
        taken.is_ok()
    }

    /// Writes a checkpoint and has the database hold it.
    ///
    /// # Errors
    /// [`Error::AuditLog`], or what the storage of the anchor says.
    pub fn checkpoint(&self) -> Result<(), Error> {
        self.shared.checkpoint()
    }

    /// Looks at every record of the log, as far as it goes now. Where files at its beginning were
    /// `archived`, it looks from the first on that is there. `progress` is told how many bytes of how
    /// many are done.
    ///
    /// # Errors
    /// What the system says.
    pub fn verify(
        &self,
        archived: bool,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Verification, Error> {
        let anchor = *self.shared.anchored.lock();
        let verifier = Verifier {
            files: &self.shared.files,
            chain: &self.shared.chain,
            anchor,
            archived,
            progress,
        };
        verifier.run()
    }
}

impl<F: FileSystem> Drop for AuditLog<F> {
    fn drop(&mut self) {
        self.shared.order(|orders| orders.stop = true);
        if let Some(keeper) = self.keeper.take() {
            // It has said what it died of, if it did.
            let _ = keeper.join();
        }
    }
}

// === Writing ===

/// Records that wait for the writer.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// The time of each, and where its bytes end.
    ends: Vec<(SystemTime, usize)>,
    outcome: Arc<OnceLock<Outcome>>,
}

/// What became of a batch: the number of its last record, or why none was written.
type Outcome = Result<u64, String>;

impl Batch {
    fn push(&mut self, time: SystemTime, body: &[u8]) -> Arc<OnceLock<Outcome>> {
        self.bytes.extend_from_slice(body);
        self.ends.push((time, self.bytes.len()));
        Arc::clone(&self.outcome)
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |(time, end)| {
            let body = &self.bytes[mem::replace(&mut start, *end)..*end];
            Entry { time: *time, body }
        })
    }

    /// An empty one in the same memory.
    fn emptied(mut self) -> Self {
        self.bytes.clear();
        self.ends.clear();
        self.outcome = Arc::default();
        self
    }
}

/// The log, and what it has to say first.
struct Writer<F: FileSystem> {
    log: Log<F>,
    gap: Option<Gap>,
    /// Outcomes of changes that could not be written yet.
    owed: Batch,
    /// Memory for the next batch.
    spare: Batch,
}

/// Calls without a record.
struct Gap {
    since: SystemTime,
    refused: u64,
    lost: u64,
    reason: String,
}

impl Gap {
    fn body(&self) -> Vec<u8> {
        let since = TimeWriter::default().write(self.since);
        let record = OwnRecord::LogGap(LogGap {
            since: String::from_utf8_lossy(&since).into_owned(),
            refused: self.refused,
            lost: self.lost,
            reason: self.reason.clone(),
        });
        record.body()
    }
}

impl<F: FileSystem> Writer<F> {
    /// Writes a batch, before it what the log has to say of those that were not.
    fn write(&mut self, batch: &Batch, now: impl Fn() -> SystemTime) -> io::Result<u64> {
        if self.gap.is_none() && self.owed.is_empty() {
            self.log.append(batch.entries())?;
            return Ok(self.log.last().sequence);
        }
        let gap = self.gap.as_ref().map(|gap| (now(), gap.body()));
        let gap = gap.iter().map(|(time, body)| Entry { time: *time, body });
        self.log
            .append(gap.chain(self.owed.entries()).chain(batch.entries()))?;
        self.gap = None;
        self.owed = Batch::default();
        Ok(self.log.last().sequence)
    }

    /// Takes note of calls that have no record.
    fn miss(&mut self, now: SystemTime, calls: u64, lost: bool, why: &str) {
        let gap = self.gap.get_or_insert_with(|| Gap {
            since: now,
            refused: 0,
            lost: 0,
            reason: String::new(),
        });
        let counter = if lost {
            &mut gap.lost
        } else {
            &mut gap.refused
        };
        *counter += calls;
        gap.reason = why.to_owned();
    }
}

impl<F: FileSystem + Clone> Shared<F> {
    fn open(
        files: F,
        directory: PathBuf,
        key: &SecretKey,
        anchor: &Anchor,
        options: AuditOptions,
        clock: Arc<dyn Clock>,
        anchors: Arc<dyn AnchorStore>,
    ) -> Result<Self, Error> {
        let (files, chain) = (LogFiles { files, directory }, Chain::new(key));
        let size = options.max_file_size;
        let (log, resumed) = Log::open(files.clone(), chain.clone(), anchor, size)?;
        warn_of(&resumed, &files.directory);
        Ok(Self {
            files,
            chain,
            mode: options.mode,
            clock,
            anchors,
            queue: Mutex::default(),
            synced: Mutex::new(0),
            anchored: Mutex::new(*anchor),
            writer: Mutex::new(Writer {
                log,
                gap: None,
                owed: Batch::default(),
                spare: Batch::default(),
            }),
            failing: AtomicBool::new(false),
            on_recovery: OnceLock::new(),
            throttled: AtomicU64::new(0),
            counts: Counts::default(),
            keeper: Mutex::default(),
            woken: Condvar::new(),
        })
    }
}

impl<F: FileSystem> Shared<F> {
    fn status(&self) -> AuditStatus {
        let failing = self.failing.load(Relaxed);
        let reason = || Some(self.writer.lock().gap.as_ref()?.reason.clone());
        AuditStatus {
            records: self.counts.records.load(Relaxed),
            refused: self.counts.refused.load(Relaxed),
            lost: self.counts.lost.load(Relaxed),
            failing: failing.then(reason).flatten(),
        }
    }

    fn write(&self, time: SystemTime, body: &[u8]) -> Result<(), Error> {
        let written = match self.try_write(time, body) {
            Ok(sequence) => self.sync_up_to(sequence),
            Err(why) => Err(self.error(&why)),
        };
        match self.mode {
            AuditMode::BestEffort => Ok(()),
            AuditMode::Required | AuditMode::Durable => written,
        }
    }

    fn finish(&self, time: SystemTime, body: &[u8]) -> Result<(), Error> {
        match self.try_write(time, body) {
            Ok(sequence) => self.sync_up_to(sequence),
            Err(_) => {
                self.owe(time, body);
                Ok(())
            }
        }
    }

    /// Writes a record, with all others that wait for the writer at the same time.
    fn try_write(&self, time: SystemTime, body: &[u8]) -> Outcome {
        let outcome = self.queue.lock().push(time, body);
        let mut writer = self.writer.lock();
        if outcome.get().is_none() {
            self.write_batch(&mut writer, 0);
        }
        let outcome = outcome.get().cloned();
        outcome.unwrap_or_else(|| Err("its writer ended".to_owned()))
    }

    /// Keeps a record to be written before any other, and lets no more calls through until then.
    fn owe(&self, time: SystemTime, body: &[u8]) {
        let mut writer = self.writer.lock();
        writer.owed.push(time, body);
        // It was counted as refused.
        if let Some(gap) = &mut writer.gap {
            gap.refused = gap.refused.saturating_sub(1);
            self.counts.refused.fetch_sub(1, Relaxed);
        }
        self.failing.store(true, Relaxed);
    }

    /// Writes all that waits. `more` calls have no record if that fails.
    fn write_batch(&self, writer: &mut Writer<F>, more: u64) {
        let spare = mem::take(&mut writer.spare);
        let batch = mem::replace(&mut *self.queue.lock(), spare);
        let before = writer.log.anchor().checkpoint;
        let first = writer.log.last().sequence;
        let written = writer.write(&batch, || self.clock.now());
        let outcome = written.map_err(|error| error.to_string());
        match &outcome {
            Ok(last) => self.note_written(last - first),
            Err(why) => self.note_failed(writer, batch.ends.len() as u64 + more, why),
        }
        if writer.log.anchor().checkpoint != before {
            self.order(|orders| orders.anchor = true);
        }
        // Nobody else sets it: this is the only thread that has the batch.
        let _ = batch.outcome.set(outcome);
        writer.spare = batch.emptied();
    }

    fn note_written(&self, records: u64) {
        self.counts.records.fetch_add(records, Relaxed);
        if self.failing.swap(false, Relaxed) {
            tracing::info!(directory = %self.files.directory.display(), "the audit log can be written again");
            if let Some(tell) = self.on_recovery.get() {
                tell();
            }
        }
    }

    fn note_failed(&self, writer: &mut Writer<F>, calls: u64, why: &str) {
        let lost = self.mode == AuditMode::BestEffort;
        writer.miss(self.clock.now(), calls, lost, why);
        let total = if lost {
            &self.counts.lost
        } else {
            &self.counts.refused
        };
        total.fetch_add(calls, Relaxed);
        if !self.failing.swap(true, Relaxed) {
            let error = self.error(why);
            tracing::error!("{error}");
        }
    }

    /// Tries to write what the log has to say of what it could not write; `calls` wait for that.
    fn recover(&self, calls: u64) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        self.write_batch(&mut writer, calls);
        match &writer.gap {
            None => Ok(()),
            Some(gap) => Err(self.error(&gap.reason)),
        }
    }

    /// Waits until the record of that number is on the disk, where the mode says so.
    fn sync_up_to(&self, sequence: u64) -> Result<(), Error> {
        if self.mode != AuditMode::Durable {
            return Ok(());
        }
        let mut synced = self.synced.lock();
        if *synced >= sequence {
            return Ok(());
        }
        let (handle, last) = {
            let writer = self.writer.lock();
            (writer.log.handle(), writer.log.last().sequence)
        };
        let done = handle.and_then(|file| file.sync());
        done.map_err(|error| self.error(&error.to_string()))?;
        *synced = last;
        Ok(())
    }

    fn error(&self, why: &str) -> Error {
        Error::AuditLog {
            directory: self.files.directory.clone(),
            why: why.to_owned(),
        }
    }
}

// === Keeping ===

impl<F: FileSystem> Shared<F> {
    /// What the keeper's thread does until it is stopped.
    fn keep(&self) {
        let mut next = Instant::now() + CHECKPOINT_EVERY;
        loop {
            let retry = self
                .failing
                .load(Relaxed)
                .then(|| Instant::now() + RETRY_EVERY);
            let (stop, due) = self.wait(retry.map_or(next, |retry| retry.min(next)));
            let kept = match stop || due {
                true => self.checkpoint(),
                false => self.anchor(),
            };
            if let Err(error) = kept {
                tracing::warn!("the audit log has no new checkpoint: {error}");
            }
            if stop {
                return;
            }
            if due {
                next = Instant::now() + CHECKPOINT_EVERY;
            }
        }
    }

    /// Waits for an order or until `next`; says whether it is to stop, and whether the time has come.
    fn wait(&self, next: Instant) -> (bool, bool) {
        let mut orders = self.keeper.lock();
        while !orders.stop && !orders.anchor {
            if self.woken.wait_until(&mut orders, next).timed_out() {
                return (orders.stop, true);
            }
        }
        orders.anchor = false;
        (orders.stop, false)
    }

    fn order(&self, order: impl FnOnce(&mut Orders)) {
        order(&mut self.keeper.lock());
        self.woken.notify_all();
    }

    fn checkpoint(&self) -> Result<(), Error> {
        if self.failing.load(Relaxed) {
            self.recover(0)?;
        }
        let written = {
            let mut writer = self.writer.lock();
            writer.log.append_checkpoint(self.clock.now())
        };
        written.map_err(|error| self.error(&error.to_string()))?;
        self.anchor()
    }

    /// Brings the last checkpoint to the disk, and then its number into the database: never the other
    /// way round, for a database must not know more than the log.
    fn anchor(&self) -> Result<(), Error> {
        let mut anchored = self.anchored.lock();
        let (handle, anchor) = {
            let writer = self.writer.lock();
            let anchor = writer.log.anchor();
            if anchor.checkpoint.sequence <= anchored.checkpoint.sequence {
                return Ok(());
            }
            (writer.log.handle(), anchor)
        };
        let synced = handle.and_then(|file| file.sync());
        synced.map_err(|error| self.error(&error.to_string()))?;
        self.anchors.put(&anchor)?;
        *anchored = anchor;
        Ok(())
    }
}

fn warn_of(resumed: &Resumed, directory: &Path) {
    let directory = directory.display();
    if resumed.cut {
        tracing::error!(
            %directory,
            "the audit log ends before its last checkpoint: it was cut, or files of it are gone; \
             `sealgate audit verify` says more"
        );
    } else if let Some(left) = resumed.left_behind {
        tracing::warn!(
            %directory, file = left.file, offset = left.offset, bytes = left.bytes,
            "the audit log ends with something that is no record: it is left behind"
        );
    }
}

/// Records of throttled calls in a second, whoever makes them.
const THROTTLED_PER_SECOND: u32 = 10;
/// How long after a failure it is tried again, if nobody calls before.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// At least so often the log has a checkpoint, where it has new records.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
