//! Who in a configuration needs a certificate or a trust store, in words for people.

use config::{CertificateAuthorities, Config, Listener, TargetGroup, TargetProtocol, UnknownSni};

/// The listeners and target groups that show the entry `name` of the store.
pub fn of_entry(config: &Config, name: &str) -> Vec<String> {
    let listeners = config
        .listeners
        .iter()
        .filter(|listener| shows(listener, name));
    let groups = config
        .target_groups
        .iter()
        .filter(|group| presents(group, name));
    listeners
        .map(|listener| format!("listener {}", listener.name))
        .chain(groups.map(|group| format!("target group {}", group.name)))
        .collect()
}

/// The target groups that trust the trust store `name`.
pub fn of_trust_store(config: &Config, name: &str) -> Vec<String> {
    let groups = config
        .target_groups
        .iter()
        .filter(|group| trusts(group, name));
    groups
        .map(|group| format!("target group {}", group.name))
        .collect()
}

fn shows(listener: &Listener, name: &str) -> bool {
    let Some(tls) = &listener.tls else {
        return false;
    };
    let by_default = match &tls.on_unknown_sni {
        UnknownSni::DefaultCertificate(default) => default == name,
        UnknownSni::Reject => false,
    };
    by_default
        || tls
            .certificates
            .iter()
            .any(|selector| selector.matches(name))
}

fn presents(group: &TargetGroup, name: &str) -> bool {
    matches!(&group.protocol, TargetProtocol::Https(tls) if tls.client_certificate.as_deref() == Some(name))
}

fn trusts(group: &TargetGroup, name: &str) -> bool {
    match &group.protocol {
        TargetProtocol::Https(tls) => {
            matches!(&tls.ca, Some(CertificateAuthorities::TrustStore(store)) if store == name)
        }
        TargetProtocol::Http => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "version: 1
listeners:
  one: { bind: \"127.0.0.1:1\", tls: { certificates: [a.example] }, action: { forward: web } }
  all: { bind: \"127.0.0.1:2\", tls: { certificates: [\"*\"] }, action: { forward: web } }
  default:
    bind: \"127.0.0.1:3\"
    tls: { certificates: [b.example], on_unknown_sni: { default_certificate: c.example } }
    action: { forward: web }
  plain: { bind: \"127.0.0.1:4\", action: { forward: web } }
target_groups:
  web:
    protocol: https
    tls: { server_name: web.internal, ca: internal, client_certificate: d.example }
    targets: [\"127.0.0.1:5\"]
  other: { targets: [\"127.0.0.1:6\"] }
";

    #[test]
    fn users_are_named() {
        let config = Config::parse("test.yaml", YAML).unwrap().config;
        assert_eq!(
            of_entry(&config, "a.example"),
            ["listener one", "listener all"]
        );
        assert_eq!(
            of_entry(&config, "c.example"),
            ["listener all", "listener default"]
        );
        assert_eq!(
            of_entry(&config, "d.example"),
            ["listener all", "target group web"]
        );
        assert_eq!(of_trust_store(&config, "internal"), ["target group web"]);
        assert!(of_trust_store(&config, "a.example").is_empty());
    }
}
