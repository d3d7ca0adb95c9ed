//! Key material from elsewhere, wrapped on its way here: `GetParametersForImport`, `ImportKeyMaterial`.

use super::{Material, MaterialError, PublicKey, unwrap_padded, wrap_padded};
use crate::environment::Random;
use crate::secret::{SecretBytes, SecretKey};
use crate::spec::{KeySpec, KeyUsage, WrappingAlgorithm};

/// Unwraps key material: the key itself for symmetric and MAC keys, and PKCS#8 in DER for pairs.
///
/// `wrapping` is an RSA key for [`KeyUsage::EncryptDecrypt`], made for one import.
///
/// # Errors
/// [`MaterialError::Wrapping`] for material that cannot come in that way,
/// [`MaterialError::InvalidCiphertext`] for what was not wrapped with that key and algorithm, and
/// [`MaterialError::KeyMaterial`] for what was, and is no such key.
pub fn unwrap_key_material(
    wrapping: &Material,
    algorithm: WrappingAlgorithm,
    wrapped: &[u8],
    spec: KeySpec,
    usage: KeyUsage,
) -> Result<Material, MaterialError> {
    check(algorithm, wrapping.spec(), spec)?;
    let secret = match algorithm.has_aes_key() {
        true => unwrap_with_aes(wrapping, algorithm, wrapped)?,
        false => wrapping.decrypt(algorithm.oaep(), wrapped)?,
    };
    Material::from_secret(spec, usage, &secret)
}

/// Wraps key material of a key of `spec` for [`unwrap_key_material`], with the public half of the wrapping
/// key (a SubjectPublicKeyInfo in DER).
///
/// # Errors
/// [`MaterialError::Wrapping`] for material that cannot go that way, and
/// [`MaterialError::InvalidWrappingKey`] for what is no wrapping key.
pub fn wrap_key_material(
    public_key: &[u8],
    algorithm: WrappingAlgorithm,
    material: &SecretBytes,
    spec: KeySpec,
    random: &dyn Random,
) -> Result<Vec<u8>, MaterialError> {
    let sizes = [KeySpec::Rsa2048, KeySpec::Rsa3072, KeySpec::Rsa4096].into_iter();
    let wrapping = sizes.flat_map(|spec| PublicKey::from_der(spec, public_key));
    let wrapping = wrapping.last().ok_or(MaterialError::InvalidWrappingKey)?;
    check(algorithm, wrapping.spec(), spec)?;
    if !algorithm.has_aes_key() {
        return wrapping.encrypt(algorithm.oaep(), material.expose());
    }
    let key = SecretKey::generate(random);
    let mut wrapped = wrapping.encrypt(algorithm.oaep(), key.expose())?;
    wrapped.extend(wrap_padded(&key, material.expose())?);
    Ok(wrapped)
}

fn check(
    algorithm: WrappingAlgorithm,
    wrapping: KeySpec,
    spec: KeySpec,
) -> Result<(), MaterialError> {
    match algorithm.wraps(spec, wrapping) {
        true => Ok(()),
        false => Err(MaterialError::Wrapping {
            algorithm: algorithm.as_str(),
            wrapping,
            spec,
        }),
    }
}

/// The AES key under RSA, as long as the modulus, then the material under the AES key.
fn unwrap_with_aes(
    wrapping: &Material,
    algorithm: WrappingAlgorithm,
    wrapped: &[u8],
) -> Result<SecretBytes, MaterialError> {
    let modulus_len = wrapping.spec().modulus_len();
    let parts = modulus_len.and_then(|len| wrapped.split_at_checked(len));
    let (key, material) = parts.ok_or(MaterialError::InvalidCiphertext)?;
    let key = wrapping.decrypt(algorithm.oaep(), key)?;
    let key = SecretKey::copy_from(key.expose()).ok_or(MaterialError::InvalidCiphertext)?;
    unwrap_padded(&key, material)
}
