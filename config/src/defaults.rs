//! What holds where the document says nothing. The documentation in `document.rs` names the same
//! values, under test.

use std::time::Duration;

use crate::{Audit, AuditMode, HttpVersion, ListenerLimits, Quotas, TargetLimits};

/// The alias that `sealgate init` gives to the key of the store.
pub(crate) const CERTSTORE_KEY: &str = "alias/sealgate/certstore";
/// A call of the KMS for a day's entries, and not for each.
pub(crate) const BUCKET_KEYS: bool = true;
/// No answer without its record; files that tools can still open.
pub(crate) const AUDIT: Audit = Audit {
    mode: AuditMode::Required,
    max_file_size: 100 << 20,
};
/// AWS's figures; where it has several in a group, the most common.
pub(crate) const QUOTAS: Quotas = Quotas {
    symmetric: 10_000,
    rsa: 1_000,
    ecc: 1_000,
    create_key: 5,
    grants: 50,
    read: 1_000,
    change: 15,
};
/// Enough for a large site; each costs a descriptor here and mostly one towards a target.
pub(crate) const MAX_CONNECTIONS: usize = 65_536;
/// Longer than most requests, shorter than the patience of service managers (90s).
pub(crate) const DRAIN: Duration = Duration::from_secs(30);

/// Permanent, and the method stays (RFC 9110, section 15.4.9).
pub(crate) const REDIRECT_STATUS: u16 = 308;
/// Of a fixed answer.
pub(crate) const CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// Versions of HTTP of a listener with TLS.
pub(crate) const TLS_PROTOCOLS: [HttpVersion; 2] = [HttpVersion::Http2, HttpVersion::Http1];
/// Versions of HTTP of a plain listener.
pub(crate) const PLAIN_PROTOCOLS: [HttpVersion; 1] = [HttpVersion::Http1];

/// Most servers take several slashes in a row for one: a rule must not be walked around with them.
pub(crate) const MERGE_SLASHES: bool = true;

/// What a client may take up.
pub(crate) const LISTENER_LIMITS: ListenerLimits = ListenerLimits {
    handshake_timeout: Duration::from_secs(10),
    header_timeout: Duration::from_secs(15),
    idle_timeout: Duration::from_secs(60),
    body_idle_timeout: Duration::from_secs(60),
    max_header_bytes: 32 << 10,
    max_headers: 100,
    max_streams: 128,
    max_body_bytes: None,
};

/// What a target may be asked for. Its connections are given up before a web server's usual 60s, so
/// that a request rarely meets a connection that is just being closed.
pub(crate) const TARGET_LIMITS: TargetLimits = TargetLimits {
    connect_timeout: Duration::from_secs(5),
    response_timeout: Duration::from_secs(60),
    max_connections: 1_000,
    max_idle_connections: 512,
    idle_timeout: Duration::from_secs(55),
};

/// Of health checks.
pub(crate) const HEALTH_PATH: &str = "/";
/// From one probe to the next.
pub(crate) const HEALTH_INTERVAL: Duration = Duration::from_secs(10);
/// How long a probe may take, if the interval is not shorter.
pub(crate) const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
/// Successes in a row.
pub(crate) const HEALTHY: u32 = 2;
/// Failures in a row.
pub(crate) const UNHEALTHY: u32 = 3;
/// Statuses that are a success.
pub(crate) const HEALTH_STATUSES: (u16, u16) = (200, 399);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::written;

    #[test]
    fn documentation_names_the_defaults() {
        let limits = &LISTENER_LIMITS;
        let target = &TARGET_LIMITS;
        let schema = crate::schema();
        for (place, default) in [
            ("/properties/max_connections", MAX_CONNECTIONS.to_string()),
            ("/properties/drain", written(DRAIN)),
            (
                "/$defs/Certstore/properties/key",
                format!("`{CERTSTORE_KEY}`"),
            ),
            ("/$defs/Audit/properties/mode", "`required`".to_owned()),
            (
                "/$defs/Audit/properties/max_file_size",
                format!("{}MiB", AUDIT.max_file_size >> 20),
            ),
            (
                "/$defs/Quotas/properties/symmetric",
                QUOTAS.symmetric.to_string(),
            ),
            ("/$defs/Quotas/properties/rsa", QUOTAS.rsa.to_string()),
            ("/$defs/Quotas/properties/ecc", QUOTAS.ecc.to_string()),
            (
                "/$defs/Quotas/properties/create_key",
                QUOTAS.create_key.to_string(),
            ),
            ("/$defs/Quotas/properties/grants", QUOTAS.grants.to_string()),
            ("/$defs/Quotas/properties/read", QUOTAS.read.to_string()),
            ("/$defs/Quotas/properties/change", QUOTAS.change.to_string()),
            (
                "/$defs/Redirect/properties/status",
                REDIRECT_STATUS.to_string(),
            ),
            (
                "/$defs/Respond/properties/content_type",
                format!("`{CONTENT_TYPE}`"),
            ),
            (
                "/$defs/ListenerLimits/properties/handshake_timeout",
                written(limits.handshake_timeout),
            ),
            (
                "/$defs/ListenerLimits/properties/header_timeout",
                written(limits.header_timeout),
            ),
            (
                "/$defs/ListenerLimits/properties/idle_timeout",
                written(limits.idle_timeout),
            ),
            (
                "/$defs/ListenerLimits/properties/body_idle_timeout",
                written(limits.body_idle_timeout),
            ),
            (
                "/$defs/ListenerLimits/properties/max_header_size",
                format!("{}KiB", limits.max_header_bytes >> 10),
            ),
            (
                "/$defs/ListenerLimits/properties/max_headers",
                limits.max_headers.to_string(),
            ),
            (
                "/$defs/ListenerLimits/properties/max_streams",
                limits.max_streams.to_string(),
            ),
            (
                "/$defs/TargetLimits/properties/connect_timeout",
                written(target.connect_timeout),
            ),
            (
                "/$defs/TargetLimits/properties/response_timeout",
                written(target.response_timeout),
            ),
            (
                "/$defs/TargetLimits/properties/max_connections",
                target.max_connections.to_string(),
            ),
            (
                "/$defs/TargetLimits/properties/max_idle_connections",
                target.max_idle_connections.to_string(),
            ),
            (
                "/$defs/TargetLimits/properties/idle_timeout",
                written(target.idle_timeout),
            ),
            (
                "/$defs/HealthCheck/properties/path",
                format!("`{HEALTH_PATH}`"),
            ),
            (
                "/$defs/HealthCheck/properties/interval",
                written(HEALTH_INTERVAL),
            ),
            ("/$defs/HealthCheck/properties/healthy", HEALTHY.to_string()),
            (
                "/$defs/HealthCheck/properties/unhealthy",
                UNHEALTHY.to_string(),
            ),
            (
                "/$defs/HealthCheck/properties/statuses",
                format!("`{}-{}`", HEALTH_STATUSES.0, HEALTH_STATUSES.1),
            ),
        ] {
            let property = schema
                .pointer(place)
                .unwrap_or_else(|| panic!("no {place}"));
            let description = property["description"].as_str().unwrap_or_default();
            let expected = format!("Default: {default}.");
            assert!(
                description.contains(&expected),
                "{place}: {expected}: {description}"
            );
        }
    }
}
