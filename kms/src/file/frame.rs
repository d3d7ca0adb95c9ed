//! Frames: how they lie in the message, and what is authenticated with each.

use super::header::MESSAGE_ID_LEN;
use crate::aead::{NONCE_LEN, TAG_LEN};

/// Bytes before the content of a regular frame: number, nonce.
pub(super) const REGULAR_HEAD: usize = 4 + NONCE_LEN;
/// Bytes before the content of the final frame: [`END`], number, nonce, length of the content.
pub(super) const FINAL_HEAD: usize = 4 + 4 + NONCE_LEN + 4;
/// In the place of a number: this is the final frame.
pub(super) const END: u32 = u32::MAX;

/// Bytes of a regular frame with that much content.
pub(super) fn regular_len(content: usize) -> usize {
    REGULAR_HEAD + content + TAG_LEN
}

/// Whether frames follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Regular,
    Final,
}

/// The additional data of frames of one message.
pub(super) struct FrameAad {
    regular: Vec<u8>,
    last: Vec<u8>,
}

impl FrameAad {
    pub(super) fn new(message_id: &[u8; MESSAGE_ID_LEN]) -> Self {
        let of = |kind: &[u8]| [&message_id[..], kind, &[0; 12]].concat();
        Self {
            regular: of(b"AWSKMSEncryptionClient Frame"),
            last: of(b"AWSKMSEncryptionClient Final Frame"),
        }
    }

    /// That of the frame of this number with `len` bytes of content.
    pub(super) fn of(&mut self, kind: Kind, number: u32, len: usize) -> &[u8] {
        let aad = match kind {
            Kind::Regular => &mut self.regular,
            Kind::Final => &mut self.last,
        };
        let at = aad.len() - 12;
        let len = u64::try_from(len).expect("a length fits 64 bits");
        aad[at..at + 4].copy_from_slice(&number.to_be_bytes());
        aad[at + 4..].copy_from_slice(&len.to_be_bytes());
        aad
    }
}
