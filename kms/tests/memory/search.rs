//! Searches this process's own memory, as somebody with a debugger would.

use std::collections::HashMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// A secret that a search cannot find here.
pub(crate) struct Masked(Vec<u8>);

const MASK: u8 = 0x5a;

impl Masked {
    /// Half keys of 16 bytes of a secret; what is left at its end does not count.
    pub(crate) fn new<'a>(secret: impl IntoIterator<Item = &'a u8>) -> Self {
        Self(secret.into_iter().map(|byte| byte ^ MASK).collect())
    }

    /// How many there are to be found.
    pub(crate) fn halves(&self) -> usize {
        self.0.len() / HALF
    }
}

/// Where halves of keys were seen: half a key is as bad as a whole one, and the unit in which ciphers
/// move keys about.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) locked: usize,
    pub(crate) elsewhere: Vec<String>,
}

const HALF: usize = 16;

pub(crate) fn look_for<'a>(keys: impl IntoIterator<Item = &'a Masked>) -> Found {
    let needles = Needles::new(keys);
    let memory = File::open("/proc/self/mem").expect("proc is mounted");
    let mut window = vec![0; 1 << 20];
    let own = window.as_ptr().addr()..window.as_ptr().addr() + window.len();
    let mut found = Found::default();
    for mapping in mappings() {
        let mut at = mapping.range.start;
        while at + HALF <= mapping.range.end {
            let len = window.len().min(mapping.range.end - at);
            // A mapping may have gone since it was listed.
            let Ok(len @ HALF..) = memory.read_at(&mut window[..len], at as u64) else {
                break;
            };
            for hit in needles.hits(&window[..len]).map(|offset| at + offset) {
                match mapping.locked {
                    _ if own.contains(&hit) => {}
                    true => found.locked += 1,
                    false => found.elsewhere.push(format!("{hit:x} {}", mapping.name)),
                }
            }
            at += len - (HALF - 1);
        }
    }
    found
}

/// Masked halves of keys, with a table of how they begin.
struct Needles {
    halves: HashMap<[u8; 2], Vec<Vec<u8>>>,
    begins: Vec<bool>,
}

impl Needles {
    fn new<'a>(keys: impl IntoIterator<Item = &'a Masked>) -> Self {
        let mut halves: HashMap<_, Vec<_>> = HashMap::new();
        let mut begins = vec![false; 1 << 16];
        for half in keys.into_iter().flat_map(|key| key.0.chunks_exact(HALF)) {
            begins[begin(half[0] ^ MASK, half[1] ^ MASK)] = true;
            let same = halves.entry([half[0], half[1]]).or_default();
            same.push(half.to_vec());
        }
        Self { halves, begins }
    }

    fn hits<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let places = 0..=bytes.len() - HALF;
        let begun = places.filter(|&at| self.begins[begin(bytes[at], bytes[at + 1])]);
        begun.filter(|&at| self.is_half(&bytes[at..at + HALF]))
    }

    fn is_half(&self, bytes: &[u8]) -> bool {
        let same = self.halves.get(&[bytes[0] ^ MASK, bytes[1] ^ MASK]);
        let is = |half: &Vec<u8>| {
            bytes
                .iter()
                .zip(half)
                .all(|(byte, mask)| byte ^ MASK == *mask)
        };
        same.into_iter().flatten().any(is)
    }
}

fn begin(one: u8, two: u8) -> usize {
    usize::from(u16::from_be_bytes([one, two]))
}

struct Mapping {
    range: Range<usize>,
    name: String,
    locked: bool,
}

/// The readable parts of this process's memory, and whether each is locked (proc_pid_smaps(5)).
fn mappings() -> Vec<Mapping> {
    let mut mappings = Vec::<Mapping>::new();
    let smaps = fs::read_to_string("/proc/self/smaps").expect("proc is mounted");
    for line in smaps.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let last = mappings.last_mut().expect("flags follow a mapping");
            last.locked = flags.split_whitespace().any(|flag| flag == "lo");
        } else if let Some((range, name)) = header(line) {
            mappings.push(Mapping {
                range,
                name: name.to_owned(),
                locked: false,
            });
        }
    }
    // What the kernel maps by itself (`[vvar]`) is no memory of ours.
    mappings.retain(|mapping| mapping.name.starts_with('r') && !mapping.name.contains("[v"));
    mappings
}

/// `7f00-7fff rw-p 00000000 00:00 0   [heap]`
fn header(line: &str) -> Option<(Range<usize>, &str)> {
    let (range, name) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some((number(start)?..number(end)?, name))
}
