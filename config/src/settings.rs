//! A whole configuration, and what in it is no listener, rule or target group.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::{Listener, Rule, TargetGroup, defaults};

/// A valid configuration with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The region that the state directory must be of; whatever it is of where none is named.
    pub region: Option<String>,
    /// Where the root key comes from; where the state directory says if none is named.
    pub root_key: Option<RootKey>,
    /// What a start does without it.
    pub on_sealed: OnSealed,
    /// The log of what is asked of the keys.
    pub audit: Audit,
    /// How many calls in a second each principal may make.
    pub quotas: Quotas,
    /// The socket at which every user of this machine may call the KMS; not there if none is named.
    pub kms_socket: Option<PathBuf>,
    /// The KMS key that wraps data keys of the store.
    pub certstore_key: String,
    /// Whether the keys of new entries are derived from bucket keys; the KMS wraps one for each if not.
    pub bucket_keys: bool,
    /// The admin endpoints.
    pub admin: Admin,
    /// Whose `X-Forwarded-*` and PROXY headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Threads that serve clients; one per core where none is named.
    pub workers: Option<usize>,
    /// Connections from clients in all listeners together, beyond which none is accepted.
    pub max_connections: usize,
    /// How long a leaving balancer waits for requests in flight.
    pub drain: Duration,
    /// Where the access log goes; nowhere if none is named.
    pub access_log: Option<AccessLog>,
    /// In the order of the document; names are unique.
    pub listeners: Vec<Listener>,
    /// The first that matches wins.
    pub rules: Vec<Rule>,
    /// In the order of the document; names are unique. Rules refer to them by index.
    pub target_groups: Vec<TargetGroup>,
}

/// Where a root key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootKey {
    /// A file, mode 0600.
    File(PathBuf),
    /// Somebody knows its passphrase.
    Passphrase,
    /// A systemd credential of this name.
    Credential(String),
    /// Several people keep shares of it.
    Shamir,
}

/// What a start does without its root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnSealed {
    /// It ends.
    #[default]
    Refuse,
    /// It waits until the key management service is unsealed, and serves nothing until then.
    Wait,
}

/// The log of what is asked of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// What a call waits for before it is answered.
    pub mode: AuditMode,
    /// Bytes after which another file is begun.
    pub max_file_size: u64,
}

impl Default for Audit {
    fn default() -> Self {
        defaults::AUDIT
    }
}

/// What a call waits for before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditMode {
    /// Its record is written.
    Required,
    /// Its record is on the disk.
    Durable,
    /// Nothing.
    BestEffort,
}

/// How many calls in a second each principal may make, by kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Cryptographic operations with symmetric and HMAC keys.
    pub symmetric: u32,
    /// Cryptographic operations with RSA keys.
    pub rsa: u32,
    /// Cryptographic operations with elliptic-curve keys.
    pub ecc: u32,
    /// `CreateKey`.
    pub create_key: u32,
    /// `CreateGrant`, `RetireGrant`, `RevokeGrant`.
    pub grants: u32,
    /// Operations that describe, get or list.
    pub read: u32,
    /// All others.
    pub change: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        defaults::QUOTAS
    }
}

/// The admin endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admin {
    /// The Unix socket; `admin.sock` in the state directory where none is named.
    pub socket: Option<PathBuf>,
    /// Address of `/livez`, `/readyz` and `/metrics`; not served where none is named.
    pub http: Option<SocketAddr>,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// Standard output.
    Stdout,
    /// A file, opened anew on SIGUSR1.
    File(PathBuf),
}
