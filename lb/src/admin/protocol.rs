//! What may be asked over the admin socket, and the answers.
//!
//! A connection carries one request. The answer is any number of [`Reply::Working`] and
//! [`Reply::Progress`], and then one [`Reply::Done`] or [`Reply::Refused`]. The framing is that of
//! [`super::wire`]; what may be secret travels beside the JSON, in both directions.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::place::Place;
use super::wire::Secret;

pub use certstore::KmsCalls;

/// The version of the protocol. A command and a balancer of different versions say so, and stop.
pub const VERSION: u32 = 1;

/// A request with the version that it is written in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`VERSION`] of the sender.
    pub protocol: u32,
    /// The state directory that the sender means; none where it named a socket alone, which is enough for
    /// [`Request::KmsCall`].
    pub state: Option<Place>,
    /// What is asked.
    pub request: Request,
}

/// The part of an [`Envelope`] that every version can read.
#[derive(Debug, Deserialize)]
pub struct EnvelopeVersion {
    /// [`VERSION`] of the sender.
    pub protocol: u32,
}

/// What a command asks of the process that holds the state directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Request {
    /// How the balancer is.
    Status,
    /// Read the configuration anew and put it in force.
    Reload,
    /// Stop accepting, finish what is in flight, and exit.
    Drain,
    /// Which way a request for `url` would take.
    Explain(ExplainRequest),
    /// Seal a certificate. The secret is its private key in PKCS#8 DER; without one, a pending
    /// certificate signing request is completed.
    CertImport(CertImport),
    /// Make a sealed key and a certificate signing request for it.
    CertCsr(CertCsr),
    /// Delete entries of the store.
    CertDelete(CertDelete),
    /// Open every entry of the store.
    StoreVerify,
    /// Look at every record of the audit log.
    AuditVerify {
        /// Whether files at its beginning may be gone.
        archived: bool,
    },
    /// Move every entry to the newest generation of the store's KMS key, or to another.
    StoreReseal {
        /// The other.
        to_key: Option<String>,
    },
    /// Keep a bundle of CA certificates under a name.
    TrustImport(TrustImport),
    /// Delete a trust store.
    TrustDelete {
        /// Its name.
        name: String,
        /// Also where a target group trusts it.
        #[serde(default)]
        force: bool,
    },
    /// Where the root key is kept.
    RootShow,
    /// Seal the key database anew under another root key. The secret is that root key, or nothing where it
    /// shall be made in a file.
    RootMove(RootMove),
    /// Take the keys out of memory.
    Seal,
    /// Open the KMS. The secret is a passphrase, a share or a PIN; nothing, to try with what is there.
    Unseal,
    /// An operation of the KMS ([`kms::api`]), as whom the peer's user id stands for. The secret is its
    /// input in JSON.
    KmsCall {
        /// Its name: `Encrypt`.
        operation: String,
        /// Also where entries of the store would no longer open.
        #[serde(default)]
        force: bool,
    },
}

/// A URL and how the client asks for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// `https://shop.example.com/cart?x=1`.
    pub url: String,
    /// `GET`.
    pub method: String,
}

/// A certificate to be sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertImport {
    /// The entry's name.
    pub name: String,
    /// The chain; its order does not matter.
    pub chain: Vec<PemText>,
    /// Whether the key may later leave the store.
    pub exportable: bool,
    /// Whether a certificate outside its dates is taken as well.
    pub allow_expired: bool,
    /// Whether it may replace one with which it has no name in common.
    #[serde(default)]
    pub allow_name_change: bool,
}

/// A PEM text without secrets, and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PemText {
    /// The file, for messages.
    pub source: String,
    /// Its content.
    pub text: String,
}

/// A certificate signing request to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertCsr {
    /// The entry's name.
    pub name: String,
    /// The DNS names and addresses that the certificate is for.
    pub names: Vec<String>,
    /// The kind of key: `ecdsa-p256`, `ecdsa-p384`, `rsa-2048`, …, `ed25519`.
    pub key_type: String,
    /// Whether the key may later leave the store.
    pub exportable: bool,
}

/// Which entries to delete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertDelete {
    /// The name.
    pub name: String,
    /// Only the twin of this kind of key.
    pub family: Option<String>,
    /// Also where a listener or a target group shows it.
    #[serde(default)]
    pub force: bool,
}

/// A bundle of CA certificates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrustImport {
    /// The trust store's name.
    pub name: String,
    /// The certificates.
    pub pem: PemText,
}

/// Where a root key shall go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RootMove {
    /// The place.
    pub to: kms::RootKeySource,
    /// Its root record in base64; none for a file.
    pub record: Option<String>,
}

impl RootMove {
    /// To a file, where whoever does it makes the key.
    pub fn to_file(path: std::path::PathBuf) -> Self {
        Self {
            to: kms::RootKeySource::File(path),
            record: None,
        }
    }
}

/// A frame of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "body", rename_all = "snake_case")]
pub enum Reply {
    /// Work goes on, at least every few seconds: a client that hears nothing may give up.
    Working,
    /// Work goes on, and this is how far it has come.
    Progress(Step),
    /// The answer.
    Done(Response),
    /// It was not done.
    Refused(Refusal),
}

/// How far long work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub done: u64,
    /// Of how many.
    pub total: u64,
}

/// A response, and the secret that goes with it (empty for none).
pub struct Answer {
    /// What was done, or found.
    pub response: Response,
    /// Travels beside it.
    pub secret: Secret,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self {
            response,
            secret: Secret::default(),
        }
    }
}

/// What was done, or found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Response {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Reload`].
    Reloaded(Reloaded),
    /// To [`Request::Drain`]: it has begun. The connection stays open until the process has ended.
    Draining {
        /// Connections that are open.
        connections: u64,
        /// Seconds until what is left is cut.
        deadline_s: u64,
    },
    /// To [`Request::Explain`].
    Explained(Box<Explanation>),
    /// To [`Request::CertImport`].
    Imported(Box<Imported>),
    /// To [`Request::CertCsr`].
    CsrMade {
        /// The request in PEM (RFC 2986).
        pem: String,
    },
    /// To [`Request::CertDelete`] and [`Request::TrustDelete`].
    Deleted {
        /// What was deleted, for people: `shop.example.com (ecdsa-p256)`.
        what: Vec<String>,
    },
    /// To [`Request::StoreVerify`].
    Verified(Verification),
    /// To [`Request::AuditVerify`].
    AuditVerified(Box<AuditVerification>),
    /// To [`Request::StoreReseal`].
    Resealed(Resealed),
    /// To [`Request::TrustImport`].
    Trusted {
        /// How many certificates the trust store now has.
        certificates: usize,
        /// What is remarkable about them.
        remarks: Vec<String>,
    },
    /// To [`Request::KmsCall`]. The secret is the operation's answer in JSON.
    KmsAnswered,
    /// To [`Request::RootShow`].
    Root(Box<RootDescription>),
    /// To [`Request::RootMove`].
    RootMoved(Box<RootMoved>),
    /// To [`Request::Seal`] and [`Request::Unseal`].
    Seal(SealState),
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// What, where, why and what to do.
    pub message: String,
    /// Whether the request itself is wrong (exit status 2), and not what was done about it (1).
    #[serde(default)]
    pub usage: bool,
    /// The faults of a configuration, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<serde_json::Value>,
    /// AWS's name for it, of an operation of the KMS: `AccessDeniedException`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Box<str>>,
}

impl Refusal {
    /// Something could not be done.
    pub fn failed(why: impl fmt::Display) -> Self {
        Self {
            message: why.to_string(),
            usage: false,
            diagnostics: None,
            code: None,
        }
    }

    /// In one line, for a log: of many faults of a configuration, the first.
    pub fn brief(&self) -> String {
        let faults = self
            .diagnostics
            .as_ref()
            .and_then(serde_json::Value::as_array);
        let first = faults.and_then(|faults| faults.first());
        let (Some(faults), Some(first)) = (faults, first) else {
            return self.message.clone();
        };
        let text = |field: &str| first[field].as_str().unwrap_or_default().to_owned();
        format!(
            "{} faults, the first at {}:{}:{}: {}",
            faults.len(),
            text("file"),
            first["line"],
            first["column"],
            text("message")
        )
    }

    /// Something was asked for wrongly.
    pub fn usage(why: impl fmt::Display) -> Self {
        Self {
            message: why.to_string(),
            usage: true,
            diagnostics: None,
            code: None,
        }
    }
}

impl From<config::Diagnostics> for Refusal {
    fn from(diagnostics: config::Diagnostics) -> Self {
        Self {
            message: diagnostics.render(false),
            usage: true,
            diagnostics: Some(diagnostics.to_json()),
            code: None,
        }
    }
}

impl From<kms::api::Exception> for Refusal {
    fn from(exception: kms::api::Exception) -> Self {
        let usage = USAGE.contains(&exception.code);
        Self {
            message: exception.message,
            usage,
            diagnostics: None,
            code: Some(exception.code.into()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// Those of AWS's exceptions by which a request itself is wrong.
const USAGE: [&str; 3] = [
    "ValidationException",
    "SerializationException",
    "MalformedPolicyDocumentException",
];

/// A running balancer. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Its state directory.
    pub state: String,
    /// Its configuration file.
    pub config: String,
    /// When it started.
    pub started: String,
    /// When the configuration in force was loaded.
    pub loaded: String,
    /// Why the newest configuration is not in force, if it is not.
    pub refused_config: Option<String>,
    /// `sealed` (waiting for the root key), `starting`, `serving` or `draining`.
    pub phase: String,
    /// Why the KMS is sealed, if it is.
    #[serde(default)]
    pub sealed: Option<String>,
    /// Address of `/livez`, `/readyz` and `/metrics`, if they are served.
    pub admin_http: Option<String>,
    /// Its listeners.
    pub listeners: Vec<ListenerStatus>,
    /// Its target groups.
    pub target_groups: Vec<TargetGroupStatus>,
    /// Files of the store that are not served, and why.
    pub refused_entries: Vec<RefusedEntry>,
    /// Calls of the KMS for entries of the store since the start.
    #[serde(default)]
    pub kms_calls: KmsCalls,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Address and port.
    pub bind: String,
    /// `http` or `https`.
    pub protocol: String,
    /// Connections open now.
    pub connections: u64,
    /// The certificates that it may show; none for a plain one.
    pub certificates: Vec<ServedStatus>,
}

/// A certificate as it is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServedStatus {
    /// The entry's name.
    pub name: String,
    /// The kind of its key.
    pub key_type: String,
    /// The certificate's serial number in hexadecimal.
    pub serial: String,
    /// When it expires.
    pub not_after: String,
}

/// One target group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroupStatus {
    /// Its name.
    pub name: String,
    /// Its targets.
    pub targets: Vec<TargetStatus>,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// Address and port.
    pub address: String,
    /// `healthy`, `unhealthy`, `initial` (not probed yet) or `unchecked`.
    pub health: String,
    /// Why, from the last probe.
    pub reason: Option<String>,
    /// Requests under way.
    pub in_flight: u64,
}

/// A sealed file that is not served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefusedEntry {
    /// The file.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// A configuration was put in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The file.
    pub config: String,
    /// What is different now, for people; empty when nothing is.
    pub changes: Vec<String>,
}

/// A certificate was sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Imported {
    /// What was sealed.
    pub entry: Entry,
    /// What is remarkable about the input: the chain was not in order, say.
    pub remarks: Vec<String>,
    /// Where it is served; none if no balancer runs.
    pub publication: Option<Publication>,
}

/// An entry of the store without its key. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The entry's name.
    pub name: String,
    /// The kind of key: `ecdsa-p256`, …
    pub key_type: String,
    /// `issued` or `pending` (a certificate signing request is out).
    pub state: String,
    /// The names that the certificate is for.
    pub names: Vec<String>,
    /// Who issued it; none while pending.
    pub issuer: Option<String>,
    /// The serial number in hexadecimal; none while pending.
    pub serial: Option<String>,
    /// SHA-256 of the leaf certificate in hexadecimal; none while pending.
    pub sha256: Option<String>,
    /// From when it is valid.
    pub not_before: Option<String>,
    /// Until when it is valid.
    pub not_after: Option<String>,
    /// Whether the key may leave the store.
    pub exportable: bool,
    /// How often the entry was written.
    pub version: u64,
    /// The KMS key that wraps its data key or bucket key; none where the bucket key's record cannot be read.
    pub kms_key: Option<String>,
    /// The bucket key that its data key is derived from; none where it has one of its own.
    #[serde(default)]
    pub bucket_key: Option<String>,
    /// The file.
    pub file: String,
}

/// A new certificate on its way to the clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Publication {
    /// Handshakes of the balancer with itself that were answered with the new certificate.
    pub proofs: Vec<Proof>,
    /// Why a listener that should does not show it, or why none does.
    pub remarks: Vec<String>,
    /// Whether a listener that should show the certificate does not.
    pub failed: bool,
    /// Milliseconds from the request to the last proof.
    pub elapsed_ms: f64,
}

/// The new certificate was seen in a handshake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// The listener.
    pub listener: String,
    /// The address that was connected to.
    pub address: String,
    /// The server name that was asked for.
    pub server_name: String,
}

/// What opening every entry showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Entries that open and are what they say.
    pub good: u64,
    /// The others.
    pub bad: Vec<RefusedEntry>,
    /// What is no fault but worth knowing: expired certificates, requests not completed.
    pub remarks: Vec<String>,
}

/// What a look at every record of the audit log has shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditVerification {
    /// Files that were looked at.
    pub files: u64,
    /// Records that are whole and in their place.
    pub records: u64,
    /// Of these, the records of calls.
    pub calls: u64,
    /// The number of the first record that was looked at.
    pub first: u64,
    /// The number of the last one that is whole and in its place.
    pub last: u64,
    /// The number of the last checkpoint that the key database holds; 0: none.
    pub checkpoint: u64,
    /// Times when the log could not be written.
    pub gaps: u64,
    /// What is no fault but worth knowing.
    pub remarks: Vec<String>,
    /// The first thing that is wrong.
    pub fault: Option<AuditFault>,
}

/// The first thing that is wrong with an audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditFault {
    /// The number of the first record that is not what, or where, it was.
    pub record: u64,
    /// `edited`, `missing`, `reordered`, `repeated`, `inserted`, `foreign` or `diverged`.
    pub what: String,
    /// The file in which that shows.
    pub file: String,
    /// At which byte.
    pub offset: u64,
    /// All that in words.
    pub message: String,
}

/// A root key. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RootDescription {
    /// Where it is kept, for programs.
    pub source: kms::RootKeySource,
    /// Where it is kept, for people.
    pub place: String,
    /// What tells it from others, 16 hexadecimal digits.
    pub fingerprint: String,
    /// When its record was made; none for a file.
    pub created: Option<String>,
    /// How many shares it takes, and how many there are.
    pub sharing: Option<(u8, u8)>,
    /// Whether records may be left under the root key before.
    pub moving: bool,
}

/// The database is under another root key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RootMoved {
    /// The fingerprint of the old one.
    pub before: String,
    /// The new one.
    pub now: RootDescription,
    /// The file in which the old one is.
    pub kept: Option<String>,
}

/// Whether a KMS is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SealState {
    /// What it waits for, for people; none: it is open.
    pub waits_for: Option<String>,
    /// What people are asked for, if they can help.
    pub question: Option<String>,
    /// Whether the keys are out of memory.
    pub wiped: bool,
}

/// The store was moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resealed {
    /// The KMS key under which everything is now.
    pub kms_key: String,
    /// The generation of its material.
    pub backing_key: u32,
    /// Entries that were moved.
    pub moved: u64,
    /// Entries that were there already.
    pub unchanged: u64,
    /// Files that could not be moved, and stay as they are.
    pub bad: Vec<RefusedEntry>,
}

/// The way of a request, or the place where it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The URL that was asked about.
    pub url: String,
    /// Stage by stage.
    pub stages: Vec<Stage>,
    /// Whether a target would be asked, or a redirect or fixed answer given.
    pub answered: bool,
}

/// One stage of a request's way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// `listener`, `certificate`, `rule`, `target group`, `target`.
    pub stage: String,
    /// What is chosen.
    pub choice: String,
    /// Why.
    pub because: String,
}
