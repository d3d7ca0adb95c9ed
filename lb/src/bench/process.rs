//! What a process uses, with its threads and children, from `/proc` (proc(5)).
//!
//! The scheduler's own accounts (`schedstat`) are in nanoseconds, but those of a thread go with it.
//! So they are read again and again, and what slipped through shows in the coarser account of the
//! whole process (`stat`), which keeps what ended threads used.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// There is no such process to be watched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoProcess {
    /// None has this id.
    #[error("there is no process {0}: is the server still running?")]
    Unknown(u32),
    /// It is this one.
    #[error("process {0} is the load generator itself: name the server's")]
    Own(u32),
}

/// What a process, its threads and its children used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, user and system.
    pub cpu: Duration,
    /// The most memory that was resident at a time since the process began, over all processes;
    /// pages that they share count for each.
    pub peak_memory_bytes: u64,
    /// How many processes there were.
    pub processes: usize,
    /// How long the busiest thread ran or waited for a core.
    pub busiest: Duration,
}

/// Watches a process, its threads and its children.
#[derive(Debug)]
pub(super) struct Watch {
    root: u32,
    processes: HashMap<u32, Process>,
}

impl Watch {
    /// Watches `pid` from here on.
    ///
    /// # Errors
    /// When there is no such process, or it is this one.
    pub(super) fn new(pid: u32) -> Result<Self, NoProcess> {
        if pid == std::process::id() {
            return Err(NoProcess::Own(pid));
        }
        let ids = family(pid);
        if !ids.contains(&pid) {
            return Err(NoProcess::Unknown(pid));
        }
        let known = ids.into_iter().map(|id| (id, Process::known(id)));
        Ok(Self {
            root: pid,
            processes: known.collect(),
        })
    }

    /// Reads the accounts.
    pub(super) fn sample(&mut self) {
        for id in family(self.root) {
            self.processes.entry(id).or_default().sample(id);
        }
    }

    /// What has been used between the beginning and the last [`Self::sample`].
    pub(super) fn usage(&self) -> Usage {
        let processes = self.processes.values();
        Usage {
            cpu: processes.clone().map(Process::cpu).sum(),
            peak_memory_bytes: processes.clone().map(|p| p.peak_memory_bytes).sum(),
            processes: self.processes.len(),
            busiest: processes.map(Process::busiest).max().unwrap_or_default(),
        }
    }
}

/// The accounts of a process.
#[derive(Debug, Default)]
struct Process {
    ticks: Span,
    threads: HashMap<u32, Thread>,
    peak_memory_bytes: u64,
}

#[derive(Debug, Default)]
struct Thread {
    ran: Span,
    waited: Span,
}

/// An account at the beginning, which is zero for what came later, and at last.
#[derive(Debug, Default)]
struct Span {
    first: Duration,
    last: Duration,
}

impl Process {
    /// One that was there at the beginning.
    fn known(id: u32) -> Self {
        let mut process = Self::default();
        process.sample(id);
        process.ticks.begin();
        for thread in process.threads.values_mut() {
            thread.ran.begin();
            thread.waited.begin();
        }
        process
    }

    fn sample(&mut self, id: u32) {
        if let Some(ticks) = read(format!("/proc/{id}/stat")).and_then(|text| ticks(&text)) {
            self.ticks.last = ticks;
        }
        if let Some(peak) = read(format!("/proc/{id}/status")).and_then(|text| peak_memory(&text)) {
            self.peak_memory_bytes = peak;
        }
        for thread in threads(id) {
            let account = read(format!("/proc/{id}/task/{thread}/schedstat"));
            if let Some((ran, waited)) = account.and_then(|text| schedule(&text)) {
                let known = self.threads.entry(thread).or_default();
                known.ran.last = ran;
                known.waited.last = waited;
            }
        }
    }

    fn cpu(&self) -> Duration {
        let exact: Duration = self
            .threads
            .values()
            .map(|thread| thread.ran.length())
            .sum();
        exact.max(self.ticks.length().saturating_sub(COARSENESS))
    }

    fn busiest(&self) -> Duration {
        let busy = |thread: &Thread| thread.ran.length() + thread.waited.length();
        self.threads.values().map(busy).max().unwrap_or_default()
    }
}

impl Span {
    fn begin(&mut self) {
        self.first = self.last;
    }

    fn length(&self) -> Duration {
        self.last.saturating_sub(self.first)
    }
}

/// How long the calling thread has run, and waited for a core, since it began.
pub(super) fn own_thread() -> (Duration, Duration) {
    read("/proc/thread-self/schedstat")
        .and_then(|text| schedule(&text))
        .unwrap_or_default()
}

/// A process and its descendants, without this one and what it started.
fn family(root: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        let threads = threads(id);
        if id == std::process::id() || threads.is_empty() || found.contains(&id) {
            continue;
        }
        found.push(id);
        let children = threads.iter().filter_map(|thread| children(id, *thread));
        open.extend(children.flatten());
    }
    found
}

fn children(id: u32, thread: u32) -> Option<Vec<u32>> {
    let text = read(format!("/proc/{id}/task/{thread}/children"))?;
    Some(
        text.split_ascii_whitespace()
            .filter_map(|id| id.parse().ok())
            .collect(),
    )
}

fn threads(id: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{id}/task")) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

/// What has gone is no error: processes and threads end when they like.
fn read(path: impl AsRef<std::path::Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Time on a core and time waiting for one, in nanoseconds.
fn schedule(text: &str) -> Option<(Duration, Duration)> {
    let mut fields = text.split_ascii_whitespace();
    let mut next = || fields.next()?.parse().ok().map(Duration::from_nanos);
    Some((next()?, next()?))
}

/// User and system time: the 14th and 15th field. The second one, the name, may hold anything but
/// ends with the last parenthesis.
fn ticks(text: &str) -> Option<Duration> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    let ticks = next()?.checked_add(next()?)?;
    Some(Duration::from_millis(ticks.saturating_mul(TICK_MS)))
}

fn peak_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// USER_HZ is 100, whatever the kernel's own clock does.
const TICK_MS: u64 = 10;
/// User and system time are each rounded to a tick.
const COARSENESS: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    #[test]
    fn accounts_are_understood() {
        let ms = Duration::from_millis;
        assert_eq!(schedule("5000000 2000000 17\n"), Some((ms(5), ms(2))));
        assert_eq!(schedule("5000000"), None);
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 9";
        assert_eq!(ticks(stat), Some(ms(2000)));
        assert_eq!(ticks("7 (a) S 1"), None);
        assert_eq!(
            peak_memory("VmPeak:\t 9 kB\nVmHWM:\t  12 kB\n"),
            Some(12 * 1024)
        );
        assert_eq!(peak_memory("VmPeak:\t 9 kB\n"), None);
    }

    #[test]
    fn neither_nobody_nor_oneself_is_watched() {
        let own = std::process::id();
        assert_eq!(Watch::new(own).err(), Some(NoProcess::Own(own)));
        let mut child = shell("exit 0");
        let pid = child.id();
        child.wait().expect("the child ends");
        assert_eq!(Watch::new(pid).err(), Some(NoProcess::Unknown(pid)));
    }

    #[test]
    fn the_work_of_children_counts() {
        // The shell waits for a word, then has a child of its own work.
        let mut child =
            shell("read _; sh -c 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; read _'; :");
        let mut watch = Watch::new(child.id()).expect("a child to watch");
        let mut words = child.stdin.take().expect("a pipe");
        io_write(&mut words, b"go\n");
        let enough = Duration::from_millis(5);
        let used = || {
            watch.sample();
            let usage = watch.usage();
            let busy = usage.cpu.min(usage.busiest) >= enough;
            (usage.processes == 2 && busy && usage.peak_memory_bytes > 0).then_some(usage)
        };
        let usage = std::iter::repeat_with(used)
            .take(1_000_000)
            .flatten()
            .next();
        io_write(&mut words, b"go\n");
        child.wait().expect("the child ends");
        assert!(usage.is_some(), "no work is seen");
    }

    fn shell(script: &str) -> Child {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdin(Stdio::piped());
        shell.spawn().expect("a shell")
    }

    fn io_write(pipe: &mut impl std::io::Write, word: &[u8]) {
        pipe.write_all(word).expect("the child listens");
    }
}
