//! Making a message.

use std::io::{ErrorKind, Read, Write};

use zeroize::Zeroizing;

use super::error::FileError;
use super::frame::{END, FINAL_HEAD, FrameAad, Kind, REGULAR_HEAD};
use super::header::{AlgorithmSuite, EncryptedDataKey, Header};
use super::keys::{MessageKey, commitment, nonce};
use crate::aead::TAG_LEN;
use crate::context::EncryptionContext;
use crate::environment::Environment;
use crate::secret::SecretKey;

/// What a message is made with.
pub struct EncryptionMaterials<'a> {
    /// A data key that was made for this message.
    pub data_key: &'a SecretKey,
    /// The same, wrapped.
    pub encrypted_data_keys: Vec<EncryptedDataKey>,
    /// What it is bound to: the context under which the data key is wrapped.
    pub context: EncryptionContext,
}

/// Encrypts `source` to its end into `target`, and returns how long it was. `progress` is told how much is
/// done, in bytes of plaintext. A `target` in which this ended with an error holds no whole message.
///
/// # Errors
/// [`FileError::Context`], [`FileError::TooLong`]; what `source` and `target` say.
pub fn encrypt(
    materials: EncryptionMaterials<'_>,
    environment: &Environment,
    source: &mut impl Read,
    target: &mut impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, FileError> {
    let data_key = materials.data_key;
    let header = header(materials, environment)?;
    let key = MessageKey::derive(data_key, header.suite, &header.message_id);
    let mut bytes = header.encode()?;
    let tag = key.seal(0, &bytes, &mut []);
    bytes.extend_from_slice(&tag);
    target.write_all(&bytes).map_err(FileError::Write)?;
    let aad = FrameAad::new(&header.message_id);
    Frames {
        key,
        aad,
        buffer: Buffer::new(),
    }
    .encrypt(source, target, progress)
}

fn header(
    materials: EncryptionMaterials<'_>,
    environment: &Environment,
) -> Result<Header, FileError> {
    let is_reserved = |(key, _): &(&str, &str)| key.starts_with(RESERVED_PREFIX);
    if let Some((key, _)) = materials.context.iter().find(is_reserved) {
        return Err(FileError::Context(format!(
            "has the key `{key}`: keys that begin with `{RESERVED_PREFIX}` belong to the message format"
        )));
    }
    let message_id = environment.random_bytes();
    Ok(Header {
        suite: AlgorithmSuite::CommitKey,
        message_id,
        commitment: commitment(materials.data_key, &message_id),
        context: materials.context,
        data_keys: materials.encrypted_data_keys,
        frame_len: u32::try_from(FRAME_LEN).expect("a frame is short"),
    })
}

/// What encrypts the frames of one message.
struct Frames {
    key: MessageKey,
    aad: FrameAad,
    buffer: Buffer,
}

impl Frames {
    fn encrypt(
        mut self,
        source: &mut impl Read,
        target: &mut impl Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, FileError> {
        let mut done = 0;
        for number in 1..END {
            let len = self.buffer.fill(source)?;
            let kind = match len {
                FRAME_LEN => Kind::Regular,
                _ => Kind::Final,
            };
            let frame = self.seal(kind, number, len);
            target.write_all(frame).map_err(FileError::Write)?;
            done += wide(len);
            progress(done);
            if kind == Kind::Final {
                target.flush().map_err(FileError::Write)?;
                return Ok(done);
            }
        }
        Err(FileError::TooLong)
    }

    /// Makes a frame of what is in the buffer.
    fn seal(&mut self, kind: Kind, number: u32, len: usize) -> &[u8] {
        let aad = self.aad.of(kind, number, len);
        let content = &mut self.buffer.bytes[FINAL_HEAD..][..len];
        let tag = self.key.seal(number, aad, content);
        self.buffer.bytes[FINAL_HEAD + len..][..TAG_LEN].copy_from_slice(&tag);
        self.buffer.frame(kind, number, len)
    }
}

/// One frame, whose content always begins at the same place, so that nothing is moved.
struct Buffer {
    bytes: Zeroizing<Vec<u8>>,
}

impl Buffer {
    fn new() -> Self {
        Self {
            bytes: Zeroizing::new(vec![0; FINAL_HEAD + FRAME_LEN + TAG_LEN]),
        }
    }

    /// Reads the content of a frame; it is shorter at the end of the source only.
    fn fill(&mut self, source: &mut impl Read) -> Result<usize, FileError> {
        let content = &mut self.bytes[FINAL_HEAD..][..FRAME_LEN];
        let mut filled = 0;
        while filled < FRAME_LEN {
            match source.read(&mut content[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::Read(error)),
            }
        }
        Ok(filled)
    }

    /// Writes what stands before the content, and gives the whole frame.
    fn frame(&mut self, kind: Kind, number: u32, len: usize) -> &[u8] {
        let (number_bytes, nonce) = (number.to_be_bytes(), nonce(number));
        let start = match kind {
            Kind::Regular => {
                let head = [&number_bytes[..], &nonce].concat();
                self.bytes[FINAL_HEAD - REGULAR_HEAD..FINAL_HEAD].copy_from_slice(&head);
                FINAL_HEAD - REGULAR_HEAD
            }
            Kind::Final => {
                let len = u32::try_from(len).expect("a frame is short");
                let parts = [
                    &END.to_be_bytes()[..],
                    &number_bytes,
                    &nonce,
                    &len.to_be_bytes(),
                ];
                self.bytes[..FINAL_HEAD].copy_from_slice(&parts.concat());
                0
            }
        };
        &self.bytes[start..FINAL_HEAD + len + TAG_LEN]
    }
}

fn wide(len: usize) -> u64 {
    u64::try_from(len).expect("a length fits 64 bits")
}

/// Within the cache next to a core, and long enough for the cipher to get up to speed.
pub(super) const FRAME_LEN: usize = 64 << 10;

/// Of context keys that the message format itself uses.
const RESERVED_PREFIX: &str = "aws-crypto-";
