//! `sealgate trust …`: CA certificates that target groups trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use certstore::pem;
use certstore::trust::{TrustStore, TrustStores};
use clap::Subcommand;
use kms::storage::FileStorage;
use serde_json::json;

use super::failure::Failure;
use super::output::{Output, count};
use super::prompt;
use super::session::Session;
use super::words::entry_name;
use crate::admin::describe;
use crate::admin::protocol::{PemText, Request, Response, TrustImport};
use crate::admin::wire::Secret;

/// Trust stores: CA certificates that target groups trust
#[derive(Debug, Subcommand)]
pub enum Trust {
    /// Keep a bundle of CA certificates under a name
    #[command(after_help = "Example:\n  sealgate trust import internal-ca --ca ca.pem")]
    Import {
        /// The trust store's name, for `tls: { ca: NAME }` of a target group
        #[arg(value_parser = entry_name)]
        name: String,
        /// CA certificates in PEM, `-` for standard input
        #[arg(long, value_name = "FILE")]
        ca: PathBuf,
    },
    /// List the trust stores
    #[command(after_help = "Example:\n  sealgate trust list")]
    List,
    /// Show the certificates of a trust store
    #[command(after_help = "Example:\n  sealgate trust show internal-ca")]
    Show {
        /// The trust store's name
        #[arg(value_parser = entry_name)]
        name: String,
    },
    /// Delete a trust store
    #[command(after_help = "Example:\n  sealgate trust delete internal-ca")]
    Delete {
        /// The trust store's name
        #[arg(value_parser = entry_name)]
        name: String,
        /// Also where a target group of the running balancer trusts it
        #[arg(long)]
        force: bool,
    },
}

/// Does what the command line says.
///
/// # Errors
/// Why it was not done.
pub fn run(session: &Session, command: &Trust) -> Result<(), Failure> {
    match command {
        Trust::Import { name, ca } => import(session, name, ca),
        Trust::List => list(session),
        Trust::Show { name } => show(session, name),
        Trust::Delete { name, force } => {
            let done = session.perform(
                Request::TrustDelete {
                    name: name.clone(),
                    force: *force,
                },
                Secret::default(),
            )?;
            super::deleted(session, &done)
        }
    }
}

fn import(session: &Session, name: &str, ca: &Path) -> Result<(), Failure> {
    let request = Request::TrustImport(TrustImport {
        name: name.to_owned(),
        pem: read(ca)?,
    });
    let done = session.perform(request, Secret::default())?;
    let Response::Trusted {
        certificates,
        remarks,
    } = &done
    else {
        return Err(super::ask::unexpected(&done));
    };
    for remark in remarks {
        session.output.warning(remark);
    }
    let value = json!({ "name": name, "certificates": certificates, "remarks": remarks });
    session.output.result(&value, |_| {
        format!(
            "Trust store {name} has {}. A target group uses it by `tls: {{ ca: {name} }}`, \
             a running balancer after `sealgate reload`.",
            count(*certificates, "certificate")
        )
    })
}

/// The certificates of a file, and nothing else that stands in it: what goes to the balancer is read
/// into memory that nobody wipes.
fn read(ca: &Path) -> Result<PemText, Failure> {
    let source = prompt::source_name(ca);
    let text = prompt::read_secret(ca, BUNDLE_LIMIT)?;
    let file = pem::read(&source, &text).map_err(Failure::failed)?;
    if file.key.is_some() {
        return Err(Failure::failed(format!(
            "{source} holds a private key: a trust store is made of CA certificates alone; leave the key out"
        )));
    }
    Ok(PemText {
        source,
        text: file.certificates,
    })
}

fn list(session: &Session) -> Result<(), Failure> {
    let stores = stores(session)?.list().map_err(Failure::failed)?;
    let (mut good, mut broken) = (Vec::new(), Vec::new());
    for store in stores {
        match store {
            Ok(store) => good.push(store),
            Err(unusable) => {
                session.output.warning(&unusable.to_string());
                broken.push(describe::broken(&unusable));
            }
        }
    }
    let value = json!({ "trust_stores": good, "broken": broken });
    session.output.result(&value, |out| table(&good, out))?;
    if good.is_empty() && broken.is_empty() {
        session
            .output
            .remark("There is no trust store: `sealgate trust import NAME --ca ca.pem` makes one.");
    }
    match broken.is_empty() {
        true => Ok(()),
        false => Err(Failure::shown(1)),
    }
}

fn table(stores: &[TrustStore], output: &Output) -> String {
    let mut table = output.table(["NAME", "CERTIFICATES", "FIRST TO EXPIRE"]);
    for store in stores {
        let first = store.certificates.iter().map(|c| c.not_after).min();
        table.row([
            store.name.clone(),
            store.certificates.len().to_string(),
            first.map(describe::time).unwrap_or_default(),
        ]);
    }
    table.finish()
}

fn show(session: &Session, name: &str) -> Result<(), Failure> {
    let store = stores(session)?.show(name).map_err(Failure::failed)?;
    session.output.result(&store, |out| {
        let mut table = out.table(["SUBJECT", "SERIAL", "NOT AFTER", "SHA-256"]);
        for certificate in &store.certificates {
            table.row([
                certificate.subject.clone(),
                certificate.serial.clone(),
                describe::time(certificate.not_after),
                certificate.sha256.clone(),
            ]);
        }
        table.finish()
    })
}

/// Nothing in a trust store is secret: no key is needed to read it.
fn stores(session: &Session) -> Result<TrustStores, Failure> {
    let files = FileStorage::new(session.directory()?.trust_directory());
    Ok(TrustStores::new(Arc::new(files)))
}

/// Above the bundles of operating systems; a request to the balancer takes no more than twice that.
const BUNDLE_LIMIT: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use certstore::ca::TestCa;
    use kms::Environment;

    #[test]
    fn only_certificates_leave_the_command() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let ca = TestCa::new(&Environment::system()).unwrap();
        let text = format!("Subject: CN=a\n{}trailing", ca.pem());
        std::fs::write(file.path(), &text).unwrap();
        assert_eq!(read(file.path()).unwrap().text, ca.pem());

        let (_, key) = ca.issue(&["a.example.com"]).unwrap();
        let key = pem::encode("PRIVATE KEY", key.expose_pkcs8());
        std::fs::write(file.path(), text + "\n" + &key).unwrap();
        let failure = read(file.path()).expect_err("a failure");
        assert!(
            failure.message.contains("holds a private key"),
            "{}",
            failure.message
        );
        assert!(!failure.message.contains("MC4") && failure.status == 1);
    }

    #[test]
    fn an_endless_file_is_not_read_to_its_end() {
        let failure = read(Path::new("/dev/zero")).expect_err("a failure");
        assert!(
            failure.message.contains("longer than"),
            "{}",
            failure.message
        );
    }
}
