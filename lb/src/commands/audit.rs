//! `sealgate audit …`: what was asked of the keys, and whether the log of it is whole.

mod show;
mod verify;

use clap::Subcommand;

use super::failure::Failure;
use super::session::Session;

/// The log of what was asked of the KMS keys
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Look at every record of the log and name the first that is not what it was
    #[command(after_help = "Exit status 1 if the log is not whole.\n\n\
                            Example:\n  sealgate audit verify")]
    Verify(verify::Verify),
    /// Show what was asked of the keys, by whom, and what became of it
    #[command(
        after_help = "Times are `2027-01-31T12:00:00Z`, or how long ago: `15m`, `2h`, `7d`. As JSON, the \
                      records are shown as they stand in the log, one a line.\n\n\
                      Example:\n  sealgate audit show --denied --since 24h\n  \
                      sealgate audit show --key alias/shop --action Decrypt --output json"
    )]
    Show(show::Show),
}

/// Does what the command line says.
///
/// # Errors
/// When the log is not whole, or cannot be read.
pub fn run(session: &Session, command: &Audit) -> Result<(), Failure> {
    match command {
        Audit::Verify(options) => verify::run(session, options),
        Audit::Show(options) => show::run(session, options),
    }
}
