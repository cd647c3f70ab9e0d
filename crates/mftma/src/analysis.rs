//! The analysis: settings checked once, then run on any source.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use faer::Mat;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::activations::Activations;
use crate::centres::{Centres, mean_absolute_cosine};
use crate::error::Error;
use crate::geometry::{Geometry, ManifoldGeometry, RankTrial, Warning};
use crate::gram::{InnerProducts, Wanted};
use crate::manifold::{
    Dimensions, Estimate, ManifoldProblem, ProblemError, Sampling, VarianceReduction,
};
use crate::means::{MeanKind, Resampling, over_manifolds};
use crate::removal::{Removed, householder_coordinates};
use crate::settings::{Conventions, DimensionCount, DimensionForm, RankRule, Vectors};
use crate::spectrum;

/// What an analysis is doing; handed to the callback of [`Analysis::run_with`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Reading features and taking inner products.
    Features {
        /// Features done.
        done: usize,
        /// N.
        of: usize,
    },
    /// Searching the low-rank centre structure.
    Centres,
    /// Solving the Gaussian vectors' problems.
    Manifolds {
        /// Manifolds done.
        done: usize,
        /// P.
        of: usize,
    },
    /// Solving the joint problem of all manifolds for one Gaussian vector after another.
    Vectors {
        /// Vectors done.
        done: usize,
        /// Vectors asked for so far.
        of: usize,
    },
}

/// An analysis with checked settings. It holds no data and can be run on any number of sources.
#[derive(Debug, Clone)]
pub struct Analysis {
    pub(crate) settings: AnalysisBuilder,
}

/// Settings of an [`Analysis`]; start with [`Analysis::builder`].
#[derive(Debug, Clone)]
pub struct AnalysisBuilder {
    pub(crate) margin: f64,
    pub(crate) vectors: Vectors,
    pub(crate) seed: u64,
    pub(crate) conventions: Conventions,
    pub(crate) restarts: usize,
    pub(crate) resamples: usize,
    pub(crate) interval_coverage: f64,
    pub(crate) spectrum: Option<f64>,
    pub(crate) variance_reduction: VarianceReduction,
}

impl Default for AnalysisBuilder {
    fn default() -> Self {
        Self {
            margin: 0.0,
            vectors: Vectors::Count(300),
            seed: 0,
            conventions: Conventions::ours(),
            restarts: 10,
            resamples: 0,
            interval_coverage: 0.95,
            spectrum: None,
            variance_reduction: VarianceReduction::default(),
        }
    }
}

impl AnalysisBuilder {
    /// κ, the margin, any finite number. Default 0 (the reference's example notebook \[S\]).
    pub fn margin(mut self, margin: f64) -> Self {
        self.margin = margin;
        self
    }

    /// n_t, Gaussian vectors per manifold. Default 300 (the reference's example notebook \[S\]).
    pub fn vectors(self, count: usize) -> Self {
        self.sampling(Vectors::Count(count))
    }

    /// How Gaussian vectors are drawn or given.
    pub fn sampling(mut self, vectors: Vectors) -> Self {
        self.vectors = vectors;
        self
    }

    /// Seed of every random draw. Default 0. The same seed gives the same bytes at any number of threads.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The conventions. Default [`Conventions::ours`].
    pub fn conventions(mut self, conventions: Conventions) -> Self {
        self.conventions = conventions;
        self
    }

    /// Random restarts for each K under [`RankRule::Reference`]; our rule has starts of its own, from a fixed stream.
    /// Default 10 (as the reference \[S\]).
    pub fn restarts(mut self, restarts: usize) -> Self {
        self.restarts = restarts;
        self
    }

    /// How Gaussian vectors are drawn so that fewer of them do. Default [`VarianceReduction::default`].
    pub fn variance_reduction(mut self, reduction: VarianceReduction) -> Self {
        self.variance_reduction = reduction;
        self
    }

    /// Resamples of the manifolds for the intervals of the over-manifold means; 0 (the default) for no intervals.
    pub fn resamples(mut self, resamples: usize) -> Self {
        self.resamples = resamples;
        self
    }

    /// Coverage of the intervals, in (0, 1). Default 0.95.
    pub fn interval_coverage(mut self, coverage: f64) -> Self {
        self.interval_coverage = coverage;
        self
    }

    /// Also take the variance spectrum, with the number of directions for `share` of the variance (the reference: 0.9).
    /// Off by default: it needs the Gram matrix of *all* points, (ΣM_i)² doubles, and its eigenvalues.
    pub fn spectrum(mut self, share: f64) -> Self {
        self.spectrum = Some(share);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first one outside its range.
    pub fn build(self) -> Result<Analysis, Error> {
        let refuse = |setting, value: String, requirement| {
            Err(Error::Setting {
                setting,
                value,
                requirement,
            })
        };
        if !self.margin.is_finite() {
            return refuse("margin", self.margin.to_string(), "finite");
        }
        match &self.vectors {
            Vectors::Count(0) => return refuse("vectors", "0".into(), "at least 1"),
            Vectors::UntilRelativeError { relative_error, .. }
                if relative_error.is_nan() || *relative_error <= 0.0 =>
            {
                return refuse("relative_error", relative_error.to_string(), "above 0");
            }
            Vectors::UntilRelativeError { cap: 0, .. } => {
                return refuse("cap", "0".into(), "at least 1");
            }
            _ => {}
        }
        if self.restarts == 0 {
            return refuse("restarts", "0".into(), "at least 1");
        }
        if !(self.interval_coverage > 0.0 && self.interval_coverage < 1.0) {
            return refuse(
                "interval_coverage",
                self.interval_coverage.to_string(),
                "between 0 and 1",
            );
        }
        if let Some(share) = self.spectrum
            && !(share > 0.0 && share <= 1.0)
        {
            return refuse("spectrum", share.to_string(), "above 0 and at most 1");
        }
        Ok(Analysis { settings: self })
    }
}

impl Analysis {
    /// Starts from the defaults: κ = 0, 300 Gaussian vectors, seed 0, our conventions, no intervals, no spectrum.
    pub fn builder() -> AnalysisBuilder {
        AnalysisBuilder::default()
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
        let measure =
            |of: fn(&ManifoldGeometry) -> Estimate| manifolds.iter().map(of).collect::<Vec<_>>();
        Ok(Geometry {
            features,
            margin: settings.margin,
            seed: settings.seed,
            conventions: settings.conventions.clone(),
            capacity: over_manifolds(&measure(|m| m.capacity), MeanKind::Harmonic, &resampling),
            radius: over_manifolds(&measure(|m| m.radius), MeanKind::Arithmetic, &resampling),
            dimension: over_manifolds(&measure(|m| m.dimension), MeanKind::Arithmetic, &resampling),
            centre_correlation: mean_absolute_cosine(products.centres.as_ref()),
            centre_correlation_interval: resampling.correlation_interval(&products.centres),
            residual_centre_correlation: mean_absolute_cosine(rest.as_ref()),
            rank,
            rank_trials,
            spectrum,
            warnings: self.warnings(&products, &manifolds),
            manifolds,
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
        let centres = Centres::new(products.centres.clone()).ok_or(Error::Manifold {
            manifold: 0,
            reason: "the eigenvalues of the centres' Gram matrix could not be found".into(),
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
        let named = |error: ProblemError| Error::Manifold {
            manifold: i,
            reason: error.to_string(),
        };
        let gram = removed.gram(own, i, norm);
        let leading = removed.leading(own, i, norm);
        let measures = match (gram, leading, given) {
            // N < M, or N = M with vectors in the coordinates of the features.
            (gram, Some(leading), given)
                if gram.is_none() || (given.is_some() && features <= points) =>
            {
                let problem =
                    ManifoldProblem::from_points(to_array(&leading).view()).map_err(named)?;
                match given {
                    Some(vectors) => problem.measure_supplied(settings.margin, vectors),
                    None => problem.measure(&self.sampling(i)),
                }
            }
            (Some(gram), Some(leading), Some(vectors)) => {
                let coordinates = householder_coordinates(&gram, &leading);
                ManifoldProblem::from_points(coordinates.view())
                    .map_err(named)?
                    .measure_supplied(settings.margin, vectors)
            }
            (Some(gram), ..) => ManifoldProblem::from_gram(gram.view(), features.min(points))
                .map_err(named)?
                .measure(&self.sampling(i)),
            (None, ..) => Err(ProblemError::NoPoints),
        }
        .map_err(named)?;
        let Dimensions {
            cosine,
            cosine_handed_in,
            mean_square,
        } = measures.dimension;
        let squared_mean = match settings.conventions.dimension_count {
            DimensionCount::TrueRank => cosine,
            DimensionCount::Coordinates => cosine_handed_in,
        };
        let geometry = ManifoldGeometry {
            manifold: i,
            points,
            rank: measures.rank,
            coordinates: match settings.conventions.dimension_count {
                DimensionCount::TrueRank => measures.rank,
                DimensionCount::Coordinates => measures.handed_in_dimension,
            },
            centre_norm: norm,
            capacity: measures.capacity,
            radius: measures.radius,
            dimension: match settings.conventions.dimension_form {
                DimensionForm::SquaredMean => squared_mean,
                DimensionForm::MeanSquare => mean_square,
            },
            dimension_squared_mean: squared_mean.value,
            dimension_mean_square: mean_square.value,
            vectors: measures.vectors,
            statuses: measures.statuses,
            kkt_residual: measures.worst_kkt_residual,
        };
        for (name, estimate) in [
            ("capacity", geometry.capacity),
            ("radius", geometry.radius),
            ("dimension", geometry.dimension),
        ] {
            if !estimate.value.is_finite() {
                return Err(Error::Manifold {
                    manifold: i,
                    reason: format!(
                        "its {name} is {} ({points} points of rank {}, {} of {} vectors without a binding constraint)",
                        estimate.value, geometry.rank, geometry.statuses.interior, geometry.vectors
                    ),
                });
            }
        }
        Ok(geometry)
    }

    fn sampling(&self, manifold: usize) -> Sampling {
        let settings = &self.settings;
        let common = Sampling {
            kappa: settings.margin,
            seed: settings.seed,
            stream: manifold as u64,
            variance_reduction: settings.variance_reduction,
            ..Sampling::default()
        };
        match settings.vectors {
            Vectors::Count(vectors) => Sampling { vectors, ..common },
            Vectors::UntilRelativeError {
                relative_error,
                cap,
            } => Sampling {
                vectors: cap.min(FIRST_VECTORS),
                relative_error: Some(relative_error),
                max_vectors: cap,
                ..common
            },
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
