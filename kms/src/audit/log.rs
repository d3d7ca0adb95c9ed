//! The log as its one writer has it.

use std::cmp::Ordering;
use std::io;
use std::time::SystemTime;

use uuid::Uuid;

use super::anchor::Anchor;
use super::chain::{Chain, Link, Time};
use super::files::{Extent, LAST_FILE, LogFiles};
use super::record::{LeftBehind, LogStart, OwnRecord};
use super::resume::{Resumed, resume};
use super::time::TimeWriter;
use super::walk::Position;
use crate::error::Error;
use crate::storage::{FileSystem, OpenFile};

/// The log as its one writer has it.
pub(crate) struct Log<F: FileSystem> {
    files: LogFiles<F>,
    chain: Chain,
    id: Uuid,
    max_file_size: u64,
    times: TimeWriter,
    /// Behind the last record that was written.
    position: Position,
    /// Behind the last checkpoint.
    checkpoint: Position,
    /// Open at `position`; none: the next record begins a file.
    file: Option<F::File>,
    next_file: u64,
    buffer: Vec<u8>,
}

/// A record to be: when, and what stands between its braces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) time: SystemTime,
    pub(crate) body: &'a [u8],
}

impl<F: FileSystem> Log<F> {
    /// Goes on with the log of which the database holds `anchor`, and says how it was found.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(
        files: LogFiles<F>,
        chain: Chain,
        anchor: &Anchor,
        max_file_size: u64,
    ) -> Result<(Self, Resumed), Error> {
        let resumed = resume(&files, &chain, anchor)?;
        let position = resumed.position;
        let path = files.path(position.file);
        let file = resumed.appends.then(|| files.files.append(&path));
        let log = Self {
            file: file.transpose().map_err(Error::io("open", path))?,
            files,
            chain,
            id: anchor.log_id,
            max_file_size,
            times: TimeWriter::default(),
            position,
            checkpoint: anchor.position(),
            next_file: resumed.next_file,
            buffer: Vec::new(),
        };
        Ok((log, resumed))
    }

    /// Writes records, and a checkpoint where one is due; all of them, or none.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn append<'a>(
        &mut self,
        entries: impl IntoIterator<Item = Entry<'a>>,
    ) -> io::Result<()> {
        let mut entries = entries.into_iter().peekable();
        let Some(first) = entries.peek() else {
            return Ok(());
        };
        self.ready(first.time)?;
        let mut draft = Draft::new(self);
        for entry in entries {
            draft.push(entry.time, entry.body);
            if draft.last.sequence - draft.checkpoint.last.sequence >= RECORDS_PER_CHECKPOINT {
                draft.push_checkpoint(entry.time);
            }
        }
        let (last, checkpoint) = (draft.last, draft.checkpoint);
        self.write(last, checkpoint)
    }

    /// Writes a checkpoint, unless the last record is one.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn append_checkpoint(&mut self, time: SystemTime) -> io::Result<()> {
        if self.position.last == self.checkpoint.last {
            return Ok(());
        }
        self.ready(time)?;
        let mut draft = Draft::new(self);
        draft.push_checkpoint(time);
        let (last, checkpoint) = (draft.last, draft.checkpoint);
        self.write(last, checkpoint)
    }

    /// Another handle on the file that is written, to sync it by.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn handle(&self) -> io::Result<F::File> {
        self.files
            .files
            .append(&self.files.path(self.position.file))
    }

    /// Where the last checkpoint stands.
    pub(crate) fn anchor(&self) -> Anchor {
        Anchor {
            log_id: self.id,
            checkpoint: self.checkpoint.last,
            file: self.checkpoint.file,
            offset: self.checkpoint.offset,
        }
    }

    /// The last record.
    pub(crate) fn last(&self) -> Link {
        self.position.last
    }

    /// Writes the buffer behind what is there.
    fn write(&mut self, last: Link, checkpoint: Position) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if let Err(error) = file.write_all(&self.buffer) {
            self.take_back();
            return Err(error);
        }
        self.position.offset += self.buffer.len() as u64;
        (self.position.last, self.checkpoint) = (last, checkpoint);
        Ok(())
    }

    /// Takes away what a failed write has left of its records.
    fn take_back(&mut self) {
        let offset = self.position.offset;
        let taken = self.file.as_mut().map(|file| file.truncate(offset));
        if !matches!(taken, Some(Ok(()))) {
            self.file = None;
        }
    }

    /// Has a file open that takes the next record.
    fn ready(&mut self, now: SystemTime) -> io::Result<()> {
        match &self.file {
            Some(_) if self.position.offset < self.max_file_size => return Ok(()),
            // What is written next is synced by another handle.
            Some(file) => file.sync()?,
            None => {}
        }
        let left_behind = self.leftovers();
        self.begin_file(left_behind, now)
    }

    /// What failed writes have left, and could not be taken away, for the next file to say.
    fn leftovers(&self) -> Option<LeftBehind> {
        let position = self.position;
        let rest = |extent: &Extent| match extent.number.cmp(&position.file) {
            Ordering::Less => 0,
            Ordering::Equal => extent.len.saturating_sub(position.offset),
            Ordering::Greater => extent.len,
        };
        let extents = self.files.extents().unwrap_or_default();
        let bytes = extents.iter().map(rest).sum();
        (bytes > 0).then(|| position.left_behind(bytes))
    }

    fn begin_file(&mut self, left_behind: Option<LeftBehind>, now: SystemTime) -> io::Result<()> {
        let number = self.create_file()?;
        let mut start = LogStart::new(self.id, number, self.position.last);
        start.left_behind = left_behind;
        let begun = self.write_start(start, now);
        if begun.is_err() {
            // Best effort: an empty file is passed over, and what stands in it is left behind.
            let removed = self.files.files.remove(&self.files.path(number));
            // A disk that stays full must not use up numbers.
            self.next_file = number + u64::from(removed.is_err());
        }
        begun
    }

    /// Creates the next file under a number that nothing has.
    fn create_file(&mut self) -> io::Result<u64> {
        loop {
            let number = self.next_file;
            if number > LAST_FILE {
                return Err(io::Error::other(
                    "the numbers of its files are used up: somebody put the last one there",
                ));
            }
            match self.files.files.create(&self.files.path(number)) {
                Ok(_) => {
                    self.next_file += 1;
                    return Ok(number);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.next_file += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn write_start(&mut self, start: LogStart, now: SystemTime) -> io::Result<()> {
        let number = start.file;
        let body = OwnRecord::LogStart(start).body();
        let mut draft = Draft::new(self);
        draft.push(now, &body);
        let last = draft.last;
        // Opened anew: a file to append to, so that nothing is ever written over.
        let mut file = self.files.files.append(&self.files.path(number))?;
        file.write_all(&self.buffer)?;
        self.files.files.sync_directory(&self.files.directory)?;
        self.position = Position {
            file: number,
            offset: self.buffer.len() as u64,
            last,
        };
        self.file = Some(file);
        Ok(())
    }
}

/// Records that are composed in a log's buffer, and not yet written.
struct Draft<'a> {
    chain: &'a Chain,
    times: &'a mut TimeWriter,
    buffer: &'a mut Vec<u8>,
    start: Position,
    last: Link,
    checkpoint: Position,
}

impl<'a> Draft<'a> {
    fn new<F: FileSystem>(log: &'a mut Log<F>) -> Self {
        log.buffer.clear();
        Self {
            chain: &log.chain,
            times: &mut log.times,
            buffer: &mut log.buffer,
            start: log.position,
            last: log.position.last,
            checkpoint: log.checkpoint,
        }
    }

    fn push(&mut self, time: SystemTime, body: &[u8]) {
        let time: Time = self.times.write(time);
        self.last = self.chain.append(self.last, &time, body, self.buffer);
        self.buffer.push(b'\n');
    }

    fn push_checkpoint(&mut self, time: SystemTime) {
        self.push(time, &OwnRecord::Checkpoint.body());
        self.checkpoint = Position {
            file: self.start.file,
            offset: self.start.offset + self.buffer.len() as u64,
            last: self.last,
        };
    }
}

/// At least so often the log has a checkpoint.
pub(crate) const RECORDS_PER_CHECKPOINT: u64 = 1000;
