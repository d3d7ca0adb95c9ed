use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::environment::Environment;
use crate::storage::MemoryStorage;
use crate::test_util::{identity, root_key};

fn kms() -> Kms {
    let storage = Arc::new(MemoryStorage::new());
    Kms::create(storage, &root_key(1), identity(), Environment::system()).unwrap()
}

fn root() -> Caller {
    Caller::local(identity().root(), 0)
}

fn user(name: &str) -> Caller {
    let principal = format!("arn:aws:iam::000000000000:user/{name}");
    Caller::local(principal.parse().unwrap(), 1000)
}

fn ask_as(kms: &Kms, caller: &Caller, operation: &str, input: Value) -> Result<Value, Exception> {
    let answer = call(kms, caller, operation, input.to_string().as_bytes())?;
    Ok(serde_json::from_slice(&answer).unwrap())
}

fn ask(kms: &Kms, operation: &str, input: Value) -> Value {
    ask_as(kms, &root(), operation, input).unwrap()
}

fn refused(kms: &Kms, operation: &str, input: &str) -> (&'static str, String) {
    match call(kms, &root(), operation, input.as_bytes()) {
        Ok(_) => panic!("{operation} {input} was done"),
        Err(exception) => (exception.code, exception.message),
    }
}

fn created(kms: &Kms) -> String {
    let created = ask(kms, "CreateKey", json!({ "Description": "for tests" }));
    created["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
}

#[test]
fn a_key_is_described_by_aws_s_members() {
    let kms = kms();
    let id = created(&kms);
    let described = ask(&kms, "DescribeKey", json!({ "KeyId": id }));
    let metadata = &described["KeyMetadata"];
    assert_eq!(metadata["AWSAccountId"], "000000000000");
    assert_eq!(
        metadata["Arn"],
        format!("arn:aws:kms:local:000000000000:key/{id}")
    );
    assert_eq!(metadata["KeySpec"], "SYMMETRIC_DEFAULT");
    assert_eq!(metadata["KeyManager"], "CUSTOMER");
    assert_eq!(
        metadata["EncryptionAlgorithms"],
        json!(["SYMMETRIC_DEFAULT"])
    );
    assert!(metadata["CreationDate"].as_f64().unwrap() > 1.7e9);
}

#[test]
fn what_is_encrypted_is_decrypted_and_re_encrypted() {
    let kms = kms();
    let (one, other) = (created(&kms), created(&kms));
    let context = json!({ "purpose": "test" });
    let sealed = ask(
        &kms,
        "Encrypt",
        json!({ "KeyId": one, "Plaintext": "c2VjcmV0", "EncryptionContext": context }),
    );
    let moved = ask(
        &kms,
        "ReEncrypt",
        json!({
            "CiphertextBlob": sealed["CiphertextBlob"],
            "SourceEncryptionContext": context,
            "DestinationKeyId": other,
        }),
    );
    let opened = ask(
        &kms,
        "Decrypt",
        json!({ "CiphertextBlob": moved["CiphertextBlob"] }),
    );
    assert_eq!(opened["Plaintext"], "c2VjcmV0");
    assert_eq!(opened["KeyId"], moved["KeyId"]);
    assert_ne!(moved["SourceKeyId"], moved["KeyId"]);
    let wrong = json!({ "CiphertextBlob": sealed["CiphertextBlob"] }).to_string();
    assert_eq!(
        refused(&kms, "Decrypt", &wrong).0,
        "InvalidCiphertextException"
    );
    let of_another = json!({ "CiphertextBlob": moved["CiphertextBlob"], "KeyId": one }).to_string();
    assert_eq!(
        refused(&kms, "Decrypt", &of_another).0,
        "IncorrectKeyException"
    );
}

#[test]
fn data_keys_have_the_length_that_is_asked_for() {
    let kms = kms();
    let id = created(&kms);
    for (asked, length) in [
        (json!({ "KeyId": id, "KeySpec": "AES_128" }), 16),
        (json!({ "KeyId": id, "KeySpec": "AES_256" }), 32),
        (json!({ "KeyId": id, "NumberOfBytes": 1024 }), 1024),
    ] {
        let made = ask(&kms, "GenerateDataKey", asked.clone());
        let bytes: SecretBlob = serde_json::from_value(made["Plaintext"].clone()).unwrap();
        assert_eq!(bytes.0.len(), length);
        let opened = ask(
            &kms,
            "Decrypt",
            json!({ "CiphertextBlob": made["CiphertextBlob"] }),
        );
        assert_eq!(opened["Plaintext"], made["Plaintext"]);
        let blind = ask(&kms, "GenerateDataKeyWithoutPlaintext", asked);
        assert!(blind.get("Plaintext").is_none());
    }
    let both = json!({ "KeyId": id, "KeySpec": "AES_128", "NumberOfBytes": 1 }).to_string();
    assert_eq!(
        refused(&kms, "GenerateDataKey", &both).0,
        "ValidationException"
    );
}

#[test]
fn what_is_wrong_with_a_request_is_said_in_aws_s_words() {
    let kms = kms();
    let cases = [
        (
            "Encrypt",
            r#"{"KeyId":"","Plaintext":"YQ=="}"#,
            "1 validation error detected: Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "Encrypt",
            r#"{"KeyId":null}"#,
            "2 validation errors detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null; Value null at 'plaintext' failed to satisfy constraint: Member must not be null",
        ),
        (
            "Encrypt",
            r#"{"KeyId":"a","Plaintext":""}"#,
            "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ),
        (
            "GenerateDataKey",
            r#"{"KeyId":"a","NumberOfBytes":0}"#,
            "1 validation error detected: Value '0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ),
        (
            "GenerateDataKey",
            r#"{"KeyId":"a","KeySpec":"AES"}"#,
            "1 validation error detected: Value 'AES' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]",
        ),
        (
            "CreateGrant",
            r#"{"KeyId":"a","Operations":["Decrypt","Walk"],"GranteePrincipal":"a"}"#,
            "1 validation error detected: Value 'Walk' at 'operations.2.member' failed to satisfy constraint: Member must satisfy enum value set: ",
        ),
        (
            "GetKeyPolicy",
            r#"{"KeyId":"a","PolicyName":"a b"}"#,
            r"1 validation error detected: Value 'a b' at 'policyName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w]+",
        ),
        (
            "DescribeKey",
            r#"{"KeyId":"a","Colour":{"red":[1]}}"#,
            "1 validation error detected: Value at 'Colour' failed to satisfy constraint: Member must be known to the operation",
        ),
    ];
    for (operation, input, message) in cases {
        let (code, said) = refused(&kms, operation, input);
        assert_eq!(code, "ValidationException", "{input}");
        assert!(said.starts_with(message), "{input}: {said}");
    }
}

#[test]
fn what_is_no_request_is_refused_without_being_shown() {
    let kms = kms();
    for input in [
        "",
        "{",
        "[]",
        "null",
        r#"{"KeyId":7,"Plaintext":"YQ=="}"#,
        r#"{"KeyId":"a","Plaintext":"hunter2!"}"#,
        r#"{"KeyId":"a","Plaintext":["hunter2"]}"#,
        r#"{"KeyId":"a","Plaintext":"YQ==","KeyId":"b"}"#,
        r#"{"KeyId":"a","Plaintext":"YQ=="} x"#,
        r#"{"KeyId":"a","Plaintext":"YQ==","EncryptionContext":{"a":1}}"#,
    ] {
        let (code, message) = refused(&kms, "Encrypt", input);
        assert_eq!(code, "SerializationException", "{input}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    assert_eq!(refused(&kms, "Walk", "{}").0, "UnknownOperationException");
}

#[test]
fn escaped_slashes_are_slashes() {
    let kms = kms();
    let id = created(&kms);
    let input = format!(
        r#"{{"KeyId":"{id}","Plaintext":"\/\/\/\/","EncryptionContext":{{"\\\/":"\"\/"}}}}"#
    );
    let sealed = call(&kms, &root(), "Encrypt", input.as_bytes()).unwrap();
    let sealed: EncryptResponse = serde_json::from_slice(&sealed).unwrap();
    let asked =
        json!({ "CiphertextBlob": sealed.ciphertext_blob, "EncryptionContext": { "\\/": "\"/" } });
    assert_eq!(ask(&kms, "Decrypt", asked)["Plaintext"], "////");
}

#[test]
fn lists_come_in_pages() {
    let kms = kms();
    let mut expected = vec![
        kms.resolve(&"alias/sealgate/certstore".parse().unwrap())
            .unwrap()
            .to_string(),
    ];
    expected.extend((0..5).map(|_| created(&kms)));
    expected.sort();
    let (mut found, mut marker) = (Vec::new(), Value::Null);
    loop {
        let page = ask(&kms, "ListKeys", json!({ "Limit": 2, "Marker": marker }));
        let keys = page["Keys"].as_array().unwrap();
        found.extend(
            keys.iter()
                .map(|key| key["KeyId"].as_str().unwrap().to_owned()),
        );
        marker = page["NextMarker"].clone();
        assert_eq!(page["Truncated"], !marker.is_null());
        if marker.is_null() {
            break;
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn identities_grants_and_explanations_go_the_same_way() {
    let kms = kms();
    let id = created(&kms);
    let alice = user("alice");
    let context = json!({ "app": "shop" });
    ask(&kms, "CreateUser", json!({ "UserName": "alice" }));
    ask(
        &kms,
        "MapUid",
        json!({ "Principal": "user/alice", "Uid": 1000 }),
    );
    let asked = json!({ "KeyId": id, "Plaintext": "YQ==", "EncryptionContext": context });
    let denied = ask_as(&kms, &alice, "Encrypt", asked.clone()).unwrap_err();
    assert_eq!(denied.code, "AccessDeniedException");
    let grant = ask(
        &kms,
        "CreateGrant",
        json!({
            "KeyId": id,
            "GranteePrincipal": "user/alice",
            "Operations": ["Encrypt"],
            "Constraints": { "EncryptionContextSubset": context },
        }),
    );
    let question = json!({
        "Principal": "user/alice", "Action": "Encrypt", "KeyId": id, "EncryptionContext": context,
    });
    let explained = ask(&kms, "Explain", question.clone());
    assert_eq!(
        (&explained["Allowed"], &explained["DecidedBy"]),
        (&json!(true), &json!("grant"))
    );
    ask_as(&kms, &alice, "Encrypt", asked.clone()).unwrap();
    let tried =
        json!({ "KeyId": id, "Plaintext": "YQ==", "EncryptionContext": context, "DryRun": true });
    let tried = ask_as(&kms, &alice, "Encrypt", tried).unwrap_err();
    assert_eq!(tried.code, "DryRunOperationException");
    let listed = ask(&kms, "ListGrants", json!({ "KeyId": id }));
    assert_eq!(listed["Grants"][0]["GrantId"], grant["GrantId"]);
    assert_eq!(
        listed["Grants"][0]["Constraints"],
        json!({ "EncryptionContextSubset": context })
    );
    ask(
        &kms,
        "RetireGrant",
        json!({ "GrantToken": grant["GrantToken"] }),
    );
    assert_eq!(ask(&kms, "Explain", question)["Allowed"], false);
    assert!(ask_as(&kms, &alice, "Encrypt", asked).is_err());
    let me = ask_as(&kms, &alice, "GetCallerIdentity", json!({})).unwrap();
    assert_eq!(
        (&me["Uid"], &me["Account"]),
        (&json!(1000), &json!("000000000000"))
    );
}

#[test]
fn identities_have_policies_by_name() {
    let kms = kms();
    let policy = r#"{"Statement":{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*"}}"#;
    ask(&kms, "CreateRole", json!({ "RoleName": "ops/web" }));
    let named = json!({ "Principal": "role/ops/web", "PolicyName": "list" });
    let put =
        json!({ "Principal": "role/ops/web", "PolicyName": "list", "PolicyDocument": policy });
    ask(&kms, "PutIdentityPolicy", put);
    let got = ask(&kms, "GetIdentityPolicy", named.clone());
    assert_eq!(got["PolicyDocument"], policy);
    let listed = ask(&kms, "ListIdentities", json!({}));
    assert_eq!(listed["Identities"][0]["PolicyNames"], json!(["list"]));
    ask(&kms, "DeleteIdentityPolicy", named);
    let shown = ask(&kms, "GetIdentity", json!({ "Principal": "role/ops/web" }));
    assert_eq!(shown["Identity"]["PolicyNames"], json!([]));
    ask(
        &kms,
        "DeleteIdentity",
        json!({ "Principal": "role/ops/web" }),
    );
    let gone = json!({ "Principal": "role/ops/web" }).to_string();
    assert_eq!(refused(&kms, "GetIdentity", &gone).0, "NotFoundException");
}

#[test]
fn the_product_s_own_contexts_are_refused_to_everybody() {
    let kms = kms();
    let context = json!({ "sealgate:entry": "shop" });
    let certstore = Kms::CERTSTORE_ALIAS;
    for (operation, input) in [
        (
            "Encrypt",
            json!({ "KeyId": certstore, "Plaintext": "YQ==", "EncryptionContext": context }),
        ),
        (
            "GenerateDataKey",
            json!({ "KeyId": certstore, "KeySpec": "AES_256", "EncryptionContext": context }),
        ),
    ] {
        let (code, message) = refused(&kms, operation, &input.to_string());
        assert_eq!(code, "AccessDeniedException");
        assert!(message.contains("sealgate:entry"), "{message}");
    }
}

#[test]
fn a_value_for_the_configuration_is_encrypted_by_anybody_and_opened_by_the_product() {
    let kms = kms();
    let id = created(&kms);
    let context = json!({ "sealgate:config-path": "target_groups.shop.request_headers.set.a" });
    let asked = json!({ "KeyId": id, "Plaintext": "YQ==", "EncryptionContext": context });
    let sealed = ask(&kms, "Encrypt", asked);
    let blob = &sealed["CiphertextBlob"];
    for (operation, input) in [
        (
            "Decrypt",
            json!({ "CiphertextBlob": blob, "EncryptionContext": context }),
        ),
        (
            "ReEncrypt",
            json!({
                "CiphertextBlob": blob,
                "SourceEncryptionContext": context,
                "DestinationKeyId": id,
            }),
        ),
        (
            "GenerateDataKey",
            json!({ "KeyId": id, "KeySpec": "AES_256", "EncryptionContext": context }),
        ),
    ] {
        let (code, _) = refused(&kms, operation, &input.to_string());
        assert_eq!(code, "AccessDeniedException", "{operation}");
    }
    let blob: Blob = serde_json::from_value(blob.clone()).unwrap();
    let context = serde_json::from_value(context).unwrap();
    let opened = kms.decrypt(&Caller::Internal, &blob.0, &context).unwrap();
    assert_eq!(*opened, b"a");
}

#[test]
fn operations_are_known_once() {
    let names: Vec<_> = operations().collect();
    assert!(names.is_sorted_by(|one, other| one < other), "{names:?}");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_request_makes_it_panic(
            which in any::<proptest::sample::Index>(),
            input in r#"[{}\[\]":,a-zA-Z0-9\\/= ]{0,60}"#,
        ) {
            let names: Vec<_> = operations().collect();
            let _ = call(&kms(), &root(), names[which.index(names.len())], input.as_bytes());
        }
    }
}

#[test]
fn access_keys_are_made_shown_once_and_taken_back() {
    let kms = kms();
    ask(&kms, "CreateUser", json!({ "UserName": "alice" }));
    let made = ask(&kms, "CreateAccessKey", json!({ "UserName": "alice" }));
    let made = &made["AccessKey"];
    let id = made["AccessKeyId"].as_str().unwrap();
    assert_eq!(made["SecretAccessKey"].as_str().unwrap().len(), 40);
    assert_eq!(made["UserName"], "arn:aws:iam::000000000000:user/alice");
    let off = json!({ "AccessKeyId": id, "Status": "Inactive" });
    ask(&kms, "UpdateAccessKey", off);
    let listed = ask(&kms, "ListAccessKeys", json!({ "UserName": "alice" }));
    assert_eq!(listed["AccessKeyMetadata"][0]["Status"], "Inactive");
    assert!(!listed.to_string().contains("Secret"));
    ask(&kms, "DeleteAccessKey", json!({ "AccessKeyId": id }));
    let listed = ask(&kms, "ListAccessKeys", json!({}));
    assert_eq!(listed["AccessKeyMetadata"], json!([]));
}

#[test]
fn a_secret_access_key_that_is_refused_is_not_shown() {
    let kms = kms();
    ask(&kms, "CreateUser", json!({ "UserName": "alice" }));
    for secret in ["hush", "hush, this has spaces in it"] {
        let given = json!({
            "UserName": "alice",
            "AccessKeyId": "AKIAIOSFODNN7EXAMPLE",
            "SecretAccessKey": secret,
        });
        let (code, message) = refused(&kms, "CreateAccessKey", &given.to_string());
        assert_eq!(code, "ValidationException");
        assert!(!message.contains("hush"), "{message}");
    }
    let half = json!({ "UserName": "alice", "AccessKeyId": "AKIAIOSFODNN7EXAMPLE" });
    let (code, message) = refused(&kms, "CreateAccessKey", &half.to_string());
    assert_eq!(code, "ValidationException");
    assert!(message.contains("'secretAccessKey'"), "{message}");
}
