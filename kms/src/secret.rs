//! The one place in memory where a symmetric key stands in plain.

use std::convert::Infallible;

use region::LockGuard;
use zeroize::Zeroize;

use crate::environment::Random;

/// A 256-bit key in a page of its own: locked against swapping where the system lets it, wiped on
/// drop, not printable and not cloneable.
///
/// A key is made in place, never moved in from elsewhere, so that no copy stays behind.
pub struct SecretKey {
    // Unlocked before the page is given back: fields drop in this order, after `drop` has wiped.
    _locked: Option<LockGuard>,
    page: Box<Page>,
}

impl SecretKey {
    /// Bytes in a key.
    pub const LEN: usize = 32;

    /// A fresh random key.
    pub fn generate(random: &dyn Random) -> Self {
        let filled = Self::try_fill(|bytes| {
            random.fill(bytes);
            Ok::<_, Infallible>(())
        });
        match filled {
            Ok(key) => key,
            Err(never) => match never {},
        }
    }

    /// A key whose bytes `fill` writes in place.
    ///
    /// # Errors
    /// What `fill` says; the page is wiped.
    pub fn try_fill<E>(
        fill: impl FnOnce(&mut [u8; Self::LEN]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let page = Box::new(Page([0; PAGE]));
        // Without the right to lock memory (RLIMIT_MEMLOCK) the key is still wiped and never dumped.
        let locked = region::lock(page.0.as_ptr(), PAGE).ok();
        let mut key = Self {
            _locked: locked,
            page,
        };
        fill(key.bytes_mut())?;
        Ok(key)
    }

    /// A key from a slice of exactly 32 bytes, which the caller wipes; none for another length.
    pub fn copy_from(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        Self::try_fill(|key| {
            key.copy_from_slice(bytes);
            Ok::<_, Infallible>(())
        })
        .ok()
    }

    /// The key's bytes, for a cipher or a derivation.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        self.page
            .0
            .first_chunk()
            .expect("a page is longer than a key")
    }

    fn bytes_mut(&mut self) -> &mut [u8; Self::LEN] {
        self.page
            .0
            .first_chunk_mut()
            .expect("a page is longer than a key")
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
    }
}

/// Memory is locked by the page: a key that shared one would lose its lock with its neighbour's.
#[repr(align(4096))]
struct Page([u8; PAGE]);

const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_filled_in_place() {
        let key = SecretKey::try_fill(|bytes| {
            bytes[31] = 7;
            Ok::<_, ()>(())
        });
        assert_eq!(key.ok().unwrap().expose()[31], 7);
    }

    #[test]
    fn only_32_bytes_make_a_key() {
        assert!(SecretKey::copy_from(&[1; 31]).is_none());
        assert!(SecretKey::copy_from(&[1; 33]).is_none());
        assert_eq!(SecretKey::copy_from(&[1; 32]).unwrap().expose(), &[1; 32]);
    }
}
