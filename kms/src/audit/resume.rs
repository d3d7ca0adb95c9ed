//! Where a log goes on after its writer has ended, in whatever way.

use std::io::{self, Read};

use super::anchor::Anchor;
use super::chain::{Chain, Link, tail_of};
use super::files::{Extent, LogFiles};
use super::record::LeftBehind;
use super::walk::{Position, Walk};
use crate::error::Error;
use crate::storage::FileSystem;

/// Where a log goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// Behind the last record that holds.
    pub(crate) position: Position,
    /// Whether the next record may stand there; else it begins another file.
    pub(crate) appends: bool,
    /// The number of that other file: nothing has it yet.
    pub(crate) next_file: u64,
    /// What stands behind the last record.
    pub(crate) left_behind: Option<LeftBehind>,
    /// Whether the record that the database knows is gone: somebody cut the log or took it away.
    pub(crate) cut: bool,
}

/// Looks from the last checkpoint on: what stands before it is for `verify` to look at.
pub(crate) fn resume<F: FileSystem>(
    files: &LogFiles<F>,
    chain: &Chain,
    anchor: &Anchor,
) -> Result<Resumed, Error> {
    let extents = files.extents()?;
    let next_file = extents.last().map_or(1, |last| last.number + 1);
    if !holds(files, &extents, anchor)? {
        return Ok(Resumed {
            position: anchor.position(),
            appends: false,
            next_file,
            left_behind: None,
            cut: true,
        });
    }
    let walk = Walk {
        files,
        chain,
        extents: &extents,
    };
    let stop = walk.run(anchor.position(), &mut |_| {})?;
    Ok(Resumed {
        position: stop.position,
        appends: stop.rest == 0 && stop.position.offset > 0,
        next_file,
        left_behind: (stop.rest > 0).then(|| stop.position.left_behind(stop.rest)),
        cut: false,
    })
}

/// Whether the checkpoint stands where the database says.
fn holds<F: FileSystem>(
    files: &LogFiles<F>,
    extents: &[Extent],
    anchor: &Anchor,
) -> Result<bool, Error> {
    if anchor.checkpoint == Link::START {
        return Ok(true);
    }
    let mut expected = tail_of(&anchor.checkpoint.mac);
    expected.push(b'\n');
    let Some(start) = anchor.offset.checked_sub(expected.len() as u64) else {
        return Ok(false);
    };
    let reaches = |extent: &Extent| extent.number == anchor.file && extent.len >= anchor.offset;
    if !extents.iter().any(reaches) {
        return Ok(false);
    }
    let path = files.path(anchor.file);
    let mut found = vec![0; expected.len()];
    let read = files.files.open(&path, start);
    match read.and_then(|mut opened| opened.read_exact(&mut found)) {
        Ok(()) => Ok(found == expected),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}
