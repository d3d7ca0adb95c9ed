//! What several rounds say together.

use serde::Serialize;

/// A figure over several rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the rounds lie below.
    pub median: f64,
    /// The lowest round.
    pub low: f64,
    /// The highest round.
    pub high: f64,
}

/// How one figure relates to another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// The one's median divided by the other's.
    pub ratio: f64,
    /// The lowest that the rounds give.
    pub low: f64,
    /// The highest that the rounds give.
    pub high: f64,
}

impl Spread {
    /// Of the figures of all rounds; none without any.
    pub(super) fn of(rounds: &[f64]) -> Option<Self> {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        };
        Some(Self { median, low, high })
    }
}

impl Ratio {
    /// Of figures that were measured in the same rounds: low and high are ratios within a round,
    /// as what slows a round down slows all in it. The ratio of the medians never lies outside.
    pub(super) fn within(rounds: &[f64], base: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = rounds
            .iter()
            .zip(base)
            .map(|(one, two)| one / two)
            .collect();
        let Spread { low, high, .. } = Spread::of(&ratios)?;
        let ratio = Spread::of(rounds)?.median / Spread::of(base)?.median;
        ratio.is_finite().then_some(Self { ratio, low, high })
    }

    /// Of figures that were measured at other times: low and high are the farthest that any round of
    /// the one lies from any of the other.
    pub(super) fn between(one: &Spread, base: &Spread) -> Option<Self> {
        let ratio = one.median / base.median;
        ratio.is_finite().then_some(Self {
            ratio,
            low: one.low / base.high,
            high: one.high / base.low,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = Spread::of(&[3.0, 1.0, 2.0]).expect("rounds");
        assert_eq!((spread.low, spread.median, spread.high), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(&[1.0, 2.0]).map(|s| s.median), Some(1.5));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn ratios_within_rounds_leave_out_what_slows_all() {
        let (slow, fast) = ([20.0, 40.0, 22.0], [10.0, 20.0, 10.0]);
        let ratio = Ratio::within(&slow, &fast).expect("rounds");
        assert_eq!((ratio.ratio, ratio.low, ratio.high), (2.2, 2.0, 2.2));
        let [one, base] = [slow, fast].map(|rounds| Spread::of(&rounds).expect("rounds"));
        let ratio = Ratio::between(&one, &base).expect("figures");
        assert_eq!((ratio.low, ratio.high), (1.0, 4.0));
        assert_eq!(Ratio::within(&slow, &[0.0, 0.0, 0.0]), None);
    }

    proptest::proptest! {
        #[test]
        fn the_ratio_lies_within_its_spread(pairs in proptest::collection::vec((0.1..1e6, 0.1..1e6), 1..20)) {
            let (one, base): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let Ratio { ratio, low, high } = Ratio::within(&one, &base).expect("rounds");
            proptest::prop_assert!(low <= ratio * (1.0 + 1e-12) && ratio <= high * (1.0 + 1e-12));
        }
    }
}
