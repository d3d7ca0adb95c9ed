//! Keys: create, describe, list, enable, disable, delete.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::Nothing;
use super::exception::Exception;
use super::names::{check_grant_tokens, key_ref, word};
use super::page::Page;
use super::rotation::expiration_model;
use super::shape::request;
use super::shapes::{
    BOOLEAN, CUSTOM_KEY_STORE_ID, CUSTOMER_MASTER_KEY_SPEC, DESCRIPTION, GRANT_TOKENS, KEY_ID,
    KEY_SPEC, KEY_USAGE, LIMIT, MARKER, ORIGIN, PENDING_WINDOW, POLICY, TAGS, XKS_KEY_ID,
};
use super::tags::Tag;
use super::time::Timestamp;
use crate::caller::Caller;
use crate::key::{KeyId, KeyOrigin, KeyState, KeyTier, MultiRegion};
use crate::service::{Kms, NewKey, NewPolicy};
use crate::spec::{KeySpec, KeyUsage};

request! {
    /// What `CreateKey` takes.
    #[derive(Default)]
    CreateKeyRequest {
        /// Its policy; none: the default one.
        policy: Option<String> = POLICY,
        /// For people.
        description: Option<String> = DESCRIPTION,
        /// What it is for.
        key_usage: Option<String> = KEY_USAGE,
        /// The former name of `KeySpec`.
        customer_master_key_spec: Option<String> = CUSTOMER_MASTER_KEY_SPEC,
        /// What its material is.
        key_spec: Option<String> = KEY_SPEC,
        /// Where its material comes from.
        origin: Option<String> = ORIGIN,
        /// Not supported.
        custom_key_store_id: Option<String> = CUSTOM_KEY_STORE_ID,
        /// Also where the policy's author could not change it again.
        bypass_policy_lockout_safety_check: Option<bool> = BOOLEAN,
        /// Its tags.
        tags: Option<Vec<Tag>> = TAGS,
        /// Whether it may have replicas in other regions.
        multi_region: Option<bool> = BOOLEAN,
        /// Not supported.
        xks_key_id: Option<String> = XKS_KEY_ID,
    }
}

request! {
    /// What `DescribeKey` takes.
    DescribeKeyRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// Not needed here.
        grant_tokens: Option<Vec<String>> = GRANT_TOKENS,
    }
}

request! {
    /// What an operation takes that needs to know the key alone.
    KeyRequest {
        /// Which key.
        key_id: String = KEY_ID,
    }
}

request! {
    /// What `UpdateKeyDescription` takes.
    UpdateKeyDescriptionRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// For people.
        description: String = DESCRIPTION,
    }
}

request! {
    /// What `ScheduleKeyDeletion` takes.
    ScheduleKeyDeletionRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// In so many days, 7 to 30; none: 30.
        pending_window_in_days: Option<u32> = PENDING_WINDOW,
    }
}

request! {
    /// What `ListKeys` takes.
    #[derive(Default)]
    ListKeysRequest {
        /// At most so many; none: 100.
        limit: Option<u32> = LIMIT,
        /// The `NextMarker` of the page before.
        marker: Option<String> = MARKER,
    }
}

request! {
    /// What `DescribeKeys` takes.
    #[derive(Default)]
    DescribeKeysRequest {
        /// This key alone.
        key_id: Option<String> = KEY_ID,
        /// At most so many; none: 100.
        limit: Option<u32> = LIMIT,
        /// The `NextMarker` of the page before.
        marker: Option<String> = MARKER,
    }
}

/// What `CreateKey` and `DescribeKey` answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyResponse {
    /// The key.
    pub key_metadata: KeyMetadata,
}

/// What is known of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyMetadata {
    /// The account.
    #[serde(rename = "AWSAccountId")]
    pub aws_account_id: String,
    /// Its id.
    pub key_id: String,
    /// Its ARN.
    pub arn: String,
    /// When it was created.
    pub creation_date: Timestamp,
    /// Whether it can be used.
    pub enabled: bool,
    /// For people.
    pub description: String,
    /// What it is for.
    pub key_usage: String,
    /// Whether it can be used, and why not.
    pub key_state: String,
    /// Where its material comes from.
    pub origin: String,
    /// `AWS` for a managed key, `CUSTOMER` for all others.
    pub key_manager: String,
    /// The former name of `KeySpec`.
    pub customer_master_key_spec: String,
    /// What its material is.
    pub key_spec: String,
    /// With what it encrypts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_algorithms: Option<Vec<String>>,
    /// With what it signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_algorithms: Option<Vec<String>>,
    /// How it agrees on secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_agreement_algorithms: Option<Vec<String>>,
    /// With what it makes MACs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_algorithms: Option<Vec<String>>,
    /// When it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_date: Option<Timestamp>,
    /// When its imported material is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Timestamp>,
    /// Whether its imported material is deleted one day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_model: Option<String>,
    /// Whether it may have replicas in other regions.
    pub multi_region: bool,
    /// What it is to other regions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_region_configuration: Option<MultiRegionConfiguration>,
    /// Which material encrypts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_key_material_id: Option<String>,
}

/// What a multi-region key is to other regions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MultiRegionConfiguration {
    /// `PRIMARY` or `REPLICA`.
    pub multi_region_key_type: String,
    /// The primary.
    pub primary_key: MultiRegionKey,
    /// The replicas.
    pub replica_keys: Vec<MultiRegionKey>,
}

/// A multi-region key in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MultiRegionKey {
    /// Its ARN.
    pub arn: String,
    /// Its region.
    pub region: String,
}

/// What `ScheduleKeyDeletion` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScheduleKeyDeletionResponse {
    /// The ARN of the key.
    pub key_id: String,
    /// When it is deleted.
    pub deletion_date: Option<Timestamp>,
    /// `PendingDeletion`.
    pub key_state: String,
    /// The days that were asked for.
    pub pending_window_in_days: u32,
}

/// What `ListKeys` answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListKeysResponse {
    /// The keys of this page.
    pub keys: Vec<KeyListEntry>,
    /// The marker of the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// Whether there is a next one.
    pub truncated: bool,
}

/// A key in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyListEntry {
    /// Its id.
    pub key_id: String,
    /// Its ARN.
    pub key_arn: String,
}

/// What `DescribeKeys` answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeKeysResponse {
    /// The keys of this page.
    pub keys: Vec<KeyDescription>,
    /// The marker of the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// Whether there is a next one.
    pub truncated: bool,
}

/// A key with what people want to see of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyDescription {
    /// The key.
    pub key_metadata: KeyMetadata,
    /// `managed` or `customer`.
    pub tier: KeyTier,
    /// The aliases that point to it.
    pub aliases: Vec<String>,
    /// When each generation of its material came into use, oldest first.
    pub backing_key_dates: Vec<Timestamp>,
}

/// What an operation answers that has no more to say than which key it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyIdResponse {
    /// The key.
    pub key_id: String,
}

pub(super) fn create_key(
    kms: &Kms,
    caller: &Caller,
    request: CreateKeyRequest,
) -> Result<KeyResponse, Exception> {
    let key = kms.create_key(caller, new_key(request)?)?;
    Ok(KeyResponse {
        key_metadata: metadata(kms, &key),
    })
}

fn new_key(request: CreateKeyRequest) -> Result<NewKey, Exception> {
    if request.custom_key_store_id.is_some() || request.xks_key_id.is_some() {
        return Err(Exception::unsupported("a custom key store"));
    }
    let bypass_lockout_check = request.bypass_policy_lockout_safety_check.unwrap_or(false);
    let policy = request.policy.map(|text| NewPolicy {
        text,
        bypass_lockout_check,
    });
    let spec = request.key_spec.or(request.customer_master_key_spec);
    let tags = request.tags.unwrap_or_default().into_iter();
    Ok(NewKey {
        description: request.description.unwrap_or_default(),
        alias: None,
        policy,
        spec: spec.as_deref().map(word).transpose()?.unwrap_or_default(),
        usage: request.key_usage.as_deref().map(word).transpose()?,
        origin: origin(request.origin.as_deref())?,
        tags: tags.map(|tag| (tag.tag_key, tag.tag_value)).collect(),
        multi_region: request.multi_region.unwrap_or(false),
    })
}

fn origin(named: Option<&str>) -> Result<KeyOrigin, Exception> {
    match named {
        None | Some("AWS_KMS") => Ok(KeyOrigin::AwsKms),
        Some("EXTERNAL") => Ok(KeyOrigin::External),
        Some(other) => Err(Exception::unsupported(other)),
    }
}

pub(super) fn describe_key(
    kms: &Kms,
    caller: &Caller,
    request: DescribeKeyRequest,
) -> Result<KeyResponse, Exception> {
    check_grant_tokens(request.grant_tokens.as_deref())?;
    let key = kms.describe_key(caller, &key_ref(&request.key_id)?)?;
    Ok(KeyResponse {
        key_metadata: metadata(kms, &key),
    })
}

pub(super) fn list_keys(
    kms: &Kms,
    caller: &Caller,
    request: ListKeysRequest,
) -> Result<ListKeysResponse, Exception> {
    let page = Page::new(request.limit, request.marker.as_deref(), 100)?;
    let listed = page.of(kms.list_keys(caller)?, |key| key.id.to_string());
    Ok(ListKeysResponse {
        truncated: listed.truncated(),
        next_marker: listed.next_marker,
        keys: listed
            .items
            .into_iter()
            .map(|key| KeyListEntry {
                key_id: key.id.to_string(),
                key_arn: key.arn,
            })
            .collect(),
    })
}

/// Sealgate's own: all keys with all that a list for people has, in one call.
pub(super) fn describe_keys(
    kms: &Kms,
    caller: &Caller,
    request: DescribeKeysRequest,
) -> Result<DescribeKeysResponse, Exception> {
    let page = Page::new(request.limit, request.marker.as_deref(), 100)?;
    let keys = match &request.key_id {
        Some(key) => vec![kms.describe_key(caller, &key_ref(key)?)?],
        None => kms.list_keys(caller)?,
    };
    let listed = page.of(keys, age);
    Ok(DescribeKeysResponse {
        truncated: listed.truncated(),
        next_marker: listed.next_marker,
        keys: listed
            .items
            .iter()
            .map(|key| description(kms, key))
            .collect(),
    })
}

/// A place in a list that is sorted by age.
fn age(key: &crate::key::KeyMetadata) -> String {
    let since = key.created.duration_since(SystemTime::UNIX_EPOCH);
    format!("{:020}{}", since.unwrap_or_default().as_millis(), key.id)
}

fn description(kms: &Kms, key: &crate::key::KeyMetadata) -> KeyDescription {
    let dates = key.backing_keys.iter();
    KeyDescription {
        key_metadata: metadata(kms, key),
        tier: key.tier,
        aliases: key.aliases.clone(),
        backing_key_dates: dates.map(|key| key.created.into()).collect(),
    }
}

pub(super) fn update_key_description(
    kms: &Kms,
    caller: &Caller,
    request: UpdateKeyDescriptionRequest,
) -> Result<Nothing, Exception> {
    let key = key_ref(&request.key_id)?;
    kms.update_key_description(caller, &key, &request.description)?;
    Ok(Nothing {})
}

pub(super) fn enable_key(
    kms: &Kms,
    caller: &Caller,
    request: KeyRequest,
) -> Result<Nothing, Exception> {
    kms.enable_key(caller, &key_ref(&request.key_id)?)?;
    Ok(Nothing {})
}

pub(super) fn disable_key(
    kms: &Kms,
    caller: &Caller,
    request: KeyRequest,
) -> Result<Nothing, Exception> {
    kms.disable_key(caller, &key_ref(&request.key_id)?)?;
    Ok(Nothing {})
}

pub(super) fn schedule_key_deletion(
    kms: &Kms,
    caller: &Caller,
    request: ScheduleKeyDeletionRequest,
) -> Result<ScheduleKeyDeletionResponse, Exception> {
    let window = request.pending_window_in_days;
    let key = kms.schedule_key_deletion(caller, &key_ref(&request.key_id)?, window)?;
    Ok(ScheduleKeyDeletionResponse {
        deletion_date: deletion_date(&key),
        key_state: key.state.as_str().to_owned(),
        key_id: key.arn,
        pending_window_in_days: window.unwrap_or(Kms::DEFAULT_PENDING_WINDOW),
    })
}

pub(super) fn cancel_key_deletion(
    kms: &Kms,
    caller: &Caller,
    request: KeyRequest,
) -> Result<KeyIdResponse, Exception> {
    let key = kms.cancel_key_deletion(caller, &key_ref(&request.key_id)?)?;
    Ok(KeyIdResponse { key_id: key.arn })
}

/// The algorithms of a key, by what it is for.
pub(super) struct Algorithms {
    pub(super) encryption: Option<Vec<String>>,
    pub(super) signing: Option<Vec<String>>,
    pub(super) key_agreement: Option<Vec<String>>,
    pub(super) mac: Option<Vec<String>>,
}

impl Algorithms {
    pub(super) fn of(spec: KeySpec, usage: KeyUsage) -> Self {
        let encrypts = usage == KeyUsage::EncryptDecrypt;
        let signs = usage == KeyUsage::SignVerify;
        let agrees = usage == KeyUsage::KeyAgreement;
        let makes_macs = usage == KeyUsage::GenerateVerifyMac;
        Self {
            encryption: encrypts.then(|| words(spec.encryption_algorithms())),
            signing: signs.then(|| words(spec.signing_algorithms())),
            key_agreement: agrees.then(|| words(spec.key_agreement_algorithms())),
            mac: makes_macs.then(|| words(spec.mac_algorithms())),
        }
    }
}

fn words<T: Copy + Into<&'static str>>(all: &[T]) -> Vec<String> {
    all.iter().map(|one| (*one).into().to_owned()).collect()
}

fn metadata(kms: &Kms, key: &crate::key::KeyMetadata) -> KeyMetadata {
    let algorithms = Algorithms::of(key.spec, key.usage);
    let imported = key.origin == KeyOrigin::External && key.state != KeyState::PendingImport;
    let expiration_model = || expiration_model(key.valid_to.is_some()).to_owned();
    let regions = key.multi_region.as_ref();
    let current = key.backing_keys.last().filter(|last| last.is_there);
    KeyMetadata {
        aws_account_id: kms.identity().account.clone(),
        key_id: key.id.to_string(),
        arn: key.arn.clone(),
        creation_date: key.created.into(),
        enabled: key.state == KeyState::Enabled,
        description: key.description.clone(),
        key_usage: key.usage.as_str().to_owned(),
        key_state: key.state.as_str().to_owned(),
        origin: key.origin.as_str().to_owned(),
        key_manager: manager(key.tier).to_owned(),
        customer_master_key_spec: key.spec.as_str().to_owned(),
        key_spec: key.spec.as_str().to_owned(),
        encryption_algorithms: algorithms.encryption,
        signing_algorithms: algorithms.signing,
        key_agreement_algorithms: algorithms.key_agreement,
        mac_algorithms: algorithms.mac,
        deletion_date: deletion_date(key),
        valid_to: key.valid_to.map(Timestamp::from),
        expiration_model: imported.then(expiration_model),
        multi_region: regions.is_some(),
        multi_region_configuration: regions.map(|regions| configuration(kms, key.id, regions)),
        current_key_material_id: current.map(|current| current.material_id.clone()),
    }
}

fn deletion_date(key: &crate::key::KeyMetadata) -> Option<Timestamp> {
    match key.state {
        KeyState::PendingDeletion { date } => Some(date.into()),
        KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport => None,
    }
}

fn configuration(kms: &Kms, id: KeyId, regions: &MultiRegion) -> MultiRegionConfiguration {
    let account = &kms.identity().account;
    let key = |region: &String| MultiRegionKey {
        arn: format!("arn:aws:kms:{region}:{account}:key/{id}"),
        region: region.clone(),
    };
    MultiRegionConfiguration {
        multi_region_key_type: regions.kind.as_str().to_owned(),
        primary_key: key(&regions.primary),
        replica_keys: regions.replicas.iter().map(key).collect(),
    }
}

fn manager(tier: KeyTier) -> &'static str {
    match tier {
        KeyTier::Owned | KeyTier::Managed => "AWS",
        KeyTier::Customer => "CUSTOMER",
    }
}
