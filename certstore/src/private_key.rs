//! Private keys in plain: the one form that the store knows, in memory that is wiped.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
};
use kms::hygiene::wipe_stack;
use pkcs8::PrivateKeyInfoRef;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::key_type::KeyType;

/// A private key in plain, as PKCS#8 (RFC 5958) in DER: checked, in one canonical form whatever
/// form it came in, neither printable nor cloneable, wiped on drop.
pub struct PrivateKey {
    /// Sized once: memory that grew would leave copies behind.
    der: Zeroizing<Box<[u8]>>,
    key_type: KeyType,
    /// The public key as certificates have it, a SubjectPublicKeyInfo in DER.
    public_key: Vec<u8>,
}

/// The three forms of a private key in DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 5958, `PRIVATE KEY` in PEM: any kind of key.
    Pkcs8,
    /// RFC 8017, `RSA PRIVATE KEY` in PEM.
    Pkcs1,
    /// RFC 5915, `EC PRIVATE KEY` in PEM.
    Sec1,
}

impl PrivateKey {
    /// A key from its DER, which the caller wipes.
    ///
    /// # Errors
    /// [`Error::UnsupportedKey`] for kinds and sizes that the store does not take, and
    /// [`Error::MalformedKey`] for bytes that are no key or one whose parts do not fit together.
    pub fn from_der(der: &[u8], encoding: Encoding) -> Result<Self, Error> {
        let parsed = match encoding {
            Encoding::Pkcs8 => rsa(rsa::KeyPair::from_pkcs8(der).ok())
                .or_else(|| ecdsa(der))
                .or_else(|| ed25519(der)),
            Encoding::Pkcs1 => rsa(rsa::KeyPair::from_der(der).ok()),
            Encoding::Sec1 => ecdsa(der),
        };
        // Where the parsers read the key.
        wipe_stack();
        parsed.unwrap_or_else(|| Err(refusal(der, encoding)))
    }

    /// The kind of key.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The key itself, PKCS#8 in DER: to seal it, to make a signer of it, or to hand it over.
    pub fn expose_pkcs8(&self) -> &[u8] {
        &self.der
    }

    /// The public half as certificates have it: a SubjectPublicKeyInfo in DER.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    fn new(der: &[u8], key_type: KeyType, public_key: &[u8]) -> Self {
        Self {
            der: Zeroizing::new(der.into()),
            key_type,
            public_key: public_key.to_vec(),
        }
    }
}

/// What a trial parse gives: nothing where the bytes are something else.
type Parsed = Option<Result<PrivateKey, Error>>;

fn rsa(pair: Option<rsa::KeyPair>) -> Parsed {
    let pair = pair?;
    let key_type = match pair.public_modulus_len() * 8 {
        2048 => KeyType::Rsa2048,
        3072 => KeyType::Rsa3072,
        4096 => KeyType::Rsa4096,
        bits => {
            return Some(Err(Error::UnsupportedKey(format!(
                "an RSA key of {bits} bits"
            ))));
        }
    };
    let der = pair.as_der().ok()?;
    let public = pair.public_key().as_der().ok()?;
    Some(Ok(PrivateKey::new(der.as_ref(), key_type, public.as_ref())))
}

fn ecdsa(der: &[u8]) -> Parsed {
    let pair = |algorithm: &'static EcdsaSigningAlgorithm, key_type| {
        let pair = EcdsaKeyPair::from_private_key_der(algorithm, der).ok()?;
        let der = pair.to_pkcs8v1().ok()?;
        let public = pair.public_key().as_der().ok()?;
        Some(Ok(PrivateKey::new(der.as_ref(), key_type, public.as_ref())))
    };
    pair(&ECDSA_P256_SHA256_ASN1_SIGNING, KeyType::EcdsaP256)
        .or_else(|| pair(&ECDSA_P384_SHA384_ASN1_SIGNING, KeyType::EcdsaP384))
}

fn ed25519(der: &[u8]) -> Parsed {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
    let der = pair.to_pkcs8v1().ok()?;
    let public = pair.public_key().as_der().ok()?;
    Some(Ok(PrivateKey::new(
        der.as_ref(),
        KeyType::Ed25519,
        public.as_ref(),
    )))
}

/// Why the bytes are no key of the store's.
fn refusal(der: &[u8], encoding: Encoding) -> Error {
    let info = PrivateKeyInfoRef::try_from(der).ok();
    let info = info.filter(|_| encoding == Encoding::Pkcs8);
    let Some(info) = info else {
        return Error::MalformedKey(encoding);
    };
    let curve = info
        .algorithm
        .parameters_oid()
        .ok()
        .map(|oid| oid.to_string());
    match (info.algorithm.oid.to_string().as_str(), curve.as_deref()) {
        (RSA, _) => {
            Error::UnsupportedKey("an RSA key of less than 2048 bits, or a damaged one".into())
        }
        (RSA_PSS, _) => Error::UnsupportedKey("an RSA key that is restricted to PSS".into()),
        (EC, Some(P256 | P384)) => Error::MalformedKey(encoding),
        (EC, Some(P521)) => Error::UnsupportedKey("an ECDSA key on P-521".into()),
        (EC, Some(curve)) => Error::UnsupportedKey(format!("an ECDSA key on the curve {curve}")),
        (EC, None) => Error::UnsupportedKey(
            "an ECDSA key that spells another curve out (openssl ec -param_enc named_curve names it)"
                .into(),
        ),
        (ED25519, _) => Error::MalformedKey(encoding),
        (other, _) => Error::UnsupportedKey(format!("a key of the algorithm {other}")),
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pkcs8 => "PKCS#8",
            Self::Pkcs1 => "PKCS#1",
            Self::Sec1 => "SEC1",
        })
    }
}

const RSA: &str = "1.2.840.113549.1.1.1";
const RSA_PSS: &str = "1.2.840.113549.1.1.10";
const EC: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const P521: &str = "1.3.132.0.35";
const ED25519: &str = "1.3.101.112";
