//! What can be chosen about an analysis, and what the choices are called.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// How the number K of removed centre directions is chosen, and which subspace of K directions is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "rule")]
#[non_exhaustive]
pub enum RankRule {
    /// Ours: the K of least mean |residual correlation|, 0 included and below the rank of the centres, each K with the
    /// subspace of least cost that a fixed set of starts leads to. No seed of the caller's enters, so there is one answer.
    /// A rough scan takes each K from the solution for K − 1 and the direction along which most correlation is left; it goes
    /// as far as the reference's and stops as that does. The K within 2 % of the least residual (at most three) are then
    /// looked at closely, with more starts. See [`crate::centres`].
    Reproducible,
    /// The reference's: for each K the best of several random starts (see
    /// [`AnalysisBuilder::restarts`](crate::AnalysisBuilder::restarts)), the one with the largest smallest remaining centre
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
        /// Orthonormal columns, shape (N, K).
        #[serde(skip)]
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
/// Stephenson et al. (arXiv 2003.01787) in all of them. The result carries what was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Given, one array of shape (min(N, M_i) + 1, n_t) per manifold, last row the centre coordinate t₀, in the
    /// coordinates of the reference: the features themselves where N ≤ M_i, otherwise those of LAPACK's Householder QR
    /// of the centred points.
    Given(#[serde(skip)] Vec<Array2<f64>>),
}
