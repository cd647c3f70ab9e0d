//! Data sets, label permutation and example groups for studies of memorization.
//!
//! - [`open`] reads a [`Dataset`] by name: images `u8` (examples, channels, height, width), labels, class names, a
//!   training and a test [`Split`], a checksum. [`Subset`] makes it smaller.
//! - [`LabelPermutation`] makes the labels of a fraction of the training examples noise, and remembers which.
//! - [`draw_manifolds`] lists the examples of each object manifold for the four [`ExampleGroup`]s.
//! - [`Normalization`] and [`Augmentation`] prepare pixels for a network.
//!
//! The crate prints nothing. Every random draw comes from a ChaCha8 [`stream`] named by a seed and a purpose; results
//! do not depend on the number of threads. Its one look at the environment is [`data_dir`].

mod augmentation;
mod checksum;
mod dataset;
mod error;
mod groups;
pub mod loaders;
mod locate;
mod normalization;
mod permutation;
mod rng;
mod subset;

pub use augmentation::Augmentation;
pub use checksum::{Checksum, ParseChecksumError};
pub use dataset::{Dataset, Split};
pub use error::{Error, Result};
pub use groups::{ExampleGroup, ManifoldIndices, ManifoldSettings, Shortage, draw_manifolds};
pub use loaders::{Loader, loader, open};
pub use locate::{DATA_DIR_VARIABLE, data_dir};
pub use normalization::Normalization;
pub use permutation::{LabelPermutation, PermutationScheme};
pub use rng::stream;
pub use subset::Subset;

/// The example of the README is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
