//! For which host a request is: one authority, in one form (RFC 9110, section 7.2).

use std::fmt;
use std::net::Ipv6Addr;

use http::header::HOST;
use http::{HeaderMap, Uri};

/// Host and port as they are matched and forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    host: Box<str>,
    port: Option<u16>,
}

/// Why a request has no authority that can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// There is none.
    #[error("no host is named")]
    Missing,
    /// There are two, and they differ.
    #[error("two hosts are named that differ")]
    Differing,
    /// User name or password.
    #[error("the host is preceded by user information")]
    UserInfo,
    /// It cannot be a host.
    #[error("the host is malformed")]
    Host,
    /// It cannot be a port.
    #[error("the port is malformed")]
    Port,
}

impl Authority {
    /// The authority of a request: that of its target (`:authority` or an absolute form), else its one
    /// `Host`. `default_port` is the scheme's, so that `example.com` and `example.com:443` are the same.
    ///
    /// # Errors
    /// When there is none, when two differ, or when one is malformed.
    pub fn of(uri: &Uri, headers: &HeaderMap, default_port: u16) -> Result<Self, AuthorityError> {
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next().map(|host| Self::parse(host.as_bytes()));
        if hosts.next().is_some() {
            return Err(AuthorityError::Differing);
        }
        let Some(target) = uri.authority() else {
            return host.unwrap_or(Err(AuthorityError::Missing));
        };
        let target = Self::parse(target.as_str().as_bytes())?;
        match host.transpose()? {
            Some(host) if !target.is_same(&host, default_port) => Err(AuthorityError::Differing),
            _ => Ok(target),
        }
    }

    /// `text` in lower case, without a trailing dot, its port apart.
    ///
    /// # Errors
    /// When it is no host with or without a port.
    pub fn parse(text: &[u8]) -> Result<Self, AuthorityError> {
        if text.is_empty() {
            return Err(AuthorityError::Missing);
        }
        if text.contains(&b'@') {
            return Err(AuthorityError::UserInfo);
        }
        let text = std::str::from_utf8(text).map_err(|_| AuthorityError::Host)?;
        let (host, rest) = match text.strip_prefix('[') {
            Some(literal) => split_literal(literal)?,
            None => split_name(text)?,
        };
        let port = match rest.strip_prefix(':') {
            Some("") => None,
            Some(digits) => Some(parse_port(digits)?),
            None if rest.is_empty() => None,
            None => return Err(AuthorityError::Host),
        };
        Ok(Self { host, port })
    }

    /// The host: a name or an address in lower case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host as it stands in certificates: an IPv6 address without brackets.
    pub fn certificate_name(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, if one is named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    fn is_same(&self, other: &Self, default_port: u16) -> bool {
        let port = |authority: &Self| authority.port.unwrap_or(default_port);
        self.host == other.host && port(self) == port(other)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// An IPv6 literal behind its `[` in its canonical form (RFC 5952), and what follows the `]`.
fn split_literal(literal: &str) -> Result<(Box<str>, &str), AuthorityError> {
    let (address, rest) = literal.split_once(']').ok_or(AuthorityError::Host)?;
    let address: Ipv6Addr = address.parse().map_err(|_| AuthorityError::Host)?;
    Ok((format!("[{address}]").into(), rest))
}

fn split_name(text: &str) -> Result<(Box<str>, &str), AuthorityError> {
    let end = text.find(':').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let name = name.strip_suffix('.').unwrap_or(name);
    let labels = name.split('.');
    if name.len() > LONGEST_NAME || !labels.into_iter().all(is_label) {
        return Err(AuthorityError::Host);
    }
    let mut name: Box<str> = name.into();
    name.make_ascii_lowercase();
    Ok((name, rest))
}

/// What DNS and people use: letters, digits, `-` and `_`.
fn is_label(label: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !label.is_empty() && label.bytes().all(known)
}

fn parse_port(digits: &str) -> Result<u16, AuthorityError> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().map_err(|_| AuthorityError::Port)
    } else {
        Err(AuthorityError::Port)
    }
}

/// RFC 1035, section 2.3.4, as text.
const LONGEST_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<String, AuthorityError> {
        Authority::parse(text.as_bytes()).map(|authority| authority.to_string())
    }

    fn of(uri: &str, hosts: &[&str]) -> Result<String, AuthorityError> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_str(host).unwrap());
        }
        let uri: Uri = uri.parse().unwrap();
        Authority::of(&uri, &headers, 443).map(|authority| authority.to_string())
    }

    #[test]
    fn hosts_take_one_form() {
        for (text, form) in [
            ("Shop.Example.COM", "shop.example.com"),
            ("shop.example.com.", "shop.example.com"),
            ("shop.example.com.:8443", "shop.example.com:8443"),
            ("shop.example.com:", "shop.example.com"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[2001:DB8:0::1]:443", "[2001:db8::1]:443"),
            ("a_b.example", "a_b.example"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(form), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        use AuthorityError::{Host, Missing, Port, UserInfo};
        for (text, why) in [
            ("", Missing),
            ("user@example.com", UserInfo),
            ("user:secret@example.com:80", UserInfo),
            (".", Host),
            ("a..b", Host),
            ("..", Host),
            ("a b", Host),
            ("a/b", Host),
            ("a%2eb", Host),
            ("exämple.com", Host),
            ("[::1", Host),
            ("[::1]x", Host),
            ("[fe80::1%25eth0]", Host),
            ("[v1.x]", Host),
            ("::1", Host),
            ("example.com:http", Port),
            ("example.com:+80", Port),
            ("example.com:65536", Port),
            ("example.com:80:80", Port),
        ] {
            assert_eq!(parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn the_target_wins_and_a_differing_host_is_refused() {
        assert_eq!(of("/", &["a.example"]).as_deref(), Ok("a.example"));
        assert_eq!(of("https://a.example/", &[]).as_deref(), Ok("a.example"));
        let same = of("https://A.example/", &["a.example.:443"]);
        assert_eq!(same.as_deref(), Ok("a.example"));
        for (uri, hosts) in [
            ("https://a.example/", &["b.example"][..]),
            ("https://a.example/", &["a.example:80"]),
            ("/", &["a.example", "b.example"]),
            ("/", &["a.example", "a.example"]),
        ] {
            assert_eq!(of(uri, hosts), Err(AuthorityError::Differing), "{uri}");
        }
        assert_eq!(of("/", &[]), Err(AuthorityError::Missing));
        assert_eq!(of("/", &[""]), Err(AuthorityError::Missing));
    }

    proptest! {
        #[test]
        fn parsing_is_idempotent(text in "[A-Za-z0-9.:_@\\[\\]%-]{0,40}") {
            if let Ok(form) = parse(&text) {
                prop_assert_eq!(parse(&form), Ok(form));
            }
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(bytes: Vec<u8>) {
            if let Ok(authority) = Authority::parse(&bytes) {
                prop_assert!(!authority.host().is_empty());
            }
        }
    }
}
