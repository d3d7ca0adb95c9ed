//! `sealgate kms root …`, `seal` and `unseal`: the root key, which opens everything else.

use base64ct::{Base64, Encoding};
use clap::{Args, Subcommand};
use kms::{Environment, NewRoot, RootKeySource, Share, Sharing, StateDirectory};
use serde_json::json;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::init::dealt;
use super::root_target::RootTarget;
use super::session::Session;
use crate::admin::describe;
use crate::admin::protocol::{Request, Response, RootDescription, RootMove, SealState};
use crate::admin::wire::Secret;

/// The root key
#[derive(Debug, Subcommand)]
pub enum RootCommand {
    /// Show where the root key is kept
    #[command(after_help = "Example:\n  sealgate kms root show")]
    Show,
    /// Seal everything anew under a fresh root key, kept in the same place
    #[command(
        after_help = "Nothing stops meanwhile. Afterwards the old root key opens nothing in the state directory; \
                      backups that were made before still open with it.\n\n\
                      Example:\n  sealgate kms root rotate"
    )]
    Rotate(Rotate),
    /// Seal everything anew under a fresh root key, kept elsewhere
    #[command(
        after_help = "Nothing stops meanwhile. Afterwards the old root key opens nothing in the state directory; \
                      backups that were made before still open with it. `kms.root_key` of the configuration, \
                      where it is there, is yours to change.\n\n\
                      Example:\n  sealgate kms root migrate --to shamir:2of3"
    )]
    Migrate(Migrate),
}

/// Options of `sealgate kms root rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    /// File descriptor that has the new passphrase in its first line
    #[arg(long, value_name = "FD")]
    pub new_passphrase_fd: Option<u32>,
}

/// Options of `sealgate kms root migrate`.
#[derive(Debug, Args)]
pub struct Migrate {
    /// `file:PATH`, `passphrase`, `credential:NAME` (of systemd) or `shamir:2of3` (shares that people keep)
    #[arg(long, value_name = "PLACE")]
    pub to: RootTarget,
    /// File descriptor that has the new passphrase in its first line
    #[arg(long, value_name = "FD")]
    pub new_passphrase_fd: Option<u32>,
}

/// Does what the command line says.
///
/// # Errors
/// Why it was not done.
pub fn run(session: &Session, command: &RootCommand) -> Result<(), Failure> {
    match command {
        RootCommand::Show => show(session),
        RootCommand::Rotate(options) => {
            let root = in_force(session)?;
            let target = RootTarget {
                sharing: sharing(&root),
                source: root.source,
            };
            migrate(session, target, options.new_passphrase_fd)
        }
        RootCommand::Migrate(options) => {
            migrate(session, options.to.clone(), options.new_passphrase_fd)
        }
    }
}

fn show(session: &Session) -> Result<(), Failure> {
    let root = in_force(session)?;
    session.output.result(&root, |_| {
        let mut lines = vec![
            ("Place", root.place.clone()),
            ("Fingerprint", root.fingerprint.clone()),
        ];
        lines.extend(root.created.clone().map(|created| ("Created", created)));
        if let Some((threshold, count)) = root.sharing {
            lines.push(("Shares", format!("{count}, of which {threshold} open it")));
        }
        if root.moving {
            let hint = "a move has begun and is not finished: `sealgate kms root rotate` or a start finishes it";
            lines.push(("State", hint.to_owned()));
        }
        let lines = lines.iter().map(|(label, value)| format!("{label:<11} {value}\n"));
        lines.collect()
    })
}

/// The root key in force, as the running balancer sees it, or from the state directory, which does not
/// take the root key itself.
fn in_force(session: &Session) -> Result<RootDescription, Failure> {
    let directory = session.directory()?;
    if session.connect().is_ok() {
        return match session.ask_running(Request::RootShow)? {
            Response::Root(root) => Ok(*root),
            other => Err(super::ask::unexpected(&other)),
        };
    }
    let root = directory.root_in_force(None).map_err(Failure::failed)?;
    Ok(describe::root(&root))
}

fn sharing(root: &RootDescription) -> Sharing {
    let numbers = root
        .sharing
        .map(|(threshold, count)| Sharing { threshold, count });
    numbers.unwrap_or_default()
}

fn migrate(session: &Session, target: RootTarget, fd: Option<u32>) -> Result<(), Failure> {
    let directory = session.directory()?;
    let (request, secret) = match &target.source {
        // Whoever uses the file shall own it.
        RootKeySource::File(path) => {
            let path = std::path::absolute(path).map_err(Failure::failed)?;
            (RootMove::to_file(path), Secret::default())
        }
        _ => to_send(&make(session, &directory, &target, fd)?, session)?,
    };
    let moved = match session.perform(Request::RootMove(request), secret)? {
        Response::RootMoved(moved) => moved,
        other => return Err(super::ask::unexpected(&other)),
    };
    session.output.result(&*moved, |_| {
        let kept = moved.kept.as_ref().map_or_else(String::new, |file| {
            format!(" It is kept in {file}: delete that file once no such backup is needed.")
        });
        format!(
            "Everything is sealed under the root key {} now, from {}.\n\n\
             The old root key {} opens nothing in {} any more. Backups that were made before still open\n\
             with it: keep it as long as you need them, and as safe.{kept}\n\
             Where a configuration has `kms.root_key`, change it before the next start.",
            moved.now.fingerprint,
            moved.now.place,
            moved.before,
            directory.path().display()
        )
    })
}

fn make(
    session: &Session,
    directory: &StateDirectory,
    target: &RootTarget,
    fd: Option<u32>,
) -> Result<NewRoot, Failure> {
    let mut unlock = kms::Unlock::from_process();
    if target.source == RootKeySource::Passphrase {
        unlock.passphrase = Some(session.new_passphrase(fd)?);
    }
    let wanted = (&target.source, target.sharing);
    let made = directory.make_root(wanted, &unlock, &Environment::system());
    made.map_err(Failure::failed)
}

/// The request to move to `new`. Shares are shown before anything needs them: a crash must not leave
/// a database that nobody can open.
fn to_send(new: &NewRoot, session: &Session) -> Result<(RootMove, Secret), Failure> {
    if !new.shares().is_empty() {
        let texts: Vec<_> = new.shares().iter().map(Share::text).collect();
        let texts: Vec<&str> = texts.iter().map(|text| text.as_str()).collect();
        session
            .output
            .result(&json!({ "shares": texts }), |_| dealt(new.shares()))?;
    }
    let (key, record) = new.to_send().ok_or_else(|| {
        Failure::failed("the root key was made in a file, where it is not looked for")
    })?;
    let request = RootMove {
        to: new.source().clone(),
        record: Some(Base64::encode_string(record)),
    };
    Ok((request, Zeroizing::new(key.expose().to_vec())))
}

/// Takes the keys out of the running balancer's memory.
///
/// # Errors
/// When none runs.
pub fn seal(session: &Session) -> Result<(), Failure> {
    let state = match session.ask_running(Request::Seal)? {
        Response::Seal(state) => state,
        other => return Err(super::ask::unexpected(&other)),
    };
    session.output.result(&state, |_| {
        let out = match state.wiped {
            true => "Its keys are out of memory.",
            false => "Its keys leave the memory when the calls that are under way have ended.",
        };
        format!(
            "The key management service is sealed. {out}\n\
             What is served goes on being served; imports and swaps wait for `sealgate kms unseal`."
        )
    })
}

/// Brings what a sealed key management service waits for.
///
/// # Errors
/// When none runs, or what is brought is wrong.
pub fn unseal(session: &Session) -> Result<(), Failure> {
    let mut state = ask_unseal(session, Secret::default())?;
    if let Some(question) = &state.question {
        state = ask_unseal(session, session.brought(question)?)?;
    }
    session.output.result(&state, |_| match &state.waits_for {
        None => "The key management service is open.".to_owned(),
        Some(needs) => format!("The key management service is still sealed: {needs}."),
    })?;
    match state.question.is_none() && state.waits_for.is_some() {
        true => Err(Failure::shown(1)),
        false => Ok(()),
    }
}

fn ask_unseal(session: &Session, secret: Secret) -> Result<SealState, Failure> {
    let mut client = session.connect()?;
    let answer = client.call(Request::Unseal, &secret, &|_| {});
    match answer.map_err(super::ask::failed)?.response {
        Response::Seal(state) => Ok(state),
        other => Err(super::ask::unexpected(&other)),
    }
}
