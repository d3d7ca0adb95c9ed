//! The record of a grant.

use super::codec::{Reader, Why, put_text, put_time};
use super::names::grant_record;
use super::seal::{Kind, Sealer};
use super::stored_principal;
use crate::environment::Environment;
use crate::grant::{Grant, GrantId};
use crate::key::KeyId;
use crate::principal::Principal;

impl Sealer {
    pub(super) fn seal_grant(&self, grant: &Grant, environment: &Environment) -> Vec<u8> {
        let name = grant_record(grant.key, &grant.id);
        let terms = serde_json::to_string(&grant.terms).expect("terms have texts for keys");
        self.seal(Kind::Grant, &name, environment, |body, _| {
            put_time(body, grant.created);
            put_text(body, grant.issuer.as_ref().map_or("", Principal::arn));
            put_text(body, &terms);
        })
    }

    pub(super) fn open_grant(&self, key: KeyId, id: GrantId, record: &[u8]) -> Result<Grant, Why> {
        let (body, _) = self.open(Kind::Grant, &grant_record(key, &id), record)?;
        let mut body = Reader(&body);
        let created = body.time()?;
        let issuer = body.text()?;
        let terms = body.text()?;
        body.end()?;
        Ok(Grant {
            id,
            key,
            created,
            issuer: (!issuer.is_empty())
                .then(|| stored_principal(&issuer))
                .transpose()?,
            terms: serde_json::from_str(&terms).map_err(|_| "its terms are not a grant's")?,
        })
    }
}
