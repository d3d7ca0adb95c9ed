//! The record of a user or a role.

use super::codec::{Reader, Why, put_len, put_text, put_time};
use super::names::identity_record;
use super::seal::{Kind, Sealer};
use super::{stored_policy, stored_principal};
use crate::environment::Environment;
use crate::identity::StoredIdentity;
use crate::policy::PolicyKind;

impl Sealer {
    pub(super) fn seal_identity(
        &self,
        identity: &StoredIdentity,
        environment: &Environment,
    ) -> Vec<u8> {
        let name = identity_record(&identity.principal);
        self.seal(Kind::Identity, &name, environment, |body, _| {
            put_time(body, identity.created);
            put_text(body, identity.principal.arn());
            put_len(body, identity.uids.len());
            for uid in &identity.uids {
                body.extend_from_slice(&uid.to_be_bytes());
            }
            put_len(body, identity.policies.len());
            for (name, policy) in &identity.policies {
                put_text(body, name);
                put_text(body, policy.text());
            }
        })
    }

    pub(super) fn open_identity(&self, name: &str, record: &[u8]) -> Result<StoredIdentity, Why> {
        let (body, _) = self.open(Kind::Identity, name, record)?;
        let mut body = Reader(&body);
        let created = body.time()?;
        let principal = stored_principal(&body.text()?)?;
        let mut identity =
            StoredIdentity::new(principal, created).map_err(|_| "it is of an account's root")?;
        for _ in 0..body.number()? {
            identity.uids.insert(body.number()?);
        }
        for _ in 0..body.number()? {
            let (name, text) = (body.text()?, body.text()?);
            identity
                .policies
                .insert(name, stored_policy(PolicyKind::Identity, &text)?);
        }
        body.end()?;
        Ok(identity)
    }
}
