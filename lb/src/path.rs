//! The path as rules match it and as targets get it (RFC 3986, sections 5.2.4 and 6.2.2).
//!
//! Repeated slashes are kept: they are different paths, and targets that take them for the same must be
//! guarded by rules for both.

use std::borrow::Cow;

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `/`.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// A `%` without two hexadecimal digits behind it.
    #[error("the path holds a malformed percent-encoding")]
    Encoding,
    /// `\`, which some servers take for a slash.
    #[error("the path holds a backslash")]
    Backslash,
    /// `%2F`, `%5C` or `%00`.
    #[error("the path holds an encoded slash, backslash or NUL")]
    Separator,
    /// `..` beside an encoded slash or backslash, which a target may take for a way up.
    #[error("the path holds `..` beside an encoded slash or backslash")]
    HiddenDots,
}

/// `path` (without query) with unreserved characters decoded, other encodings in upper case and dot
/// segments removed. `%2F`, `%5C` and `%00` are let through as they came if `allow_encoded_slash`.
///
/// # Errors
/// When two servers could understand it differently.
pub fn normalise(path: &str, allow_encoded_slash: bool) -> Result<Cow<'_, str>, PathError> {
    if !path.starts_with('/') {
        return Err(PathError::NotAbsolute);
    }
    if is_normal(path) {
        return Ok(Cow::Borrowed(path));
    }
    if path.contains('\\') {
        return Err(PathError::Backslash);
    }
    let decoded = decode_unreserved(path, allow_encoded_slash)?;
    let normal = remove_dot_segments(&decoded);
    if normal.split('/').any(hides_dots) {
        return Err(PathError::HiddenDots);
    }
    Ok(Cow::Owned(normal))
}

/// Whether there is nothing to do: no encoding, no backslash, and no segment that begins with a dot.
fn is_normal(path: &str) -> bool {
    let bytes = path.as_bytes();
    let dotted = |pair: &[u8]| pair == b"/.";
    !bytes.iter().any(|byte| matches!(byte, b'%' | b'\\')) && !bytes.windows(2).any(dotted)
}

fn decode_unreserved(path: &str, allow_encoded_slash: bool) -> Result<String, PathError> {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((plain, encoded)) = rest.split_once('%') {
        decoded.push_str(plain);
        let byte = hex_pair(encoded).ok_or(PathError::Encoding)?;
        match byte {
            _ if is_unreserved(byte) => decoded.push(char::from(byte)),
            b'/' | b'\\' | 0 if !allow_encoded_slash => return Err(PathError::Separator),
            b'/' | b'\\' | 0 => {
                decoded.push('%');
                decoded.push_str(&encoded[..2]);
            }
            _ => {
                decoded.push('%');
                decoded.push(encoded.as_bytes()[0].to_ascii_uppercase().into());
                decoded.push(encoded.as_bytes()[1].to_ascii_uppercase().into());
            }
        }
        rest = &encoded[2..];
    }
    decoded.push_str(rest);
    Ok(decoded)
}

fn hex_pair(text: &str) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let &[high, low, ..] = text.as_bytes() else {
        return None;
    };
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn remove_dot_segments(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    normal.truncate(normal.rfind('/').unwrap_or(0));
                }
                if last {
                    normal.push('/');
                }
            }
            _ => {
                normal.push('/');
                normal.push_str(segment);
            }
        }
    }
    normal
}

/// Whether a segment becomes `..` or more where its encoded separators are taken for real ones.
fn hides_dots(segment: &str) -> bool {
    if !segment.contains("..") || !segment.contains('%') {
        return false;
    }
    let upper = segment.to_ascii_uppercase();
    let parts = upper.split("%2F").flat_map(|part| part.split("%5C"));
    parts.into_iter().any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_take_one_form() {
        for (path, form) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/%61/%7Euser", "/a/~user"),
            ("/%c3%a4", "/%C3%A4"),
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e%2E/b", "/b"),
            ("/../../etc", "/etc"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a//../b", "/a/b"),
            ("//a", "//a"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/a%20b", "/a%20b"),
            ("/%2561", "/%2561"),
        ] {
            assert_eq!(normalise(path, false).as_deref(), Ok(form), "{path}");
        }
    }

    #[test]
    fn doubtful_paths_are_refused() {
        use PathError::{Backslash, Encoding, HiddenDots, NotAbsolute, Separator};
        type Outcome = Result<&'static str, PathError>;
        let paths: [(&str, Outcome, Outcome); 14] = [
            ("/a%2Fb", Err(Separator), Ok("/a%2Fb")),
            ("/a%2fb", Err(Separator), Ok("/a%2fb")),
            ("/a%5cb", Err(Separator), Ok("/a%5cb")),
            ("/a%00", Err(Separator), Ok("/a%00")),
            ("/a\\b", Err(Backslash), Err(Backslash)),
            ("/..%2fetc", Err(Separator), Err(HiddenDots)),
            ("/a%2f%2e%2e%5cetc", Err(Separator), Err(HiddenDots)),
            ("/%", Err(Encoding), Err(Encoding)),
            ("/%4", Err(Encoding), Err(Encoding)),
            ("/%zz", Err(Encoding), Err(Encoding)),
            ("/%+1", Err(Encoding), Err(Encoding)),
            ("", Err(NotAbsolute), Err(NotAbsolute)),
            ("*", Err(NotAbsolute), Err(NotAbsolute)),
            ("a/b", Err(NotAbsolute), Err(NotAbsolute)),
        ];
        for (path, strict, lenient) in paths {
            assert_eq!(normalise(path, false), strict.map(Cow::Borrowed), "{path}");
            assert_eq!(normalise(path, true), lenient.map(Cow::Borrowed), "{path}");
        }
    }

    /// What a careless target makes of a path: everything decoded, backslashes for slashes.
    fn carelessly_decoded(path: &str) -> String {
        let mut decoded = Vec::new();
        let mut rest = path.as_bytes();
        while let Some((&byte, behind)) = rest.split_first() {
            let pair = std::str::from_utf8(behind).ok().and_then(hex_pair);
            match pair {
                Some(value) if byte == b'%' => {
                    decoded.push(value);
                    rest = &behind[2..];
                }
                _ => {
                    decoded.push(byte);
                    rest = behind;
                }
            }
        }
        String::from_utf8_lossy(&decoded).replace('\\', "/")
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(
            path in "/([a.%~\\\\]|%2[eEfF]|%5[cC]|%00|/|\\.\\.|%61|%C3){0,16}",
            allow: bool,
        ) {
            if let Ok(form) = normalise(&path, allow) {
                let again = normalise(&form, allow);
                prop_assert_eq!(again.as_deref(), Ok(&*form));
            }
        }

        #[test]
        fn no_way_up_is_left(
            path in "/([a.%]|%2[eEfF]|%5[cC]|/|\\.\\.){0,16}",
            allow: bool,
        ) {
            if let Ok(form) = normalise(&path, allow) {
                let seen = carelessly_decoded(&form);
                prop_assert!(!seen.split('/').any(|segment| segment == ".."), "{}", form);
            }
        }

        #[test]
        fn any_text_is_normalised_or_refused(path: String, allow: bool) {
            if let Ok(form) = normalise(&path, allow) {
                prop_assert!(form.starts_with('/'));
            }
        }
    }
}
