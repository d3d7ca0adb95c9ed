//! `Explain`: whether somebody might do something, and by what. AWS has no such answer.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::exception::Exception;
use super::names::{key_ref, principal};
use super::shape::request;
use super::shapes::{ACTION, ADDRESS, CONTEXT, KEY_ID, PRINCIPAL};
use crate::caller::{CallOptions, Caller, Outside, Source};
use crate::context::EncryptionContext;
use crate::policy::{Action, Reason};
use crate::service::{Kms, Question};

request! {
    /// What `Explain` takes.
    ExplainRequest {
        /// Who.
        principal: String = PRINCIPAL,
        /// What: `kms:Decrypt`, or `Decrypt`.
        action: String = ACTION,
        /// With which key; none: with none in particular.
        key_id: Option<String> = KEY_ID,
        /// With which encryption context.
        encryption_context: Option<EncryptionContext> = CONTEXT,
        /// From which address of the network, over TLS; none: from this machine.
        source_ip: Option<String> = ADDRESS,
    }
}

/// What `Explain` answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExplainResponse {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Who.
    pub principal: String,
    /// What.
    pub action: String,
    /// On what.
    pub resource: String,
    /// By what it was decided: `key_policy`, `grant`, `explicit_deny`, …
    pub decided_by: String,
    /// The same in a sentence.
    pub reason: String,
}

pub(super) fn explain(
    kms: &Kms,
    caller: &Caller,
    request: ExplainRequest,
) -> Result<ExplainResponse, Exception> {
    let key = request.key_id.as_deref().map(key_ref).transpose()?;
    let context = request.encryption_context.unwrap_or_default();
    let question = Question {
        caller: Outside {
            principal: principal(kms, &request.principal)?,
            source: source(request.source_ip.as_deref())?,
            via: None,
            options: CallOptions::default(),
        },
        action: request.action.parse::<Action>()?,
        key: key.as_ref(),
        context: &context,
    };
    let explanation = kms.explain(caller, &question)?;
    Ok(ExplainResponse {
        allowed: explanation.allowed,
        principal: explanation.principal.to_string(),
        action: explanation.action.name().to_owned(),
        resource: explanation.resource,
        decided_by: kind(&explanation.reason),
        reason: explanation.reason.to_string(),
    })
}

fn source(address: Option<&str>) -> Result<Source, Exception> {
    let Some(text) = address else {
        return Ok(Source::Local { uid: NOBODY });
    };
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(Source::Network { address, tls: true }),
        Err(_) => Err(Exception::validation(format!("`{text}` is no IP address"))),
    }
}

/// The word that a reason is written with.
fn kind(reason: &Reason) -> String {
    let value = serde_json::to_value(reason).unwrap_or_default();
    let word = value.as_str().map(str::to_owned);
    let tag = || {
        value
            .as_object()
            .and_then(|tagged| tagged.keys().next().cloned())
    };
    word.or_else(tag).unwrap_or_default()
}

/// No decision depends on it.
const NOBODY: u32 = u32::MAX;
