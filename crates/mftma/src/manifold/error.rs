//! What can be wrong with the problem of one manifold.

/// Why a manifold cannot be analysed at all.
///
/// The caller knows which manifold it is and should say so. What happens to a single Gaussian vector is not an error
/// but a [`SolverStatus`](crate::SolverStatus).
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
    /// A value is so large that products of it overflow.
    #[error(
        "entry ({row}, {column}) of {what} is {value:e}, too large for double precision; rescale the points by the distance of their centre"
    )]
    TooLarge {
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
    /// Supplied Gaussian vectors do not have one column per coordinate plus the centre's.
    #[error(
        "supplied Gaussian vectors have {found} columns; expected {expected} (coordinates + 1 for the centre), one vector a row"
    )]
    VectorShape {
        /// Columns expected.
        expected: usize,
        /// Columns found.
        found: usize,
    },
    /// No Gaussian vector was asked for.
    #[error("no Gaussian vectors were asked for; at least one is needed")]
    NoVectors,
    /// Vectors were supplied to a problem that was built from a Gram matrix and so has no coordinates of its own.
    #[error(
        "Gaussian vectors can only be supplied where the points' coordinates are known; build the problem with `ManifoldProblem::from_points`"
    )]
    NoCoordinates,
    /// A measure came out infinite or NaN.
    #[error(
        "its {measure} is {value} ({points} points of rank {rank}, {interior} of {vectors} vectors without a binding constraint); check its points and the margin"
    )]
    Undefined {
        /// Name of the measure.
        measure: &'static str,
        /// Its value.
        value: f64,
        /// Number of points.
        points: usize,
        /// Rank of the points.
        rank: usize,
        /// Gaussian vectors without a binding constraint.
        interior: usize,
        /// Gaussian vectors in all.
        vectors: usize,
    },
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

pub(super) fn check_setting(
    setting: &'static str,
    value: f64,
    ok: bool,
    allowed: &'static str,
) -> Result<(), ProblemError> {
    if ok {
        Ok(())
    } else {
        Err(ProblemError::Setting {
            setting,
            value,
            allowed,
        })
    }
}
