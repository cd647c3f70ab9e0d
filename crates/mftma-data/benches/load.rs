//! Time to load all of CIFAR-100 from the page cache: `cargo bench -p mftma-data`.
//!
//! The files are looked for where `mftma_data::data_dir` points (`MFTMA_DATA_DIR`, else `datasets`); without them a
//! file set of the same size is made up in a temporary folder.

use std::path::{Path, PathBuf};

use criterion::{Criterion, criterion_group, criterion_main};
use mftma_data::{Normalization, data_dir, open};

/// A folder of the canonical layout and size, with arbitrary pixels.
fn made_up(folder: &Path) -> std::io::Result<()> {
    let folder = folder.join("cifar-100-binary");
    std::fs::create_dir_all(&folder)?;
    for (file, records) in [("train.bin", 50_000), ("test.bin", 10_000)] {
        let mut bytes = vec![127u8; records * 3074];
        for (record, chunk) in bytes.chunks_exact_mut(3074).enumerate() {
            chunk[0] = (record % 20) as u8;
            chunk[1] = (record % 100) as u8;
        }
        std::fs::write(folder.join(file), bytes)?;
    }
    for (file, classes) in [
        ("fine_label_names.txt", 100),
        ("coarse_label_names.txt", 20),
    ] {
        let names: String = (0..classes)
            .map(|class| format!("class {class}\n"))
            .collect();
        std::fs::write(folder.join(file), names)?;
    }
    Ok(())
}

fn load(criterion: &mut Criterion) {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let mut folder: PathBuf = data_dir(None);
    if !folder.join("cifar-100-binary/train.bin").exists() {
        made_up(temporary.path()).expect("files can be written");
        folder = temporary.path().to_owned();
    }
    let mut group = criterion.benchmark_group("cifar100");
    group.sample_size(10);
    group.bench_function("load", |b| b.iter(|| open("cifar100", Some(&folder))));
    let dataset = open("cifar100", Some(&folder)).expect("the files are complete");
    group.bench_function("load and checksum", |b| {
        b.iter(|| open("cifar100", Some(&folder)).map(|dataset| dataset.checksum()))
    });
    group.bench_function("normalization", |b| {
        b.iter(|| Normalization::from_training(&dataset))
    });
    group.finish();
}

criterion_group!(benches, load);
criterion_main!(benches);
