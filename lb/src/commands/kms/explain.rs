//! `sealgate kms explain`: whether somebody may do something, and by what.

use clap::Args;
use kms::api::{ExplainRequest, ExplainResponse};

use super::super::failure::Failure;
use super::super::output::Output;
use super::super::words::key_ref;
use super::data::Context;
use super::{Service, lines};

/// Options of `sealgate kms explain`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status 0 where it is allowed, 1 where it is denied.\n\n\
                  Example:\n  sealgate kms explain --principal user/alice --action Decrypt --key alias/shop --context app=shop"
)]
pub struct Explain {
    /// Who: an ARN, or user/NAME, role/NAME or root of this account
    #[arg(long, value_name = "PRINCIPAL")]
    pub principal: String,
    /// What: kms:Decrypt, or Decrypt
    #[arg(long, value_name = "ACTION")]
    pub action: String,
    /// With which key [default: with none in particular]
    #[arg(long, value_name = "KEY", value_parser = key_ref)]
    pub key: Option<String>,
    /// With which encryption context.
    #[command(flatten)]
    pub context: Context,
    /// From which address of the network [default: from this machine]
    #[arg(long, value_name = "ADDRESS")]
    pub source_ip: Option<String>,
}

pub(super) fn run(service: &Service<'_>, options: &Explain) -> Result<(), Failure> {
    let input = ExplainRequest {
        principal: options.principal.clone(),
        action: options.action.clone(),
        key_id: options.key.clone(),
        encryption_context: options.context.get(),
        source_ip: options.source_ip.clone(),
    };
    let answer: ExplainResponse = service.call("Explain", &input)?;
    service.show(&answer, |out| text(&answer, out))?;
    match answer.allowed {
        true => Ok(()),
        false => Err(Failure::shown(1)),
    }
}

fn text(answer: &ExplainResponse, output: &Output) -> String {
    let verdict = match answer.allowed {
        true => "allowed",
        false => "denied",
    };
    lines(&[
        ("Verdict", output.bold(verdict)),
        ("Principal", answer.principal.clone()),
        ("Action", answer.action.clone()),
        ("Resource", answer.resource.clone()),
        ("Because", answer.reason.clone()),
    ])
}
