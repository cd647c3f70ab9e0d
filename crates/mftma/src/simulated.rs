//! Capacity by simulation: at how many random projections half of the dichotomies of the manifolds are separable.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use ndarray::{Array2, ArrayView2, Axis};
use rand::seq::index::sample;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::activations::Activations;
use crate::canonical::Canonical;
use crate::error::Error;
use crate::manifold::normal;
use crate::manifold::problem::pivoted_cholesky;
use crate::progress::Progress;
use crate::setters::setters;
use crate::solver::PointSet;
use crate::solver::kernels::{padded, product};
use crate::streams;
use crate::version::ALGORITHM_VERSION;

/// Squared distance of (0, 1) from the cone of the points below which the origin counts as inside their hull: points
/// have unit root-mean-square length, and the solver leaves about 1e-13.
const TOUCHING: f64 = 1e-12;

/// Repetitions whose thresholds tell the others where to look for theirs.
const FIRST: usize = 4;

/// The first step from there, as a share of it.
const NEARBY: usize = 64;

/// How the manifolds are labelled ±1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Dichotomy {
    /// Each label +1 or −1 with equal chance, as the theory has it.
    #[default]
    Uniform,
    /// Exactly this many manifolds, drawn at random, are +1 (1: one against the rest).
    Sparse {
        /// Number of positive manifolds, below the number of manifolds.
        positive: usize,
    },
}

/// Settings of [`simulate_capacity`]: plain data, each with a default and a method of its name that sets it. The result
/// records them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Simulation {
    /// Number of independent pairs of a projection and a dichotomy. Default 100 \[D\].
    pub repetitions: usize,
    /// How labels are drawn.
    pub dichotomy: Dichotomy,
    /// Whether the separating hyperplane may miss the origin. Default no \[D\]: α_M is the capacity of hyperplanes
    /// through the origin (Chung, Lee & Sompolinsky 2018), after the global mean is removed.
    pub bias: bool,
    /// Whether the mean of all manifolds' centres is removed first. Default yes \[D\], as in the definition of α_M.
    pub subtract_global_mean: bool,
    /// Confidence of the interval. Default 0.95 \[D\].
    pub confidence: f64,
    /// Seed of the [streams](crate::streams), one per repetition.
    pub seed: u64,
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            repetitions: 100,
            dichotomy: Dichotomy::Uniform,
            bias: false,
            subtract_global_mean: true,
            confidence: 0.95,
            seed: 0,
        }
    }
}

setters!(Simulation {
    repetitions: usize,
    dichotomy: Dichotomy,
    bias: bool,
    subtract_global_mean: bool,
    confidence: f64,
    seed: u64,
});

impl Simulation {
    /// Whether a simulation can be made with these settings, as far as they can tell without the data.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first one outside its range.
    pub fn check(&self) -> Result<(), Error> {
        demand(
            self.repetitions > 0,
            "repetitions",
            &self.repetitions,
            "at least 1",
        )?;
        demand(
            self.confidence > 0.0 && self.confidence < 1.0,
            "confidence",
            &self.confidence,
            "between 0 and 1",
        )?;
        match self.dichotomy {
            Dichotomy::Sparse { positive: 0 } => demand(false, POSITIVE, &0, FEWER),
            _ => Ok(()),
        }
    }
}

/// Name of the setting of [`Dichotomy::Sparse`].
const POSITIVE: &str = "positive";
/// What it must be.
const FEWER: &str = "between 1 and the number of manifolds - 1";

fn demand(
    ok: bool,
    setting: &'static str,
    value: &dyn std::fmt::Display,
    requirement: &'static str,
) -> Result<(), Error> {
    if ok {
        return Ok(());
    }
    Err(Error::Setting {
        setting,
        value: value.to_string(),
        requirement,
    })
}

/// What [`simulate_capacity`] finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SimulatedCapacity {
    /// Every setting of the simulation.
    pub settings: Simulation,
    /// [`ALGORITHM_VERSION`](crate::ALGORITHM_VERSION) of the engine that gave these numbers.
    pub algorithm_version: u32,
    /// P, the number of manifolds.
    pub manifolds: usize,
    /// α_sim = P/n*; `None` where fewer than half of the dichotomies are separable with all features.
    pub capacity: Option<f64>,
    /// Interval of α_sim at the confidence asked for; its lower end is 0 where the data do not bound it.
    pub interval: (f64, f64),
    /// n*, where the share of separable dichotomies crosses one half, interpolated between whole dimensions.
    pub dimensions: Option<f64>,
    /// For each repetition the least number of projected dimensions at which its dichotomy is separable;
    /// `None` where it is not even with all features.
    pub thresholds: Vec<Option<usize>>,
}

/// Simulated capacity of P manifolds (paper.md 9; compared with α_M in Chung, Lee & Sompolinsky 2018,
/// DOI 10.1103/PhysRevX.8.031003).
///
/// All points are held in memory, in double precision. Each repetition draws labels and a Gaussian projection. With the same labels, points that are separable in the first
/// n projected features are separable in the first n + 1, so each repetition has one threshold, found by bisection on n;
/// the share of separable dichotomies at n is the share of thresholds up to n, and n* is its median. The interval is the
/// binomial one for a median (normal approximation), interpolated in the same way.
///
/// Separability is decided by the anchor-point solver: the labelled points z are separable through the origin exactly if
/// (0, 1) is outside the cone of the (z, 1). It starts from the points that held the hyperplane, or surrounded the origin,
/// at the last number of dimensions. The separating direction that it finds is checked against every point.
///
/// Runs on rayon's current pool; the same bytes at any thread count, and under any order of the manifolds and of the points
/// of each.
///
/// ```
/// use mftma::{ArrayActivations, Simulation, ndarray::Array2, simulate_capacity};
///
/// // Twenty single points in general position: Cover's capacity, 2.
/// let points = Array2::from_shape_fn((20, 30), |(i, j)| ((i * 31 + j * 17 + i * j * j) as f64).sin());
/// let source = ArrayActivations::new(points.view(), &[1; 20])?;
/// let found = simulate_capacity(&source, &Simulation::default().repetitions(400))?;
/// assert!(found.interval.0 < 2.0 && 2.0 < found.interval.1);
/// # Ok::<(), mftma::Error>(())
/// ```
///
/// # Errors
/// [`Error`] for fewer than two manifolds, one without points, values that are not finite, settings out of range, or a
/// source that fails.
pub fn simulate_capacity<A: Activations + ?Sized>(
    source: &A,
    settings: &Simulation,
) -> Result<SimulatedCapacity, Error> {
    simulate_capacity_with(source, settings, &|_| ControlFlow::Continue(()))
}

/// As [`simulate_capacity`], telling `progress` how many dichotomies are done; where it breaks, the simulation ends with
/// [`Error::Cancelled`] after the dichotomies begun. The callback is called from several threads.
///
/// # Errors
/// As [`simulate_capacity`], and [`Error::Cancelled`].
pub fn simulate_capacity_with<A: Activations + ?Sized>(
    source: &A,
    settings: &Simulation,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<SimulatedCapacity, Error> {
    let points_per_manifold = source.points_per_manifold();
    settings.check()?;
    check_counts(points_per_manifold, settings)?;
    let canonical = Canonical::new(source, false, &|| true)?;
    let points_per_manifold = canonical.points_per_manifold();
    let points = canonical
        .collect()
        .map_err(|error| canonical.restored(error))?
        .into_points();
    check_finite(points.view(), points_per_manifold).map_err(|error| canonical.restored(error))?;
    let cloud = Cloud::new(points, points_per_manifold, settings);
    let (done, cancelled) = (AtomicUsize::new(0), AtomicBool::new(false));
    let some = |repetitions: Range<usize>, near: Option<usize>| {
        repetitions
            .into_par_iter()
            .map(|repetition| {
                if cancelled.load(Relaxed) {
                    return Err(Error::Cancelled);
                }
                let threshold = cloud.threshold(settings, repetition, near);
                let told = Progress::Dichotomies {
                    done: 1 + done.fetch_add(1, Relaxed),
                    of: settings.repetitions,
                };
                if progress(told).is_break() {
                    cancelled.store(true, Relaxed);
                    return Err(Error::Cancelled);
                }
                Ok(threshold)
            })
            .collect::<Result<Vec<Option<usize>>, _>>()
    };
    // All thresholds are near each other: the first ones tell the others where to look.
    let first = FIRST.min(settings.repetitions);
    let mut thresholds = some(0..first, None)?;
    let near = crossing(&thresholds, 0.5).map(|middle| middle.ceil() as usize);
    thresholds.extend(some(first..settings.repetitions, near)?);
    let manifolds = points_per_manifold.len() as f64;
    let spread = 0.5 * normal::quantile(0.5 + 0.5 * settings.confidence)
        / (settings.repetitions as f64).sqrt();
    let dimensions = crossing(&thresholds, 0.5);
    let fewest = crossing(&thresholds, 0.5 - spread);
    let most = crossing(&thresholds, 0.5 + spread);
    Ok(SimulatedCapacity {
        settings: settings.clone(),
        algorithm_version: ALGORITHM_VERSION,
        manifolds: points_per_manifold.len(),
        capacity: dimensions.map(|n| manifolds / n),
        interval: (
            most.map_or(0.0, |n| manifolds / n),
            fewest.map_or(f64::INFINITY, |n| manifolds / n),
        ),
        dimensions,
        thresholds,
    })
}

fn check_counts(counts: &[usize], settings: &Simulation) -> Result<(), Error> {
    if counts.len() < 2 {
        return Err(Error::TooFewManifolds {
            found: counts.len(),
            needed: 2,
        });
    }
    if let Some(manifold) = counts.iter().position(|&n| n == 0) {
        return Err(Error::EmptyManifold { manifold });
    }
    match settings.dichotomy {
        Dichotomy::Sparse { positive } => {
            demand(positive < counts.len(), POSITIVE, &positive, FEWER)
        }
        Dichotomy::Uniform => Ok(()),
    }
}

fn check_finite(points: ArrayView2<'_, f64>, counts: &[usize]) -> Result<(), Error> {
    let mut rows = points.outer_iter();
    for (manifold, &count) in counts.iter().enumerate() {
        for (point, row) in rows.by_ref().take(count).enumerate() {
            if let Some((feature, &value)) = row.iter().enumerate().find(|(_, x)| !x.is_finite()) {
                return Err(Error::NotFinite {
                    manifold,
                    point,
                    feature,
                    value,
                });
            }
        }
    }
    Ok(())
}

/// All points in coordinates (r, points), padded, scaled to unit root-mean-square length.
struct Cloud {
    coordinates: Vec<f64>,
    stride: usize,
    rank: usize,
    /// Manifold of each point.
    manifold: Vec<usize>,
    manifolds: usize,
}

impl Cloud {
    fn new(points: Array2<f64>, counts: &[usize], settings: &Simulation) -> Self {
        let mut x = points;
        let manifold: Vec<usize> = counts
            .iter()
            .enumerate()
            .flat_map(|(i, &n)| core::iter::repeat_n(i, n))
            .collect();
        if settings.subtract_global_mean {
            let mut mean = ndarray::Array1::<f64>::zeros(x.ncols());
            for (row, &i) in x.rows().into_iter().zip(&manifold) {
                mean.scaled_add(1.0 / (counts[i] * counts.len()) as f64, &row);
            }
            x -= &mean.insert_axis(Axis(0));
        }
        let total = x.nrows();
        let size = (x.iter().map(|v| v * v).sum::<f64>() / total as f64).sqrt();
        if size > 0.0 {
            x /= size;
        }
        // A Gaussian projection of the features and one of any coordinates of the points' span are the same in law.
        let (rank, rows): (usize, Array2<f64>) = if x.ncols() > total {
            let gram = x.dot(&x.t());
            let largest = gram.diag().iter().fold(0.0_f64, |a, &b| a.max(b));
            let (rank, flat) =
                pivoted_cholesky(gram.view(), 16.0 * total as f64 * f64::EPSILON * largest);
            (
                rank,
                Array2::from_shape_fn((rank, total), |(r, j)| flat[r * total + j]),
            )
        } else {
            (x.ncols(), x.reversed_axes())
        };
        let stride = padded(total);
        let mut coordinates = vec![0.0; rank * stride];
        for (row, padded) in rows
            .rows()
            .into_iter()
            .zip(coordinates.chunks_exact_mut(stride))
        {
            for (value, out) in row.iter().zip(padded) {
                *out = *value;
            }
        }
        Self {
            coordinates,
            stride,
            rank,
            manifold,
            manifolds: counts.len(),
        }
    }

    fn labels(&self, dichotomy: Dichotomy, rng: &mut impl Rng) -> Vec<f64> {
        match dichotomy {
            Dichotomy::Uniform => (0..self.manifolds)
                .map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 })
                .collect(),
            Dichotomy::Sparse { positive } => {
                let mut labels = vec![-1.0; self.manifolds];
                for i in sample(rng, self.manifolds, positive) {
                    labels[i] = 1.0;
                }
                labels
            }
        }
    }

    /// Least number of projected dimensions at which the dichotomy of one repetition is separable, first looked for at `near`.
    fn threshold(
        &self,
        settings: &Simulation,
        repetition: usize,
        near: Option<usize>,
    ) -> Option<usize> {
        let mut rng = streams::simulated_dichotomy(settings.seed, repetition as u64);
        let labels = self.labels(settings.dichotomy, &mut rng);
        let signs: Vec<f64> = self.manifold.iter().map(|&i| labels[i]).collect();
        let mut projected = Projected {
            rows: Vec::new(),
            dimensions: 0,
        };
        // The points that hold the hyperplane, or surround the origin, change little from one dimension to another.
        let mut active = Vec::new();
        let mut separable_at = |n: usize| {
            projected.extend(self, n, &signs, &mut rng);
            self.separable(&projected, n, settings.bias.then_some(&signs), &mut active)
        };
        // Steps that double until the threshold is between two of them, then bisection.
        let smallest = self.manifolds.div_ceil(2).min(self.rank);
        let start = near.unwrap_or(smallest).min(self.rank);
        let mut step = near.map_or(smallest, |near| (near / NEARBY).max(1));
        let (mut fails, mut holds) = (start, start);
        if separable_at(start) {
            fails = start.saturating_sub(step);
            while fails > 0 && separable_at(fails) {
                holds = fails;
                step *= 2;
                fails = fails.saturating_sub(step);
            }
        } else {
            while fails == holds {
                if fails == self.rank {
                    return None;
                }
                holds = (fails + step).min(self.rank);
                if !separable_at(holds) {
                    fails = holds;
                    step *= 2;
                }
            }
        }
        while holds - fails > 1 {
            let middle = fails + (holds - fails) / 2;
            if separable_at(middle) {
                holds = middle;
            } else {
                fails = middle;
            }
        }
        Some(holds)
    }

    /// Whether the labelled points are separable in their first n projected dimensions. `active` is a guess of the points
    /// in the answer, and then those points.
    fn separable(
        &self,
        projected: &Projected,
        n: usize,
        bias: Option<&Vec<f64>>,
        active: &mut Vec<u32>,
    ) -> bool {
        let total = self.manifold.len();
        let scale =
            (self.rank.max(1) as f64 / n.max(1) as f64).sqrt() / (self.rank.max(1) as f64).sqrt();
        let rank = n + usize::from(bias.is_some());
        let mut coordinates = Vec::with_capacity(rank * total);
        for row in projected.rows.chunks_exact(self.stride).take(n) {
            coordinates.extend(row[..total].iter().map(|v| v * scale));
        }
        if let Some(signs) = bias {
            coordinates.extend_from_slice(signs);
        }
        let set = PointSet::generated(total, rank, &coordinates);
        let mut workspace = set.workspace();
        let mut b = vec![1.0; set.m_stride];
        b[set.m..].fill(0.0);
        let outcome = set.solve_from(active, &b, 1.0, &mut workspace);
        active.clear();
        active.extend_from_slice(workspace.members());
        // V = (0, 1) − Σ α (z, 1) = (−p, 1 − Σα).
        let mut p = vec![0.0; set.r_stride];
        for (&j, &x) in workspace.members().iter().zip(workspace.multipliers()) {
            let point = &set.by_point[j as usize * set.r_stride..][..set.r_stride];
            for (p, z) in p.iter_mut().zip(point) {
                *p += x * z;
            }
        }
        let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let squared = inner(&p, &p) + (1.0 - outcome.sum).powi(2);
        squared > TOUCHING
            && set
                .by_point
                .chunks_exact(set.r_stride)
                .all(|point| inner(&p, point) > 0.5 * squared)
    }
}

/// Labelled points under the random projection, drawn dimension by dimension as they are needed.
struct Projected {
    rows: Vec<f64>,
    dimensions: usize,
}

impl Projected {
    fn extend(&mut self, cloud: &Cloud, n: usize, signs: &[f64], rng: &mut impl Rng) {
        if n <= self.dimensions {
            return;
        }
        let more = n - self.dimensions;
        let projection: Vec<f64> = (0..more * cloud.rank)
            .map(|_| StandardNormal.sample(rng))
            .collect();
        let from = self.rows.len();
        self.rows.resize(from + more * cloud.stride, 0.0);
        product(
            crate::simd::arch(),
            (&projection, cloud.rank),
            cloud.rank,
            &cloud.coordinates,
            cloud.stride,
            &mut self.rows[from..],
        );
        for row in self.rows[from..].chunks_exact_mut(cloud.stride) {
            for (value, sign) in row.iter_mut().zip(signs) {
                *value *= sign;
            }
        }
        self.dimensions = n;
    }
}

/// Where the share of thresholds up to n, taken as linear between whole n, reaches `level`.
fn crossing(thresholds: &[Option<usize>], level: f64) -> Option<f64> {
    let mut known: Vec<usize> = thresholds.iter().flatten().copied().collect();
    known.sort_unstable();
    let target = level * thresholds.len() as f64;
    let mut below = 0;
    while below < known.len() {
        let n = known[below];
        let up_to = known.partition_point(|&k| k <= n);
        if up_to as f64 >= target {
            let fraction = ((target - below as f64) / (up_to - below) as f64).max(0.0);
            return Some((n as f64 - 1.0 + fraction).max(f64::MIN_POSITIVE));
        }
        below = up_to;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// More points than the solver holds a Gram matrix of, so that guesses are used.
        #[test]
        fn what_is_separable_does_not_depend_on_the_guess(
            seed in 0u64..1000,
            spread in 0.3f64..3.0,
            guess in prop::collection::btree_set(0u32..96, 1..40),
        ) {
            let (manifolds, each, features) = (8, 12, 40);
            let mut rng = streams::simulated_dichotomy(seed, 1000);
            let mut draw = || -> f64 { StandardNormal.sample(&mut rng) };
            let centres = Array2::from_shape_simple_fn((manifolds, features), &mut draw);
            let points = Array2::from_shape_fn((manifolds * each, features), |(i, j)| {
                centres[[i / each, j]] + spread * draw()
            });
            let settings = Simulation::default().seed(seed);
            let cloud = Cloud::new(points, &[each; 8], &settings);
            let threshold = cloud.threshold(&settings, 0, None);
            for near in [1, 3, 8, 20, 39, 40, 1000] {
                prop_assert_eq!(cloud.threshold(&settings, 0, Some(near)), threshold);
            }
            let mut rng = streams::simulated_dichotomy(seed, 0);
            let labels = cloud.labels(settings.dichotomy, &mut rng);
            let signs: Vec<f64> = cloud.manifold.iter().map(|&i| labels[i]).collect();
            let mut projected = Projected { rows: Vec::new(), dimensions: 0 };
            for n in 8..=cloud.rank {
                projected.extend(&cloud, n, &signs, &mut rng);
                let expected = threshold.is_some_and(|least| n >= least);
                for mut guess in [Vec::new(), guess.iter().copied().collect()] {
                    prop_assert_eq!(cloud.separable(&projected, n, None, &mut guess), expected);
                }
            }
        }
    }

    #[test]
    fn a_median_between_whole_dimensions_is_interpolated() {
        let thresholds = [Some(3), Some(4), Some(4), Some(5)];
        assert_eq!(crossing(&thresholds, 0.5), Some(3.5));
        assert_eq!(crossing(&thresholds, 0.75), Some(4.0));
        assert_eq!(crossing(&[Some(2), None, None, None], 0.5), None);
    }
}
