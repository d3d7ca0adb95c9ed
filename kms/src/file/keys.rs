//! From a data key to the key of one message and its commitment, and the bulk cipher.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use hkdf::Hkdf;
use sha2::Sha512;

use super::error::FileError;
use super::header::{AlgorithmSuite, COMMITMENT_LEN, MESSAGE_ID_LEN};
use crate::aead::{NONCE_LEN, TAG_LEN};
use crate::hygiene::scrubbed;
use crate::secret::SecretKey;

/// The key of one message. The library wipes it when it is dropped.
pub(super) struct MessageKey(LessSafeKey);

impl MessageKey {
    pub(super) fn derive(
        data_key: &SecretKey,
        suite: AlgorithmSuite,
        message_id: &[u8; MESSAGE_ID_LEN],
    ) -> Self {
        let suite = suite.number().to_be_bytes();
        let key = expand(data_key, message_id, &[&suite, b"DERIVEKEY"]);
        let key = UnboundKey::new(&AES_256_GCM, key.expose());
        Self(LessSafeKey::new(
            key.expect("32 bytes are a key of AES-256"),
        ))
    }

    /// Encrypts `content` in place, as the message of that number; 0 is the header.
    pub(super) fn seal(&self, number: u32, aad: &[u8], content: &mut [u8]) -> [u8; TAG_LEN] {
        let nonce = Nonce::assume_unique_for_key(nonce(number));
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), content);
        let tag = tag.expect("a frame is shorter than 64 GiB");
        *tag.as_ref().first_chunk().expect("a tag has 16 bytes")
    }

    /// Decrypts `content` in place; on failure what stands there is void. `place` is what errors call it.
    pub(super) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        content: &mut [u8],
        tag: &[u8],
        place: impl FnOnce() -> String,
    ) -> Result<(), FileError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self
            .0
            .open_in_place_separate_tag(nonce, Aad::from(aad), tag, content);
        opened.map_err(|_| FileError::Tampered(place())).map(drop)
    }
}

/// What only `data_key` gives for this message.
pub(super) fn commitment(
    data_key: &SecretKey,
    message_id: &[u8; MESSAGE_ID_LEN],
) -> [u8; COMMITMENT_LEN] {
    *expand(data_key, message_id, &[b"COMMITKEY"]).expose()
}

/// Refuses a data key to which the message does not commit.
pub(super) fn check_commitment(
    data_key: &SecretKey,
    message_id: &[u8; MESSAGE_ID_LEN],
    found: &[u8; COMMITMENT_LEN],
) -> Result<(), FileError> {
    let expected = commitment(data_key, message_id);
    verify_slices_are_equal(&expected, found).map_err(|_| FileError::Uncommitted)
}

/// Eight zeroes and the number: each number stands once in a message, and each message has its own key.
pub(super) fn nonce(number: u32) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 4..].copy_from_slice(&number.to_be_bytes());
    nonce
}

fn expand(data_key: &SecretKey, salt: &[u8; MESSAGE_ID_LEN], info: &[&[u8]]) -> SecretKey {
    let filled = SecretKey::try_fill(|out| {
        scrubbed(|| Hkdf::<Sha512>::new(Some(salt), data_key.expose()).expand_multi_info(info, out))
    });
    filled.expect("32 bytes are within HKDF's bound of 255 blocks")
}
