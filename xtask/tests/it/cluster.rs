//! The study as jobs: the commands that a scheduler gives, given here; and a Slurm that only writes down what it is asked.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::reproduce::{Place, stderr};

/// A training, what is not known before it is finished (the similarity of its measured epochs), and two pictures.
const FIGURES: [&str; 2] = ["fig2", "s6"];
const RESULTS: [&str; 6] = [
    "fig2.csv", "fig2.svg", "fig2.png", "s6.csv", "s6.svg", "s6.png",
];

fn results(folder: &Path) -> Vec<Vec<u8>> {
    let read = |name| fs::read(folder.join(name)).unwrap();
    RESULTS.iter().map(read).collect()
}

fn plan(place: &Place) -> Value {
    let words = ["plan", FIGURES[0], FIGURES[1], "--format", "json"];
    serde_json::from_str(&place.succeed(&words)).unwrap()
}

fn words(command: &Value) -> Vec<String> {
    let words = command.as_array().unwrap().iter();
    words
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

/// Gives a command of a plan, from another folder.
fn give(command: &Value) -> std::process::Output {
    let words = words(command);
    Command::new(&words[0])
        .args(&words[1..])
        .current_dir("/")
        .env("RAYON_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn stages_of_their_own_processes_in_any_order_end_with_the_same_bytes() {
    let place = Place::new();
    let before = plan(&place);
    assert!(!place.path("out").exists(), "a plan wrote something");
    let nodes = before["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 4, "{before}");
    let inputs = |node: &Value| node["inputs"].as_array().unwrap().len();
    // Too early: it says what is missing.
    let late = nodes.iter().find(|node| inputs(node) > 0).unwrap();
    let output = give(&late["command"]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("builds on what is not finished"));
    // Backwards, but for what must come first; two at once on the same stage.
    let mut order: Vec<&Value> = nodes.iter().rev().collect();
    order.sort_by_key(|node| inputs(node));
    for node in order {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let output = give(&node["command"]);
                    assert!(output.status.success(), "{}", stderr(&output));
                });
            }
        });
    }
    // Names stay as the study advances; now every one has its stage.
    let after = plan(&place);
    for (before, after) in nodes.iter().zip(after["nodes"].as_array().unwrap()) {
        assert_eq!(before["id"], after["id"]);
        assert_eq!(after["state"], "finished", "{after}");
        assert_eq!(after["keys"].as_array().unwrap().len(), 1);
    }
    let files = |kind: &str| -> Vec<std::time::SystemTime> {
        let entries = place.entries(kind);
        let record = |entry: &std::path::PathBuf| fs::metadata(entry.join("stage.json"));
        let times = entries
            .iter()
            .map(|e| record(e).unwrap().modified().unwrap());
        times.collect()
    };
    let kinds = ["train", "umap", "similarity"];
    let made = kinds.map(files);
    let output = give(&before["draw"]["command"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(kinds.map(files), made, "drawing did something again");
    for kind in kinds {
        for entry in place.entries(kind) {
            let claimed = fs::read_dir(entry).unwrap().any(|file| {
                let name = file.unwrap().file_name();
                name.to_string_lossy().starts_with(".claim")
            });
            assert!(!claimed, "a claim is left");
        }
    }
    let plain = Place::new();
    plain.succeed(&FIGURES);
    assert!(results(&place.path("out")) == results(&plain.path("out")));
}

#[cfg(unix)]
#[test]
fn a_warned_stage_asks_for_another_turn_and_goes_on() {
    let place = Place::new();
    let plan = plan(&place);
    let train = &plan["nodes"][0];
    assert_eq!(train["kind"], "train");
    let words = words(&train["command"]);
    let child = Command::new(&words[0])
        .args(&words[1..])
        .current_dir("/")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its claim says that it is at work.
    let start = Instant::now();
    let claimed = || {
        let entries = place.entries("train");
        entries
            .iter()
            .any(|entry| entry.join(".claim-0001").exists())
    };
    while !claimed() {
        assert!(start.elapsed() < Duration::from_secs(300), "it never began");
        std::thread::sleep(Duration::from_millis(2));
    }
    let id = child.id().to_string();
    let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    // It may have been done before.
    if told.success() && !output.status.success() {
        assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    }
    for entry in place.entries("train") {
        let claim = entry.join(".claim-0001");
        assert!(!claim.exists(), "nobody elsewhere could go on");
    }
    let again = give(&train["command"]);
    assert!(again.status.success(), "{}", stderr(&again));
}

/// A job reads what it builds on and nothing else of the store: every other output is a pipe here, which nobody who opens it gets past.
#[cfg(unix)]
#[test]
fn a_stage_reads_its_own_inputs_alone_and_refuses_damaged_ones() {
    let place = Place::new();
    place.succeed(&FIGURES);
    let plan = plan(&place);
    let nodes = plan["nodes"].as_array().unwrap();
    let similarity = nodes.iter().find(|n| n["kind"] == "similarity").unwrap();
    let [entry] = place.entries("similarity").try_into().unwrap();
    let others = place.entries("umap");
    assert!(!others.is_empty());
    for other in &others {
        let output = other.join("output.json");
        fs::remove_file(&output).unwrap();
        let made = Command::new("mkfifo").arg(&output).status().unwrap();
        assert!(made.success());
    }
    // All figures, as if the stage were of all: their lists are made too.
    let mut words = words(&similarity["command"]);
    words.extend(FIGURES.map(String::from));
    let run = || {
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .current_dir("/")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > Duration::from_secs(240) {
                child.kill().unwrap();
                panic!("it reads what it does not build on");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.wait_with_output().unwrap()
    };
    // Finished already, then made again.
    for _ in 0..2 {
        let output = run();
        assert!(output.status.success(), "{}", stderr(&output));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("finished: similarity"), "{said}");
        assert!(entry.join("stage.json").exists());
        fs::remove_file(entry.join("stage.json")).unwrap();
    }
    // Damage of what it builds on, also where only a checkpoint is damaged.
    let [training] = place.entries("train").try_into().unwrap();
    for name in ["run/metrics.jsonl", "output.json"] {
        let file = training.join(name);
        let whole = fs::read(&file).unwrap();
        fs::write(&file, b"damaged").unwrap();
        let output = run();
        assert!(!output.status.success(), "{name}");
        let message = stderr(&output);
        assert!(
            message.contains("damaged") && message.contains(name),
            "{message}"
        );
        fs::write(&file, whole).unwrap();
    }
    assert!(run().status.success());
}

#[test]
fn unusable_names_stores_and_programs_are_refused() {
    let place = Place::new();
    for (arguments, wanted) in [
        (&["stage"][..], "wants a key"),
        (&["stage", "fig3"], "names no stage"),
        (
            &["stage", "0123456789abcdef", "fig2"],
            "plan or submit again",
        ),
        (
            &["stage", "0123456789abcdef", "--expect-store", "x"],
            "all nodes share",
        ),
        (
            &["plan", "--expect-program", "0123456789abcdef"],
            "two versions",
        ),
        (&["export", "make"], "snakemake"),
        (&["cancel"], "nothing was submitted"),
        (&["--executor", "slurm"], "--store"),
        (&["--executor", "pbs", "--store", "s"], "slurm"),
        (
            &["--executor", "slurm", "--store", "s", "--time", "soon"],
            "12:00:00",
        ),
    ] {
        let output = place.run(arguments);
        assert!(!output.status.success(), "{arguments:?} was accepted");
        let message = stderr(&output);
        assert!(message.contains(wanted), "{arguments:?}: {message}");
        assert!(!message.contains("panicked"), "{message}");
    }
}

/// Commands that look like Slurm's: what they are asked is written down; `queue` holds what squeue says.
#[cfg(unix)]
fn pretend_slurm(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder.join("slurm");
    fs::create_dir_all(&folder).unwrap();
    let at = folder.display();
    for (name, does) in [
        (
            "sbatch",
            format!(
                "echo \"$*\" >>{at}/asked; n=$(grep -c . {at}/asked); [ -e {at}/refuses ] && {{ cat {at}/refuses >&2; exit 1; }}; echo $n"
            ),
        ),
        ("squeue", format!("cat {at}/queue 2>/dev/null; exit 0")),
        ("scancel", format!("echo \"$*\" >>{at}/cancelled")),
        ("sinfo", "echo short; echo long".to_owned()),
    ] {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn what_is_missing_is_submitted_once_in_arrays_that_wait_for_their_inputs() {
    let place = Place::new();
    pretend_slurm(&place.path(""));
    let path = format!(
        "{}:{}",
        place.path("slurm").display(),
        std::env::var("PATH").unwrap()
    );
    let run = |arguments: &[&str]| {
        let mut all = vec!["--store", "store"];
        all.extend(arguments);
        place.command(&all).env("PATH", &path).output().unwrap()
    };
    let submit = |figures: &[&str]| {
        let mut arguments = figures.to_vec();
        arguments.extend([
            "--executor",
            "slurm",
            "--partition",
            "short",
            "--time",
            "30",
        ]);
        run(&arguments)
    };
    let text = |name: &str| fs::read_to_string(place.path("slurm").join(name)).unwrap_or_default();
    fs::write(
        place.path("slurm/refuses"),
        "sbatch: error: invalid partition specified: short\n",
    )
    .unwrap();
    let output = submit(&["fig4"]);
    assert!(
        stderr(&output).contains("one of long, short"),
        "{}",
        stderr(&output)
    );
    fs::remove_file(place.path("slurm/refuses")).unwrap();
    fs::remove_file(place.path("slurm/asked")).unwrap();

    let output = submit(&["fig4"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let asked = text("asked");
    let lines: Vec<&str> = asked.lines().collect();
    for line in &lines {
        for flag in [
            "--partition=short",
            "--time=",
            "--mem=",
            "--cpus-per-task=2",
            "--requeue",
            "--kill-on-invalid-dep=yes",
            "--signal=B:TERM@60",
        ] {
            assert!(line.contains(flag), "no {flag} in {line}");
        }
    }
    let (draw, arrays) = lines.split_last().unwrap();
    assert!(!draw.contains("--array") && draw.contains("--dependency=afterok:"));
    assert!(arrays.iter().all(|line| line.contains("--array=")));
    // The widths with each other; rewindings of the one main training after its task.
    let of_kind = |kind: &str| -> Vec<&&str> {
        let comment = format!("--comment={kind} ");
        arrays.iter().filter(|l| l.contains(&comment)).collect()
    };
    let geometry = of_kind("geometry");
    assert!(!geometry.is_empty());
    assert!(
        geometry.iter().all(|l| l.contains("--dependency=after")),
        "{geometry:?}"
    );
    assert!(
        geometry
            .iter()
            .any(|l| l.contains("--dependency=aftercorr:")),
        "{asked}"
    );
    assert!(
        of_kind("rewind")
            .iter()
            .all(|l| l.contains("--dependency=afterok:"))
    );
    assert!(of_kind("train").iter().all(|l| !l.contains("--dependency")));

    // All of it waits: nothing is submitted again.
    let queue: String = (1..=lines.len())
        .flat_map(|job| (0..40).map(move |task| format!("{job}_{task}|PENDING|Dependency\n")))
        .chain([format!("{}|PENDING|Dependency\n", lines.len())])
        .collect();
    fs::write(place.path("slurm/queue"), queue).unwrap();
    let output = submit(&["fig4"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("nothing was submitted"),
        "{said}{}",
        stderr(&output)
    );
    assert_eq!(text("asked"), asked);
    let status = run(&["status", "fig4"]);
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(
        said.contains("0 running") && said.contains("0 failed"),
        "{said}"
    );

    // One training failed, its dependants were taken back by Slurm: status names its log.
    fs::write(place.path("slurm/queue"), "1_0|FAILED|NonZeroExitCode\n").unwrap();
    let status = run(&["status", "fig4"]);
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(said.contains("job 1_0, FAILED; no log"), "{said}");
    assert!(said.contains("held up"), "{said}");
    let output = submit(&["fig4"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(text("asked").lines().count() > lines.len());
    fs::write(place.path("slurm/queue"), "9_0|RUNNING|None\n").unwrap();
    let output = run(&["cancel", "fig4"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(text("cancelled").contains("9_0"));
}

#[test]
fn a_snakefile_is_named_by_hashes_and_never_by_time() {
    let place = Place::new();
    let export = |file: &str| place.run(&["export", "snakemake", "fig2", "--to", file]);
    let output = export("Snakefile");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = fs::read_to_string(place.path("Snakefile")).unwrap();
    let rules = text
        .lines()
        .filter(|line| line.starts_with("rule s_"))
        .count();
    assert_eq!(rules, 3, "{text}");
    for line in text
        .lines()
        .filter(|line| line.starts_with("    input: ") && !line.contains("draw-"))
    {
        assert!(line.starts_with("    input: ancient("), "{line}");
    }
    assert!(export("Snakefile").status.success());
    assert_eq!(fs::read_to_string(place.path("Snakefile")).unwrap(), text);
    // Nor does anything run because the study advanced: training had its best epoch at one that is measured anyway.
    let export = |file: &str| place.run(&["export", "snakemake", "fig3", "--to", file]);
    let said = |file: &str| -> Vec<String> {
        assert!(export(file).status.success());
        let text = fs::read_to_string(place.path(file)).unwrap();
        let names = text.lines().filter(|line| {
            let words = ["rule", "input:", "output:", "shell:", "ancient("];
            words.iter().any(|word| line.trim_start().starts_with(word))
        });
        names.map(str::to_owned).collect()
    };
    let before = said("before");
    place.succeed(&["fig3"]);
    let plan = place.succeed(&["plan", "fig3", "--format", "json"]);
    assert!(plan.contains("not-needed"), "{plan}");
    assert!(said("after") == before);
    fs::write(place.path("mine"), "rule all:\n").unwrap();
    let output = export("mine");
    assert!(stderr(&output).contains("--to"), "{}", stderr(&output));
    assert_eq!(
        fs::read_to_string(place.path("mine")).unwrap(),
        "rule all:\n"
    );
}
