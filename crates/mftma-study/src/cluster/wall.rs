//! How long a plan takes on so many machines, and where more of them stop helping.
//!
//! A simulation of what a scheduler does: whenever a machine is free, it begins the ready node with the longest way to the end. A machine
//! does one node at a time, at the rates of estimates; queues, starts and file systems take no time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One piece of work: its seconds, and the places of what it builds on, all before its own.
pub type Piece = (f64, Vec<usize>);

/// Seconds from each piece's beginning to the end of all that builds on it.
pub fn ways(pieces: &[Piece]) -> Vec<f64> {
    let mut ways: Vec<f64> = pieces.iter().map(|(seconds, _)| *seconds).collect();
    for at in (0..pieces.len()).rev() {
        for &input in &pieces[at].1 {
            ways[input] = ways[input].max(pieces[input].0 + ways[at]);
        }
    }
    ways
}

/// The longest chain of pieces, first to last: nothing is done sooner on any number of machines.
pub fn critical(pieces: &[Piece]) -> Vec<usize> {
    let ways = ways(pieces);
    let longest =
        |of: &mut dyn Iterator<Item = usize>| of.max_by(|a, b| ways[*a].total_cmp(&ways[*b]));
    let mut chain = Vec::new();
    let mut next = longest(&mut (0..pieces.len()));
    while let Some(at) = next {
        chain.push(at);
        let mut after = (at + 1..pieces.len()).filter(|&other| pieces[other].1.contains(&at));
        next = longest(&mut after);
    }
    chain
}

/// Seconds until all is done on `machines` machines.
pub fn wall(pieces: &[Piece], machines: usize) -> f64 {
    let ways = ways(pieces);
    let mut waiting: Vec<usize> = pieces.iter().map(|(_, inputs)| inputs.len()).collect();
    // Nanoseconds, which can be compared: nothing here is finer.
    let order = |seconds: f64| (seconds * 1e9) as u128;
    let mut ready: BinaryHeap<(u128, Reverse<usize>)> = (0..pieces.len())
        .filter(|&at| waiting[at] == 0)
        .map(|at| (order(ways[at]), Reverse(at)))
        .collect();
    let mut running: BinaryHeap<Reverse<(u128, usize)>> = BinaryHeap::new();
    let mut now = 0;
    loop {
        while running.len() < machines.max(1)
            && let Some((_, Reverse(at))) = ready.pop()
        {
            running.push(Reverse((now + order(pieces[at].0), at)));
        }
        let Some(Reverse((end, done))) = running.pop() else {
            return now as f64 / 1e9;
        };
        now = end;
        for (after, (_, inputs)) in pieces.iter().enumerate().skip(done + 1) {
            let times = inputs.iter().filter(|&&input| input == done).count();
            if times > 0 {
                waiting[after] -= times;
                if waiting[after] == 0 {
                    ready.push((order(ways[after]), Reverse(after)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two trainings of 10 s, and of each three analyses of 2 s; one piece of 5 s alone.
    fn pieces() -> Vec<Piece> {
        let mut pieces = vec![(10.0, vec![]), (10.0, vec![])];
        for training in [0, 1] {
            pieces.extend((0..3).map(|_| (2.0, vec![training])));
        }
        pieces.push((5.0, vec![]));
        pieces
    }

    #[test]
    fn walls_by_hand() {
        let pieces = pieces();
        assert_eq!(wall(&pieces, 1), 37.0);
        // 10 s of training on both, then 17 s of the rest: 5 + 2 + 2, and 4 times 2.
        assert_eq!(wall(&pieces, 2), 19.0);
        assert_eq!(wall(&pieces, 512), 12.0);
        assert_eq!(wall(&[], 3), 0.0);
        let chain = critical(&pieces);
        assert_eq!(chain.len(), 2);
        assert_eq!(pieces[chain[1]].1, [chain[0]]);
    }

    #[test]
    fn more_machines_are_never_slower_here() {
        let pieces = pieces();
        let walls: Vec<f64> = (1..12).map(|n| wall(&pieces, n)).collect();
        assert!(walls.windows(2).all(|pair| pair[1] <= pair[0]), "{walls:?}");
        assert!(walls.iter().all(|&wall| wall >= ways(&pieces)[0]));
    }
}
