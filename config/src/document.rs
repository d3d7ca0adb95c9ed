//! The YAML as types: what may stand where. Nothing is resolved here, and no default is filled in.
//!
//! The comments are the descriptions of the JSON Schema, and speak to whoever writes the file.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::reader::{Field, Named, OneOrMany, Spanned, WordOr};
use crate::units::{Size, Time};

/// The configuration of Sealgate.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "sealgate.yaml")]
#[schemars(extend("required" = ["version", "listeners"]))]
pub(crate) struct Document {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub(crate) version: Field<u64>,
    /// The region that the state directory must be of. Left out: whatever it is of.
    pub(crate) region: Field<String>,
    /// The key management service.
    pub(crate) kms: Field<Kms>,
    /// The sealed store of certificates.
    pub(crate) certstore: Field<Certstore>,
    /// The admin endpoints.
    pub(crate) admin: Field<Admin>,
    /// Networks or addresses whose `X-Forwarded-*` and PROXY headers are believed.
    pub(crate) trusted_proxies: Field<OneOrMany<String>>,
    /// Threads that serve clients. Left out: one per core.
    #[schemars(range(min = 1, max = 1024))]
    pub(crate) workers: Field<u64>,
    /// Connections from clients in all listeners together; beyond it none is accepted. Default: 65536.
    #[schemars(range(min = 1))]
    pub(crate) max_connections: Field<u64>,
    /// How long a leaving balancer waits for requests in flight. Default: 30s.
    pub(crate) drain: Field<Time>,
    /// Where the access log goes: `stdout`, or a file. Left out: nowhere.
    pub(crate) access_log: Field<WordOr<AccessLogWord, FilePath>>,
    /// Where clients connect, by name.
    pub(crate) listeners: Field<Named<Listener>>,
    /// Which requests go where; the first rule that matches wins. None: the listener's action, else 404.
    pub(crate) rules: Field<Vec<Spanned<Rule>>>,
    /// What holds for every listener and target group that does not say otherwise.
    pub(crate) defaults: Field<Defaults>,
    /// Servers that answer requests, by name.
    pub(crate) target_groups: Field<Named<TargetGroup>>,
}

/// The key management service.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Kms {
    /// Where the root key comes from: `{ file: PATH }`, `{ credential: NAME }`, `passphrase` or `shamir`.
    /// Left out: where the state directory says.
    pub(crate) root_key: Field<WordOr<RootKeyWord, RootKeyPlace>>,
    /// What a start does without its root key: `refuse`, or `wait` for `sealgate kms unseal` before anything
    /// is served. Default: `refuse`.
    pub(crate) on_sealed: Field<OnSealed>,
    /// A Unix socket at which every user of this machine may call the KMS: their rights are those of the
    /// identity that their user id is mapped to. Left out: the administrators alone, by the admin socket.
    #[schemars(length(min = 1))]
    pub(crate) socket: Field<String>,
    /// The log of what is asked of the keys.
    pub(crate) audit: Field<Audit>,
    /// How many calls in a second each principal may make, by kind of operation.
    pub(crate) quotas: Field<Quotas>,
}

/// The log of what is asked of the keys.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Audit {
    /// What a call waits for before it is answered. Default: `required`.
    pub(crate) mode: Field<AuditMode>,
    /// Size at which another file of the log is begun, from 1MiB to 16GiB. Default: 100MiB.
    pub(crate) max_file_size: Field<Size>,
}

/// What a call waits for before it is answered.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuditMode {
    /// Its record is written; where it cannot be, no key is used.
    Required,
    /// Its record is on the disk, also when the power fails.
    Durable,
    /// Nothing: where the record cannot be written, it is lost and counted.
    BestEffort,
}

/// How many calls in a second each principal may make, by kind of operation; 0: none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Quotas {
    /// Cryptographic operations with symmetric and HMAC keys. Default: 10000.
    pub(crate) symmetric: Field<u64>,
    /// Cryptographic operations with RSA keys. Default: 1000.
    pub(crate) rsa: Field<u64>,
    /// Cryptographic operations with elliptic-curve keys. Default: 1000.
    pub(crate) ecc: Field<u64>,
    /// `CreateKey`. Default: 5.
    pub(crate) create_key: Field<u64>,
    /// `CreateGrant`, `RetireGrant` and `RevokeGrant`. Default: 50.
    pub(crate) grants: Field<u64>,
    /// Operations that describe, get or list. Default: 1000.
    pub(crate) read: Field<u64>,
    /// All other operations. Default: 15.
    pub(crate) change: Field<u64>,
}

/// Root keys that are with people.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RootKeyWord {
    /// Under a passphrase.
    Passphrase,
    /// In shares that several people keep.
    Shamir,
}

/// Where a root key is; one of these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(crate) struct RootKeyPlace {
    /// Path of a file, mode 0600; a relative one is taken from the directory of the configuration file.
    #[schemars(length(min = 1))]
    pub(crate) file: Field<String>,
    /// Name of a systemd credential.
    #[schemars(length(min = 1))]
    pub(crate) credential: Field<String>,
}

/// What a start does without its root key.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnSealed {
    /// It ends.
    Refuse,
    /// It waits for `sealgate kms unseal`.
    Wait,
}

/// A file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["file"]))]
pub(crate) struct FilePath {
    /// Path of the file; a relative one is taken from the directory of the configuration file.
    #[schemars(length(min = 1))]
    pub(crate) file: Field<String>,
}

/// The sealed store of certificates.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Certstore {
    /// The KMS key that wraps data keys: an alias, a key id or an ARN. Default: `alias/sealgate/certstore`.
    pub(crate) key: Field<String>,
    /// Keys from which those of many entries are derived, so that the KMS is called seldom.
    pub(crate) bucket_keys: Field<BucketKeys>,
}

/// Keys from which those of many entries are derived: each is wrapped once by the KMS, and entries are sealed
/// under it for a day.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["enabled"]))]
pub(crate) struct BucketKeys {
    /// Whether new entries are sealed so; if not, the KMS is called for each. What is sealed one way or the other
    /// stays readable. Default: true.
    pub(crate) enabled: Field<bool>,
}

/// The admin endpoints.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Admin {
    /// The Unix socket that the commands speak to. Left out: `admin.sock` in the state directory.
    #[schemars(length(min = 1))]
    pub(crate) socket: Field<String>,
    /// Address of `/livez`, `/readyz` and `/metrics`. Left out: not served.
    pub(crate) http: Field<Address>,
}

/// Where the access log goes.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccessLogWord {
    /// Standard output.
    Stdout,
}

/// What holds for every listener and target group that does not say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Defaults {
    /// For listeners.
    pub(crate) listener: Field<ListenerDefaults>,
    /// For target groups.
    pub(crate) target_group: Field<TargetGroupDefaults>,
}

// === Listeners ===

/// Where clients connect.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["bind"]))]
pub(crate) struct Listener {
    /// Address and port, such as `"[::]:443"` or `127.0.0.1:8080`; port 0 lets the kernel choose.
    pub(crate) bind: Field<Address>,
    /// Versions of HTTP that are offered, the preferred one first. Default: `[h2, http/1.1]` with TLS, else
    /// `[http/1.1]`.
    pub(crate) protocols: Field<OneOrMany<HttpVersion>>,
    /// How TLS is ended. Left out: the listener is plain.
    pub(crate) tls: Field<ListenerTls>,
    /// What is done with a request that no rule matches. Left out: 404.
    pub(crate) action: Field<Action>,
    /// Whether each connection begins with a PROXY header (version 1 or 2); it is believed from
    /// `trusted_proxies` only. Default: false.
    pub(crate) proxy_protocol: Field<bool>,
    /// Whether `%2F`, `%5C` and `%00` may stand in a path. Default: false.
    pub(crate) allow_encoded_slash: Field<bool>,
    /// Whether several slashes in a row are one, for rules and targets. Default: true.
    pub(crate) merge_slashes: Field<bool>,
    /// What a client may take up.
    pub(crate) limits: Field<ListenerLimits>,
}

/// What holds for every listener that does not say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListenerDefaults {
    /// For listeners with TLS; it makes no listener one.
    pub(crate) tls: Field<ListenerTls>,
    /// Whether `%2F`, `%5C` and `%00` may stand in a path. Default: false.
    pub(crate) allow_encoded_slash: Field<bool>,
    /// Whether several slashes in a row are one, for rules and targets. Default: true.
    pub(crate) merge_slashes: Field<bool>,
    /// What a client may take up.
    pub(crate) limits: Field<ListenerLimits>,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum HttpVersion {
    /// HTTP/1.1 (RFC 9112).
    #[serde(rename = "http/1.1")]
    Http1,
    /// HTTP/2 (RFC 9113).
    #[serde(rename = "h2")]
    Http2,
}

/// How a listener ends TLS.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListenerTls {
    /// Versions, suites and groups: `modern` or `compatible`. Default: `modern`.
    pub(crate) policy: Field<SecurityPolicy>,
    /// Entries of the sealed store that may be shown: names, or patterns in which `*` stands for any
    /// characters. `"*"` means every valid entry; `"*.example.com"` is the wildcard entry of that name.
    pub(crate) certificates: Field<OneOrMany<String>>,
    /// What a client gets that asks for no name or an unknown one: `reject`, or a certificate. Default: `reject`.
    pub(crate) on_unknown_sni: Field<WordOr<Reject, DefaultCertificate>>,
}

/// A named set of TLS versions, suites and groups.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SecurityPolicy {
    /// TLS 1.3, and TLS 1.2 with AEAD suites.
    Modern,
    /// As `modern`, and what older clients of TLS 1.2 need.
    Compatible,
}

/// A refusal.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reject {
    /// The handshake is refused by alert.
    Reject,
}

/// The certificate for clients that ask for no name or an unknown one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["default_certificate"]))]
pub(crate) struct DefaultCertificate {
    /// Name of an entry of the sealed store.
    #[schemars(length(min = 1))]
    pub(crate) default_certificate: Field<String>,
}

/// What a client may take up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ListenerLimits {
    /// From accepting a connection to the end of the TLS handshake. Default: 10s.
    pub(crate) handshake_timeout: Field<Time>,
    /// From the first byte of a request to the end of its head. Default: 15s.
    pub(crate) header_timeout: Field<Time>,
    /// Between requests on a connection. Default: 1m.
    pub(crate) idle_timeout: Field<Time>,
    /// Between two pieces of a body. Default: 1m.
    pub(crate) body_idle_timeout: Field<Time>,
    /// Size of a request's head. Default: 32KiB.
    pub(crate) max_header_size: Field<Size>,
    /// Fields of a request's head. Default: 100.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max_headers: Field<u64>,
    /// Concurrent streams of an HTTP/2 connection. Default: 128.
    #[schemars(range(min = 1, max = 65_536))]
    pub(crate) max_streams: Field<u64>,
    /// Size of a request's body. Left out: any.
    pub(crate) max_body_size: Field<Size>,
}

// === Rules ===

/// Which requests, and what is done with them: one of `forward`, `redirect` and `respond`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Rule {
    /// Stands in the access log. Left out: `rules[3]`.
    pub(crate) name: Field<String>,
    /// Only requests of this listener. Left out: of all.
    pub(crate) listener: Field<String>,
    /// Which requests; all conditions must hold. Left out: all requests.
    pub(crate) when: Field<Condition>,
    /// The target group that the request goes to, or several with weights.
    pub(crate) forward: Field<WordOr<String, Named<u64>>>,
    /// Where the client is sent: `https`, or more.
    pub(crate) redirect: Field<WordOr<Scheme, Redirect>>,
    /// What is answered: a status, or more.
    pub(crate) respond: Field<WordOr<u64, Respond>>,
    /// What is changed in the request on its way to the target.
    pub(crate) request_headers: Field<HeaderEdits>,
    /// What is changed in the response on its way to the client.
    pub(crate) response_headers: Field<HeaderEdits>,
}

/// What is done with a request: one of `forward`, `redirect` and `respond`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Action {
    /// The target group that the request goes to, or several with weights.
    pub(crate) forward: Field<WordOr<String, Named<u64>>>,
    /// Where the client is sent: `https`, or more.
    pub(crate) redirect: Field<WordOr<Scheme, Redirect>>,
    /// What is answered: a status, or more.
    pub(crate) respond: Field<WordOr<u64, Respond>>,
    /// What is changed in the request on its way to the target.
    pub(crate) request_headers: Field<HeaderEdits>,
    /// What is changed in the response on its way to the client.
    pub(crate) response_headers: Field<HeaderEdits>,
}

/// Which requests: of each condition any value, and all of the conditions.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Condition {
    /// Hosts without port: `shop.example.com`, or `"*.example.com"` for all below.
    pub(crate) host: Field<OneOrMany<String>>,
    /// Paths: `/login`, or `/v2/*` for all below (and `/v2`).
    pub(crate) path: Field<OneOrMany<String>>,
    /// Methods: `GET`.
    pub(crate) method: Field<OneOrMany<String>>,
}

/// The scheme of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scheme {
    /// In plain.
    Http,
    /// Over TLS.
    Https,
}

/// Where a client is sent. What is left out stays as the request has it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Redirect {
    /// `http` or `https`.
    pub(crate) scheme: Field<Scheme>,
    /// Host without port.
    pub(crate) host: Field<String>,
    /// Port. Left out: the scheme's own where the scheme changes.
    #[schemars(range(min = 1, max = 65_535))]
    pub(crate) port: Field<u64>,
    /// Path, from `/`.
    pub(crate) path: Field<String>,
    /// Query, without `?`.
    pub(crate) query: Field<String>,
    /// 301, 302, 303, 307 or 308. Default: 308.
    pub(crate) status: Field<u64>,
}

/// A fixed answer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["status"]))]
pub(crate) struct Respond {
    /// 200 to 599.
    #[schemars(range(min = 200, max = 599))]
    pub(crate) status: Field<u64>,
    /// Media type of the body. Default: `text/plain; charset=utf-8`.
    pub(crate) content_type: Field<String>,
    /// The body. Default: empty.
    pub(crate) body: Field<String>,
}

/// Changes of header fields, made in this order.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HeaderEdits {
    /// Names of fields to remove.
    pub(crate) remove: Field<OneOrMany<String>>,
    /// Fields to replace or add.
    pub(crate) set: Field<Named<String>>,
    /// Fields to add beside those that are there.
    pub(crate) add: Field<Named<String>>,
}

// === Target groups ===

/// Servers that answer the same requests.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["targets"]))]
pub(crate) struct TargetGroup {
    /// The servers: `10.0.1.11:8080`, or an address with a weight.
    pub(crate) targets: Field<OneOrMany<WordOr<Address, Target>>>,
    /// How they are spoken to: `http` or `https`. Default: `http`.
    pub(crate) protocol: Field<Scheme>,
    /// How TLS towards targets is verified, with `protocol: https`.
    pub(crate) tls: Field<TargetTls>,
    /// How a target is chosen. Default: `round_robin`.
    pub(crate) balance: Field<Algorithm>,
    /// What happens when no target is healthy. Default: `refuse`.
    pub(crate) on_all_unhealthy: Field<OnAllUnhealthy>,
    /// How targets are probed, or `none`. Default: `none`.
    pub(crate) health_check: Field<WordOr<NoHealthCheck, HealthCheck>>,
    /// What a target may be asked for.
    pub(crate) limits: Field<TargetLimits>,
    /// What is changed in requests to them, after what their rule changes. A value may be `kms:BASE64`, a
    /// secret that `sealgate kms encrypt --for target_groups.NAME.request_headers.set.FIELD` has encrypted
    /// for this place.
    pub(crate) request_headers: Field<HeaderEdits>,
}

/// What holds for every target group that does not say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TargetGroupDefaults {
    /// How a target is chosen. Default: `round_robin`.
    pub(crate) balance: Field<Algorithm>,
    /// What happens when no target is healthy. Default: `refuse`.
    pub(crate) on_all_unhealthy: Field<OnAllUnhealthy>,
    /// How targets are probed, or `none`. A group's own `health_check` is laid over it, key by key.
    pub(crate) health_check: Field<WordOr<NoHealthCheck, HealthCheck>>,
    /// What a target may be asked for.
    pub(crate) limits: Field<TargetLimits>,
}

/// A server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["address"]))]
pub(crate) struct Target {
    /// IP address and port.
    pub(crate) address: Field<Address>,
    /// Its share of the requests, relative to the others; 0: none. Default: 1.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) weight: Field<u64>,
}

/// How TLS towards targets is verified.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TargetTls {
    /// The name that is asked for (SNI) and must stand in the certificate. Left out: the target's address.
    pub(crate) server_name: Field<String>,
    /// Who may have issued the certificate: `system`, a PEM file, or the name of a trust store. Default: `system`.
    pub(crate) ca: Field<WordOr<String, FilePath>>,
    /// `none`: any certificate is taken, and whoever stands between can read and change everything. Default: `full`.
    pub(crate) verify: Field<Verify>,
    /// Entry of the sealed store that is shown to targets.
    #[schemars(length(min = 1))]
    pub(crate) client_certificate: Field<String>,
}

/// Whether certificates of targets are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verify {
    /// Issuer, dates and name.
    Full,
    /// Nothing.
    None,
}

/// How a target is chosen among the healthy ones.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Algorithm {
    /// One after the other, by weight.
    RoundRobin,
    /// The one with the fewest requests in flight, by weight.
    LeastOutstandingRequests,
}

/// What happens when no target is healthy.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnAllUnhealthy {
    /// Requests are answered with 503.
    Refuse,
    /// All targets are taken for healthy.
    Forward,
}

/// No probing.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NoHealthCheck {
    /// Targets are taken for healthy.
    None,
}

/// How targets are probed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HealthCheck {
    /// Path and query that are asked for. Default: `/`.
    pub(crate) path: Field<String>,
    /// The `Host` of the probe. Left out: the target's address.
    pub(crate) host: Field<String>,
    /// From one probe to the next. Default: 10s.
    pub(crate) interval: Field<Time>,
    /// How long a probe may take. Default: 5s, or the interval if that is shorter.
    pub(crate) timeout: Field<Time>,
    /// Successes in a row that make a target healthy again. Default: 2.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) healthy: Field<u64>,
    /// Failures in a row that make a target unhealthy. Default: 3.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) unhealthy: Field<u64>,
    /// Statuses that are a success: `200`, or `200-299`. Default: `200-399`.
    pub(crate) statuses: Field<OneOrMany<Statuses>>,
}

/// A status or a range of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statuses(pub(crate) u16, pub(crate) u16);

/// What a target may be asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TargetLimits {
    /// How long connecting may take, TLS included. Default: 5s.
    pub(crate) connect_timeout: Field<Time>,
    /// From the end of the request to the first byte of the response. Default: 1m.
    pub(crate) response_timeout: Field<Time>,
    /// Connections to one target. Default: 1000.
    #[schemars(range(min = 1))]
    pub(crate) max_connections: Field<u64>,
    /// Connections to one target that are kept without a request, for each worker. Default: 512.
    pub(crate) max_idle_connections: Field<u64>,
    /// How long a connection is kept without a request. Default: 55s.
    pub(crate) idle_timeout: Field<Time>,
}

/// An IP address and a port, as text.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(inline)]
pub(crate) struct Address(pub(crate) String);

// === impl Address ===

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(AddressVisitor)
    }
}

struct AddressVisitor;

impl Visitor<'_> for AddressVisitor {
    type Value = Address;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an IP address and a port, such as `10.0.1.11:8080` or `\"[::]:443\"`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
        Ok(Address(text.to_owned()))
    }
}

// === impl Statuses ===

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StatusesVisitor)
    }
}

struct StatusesVisitor;

impl Visitor<'_> for StatusesVisitor {
    type Value = Statuses;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a status from 100 to 599, or a range such as `200-299`")
    }

    fn visit_u64<E: de::Error>(self, status: u64) -> Result<Statuses, E> {
        self.visit_str(&status.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
        let status = |text: &str| {
            text.parse()
                .ok()
                .filter(|status| (100..=599).contains(status))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (status(first), status(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Statuses(first, last)),
            _ => Err(E::invalid_value(Unexpected::Other(text), &self)),
        }
    }
}

impl JsonSchema for Statuses {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"anyOf": [
            {"type": "integer", "minimum": 100, "maximum": 599},
            {"type": "string", "pattern": "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$"},
        ]})
    }
}
