//! What the sealed database holds of a log.

use uuid::Uuid;

use super::chain::Link;
use super::walk::Position;
use crate::error::Error;

/// The last checkpoint of a log, as the sealed database holds it: a log that ends before it was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Which log.
    pub log_id: Uuid,
    /// The checkpoint; [`Link::START`] of a log that has none yet.
    pub checkpoint: Link,
    /// The number of the file in which it stands.
    pub file: u64,
    /// The byte of that file behind its line.
    pub offset: u64,
}

impl Anchor {
    /// That of a log which has no record yet.
    pub fn new(log_id: Uuid) -> Self {
        Self {
            log_id,
            checkpoint: Link::START,
            file: 0,
            offset: 0,
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position {
            file: self.file,
            offset: self.offset,
            last: self.checkpoint,
        }
    }
}

/// Where the anchor is kept.
pub trait AnchorStore: Send + Sync {
    /// Keeps `anchor` in place of the one before; durable when this returns.
    ///
    /// # Errors
    /// What the storage says.
    fn put(&self, anchor: &Anchor) -> Result<(), Error>;
}
