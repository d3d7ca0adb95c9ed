//! Request quotas: how often a principal may call, by kind of operation, as AWS has it.
//!
//! Each principal has buckets of its own, so that one that calls too often takes nothing from another;
//! and the product itself has no quota, so that no caller whatever stands in the way of a certificate's
//! swap. A bucket holds what may be called in one second, and one call at least.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;

use crate::caller::Caller;
use crate::error::Error;
use crate::principal::Principal;
use crate::spec::KeySpec;

/// Kinds of operations that share a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaGroup {
    /// Cryptographic operations with symmetric and HMAC keys.
    Symmetric,
    /// Cryptographic operations with RSA keys.
    Rsa,
    /// Cryptographic operations with elliptic-curve keys.
    Ecc,
    /// `CreateKey`.
    CreateKey,
    /// `CreateGrant`, `RetireGrant` and `RevokeGrant`: in AWS each has a quota of its own, of that figure.
    Grants,
    /// What describes, gets or lists.
    Read,
    /// All other changes.
    Change,
}

impl QuotaGroup {
    /// All groups.
    pub const ALL: [Self; 7] = [
        Self::Symmetric,
        Self::Rsa,
        Self::Ecc,
        Self::CreateKey,
        Self::Grants,
        Self::Read,
        Self::Change,
    ];

    /// The group of an operation with a key of that kind.
    pub(crate) fn of(operation: &str, spec: Option<KeySpec>) -> Self {
        let starts = |words: &[&str]| words.iter().any(|word| operation.starts_with(word));
        match operation {
            "CreateKey" => Self::CreateKey,
            "CreateGrant" | "RetireGrant" | "RevokeGrant" => Self::Grants,
            _ if starts(&CRYPTOGRAPHIC) => Self::cryptographic(spec),
            _ if starts(&["Describe", "Explain", "Get", "List"]) => Self::Read,
            _ => Self::Change,
        }
    }

    fn cryptographic(spec: Option<KeySpec>) -> Self {
        match spec {
            Some(spec) if spec.is_rsa() => Self::Rsa,
            Some(spec) if spec.is_asymmetric() => Self::Ecc,
            Some(_) | None => Self::Symmetric,
        }
    }

    /// What is called so often, in the words of errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Symmetric => "cryptographic operations with symmetric keys",
            Self::Rsa => "cryptographic operations with RSA keys",
            Self::Ecc => "cryptographic operations with elliptic-curve keys",
            Self::CreateKey => "CreateKey",
            Self::Grants => "operations on grants",
            Self::Read => "operations that read",
            Self::Change => "operations that change something",
        }
    }
}

/// Calls in a second, by group; 0: none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestQuotas {
    /// Of [`QuotaGroup::Symmetric`].
    pub symmetric: u32,
    /// Of [`QuotaGroup::Rsa`].
    pub rsa: u32,
    /// Of [`QuotaGroup::Ecc`].
    pub ecc: u32,
    /// Of [`QuotaGroup::CreateKey`].
    pub create_key: u32,
    /// Of [`QuotaGroup::Grants`].
    pub grants: u32,
    /// Of [`QuotaGroup::Read`].
    pub read: u32,
    /// Of [`QuotaGroup::Change`].
    pub change: u32,
}

impl Default for RequestQuotas {
    /// AWS's figures; where it has several in a group, the most common.
    fn default() -> Self {
        Self {
            symmetric: 10_000,
            rsa: 1000,
            ecc: 1000,
            create_key: 5,
            grants: 50,
            read: 1000,
            change: 15,
        }
    }
}

impl RequestQuotas {
    /// The quota of a group.
    pub fn of(&self, group: QuotaGroup) -> u32 {
        match group {
            QuotaGroup::Symmetric => self.symmetric,
            QuotaGroup::Rsa => self.rsa,
            QuotaGroup::Ecc => self.ecc,
            QuotaGroup::CreateKey => self.create_key,
            QuotaGroup::Grants => self.grants,
            QuotaGroup::Read => self.read,
            QuotaGroup::Change => self.change,
        }
    }
}

/// The buckets of all principals that have called lately.
pub(crate) struct Quotas {
    quotas: Option<RequestQuotas>,
    buckets: RwLock<HashMap<Principal, Arc<Buckets>>>,
}

/// When each bucket of a principal is full again, in nanoseconds since 1970.
type Buckets = [AtomicU64; QuotaGroup::ALL.len()];

impl Quotas {
    /// Without quotas where there are none.
    pub(crate) fn new(quotas: Option<RequestQuotas>) -> Self {
        Self {
            quotas,
            buckets: RwLock::default(),
        }
    }

    /// Takes a call out of its bucket.
    ///
    /// # Errors
    /// [`Error::Throttled`] where it is empty.
    pub(crate) fn take(
        &self,
        caller: &Caller,
        group: QuotaGroup,
        now: SystemTime,
    ) -> Result<(), Error> {
        let (Caller::Outside(outside), Some(quotas)) = (caller, &self.quotas) else {
            return Ok(());
        };
        let quota = quotas.of(group);
        let buckets = self.buckets_of(&outside.principal, now);
        let taken = |full_at| take(full_at, now, quota);
        match buckets[group as usize].fetch_update(Relaxed, Relaxed, taken) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Throttled {
                principal: outside.principal.clone(),
                group,
                quota,
            }),
        }
    }

    fn buckets_of(&self, principal: &Principal, now: SystemTime) -> Arc<Buckets> {
        if let Some(buckets) = self.buckets.read().get(principal) {
            return Arc::clone(buckets);
        }
        let mut buckets = self.buckets.write();
        if buckets.len() >= MAX_PRINCIPALS {
            let now = nanoseconds(now);
            buckets.retain(|_, buckets| buckets.iter().any(|full_at| full_at.load(Relaxed) > now));
        }
        Arc::clone(buckets.entry(principal.clone()).or_default())
    }
}

/// When the bucket is full again after one more call; none where that is not in it now. (The generic
/// cell rate algorithm: a bucket is no more than that moment.)
pub(crate) fn take(full_at: u64, now: SystemTime, quota: u32) -> Option<u64> {
    let now = nanoseconds(now);
    let interval = SECOND.checked_div(u64::from(quota))?;
    let most = now + SECOND.max(interval);
    // Fuller than it can be only when the clock was set back since.
    let full_at = if full_at > most {
        now
    } else {
        full_at.max(now)
    };
    (full_at + interval <= most).then_some(full_at + interval)
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default().min(LATEST);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2)
}

/// How the names of cryptographic operations begin.
const CRYPTOGRAPHIC: [&str; 9] = [
    "Decapsulate",
    "Decrypt",
    "DeriveSharedSecret",
    "Encapsulate",
    "Encrypt",
    "Generate",
    "ReEncrypt",
    "Sign",
    "Verify",
];
const SECOND: u64 = 1_000_000_000;
/// The year 2262, far enough from where nanoseconds in 64 bits end.
const LATEST: Duration = Duration::from_secs(9_223_372_036);
/// With so many, those whose buckets are full are forgotten: to be full is to be new.
const MAX_PRINCIPALS: usize = 10_000;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn at(nanoseconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH
            + Duration::from_secs(1_700_000_000)
            + Duration::from_nanos(nanoseconds)
    }

    fn caller(name: &str) -> Caller {
        let arn = format!("arn:aws:iam::000000000000:user/{name}");
        Caller::local(arn.parse().unwrap(), 0)
    }

    fn calls(quotas: &Quotas, caller: &Caller, group: QuotaGroup, at: SystemTime) -> usize {
        (0..1000)
            .take_while(|_| quotas.take(caller, group, at).is_ok())
            .count()
    }

    #[test]
    fn a_principal_may_call_as_often_as_aws_says() {
        let quotas = Quotas::new(Some(RequestQuotas::default()));
        let alice = caller("alice");
        assert_eq!(calls(&quotas, &alice, QuotaGroup::CreateKey, at(0)), 5);
        assert_eq!(
            calls(&quotas, &alice, QuotaGroup::CreateKey, at(SECOND / 5 - 1)),
            0
        );
        assert_eq!(
            calls(&quotas, &alice, QuotaGroup::CreateKey, at(SECOND / 5)),
            1
        );
        assert_eq!(
            calls(&quotas, &alice, QuotaGroup::CreateKey, at(100 * SECOND)),
            5
        );
        let refused = quotas.take(&alice, QuotaGroup::CreateKey, at(100 * SECOND));
        assert_eq!(refused.unwrap_err().code(), "ThrottlingException");
    }

    #[test]
    fn nobody_takes_from_another_nor_from_another_kind() {
        let quotas = Quotas::new(Some(RequestQuotas::default()));
        let (alice, bob) = (caller("alice"), caller("bob"));
        assert_eq!(calls(&quotas, &alice, QuotaGroup::Grants, at(0)), 50);
        assert_eq!(calls(&quotas, &bob, QuotaGroup::Grants, at(0)), 50);
        assert_eq!(calls(&quotas, &alice, QuotaGroup::Change, at(0)), 15);
        assert_eq!(
            calls(&quotas, &Caller::Internal, QuotaGroup::Grants, at(0)),
            1000
        );
    }

    #[test]
    fn the_key_says_which_quota_a_cryptographic_operation_is_under() {
        let of = |operation, spec| QuotaGroup::of(operation, spec);
        assert_eq!(of("Sign", Some(KeySpec::Rsa2048)), QuotaGroup::Rsa);
        assert_eq!(of("Sign", Some(KeySpec::EccNistP256)), QuotaGroup::Ecc);
        assert_eq!(
            of("Decrypt", Some(KeySpec::SymmetricDefault)),
            QuotaGroup::Symmetric
        );
        assert_eq!(of("DescribeKey", Some(KeySpec::Rsa2048)), QuotaGroup::Read);
        assert_eq!(of("CreateKey", None), QuotaGroup::CreateKey);
        assert_eq!(of("EnableKey", None), QuotaGroup::Change);
    }

    #[test]
    fn a_quota_of_nothing_lets_nothing_through() {
        let quotas = Quotas::new(Some(RequestQuotas {
            rsa: 0,
            ..RequestQuotas::default()
        }));
        assert_eq!(calls(&quotas, &caller("alice"), QuotaGroup::Rsa, at(0)), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let quotas = Quotas::new(Some(RequestQuotas::default()));
        let alice = caller("alice");
        assert_eq!(
            calls(&quotas, &alice, QuotaGroup::Change, at(3600 * SECOND)),
            15
        );
        assert_eq!(calls(&quotas, &alice, QuotaGroup::Change, at(0)), 15);
    }

    #[test]
    fn principals_that_are_gone_are_forgotten() {
        let quotas = Quotas::new(Some(RequestQuotas::default()));
        for number in 0..MAX_PRINCIPALS {
            quotas
                .take(&caller(&number.to_string()), QuotaGroup::Read, at(0))
                .unwrap();
        }
        quotas
            .take(&caller("new"), QuotaGroup::Read, at(2 * SECOND))
            .unwrap();
        assert_eq!(quotas.buckets.read().len(), 1);
    }

    proptest! {
        /// In no second, wherever it begins, are there more than twice the quota; and over a long time no
        /// more than the quota.
        #[test]
        fn no_more_than_the_quota(quota in 1_u32..20, gaps in vec(0_u64..300_000_000, 1..400)) {
            let (mut full_at, mut now, mut granted) = (0, SECOND, Vec::new());
            for gap in gaps {
                now += gap;
                if let Some(next) = take(full_at, at(now), quota) {
                    full_at = next;
                    granted.push(now);
                }
            }
            for (at, begin) in granted.iter().enumerate() {
                let within = granted[at..].iter().take_while(|time| **time < begin + SECOND);
                prop_assert!(within.count() <= 2 * quota as usize);
            }
            let seconds = (now - SECOND) / SECOND + 2;
            prop_assert!(granted.len() as u64 <= seconds * u64::from(quota));
        }
    }
}
