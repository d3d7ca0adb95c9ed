//! Work on many files on all cores.

use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What `work` makes of each item, in the items' order. The calling thread works along, and tells
/// `progress` how many of how many are done.
pub(crate) fn map<T: Send + Sync>(
    items: &[String],
    work: impl Fn(&str) -> T + Sync,
    progress: &dyn Fn(u64, u64),
) -> Vec<T> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Vec<_> = items.iter().map(|_| OnceLock::new()).collect();
    let work_along = |report: &dyn Fn()| {
        while let Some((item, result)) = take(&next, items, &results) {
            result.get_or_init(|| work(item));
            done.fetch_add(1, Ordering::Relaxed);
            report();
        }
    };
    let report = || progress(count(done.load(Ordering::Relaxed)), count(items.len()));
    thread::scope(|scope| {
        for _ in 1..threads(items.len()) {
            scope.spawn(|| work_along(&|| {}));
        }
        work_along(&report);
    });
    report();
    let result = |result: OnceLock<T>| result.into_inner().expect("every item was taken");
    results.into_iter().map(result).collect()
}

/// The next item that nobody has taken, and where its result belongs.
fn take<'a, T>(
    next: &AtomicUsize,
    items: &'a [String],
    results: &'a [T],
) -> Option<(&'a str, &'a T)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((items.get(index)?, results.get(index)?))
}

/// As many as there are cores, and one for little work: starting one costs what opening some files does.
fn threads(items: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    cores.min(items / 16).max(1)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("a count fits 64 bits")
}
