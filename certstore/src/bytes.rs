//! Writing and reading of the store's formats: big-endian numbers, texts and blobs behind their length.

use crate::error::Error;

/// Appends a text of at most 255 bytes behind one byte of length.
pub(crate) fn push_short(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).expect("names and regions were checked to be short"));
    out.extend_from_slice(text.as_bytes());
}

/// Appends a blob behind four bytes of length.
pub(crate) fn push_long(out: &mut Vec<u8>, blob: &[u8]) {
    let len = u32::try_from(blob.len()).expect("certificates were checked to be short");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(blob);
}

/// What is still to be read.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], Error> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| *byte)
    }

    /// A text behind one byte of length.
    pub(crate) fn short(&mut self) -> Result<&'a str, Error> {
        let len = self.byte()?.into();
        let text = str::from_utf8(self.take(len)?);
        text.map_err(|_| Error::Malformed("a text in it is not UTF-8"))
    }

    /// A blob of at most `most` bytes behind four bytes of length.
    pub(crate) fn long(&mut self, most: usize) -> Result<&'a [u8], Error> {
        let len = u32::from_be_bytes(*self.array()?);
        match usize::try_from(len) {
            Ok(len) if len <= most => self.take(len),
            _ => Err(Error::Malformed("a length in it is out of range")),
        }
    }
}

/// What is wrong with bytes that end early.
pub(crate) const CUT: Error = Error::Malformed("it is cut short");
