//! Signatures, MACs, public keys, shared secrets.

use serde::{Deserialize, Serialize};

use super::blob::{Blob, SecretBlob};
use super::cryptography::{RECIPIENT, Recipient, refuse_recipient};
use super::exception::Exception;
use super::names::{check_grant_tokens, key_ref, trying, word};
use super::shape::request;
use super::shapes::{
    BOOLEAN, CIPHERTEXT, GRANT_TOKENS, KEY_AGREEMENT_ALGORITHM, KEY_ID, MAC_ALGORITHM,
    MESSAGE_TYPE, PLAINTEXT, PUBLIC_KEY, SIGNING_ALGORITHM,
};
use crate::caller::Caller;
use crate::key::KeyRef;
use crate::service::Kms;
use crate::spec::{KeyAgreementAlgorithm, MessageType};

request! {
    /// What `Sign` takes.
    SignRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// 1 to 4,096 bytes.
        message: SecretBlob = PLAINTEXT,
        /// Whether that is the message itself or its digest; none: the message.
        message_type: Option<String> = MESSAGE_TYPE,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
        /// With what.
        signing_algorithm: String = SIGNING_ALGORITHM,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
    }
}

request! {
    /// What `Verify` takes.
    VerifyRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// 1 to 4,096 bytes.
        message: SecretBlob = PLAINTEXT,
        /// Whether that is the message itself or its digest; none: the message.
        message_type: Option<String> = MESSAGE_TYPE,
        /// What `Sign` answered.
        signature: Blob = CIPHERTEXT,
        /// With what.
        signing_algorithm: String = SIGNING_ALGORITHM,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
    }
}

request! {
    /// What `GenerateMac` takes.
    GenerateMacRequest {
        /// 1 to 4,096 bytes.
        message: SecretBlob = PLAINTEXT,
        /// Which key.
        key_id: String = KEY_ID,
        /// With what.
        mac_algorithm: String = MAC_ALGORITHM,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
    }
}

request! {
    /// What `VerifyMac` takes.
    VerifyMacRequest {
        /// 1 to 4,096 bytes.
        message: SecretBlob = PLAINTEXT,
        /// Which key.
        key_id: String = KEY_ID,
        /// With what.
        mac_algorithm: String = MAC_ALGORITHM,
        /// What `GenerateMac` answered.
        mac: Blob = CIPHERTEXT,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
    }
}

request! {
    /// What `GetPublicKey` takes.
    GetPublicKeyRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
    }
}

request! {
    /// What `DeriveSharedSecret` takes.
    DeriveSharedSecretRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// With what.
        key_agreement_algorithm: String = KEY_AGREEMENT_ALGORITHM,
        /// The other's, a SubjectPublicKeyInfo in DER.
        public_key: Blob = PUBLIC_KEY,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
        /// Only whether it could be done.
        dry_run: Option<bool> = BOOLEAN,
        /// Not supported.
        recipient: Option<Recipient> = RECIPIENT,
    }
}

/// What `Sign` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SignResponse {
    /// The ARN of the key.
    pub key_id: String,
    /// The signature.
    pub signature: Blob,
    /// With what.
    pub signing_algorithm: String,
}

/// What `Verify` answers; a bad signature is an exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VerifyResponse {
    /// The ARN of the key.
    pub key_id: String,
    /// `true`.
    pub signature_valid: bool,
    /// With what.
    pub signing_algorithm: String,
}

/// What `GenerateMac` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GenerateMacResponse {
    /// The MAC.
    pub mac: Blob,
    /// With what.
    pub mac_algorithm: String,
    /// The ARN of the key.
    pub key_id: String,
}

/// What `VerifyMac` answers; a bad MAC is an exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VerifyMacResponse {
    /// The ARN of the key.
    pub key_id: String,
    /// `true`.
    pub mac_valid: bool,
    /// With what.
    pub mac_algorithm: String,
}

/// What `GetPublicKey` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetPublicKeyResponse {
    /// The ARN of the key.
    pub key_id: String,
    /// A SubjectPublicKeyInfo in DER (RFC 5280).
    pub public_key: Blob,
    /// The former name of `KeySpec`.
    pub customer_master_key_spec: String,
    /// What the key's material is.
    pub key_spec: String,
    /// What it is for.
    pub key_usage: String,
    /// With what it encrypts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_algorithms: Option<Vec<String>>,
    /// With what it signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_algorithms: Option<Vec<String>>,
    /// How it agrees on secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_agreement_algorithms: Option<Vec<String>>,
}

/// What `DeriveSharedSecret` answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeriveSharedSecretResponse {
    /// The ARN of the key.
    pub key_id: String,
    /// The secret.
    pub shared_secret: SecretBlob,
    /// With what.
    pub key_agreement_algorithm: String,
    /// Where the key's material comes from.
    pub key_origin: String,
}

pub(super) fn sign(
    kms: &Kms,
    caller: &Caller,
    request: SignRequest,
) -> Result<SignResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    let caller = &trying(caller, request.dry_run);
    let key = key_ref(&request.key_id)?;
    let algorithm = word(&request.signing_algorithm)?;
    let message_type = message_type(request.message_type.as_deref())?;
    let signature = kms.sign(caller, &key, algorithm, message_type, &request.message.0)?;
    Ok(SignResponse {
        key_id: arn(kms, &key)?,
        signature: Blob(signature),
        signing_algorithm: request.signing_algorithm,
    })
}

pub(super) fn verify(
    kms: &Kms,
    caller: &Caller,
    request: VerifyRequest,
) -> Result<VerifyResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    let caller = &trying(caller, request.dry_run);
    let key = key_ref(&request.key_id)?;
    let algorithm = word(&request.signing_algorithm)?;
    let message_type = message_type(request.message_type.as_deref())?;
    let (message, signature) = (&request.message.0, &request.signature.0);
    kms.verify(caller, &key, algorithm, message_type, message, signature)?;
    Ok(VerifyResponse {
        key_id: arn(kms, &key)?,
        signature_valid: true,
        signing_algorithm: request.signing_algorithm,
    })
}

pub(super) fn generate_mac(
    kms: &Kms,
    caller: &Caller,
    request: GenerateMacRequest,
) -> Result<GenerateMacResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    let caller = &trying(caller, request.dry_run);
    let key = key_ref(&request.key_id)?;
    let algorithm = word(&request.mac_algorithm)?;
    let mac = kms.generate_mac(caller, &key, algorithm, &request.message.0)?;
    Ok(GenerateMacResponse {
        mac: Blob(mac),
        mac_algorithm: request.mac_algorithm,
        key_id: arn(kms, &key)?,
    })
}

pub(super) fn verify_mac(
    kms: &Kms,
    caller: &Caller,
    request: VerifyMacRequest,
) -> Result<VerifyMacResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    let caller = &trying(caller, request.dry_run);
    let key = key_ref(&request.key_id)?;
    let algorithm = word(&request.mac_algorithm)?;
    kms.verify_mac(caller, &key, algorithm, &request.message.0, &request.mac.0)?;
    Ok(VerifyMacResponse {
        key_id: arn(kms, &key)?,
        mac_valid: true,
        mac_algorithm: request.mac_algorithm,
    })
}

pub(super) fn get_public_key(
    kms: &Kms,
    caller: &Caller,
    request: GetPublicKeyRequest,
) -> Result<GetPublicKeyResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    let key = key_ref(&request.key_id)?;
    let public_key = kms.get_public_key(caller, &key)?;
    let key = kms.known(&key)?;
    let spec = key.spec.as_str().to_owned();
    let algorithms = super::keys::Algorithms::of(key.spec, key.usage);
    Ok(GetPublicKeyResponse {
        key_id: key.arn,
        public_key: Blob(public_key),
        customer_master_key_spec: spec.clone(),
        key_spec: spec,
        key_usage: key.usage.as_str().to_owned(),
        encryption_algorithms: algorithms.encryption,
        signing_algorithms: algorithms.signing,
        key_agreement_algorithms: algorithms.key_agreement,
    })
}

pub(super) fn derive_shared_secret(
    kms: &Kms,
    caller: &Caller,
    request: DeriveSharedSecretRequest,
) -> Result<DeriveSharedSecretResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    refuse_recipient(request.recipient.as_ref())?;
    let caller = &trying(caller, request.dry_run);
    let key = key_ref(&request.key_id)?;
    let algorithm: KeyAgreementAlgorithm = word(&request.key_agreement_algorithm)?;
    let secret = kms.derive_shared_secret(caller, &key, algorithm, &request.public_key.0)?;
    let key = kms.known(&key)?;
    Ok(DeriveSharedSecretResponse {
        key_id: key.arn,
        shared_secret: SecretBlob::copy_of(secret.expose()),
        key_agreement_algorithm: request.key_agreement_algorithm,
        key_origin: key.origin.as_str().to_owned(),
    })
}

fn message_type(named: Option<&str>) -> Result<MessageType, Exception> {
    named.map_or(Ok(MessageType::Raw), word)
}

fn arn(kms: &Kms, key: &KeyRef) -> Result<String, Exception> {
    Ok(kms.identity().key_arn(kms.resolve(key)?))
}
