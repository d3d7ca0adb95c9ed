//! What entries are called, and the files that they stand in.
//!
//! A name becomes a file name by a one-to-one mapping: `*` is written `+`, `:` is written `,`, all
//! else stands for itself. Two more bytes say what the file is: `.e`, `.d` and `.r` for an entry with
//! an ECDSA, Ed25519 and RSA key; `~e`, `~d` and `~r` for one whose certificate is still to come. A
//! name of 253 bytes, the longest in the DNS, so becomes one of 255, the longest of a file.

use std::fmt;
use std::net::Ipv6Addr;

use crate::error::Error;
use crate::key_type::KeyFamily;

/// An entry's name, in lower case: an address; or labels as in the DNS (letters, digits, underscores
/// and inner hyphens), perhaps behind one `*.`, together up to 253 bytes.
///
/// It is mostly the certificate's first DNS name or address, but need not be. No name looks like a
/// pattern for several: configurations have those.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(Box<str>);

impl EntryName {
    /// A name for something new from what a user wrote, put in lower case.
    ///
    /// # Errors
    /// [`Error::InvalidName`] for everything that the grammar does not have: names in other scripts
    /// (their form in certificates, `xn--…`, is fine), path separators, blanks, patterns.
    pub fn new(text: &str) -> Result<Self, Error> {
        Self::checked(text, fault(text).or_else(|| label_fault(text)))
    }

    /// The name of something that may be there: earlier versions took any letters, digits and
    /// `-._*:` in any order, without a dot in front.
    ///
    /// # Errors
    /// [`Error::InvalidName`] for what no version took.
    pub fn known(text: &str) -> Result<Self, Error> {
        Self::checked(text, fault(text))
    }

    fn checked(text: &str, fault: Option<&'static str>) -> Result<Self, Error> {
        match fault {
            None => Ok(Self(text.to_ascii_lowercase().into())),
            Some(why) => Err(Error::InvalidName {
                name: text.escape_debug().to_string(),
                why,
            }),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the name of a file begins with, which says this name and no other.
    pub(crate) fn file_stem(&self) -> String {
        self.as_str().replace('*', "+").replace(':', ",")
    }

    /// The name whose files begin with `stem`; none where `stem` is not the one spelling of one.
    pub(crate) fn from_file_stem(stem: &str) -> Option<Self> {
        let name = Self::known(&stem.replace('+', "*").replace(',', ":")).ok()?;
        // Not that with upper case, nor that with a bare `*`.
        (name.file_stem() == stem).then_some(name)
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which file an entry stands in: the three things that a file name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryFile {
    pub(crate) name: EntryName,
    pub(crate) family: KeyFamily,
    /// Whether the certificate is still to come.
    pub(crate) pending: bool,
}

impl EntryFile {
    pub(crate) fn new(name: &EntryName, family: KeyFamily, pending: bool) -> Self {
        Self {
            name: name.clone(),
            family,
            pending,
        }
    }

    /// What a file name says; none where no entry has that file name.
    pub(crate) fn parse(file: &str) -> Option<Self> {
        let (stem, suffix) = file.split_at_checked(file.len().checked_sub(2)?)?;
        let (family, pending) = SUFFIXES.into_iter().find(|(text, ..)| *text == suffix)?.1;
        Some(Self {
            name: EntryName::from_file_stem(stem)?,
            family,
            pending,
        })
    }
}

impl fmt::Display for EntryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = (self.family, self.pending);
        let suffix = SUFFIXES.into_iter().find(|(_, of)| *of == kind);
        let (suffix, _) = suffix.expect("every family has two suffixes");
        write!(f, "{}{suffix}", self.name.file_stem())
    }
}

fn fault(text: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._*:".contains(c);
    if text.is_empty() {
        Some("it is empty")
    } else if !text.is_ascii() {
        Some("write names of other scripts as certificates do, as `xn--…`")
    } else if text.len() > MAX_LEN {
        Some("it is longer than 253 bytes")
    } else if text.starts_with('.') {
        Some("it begins with a dot")
    } else if !text.chars().all(allowed) {
        Some("only letters, digits and - . _ * : may stand in it")
    } else {
        None
    }
}

fn label_fault(text: &str) -> Option<&'static str> {
    if text.contains(':') {
        let address = text.parse::<Ipv6Addr>();
        return address.err().map(|_| "only IPv6 addresses have colons");
    }
    let labels = text.strip_prefix("*.").unwrap_or(text);
    if labels.contains('*') {
        return Some("a `*` is the whole first label, as in `*.example.com`, or nowhere");
    }
    if labels.ends_with('.') {
        return Some("it ends with a dot");
    }
    labels.split('.').find_map(|label| match label {
        "" => Some("a label between its dots is empty"),
        _ if label.len() > MAX_LABEL => Some("a label between its dots is longer than 63 bytes"),
        _ if label.starts_with('-') || label.ends_with('-') => {
            Some("a label between its dots begins or ends with a hyphen")
        }
        _ => None,
    })
}

/// Bytes in the longest label of the DNS.
const MAX_LABEL: usize = 63;
/// Bytes in the longest name.
const MAX_LEN: usize = 253;

const SUFFIXES: [(&str, (KeyFamily, bool)); 6] = [
    (".e", (KeyFamily::Ecdsa, false)),
    (".d", (KeyFamily::Ed25519, false)),
    (".r", (KeyFamily::Rsa, false)),
    ("~e", (KeyFamily::Ecdsa, true)),
    ("~d", (KeyFamily::Ed25519, true)),
    ("~r", (KeyFamily::Rsa, true)),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(name: &str, family: KeyFamily, pending: bool) -> String {
        EntryFile::new(&EntryName::known(name).unwrap(), family, pending).to_string()
    }

    #[test]
    fn names_that_look_like_patterns_or_options_are_refused() {
        for name in [
            "*",
            "**",
            "***",
            "a*b",
            "*a.b",
            "a.*",
            "a.*.b",
            "*.*.b",
            "*.",
            "-x",
            "x-.y",
            "x.-y",
            "x.",
            "a..b",
            "a:b",
            ":",
            "2001:db8:::1",
        ] {
            let refused = EntryName::new(name);
            assert!(matches!(refused, Err(Error::InvalidName { .. })), "{name}");
            // Where one is, it can still be shown and deleted.
            assert!(EntryName::known(name).is_ok(), "{name}");
        }
        assert!(EntryName::new(&format!("{}.b", "a".repeat(64))).is_err());
        for name in [
            "shop.example.com",
            "*.example.com",
            "_dmarc.a_b.c",
            "internal-ca",
            "10.0.0.1",
            "::1",
            "2001:db8::1",
            "xn--mnchen-3ya.de",
            "1",
        ] {
            assert_eq!(EntryName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_become_file_names() {
        assert_eq!(
            file("Shop.Example.COM", KeyFamily::Rsa, false),
            "shop.example.com.r"
        );
        assert_eq!(
            file("*.example.com", KeyFamily::Ecdsa, false),
            "+.example.com.e"
        );
        assert_eq!(
            file("2001:db8::1", KeyFamily::Ed25519, true),
            "2001,db8,,1~d"
        );
    }

    #[test]
    fn the_longest_name_fits() {
        let longest = file(&"*".repeat(253), KeyFamily::Ecdsa, false);
        assert_eq!(longest.len(), 255);
        assert!(EntryName::known(&"a".repeat(254)).is_err());
        assert!(EntryName::new(&vec!["a".repeat(62); 4].join(".")).is_ok());
    }

    #[test]
    fn names_that_could_escape_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/etc/passwd",
            ".hidden",
            "a b",
            "a\0b",
            "a\nb",
            "münchen.de",
            "a+b",
            "a,b",
            "a~e",
        ] {
            for refused in [EntryName::new(name), EntryName::known(name)] {
                assert!(
                    matches!(refused, Err(Error::InvalidName { .. })),
                    "{name:?}"
                );
            }
        }
    }

    #[test]
    fn a_file_has_one_spelling() {
        for file in [
            "Shop.e", "*.e", "shop.x", "shop", ".e", "~e", "é", ".tmp-1", "a:b.e",
        ] {
            assert_eq!(EntryFile::parse(file), None, "{file}");
        }
    }

    proptest! {
        #[test]
        fn the_encoding_is_reversible(text in "[A-Za-z0-9*:_-][A-Za-z0-9.*:_-]{0,252}", family in 0..3_usize, pending: bool) {
            let family = KeyFamily::ALL[family];
            let file = EntryFile::new(&EntryName::known(&text).unwrap(), family, pending);
            let written = file.to_string();
            prop_assert!(written.len() <= 255 && !written.contains('/') && !written.starts_with('.'));
            prop_assert_eq!(EntryFile::parse(&written), Some(file));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,20}|.{0,8}[.~][edr]") {
            if let Some(file) = EntryFile::parse(&text) {
                prop_assert_eq!(file.to_string(), text);
            }
        }
    }
}
