//! Exact anchor-point problems: quadratic programs min ½αᵀGα − αᵀb over α ≥ 0.

use serde::{Deserialize, Serialize};

/// Outcome for one Gaussian vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SolverStatus {
    /// Optimal; the multipliers are unique.
    Solved,
    /// No constraint binds: F(T) = 0.
    Interior,
    /// Optimal, but linearly dependent constraints bind: the anchor point is unique, its multipliers are not.
    Degenerate,
    /// The iteration limit came first; the residual says how far from the optimum.
    IterationLimit,
}

/// How many vectors ended with each [`SolverStatus`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCounts {
    /// [`SolverStatus::Solved`].
    pub solved: usize,
    /// [`SolverStatus::Interior`].
    pub interior: usize,
    /// [`SolverStatus::Degenerate`].
    pub degenerate: usize,
    /// [`SolverStatus::IterationLimit`].
    pub iteration_limit: usize,
}
