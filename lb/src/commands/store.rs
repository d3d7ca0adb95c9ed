//! `sealgate store …`: the sealed store as a whole.

use clap::Subcommand;

use super::failure::Failure;
use super::output::count;
use super::session::Session;
use crate::admin::protocol::{Request, Response, Verification};
use crate::admin::wire::Secret;

/// The sealed store as a whole
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Open every entry and name what is wrong
    #[command(
        after_help = "Exit status 1 if an entry does not open.\n\nExample:\n  sealgate store verify --output json"
    )]
    Verify,
}

/// Does what the command line says.
///
/// # Errors
/// When an entry does not open, or none could be tried.
pub fn run(session: &Session, command: &Store) -> Result<(), Failure> {
    match command {
        Store::Verify => verify(session),
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
