//! `sealgate init`: a state directory with all that it needs.

use clap::Args;
use kms::{Environment, InitOptions, RootKeySource, Share, StateDirectory, Unlock};
use serde_json::json;

use super::failure::Failure;
use super::root_target::RootTarget;
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
    /// Where the root key shall be kept: `file:PATH`, `passphrase`, `credential:NAME` (of systemd) or
    /// `shamir:2of3` (shares that people keep)
    #[arg(long, value_name = "PLACE", conflicts_with = "root_key")]
    pub root: Option<RootTarget>,
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
    let file = session.root_key.clone().map(RootKeySource::File);
    let target = options.root.clone().or(file.map(RootTarget::from));
    let init = InitOptions {
        root_key: target.as_ref().map(|target| target.source.clone()),
        sharing: target.map(|target| target.sharing).unwrap_or_default(),
        account: options.account.clone(),
        region: options.region.clone(),
    };
    let mut unlock = Unlock::from_process();
    if init.root_key == Some(RootKeySource::Passphrase) {
        unlock.passphrase = Some(session.new_passphrase(session.passphrase_fd)?);
    }
    let made = StateDirectory::init_with(&session.state, &init, &unlock, &Environment::system());
    let (directory, shares) = made.map_err(Failure::failed)?;
    let config = directory.path().join(CONFIG);
    write_starter(&config)?;
    let value = json!({
        "state": directory.path(),
        "root_key": directory.root_key().file(),
        "root": directory.root_key(),
        "shares": shares.iter().map(|share| share.text().to_string()).collect::<Vec<_>>(),
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
             {}\n\n\
             Next:\n  \
             sealgate cert import NAME --cert chain.pem --key key.pem --state {state}\n  \
             sealgate run -c {} --state {state}",
            directory.root_key().place(),
            config.display(),
            advice(directory.root_key(), &state.to_string(), &shares),
            config.display(),
        )
    })
}

/// What to do with the root key, now that there is one.
fn advice(source: &RootKeySource, state: &str, shares: &[Share]) -> String {
    match source {
        RootKeySource::File(_) | RootKeySource::Credential(_) => format!(
            "Keep a copy of the root key where no backup of {state} goes. Whoever has both reads every\n\
             private key; whoever loses the root key loses them all: nothing else opens the store, and\n\
             nobody can restore it."
        ),
        RootKeySource::Passphrase => format!(
            "Whoever knows the passphrase and has {state} reads every private key. Whoever forgets it\n\
             loses them all: nothing else opens the store, and nobody can restore it."
        ),
        RootKeySource::Shamir => dealt(shares),
    }
}

/// The shares, which are shown once.
pub(super) fn dealt(shares: &[Share]) -> String {
    let threshold = shares.first().map_or(0, Share::threshold);
    let lines = shares
        .iter()
        .map(|share| format!("  {}  {}\n", share.index(), &*share.text()));
    format!(
        "These are the shares of the root key, shown this once. Give each to somebody else; any {threshold} of\n\
         them open everything, fewer nothing.\n\n{}",
        lines.collect::<String>()
    )
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
