//! Records as files of one directory.
//!
//! A put writes a temporary file beside the record (`.tmp-` and a number), syncs it, renames it over
//! the record and syncs the directory: whatever the moment of a crash, the record is the old or the
//! new one. Names that begin with a dot are no records; what a crash left of temporary files is
//! removed before the next write.

use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::{
    Expected, FileSystem, MAX_RECORD, OpenFile, Record, Storage, SystemFiles, Version, check_len,
    check_name,
};
use crate::error::Error;

/// Records as files of one directory, which has one writing process.
pub struct FileStorage<F = SystemFiles> {
    directory: PathBuf,
    files: F,
    writer: Mutex<Writer>,
}

/// What only one thread at a time may do.
struct Writer {
    swept: bool,
    next_temporary: u64,
}

impl FileStorage {
    /// The records in `directory`, which exists.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self::on(SystemFiles, directory)
    }
}

impl<F: FileSystem> FileStorage<F> {
    /// The records in `directory` of the file system `files`.
    pub fn on(files: F, directory: impl Into<PathBuf>) -> Self {
        let writer = Mutex::new(Writer {
            swept: false,
            next_temporary: 0,
        });
        Self {
            directory: directory.into(),
            files,
            writer,
        }
    }

    /// The directory, for a watch on it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn read(&self, name: &str) -> Result<Option<Record>, Error> {
        check_name(name)?;
        let path = self.directory.join(name);
        let bytes = match self.files.read(&path, MAX_RECORD + 1) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", path, error)),
        };
        if bytes.len() > MAX_RECORD {
            return Err(Error::RecordTooLong(path));
        }
        Ok(Some(Record::new(bytes)))
    }

    fn check(&self, name: &str, expected: Expected) -> Result<(), Error> {
        if expected == Expected::Any {
            // Not read: a record that has become unreadable must be replaceable.
            return check_name(name);
        }
        expected.check(name, self.read(name)?.map(|record| record.version))
    }

    /// Removes the temporary files of writers that are gone.
    fn sweep(&self, writer: &mut Writer) -> Result<(), Error> {
        if writer.swept {
            return Ok(());
        }
        for name in self.file_names()? {
            if name.starts_with(TEMPORARY) {
                // Best effort: what cannot be removed (a directory of that name) is no writer's, and in
                // nobody's way.
                let _ = self.files.remove(&self.directory.join(name));
            }
        }
        writer.swept = true;
        Ok(())
    }

    /// A new temporary file, under the next number that nothing has.
    fn create_temporary(&self, writer: &mut Writer) -> Result<(PathBuf, F::File), Error> {
        loop {
            let name = format!("{TEMPORARY}{}", writer.next_temporary);
            let path = self.directory.join(name);
            writer.next_temporary += 1;
            match self.files.create(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("write", path)(error)),
            }
        }
    }

    fn sync_directory(&self) -> Result<(), Error> {
        let synced = self.files.sync_directory(&self.directory);
        synced.map_err(Error::io("sync the directory", &self.directory))
    }

    fn file_names(&self) -> Result<Vec<String>, Error> {
        let listed = self.files.list(&self.directory);
        let names = listed.map_err(Error::io("list the directory", &self.directory))?;
        // What is not UTF-8 was not written here.
        Ok(names
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect())
    }
}

impl<F: FileSystem> Storage for FileStorage<F> {
    fn get(&self, name: &str) -> Result<Option<Record>, Error> {
        self.read(name)
    }

    fn put(&self, name: &str, bytes: &[u8], expected: Expected) -> Result<Version, Error> {
        check_len(name, bytes)?;
        let mut writer = self.writer.lock();
        self.check(name, expected)?;
        self.sweep(&mut writer)?;
        let (temporary, mut file) = self.create_temporary(&mut writer)?;
        let path = self.directory.join(name);
        let renamed = file
            .write_all(bytes)
            .and_then(|()| file.sync())
            .map_err(Error::io("write", &temporary))
            .and_then(|()| {
                let renamed = self.files.rename(&temporary, &path);
                renamed.map_err(|error| failed("write", path, error))
            });
        if let Err(error) = renamed {
            // Best effort: it is not a record, and the next writer sweeps.
            let _ = self.files.remove(&temporary);
            return Err(error);
        }
        self.sync_directory()?;
        Ok(Version::of(bytes))
    }

    fn delete(&self, name: &str, expected: Expected) -> Result<(), Error> {
        let _writer = self.writer.lock();
        self.check(name, expected)?;
        let path = self.directory.join(name);
        match self.files.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", path, error))
            }
            _ => self.sync_directory(),
        }
    }

    fn list(&self) -> Result<Vec<String>, Error> {
        let mut names = self.file_names()?;
        names.retain(|name| check_name(name).is_ok());
        names.sort_unstable();
        Ok(names)
    }
}

/// Why something was not done to a record.
fn failed(action: &'static str, path: PathBuf, error: io::Error) -> Error {
    match error.kind() {
        // As said of what is opened, and of what is removed or renamed to.
        io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => Error::NotARecord(path),
        _ => Error::io(action, path)(error),
    }
}

const TEMPORARY: &str = ".tmp-";
