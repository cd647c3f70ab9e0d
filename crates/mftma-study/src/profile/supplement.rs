//! Settings of the supplementary figures.

use serde::{Deserialize, Serialize};

use super::{ExperimentSettings, MemorizationSettings};

/// Experiments beside the main one: other architectures (S1, S2), other images (S3), other permuted fractions (S4); and what is asked of
/// the main run's checkpoints (S5, S6, S9, and panels f and g of figure 4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupplementSettings {
    /// Independent runs of S1 to S4.
    pub runs: u64,
    /// Their sizes; each figure changes one thing.
    pub experiment: ExperimentSettings,
    /// S3.
    pub tiny_imagenet: TinyImageNetSettings,
    /// S4: fractions of permuted labels.
    pub permuted_fractions: Vec<f64>,
    /// S5.
    pub sensitivity: SensitivitySettings,
    /// S6.
    pub similarity: SimilaritySettings,
    /// S9, and panels f and g of figure 4.
    #[serde(default)]
    pub memorization: MemorizationSettings,
}

/// S3.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TinyImageNetSettings {
    /// What differs from the other supplementary experiments. Where `data.classes` is 0, the figure is left out: a profile may be meant to
    /// work without a download.
    pub experiment: ExperimentSettings,
}

/// S5: values of one setting of the analysis, the others as in the main run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SensitivitySettings {
    /// Values of P.
    pub manifolds: Vec<usize>,
    /// M while P varies: both labels of a permuted example must be among the P classes, so that few classes have few examples.
    pub points_while_manifolds_vary: usize,
    /// Values of M.
    pub points: Vec<usize>,
    /// Values of n_t.
    pub gaussian_vectors: Vec<usize>,
}

/// S6: how layers and epochs are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimilaritySettings {
    /// Test images whose features are compared; all if there are fewer.
    pub points: usize,
    /// Share of the variance that SVCCA and PWCCA keep of either side.
    pub variance: f64,
}
