//! Peak memory of a full-size load; alone in its binary, because the peak is the whole process's.
#![cfg(target_os = "linux")]

use std::io::{BufWriter, Write};
use std::path::Path;

use mftma_data::open;

/// The greatest memory use of this process so far, in bytes (`VmHWM`).
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

/// Files of CIFAR-100's layout and size, written record by record.
fn fill(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for (file, records) in [("train.bin", 50_000), ("test.bin", 10_000)] {
        let mut writer = BufWriter::new(std::fs::File::create(folder.join(file)).unwrap());
        let mut record = [0u8; 3074];
        for i in 0..records {
            (record[0], record[1], record[2]) = ((i % 20) as u8, (i % 100) as u8, i as u8);
            writer.write_all(&record).unwrap();
        }
        writer.flush().unwrap();
    }
    for (file, classes) in [
        ("fine_label_names.txt", 100),
        ("coarse_label_names.txt", 20),
    ] {
        let names: String = (0..classes)
            .map(|class| format!("class {class}\n"))
            .collect();
        std::fs::write(folder.join(file), names).unwrap();
    }
}

#[test]
fn loading_cifar100_takes_no_more_than_1_3_times_its_size() {
    let dir = tempfile::tempdir().unwrap();
    fill(&dir.path().join("cifar-100-binary"));
    let before = peak();
    let dataset = open("cifar100", Some(dir.path())).unwrap();
    let taken = peak() - before;
    let size = (dataset.train().pixels().len() + dataset.test().pixels().len()) as u64;
    assert_eq!(size, 184_320_000);
    assert!(taken * 10 <= size * 13, "{taken} bytes for {size}");
    // The measure can tell: the data set itself must be in it.
    assert!(taken * 10 >= size * 9, "{taken} bytes for {size}");
}
