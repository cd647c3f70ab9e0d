//! The gradient near initialization, predicted.
//!
//! The derivation, step by step, is the note `docs/derivation.md` beside this crate's sources; equation numbers in
//! these docs are that note's. In short: at small weights the softmax is uniform, so an example pulls on the logits by
//! 1/C − y whatever the network computes. Summed over a group of examples this leaves differences between class means
//! of linear features of the input, which random labels wash out down to a finite-sample floor.

mod expansion;
mod moments;
mod ratio;

pub use expansion::{Activation, Expansion};
pub(crate) use moments::check_labels;
pub use moments::{ClassMoments, class_mean_factor};
pub use ratio::{ContributionRatio, RatioModel};
