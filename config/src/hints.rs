//! What somebody probably meant.

use serde::de::Unexpected;

/// The words, for a sentence: `` `a`, `b` or `c` ``.
pub(crate) fn list(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [word] => format!("`{word}`"),
        [first @ .., last] => format!("`{}` or `{last}`", first.join("`, `")),
    }
}

/// The key that somebody meant who wrote `word`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meant {
    /// One of the keys that may stand there.
    pub(crate) key: &'static str,
    /// The key inside of that one which takes the value; none: the key itself takes it.
    inner: Option<&'static str>,
}

impl Meant {
    /// The key that takes the value which is given.
    pub(crate) fn direct(self) -> Option<&'static str> {
        self.inner.is_none().then_some(self.key)
    }

    /// The same as a question.
    pub(crate) fn hint(self) -> String {
        match self.inner {
            None => format!("did you mean `{}`?", self.key),
            Some(inner) => format!("did you mean `{}: {{ {inner}: … }}`?", self.key),
        }
    }
}

/// What somebody meant who wrote `word` where one of `allowed` should stand.
pub(crate) fn meant(word: &str, allowed: &[&'static str]) -> Option<Meant> {
    let plain = word.to_ascii_lowercase().replace(['-', ' '], "_");
    let near = || nearest(&plain, allowed.iter().copied()).map(|key| Meant { key, inner: None });
    from_peers(&plain, allowed).or_else(near)
}

/// What to do about a key that is none of `allowed`.
pub(crate) fn for_key(word: &str, allowed: &[&'static str]) -> Option<String> {
    if word == "<<" {
        return Some(
            "merge keys are not supported: what is shared stands in `defaults`".to_owned(),
        );
    }
    meant(word, allowed).map(Meant::hint)
}

/// The one of `candidates` that differs from `word` by a slip of the pen.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let most = match word.chars().count() {
        0..=2 => return None,
        3..=5 => 1,
        6..=8 => 2,
        _ => 3,
    };
    candidates
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= most)
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What somebody meant who wrote this where `allowed` should stand.
pub(crate) fn for_value(found: &Unexpected<'_>, allowed: &str) -> Option<String> {
    let hint = match found {
        Unexpected::Unsigned(number) if allowed.contains("duration") => {
            format!(
                "a bare number has no unit: write `{number}s` for seconds, `{number}ms` for milliseconds"
            )
        }
        Unexpected::Unsigned(number) if allowed.contains("size") => {
            format!("a bare number has no unit: write `{number}B`, `{number}KiB` or `{number}MiB`")
        }
        Unexpected::Unsigned(port @ 1..=65_535) if allowed.contains("a port") => {
            format!("add an address: `\"[::]:{port}\"`")
        }
        Unexpected::Str(_) if allowed.contains("duration") => {
            "a whole number and one of `ms`, `s`, `m`, `h`, `d`, without a space".to_owned()
        }
        Unexpected::Str(_) if allowed.contains("size") => {
            "a whole number and one of `B`, `KiB`, `MiB`, `GiB` (powers of 1,024), without a space"
                .to_owned()
        }
        Unexpected::Str(word) if allowed.contains("`true`") => boolean(word)?.to_owned(),
        Unexpected::Str(word) if allowed == "a whole number" && word.parse::<u64>().is_ok() => {
            "write the number without quotes".to_owned()
        }
        Unexpected::Unsigned(_)
        | Unexpected::Signed(_)
        | Unexpected::Float(_)
        | Unexpected::Bool(_)
            if allowed == "text" =>
        {
            "write it in quotes".to_owned()
        }
        _ => return None,
    };
    Some(hint)
}

fn boolean(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "on" | "true" | "enabled" | "required" => Some("write `true`"),
        "no" | "off" | "false" | "disabled" | "none" => Some("write `false`"),
        _ => None,
    }
}

/// What a word of another balancer is called here.
fn from_peers(word: &str, allowed: &[&'static str]) -> Option<Meant> {
    let is_meant = |(words, _): &&(&[&str], &[&str])| words.contains(&word);
    let ours = PEERS
        .iter()
        .filter(is_meant)
        .flat_map(|(_, ours)| ours.iter());
    ours.map(|ours| match ours.split_once('.') {
        Some((key, inner)) if *ours != "http/1.1" => (key, Some(inner)),
        _ => (*ours, None),
    })
    .filter(|(key, _)| *key != word)
    .find_map(|(key, inner)| {
        let key = allowed.iter().find(|allowed| **allowed == key)?;
        Some(Meant { key, inner })
    })
}

/// Words that mean the same elsewhere, in lower case with `_`, and what they are here, the first that
/// may stand there; `a.b` is `b` inside of `a`.
const PEERS: &[(&[&str], &[&str])] = &[
    (
        &[
            "upstream",
            "upstreams",
            "backend",
            "backends",
            "pool",
            "pools",
            "service",
            "services",
            "cluster",
            "clusters",
            "target_group",
            "origins",
            "origin",
        ],
        &["target_groups", "forward", "targets"],
    ),
    (
        &[
            "entrypoints",
            "entry_points",
            "frontend",
            "frontends",
            "server",
            "servers",
            "listener",
            "listen",
            "http",
            "https",
        ],
        &["listeners", "targets", "bind", "listener"],
    ),
    (
        &[
            "routers",
            "router",
            "route",
            "routes",
            "location",
            "locations",
            "rule",
            "ingress",
            "virtual_hosts",
        ],
        &["rules", "forward"],
    ),
    (
        &[
            "servers",
            "server",
            "endpoints",
            "endpoint",
            "nodes",
            "members",
            "hosts",
            "addresses",
            "instances",
        ],
        &["targets"],
    ),
    (
        &[
            "certs",
            "cert",
            "certificate",
            "tls_certificates",
            "ssl_certificate",
        ],
        &["certificates", "tls.certificates"],
    ),
    (&["ssl", "tls_context", "https"], &["tls"]),
    (
        &["listen", "port", "address", "addr", "ip", "socket"],
        &["bind", "address"],
    ),
    (
        &[
            "lb_policy",
            "algorithm",
            "load_balancing",
            "strategy",
            "scheduler",
            "balancer",
            "policy",
        ],
        &["balance"],
    ),
    (
        &[
            "ssl_protocols",
            "min_version",
            "ciphers",
            "tls_policy",
            "security_policy",
            "policy",
        ],
        &["policy", "tls.policy"],
    ),
    (
        &[
            "healthcheck",
            "health",
            "health_checks",
            "check",
            "probe",
            "active_health_check",
        ],
        &["health_check"],
    ),
    (
        &["uri", "path", "url", "endpoint"],
        &["path", "health_check.path", "when.path"],
    ),
    (&["interval"], &["health_check.interval"]),
    (&["every", "period"], &["interval"]),
    (
        &["rise", "healthy_threshold", "success_threshold", "passes"],
        &["healthy"],
    ),
    (
        &["fall", "unhealthy_threshold", "failure_threshold", "fails"],
        &["unhealthy"],
    ),
    (
        &[
            "status",
            "codes",
            "expected_status",
            "matcher",
            "success_codes",
        ],
        &["statuses", "status"],
    ),
    (
        &[
            "match",
            "matches",
            "matchers",
            "condition",
            "conditions",
            "if",
        ],
        &["when"],
    ),
    (
        &[
            "host",
            "hosts",
            "domain",
            "domains",
            "server_name",
            "hostname",
        ],
        &["host", "when.host"],
    ),
    (&["paths", "path_prefix", "prefix"], &["path", "when.path"]),
    (
        &["method", "methods", "verb", "verbs"],
        &["method", "when.method"],
    ),
    (
        &[
            "proxy_pass",
            "reverse_proxy",
            "target",
            "to",
            "use_backend",
            "forward_to",
            "use",
        ],
        &["forward", "action"],
    ),
    (
        &[
            "return",
            "response",
            "static_response",
            "fixed_response",
            "direct_response",
        ],
        &["respond", "action.respond"],
    ),
    (&["redirect"], &["action.redirect"]),
    (&["forward"], &["action.forward"]),
    (&["respond"], &["action.respond"]),
    (&["default_action", "default"], &["action"]),
    (&["default_backend", "default_service"], &["action.forward"]),
    (&["default"], &["defaults"]),
    (
        &["headers", "proxy_set_header", "add_header"],
        &["request_headers"],
    ),
    (&["del", "delete", "unset"], &["remove"]),
    (&["replace"], &["set"]),
    (&["append"], &["add"]),
    (&["alpn", "http2", "http_versions"], &["protocols"]),
    (&["scheme"], &["protocol"]),
    (&["protocol"], &["scheme", "protocols"]),
    (&["code", "status_code"], &["status"]),
    (&["mime_type", "media_type", "type"], &["content_type"]),
    (
        &["sni", "servername", "server_name"],
        &["server_name", "tls.server_name"],
    ),
    (
        &["ca_file", "ca_cert", "root_ca", "trusted_ca", "ca_bundle"],
        &["ca", "tls.ca"],
    ),
    (
        &["insecure_skip_verify", "skip_verify", "ssl_verify"],
        &["verify", "tls.verify"],
    ),
    (
        &["client_cert", "mtls_cert"],
        &["client_certificate", "tls.client_certificate"],
    ),
    (
        &[
            "default_certificate",
            "default_cert",
            "unknown_sni",
            "sni_strict",
        ],
        &["on_unknown_sni", "tls.on_unknown_sni"],
    ),
    (
        &[
            "real_ip_from",
            "set_real_ip_from",
            "trusted_ips",
            "trust_proxy",
        ],
        &["trusted_proxies"],
    ),
    (
        &["accept_proxy", "send_proxy", "proxy"],
        &["proxy_protocol"],
    ),
    (
        &["threads", "worker_processes", "nbthread", "concurrency"],
        &["workers"],
    ),
    (
        &["maxconn", "worker_connections", "max_conns", "connections"],
        &["max_connections", "limits.max_connections"],
    ),
    (
        &[
            "grace",
            "graceful_timeout",
            "shutdown_timeout",
            "drain_timeout",
            "deregistration_delay",
        ],
        &["drain"],
    ),
    (&["log", "logs", "logging", "accesslog"], &["access_log"]),
    (&["stats", "api", "dashboard", "metrics"], &["admin"]),
    (
        &["timeout", "timeouts", "limit"],
        &["limits", "response_timeout", "idle_timeout"],
    ),
    (&["connect_timeout"], &["limits.connect_timeout"]),
    (
        &["response_timeout", "read_timeout", "proxy_read_timeout"],
        &["response_timeout", "limits.response_timeout"],
    ),
    (
        &["idle_timeout", "keepalive_timeout"],
        &["idle_timeout", "limits.idle_timeout"],
    ),
    (&["handshake_timeout"], &["limits.handshake_timeout"]),
    (
        &["header_timeout", "client_header_timeout"],
        &["header_timeout", "limits.header_timeout"],
    ),
    (
        &["body_idle_timeout", "client_body_timeout"],
        &["body_idle_timeout", "limits.body_idle_timeout"],
    ),
    (
        &["max_body_size", "client_max_body_size", "body_limit"],
        &["max_body_size", "limits.max_body_size"],
    ),
    (
        &[
            "max_header_size",
            "max_headers",
            "max_streams",
            "max_idle_connections",
        ],
        &["limits"],
    ),
    (
        &[
            "leastconn",
            "least_conn",
            "least_connections",
            "least_request",
            "least_requests",
        ],
        &["least_outstanding_requests"],
    ),
    (
        &["roundrobin", "rr", "weighted_round_robin", "random"],
        &["round_robin"],
    ),
    (&["strict", "secure", "tls13", "tls1.3"], &["modern"]),
    (
        &["intermediate", "legacy", "old", "tls12", "tls1.2"],
        &["compatible"],
    ),
    (
        &["h1", "http1", "http1.1", "http/1", "http_1.1"],
        &["http/1.1"],
    ),
    (&["http2", "http/2", "h2c"], &["h2"]),
    (&["503", "fail", "reject", "drop"], &["refuse"]),
    (&["any", "allow", "panic"], &["forward"]),
    (&["drop", "refuse", "strict", "abort"], &["reject"]),
    (&["disabled", "disable", "off", "no", "false"], &["none"]),
    (&["enabled", "strict", "required"], &["full"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_peers_are_understood() {
        let top = ["listeners", "rules", "target_groups", "defaults"];
        for (word, meant) in [
            ("upstreams", "target_groups"),
            ("entryPoints", "listeners"),
            ("routers", "rules"),
            ("target-groups", "target_groups"),
            ("listners", "listeners"),
        ] {
            assert_eq!(
                for_key(word, &top),
                Some(format!("did you mean `{meant}`?")),
                "{word}"
            );
        }
        assert_eq!(for_key("xyz", &top), None);
        assert_eq!(
            for_key("interval", &["targets", "health_check"]),
            Some("did you mean `health_check: { interval: … }`?".to_owned())
        );
    }

    #[test]
    fn short_words_are_not_guessed() {
        assert_eq!(nearest("a", ["b"].into_iter()), None);
        assert_eq!(nearest("apii", ["api", "app"].into_iter()), Some("api"));
    }
}
