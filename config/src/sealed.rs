//! Values that stand in the document encrypted: `kms:BASE64`.
//!
//! What opens one is not known here: see [`Loaded::open`](crate::Loaded::open).

use std::collections::BTreeMap;
use std::fmt;

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// The value of a header field, as it stands in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// In clear.
    Plain(String),
    /// Encrypted.
    Sealed(Sealed),
}

/// An encrypted value, bound to its place in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The keys that lead there: `target_groups.shop.request_headers.set.authorization`.
    pub path: String,
    /// What the KMS made of it.
    pub ciphertext: Vec<u8>,
}

/// The sealed values of a document, opened; wiped on drop and never shown.
#[derive(Default)]
pub struct Secrets(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl Sealed {
    /// With what a sealed value begins.
    pub const PREFIX: &'static str = "kms:";

    /// A ciphertext as it is written in the document.
    pub fn write(ciphertext: &[u8]) -> String {
        format!("{}{}", Self::PREFIX, Base64::encode_string(ciphertext))
    }

    /// The ciphertext in a text; none where it is not written so.
    pub(crate) fn read(text: &str) -> Option<Vec<u8>> {
        let base64 = text.strip_prefix(Self::PREFIX)?;
        let ciphertext = Base64::decode_vec(base64).ok();
        ciphertext.filter(|bytes| !bytes.is_empty())
    }
}

impl Secrets {
    /// What a sealed value holds; none where it was not opened.
    pub fn get(&self, sealed: &Sealed) -> Option<&[u8]> {
        self.0.get(&sealed.path).map(|value| value.as_slice())
    }

    pub(crate) fn insert(&mut self, path: String, value: Zeroizing<Vec<u8>>) {
        self.0.insert(path, value);
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let text = Sealed::write(&[1, 2, 3]);
        assert_eq!(text, "kms:AQID");
        assert_eq!(Sealed::read(&text).unwrap(), [1, 2, 3]);
        for text in ["AQID", "kms:", "kms:!", "KMS:AQID", "kms:AQI"] {
            assert_eq!(Sealed::read(text), None, "{text}");
        }
    }
}
