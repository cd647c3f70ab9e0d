//! Analyses that end before they are whole, or that nobody listens to: what was finished is kept.

use std::process::{Command, Stdio};

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
    // Of a terminal of its own it waits for the tenth layer, then closes it.
    const HANG_UP: &str = "
import os, pty, re, sys
program, master = pty.fork()
if program == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen = b''
while not re.search(rb'bin [1-9][0-9]', seen):
    seen += os.read(master, 4096)
os.close(master)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]))
";
    let python = |args: &[&str]| {
        Command::new("python3")
            .args(args)
            .stdin(Stdio::null())
            .output()
    };
    if !python(&["-c", "import pty"]).is_ok_and(|output| output.status.success()) {
        eprintln!("no python3 with terminals here, so that this was not tried");
        return;
    }
    let case = Case::new();
    let bins = 400;
    let x: Vec<f32> = (0..bins).flat_map(values).collect();
    case.npy("x.npy", &[POINTS, bins as usize, FEATURES], &x);
    case.write("y.txt", lines());
    let analyze =
        "analyze x.npy --labels y.txt --time-axis 1 --measures mean-field --n-t 2000 -o e.json";
    let mut command = Command::new("python3");
    command.args(["-c", HANG_UP, env!("CARGO_BIN_EXE_mftma")]);
    command.args(analyze.split(' ')).current_dir(case.0.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{:?}", texts(&output));
    let partial = parse(&case, "e.json.partial");
    assert_eq!(partial["complete"], false);
    assert!(names(&partial).len() >= 9);
}
