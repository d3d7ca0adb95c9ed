//! What the process may take of the system.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// Raises the number of open files to what is allowed: a connection is one or two of them.
pub(super) fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    if now.current == now.maximum {
        return;
    }
    let raised = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => info!(
            open_files = now.maximum,
            "the limit of open files is raised"
        ),
        Err(error) => warn!(%error, open_files = now.current, "the limit of open files stays"),
    }
}
