//! The configuration document of Sealgate: its YAML, what is allowed in it, and what is wrong with one.
//!
//! Two sets of types: the *document*, which mirrors the YAML and resolves nothing, and [`Config`], in
//! which every default is filled in, every name is bound and every range is checked. The rest of the
//! product sees only the second.
//!
//! ```
//! let loaded = config::Config::parse("sealgate.yaml", r#"
//! version: 1
//! listeners:
//!   https:
//!     bind: "[::]:443"
//!     tls: { certificates: [shop.example.com] }
//!     action: { forward: shop }
//! target_groups:
//!   shop: { targets: ["10.0.1.11:8080"] }
//! "#)?;
//! assert_eq!(loaded.config.target_groups[0].name, "shop");
//! # Ok::<(), config::Diagnostics>(())
//! ```
//!
//! # The way of a document
//! 1. `yaml`: text to a tree of values, each with its place. Two YAML parsers must agree on it.
//! 2. `reader`: the tree to the types of `document`, by serde, with every fault and not only the first.
//! 3. `resolve`: these to a [`Config`]; `defaults` says what holds where nothing is written, `check`
//!    which texts have the right form, `suspect` what is valid and was probably not meant.
//! 4. `diagnostics`: the faults of all passes, in the order of the document, for people and programs.
//!
//! # What holds everywhere in the document
//! - Unknown keys are errors, and so are keys that are given twice, keys without a value, anchors,
//!   aliases and tags.
//! - Durations are a whole number with `ms`, `s`, `m`, `h` or `d`; sizes one with `B`, `KiB`, `MiB` or
//!   `GiB`. A bare number is refused.
//! - Where a list of words may stand, one word may stand too: `host: a.example` and `host: [a.example]`.
//! - Order-sensitive things are lists (`rules`), named things are mappings (`listeners`,
//!   `target_groups`). Names have up to 64 letters, digits, `-`, `_` and `.`.
//! - Relative paths are taken from the directory of the file.
//! - Secrets never stand in it in clear: a value of `target_groups.NAME.request_headers` may be `kms:BASE64`,
//!   the output of `sealgate kms encrypt --for PATH`, which opens at that place and nowhere else.
//!
//! Every key is described where it is declared, in `document.rs`; the descriptions are those of
//! [`schema`]. `examples/` holds whole documents, and [`starter`] one with every setting in comments.

mod defaults;
mod diagnostics;
mod document;
mod fault;
mod hints;
mod listener;
mod load;
mod reader;
mod resolve;
mod rule;
mod schema;
mod sealed;
mod settings;
mod span;
mod starter;
mod target_group;
mod units;
mod yaml;

pub use diagnostics::{Diagnostic, Diagnostics, Severity, render};

pub use listener::{
    CertificateSelector, HttpVersion, Listener, ListenerLimits, ListenerTls, SecurityPolicy,
    UnknownSni,
};
pub use load::{Loaded, MAX_BYTES};
pub use rule::{
    Action, FixedResponse, Forward, HeaderEdits, HostPattern, PathPattern, Redirect, Rule,
    RuleCondition,
};
pub use schema::schema;
pub use sealed::{FieldValue, Sealed, Secrets};
pub use settings::{AccessLog, Admin, Audit, AuditMode, Config, OnSealed, Quotas, RootKey};
pub use starter::starter;
pub use target_group::{
    Algorithm, CertificateAuthorities, HealthCheck, OnAllUnhealthy, Target, TargetGroup,
    TargetHeaders, TargetLimits, TargetProtocol, TargetTls,
};
