//! The lock of a state directory: who writes there.
//!
//! The lock itself is the kernel's (flock(2)) and is gone with the process; what stands in the file is
//! for people only. The directory may belong to somebody whom this process has no reason to trust, so
//! nothing is followed, created or written before it is clear whose it is and what it is.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::error::Error;

/// The right to write in a state directory, given up on drop or when the process ends.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
    /// Whether the file takes a holder's description.
    writable: bool,
}

impl DirectoryLock {
    /// Becomes the directory's only writer, and says so in the file. A file system that is mounted
    /// read-only has no other writer; its lock keeps out those who read it under the lock.
    pub(super) fn take(directory: &Path, holder: &str) -> Result<Self, Error> {
        let place = Place::open(directory)?;
        let Some((file, writable)) = place.open_lock()? else {
            // Nobody holds what is not there.
            place.check_owner()?;
            let (file, writable) = place.create_lock()?;
            return place.lock(file, writable, holder);
        };
        place.lock(file, writable, holder)
    }

    /// Best effort: a full disk is no reason to refuse the lock.
    fn describe(&mut self, holder: &str) {
        if self.writable && self.file.set_len(0).is_ok() {
            let _ = self.file.write_all(holder.as_bytes());
        }
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Before the lock itself goes with the file.
        if self.writable {
            let _ = self.file.set_len(0);
        }
    }
}

/// An opened state directory: what is done below is done in it, whatever its path leads to by then.
struct Place {
    path: PathBuf,
    directory: File,
}

impl Place {
    fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(path, flags, Mode::empty()).map_err(system("open", path))?;
        Ok(Self {
            path: path.to_owned(),
            directory: directory.into(),
        })
    }

    fn lock_path(&self) -> PathBuf {
        self.path.join(super::LOCK)
    }

    /// The lock file and whether it can be written, if there is one.
    fn open_lock(&self) -> Result<Option<(File, bool)>, Error> {
        let opened = match self.open_with(OFlags::RDWR) {
            Err(Errno::ROFS) => self.open_with(OFlags::RDONLY).map(|file| (file, false)),
            opened => opened.map(|file| (file, true)),
        };
        match opened {
            Ok((file, writable)) => {
                self.check(&file)?;
                Ok(Some((file, writable)))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(self.unusable("is a symbolic link")),
            Err(Errno::ISDIR) => Err(self.unusable("is a directory")),
            Err(Errno::ACCESS) => {
                self.check_owner()?;
                Err(system("open", &self.lock_path())(Errno::ACCESS))
            }
            Err(error) => Err(system("open", &self.lock_path())(error)),
        }
    }

    fn create_lock(&self) -> Result<(File, bool), Error> {
        match self.open_with(OFlags::RDWR | OFlags::CREATE) {
            Ok(file) => {
                self.check(&file)?;
                Ok((file, true))
            }
            Err(Errno::ROFS) => {
                // Nothing can be made: the directory itself is as good.
                let directory = self.directory.try_clone();
                let directory = directory.map_err(Error::io("open", &self.path))?;
                Ok((directory, false))
            }
            Err(Errno::LOOP) => Err(self.unusable("is a symbolic link")),
            Err(error) => Err(system("create", &self.lock_path())(error)),
        }
    }

    fn open_with(&self, flags: OFlags) -> Result<File, Errno> {
        let safe = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mode = Mode::RUSR | Mode::WUSR;
        openat(&self.directory, super::LOCK, flags | safe, mode).map(File::from)
    }

    /// What is written to must be a file of this directory alone.
    fn check(&self, file: &File) -> Result<(), Error> {
        let metadata = file.metadata();
        let metadata = metadata.map_err(Error::io("examine", self.lock_path()))?;
        if !metadata.is_file() {
            return Err(self.unusable("is not a regular file"));
        }
        if metadata.nlink() > 1 {
            return Err(self.unusable("has a second name (a hard link)"));
        }
        Ok(())
    }

    /// Files that another user than the owner makes here would be in the owner's way.
    fn check_owner(&self) -> Result<(), Error> {
        let metadata = self.directory.metadata();
        let owner = metadata.map_err(Error::io("examine", &self.path))?.uid();
        let process = geteuid().as_raw();
        if owner == process {
            return Ok(());
        }
        Err(Error::StateOwner {
            path: self.path.clone(),
            owner,
            process,
        })
    }

    fn lock(&self, file: File, writable: bool, holder: &str) -> Result<DirectoryLock, Error> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::Locked {
                    path: self.path.clone(),
                    holder: read_holder(&file),
                });
            }
            Err(error) => return Err(system("lock", &self.lock_path())(error)),
        }
        // Only now: whoever else holds the lock does the work for other users.
        self.check_owner()?;
        let mut lock = DirectoryLock { file, writable };
        lock.describe(holder);
        Ok(lock)
    }

    fn unusable(&self, why: &'static str) -> Error {
        Error::LockFile {
            path: self.lock_path(),
            why,
        }
    }
}

/// Who says in the file that it holds the lock, unless that process is no more.
fn read_holder(file: &File) -> String {
    let mut holder = String::new();
    let read = file.take(MAX_HOLDER).read_to_string(&mut holder);
    match read {
        Ok(len) if len > 0 && lives(&holder) => holder.escape_debug().to_string(),
        _ => "another process".to_owned(),
    }
}

/// Whether the process that `holder` ends with is there; nothing is known of one without a number.
fn lives(holder: &str) -> bool {
    let number = holder.rsplit_once("process ").map(|(_, number)| number);
    match number.and_then(|number| number.parse::<u32>().ok()) {
        Some(number) => Path::new("/proc").join(number.to_string()).exists(),
        None => true,
    }
}

fn system(action: &'static str, path: &Path) -> impl FnOnce(Errno) -> Error {
    let fail = Error::io(action, path);
    move |error| fail(io::Error::from(error))
}

const MAX_HOLDER: u64 = 256;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{chown, symlink};

    use rustix::fs::{CWD, FileType, mknodat};
    use tempfile::TempDir;

    use super::*;
    use crate::state::LOCK;

    fn holder() -> String {
        format!("sealgate run, process {}", std::process::id())
    }

    fn refusal(directory: &Path) -> String {
        let refused = DirectoryLock::take(directory, "x").unwrap_err();
        assert!(matches!(refused, Error::LockFile { .. }), "{refused}");
        refused.to_string()
    }

    #[test]
    fn what_is_not_a_plain_lock_file_is_neither_followed_nor_written() {
        let scratch = TempDir::new().unwrap();
        let (state, victim) = (scratch.path().join("state"), scratch.path().join("victim"));
        let lock = state.join(LOCK);
        fs::create_dir(&state).unwrap();
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, &lock).unwrap();
        assert!(refusal(&state).contains("symbolic link"));
        fs::remove_file(&lock).unwrap();
        symlink(scratch.path().join("nothing"), &lock).unwrap();
        assert!(refusal(&state).contains("symbolic link"));
        assert!(!scratch.path().join("nothing").exists());
        fs::remove_file(&lock).unwrap();
        fs::hard_link(&victim, &lock).unwrap();
        assert!(refusal(&state).contains("hard link"));
        fs::remove_file(&lock).unwrap();
        mknodat(CWD, &lock, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(refusal(&state).contains("regular file"));
        fs::remove_file(&lock).unwrap();
        fs::create_dir(&lock).unwrap();
        assert!(refusal(&state).contains("directory"));
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_holder_that_is_no_more_is_not_named() {
        let state = TempDir::new().unwrap();
        let path = state.path().join(LOCK);
        let lock = DirectoryLock::take(state.path(), &holder()).unwrap();
        let named = |expected: &str| {
            let refused = DirectoryLock::take(state.path(), "x").unwrap_err();
            assert!(matches!(&refused, Error::Locked { holder, .. } if holder == expected));
        };
        named(&holder());
        fs::write(&path, "sealgate run, process 4194305").unwrap();
        named("another process");
        fs::write(&path, "\x1b[2J").unwrap();
        named("\\u{1b}[2J");
        drop(lock);
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    /// A directory of another user, whoever runs this.
    fn of_somebody_else() -> (TempDir, PathBuf) {
        let state = TempDir::new().unwrap();
        if !geteuid().is_root() {
            return (state, PathBuf::from("/"));
        }
        let path = state.path().join("state");
        fs::create_dir(&path).unwrap();
        chown(&path, Some(12345), None).unwrap();
        (state, path)
    }

    #[test]
    fn nothing_is_made_in_a_directory_of_somebody_else() {
        let (_scratch, state) = of_somebody_else();
        let refused = DirectoryLock::take(&state, "x").unwrap_err();
        assert!(
            matches!(refused, Error::StateOwner { .. }) && refused.to_string().contains("-u "),
            "{refused}"
        );
        assert!(!state.join(LOCK).exists());
    }

    /// Its owner's balancer does the work, also for root.
    #[test]
    fn a_lock_that_is_held_is_said_to_other_users_too() {
        let state = TempDir::new().unwrap();
        let _lock = DirectoryLock::take(state.path(), &holder()).unwrap();
        if geteuid().is_root() {
            chown(state.path(), Some(12345), None).unwrap();
        }
        let refused = DirectoryLock::take(state.path(), "x").unwrap_err();
        assert!(matches!(&refused, Error::Locked { holder: named, .. } if *named == holder()));
    }

    /// As on a file system that is mounted read-only.
    #[test]
    fn a_file_that_cannot_be_written_is_locked_all_the_same() {
        let state = TempDir::new().unwrap();
        drop(DirectoryLock::take(state.path(), "x").unwrap());
        let place = Place::open(state.path()).unwrap();
        let file = place.open_with(OFlags::RDONLY).unwrap();
        let lock = place.lock(file, false, &holder()).unwrap();
        let refused = DirectoryLock::take(state.path(), "x").unwrap_err();
        assert!(matches!(&refused, Error::Locked { holder, .. } if holder == "another process"));
        drop(lock);
        DirectoryLock::take(state.path(), "x").unwrap();
    }

    /// `/dev/full` stands for a full disk: it opens, and takes nothing.
    #[test]
    fn a_full_disk_is_no_reason_to_refuse() {
        let file = File::options().write(true).open("/dev/full").unwrap();
        let mut lock = DirectoryLock {
            file,
            writable: true,
        };
        lock.describe("x");
    }
}
