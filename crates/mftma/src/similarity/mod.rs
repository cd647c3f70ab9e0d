//! How alike two layers represent the same points: linear CKA, SVCCA and PWCCA, from Gram matrices; subspace matches of
//! single neurons in [`matching`].
//!
//! These are the comparative measures that manifold geometry is set against: they need no labels and say how much two
//! representations share, not how well either separates classes.
//!
//! With X (n, p) the activations of n points in p features, every feature centred over the points, all three rest on
//! the Gram matrix K = XXᵀ (n, n). Features enter only through sums over blocks, so p may be as large as the file;
//! memory is n² doubles for each representation, and n² more for its eigenvectors once SVCCA or PWCCA asks for them.
//!
//! - **Linear CKA** (Kornblith, Norouzi, Lee & Hinton 2019, arXiv 1905.00414, DOI 10.48550/arXiv.1905.00414, eqs. 4–5 with
//!   linear kernels): ⟨K, L⟩_F / (‖K‖_F ‖L‖_F), equal to ‖YᵀX‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F). Unchanged by rotation and by
//!   scaling of either side, not by other linear maps. It is not zero for independent noise: with p and q independent
//!   normal features its mean is about √(pq / ((n + p)(n + q))).
//! - **SVCCA** (Raghu, Gilmer, Yosinski & Sohl-Dickstein 2017, arXiv 1706.05806, DOI 10.48550/arXiv.1706.05806): each side
//!   keeps its leading principal components up to a share of the variance (there 0.99); the mean canonical correlation
//!   of the two subspaces. With K = UΛUᵀ and L = WMWᵀ, the correlations are the singular values of U_kᵀW_l.
//! - **PWCCA** (Morcos, Raghu & Bengio 2018, arXiv 1806.05759, DOI 10.48550/arXiv.1806.05759, eqs. 1–3): the canonical
//!   correlations' mean weighted by how much of X each canonical variate h_i accounts for, α_i = Σ_j |⟨h_i, x_j⟩| over the
//!   features x_j of the *first* side; so PWCCA is not symmetric. The weights are sums of absolute values over features,
//!   which no Gram matrix holds: the first source is streamed a second time.
//!
//! **Few points.** Two subspaces of k and l dimensions in the n − 1 that centred points span share at least
//! k + l − (n − 1): that many canonical correlations are 1 whatever the data.
//! [`CanonicalCorrelations::forced`] gives the number; a mean with many of them says little.

pub mod matching;

use std::sync::OnceLock;

use faer::{Mat, MatMut, MatRef};
use mftma_linalg::{dot, product, symmetric_eigen};
use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::activations::{Absorb, Activations, Scalar, quiet_pass};
use crate::error::Error;
use crate::linalg;

/// Features taken at once; rows of the Gram matrix that one task fills. Fixed, so that sums are ordered by the data.
const WIDTH: usize = 512;
const PANEL: usize = 128;

const UNSOLVED: Error = Error::Eigenproblem {
    what: "the Gram matrix of the points",
};

/// One side of a comparison: the centred Gram matrix of n points. Labels and the grouping into manifolds play no part,
/// but both sides must hold the same points in the same order.
#[derive(Debug)]
pub struct Representation {
    /// HKH (n, n) with H = 1 − 11ᵀ/n: the Gram matrix of features centred over the points.
    gram: Mat<f64>,
    features: usize,
    /// Eigenvalues, falling, and eigenvectors of `gram`, once needed.
    eigen: OnceLock<Option<(Vec<f64>, Mat<f64>)>>,
}

impl Representation {
    /// Streams `source` once; n² doubles for n points. Runs on rayon's current pool; the bytes do not depend on it.
    ///
    /// # Errors
    /// [`Error::TooFewPoints`], [`Error::NotFinite`], [`Error::NoVariance`], or the source's.
    pub fn new<A: Activations + ?Sized>(source: &A) -> Result<Self, Error> {
        let n: usize = source.points_per_manifold().iter().sum();
        if n < 2 {
            return Err(Error::TooFewPoints { found: n });
        }
        // Row-major, lower triangle by panels of rows.
        let mut gram = vec![0.0; n * n];
        each_slice(source, n, Values::Centred, |x| {
            gram.par_chunks_mut(PANEL * n)
                .enumerate()
                .for_each(|(panel, out)| {
                    let (first, rows) = (panel * PANEL, out.len() / n);
                    let out = MatMut::from_row_major_slice_mut(out, rows, n);
                    let last = first + rows;
                    linalg::add_product(
                        out.get_mut(.., ..last),
                        1.0,
                        x.get(first..last, ..),
                        x.get(..last, ..).transpose(),
                    );
                });
        })?;
        if (0..n).any(|i| !gram[i * n + i].is_finite()) {
            return Err(UNSOLVED);
        }
        let largest = (0..n).map(|i| gram[i * n + i]).fold(0.0, f64::max);
        if largest == 0.0 {
            return Err(Error::NoVariance);
        }
        // No measure depends on the unit: by a power of two, so that nothing is rounded, products of large or small ones stay numbers.
        let unit = 2.0_f64.powi(-(largest.log2() as i32).clamp(-1000, 1000));
        gram.iter_mut().for_each(|value| *value *= unit);
        // Once more: means are rounded too.
        let gram = centred(&gram, n);
        Ok(Self {
            gram,
            features: source.n_features(),
            eigen: OnceLock::new(),
        })
    }

    /// n, the number of points.
    pub fn points(&self) -> usize {
        self.gram.nrows()
    }

    /// p, the number of features.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Leading eigenvectors of the Gram matrix (n, k) that hold at least `share` of the variance, rounding left out.
    fn directions(&self, share: f64) -> Result<MatRef<'_, f64>, Error> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(Error::Setting {
                setting: "share",
                value: share.to_string(),
                requirement: "above 0 and at most 1",
            });
        }
        let (values, vectors) = self
            .eigen
            .get_or_init(|| symmetric_eigen(self.gram.as_ref()))
            .as_ref()
            .ok_or(UNSOLVED)?;
        // Below this an eigenvalue of an n × n Gram matrix is rounding; centring leaves at least one such.
        let floor = values[0] * self.points() as f64 * 4.0 * f64::EPSILON;
        let rank = values.iter().take_while(|&&v| v > floor).count();
        let total: f64 = values[..rank].iter().sum();
        let mut sum = 0.0;
        let kept = values[..rank]
            .iter()
            .take_while(|&&v| {
                let more = sum < share * total;
                sum += v;
                more
            })
            .count();
        Ok(vectors.get(.., ..kept))
    }
}

/// What is handed out of each feature.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Its values as they are.
    Raw,
    /// Their differences from its mean over the points.
    Centred,
}

/// Calls `visit` with slices (n, at most [`WIDTH`]) of the source in double precision, row-major.
fn each_slice<A: Activations + ?Sized>(
    source: &A,
    n: usize,
    values: Values,
    mut visit: impl FnMut(MatRef<'_, f64>),
) -> Result<(), Error> {
    let mut slices = Slices {
        sizes: source.points_per_manifold(),
        n,
        values,
        buffer: Vec::new(),
        visit: &mut visit,
    };
    quiet_pass(source, WIDTH, &mut slices)
}

struct Slices<'a> {
    sizes: &'a [usize],
    n: usize,
    values: Values,
    buffer: Vec<f64>,
    visit: &'a mut dyn FnMut(MatRef<'_, f64>),
}

impl Absorb for Slices<'_> {
    fn absorb<T: Scalar>(&mut self, first: usize, slice: ArrayView2<'_, T>) -> Result<(), Error> {
        let width = slice.ncols();
        self.buffer.clear();
        self.buffer.extend(slice.iter().map(|&x| x.into()));
        if let Some(at) = self.buffer.iter().position(|x| !x.is_finite()) {
            let (mut manifold, mut point) = (0, at / width);
            while manifold + 1 < self.sizes.len() && point >= self.sizes[manifold] {
                point -= self.sizes[manifold];
                manifold += 1;
            }
            return Err(Error::NotFinite {
                manifold,
                point,
                feature: first + at % width,
                value: self.buffer[at],
            });
        }
        if self.values == Values::Centred {
            centre(&mut self.buffer, width);
        }
        (self.visit)(MatRef::from_row_major_slice(&self.buffer, self.n, width));
        Ok(())
    }
}

/// Takes the mean over the points out of each of `width` features (row-major). By way of the first point, from which the others
/// differ by exact numbers where an offset is large: products of what has one lose as many digits as its square has.
fn centre(points: &mut [f64], width: usize) {
    let n = (points.len() / width.max(1)) as f64;
    let first = points.get(..width).unwrap_or_default().to_vec();
    let mut means = vec![0.0; width];
    let mut largest = vec![(0.0_f64, 0.0_f64); width];
    for point in points.chunks_exact_mut(width.max(1)) {
        for (j, x) in point.iter_mut().enumerate() {
            let size = x.abs();
            *x -= first[j];
            means[j] += *x;
            largest[j] = (largest[j].0.max(size), largest[j].1.max(x.abs()));
        }
    }
    // A feature that varies in its last bit only is a constant.
    let varies: Vec<bool> = (largest.iter())
        .map(|&(size, spread)| spread > 2.0 * f64::EPSILON * size)
        .collect();
    for point in points.chunks_exact_mut(width.max(1)) {
        for (j, x) in point.iter_mut().enumerate() {
            *x = if varies[j] { *x - means[j] / n } else { 0.0 };
        }
    }
}

/// HKH of a matrix (n, n) whose lower triangle is given, row-major.
fn centred(lower: &[f64], n: usize) -> Mat<f64> {
    let at = |i: usize, j: usize| lower[i.max(j) * n + i.min(j)];
    let means: Vec<f64> = (0..n)
        .map(|i| (0..n).map(|j| at(i, j)).sum::<f64>() / n as f64)
        .collect();
    let mean = means.iter().sum::<f64>() / n as f64;
    Mat::from_fn(n, n, |i, j| at(i, j) - means[i] - means[j] + mean)
}

fn inner(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    (0..a.ncols())
        .map(|j| {
            let column = a.col(j).iter().zip(b.col(j).iter());
            column.map(|(x, y)| x * y).sum::<f64>()
        })
        .sum()
}

fn same_points(a: &Representation, b: &Representation) -> Result<(), Error> {
    if a.points() == b.points() {
        return Ok(());
    }
    Err(Error::DifferentPoints {
        first: a.points(),
        second: b.points(),
    })
}

/// Linear CKA of two representations of the same points, in [0, 1]; 1 where one is a rotation and scaling of the other.
///
/// # Errors
/// [`Error::DifferentPoints`].
pub fn linear_cka(a: &Representation, b: &Representation) -> Result<f64, Error> {
    same_points(a, b)?;
    let norms = inner(&a.gram, &a.gram).sqrt() * inner(&b.gram, &b.gram).sqrt();
    Ok((inner(&a.gram, &b.gram) / norms).clamp(0.0, 1.0))
}

/// Linear CKA from unbiased estimates of the inner products (Song et al. 2012, *JMLR* 13, 1393, eq. 5; as a CKA: Nguyen,
/// Raghu & Kornblith 2021, arXiv 2010.15327, eq. 3): about 0 for independent sides also where points are fewer than features,
/// where [`linear_cka`] is near 1. At most about 1, below 0 by chance. `None` with fewer than 4 points, or where a side's
/// estimate of its own variance is not positive.
///
/// # Errors
/// [`Error::DifferentPoints`].
pub fn debiased_cka(a: &Representation, b: &Representation) -> Result<Option<f64>, Error> {
    same_points(a, b)?;
    if a.points() < 4 {
        return Ok(None);
    }
    let (k, l) = (without_diagonal(&a.gram), without_diagonal(&b.gram));
    let (own_a, own_b) = (inner(&k, &k), inner(&l, &l));
    Ok((own_a > 0.0 && own_b > 0.0).then(|| inner(&k, &l) / (own_a * own_b).sqrt()))
}

/// A Gram matrix (n, n) whose rows and columns are centred without their diagonal entries, which become 0: inner products of two
/// such matrices, over n(n − 3), are unbiased.
fn without_diagonal(gram: &Mat<f64>) -> Mat<f64> {
    let n = gram.nrows();
    let sums: Vec<f64> = (0..n)
        .map(|j| gram.col(j).iter().sum::<f64>() - gram[(j, j)])
        .collect();
    let (less_1, less_2) = ((n - 1) as f64, (n - 2) as f64);
    let total = sums.iter().sum::<f64>() / (less_1 * less_2);
    Mat::from_fn(n, n, |i, j| {
        if i == j {
            0.0
        } else {
            gram[(i, j)] - (sums[i] + sums[j]) / less_2 + total
        }
    })
}

/// Canonical correlations between two representations.
#[derive(Debug, Clone, PartialEq)]
pub struct CanonicalCorrelations {
    /// min(k, l) correlations in [0, 1], falling.
    pub correlations: Vec<f64>,
    /// k and l, the directions kept of either side.
    pub kept: (usize, usize),
    /// How many correlations are 1 for want of points, whatever the data: max(0, k + l − (n − 1)).
    pub forced: usize,
    /// Canonical variates of the first side: orthonormal columns (n, min(k, l)).
    variates: Mat<f64>,
}

impl CanonicalCorrelations {
    /// Their plain mean: SVCCA.
    pub fn mean(&self) -> f64 {
        self.correlations.iter().sum::<f64>() / self.correlations.len() as f64
    }
}

/// SVCCA: canonical correlations between the leading directions of either side that hold `share` of its variance
/// (Raghu et al. 2017: 0.99). Its value is [`CanonicalCorrelations::mean`]. With `share` = 1, plain CCA, unchanged by any
/// invertible linear map of either side's features.
///
/// # Errors
/// [`Error::DifferentPoints`], [`Error::Setting`], [`Error::Eigenproblem`].
pub fn svcca(
    a: &Representation,
    b: &Representation,
    share: f64,
) -> Result<CanonicalCorrelations, Error> {
    same_points(a, b)?;
    let (u, w) = (a.directions(share)?, b.directions(share)?);
    let cross = product(u.transpose(), w);
    let (k, l) = cross.shape();
    let r = k.min(l);
    // Left singular vectors from the eigenproblem of SSᵀ. Singular values as lengths of Sᵀp keep full precision, which
    // roots of the eigenvalues would lose near 0.
    let square = product(cross.as_ref(), cross.transpose());
    let (_, left) = symmetric_eigen(square.as_ref()).ok_or(UNSOLVED)?;
    let left = left.get(.., ..r);
    let images = product(cross.transpose(), left);
    Ok(CanonicalCorrelations {
        correlations: (0..r)
            .map(|i| {
                let image = images.col_as_slice(i);
                dot(image, image).sqrt().clamp(0.0, 1.0)
            })
            .collect(),
        kept: (k, l),
        forced: (k + l).saturating_sub(a.points() - 1),
        variates: product(u, left),
    })
}

/// PWCCA: the correlations of [`svcca`], each weighted by α_i = Σ_j |⟨h_i, x_j⟩| over the features x_j of the first side,
/// whose source is streamed again. In [0, 1]; not symmetric.
///
/// Morcos et al. (2018) take all directions or, as in SVCCA, those that hold a share of the variance: the choice is made
/// in the call of [`svcca`].
///
/// # Errors
/// [`Error::Shape`] where `first` is not the source that the first representation was made from, as far as
/// its number of points tells; [`Error::NotFinite`]; [`Error::Source`].
pub fn pwcca<A: Activations + ?Sized>(
    correlations: &CanonicalCorrelations,
    first: &A,
) -> Result<f64, Error> {
    let variates = correlations.variates.as_ref();
    let mut weights = vec![0.0; variates.ncols()];
    // Variates are orthogonal to the constant vector only as far as rounding lets them, and an offset multiplies that.
    each_slice(first, variates.nrows(), Values::Centred, |x| {
        let overlap = product(variates.transpose(), x);
        for (i, weight) in weights.iter_mut().enumerate() {
            *weight += overlap.row(i).iter().map(|x| x.abs()).sum::<f64>();
        }
    })?;
    let total: f64 = weights.iter().sum();
    if total <= 0.0 {
        return Err(Error::NoVariance);
    }
    let sum: f64 = weights
        .iter()
        .zip(&correlations.correlations)
        .map(|(w, c)| w * c)
        .sum();
    Ok(sum / total)
}
