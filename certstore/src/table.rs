//! The table from which each handshake takes its certificate.
//!
//! A table is a value: a change makes a new one that shares everything else with the old, so that one
//! swap among a hundred thousand certificates costs what one swap among ten does.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::SystemTime;

use imbl::HashMap;
use rustls::SignatureScheme;

use crate::key_type::{KeyFamily, KeyType};
use crate::served::ServedCertificate;

/// All certificates that may be served, by the names that they are for.
#[derive(Clone, Default)]
pub struct CertTable {
    exact: HashMap<Arc<str>, Twins>,
    /// By what follows the `*.`.
    wildcard: HashMap<Arc<str>, Twins>,
    by_entry: HashMap<Arc<str>, Twins>,
}

/// Certificates that share a name: twins of other key families, and other entries.
type Twins = Arc<[Arc<ServedCertificate>]>;

/// What decides which certificates a client can use.
#[derive(Debug, Clone, Copy)]
pub struct ClientOffer<'a> {
    /// The signature schemes that it verifies.
    pub signature_schemes: &'a [SignatureScheme],
    /// Whether a suite in common takes ECDSA and Ed25519 keys; always so with TLS 1.3.
    pub ecdsa_suites: bool,
    /// Whether a suite in common takes RSA keys; always so with TLS 1.3.
    pub rsa_suites: bool,
}

impl ClientOffer<'_> {
    fn takes(&self, certificate: &ServedCertificate) -> bool {
        let suites = match certificate.key_type.family() {
            KeyFamily::Ecdsa | KeyFamily::Ed25519 => self.ecdsa_suites,
            KeyFamily::Rsa => self.rsa_suites,
        };
        let signer = || certificate.key.key.choose_scheme(self.signature_schemes);
        suites && signer().is_some()
    }
}

impl CertTable {
    /// Puts `certificate` in the place of its entry's twin of the same family.
    ///
    /// What other tables share with this one stays as it is.
    pub fn insert(&mut self, certificate: Arc<ServedCertificate>) {
        self.remove(&certificate.entry, certificate.key_type.family());
        for name in &certificate.names {
            let (map, name) = self.map_of(name);
            add(map, name, &certificate);
        }
        add(&mut self.by_entry, &certificate.entry, &certificate);
    }

    /// Removes the certificate of the entry `entry` of that family, and returns it.
    pub fn remove(&mut self, entry: &str, family: KeyFamily) -> Option<Arc<ServedCertificate>> {
        let old = self.entry_of_family(entry, family)?.clone();
        for name in &old.names {
            let (map, name) = self.map_of(name);
            remove(map, name, &old);
        }
        remove(&mut self.by_entry, entry, &old);
        Some(old)
    }

    /// This table with `certificate` in the place of its entry's twin of the same family.
    #[must_use]
    pub fn with(&self, certificate: Arc<ServedCertificate>) -> Self {
        let mut table = self.clone();
        table.insert(certificate);
        table
    }

    /// This table without the certificate of the entry `entry` of that family, if it has one.
    #[must_use]
    pub fn without(&self, entry: &str, family: KeyFamily) -> Self {
        let mut table = self.clone();
        table.remove(entry, family);
        table
    }

    /// The certificates of the entry `entry`: one for each family of keys.
    pub fn entry(&self, entry: &str) -> &[Arc<ServedCertificate>] {
        self.by_entry.get(entry).map_or(&[], |twins| twins)
    }

    /// The certificate of the entry `entry` with a key of that family.
    pub fn entry_of_family(
        &self,
        entry: &str,
        family: KeyFamily,
    ) -> Option<&Arc<ServedCertificate>> {
        let mut twins = self.entry(entry).iter();
        twins.find(|certificate| certificate.key_type.family() == family)
    }

    /// All certificates, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ServedCertificate>> {
        self.by_entry.values().flat_map(|twins| twins.iter())
    }

    /// The best certificate for `server_name` (lower case, no trailing dot) among those that
    /// `permitted` lets through: one that the client can use, then rather one that is valid at `now`,
    /// exact rather than wildcard, ECDSA rather than RSA, newer rather than older.
    pub fn select(
        &self,
        server_name: &str,
        offer: ClientOffer<'_>,
        now: SystemTime,
        permitted: impl Fn(&ServedCertificate) -> bool,
    ) -> Option<&Arc<ServedCertificate>> {
        let domain = server_name.split_once('.').map(|(_, domain)| domain);
        let exact = self.exact.get(server_name);
        let wildcard = domain.and_then(|domain| self.wildcard.get(domain));
        let exact = exact.into_iter().flat_map(|twins| twins.iter());
        let wildcard = wildcard.into_iter().flat_map(|twins| twins.iter());
        exact
            .map(|certificate| (true, certificate))
            .chain(wildcard.map(|certificate| (false, certificate)))
            .filter(|(_, certificate)| permitted(certificate) && offer.takes(certificate))
            .max_by_key(|(exact, certificate)| rank(certificate, *exact, now))
            .map(|(_, certificate)| certificate)
    }

    /// The best certificate of the entry `entry`, by the same order.
    pub fn select_entry(
        &self,
        entry: &str,
        offer: ClientOffer<'_>,
        now: SystemTime,
    ) -> Option<&Arc<ServedCertificate>> {
        let usable = self.entry(entry).iter().filter(|c| offer.takes(c));
        usable.max_by_key(|certificate| rank(certificate, true, now))
    }

    fn map_of<'n>(&mut self, name: &'n str) -> (&mut HashMap<Arc<str>, Twins>, &'n str) {
        match name.strip_prefix("*.") {
            Some(domain) => (&mut self.wildcard, domain),
            None => (&mut self.exact, name),
        }
    }
}

/// Greater is better. The name decides between equals, so that every table chooses alike.
fn rank(certificate: &ServedCertificate, exact: bool, now: SystemTime) -> impl Ord {
    let cheap = match certificate.key_type {
        KeyType::EcdsaP256 => 3,
        KeyType::EcdsaP384 => 2,
        KeyType::Ed25519 => 1,
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => 0,
    };
    let valid = certificate.is_valid_at(now);
    let newest = (certificate.not_before, certificate.version);
    (
        valid,
        exact,
        cheap,
        newest,
        Reverse(certificate.entry.as_str()),
    )
}

fn add(map: &mut HashMap<Arc<str>, Twins>, name: &str, certificate: &Arc<ServedCertificate>) {
    let others = map.get(name).map_or(&[][..], |twins| twins);
    let twins = others.iter().chain([certificate]).cloned().collect();
    map.insert(name.into(), twins);
}

fn remove(map: &mut HashMap<Arc<str>, Twins>, name: &str, certificate: &Arc<ServedCertificate>) {
    let Some(twins) = map.get(name) else { return };
    let others = twins.iter().filter(|c| !Arc::ptr_eq(c, certificate));
    let others: Twins = others.cloned().collect();
    if others.is_empty() {
        map.remove(name);
    } else {
        map.insert(name.into(), others);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::sign::CertifiedKey;

    use super::*;
    use crate::request::generate;

    const ALL: &[SignatureScheme] = &[
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureScheme::ED25519,
    ];

    fn offer(signature_schemes: &[SignatureScheme]) -> ClientOffer<'_> {
        ClientOffer {
            signature_schemes,
            ecdsa_suites: true,
            rsa_suites: true,
        }
    }

    fn day(number: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(number * 24 * 3600)
    }

    /// A certificate that is valid from one day to another.
    fn certificate(
        entry: &str,
        names: &[&str],
        key_type: KeyType,
        days: (u64, u64),
    ) -> Arc<ServedCertificate> {
        let pair = generate(key_type).unwrap();
        let key = PrivateKeyDer::try_from(pair.serialized_der()).unwrap();
        let key = CertifiedKey::new(Vec::new(), any_supported_type(&key).unwrap());
        Arc::new(ServedCertificate {
            entry: entry.to_owned(),
            key_type,
            version: 1,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            serial: String::new(),
            sha256: String::new(),
            not_before: day(days.0),
            not_after: day(days.1),
            key: Arc::new(key),
        })
    }

    fn table(certificates: &[&Arc<ServedCertificate>]) -> CertTable {
        let add = |table: CertTable, certificate: &&Arc<ServedCertificate>| {
            table.with(Arc::clone(certificate))
        };
        certificates.iter().fold(CertTable::default(), add)
    }

    /// The entry that is chosen on day 10, whatever the order in which the table was filled.
    fn chosen(certificates: &[&Arc<ServedCertificate>], host: &str) -> Option<String> {
        let reversed: Vec<_> = certificates.iter().copied().rev().collect();
        let choose = |table: CertTable| {
            let found = table.select(host, offer(ALL), day(10), |_| true);
            found.map(|certificate| format!("{} {}", certificate.entry, certificate.key_type))
        };
        let one = choose(table(certificates));
        assert_eq!(one, choose(table(&reversed)));
        one
    }

    #[test]
    fn wildcards_stand_for_one_label() {
        let wild = certificate("wild", &["*.example.com"], KeyType::EcdsaP256, (1, 20));
        for (host, found) in [
            ("shop.example.com", true),
            ("a.shop.example.com", false),
            ("example.com", false),
            ("com", false),
            ("", false),
        ] {
            assert_eq!(chosen(&[&wild], host).is_some(), found, "{host}");
            assert_eq!(wild.covers(host), found, "{host}");
        }
    }

    #[test]
    fn an_exact_name_goes_before_a_wildcard() {
        let exact = certificate("exact", &["a.example.com"], KeyType::Ed25519, (1, 20));
        let wild = certificate("wild", &["*.example.com"], KeyType::EcdsaP256, (2, 20));
        assert_eq!(
            chosen(&[&exact, &wild], "a.example.com").unwrap(),
            "exact ed25519"
        );
        assert_eq!(
            chosen(&[&exact, &wild], "b.example.com").unwrap(),
            "wild ecdsa-p256"
        );
    }

    #[test]
    fn a_valid_wildcard_goes_before_an_exact_name_that_expired() {
        let exact = certificate("exact", &["a.example.com"], KeyType::EcdsaP256, (1, 9));
        let wild = certificate("wild", &["*.example.com"], KeyType::EcdsaP256, (1, 20));
        assert_eq!(
            chosen(&[&exact, &wild], "a.example.com").unwrap(),
            "wild ecdsa-p256"
        );
        assert_eq!(
            chosen(&[&exact], "a.example.com").unwrap(),
            "exact ecdsa-p256",
            "rather than none"
        );
    }

    #[test]
    fn one_that_is_not_valid_yet_waits() {
        let now = certificate("now", &["a.example"], KeyType::EcdsaP256, (1, 20));
        let later = certificate("later", &["a.example"], KeyType::EcdsaP256, (11, 30));
        assert_eq!(
            chosen(&[&now, &later], "a.example").unwrap(),
            "now ecdsa-p256"
        );
    }

    #[test]
    fn the_cheapest_twin_that_the_client_takes() {
        let ecdsa = certificate("a.example", &["a.example"], KeyType::EcdsaP256, (1, 20));
        let rsa = certificate("a.example", &["a.example"], KeyType::Rsa2048, (5, 20));
        assert_eq!(
            chosen(&[&ecdsa, &rsa], "a.example").unwrap(),
            "a.example ecdsa-p256"
        );
        let table = table(&[&ecdsa, &rsa]);
        let type_for = |offer| {
            table
                .select("a.example", offer, day(10), |_| true)
                .map(|c| c.key_type)
        };
        assert_eq!(type_for(offer(&ALL[..1])), Some(KeyType::Rsa2048));
        assert_eq!(type_for(offer(&[SignatureScheme::ED25519])), None);
        let only_rsa_suites = ClientOffer {
            ecdsa_suites: false,
            ..offer(ALL)
        };
        assert_eq!(type_for(only_rsa_suites), Some(KeyType::Rsa2048));
        assert_eq!(
            table
                .select_entry("a.example", only_rsa_suites, day(10))
                .unwrap()
                .key_type,
            KeyType::Rsa2048
        );
    }

    #[test]
    fn the_newest_of_equals_and_only_what_is_permitted() {
        let old = certificate("b", &["a.example"], KeyType::EcdsaP256, (1, 20));
        let new = certificate("c", &["a.example"], KeyType::EcdsaP256, (2, 15));
        let same = certificate("a", &["a.example"], KeyType::EcdsaP256, (2, 15));
        assert_eq!(chosen(&[&old, &new], "a.example").unwrap(), "c ecdsa-p256");
        assert_eq!(
            chosen(&[&old, &new, &same], "a.example").unwrap(),
            "a ecdsa-p256",
            "the order does not decide"
        );
        let table = table(&[&old, &new]);
        let found = table.select("a.example", offer(ALL), day(10), |certificate| {
            certificate.entry == "b"
        });
        assert_eq!(found.unwrap().entry, "b");
    }

    #[test]
    fn a_replacement_takes_the_names_of_what_it_replaces() {
        let old = certificate(
            "e",
            &["a.example", "*.a.example", "127.0.0.1"],
            KeyType::EcdsaP256,
            (1, 20),
        );
        let twin = certificate("e", &["a.example"], KeyType::Rsa2048, (1, 20));
        let new = certificate("e", &["b.example"], KeyType::EcdsaP384, (1, 20));
        let before = table(&[&old, &twin]);
        let after = before.with(new.clone());
        let types = |host: &str| chosen_in(&after, host);
        assert_eq!(types("a.example"), Some(KeyType::Rsa2048));
        assert_eq!((types("x.a.example"), types("127.0.0.1")), (None, None));
        assert_eq!(types("b.example"), Some(KeyType::EcdsaP384));
        assert_eq!(after.entry("e").len(), 2);
        assert_eq!(
            chosen_in(&before, "a.example"),
            Some(KeyType::EcdsaP256),
            "the old table is a value"
        );
    }

    fn chosen_in(table: &CertTable, host: &str) -> Option<KeyType> {
        table
            .select(host, offer(ALL), day(10), |_| true)
            .map(|certificate| certificate.key_type)
    }

    #[test]
    fn what_is_removed_leaves_nothing() {
        let one = certificate(
            "e",
            &["a.example", "*.example"],
            KeyType::EcdsaP256,
            (1, 20),
        );
        let twin = certificate("e", &["a.example"], KeyType::Ed25519, (1, 20));
        let full = table(&[&one, &twin]);
        let less = full.without("e", KeyFamily::Ecdsa);
        assert_eq!(chosen_in(&less, "a.example"), Some(KeyType::Ed25519));
        assert_eq!(less.without("e", KeyFamily::Rsa).iter().count(), 1);
        let empty = less.without("e", KeyFamily::Ed25519);
        assert!(empty.exact.is_empty() && empty.wildcard.is_empty() && empty.by_entry.is_empty());
        drop((full, less));
        assert_eq!(Arc::strong_count(&one), 1);
    }
}
