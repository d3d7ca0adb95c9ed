//! `sealgate run`: the balancer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use config::{Config, Loaded, OnSealed};
use kms::{Kms, StateDirectory};
use tokio::runtime::Handle;
use tracing::warn;

use super::failure::Failure;
use super::logging::{self, Logging};
use super::root_target::root_key_source;
use super::session::Session;
use super::signals::Signals;
use crate::app::{self, App, Keys};

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
    let loaded = load(session, config)?;
    let lock = app::lock(&directory, &super::ask::holder())?;
    let runtime = app::admin_runtime()?;
    let kms = open(session, &directory, (&loaded.config, config), &runtime)?;
    let signals = Signals::catch().map_err(Failure::failed)?;
    let keys = Keys {
        directory,
        lock,
        kms,
        runtime,
    };
    let app = App::start(keys, config, loaded)?;
    signals.obey(app.clone()).map_err(Failure::failed)?;
    Ok(Running { app })
}

/// Opens the keys; without the root key, as the configuration says: refuses, or waits for it. Signals end a
/// process that waits.
fn open(
    session: &Session,
    directory: &StateDirectory,
    config: (&Config, &Path),
    runtime: &Handle,
) -> Result<Kms, Failure> {
    let root = config.0.root_key.as_ref().map(root_key_source);
    match config.0.on_sealed {
        OnSealed::Refuse => session.open_kms(directory, root.as_ref()),
        OnSealed::Wait => match session.try_kms(directory, root.as_ref())? {
            Ok(kms) => Ok(kms),
            Err(needs) => Ok(app::wait_for_keys(directory, config, needs, runtime)?),
        },
    }
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
