//! How long things took.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

/// A distribution of times, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// Half are shorter.
    pub p50_us: f64,
    /// 90 % are shorter.
    pub p90_us: f64,
    /// 99 % are shorter.
    pub p99_us: f64,
    /// 99.9 % are shorter.
    pub p99_9_us: f64,
    /// The longest.
    pub max_us: f64,
    /// On average.
    pub mean_us: f64,
    /// Quantiles, 0 to 1, with the times that so many did not exceed: the curve of it.
    pub curve: Vec<(f64, f64)>,
}

impl Latency {
    /// Of times in nanoseconds; none without any.
    pub(super) fn of(times: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
        (!times.is_empty()).then(|| Self {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            max_us: times.max() as f64 / 1000.0,
            mean_us: times.mean() / 1000.0,
            curve: CURVE
                .iter()
                .map(|&quantile| (quantile, at(quantile)))
                .collect(),
        })
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: f64| format!("{:.2}", us / 1000.0);
        write!(
            f,
            "p50 {}, p90 {}, p99 {}, p99.9 {}, max {} ms",
            ms(self.p50_us),
            ms(self.p90_us),
            ms(self.p99_us),
            ms(self.p99_9_us),
            ms(self.max_us),
        )
    }
}

/// Where the curve is drawn through: the rarer, the farther apart on its axis.
const CURVE: [f64; 20] = [
    0.0, 0.1, 0.25, 0.5, 0.65, 0.75, 0.8, 0.85, 0.9, 0.935, 0.95, 0.975, 0.99, 0.995, 0.9975,
    0.999, 0.9995, 0.9999, 0.99999, 1.0,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::tally::histogram;

    #[test]
    fn quantiles_of_nothing_are_nothing() {
        assert_eq!(Latency::of(&histogram()), None);
    }

    #[test]
    fn the_curve_rises_to_the_longest() {
        let mut times = histogram();
        (1..=1000).for_each(|ms: u64| times.saturating_record(ms * 1_000_000));
        let latency = Latency::of(&times).expect("times");
        assert!(latency.curve.is_sorted_by_key(|(_, time)| *time));
        let (_, last) = latency.curve[CURVE.len() - 1];
        // Three digits are kept.
        assert!((last / latency.max_us - 1.0).abs() < 1e-3);
        assert!((latency.p90_us / 900_000.0 - 1.0).abs() < 1e-3);
    }
}
