//! Multi-region keys on their way to another region.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | `SGKX` |
//! | 4 | 1 | version, 1 |
//! | 5 | 16 | salt, random |
//! | 21 | 12 | nonce, random |
//! | 33 | n | ciphertext of the key's id (16 bytes) and its body as a record of version 3 has it |
//! | 33 + n | 16 | tag |
//!
//! The export's key is HKDF-SHA256(transport key, salt, "sealgate kms export 1"), with which the backing
//! keys in the body are sealed too. The additional data are the first 33 bytes, then the account and the
//! region that it is for, as texts.

use super::codec::{CHANGED, CUT, Reader, Why, put_text};
use super::key::{StoredKey, put_key, put_ring, read_key};
use crate::aead::{self, NONCE_LEN, TAG_LEN};
use crate::derive::derive;
use crate::environment::Environment;
use crate::error::Error;
use crate::key::{Identity, KeyId};
use crate::secret::SecretKey;

/// A key for the KMS of `to`, which opens with the same transport key.
///
/// # Errors
/// [`Error::Material`] where a pair cannot be written, for want of memory.
pub(crate) fn seal_export(
    key: &StoredKey,
    transport: &SecretKey,
    to: &Identity,
    environment: &Environment,
) -> Result<Vec<u8>, Error> {
    let salt: [u8; SALT_LEN] = environment.random_bytes();
    let nonce: [u8; NONCE_LEN] = environment.random_bytes();
    let export_key = derive(transport, &salt, &[PURPOSE]);
    let mut out = [&MAGIC[..], &[VERSION], &salt, &nonce].concat();
    let data = additional_data(&out, to);
    out.extend_from_slice(key.id.as_bytes());
    put_key(&mut out, key);
    put_ring(&mut out, &export_key, key, environment)?;
    let tag = aead::seal(&export_key, &nonce, &data, &mut out[CLEAR_LEN..]);
    out.extend_from_slice(&tag);
    Ok(out)
}

/// The key that was sealed for the KMS of `here`.
pub(crate) fn open_export(
    export: &[u8],
    transport: &SecretKey,
    here: &Identity,
) -> Result<StoredKey, Why> {
    let mut clear = Reader(export);
    if clear.array()? != *MAGIC {
        return Err("it does not begin as the export of a key does");
    }
    if clear.byte()? != VERSION {
        return Err("its version is not known");
    }
    let salt: [u8; SALT_LEN] = clear.array()?;
    let nonce = clear.array()?;
    let (body, tag) = clear.0.split_last_chunk::<TAG_LEN>().ok_or(CUT)?;
    let export_key = derive(transport, &salt, &[PURPOSE]);
    let mut body = body.to_vec();
    let data = additional_data(&export[..CLEAR_LEN], here);
    aead::open(&export_key, &nonce, &data, &mut body, tag).map_err(|_| CHANGED)?;
    let mut body = Reader(&body);
    let id = KeyId::from_bytes(body.array()?);
    let key = read_key(&mut body, &export_key, id)?;
    body.end()?;
    Ok(key)
}

fn additional_data(clear: &[u8], to: &Identity) -> Vec<u8> {
    let mut data = clear.to_vec();
    put_text(&mut data, &to.account);
    put_text(&mut data, &to.region);
    data
}

const MAGIC: &[u8; 4] = b"SGKX";
const VERSION: u8 = 1;
const PURPOSE: &[u8] = b"sealgate kms export 1";
const SALT_LEN: usize = 16;
const CLEAR_LEN: usize = 5 + SALT_LEN + NONCE_LEN;
