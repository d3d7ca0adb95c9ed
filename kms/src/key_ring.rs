//! The generations of a KMS key's material.

use std::sync::Arc;
use std::time::SystemTime;

use crate::environment::Environment;
use crate::key::BackingKeyMetadata;
use crate::secret::SecretKey;

/// Backing keys, oldest first, numbered from 1 without gaps: the last encrypts, all decrypt.
///
/// A ring is a value: rotation makes another one, and whoever holds the old one goes on with it.
#[derive(Clone)]
pub(crate) struct KeyRing(Vec<BackingKey>);

/// One generation of a KMS key's material.
#[derive(Clone)]
pub(crate) struct BackingKey {
    pub(crate) number: u32,
    pub(crate) created: SystemTime,
    pub(crate) key: Arc<SecretKey>,
}

impl KeyRing {
    /// A ring of one fresh key.
    pub(crate) fn generate(environment: &Environment, now: SystemTime) -> Self {
        Self(Vec::new()).rotated(environment, now)
    }

    /// A ring of keys that were stored; none where there is no key, or one is not in its place.
    pub(crate) fn from_keys(keys: Vec<BackingKey>) -> Option<Self> {
        let in_place = (1..).zip(&keys).all(|(number, key)| key.number == number);
        (in_place && !keys.is_empty()).then_some(Self(keys))
    }

    /// This ring with one fresh key more.
    pub(crate) fn rotated(&self, environment: &Environment, now: SystemTime) -> Self {
        let number = u32::try_from(self.0.len() + 1).expect("a key is rotated daily at most");
        let fresh = BackingKey {
            number,
            created: now,
            key: Arc::new(SecretKey::generate(&*environment.random)),
        };
        Self(self.0.iter().cloned().chain([fresh]).collect())
    }

    /// The key that encrypts.
    pub(crate) fn primary(&self) -> &BackingKey {
        self.0.last().expect("a ring has a key")
    }

    /// The key of that number.
    pub(crate) fn get(&self, number: u32) -> Option<&BackingKey> {
        self.0.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, BackingKey> {
        self.0.iter()
    }

    pub(crate) fn metadata(&self) -> Vec<BackingKeyMetadata> {
        let known = |key: &BackingKey| BackingKeyMetadata {
            number: key.number,
            created: key.created,
        };
        self.iter().map(known).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_adds_a_primary_and_keeps_the_old() {
        let environment = Environment::system();
        let old = KeyRing::generate(&environment, SystemTime::UNIX_EPOCH);
        let new = old.rotated(&environment, SystemTime::UNIX_EPOCH);
        assert_eq!((old.primary().number, new.primary().number), (1, 2));
        assert!(Arc::ptr_eq(&new.get(1).unwrap().key, &old.primary().key));
        assert!(new.get(0).is_none() && new.get(3).is_none());
    }

    #[test]
    fn a_ring_has_no_gaps() {
        let environment = Environment::system();
        let ring = KeyRing::generate(&environment, SystemTime::UNIX_EPOCH);
        let ring = ring.rotated(&environment, SystemTime::UNIX_EPOCH);
        let keys: Vec<_> = ring.iter().cloned().collect();
        assert!(KeyRing::from_keys(vec![]).is_none());
        assert!(KeyRing::from_keys(keys[1..].to_vec()).is_none());
        assert!(KeyRing::from_keys(keys.iter().rev().cloned().collect()).is_none());
        assert!(KeyRing::from_keys(keys).is_some());
    }
}
