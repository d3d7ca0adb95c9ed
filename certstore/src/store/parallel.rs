//! Work on many files on all cores.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What `work` makes of each item, in the items' order. The calling thread works along, and tells
/// `progress` how many of how many are done.
pub(crate) fn map<T: Send>(
    items: &[String],
    work: impl Fn(&str) -> T + Sync,
    progress: &dyn Fn(u64, u64),
) -> Vec<T> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let share = |report: &dyn Fn()| {
        let mut results = Vec::new();
        while let Some((index, item)) = take(&next, items) {
            results.push((index, work(item)));
            done.fetch_add(1, Ordering::Relaxed);
            report();
        }
        results
    };
    let report = || progress(count(done.load(Ordering::Relaxed)), count(items.len()));
    let mut results = thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads(items.len()))
            .map(|_| scope.spawn(|| share(&|| {})))
            .collect();
        let mut results = share(&report);
        for helper in helpers {
            // A panic of a helper is this thread's.
            results.extend(
                helper
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        results
    });
    results.sort_unstable_by_key(|(index, _)| *index);
    report();
    results.into_iter().map(|(_, result)| result).collect()
}

fn take<'a>(next: &AtomicUsize, items: &'a [String]) -> Option<(usize, &'a String)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    items.get(index).map(|item| (index, item))
}

/// As many as there are cores, and one for little work: starting one costs what opening some files does.
fn threads(items: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    cores.min(items / 16).max(1)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("a count fits 64 bits")
}
