//! The expensive stages, shared by all figures.

mod geometry;
mod gradients;
mod joint;
mod rewind;
mod similarity;
mod simulate;
mod train;
mod umap;

pub use geometry::{GeometryStage, LayerGeometry};
pub use gradients::{ExpansionStage, GradientStage};
pub use joint::{JointStage, LayerJoint};
pub use rewind::{REWOUND_GROUPS, RewindStage, Rewindings, Rewound, RewoundScore};
pub use similarity::{Comparison, SimilarityStage};
pub use simulate::{LayerCapacities, SIMULATED_GROUPS, SimulateStage};
pub use train::{TrainStage, TrainingRecord};
pub use umap::{PICTURED_GROUPS, PicturePoint, UmapStage};
