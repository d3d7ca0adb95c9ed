//! What all pairs have in common.

use aws_lc_rs::encoding::PublicKeyX509Der;
use aws_lc_rs::error::{KeyRejected, Unspecified};
use pkcs8::PrivateKeyInfoRef;

use super::MaterialError;
use super::public_key::names_curve;
use crate::hygiene::scrubbed;
use crate::secret::SecretBytes;
use crate::spec::KeySpec;

/// A private key with its public half, in the library's form.
pub(super) trait Pair {
    /// The library's own.
    ///
    /// # Errors
    /// [`MaterialError::Library`], for want of memory.
    fn generate(spec: KeySpec) -> Result<Self, MaterialError>
    where
        Self: Sized;

    /// A pair from PKCS#8 in DER.
    ///
    /// # Errors
    /// [`MaterialError::KeyMaterial`] where that is no pair of `spec`.
    fn from_pkcs8(spec: KeySpec, der: &[u8]) -> Result<Self, MaterialError>
    where
        Self: Sized;

    /// The pair as PKCS#8 in DER.
    ///
    /// # Errors
    /// [`MaterialError::Library`], for want of memory.
    fn to_pkcs8(&self) -> Result<SecretBytes, MaterialError>;

    /// The public half, a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// [`MaterialError::Library`], for want of memory.
    fn public_key(&self) -> Result<Box<[u8]>, MaterialError>;
}

/// What the library generates.
pub(super) fn generated<P>(
    generate: impl FnOnce() -> Result<P, Unspecified>,
) -> Result<P, MaterialError> {
    scrubbed(generate).map_err(|_| MaterialError::Library("generate a key pair"))
}

/// What the library parses of PKCS#8: it would not see what follows it, and would take a curve that is
/// spelled out.
pub(super) fn parsed<P>(
    spec: KeySpec,
    der: &[u8],
    parse: impl FnOnce(&[u8]) -> Result<P, KeyRejected>,
) -> Result<P, MaterialError> {
    let parsed = scrubbed(|| {
        let info = PrivateKeyInfoRef::try_from(der).ok()?;
        let named = names_curve(spec, &info.algorithm);
        named.then(|| parse(der).ok())?
    });
    parsed.ok_or(MaterialError::KeyMaterial(spec))
}

/// What the library writes of a private key, which it wipes.
pub(super) fn written(
    write: impl FnOnce() -> Result<SecretBytes, Unspecified>,
) -> Result<SecretBytes, MaterialError> {
    scrubbed(write).map_err(|_| MaterialError::Library("write a private key"))
}

/// What the library writes of a public key.
pub(super) fn public(
    der: Result<PublicKeyX509Der<'_>, Unspecified>,
) -> Result<Box<[u8]>, MaterialError> {
    let der = der.map_err(|_| MaterialError::Library("write a public key"))?;
    Ok(der.as_ref().into())
}
