//! `sealgate init`: a state directory with all that it needs.

use clap::Args;
use kms::{Environment, InitOptions, RootKeySource, StateDirectory};
use serde_json::json;

use super::failure::Failure;
use super::session::Session;
use super::words::{account, region};

/// Options of `sealgate init`.
#[derive(Debug, Args)]
#[command(
    after_help = "The root key opens everything in the state directory, so it lies outside: at --root-key FILE, or \
                  DIR.root.key beside the state directory (/etc/sealgate/root.key for /var/lib/sealgate). Back \
                  it up, and not to the same place.\n\nExample:\n  sealgate init --state ./state --root-key ./root.key"
)]
pub struct Init {
    /// Account in the ARNs of KMS keys, 12 digits
    #[arg(long, value_name = "ID", value_parser = account)]
    pub account: Option<String>,
    /// Region in the ARNs of KMS keys and in every entry of the store
    #[arg(long, value_name = "NAME", value_parser = region)]
    pub region: Option<String>,
}

/// Makes root key, KMS, empty store and a starter configuration.
///
/// # Errors
/// When there is a state directory already, or it cannot be written.
pub fn run(session: &Session, options: &Init) -> Result<(), Failure> {
    let init = InitOptions {
        root_key: session.root_key.clone(),
        account: options.account.clone(),
        region: options.region.clone(),
    };
    let made = StateDirectory::init(&session.state, &init, &Environment::system());
    let directory = made.map_err(Failure::failed)?;
    let config = directory.path().join(CONFIG);
    write_starter(&config)?;
    let RootKeySource::File(root_key) = directory.root_key();
    let value = json!({
        "state": directory.path(),
        "root_key": root_key,
        "config": config,
        "account": directory.identity().account,
        "region": directory.identity().region,
    });
    let state = directory.path().display();
    for remark in directory.remarks() {
        session.output.remark(remark);
    }
    session.output.result(&value, |_| {
        format!(
            "State directory   {state}\n\
             Root key          {}\n\
             Configuration     {}\n\n\
             Keep a copy of the root key where no backup of {state} goes. Whoever has both reads every\n\
             private key; whoever loses the root key loses them all: nothing else opens the store, and\n\
             nobody can restore it.\n\n\
             Next:\n  \
             sealgate cert import NAME --cert chain.pem --key key.pem --state {state}\n  \
             sealgate run -c {} --state {state}",
            root_key.display(),
            config.display(),
            config.display(),
        )
    })
}

/// Writes the starter configuration, unless one is there.
fn write_starter(path: &std::path::Path) -> Result<(), Failure> {
    use std::io::Write;
    let file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(path);
    let written = match file {
        Ok(mut file) => file.write_all(config::starter(&[]).as_bytes()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    written.map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}

const CONFIG: &str = "sealgate.yaml";
