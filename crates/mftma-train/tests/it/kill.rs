//! A run killed by SIGKILL at random moments and started again ends with the same bytes as one that was left alone.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mftma_train::{Architecture, TrainSettings, Trainer};
use rand::RngExt;

use crate::common;

const FOLDER: &str = "MFTMA_TRAIN_KILL_FOLDER";
const EPOCHS: usize = 40;

fn settings() -> TrainSettings {
    let mut settings = common::settings(Architecture::Mlp, 32);
    settings.recipe.stop.max_epochs = EPOCHS;
    settings.checkpoints.every = Some(3);
    settings.checkpoints.best = true;
    settings.recipe.augmentation = mftma_data::Augmentation {
        crop_padding: 1,
        flip: true,
        rotation_degrees: 0.0,
        seed: 3,
    };
    settings
}

/// Not a test of its own: the process that the other test starts and kills.
#[test]
#[ignore = "the child process of the kill test"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let data = common::data(32, 60, 1);
    let run =
        || common::run(Trainer::in_folder(settings(), &data, Path::new(&folder)).expect("starts"));
    common::with_threads(2, run);
}

#[test]
fn killed_at_random_moments_it_ends_with_the_same_bytes() {
    let home = tempfile::tempdir().expect("a folder");
    let (calm, killed) = (home.path().join("calm"), home.path().join("killed"));
    let data = common::data(32, 60, 1);
    common::with_threads(1, || {
        common::run(Trainer::in_folder(settings(), &data, &calm).expect("starts"));
    });

    let mut rng = mftma_data::stream(0, "moments of the kill test");
    let (mut kills, mut longest) = (0, 60.0);
    loop {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "kill::child", "--ignored", "--quiet"])
            .env(FOLDER, &killed)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(Duration::from_millis(rng.random_range(1.0..longest) as u64));
        if let Some(status) = child.try_wait().expect("a child") {
            assert!(status.success(), "the child failed: {status}");
            break;
        }
        child.kill().expect("kills"); // SIGKILL on Unix
        child.wait().expect("ends");
        kills += 1;
        // However slow the machine, some child lives long enough to end.
        longest *= 1.1;
    }
    assert!(
        kills >= 5,
        "only {kills} kills before the run ended: too few to mean anything"
    );
    common::assert_same_files(&calm, &killed);
}
