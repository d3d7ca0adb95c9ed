//! What a key does in each of its states, and by its kind.

use super::*;
use crate::context::EncryptionContext;
use crate::grant::{GrantConstraints, NewGrant};
use crate::key::{KeyOrigin, KeyState};
use crate::material::wrap_key_material;
use crate::policy::Action;
use crate::secret::SecretBytes;
use crate::spec::{
    EncryptionAlgorithm, KeyAgreementAlgorithm, KeySpec, KeyUsage, MacAlgorithm, MessageType,
    SigningAlgorithm, WrappingAlgorithm,
};
use crate::storage::MemoryStorage;
use crate::test_util::{SetClock, identity, root_key, settable};

/// A KMS with a symmetric key `alias/made` and an imported one `alias/imported`.
struct Fixture {
    kms: Kms,
    clock: Arc<SetClock>,
    /// A message under `alias/imported`, which it decrypts.
    blob: Vec<u8>,
}

fn root() -> Caller {
    Caller::local(identity().root(), 1000)
}

fn named(text: &str) -> KeyRef {
    text.parse().unwrap()
}

fn context() -> EncryptionContext {
    EncryptionContext::new().with("purpose", "test")
}

fn code<T>(result: Result<T, Error>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "done")
}

fn imported() -> KeyRef {
    named("alias/imported")
}

impl Fixture {
    fn new() -> Self {
        let (environment, clock) = settable(SystemTime::UNIX_EPOCH + crate::key::days(20_000));
        let storage = Arc::new(MemoryStorage::new());
        let kms = Kms::create(storage, &root_key(1), identity(), environment).unwrap();
        create(&kms, "alias/made", KeySpec::SymmetricDefault, None);
        let new = NewKey {
            alias: Some("alias/imported".to_owned()),
            origin: KeyOrigin::External,
            ..NewKey::default()
        };
        kms.create_key(&root(), new).unwrap();
        import(&kms, &[7; 32], None, false).unwrap();
        let blob = kms.encrypt(&root(), &imported(), &context(), b"x").unwrap();
        Self { kms, clock, blob }
    }

    fn in_state(state: &str) -> Self {
        let fixture = Self::new();
        let (kms, key) = (&fixture.kms, imported());
        let done = match state {
            "Disabled" => kms.disable_key(&root(), &key),
            "PendingDeletion" => kms.schedule_key_deletion(&root(), &key, None),
            "PendingImport" => kms.delete_imported_key_material(&root(), &key, None),
            _ => kms.describe_key(&root(), &key),
        };
        assert_eq!(done.unwrap().state.as_str(), state);
        fixture
    }
}

fn create(kms: &Kms, alias: &str, spec: KeySpec, usage: Option<KeyUsage>) -> KeyRef {
    let new = NewKey {
        alias: Some(alias.to_owned()),
        spec,
        usage,
        ..NewKey::default()
    };
    kms.create_key(&root(), new).unwrap();
    named(alias)
}

fn wrapped(kms: &Kms, bytes: &[u8; 32]) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let algorithm = WrappingAlgorithm::RsaesOaepSha256;
    let rsa = KeySpec::Rsa2048;
    let parameters = kms.get_parameters_for_import(&root(), &imported(), rsa, algorithm)?;
    let secret = SecretBytes::copy_from(bytes).unwrap();
    let (spec, random) = (KeySpec::SymmetricDefault, &*kms.environment.random);
    let wrapped = wrap_key_material(&parameters.public_key, algorithm, &secret, spec, random);
    Ok((parameters.token, wrapped.unwrap()))
}

fn import(
    kms: &Kms,
    bytes: &[u8; 32],
    valid_to: Option<SystemTime>,
    is_new: bool,
) -> Result<crate::KeyMetadata, Error> {
    let (token, wrapped) = wrapped(kms, bytes)?;
    let import = KeyImport {
        token: &token,
        wrapped: &wrapped,
        valid_to,
        is_new,
    };
    kms.import_key_material(&root(), &imported(), &import)
}

fn terms() -> NewGrant {
    NewGrant {
        grantee: identity().root(),
        retiring: None,
        operations: [Action::Decrypt].into(),
        constraints: GrantConstraints::default(),
        name: None,
    }
}

type Try = fn(&Fixture) -> &'static str;

const DONE: &str = "done";
const DISABLED: &str = "DisabledException";
const STATE: &str = "KMSInvalidStateException";
const UNSUPPORTED: &str = "UnsupportedOperationException";

/// Each operation on an imported symmetric key that is enabled, disabled, pending deletion, pending import.
const TABLE: &[(&str, Try, [&str; 4])] = &[
    (
        "CancelKeyDeletion",
        |f| code(f.kms.cancel_key_deletion(&root(), &imported())),
        [STATE, STATE, DONE, STATE],
    ),
    (
        "CreateAlias",
        |f| code(f.kms.create_alias(&root(), "alias/a", &imported())),
        [DONE, DONE, STATE, DONE],
    ),
    (
        "CreateGrant",
        |f| code(f.kms.create_grant(&root(), &imported(), terms())),
        [DONE, DISABLED, STATE, STATE],
    ),
    (
        "Decrypt",
        |f| code(f.kms.decrypt(&root(), &f.blob, &context())),
        [DONE, DISABLED, STATE, STATE],
    ),
    (
        "DeleteAlias",
        |f| code(f.kms.delete_alias(&root(), "alias/imported")),
        [DONE, DONE, DONE, DONE],
    ),
    (
        "DeleteImportedKeyMaterial",
        |f| {
            code(
                f.kms
                    .delete_imported_key_material(&root(), &imported(), None),
            )
        },
        [DONE, DONE, STATE, DONE],
    ),
    (
        "DescribeKey",
        |f| code(f.kms.describe_key(&root(), &imported())),
        [DONE; 4],
    ),
    (
        "DisableKey",
        |f| code(f.kms.disable_key(&root(), &imported())),
        [DONE, DONE, STATE, STATE],
    ),
    (
        "DisableKeyRotation",
        |f| code(f.kms.disable_key_rotation(&root(), &imported())),
        [UNSUPPORTED; 4],
    ),
    (
        "EnableKey",
        |f| code(f.kms.enable_key(&root(), &imported())),
        [DONE, DONE, STATE, STATE],
    ),
    (
        "EnableKeyRotation",
        |f| code(f.kms.enable_key_rotation(&root(), &imported(), None)),
        [UNSUPPORTED; 4],
    ),
    (
        "Encrypt",
        |f| code(f.kms.encrypt(&root(), &imported(), &context(), b"x")),
        [DONE, DISABLED, STATE, STATE],
    ),
    (
        "GenerateDataKey",
        |f| code(f.kms.generate_data_key(&root(), &imported(), &context())),
        [DONE, DISABLED, STATE, STATE],
    ),
    (
        "GenerateDataKeyPair",
        |f| {
            code(f.kms.generate_data_key_pair(
                &root(),
                &imported(),
                &context(),
                KeySpec::EccNistP256,
            ))
        },
        [DONE, DISABLED, STATE, STATE],
    ),
    (
        "GenerateDataKeyWithoutPlaintext",
        |f| {
            code(
                f.kms
                    .generate_data_key_without_plaintext(&root(), &imported(), &context(), 16),
            )
        },
        [DONE, DISABLED, STATE, STATE],
    ),
    (
        "GetKeyPolicy",
        |f| code(f.kms.get_key_policy(&root(), &imported())),
        [DONE; 4],
    ),
    (
        "GetKeyRotationStatus",
        |f| code(f.kms.get_key_rotation_status(&root(), &imported())),
        [DONE; 4],
    ),
    (
        "GetParametersForImport",
        |f| {
            code(f.kms.get_parameters_for_import(
                &root(),
                &imported(),
                KeySpec::Rsa2048,
                WrappingAlgorithm::RsaesOaepSha256,
            ))
        },
        [DONE, DONE, STATE, DONE],
    ),
    (
        "ImportKeyMaterial",
        |f| code(import(&f.kms, &[7; 32], None, false)),
        [DONE, DONE, STATE, DONE],
    ),
    (
        "ListAliases",
        |f| code(f.kms.list_aliases(&root(), Some(&imported()))),
        [DONE; 4],
    ),
    (
        "ListGrants",
        |f| code(f.kms.list_grants(&root(), &imported())),
        [DONE; 4],
    ),
    (
        "ListKeyRotations",
        |f| code(f.kms.list_key_rotations(&root(), &imported())),
        [DONE; 4],
    ),
    (
        "ListResourceTags",
        |f| code(f.kms.list_resource_tags(&root(), &imported())),
        [DONE; 4],
    ),
    (
        "PutKeyPolicy",
        |f| {
            let text = f.kms.get_key_policy(&root(), &imported()).unwrap();
            let policy = NewPolicy {
                text,
                bypass_lockout_check: false,
            };
            code(f.kms.put_key_policy(&root(), &imported(), &policy))
        },
        [DONE; 4],
    ),
    (
        "ReEncrypt",
        |f| {
            code(f.kms.re_encrypt(
                &root(),
                &f.blob,
                &context(),
                &named("alias/made"),
                &context(),
            ))
        },
        [DONE, DISABLED, STATE, STATE],
    ),
    (
        "RotateKeyOnDemand",
        |f| code(f.kms.rotate_key(&root(), &imported())),
        [STATE, DISABLED, STATE, STATE],
    ),
    (
        "ScheduleKeyDeletion",
        |f| code(f.kms.schedule_key_deletion(&root(), &imported(), None)),
        [DONE, DONE, STATE, DONE],
    ),
    (
        "TagResource",
        |f| code(f.kms.tag_resource(&root(), &imported(), [("a", "b")])),
        [DONE, DONE, STATE, DONE],
    ),
    (
        "UntagResource",
        |f| {
            code(
                f.kms
                    .untag_resource(&root(), &imported(), &["a".to_owned()]),
            )
        },
        [DONE, DONE, STATE, DONE],
    ),
    (
        "UpdateAlias",
        |f| code(f.kms.update_alias(&root(), "alias/made", &imported())),
        [DONE, DONE, STATE, DONE],
    ),
    (
        "UpdateKeyDescription",
        |f| code(f.kms.update_key_description(&root(), &imported(), "x")),
        [DONE, DONE, STATE, DONE],
    ),
];

#[test]
fn each_operation_in_each_state() {
    let states = ["Enabled", "Disabled", "PendingDeletion", "PendingImport"];
    for (place, state) in states.into_iter().enumerate() {
        for (operation, attempt, expected) in TABLE {
            let fixture = Fixture::in_state(state);
            assert_eq!(
                attempt(&fixture),
                expected[place],
                "{operation} while {state}"
            );
        }
    }
}

type Use = fn(&Kms, &KeyRef) -> Result<(), Error>;

/// Uses of keys, and the one usage that each needs.
const USES: &[(KeyUsage, Use)] = &[
    (KeyUsage::SignVerify, |kms, key| {
        let raw = MessageType::Raw;
        kms.sign(&root(), key, SigningAlgorithm::EcdsaSha256, raw, b"m")
            .map(drop)
    }),
    (KeyUsage::GenerateVerifyMac, |kms, key| {
        kms.generate_mac(&root(), key, MacAlgorithm::HmacSha256, b"m")
            .map(drop)
    }),
    (KeyUsage::EncryptDecrypt, |kms, key| {
        kms.encrypt(&root(), key, &context(), b"m").map(drop)
    }),
    (KeyUsage::KeyAgreement, |kms, key| {
        let other = create(
            kms,
            "alias/other",
            KeySpec::EccNistP256,
            Some(KeyUsage::KeyAgreement),
        );
        let public_key = kms.get_public_key(&root(), &other).unwrap();
        kms.delete_alias(&root(), "alias/other").unwrap();
        let algorithm = KeyAgreementAlgorithm::Ecdh;
        kms.derive_shared_secret(&root(), key, algorithm, &public_key)
            .map(drop)
    }),
];

#[test]
fn a_key_is_for_one_thing() {
    let kms = Fixture::new().kms;
    let keys = [
        (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt),
        (KeySpec::EccNistP256, KeyUsage::SignVerify),
        (KeySpec::EccNistP256, KeyUsage::KeyAgreement),
        (KeySpec::Hmac256, KeyUsage::GenerateVerifyMac),
    ];
    for (number, (spec, usage)) in keys.into_iter().enumerate() {
        let key = create(&kms, &format!("alias/key-{number}"), spec, Some(usage));
        for (needed, attempt) in USES {
            let expected = match *needed == usage {
                true => DONE,
                false => "InvalidKeyUsageException",
            };
            assert_eq!(
                code(attempt(&kms, &key)),
                expected,
                "{spec} {usage}: {needed}"
            );
        }
        let pair = kms.get_public_key(&root(), &key);
        let expected = if spec.is_asymmetric() {
            DONE
        } else {
            UNSUPPORTED
        };
        assert_eq!(code(pair), expected);
    }
    let wrong = NewKey {
        spec: KeySpec::Hmac256,
        usage: Some(KeyUsage::SignVerify),
        ..NewKey::default()
    };
    assert_eq!(code(kms.create_key(&root(), wrong)), "ValidationException");
    let silent = NewKey {
        spec: KeySpec::Hmac256,
        ..NewKey::default()
    };
    assert_eq!(code(kms.create_key(&root(), silent)), "ValidationException");
}

#[test]
fn errors_say_what_aws_says() {
    let kms = Fixture::new().kms;
    let arn = |key: &str| kms.describe_key(&root(), &named(key)).unwrap().arn;
    let raw = MessageType::Raw;
    let made = named("alias/made");
    let refused = kms.sign(&root(), &made, SigningAlgorithm::EcdsaSha256, raw, b"m");
    let expected = "key usage is ENCRYPT_DECRYPT which is not valid for Sign.";
    assert_eq!(
        refused.unwrap_err().to_string(),
        format!("{} {expected}", arn("alias/made"))
    );
    let refused = kms.enable_key_rotation(&root(), &imported(), None);
    let expected = "origin is EXTERNAL which is not valid for this operation.";
    assert_eq!(
        refused.unwrap_err().to_string(),
        format!("{} {expected}", arn("alias/imported"))
    );
    let mac = create(
        &kms,
        "alias/mac",
        KeySpec::Hmac256,
        Some(KeyUsage::GenerateVerifyMac),
    );
    let refused = kms.generate_mac(&root(), &mac, MacAlgorithm::HmacSha512, b"m");
    let expected = "Algorithm HMAC_SHA_512 is incompatible with key spec HMAC_256.";
    assert_eq!(refused.unwrap_err().to_string(), expected);
}

#[test]
fn rsa_encrypts_without_a_context_and_re_encrypts() {
    let kms = Fixture::new().kms;
    let rsa = create(
        &kms,
        "alias/rsa",
        KeySpec::Rsa2048,
        Some(KeyUsage::EncryptDecrypt),
    );
    let (algorithm, none) = (
        EncryptionAlgorithm::RsaesOaepSha256,
        EncryptionContext::new(),
    );
    let blob = kms
        .encrypt_with(&root(), &rsa, algorithm, &none, b"secret")
        .unwrap();
    let opened = kms
        .decrypt_with(&root(), &rsa, algorithm, &blob, &none)
        .unwrap();
    assert_eq!(*opened, b"secret");
    let from = ReEncryptSource {
        blob: &blob,
        key: Some(&rsa),
        algorithm,
        context: &none,
    };
    let (made, symmetric) = (named("alias/made"), EncryptionAlgorithm::SymmetricDefault);
    let moved = kms
        .re_encrypt_with(&root(), &from, &made, symmetric, &context())
        .unwrap();
    assert_eq!(
        *kms.decrypt(&root(), &moved, &context()).unwrap(),
        b"secret"
    );
    let opened = kms.decrypt_with(&root(), &made, symmetric, &moved, &context());
    assert_eq!(*opened.unwrap(), b"secret");
    let other = kms.decrypt_with(&root(), &imported(), symmetric, &moved, &context());
    assert_eq!(code(other), "IncorrectKeyException");
    let long = kms.encrypt_with(&root(), &rsa, algorithm, &none, &[0; 191]);
    assert_eq!(code(long), "ValidationException");
}

#[test]
fn only_the_same_material_comes_back() {
    let Fixture { kms, blob, .. } = Fixture::new();
    assert_eq!(
        code(import(&kms, &[8; 32], None, false)),
        "IncorrectKeyMaterialException"
    );
    kms.delete_imported_key_material(&root(), &imported(), None)
        .unwrap();
    assert_eq!(code(kms.decrypt(&root(), &blob, &context())), STATE);
    assert_eq!(
        code(import(&kms, &[8; 32], None, false)),
        "IncorrectKeyMaterialException"
    );
    let back = import(&kms, &[7; 32], None, false).unwrap();
    assert_eq!(back.state, KeyState::Enabled);
    kms.decrypt(&root(), &blob, &context()).unwrap();
}

#[test]
fn imported_material_expires() {
    let Fixture { kms, clock, blob } = Fixture::new();
    let (now, day) = (kms.now(), crate::key::days(1));
    for wrong in [now, now + 366 * day] {
        assert_eq!(
            code(import(&kms, &[7; 32], Some(wrong), false)),
            "ValidationException"
        );
    }
    let valid_to = now + 2 * day;
    let set = import(&kms, &[7; 32], Some(valid_to), false).unwrap();
    assert_eq!(
        (set.valid_to, kms.next_due().unwrap()),
        (Some(valid_to), valid_to)
    );
    clock.set(valid_to);
    assert_eq!(
        code(kms.decrypt(&root(), &blob, &context())),
        STATE,
        "without a tick"
    );
    assert_eq!(kms.tick().expired.len(), 1);
    let described = kms.describe_key(&root(), &imported()).unwrap();
    assert_eq!(described.state, KeyState::PendingImport);
    assert!(!described.backing_keys[0].is_there);
    import(&kms, &[7; 32], None, false).unwrap();
    kms.decrypt(&root(), &blob, &context()).unwrap();
}

#[test]
fn new_material_waits_for_its_rotation() {
    let Fixture { kms, blob, .. } = Fixture::new();
    import(&kms, &[8; 32], None, true).unwrap();
    let before = kms.encrypt(&root(), &imported(), &context(), b"x").unwrap();
    let rotated = kms.rotate_key(&root(), &imported()).unwrap();
    assert_eq!(rotated.backing_keys.len(), 2);
    let after = kms.encrypt(&root(), &imported(), &context(), b"x").unwrap();
    for blob in [&blob, &before, &after] {
        kms.decrypt(&root(), blob, &context()).unwrap();
    }
    let first = &rotated.backing_keys[0].material_id;
    let left = kms
        .delete_imported_key_material(&root(), &imported(), Some(first))
        .unwrap();
    assert_eq!(
        left.state,
        KeyState::PendingImport,
        "all of its material is needed"
    );
}

#[test]
fn a_token_is_good_for_one_key_and_a_day() {
    let Fixture { kms, clock, .. } = Fixture::new();
    let (token, material) = wrapped(&kms, &[7; 32]).unwrap();
    let attempt = |key: &KeyRef, token: &[u8]| {
        let (wrapped, valid_to, is_new) = (&*material, None, false);
        let import = KeyImport {
            token,
            wrapped,
            valid_to,
            is_new,
        };
        code(kms.import_key_material(&root(), key, &import))
    };
    assert_eq!(attempt(&imported(), &token), DONE);
    let mut changed = token.clone();
    changed[100] ^= 1;
    for wrong in [&changed[..], &token[1..], b""] {
        assert_eq!(attempt(&imported(), wrong), "InvalidImportTokenException");
    }
    let new = NewKey {
        alias: Some("alias/second".to_owned()),
        origin: KeyOrigin::External,
        ..NewKey::default()
    };
    kms.create_key(&root(), new).unwrap();
    assert_eq!(
        attempt(&named("alias/second"), &token),
        "InvalidImportTokenException"
    );
    assert_eq!(attempt(&named("alias/made"), &token), UNSUPPORTED);
    clock.set(kms.now() + crate::key::days(1));
    assert_eq!(attempt(&imported(), &token), "ExpiredImportTokenException");
}

#[test]
fn aliases_move_between_keys_of_a_kind() {
    let kms = Fixture::new().kms;
    let (made, root) = (named("alias/made"), root());
    let target = kms.resolve(&imported()).unwrap();
    kms.create_alias(&root, "alias/moves", &made).unwrap();
    kms.update_alias(&root, "alias/moves", &imported()).unwrap();
    assert_eq!(kms.resolve(&named("alias/moves")).unwrap(), target);
    let listed = kms.list_aliases(&root, Some(&KeyRef::Id(target))).unwrap();
    let names: Vec<_> = listed.iter().map(|alias| alias.name.as_str()).collect();
    assert_eq!(names, ["alias/imported", "alias/moves"]);
    let mac = create(
        &kms,
        "alias/mac",
        KeySpec::Hmac256,
        Some(KeyUsage::GenerateVerifyMac),
    );
    assert_eq!(
        code(kms.update_alias(&root, "alias/moves", &mac)),
        "ValidationException"
    );
    assert_eq!(
        code(kms.update_alias(&root, "alias/none", &made)),
        "NotFoundException"
    );
    assert_eq!(
        code(kms.delete_alias(&root, "alias/none")),
        "NotFoundException"
    );
    assert_eq!(
        code(kms.create_alias(&root, "alias/moves", &made)),
        "AlreadyExistsException"
    );
    for reserved in ["alias/sealgate/x", "alias/aws/s3"] {
        assert_eq!(
            code(kms.create_alias(&root, reserved, &made)),
            "AccessDeniedException"
        );
    }
    assert_eq!(
        code(kms.create_alias(&root, "moves", &made)),
        "InvalidAliasNameException"
    );
    for number in 0..Kms::MAX_ALIASES - 1 {
        kms.create_alias(&root, &format!("alias/{number}"), &made)
            .unwrap();
    }
    assert_eq!(
        code(kms.create_alias(&root, "alias/more", &made)),
        "LimitExceededException"
    );
    assert_eq!(
        code(kms.update_alias(&root, "alias/moves", &made)),
        "LimitExceededException"
    );
}

#[test]
fn tags_are_merged_and_counted() {
    let kms = Fixture::new().kms;
    let (root, made) = (root(), named("alias/made"));
    kms.tag_resource(&root, &made, [("a", "1"), ("b", "2")])
        .unwrap();
    kms.tag_resource(&root, &made, [("b", "3")]).unwrap();
    kms.untag_resource(&root, &made, &["a".to_owned(), "z".to_owned()])
        .unwrap();
    let tags = kms.list_resource_tags(&root, &made).unwrap();
    assert_eq!(
        tags.into_iter().collect::<Vec<_>>(),
        [("b".to_owned(), "3".to_owned())]
    );
    let many: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    let tags = many.iter().map(|key| (key.as_str(), ""));
    assert_eq!(code(kms.tag_resource(&root, &made, tags)), "TagException");
    let aws = kms.tag_resource(&root, &made, [("aws:x", "")]);
    assert_eq!(code(aws), "TagException");
}

#[test]
fn data_keys_and_randomness_have_bounds() {
    let kms = Fixture::new().kms;
    let (root, made) = (root(), named("alias/made"));
    for len in [1, 16, 1024] {
        assert_eq!(kms.generate_random(&root, len).unwrap().len(), len);
        let (plain, blob) = kms
            .generate_data_key_of(&root, &made, &context(), len)
            .unwrap();
        let opened = kms.decrypt(&root, &blob, &context()).unwrap();
        assert_eq!(*opened, plain.expose());
    }
    for len in [0, 1025] {
        assert_eq!(code(kms.generate_random(&root, len)), "ValidationException");
        let refused = kms.generate_data_key_without_plaintext(&root, &made, &context(), len);
        assert_eq!(code(refused), "ValidationException");
    }
    let spec = KeySpec::EccNistP256;
    let pair = kms
        .generate_data_key_pair(&root, &made, &context(), spec)
        .unwrap();
    let opened = kms
        .decrypt(&root, &pair.private_key_blob, &context())
        .unwrap();
    assert_eq!(*opened, pair.private_key.unwrap().expose());
    let hidden = kms.generate_data_key_pair_without_plaintext(&root, &made, &context(), spec);
    assert!(hidden.unwrap().private_key.is_none());
    let refused = kms.generate_data_key_pair(&root, &made, &context(), KeySpec::Hmac256);
    assert_eq!(code(refused), "ValidationException");
}
