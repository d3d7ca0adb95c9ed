//! A key-encryption key from a systemd credential: a file in `$CREDENTIALS_DIRECTORY` that the service
//! manager decrypts for this service alone (systemd.exec(5), "Credentials").
//!
//! The key is HKDF-SHA256(SHA-256 of the file's bytes, salt: the record's, "sealgate credential 1"), and
//! the parameters of its root record are that salt, 16 random bytes. The file has 32 to 4,096 bytes, from
//! a random source.

use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::SourceKind;
use super::error::{Needs, RootError};
use crate::derive::derive;
use crate::error::Error;
use crate::hygiene::scrubbed;
use crate::secret::SecretKey;
use crate::storage::{FileSystem, SystemFiles};

/// Random, in the record.
pub(super) type Salt = [u8; 16];

/// The key that the credential `name` in `directory` stands for.
///
/// # Errors
/// [`Error::Sealed`] where it is not there; [`RootError::CredentialUnfit`].
pub(super) fn derive_from(
    directory: Option<&Path>,
    name: &str,
    salt: &Salt,
) -> Result<SecretKey, Error> {
    let content = read(directory, name)?;
    let digest = SecretKey::try_fill(|out| {
        scrubbed(|| out.copy_from_slice(&Sha256::digest(&*content)));
        Ok::<_, Error>(())
    })?;
    Ok(derive(&digest, salt, &[b"sealgate credential 1"]))
}

fn read(directory: Option<&Path>, name: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let unfit = |why| RootError::CredentialUnfit {
        name: name.to_owned(),
        why,
    };
    if !is_name(name) {
        return Err(unfit("has a name that no file can have").into());
    }
    let directory = directory.ok_or_else(|| {
        absent(
            name,
            "the service manager has set no $CREDENTIALS_DIRECTORY".to_owned(),
        )
    })?;
    let path = directory.join(name);
    let mut content = Zeroizing::new(vec![0; MAX_LEN + 1]);
    let read = SystemFiles.read_secret(&path, &mut content);
    let (len, access) =
        read.map_err(|error| absent(name, format!("{}: {}", path.display(), reason(&error))))?;
    if access.mode & 0o007 != 0 {
        return Err(unfit("can be read by everybody").into());
    }
    match len {
        0..MIN_LEN => Err(unfit("is shorter than 32 bytes").into()),
        MIN_LEN..=MAX_LEN => {
            content.truncate(len);
            Ok(content)
        }
        _ => Err(unfit("is longer than 4,096 bytes").into()),
    }
}

fn absent(name: &str, why: String) -> Error {
    Error::Sealed(Needs::Keeper {
        place: SourceKind::Credential.of(name),
        why,
    })
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "it is not there (LoadCredential= or LoadCredentialEncrypted= of the unit puts it there)".to_owned()
        }
        _ => error.to_string(),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

const MIN_LEN: usize = 32;
const MAX_LEN: usize = 4096;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    fn with(content: &[u8], mode: u32) -> Result<SecretKey, Error> {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("root");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        derive_from(Some(directory.path()), "root", &[1; 16])
    }

    #[test]
    fn the_same_credential_gives_the_same_key() {
        let one = with(&[7; 32], 0o440).unwrap();
        assert_eq!(one.expose(), with(&[7; 32], 0o400).unwrap().expose());
        assert_ne!(one.expose(), with(&[7; 33], 0o400).unwrap().expose());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for (len, mode) in [(31, 0o400), (0, 0o400), (4097, 0o400), (32, 0o444)] {
            let refused = with(&vec![7; len], mode).map(drop);
            assert!(
                matches!(&refused, Err(Error::Root(why)) if matches!(**why, RootError::CredentialUnfit { .. })),
                "{len} {mode:o}"
            );
        }
        with(&[7; 4096], 0o400).unwrap();
    }

    #[test]
    fn one_that_is_not_there_is_waited_for() {
        let directory = TempDir::new().unwrap();
        for directory in [None, Some(directory.path())] {
            let refused = derive_from(directory, "root", &[1; 16]).map(drop);
            assert!(matches!(refused, Err(Error::Sealed(_))));
        }
        for name in ["", ".", "..", "a/b"] {
            let refused = derive_from(Some(directory.path()), name, &[1; 16]).map(drop);
            assert!(matches!(refused, Err(Error::Root(_))), "{name}");
        }
    }
}
