//! Rotation.

use serde::{Deserialize, Serialize};

use super::Nothing;
use super::exception::Exception;
use super::keys::{KeyIdResponse, KeyRequest};
use super::names::key_ref;
use super::page::Page;
use super::shape::request;
use super::shapes::{INCLUDE_KEY_MATERIAL, KEY_ID, LIMIT, MARKER, ROTATION_PERIOD};
use super::time::Timestamp;
use crate::caller::Caller;
use crate::key::{BackingKeyKind, BackingKeyMetadata, KeyMetadata, KeyOrigin};
use crate::service::Kms;

request! {
    /// What `EnableKeyRotation` takes.
    EnableKeyRotationRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// Every so many days; none: 365.
        rotation_period_in_days: Option<u32> = ROTATION_PERIOD,
    }
}

request! {
    /// What `ListKeyRotations` takes.
    ListKeyRotationsRequest {
        /// Which key.
        key_id: String = KEY_ID,
        /// Whether the material that it was created with is listed too.
        include_key_material: Option<String> = INCLUDE_KEY_MATERIAL,
        /// At most so many; none: 100.
        limit: Option<u32> = LIMIT,
        /// The `NextMarker` of the page before.
        marker: Option<String> = MARKER,
    }
}

/// What `GetKeyRotationStatus` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetKeyRotationStatusResponse {
    /// Whether the key is rotated by itself.
    pub key_rotation_enabled: bool,
    /// The ARN of the key.
    pub key_id: String,
    /// Every so many days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_period_in_days: Option<u32>,
    /// Next on this day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_rotation_date: Option<Timestamp>,
}

/// What `ListKeyRotations` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListKeyRotationsResponse {
    /// The rotations of this page.
    pub rotations: Vec<RotationsListEntry>,
    /// The marker of the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// Whether there is a next one.
    pub truncated: bool,
}

/// A rotation in a list, or the material that the key was created with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RotationsListEntry {
    /// The ARN of the key.
    pub key_id: String,
    /// Which material.
    pub key_material_id: String,
    /// Whether it is the one that encrypts.
    pub key_material_state: String,
    /// Whether imported material is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import_state: Option<String>,
    /// Whether imported material is deleted one day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_model: Option<String>,
    /// When it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Timestamp>,
    /// When it became the one that encrypts; not said of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_date: Option<Timestamp>,
    /// By itself or on demand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_type: Option<String>,
}

pub(super) fn enable_key_rotation(
    kms: &Kms,
    caller: &Caller,
    request: EnableKeyRotationRequest,
) -> Result<Nothing, Exception> {
    let key = key_ref(&request.key_id)?;
    kms.enable_key_rotation(caller, &key, request.rotation_period_in_days)?;
    Ok(Nothing {})
}

pub(super) fn disable_key_rotation(
    kms: &Kms,
    caller: &Caller,
    request: KeyRequest,
) -> Result<Nothing, Exception> {
    kms.disable_key_rotation(caller, &key_ref(&request.key_id)?)?;
    Ok(Nothing {})
}

pub(super) fn get_key_rotation_status(
    kms: &Kms,
    caller: &Caller,
    request: KeyRequest,
) -> Result<GetKeyRotationStatusResponse, Exception> {
    let key = key_ref(&request.key_id)?;
    let status = kms.get_key_rotation_status(caller, &key)?;
    let schedule = status.schedule.filter(|_| status.enabled);
    Ok(GetKeyRotationStatusResponse {
        key_rotation_enabled: status.enabled,
        key_id: kms.identity().key_arn(kms.resolve(&key)?),
        rotation_period_in_days: schedule.map(|schedule| schedule.period_days),
        next_rotation_date: schedule.map(|schedule| schedule.next.into()),
    })
}

pub(super) fn rotate_key_on_demand(
    kms: &Kms,
    caller: &Caller,
    request: KeyRequest,
) -> Result<KeyIdResponse, Exception> {
    let key = kms.rotate_key(caller, &key_ref(&request.key_id)?)?;
    Ok(KeyIdResponse { key_id: key.arn })
}

pub(super) fn list_key_rotations(
    kms: &Kms,
    caller: &Caller,
    request: ListKeyRotationsRequest,
) -> Result<ListKeyRotationsResponse, Exception> {
    let page = Page::new(request.limit, request.marker.as_deref(), 100)?;
    let all = request.include_key_material.as_deref() == Some("ALL_KEY_MATERIAL");
    let key = key_ref(&request.key_id)?;
    kms.list_key_rotations(caller, &key)?;
    let key = kms.known(&key)?;
    let current = key.backing_keys.last().map_or(0, |last| last.number);
    let shown = |backing: &&BackingKeyMetadata| all || backing.kind != BackingKeyKind::Initial;
    let shown: Vec<_> = key.backing_keys.iter().filter(shown).collect();
    let listed = page.of(shown, |backing| format!("{:010}", backing.number));
    Ok(ListKeyRotationsResponse {
        truncated: listed.truncated(),
        next_marker: listed.next_marker,
        rotations: listed
            .items
            .into_iter()
            .map(|backing| entry(&key, backing, current))
            .collect(),
    })
}

fn entry(key: &KeyMetadata, backing: &BackingKeyMetadata, current: u32) -> RotationsListEntry {
    let imported = key.origin == KeyOrigin::External;
    let rotated = backing.kind != BackingKeyKind::Initial;
    RotationsListEntry {
        key_id: key.arn.clone(),
        key_material_id: backing.material_id.clone(),
        key_material_state: match backing.number == current {
            true => "CURRENT".to_owned(),
            false => "NON_CURRENT".to_owned(),
        },
        import_state: imported.then(|| import_state(backing).to_owned()),
        expiration_model: imported.then(|| expiration_model(backing.valid_to.is_some()).to_owned()),
        valid_to: backing.valid_to.map(Timestamp::from),
        rotation_date: rotated.then(|| backing.created.into()),
        rotation_type: rotation_type(backing.kind).map(str::to_owned),
    }
}

fn import_state(backing: &BackingKeyMetadata) -> &'static str {
    match backing.is_there {
        true => "IMPORTED",
        false => "PENDING_IMPORT",
    }
}

/// AWS's word for whether imported material is deleted one day.
pub(super) fn expiration_model(expires: bool) -> &'static str {
    match expires {
        true => "KEY_MATERIAL_EXPIRES",
        false => "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }
}

fn rotation_type(kind: BackingKeyKind) -> Option<&'static str> {
    match kind {
        BackingKeyKind::Initial => None,
        BackingKeyKind::Automatic => Some("AUTOMATIC"),
        BackingKeyKind::OnDemand => Some("ON_DEMAND"),
    }
}
