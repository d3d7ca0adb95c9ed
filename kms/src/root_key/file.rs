//! A root key in a file.
//!
//! The file is one line of ASCII, so that it can be printed and kept in a safe: `sealgate-root-key-1`
//! (the format and its version), the key's 32 bytes in base64 (RFC 4648) and its fingerprint, 16 hex
//! digits, which shows a damaged or mistyped key. One space parts them, a newline ends them:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 20 | `sealgate-root-key-1 ` |
//! | 20 | 44 | the key |
//! | 64 | 1 | space |
//! | 65 | 16 | the fingerprint |
//! | 81 | 1 | newline; it may be missing |
//!
//! Only its owner may read it, and its owner is the user that this process runs as. A symbolic link
//! is followed (that is how secrets are mounted in containers): what is checked is what was opened.

use std::io;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::{RootKey, SourceKind};
use crate::environment::Environment;
use crate::error::Error;
use crate::hygiene::scrubbed;
use crate::secret::SecretKey;
use crate::storage::{Access, FileSystem, OpenFile, SystemFiles, parent};

/// A root key in a file.
pub struct RootKeyFile<F = SystemFiles> {
    path: PathBuf,
    files: F,
}

impl RootKeyFile {
    /// The file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::on(SystemFiles, path)
    }
}

impl<F: FileSystem> RootKeyFile<F> {
    /// The file at `path` of the file system `files`.
    pub fn on(files: F, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { path, files }
    }

    /// Where the key is kept, for people.
    pub fn place(&self) -> String {
        SourceKind::File.of(&self.path.display().to_string())
    }

    /// Reads the key.
    ///
    /// # Errors
    /// [`Error::RootKeyMissing`], [`Error::RootKeyMalformed`], [`Error::RootKeyExposed`],
    /// [`Error::RootKeyOwner`]; or what the system says.
    pub fn root_key(&self) -> Result<RootKey, Error> {
        scrubbed(|| self.load())
    }

    /// Makes a fresh key and writes it; durable when this returns. Its directory exists.
    ///
    /// The key is written under a temporary name and gets its own whole, so that a crash leaves
    /// either no root key or a good one (and perhaps, under `.root-key.` and 16 hex digits, one that was
    /// never used).
    ///
    /// # Errors
    /// [`Error::Exists`] where there is a file of that name, which is left alone; or what the system
    /// says.
    pub fn create(&self, environment: &Environment) -> Result<RootKey, Error> {
        let root = RootKey::new(SecretKey::generate(&*environment.random), self.place());
        let temporary = self.temporary(environment);
        let written = scrubbed(|| self.write(&temporary, &root))
            .map_err(Error::io("write", &temporary))
            .and_then(|()| self.publish(&temporary));
        if written.is_err() {
            // Best effort: nothing was sealed under this key.
            let _ = self.files.remove(&temporary);
        }
        written.map(|()| root)
    }

    fn temporary(&self, environment: &Environment) -> PathBuf {
        let number = u64::from_be_bytes(environment.random_bytes());
        // Not from the file's own name, which may be as long as names can be.
        parent(&self.path).join(format!(".root-key.{number:016x}"))
    }

    fn write(&self, path: &Path, root: &RootKey) -> io::Result<()> {
        let mut file = self.files.create(path)?;
        file.write_all(&*encode(root))?;
        file.sync()
    }

    fn publish(&self, temporary: &Path) -> Result<(), Error> {
        match self.files.rename_new(temporary, &self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Exists {
                    path: self.path.clone(),
                    fix: "name another file for the root key",
                });
            }
            Err(error) => return Err(Error::io("write", &self.path)(error)),
        }
        let synced = self.files.sync_directory(parent(&self.path));
        synced.map_err(Error::io("sync the directory", parent(&self.path)))
    }

    fn load(&self) -> Result<RootKey, Error> {
        let mut text = Zeroizing::new([0; LEN + 1]);
        let len = self.read(&mut *text)?;
        let malformed = |why| Error::RootKeyMalformed {
            path: self.path.clone(),
            why,
        };
        let (key, fingerprint) = decode(&text[..len]).map_err(malformed)?;
        let root = RootKey::new(key, self.place());
        if root.fingerprint().to_string().as_bytes() != fingerprint {
            return Err(malformed("its key and its fingerprint do not fit"));
        }
        Ok(root)
    }

    fn read(&self, out: &mut [u8]) -> Result<usize, Error> {
        let (len, access) = match self.files.read_secret(&self.path, out) {
            Ok(read) => read,
            Err(error) => return Err(self.unreadable(error)),
        };
        self.check(access)?;
        Ok(len)
    }

    fn unreadable(&self, error: io::Error) -> Error {
        let path = self.path.clone();
        match error.kind() {
            io::ErrorKind::NotFound => Error::RootKeyMissing(path),
            io::ErrorKind::InvalidInput => Error::RootKeyMalformed {
                path,
                why: "it is not a regular file",
            },
            _ => Error::io("read the root key file", path)(error),
        }
    }

    fn check(&self, Access { owner, mode }: Access) -> Result<(), Error> {
        let (path, process) = (self.path.clone(), rustix::process::geteuid().as_raw());
        if mode & 0o077 != 0 {
            return Err(Error::RootKeyExposed { path, mode });
        }
        if owner != process {
            return Err(Error::RootKeyOwner {
                path,
                owner,
                process,
            });
        }
        Ok(())
    }
}

fn encode(root: &RootKey) -> Zeroizing<[u8; LEN]> {
    let mut line = Zeroizing::new([b' '; LEN]);
    line[..PREFIX.len()].copy_from_slice(PREFIX);
    let encoded = Base64::encode(root.key().expose(), &mut line[KEY_AT..]);
    encoded.expect("32 bytes make 44 of base64");
    line[FINGERPRINT_AT..LEN - 1].copy_from_slice(root.fingerprint().to_string().as_bytes());
    line[LEN - 1] = b'\n';
    line
}

/// The key and the fingerprint that stand in `line`.
fn decode(line: &[u8]) -> Result<(SecretKey, &[u8]), &'static str> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let rest = line
        .strip_prefix(PREFIX)
        .ok_or("it does not begin with `sealgate-root-key-1`")?;
    let (key, rest) = rest.split_at_checked(KEY_LEN).ok_or("it is cut")?;
    let fingerprint = rest.strip_prefix(b" ").ok_or("it is cut")?;
    let key = SecretKey::try_fill(|out| Base64::decode(key, out).map(drop))
        .map_err(|_| "its key is not base64")?;
    Ok((key, fingerprint))
}

const PREFIX: &[u8] = b"sealgate-root-key-1 ";
const KEY_AT: usize = PREFIX.len();
const KEY_LEN: usize = 44;
const FINGERPRINT_AT: usize = KEY_AT + KEY_LEN + 1;
const LEN: usize = FINGERPRINT_AT + 16 + 1;

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn created() -> (TempDir, PathBuf, RootKey) {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("root.key");
        let root = RootKeyFile::new(&path)
            .create(&Environment::system())
            .unwrap();
        (directory, path, root)
    }

    fn read(path: &Path) -> Result<RootKey, Error> {
        RootKeyFile::new(path).root_key()
    }

    #[test]
    fn what_was_created_is_read() {
        let (directory, path, root) = created();
        assert_eq!(read(&path).unwrap().key().expose(), root.key().expose());
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
        assert_eq!(metadata.len(), 82);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn its_name_may_be_as_long_as_names_can_be() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("k".repeat(255));
        let file = RootKeyFile::new(&path);
        file.create(&Environment::system()).unwrap();
        read(&path).unwrap();
    }

    /// A file of version 1 as it was first written: it must be readable for ever.
    #[test]
    fn version_1_stays_readable() {
        let (_directory, path, _) = created();
        fs::write(&path, include_str!("../../vectors/root-key-1.txt")).unwrap();
        assert_eq!(read(&path).unwrap().key().expose(), &[7; 32]);
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let (directory, path, root) = created();
        let again = RootKeyFile::new(&path).create(&Environment::system());
        assert!(matches!(again, Err(Error::Exists { .. })));
        assert_eq!(read(&path).unwrap().key().expose(), root.key().expose());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn others_must_not_read_it() {
        let (_directory, path, _) = created();
        for mode in [0o604, 0o640, 0o644, 0o610] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let refused = read(&path).map(drop).unwrap_err();
            assert!(matches!(refused, Error::RootKeyExposed { mode: m, .. } if m == mode));
        }
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        read(&path).unwrap();
    }

    #[test]
    fn it_belongs_to_the_process() {
        let file = RootKeyFile::new("root.key");
        let process = rustix::process::geteuid().as_raw();
        let owner = process + 1;
        let refused = file.check(Access { owner, mode: 0o600 }).unwrap_err();
        assert!(matches!(refused, Error::RootKeyOwner { owner: o, .. } if o == owner));
        // To give it to root would keep it from the service.
        let text = refused.to_string();
        assert!(
            text.contains("run this as that user") && !text.contains("chown"),
            "{text}"
        );
    }

    #[test]
    fn a_missing_one_and_what_is_no_file_are_named() {
        let (directory, path, _) = created();
        let missing = read(&directory.path().join("other")).map(drop);
        assert!(matches!(missing, Err(Error::RootKeyMissing(_))));
        let no_file = read(directory.path()).map(drop);
        assert!(matches!(no_file, Err(Error::RootKeyMalformed { .. })));
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        read(&link).unwrap();
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_refused() {
        let (_directory, path, _) = created();
        let line = fs::read(&path).unwrap();
        for at in 0..line.len() {
            let mut changed = line.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            let refused = read(&path).map(drop);
            assert!(
                matches!(refused, Err(Error::RootKeyMalformed { .. })),
                "{at}"
            );
            fs::write(&path, &line[..at]).unwrap();
            assert_eq!(read(&path).is_ok(), at == line.len() - 1, "cut at {at}");
        }
        fs::write(&path, [&line[..], b"x"].concat()).unwrap();
        assert!(read(&path).is_err());
    }

    proptest! {
        #[test]
        fn decoding_never_panics(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&line);
            let _ = decode(&[PREFIX, &line].concat());
        }
    }
}
