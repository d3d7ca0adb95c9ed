//! The record of an access key.

use std::sync::Arc;

use super::codec::{Reader, Why, put_text, put_time};
use super::key::{put_secret, read_secret};
use super::names::access_key_record;
use super::seal::{Kind, Sealer};
use super::stored_principal;
use crate::access_key::{AccessKeyId, StoredAccessKey};
use crate::environment::Environment;
use crate::principal::Principal;

impl Sealer {
    pub(super) fn seal_access_key(
        &self,
        key: &StoredAccessKey,
        environment: &Environment,
    ) -> Vec<u8> {
        let name = access_key_record(&key.id);
        self.seal(Kind::AccessKey, &name, environment, |body, record_key| {
            put_time(body, key.created);
            put_text(body, key.user.arn());
            body.push(u8::from(key.active));
            // 1970 is never.
            put_time(body, key.last_used.unwrap_or(std::time::UNIX_EPOCH));
            let data = secret_data(&key.user, &key.id);
            put_secret(body, record_key, &data, &key.secret, environment);
        })
    }

    pub(super) fn open_access_key(
        &self,
        id: AccessKeyId,
        record: &[u8],
    ) -> Result<StoredAccessKey, Why> {
        let (body, record_key) = self.open(Kind::AccessKey, &access_key_record(&id), record)?;
        let mut body = Reader(&body);
        let created = body.time()?;
        let user = stored_principal(&body.text()?)?;
        let active = match body.byte()? {
            0 => false,
            1 => true,
            _ => return Err("whether it is active is unknown"),
        };
        let last_used = Some(body.time()?).filter(|time| *time != std::time::UNIX_EPOCH);
        let len = body.len()?;
        let secret = read_secret(&mut body, &record_key, &secret_data(&user, &id), len)?;
        body.end()?;
        Ok(StoredAccessKey {
            id,
            user,
            created,
            active,
            last_used,
            secret: Arc::new(secret),
        })
    }
}

fn secret_data(user: &Principal, id: &AccessKeyId) -> Vec<u8> {
    [
        b"access key".as_slice(),
        user.arn().as_bytes(),
        id.as_str().as_bytes(),
    ]
    .concat()
}
