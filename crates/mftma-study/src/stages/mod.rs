//! The expensive stages, shared by all figures.

mod geometry;
mod gradients;
mod rewind;
mod similarity;
mod simulate;
mod train;
mod umap;

pub use geometry::{GeometryStage, LayerGeometry};
pub use gradients::{ExpansionStage, GradientStage};
pub use rewind::{REWOUND_GROUPS, RewindStage, Rewindings, Rewound};
pub use similarity::{Comparison, SimilarityStage};
pub use simulate::{LayerCapacities, SimulateStage};
pub use train::{TrainStage, TrainingRecord};
pub use umap::{PICTURED_GROUPS, PicturePoint, UmapStage};
