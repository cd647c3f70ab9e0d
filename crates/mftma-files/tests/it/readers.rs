//! Files written by NumPy and by safetensors' Python package (see `fixtures/make.py`), value by value.

use mftma_files::array::{Layout, Matrix};
use mftma_files::error::InputError;
use mftma_files::read::{self, Entry, labels, natural_order};

use crate::common::{OPTIONS, fixture, number};

fn entry(file: &str, name: &str) -> Entry {
    let mut entries = read::open(&fixture(file)).unwrap();
    let at = entries.iter().position(|e| e.name == name).unwrap();
    entries.swap_remove(at)
}

/// Reads an array, some points out of order and some features, in both precisions.
#[track_caller]
fn check(entry: Entry, layout: Layout, expected: impl Fn(usize, usize) -> f64) {
    let matrix = Matrix::new(entry.load(OPTIONS).unwrap(), layout).unwrap();
    assert_eq!((matrix.n_points(), matrix.n_features()), (6, 8));
    let points = [5, 0, 3];
    for range in [0..8, 2..5, 7..8] {
        let wide = matrix.gather::<f64>(&points, range.clone());
        let narrow = matrix.gather::<f32>(&points, range.clone());
        assert_eq!(wide.dim(), (3, range.len()));
        for (row, &i) in points.iter().enumerate() {
            for (column, j) in range.clone().enumerate() {
                assert_eq!(
                    wide[[row, column]],
                    expected(i, j),
                    "point {i}, feature {j}"
                );
                assert_eq!(f64::from(narrow[[row, column]]), expected(i, j));
            }
        }
    }
    let (wide, narrow) = (matrix.view::<f64>(), matrix.view::<f32>());
    for (i, j) in (0..6).flat_map(|i| (0..8).map(move |j| (i, j))) {
        assert!(wide.is_none_or(|all| all[[i, j]] == expected(i, j)));
        assert!(narrow.is_none_or(|all| f64::from(all[[i, j]]) == expected(i, j)));
    }
}

#[test]
fn only_native_rows_are_used_where_they_lie() {
    let views = |name: &str, layout| {
        let entry = entry(&format!("{name}.npy"), name);
        let matrix = Matrix::new(entry.load(OPTIONS).unwrap(), layout).unwrap();
        (
            matrix.view::<f32>().is_some(),
            matrix.view::<f64>().is_some(),
        )
    };
    let rows = Layout::PointsByFeatures;
    assert_eq!(views("numbers_float32", rows), (true, false));
    assert_eq!(views("numbers_float64", rows), (false, true));
    for name in ["numbers_int64", "numbers_big_endian", "numbers_fortran"] {
        assert_eq!(views(name, rows), (false, false), "{name}");
    }
    let columns = views("numbers_float64", Layout::FeaturesByPoints);
    assert_eq!(columns, (false, false));
}

#[test]
fn every_number_type() {
    for name in [
        "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16",
        "uint32", "uint64",
    ] {
        let file = format!("numbers_{name}");
        let entry = entry(&format!("{file}.npy"), &file);
        assert_eq!(entry.info.as_ref().unwrap().element.to_string(), name);
        check(entry, Layout::PointsByFeatures, number);
    }
    check(
        entry("numbers_bool.npy", "numbers_bool"),
        Layout::PointsByFeatures,
        |i, j| number(i, j) % 2.0,
    );
}

#[test]
fn every_order_and_header_version() {
    for name in [
        "numbers_big_endian",
        "numbers_fortran",
        "numbers_4d",
        "numbers_version2",
        "numbers_version3",
    ] {
        check(
            entry(&format!("{name}.npy"), name),
            Layout::PointsByFeatures,
            number,
        );
    }
    check(
        entry("numbers_transposed.npy", "numbers_transposed"),
        Layout::FeaturesByPoints,
        number,
    );
    // Features of a Fortran-ordered array of more axes come in file order: axes 1, 2, 3 with the first fastest.
    check(
        entry("numbers_4d_fortran.npy", "numbers_4d_fortran"),
        Layout::PointsByFeatures,
        |i, j| number(i, (j & 1) * 4 + (j & 2) + (j >> 2)),
    );
}

#[test]
fn archives_keep_their_order_and_values() {
    for file in ["numbers_stored.npz", "numbers_deflated.npz"] {
        let entries = read::open(&fixture(file)).unwrap();
        let names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(entries[0].is_compressed(), file.contains("deflated"));
        check(entry(file, "b"), Layout::PointsByFeatures, number);
        check(entry(file, "a"), Layout::PointsByFeatures, |i, j| {
            number(i, j) + 1.0
        });
    }
}

#[test]
fn safetensors_in_natural_order() {
    let entries = read::open(&fixture("numbers.safetensors")).unwrap();
    let listed: Vec<String> = entries
        .iter()
        .map(|e| format!("{} {}", e.name, e.info.as_ref().unwrap().element))
        .collect();
    assert_eq!(
        listed,
        [
            "layer1 bfloat16",
            "layer2 float16",
            "layer10 float32",
            "steps int64"
        ]
    );
    for entry in entries {
        check(entry, Layout::PointsByFeatures, number);
    }
}

#[test]
fn folders_are_layers() {
    let entries = read::open(&fixture("layers")).unwrap();
    let names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["conv2", "conv10"]);
}

#[test]
fn positions_are_told_in_the_arrays_own_axes() {
    let matrix = |file: &str| {
        let entry = read::open(&fixture(file)).unwrap().remove(0);
        Matrix::new(entry.load(OPTIONS).unwrap(), Layout::PointsByFeatures).unwrap()
    };
    assert_eq!(matrix("numbers_4d.npy").index_of(5, 6), [5, 1, 1, 0]);
    assert_eq!(
        matrix("numbers_4d_fortran.npy").index_of(5, 6),
        [5, 0, 1, 1]
    );
}

#[test]
fn labels_in_every_form() {
    let expected = labels::read(&fixture("labels.npy").to_string_lossy(), 96, OPTIONS).unwrap();
    assert_eq!(expected.names.len(), 12);
    assert_eq!(expected.names[10], "10");
    assert_eq!(expected.counts(), [8; 12]);
    for reference in [
        "labels_float.npy",
        "labels.txt",
        "labels.csv::label",
        "labels_one_column.csv",
        "layers_stored.npz::labels",
        "layers.safetensors::labels",
    ] {
        let labels = labels::read(&fixture(reference).to_string_lossy(), 96, OPTIONS).unwrap();
        assert_eq!(labels.names, expected.names, "{reference}");
        assert_eq!(labels.classes, expected.classes, "{reference}");
    }
    for reference in ["labels_text.npy", "labels_bytes.npy"] {
        let labels = labels::read(&fixture(reference).to_string_lossy(), 96, OPTIONS).unwrap();
        assert_eq!(labels.names[10], "class 10", "{reference}");
        assert_eq!(labels.classes, expected.classes, "{reference}");
    }
}

/// A blank line is a label that is missing, at the end none; nothing shifts without a word.
#[test]
fn blank_lines_and_headings_shift_no_label() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, text: &str, n: usize| {
        let path = folder.path().join(name.split("::").next().unwrap());
        std::fs::write(path, text).unwrap();
        let reference = folder.path().join(name);
        labels::read(&reference.to_string_lossy(), n, OPTIONS)
    };
    for name in ["y.csv", "y.txt", "y.tsv", "y"] {
        for (text, expected) in [
            ("label\n0\n\n1\n", "0 NA 1"),
            ("label\r\n0\r\n\r\n1\r\n", "0 NA 1"),
            ("label\n0\n  \n1\n\n \n", "0 NA 1"),
            ("0\n\n1", "0 NA 1"),
            ("\n0\n1\n2", "0 1 2"),
            ("0\n1\n2\n\n\n", "0 1 2"),
        ] {
            let labels = read(name, text, 3).unwrap();
            let found: Vec<&str> = labels.classes.iter().map(|&c| &*labels.names[c]).collect();
            assert_eq!(found.join(" "), expected, "{name}: {text:?}");
            assert!(labels.heading.is_none(), "{name}: {text:?}");
        }
        // Any of these may be the one that is too many.
        for (text, words) in [
            (
                "label\n0\n\n1\n\n0\n",
                "6 lines for 3 points, 2 of them blank",
            ),
            ("0\n\n1\n\n0\n", "5 lines for 3 points, 2 of them blank"),
            ("0\n1\n\n0\n", "4 lines for 3 points, 1 of them blank"),
        ] {
            refused(read(name, text, 3), &[words, "NA", "grep"]);
        }
        // pandas heads a column without a name so, which is one of its classes.
        let labels = read(name, "0\n0\n1\n1\n", 3).unwrap();
        assert_eq!(labels.classes, [0, 1, 1], "{name}");
        assert!(
            labels.notes(&[])[0].contains("\"0\", was taken for the heading"),
            "{name}"
        );
    }
    let labels = read("y.csv::label", "label\na\n\nb\n", 3).unwrap();
    assert_eq!(labels.names, ["NA", "a", "b"]);
    // Within quotation marks a blank line is part of a name.
    let labels = read("y.csv", "label\n\"a\n\nb\"\n\n\"\"\n", 3);
    assert_eq!(labels.unwrap().classes, [1, 0, 0]);
    // Rows of several columns have their number by themselves.
    let labels = read("y.csv::label", "i,label\n1,a\n\n2,b\n", 2).unwrap();
    assert_eq!(labels.names, ["a", "b"]);
}

#[track_caller]
fn refused(outcome: Result<impl Sized, InputError>, words: &[&str]) {
    let Err(error) = outcome else {
        panic!("accepted, though it should say {words:?}")
    };
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn refusals_say_why_and_what_to_do() {
    let open = |name: &str| read::open(&fixture(name));
    refused(
        open("refused_object.npy"),
        &["object", "run code", "numpy.save"],
    );
    refused(open("refused_complex.npy"), &["complex", ".real"]);
    refused(
        open("refused_structured.npy"),
        &["structured", "x['field']"],
    );
    refused(open("refused_bfloat16.npy"), &["bfloat16", "safetensors"]);
    refused(open("missing.npy"), &["missing.npy", "spelling"]);
    refused(open("make.py"), &["activations are numbers"]);
    // One unusable array leaves the others usable.
    let entries = open("refused_object.npz").unwrap();
    assert!(entries[0].info.is_ok());
    refused(
        entries.into_iter().nth(1).unwrap().load(OPTIONS),
        &["array \"bad\"", "object"],
    );

    let labels = |name: &str, n| labels::read(&fixture(name).to_string_lossy(), n, OPTIONS);
    refused(
        labels("labels.npy", 95),
        &["96 labels for 95 points", "one label per point"],
    );
    refused(labels("labels_one_hot.npy", 96), &["argmax"]);
    refused(labels("labels.csv", 96), &["2 columns", "::COLUMN"]);
    refused(
        labels("labels.csv::class", 96),
        &["no column \"class\"", "image,label"],
    );
    refused(
        labels("layers_stored.npz", 96),
        &["several arrays", "::NAME"],
    );
    refused(labels("refused_not_finite.npy", 6), &["shape"]);
}

#[test]
fn numbers_in_names_count_as_numbers() {
    let mut names = ["b1", "a10", "a9", "a", "a010x", "a10x", "a009"];
    names.sort_by(|a, b| natural_order(a, b).then_with(|| a.cmp(b)));
    assert_eq!(names, ["a", "a009", "a9", "a10", "a010x", "a10x", "b1"]);
}
