use std::time::SystemTime;

use super::*;
use crate::grant::{GrantConstraints, GrantId, NewGrant};
use crate::policy::action::Action;
use crate::policy::document::PolicyKind;
use crate::policy::explain::{Explanation, Reason};
use crate::policy::test_util::{Asked, KEY};
use crate::principal::Principal;

const ROOT: &str = "arn:aws:iam::000000000000:root";
const ALICE: &str = "arn:aws:iam::000000000000:user/alice";
const BOB: &str = "arn:aws:iam::000000000000:user/bob";
const EVE: &str = "arn:aws:iam::111111111111:user/eve";
const EVES_ROOT: &str = "arn:aws:iam::111111111111:root";

/// A statement of a key policy about `who`.
fn about(effect: &str, who: &str, action: &str) -> String {
    let who = format!(r#""Principal":{{"AWS":{who:?}}}"#);
    format!(r#"{{"Effect":"{effect}",{who},"Action":"{action}","Resource":"*"}}"#)
}

/// A statement of a policy of the caller's own.
fn own(effect: &str, action: &str) -> String {
    format!(r#"{{"Effect":"{effect}","Action":"{action}","Resource":"*"}}"#)
}

fn deny_all_but(who: &[&str]) -> String {
    let who = format!(r#""NotPrincipal":{{"AWS":{who:?}}}"#);
    format!(r#"{{"Effect":"Deny",{who},"Action":"*","Resource":"*"}}"#)
}

#[derive(Default)]
struct World {
    key: Vec<String>,
    own: Vec<String>,
    grants: Vec<Arc<Grant>>,
}

impl World {
    fn key(statements: &[String]) -> Self {
        Self {
            key: statements.to_vec(),
            ..Self::default()
        }
    }

    fn own(self, statements: &[String]) -> Self {
        Self {
            own: statements.to_vec(),
            ..self
        }
    }

    fn granted(mut self, to: &str, operations: &[Action]) -> Self {
        self.grants.push(Arc::new(Grant {
            id: GrantId::from_random([7; 32]),
            key: KEY.parse().unwrap(),
            created: SystemTime::UNIX_EPOCH,
            issuer: None,
            terms: NewGrant {
                grantee: to.parse().unwrap(),
                retiring: None,
                operations: operations.iter().copied().collect(),
                constraints: GrantConstraints::default(),
                name: None,
            },
        }));
        self
    }

    fn reason(&self, asked: &Asked) -> Reason {
        let document = |kind, statements: &[String]| {
            let text = format!(r#"{{"Statement":[{}]}}"#, statements.join(","));
            PolicyDocument::parse(kind, &text).unwrap()
        };
        let key = document(PolicyKind::Key, &self.key);
        let mut identity = BTreeMap::new();
        if !self.own.is_empty() {
            identity.insert("mine".to_owned(), document(PolicyKind::Identity, &self.own));
        }
        let policies = Policies {
            key: asked.key.map(|_| &key),
            identity: &identity,
            grants: &self.grants,
        };
        evaluate(policies, &asked.request()).into()
    }

    fn allows(&self, asked: &Asked) -> bool {
        !matches!(
            self.reason(asked),
            Reason::ExplicitDeny(_)
                | Reason::NotDelegated(_)
                | Reason::NoIdentitySide(_)
                | Reason::NoKeySide(_)
                | Reason::NothingAllows
        )
    }
}

fn default_policy() -> World {
    World::key(&[about("Allow", ROOT, "kms:*")])
}

#[test]
fn an_explicit_deny_in_the_key_policy_wins() {
    let deny = about("Deny", ALICE, "kms:Decrypt");
    let world = World::key(&[about("Allow", ALICE, "*"), deny])
        .own(&[own("Allow", "*")])
        .granted(ALICE, &[Action::Decrypt]);
    assert!(matches!(world.reason(&Asked::by(ALICE)), Reason::ExplicitDeny(by) if by.index == 1));
    assert!(world.allows(&Asked::by(ALICE).to(Action::Encrypt)));
}

#[test]
fn an_explicit_deny_of_the_callers_own_wins_also_over_the_key_policy_and_a_grant() {
    let world = World::key(&[about("Allow", ALICE, "*")])
        .own(&[own("Deny", "kms:Decrypt")])
        .granted(ALICE, &[Action::Decrypt]);
    let reason = world.reason(&Asked::by(ALICE));
    assert!(matches!(reason, Reason::ExplicitDeny(by) if by.policy.as_deref() == Some("mine")));
}

#[test]
fn a_deny_of_the_account_reaches_everybody_in_it() {
    let world = World::key(&[about("Allow", ALICE, "*"), about("Deny", ROOT, "*")]);
    assert!(!world.allows(&Asked::by(ALICE)));
}

#[test]
fn a_deny_of_all_but_some_spares_who_is_named_with_its_account() {
    let allow = [ROOT, ALICE, BOB].map(|who| about("Allow", who, "*"));
    let with = |deny: String| World::key(&[&allow[..], &[deny]].concat());
    let alice_only = with(deny_all_but(&[ALICE, ROOT]));
    assert!(alice_only.allows(&Asked::by(ALICE)));
    assert!(alice_only.allows(&Asked::by(ROOT)));
    assert!(!alice_only.allows(&Asked::by(BOB)));
    // The account is a principal of the request too, and was not exempted.
    assert!(!with(deny_all_but(&[ALICE])).allows(&Asked::by(ALICE)));
}

#[test]
fn the_key_policy_alone_is_enough() {
    let world = World::key(&[about("Allow", ALICE, "kms:Decrypt")]);
    assert!(matches!(world.reason(&Asked::by(ALICE)), Reason::KeyPolicy(by) if by.index == 0));
    assert!(!world.allows(&Asked::by(BOB)));
    let everybody = World::key(&[about("Allow", "*", "kms:Decrypt")]);
    assert!(everybody.allows(&Asked::by(BOB)));
}

#[test]
fn an_identity_policy_counts_where_the_key_policy_delegates() {
    let world = default_policy().own(&[own("Allow", "kms:Decrypt")]);
    let reason = world.reason(&Asked::by(ALICE));
    assert!(
        matches!(reason, Reason::IdentityPolicy { delegated: Some(by), .. } if by.policy.is_none())
    );
    assert!(!world.allows(&Asked::by(ALICE).to(Action::Encrypt)));
}

#[test]
fn an_identity_policy_alone_counts_for_nothing() {
    let world = World::key(&[about("Allow", BOB, "*")]).own(&[own("Allow", "kms:*")]);
    assert!(matches!(
        world.reason(&Asked::by(ALICE)),
        Reason::NotDelegated(_)
    ));
}

#[test]
fn a_delegation_goes_as_far_as_its_statement() {
    let world = World::key(&[about("Allow", ROOT, "kms:Describe*")]).own(&[own("Allow", "kms:*")]);
    assert!(world.allows(&Asked::by(ALICE).to(Action::DescribeKey)));
    assert!(!world.allows(&Asked::by(ALICE)));
}

#[test]
fn a_delegation_alone_gives_nothing() {
    assert_eq!(
        default_policy().reason(&Asked::by(ALICE)),
        Reason::NothingAllows
    );
    assert!(default_policy().allows(&Asked::by(ROOT)));
}

#[test]
fn a_grant_alone_is_enough() {
    let world = World::key(&[about("Allow", BOB, "*")]).granted(ALICE, &[Action::Decrypt]);
    assert!(matches!(world.reason(&Asked::by(ALICE)), Reason::Grant(_)));
    assert!(!world.allows(&Asked::by(ALICE).to(Action::Encrypt)));
    assert!(!world.allows(&Asked::by("user/carol")));
}

#[test]
fn another_account_needs_both_sides() {
    let key_side = || World::key(&[about("Allow", EVE, "kms:Decrypt")]);
    let mine = [own("Allow", "kms:Decrypt")];
    assert!(matches!(
        key_side().reason(&Asked::by(EVE)),
        Reason::NoIdentitySide(_)
    ));
    assert!(matches!(
        key_side().own(&mine).reason(&Asked::by(EVE)),
        Reason::BothSides { .. }
    ));
    let identity_side = default_policy().own(&mine);
    assert!(matches!(
        identity_side.reason(&Asked::by(EVE)),
        Reason::NoKeySide(_)
    ));
    // The key's side may also be its account's delegation, or a grant.
    let delegated = World::key(&[about("Allow", EVES_ROOT, "*")]);
    assert!(!delegated.allows(&Asked::by(EVE)));
    assert!(delegated.own(&mine).allows(&Asked::by(EVE)));
    let granted = || default_policy().granted(EVE, &[Action::Decrypt]);
    assert!(!granted().allows(&Asked::by(EVE)));
    assert!(granted().own(&mine).allows(&Asked::by(EVE)));
}

#[test]
fn nobody_has_implicit_rights() {
    let world = World::key(&[about("Allow", ALICE, "kms:*")]);
    for who in [ROOT, BOB, EVE, EVES_ROOT] {
        assert_eq!(world.reason(&Asked::by(who)), Reason::NothingAllows);
    }
}

#[test]
fn what_concerns_no_key_is_for_the_root_and_who_has_a_policy() {
    let create = |who| Asked {
        key: None,
        ..Asked::by(who).to(Action::CreateKey)
    };
    let nothing = World::key(&[about("Allow", BOB, "*")]);
    assert_eq!(nothing.reason(&create(ROOT)), Reason::AccountRoot);
    for who in [ALICE, EVE, EVES_ROOT] {
        assert_eq!(nothing.reason(&create(who)), Reason::NothingAllows);
    }
    let mine = nothing.own(&[own("Allow", "kms:CreateKey")]);
    assert!(matches!(
        mine.reason(&create(ALICE)),
        Reason::IdentityPolicy {
            delegated: None,
            ..
        }
    ));
    assert!(!mine.allows(&create(EVE)));
    let denied = default_policy().own(&[own("Allow", "*"), own("Deny", "kms:Create*")]);
    assert!(!denied.allows(&create(ALICE)));
}

#[test]
fn a_condition_narrows_an_allow_and_a_deny() {
    let statement = |effect: &str| {
        let condition = r#""Condition":{"StringEquals":{"kms:EncryptionContext:dept":"HR"}}"#;
        about(effect, ALICE, "*").replacen('{', &format!("{{{condition},"), 1)
    };
    let allow = World::key(&[statement("Allow")]);
    assert!(allow.allows(&Asked::by(ALICE).with("dept", "HR")));
    assert!(!allow.allows(&Asked::by(ALICE).with("dept", "IT")));
    assert!(!allow.allows(&Asked::by(ALICE)));
    let deny = World::key(&[about("Allow", ALICE, "*"), statement("Deny")]);
    assert!(!deny.allows(&Asked::by(ALICE).with("dept", "HR")));
    assert!(deny.allows(&Asked::by(ALICE).with("dept", "IT")));
}

#[test]
fn a_statement_about_another_key_is_none_about_this_one() {
    let statement = |resource: &str| {
        about("Allow", ALICE, "*")
            .replace(r#""Resource":"*""#, &format!(r#""Resource":"{resource}""#))
    };
    let of = |id: &str| statement(&format!("arn:aws:kms:local:000000000000:key/{id}"));
    assert!(World::key(&[of(KEY)]).allows(&Asked::by(ALICE)));
    assert!(!World::key(&[of(&KEY.replace('1', "2"))]).allows(&Asked::by(ALICE)));
}

#[test]
fn a_decision_is_told_in_words() {
    let world = default_policy().own(&[own("Allow", "kms:Decrypt")]);
    let asked = Asked::by(ALICE);
    let explanation = Explanation {
        allowed: true,
        principal: asked.caller.principal.clone(),
        action: asked.action,
        resource: asked.request().resource(),
        reason: world.reason(&asked),
    };
    assert_eq!(
        explanation.to_string(),
        format!(
            "{ALICE} may kms:Decrypt on arn:aws:kms:local:000000000000:key/{KEY}: statement 0 of the \
             policy `mine` allows it, to which statement 0 of the key policy delegates"
        )
    );
    let root = PolicyDocument::default_of(&Principal::root("000000000000"));
    let allowance = Allowance::KeyPolicy(&root.statements()[0]);
    assert_eq!(
        Reason::from(allowance).to_string(),
        "statement 0 (`Enable IAM User Permissions`) of the key policy allows it"
    );
}
