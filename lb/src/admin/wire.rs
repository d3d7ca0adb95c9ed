//! Messages on the admin socket: a header in JSON, and beside it at most one secret.
//!
//! ```text
//! u32  length of the header, big-endian
//!      the header, JSON in UTF-8
//! u32  length of the secret, big-endian; 0 for none
//!      the secret, raw bytes
//! ```
//!
//! Secrets never pass through JSON: its parser and buffers would keep copies that nobody wipes. They
//! are read straight into a buffer of their exact size that is wiped when dropped.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// The bytes of a secret that travels beside a header.
pub type Secret = Zeroizing<Vec<u8>>;

/// The longest secret: a private key of 4096 bits takes some 2,400 bytes, a page of a thousand grants
/// some hundred KiB.
pub const SECRET_LIMIT: usize = 1024 * 1024;

/// The longest header of a request: bundles of certificates stand in it.
pub const REQUEST_LIMIT: usize = 8 * 1024 * 1024;

/// The longest header of a reply: a verdict on each of many thousand entries stands in it.
pub const REPLY_LIMIT: usize = 256 * 1024 * 1024;

/// A header's bytes and the secret that came with it.
pub struct Frame {
    /// The JSON of the header.
    pub header: Vec<u8>,
    /// The secret; empty for none.
    pub secret: Secret,
}

impl Frame {
    /// Reads the header as a `T`.
    ///
    /// # Errors
    /// `InvalidData` when the JSON is not that of a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> io::Result<T> {
        serde_json::from_slice(&self.header).map_err(invalid)
    }
}

/// Reads one frame; none if the peer closed before its first byte.
///
/// # Errors
/// `InvalidData` when a length is beyond its limit, `UnexpectedEof` when the frame is cut.
pub fn read(stream: &mut impl Read, header_limit: usize) -> io::Result<Option<Frame>> {
    let mut length = [0; 4];
    if stream.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..])?;
    let mut header = vec![0; bounded(length, header_limit)?];
    stream.read_exact(&mut header)?;
    stream.read_exact(&mut length)?;
    let mut secret = Zeroizing::new(vec![0; bounded(length, SECRET_LIMIT)?]);
    stream.read_exact(&mut secret)?;
    Ok(Some(Frame { header, secret }))
}

/// [`read`], without blocking.
///
/// # Errors
/// Those of [`read`].
pub async fn read_async(
    stream: &mut (impl AsyncRead + Unpin),
    header_limit: usize,
) -> io::Result<Option<Frame>> {
    let mut length = [0; 4];
    if stream.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..]).await?;
    // Memory is taken as bytes arrive: a length alone must not claim megabytes.
    let size = bounded(length, header_limit)?;
    let mut header = Vec::new();
    stream.take(size as u64).read_to_end(&mut header).await?;
    if header.len() < size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    stream.read_exact(&mut length).await?;
    let mut secret = Zeroizing::new(vec![0; bounded(length, SECRET_LIMIT)?]);
    stream.read_exact(&mut secret).await?;
    Ok(Some(Frame { header, secret }))
}

/// Writes one frame.
///
/// # Errors
/// What the stream says; `InvalidInput` when the secret is too long to be one.
pub fn write(stream: &mut impl Write, header: &impl Serialize, secret: &[u8]) -> io::Result<()> {
    stream.write_all(&encode(header)?)?;
    stream.write_all(&secret_length(secret)?)?;
    stream.write_all(secret)?;
    stream.flush()
}

/// [`write()`], without blocking.
///
/// # Errors
/// Those of [`write()`].
pub async fn write_async(
    stream: &mut (impl AsyncWrite + Unpin),
    header: &impl Serialize,
    secret: &[u8],
) -> io::Result<()> {
    let mut frame = encode(header)?;
    frame.extend(secret_length(secret)?);
    stream.write_all(&frame).await?;
    stream.write_all(secret).await?;
    stream.flush().await
}

/// The header's length and JSON.
fn encode(header: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, header).map_err(invalid)?;
    let length = u32::try_from(frame.len() - 4).map_err(invalid)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

fn secret_length(secret: &[u8]) -> io::Result<[u8; 4]> {
    match u32::try_from(secret.len()) {
        Ok(length) if secret.len() <= SECRET_LIMIT => Ok(length.to_be_bytes()),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the secret is too long",
        )),
    }
}

fn bounded(length: [u8; 4], limit: usize) -> io::Result<usize> {
    let length = u32::from_be_bytes(length);
    let fits = usize::try_from(length)
        .ok()
        .filter(|length| *length <= limit);
    fits.ok_or_else(|| {
        invalid(format!(
            "a message of {length} bytes, where {limit} are allowed"
        ))
    })
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    fn frame(header: &str, secret: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, &header, secret).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(header in ".{0,300}", secret in prop::collection::vec(any::<u8>(), 0..300)) {
            let bytes = frame(&header, &secret);
            let sync = read(&mut &bytes[..], REQUEST_LIMIT).unwrap().unwrap();
            let other = block_on(read_async(&mut &bytes[..], REQUEST_LIMIT)).unwrap().unwrap();
            for read in [sync, other] {
                prop_assert_eq!(&read.parse::<String>().unwrap(), &header);
                prop_assert_eq!(&read.secret[..], &secret[..]);
            }
        }

        #[test]
        fn a_cut_frame_is_an_error(header in ".{0,40}", secret in prop::collection::vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>()) {
            let bytes = frame(&header, &secret);
            let cut = &bytes[..at.index(bytes.len())];
            let sync = read(&mut &cut[..], REQUEST_LIMIT);
            let other = block_on(read_async(&mut &cut[..], REQUEST_LIMIT));
            for read in [sync, other] {
                match read {
                    Ok(read) => prop_assert!(read.is_none() && cut.is_empty()),
                    Err(error) => prop_assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
                }
            }
        }

        #[test]
        fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&mut &bytes[..], 100);
            let _ = block_on(read_async(&mut &bytes[..], 100));
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let bytes = frame("0123456789", b"secret");
        assert_eq!(
            read(&mut &bytes[..], 11).err().unwrap().kind(),
            io::ErrorKind::InvalidData
        );
        assert!(read(&mut &bytes[..], 12).is_ok());
        let mut out = Vec::new();
        let long = write(&mut out, &"", &[0; SECRET_LIMIT + 1]);
        assert_eq!(long.err().unwrap().kind(), io::ErrorKind::InvalidInput);
    }
}
