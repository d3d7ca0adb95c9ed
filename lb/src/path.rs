//! The path as rules match it and as targets get it (RFC 3986, sections 5.2.4 and 6.2.2).
//!
//! What any target may take for the same path has one form here, so that a rule for it cannot be walked
//! around: encoded characters that may stand as they are, raw ones that may not, repeated slashes.

use std::borrow::Cow;

/// What a listener lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathForm {
    /// Whether `%2F`, `%5C` and `%00` may stand in a path.
    pub allow_encoded_slash: bool,
    /// Whether several slashes in a row are one, as they are for most servers.
    pub merge_slashes: bool,
}

impl PathForm {
    /// That of requests to `listener`.
    pub fn of(listener: &config::Listener) -> Self {
        Self {
            allow_encoded_slash: listener.allow_encoded_slash,
            merge_slashes: listener.merge_slashes,
        }
    }
}

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
    /// `..` beside an encoded slash or backslash, or `.` or `..` before a `;`, which a target may take for
    /// a way up.
    #[error("the path holds dots that some servers take for a way up")]
    HiddenDots,
    /// A character in the query that stands in no URI as it is.
    #[error("the query holds a character that must be percent-encoded")]
    Query,
}

/// `path` (without query) in its one form: all that may stand as it is decoded, all else encoded in upper
/// case, slashes merged and dot segments removed. `%2F`, `%5C` and `%00` are let through as they came if
/// the listener allows them.
///
/// # Errors
/// When two servers could understand it differently.
pub fn normalise(path: &str, form: PathForm) -> Result<Cow<'_, str>, PathError> {
    if !path.starts_with('/') {
        return Err(PathError::NotAbsolute);
    }
    if is_normal(path, form.merge_slashes) {
        return Ok(Cow::Borrowed(path));
    }
    if path.contains('\\') {
        return Err(PathError::Backslash);
    }
    let decoded = recode(path, form.allow_encoded_slash)?;
    let normal = remove_dot_segments(&decoded, form.merge_slashes);
    if normal.split('/').any(hides_dots) {
        return Err(PathError::HiddenDots);
    }
    Ok(Cow::Owned(normal))
}

/// Refuses a query that is no ASCII: some servers take its bytes as they are, others for UTF-8.
///
/// # Errors
/// When it holds another character.
pub fn check_query(query: Option<&str>) -> Result<(), PathError> {
    if query.is_none_or(str::is_ascii) {
        Ok(())
    } else {
        Err(PathError::Query)
    }
}

/// Whether there is nothing to do: only characters that may stand as they are, no segment that begins with
/// a dot, no empty one where they are merged.
fn is_normal(path: &str, merge_slashes: bool) -> bool {
    let mut before = 0;
    path.bytes().all(|byte| {
        let behind_slash = before == b'/' && (byte == b'.' || byte == b'/' && merge_slashes);
        before = byte;
        IS_PLAIN[usize::from(byte)] && !behind_slash
    })
}

/// Decodes what may stand as it is, and encodes what may not.
fn recode(path: &str, allow_encoded_slash: bool) -> Result<String, PathError> {
    let mut recoded = String::with_capacity(path.len());
    let mut parts = path.split('%');
    push_all(&mut recoded, parts.next().unwrap_or_default());
    for part in parts {
        let byte = hex_pair(part).ok_or(PathError::Encoding)?;
        let (digits, plain) = part.split_at(2);
        match byte {
            b'/' | b'\\' | 0 if !allow_encoded_slash => return Err(PathError::Separator),
            b'/' | b'\\' | 0 => {
                recoded.push('%');
                recoded.push_str(digits);
            }
            _ => push(&mut recoded, byte),
        }
        push_all(&mut recoded, plain);
    }
    Ok(recoded)
}

fn push_all(recoded: &mut String, plain: &str) {
    for byte in plain.bytes() {
        push(recoded, byte);
    }
}

/// Adds a byte as it is, or percent-encoded where it may not stand so.
fn push(recoded: &mut String, byte: u8) {
    if IS_PLAIN[usize::from(byte)] {
        recoded.push(char::from(byte));
    } else {
        let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
        recoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
    }
}

fn hex_pair(text: &str) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let &[high, low, ..] = text.as_bytes() else {
        return None;
    };
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// What may stand in a path as it is: `/` and `pchar` but for encodings (RFC 3986, section 3.3).
static IS_PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        plain[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"-._~!$&'()*+,;=:@/";
    let mut mark = 0;
    while mark < marks.len() {
        plain[marks[mark] as usize] = true;
        mark += 1;
    }
    plain
};

fn remove_dot_segments(path: &str, merge_slashes: bool) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "" if merge_slashes && !last => {}
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

/// Whether a segment becomes `.` or `..` where what follows a `;` is taken off, or `..` where encoded
/// separators are taken for real ones.
fn hides_dots(segment: &str) -> bool {
    if !segment.contains('.') || !segment.contains(['%', ';']) {
        return false;
    }
    let upper = segment.to_ascii_uppercase();
    let mut parts = upper.split("%2F").flat_map(|part| part.split("%5C"));
    parts.any(|part| match part.split_once(';') {
        Some((name, _)) => matches!(name, "." | ".."),
        None => part == "..",
    })
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
            ("//a", "/a"),
            ("///a//b//", "/a/b/"),
            ("/a//../b", "/b"),
            ("/%40int/x", "/@int/x"),
            ("/%21%24%26%27%28%29%2a%2B%2c%3B%3d%3a", "/!$&'()*+,;=:"),
            ("/priv\u{e9}/x", "/priv%C3%A9/x"),
            ("/a\"<>^{|}`b", "/a%22%3C%3E%5E%7B%7C%7D%60b"),
            ("/a;x/b", "/a;x/b"),
            ("/admin%3Bx/", "/admin;x/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/a%20b", "/a%20b"),
            ("/%2561", "/%2561"),
        ] {
            let normal = normalise(path, form_of(false));
            assert_eq!(normal.as_deref(), Ok(form), "{path}");
        }
    }

    #[test]
    fn slashes_are_kept_where_the_listener_says_so() {
        let form = PathForm {
            allow_encoded_slash: false,
            merge_slashes: false,
        };
        for (path, kept) in [("//a", "//a"), ("/a//../b", "/a/b"), ("/..//a/", "//a/")] {
            assert_eq!(normalise(path, form).as_deref(), Ok(kept), "{path}");
        }
    }

    #[test]
    fn a_query_is_ascii() {
        assert_eq!(check_query(None), Ok(()));
        assert_eq!(check_query(Some("q=%C3%A9<>")), Ok(()));
        assert_eq!(check_query(Some("q=\u{e9}")), Err(PathError::Query));
    }

    fn form_of(allow_encoded_slash: bool) -> PathForm {
        PathForm {
            allow_encoded_slash,
            merge_slashes: true,
        }
    }

    #[test]
    fn doubtful_paths_are_refused() {
        use PathError::{Backslash, Encoding, HiddenDots, NotAbsolute, Separator};
        type Outcome = Result<&'static str, PathError>;
        let paths: [(&str, Outcome, Outcome); 19] = [
            ("/a%2Fb", Err(Separator), Ok("/a%2Fb")),
            ("/a%2fb", Err(Separator), Ok("/a%2fb")),
            ("/a%5cb", Err(Separator), Ok("/a%5cb")),
            ("/a%00", Err(Separator), Ok("/a%00")),
            ("/a\\b", Err(Backslash), Err(Backslash)),
            ("/..%2fetc", Err(Separator), Err(HiddenDots)),
            ("/a%2f%2e%2e%5cetc", Err(Separator), Err(HiddenDots)),
            ("/x/..;/admin/", Err(HiddenDots), Err(HiddenDots)),
            ("/.;/admin/", Err(HiddenDots), Err(HiddenDots)),
            ("/x/..;a=b/c", Err(HiddenDots), Err(HiddenDots)),
            ("/x/%2e.%3b/c", Err(HiddenDots), Err(HiddenDots)),
            ("/a%2F..;x%2Fc", Err(Separator), Err(HiddenDots)),
            ("/%", Err(Encoding), Err(Encoding)),
            ("/%4", Err(Encoding), Err(Encoding)),
            ("/%zz", Err(Encoding), Err(Encoding)),
            ("/%+1", Err(Encoding), Err(Encoding)),
            ("", Err(NotAbsolute), Err(NotAbsolute)),
            ("*", Err(NotAbsolute), Err(NotAbsolute)),
            ("a/b", Err(NotAbsolute), Err(NotAbsolute)),
        ];
        for (path, strict, lenient) in paths {
            assert_eq!(
                normalise(path, form_of(false)),
                strict.map(Cow::Borrowed),
                "{path}"
            );
            assert_eq!(
                normalise(path, form_of(true)),
                lenient.map(Cow::Borrowed),
                "{path}"
            );
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

    fn forms() -> impl Strategy<Value = PathForm> {
        any::<(bool, bool)>().prop_map(|(allow_encoded_slash, merge_slashes)| PathForm {
            allow_encoded_slash,
            merge_slashes,
        })
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(
            path in r#"/([a.%~\\]|%2[eEfF]|%5[cC]|%00|/|\.\.|%61|%C3|;|%3[bB]|\u{e9}|"){0,16}"#,
            form in forms(),
        ) {
            if let Ok(normal) = normalise(&path, form) {
                let again = normalise(&normal, form);
                prop_assert_eq!(again.as_deref(), Ok(&*normal));
                prop_assert!(is_normal(&normal, form.merge_slashes) || normal.contains(['%', '.']));
            }
        }

        #[test]
        fn no_way_up_is_left(
            path in "/([a.%;]|%2[eEfF]|%5[cC]|%3B|/|\\.\\.){0,16}",
            form in forms(),
        ) {
            if let Ok(normal) = normalise(&path, form) {
                let seen = carelessly_decoded(&normal);
                let mut segments = seen.split('/').filter_map(|segment| segment.split(';').next());
                prop_assert!(!segments.any(|segment| segment == ".."), "{}", normal);
            }
        }

        #[test]
        fn any_text_is_normalised_or_refused(path: String, form in forms()) {
            if let Ok(normal) = normalise(&path, form) {
                prop_assert!(normal.starts_with('/') && normal.is_ascii());
            }
        }
    }
}
