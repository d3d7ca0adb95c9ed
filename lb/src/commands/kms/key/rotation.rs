//! `sealgate kms key rotate`, `enable-rotation` and `rotations`.

use kms::api::{
    EnableKeyRotationRequest, GetKeyRotationStatusResponse, KeyIdResponse, ListKeyRotationsRequest,
    ListKeyRotationsResponse, Nothing, RotationsListEntry,
};
use serde_json::json;

use super::super::super::failure::Failure;
use super::super::super::output::Output;
use super::super::{Service, every_page, time};
use super::{KeyName, request};

pub(super) fn rotate(service: &Service<'_>, name: &KeyName) -> Result<(), Failure> {
    let answer: KeyIdResponse = service.call("RotateKeyOnDemand", &request(name))?;
    service.show(&answer, |_| {
        format!(
            "{} encrypts under new material; the old still decrypts.",
            name.key
        )
    })
}

pub(super) fn enable(service: &Service<'_>, name: &KeyName, days: u32) -> Result<(), Failure> {
    let input = EnableKeyRotationRequest {
        key_id: name.key.clone(),
        rotation_period_in_days: Some(days),
    };
    service.call::<Nothing>("EnableKeyRotation", &input)?;
    service.done(&format!("{} is rotated every {days} days.", name.key))
}

pub(super) fn list(service: &Service<'_>, name: &KeyName) -> Result<(), Failure> {
    let status: GetKeyRotationStatusResponse =
        service.call("GetKeyRotationStatus", &request(name))?;
    let rotations = every_page(|marker| {
        let input = ListKeyRotationsRequest {
            key_id: name.key.clone(),
            include_key_material: Some("ALL_KEY_MATERIAL".to_owned()),
            limit: None,
            marker,
        };
        let page: ListKeyRotationsResponse = service.call("ListKeyRotations", &input)?;
        Ok((page.rotations, page.next_marker))
    })?;
    let value = json!({ "Status": status, "Rotations": rotations });
    service.show(&value, |out| {
        format!("{}\n\n{}", schedule(&status), table(&rotations, out))
    })
}

fn schedule(status: &GetKeyRotationStatusResponse) -> String {
    match (status.rotation_period_in_days, status.next_rotation_date) {
        (Some(days), Some(next)) => format!("Rotated every {days} days, next on {}.", time(next)),
        _ => "Not rotated by itself.".to_owned(),
    }
}

fn table(rotations: &[RotationsListEntry], output: &Output) -> String {
    let mut table = output.table(["MATERIAL", "STATE", "ROTATED", "KIND"]);
    for rotation in rotations {
        table.row([
            rotation.key_material_id.clone(),
            rotation.key_material_state.clone(),
            rotation.rotation_date.map(time).unwrap_or_default(),
            rotation.rotation_type.clone().unwrap_or_default(),
        ]);
    }
    table.finish()
}
