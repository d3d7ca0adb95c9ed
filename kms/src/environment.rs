//! Time and randomness, handed in so that tests own them.

use std::sync::Arc;
use std::time::SystemTime;

/// The wall clock.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> SystemTime;
}

/// A cryptographic source of randomness.
pub trait Random: Send + Sync {
    /// Fills `out` with fresh random bytes.
    fn fill(&self, out: &mut [u8]);
}

/// What a component needs of the world beyond its storage.
#[derive(Clone)]
pub struct Environment {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The source of keys, salts and nonces.
    pub random: Arc<dyn Random>,
}

impl Environment {
    /// The system's clock and random number generator.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        }
    }

    /// `N` fresh random bytes. Not for keys: those are filled in place.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) {
        // getrandom(2) without flags fails only where the system call itself is missing or blocked.
        // A process without randomness must not go on.
        getrandom::fill(out).expect("the system gives random bytes");
    }
}
