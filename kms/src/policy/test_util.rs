//! What the tests of several modules of policies share.

use std::time::{Duration, SystemTime};

use crate::caller::{Outside, Source};
use crate::context::EncryptionContext;
use crate::grant::NewGrant;
use crate::key::{Identity, KeyId};
use crate::policy::action::Action;
use crate::policy::request::{KeyFacts, Request, Target};
use crate::test_util::identity;

pub(super) const KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

/// A request that owns what a [`Request`] borrows.
pub(super) struct Asked {
    pub(super) caller: Outside,
    pub(super) identity: Identity,
    pub(super) action: Action,
    /// None: no key in particular.
    pub(super) key: Option<KeyId>,
    pub(super) alias: Option<String>,
    pub(super) context: Option<EncryptionContext>,
    pub(super) grant: Option<NewGrant>,
    pub(super) now: SystemTime,
}

impl Asked {
    /// To decrypt under [`KEY`] on 2026-01-31 at noon, from 10.1.2.3 over TLS; `who` is `root`,
    /// `user/NAME` or `role/NAME` of this account, or an ARN.
    pub(super) fn by(who: &str) -> Self {
        let arn = match who.starts_with("arn:") {
            true => who.to_owned(),
            false => format!("arn:aws:iam::000000000000:{who}"),
        };
        Self {
            caller: Outside {
                principal: arn.parse().expect("it is a principal"),
                source: Source::Network {
                    address: [10, 1, 2, 3].into(),
                    tls: true,
                },
                via: None,
                options: crate::caller::CallOptions::default(),
            },
            identity: identity(),
            action: Action::Decrypt,
            key: Some(KEY.parse().expect("it is an id")),
            alias: None,
            context: None,
            grant: None,
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_860_800),
        }
    }

    pub(super) fn to(self, action: Action) -> Self {
        Self { action, ..self }
    }

    pub(super) fn with(self, key: &str, value: &str) -> Self {
        let context = self.context.clone().unwrap_or_default();
        Self {
            context: Some(context.with(key, value)),
            ..self
        }
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request {
            action: self.action,
            caller: &self.caller,
            now: self.now,
            identity: &self.identity,
            target: match self.key {
                None => Target::Account,
                Some(id) => Target::Key {
                    id,
                    named: self.alias.as_deref(),
                    aliases: None,
                    facts: KeyFacts::default(),
                },
            },
            context: self.context.as_ref(),
            grant: self.grant.as_ref(),
            algorithm: None,
        }
    }
}
