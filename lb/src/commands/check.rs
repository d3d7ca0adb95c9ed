//! `sealgate check`: all that a start does, short of binding.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certstore::CertTable;
use clap::Args;
use config::{AccessLog, Config, Diagnostics, Loaded};
use kms::StateDirectory;
use rustix::fs::{Access, access};
use serde_json::json;

use super::failure::Failure;
use super::output::count;
use super::root_target::root_key_source;
use super::session::Session;
use crate::admin::describe;
use crate::app::Foundation;

/// Options of `sealgate check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Opens the keys and every certificate, and tells every fault at once.\n\n\
                  Example:\n  sealgate check -c sealgate.yaml"
)]
pub struct Check {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Checks a configuration and all that it needs.
///
/// # Errors
/// Everything that would keep a balancer from serving it.
pub fn run(session: &Session, options: &Check) -> Result<(), Failure> {
    let loaded = load(session, &options.config)?;
    let config = Arc::new(loaded.config.clone());
    let directory = session.directory()?;
    let socket = admin_socket(&directory, &config);
    let root = config.root_key.as_ref().map(root_key_source);
    let kms = session.open_kms(&directory, root.as_ref())?;
    let foundation = Foundation::open(directory, kms, &config, 1, None)?;
    let secrets = foundation.open_secrets(&loaded);
    let secrets = secrets.map_err(|diagnostics| shown(session, &diagnostics))?;
    let prepared = foundation.prepare(config.clone(), &secrets, None, None)?;
    if let Some(AccessLog::File(path)) = &config.access_log {
        log_place(path).map_err(|why| {
            Failure::failed(format!(
                "the access log {} cannot be written: {why}",
                path.display()
            ))
        })?;
    }
    let mut warnings: Vec<_> = foundation
        .broken()
        .iter()
        .map(ToString::to_string)
        .collect();
    warnings.extend(prepared.warnings);
    warnings.extend(expiring(
        &config,
        &foundation.table().load(),
        SystemTime::now(),
    ));
    warnings.extend(socket_place(&socket).err().map(|why| {
        format!(
            "the admin socket {} cannot be made: {why}",
            socket.display()
        )
    }));
    for warning in &warnings {
        session.output.warning(warning);
    }
    let value = json!({
        "config": options.config,
        "listeners": config.listeners.len(),
        "rules": config.rules.len(),
        "target_groups": config.target_groups.len(),
        "certificates": foundation.table().load().iter().count(),
        "warnings": warnings,
    });
    session.output.result(&value, |_| {
        format!(
            "{} is valid: {}, {}, {}; {} that can be opened.",
            options.config.display(),
            count(config.listeners.len(), "listener"),
            count(config.rules.len(), "rule"),
            count(config.target_groups.len(), "target group"),
            count(foundation.table().load().iter().count(), "certificate"),
        )
    })
}

fn admin_socket(directory: &StateDirectory, config: &Config) -> PathBuf {
    let named = config.admin.socket.clone();
    named.unwrap_or_else(|| directory.path().join("admin.sock"))
}

/// Whether a log can be written at `path`, without making it.
fn log_place(path: &Path) -> io::Result<()> {
    let Ok(found) = path.metadata() else {
        return writable_parent(path);
    };
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if found.file_type().is_fifo() {
        return Err(io::Error::other(
            "it is a FIFO, which stops while nobody reads",
        ));
    }
    Ok(access(path, Access::WRITE_OK)?)
}

/// Whether a socket can be made at `path`. It is no fault yet if not: under systemd its directory is
/// made for the service alone, at its start.
fn socket_place(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::other("something else is in the way"))
        }
        _ => writable_parent(path),
    }
}

fn writable_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new("."));
    let usable = match parent.metadata() {
        Ok(found) if found.is_dir() => {
            access(parent, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
        }
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        Err(error) => Err(error),
    };
    usable.map_err(|error| io::Error::other(format!("{}: {error}", parent.display())))
}

/// A word about each certificate that listeners show and that ends within days.
fn expiring(config: &Config, table: &CertTable, now: SystemTime) -> Vec<String> {
    let listeners = config
        .listeners
        .iter()
        .filter_map(|listener| listener.tls.as_ref());
    let selectors: Vec<_> = listeners.flat_map(|tls| &tls.certificates).collect();
    let shown = |entry: &str| selectors.iter().any(|selector| selector.matches(entry));
    let soon = table.iter().filter(|certificate| {
        shown(&certificate.entry)
            && certificate.is_valid_at(now)
            && !certificate.is_valid_at(now + SOON)
    });
    soon.map(|certificate| {
        let left = certificate
            .not_after
            .duration_since(now)
            .unwrap_or_default();
        format!(
            "the certificate {} ({}) expires in {}, on {}: renew it",
            certificate.entry,
            certificate.key_type,
            count(left.as_secs() / SECONDS_PER_DAY, "day"),
            describe::time(certificate.not_after)
        )
    })
    .collect()
}

/// Reads a configuration file; shows its faults and warnings where they stand.
///
/// # Errors
/// When it has faults; they have been shown then.
pub(super) fn load(session: &Session, path: &Path) -> Result<Loaded, Failure> {
    match Config::load(path) {
        Ok(loaded) => {
            session.output.diagnostics(&config::render(
                &loaded.warnings,
                session.output.colours_remarks(),
            ));
            Ok(loaded)
        }
        Err(diagnostics) => Err(shown(session, &diagnostics)),
    }
}

/// The faults of a configuration, which are shown with this.
fn shown(session: &Session, diagnostics: &Diagnostics) -> Failure {
    let rendered = diagnostics.render(session.output.colours_remarks());
    session.output.diagnostics(&rendered);
    session.output.invalid(diagnostics.to_json())
}

const SECONDS_PER_DAY: u64 = 86_400;

/// How long before its end a certificate is spoken of.
const SOON: Duration = Duration::from_secs(7 * SECONDS_PER_DAY);

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_log_needs_a_place() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        assert!(log_place(&at("access.log")).is_ok());
        assert!(!at("access.log").exists(), "nothing is made");
        std::fs::write(at("file"), "").unwrap();
        assert!(log_place(&at("file")).is_ok());
        let said = |path: &Path| log_place(path).unwrap_err().to_string();
        assert!(said(&at("none/access.log")).contains("none"));
        assert!(said(&at("file/access.log")).contains("not a directory"));
        assert!(said(scratch.path()).contains("directory"));
        let fifo = at("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        assert!(said(&fifo).contains("FIFO"));
    }

    #[test]
    fn a_socket_replaces_sockets_only() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("admin.sock");
        assert!(socket_place(&path).is_ok());
        let _listener = UnixListener::bind(&path).unwrap();
        assert!(socket_place(&path).is_ok());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert!(socket_place(&path).is_err());
        assert!(socket_place(&path.join("deeper")).is_err());
    }
}
