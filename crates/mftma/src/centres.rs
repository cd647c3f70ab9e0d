//! The low-rank structure that centres share, found and taken away in the span of the centres.
//!
//! With C the P×P Gram matrix of the centred centres, C = UΛUᵀ, the rows of Y = UΛ^½ (P×r) are the centres in r = rank C
//! ≤ P − 1 coordinates, and every N×K subspace V in their span is QA with A (r×K) orthonormal. So the search for V is one
//! on a Stiefel manifold of at most P − 1 rows, whatever N.
//!
//! The cost, as in the reference (Stephenson et al. 2019, arXiv 2003.01787):
//! f(A) = ½ Σ_mn R_mn² / (R_mm R_nn) with R = C − ccᵀ, c = YA, that is half the sum of squared cosines between the
//! centres that remain. It depends on A's span alone, lies between P/2 and P²/2, and has no limit where the remaining
//! centre of a manifold vanishes: f can be pulled down by spending a direction on one centre, whose vanishing remainder
//! then points where it correlates least. Such a solution is no shared structure (its manifold would get an infinite
//! radius), so a solution that leaves some centre less than [`SMALLEST_REMAINDER`] of the median remaining norm is only kept
//! where there is no other, and our rule for K takes none that leaves less than [`SMALLEST_KEPT`] of it.
//!
//! The least residual is no measure of how many directions are shared: K independent-looking directions more always fit K
//! centres better, up to a point where a third of the centres' dimensions is spent. So our rule takes the fewest directions
//! that come [`WITHIN`] a quarter of the least residual.
//!
//! Minimisation is by limited-memory BFGS on the Stiefel manifold, preconditioned from the right by Q = Σ_m c_m c_mᵀ/r_m (K×K):
//! turning the span by Ξ moves the direction of what remains of centre m by about (Ξc_m)/√r_m, and directions of large variance
//! would otherwise be stiffer than those of small variance by the ratio of their eigenvalues. On real activations 40 steps
//! then come to 1e-4 of the cost, where without it 60 had come to 1e-2.

use faer::{Mat, MatRef};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::geometry::RankTrial;
use crate::linalg;
use crate::stiefel::{self, At, Limits};
use crate::streams;

/// Centred centres in the coordinates of their span.
#[derive(Debug, Clone)]
pub(crate) struct Centres {
    /// C (P, P), Gram matrix of the centred centres.
    pub(crate) gram: Mat<f64>,
    /// Y (P, r): one centre a row.
    pub(crate) coordinates: Mat<f64>,
    /// W₀ (P, r): the orthonormal basis is Q = Z·W₀ with Z (N, P) the centred centres.
    pub(crate) basis: Mat<f64>,
    /// Eigenvalues of C, falling, the r kept.
    pub(crate) eigenvalues: Vec<f64>,
}

impl Centres {
    /// From C (P, P), full symmetric storage. `None` if its eigenproblem fails.
    pub(crate) fn new(gram: Mat<f64>) -> Option<Self> {
        let p = gram.nrows();
        let (values, vectors) = linalg::symmetric_eigen(gram.as_ref())?;
        // Centred centres span at most P − 1; below this share an eigenvalue of a Gram matrix is rounding.
        let least = values.first().copied().unwrap_or(0.0).max(0.0) * 1e-13 * p as f64;
        let r = values
            .iter()
            .take(p.saturating_sub(1))
            .take_while(|&&v| v > least && v > 0.0)
            .count();
        let coordinates = Mat::from_fn(p, r, |i, j| vectors[(i, j)] * values[j].sqrt());
        let basis = Mat::from_fn(p, r, |i, j| vectors[(i, j)] / values[j].sqrt());
        let eigenvalues = values[..r].to_vec();
        Some(Self {
            gram,
            coordinates,
            basis,
            eigenvalues,
        })
    }

    /// r, the dimension of the centres' span.
    pub(crate) fn rank(&self) -> usize {
        self.eigenvalues.len()
    }

    /// R = C − ccᵀ (P, P) for A (r, K), taken from the coordinates so that small remainders keep their digits.
    fn remainder(&self, a: MatRef<'_, f64>) -> Mat<f64> {
        let c = linalg::product(self.coordinates.as_ref(), a);
        let mut rest = self.gram.clone();
        linalg::add_product(rest.as_mut(), -1.0, c.as_ref(), c.transpose());
        rest
    }

    /// The cost and its Euclidean gradient at A (r, K): ∂f/∂c = 2(diag(s/r) − W)c with W_mn = R_mn/(r_m r_n),
    /// s_m = Σ_n R_mn²/(r_m r_n), and ∂f/∂A = Yᵀ ∂f/∂c.
    pub(crate) fn cost(&self, a: MatRef<'_, f64>) -> At {
        let p = self.gram.nrows();
        let c = linalg::product(self.coordinates.as_ref(), a);
        let mut w = self.gram.clone();
        linalg::add_product(w.as_mut(), -1.0, c.as_ref(), c.transpose());
        let inverse: Vec<f64> = (0..p)
            .map(|m| {
                1.0 / w[(m, m)]
                    .max(f64::EPSILON * self.gram[(m, m)])
                    .max(f64::MIN_POSITIVE)
            })
            .collect();
        let mut cost = 0.0;
        for n in 0..p {
            let (column, inverse_n) = (w.col_as_slice_mut(n), inverse[n]);
            let mut s = 0.0;
            for (value, inverse_m) in column.iter_mut().zip(&inverse) {
                let weighted = *value * inverse_m * inverse_n;
                s += *value * weighted;
                *value = weighted;
            }
            cost += s;
            column[n] -= s * inverse_n;
        }
        let slope = linalg::product(w.as_ref(), c.as_ref());
        let mut gradient = Mat::zeros(a.nrows(), a.ncols());
        linalg::add_product(
            gradient.as_mut(),
            -2.0,
            self.coordinates.transpose(),
            slope.as_ref(),
        );
        let mut scaled = c.clone();
        for j in 0..a.ncols() {
            for (x, inverse) in scaled.col_as_slice_mut(j).iter_mut().zip(&inverse) {
                *x *= inverse;
            }
        }
        let q = linalg::product(scaled.transpose(), c.as_ref());
        At {
            cost: 0.5 * cost,
            gradient,
            preconditioner: linalg::inverse(&q),
        }
    }
}

/// Mean over i ≠ j of |G_ij|/√(G_ii G_jj), of a Gram matrix (P, P); pairs with a vanished member count as 0.
pub(crate) fn mean_absolute_cosine(gram: MatRef<'_, f64>) -> f64 {
    let p = gram.nrows();
    let mut sum = 0.0;
    for j in 0..p {
        for i in 0..p {
            let scale = gram[(i, i)] * gram[(j, j)];
            if i != j && scale > 0.0 {
                sum += (gram[(i, j)].abs() / scale.sqrt()).min(1.0);
            }
        }
    }
    sum / (p * (p - 1)) as f64
}

/// A centre structure that is kept must leave every centre this share of the median remaining norm, where any does.
pub const SMALLEST_REMAINDER: f64 = 0.02;

/// For the scan over K: enough to tell one K from another.
const ROUGH: Limits = Limits {
    iterations: 40,
    decrease: 3e-4,
    memory: 16,
};

/// Enough to tell one basin from another: the cost to about 1e-4 of itself.
const COARSE: Limits = Limits {
    iterations: 60,
    decrease: 1e-5,
    memory: 16,
};

/// Enough to choose among random restarts by their smallest norms: rougher, and K would be chosen by noise.
const RESTART: Limits = Limits {
    iterations: 120,
    decrease: 1e-6,
    memory: 16,
};

/// For the subspace that is kept: to rounding, where the minimum is a sharp one.
const FINE: Limits = Limits {
    iterations: 200,
    decrease: 1e-24,
    memory: 16,
};

/// Our rule takes the least K whose residual correlation is at most this share above the least that any K leaves. Every
/// direction lowers the residual of independent centres a little, and most of what it takes is not shared. Chosen with
/// [`SMALLEST_KEPT`] by simulated capacity: see the example `rank_rule`.
pub const WITHIN: f64 = 0.25;

/// Our rule takes no K that leaves some centre less than this share of the median remaining norm, unless there is so short
/// a one before any removal.
pub const SMALLEST_KEPT: f64 = 0.1;

/// Under the rule of least residual, K whose residual correlation at the rough minimum is this close to the least are
/// looked at closely, at most [`LOOKED_AT`] of them.
const CLOSE: f64 = 0.02;

/// See [`CLOSE`].
const LOOKED_AT: usize = 3;

/// Random starts, from a fixed stream, for each K that is looked at closely: fewer for more manifolds, whose minima are
/// dearer and fewer.
fn further_starts(manifolds: usize) -> usize {
    (160 / manifolds).clamp(1, 16)
}

/// A candidate for one K.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) directions: Mat<f64>,
    pub(crate) trial: RankTrial,
    /// Smallest remaining centre norm in units of the median one.
    pub(crate) smallest_of_median: f64,
}

impl Centres {
    pub(crate) fn candidate(&self, minimum: stiefel::Minimum) -> Candidate {
        let rest = self.remainder(minimum.point.as_ref());
        let mut norms: Vec<f64> = (0..rest.nrows())
            .map(|m| rest[(m, m)].max(0.0).sqrt())
            .collect();
        let smallest_centre_norm = norms
            .iter()
            .enumerate()
            .map(|(m, norm)| norm / self.gram[(m, m)].sqrt().max(f64::MIN_POSITIVE))
            .fold(f64::INFINITY, f64::min);
        norms.sort_by(f64::total_cmp);
        Candidate {
            smallest_of_median: norms[0] / norms[norms.len() / 2].max(f64::MIN_POSITIVE),
            trial: RankTrial {
                rank: minimum.point.ncols(),
                residual_correlation: mean_absolute_cosine(rest.as_ref()),
                cost: minimum.cost,
                smallest_centre_norm,
            },
            directions: minimum.point,
        }
    }

    pub(crate) fn minimise(&self, start: Mat<f64>, limits: Limits) -> Candidate {
        self.candidate(stiefel::minimise(|a| self.cost(a), start, limits))
    }

    /// Scatter (r, r), full, of the remaining centres scaled to unit length.
    fn scatter(&self, a: MatRef<'_, f64>) -> Mat<f64> {
        let c = linalg::product(self.coordinates.as_ref(), a);
        let mut rest = self.coordinates.clone();
        linalg::add_product(rest.as_mut(), -1.0, c.as_ref(), a.transpose());
        let inverse: Vec<f64> = (0..rest.nrows())
            .map(|m| rest.row(m).norm_l2().max(f64::MIN_POSITIVE).recip())
            .collect();
        for j in 0..rest.ncols() {
            for (x, inverse) in rest.col_as_slice_mut(j).iter_mut().zip(&inverse) {
                *x *= inverse;
            }
        }
        linalg::product(rest.transpose(), rest.as_ref())
    }

    /// The direction along which most correlation is left, nearly: by power iteration from the longest column of the
    /// scatter. A start needs no more.
    fn leftover_direction(&self, a: MatRef<'_, f64>) -> Vec<f64> {
        let scatter = self.scatter(a);
        let squared = |j: usize| linalg::dot(scatter.col_as_slice(j), scatter.col_as_slice(j));
        let longest = (0..scatter.ncols())
            .max_by(|&i, &j| squared(i).total_cmp(&squared(j)))
            .unwrap_or(0);
        let mut direction = scatter.col_as_slice(longest).to_vec();
        for _ in 0..20 {
            let length = linalg::dot(&direction, &direction).sqrt();
            direction
                .iter_mut()
                .for_each(|x| *x /= length.max(f64::MIN_POSITIVE));
            direction = (0..scatter.ncols())
                .map(|j| linalg::dot(scatter.col_as_slice(j), &direction))
                .collect();
        }
        direction
    }
}

/// The subspace chosen and what each K tried gave.
pub(crate) struct Structure {
    /// A (r, K).
    pub(crate) directions: Mat<f64>,
    /// One entry per K tried, in the order tried.
    pub(crate) trials: Vec<RankTrial>,
    /// A for K − 1 and for K + 1, where our search knows them.
    pub(crate) neighbours: Vec<Mat<f64>>,
}

impl Centres {
    /// Largest K worth trying: 11 past the index at which the centres' variance reaches 95 %, as the reference, and less
    /// than the r dimensions that they span.
    fn largest_rank(&self) -> usize {
        let total: f64 = self.eigenvalues.iter().sum();
        let mut held = 0.0;
        let below = self
            .eigenvalues
            .iter()
            .take_while(|&&v| {
                held += v;
                held < 0.95 * total
            })
            .count();
        (below.saturating_sub(1) + 11).min(self.rank().saturating_sub(1))
    }

    /// Nothing removed.
    fn nothing(&self) -> Candidate {
        let point = Mat::zeros(self.rank(), 0);
        let cost = self.cost(point.as_ref()).cost;
        self.candidate(stiefel::Minimum { point, cost })
    }

    /// Tries K from 1 upward, each K handed the one before it, and returns all candidates and the K ≥ `from` of least
    /// residual correlation. The search ends after three rises in a row from K > 4, as the reference's.
    fn scan(
        &self,
        from: usize,
        most: usize,
        next: impl Fn(&Candidate) -> Candidate,
    ) -> (Vec<Candidate>, usize) {
        let mut candidates = vec![self.nothing()];
        for k in 1..=self.largest_rank().min(most) {
            candidates.push(next(&candidates[k - 1]));
            let residual = |back: usize| candidates[k - back].trial.residual_correlation;
            if k > 4
                && residual(0) > residual(1)
                && residual(1) > residual(2)
                && residual(2) > residual(3)
            {
                break;
            }
        }
        let residual = |k: &usize| candidates[*k].trial.residual_correlation;
        let best = (from.min(candidates.len() - 1)..candidates.len())
            .min_by(|a, b| residual(a).total_cmp(&residual(b)))
            .unwrap_or(0);
        (candidates, best)
    }

    /// The reference's rule; see [`crate::RankRule::Reference`].
    pub(crate) fn reference(&self, restarts: usize, seed: u64) -> Structure {
        let (mut candidates, best) = self.scan(1, usize::MAX, |previous| {
            let k = previous.trial.rank + 1;
            let found = self.random_starts(k, restarts, seed, RESTART);
            let norm = |c: &Candidate| c.trial.smallest_centre_norm;
            found
                .into_iter()
                .reduce(|best, c| if norm(&c) > norm(&best) { c } else { best })
                .unwrap_or_else(|| previous.clone())
        });
        candidates[best] = self.polished(&candidates[best]);
        Structure::of(candidates, best)
    }

    /// Our rule, with K at most `most`; see [`crate::RankRule::Reproducible`].
    pub(crate) fn reproducible(&self, most: usize) -> Structure {
        let (mut candidates, _) = self.scan(0, most, |previous| self.after(previous));
        // The choice rests on the least residual, on the K chosen and on the K below it: each is looked at closely, until
        // none of them is one that was only looked at roughly.
        let mut looked_at = vec![false; candidates.len()];
        looked_at[0] = true;
        let chosen = loop {
            let (least, chosen) = fewest(&candidates);
            let rough = [least, chosen, chosen.saturating_sub(1)]
                .into_iter()
                .find(|&k| !looked_at[k]);
            let Some(k) = rough else { break chosen };
            candidates[k] = self.looked_at_closely(&candidates[k]);
            looked_at[k] = true;
        };
        candidates[chosen] = self.polished(&candidates[chosen]);
        self.with_neighbours(candidates, chosen)
    }

    /// The structure of K = `chosen`, and those beside it.
    fn with_neighbours(&self, candidates: Vec<Candidate>, chosen: usize) -> Structure {
        let mut neighbours: Vec<Mat<f64>> = (1..=chosen)
            .last()
            .map(|k| candidates[k - 1].directions.clone())
            .into_iter()
            .collect();
        // K + 1 must leave the centres a dimension to stand apart in.
        if chosen + 1 < self.rank() {
            let more = candidates
                .get(chosen + 1)
                .cloned()
                .unwrap_or_else(|| self.after(&candidates[chosen]));
            neighbours.push(self.looked_at_closely(&more).directions);
        }
        Structure {
            neighbours,
            ..Structure::of(candidates, chosen)
        }
    }

    /// The rule of least residual; see [`crate::RankRule::LeastResidual`].
    pub(crate) fn least_residual(&self) -> Structure {
        let (mut candidates, best) = self.scan(0, usize::MAX, |previous| self.after(previous));
        let residual = |c: &Candidate| c.trial.residual_correlation;
        let limit = residual(&candidates[best]) * (1.0 + CLOSE);
        let mut close: Vec<usize> = (0..candidates.len())
            .filter(|&k| residual(&candidates[k]) <= limit)
            .collect();
        close.sort_by(|&a, &b| residual(&candidates[a]).total_cmp(&residual(&candidates[b])));
        close.truncate(LOOKED_AT);
        for &k in &close {
            candidates[k] = self.looked_at_closely(&candidates[k]);
        }
        let best = close
            .into_iter()
            .min_by(|&a, &b| residual(&candidates[a]).total_cmp(&residual(&candidates[b])))
            .unwrap_or(best);
        candidates[best] = self.polished(&candidates[best]);
        Structure::of(candidates, best)
    }

    /// K fixed, with the subspace that our rule finds for it.
    pub(crate) fn fixed(&self, rank: usize) -> Structure {
        let mut candidates = vec![self.nothing()];
        for k in 0..rank {
            candidates.push(self.after(&candidates[k]));
        }
        candidates[rank] = self.polished(&self.looked_at_closely(&candidates[rank]));
        self.with_neighbours(candidates, rank)
    }

    /// The next K from the solution before it and the direction along which most correlation is left.
    fn after(&self, previous: &Candidate) -> Candidate {
        let known = &previous.directions;
        let leftover = self.leftover_direction(known.as_ref());
        let start = Mat::from_fn(self.rank(), known.ncols() + 1, |i, j| {
            if j < known.ncols() {
                known[(i, j)]
            } else {
                leftover[i]
            }
        });
        self.minimise(start, ROUGH)
    }

    /// The leading directions of the centres at unit length.
    fn leading_start(&self, k: usize) -> Option<Mat<f64>> {
        let scatter = self.scatter(Mat::zeros(self.rank(), 0).as_ref());
        let (_, vectors) = linalg::symmetric_eigen(scatter.as_ref())?;
        Some(vectors.subcols(0, k).to_owned())
    }

    /// The best minimum from `candidate`, the leading directions and [`further_starts`]: all are run roughly, the best third
    /// to the end.
    fn looked_at_closely(&self, candidate: &Candidate) -> Candidate {
        let k = candidate.trial.rank;
        if k == 0 {
            return candidate.clone();
        }
        let mut rough = self.random_starts(k, further_starts(self.gram.nrows()), 0, ROUGH);
        rough.extend(
            self.leading_start(k)
                .map(|start| self.minimise(start, ROUGH)),
        );
        rough.push(candidate.clone());
        rough.sort_by(Candidate::order);
        rough.truncate(rough.len().div_ceil(3));
        rough
            .into_par_iter()
            .map(|c| self.minimise(c.directions, COARSE))
            .collect::<Vec<_>>()
            .into_iter()
            .min_by(Candidate::order)
            .unwrap_or_else(|| candidate.clone())
    }

    /// The same minimum to more digits, unless that way lies a vanishing centre.
    fn polished(&self, candidate: &Candidate) -> Candidate {
        if candidate.trial.rank == 0 {
            return candidate.clone();
        }
        let fine = self.minimise(candidate.directions.clone(), FINE);
        core::cmp::min_by(fine, candidate.clone(), Candidate::order)
    }

    /// Minima from random starts.
    fn random_starts(&self, k: usize, starts: usize, seed: u64, limits: Limits) -> Vec<Candidate> {
        (0..starts)
            .into_par_iter()
            .map(|start| self.minimise(self.random_start(k, seed, start), limits))
            .collect()
    }

    fn random_start(&self, k: usize, seed: u64, start: usize) -> Mat<f64> {
        let mut rng = streams::centre_start(seed, k, start);
        Mat::from_fn(self.rank(), k, |_, _| StandardNormal.sample(&mut rng))
    }
}

impl Structure {
    fn of(mut candidates: Vec<Candidate>, best: usize) -> Self {
        let trials = candidates.iter().map(|c| c.trial).collect();
        Self {
            directions: candidates.swap_remove(best).directions,
            trials,
            neighbours: Vec::new(),
        }
    }
}

/// The K of least residual correlation, and the least K that comes within [`WITHIN`] of it; both among those that leave every
/// centre [`SMALLEST_KEPT`] of the median remaining norm. K = 0 is always among them.
fn fewest(candidates: &[Candidate]) -> (usize, usize) {
    let floor = candidates[0].smallest_of_median.min(SMALLEST_KEPT);
    let kept = |k: &usize| candidates[*k].smallest_of_median >= floor;
    let residual = |k: usize| candidates[k].trial.residual_correlation;
    let least = (0..candidates.len())
        .filter(kept)
        .min_by(|&a, &b| residual(a).total_cmp(&residual(b)))
        .unwrap_or(0);
    let enough = residual(least) * (1.0 + WITHIN);
    let chosen = (0..=least)
        .filter(kept)
        .find(|&k| residual(k) <= enough)
        .unwrap_or(least);
    (least, chosen)
}

impl Candidate {
    /// Whether it spends a direction on a single centre.
    fn vanishes(&self) -> bool {
        self.smallest_of_median < SMALLEST_REMAINDER
    }

    /// The better one first: that which leaves every centre enough of its norm where the other does not, or else costs less.
    fn order(a: &Self, b: &Self) -> core::cmp::Ordering {
        a.vanishes()
            .cmp(&b.vanishes())
            .then(a.trial.cost.total_cmp(&b.trial.cost))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(rows: usize, columns: usize, seed: u64) -> Mat<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Mat::from_fn(rows, columns, |_, _| StandardNormal.sample(&mut rng))
    }

    /// Centres with `shared` common directions beside their own.
    fn centres(p: usize, n: usize, shared: usize, seed: u64) -> Centres {
        let mut z = random(p, n, seed);
        let (loadings, common) = (random(p, shared, seed + 1), random(shared, n, seed + 2));
        linalg::add_product(z.as_mut(), 1.5, loadings.as_ref(), common.as_ref());
        for j in 0..n {
            let mean = z.col_as_slice(j).iter().sum::<f64>() / p as f64;
            z.col_as_slice_mut(j).iter_mut().for_each(|x| *x -= mean);
        }
        Centres::new(linalg::product(z.as_ref(), z.transpose())).unwrap()
    }

    #[test]
    fn coordinates_reproduce_the_gram_matrix_on_p_minus_1_dimensions() {
        let centres = centres(12, 40, 2, 1);
        assert_eq!(centres.rank(), 11);
        let back = linalg::product(
            centres.coordinates.as_ref(),
            centres.coordinates.transpose(),
        );
        let difference = (&back - &centres.gram).norm_max();
        assert!(
            difference < 1e-11 * centres.gram.norm_max(),
            "{difference:e}"
        );
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        for (k, seed) in [(1, 1), (2, 2), (4, 3), (9, 4)] {
            let centres = centres(12, 40, 2, seed);
            let mut a = random(11, k, 10 + seed);
            linalg::orthonormalise(&mut a);
            let at = centres.cost(a.as_ref());
            for direction in 0..6 {
                let xi = random(11, k, 100 + direction);
                let h = 1e-5;
                let moved = |step: f64| {
                    centres
                        .cost(Mat::from_fn(11, k, |i, j| a[(i, j)] + step * xi[(i, j)]).as_ref())
                        .cost
                };
                // Fourth-order central difference.
                let numeric = (8.0 * (moved(h) - moved(-h)) - (moved(2.0 * h) - moved(-2.0 * h)))
                    / (12.0 * h);
                let analytic: f64 = (0..k)
                    .map(|j| {
                        at.gradient
                            .col_as_slice(j)
                            .iter()
                            .zip(xi.col_as_slice(j))
                            .map(|(g, x)| g * x)
                            .sum::<f64>()
                    })
                    .sum();
                assert!(
                    (numeric - analytic).abs() < 1e-6 * analytic.abs().max(1.0),
                    "K {k}: {numeric} and {analytic}"
                );
            }
        }
    }

    #[test]
    fn the_cost_depends_on_the_span_alone() {
        let centres = centres(10, 30, 2, 5);
        let mut a = random(9, 3, 6);
        linalg::orthonormalise(&mut a);
        let mut rotation = random(3, 3, 7);
        linalg::orthonormalise(&mut rotation);
        let turned = linalg::product(a.as_ref(), rotation.as_ref());
        let (one, two) = (centres.cost(a.as_ref()), centres.cost(turned.as_ref()));
        assert!((one.cost - two.cost).abs() < 1e-10);
        // Hence no slope within the span.
        let within = linalg::product(a.transpose(), one.gradient.as_ref());
        let tangential = Mat::from_fn(3, 3, |i, j| within[(i, j)] - within[(j, i)]);
        assert!(tangential.norm_max() < 1e-9 * one.gradient.norm_max().max(1.0));
    }

    #[test]
    fn a_minimum_is_orthonormal_stationary_and_no_worse_than_its_start() {
        let centres = centres(15, 40, 3, 8);
        for k in [1, 3, 6] {
            let mut start = random(14, k, 9);
            linalg::orthonormalise(&mut start);
            let before = centres.cost(start.as_ref()).cost;
            let found = centres.minimise(start, FINE);
            assert!(found.trial.cost <= before);
            let gram = linalg::product(found.directions.transpose(), found.directions.as_ref());
            assert!((&gram - Mat::<f64>::identity(k, k)).norm_max() < 1e-12);
            let mut gradient = centres.cost(found.directions.as_ref()).gradient;
            stiefel::tangent(found.directions.as_ref(), &mut gradient);
            assert!(gradient.norm_l2() < 1e-4, "K {k}: {:e}", gradient.norm_l2());
        }
    }

    /// The golden README's example of the reference's choice by norm and not by cost is a choice that ours must not make.
    #[test]
    fn our_rule_never_costs_more_than_the_references() {
        for (p, n, shared, seed) in [
            (10, 50, 2, 1),
            (20, 60, 2, 11),
            (20, 100, 4, 3),
            (30, 200, 5, 4),
        ] {
            let centres = centres(p, n, shared, seed);
            for k in 1..=shared + 4 {
                let (ours, random) = (centres.fixed(k), centres.random_starts(k, 10, 1, FINE));
                let cost = ours.trials[k].cost;
                for (start, b) in random.iter().enumerate() {
                    assert!(
                        cost <= b.trial.cost * (1.0 + 1e-3) || b.vanishes(),
                        "P {p}, K {k}: {cost} over {} from start {start}",
                        b.trial.cost
                    );
                }
            }
        }
    }
}
