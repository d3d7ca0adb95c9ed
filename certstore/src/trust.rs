//! Trust stores: named bundles of authorities' certificates, against which others are verified.
//!
//! A record is in the clear, for nothing in it is secret; its name stands in it, so that one cannot
//! take another's place. Byte by byte, numbers big-endian:
//!
//! | bytes | field |
//! |---|---|
//! | 8 | magic, `sealtrst` |
//! | 2 | format, 1 |
//! | 1 + n | name |
//! | 2 | number of certificates |
//! | 4 + n | each certificate, in DER |
//! | 32 | SHA-256 of all before: against accidents, not against attackers |

use std::sync::Arc;
use std::time::SystemTime;

use kms::storage::{Expected, Storage};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bytes::{Reader, push_long, push_short};
use crate::certificate::{self, CertificateInfo, date};
use crate::error::{BrokenEntry, Error};
use crate::import::{self, Input};
use crate::name::EntryName;

/// The trust stores of one state directory.
pub struct TrustStores {
    storage: Arc<dyn Storage>,
}

/// What is said of a trust store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustStore {
    /// Its name.
    pub name: String,
    /// Its certificates.
    pub certificates: Vec<CertificateInfo>,
}

impl TrustStores {
    /// The trust stores that stand in `storage`.
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage }
    }

    /// Checks the certificates in PEM, each text with the name that errors call it, and keeps them as
    /// the trust store `name`, in the place of what it was. Returns remarks for the user as well.
    ///
    /// # Errors
    /// What is wrong with the name or a certificate; or what the storage says.
    pub fn import(
        &self,
        name: &str,
        bundles: &[(String, String)],
        now: SystemTime,
    ) -> Result<(TrustStore, Vec<String>), Error> {
        let name = EntryName::new(name)?;
        let mut inputs = import::inputs(bundles)?;
        let mut remarks = Vec::new();
        let given = inputs.len();
        inputs.sort_by(|one, other| one.der.cmp(&other.der));
        inputs.dedup_by(|one, other| one.der == other.der);
        if inputs.len() < given {
            remarks.push(format!(
                "{} certificates were there twice",
                given - inputs.len()
            ));
        }
        for input in &inputs {
            check(input, now, &mut remarks)?;
        }
        let bytes = encode(&name, &inputs)?;
        let file = file_name(&name);
        let trust_store = summary(&file, &bytes)?;
        self.storage.put(&file, &bytes, Expected::Any)?;
        Ok((trust_store, remarks))
    }

    /// All trust stores.
    ///
    /// # Errors
    /// What the storage says.
    pub fn list(&self) -> Result<Vec<Result<TrustStore, BrokenEntry>>, Error> {
        let files = self.storage.list()?;
        Ok(files.into_iter().map(|file| self.listed(file)).collect())
    }

    /// The trust store `name`.
    ///
    /// # Errors
    /// [`Error::NoTrustStore`]; what is wrong with its file; or what the storage says.
    pub fn show(&self, name: &str) -> Result<TrustStore, Error> {
        let (file, bytes) = self.get(name)?;
        summary(&file, &bytes)
    }

    /// The certificates of the trust store `name`, to verify others against.
    ///
    /// # Errors
    /// As of [`show`](Self::show).
    pub fn certificates(&self, name: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
        let (file, bytes) = self.get(name)?;
        let certificates = parse(&file, &bytes)?;
        Ok(certificates
            .into_iter()
            .map(|der| CertificateDer::from(der.to_vec()))
            .collect())
    }

    /// Deletes the trust store `name`, whatever state it is in.
    ///
    /// # Errors
    /// [`Error::NoTrustStore`]; or what the storage says.
    pub fn delete(&self, name: &str) -> Result<(), Error> {
        let name = EntryName::known(name)?;
        let file = file_name(&name);
        if !self.storage.list()?.contains(&file) {
            return Err(Error::NoTrustStore(name.to_string()));
        }
        Ok(self.storage.delete(&file, Expected::Any)?)
    }

    fn get(&self, name: &str) -> Result<(String, Vec<u8>), Error> {
        let name = EntryName::known(name)?;
        let file = file_name(&name);
        let record = self.storage.get(&file)?;
        let record = record.ok_or_else(|| Error::NoTrustStore(name.to_string()))?;
        Ok((file, record.bytes))
    }

    fn listed(&self, file: String) -> Result<TrustStore, BrokenEntry> {
        let record = self.storage.get(&file).map_err(Error::from);
        let record = record.and_then(|record| record.ok_or(Error::Missing));
        let listed = record.and_then(|record| summary(&file, &record.bytes));
        listed.map_err(|reason| BrokenEntry::new(&file, reason))
    }
}

/// Refuses what cannot be a trust anchor, and remarks on what should not.
fn check(input: &Input, now: SystemTime, remarks: &mut Vec<String>) -> Result<(), Error> {
    let certificate = certificate::parse(&input.place, &input.der)?;
    let info = CertificateInfo::of(&certificate, Vec::new());
    RootCertStore::empty()
        .add(CertificateDer::from(&input.der[..]))
        .map_err(|error| Error::Certificate {
            place: input.place.clone(),
            why: error.to_string(),
        })?;
    if !certificate.is_ca() {
        remarks.push(format!(
            "`{}` is not marked as a certificate authority",
            info.subject
        ));
    }
    if info.not_after < now {
        remarks.push(format!(
            "`{}` expired on {}",
            info.subject,
            date(info.not_after)
        ));
    }
    Ok(())
}

fn encode(name: &EntryName, inputs: &[Input]) -> Result<Vec<u8>, Error> {
    let count = u16::try_from(inputs.len()).map_err(|_| Error::ChainTooLong {
        found: format!("{} certificates", inputs.len()),
        allowed: "65,535 certificates",
    })?;
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_be_bytes());
    push_short(&mut out, name.as_str());
    out.extend_from_slice(&count.to_be_bytes());
    for input in inputs {
        push_long(&mut out, &input.der);
    }
    let digest = Sha256::digest(&out);
    out.extend_from_slice(&digest);
    Ok(out)
}

/// The certificates in the content of `file`.
fn parse<'a>(file: &str, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, Error> {
    let (content, digest) = bytes
        .split_last_chunk::<32>()
        .ok_or(Error::NotATrustStore)?;
    let mut reader = Reader::new(content);
    match reader.array::<8>() {
        Ok(magic) if magic == MAGIC => {}
        _ => return Err(Error::NotATrustStore),
    }
    match u16::from_be_bytes(*reader.array()?) {
        FORMAT => {}
        later => return Err(Error::LaterFormat(format!("its format is {later}"))),
    }
    if Sha256::digest(content)[..] != digest[..] {
        return Err(Error::Malformed("its checksum is wrong"));
    }
    check_name(file, reader.short()?)?;
    let count = u16::from_be_bytes(*reader.array()?);
    let certificates = (0..count)
        .map(|_| reader.long(content.len()))
        .collect::<Result<_, _>>()?;
    match reader.rest() {
        [] => Ok(certificates),
        _ => Err(Error::Malformed("bytes follow its end")),
    }
}

fn check_name(file: &str, name: &str) -> Result<(), Error> {
    let stem = file.strip_suffix(SUFFIX).ok_or(Error::NotATrustStore)?;
    let expected = EntryName::from_file_stem(stem).ok_or(Error::NotATrustStore)?;
    if expected.as_str() == name {
        return Ok(());
    }
    Err(Error::Renamed(name.escape_debug().to_string()))
}

fn summary(file: &str, bytes: &[u8]) -> Result<TrustStore, Error> {
    let certificates = parse(file, bytes)?;
    let read = |der: &&[u8]| {
        let certificate = certificate::parse("one of its certificates", der)?;
        Ok::<_, Error>(CertificateInfo::of(&certificate, Vec::new()))
    };
    let stem = file
        .strip_suffix(SUFFIX)
        .and_then(EntryName::from_file_stem);
    Ok(TrustStore {
        name: stem.ok_or(Error::NotATrustStore)?.to_string(),
        certificates: certificates.iter().map(read).collect::<Result<_, _>>()?,
    })
}

fn file_name(name: &EntryName) -> String {
    name.file_stem() + SUFFIX
}

const MAGIC: &[u8; 8] = b"sealtrst";
const FORMAT: u16 = 1;
const SUFFIX: &str = ".t";

#[cfg(test)]
mod tests {
    use kms::Environment;
    use kms::storage::MemoryStorage;
    use proptest::prelude::*;

    use super::*;
    use crate::ca::TestCa;
    use crate::testing::DAY;

    struct Fixture {
        storage: Arc<MemoryStorage>,
        stores: TrustStores,
        ca: TestCa,
    }

    fn fixture() -> Fixture {
        let storage = Arc::new(MemoryStorage::new());
        Fixture {
            stores: TrustStores::new(storage.clone()),
            storage,
            ca: TestCa::new(&Environment::system()).unwrap(),
        }
    }

    impl Fixture {
        fn import(&self, name: &str, pem: &str) -> Result<(TrustStore, Vec<String>), Error> {
            self.import_at(name, pem, SystemTime::now())
        }

        fn import_at(
            &self,
            name: &str,
            pem: &str,
            now: SystemTime,
        ) -> Result<(TrustStore, Vec<String>), Error> {
            self.stores
                .import(name, &[("ca.pem".to_owned(), pem.to_owned())], now)
        }
    }

    #[test]
    fn what_is_imported_is_shown_used_and_deleted() {
        let f = fixture();
        let other = TestCa::new(&Environment::system()).unwrap();
        let bundle = [f.ca.pem(), other.pem(), f.ca.pem()].concat();
        let (imported, remarks) = f.import("Internal-CA", &bundle).unwrap();
        assert_eq!(
            (imported.name.as_str(), imported.certificates.len()),
            ("internal-ca", 2)
        );
        assert_eq!(remarks, ["1 certificates were there twice"]);
        assert_eq!(imported.certificates[0].subject, "CN=Sealgate test CA");
        assert_eq!(f.stores.show("internal-ca").unwrap(), imported);
        assert_eq!(f.stores.list().unwrap().remove(0).unwrap(), imported);
        assert_eq!(f.stores.certificates("internal-ca").unwrap().len(), 2);
        f.stores.delete("internal-ca").unwrap();
        assert!(matches!(
            f.stores.show("internal-ca"),
            Err(Error::NoTrustStore(_))
        ));
        assert!(matches!(
            f.stores.delete("internal-ca"),
            Err(Error::NoTrustStore(_))
        ));
    }

    #[test]
    fn what_should_not_be_trusted_is_remarked_on() {
        let f = fixture();
        let (_, remarks) = f
            .import_at("ca", f.ca.pem(), SystemTime::now() + 4000 * DAY)
            .unwrap();
        assert!(remarks[0].contains("expired on"), "{remarks:?}");
        let (leaf, _) = f.ca.issue(&["a.example"]).unwrap();
        let (_, remarks) = f.import("leaf", &leaf).unwrap();
        assert!(
            remarks[0].contains("not marked as a certificate authority"),
            "{remarks:?}"
        );
    }

    #[test]
    fn what_is_no_certificate_is_refused_and_changes_nothing() {
        let f = fixture();
        f.import("ca", f.ca.pem()).unwrap();
        let before = f.storage.get("ca.t").unwrap();
        let garbage = crate::pem::encode("CERTIFICATE", b"garbage");
        assert!(matches!(
            f.import("ca", &garbage),
            Err(Error::Certificate { .. })
        ));
        assert!(matches!(
            f.import("../ca", f.ca.pem()),
            Err(Error::InvalidName { .. })
        ));
        assert_eq!(f.storage.get("ca.t").unwrap(), before);
    }

    #[test]
    fn a_record_that_was_renamed_or_changed_is_refused_by_name() {
        let f = fixture();
        f.import("ca", f.ca.pem()).unwrap();
        let good = f.storage.get("ca.t").unwrap().unwrap().bytes;
        f.storage.put("other.t", &good, Expected::Any).unwrap();
        assert!(matches!(f.stores.show("other"), Err(Error::Renamed(name)) if name == "ca"));
        let listed = f.stores.list().unwrap();
        assert_eq!(listed[1].as_ref().unwrap_err().file, "other.t");
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            f.storage.put("ca.t", &changed, Expected::Any).unwrap();
            assert!(f.stores.certificates("ca").is_err(), "byte {at}");
            f.storage.put("ca.t", &good[..at], Expected::Any).unwrap();
            assert!(f.stores.certificates("ca").is_err(), "cut at {at}");
        }
        f.import("ca", f.ca.pem()).unwrap();
        assert!(f.stores.show("ca").is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let content = [&MAGIC[..], &[0, 1], &bytes].concat();
            let sealed = [&content[..], &Sha256::digest(&content)].concat();
            let _ = parse("a.t", &sealed);
            let _ = parse("a.t", &bytes);
        }
    }
}
