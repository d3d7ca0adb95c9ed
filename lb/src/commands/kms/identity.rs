//! `sealgate kms identity …`: users and roles, and who acts as them.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use kms::api::{
    CreateRoleRequest, CreateServiceRequest, CreateUserRequest, GetCallerIdentityRequest,
    GetCallerIdentityResponse, IdentityDescription, IdentityPolicyRequest, IdentityPolicyResponse,
    IdentityRequest, IdentityResponse, ListIdentitiesRequest, ListIdentitiesResponse, Nothing,
    PutIdentityPolicyRequest, UidRequest,
};
use serde_json::json;

use super::super::failure::Failure;
use super::super::output::Output;
use super::policy::read_policy;
use super::{Service, access_key, every_page, lines, time};

/// Users and roles, their policies, and the local users that act as them
#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Make a user, without rights unless --admin gives them
    #[command(after_help = "Example:\n  sealgate kms identity create-user alice\n  \
                      sealgate kms identity create-user deploy --access-key")]
    CreateUser {
        /// The user's name, with a path before it or not
        name: String,
        /// The user's account [default: that of the state directory]
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
        /// Give the user a policy that allows all on every key whose own policy delegates to the account
        #[arg(long)]
        admin: bool,
        /// Make an access key for the user, and show its secret this once
        #[arg(long)]
        access_key: bool,
        /// An access key that there is already.
        #[command(flatten)]
        given: access_key::Given,
    },
    /// Make an access key for a user, and show its secret this once
    #[command(
        after_help = "A user has two at most: the one in use, and the one that takes its place.\n\n\
                      Example:\n  sealgate kms identity create-access-key alice"
    )]
    CreateAccessKey {
        /// An ARN, or the name of a user of this account
        user: String,
        /// An access key that there is already.
        #[command(flatten)]
        given: access_key::Given,
    },
    /// Switch an access key on or off
    #[command(
        after_help = "Example:\n  sealgate kms identity update-access-key AKIAIOSFODNN7EXAMPLE --status inactive"
    )]
    UpdateAccessKey {
        /// The access key's id
        #[arg(value_name = "ID")]
        id: String,
        /// Whether requests that are signed with it are taken
        #[arg(
            long,
            value_name = "active|inactive",
            value_enum,
            hide_possible_values = true
        )]
        status: access_key::Status,
    },
    /// Take an access key back for good
    #[command(
        after_help = "Example:\n  sealgate kms identity delete-access-key AKIAIOSFODNN7EXAMPLE"
    )]
    DeleteAccessKey {
        /// The access key's id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// List the access keys: whose they are, whether they are active, when they were last used
    #[command(after_help = "Example:\n  sealgate kms identity list-access-keys alice")]
    ListAccessKeys {
        /// An ARN, or the name of a user of this account [default: everybody's]
        user: Option<String>,
    },
    /// Make a role, without rights
    #[command(after_help = "Example:\n  sealgate kms identity create-role web")]
    CreateRole {
        /// The role's name, with a path before it or not
        name: String,
        /// The role's account [default: that of the state directory]
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
    },
    /// Make a service, as which balancers elsewhere use this KMS
    #[command(
        after_help = "A service uses the product's own encryption contexts, each of its running instances by a grant \
                      of its own\non a key: give it the right to kms:CreateGrant there.\n\n\
                      Example:\n  sealgate kms identity create-service edge"
    )]
    CreateService {
        /// The service's name, with a path before it or not
        name: String,
        /// The service's account [default: that of the state directory]
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
    },
    /// List the users and roles
    #[command(after_help = "Example:\n  sealgate kms identity list")]
    List,
    /// Show a user or a role
    #[command(after_help = "Example:\n  sealgate kms identity show user/alice")]
    Show {
        /// An ARN, or user/NAME or role/NAME of this account
        principal: String,
    },
    /// Delete a user or a role that no key policy and no grant names
    #[command(after_help = "Example:\n  sealgate kms identity delete user/alice")]
    Delete {
        /// An ARN, or user/NAME or role/NAME of this account
        principal: String,
    },
    /// Give a user or a role a policy
    #[command(
        after_help = "A policy under the same name is replaced. It counts on keys whose own policy delegates to the \
                      account.\n\n\
                      Example:\n  sealgate kms identity put-policy user/alice use-shop policy.json"
    )]
    PutPolicy {
        /// An ARN, or user/NAME or role/NAME of this account
        principal: String,
        /// The policy's name
        name: String,
        /// File with the policy, `-` for standard input
        #[arg(value_name = "FILE")]
        policy: PathBuf,
    },
    /// Print a policy of a user or a role
    #[command(after_help = "Example:\n  sealgate kms identity get-policy user/alice use-shop")]
    GetPolicy {
        /// An ARN, or user/NAME or role/NAME of this account
        principal: String,
        /// The policy's name
        name: String,
    },
    /// Take a policy from a user or a role
    #[command(after_help = "Example:\n  sealgate kms identity delete-policy user/alice use-shop")]
    DeletePolicy {
        /// An ARN, or user/NAME or role/NAME of this account
        principal: String,
        /// The policy's name
        name: String,
    },
    /// Let a local user act as a user or a role
    #[command(after_help = "Example:\n  sealgate kms identity map-uid user/alice 1000")]
    MapUid {
        /// An ARN, or user/NAME or role/NAME of this account
        principal: String,
        /// The local user's id
        uid: u32,
    },
    /// Let a local user no longer act as a user or a role
    #[command(after_help = "Example:\n  sealgate kms identity unmap-uid user/alice 1000")]
    UnmapUid {
        /// An ARN, or user/NAME or role/NAME of this account
        principal: String,
        /// The local user's id
        uid: u32,
    },
}

pub(super) fn run(service: &Service<'_>, command: &IdentityCommand) -> Result<(), Failure> {
    match command {
        IdentityCommand::CreateUser {
            name,
            account,
            admin,
            access_key,
            given,
        } => {
            let input = CreateUserRequest {
                user_name: name.clone(),
                account_id: account.clone(),
            };
            create_user(service, &input, *admin, (*access_key, given))
        }
        IdentityCommand::CreateAccessKey { user, given } => {
            access_key::create(service, user, given.read()?)
        }
        IdentityCommand::UpdateAccessKey { id, status } => access_key::update(service, id, *status),
        IdentityCommand::DeleteAccessKey { id } => access_key::delete(service, id),
        IdentityCommand::ListAccessKeys { user } => access_key::list(service, user.as_deref()),
        IdentityCommand::CreateRole { name, account } => {
            let input = CreateRoleRequest {
                role_name: name.clone(),
                account_id: account.clone(),
            };
            made(service, "CreateRole", &input)
        }
        IdentityCommand::CreateService { name, account } => {
            let input = CreateServiceRequest {
                service_name: name.clone(),
                account_id: account.clone(),
            };
            made(service, "CreateService", &input)
        }
        IdentityCommand::List => list(service),
        IdentityCommand::Show { principal } => show(service, principal),
        IdentityCommand::Delete { principal } => delete(service, principal),
        IdentityCommand::PutPolicy {
            principal,
            name,
            policy,
        } => put_policy(service, principal, name, policy),
        IdentityCommand::GetPolicy { principal, name } => get_policy(service, principal, name),
        IdentityCommand::DeletePolicy { principal, name } => {
            service.call::<Nothing>("DeleteIdentityPolicy", &policy_of(principal, name))?;
            service.done(&format!("{principal} has no policy {name} any more."))
        }
        IdentityCommand::MapUid { principal, uid } => {
            map(service, "MapUid", principal, *uid)?;
            service.done(&format!("User id {uid} acts as {principal}."))
        }
        IdentityCommand::UnmapUid { principal, uid } => {
            map(service, "UnmapUid", principal, *uid)?;
            service.done(&format!(
                "User id {uid} does not act as {principal} any more."
            ))
        }
    }
}

pub(super) fn whoami(service: &Service<'_>) -> Result<(), Failure> {
    let input = GetCallerIdentityRequest::default();
    let answer: GetCallerIdentityResponse = service.call("GetCallerIdentity", &input)?;
    service.show(&answer, |_| answer.arn.clone())
}

fn create_user(
    service: &Service<'_>,
    input: &CreateUserRequest,
    admin: bool,
    (access_key, given): (bool, &access_key::Given),
) -> Result<(), Failure> {
    let given = given.read()?;
    let answer: IdentityResponse = service.call("CreateUser", input)?;
    let arn = &answer.identity.arn;
    if admin {
        let input = PutIdentityPolicyRequest {
            principal: arn.clone(),
            policy_name: ADMIN_POLICY_NAME.to_owned(),
            policy_document: ADMIN_POLICY.to_owned(),
        };
        service.call::<Nothing>("PutIdentityPolicy", &input)?;
    }
    match access_key || given.is_some() {
        true => access_key::create(service, arn, given),
        false => service.show(&answer, |_| arn.clone()),
    }
}

/// IAM's name for the policy that allows all.
const ADMIN_POLICY_NAME: &str = "AdministratorAccess";
const ADMIN_POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}"#;

fn made(
    service: &Service<'_>,
    operation: &str,
    input: &impl serde::Serialize,
) -> Result<(), Failure> {
    let answer: IdentityResponse = service.call(operation, input)?;
    service.show(&answer, |_| answer.identity.arn.clone())
}

fn list(service: &Service<'_>) -> Result<(), Failure> {
    let identities = every_page(|marker| {
        let input = ListIdentitiesRequest {
            limit: None,
            marker,
        };
        let page: ListIdentitiesResponse = service.call("ListIdentities", &input)?;
        Ok((page.identities, page.next_marker))
    })?;
    let value = json!({ "Identities": identities });
    service.show(&value, |out| table(&identities, out))
}

fn show(service: &Service<'_>, principal: &str) -> Result<(), Failure> {
    let answer: IdentityResponse = service.call("GetIdentity", &named(principal))?;
    service.show(&answer, |_| {
        let identity = &answer.identity;
        lines(&[
            ("ARN", identity.arn.clone()),
            ("Created", time(identity.creation_date)),
            ("User ids", uids(identity)),
            ("Policies", identity.policy_names.join(", ")),
        ])
    })
}

fn delete(service: &Service<'_>, principal: &str) -> Result<(), Failure> {
    service.call::<Nothing>("DeleteIdentity", &named(principal))?;
    service.done(&format!("Deleted {principal}"))
}

fn put_policy(
    service: &Service<'_>,
    principal: &str,
    name: &str,
    policy: &Path,
) -> Result<(), Failure> {
    let input = PutIdentityPolicyRequest {
        principal: principal.to_owned(),
        policy_name: name.to_owned(),
        policy_document: read_policy(policy)?,
    };
    service.call::<Nothing>("PutIdentityPolicy", &input)?;
    service.done(&format!("{principal} has the policy {name}."))
}

fn get_policy(service: &Service<'_>, principal: &str, name: &str) -> Result<(), Failure> {
    let answer: IdentityPolicyResponse =
        service.call("GetIdentityPolicy", &policy_of(principal, name))?;
    service.show(&answer, |_| answer.policy_document.clone())
}

fn map(
    service: &Service<'_>,
    operation: &str,
    principal: &str,
    uid: u32,
) -> Result<Nothing, Failure> {
    let principal = principal.to_owned();
    service.call(operation, &UidRequest { principal, uid })
}

fn named(principal: &str) -> IdentityRequest {
    IdentityRequest {
        principal: principal.to_owned(),
    }
}

fn policy_of(principal: &str, name: &str) -> IdentityPolicyRequest {
    IdentityPolicyRequest {
        principal: principal.to_owned(),
        policy_name: name.to_owned(),
    }
}

fn table(identities: &[IdentityDescription], output: &Output) -> String {
    let mut table = output.table(["ARN", "USER IDS", "POLICIES", "CREATED"]);
    for identity in identities {
        table.row([
            identity.arn.clone(),
            uids(identity),
            identity.policy_names.join(", "),
            time(identity.creation_date),
        ]);
    }
    table.finish()
}

fn uids(identity: &IdentityDescription) -> String {
    let uids: Vec<_> = identity.uids.iter().map(u32::to_string).collect();
    uids.join(", ")
}
