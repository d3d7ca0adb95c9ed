//! AES-256-GCM (NIST SP 800-38D), and the only file that names its crate.
//!
//! The nonce rule: a nonce is 96 random bits, drawn anew for every message. SP 800-38D section 8.3
//! allows 2^32 messages under one key that way; every key used here encrypts either one payload (data
//! keys) or one message (keys derived per message), so that the bound is never near.
//!
//! Everything works in place on buffers of the caller's, who sizes them once: a buffer that grew
//! would leave copies behind.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};

use crate::hygiene::scrubbed;
use crate::secret::SecretKey;

/// Bytes in a nonce.
pub const NONCE_LEN: usize = 12;
/// Bytes in an authentication tag.
pub const TAG_LEN: usize = 16;

/// The message or its additional data are not what was sealed, or the key is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not what was sealed, or sealed under another key")]
pub struct Tampered;

/// Encrypts `buffer` in place and returns the tag.
///
/// # Panics
/// For a message of 64 GiB or more, which no caller can reach.
pub fn seal(
    key: &SecretKey,
    nonce: &[u8; NONCE_LEN],
    additional_data: &[u8],
    buffer: &mut [u8],
) -> [u8; TAG_LEN] {
    let tag = scrubbed(|| {
        cipher(key).encrypt_inout_detached(&(*nonce).into(), additional_data, buffer.into())
    });
    tag.expect("a message shorter than 64 GiB").into()
}

/// Decrypts `buffer` in place once its tag has been verified; on failure its content is void.
///
/// # Errors
/// [`Tampered`], without saying which of key, nonce, data and message is wrong: nobody can know.
pub fn open(
    key: &SecretKey,
    nonce: &[u8; NONCE_LEN],
    additional_data: &[u8],
    buffer: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> Result<(), Tampered> {
    scrubbed(|| {
        cipher(key).decrypt_inout_detached(
            &(*nonce).into(),
            additional_data,
            buffer.into(),
            &(*tag).into(),
        )
    })
    .map_err(|_| Tampered)
}

/// Boxed, so that the key schedule, whose first half is the key, is wiped where it stood.
fn cipher(key: &SecretKey) -> Box<Aes256Gcm> {
    Box::new(Aes256Gcm::new(key.expose().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    /// Test case 16 of "The Galois/Counter Mode of Operation", McGrew and Viega, appendix B.
    #[test]
    fn agrees_with_the_published_vector() {
        let key = SecretKey::copy_from(&hex(
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        ))
        .unwrap();
        let nonce = hex("cafebabefacedbaddecaf888").try_into().unwrap();
        let data = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let plain = hex(concat!(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        ));
        let mut buffer = plain.clone();
        let tag = seal(&key, &nonce, &data, &mut buffer);
        assert_eq!(tag.to_vec(), hex("76fc6ece0f4e1768cddf8853bb2d551b"));
        assert_eq!(buffer[..8], hex("522dc1f099567d07"));
        open(&key, &nonce, &data, &mut buffer, &tag).unwrap();
        assert_eq!(buffer, plain);
    }

    #[test]
    fn any_change_is_refused() {
        let key = SecretKey::copy_from(&[7; 32]).unwrap();
        let mut sealed = *b"message";
        let tag = seal(&key, &[1; 12], b"data", &mut sealed);
        let refused = |nonce: [u8; 12], data: &[u8], message: [u8; 7], tag: [u8; 16]| {
            let mut message = message;
            open(&key, &nonce, data, &mut message, &tag) == Err(Tampered)
        };
        assert!(refused([2; 12], b"data", sealed, tag));
        assert!(refused([1; 12], b"datA", sealed, tag));
        assert!(refused([1; 12], b"data", *b"message", tag));
        assert!(refused([1; 12], b"data", sealed, [0; 16]));
    }
}
