//! Shares: the parts of a key that several people keep, as they write them down and type them.
//!
//! A share is bech32m (BIP 350) with the prefix `sgshare`, whose checksum finds whatever is mistyped in
//! up to four places. It is shown in groups of five with hyphens between them; hyphens and white space
//! are left out when it is read, and capitals make no difference as long as they are not mixed. Its data:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | version: 1 |
//! | 1 | 1 | threshold: how many shares it takes |
//! | 2 | 1 | index: 1 to 255 |
//! | 3 | 8 | set: the fingerprint of the root key that the shares open |
//! | 11 | 32 | value |
//!
//! The root record has for every share of its set a tag, the first 8 bytes of HKDF-SHA256(value, salt: the
//! set, "sealgate share 1" ‖ threshold ‖ index), so that a wrong share is told from the right ones. As the
//! parameters of the record:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | threshold |
//! | 1 | 1 | number of shares, n |
//! | 2 | 8 n | their tags, from index 1 on |

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use zeroize::Zeroizing;

use super::error::RootError;
use super::{Fingerprint, shamir};
use crate::derive::derive;
use crate::environment::Random;
use crate::secret::SecretKey;

/// One of the shares of a key.
pub struct Share {
    set: Fingerprint,
    threshold: u8,
    index: u8,
    value: SecretKey,
}

impl Share {
    /// Which root key it opens, with others.
    pub fn set(&self) -> Fingerprint {
        self.set
    }

    /// How many shares it takes.
    pub fn threshold(&self) -> u8 {
        self.threshold
    }

    /// Its number, from 1 on.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Reads what somebody typed.
    ///
    /// # Errors
    /// [`RootError::ShareMalformed`].
    pub fn parse(text: &[u8]) -> Result<Self, RootError> {
        let text = typed(text)?;
        let checked = CheckedHrpstring::new::<Bech32m>(&text);
        let checked = checked.map_err(|_| RootError::ShareMalformed(MISTYPED))?;
        if checked.hrp().to_lowercase() != PREFIX {
            return Err(RootError::ShareMalformed(
                "it does not begin with `sgshare`",
            ));
        }
        let mut data = checked.byte_iter();
        if data.len() != DATA_LEN {
            return Err(RootError::ShareMalformed("it is of another length"));
        }
        let mut next = || data.next().unwrap_or_default();
        let [version, threshold, index] = [next(), next(), next()];
        let set = Fingerprint::from_bytes(std::array::from_fn(|_| next()));
        if version != VERSION {
            return Err(RootError::ShareMalformed("it is of a later version"));
        }
        if threshold == 0 || index == 0 {
            return Err(RootError::ShareMalformed("it is numbered 0"));
        }
        let value = shamir::filled(|out| out.fill_with(&mut next));
        Ok(Self {
            set,
            threshold,
            index,
            value,
        })
    }

    /// As people write it down.
    pub fn text(&self) -> Zeroizing<String> {
        let mut data = Zeroizing::new([0; DATA_LEN]);
        data[..HEAD_LEN].copy_from_slice(&[VERSION, self.threshold, self.index]);
        data[HEAD_LEN..VALUE_AT].copy_from_slice(self.set.as_bytes());
        data[VALUE_AT..].copy_from_slice(self.value.expose());
        // Of its size from the start: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_TEXT));
        let hrp = Hrp::parse_unchecked(PREFIX);
        bech32::encode_lower_to_fmt::<Bech32m, _>(&mut *text, hrp, &*data)
            .expect("a share is shorter than the longest bech32m");
        grouped(&text)
    }

    fn tag(&self) -> [u8; TAG_LEN] {
        let numbers = [self.threshold, self.index];
        let derived = derive(&self.value, self.set.as_bytes(), &[TAG_INFO, &numbers]);
        *derived.expose().first_chunk().expect("32 bytes hold 8")
    }
}

/// What was typed, without what makes it easier to type.
fn typed(text: &[u8]) -> Result<Zeroizing<String>, RootError> {
    if text.len() > MAX_TYPED {
        return Err(RootError::ShareMalformed("it is longer than any share"));
    }
    let mut kept = Zeroizing::new(String::with_capacity(text.len()));
    let skipped = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'-';
    for byte in text.iter().copied().filter(|byte| !skipped(byte)) {
        if !byte.is_ascii_graphic() {
            return Err(RootError::ShareMalformed(MISTYPED));
        }
        kept.push(char::from(byte));
    }
    Ok(kept)
}

fn grouped(text: &str) -> Zeroizing<String> {
    let mut groups = Zeroizing::new(String::with_capacity(MAX_TEXT));
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at % GROUP == 0 {
            groups.push('-');
        }
        groups.push(letter);
    }
    groups
}

/// What a root record says of the shares of its key-encryption key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShareSet {
    set: Fingerprint,
    threshold: u8,
    tags: Vec<[u8; TAG_LEN]>,
}

impl ShareSet {
    /// `count` shares of `key`, of which `threshold` give it back.
    pub(super) fn deal(
        key: &SecretKey,
        set: Fingerprint,
        (threshold, count): (u8, u8),
        random: &dyn Random,
    ) -> Result<(Self, Vec<Share>), RootError> {
        if threshold < 2 || threshold > count {
            return Err(RootError::Threshold { threshold, count });
        }
        let values = shamir::split(key, threshold, count, random);
        let shares = (1..=count).zip(values).map(|(index, value)| Share {
            set,
            threshold,
            index,
            value,
        });
        let shares: Vec<_> = shares.collect();
        let tags = shares.iter().map(Share::tag).collect();
        let dealt = Self {
            set,
            threshold,
            tags,
        };
        Ok((dealt, shares))
    }

    /// How many shares it takes, and of how many.
    pub(super) fn numbers(&self) -> (u8, u8) {
        let count = u8::try_from(self.tags.len()).expect("at most 255 were dealt or read");
        (self.threshold, count)
    }

    /// Whether `share` is one of the set, and none of those that are there already.
    pub(super) fn check(&self, share: &Share, there: &[Share]) -> Result<(), RootError> {
        if share.set != self.set {
            return Err(RootError::ShareForeign {
                index: share.index,
                found: share.set.to_string(),
                expected: self.set.to_string(),
            });
        }
        let tag = self.tags.get(usize::from(share.index) - 1);
        if tag != Some(&share.tag()) || share.threshold != self.threshold {
            return Err(RootError::ShareWrong(share.index));
        }
        if there.iter().any(|other| other.index == share.index) {
            return Err(RootError::ShareRepeated(share.index));
        }
        Ok(())
    }

    /// The key, where there are enough shares; else how many are missing.
    pub(super) fn combine(&self, shares: &[Share]) -> Result<Result<SecretKey, u8>, RootError> {
        for (at, share) in shares.iter().enumerate() {
            self.check(share, &shares[..at])?;
        }
        let have = u8::try_from(shares.len()).unwrap_or(u8::MAX);
        let points = shares.iter().map(|share| (share.index, &share.value));
        let points: Vec<_> = points.take(self.threshold.into()).collect();
        Ok(match self.threshold.checked_sub(have) {
            None | Some(0) => Ok(shamir::combine(&points)),
            Some(missing) => Err(missing),
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let (threshold, count) = self.numbers();
        [&[threshold, count], self.tags.as_flattened()].concat()
    }

    pub(super) fn parse(set: Fingerprint, parameters: &[u8]) -> Result<Self, &'static str> {
        let ([threshold, count], tags) = parameters.split_first_chunk().ok_or("it is cut")?;
        let (tags, rest) = tags.as_chunks();
        if tags.len() != usize::from(*count) || !rest.is_empty() {
            return Err("it is not as long as its shares are many");
        }
        if *threshold < 2 || threshold > count {
            return Err("its threshold is out of bounds");
        }
        Ok(Self {
            set,
            threshold: *threshold,
            tags: tags.to_vec(),
        })
    }
}

const PREFIX: &str = "sgshare";
const VERSION: u8 = 1;
const HEAD_LEN: usize = 3;
const VALUE_AT: usize = HEAD_LEN + Fingerprint::LEN;
const DATA_LEN: usize = VALUE_AT + SecretKey::LEN;
const GROUP: usize = 5;
/// Enough for the letters of a share, which are 83, with their hyphens.
const MAX_TEXT: usize = 128;
const MAX_TYPED: usize = 1024;
const TAG_LEN: usize = 8;
const TAG_INFO: &[u8] = b"sealgate share 1";
const MISTYPED: &str = "a letter of it is mistyped, missing or too many";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::environment::Environment;

    const SET: Fingerprint = Fingerprint::from_bytes(*b"SETSETSE");

    fn key(byte: u8) -> SecretKey {
        SecretKey::copy_from(&[byte; 32]).unwrap()
    }

    fn dealt(threshold: u8, count: u8) -> (ShareSet, Vec<Share>) {
        let random = Environment::system().random;
        ShareSet::deal(&key(7), SET, (threshold, count), &*random).unwrap()
    }

    fn again(share: &Share) -> Share {
        Share::parse(share.text().as_bytes()).unwrap()
    }

    #[test]
    fn what_is_written_down_is_read_however_it_is_typed() {
        let (_, shares) = dealt(2, 3);
        let text = shares[1].text();
        assert!(text.starts_with("sgsha-re1"), "{}", text.len());
        assert_eq!(text.len(), 99);
        for typed in [
            text.to_string(),
            text.replace('-', ""),
            text.replace('-', " \n"),
            text.to_uppercase(),
        ] {
            let read = Share::parse(typed.as_bytes()).unwrap();
            assert_eq!((read.set(), read.threshold(), read.index()), (SET, 2, 2));
            assert_eq!(read.value.expose(), shares[1].value.expose());
        }
    }

    /// A share of version 1 as it was first written: it must be readable for ever.
    #[test]
    fn version_1_stays_readable() {
        let share = Share {
            set: SET,
            threshold: 3,
            index: 5,
            value: key(0xa5),
        };
        let text = include_str!("../../vectors/share-1.txt");
        assert_eq!(&*share.text(), text.trim_end());
        let read = Share::parse(text.as_bytes()).unwrap();
        assert_eq!(read.value.expose(), &[0xa5; 32]);
        assert_eq!((read.threshold(), read.index()), (3, 5));
    }

    #[test]
    fn every_mistyped_letter_is_found() {
        let (_, shares) = dealt(2, 2);
        let text = shares[0].text().replace('-', "");
        for at in 0..text.len() {
            let mut typed = text.clone().into_bytes();
            typed[at] = if typed[at] == b'q' { b'p' } else { b'q' };
            assert!(Share::parse(&typed).is_err(), "{at}");
            assert!(Share::parse(&text.as_bytes()[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn enough_shares_give_the_key_back_and_fewer_say_how_many_are_missing() {
        let (set, mut shares) = dealt(3, 5);
        let some = shares.split_off(1);
        assert_eq!(set.combine(&some[..2]).unwrap().map(drop), Err(1));
        assert_eq!(set.combine(&[]).unwrap().map(drop), Err(3));
        for enough in [&some[..3], &some[1..], &some] {
            let combined = set.combine(enough).unwrap().ok().unwrap();
            assert_eq!(combined.expose(), &[7; 32]);
        }
    }

    #[test]
    fn wrong_foreign_and_repeated_shares_are_named() {
        let (set, shares) = dealt(2, 3);
        let (_, others) = dealt(2, 3);
        let repeated = set.check(&again(&shares[1]), &shares);
        assert!(matches!(repeated, Err(RootError::ShareRepeated(2))));
        let wrong = set.check(&others[2], &[]);
        assert!(matches!(wrong, Err(RootError::ShareWrong(3))));
        let more = dealt(2, 4).1.pop().unwrap();
        let wrong = set.check(&more, &[]);
        assert!(matches!(wrong, Err(RootError::ShareWrong(4))));
        let foreign = Share {
            set: Fingerprint::from_bytes([1; 8]),
            ..again(&shares[0])
        };
        let foreign = set.check(&foreign, &[]);
        assert!(matches!(
            foreign,
            Err(RootError::ShareForeign { index: 1, .. })
        ));
    }

    #[test]
    fn thresholds_make_sense() {
        let random = Environment::system().random;
        for numbers in [(0, 3), (1, 3), (4, 3), (2, 0)] {
            let refused = ShareSet::deal(&key(1), SET, numbers, &*random).map(drop);
            assert!(matches!(refused, Err(RootError::Threshold { .. })));
        }
        assert_eq!(dealt(2, 255).0.numbers(), (2, 255));
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
            let _ = Share::parse(&bytes);
            let _ = Share::parse(text.as_bytes());
            let _ = ShareSet::parse(SET, &bytes);
        }

        #[test]
        fn a_set_is_read_as_it_was_written(count in 2_u8..=255, threshold in 2_u8..=255) {
            prop_assume!(threshold <= count);
            let tags = vec![[count; TAG_LEN]; count.into()];
            let set = ShareSet { set: SET, threshold, tags };
            let written = set.encode();
            prop_assert_eq!(ShareSet::parse(SET, &written).unwrap(), set);
            for cut in 0..written.len() {
                prop_assert!(ShareSet::parse(SET, &written[..cut]).is_err());
            }
        }
    }
}
