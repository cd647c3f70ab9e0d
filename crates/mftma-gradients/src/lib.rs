//! What permuted examples contribute to the gradient near initialization, measured and predicted.
//!
//! A network learns what examples share before it memorizes labels that are noise. Near initialization the reason can
//! be read off the gradient: the softmax is still uniform, so a group of examples pulls on the parameters by differences
//! of its class means, and classes made of permuted labels have the same mean up to sampling noise (Stephenson et al.,
//! ICLR 2021, [arXiv:2105.14602](https://doi.org/10.48550/arXiv.2105.14602)). This crate
//!
//! - **measures** it: [`measure`] takes the exact gradient of the unpermuted, the permuted and all examples for every layer
//!   of a network of [`mftma_train`], with norms, shares, cosines and signal-to-noise ratios ([`Contribution`]);
//! - **takes it apart**: [`measure_parts`] measures what the labels pull and what pulls without them, each by a backward pass of its own
//!   ([`GradientPart`]);
//! - **predicts** it: [`theory`] holds the last layer at uniform softmax, deeper layers by expansion in the weight scale,
//!   and the ratio of the groups before any training, derived in the note `docs/derivation.md`; [`predict_perceptron`]
//!   and [`predict_last_layer`] lay prediction beside measurement;
//! - **ablates** it: [`InputAblation`] removes the class means from the images, or everything but them, and
//!   [`Advantage`] says whether unpermuted examples still contribute more.
//!
//! ```
//! use mftma_gradients::theory::RatioModel;
//!
//! // 20 classes × 500 images, half of the labels permuted, class means a tenth of the within-class variance apart.
//! let model = RatioModel { classes: 20, per_class: 500.0, permuted_fraction: 0.5, separation: 0.1, within: 1.0 };
//! let before_training = model.predict()?;
//! assert!((before_training.ratio - 0.20).abs() < 0.01); // a permuted example contributes a fifth
//! # Ok::<(), mftma_gradients::Error>(())
//! ```

mod error;
mod features;
mod inputs;
mod measure;
mod predict;
mod study;
pub mod theory;

pub use error::Error;
pub use features::last_layer_inputs;
pub use inputs::InputAblation;
pub use measure::{
    Contribution, Contributions, Examples, GradientGroup, GradientPart, LayerRatio,
    MeasureSettings, Parts, measure, measure_parts,
};
pub use predict::{Prediction, flat, predict_last_layer, predict_perceptron};
pub use study::{
    Advantage, AdvantageVerdict, DepthComparison, Interval, Measure, Row, Summary, compare_depths,
    over_seeds, prediction_rows, rows,
};
