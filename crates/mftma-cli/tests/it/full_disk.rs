//! Results on a full disk: an error that names the file, and what stood there before stands still.

use std::process::Output;

use crate::common::*;

/// Runs the program where no file may grow beyond so many blocks of 512 bytes: every write beyond fails with an error, as on a full disk.
fn limited(case: &Case, blocks: u32, args: &str) -> Output {
    case.command("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""])
        .arg(blocks.to_string())
        .arg(env!("CARGO_BIN_EXE_mftma"))
        .args(args.split_whitespace())
        .output()
        .unwrap()
}

fn names(case: &Case) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let entries = std::fs::read_dir(case.0.path()).unwrap().map(name);
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_stood_there_stands_still() {
    let case = Case::new();
    case.layer();
    let analyze = "analyze x.npy --labels y.txt --n-t 20 --quiet --force";
    case.succeeds(&format!("{analyze} -o earlier.json --seed 1"));
    let mut failures = 0;
    for (file, args) in [
        ("r.txt", format!("{analyze} -o r.txt")),
        ("r.csv", format!("{analyze} -o r.csv")),
        ("r.json", format!("{analyze} -o r.json")),
        #[cfg(feature = "parquet")]
        ("r.parquet", format!("{analyze} -o r.parquet")),
        ("p.svg", format!("{analyze} --plot p.svg")),
        ("p.png", format!("{analyze} --plot p.png")),
        ("p.pdf", format!("{analyze} --plot p.pdf")),
        // Its own result, taken up and replaced.
        (
            "earlier.json",
            format!("{analyze} --seed 1 --resume earlier.json -o earlier.json"),
        ),
        ("c.csv", "compare x.npy x.npy --force -o c.csv".to_owned()),
        (
            "s.csv",
            "capacity x.npy --simulate --labels y.txt --force -o s.csv".to_owned(),
        ),
    ] {
        if !case.path(file).exists() {
            case.write(file, b"as it was");
        }
        let before = std::fs::read(case.path(file)).unwrap();
        let listed = names(&case);
        let mut whole = false;
        for blocks in [0, 1, 2, 4, 8, 16, 32, 64, 4096] {
            let output = limited(&case, blocks, &args);
            assert_eq!(names(&case), listed, "{args}, {blocks} blocks");
            whole = output.status.success();
            if whole {
                break;
            }
            failures += 1;
            let (_, err) = texts(&output);
            assert!(
                err.contains(&format!("cannot write {file}"))
                    && err.contains("check the free space")
                    && err.contains("os error")
                    && !err.contains("panicked"),
                "{args}, {blocks} blocks: {err}"
            );
            assert_eq!(
                std::fs::read(case.path(file)).unwrap(),
                before,
                "{args}, {blocks} blocks"
            );
        }
        assert!(whole, "{args}: not written with 2 MiB either");
        let after = std::fs::read(case.path(file)).unwrap();
        assert!(
            !after.is_empty() && after != b"as it was",
            "{args} wrote nothing"
        );
    }
    assert!(
        failures > 0,
        "this system does not limit the size of files, so that nothing was tried"
    );
}

/// A device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_an_error() {
    let case = Case::new();
    case.layer();
    for format in ["table", "csv", "json"] {
        let analyze = format!("analyze x.npy --labels y.txt --n-t 20 --quiet --format {format}");
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = case
            .command(env!("CARGO_BIN_EXE_mftma"))
            .args(analyze.split_whitespace())
            .stdout(full)
            .output()
            .unwrap();
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{format}: {err}");
        assert!(
            err.contains("standard output") && err.contains("os error"),
            "{format}: {err}"
        );
        case.fails(
            &format!("{analyze} -o /dev/full"),
            1,
            &["cannot write /dev/full", "os error"],
        );
    }
}

/// A result that cannot be written where it should be is kept elsewhere, and the layers that failed are told all the same.
#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_kept() {
    let case = Case::new();
    case.npy("layers/a.npy", &[POINTS, FEATURES], &values(1));
    case.npy(
        "layers/b.npy",
        &[POINTS, FEATURES],
        &[f32::NAN; POINTS * FEATURES],
    );
    case.write("y.txt", lines());
    let parse = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    let analyze = "analyze layers --labels y.txt --n-t 20 --format json";
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    // In the folder of temporary files; a second one does not take the place of the first.
    for (args, kept) in [
        (format!("{analyze} -o /dev/full"), "mftma-full"),
        (format!("{analyze} -o /dev/full"), "mftma-1-full"),
        (analyze.to_owned(), "mftma-result.json"),
    ] {
        let mut command = case.command(env!("CARGO_BIN_EXE_mftma"));
        let output = command
            .args(args.split(' '))
            .stdout(full())
            .output()
            .unwrap();
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{args}: {err}");
        let path = case.1.path().join(kept);
        for words in ["os error", "b.npy", path.to_str().unwrap()] {
            assert!(err.contains(words), "{args}: {words:?} is not in {err}");
        }
        assert_eq!(
            crate::common::names(&parse(&std::fs::read(path).unwrap())),
            ["a"]
        );
    }
    // A plot is drawn all the same.
    case.fails(
        &format!("{analyze} -o /dev/full --plot p.svg"),
        1,
        &["cannot write /dev/full"],
    );
    assert!(case.path("p.svg").exists());
    // Where there is no room either, on standard output.
    let output = limited(&case, 1, &format!("{analyze} -o full.json"));
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(
        err.contains("cannot write full.json") && err.contains("standard output"),
        "{err}"
    );
    assert!(err.contains("b.npy"), "{err}");
    assert_eq!(crate::common::names(&parse(&output.stdout)), ["a"]);
    assert!(!case.path("full.json").exists());
}

/// A limit on the size of files ends no program before its result is kept.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_of_files_is_an_error_by_itself() {
    let case = Case::new();
    case.layer();
    let before = names(&case);
    let output = case
        .command("sh")
        .args(["-c", "ulimit -f 1; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_mftma"))
        .args("analyze x.npy --labels y.txt --n-t 20 -o r.json".split(' '))
        .output()
        .unwrap();
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(
        err.contains("cannot write r.json") && err.contains("standard output"),
        "{err}"
    );
    let value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(crate::common::names(&value), ["x"]);
    assert_eq!(names(&case), before);
}
