//! Any bytes as a file of any format, and what is made of several arrays. The first three bytes choose the file's ending, an axis
//! of time and a number of points.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mftma_files::read::exercise;

fuzz_target!(|bytes: &[u8]| {
    let [name, axis, n_points, rest @ ..] = bytes else {
        return;
    };
    let names = ["x.npz", "x.mat", "x.csv", "x.h5", "x", "x.npy"];
    let name = names[usize::from(*name) % names.len()];
    let _ = exercise::arranged(name, rest, usize::from(*axis), usize::from(*n_points));
});
