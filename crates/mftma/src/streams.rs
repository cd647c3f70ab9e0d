//! Every random draw of the engine: which stream of random words it takes.
//!
//! A stream is named by a seed, a purpose and indices. Words come from ChaCha8, whose key is made of the seed and the
//! purpose, and whose stream number of the index; no two purposes share a word, under one seed or under two.
//!
//! | purpose | key | stream number |
//! |---|---|---|
//! | Gaussian vectors of a manifold | seed, place of the manifold, `anchor vectors` | chunk of vectors |
//! | random starts of the search for the centres' shared directions | seed, spread by `seed_from_u64` | 2⁶³ + 2³²·K + start |
//! | manifolds drawn with replacement, for intervals | seed, spread by `seed_from_u64` | 2⁶⁴ − 1 |
//! | labels and projection of one simulated dichotomy | seed, `simulated capacity` | repetition |
//! | Gaussian vectors of the joint problem ([`joint`](crate::joint)) | seed, `joint capacity vectors` | draw |
//! | labels of the joint problem | seed, `joint capacity labels` | draw |
//! | random projection of features ([`project`](crate::project)) | seed, `random projection` | direction |
//!
//! Manifolds have their place by the lengths of their centres, the shortest first, whatever the order in which they are
//! given; under [`RankRule::Reference`](crate::RankRule::Reference) and with given vectors or labels, that order.
//!
//! The starts of [`RankRule::Reproducible`](crate::RankRule::Reproducible) and
//! [`RankRule::Fixed`](crate::RankRule::Fixed) are those of seed 0, whatever the seed of the analysis.
//!
//! Programs on top of the engine that draw with `ChaCha8Rng::seed_from_u64` and a stream number below 2⁶³ share no word
//! with it.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Name of the streams of [`simulated_dichotomy`].
const SIMULATED: [u8; 24] = *b"simulated capacity      ";
/// Name of the streams of [`projection_direction`].
const PROJECTION: [u8; 24] = *b"random projection       ";
/// Name of the streams of [`anchor_vectors`].
const ANCHORS: [u8; 16] = *b"anchor vectors  ";

/// Name of the streams of [`joint_vector`].
const JOINT_VECTORS: [u8; 24] = *b"joint capacity vectors  ";
/// Name of the streams of [`joint_labels`].
const JOINT_LABELS: [u8; 24] = *b"joint capacity labels   ";

/// Number `index` of the streams of `seed` that are called `name`.
fn named(seed: u64, name: [u8; 24], index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..].copy_from_slice(&name);
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(index);
    rng
}

/// Number `index` of the streams of `seed` whose purpose is told by their number, as in the table above.
fn numbered(seed: u64, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index);
    rng
}

/// Gaussian vectors of one chunk of one manifold.
pub(crate) fn anchor_vectors(seed: u64, manifold: u64, chunk: u64) -> ChaCha8Rng {
    let mut name = [0; 24];
    name[..8].copy_from_slice(&manifold.to_le_bytes());
    name[8..].copy_from_slice(&ANCHORS);
    named(seed, name, chunk)
}

/// Random start number `start` of the search for `rank` shared directions of the centres.
pub(crate) fn centre_start(seed: u64, rank: usize, start: usize) -> ChaCha8Rng {
    numbered(seed, (1 << 63) + ((rank as u64) << 32) + start as u64)
}

/// Manifolds drawn with replacement.
pub(crate) fn resampled_manifolds(seed: u64) -> ChaCha8Rng {
    numbered(seed, u64::MAX)
}

/// Labels and projection of one repetition of a simulated capacity.
pub(crate) fn simulated_dichotomy(seed: u64, repetition: u64) -> ChaCha8Rng {
    named(seed, SIMULATED, repetition)
}

/// Gaussian vector of one draw of the joint problem.
pub(crate) fn joint_vector(seed: u64, draw: u64) -> ChaCha8Rng {
    named(seed, JOINT_VECTORS, draw)
}

/// Labels of one draw of the joint problem.
pub(crate) fn joint_labels(seed: u64, draw: u64) -> ChaCha8Rng {
    named(seed, JOINT_LABELS, draw)
}

/// One direction of a random projection.
pub(crate) fn projection_direction(seed: u64, direction: u64) -> ChaCha8Rng {
    named(seed, PROJECTION, direction)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::Rng;

    use super::*;

    /// First words of every purpose under neighbouring seeds and indices, and of a program's own numbered streams.
    #[test]
    fn no_two_streams_share_their_words() {
        let mut words = BTreeSet::new();
        let mut streams = 0;
        for seed in [0, 1, 2, u64::MAX] {
            let mut all = vec![resampled_manifolds(seed)];
            for index in 0..4 {
                all.push(numbered(seed, index));
                all.push(anchor_vectors(seed, index, 0));
                all.push(anchor_vectors(seed, 0, 1 + index));
                all.push(centre_start(seed, index as usize, 0));
                all.push(centre_start(seed, 1, 1 + index as usize));
                all.push(simulated_dichotomy(seed, index));
                all.push(projection_direction(seed, index));
                all.push(joint_vector(seed, index));
                all.push(joint_labels(seed, index));
            }
            streams += all.len();
            words.extend(all.iter_mut().map(Rng::next_u64));
        }
        assert_eq!(words.len(), streams);
    }
}
