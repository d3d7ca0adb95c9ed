//! `sealgate kms …`: the keys under which everything is sealed.

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::session::Session;
use crate::admin::protocol::{KeyDescription, Request, Response};
use crate::admin::wire::Secret;

/// The local key management service
#[derive(Debug, Subcommand)]
pub enum KmsCommand {
    /// KMS keys
    #[command(subcommand, after_help = "Example:\n  sealgate kms key list")]
    Key(KeyCommand),
}

/// KMS keys
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the KMS keys
    #[command(after_help = "Example:\n  sealgate kms key list")]
    List,
    /// Show a KMS key
    #[command(after_help = "Example:\n  sealgate kms key describe alias/sealgate/certstore")]
    Describe {
        /// Key id, key ARN, alias or alias ARN
        key: String,
    },
}

/// Does what the command line says.
///
/// # Errors
/// Why it was not done.
pub fn run(session: &Session, command: &KmsCommand) -> Result<(), Failure> {
    match command {
        KmsCommand::Key(KeyCommand::List) => {
            let keys = ask(session, Request::KeyList)?;
            session.output.result(&keys, |out| table(&keys, out))
        }
        KmsCommand::Key(KeyCommand::Describe { key }) => {
            let keys = ask(session, Request::KeyDescribe { key: key.clone() })?;
            let text = |_: &Output| keys.iter().map(details).collect();
            session.output.result(&keys, text)
        }
    }
}

fn ask(session: &Session, request: Request) -> Result<Vec<KeyDescription>, Failure> {
    match session.perform(request, Secret::default())? {
        Response::Keys(keys) => Ok(keys),
        other => Err(super::ask::unexpected(&other)),
    }
}

fn table(keys: &[KeyDescription], output: &Output) -> String {
    let mut table = output.table(["KEY ID", "TIER", "ALIASES", "CREATED", "GENERATIONS"]);
    for key in keys {
        table.row([
            key.id.clone(),
            key.tier.clone(),
            key.aliases.join(", "),
            key.created.clone(),
            key.backing_keys.len().to_string(),
        ]);
    }
    table.finish()
}

fn details(key: &KeyDescription) -> String {
    [
        ("ARN", key.arn.clone()),
        ("Tier", key.tier.clone()),
        ("Description", key.description.clone()),
        ("Aliases", key.aliases.join(", ")),
        ("Created", key.created.clone()),
        ("Generations", key.backing_keys.join(", ")),
    ]
    .map(|(label, value)| format!("{label:<11} {value}\n"))
    .concat()
}
