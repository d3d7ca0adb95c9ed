//! What is left to chance: a group among several, and ids.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// Numbers that nobody can foresee without the seed, and that no lock is taken for.
#[derive(Debug)]
pub(super) struct Chance([AtomicU64; 2]);

impl Chance {
    /// From this seed on.
    pub(super) fn new(seed: [u64; 2]) -> Self {
        Self(seed.map(AtomicU64::new))
    }

    /// A number.
    pub(super) fn number(&self) -> u64 {
        self.draw(0)
    }

    /// An id in the form of a random UUID (RFC 9562, section 5.4).
    pub(super) fn id(&self) -> HeaderValue {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.draw(0).to_be_bytes());
        bytes[8..].copy_from_slice(&self.draw(1).to_be_bytes());
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        let mut text = uuid::Uuid::encode_buffer();
        let text = id.hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).expect("a UUID is made of hexadecimal digits and hyphens")
    }

    /// SplitMix64.
    fn draw(&self, stream: usize) -> u64 {
        let before = self.0[stream].fetch_add(GOLDEN, Ordering::Relaxed);
        let mut z = before.wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_and_differ() {
        let chance = Chance::new([1, 2]);
        let ids = [chance.id(), chance.id()];
        assert_ne!(ids[0], ids[1]);
        let id = uuid::Uuid::try_parse_ascii(ids[0].as_bytes()).unwrap();
        assert_eq!(id.get_version_num(), 4);
    }
}
