//! A step, an epoch and the files of a run at every level of vector instructions that this processor has: the same bytes.

mod common;

use mftma::simd::Level;
use mftma_train::{Architecture, StatisticsMode, Trainer};

/// One test, because the level holds for the whole process.
#[test]
fn training_gives_the_same_bytes_at_every_level() {
    let levels = Level::available();
    assert!(levels.contains(&Level::Portable));
    for (architecture, side) in [
        (Architecture::Vgg11, 32),
        (Architecture::AlexNet, 64),
        (Architecture::ResNetShallow, 32),
        (Architecture::Mlp, 32),
    ] {
        let data = common::data(side, 10, 3);
        let mut settings = common::settings(architecture, side);
        settings.recipe.stop.max_epochs = 1;
        settings.checkpoints.every = Some(1);
        let runs = levels.iter().map(|level| {
            level.force().expect("it is there");
            let mut network = settings
                .network
                .build(&mut |parameter| settings.recipe.initialization.fill(7, parameter))
                .expect("builds");
            let labels: Vec<u16> = data.permutation().assigned_labels()[..20].to_vec();
            let images = ndarray::Array4::from_shape_fn((20, 1, side, side), |(n, _, y, x)| {
                (((n * 31 + y * 7 + x) % 19) as f32 - 9.0) / 9.0
            });
            let step = network
                .loss_and_gradients(images.view(), &labels, StatisticsMode::Batch)
                .expect("a step");
            let folder = tempfile::tempdir().expect("a folder");
            let trainer = Trainer::in_folder(settings.clone(), &data, folder.path());
            common::run(trainer.expect("fits"));
            (level, step, folder)
        });
        let runs: Vec<_> = runs.collect();
        let (_, first, files) = &runs[0];
        for (level, step, folder) in &runs[1..] {
            assert_eq!(step.loss, first.loss, "{architecture}, {level}");
            assert!(
                step.gradients == first.gradients,
                "{architecture}, {level}: gradients"
            );
            common::assert_same_files(folder.path(), files.path());
        }
    }
}
