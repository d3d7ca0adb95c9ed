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
