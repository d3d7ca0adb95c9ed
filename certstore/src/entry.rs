//! What is said of an entry, from its header in the clear.

use std::time::SystemTime;

use kms::KeyId;
use kms::message::Header as WrappedHeader;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::certificate::{self, CertificateInfo};
use crate::error::Error;
use crate::format::{Content, DataKeySource, SealedEntry};
use crate::key_type::KeyType;

/// What is said of an entry without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntrySummary {
    /// Its file in the store's directory.
    pub file: String,
    /// Its name.
    pub name: String,
    /// The kind of its key.
    pub key_type: KeyType,
    /// Whether its key may leave the store, encrypted.
    pub exportable: bool,
    /// How often it was written.
    pub version: u64,
    /// When it was written last.
    #[serde(with = "certificate::rfc3339")]
    pub written: SystemTime,
    /// The names that its certificate is for, or that one was requested for.
    pub names: Vec<String>,
    /// What its leaf says; none while the certificate is still to come.
    pub certificate: Option<CertificateInfo>,
    /// How many certificates its chain has, the leaf among them.
    pub chain_length: usize,
    /// The bucket key that its data key is derived from; none where the KMS wraps its own.
    pub bucket_key: Option<Uuid>,
    /// The KMS key that wraps its data key or bucket key; none where the bucket key's record cannot be read.
    pub kms_key: Option<KeyId>,
    /// The generation of that key's material.
    pub backing_key: Option<u32>,
}

impl EntrySummary {
    /// Whether the certificate is still to come.
    pub fn is_pending(&self) -> bool {
        self.certificate.is_none()
    }

    /// Reads the clear part of an entry, whose key or bucket key is `wrapped_by` that, if it can be known.
    pub(crate) fn of(
        file: &str,
        entry: &SealedEntry<'_>,
        wrapped_by: Option<WrappedHeader>,
    ) -> Result<Self, Error> {
        let header = &entry.header;
        let (names, certificate, chain_length) = match &header.content {
            Content::Request(der) => (requested_names(der)?, None, 0),
            Content::Chain(chain) => {
                let info = CertificateInfo::read("its leaf certificate", chain[0])?;
                (info.names.clone(), Some(info), chain.len())
            }
        };
        Ok(Self {
            file: file.to_owned(),
            name: header.name.to_owned(),
            key_type: header.key_type,
            exportable: header.exportable,
            version: header.version,
            written: header.written,
            names,
            certificate,
            chain_length,
            bucket_key: match header.source {
                DataKeySource::Wrapped => None,
                DataKeySource::Derived(id) => Some(id.uuid()),
            },
            kms_key: wrapped_by.map(|by| by.key_id),
            backing_key: wrapped_by.map(|by| by.backing_key),
        })
    }
}

/// The names that a request in an entry asks for.
pub(crate) fn requested_names(der: &[u8]) -> Result<Vec<String>, Error> {
    let (_, request) = X509CertificationRequest::from_der(der).map_err(|_| MALFORMED_REQUEST)?;
    certificate::requested_names(&request).ok_or(MALFORMED_REQUEST)
}

/// The public key that a request in an entry is for.
pub(crate) fn requested_key(der: &[u8]) -> Result<Vec<u8>, Error> {
    let (_, request) = X509CertificationRequest::from_der(der).map_err(|_| MALFORMED_REQUEST)?;
    Ok(request.certification_request_info.subject_pki.raw.to_vec())
}

const MALFORMED_REQUEST: Error = Error::Malformed("its request cannot be read");
