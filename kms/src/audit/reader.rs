//! The records of a log as whoever looks at it reads them: in order, and without checking anything.

use std::path::PathBuf;

use serde::Deserialize;

use super::files::{Extent, Lines, LogFiles};
use crate::error::Error;
use crate::storage::SystemFiles;

/// Reads a log from front to back, also while it is being written.
pub struct LogReader {
    files: LogFiles<SystemFiles>,
    /// The file that is read, up to where, and how long it was then.
    file: u64,
    offset: u64,
    seen: u64,
    lines: Option<Lines>,
}

impl LogReader {
    /// Reads the log in `directory`, which may be none yet. Files that were ended before the time
    /// `since` (`2027-01-31T12:00:00.000Z`) are passed over.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(directory: PathBuf, since: Option<&str>) -> Result<Self, Error> {
        let files = LogFiles {
            files: SystemFiles,
            directory,
        };
        let mut first = 0;
        for extent in files.extents()? {
            if since.is_some_and(|since| !begins_before(&files, extent, since)) {
                break;
            }
            first = extent.number;
        }
        Ok(Self {
            files,
            file: first,
            offset: 0,
            seen: 0,
            lines: None,
        })
    }

    /// The next record as it stands in the log; none where there is none yet: more may come.
    ///
    /// # Errors
    /// What the system says.
    pub fn next_line(&mut self) -> Result<Option<String>, Error> {
        loop {
            if let Some(line) = self.next_in_file()? {
                return Ok(Some(line));
            }
            let extents = self.files.extents()?;
            let here = extents.iter().find(|extent| extent.number == self.file);
            if let Some(grown) = here.filter(|extent| extent.len > self.seen) {
                self.seen = grown.len;
                self.lines = Some(self.files.lines(*grown, self.offset)?);
                continue;
            }
            let Some(next) = extents.iter().find(|extent| extent.number > self.file) else {
                return Ok(None);
            };
            (self.file, self.offset, self.seen) = (next.number, 0, 0);
        }
    }

    fn next_in_file(&mut self) -> Result<Option<String>, Error> {
        let Some(lines) = &mut self.lines else {
            return Ok(None);
        };
        let Some((line, end)) = lines.next_line()? else {
            self.lines = None;
            return Ok(None);
        };
        self.offset = end;
        Ok(Some(String::from_utf8_lossy(line).into_owned()))
    }
}

/// Whether the first record of a file is from before a time. Times of that form are ordered as texts.
fn begins_before(files: &LogFiles<SystemFiles>, extent: Extent, time: &str) -> bool {
    let lines = files.lines(extent, 0);
    let first = lines.and_then(|mut lines| {
        let line = lines.next_line()?;
        Ok(line.and_then(|(line, _)| serde_json::from_slice::<AuditRecord>(line).ok()))
    });
    !matches!(first, Ok(Some(record)) if *record.event_time > *time)
}

/// A record as it is shown; of the log's own records, the members of calls are not there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// Its number.
    pub sequence: u64,
    /// When, in UTC.
    pub event_time: String,
    /// What kind of record it is.
    pub event_type: String,
    /// The operation.
    #[serde(default)]
    pub event_name: String,
    /// From where.
    #[serde(default, rename = "sourceIPAddress")]
    pub source_ip_address: String,
    /// Who.
    #[serde(default)]
    pub user_identity: RecordedIdentity,
    /// Names the call.
    #[serde(default, rename = "requestID")]
    pub request_id: String,
    /// What was asked for.
    #[serde(default)]
    pub request_parameters: serde_json::Map<String, serde_json::Value>,
    /// The keys that were used.
    #[serde(default)]
    pub resources: Vec<RecordedResource>,
    /// Why not: AWS's name of the exception.
    #[serde(default)]
    pub error_code: Option<String>,
    /// Why not, in words; of a gap, what the system said.
    #[serde(default, alias = "reason")]
    pub error_message: Option<String>,
}

/// Who called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RecordedIdentity {
    /// The ARN; empty for the product itself.
    pub arn: String,
    /// On whose behalf.
    pub invoked_by: Option<String>,
}

/// A key that was used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordedResource {
    /// Its ARN.
    #[serde(rename = "ARN")]
    pub arn: String,
}

impl AuditRecord {
    /// A call and its outcome.
    pub const CALL: &'static str = "AwsApiCall";
    /// A call that was about to change something.
    pub const BEGUN: &'static str = "AwsApiCallBegun";
    /// A time in which the log could not be written.
    pub const GAP: &'static str = "LogGap";

    /// The record that stands in a line; none where it is no record.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}
