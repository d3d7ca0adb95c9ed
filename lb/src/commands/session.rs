//! What every command has at hand.

use std::path::PathBuf;

use clap::Args;

use super::output::{Format, Output};

/// The options of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// State directory: keys, sealed store, admin socket
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "SEALGATE_STATE",
        value_name = "DIR",
        default_value = DEFAULT_STATE,
        hide_env_values = true
    )]
    pub state: PathBuf,
    /// Root key file, if it is not where the state directory or the configuration says
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "SEALGATE_ROOT_KEY",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub root_key: Option<PathBuf>,
    /// File descriptor that has the root key's passphrase in its first line
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FD")]
    pub passphrase_fd: Option<u32>,
    /// Text for people or JSON for programs
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_name = "text|json",
        value_enum,
        default_value_t = Format::Text,
        hide_possible_values = true
    )]
    pub output: Format,
}

/// What every command has at hand.
#[derive(Debug, Clone)]
pub struct Session {
    /// The state directory.
    pub state: PathBuf,
    /// The root key file, where one was named.
    pub root_key: Option<PathBuf>,
    /// The file descriptor that has the root key's passphrase, where one was named.
    pub passphrase_fd: Option<u32>,
    /// Where results and remarks go.
    pub output: Output,
}

impl From<Common> for Session {
    fn from(common: Common) -> Self {
        Self {
            state: common.state,
            root_key: common.root_key,
            passphrase_fd: common.passphrase_fd,
            output: Output::new(common.output),
        }
    }
}

/// The state directory unless another is named.
pub const DEFAULT_STATE: &str = "/var/lib/sealgate";

const GLOBAL: &str = "Global options";
