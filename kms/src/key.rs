//! What a KMS key is called and what is known of it.

mod multi_region;
mod rotation;
mod state;
mod tag;

pub use multi_region::{MultiRegion, MultiRegionKind};
pub use rotation::{BackingKeyKind, RotationSchedule};
pub use state::{KeyOrigin, KeyState};
pub use tag::{MAX_TAGS, Tags};

pub(crate) use rotation::days;
pub(crate) use tag::{check_count as check_tag_count, checked as checked_tags};

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Error;
use crate::principal::Principal;
use crate::spec::{KeySpec, KeyUsage};

/// The stable id of a KMS key over all generations of its material: a UUID (RFC 9562).
///
/// That of a multi-region key is of version 8 and written `mrk-` and 32 hexadecimal digits; all others
/// are written as UUIDs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Uuid);

impl KeyId {
    /// An id from 16 random bytes (a version 4 UUID, RFC 9562).
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// The id of a multi-region key from 16 random bytes.
    pub fn multi_region_from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Whether it is that of a multi-region key.
    pub fn is_multi_region(&self) -> bool {
        self.0.get_version_num() == 8
    }

    /// The id as it stands in a message.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id that stands in a message.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_multi_region() {
            true => write!(f, "{MULTI_REGION_PREFIX}{}", self.0.simple()),
            false => self.0.fmt(f),
        }
    }
}

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.strip_prefix(MULTI_REGION_PREFIX).unwrap_or(text);
        // Only one form is an id: two spellings would be two names in a policy.
        let id = Uuid::try_parse(digits).ok().map(Self);
        id.filter(|id| id.to_string() == text)
            .ok_or_else(|| Error::InvalidKeyRef(text.to_owned()))
    }
}

impl TryFrom<String> for KeyId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

const MULTI_REGION_PREFIX: &str = "mrk-";

/// Whose keys these are: the account and region that stand in every ARN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Twelve digits.
    pub account: String,
    /// Lower-case letters, digits and hyphens.
    pub region: String,
}

impl Identity {
    /// An identity whose parts have the form that an ARN allows.
    ///
    /// # Errors
    /// [`Error::InvalidIdentity`], which says what is allowed.
    pub fn new(account: &str, region: &str) -> Result<Self, Error> {
        let account_ok = is_account(account);
        let region_ok = (1..=32).contains(&region.len())
            && region
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !account_ok {
            return Err(Error::InvalidIdentity {
                what: "account",
                found: account.to_owned(),
            });
        }
        if !region_ok {
            return Err(Error::InvalidIdentity {
                what: "region",
                found: region.to_owned(),
            });
        }
        Ok(Self {
            account: account.to_owned(),
            region: region.to_owned(),
        })
    }

    /// The ARN of a key: `arn:aws:kms:REGION:ACCOUNT:key/UUID`.
    pub fn key_arn(&self, id: KeyId) -> String {
        format!("{}key/{id}", self.arn_prefix())
    }

    /// The ARN of an alias: `arn:aws:kms:REGION:ACCOUNT:alias/NAME`.
    pub fn alias_arn(&self, alias: &str) -> String {
        format!("{}{alias}", self.arn_prefix())
    }

    /// The account's root: the administrator.
    pub fn root(&self) -> Principal {
        Principal::root(&self.account)
    }

    fn arn_prefix(&self) -> String {
        format!("arn:aws:kms:{}:{}:", self.region, self.account)
    }
}

/// How a caller names a key: by id, ARN, alias or alias ARN.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyRef {
    /// `UUID`.
    Id(KeyId),
    /// `arn:aws:kms:REGION:ACCOUNT:key/UUID`.
    Arn {
        /// Everything before `key/`.
        prefix: String,
        /// The id at its end.
        id: KeyId,
    },
    /// `alias/NAME`.
    Alias(String),
    /// `arn:aws:kms:REGION:ACCOUNT:alias/NAME`.
    AliasArn {
        /// Everything before `alias/`.
        prefix: String,
        /// `alias/NAME`.
        alias: String,
    },
}

impl KeyRef {
    /// The alias that it names the key by.
    pub(crate) fn alias(&self) -> Option<&str> {
        match self {
            Self::Alias(alias) | Self::AliasArn { alias, .. } => Some(alias),
            Self::Id(_) | Self::Arn { .. } => None,
        }
    }

    /// Whether an ARN, where this is one, is of `identity`.
    pub(crate) fn is_local(&self, identity: &Identity) -> bool {
        match self {
            Self::Id(_) | Self::Alias(_) => true,
            Self::Arn { prefix, .. } | Self::AliasArn { prefix, .. } => {
                *prefix == identity.arn_prefix()
            }
        }
    }
}

impl FromStr for KeyRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (prefix, name) = match text.strip_prefix("arn:") {
            None => (None, text),
            Some(_) => {
                let at = text.match_indices(':').nth(4).map(|(at, _)| at + 1);
                let at = at.ok_or_else(|| Error::InvalidKeyRef(text.to_owned()))?;
                (Some(text[..at].to_owned()), &text[at..])
            }
        };
        match (prefix, name.strip_prefix("key/")) {
            (None, _) if is_alias(name) => Ok(Self::Alias(name.to_owned())),
            (None, _) => name.parse().map(Self::Id),
            (Some(prefix), Some(id)) => Ok(Self::Arn {
                prefix,
                id: id.parse()?,
            }),
            (Some(prefix), None) if is_alias(name) => Ok(Self::AliasArn {
                prefix,
                alias: name.to_owned(),
            }),
            (Some(_), None) => Err(Error::InvalidKeyRef(text.to_owned())),
        }
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Arn { prefix, id } => write!(f, "{prefix}key/{id}"),
            Self::Alias(alias) => f.write_str(alias),
            Self::AliasArn { prefix, alias } => write!(f, "{prefix}{alias}"),
        }
    }
}

/// Whether `text` is an account: 12 digits.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether `text` is `alias/` and 1 to 250 of the characters that AWS allows.
pub(crate) fn is_alias(text: &str) -> bool {
    text.strip_prefix("alias/").is_some_and(|name| {
        (1..=250).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"/_-".contains(&b))
    })
}

/// Who owns a key, and what that lets its user do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyTier {
    /// Internal: never listed, not addressable.
    Owned,
    /// Visible, but the product's own: neither deleted nor disabled nor changed by hand.
    Managed,
    /// The user's, in everything.
    Customer,
}

/// What may be known of a key by whoever may see it.
#[derive(Debug, Clone, Serialize)]
pub struct KeyMetadata {
    /// The stable id.
    pub id: KeyId,
    /// The id with account and region.
    pub arn: String,
    /// Who owns it.
    pub tier: KeyTier,
    /// For people.
    pub description: String,
    /// What its material is.
    pub spec: KeySpec,
    /// What it is for.
    pub usage: KeyUsage,
    /// Where its material comes from.
    pub origin: KeyOrigin,
    /// What may be done with it.
    pub state: KeyState,
    /// Its automatic rotation.
    pub rotation: Option<RotationSchedule>,
    /// What it is to other regions.
    pub multi_region: Option<MultiRegion>,
    /// When imported material is deleted.
    pub valid_to: Option<SystemTime>,
    /// The aliases that point to it, sorted.
    pub aliases: Vec<String>,
    /// When it was created.
    pub created: SystemTime,
    /// The generations of its material, oldest first; the last encrypts, all decrypt.
    pub backing_keys: Vec<BackingKeyMetadata>,
}

/// One generation of a key's material.
#[derive(Debug, Clone, Serialize)]
pub struct BackingKeyMetadata {
    /// From 1, without gaps.
    pub number: u32,
    /// When it became the one that encrypts.
    pub created: SystemTime,
    /// Why it came to be.
    pub kind: BackingKeyKind,
    /// Which material it is: 64 hexadecimal digits.
    pub material_id: String,
    /// When imported material is deleted.
    pub valid_to: Option<SystemTime>,
    /// Whether the material is there: imported material may be deleted.
    pub is_there: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn the_four_forms_of_a_reference() {
        let arn = format!("arn:aws:kms:local:000000000000:key/{ID}");
        let alias_arn = "arn:aws:kms:local:000000000000:alias/shop";
        for text in [
            ID,
            &arn,
            "alias/shop",
            "alias/sealgate/certstore",
            alias_arn,
        ] {
            assert_eq!(text.parse::<KeyRef>().unwrap().to_string(), text);
        }
        let upper = ID.to_uppercase();
        let mrk = format!("mrk-{}", ID.replace('-', "").replacen("34cd", "84cd", 1));
        assert_eq!(mrk.parse::<KeyRef>().unwrap().to_string(), mrk);
        let as_uuid = ID.replacen("34cd", "84cd", 1);
        for text in [
            &as_uuid,
            "mrk-1234abcd12ab34cd56ef1234567890ab",
            "",
            "alias/",
            "alias/a b",
            "arn:aws:kms:key/1",
            "shop",
            upper.as_str(),
        ] {
            assert!(text.parse::<KeyRef>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_arn_of_elsewhere_is_not_local() {
        let identity = Identity::new("000000000000", "local").unwrap();
        let here: KeyRef = identity.key_arn(ID.parse().unwrap()).parse().unwrap();
        assert!(here.is_local(&identity));
        let elsewhere = Identity::new("000000000000", "other").unwrap();
        assert!(!here.is_local(&elsewhere));
    }

    #[test]
    fn account_and_region_have_a_form() {
        assert!(Identity::new("12345678901", "local").is_err());
        assert!(Identity::new("123456789012", "Local").is_err());
        assert!(Identity::new("123456789012", "eu-central-1").is_ok());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = text.parse::<KeyRef>();
        }

        #[test]
        fn what_parses_is_written_the_same(
            text in "(arn:[a-z:0-9-]{0,30}:)?(key/|alias/)?[a-z0-9/_:-]{0,40}",
        ) {
            if let Ok(parsed) = text.parse::<KeyRef>() {
                prop_assert_eq!(parsed.to_string(), text);
            }
        }

        #[test]
        fn the_arn_of_a_key_names_that_key(bytes in any::<[u8; 16]>()) {
            let (id, identity) = (KeyId::from_random(bytes), Identity::new("000000000000", "local")?);
            let parsed: KeyRef = identity.key_arn(id).parse()?;
            prop_assert!(parsed.is_local(&identity));
            let named = matches!(parsed, KeyRef::Arn { id: named, .. } if named == id);
            prop_assert!(named);
            prop_assert_eq!(id.to_string().parse::<KeyRef>()?, KeyRef::Id(id));
        }
    }
}
