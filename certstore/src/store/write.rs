//! How entries get into the store, and where their keys come from.

use kms::storage::{Expected, Record};

use super::{CsrRequest, SealedStore};
use crate::certificate::date;
use crate::entry::EntrySummary;
use crate::error::Error;
use crate::format::Content;
use crate::host;
use crate::import::{self, Input};
use crate::key_type::KeyFamily;
use crate::name::{EntryFile, EntryName};
use crate::pem;
use crate::private_key::PrivateKey;
use crate::seal::Draft;

/// Where an import takes its key from.
pub(super) struct KeySource {
    pub(super) key: PrivateKey,
    pub(super) exportable: bool,
    /// The request that it was made with.
    pub(super) request: Option<EntryFile>,
}

/// What a write replaces.
pub(super) struct There {
    expected: Expected,
    /// The names that its certificate is for, if it is authentic.
    pub(super) names: Vec<String>,
}

impl There {
    fn of(expected: Expected) -> Self {
        Self {
            expected,
            names: Vec::new(),
        }
    }
}

impl SealedStore {
    /// Seals and writes, in the place of what is there.
    pub(super) fn write(
        &self,
        file: &EntryFile,
        content: Content<'_>,
        source: &KeySource,
        there: &There,
    ) -> Result<EntrySummary, Error> {
        let file_name = file.to_string();
        let version = self.ledger.version(&file_name).checked_add(1);
        let version = version.ok_or_else(|| Error::VersionExhausted(file.name.to_string()))?;
        let bytes = self.sealer.seal(Draft {
            file,
            version,
            exportable: source.exportable,
            content,
            key: &source.key,
        })?;
        let summary = self.describe(&file_name, &self.sealer.read(&file_name, &bytes)?)?;
        self.storage.put(&file_name, &bytes, there.expected)?;
        self.ledger.note_version(&file_name, version);
        Ok(summary)
    }

    /// Removes the request of a certificate that was imported: it is done with, and no harm where it stays.
    pub(super) fn drop_request(&self, request: &EntryFile, remarks: &mut Vec<String>) {
        if let Err(error) = self.storage.delete(&request.to_string(), Expected::Any) {
            remarks.push(format!(
                "the request {request} could not be removed: {error}"
            ));
        }
    }

    /// Takes note of what is to be replaced: its version and its names, if it is authentic.
    pub(super) fn look(&self, file: &EntryFile, remarks: &mut Vec<String>) -> There {
        let file = file.to_string();
        let record = match self.storage.get(&file) {
            Ok(None) => return There::of(Expected::Absent),
            Ok(Some(record)) => record,
            Err(error) => {
                remarks.push(format!(
                    "the file {file}, which could not be read ({error}), was replaced"
                ));
                return There::of(Expected::Any);
            }
        };
        let names = self
            .authentic_names(&file, &record)
            .unwrap_or_else(|error| {
                remarks.push(format!(
                    "the file {file}, which could not be used ({error}), was replaced"
                ));
                Vec::new()
            });
        There {
            expected: Expected::Version(record.version),
            names,
        }
    }

    fn authentic_names(&self, file: &str, record: &Record) -> Result<Vec<String>, Error> {
        let entry = self.sealer.read(file, &record.bytes)?;
        self.sealer.unseal(&entry)?;
        self.ledger.note_version(file, entry.header.version);
        Ok(self.describe(file, &entry)?.names)
    }

    /// The key that was handed in, or else one that the store has.
    pub(super) fn key_source(
        &self,
        name: &EntryName,
        inputs: &[Input],
        key: Option<PrivateKey>,
        exportable: bool,
    ) -> Result<KeySource, Error> {
        let Some(key) = key else {
            return self.key_in_store(name, inputs);
        };
        Ok(KeySource {
            key,
            exportable,
            request: None,
        })
    }

    /// The key of a request, or of the entry as it is, that belongs to one of the certificates.
    fn key_in_store(&self, name: &EntryName, inputs: &[Input]) -> Result<KeySource, Error> {
        let public_keys = import::public_keys(inputs)?;
        let mut files = self.files_of(name);
        // Requests first: what is to be renewed has both.
        files.sort_by_key(|file| !file.pending);
        let mut fault = None;
        for file in files {
            match self.key_of(file) {
                Ok(source) if public_keys.iter().any(|key| key == source.key.public_key()) => {
                    return Ok(source);
                }
                Ok(_) => {}
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        Err(fault.unwrap_or_else(|| Error::NoPendingKey(name.to_string())))
    }

    fn key_of(&self, file: EntryFile) -> Result<KeySource, Error> {
        let file_name = file.to_string();
        let record = self.get(&file_name)?;
        let entry = self.sealer.read(&file_name, &record.bytes)?;
        Ok(KeySource {
            key: self.unseal_key(&entry)?,
            exportable: entry.header.exportable,
            request: file.pending.then_some(file),
        })
    }

    /// The request that waits in `file`, if it is authentic and asks for just that.
    pub(super) fn same_request(
        &self,
        file: &EntryFile,
        wanted: &CsrRequest,
        hosts: &[String],
    ) -> Result<Option<(EntrySummary, String)>, Error> {
        let file_name = file.to_string();
        let Some(record) = self.storage.get(&file_name)? else {
            return Ok(None);
        };
        let Ok(summary) = self.verify_file(&file_name) else {
            return Ok(None);
        };
        let entry = self.sealer.read(&file_name, &record.bytes)?;
        let Content::Request(der) = entry.header.content else {
            return Ok(None);
        };
        let same = summary.names == hosts
            && summary.key_type == wanted.key_type
            && summary.exportable == wanted.exportable;
        Ok(same.then(|| (summary, pem::encode(REQUEST_LABEL, der))))
    }

    /// Twins of other families that expire before the certificate that was just imported.
    pub(super) fn remark_on_twins(
        &self,
        name: &EntryName,
        entry: &EntrySummary,
        remarks: &mut Vec<String>,
    ) {
        let Some(certificate) = &entry.certificate else {
            return;
        };
        for family in KeyFamily::ALL {
            let file = EntryFile::new(name, family, false).to_string();
            if family == entry.key_type.family() {
                continue;
            }
            let twin = self.summary(&file).ok().and_then(|twin| twin.certificate);
            if let Some(twin) = twin.filter(|twin| twin.not_after < certificate.not_after) {
                remarks.push(format!(
                    "the entry's certificate with an {family} key stays, and expires on {}: renew it too, or delete it",
                    date(twin.not_after)
                ));
            }
        }
    }
}

pub(super) fn remark_on_name(entry: &EntrySummary, remarks: &mut Vec<String>) {
    if !host::covers(&entry.names, &entry.name) {
        remarks.push(format!(
            "the entry is called {}, and its certificate is for {}",
            entry.name,
            entry.names.join(", ")
        ));
    }
}

/// What is to be said of names that the certificate of `name` loses, from the old ones to the new.
///
/// # Errors
/// [`Error::NamesReplaced`] where it loses all, unless that is `allowed`.
pub(super) fn compare_names(
    name: &EntryName,
    (old, new): (&[String], &[String]),
    allowed: bool,
) -> Result<Option<String>, Error> {
    let lost: Vec<_> = old.iter().filter(|name| !host::covers(new, name)).collect();
    let lost = lost.iter().map(|name| name.as_str()).collect::<Vec<_>>();
    if lost.is_empty() {
        return Ok(None);
    }
    let common = lost.len() < old.len() || new.iter().any(|name| host::covers(old, name));
    if !common && !allowed {
        return Err(Error::NamesReplaced {
            name: name.to_string(),
            old: old.join(", "),
            new: new.join(", "),
        });
    }
    Ok(Some(format!(
        "NO LONGER COVERED: {}. The certificate that was replaced was for {}, and this one is not: clients \
         that ask for {} are refused unless another entry has one",
        lost.join(", "),
        if lost.len() == 1 {
            "this name"
        } else {
            "these names"
        },
        if lost.len() == 1 { "it" } else { "them" },
    )))
}

pub(super) const REQUEST_LABEL: &str = "CERTIFICATE REQUEST";
