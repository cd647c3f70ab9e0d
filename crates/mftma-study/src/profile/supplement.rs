//! Settings of the supplementary figures.

use mftma_data::ExampleGroup;
use serde::{Deserialize, Serialize};

use super::{ExperimentSettings, MemorizationSettings};

/// Experiments beside the main one: other architectures (S1, S2), other images (S3), other permuted fractions (S4); and what is asked of
/// the main run's checkpoints (S5, S6, S8 to S10, and panels f and g of figure 4).
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
    /// S8.
    #[serde(default)]
    pub joint: JointCapacitySettings,
    /// S9, and panels f and g of figure 4.
    #[serde(default)]
    pub memorization: MemorizationSettings,
    /// S10.
    #[serde(default)]
    pub linear: LinearSettings,
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
    /// Tolerances ε of the matching of neurons; at most three.
    #[serde(default = "SimilaritySettings::tolerances")]
    pub tolerances: Vec<f64>,
    /// Numbers that stand for a neuron in the matching, at most: several places of an image, where a layer has them.
    #[serde(default = "SimilaritySettings::neuron_values")]
    pub neuron_values: usize,
}

impl SimilaritySettings {
    /// From near equality to half of a neuron's length \[D\]; the source shows 0 to 0.5.
    fn tolerances() -> Vec<f64> {
        vec![0.1, 0.3, 0.5]
    }

    /// Some times the channels of the widest layers here \[D\].
    fn neuron_values() -> usize {
        2000
    }
}

/// S10: a deep linear network on the run's images, and its exact theory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinearSettings {
    /// Training images at most, and test images at most.
    pub examples: usize,
    /// Leading principal axes of the images in which they are made white.
    pub components: usize,
    /// D, layers of weights; at least 2: with one all modes are learned in the same time.
    pub depth: usize,
    /// Strength with which every mode starts, as a share of the strongest singular value.
    pub initial: f64,
    /// Step of the gradient descent, as a share of the time constant of the strongest mode, 1/s.
    pub rate: f64,
    /// How long learning is followed, in units of the time in which the strongest mode is half learned.
    pub horizon: f64,
}

impl Default for LinearSettings {
    fn default() -> Self {
        Self {
            examples: 4000,
            components: 100,
            depth: 2,
            initial: 0.01,
            rate: 0.1,
            horizon: 30.0,
        }
    }
}

impl LinearSettings {
    /// Steps of the gradient descent, about; for estimates.
    pub fn steps(&self) -> f64 {
        self.horizon * 0.5 * (1.0 / self.initial).ln() / self.rate
    }
}

/// S8: which manifolds' joint, mean-field and simulated capacity are compared, and when. Layers, manifolds and points are those of
/// `[simulation]` where they are left out, so that what figure 1 simulated is used again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JointCapacitySettings {
    /// Layers whose joint and mean-field capacity are measured, by name. Simulated are those of `[simulation]`.
    pub layers: Vec<String>,
    /// Epochs beside the last; changes are counted from the first of them.
    pub epochs: Vec<usize>,
    /// Epochs beside the last after which capacity is simulated too.
    pub simulated_epochs: Vec<usize>,
    /// Example groups.
    pub groups: Vec<ExampleGroup>,
    /// P, manifolds; at most the number of classes.
    pub manifolds: Option<usize>,
    /// M, points of a manifold.
    pub points: Option<usize>,
    /// n_t, Gaussian vectors of the joint capacity: with 200 its standard error is about 2 %.
    pub gaussian_vectors: usize,
}

impl Default for JointCapacitySettings {
    /// The start and the end of the training in the layers of `[simulation]`, for all groups \[D\].
    fn default() -> Self {
        Self {
            layers: Vec::new(),
            epochs: vec![0],
            simulated_epochs: Vec::new(),
            groups: ExampleGroup::ALL.to_vec(),
            manifolds: None,
            points: None,
            gaussian_vectors: 200,
        }
    }
}
