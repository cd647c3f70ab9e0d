//! The geometry of object manifolds by replica mean-field theory: capacity, radius, dimension, centre correlation.
//!
//! An *object manifold* is the cloud of a layer's activations for all examples that share a label. For P manifolds of M_i
//! points in N features this crate computes, per manifold, the capacity α_M, the radius R_M and the dimension D_M, and
//! over manifolds their means, the correlation ρ of the centres before and after their shared directions are removed, and
//! the number K of those directions, each with an error bar where it has one.
//!
//! ```
//! use mftma::{AnalysisSettings, analyze, ndarray::Array2};
//!
//! // 40 manifolds of 10 points in 60 features: a centre for each, and points around it.
//! let noise = |seed: usize| ((seed * 7919 + 13) % 1009) as f64 / 1009.0 - 0.5;
//! let points = Array2::from_shape_fn((400, 60), |(row, feature)| {
//!     let manifold = row / 10;
//!     2.0 * noise(manifold * 60 + feature) + noise(7 + 31 * row * 60 + 17 * feature)
//! });
//!
//! let labels: Vec<usize> = (0..400).map(|row| row / 10).collect();
//!
//! let settings = AnalysisSettings::default().vectors(100).seed(1).resamples(200);
//! let geometry = analyze(&points, &labels, &settings)?;
//!
//! let capacity = geometry.capacity;
//! println!("capacity {:.3} ± {:.3}", capacity.value, capacity.standard_error.unwrap_or(f64::NAN));
//! println!("radius {:.3}, dimension {:.2}", geometry.radius.value, geometry.dimension.value);
//! println!("{} shared directions removed", geometry.rank);
//! for row in geometry.rows().iter().take(3) {
//!     println!("{}: {} [{:?}, {:?}]", row.measure, row.value, row.lower, row.upper);
//! }
//! # assert!(capacity.value > 0.0 && geometry.dimension.value <= 9.0);
//! # Ok::<(), mftma::Error>(())
//! ```
//!
//! # What is computed
//! With x̄ the global mean, c_i the centre of manifold i and V the K shared directions of the centres, points become
//! s_μ = (I − VVᵀ)(x_μ − c_i)/‖(I − VVᵀ)(c_i − x̄)‖: relative to a centre at unit distance. Everything else is taken from
//! the inner products ⟨s_μ, s_ν⟩. Definitions: Chung, Lee & Sompolinsky, *Phys. Rev. X* 8, 031003 (2018), eqs. 16, 17, 28
//! and 29 (DOI 10.1103/PhysRevX.8.031003); correlated centres: Cohen, Chung, Lee & Sompolinsky, *Nat. Commun.* 11, 746
//! (2020) (DOI 10.1038/s41467-020-14578-5); *the reference* is the Python package of Stephenson et al., NeurIPS 2019
//! (arXiv 2003.01787). [`ManifoldProblem`] measures one manifold by itself.
//!
//! # Input
//! Rows are points, everywhere. [`analyze`] takes an array and a label for each row. [`ArrayActivations`] holds points in
//! memory, from an array in order, from labels, or from one array per manifold; [`Activations`] is the trait of whatever
//! can hand out blocks of features, and [`Activations::collect`] brings it into memory. [`simulate_capacity`] and
//! [`similarity`] take the same sources. Arrays are those of the `ndarray` that this crate re-exports as [`ndarray`].
//!
//! # Streaming
//! [`Activations`] hands out blocks of features; one pass gathers the inner products, and no array of N features per point
//! is held. The memory is that of one M_i×M_i matrix per manifold and of the P×ΣM_i products of centres with points,
//! whatever N, plus one block in double precision. Where N < M_i the points themselves (N×M_i) are smaller and are kept
//! instead. No projection is needed at any N; [`project`] is there for comparison with the reference.
//!
//! # Conventions
//! Where the reference's choices can be doubted ours stand beside them, each a choice of its own, and the result carries
//! what was used: see [`Conventions`].
//!
//! # Determinism
//! Every random draw comes from a ChaCha8 stream of the seed, and [`streams`] lists them all. Work is split by the data alone: the same source and
//! settings give the same bytes on any number of threads. A manifold is a set: no order of manifolds, and of points within one,
//! changes a byte, nor does a power of two as a common factor (but under [`RankRule::Reference`], and where Gaussian vectors or
//! labels are given). The crate reads no file and no clock, prints nothing and holds
//! no thread pool: it runs on rayon's current one. Its own kernels give the same bytes with any vector instructions, which
//! [`simd`] tells and chooses. An analysis gives the same bytes with AVX-512, with AVX2 and FMA and on 64-bit Arm; eigenproblems of 512 rows and more,
//! which are faer's, may differ in their last digits, and the subspace of the centres that is taken with them.

pub mod activations;
pub mod analysis;
mod ball;
mod canonical;
pub mod centres;
pub mod error;
pub mod geometry;
mod gram;
pub mod joint;
mod linalg;
mod manifold;
mod means;
pub mod measures;
mod progress;
pub mod projection;
mod removal;
mod setters;
pub mod settings;
pub mod simd;
pub mod similarity;
mod simulated;
mod solver;
mod spectrum;
mod stiefel;
pub mod streams;
mod version;

pub use activations::{Activations, ArrayActivations, Block, Scalar, distinct_labels};
pub use analysis::{Analysis, Both, analyze};
pub use ball::ball_capacity;
pub use error::{Error, SourceError};
pub use geometry::{
    Geometry, Interval, ManifoldGeometry, MeanEstimate, RankAlternative, RankTrial, Spectrum,
    Warning,
};
pub use manifold::{
    AnchorPoints, Dimensions, Estimate, ManifoldMeasures, ManifoldProblem, ProblemError, Sampling,
    VarianceReduction,
};
pub use measures::Row;
pub use progress::Progress;
pub use projection::project;
pub use settings::{
    AnalysisSettings, Conventions, DimensionCount, DimensionForm, GlobalMean, RankRule, Vectors,
};
pub use simulated::{
    Dichotomy, SimulatedCapacity, Simulation, simulate_capacity, simulate_capacity_with,
};
pub use solver::{SolverStatus, StatusCounts};
pub use spectrum::variance_spectrum;
pub use version::ALGORITHM_VERSION;

/// The arrays of this crate's interface; a program that uses this path needs no `ndarray` of its own, and none of another
/// version.
pub use ndarray;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
