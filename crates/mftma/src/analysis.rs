//! The analysis: settings checked once, then run on any source.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use faer::Mat;
use ndarray::{Array2, ArrayView2, AsArray, Ix2};
use rayon::prelude::*;

use crate::activations::{Activations, ArrayActivations, Scalar};
use crate::centres::{Centres, mean_absolute_cosine};
use crate::error::Error;
use crate::geometry::{Geometry, ManifoldGeometry, RankTrial, Warning};
use crate::gram::{InnerProducts, Wanted};
use crate::manifold::{ManifoldProblem, ProblemError, Sampling};
use crate::means::Resampling;
use crate::measures::MEASURES;
use crate::progress::Progress;
use crate::removal::{Removed, householder_coordinates};
use crate::settings::{AnalysisSettings, RankRule, Vectors};
use crate::spectrum;

/// An analysis with checked settings. It holds no data and can be run on any number of sources.
#[derive(Debug, Clone)]
pub struct Analysis {
    settings: AnalysisSettings,
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
        let settings = &self.settings;
        let given_directions = match &settings.conventions.rank_rule {
            RankRule::Given { directions } => Some(directions),
            _ => None,
        };
        let given_vectors = match &settings.vectors {
            Vectors::Given(vectors) => Some(vectors.as_slice()),
            _ => None,
        };
        let sizes = source.points_per_manifold();
        let (p, features) = (sizes.len(), source.n_features());
        if let Some(vectors) = given_vectors
            && vectors.len() != p
        {
            return Err(Error::Shape {
                what: "arrays of given Gaussian vectors (one per manifold)",
                expected: p,
                found: vectors.len(),
            });
        }
        let wanted = Wanted {
            leading: given_vectors.is_some(),
            directions: given_directions,
            spectrum: settings.spectrum.is_some(),
        };
        let products = InnerProducts::gather(source, wanted, progress)?;

        if progress(Progress::Centres).is_break() {
            return Err(Error::Cancelled);
        }
        let (removed, rank, rank_trials) = self.centre_structure(&products)?;
        let rest = removed.remaining_centres(&products);
        let norms = removed.centre_norms(&products, sizes, settings.conventions.global_mean)?;

        let done = AtomicUsize::new(0);
        let cancelled = AtomicBool::new(false);
        let manifolds: Vec<ManifoldGeometry> = (0..p)
            .into_par_iter()
            .map(|i| {
                if cancelled.load(Relaxed) {
                    return Err(Error::Cancelled);
                }
                let given = given_vectors.map(|vectors| vectors[i].view());
                let manifold = self.manifold(&products, &removed, i, norms[i], features, given)?;
                let done = 1 + done.fetch_add(1, Relaxed);
                if progress(Progress::Manifolds { done, of: p }).is_break() {
                    cancelled.store(true, Relaxed);
                    return Err(Error::Cancelled);
                }
                Ok(manifold)
            })
            .collect::<Result<_, _>>()?;

        let spectrum = match (settings.spectrum, &products.scatter) {
            (Some(share), Some(scatter)) => spectrum::spectrum(scatter, share),
            _ => None,
        };
        let resampling = Resampling::new(settings, p);
        Ok(Geometry {
            features,
            centre_correlation: mean_absolute_cosine(products.centres.as_ref()),
            centre_correlation_interval: resampling.correlation_interval(&products.centres),
            residual_centre_correlation: mean_absolute_cosine(rest.as_ref()),
            rank,
            rank_trials,
            spectrum,
            warnings: self.warnings(&products, &manifolds),
            ..Geometry::of_manifolds(settings, manifolds, &resampling)
        })
    }

    /// The subspace to remove, its K and what each K tried gave.
    fn centre_structure(
        &self,
        products: &InnerProducts,
    ) -> Result<(Removed, usize, Vec<RankTrial>), Error> {
        let settings = &self.settings;
        if let RankRule::Given { directions } = &settings.conventions.rank_rule {
            return Ok((Removed::given(products), directions.ncols(), Vec::new()));
        }
        let centres = Centres::new(products.centres.clone()).ok_or(Error::Eigenproblem {
            what: "the centres' Gram matrix",
        })?;
        let structure = match settings.conventions.rank_rule {
            RankRule::Fixed { rank } if rank >= centres.rank().max(1) => {
                return Err(Error::Setting {
                    setting: "rank",
                    value: rank.to_string(),
                    requirement: "below the number of dimensions that the centres span (at most P - 1)",
                });
            }
            RankRule::Fixed { rank } => centres.fixed(rank),
            RankRule::Reference => centres.reference(settings.restarts, settings.seed),
            _ => centres.reproducible(),
        };
        let removed = Removed::found(products, &centres, structure.directions.as_ref());
        Ok((removed, structure.directions.ncols(), structure.trials))
    }

    /// The measures of manifold `i`, whose remaining centre has length `norm`.
    fn manifold(
        &self,
        products: &InnerProducts,
        removed: &Removed,
        i: usize,
        norm: f64,
        features: usize,
        given: Option<ArrayView2<'_, f64>>,
    ) -> Result<ManifoldGeometry, Error> {
        let settings = &self.settings;
        let own = &products.manifolds[i];
        let points = own.cross.ncols();
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
                    None => problem.measure(&self.sampling(i)),
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
                .measure(&self.sampling(i)),
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

    fn warnings(&self, products: &InnerProducts, manifolds: &[ManifoldGeometry]) -> Vec<Warning> {
        let p = manifolds.len();
        let mut warnings = Vec::new();
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

/// Vectors before the relative error is first looked at, where it decides how many there are.
const FIRST_VECTORS: usize = 200;

fn to_array(a: &Mat<f64>) -> Array2<f64> {
    Array2::from_shape_fn((a.nrows(), a.ncols()), |(i, j)| a[(i, j)])
}
