use proptest::prelude::*;

use super::*;

const ALICE: &str = "arn:aws:iam::000000000000:user/alice";

/// A key policy of one statement, `more` standing in it.
fn statement(more: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Deny",{more}}}}}"#)
}

/// Where and why a key policy is refused.
fn refused(text: &str) -> (String, String) {
    refused_as(PolicyKind::Key, text)
}

fn refused_as(kind: PolicyKind, text: &str) -> (String, String) {
    match PolicyDocument::parse(kind, text) {
        Err(Error::MalformedPolicy { at, why }) => (at, why),
        other => panic!("{other:?}: {text}"),
    }
}

const REST: &str = r#""Principal":"*","Action":"kms:*","Resource":"*""#;

#[test]
fn the_products_own_policies_are_well_formed() {
    let root = Principal::root("000000000000");
    let default = PolicyDocument::default_of(&root);
    assert_eq!(default.principals().collect::<Vec<_>>(), [&root]);
    assert_eq!(PolicyDocument::managed_by(&root).statements().len(), 2);
}

#[test]
fn a_policy_of_every_element_is_understood() {
    let text = r#"{
        "Version": "2012-10-17",
        "Id": "all",
        "Statement": [
            {
                "Sid": "one", "Effect": "Allow",
                "Principal": { "AWS": ["000000000000", "arn:aws:iam::000000000000:user/alice", "*"] },
                "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": "*",
                "Condition": {
                    "StringEquals": { "kms:EncryptionContext:a": ["1", 2, true], "kms:ViaService": "x" },
                    "Bool": { "aws:SecureTransport": true }
                }
            },
            {
                "Effect": "Deny", "NotPrincipal": { "AWS": "000000000000" },
                "NotAction": "kms:Describe*", "NotResource": "arn:aws:kms:*:*:key/x", "Condition": {}
            }
        ]
    }"#;
    let policy = PolicyDocument::parse(PolicyKind::Key, text).unwrap();
    assert_eq!(policy.text(), text);
    let [one, two] = policy.statements() else {
        panic!("two statements")
    };
    assert_eq!((one.sid.as_deref(), one.conditions.len()), (Some("one"), 3));
    assert_eq!((two.index, two.effect), (1, Effect::Deny));
    let named: Vec<_> = policy.principals().map(Principal::arn).collect();
    let root = "arn:aws:iam::000000000000:root";
    assert_eq!(named, [root, ALICE, root]);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (more, at) in [
        (r#""Principal":"*","Action":"kms:*""#, "Statement"),
        (r#""Principal":"*","Resource":"*""#, "Statement"),
        (r#""Action":"kms:*","Resource":"*""#, "Statement"),
        (&format!(r#"{REST},"NotAction":"*""#), "Statement.NotAction"),
        (
            &format!(r#"{REST},"NotPrincipal":"*""#),
            "Statement.NotPrincipal",
        ),
        (&format!(r#"{REST},"Sid":1"#), "Statement.Sid"),
        (&format!(r#"{REST},"principal":"*""#), "Statement.principal"),
        (&format!(r#"{REST},"Condition":[]"#), "Statement.Condition"),
        (
            &format!(r#"{REST},"Condition":{{"StringIs":{{"aws:SourceIp":"x"}}}}"#),
            "Statement.Condition.StringIs",
        ),
        (
            &format!(r#"{REST},"Condition":{{"IpAddress":{{"aws:SourceIp":["10.0.0.1","x"]}}}}"#),
            "Statement.Condition.IpAddress.aws:SourceIp[1]",
        ),
        (
            &format!(r#"{REST},"Condition":{{"Null":{{"kms:None":"true"}}}}"#),
            "Statement.Condition.Null.kms:None",
        ),
        (
            &format!(r#"{REST},"Condition":{{"Bool":{{"aws:SecureTransport":[]}}}}"#),
            "Statement.Condition.Bool.aws:SecureTransport",
        ),
        (
            &format!(r#"{REST},"Condition":{{"Bool":{{"aws:SecureTransport":{{}}}}}}"#),
            "Statement.Condition.Bool.aws:SecureTransport",
        ),
        (
            r#""Principal":{"AWS":["0000"]},"Action":"*","Resource":"*""#,
            "Statement.Principal.AWS[0]",
        ),
        (
            r#""Principal":{"Service":"x"},"Action":"*","Resource":"*""#,
            "Statement.Principal.Service",
        ),
        (
            r#""Principal":"000000000000","Action":"*","Resource":"*""#,
            "Statement.Principal",
        ),
        (
            r#""Principal":{"AWS":"arn:aws:iam::*:root"},"Action":"*","Resource":"*""#,
            "Statement.Principal.AWS",
        ),
        (
            r#""Principal":"*","Action":"Encrypt","Resource":"*""#,
            "Statement.Action",
        ),
        (
            r#""Principal":"*","Action":["kms:*",":x"],"Resource":"*""#,
            "Statement.Action[1]",
        ),
        (
            r#""Principal":"*","Action":[],"Resource":"*""#,
            "Statement.Action",
        ),
        (
            r#""Principal":"*","Action":"*","Resource":"key/1""#,
            "Statement.Resource",
        ),
        (
            r#""Principal":"*","Action":"*","Resource":"arn:${aws:x}""#,
            "Statement.Resource",
        ),
    ] {
        let (found, why) = refused(&statement(more));
        assert_eq!(found, at, "{why}: {more}");
        assert!(!why.is_empty());
    }
}

#[test]
fn the_frame_of_a_document_is_checked() {
    let (at, why) = refused("{");
    assert!(
        at == "the document" && why.contains("line 1 column 1"),
        "{why}"
    );
    assert_eq!(refused("[]").0, "the document");
    assert_eq!(refused("{}").1, "`Statement` is missing");
    assert_eq!(refused(r#"{"Statement":[]}"#).0, "Statement");
    assert_eq!(refused(r#"{"Statement":[1]}"#).0, "Statement[0]");
    assert_eq!(
        refused(r#"{"Version":"2026-01-01","Statement":[]}"#).0,
        "Version"
    );
    assert_eq!(refused(r#"{"Version":1,"Statement":[]}"#).0, "Version");
    assert_eq!(refused(r#"{"Id":[],"Statement":[]}"#).0, "Id");
    assert_eq!(refused(r#"{"Extra":1,"Statement":[]}"#).0, "Extra");
    let (_, why) = refused(&format!(r#"{{"Statement":{{"Effect":"Maybe",{REST}}}}}"#));
    assert_eq!(why, "`Maybe` is not one of `Allow`, `Deny`");
}

#[test]
fn a_member_that_stands_twice_is_refused_wherever_it_is() {
    for text in [
        statement(&format!(r#"{REST},"Effect":"Allow""#)),
        statement(&format!(
            r#"{REST},"Condition":{{"Bool":{{}},"Bool":{{}}}}"#
        )),
        r#"{"Statement":[],"Statement":[]}"#.to_owned(),
    ] {
        assert!(refused(&text).1.contains("twice"), "{text}");
    }
}

#[test]
fn a_sid_names_one_statement() {
    let one = format!(r#"{{"Sid":"a","Effect":"Deny",{REST}}}"#);
    let (at, _) = refused(&format!(r#"{{"Statement":[{one},{one}]}}"#));
    assert_eq!(at, "Statement[1].Sid");
}

#[test]
fn what_would_be_ignored_is_refused() {
    let not_principal = r#"{"Statement":{"Effect":"Allow","NotPrincipal":{"AWS":"000000000000"},"Action":"*","Resource":"*"}}"#;
    assert_eq!(refused(not_principal).0, "Statement.NotPrincipal");
    let principal = statement(REST);
    assert_eq!(
        refused_as(PolicyKind::Identity, &principal).0,
        "Statement.Principal"
    );
    let without = statement(r#""Action":"*","Resource":"*""#);
    assert!(PolicyDocument::parse(PolicyKind::Identity, &without).is_ok());
}

#[test]
fn a_document_is_neither_long_nor_deep() {
    let room = PolicyDocument::MAX_LEN - statement(REST).len();
    let fitting = statement(&format!("{REST}{}", " ".repeat(room)));
    assert!(PolicyDocument::parse(PolicyKind::Key, &fitting).is_ok());
    assert!(refused(&format!("{fitting} ")).1.contains("32769 bytes"));
    let deep = "[".repeat(PolicyDocument::MAX_LEN);
    assert!(refused(&deep).1.contains("recursion limit"));
}

/// A JSON value that looks like a piece of a policy.
fn piece() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "Version",
        "2012-10-17",
        "Id",
        "Statement",
        "Sid",
        "Effect",
        "Allow",
        "Deny",
        "Principal",
        "NotPrincipal",
        "AWS",
        "*",
        ALICE,
        "Action",
        "kms:*",
        "NotAction",
        "Resource",
        "Condition",
        "NotResource",
        "StringLike",
        "Bool",
        "kms:ViaService",
        "ForAnyValue:StringEquals",
        "${",
        "",
    ]);
    let scalar = prop_oneof![
        word.clone().prop_map(|word| format!("{word:?}")),
        any::<f64>().prop_map(|number| number.to_string()),
        Just("true".to_owned()),
        Just("null".to_owned()),
    ];
    scalar.prop_recursive(5, 40, 6, move |inner| {
        let member = (word.clone(), inner.clone());
        let member = member.prop_map(|(word, value)| format!("{word:?}:{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|list| format!("[{}]", list.join(","))),
            prop::collection::vec(member, 0..7).prop_map(|map| format!("{{{}}}", map.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn arbitrary_texts_never_panic(text in ".{0,80}") {
        let _ = PolicyDocument::parse(PolicyKind::Key, &text);
    }

    #[test]
    fn what_looks_like_a_policy_never_panics(text in piece(), inside in piece()) {
        for kind in [PolicyKind::Key, PolicyKind::Identity] {
            let _ = PolicyDocument::parse(kind, &text);
            let whole = format!(r#"{{"Statement":{{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{inside}}}}}"#);
            let _ = PolicyDocument::parse(kind, &whole);
        }
    }

    /// A policy, changed in one place, is understood or refused.
    #[test]
    fn a_changed_policy_never_panics(at in any::<prop::sample::Index>(), by in any::<char>()) {
        let text = statement(&format!(r#"{REST},"Condition":{{"IpAddress":{{"aws:SourceIp":["10.0.0.1"]}}}}"#));
        let changed: String = text
            .char_indices()
            .map(|(place, char)| if place == at.index(text.len()) { by } else { char })
            .collect();
        let _ = PolicyDocument::parse(PolicyKind::Key, &changed);
    }
}
