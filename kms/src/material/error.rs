//! Why key material cannot be made, read or used.

use crate::spec::{KeySpec, KeyUsage, MessageType};

/// Why key material cannot be made, read or used. Where AWS has a text for it, it is that one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// No key of that spec is for that.
    #[error("KeyUsage {usage} is not compatible with KeySpec {spec}")]
    Usage {
        /// The key's spec.
        spec: KeySpec,
        /// What it was to be for.
        usage: KeyUsage,
    },
    /// The key was made for something else.
    #[error("the key usage is {usage}, and this needs a key for {wanted}")]
    OtherUsage {
        /// What it is for.
        usage: KeyUsage,
        /// What was wanted of it.
        wanted: KeyUsage,
    },
    /// The algorithm is one of other keys.
    #[error("Algorithm {algorithm} is incompatible with key spec {spec}.")]
    Algorithm {
        /// By its name on the wire.
        algorithm: &'static str,
        /// The key's spec.
        spec: KeySpec,
    },
    /// The algorithm signs messages only, or digests only.
    #[error("Algorithm {algorithm} is incompatible with message type {message_type}.")]
    MessageType {
        /// By its name on the wire.
        algorithm: &'static str,
        /// What the message was said to be.
        message_type: MessageType,
    },
    /// A digest is not as long as its hash function makes them.
    #[error("Digest is invalid length for algorithm {algorithm}.")]
    DigestLength {
        /// By its name on the wire.
        algorithm: &'static str,
    },
    /// OAEP leaves less room in the key's modulus.
    #[error(
        "Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {max} bytes."
    )]
    TooLong {
        /// By its name on the wire.
        algorithm: &'static str,
        /// The key's spec.
        spec: KeySpec,
        /// The most that can be encrypted, in bytes.
        max: usize,
    },
    /// The ciphertext is not one of this key and algorithm, or was changed.
    #[error("the ciphertext was not made with this key and algorithm, or was changed since")]
    InvalidCiphertext,
    /// The signature is not one of this message by this key and algorithm.
    #[error("the signature is not of this message by this key and algorithm")]
    InvalidSignature,
    /// The MAC is not one of this message by this key and algorithm.
    #[error("the MAC is not of this message by this key and algorithm")]
    InvalidMac,
    /// The bytes are no public key of that spec.
    #[error(
        "the public key is not that of a key of spec {0} as a SubjectPublicKeyInfo in DER: give it as \
         GetPublicKey or `openssl pkey -pubout -outform DER` writes it"
    )]
    InvalidPublicKey(KeySpec),
    /// What should wrap key material cannot.
    #[error(
        "the wrapping key is not an RSA public key of 2048, 3072 or 4096 bits as a \
         SubjectPublicKeyInfo in DER: give the PublicKey of GetParametersForImport"
    )]
    InvalidWrappingKey,
    /// The bytes are no key of that spec.
    #[error("the key material is not that of a key of spec {0}: {expected}", expected = expected(*.0))]
    KeyMaterial(KeySpec),
    /// Material of that kind cannot come in that way.
    #[error(
        "Algorithm {algorithm} and wrapping key spec {wrapping} cannot wrap key material of {spec}."
    )]
    Wrapping {
        /// By its name on the wire.
        algorithm: &'static str,
        /// The spec of the RSA key that wraps.
        wrapping: KeySpec,
        /// The spec of the key that is wrapped.
        spec: KeySpec,
    },
    /// The library said no where it has no reason to.
    #[error("the cryptographic library could not {0}: there may be too little memory")]
    Library(&'static str),
}

impl MaterialError {
    /// Refuses an algorithm that is none of the key's own.
    pub(super) fn check_algorithm<A>(spec: KeySpec, algorithm: A, own: &[A]) -> Result<(), Self>
    where
        A: PartialEq + Into<&'static str>,
    {
        match own.contains(&algorithm) {
            true => Ok(()),
            false => Err(Self::Algorithm {
                algorithm: algorithm.into(),
                spec,
            }),
        }
    }
}

/// What the material of such a key is.
fn expected(spec: KeySpec) -> String {
    match spec.secret_len() {
        Some(len) => format!("that has exactly {len} bytes"),
        None => "that is a private key in PKCS#8 (DER), not encrypted, and nothing else".to_owned(),
    }
}
