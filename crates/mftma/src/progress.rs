//! What an analysis tells while it runs.

/// What an analysis is doing; handed to the callback of [`Analysis::run_with`](crate::Analysis::run_with).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Reading features and taking inner products.
    Features {
        /// Features done.
        done: usize,
        /// N.
        of: usize,
    },
    /// Searching the low-rank centre structure.
    Centres,
    /// Solving the Gaussian vectors' problems.
    Manifolds {
        /// Manifolds done.
        done: usize,
        /// P.
        of: usize,
    },
    /// Solving the joint problem of all manifolds for one Gaussian vector after another.
    Vectors {
        /// Vectors done.
        done: usize,
        /// Vectors asked for so far.
        of: usize,
    },
    /// Simulating dichotomies (see [`simulate_capacity_with`](crate::simulate_capacity_with)).
    Dichotomies {
        /// Dichotomies done.
        done: usize,
        /// Dichotomies asked for.
        of: usize,
    },
}
