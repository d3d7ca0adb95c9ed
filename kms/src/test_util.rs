//! What the tests of several modules share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::environment::{Clock, Environment, Random};
use crate::key::Identity;
use crate::root_key::RootKey;
use crate::secret::SecretKey;

/// A root key of 32 times `byte`.
pub(crate) fn root_key(byte: u8) -> RootKey {
    let key = SecretKey::copy_from(&[byte; 32]).expect("32 bytes");
    RootKey::new(key, "a test")
}

/// Account 000000000000 in the region `local`.
pub(crate) fn identity() -> Identity {
    Identity::new("000000000000", "local").expect("it is well formed")
}

/// An environment in which every run is the same: the time stands, and the random bytes count.
pub(crate) fn repeatable() -> Environment {
    Environment {
        clock: Arc::new(Standing),
        random: Arc::new(Counting(AtomicU8::new(0))),
    }
}

/// An environment with the system's randomness, and a clock that stands where a test sets it.
pub(crate) fn settable(now: SystemTime) -> (Environment, Arc<SetClock>) {
    let clock = Arc::new(SetClock(Mutex::new(now)));
    let environment = Environment {
        clock: clock.clone(),
        ..Environment::system()
    };
    (environment, clock)
}

/// A clock that stands where it was set.
pub(crate) struct SetClock(Mutex<SystemTime>);

impl SetClock {
    pub(crate) fn set(&self, now: SystemTime) {
        *self.0.lock() = now;
    }
}

impl Clock for SetClock {
    fn now(&self) -> SystemTime {
        *self.0.lock()
    }
}

struct Standing;

impl Clock for Standing {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)
    }
}

struct Counting(AtomicU8);

impl Random for Counting {
    fn fill(&self, out: &mut [u8]) {
        out.fill_with(|| self.0.fetch_add(1, Ordering::Relaxed));
    }
}
