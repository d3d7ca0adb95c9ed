//! The record of a call, shaped like a CloudTrail event.

use std::fmt;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::files::MAX_LINE;
use crate::caller::{Caller, Source};
use crate::context::EncryptionContext;
use crate::error::Error;
use crate::event::{Event, Named};
use crate::key::{Identity, KeyId};
use crate::principal::{Principal, PrincipalKind};

/// The body of the record of a call, and of its outcome.
pub(super) fn call_body(event: &Event<'_>, outcome: Result<(), &Error>) -> Vec<u8> {
    let failure = outcome.err();
    let message = failure.map(|error| shortened(error.to_string()));
    body(&Call {
        error_code: failure.map(Error::code),
        error_message: message.as_deref(),
        ..Call::new("AwsApiCall", event)
    })
}

/// The body of the record of a call that is about to change something.
pub(super) fn begun_body(event: &Event<'_>) -> Vec<u8> {
    body(&Call::new("AwsApiCallBegun", event))
}

/// Whether an operation changes anything but the log. What is not known is taken to.
pub(super) fn changes(operation: &str) -> bool {
    !READING.iter().any(|start| operation.starts_with(start))
}

/// How the operations begin that CloudTrail calls read-only.
const READING: [&str; 13] = [
    "Decapsulate",
    "Decrypt",
    "DeriveSharedSecret",
    "Describe",
    "Encapsulate",
    "Encrypt",
    "Explain",
    "Generate",
    "Get",
    "List",
    "ReEncrypt",
    "Sign",
    "Verify",
];

fn body(call: &Call<'_>) -> Vec<u8> {
    let body = between_braces(call);
    if body.len() <= MAX_BODY {
        return body;
    }
    // As CloudTrail does with what is too long.
    between_braces(&Call {
        request_parameters: Parameters::Omitted {
            omitted: true,
            original_size: body.len(),
            reason: "request parameters too long",
        },
        ..*call
    })
}

fn between_braces(call: &Call<'_>) -> Vec<u8> {
    let mut json = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut json, call).expect("a call is plain data with texts for keys");
    json.pop();
    json.remove(0);
    json
}

/// A call as it stands in the log.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Call<'a> {
    event_type: &'static str,
    event_source: &'static str,
    event_name: &'a str,
    aws_region: &'a str,
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: Address,
    user_identity: UserIdentity<'a>,
    #[serde(rename = "requestID")]
    request_id: Uuid,
    read_only: bool,
    request_parameters: Parameters<'a>,
    #[serde(skip_serializing_if = "Resources::is_empty")]
    resources: Resources<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
}

impl<'a> Call<'a> {
    fn new(event_type: &'static str, event: &Event<'a>) -> Self {
        Self {
            event_type,
            event_source: "kms.amazonaws.com",
            event_name: event.operation,
            aws_region: &event.identity.region,
            source_ip_address: Address::of(event.caller),
            user_identity: UserIdentity::of(event.caller),
            request_id: event.request_id,
            read_only: !changes(event.operation),
            request_parameters: Parameters::of(event),
            resources: Resources {
                identity: event.identity,
                key: event.key,
            },
            error_code: None,
            error_message: None,
        }
    }
}

/// From where a call came.
#[derive(Clone, Copy)]
enum Address {
    /// The product itself.
    Internal,
    From(Source),
}

impl Address {
    fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Internal => Self::Internal,
            Caller::Outside(outside) => Self::From(outside.source),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internal => f.write_str(SELF),
            Self::From(Source::Local { uid }) => write!(f, "uid:{uid}"),
            Self::From(Source::Network { address, .. }) => address.fmt(f),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Internal => serializer.serialize_str(SELF),
            Self::From(_) => serializer.collect_str(self),
        }
    }
}

/// Who called.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct UserIdentity<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoked_by: Option<&'a str>,
}

impl<'a> UserIdentity<'a> {
    fn of(caller: &'a Caller) -> Self {
        match caller {
            Caller::Internal => Self {
                r#type: "AWSService",
                arn: None,
                account_id: None,
                user_name: None,
                invoked_by: Some(SELF),
            },
            Caller::Outside(outside) => Self {
                invoked_by: outside.via.as_deref(),
                ..Self::of_principal(&outside.principal)
            },
        }
    }

    fn of_principal(principal: &'a Principal) -> Self {
        let name = || principal.resource().rsplit('/').next();
        let (r#type, user_name) = match principal.kind() {
            PrincipalKind::Root => ("Root", None),
            PrincipalKind::User => ("IAMUser", name()),
            PrincipalKind::Role => ("Role", name()),
            PrincipalKind::Service => ("Service", name()),
        };
        Self {
            r#type,
            arn: Some(principal.arn()),
            account_id: Some(principal.account()),
            user_name,
            invoked_by: None,
        }
    }
}

/// What was asked for.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Parameters<'a> {
    #[serde(rename_all = "camelCase")]
    Whole {
        #[serde(skip_serializing_if = "Option::is_none")]
        key_id: Option<Text<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        alias_name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        principal: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        encryption_context: Option<&'a EncryptionContext>,
    },
    #[serde(rename_all = "camelCase")]
    Omitted {
        omitted: bool,
        original_size: usize,
        reason: &'static str,
    },
}

impl<'a> Parameters<'a> {
    fn of(event: &Event<'a>) -> Self {
        let (mut key_id, mut alias_name, mut principal) = (None, None, None);
        match event.named {
            Some(Named::Key(key)) => key_id = Some(Text(key)),
            Some(Named::Alias(alias)) => alias_name = Some(alias),
            Some(Named::Principal(arn)) => principal = Some(arn),
            None => {}
        }
        Self::Whole {
            key_id,
            alias_name,
            principal,
            encryption_context: event.context,
        }
    }
}

/// What is written as it is shown.
#[derive(Clone, Copy)]
struct Text<'a>(&'a dyn fmt::Display);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// The key that was used, as a list of one.
#[derive(Clone, Copy)]
struct Resources<'a> {
    identity: &'a Identity,
    key: Option<KeyId>,
}

impl Resources<'_> {
    fn is_empty(&self) -> bool {
        self.key.is_none()
    }
}

impl Serialize for Resources<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let resources = self.key.map(|key| Resource {
            arn: self.identity.key_arn(key),
            account_id: &self.identity.account,
            r#type: "AWS::KMS::Key",
        });
        serializer.collect_seq(resources)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource<'a> {
    #[serde(rename = "ARN")]
    arn: String,
    account_id: &'a str,
    r#type: &'static str,
}

/// What an error says, as far as it goes into a record.
fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    message
}

/// The product itself, where a caller is named.
const SELF: &str = "sealgate";
/// Bytes of a body that fit into a line with all that stands around it.
const MAX_BODY: usize = MAX_LINE - 256;
/// Bytes of an error's message.
const MAX_MESSAGE: usize = 2048;
/// Bytes of most bodies.
const USUAL: usize = 768;
