//! The one place in memory where a symmetric key stands in plain.

use std::convert::Infallible;

use parking_lot::Mutex;
use region::LockGuard;
use zeroize::Zeroize;

use crate::environment::Random;

/// A 256-bit key in locked memory: kept from swapping where the system lets it, wiped on drop, not
/// printable and not cloneable.
///
/// A key is made in place, never moved in from elsewhere, so that no copy stays behind. Its place
/// is a slot of a slab, which goes back to a pool when the key is dropped: memory is locked by the
/// page, and a page for every key would lock a hundred times what is needed.
pub struct SecretKey(Option<Slot>);

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
    /// What `fill` says; the bytes are wiped.
    pub fn try_fill<E>(
        fill: impl FnOnce(&mut [u8; Self::LEN]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut key = Self(Some(POOL.lock().take()));
        fill(key.0.as_deref_mut().expect(IN_USE))?;
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
        self.0.as_deref().expect(IN_USE)
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.zeroize();
            POOL.lock().free.push(slot);
        }
    }
}

/// Whether all memory for keys is locked so far. Where it is not (`RLIMIT_MEMLOCK` is too low), keys
/// are still wiped and never dumped, but they may be swapped: that is worth a warning.
pub fn all_locked() -> bool {
    !POOL.lock().unlocked
}

/// The place of one key: a part of a slab that nobody else can reach.
type Slot = &'static mut [u8; SecretKey::LEN];

/// The slots that hold no key, all zero.
struct Pool {
    free: Vec<Slot>,
    locked: Vec<LockGuard>,
    unlocked: bool,
}

impl Pool {
    fn take(&mut self) -> Slot {
        if self.free.is_empty() {
            self.grow();
        }
        self.free.pop().expect("a pool that has grown")
    }

    /// Adds a slab, which lives as long as the process.
    fn grow(&mut self) {
        let slab = Box::leak(Box::new(Slab([0; SLAB])));
        match region::lock(slab.0.as_ptr(), SLAB) {
            Ok(guard) => self.locked.push(guard),
            Err(_) => self.unlocked = true,
        }
        let (slots, _) = slab.0.as_chunks_mut();
        self.free.extend(slots);
    }
}

/// Pages of nothing but keys: what else stood in a locked page would be locked with it. That they are
/// not dumped is a property of the whole process (`hygiene`): for pages there is no safe call.
#[repr(align(4096))]
struct Slab([u8; SLAB]);

/// Four pages of 4 KiB: 512 keys.
const SLAB: usize = 4 * 4096;

const IN_USE: &str = "a key has its slot until it is dropped";

static POOL: Mutex<Pool> = Mutex::new(Pool {
    free: Vec::new(),
    locked: Vec::new(),
    unlocked: false,
});

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

    #[test]
    fn keys_share_pages_and_nothing_else() {
        let keys: Vec<_> = (0..2000_u32).map(numbered).collect();
        for (number, key) in (0..).zip(&keys) {
            assert_eq!(key.expose(), numbered(number).expose());
        }
    }

    #[test]
    fn a_dropped_or_failed_key_leaves_zeroes() {
        drop(numbered(1));
        let failed = SecretKey::try_fill(|bytes| {
            bytes.fill(9);
            Err(())
        });
        assert!(failed.is_err());
        let pool = POOL.lock();
        assert!(pool.free.iter().all(|slot| **slot == [0; 32]));
    }

    fn numbered(number: u32) -> SecretKey {
        SecretKey::copy_from(&[number.to_be_bytes(); 8].concat()).unwrap()
    }
}
