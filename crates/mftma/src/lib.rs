//! The geometry of object manifolds by replica mean-field theory: capacity, radius, dimension, centre correlation.

pub mod activations;
pub mod analysis;
pub mod error;
pub mod geometry;
mod manifold;
pub mod settings;
mod simulated;
mod solver;

pub use activations::{Activations, ArrayActivations, Block};
pub use analysis::{Analysis, AnalysisBuilder, Progress};
pub use error::{Error, SourceError};
pub use geometry::{
    Geometry, Interval, ManifoldGeometry, MeanEstimate, RankTrial, Row, Spectrum, Warning,
};
pub use manifold::{
    AnchorPoints, Dimensions, Estimate, ManifoldMeasures, ManifoldProblem, ProblemError, Sampling,
    VarianceReduction,
};
pub use settings::{Conventions, DimensionCount, DimensionForm, GlobalMean, RankRule, Vectors};
pub use simulated::{Dichotomy, SimulatedCapacity, Simulation, SimulationError, simulate_capacity};
pub use solver::{SolverStatus, StatusCounts};
