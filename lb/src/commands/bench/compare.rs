//! `sealgate bench compare`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::series::{with_remarks, write_page};
use crate::bench::{Change, Sheet};
use crate::commands::failure::Failure;
use crate::commands::output::Output;
use crate::commands::session::Session;

/// Options of `sealgate bench compare`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Compare {
    /// The earlier report
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The later report
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// Write both to this file as a page with charts as well
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Compares. What has become worse is no failure.
pub(super) fn compare(session: &Session, options: &Compare) -> Result<(), Failure> {
    let (old, new) = (read(&options.old)?, read(&options.new)?);
    let change = Change::new(&old, &new).map_err(Failure::failed)?;
    let text = |output: &Output| text(output, &change);
    session.output.result(&change, text)?;
    match &options.html {
        Some(path) => {
            let both = Sheet::of_change(&old, &new).map_err(Failure::failed)?;
            write_page(path, &both)
        }
        None => Ok(()),
    }
}

fn text(output: &Output, change: &Change) -> String {
    let heads = ["figure", "server", "old", "new", "ratio", "low–high"];
    let mut table = output.table(heads);
    change.rows().into_iter().for_each(|row| table.row(row));
    with_remarks(table.finish(), &change.remarks)
}

fn read(path: &Path) -> Result<Sheet, Failure> {
    let text = std::fs::read(path).map_err(|error| Failure::reading(path, &error))?;
    let named = |error: String| Failure::failed(format!("{}: {error}", path.display()));
    let json: Value = serde_json::from_slice(&text).map_err(|error| named(error.to_string()))?;
    Sheet::read(&json).map_err(|error| named(error.to_string()))
}

const EXAMPLES: &str = "\
Both files hold what `sealgate bench handshake` or `http` wrote with `--output json`, of one server or
of several. The ratio is that of the medians, new to old; what stands beside it is the farthest that
any round of the one lies from any round of the other.

Examples:
  sealgate bench http --url https://localhost:8443/ --rounds 9 --pid 4711 --output json > old.json
  sealgate bench compare old.json new.json
  sealgate bench compare old.json new.json --html change.html";
