//! The audit log: one record for each call on a managed or customer key, which cannot be edited quietly.
//!
//! # The files
//! `STATE/audit/audit-NNNNNNNNNN.jsonl` (mode 0600, in a directory of mode 0700), numbered from 1, each
//! of at most [`AuditOptions::max_file_size`] bytes and one batch of records. Files are only ever
//! appended to, by one process, which holds the state directory's lock.
//!
//! # A record, format 1
//! One line of UTF-8, at most 128 KiB, which is a JSON object (RFC 8259) without any space between
//! its tokens:
//!
//! | bytes | what |
//! |---|---|
//! | 12 | `{"sequence":` |
//! | 1 to 20 | the record's number, decimal: 1 for the first of the log, one more for each |
//! | 14 | `,"eventTime":"` |
//! | 24 | when, in UTC: `2027-01-31T12:00:00.000Z` |
//! | 2 | `",` |
//! | n | the body: the other members, `"eventType"` first |
//! | 8 | `,"mac":"` |
//! | 64 | the MAC, in lower-case hexadecimal |
//! | 3 | `"}` and a line feed |
//!
//! The MAC is HMAC-SHA256 (RFC 2104) under the log's key, over the 32 bytes of the MAC of the record
//! before (zeroes before the first) and then the record's bytes up to its `,"mac":"`. So each record
//! is bound to all that stand before it.
//!
//! # The bodies
//! - `"eventType":"AwsApiCall"`: a call and its outcome, with the members of a CloudTrail event.
//! - `"eventType":"AwsApiCallBegun"`: a call that is about to change something. Its outcome follows in a
//!   record of its own with the same `requestID`; where none does, the process ended in between.
//! - `"eventType":"LogStart"`: the first record of each file: `formatVersion` (1), `logId`, `file` (its
//!   number), `previousSequence` and `previousMac` (the last record of the file before), and `leftBehind`
//!   (`file`, `offset`, `bytes`) where bytes that were no record stood at its end.
//! - `"eventType":"Checkpoint"`: every 1,000 records, and every 10 seconds in which there were any.
//! - `"eventType":"LogGap"`: the log could not be written: `since` when, how many calls were `refused` for
//!   that (or, in the mode `best_effort`, `lost`: answered without a record), and the `reason`.
//!
//! # Key and checkpoints
//! The key of the log is random, made with the log, and stands in the sealed database, as do the log's id
//! and its last checkpoint: number, MAC, file and offset. A log that ends before it was cut. (A key
//! that followed from the database key would be lost with every new root key.) The log is on the disk up
//! to a checkpoint before the database holds it, so that no crash looks like a cut.
//!
//! A MAC and not a signature: a checkpoint is a record like all others, since all authenticate
//! themselves; so the first edited record is named and not only the thousand among which it is, at a
//! tenth of a microsecond. Whoever verifies needs the database anyway, for the number of the last
//! checkpoint. What a signature would give, verification by those who cannot write, a holder of the root
//! key could undo all the same: against him, the log must be shipped elsewhere.
//!
//! # After a crash
//! What stands behind the last whole record (a torn line, most often) is left where it is; the next record
//! begins another file, whose first says which bytes those are. Records after the last checkpoint that do
//! not verify are left behind in the same way, and `verify` tells of them.
//!
//! # What it cannot do
//! Records after the last checkpoint can be cut off unseen, and who holds the root key can write any log.

mod anchor;
mod auditor;
mod call;
mod chain;
mod files;
mod hook;
mod log;
mod reader;
mod record;
mod resume;
mod time;
mod verify;
mod walk;

pub use anchor::{Anchor, AnchorStore};
pub use auditor::{AuditLog, AuditMode, AuditOptions, AuditStatus};
pub use chain::Link;
pub use files::{file_name, file_number};
pub use reader::{AuditRecord, LogReader, RecordedIdentity, RecordedResource};
pub use record::LeftBehind;
pub use verify::{Fault, FaultKind, Verification};

#[cfg(test)]
mod tests;
