//! What a member of a request may be: type, length, range, pattern, words.
//!
//! Every request is checked against these before it is read, so that no operation is validated by hand
//! and forgotten. The bounds are those of AWS's service model.

use super::blob::{Blob, SecretBlob, SecretText};

/// A member of a structure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// As the struct's field is called: `key_id` for `KeyId`.
    pub(super) field: &'static str,
    /// Whether it must be there.
    pub(super) required: bool,
    pub(super) shape: &'static Shape,
}

/// The type of a member, and its bounds.
#[derive(Debug)]
pub(super) enum Shape {
    /// A text of so many characters, of a pattern.
    Text {
        /// Characters at least.
        min: usize,
        /// Characters at most.
        max: usize,
        /// Which characters.
        pattern: Option<Pattern>,
    },
    /// A text of so many characters. Never shown.
    Secret {
        /// Characters at least.
        min: usize,
        /// Characters at most.
        max: usize,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// An integer in a range.
    Integer {
        /// At least.
        min: i64,
        /// At most.
        max: i64,
    },
    /// `true` or `false`.
    Boolean,
    /// Bytes in base64 (RFC 4648), so many when decoded. Never shown.
    Blob {
        /// Bytes at least.
        min: usize,
        /// Bytes at most.
        max: usize,
    },
    /// So many of one shape.
    List {
        /// Of what.
        of: &'static Shape,
        /// Elements at least.
        min: usize,
        /// Elements at most.
        max: usize,
    },
    /// Texts by texts.
    Map,
    /// Named members.
    Structure(&'static [Member]),
}

/// Which texts are allowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pattern {
    /// The regular expression, for messages.
    pub(super) expression: &'static str,
    pub(super) matches: fn(&str) -> bool,
}

/// A type that stands for a member of a request.
pub(super) trait MemberType {
    /// Whether the member must be there.
    const REQUIRED: bool = true;
}

impl<T> MemberType for Option<T> {
    const REQUIRED: bool = false;
}

impl MemberType for String {}
impl MemberType for u32 {}
impl MemberType for bool {}
impl MemberType for Blob {}
impl MemberType for SecretBlob {}
impl MemberType for SecretText {}
impl<T> MemberType for Vec<T> {}

/// What has named members.
pub(super) trait Structure {
    /// Its members.
    const MEMBERS: &'static [Member];
}

/// A request: each field with its type and its shape. A field is required where its type is no `Option`.
macro_rules! request {
    ($(#[$about:meta])* $name:ident {
        $($(#[$doc:meta])* $field:ident: $type:ty = $shape:expr,)*
    }) => {
        $(#[$about])*
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[$doc])*
                pub $field: $type,
            )*
        }

        impl $crate::api::shape::Structure for $name {
            const MEMBERS: &'static [$crate::api::shape::Member] = &[$(
                $crate::api::shape::Member {
                    field: stringify!($field),
                    required: <$type as $crate::api::shape::MemberType>::REQUIRED,
                    shape: &$shape,
                },
            )*];
        }
    };
}
pub(super) use request;

impl Member {
    /// As it stands in JSON: `KeyId`.
    pub(super) fn name(&self) -> String {
        self.spelling().map(char::from).collect()
    }

    /// As it stands in messages: `keyId`.
    pub(super) fn label(&self) -> String {
        let name = self.name();
        let (head, tail) = name.split_at(1);
        head.to_ascii_lowercase() + tail
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        name.bytes().eq(self.spelling())
    }

    fn spelling(&self) -> impl Iterator<Item = u8> {
        self.field.split('_').flat_map(capitalised)
    }
}

fn capitalised(word: &str) -> impl Iterator<Item = u8> {
    let (head, tail) = word.as_bytes().split_at(1.min(word.len()));
    head.iter()
        .map(u8::to_ascii_uppercase)
        .chain(tail.iter().copied())
}
