//! `sealgate kms grant …`: single rights on a key.

use clap::{Args, Subcommand};
use kms::api::{
    Constraints, CreateGrantRequest, CreateGrantResponse, GrantListEntry, ListGrantsRequest,
    ListGrantsResponse, ListRetirableGrantsRequest, Nothing, RetireGrantRequest,
    RevokeGrantRequest,
};
use serde_json::json;

use super::super::failure::Failure;
use super::super::output::Output;
use super::super::words::key_ref;
use super::data::{context_of, pair};
use super::{Service, every_page, lines, time};

/// Grants: single rights on a key, given and taken back one by one
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// Give somebody rights on a key
    Create(Create),
    /// List the grants on a key
    #[command(after_help = "Example:\n  sealgate kms grant list alias/shop --output json")]
    List {
        /// Key id, key ARN, alias or alias ARN
        #[arg(value_parser = key_ref)]
        key: String,
    },
    /// List the grants that somebody may retire
    #[command(after_help = "Example:\n  sealgate kms grant list-retirable user/alice")]
    ListRetirable {
        /// Who: an ARN, or user/NAME, role/NAME or root of this account
        principal: String,
    },
    /// Give a grant back
    Retire(Retire),
    /// Take a grant away
    #[command(
        after_help = "Example:\n  sealgate kms grant revoke alias/shop \\\n    \
                      5bb1f9a5e3aa0d3bd0a6a1a0c5bc8ac0bdf4fe0b2f1ad5ed11c0e1a6a1e2a5f0"
    )]
    Revoke {
        /// Key id, key ARN, alias or alias ARN
        #[arg(value_parser = key_ref)]
        key: String,
        /// The grant's id
        #[arg(value_name = "GRANT")]
        grant: String,
    },
}

/// Options of `sealgate kms grant create`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sealgate kms grant create alias/shop --grantee user/alice --operation Decrypt \\\n    \
                  --operation Encrypt --context-subset app=shop"
)]
pub struct Create {
    /// Key id, key ARN, alias or alias ARN
    #[arg(value_parser = key_ref)]
    pub key: String,
    /// Who may then use the key: an ARN, or user/NAME, role/NAME or root of this account
    #[arg(long, value_name = "PRINCIPAL")]
    pub grantee: String,
    /// What for: Decrypt, Encrypt, GenerateDataKey, …; may be given several times
    #[arg(long = "operation", value_name = "OPERATION", required = true)]
    pub operations: Vec<String>,
    /// Who may retire the grant, beside the account's root
    #[arg(long, value_name = "PRINCIPAL")]
    pub retiring: Option<String>,
    /// Only with a context of exactly these pairs; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub context_equals: Vec<(String, String)>,
    /// Only with a context that has these pairs; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub context_subset: Vec<(String, String)>,
    /// The same terms under the same name are the same grant
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Options of `sealgate kms grant retire`.
#[derive(Debug, Args)]
#[command(after_help = "By its token, or by its key and id.\n\n\
                  Example:\n  sealgate kms grant retire --token \"$GRANT_TOKEN\"")]
pub struct Retire {
    /// The grant's token, which `grant create` printed
    #[arg(long, value_name = "TOKEN", required_unless_present = "key", conflicts_with_all = ["key", "grant"])]
    pub token: Option<String>,
    /// Key id, key ARN, alias or alias ARN
    #[arg(long, value_name = "KEY", value_parser = key_ref, requires = "grant")]
    pub key: Option<String>,
    /// The grant's id
    #[arg(long, value_name = "GRANT", requires = "key")]
    pub grant: Option<String>,
}

pub(super) fn run(service: &Service<'_>, command: &GrantCommand) -> Result<(), Failure> {
    match command {
        GrantCommand::Create(options) => create(service, options),
        GrantCommand::List { key } => list(service, key),
        GrantCommand::ListRetirable { principal } => list_retirable(service, principal),
        GrantCommand::Retire(options) => retire(service, options),
        GrantCommand::Revoke { key, grant } => revoke(service, key, grant),
    }
}

fn create(service: &Service<'_>, options: &Create) -> Result<(), Failure> {
    let constraints = Constraints {
        encryption_context_subset: context_of(&options.context_subset),
        encryption_context_equals: context_of(&options.context_equals),
        source_arn: None,
    };
    let input = CreateGrantRequest {
        key_id: options.key.clone(),
        grantee_principal: Some(options.grantee.clone()),
        retiring_principal: options.retiring.clone(),
        operations: options.operations.clone(),
        constraints: Some(constraints).filter(|some| *some != Constraints::default()),
        grant_tokens: None,
        name: options.name.clone(),
        dry_run: None,
        grantee_service_principal: None,
        retiring_service_principal: None,
    };
    let answer: CreateGrantResponse = service.call("CreateGrant", &input)?;
    service.show(&answer, |_| {
        lines(&[
            ("Grant", answer.grant_id.clone()),
            ("Token", answer.grant_token.clone()),
        ])
    })
}

fn list(service: &Service<'_>, key: &str) -> Result<(), Failure> {
    let grants = every_page(|marker| {
        let input = ListGrantsRequest {
            key_id: key.to_owned(),
            grant_id: None,
            grantee_principal: None,
            grantee_service_principal: None,
            limit: None,
            marker,
        };
        let page: ListGrantsResponse = service.call("ListGrants", &input)?;
        Ok((page.grants, page.next_marker))
    })?;
    show(service, &grants)
}

fn list_retirable(service: &Service<'_>, principal: &str) -> Result<(), Failure> {
    let grants = every_page(|marker| {
        let input = ListRetirableGrantsRequest {
            limit: None,
            marker,
            retiring_principal: Some(principal.to_owned()),
            retiring_service_principal: None,
        };
        let page: ListGrantsResponse = service.call("ListRetirableGrants", &input)?;
        Ok((page.grants, page.next_marker))
    })?;
    show(service, &grants)
}

fn retire(service: &Service<'_>, options: &Retire) -> Result<(), Failure> {
    let input = RetireGrantRequest {
        grant_token: options.token.clone(),
        key_id: options.key.clone(),
        grant_id: options.grant.clone(),
        dry_run: None,
    };
    service.call::<Nothing>("RetireGrant", &input)?;
    service.done("The grant is retired.")
}

fn revoke(service: &Service<'_>, key: &str, grant: &str) -> Result<(), Failure> {
    let input = RevokeGrantRequest {
        key_id: key.to_owned(),
        grant_id: grant.to_owned(),
        dry_run: None,
    };
    service.call::<Nothing>("RevokeGrant", &input)?;
    service.done("The grant is revoked.")
}

fn show(service: &Service<'_>, grants: &[GrantListEntry]) -> Result<(), Failure> {
    service.show(&json!({ "Grants": grants }), |out| table(grants, out))
}

fn table(grants: &[GrantListEntry], output: &Output) -> String {
    let mut table = output.table(["GRANT", "GRANTEE", "OPERATIONS", "CONTEXT", "CREATED"]);
    for grant in grants {
        table.row([
            grant.grant_id.clone(),
            grant.grantee_principal.clone(),
            grant.operations.join(", "),
            constraint(grant),
            time(grant.creation_date),
        ]);
    }
    table.finish()
}

/// `exactly app=shop`, `with app=shop`, or both.
fn constraint(grant: &GrantListEntry) -> String {
    let Some(constraints) = &grant.constraints else {
        return "any".to_owned();
    };
    let said = [
        ("exactly", &constraints.encryption_context_equals),
        ("with", &constraints.encryption_context_subset),
    ];
    let said = said.into_iter().filter_map(|(word, context)| {
        let pairs = context.as_ref()?.iter();
        let pairs: Vec<_> = pairs.map(|(key, value)| format!("{key}={value}")).collect();
        Some(format!("{word} {}", pairs.join(", ")))
    });
    said.collect::<Vec<_>>().join("; ")
}
