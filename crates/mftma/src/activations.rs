//! Where activations come from: blocks of features, so that a whole layer need never stand in memory twice.

use std::ops::ControlFlow;

use ndarray::{ArrayView2, s};

use crate::error::{Error, SourceError};

/// A block of consecutive features of every point: shape (points of all manifolds, width of the block).
///
/// Rows are ordered manifold by manifold, as [`Activations::points_per_manifold`] counts them.
#[derive(Debug, Clone, Copy)]
pub enum Block<'a> {
    /// Single precision; inner products are still taken in double precision.
    F32(ArrayView2<'a, f32>),
    /// Double precision.
    F64(ArrayView2<'a, f64>),
}

impl Block<'_> {
    /// Number of rows: the points of all manifolds.
    pub fn n_points(&self) -> usize {
        match self {
            Block::F32(a) => a.nrows(),
            Block::F64(a) => a.nrows(),
        }
    }

    /// Number of columns: the features in this block.
    pub fn width(&self) -> usize {
        match self {
            Block::F32(a) => a.ncols(),
            Block::F64(a) => a.ncols(),
        }
    }
}

/// A source of activations: P manifolds of M_i points each in N features, handed out in blocks of features.
///
/// The engine passes over a source once, from the first feature to the last.
///
/// ```
/// use std::ops::ControlFlow;
/// use mftma::{Activations, Block, SourceError};
/// use ndarray::Array2;
///
/// /// Two manifolds of three points whose features are made as they are asked for.
/// struct Waves;
///
/// impl Activations for Waves {
///     fn points_per_manifold(&self) -> &[usize] {
///         &[3, 3]
///     }
///     fn n_features(&self) -> usize {
///         1000
///     }
///     fn for_each_block(
///         &self,
///         visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
///     ) -> Result<(), SourceError> {
///         for start in (0..1000).step_by(250) {
///             let block = Array2::from_shape_fn((6, 250), |(point, j)| {
///                 ((point + 1) as f64 * (start + j) as f64).sin()
///             });
///             if visit(Block::F64(block.view())).is_break() {
///                 break;
///             }
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Activations {
    /// M_i, the number of points of each manifold; its length is P.
    fn points_per_manifold(&self) -> &[usize];

    /// N, the number of features of a point.
    fn n_features(&self) -> usize;

    /// Calls `visit` with consecutive blocks of features, each of shape (ΣM_i, width), until all N features are
    /// through or `visit` breaks. Widths of some hundreds to some thousands of features suit the engine; any width is correct.
    ///
    /// # Errors
    /// Whatever keeps the source from yielding its features; the engine hands it on as [`Error::Source`].
    fn for_each_block(
        &self,
        visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
    ) -> Result<(), SourceError>;
}

/// Features in a block of [`ArrayActivations`]. The engine cuts wider blocks itself.
const BLOCK_WIDTH: usize = 2_048;

/// Activations in memory: an `ndarray` view of shape (ΣM_i, N), rows ordered manifold by manifold.
///
/// ```
/// use mftma::ArrayActivations;
/// use ndarray::Array2;
///
/// let x = Array2::<f32>::zeros((7, 20));
/// // Three manifolds of 2, 2 and 3 points.
/// let source = ArrayActivations::new(x.view(), &[2, 2, 3])?;
/// # let _ = source;
/// # Ok::<(), mftma::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ArrayActivations<'a, T> {
    points: ArrayView2<'a, T>,
    points_per_manifold: Vec<usize>,
}

impl<'a, T> ArrayActivations<'a, T> {
    /// Takes `points` of shape (ΣM_i, N) and the M_i.
    ///
    /// # Errors
    /// [`Error::Shape`] if the M_i do not add up to the number of rows.
    pub fn new(points: ArrayView2<'a, T>, points_per_manifold: &[usize]) -> Result<Self, Error> {
        let expected = points_per_manifold.iter().sum();
        if points.nrows() != expected {
            return Err(Error::Shape {
                what: "rows of the array (the sum of the points per manifold)",
                expected,
                found: points.nrows(),
            });
        }
        Ok(Self {
            points,
            points_per_manifold: points_per_manifold.to_vec(),
        })
    }
}

macro_rules! array_activations {
    ($scalar:ty, $variant:ident) => {
        impl Activations for ArrayActivations<'_, $scalar> {
            fn points_per_manifold(&self) -> &[usize] {
                &self.points_per_manifold
            }

            fn n_features(&self) -> usize {
                self.points.ncols()
            }

            fn for_each_block(
                &self,
                visit: &mut dyn FnMut(Block<'_>) -> ControlFlow<()>,
            ) -> Result<(), SourceError> {
                let n = self.points.ncols();
                for start in (0..n).step_by(BLOCK_WIDTH) {
                    let end = n.min(start + BLOCK_WIDTH);
                    if visit(Block::$variant(self.points.slice(s![.., start..end]))).is_break() {
                        break;
                    }
                }
                Ok(())
            }
        }
    };
}

array_activations!(f32, F32);
array_activations!(f64, F64);
