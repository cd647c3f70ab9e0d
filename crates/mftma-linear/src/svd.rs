//! Modes of a matrix.

use faer::Mat;
use ndarray::{Array2, ArrayView2};
use serde::Serialize;

use crate::error::{LinearError, finite};

/// Σ (m, n) = Σ_α s_α u_α v_αᵀ over r = min(m, n) modes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Svd {
    /// u_α as orthonormal columns (m, r).
    pub left: Array2<f64>,
    /// s_α ≥ 0, falling (r).
    pub values: Vec<f64>,
    /// v_α as orthonormal columns (n, r).
    pub right: Array2<f64>,
}

impl Svd {
    /// Decomposes `matrix` (m, n), on the calling thread.
    ///
    /// # Errors
    /// [`LinearError::Empty`], [`LinearError::NotFinite`], [`LinearError::Decomposition`].
    pub fn new(matrix: ArrayView2<'_, f64>) -> Result<Self, LinearError> {
        finite("matrix", matrix)?;
        let (m, n) = matrix.dim();
        let a = Mat::from_fn(m, n, |i, j| matrix[[i, j]]);
        let (u, values, v) =
            mftma_linalg::thin_svd(a.as_ref()).ok_or(LinearError::Decomposition)?;
        if values.iter().any(|s| !s.is_finite()) {
            return Err(LinearError::Decomposition);
        }
        let r = values.len();
        Ok(Self {
            left: Array2::from_shape_fn((m, r), |(i, k)| u[(i, k)]),
            values,
            right: Array2::from_shape_fn((n, r), |(j, k)| v[(j, k)]),
        })
    }

    /// (m, n), the shape of the matrix.
    pub fn shape(&self) -> (usize, usize) {
        (self.left.nrows(), self.right.nrows())
    }
}
