//! Import tokens: what a KMS gives out and takes back, and nobody else opens.

use std::time::SystemTime;

use super::codec::{Reader, Why, put_text, put_time};
use super::key::{put_material, read_material};
use super::seal::{Kind, Sealer};
use crate::environment::Environment;
use crate::error::Error;
use crate::key::KeyId;
use crate::material::Material;
use crate::spec::{KeySpec, KeyUsage, WrappingAlgorithm};

/// What is to be known when wrapped key material comes in.
pub(crate) struct ImportToken {
    /// For which key.
    pub(crate) key: KeyId,
    pub(crate) valid_to: SystemTime,
    pub(crate) algorithm: WrappingAlgorithm,
    /// The RSA key that unwraps it.
    pub(crate) wrapping: Material,
}

impl Sealer {
    /// # Errors
    /// [`Error::Material`] where the wrapping key cannot be written, for want of memory.
    pub(crate) fn seal_token(
        &self,
        token: &ImportToken,
        environment: &Environment,
    ) -> Result<Vec<u8>, Error> {
        let mut written = Ok(());
        let sealed = self.seal(Kind::ImportToken, NAME, environment, |body, key| {
            body.extend_from_slice(token.key.as_bytes());
            put_time(body, token.valid_to);
            put_text(body, token.algorithm.as_str());
            put_text(body, token.wrapping.spec().as_str());
            written = put_material(body, key, DATA, &token.wrapping, environment);
        });
        written.map(|()| sealed)
    }

    pub(crate) fn open_token(&self, sealed: &[u8]) -> Result<ImportToken, Why> {
        let (body, record_key) = self.open(Kind::ImportToken, NAME, sealed)?;
        let mut body = Reader(&body);
        let key = KeyId::from_bytes(body.array()?);
        let valid_to = body.time()?;
        let algorithm = body.text()?.parse().map_err(|_| UNKNOWN)?;
        let spec: KeySpec = body.text()?.parse().map_err(|_| UNKNOWN)?;
        let len = usize::try_from(body.number()?).map_err(|_| UNKNOWN)?;
        let kind = (spec, KeyUsage::EncryptDecrypt);
        let wrapping = read_material(&mut body, &record_key, DATA, len, kind)?;
        body.end()?;
        Ok(ImportToken {
            key,
            valid_to,
            algorithm,
            wrapping,
        })
    }
}

/// It is no record, but has a record's form and this name.
const NAME: &str = "import-token";
const DATA: &[u8] = b"import token";
const UNKNOWN: Why = "a name in it is unknown";
