use std::path::Path;
use std::thread;

use super::*;
use crate::caller::{CallOptions, Outside, Source};
use crate::context::EncryptionContext;
use crate::grant::{Grant, GrantConstraints, GrantToken, NewGrant};
use crate::policy::{Action, Reason};
use crate::principal::Principal;
use crate::storage::lossy::LossyFiles;
use crate::storage::{Expected, FileStorage, MemoryStorage};
use crate::test_util::{identity, root_key};

const USE: &str = r#"{"Statement":{"Effect":"Allow","Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*"],"Resource":"*"}}"#;

fn user(name: &str) -> Principal {
    format!("arn:aws:iam::000000000000:user/{name}")
        .parse()
        .unwrap()
}

fn eve() -> Principal {
    "arn:aws:iam::111111111111:user/eve".parse().unwrap()
}

fn by(principal: &Principal) -> Caller {
    Caller::local(principal.clone(), 1000)
}

fn root() -> Caller {
    by(&identity().root())
}

fn alice() -> Caller {
    by(&user("alice"))
}

fn bob() -> Caller {
    by(&user("bob"))
}

fn shop() -> KeyRef {
    "alias/shop".parse().unwrap()
}

fn certstore() -> KeyRef {
    Kms::CERTSTORE_ALIAS.parse().unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::new().with("dept", "HR")
}

fn encrypt(kms: &Kms, caller: &Caller, context: &EncryptionContext) -> Result<Vec<u8>, Error> {
    kms.encrypt(caller, &shop(), context, b"secret")
}

/// A KMS with the key `alias/shop`, and alice and bob without rights.
fn kms_on(storage: Arc<dyn Storage>) -> Kms {
    let kms = Kms::create(storage, &root_key(1), identity(), Environment::system()).unwrap();
    for name in ["alice", "bob"] {
        kms.create_identity(&root(), user(name)).unwrap();
    }
    let new = NewKey {
        alias: Some("alias/shop".to_owned()),
        ..NewKey::default()
    };
    kms.create_key(&root(), new).unwrap();
    kms
}

fn kms() -> Kms {
    kms_on(Arc::new(MemoryStorage::new()))
}

fn reopened(storage: Arc<dyn Storage>) -> Kms {
    Kms::open(storage, &root_key(1), identity(), Environment::system()).unwrap()
}

fn policy(statements: &[&str]) -> NewPolicy {
    NewPolicy {
        text: format!(
            r#"{{"Version":"2012-10-17","Statement":[{}]}}"#,
            statements.join(",")
        ),
        bypass_lockout_check: false,
    }
}

fn statement(effect: &str, who: &Principal, action: &str) -> String {
    let who = format!(r#"{{"AWS":"{who}"}}"#);
    format!(r#"{{"Effect":"{effect}","Principal":{who},"Action":"{action}","Resource":"*"}}"#)
}

fn root_rules() -> String {
    statement("Allow", &identity().root(), "kms:*")
}

fn denied<T>(result: Result<T, Error>) -> Reason {
    match result.map(drop) {
        Err(Error::AccessDenied(explanation)) => explanation.reason,
        other => panic!("{other:?}"),
    }
}

fn reserved<T>(result: Result<T, Error>) {
    let result = result.map(drop);
    assert!(
        matches!(result, Err(Error::ReservedContext(_))),
        "{result:?}"
    );
}

fn terms(grantee: &Principal, operations: &[Action]) -> NewGrant {
    NewGrant {
        grantee: grantee.clone(),
        retiring: None,
        operations: operations.iter().copied().collect(),
        constraints: GrantConstraints::default(),
        name: None,
    }
}

// === key policies ===

#[test]
fn by_default_the_root_rules_and_the_others_need_policies_of_their_own() {
    let kms = kms();
    let blob = encrypt(&kms, &root(), &context()).unwrap();
    kms.decrypt(&root(), &blob, &context()).unwrap();
    assert_eq!(
        denied(encrypt(&kms, &alice(), &context())),
        Reason::NothingAllows
    );
    kms.put_identity_policy(&root(), &user("alice"), "use", USE)
        .unwrap();
    encrypt(&kms, &alice(), &context()).unwrap();
    kms.decrypt(&alice(), &blob, &context()).unwrap();
    denied(kms.generate_data_key(&alice(), &shop(), &context()));
    denied(kms.describe_key(&alice(), &shop()));
    assert!(kms.list_keys(&alice()).unwrap().is_empty());
    kms.delete_identity_policy(&root(), &user("alice"), "use")
        .unwrap();
    denied(kms.decrypt(&alice(), &blob, &context()));
}

#[test]
fn a_key_policy_holds_at_once_and_after_a_restart() {
    let storage = Arc::new(MemoryStorage::new());
    let kms = kms_on(storage.clone());
    let new = policy(&[
        &root_rules(),
        &statement("Allow", &user("alice"), "kms:Encrypt"),
    ]);
    kms.put_key_policy(&root(), &shop(), &new).unwrap();
    for kms in [kms, reopened(storage)] {
        encrypt(&kms, &alice(), &context()).unwrap();
        denied(encrypt(&kms, &bob(), &context()));
        assert_eq!(kms.get_key_policy(&root(), &shop()).unwrap(), new.text);
        kms.rotate_key(&root(), &shop()).unwrap();
        assert_eq!(
            kms.get_key_policy(&root(), &shop()).unwrap(),
            new.text,
            "rotation keeps it"
        );
    }
}

#[test]
fn the_root_has_no_implicit_rights_on_a_key() {
    let kms = kms();
    let new = NewPolicy {
        bypass_lockout_check: true,
        ..policy(&[&statement("Allow", &user("alice"), "kms:*")])
    };
    kms.put_key_policy(&root(), &shop(), &new).unwrap();
    denied(encrypt(&kms, &root(), &context()));
    denied(kms.put_key_policy(&root(), &shop(), &new));
    kms.put_key_policy(&alice(), &shop(), &policy(&[&root_rules()]))
        .unwrap_err();
    encrypt(&kms, &alice(), &context()).unwrap();
}

#[test]
fn a_policy_that_locks_its_author_out_is_refused_unless_the_check_is_waived() {
    let kms = kms();
    let deny = statement("Deny", &identity().root(), "kms:PutKeyPolicy");
    for mut new in [
        policy(&[&statement("Allow", &user("alice"), "kms:*")]),
        policy(&[&statement("Allow", &identity().root(), "kms:Get*")]),
        policy(&[&root_rules(), &deny]),
    ] {
        let refused = kms.put_key_policy(&root(), &shop(), &new);
        assert!(matches!(refused, Err(Error::PolicyLockOut(who)) if who == identity().root()));
        encrypt(&kms, &root(), &context()).unwrap();
        let key = |policy| NewKey {
            policy: Some(policy),
            ..NewKey::default()
        };
        let refused = kms.create_key(&root(), key(new.clone()));
        assert!(matches!(refused, Err(Error::PolicyLockOut(_))));
        new.bypass_lockout_check = true;
        kms.create_key(&root(), key(new)).unwrap();
    }
}

#[test]
fn the_lockout_check_counts_what_the_author_has_by_delegation() {
    let kms = kms();
    let put = r#"{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}"#;
    kms.put_identity_policy(&root(), &user("alice"), "put", put)
        .unwrap();
    kms.put_key_policy(&alice(), &shop(), &policy(&[&root_rules()]))
        .unwrap();
}

#[test]
fn a_malformed_policy_or_an_unknown_principal_changes_nothing() {
    let kms = kms();
    let before = kms.get_key_policy(&root(), &shop()).unwrap();
    let put = |new: &NewPolicy| kms.put_key_policy(&root(), &shop(), new);
    let malformed = put(&policy(&[r#"{"Effect":"Allow"}"#]));
    assert!(matches!(malformed, Err(Error::MalformedPolicy { at, .. }) if at == "Statement[0]"));
    let unknown = put(&policy(&[
        &root_rules(),
        &statement("Allow", &user("carol"), "kms:*"),
    ]));
    assert!(matches!(unknown, Err(Error::IdentityNotFound(who)) if who == user("carol")));
    // Who is elsewhere is not ours to know.
    put(&policy(&[
        &root_rules(),
        &statement("Allow", &eve(), "kms:*"),
    ]))
    .unwrap();
    assert_ne!(kms.get_key_policy(&root(), &shop()).unwrap(), before);
}

#[test]
fn a_managed_key_shows_itself_to_the_root_and_nothing_more() {
    let kms = kms();
    kms.describe_key(&root(), &certstore()).unwrap();
    kms.list_grants(&root(), &certstore()).unwrap();
    let fixed = kms.get_key_policy(&root(), &certstore()).unwrap();
    assert!(fixed.contains("sealgate-managed-2"));
    assert_eq!(kms.list_keys(&root()).unwrap().len(), 2);
    denied(kms.encrypt(&root(), &certstore(), &context(), b""));
    denied(kms.generate_data_key(&root(), &certstore(), &context()));
    denied(kms.create_grant(
        &root(),
        &certstore(),
        terms(&user("alice"), &[Action::Decrypt]),
    ));
    let all = policy(&[&root_rules()]);
    let refused = kms.put_key_policy(&root(), &certstore(), &all);
    assert!(matches!(refused, Err(Error::ManagedKey(_))));
    let own = r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    kms.put_identity_policy(&root(), &user("alice"), "all", own)
        .unwrap();
    denied(kms.encrypt(&alice(), &certstore(), &context(), b""));
    kms.describe_key(&alice(), &certstore()).unwrap();
}

#[test]
fn a_managed_key_encrypts_for_places_of_the_configuration_alone() {
    let kms = kms();
    let place = EncryptionContext::new().with(EncryptionContext::CONFIG_PATH, "a.b");
    let sealed = kms.encrypt(&root(), &certstore(), &place, b"secret");
    let sealed = sealed.unwrap();
    let opened = kms.decrypt(&Caller::Internal, &sealed, &place).unwrap();
    assert_eq!(*opened, b"secret");
    reserved(kms.decrypt(&root(), &sealed, &place));
    denied(kms.encrypt(&root(), &certstore(), &EncryptionContext::new(), b""));
    let more = place.clone().with("app", "shop");
    denied(kms.encrypt(&root(), &certstore(), &more, b""));
    reserved(kms.encrypt(
        &root(),
        &certstore(),
        &place.with("sealgate:store", "1"),
        b"",
    ));
}

#[test]
fn re_encryption_needs_both_of_its_rights() {
    let kms = kms();
    let blob = encrypt(&kms, &root(), &context()).unwrap();
    let mine = |action: &str| policy(&[&root_rules(), &statement("Allow", &user("alice"), action)]);
    let again = || {
        kms.re_encrypt(
            &alice(),
            &blob,
            &context(),
            &shop(),
            &EncryptionContext::new(),
        )
    };
    for (action, allowed) in [
        ("kms:Decrypt", false),
        ("kms:ReEncryptFrom", false),
        ("kms:ReEncryptTo", false),
        ("kms:ReEncrypt*", true),
    ] {
        kms.put_key_policy(&root(), &shop(), &mine(action)).unwrap();
        assert_eq!(again().is_ok(), allowed, "{action}");
    }
}

#[test]
fn conditions_see_alias_time_source_and_service() {
    let kms = kms();
    let with = |condition: &str| {
        let statement = statement("Allow", &user("alice"), "kms:Encrypt");
        let condition = format!(r#"{{"Condition":{{{condition}}},"#);
        policy(&[&root_rules(), &statement.replacen('{', &condition, 1)])
    };
    let network = Caller::Outside(Outside {
        principal: user("alice"),
        source: Source::Network {
            address: [10, 0, 0, 1].into(),
            tls: true,
        },
        via: Some("balancer".to_owned()),
        options: CallOptions::default(),
    });
    for (condition, local, remote) in [
        (
            r#""StringEquals":{"kms:RequestAlias":"alias/shop"}"#,
            true,
            true,
        ),
        (
            r#""ForAnyValue:StringLike":{"kms:ResourceAliases":"alias/s*"}"#,
            true,
            true,
        ),
        (
            r#""DateLessThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}"#,
            false,
            false,
        ),
        (r#""IpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#, false, true),
        (r#""Bool":{"aws:SecureTransport":true}"#, false, true),
        (
            r#""StringEquals":{"kms:ViaService":"balancer"}"#,
            false,
            true,
        ),
        (
            r#""StringEquals":{"kms:EncryptionContext:dept":"HR"}"#,
            true,
            true,
        ),
        (
            r#""StringEquals":{"kms:EncryptionContext:dept":"IT"}"#,
            false,
            false,
        ),
    ] {
        kms.put_key_policy(&root(), &shop(), &with(condition))
            .unwrap();
        assert_eq!(
            encrypt(&kms, &alice(), &context()).is_ok(),
            local,
            "{condition}"
        );
        assert_eq!(
            encrypt(&kms, &network, &context()).is_ok(),
            remote,
            "{condition}"
        );
    }
}

#[test]
fn to_create_a_key_and_its_alias_takes_two_rights() {
    let kms = kms();
    let new = || NewKey {
        alias: Some("alias/mine".to_owned()),
        ..NewKey::default()
    };
    denied(kms.create_key(&alice(), new()));
    let create = r#"{"Statement":{"Effect":"Allow","Action":"kms:CreateKey","Resource":"*"}}"#;
    kms.put_identity_policy(&root(), &user("alice"), "create", create)
        .unwrap();
    denied(kms.create_key(&alice(), new()));
    let name = r#"{"Statement":{"Effect":"Allow","Action":"kms:CreateAlias","Resource":"arn:aws:kms:local:000000000000:alias/mine"}}"#;
    kms.put_identity_policy(&root(), &user("alice"), "name", name)
        .unwrap();
    kms.create_key(&alice(), new()).unwrap();
}

// === explain ===

#[test]
fn explain_says_what_the_call_would_say() {
    let kms = kms();
    kms.put_identity_policy(&root(), &user("alice"), "use", USE)
        .unwrap();
    let key = shop();
    let ask = |who: &str, action, context: &EncryptionContext| {
        let Caller::Outside(caller) = by(&user(who)) else {
            unreachable!()
        };
        let question = Question {
            caller,
            action,
            key: Some(&key),
            context,
        };
        kms.explain(&root(), &question).unwrap()
    };
    let told = ask("alice", Action::Encrypt, &context());
    assert!(
        told.allowed && matches!(told.reason, Reason::IdentityPolicy { .. }),
        "{told}"
    );
    let told = ask("bob", Action::Encrypt, &context());
    assert!(
        !told.allowed && told.reason == Reason::NothingAllows,
        "{told}"
    );
    let reserved = EncryptionContext::new().with("sealgate:store", "1");
    let told = ask("alice", Action::Encrypt, &reserved);
    assert!(
        !told.allowed && matches!(told.reason, Reason::ReservedContext(_)),
        "{told}"
    );
    let Caller::Outside(caller) = alice() else {
        unreachable!()
    };
    let question = Question {
        caller,
        action: Action::Encrypt,
        key: Some(&key),
        context: &context(),
    };
    assert!(matches!(
        kms.explain(&alice(), &question),
        Err(Error::RootOnly { .. })
    ));
}

#[test]
fn explain_leaves_retiring_to_the_grant() {
    let kms = kms();
    let (key, none) = (shop(), EncryptionContext::new());
    let ask = |who: &Caller| {
        let Caller::Outside(caller) = who.clone() else {
            unreachable!()
        };
        let question = Question {
            caller,
            action: Action::RetireGrant,
            key: Some(&key),
            context: &none,
        };
        kms.explain(&root(), &question).unwrap().reason
    };
    let all = r#"{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}"#;
    kms.put_identity_policy(&root(), &user("alice"), "all", all)
        .unwrap();
    assert_eq!(ask(&alice()), Reason::NamedByGrantOnly);
    assert_eq!(ask(&root()), Reason::AccountRoot);
}

// === grants ===

#[test]
fn a_grant_gives_its_operations_until_it_is_revoked() {
    let storage = Arc::new(MemoryStorage::new());
    let kms = kms_on(storage.clone());
    let new = terms(&user("alice"), &[Action::Encrypt]);
    let grant = kms.create_grant(&root(), &shop(), new).unwrap();
    for kms in [&kms, &reopened(storage.clone())] {
        encrypt(kms, &alice(), &context()).unwrap();
        denied(encrypt(kms, &bob(), &context()));
        denied(kms.generate_data_key(&alice(), &shop(), &context()));
        assert_eq!(
            kms.list_grants(&root(), &shop()).unwrap(),
            vec![grant.clone()]
        );
    }
    denied(kms.revoke_grant(&alice(), &shop(), &grant.id));
    kms.revoke_grant(&root(), &shop(), &grant.id).unwrap();
    for kms in [&kms, &reopened(storage.clone())] {
        denied(encrypt(kms, &alice(), &context()));
        assert!(kms.list_grants(&root(), &shop()).unwrap().is_empty());
    }
    let again = kms.revoke_grant(&root(), &shop(), &grant.id);
    assert!(matches!(again, Err(Error::GrantNotFound(_))));
}

#[test]
fn a_grant_is_bound_to_its_encryption_context() {
    let kms = kms();
    let constraints = GrantConstraints {
        encryption_context_equals: None,
        encryption_context_subset: Some(context()),
    };
    let new = NewGrant {
        constraints,
        ..terms(&user("alice"), &[Action::Encrypt])
    };
    kms.create_grant(&root(), &shop(), new).unwrap();
    encrypt(&kms, &alice(), &context().with("more", "1")).unwrap();
    denied(encrypt(&kms, &alice(), &EncryptionContext::new()));
}

#[test]
fn the_same_terms_under_the_same_name_are_the_same_grant() {
    let kms = kms();
    let plain = || terms(&user("alice"), &[Action::Encrypt]);
    let named = |name: &str| NewGrant {
        name: Some(name.to_owned()),
        ..plain()
    };
    let create = |terms| {
        kms.create_grant(&root(), &shop(), terms)
            .unwrap()
            .id
            .clone()
    };
    let first = create(named("one"));
    assert_eq!(create(named("one")), first);
    assert_ne!(create(named("two")), first);
    assert_ne!(create(plain()), create(plain()));
    let more = NewGrant {
        operations: [Action::Decrypt].into(),
        ..named("one")
    };
    assert_ne!(create(more), first);
    assert_eq!(kms.list_grants(&root(), &shop()).unwrap().len(), 5);
}

#[test]
fn a_grant_to_grant_passes_on_no_more_than_it_gives() {
    let kms = kms();
    let give = |caller: &Caller, terms| kms.create_grant(caller, &shop(), terms);
    denied(give(&alice(), terms(&user("bob"), &[Action::Encrypt])));
    give(
        &root(),
        terms(&user("alice"), &[Action::Encrypt, Action::CreateGrant]),
    )
    .unwrap();
    denied(give(&alice(), terms(&user("bob"), &[Action::Decrypt])));
    let passed = give(&alice(), terms(&user("bob"), &[Action::Encrypt])).unwrap();
    assert_eq!(passed.issuer, Some(user("alice")));
    encrypt(&kms, &bob(), &context()).unwrap();
}

#[test]
fn who_may_retire_a_grant() {
    let kms = kms();
    let grant = |operations: &[Action], retiring: Option<&str>| -> GrantToken {
        let retiring = retiring.map(user);
        let new = NewGrant {
            retiring,
            ..terms(&user("alice"), operations)
        };
        let token = kms.create_grant(&root(), &shop(), new).unwrap().token();
        token.to_string().parse().unwrap()
    };
    let plain = grant(&[Action::Encrypt], None);
    denied(kms.retire_grant(&alice(), &plain));
    kms.retire_grant(&root(), &plain).unwrap();
    let again = kms.retire_grant(&root(), &plain);
    assert!(matches!(again, Err(Error::GrantNotFound(_))));
    kms.retire_grant(&alice(), &grant(&[Action::RetireGrant], None))
        .unwrap();
    let bobs = grant(&[Action::Encrypt], Some("bob"));
    denied(kms.retire_grant(&alice(), &bobs));
    kms.retire_grant(&bob(), &bobs).unwrap();
    // A policy's denial comes first.
    let deny = r#"{"Statement":{"Effect":"Deny","Action":"kms:RetireGrant","Resource":"*"}}"#;
    let kept = grant(&[Action::Encrypt], Some("bob"));
    kms.put_identity_policy(&root(), &user("bob"), "deny", deny)
        .unwrap();
    assert!(matches!(
        denied(kms.retire_grant(&bob(), &kept)),
        Reason::ExplicitDeny(_)
    ));
}

#[test]
fn retirable_grants_are_listed_by_their_principal() {
    let kms = kms();
    let new = NewGrant {
        retiring: Some(user("bob")),
        ..terms(&user("alice"), &[Action::Encrypt])
    };
    let grant = kms.create_grant(&root(), &shop(), new).unwrap();
    kms.create_grant(&root(), &shop(), terms(&user("alice"), &[Action::Encrypt]))
        .unwrap();
    assert_eq!(
        kms.list_retirable_grants(&root(), &user("bob")).unwrap(),
        [grant]
    );
    assert!(
        kms.list_retirable_grants(&root(), &user("alice"))
            .unwrap()
            .is_empty()
    );
    denied(kms.list_retirable_grants(&bob(), &user("bob")));
}

#[test]
fn what_makes_no_grant_is_refused() {
    let kms = kms();
    let refused = |terms| {
        kms.create_grant(&root(), &shop(), terms)
            .map(drop)
            .unwrap_err()
    };
    assert!(matches!(
        refused(terms(&user("alice"), &[])),
        Error::InvalidGrant(_)
    ));
    let unknown = refused(terms(&user("carol"), &[Action::Encrypt]));
    assert!(matches!(unknown, Error::IdentityNotFound(_)));
    let retiring = Some(user("carol"));
    let unknown = refused(NewGrant {
        retiring,
        ..terms(&user("alice"), &[Action::Encrypt])
    });
    assert!(matches!(unknown, Error::IdentityNotFound(_)));
}

/// So a balancer that uses a KMS elsewhere obtains its right.
#[test]
fn the_product_grants_the_use_of_a_managed_key() {
    let kms = kms();
    let new = terms(&user("alice"), &[Action::GenerateDataKey, Action::Decrypt]);
    let grant = kms
        .create_grant(&Caller::Internal, &certstore(), new)
        .unwrap();
    assert_eq!(grant.issuer, None);
    let (_, wrapped) = kms
        .generate_data_key(&alice(), &certstore(), &context())
        .unwrap();
    kms.open_data_key(&alice(), &wrapped, &context()).unwrap();
    denied(kms.generate_data_key(&bob(), &certstore(), &context()));
    kms.revoke_grant(&root(), &certstore(), &grant.id).unwrap();
    denied(kms.open_data_key(&alice(), &wrapped, &context()));
}

// === identities ===

#[test]
fn only_the_root_keeps_identities() {
    let kms = kms();
    let refused = [
        kms.create_identity(&alice(), user("carol")).map(drop),
        kms.delete_identity(&alice(), &user("bob")),
        kms.list_identities(&alice()).map(drop),
        kms.put_identity_policy(&alice(), &user("alice"), "use", USE),
        kms.delete_identity_policy(&alice(), &user("alice"), "use"),
        kms.get_identity_policy(&alice(), &user("alice"), "use")
            .map(drop),
        kms.map_uid(&alice(), 1, &user("alice")),
        kms.unmap_uid(&alice(), 1, &user("alice")),
    ];
    for result in refused {
        assert!(
            matches!(result, Err(Error::RootOnly { principal, .. }) if principal == user("alice"))
        );
    }
    let elsewhere = by(&"arn:aws:iam::111111111111:root".parse().unwrap());
    assert!(kms.list_identities(&elsewhere).is_err());
}

#[test]
fn a_user_id_acts_as_one_identity_also_after_a_restart() {
    let storage = Arc::new(MemoryStorage::new());
    let kms = kms_on(storage.clone());
    kms.map_uid(&root(), 1000, &user("alice")).unwrap();
    kms.map_uid(&root(), 1000, &user("alice")).unwrap();
    let taken = kms.map_uid(&root(), 1000, &user("bob"));
    assert!(matches!(taken, Err(Error::InvalidIdentityChange { .. })));
    let superuser = kms.map_uid(&root(), 0, &user("bob"));
    assert!(matches!(
        superuser,
        Err(Error::InvalidIdentityChange { .. })
    ));
    for kms in [&kms, &reopened(storage.clone())] {
        assert_eq!(kms.principal_of_uid(1000), Some(user("alice")));
        assert_eq!(kms.principal_of_uid(1001), None);
        let listed = kms.list_identities(&root()).unwrap();
        assert_eq!(listed[0].uids, [1000].into());
    }
    kms.unmap_uid(&root(), 1000, &user("alice")).unwrap();
    assert_eq!(kms.principal_of_uid(1000), None);
    assert!(kms.unmap_uid(&root(), 1000, &user("alice")).is_err());
    kms.map_uid(&root(), 1000, &user("bob")).unwrap();
    assert_eq!(reopened(storage).principal_of_uid(1000), Some(user("bob")));
}

#[test]
fn an_identity_that_is_named_somewhere_stays() {
    let kms = kms();
    let delete = |name| kms.delete_identity(&root(), &user(name));
    let new = policy(&[
        &root_rules(),
        &statement("Allow", &user("alice"), "kms:Encrypt"),
    ]);
    kms.put_key_policy(&root(), &shop(), &new).unwrap();
    assert!(
        matches!(delete("alice"), Err(Error::IdentityInUse { by, .. }) if by.contains("policy"))
    );
    kms.put_key_policy(&root(), &shop(), &policy(&[&root_rules()]))
        .unwrap();
    let grant = kms.create_grant(&root(), &shop(), terms(&user("alice"), &[Action::Encrypt]));
    assert!(
        matches!(delete("alice"), Err(Error::IdentityInUse { by, .. }) if by.contains("grant"))
    );
    kms.revoke_grant(&root(), &shop(), &grant.unwrap().id)
        .unwrap();
    delete("alice").unwrap();
    let gone = encrypt(&kms, &alice(), &context());
    assert!(matches!(gone, Err(Error::IdentityNotFound(who)) if who == user("alice")));
    assert!(matches!(delete("alice"), Err(Error::IdentityNotFound(_))));
}

#[test]
fn an_identity_is_created_once() {
    let kms = kms();
    let again = kms.create_identity(&root(), user("alice"));
    assert!(matches!(again, Err(Error::IdentityExists(_))));
    let of_root = kms.create_identity(&root(), identity().root());
    assert!(matches!(of_root, Err(Error::InvalidIdentityChange { .. })));
    kms.put_identity_policy(&root(), &user("alice"), "use", USE)
        .unwrap();
    assert_eq!(
        kms.get_identity_policy(&root(), &user("alice"), "use")
            .unwrap(),
        USE
    );
    let listed = kms.list_identities(&root()).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[0].principal, &listed[0].policies[..]),
        (&user("alice"), &["use".to_owned()][..])
    );
}

#[test]
fn another_accounts_principal_needs_both_sides() {
    let kms = kms();
    let new = policy(&[&root_rules(), &statement("Allow", &eve(), "kms:Encrypt")]);
    kms.put_key_policy(&root(), &shop(), &new).unwrap();
    let unknown = encrypt(&kms, &by(&eve()), &context());
    assert!(matches!(unknown, Err(Error::IdentityNotFound(_))));
    kms.create_identity(&root(), eve()).unwrap();
    assert!(matches!(
        denied(encrypt(&kms, &by(&eve()), &context())),
        Reason::NoIdentitySide(_)
    ));
    kms.put_identity_policy(&root(), &eve(), "use", USE)
        .unwrap();
    encrypt(&kms, &by(&eve()), &context()).unwrap();
}

/// What it denied would be forgotten, and what a key policy allows would hold.
#[test]
fn whose_record_is_damaged_may_nothing() {
    let storage = Arc::new(MemoryStorage::new());
    let kms = kms_on(storage.clone());
    let new = policy(&[&root_rules(), &statement("Allow", &user("alice"), "kms:*")]);
    kms.put_key_policy(&root(), &shop(), &new).unwrap();
    encrypt(&kms, &alice(), &context()).unwrap();
    let record = database::identity_record(&user("alice"));
    storage.put(&record, b"damaged", Expected::Any).unwrap();
    let kms = reopened(storage);
    let refused = encrypt(&kms, &alice(), &context());
    assert!(matches!(refused, Err(Error::DamagedRecord { record: r, .. }) if r == record));
    let overwritten = kms.create_identity(&root(), user("alice"));
    assert!(matches!(overwritten, Err(Error::DamagedRecord { .. })));
    encrypt(&kms, &root(), &context()).unwrap();
}

// === many at once ===

/// Every call is judged by the rules before or after a change, and none waits for another for ever.
#[test]
fn rules_change_while_keys_are_used() {
    let kms = kms();
    let open = policy(&[
        &root_rules(),
        &statement("Allow", &user("alice"), "kms:Encrypt"),
    ]);
    let closed = policy(&[&root_rules()]);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..200 {
                    match encrypt(&kms, &alice(), &context()) {
                        Ok(_) | Err(Error::AccessDenied(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                    assert_eq!(kms.list_keys(&root()).unwrap().len(), 2);
                    encrypt(&kms, &root(), &context()).unwrap();
                }
            });
        }
        for _ in 0..50 {
            kms.put_key_policy(&root(), &shop(), &open).unwrap();
            let new = terms(&user("alice"), &[Action::Encrypt]);
            let grant = kms.create_grant(&root(), &shop(), new).unwrap();
            kms.put_key_policy(&root(), &shop(), &closed).unwrap();
            encrypt(&kms, &alice(), &context()).unwrap();
            kms.revoke_grant(&root(), &shop(), &grant.id).unwrap();
            denied(encrypt(&kms, &alice(), &context()));
            kms.put_identity_policy(&root(), &user("bob"), "use", USE)
                .unwrap();
        }
    });
}

// === crashes ===

/// Changes of every kind; returns how many were acknowledged.
fn changes(kms: &Kms) -> usize {
    let new = policy(&[
        &root_rules(),
        &statement("Allow", &user("alice"), "kms:Decrypt"),
    ]);
    let grant = || kms.create_grant(&root(), &shop(), terms(&user("bob"), &[Action::Encrypt]));
    let revoke = |grant: &Grant| kms.revoke_grant(&root(), &shop(), &grant.id);
    let steps: [&dyn Fn() -> Result<(), Error>; 6] = [
        &|| kms.put_key_policy(&root(), &shop(), &new),
        &|| kms.put_identity_policy(&root(), &user("alice"), "use", USE),
        &|| kms.map_uid(&root(), 1000, &user("alice")),
        &|| grant().map(drop),
        &|| kms.create_identity(&root(), user("carol")).map(drop),
        &|| revoke(&kms.list_grants(&root(), &shop())?[0]),
    ];
    steps.iter().take_while(|step| step().is_ok()).count()
}

/// Whether each change but the grant's is there, and whether the grant is.
fn done(kms: &Kms) -> ([bool; 4], bool) {
    let identities = kms.list_identities(&root()).unwrap();
    let grants = kms.list_grants(&root(), &shop()).unwrap();
    let done = [
        kms.get_key_policy(&root(), &shop())
            .unwrap()
            .contains("alice"),
        identities[0].policies == ["use"],
        kms.principal_of_uid(1000).is_some(),
        identities.len() == 3,
    ];
    (done, !grants.is_empty())
}

#[test]
fn a_power_failure_at_any_call_loses_no_acknowledged_change() {
    let on = |files: &LossyFiles| Arc::new(FileStorage::on(files.clone(), Path::new("/")));
    let files = LossyFiles::new();
    let kms = kms_on(on(&files));
    let before = files.calls();
    assert_eq!(changes(&kms), 6);
    for call in before..files.calls() {
        let files = LossyFiles::new();
        let kms = kms_on(on(&files));
        files.lose_power_at(call);
        let acknowledged = changes(&kms);
        for seed in 0..5 {
            let kms = reopened(on(&files.after_power_loss(seed)));
            assert_eq!(kms.damaged(), []);
            let ([policy, own_policy, uid, carol], granted) = done(&kms);
            let expected = |change| acknowledged >= change;
            let kept = [(policy, 1), (own_policy, 2), (uid, 3), (carol, 5)];
            assert!(
                kept.iter()
                    .all(|(done, change)| *done || !expected(*change)),
                "call {call}"
            );
            match acknowledged {
                4 => assert!(granted, "call {call}: the grant was acknowledged"),
                6 => assert!(!granted, "call {call}: so was its end"),
                // Underway: it is there, or it is not.
                _ => {}
            }
        }
    }
}
