//! Where a root key shall be kept, as it is written on a command line.

use std::path::PathBuf;
use std::str::FromStr;

use config::RootKey;
use kms::{RootKeySource, Sharing};

/// Where a root key shall be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootTarget {
    /// The place.
    pub source: RootKeySource,
    /// How it is shared, where it is.
    pub sharing: Sharing,
}

impl From<RootKeySource> for RootTarget {
    fn from(source: RootKeySource) -> Self {
        Self {
            source,
            sharing: Sharing::default(),
        }
    }
}

impl FromStr for RootTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let source = match (kind, rest) {
            ("passphrase", "") => RootKeySource::Passphrase,
            ("file", path) if !path.is_empty() => RootKeySource::File(PathBuf::from(path)),
            ("credential", name) if !name.is_empty() => RootKeySource::Credential(name.to_owned()),
            ("shamir", numbers) => {
                return Ok(Self {
                    source: RootKeySource::Shamir,
                    sharing: sharing(numbers)?,
                });
            }
            _ => return Err(ALLOWED.to_owned()),
        };
        Ok(source.into())
    }
}

/// What a configuration says of the root key.
pub fn root_key_source(named: &RootKey) -> RootKeySource {
    match named {
        RootKey::File(path) => RootKeySource::File(path.clone()),
        RootKey::Passphrase => RootKeySource::Passphrase,
        RootKey::Credential(name) => RootKeySource::Credential(name.clone()),
        RootKey::Shamir => RootKeySource::Shamir,
    }
}

/// `2of3`; nothing is that, too.
fn sharing(text: &str) -> Result<Sharing, String> {
    if text.is_empty() {
        return Ok(Sharing::default());
    }
    let numbers = text.split_once("of").ok_or(ALLOWED)?;
    let number = |text: &str| text.parse::<u8>().map_err(|_| ALLOWED);
    let (threshold, count) = (number(numbers.0)?, number(numbers.1)?);
    match threshold >= 2 && threshold <= count {
        true => Ok(Sharing { threshold, count }),
        false => Err(format!(
            "of {count} shares at least 2 and at most {count} can be needed, not {threshold}"
        )),
    }
}

const ALLOWED: &str = "write `file:PATH`, `passphrase`, `credential:NAME` or `shamir:2of3`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_understood() {
        let source = |text: &str| text.parse::<RootTarget>().map(|target| target.source);
        assert_eq!(source("passphrase"), Ok(RootKeySource::Passphrase));
        assert_eq!(source("file:/a:b"), Ok(RootKeySource::File("/a:b".into())));
        assert_eq!(
            source("credential:root"),
            Ok(RootKeySource::Credential("root".to_owned()))
        );
        assert_eq!(source("shamir"), Ok(RootKeySource::Shamir));
        let shared: RootTarget = "shamir:3of5".parse().unwrap();
        assert_eq!(
            shared.sharing,
            Sharing {
                threshold: 3,
                count: 5
            }
        );
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "hsm",
            "file",
            "file:",
            "credential:",
            "passphrase:secret",
        ] {
            assert_eq!(
                text.parse::<RootTarget>(),
                Err(ALLOWED.to_owned()),
                "{text}"
            );
        }
        for text in [
            "shamir:1of3",
            "shamir:4of3",
            "shamir:2of256",
            "shamir:x",
            "shamir:0of0",
        ] {
            assert!(text.parse::<RootTarget>().is_err(), "{text}");
        }
    }
}
