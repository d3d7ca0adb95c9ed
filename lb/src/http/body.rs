//! Where the body of an HTTP/1.x request ends (RFC 9112, sections 6 and 7.1).

use super::framing::Refusal;
use super::head::{BodyLength, is_field_content, is_token};

/// Follows a body that arrives in pieces.
#[derive(Debug)]
pub(super) enum BodyScanner {
    /// So many bytes are to come.
    Length(u64),
    /// In chunks.
    Chunked(ChunkScanner),
}

/// Follows a chunked body.
#[derive(Debug)]
pub(crate) struct ChunkScanner {
    at: At,
    /// Digits of the chunk size so far.
    digits: u8,
    /// The size of the chunk: what is read of it, then what is left of it.
    size: u64,
    /// Bytes of chunk extensions and trailers so far, which carry nothing but could go on for ever; in an
    /// answer, since the last data: a long one may have something behind each of its sizes.
    extras: usize,
    /// The lines of the trailers so far, each with a line feed at its end, where they are wanted.
    trailers: Option<Vec<u8>>,
}

/// What stands next in a chunked body, behind framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many bytes of data.
    Data(usize),
    /// The end of the body.
    End,
    /// More is needed to say.
    More,
}

/// What is expected next.
#[derive(Debug, Clone, Copy)]
enum At {
    Size,
    Padding,
    Extension,
    SizeFeed,
    Data,
    DataReturn,
    DataFeed,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerFeed,
    LastFeed,
    End,
}

impl BodyScanner {
    pub(super) fn new(length: BodyLength) -> Self {
        match length {
            BodyLength::Bytes(bytes) => Self::Length(bytes),
            BodyLength::Chunked => Self::Chunked(ChunkScanner::default()),
        }
    }

    /// Looks at the next `bytes`. Some: the body ends after so many of them. None: it goes on.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        match self {
            Self::Length(left) => {
                let here = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= here as u64;
                Ok((*left == 0).then_some(here))
            }
            Self::Chunked(chunks) => chunks.scan(bytes),
        }
    }
}

impl Default for ChunkScanner {
    fn default() -> Self {
        Self {
            at: At::Size,
            digits: 0,
            size: 0,
            extras: 0,
            trailers: None,
        }
    }
}

impl ChunkScanner {
    /// For answers: it keeps the trailers, and takes the spaces that some servers put behind a size.
    pub(crate) fn of_answer() -> Self {
        Self {
            trailers: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// The lines of the trailers that were kept, each with a line feed at its end.
    pub(crate) fn take_trailers(&mut self) -> Vec<u8> {
        self.trailers.take().unwrap_or_default()
    }

    /// Whether the body has ended.
    pub(crate) fn is_at_end(&self) -> bool {
        matches!(self.at, At::End)
    }

    fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let mut next = 0;
        loop {
            let (framing, part) = self.advance(&bytes[next..])?;
            next += framing;
            match part {
                Part::Data(length) => next += length,
                Part::End => return Ok(Some(next)),
                Part::More => return Ok(None),
            }
        }
    }

    /// Looks at the next `bytes`: how many of them are framing, and what stands behind it.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<(usize, Part), Refusal> {
        let mut next = 0;
        while next < bytes.len() {
            if matches!(self.at, At::Data) {
                let data = self.skip_data(bytes.len() - next);
                return Ok((next, Part::Data(data)));
            }
            self.at = self.step(bytes[next])?;
            next += 1;
            if self.is_at_end() {
                return Ok((next, Part::End));
            }
        }
        Ok((next, Part::More))
    }

    fn skip_data(&mut self, available: usize) -> usize {
        let here = usize::try_from(self.size).map_or(available, |left| left.min(available));
        self.size -= here as u64;
        if self.size == 0 {
            self.at = At::DataReturn;
        }
        here
    }

    fn step(&mut self, byte: u8) -> Result<At, Refusal> {
        match (self.at, byte) {
            (At::Size, b'\r') if self.digits > 0 => Ok(At::SizeFeed),
            (At::Size, b';') if self.digits > 0 => self.extra(At::Extension),
            (At::Size | At::Padding, b' ' | b'\t')
                if self.digits > 0 && self.trailers.is_some() =>
            {
                self.extra(At::Padding)
            }
            (At::Padding, b'\r') => Ok(At::SizeFeed),
            (At::Padding, b';') => self.extra(At::Extension),
            (At::Size, digit) => self.take_digit(digit),
            (At::Extension, b'\r') => Ok(At::SizeFeed),
            (At::Extension, byte) if is_field_content(byte) => self.extra(At::Extension),
            (At::SizeFeed, b'\n') => Ok(self.begin_chunk()),
            (At::DataReturn, b'\r') => Ok(At::DataFeed),
            (At::DataFeed, b'\n') => Ok(At::Size),
            (At::TrailerStart, b'\r') => Ok(At::LastFeed),
            (At::TrailerStart, _) if is_token(byte) => self.trailer(byte, At::TrailerName),
            (At::TrailerName, b':') => self.trailer(byte, At::TrailerValue),
            (At::TrailerName, _) if is_token(byte) => self.trailer(byte, At::TrailerName),
            (At::TrailerValue, b'\r') => self.extra(At::TrailerFeed),
            (At::TrailerValue, _) if is_field_content(byte) => self.trailer(byte, At::TrailerValue),
            (At::TrailerFeed, b'\n') => self.trailer(byte, At::TrailerStart),
            (At::LastFeed, b'\n') => Ok(At::End),
            (At::DataReturn | At::DataFeed, _) => Err(CHUNK_END),
            (At::Padding | At::Extension | At::SizeFeed, _) => Err(CHUNK_LINE),
            _ => Err(TRAILERS),
        }
    }

    fn take_digit(&mut self, byte: u8) -> Result<At, Refusal> {
        let digit = char::from(byte).to_digit(16).ok_or(CHUNK_LINE)?;
        if self.digits == MAX_DIGITS {
            return Err(CHUNK_LINE);
        }
        self.size = self.size << 4 | u64::from(digit);
        self.digits += 1;
        Ok(At::Size)
    }

    fn begin_chunk(&mut self) -> At {
        self.digits = 0;
        if self.size == 0 {
            return At::TrailerStart;
        }
        if self.trailers.is_some() {
            self.extras = 0;
        }
        At::Data
    }

    fn trailer(&mut self, byte: u8, at: At) -> Result<At, Refusal> {
        if let Some(lines) = &mut self.trailers {
            lines.push(byte);
        }
        self.extra(at)
    }

    fn extra(&mut self, at: At) -> Result<At, Refusal> {
        self.extras += 1;
        if self.extras > MAX_EXTRAS {
            return Err(EXTRAS);
        }
        Ok(at)
    }
}

/// Hexadecimal digits of a chunk's size: more than any size needs, less than overflows.
const MAX_DIGITS: u8 = 15;

/// Bytes of chunk extensions and trailers of one body.
const MAX_EXTRAS: usize = 8 << 10;

const CHUNK_LINE: Refusal = Refusal::bad_request("the size line of a chunk is malformed");
const CHUNK_END: Refusal = Refusal::bad_request("a chunk is longer than its size says");
const TRAILERS: Refusal = Refusal::bad_request("the trailers after the last chunk are malformed");
const EXTRAS: Refusal = Refusal::bad_request("chunk extensions and trailers are larger than 8 KiB");

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(body: &str) -> Result<Option<usize>, Refusal> {
        BodyScanner::new(BodyLength::Chunked).scan(body.as_bytes())
    }

    #[test]
    fn lengths_are_counted() {
        let mut body = BodyScanner::new(BodyLength::Bytes(5));
        assert_eq!(body.scan(b"ab"), Ok(None));
        assert_eq!(body.scan(b"cdeGET"), Ok(Some(3)));
        let mut empty = BodyScanner::new(BodyLength::Bytes(0));
        assert_eq!(empty.scan(b"GET"), Ok(Some(0)));
    }

    #[test]
    fn chunks_end_where_they_say() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "A\r\n0123456789\r\n00\r\n\r\n",
            "1;a=b;c=\"d e\"\r\nx\r\n0;z\r\n\r\n",
            "1\r\n\n\r\n0\r\nX-Sum: a b\r\nY:\r\n\r\n",
        ] {
            assert_eq!(scan(body), Ok(Some(body.len())), "{body:?}");
            assert_eq!(scan(&format!("{body}GET")), Ok(Some(body.len())));
            assert_eq!(scan(&body[..body.len() - 1]), Ok(None));
        }
    }

    #[test]
    fn loose_chunks_are_refused() {
        for (body, refusal) in [
            ("5\nhello", CHUNK_LINE),
            ("5\r\rhello", CHUNK_LINE),
            ("0x5\r\n", CHUNK_LINE),
            (" 5\r\n", CHUNK_LINE),
            ("5 \r\n", CHUNK_LINE),
            ("+5\r\n", CHUNK_LINE),
            ("\r\n", CHUNK_LINE),
            (";a\r\n", CHUNK_LINE),
            ("5;a\n", CHUNK_LINE),
            ("5;a\0\r\n", CHUNK_LINE),
            ("10000000000000000\r\n", CHUNK_LINE),
            ("5\r\nhelloo\r\n", CHUNK_END),
            ("5\r\nhello\n", CHUNK_END),
            ("5\r\nhello\r5", CHUNK_END),
            ("0\r\n\n", TRAILERS),
            ("0\r\nX : y\r\n\r\n", TRAILERS),
            ("0\r\n X: y\r\n\r\n", TRAILERS),
            ("0\r\nX: y\n\r\n", TRAILERS),
            ("0\r\nX\r\n\r\n", TRAILERS),
        ] {
            assert_eq!(scan(body), Err(refusal), "{body:?}");
        }
        let endless = format!("1;{}", "a".repeat(MAX_EXTRAS));
        assert_eq!(scan(&endless), Err(EXTRAS));
    }

    #[test]
    fn a_long_answer_may_have_something_behind_each_size() {
        let body = "1  ;a\r\nx\r\n".repeat(MAX_EXTRAS);
        assert_eq!(scan(&body), Err(CHUNK_LINE));
        assert_eq!(scan(&body.replace("  ", "")), Err(EXTRAS));
        assert_eq!(ChunkScanner::of_answer().scan(body.as_bytes()), Ok(None));
        let endless = format!("1{}", " ".repeat(MAX_EXTRAS + 1));
        let endless = ChunkScanner::of_answer().scan(endless.as_bytes());
        assert_eq!(endless, Err(EXTRAS));
    }
}
