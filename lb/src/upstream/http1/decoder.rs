//! Bodies of answers: what is body and what is framing (RFC 9112, sections 6 and 7).

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::body::{ChunkScanner, Part};

/// Takes a body out of what comes over a connection.
#[derive(Debug)]
pub(super) enum Decoder {
    /// So many bytes are to come.
    Length(u64),
    /// In chunks.
    Chunked(Box<ChunkScanner>),
    /// Until the target closes the connection.
    UntilClose,
}

/// What is there of a body.
#[derive(Debug)]
pub(super) enum Decoded {
    /// A piece of it.
    Data(Bytes),
    /// What follows the last chunk; the end.
    Trailers(HeaderMap),
    /// The end.
    End,
    /// Nothing yet.
    Nothing,
}

/// Why a body cannot be understood, or is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BrokenBody(pub(super) &'static str);

impl Decoder {
    pub(super) fn none() -> Self {
        Self::Length(0)
    }

    pub(super) fn length(length: u64) -> Self {
        Self::Length(length)
    }

    pub(super) fn chunked() -> Self {
        Self::Chunked(Box::new(ChunkScanner::of_answer()))
    }

    pub(super) fn until_close() -> Self {
        Self::UntilClose
    }

    /// Whether nothing more is to come.
    pub(super) fn is_at_end(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_at_end(),
            Self::UntilClose => false,
        }
    }

    /// How much is to come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            _ => None,
        }
    }

    /// The next of what is in `input`.
    pub(super) fn decode(&mut self, input: &mut BytesMut) -> Result<Decoded, BrokenBody> {
        match self {
            _ if self.is_at_end() => Ok(Decoded::End),
            _ if input.is_empty() => Ok(Decoded::Nothing),
            Self::Length(left) => {
                let here = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= here as u64;
                Ok(Decoded::Data(input.split_to(here).freeze()))
            }
            Self::Chunked(chunks) => decode_chunk(chunks, input),
            Self::UntilClose => Ok(Decoded::Data(input.split().freeze())),
        }
    }

    /// The target has closed the connection.
    pub(super) fn close(&mut self) -> Result<(), BrokenBody> {
        match self {
            Self::UntilClose => {
                *self = Self::Length(0);
                Ok(())
            }
            _ => Err(BrokenBody(
                "the target closed the connection before the end of the body",
            )),
        }
    }
}

fn decode_chunk(chunks: &mut ChunkScanner, input: &mut BytesMut) -> Result<Decoded, BrokenBody> {
    let (framing, part) = chunks
        .advance(input)
        .map_err(|refusal| BrokenBody(refusal.reason))?;
    drop(input.split_to(framing));
    match part {
        Part::Data(length) => Ok(Decoded::Data(input.split_to(length).freeze())),
        Part::More => Ok(Decoded::Nothing),
        Part::End => {
            let lines = chunks.take_trailers();
            if lines.is_empty() {
                return Ok(Decoded::End);
            }
            parse_trailers(&lines).map(Decoded::Trailers)
        }
    }
}

/// The fields of lines whose form the scanner has seen to be good.
fn parse_trailers(lines: &[u8]) -> Result<HeaderMap, BrokenBody> {
    let malformed = BrokenBody("a trailer is malformed");
    let mut trailers = HeaderMap::new();
    for line in lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .ok_or(malformed)?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| malformed)?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        trailers.append(name, value.map_err(|_| malformed)?);
    }
    Ok(trailers)
}
