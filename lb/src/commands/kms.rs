//! `sealgate kms …`: the keys under which everything is sealed.

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::session::Session;
use super::words::key_ref;
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
        #[arg(value_parser = key_ref)]
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
            let [key] = &keys[..] else {
                return Err(super::ask::unexpected(&Response::Keys(keys)));
            };
            session.output.result(key, |_| details(key))
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
    let mut lines = vec![
        ("Key id", key.id.clone()),
        ("ARN", key.arn.clone()),
        ("Tier", key.tier.clone()),
        ("Description", key.description.clone()),
        ("Aliases", key.aliases.join(", ")),
        ("Created", key.created.clone()),
        ("Generations", key.backing_keys.len().to_string()),
    ];
    lines.extend(key.backing_keys.iter().map(|made| ("", made.clone())));
    let lines = lines
        .iter()
        .map(|(label, value)| format!("{label:<11} {value}\n"));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_counted_and_dated() {
        let key = KeyDescription {
            id: "id".to_owned(),
            arn: "arn".to_owned(),
            tier: "managed".to_owned(),
            description: "for tests".to_owned(),
            aliases: vec!["alias/a".to_owned()],
            created: "2027-01-01T00:00:00Z".to_owned(),
            backing_keys: ["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"]
                .map(str::to_owned)
                .to_vec(),
        };
        let text = details(&key);
        assert!(text.starts_with("Key id      id\n"), "{text}");
        let dates =
            "Generations 2\n            2027-01-01T00:00:00Z\n            2028-01-01T00:00:00Z\n";
        assert!(text.ends_with(dates), "{text}");
    }
}
