//! What keys and certificates are, in the words of the admin protocol.

use std::time::SystemTime;

use certstore::{BrokenEntry, EntrySummary, Error};
use jiff::Timestamp;
use kms::audit::{Verification, file_name};
use kms::storage::FileStorage;
use kms::{Identity, RootInForce, StateDirectory};

use super::protocol::{AuditFault, AuditVerification, Entry, RefusedEntry, RootDescription};

/// The entries of a store from their clear headers, and the files that are none.
///
/// # Errors
/// When the store cannot be listed.
pub fn entries(directory: &StateDirectory) -> Result<(Vec<Entry>, Vec<RefusedEntry>), Error> {
    let files = FileStorage::new(directory.store_directory());
    let region = &directory.identity().region;
    let summaries = certstore::list(&files, directory.store_id(), region)?;
    Ok(told_apart(summaries, directory.identity()))
}

/// What a store has of the entry `name`, as [`entries`] says it.
///
/// # Errors
/// When it has nothing.
pub fn entry_parts(
    directory: &StateDirectory,
    name: &str,
) -> Result<(Vec<Entry>, Vec<RefusedEntry>), Error> {
    let files = FileStorage::new(directory.store_directory());
    let region = &directory.identity().region;
    let summaries = certstore::show(&files, directory.store_id(), region, name)?;
    Ok(told_apart(summaries, directory.identity()))
}

/// What a look at the audit log has shown.
pub fn verification(found: &Verification) -> AuditVerification {
    AuditVerification {
        files: found.files,
        records: found.records,
        calls: found.calls,
        first: found.first,
        last: found.last,
        checkpoint: found.checkpoint,
        gaps: found.gaps,
        remarks: audit_remarks(found),
        fault: found.fault.as_ref().map(|fault| AuditFault {
            record: fault.record,
            what: fault.kind.name().to_owned(),
            file: fault.file.clone(),
            offset: fault.offset,
            message: fault.to_string(),
        }),
    }
}

fn audit_remarks(found: &Verification) -> Vec<String> {
    let left = found.left_behind.iter().map(|left| {
        format!(
            "{} bytes at the end of {} (from byte {}) are no records: the log was left so by a crash, or \
             somebody edited what stood there after the last checkpoint",
            left.bytes,
            file_name(left.file),
            left.offset
        )
    });
    let mut remarks: Vec<_> = left.collect();
    if found.unfinished > 0 {
        remarks.push(format!(
            "the last {} bytes are the beginning of a record that is being written, or was when the \
             process ended",
            found.unfinished
        ));
    }
    if found.gaps > 0 {
        remarks.push(format!(
            "the log could not be written {} times; `sealgate audit show` says when, and what was refused",
            found.gaps
        ));
    }
    remarks
}

fn told_apart(
    summaries: Vec<Result<EntrySummary, BrokenEntry>>,
    identity: &Identity,
) -> (Vec<Entry>, Vec<RefusedEntry>) {
    let (mut entries, mut refused) = (Vec::new(), Vec::new());
    for summary in summaries {
        match summary {
            Ok(summary) => entries.push(entry(&summary, identity)),
            Err(unusable) => refused.push(broken(&unusable)),
        }
    }
    (entries, refused)
}

/// A time in RFC 3339, to the second; what lies beyond the calendar is its end.
pub fn time(time: SystemTime) -> String {
    let timestamp = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
    timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A root key.
pub fn root(root: &RootInForce) -> RootDescription {
    RootDescription {
        source: root.source.clone(),
        place: root.source.place(),
        fingerprint: root.fingerprint.to_string(),
        created: root.created.map(time),
        sharing: root
            .sharing
            .map(|sharing| (sharing.threshold, sharing.count)),
        moving: root.moving,
    }
}

/// An entry of the store of `identity`.
pub fn entry(summary: &EntrySummary, identity: &Identity) -> Entry {
    let certificate = summary.certificate.as_ref();
    let state = match certificate {
        Some(_) => "issued",
        None => "pending",
    };
    Entry {
        name: summary.name.clone(),
        key_type: summary.key_type.to_string(),
        state: state.to_owned(),
        names: summary.names.clone(),
        issuer: certificate.map(|c| c.issuer.clone()),
        serial: certificate.map(|c| c.serial.clone()),
        sha256: certificate.map(|c| c.sha256.clone()),
        not_before: certificate.map(|c| time(c.not_before)),
        not_after: certificate.map(|c| time(c.not_after)),
        exportable: summary.exportable,
        version: summary.version,
        kms_key: summary.kms_key.map(|key| identity.key_arn(key)),
        bucket_key: summary.bucket_key.map(|id| id.to_string()),
        file: summary.file.clone(),
    }
}

/// A file of the store that cannot be used.
pub fn broken(broken: &BrokenEntry) -> RefusedEntry {
    RefusedEntry {
        file: broken.file.clone(),
        reason: broken.reason.to_string(),
    }
}
