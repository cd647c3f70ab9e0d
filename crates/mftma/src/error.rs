//! What can be wrong with the input, said so that it can be put right.

use crate::manifold::error::ProblemError;

/// The error of a source that could not yield its blocks (a file that ended early, say).
pub type SourceError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Input that cannot be analysed, simulated or compared. A solver's outcome is no error: it is a status in the result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is outside its range.
    #[error("setting `{setting}` is {value}, but must be {requirement}")]
    Setting {
        /// Name of the setting's field.
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

    /// Manifolds of different numbers of features.
    #[error(
        "manifold {manifold} has {found} features, but manifold 0 has {expected}: all points must have the same features"
    )]
    FeatureCount {
        /// Index of the manifold, from 0.
        manifold: usize,
        /// Features of the first manifold.
        expected: usize,
        /// Features of this one.
        found: usize,
    },

    /// There is nothing to compare: no manifold, or only one where several must be compared.
    #[error(
        "{found} manifold(s) given, but at least {needed} are needed: give a point for each of {needed} labels or more"
    )]
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

    /// The centres of all manifolds are the same to rounding, as where every class was centred by itself: radius and
    /// capacity relative to the centre do not exist.
    #[error(
        "the centres of all manifolds coincide to rounding (the longest is {longest:e}, points lie {spread:e} from them): was each class centred or scaled by itself? Do that to all classes together"
    )]
    CoincidentCentres {
        /// Largest norm of any manifold's centre about their mean, in units of the input.
        longest: f64,
        /// Root mean square distance of the points from their centres, in units of the input.
        spread: f64,
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

    /// A manifold cannot be measured; the source says why.
    #[error("manifold {manifold} cannot be measured")]
    Manifold {
        /// Index of the manifold, from 0.
        manifold: usize,
        /// What is wrong with it.
        #[source]
        source: ProblemError,
    },

    /// A problem of one manifold by itself (see [`ManifoldProblem`](crate::ManifoldProblem)).
    #[error(transparent)]
    Problem(#[from] ProblemError),

    /// The activations of a manifold are finite, but their sum is not.
    #[error(
        "the sum of the activations of manifold {manifold} or of their squares overflows: scale all activations down by one factor"
    )]
    Overflow {
        /// Index of the manifold, from 0.
        manifold: usize,
    },

    /// Eigenvalues could not be found. It blames no manifold: the matrix is one of all of them.
    #[error(
        "the eigenvalues of {what} could not be found: activations may be too large to square in double precision; scale them down"
    )]
    Eigenproblem {
        /// Which matrix.
        what: &'static str,
    },

    /// The two sides of a comparison hold different numbers of points.
    #[error(
        "{first} points on one side, {second} on the other: both must hold the same points in the same order"
    )]
    DifferentPoints {
        /// Points of the first side.
        first: usize,
        /// Points of the second.
        second: usize,
    },

    /// Too few points to compare.
    #[error("{found} point(s): a comparison needs at least 2")]
    TooFewPoints {
        /// Points given.
        found: usize,
    },

    /// A neuron that a side does not have.
    #[error("neuron {neuron} of a side of {size}: indices run from 0 to one less than the size")]
    Neuron {
        /// The index given.
        neuron: usize,
        /// Neurons of that side.
        size: usize,
    },

    /// All points of all manifolds are at the origin.
    #[error("every point of every manifold is at the origin, so no vector is constrained")]
    AllAtOrigin,

    /// The manifolds cannot be told apart by as many labellings as the joint capacity needs: where no vector separates them, the cone of
    /// their signed points is their whole span, F its dimension whatever the manifolds are, and anchors are not unique.
    #[error(
        "all {rank} directions that the points span separate {separable} of {draws} labellings: the joint capacity is below {} / {rank} = {:.3}, \
         and how far below cannot be said; take fewer points of each manifold, fewer manifolds, or fewer in each draw",
        shown(*manifolds), *manifolds / *rank as f64
    )]
    NotSeparable {
        /// Draws whose labelled manifolds some vector separates; half of them are needed.
        separable: usize,
        /// Draws.
        draws: usize,
        /// Manifolds that are labelled in a draw, on average.
        manifolds: f64,
        /// Dimension of the points' span.
        rank: usize,
    },

    /// All points are the same.
    #[error("all points are the same: there is no variance to compare")]
    NoVariance,

    /// The source failed to yield its features.
    #[error("the source of activations failed")]
    Source(#[source] SourceError),

    /// The progress callback asked to stop.
    #[error("cancelled by the caller")]
    Cancelled,
}

/// A number of manifolds, which is a whole one but for odd choices of labels.
fn shown(manifolds: f64) -> String {
    match manifolds.fract() {
        0.0 => manifolds.to_string(),
        _ => format!("{manifolds:.1}"),
    }
}
