//! What is measured of one manifold.

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::solver::{SolverStatus, StatusCounts};

/// A value and its standard error over Gaussian vectors.
///
/// The error is `None` where it cannot be known (a single block of vectors).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Its standard error.
    pub standard_error: Option<f64>,
}

/// D_M of one manifold in the three readings in use.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dimensions {
    /// rank · ⟨t̂·ŝ⟩², with t in the manifold's own span.
    pub cosine: Estimate,
    /// D · ⟨t̂·ŝ⟩² with D, and t, counted in the coordinates handed in: the reference's convention.
    pub cosine_handed_in: Estimate,
    /// ⟨(t·ŝ)²⟩, Chung, Lee & Sompolinsky (2018) eq. 29.
    pub mean_square: Estimate,
}

/// Measures of one manifold, averaged over Gaussian vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ManifoldMeasures {
    /// Capacity α_M.
    pub capacity: Estimate,
    /// Radius R_M, in units of the distance of the centre.
    pub radius: Estimate,
    /// Dimension D_M.
    pub dimension: Dimensions,
    /// Number of points M.
    pub points: usize,
    /// Dimension of the span of the points, by the problem's rank tolerance.
    pub rank: usize,
    /// Number of coordinates handed in (min(N, M) in the reference).
    pub handed_in_dimension: usize,
    /// Gaussian vectors used.
    pub vectors: usize,
    /// What became of them.
    pub statuses: StatusCounts,
    /// Largest relative KKT residual of any vector.
    pub worst_kkt_residual: f64,
    /// Expected relative upward bias of α_M at this n_t, CV(F)²/n_t.
    pub capacity_bias: f64,
}

/// Solution for each of a set of supplied Gaussian vectors.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AnchorPoints {
    /// F(T), length n_t; 0 where no constraint binds.
    pub f: Array1<f64>,
    /// Anchor points (n_t, D + 1), one a row, last column ones.
    pub anchors: Array2<f64>,
    /// Status of each vector, length n_t.
    pub statuses: Vec<SolverStatus>,
    /// Relative KKT residual of each vector, length n_t.
    pub kkt_residuals: Array1<f64>,
    /// The positive multipliers α of each vector as (point, α); empty where no constraint binds.
    pub multipliers: Vec<Vec<(usize, f64)>>,
}

impl ManifoldMeasures {
    /// The largest relative standard error of α_M, R_M and D_M; infinite where one is unknown.
    pub fn relative_error(&self) -> f64 {
        [self.capacity, self.radius, self.dimension.cosine]
            .iter()
            .map(|estimate| match estimate.standard_error {
                Some(0.0) => 0.0,
                Some(error) => error / estimate.value.abs(),
                None => f64::INFINITY,
            })
            .fold(0.0, f64::max)
    }
}
