//! The files of a log: `audit-NNNNNNNNNN.jsonl`, numbered from 1 without gaps.

use std::io::{self, BufRead, BufReader, Read, Take};
use std::path::PathBuf;

use crate::error::Error;
use crate::storage::FileSystem;

/// The directory of a log.
#[derive(Debug, Clone)]
pub(crate) struct LogFiles<F> {
    pub(crate) files: F,
    pub(crate) directory: PathBuf,
}

impl<F: FileSystem> LogFiles<F> {
    /// The path of the file of that number.
    pub(crate) fn path(&self, number: u64) -> PathBuf {
        self.directory.join(file_name(number))
    }

    /// The files that there are now, as far as they go now.
    pub(crate) fn extents(&self) -> Result<Vec<Extent>, Error> {
        let extent = |number| {
            let path = self.path(number);
            let len = self.files.len(&path).map_err(Error::io("examine", path))?;
            Ok(Extent { number, len })
        };
        self.numbers()?.into_iter().map(extent).collect()
    }

    /// The numbers of the files that there are, ascending.
    fn numbers(&self) -> Result<Vec<u64>, Error> {
        let names = match self.files.list(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names.map_err(Error::io("list the directory", &self.directory))?,
        };
        let numbers = names.iter().filter_map(|name| file_number(name.to_str()?));
        let mut numbers: Vec<_> = numbers.collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The lines of a file from a byte on.
    pub(crate) fn lines(&self, extent: Extent, offset: u64) -> Result<Lines, Error> {
        let path = self.path(extent.number);
        let opened = self.files.open(&path, offset);
        let opened = opened.map_err(Error::io("read", &path))?;
        let rest = opened.take(extent.len.saturating_sub(offset));
        Ok(Lines {
            reader: BufReader::with_capacity(BUFFER, rest),
            line: Vec::new(),
            offset,
            path,
        })
    }
}

/// A file, and how much of it is looked at: a log that is being written grows meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) number: u64,
    pub(crate) len: u64,
}

/// The name of the file of that number.
pub fn file_name(number: u64) -> String {
    format!("audit-{number:010}.jsonl")
}

/// The number of a file of that name; what would need more than ten digits is none of the log's.
pub fn file_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("audit-")?.strip_suffix(".jsonl")?;
    let number = digits.parse().ok()?;
    ((1..=LAST_FILE).contains(&number) && file_name(number) == name).then_some(number)
}

/// The lines of a file, one after the other, in constant memory.
pub(crate) struct Lines {
    reader: BufReader<Take<Box<dyn Read + Send>>>,
    line: Vec<u8>,
    offset: u64,
    path: PathBuf,
}

impl Lines {
    /// The next line without its line feed, and where it ends; none at the end of the file, before what
    /// has no line feed yet, and before what is longer than any record.
    pub(crate) fn next_line(&mut self) -> Result<Option<(&[u8], u64)>, Error> {
        self.line.clear();
        let mut limited = (&mut self.reader).take(MAX_LINE as u64);
        let read = limited.read_until(b'\n', &mut self.line);
        self.offset += read.map_err(Error::io("read", &self.path))? as u64;
        let line = self.line.strip_suffix(b"\n");
        Ok(line.map(|line| (line, self.offset)))
    }
}

/// What ten digits can say.
pub(crate) const LAST_FILE: u64 = 9_999_999_999;
/// The longest line, in bytes; calls that would need a longer one are cut short by their records.
pub(crate) const MAX_LINE: usize = 128 << 10;
const BUFFER: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_number() {
        assert_eq!(file_name(7), "audit-0000000007.jsonl");
        assert_eq!(file_number("audit-0000000007.jsonl"), Some(7));
        assert_eq!(file_number(&file_name(LAST_FILE)), Some(LAST_FILE));
        for name in [
            "audit-7.jsonl",
            "audit-0000000000.jsonl",
            "audit-+000000007.jsonl",
            "audit-10000000000.jsonl",
            "audit-18446744073709551615.jsonl",
            "x",
        ] {
            assert_eq!(file_number(name), None, "{name}");
        }
    }
}
