//! The generations of a KMS key's material.

use std::sync::Arc;
use std::time::SystemTime;

use crate::environment::Environment;
use crate::key::{BackingKeyKind, BackingKeyMetadata};
use crate::material::{Material, MaterialError};
use crate::secret::SecretKey;
use crate::spec::{KeySpec, KeyUsage};

/// Backing keys, oldest first, numbered from 1 without gaps: the last encrypts, all decrypt. Of imported
/// ones there may be one more, which waits for the rotation that makes it the last.
///
/// A ring is a value: rotation makes another one, and whoever holds the old one goes on with it.
#[derive(Clone, Default)]
pub(crate) struct KeyRing {
    keys: Vec<BackingKey>,
    pending: Option<BackingKey>,
}

/// One generation of a KMS key's material.
#[derive(Clone)]
pub(crate) struct BackingKey {
    pub(crate) number: u32,
    /// When it became the one that encrypts; of one that waits, when it was imported.
    pub(crate) created: SystemTime,
    pub(crate) kind: BackingKeyKind,
    /// None: it was imported, and was deleted or has expired.
    pub(crate) material: Option<Arc<Material>>,
    /// Which material it is, also when it is gone.
    pub(crate) material_id: MaterialId,
    /// When imported material is deleted.
    pub(crate) expires: Option<SystemTime>,
}

/// Tells one material from another: [`Material::id`].
pub(crate) type MaterialId = [u8; 32];

impl BackingKey {
    /// The first or the next generation, of that material.
    ///
    /// # Errors
    /// As of [`Material::id`].
    fn new(
        number: usize,
        kind: BackingKeyKind,
        material: Material,
        now: SystemTime,
    ) -> Result<Self, MaterialError> {
        Ok(Self {
            number: u32::try_from(number).expect("a key has few generations"),
            created: now,
            kind,
            material_id: material.id()?,
            material: Some(Arc::new(material)),
            expires: None,
        })
    }

    /// This one without its material.
    pub(crate) fn emptied(&self) -> Self {
        Self {
            material: None,
            expires: None,
            ..self.clone()
        }
    }

    fn is_there(&self, now: SystemTime) -> bool {
        self.material.is_some() && !self.has_expired(now)
    }

    fn has_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl KeyRing {
    /// A ring of one fresh key.
    ///
    /// # Errors
    /// As of [`Material::generate`].
    pub(crate) fn generate(
        spec: KeySpec,
        usage: KeyUsage,
        environment: &Environment,
        now: SystemTime,
    ) -> Result<Self, MaterialError> {
        let material = Material::generate(spec, usage, &*environment.random)?;
        Self::default().with_next(material, BackingKeyKind::Initial, now)
    }

    /// A ring of keys that were stored; none where one is not in its place.
    pub(crate) fn from_keys(keys: Vec<BackingKey>, pending: Option<BackingKey>) -> Option<Self> {
        let all = keys.iter().chain(&pending);
        let in_place = (1..).zip(all).all(|(number, key)| key.number == number);
        in_place.then_some(Self { keys, pending })
    }

    /// This ring with one fresh symmetric key more.
    ///
    /// # Errors
    /// As of [`Material::generate`].
    pub(crate) fn rotated(
        &self,
        environment: &Environment,
        kind: BackingKeyKind,
        now: SystemTime,
    ) -> Result<Self, MaterialError> {
        let (spec, usage) = (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt);
        let material = Material::generate(spec, usage, &*environment.random)?;
        self.with_next(material, kind, now)
    }

    /// This ring with one key more, which encrypts from now on.
    ///
    /// # Errors
    /// As of [`Material::id`].
    pub(crate) fn with_next(
        &self,
        material: Material,
        kind: BackingKeyKind,
        now: SystemTime,
    ) -> Result<Self, MaterialError> {
        let next = BackingKey::new(self.keys.len() + 1, kind, material, now)?;
        let keys = self.keys.iter().cloned().chain([next]).collect();
        Ok(Self {
            keys,
            pending: None,
        })
    }

    /// This ring with one key that waits for a rotation, in the place of one that waits already.
    ///
    /// # Errors
    /// As of [`Material::id`].
    pub(crate) fn with_pending(
        &self,
        material: Material,
        expires: Option<SystemTime>,
        now: SystemTime,
    ) -> Result<Self, MaterialError> {
        let kind = BackingKeyKind::OnDemand;
        let pending = BackingKey::new(self.keys.len() + 1, kind, material, now)?;
        let pending = Some(BackingKey { expires, ..pending });
        Ok(Self {
            keys: self.keys.clone(),
            pending,
        })
    }

    /// This ring with its key of that id having that material again.
    pub(crate) fn restored(&self, material: Material, id: &MaterialId) -> Self {
        let material = Arc::new(material);
        self.map(|key| match key.material_id == *id {
            true => BackingKey {
                material: Some(Arc::clone(&material)),
                ..key.clone()
            },
            false => key.clone(),
        })
    }

    /// This ring with its key of that id expiring then.
    pub(crate) fn expiring(&self, id: &MaterialId, expires: Option<SystemTime>) -> Self {
        self.map(|key| match key.material_id == *id {
            true => BackingKey {
                expires,
                ..key.clone()
            },
            false => key.clone(),
        })
    }

    /// This ring after the rotation that the waiting key waits for; none where none waits.
    pub(crate) fn promoted(&self, now: SystemTime) -> Option<Self> {
        let pending = self
            .pending
            .clone()
            .filter(|pending| pending.is_there(now))?;
        let next = BackingKey {
            created: now,
            ..pending
        };
        Some(Self {
            keys: self.keys.iter().cloned().chain([next]).collect(),
            pending: None,
        })
    }

    /// This ring with each key as `change` makes it; a waiting one without material is dropped.
    pub(crate) fn map(&self, change: impl Fn(&BackingKey) -> BackingKey) -> Self {
        let pending = self.pending.as_ref().map(&change);
        Self {
            keys: self.keys.iter().map(&change).collect(),
            pending: pending.filter(|key| key.material.is_some()),
        }
    }

    /// This ring without imported material whose time is over.
    pub(crate) fn without_expired(&self, now: SystemTime) -> Self {
        self.map(|key| match key.has_expired(now) {
            true => key.emptied(),
            false => key.clone(),
        })
    }

    /// Whether there is something that [`without_expired`](Self::without_expired) removes.
    pub(crate) fn has_expired(&self, now: SystemTime) -> bool {
        let mut all = self.keys.iter().chain(&self.pending);
        all.any(|key| key.has_expired(now))
    }

    /// When the next imported material's time is over.
    pub(crate) fn next_expiry(&self) -> Option<SystemTime> {
        let all = self.keys.iter().chain(&self.pending);
        all.filter_map(|key| key.expires).min()
    }

    /// Whether all of its material is there.
    pub(crate) fn is_complete(&self, now: SystemTime) -> bool {
        !self.keys.is_empty() && self.keys.iter().all(|key| key.is_there(now))
    }

    /// The key that encrypts; none before the first import.
    pub(crate) fn primary(&self) -> Option<&BackingKey> {
        self.keys.last()
    }

    /// The material that encrypts, signs or makes MACs, where it is there.
    pub(crate) fn material(&self) -> Option<&Material> {
        self.primary()?.material.as_deref()
    }

    /// The symmetric key that encrypts, and its number.
    pub(crate) fn symmetric(&self) -> Option<(u32, &SecretKey)> {
        let primary = self.primary()?;
        let key = primary.material.as_deref()?.symmetric()?;
        Some((primary.number, key))
    }

    /// The key of that material.
    pub(crate) fn of_material(&self, id: &MaterialId) -> Option<&BackingKey> {
        self.keys.iter().find(|key| key.material_id == *id)
    }

    /// The key of that number.
    pub(crate) fn get(&self, number: u32) -> Option<&BackingKey> {
        self.keys.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    pub(crate) fn pending(&self) -> Option<&BackingKey> {
        self.pending.as_ref()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, BackingKey> {
        self.keys.iter()
    }

    /// How often it was rotated on demand.
    pub(crate) fn on_demand_count(&self) -> usize {
        let on_demand = |key: &&BackingKey| key.kind == BackingKeyKind::OnDemand;
        self.keys.iter().filter(on_demand).count()
    }

    pub(crate) fn metadata(&self) -> Vec<BackingKeyMetadata> {
        let known = |key: &BackingKey| BackingKeyMetadata {
            number: key.number,
            created: key.created,
            kind: key.kind,
            material_id: hex(&key.material_id),
            valid_to: key.expires,
            is_there: key.material.is_some(),
        };
        self.iter().map(known).collect()
    }
}

/// As AWS writes the id of a material.
pub(crate) fn hex(id: &MaterialId) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> KeyRing {
        let (spec, usage) = (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt);
        KeyRing::generate(spec, usage, &Environment::system(), SystemTime::UNIX_EPOCH).unwrap()
    }

    fn rotated(ring: &KeyRing) -> KeyRing {
        let (environment, kind) = (Environment::system(), BackingKeyKind::OnDemand);
        let rotated = ring.rotated(&environment, kind, SystemTime::UNIX_EPOCH);
        rotated.unwrap()
    }

    fn material() -> Material {
        let (spec, usage) = (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt);
        Material::generate(spec, usage, &*Environment::system().random).unwrap()
    }

    #[test]
    fn rotation_adds_a_primary_and_keeps_the_old() {
        let old = ring();
        let new = rotated(&old);
        let number = |ring: &KeyRing| ring.primary().unwrap().number;
        assert_eq!((number(&old), number(&new)), (1, 2));
        let (first, kept) = (old.get(1).unwrap(), new.get(1).unwrap());
        assert_eq!(first.material_id, kept.material_id);
        assert!(new.get(0).is_none() && new.get(3).is_none());
    }

    #[test]
    fn a_ring_has_no_gaps() {
        let keys: Vec<_> = rotated(&ring()).iter().cloned().collect();
        assert!(KeyRing::from_keys(keys[1..].to_vec(), None).is_none());
        let reversed = keys.iter().rev().cloned().collect();
        assert!(KeyRing::from_keys(reversed, None).is_none());
        assert!(KeyRing::from_keys(keys.clone(), keys.first().cloned()).is_none());
        assert!(KeyRing::from_keys(keys, None).is_some());
    }

    #[test]
    fn imported_material_waits_and_expires() {
        let later = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(9);
        let waiting = ring().with_pending(material(), Some(later), SystemTime::UNIX_EPOCH);
        let waiting = waiting.unwrap();
        assert_eq!(waiting.primary().unwrap().number, 1);
        assert!(waiting.promoted(later).is_none(), "its time is over");
        let ring = waiting.promoted(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(
            (ring.primary().unwrap().number, ring.on_demand_count()),
            (2, 1)
        );
        assert!(ring.is_complete(SystemTime::UNIX_EPOCH) && !ring.is_complete(later));
        assert!(ring.has_expired(later) && ring.next_expiry() == Some(later));
        let emptied = ring.without_expired(later);
        assert!(!emptied.is_complete(SystemTime::UNIX_EPOCH) && !emptied.has_expired(later));
        assert_eq!(
            emptied.get(2).unwrap().material_id,
            ring.get(2).unwrap().material_id
        );
        assert!(waiting.without_expired(later).pending().is_none());
    }
}
