//! A sealed entry, byte by byte. Numbers are big-endian; a text or a blob stands behind its length.
//!
//! The header is in the clear, and is, byte for byte, the additional data of the private key's
//! encryption: no bit of it can change unnoticed.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | magic, `sealcert` |
//! | 2 | format, 1 |
//! | 16 | id of the store |
//! | 1 + n | region |
//! | 1 + n | name of the entry |
//! | 1 | key type: 1 ECDSA P-256, 2 ECDSA P-384, 3 Ed25519, 4 RSA 2048, 5 RSA 3072, 6 RSA 4096 |
//! | 1 | flags: 1 exportable |
//! | 8 | version of the entry, from 1 |
//! | 8 | when it was written, in seconds since 1970 |
//! | 1 | content: 0 a request (the certificate is still to come), 1 a chain |
//! | 4 + n | the request (PKCS#10 in DER); for a chain: one byte, the number of certificates, then for each 4 + n, leaf first |
//! | 1 | key source: 1 wrapped, 2 derived |
//! | 16 | for a derived key only: id of the bucket key |
//! | 32 | salt, random, drawn anew with every write |
//!
//! Behind it:
//!
//! | bytes | field |
//! |---|---|
//! | 2 + n | for a wrapped key only: the data key, wrapped by the KMS under the encryption context of store, region and entry |
//! | 12 | nonce, random |
//! | n | the private key, PKCS#8 in DER, encrypted under the data key |
//! | 16 | tag |
//!
//! A derived data key is HKDF-SHA256(bucket key, salt = the salt, info = magic ‖ format ‖ id of the store ‖
//! name of the entry); the bucket key's record is written down in `bucket/record.rs`.
//!
//! The wrapped data key is no part of the additional data, so that another KMS key can wrap it anew
//! without touching the payload; the KMS authenticates it.

use std::time::{Duration, SystemTime};

use kms::SecretKey;
use kms::aead::{NONCE_LEN, TAG_LEN};
use kms::derive::derive;
use uuid::Uuid;

use crate::bucket::BucketId;
use crate::bytes::{CUT, Reader, push_long, push_short};
use crate::error::Error;
use crate::import::{MAX_CHAIN, MAX_CHAIN_BYTES};
use crate::key_type::KeyType;

/// The clear part of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    pub(crate) store: Uuid,
    pub(crate) region: &'a str,
    pub(crate) name: &'a str,
    pub(crate) key_type: KeyType,
    pub(crate) exportable: bool,
    /// From 1, one more with every write.
    pub(crate) version: u64,
    /// In whole seconds.
    pub(crate) written: SystemTime,
    pub(crate) content: Content<'a>,
    pub(crate) source: DataKeySource,
    pub(crate) salt: [u8; SALT_LEN],
}

/// Where the data key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataKeySource {
    /// It stands in the entry, wrapped by the KMS.
    Wrapped,
    /// It is derived from this bucket key.
    Derived(BucketId),
}

/// What the key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// A request; the certificate is still to come.
    Request(&'a [u8]),
    /// Certificates, leaf first; at least one.
    Chain(Vec<&'a [u8]>),
}

/// A whole entry as it stands in its file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SealedEntry<'a> {
    pub(crate) header: Header<'a>,
    /// The header's bytes: the additional data.
    pub(crate) clear: &'a [u8],
    /// The wrapped data key; none where it is derived.
    pub(crate) wrapped: Option<&'a [u8]>,
    pub(crate) nonce: &'a [u8; NONCE_LEN],
    pub(crate) ciphertext: &'a [u8],
    pub(crate) tag: &'a [u8; TAG_LEN],
}

impl Header<'_> {
    /// The header's bytes, in a vector with room for what follows.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 * 1024);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_be_bytes());
        out.extend_from_slice(self.store.as_bytes());
        push_short(&mut out, self.region);
        push_short(&mut out, self.name);
        out.push(key_type_number(self.key_type));
        out.push(u8::from(self.exportable));
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&seconds(self.written).to_be_bytes());
        self.content.encode(&mut out);
        self.source.encode(&mut out);
        out.extend_from_slice(&self.salt);
        out
    }
}

impl DataKeySource {
    fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Wrapped => out.push(WRAPPED),
            Self::Derived(bucket) => {
                out.push(DERIVED);
                out.extend_from_slice(bucket.as_bytes());
            }
        }
    }
}

impl Content<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Request(der) => {
                out.push(0);
                push_long(out, der);
            }
            Self::Chain(chain) => {
                out.push(1);
                out.push(u8::try_from(chain.len()).expect("a chain was checked to be short"));
                for der in chain {
                    push_long(out, der);
                }
            }
        }
    }
}

/// The key of one write of the entry `name`, from a bucket key.
pub(crate) fn derive_data_key(
    bucket_key: &SecretKey,
    salt: &[u8; SALT_LEN],
    store: Uuid,
    name: &str,
) -> SecretKey {
    let format = FORMAT.to_be_bytes();
    let info = [&MAGIC[..], &format, store.as_bytes(), name.as_bytes()];
    derive(bucket_key, salt, &info)
}

/// Puts an entry together: its encoded header, and what follows.
pub(crate) fn assemble(
    header: Vec<u8>,
    wrapped: Option<&[u8]>,
    nonce: &[u8; NONCE_LEN],
    ciphertext: &[u8],
    tag: &[u8; TAG_LEN],
) -> Vec<u8> {
    let mut out = header;
    if let Some(wrapped) = wrapped {
        let len = u16::try_from(wrapped.len()).expect("a wrapped data key is shorter than 64 KiB");
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(wrapped);
    }
    out.extend_from_slice(nonce);
    out.extend_from_slice(ciphertext);
    out.extend_from_slice(tag);
    out
}

/// Takes an entry apart. Nothing in it is authenticated thereby.
///
/// # Errors
/// [`Error::NotAnEntry`], [`Error::LaterFormat`], [`Error::Malformed`].
pub(crate) fn parse(bytes: &[u8]) -> Result<SealedEntry<'_>, Error> {
    let mut reader = Reader::new(bytes);
    let header = parse_header(&mut reader)?;
    let clear = &bytes[..bytes.len() - reader.rest().len()];
    let wrapped = match header.source {
        DataKeySource::Wrapped => Some(parse_wrapped(&mut reader)?),
        DataKeySource::Derived(_) => None,
    };
    let nonce = reader.array()?;
    let (ciphertext, tag) = reader.rest().split_last_chunk().ok_or(CUT)?;
    if ciphertext.is_empty() {
        return Err(CUT);
    }
    Ok(SealedEntry {
        header,
        clear,
        wrapped,
        nonce,
        ciphertext,
        tag,
    })
}

fn parse_wrapped<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let len = u16::from_be_bytes(*reader.array()?);
    reader.take(len.into())
}

fn parse_header<'a>(reader: &mut Reader<'a>) -> Result<Header<'a>, Error> {
    parse_magic(reader)?;
    let store = Uuid::from_bytes(*reader.array()?);
    let region = reader.short()?;
    let name = reader.short()?;
    let key_type = key_type_of(reader.byte()?)?;
    let exportable = match reader.byte()? {
        flags @ 0..=1 => flags == 1,
        _ => return Err(Error::LaterFormat("it has unknown flags".to_owned())),
    };
    let version = u64::from_be_bytes(*reader.array()?);
    let written = time(u64::from_be_bytes(*reader.array()?))?;
    let content = parse_content(reader)?;
    let source = parse_source(reader)?;
    Ok(Header {
        store,
        region,
        name,
        key_type,
        exportable,
        version,
        written,
        content,
        source,
        salt: *reader.array()?,
    })
}

fn parse_source(reader: &mut Reader<'_>) -> Result<DataKeySource, Error> {
    match reader.byte()? {
        WRAPPED => Ok(DataKeySource::Wrapped),
        DERIVED => {
            let id = BucketId::from_bytes(*reader.array()?);
            Ok(DataKeySource::Derived(id))
        }
        _ => Err(Error::LaterFormat(
            "its key comes from an unknown source".to_owned(),
        )),
    }
}

fn parse_magic(reader: &mut Reader<'_>) -> Result<(), Error> {
    match reader.array::<8>() {
        Ok(magic) if magic == MAGIC => {}
        _ => return Err(Error::NotAnEntry),
    }
    match u16::from_be_bytes(*reader.array()?) {
        FORMAT => Ok(()),
        0 => Err(Error::Malformed("its format is 0")),
        later => Err(Error::LaterFormat(format!("its format is {later}"))),
    }
}

fn parse_content<'a>(reader: &mut Reader<'a>) -> Result<Content<'a>, Error> {
    match reader.byte()? {
        0 => reader.long(MAX_CHAIN_BYTES).map(Content::Request),
        1 => parse_chain(reader).map(Content::Chain),
        _ => Err(Error::LaterFormat("it has unknown content".to_owned())),
    }
}

fn parse_chain<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, Error> {
    let count = usize::from(reader.byte()?);
    if !(1..=MAX_CHAIN).contains(&count) {
        return Err(Error::Malformed("it has too many certificates, or none"));
    }
    (0..count).map(|_| reader.long(MAX_CHAIN_BYTES)).collect()
}

fn key_type_number(key_type: KeyType) -> u8 {
    match key_type {
        KeyType::EcdsaP256 => 1,
        KeyType::EcdsaP384 => 2,
        KeyType::Ed25519 => 3,
        KeyType::Rsa2048 => 4,
        KeyType::Rsa3072 => 5,
        KeyType::Rsa4096 => 6,
    }
}

fn key_type_of(number: u8) -> Result<KeyType, Error> {
    let found = KeyType::ALL
        .into_iter()
        .find(|kind| key_type_number(*kind) == number);
    found.ok_or_else(|| Error::LaterFormat("it has an unknown type of key".to_owned()))
}

pub(crate) fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

pub(crate) fn time(seconds: u64) -> Result<SystemTime, Error> {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    time.ok_or(Error::Malformed("its time is out of range"))
}

const MAGIC: &[u8; 8] = b"sealcert";
const FORMAT: u16 = 1;
/// Bytes in the salt.
pub(crate) const SALT_LEN: usize = 32;
/// The data key stands in the entry, wrapped by the KMS.
const WRAPPED: u8 = 1;
/// The data key is derived from a bucket key.
const DERIVED: u8 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(header: &Header<'_>, ciphertext: &[u8]) -> Vec<u8> {
        let wrapped = (header.source == DataKeySource::Wrapped).then_some(&b"wrapped"[..]);
        assemble(header.encode(), wrapped, &[7; 12], ciphertext, &[8; 16])
    }

    #[test]
    fn other_files_are_told_apart() {
        assert!(matches!(parse(b""), Err(Error::NotAnEntry)));
        assert!(matches!(parse(b"-----BEGIN"), Err(Error::NotAnEntry)));
        assert!(matches!(
            parse(b"sealcert\0\x02"),
            Err(Error::LaterFormat(_))
        ));
        assert!(matches!(parse(b"sealcert\0\x01"), Err(Error::Malformed(_))));
    }

    fn content() -> impl Strategy<Value = Vec<Vec<u8>>> {
        proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..=MAX_CHAIN)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            store: [u8; 16], region in "[a-z0-9-]{1,32}", name in "[a-z0-9.*-]{1,253}", kind in 0..6_usize, exportable: bool,
            version: u64, seconds in 0..4_000_000_000_u64, blobs in content(), salt: [u8; 32],
            bucket: Option<[u8; 16]>, ciphertext in proptest::collection::vec(any::<u8>(), 1..100),
        ) {
            let content = match &blobs[..] {
                [] => Content::Request(b"request"),
                chain => Content::Chain(chain.iter().map(Vec::as_slice).collect()),
            };
            let header = Header {
                store: Uuid::from_bytes(store), region: &region, name: &name, key_type: KeyType::ALL[kind], exportable,
                version, written: time(seconds).unwrap(), content, salt,
                source: bucket.map_or(DataKeySource::Wrapped, |id| DataKeySource::Derived(BucketId::from_bytes(id))),
            };
            let bytes = encoded(&header, &ciphertext);
            let entry = parse(&bytes).unwrap();
            prop_assert_eq!(entry.clear, &header.encode()[..]);
            prop_assert_eq!(&entry.header, &header);
            let wrapped = bucket.is_none().then_some(&b"wrapped"[..]);
            prop_assert_eq!((entry.wrapped, entry.ciphertext), (wrapped, &ciphertext[..]));
            prop_assert_eq!((entry.nonce, entry.tag), (&[7; 12], &[8; 16]));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), valid_start: bool) {
            let start: &[u8] = if valid_start { b"sealcert\0\x01" } else { b"" };
            let _ = parse(&[start, &bytes].concat());
        }
    }
}
