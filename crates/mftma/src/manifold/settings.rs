//! How the average over Gaussian vectors is taken.

use serde::{Deserialize, Serialize};

use super::error::{ProblemError, check_setting};
use crate::setters::setters;

/// Coordinates, inner products and margins beyond this could overflow when multiplied.
pub(super) const LARGEST: f64 = 1e70;

/// How Gaussian vectors are drawn so that fewer of them give the same standard error.
///
/// Measured with [`Sampling::control_variates`] off and on: how many independent vectors one vector is worth (ratio of
/// variances over 300 repetitions of n_t = 300), for α_M / R_M / D_M (cosine form). The time per vector is the same to
/// within 6 %, the share of it spent on drawing being small.
///
/// | manifold | pairs | orthogonal pairs | independent, controlled | **pairs, controlled** |
/// |---|---|---|---|---|
/// | 50 Gaussian points, N 5,000 | 1.2 / 2.2 / 2.8 | 1.2 / 2.5 / 3.0 | 529 / 1.3 / 4.0 | **3,451 / 2.4 / 2.7** |
/// | Gaussian, D 100, M 50, s 0.1 | 2.7 / 1.4 / 1.9 | 6.0 / 2.1 / 3.5 | 11 / 1.2 / 2.0 | **15 / 1.7 / 2.1** |
/// | axes ∝ 1/√i, D 50, M 50 | 2.1 / 1.3 / 1.3 | 5.3 / 3.0 / 5.0 | 15 / 1.1 / 1.8 | **17 / 1.8 / 2.0** |
/// | axes ∝ 1/i, D 50, M 50 | 1.8 / 1.3 / 0.9 | 8.9 / 2.5 / 4.3 | 15 / 1.2 / 1.5 | **19 / 1.8 / 1.3** |
/// | sphere, D 10, M 500, R 1 | 2.3 / 1.5 / 2.7 | 2.4 / 1.8 / 4.0 | 45 / 1.3 / 2.3 | **131 / 1.6 / 3.3** |
/// | sphere, D 5, M 200, R 0.2 | 1.8 / 1.6 / 1.1 | 3.6 / 1.9 / 1.3 | 45 / 1.1 / 1.1 | **137 / 1.7 / 1.1** |
///
/// Orthogonal blocks without pairs gained 0.9 to 1.8. The standard errors reported were between 0.87 and 1.13 of the
/// spread found (1.25 once, R_M of the last row without pairs). Orthogonal pairs have an edge in R_M and D_M, but their
/// unit is a block of 2(rank + 1) vectors: 300 vectors in 50 dimensions make three units, too few for a standard error
/// to rely on. So pairs with control variates
/// are the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum VarianceReduction {
    /// Independent vectors, as the reference draws them.
    Independent,
    /// Pairs (T, −T).
    #[default]
    Antithetic,
    /// Blocks of rank + 1 mutually orthogonal vectors with independent χ-distributed norms.
    Orthogonal,
    /// Orthogonal blocks, each vector followed by its negative.
    OrthogonalAntithetic,
}

/// How the average over Gaussian vectors is taken.
///
/// Every field has a default and a method of its name that sets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Sampling {
    /// Margin κ, of either sign. Default 0.
    pub margin: f64,
    /// Number of Gaussian vectors n_t. Default 300 (the reference's example notebook \[S\]).
    pub vectors: usize,
    /// Keep drawing until the relative standard error of α_M, R_M and D_M are all below this. Default: none.
    pub relative_error: Option<f64>,
    /// Never draw more vectors than this, whatever `relative_error` asks. Default 100,000.
    pub max_vectors: usize,
    /// How vectors are drawn. Default: antithetic pairs, by measurement (see [`VarianceReduction`]).
    pub variance_reduction: VarianceReduction,
    /// Whether averages are corrected by functions of T whose means are known (each point's F taken alone, ‖T‖² and
    /// the centre's F), with coefficients from regression. Default yes, by measurement (see [`VarianceReduction`]).
    /// Too few units for a regression (below 30) are averaged plainly.
    pub control_variates: bool,
    /// Seed of the stream of [Gaussian vectors](crate::streams).
    pub seed: u64,
    /// Number that sets this manifold's vectors apart from another's under the same seed (its index, say).
    pub stream: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            margin: 0.0,
            vectors: 300,
            relative_error: None,
            max_vectors: 100_000,
            variance_reduction: VarianceReduction::default(),
            control_variates: true,
            seed: 0,
            stream: 0,
        }
    }
}

setters!(Sampling {
    margin: f64,
    vectors: usize,
    relative_error: Option<f64>,
    max_vectors: usize,
    variance_reduction: VarianceReduction,
    control_variates: bool,
    seed: u64,
    stream: u64,
});

impl Sampling {
    /// Whether a manifold can be measured with these settings.
    ///
    /// # Errors
    /// [`ProblemError::Setting`] or [`ProblemError::NoVectors`] for the first setting out of range.
    pub fn check(&self) -> Result<(), ProblemError> {
        check_margin(self.margin)?;
        if self.vectors == 0 {
            return Err(ProblemError::NoVectors);
        }
        if let Some(error) = self.relative_error {
            check_setting(
                "relative_error",
                error,
                error.is_finite() && error > 0.0,
                "positive",
            )?;
        }
        Ok(())
    }
}

/// Whether κ can be worked with.
pub(crate) fn check_margin(margin: f64) -> Result<(), ProblemError> {
    check_setting(
        "margin",
        margin,
        margin.abs() <= LARGEST,
        "finite, of magnitude 1e70 at most",
    )
}
