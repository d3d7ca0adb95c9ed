//! A file system in memory that loses power: for tests of what survives a crash.
//!
//! It promises no more than POSIX does. What was not synced may be there after a crash or not, in
//! any order: a rename without its file's content, the second of two renames without the first, a
//! file that is cut or full of zeroes. Only what was synced, content and name, is surely there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Access, FileSystem, OpenFile};

/// A file system in memory that loses power. Clones are the same one.
#[derive(Clone)]
pub struct LossyFiles(Arc<Mutex<Disk>>);

/// A file of it, being written.
pub struct LossyFile {
    disk: Arc<Mutex<Disk>>,
    content: usize,
}

impl LossyFiles {
    /// An empty file system whose only directory is `/`.
    pub fn new() -> Self {
        let root = BTreeMap::from([("/".into(), Directory::default())]);
        Self::of(root, Vec::new())
    }

    fn of(directories: BTreeMap<PathBuf, Directory>, contents: Vec<Content>) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            directories,
            contents,
            calls: 0,
            fault: None,
            full: false,
        })))
    }

    /// How many calls so far have changed or synced something.
    pub fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// Lets the power fail at the `call`th call from the first: it and all later ones are errors, and
    /// it may have had its effect.
    pub fn lose_power_at(&self, call: u64) {
        self.0.lock().fault = Some(Fault::From(call));
    }

    /// Lets the `call`th call from the first be an error, as of a full disk, and no other.
    pub fn fail_once_at(&self, call: u64) {
        self.0.lock().fault = Some(Fault::Once(call));
    }

    /// Lets the disk be full from now on, or have room again: nothing is created then, and of what is
    /// written only the first half fits.
    pub fn fill(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// What a disk may hold after the power has failed now. Each `seed` is another possibility.
    #[must_use]
    pub fn after_power_loss(&self, seed: u64) -> Self {
        let disk = self.0.lock();
        let mut chance = Chance(seed);
        let contents = disk
            .contents
            .iter()
            .map(|c| c.survive(&mut chance))
            .collect();
        let survivors = disk.directories.iter();
        let mut directories: BTreeMap<_, _> = survivors
            .map(|(path, directory)| (path.clone(), directory.survive(&mut chance)))
            .collect();
        remove_unreachable(&mut directories);
        Self::of(directories, contents)
    }
}

impl Default for LossyFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl FileSystem for LossyFiles {
    type File = LossyFile;

    fn create(&self, path: &Path) -> io::Result<LossyFile> {
        let mut disk = self.0.lock();
        let result = disk.call();
        disk.refuse_taken(path)?;
        if disk.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let content = disk.contents.len();
        disk.contents.push(Content::default());
        disk.change(path, |name| vec![(name, Some(Entry::File(content)))])?;
        let disk = Arc::clone(&self.0);
        result.map(|()| LossyFile { disk, content })
    }

    fn append(&self, path: &Path) -> io::Result<LossyFile> {
        let content = self.0.lock().file(path)?;
        let disk = Arc::clone(&self.0);
        Ok(LossyFile { disk, content })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        let result = disk.call();
        disk.rename(from, to)?;
        result
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        let result = disk.call();
        disk.refuse_taken(to)?;
        disk.rename(from, to)?;
        result
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        let result = disk.call();
        disk.refuse_taken(path)?;
        disk.change(path, |name| vec![(name, Some(Entry::Directory))])?;
        disk.directories
            .insert(path.to_owned(), Directory::default());
        result
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        let result = disk.call();
        disk.file(path)?;
        disk.change(path, |name| vec![(name, None)])?;
        result
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.call()?;
        let directory = disk.directories.get_mut(path).ok_or_else(not_found)?;
        directory.durable = directory.names.clone();
        directory.pending.clear();
        Ok(())
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let disk = self.0.lock();
        let bytes = &disk.contents[disk.file(path)?].written;
        Ok(bytes[..bytes.len().min(limit)].to_vec())
    }

    fn open(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut content = Cursor::new(self.read(path, usize::MAX)?);
        content.set_position(offset);
        Ok(Box::new(content))
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(self.read(path, usize::MAX)?.len() as u64)
    }

    fn read_secret(&self, path: &Path, out: &mut [u8]) -> io::Result<(usize, Access)> {
        let bytes = self.read(path, out.len())?;
        out[..bytes.len()].copy_from_slice(&bytes);
        let access = Access {
            owner: rustix::process::geteuid().as_raw(),
            mode: 0o600,
        };
        Ok((bytes.len(), access))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let disk = self.0.lock();
        let directory = disk.directories.get(path).ok_or_else(not_found)?;
        Ok(directory.names.keys().cloned().collect())
    }
}

impl OpenFile for LossyFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let result = disk.call();
        let full = disk.full;
        let fits = if full { bytes.len() / 2 } else { bytes.len() };
        let written = &mut disk.contents[self.content].written;
        written.extend_from_slice(&bytes[..fits]);
        match full {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => result,
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.call()?;
        let content = &mut disk.contents[self.content];
        content.synced = Some(content.written.clone());
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let result = disk.call();
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        disk.contents[self.content].written.truncate(len);
        result
    }
}

/// What is written, and what of it is durable.
struct Disk {
    directories: BTreeMap<PathBuf, Directory>,
    contents: Vec<Content>,
    calls: u64,
    fault: Option<Fault>,
    full: bool,
}

enum Fault {
    From(u64),
    Once(u64),
}

/// The names in a directory.
#[derive(Default)]
struct Directory {
    names: Names,
    durable: Names,
    /// Changes since the last sync, each of which happens as a whole or not at all.
    pending: Vec<Change>,
}

type Names = BTreeMap<OsString, Entry>;
type Change = Vec<(OsString, Option<Entry>)>;

#[derive(Clone, Copy)]
enum Entry {
    File(usize),
    Directory,
}

/// The bytes of a file.
#[derive(Default)]
struct Content {
    written: Vec<u8>,
    synced: Option<Vec<u8>>,
}

impl Disk {
    /// Counts a call, and says whether it fails.
    fn call(&mut self) -> io::Result<()> {
        let call = self.calls;
        self.calls += 1;
        match self.fault {
            Some(Fault::From(at)) if call >= at => Err(io::Error::other("the power has failed")),
            Some(Fault::Once(at)) if call == at => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn entry(&self, path: &Path) -> io::Result<Option<Entry>> {
        let (directory, name) = split(path)?;
        let directory = self.directories.get(directory).ok_or_else(not_found)?;
        Ok(directory.names.get(&name).copied())
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.entry(path)? {
            Some(Entry::File(content)) => Ok(content),
            Some(Entry::Directory) => Err(io::ErrorKind::InvalidInput.into()),
            None => Err(not_found()),
        }
    }

    fn refuse_taken(&self, path: &Path) -> io::Result<()> {
        match self.directories.contains_key(path) || self.entry(path)?.is_some() {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => Ok(()),
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let entry = Entry::File(self.file(from)?);
        let (_, old) = split(from)?;
        self.change(to, |new| vec![(old, None), (new, Some(entry))])
    }

    fn change(&mut self, path: &Path, change: impl FnOnce(OsString) -> Change) -> io::Result<()> {
        let (directory, name) = split(path)?;
        let directory = self.directories.get_mut(directory).ok_or_else(not_found)?;
        let change = change(name);
        apply(&mut directory.names, &change);
        directory.pending.push(change);
        Ok(())
    }
}

impl Directory {
    fn survive(&self, chance: &mut Chance) -> Self {
        let mut names = self.durable.clone();
        let mut pending: Vec<_> = self.pending.iter().collect();
        while !pending.is_empty() {
            let change = pending.swap_remove(chance.below(pending.len()));
            if chance.below(2) == 0 {
                apply(&mut names, change);
            }
        }
        Self {
            durable: names.clone(),
            names,
            pending: Vec::new(),
        }
    }
}

impl Content {
    fn survive(&self, chance: &mut Chance) -> Self {
        let written = match &self.synced {
            Some(synced) if *synced == self.written => synced.clone(),
            _ => self.torn(chance),
        };
        Self {
            synced: Some(written.clone()),
            written,
        }
    }

    /// Not all of it was synced: cut somewhere behind what was, whole, or as long as it was and full of
    /// zeroes; or as it was synced, where it is shorter now.
    fn torn(&self, chance: &mut Chance) -> Vec<u8> {
        let synced = self.synced.as_deref().unwrap_or_default();
        let same = self
            .written
            .iter()
            .zip(synced)
            .take_while(|(one, other)| one == other);
        let kept = same.count();
        if kept < synced.len() && chance.below(2) == 0 {
            return synced.to_vec();
        }
        let mut bytes = self.written.clone();
        let cut = kept + chance.below(bytes.len() - kept + 1);
        match chance.below(3) {
            0 => bytes.truncate(cut),
            1 => bytes[cut..].fill(0),
            _ => {}
        }
        bytes
    }
}

fn apply(names: &mut Names, change: &Change) {
    for (name, entry) in change {
        match entry {
            Some(entry) => names.insert(name.clone(), *entry),
            None => names.remove(name),
        };
    }
}

/// A directory whose own name did not survive is gone with all that is in it.
fn remove_unreachable(directories: &mut BTreeMap<PathBuf, Directory>) {
    // Sorted: a parent comes before its children.
    for path in directories.keys().cloned().collect::<Vec<_>>() {
        let Ok((parent, name)) = split(&path) else {
            continue;
        };
        let entry = directories.get(parent).and_then(|p| p.names.get(&name));
        if !matches!(entry, Some(Entry::Directory)) {
            directories.remove(&path);
        }
    }
}

fn split(path: &Path) -> io::Result<(&Path, OsString)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, name.to_owned())),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// SplitMix64: small, and the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // Far fewer than 2^32 of anything here: the remainder is as good as even.
        (mixed % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(files: &LossyFiles, path: &str, bytes: &[u8], sync: bool) {
        let mut file = files.create(Path::new(path)).unwrap();
        file.write_all(bytes).unwrap();
        if sync {
            file.sync().unwrap();
        }
    }

    fn seen(files: &LossyFiles, path: &str) -> Vec<Option<Vec<u8>>> {
        let read = |seed| files.after_power_loss(seed).read(Path::new(path), 10).ok();
        (0..100).map(read).collect()
    }

    #[test]
    fn what_was_synced_survives_and_nothing_else_is_sure() {
        let files = LossyFiles::new();
        written(&files, "/synced", b"x", true);
        files.sync_directory(Path::new("/")).unwrap();
        assert!(
            seen(&files, "/synced")
                .iter()
                .all(|c| *c == Some(b"x".to_vec()))
        );
        written(&files, "/name-not-synced", b"x", true);
        assert!(seen(&files, "/name-not-synced").contains(&None));
        written(&files, "/content-not-synced", b"x", false);
        files.sync_directory(Path::new("/")).unwrap();
        let seen = seen(&files, "/content-not-synced");
        for possible in [&b"x"[..], b"", b"\0"] {
            assert!(seen.contains(&Some(possible.to_vec())), "{possible:?}");
        }
    }

    #[test]
    fn renames_are_reordered_but_each_is_whole() {
        let files = LossyFiles::new();
        for name in ["/a", "/b"] {
            written(&files, name, b"x", true);
        }
        files.sync_directory(Path::new("/")).unwrap();
        files.rename(Path::new("/a"), Path::new("/A")).unwrap();
        files.rename(Path::new("/b"), Path::new("/B")).unwrap();
        let listed = |seed| files.after_power_loss(seed).list(Path::new("/")).unwrap();
        let seen: Vec<_> = (0..100).map(listed).collect();
        assert!(seen.iter().all(|names| names.len() == 2));
        assert!(seen.contains(&vec!["B".into(), "a".into()]));
    }

    #[test]
    fn a_directory_without_a_name_is_gone_with_its_files() {
        let files = LossyFiles::new();
        files.create_directory(Path::new("/d")).unwrap();
        written(&files, "/d/x", b"x", true);
        files.sync_directory(Path::new("/d")).unwrap();
        assert!(seen(&files, "/d/x").contains(&None));
        files.sync_directory(Path::new("/")).unwrap();
        assert!(!seen(&files, "/d/x").contains(&None));
    }

    #[test]
    fn power_fails_at_the_call_that_was_said() {
        let files = LossyFiles::new();
        files.lose_power_at(1);
        let mut file = files.create(Path::new("/a")).unwrap();
        assert!(file.write_all(b"x").is_err());
        assert!(file.sync().is_err());
        assert_eq!(files.calls(), 3);
    }
}
