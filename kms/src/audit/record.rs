//! The log's own records, which stand between those of calls.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chain::{Link, push_hex, unhex};

/// A record that the log writes of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "eventType")]
pub(crate) enum OwnRecord {
    /// The first record of every file.
    LogStart(LogStart),
    /// Up to here the sealed database knows the log, or soon will.
    Checkpoint,
    /// The log could not be written for a while.
    LogGap(LogGap),
}

/// The first record of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogStart {
    pub(crate) format_version: u32,
    pub(crate) log_id: Uuid,
    /// Of this file, from 1.
    pub(crate) file: u64,
    /// The number of the last record of the file before; 0: there is none.
    pub(crate) previous_sequence: u64,
    /// Its MAC in hexadecimal.
    pub(crate) previous_mac: String,
    /// What stands unverified at the end of an earlier file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left_behind: Option<LeftBehind>,
}

/// Bytes that were no record when the log was opened again: what a crash left of one, or what
/// somebody put in its place. They are left where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftBehind {
    /// The number of the file.
    pub file: u64,
    /// From which byte on.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

/// Calls that have no record, since it could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogGap {
    /// When the first of them was to be written.
    pub(crate) since: String,
    /// How many were refused for want of a record.
    pub(crate) refused: u64,
    /// How many were answered without one.
    pub(crate) lost: u64,
    /// What the system said.
    pub(crate) reason: String,
}

impl OwnRecord {
    /// What stands between the braces.
    pub(crate) fn body(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("a record is plain data");
        json[1..json.len() - 1].to_vec()
    }

    /// The record whose [`body`](Self::body) that is.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        if !body.starts_with(OWN) {
            return None;
        }
        serde_json::from_slice(&[b"{", body, b"}"].concat()).ok()
    }
}

impl LogStart {
    pub(crate) fn new(log_id: Uuid, file: u64, previous: Link) -> Self {
        let mut previous_mac = Vec::new();
        push_hex(&previous.mac, &mut previous_mac);
        Self {
            format_version: FORMAT,
            log_id,
            file,
            previous_sequence: previous.sequence,
            previous_mac: previous_mac.into_iter().map(char::from).collect(),
            left_behind: None,
        }
    }

    /// The record that it follows.
    pub(crate) fn previous(&self) -> Option<Link> {
        Some(Link {
            sequence: self.previous_sequence,
            mac: unhex(self.previous_mac.as_bytes().try_into().ok()?)?,
        })
    }
}

/// How records of calls begin.
pub(crate) const CALL: &[u8] = b"\"eventType\":\"AwsApiCall";
const OWN: &[u8] = b"\"eventType\":\"";
const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_records_are_read_as_they_are_written() {
        let link = Link {
            sequence: 7,
            mac: [0xab; 32],
        };
        let mut start = LogStart::new(Uuid::nil(), 3, link);
        assert_eq!(start.previous(), Some(link));
        start.left_behind = Some(LeftBehind {
            file: 2,
            offset: 10,
            bytes: 5,
        });
        let gap = LogGap {
            since: "2027-01-31T12:00:00.000Z".to_owned(),
            refused: 3,
            lost: 0,
            reason: "no space".to_owned(),
        };
        for record in [
            OwnRecord::LogStart(start),
            OwnRecord::Checkpoint,
            OwnRecord::LogGap(gap),
        ] {
            assert_eq!(OwnRecord::parse(&record.body()), Some(record));
        }
        assert_eq!(
            OwnRecord::Checkpoint.body(),
            b"\"eventType\":\"Checkpoint\""
        );
        assert_eq!(OwnRecord::parse(b"\"eventType\":\"AwsApiCall\""), None);
    }
}
