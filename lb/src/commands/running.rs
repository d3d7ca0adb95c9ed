//! `sealgate status`, `reload`, `explain` and `drain`: what is asked of a running balancer.

use std::time::Duration;

use clap::Args;

use super::failure::Failure;
use super::output::Output;
use super::session::Session;
use crate::admin::protocol::{
    ExplainRequest, Explanation, ListenerStatus, Reloaded, Request, Response, Status,
};

/// Options of `sealgate drain`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sealgate drain --state /var/lib/sealgate")]
pub struct Drain {
    /// Return at once instead of when the balancer has ended
    #[arg(long)]
    pub no_wait: bool,
}

/// Options of `sealgate explain`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sealgate explain https://shop.example.com/cart --method POST")]
pub struct Explain {
    /// The URL of the request
    pub url: String,
    /// Its method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub method: String,
}

/// Shows how the balancer is.
///
/// # Errors
/// When none runs on the state directory.
pub fn status(session: &Session) -> Result<(), Failure> {
    match session.ask_running(Request::Status)? {
        Response::Status(status) => session
            .output
            .result(&*status, |out| status_text(&status, out)),
        other => Err(super::ask::unexpected(&other)),
    }
}

/// Has the balancer read its configuration anew.
///
/// # Errors
/// All faults of the configuration; the old one stays in force then.
pub fn reload(session: &Session) -> Result<(), Failure> {
    match session.ask_running(Request::Reload)? {
        Response::Reloaded(reloaded) => session
            .output
            .result(&reloaded, |_| reloaded_text(&reloaded)),
        other => Err(super::ask::unexpected(&other)),
    }
}

/// Shows which way a request would take now, and why.
///
/// # Errors
/// When the URL is none, or the request would not be answered.
pub fn explain(session: &Session, options: &Explain) -> Result<(), Failure> {
    let request = Request::Explain(ExplainRequest {
        url: options.url.clone(),
        method: options.method.clone(),
    });
    let explained = match session.ask_running(request)? {
        Response::Explained(explained) => explained,
        other => return Err(super::ask::unexpected(&other)),
    };
    session
        .output
        .result(&*explained, |out| explanation_text(&explained, out))?;
    match explained.answered {
        true => Ok(()),
        false => Err(Failure::shown(1)),
    }
}

/// Has the balancer finish what is in flight and end.
///
/// # Errors
/// When none runs, or it has not ended some time after its deadline.
pub fn drain(session: &Session, options: &Drain) -> Result<(), Failure> {
    let mut client = session.connect()?;
    let response = client
        .call(Request::Drain, &[], &|_| {})
        .map_err(super::ask::failed)?;
    let Response::Draining {
        connections,
        deadline_s,
    } = response
    else {
        return Err(super::ask::unexpected(&response));
    };
    session.output.remark(&format!(
        "Draining: {connections} connections are open; what is left of them after {deadline_s} s is cut."
    ));
    if !options.no_wait {
        let patience = Duration::from_secs(deadline_s) + GRACE;
        client.wait_for_end(patience).map_err(|_| {
            Failure::failed(format!(
                "the balancer has not ended {} s after its deadline: look into its log",
                GRACE.as_secs()
            ))
        })?;
    }
    session.output.result(&response, |_| match options.no_wait {
        true => "The balancer is draining.".to_owned(),
        false => "The balancer has drained and ended.".to_owned(),
    })
}

fn reloaded_text(reloaded: &Reloaded) -> String {
    if reloaded.changes.is_empty() {
        return format!(
            "{} is in force; nothing in it has changed.",
            reloaded.config
        );
    }
    let changes: Vec<_> = reloaded
        .changes
        .iter()
        .map(|change| format!("  {change}\n"))
        .collect();
    format!("{} is in force:\n{}", reloaded.config, changes.concat())
}

fn status_text(status: &Status, output: &Output) -> String {
    let mut text = format!(
        "{}: sealgate {}, process {}, since {}\nconfiguration {}, loaded {}\n",
        output.bold(&status.phase),
        status.version,
        status.pid,
        status.started,
        status.config,
        status.loaded,
    );
    if let Some(why) = &status.refused_config {
        text += &format!("\nThe configuration was changed since and refused:\n{why}\n");
    }
    if let Some(http) = &status.admin_http {
        text += &format!("health and metrics on http://{http}\n");
    }
    text += &format!("\n{}\n", listeners(&status.listeners, output));
    text += &format!("\n{}\n", targets(status, output));
    for entry in &status.refused_entries {
        text += &format!("\nnot served: {}: {}\n", entry.file, entry.reason);
    }
    text
}

fn explanation_text(explanation: &Explanation, output: &Output) -> String {
    let mut table = output.table(["STAGE", "CHOICE", "BECAUSE"]);
    for stage in &explanation.stages {
        table.row([
            stage.stage.clone(),
            stage.choice.clone(),
            stage.because.clone(),
        ]);
    }
    table.finish()
}

fn listeners(listeners: &[ListenerStatus], output: &Output) -> String {
    let mut table = output.table([
        "LISTENER",
        "BIND",
        "PROTOCOL",
        "CONNECTIONS",
        "CERTIFICATES",
    ]);
    for listener in listeners {
        table.row([
            listener.name.clone(),
            listener.bind.clone(),
            listener.protocol.clone(),
            listener.connections.to_string(),
            certificates(listener),
        ]);
    }
    table.finish()
}

/// The first few certificates of a listener: it may have ten thousand.
fn certificates(listener: &ListenerStatus) -> String {
    let shown = listener.certificates.iter().take(SHOWN);
    let mut lines: Vec<_> = shown
        .map(|c| format!("{} {} until {}", c.name, c.key_type, c.not_after))
        .collect();
    if listener.certificates.len() > SHOWN {
        lines.push(format!("and {} more", listener.certificates.len() - SHOWN));
    }
    if lines.is_empty() {
        lines.push("-".to_owned());
    }
    lines.join("\n")
}

fn targets(status: &Status, output: &Output) -> String {
    let mut table = output.table(["TARGET GROUP", "TARGET", "HEALTH", "IN FLIGHT", "REASON"]);
    for group in &status.target_groups {
        for target in &group.targets {
            let row = [
                group.name.clone(),
                target.address.clone(),
                target.health.clone(),
                target.in_flight.to_string(),
                target.reason.clone().unwrap_or_default(),
            ];
            match target.health.as_str() {
                "unhealthy" => table.alarming_row(row),
                _ => table.row(row),
            }
        }
    }
    table.finish()
}

const SHOWN: usize = 10;
const GRACE: Duration = Duration::from_secs(10);
