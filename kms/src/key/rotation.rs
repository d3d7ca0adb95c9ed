//! When a key's material is replaced by itself: dates on a grid that no delay shifts.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A key's automatic rotation: every so many days, counted from when it was switched on.
///
/// Where rotations were missed (the KMS did not run, the key was disabled) there is one when that is
/// over, and the next is on the first date of the grid after it: what was missed is not made good, and
/// no delay moves the dates that follow. Rotations on demand do not either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RotationSchedule {
    /// Days from one rotation to the next.
    pub period_days: u32,
    /// The next rotation.
    pub next: SystemTime,
}

impl RotationSchedule {
    /// The period where none is said, and that of managed keys, in days.
    pub const DEFAULT_PERIOD: u32 = 365;
    /// The periods that there are, in days (AWS's limits).
    pub const PERIODS: std::ops::RangeInclusive<u32> = 90..=2560;

    /// The schedule that is switched on at `now`.
    pub fn starting(now: SystemTime, period_days: u32) -> Self {
        Self {
            period_days,
            next: now + days(period_days),
        }
    }

    /// Whether a rotation is due.
    pub fn is_due(&self, now: SystemTime) -> bool {
        self.next <= now
    }

    /// This schedule with its first date after `now`, at most a period away: after a rotation, and also
    /// after the clock was set back.
    #[must_use]
    pub fn aligned(&self, now: SystemTime) -> Self {
        let period = days(self.period_days).as_millis();
        let next = match now.duration_since(self.next) {
            Ok(late) => self.next + milliseconds((late.as_millis() / period + 1) * period),
            Err(early) => {
                let early = early.duration().as_millis();
                self.next - milliseconds((early - 1) / period * period)
            }
        };
        Self { next, ..*self }
    }
}

/// Why a backing key came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BackingKeyKind {
    /// With its KMS key.
    Initial,
    /// By the key's schedule.
    Automatic,
    /// Because somebody asked for it.
    OnDemand,
}

/// So many times 24 hours.
pub(crate) fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 24 * 60 * 60)
}

fn milliseconds(count: u128) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(day: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(day * 24 * 60 * 60)
    }

    #[test]
    fn no_delay_moves_the_dates() {
        let schedule = RotationSchedule::starting(at(1000), 100);
        let next = |now| schedule.aligned(now).next;
        assert!(!schedule.is_due(at(1099)) && schedule.is_due(at(1100)));
        assert_eq!(next(at(1100)), at(1200));
        assert_eq!(next(at(1150)), at(1200));
        assert_eq!(next(at(1750)), at(1800));
        // Set back: it comes as soon as the grid has a date.
        assert_eq!(next(at(1050)), at(1100));
        assert_eq!(next(at(1000)), at(1100));
        assert_eq!(next(at(550)), at(600));
    }

    proptest! {
        #[test]
        fn the_next_date_is_on_the_grid_and_within_a_period(
            start in 0_u64..40_000, now in 0_u64..80_000, period in 90_u32..=2560,
        ) {
            let schedule = RotationSchedule::starting(at(start + 40_000), period);
            let aligned = schedule.aligned(at(now + 20_000));
            prop_assert!(aligned.next > at(now + 20_000));
            prop_assert!(aligned.next <= at(now + 20_000) + days(period));
            let apart = match aligned.next.duration_since(schedule.next) {
                Ok(apart) => apart,
                Err(apart) => apart.duration(),
            };
            prop_assert_eq!(apart.as_secs() % days(period).as_secs(), 0);
        }
    }
}
