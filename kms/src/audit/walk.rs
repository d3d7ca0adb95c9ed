//! From one record to the next, as far as the chain holds.

use super::chain::{Chain, Line, Link};
use super::files::{Extent, LogFiles};
use super::record::{LeftBehind, OwnRecord};
use crate::error::Error;
use crate::storage::FileSystem;

/// A log that is read from front to back.
pub(crate) struct Walk<'a, F> {
    pub(crate) files: &'a LogFiles<F>,
    pub(crate) chain: &'a Chain,
    /// The files that there are, ascending.
    pub(crate) extents: &'a [Extent],
}

/// A place in a log, and the record before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) file: u64,
    pub(crate) offset: u64,
    pub(crate) last: Link,
}

/// Where a walk came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Behind the last record that follows.
    pub(crate) position: Position,
    /// How many bytes stand there, in its file and in all later ones, that are not the next record.
    pub(crate) rest: u64,
}

/// What a walk meets.
pub(crate) enum Met<'a> {
    /// The next record, and the place behind it.
    Record(&'a Line<'a>, Position),
    /// Bytes that a later file says were left behind.
    LeftBehind(LeftBehind),
}

impl<F: FileSystem> Walk<'_, F> {
    /// Goes on from `position`, and shows everything that it meets.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn run(
        &self,
        mut position: Position,
        meet: &mut dyn FnMut(Met<'_>),
    ) -> Result<Stop, Error> {
        loop {
            self.run_file(&mut position, meet)?;
            let rest = self.rest(position.file, position.offset, None);
            let stop = Stop { position, rest };
            let next = match self.len(position.file) > position.offset {
                true => self.file_that_says_left_behind(position)?,
                false => self.later(position.file).next(),
            };
            let Some(next) = next else {
                return Ok(stop);
            };
            let left = self.rest(position.file, position.offset, Some(next.number));
            if left > 0 {
                meet(Met::LeftBehind(position.left_behind(left)));
            }
            position.file = next.number;
            position.offset = 0;
        }
    }

    /// Goes to the last record of this file that follows.
    fn run_file(
        &self,
        position: &mut Position,
        meet: &mut dyn FnMut(Met<'_>),
    ) -> Result<(), Error> {
        let (number, len) = (position.file, self.len(position.file));
        if len == 0 {
            return Ok(());
        }
        let mut lines = self.files.lines(Extent { number, len }, position.offset)?;
        while let Some((line, end)) = lines.next_line()? {
            let line = Line::parse(line);
            let followed = |line| Some((self.chain.follow(position.last, line)?, line));
            let Some((link, line)) = line.as_ref().and_then(followed) else {
                break;
            };
            (position.last, position.offset) = (link, end);
            meet(Met::Record(line, *position));
        }
        Ok(())
    }

    /// The length of a file; 0 where it is not there.
    fn len(&self, file: u64) -> u64 {
        let found = self.extents.iter().find(|extent| extent.number == file);
        found.map_or(0, |extent| extent.len)
    }

    fn later(&self, file: u64) -> impl Iterator<Item = Extent> {
        let extents = self.extents.iter().copied();
        extents.filter(move |extent| extent.number > file)
    }

    /// How many bytes stand behind a place, up to the file `end`.
    fn rest(&self, file: u64, offset: u64, end: Option<u64>) -> u64 {
        let before = |extent: &Extent| end.is_none_or(|end| extent.number < end);
        let later = self.later(file).filter(before).map(|extent| extent.len);
        self.len(file).saturating_sub(offset) + later.sum::<u64>()
    }

    /// The file that goes on behind `position`, and says that all in between was left behind.
    fn file_that_says_left_behind(&self, position: Position) -> Result<Option<Extent>, Error> {
        for next in self.later(position.file) {
            let left = self.rest(position.file, position.offset, Some(next.number));
            if self.says_left_behind(next, position.last, position.left_behind(left))? {
                return Ok(Some(next));
            }
        }
        Ok(None)
    }

    /// Whether the file `next` follows `last` by a record that says that this was left behind.
    fn says_left_behind(&self, next: Extent, last: Link, left: LeftBehind) -> Result<bool, Error> {
        let mut lines = self.files.lines(next, 0)?;
        let first = lines.next_line()?.and_then(|(line, _)| Line::parse(line));
        let first = first.filter(|line| self.chain.follow(last, line).is_some());
        let record = first.and_then(|line| OwnRecord::parse(line.body));
        Ok(matches!(record, Some(OwnRecord::LogStart(start)) if start.left_behind == Some(left)))
    }
}

impl Position {
    pub(crate) fn left_behind(&self, bytes: u64) -> LeftBehind {
        LeftBehind {
            file: self.file,
            offset: self.offset,
            bytes,
        }
    }
}
