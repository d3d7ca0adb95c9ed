//! What a balancer says while it runs, on standard error.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use super::output::has_colour;

/// Options about what is said while running.
#[derive(Debug, Clone, Args)]
pub struct Logging {
    /// What to log: a level, or levels by module (`info,lb::health=debug`)
    #[arg(
        long,
        value_name = "FILTER",
        env = "SEALGATE_LOG",
        default_value = "info"
    )]
    pub log: String,
    /// How to log [default: text on a terminal, JSON elsewhere]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What is logged is written out when this is dropped.
#[must_use]
pub struct Log {
    _writes_when_dropped: WorkerGuard,
}

/// Sends the log to standard error from here on, by a thread of its own: whoever logs never waits for a
/// reader, and lines that nobody takes are lost.
///
/// # Errors
/// When the filter cannot be understood.
pub fn start(options: &Logging) -> Result<Log, Failure> {
    let filter = EnvFilter::try_new(&options.log).map_err(|error| {
        Failure::usage(format!(
            "`--log {}` cannot be understood: {error}",
            options.log
        ))
    })?;
    let by_default = match io::stderr().is_terminal() {
        true => LogFormat::Text,
        false => LogFormat::Json,
    };
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .thread_name("log")
        .finish(io::stderr());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Fields of events say `target` of what they are about.
        .with_target(false)
        // What cannot be written is lost: to complain on the same stream would panic.
        .log_internal_errors(false)
        .with_writer(writer);
    match options.log_format.unwrap_or(by_default) {
        LogFormat::Text => log.with_ansi(has_colour(&io::stderr())).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(Log {
        _writes_when_dropped: guard,
    })
}
