//! The way that every operation goes: find, authorise, look at the key's state, act, write it down.
//!
//! ```text
//! find the key ─ too often? ─ may the caller? ─ is the key in a state for it? ─ dry run? ─ admit ─ act ─ record
//!      └─────────────┴─────────────┴──────────── refused ────────────────────┴──────────────────────────┘
//! ```
//! Refusals are written down too. What the product does with its owned keys is not, and to an outside
//! caller an owned key is one that is not there.

use std::sync::Arc;

use super::Kms;
use super::authorise::{On, Wanted};
use crate::caller::{Caller, Outside};
use crate::context::EncryptionContext;
use crate::database::{Database, StoredKey};
use crate::error::Error;
use crate::event::{Auditor, Event, Named};
use crate::grant::{GrantToken, NewGrant};
use crate::key::{KeyId, KeyRef, KeyTier};
use crate::message;
use crate::policy::Action;
use crate::principal::Principal;
use crate::quota::QuotaGroup;
use crate::spec::KeySpec;

/// What is asked of the KMS: of a key, or of something else.
#[derive(Clone, Copy)]
pub(super) struct Call<'a, O> {
    caller: &'a Caller,
    right: Right<'a>,
    object: O,
    context: Option<&'a EncryptionContext>,
    grant: Option<&'a NewGrant>,
    algorithm: Option<&'static str>,
}

/// By what right something is asked.
#[derive(Clone, Copy)]
enum Right<'a> {
    /// Policies and grants decide.
    Action(Action),
    /// The grant and its key's policy decide.
    Retire(&'a GrantToken),
    /// Only the account's root may do this operation; the second text completes "may not …".
    Root(&'static str, &'static str),
    /// Everybody may, and sees of it what belongs to him.
    Anybody(&'static str),
}

/// A key that something is asked of.
#[derive(Clone, Copy)]
pub(super) enum OfKey<'a> {
    Named(&'a KeyRef),
    /// The key that a message names.
    Message(&'a [u8]),
}

/// What else something is asked of.
#[derive(Clone, Copy)]
pub(super) enum OfAccount<'a> {
    /// Nothing in particular.
    Itself,
    Alias(&'a str),
    Principal(&'a Principal),
}

impl<'a> Call<'a, OfKey<'a>> {
    /// An action on a key.
    pub(super) fn on_key(caller: &'a Caller, action: Action, key: &'a KeyRef) -> Self {
        Self::new(caller, Right::Action(action), OfKey::Named(key))
    }

    /// An action on the key that a message names.
    pub(super) fn on_message(caller: &'a Caller, action: Action, blob: &'a [u8]) -> Self {
        Self::new(caller, Right::Action(action), OfKey::Message(blob))
    }

    /// The retirement of a grant on `key`, the token's.
    pub(super) fn retire(caller: &'a Caller, token: &'a GrantToken, key: &'a KeyRef) -> Self {
        Self::new(caller, Right::Retire(token), OfKey::Named(key))
    }

    fn key(&self) -> Option<&'a KeyRef> {
        match self.object {
            OfKey::Named(key) => Some(key),
            OfKey::Message(_) => None,
        }
    }
}

impl<'a> Call<'a, OfAccount<'a>> {
    /// An action on an alias.
    pub(super) fn on_alias(caller: &'a Caller, action: Action, alias: &'a str) -> Self {
        Self::new(caller, Right::Action(action), OfAccount::Alias(alias))
    }

    /// An action on no key in particular.
    pub(super) fn on_account(caller: &'a Caller, action: Action) -> Self {
        Self::new(caller, Right::Action(action), OfAccount::Itself)
    }

    /// What only the account's root may do.
    pub(super) fn of_root(
        caller: &'a Caller,
        operation: &'static str,
        what: &'static str,
        about: Option<&'a Principal>,
    ) -> Self {
        let object = about.map_or(OfAccount::Itself, OfAccount::Principal);
        Self::new(caller, Right::Root(operation, what), object)
    }

    /// What everybody may do.
    pub(super) fn of_anybody(caller: &'a Caller, operation: &'static str) -> Self {
        Self::new(caller, Right::Anybody(operation), OfAccount::Itself)
    }

    fn named(&self) -> Option<Named<'a>> {
        match self.object {
            OfAccount::Itself => None,
            OfAccount::Alias(alias) => Some(Named::Alias(alias)),
            OfAccount::Principal(principal) => Some(Named::Principal(principal.arn())),
        }
    }
}

impl<'a, O> Call<'a, O> {
    fn new(caller: &'a Caller, right: Right<'a>, object: O) -> Self {
        Self {
            caller,
            right,
            object,
            context: None,
            grant: None,
            algorithm: None,
        }
    }

    pub(super) fn with_context(self, context: &'a EncryptionContext) -> Self {
        Self {
            context: Some(context),
            ..self
        }
    }

    pub(super) fn with_grant(self, grant: &'a NewGrant) -> Self {
        Self {
            grant: Some(grant),
            ..self
        }
    }

    /// With the algorithm of that name, where the action has several.
    pub(super) fn with_algorithm(self, algorithm: &'static str) -> Self {
        Self {
            algorithm: Some(algorithm),
            ..self
        }
    }

    fn operation(&self) -> &'static str {
        match self.right {
            Right::Action(action) => action.operation(),
            Right::Retire(_) => Action::RetireGrant.operation(),
            Right::Root(operation, _) | Right::Anybody(operation) => operation,
        }
    }

    fn wanted(&self, action: Action, on: On<'a>) -> Wanted<'a> {
        Wanted {
            action,
            on,
            context: self.context,
            grant: self.grant,
            algorithm: self.algorithm,
        }
    }
}

impl Kms {
    /// Lets a call on a key through to `act`, or refuses it.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`], [`Error::DamagedRecord`], [`Error::MalformedCiphertext`]; what
    /// [`authorise`](Self::authorise) says; for the key's state; [`Error::DryRun`]; what `act` says; or
    /// that it cannot be written down.
    pub(super) fn through<T>(
        &self,
        call: Call<'_, OfKey<'_>>,
        act: impl FnOnce(&Arc<StoredKey>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let found = self.find_called(call.object);
        if is_private(call.caller, &found) {
            return found.and_then(|key| {
                self.check(&call, &key)?;
                act(&key)
            });
        }
        let mut event = self.event(&call, call.key().map(Named::Key));
        event.key = found.as_ref().ok().and_then(|key| visible(key));
        let within = self.within_quota(&event, found.as_ref().ok().map(|key| key.spec));
        let found = within.and(found);
        let checked = found.and_then(|key| self.check(&call, &key).map(|()| key));
        self.audited(&mut event, checked, |_, key| act(&key))
    }

    /// Lets a change of a key through, of which there is one at a time.
    ///
    /// # Errors
    /// As of [`through`](Self::through).
    pub(super) fn through_to_change<T>(
        &self,
        call: Call<'_, OfKey<'_>>,
        act: impl FnOnce(&Database, &Arc<StoredKey>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let database = self.database.lock();
        self.through(call, |key| act(&database, key))
    }

    /// Lets a call on no key through, which may tell the event about which it was.
    ///
    /// # Errors
    /// As of [`through`](Self::through).
    pub(super) fn through_account<T>(
        &self,
        call: Call<'_, OfAccount<'_>>,
        act: impl FnOnce(&mut Event<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut event = self.event(&call, call.named());
        let within = self.within_quota(&event, None);
        let checked = within.and_then(|()| self.check_account(&call));
        self.audited(&mut event, checked, |event, ()| act(event))
    }

    /// The same for a change, of which there is one at a time.
    ///
    /// # Errors
    /// As of [`through`](Self::through).
    pub(super) fn through_account_to_change<T>(
        &self,
        call: Call<'_, OfAccount<'_>>,
        act: impl FnOnce(&Database, &mut Event<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let database = self.database.lock();
        self.through_account(call, |event| act(&database, event))
    }

    /// Does what has been checked between the auditor's two calls.
    ///
    /// # Errors
    /// What the check said; what the auditor says; what `act` says.
    pub(super) fn audited<C, T>(
        &self,
        event: &mut Event<'_>,
        checked: Result<C, Error>,
        act: impl FnOnce(&mut Event<'_>, C) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let auditor: &dyn Auditor = &*self.auditor;
        let result = checked.and_then(|checked| {
            auditor.admit(event)?;
            act(event, checked)
        });
        auditor.record(event, result.as_ref().map(drop))?;
        result
    }

    fn event<'a, O>(&'a self, call: &Call<'a, O>, named: Option<Named<'a>>) -> Event<'a> {
        let request_id = match call.caller {
            Caller::Outside(outside) => outside.options.request_id,
            Caller::Internal => None,
        };
        Event {
            request_id: request_id.unwrap_or_else(|| self.request_ids.next()),
            time: self.environment.clock.now(),
            caller: call.caller,
            operation: call.operation(),
            identity: &self.identity,
            key: None,
            named,
            context: call.context,
        }
    }

    fn within_quota(&self, event: &Event<'_>, spec: Option<KeySpec>) -> Result<(), Error> {
        let group = QuotaGroup::of(event.operation, spec);
        self.quotas.take(event.caller, group, event.time)
    }

    fn find_called(&self, key: OfKey<'_>) -> Result<Arc<StoredKey>, Error> {
        match key {
            OfKey::Named(key) => self.find(key),
            OfKey::Message(blob) => {
                let header = message::header(blob).ok_or(Error::MalformedCiphertext)?;
                self.find(&KeyRef::Id(header.key_id))
            }
        }
    }

    fn check(&self, call: &Call<'_, OfKey<'_>>, key: &StoredKey) -> Result<(), Error> {
        let on = On::Key(key, call.key());
        match call.right {
            Right::Action(action) => {
                self.authorise(call.caller, call.wanted(action, on))?;
                self.check_state(action, key)?;
            }
            Right::Retire(token) => {
                let wanted = call.wanted(Action::RetireGrant, on);
                self.authorise_retiring(call.caller, wanted, key, token)?;
            }
            Right::Root(_, what) => self.require_root(call.caller, what)?,
            Right::Anybody(_) => {}
        }
        refuse_dry_run(call.caller)
    }

    fn check_account(&self, call: &Call<'_, OfAccount<'_>>) -> Result<(), Error> {
        match call.right {
            Right::Action(action) => {
                let on = match call.object {
                    OfAccount::Alias(alias) => On::Alias(alias),
                    OfAccount::Itself | OfAccount::Principal(_) => On::Account,
                };
                self.authorise(call.caller, call.wanted(action, on))?;
            }
            Right::Root(_, what) => self.require_root(call.caller, what)?,
            Right::Retire(_) | Right::Anybody(_) => {}
        }
        refuse_dry_run(call.caller)
    }
}

/// Whether nothing of it is written down: the product's work with its owned keys.
fn is_private(caller: &Caller, found: &Result<Arc<StoredKey>, Error>) -> bool {
    let owned = found.as_ref().is_ok_and(|key| key.tier == KeyTier::Owned);
    *caller == Caller::Internal && owned
}

fn visible(key: &StoredKey) -> Option<KeyId> {
    (key.tier != KeyTier::Owned).then_some(key.id)
}

fn refuse_dry_run(caller: &Caller) -> Result<(), Error> {
    match caller {
        Caller::Outside(Outside { options, .. }) if options.dry_run => Err(Error::DryRun),
        Caller::Outside(_) | Caller::Internal => Ok(()),
    }
}
