//! Least outstanding requests: the target with the fewest requests in flight for its weight.

/// The target with the lowest load among `targets` (index, requests in flight, weight), one more request
/// counted in. Among equals the first wins: callers begin at another one each time. A weight of 0 is
/// never asked.
pub fn fewest(targets: impl IntoIterator<Item = (u32, usize, u32)>) -> Option<u32> {
    let able = targets.into_iter().filter(|(_, _, weight)| *weight > 0);
    let load = |in_flight: usize| in_flight as u128 + 1;
    // a/v < b/w, without division.
    let lighter = |a: &(u32, usize, u32), b: &(u32, usize, u32)| {
        (load(a.1) * u128::from(b.2)).cmp(&(load(b.1) * u128::from(a.2)))
    };
    able.min_by(lighter).map(|(target, _, _)| target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_loaded_for_its_weight_is_picked() {
        for (targets, expected) in [
            (&[(0, 2, 1), (1, 1, 1)][..], Some(1)),
            (&[(1, 1, 1), (0, 1, 1)], Some(1)),
            (&[(0, 1, 1), (1, 2, 2)], Some(1)),
            (&[(0, 0, 1), (1, 2, 2)], Some(0)),
            (&[(0, 0, 0), (1, 9, 1)], Some(1)),
            (&[(0, 0, 0)], None),
            (&[], None),
        ] {
            assert_eq!(fewest(targets.iter().copied()), expected, "{targets:?}");
        }
    }
}
