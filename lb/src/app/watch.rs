//! A configuration file that changes is put in force.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use tracing::{error, info, warn};

use super::App;
use crate::admin::Control;
use crate::admin::protocol::Refusal;

/// Reloads when the content of the configuration file changes, on a thread of its own.
pub(super) fn follow(app: &Arc<App>) -> Result<(), Refusal> {
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
    let seen = digest(&file);
    let app = Arc::downgrade(app);
    let thread = std::thread::Builder::new().name("config".to_owned());
    let follow = move || {
        let _watcher = watcher;
        obey(&app, &file, seen, &woken);
    };
    thread.spawn(follow).map_err(Refusal::failed)?;
    Ok(())
}

fn obey(app: &Weak<App>, file: &Path, mut seen: Option<[u8; 32]>, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        while woken.recv_timeout(SETTLE).is_ok() {}
        let now = digest(file);
        if now == seen || now.is_none() {
            continue;
        }
        seen = now;
        let Some(app) = app.upgrade() else { return };
        match app.reload() {
            Ok(reloaded) if reloaded.changes.is_empty() => {}
            Ok(reloaded) => {
                info!(changes = ?reloaded.changes, "the changed configuration is in force");
            }
            Err(refusal) => {
                error!("the changed configuration is refused, the old one stays: {refusal}");
            }
        }
    }
    warn!("the configuration file is no longer watched");
}

/// None where it cannot be read: it may be about to be replaced.
fn digest(file: &Path) -> Option<[u8; 32]> {
    std::fs::read(file)
        .ok()
        .map(|content| Sha256::digest(content).into())
}

fn refused(directory: &Path, error: &notify::Error) -> Refusal {
    Refusal::failed(format!("cannot watch {}: {error}", directory.display()))
}

/// How long nothing must happen before a changed file is read: editors write in several steps.
const SETTLE: Duration = Duration::from_millis(100);
