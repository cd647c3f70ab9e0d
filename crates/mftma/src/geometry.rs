//! The result of an analysis: typed, serialisable, and flattened to tidy rows on request.

use serde::{Deserialize, Serialize};

use crate::manifold::Estimate;
use crate::settings::Conventions;
use crate::solver::StatusCounts;

/// A two-sided interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

/// A mean over manifolds: its value, its standard error over the Gaussian vectors with the points held fixed, and where
/// asked for an interval over manifolds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanEstimate {
    /// The mean.
    pub value: f64,
    /// Standard error over the Gaussian vectors. `None` where one vector, or given vectors, leave it unknown.
    pub standard_error: Option<f64>,
    /// Percentile interval from resampling the manifolds (the classes) with replacement; see
    /// [`AnalysisBuilder::resamples`](crate::AnalysisBuilder::resamples).
    pub interval: Option<Interval>,
}

/// The measures of one manifold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// The variance spectrum of all points about their mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Two manifolds have the same centre: no direction tells their means apart.
    CoincidentCentres {
        /// Index of the manifold.
        manifold: usize,
        /// An earlier manifold with the same centre.
        other: usize,
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

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Warning::FewManifolds { manifolds } => {
                write!(
                    f,
                    "only {manifolds} manifolds: the mean-field theory wants 30 or more"
                )
            }
            Warning::CoincidentCentres { manifold, other } => {
                write!(f, "manifolds {other} and {manifold} have the same centre")
            }
            Warning::ConstantFeatures { features } => {
                write!(f, "{features} feature(s) are the same for every point")
            }
            Warning::IterationLimit { manifold, vectors } => {
                write!(
                    f,
                    "manifold {manifold}: {vectors} Gaussian vector(s) ended at the iteration limit"
                )
            }
            Warning::RelativeErrorNotReached {
                manifold,
                relative_error,
            } => write!(
                f,
                "manifold {manifold}: the cap on Gaussian vectors was reached at a relative error of {relative_error:.3}"
            ),
        }
    }
}

/// The geometry of P manifolds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Geometry {
    /// N, features of a point.
    pub features: usize,
    /// κ, the margin.
    pub margin: f64,
    /// The seed that the Gaussian vectors came from.
    pub seed: u64,
    /// The conventions used.
    pub conventions: Conventions,
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
    /// Participation ratio and explained-variance dimension, where asked for.
    pub spectrum: Option<Spectrum>,
    /// One entry per manifold, in the source's order.
    pub manifolds: Vec<ManifoldGeometry>,
    /// What the reader should know.
    pub warnings: Vec<Warning>,
}

/// One value of one measure: a row of a tidy table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Index of the manifold; `None` for a value over all manifolds.
    pub manifold: Option<usize>,
    /// Name of the measure: `capacity`, `radius`, `dimension`, `centre-correlation`, …
    pub measure: String,
    /// The value.
    pub value: f64,
    /// Standard error over Gaussian vectors, where there is one.
    pub standard_error: Option<f64>,
    /// Lower end of the interval over manifolds, where there is one.
    pub lower: Option<f64>,
    /// Upper end of the interval over manifolds, where there is one.
    pub upper: Option<f64>,
}

impl Row {
    fn plain(manifold: Option<usize>, measure: &str, value: f64) -> Self {
        Self {
            manifold,
            measure: measure.to_owned(),
            value,
            standard_error: None,
            lower: None,
            upper: None,
        }
    }

    fn of(manifold: usize, measure: &str, estimate: &Estimate) -> Self {
        Self {
            standard_error: estimate.standard_error,
            ..Self::plain(Some(manifold), measure, estimate.value)
        }
    }

    fn mean(measure: &str, mean: &MeanEstimate) -> Self {
        Self {
            standard_error: mean.standard_error,
            lower: mean.interval.map(|i| i.lower),
            upper: mean.interval.map(|i| i.upper),
            ..Self::plain(None, measure, mean.value)
        }
    }
}

impl Geometry {
    /// Flattens to one row per value: first those over all manifolds, then manifold by manifold.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = vec![
            Row::mean("capacity", &self.capacity),
            Row::mean("radius", &self.radius),
            Row::mean("dimension", &self.dimension),
            Row {
                lower: self.centre_correlation_interval.map(|i| i.lower),
                upper: self.centre_correlation_interval.map(|i| i.upper),
                ..Row::plain(None, "centre-correlation", self.centre_correlation)
            },
            Row::plain(
                None,
                "residual-centre-correlation",
                self.residual_centre_correlation,
            ),
            Row::plain(None, "rank", self.rank as f64),
        ];
        if let Some(spectrum) = &self.spectrum {
            rows.push(Row::plain(
                None,
                "participation-ratio",
                spectrum.participation_ratio,
            ));
            rows.push(Row::plain(
                None,
                "explained-variance-dimension",
                spectrum.explained_variance_dimension as f64,
            ));
        }
        for m in &self.manifolds {
            let index = Some(m.manifold);
            rows.push(Row::of(m.manifold, "capacity", &m.capacity));
            rows.push(Row::of(m.manifold, "radius", &m.radius));
            rows.push(Row::of(m.manifold, "dimension", &m.dimension));
            rows.push(Row::plain(index, "centre-norm", m.centre_norm));
            rows.push(Row::plain(index, "points", m.points as f64));
            rows.push(Row::plain(index, "points-rank", m.rank as f64));
        }
        rows
    }
}
