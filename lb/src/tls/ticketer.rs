//! Session tickets (RFC 5077; RFC 8446, section 4.6.1) without a lock on the path of a handshake.
//!
//! A ticket is what rustls remembers of a session, sealed with AES-256-GCM under a key that lives in
//! this process alone:
//!
//! ```text
//! key name (16 bytes) | nonce (12) | ciphertext | tag (16)
//! ```
//!
//! Each epoch draws a new key at random. The key of the epoch before is kept to open tickets, and
//! destroyed with the end of the present one: a ticket is good for at least one epoch and at most two.
//! Nonces are random: at 100,000 tickets a second an epoch makes 2^31, of which two share a nonce with
//! a probability below 2^-34.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use config::SecurityPolicy;
use parking_lot::Mutex;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

/// The ticket keys of all listeners. They outlive every reload, so that clients resume across it.
///
/// A session that began without a client certificate must not be resumed where one is demanded, nor
/// one of an older policy under a newer: each such combination has keys of its own.
#[derive(Debug, Default)]
pub struct Ticketers {
    by_use: Mutex<HashMap<Use, Arc<Ticketer>>>,
}

/// What tickets are good for.
type Use = (String, SecurityPolicy, ClientAuthentication);

/// How clients are asked for certificates: whatever decides which are let in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientAuthentication {
    /// They are not.
    None,
    /// They are, and verified by what this digest stands for.
    Verified([u8; 32]),
}

impl Ticketers {
    /// The keys for `listener`, the same ones whenever it is asked for.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn get(
        &self,
        listener: &str,
        policy: SecurityPolicy,
        clients: ClientAuthentication,
    ) -> Result<Arc<Ticketer>, NoRandomness> {
        let mut by_use = self.by_use.lock();
        let key = (listener.to_owned(), policy, clients);
        if let Some(ticketer) = by_use.get(&key) {
            return Ok(Arc::clone(ticketer));
        }
        let ticketer = Arc::new(Ticketer::new(Instant::now())?);
        by_use.insert(key, Arc::clone(&ticketer));
        Ok(ticketer)
    }

    /// Ends the epochs that are over at `now` and destroys keys that nothing uses any more. To be called
    /// every minute or so: a key must not outlive its time for want of traffic.
    pub fn rotate(&self, now: Instant) {
        let is_used = |ticketer: &Arc<Ticketer>| Arc::strong_count(ticketer) > 1;
        let mut by_use = self.by_use.lock();
        by_use.retain(|_, ticketer| is_used(ticketer) || now < ticketer.keys.load().until);
        by_use.values().for_each(|ticketer| ticketer.rotate(now));
    }
}

/// The keys of one use.
pub struct Ticketer {
    keys: ArcSwap<Keys>,
}

/// Replaced whole.
struct Keys {
    current: Arc<TicketKey>,
    previous: Option<Arc<TicketKey>>,
    /// When the present epoch ends.
    until: Instant,
}

/// AWS-LC wipes the memory of the key when it frees it.
struct TicketKey {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
}

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes for session tickets")]
pub struct NoRandomness;

impl Ticketer {
    fn new(now: Instant) -> Result<Self, NoRandomness> {
        let keys = Keys {
            current: Arc::new(TicketKey::generate()?),
            previous: None,
            until: now + EPOCH,
        };
        Ok(Self {
            keys: ArcSwap::from_pointee(keys),
        })
    }

    /// Begins a new epoch if the present one is over.
    fn rotate(&self, now: Instant) {
        let keys = self.keys.load();
        if now < keys.until {
            return;
        }
        let Ok(key) = TicketKey::generate() else {
            return;
        };
        // After a pause of more than an epoch the present key has had its time as a previous one too.
        let still_good = now < keys.until + EPOCH;
        let next = Keys {
            current: Arc::new(key),
            previous: still_good.then(|| Arc::clone(&keys.current)),
            until: now + EPOCH,
        };
        // Whoever comes first wins; the other keys were never used.
        self.keys.compare_and_swap(&keys, Arc::new(next));
    }

    fn seal(&self, plain: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.rotate(now);
        let keys = self.keys.load();
        // Without randomness there is no new key, and the old one makes no more tickets.
        (now < keys.until).then(|| keys.current.seal(plain))?
    }

    fn open(&self, ticket: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.rotate(now);
        let keys = self.keys.load();
        let (name, sealed) = ticket.split_at_checked(NAME_LEN)?;
        let previous = keys.previous.as_deref().filter(|_| now < keys.until);
        let keys = [Some(&*keys.current), previous];
        let key = keys.into_iter().flatten().find(|key| key.name == name)?;
        key.open(sealed)
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, Instant::now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, Instant::now())
    }
}

impl fmt::Debug for Ticketer {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticketer").finish_non_exhaustive()
    }
}

impl TicketKey {
    fn generate() -> Result<Self, NoRandomness> {
        let mut name = [0; NAME_LEN];
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(&mut name).map_err(|_| NoRandomness)?;
        rand::fill(&mut *bytes).map_err(|_| NoRandomness)?;
        let key = UnboundKey::new(&AES_256_GCM, &*bytes).map_err(|_| NoRandomness)?;
        Ok(Self {
            name,
            key: LessSafeKey::new(key),
        })
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(OVERHEAD + plain.len());
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let body = &mut ticket[NAME_LEN + NONCE_LEN..];
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(self.name), body);
        ticket.extend_from_slice(tag.ok()?.as_ref());
        Some(ticket)
    }

    fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut body = body.to_vec();
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(self.name), &mut body);
        let length = plain.ok()?.len();
        body.truncate(length);
        Some(body)
    }
}

/// How long a key makes tickets, and then opens them.
const EPOCH: Duration = Duration::from_secs(LIFETIME_SECONDS as u64);

/// Six hours.
const LIFETIME_SECONDS: u32 = 6 * 60 * 60;

const NAME_LEN: usize = 16;

/// Key name, nonce and tag.
const OVERHEAD: usize = NAME_LEN + NONCE_LEN + 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn ticketer() -> (Ticketer, Instant) {
        let now = Instant::now();
        (Ticketer::new(now).unwrap(), now)
    }

    #[test]
    fn tickets_open_until_the_end_of_the_next_epoch() {
        let (ticketer, start) = ticketer();
        let ticket = ticketer.seal(b"session", start).unwrap();
        let opens = |at| ticketer.open(&ticket, start + at) == Some(b"session".to_vec());
        assert!(opens(Duration::ZERO));
        assert!(opens(EPOCH));
        assert!(opens(EPOCH * 2 - Duration::from_secs(1)));
        assert!(!opens(EPOCH * 2));
    }

    #[test]
    fn a_long_pause_destroys_both_keys() {
        let (ticketer, start) = ticketer();
        let ticket = ticketer.seal(b"session", start).unwrap();
        assert_eq!(ticketer.open(&ticket, start + EPOCH * 2), None);
        assert!(ticketer.keys.load().previous.is_none());
    }

    #[test]
    fn rotation_destroys_the_key_before_the_previous_one() {
        let (ticketer, start) = ticketer();
        let first = Arc::downgrade(&ticketer.keys.load().current);
        ticketer.rotate(start + EPOCH);
        assert!(first.upgrade().is_some());
        ticketer.rotate(start + EPOCH * 2);
        assert!(first.upgrade().is_none());
    }

    #[test]
    fn altered_and_foreign_tickets_do_not_open() {
        let (ticketer, now) = ticketer();
        let ticket = ticketer.seal(b"session", now).unwrap();
        for at in 0..ticket.len() {
            let mut altered = ticket.clone();
            altered[at] ^= 1;
            assert_eq!(ticketer.open(&altered, now), None, "byte {at}");
            assert_eq!(ticketer.open(&ticket[..at], now), None, "length {at}");
        }
        let (other, now) = self::ticketer();
        assert_eq!(other.open(&ticket, now), None);
    }

    #[test]
    fn each_use_has_its_own_keys_and_keeps_them() {
        let ticketers = Ticketers::default();
        let get = |name, policy, clients| ticketers.get(name, policy, clients).unwrap();
        let none = || ClientAuthentication::None;
        let first = get("https", SecurityPolicy::Modern, none());
        let again = get("https", SecurityPolicy::Modern, none());
        assert!(Arc::ptr_eq(&first, &again));
        for other in [
            get("other", SecurityPolicy::Modern, none()),
            get("https", SecurityPolicy::Compatible, none()),
            get(
                "https",
                SecurityPolicy::Modern,
                ClientAuthentication::Verified([0; 32]),
            ),
        ] {
            assert!(!Arc::ptr_eq(&first, &other));
        }
    }

    #[test]
    fn keys_of_removed_listeners_go_when_their_time_is_over() {
        let ticketers = Ticketers::default();
        let now = Instant::now();
        let used = ticketers.get("a", SecurityPolicy::Modern, ClientAuthentication::None);
        ticketers
            .get("b", SecurityPolicy::Modern, ClientAuthentication::None)
            .unwrap();
        ticketers.rotate(now);
        assert_eq!(ticketers.by_use.lock().len(), 2);
        ticketers.rotate(now + EPOCH * 3);
        assert_eq!(ticketers.by_use.lock().len(), 1);
        drop(used);
    }
}
