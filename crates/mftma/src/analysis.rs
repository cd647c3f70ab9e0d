//! The analysis: settings checked once, then run on any source.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use faer::Mat;
use ndarray::{Array2, ArrayView2, AsArray, Axis, Ix2};
use rayon::prelude::*;

use crate::activations::{Absorb, Activations, ArrayActivations, Scalar, pass};
use crate::canonical::Canonical;
use crate::centres::{Centres, Structure, mean_absolute_cosine};
use crate::error::Error;
use crate::geometry::{Geometry, ManifoldGeometry, RankAlternative, RankTrial, Warning};
use crate::gram::{self, Accumulator, InnerProducts, Wanted};
use crate::joint::gather::{self, Gatherer};
use crate::joint::{self, JointGeometry, JointSettings, joint_geometry_with};
use crate::manifold::{ManifoldProblem, ProblemError, Sampling};
use crate::means::Resampling;
use crate::measures::MEASURES;
use crate::progress::Progress;
use crate::removal::{Removed, check_centres, householder_coordinates};
use crate::settings::{AnalysisSettings, RankRule, Vectors};
use crate::spectrum;

/// An analysis with checked settings. It holds no data and can be run on any number of sources.
#[derive(Debug, Clone)]
pub struct Analysis {
    settings: AnalysisSettings,
}

/// The mean-field and the joint measures of one source, each with its own failure.
pub type Both = (Result<Geometry, Error>, Result<JointGeometry, Error>);

/// What takes in one source for both. Each gets the blocks that it would get alone, so that sums have the same order.
struct Pair<'a, 'b> {
    geometry: Accumulator<'a>,
    joint: Gatherer<'b>,
}

impl Absorb for Pair<'_, '_> {
    fn absorb<T: Scalar>(&mut self, first: usize, block: ArrayView2<'_, T>) -> Result<(), Error> {
        const { assert!(gram::WIDTH.is_multiple_of(gather::WIDTH)) };
        self.geometry.absorb(first, block)?;
        let mut at = first;
        for narrow in block.axis_chunks_iter(Axis(1), gather::WIDTH) {
            self.joint.absorb(at, narrow)?;
            at += narrow.ncols();
        }
        Ok(())
    }
}

/// An error after which there is nothing to measure, neither way.
fn leaves_both<T>(outcome: Result<T, Error>) -> Result<Result<T, Error>, Error> {
    match outcome {
        Err(error @ (Error::Source(_) | Error::Cancelled | Error::NotFinite { .. })) => Err(error),
        outcome => Ok(outcome),
    }
}

impl AnalysisSettings {
    /// Checks the settings and makes an analysis of them.
    ///
    /// # Errors
    /// As [`AnalysisSettings::check`].
    pub fn build(self) -> Result<Analysis, Error> {
        Analysis::new(self)
    }
}

/// The geometry of `points` (one a row: (ΣM_i, N)) whose labels are `labels`, one label for each row, in any order.
///
/// Points that share a label are one manifold, and manifolds are in the order of their labels: manifold i of the result
/// belongs to the i-th smallest label that occurs ([`distinct_labels`](crate::distinct_labels) lists them). Runs on
/// rayon's current thread pool; where the rows are not in the order of their labels, a copy of the points is held.
///
/// ```
/// use mftma::{AnalysisSettings, analyze, ndarray::Array2};
///
/// // Four classes of five points in 30 features, their labels interleaved.
/// let points = Array2::from_shape_fn((20, 30), |(i, j)| {
///     (((i % 4) * 37 + j * 11) as f32).sin() + 0.3 * ((i * 101 + j * 53 + i * j) as f32).sin()
/// });
/// let labels: Vec<&str> = (0..20).map(|i| ["cat", "dog", "eel", "fox"][i % 4]).collect();
/// let geometry = analyze(&points, &labels, &AnalysisSettings::default().vectors(50))?;
/// assert_eq!(geometry.manifolds.len(), 4);
/// assert_eq!(geometry.manifolds[3].points, 5);
/// # Ok::<(), mftma::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] if there is not one label for each row; as [`AnalysisSettings::check`] and [`Analysis::run`].
pub fn analyze<'a, T, A, L>(
    points: A,
    labels: &[L],
    settings: &AnalysisSettings,
) -> Result<Geometry, Error>
where
    T: Scalar,
    A: AsArray<'a, T, Ix2>,
    L: Ord,
{
    Analysis::new(settings.clone())?.run(&ArrayActivations::from_labels(points, labels)?)
}

impl Analysis {
    /// An analysis with these settings.
    ///
    /// # Errors
    /// As [`AnalysisSettings::check`].
    pub fn new(settings: AnalysisSettings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self { settings })
    }

    /// Starts from the defaults: κ = 0, 300 Gaussian vectors, seed 0, our conventions, no intervals, no spectrum.
    /// [`AnalysisSettings::build`] ends what is begun here.
    pub fn builder() -> AnalysisSettings {
        AnalysisSettings::default()
    }

    /// Its settings.
    pub fn settings(&self) -> &AnalysisSettings {
        &self.settings
    }

    /// Analyses `source` on rayon's current thread pool.
    ///
    /// # Errors
    /// [`Error`] for input that cannot be analysed.
    pub fn run<A: Activations + ?Sized>(&self, source: &A) -> Result<Geometry, Error> {
        self.run_with(source, &|_| ControlFlow::Continue(()))
    }

    /// As [`Analysis::run`], telling `progress` what is being done; where it breaks, the analysis ends with
    /// [`Error::Cancelled`]. The callback is called from several threads.
    ///
    /// # Errors
    /// As [`Analysis::run`], and [`Error::Cancelled`].
    pub fn run_with<A: Activations + ?Sized>(
        &self,
        source: &A,
        progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    ) -> Result<Geometry, Error> {
        let of = source.n_features();
        let goes_on = || progress(Progress::Features { done: 0, of }).is_continue();
        let canonical = Canonical::new(source, self.keeps_order(), &goes_on)?;
        let products = self
            .wanted(&canonical)
            .and_then(|wanted| InnerProducts::gather(&canonical, wanted, progress))
            .map_err(|error| canonical.restored(error))?;
        self.geometry(canonical, products, progress)
    }

    /// As [`Analysis::run_with`], and beside it what [`joint_geometry_with`] gives with the settings `joint`: the same bytes, but the
    /// source is passed over once. (Twice where only one of the two keeps the source's order of points, as the reference's conventions
    /// and given vectors or labels do.)
    ///
    /// Either may fail by itself, and leaves the other. [`Error::setting`](Error::Setting)s are the failure of the measures that they belong to.
    ///
    /// # Errors
    /// What leaves neither: [`Error::Source`], [`Error::Cancelled`], and values that are not finite.
    pub fn run_with_joint<A: Activations + ?Sized>(
        &self,
        source: &A,
        joint: &JointSettings,
        progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    ) -> Result<Both, Error> {
        let checked = joint::check(source, joint);
        if let Err(error) = checked {
            return Ok((leaves_both(self.run_with(source, progress))?, Err(error)));
        }
        if self.keeps_order() != joint.keep_order() {
            let joint = leaves_both(joint_geometry_with(source, joint, progress))?;
            let geometry = leaves_both(self.run_with(source, progress))?;
            return Ok((geometry, joint));
        }
        let of = source.n_features();
        let goes_on = || progress(Progress::Features { done: 0, of }).is_continue();
        let canonical = Canonical::new(source, self.keeps_order(), &goes_on)?;
        let wanted = match self.wanted(&canonical) {
            Ok(wanted) => wanted,
            Err(error) => {
                let joint = leaves_both(joint_geometry_with(source, joint, progress))?;
                return Ok((Err(canonical.restored(error)), joint));
            }
        };
        let mut pair = Pair {
            geometry: Accumulator::new(&canonical, wanted)?,
            joint: Gatherer::new(&canonical, joint)?,
        };
        pass(&canonical, gram::WIDTH, progress, &mut pair)
            .map_err(|error| canonical.restored(error))?;
        // The larger of the two goes first, and its memory with it.
        let products = pair.joint.finish();
        let joint = joint::from_products(canonical.clone(), products, joint, progress);
        let joint = leaves_both(joint)?;
        let geometry = self.geometry(canonical, pair.geometry.finish(), progress);
        Ok((leaves_both(geometry)?, joint))
    }

    /// Given vectors belong to points in their order, and the reference's results depend on the order.
    fn keeps_order(&self) -> bool {
        matches!(self.settings.vectors, Vectors::Given(_))
            || matches!(self.settings.conventions.rank_rule, RankRule::Reference)
    }

    /// The geometry from the inner products of `canonical`.
    fn geometry<A: Activations + ?Sized>(
        &self,
        mut canonical: Canonical<'_, A>,
        mut products: InnerProducts,
        progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    ) -> Result<Geometry, Error> {
        if !self.keeps_order() {
            canonical.rearrange(&products.arrange());
        }
        let mut geometry = self
            .measure(&products, canonical.points_per_manifold(), progress)
            .map_err(|error| canonical.restored(error))?;
        for m in &mut geometry.manifolds {
            m.manifold = canonical.manifold(m.manifold);
            m.centre_norm = canonical.length(m.centre_norm);
        }
        geometry.manifolds.sort_by_key(|m| m.manifold);
        for warning in &mut geometry.warnings {
            warning.rename(&canonical);
        }
        Ok(geometry)
    }

    /// What the measures need of the source.
    fn wanted<A: Activations + ?Sized>(&self, source: &A) -> Result<Wanted<'_>, Error> {
        let settings = &self.settings;
        let given_directions = match &settings.conventions.rank_rule {
            RankRule::Given { directions } => Some(directions),
            _ => None,
        };
        let given_vectors = match &settings.vectors {
            Vectors::Given(vectors) => Some(vectors.as_slice()),
            _ => None,
        };
        let p = source.points_per_manifold().len();
        if let Some(vectors) = given_vectors
            && vectors.len() != p
        {
            return Err(Error::Shape {
                what: "arrays of given Gaussian vectors (one per manifold)",
                expected: p,
                found: vectors.len(),
            });
        }
        Ok(Wanted {
            leading: given_vectors.is_some(),
            directions: given_directions,
            spectrum: settings.spectrum.is_some(),
        })
    }

    /// The geometry of manifolds of these sizes, in the order of `products`.
    fn measure(
        &self,
        products: &InnerProducts,
        sizes: &[usize],
        progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
    ) -> Result<Geometry, Error> {
        let settings = &self.settings;
        let given_vectors = match &settings.vectors {
            Vectors::Given(vectors) => Some(vectors.as_slice()),
            _ => None,
        };
        let p = sizes.len();
        if progress(Progress::Centres).is_break() {
            return Err(Error::Cancelled);
        }
        check_centres(products, sizes.iter().sum())?;
        let Found {
            removed,
            rank,
            trials,
            neighbours,
        } = self.centre_structure(products)?;
        let rest = removed.remaining_centres(products);
        let norms = removed.centre_norms(products, sizes, settings.conventions.global_mean)?;

        let done = AtomicUsize::new(0);
        let cancelled = AtomicBool::new(false);
        let manifolds: Vec<ManifoldGeometry> = (0..p)
            .into_par_iter()
            .map(|i| {
                if cancelled.load(Relaxed) {
                    return Err(Error::Cancelled);
                }
                let given = given_vectors.map(|vectors| vectors[i].view());
                let sampling = self.sampling(i);
                let manifold =
                    self.manifold(products, &removed, (i, norms[i]), given, &sampling)?;
                let done = 1 + done.fetch_add(1, Relaxed);
                if progress(Progress::Manifolds { done, of: p }).is_break() {
                    cancelled.store(true, Relaxed);
                    return Err(Error::Cancelled);
                }
                Ok(manifold)
            })
            .collect::<Vec<_>>()
            // The error of the first manifold that has one, whichever was measured first.
            .into_iter()
            .collect::<Result<_, _>>()?;

        let rank_alternatives = if given_vectors.is_some() {
            Vec::new()
        } else {
            self.rank_alternatives(products, sizes, (&removed, &norms), &neighbours)?
        };

        let mut warnings = self.warnings(products, &manifolds, rank);
        warnings.extend(rank_matters(rank, &rank_alternatives));

        let spectrum = match (settings.spectrum, &products.scatter) {
            (Some(share), Some(scatter)) => spectrum::spectrum(scatter, share),
            _ => None,
        };
        let resampling = Resampling::new(settings, p);
        Ok(Geometry {
            features: products.features,
            centre_correlation: mean_absolute_cosine(products.centres.as_ref()),
            centre_correlation_interval: resampling.correlation_interval(&products.centres),
            residual_centre_correlation: mean_absolute_cosine(rest.as_ref()),
            rank,
            rank_trials: trials,
            rank_alternatives,
            spectrum,
            warnings,
            ..Geometry::of_manifolds(settings, manifolds, &resampling)
        })
    }

    /// The subspace to remove, its K, what each K tried gave, and the subspaces beside it.
    fn centre_structure(&self, products: &InnerProducts) -> Result<Found, Error> {
        let settings = &self.settings;
        if let RankRule::Given { directions } = &settings.conventions.rank_rule {
            return Ok(Found {
                removed: Removed::given(products),
                rank: directions.ncols(),
                trials: Vec::new(),
                neighbours: Vec::new(),
            });
        }
        let centres = Centres::new(products.centres.clone()).ok_or(Error::Eigenproblem {
            what: "the centres' Gram matrix",
        })?;
        let Structure {
            directions,
            trials,
            neighbours,
        } = match settings.conventions.rank_rule {
            RankRule::Fixed { rank } if rank >= centres.rank().max(1) => {
                return Err(Error::Setting {
                    setting: "rank",
                    value: rank.to_string(),
                    requirement: "below the number of dimensions that the centres span (at most P - 1)",
                });
            }
            RankRule::Fixed { rank } => centres.fixed(rank),
            RankRule::AtMost { rank } => centres.reproducible(rank),
            RankRule::LeastResidual => centres.least_residual(),
            RankRule::Reference => centres.reference(settings.restarts, settings.seed),
            _ => centres.reproducible(usize::MAX),
        };
        let neighbours = neighbours
            .iter()
            .map(|directions| {
                let removed = Removed::found(products, &centres, directions.as_ref());
                (directions.ncols(), removed)
            })
            .collect();
        Ok(Found {
            removed: Removed::found(products, &centres, directions.as_ref()),
            rank: directions.ncols(),
            trials,
            neighbours,
        })
    }

    /// What every neighbouring K would change, from a few Gaussian vectors that are the same for all of them. A K that leaves
    /// some manifold without a centre, or a measure without a value, is left out.
    fn rank_alternatives(
        &self,
        products: &InnerProducts,
        sizes: &[usize],
        chosen: (&Removed, &[f64]),
        neighbours: &[(usize, Removed)],
    ) -> Result<Vec<RankAlternative>, Error> {
        if neighbours.is_empty() {
            return Ok(Vec::new());
        }
        let means = |removed: &Removed, norms: &[f64]| -> Result<[f64; 3], Error> {
            let p = sizes.len();
            let measured: Vec<ManifoldGeometry> = (0..p)
                .into_par_iter()
                .map(|i| self.manifold(products, removed, (i, norms[i]), None, &self.few(i)))
                .collect::<Vec<_>>()
                .into_iter()
                .collect::<Result<_, _>>()?;
            let mean = |of: &dyn Fn(&ManifoldGeometry) -> f64| {
                measured.iter().map(of).sum::<f64>() / p as f64
            };
            Ok([
                mean(&|m| m.capacity.value.recip()).recip(),
                mean(&|m| m.radius.value),
                mean(&|m| m.dimension.value),
            ])
        };
        let here = means(chosen.0, chosen.1)?;
        let change = |there: f64, here: f64| if here == 0.0 { 0.0 } else { there / here - 1.0 };
        Ok(neighbours
            .iter()
            .filter_map(|(rank, removed)| {
                let weights = self.settings.conventions.global_mean;
                let norms = removed.centre_norms(products, sizes, weights).ok()?;
                let there = means(removed, &norms).ok()?;
                Some(RankAlternative {
                    rank: *rank,
                    capacity_change: change(there[0], here[0]),
                    radius_change: change(there[1], here[1]),
                    dimension_change: change(there[2], here[2]),
                })
            })
            .collect())
    }

    /// A few of the Gaussian vectors of a manifold: enough to compare one K with another.
    fn few(&self, manifold: usize) -> Sampling {
        let few = match self.settings.vectors {
            Vectors::Count(count) => count.min(FEW_VECTORS),
            _ => FEW_VECTORS,
        };
        Sampling {
            vectors: few,
            relative_error: None,
            ..self.sampling(manifold)
        }
    }

    /// The measures of manifold `i`, whose remaining centre has length `norm`.
    fn manifold(
        &self,
        products: &InnerProducts,
        removed: &Removed,
        (i, norm): (usize, f64),
        given: Option<ArrayView2<'_, f64>>,
        sampling: &Sampling,
    ) -> Result<ManifoldGeometry, Error> {
        let settings = &self.settings;
        let own = &products.manifolds[i];
        let (points, features) = (own.cross.ncols(), products.features);
        let named = |source: ProblemError| Error::Manifold {
            manifold: i,
            source,
        };
        let gram = removed.gram(own, i, norm);
        let leading = removed.leading(own, i, norm);
        let measures = match (gram, leading, given) {
            // N < M, or N = M with vectors in the coordinates of the features.
            (gram, Some(leading), given)
                if gram.is_none() || (given.is_some() && features <= points) =>
            {
                let problem =
                    ManifoldProblem::from_points(to_array(&leading).t()).map_err(named)?;
                match given {
                    Some(vectors) => problem.measure_supplied(settings.margin, vectors),
                    None => problem.measure(sampling),
                }
            }
            (Some(gram), Some(leading), Some(vectors)) => {
                let coordinates = householder_coordinates(&gram, &leading);
                ManifoldProblem::from_points(coordinates.t())
                    .map_err(named)?
                    .measure_supplied(settings.margin, vectors)
            }
            (Some(gram), ..) => ManifoldProblem::from_gram(gram.view(), features.min(points))
                .map_err(named)?
                .measure(sampling),
            (None, ..) => Err(ProblemError::NoPoints),
        }
        .map_err(named)?;
        let geometry = ManifoldGeometry::new(i, norm, &measures, &settings.conventions);
        for measure in MEASURES {
            let value = measure
                .of_manifold(&geometry)
                .map_or(0.0, |reading| reading.value);
            if !value.is_finite() {
                return Err(named(ProblemError::Undefined {
                    measure: measure.name,
                    value,
                    points,
                    rank: geometry.rank,
                    interior: geometry.statuses.interior,
                    vectors: geometry.vectors,
                }));
            }
        }
        Ok(geometry)
    }

    fn sampling(&self, manifold: usize) -> Sampling {
        let settings = &self.settings;
        let common = Sampling::default()
            .margin(settings.margin)
            .seed(settings.seed)
            .stream(manifold as u64)
            .variance_reduction(settings.variance_reduction);
        match settings.vectors {
            Vectors::Count(vectors) => common.vectors(vectors),
            Vectors::UntilRelativeError {
                relative_error,
                cap,
            } => common
                .vectors(cap.min(FIRST_VECTORS))
                .relative_error(Some(relative_error))
                .max_vectors(cap),
            // Given vectors are measured without drawing any.
            Vectors::Given(_) => common,
        }
    }

    fn warnings(
        &self,
        products: &InnerProducts,
        manifolds: &[ManifoldGeometry],
        rank: usize,
    ) -> Vec<Warning> {
        let p = manifolds.len();
        let mut warnings = degenerate(products, manifolds, rank);
        if p < 30 {
            warnings.push(Warning::FewManifolds { manifolds: p });
        }
        if products.constant_features > 0 {
            warnings.push(Warning::ConstantFeatures {
                features: products.constant_features,
            });
        }
        let c = &products.centres;
        let largest = (0..p).map(|i| c[(i, i)]).fold(0.0, f64::max);
        for i in 0..p {
            let twin = (0..i).find(|&j| c[(i, i)] + c[(j, j)] - 2.0 * c[(i, j)] <= 1e-14 * largest);
            if let Some(other) = twin {
                warnings.push(Warning::CoincidentCentres { manifold: i, other });
            }
        }
        for m in manifolds {
            if m.statuses.iteration_limit > 0 {
                warnings.push(Warning::IterationLimit {
                    manifold: m.manifold,
                    vectors: m.statuses.iteration_limit,
                });
            }
            if let Vectors::UntilRelativeError { relative_error, .. } = self.settings.vectors {
                let worst = [m.capacity, m.radius, m.dimension]
                    .iter()
                    .filter_map(|e| e.standard_error.map(|se| se / e.value.abs()))
                    .fold(0.0, f64::max);
                if worst > relative_error {
                    warnings.push(Warning::RelativeErrorNotReached {
                        manifold: m.manifold,
                        relative_error: worst,
                    });
                }
            }
        }
        warnings
    }
}

/// Vectors by which one K is compared with another.
const FEW_VECTORS: usize = 30;

/// A centre at most this long, in units of the median one, is told of.
const SHORT_CENTRE: f64 = 0.05;

/// One feature or one point that holds more than this share of everything is told of, where there are at least
/// [`MANY`] of them.
const DOMINANT: f64 = 0.5;

/// See [`DOMINANT`].
const MANY: usize = 20;

/// A change of the capacity by another K beyond which it is told of.
const NOTED_CHANGE: f64 = 0.05;

/// Where another K would move the capacity much, the one that would move it further.
fn rank_matters(rank: usize, alternatives: &[RankAlternative]) -> Option<Warning> {
    let size = |a: &&RankAlternative| a.capacity_change.abs();
    let other = alternatives
        .iter()
        .max_by(|a, b| size(a).total_cmp(&size(b)))?;
    (size(&other) > NOTED_CHANGE).then_some(Warning::RankMatters {
        rank,
        other: other.rank,
        capacity_change: other.capacity_change,
    })
}

/// The subspace found, and those beside it.
struct Found {
    removed: Removed,
    rank: usize,
    trials: Vec<RankTrial>,
    neighbours: Vec<(usize, Removed)>,
}

/// What is measured, though the numbers stand on next to nothing.
fn degenerate(
    products: &InnerProducts,
    manifolds: &[ManifoldGeometry],
    rank: usize,
) -> Vec<Warning> {
    let p = manifolds.len();
    let mut notes = Vec::new();
    let shares = |lengths: Vec<f64>| {
        let mut sorted = lengths.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        lengths.into_iter().map(move |length| length / median)
    };
    let before = (0..p).map(|i| products.centres[(i, i)].max(0.0).sqrt());
    let near: Vec<bool> = shares(before.collect())
        .enumerate()
        .map(|(manifold, share)| {
            let near = share <= SHORT_CENTRE;
            if near {
                notes.push(Warning::NearGlobalMean { manifold, share });
            }
            near
        })
        .collect();
    for (manifold, share) in shares(manifolds.iter().map(|m| m.centre_norm).collect()).enumerate() {
        if share <= SHORT_CENTRE && !near[manifold] {
            notes.push(Warning::CentreRemoved {
                manifold,
                share,
                rank,
            });
        }
    }
    let single = manifolds.iter().filter(|m| m.points == 1).count();
    if single > 0 {
        notes.push(Warning::SinglePoints {
            manifolds: single,
            of: p,
        });
    }
    let features = products.features;
    let (feature, squares) = products.largest_feature;
    if features >= MANY && squares > DOMINANT * products.squares {
        notes.push(Warning::DominantFeature {
            feature,
            share: squares / products.squares,
        });
    }
    let points: usize = manifolds.iter().map(|m| m.points).sum();
    let mut largest = (0, 0, 0.0);
    let mut empty = 0;
    for (i, own) in products.manifolds.iter().enumerate() {
        let squared = own.squared_distances();
        for (mu, &squared) in squared.iter().enumerate() {
            if squared > largest.2 {
                largest = (i, mu, squared);
            }
        }
        let mean = squared.iter().sum::<f64>() / squared.len() as f64;
        let rounding = 1e-24 * (products.mean_norm_squared + products.centres[(i, i)]);
        if squared.len() > 1 && mean <= rounding {
            empty += 1;
        }
    }
    if points >= MANY && largest.2 > DOMINANT * products.squares_within {
        notes.push(Warning::DominantPoint {
            manifold: largest.0,
            point: largest.1,
            share: largest.2 / products.squares_within,
        });
    }
    if empty > 0 {
        notes.push(Warning::WithoutVariance {
            manifolds: empty,
            of: p,
        });
    }
    notes
}

/// Vectors before the relative error is first looked at, where it decides how many there are.
const FIRST_VECTORS: usize = 200;

fn to_array(a: &Mat<f64>) -> Array2<f64> {
    Array2::from_shape_fn((a.nrows(), a.ncols()), |(i, j)| a[(i, j)])
}
