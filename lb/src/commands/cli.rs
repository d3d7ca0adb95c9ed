//! The command line: every command, its options and its examples.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use super::audit::Audit;
use super::cert::Cert;
use super::failure::Failure;
use super::output::{Format, Output};
use super::session::{Common, Session};
use super::store::Store;
use super::trust::Trust;
use super::{audit, bench, cert, check, demo, init, kms, run, running, store, trust};

/// A TLS-offloading load balancer that serves from a sealed certificate store.
#[derive(Debug, Parser)]
#[command(name = "sealgate", version, about, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// The options of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show everything at once: a sealed certificate, two targets, HTTPS on 127.0.0.1
    Demo(demo::Demo),
    /// Make a state directory: root key, KMS, empty store, starter configuration
    Init(init::Init),
    /// Check a configuration and all that it needs, short of binding
    Check(check::Check),
    /// Run the balancer
    Run(run::Run),
    /// Certificates of the sealed store
    #[command(subcommand, after_help = "Example:\n  sealgate cert list")]
    Cert(Cert),
    /// Trust stores: CA certificates that target groups trust
    #[command(subcommand, after_help = "Example:\n  sealgate trust list")]
    Trust(Trust),
    /// The local key management service
    Kms(kms::Kms),
    /// The sealed store as a whole
    #[command(subcommand, after_help = "Example:\n  sealgate store verify")]
    Store(Store),
    /// The log of what was asked of the KMS keys
    #[command(subcommand, after_help = "Example:\n  sealgate audit show --denied")]
    Audit(Audit),
    /// Measure a TLS server, of whatever make
    Bench(bench::Bench),
    /// Show how the running balancer is
    #[command(after_help = "Example:\n  sealgate status --output json | jq .listeners")]
    Status,
    /// Have the running balancer read its configuration anew
    #[command(
        after_help = "The configuration is put in force whole or not at all.\n\n\
                            Example:\n  sealgate reload"
    )]
    Reload,
    /// Have the running balancer finish what is in flight and end
    Drain(running::Drain),
    /// Show which way a request would take, and why
    Explain(running::Explain),
    /// Print a JSON Schema of the configuration, for editors
    #[command(after_help = "Example:\n  sealgate schema > sealgate.schema.json")]
    Schema,
    /// Print a script that completes commands in a shell
    #[command(
        after_help = "Example:\n  sealgate completions bash > /etc/bash_completion.d/sealgate"
    )]
    Completions {
        /// For which shell
        shell: Shell,
    },
}

/// Does what the command line says; the exit status is 0 for done, 1 for failed, 2 for wrong usage
/// or an invalid configuration.
pub fn main() -> ExitCode {
    let Cli { common, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error),
    };
    let session = Session::from(common);
    let hardened = ::kms::hygiene::harden_process().map_err(|error| {
        Failure::failed(format!(
            "the system does not let this process forbid crash dumps of itself: {error}"
        ))
    });
    match hardened.and_then(|()| dispatch(&session, &command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            session.output.failure(&failure);
            ExitCode::from(failure.status)
        }
    }
}

/// Says why the command line is not understood, or gives the help that was asked for.
fn misunderstood(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && wants_json(std::env::args_os()) {
        let failure = Failure::usage(usage_message(error));
        Output::new(Format::Json).failure(&failure);
        return ExitCode::from(failure.status);
    }
    // There is nowhere left to say that this cannot be said.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
}

/// Whether a command line asks for JSON, whatever else is wrong with it.
fn wants_json(words: impl IntoIterator<Item = OsString>) -> bool {
    let words: Vec<_> = words.into_iter().collect();
    words.windows(2).any(|pair| pair == ["--output", "json"])
        || words.iter().any(|word| word == "--output=json")
}

/// What is wrong, without the hints for people at a terminal.
fn usage_message(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or_default();
    let text = text
        .split("\n\nFor more information")
        .next()
        .unwrap_or_default();
    text.trim_start_matches("error: ").trim().to_owned()
}

fn dispatch(session: &Session, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Demo(options) => demo::run(session, options),
        Command::Init(options) => init::run(session, options),
        Command::Check(options) => check::run(session, options),
        Command::Run(options) => run::run(session, options),
        Command::Cert(command) => cert::run(session, command),
        Command::Trust(command) => trust::run(session, command),
        Command::Kms(options) => kms::run(session, options),
        Command::Store(command) => store::run(session, command),
        Command::Audit(command) => audit::run(session, command),
        Command::Explain(options) => running::explain(session, options),
        Command::Schema => schema(session),
        Command::Bench(options) => bench::bench(session, options),
        Command::Status => running::status(session),
        Command::Reload => running::reload(session),
        Command::Drain(options) => running::drain(session, options),
        Command::Completions { shell } => completions(session, *shell),
    }
}

fn schema(session: &Session) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&config::schema()).map_err(Failure::failed)?;
    session.output.print(&text)
}

fn completions(session: &Session, shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sealgate", &mut script);
    session.output.print(&String::from_utf8_lossy(&script))
}

const EXAMPLES: &str = "\
Example:
  sealgate demo
  sealgate init --state ./state
  sealgate cert import shop.example.com --cert chain.pem --key key.pem --state ./state
  sealgate run -c sealgate.yaml --state ./state";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn walk(command: &clap::Command, path: &str) {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                help.contains("Example") && help.contains("sealgate"),
                "{path} has no example"
            );
            for sub in command.get_subcommands() {
                walk(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        walk(&Cli::command(), "sealgate");
    }

    #[test]
    fn every_example_is_understood() {
        let mut command = Cli::command();
        for line in examples(&mut command) {
            let words = line.split(' ').filter(|word| !word.is_empty());
            let words = words.take_while(|word| !["|", ">", "#"].contains(word));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn programs_are_told_of_wrong_usage_in_json() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (line, message) in [
            (
                "sealgate --output json cert show",
                "the following required arguments were not provided:\n  <NAME>",
            ),
            (
                "sealgate cert csr a --san a_b --output=json",
                "invalid value 'a_b' for '--san <NAME>': `a_b` cannot stand in a certificate",
            ),
        ] {
            assert!(wants_json(words(line)), "{line}");
            let error = Cli::try_parse_from(words(line)).expect_err("wrong usage");
            let said = usage_message(&error);
            assert!(
                said.starts_with(message) && !said.contains("--help"),
                "{said}"
            );
        }
        assert!(!wants_json(words("sealgate cert show --output text json")));
    }

    fn examples(command: &mut clap::Command) -> Vec<String> {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        // What goes on in the next line is one example.
        let help = help.replace("\\\n", " ");
        let lines = help
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("sealgate "));
        let mut found: Vec<_> = lines.map(str::to_owned).collect();
        for sub in command.get_subcommands_mut() {
            found.extend(examples(sub));
        }
        found
    }
}
