//! Whether a log is whole: every record, in its order, up to what the sealed database knows of it.

use std::fmt;

use serde::Serialize;

use super::anchor::Anchor;
use super::chain::{Chain, Line, Link};
use super::files::{Extent, LogFiles, file_name};
use super::record::{CALL, LeftBehind, OwnRecord};
use super::walk::{Met, Position, Stop, Walk};
use crate::error::Error;
use crate::storage::FileSystem;

/// What a look at every record of a log has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Files that were looked at.
    pub files: u64,
    /// Records that are whole and in their place.
    pub records: u64,
    /// Of these, the records of calls.
    pub calls: u64,
    /// The number of the first record that was looked at.
    pub first: u64,
    /// The number of the last record that is whole and in its place.
    pub last: u64,
    /// The number of the last checkpoint that the sealed database holds: the log reaches so far at
    /// least. 0: it holds none.
    pub checkpoint: u64,
    /// Times when the log could not be written for a while.
    pub gaps: u64,
    /// Bytes that no record, and that the log itself says were left behind at its end; the first 100.
    pub left_behind: Vec<LeftBehind>,
    /// Bytes of a last line that is being written, or that a crash has left so.
    pub unfinished: u64,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
}

/// The first thing that is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The number of the first record that is not what, or where, it was.
    pub record: u64,
    /// What happened to it.
    pub kind: FaultKind,
    /// The file in which that shows.
    pub file: String,
    /// At which byte.
    pub offset: u64,
}

/// What happened to a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum FaultKind {
    /// Something else stands in its place.
    Edited,
    /// It is gone, and all up to another.
    Missing {
        /// The number of the last one that is gone.
        to: u64,
    },
    /// It stands behind a later record.
    Reordered {
        /// The number of that one.
        behind: u64,
    },
    /// An earlier record stands in its place once more.
    Repeated {
        /// The number of that one.
        of: u64,
    },
    /// It stands behind something that is no record.
    Inserted,
    /// A file of another log stands in its place.
    Foreign,
    /// It is not the one that the database knows: the log is a copy that went its own way.
    Diverged,
}

/// What there is of a log, and what is known of it.
pub(crate) struct Verifier<'a, F> {
    pub(crate) files: &'a LogFiles<F>,
    pub(crate) chain: &'a Chain,
    pub(crate) anchor: Anchor,
    /// Whether files at the beginning may be gone: they were archived.
    pub(crate) archived: bool,
    /// Told how many bytes of how many are done.
    pub(crate) progress: &'a dyn Fn(u64, u64),
}

impl<F: FileSystem> Verifier<'_, F> {
    /// Looks at every record, in constant memory.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn run(&self) -> Result<Verification, Error> {
        let extents = self.files.extents()?;
        let mut tally = Tally::new(self, &extents);
        let Some(first) = extents.first() else {
            tally.end(Position {
                file: 1,
                offset: 0,
                last: Link::START,
            });
            return Ok(tally.verification);
        };
        let walk = Walk {
            files: self.files,
            chain: self.chain,
            extents: &extents,
        };
        let start = self.start(*first)?;
        if start.sequence > 0 && !self.archived {
            tally.missing(1, start.sequence, first.number, 0);
            return Ok(tally.verification);
        }
        tally.verification.first = start.sequence + 1;
        let position = Position {
            file: first.number,
            offset: 0,
            last: start,
        };
        let stop = walk.run(position, &mut |met| tally.meet(met))?;
        self.finish(&walk, stop, tally)
    }

    /// The record before the first that is there: files before it may have been archived.
    fn start(&self, first: Extent) -> Result<Link, Error> {
        let mut lines = self.files.lines(first, 0)?;
        let line = lines.next_line()?.and_then(|(line, _)| Line::parse(line));
        let previous = line.and_then(|line| {
            let previous = log_start(&line)?.previous()?;
            self.chain.follow(previous, &line).map(|_| previous)
        });
        Ok(previous.unwrap_or(Link::START))
    }

    fn finish(
        &self,
        walk: &Walk<'_, F>,
        stop: Stop,
        mut tally: Tally<'_>,
    ) -> Result<Verification, Error> {
        if tally.verification.fault.is_some() {
            return Ok(tally.verification);
        }
        if stop.rest > 0 && self.has_lines(walk, stop.position)? {
            let kind = self.diagnose(walk, stop.position)?;
            tally.fault(stop.position.last.sequence + 1, kind, stop.position);
            return Ok(tally.verification);
        }
        tally.verification.unfinished = stop.rest;
        tally.end(stop.position);
        Ok(tally.verification)
    }

    fn has_lines(&self, walk: &Walk<'_, F>, position: Position) -> Result<bool, Error> {
        let mut found = false;
        self.lines_from(walk, position, &mut |_, _| {
            found = true;
            false
        })?;
        Ok(found)
    }

    /// What stands at `position` in place of the next record.
    fn diagnose(&self, walk: &Walk<'_, F>, position: Position) -> Result<FaultKind, Error> {
        let (last, wanted) = (position.last, position.last.sequence + 1);
        let (mut first, mut found) = (None, false);
        self.lines_from(walk, position, &mut |line, at_start| {
            if at_start {
                first = line.map(|line| self.sight(last, line));
            }
            found = line.is_some_and(|line| self.chain.follow(last, line).is_some());
            !found
        })?;
        Ok(match first {
            Some(Sight::Renumbered) => FaultKind::Edited,
            Some(Sight::Foreign) => FaultKind::Foreign,
            Some(Sight::Number(of)) if of < wanted => FaultKind::Repeated { of },
            Some(Sight::Number(behind)) if found && behind > wanted => {
                FaultKind::Reordered { behind }
            }
            Some(Sight::Number(next)) if next > wanted => FaultKind::Missing { to: next - 1 },
            _ if found => FaultKind::Inserted,
            _ => FaultKind::Edited,
        })
    }

    fn sight(&self, last: Link, line: &Line<'_>) -> Sight {
        let start = log_start(line);
        if self.chain.is_renumbered(last, line) {
            Sight::Renumbered
        } else if start.is_some_and(|start| start.log_id != self.anchor.log_id) {
            Sight::Foreign
        } else {
            Sight::Number(line.sequence)
        }
    }

    /// Shows every whole line from `position` on, and whether it is the first, as long as wanted.
    fn lines_from(
        &self,
        walk: &Walk<'_, F>,
        position: Position,
        show: &mut dyn FnMut(Option<&Line<'_>>, bool) -> bool,
    ) -> Result<(), Error> {
        let later = walk
            .extents
            .iter()
            .filter(|extent| extent.number >= position.file);
        let mut at_start = true;
        for extent in later {
            let here = extent.number == position.file;
            let mut lines = self
                .files
                .lines(*extent, if here { position.offset } else { 0 })?;
            while let Some((line, _)) = lines.next_line()? {
                if !show(Line::parse(line).as_ref(), std::mem::take(&mut at_start)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// What a line looks like that is not the next record.
enum Sight {
    Renumbered,
    Foreign,
    Number(u64),
}

fn log_start(line: &Line<'_>) -> Option<super::record::LogStart> {
    match OwnRecord::parse(line.body)? {
        OwnRecord::LogStart(start) => Some(start),
        OwnRecord::Checkpoint | OwnRecord::LogGap(_) => None,
    }
}

/// What has been seen so far.
struct Tally<'a> {
    anchor: Anchor,
    verification: Verification,
    progress: &'a dyn Fn(u64, u64),
    /// Where each file begins, counted over all files.
    begins: Vec<(u64, u64)>,
    total: u64,
}

impl<'a> Tally<'a> {
    fn new<F>(verifier: &Verifier<'a, F>, extents: &[Extent]) -> Self {
        let mut total = 0;
        let begins = extents.iter().map(|extent| {
            let begin = total;
            total += extent.len;
            (extent.number, begin)
        });
        Self {
            begins: begins.collect(),
            anchor: verifier.anchor,
            verification: Verification {
                files: extents.len() as u64,
                checkpoint: verifier.anchor.checkpoint.sequence,
                ..Verification::default()
            },
            progress: verifier.progress,
            total,
        }
    }

    fn meet(&mut self, met: Met<'_>) {
        match met {
            Met::Record(line, position) => self.record(line, position),
            Met::LeftBehind(left) if self.verification.left_behind.len() < 100 => {
                self.verification.left_behind.push(left);
            }
            Met::LeftBehind(_) => {}
        }
    }

    fn record(&mut self, line: &Line<'_>, position: Position) {
        let link = position.last;
        let anchor = self.anchor.checkpoint;
        if link.sequence == anchor.sequence && link != anchor {
            self.fault(link.sequence, FaultKind::Diverged, position);
        }
        self.verification.records += 1;
        self.verification.last = link.sequence;
        if line.body.starts_with(CALL) {
            self.verification.calls += 1;
        } else if matches!(OwnRecord::parse(line.body), Some(OwnRecord::LogGap(_))) {
            self.verification.gaps += 1;
        }
        if self.verification.records.is_multiple_of(PROGRESS_EVERY) {
            let begin = self
                .begins
                .iter()
                .find(|(number, _)| *number == position.file);
            let done = begin.map_or(0, |(_, begin)| begin + position.offset);
            (self.progress)(done, self.total);
        }
    }

    /// The log ends here: it must reach what the database knows.
    fn end(&mut self, position: Position) {
        let (last, known) = (position.last.sequence, self.anchor.checkpoint.sequence);
        if self.verification.fault.is_none() && last < known {
            self.missing(last + 1, known, position.file, position.offset);
        }
    }

    fn missing(&mut self, from: u64, to: u64, file: u64, offset: u64) {
        let last = Link::START;
        self.fault(
            from,
            FaultKind::Missing { to },
            Position { file, offset, last },
        );
    }

    fn fault(&mut self, record: u64, kind: FaultKind, position: Position) {
        self.verification.fault.get_or_insert(Fault {
            record,
            kind,
            file: file_name(position.file),
            offset: position.offset,
        });
    }
}

impl FaultKind {
    /// In one word, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Missing { .. } => "missing",
            Self::Reordered { .. } => "reordered",
            Self::Repeated { .. } => "repeated",
            Self::Inserted => "inserted",
            Self::Foreign => "foreign",
            Self::Diverged => "diverged",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            record,
            kind,
            file,
            offset,
        } = self;
        match kind {
            FaultKind::Edited => write!(f, "record {record} was edited")?,
            FaultKind::Missing { to } if to == record => write!(f, "record {record} is missing")?,
            FaultKind::Missing { to } => write!(f, "records {record} to {to} are missing")?,
            FaultKind::Reordered { behind } => {
                write!(
                    f,
                    "record {record} was moved: it stands behind record {behind}"
                )?;
            }
            FaultKind::Repeated { of } => {
                write!(
                    f,
                    "record {of} stands a second time where record {record} should be"
                )?;
            }
            FaultKind::Inserted => {
                write!(
                    f,
                    "something that is no record of this log was put before record {record}"
                )?;
            }
            FaultKind::Foreign => {
                write!(
                    f,
                    "a file of another log stands where record {record} should be"
                )?;
            }
            FaultKind::Diverged => write!(
                f,
                "record {record} is not the checkpoint that the key database holds: log and database \
                 are copies that went different ways"
            )?,
        }
        write!(f, " ({file}, byte {offset})")
    }
}

/// Records between two calls of the progress function.
const PROGRESS_EVERY: u64 = 8192;
