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

/// How many connections are taken of the `wanted` ones: no more than leave a quarter of the open files to
/// targets, probes and everything else. Most clients' connections are idle, and need one file each; a
/// request that finds no file left for its target is refused, and clients take none of the rest.
pub(super) fn connections(wanted: usize) -> usize {
    let open_files = getrlimit(Resource::Nofile).current;
    let most = affordable(wanted, open_files);
    if most < wanted {
        info!(
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
    let most = open_files.saturating_sub(RESERVE.max(open_files / 4));
    wanted
        .min(usize::try_from(most).unwrap_or(usize::MAX))
        .max(1)
}

/// Open files for everything else, at least.
const RESERVE: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_open_files_to_the_rest() {
        assert_eq!(affordable(65_536, Some(1024)), 768);
        assert_eq!(affordable(65_536, Some(200)), 100);
        assert_eq!(affordable(400, Some(1024)), 400);
        assert_eq!(affordable(65_536, Some(1 << 20)), 65_536);
        assert_eq!(affordable(65_536, Some(64)), 1);
        assert_eq!(affordable(65_536, None), 65_536);
    }
}
