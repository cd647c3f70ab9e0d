//! How a trained network holds its examples: sensitivity to the image, critical samples, norms and margins, and the channels that
//! memorize.
//!
//! Each measure takes any [`mftma_train::Network`] and arrays of images, normalised as for training, and uses running statistics, so that
//! what an example gives does not depend on which others are measured with it. Formulas with their sources are in the note
//! `docs/measures.md`; equations are numbered as there.
//!
//! | question | function | source |
//! |---|---|---|
//! | how strongly does the loss depend on the image? | [`loss_gradients`] | Arpit et al. 2017, [arXiv:1706.05394](https://doi.org/10.48550/arXiv.1706.05394) |
//! | is there another answer close by? | [`critical_samples`] | the same |
//! | from which epoch on is an example correct? | [`learning_epochs`] | the same |
//! | how strongly do the class probabilities depend on the image? | [`jacobian_norms`] | Novak et al. 2018, [arXiv:1802.08760](https://doi.org/10.48550/arXiv.1802.08760) |
//! | how many linear regions does a path cross? | [`circle`], [`segment`], [`crossings`] | the same |
//! | how large are the weights? | [`layer_norms`], [`path_norm`] | Neyshabur et al. 2017, [arXiv:1706.08947](https://doi.org/10.48550/arXiv.1706.08947) |
//! | how clear are the answers? | [`margins`] | the same |
//! | which few channels hold an example? | [`undo`], [`channel_effects`] | Maini et al. 2023, [arXiv:2307.09542](https://doi.org/10.48550/arXiv.2307.09542) |
//!
//! ```
//! use mftma_sensitivity::{JacobianMethod, Outputs, jacobian_norms};
//! use mftma_train::{Architecture, ImageShape, Initialization, NetworkSpec};
//! use ndarray::Array4;
//!
//! let input = ImageShape { channels: 1, height: 32, width: 32 };
//! let spec = NetworkSpec { architecture: Architecture::Mlp, width: 1, batch_norm: false, classes: 3, input };
//! let network = spec.build(&mut |parameter| Initialization::default().fill(1, parameter))?;
//! let images = Array4::from_elem((2, 1, 32, 32), 0.5);
//! let norms = jacobian_norms(&*network, images.view(), Outputs::Probabilities, JacobianMethod::Exact)?;
//! assert_eq!(norms[0], norms[1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod channels;
mod critical;
mod error;
mod estimate;
mod jacobian;
mod learning;
mod norms;
mod path;
mod scores;

pub use channels::{Channel, UndoSettings, Undoing, channel_effects, channels, undo, zero};
pub use critical::{CriticalSettings, critical_samples};
pub use error::Error;
pub use estimate::Estimate;
pub use jacobian::{
    JacobianMethod, JacobianNorm, LossGradient, Outputs, jacobian_norms, loss_gradients,
};
pub use learning::learning_epochs;
pub use norms::{LayerNorms, LayerOperator, SpectralSettings, layer_norms, operators, path_norm};
pub use path::{Crossings, LayerCrossings, circle, crossings, segment};
pub use scores::{margins, scores};
