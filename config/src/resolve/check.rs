//! Texts that must have a form: addresses, patterns, names, header fields. Each check is pure.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::{CertificateSelector, HostPattern, PathPattern, Sealed};

/// Why a text is refused.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) allowed: &'static str,
    pub(super) hint: Option<String>,
}

type Checked<T> = Result<T, Refusal>;

fn refuse<T>(allowed: &'static str, hint: Option<String>) -> Checked<T> {
    Err(Refusal { allowed, hint })
}

/// Where a listener binds.
pub(super) fn bind(text: &str) -> Checked<SocketAddr> {
    let allowed = "an IP address and a port, such as `\"[::]:443\"` or `127.0.0.1:8080`";
    text.parse()
        .or_else(|_| refuse(allowed, address_hint(text, "[::]")))
}

/// Where a target listens.
pub(super) fn target(text: &str) -> Checked<SocketAddr> {
    let allowed = "an IP address and a port, such as `10.0.1.11:8080` or `\"[2001:db8::1]:8080\"`";
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        Ok(_) => refuse(allowed, Some("a target has a port other than 0".to_owned())),
        Err(_) => refuse(allowed, address_hint(text, "127.0.0.1")),
    }
}

/// What is probably the matter with an address.
fn address_hint(text: &str, any: &str) -> Option<String> {
    let port = |text: &str| text.parse::<u16>().is_ok();
    let text = text.trim();
    if let Some((_, rest)) = text.split_once("://") {
        return Some(format!("write no scheme: `{}`", rest.trim_end_matches('/')));
    }
    if let Some((address, number)) = text.rsplit_once(':')
        && port(number)
        && address.parse::<Ipv6Addr>().is_ok()
    {
        return Some(format!(
            "an IPv6 address stands in brackets: `\"[{address}]:{number}\"`"
        ));
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(format!("add a port: `{}`", SocketAddr::new(address, 8080)));
    }
    match text.rsplit_once(':') {
        None if port(text) => Some(format!("add an address: `\"{any}:{text}\"`")),
        Some(("" | "*", number)) if port(number) => {
            Some(format!("add an address: `\"{any}:{number}\"`"))
        }
        Some(("localhost", number)) if port(number) => Some(format!("write `127.0.0.1:{number}`")),
        Some((host, number)) if port(number) && !host.is_empty() => {
            Some("host names are not looked up: write the IP address".to_owned())
        }
        _ => None,
    }
}

/// A network, or an address as a network of one.
pub(super) fn network(text: &str) -> Checked<IpNet> {
    let allowed = "a network such as `10.0.0.0/8`, or an IP address";
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .or_else(|_| refuse(allowed, None))
}

/// The name of a listener, target group or trust store: it stands in logs, metrics and paths.
pub(super) fn name(text: &str) -> Checked<String> {
    let allowed = "1 to 64 of the characters a-z, A-Z, 0-9, `-`, `_` and `.`";
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    refuse(allowed, None)
}

/// A name of a rule.
pub(super) fn title(text: &str) -> Checked<String> {
    if (1..=100).contains(&text.len()) && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    refuse("1 to 100 characters on one line", None)
}

/// A region, as it stands in ARNs.
pub(super) fn region(text: &str) -> Checked<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    refuse("1 to 64 of the characters a-z, 0-9 and `-`", None)
}

/// A path of the file system, or a reference to a key.
pub(super) fn filled(text: &str) -> Checked<String> {
    if !text.is_empty() && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    refuse("text without control characters", None)
}

/// The name of a systemd credential, which is a file name.
pub(super) fn credential(text: &str) -> Checked<String> {
    let is_name = !text.is_empty() && text != "." && text != "..";
    if is_name && !text.contains(|letter: char| letter == '/' || letter.is_control()) {
        return Ok(text.to_owned());
    }
    refuse("the name of a credential, without `/`", None)
}

/// Which entries of the sealed store.
pub(super) fn selector(text: &str) -> Checked<CertificateSelector> {
    let name = entry_name(text)?;
    let stars = name.matches('*').count();
    Ok(match stars {
        0 => CertificateSelector::Name(name),
        1 if name == "*" => CertificateSelector::All,
        1 if name.starts_with("*.") => CertificateSelector::Name(name),
        _ => CertificateSelector::Glob(name),
    })
}

/// The name of an entry of the sealed store.
pub(super) fn entry_name(text: &str) -> Checked<String> {
    if (1..=253).contains(&text.len())
        && !text.contains(|c: char| c.is_control() || c.is_whitespace())
    {
        return Ok(text.to_lowercase());
    }
    refuse(
        "the name of an entry of the sealed store: 1 to 253 bytes without spaces",
        None,
    )
}

/// A pattern of hosts.
pub(super) fn host_pattern(text: &str) -> Checked<HostPattern> {
    let allowed = "a host such as `shop.example.com`, or `*.example.com` for all below";
    if text == "*" {
        return refuse(
            allowed,
            Some("leave `host` out to match every host".to_owned()),
        );
    }
    match text.strip_prefix("*.") {
        Some(domain) => host_of(domain, allowed).map(HostPattern::Subdomains),
        None => host_of(text, allowed).map(HostPattern::Exact),
    }
}

/// A host without port.
pub(super) fn host(text: &str) -> Checked<String> {
    host_of(text, "a host without port, such as `shop.example.com`")
}

/// A host in lower case. IPv6 addresses stand in brackets, as in URLs.
fn host_of(text: &str, allowed: &'static str) -> Checked<String> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bracketed.and_then(|inner| inner.parse::<Ipv6Addr>().ok()) {
        return Ok(format!("[{address}]"));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if text.len() <= 253 && text.split('.').all(label) {
        return Ok(text.to_ascii_lowercase());
    }
    refuse(allowed, host_hint(text))
}

/// What is probably the matter with a host.
fn host_hint(text: &str) -> Option<String> {
    let hint = if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or_default();
        format!("write the host only: `{host}`")
    } else if let Some(host) = text.strip_suffix('.') {
        format!("write no dot at the end: `{host}`")
    } else if text.contains('/') {
        "a host has no path: that stands in `path`".to_owned()
    } else if text.parse::<Ipv6Addr>().is_ok() {
        format!("an IPv6 address stands in brackets: `\"[{text}]\"`")
    } else if text.contains(':') {
        "write the host without port: ports are chosen by `listener`".to_owned()
    } else if !text.is_ascii() {
        "write names with other letters in their `xn--` form".to_owned()
    } else if text.contains('*') {
        "a `*` stands for whole labels, at the start only: `*.example.com`".to_owned()
    } else {
        return None;
    };
    Some(hint)
}

/// The name that is asked for at a target: a host or an IP address.
pub(super) fn server_name(text: &str) -> Checked<String> {
    match text.parse::<IpAddr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => host_of(text, "a host name such as `api.internal`, or an IP address"),
    }
}

/// A pattern of paths.
pub(super) fn path_pattern(text: &str) -> Checked<PathPattern> {
    let allowed = "a path such as `/login`, or `/v2/*` for all below";
    if let Some(hint) = path_hint(text) {
        return refuse(allowed, Some(hint));
    }
    Ok(match text.strip_suffix('*') {
        Some(prefix) => PathPattern::Prefix(prefix.to_owned()),
        None => PathPattern::Exact(text.to_owned()),
    })
}

/// Why no normalised path can match a pattern.
fn path_hint(text: &str) -> Option<String> {
    let pattern = text.strip_suffix('*').unwrap_or(text);
    let hint = if !text.starts_with('/') {
        format!(
            "a path begins with `/`: `/{}`",
            text.trim_start_matches('*')
        )
    } else if pattern.contains('*') {
        "a `*` stands at the end only".to_owned()
    } else if text.contains('?') {
        "a path has no query: rules match the path alone".to_owned()
    } else if pattern.split('/').any(is_dots) {
        "`.` and `..` are resolved before rules are matched".to_owned()
    } else if pattern.split('/').filter_map(before_semicolon).any(is_dots) {
        "`.` and `..` before a `;` are refused before rules are matched".to_owned()
    } else if let Some(byte) = pattern.bytes().find(|byte| !is_path_byte(*byte)) {
        format!(
            "`{}` is written `%{byte:02X}` in a path",
            byte.escape_ascii()
        )
    } else {
        return encoding_hint(pattern);
    };
    Some(hint)
}

fn is_dots(segment: &str) -> bool {
    segment == "." || segment == ".."
}

fn before_semicolon(segment: &str) -> Option<&str> {
    segment.split(';').next()
}

/// Whether a byte may stand in a path (RFC 3986, section 3.3).
fn is_path_byte(byte: u8) -> bool {
    is_pchar(byte) || matches!(byte, b'/' | b'%')
}

/// Whether a byte may stand in a segment of a path, where it is no encoding.
fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// What is wrong with the percent-encodings of a pattern. Before rules are matched, characters that may
/// stand as they are get decoded and other encodings written in upper case, but for those of `/`, `\` and NUL.
fn encoding_hint(pattern: &str) -> Option<String> {
    pattern.split('%').skip(1).find_map(|rest| {
        let digits = rest
            .get(..2)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some((digits, byte)) =
            digits.and_then(|digits| Some((digits, u8::from_str_radix(digits, 16).ok()?)))
        else {
            return Some("a `%` stands before two hexadecimal digits".to_owned());
        };
        let upper = digits.to_ascii_uppercase();
        if is_pchar(byte) {
            let plain = char::from(byte);
            return Some(format!(
                "`%{digits}` is decoded before rules are matched: write `{plain}`"
            ));
        }
        (upper != digits && !b"/\\\0".contains(&byte))
            .then(|| format!("encodings are matched in upper case: write `%{upper}`"))
    })
}

/// A path to send a client to, or to ask a target for.
pub(super) fn origin_path(text: &str) -> Checked<String> {
    let visible = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if text.starts_with('/') && visible {
        return Ok(text.to_owned());
    }
    let hint = (!text.starts_with('/')).then(|| format!("write `/{text}`"));
    refuse("a path that begins with `/`, without spaces", hint)
}

/// The path of a redirect.
pub(super) fn redirect_path(text: &str) -> Checked<String> {
    if text.contains('?') {
        return refuse(
            "a path without query",
            Some("the query stands in `query`".to_owned()),
        );
    }
    if text.starts_with("//") {
        return refuse(
            "a path",
            Some("a browser takes `//` for a host: that stands in `host`".to_owned()),
        );
    }
    origin_path(text)
}

/// The query of a redirect.
pub(super) fn query(text: &str) -> Checked<String> {
    if text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
        && !text.starts_with('?')
    {
        return Ok(text.to_owned());
    }
    refuse("a query without `?` and spaces, such as `a=1&b=2`", None)
}

/// A method. They are case-sensitive (RFC 9110, section 9.1).
pub(super) fn method(text: &str) -> Checked<String> {
    let allowed = "a method such as `GET`";
    if !is_token(text) {
        return refuse(allowed, None);
    }
    let upper = text.to_ascii_uppercase();
    if upper != text && METHODS.contains(&upper.as_str()) {
        return refuse(
            allowed,
            Some(format!("methods are case-sensitive: write `{upper}`")),
        );
    }
    Ok(text.to_owned())
}

/// The name of a header field.
pub(super) fn header_name(text: &str) -> Checked<String> {
    if !is_token(text) {
        let hint = text
            .contains(':')
            .then(|| "write the name alone, without `:`".to_owned());
        return refuse("a field name: letters, digits and `-`", hint);
    }
    let name = text.to_ascii_lowercase();
    if FRAMING.contains(&name.as_str()) {
        let hint =
            "the balancer sets it itself: it says where a message ends, or concerns one connection";
        return refuse(
            "a field other than those of framing and connection",
            Some(hint.to_owned()),
        );
    }
    Ok(text.to_owned())
}

/// The value of a header field (RFC 9110, section 5.5).
pub(super) fn header_value(text: &str) -> Checked<String> {
    let good = |byte: u8| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic();
    if text.bytes().all(good) && text.trim() == text {
        return Ok(text.to_owned());
    }
    refuse("visible ASCII on one line, without spaces around it", None)
}

/// The value of a header field, where none can be sealed.
pub(super) fn header_value_in_clear(text: &str) -> Checked<String> {
    if text.starts_with(Sealed::PREFIX) {
        let hint = "a sealed value belongs to the targets that get it: write it in the `request_headers` of \
                    their target group";
        return refuse("a value in clear", Some(hint.to_owned()));
    }
    header_value(text)
}

/// `kms:BASE64`.
pub(super) fn sealed(text: &str) -> Checked<Vec<u8>> {
    match Sealed::read(text) {
        Some(ciphertext) => Ok(ciphertext),
        None => refuse(
            "`kms:` and base64, as `sealgate kms encrypt --for PATH` prints it",
            None,
        ),
    }
}

/// Whether `text` is a token (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.len() <= 256 && text.bytes().all(token)
}

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// Fields that say where a message ends or that concern one connection only (RFC 9110, section 7.6.1).
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn hint<T: std::fmt::Debug>(checked: Checked<T>) -> String {
        checked.expect_err("refused").hint.unwrap_or_default()
    }

    #[test]
    fn addresses_come_with_advice() {
        assert_eq!(hint(bind("443")), "add an address: `\"[::]:443\"`");
        assert_eq!(hint(bind(":443")), "add an address: `\"[::]:443\"`");
        assert_eq!(hint(bind("*:443")), "add an address: `\"[::]:443\"`");
        assert_eq!(
            hint(bind("::1:443")),
            "an IPv6 address stands in brackets: `\"[::1]:443\"`"
        );
        assert_eq!(hint(target("10.0.0.1")), "add a port: `10.0.0.1:8080`");
        assert_eq!(
            hint(target("web:80")),
            "host names are not looked up: write the IP address"
        );
        assert_eq!(
            hint(target("http://10.0.0.1:80/")),
            "write no scheme: `10.0.0.1:80`"
        );
        assert!(target("10.0.0.1:0").is_err());
        assert!(bind("10.0.0.1:0").is_ok());
    }

    #[test]
    fn selectors_tell_wildcard_entries_from_globs() {
        for (text, selector_of_it) in [
            ("*", CertificateSelector::All),
            (
                "*.Example.com",
                CertificateSelector::Name("*.example.com".to_owned()),
            ),
            (
                "*.example.*",
                CertificateSelector::Glob("*.example.*".to_owned()),
            ),
            ("shop-*", CertificateSelector::Glob("shop-*".to_owned())),
            ("shop", CertificateSelector::Name("shop".to_owned())),
        ] {
            assert_eq!(selector(text), Ok(selector_of_it));
        }
        assert!(selector("").is_err() && selector("a b").is_err());
    }

    #[test]
    fn patterns_that_cannot_match_are_refused() {
        for path in [
            "v2",
            "/a/*/b",
            "/a?b",
            "/a/../b",
            "/a b",
            "/ü",
            "/%41",
            "/%4",
            "/%zz",
            "/%c3",
            "/#a",
            "/%40int/*",
            "/..;/x",
            "/.;a",
        ] {
            assert!(path_pattern(path).is_err(), "{path}");
        }
        for path in [
            "/", "/*", "/v2/*", "/v2*", "/a%2Fb", "/a%2fb", "/%C3%BC", "/a:b@c",
        ] {
            assert!(path_pattern(path).is_ok(), "{path}");
        }
        for host in [
            "", "*", "a.*.b", "*x.b", "a..b", "a.b.", "a:80", "http://a", "ü.de", "a/b",
        ] {
            assert!(host_pattern(host).is_err(), "{host}");
        }
        assert_eq!(
            host_pattern("[::1]"),
            Ok(HostPattern::Exact("[::1]".to_owned()))
        );
    }

    #[test]
    fn header_fields_cannot_break_messages() {
        for name in [
            "",
            "a b",
            "a:",
            "Content-Length",
            "transfer-encoding",
            "é",
            "a\r\n",
        ] {
            assert!(header_name(name).is_err(), "{name:?}");
        }
        for value in ["a\r\nb: c", " a", "a ", "\0", "é"] {
            assert!(header_value(value).is_err(), "{value:?}");
        }
        assert!(
            header_name("X-Request-Start").is_ok() && header_value("max-age=31536000; a").is_ok()
        );
    }
}
