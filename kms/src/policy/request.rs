//! A request as policies see it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::SystemTime;

use crate::caller::{Outside, Source};
use crate::context::EncryptionContext;
use crate::grant::NewGrant;
use crate::key::{Identity, KeyId, KeyOrigin, MultiRegionKind};
use crate::policy::action::Action;
use crate::principal::{Principal, PrincipalKind};
use crate::spec::{KeySpec, KeyUsage};

/// All that a decision may depend on, beside the policies.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) action: Action,
    pub(crate) caller: &'a Outside,
    pub(crate) now: SystemTime,
    /// Whose KMS this is.
    pub(crate) identity: &'a Identity,
    pub(crate) target: Target<'a>,
    pub(crate) context: Option<&'a EncryptionContext>,
    /// The grant that is to be created.
    pub(crate) grant: Option<&'a NewGrant>,
    /// The algorithm that is to be used; none where that goes without saying.
    pub(crate) algorithm: Option<&'static str>,
}

/// What a request is about.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// No key in particular.
    Account,
    /// An alias that has no key yet.
    Alias(&'a str),
    /// A key.
    Key {
        id: KeyId,
        /// The alias by which the request names it.
        named: Option<&'a str>,
        /// All that it has.
        aliases: Option<&'a BTreeSet<String>>,
        /// What it is.
        facts: KeyFacts,
    },
}

/// What conditions may ask of a key itself.
#[derive(Clone, Copy, Default)]
pub(crate) struct KeyFacts {
    pub(crate) spec: KeySpec,
    pub(crate) usage: KeyUsage,
    pub(crate) origin: KeyOrigin,
    /// None: it is of one region.
    pub(crate) multi_region: Option<MultiRegionKind>,
}

impl Request<'_> {
    pub(super) fn principal(&self) -> &Principal {
        &self.caller.principal
    }

    /// Whether the caller is of the account whose KMS this is.
    pub(super) fn is_domestic(&self) -> bool {
        self.principal().account() == self.identity.account
    }

    /// The ARN that `Resource` is compared with; `*` where no resource is meant.
    pub(crate) fn resource(&self) -> String {
        match self.target {
            Target::Account => "*".to_owned(),
            Target::Alias(alias) => self.identity.alias_arn(alias),
            Target::Key { id, .. } => self.identity.key_arn(id),
        }
    }

    /// The values of a condition key; none where the request has no such key.
    pub(super) fn values(&self, key: &ConditionKey) -> Vec<Cow<'_, str>> {
        match key {
            ConditionKey::EncryptionContext(key) => self.context_values(key),
            ConditionKey::Known(known) => self.known_values(*known),
            ConditionKey::Foreign => Vec::new(),
        }
    }

    /// The key's case does not count, as in AWS: then several values may answer.
    fn context_values(&self, key: &str) -> Vec<Cow<'_, str>> {
        let pairs = self.context.into_iter().flat_map(EncryptionContext::iter);
        pairs
            .filter(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| Cow::Borrowed(value))
            .collect()
    }

    fn known_values(&self, key: KnownKey) -> Vec<Cow<'_, str>> {
        let principal = self.principal();
        match key {
            KnownKey::CallerAccount | KnownKey::PrincipalAccount => one(principal.account()),
            KnownKey::PrincipalArn => one(principal.arn()),
            KnownKey::PrincipalType => one(match principal.kind() {
                PrincipalKind::Root => "Account",
                PrincipalKind::User => "User",
                PrincipalKind::Role => "AssumedRole",
                PrincipalKind::Service => "Service",
            }),
            KnownKey::Username => user_name(principal)
                .map(Cow::Borrowed)
                .into_iter()
                .collect(),
            KnownKey::SourceIp | KnownKey::SecureTransport => self.source_values(key),
            KnownKey::ViaService => self
                .caller
                .via
                .as_deref()
                .map(Cow::Borrowed)
                .into_iter()
                .collect(),
            KnownKey::ViaAwsService => one(truth(self.caller.via.is_some())),
            KnownKey::CurrentTime | KnownKey::EpochTime => self.time_values(key),
            KnownKey::EncryptionContextKeys => {
                let pairs = self.context.into_iter().flat_map(EncryptionContext::iter);
                pairs.map(|(name, _)| Cow::Borrowed(name)).collect()
            }
            KnownKey::EncryptionAlgorithm
            | KnownKey::KeyAgreementAlgorithm
            | KnownKey::MacAlgorithm
            | KnownKey::SigningAlgorithm => self.algorithm_values(key),
            KnownKey::KeySpec
            | KnownKey::KeyUsage
            | KnownKey::KeyOrigin
            | KnownKey::MultiRegion
            | KnownKey::MultiRegionKeyType
            | KnownKey::ResourceAccount
            | KnownKey::RequestAlias
            | KnownKey::ResourceAliases => self.key_values(key),
            KnownKey::GrantOperations
            | KnownKey::GrantConstraintType
            | KnownKey::GrantIsForAwsResource
            | KnownKey::GranteePrincipal
            | KnownKey::RetiringPrincipal => self.grant_values(key),
            KnownKey::Unset => Vec::new(),
        }
    }

    fn source_values(&self, key: KnownKey) -> Vec<Cow<'_, str>> {
        match (self.caller.source, key) {
            (Source::Local { .. }, _) => Vec::new(),
            (Source::Network { address, .. }, KnownKey::SourceIp) => {
                vec![Cow::Owned(address.to_canonical().to_string())]
            }
            (Source::Network { tls, .. }, _) => one(truth(tls)),
        }
    }

    fn time_values(&self, key: KnownKey) -> Vec<Cow<'_, str>> {
        let Ok(now) = jiff::Timestamp::try_from(self.now) else {
            return Vec::new();
        };
        vec![Cow::Owned(match key {
            KnownKey::CurrentTime => now.to_string(),
            _ => now.as_second().to_string(),
        })]
    }

    fn key_values(&self, key: KnownKey) -> Vec<Cow<'_, str>> {
        let Target::Key {
            named,
            aliases,
            facts,
            ..
        } = self.target
        else {
            return Vec::new();
        };
        match key {
            KnownKey::RequestAlias => named.map(Cow::Borrowed).into_iter().collect(),
            KnownKey::ResourceAliases => {
                let aliases = aliases.into_iter().flatten();
                aliases.map(|alias| Cow::Borrowed(alias.as_str())).collect()
            }
            KnownKey::ResourceAccount => one(&self.identity.account),
            KnownKey::KeySpec => one(facts.spec.as_str()),
            KnownKey::KeyUsage => one(facts.usage.as_str()),
            KnownKey::KeyOrigin => one(facts.origin.as_str()),
            KnownKey::MultiRegion => one(truth(facts.multi_region.is_some())),
            KnownKey::MultiRegionKeyType => {
                let kind = facts.multi_region.map(MultiRegionKind::as_str);
                kind.map(Cow::Borrowed).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn algorithm_values(&self, key: KnownKey) -> Vec<Cow<'_, str>> {
        let (of_key, goes_without_saying) = match self.action {
            Action::Sign | Action::Verify => (KnownKey::SigningAlgorithm, None),
            Action::GenerateMac | Action::VerifyMac => (KnownKey::MacAlgorithm, None),
            Action::DeriveSharedSecret => (KnownKey::KeyAgreementAlgorithm, None),
            action if action.has_context() => {
                (KnownKey::EncryptionAlgorithm, Some("SYMMETRIC_DEFAULT"))
            }
            _ => return Vec::new(),
        };
        let algorithm = self.algorithm.or(goes_without_saying);
        let algorithm = algorithm.filter(|_| of_key == key);
        algorithm.map(Cow::Borrowed).into_iter().collect()
    }

    fn grant_values(&self, key: KnownKey) -> Vec<Cow<'_, str>> {
        let Some(grant) = self.grant else {
            return Vec::new();
        };
        match key {
            KnownKey::GrantOperations => {
                let operations = grant.operations.iter();
                operations
                    .map(|action| Cow::Borrowed(action.operation()))
                    .collect()
            }
            KnownKey::GrantConstraintType => grant.constraints.types().map(Cow::Borrowed).collect(),
            KnownKey::GranteePrincipal => one(grant.grantee.arn()),
            KnownKey::RetiringPrincipal => {
                let retiring = grant.retiring.iter();
                retiring
                    .map(|retiring| Cow::Borrowed(retiring.arn()))
                    .collect()
            }
            _ => one(truth(self.caller.via.is_some())),
        }
    }
}

/// What a condition looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConditionKey {
    /// `kms:EncryptionContext:KEY`.
    EncryptionContext(String),
    /// A key of the KMS or a global one.
    Known(KnownKey),
    /// One of another service, or a global one that no request here has.
    Foreign,
}

impl ConditionKey {
    /// The key of that name, whose case does not count.
    ///
    /// # Errors
    /// For a `kms:` key that AWS does not have either, and what is no condition key.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some((prefix, key)) = text.split_at_checked(CONTEXT_PREFIX.len())
            && prefix.eq_ignore_ascii_case(CONTEXT_PREFIX)
            && !key.is_empty()
        {
            return Ok(Self::EncryptionContext(key.to_owned()));
        }
        let known = KNOWN
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        match (known, text.split_once(':')) {
            (Some((_, known)), _) => Ok(Self::Known(*known)),
            (None, Some((service, name))) if !service.is_empty() && !name.is_empty() => {
                if service.eq_ignore_ascii_case("kms") {
                    return Err(format!("`{text}` is no condition key of the KMS"));
                }
                Ok(Self::Foreign)
            }
            _ => Err(format!(
                "`{text}` is no condition key: write `kms:NAME` or `aws:NAME`"
            )),
        }
    }
}

/// A condition key by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownKey {
    CallerAccount,
    CurrentTime,
    EncryptionAlgorithm,
    EncryptionContextKeys,
    EpochTime,
    GrantConstraintType,
    GrantIsForAwsResource,
    GrantOperations,
    GranteePrincipal,
    KeyOrigin,
    KeyAgreementAlgorithm,
    KeySpec,
    KeyUsage,
    MacAlgorithm,
    MultiRegion,
    MultiRegionKeyType,
    PrincipalAccount,
    PrincipalArn,
    PrincipalType,
    RequestAlias,
    ResourceAccount,
    ResourceAliases,
    RetiringPrincipal,
    SecureTransport,
    SigningAlgorithm,
    SourceIp,
    Username,
    ViaAwsService,
    ViaService,
    /// A key of AWS's KMS that goes with what this one does not do.
    Unset,
}

fn one(value: &str) -> Vec<Cow<'_, str>> {
    vec![Cow::Borrowed(value)]
}

fn truth(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn user_name(principal: &Principal) -> Option<&str> {
    let name = principal.resource().rsplit('/').next();
    name.filter(|_| principal.kind() == PrincipalKind::User)
}

const CONTEXT_PREFIX: &str = "kms:EncryptionContext:";

const KNOWN: &[(&str, KnownKey)] = &[
    ("aws:CurrentTime", KnownKey::CurrentTime),
    ("aws:EpochTime", KnownKey::EpochTime),
    ("aws:PrincipalAccount", KnownKey::PrincipalAccount),
    ("aws:PrincipalArn", KnownKey::PrincipalArn),
    ("aws:PrincipalType", KnownKey::PrincipalType),
    ("aws:ResourceAccount", KnownKey::ResourceAccount),
    ("aws:SecureTransport", KnownKey::SecureTransport),
    ("aws:SourceIp", KnownKey::SourceIp),
    ("aws:username", KnownKey::Username),
    ("aws:ViaAWSService", KnownKey::ViaAwsService),
    ("kms:BypassPolicyLockoutSafetyCheck", KnownKey::Unset),
    ("kms:CallerAccount", KnownKey::CallerAccount),
    ("kms:CustomerMasterKeySpec", KnownKey::KeySpec),
    ("kms:CustomerMasterKeyUsage", KnownKey::KeyUsage),
    ("kms:DataKeyPairSpec", KnownKey::Unset),
    ("kms:EncryptionAlgorithm", KnownKey::EncryptionAlgorithm),
    ("kms:EncryptionContextKeys", KnownKey::EncryptionContextKeys),
    ("kms:ExpirationModel", KnownKey::Unset),
    ("kms:GrantConstraintType", KnownKey::GrantConstraintType),
    ("kms:GrantIsForAWSResource", KnownKey::GrantIsForAwsResource),
    ("kms:GrantOperations", KnownKey::GrantOperations),
    ("kms:GranteePrincipal", KnownKey::GranteePrincipal),
    ("kms:KeyAgreementAlgorithm", KnownKey::KeyAgreementAlgorithm),
    ("kms:KeyOrigin", KnownKey::KeyOrigin),
    ("kms:KeySpec", KnownKey::KeySpec),
    ("kms:KeyUsage", KnownKey::KeyUsage),
    ("kms:MacAlgorithm", KnownKey::MacAlgorithm),
    ("kms:MessageType", KnownKey::Unset),
    ("kms:MultiRegion", KnownKey::MultiRegion),
    ("kms:MultiRegionKeyType", KnownKey::MultiRegionKeyType),
    ("kms:PrimaryRegion", KnownKey::Unset),
    ("kms:ReEncryptOnSameKey", KnownKey::Unset),
    ("kms:ReplicaRegion", KnownKey::Unset),
    ("kms:RequestAlias", KnownKey::RequestAlias),
    ("kms:ResourceAliases", KnownKey::ResourceAliases),
    ("kms:RetiringPrincipal", KnownKey::RetiringPrincipal),
    ("kms:RotationPeriodInDays", KnownKey::Unset),
    (
        "kms:ScheduleKeyDeletionPendingWindowInDays",
        KnownKey::Unset,
    ),
    ("kms:SigningAlgorithm", KnownKey::SigningAlgorithm),
    ("kms:ValidTo", KnownKey::Unset),
    ("kms:ViaService", KnownKey::ViaService),
    ("kms:WrappingAlgorithm", KnownKey::Unset),
    ("kms:WrappingKeySpec", KnownKey::Unset),
];
