//! The chain: every line of the log is authenticated together with all lines before it.

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use crate::secret::SecretKey;

/// Makes and checks the links of one log, under its key.
#[derive(Clone)]
pub(crate) struct Chain(Hmac<Sha256>);

/// A record's place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The record's number, from 1; 0 stands for the beginning, before any record.
    pub sequence: u64,
    /// HMAC-SHA256 over the MAC of the record before, and this record's bytes.
    pub mac: Mac,
}

/// An HMAC-SHA256.
pub(crate) type Mac = [u8; MAC_LEN];

impl Link {
    /// Before any record.
    pub const START: Self = Self {
        sequence: 0,
        mac: [0; MAC_LEN],
    };
}

impl Chain {
    pub(crate) fn new(key: &SecretKey) -> Self {
        Self(Hmac::new_from_slice(key.expose()).expect("HMAC takes keys of any length"))
    }

    /// Appends a line behind `last`: `body` is what stands between the braces, after the time.
    pub(crate) fn append(&self, last: Link, time: &Time, body: &[u8], out: &mut Vec<u8>) -> Link {
        let (start, sequence) = (out.len(), last.sequence + 1);
        out.extend_from_slice(SEQUENCE);
        push_decimal(sequence, out);
        out.extend_from_slice(TIME);
        out.extend_from_slice(time);
        out.extend_from_slice(BODY);
        out.extend_from_slice(body);
        let mac = self.mac(&last.mac, &out[start..]).finalize().into_bytes();
        out.extend_from_slice(MAC);
        push_hex(&mac, out);
        out.extend_from_slice(END);
        Link {
            sequence,
            mac: mac.into(),
        }
    }

    /// The link of `line`, if it is the record behind `last`.
    pub(crate) fn follow(&self, last: Link, line: &Line<'_>) -> Option<Link> {
        let next = line.sequence == last.sequence.checked_add(1)?;
        (next && self.binds(&last.mac, line.authenticated, &line.mac)).then_some(line.link())
    }

    /// Whether `line` is the record behind `last` but for its number.
    pub(crate) fn is_renumbered(&self, last: Link, line: &Line<'_>) -> bool {
        let digits = SEQUENCE.len() + line.sequence.to_string().len();
        let mut bytes = SEQUENCE.to_vec();
        push_decimal(last.sequence.saturating_add(1), &mut bytes);
        bytes.extend_from_slice(&line.authenticated[digits..]);
        self.binds(&last.mac, &bytes, &line.mac)
    }

    fn binds(&self, previous: &Mac, bytes: &[u8], mac: &Mac) -> bool {
        self.mac(previous, bytes).verify_slice(mac).is_ok()
    }

    fn mac(&self, previous: &Mac, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(previous);
        mac.update(bytes);
        mac
    }
}

/// A line of the log taken apart, with nothing of it believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) sequence: u64,
    /// What stands between the braces, after the time.
    pub(crate) body: &'a [u8],
    mac: Mac,
    authenticated: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a line apart that stands without its line feed. There is one way to write each.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_suffix(END)?;
        let (rest, hex) = rest.split_last_chunk::<HEX_LEN>()?;
        let authenticated = rest.strip_suffix(MAC)?;
        let rest = authenticated.strip_prefix(SEQUENCE)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = rest.split_at(digits);
        let (_, rest) = rest.strip_prefix(TIME)?.split_first_chunk::<TIME_LEN>()?;
        Some(Self {
            sequence: decimal(digits)?,
            body: rest.strip_prefix(BODY)?,
            mac: unhex(hex)?,
            authenticated,
        })
    }

    pub(crate) fn link(&self) -> Link {
        Link {
            sequence: self.sequence,
            mac: self.mac,
        }
    }
}

/// The end of a line of which only its MAC is known: what stands before its line feed.
pub(crate) fn tail_of(mac: &Mac) -> Vec<u8> {
    let mut tail = MAC.to_vec();
    push_hex(mac, &mut tail);
    tail.extend_from_slice(END);
    tail
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let number: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    (digits.first() != Some(&b'0')).then_some(number)
}

fn push_decimal(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    while rest > 0 || start == digits.len() {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[start..]);
}

/// Lower-case hexadecimal.
pub(crate) fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    let digit = |nibble: u8| DIGITS[usize::from(nibble)];
    out.extend(
        bytes
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]),
    );
}

/// What [`push_hex`] wrote, and nothing else.
pub(crate) fn unhex(hex: &[u8; HEX_LEN]) -> Option<Mac> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; MAC_LEN];
    for (byte, [high, low]) in bytes.iter_mut().zip(hex.as_chunks().0) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

/// A time as it stands in a record: `2027-01-31T12:00:00.000Z`.
pub(crate) type Time = [u8; TIME_LEN];

const TIME_LEN: usize = 24;
const MAC_LEN: usize = 32;
pub(crate) const HEX_LEN: usize = 2 * MAC_LEN;
const SEQUENCE: &[u8] = b"{\"sequence\":";
const TIME: &[u8] = b",\"eventTime\":\"";
const BODY: &[u8] = b"\",";
const MAC: &[u8] = b",\"mac\":\"";
const END: &[u8] = b"\"}";
const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOON: &Time = b"2027-01-31T12:00:00.000Z";

    fn chain(byte: u8) -> Chain {
        Chain::new(&SecretKey::copy_from(&[byte; 32]).unwrap())
    }

    #[test]
    fn a_line_is_json_and_follows_the_one_before() {
        let (chain, mut out) = (chain(1), Vec::new());
        let first = chain.append(Link::START, NOON, b"\"a\":1", &mut out);
        let one = out.len();
        let second = chain.append(first, NOON, b"\"a\":2", &mut out);
        let line = Line::parse(&out[one..]).unwrap();
        assert_eq!(line.body, b"\"a\":2");
        assert_eq!(chain.follow(first, &line), Some(second));
        assert_eq!(chain.follow(Link::START, &line), None);
        assert!(!chain.is_renumbered(Link::START, &line));
        let json: serde_json::Value = serde_json::from_slice(&out[one..]).unwrap();
        assert_eq!((&json["sequence"], &json["a"]), (&2.into(), &2.into()));
    }

    #[test]
    fn a_line_of_another_key_or_number_does_not_follow() {
        let (one, mut out) = (chain(1), Vec::new());
        one.append(Link::START, NOON, b"\"a\":1", &mut out);
        let line = Line::parse(&out).unwrap();
        assert!(chain(2).follow(Link::START, &line).is_none());
        let renumbered = String::from_utf8(out.clone())
            .unwrap()
            .replace(":1,\"e", ":70,\"e");
        let renumbered = Line::parse(renumbered.as_bytes()).unwrap();
        assert_eq!(renumbered.sequence, 70);
        assert!(one.follow(Link::START, &renumbered).is_none());
        assert!(one.is_renumbered(Link::START, &renumbered));
    }

    proptest! {
        #[test]
        fn no_changed_line_follows(at in 0_usize..160, bit in 0_u8..8, body in "[ -~]{0,30}") {
            let (chain, mut out) = (chain(1), Vec::new());
            chain.append(Link::START, NOON, body.as_bytes(), &mut out);
            let at = at % out.len();
            out[at] ^= 1 << bit;
            let link = Line::parse(&out).and_then(|line| chain.follow(Link::START, &line));
            prop_assert_eq!(link, None);
        }

        #[test]
        fn parsing_never_panics(line in any::<Vec<u8>>()) {
            let _ = Line::parse(&line);
        }

        #[test]
        fn numbers_are_written_as_they_are_read(number in any::<u64>()) {
            let mut out = Vec::new();
            push_decimal(number, &mut out);
            prop_assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
