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

/// How many connections are taken of the `wanted` ones: no more than there are open files for, with one
/// for the client and one for the target each. Without them, accepting and connecting would fail at
/// random.
pub(super) fn connections(wanted: usize) -> usize {
    let open_files = getrlimit(Resource::Nofile).current;
    let most = affordable(wanted, open_files);
    if most < wanted {
        warn!(
            max_connections = wanted,
            open_files,
            most,
            "fewer connections are taken than max_connections says, for want of open files (raise LimitNOFILE)"
        );
    }
    most
}

/// None: there is no limit of open files.
fn affordable(wanted: usize, open_files: Option<u64>) -> usize {
    let Some(open_files) = open_files else {
        return wanted;
    };
    let most = open_files.saturating_sub(RESERVE) / 2;
    wanted
        .min(usize::try_from(most).unwrap_or(usize::MAX))
        .max(1)
}

/// Open files for everything else: sockets, logs, the store, probes, the admin endpoints.
const RESERVE: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_two_open_files_each() {
        assert_eq!(affordable(65_536, Some(1024)), 462);
        assert_eq!(affordable(400, Some(1024)), 400);
        assert_eq!(affordable(65_536, Some(1 << 20)), 65_536);
        assert_eq!(affordable(65_536, Some(64)), 1);
        assert_eq!(affordable(65_536, None), 65_536);
    }
}
