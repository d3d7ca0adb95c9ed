//! The encryption context: key-value pairs bound to a ciphertext, clear to everybody.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Key-value pairs that are authenticated with a message. The same pairs, in any order, are needed
/// to decrypt it, and they stand in the audit log: nothing secret belongs in them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncryptionContext(BTreeMap<String, String>);

impl EncryptionContext {
    /// Keys that begin so are the product's own: no outside surface may use them.
    pub const RESERVED_PREFIX: &'static str = "sealgate:";

    /// Names the place in the configuration that a value was encrypted for.
    pub const CONFIG_PATH: &'static str = "sealgate:config-path";

    /// A context without pairs.
    pub fn new() -> Self {
        Self::default()
    }

    /// This context with one pair more; a later value for a key replaces the earlier one.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }

    /// The pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether all pairs of `other` are here too.
    pub fn contains(&self, other: &Self) -> bool {
        let mut pairs = other.0.iter();
        pairs.all(|(key, value)| self.0.get(key) == Some(value))
    }

    /// The first key that only the product itself may use.
    pub fn reserved_key(&self) -> Option<&str> {
        self.reserved_keys().next()
    }

    /// All of them.
    pub(crate) fn reserved_keys(&self) -> impl Iterator<Item = &str> {
        let keys = self.0.keys().map(String::as_str);
        keys.filter(|key| key.starts_with(Self::RESERVED_PREFIX))
    }

    /// The one canonical encoding, for additional data: the number of pairs, then, sorted by key,
    /// each key and each value behind its length; all numbers 32 bits, big-endian. No two contexts
    /// have the same encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push_len(&mut out, self.0.len());
        for text in self.0.iter().flat_map(|(key, value)| [key, value]) {
            push_len(&mut out, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        out
    }
}

impl FromIterator<(String, String)> for EncryptionContext {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        Self(pairs.into_iter().collect())
    }
}

fn push_len(out: &mut Vec<u8>, len: usize) {
    // Saturating would make encodings collide; a context of 4 GiB does not fit a request.
    let len = u32::try_from(len).expect("a context is shorter than 4 GiB");
    out.extend_from_slice(&len.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_does_not_matter_and_splits_do() {
        let one = EncryptionContext::new().with("a", "1").with("b", "2");
        let other = EncryptionContext::new().with("b", "2").with("a", "1");
        assert_eq!(one.encode(), other.encode());
        let shifted = EncryptionContext::new().with("a", "1b").with("", "2");
        assert_ne!(one.encode(), shifted.encode());
    }

    #[test]
    fn reserved_keys_are_found() {
        assert_eq!(EncryptionContext::new().with("a", "1").reserved_key(), None);
        let context = EncryptionContext::new().with("sealgate:store", "x");
        assert_eq!(context.reserved_key(), Some("sealgate:store"));
    }

    proptest! {
        #[test]
        fn no_two_contexts_share_an_encoding(
            one in btree_map("[ab]{0,3}", "[ab]{0,3}", 0..4),
            other in btree_map("[ab]{0,3}", "[ab]{0,3}", 0..4),
        ) {
            let (one, other) = (EncryptionContext(one), EncryptionContext(other));
            prop_assert_eq!(one == other, one.encode() == other.encode());
        }
    }
}
