//! The seal of a KMS: whether its keys are in memory or not.
//!
//! Who works with keys holds a [`Seal`] and asks it for the [`Kms`] at every call, so that sealing takes
//! the keys from everybody at once. While it is sealed every call gets [`Error::Sealed`], which says what
//! it waits for. Nothing but the keys is lost: what was opened with them before (the certificates that
//! are served, for one) is not the seal's.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;

use crate::environment::Environment;
use crate::error::Error;
use crate::root_key::{Needs, Passphrase, RootKeySource, Share, Unlock};
use crate::service::Kms;
use crate::state::StateDirectory;

/// A KMS that may be sealed. Its clones are the same seal.
#[derive(Clone)]
pub struct Seal(Arc<Cell>);

struct Cell {
    kms: ArcSwapOption<Kms>,
    /// What it waits for while it is sealed.
    needs: ArcSwap<Needs>,
    /// Held while somebody seals or unseals.
    brought: Mutex<Waiting>,
}

/// What a sealed KMS has beside its reason.
#[derive(Default)]
struct Waiting {
    /// What was brought already.
    unlock: Unlock,
    /// The KMS that was sealed, as long as calls keep it.
    leaving: Weak<Kms>,
}

impl From<Arc<Kms>> for Seal {
    fn from(kms: Arc<Kms>) -> Self {
        Self::new(Some(kms), Needs::Unseal)
    }
}

impl From<Kms> for Seal {
    fn from(kms: Kms) -> Self {
        Arc::new(kms).into()
    }
}

impl Seal {
    /// A KMS that is not open yet.
    pub fn sealed(needs: Needs) -> Self {
        Self::new(None, needs)
    }

    fn new(kms: Option<Arc<Kms>>, needs: Needs) -> Self {
        Self(Arc::new(Cell {
            kms: ArcSwapOption::new(kms),
            needs: ArcSwap::from_pointee(needs),
            brought: Mutex::default(),
        }))
    }

    /// The KMS, for one call: who keeps it keeps its keys in memory.
    ///
    /// # Errors
    /// [`Error::Sealed`].
    pub fn get(&self) -> Result<Arc<Kms>, Error> {
        let open = self.0.kms.load_full();
        open.ok_or_else(|| Error::Sealed(Needs::clone(&self.0.needs.load())))
    }

    /// What it waits for, if it is sealed.
    pub fn needs(&self) -> Option<Needs> {
        match self.get() {
            Err(Error::Sealed(needs)) => Some(needs),
            _ => None,
        }
    }

    /// Takes the keys out of memory, and says whether they are out when this returns: calls under way keep
    /// them until they end, which is waited for up to `patience`.
    pub fn seal(&self, patience: Duration) -> bool {
        let mut brought = self.0.brought.lock();
        // Before the keys are gone: whoever misses them finds the reason.
        self.0.needs.store(Arc::new(Needs::Unseal));
        if let Some(kms) = self.0.kms.swap(None) {
            brought.leaving = Arc::downgrade(&kms);
        }
        brought.has_left(patience)
    }

    /// The KMS for whoever wants it for good, if it is open and no call is under way for `patience`.
    pub fn into_kms(self, patience: Duration) -> Option<Kms> {
        let mut kms = self.0.kms.swap(None)?;
        let mut left = patience;
        loop {
            match Arc::try_unwrap(kms) {
                Ok(kms) => return Some(kms),
                Err(_) if left.is_zero() => return None,
                Err(shared) => kms = shared,
            }
            std::thread::sleep(PAUSE);
            left = left.saturating_sub(PAUSE);
        }
    }

    /// Tries to open the KMS of `directory`, with `brought` (a passphrase, a share or a PIN: what it waits
    /// for) added to what was brought before; empty: with what is there. Says what is still missing, if
    /// anything is. What turns out to be wrong is forgotten. `equip` gives the KMS what else belongs to it.
    ///
    /// # Errors
    /// Why `brought` is wrong, or why the KMS does not open.
    pub fn unseal(
        &self,
        directory: &StateDirectory,
        root: Option<&RootKeySource>,
        brought: Passphrase,
        equip: &dyn Fn(Kms) -> Result<Kms, Error>,
    ) -> Result<Option<Needs>, Error> {
        let mut waiting = self.0.brought.lock();
        if self.0.kms.load().is_some() {
            return Ok(None);
        }
        // Two of them would write to the same files.
        if !waiting.has_left(LEAVING) {
            return Ok(Some(Needs::Calls));
        }
        let unlock = &mut waiting.unlock;
        let shares = unlock.shares.len();
        take(unlock, brought, &self.0.needs.load())?;
        let opened = directory.open_kms(root, unlock, Environment::system());
        match opened.and_then(equip) {
            Ok(kms) => {
                *unlock = Unlock::default();
                self.0.kms.store(Some(Arc::new(kms)));
                Ok(None)
            }
            Err(Error::Sealed(needs)) => {
                self.0.needs.store(Arc::new(needs.clone()));
                Ok(Some(needs))
            }
            Err(error) => {
                unlock.passphrase = None;
                unlock.pin = None;
                unlock.shares.truncate(shares);
                Err(error)
            }
        }
    }
}

impl Waiting {
    /// Whether the KMS that was sealed is out of memory, after at most `patience`.
    fn has_left(&self, patience: Duration) -> bool {
        let mut left = patience;
        while self.leaving.strong_count() > 0 {
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(PAUSE);
            left = left.saturating_sub(PAUSE);
        }
        true
    }
}

/// Puts `brought` where it belongs, given what is needed.
fn take(unlock: &mut Unlock, brought: Passphrase, needs: &Needs) -> Result<(), Error> {
    unlock.credentials = Unlock::from_process().credentials;
    if brought.is_empty() {
        return Ok(());
    }
    match needs {
        Needs::Shares { .. } => unlock.shares.push(Share::parse(brought.expose())?),
        Needs::Pin(_) => unlock.pin = Some(brought),
        _ => unlock.passphrase = Some(brought),
    }
    Ok(())
}

const PAUSE: Duration = Duration::from_millis(1);
/// How long an unsealing waits for the calls that were under way at the sealing.
const LEAVING: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use zeroize::Zeroizing;

    use super::*;
    use crate::state::InitOptions;

    const NOW: Duration = Duration::ZERO;

    fn nothing() -> Passphrase {
        Passphrase::new(Zeroizing::default())
    }

    fn made() -> (TempDir, StateDirectory, Seal) {
        let directory = TempDir::new().unwrap();
        let environment = Environment::system();
        let path = directory.path().join("state");
        let state = StateDirectory::init(&path, &InitOptions::default(), &environment).unwrap();
        let kms = state
            .open_kms(None, &Unlock::default(), environment)
            .unwrap();
        (directory, state, kms.into())
    }

    #[test]
    fn a_sealed_kms_says_so_at_every_call_until_it_is_unsealed() {
        let (_directory, state, seal) = made();
        assert_eq!(seal.needs(), None);
        let clone = seal.clone();
        assert!(seal.seal(NOW) && seal.seal(NOW));
        assert_eq!(clone.needs(), Some(Needs::Unseal));
        assert!(matches!(
            clone.get().map(drop),
            Err(Error::Sealed(Needs::Unseal))
        ));
        assert_eq!(clone.unseal(&state, None, nothing(), &Ok).unwrap(), None);
        assert_eq!(seal.needs(), None);
        assert_eq!(clone.unseal(&state, None, nothing(), &Ok).unwrap(), None);
    }

    #[test]
    fn a_call_under_way_keeps_the_keys_until_it_ends() {
        let (_directory, _, seal) = made();
        let call = seal.get().unwrap();
        assert!(!seal.seal(NOW));
        assert!(seal.get().is_err());
        let dropped = Arc::downgrade(&call);
        drop(call);
        assert!(dropped.upgrade().is_none());
    }

    #[test]
    fn one_that_cannot_be_opened_stays_sealed_and_says_why() {
        let (directory, state, seal) = made();
        seal.seal(NOW);
        let root = directory.path().join("state.root.key");
        let kept = directory.path().join("kept");
        std::fs::rename(&root, &kept).unwrap();
        let refused = seal.unseal(&state, None, nothing(), &Ok);
        assert!(matches!(refused, Err(Error::RootKeyMissing(_))));
        assert!(seal.get().is_err());
        std::fs::rename(&kept, &root).unwrap();
        assert_eq!(seal.unseal(&state, None, nothing(), &Ok).unwrap(), None);
    }
}
