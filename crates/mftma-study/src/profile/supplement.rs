//! Settings of the supplementary figures.

use serde::{Deserialize, Serialize};

/// Experiments beside the main one: other architectures (S1, S2), other images (S3), other permuted fractions (S4); and what is asked of
/// the main run's checkpoints (S5, S6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupplementSettings {
    /// Independent runs of S1 to S4.
    pub runs: u64,
    /// Base width of their networks.
    pub width: usize,
    /// Classes at most.
    pub classes: usize,
    /// Training images of a class at most.
    pub train_per_class: usize,
    /// Test images of a class at most.
    pub test_per_class: usize,
    /// Epochs at most.
    pub max_epochs: usize,
    /// Epochs that are measured; the last one is always added.
    pub epochs: Vec<usize>,
    /// P, manifolds.
    pub manifolds: usize,
    /// M, points of a manifold.
    pub points: usize,
    /// n_t, Gaussian vectors of a manifold.
    pub gaussian_vectors: usize,
    /// S3.
    pub tiny_imagenet: TinyImageNetSettings,
    /// S4: fractions of permuted labels.
    pub permuted_fractions: Vec<f64>,
    /// S5.
    pub sensitivity: SensitivitySettings,
    /// S6.
    pub similarity: SimilaritySettings,
}

/// S3: what differs from the other supplementary experiments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TinyImageNetSettings {
    /// Classes at most; 0 leaves the figure out, where a profile is to work without a download.
    pub classes: usize,
    /// Training images of a class at most.
    pub train_per_class: usize,
    /// Test images of a class at most.
    pub test_per_class: usize,
    /// Base width of the network.
    pub width: usize,
    /// Epochs at most.
    pub max_epochs: usize,
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
