//! What is done with a request, made ready at load: groups and their weights, redirects, fixed answers.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Uri};

use crate::authority::Authority;
use crate::headers::Edits;

/// What is done with a request.
#[derive(Debug, Clone)]
pub enum Action {
    /// It goes to a target of one of these groups.
    Forward(Forward),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// It is answered here.
    Respond(FixedResponse),
}

impl Action {
    /// The action of the configuration.
    pub fn new(action: &config::Action) -> Self {
        match action {
            config::Action::Forward(forward) => Self::Forward(Forward::new(forward)),
            config::Action::Redirect(redirect) => Self::Redirect(Redirect(redirect.clone())),
            config::Action::Respond(response) => Self::Respond(FixedResponse::new(response)),
        }
    }
}

/// To which target groups, and how.
#[derive(Debug, Clone)]
pub struct Forward {
    groups: Vec<(usize, u32)>,
    total: u64,
    /// What is changed in the request.
    pub request_headers: Edits,
    /// What is changed in the response.
    pub response_headers: Edits,
}

impl Forward {
    fn new(forward: &config::Forward) -> Self {
        Self {
            total: forward
                .groups
                .iter()
                .map(|(_, weight)| u64::from(*weight))
                .sum(),
            groups: forward.groups.clone(),
            request_headers: Edits::new(&forward.request_headers),
            response_headers: Edits::new(&forward.response_headers),
        }
    }

    /// Index and weight of each group.
    pub fn groups(&self) -> &[(usize, u32)] {
        &self.groups
    }

    /// The group for a `random` number, by weight; none if there are no groups or no weights.
    pub fn choose(&self, random: u64) -> Option<usize> {
        if let [(only, _)] = self.groups[..] {
            return Some(only);
        }
        let mut left = random.checked_rem(self.total)?;
        for (group, weight) in &self.groups {
            match left.checked_sub(u64::from(*weight)) {
                Some(more) => left = more,
                None => return Some(*group),
            }
        }
        None
    }
}

/// Where a client is sent.
#[derive(Debug, Clone)]
pub struct Redirect(config::Redirect);

/// What of a request a redirect keeps.
#[derive(Debug, Clone, Copy)]
pub struct Requested<'a> {
    /// Whether it came over TLS.
    pub tls: bool,
    /// For which host.
    pub authority: &'a Authority,
    /// The path in the form that was matched.
    pub path: &'a str,
    /// The query without `?`.
    pub query: Option<&'a str>,
}

impl Redirect {
    /// 301, 302, 303, 307 or 308.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::FOUND)
    }

    /// The `Location` for a request: what the redirect names, else what the request has. A port is left
    /// out where it is the scheme's own.
    pub fn location(&self, requested: Requested<'_>) -> String {
        let own = if requested.tls { "https" } else { "http" };
        let scheme = self.0.scheme.as_deref().unwrap_or(own);
        let host = self.0.host.as_deref().unwrap_or(requested.authority.host());
        let kept = requested.authority.port().filter(|_| scheme == own);
        let port = self
            .0
            .port
            .or(kept)
            .filter(|port| *port != default_port(scheme));
        let path = self.0.path.as_deref().unwrap_or(requested.path);
        let query = self.0.query.as_deref().or(requested.query);
        let mut location = format!("{scheme}://{host}");
        if let Some(port) = port {
            write!(location, ":{port}").expect("a string takes what is written to it");
        }
        location.push_str(path);
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            location.push('?');
            location.push_str(query);
        }
        location
    }
}

/// The port that `scheme` means where none is named.
pub fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// An answer from here.
#[derive(Debug, Clone)]
pub struct FixedResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its media type.
    pub content_type: HeaderValue,
    /// Its body.
    pub body: Bytes,
}

impl FixedResponse {
    fn new(response: &config::FixedResponse) -> Self {
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        Self {
            status: StatusCode::from_u16(response.status).unwrap_or(StatusCode::OK),
            content_type: HeaderValue::from_str(&response.content_type).unwrap_or(plain),
            body: Bytes::from(response.body.clone()),
        }
    }
}

/// The target of a request to an origin: `path` and the query of `uri` (RFC 9112, section 3.2.1), or the
/// same `uri` without scheme and authority where nothing changes.
pub fn origin_form(uri: &Uri, path: &str) -> Option<Uri> {
    let before = uri.path_and_query()?;
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = if before.path() == path {
        Some(before.clone())
    } else {
        let query = before.query().map(|query| format!("?{query}"));
        format!("{path}{}", query.unwrap_or_default())
            .try_into()
            .ok()
    };
    parts.path_and_query.as_ref()?;
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(change: impl FnOnce(&mut config::Redirect)) -> Redirect {
        let mut redirect = config::Redirect {
            scheme: None,
            host: None,
            port: None,
            path: None,
            query: None,
            status: 301,
        };
        change(&mut redirect);
        Redirect(redirect)
    }

    fn location(redirect: &Redirect, authority: &str) -> String {
        redirect.location(Requested {
            tls: false,
            authority: &Authority::parse(authority.as_bytes()).unwrap(),
            path: "/cart",
            query: Some("x=1"),
        })
    }

    #[test]
    fn a_redirect_keeps_what_it_does_not_name() {
        let https = redirect(|r| r.scheme = Some("https".into()));
        for (authority, expected) in [
            ("shop.example", "https://shop.example/cart?x=1"),
            ("shop.example:8080", "https://shop.example/cart?x=1"),
            ("[::1]:8080", "https://[::1]/cart?x=1"),
        ] {
            assert_eq!(location(&https, authority), expected);
        }
        let moved = redirect(|r| r.host = Some("new.example".into()));
        assert_eq!(
            location(&moved, "old.example:8080"),
            "http://new.example:8080/cart?x=1"
        );
        let port = redirect(|r| (r.scheme, r.port) = (Some("https".into()), Some(8443)));
        assert_eq!(
            location(&port, "shop.example"),
            "https://shop.example:8443/cart?x=1"
        );
        let own = redirect(|r| (r.scheme, r.port) = (Some("https".into()), Some(443)));
        assert_eq!(
            location(&own, "shop.example"),
            "https://shop.example/cart?x=1"
        );
        let path = redirect(|r| (r.path, r.query) = (Some("/new".into()), Some(String::new())));
        assert_eq!(location(&path, "shop.example"), "http://shop.example/new");
    }

    #[test]
    fn groups_are_chosen_by_weight() {
        let forward = Forward::new(&config::Forward {
            groups: vec![(4, 95), (7, 5), (8, 0)],
            ..config::Forward::default()
        });
        let count = |group| {
            (0..100)
                .filter(|n| forward.choose(*n) == Some(group))
                .count()
        };
        assert_eq!([count(4), count(7), count(8)], [95, 5, 0]);
        let none = Forward::new(&config::Forward::default());
        assert_eq!(none.choose(3), None);
    }

    #[test]
    fn the_origin_form_has_the_matched_path_and_the_query_untouched() {
        for (uri, path, expected) in [
            ("https://a.example/x?y=%41", "/x", "/x?y=%41"),
            ("/a/../x?y", "/x", "/x?y"),
            ("/x", "/x", "/x"),
            ("/x?", "/x", "/x?"),
        ] {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(origin_form(&uri, path).unwrap().to_string(), expected);
        }
    }
}
