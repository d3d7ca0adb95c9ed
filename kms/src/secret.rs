//! The one place in memory where secrets stand in plain.

use std::convert::Infallible;

use parking_lot::Mutex;
use region::LockGuard;
use zeroize::Zeroize;

use crate::environment::Random;

/// A 256-bit key in locked memory: kept from swapping where the system lets it, wiped on drop, not
/// printable and not cloneable.
///
/// A key is made in place, never moved in from elsewhere, so that no copy stays behind.
pub struct SecretKey(SecretBytes);

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
        let filled = SecretBytes::try_fill(Self::LEN, |bytes| {
            fill(bytes.first_chunk_mut().expect(SIZED))?;
            Ok(Self::LEN)
        });
        Ok(Self(filled?))
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
        self.0.expose().first_chunk().expect(SIZED)
    }
}

/// A secret of up to 4 KiB in memory like a [`SecretKey`]'s: a private key, a MAC key, a shared secret.
///
/// Its place is a slot of a slab, which goes back to a pool when the secret is dropped: memory is locked
/// by the page, and a page for every key would lock a hundred times what is needed.
pub struct SecretBytes {
    slot: Option<Slot>,
    len: usize,
}

impl SecretBytes {
    /// The most bytes in a secret: an RSA key of 4096 bits has some 2,400 as PKCS#8.
    pub const MAX_LEN: usize = SLOT_LENS[SLOT_LENS.len() - 1];

    /// A secret of `len` fresh random bytes.
    ///
    /// # Panics
    /// Where `len` is more than [`MAX_LEN`](Self::MAX_LEN).
    pub fn generate(len: usize, random: &dyn Random) -> Self {
        let filled = Self::try_fill(len, |bytes| {
            random.fill(bytes);
            Ok::<_, Infallible>(len)
        });
        match filled {
            Ok(secret) => secret,
            Err(never) => match never {},
        }
    }

    /// A secret that `fill` writes in place: it gets `room` bytes, and says how many it used.
    ///
    /// # Errors
    /// What `fill` says; the bytes are wiped.
    ///
    /// # Panics
    /// Where `room` is more than [`MAX_LEN`](Self::MAX_LEN), or `fill` says more than `room`.
    pub fn try_fill<E>(
        room: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Self, E> {
        let slot = Some(POOL.lock().take(room));
        let mut secret = Self { slot, len: 0 };
        let used = fill(&mut secret.slot.as_deref_mut().expect(IN_USE)[..room])?;
        assert!(used <= room, "a secret of {used} bytes in {room}");
        secret.len = used;
        Ok(secret)
    }

    /// A secret from a slice, which the caller wipes; none where it is longer than
    /// [`MAX_LEN`](Self::MAX_LEN).
    pub fn copy_from(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= Self::MAX_LEN).then_some(())?;
        Self::try_fill(bytes.len(), |secret| {
            secret.copy_from_slice(bytes);
            Ok::<_, Infallible>(bytes.len())
        })
        .ok()
    }

    /// The secret's bytes.
    pub fn expose(&self) -> &[u8] {
        &self.slot.as_deref().expect(IN_USE)[..self.len]
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.zeroize();
            POOL.lock().give_back(slot);
        }
    }
}

/// Whether all memory for keys is locked so far. Where it is not (`RLIMIT_MEMLOCK` is too low), keys
/// are still wiped and never dumped, but they may be swapped: that is worth a warning.
pub fn all_locked() -> bool {
    !POOL.lock().unlocked
}

/// The place of one secret: a part of a slab that nobody else can reach.
type Slot = &'static mut [u8];

/// What slots there are: for symmetric keys, for keys on curves (as PKCS#8) and MAC keys, for RSA keys.
const SLOT_LENS: [usize; 3] = [SecretKey::LEN, 256, 4096];

/// The slots that hold no secret, all zero.
struct Pool {
    free: [Vec<Slot>; SLOT_LENS.len()],
    locked: Vec<LockGuard>,
    unlocked: bool,
}

impl Pool {
    /// A slot of at least `len` bytes.
    fn take(&mut self, len: usize) -> Slot {
        let class = class(len);
        if self.free[class].is_empty() {
            self.grow(class);
        }
        self.free[class].pop().expect("a pool that has grown")
    }

    fn give_back(&mut self, slot: Slot) {
        self.free[class(slot.len())].push(slot);
    }

    /// Adds a slab, which lives as long as the process.
    fn grow(&mut self, class: usize) {
        let slab = Box::leak(Box::new(Slab([0; SLAB])));
        match region::lock(slab.0.as_ptr(), SLAB) {
            Ok(guard) => self.locked.push(guard),
            Err(_) => self.unlocked = true,
        }
        self.free[class].extend(slab.0.chunks_exact_mut(SLOT_LENS[class]));
    }
}

/// Which slots are for secrets of that length.
fn class(len: usize) -> usize {
    let class = SLOT_LENS.iter().position(|&slot| len <= slot);
    class.expect("no secret is longer than the longest slot")
}

/// Pages of nothing but keys: what else stood in a locked page would be locked with it. That they are
/// not dumped is a property of the whole process (`hygiene`): for pages there is no safe call.
#[repr(align(4096))]
struct Slab([u8; SLAB]);

/// Four pages of 4 KiB: 512 symmetric keys, 64 keys on curves, 4 RSA keys.
const SLAB: usize = 4 * 4096;

const IN_USE: &str = "a secret has its slot until it is dropped";
const SIZED: &str = "a symmetric key has 32 bytes";

static POOL: Mutex<Pool> = Mutex::new(Pool {
    free: [const { Vec::new() }; SLOT_LENS.len()],
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
        drop(SecretBytes::copy_from(&[7; 500]));
        let mut pool = POOL.lock();
        let mut slots = pool.free.iter_mut().flatten();
        assert!(slots.all(|slot| slot.iter().all(|&byte| byte == 0)));
    }

    #[test]
    fn a_secret_is_as_long_as_it_is() {
        for len in [0, 1, 32, 33, 256, 257, SecretBytes::MAX_LEN] {
            let bytes: Vec<u8> = (0..=250).cycle().take(len).collect();
            assert_eq!(SecretBytes::copy_from(&bytes).unwrap().expose(), bytes);
        }
        assert!(SecretBytes::copy_from(&[0; SecretBytes::MAX_LEN + 1]).is_none());
    }

    #[test]
    fn a_secret_may_need_less_than_its_room() {
        let secret = SecretBytes::try_fill(300, |room| {
            assert_eq!(room.len(), 300);
            room[..2].copy_from_slice(b"ab");
            Ok::<_, ()>(2)
        });
        assert_eq!(secret.ok().unwrap().expose(), b"ab");
    }

    fn numbered(number: u32) -> SecretKey {
        SecretKey::copy_from(&[number.to_be_bytes(); 8].concat()).unwrap()
    }
}
