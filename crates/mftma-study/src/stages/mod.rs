//! The expensive stages, shared by all figures.

mod effective;
mod geometry;
mod gradients;
mod joint;
mod linear;
mod rewind;
mod similarity;
mod simulate;
mod train;
mod umap;

pub use effective::{Effective, EffectiveStage, LayerEffective};
pub use geometry::{GeometryStage, LayerGeometry};
pub use gradients::{ExpansionStage, GradientStage};
pub use joint::{JointStage, LayerJoint};
pub use linear::{HALVES, LearningCurve, LinearLearning, LinearStage, Spectrum};
pub use rewind::{REWOUND_GROUPS, RewindStage, Rewindings, Rewound, RewoundScore};
pub use similarity::{Comparison, Match, SimilarityStage};
pub use simulate::{LayerCapacities, SIMULATED_GROUPS, SimulateStage};
pub use train::{TrainStage, TrainingRecord};
pub use umap::{PICTURED_GROUPS, PicturePoint, UmapStage};

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use mftma_data::ExampleGroup;
    use mftma_train::Place;

    use super::*;
    use crate::cache::key;
    use crate::experiment::Experiments;
    use crate::profile::Profile;

    /// Whatever measures layers is another stage where they are measured at another place.
    #[test]
    fn the_place_is_in_the_key_of_every_stage_that_measures_layers() {
        let keys = |place| {
            let mut profile = Profile::load("smoke").unwrap().1;
            profile.experiment.geometry.place = place;
            let run = Experiments::new(None).main(profile, 1).unwrap();
            let (group, run) = (ExampleGroup::Permuted, || Rc::clone(&run));
            [
                key(&TrainStage::new(run())),
                key(&GeometryStage::new(run(), 2, group)),
                key(&SimulateStage::new(run(), 2, group)),
                key(&JointStage::new(run(), 2, group)),
                key(&EffectiveStage::new(run(), 2, group)),
                key(&SimilarityStage::new(run(), vec![0, 2])),
                key(&UmapStage::new(run(), 2, "conv1_1".into())),
            ]
        };
        let (before, after) = (keys(Place::Preactivation), keys(Place::Activation));
        assert_eq!(before[0], after[0], "a training measures nothing");
        for (stage, (a, b)) in before.iter().zip(&after).enumerate().skip(1) {
            assert_ne!(a, b, "stage {stage}");
        }
    }
}
