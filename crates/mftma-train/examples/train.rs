//! Trains VGG-11 on the embedded glyphs, half of the labels permuted, in a folder, or goes on where a killed run stopped:
//!
//! `cargo run --release -p mftma-train --example train -- FOLDER [SETTINGS.json]`
//!
//! The file holds a `TrainSettings` as JSON. One line an epoch goes to standard output.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use mftma_data::{LabelPermutation, PermutationScheme, Subset};
use mftma_train::{
    Architecture, ImageShape, NetworkSpec, Progress, Run, TrainSettings, Trainer, TrainingData,
};

/// The glyphs of the study's trials (`docs/trials.md`): 80 training and 30 test images of a class.
fn data() -> Result<TrainingData, Box<dyn Error>> {
    let part = Subset {
        train_per_class: Some(80),
        test_per_class: Some(30),
        ..Subset::default()
    };
    let dataset = part.of(&mftma_data::open("glyphs", None)?)?;
    let (labels, classes) = (dataset.train().labels(), dataset.classes());
    let permutation = LabelPermutation::draw(labels, classes, 0.5, PermutationScheme::Permute, 0)?;
    Ok(TrainingData::new(dataset, permutation)?)
}

fn settings(classes: usize) -> TrainSettings {
    let mut settings = TrainSettings::new(NetworkSpec {
        architecture: Architecture::Vgg11,
        width: 16,
        batch_norm: true,
        classes,
        input: ImageShape {
            channels: 1,
            height: 32,
            width: 32,
        },
    });
    settings.recipe.learning_rate = 0.02;
    settings.recipe.stop.max_epochs = 60;
    settings.checkpoints.every = Some(5);
    settings
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let data = data()?;
    let (folder, settings) = match arguments.as_slice() {
        [folder] => (folder, settings(data.dataset().classes())),
        [folder, file] => (
            folder,
            serde_json::from_str(&std::fs::read_to_string(file)?)?,
        ),
        _ => return Err("usage: train FOLDER [SETTINGS.json]".into()),
    };
    let trainer = Trainer::in_folder(settings, &data, Path::new(folder))?;
    println!(
        "at most {:.1} MB on disk",
        trainer.disk_budget() as f64 / 1e6
    );
    let start = Instant::now();
    let trained = trainer.run(&mut |progress| {
        if let Progress::EpochFinished { metrics, .. } = progress {
            let groups: Vec<String> = metrics
                .groups
                .iter()
                .map(|(group, score)| format!("{group} {:.1}", 100.0 * score.accuracy()))
                .collect();
            println!(
                "epoch {:3}  loss {:.3}  training {:.2} %  {}  {:.0} s",
                metrics.epoch,
                metrics.batch_loss.unwrap_or(f64::NAN),
                100.0 * metrics.training_accuracy,
                groups.join("  "),
                start.elapsed().as_secs_f64(),
            );
        }
        ControlFlow::Continue(())
    })?;
    println!(
        "stopped: {:?}; {:.1} MB on disk",
        trained.stopped,
        Run::open(Path::new(folder))?.disk_use()? as f64 / 1e6
    );
    Ok(())
}
