//! Trains a profile in a folder, or goes on where a killed run stopped:
//!
//! `cargo run --release -p mftma-train --example train -- PROFILE FOLDER [DATA_DIR]`
//!
//! PROFILE is the name of an embedded profile or a TOML file. One line an epoch goes to standard output.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use mftma_train::{Profile, Progress, Run, Trainer};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [profile, folder, data_dir @ ..] = arguments.as_slice() else {
        return Err("usage: train PROFILE FOLDER [DATA_DIR]".into());
    };
    let profile = if profile.ends_with(".toml") {
        Profile::from_toml(&std::fs::read_to_string(profile)?)?
    } else {
        Profile::named(profile)?
    };
    let data = profile.load(data_dir.first().map(Path::new))?;
    let trainer = Trainer::in_folder(profile.train, &data, Path::new(folder))?;
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
