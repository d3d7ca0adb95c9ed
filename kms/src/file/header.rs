//! The header of a message, as AWS writes it down for version 2.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version, 2 |
//! | 2 | algorithm suite |
//! | 32 | message id, random |
//! | 2 + n | encryption context: 2 number of pairs, then for each 2 + n key and 2 + n value, sorted by key; nothing for none |
//! | 2 | number of wrapped data keys, then for each 2 + n provider, 2 + n what the provider calls its key, 2 + n ciphertext |
//! | 1 | content type, 2 framed |
//! | 4 | length of a frame |
//! | 32 | key commitment |
//! | 16 | tag over all of the above |

use std::io::{ErrorKind, Read};

use super::error::FileError;
use crate::aead::TAG_LEN;
use crate::context::EncryptionContext;

/// How a message is made. Both are AES-256-GCM with HKDF-SHA512 and key commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlgorithmSuite {
    /// `AES_256_GCM_HKDF_SHA512_COMMIT_KEY`
    CommitKey,
    /// `AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384`: signed at its end, too.
    CommitKeyEcdsaP384,
}

/// The data key of a message as one provider has wrapped it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedDataKey {
    /// Who: `aws-kms`.
    pub provider: String,
    /// What the provider calls the key that wraps it: the ARN of a KMS key.
    pub key: String,
    /// The wrapped data key.
    pub ciphertext: Vec<u8>,
}

/// What stands in the clear before the frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) suite: AlgorithmSuite,
    pub(super) message_id: [u8; MESSAGE_ID_LEN],
    pub(super) context: EncryptionContext,
    pub(super) data_keys: Vec<EncryptedDataKey>,
    pub(super) frame_len: u32,
    pub(super) commitment: [u8; COMMITMENT_LEN],
}

impl AlgorithmSuite {
    /// AWS's number for it.
    pub fn number(self) -> u16 {
        match self {
            Self::CommitKey => 0x0478,
            Self::CommitKeyEcdsaP384 => 0x0578,
        }
    }

    fn of_number(number: u16) -> Result<Self, FileError> {
        match number {
            0x0478 => Ok(Self::CommitKey),
            0x0578 => Ok(Self::CommitKeyEcdsaP384),
            other => Err(FileError::Unsupported(format!(
                "its algorithm suite is {other:#06x}, and only 0x0478 and 0x0578 commit to their key"
            ))),
        }
    }
}

impl EncryptedDataKey {
    /// The provider of KMS keys.
    pub const AWS_KMS: &'static str = "aws-kms";

    /// A data key that the KMS key of that ARN has wrapped.
    pub fn of_kms(arn: impl Into<String>, ciphertext: Vec<u8>) -> Self {
        Self {
            provider: Self::AWS_KMS.to_owned(),
            key: arn.into(),
            ciphertext,
        }
    }
}

impl Header {
    /// The header's bytes, without the tag.
    ///
    /// # Errors
    /// [`FileError::Context`] for a context, and [`FileError::Malformed`] for keys, that do not fit.
    pub(super) fn encode(&self) -> Result<Vec<u8>, FileError> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.suite.number().to_be_bytes());
        out.extend_from_slice(&self.message_id);
        push(&mut out, &encode_context(&self.context)?)?;
        out.extend_from_slice(&short(self.data_keys.len())?);
        for key in &self.data_keys {
            push(&mut out, key.provider.as_bytes())?;
            push(&mut out, key.key.as_bytes())?;
            push(&mut out, &key.ciphertext)?;
        }
        out.push(FRAMED);
        out.extend_from_slice(&self.frame_len.to_be_bytes());
        out.extend_from_slice(&self.commitment);
        Ok(out)
    }

    /// Reads a header and hands back, beside it, its bytes and its tag. Nothing is authenticated thereby.
    pub(super) fn read(
        source: &mut impl Read,
    ) -> Result<(Self, Vec<u8>, [u8; TAG_LEN]), FileError> {
        let mut reader = HeaderReader {
            source,
            bytes: Vec::new(),
        };
        let suite = read_suite(&mut reader)?;
        let header = Self {
            suite,
            message_id: reader.array()?,
            context: decode_context(&reader.blob()?)?,
            data_keys: read_data_keys(&mut reader)?,
            frame_len: read_framing(&mut reader)?,
            commitment: reader.array()?,
        };
        let bytes = std::mem::take(&mut reader.bytes);
        let tag = reader.array()?;
        Ok((header, bytes, tag))
    }
}

fn read_suite(reader: &mut HeaderReader<'_, impl Read>) -> Result<AlgorithmSuite, FileError> {
    let [version] = reader.array().map_err(not_a_message)?;
    let suite = u16::from_be_bytes(reader.array().map_err(not_a_message)?);
    match version {
        VERSION => AlgorithmSuite::of_number(suite),
        // What else begins so may be anything: version 1 goes on with its type.
        1 if suite & 0xff00 == 0x8000 => Err(FileError::Unsupported(
            "it is of version 1, whose suites do not commit to their key: encrypt it anew with version 2 of \
             AWS's library or later"
                .to_owned(),
        )),
        _ => Err(FileError::NotAMessage),
    }
}

fn read_data_keys(
    reader: &mut HeaderReader<'_, impl Read>,
) -> Result<Vec<EncryptedDataKey>, FileError> {
    let count = u16::from_be_bytes(reader.array()?);
    if count == 0 {
        return Err(FileError::Malformed("it has no data key"));
    }
    let mut keys = Vec::new();
    for _ in 0..count {
        keys.push(EncryptedDataKey {
            provider: reader.text()?,
            // Some providers put other bytes than text here; theirs are not opened here.
            key: String::from_utf8_lossy(&reader.blob()?).into_owned(),
            ciphertext: reader.blob()?,
        });
    }
    Ok(keys)
}

fn read_framing(reader: &mut HeaderReader<'_, impl Read>) -> Result<u32, FileError> {
    let [content_type] = reader.array()?;
    if content_type == SINGLE_BLOCK {
        return Err(FileError::Unsupported(
            "it is one single block, which cannot be verified in parts: encrypt it with a frame length"
                .to_owned(),
        ));
    }
    if content_type != FRAMED {
        return Err(FileError::Malformed("its content is of an unknown type"));
    }
    match u32::from_be_bytes(reader.array()?) {
        0 => Err(FileError::Malformed("its frames have no length")),
        len if len > LONGEST_FRAME => Err(FileError::Unsupported(format!(
            "its frames have {len} bytes, and at most {LONGEST_FRAME} are held in memory"
        ))),
        len => Ok(len),
    }
}

/// AWS's serialization: sorted by key, nothing where there is no pair.
fn encode_context(context: &EncryptionContext) -> Result<Vec<u8>, FileError> {
    let count = context.iter().count();
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut out = short(count).map_err(context_too_long)?.to_vec();
    for (key, value) in context.iter() {
        push(&mut out, key.as_bytes()).map_err(context_too_long)?;
        push(&mut out, value.as_bytes()).map_err(context_too_long)?;
    }
    match out.len() {
        0..=MOST => Ok(out),
        _ => Err(context_too_long(TOO_LONG)),
    }
}

fn decode_context(bytes: &[u8]) -> Result<EncryptionContext, FileError> {
    if bytes.is_empty() {
        return Ok(EncryptionContext::new());
    }
    let (count, mut rest) = split_short(bytes)?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        let key;
        let value;
        (key, rest) = split_text(rest)?;
        (value, rest) = split_text(rest)?;
        // Sorted, and each once: there is one spelling of a context.
        if pairs.last().is_some_and(|(last, _)| *last >= key) {
            return Err(BAD_CONTEXT);
        }
        pairs.push((key, value));
    }
    match rest.is_empty() && count > 0 {
        true => Ok(pairs.into_iter().collect()),
        false => Err(BAD_CONTEXT),
    }
}

fn split_short(bytes: &[u8]) -> Result<(u16, &[u8]), FileError> {
    let (short, rest) = bytes.split_first_chunk().ok_or(BAD_CONTEXT)?;
    Ok((u16::from_be_bytes(*short), rest))
}

fn split_text(bytes: &[u8]) -> Result<(String, &[u8]), FileError> {
    let (len, rest) = split_short(bytes)?;
    let (text, rest) = rest.split_at_checked(len.into()).ok_or(BAD_CONTEXT)?;
    let text = str::from_utf8(text).map_err(|_| BAD_CONTEXT)?;
    Ok((text.to_owned(), rest))
}

fn push(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), FileError> {
    out.extend_from_slice(&short(bytes.len())?);
    out.extend_from_slice(bytes);
    Ok(())
}

fn short(len: usize) -> Result<[u8; 2], FileError> {
    u16::try_from(len)
        .map(u16::to_be_bytes)
        .map_err(|_| TOO_LONG)
}

fn context_too_long(_: FileError) -> FileError {
    FileError::Context("is too long for a message: at most 65,535 bytes".to_owned())
}

/// Reads a header and keeps its bytes.
struct HeaderReader<'a, R> {
    source: &'a mut R,
    bytes: Vec<u8>,
}

impl<R: Read> HeaderReader<'_, R> {
    fn take(&mut self, len: usize) -> Result<&[u8], FileError> {
        let start = self.bytes.len();
        if start + len > LONGEST_HEADER {
            return Err(FileError::Malformed("its header is longer than 1 MiB"));
        }
        self.bytes.resize(start + len, 0);
        match self.source.read_exact(&mut self.bytes[start..]) {
            Ok(()) => Ok(&self.bytes[start..]),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(FileError::Truncated("its header".to_owned()))
            }
            Err(error) => Err(FileError::Read(error)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        let taken = self.take(N)?;
        Ok(*taken.first_chunk().expect("as many were taken"))
    }

    fn blob(&mut self) -> Result<Vec<u8>, FileError> {
        let len = u16::from_be_bytes(self.array()?);
        self.take(len.into()).map(<[u8]>::to_vec)
    }

    fn text(&mut self) -> Result<String, FileError> {
        let text = String::from_utf8(self.blob()?);
        text.map_err(|_| FileError::Malformed("a text in its header is not UTF-8"))
    }
}

fn not_a_message(error: FileError) -> FileError {
    match error {
        FileError::Truncated(_) => FileError::NotAMessage,
        other => other,
    }
}

/// Bytes of a message id.
pub(super) const MESSAGE_ID_LEN: usize = 32;
/// Bytes of a key commitment.
pub(super) const COMMITMENT_LEN: usize = 32;

const VERSION: u8 = 2;
const SINGLE_BLOCK: u8 = 1;
const FRAMED: u8 = 2;
/// What a length of two bytes can say.
const MOST: usize = 0xffff;
/// Held in memory while it is read: enough for a dozen wrapped keys and any context that the KMS takes.
const LONGEST_HEADER: usize = 1 << 20;
/// Held in memory, too.
const LONGEST_FRAME: u32 = 64 << 20;
const TOO_LONG: FileError = FileError::Malformed("a field is longer than 65,535 bytes");
const BAD_CONTEXT: FileError = FileError::Malformed("its encryption context cannot be read");
