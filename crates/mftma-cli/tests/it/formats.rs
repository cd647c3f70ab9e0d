//! The same activations in every format, from files and from a pipe, by the real program.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../mftma-files/tests/fixtures")
        .join(name)
        .display()
        .to_string()
}

fn mftma(args: &str, stdin: Stdio) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mftma"))
        .args(args.split_whitespace())
        .current_dir(fixture(""))
        .stdin(stdin)
        .output()
        .unwrap()
}

#[track_caller]
fn succeeds(args: &str, stdin: Stdio) -> String {
    let output = mftma(args, stdin);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args}: {err}");
    String::from_utf8(output.stdout).unwrap()
}

/// The layers of an analysis as JSON.
#[track_caller]
fn analyze(args: &str, stdin: Stdio) -> Vec<serde_json::Value> {
    let args = format!("analyze {args} --n-t 20 --resamples 0 --format json");
    let value: serde_json::Value = serde_json::from_str(&succeeds(&args, stdin)).unwrap();
    value["layers"].as_array().unwrap().clone()
}

/// Capacity, radius and dimension of every class: the number types differ between formats, their values do not.
#[track_caller]
fn same(layer: &serde_json::Value, expected: &serde_json::Value) {
    let (a, b) = (
        &layer["geometry"]["manifolds"],
        &expected["geometry"]["manifolds"],
    );
    let (a, b) = (a.as_array().unwrap(), b.as_array().unwrap());
    assert_eq!((a.len(), b.len()), (3, 3));
    for (a, b) in a.iter().zip(b) {
        for measure in ["capacity", "radius", "dimension"] {
            let value = |of: &serde_json::Value| of[measure]["value"].as_f64().unwrap();
            let (a, b) = (value(a), value(b));
            assert!((a - b).abs() <= 1e-6 * b.abs(), "{measure}: {a} and {b}");
        }
    }
}

const PLAIN: &str = "numbers_float32.npy --labels numbers_many.pt::labels";

#[test]
fn every_format_gives_the_same_measures() {
    let expected = &analyze(PLAIN, Stdio::null())[0];
    for args in [
        "numbers_plain.csv --labels numbers_many.pt::labels",
        "numbers_spaces.txt --labels numbers_many.pt::labels",
        "numbers_pandas.csv --labels numbers_pandas.csv::label",
        "numbers.pt --labels numbers_many.pt::labels",
        "numbers_many.pt --layers strided --labels numbers_many.pt::labels",
        "numbers_v5.mat --layers x --labels numbers_v5.mat::labels",
        "numbers_v5_compressed.mat --labels numbers_v5_compressed.mat::labels",
        #[cfg(feature = "hdf5")]
        "numbers_v73.mat --labels numbers_v73.mat::labels",
        #[cfg(feature = "hdf5")]
        "numbers_earliest.h5 --layers gzip --labels numbers_earliest.h5::labels",
        #[cfg(feature = "hdf5")]
        "numbers_latest.h5 --layers plain --labels numbers_latest.h5::fixed",
        #[cfg(feature = "parquet")]
        "numbers.parquet --labels numbers_labelled.parquet::label",
        #[cfg(feature = "zarr")]
        "numbers_v2.zarr --layers default --labels numbers_v2.zarr::labels",
        #[cfg(feature = "zarr")]
        "numbers_v3.zarr/default --labels numbers_v3.zarr::labels",
    ] {
        let layers = analyze(args, Stdio::null());
        assert_eq!(layers.len(), 1, "{args}");
        same(&layers[0], expected);
    }
}

#[test]
fn a_pipe_is_read_as_a_file_is() {
    let open = |name: &str| Stdio::from(File::open(fixture(name)).unwrap());
    let expected = &analyze(PLAIN, Stdio::null())[0];
    let piped = analyze(
        "- --labels numbers_many.pt::labels",
        open("numbers_float32.npy"),
    );
    assert_eq!(piped[0]["layer"], "stdin");
    assert_eq!(piped[0]["geometry"], expected["geometry"]);
    let piped = analyze(
        "- --layers conv1 --labels -::labels",
        open("numbers_many.pt"),
    );
    same(&piped[0], expected);
    let piped = analyze("- --labels -::label", open("numbers_pandas.csv"));
    same(&piped[0], expected);
    let piped = analyze("numbers_float32.npy --labels -", open("labels_six.txt"));
    same(&piped[0], expected);
    let compared = succeeds("compare - numbers_plain.csv", open("numbers.pt"));
    assert!(compared.contains("stdin"), "{compared}");
    let listed = succeeds("info - --labels -::label", open("numbers_pandas.csv"));
    assert!(
        listed.contains("6 x 8 float64") && listed.contains("3 classes"),
        "{listed}"
    );
}

/// An axis of time gives a layer for each bin, as if each had been saved by itself.
#[test]
fn a_time_axis_gives_a_layer_for_each_bin() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, shape: &str, values: &[u8]| {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.bytes());
        file.extend(values);
        std::fs::write(folder.path().join(name), file).unwrap();
        folder.path().join(name).display().to_string()
    };
    let values: Vec<u8> = (0..6 * 2 * 8u32)
        .map(|i| (i * i * 7919 % 101) as u8)
        .collect();
    let all = write("all.npy", "(6, 2, 8)", &values);
    let bin = |t: usize| -> Vec<u8> {
        let rows = values.chunks(16).map(|row| &row[8 * t..8 * t + 8]);
        rows.flatten().copied().collect()
    };
    let labels = "--labels numbers_many.pt::labels";
    let found = analyze(&format!("{all} --time-axis 1 {labels}"), Stdio::null());
    assert_eq!(found.len(), 2);
    for (t, layer) in found.iter().enumerate() {
        assert_eq!(layer["layer"], format!("all [bin {t}]"));
        let alone = write(&format!("bin{t}.npy"), "(6, 8)", &bin(t));
        same(
            layer,
            &analyze(&format!("{alone} {labels}"), Stdio::null())[0],
        );
    }
    let table = succeeds(&format!("info {all} --time-axis 1 {labels}"), Stdio::null());
    assert!(
        table.contains("all [bin 1]") && table.contains("a time bin"),
        "{table}"
    );
    let compared = succeeds(&format!("compare {all} {all} --time-axis 1"), Stdio::null());
    assert!(compared.contains("all [bin 1]"), "{compared}");
    let simulated = succeeds(
        &format!("capacity --simulate {all} --time-axis 1 {labels} --dichotomies 5"),
        Stdio::null(),
    );
    assert!(simulated.contains("all [bin 1]"), "{simulated}");
    for (args, code, word) in [
        (
            format!("analyze {all} --time-axis 7 {labels}"),
            3,
            "--time-axis 7",
        ),
        (
            format!("analyze {all} --time-axis 1 --layout one-array-per-class"),
            2,
            "--time-axis 1 with",
        ),
    ] {
        let output = mftma(&args, Stdio::null());
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{err}");
        assert!(err.contains(word), "{err}");
    }
}

/// What a pickle asks for is named and not done.
#[test]
fn pickles_that_ask_for_code_are_refused() {
    for (file, word) in [
        ("refused_code.pt", ".print`"),
        ("refused_numpy.pt", "`numpy."),
        ("refused_before_code.pt", ".print`"),
        ("refused.pkl", "pickle"),
    ] {
        let output = mftma(&format!("info {file}"), Stdio::null());
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{err}");
        assert!(err.contains(word), "{err}");
        assert!(output.stdout.is_empty());
    }
}
