//! Runs the real program in fresh folders. Compiled as a test of `xtask` (see its `Cargo.toml`), which knows the
//! program's path.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::RngExt;

/// The smoke profile at sizes at which figure 3 takes a second or two.
pub(crate) fn tiny() -> toml::Table {
    let mut profile: toml::Table = include_str!("../../../crates/mftma-study/profiles/smoke.toml")
        .parse()
        .unwrap();
    for (table, key, value) in [
        ("data", "classes", 4),
        ("data", "train_per_class", 24),
        ("data", "test_per_class", 8),
        ("network", "width", 2),
        ("training.stop", "max_epochs", 3),
        ("training", "batch_size", 16),
        ("geometry", "manifolds", 4),
        ("geometry", "points", 6),
        ("geometry", "gaussian_vectors", 20),
        ("simulation", "points", 5),
        ("umap", "points", 5),
        ("supplement.data", "classes", 4),
        ("supplement.data", "train_per_class", 24),
        ("supplement.data", "test_per_class", 8),
        ("supplement.geometry", "manifolds", 4),
        ("supplement.geometry", "points", 4),
        ("supplement.sensitivity", "points_while_manifolds_vary", 6),
        ("supplement.similarity", "points", 20),
    ] {
        set(&mut profile, table, key, value);
    }
    set(&mut profile, "geometry", "epochs", vec![0, 2, 3]);
    set(&mut profile, "supplement.sensitivity", "manifolds", vec![4]);
    set(&mut profile, "supplement.sensitivity", "points", vec![4, 6]);
    profile.insert("seed".into(), 7.into());
    profile
}

fn set(profile: &mut toml::Table, table: &str, key: &str, value: impl Into<toml::Value>) {
    let table_of_key = table.split('.').fold(profile, |profile, name| {
        profile[name].as_table_mut().unwrap()
    });
    let entry = table_of_key.get_mut(key);
    *entry.unwrap_or_else(|| panic!("the smoke profile has no {table}.{key}")) = value.into();
}

/// The tiny profile with one value changed.
fn tiny_with(table: &str, key: &str, value: impl Into<toml::Value>) -> String {
    let mut profile = tiny();
    set(&mut profile, table, key, value);
    profile.to_string()
}

/// What a run of figure S7 leaves that must not depend on how it came about.
const RESULTS: [&str; 3] = ["s7.csv", "s7.svg", "s7.png"];

/// A fresh folder with a profile in it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with_profile(&tiny().to_string())
    }

    fn with_profile(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tiny.toml"), text).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with the place's profile and the results folder `out`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Command::new(env!("CARGO_BIN_EXE_xtask")), arguments)
    }

    /// The same, started by `command`.
    fn command_of(&self, mut command: Command, arguments: &[&str]) -> Command {
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

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
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
    pub(crate) fn entries(&self, kind: &str) -> Vec<PathBuf> {
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

pub(crate) fn stderr(output: &Output) -> String {
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
fn a_run_of_everything_passes_the_check() {
    let place = Place::new();
    let output = place.run(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        stderr(&output),
        "",
        "progress bars must be silent when piped"
    );
    check(&place.path("out"));
    let page = fs::read_to_string(place.path("out/report.html")).unwrap();
    let claims = mftma_study::claims::all().len();
    assert!(page.contains(&format!("Of the paper's {claims} claims")));
    for name in ["Figure 2", "Figure 3"] {
        assert!(page.contains(name), "{name} is not in the report");
    }
    assert!(!page.contains("Not made with these settings"));

    // The results of one run are the results of record of the next.
    let record = place.path("results/tiny");
    fs::create_dir_all(&record).unwrap();
    for entry in fs::read_dir(place.path("out")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), record.join(entry.file_name())).unwrap();
        }
    }
    let found = place.succeed(&["--check"]);
    assert!(found.contains("nothing differs"), "{found}");
    let table = fs::read_to_string(record.join("s7.csv")).unwrap();
    // Another seed: every row is missing under its name and new under another.
    fs::write(
        record.join("s7.csv"),
        table.replace(",vgg11,2,7,", ",vgg11,2,8,"),
    )
    .unwrap();
    let output = place.run(&["--check"]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("seed 8, epoch 0, conv1_1"), "{text}");
    assert!(stderr(&output).contains("s7 differ from the results of record"));
}

/// `cargo xtask check` must pass a results folder.
fn check(folder: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("check")
        .arg(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_check_into_the_folder_of_record_is_refused() {
    let place = Place::new();
    check_refused(
        &place,
        &["--check"],
        &["no results of record", "results/tiny"],
    );
    fs::create_dir_all(place.path("results")).unwrap();
    fs::create_dir(place.path("out")).unwrap();
    fs::rename(place.path("out"), place.path("results/tiny")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .current_dir(place.folder.path())
        .args([
            "reproduce",
            "--profile",
            "tiny.toml",
            "--check",
            "--out",
            "results/../results/tiny",
        ])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("name another"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn finished_work_is_not_done_twice() {
    let place = Place::new();
    let plan = place.succeed(&["s7", "--dry-run"]);
    assert!(plan.contains("run: missing"), "{plan}");
    assert!(plan.contains("by stated rates"), "{plan}");
    assert!(!place.path("out").exists(), "a dry run wrote something");
    place.succeed(&["s7"]);
    let table = fs::read_to_string(place.path("out/s7.csv")).unwrap();
    for group in ["unpermuted", "permuted", "restored", "test"] {
        for layer in ["input", "conv1_1"] {
            for measure in ["capacity", "radius", "dimension", "centre_correlation"] {
                for epoch in [0, 2, 3] {
                    let start = format!(",{layer},{epoch},,,{group},{measure},");
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
    let plan = place.succeed(&["s7", "--dry-run"]);
    assert!(plan.contains("\n0 stages to run"), "{plan}");
    let stamp = |path: &Path| {
        fs::metadata(path.join("output.json"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let stages = [place.entries("train"), place.entries("geometry")].concat();
    let stamps: Vec<_> = stages.iter().map(|path| stamp(path)).collect();
    place.succeed(&["s7"]);
    assert_eq!(
        stages.iter().map(|path| stamp(path)).collect::<Vec<_>>(),
        stamps
    );
    assert_eq!(place.results(), before);

    // Other settings are told apart by name, and forced work by the flag. What it costs is known by now.
    fs::write(
        place.path("tiny.toml"),
        tiny_with("training", "learning_rate", 0.04),
    )
    .unwrap();
    let plan = place.succeed(&["s7", "--dry-run"]);
    assert!(plan.contains("train.learning_rate: 0.05 -> 0.04"), "{plan}");
    assert!(
        plan.contains("by rates measured here, 0 by stated"),
        "{plan}"
    );
    fs::write(place.path("tiny.toml"), tiny().to_string()).unwrap();
    let plan = place.succeed(&["s7", "--dry-run", "--force"]);
    assert!(
        plan.contains("run: forced") && plan.contains(" 0 finished"),
        "{plan}"
    );

    // A panel has files of its own, and shares the work.
    place.succeed(&["s7", "--panel", "b"]);
    let panel = fs::read_to_string(place.path("out/s7-b.csv")).unwrap();
    assert!(panel.contains(",radius,") && !panel.contains(",capacity,"));
    assert_eq!(place.results(), before);

    // Another number of threads gives the same bytes.
    let text = place.succeed(&["s7", "--force", "--jobs", "3"]);
    assert!(text.contains("on 3 threads"), "{text}");
    assert_eq!(place.results(), before);
}

/// What `claims.json` says of each claim: why nothing could be said, where that is so.
fn reasons(place: &Place) -> Vec<Option<String>> {
    let text = fs::read_to_string(place.path("out/claims.json")).unwrap();
    let claims: serde_json::Value = serde_json::from_str(&text).unwrap();
    let claims = claims["claims"].as_array().unwrap();
    let reason = |claim: &serde_json::Value| claim["reason"].as_str().map(str::to_owned);
    claims.iter().map(reason).collect()
}

#[test]
fn a_claim_is_judged_once_the_stages_that_it_names_are_finished() {
    let mut profile = tiny();
    // Enough of both for an interval over classes.
    set(&mut profile, "data", "classes", 6);
    set(&mut profile, "data", "train_per_class", 48);
    set(&mut profile, "geometry", "manifolds", 6);
    let place = Place::with_profile(&profile.to_string());
    for (figure, judged) in [("fig3", &[1, 2, 3][..]), ("fig5", &[1, 2, 3, 4, 7])] {
        place.succeed(&[figure]);
        for (index, reason) in reasons(&place).into_iter().enumerate() {
            let (claim, reason) = (index + 1, reason.unwrap_or_default());
            let waits = reason.contains("stages are not finished");
            assert_eq!(
                waits,
                !judged.contains(&claim),
                "{figure}, claim {claim}: {reason}"
            );
            assert!(
                !reason.contains("lacks"),
                "{figure}, claim {claim}: {reason}"
            );
        }
    }
}

#[test]
fn the_status_tells_finished_running_and_missing_work() {
    let place = Place::new();
    let status = || place.succeed(&["status"]);
    let text = status();
    assert!(
        text.contains("0 stages finished") && text.contains("left to do"),
        "{text}"
    );
    assert!(!place.path("out").exists(), "status wrote something");
    let mut child = place.command(&["s7"]).spawn().unwrap();
    let mut running = false;
    while child.try_wait().unwrap().is_none() {
        running |= status().contains("in progress (another process works on it)");
    }
    assert!(running, "no stage was ever seen in progress");
    let text = status();
    // One training and four groups at each of the epochs 0, 2, 3, and at the best where that is another.
    let finished = |stages: usize| {
        let wanted = format!("{stages} of {stages} stages finished, drawn");
        let mut lines = text.lines().map(str::trim);
        lines.any(|line| {
            line.strip_prefix("s7")
                .is_some_and(|rest| rest.trim() == wanted)
        })
    };
    assert!(finished(13) || finished(17), "{text}");
    assert!(text.contains(" 0 in progress"), "{text}");
}

/// A way to damage a file, and its name.
type Damage<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn damaged_work_is_found_and_made_again() {
    let place = Place::new();
    place.succeed(&["s7"]);
    let before = place.results();
    let train = &place.entries("train")[0];
    let geometry = &place.entries("geometry")[0];
    let truncate = |path: &Path| {
        let length = fs::metadata(path).unwrap().len();
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(length / 2)
            .unwrap();
    };
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        fs::write(path, bytes).unwrap();
    };
    let empty = |path: &Path| fs::write(path, b"").unwrap();
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let damages: [Damage; 4] = [
        ("cut", &truncate),
        ("flipped", &flip),
        ("emptied", &empty),
        ("removed", &remove),
    ];
    let checkpoint = fs::read_dir(train.join("run"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .unwrap();
    let files = [
        geometry.join("output.json"),
        geometry.join("stage.json"),
        checkpoint,
    ];
    for file in files {
        for (name, damage) in damages {
            // Without a record the stage counts as interrupted; a flipped letter of a label harms nothing.
            if file.ends_with("stage.json") && ["flipped", "removed"].contains(&name) {
                continue;
            }
            damage(&file);
            let output = place.run(&["s7"]);
            let text = stderr(&output);
            assert!(output.status.success(), "{}: {text}", file.display());
            assert!(
                text.contains("is damaged"),
                "{} {name}: {text}",
                file.display()
            );
            assert_eq!(place.results(), before, "{} {name}", file.display());
        }
    }
    assert_no_leftovers(&place.path("out"));
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
    undisturbed.succeed(&["s7"]);
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
    // In training, after the first epoch that can be resumed from.
    let child = place.command(&["s7"]).spawn().unwrap();
    let killed = kill_when(child, || {
        place
            .entries("train")
            .iter()
            .any(|path| path.join("run/resume.safetensors").exists())
    });
    if killed && finished("train") == 0 {
        let plan = place.succeed(&["s7", "--dry-run"]);
        assert!(
            plan.contains("run: interrupted (goes on after epoch"),
            "{plan}"
        );
    }
    // Twenty times at random moments. Where a run comes to its end before, its results must be right, and all starts anew.
    let mut random = mftma_data::stream(20, "test: moments of SIGKILL");
    let (mut kills, mut runs) = (0, 0);
    while kills < 20 {
        runs += 1;
        assert!(
            runs < 200,
            "only {kills} of {runs} runs were still there to be killed"
        );
        let moment = whole.mul_f64(random.random_range(0.02..0.9));
        let done = finished("geometry");
        let child = place.command(&["s7"]).spawn().unwrap();
        let start = Instant::now();
        if kill_when(child, || start.elapsed() > moment) {
            kills += 1;
            assert!(finished("geometry") >= done, "finished work was lost");
        } else {
            assert_eq!(place.results(), expected);
            fs::remove_dir_all(place.path("out")).unwrap();
        }
    }
    place.succeed(&["s7"]);
    assert_eq!(place.results(), expected);
    assert_no_leftovers(&place.path("out"));
    let plan = place.succeed(&["s7", "--dry-run"]);
    assert!(plan.contains("\n0 stages to run"), "{plan}");
}

/// A limit on the size of a file stands for a full disk: every write beyond it fails with an error, not with a signal.
#[cfg(unix)]
#[test]
fn a_full_disk_is_named_and_nothing_is_lost() {
    let undisturbed = Place::new();
    undisturbed.succeed(&["s7"]);
    let place = Place::new();
    let limited = |blocks: u32| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""]);
        shell
            .arg(blocks.to_string())
            .arg(env!("CARGO_BIN_EXE_xtask"));
        place.command_of(shell, &["s7"]).output().unwrap()
    };
    let mut failures = 0;
    // In units of 512 bytes: from where nothing can be written to where only the largest files cannot.
    for blocks in [0, 1, 8, 24, 64, 128] {
        let output = limited(blocks);
        if output.status.success() {
            continue;
        }
        failures += 1;
        let text = stderr(&output);
        assert!(!text.contains("panicked"), "{text}");
        // The system's own words say what is wrong: on a full disk `No space left on device`.
        assert!(
            ["cannot write", "out", "check the free space", "os error"]
                .iter()
                .all(|words| text.contains(words)),
            "no file, no remedy or no cause is named at {blocks} blocks: {text}"
        );
        assert_no_leftovers(&place.path("out"));
    }
    if failures == 0 {
        eprintln!("SKIPPED: this system does not limit the size of files");
        return;
    }
    place.succeed(&["s7"]);
    assert_eq!(place.results(), undisturbed.results());
}

#[test]
fn two_runs_at_once_share_the_work() {
    let alone = Place::new();
    alone.succeed(&["s7"]);
    // The second time one of the two is killed: its lock goes with it, and the other does its work.
    for kill in [false, true] {
        let place = Place::new();
        let start = || place.command(&["s7"]).spawn().unwrap();
        let (first, second) = (start(), start());
        if kill {
            kill_when(first, || !place.entries("geometry").is_empty());
        } else {
            finish(first);
        }
        finish(second);
        assert_eq!(place.results(), alone.results());
        assert_no_leftovers(&place.path("out"));
    }
}

fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn unknown_values_are_refused_with_the_known_ones() {
    let place = Place::new();
    check_refused(&place, &["fig99"], &["fig99", "s7"]);
    check_refused(&place, &["s7", "--panel", "z"], &["s7", "\"z\"", "a, b"]);
    check_refused(&place, &["--panel", "b"], &["FIGURE"]);
    check_refused(&place, &["--jobs", "0"], &["--jobs", "0"]);
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
        stderr(&output).contains("smoke, quick, laptop, record, record64, paper"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_profile_that_cannot_work_is_refused_by_name() {
    let refused = |text: &str, words: &[&str]| {
        check_refused(&Place::with_profile(text), &["s7"], words);
    };
    for (table, figure) in [
        ("geometry", "s7"),
        ("simulation", "fig1"),
        ("double_descent.geometry", "fig4"),
        ("supplement.geometry", "s1"),
    ] {
        let bad = Place::with_profile(&tiny_with(table, "points", 600));
        check_refused(&bad, &[figure], &[&format!("{table}.points"), "600"]);
    }
    let bad = tiny_with("supplement.sensitivity", "points", vec![600]);
    let named = ["supplement.sensitivity.points", "600"];
    check_refused(&Place::with_profile(&bad), &["s5"], &named);
    let bad = tiny().to_string().replace("momentum", "momentun");
    refused(&bad, &["momentun", "tiny.toml"]);
    let bad = tiny_with("training.stop", "max_epochs", 1);
    refused(&bad, &["geometry.epochs", "tiny.toml"]);
    let bad = tiny_with("training", "batch_size", 0);
    refused(&bad, &["batch_size", "0"]);
    let bad = tiny_with("training", "learning_rate", -1.0);
    refused(&bad, &["learning_rate", "-1"]);
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
    let other = Place::with_profile(&tiny_with("training", "learning_rate", 0.01));
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
