//! Exact learning dynamics of deep linear networks, with noise in the labels and its random-matrix prediction.
//!
//! What the linear theory says about memorization: modes that many examples share are strong and learned first; what noise adds is
//! spread over many weak modes and learned late, so that there is a best time to stop.
//!
//! | module | what | source |
//! |---|---|---|
//! | [`dynamics`] | strength of a mode over time at any depth, the time to learn it, the detection wave | Saxe, McClelland & Ganguli 2013, arXiv 1312.6120 |
//! | [`layers`] | unbalanced layers; weights aligned with the data | the same; Lampinen & Ganguli 2018, arXiv 1809.10374 |
//! | [`errors`] | training and test error over time, optimal stopping | Lampinen & Ganguli 2018 |
//! | [`spiked`] | singular values and vectors of signal plus noise | Benaych-Georges & Nadakuditi 2012, DOI 10.1016/j.jmva.2012.04.019 |
//! | [`mod@correlation`] | input–output correlations of examples, whitening, edges under permuted labels | Wachter 1980; Silverstein & Choi 1995 |
//!
//! **Assumptions.** Full-batch gradient flow on the squared error; white inputs; weights aligned with the modes and balanced (small random weights
//! approach this); random-matrix statements in the limit of large matrices.
//!
//! The crate reads no file and no clock, prints nothing and draws no random number.

pub mod correlation;
pub mod dynamics;
pub mod error;
pub mod errors;
pub mod layers;
mod ode;
pub mod spiked;
pub mod svd;

pub use correlation::{
    Whitening, centred, correlation, one_hot, permuted_edges, white_permuted_edges,
};
pub use dynamics::Dynamics;
pub use error::LinearError;
pub use errors::{Errors, Modes, Stopping};
pub use layers::{aligned_weights, layer_strengths};
pub use spiked::{Edges, Spiked};
pub use svd::Svd;

/// The README's example runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
