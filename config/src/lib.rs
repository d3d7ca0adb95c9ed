//! The configuration document of Sealgate: its YAML, what is allowed in it, and what is wrong with one.
//!
//! Two sets of types: the *document*, which mirrors the YAML and resolves nothing, and [`Config`], in
//! which every default is filled in, every name is bound and every range is checked. The rest of the
//! product sees only the second.

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
mod settings;
mod span;
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
pub use settings::{AccessLog, Admin, Config, RootKey};
pub use target_group::{
    Algorithm, CertificateAuthorities, HealthCheck, OnAllUnhealthy, Target, TargetGroup,
    TargetLimits, TargetProtocol, TargetTls,
};
