//! Tests of `mftma-data` through its public interface, in one binary.

mod augmentation;
mod cifar;
mod folder;
mod glyphs;
mod groups;
mod idx;
mod normalization;
mod permutation;
mod real_data;
mod subset;
mod tiny_imagenet;

use std::path::Path;

use mftma_data::{Dataset, Error, Split};
use ndarray::Array4;

/// Asserts that a result is an error whose message contains every one of `parts`.
#[track_caller]
fn refused<T>(result: Result<T, Error>, parts: &[&str]) {
    let Err(error) = result else {
        panic!("accepted, expected an error about {parts:?}")
    };
    let message = error.to_string();
    for part in parts {
        assert!(
            message.contains(part),
            "{message:?} does not mention {part:?}"
        );
    }
}

#[track_caller]
fn write(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A data set of `classes` classes with `per_class` training and test examples each, classes taking turns; 2 × 2 × 3
/// images whose pixels tell split and index.
fn made_up(classes: usize, per_class: usize) -> Dataset {
    let split = |start: usize| {
        let n = classes * per_class;
        let images = Array4::from_shape_fn((n, 2, 2, 3), |(i, c, y, x)| {
            (start + 31 * i + 7 * c + 3 * y + x) as u8
        });
        let labels = (0..n).map(|i| (i % classes) as u16).collect();
        Split::new(images, labels, None).unwrap()
    };
    let names = (0..classes).map(|class| format!("class {class}")).collect();
    Dataset::new("made up", names, Vec::new(), split(0), split(101)).unwrap()
}

/// Runs `work` on rayon pools of one and of several threads and returns the results.
fn at_thread_counts<T: Send>(work: impl Fn() -> T + Sync) -> Vec<T> {
    [1, 2, 5]
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(&work)
        })
        .into()
}
