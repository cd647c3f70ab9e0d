//! Runs the real program in fresh folders. Compiled as a test of `xtask` (see its `Cargo.toml`), which knows the
//! program's path.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Sizes at which a whole run takes seconds, on the embedded data set.
const TINY: &str = r#"
description = "for tests"
seed = 7
runs = 1
[data]
dataset = "glyphs"
classes = 4
train_per_class = 24
test_per_class = 8
permuted_fraction = 0.5
scheme = "permute"
[network]
architecture = "vgg11"
width = 2
batch_norm = true
[training]
max_epochs = 3
stop_above = 0.99
learning_rate = 0.05
momentum = 0.9
batch_size = 16
[geometry]
epochs = [0, 2, 3]
manifolds = 4
points = 6
gaussian_vectors = 20
margin = 0.0
"#;

/// What a run leaves that must not depend on how it came about.
const RESULTS: [&str; 6] = [
    "fig2.csv", "fig2.svg", "fig2.png", "fig3.csv", "fig3.svg", "fig3.png",
];

/// A fresh folder with a profile in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self::with_profile(TINY)
    }

    fn with_profile(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tiny.toml"), text).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with the place's profile and the results folder `out`.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .current_dir(self.folder.path())
            .env_remove("MFTMA_DATA_DIR")
            .env("RAYON_NUM_THREADS", "2")
            .arg("reproduce")
            .args(["--profile", "tiny.toml", "--out", "out"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn results(&self) -> Vec<Vec<u8>> {
        RESULTS
            .iter()
            .map(|name| fs::read(self.path("out").join(name)).unwrap())
            .collect()
    }

    /// Folders of the cache whose names begin with `kind`, sorted.
    fn entries(&self, kind: &str) -> Vec<PathBuf> {
        let Ok(folder) = fs::read_dir(self.path("out/cache")) else {
            return Vec::new();
        };
        let mut entries: Vec<PathBuf> = folder
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with(kind)
            })
            .collect();
        entries.sort();
        entries
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The program must refuse with one line that holds all of `words`, and leave no results.
fn check_refused(place: &Place, arguments: &[&str], words: &[&str]) {
    let output = place.run(arguments);
    let message = stderr(&output);
    assert!(!output.status.success(), "{arguments:?} was accepted");
    for word in words {
        assert!(
            message.contains(word),
            "{arguments:?}: no {word:?} in {message}"
        );
    }
    assert_eq!(
        message
            .lines()
            .filter(|line| line.starts_with("error"))
            .count(),
        1,
        "{message}"
    );
    assert!(!message.contains("panicked"), "{message}");
    for name in RESULTS {
        assert!(!place.path("out").join(name).exists(), "{name} was written");
    }
    assert_no_leftovers(&place.path("out"));
}

/// No temporary file is left anywhere below `folder`.
fn assert_no_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(
            !name.contains("partial"),
            "{} is left over",
            entry.path().display()
        );
        if entry.file_type().unwrap().is_dir() {
            assert_no_leftovers(&entry.path());
        }
    }
}

#[test]
fn a_run_writes_every_file_and_is_not_done_twice() {
    let place = Place::new();
    let plan = place.succeed(&["--dry-run"]);
    assert!(plan.contains("run: missing"), "{plan}");
    assert!(!place.path("out").exists(), "a dry run wrote something");

    let output = place.run(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        stderr(&output),
        "",
        "progress bars must be silent when piped"
    );
    for name in ["provenance.json", "timings.json"] {
        assert!(place.path("out").join(name).exists(), "{name}");
    }
    let check = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("check")
        .arg(place.path("out"))
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", stderr(&check));
    let table = fs::read_to_string(place.path("out/fig3.csv")).unwrap();
    for group in ["unpermuted", "permuted", "restored", "test"] {
        for layer in ["input", "conv1_1"] {
            for measure in ["capacity", "radius", "dimension", "centre_correlation"] {
                for epoch in [0, 2, 3] {
                    let start = format!(",{layer},{epoch},{group},{measure},");
                    assert_eq!(
                        table.lines().filter(|line| line.contains(&start)).count(),
                        1,
                        "{start}"
                    );
                }
            }
        }
    }

    let before = place.results();
    let plan = place.succeed(&["--dry-run"]);
    assert!(plan.contains("\n0 stages to run"), "{plan}");
    let stamp = |path: &Path| {
        fs::metadata(path.join("output.json"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let stages = [place.entries("train"), place.entries("geometry")].concat();
    let stamps: Vec<_> = stages.iter().map(|path| stamp(path)).collect();
    place.succeed(&[]);
    assert_eq!(
        stages.iter().map(|path| stamp(path)).collect::<Vec<_>>(),
        stamps
    );
    assert_eq!(place.results(), before);

    // Other settings are told apart by name, and forced work by the flag.
    fs::write(
        place.path("tiny.toml"),
        TINY.replace("learning_rate = 0.05", "learning_rate = 0.04"),
    )
    .unwrap();
    let plan = place.succeed(&["--dry-run"]);
    assert!(plan.contains("train.learning_rate: 0.05 -> 0.04"), "{plan}");
    fs::write(place.path("tiny.toml"), TINY).unwrap();
    let plan = place.succeed(&["--dry-run", "--force"]);
    assert!(
        plan.contains("run: forced") && plan.contains(" 0 finished"),
        "{plan}"
    );

    // A damaged entry is found by its checksum, said so, and made again.
    fs::write(place.entries("geometry")[0].join("output.json"), b"[]").unwrap();
    let plan = place.succeed(&["--dry-run"]);
    assert!(plan.contains("run: damaged (output.json"), "{plan}");
    let output = place.run(&[]);
    assert!(
        stderr(&output).contains("made again"),
        "{}",
        stderr(&output)
    );
    assert_eq!(place.results(), before);

    // Another number of threads gives the same bytes.
    let output = place
        .command(&["--force", "--quiet"])
        .env("RAYON_NUM_THREADS", "3")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(place.results(), before);
}

/// Kills a run as soon as `when` holds. Returns whether it was still running.
fn kill_when(mut child: Child, mut when: impl FnMut() -> bool) -> bool {
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if when() {
            // SIGKILL: the process has no chance to tidy up.
            child.kill().unwrap();
            return !child.wait().unwrap().success();
        }
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_killed_run_goes_on_and_ends_with_the_same_bytes() {
    let undisturbed = Place::new();
    let start = Instant::now();
    undisturbed.succeed(&[]);
    let whole = start.elapsed();
    let expected = undisturbed.results();

    let place = Place::new();
    let finished = |kind: &str| {
        place
            .entries(kind)
            .iter()
            .filter(|path| path.join("stage.json").exists())
            .count()
    };
    let mut kills = 0;
    // In training, after the first epoch that can be resumed from.
    let child = place.command(&[]).spawn().unwrap();
    kills += u32::from(kill_when(child, || {
        place
            .entries("train")
            .iter()
            .any(|path| path.join("run/resume.safetensors").exists())
    }));
    if finished("train") == 0 {
        let plan = place.succeed(&["--dry-run"]);
        assert!(
            plan.contains("run: interrupted (goes on after epoch"),
            "{plan}"
        );
    }
    // Among the analyses.
    for count in [1, 5] {
        let child = place.command(&[]).spawn().unwrap();
        kills += u32::from(kill_when(child, || finished("geometry") >= count));
    }
    // Anywhere: at five moments spread over the time that a whole run takes.
    for moment in 1..=5u32 {
        let child = place.command(&[]).spawn().unwrap();
        let start = Instant::now();
        kills += u32::from(kill_when(child, || start.elapsed() > whole * moment / 12));
    }
    assert!(
        kills >= 2,
        "only {kills} runs were killed: the test proves nothing"
    );
    let done = finished("geometry");
    place.succeed(&[]);
    assert!(finished("geometry") >= done);
    assert_eq!(place.results(), expected);
    assert_no_leftovers(&place.path("out"));
    let plan = place.succeed(&["--dry-run"]);
    assert!(plan.contains("\n0 stages to run"), "{plan}");
}

#[test]
fn two_runs_at_once_share_the_work() {
    let alone = Place::new();
    alone.succeed(&[]);
    let place = Place::new();
    let children: Vec<Child> = (0..2)
        .map(|_| place.command(&[]).spawn().unwrap())
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert_eq!(place.results(), alone.results());
}

#[test]
fn unknown_values_are_refused_with_the_known_ones() {
    let place = Place::new();
    check_refused(&place, &["fig99"], &["fig99", "fig3"]);
    check_refused(
        &place,
        &["--dataset", "nosuchset"],
        &["nosuchset", "cifar100"],
    );
    check_refused(&place, &["--seeds", "0"], &["--seeds", "0"]);
    check_refused(&place, &["--colour", "red"], &["--colour"]);
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["reproduce", "--profile", "enormous"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("smoke, quick, laptop, paper"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_profile_that_cannot_work_is_refused_by_name() {
    for (old, new, words) in [
        ("points = 6", "points = 600", ["points", "too"]),
        (
            "momentum = 0.9",
            "momentun = 0.9",
            ["momentun", "tiny.toml"],
        ),
        (
            "max_epochs = 3",
            "max_epochs = 1",
            ["geometry.epochs", "tiny.toml"],
        ),
        ("batch_size = 16", "batch_size = 0", ["batch_size", "0"]),
        (
            "learning_rate = 0.05",
            "learning_rate = -1.0",
            ["learning_rate", "-1"],
        ),
    ] {
        assert!(TINY.contains(old));
        check_refused(&Place::with_profile(&TINY.replace(old, new)), &[], &words);
    }
}

#[test]
fn missing_and_damaged_data_files_are_named_with_a_remedy() {
    let place = Place::new();
    let folder = place.path("data");
    fs::create_dir(&folder).unwrap();
    let arguments = ["--dataset", "cifar100", "--data-dir", "data"];
    check_refused(
        &place,
        &arguments,
        &["cifar100", "train.bin", "data", "fetch"],
    );

    let cifar = folder.join("cifar-100-binary");
    fs::create_dir(&cifar).unwrap();
    for name in ["fine_label_names.txt", "coarse_label_names.txt"] {
        let count = if name.starts_with("fine") { 100 } else { 20 };
        let names: String = (0..count).map(|i| format!("class{i}\n")).collect();
        fs::write(cifar.join(name), names).unwrap();
    }
    // Cut short in the middle of a record, empty, one byte too long.
    for length in [3074 * 3 + 100, 0, 3074 * 50_000 + 1] {
        let file = fs::File::create(cifar.join("train.bin")).unwrap();
        file.set_len(length).unwrap();
        fs::File::create(cifar.join("test.bin"))
            .unwrap()
            .set_len(3074 * 10_000)
            .unwrap();
        check_refused(
            &place,
            &arguments,
            &["train.bin", &length.to_string(), "fetch"],
        );
    }
}

#[test]
fn an_unwritable_results_folder_is_named_with_a_remedy() {
    let place = Place::new();
    // A file where the folder should be: nobody can write there, not even root.
    fs::write(place.path("out"), b"in the way").unwrap();
    check_refused(&place, &[], &["out", "--out"]);
    assert_eq!(fs::read(place.path("out")).unwrap(), b"in the way");
}

#[test]
fn a_checkpoint_of_other_settings_is_refused_by_name() {
    let other = Place::with_profile(&TINY.replace("learning_rate = 0.05", "learning_rate = 0.01"));
    other.succeed(&["fig2"]);
    let place = Place::new();
    place.succeed(&["fig2"]);
    let [ours] = &place.entries("train")[..] else {
        panic!("one training")
    };
    let theirs = &other.entries("train")[0];
    // An interrupted training whose state was exchanged.
    fs::remove_file(ours.join("stage.json")).unwrap();
    fs::copy(
        theirs.join("run/resume.safetensors"),
        ours.join("run/resume.safetensors"),
    )
    .unwrap();
    for name in RESULTS {
        let _ = fs::remove_file(place.path("out").join(name));
    }
    check_refused(
        &place,
        &["fig2"],
        &["resume.safetensors", "learning_rate", "0.01", "0.05"],
    );
}
