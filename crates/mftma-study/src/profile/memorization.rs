//! Settings of what the main run's checkpoints are asked about how they hold their examples: figure S9, and panels f and g of figure 4.

use mftma_sensitivity::{CriticalSettings, UndoSettings};
use serde::{Deserialize, Serialize};

/// How examples are memorized. Every value has a default \[D\], chosen so that all of it takes less than twenty minutes of two cores on the
/// checkpoints of the `laptop` profile.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemorizationSettings {
    /// Figure 4, f.
    pub resets: ResetSettings,
    /// Figure 4, g.
    pub channels: ChannelSettings,
    /// S9, panels a, b, d, e and f.
    pub sensitivity: ExampleSettings,
    /// S9, panel c.
    pub learning: LearningSettings,
    /// S9, panels g and h.
    pub complexity: ComplexitySettings,
    /// S9, panel i.
    pub controls: ControlSettings,
}

/// Single layers put back: which examples are forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResetSettings {
    /// Unpermuted, and permuted, training examples at most.
    pub examples: usize,
}

impl Default for ResetSettings {
    fn default() -> Self {
        Self { examples: 2000 }
    }
}

/// Channels zeroed until an example is undone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelSettings {
    /// Unpermuted, and permuted, training examples that are undone one by one.
    pub examples: usize,
    /// Training examples, permuted or not, whose loss the search keeps.
    pub reference: usize,
    /// Training examples, others again, on which is counted what else is forgotten.
    pub held: usize,
    /// The search.
    pub search: UndoSettings,
}

impl Default for ChannelSettings {
    fn default() -> Self {
        Self {
            examples: 80,
            reference: 120,
            held: 256,
            search: UndoSettings::default(),
        }
    }
}

/// Derivatives by the image, critical samples and linear regions, at every measured epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExampleSettings {
    /// Examples of each group at most, for loss sensitivity and critical samples.
    pub examples: usize,
    /// Examples of each group at most, for the Jacobian: a backward pass for each class.
    pub jacobian_examples: usize,
    /// Circles through three examples of one label, in each group.
    pub circles: usize,
    /// Points of a circle.
    pub circle_points: usize,
    /// The search for critical samples; lengths in grey levels of 255.
    pub critical: CriticalSettings,
}

impl Default for ExampleSettings {
    fn default() -> Self {
        Self {
            examples: 200,
            jacobian_examples: 32,
            circles: 8,
            circle_points: 300,
            critical: CriticalSettings::default(),
        }
    }
}

/// From which epoch on examples stay correct.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearningSettings {
    /// Examples of each group at most.
    pub examples: usize,
}

impl Default for LearningSettings {
    fn default() -> Self {
        Self { examples: 2000 }
    }
}

/// Norms and margins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComplexitySettings {
    /// Examples of each group at most, for margins.
    pub examples: usize,
    /// Steps of power iteration at most.
    pub iterations: usize,
}

impl Default for ComplexitySettings {
    fn default() -> Self {
        Self {
            examples: 2000,
            iterations: 60,
        }
    }
}

/// Explicit regularisation of the supplement's network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlSettings {
    /// Weight decay of one training; 5e-4, as is usual (Zhang et al. 2016 use it too) \[R\].
    pub weight_decay: f32,
    /// Largest shift in pixels of another's images, which are reflected at random too \[R\].
    pub shift: usize,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            weight_decay: 5e-4,
            shift: 4,
        }
    }
}
