//! `sealgate status`, `reload`, `explain` and `drain`: what is asked of a running balancer.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::output::{Output, count};
use super::session::Session;
use super::words::{method, url};
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
    #[arg(value_parser = url)]
    pub url: String,
    /// Its method
    #[arg(long, value_name = "METHOD", default_value = "GET", value_parser = method)]
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
    let answer = client.call(Request::Drain, &[], &|_| {});
    let response = answer.map_err(super::ask::failed)?.response;
    let Response::Draining {
        connections,
        deadline_s,
    } = response
    else {
        return Err(super::ask::unexpected(&response));
    };
    session.output.remark(&format!(
        "Draining: {} open; what is left after {deadline_s} s is cut.",
        count(connections, "connection")
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
    let value = json!({
        "connections": connections,
        "deadline_s": deadline_s,
        "ended": !options.no_wait,
    });
    session.output.result(&value, |_| match options.no_wait {
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
    if let Some(why) = &status.sealed {
        let meanwhile = match status.phase.as_str() {
            "sealed" => "Nothing is served yet",
            _ => "What is served goes on",
        };
        text += &format!(
            "\nThe key management service is sealed: {why}. {meanwhile}; `sealgate kms unseal` opens it.\n"
        );
    }
    if let Some(http) = &status.admin_http {
        text += &format!("health and metrics on http://{http}\n");
    }
    let calls = status.kms_calls;
    text += &format!(
        "calls of the KMS for the store: {} made, {} saved by bucket keys\n",
        calls.made, calls.saved
    );
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

/// How many certificates a listener has, and which of them expires first: it may have ten thousand.
fn certificates(listener: &ListenerStatus) -> String {
    let first = listener.certificates.iter().min_by_key(|c| &c.not_after);
    match first {
        None => "-".to_owned(),
        Some(first) => format!(
            "{}, next to expire: {} {} on {}",
            listener.certificates.len(),
            first.name,
            first.key_type,
            first.not_after
        ),
    }
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

const GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::protocol::ServedStatus;

    #[test]
    fn of_many_certificates_the_first_to_expire_is_shown() {
        let served = |name: &str, not_after: &str| ServedStatus {
            name: name.to_owned(),
            key_type: "ecdsa-p256".to_owned(),
            serial: "1".to_owned(),
            not_after: not_after.to_owned(),
        };
        let mut listener = ListenerStatus {
            name: "https".to_owned(),
            bind: "[::]:443".to_owned(),
            protocol: "https".to_owned(),
            connections: 0,
            certificates: vec![
                served("a", "2028-01-01T00:00:00Z"),
                served("b", "2027-01-01T00:00:00Z"),
            ],
        };
        assert_eq!(
            certificates(&listener),
            "2, next to expire: b ecdsa-p256 on 2027-01-01T00:00:00Z"
        );
        listener.certificates.clear();
        assert_eq!(certificates(&listener), "-");
    }
}
