//! A configuration file that changes is put in force.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher};
use sha2::{Digest as _, Sha256};
use tracing::{error, info};

use super::App;
use crate::admin::Control;
use crate::admin::protocol::Refusal;

/// Reloads when the content of the configuration file changes, on a thread of its own.
pub(super) fn follow(app: &Arc<App>, seen: Digest) -> Result<(), Refusal> {
    let file = app.config_file.clone();
    let directory = file.parent().unwrap_or(Path::new("/")).to_owned();
    let (wake, woken) = sync_channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let read_only = |event: &notify::Event| matches!(event.kind, EventKind::Access(_));
        if !event.as_ref().is_ok_and(read_only) {
            // One that is waiting is enough.
            let _ = wake.try_send(());
        }
    })
    .map_err(|error| refused(&directory, &error))?;
    // The directory: editors replace the file, and a watch on it would follow the old one.
    watcher
        .watch(&directory, RecursiveMode::NonRecursive)
        .map_err(|error| refused(&directory, &error))?;
    let app = Arc::downgrade(app);
    let thread = std::thread::Builder::new().name("config".to_owned());
    let follow = move || {
        let _watcher = watcher;
        obey(&app, &file, seen, &woken);
    };
    thread.spawn(follow).map_err(Refusal::failed)?;
    Ok(())
}

fn obey(app: &Weak<App>, file: &Path, mut seen: Digest, woken: &Receiver<()>) {
    loop {
        // What a link leads to may change without an event here, so it is looked at now and then as well.
        match woken.recv_timeout(LOOK) {
            Ok(()) => while woken.recv_timeout(SETTLE).is_ok() {},
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK),
        }
        let Some(app) = app.upgrade() else { return };
        let Some(now) = digest(file).filter(|now| *now != seen) else {
            continue;
        };
        seen = now;
        match app.reload() {
            Ok(reloaded) if reloaded.changes.is_empty() => {}
            Ok(reloaded) => {
                let changes = reloaded.changes.join("; ");
                info!(changes, "the changed configuration is in force");
            }
            Err(refusal) => {
                let why = refusal.brief();
                error!(
                    why,
                    "the changed configuration is refused, the old one stays"
                );
            }
        }
    }
}

/// None where it cannot be read: it may be about to be replaced.
fn digest(file: &Path) -> Option<Digest> {
    // Opening a FIFO that nobody writes to would wait for ever.
    let metadata = std::fs::metadata(file).ok()?;
    let readable = metadata.is_file() && metadata.len() <= config::MAX_BYTES as u64;
    let content = readable.then(|| std::fs::read(file).ok())??;
    Some(digest_of(&content))
}

/// What tells one content of the file from another.
pub(super) fn digest_of(content: &[u8]) -> Digest {
    Sha256::digest(content).into()
}

/// SHA-256 of the file's content.
pub(super) type Digest = [u8; 32];

fn refused(directory: &Path, error: &notify::Error) -> Refusal {
    Refusal::failed(format!("cannot watch {}: {error}", directory.display()))
}

/// How long nothing must happen before a changed file is read: editors write in several steps.
const SETTLE: Duration = Duration::from_millis(100);
/// How often the file is looked at without an event.
const LOOK: Duration = Duration::from_secs(5);
