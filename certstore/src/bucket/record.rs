//! The record of a bucket key, byte by byte. Numbers are big-endian; a text or a blob stands behind its length.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | magic, `sealbuck` |
//! | 2 | format, 1 |
//! | 16 | id of the store |
//! | 1 + n | region |
//! | 16 | id of the bucket key |
//! | 8 | version of the record, from 1 |
//! | 8 | when the bucket key was made, in seconds since 1970 |
//! | 4 | reserved: entries that may have been sealed under it, at most 65,536 |
//! | 12 | nonce, random |
//! | 16 | tag over all of the above but the nonce |
//! | 2 + n | the bucket key, wrapped by the KMS under the encryption context of store and region |
//!
//! The tag is that of AES-256-GCM over nothing, with the header as additional data, under
//! HKDF-SHA256(bucket key, salt = id of the bucket key, info = magic ‖ format). So the record is one with
//! the key in it, and only who has that key can write it. The wrapped key is no part of what is tagged, so
//! that another KMS key can wrap it anew; the KMS authenticates it.
//!
//! The record stands beside the entries, as the file `ID.bucket`.

use std::fmt;
use std::time::{Duration, SystemTime};

use kms::aead::{self, NONCE_LEN, TAG_LEN};
use kms::derive::derive;
use kms::message::Header as WrappedHeader;
use kms::{Environment, SecretKey, WrappedKey};
use uuid::Uuid;

use crate::bytes::{Reader, push_short};
use crate::error::Error;
use crate::format::{seconds, time};
use crate::wrapping::NO_CIPHERTEXT;

/// Which bucket key: random, and the name of its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BucketId(Uuid);

/// What is said of a bucket key in the clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store: Uuid,
    pub(crate) region: String,
    pub(crate) id: BucketId,
    /// From 1, one more with every write.
    pub(crate) version: u64,
    /// In whole seconds.
    pub(crate) created: SystemTime,
    /// Entries that may have been sealed under it.
    pub(crate) reserved: u32,
}

/// A whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BucketRecord {
    pub(crate) header: Header,
    nonce: [u8; NONCE_LEN],
    tag: [u8; TAG_LEN],
    /// The bucket key, wrapped by the KMS.
    pub(crate) wrapped: Vec<u8>,
}

impl BucketId {
    pub(crate) const LEN: usize = 16;

    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Self::LEN] {
        self.0.as_bytes()
    }

    pub(crate) fn uuid(self) -> Uuid {
        self.0
    }

    /// The file that its record stands in.
    pub(crate) fn file(self) -> String {
        format!("{}{SUFFIX}", self.0)
    }

    /// The bucket key whose record stands in `file`; none where that is no record's name.
    pub(crate) fn of_file(file: &str) -> Option<Self> {
        let id = Self(file.strip_suffix(SUFFIX)?.parse().ok()?);
        // Not another spelling of the same.
        (id.file() == file).then_some(id)
    }
}

impl fmt::Display for BucketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Header {
    /// Whether entries may be sealed under it at `now`: for a day, and not before it was made.
    pub(crate) fn is_current(&self, now: SystemTime) -> bool {
        let age = now.duration_since(self.created);
        age.is_ok_and(|age| age < CURRENT)
    }

    /// How many more entries may be sealed under it.
    pub(crate) fn left(&self) -> u32 {
        MOST_ENTRIES.saturating_sub(self.reserved)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_be_bytes());
        out.extend_from_slice(self.store.as_bytes());
        push_short(&mut out, &self.region);
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&seconds(self.created).to_be_bytes());
        out.extend_from_slice(&self.reserved.to_be_bytes());
        out
    }
}

impl BucketRecord {
    /// The record of `header`, under the tag that only who has the bucket key can make.
    pub(crate) fn new(
        header: Header,
        key: &SecretKey,
        wrapped: Vec<u8>,
        environment: &Environment,
    ) -> Self {
        let nonce = environment.random_bytes();
        let tag = aead::seal(&tag_key(key, header.id), &nonce, &header.encode(), &mut []);
        Self {
            header,
            nonce,
            tag,
            wrapped,
        }
    }

    /// Whether `key` is the one in the record, and the record what was written.
    ///
    /// # Errors
    /// [`Error::Tampered`].
    pub(crate) fn authenticate(&self, key: &SecretKey) -> Result<(), Error> {
        let key = tag_key(key, self.header.id);
        let opened = aead::open(&key, &self.nonce, &self.header.encode(), &mut [], &self.tag);
        opened.map_err(|_| Error::Tampered)
    }

    /// Which KMS key and generation wrap it, as the clear part says.
    pub(crate) fn wrapped_by(&self) -> Result<WrappedHeader, Error> {
        let wrapped = WrappedKey::from_bytes(self.wrapped.clone());
        wrapped.header().ok_or(NO_CIPHERTEXT)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.header.encode();
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.tag);
        let len = u16::try_from(self.wrapped.len()).expect("a wrapped key is shorter than 64 KiB");
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&self.wrapped);
        out
    }

    /// Takes the record apart that stands in `file`. Nothing in it is authenticated thereby.
    ///
    /// # Errors
    /// [`Error::NotABucketKey`], [`Error::LaterFormat`], [`Error::Malformed`], [`Error::Renamed`].
    pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let header = parse_header(&mut reader)?;
        let (nonce, tag) = (*reader.array()?, *reader.array()?);
        let wrapped_len = u16::from_be_bytes(*reader.array()?);
        let wrapped = reader.take(wrapped_len.into())?.to_vec();
        if !reader.rest().is_empty() {
            return Err(Error::Malformed("something follows its end"));
        }
        if BucketId::of_file(file) != Some(header.id) {
            return Err(Error::Renamed(header.id.file()));
        }
        Ok(Self {
            header,
            nonce,
            tag,
            wrapped,
        })
    }
}

fn parse_header(reader: &mut Reader<'_>) -> Result<Header, Error> {
    match reader.array() {
        Ok(magic) if magic == MAGIC => {}
        _ => return Err(Error::NotABucketKey),
    }
    match u16::from_be_bytes(*reader.array()?) {
        FORMAT => {}
        0 => return Err(Error::Malformed("its format is 0")),
        later => return Err(Error::LaterFormat(format!("its format is {later}"))),
    }
    Ok(Header {
        store: Uuid::from_bytes(*reader.array()?),
        region: reader.short()?.to_owned(),
        id: BucketId::from_bytes(*reader.array()?),
        version: u64::from_be_bytes(*reader.array()?),
        created: time(u64::from_be_bytes(*reader.array()?))?,
        reserved: u32::from_be_bytes(*reader.array()?),
    })
}

fn tag_key(key: &SecretKey, id: BucketId) -> SecretKey {
    derive(key, id.as_bytes(), &[MAGIC, &FORMAT.to_be_bytes()])
}

/// How long entries are sealed under one bucket key.
pub(crate) const CURRENT: Duration = Duration::from_secs(24 * 3600);
/// How many entries are sealed under one bucket key.
pub(crate) const MOST_ENTRIES: u32 = 65_536;

const MAGIC: &[u8; 8] = b"sealbuck";
const FORMAT: u16 = 1;
const SUFFIX: &str = ".bucket";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_has_one_spelling() {
        let id = BucketId::from_bytes([0xab; 16]);
        assert_eq!(BucketId::of_file(&id.file()), Some(id));
        for other in [
            id.file().to_uppercase(),
            format!("{}{SUFFIX}", id.uuid().simple()),
            id.to_string(),
            SUFFIX.to_owned(),
        ] {
            assert_eq!(BucketId::of_file(&other), None, "{other}");
        }
    }

    #[test]
    fn other_files_are_told_apart() {
        let file = BucketId::from_bytes([1; 16]).file();
        let parse = |bytes: &[u8]| BucketRecord::parse(&file, bytes).unwrap_err();
        assert!(matches!(parse(b""), Error::NotABucketKey));
        assert!(matches!(parse(b"sealcert\0\x01"), Error::NotABucketKey));
        assert!(matches!(parse(b"sealbuck\0\x02"), Error::LaterFormat(_)));
        assert!(matches!(parse(b"sealbuck\0\x00"), Error::Malformed(_)));
        assert!(matches!(parse(b"sealbuck\0\x01"), Error::Malformed(_)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_authentic(
            store: [u8; 16], region in "[a-z0-9-]{1,32}", id: [u8; 16], version: u64,
            created in 0..4_000_000_000_u64, reserved: u32, wrapped in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let header = Header {
                store: Uuid::from_bytes(store), region, id: BucketId::from_bytes(id), version,
                created: time(created).unwrap(), reserved,
            };
            let key = SecretKey::copy_from(&[7; 32]).unwrap();
            let record = BucketRecord::new(header, &key, wrapped, &Environment::system());
            let read = BucketRecord::parse(&record.header.id.file(), &record.encode()).unwrap();
            prop_assert!(read.authenticate(&key).is_ok());
            prop_assert!(read.authenticate(&SecretKey::copy_from(&[8; 32]).unwrap()).is_err());
            prop_assert_eq!(read, record);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), valid_start: bool) {
            let start: &[u8] = if valid_start { b"sealbuck\0\x01" } else { b"" };
            let file = BucketId::from_bytes([1; 16]).file();
            let _ = BucketRecord::parse(&file, &[start, &bytes].concat());
        }
    }
}
