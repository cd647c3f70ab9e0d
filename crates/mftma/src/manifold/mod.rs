//! Measures of one manifold: capacity α_M, radius R_M and dimension D_M with standard errors.

pub(crate) mod normal;
mod sampling;
mod statistics;

use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::solver::{PointSet, SolverStatus, StatusCounts};
use sampling::{Chunk, Plan};
use statistics::Totals;

/// Coordinates, inner products and margins beyond this could overflow when multiplied.
const LARGEST: f64 = 1e70;

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
    /// No Gaussian vector was asked for.
    #[error("no Gaussian vectors were asked for; at least one is needed")]
    NoVectors,
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
///
/// Measured with [`Sampling::control_variates`] off and on: how many independent vectors one vector is worth (ratio of
/// variances over 300 repetitions of n_t = 300), for α_M / R_M / D_M (cosine form). The time per vector is the same to
/// within 6 %, the share of it spent on drawing being small.
///
/// | manifold | pairs | orthogonal pairs | independent, controlled | **pairs, controlled** |
/// |---|---|---|---|---|
/// | 50 Gaussian points, N 5,000 | 1.2 / 2.2 / 2.8 | 1.2 / 2.5 / 3.0 | 529 / 1.3 / 4.0 | **3,451 / 2.4 / 2.7** |
/// | Gaussian, D 100, M 50, s 0.1 | 2.7 / 1.4 / 1.9 | 6.0 / 2.1 / 3.5 | 11 / 1.2 / 2.0 | **15 / 1.7 / 2.1** |
/// | axes ∝ 1/√i, D 50, M 50 | 2.1 / 1.3 / 1.3 | 5.3 / 3.0 / 5.0 | 15 / 1.1 / 1.8 | **17 / 1.8 / 2.0** |
/// | axes ∝ 1/i, D 50, M 50 | 1.8 / 1.3 / 0.9 | 8.9 / 2.5 / 4.3 | 15 / 1.2 / 1.5 | **19 / 1.8 / 1.3** |
/// | sphere, D 10, M 500, R 1 | 2.3 / 1.5 / 2.7 | 2.4 / 1.8 / 4.0 | 45 / 1.3 / 2.3 | **131 / 1.6 / 3.3** |
/// | sphere, D 5, M 200, R 0.2 | 1.8 / 1.6 / 1.1 | 3.6 / 1.9 / 1.3 | 45 / 1.1 / 1.1 | **137 / 1.7 / 1.1** |
///
/// Orthogonal blocks without pairs gained 0.9 to 1.8. The standard errors reported were between 0.87 and 1.13 of the
/// spread found (1.25 once, R_M of the last row without pairs). Orthogonal pairs have an edge in R_M and D_M, but their
/// unit is a block of 2(rank + 1) vectors: 300 vectors in 50 dimensions make three units, too few for a standard error
/// to rely on. So pairs with control variates
/// are the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum VarianceReduction {
    /// Independent vectors, as the reference draws them.
    Independent,
    /// Pairs (T, −T).
    #[default]
    Antithetic,
    /// Blocks of rank + 1 mutually orthogonal vectors with independent χ-distributed norms.
    Orthogonal,
    /// Orthogonal blocks, each vector followed by its negative.
    OrthogonalAntithetic,
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
    /// How vectors are drawn. Default: antithetic pairs, by measurement (see [`VarianceReduction`]).
    pub variance_reduction: VarianceReduction,
    /// Whether averages are corrected by functions of T whose means are known (each point's F taken alone, ‖T‖² and
    /// the centre's F), with coefficients from regression. Default yes, by measurement (see [`VarianceReduction`]).
    /// Too few units for a regression (below 30) are averaged plainly.
    pub control_variates: bool,
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
            control_variates: true,
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
    /// The positive multipliers α of each vector as (point, α); empty where no constraint binds.
    pub multipliers: Vec<Vec<(usize, f64)>>,
}

/// One manifold, prepared once and measured for any margin and any Gaussian vectors.
///
/// Points are relative to a centre at unit distance (paper.md step 4), in units of that distance.
///
/// ```
/// use mftma::{ManifoldProblem, Sampling};
/// use ndarray::array;
///
/// // A segment of half-length 0.5: two points on one axis.
/// let segment = ManifoldProblem::from_points(array![[0.5, -0.5]].view())?;
/// let measures = segment.measure(&Sampling { vectors: 2_000, ..Sampling::default() })?;
/// assert!((measures.dimension.cosine.value - 1.0).abs() < 1e-12);
/// # Ok::<(), mftma::ProblemError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManifoldProblem {
    set: PointSet,
    handed_in_dimension: usize,
    /// Orthonormal rows (rank, D) of the span, where the points came with coordinates.
    basis: Option<Array2<f64>>,
    /// Mean point in coordinates of the span: anchors are averaged relative to it, against cancellation.
    mean_point: Vec<f64>,
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

    /// From coordinates (D, M), one point a column, relative to a centre at unit distance.
    ///
    /// Directions in which points extend less than 1e-12 of the longer of the centre's distance and the largest point
    /// do not count towards the rank.
    ///
    /// # Errors
    /// [`ProblemError`] where there is no point or a value is not finite.
    pub fn from_points(points: ArrayView2<'_, f64>) -> Result<Self, ProblemError> {
        check("the points", points)?;
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

    /// Measures over vectors drawn as `sampling` says, on rayon's current pool; the same bytes at any thread count.
    ///
    /// # Errors
    /// [`ProblemError`] where a setting is out of range.
    pub fn measure(&self, sampling: &Sampling) -> Result<ManifoldMeasures, ProblemError> {
        sampling.check()?;
        let plan = Plan::new(self, sampling);
        let mut totals = Totals::new(self.set.rank);
        let mut wanted = sampling.vectors;
        let mut chunks_done = 0;
        loop {
            let chunks = wanted.div_ceil(plan.chunk);
            let parts: Vec<Totals> = (chunks_done..chunks)
                .into_par_iter()
                .map_init(
                    || Chunk::new(self, &plan),
                    |chunk, index| {
                        let count = plan.chunk.min(wanted - index * plan.chunk);
                        chunk.draw(self, &plan, index, count);
                        chunk.totals(self, &plan, sampling.kappa, count)
                    },
                )
                .collect();
            for part in &parts {
                totals.append(part);
            }
            chunks_done = chunks;
            let measures = totals.measures(self, sampling.kappa, sampling.control_variates);
            let Some(target) = sampling.relative_error else {
                return Ok(measures);
            };
            // Chunks stay whole, so that the vectors do not depend on how the number asked for was reached.
            let limit = sampling.max_vectors / plan.chunk * plan.chunk;
            let error = measures.relative_error();
            if error <= target || wanted >= limit {
                return Ok(measures);
            }
            let factor = if error.is_finite() {
                (error / target).powi(2) * 1.05
            } else {
                4.0
            };
            let next = (wanted as f64 * factor.clamp(1.25, 16.0)).ceil() as usize;
            wanted = next.next_multiple_of(plan.chunk).min(limit);
        }
    }

    /// Measures over supplied vectors (D + 1, n_t), the centre's coordinate last.
    ///
    /// # Errors
    /// [`ProblemError`] where the problem has no coordinates, or the vectors have another shape or are not finite.
    pub fn measure_supplied(
        &self,
        kappa: f64,
        vectors: ArrayView2<'_, f64>,
    ) -> Result<ManifoldMeasures, ProblemError> {
        let (plan, mut chunk) = self.supplied(kappa, vectors)?;
        Ok(chunk
            .totals(self, &plan, kappa, vectors.ncols())
            .measures(self, kappa, false))
    }

    /// The anchor point of each supplied vector (D + 1, n_t).
    ///
    /// # Errors
    /// As [`measure_supplied`](Self::measure_supplied).
    pub fn anchors(
        &self,
        kappa: f64,
        vectors: ArrayView2<'_, f64>,
    ) -> Result<AnchorPoints, ProblemError> {
        let (_, mut chunk) = self.supplied(kappa, vectors)?;
        let basis = self.basis.as_ref().ok_or(ProblemError::NoCoordinates)?;
        let (n, d, rank) = (vectors.ncols(), self.handed_in_dimension, self.set.rank);
        let mut result = AnchorPoints {
            f: Array1::zeros(n),
            anchors: Array2::ones((d + 1, n)),
            statuses: vec![SolverStatus::Interior; n],
            kkt_residuals: Array1::zeros(n),
            multipliers: vec![Vec::new(); n],
        };
        chunk.each(self, kappa, n, &mut |v, anchor| {
            result.f[v] = anchor.f;
            result.statuses[v] = anchor.status;
            result.kkt_residuals[v] = anchor.kkt;
            for row in 0..d {
                result.anchors[[row, v]] = (0..rank)
                    .map(|r| basis[[r, row]] * anchor.position[r])
                    .sum();
            }
            result.multipliers[v] = anchor
                .members
                .iter()
                .map(|&j| j as usize)
                .zip(anchor.multipliers.iter().copied())
                .collect();
        });
        Ok(result)
    }

    fn supplied(
        &self,
        kappa: f64,
        vectors: ArrayView2<'_, f64>,
    ) -> Result<(Plan, Chunk), ProblemError> {
        let basis = self.basis.as_ref().ok_or(ProblemError::NoCoordinates)?;
        let expected = self.handed_in_dimension + 1;
        if vectors.nrows() != expected {
            return Err(ProblemError::VectorShape {
                expected,
                found: vectors.nrows(),
            });
        }
        if vectors.ncols() == 0 {
            return Err(ProblemError::NoVectors);
        }
        check("the Gaussian vectors", vectors)?;
        check_kappa(kappa)?;
        let plan = Plan::supplied(self, vectors.ncols());
        let mut chunk = Chunk::new(self, &plan);
        chunk.load(self, basis, vectors);
        Ok((plan, chunk))
    }
}

impl Sampling {
    fn check(&self) -> Result<(), ProblemError> {
        check_kappa(self.kappa)?;
        if self.vectors == 0 {
            return Err(ProblemError::NoVectors);
        }
        if let Some(error) = self.relative_error {
            check_setting(
                "relative_error",
                error,
                error.is_finite() && error > 0.0,
                "positive",
            )?;
        }
        Ok(())
    }
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

fn check_setting(
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

fn check_kappa(kappa: f64) -> Result<(), ProblemError> {
    check_setting(
        "kappa",
        kappa,
        kappa.abs() <= LARGEST,
        "finite, of magnitude 1e70 at most",
    )
}

/// At least one column, and every value finite.
fn check(what: &'static str, values: ArrayView2<'_, f64>) -> Result<(), ProblemError> {
    if values.ncols() == 0 {
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
