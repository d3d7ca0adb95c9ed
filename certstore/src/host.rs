//! The names that a certificate can be for: DNS names and addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A DNS name in lower case as RFC 6125 has it in certificates: labels of letters, digits and inner
/// hyphens (IDNA A-labels among them), and perhaps one whole leftmost `*`.
///
/// # Errors
/// What is wrong, for a sentence that names it.
pub(crate) fn dns_name(text: &str) -> Result<String, &'static str> {
    let name = text.to_ascii_lowercase();
    let labels = name.strip_prefix("*.").unwrap_or(&name);
    if text.contains('\0') {
        return Err("it has a NUL byte, by which programs mistake it for another name");
    }
    if name.len() > 253 {
        return Err("it is longer than 253 bytes");
    }
    if !labels.split('.').all(is_label) {
        return Err(
            "a DNS name has labels of 1 to 63 letters, digits and inner hyphens (other scripts as \
             `xn--…`), and at most one `*`, which is the whole first label",
        );
    }
    if labels.parse::<Ipv4Addr>().is_ok() {
        return Err("it is an address, and must stand as one (IP:…, not DNS:…)");
    }
    Ok(name)
}

/// An address from its 4 or 16 bytes (RFC 5280 section 4.2.1.6), in its canonical text form.
pub(crate) fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    let v6 = <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)));
    v4.or(v6).ok().map(|address| address.to_string())
}

/// Whether one of `names`, which are a certificate's, is `host` or a wildcard for it.
pub(crate) fn covers(names: &[String], host: &str) -> bool {
    let above = host.split_once('.').map(|(_, domain)| domain);
    names.iter().any(|name| match name.strip_prefix("*.") {
        _ if name == host => true,
        Some(domain) => above == Some(domain),
        None => false,
    })
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_taken() {
        for (text, name) in [
            ("Shop.Example.COM", "shop.example.com"),
            ("*.example.com", "*.example.com"),
            ("localhost", "localhost"),
            ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
            ("1.example", "1.example"),
        ] {
            assert_eq!(dns_name(text).as_deref(), Ok(name));
        }
    }

    #[test]
    fn names_that_are_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "a.",
            "*",
            "*.",
            "f*.example.com",
            "a.*.example.com",
            "*.*.a",
            "-a.b",
            "a-.b",
            "a_b.c",
            "a b.c",
            "shop.example.com\0.evil.example",
            "münchen.de",
            "127.0.0.1",
            "*.127.0.0.1",
        ] {
            assert!(dns_name(text).is_err(), "{text:?}");
        }
        assert!(dns_name(&"a.".repeat(130)).is_err());
        assert!(dns_name(&"a".repeat(64)).is_err());
    }

    #[test]
    fn addresses_have_one_form() {
        assert_eq!(address(&[127, 0, 0, 1]).as_deref(), Some("127.0.0.1"));
        let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(address(&v6).as_deref(), Some("2001:db8::1"));
        assert_eq!(address(&[1, 2, 3]), None);
    }
}
