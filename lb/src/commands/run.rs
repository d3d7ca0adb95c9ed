//! `sealgate run`: the balancer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use config::{Config, Loaded};
use kms::StateDirectory;
use tracing::warn;

use super::failure::Failure;
use super::logging::{self, Logging};
use super::root_target::root_key_source;
use super::session::Session;
use super::signals::Signals;
use crate::app::{self, App};

/// Options of `sealgate run`.
#[derive(Debug, Args)]
#[command(
    after_help = "SIGHUP or a change of the file reloads it, SIGTERM and SIGINT drain, SIGUSR1 opens the access \
                        log anew.\n\nExample:\n  sealgate run -c /etc/sealgate/sealgate.yaml"
)]
pub struct Run {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    pub config: PathBuf,
    /// What is said while running.
    #[command(flatten)]
    pub logging: Logging,
}

/// A balancer that serves.
pub struct Running {
    app: Arc<App>,
}

/// Runs the balancer until it has drained.
///
/// # Errors
/// Why it could not start.
pub fn run(session: &Session, options: &Run) -> Result<(), Failure> {
    let _log = logging::start(&options.logging)?;
    start(session, session.directory()?, &options.config)?.wait();
    Ok(())
}

/// Reads the configuration and starts to serve it; signals are obeyed from then on.
///
/// # Errors
/// Why it could not start.
pub fn start(
    session: &Session,
    directory: StateDirectory,
    config: &Path,
) -> Result<Running, Failure> {
    let signals = Signals::catch().map_err(Failure::failed)?;
    let loaded = load(session, config)?;
    let lock = app::lock(&directory, &super::ask::holder())?;
    let root = loaded.config.root_key.as_ref().map(root_key_source);
    let kms = session.open_kms(&directory, root.as_ref())?;
    let app = App::start((directory, lock, kms), config, loaded)?;
    signals.obey(app.clone()).map_err(Failure::failed)?;
    Ok(Running { app })
}

/// Reads the configuration; what was probably not meant goes to the log, faults to whoever started it.
fn load(session: &Session, config: &Path) -> Result<Loaded, Failure> {
    let Ok(loaded) = Config::load(config) else {
        return super::check::load(session, config);
    };
    for warning in &loaded.warnings {
        let place = format!("{}:{}:{}", warning.file, warning.line, warning.column);
        warn!(place, "{}", warning.message);
    }
    Ok(loaded)
}

impl Running {
    /// Waits until it has drained.
    pub fn wait(self) {
        self.app.wait();
    }
}
