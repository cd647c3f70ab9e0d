//! Any bytes as a file of labels. The first two bytes choose the format and the number of points.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mftma_files::read::exercise;

fuzz_target!(|bytes: &[u8]| {
    let [format, n_points, rest @ ..] = bytes else {
        return;
    };
    let names = [
        "y.npy",
        "y.npz",
        "y.safetensors",
        "y.csv",
        "y.tsv",
        "y.txt",
        "y.h5",
        "y.parquet",
        "y.pt",
        "y.mat",
        "y",
    ];
    let name = names[usize::from(*format) % names.len()];
    let column = (format & 0x80 != 0).then_some("a");
    if let Ok(labels) = exercise::labels(name, column, rest, usize::from(*n_points)) {
        assert_eq!(labels.classes.len(), usize::from(*n_points));
        assert_eq!(labels.counts().iter().sum::<usize>(), labels.classes.len());
    }
});
