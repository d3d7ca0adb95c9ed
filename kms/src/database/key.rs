//! The record of a KMS key.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use super::codec::{CHANGED, Reader, Why, put_len, put_text, put_time};
use super::names::key_record;
use super::seal::{Clear, Kind, Sealer};
use super::stored_policy;
use crate::aead::{self, TAG_LEN};
use crate::environment::Environment;
use crate::key::{KeyId, KeyTier};
use crate::key_ring::{BackingKey, KeyRing};
use crate::policy::{PolicyDocument, PolicyKind};
use crate::secret::SecretKey;

/// A KMS key as it is stored.
#[derive(Clone)]
pub(crate) struct StoredKey {
    pub(crate) id: KeyId,
    pub(crate) tier: KeyTier,
    pub(crate) created: SystemTime,
    pub(crate) description: String,
    pub(crate) ring: KeyRing,
    /// None: the default policy.
    pub(crate) policy: Option<Arc<PolicyDocument>>,
}

impl Sealer {
    pub(super) fn seal_key(&self, key: &StoredKey, environment: &Environment) -> Vec<u8> {
        let name = key_record(key.id);
        self.seal(Kind::Key, &name, environment, |body, record_key| {
            body.push(tier_code(key.tier));
            put_time(body, key.created);
            put_text(body, &key.description);
            put_len(body, key.ring.iter().len());
            for backing_key in key.ring.iter() {
                body.extend_from_slice(&backing_key.number.to_be_bytes());
                put_time(body, backing_key.created);
                put_material(body, record_key, key.id, backing_key, environment);
            }
            put_text(body, key.policy.as_deref().map_or("", PolicyDocument::text));
        })
    }

    pub(super) fn open_key(&self, id: KeyId, record: &[u8]) -> Result<StoredKey, Why> {
        let (body, record_key) = self.open(Kind::Key, &key_record(id), record)?;
        let version = Clear::parse(record)?.version;
        let mut body = Reader(&body);
        let tier = tier(body.array()?)?;
        let created = body.time()?;
        let description = body.text()?;
        let ring = read_ring(&mut body, &record_key, id)?;
        let policy = match version {
            1 => None,
            _ => read_key_policy(&mut body)?,
        };
        body.end()?;
        Ok(StoredKey {
            id,
            tier,
            created,
            description,
            ring,
            policy,
        })
    }
}

fn read_ring(body: &mut Reader<'_>, record_key: &SecretKey, id: KeyId) -> Result<KeyRing, Why> {
    let count = body.number()?;
    let mut keys = Vec::new();
    for _ in 0..count {
        let number = body.number()?;
        let created = body.time()?;
        let key = Arc::new(read_material(body, record_key, id, number)?);
        keys.push(BackingKey {
            number,
            created,
            key,
        });
    }
    KeyRing::from_keys(keys).ok_or("its backing keys are not numbered from 1 without gaps")
}

fn read_key_policy(body: &mut Reader<'_>) -> Result<Option<Arc<PolicyDocument>>, Why> {
    match body.text()? {
        text if text.is_empty() => Ok(None),
        text => stored_policy(PolicyKind::Key, &text)
            .map(Arc::new)
            .map(Some),
    }
}

fn read_material(
    body: &mut Reader<'_>,
    record_key: &SecretKey,
    id: KeyId,
    number: u32,
) -> Result<SecretKey, Why> {
    let nonce = body.array()?;
    let ciphertext: [u8; SecretKey::LEN] = body.array()?;
    let tag = body.array()?;
    SecretKey::try_fill(|key| {
        *key = ciphertext;
        aead::open(record_key, &nonce, &material_data(id, number), key, &tag)
    })
    .map_err(|_| CHANGED)
}

fn put_material(
    body: &mut Vec<u8>,
    record_key: &SecretKey,
    id: KeyId,
    backing_key: &BackingKey,
    environment: &Environment,
) {
    let nonce = environment.random_bytes();
    let data = material_data(id, backing_key.number);
    // Encrypted in a slot for keys: the body grows, and would leave copies behind.
    let mut tag = [0; TAG_LEN];
    let sealed = SecretKey::try_fill(|out| {
        out.copy_from_slice(backing_key.key.expose());
        tag = aead::seal(record_key, &nonce, &data, out);
        Ok::<_, Infallible>(())
    });
    let Ok(sealed) = sealed;
    body.extend_from_slice(&nonce);
    body.extend_from_slice(sealed.expose());
    body.extend_from_slice(&tag);
}

fn material_data(id: KeyId, number: u32) -> Vec<u8> {
    [&b"backing key"[..], id.as_bytes(), &number.to_be_bytes()].concat()
}

fn tier_code(tier: KeyTier) -> u8 {
    match tier {
        KeyTier::Owned => 1,
        KeyTier::Managed => 2,
        KeyTier::Customer => 3,
    }
}

fn tier([code]: [u8; 1]) -> Result<KeyTier, Why> {
    match code {
        1 => Ok(KeyTier::Owned),
        2 => Ok(KeyTier::Managed),
        3 => Ok(KeyTier::Customer),
        _ => Err("its tier is unknown"),
    }
}
