//! What records are called.

use sha2::{Digest, Sha256};

use crate::access_key::AccessKeyId;
use crate::grant::GrantId;
use crate::key::{KeyId, is_alias};
use crate::principal::Principal;

/// The name of a key's record.
pub(crate) fn key_record(id: KeyId) -> String {
    format!("{KEY_PREFIX}{id}")
}

pub(super) fn key_of(record: &str) -> Option<KeyId> {
    record.strip_prefix(KEY_PREFIX)?.parse().ok()
}

/// The name of an alias's record: `+` stands in no alias, so that no two share a record.
pub(crate) fn alias_record(alias: &str) -> String {
    let name = alias.strip_prefix("alias/").unwrap_or(alias);
    format!("{ALIAS_PREFIX}{}", name.replace('/', "+"))
}

pub(super) fn alias_of(record: &str) -> Option<String> {
    let name = record.strip_prefix(ALIAS_PREFIX)?;
    let alias = format!("alias/{}", name.replace('+', "/"));
    (is_alias(&alias) && alias_record(&alias) == record).then_some(alias)
}

pub(super) fn grant_record(key: KeyId, grant: &GrantId) -> String {
    format!("{GRANT_PREFIX}{key}-{grant}")
}

pub(super) fn grant_of(record: &str) -> Option<(KeyId, GrantId)> {
    let (key, grant) = record.strip_prefix(GRANT_PREFIX)?.rsplit_once('-')?;
    Some((key.parse().ok()?, grant.parse().ok()?))
}

/// The name of an identity's record: an ARN is longer than the name of a record may be, and has characters that no name has.
pub(crate) fn identity_record(identity: &Principal) -> String {
    let digest = Sha256::digest(identity.arn());
    let digits = digest[..16].iter().map(|byte| format!("{byte:02x}"));
    format!("{IDENTITY_PREFIX}{}", digits.collect::<String>())
}

/// The name of an access key's record.
pub(crate) fn access_key_record(id: &AccessKeyId) -> String {
    format!("{ACCESS_KEY_PREFIX}{id}")
}

pub(super) fn access_key_of(record: &str) -> Option<AccessKeyId> {
    record.strip_prefix(ACCESS_KEY_PREFIX)?.parse().ok()
}

/// Whether a record of this database, but its header, may be called so.
pub(super) fn is_record(record: &str) -> bool {
    key_of(record).is_some()
        || alias_of(record).is_some()
        || grant_of(record).is_some()
        || record.starts_with(IDENTITY_PREFIX)
        || access_key_of(record).is_some()
        || record == AUDIT
}

/// The record that says that there is a database.
pub(crate) const HEADER: &str = "database";
/// The record of the audit log.
pub(crate) const AUDIT: &str = "audit";
const KEY_PREFIX: &str = "key-";
const ALIAS_PREFIX: &str = "@";
const GRANT_PREFIX: &str = "grant-";
const ACCESS_KEY_PREFIX: &str = "access-key-";
pub(super) const IDENTITY_PREFIX: &str = "identity-";
