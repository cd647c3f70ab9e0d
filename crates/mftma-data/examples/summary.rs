//! What is in a data set: `cargo run --release -p mftma-data --example summary -- NAME [DIR]`.

use std::path::Path;
use std::time::Instant;

use mftma_data::{Normalization, open};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "cifar100".to_owned());
    let dir = arguments.next();
    let start = Instant::now();
    let dataset = open(&name, dir.as_deref().map(Path::new))?;
    let loaded = start.elapsed();
    let bytes = dataset.train().pixels().len() + dataset.test().pixels().len();
    println!(
        "{name}: {} classes, images {:?}",
        dataset.classes(),
        dataset.image_shape()
    );
    println!(
        "{} training, {} test examples",
        dataset.train().len(),
        dataset.test().len()
    );
    println!(
        "loaded in {:.3} s: {:.1} MB of pixels",
        loaded.as_secs_f64(),
        bytes as f64 / 1e6
    );
    // Linux tells a process its own greatest memory use.
    if let Ok(status) = std::fs::read_to_string("/proc/self/status")
        && let Some(peak) = status.lines().find(|line| line.starts_with("VmHWM"))
    {
        println!(
            "peak memory after loading: {}",
            peak.trim_start_matches("VmHWM:").trim()
        );
    }
    let normalization = Normalization::from_training(&dataset);
    println!("mean {:.5?}", normalization.mean());
    println!(
        "standard deviation {:.5?}",
        normalization.standard_deviation()
    );
    println!("checksum {}", dataset.checksum());
    Ok(())
}
