//! Times in JSON: seconds since 1970, with a fraction.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// A time, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(f64);

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let milliseconds = u32::try_from(since.as_millis() % 1000).unwrap_or_default();
        let seconds = Duration::new(since.as_secs(), milliseconds * 1_000_000);
        Self(seconds.as_secs_f64())
    }
}

impl Timestamp {
    /// The time itself; none before 1970 or beyond what a clock can show.
    pub fn to_system_time(self) -> Option<SystemTime> {
        let since = Duration::try_from_secs_f64(self.0).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(since)
    }
}
