//! Listeners: where clients connect, and how.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Action;

/// Where clients connect.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Unique among the listeners.
    pub name: String,
    /// Address and port; port 0 lets the kernel choose.
    pub bind: SocketAddr,
    /// What is offered by ALPN (RFC 7301), in the order of preference; never empty. A plain listener
    /// speaks HTTP/2 only to clients that begin with its preface.
    pub protocols: Vec<HttpVersion>,
    /// How TLS is ended; a plain listener has none.
    pub tls: Option<ListenerTls>,
    /// Whether each connection begins with a PROXY header (version 1 or 2), which is demanded from
    /// `trusted_proxies` and refused from others.
    pub proxy_protocol: bool,
    /// What is done with a request that no rule matches; none: 404.
    pub action: Option<Action>,
    /// What a client may take up.
    pub limits: ListenerLimits,
    /// Whether `%2F`, `%5C` and `%00` may stand in a path; they are passed on as they came.
    pub allow_encoded_slash: bool,
    /// Whether several slashes in a row are one, for rules and targets.
    pub merge_slashes: bool,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// `http/1.1` (RFC 9112).
    Http1,
    /// `h2` (RFC 9113).
    Http2,
}

/// How a listener ends TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// Versions, suites and groups.
    pub policy: SecurityPolicy,
    /// Which entries of the sealed store may be shown; one that matches any is.
    pub certificates: Vec<CertificateSelector>,
    /// What a client gets that asks for no name or an unknown one.
    pub on_unknown_sni: UnknownSni,
}

/// A named set of TLS versions, suites and groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecurityPolicy {
    /// TLS 1.3 and TLS 1.2 with AEAD suites, AES-128-GCM first; X25519MLKEM768, X25519, P-256, P-384.
    Modern,
    /// As `Modern`, and what older clients of TLS 1.2 need.
    Compatible,
}

/// Which entries of the sealed store: by name, or by a pattern in which `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CertificateSelector {
    /// Every entry: `*` alone.
    All,
    /// The entry of exactly this name. `*.example.com` is the wildcard entry of that name: a leading
    /// `*.` is no glob.
    Name(String),
    /// Entries whose name matches the glob.
    Glob(String),
}

impl CertificateSelector {
    /// Whether the entry `name` (lower case) is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Name(own) => own == name,
            Self::Glob(glob) => glob_matches(glob.as_bytes(), name.as_bytes()),
        }
    }
}

/// What a client gets that asks for no name or an unknown one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnknownSni {
    /// A refusal by alert.
    Reject,
    /// The entry of this name.
    DefaultCertificate(String),
}

/// What a client may take up. Times count without activity unless they say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerLimits {
    /// From accepting a connection to the end of the TLS handshake, PROXY header included.
    pub handshake_timeout: Duration,
    /// From a request's first byte to the end of its head.
    pub header_timeout: Duration,
    /// Between requests on a connection.
    pub idle_timeout: Duration,
    /// Between two pieces of a request's or response's body.
    pub body_idle_timeout: Duration,
    /// Bytes of a request's head.
    pub max_header_bytes: usize,
    /// Fields of a request's head.
    pub max_headers: usize,
    /// Concurrent streams of an HTTP/2 connection.
    pub max_streams: u32,
    /// Bytes of a request's body; none: any number.
    pub max_body_bytes: Option<u64>,
}

/// Whether `text` matches `glob`, in which `*` stands for any number of any bytes.
fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if glob.get(g) == Some(&b'*') {
            retry = Some((g, t));
            g += 1;
        } else if glob.get(g) == Some(&text[t]) {
            (g, t) = (g + 1, t + 1);
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            (g, t) = (star + 1, from + 1);
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        for (glob, name, matches) in [
            ("shop-*", "shop-1.example.com", true),
            ("shop-*", "ashop-1", false),
            ("*.example.*", "a.b.example.com", true),
            ("a*b*c", "abbbc", true),
            ("a*b*c", "abbb", false),
            ("**", "", true),
        ] {
            let selector = CertificateSelector::Glob(glob.to_owned());
            assert_eq!(selector.matches(name), matches, "{glob} {name}");
        }
    }
}
