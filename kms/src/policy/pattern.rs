//! The wildcards of policies: `*` for any number of characters, `?` for one.

/// A text with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    One(char),
    AnyOne,
    Any,
}

impl Pattern {
    /// The pattern that `text` writes; with `escapes` (policies of version 2012-10-17), `${*}`,
    /// `${?}` and `${$}` are the characters themselves.
    ///
    /// # Errors
    /// Where a policy variable stands in it: there are none here.
    pub(super) fn parse(text: &str, escapes: bool) -> Result<Self, String> {
        let wild = |char| match char {
            '*' => Piece::Any,
            '?' => Piece::AnyOne,
            char => Piece::One(char),
        };
        let pieces = characters(text, escapes)?
            .into_iter()
            .map(|(char, escaped)| {
                if escaped {
                    Piece::One(char)
                } else {
                    wild(char)
                }
            });
        Ok(Self(pieces.collect()))
    }

    /// Whether it matches whatever there is.
    pub(super) fn is_any(&self) -> bool {
        self.0 == [Piece::Any]
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.matches_by(text, |one, other| one == other)
    }

    /// As [`matches`](Self::matches), where ASCII letters are equal in both cases.
    pub(super) fn matches_ignoring_case(&self, text: &str) -> bool {
        self.matches_by(text, |one, other| one.eq_ignore_ascii_case(&other))
    }

    /// Goes back to the last `*` only: an earlier one has nothing better to offer. So the time is
    /// at most the product of both lengths.
    fn matches_by(&self, text: &str, equal: fn(char, char) -> bool) -> bool {
        let (mut pattern, mut text) = (self.0.as_slice(), text.chars());
        let mut retry = None;
        loop {
            let mut rest = text.clone();
            match (pattern.split_first(), rest.next()) {
                (None, None) => return true,
                (Some((Piece::Any, after)), _) => {
                    retry = Some((after, text.clone()));
                    pattern = after;
                    continue;
                }
                (Some((Piece::AnyOne, after)), Some(_)) => {
                    (pattern, text) = (after, rest);
                    continue;
                }
                (Some((Piece::One(one), after)), Some(other)) if equal(*one, other) => {
                    (pattern, text) = (after, rest);
                    continue;
                }
                _ => {}
            }
            let Some((after, from)) = &mut retry else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            (pattern, text) = (after, from.clone());
        }
    }
}

/// An ARN with wildcards, each of which stays within its part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ArnPattern {
    Any,
    Parts(Vec<Pattern>),
}

impl ArnPattern {
    /// The pattern that `text` writes: `*`, or six parts between colons.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str, escapes: bool) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let parts: Result<Vec<_>, _> = text
            .splitn(ARN_PARTS, ':')
            .map(|part| Pattern::parse(part, escapes))
            .collect();
        match parts? {
            parts if parts.len() == ARN_PARTS => Ok(Self::Parts(parts)),
            _ => Err(format!(
                "`{text}` is no ARN: write `arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE`, or `*`"
            )),
        }
    }

    pub(super) fn matches(&self, arn: &str) -> bool {
        let Self::Parts(parts) = self else {
            return true;
        };
        let found: Vec<_> = arn.splitn(ARN_PARTS, ':').collect();
        let mut pairs = parts.iter().zip(&found);
        found.len() == ARN_PARTS && pairs.all(|(part, found)| part.matches(found))
    }
}

/// A text without wildcards, its escapes resolved.
///
/// # Errors
/// As of [`Pattern::parse`].
pub(super) fn literal(text: &str, escapes: bool) -> Result<String, String> {
    let characters = characters(text, escapes)?;
    Ok(characters.into_iter().map(|(char, _)| char).collect())
}

/// The characters of `text`, and whether each was escaped.
fn characters(text: &str, escapes: bool) -> Result<Vec<(char, bool)>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        if escapes && rest.starts_with("${") {
            let (escaped, after) = escape(rest).ok_or_else(|| {
                format!(
                    "`{text}` has a policy variable: only ${{*}}, ${{?}} and ${{$}} are known here"
                )
            })?;
            out.push((escaped, true));
            rest = after;
        } else {
            out.push((char, false));
            rest = &rest[char.len_utf8()..];
        }
    }
    Ok(out)
}

fn escape(text: &str) -> Option<(char, &str)> {
    ['*', '?', '$'].into_iter().find_map(|char| {
        let after = text.strip_prefix("${")?.strip_prefix(char)?;
        Some((char, after.strip_prefix('}')?))
    })
}

const ARN_PARTS: usize = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern, true).unwrap().matches(text)
    }

    #[test]
    fn wildcards_match_what_they_stand_for() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "anything"),
            ("a*c", "abcbc"),
            ("*b*", "abc"),
            ("?é?", "aéb"),
            ("${*}", "*"),
            ("a${?}${$}", "a?$"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("?", ""),
            ("a*c", "abcb"),
            ("${*}", "a"),
            ("ab", "AB"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        let insensitive = Pattern::parse("kms:gen*", true).unwrap();
        assert!(insensitive.matches_ignoring_case("kms:GenerateMac"));
    }

    #[test]
    fn variables_are_refused_where_the_version_has_them() {
        assert!(Pattern::parse("${aws:username}", true).is_err());
        assert!(literal("a${", true).is_err());
        assert_eq!(
            literal("${aws:username}", false).unwrap(),
            "${aws:username}"
        );
    }

    #[test]
    fn a_wildcard_in_an_arn_stays_within_its_part() {
        let pattern = ArnPattern::parse("arn:aws:iam::*:user/*", true).unwrap();
        assert!(pattern.matches("arn:aws:iam::000000000000:user/a:b"));
        assert!(!pattern.matches("arn:aws:iam:x:y:000000000000:user/a"));
        assert!(!pattern.matches("user/a"));
        assert!(ArnPattern::parse("*", true).unwrap().matches("anything"));
        assert!(ArnPattern::parse("arn:*", true).is_err());
    }

    /// Exponential, and obviously right.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', after)), None) => slow(after, text),
            (Some(('*', after)), Some((_, rest))) => slow(after, text) || slow(pattern, rest),
            (Some(('?', after)), Some((_, rest))) => slow(after, rest),
            (Some((one, after)), Some((other, rest))) => one == other && slow(after, rest),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_the_slow_way_says(pattern in "[ab*?]{0,8}", text in "[abc]{0,10}") {
            let (p, t): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), slow(&p, &t));
        }

        #[test]
        fn parsing_never_panics(pattern in "(\\$|\\{|\\}|\\*|.){0,12}", text in ".{0,9}") {
            if let Ok(pattern) = Pattern::parse(&pattern, true) {
                pattern.matches(&text);
            }
            if let Ok(pattern) = ArnPattern::parse(&pattern, true) {
                pattern.matches(&text);
            }
        }
    }
}
