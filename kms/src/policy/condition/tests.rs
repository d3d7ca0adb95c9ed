use proptest::prelude::*;

use super::*;
use crate::caller::Source;
use crate::grant::{GrantConstraints, NewGrant};
use crate::policy::action::Action;
use crate::policy::test_util::Asked;

/// Whether `operator` on `key`, compared with `values`, holds for what was asked.
fn holds(asked: &Asked, operator: &str, key: &str, values: &[&str]) -> bool {
    condition(operator, key, values)
        .unwrap()
        .holds(&asked.request())
}

fn condition(operator: &str, key: &str, values: &[&str]) -> Result<Condition, String> {
    let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
    let (operator, key) = (Operator::parse(operator)?, ConditionKey::parse(key)?);
    Condition::new(operator, key, &values, true).map_err(|(_, why)| why)
}

fn alice() -> Asked {
    Asked::by("user/ops/alice")
        .with("dept", "HR")
        .with("app", "pay")
}

#[test]
fn every_operator_compares_as_aws_does() {
    let dept = "kms:EncryptionContext:dept";
    let (arn, ip) = ("aws:PrincipalArn", "aws:SourceIp");
    let (now, epoch) = ("aws:CurrentTime", "aws:EpochTime");
    for (operator, key, value, expected) in [
        ("StringEquals", dept, "HR", true),
        ("StringEquals", dept, "hr", false),
        ("StringEquals", dept, "H*", false),
        ("StringNotEquals", dept, "HR", false),
        ("StringNotEquals", dept, "IT", true),
        ("StringEqualsIgnoreCase", dept, "hr", true),
        ("StringNotEqualsIgnoreCase", dept, "hr", false),
        ("StringLike", dept, "H?", true),
        ("StringLike", dept, "h?", false),
        ("StringNotLike", dept, "H*", false),
        ("ArnEquals", arn, "arn:aws:iam::*:user/ops/*", true),
        ("ArnLike", arn, "arn:aws:iam::000000000000:user/*", true),
        ("ArnLike", arn, "arn:aws:iam::000000000001:user/*", false),
        ("ArnNotEquals", arn, "arn:aws:iam::*:role/*", true),
        ("ArnNotLike", arn, "arn:aws:iam::*:user/*", false),
        ("NumericEquals", epoch, "1769860800", true),
        ("NumericNotEquals", epoch, "1769860800.0", false),
        ("NumericLessThan", epoch, "1769860800", false),
        ("NumericLessThanEquals", epoch, "1769860800", true),
        ("NumericGreaterThan", epoch, "1", true),
        ("NumericGreaterThanEquals", epoch, "1769860801", false),
        ("DateEquals", now, "2026-01-31T13:00:00+01:00", true),
        ("DateNotEquals", now, "2026-01-31T12:00:00Z", false),
        ("DateLessThan", now, "2026-02-01", true),
        ("DateLessThan", now, "2026-01-31", false),
        ("DateLessThanEquals", epoch, "1769860800", true),
        ("DateGreaterThan", now, "2026-01-31T11:59:59", true),
        ("DateGreaterThanEquals", now, "2026-01-31T12:00:01Z", false),
        ("Bool", "aws:SecureTransport", "true", true),
        ("Bool", "aws:SecureTransport", "false", false),
        ("IpAddress", ip, "10.0.0.0/8", true),
        ("IpAddress", ip, "10.1.2.4", false),
        ("NotIpAddress", ip, "10.1.2.3", false),
        ("NotIpAddress", ip, "2001:db8::/32", true),
        ("Null", dept, "false", true),
        ("Null", dept, "true", false),
        ("Null", "kms:EncryptionContext:none", "true", true),
    ] {
        assert_eq!(
            holds(&alice(), operator, key, &[value]),
            expected,
            "{operator} {key} {value}"
        );
    }
}

#[test]
fn one_of_several_values_is_enough_and_for_a_negation_none_may_match() {
    let dept = "kms:EncryptionContext:dept";
    assert!(holds(&alice(), "StringEquals", dept, &["IT", "HR"]));
    assert!(!holds(&alice(), "StringNotEquals", dept, &["IT", "HR"]));
    assert!(holds(&alice(), "StringNotEquals", dept, &["IT", "QA"]));
}

#[test]
fn a_missing_key_fulfils_negations_and_if_exists_only() {
    let none = "kms:EncryptionContext:none";
    for (operator, expected) in [
        ("StringEquals", false),
        ("StringLike", false),
        ("StringNotEquals", true),
        ("ArnNotLike", true),
        ("StringEqualsIfExists", true),
        ("StringNotLikeIfExists", true),
        ("ForAllValues:StringEquals", true),
        ("ForAnyValue:StringEquals", false),
        ("ForAnyValue:StringNotEquals", false),
        ("ForAnyValue:StringEqualsIfExists", true),
    ] {
        let value = if operator.starts_with("Arn") {
            "*"
        } else {
            "x"
        };
        assert_eq!(
            holds(&alice(), operator, none, &[value]),
            expected,
            "{operator}"
        );
    }
    assert!(!holds(
        &alice(),
        "IpAddress",
        "kms:ViaService",
        &["0.0.0.0/0"]
    ));
    assert!(!holds(
        &alice(),
        "StringEqualsIfExists",
        "kms:EncryptionContext:dept",
        &["IT"]
    ));
}

#[test]
fn sets_are_judged_by_all_or_any_of_their_members() {
    let keys = "kms:EncryptionContextKeys";
    for (operator, values, expected) in [
        (
            "ForAllValues:StringEquals",
            &["app", "dept", "more"][..],
            true,
        ),
        ("ForAllValues:StringEquals", &["app"], false),
        ("ForAnyValue:StringEquals", &["app", "other"], true),
        ("ForAnyValue:StringEquals", &["other"], false),
        ("ForAllValues:StringNotEquals", &["other"], true),
        ("ForAllValues:StringNotEquals", &["app"], false),
        ("ForAnyValue:StringNotEquals", &["app"], true),
        ("ForAnyValue:StringNotEquals", &["app", "dept"], false),
        ("ForAnyValue:StringLike", &["d*"], true),
    ] {
        assert_eq!(
            holds(&alice(), operator, keys, values),
            expected,
            "{operator} {values:?}"
        );
    }
}

#[test]
fn names_of_keys_have_no_case_and_values_have() {
    assert!(holds(
        &alice(),
        "StringEquals",
        "KMS:encryptioncontext:DEPT",
        &["HR"]
    ));
    assert!(holds(&alice(), "ArnLike", "AWS:principalarn", &["*"]));
    assert!(!holds(
        &alice(),
        "ForAnyValue:StringEquals",
        "kms:EncryptionContextKeys",
        &["DEPT"]
    ));
    // Two pairs that differ in the case of their keys answer both.
    let both = alice().with("DEPT", "IT");
    for value in ["HR", "IT"] {
        assert!(holds(
            &both,
            "StringEquals",
            "kms:EncryptionContext:dept",
            &[value]
        ));
    }
    assert!(!holds(
        &both,
        "StringNotEquals",
        "kms:EncryptionContext:dept",
        &["HR"]
    ));
}

#[test]
fn every_key_that_the_kms_fills_answers() {
    let mut asked = Asked {
        alias: Some("alias/shop".to_owned()),
        ..alice()
    };
    asked.caller.via = Some("balancer".to_owned());
    for (key, value) in [
        ("aws:CurrentTime", "2026-01-31T12:00:00Z"),
        ("aws:EpochTime", "1769860800"),
        ("aws:PrincipalAccount", "000000000000"),
        (
            "aws:PrincipalArn",
            "arn:aws:iam::000000000000:user/ops/alice",
        ),
        ("aws:PrincipalType", "User"),
        ("aws:ResourceAccount", "000000000000"),
        ("aws:SecureTransport", "true"),
        ("aws:SourceIp", "10.1.2.3"),
        ("aws:ViaAWSService", "true"),
        ("aws:username", "alice"),
        ("kms:CallerAccount", "000000000000"),
        ("kms:EncryptionAlgorithm", "SYMMETRIC_DEFAULT"),
        ("kms:EncryptionContextKeys", "app"),
        ("kms:KeyOrigin", "AWS_KMS"),
        ("kms:KeySpec", "SYMMETRIC_DEFAULT"),
        ("kms:KeyUsage", "ENCRYPT_DECRYPT"),
        ("kms:MultiRegion", "false"),
        ("kms:RequestAlias", "alias/shop"),
        ("kms:ViaService", "balancer"),
    ] {
        assert!(holds(&asked, "StringEquals", key, &[value]), "{key}");
    }
    assert!(holds(&asked, "Null", "kms:SigningAlgorithm", &["true"]));
    assert!(holds(&asked, "Null", "s3:prefix", &["true"]));
    assert!(holds(&asked, "Null", "kms:GrantOperations", &["true"]));
}

#[test]
fn the_keys_of_a_new_grant() {
    let context = [("a".to_owned(), "1".to_owned())].into_iter().collect();
    let grant = NewGrant {
        grantee: "arn:aws:iam::000000000000:role/web".parse().unwrap(),
        retiring: Some("arn:aws:iam::000000000000:root".parse().unwrap()),
        operations: [Action::Encrypt, Action::Decrypt].into(),
        constraints: GrantConstraints {
            encryption_context_equals: None,
            encryption_context_subset: Some(context),
        },
        name: None,
    };
    let asked = Asked {
        grant: Some(grant),
        ..alice().to(Action::CreateGrant)
    };
    let operations = "kms:GrantOperations";
    assert!(holds(
        &asked,
        "ForAllValues:StringEquals",
        operations,
        &["Encrypt", "Decrypt"]
    ));
    assert!(!holds(
        &asked,
        "ForAllValues:StringEquals",
        operations,
        &["Encrypt"]
    ));
    assert!(holds(
        &asked,
        "StringLike",
        "kms:GranteePrincipal",
        &["*role/web"]
    ));
    assert!(holds(
        &asked,
        "StringLike",
        "kms:RetiringPrincipal",
        &["*:root"]
    ));
    assert!(holds(
        &asked,
        "Bool",
        "kms:GrantIsForAWSResource",
        &["false"]
    ));
    let constraint = "kms:GrantConstraintType";
    assert!(holds(
        &asked,
        "StringEquals",
        constraint,
        &["EncryptionContextSubset"]
    ));
}

#[test]
fn a_local_process_has_neither_address_nor_transport() {
    let mut asked = alice();
    asked.caller.source = Source::Local { uid: 1000 };
    assert!(holds(&asked, "Null", "aws:SourceIp", &["true"]));
    assert!(!holds(&asked, "Bool", "aws:SecureTransport", &["false"]));
    assert!(!holds(&asked, "Bool", "aws:SecureTransport", &["true"]));
}

#[test]
fn an_ipv4_address_within_ipv6_is_that_address() {
    let mut asked = alice();
    asked.caller.source = Source::Network {
        address: "::ffff:10.1.2.3".parse().unwrap(),
        tls: false,
    };
    assert!(holds(&asked, "IpAddress", "aws:SourceIp", &["10.0.0.0/8"]));
}

#[test]
fn what_no_value_can_be_is_refused_when_it_is_read() {
    for (operator, key, value) in [
        ("StringIs", "aws:SourceIp", "x"),
        ("ForSomeValues:StringEquals", "aws:SourceIp", "x"),
        ("NullIfExists", "aws:SourceIp", "true"),
        ("ForAnyValue:Null", "aws:SourceIp", "true"),
        ("StringEquals", "SourceIp", "x"),
        ("StringEquals", "kms:ViaServce", "x"),
        ("StringEquals", "kms:EncryptionContext:", "x"),
        ("NumericEquals", "aws:EpochTime", "many"),
        ("NumericEquals", "aws:EpochTime", "inf"),
        ("DateLessThan", "aws:CurrentTime", "tomorrow"),
        ("Bool", "aws:SecureTransport", "yes"),
        ("IpAddress", "aws:SourceIp", "10.0.0.0/33"),
        ("ArnLike", "aws:PrincipalArn", "user/alice"),
        ("StringLike", "kms:EncryptionContext:a", "${aws:username}"),
    ] {
        assert!(
            condition(operator, key, &[value]).is_err(),
            "{operator} {key} {value}"
        );
    }
}

proptest! {
    #[test]
    fn arbitrary_conditions_never_panic(
        operator in "(ForAllValues:|ForAnyValue:|For:)?(String|Date|Numeric|Arn|Bool|Null|Ip.)?(Not)?(Equals|Like|Less.{0,5})?(IfExists)?.{0,2}",
        key in "(kms:|aws:)?(EncryptionContext:)?.{0,9}",
        value in ".{0,12}",
    ) {
        if let Ok(condition) = condition(&operator, &key, &[&value]) {
            condition.holds(&alice().request());
        }
    }

    #[test]
    fn a_negation_is_the_opposite_also_of_values_that_make_no_sense(
        value in "[a-z0-9.:/*-]{0,12}",
        kind in prop::sample::select(vec![
            ("StringEquals", "StringNotEquals"), ("StringLike", "StringNotLike"),
            ("NumericEquals", "NumericNotEquals"), ("DateEquals", "DateNotEquals"),
            ("ArnLike", "ArnNotLike"), ("IpAddress", "NotIpAddress"),
        ]),
        found in "[a-z0-9.:/-]{1,12}",
    ) {
        let asked = alice().with("x", &found);
        let key = "kms:EncryptionContext:x";
        if let Ok(one) = condition(kind.0, key, &[&value]) {
            let opposite = condition(kind.1, key, &[&value]).unwrap();
            prop_assert_ne!(one.holds(&asked.request()), opposite.holds(&asked.request()));
        }
    }
}
