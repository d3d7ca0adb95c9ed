//! `sealgate kms …`: the local key management service.
//!
//! Each command is an operation of the KMS by AWS's name ([`kms::api`]), asked of the running balancer or
//! done by this process while none runs. Programs get the operation's answer as it is.

mod access_key;
mod alias;
mod crypto;
mod data;
mod explain;
mod file;
mod grant;
mod identity;
mod key;
mod policy;
mod signing;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ask::{failed, unexpected};
use super::failure::Failure;
use super::root::{self, RootCommand};
use super::session::Session;
use crate::admin::client::Client;
use crate::admin::protocol::{Answer, Request, Response};
use crate::admin::wire::Secret;

/// Options of `sealgate kms`.
#[derive(Debug, Args)]
#[command(
    after_help = "Whoever owns the state directory is the account's root. Other users of this machine name the \
                  socket that\n`kms.socket` in the configuration opens for them, and are the identity that their \
                  user id is mapped to.\n\n\
                  Example:\n  sealgate kms key list\n  sealgate kms whoami --socket /run/sealgate/kms.sock"
)]
pub struct Kms {
    /// Socket of the KMS of a running balancer, for users who cannot read its state directory
    #[arg(
        long,
        global = true,
        env = "SEALGATE_KMS_SOCKET",
        value_name = "SOCKET",
        hide_env_values = true
    )]
    pub socket: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: KmsCommand,
}

/// The local key management service
#[derive(Debug, Subcommand)]
pub enum KmsCommand {
    /// KMS keys
    #[command(subcommand, after_help = "Example:\n  sealgate kms key list")]
    Key(key::KeyCommand),
    /// Aliases: names for keys
    #[command(subcommand, after_help = "Example:\n  sealgate kms alias list")]
    Alias(alias::AliasCommand),
    /// Key policies: who may use a key
    #[command(
        subcommand,
        after_help = "Example:\n  sealgate kms policy get alias/shop > policy.json"
    )]
    Policy(policy::PolicyCommand),
    /// Grants: single rights on a key, given and taken back one by one
    #[command(
        subcommand,
        after_help = "Example:\n  sealgate kms grant list alias/shop"
    )]
    Grant(grant::GrantCommand),
    /// Users and roles, their policies, and the local users that act as them
    #[command(
        subcommand,
        after_help = "Example:\n  sealgate kms identity create-user alice"
    )]
    Identity(identity::IdentityCommand),
    /// Show as whom this command asks
    #[command(after_help = "Example:\n  sealgate kms whoami")]
    Whoami,
    /// Encrypt at most 4,096 bytes under a key, or a file of any length
    Encrypt(crypto::Encrypt),
    /// Decrypt what `encrypt` made
    Decrypt(crypto::Decrypt),
    /// Encrypt a ciphertext anew, under another key or context, without showing what is in it
    ReEncrypt(crypto::ReEncrypt),
    /// Make a data key: in plain, and wrapped under a key
    GenerateDataKey(crypto::GenerateDataKey),
    /// Sign a message with a key
    Sign(signing::Sign),
    /// Verify a signature
    Verify(signing::Verify),
    /// Make the MAC of a message
    Mac(signing::Mac),
    /// Verify a MAC
    VerifyMac(signing::VerifyMac),
    /// Print random bytes
    Random(signing::Random),
    /// Show whether somebody may do something, and by which statement or grant
    Explain(explain::Explain),
    /// The root key, which opens everything else
    #[command(subcommand, after_help = "Example:\n  sealgate kms root show")]
    Root(RootCommand),
    /// Take the keys out of the running balancer's memory
    #[command(
        after_help = "What is served goes on being served; whatever takes a key is refused until `sealgate kms \
                      unseal`.\n\nExample:\n  sealgate kms seal"
    )]
    Seal,
    /// Bring the running balancer what opens its keys: the passphrase, one share, or nothing
    #[command(
        after_help = "Asks on the terminal, or takes --passphrase-fd.\n\nExample:\n  sealgate kms unseal"
    )]
    Unseal,
}

/// Does what the command line says.
///
/// # Errors
/// Why it was not done.
pub fn run(session: &Session, options: &Kms) -> Result<(), Failure> {
    let service = &Service {
        session,
        socket: options.socket.as_deref(),
    };
    match &options.command {
        KmsCommand::Key(command) => key::run(service, command),
        KmsCommand::Alias(command) => alias::run(service, command),
        KmsCommand::Policy(command) => policy::run(service, command),
        KmsCommand::Grant(command) => grant::run(service, command),
        KmsCommand::Identity(command) => identity::run(service, command),
        KmsCommand::Whoami => identity::whoami(service),
        KmsCommand::Encrypt(options) => crypto::encrypt(service, options),
        KmsCommand::Decrypt(options) => crypto::decrypt(service, options),
        KmsCommand::ReEncrypt(options) => crypto::re_encrypt(service, options),
        KmsCommand::GenerateDataKey(options) => crypto::generate_data_key(service, options),
        KmsCommand::Sign(options) => signing::sign(service, options),
        KmsCommand::Verify(options) => signing::verify(service, options),
        KmsCommand::Mac(options) => signing::mac(service, options),
        KmsCommand::VerifyMac(options) => signing::verify_mac(service, options),
        KmsCommand::Random(options) => signing::random(service, options),
        KmsCommand::Explain(options) => explain::run(service, options),
        KmsCommand::Root(command) => root::run(session, command),
        KmsCommand::Seal => root::seal(session),
        KmsCommand::Unseal => root::unseal(session),
    }
}

/// The KMS, wherever it is.
pub(super) struct Service<'a> {
    session: &'a Session,
    socket: Option<&'a Path>,
}

impl Service<'_> {
    /// Has an operation done.
    ///
    /// # Errors
    /// Why it was not done.
    fn call<T: DeserializeOwned>(
        &self,
        operation: &str,
        input: &impl Serialize,
    ) -> Result<T, Failure> {
        self.call_forcing(operation, input, false)
    }

    /// The same, where `force` says so also if entries of the store would no longer open then.
    ///
    /// # Errors
    /// Why it was not done.
    fn call_forcing<T: DeserializeOwned>(
        &self,
        operation: &str,
        input: &impl Serialize,
        force: bool,
    ) -> Result<T, Failure> {
        let input = ::kms::api::write(input).map_err(Failure::failed)?;
        let request = Request::KmsCall {
            operation: operation.to_owned(),
            force,
        };
        let Answer { response, secret } = self.ask(request, input)?;
        match response {
            Response::KmsAnswered => serde_json::from_slice(&secret).map_err(Failure::failed),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&self, request: Request, input: Secret) -> Result<Answer, Failure> {
        let Some(socket) = self.socket else {
            return self.session.carry_out(request, input);
        };
        let mut client = Client::connect_to_socket(socket).map_err(|error| {
            Failure::failed(format!(
                "no KMS answers on {}: {error}; `kms.socket` in the configuration of a running balancer opens \
                 one",
                socket.display()
            ))
        })?;
        client.call(request, &input, &|_| {}).map_err(failed)
    }

    /// Shows an answer: as it is to programs, as `text` says to people.
    fn show<T: Serialize>(
        &self,
        answer: &T,
        text: impl FnOnce(&super::output::Output) -> String,
    ) -> Result<(), Failure> {
        self.session.output.result(answer, text)
    }

    /// Shows programs an answer that holds a secret, in memory that is wiped.
    fn show_secret(&self, answer: &impl Serialize) -> Result<(), Failure> {
        let text = ::kms::api::write(answer).map_err(Failure::failed)?;
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(&text)
            .and_then(|()| stdout.write_all(b"\n"));
        let written = written.and_then(|()| stdout.flush());
        written.map_err(|error| Failure::output(&error))
    }

    /// Says that something without an answer of its own was done.
    fn done(&self, what: &str) -> Result<(), Failure> {
        let answer = serde_json::json!({});
        self.session.output.result(&answer, |_| format!("{what}\n"))
    }
}

/// Goes on asking for the next page, until `ask` says that there is none.
fn every_page<T>(
    mut ask: impl FnMut(Option<String>) -> Result<(Vec<T>, Option<String>), Failure>,
) -> Result<Vec<T>, Failure> {
    let mut all = Vec::new();
    let mut marker = None;
    loop {
        let (mut page, next) = ask(marker)?;
        all.append(&mut page);
        match next {
            Some(next) => marker = Some(next),
            None => return Ok(all),
        }
    }
}

/// Lines of a label and a value each, the values under each other.
fn lines(pairs: &[(&str, String)]) -> String {
    let width = pairs
        .iter()
        .map(|(label, _)| label.len())
        .max()
        .unwrap_or_default();
    let line = |(label, value): &(&str, String)| format!("{label:<width$} {value}\n");
    pairs.iter().map(line).collect()
}

/// A time of an answer, in RFC 3339.
fn time(timestamp: ::kms::api::Timestamp) -> String {
    let time = timestamp.to_system_time();
    time.map(crate::admin::describe::time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_asked_for_until_there_is_none() {
        let asked = every_page(|marker| {
            Ok(match marker.as_deref() {
                None => (vec![1, 2], Some("a".to_owned())),
                Some("a") => (vec![], Some("b".to_owned())),
                _ => (vec![3], None),
            })
        });
        assert_eq!(asked.unwrap(), [1, 2, 3]);
    }

    #[test]
    fn values_stand_under_each_other() {
        let text = lines(&[("Key id", "1".to_owned()), ("ARN", "2".to_owned())]);
        assert_eq!(text, "Key id 1\nARN    2\n");
    }
}
