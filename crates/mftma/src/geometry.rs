//! The result of an analysis, typed and serialisable. [`measures`](crate::measures) lists what it holds.

use serde::{Deserialize, Serialize};

use crate::activations::Activations;
use crate::canonical::Canonical;
use crate::manifold::measures::{Dimensions, Estimate, ManifoldMeasures};
pub use crate::means::{Interval, MeanEstimate};
use crate::means::{MeanKind, Resampling, over_manifolds};
use crate::settings::{AnalysisSettings, Conventions, DimensionCount, DimensionForm};
use crate::solver::StatusCounts;
use crate::version::ALGORITHM_VERSION;

/// The measures of one manifold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ManifoldGeometry {
    /// Index in the source, from 0.
    pub manifold: usize,
    /// M_i, number of points.
    pub points: usize,
    /// Rank of the centred points after the low-rank removal.
    pub rank: usize,
    /// D, the count in D_M and the length of t (see [`crate::DimensionCount`]).
    pub coordinates: usize,
    /// Norm of the remaining centre, in units of the input.
    pub centre_norm: f64,
    /// α_M, capacity.
    pub capacity: Estimate,
    /// R_M, radius relative to the centre's norm.
    pub radius: Estimate,
    /// D_M in the form that the conventions name.
    pub dimension: Estimate,
    /// D·⟨t̂·ŝ⟩².
    pub dimension_squared_mean: f64,
    /// ⟨(t·ŝ)²⟩.
    pub dimension_mean_square: f64,
    /// n_t, Gaussian vectors used.
    pub vectors: usize,
    /// How their problems ended.
    pub statuses: StatusCounts,
    /// Largest KKT residual of any of them.
    pub kkt_residual: f64,
}

/// What one number K of removed directions gave. Under [`RankRule::Reproducible`](crate::RankRule::Reproducible) K far from
/// the least residual were looked at roughly (costs to about 1 %), the one chosen to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RankTrial {
    /// K.
    pub rank: usize,
    /// Mean over i ≠ j of |cos| between the remaining centres.
    pub residual_correlation: f64,
    /// The cost ½Σ(C − ccᵀ)²/(r_m r_n) at the subspace kept, its constant diagonal P/2 included.
    pub cost: f64,
    /// Smallest remaining centre norm, relative to that centre's norm before.
    pub smallest_centre_norm: f64,
}

/// How the over-manifold means would differ with another number of removed directions, as shares of the means.
///
/// From fewer Gaussian vectors than the means themselves, the same for either K, so that what differs is the choice of K.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RankAlternative {
    /// The other K: one less or one more than that chosen.
    pub rank: usize,
    /// α(other K)/α − 1.
    pub capacity_change: f64,
    /// R(other K)/R − 1; 0 where both are 0.
    pub radius_change: f64,
    /// D(other K)/D − 1; 0 where both are 0.
    pub dimension_change: f64,
}

/// The variance spectrum of all points about their mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spectrum {
    /// (Σλ)²/Σλ².
    pub participation_ratio: f64,
    /// Least number of directions that hold the share [`Spectrum::variance_share`] of the variance.
    pub explained_variance_dimension: usize,
    /// The share of variance asked for.
    pub variance_share: f64,
    /// The reference's participation ratio, which drops the last eigenvalue.
    pub reference_participation_ratio: f64,
    /// The reference's explained-variance dimension, one below the true count.
    pub reference_explained_variance_dimension: usize,
}

/// Something the reader should know that does not keep the result from standing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "warning")]
#[non_exhaustive]
pub enum Warning {
    /// P is below 30, where the mean-field theory and the over-manifold means are shaky.
    FewManifolds {
        /// P.
        manifolds: usize,
    },
    /// One shared direction fewer or more would move the capacity by more than 5 %: that, not the standard error, is how
    /// well it is known. See [`Geometry::rank_alternatives`].
    RankMatters {
        /// K, the directions removed.
        rank: usize,
        /// The other K of the two that would move the capacity further.
        other: usize,
        /// α(other K)/α − 1.
        capacity_change: f64,
    },
    /// Two manifolds have the same centre: no direction tells their means apart.
    CoincidentCentres {
        /// Index of the manifold.
        manifold: usize,
        /// An earlier manifold with the same centre.
        other: usize,
    },
    /// A manifold whose centre is at most 5 % as long as the median one, before any removal: its radius is in units of
    /// nearly nothing, and moves the mean radius of all.
    NearGlobalMean {
        /// Index of the manifold.
        manifold: usize,
        /// Its centre's length, in units of the median one.
        share: f64,
    },
    /// A manifold whose centre is left at most 5 % as long as the median one by the removal of shared directions.
    CentreRemoved {
        /// Index of the manifold.
        manifold: usize,
        /// What remains of its centre, in units of the median remaining length.
        share: f64,
        /// K, the directions removed.
        rank: usize,
    },
    /// One feature holds most of the variance of all points.
    DominantFeature {
        /// Index of the feature, from 0.
        feature: usize,
        /// Its share of the variance.
        share: f64,
    },
    /// One point holds most of the squared distances of points from their centres.
    DominantPoint {
        /// Index of the manifold.
        manifold: usize,
        /// Index of the point within it, from 0.
        point: usize,
        /// Its share.
        share: f64,
    },
    /// Manifolds of one point, which have neither radius nor dimension; a capacity of 2 says nothing of them.
    SinglePoints {
        /// How many of the P.
        manifolds: usize,
        /// P.
        of: usize,
    },
    /// Manifolds of several points that are all the same to rounding.
    WithoutVariance {
        /// How many of the P.
        manifolds: usize,
        /// P.
        of: usize,
    },
    /// Features that are the same for every point: they carry no geometry.
    ConstantFeatures {
        /// How many of the N.
        features: usize,
    },
    /// Some Gaussian vectors' problems ended at the iteration limit.
    IterationLimit {
        /// Index of the manifold.
        manifold: usize,
        /// How many vectors.
        vectors: usize,
    },
    /// The cap on Gaussian vectors was reached before the relative error asked for.
    RelativeErrorNotReached {
        /// Index of the manifold.
        manifold: usize,
        /// Largest relative standard error of α_M, R_M and D_M that was reached.
        relative_error: f64,
    },
}

impl Warning {
    /// Gives manifolds and points the indices of the source.
    pub(crate) fn rename<A: Activations + ?Sized>(&mut self, canonical: &Canonical<'_, A>) {
        match self {
            Warning::CoincidentCentres { manifold, other } => {
                let pair = [*manifold, *other].map(|i| canonical.manifold(i));
                (*manifold, *other) = (pair[0].max(pair[1]), pair[0].min(pair[1]));
            }
            Warning::DominantPoint {
                manifold, point, ..
            } => {
                *point = canonical.point(*manifold, *point);
                *manifold = canonical.manifold(*manifold);
            }
            Warning::IterationLimit { manifold, .. }
            | Warning::RelativeErrorNotReached { manifold, .. }
            | Warning::NearGlobalMean { manifold, .. }
            | Warning::CentreRemoved { manifold, .. } => *manifold = canonical.manifold(*manifold),
            Warning::FewManifolds { .. }
            | Warning::RankMatters { .. }
            | Warning::ConstantFeatures { .. }
            | Warning::DominantFeature { .. }
            | Warning::SinglePoints { .. }
            | Warning::WithoutVariance { .. } => {}
        }
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe(&|i| format!("manifold {i}")))
    }
}

impl Warning {
    /// The sentence for a reader, with manifolds called what `name` says of their index.
    pub fn describe(&self, name: &dyn Fn(usize) -> String) -> String {
        let percent = |share: f64| 100.0 * share;
        match *self {
            Warning::FewManifolds { manifolds } => {
                format!("only {manifolds} manifolds: the mean-field theory wants 30 or more")
            }
            Warning::RankMatters {
                rank,
                other,
                capacity_change,
            } => format!(
                "the choice of K matters: {rank} shared direction(s) were removed, and with {other} the capacity would be {:+.0} %",
                percent(capacity_change)
            ),
            Warning::CoincidentCentres { manifold, other } => {
                format!("{} and {} have the same centre", name(other), name(manifold))
            }
            Warning::NearGlobalMean { manifold, share } => format!(
                "{}: its centre lies near the global mean ({share:.1e} of the median distance), so its radius is out of all proportion and moves the mean: leave that class out",
                name(manifold)
            ),
            Warning::CentreRemoved {
                manifold,
                share,
                rank,
            } => format!(
                "{}: the {rank} direction(s) removed leave {share:.1e} of the median length of its centre: remove fewer",
                name(manifold)
            ),
            Warning::DominantFeature { feature, share } => format!(
                "feature {feature} holds {:.1} % of the variance of all points: leave it out, or bring all features to one scale",
                percent(share)
            ),
            Warning::DominantPoint {
                manifold,
                point,
                share,
            } => format!(
                "{}: its point {point} holds {:.1} % of the squared distances of all points from their centres: is it an outlier?",
                name(manifold),
                percent(share)
            ),
            Warning::SinglePoints { manifolds, of } if manifolds == of => {
                "every manifold is a single point, so capacity says nothing of the activations: labels must say which points belong together".to_owned()
            }
            Warning::SinglePoints { manifolds, of } => format!(
                "{manifolds} of {of} manifolds are a single point: they have no radius and no dimension; leave those classes out"
            ),
            Warning::WithoutVariance { manifolds, of } => format!(
                "the points of {manifolds} of {of} manifolds are all the same: they have no radius and no dimension"
            ),
            Warning::ConstantFeatures { features } => {
                format!("{features} feature(s) are the same for every point")
            }
            Warning::IterationLimit { manifold, vectors } => format!(
                "{}: {vectors} Gaussian vector(s) ended at the iteration limit",
                name(manifold)
            ),
            Warning::RelativeErrorNotReached {
                manifold,
                relative_error,
            } => format!(
                "{}: the cap on Gaussian vectors was reached at a relative error of {relative_error:.3}",
                name(manifold)
            ),
        }
    }
}

/// The geometry of P manifolds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Geometry {
    /// N, features of a point.
    pub features: usize,
    /// Every setting of the analysis.
    pub settings: AnalysisSettings,
    /// [`ALGORITHM_VERSION`] of the engine that gave these numbers.
    pub algorithm_version: u32,
    /// α_M over manifolds: harmonic mean.
    pub capacity: MeanEstimate,
    /// R_M over manifolds: arithmetic mean.
    pub radius: MeanEstimate,
    /// D_M over manifolds: arithmetic mean.
    pub dimension: MeanEstimate,
    /// Mean over i ≠ j of |cos(c_i − c̄, c_j − c̄)| before any removal.
    pub centre_correlation: f64,
    /// Interval of it over manifolds, where resampling was asked for.
    pub centre_correlation_interval: Option<Interval>,
    /// The same of the centres that remain after the low-rank removal.
    pub residual_centre_correlation: f64,
    /// K, the number of directions removed.
    pub rank: usize,
    /// What each K tried gave.
    pub rank_trials: Vec<RankTrial>,
    /// What K − 1 and K + 1 would change, where our search chose the subspace and Gaussian vectors were drawn. The errors
    /// of the means hold K fixed: where these changes are larger, they are the uncertainty that matters.
    #[serde(default)]
    pub rank_alternatives: Vec<RankAlternative>,
    /// Participation ratio and explained-variance dimension, where asked for.
    pub spectrum: Option<Spectrum>,
    /// One entry per manifold, in the source's order.
    pub manifolds: Vec<ManifoldGeometry>,
    /// What the reader should know.
    pub warnings: Vec<Warning>,
}

impl ManifoldGeometry {
    /// Of manifold number `manifold`, whose remaining centre has length `centre_norm`.
    pub(crate) fn new(
        manifold: usize,
        centre_norm: f64,
        measures: &ManifoldMeasures,
        conventions: &Conventions,
    ) -> Self {
        let Dimensions {
            cosine,
            cosine_handed_in,
            mean_square,
        } = measures.dimension;
        let (coordinates, squared_mean) = match conventions.dimension_count {
            DimensionCount::TrueRank => (measures.rank, cosine),
            DimensionCount::Coordinates => (measures.handed_in_dimension, cosine_handed_in),
        };
        Self {
            manifold,
            points: measures.points,
            rank: measures.rank,
            coordinates,
            centre_norm,
            capacity: measures.capacity,
            radius: measures.radius,
            dimension: match conventions.dimension_form {
                DimensionForm::SquaredMean => squared_mean,
                DimensionForm::MeanSquare => mean_square,
            },
            dimension_squared_mean: squared_mean.value,
            dimension_mean_square: mean_square.value,
            vectors: measures.vectors,
            statuses: measures.statuses,
            kkt_residual: measures.worst_kkt_residual,
        }
    }
}

impl Geometry {
    /// What the manifolds alone tell: their measures and the means of them. Of the centres nothing is known yet.
    pub(crate) fn of_manifolds(
        settings: &AnalysisSettings,
        manifolds: Vec<ManifoldGeometry>,
        resampling: &Resampling,
    ) -> Self {
        let mean = |of: fn(&ManifoldGeometry) -> Estimate, kind| {
            let each: Vec<Estimate> = manifolds.iter().map(of).collect();
            over_manifolds(&each, kind, resampling)
        };
        Self {
            features: 0,
            settings: settings.clone(),
            algorithm_version: ALGORITHM_VERSION,
            capacity: mean(|m| m.capacity, MeanKind::Harmonic),
            radius: mean(|m| m.radius, MeanKind::Arithmetic),
            dimension: mean(|m| m.dimension, MeanKind::Arithmetic),
            centre_correlation: f64::NAN,
            centre_correlation_interval: None,
            residual_centre_correlation: f64::NAN,
            rank: 0,
            rank_trials: Vec::new(),
            rank_alternatives: Vec::new(),
            spectrum: None,
            warnings: Vec::new(),
            manifolds,
        }
    }
}
