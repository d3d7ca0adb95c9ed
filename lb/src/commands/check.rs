//! `sealgate check`: all that a start does, short of binding.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use config::{Config, Loaded};
use serde_json::json;

use super::failure::Failure;
use super::session::Session;
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
    let config = Arc::new(loaded.config);
    let directory = session.directory()?;
    let foundation = Foundation::open(directory, &config, 1)?;
    let prepared = foundation.prepare(config.clone(), None, None)?;
    let broken = foundation.broken().iter().map(ToString::to_string);
    let warnings: Vec<_> = broken.chain(prepared.warnings).collect();
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
            "{} is valid: {} listeners, {} rules, {} target groups; {} certificates open.",
            options.config.display(),
            config.listeners.len(),
            config.rules.len(),
            config.target_groups.len(),
            foundation.table().load().iter().count(),
        )
    })
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
        Err(diagnostics) => {
            session
                .output
                .diagnostics(&diagnostics.render(session.output.colours_remarks()));
            Err(session.output.invalid(diagnostics.to_json()))
        }
    }
}
