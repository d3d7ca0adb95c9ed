//! AES key wrap with padding (RFC 5649, SP 800-38F: KWP), under 256-bit keys.

use aws_lc_rs::key_wrap::{AES_256, KeyEncryptionKey, KeyWrapPadded};

use super::MaterialError;
use crate::hygiene::scrubbed;
use crate::secret::{SecretBytes, SecretKey};

/// What wrapping adds at most, in bytes: the integrity check and the padding.
const OVERHEAD: usize = 15;
/// The shortest wrapping, in bytes.
const MIN_WRAPPED: usize = 16;

/// Wraps key material of at least one byte.
///
/// # Errors
/// [`MaterialError::Library`] for none.
pub fn wrap_padded(key: &SecretKey, material: &[u8]) -> Result<Vec<u8>, MaterialError> {
    let mut wrapped = vec![0; material.len() + OVERHEAD];
    let wrap = || {
        let key = KeyEncryptionKey::new(&AES_256, key.expose())?;
        key.wrap_with_padding(material, &mut wrapped)
            .map(|out| out.len())
    };
    let len = scrubbed(wrap).map_err(|_| MaterialError::Library("wrap a key"))?;
    wrapped.truncate(len);
    Ok(wrapped)
}

/// Unwraps key material.
///
/// # Errors
/// [`MaterialError::InvalidCiphertext`] where it was wrapped under another key, was changed, or is longer
/// than a secret can be.
pub fn unwrap_padded(key: &SecretKey, wrapped: &[u8]) -> Result<SecretBytes, MaterialError> {
    if !(MIN_WRAPPED..=SecretBytes::MAX_LEN).contains(&wrapped.len()) {
        return Err(MaterialError::InvalidCiphertext);
    }
    let unwrapped = SecretBytes::try_fill(wrapped.len(), |out| {
        scrubbed(|| {
            let key = KeyEncryptionKey::new(&AES_256, key.expose())?;
            key.unwrap_with_padding(wrapped, out).map(|out| out.len())
        })
    });
    unwrapped.map_err(|_| MaterialError::InvalidCiphertext)
}
