//! Times as they stand in records: RFC 3339 in UTC with milliseconds, 24 bytes.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::chain::Time;

/// Writes times, and keeps the last second that it wrote: most are of the same one.
#[derive(Debug, Default)]
pub(crate) struct TimeWriter {
    second: Option<u64>,
    text: Time,
}

impl TimeWriter {
    /// A clock that is set before 1970 counts as 1970, one that is set after 9999 as its last second.
    pub(crate) fn write(&mut self, time: SystemTime) -> Time {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let since = since.unwrap_or_default().min(LATEST);
        if self.second != Some(since.as_secs()) {
            self.text = written(since.as_secs());
            self.second = Some(since.as_secs());
        }
        let millis = since.subsec_millis();
        let mut text = self.text;
        for (place, unit) in [(20, 100), (21, 10), (22, 1)] {
            text[place] = b'0' + (millis / unit % 10) as u8;
        }
        text
    }
}

fn written(second: u64) -> Time {
    let second = i64::try_from(second).ok();
    let timestamp = second.and_then(|second| Timestamp::from_second(second).ok());
    let text = format!("{:.3}", timestamp.unwrap_or_default());
    text.as_bytes().try_into().expect("a year has four digits")
}

/// The end of 9999, which is as far as jiff and four digits go, less a day for jiff.
const LATEST: Duration = Duration::from_secs(253_402_207_199);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_are_clamped() {
        let mut writer = TimeWriter::default();
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        for (time, text) in [
            (at(1_700_000_000_123), "2023-11-14T22:13:20.123Z"),
            (at(1_700_000_000_009), "2023-11-14T22:13:20.009Z"),
            (at(0), "1970-01-01T00:00:00.000Z"),
            (at(u64::MAX / 1_000_000), "2554-07-21T23:34:33.709Z"),
            (at(u64::MAX / 10_000), "9999-12-30T21:59:59.000Z"),
        ] {
            let written = writer.write(time);
            assert_eq!(str::from_utf8(&written), Ok(text));
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(&writer.write(before), b"1970-01-01T00:00:00.000Z");
    }
}
