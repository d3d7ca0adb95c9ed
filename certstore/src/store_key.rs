//! The record of the KMS key that a store is sealed under, once it has been moved from the one that its
//! configuration began with: the file `kms-key` beside the entries. Numbers are big-endian.
//!
//! | bytes | field |
//! |---|---|
//! | 8 | magic, `sealkkey` |
//! | 2 | format, 1 |
//! | 16 | id of the store |
//! | 1 + n | region |
//! | 16 | id of the KMS key under which entries are sealed |
//! | 1 | number of KMS keys under which some may still be, then 16 for the id of each |
//! | 2 + n | all of the above, encrypted by the first KMS key under the encryption context of store, region and record |
//!
//! What is encrypted is there to be compared: only who may use the store's KMS key for the product's own
//! contexts can name another.

use kms::KeyId;
use uuid::Uuid;

use crate::bytes::{Reader, push_short};
use crate::error::Error;

/// The KMS keys of a store that was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreKey {
    /// Under which entries are sealed.
    pub(crate) current: KeyId,
    /// Under which some may still be.
    pub(crate) former: Vec<KeyId>,
}

impl StoreKey {
    /// The file that it stands in.
    pub(crate) const FILE: &str = "kms-key";

    /// Whether an entry may be sealed under that key.
    pub(crate) fn accepts(&self, key: KeyId) -> bool {
        self.current == key || self.former.contains(&key)
    }

    /// The part that is compared.
    pub(crate) fn encode(&self, store: Uuid, region: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_be_bytes());
        out.extend_from_slice(store.as_bytes());
        push_short(&mut out, region);
        out.extend_from_slice(self.current.as_bytes());
        out.push(u8::try_from(self.former.len()).expect("a move has few keys"));
        for key in &self.former {
            out.extend_from_slice(key.as_bytes());
        }
        out
    }

    /// Takes a record apart: the keys, the store and region that it says, the part that is compared, and that
    /// part encrypted. Nothing is authenticated thereby.
    ///
    /// # Errors
    /// [`Error::NotAStoreKey`], [`Error::LaterFormat`], [`Error::Malformed`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Error> {
        let mut reader = Reader::new(bytes);
        match reader.array() {
            Ok(magic) if magic == MAGIC => {}
            _ => return Err(Error::NotAStoreKey),
        }
        match u16::from_be_bytes(*reader.array()?) {
            FORMAT => {}
            0 => return Err(Error::Malformed("its format is 0")),
            later => return Err(Error::LaterFormat(format!("its format is {later}"))),
        }
        let store = Uuid::from_bytes(*reader.array()?);
        let region = reader.short()?;
        let current = KeyId::from_bytes(*reader.array()?);
        let count = reader.byte()?;
        let former = (0..count).map(|_| Ok(KeyId::from_bytes(*reader.array()?)));
        let former = former.collect::<Result<_, Error>>()?;
        let clear = &bytes[..bytes.len() - reader.rest().len()];
        let len = u16::from_be_bytes(*reader.array()?);
        let sealed = reader.take(len.into())?;
        if !reader.rest().is_empty() {
            return Err(Error::Malformed("something follows its end"));
        }
        Ok(Parsed {
            keys: Self { current, former },
            store,
            region,
            clear,
            sealed,
        })
    }
}

/// A record, taken apart.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    pub(crate) keys: StoreKey,
    pub(crate) store: Uuid,
    pub(crate) region: &'a str,
    pub(crate) clear: &'a [u8],
    pub(crate) sealed: &'a [u8],
}

const MAGIC: &[u8; 8] = b"sealkkey";
const FORMAT: u16 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            store: [u8; 16], region in "[a-z0-9-]{1,32}", current: [u8; 16], former: Vec<[u8; 16]>,
            sealed in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let former = former.into_iter().take(9).map(KeyId::from_bytes).collect();
            let keys = StoreKey { current: KeyId::from_bytes(current), former };
            let clear = keys.encode(Uuid::from_bytes(store), &region);
            let len = (sealed.len() as u16).to_be_bytes();
            let bytes = [&clear[..], &len, &sealed].concat();
            let read = StoreKey::parse(&bytes).unwrap();
            prop_assert_eq!((read.clear, read.sealed), (&clear[..], &sealed[..]));
            prop_assert_eq!((read.store.into_bytes(), read.region, read.keys), (store, &region[..], keys));
            for len in 0..bytes.len() {
                prop_assert!(StoreKey::parse(&bytes[..len]).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), valid_start: bool) {
            let start: &[u8] = if valid_start { b"sealkkey\0\x01" } else { b"" };
            let _ = StoreKey::parse(&[start, &bytes].concat());
        }
    }
}
