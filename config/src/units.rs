//! Durations and sizes as they are written: a whole number and a unit.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Unexpected, Visitor};

/// A span of time: `500ms`, `5s`, `2m`, `1h`, `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

/// A number of bytes: `512B`, `64KiB`, `1MiB`, `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// A quantity with a unit.
trait Quantity: Sized {
    const EXPECTED: &'static str;
    const PATTERN: &'static str;

    /// The quantity that is written so.
    fn parse(text: &str) -> Option<Self>;
}

impl Quantity for Time {
    const EXPECTED: &'static str = "a duration such as `500ms`, `5s`, `2m`, `1h` or `1d`";
    const PATTERN: &'static str = "^[0-9]{1,15}(ms|s|m|h|d)$";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        Some(Self(Duration::from_millis(
            number.checked_mul(milliseconds)?,
        )))
    }
}

impl Quantity for Size {
    const EXPECTED: &'static str = "a size such as `512B`, `64KiB`, `1MiB` or `2GiB`";
    const PATTERN: &'static str = "^[0-9]{1,15}(B|KiB|MiB|GiB)$";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let bytes = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        number.checked_mul(bytes).map(Self)
    }
}

/// Number and unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number = (number.len() <= 15).then(|| number.parse().ok())??;
    Some((number, unit))
}

/// A duration as it is written.
pub(crate) fn written(time: Duration) -> String {
    let milliseconds = time.as_millis();
    for (unit, length) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ] {
        let fits = milliseconds >= length || length == 1_000;
        if fits && milliseconds.is_multiple_of(length) {
            return format!("{}{unit}", milliseconds / length);
        }
    }
    format!("{milliseconds}ms")
}

struct QuantityVisitor<Q>(PhantomData<Q>);

impl<Q: Quantity> Visitor<'_> for QuantityVisitor<Q> {
    type Value = Q;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(Q::EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Q, E> {
        Q::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// Reading and schema of a quantity.
macro_rules! quantity {
    ($($name:ident),+) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(QuantityVisitor(PhantomData))
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $name::PATTERN})
            }
        }
    )+};
}

quantity!(Time, Size);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, milliseconds) in [
            ("500ms", Some(500)),
            ("5s", Some(5_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("1d", Some(86_400_000)),
            ("0s", Some(0)),
            ("5", None),
            ("s", None),
            ("5 s", None),
            ("-5s", None),
            ("1.5s", None),
            ("99999999999999999s", None),
            ("٣s", None),
        ] {
            let time = Time::parse(text).map(|time| time.0);
            assert_eq!(time, milliseconds.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(Size::parse("64KiB"), Some(Size(65_536)));
        assert_eq!(Size::parse("2GiB"), Some(Size(2 << 30)));
        assert_eq!(Size::parse("64KB"), None);
        assert_eq!(Size::parse("64"), None);
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["0s", "500ms", "1500ms", "90s", "2m", "36h", "1d"] {
            let time = Time::parse(text).expect("a duration");
            assert_eq!(written(time.0), text);
        }
    }
}
