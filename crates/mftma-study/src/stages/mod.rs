//! The expensive stages, shared by all figures.

mod effective;
mod geometry;
mod gradients;
mod holding;
mod joint;
mod linear;
mod localization;
mod rewind;
mod sample;
mod similarity;
mod simulate;
mod train;
mod umap;

pub use effective::{Effective, EffectiveStage, LayerEffective};
pub use geometry::{GeometryStage, LayerGeometry};
pub use gradients::{ExpansionStage, GradientStage};
pub use holding::{
    Complexity, ComplexityStage, GroupSensitivity, Learned, LearningStage, Margins,
    SensitivityStage,
};
pub use joint::{JointStage, LayerJoint};
pub use linear::{HALVES, LearnedLabels, LearningCurve, LinearLearning, LinearStage, Spectrum};
pub use localization::{
    ChannelStage, ChannelsUndone, ExampleUndone, Forgotten, HELD_GROUPS, ResetStage, Resets,
};
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
    use crate::cache::{Cache, key};
    use crate::experiment::Experiments;
    use crate::profile::Profile;
    use crate::progress::Progress;

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

    /// What is asked about how a run holds its examples, on a training that takes a second.
    #[test]
    fn stages_of_memorization_fit_together() {
        let mut profile = Profile::load("smoke").unwrap().1;
        profile.experiment.data.train_per_class = 16;
        profile.experiment.data.test_per_class = 5;
        profile.experiment.network.width = 2;
        profile.experiment.geometry.epochs = vec![0, 2];
        profile.experiment.training.stop.max_epochs = 3;
        let run = Experiments::new(None).main(profile, 1).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"), Progress::silent());
        cache
            .ensure(&TrainStage::new(Rc::clone(&run)), false)
            .unwrap();

        // A layer that is put back to where it is forgets nothing; one that is put back to the start keeps its known examples known.
        let resets = |epoch| {
            let stage = ResetStage::new(Rc::clone(&run), epoch, 3);
            cache.ensure(&stage, false).unwrap()
        };
        let (same, first) = (resets(3), resets(0));
        let names: Vec<&str> = same
            .layers
            .iter()
            .map(|(_, name, _)| name.as_str())
            .collect();
        assert_eq!((names[0], names[8], names.len()), ("conv1_1", "fc1", 9));
        for ((_, _, same), (_, _, first)) in same.layers.iter().zip(&first.layers) {
            for (same, first) in same.iter().zip(first) {
                assert_eq!((same.forgotten, same.known), (0, first.known));
                assert!(first.forgotten <= first.known);
            }
        }

        let stage = ChannelStage::new(Rc::clone(&run), 3);
        let found = cache.ensure(&stage, false).unwrap();
        let limit = run.profile.supplement.memorization.channels.search.limit;
        assert!(!found.examples.is_empty());
        for example in &found.examples {
            let permuted = run.data.permutation().mask()[example.example];
            assert_eq!(permuted, example.group == ExampleGroup::Permuted);
            let zeroed = &example.undoing.zeroed;
            assert!(zeroed.len() <= limit && (!example.undoing.undone || !zeroed.is_empty()));
            for channel in zeroed {
                let layer = found
                    .layers
                    .iter()
                    .find(|(place, ..)| *place == channel.layer);
                assert!(channel.channel < layer.unwrap().2);
            }
        }

        let sensitivity = SensitivityStage::new(Rc::clone(&run), 2);
        let found = cache.ensure(&sensitivity, false).unwrap();
        let groups: Vec<ExampleGroup> = found.iter().map(|group| group.group).collect();
        assert_eq!(groups, ExampleGroup::ALL);
        for group in &found {
            let labelled = group.group != ExampleGroup::Restored;
            assert_eq!(
                (group.jacobian.is_some(), group.critical.is_some()),
                (labelled, labelled)
            );
            let total = group.switches.unwrap().mean;
            assert!(total > 0.0 && group.loss.unwrap().mean > 0.0);
            assert_eq!(group.by_layer.len(), 8);
        }

        let learning = LearningStage::new(Rc::clone(&run), vec![0, 2, 3]);
        for learned in cache.ensure(&learning, false).unwrap() {
            let shares: Vec<f64> = learned.shares.iter().map(|(_, share)| share.mean).collect();
            assert!(shares.len() == 3 && shares.is_sorted(), "{shares:?}");
        }

        let complexity = ComplexityStage::new(Rc::clone(&run), 3);
        let found = cache.ensure(&complexity, false).unwrap();
        assert_eq!((found.layers.len(), found.margins.len()), (9, 4));
        assert!(found.path_norm > 0.0);
    }
}
