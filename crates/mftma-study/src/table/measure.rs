//! What a row's value is.

use std::fmt;
use std::str::FromStr;

use mftma::measures::{MEASURES, Measure as Engine};
use mftma_gradients::Measure as Gradient;

use super::text::as_text;

/// Between which values a measure can lie.
pub type Range = (f64, f64);

/// Rounding may carry a fraction or a cosine this far beyond 1.
const ROUNDING: f64 = 1e-9;
const ANY: Range = (f64::MIN, f64::MAX);
const NOT_NEGATIVE: Range = (0.0, f64::MAX);
const POSITIVE: Range = (f64::MIN_POSITIVE, f64::MAX);
const FRACTION: Range = (0.0, 1.0 + ROUNDING);
const COSINE: Range = (-1.0 - ROUNDING, 1.0 + ROUNDING);
const LABEL: Range = (0.0, u16::MAX as f64);

/// The measures: each with its name in tables and its range.
macro_rules! measures {
    ($($(#[$doc:meta])* $name:ident, $text:literal, $range:expr;)*) => {
        /// What was measured.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Measure {
            $($(#[$doc])* $name,)*
            /// Of the manifolds of a layer.
            Manifolds(OfManifolds),
            /// Of a gradient.
            Gradient(Gradient),
        }

        impl Measure {
            /// All measures.
            pub fn all() -> impl Iterator<Item = Self> {
                let manifolds = OfManifolds::all().map(Self::Manifolds);
                let gradients = Gradient::ALL.into_iter().map(Self::Gradient);
                [$(Self::$name,)*].into_iter().chain(manifolds).chain(gradients)
            }

            /// Name in tables.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Manifolds(measure) => measure.name(),
                    Self::Gradient(measure) => measure.name(),
                }
            }

            /// Between which values it can lie.
            pub fn range(self) -> Range {
                match self {
                    $(Self::$name => $range,)*
                    Self::Manifolds(measure) => measure.range(),
                    Self::Gradient(measure) => range_of_gradient(measure),
                }
            }
        }
    };
}

measures! {
    /// Lower end of the interval of the capacity.
    CapacityLower, "capacity_lower", NOT_NEGATIVE;
    /// Upper end of its interval.
    CapacityUpper, "capacity_upper", NOT_NEGATIVE;
    /// Joint capacity: all manifolds at once.
    JointCapacity, "joint_capacity", POSITIVE;
    /// Effective radius of the joint anchors.
    EffectiveRadius, "effective_radius", NOT_NEGATIVE;
    /// Effective dimension of the joint anchors.
    EffectiveDimension, "effective_dimension", NOT_NEGATIVE;
    /// Utility Ψ, for which α = Ψ(1 + R⁻²)/D with the two above.
    Utility, "utility", POSITIVE;
    /// Manifolds that take part in each draw of the joint measures: all, or fewer where a layer cannot separate all.
    ManifoldsPerDraw, "manifolds_per_draw", POSITIVE;
    /// Natural logarithm of a ratio of joint capacities: the sum of the three that follow.
    CapacityLogChange, "joint_capacity_log_change", ANY;
    /// That of utilities.
    UtilityLogChange, "utility_log_change", ANY;
    /// That of 1 + R⁻².
    RadiusLogChange, "radius_term_log_change", ANY;
    /// That of 1/D.
    DimensionLogChange, "dimension_term_log_change", ANY;
    /// Capacity by simulation.
    SimulatedCapacity, "simulated_capacity", POSITIVE;
    /// Lower end of its interval.
    SimulatedCapacityLower, "simulated_capacity_lower", POSITIVE;
    /// Upper end of its interval.
    SimulatedCapacityUpper, "simulated_capacity_upper", POSITIVE;
    /// Fraction of examples that are given the label of their group.
    Accuracy, "accuracy", FRACTION;
    /// Mean cross-entropy with that label, in nats.
    CrossEntropy, "cross_entropy", NOT_NEGATIVE;
    /// Fraction of test examples that are not given their label.
    Error, "error", FRACTION;
    /// Fraction of training examples that are not given the label trained on.
    TrainingError, "training_error", FRACTION;
    /// The label that an example is trained on.
    LabelInTraining, "label_in_training", LABEL;
    /// The label by which its group is analysed.
    LabelInAnalysis, "label_in_analysis", LABEL;
    /// Where a point of a picture lies, across.
    UmapX, "umap_x", ANY;
    /// Where it lies, up.
    UmapY, "umap_y", ANY;
    /// Mean over layers of |measured / published − 1|.
    MeanDifference, "mean_difference", NOT_NEGATIVE;
    /// The largest over layers of it.
    LargestDifference, "largest_difference", NOT_NEGATIVE;
    /// Mean over layers of |measured − published| in units of both errors.
    DifferenceInErrors, "difference_in_errors", NOT_NEGATIVE;
    /// Linear CKA.
    Cka, "cka", FRACTION;
    /// SVCCA.
    Svcca, "svcca", FRACTION;
    /// PWCCA.
    Pwcca, "pwcca", FRACTION;
    /// Share of the neurons of two layers that are in their largest match.
    MaximumMatch, "maximum_match", FRACTION;
    /// A singular value of an input–output correlation with white inputs.
    SingularValue, "singular_value", NOT_NEGATIVE;
    /// Where the singular values of random labels end, below.
    RandomLowerEdge, "random_lower_edge", NOT_NEGATIVE;
    /// Where they end, above.
    RandomUpperEdge, "random_upper_edge", NOT_NEGATIVE;
    /// How much of the labels' targets the scores of a linear network are: 0 nothing, 1 all.
    LearnedShare, "learned_share", ANY;
    /// Time until a group is half learned, in units of that of unpermuted examples.
    LearningTime, "learning_time", NOT_NEGATIVE;
    /// How many times more an unpermuted example contributes to the gradient than a permuted one.
    Advantage, "advantage", NOT_NEGATIVE;
    /// Share of what sets unpermuted examples' label part apart from permuted ones' that goes when the class means of the pixels go.
    LinearShare, "linear_share", ANY;
    /// Share of the examples that the trained network knows which are forgotten.
    Forgotten, "forgotten", FRACTION;
    /// Share of examples that are undone.
    Undone, "undone", FRACTION;
    /// Channels zeroed until an example is undone, or until the search ended.
    ChannelsZeroed, "channels_zeroed", NOT_NEGATIVE;
    /// Share of those channels that lie in a layer.
    ShareOfZeroed, "share_of_zeroed", FRACTION;
    /// Share of all channels that lie in a layer.
    ShareOfChannels, "share_of_channels", FRACTION;
    /// Where in depth channels lie on average: 0 the first layer that has any, 1 the last.
    DepthOfChannels, "depth_of_channels", FRACTION;
    /// Share of other training examples that keep their label.
    Kept, "kept", FRACTION;
    /// Critical sample ratio.
    CriticalSamples, "critical_sample_ratio", FRACTION;
    /// 1-norm of the gradient of the loss by the image, in nats per standard deviation of the pixels.
    LossSensitivity, "loss_sensitivity", NOT_NEGATIVE;
    /// Frobenius norm of the Jacobian of the class probabilities, per standard deviation of the pixels.
    JacobianNorm, "jacobian_norm", NOT_NEGATIVE;
    /// Rectifiers that go on or off along a circle; of a layer, per unit.
    Switches, "switches", NOT_NEGATIVE;
    /// Share of examples that are correct from an epoch on.
    Learned, "learned", FRACTION;
    /// Spectral norm of a layer's operator.
    SpectralNorm, "spectral_norm", NOT_NEGATIVE;
    /// Its squared Frobenius norm over its squared spectral norm.
    StableRank, "stable_rank", NOT_NEGATIVE;
    /// Path norm.
    PathNorm, "path_norm", NOT_NEGATIVE;
    /// Score at the label less the largest of the others.
    Margin, "margin", ANY;
    /// The same over the path norm.
    NormalisedMargin, "normalised_margin", ANY;
}

/// A measure of the manifolds of a layer, out of the engine's list ([`MEASURES`]), by its name there.
///
/// The averages over manifolds are in the tables without being named here; of what the engine tells about centres only some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OfManifolds(&'static str);

/// Measures that are no averages over manifolds, and in the tables all the same.
const OF_CENTRES: [OfManifolds; 2] = [OfManifolds("centre_correlation"), OfManifolds("rank")];

impl Measure {
    /// α_M by mean-field theory.
    pub const CAPACITY: Self = Self::Manifolds(OfManifolds("capacity"));
    /// R_M.
    pub const RADIUS: Self = Self::Manifolds(OfManifolds("radius"));
    /// D_M.
    pub const DIMENSION: Self = Self::Manifolds(OfManifolds("dimension"));
    /// ρ_centre, mean absolute cosine between centres.
    pub const CENTRE_CORRELATION: Self = Self::Manifolds(OF_CENTRES[0]);
    /// K, directions that explain it; at most as many as there are manifolds.
    pub const CENTRE_RANK: Self = Self::Manifolds(OF_CENTRES[1]);
}

impl OfManifolds {
    /// All of them, in the engine's order.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::entries().map(|entry| Self(entry.name))
    }

    fn entries() -> impl Iterator<Item = &'static Engine> {
        MEASURES.iter().filter(|entry| {
            let chosen = entry.is_averaged() || OF_CENTRES.contains(&Self(entry.name));
            entry.is_of_layers() && chosen
        })
    }

    /// What the engine says of it.
    pub fn entry(self) -> &'static Engine {
        Self::entries()
            .find(|entry| entry.name == self.0)
            .expect("its name is out of the list")
    }

    fn name(self) -> &'static str {
        // The engine calls the rank of a manifold's points so too.
        match self.0 {
            "rank" => "centre_rank",
            name => name,
        }
    }

    fn range(self) -> Range {
        // A point manifold has capacity 2 at margin 0; nothing can be easier to separate.
        if Measure::Manifolds(self) == Measure::CAPACITY {
            return (f64::MIN_POSITIVE, 2.0 + ROUNDING);
        }
        let (low, high) = self.entry().range;
        (low, high + ROUNDING)
    }
}

impl From<OfManifolds> for Measure {
    fn from(measure: OfManifolds) -> Self {
        Self::Manifolds(measure)
    }
}

fn range_of_gradient(measure: Gradient) -> Range {
    match measure {
        // A group may pull against the total.
        Gradient::Share => ANY,
        Gradient::CosineWithTotal
        | Gradient::CosineUnpermutedPermuted
        | Gradient::CosineWithUnpermuted
        | Gradient::PredictedCosine => COSINE,
        _ => NOT_NEGATIVE,
    }
}

impl From<Gradient> for Measure {
    fn from(measure: Gradient) -> Self {
        Self::Gradient(measure)
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Measure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::all().find(|measure| measure.name() == text);
        found.ok_or_else(|| format!("no measure is called {text:?}"))
    }
}

as_text!(Measure);
