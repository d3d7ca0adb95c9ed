//! What kinds of KMS keys there are, what each is for, and with which algorithms it works.
//!
//! Names and rules are AWS's (the API reference of `CreateKey`, and "Key spec reference" of the
//! developer guide). Tables only: nothing here touches a key.

mod algorithm;
mod wire;

pub use algorithm::{
    EncryptionAlgorithm, Hash, KeyAgreementAlgorithm, MacAlgorithm, MessageType, SignatureScheme,
    SigningAlgorithm, WrappingAlgorithm,
};
pub use wire::UnknownName;

use wire::wire_names;

wire_names! {
    /// A kind of KMS key: what its material is.
    KeySpec "key spec" {
        /// A 256-bit AES-GCM key.
        #[default]
        SymmetricDefault = "SYMMETRIC_DEFAULT",
        /// An RSA key pair with a modulus of 2048 bits.
        Rsa2048 = "RSA_2048",
        /// An RSA key pair with a modulus of 3072 bits.
        Rsa3072 = "RSA_3072",
        /// An RSA key pair with a modulus of 4096 bits.
        Rsa4096 = "RSA_4096",
        /// A key pair on P-256 (secp256r1).
        EccNistP256 = "ECC_NIST_P256",
        /// A key pair on P-384 (secp384r1).
        EccNistP384 = "ECC_NIST_P384",
        /// A key pair on P-521 (secp521r1).
        EccNistP521 = "ECC_NIST_P521",
        /// A key pair on secp256k1.
        EccSecgP256k1 = "ECC_SECG_P256K1",
        /// An Ed25519 key pair (RFC 8032).
        EccNistEdwards25519 = "ECC_NIST_EDWARDS25519",
        /// A 224-bit key for HMAC with SHA-224.
        Hmac224 = "HMAC_224",
        /// A 256-bit key for HMAC with SHA-256.
        Hmac256 = "HMAC_256",
        /// A 384-bit key for HMAC with SHA-384.
        Hmac384 = "HMAC_384",
        /// A 512-bit key for HMAC with SHA-512.
        Hmac512 = "HMAC_512",
    }
}

wire_names! {
    /// What a KMS key is for: fixed when it is created.
    KeyUsage "key usage" {
        /// Encrypt, Decrypt, ReEncrypt; data keys where the key is symmetric.
        #[default]
        EncryptDecrypt = "ENCRYPT_DECRYPT",
        /// Sign, Verify.
        SignVerify = "SIGN_VERIFY",
        /// GenerateMac, VerifyMac.
        GenerateVerifyMac = "GENERATE_VERIFY_MAC",
        /// DeriveSharedSecret.
        KeyAgreement = "KEY_AGREEMENT",
    }
}

impl KeySpec {
    /// What such a key can be made for.
    pub fn usages(self) -> &'static [KeyUsage] {
        use KeyUsage::{EncryptDecrypt, GenerateVerifyMac, KeyAgreement, SignVerify};
        match self {
            Self::SymmetricDefault => &[EncryptDecrypt],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[EncryptDecrypt, SignVerify],
            Self::EccNistP256 | Self::EccNistP384 | Self::EccNistP521 => {
                &[SignVerify, KeyAgreement]
            }
            Self::EccSecgP256k1 | Self::EccNistEdwards25519 => &[SignVerify],
            Self::Hmac224 | Self::Hmac256 | Self::Hmac384 | Self::Hmac512 => &[GenerateVerifyMac],
        }
    }

    /// Whether such a key can be made for `usage`.
    pub fn allows(self, usage: KeyUsage) -> bool {
        self.usages().contains(&usage)
    }

    /// What such a key is for where nothing is said; none where `CreateKey` must say it.
    pub fn default_usage(self) -> Option<KeyUsage> {
        (self == Self::SymmetricDefault).then_some(KeyUsage::EncryptDecrypt)
    }

    /// The algorithms that such a key signs with, where it is for [`KeyUsage::SignVerify`].
    pub fn signing_algorithms(self) -> &'static [SigningAlgorithm] {
        use SigningAlgorithm as S;
        match self {
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[
                S::RsassaPssSha256,
                S::RsassaPssSha384,
                S::RsassaPssSha512,
                S::RsassaPkcs1V15Sha256,
                S::RsassaPkcs1V15Sha384,
                S::RsassaPkcs1V15Sha512,
            ],
            Self::EccNistP256 | Self::EccSecgP256k1 => &[S::EcdsaSha256],
            Self::EccNistP384 => &[S::EcdsaSha384],
            Self::EccNistP521 => &[S::EcdsaSha512],
            Self::EccNistEdwards25519 => &[S::Ed25519Sha512, S::Ed25519PhSha512],
            _ => &[],
        }
    }

    /// The algorithms that such a key encrypts with, where it is for [`KeyUsage::EncryptDecrypt`].
    pub fn encryption_algorithms(self) -> &'static [EncryptionAlgorithm] {
        use EncryptionAlgorithm::{RsaesOaepSha1, RsaesOaepSha256, SymmetricDefault};
        match self {
            Self::SymmetricDefault => &[SymmetricDefault],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[RsaesOaepSha1, RsaesOaepSha256],
            _ => &[],
        }
    }

    /// The algorithm that such a key makes MACs with.
    pub fn mac_algorithms(self) -> &'static [MacAlgorithm] {
        match self {
            Self::Hmac224 => &[MacAlgorithm::HmacSha224],
            Self::Hmac256 => &[MacAlgorithm::HmacSha256],
            Self::Hmac384 => &[MacAlgorithm::HmacSha384],
            Self::Hmac512 => &[MacAlgorithm::HmacSha512],
            _ => &[],
        }
    }

    /// The algorithm that such a key agrees on secrets with, where it is for [`KeyUsage::KeyAgreement`].
    pub fn key_agreement_algorithms(self) -> &'static [KeyAgreementAlgorithm] {
        match self.allows(KeyUsage::KeyAgreement) {
            true => &[KeyAgreementAlgorithm::Ecdh],
            false => &[],
        }
    }

    /// Whether such a key is a pair, whose public half may be had.
    pub fn is_asymmetric(self) -> bool {
        self.is_rsa() || self.is_elliptic()
    }

    /// Whether such a key is an RSA key pair.
    pub fn is_rsa(self) -> bool {
        self.modulus_len().is_some()
    }

    /// Whether such a key is a pair on an elliptic curve, Ed25519 included.
    pub fn is_elliptic(self) -> bool {
        self.is_weierstrass() || self == Self::EccNistEdwards25519
    }

    /// Whether such a key is a pair on one of the curves of ECDSA, which a key must name.
    pub fn is_weierstrass(self) -> bool {
        matches!(
            self,
            Self::EccNistP256 | Self::EccNistP384 | Self::EccNistP521 | Self::EccSecgP256k1
        )
    }

    /// Bytes in an RSA key's modulus; none for other keys.
    pub fn modulus_len(self) -> Option<usize> {
        match self {
            Self::Rsa2048 => Some(256),
            Self::Rsa3072 => Some(384),
            Self::Rsa4096 => Some(512),
            _ => None,
        }
    }

    /// Bytes in a key that is no pair; none for pairs.
    pub fn secret_len(self) -> Option<usize> {
        match self {
            Self::SymmetricDefault | Self::Hmac256 => Some(32),
            Self::Hmac224 => Some(28),
            Self::Hmac384 => Some(48),
            Self::Hmac512 => Some(64),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
