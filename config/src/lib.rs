//! The configuration document of Sealgate: its YAML, what is allowed in it, and what is wrong with one.
//!
//! Two sets of types: the *document*, which mirrors the YAML and resolves nothing, and [`Config`], in
//! which every default is filled in, every name is bound and every range is checked. The rest of the
//! product sees only the second.

mod listener;
mod rule;
mod settings;
mod target_group;

pub use listener::{
    CertificateSelector, HttpVersion, Listener, ListenerLimits, ListenerTls, SecurityPolicy,
    UnknownSni,
};
pub use rule::{
    Action, FixedResponse, Forward, HeaderEdits, HostPattern, PathPattern, Redirect, Rule,
    RuleCondition,
};
pub use settings::{AccessLog, Admin, Config, RootKey};
pub use target_group::{
    Algorithm, CertificateAuthorities, HealthCheck, OnAllUnhealthy, Target, TargetGroup,
    TargetLimits, TargetProtocol, TargetTls,
};
