//! `sealgate audit show`: the records of the audit log that somebody looks for.

use std::collections::{HashMap, VecDeque};
use std::thread;
use std::time::{Duration, SystemTime};

use clap::Args;
use jiff::Timestamp;
use kms::KeyRef;
use kms::audit::{AuditRecord, LogReader};

use super::super::failure::Failure;
use super::super::output::Format;
use super::super::session::Session;
use super::super::words::key_ref;

/// Options of `sealgate audit show`.
#[derive(Debug, Default, Args)]
pub struct Show {
    /// Only calls of this principal: an ARN, or the name of a user or role
    #[arg(long, value_name = "PRINCIPAL")]
    pub principal: Option<String>,
    /// Only calls of this operation: `Decrypt` or `kms:Decrypt`
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// Only calls on this key: id, ARN, or the alias by which it was called
    #[arg(long, value_name = "KEY", value_parser = key_ref)]
    pub key: Option<String>,
    /// Only from this time on
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<String>,
    /// Only up to this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<String>,
    /// Only calls that were denied
    #[arg(long)]
    pub denied: bool,
    /// Only the last N [default: 100 as text, all as JSON]
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Go on with what is written from now on, until Ctrl-C
    #[arg(long)]
    pub follow: bool,
}

pub(super) fn run(session: &Session, options: &Show) -> Result<(), Failure> {
    let directory = session.directory()?.audit_directory();
    let opened = LogReader::open(directory, options.since.as_deref());
    let mut reader = opened.map_err(Failure::failed)?;
    match session.output.format() {
        Format::Json => show_lines(session, options, &mut reader),
        Format::Text => show_table(session, options, &mut reader),
    }
}

/// The records as they stand in the log.
fn show_lines(session: &Session, options: &Show, reader: &mut LogReader) -> Result<(), Failure> {
    let mut last = Last::new(options.limit);
    while let Some(line) = reader.next_line().map_err(Failure::failed)? {
        let wanted = AuditRecord::parse(&line).is_some_and(|record| options.wants(&record));
        if let Some(line) = wanted.then(|| last.push(line)).flatten() {
            session.output.print(&line)?;
        }
    }
    for line in last.0.into_iter().flatten() {
        session.output.print(&line)?;
    }
    follow(options, reader, |line, _| session.output.print(line))
}

fn show_table(session: &Session, options: &Show, reader: &mut LogReader) -> Result<(), Failure> {
    let mut rows = Rows::new(options.limit.unwrap_or(DEFAULT_LIMIT));
    while let Some(line) = reader.next_line().map_err(Failure::failed)? {
        if let Some(record) = AuditRecord::parse(&line).filter(|record| options.wants(record)) {
            rows.add(record);
        }
    }
    let rows = rows.finish();
    if !rows.is_empty() || !options.follow {
        session.output.print(&table(session, &rows))?;
    }
    follow(options, reader, |_, record| {
        match record.event_type.as_str() {
            AuditRecord::BEGUN => Ok(()),
            _ => session.output.print(&cells(record).join("  ")),
        }
    })
}

fn follow(
    options: &Show,
    reader: &mut LogReader,
    mut show: impl FnMut(&str, &AuditRecord) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if !options.follow {
        return Ok(());
    }
    loop {
        while let Some(line) = reader.next_line().map_err(Failure::failed)? {
            if let Some(record) = AuditRecord::parse(&line).filter(|record| options.wants(record)) {
                show(&line, &record)?;
            }
        }
        thread::sleep(PAUSE);
    }
}

impl Show {
    fn wants(&self, record: &AuditRecord) -> bool {
        let time = record.event_time.as_str();
        let in_time = self.since.as_deref().is_none_or(|since| since <= time)
            && self.until.as_deref().is_none_or(|until| time <= until);
        in_time && (self.wants_call(record) || self.wants_gap(record))
    }

    fn wants_call(&self, record: &AuditRecord) -> bool {
        let is_call = [AuditRecord::CALL, AuditRecord::BEGUN].contains(&record.event_type.as_str());
        let by_principal = self
            .principal
            .as_ref()
            .is_none_or(|name| is_principal(record, name));
        let by_action = self.action.as_ref().is_none_or(|name| {
            let name = name.strip_prefix("kms:").unwrap_or(name);
            record.event_name.eq_ignore_ascii_case(name)
        });
        let by_key = self.key.as_ref().is_none_or(|key| is_key(record, key));
        let denied = record.error_code.as_deref() == Some("AccessDeniedException");
        is_call && by_principal && by_action && by_key && (denied || !self.denied)
    }

    /// A gap may hide what is looked for.
    fn wants_gap(&self, record: &AuditRecord) -> bool {
        record.event_type == AuditRecord::GAP && !self.denied
    }
}

fn is_principal(record: &AuditRecord, name: &str) -> bool {
    let identity = &record.user_identity;
    let short = identity.arn.rsplit([':', '/']).next();
    identity.arn == name || short == Some(name) || identity.invoked_by.as_deref() == Some(name)
}

fn is_key(record: &AuditRecord, key: &str) -> bool {
    let named = record
        .request_parameters
        .get("keyId")
        .or(record.request_parameters.get("aliasName"));
    let used = record
        .resources
        .iter()
        .any(|resource| resource.arn == key || resource.arn.rsplit('/').next() == Some(key));
    used || named.and_then(|named| named.as_str()) == Some(key)
}

/// The last few of many.
struct Last<T>(Option<VecDeque<T>>, usize);

impl<T> Last<T> {
    fn new(limit: Option<usize>) -> Self {
        Self(limit.map(|_| VecDeque::new()), limit.unwrap_or(0))
    }

    /// Keeps one, or gives it back where all are wanted.
    fn push(&mut self, one: T) -> Option<T> {
        let Some(kept) = &mut self.0 else {
            return Some(one);
        };
        kept.push_back(one);
        if kept.len() > self.1 {
            kept.pop_front();
        }
        None
    }
}

/// The calls, each once: what it was about to do is not told where its outcome is.
struct Rows {
    last: Last<AuditRecord>,
    begun: HashMap<String, AuditRecord>,
}

impl Rows {
    fn new(limit: usize) -> Self {
        Self {
            last: Last::new(Some(limit)),
            begun: HashMap::new(),
        }
    }

    fn add(&mut self, record: AuditRecord) {
        if record.event_type == AuditRecord::BEGUN {
            self.begun.insert(record.request_id.clone(), record);
            return;
        }
        self.begun.remove(&record.request_id);
        self.last.push(record);
    }

    fn finish(self) -> Vec<AuditRecord> {
        let mut rows: Vec<_> = self.last.0.into_iter().flatten().collect();
        let first = rows.first().map_or(0, |first| first.sequence);
        rows.extend(
            self.begun
                .into_values()
                .filter(|record| record.sequence >= first),
        );
        rows.sort_by_key(|record| record.sequence);
        rows
    }
}

fn table(session: &Session, rows: &[AuditRecord]) -> String {
    if rows.is_empty() {
        return "Nothing of that kind is in the audit log.".to_owned();
    }
    let heads = [
        "TIME",
        "PRINCIPAL",
        "OPERATION",
        "KEY",
        "SOURCE",
        "CONTEXT",
        "OUTCOME",
    ];
    let mut table = session.output.table(heads);
    for record in rows {
        match record.error_code.is_some() || record.event_type != AuditRecord::CALL {
            true => table.alarming_row(cells(record)),
            false => table.row(cells(record)),
        }
    }
    table.finish()
}

fn cells(record: &AuditRecord) -> [String; 7] {
    [
        record.event_time.clone(),
        principal(record),
        record.event_name.clone(),
        key(record),
        record.source_ip_address.clone(),
        context(record),
        outcome(record),
    ]
}

fn principal(record: &AuditRecord) -> String {
    let identity = &record.user_identity;
    match identity.arn.strip_prefix("arn:aws:iam::") {
        Some(rest) => rest
            .split_once(':')
            .map_or(rest, |(_, name)| name)
            .to_owned(),
        None => identity.invoked_by.clone().unwrap_or_default(),
    }
}

fn key(record: &AuditRecord) -> String {
    let text = |name: &str| {
        record
            .request_parameters
            .get(name)
            .and_then(|value| value.as_str())
    };
    let named = text("aliasName")
        .or_else(|| text("keyId"))
        .or_else(|| text("principal"));
    let alias = named.filter(|named| matches!(named.parse(), Ok(KeyRef::Alias(_))));
    let used = record.resources.first();
    let used = used.and_then(|resource| resource.arn.rsplit('/').next());
    alias.or(used).or(named).unwrap_or_default().to_owned()
}

fn context(record: &AuditRecord) -> String {
    let context = record.request_parameters.get("encryptionContext");
    let pairs = context
        .and_then(|context| context.as_object())
        .into_iter()
        .flatten();
    let pairs = pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    pairs.collect::<Vec<_>>().join(",")
}

fn outcome(record: &AuditRecord) -> String {
    match record.event_type.as_str() {
        AuditRecord::BEGUN => "unfinished".to_owned(),
        AuditRecord::GAP => {
            let why = record.error_message.as_deref().unwrap_or_default();
            format!("gap in the log: {why}")
        }
        _ => record.error_code.clone().unwrap_or_else(|| "ok".to_owned()),
    }
}

/// A time as records have it, from one like that or from how long ago it was.
fn moment(text: &str) -> Result<String, String> {
    let at = text.parse::<Timestamp>().ok().or_else(|| ago(text));
    let at = at.ok_or("write `2027-01-31T12:00:00Z`, or how long ago: `15m`, `2h`, `7d`")?;
    Ok(format!("{at:.3}"))
}

fn ago(text: &str) -> Option<Timestamp> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let ago = Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?);
    Timestamp::try_from(SystemTime::now().checked_sub(ago)?).ok()
}

/// Rows of a table.
const DEFAULT_LIMIT: usize = 100;
/// Between two looks at a log that is followed.
const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = r#"{"sequence":7,"eventTime":"2027-01-31T12:00:00.000Z","eventType":"AwsApiCall",
        "eventName":"Decrypt","sourceIPAddress":"uid:0","userIdentity":{"type":"IAMUser",
        "arn":"arn:aws:iam::000000000000:user/ops/alice"},"requestID":"1","requestParameters":
        {"keyId":"alias/shop","encryptionContext":{"a":"b"}},"resources":[{"ARN":
        "arn:aws:kms:local:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"}],
        "errorCode":"AccessDeniedException"}"#;

    #[test]
    fn filters_find_what_they_name() {
        let record = AuditRecord::parse(CALL).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let wants = |show: Show| show.wants(&record);
        for principal in ["alice", "arn:aws:iam::000000000000:user/ops/alice"] {
            assert!(wants(Show {
                principal: text(principal),
                ..Show::default()
            }));
        }
        for key in ["alias/shop", "1234abcd-12ab-34cd-56ef-1234567890ab"] {
            assert!(wants(Show {
                key: text(key),
                ..Show::default()
            }));
        }
        assert!(wants(Show {
            action: text("kms:Decrypt"),
            denied: true,
            ..Show::default()
        }));
        assert!(!wants(Show {
            action: text("Encrypt"),
            ..Show::default()
        }));
        assert!(!wants(Show {
            principal: text("ice"),
            ..Show::default()
        }));
        assert!(wants(Show {
            since: Some(moment("2027-01-31T12:00:00Z").unwrap()),
            ..Show::default()
        }));
        assert!(!wants(Show {
            until: Some(moment("2027-01-31T11:59:59Z").unwrap()),
            ..Show::default()
        }));
    }

    #[test]
    fn a_call_is_one_row() {
        let call = AuditRecord::parse(CALL).unwrap();
        let begun = AuditRecord {
            event_type: AuditRecord::BEGUN.to_owned(),
            sequence: 6,
            ..call.clone()
        };
        let crashed = AuditRecord {
            request_id: "2".to_owned(),
            sequence: 8,
            ..begun.clone()
        };
        let mut rows = Rows::new(10);
        for record in [begun, call, crashed] {
            rows.add(record);
        }
        let rows = rows.finish();
        let seen: Vec<_> = rows.iter().map(outcome).collect();
        assert_eq!(seen, ["AccessDeniedException", "unfinished"]);
        let [_, principal, _, key, _, context, _] = cells(&rows[0]);
        assert_eq!(
            (principal.as_str(), key.as_str(), context.as_str()),
            ("user/ops/alice", "alias/shop", "a=b")
        );
    }

    #[test]
    fn times_are_absolute_or_ago() {
        assert_eq!(
            moment("2027-01-31T12:00:00Z").unwrap(),
            "2027-01-31T12:00:00.000Z"
        );
        assert!(moment("2h").unwrap() < moment("1h").unwrap());
        for text in ["", "h", "5x", "yesterday", "é"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
