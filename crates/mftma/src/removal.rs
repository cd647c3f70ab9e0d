//! Taking the low-rank centre structure out of inner products, and coordinates in which the reference would hold points.

use faer::{Mat, MatRef};
use ndarray::Array2;

use crate::centres::Centres;
use crate::error::Error;
use crate::gram::{InnerProducts, ManifoldProducts};
use crate::linalg;
use crate::settings::GlobalMean;

/// A remaining centre below this share of the largest centre is nought: centres come from a Gram matrix, whose square
/// root holds half the digits.
const VANISHED: f64 = 1e-7;

/// Centres that are all within this share of the points' distance from them coincide to rounding: single precision leaves
/// about 1e-8 where every class was centred by itself.
const COINCIDENT: f64 = 1e-6;

/// Whether the centres stand apart at all.
///
/// # Errors
/// [`Error::CoincidentCentres`] where all of them coincide to rounding.
pub(crate) fn check_centres(products: &InnerProducts, points: usize) -> Result<(), Error> {
    let scale_squared = (0..products.centres.nrows())
        .map(|i| products.centres[(i, i)])
        .fold(0.0, f64::max);
    let within_squared = products.squares_within / points as f64;
    let coincident = scale_squared == 0.0
        || scale_squared <= 1e-24 * products.mean_norm_squared
        || scale_squared <= COINCIDENT * COINCIDENT * within_squared;
    // What is too large to square is no coincidence: it is told of where the centres' eigenproblem fails.
    if !coincident || !scale_squared.is_finite() {
        return Ok(());
    }
    Err(Error::CoincidentCentres {
        longest: scale_squared.max(0.0).sqrt(),
        spread: within_squared.sqrt(),
    })
}

/// The subspace that is removed, as products with everything that it is removed from.
pub(crate) struct Removed {
    /// Products of the K directions with the centres about c̄ (K, P).
    centres_along: Mat<f64>,
    /// Products with every manifold's points about their own centre (K, M_i).
    points_along: Vec<Mat<f64>>,
    /// The first features of the directions.
    leading: Mat<f64>,
}

impl Removed {
    /// From A (r, K) in the coordinates of `centres`: V = Z·W with W = W₀·A and Z (N, P) the centred centres.
    pub(crate) fn found(
        products: &InnerProducts,
        centres: &Centres,
        directions: MatRef<'_, f64>,
    ) -> Self {
        let weights = linalg::product(centres.basis.as_ref(), directions);
        Self {
            centres_along: linalg::product(directions.transpose(), centres.coordinates.transpose()),
            points_along: products
                .manifolds
                .iter()
                .map(|m| linalg::product(weights.transpose(), m.cross.as_ref()))
                .collect(),
            leading: linalg::product(products.leading_centres.as_ref(), weights.as_ref()),
        }
    }

    /// From directions that were given before the pass.
    pub(crate) fn given(products: &InnerProducts) -> Self {
        Self {
            centres_along: products.centres_along.clone(),
            points_along: products.manifolds.iter().map(|m| m.along.clone()).collect(),
            leading: products.leading_directions.clone(),
        }
    }

    /// Gram matrix (P, P) of the centres about c̄ that remain.
    pub(crate) fn remaining_centres(&self, products: &InnerProducts) -> Mat<f64> {
        let mut rest = products.centres.clone();
        linalg::add_product(
            rest.as_mut(),
            -1.0,
            self.centres_along.transpose(),
            self.centres_along.as_ref(),
        );
        rest
    }

    /// Norm of every manifold's remaining centre, measured from the global mean x̄ that `weights` names.
    ///
    /// # Errors
    /// [`Error::NoCentre`] for the first manifold whose centre has none left.
    pub(crate) fn centre_norms(
        &self,
        products: &InnerProducts,
        sizes: &[usize],
        weights: GlobalMean,
    ) -> Result<Vec<f64>, Error> {
        let rest = self.remaining_centres(products);
        let p = sizes.len();
        let total: usize = sizes.iter().sum();
        let share = |i: usize| match weights {
            GlobalMean::ByManifold => 1.0 / p as f64,
            GlobalMean::ByPoint => sizes[i] as f64 / total as f64,
        };
        // c_i − x̄ = Z(e_i − w), as Σw = 1.
        let toward_mean: Vec<f64> = (0..p)
            .map(|i| (0..p).map(|j| rest[(i, j)] * share(j)).sum())
            .collect();
        let mean_squared: f64 = (0..p).map(|i| share(i) * toward_mean[i]).sum();
        let scale = (0..p)
            .map(|i| products.centres[(i, i)])
            .fold(0.0, f64::max)
            .sqrt();
        (0..p)
            .map(|i| {
                let norm = (rest[(i, i)] - 2.0 * toward_mean[i] + mean_squared).max(0.0).sqrt();
                if norm > VANISHED * scale && scale > 0.0 {
                    return Ok(norm);
                }
                let reason = if products.centres[(i, i)].sqrt() <= VANISHED * scale {
                    "its centre lies at the global mean, so its points have no distance to be measured by: leave that class out"
                } else {
                    "its whole centre was removed with the low-rank centre structure; choose a smaller rank"
                };
                Err(Error::NoCentre { manifold: i, reason, norm, scale })
            })
            .collect()
    }

    /// Gram matrix (M, M) of manifold `i`'s points about their centre, in units of `norm`.
    pub(crate) fn gram(
        &self,
        products: &ManifoldProducts,
        i: usize,
        norm: f64,
    ) -> Option<Array2<f64>> {
        let mut rest = products.gram.clone()?;
        let along = &self.points_along[i];
        linalg::add_product(rest.as_mut(), -1.0, along.transpose(), along.as_ref());
        let scale = 1.0 / (norm * norm);
        let m = rest.nrows();
        Some(Array2::from_shape_fn((m, m), |(a, b)| {
            scale * 0.5 * (rest[(a, b)] + rest[(b, a)])
        }))
    }

    /// The first features (min(N, M), M) of manifold `i`'s points about their centre, in units of `norm`; where N ≤ M
    /// these are all of them.
    pub(crate) fn leading(
        &self,
        products: &ManifoldProducts,
        i: usize,
        norm: f64,
    ) -> Option<Mat<f64>> {
        let mut rest = products.leading.clone()?;
        let directions = self.leading.subrows(0, rest.nrows());
        linalg::add_product(
            rest.as_mut(),
            -1.0,
            directions,
            self.points_along[i].as_ref(),
        );
        Some(Mat::from_fn(rest.nrows(), rest.ncols(), |a, b| {
            rest[(a, b)] / norm
        }))
    }
}

/// R (M, M) of the QR decomposition that LAPACK's Householder reflections would give of the points S (N, M), N > M, from
/// their Gram matrix (M, M) and their first M features (M, M).
///
/// |R| is the Cholesky factor. Its rows' signs are those of the reflections: with Q = S·R⁺⁻¹ for the factor R⁺ of
/// positive diagonal, step k sets R_kk to minus the sign of entry k of the k-times reflected column, and these entries
/// are the pivots of an elimination of Q − diag(signs) that only ever looks at Q's first M rows (Ballard et al. 2014,
/// DOI 10.1109/IPDPS.2014.107). Points that depend on earlier ones get a zero row: the direction that LAPACK would name
/// there is rounding, and no product with a point depends on it.
pub(crate) fn householder_coordinates(gram: &Array2<f64>, leading: &Mat<f64>) -> Array2<f64> {
    let m = gram.nrows();
    let largest = (0..m).map(|i| gram[(i, i)]).fold(0.0, f64::max);
    let nought = largest * f64::EPSILON * 100.0 * m as f64;
    let mut r = Array2::<f64>::zeros((m, m));
    for k in 0..m {
        let pivot = gram[(k, k)] - (0..k).map(|l| r[(l, k)] * r[(l, k)]).sum::<f64>();
        if pivot <= nought {
            continue;
        }
        let pivot = pivot.sqrt();
        r[(k, k)] = pivot;
        for j in k + 1..m {
            let dot: f64 = (0..k).map(|l| r[(l, k)] * r[(l, j)]).sum();
            r[(k, j)] = (gram[(k, j)] - dot) / pivot;
        }
    }
    // First M rows of Q, column by column: q_k = (s_k − Σ_l r_lk q_l) / r_kk.
    let mut q = leading.clone();
    for k in 0..m {
        for row in 0..m {
            let known: f64 = (0..k).map(|l| r[(l, k)] * q[(row, l)]).sum();
            q[(row, k)] = if r[(k, k)] > 0.0 {
                (q[(row, k)] - known) / r[(k, k)]
            } else {
                0.0
            };
        }
    }
    for k in 0..m {
        if r[(k, k)] == 0.0 {
            continue;
        }
        let sign = if q[(k, k)] >= 0.0 { -1.0 } else { 1.0 };
        q[(k, k)] -= sign;
        for row in k + 1..m {
            let factor = q[(row, k)] / q[(k, k)];
            for j in k + 1..m {
                let above = q[(k, j)];
                q[(row, j)] -= factor * above;
            }
        }
        if sign < 0.0 {
            r.row_mut(k).mapv_inplace(|x| -x);
        }
    }
    r
}
