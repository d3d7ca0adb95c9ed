//! Key material from elsewhere: parameters for its way here, its coming in, and its going.

use std::time::SystemTime;

use super::Kms;
use super::door::Call;
use crate::caller::Caller;
use crate::database::{ImportToken, StoredKey};
use crate::error::Error;
use crate::key::{BackingKeyKind, KeyMetadata, KeyRef, KeyState, days};
use crate::key_ring::{KeyRing, MaterialId, hex};
use crate::material::{Material, unwrap_key_material};
use crate::policy::Action;
use crate::spec::{KeySpec, KeyUsage, WrappingAlgorithm};

/// What somebody needs to send key material here.
#[derive(Debug, Clone)]
pub struct ImportParameters {
    /// The public half of an RSA key that wraps the material, a SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
    /// To be handed in with the material.
    pub token: Vec<u8>,
    /// Until when both are good.
    pub valid_to: SystemTime,
}

/// Key material on its way in.
#[derive(Debug, Clone, Copy)]
pub struct KeyImport<'a> {
    /// The token of the parameters.
    pub token: &'a [u8],
    /// The material, wrapped with the parameters' public key.
    pub wrapped: &'a [u8],
    /// When it is deleted; none: never.
    pub valid_to: Option<SystemTime>,
    /// Whether it is for a symmetric key's next rotation; else it is the first, or one that was there
    /// before.
    pub is_new: bool,
}

impl Kms {
    /// A fresh RSA key and a token for the import of key material within 24 hours.
    ///
    /// # Errors
    /// [`Error::Origin`] for keys whose material is made here; [`Error::Material`] for another wrapping
    /// key than RSA; [`Error::PendingDeletion`]; [`Error::ManagedKey`]; [`Error::KeyNotFound`];
    /// [`Error::AccessDenied`].
    pub fn get_parameters_for_import(
        &self,
        caller: &Caller,
        key: &KeyRef,
        wrapping: KeySpec,
        algorithm: WrappingAlgorithm,
    ) -> Result<ImportParameters, Error> {
        let call = Call::on_key(caller, Action::GetParametersForImport, key);
        self.through(call.with_algorithm(algorithm.as_str()), |key| {
            let random = &*self.environment.random;
            let wrapping = Material::generate(wrapping, KeyUsage::EncryptDecrypt, random)?;
            let public_key = wrapping.public_key().map(|key| key.as_der().to_vec());
            let token = ImportToken {
                key: key.id,
                valid_to: self.now() + days(1),
                algorithm,
                wrapping,
            };
            Ok(ImportParameters {
                public_key: public_key.ok_or(Error::InvalidImportToken)?,
                valid_to: token.valid_to,
                token: self.database.lock().seal_token(&token, &self.environment)?,
            })
        })
    }

    /// Takes key material in: the first of a key, the one that it had before, or, for a symmetric key,
    /// one for its next rotation.
    ///
    /// # Errors
    /// [`Error::InvalidImportToken`], [`Error::ExpiredImportToken`]; [`Error::Material`] for what does not
    /// unwrap or is no such key; [`Error::IncorrectKeyMaterial`]; [`Error::InvalidExpiry`]; else as of
    /// [`get_parameters_for_import`](Self::get_parameters_for_import), or what the storage says.
    pub fn import_key_material(
        &self,
        caller: &Caller,
        key: &KeyRef,
        import: &KeyImport<'_>,
    ) -> Result<KeyMetadata, Error> {
        let call = Call::on_key(caller, Action::ImportKeyMaterial, key);
        self.through_to_change(call, |database, key| {
            self.require_expiry(import.valid_to)?;
            let token = database.open_token(import.token);
            let token = token.map_err(|_| Error::InvalidImportToken)?;
            let material = self.unwrapped(key, &token, import.wrapped)?;
            let mut changed = (**key).clone();
            changed.ring = self.ring_with(key, material, import)?;
            if key.state == KeyState::PendingImport {
                changed.state = KeyState::Enabled;
            }
            self.put(database, changed)
        })
    }

    /// Deletes a key's imported material, or the one of that id only. What was encrypted under it opens
    /// again when it comes back.
    ///
    /// # Errors
    /// [`Error::IncorrectKeyMaterial`] where there is none of that id; else as of
    /// [`get_parameters_for_import`](Self::get_parameters_for_import), or what the storage says.
    pub fn delete_imported_key_material(
        &self,
        caller: &Caller,
        key: &KeyRef,
        material_id: Option<&str>,
    ) -> Result<KeyMetadata, Error> {
        self.change(caller, Action::DeleteImportedKeyMaterial, key, |key| {
            let meant = |id: &MaterialId| material_id.is_none_or(|meant| meant == hex(id));
            let mut all = key.ring.iter().chain(key.ring.pending());
            if material_id.is_some() && !all.any(|key| meant(&key.material_id)) {
                return Err(self.incorrect_material(key));
            }
            key.ring = key.ring.map(|key| match meant(&key.material_id) {
                true => key.emptied(),
                false => key.clone(),
            });
            Ok(())
        })
    }
}

impl Kms {
    fn require_expiry(&self, valid_to: Option<SystemTime>) -> Result<(), Error> {
        let now = self.now();
        match valid_to.is_none_or(|at| at > now && at <= now + days(365)) {
            true => Ok(()),
            false => Err(Error::InvalidExpiry),
        }
    }

    fn unwrapped(
        &self,
        key: &StoredKey,
        token: &ImportToken,
        wrapped: &[u8],
    ) -> Result<Material, Error> {
        if token.key != key.id {
            return Err(Error::InvalidImportToken);
        }
        if token.valid_to <= self.now() {
            return Err(Error::ExpiredImportToken);
        }
        let (wrapping, algorithm) = (&token.wrapping, token.algorithm);
        let material = unwrap_key_material(wrapping, algorithm, wrapped, key.spec, key.usage);
        Ok(material?)
    }

    fn ring_with(
        &self,
        key: &StoredKey,
        material: Material,
        import: &KeyImport<'_>,
    ) -> Result<KeyRing, Error> {
        let (id, now, valid_to) = (material.id()?, self.now(), import.valid_to);
        if key.ring.primary().is_none() {
            let ring = KeyRing::default();
            let ring = ring.with_next(material, BackingKeyKind::Initial, now)?;
            return Ok(ring.expiring(&id, valid_to));
        }
        if key.ring.of_material(&id).is_some() {
            return Ok(key.ring.restored(material, &id).expiring(&id, valid_to));
        }
        match import.is_new && key.spec == KeySpec::SymmetricDefault {
            true => Ok(key.ring.with_pending(material, valid_to, now)?),
            false => Err(self.incorrect_material(key)),
        }
    }

    fn incorrect_material(&self, key: &StoredKey) -> Error {
        Error::IncorrectKeyMaterial(self.identity.key_arn(key.id))
    }
}
