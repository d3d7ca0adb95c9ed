//! What this process has seen of the store's files.

use std::collections::HashMap;

use kms::storage::Version;
use parking_lot::Mutex;

/// What was last seen of each file.
#[derive(Default)]
pub(super) struct Ledger(Mutex<HashMap<String, Seen>>);

/// What was last seen of a file.
#[derive(Default, Clone, Copy)]
struct Seen {
    /// The highest version of the entry that was authentic.
    version: u64,
    /// The lowest version that may be served: the highest, until the entry is deleted on purpose.
    floor: u64,
    /// The content that is served.
    served: Option<Version>,
}

impl Ledger {
    /// The highest version of the entry in `file` that was authentic, 0 for none: later writes are
    /// above it, whatever became of the file.
    pub(super) fn version(&self, file: &str) -> u64 {
        self.seen(file).version
    }

    pub(super) fn note_version(&self, file: &str, version: u64) {
        self.note(file, |seen| {
            seen.version = seen.version.max(version);
            seen.floor = seen.floor.max(version);
        });
    }

    /// The lowest version of the entry in `file` that may be served, 0 for any.
    pub(super) fn floor(&self, file: &str) -> u64 {
        self.seen(file).floor
    }

    /// Lets any version of the entry in `file` come back.
    pub(super) fn forgive(&self, file: &str) {
        self.note(file, |seen| seen.floor = 0);
    }

    /// Whether `content` is what is served of `file`, so that it need not be opened again.
    pub(super) fn is_served(&self, file: &str, content: Version) -> bool {
        self.seen(file).served == Some(content)
    }

    pub(super) fn note_served(&self, file: &str, content: Option<Version>) {
        self.note(file, |seen| seen.served = content);
    }

    fn seen(&self, file: &str) -> Seen {
        self.0.lock().get(file).copied().unwrap_or_default()
    }

    fn note(&self, file: &str, note: impl FnOnce(&mut Seen)) {
        let mut files = self.0.lock();
        match files.get_mut(file) {
            Some(seen) => note(seen),
            None => note(files.entry(file.to_owned()).or_default()),
        }
    }
}
