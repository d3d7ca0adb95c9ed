//! Shamir's secret sharing (Shamir, "How to Share a Secret", 1979) of one 256-bit key.
//!
//! Each byte of the key is the constant term of a polynomial of its own over GF(2^8), the field of AES,
//! whose other coefficients are random; a share is the values of all 32 polynomials at its index. Any
//! `threshold` shares determine them, fewer say nothing. The arithmetic is constant in time, and all
//! that is secret stands in [`SecretKey`]s: the crates that were looked at index tables by secret bytes
//! and leave copies in buffers that nobody locks.

use std::convert::Infallible;

use zeroize::Zeroize;

use crate::environment::Random;
use crate::secret::SecretKey;

/// The values at 1, 2, … `count` of polynomials of degree `threshold` - 1 that begin with `secret`.
pub(super) fn split(
    secret: &SecretKey,
    threshold: u8,
    count: u8,
    random: &dyn Random,
) -> Vec<SecretKey> {
    let coefficients: Vec<_> = (1..threshold)
        .map(|_| SecretKey::generate(random))
        .collect();
    let value = |index| value_at(index, secret, &coefficients);
    (1..=count).map(value).collect()
}

/// Horner's rule, from the highest coefficient to the secret.
fn value_at(index: u8, secret: &SecretKey, coefficients: &[SecretKey]) -> SecretKey {
    filled(|out| {
        for coefficient in coefficients.iter().rev().chain([secret]) {
            for (byte, addend) in out.iter_mut().zip(coefficient.expose()) {
                *byte = multiply(*byte, index) ^ addend;
            }
        }
    })
}

/// The secret, from as many points (index and value) as its threshold was. The indices are different
/// from each other and none is 0.
pub(super) fn combine(points: &[(u8, &SecretKey)]) -> SecretKey {
    filled(|out| {
        for (index, value) in points {
            let mut weight = weight_at_zero(*index, points);
            for (byte, share) in out.iter_mut().zip(value.expose()) {
                *byte ^= multiply(weight, *share);
            }
            weight.zeroize();
        }
    })
}

/// Lagrange's basis polynomial of `index` at 0.
fn weight_at_zero(index: u8, points: &[(u8, &SecretKey)]) -> u8 {
    let others = points.iter().map(|(other, _)| *other);
    let others = others.filter(|other| *other != index);
    others.fold(1, |weight, other| {
        multiply(weight, multiply(other, inverse(other ^ index)))
    })
}

pub(super) fn filled(fill: impl FnOnce(&mut [u8; SecretKey::LEN])) -> SecretKey {
    let filled = SecretKey::try_fill(|out| {
        fill(out);
        Ok::<_, Infallible>(())
    });
    let Ok(key) = filled;
    key
}

/// In GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, section 4.2), without a branch or an index that
/// depends on either factor.
fn multiply(mut one: u8, other: u8) -> u8 {
    let mut product = 0;
    for bit in 0..8 {
        product ^= one & mask(other >> bit);
        one = (one << 1) ^ (0x1b & mask(one >> 7));
    }
    product
}

/// All ones where the lowest bit is set.
fn mask(bit: u8) -> u8 {
    (bit & 1).wrapping_neg()
}

/// The inverse of anything but 0: its 254th power.
fn inverse(of: u8) -> u8 {
    let mut power = of;
    let mut inverse = 1;
    for _ in 0..7 {
        power = multiply(power, power);
        inverse = multiply(inverse, power);
    }
    inverse
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::subsequence;

    use super::*;
    use crate::environment::Environment;

    fn key(byte: u8) -> SecretKey {
        SecretKey::copy_from(&[byte; 32]).unwrap()
    }

    /// FIPS 197, section 4.2.
    #[test]
    fn products_are_those_of_the_standard() {
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        assert_eq!(multiply(0x57, 0x02), 0xae);
        assert_eq!(multiply(0x57, 0x10), 0x07);
    }

    #[test]
    fn everything_but_zero_has_its_inverse() {
        for of in 1..=255 {
            assert_eq!(multiply(of, inverse(of)), 1, "{of}");
        }
        // FIPS 197, section 4.2.1 and figure 7: {53} is the inverse of {ca}.
        assert_eq!(inverse(0x53), 0xca);
    }

    /// By hand: 42 + 05 x + 07 x^2 at 1, 2 and 3 is 40, 54 and 56.
    #[test]
    fn a_polynomial_is_evaluated_and_found_again() {
        let values = [
            (1, 0x42 ^ 0x05 ^ 0x07),
            (2, 0x42 ^ 0x0a ^ 0x1c),
            (3, 0x42 ^ 0x0f ^ 0x1b),
        ];
        let coefficients = [key(5), key(7)];
        for (index, value) in values {
            let at = value_at(index, &key(0x42), &coefficients);
            assert_eq!(at.expose(), &[value; 32]);
        }
        let keys = values.map(|(index, value)| (index, key(value)));
        let points: Vec<_> = keys.iter().map(|(index, value)| (*index, value)).collect();
        assert_eq!(combine(&points).expose(), &[0x42; 32]);
        assert_ne!(combine(&points[..2]).expose(), &[0x42; 32]);
    }

    #[test]
    fn all_of_255_are_enough_and_254_are_not() {
        let secret = key(9);
        let shares = split(&secret, 255, 255, &*Environment::system().random);
        let points: Vec<_> = (1..=255).zip(&shares).collect();
        assert_eq!(combine(&points).expose(), secret.expose());
        assert_ne!(combine(&points[1..]).expose(), secret.expose());
    }

    proptest! {
        #[test]
        fn any_threshold_of_them_give_the_secret_back(
            bytes: [u8; 32],
            (chosen, count) in (1_u8..12).prop_flat_map(|threshold| {
                (threshold..16).prop_flat_map(move |count| {
                    let all: Vec<_> = (1..=count).collect();
                    (subsequence(all, usize::from(threshold)), Just(count))
                })
            }),
        ) {
            let secret = SecretKey::copy_from(&bytes).unwrap();
            let threshold = u8::try_from(chosen.len()).unwrap();
            let shares = split(&secret, threshold, count, &*Environment::system().random);
            let points: Vec<_> =
                chosen.iter().map(|index| (*index, &shares[usize::from(*index) - 1])).collect();
            prop_assert!(combine(&points).expose() == secret.expose());
            if threshold > 1 {
                prop_assert!(combine(&points[1..]).expose() != secret.expose());
            }
        }
    }
}
