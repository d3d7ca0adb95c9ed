//! The record of the audit log: its key, and its last checkpoint.

use std::convert::Infallible;

use uuid::Uuid;

use super::codec::{CHANGED, Reader, Why, put_time};
use super::names::AUDIT;
use super::seal::{Kind, Sealer};
use crate::aead::{self, TAG_LEN};
use crate::audit::{Anchor, Link};
use crate::environment::Environment;
use crate::secret::SecretKey;

/// What the database holds of the audit log.
pub(crate) struct StoredAudit {
    /// Under which its records are authenticated.
    pub(crate) key: SecretKey,
    /// Its last checkpoint.
    pub(crate) anchor: Anchor,
}

impl Sealer {
    pub(super) fn seal_audit(
        &self,
        key: &SecretKey,
        anchor: &Anchor,
        environment: &Environment,
    ) -> Vec<u8> {
        self.seal(Kind::Audit, AUDIT, environment, |body, record_key| {
            put_time(body, environment.clock.now());
            body.extend_from_slice(anchor.log_id.as_bytes());
            body.extend_from_slice(&anchor.checkpoint.sequence.to_be_bytes());
            body.extend_from_slice(&anchor.checkpoint.mac);
            body.extend_from_slice(&anchor.file.to_be_bytes());
            body.extend_from_slice(&anchor.offset.to_be_bytes());
            put_secret(
                body,
                record_key,
                &key_data(&anchor.log_id),
                key,
                environment,
            );
        })
    }

    pub(super) fn open_audit(&self, record: &[u8]) -> Result<StoredAudit, Why> {
        let (body, record_key) = self.open(Kind::Audit, AUDIT, record)?;
        let mut body = Reader(&body);
        body.time()?;
        let log_id = Uuid::from_bytes(body.array()?);
        let anchor = Anchor {
            log_id,
            checkpoint: Link {
                sequence: body.array().map(u64::from_be_bytes)?,
                mac: body.array()?,
            },
            file: body.array().map(u64::from_be_bytes)?,
            offset: body.array().map(u64::from_be_bytes)?,
        };
        let key = read_secret(&mut body, &record_key, &key_data(&log_id))?;
        body.end()?;
        Ok(StoredAudit { key, anchor })
    }
}

fn key_data(log_id: &Uuid) -> Vec<u8> {
    [b"audit key", &log_id.as_bytes()[..]].concat()
}

/// Appends a key, sealed once more by itself: nonce, ciphertext, tag. `data` binds it to its place.
fn put_secret(
    body: &mut Vec<u8>,
    record_key: &SecretKey,
    data: &[u8],
    secret: &SecretKey,
    environment: &Environment,
) {
    let nonce = environment.random_bytes();
    // Encrypted in a slot for keys: the body grows, and would leave copies behind.
    let mut tag = [0; TAG_LEN];
    let sealed = SecretKey::try_fill(|out| {
        out.copy_from_slice(secret.expose());
        tag = aead::seal(record_key, &nonce, data, out);
        Ok::<_, Infallible>(())
    });
    let Ok(sealed) = sealed;
    body.extend_from_slice(&nonce);
    body.extend_from_slice(sealed.expose());
    body.extend_from_slice(&tag);
}

/// Reads what [`put_secret`] wrote, into no other place than the key's.
fn read_secret(
    body: &mut Reader<'_>,
    record_key: &SecretKey,
    data: &[u8],
) -> Result<SecretKey, Why> {
    let nonce = body.array()?;
    let ciphertext: [u8; SecretKey::LEN] = body.array()?;
    let tag = body.array()?;
    SecretKey::try_fill(|key| {
        *key = ciphertext;
        aead::open(record_key, &nonce, data, key, &tag)
    })
    .map_err(|_| CHANGED)
}
