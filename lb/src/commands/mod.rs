//! The command line: one file per command or family of commands.
//!
//! Commands turn options into a [`crate::admin::protocol::Request`], have it done by whoever may
//! write in the state directory ([`ask`]), and show the answer ([`output`]).

pub mod ask;
pub mod bench;
pub mod cli;
pub mod failure;
pub mod logging;
pub mod output;
pub mod prompt;
pub mod running;
pub mod session;
pub mod signals;

pub use cli::{Cli, main};
