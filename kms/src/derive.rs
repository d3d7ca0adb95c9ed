//! Key derivation: HKDF with SHA-256 (RFC 5869).

use hkdf::Hkdf;
use sha2::Sha256;

use crate::hygiene::scrubbed;
use crate::secret::SecretKey;

/// A key derived from `key`, bound to `salt` and to what `info` says it is for.
pub fn derive(key: &SecretKey, salt: &[u8], info: &[&[u8]]) -> SecretKey {
    let filled = SecretKey::try_fill(|out| scrubbed(|| expand(key.expose(), salt, info, out)));
    filled.expect("32 bytes are within HKDF's bound of 255 blocks")
}

/// A public name of a secret that is `what`: as long and as hard to guess as a key, the same for the same
/// secret only, and of no use to find it.
pub(crate) fn identify(secret: &[u8], what: &[u8]) -> [u8; 32] {
    let mut id = [0; 32];
    scrubbed(|| expand(secret, b"sealgate key material id", &[what], &mut id))
        .expect("32 bytes are within HKDF's bound of 255 blocks");
    id
}

fn expand(
    key: &[u8],
    salt: &[u8],
    info: &[&[u8]],
    out: &mut [u8],
) -> Result<(), hkdf::InvalidLength> {
    Hkdf::<Sha256>::new(Some(salt), key).expand_multi_info(info, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869 appendix A.1.
    #[test]
    fn agrees_with_the_rfc() {
        let mut out = [0; 42];
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        expand(&[0x0b; 22], &salt, &[&info], &mut out).unwrap();
        assert_eq!(out[..8], [0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a]);
        assert_eq!(out[40..], [0x58, 0x65]);
    }

    #[test]
    fn salt_and_purpose_make_another_key() {
        let key = SecretKey::copy_from(&[1; 32]).unwrap();
        let one = derive(&key, b"salt", &[b"a"]);
        assert_ne!(one.expose(), derive(&key, b"tlas", &[b"a"]).expose());
        assert_ne!(one.expose(), derive(&key, b"salt", &[b"b"]).expose());
    }
}
