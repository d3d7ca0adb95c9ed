//! Keys as vectors give them, by their numbers, in the forms that the product reads.

use kms::KeySpec;

/// A SubjectPublicKeyInfo (RFC 5480) of a point.
pub(crate) fn ec_public_key(spec: KeySpec, x: &[u8], y: &[u8]) -> Vec<u8> {
    let algorithm = sequence(&[EC_PUBLIC_KEY, curve(spec)]);
    let point = [&[0, 4], &*field(spec, x), &*field(spec, y)].concat();
    sequence(&[&algorithm, &tagged(BIT_STRING, &point)])
}

/// PKCS#8 around RFC 5915 of a scalar, with or without the public point.
pub(crate) fn ec_private_key(spec: KeySpec, d: &[u8], point: Option<(&[u8], &[u8])>) -> Vec<u8> {
    let point = point.map_or(Vec::new(), |(x, y)| {
        let point = [&[0, 4], &*field(spec, x), &*field(spec, y)].concat();
        tagged(CONTEXT_1, &tagged(BIT_STRING, &point))
    });
    let key = sequence(&[&[2, 1, 1], &tagged(OCTET_STRING, &field(spec, d)), &point]);
    let algorithm = sequence(&[EC_PUBLIC_KEY, curve(spec)]);
    sequence(&[&[2, 1, 0], &algorithm, &tagged(OCTET_STRING, &key)])
}

/// ECDSA-Sig-Value (RFC 3279).
pub(crate) fn ecdsa_signature(r: &[u8], s: &[u8]) -> Vec<u8> {
    sequence(&[&integer(r), &integer(s)])
}

/// A SubjectPublicKeyInfo (RFC 3279) of an RSA key.
pub(crate) fn rsa_public_key(n: &[u8], e: &[u8]) -> Vec<u8> {
    let key = sequence(&[&integer(n), &integer(e)]);
    let algorithm = sequence(&[RSA_ENCRYPTION, &[5, 0]]);
    sequence(&[&algorithm, &tagged(BIT_STRING, &[&[0], &*key].concat())])
}

/// A number as wide as the curve's field.
fn field(spec: KeySpec, number: &[u8]) -> Vec<u8> {
    let width = match spec {
        KeySpec::EccNistP384 => 48,
        KeySpec::EccNistP521 => 66,
        _ => 32,
    };
    let number = without_zeros(number);
    let missing = width - number.len();
    [&vec![0; missing], number].concat()
}

fn integer(number: &[u8]) -> Vec<u8> {
    let number = without_zeros(number);
    let positive = number.first().is_none_or(|first| *first >= 0x80);
    tagged(INTEGER, &[&[0][..usize::from(positive)], number].concat())
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(SEQUENCE, &parts.concat())
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).expect("short").to_be_bytes();
    let header = match len {
        [0, len @ ..0x80] => vec![tag, len],
        [0, len] => vec![tag, 0x81, len],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [&header, content].concat()
}

fn curve(spec: KeySpec) -> &'static [u8] {
    match spec {
        KeySpec::EccNistP384 => &[6, 5, 0x2b, 0x81, 4, 0, 0x22],
        KeySpec::EccNistP521 => &[6, 5, 0x2b, 0x81, 4, 0, 0x23],
        KeySpec::EccSecgP256k1 => &[6, 5, 0x2b, 0x81, 4, 0, 0x0a],
        _ => &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
    }
}

const EC_PUBLIC_KEY: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const RSA_ENCRYPTION: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const OCTET_STRING: u8 = 4;
const SEQUENCE: u8 = 0x30;
const CONTEXT_1: u8 = 0xa1;
