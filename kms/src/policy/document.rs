//! Policies in AWS's JSON grammar.
//!
//! What AWS's grammar has and this KMS does not is refused rather than ignored: policy variables but
//! `${*}`, `${?}` and `${$}`, principals that are neither an account, a user nor a role, and `Allow`
//! with `NotPrincipal`.

use std::collections::BTreeSet;

use crate::context::EncryptionContext;
use crate::error::Error;
use crate::key::is_account;
use crate::policy::condition::{Condition, Operator};
use crate::policy::json::{Located, Node, PolicyError};
use crate::policy::pattern::Pattern;
use crate::policy::request::{ConditionKey, Request};
use crate::principal::Principal;

/// A policy, understood.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PolicyDocument {
    text: String,
    statements: Vec<Statement>,
}

/// To what a policy belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PolicyKind {
    /// To a key: it says who.
    Key,
    /// To a user or a role: it says on which keys.
    Identity,
}

impl PolicyDocument {
    /// The longest text, in bytes (AWS's limit of a key policy).
    pub(crate) const MAX_LEN: usize = 32 << 10;

    /// Reads a policy.
    ///
    /// # Errors
    /// [`Error::MalformedPolicy`], which says where and why.
    pub(crate) fn parse(kind: PolicyKind, text: &str) -> Result<Self, Error> {
        let statements = parse(kind, text)
            .map_err(|PolicyError { at, why }| Error::MalformedPolicy { at, why })?;
        Ok(Self {
            text: text.to_owned(),
            statements,
        })
    }

    /// The policy of a key that was given none: the account decides, by its root and by the policies
    /// of its users and roles.
    pub(crate) fn default_of(root: &Principal) -> Self {
        Self::fixed(&format!(
            r#"{{
  "Version": "2012-10-17",
  "Id": "key-default-1",
  "Statement": {{
    "Sid": "Enable IAM User Permissions",
    "Effect": "Allow",
    "Principal": {{ "AWS": "{root}" }},
    "Action": "kms:*",
    "Resource": "*"
  }}
}}"#
        ))
    }

    /// The policy of a managed key, which nobody changes: the account may see it, take a grant away,
    /// and encrypt for a place in the configuration, where the product alone opens it.
    pub(crate) fn managed_by(root: &Principal) -> Self {
        Self::fixed(&format!(
            r#"{{
  "Version": "2012-10-17",
  "Id": "sealgate-managed-2",
  "Statement": [
    {{
      "Sid": "Allow access to key metadata to the account",
      "Effect": "Allow",
      "Principal": {{ "AWS": "{root}" }},
      "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
      "Resource": "*"
    }},
    {{
      "Sid": "Allow the account to encrypt secrets for its configuration",
      "Effect": "Allow",
      "Principal": {{ "AWS": "{root}" }},
      "Action": "kms:Encrypt",
      "Resource": "*",
      "Condition": {{
        "ForAllValues:StringEquals": {{ "kms:EncryptionContextKeys": "{CONFIG_PATH}" }},
        "Null": {{ "kms:EncryptionContextKeys": "false" }}
      }}
    }}
  ]
}}"#,
            CONFIG_PATH = EncryptionContext::CONFIG_PATH,
        ))
    }

    fn fixed(text: &str) -> Self {
        Self::parse(PolicyKind::Key, text).expect("the product's own policies are well formed")
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// All principals that it names.
    pub(crate) fn principals(&self) -> impl Iterator<Item = &Principal> {
        let lists = self
            .statements
            .iter()
            .filter_map(|statement| statement.who.as_ref());
        lists.flat_map(|who| &who.principals.named)
    }
}

/// One statement of a policy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    /// Its place in the policy, from 0.
    pub(super) index: usize,
    pub(super) sid: Option<String>,
    pub(super) effect: Effect,
    /// Of a key policy only.
    who: Option<Who>,
    actions: Choice,
    resources: Choice,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// `Principal` or `NotPrincipal`.
#[derive(Debug, Clone, PartialEq)]
struct Who {
    except: bool,
    principals: Principals,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Principals {
    everybody: bool,
    named: Vec<Principal>,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Debug, Clone, PartialEq)]
struct Choice {
    except: bool,
    patterns: Vec<Pattern>,
}

/// Whom an `Allow` of a key policy reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The caller itself is named.
    Direct,
    /// Its account is: its identity policies decide.
    Delegated,
}

impl Statement {
    /// Whether action, resource and conditions are those of the request.
    pub(super) fn applies(&self, request: &Request<'_>) -> bool {
        self.has_action(request)
            && self.has_resource(request)
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(request))
    }

    fn has_action(&self, request: &Request<'_>) -> bool {
        let name = request.action.name();
        let mut patterns = self.actions.patterns.iter();
        patterns.any(|pattern| pattern.matches_ignoring_case(name)) != self.actions.except
    }

    fn has_resource(&self, request: &Request<'_>) -> bool {
        let patterns = &self.resources.patterns;
        if patterns.iter().any(Pattern::is_any) {
            return !self.resources.except;
        }
        let resource = request.resource();
        patterns.iter().any(|pattern| pattern.matches(&resource)) != self.resources.except
    }

    /// How this statement of a key policy, an `Allow`, reaches `caller`.
    pub(super) fn allows(&self, caller: &Principal) -> Option<Reach> {
        let Principals { everybody, named } = &self.who.as_ref()?.principals;
        if *everybody || named.contains(caller) {
            return Some(Reach::Direct);
        }
        let delegates = named.iter().any(|root| caller.is_member_of(root));
        delegates.then_some(Reach::Delegated)
    }

    /// Whether this statement of a key policy, a `Deny`, reaches `caller`, who is itself and its
    /// account at once: `Principal` must name one of them, `NotPrincipal` must not name both.
    pub(super) fn denies(&self, caller: &Principal) -> bool {
        let Some(Who { except, principals }) = &self.who else {
            return false;
        };
        let Principals { everybody, named } = principals;
        let itself = *everybody || named.contains(caller);
        let account = *everybody
            || caller.is_root() && itself
            || named.iter().any(|root| caller.is_member_of(root));
        if *except {
            !(itself && account)
        } else {
            itself || account
        }
    }
}

fn parse(kind: PolicyKind, text: &str) -> Result<Vec<Statement>, PolicyError> {
    if text.len() > PolicyDocument::MAX_LEN {
        let why = format!("{} bytes are too many (at most 32,768)", text.len());
        return Err(PolicyError {
            at: "the document".to_owned(),
            why,
        });
    }
    let node = Node::parse(text)?;
    let document = Located::root(&node);
    document.only(&["Version", "Id", "Statement"])?;
    let escapes = match document.get("Version")? {
        None => false,
        Some(version) => version.one_of(&[("2012-10-17", true), ("2008-10-17", false)])?,
    };
    if let Some(id) = document.get("Id")? {
        id.text()?;
    }
    let context = Context { kind, escapes };
    let statements = document.need("Statement")?.one_or_many()?;
    let statements = statements.iter().enumerate();
    let statements: Vec<_> = statements
        .map(|(index, statement)| context.statement(index, statement))
        .collect::<Result<_, _>>()?;
    sids_differ(&statements)?;
    Ok(statements)
}

fn sids_differ(statements: &[Statement]) -> Result<(), PolicyError> {
    let mut seen = BTreeSet::new();
    for statement in statements {
        if let Some(sid) = &statement.sid
            && !seen.insert(sid)
        {
            let at = format!("Statement[{}].Sid", statement.index);
            return Err(PolicyError {
                at,
                why: format!("`{sid}` is another statement's too"),
            });
        }
    }
    Ok(())
}

/// What the reading of a statement depends on.
struct Context {
    kind: PolicyKind,
    escapes: bool,
}

impl Context {
    fn statement(&self, index: usize, found: &Located<'_>) -> Result<Statement, PolicyError> {
        found.only(&[
            "Sid",
            "Effect",
            "Principal",
            "NotPrincipal",
            "Action",
            "NotAction",
            "Resource",
            "NotResource",
            "Condition",
        ])?;
        let effects = [("Allow", Effect::Allow), ("Deny", Effect::Deny)];
        let effect = found.need("Effect")?.one_of(&effects)?;
        let sid = found.get("Sid")?.map(|sid| sid.text().map(str::to_owned));
        Ok(Statement {
            index,
            sid: sid.transpose()?,
            effect,
            who: self.who(found, effect)?,
            actions: self.choice(found, "Action", "NotAction", action)?,
            resources: self.choice(found, "Resource", "NotResource", resource)?,
            conditions: self.conditions(found)?,
        })
    }

    fn who(&self, found: &Located<'_>, effect: Effect) -> Result<Option<Who>, PolicyError> {
        if self.kind == PolicyKind::Identity {
            let principal = found.get("Principal")?.or(found.get("NotPrincipal")?);
            return match principal {
                Some(found) => Err(found.error("a policy of a user or role has no principal")),
                None => Ok(None),
            };
        }
        let (except, list) = found.either("Principal", "NotPrincipal")?;
        if except && effect == Effect::Allow {
            return Err(list.error("`NotPrincipal` goes with `Deny` only: name whom you allow"));
        }
        Ok(Some(Who {
            except,
            principals: principals(&list)?,
        }))
    }

    fn choice(
        &self,
        found: &Located<'_>,
        these: &str,
        all_but: &str,
        check: fn(&str) -> Result<(), String>,
    ) -> Result<Choice, PolicyError> {
        let (except, list) = found.either(these, all_but)?;
        let mut patterns = Vec::new();
        for found in list.one_or_many()? {
            let text = found.text()?;
            let pattern = check(text).and_then(|()| Pattern::parse(text, self.escapes));
            patterns.push(pattern.map_err(|why| found.error(why))?);
        }
        Ok(Choice { except, patterns })
    }

    fn conditions(&self, found: &Located<'_>) -> Result<Vec<Condition>, PolicyError> {
        let mut conditions = Vec::new();
        let Some(found) = found.get("Condition")? else {
            return Ok(conditions);
        };
        for (name, keys) in found.entries()? {
            let operator = Operator::parse(name).map_err(|why| keys.error(why))?;
            for (name, values) in keys.entries()? {
                let key = ConditionKey::parse(name).map_err(|why| values.error(why))?;
                conditions.push(self.condition(operator, key, &values)?);
            }
        }
        Ok(conditions)
    }

    fn condition(
        &self,
        operator: Operator,
        key: ConditionKey,
        found: &Located<'_>,
    ) -> Result<Condition, PolicyError> {
        let found = found.one_or_many()?;
        let values: Result<Vec<_>, _> = found.iter().map(Located::scalar).collect();
        Condition::new(operator, key, &values?, self.escapes)
            .map_err(|(at, why)| found[at].error(why))
    }
}

fn principals(found: &Located<'_>) -> Result<Principals, PolicyError> {
    if found.is_text() {
        return match found.text()? {
            "*" => Ok(Principals {
                everybody: true,
                named: Vec::new(),
            }),
            _ => Err(found.error(r#"write `"*"` or `{ "AWS": "ARN" }`"#)),
        };
    }
    found.only(&["AWS"])?;
    let mut principals = Principals::default();
    for found in found.need("AWS")?.one_or_many()? {
        match found.text()? {
            "*" => principals.everybody = true,
            text => principals
                .named
                .push(principal(text).map_err(|why| found.error(why))?),
        }
    }
    Ok(principals)
}

/// An account's number stands for its root.
fn principal(text: &str) -> Result<Principal, String> {
    if is_account(text) {
        return Ok(Principal::root(text));
    }
    text.parse().map_err(|error: Error| error.to_string())
}

fn action(text: &str) -> Result<(), String> {
    let service = text.split_once(':').map(|(service, _)| service);
    match service {
        None if text != "*" => Err(format!("`{text}` is no action: write `kms:NAME` or `*`")),
        Some("") => Err(format!("`{text}` names no service: write `kms:NAME`")),
        _ => Ok(()),
    }
}

fn resource(text: &str) -> Result<(), String> {
    if text.starts_with('*') || text.starts_with("arn:") {
        return Ok(());
    }
    Err(format!("`{text}` is no resource: write `*` or an ARN"))
}

#[cfg(test)]
mod tests;
