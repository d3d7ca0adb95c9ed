//! Enumerations by the names that AWS writes them with.

/// Text is none of an enumeration's names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no {what}: write {}", allowed.join(", "))]
pub struct UnknownName {
    /// What it should be: `key spec`.
    pub what: &'static str,
    /// The text.
    pub found: String,
    /// All the names.
    pub allowed: &'static [&'static str],
}

/// An enumeration whose values have names of their own: in text, in JSON and in error messages.
macro_rules! wire_names {
    (
        $(#[$about:meta])*
        $kind:ident $what:literal { $($(#[$doc:meta])* $value:ident = $name:literal,)* }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[derive(serde::Serialize, serde::Deserialize)]
        pub enum $kind {
            $($(#[$doc])* #[serde(rename = $name)] $value,)*
        }

        impl $kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$value),*];
            /// The names of all of them.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Its name as AWS writes it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $name,)*
                }
            }
        }

        impl From<$kind> for &'static str {
            fn from(value: $kind) -> Self {
                value.as_str()
            }
        }

        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $kind {
            type Err = $crate::spec::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.iter().copied().find(|value| value.as_str() == text);
                found.ok_or_else(|| $crate::spec::UnknownName {
                    what: $what,
                    found: text.to_owned(),
                    allowed: Self::NAMES,
                })
            }
        }
    };
}

pub(super) use wire_names;
