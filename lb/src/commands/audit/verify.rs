//! `sealgate audit verify`: whether the audit log is whole.

use clap::Args;

use super::super::ask::unexpected;
use super::super::failure::Failure;
use super::super::output::count;
use super::super::session::Session;
use crate::admin::protocol::{AuditVerification, Request, Response};
use crate::admin::wire::Secret;

/// Options of `sealgate audit verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Files at the beginning of the log were archived: look from the first on that is there
    #[arg(long)]
    pub archived: bool,
}

pub(super) fn run(session: &Session, options: &Verify) -> Result<(), Failure> {
    let request = Request::AuditVerify {
        archived: options.archived,
    };
    let done = session.perform(request, Secret::default())?;
    let Response::AuditVerified(found) = &done else {
        return Err(unexpected(&done));
    };
    session.output.result(found, |_| text(found))?;
    match found.fault {
        None => Ok(()),
        Some(_) => Err(Failure::shown(1)),
    }
}

fn text(found: &AuditVerification) -> String {
    let mut lines = Vec::new();
    if let Some(fault) = &found.fault {
        lines.push(format!("BAD  {}", fault.message));
    }
    lines.extend(found.remarks.iter().map(|remark| format!("     {remark}")));
    lines.push(match (&found.fault, found.records) {
        (None, 0) => "The audit log is empty.".to_owned(),
        (None, _) => format!(
            "The audit log is whole: {} in {}, from record {} to {}.",
            count(found.records, "record"),
            count(found.files, "file"),
            found.first,
            found.last
        ),
        (Some(_), 0) => "The audit log is not whole.".to_owned(),
        (Some(_), _) => format!(
            "The audit log is not whole. Records {} to {} are as they were written.",
            found.first, found.last
        ),
    });
    lines.push(bounds(found));
    lines.join("\n")
}

/// What this cannot say.
fn bounds(found: &AuditVerification) -> String {
    let known = match found.checkpoint {
        0 => "The key database holds no checkpoint of it yet.".to_owned(),
        number => format!("The key database holds a checkpoint of it at record {number}."),
    };
    format!(
        "{known} Records after the last checkpoint could have been cut off unseen, and whoever holds the \
         root key could have written all of it: what has to stand against them must be shipped \
         elsewhere as it is written."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::protocol::AuditFault;

    #[test]
    fn a_fault_comes_first_and_the_bounds_are_told() {
        let mut found = AuditVerification {
            files: 1,
            records: 12,
            calls: 9,
            first: 1,
            last: 12,
            checkpoint: 10,
            gaps: 0,
            remarks: Vec::new(),
            fault: None,
        };
        let whole = text(&found);
        assert!(
            whole.starts_with("The audit log is whole: 12 records in 1 file, from record 1 to 12.")
        );
        assert!(
            whole.contains("checkpoint of it at record 10") && whole.contains("shipped elsewhere")
        );
        found.fault = Some(AuditFault {
            record: 13,
            what: "edited".to_owned(),
            file: "audit-0000000001.jsonl".to_owned(),
            offset: 7000,
            message: "record 13 was edited".to_owned(),
        });
        assert!(text(&found).starts_with("BAD  record 13 was edited\n"));
    }
}
