//! `sealgate trust …`: CA certificates that target groups trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use certstore::trust::{TrustStore, TrustStores};
use clap::Subcommand;
use kms::storage::FileStorage;

use super::failure::Failure;
use super::output::Output;
use super::session::Session;
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
        name: String,
        /// CA certificates in PEM
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
        name: String,
    },
    /// Delete a trust store
    #[command(after_help = "Example:\n  sealgate trust delete internal-ca")]
    Delete {
        /// The trust store's name
        name: String,
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
        Trust::Delete { name } => {
            let done = session.perform(
                Request::TrustDelete { name: name.clone() },
                Secret::default(),
            )?;
            super::deleted(session, &done)
        }
    }
}

fn import(session: &Session, name: &str, ca: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(ca).map_err(|error| Failure::reading(ca, &error))?;
    let request = Request::TrustImport(TrustImport {
        name: name.to_owned(),
        pem: PemText {
            source: ca.display().to_string(),
            text,
        },
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
    session.output.result(&done, |_| {
        format!(
            "Trust store {name} has {certificates} certificates. A target group uses it by `tls: {{ ca: {name} }}`, \
             a running balancer after `sealgate reload`."
        )
    })
}

fn list(session: &Session) -> Result<(), Failure> {
    let stores = stores(session)?.list().map_err(Failure::failed)?;
    let (mut good, mut bad) = (Vec::new(), 0);
    for store in stores {
        match store {
            Ok(store) => good.push(store),
            Err(broken) => {
                bad += 1;
                session.output.warning(&broken.to_string());
            }
        }
    }
    session.output.result(&good, |out| table(&good, out))?;
    match bad {
        0 => Ok(()),
        _ => Err(Failure::shown(1)),
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
