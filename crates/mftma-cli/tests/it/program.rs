//! The program itself, run on files as a user would.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../mftma-files/tests/fixtures")
        .join(name)
        .display()
        .to_string()
}

fn mftma<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mftma"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Ends well and gives standard output.
#[track_caller]
fn succeeds<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    let output = mftma(args);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

/// Ends with this exit code and says these words.
#[track_caller]
fn fails<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>, code: i32, words: &[&str]) {
    let output = mftma(args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

fn analyze(extra: &[&str]) -> Vec<String> {
    let mut args = vec![
        "analyze".to_owned(),
        fixture("layers"),
        "--labels".into(),
        fixture("labels.npy"),
        "--n-t".into(),
        "50".into(),
    ];
    args.extend(extra.iter().map(|&s| s.to_owned()));
    args
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn path(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

#[test]
fn a_table_has_a_row_per_layer() {
    let text = succeeds(analyze(&[]));
    let rows: Vec<&str> = text.lines().collect();
    assert!(rows[0].starts_with("layer"), "{text}");
    assert!(
        rows[1].starts_with("conv2 ") && rows[2].starts_with("conv10 "),
        "{text}"
    );
    assert!(
        text.contains("12 classes of 8 points each; kappa 0, n_t 50, seed 0"),
        "{text}"
    );
}

#[test]
fn json_records_settings_and_every_class() {
    let value = json(&succeeds(analyze(&["--format", "json", "--kappa", "0.1"])));
    assert_eq!(value["complete"], true);
    assert_eq!(value["settings"]["kappa"], 0.1);
    assert_eq!(value["settings"]["n-t"], 50);
    assert_eq!(value["settings"]["convention"], "ours");
    assert_eq!(value["classes"].as_array().unwrap().len(), 12);
    let layers = value["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for layer in layers {
        assert_eq!(layer["geometry"]["features"], 40);
        assert_eq!(layer["geometry"]["manifolds"].as_array().unwrap().len(), 12);
    }
    // The later layer was made with centres further apart.
    let capacity = |i: usize| layers[i]["geometry"]["capacity"]["value"].as_f64().unwrap();
    assert!(
        capacity(1) > 1.5 * capacity(0),
        "{} {}",
        capacity(0),
        capacity(1)
    );
}

/// All formats hold the same values, so the same results must come out, to the last digit.
#[test]
fn every_format_gives_the_same_numbers() {
    let run = |file: &str, labels: &str| {
        let args = [
            "analyze",
            &fixture(file),
            "--labels",
            &fixture(labels),
            "--n-t",
            "20",
            "--format",
            "json",
            "--layers",
            "conv2,conv10",
        ]
        .map(str::to_owned);
        let value = json(&succeeds(args));
        let layers = value["layers"].as_array().unwrap().clone();
        layers
            .into_iter()
            .map(|l| l["geometry"].clone())
            .collect::<Vec<_>>()
    };
    let expected = run("layers", "labels.npy");
    assert_eq!(run("layers_stored.npz", "labels.csv::label"), expected);
    assert_eq!(run("layers_deflated.npz", "labels.txt"), expected);
    assert_eq!(run("layers.safetensors", "labels_float.npy"), expected);
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let with = |threads: &str| {
        let mut value = json(&succeeds(analyze(&[
            "--format",
            "json",
            "--threads",
            threads,
        ])));
        value["settings"]["threads"] = 0.into();
        value
    };
    assert_eq!(with("1"), with("3"));
}

#[test]
fn csv_has_full_precision_and_settings() {
    let text = succeeds(analyze(&["--format", "csv", "--seed", "7"]));
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let column = |name: &str| headers.iter().position(|h| h == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(&rows[0][column("setting_seed")], "7");
    assert_eq!(&rows[0][column("setting_layout")], "points-by-features");
    let value = json(&succeeds(analyze(&["--format", "json", "--seed", "7"])));
    for (row, layer) in rows.iter().zip(value["layers"].as_array().unwrap()) {
        let capacity: f64 = row[column("capacity")].parse().unwrap();
        assert_eq!(
            Some(capacity),
            layer["geometry"]["capacity"]["value"].as_f64()
        );
    }
    let classes = succeeds(analyze(&["--format", "csv", "--rows", "classes"]));
    assert_eq!(classes.lines().count(), 1 + 2 * 12);
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_holds_what_csv_holds() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    let folder = folder();
    let file = path(&folder, "out.parquet");
    succeeds(analyze(&["--output", file.to_str().unwrap()]));
    let text = succeeds(analyze(&["--format", "csv"]));
    let mut csv = csv::Reader::from_reader(text.as_bytes());
    let headers = csv.headers().unwrap().clone();
    let reader = SerializedFileReader::new(std::fs::File::open(file).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    let mut count = 0;
    for (row, record) in rows.zip(csv.records()) {
        let (row, record) = (row.unwrap(), record.unwrap());
        count += 1;
        for ((name, field), (header, cell)) in
            row.get_column_iter().zip(headers.iter().zip(&record))
        {
            assert_eq!(name, header);
            // Settings are of their own types.
            match header {
                "setting_n_t" => assert!(matches!(field, Field::Long(_))),
                "setting_kappa" => assert!(matches!(field, Field::Double(_))),
                "setting_points" => assert!(matches!(field, Field::Null)),
                _ => {}
            }
            match field {
                Field::Str(text) => assert_eq!(text, cell),
                Field::Long(n) => assert_eq!(n.to_string(), cell),
                Field::Double(x) => assert_eq!(Ok(*x), cell.parse()),
                Field::Null => assert_eq!(cell, ""),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(count, 2);
}

/// Parquet goes to pipes and files, not to a terminal.
#[cfg(all(feature = "parquet", unix))]
#[test]
fn parquet_is_kept_from_terminals_only() {
    use crate::common::{Case, in_terminal, texts};
    let case = Case::new();
    case.layer();
    let analyze = "analyze x.npy --labels y.txt --n-t 20 --quiet --format parquet";
    for args in [analyze.to_owned(), format!("{analyze} -o -")] {
        let output = case.run(&args);
        assert!(output.status.success(), "{args}: {:?}", texts(&output));
        assert!(output.stdout.starts_with(b"PAR1") && output.stdout.ends_with(b"PAR1"));
        if let Some(output) = in_terminal(&case, &args, "$never") {
            let (said, _) = texts(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(
                said.contains("not for the terminal") && said.contains("--output results.parquet")
            );
        }
    }
    case.succeeds(&format!("{analyze} --output results.parquet"));
}

#[test]
fn the_plot_is_an_svg_of_four_panels_for_each_kind_of_measures() {
    let folder = folder();
    let plot = path(&folder, "plot.svg");
    let drawn = |measures: &[&str]| {
        succeeds(analyze(
            &[&["--force", "--plot", plot.to_str().unwrap()], measures].concat(),
        ));
        std::fs::read_to_string(&plot).unwrap()
    };
    let svg = drawn(&["--measures", "mean-field"]);
    assert_eq!(svg.matches("<polyline").count(), 4);
    assert_eq!(svg.matches("fill-opacity").count(), 4);
    let svg = drawn(&[]);
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    for word in [
        "Capacity",
        "Radius",
        "Dimension",
        "Centre correlation",
        "conv10",
    ] {
        assert!(svg.contains(word), "{word}");
    }
    assert_eq!(svg.matches("<polyline").count(), 2 * 4);
    assert_eq!(svg.matches("fill-opacity").count(), 2 * 4);
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn a_config_file_is_the_same_as_flags() {
    let folder = folder();
    let config = path(&folder, "settings.toml");
    std::fs::write(
        &config,
        "kappa = 1\nseed = 5\npoints = 6\nn-t = 999\nonly-classes = [\"1\", \"2\", \"10\"]\n",
    )
    .unwrap();
    let from_file = json(&succeeds(analyze(&[
        "--format",
        "json",
        "--config",
        config.to_str().unwrap(),
    ])));
    let from_flags = json(&succeeds(analyze(&[
        "--format",
        "json",
        "--kappa",
        "1",
        "--seed",
        "5",
        "--points",
        "6",
        "--only-classes",
        "1,2,10",
    ])));
    // --n-t was given as a flag, so it wins over the file.
    assert_eq!(from_file["settings"]["n-t"], 50);
    assert_eq!(from_file, from_flags);
    assert_eq!(from_file["classes"][0]["points"], 6);

    std::fs::write(&config, "kapa = 1\n").unwrap();
    fails(
        analyze(&["--config", config.to_str().unwrap()]),
        2,
        &["settings.toml", "kapa"],
    );
    std::fs::write(&config, "kappa = \"much\"\n").unwrap();
    fails(
        analyze(&["--config", config.to_str().unwrap()]),
        2,
        &["settings.toml"],
    );
    std::fs::write(&config, "points = -3\n").unwrap();
    fails(
        analyze(&["--config", config.to_str().unwrap()]),
        2,
        &["settings.toml"],
    );
    std::fs::write(&config, "spectrum = 7\n").unwrap();
    fails(
        analyze(&["--config", config.to_str().unwrap()]),
        2,
        &["settings.toml", "spectrum is 7"],
    );
    fails(analyze(&["--config", "nowhere.toml"]), 2, &["nowhere.toml"]);
}

#[test]
fn nothing_is_overwritten_without_force() {
    let folder = folder();
    let file = path(&folder, "out.json");
    std::fs::write(&file, "precious").unwrap();
    let name = file.to_str().unwrap();
    fails(
        analyze(&["--output", name]),
        4,
        &["exists already", "--force"],
    );
    let plot = path(&folder, "out.svg");
    std::fs::write(&plot, "precious").unwrap();
    fails(
        analyze(&["--plot", plot.to_str().unwrap()]),
        4,
        &["exists already"],
    );
    std::fs::remove_file(plot).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    succeeds(analyze(&["--output", name, "--force"]));
    assert_eq!(
        json(&std::fs::read_to_string(&file).unwrap())["complete"],
        true
    );
    // No temporary file is left behind.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    fails(
        analyze(&["--output", "/nowhere/out.json"]),
        1,
        &["/nowhere/out.json"],
    );
}

#[test]
fn errors_name_file_value_and_remedy() {
    let with = |activations: &str, labels: &str| {
        [
            "analyze",
            &fixture(activations),
            "--labels",
            &fixture(labels),
        ]
        .map(str::to_owned)
    };
    fails(
        with("layers", "labels_one_class.npy"),
        3,
        &["labels_one_class.npy", "only one class (0)", "two or more"],
    );
    fails(
        with("layers/conv2.npy", "labels_one_hot.npy"),
        3,
        &["argmax"],
    );
    fails(
        with("refused_object.npy", "labels.npy"),
        3,
        &["refused_object.npy", "run code"],
    );
    fails(
        with("numbers_float32.npy", "labels.npy"),
        3,
        &["96 labels for 6 points"],
    );
    fails(with("missing.npy", "labels.npy"), 3, &["missing.npy"]);
    fails(with("layers", "missing.csv"), 3, &["missing.csv"]);
    fails(
        with("labels.npy", "labels.npy"),
        3,
        &["two or more axes", "labels (96 int64)"],
    );
    fails(
        analyze(&["--layers", "conv3"]),
        3,
        &["no array \"conv3\"", "conv2, conv10"],
    );
    fails(
        analyze(&["--layout", "features-by-points"]),
        3,
        &["2 points, but layer \"conv2\" has 40", "--layout"],
    );
    fails(analyze(&["--classes", "99"]), 3, &["there are 12"]);
    fails(
        analyze(&["--only-classes", "1,cat"]),
        3,
        &["no class \"cat\""],
    );
    fails(analyze(&["--n-t", "0"]), 2, &["--n-t"]);
    fails(analyze(&["--kappa", "nan"]), 2, &["--kappa"]);
    fails(
        analyze(&["--classes", "1"]),
        2,
        &["--classes", "at least 2"],
    );
    fails(analyze(&["--target-error", "2"]), 2, &["--target-error"]);
    fails(["analyze"], 2, &["ACTIVATIONS", "--labels"]);
    fails(["analyse"], 2, &["analyze"]);
}

#[test]
fn values_that_are_not_finite_are_counted_and_placed() {
    let folder = folder();
    let labels = path(&folder, "y.txt");
    std::fs::write(&labels, "0\n0\n0\n1\n1\n1\n").unwrap();
    fails(
        [
            "analyze",
            &fixture("refused_not_finite.npy"),
            "--labels",
            labels.to_str().unwrap(),
        ],
        3,
        &[
            "refused_not_finite.npy",
            "1 NaN and 2 infinite values among the 48",
            "inf at index [2, 5] (point 2)",
        ],
    );
}

/// One bad layer does not lose the others.
#[test]
fn good_layers_are_written_beside_bad_ones() {
    let output = mftma([
        "analyze",
        &fixture("refused_object.npz"),
        &fixture("numbers_float32.npy"),
        "--labels",
        &{
            let file =
                std::env::temp_dir().join(format!("mftma-labels-{}.txt", std::process::id()));
            std::fs::write(&file, "0\n1\n0\n1\n0\n1\n").unwrap();
            file.display().to_string()
        },
        "--format",
        "json",
        "--n-t",
        "10",
    ]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let value = json(&stdout(&output));
    assert_eq!(value["complete"], false);
    assert_eq!(value["layers"].as_array().unwrap().len(), 2);
    assert_eq!(value["failed"][0]["layer"], "refused_object/bad");
    assert!(
        stderr(&output).contains("1 of 3 layers"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn compare_gives_one_for_itself() {
    let value = json(&succeeds([
        "compare",
        &fixture("layers"),
        &fixture("layers.safetensors"),
        "--format",
        "json",
    ]));
    let rows = value["comparisons"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        let same = row["layer_a"] == row["layer_b"];
        for measure in ["cka", "svcca", "pwcca"] {
            let x = row[measure].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&x));
            assert_eq!(same, (x - 1.0).abs() < 1e-9, "{measure} {row}");
        }
    }
    fails(
        [
            "compare",
            &fixture("layers"),
            &fixture("numbers_float32.npy"),
        ],
        3,
        &["6 points", "96"],
    );
    fails(
        [
            "compare",
            &fixture("layers"),
            &fixture("layers"),
            "--variance",
            "0",
        ],
        2,
        &["--variance"],
    );
}

#[test]
fn info_tells_shapes_types_classes_and_cost() {
    let text = succeeds([
        "info",
        &fixture("layers_deflated.npz"),
        "--labels",
        &fixture("labels_text.npy"),
    ]);
    for word in [
        "96 x 40 float32",
        "compressed",
        "12 classes",
        "class 10: 8 points",
        "Gflop",
    ] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    let text = succeeds(["info", &fixture("refused_object.npz")]);
    assert!(
        text.contains("cannot be used") && text.contains("run code"),
        "{text}"
    );
    fails(["info", &fixture("make.py")], 3, &["make.py"]);
}

/// Every flag of output, and every variable of the environment, stands in the document that users read.
#[test]
fn the_document_names_flags_of_output_and_the_environment() {
    let document = include_str!("../../README.md");
    let help = succeeds(["analyze", "--help"]);
    let (_, output) = help.split_once("\nOutput:\n").unwrap();
    let (output, _) = output.split_once("\nSettings").unwrap();
    let flags = output.lines().filter_map(|line| {
        let flag = line
            .split("--")
            .nth(1)
            .filter(|_| line.trim_start().starts_with('-'))?;
        flag.split([' ', ',']).next()
    });
    let flags: Vec<String> = flags.map(|flag| format!("--{flag}")).collect();
    assert!(flags.len() > 5, "{flags:?}");
    let variables = [mftma::simd::VARIABLE, "TMPDIR"];
    for name in flags.iter().map(String::as_str).chain(variables) {
        assert!(document.contains(name), "{name} is not in README.md");
    }
}

#[test]
fn completions_and_manual_page() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(succeeds(["completions", shell]).contains("analyze"));
    }
    let page = succeeds(["man"]);
    assert!(
        page.contains(".TH mftma 1") && page.contains("mftma\\-analyze"),
        "{page}"
    );
    assert!(page.contains("Exit codes"));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mftma"))
        .args(["man"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(stderr(&output), "");
}

/// Ctrl-C in the middle of a long analysis: within a second, with what was finished.
#[cfg(unix)]
#[test]
fn ctrl_c_says_what_was_finished() {
    use std::io::Read;
    use std::time::{Duration, Instant};
    let folder = folder();
    let out = path(&folder, "out.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_mftma"))
        .args(analyze(&[
            "--output",
            out.to_str().unwrap(),
            "--max-n-t",
            "2000000000",
            "--target-error",
            "1e-7",
        ]))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let signal = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(signal.success());
    let pressed = Instant::now();
    let status = child.wait().unwrap();
    // A second is promised on an idle machine; tests share theirs.
    assert!(pressed.elapsed() < Duration::from_secs(10));
    assert_eq!(status.code(), Some(130));
    let mut text = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(text.contains("interrupted: none of 2 finished"), "{text}");
    assert!(!out.exists());
}

#[test]
fn capacity_by_simulation_is_near_the_mean_field_value() {
    let simulated = json(&succeeds([
        "capacity",
        "--simulate",
        &fixture("layers"),
        "--labels",
        &fixture("labels.npy"),
        "--format",
        "json",
    ]));
    let mean_field = json(&succeeds(analyze(&["--format", "json"])));
    for (simulated, mean_field) in simulated["layers"]
        .as_array()
        .unwrap()
        .iter()
        .zip(mean_field["layers"].as_array().unwrap())
    {
        let (a, b) = (
            simulated["simulated_capacity"].as_f64().unwrap(),
            mean_field["geometry"]["capacity"]["value"]
                .as_f64()
                .unwrap(),
        );
        // Twelve classes are few for the theory; the order of size is what must hold.
        assert!(
            (0.5..2.0).contains(&(a / b)),
            "simulated {a}, mean field {b}"
        );
    }
    fails(
        ["capacity", &fixture("layers"), "--labels", "y"],
        2,
        &["--simulate"],
    );
}
