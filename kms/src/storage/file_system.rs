//! The few calls of a file system that storage needs, so that a test can put a lossy one in its place.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};

/// A file system as storage uses it.
///
/// Nothing is durable before it is synced: a file's content by [`OpenFile::sync`], the names in a
/// directory by [`sync_directory`](Self::sync_directory).
pub trait FileSystem: Send + Sync {
    /// A file being written.
    type File: OpenFile;

    /// Creates a file that only its owner may read and write; one that exists is an error.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a regular file that exists, to write behind what it has.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::NotFound`] where there is none.
    fn append(&self, path: &Path) -> io::Result<Self::File>;

    /// Gives a file another name in the same directory, atomically, over whatever has it.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file another name in the same directory, atomically, where nothing has it yet.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::AlreadyExists`] where the name is taken.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Creates a directory that only its owner may enter.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::AlreadyExists`] where the name is taken.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// At most `limit` bytes from the start of a regular file.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::NotFound`] where there is none.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;

    /// The bytes of a regular file that stand behind its first `offset`.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::NotFound`] where there is none.
    fn open(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read + Send>>;

    /// The length of a regular file, in bytes.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::NotFound`] where there is none.
    fn len(&self, path: &Path) -> io::Result<u64>;

    /// Reads the start of a regular file into `out`, which holds a secret that no growing buffer
    /// may hold; says how much there was, and who else may read it.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::NotFound`] where there is none.
    fn read_secret(&self, path: &Path, out: &mut [u8]) -> io::Result<(usize, Access)>;

    /// The names in a directory, in any order.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The user id of its owner.
    pub owner: u32,
    /// Its permission bits.
    pub mode: u32,
}

/// A file being written.
pub trait OpenFile {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// What the system says.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// What the system says: the content is lost then, and another sync would not bring it back.
    fn sync(&self) -> io::Result<()>;

    /// Takes away all but the first `len` bytes; what is written next stands behind those.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemFiles;

impl FileSystem for SystemFiles {
    type File = File;

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
    }

    fn append(&self, path: &Path) -> io::Result<File> {
        let nonblock = OFlags::NONBLOCK.bits().cast_signed();
        let options = OpenOptions::new()
            .append(true)
            .custom_flags(nonblock)
            .open(path);
        options.and_then(regular)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?;
        Ok(())
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let file = open_regular(path)?;
        let len = usize::try_from(file.metadata()?.len())
            .unwrap_or(limit)
            .min(limit);
        let mut bytes = Vec::with_capacity(len);
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn open(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = open_regular(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(open_regular(path)?.metadata()?.len())
    }

    fn read_secret(&self, path: &Path, out: &mut [u8]) -> io::Result<(usize, Access)> {
        // What is checked is the file that was opened, whatever its name leads to a moment later.
        let mut file = open_regular(path)?;
        let metadata = file.metadata()?;
        let access = Access {
            owner: metadata.uid(),
            mode: metadata.mode() & 0o7777,
        };
        Ok((read_full(&mut file, out)?, access))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    }
}

impl OpenFile for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len)).map(drop)
    }
}

/// The directory in which `path` stands.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

/// Reads until `out` is full or the file ends.
fn read_full(file: &mut File, out: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < out.len() {
        match file.read(&mut out[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Opens a file for reading without ever waiting: a FIFO that somebody put there would block.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let nonblock = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblock)
        .open(path)?;
    regular(file)
}

fn regular(file: File) -> io::Result<File> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    Ok(file)
}
