//! `sealgate cert import`.

use std::path::Path;

use certstore::pem::{self, EncryptedKey, PemKey};
use certstore::{Error, PrivateKey};

use super::CertImportOptions;
use crate::admin::protocol::{CertImport, Imported, PemText, Publication, Request, Response};
use crate::admin::wire::Secret;
use crate::commands::ask;
use crate::commands::failure::Failure;
use crate::commands::prompt;
use crate::commands::session::Session;

/// Seals a certificate.
pub(super) fn run(session: &Session, options: &CertImportOptions) -> Result<(), Failure> {
    let input = read(options)?;
    let request = CertImport {
        name: options.name.clone(),
        chain: input.chain,
        exportable: options.exportable,
        allow_expired: options.allow_expired,
        allow_name_change: options.allow_name_change,
    };
    let done = session.perform(Request::CertImport(request), input.key)?;
    let Response::Imported(mut imported) = done else {
        return Err(ask::unexpected(&done));
    };
    imported.remarks.extend(input.remarks);
    for remark in &imported.remarks {
        session.output.warning(remark);
    }
    session.output.result(&imported, |_| text(&imported))?;
    conclude(options, imported.publication.as_ref())
}

/// Whether it was served where it should be.
fn conclude(options: &CertImportOptions, found: Option<&Publication>) -> Result<(), Failure> {
    let served = found.is_some_and(|publication| !publication.proofs.is_empty());
    if found.is_some_and(|publication| publication.failed) {
        return Err(Failure::shown(1));
    }
    if options.require_served && !served {
        return Err(Failure::failed(format!(
            "{} is sealed, but no listener of a running balancer has shown it",
            options.name
        )));
    }
    Ok(())
}

/// What the options name, decoded.
#[derive(Default)]
struct Input {
    chain: Vec<PemText>,
    /// PKCS#8 DER; empty for none.
    key: Secret,
    remarks: Vec<String>,
}

fn read(options: &CertImportOptions) -> Result<Input, Failure> {
    let files = [&options.pem, &options.cert, &options.key];
    let mut input = Input::default();
    for path in files.into_iter().flatten() {
        read_file(path, options, &mut input)?;
    }
    Ok(input)
}

fn read_file(path: &Path, options: &CertImportOptions, input: &mut Input) -> Result<(), Failure> {
    let source = prompt::source_name(path);
    let text = prompt::read_secret(path, PEM_LIMIT)?;
    let file = pem::read(&source, &text).map_err(Failure::failed)?;
    if !file.certificates.is_empty() {
        input.chain.push(PemText {
            source: source.clone(),
            text: file.certificates,
        });
    }
    let Some(found) = file.key else {
        let promised = [&options.key, &options.pem];
        return match promised.into_iter().flatten().any(|file| file == path) {
            true => Err(Failure::failed(format!(
                "{source} holds no private key; a certificate whose key is in the store already is \
                 imported with --cert alone"
            ))),
            false => Ok(()),
        };
    };
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
    prompt::with_passphrase(
        encrypted.source(),
        options.key_passphrase_file.as_deref(),
        |passphrase| encrypted.decrypt(passphrase),
        |error| matches!(error, Error::WrongPassphrase(_)),
    )
}

fn text(imported: &Imported) -> String {
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

fn publication_text(publication: &Publication) -> String {
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
    if !publication.proofs.is_empty() {
        text += &format!("{:.1} ms after the import\n", publication.elapsed_ms);
    }
    text
}

/// Far above any chain with its key.
const PEM_LIMIT: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::protocol::Proof;
    use crate::commands::cli::{Cli, Command};
    use certstore::ca::TestCa;
    use clap::Parser;
    use kms::Environment;

    fn options(words: &[&str]) -> CertImportOptions {
        let command = ["sealgate", "cert", "import", "shop.example.com"];
        let cli = Cli::try_parse_from(command.iter().chain(words)).expect("a command line");
        match cli.command {
            Command::Cert(super::super::Cert::Import(options)) => options,
            other => panic!("another command: {other:?}"),
        }
    }

    #[test]
    fn a_promised_key_must_be_there() {
        let directory = tempfile::tempdir().unwrap();
        let ca = TestCa::new(&Environment::system()).unwrap();
        let (chain, key) = ca.issue(&["shop.example.com"]).unwrap();
        let pem = directory.path().join("chain.pem");
        let with_key = directory.path().join("key.pem");
        std::fs::write(&pem, &chain).unwrap();
        std::fs::write(&with_key, pem::encode("PRIVATE KEY", key.expose_pkcs8())).unwrap();
        let (pem, with_key) = (pem.to_str().unwrap(), with_key.to_str().unwrap());

        for words in [&["--cert", pem, "--key", pem][..], &["--pem", pem]] {
            let failure = read(&options(words)).err().expect("a failure");
            assert_eq!(failure.status, 1);
            assert!(
                failure.message.starts_with(&format!("{pem} holds no")),
                "{words:?}"
            );
        }
        assert!(read(&options(&["--cert", pem])).unwrap().key.is_empty());
        let whole = read(&options(&["--cert", pem, "--key", with_key])).unwrap();
        assert!(whole.key.as_slice() == key.expose_pkcs8());
        assert!(whole.remarks[0].contains(with_key), "{:?}", whole.remarks);
    }

    #[test]
    fn being_served_can_be_demanded() {
        let mut publication = Publication {
            proofs: Vec::new(),
            remarks: vec!["no listener is for it".to_owned()],
            failed: false,
            elapsed_ms: 3.0,
        };
        let relaxed = options(&["--cert", "chain.pem"]);
        let strict = options(&["--cert", "chain.pem", "--require-served"]);
        for found in [None, Some(&publication)] {
            assert!(conclude(&relaxed, found).is_ok());
            assert_eq!(conclude(&strict, found).unwrap_err().status, 1);
        }
        assert!(!publication_text(&publication).contains("ms after"));
        publication.proofs.push(Proof {
            listener: "https".to_owned(),
            address: "127.0.0.1:443".to_owned(),
            server_name: "shop.example.com".to_owned(),
        });
        assert!(conclude(&strict, Some(&publication)).is_ok());
        assert!(publication_text(&publication).contains("3.0 ms after"));
        publication.failed = true;
        assert_eq!(
            conclude(&relaxed, Some(&publication)).unwrap_err().status,
            1
        );
    }
}
