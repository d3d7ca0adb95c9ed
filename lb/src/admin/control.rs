//! What the admin socket and the admin HTTP endpoint ask of a running balancer.

use super::protocol::{
    CertDelete, Entry, ExplainRequest, Explanation, Publication, Refusal, Reloaded, Status,
};

/// The handle by which a running balancer is watched and steered.
///
/// Every method may block (on disk, the KMS or a runtime): they are called from threads of their
/// own, never from one that serves clients, and from several at once.
pub trait Control: Send + Sync + 'static {
    /// How the balancer is.
    fn status(&self) -> Status;

    /// Reads the configuration anew and puts it in force, whole or not at all.
    ///
    /// # Errors
    /// All faults of the configuration; what served before goes on.
    fn reload(&self) -> Result<Reloaded, Refusal>;

    /// Announces that it will leave: it is not [ready](Self::ready) any more. Returns the connections
    /// that are open, and the seconds until what is left of them will be cut.
    fn drain(&self) -> Draining;

    /// Stops to listen, finishes what is in flight, and ends the process. Returns at once; later calls
    /// change nothing.
    fn leave(&self);

    /// Opens the log files anew, after a rotation. Does not block.
    fn reopen_logs(&self);

    /// Brings an entry of the store that was just written to the clients, and proves it by a handshake
    /// with each listener that should show it.
    fn publish(&self, entry: &Entry) -> Publication;

    /// Looks at the whole store, after entries were deleted.
    fn refresh(&self);

    /// What would no longer be served if that were deleted, in words for people.
    fn users_of_entry(&self, delete: &CertDelete) -> Vec<String>;

    /// Which target groups trust a trust store, in words for people.
    fn users_of_trust_store(&self, name: &str) -> Vec<String>;

    /// The way that a request would take now.
    ///
    /// # Errors
    /// When `request` is none.
    fn explain(&self, request: &ExplainRequest) -> Result<Explanation, Refusal>;

    /// Whether clients should be sent here: serving, and neither starting nor draining.
    ///
    /// # Errors
    /// Why not, in one line.
    fn ready(&self) -> Result<(), String>;

    /// The metrics in the OpenMetrics text format.
    fn metrics(&self) -> String;
}

/// The beginning of the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draining {
    /// Connections that are open.
    pub connections: u64,
    /// Seconds until what is left of them is cut.
    pub deadline_s: u64,
}
