//! `sealgate cert …`: the certificates of the sealed store.

mod import;
mod list;

use std::path::PathBuf;

use certstore::{KeyFamily, KeyType};
use clap::{Args, Subcommand};
use serde_json::json;

use super::failure::Failure;
use super::session::Session;
use super::words::{entry_name, host_name};
use crate::admin::protocol::{CertCsr, CertDelete, Request, Response};
use crate::admin::wire::Secret;

/// Certificates of the sealed store
#[derive(Debug, Subcommand)]
pub enum Cert {
    /// Seal a certificate and its private key
    Import(CertImportOptions),
    /// Make a sealed key, and a certificate signing request for it
    Csr(CsrOptions),
    /// List the certificates
    #[command(after_help = "Example:\n  sealgate cert list --output json")]
    List,
    /// Show the certificates of a name
    Show(ShowOptions),
    /// Delete the certificates of a name, with their keys
    Delete(DeleteOptions),
}

/// Options of `sealgate cert import`.
#[derive(Debug, Args)]
#[command(
    after_help = "With a balancer running, the command returns when the new certificate is served, or says that no \
                  listener shows it.\n\
                  Without a key, the certificate completes a request made by `cert csr`.\n\n\
                  Example:\n  sealgate cert import shop.example.com --cert chain.pem --key key.pem"
)]
pub struct CertImportOptions {
    /// The entry's name: what a listener's `certificates` speak of
    #[arg(value_parser = entry_name)]
    pub name: String,
    /// Certificate chain in PEM, in any order
    #[arg(long, value_name = "FILE", required_unless_present = "pem")]
    pub cert: Option<PathBuf>,
    /// Private key in PEM: PKCS#8, PKCS#1 or SEC1, also encrypted
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Chain and key in one PEM file, `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cert", "key"])]
    pub pem: Option<PathBuf>,
    /// The passphrase of an encrypted key: first line of this file [default: asks]
    #[arg(long, value_name = "FILE")]
    pub key_passphrase_file: Option<PathBuf>,
    /// The key may later leave the store, encrypted with a passphrase
    // Without a command that exports, there is nothing to offer yet.
    #[arg(long, hide = true)]
    pub exportable: bool,
    /// Take a certificate outside its dates as well
    #[arg(long)]
    pub allow_expired: bool,
    /// Replace a certificate with one for other names as well
    #[arg(long)]
    pub allow_name_change: bool,
    /// Fail unless a listener of a running balancer has shown the new certificate
    #[arg(long)]
    pub require_served: bool,
}

/// Options of `sealgate cert csr`.
#[derive(Debug, Args)]
#[command(
    after_help = "The request is printed in PEM. The key is born in the store and never leaves it.\n\
                  Asked again for the same, it prints the same request; a different one replaces it.\n\n\
                        Example:\n  sealgate cert csr api.example.com --san api.example.com > api.csr"
)]
pub struct CsrOptions {
    /// The entry's name
    #[arg(value_parser = entry_name)]
    pub name: String,
    /// A DNS name or address that the certificate is for; repeatable [default: the entry's name]
    #[arg(long = "san", value_name = "NAME", value_parser = host_name)]
    pub names: Vec<String>,
    /// ecdsa-p256, ecdsa-p384, ed25519, rsa-2048, rsa-3072 or rsa-4096
    #[arg(long, value_name = "TYPE", default_value = "ecdsa-p256")]
    pub key_type: KeyType,
    /// The key may later leave the store, encrypted with a passphrase
    // Without a command that exports, there is nothing to offer yet.
    #[arg(long, hide = true)]
    pub exportable: bool,
}

/// Options of `sealgate cert show`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sealgate cert show shop.example.com --key-type ecdsa")]
pub struct ShowOptions {
    /// The entry's name
    #[arg(value_parser = entry_name)]
    pub name: String,
    /// Only the certificate of this family of keys: ecdsa, ed25519 or rsa
    #[arg(long, value_name = "FAMILY")]
    pub key_type: Option<KeyFamily>,
    /// Print the chain in PEM, the certificate first
    #[arg(long)]
    pub pem: bool,
}

/// Options of `sealgate cert delete`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sealgate cert delete old.example.com --key-type rsa")]
pub struct DeleteOptions {
    /// The entry's name
    #[arg(value_parser = entry_name)]
    pub name: String,
    /// Only the certificate of this family of keys: ecdsa, ed25519 or rsa
    #[arg(long, value_name = "FAMILY")]
    pub key_type: Option<KeyFamily>,
    /// Also where a listener or a target group of the running balancer shows it
    #[arg(long)]
    pub force: bool,
}

/// Does what the command line says.
///
/// # Errors
/// Why it was not done.
pub fn run(session: &Session, command: &Cert) -> Result<(), Failure> {
    match command {
        Cert::Import(options) => import::run(session, options),
        Cert::Csr(options) => csr(session, options),
        Cert::List => list::run(session),
        Cert::Show(options) => list::show(session, options),
        Cert::Delete(options) => delete(session, options),
    }
}

fn csr(session: &Session, options: &CsrOptions) -> Result<(), Failure> {
    let names =
        match options.names.is_empty() {
            true => vec![host_name(&options.name).map_err(|error| {
                Failure::usage(format!("{error}; name what it is for with --san"))
            })?],
            false => options.names.clone(),
        };
    let request = Request::CertCsr(CertCsr {
        name: options.name.clone(),
        names: names.clone(),
        key_type: options.key_type.to_string(),
        exportable: options.exportable,
    });
    let done = session.perform(request, Secret::default())?;
    let Response::CsrMade { pem } = &done else {
        return Err(super::ask::unexpected(&done));
    };
    session.output.remark(&format!(
        "The key is sealed. When the CA has signed the request:\n  sealgate cert import {} --cert chain.pem",
        options.name
    ));
    let value = json!({
        "pem": pem,
        "entry": {
            "name": options.name,
            "key_type": options.key_type,
            "state": "pending",
            "names": names,
        },
    });
    session.output.result(&value, |_| pem.clone())
}

fn delete(session: &Session, options: &DeleteOptions) -> Result<(), Failure> {
    let request = Request::CertDelete(CertDelete {
        name: options.name.clone(),
        family: options.key_type.map(|family| family.to_string()),
        force: options.force,
    });
    let done = session.perform(request, Secret::default())?;
    super::deleted(session, &done)
}
