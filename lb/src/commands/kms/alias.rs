//! `sealgate kms alias …`: names for keys.

use clap::{Args, Subcommand};
use kms::api::{
    AliasListEntry, AliasRequest, DeleteAliasRequest, ListAliasesRequest, ListAliasesResponse,
    Nothing,
};
use serde_json::json;

use super::super::failure::Failure;
use super::super::output::Output;
use super::super::words::key_ref;
use super::{Service, every_page, time};

/// Aliases: names for keys
#[derive(Debug, Subcommand)]
pub enum AliasCommand {
    /// Give a key a name
    #[command(
        after_help = "Example:\n  sealgate kms alias create alias/shop 1234abcd-12ab-34cd-56ef-1234567890ab"
    )]
    Create(AliasOptions),
    /// Point a name to another key of the same kind
    #[command(
        after_help = "Example:\n  sealgate kms alias update alias/shop 1234abcd-12ab-34cd-56ef-1234567890ab"
    )]
    Update(AliasOptions),
    /// Take a name away; the key stays
    #[command(after_help = "Example:\n  sealgate kms alias delete alias/shop")]
    Delete {
        /// alias/NAME
        alias: String,
    },
    /// List the names of keys
    #[command(after_help = "Example:\n  sealgate kms alias list --output json")]
    List {
        /// Those of this key only
        #[arg(long, value_name = "KEY", value_parser = key_ref)]
        key: Option<String>,
    },
}

/// An alias and its key.
#[derive(Debug, Args)]
pub struct AliasOptions {
    /// alias/NAME
    pub alias: String,
    /// Key id, key ARN, alias or alias ARN
    #[arg(value_parser = key_ref)]
    pub key: String,
}

pub(super) fn run(service: &Service<'_>, command: &AliasCommand) -> Result<(), Failure> {
    match command {
        AliasCommand::Create(options) => point(service, "CreateAlias", options),
        AliasCommand::Update(options) => point(service, "UpdateAlias", options),
        AliasCommand::Delete { alias } => delete(service, alias),
        AliasCommand::List { key } => list(service, key.as_deref()),
    }
}

/// Gives a key a name.
///
/// # Errors
/// Why it has not got it.
pub(super) fn create(service: &Service<'_>, alias: &str, key: &str) -> Result<(), Failure> {
    let input = AliasRequest {
        alias_name: alias.to_owned(),
        target_key_id: key.to_owned(),
    };
    service.call::<Nothing>("CreateAlias", &input).map(drop)
}

fn point(service: &Service<'_>, operation: &str, options: &AliasOptions) -> Result<(), Failure> {
    let input = AliasRequest {
        alias_name: options.alias.clone(),
        target_key_id: options.key.clone(),
    };
    service.call::<Nothing>(operation, &input)?;
    service.done(&format!("{} names {}.", options.alias, options.key))
}

fn delete(service: &Service<'_>, alias: &str) -> Result<(), Failure> {
    let input = DeleteAliasRequest {
        alias_name: alias.to_owned(),
    };
    service.call::<Nothing>("DeleteAlias", &input)?;
    service.done(&format!("Deleted {alias}"))
}

fn list(service: &Service<'_>, key: Option<&str>) -> Result<(), Failure> {
    let aliases = every_page(|marker| {
        let input = ListAliasesRequest {
            key_id: key.map(str::to_owned),
            limit: None,
            marker,
        };
        let page: ListAliasesResponse = service.call("ListAliases", &input)?;
        Ok((page.aliases, page.next_marker))
    })?;
    service.show(&json!({ "Aliases": aliases }), |out| table(&aliases, out))
}

fn table(aliases: &[AliasListEntry], output: &Output) -> String {
    let mut table = output.table(["ALIAS", "KEY ID", "UPDATED"]);
    for alias in aliases {
        table.row([
            alias.alias_name.clone(),
            alias.target_key_id.clone(),
            time(alias.last_updated_date),
        ]);
    }
    table.finish()
}
