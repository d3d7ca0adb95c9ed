//! How bodies of records are written and read: numbers, times and texts.

use std::time::{Duration, SystemTime};

/// What is wrong with a record.
pub(crate) type Why = &'static str;

/// Reads a record from front to back.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Why> {
        let (head, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Why> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn number(&mut self) -> Result<u32, Why> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn time(&mut self) -> Result<SystemTime, Why> {
        let milliseconds = self.array().map(u64::from_be_bytes)?;
        SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_millis(milliseconds))
            .ok_or("a time in it is out of range")
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Why> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(CUT)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn len(&mut self) -> Result<usize, Why> {
        usize::try_from(self.number()?).map_err(|_| CUT)
    }

    pub(super) fn text(&mut self) -> Result<String, Why> {
        let len = self.len()?;
        let text = str::from_utf8(self.bytes(len)?).map_err(|_| "a text in it is not UTF-8")?;
        Ok(text.to_owned())
    }

    pub(super) fn end(&self) -> Result<(), Why> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err("it is longer than what it holds")
    }
}

pub(super) fn put_time(out: &mut Vec<u8>, time: SystemTime) {
    out.extend_from_slice(&milliseconds(time).to_be_bytes());
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_len(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("a record is shorter than 4 GiB");
    out.extend_from_slice(&len.to_be_bytes());
}

/// Since 1970; a clock that is set before counts as 1970.
fn milliseconds(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds are what a record keeps of a time.
pub(crate) fn in_milliseconds(time: SystemTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds(time))
}

pub(super) const LATER: Why = "its version is not known";
pub(super) const CUT: Why = "it is cut";
/// What is wrong with a record that is whole, and not what was sealed.
pub(crate) const CHANGED: Why = "it does not open";
