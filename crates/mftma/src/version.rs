//! Which numbers this engine gives.

/// Raised whenever a stored number of the engine may change: of an [`Analysis`](crate::Analysis), of
/// [`simulate_capacity`](crate::simulate_capacity), of [`project`](crate::project), of [`similarity`](crate::similarity).
/// Results record it, and a cache of results should hold it in its keys.
///
/// | version | what changed |
/// |---|---|
/// | 2 | pairs of Gaussian vectors and control variates by default |
/// | 3 | centre structure by preconditioned L-BFGS |
/// | 4 | directions of a random projection have a stream of their own |
/// | 5 | the rule for K takes the fewest directions; classes and points are put in a canonical order before any draw |
/// | 6 | small eigenproblems and single columns of inner products by one order of operations: the same bytes with AVX-512 and AVX2; solvers stop where no constraint can be met any better |
/// | 7 | products by one order of operations: the same bytes on Arm |
pub const ALGORITHM_VERSION: u32 = 7;
