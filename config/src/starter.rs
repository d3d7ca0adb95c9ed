//! The configuration to start from.

/// The commented `sealgate.yaml` that `sealgate init` writes. It serves `certificates`, entries of the
/// sealed store; if none are named, every valid entry.
pub fn starter(certificates: &[&str]) -> String {
    if certificates.is_empty() {
        return STARTER.to_owned();
    }
    let names = serde_json::to_string(certificates).expect("names are text");
    STARTER.replacen(EVERY, &format!("certificates: {names}"), 1)
}

const STARTER: &str = include_str!("starter.yaml");
const EVERY: &str = r#"certificates: ["*"]"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateSelector, Config};

    /// The lines without the `#` of settings that are not in force, for lines that `choose` picks.
    /// A setting is `#key` or, deeper, `#  key`; a comment is `# Word`.
    fn uncommented(choose: impl Fn(usize) -> bool) -> String {
        let mut block = 0;
        let mut inside = false;
        let lines = STARTER.lines().map(|line| {
            let rest = line.trim_start().strip_prefix('#');
            let setting = rest.filter(|rest| !rest.starts_with(' ') || rest.starts_with("  "));
            block += usize::from(setting.is_some() && !inside);
            inside = setting.is_some();
            let chosen = setting.is_some() && choose(block);
            if chosen {
                line.replacen('#', "", 1)
            } else {
                line.to_owned()
            }
        });
        lines.map(|line| line + "\n").collect()
    }

    #[test]
    fn starter_is_accepted_without_a_warning() {
        let loaded = Config::parse("sealgate.yaml", &starter(&[])).expect("accepted");
        assert!(loaded.warnings.is_empty());
    }

    #[test]
    fn starter_names_the_certificates() {
        let text = starter(&["shop.example.com", "*.example.com"]);
        let config = Config::parse("sealgate.yaml", &text)
            .expect("accepted")
            .config;
        let tls = config.listeners[0].tls.as_ref().expect("TLS");
        assert_eq!(tls.certificates.len(), 2);
        assert_eq!(
            tls.certificates[0],
            CertificateSelector::Name("shop.example.com".to_owned())
        );
    }

    #[test]
    fn everything_can_be_set_at_once() {
        let text = uncommented(|_| true);
        let loaded =
            Config::parse("sealgate.yaml", &text).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(
            loaded.warnings.is_empty(),
            "{}",
            crate::render(&loaded.warnings, false)
        );
        assert_eq!(loaded.config.rules.len(), 2);
    }

    #[test]
    fn each_setting_can_be_set_alone() {
        let count = std::cell::Cell::new(0);
        uncommented(|block| {
            count.set(block);
            false
        });
        assert!(count.get() > 10);
        for block in 1..=count.get() {
            // The rules name the group `canary`, which is a setting of its own.
            let text = uncommented(|each| each == block || each == count.get());
            Config::parse("sealgate.yaml", &text).unwrap_or_else(|faults| panic!("{faults}"));
        }
    }
}
