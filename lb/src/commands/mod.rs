//! The command line: one file per command or family of commands.
//!
//! Commands turn options into a [`crate::admin::protocol::Request`], have it done by whoever may
//! write in the state directory ([`ask`]), and show the answer ([`output`]).

pub mod ask;
pub mod audit;
pub mod bench;
pub mod cert;
pub mod check;
pub mod cli;
pub mod demo;
pub mod failure;
pub mod init;
pub mod kms;
pub mod leave;
pub mod logging;
pub mod output;
pub mod prompt;
pub mod root;
pub mod root_target;
pub mod run;
pub mod running;
pub mod session;
pub mod signals;
pub mod store;
pub mod trust;
pub mod unlock;
pub mod words;

pub use cli::{Cli, main};

use crate::admin::protocol::Response;
use failure::Failure;
use session::Session;

/// Says what was deleted.
fn deleted(session: &Session, done: &Response) -> Result<(), Failure> {
    let Response::Deleted { what } = done else {
        return Err(ask::unexpected(done));
    };
    session
        .output
        .result(&serde_json::json!({ "deleted": what }), |_| {
            what.iter().map(|one| format!("Deleted {one}\n")).collect()
        })
}
