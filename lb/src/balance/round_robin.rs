//! Smooth weighted round robin: one after the other, by weight, and no target twice in a row while others
//! are due.

/// The order in which targets of these weights are asked, as indexes into `weights`. One round of it asks
/// each target as often as its weight says, after division by what they have in common; where a round
/// would be longer than 4,096, weights are rounded. A weight of 0 is never asked.
pub fn schedule(weights: &[u32]) -> Vec<u32> {
    let weights = shorten(weights);
    let total: u64 = weights.iter().sum();
    let mut credit = vec![0_i64; weights.len()];
    (0..total)
        .filter_map(|_| next(&weights, &mut credit, total))
        .collect()
}

/// The target whose turn it is at a `cursor` that counts requests, but not the `excluded` one.
pub fn turn(schedule: &[u32], cursor: usize, excluded: Option<u32>) -> Option<u32> {
    let start = cursor.checked_rem(schedule.len())?;
    let (before, from) = schedule.split_at(start);
    let mut round = from.iter().chain(before).copied();
    round.find(|target| Some(*target) != excluded)
}

/// Everybody earns its weight; the richest is asked, and pays for all.
fn next(weights: &[u64], credit: &mut [i64], total: u64) -> Option<u32> {
    for (credit, weight) in credit.iter_mut().zip(weights) {
        *credit += weight.cast_signed();
    }
    let able = (0..weights.len()).filter(|target| weights[*target] > 0);
    let richest = able.max_by_key(|target| (credit[*target], std::cmp::Reverse(*target)))?;
    credit[richest] -= total.cast_signed();
    u32::try_from(richest).ok()
}

fn shorten(weights: &[u32]) -> Vec<u64> {
    let common = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b))).max(1);
    let weights: Vec<_> = weights
        .iter()
        .map(|weight| u64::from(*weight) / common)
        .collect();
    let total: u64 = weights.iter().sum();
    if total <= LONGEST {
        return weights;
    }
    // Rounded, but nobody's share is rounded away.
    let shorter = |weight: u64| (weight * LONGEST / total).max(u64::from(weight > 0));
    weights.into_iter().map(shorter).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

const LONGEST: u64 = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_order_is_smooth() {
        assert_eq!(schedule(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(schedule(&[10, 10]), [0, 1]);
        assert_eq!(schedule(&[1, 0, 1]), [0, 2]);
        assert_eq!(schedule(&[0, 0]), [0; 0]);
        assert_eq!(schedule(&[]), [0; 0]);
    }

    #[test]
    fn a_turn_skips_the_excluded() {
        let order = schedule(&[1, 1, 1]);
        assert_eq!(turn(&order, 4, None), Some(1));
        assert_eq!(turn(&order, 4, Some(1)), Some(2));
        assert_eq!(turn(&[0, 0], 1, Some(0)), None);
        assert_eq!(turn(&[], 1, None), None);
    }

    proptest! {
        #[test]
        fn each_target_has_its_share(weights in proptest::collection::vec(0_u32..=20, 1..8)) {
            let order = schedule(&weights);
            let total: u32 = weights.iter().sum();
            for (target, weight) in weights.iter().enumerate() {
                let asked = order.iter().filter(|t| **t as usize == target).count();
                prop_assert_eq!(asked as u64 * u64::from(total), u64::from(*weight) * order.len() as u64);
            }
        }

        #[test]
        fn huge_weights_stay_short(weights in proptest::collection::vec(any::<u32>(), 1..64)) {
            let order = schedule(&weights);
            prop_assert!(order.len() as u64 <= LONGEST + 64);
            for (target, weight) in weights.iter().enumerate() {
                let asked = order.iter().any(|t| *t as usize == target);
                prop_assert_eq!(asked, *weight > 0);
            }
        }
    }
}
