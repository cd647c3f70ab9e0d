//! One manifold, prepared for its Gaussian vectors.

use ndarray::{Array2, ArrayView2};

use super::error::{ProblemError, check_setting};
use super::settings::LARGEST;
use crate::solver::PointSet;

/// One manifold, prepared once and measured for any margin and any Gaussian vectors.
///
/// Points are relative to a centre at unit distance (paper.md step 4), in units of that distance.
///
/// ```
/// use mftma::{ManifoldProblem, Sampling};
/// use mftma::ndarray::array;
///
/// // A segment of half-length 0.5: two points on one axis, one a row.
/// let segment = ManifoldProblem::from_points(array![[0.5], [-0.5]].view())?;
/// let measures = segment.measure(&Sampling::default().vectors(2_000))?;
/// assert!((measures.dimension.cosine.value - 1.0).abs() < 1e-12);
/// # Ok::<(), mftma::ProblemError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManifoldProblem {
    pub(super) set: PointSet,
    pub(super) handed_in_dimension: usize,
    /// Orthonormal rows (rank, D) of the span, where the points came with coordinates.
    pub(super) basis: Option<Array2<f64>>,
    /// Mean point in coordinates of the span: anchors are averaged relative to it, against cancellation.
    pub(super) mean_point: Vec<f64>,
}

impl ManifoldProblem {
    /// From inner products K (M, M) of points relative to a centre at unit distance.
    ///
    /// `handed_in_dimension` is D as the reference would count it, min(N, M). Directions in which points extend less
    /// than about 1e-7 of the longer of the centre's distance and the largest point do not count towards the rank:
    /// inner products in double precision cannot tell them from zero. See
    /// [`from_gram_with_tolerance`](Self::from_gram_with_tolerance).
    ///
    /// # Errors
    /// [`ProblemError`] for an empty, non-square or non-finite matrix, or a negative diagonal.
    pub fn from_gram(
        gram: ArrayView2<'_, f64>,
        handed_in_dimension: usize,
    ) -> Result<Self, ProblemError> {
        let tolerance = 16.0 * gram.nrows() as f64 * f64::EPSILON;
        Self::from_gram_with_tolerance(gram, handed_in_dimension, tolerance)
    }

    /// As [`from_gram`](Self::from_gram), with the squared extent, relative to max(1, max K_jj), below which a
    /// direction does not count.
    ///
    /// # Errors
    /// As [`from_gram`](Self::from_gram).
    pub fn from_gram_with_tolerance(
        gram: ArrayView2<'_, f64>,
        handed_in_dimension: usize,
        tolerance: f64,
    ) -> Result<Self, ProblemError> {
        let m = gram.nrows();
        if m != gram.ncols() {
            return Err(ProblemError::NotSquare {
                rows: m,
                columns: gram.ncols(),
            });
        }
        check("the Gram matrix", gram)?;
        check_setting(
            "the rank tolerance",
            tolerance,
            (0.0..1.0).contains(&tolerance),
            "in [0, 1)",
        )?;
        let largest = gram.diag().iter().fold(1.0_f64, |a, &b| a.max(b));
        for (index, &value) in gram.diag().iter().enumerate() {
            if value < -1e-6 * largest {
                return Err(ProblemError::NegativeDiagonal { index, value });
            }
        }
        let (rank, coordinates) = pivoted_cholesky(gram, tolerance * largest);
        let set = PointSet::new(m, rank, &coordinates, Some(&|i, j| gram[[i, j]]));
        Ok(Self::assemble(set, handed_in_dimension.max(rank), None))
    }

    /// From coordinates (M, D), one point a row, relative to a centre at unit distance.
    ///
    /// Directions in which points extend less than 1e-12 of the longer of the centre's distance and the largest point
    /// do not count towards the rank.
    ///
    /// # Errors
    /// [`ProblemError`] where there is no point or a value is not finite.
    pub fn from_points(points: ArrayView2<'_, f64>) -> Result<Self, ProblemError> {
        check("the points", points)?;
        let points = points.reversed_axes();
        let (d, m) = points.dim();
        let basis = span(points);
        let rank = basis.nrows();
        let coordinates = basis.dot(&points);
        let flat: Vec<f64> = coordinates.iter().copied().collect();
        let set = PointSet::new(m, rank, &flat, None);
        Ok(Self::assemble(set, d, Some(basis)))
    }

    fn assemble(set: PointSet, handed_in_dimension: usize, basis: Option<Array2<f64>>) -> Self {
        let mut mean_point = vec![0.0; set.r_stride];
        if set.rank > 0 {
            for row in set.by_point.chunks_exact(set.r_stride) {
                for (mean, value) in mean_point.iter_mut().zip(row) {
                    *mean += value / set.m as f64;
                }
            }
        }
        Self {
            set,
            handed_in_dimension,
            basis,
            mean_point,
        }
    }

    /// Number of points M.
    pub fn points(&self) -> usize {
        self.set.m
    }

    /// Dimension of the span of the points.
    pub fn rank(&self) -> usize {
        self.set.rank
    }
}

/// At least one row, and every value finite.
pub(super) fn check(what: &'static str, values: ArrayView2<'_, f64>) -> Result<(), ProblemError> {
    if values.nrows() == 0 {
        return Err(ProblemError::NoPoints);
    }
    for ((row, column), &value) in values.indexed_iter() {
        if !value.is_finite() {
            return Err(ProblemError::NotFinite {
                what,
                row,
                column,
                value,
            });
        }
        if value.abs() > LARGEST {
            return Err(ProblemError::TooLarge {
                what,
                row,
                column,
                value,
            });
        }
    }
    Ok(())
}

/// Rank r and coordinates (r, M) row-major with K ≈ coordinatesᵀ·coordinates, by Cholesky factorisation with complete
/// pivoting that stops where no remaining squared length exceeds `floor`.
pub(crate) fn pivoted_cholesky(gram: ArrayView2<'_, f64>, floor: f64) -> (usize, Vec<f64>) {
    let m = gram.nrows();
    let mut remaining: Vec<f64> = gram.diag().to_vec();
    let mut rows: Vec<f64> = Vec::new();
    let mut rank = 0;
    while rank < m {
        let pivot = longest(&remaining);
        let length = remaining[pivot];
        if length <= floor {
            break;
        }
        let mut row: Vec<f64> = gram.row(pivot).to_vec();
        for previous in rows.chunks_exact(m) {
            let c = previous[pivot];
            for (entry, p) in row.iter_mut().zip(previous) {
                *entry -= c * p;
            }
        }
        let scale = length.sqrt().recip();
        for (entry, remaining) in row.iter_mut().zip(&mut remaining) {
            *entry *= scale;
            *remaining -= *entry * *entry;
        }
        remaining[pivot] = f64::MIN;
        rows.extend_from_slice(&row);
        rank += 1;
    }
    (rank, rows)
}

/// Index of the longest of the squared lengths, the first of those that tie but for rounding: the last two of centred
/// points always do, and coordinates must not turn on it.
fn longest(squared_lengths: &[f64]) -> usize {
    let top = squared_lengths.iter().fold(f64::MIN, |a, &b| a.max(b));
    squared_lengths
        .iter()
        .position(|&length| length >= top - 1e-6 * top.abs())
        .unwrap_or(0)
}

/// Orthonormal rows (r, D) that span the columns of `points` (D, M), by Gram-Schmidt with pivoting, each step done twice.
fn span(points: ArrayView2<'_, f64>) -> Array2<f64> {
    let (d, m) = points.dim();
    let mut rest: Vec<f64> = points.t().iter().copied().collect(); // (M, D)
    let mut basis: Vec<f64> = Vec::new();
    let squared = |row: &[f64]| row.iter().map(|v| v * v).sum::<f64>();
    let mut floor = None;
    let mut rank = 0;
    while d > 0 && rank < d.min(m) {
        let lengths: Vec<f64> = rest.chunks_exact(d).map(squared).collect();
        let pivot = longest(&lengths);
        let length = lengths[pivot];
        let floor = *floor.get_or_insert(1e-24 * length.max(1.0));
        if length <= floor {
            break;
        }
        let mut direction: Vec<f64> = rest[pivot * d..(pivot + 1) * d].to_vec();
        for q in basis.chunks_exact(d) {
            subtract_projection(q, &mut direction);
        }
        let norm = squared(&direction).sqrt();
        direction.iter_mut().for_each(|v| *v /= norm);
        for row in rest.chunks_exact_mut(d) {
            subtract_projection(&direction, row);
        }
        rest[pivot * d..(pivot + 1) * d].fill(0.0);
        basis.extend_from_slice(&direction);
        rank += 1;
    }
    Array2::from_shape_fn((rank, d), |(r, c)| basis[r * d + c])
}

/// row ← row − (q·row) q.
fn subtract_projection(q: &[f64], row: &mut [f64]) {
    let c: f64 = q.iter().zip(row.iter()).map(|(a, b)| a * b).sum();
    for (value, q) in row.iter_mut().zip(q) {
        *value -= c * q;
    }
}
