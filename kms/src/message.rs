//! A message encrypted under a KMS key: the blob that callers store.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 16 | id of the KMS key |
//! | 17 | 4 | number of the backing key, big-endian |
//! | 21 | 16 | derivation salt, random |
//! | 37 | 12 | nonce, random |
//! | 49 | n | ciphertext |
//! | 49 + n | 16 | tag |
//!
//! The message key is HKDF-SHA256(backing key, salt, "sealgate kms message 1"), fresh for every
//! message, so that no counter can be lost in a crash, a clone or a restored backup. The additional
//! data are the first 49 bytes and the encryption context's canonical encoding.

use crate::aead::{self, NONCE_LEN, TAG_LEN, Tampered};
use crate::context::EncryptionContext;
use crate::derive::derive;
use crate::environment::Environment;
use crate::key::KeyId;
use crate::secret::SecretKey;

/// What the clear part of a blob says: which material opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The KMS key.
    pub key_id: KeyId,
    /// The generation of its material.
    pub backing_key: u32,
}

/// Encrypts `plaintext` under one backing key.
pub(crate) fn seal(
    header: Header,
    backing_key: &SecretKey,
    context: &EncryptionContext,
    plaintext: &[u8],
    environment: &Environment,
) -> Vec<u8> {
    let mut blob = Vec::with_capacity(HEADER_LEN + plaintext.len() + TAG_LEN);
    blob.push(VERSION);
    blob.extend_from_slice(header.key_id.as_bytes());
    blob.extend_from_slice(&header.backing_key.to_be_bytes());
    let salt: [u8; SALT_LEN] = environment.random_bytes();
    let nonce: [u8; NONCE_LEN] = environment.random_bytes();
    blob.extend_from_slice(&salt);
    blob.extend_from_slice(&nonce);
    let additional_data = additional_data(&blob, context);
    let key = message_key(backing_key, &salt);
    blob.extend_from_slice(plaintext);
    let tag = aead::seal(&key, &nonce, &additional_data, &mut blob[HEADER_LEN..]);
    blob.extend_from_slice(&tag);
    blob
}

/// Reads the clear part; none where `blob` cannot be a message.
pub fn header(blob: &[u8]) -> Option<Header> {
    if blob.len() < HEADER_LEN + TAG_LEN || blob[0] != VERSION {
        return None;
    }
    let key_id = KeyId::from_bytes(blob[1..17].try_into().ok()?);
    let backing_key = u32::from_be_bytes(blob[17..21].try_into().ok()?);
    Some(Header {
        key_id,
        backing_key,
    })
}

/// Bytes of plaintext in `blob`, whose header has been read.
pub(crate) fn plaintext_len(blob: &[u8]) -> usize {
    blob.len().saturating_sub(HEADER_LEN + TAG_LEN)
}

/// Decrypts into `out`, which has the plaintext's length.
///
/// # Errors
/// [`Tampered`] where blob, context or key are not those of the sealing.
pub(crate) fn open_into(
    blob: &[u8],
    backing_key: &SecretKey,
    context: &EncryptionContext,
    out: &mut [u8],
) -> Result<(), Tampered> {
    let (clear, sealed) = blob.split_at_checked(HEADER_LEN).ok_or(Tampered)?;
    let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(Tampered)?;
    if ciphertext.len() != out.len() {
        return Err(Tampered);
    }
    let (salt, nonce) = clear[SALT_AT..]
        .split_first_chunk::<SALT_LEN>()
        .ok_or(Tampered)?;
    let nonce = nonce.try_into().map_err(|_| Tampered)?;
    out.copy_from_slice(ciphertext);
    let key = message_key(backing_key, salt);
    aead::open(&key, nonce, &additional_data(clear, context), out, tag)
}

fn message_key(backing_key: &SecretKey, salt: &[u8; SALT_LEN]) -> SecretKey {
    derive(backing_key, salt, &[b"sealgate kms message 1"])
}

fn additional_data(clear: &[u8], context: &EncryptionContext) -> Vec<u8> {
    [clear, &context.encode()].concat()
}

const VERSION: u8 = 1;
const SALT_LEN: usize = 16;
const SALT_AT: usize = 21;
const HEADER_LEN: usize = SALT_AT + SALT_LEN + NONCE_LEN;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::environment::Random;

    struct Counting;

    impl Random for Counting {
        fn fill(&self, out: &mut [u8]) {
            for (byte, value) in out.iter_mut().zip(1..) {
                *byte = value;
            }
        }
    }

    fn sealed() -> (Vec<u8>, SecretKey, EncryptionContext) {
        let environment = Environment {
            random: Arc::new(Counting),
            ..Environment::system()
        };
        let header = Header {
            key_id: KeyId::from_bytes([9; 16]),
            backing_key: 3,
        };
        let key = SecretKey::copy_from(&[5; 32]).unwrap();
        let context = EncryptionContext::new().with("store", "here");
        (
            seal(header, &key, &context, b"plaintext", &environment),
            key,
            context,
        )
    }

    fn open(blob: &[u8], key: &SecretKey, context: &EncryptionContext) -> Option<Vec<u8>> {
        header(blob)?;
        let mut out = vec![0; plaintext_len(blob)];
        open_into(blob, key, context, &mut out).ok().map(|()| out)
    }

    /// A blob of version 1 as it was first written: it must open for ever.
    #[test]
    fn version_1_stays_readable() {
        let (blob, key, context) = sealed();
        let hex: String = blob.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, include_str!("../vectors/message-1.hex").trim());
        assert_eq!(open(&blob, &key, &context).unwrap(), b"plaintext");
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_refused() {
        let (blob, key, context) = sealed();
        for at in 0..blob.len() {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            assert_eq!(open(&changed, &key, &context), None, "byte {at}");
            assert_eq!(open(&blob[..at], &key, &context), None, "cut at {at}");
        }
        assert_eq!(open(&[&blob[..], b"x"].concat(), &key, &context), None);
    }

    #[test]
    fn another_context_is_refused() {
        let (blob, key, context) = sealed();
        assert_eq!(open(&blob, &key, &context.with("more", "")), None);
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(
            plaintext in proptest::collection::vec(any::<u8>(), 0..200),
            pairs in proptest::collection::btree_map(".{0,9}", ".{0,9}", 0..4),
        ) {
            let (key, context) = (SecretKey::copy_from(&[5; 32]).unwrap(), pairs.into_iter().collect());
            let header = Header { key_id: KeyId::from_bytes([9; 16]), backing_key: u32::MAX };
            let blob = seal(header, &key, &context, &plaintext, &Environment::system());
            prop_assert_eq!(super::header(&blob), Some(header));
            prop_assert_eq!(open(&blob, &key, &context), Some(plaintext));
        }

        #[test]
        fn arbitrary_bytes_never_panic(blob in proptest::collection::vec(any::<u8>(), 0..200)) {
            let key = SecretKey::copy_from(&[5; 32]).unwrap();
            prop_assert_eq!(open(&blob, &key, &EncryptionContext::new()), None);
        }
    }
}
