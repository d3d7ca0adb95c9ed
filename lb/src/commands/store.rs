//! `sealgate store …`: the sealed store as a whole.

use clap::Subcommand;

use super::failure::Failure;
use super::output::count;
use super::session::Session;
use super::words::key_ref;
use crate::admin::protocol::{Request, Resealed, Response, Verification};
use crate::admin::wire::Secret;

/// The sealed store as a whole
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Open every entry and name what is wrong
    #[command(
        after_help = "Exit status 1 if an entry does not open.\n\nExample:\n  sealgate store verify --output json"
    )]
    Verify,
    /// Move every entry to the newest material of its KMS key, or to another key, while it is served
    #[command(
        after_help = "What is served goes on being served, and an interrupted move is finished by the same command.\n\
                      Exit status 1 if an entry could not be moved.\n\n\
                      Example:\n  sealgate store reseal\n  sealgate store reseal --to-key alias/shop"
    )]
    Reseal {
        /// The KMS key under which the store is sealed from then on: key id, key ARN, alias or alias ARN
        #[arg(long, value_name = "KEY", value_parser = key_ref)]
        to_key: Option<String>,
    },
}

/// Does what the command line says.
///
/// # Errors
/// When an entry does not open, or none could be tried.
pub fn run(session: &Session, command: &Store) -> Result<(), Failure> {
    match command {
        Store::Verify => verify(session),
        Store::Reseal { to_key } => reseal(session, to_key.as_deref()),
    }
}

fn verify(session: &Session) -> Result<(), Failure> {
    let done = session.perform(Request::StoreVerify, Secret::default())?;
    let Response::Verified(verification) = &done else {
        return Err(super::ask::unexpected(&done));
    };
    session
        .output
        .result(verification, |_| text(verification))?;
    match verification.bad.is_empty() {
        true => Ok(()),
        false => Err(Failure::shown(1)),
    }
}

fn reseal(session: &Session, to_key: Option<&str>) -> Result<(), Failure> {
    let to_key = to_key.map(str::to_owned);
    let done = session.perform(Request::StoreReseal { to_key }, Secret::default())?;
    let Response::Resealed(resealed) = &done else {
        return Err(super::ask::unexpected(&done));
    };
    session
        .output
        .result(resealed, |_| resealed_text(resealed))?;
    match resealed.bad.is_empty() {
        true => Ok(()),
        false => Err(Failure::shown(1)),
    }
}

fn resealed_text(resealed: &Resealed) -> String {
    let mut text = String::new();
    for bad in &resealed.bad {
        text += &format!("STAYS  {}: {}\n", bad.file, bad.reason);
    }
    let Resealed {
        kms_key,
        backing_key,
        moved,
        unchanged,
        ..
    } = resealed;
    text + &format!(
        "{} moved to {kms_key}, generation {backing_key}; {unchanged} there already.\n",
        count(*moved, "entry")
    )
}

fn text(verification: &Verification) -> String {
    let mut text = String::new();
    for bad in &verification.bad {
        text += &format!("BAD  {}: {}\n", bad.file, bad.reason);
    }
    for remark in &verification.remarks {
        text += &format!("     {remark}\n");
    }
    text + &match (verification.good, verification.bad.len()) {
        (0, 0) => "The store is empty.\n".to_owned(),
        (1, 0) => "1 entry is whole and opens.\n".to_owned(),
        (good, 0) => format!("{good} entries are whole and open.\n"),
        (good, bad) => format!(
            "Whole and open: {good} of {}.\n",
            count(good + bad as u64, "entry")
        ),
    }
}
