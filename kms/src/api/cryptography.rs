//! Encrypt, decrypt, re-encrypt, data keys and pairs, randomness.

use serde::{Deserialize, Serialize};

use super::blob::{Blob, SecretBlob};
use super::exception::Exception;
use super::names::{check_grant_tokens, key_ref, trying, word};
use super::shape::{Shape, Structure, request};
use super::shapes::{
    ATTESTATION_DOCUMENT, BOOLEAN, CIPHERTEXT, CONTEXT, CUSTOM_KEY_STORE_ID, DATA_KEY_PAIR_SPEC,
    DATA_KEY_SPEC, DRY_RUN_MODIFIERS, ENCRYPTION_ALGORITHM, GRANT_TOKENS, KEY_ENCRYPTION_MECHANISM,
    KEY_ID, NUMBER_OF_BYTES, PLAINTEXT,
};
use crate::caller::Caller;
use crate::context::EncryptionContext;
use crate::error::Error;
use crate::key::KeyRef;
use crate::message;
use crate::service::{DataKeyPairBlob, Kms, ReEncryptSource};
use crate::spec::EncryptionAlgorithm;

request! {
    /// What `Encrypt` takes.
    EncryptRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// 1 to 4,096 bytes.
        plaintext: SecretBlob = PLAINTEXT,
        /// What is bound to the ciphertext.
        encryption_context: Option<EncryptionContext> = CONTEXT,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
        /// With what.
        encryption_algorithm: Option<String> = ENCRYPTION_ALGORITHM,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
    }
}

request! {
    /// For whose eyes alone an answer is. Not supported.
    Recipient {
        /// With what it is encrypted.
        key_encryption_algorithm: Option<String> = KEY_ENCRYPTION_MECHANISM,
        /// Who it is.
        attestation_document: Option<Blob> = ATTESTATION_DOCUMENT,
    }
}

pub(super) static RECIPIENT: Shape = Shape::Structure(Recipient::MEMBERS);

request! {
    /// What `Decrypt` takes.
    DecryptRequest {
        /// What `Encrypt` or `GenerateDataKey` answered.
        ciphertext_blob: Option<Blob> = CIPHERTEXT,
        /// What was bound to it.
        encryption_context: Option<EncryptionContext> = CONTEXT,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
        /// The key that it must be of.
        key_id: Option<String> = KEY_ID,
        /// With what.
        encryption_algorithm: Option<String> = ENCRYPTION_ALGORITHM,
        /// Not supported.
        recipient: Option<Recipient> = RECIPIENT,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
        /// Not supported.
        dry_run_modifiers: Option<Vec<String>> = DRY_RUN_MODIFIERS,
    }
}

request! {
    /// What `ReEncrypt` takes.
    ReEncryptRequest {
        /// What `Encrypt` or `GenerateDataKey` answered.
        ciphertext_blob: Option<Blob> = CIPHERTEXT,
        /// What was bound to it.
        source_encryption_context: Option<EncryptionContext> = CONTEXT,
        /// The key that it must be of.
        source_key_id: Option<String> = KEY_ID,
        /// Under which key then.
        destination_key_id: String = KEY_ID,
        /// What is bound to it then.
        destination_encryption_context: Option<EncryptionContext> = CONTEXT,
        /// With what it is encrypted.
        source_encryption_algorithm: Option<String> = ENCRYPTION_ALGORITHM,
        /// With what then.
        destination_encryption_algorithm: Option<String> = ENCRYPTION_ALGORITHM,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
        /// Not supported.
        dry_run_modifiers: Option<Vec<String>> = DRY_RUN_MODIFIERS,
    }
}

request! {
    /// What `GenerateDataKey` takes.
    GenerateDataKeyRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// What is bound to the wrapped key.
        encryption_context: Option<EncryptionContext> = CONTEXT,
        /// How long, in bytes; or
        number_of_bytes: Option<u32> = NUMBER_OF_BYTES,
        /// `AES_256` or `AES_128`.
        key_spec: Option<String> = DATA_KEY_SPEC,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
        /// Not supported.
        recipient: Option<Recipient> = RECIPIENT,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
    }
}

request! {
    /// What `GenerateDataKeyWithoutPlaintext` takes.
    GenerateDataKeyWithoutPlaintextRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// What is bound to the wrapped key.
        encryption_context: Option<EncryptionContext> = CONTEXT,
        /// `AES_256` or `AES_128`; or
        key_spec: Option<String> = DATA_KEY_SPEC,
        /// how long, in bytes.
        number_of_bytes: Option<u32> = NUMBER_OF_BYTES,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
    }
}

request! {
    /// What `GenerateDataKeyPair` takes.
    GenerateDataKeyPairRequest {
        /// What is bound to the encrypted private key.
        encryption_context: Option<EncryptionContext> = CONTEXT,
        /// Which key.
        key_id: String = KEY_ID,
        /// What pair.
        key_pair_spec: String = DATA_KEY_PAIR_SPEC,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
        /// Not supported.
        recipient: Option<Recipient> = RECIPIENT,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
    }
}

request! {
    /// What `GenerateDataKeyPairWithoutPlaintext` takes.
    GenerateDataKeyPairWithoutPlaintextRequest {
        /// What is bound to the encrypted private key.
        encryption_context: Option<EncryptionContext> = CONTEXT,
        /// Which key.
        key_id: String = KEY_ID,
        /// What pair.
        key_pair_spec: String = DATA_KEY_PAIR_SPEC,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
    }
}

request! {
    /// What `GenerateRandom` takes.
    GenerateRandomRequest {
        /// So many.
        number_of_bytes: Option<u32> = NUMBER_OF_BYTES,
        /// Not supported.
        custom_key_store_id: Option<String> = CUSTOM_KEY_STORE_ID,
        /// Not supported.
        recipient: Option<Recipient> = RECIPIENT,
    }
}

/// What `Encrypt` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EncryptResponse {
    /// The ciphertext.
    pub ciphertext_blob: Blob,
    /// The ARN of the key.
    pub key_id: String,
    /// With what.
    pub encryption_algorithm: String,
}

/// What `Decrypt` answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DecryptResponse {
    /// The ARN of the key.
    pub key_id: String,
    /// What was encrypted.
    pub plaintext: SecretBlob,
    /// With what.
    pub encryption_algorithm: String,
}

/// What `ReEncrypt` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReEncryptResponse {
    /// The new ciphertext.
    pub ciphertext_blob: Blob,
    /// The ARN of the key that opened the old one.
    pub source_key_id: String,
    /// The ARN of the key.
    pub key_id: String,
    /// With what the old one was encrypted.
    pub source_encryption_algorithm: String,
    /// With what.
    pub destination_encryption_algorithm: String,
}

/// What `GenerateDataKey` answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateDataKeyResponse {
    /// The data key, wrapped.
    pub ciphertext_blob: Blob,
    /// The data key, in plain.
    pub plaintext: SecretBlob,
    /// The ARN of the key.
    pub key_id: String,
}

/// What `GenerateDataKeyWithoutPlaintext` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateDataKeyWithoutPlaintextResponse {
    /// The data key, wrapped.
    pub ciphertext_blob: Blob,
    /// The ARN of the key.
    pub key_id: String,
}

/// What `GenerateDataKeyPair` and `GenerateDataKeyPairWithoutPlaintext` answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateDataKeyPairResponse {
    /// The private key, encrypted.
    pub private_key_ciphertext_blob: Blob,
    /// The private key, PKCS#8 in DER (RFC 5958), where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key_plaintext: Option<SecretBlob>,
    /// The public key, a SubjectPublicKeyInfo in DER (RFC 5280).
    pub public_key: Blob,
    /// The ARN of the key.
    pub key_id: String,
    /// What pair.
    pub key_pair_spec: String,
}

/// What `GenerateRandom` answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateRandomResponse {
    /// The random bytes.
    pub plaintext: SecretBlob,
}

pub(super) fn encrypt(
    kms: &Kms,
    caller: &Caller,
    request: EncryptRequest,
) -> Result<EncryptResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    let caller = &trying(caller, request.dry_run);
    let key = key_ref(&request.key_id)?;
    let algorithm = algorithm(request.encryption_algorithm.as_deref())?;
    let context = context_for(algorithm, request.encryption_context)?;
    let plaintext = &request.plaintext.0;
    let ciphertext = kms.encrypt_with(caller, &key, algorithm, &context, plaintext)?;
    Ok(EncryptResponse {
        ciphertext_blob: Blob(ciphertext),
        key_id: kms.known(&key)?.arn,
        encryption_algorithm: algorithm.as_str().to_owned(),
    })
}

pub(super) fn decrypt(
    kms: &Kms,
    caller: &Caller,
    request: DecryptRequest,
) -> Result<DecryptResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    refuse_recipient(request.recipient.as_ref())?;
    refuse_modifiers(request.dry_run_modifiers.as_deref())?;
    let caller = &trying(caller, request.dry_run);
    let algorithm = algorithm(request.encryption_algorithm.as_deref())?;
    let context = context_for(algorithm, request.encryption_context)?;
    let blob = ciphertext(request.ciphertext_blob)?;
    let key = request.key_id.as_deref().map(key_ref).transpose()?;
    let plaintext = match &key {
        Some(key) => kms.decrypt_with(caller, key, algorithm, &blob, &context)?,
        None => {
            require_symmetric(algorithm)?;
            kms.decrypt(caller, &blob, &context)?
        }
    };
    Ok(DecryptResponse {
        key_id: arn_of(kms, key.as_ref(), &blob)?,
        plaintext: SecretBlob(plaintext),
        encryption_algorithm: algorithm.as_str().to_owned(),
    })
}

pub(super) fn re_encrypt(
    kms: &Kms,
    caller: &Caller,
    request: ReEncryptRequest,
) -> Result<ReEncryptResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    refuse_modifiers(request.dry_run_modifiers.as_deref())?;
    let caller = &trying(caller, request.dry_run);
    let from_algorithm = algorithm(request.source_encryption_algorithm.as_deref())?;
    let to_algorithm = algorithm(request.destination_encryption_algorithm.as_deref())?;
    let from_context = context_for(from_algorithm, request.source_encryption_context)?;
    let to_context = context_for(to_algorithm, request.destination_encryption_context)?;
    let blob = ciphertext(request.ciphertext_blob)?;
    let from_key = request.source_key_id.as_deref().map(key_ref).transpose()?;
    if from_key.is_none() {
        require_symmetric(from_algorithm)?;
    }
    let to = key_ref(&request.destination_key_id)?;
    let from = ReEncryptSource {
        blob: &blob,
        key: from_key.as_ref(),
        algorithm: from_algorithm,
        context: &from_context,
    };
    let new = kms.re_encrypt_with(caller, &from, &to, to_algorithm, &to_context)?;
    Ok(ReEncryptResponse {
        ciphertext_blob: Blob(new),
        source_key_id: arn_of(kms, from_key.as_ref(), &blob)?,
        key_id: kms.known(&to)?.arn,
        source_encryption_algorithm: from_algorithm.as_str().to_owned(),
        destination_encryption_algorithm: to_algorithm.as_str().to_owned(),
    })
}

pub(super) fn generate_data_key(
    kms: &Kms,
    caller: &Caller,
    request: GenerateDataKeyRequest,
) -> Result<GenerateDataKeyResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    refuse_recipient(request.recipient.as_ref())?;
    let caller = &trying(caller, request.dry_run);
    let length = data_key_length(request.key_spec.as_deref(), request.number_of_bytes)?;
    let key = key_ref(&request.key_id)?;
    let context = request.encryption_context.unwrap_or_default();
    let (plaintext, wrapped) = kms.generate_data_key_of(caller, &key, &context, length)?;
    Ok(GenerateDataKeyResponse {
        ciphertext_blob: Blob(wrapped),
        plaintext: SecretBlob::copy_of(plaintext.expose()),
        key_id: kms.known(&key)?.arn,
    })
}

pub(super) fn generate_data_key_without_plaintext(
    kms: &Kms,
    caller: &Caller,
    request: GenerateDataKeyWithoutPlaintextRequest,
) -> Result<GenerateDataKeyWithoutPlaintextResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    let caller = &trying(caller, request.dry_run);
    let length = data_key_length(request.key_spec.as_deref(), request.number_of_bytes)?;
    let key = key_ref(&request.key_id)?;
    let context = request.encryption_context.unwrap_or_default();
    let wrapped = kms.generate_data_key_without_plaintext(caller, &key, &context, length)?;
    Ok(GenerateDataKeyWithoutPlaintextResponse {
        ciphertext_blob: Blob(wrapped),
        key_id: kms.known(&key)?.arn,
    })
}

pub(super) fn generate_data_key_pair(
    kms: &Kms,
    caller: &Caller,
    request: GenerateDataKeyPairRequest,
) -> Result<GenerateDataKeyPairResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    refuse_recipient(request.recipient.as_ref())?;
    let caller = &trying(caller, request.dry_run);
    let key = key_ref(&request.key_id)?;
    let context = request.encryption_context.unwrap_or_default();
    let spec = word(&request.key_pair_spec)?;
    let pair = kms.generate_data_key_pair(caller, &key, &context, spec)?;
    pair_response(kms, &key, request.key_pair_spec, pair)
}

pub(super) fn generate_data_key_pair_without_plaintext(
    kms: &Kms,
    caller: &Caller,
    request: GenerateDataKeyPairWithoutPlaintextRequest,
) -> Result<GenerateDataKeyPairResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    let caller = &trying(caller, request.dry_run);
    let key = key_ref(&request.key_id)?;
    let context = request.encryption_context.unwrap_or_default();
    let spec = word(&request.key_pair_spec)?;
    let pair = kms.generate_data_key_pair_without_plaintext(caller, &key, &context, spec)?;
    pair_response(kms, &key, request.key_pair_spec, pair)
}

fn pair_response(
    kms: &Kms,
    key: &KeyRef,
    key_pair_spec: String,
    pair: DataKeyPairBlob,
) -> Result<GenerateDataKeyPairResponse, Exception> {
    let private_key = pair.private_key.as_ref();
    Ok(GenerateDataKeyPairResponse {
        private_key_ciphertext_blob: Blob(pair.private_key_blob),
        private_key_plaintext: private_key.map(|key| SecretBlob::copy_of(key.expose())),
        public_key: Blob(pair.public_key),
        key_id: kms.known(key)?.arn,
        key_pair_spec,
    })
}

pub(super) fn generate_random(
    kms: &Kms,
    caller: &Caller,
    request: GenerateRandomRequest,
) -> Result<GenerateRandomResponse, Exception> {
    refuse_recipient(request.recipient.as_ref())?;
    if request.custom_key_store_id.is_some() {
        return Err(Exception::unsupported("a custom key store"));
    }
    let bytes = request.number_of_bytes;
    let bytes = bytes.ok_or_else(|| Exception::missing("numberOfBytes"))?;
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    Ok(GenerateRandomResponse {
        plaintext: SecretBlob(kms.generate_random(caller, length)?),
    })
}

/// Bytes of the data key that is asked for.
fn data_key_length(spec: Option<&str>, bytes: Option<u32>) -> Result<usize, Exception> {
    match (spec, bytes) {
        (Some("AES_128"), None) => Ok(16),
        (Some(_), None) => Ok(32),
        (None, Some(bytes)) => Ok(usize::try_from(bytes).unwrap_or(usize::MAX)),
        (Some(_), Some(_)) | (None, None) => Err(Exception::validation(
            "Please specify either number of bytes or key spec.",
        )),
    }
}

fn algorithm(named: Option<&str>) -> Result<EncryptionAlgorithm, Exception> {
    named.map_or(Ok(EncryptionAlgorithm::SymmetricDefault), word)
}

/// The context, which symmetric keys alone have.
fn context_for(
    algorithm: EncryptionAlgorithm,
    context: Option<EncryptionContext>,
) -> Result<EncryptionContext, Exception> {
    match context {
        Some(_) if algorithm != EncryptionAlgorithm::SymmetricDefault => Err(
            Exception::validation(format!("{algorithm} has no encryption context")),
        ),
        context => Ok(context.unwrap_or_default()),
    }
}

/// Only a symmetric ciphertext says of which key it is.
fn require_symmetric(algorithm: EncryptionAlgorithm) -> Result<(), Exception> {
    match algorithm {
        EncryptionAlgorithm::SymmetricDefault => Ok(()),
        _ => Err(Exception::missing("keyId")),
    }
}

fn ciphertext(blob: Option<Blob>) -> Result<Vec<u8>, Exception> {
    let blob = blob.ok_or_else(|| Exception::missing("ciphertextBlob"))?;
    Ok(blob.0)
}

/// The ARN of the key that was named, or that a ciphertext names.
fn arn_of(kms: &Kms, named: Option<&KeyRef>, blob: &[u8]) -> Result<String, Exception> {
    match named {
        Some(key) => Ok(kms.known(key)?.arn),
        None => {
            let header = message::header(blob).ok_or(Error::MalformedCiphertext)?;
            Ok(kms.identity().key_arn(header.key_id))
        }
    }
}

/// Refuses to answer for the eyes of an enclave alone.
///
/// # Errors
/// `UnsupportedOperationException`.
pub(super) fn refuse_recipient(recipient: Option<&Recipient>) -> Result<(), Exception> {
    match recipient {
        None => Ok(()),
        Some(_) => Err(Exception::unsupported("Recipient")),
    }
}

fn refuse_modifiers(modifiers: Option<&[String]>) -> Result<(), Exception> {
    match modifiers {
        None | Some([]) => Ok(()),
        Some(_) => Err(Exception::unsupported("DryRunModifiers")),
    }
}
