//! Encryption of files of any length: the message format of the AWS Encryption SDK, version 2.
//!
//! The KMS encrypts at most 4,096 bytes. What is longer gets a data key of its own, which stands in the
//! message wrapped by the KMS; AWS's library, pointed at this KMS, opens the message, and what it writes is
//! opened here. The format is AWS's, <https://docs.aws.amazon.com/encryption-sdk/latest/developer-guide/message-format.html>:
//!
//! ```text
//! header    version 2, algorithm suite, message id, encryption context, wrapped data keys,
//!           length of a frame, key commitment; and a tag over it all
//! frames    number, nonce, ciphertext, tag; the last one says that it is
//! footer    a signature, with the suite that has one
//! ```
//! The message's key is HKDF-SHA512(data key, salt = message id, info = suite ‖ "DERIVEKEY"), the commitment
//! the same with "COMMITKEY" alone: a message opens under one data key and no other. Each frame is
//! AES-256-GCM with its number as nonce; number, length, message and whether it is the last are authenticated.
//!
//! What is written has the suite 0x0478 (without a signature: whoever may use the KMS key may make a message)
//! and frames of 64 KiB. What is read may have 0x0578 as well, whose signature (ECDSA on P-384) is verified.
//! Suites without key commitment, format version 1 with them, and messages of one single block are refused.
//!
//! Memory is constant: one frame. Each frame is verified before any of it is handed on, but only once
//! [`Message::decrypt`] returns is it known that none is missing: until then what was written is not the file.

mod decrypt;
mod encrypt;
mod error;
mod frame;
mod header;
mod keys;
#[cfg(test)]
mod tests;

pub use decrypt::Message;
pub use encrypt::{EncryptionMaterials, encrypt};
pub use error::FileError;
pub use header::{AlgorithmSuite, EncryptedDataKey};
