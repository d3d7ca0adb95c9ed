//! `sealgate cert list` and `show`, from the clear headers: no key is needed for that.

use certstore::pem;
use jiff::Timestamp;
use kms::storage::FileStorage;
use serde::Serialize;
use serde_json::json;

use super::ShowOptions;
use crate::admin::describe;
use crate::admin::protocol::{Entry, RefusedEntry};
use crate::commands::failure::Failure;
use crate::commands::output::{Output, count};
use crate::commands::session::Session;

/// Lists every entry.
pub(super) fn run(session: &Session) -> Result<(), Failure> {
    let (entries, broken) = read(session)?;
    for file in &broken {
        session.output.warning(&unusable(file));
    }
    let value = json!({ "entries": entries, "broken": broken });
    session
        .output
        .result(&value, |out| table(&entries, Timestamp::now(), out))?;
    if entries.is_empty() && broken.is_empty() {
        session.output.remark(
            "The store is empty: `sealgate cert import NAME --cert chain.pem --key key.pem` seals a certificate.",
        );
    }
    match broken.is_empty() {
        true => Ok(()),
        false => Err(Failure::shown(1)),
    }
}

/// Shows the entries of one name.
pub(super) fn show(session: &Session, options: &ShowOptions) -> Result<(), Failure> {
    let parts = describe::entry_parts(&session.directory()?, &options.name);
    let (mut entries, broken) = parts.map_err(Failure::failed)?;
    let meant = |key_type: &str| {
        let family = options.key_type.as_ref().map(ToString::to_string);
        family.is_none_or(|family| key_type.starts_with(&family))
    };
    entries.retain(|entry| meant(&entry.key_type));
    if entries.is_empty() && broken.is_empty() {
        return Err(missing(options));
    }
    let shown = entries
        .into_iter()
        .map(|entry| Shown::of(session, entry, options.pem));
    let shown: Vec<_> = shown.collect::<Result<_, _>>()?;
    if options.pem && broken.is_empty() && shown.iter().all(|one| one.chain_length == 0) {
        return Err(Failure::failed(format!(
            "the certificate of {} is still to come: `sealgate cert import {} --cert chain.pem`",
            options.name, options.name
        )));
    }
    if !shown.is_empty() {
        session.output.result(&shown, |_| {
            let texts: Vec<_> = shown.iter().map(Shown::text).collect();
            texts.join(if options.pem { "" } else { "\n" })
        })?;
    }
    match broken.is_empty() {
        true => Ok(()),
        false => Err(Failure::failed(
            broken.iter().map(unusable).collect::<Vec<_>>().join("\n"),
        )),
    }
}

/// An entry with its chain.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    entry: Entry,
    /// How many certificates it shows to clients, its own included.
    chain_length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pem: Option<String>,
}

impl Shown {
    fn of(session: &Session, entry: Entry, pem: bool) -> Result<Self, Failure> {
        let directory = session.directory()?;
        let files = FileStorage::new(directory.store_directory());
        let region = &directory.identity().region;
        let chain = certstore::chain(&files, &entry.file, directory.store_id(), region);
        let chain = chain.map_err(Failure::failed)?;
        let encoded = chain.iter().map(|der| pem::encode("CERTIFICATE", der));
        Ok(Self {
            entry,
            chain_length: chain.len(),
            pem: pem.then(|| encoded.collect()),
        })
    }

    fn text(&self) -> String {
        match &self.pem {
            Some(pem) => pem.clone(),
            None => details(&self.entry, self.chain_length),
        }
    }
}

fn read(session: &Session) -> Result<(Vec<Entry>, Vec<RefusedEntry>), Failure> {
    describe::entries(&session.directory()?).map_err(Failure::failed)
}

fn unusable(file: &RefusedEntry) -> String {
    format!(
        "{} cannot be used: {}",
        file.file.escape_debug(),
        file.reason
    )
}

fn missing(options: &ShowOptions) -> Failure {
    let of = options
        .key_type
        .map(|family| format!(" with an {family} key"));
    Failure::failed(format!(
        "there is no certificate `{}`{} in the store: `sealgate cert list` shows those that there are",
        options.name,
        of.unwrap_or_default()
    ))
}

fn table(entries: &[Entry], now: Timestamp, output: &Output) -> String {
    let mut table = output.table(["NAME", "KEY", "STATE", "NAMES", "ISSUER", "EXPIRES"]);
    for entry in entries {
        let left = days_left(entry, now);
        let expired = left.is_some_and(|days| days < 0);
        let row = [
            entry.name.clone(),
            entry.key_type.clone(),
            if expired {
                "expired".to_owned()
            } else {
                entry.state.clone()
            },
            shortened(&entry.names),
            entry.issuer.clone().unwrap_or_default(),
            expires(entry, left),
        ];
        match left {
            Some(days) if days < SOON => table.alarming_row(row),
            _ => table.row(row),
        }
    }
    table.finish()
}

/// Whole days until the certificate expires, negative once it has.
fn days_left(entry: &Entry, now: Timestamp) -> Option<i64> {
    let end: Timestamp = entry.not_after.as_deref()?.parse().ok()?;
    Some((end.as_second() - now.as_second()).div_euclid(SECONDS_PER_DAY))
}

/// `2027-02-03, in 71 d`.
fn expires(entry: &Entry, left: Option<i64>) -> String {
    let date = entry.not_after.as_deref().unwrap_or_default();
    let date = date.split('T').next().unwrap_or_default();
    match left {
        None => date.to_owned(),
        Some(days) if days < 0 => format!("{date}, {} d ago", -days),
        Some(days) => format!("{date}, in {days} d"),
    }
}

/// The first of many names.
fn shortened(names: &[String]) -> String {
    match names {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        _ => names.join(", "),
    }
}

fn details(entry: &Entry, chain_length: usize) -> String {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let exportable = match entry.exportable {
        true => "yes, with a passphrase",
        false => "no",
    };
    let not_after = match days_left(entry, Timestamp::now()) {
        Some(days) if days < 0 => format!("{}, expired", or_dash(&entry.not_after)),
        Some(days) => format!("{}, in {}", or_dash(&entry.not_after), count(days, "day")),
        None => or_dash(&entry.not_after),
    };
    [
        ("Name", entry.name.clone()),
        ("State", entry.state.clone()),
        ("Key type", entry.key_type.clone()),
        ("Names", entry.names.join(", ")),
        ("Issuer", or_dash(&entry.issuer)),
        ("Chain", count(chain_length, "certificate")),
        ("Serial", or_dash(&entry.serial)),
        ("SHA-256", or_dash(&entry.sha256)),
        ("Not before", or_dash(&entry.not_before)),
        ("Not after", not_after),
        ("Exportable", exportable.to_owned()),
        ("Version", entry.version.to_string()),
        ("KMS key", or_dash(&entry.kms_key)),
        ("Bucket key", or_dash(&entry.bucket_key)),
        ("File", entry.file.clone()),
    ]
    .map(|(label, value)| format!("{label:<11} {value}\n"))
    .concat()
}

const SECONDS_PER_DAY: i64 = 86_400;

/// Days before its end from which a certificate is shown as urgent.
const SOON: i64 = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::output::Format;

    fn entry(not_after: Option<&str>) -> Entry {
        Entry {
            name: "shop.example.com".to_owned(),
            key_type: "ecdsa-p256".to_owned(),
            state: "issued".to_owned(),
            names: ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec(),
            issuer: Some("CN=\x1b[2JCA".to_owned()),
            serial: None,
            sha256: None,
            not_before: None,
            not_after: not_after.map(str::to_owned),
            exportable: false,
            version: 1,
            kms_key: Some("arn".to_owned()),
            bucket_key: None,
            file: "shop.example.com.e".to_owned(),
        }
    }

    #[test]
    fn the_days_that_are_left_are_shown() {
        let now = "2027-01-01T12:00:00Z".parse().unwrap();
        for (not_after, state, left) in [
            ("2027-02-03T12:00:00Z", "issued", "2027-02-03, in 33 d"),
            ("2027-01-02T12:00:00Z", "issued", "in 1 d"),
            ("2027-01-01T13:00:00Z", "issued", "in 0 d"),
            ("2027-01-01T11:59:59Z", "expired", "1 d ago"),
            ("2026-12-01T12:00:00Z", "expired", "31 d ago"),
        ] {
            let text = table(&[entry(Some(not_after))], now, &Output::new(Format::Text));
            assert!(text.contains(state) && text.contains(left), "{text}");
            assert!(text.contains("a, b, c and 2 more") && !text.contains('\x1b'));
        }
        let pending = table(&[entry(None)], now, &Output::new(Format::Text));
        assert!(!pending.contains(" d"), "{pending}");
    }
}
