//! The algorithms that a request can name.

use super::KeySpec;
use super::wire::wire_names;

wire_names! {
    /// What `Sign` and `Verify` do. All but Ed25519's hash first, unless a digest is given.
    SigningAlgorithm "signing algorithm" {
        /// RSASSA-PSS (RFC 8017) with SHA-256, MGF1 with the same and a salt of 32 bytes.
        #[default]
        RsassaPssSha256 = "RSASSA_PSS_SHA_256",
        /// RSASSA-PSS with SHA-384 and a salt of 48 bytes.
        RsassaPssSha384 = "RSASSA_PSS_SHA_384",
        /// RSASSA-PSS with SHA-512 and a salt of 64 bytes.
        RsassaPssSha512 = "RSASSA_PSS_SHA_512",
        /// RSASSA-PKCS1-v1_5 (RFC 8017) with SHA-256.
        RsassaPkcs1V15Sha256 = "RSASSA_PKCS1_V1_5_SHA_256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        RsassaPkcs1V15Sha384 = "RSASSA_PKCS1_V1_5_SHA_384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        RsassaPkcs1V15Sha512 = "RSASSA_PKCS1_V1_5_SHA_512",
        /// ECDSA (FIPS 186-5) with SHA-256, the signature in DER (RFC 3279).
        EcdsaSha256 = "ECDSA_SHA_256",
        /// ECDSA with SHA-384.
        EcdsaSha384 = "ECDSA_SHA_384",
        /// ECDSA with SHA-512.
        EcdsaSha512 = "ECDSA_SHA_512",
        /// Ed25519 (RFC 8032): of messages, never of digests.
        Ed25519Sha512 = "ED25519_SHA_512",
        /// Ed25519ph (RFC 8032): of digests, which are hashed once more.
        Ed25519PhSha512 = "ED25519_PH_SHA_512",
    }
}

wire_names! {
    /// Whether a message is to be hashed before it is signed.
    MessageType "message type" {
        /// It is: the message itself.
        #[default]
        Raw = "RAW",
        /// It was: its digest, by the signing algorithm's hash.
        Digest = "DIGEST",
    }
}

wire_names! {
    /// What `Encrypt` and `Decrypt` do.
    EncryptionAlgorithm "encryption algorithm" {
        /// AES-256-GCM under a key derived for each message, with an encryption context.
        #[default]
        SymmetricDefault = "SYMMETRIC_DEFAULT",
        /// RSAES-OAEP (RFC 8017) with SHA-1, and MGF1 with the same.
        RsaesOaepSha1 = "RSAES_OAEP_SHA_1",
        /// RSAES-OAEP with SHA-256, and MGF1 with the same.
        RsaesOaepSha256 = "RSAES_OAEP_SHA_256",
    }
}

wire_names! {
    /// What `GenerateMac` and `VerifyMac` do.
    MacAlgorithm "MAC algorithm" {
        /// HMAC (RFC 2104) with SHA-224.
        HmacSha224 = "HMAC_SHA_224",
        /// HMAC with SHA-256.
        #[default]
        HmacSha256 = "HMAC_SHA_256",
        /// HMAC with SHA-384.
        HmacSha384 = "HMAC_SHA_384",
        /// HMAC with SHA-512.
        HmacSha512 = "HMAC_SHA_512",
    }
}

wire_names! {
    /// What `DeriveSharedSecret` does.
    KeyAgreementAlgorithm "key agreement algorithm" {
        /// The cofactor Diffie-Hellman primitive of SP 800-56A: the x-coordinate, undigested.
        #[default]
        Ecdh = "ECDH",
    }
}

wire_names! {
    /// How key material comes in: `GetParametersForImport`, `ImportKeyMaterial`.
    WrappingAlgorithm "wrapping algorithm" {
        /// The material itself under RSAES-OAEP with SHA-1.
        RsaesOaepSha1 = "RSAES_OAEP_SHA_1",
        /// The material itself under RSAES-OAEP with SHA-256.
        #[default]
        RsaesOaepSha256 = "RSAES_OAEP_SHA_256",
        /// A 256-bit AES key under RSAES-OAEP with SHA-1, then the material under that key with padded
        /// AES key wrap (RFC 5649): PKCS #11's CKM_RSA_AES_KEY_WRAP.
        RsaAesKeyWrapSha1 = "RSA_AES_KEY_WRAP_SHA_1",
        /// The same with SHA-256.
        RsaAesKeyWrapSha256 = "RSA_AES_KEY_WRAP_SHA_256",
    }
}

/// A hash function of the SHA family (FIPS 180-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-1: in OAEP only, where its collisions do no harm.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// How a signature is made of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureScheme {
    /// RSASSA-PSS.
    RsaPss,
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1,
    /// ECDSA.
    Ecdsa,
    /// Ed25519.
    Ed25519,
    /// Ed25519ph.
    Ed25519Ph,
}

impl SigningAlgorithm {
    /// Its hash function.
    pub fn hash(self) -> Hash {
        match self {
            Self::RsassaPssSha256 | Self::RsassaPkcs1V15Sha256 | Self::EcdsaSha256 => Hash::Sha256,
            Self::RsassaPssSha384 | Self::RsassaPkcs1V15Sha384 | Self::EcdsaSha384 => Hash::Sha384,
            Self::RsassaPssSha512
            | Self::RsassaPkcs1V15Sha512
            | Self::EcdsaSha512
            | Self::Ed25519Sha512
            | Self::Ed25519PhSha512 => Hash::Sha512,
        }
    }

    /// Its scheme.
    pub fn scheme(self) -> SignatureScheme {
        match self {
            Self::RsassaPssSha256 | Self::RsassaPssSha384 | Self::RsassaPssSha512 => {
                SignatureScheme::RsaPss
            }
            Self::RsassaPkcs1V15Sha256
            | Self::RsassaPkcs1V15Sha384
            | Self::RsassaPkcs1V15Sha512 => SignatureScheme::RsaPkcs1,
            Self::EcdsaSha256 | Self::EcdsaSha384 | Self::EcdsaSha512 => SignatureScheme::Ecdsa,
            Self::Ed25519Sha512 => SignatureScheme::Ed25519,
            Self::Ed25519PhSha512 => SignatureScheme::Ed25519Ph,
        }
    }

    /// The message types that it takes.
    pub fn message_types(self) -> &'static [MessageType] {
        match self {
            Self::Ed25519Sha512 => &[MessageType::Raw],
            Self::Ed25519PhSha512 => &[MessageType::Digest],
            _ => &[MessageType::Raw, MessageType::Digest],
        }
    }
}

impl MacAlgorithm {
    /// Its hash function; the MAC is as long as that one's digest.
    pub fn hash(self) -> Hash {
        match self {
            Self::HmacSha224 => Hash::Sha224,
            Self::HmacSha256 => Hash::Sha256,
            Self::HmacSha384 => Hash::Sha384,
            Self::HmacSha512 => Hash::Sha512,
        }
    }
}

impl EncryptionAlgorithm {
    /// The hash function of OAEP; none for symmetric encryption.
    pub fn hash(self) -> Option<Hash> {
        match self {
            Self::SymmetricDefault => None,
            Self::RsaesOaepSha1 => Some(Hash::Sha1),
            Self::RsaesOaepSha256 => Some(Hash::Sha256),
        }
    }

    /// The longest plaintext in bytes: what OAEP leaves of an RSA key's modulus (RFC 8017, section
    /// 7.1.1); none for a key of another kind.
    pub fn max_plaintext(self, spec: KeySpec) -> Option<usize> {
        Some(spec.modulus_len()? - 2 * self.hash()?.digest_len() - 2)
    }
}

impl WrappingAlgorithm {
    /// How its RSA part encrypts.
    pub fn oaep(self) -> EncryptionAlgorithm {
        match self {
            Self::RsaesOaepSha1 | Self::RsaAesKeyWrapSha1 => EncryptionAlgorithm::RsaesOaepSha1,
            Self::RsaesOaepSha256 | Self::RsaAesKeyWrapSha256 => {
                EncryptionAlgorithm::RsaesOaepSha256
            }
        }
    }

    /// Whether it takes material of a key of `spec` under a key of `wrapping`: the rules of
    /// `GetParametersForImport`.
    pub fn wraps(self, spec: KeySpec, wrapping: KeySpec) -> bool {
        let direct = !self.has_aes_key();
        match spec {
            _ if !wrapping.is_rsa() => false,
            KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096 => !direct,
            KeySpec::EccNistP521 if wrapping == KeySpec::Rsa2048 => !direct,
            _ if spec.is_elliptic() => true,
            _ => direct,
        }
    }

    /// Whether an AES key stands between the RSA key and the material.
    pub fn has_aes_key(self) -> bool {
        matches!(self, Self::RsaAesKeyWrapSha1 | Self::RsaAesKeyWrapSha256)
    }
}

impl Hash {
    /// Bytes in a digest.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}
