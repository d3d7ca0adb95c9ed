//! Tags: what people write on their keys to find them again.

use std::collections::BTreeMap;

use crate::error::Error;

/// Tags by their keys.
pub type Tags = BTreeMap<String, String>;

/// The most tags on one key (AWS's limit).
pub const MAX_TAGS: usize = 50;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;

/// The tags, each key once.
///
/// # Errors
/// [`Error::InvalidTag`] for a tag that AWS does not allow either, or two of one key.
pub(crate) fn checked<'a>(
    tags: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Tags, Error> {
    let mut checked = Tags::new();
    for (key, value) in tags {
        check(key, value)?;
        if checked.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Error::InvalidTag("Duplicate tag keys".to_owned()));
        }
    }
    check_count(&checked)?;
    Ok(checked)
}

/// Refuses more tags than a key has room for.
pub(crate) fn check_count(tags: &Tags) -> Result<(), Error> {
    match tags.len() <= MAX_TAGS {
        true => Ok(()),
        false => Err(Error::InvalidTag("Too many tags".to_owned())),
    }
}

fn check(key: &str, value: &str) -> Result<(), Error> {
    let invalid = |why: &str| Err(Error::InvalidTag(why.to_owned()));
    let len = key.chars().count();
    if !(1..=MAX_TAG_KEY).contains(&len) {
        return invalid("a tag's key has 1 to 128 characters");
    }
    if value.chars().count() > MAX_TAG_VALUE {
        return invalid("a tag's value has at most 256 characters");
    }
    if key.to_ascii_lowercase().starts_with("aws:") {
        return invalid("Tags beginning with aws: are reserved");
    }
    match key.chars().chain(value.chars()).all(is_allowed) {
        true => Ok(()),
        false => invalid("a tag has letters, digits, spaces and any of `_.:/=+-@`"),
    }
}

fn is_allowed(character: char) -> bool {
    character.is_alphanumeric() || character == ' ' || "_.:/=+-@".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_as_aws_allows_them() {
        let ok = checked([("Kostenstelle", "Laden 7"), ("env", "")]).unwrap();
        assert_eq!(ok.len(), 2);
        let long = "x".repeat(257);
        for (key, value) in [
            ("", "x"),
            ("aws:x", "x"),
            ("AWS:x", "x"),
            ("a,b", "x"),
            ("a", "<"),
            (&long[..129], "x"),
            ("a", &*long),
        ] {
            assert!(checked([(key, value)]).is_err(), "{key}={value}");
        }
        assert!(checked([("a", "1"), ("a", "2")]).is_err());
        let many: Vec<_> = (0..51).map(|number| number.to_string()).collect();
        let tags = |count| checked(many[..count].iter().map(|key| (key.as_str(), "")));
        assert!(tags(50).is_ok() && tags(51).is_err());
    }
}
