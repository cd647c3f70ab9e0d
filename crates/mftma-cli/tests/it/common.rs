//! Small files that tests make, and the program run on them.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub const CLASSES: usize = 4;
pub const PER_CLASS: usize = 6;
pub const POINTS: usize = CLASSES * PER_CLASS;
pub const FEATURES: usize = 10;

/// A folder, and one for temporary files.
pub struct Case(pub TempDir, pub TempDir);

/// The signals that tests send are not ignored in the programs that they start, though whoever runs the tests (`nohup`) had them so.
#[cfg(unix)]
#[allow(unsafe_code)]
fn heed_signals() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        for one in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // SAFETY: no handler is installed.
            unsafe { signal(one, SigHandler::SigDfl) }.unwrap();
        }
    });
}

#[cfg(not(unix))]
fn heed_signals() {}

impl Case {
    pub fn new() -> Self {
        heed_signals();
        Self(tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// The points of a layer, as NumPy writes them.
    pub fn npy(&self, name: &str, shape: &[usize], values: &[f32]) {
        let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.bytes());
        file.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        self.write(name, file);
    }

    /// A layer and its labels under the names that most tests use.
    pub fn layer(&self) {
        self.npy("x.npy", &[POINTS, FEATURES], &values(1));
        self.write("y.txt", lines());
    }

    pub fn run(&self, args: &str) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_mftma"));
        command.args(args.split_whitespace()).output().unwrap()
    }

    /// A program in the folder.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path());
        command.env("TMPDIR", self.1.path()).stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub fn succeeds(&self, args: &str) -> (String, String) {
        let output = self.run(args);
        let (out, err) = texts(&output);
        assert!(output.status.success(), "{args}: {err}");
        (out, err)
    }

    #[track_caller]
    pub fn fails(&self, args: &str, code: i32, words: &[&str]) {
        let output = self.run(args);
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "{args}: {err}");
        for word in words {
            assert!(err.contains(word), "{args}: {word:?} is not in: {err}");
        }
        assert!(!err.contains("panicked"), "{err}");
    }

    /// The JSON of an analysis, and standard error.
    #[track_caller]
    pub fn analyze(&self, args: &str) -> (serde_json::Value, String) {
        let (out, err) = self.succeeds(&format!("analyze {args} --n-t 20 --format json"));
        (serde_json::from_str(&out).unwrap(), err)
    }

    #[track_caller]
    pub fn layers(&self, args: &str) -> Vec<String> {
        names(&self.analyze(args).0)
    }
}

/// The program in a terminal of its own, which closes when what it says matches `until`; all that it said is standard output then. `None`
/// where there is no Python with terminals, so that nothing was tried.
#[cfg(unix)]
pub fn in_terminal(case: &Case, args: &str, until: &str) -> Option<Output> {
    const TERMINAL: &str = "
import os, pty, re, sys
program, master = pty.fork()
if program == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen = b''
while not re.search(sys.argv[1].encode(), seen):
    try:
        seen += os.read(master, 4096)
    except OSError:
        break
os.close(master)
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(program, 0)[1]))
";
    let mut python = case.command("python3");
    let there = python
        .args(["-c", "import pty; pty.fork, pty.os.waitstatus_to_exitcode"])
        .output();
    if !there.is_ok_and(|output| output.status.success()) {
        eprintln!("no python3 with terminals here: not tried is `mftma {args}`");
        return None;
    }
    let mut python = case.command("python3");
    python.args(["-c", TERMINAL, until, env!("CARGO_BIN_EXE_mftma")]);
    Some(python.args(args.split_whitespace()).output().unwrap())
}

pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

pub fn names(value: &serde_json::Value) -> Vec<String> {
    let layers = value["layers"].as_array().unwrap();
    let name = |layer: &serde_json::Value| layer["layer"].as_str().unwrap().to_owned();
    layers.iter().map(name).collect()
}

pub fn notes(value: &serde_json::Value) -> String {
    value["notes"].to_string()
}

pub fn measures(value: &serde_json::Value) -> &serde_json::Value {
    &value["layers"][0]["geometry"]["manifolds"]
}

/// Clouds about one centre per class.
pub fn values(seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut draw = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let centres: Vec<f32> = (0..CLASSES * FEATURES).map(|_| 2.0 * draw()).collect();
    (0..POINTS * FEATURES)
        .map(|i| centres[i / FEATURES / PER_CLASS * FEATURES + i % FEATURES] + draw())
        .collect()
}

pub fn labels() -> impl Iterator<Item = usize> {
    (0..POINTS).map(|i| i / PER_CLASS)
}

pub fn lines() -> String {
    labels().map(|c| format!("{c}\n")).collect()
}
