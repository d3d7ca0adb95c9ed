//! The shapes of AWS's service model, by its names, and those of Sealgate's own operations.

use super::shape::{Pattern, Shape, Structure};
use super::tags::Tag;

pub(super) static KEY_ID: Shape = text(1, 2048);
pub(super) static ALIAS_NAME: Shape = matching(1, 256, ALIAS_CHARACTERS);
pub(super) static DESCRIPTION: Shape = text(0, 8192);
pub(super) static POLICY: Shape = matching(1, 131_072, POLICY_CHARACTERS);
pub(super) static POLICY_NAME: Shape = matching(1, 128, WORD_CHARACTERS);
pub(super) static PRINCIPAL: Shape = matching(1, 256, PRINCIPAL_CHARACTERS);
pub(super) static SERVICE_PRINCIPAL: Shape = text(1, 128);
pub(super) static SOURCE_ARN: Shape = text(20, 512);
pub(super) static GRANT_NAME: Shape = matching(1, 256, ALIAS_CHARACTERS);
pub(super) static GRANT_ID: Shape = text(1, 128);
pub(super) static GRANT_TOKEN: Shape = text(1, 8192);
pub(super) static GRANT_TOKENS: Shape = list(&GRANT_TOKEN, 0, 10);
pub(super) static MARKER: Shape = matching(1, 1024, MARKER_CHARACTERS);
pub(super) static LIMIT: Shape = integer(1, 1000);
pub(super) static BOOLEAN: Shape = Shape::Boolean;
pub(super) static CONTEXT: Shape = Shape::Map;
pub(super) static PLAINTEXT: Shape = blob(1, 4096);
pub(super) static CIPHERTEXT: Shape = blob(1, 6144);
pub(super) static PUBLIC_KEY: Shape = blob(1, 8192);
pub(super) static ATTESTATION_DOCUMENT: Shape = blob(1, 262_144);
pub(super) static NUMBER_OF_BYTES: Shape = integer(1, 1024);
pub(super) static ROTATION_PERIOD: Shape = integer(90, 2560);
pub(super) static PENDING_WINDOW: Shape = integer(1, 365);
pub(super) static CUSTOM_KEY_STORE_ID: Shape = text(1, 64);
pub(super) static XKS_KEY_ID: Shape = text(1, 128);
pub(super) static TAG_KEY: Shape = text(1, 128);
pub(super) static TAG_VALUE: Shape = text(0, 256);
pub(super) static TAG_KEYS: Shape = list(&TAG_KEY, 0, ANY_NUMBER);

pub(super) static TAGS: Shape = list(&TAG, 0, ANY_NUMBER);
static TAG: Shape = Shape::Structure(Tag::MEMBERS);

pub(super) static SIGNING_ALGORITHM: Shape = Shape::Word(&[
    "RSASSA_PSS_SHA_256",
    "RSASSA_PSS_SHA_384",
    "RSASSA_PSS_SHA_512",
    "RSASSA_PKCS1_V1_5_SHA_256",
    "RSASSA_PKCS1_V1_5_SHA_384",
    "RSASSA_PKCS1_V1_5_SHA_512",
    "ECDSA_SHA_256",
    "ECDSA_SHA_384",
    "ECDSA_SHA_512",
    "SM2DSA",
    "ML_DSA_SHAKE_256",
    "ED25519_SHA_512",
    "ED25519_PH_SHA_512",
]);
pub(super) static MESSAGE_TYPE: Shape = Shape::Word(&["RAW", "DIGEST", "EXTERNAL_MU"]);
pub(super) static MAC_ALGORITHM: Shape = Shape::Word(&[
    "HMAC_SHA_224",
    "HMAC_SHA_256",
    "HMAC_SHA_384",
    "HMAC_SHA_512",
]);
pub(super) static KEY_AGREEMENT_ALGORITHM: Shape = Shape::Word(&["ECDH"]);
pub(super) static DATA_KEY_PAIR_SPEC: Shape = Shape::Word(&[
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "SM2",
    "ECC_NIST_EDWARDS25519",
    "ML_KEM_512",
    "ML_KEM_768",
    "ML_KEM_1024",
]);
pub(super) static INCLUDE_KEY_MATERIAL: Shape =
    Shape::Word(&["ALL_KEY_MATERIAL", "ROTATIONS_ONLY"]);
pub(super) static ENCRYPTION_ALGORITHM: Shape = Shape::Word(&[
    "SYMMETRIC_DEFAULT",
    "RSAES_OAEP_SHA_1",
    "RSAES_OAEP_SHA_256",
    "SM2PKE",
]);
pub(super) static DATA_KEY_SPEC: Shape = Shape::Word(&["AES_256", "AES_128"]);
pub(super) static DRY_RUN_MODIFIERS: Shape = list(&DRY_RUN_MODIFIER, 0, ANY_NUMBER);
static DRY_RUN_MODIFIER: Shape = Shape::Word(&["IGNORE_CIPHERTEXT"]);
pub(super) static GRANT_OPERATIONS: Shape = list(&GRANT_OPERATION, 0, ANY_NUMBER);
static GRANT_OPERATION: Shape = Shape::Word(&[
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
    "Sign",
    "Verify",
    "GetPublicKey",
    "CreateGrant",
    "RetireGrant",
    "DescribeKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateMac",
    "VerifyMac",
    "DeriveSharedSecret",
    "Encapsulate",
    "Decapsulate",
]);
pub(super) static KEY_SPEC: Shape = Shape::Word(&[
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "SYMMETRIC_DEFAULT",
    "HMAC_224",
    "HMAC_256",
    "HMAC_384",
    "HMAC_512",
    "SM2",
    "ML_DSA_44",
    "ML_DSA_65",
    "ML_DSA_87",
    "ECC_NIST_EDWARDS25519",
    "ML_KEM_512",
    "ML_KEM_768",
    "ML_KEM_1024",
]);
pub(super) static CUSTOMER_MASTER_KEY_SPEC: Shape = Shape::Word(&[
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "SYMMETRIC_DEFAULT",
    "HMAC_224",
    "HMAC_256",
    "HMAC_384",
    "HMAC_512",
    "SM2",
]);
pub(super) static KEY_USAGE: Shape = Shape::Word(&[
    "SIGN_VERIFY",
    "ENCRYPT_DECRYPT",
    "GENERATE_VERIFY_MAC",
    "KEY_AGREEMENT",
    "ENCAPSULATE_DECAPSULATE",
]);
pub(super) static ORIGIN: Shape =
    Shape::Word(&["AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"]);
pub(super) static KEY_ENCRYPTION_MECHANISM: Shape = Shape::Word(&["RSAES_OAEP_SHA_256"]);

pub(super) static IDENTITY_PATH: Shape = matching(1, 512, PATH_CHARACTERS);
pub(super) static ACCOUNT_ID: Shape = matching(12, 12, DIGITS);
pub(super) static IDENTITY_POLICY_NAME: Shape = matching(1, 128, NAME_CHARACTERS);
pub(super) static USER_ID: Shape = integer(0, 0xffff_fffe);
pub(super) static ACCESS_KEY_ID: Shape = matching(16, 128, WORD_CHARACTERS);
pub(super) static SECRET_ACCESS_KEY: Shape = Shape::Secret { min: 16, max: 128 };
pub(super) static ACCESS_KEY_STATUS: Shape = Shape::Word(&["Active", "Inactive"]);
pub(super) static ACTION: Shape = text(1, 64);
pub(super) static ADDRESS: Shape = text(1, 64);

const fn text(min: usize, max: usize) -> Shape {
    Shape::Text {
        min,
        max,
        pattern: None,
    }
}

const fn matching(min: usize, max: usize, pattern: Pattern) -> Shape {
    Shape::Text {
        min,
        max,
        pattern: Some(pattern),
    }
}

const fn blob(min: usize, max: usize) -> Shape {
    Shape::Blob { min, max }
}

const fn integer(min: i64, max: i64) -> Shape {
    Shape::Integer { min, max }
}

const fn list(of: &'static Shape, min: usize, max: usize) -> Shape {
    Shape::List { of, min, max }
}

const ANY_NUMBER: usize = usize::MAX;

const ALIAS_CHARACTERS: Pattern = Pattern {
    expression: "^[a-zA-Z0-9:/_-]+$",
    matches: |text| all(text, |c| c.is_ascii_alphanumeric() || ":/_-".contains(c)),
};
const POLICY_CHARACTERS: Pattern = Pattern {
    expression: r"[\u0009\u000A\u000D\u0020-\u00FF]+",
    matches: |text| {
        all(text, |c| {
            "\t\n\r".contains(c) || (' '..='\u{ff}').contains(&c)
        })
    },
};
const WORD_CHARACTERS: Pattern = Pattern {
    expression: r"[\w]+",
    matches: |text| all(text, |c| c.is_ascii_alphanumeric() || c == '_'),
};
const PRINCIPAL_CHARACTERS: Pattern = Pattern {
    expression: r"^[\w+=,.@:/-]+$",
    matches: |text| {
        all(text, |c| {
            c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c)
        })
    },
};
const MARKER_CHARACTERS: Pattern = Pattern {
    expression: r"[\u0020-\u00FF]*",
    matches: |text| all(text, |c| (' '..='\u{ff}').contains(&c)),
};
const NAME_CHARACTERS: Pattern = Pattern {
    expression: r"[\w+=,.@-]+",
    matches: |text| all(text, |c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)),
};
const PATH_CHARACTERS: Pattern = Pattern {
    expression: r"[\w+=,.@/-]+",
    matches: |text| {
        all(text, |c| {
            c.is_ascii_alphanumeric() || "_+=,.@/-".contains(c)
        })
    },
};
const DIGITS: Pattern = Pattern {
    expression: r"^\d{12}$",
    matches: |text| all(text, |c| c.is_ascii_digit()),
};

fn all(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    text.chars().all(allowed)
}
