//! Named random streams.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The ChaCha8 stream that belongs to `seed` and `purpose`.
///
/// The key is the BLAKE3 hash, in its key-derivation mode, of the purpose and the seed (little-endian): two
/// purposes never share a stream, and adding a draw to one purpose does not move the draws of another.
///
/// ```
/// use rand::Rng;
/// let mut a = mftma_data::stream(7, "example");
/// let mut b = mftma_data::stream(7, "example");
/// assert_eq!(a.next_u64(), b.next_u64());
/// ```
pub fn stream(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_derive_key("mftma-data random stream 1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// Like [`stream`], further separated by `counters` (an epoch and an example index, say), so that draws made for
/// different examples do not depend on the order or the thread in which they are made.
pub(crate) fn counted_stream(seed: u64, purpose: &str, counters: &[u64]) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_derive_key("mftma-data counted random stream 1");
    hasher.update(&seed.to_le_bytes());
    for counter in counters {
        hasher.update(&counter.to_le_bytes());
    }
    hasher.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}
