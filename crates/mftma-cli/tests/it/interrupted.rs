//! Analyses that end before they are whole, or that nobody listens to: what was finished is kept.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::common::*;

fn parse(case: &Case, name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(case.path(name)).unwrap()).unwrap()
}

/// Notes that cannot be said do not keep the result from being written.
#[cfg(target_os = "linux")]
#[test]
fn nobody_need_listen() {
    let case = Case::new();
    // As many points as features, which makes a note.
    case.npy(
        "x.npy",
        &[POINTS, POINTS],
        &values(1).repeat(3)[..POINTS * POINTS],
    );
    case.write("y.txt", lines());
    for (args, code) in [
        ("analyze x.npy --labels y.txt --n-t 20 -o e.json", 0),
        ("analyze x.npy --labels nowhere.txt", 3),
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let status = Command::new(env!("CARGO_BIN_EXE_mftma"))
            .args(args.split(' '))
            .current_dir(case.0.path())
            .stderr(full.unwrap())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(code), "{args}");
    }
    assert!(notes(&parse(&case, "e.json")).contains("as many points as features"));
}

/// A terminal that closes hangs up: the program gets SIGHUP and can say nothing more.
#[test]
fn a_closed_terminal_loses_nothing() {
    let case = Case::new();
    let bins = 400;
    let x: Vec<f32> = (0..bins).flat_map(values).collect();
    case.npy("x.npy", &[POINTS, bins as usize, FEATURES], &x);
    case.write("y.txt", lines());
    let analyze =
        "analyze x.npy --labels y.txt --time-axis 1 --measures mean-field --n-t 2000 -o e.json";
    let Some(output) = in_terminal(&case, analyze, "bin [1-9][0-9]") else {
        return;
    };
    assert_eq!(output.status.code(), Some(130), "{:?}", texts(&output));
    let partial = parse(&case, "e.json.partial");
    assert_eq!(partial["complete"], false);
    assert!(names(&partial).len() >= 9);
}

/// The program, stopped by signals after so long.
fn stopped(case: &Case, args: &str, after: Duration) -> Output {
    let child = case
        .command(env!("CARGO_BIN_EXE_mftma"))
        .args(args.split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    // A closing terminal sends several.
    for signal in ["-TERM", "-HUP"] {
        let mut kill = Command::new("kill");
        let sent = kill.args([signal, &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
    child.wait_with_output().unwrap()
}

/// Going on from what an interrupted run left, to be interrupted again: nothing of the first run is lost, and the second's is kept.
#[test]
fn a_second_interruption_keeps_both() {
    let case = Case::new();
    case.npy("layers/a.npy", &[POINTS, FEATURES], &values(1));
    // The middle one takes hours, the last is finished beforehand.
    case.npy("layers/c.npy", &[POINTS, FEATURES], &values(3));
    case.write("y.txt", lines());
    let long = "--target-error 1e-7 --max-n-t 2000000000";
    let analyze = "analyze layers --labels y.txt --measures mean-field";
    case.succeeds(&format!("{analyze} --n-t 20 -o whole.json"));
    case.npy("layers/b.npy", &[POINTS, FEATURES], &values(2));
    // As if an endless run had been interrupted after a and c.
    let mut partial = parse(&case, "whole.json");
    partial["settings"]["target-error"] = 1e-7.into();
    partial["settings"]["max-n-t"] = 2_000_000_000.into();
    partial["settings"]["n-t"] = 200.into();
    case.write("r.json.partial", partial.to_string());
    let again = format!("{analyze} {long} --resume r.json.partial -o r.json");
    for _ in 0..2 {
        let output = stopped(&case, &again, Duration::from_millis(700));
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(130), "{err}");
        assert!(err.contains("r.json.partial"), "{err}");
        assert_eq!(names(&parse(&case, "r.json.partial")), ["a", "c"]);
    }
    // Who does not go on from it is told before the work.
    let before = std::fs::read(case.path("r.json.partial")).unwrap();
    case.fails(
        &format!("{analyze} {long} -o r.json"),
        4,
        &[
            "r.json.partial exists already",
            "--resume with that file",
            "--force",
        ],
    );
    assert_eq!(std::fs::read(case.path("r.json.partial")).unwrap(), before);
    // A remedy that the other commands do not have is not proposed.
    let capacity = case.run("capacity layers --simulate --labels y.txt -o r.json");
    let (_, err) = texts(&capacity);
    assert_eq!(capacity.status.code(), Some(4), "{err}");
    assert!(
        err.contains("--force") && !err.contains("--resume"),
        "{err}"
    );
}

/// `nohup`, and `&` in a script, have signals ignored: they stay so.
#[test]
fn what_was_ignored_at_the_start_stays_ignored() {
    let case = Case::new();
    case.layer();
    let long = "analyze x.npy --labels y.txt --target-error 1e-7 --max-n-t 2000000000";
    let mut child = case
        .command("sh")
        .args(["-c", "trap '' HUP INT; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_mftma"))
        .args(long.split(' '))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id().to_string();
    let send = |signal: &str| {
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success(), "{signal}");
    };
    std::thread::sleep(Duration::from_millis(700));
    for signal in ["-HUP", "-INT"] {
        send(signal);
        std::thread::sleep(Duration::from_millis(1500));
        assert!(child.try_wait().unwrap().is_none(), "{signal}");
    }
    send("-TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{:?}", texts(&output));
}

/// Ctrl-C in a pipeline ends who reads, too: what was finished is kept as on a full disk. Without a signal, a reader that has seen enough
/// does not keep failures from being told.
#[test]
fn a_closed_pipe_loses_nothing_of_an_interrupted_run() {
    let case = Case::new();
    let x: Vec<f32> = (0..400).flat_map(values).collect();
    case.npy("x.npy", &[POINTS, 400, FEATURES], &x);
    case.write("y.txt", lines());
    let piped = |args: &str| {
        let mut child = case
            .command(env!("CARGO_BIN_EXE_mftma"))
            .args(args.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        child
    };
    let analyze = "analyze x.npy --labels y.txt --time-axis 1 --measures mean-field --n-t 8000";
    let child = piped(&format!("{analyze} --format json"));
    std::thread::sleep(Duration::from_millis(1500));
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(130), "{err}");
    let kept = case.1.path().join("mftma-result.json");
    for words in [kept.to_str().unwrap(), "interrupted:"] {
        assert!(err.contains(words), "{err}");
    }
    let kept = serde_json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
    assert!(!names(&kept).is_empty());

    case.npy("layers/a.npy", &[POINTS, FEATURES], &values(1));
    let none = [f32::NAN; POINTS * FEATURES];
    case.npy("layers/b.npy", &[POINTS, FEATURES], &none);
    let child = piped("analyze layers --labels y.txt --n-t 20");
    let output = child.wait_with_output().unwrap();
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(err.contains("1 of 2 layers"), "{err}");
}

/// Results that cannot be written are told of, also after an interruption.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_said_after_an_interruption() {
    let case = Case::new();
    let x: Vec<f32> = (0..400).flat_map(values).collect();
    case.npy("x.npy", &[POINTS, 400, FEATURES], &x);
    case.write("y.txt", lines());
    let analyze = "analyze x.npy --labels y.txt --time-axis 1 --measures mean-field --n-t 2000";
    let output = stopped(
        &case,
        &format!("{analyze} --format json -o /dev/full"),
        Duration::from_millis(700),
    );
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    for words in ["cannot write /dev/full", "interrupted:"] {
        assert!(err.contains(words), "{err}");
    }
}

/// Folders `a` and `b` of two layers each: a small one, and one whose bytes never come, so that its step looks at no signal.
fn waiting() -> Case {
    let case = Case::new();
    case.write("y.txt", lines());
    for folder in ["a", "b"] {
        case.npy(
            &format!("{folder}/one.npy"),
            &[POINTS, FEATURES],
            &values(1),
        );
    }
    let description = serde_json::json!({
        "zarr_format": 2, "shape": [POINTS, FEATURES], "chunks": [POINTS, FEATURES], "dtype": "<f4", "order": "C",
        "compressor": null, "filters": null, "fill_value": 0.0,
    });
    case.write("a/two.zarr/.zarray", description.to_string());
    let pipe = Command::new("mkfifo")
        .arg(case.path("a/two.zarr/0.0"))
        .status();
    assert!(pipe.unwrap().success());
    case
}

/// What was finished is written, also where the program stands in a step that looks at no signal.
#[test]
fn a_signal_in_a_step_that_does_not_look_loses_nothing() {
    let case = waiting();
    for (args, list, said) in [
        (
            "analyze a --labels y.txt --n-t 20",
            "layers",
            "1 of 2 finished (one)",
        ),
        (
            "capacity a --simulate --labels y.txt --dichotomies 5",
            "layers",
            "1 of 2 finished (one)",
        ),
        (
            "compare a b",
            "comparisons",
            "1 of 2 finished (one against one)",
        ),
    ] {
        let wait = Duration::from_millis(1000);
        let output = stopped(&case, &format!("{args} -o r.json"), wait);
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(130), "{args}: {err}");
        assert!(
            err.contains(said) && err.contains("r.json.partial"),
            "{args}: {err}"
        );
        assert!(!case.path("r.json").exists(), "{args}");
        let partial = parse(&case, "r.json.partial");
        assert_eq!(partial["complete"], false, "{args}");
        assert_eq!(partial[list].as_array().unwrap().len(), 1, "{args}");
        std::fs::remove_file(case.path("r.json.partial")).unwrap();
        // Without a file, to the terminal.
        let output = stopped(&case, args, wait);
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(130), "{args}: {err}");
        assert!(
            out.lines()
                .nth(1)
                .is_some_and(|line| line.starts_with("one ")),
            "{args}: {out}"
        );
    }
}

/// Layers of the first run that the second does not ask for are kept for the third.
#[test]
fn what_was_not_asked_for_is_carried_along() {
    let case = waiting();
    for (name, seed) in [("a/zero.npy", 2), ("a/stale.npy", 3)] {
        case.npy(name, &[POINTS, FEATURES], &values(seed));
    }
    let analyze = "analyze a --labels y.txt --n-t 20";
    case.succeeds(&format!("{analyze} --layers zero,stale -o first.json"));
    let first = parse(&case, "first.json");
    std::fs::rename(case.path("first.json"), case.path("r.json.partial")).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    case.npy("a/stale.npy", &[POINTS, FEATURES], &values(4));
    let resume = "--resume r.json.partial -o r.json";
    let output = stopped(
        &case,
        &format!("{analyze} --layers one,two,stale {resume}"),
        Duration::from_millis(1000),
    );
    assert_eq!(output.status.code(), Some(130), "{:?}", texts(&output));
    let partial = parse(&case, "r.json.partial");
    // What was written to since is no longer that layer.
    assert_eq!(names(&partial), ["one", "zero"]);
    assert_eq!(partial["layers"][1], first["layers"][0]);
    let (_, err) = case.succeeds(&format!("{analyze} --layers one,zero {resume}"));
    assert!(err.contains("2 of 2 layers taken over"), "{err}");
    assert_eq!(names(&parse(&case, "r.json")), ["one", "zero"]);
}
