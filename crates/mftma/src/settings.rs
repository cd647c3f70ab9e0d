//! What can be chosen about an analysis, and what the choices are called.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::manifold::settings::{VarianceReduction, check_margin};
use crate::setters::setters;

/// How the number K of removed centre directions is chosen, and which subspace of K directions is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "rule")]
#[non_exhaustive]
pub enum RankRule {
    /// Ours: the fewest directions whose mean |residual correlation| comes within 25 % of the least that any K leaves, 0
    /// included, among the K that leave every centre 10 % of the median remaining norm; each K with the subspace of least
    /// cost that a fixed set of starts leads to. No seed of the caller's enters, so there is one answer. A rough scan takes
    /// each K from the solution for K − 1 and the direction along which most correlation is left; it goes as far as the
    /// reference's and stops as that does. The K that the choice rests on are then looked at closely, with more starts. Both
    /// shares were chosen by simulated capacity. See [`crate::centres`].
    Reproducible,
    /// As [`RankRule::Reproducible`], with K at most `rank`.
    AtMost {
        /// The most directions that may be removed.
        rank: usize,
    },
    /// The K of least mean |residual correlation|, 0 included and below the rank of the centres, searched as by
    /// [`RankRule::Reproducible`], whose place it had up to algorithm version 1. It takes directions that are not shared:
    /// of 30 independent clouds in 60 features 4 to 6, which costs a tenth to a fifth of the capacity.
    LeastResidual,
    /// The reference's: for each K the best of several random starts (see
    /// [`AnalysisSettings::restarts`]), the one with the largest smallest remaining centre
    /// norm, not the least cost. It means to start from the solution for K − 1 and a random direction, but its code
    /// discards that start, and so do we. K is at least 1, at most 11 past the index of 95 % of the centres' variance, and
    /// the search stops after three rises in a row from K > 4. Depends on the seed. Unlike the reference, K stays below the
    /// rank of the centres, where nothing would be left.
    Reference,
    /// K fixed by the caller (0 ≤ K ≤ P − 1), with the subspace of least cost.
    Fixed {
        /// The number of directions removed.
        rank: usize,
    },
    /// The subspace itself is given.
    Given {
        /// Orthonormal columns, shape (N, K). They are part of what serde writes and reads.
        directions: Array2<f64>,
    },
}

/// What "D" counts in D_M = D·⟨t̂·ŝ⟩², and the length of the Gaussian vector t.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DimensionCount {
    /// The rank of the manifold's centred points. Ours: a segment has D_M = 1 whatever N.
    TrueRank,
    /// min(N, M) coordinates, as the reference's QR leaves them, although centred points span at most M − 1.
    Coordinates,
}

/// Which of the two forms of D_M is reported as *the* dimension; the result holds both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DimensionForm {
    /// D·⟨t̂·ŝ⟩², as in the reference (arXiv 2003.01787).
    SquaredMean,
    /// ⟨(t·ŝ)²⟩, as Chung, Lee & Sompolinsky (2018), eq. 29 (DOI 10.1103/PhysRevX.8.031003), is remembered.
    MeanSquare,
}

/// The weights of the manifolds in the global mean x̄ that centres are measured from. They differ only for unequal M_i.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GlobalMean {
    /// Every manifold weighs the same: x̄ is the mean of the centres. Ours: how often one manifold was sampled does not
    /// move the others' geometry.
    ByManifold,
    /// Every point weighs the same, as in the reference.
    ByPoint,
}

/// Where our conventions and the reference's part, each a choice of its own.
///
/// [`Conventions::ours`] is the default; [`Conventions::reference`] follows the Python package of
/// Stephenson et al. (arXiv 2003.01787) in all of them. The result carries what was used. Every field has a method of its
/// name that sets it.
///
/// ```
/// use mftma::{Conventions, RankRule};
///
/// let conventions = Conventions::ours().rank_rule(RankRule::Fixed { rank: 2 });
/// # assert_eq!(conventions.dimension_count, Conventions::ours().dimension_count);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Conventions {
    /// How the low-rank centre structure is chosen.
    pub rank_rule: RankRule,
    /// What D counts.
    pub dimension_count: DimensionCount,
    /// The form of D_M reported first.
    pub dimension_form: DimensionForm,
    /// Weights of the global mean.
    pub global_mean: GlobalMean,
}

impl Conventions {
    /// The documented default: reproducible rank rule, true rank, D·⟨t̂·ŝ⟩², every manifold the same weight.
    pub fn ours() -> Self {
        Self {
            rank_rule: RankRule::Reproducible,
            dimension_count: DimensionCount::TrueRank,
            dimension_form: DimensionForm::SquaredMean,
            global_mean: GlobalMean::ByManifold,
        }
    }

    /// The reference's choice everywhere.
    pub fn reference() -> Self {
        Self {
            rank_rule: RankRule::Reference,
            dimension_count: DimensionCount::Coordinates,
            dimension_form: DimensionForm::SquaredMean,
            global_mean: GlobalMean::ByPoint,
        }
    }
}

setters!(Conventions {
    rank_rule: RankRule,
    dimension_count: DimensionCount,
    dimension_form: DimensionForm,
    global_mean: GlobalMean,
});

impl Default for Conventions {
    fn default() -> Self {
        Self::ours()
    }
}

/// How many Gaussian vectors each manifold gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Vectors {
    /// This many, drawn from the seed.
    Count(usize),
    /// Batches until the relative standard errors of α_M, R_M and D_M are all at most `relative_error`, or no more whole
    /// batch fits below `cap`.
    UntilRelativeError {
        /// The relative standard error asked for, above 0.
        relative_error: f64,
        /// The most vectors that a manifold gets.
        cap: usize,
    },
    /// Given, one array of shape (n_t, min(N, M_i) + 1) per manifold, one vector a row, last column the centre coordinate
    /// t₀, in the coordinates of the reference: the features themselves where N ≤ M_i, otherwise those of LAPACK's
    /// Householder QR of the centred points. They are part of what serde writes and reads.
    Given(Vec<Array2<f64>>),
}

/// Settings of an [`Analysis`](crate::Analysis): plain data, each with a default, that serde reads and writes whole. A
/// result records them.
///
/// Every field has a method that sets it, so that settings can be built up in a line, and
/// [`build`](AnalysisSettings::build) checks them.
///
/// ```
/// use mftma::AnalysisSettings;
///
/// let settings = AnalysisSettings::default().margin(0.1).vectors(200).seed(1);
/// settings.check()?;
/// // What is not written keeps its default.
/// let read: AnalysisSettings =
///     serde_json::from_str(r#"{"margin": 0.1, "vectors": {"count": 200}, "seed": 1}"#).unwrap();
/// assert_eq!(read, settings);
/// # Ok::<(), mftma::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AnalysisSettings {
    /// κ, the margin, of either sign, at most 1e70 in magnitude. Default 0 (the reference's example notebook \[S\]).
    pub margin: f64,
    /// How many Gaussian vectors each manifold gets. Default 300 (the reference's example notebook \[S\]).
    pub vectors: Vectors,
    /// Seed of every random draw (see [`streams`](crate::streams)). Default 0. The same seed gives the same bytes at any
    /// number of threads.
    pub seed: u64,
    /// The conventions. Default [`Conventions::ours`].
    pub conventions: Conventions,
    /// Random restarts for each K under [`RankRule::Reference`]; our rule has starts of its own, from a fixed stream.
    /// Default 10 (as the reference \[S\]).
    pub restarts: usize,
    /// Resamples of the manifolds for the intervals of the over-manifold means; 0 (the default) for no intervals.
    pub resamples: usize,
    /// Coverage of the intervals, in (0, 1). Default 0.95.
    pub interval_coverage: f64,
    /// Also take the variance spectrum, with the number of directions for this share of the variance (the reference:
    /// 0.9). `None` by default: it needs the Gram matrix of *all* points, (ΣM_i)² doubles, and its eigenvalues.
    pub spectrum: Option<f64>,
    /// How Gaussian vectors are drawn so that fewer of them do. Default [`VarianceReduction::default`].
    pub variance_reduction: VarianceReduction,
}

impl Default for AnalysisSettings {
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

setters!(AnalysisSettings {
    margin: f64,
    seed: u64,
    conventions: Conventions,
    restarts: usize,
    resamples: usize,
    interval_coverage: f64,
    variance_reduction: VarianceReduction,
});

/// Directions that were given may be this far from orthonormal, in any inner product.
const ORTHONORMAL: f64 = 1e-6;

impl AnalysisSettings {
    /// Sets [`AnalysisSettings::vectors`] to a fixed number.
    #[must_use]
    pub fn vectors(self, count: usize) -> Self {
        self.sampling(Vectors::Count(count))
    }

    /// Sets [`AnalysisSettings::vectors`] to any rule.
    #[must_use]
    pub fn sampling(mut self, vectors: Vectors) -> Self {
        self.vectors = vectors;
        self
    }

    /// Asks for the variance spectrum; `share` is that of [`AnalysisSettings::spectrum`].
    #[must_use]
    pub fn spectrum(mut self, share: f64) -> Self {
        self.spectrum = Some(share);
        self
    }

    /// Whether an analysis can be made with these settings, as far as they can tell without the data.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first one outside its range.
    pub fn check(&self) -> Result<(), Error> {
        let demand = |ok: bool, setting, value: &dyn std::fmt::Display, requirement| {
            if ok {
                return Ok(());
            }
            Err(Error::Setting {
                setting,
                value: value.to_string(),
                requirement,
            })
        };
        demand(
            check_margin(self.margin).is_ok(),
            "margin",
            &self.margin,
            "finite, of magnitude 1e70 at most",
        )?;
        match &self.vectors {
            Vectors::Count(count) => demand(*count > 0, "vectors", count, "at least 1")?,
            Vectors::UntilRelativeError {
                relative_error,
                cap,
            } => {
                let ok = relative_error.is_finite() && *relative_error > 0.0;
                demand(ok, "relative_error", relative_error, "finite and above 0")?;
                demand(*cap > 0, "cap", cap, "at least 1")?;
            }
            Vectors::Given(_) => {}
        }
        if let RankRule::Given { directions } = &self.conventions.rank_rule {
            let products = directions.t().dot(directions);
            let off = products
                .indexed_iter()
                .map(|((i, j), &x)| (x - f64::from(i == j)).abs())
                .fold(0.0, |a: f64, b| if b <= a { a } else { b });
            demand(
                off <= ORTHONORMAL,
                "directions",
                &format_args!("{off:e} away from orthonormal"),
                "orthonormal columns (N, K), as a QR decomposition gives them",
            )?;
        }
        demand(self.restarts > 0, "restarts", &self.restarts, "at least 1")?;
        let coverage = self.interval_coverage;
        demand(
            coverage > 0.0 && coverage < 1.0,
            "interval_coverage",
            &coverage,
            "between 0 and 1",
        )?;
        demand_share(self.spectrum.unwrap_or(1.0))
    }
}

/// Checks a share of the variance.
pub(crate) fn demand_share(share: f64) -> Result<(), Error> {
    if share > 0.0 && share <= 1.0 {
        return Ok(());
    }
    Err(Error::Setting {
        setting: "spectrum",
        value: share.to_string(),
        requirement: "above 0 and at most 1",
    })
}
