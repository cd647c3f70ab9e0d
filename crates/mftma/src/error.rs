//! What can be wrong with the input, said so that it can be put right.

/// The error of a source that could not yield its blocks (a file that ended early, say).
pub type SourceError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Input that cannot be analysed. A solver's outcome is no error: it is a status in the result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is outside its range.
    #[error("setting `{setting}` is {value}, but must be {requirement}")]
    Setting {
        /// Name of the builder's method.
        setting: &'static str,
        /// The value that was given.
        value: String,
        /// The range or condition that it must meet.
        requirement: &'static str,
    },

    /// The source's sizes contradict each other or what it yielded.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Which size.
        what: &'static str,
        /// What the rest of the source says it must be.
        expected: usize,
        /// What it is.
        found: usize,
    },

    /// There is nothing to compare: no manifold, or only one where centres must be compared.
    #[error("{found} manifold(s) given, but an analysis needs at least {needed}")]
    TooFewManifolds {
        /// Manifolds in the source.
        found: usize,
        /// The least number that the settings allow.
        needed: usize,
    },

    /// A manifold has no point.
    #[error("manifold {manifold} has no point: leave it out or give it at least one")]
    EmptyManifold {
        /// Index of the manifold, from 0.
        manifold: usize,
    },

    /// Points have no features.
    #[error("points have 0 features")]
    NoFeatures,

    /// A value is NaN or infinite.
    #[error(
        "manifold {manifold}, point {point}, feature {feature} is {value}: every activation must be finite"
    )]
    NotFinite {
        /// Index of the manifold, from 0.
        manifold: usize,
        /// Index of the point within its manifold, from 0.
        point: usize,
        /// Index of the feature, from 0.
        feature: usize,
        /// The value, NaN or infinite.
        value: f64,
    },

    /// The centre that remains of a manifold has no length, so its points have no scale:
    /// radius and capacity relative to the centre do not exist.
    #[error(
        "manifold {manifold}: {reason} (its remaining centre norm is {norm:e}, the largest centre's {scale:e})"
    )]
    NoCentre {
        /// Index of the manifold, from 0.
        manifold: usize,
        /// Why: at the global mean, coincident manifolds, or removed with the low-rank structure.
        reason: &'static str,
        /// Norm of the remaining centre.
        norm: f64,
        /// Largest norm of any manifold's centre before removal, the scale against which `norm` is nought.
        scale: f64,
    },

    /// A measure of one manifold could not be computed.
    #[error("manifold {manifold}: {reason}")]
    Manifold {
        /// Index of the manifold, from 0.
        manifold: usize,
        /// What went wrong.
        reason: String,
    },

    /// The source failed to yield its features.
    #[error("the source of activations failed")]
    Source(#[source] SourceError),

    /// The progress callback asked to stop.
    #[error("cancelled by the caller")]
    Cancelled,
}
