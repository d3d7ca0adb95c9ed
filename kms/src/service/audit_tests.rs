use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::audit::{AuditMode, AuditOptions, AuditRecord, LogReader, Verification};
use crate::caller::{CallOptions, Outside, Source};
use crate::context::EncryptionContext;
use crate::quota::RequestQuotas;
use crate::storage::{FileStorage, MemoryStorage};
use crate::test_util::{identity, root_key};

fn root() -> Caller {
    Caller::local(identity().root(), 1000)
}

fn named(text: &str) -> KeyRef {
    text.parse().unwrap()
}

fn kms() -> Kms {
    let storage = Arc::new(MemoryStorage::new());
    Kms::create(storage, &root_key(1), identity(), Environment::system()).unwrap()
}

fn audited(kms: Kms, directory: &TempDir) -> Kms {
    kms.with_audit_log(directory.path(), AuditOptions::default())
        .unwrap()
}

fn shop() -> NewKey {
    NewKey {
        alias: Some("alias/shop".to_owned()),
        ..NewKey::default()
    }
}

fn records(directory: &Path) -> Vec<AuditRecord> {
    let mut reader = LogReader::open(directory.to_owned(), None).unwrap();
    let lines = std::iter::from_fn(|| reader.next_line().unwrap());
    lines
        .map(|line| AuditRecord::parse(&line).unwrap())
        .collect()
}

fn verification(kms: &Kms) -> Verification {
    kms.audit_log().unwrap().verify(false, &|_, _| {}).unwrap()
}

#[test]
fn a_call_has_a_record_like_a_cloudtrail_event() {
    let directory = TempDir::new().unwrap();
    let kms = audited(kms(), &directory);
    let key = kms.create_key(&root(), shop()).unwrap();
    let caller = Caller::Outside(Outside {
        principal: "arn:aws:iam::000000000000:user/ops/alice".parse().unwrap(),
        source: Source::Network {
            address: "10.0.0.7".parse().unwrap(),
            tls: true,
        },
        via: Some("backup".to_owned()),
        options: CallOptions {
            request_id: Some(uuid::Uuid::from_bytes([7; 16])),
            ..CallOptions::default()
        },
    });
    let context = EncryptionContext::new().with("purpose", "a \"test\"\n\u{1}");
    kms.encrypt(&caller, &named("alias/shop"), &context, b"x")
        .unwrap_err();
    kms.encrypt(&root(), &named("alias/shop"), &context, b"x")
        .unwrap();
    kms.describe_key(&Caller::Internal, &named(Kms::CERTSTORE_ALIAS))
        .unwrap();
    drop(kms);
    let records = records(directory.path());
    let calls = records
        .iter()
        .filter(|record| record.event_type.starts_with(AuditRecord::CALL));
    let calls: Vec<_> = calls.collect();
    let shown = |call: &&AuditRecord| (call.event_type.clone(), call.event_name.clone());
    let begun = (AuditRecord::BEGUN.to_owned(), "CreateKey".to_owned());
    assert_eq!(shown(&calls[0]), begun);
    assert_eq!(
        (&calls[0].request_id, calls[1].event_type.as_str()),
        (&calls[1].request_id, AuditRecord::CALL)
    );
    assert_eq!(calls[1].resources[0].arn, key.arn);
    let denied = calls[2];
    assert_eq!(denied.error_code.as_deref(), Some("NotFoundException"));
    assert_eq!(denied.source_ip_address, "10.0.0.7");
    assert_eq!(
        denied.user_identity.arn,
        "arn:aws:iam::000000000000:user/ops/alice"
    );
    assert_eq!(denied.user_identity.invoked_by.as_deref(), Some("backup"));
    assert_eq!(denied.request_id, "07070707-0707-0707-0707-070707070707");
    let context = &denied.request_parameters["encryptionContext"]["purpose"];
    assert_eq!(context, "a \"test\"\n\u{1}");
    assert_eq!(denied.request_parameters["keyId"], "alias/shop");
    assert_eq!(
        (calls[3].error_code.as_deref(), calls[3].resources.len()),
        (None, 1)
    );
    assert_eq!(
        calls[4].user_identity.invoked_by.as_deref(),
        Some("sealgate")
    );
    assert_eq!(calls.len(), 5);
}

#[test]
fn no_secret_reaches_the_log() {
    let directory = TempDir::new().unwrap();
    let kms = audited(kms(), &directory);
    kms.create_key(&root(), shop()).unwrap();
    let (key, context) = (named("alias/shop"), EncryptionContext::new());
    let canary = b"CANARY-of-a-plaintext-0123456789";
    let blob = kms.encrypt(&root(), &key, &context, canary).unwrap();
    assert_eq!(*kms.decrypt(&root(), &blob, &context).unwrap(), canary);
    let other = EncryptionContext::new().with("other", "context");
    let again = kms
        .re_encrypt(&root(), &blob, &context, &key, &other)
        .unwrap();
    kms.decrypt(&root(), &again, &context).unwrap_err();
    kms.encrypt(&root(), &key, &context, &canary.repeat(200))
        .unwrap_err();
    let (plain, wrapped) = kms.generate_data_key(&root(), &key, &context).unwrap();
    kms.open_data_key(&root(), &wrapped, &context).unwrap();
    let data_key = plain.key().expose().to_vec();
    drop(kms);
    let mut log = Vec::new();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        log.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let base64 = |bytes: &[u8]| <base64ct::Base64 as base64ct::Encoding>::encode_string(bytes);
    for secret in [&canary[..], &data_key] {
        for form in [secret.to_vec(), hex(secret).into(), base64(secret).into()] {
            let found = log.windows(form.len()).any(|bytes| bytes == form);
            assert!(!found, "{}", String::from_utf8_lossy(&form));
        }
    }
    assert!(records(directory.path()).len() > 8);
}

#[test]
fn a_log_goes_on_with_its_database_and_with_no_other() {
    let (directory, database) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let storage = || Arc::new(FileStorage::new(database.path()));
    let environment = Environment::system;
    let first = Kms::create(storage(), &root_key(1), identity(), environment()).unwrap();
    let first = audited(first, &directory);
    first.create_key(&root(), shop()).unwrap();
    drop(first);
    let second = Kms::open(storage(), &root_key(1), identity(), environment()).unwrap();
    assert!(second.damaged().is_empty());
    let second = audited(second, &directory);
    second.describe_key(&root(), &named("alias/shop")).unwrap();
    let found = verification(&second);
    assert_eq!((found.fault, found.calls), (None, 3));
    drop(second);
    let other = kms().with_audit_log(directory.path(), AuditOptions::default());
    assert!(matches!(other, Err(Error::AuditLogUnknown(_))));
}

#[test]
fn what_is_too_long_for_a_record_is_left_out_of_it() {
    let directory = TempDir::new().unwrap();
    let kms = audited(kms(), &directory);
    kms.create_key(&root(), shop()).unwrap();
    let context = EncryptionContext::new().with("long", "x".repeat(200_000));
    kms.encrypt(&root(), &named("alias/shop"), &context, b"x")
        .unwrap();
    assert_eq!(verification(&kms).fault, None);
    let last = records(directory.path()).pop().unwrap();
    assert_eq!(last.request_parameters["omitted"], true);
}

#[test]
fn who_calls_too_often_is_throttled_and_does_not_fill_the_log() {
    let directory = TempDir::new().unwrap();
    let quotas = RequestQuotas {
        symmetric: 0,
        ..RequestQuotas::default()
    };
    let kms = audited(kms(), &directory);
    kms.create_key(&root(), shop()).unwrap();
    let kms = kms.with_request_quotas(quotas);
    let (key, context) = (named("alias/shop"), EncryptionContext::new());
    for _ in 0..1000 {
        let refused = kms.encrypt(&root(), &key, &context, b"x").unwrap_err();
        assert_eq!(refused.code(), "ThrottlingException");
    }
    kms.encrypt(&Caller::Internal, &key, &context, b"x")
        .unwrap();
    drop(kms);
    let records = records(directory.path());
    let throttled = records
        .iter()
        .filter(|r| r.error_code.as_deref() == Some("ThrottlingException"));
    // Ten in a second: a thousand refusals would have to take a minute and a half to have as many.
    assert!((1..1000).contains(&throttled.count()));
}

#[test]
fn many_callers_wait_for_each_other_and_nobody_is_left_out() {
    let directory = TempDir::new().unwrap();
    let options = AuditOptions {
        mode: AuditMode::Durable,
        max_file_size: 100_000,
    };
    let kms = kms().with_audit_log(directory.path(), options).unwrap();
    kms.create_key(&root(), shop()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let context = EncryptionContext::new();
                    kms.encrypt(&root(), &named("alias/shop"), &context, b"x")
                        .unwrap();
                }
            });
        }
    });
    let found = verification(&kms);
    assert_eq!((found.fault, found.calls), (None, 402));
}
