//! A small data set and small settings that several tests share.
#![allow(dead_code)] // each test file uses a part

use std::collections::BTreeMap;
use std::path::Path;

use mftma_data::{Dataset, LabelPermutation, PermutationScheme, Split};
use mftma_train::{
    Architecture, ImageShape, NetworkSpec, OptimizerSettings, TrainSettings, Trained, Trainer,
    TrainingData,
};
use ndarray::Array4;
use rand::RngExt;

pub const CLASSES: usize = 5;

/// Images of 1 × `side` × `side` with a class-dependent pattern under noise, half of the training labels permuted.
pub fn data(side: usize, per_class: usize, seed: u64) -> TrainingData {
    let split = |name: &str, per_class: usize| {
        let mut rng = mftma_data::stream(seed, name);
        let labels: Vec<u16> = (0..per_class * CLASSES)
            .map(|i| (i % CLASSES) as u16)
            .collect();
        let images = Array4::from_shape_fn((labels.len(), 1, side, side), |(i, _, y, x)| {
            let pattern = ((usize::from(labels[i]) + 1) * (3 * y + x)) % 7 * 20;
            (pattern + rng.random_range(0..100)) as u8
        });
        Split::new(images, labels, None).expect("one label an image")
    };
    let names = (0..CLASSES).map(|c| format!("class {c}")).collect();
    let dataset = Dataset::new(
        "patterns",
        names,
        vec![],
        split("train", per_class),
        split("test", per_class / 2),
    )
    .expect("consistent");
    let labels = dataset.train().labels().to_vec();
    let permutation =
        LabelPermutation::draw(&labels, CLASSES, 0.5, PermutationScheme::Permute, seed)
            .expect("a fraction of 0.5");
    TrainingData::new(dataset, permutation).expect("the permutation of these labels")
}

pub fn settings(architecture: Architecture, side: usize) -> TrainSettings {
    let mut settings = TrainSettings::new(NetworkSpec {
        architecture,
        width: 4,
        batch_norm: architecture != Architecture::Mlp,
        classes: CLASSES,
        input: ImageShape {
            channels: 1,
            height: side,
            width: side,
        },
    });
    settings.recipe.optimizer = OptimizerSettings::default();
    settings.recipe.learning_rate = 0.02;
    settings.recipe.batch_size = 16;
    settings.recipe.stop.max_epochs = 6;
    settings.recipe.stop.training_accuracy = None;
    settings
}

pub fn run(trainer: Trainer<'_>) -> Trained {
    trainer
        .run(&mut |_| std::ops::ControlFlow::Continue(()))
        .expect("trains")
}

/// The bytes of every file in a folder, by name.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (name, std::fs::read(&path).expect("a file"))
        })
        .collect()
}

/// Fails with the names of the files that differ, not with their bytes.
pub fn assert_same_files(a: &Path, b: &Path) {
    let (a, b) = (files(a), files(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let differ: Vec<_> = a.keys().filter(|name| a[*name] != b[*name]).collect();
    assert!(differ.is_empty(), "files differ: {differ:?}");
}

/// Runs `work` on a pool of its own.
pub fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("a pool")
        .install(work)
}
