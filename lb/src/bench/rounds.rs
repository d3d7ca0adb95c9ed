//! Several servers in turn, so that what slows the machine down for a while slows all of them.

use rand::seq::SliceRandom;

use super::crew::Broken;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Which round, from 0.
    pub round: usize,
    /// Which of the servers, from 0.
    pub server: usize,
}

/// Has each of so many servers measured once in every round, in an order that is drawn anew each
/// time; what came out for each, by round. `measure` gives none when there is to be no further one:
/// rounds that were not completed are left out then, unless there is no other.
///
/// # Errors
/// When a measurement cannot be carried out.
pub async fn in_rounds<R>(
    servers: usize,
    rounds: usize,
    mut measure: impl AsyncFnMut(Turn) -> Result<Option<R>, Broken>,
) -> Result<Vec<Vec<R>>, Broken> {
    let mut measured: Vec<Vec<R>> = (0..servers).map(|_| Vec::new()).collect();
    let mut order: Vec<usize> = (0..servers).collect();
    'rounds: for round in 0..rounds {
        order.shuffle(&mut rand::rng());
        for &server in &order {
            match measure(Turn { round, server }).await? {
                Some(report) => measured[server].push(report),
                None => break 'rounds,
            }
        }
    }
    let complete = measured.iter().map(Vec::len).min().unwrap_or_default();
    if complete > 0 {
        measured
            .iter_mut()
            .for_each(|rounds| rounds.truncate(complete));
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_has_a_turn_in_every_round() {
        let measured = in_rounds(3, 4, async |turn| Ok(Some(turn))).await;
        let measured = measured.expect("nothing is broken");
        for (server, rounds) in measured.iter().enumerate() {
            let expected: Vec<_> = (0..4).map(|round| Turn { round, server }).collect();
            assert_eq!(*rounds, expected);
        }
    }

    #[tokio::test]
    async fn the_order_is_drawn_anew() {
        let mut orders = std::collections::BTreeSet::new();
        let mut order = Vec::new();
        let measured = in_rounds(5, 50, async |turn| {
            order.push(turn.server);
            if order.len() == 5 {
                orders.insert(std::mem::take(&mut order));
            }
            Ok(Some(()))
        });
        measured.await.expect("nothing is broken");
        assert!(orders.len() > 5, "{orders:?}");
    }

    #[tokio::test]
    async fn an_early_end_leaves_whole_rounds() {
        for (turns, complete) in [(5, 2), (4, 2), (3, 1)] {
            let mut left = turns;
            let measured = in_rounds(2, 9, async |_| {
                left -= 1;
                Ok((left >= 0).then_some(()))
            });
            let measured = measured.await.expect("nothing is broken");
            assert!(measured.iter().all(|rounds| rounds.len() == complete));
        }
        let mut first = true;
        let one = in_rounds(2, 9, async |_| Ok(std::mem::take(&mut first).then_some(())));
        let one = one.await.expect("nothing is broken");
        assert_eq!(one.iter().map(Vec::len).sum::<usize>(), 1);
    }
}
