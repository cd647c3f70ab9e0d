//! The expensive stages, shared by all figures.

mod geometry;
mod train;

pub use geometry::{GeometryStage, LayerGeometry};
pub use train::{TrainStage, TrainingRecord};
