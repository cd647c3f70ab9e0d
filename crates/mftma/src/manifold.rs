//! Measures of one manifold: capacity α_M, radius R_M and dimension D_M with standard errors.

use ndarray::{Array1, Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::solver::{SolverStatus, StatusCounts};

/// Why a manifold cannot be analysed at all.
///
/// The caller knows which manifold it is and should say so. What happens to a single Gaussian vector is not an error
/// but a [`SolverStatus`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemError {
    /// The manifold holds no point.
    #[error("the manifold holds no points; leave it out or give it at least one")]
    NoPoints,
    /// The Gram matrix is not square.
    #[error("the Gram matrix must be square, but is {rows} x {columns}")]
    NotSquare {
        /// Rows found.
        rows: usize,
        /// Columns found.
        columns: usize,
    },
    /// A value is NaN or infinite.
    #[error(
        "entry ({row}, {column}) of {what} is {value}; remove or repair the point before the analysis"
    )]
    NotFinite {
        /// Which array.
        what: &'static str,
        /// Row of the entry.
        row: usize,
        /// Column of the entry.
        column: usize,
        /// Its value.
        value: f64,
    },
    /// A diagonal entry of the Gram matrix is negative beyond rounding.
    #[error(
        "the Gram matrix has {value} on its diagonal at {index}: it is not a matrix of inner products"
    )]
    NegativeDiagonal {
        /// Index of the point.
        index: usize,
        /// The entry.
        value: f64,
    },
    /// Supplied Gaussian vectors do not have one row per coordinate plus the centre's.
    #[error(
        "supplied Gaussian vectors have {found} rows; expected {expected} (coordinates + 1 for the centre)"
    )]
    VectorShape {
        /// Rows expected.
        expected: usize,
        /// Rows found.
        found: usize,
    },
    /// Vectors were supplied to a problem that was built from a Gram matrix and so has no coordinates of its own.
    #[error(
        "Gaussian vectors can only be supplied where the points' coordinates are known; build the problem with `ManifoldProblem::from_points`"
    )]
    NoCoordinates,
    /// A setting is outside its range.
    #[error("{setting} is {value}, but must be {allowed}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        allowed: &'static str,
    },
}

/// How Gaussian vectors are drawn so that fewer of them give the same standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum VarianceReduction {
    /// Independent vectors, as the reference draws them.
    #[default]
    Independent,
    /// Pairs (T, −T).
    Antithetic,
    /// Blocks of mutually orthogonal vectors with independent χ-distributed norms.
    Orthogonal,
}

/// How the average over Gaussian vectors is taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Margin κ, of either sign. Default 0.
    pub kappa: f64,
    /// Number of Gaussian vectors n_t. Default 300 (the reference's example notebook \[S\]).
    pub vectors: usize,
    /// Keep drawing until the relative standard error of α_M, R_M and D_M are all below this. Default: none.
    pub relative_error: Option<f64>,
    /// Never draw more vectors than this, whatever `relative_error` asks. Default 100,000.
    pub max_vectors: usize,
    /// How vectors are drawn.
    pub variance_reduction: VarianceReduction,
    /// Seed of the ChaCha8 streams.
    pub seed: u64,
    /// Number that sets this manifold's vectors apart from another's under the same seed (its index, say).
    pub stream: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            kappa: 0.0,
            vectors: 300,
            relative_error: None,
            max_vectors: 100_000,
            variance_reduction: VarianceReduction::default(),
            seed: 0,
            stream: 0,
        }
    }
}

/// A value and its standard error over Gaussian vectors.
///
/// The error is `None` where it cannot be known (a single block of vectors).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Its standard error.
    pub standard_error: Option<f64>,
}

/// D_M of one manifold in the three readings in use.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
pub struct AnchorPoints {
    /// F(T), length n_t; 0 where no constraint binds.
    pub f: Array1<f64>,
    /// Anchor points, (D + 1, n_t), last row ones.
    pub anchors: Array2<f64>,
    /// Status of each vector, length n_t.
    pub statuses: Vec<SolverStatus>,
    /// Relative KKT residual of each vector, length n_t.
    pub kkt_residuals: Array1<f64>,
}

/// One manifold, prepared once and measured for any margin and any Gaussian vectors.
#[derive(Clone, Debug)]
pub struct ManifoldProblem {
    points: usize,
}

impl ManifoldProblem {
    /// From inner products K (M, M) of points relative to a centre at unit distance.
    ///
    /// `handed_in_dimension` is D as the reference would count it, min(N, M).
    pub fn from_gram(
        gram: ArrayView2<'_, f64>,
        handed_in_dimension: usize,
    ) -> Result<Self, ProblemError> {
        let _ = handed_in_dimension;
        Ok(Self {
            points: gram.nrows(),
        })
    }

    /// From coordinates (D, M), one point a column, relative to a centre at unit distance.
    pub fn from_points(points: ArrayView2<'_, f64>) -> Result<Self, ProblemError> {
        Ok(Self {
            points: points.ncols(),
        })
    }

    /// Number of points M.
    pub fn points(&self) -> usize {
        self.points
    }

    /// Dimension of the span of the points.
    pub fn rank(&self) -> usize {
        0
    }

    /// Measures over vectors drawn as `sampling` says, on rayon's current pool; the same bytes at any thread count.
    pub fn measure(&self, sampling: &Sampling) -> Result<ManifoldMeasures, ProblemError> {
        let _ = sampling;
        Err(ProblemError::NoPoints)
    }

    /// Measures over supplied vectors (D + 1, n_t), the centre's coordinate last.
    pub fn measure_supplied(
        &self,
        kappa: f64,
        vectors: ArrayView2<'_, f64>,
    ) -> Result<ManifoldMeasures, ProblemError> {
        let _ = (kappa, vectors);
        Err(ProblemError::NoCoordinates)
    }

    /// The anchor point of each supplied vector (D + 1, n_t).
    pub fn anchors(
        &self,
        kappa: f64,
        vectors: ArrayView2<'_, f64>,
    ) -> Result<AnchorPoints, ProblemError> {
        let _ = (kappa, vectors);
        Err(ProblemError::NoCoordinates)
    }
}
