//! How a command finds the balancer that runs on a state directory.
//!
//! The configuration may put the admin socket anywhere, and commands read no configuration. So the
//! balancer notes its socket in `running.json` in the state directory. The note is only that: who is
//! the writer is decided by the directory's lock, and a note left by a process that was killed is
//! overwritten by the next.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// A running balancer, as it has announced itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendezvous {
    /// Its process id.
    pub pid: u32,
    /// Its admin socket.
    pub socket: PathBuf,
}

impl Rendezvous {
    /// What was last announced in the state directory `state`; none if nothing was.
    ///
    /// # Errors
    /// When the note cannot be read, or is none.
    pub fn find(state: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(state.join(NOTE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::unannounced(state)),
            Err(error) => Err(error),
        }
    }

    /// A balancer that could not leave a note is looked for in its usual place.
    fn unannounced(state: &Path) -> Option<Self> {
        let socket = state.join(SOCKET);
        socket.exists().then_some(Self { pid: 0, socket })
    }

    /// Announces in the state directory `state` that this process listens on `socket`.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn announce(state: &Path, socket: &Path) -> io::Result<Announcement> {
        let socket = std::path::absolute(socket)?;
        let note = state.join(NOTE);
        let text = serde_json::to_vec(&Self {
            pid: std::process::id(),
            socket,
        })?;
        // Renamed into place, so that no command reads half a note, nor anybody's link is followed.
        let mut temporary = NamedTempFile::new_in(state)?;
        temporary.write_all(&text)?;
        temporary.persist(&note)?;
        Ok(Announcement { note })
    }
}

/// A note that stands until this is dropped.
#[derive(Debug)]
pub struct Announcement {
    note: PathBuf,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // What stays is overwritten by the next balancer, and contradicted by the free lock.
        let _ = std::fs::remove_file(&self.note);
    }
}

/// The admin socket in the state directory, unless the configuration puts it elsewhere.
pub const SOCKET: &str = "admin.sock";
const NOTE: &str = "running.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_stands_while_its_balancer_runs() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(Rendezvous::find(state.path()).unwrap(), None);
        let note = Rendezvous::announce(state.path(), Path::new("/run/sealgate/admin.sock"));
        let found = Rendezvous::find(state.path()).unwrap().unwrap();
        assert_eq!(found.pid, std::process::id());
        assert_eq!(found.socket, Path::new("/run/sealgate/admin.sock"));
        drop(note);
        assert_eq!(Rendezvous::find(state.path()).unwrap(), None);
    }
}
