//! `sealgate cert …`: the certificates of the sealed store.

use std::path::{Path, PathBuf};

use certstore::PrivateKey;
use certstore::pem::{self, EncryptedKey, PemKey};
use clap::{Args, Subcommand};

use super::failure::Failure;
use super::output::Output;
use super::prompt;
use super::session::Session;
use crate::admin::describe;
use crate::admin::protocol::{
    CertCsr, CertDelete, CertImport, Entry, Imported, PemText, Publication, RefusedEntry, Request,
    Response,
};
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
    #[command(after_help = "Example:\n  sealgate cert show shop.example.com")]
    Show {
        /// The entry's name
        name: String,
    },
    /// Delete the certificates of a name, with their keys
    Delete(DeleteOptions),
}

/// Options of `sealgate cert import`.
#[derive(Debug, Args)]
#[command(
    after_help = "With a balancer running, the command returns when the new certificate is served.\n\
                  Without a key, the certificate completes a request made by `cert csr`.\n\n\
                  Example:\n  sealgate cert import shop.example.com --cert chain.pem --key key.pem"
)]
pub struct CertImportOptions {
    /// The entry's name: what a listener's `certificates` speak of
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
    #[arg(long)]
    pub exportable: bool,
    /// Take a certificate outside its dates as well
    #[arg(long)]
    pub allow_expired: bool,
    /// Replace a certificate with one for other names as well
    #[arg(long)]
    pub allow_name_change: bool,
}

/// Options of `sealgate cert csr`.
#[derive(Debug, Args)]
#[command(
    after_help = "The request is printed in PEM. The key is born in the store and never leaves it.\n\n\
                        Example:\n  sealgate cert csr api.example.com --san api.example.com > api.csr"
)]
pub struct CsrOptions {
    /// The entry's name
    pub name: String,
    /// A DNS name or address that the certificate is for; repeatable [default: the entry's name]
    #[arg(long = "san", value_name = "NAME")]
    pub names: Vec<String>,
    /// ecdsa-p256, ecdsa-p384, ed25519, rsa-2048, rsa-3072 or rsa-4096
    #[arg(long, value_name = "TYPE", default_value = "ecdsa-p256")]
    pub key_type: String,
    /// The key may later leave the store, encrypted with a passphrase
    #[arg(long)]
    pub exportable: bool,
}

/// Options of `sealgate cert delete`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sealgate cert delete old.example.com --key-type rsa")]
pub struct DeleteOptions {
    /// The entry's name
    pub name: String,
    /// Only the certificate of this family of keys: ecdsa, ed25519 or rsa
    #[arg(long, value_name = "FAMILY")]
    pub key_type: Option<String>,
}

/// Does what the command line says.
///
/// # Errors
/// Why it was not done.
pub fn run(session: &Session, command: &Cert) -> Result<(), Failure> {
    match command {
        Cert::Import(options) => import(session, options),
        Cert::Csr(options) => csr(session, options),
        Cert::List => list(session),
        Cert::Show { name } => show(session, name),
        Cert::Delete(options) => delete(session, options),
    }
}

fn import(session: &Session, options: &CertImportOptions) -> Result<(), Failure> {
    let input = read(options)?;
    let request = CertImport {
        name: options.name.clone(),
        chain: input.chain,
        exportable: options.exportable,
        allow_expired: options.allow_expired,
        allow_name_change: options.allow_name_change,
    };
    let done = session.perform(Request::CertImport(request), input.key)?;
    let Response::Imported(imported) = done else {
        return Err(super::ask::unexpected(&done));
    };
    for remark in imported.remarks.iter().chain(&input.remarks) {
        session.output.warning(remark);
    }
    session
        .output
        .result(&imported, |_| imported_text(&imported))?;
    match imported.publication {
        Some(publication) if publication.failed => Err(Failure::shown(1)),
        _ => Ok(()),
    }
}

/// What the options name, decoded.
struct Input {
    chain: Vec<PemText>,
    /// PKCS#8 DER; empty for none.
    key: Secret,
    remarks: Vec<String>,
}

fn read(options: &CertImportOptions) -> Result<Input, Failure> {
    let files = [&options.pem, &options.cert, &options.key];
    let mut input = Input {
        chain: Vec::new(),
        key: Secret::default(),
        remarks: Vec::new(),
    };
    for path in files.into_iter().flatten() {
        read_file(path, options, &mut input)?;
    }
    Ok(input)
}

fn read_file(path: &Path, options: &CertImportOptions, input: &mut Input) -> Result<(), Failure> {
    let source = match path == Path::new("-") {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    };
    let text = prompt::read_secret(path, PEM_LIMIT)?;
    let file = pem::read(&source, &text).map_err(Failure::failed)?;
    if !file.certificates.is_empty() {
        input.chain.push(PemText {
            source: source.clone(),
            text: file.certificates,
        });
    }
    let Some(found) = file.key else { return Ok(()) };
    if !input.key.is_empty() {
        return Err(Failure::usage(format!(
            "{source} holds a second private key: which one belongs to the certificate?"
        )));
    }
    let (key, clear) = match found {
        PemKey::Plain(key) => (key, true),
        PemKey::Encrypted(encrypted) => (decrypt(&encrypted, options)?, false),
    };
    input.key = Secret::new(key.expose_pkcs8().to_vec());
    if clear && path != Path::new("-") {
        input.remarks.push(format!(
            "the private key still stands in the clear in {source}: destroy that file (`shred -u {source}`), \
             and think of its backups"
        ));
    }
    Ok(())
}

fn decrypt(encrypted: &EncryptedKey, options: &CertImportOptions) -> Result<PrivateKey, Failure> {
    let file = options.key_passphrase_file.as_deref();
    let passphrase = prompt::passphrase(encrypted.source(), file)?;
    encrypted
        .decrypt(passphrase.as_bytes())
        .map_err(Failure::failed)
}

fn imported_text(imported: &Imported) -> String {
    let entry = &imported.entry;
    let mut text = format!(
        "Sealed {} ({}), version {}: serial {}, valid until {}\n",
        entry.name,
        entry.key_type,
        entry.version,
        entry.serial.as_deref().unwrap_or("-"),
        entry.not_after.as_deref().unwrap_or("-"),
    );
    match &imported.publication {
        Some(publication) => text += &publication_text(publication),
        None => text += "No balancer runs on this state directory: the next one will serve it.\n",
    }
    text
}

pub(super) fn publication_text(publication: &Publication) -> String {
    let mut text = String::new();
    for proof in &publication.proofs {
        text += &format!(
            "It is served: listener {} showed it to us on {} for {}\n",
            proof.listener, proof.address, proof.server_name
        );
    }
    for remark in &publication.remarks {
        text += &format!("{remark}\n");
    }
    text + &format!("{:.1} ms after the import\n", publication.elapsed_ms)
}

fn csr(session: &Session, options: &CsrOptions) -> Result<(), Failure> {
    let names = match options.names.is_empty() {
        true => vec![options.name.clone()],
        false => options.names.clone(),
    };
    let request = Request::CertCsr(CertCsr {
        name: options.name.clone(),
        names,
        key_type: options.key_type.clone(),
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
    session.output.result(&done, |_| pem.clone())
}

fn delete(session: &Session, options: &DeleteOptions) -> Result<(), Failure> {
    let request = Request::CertDelete(CertDelete {
        name: options.name.clone(),
        family: options.key_type.clone(),
    });
    let done = session.perform(request, Secret::default())?;
    super::deleted(session, &done)
}

/// Shows all entries from their clear headers: no key is needed for that.
fn list(session: &Session) -> Result<(), Failure> {
    let directory = session.directory()?;
    let (entries, broken) = describe::entries(&directory).map_err(Failure::failed)?;
    warn_of(&broken, session);
    session
        .output
        .result(&entries, |out| table(&entries, out))?;
    if entries.is_empty() && broken.is_empty() {
        session.output.remark(
            "The store is empty: `sealgate cert import NAME --cert chain.pem --key key.pem` seals a certificate.",
        );
    }
    whole(&broken)
}

/// Shows the entries of one name, from their clear headers.
fn show(session: &Session, name: &str) -> Result<(), Failure> {
    let directory = session.directory()?;
    let (entries, broken) = describe::entry_parts(&directory, name).map_err(Failure::failed)?;
    warn_of(&broken, session);
    session.output.result(&entries, |_| {
        entries.iter().map(details).collect::<Vec<_>>().join("\n")
    })?;
    whole(&broken)
}

fn warn_of(broken: &[RefusedEntry], session: &Session) {
    for file in broken {
        session
            .output
            .warning(&format!("{}: {}", file.file, file.reason));
    }
}

fn whole(broken: &[RefusedEntry]) -> Result<(), Failure> {
    match broken.is_empty() {
        true => Ok(()),
        false => Err(Failure::shown(1)),
    }
}

fn table(entries: &[Entry], output: &Output) -> String {
    let mut table = output.table(["NAME", "KEY", "STATE", "NAMES", "ISSUER", "NOT AFTER"]);
    for entry in entries {
        table.row([
            entry.name.clone(),
            entry.key_type.clone(),
            entry.state.clone(),
            shortened(&entry.names),
            entry.issuer.clone().unwrap_or_default(),
            entry.not_after.clone().unwrap_or_default(),
        ]);
    }
    table.finish()
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

fn details(entry: &Entry) -> String {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let exportable = match entry.exportable {
        true => "yes, with a passphrase",
        false => "no",
    };
    [
        ("Name", entry.name.clone()),
        ("State", entry.state.clone()),
        ("Key type", entry.key_type.clone()),
        ("Names", entry.names.join(", ")),
        ("Issuer", or_dash(&entry.issuer)),
        ("Serial", or_dash(&entry.serial)),
        ("SHA-256", or_dash(&entry.sha256)),
        ("Not before", or_dash(&entry.not_before)),
        ("Not after", or_dash(&entry.not_after)),
        ("Exportable", exportable.to_owned()),
        ("Version", entry.version.to_string()),
        ("KMS key", entry.kms_key.clone()),
        ("File", entry.file.clone()),
    ]
    .map(|(label, value)| format!("{label:<11} {value}\n"))
    .concat()
}

/// Far above any chain with its key.
const PEM_LIMIT: usize = 1 << 20;
