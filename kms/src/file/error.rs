//! What can go wrong with an encrypted file.

use std::io;

/// Why a file was not encrypted, or not decrypted.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The input ends with an error.
    #[error("cannot read: {0}")]
    Read(io::Error),
    /// The output takes no more.
    #[error("cannot write: {0}")]
    Write(io::Error),
    /// It is something else.
    #[error(
        "this is no message of the AWS Encryption SDK; what `sealgate kms encrypt` made without --file is \
         decrypted without it"
    )]
    NotAMessage,
    /// It is of a kind that is not opened here.
    #[error("this message is not opened here: {0}")]
    Unsupported(String),
    /// It cannot have been written so.
    #[error("the message is damaged: {0}")]
    Malformed(&'static str),
    /// It ends too early.
    #[error("the message is cut short in {0}: get the whole file again")]
    Truncated(String),
    /// Something follows the message.
    #[error("something follows the end of the message: it was changed after it was made")]
    Trailing,
    /// It is not what was encrypted.
    #[error("the message was changed after it was made: {0} is not what was written")]
    Tampered(String),
    /// The data key is not the message's.
    #[error(
        "the message was not made with this data key: its header was changed, or its data keys are of \
         different messages"
    )]
    Uncommitted,
    /// The encryption context cannot stand in a message.
    #[error("the encryption context {0}")]
    Context(String),
    /// More frames than can be numbered.
    #[error("the file is too long for one message: split it below 2^48 bytes")]
    TooLong,
}
