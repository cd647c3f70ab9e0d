//! Which numbers this engine gives.

/// Raised by every change that alters a number of a result on the same input and settings. A cache of results should hold it in
/// its keys.
///
/// | version | what changed |
/// |---|---|
/// | 2 | pairs of Gaussian vectors and control variates by default |
/// | 3 | centre structure by preconditioned L-BFGS |
pub const ALGORITHM_VERSION: u32 = 3;
