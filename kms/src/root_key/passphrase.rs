//! A key-encryption key from a passphrase: Argon2id (RFC 9106).
//!
//! As the parameters of a root record, numbers big-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 16 | salt, random |
//! | 16 | 4 | memory in KiB |
//! | 20 | 4 | passes |
//! | 24 | 4 | lanes |
//!
//! They stand in the clear, so they are bounded when they are read: somebody who changes them can
//! neither have this process take all memory or days, nor have a passphrase tried cheaply.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize, Zeroizing};

use super::error::RootError;
use crate::environment::Environment;
use crate::hygiene::scrubbed;
use crate::secret::SecretKey;

/// What somebody typed: a passphrase or a PIN. Wiped on drop, never shown.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Its bytes, which are used as they are: the same words in another encoding are another passphrase.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Whether nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether a root key may be put under it.
    ///
    /// # Errors
    /// [`RootError::PassphraseShort`].
    pub(super) fn check_new(&self) -> Result<(), RootError> {
        let text = String::from_utf8_lossy(&self.0);
        match text.chars().count() {
            0..MIN_PASSPHRASE => Err(RootError::PassphraseShort(MIN_PASSPHRASE)),
            _ => Ok(()),
        }
    }
}

/// How a key is derived from a passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argon2Parameters {
    salt: [u8; SALT_LEN],
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Argon2Parameters {
    /// The second recommended option of RFC 9106, section 4, with a fresh salt.
    pub(super) fn recommended(environment: &Environment) -> Self {
        Self {
            salt: environment.random_bytes(),
            memory_kib: 64 * 1024,
            passes: 3,
            lanes: 4,
        }
    }

    /// # Errors
    /// [`RootError::Memory`], where there is not as much as it takes.
    pub(super) fn derive(&self, passphrase: &Passphrase) -> Result<SecretKey, RootError> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, None);
        let params = params.map_err(|_| RootError::Memory(self.memory_kib))?;
        let mut memory = self.memory(params.block_count())?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let derived = SecretKey::try_fill(|out| {
            scrubbed(|| {
                let password = passphrase.expose();
                argon2.hash_password_into_with_memory(password, &self.salt, out, &mut memory)
            })
        });
        memory.zeroize();
        derived.map_err(|_| RootError::Memory(self.memory_kib))
    }

    fn memory(&self, blocks: usize) -> Result<Vec<Block>, RootError> {
        let mut memory = Vec::new();
        let reserved = memory.try_reserve_exact(blocks);
        reserved.map_err(|_| RootError::Memory(self.memory_kib))?;
        memory.resize(blocks, Block::default());
        Ok(memory)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let numbers = [self.memory_kib, self.passes, self.lanes].map(u32::to_be_bytes);
        [&self.salt, numbers.as_flattened()].concat()
    }

    pub(super) fn parse(parameters: &[u8]) -> Result<Self, &'static str> {
        let parameters: &[u8; LEN] = parameters
            .try_into()
            .map_err(|_| "its passphrase parameters are of another length")?;
        let (salt, numbers) = parameters.split_first_chunk().ok_or(BOUNDS)?;
        let (numbers, _) = numbers.as_chunks();
        let mut numbers = numbers.iter().map(|number| u32::from_be_bytes(*number));
        let mut next = || numbers.next().ok_or(BOUNDS);
        let parsed = Self {
            salt: *salt,
            memory_kib: next()?,
            passes: next()?,
            lanes: next()?,
        };
        parsed.is_bounded().then_some(parsed).ok_or(BOUNDS)
    }

    fn is_bounded(&self) -> bool {
        let filled_kib = u64::from(self.memory_kib) * u64::from(self.passes);
        (MIN_MEMORY_KIB..=MAX_MEMORY_KIB).contains(&self.memory_kib)
            && (MIN_FILLED_KIB..=MAX_FILLED_KIB).contains(&filled_kib)
            && (1..=MAX_LANES).contains(&self.lanes)
    }
}

const SALT_LEN: usize = 16;
const LEN: usize = SALT_LEN + 12;
/// Characters that a new passphrase has at least.
const MIN_PASSPHRASE: usize = 12;
/// 19 MiB in 2 passes are what the OWASP Password Storage Cheat Sheet asks for at least.
const MIN_MEMORY_KIB: u32 = 19 * 1024;
const MIN_FILLED_KIB: u64 = 2 * 19 * 1024;
/// 1 GiB.
const MAX_MEMORY_KIB: u32 = 1 << 20;
/// Memory times passes: some ten seconds of work.
const MAX_FILLED_KIB: u64 = 8 << 20;
const MAX_LANES: u32 = 64;
const BOUNDS: &str = "its passphrase parameters are out of bounds";

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Argon2Parameters {
        Argon2Parameters {
            salt: *b"saltsaltsaltsalt",
            memory_kib: 64 * 1024,
            passes: 3,
            lanes: 4,
        }
    }

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.as_bytes().to_vec()))
    }

    /// `echo -n "correct horse battery" | argon2 saltsaltsaltsalt -id -t 3 -k 65536 -p 4 -l 32 -r`
    /// (the reference implementation).
    #[test]
    fn agrees_with_the_reference_implementation() {
        let derived = parameters().derive(&passphrase("correct horse battery"));
        let derived = derived.unwrap();
        let hex: String = derived
            .expose()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, REFERENCE);
    }

    const REFERENCE: &str = "b1902c34ae601a143d5c297ce98678f29dbdb234b790e2e20f3879df2759acd1";

    #[test]
    fn parameters_are_read_as_they_were_written() {
        let written = parameters().encode();
        assert_eq!(Argon2Parameters::parse(&written).unwrap(), parameters());
        for cut in 0..written.len() {
            assert!(Argon2Parameters::parse(&written[..cut]).is_err());
        }
        assert!(Argon2Parameters::parse(&[&written[..], b"x"].concat()).is_err());
    }

    #[test]
    fn they_can_neither_be_weakened_nor_exhaust_memory() {
        let with = |memory_kib, passes, lanes| {
            let changed = Argon2Parameters {
                memory_kib,
                passes,
                lanes,
                ..parameters()
            };
            Argon2Parameters::parse(&changed.encode()).is_ok()
        };
        assert!(with(19 * 1024, 2, 1) && with(1 << 20, 8, 64));
        for (memory_kib, passes, lanes) in [
            (8, 3, 4),
            (19 * 1024, 1, 1),
            (19 * 1024 - 1, 3, 4),
            ((1 << 20) + 1, 1, 4),
            (u32::MAX, 3, 4),
            (64 * 1024, 0, 4),
            (64 * 1024, u32::MAX, 4),
            (64 * 1024, 3, 0),
            (64 * 1024, 3, 65),
        ] {
            assert!(
                !with(memory_kib, passes, lanes),
                "{memory_kib} {passes} {lanes}"
            );
        }
    }

    #[test]
    fn a_new_passphrase_has_its_length() {
        assert!(passphrase("twelve chars").check_new().is_ok());
        assert!(passphrase("eleven char").check_new().is_err());
        assert!(passphrase("äöüäöüäöüäö").check_new().is_err());
    }
}
