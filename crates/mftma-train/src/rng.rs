//! The order of examples, drawn from a named stream.
//!
//! Every draw of this crate comes from [`mftma_data::stream`] under a purpose that names the epoch or the parameter it is
//! for, never from a generator that carries its state along. So a run that was killed needs no generator state to
//! go on: the order of epoch 7 is a function of `(seed, 7)`.

use rand::seq::SliceRandom;

/// The order in which an epoch visits `n` examples: a permutation of `0..n` drawn from `(seed, epoch)` alone.
pub fn epoch_order(seed: u64, epoch: usize, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut mftma_data::stream(
        seed,
        &format!("mftma-train/epoch order/{epoch}"),
    ));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_a_permutation_of_its_own_epoch() {
        let order = epoch_order(3, 7, 1000);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_eq!(order, epoch_order(3, 7, 1000));
        assert_ne!(order, epoch_order(3, 8, 1000));
        assert_ne!(order, epoch_order(4, 7, 1000));
    }

    /// Fails if the construction of the order changes: every stored run would then be irreproducible.
    #[test]
    fn an_order_is_pinned() {
        assert_eq!(epoch_order(0, 1, 8), [0, 6, 4, 3, 5, 7, 2, 1]);
    }
}
