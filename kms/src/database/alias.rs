//! The record of an alias.

use std::time::SystemTime;

use super::codec::{Reader, Why, put_time};
use super::names::alias_record;
use super::seal::{Clear, Kind, Sealer};
use crate::environment::Environment;
use crate::key::KeyId;

/// An alias as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredAlias {
    pub(crate) alias: String,
    pub(crate) created: SystemTime,
    /// When it was last pointed to another key.
    pub(crate) updated: SystemTime,
    pub(crate) key: KeyId,
}

impl Sealer {
    pub(super) fn seal_alias(&self, alias: &StoredAlias, environment: &Environment) -> Vec<u8> {
        let name = alias_record(&alias.alias);
        self.seal(Kind::Alias, &name, environment, |body, _| {
            put_time(body, alias.created);
            body.extend_from_slice(alias.key.as_bytes());
            put_time(body, alias.updated);
        })
    }

    pub(super) fn open_alias(&self, alias: String, record: &[u8]) -> Result<StoredAlias, Why> {
        let (body, _) = self.open(Kind::Alias, &alias_record(&alias), record)?;
        let mut body = Reader(&body);
        let created = body.time()?;
        let key = KeyId::from_bytes(body.array()?);
        let updated = match Clear::parse(record)?.version {
            1 => created,
            _ => body.time()?,
        };
        body.end()?;
        Ok(StoredAlias {
            alias,
            created,
            updated,
            key,
        })
    }
}
