//! What is signed: a digest, but for Ed25519.

use aws_lc_rs::digest::{self, Digest, digest};

use super::MaterialError;
use crate::spec::{Hash, MessageType, SignatureScheme, SigningAlgorithm};

/// A message as its signature scheme takes it.
pub(super) enum Message<'a> {
    /// For RSA and ECDSA.
    Digest(Digest),
    /// For Ed25519, which reads it twice.
    Whole(&'a [u8]),
    /// For Ed25519ph, which hashes it once more, be it a digest or not: as AWS does.
    Prehash(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The message, hashed unless it is a digest.
    ///
    /// # Errors
    /// [`MaterialError::MessageType`] and [`MaterialError::DigestLength`].
    pub(super) fn new(
        algorithm: SigningAlgorithm,
        message_type: MessageType,
        message: &'a [u8],
    ) -> Result<Self, MaterialError> {
        if !algorithm.message_types().contains(&message_type) {
            return Err(MaterialError::MessageType {
                algorithm: algorithm.as_str(),
                message_type,
            });
        }
        let is_digest = message_type == MessageType::Digest;
        if is_digest && message.len() != algorithm.hash().digest_len() {
            let algorithm = algorithm.as_str();
            return Err(MaterialError::DigestLength { algorithm });
        }
        Ok(match (algorithm.scheme(), is_digest) {
            (SignatureScheme::Ed25519, _) => Self::Whole(message),
            (SignatureScheme::Ed25519Ph, _) => Self::Prehash(message),
            (_, true) => Self::Digest(import(algorithm.hash(), message)),
            (_, false) => Self::Digest(digest(library(algorithm.hash()), message)),
        })
    }
}

fn import(hash: Hash, bytes: &[u8]) -> Digest {
    Digest::import_less_safe(bytes, library(hash)).expect("its length was checked")
}

fn library(hash: Hash) -> &'static digest::Algorithm {
    match hash {
        Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha224 => &digest::SHA224,
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    }
}
