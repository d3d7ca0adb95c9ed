//! Opening a message.

use std::io::{ErrorKind, Read, Write};

use aws_lc_rs::digest::{self, Context as Digest, SHA384};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::error::FileError;
use super::frame::{END, FINAL_HEAD, FrameAad, Kind, REGULAR_HEAD, regular_len};
use super::header::{AlgorithmSuite, EncryptedDataKey, Header};
use super::keys::{MessageKey, check_commitment, nonce};
use crate::aead::{NONCE_LEN, TAG_LEN};
use crate::context::EncryptionContext;
use crate::secret::SecretKey;

/// A message whose header has been read.
pub struct Message<R> {
    header: Header,
    /// The header's bytes.
    clear: Vec<u8>,
    tag: [u8; TAG_LEN],
    source: R,
}

impl<R: Read> Message<R> {
    /// Reads the header of a message. Nothing in it is authenticated thereby.
    ///
    /// # Errors
    /// [`FileError::NotAMessage`], [`FileError::Unsupported`], [`FileError::Malformed`],
    /// [`FileError::Truncated`]; what `source` says.
    pub fn read(mut source: R) -> Result<Self, FileError> {
        let (header, clear, tag) = Header::read(&mut source)?;
        Ok(Self {
            header,
            clear,
            tag,
            source,
        })
    }

    /// The message's data key as each provider has wrapped it: one of them is enough.
    pub fn encrypted_data_keys(&self) -> &[EncryptedDataKey] {
        &self.header.data_keys
    }

    /// The context under which the data key is wrapped.
    pub fn context(&self) -> &EncryptionContext {
        &self.header.context
    }

    /// How it is made.
    pub fn suite(&self) -> AlgorithmSuite {
        self.header.suite
    }

    /// Decrypts the message to its end into `target`, and returns how long it was. `progress` is told how much
    /// is done, in bytes of plaintext. A `target` in which this ended with an error holds authentic frames, but
    /// not the file.
    ///
    /// # Errors
    /// [`FileError::Uncommitted`], [`FileError::Tampered`], [`FileError::Truncated`], [`FileError::Trailing`],
    /// [`FileError::Malformed`]; what `source` and `target` say.
    pub fn decrypt(
        self,
        data_key: &SecretKey,
        target: &mut impl Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, FileError> {
        let header = &self.header;
        check_commitment(data_key, &header.message_id, &header.commitment)?;
        let key = MessageKey::derive(data_key, header.suite, &header.message_id);
        key.open(nonce(0), &self.clear, &mut [], &self.tag, || {
            "its header".to_owned()
        })?;
        let mut signature = Signature::of(header)?;
        signature.update(&self.clear);
        signature.update(&self.tag);
        let mut body = Body {
            key,
            aad: FrameAad::new(&header.message_id),
            frame_len: usize::try_from(header.frame_len).map_err(|_| NO_ROOM)?,
            signature,
            input: Input::new(self.source, header.frame_len)?,
        };
        let done = body.decrypt(target, progress)?;
        body.finish()?;
        target.flush().map_err(FileError::Write)?;
        Ok(done)
    }
}

/// What comes after the header.
struct Body<R> {
    key: MessageKey,
    aad: FrameAad,
    frame_len: usize,
    signature: Signature,
    input: Input<R>,
}

impl<R: Read> Body<R> {
    fn decrypt(
        &mut self,
        target: &mut impl Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<u64, FileError> {
        let mut done = 0;
        for number in 1..END {
            let (kind, len) = self.frame(number)?;
            let content = self.open(kind, number, len)?;
            target.write_all(content).map_err(FileError::Write)?;
            done += u64::try_from(len).expect("a length fits 64 bits");
            progress(done);
            self.input.consume(head(kind) + len + TAG_LEN);
            if kind == Kind::Final {
                return Ok(done);
            }
        }
        Err(FileError::Malformed(
            "its last frame does not say that it is",
        ))
    }

    /// Has the next frame in the buffer, from its start: what it is, and the length of its content.
    fn frame(&mut self, number: u32) -> Result<(Kind, usize), FileError> {
        let cut = || FileError::Truncated(format!("frame {number}"));
        let there = self.input.fill(regular_len(self.frame_len))?;
        let found = there.first_chunk().ok_or_else(cut)?;
        let (kind, found, len) = match u32::from_be_bytes(*found) {
            END => {
                let head = there.first_chunk::<FINAL_HEAD>().ok_or_else(cut)?;
                (Kind::Final, word(head, 4), word(head, FINAL_HEAD - 4))
            }
            number => (Kind::Regular, number, word_of(self.frame_len)),
        };
        if found != number {
            return Err(FileError::Malformed("its frames are not in order"));
        }
        let len = usize::try_from(len).map_err(|_| NO_ROOM)?;
        if len > self.frame_len {
            return Err(FileError::Malformed("its last frame is too long"));
        }
        let whole = head(kind) + len + TAG_LEN;
        match self.input.fill(whole)?.len() < whole {
            true => Err(cut()),
            false => Ok((kind, len)),
        }
    }

    /// Decrypts the frame that is in the buffer.
    fn open(&mut self, kind: Kind, number: u32, len: usize) -> Result<&[u8], FileError> {
        let frame = self.input.first(head(kind) + len + TAG_LEN);
        self.signature.update(frame);
        let (head, rest) = frame.split_at_mut(head(kind));
        let (content, tag) = rest.split_at_mut(len);
        let nonce_at = head.len() - NONCE_LEN - if kind == Kind::Final { 4 } else { 0 };
        let nonce: &[u8; NONCE_LEN] = head[nonce_at..].first_chunk().expect("a head has a nonce");
        let aad = self.aad.of(kind, number, len);
        self.key
            .open(*nonce, aad, content, tag, || format!("frame {number}"))?;
        Ok(content)
    }

    /// Checks that the message ends here, and is signed where it says so.
    fn finish(mut self) -> Result<(), FileError> {
        if let Some((digest, public_key)) = self.signature.finish() {
            let signature = self.footer()?;
            let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, public_key);
            let verified = key.verify_digest(&digest, &signature);
            verified.map_err(|_| FileError::Tampered("its signature".to_owned()))?;
        }
        match self.input.fill(1)?.is_empty() {
            true => Ok(()),
            false => Err(FileError::Trailing),
        }
    }

    fn footer(&mut self) -> Result<Vec<u8>, FileError> {
        let cut = || FileError::Truncated("its signature".to_owned());
        let len = self.input.fill(2)?.first_chunk().ok_or_else(cut)?;
        let whole = 2 + usize::from(u16::from_be_bytes(*len));
        if whole > LONGEST_FOOTER {
            return Err(FileError::Malformed("its signature is too long"));
        }
        let there = self.input.fill(whole)?;
        let signature = there.get(2..whole).ok_or_else(cut)?.to_vec();
        self.input.consume(whole);
        Ok(signature)
    }
}

/// Bytes before the content.
fn head(kind: Kind) -> usize {
    match kind {
        Kind::Regular => REGULAR_HEAD,
        Kind::Final => FINAL_HEAD,
    }
}

fn word(bytes: &[u8; FINAL_HEAD], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn word_of(len: usize) -> u32 {
    u32::try_from(len).expect("a frame's length came from 32 bits")
}

/// Hashes a message that is signed.
struct Signature(Option<(Digest, Vec<u8>)>);

impl Signature {
    fn of(header: &Header) -> Result<Self, FileError> {
        if header.suite == AlgorithmSuite::CommitKey {
            return Ok(Self(None));
        }
        let mut pairs = header.context.iter();
        let key = pairs.find(|(key, _)| *key == PUBLIC_KEY);
        let key = key.and_then(|(_, key)| Base64::decode_vec(key).ok());
        let key = key.ok_or(FileError::Malformed("the key of its signature is missing"))?;
        Ok(Self(Some((Digest::new(&SHA384), key))))
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some((digest, _)) = &mut self.0 {
            digest.update(bytes);
        }
    }

    fn finish(&mut self) -> Option<(digest::Digest, Vec<u8>)> {
        let (digest, key) = self.0.take()?;
        Some((digest.finish(), key))
    }
}

/// What was read and not yet used, from the start of the buffer: nothing is moved as long as whole frames are
/// read.
struct Input<R> {
    source: R,
    buffer: Zeroizing<Vec<u8>>,
    len: usize,
}

impl<R: Read> Input<R> {
    /// For frames of that much content, and a footer.
    fn new(source: R, frame_len: u32) -> Result<Self, FileError> {
        let frame = usize::try_from(frame_len).map_err(|_| NO_ROOM)? + FINAL_HEAD + TAG_LEN;
        Ok(Self {
            source,
            buffer: Zeroizing::new(vec![0; frame.max(LONGEST_FOOTER)]),
            len: 0,
        })
    }

    /// Reads until there are `wanted` bytes, and gives those that there are: fewer at the end only.
    fn fill(&mut self, wanted: usize) -> Result<&[u8], FileError> {
        while self.len < wanted {
            match self.source.read(&mut self.buffer[self.len..wanted]) {
                Ok(0) => break,
                Ok(read) => self.len += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(FileError::Read(error)),
            }
        }
        Ok(&self.buffer[..self.len])
    }

    /// The first `len` bytes, which there are.
    fn first(&mut self, len: usize) -> &mut [u8] {
        &mut self.buffer[..len]
    }

    fn consume(&mut self, used: usize) {
        self.buffer.copy_within(used..self.len, 0);
        self.len -= used;
    }
}

/// In the context of a signed message: the point on P-384, compressed, in base64.
const PUBLIC_KEY: &str = "aws-crypto-public-key";
/// An ECDSA signature on P-384 in DER has at most 104 bytes.
const LONGEST_FOOTER: usize = 2 + 256;
const NO_ROOM: FileError = FileError::Malformed("a length in it is out of range");
