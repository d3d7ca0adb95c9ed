//! The record of a KMS key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use super::codec::{CHANGED, Reader, Why, put_len, put_text, put_time};
use super::names::key_record;
use super::seal::{Clear, Kind, Sealer};
use super::stored_policy;
use crate::aead::{self, NONCE_LEN, TAG_LEN};
use crate::environment::Environment;
use crate::error::Error;
use crate::key::{
    BackingKeyKind, KeyId, KeyOrigin, KeyState, KeyTier, MultiRegion, MultiRegionKind,
    RotationSchedule, Tags, days,
};
use crate::key_ring::{BackingKey, KeyRing, MaterialId};
use crate::material::Material;
use crate::policy::{PolicyDocument, PolicyKind};
use crate::secret::{SecretBytes, SecretKey};
use crate::spec::{KeySpec, KeyUsage};

/// A KMS key as it is stored.
#[derive(Clone)]
pub(crate) struct StoredKey {
    pub(crate) id: KeyId,
    pub(crate) tier: KeyTier,
    pub(crate) created: SystemTime,
    pub(crate) description: String,
    pub(crate) spec: KeySpec,
    pub(crate) usage: KeyUsage,
    pub(crate) origin: KeyOrigin,
    /// What was last done to it; whether its imported material is still there is the ring's to say.
    pub(crate) state: KeyState,
    pub(crate) tags: Tags,
    /// None: it is not rotated by itself.
    pub(crate) rotation: Option<RotationSchedule>,
    pub(crate) multi_region: Option<MultiRegion>,
    pub(crate) ring: KeyRing,
    /// None: the default policy.
    pub(crate) policy: Option<Arc<PolicyDocument>>,
}

impl Sealer {
    /// # Errors
    /// [`Error::Material`] where a pair cannot be written, for want of memory.
    pub(super) fn seal_key(
        &self,
        key: &StoredKey,
        environment: &Environment,
    ) -> Result<Vec<u8>, Error> {
        let name = key_record(key.id);
        let mut written = Ok(());
        let record = self.seal(Kind::Key, &name, environment, |body, record_key| {
            put_key(body, key);
            written = put_ring(body, record_key, key, environment);
        });
        written.map(|()| record)
    }

    pub(super) fn open_key(&self, id: KeyId, record: &[u8]) -> Result<StoredKey, Why> {
        let (body, record_key) = self.open(Kind::Key, &key_record(id), record)?;
        let mut body = Reader(&body);
        let key = match Clear::parse(record)?.version {
            version @ 1..=2 => read_old_key(&mut body, &record_key, id, version)?,
            _ => read_key(&mut body, &record_key, id)?,
        };
        body.end()?;
        Ok(key)
    }
}

// === version 3 ===

pub(super) fn put_key(body: &mut Vec<u8>, key: &StoredKey) {
    body.push(code(TIERS, key.tier));
    put_time(body, key.created);
    put_text(body, &key.description);
    put_text(body, key.spec.as_str());
    put_text(body, key.usage.as_str());
    body.push(code(ORIGINS, key.origin));
    put_state(body, key.state);
    put_len(body, key.tags.len());
    for (name, value) in &key.tags {
        put_text(body, name);
        put_text(body, value);
    }
    put_rotation(body, key.rotation);
    put_multi_region(body, key.multi_region.as_ref());
    put_text(body, key.policy.as_deref().map_or("", PolicyDocument::text));
}

pub(super) fn read_key(
    body: &mut Reader<'_>,
    record_key: &SecretKey,
    id: KeyId,
) -> Result<StoredKey, Why> {
    let tier = decode(TIERS, body.byte()?, "its tier is unknown")?;
    let created = body.time()?;
    let description = body.text()?;
    let spec = body.text()?.parse().map_err(|_| "its spec is unknown")?;
    let usage = body.text()?.parse().map_err(|_| "its usage is unknown")?;
    let origin = decode(ORIGINS, body.byte()?, "its origin is unknown")?;
    let state = read_state(body)?;
    let mut tags = BTreeMap::new();
    for _ in 0..body.number()? {
        tags.insert(body.text()?, body.text()?);
    }
    let rotation = read_rotation(body)?;
    let multi_region = read_multi_region(body)?;
    let policy = read_key_policy(body)?;
    let ring = read_ring(body, record_key, id, (spec, usage))?;
    if ring.primary().is_none() && origin == KeyOrigin::AwsKms {
        return Err("it has no backing key");
    }
    Ok(StoredKey {
        id,
        tier,
        created,
        description,
        spec,
        usage,
        origin,
        state,
        tags,
        rotation,
        multi_region,
        ring,
        policy,
    })
}

fn put_state(body: &mut Vec<u8>, state: KeyState) {
    let (code, date) = match state {
        KeyState::Enabled => (1, SystemTime::UNIX_EPOCH),
        KeyState::Disabled => (2, SystemTime::UNIX_EPOCH),
        KeyState::PendingDeletion { date } => (3, date),
        KeyState::PendingImport => (4, SystemTime::UNIX_EPOCH),
    };
    body.push(code);
    put_time(body, date);
}

fn read_state(body: &mut Reader<'_>) -> Result<KeyState, Why> {
    match (body.byte()?, body.time()?) {
        (1, SystemTime::UNIX_EPOCH) => Ok(KeyState::Enabled),
        (2, SystemTime::UNIX_EPOCH) => Ok(KeyState::Disabled),
        (3, date) => Ok(KeyState::PendingDeletion { date }),
        (4, SystemTime::UNIX_EPOCH) => Ok(KeyState::PendingImport),
        _ => Err("its state is unknown"),
    }
}

fn put_rotation(body: &mut Vec<u8>, rotation: Option<RotationSchedule>) {
    let period = rotation.map_or(0, |rotation| rotation.period_days);
    let next = rotation.map_or(SystemTime::UNIX_EPOCH, |rotation| rotation.next);
    body.extend_from_slice(&period.to_be_bytes());
    put_time(body, next);
}

fn read_rotation(body: &mut Reader<'_>) -> Result<Option<RotationSchedule>, Why> {
    let (period_days, next) = (body.number()?, body.time()?);
    match period_days {
        0 => Ok(None),
        _ if RotationSchedule::PERIODS.contains(&period_days) => {
            Ok(Some(RotationSchedule { period_days, next }))
        }
        _ => Err("its rotation period is out of range"),
    }
}

fn put_multi_region(body: &mut Vec<u8>, multi_region: Option<&MultiRegion>) {
    let Some(multi_region) = multi_region else {
        body.push(0);
        return;
    };
    body.push(code(MULTI_REGION_KINDS, multi_region.kind));
    put_text(body, &multi_region.primary);
    put_len(body, multi_region.replicas.len());
    for replica in &multi_region.replicas {
        put_text(body, replica);
    }
}

fn read_multi_region(body: &mut Reader<'_>) -> Result<Option<MultiRegion>, Why> {
    let kind = match body.byte()? {
        0 => return Ok(None),
        code => decode(MULTI_REGION_KINDS, code, "its multi-region kind is unknown")?,
    };
    let primary = body.text()?;
    let mut replicas = BTreeSet::new();
    for _ in 0..body.number()? {
        replicas.insert(body.text()?);
    }
    Ok(Some(MultiRegion {
        kind,
        primary,
        replicas,
    }))
}

pub(super) fn put_ring(
    body: &mut Vec<u8>,
    record_key: &SecretKey,
    key: &StoredKey,
    environment: &Environment,
) -> Result<(), Error> {
    put_len(body, key.ring.iter().len());
    body.push(u8::from(key.ring.pending().is_some()));
    for backing_key in key.ring.iter().chain(key.ring.pending()) {
        put_time(body, backing_key.created);
        body.push(code(BACKING_KEY_KINDS, backing_key.kind));
        body.extend_from_slice(&backing_key.material_id);
        put_time(body, backing_key.expires.unwrap_or(SystemTime::UNIX_EPOCH));
        match backing_key.material.as_deref() {
            None => put_len(body, 0),
            Some(material) => {
                let data = material_data(key.id, backing_key.number);
                put_material(body, record_key, &data, material, environment)?;
            }
        }
    }
    Ok(())
}

fn read_ring(
    body: &mut Reader<'_>,
    record_key: &SecretKey,
    id: KeyId,
    kind: (KeySpec, KeyUsage),
) -> Result<KeyRing, Why> {
    let count = body.number()?;
    let waits = match body.byte()? {
        0 => false,
        1 => true,
        _ => return Err("a flag in it is unknown"),
    };
    let mut keys = Vec::new();
    for number in 1..=count {
        keys.push(read_backing_key(body, record_key, (id, number), kind)?);
    }
    let pending = match waits {
        true => Some(read_backing_key(body, record_key, (id, count + 1), kind)?),
        false => None,
    };
    KeyRing::from_keys(keys, pending).ok_or(NOT_IN_ORDER)
}

fn read_backing_key(
    body: &mut Reader<'_>,
    record_key: &SecretKey,
    (id, number): (KeyId, u32),
    kind: (KeySpec, KeyUsage),
) -> Result<BackingKey, Why> {
    let created = body.time()?;
    let why = decode(
        BACKING_KEY_KINDS,
        body.byte()?,
        "a rotation in it is unknown",
    )?;
    let material_id: MaterialId = body.array()?;
    let expires = body.time()?;
    let material = match body.number()? {
        0 => None,
        len => {
            let len = usize::try_from(len).map_err(|_| super::codec::CUT)?;
            let data = material_data(id, number);
            Some(read_material(body, record_key, &data, len, kind)?)
        }
    };
    Ok(BackingKey {
        number,
        created,
        kind: why,
        material: material.map(Arc::new),
        material_id,
        expires: (expires != SystemTime::UNIX_EPOCH).then_some(expires),
    })
}

// === versions 1 and 2: symmetric keys that were rotated by hand ===

fn read_old_key(
    body: &mut Reader<'_>,
    record_key: &SecretKey,
    id: KeyId,
    version: u8,
) -> Result<StoredKey, Why> {
    let tier = decode(TIERS, body.byte()?, "its tier is unknown")?;
    let created = body.time()?;
    let description = body.text()?;
    let ring = read_old_ring(body, record_key, id)?;
    let policy = match version {
        1 => None,
        _ => read_key_policy(body)?,
    };
    Ok(StoredKey {
        id,
        tier,
        created,
        description,
        spec: KeySpec::SymmetricDefault,
        usage: KeyUsage::EncryptDecrypt,
        origin: KeyOrigin::AwsKms,
        state: KeyState::Enabled,
        tags: Tags::new(),
        rotation: managed_rotation(tier, &ring),
        multi_region: None,
        ring,
        policy,
    })
}

/// Managed keys had no schedule yet: it is counted from their last backing key.
fn managed_rotation(tier: KeyTier, ring: &KeyRing) -> Option<RotationSchedule> {
    let period_days = RotationSchedule::DEFAULT_PERIOD;
    let last = ring.primary().filter(|_| tier == KeyTier::Managed)?;
    let next = last.created.checked_add(days(period_days))?;
    Some(RotationSchedule { period_days, next })
}

fn read_old_ring(body: &mut Reader<'_>, record_key: &SecretKey, id: KeyId) -> Result<KeyRing, Why> {
    let kind = (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt);
    let mut keys = Vec::new();
    for _ in 0..body.number()? {
        let number = body.number()?;
        let created = body.time()?;
        let data = material_data(id, number);
        let material = read_material(body, record_key, &data, SecretKey::LEN, kind)?;
        keys.push(BackingKey {
            number,
            created,
            kind: match number {
                1 => BackingKeyKind::Initial,
                _ => BackingKeyKind::OnDemand,
            },
            material_id: material.id().map_err(|_| NO_KEY)?,
            material: Some(Arc::new(material)),
            expires: None,
        });
    }
    let ring = KeyRing::from_keys(keys, None).ok_or(NOT_IN_ORDER)?;
    match ring.primary() {
        Some(_) => Ok(ring),
        None => Err("it has no backing key"),
    }
}

// === material ===

/// The secret of a key's material, sealed once more by itself.
pub(super) fn put_material(
    body: &mut Vec<u8>,
    record_key: &SecretKey,
    data: &[u8],
    material: &Material,
    environment: &Environment,
) -> Result<(), Error> {
    put_secret(body, record_key, data, &material.to_secret()?, environment);
    Ok(())
}

/// The length of the secret (32 bits), and the secret, sealed once more by itself.
pub(super) fn put_secret(
    body: &mut Vec<u8>,
    record_key: &SecretKey,
    data: &[u8],
    secret: &SecretBytes,
    environment: &Environment,
) {
    let nonce: [u8; NONCE_LEN] = environment.random_bytes();
    // Encrypted in a slot for secrets: the body grows, and would leave copies behind.
    let mut tag = [0; TAG_LEN];
    let sealed = SecretBytes::try_fill(secret.expose().len(), |out| {
        out.copy_from_slice(secret.expose());
        tag = aead::seal(record_key, &nonce, data, out);
        Ok::<_, std::convert::Infallible>(out.len())
    });
    let Ok(sealed) = sealed;
    put_len(body, sealed.expose().len());
    body.extend_from_slice(&nonce);
    body.extend_from_slice(sealed.expose());
    body.extend_from_slice(&tag);
}

/// The sealed secret of that length, as material.
pub(super) fn read_material(
    body: &mut Reader<'_>,
    record_key: &SecretKey,
    data: &[u8],
    len: usize,
    (spec, usage): (KeySpec, KeyUsage),
) -> Result<Material, Why> {
    let secret = read_secret(body, record_key, data, len)?;
    Material::from_secret(spec, usage, &secret).map_err(|_| NO_KEY)
}

/// The sealed secret of that length.
pub(super) fn read_secret(
    body: &mut Reader<'_>,
    record_key: &SecretKey,
    data: &[u8],
    len: usize,
) -> Result<SecretBytes, Why> {
    let nonce = body.array()?;
    let ciphertext = body.bytes(len)?;
    let tag = body.array()?;
    if len > SecretBytes::MAX_LEN {
        return Err("its material is longer than any");
    }
    let secret = SecretBytes::try_fill(len, |out| {
        out.copy_from_slice(ciphertext);
        aead::open(record_key, &nonce, data, out, &tag).map(|()| len)
    });
    secret.map_err(|_| CHANGED)
}

fn material_data(id: KeyId, number: u32) -> Vec<u8> {
    [&b"backing key"[..], id.as_bytes(), &number.to_be_bytes()].concat()
}

fn read_key_policy(body: &mut Reader<'_>) -> Result<Option<Arc<PolicyDocument>>, Why> {
    match body.text()? {
        text if text.is_empty() => Ok(None),
        text => stored_policy(PolicyKind::Key, &text)
            .map(Arc::new)
            .map(Some),
    }
}

// === codes ===

/// A value's code is its place in the table, from 1.
fn code<T: PartialEq>(table: &[T], value: T) -> u8 {
    let place = table.iter().position(|listed| *listed == value);
    let place = place.expect("the table lists all values");
    u8::try_from(place + 1).expect("the table is short")
}

fn decode<T: Copy>(table: &[T], code: u8, unknown: Why) -> Result<T, Why> {
    let place = usize::from(code).checked_sub(1);
    place
        .and_then(|place| table.get(place).copied())
        .ok_or(unknown)
}

const TIERS: &[KeyTier] = &[KeyTier::Owned, KeyTier::Managed, KeyTier::Customer];
const ORIGINS: &[KeyOrigin] = &[KeyOrigin::AwsKms, KeyOrigin::External];
const MULTI_REGION_KINDS: &[MultiRegionKind] =
    &[MultiRegionKind::Primary, MultiRegionKind::Replica];
const BACKING_KEY_KINDS: &[BackingKeyKind] = &[
    BackingKeyKind::Initial,
    BackingKeyKind::Automatic,
    BackingKeyKind::OnDemand,
];

const NOT_IN_ORDER: Why = "its backing keys are not numbered from 1 without gaps";
const NO_KEY: Why = "a backing key in it is no such key";
