//! Key policies, and what follows from them.

use std::sync::Arc;

use super::Kms;
use super::authorise::{On, Wanted};
use super::door::Call;
use crate::caller::{Caller, Outside};
use crate::context::EncryptionContext;
use crate::database::StoredKey;
use crate::error::Error;
use crate::key::KeyRef;
use crate::policy::{Action, Explanation, PolicyDocument, PolicyKind};

/// The policy that a key is to have.
#[derive(Debug, Clone, Default)]
pub struct NewPolicy {
    /// In AWS's JSON grammar, at most 32 KiB.
    pub text: String,
    /// Also where its author could not change it again.
    pub bypass_lockout_check: bool,
}

/// Whether somebody might do something.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// Who.
    pub caller: Outside,
    /// What.
    pub action: Action,
    /// On which key; none: on none in particular.
    pub key: Option<&'a KeyRef>,
    /// With which encryption context, where the action has one.
    pub context: &'a EncryptionContext,
}

impl Kms {
    /// The text of a key's policy, as it was put.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`]; [`Error::AccessDenied`].
    pub fn get_key_policy(&self, caller: &Caller, key: &KeyRef) -> Result<String, Error> {
        let call = Call::on_key(caller, Action::GetKeyPolicy, key);
        self.through(call, |key| Ok(self.key_policy(key).text().to_owned()))
    }

    /// Refuses who may not know which policies a key has: it is always one, `default`.
    ///
    /// # Errors
    /// [`Error::KeyNotFound`]; [`Error::AccessDenied`].
    pub(crate) fn list_key_policies(&self, caller: &Caller, key: &KeyRef) -> Result<(), Error> {
        self.through(Call::on_key(caller, Action::ListKeyPolicies, key), |_| {
            Ok(())
        })
    }

    /// Gives a customer key another policy, which holds from the next call on.
    ///
    /// # Errors
    /// [`Error::MalformedPolicy`], [`Error::IdentityNotFound`] for whom it names,
    /// [`Error::PolicyLockOut`]; [`Error::ManagedKey`]; [`Error::KeyNotFound`];
    /// [`Error::AccessDenied`]; or what the storage says.
    pub fn put_key_policy(
        &self,
        caller: &Caller,
        key: &KeyRef,
        policy: &NewPolicy,
    ) -> Result<(), Error> {
        let call = Call::on_key(caller, Action::PutKeyPolicy, key);
        self.through_to_change(call, |database, key| {
            let policy = self.accepted(caller, key, policy)?;
            let changed = StoredKey {
                policy: Some(policy),
                ..(**key).clone()
            };
            database.put_key(&changed, &self.environment)?;
            self.keys.write().add(changed);
            Ok(())
        })
    }

    /// Whether somebody might do something, and by which statement or grant.
    ///
    /// # Errors
    /// [`Error::RootOnly`]; [`Error::KeyNotFound`]; [`Error::IdentityNotFound`].
    pub fn explain(&self, caller: &Caller, question: &Question<'_>) -> Result<Explanation, Error> {
        let call = Call::of_root(caller, "Explain", "ask what others may", None);
        self.through_account(call, |_| self.explained_question(question))
    }

    fn explained_question(&self, question: &Question<'_>) -> Result<Explanation, Error> {
        let key = question.key.map(|key| self.find(key)).transpose()?;
        let on = match &key {
            Some(key) => On::Key(key, question.key),
            None => On::Account,
        };
        let mut wanted = Wanted::on(question.action, on);
        if question.action.has_context() {
            wanted = wanted.with_context(question.context);
        }
        self.explained(&question.caller, wanted)
    }

    /// The policy, understood, if the key may have it.
    pub(super) fn accepted(
        &self,
        caller: &Caller,
        key: &StoredKey,
        policy: &NewPolicy,
    ) -> Result<Arc<PolicyDocument>, Error> {
        let document = PolicyDocument::parse(PolicyKind::Key, &policy.text)?;
        self.require_known(document.principals())?;
        if !policy.bypass_lockout_check {
            self.refuse_lock_out(caller, key, &document)?;
        }
        Ok(Arc::new(document))
    }
}
