//! Keys that several regions have in common: the same id and material in each.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What a multi-region key is here, and where else it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultiRegion {
    /// Whether this one is the primary.
    pub kind: MultiRegionKind,
    /// The primary's region.
    pub primary: String,
    /// The replicas' regions, as far as they are known here.
    pub replicas: BTreeSet<String>,
}

/// Which of a multi-region key's parts one is. The names are AWS's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MultiRegionKind {
    /// The one that is replicated and rotated.
    Primary,
    /// One that was made from the primary.
    Replica,
}

impl MultiRegionKind {
    /// As AWS writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::Replica => "REPLICA",
        }
    }
}
