//! Measures of one manifold: capacity α_M, radius R_M and dimension D_M with standard errors.

pub(crate) mod error;
mod measure;
pub(crate) mod measures;
pub(crate) mod normal;
pub(crate) mod problem;
mod sampling;
pub(crate) mod settings;
mod statistics;

pub use error::ProblemError;
pub use measures::{AnchorPoints, Dimensions, Estimate, ManifoldMeasures};
pub use problem::ManifoldProblem;
pub use settings::{Sampling, VarianceReduction};
