//! Files that other programs wrote (h5py, scipy, torch, pyarrow, zarr; see `fixtures/make.py`), value by value.

use mftma_files::array::{Layout, Matrix};
use mftma_files::read::{self, Entry, labels};

use crate::common::{OPTIONS, fixture, number};

fn open(file: &str) -> Vec<Entry> {
    read::open(&fixture(file)).unwrap()
}

fn take(entries: &mut Vec<Entry>, name: &str) -> Entry {
    let Some(at) = entries.iter().position(|e| e.name == name) else {
        let names: Vec<&String> = entries.iter().map(|e| &e.name).collect();
        panic!("no {name:?} among {names:?}")
    };
    entries.swap_remove(at)
}

/// Every value of an entry of six points.
#[track_caller]
fn check(entry: Entry, described: &str, n_features: usize, value: impl Fn(usize, usize) -> f64) {
    let name = entry.name.clone();
    assert_eq!(entry.info.as_ref().unwrap().describe(), described, "{name}");
    let matrix = Matrix::new(entry.load(OPTIONS).unwrap(), Layout::PointsByFeatures).unwrap();
    let features = matrix.n_features();
    assert_eq!((matrix.n_points(), features), (6, n_features), "{name}");
    let points: Vec<usize> = (0..6).collect();
    let values = matrix.gather::<f64>(&points, 0..features);
    for ((i, j), &found) in values.indexed_iter() {
        assert_eq!(found, value(i, j), "{name}: point {i}, feature {j}");
    }
    if let Some(view) = matrix.view::<f32>() {
        assert_eq!(view.mapv(f64::from), values, "{name}");
    }
}

#[track_caller]
fn refused(outcome: Result<impl Sized, impl std::fmt::Display>, words: &[&str]) {
    let Err(error) = outcome else {
        panic!("accepted, though it should say {words:?}")
    };
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[track_caller]
fn same_labels(references: &[&str]) {
    for reference in references {
        let path = fixture(reference);
        let labels = labels::read(&path.to_string_lossy(), 6, OPTIONS).unwrap();
        assert_eq!(labels.classes, [0, 1, 2, 0, 1, 2], "{reference}");
    }
}

#[test]
fn the_first_bytes_tell_the_format() {
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "numbers_float32.npy",
        "numbers_stored.npz",
        "numbers.safetensors",
        "numbers.pt",
        "numbers_plain.csv",
        "numbers_v5.mat",
        #[cfg(feature = "hdf5")]
        "numbers_v73.mat",
        #[cfg(feature = "parquet")]
        "numbers.parquet",
    ] {
        let renamed = folder.path().join("file.dat");
        std::fs::copy(fixture(file), &renamed).unwrap();
        let list = |entries: Vec<Entry>| -> Vec<String> {
            let mut shapes: Vec<String> = entries
                .iter()
                .map(|e| e.info.as_ref().map_or(String::new(), |i| i.describe()))
                .collect();
            shapes.sort();
            shapes
        };
        assert_eq!(
            list(read::open(&renamed).unwrap()),
            list(open(file)),
            "{file}"
        );
    }
    std::fs::write(folder.path().join("file.dat"), b"\x1f\x8b\x08\x00").unwrap();
    refused(read::open(&folder.path().join("file.dat")), &["gunzip"]);
    std::fs::write(folder.path().join("file.dat"), b"\x00\x01\x02\xff").unwrap();
    refused(
        read::open(&folder.path().join("file.dat")),
        &["no known format", "numpy.save"],
    );
}

#[test]
fn text_in_every_form() {
    for (file, described) in [
        ("numbers_plain.csv", "6 x 8 float64"),
        ("numbers_spaces.txt", "6 x 8 float64"),
        ("numbers_heading.tsv", "6 x 8 float64"),
        ("numbers_counted.csv", "6 x 8 float64"),
        ("numbers_semicolons.csv", "6 x 8 float64"),
    ] {
        let entry = open(file).remove(0);
        assert_eq!(entry.stored(), "text");
        check(entry, described, 8, number);
    }
    // A column of labels is no feature; the row numbers of pandas are none either.
    let mut entry = open("numbers_pandas.csv").remove(0);
    refused(
        entry.info.as_ref(),
        &["\"label\"", "\"class 0\"", "numbers_pandas.csv::label"],
    );
    assert!(!entry.drop_column("unit9"));
    assert!(entry.drop_column("label"));
    check(entry, "6 x 8 float64", 8, number);
    same_labels(&["numbers_pandas.csv::label"]);
}

#[test]
fn text_that_is_no_table_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let mut entries = read::open(&path)?;
        entries.remove(0).load(OPTIONS)
    };
    refused(read("1,2\n3\n"), &["row 1", "1 values", "has 2"]);
    refused(read("1,2\n3,4\n5\n"), &["row 2", "1 values"]);
    refused(read("1,2\n3,4\n5,x\n"), &["row 2, column 1", "\"x\""]);
    refused(read("1,2\n3,\n"), &["row 1, column 1", "\"\""]);
    refused(read("a,b\n"), &["one line"]);
    refused(read("a b c\nd e f\n"), &["\"d e f\" holds no number"]);
    refused(read(""), &["empty"]);
    refused(read("# nothing\n"), &["no array"]);
    assert_eq!(
        read("# made by hand\n1,2\n\n3,4").unwrap().info().shape,
        [2, 2]
    );
    assert_eq!(read("\u{feff}1;2,5\n3;4\n").unwrap().info().shape, [2, 2]);
    assert_eq!(read("0 1\n5 6\n7  8\n").unwrap().info().shape, [2, 2]);
}

#[test]
fn pytorch_files_are_used_where_they_lie() {
    let entry = open("numbers.pt").remove(0);
    assert_eq!((entry.name.as_str(), entry.stored()), ("numbers", "mapped"));
    check(entry, "6 x 8 float32", 8, number);

    let mut entries = open("numbers_many.pt");
    for (name, described, stored) in [
        ("conv1", "6 x 8 float32", "mapped"),
        ("transposed", "6 x 8 float32, Fortran order", "mapped"),
        ("strided", "6 x 8 float32", "a view"),
        ("brain", "6 x 8 bfloat16", "mapped"),
        ("half", "6 x 8 float16", "mapped"),
        ("whole", "6 x 8 int64", "mapped"),
        ("wide", "6 x 8 uint16", "mapped"),
        ("more.0", "6 x 8 float32", "mapped"),
    ] {
        let entry = take(&mut entries, name);
        assert_eq!(entry.stored(), stored, "{name}");
        check(entry, described, 8, number);
    }
    let entry = take(&mut entries, "more.1.0");
    check(entry, "6 x 8 float32", 8, |i, j| number(i, j) + 1.0);
    for name in ["labels", "list", "names"] {
        same_labels(&[&format!("numbers_many.pt::{name}")]);
    }

    let mut entries = open("numbers_state.pth");
    check(take(&mut entries, "weight"), "6 x 8 float32", 8, number);
    assert_eq!(entries[0].name, "bias");
}

/// What asks for code is refused by its name, and none of it runs.
#[test]
fn pytorch_files_run_nothing() {
    refused(
        read::open(&fixture("refused_code.pt")),
        &[".print`", "run code", "torch.save"],
    );
    refused(read::open(&fixture("refused_numpy.pt")), &["`numpy."]);
    refused(
        read::open(&fixture("refused_before_code.pt")),
        &[".print`", "run code"],
    );
    refused(
        read::open(&fixture("refused.pkl")),
        &["pickle", "numpy.save"],
    );
}

#[test]
fn pytorch_files_from_before_archives() {
    let entry = open("numbers_before.pt").remove(0);
    assert_eq!(
        (entry.name.as_str(), entry.stored()),
        ("numbers_before", "mapped")
    );
    check(entry, "6 x 8 float32", 8, number);
    let mut entries = open("numbers_before_protocol_4.pt");
    check(take(&mut entries, "conv1"), "6 x 8 float32", 8, number);
    let mut entries = open("numbers_before_many.pt");
    for (name, described) in [
        ("conv1", "6 x 8 float32"),
        ("transposed", "6 x 8 float32, Fortran order"),
        ("brain", "6 x 8 bfloat16"),
        ("whole", "6 x 8 int64"),
        ("rows", "6 x 8 float32"),
        ("more.0", "6 x 8 float32"),
    ] {
        let entry = take(&mut entries, name);
        assert_eq!(entry.stored(), "mapped", "{name}");
        check(entry, described, 8, number);
    }
    let entry = take(&mut entries, "more.1.0");
    check(entry, "6 x 8 float32", 8, |i, j| number(i, j) + 1.0);
    for name in ["labels", "names"] {
        same_labels(&[&format!("numbers_before_many.pt::{name}")]);
    }
}

#[test]
fn matlab_5() {
    let mut entries = open("numbers_v5.mat");
    let names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["x", "bytes", "cube", "labels", "z"]);
    check(
        take(&mut entries, "x"),
        "6 x 8 float32, Fortran order",
        8,
        number,
    );
    check(
        take(&mut entries, "bytes"),
        "6 x 8 uint8, Fortran order",
        8,
        number,
    );
    // Features of an array of more axes come in file order: the second axis fastest.
    check(
        take(&mut entries, "cube"),
        "6 x 2 x 4 float32, Fortran order",
        8,
        |i, j| number(i, (j % 2) * 4 + j / 2),
    );
    refused(
        take(&mut entries, "z").load(OPTIONS),
        &["complex", "imag(x)"],
    );
    let mut entries = open("numbers_v5_compressed.mat");
    let entry = take(&mut entries, "x");
    assert_eq!(entry.stored(), "compressed");
    check(entry, "6 x 8 float32, Fortran order", 8, number);
    same_labels(&[
        "numbers_v5.mat::labels",
        "numbers_v5_compressed.mat::labels",
    ]);
}

#[cfg(feature = "hdf5")]
#[test]
fn hdf5() {
    for file in ["numbers_earliest.h5", "numbers_latest.h5"] {
        let mut entries = open(file);
        for (name, described, stored) in [
            ("plain", "6 x 8 float32", "mapped"),
            ("again", "6 x 8 float32", "mapped"),
            ("big", "6 x 8 int16, big-endian", "mapped"),
            ("group/half", "6 x 8 float16", "mapped"),
            ("gzip", "6 x 8 float32", "chunks"),
            ("growing", "6 x 8 float32", "chunks"),
        ] {
            let entry = take(&mut entries, name);
            assert_eq!(entry.stored(), stored, "{file}, {name}");
            check(entry, described, 8, number);
        }
        check(take(&mut entries, "yes"), "6 x 8 bool", 8, |i, j| {
            number(i, j) % 2.0
        });
        check(take(&mut entries, "lzf"), "6 x 128 int64", 128, |i, j| {
            number(i, j % 8)
        });
        for codec in ["blosc", "zstd"] {
            let entry = take(&mut entries, codec);
            check(entry, "6 x 512 float32", 512, |i, j| number(i, j % 8));
        }
        refused(
            take(&mut entries, "refused_lz4").load(OPTIONS),
            &["LZ4", "gzip"],
        );
        check(take(&mut entries, "part"), "6 x 8 float32", 8, |i, j| {
            if i < 3 { 7.0 } else { number(i, j) }
        });
        refused(take(&mut entries, "complex").load(OPTIONS), &["complex"]);
        // Text, single values and links to other files are no layers.
        assert!(entries.is_empty(), "{entries:?}");
        let path = fixture(file);
        for name in ["labels", "fixed"] {
            same_labels(&[&format!("{}::{name}", path.display())]);
        }
    }
    // Classes with names are numbers, of which h5py's bool is but one case.
    same_labels(&["labels_named.h5::kind"]);
    let mut entries = open("labels_named.h5");
    let kinds = take(&mut entries, "kind");
    assert_eq!(kinds.info.unwrap().describe(), "6 int8");
    let sides = take(&mut entries, "side");
    assert_eq!(sides.info.unwrap().describe(), "6 int16, big-endian");
}

/// MATLAB sees points x features where h5py sees features x points.
#[cfg(feature = "hdf5")]
#[test]
fn matlab_7_3() {
    let mut entries = open("numbers_v73.mat");
    check(
        take(&mut entries, "x"),
        "6 x 8 float32, Fortran order",
        8,
        number,
    );
    assert_eq!(entries.len(), 1, "{entries:?}");
    same_labels(&["numbers_v73.mat::labels"]);
}

#[cfg(feature = "parquet")]
#[test]
fn parquet() {
    check(
        open("numbers.parquet").remove(0),
        "6 x 8 float32, Fortran order",
        8,
        number,
    );
    let mut entry = open("numbers_labelled.parquet").remove(0);
    refused(
        entry.info.as_ref(),
        &["\"label\" holds text", "numbers_labelled.parquet::label"],
    );
    assert!(entry.drop_column("label"));
    check(entry, "6 x 9 float64, Fortran order", 9, |i, j| {
        if j < 8 { number(i, j) } else { (i % 3) as f64 }
    });
    same_labels(&[
        "numbers_labelled.parquet::label",
        "numbers_labelled.parquet::class",
    ]);
    // What pandas took from an index with a name is no feature, and may be the labels.
    check(
        open("numbers_indexed.parquet").remove(0),
        "6 x 8 float32, Fortran order",
        8,
        number,
    );
    same_labels(&["numbers_indexed.parquet::image class"]);
    // And so the layer stays where it holds the labels.
    let mut indexed = open("numbers_indexed.parquet").remove(0);
    assert!(indexed.drop_column("image class"));
    check(indexed, "6 x 8 float32, Fortran order", 8, number);
    let load = |file: &str| open(file).remove(0).load(OPTIONS);
    // As Polars packs unasked.
    check(
        open("numbers_zstd.parquet").remove(0),
        "6 x 1 float32, Fortran order",
        1,
        number,
    );
    refused(load("refused_missing.parquet"), &["\"a\"", "row 1"]);
}

#[cfg(feature = "zarr")]
#[test]
fn zarr() {
    for store in ["numbers_v2.zarr", "numbers_v3.zarr"] {
        let mut entries = open(store);
        check(take(&mut entries, "deep/plain"), "6 x 8 float32", 8, number);
        check(take(&mut entries, "default"), "6 x 8 float32", 8, number);
        check(take(&mut entries, "sparse"), "6 x 8 float64", 8, |i, j| {
            if i < 3 { 7.0 } else { number(i, j) }
        });
        same_labels(&[&format!("{store}::labels")]);
        take(&mut entries, "labels");
        for entry in entries {
            let name = entry.name.clone();
            if name.starts_with("refused") {
                refused(entry.load(OPTIONS), &["lzma", "without compression"]);
            } else if store == "numbers_v3.zarr" || name == "fortran" {
                check(entry, "6 x 8 float32", 8, number);
            } else {
                check(entry, "6 x 512 float64", 512, |i, j| number(i, j % 8));
            }
        }
    }
    // One array as a store of its own.
    let entry = read::open(&fixture("numbers_v3.zarr/deep/plain")).unwrap();
    check(
        entry.into_iter().next().unwrap(),
        "6 x 8 float32",
        8,
        number,
    );
}

/// A layer for each step of an axis, whatever the array's order and storage.
#[test]
fn time_bins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let text = "{'descr': '|u1', 'fortran_order': False, 'shape': (6, 3, 4), }\n";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.bytes());
    bytes.extend(0..72u8);
    std::fs::write(&path, bytes).unwrap();
    let bins = |axis| read::bins(read::open(&path).unwrap(), axis);
    for (t, bin) in bins(1).unwrap().into_iter().enumerate() {
        assert_eq!(bin.name, format!("x [bin {t}]"));
        check(bin, "6 x 4 uint8", 4, |i, j| (i * 12 + t * 4 + j) as f64);
    }
    for (t, bin) in bins(2).unwrap().into_iter().enumerate() {
        check(bin, "6 x 3 uint8", 3, |i, j| (i * 12 + j * 4 + t) as f64);
    }
    let first = bins(0).unwrap();
    assert_eq!(first.len(), 6);
    let array = first.into_iter().nth(5).unwrap().load(OPTIONS).unwrap();
    assert_eq!(array.data(), (60..72u8).collect::<Vec<_>>());
    refused(bins(3), &["--time-axis 3", "6 x 3 x 4"]);
    refused(
        read::bins(open("numbers_float32.npy"), 1),
        &["points, time and features"],
    );
    let mut cube = read::bins(open("numbers_v5.mat").drain(2..3).collect(), 2).unwrap();
    check(
        take(&mut cube, "cube [bin 3]"),
        "6 x 2 float32",
        2,
        |i, j| number(i, j * 4 + 3),
    );
}

/// Text beside arrays is labels and names, not activations.
#[test]
fn folders_of_text() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to) in [
        ("numbers_plain.csv", "conv1.csv"),
        ("numbers_spaces.txt", "conv2.txt"),
        ("labels.csv", "file_names.txt"),
    ] {
        std::fs::copy(fixture(from), folder.path().join(to)).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "see the paper\n").unwrap();
    let names = || -> Vec<String> {
        let entries = read::open(folder.path()).unwrap();
        entries.into_iter().map(|e| e.name).collect()
    };
    assert_eq!(names(), ["conv1", "conv2"]);
    std::fs::copy(fixture("numbers.pt"), folder.path().join("fc1")).unwrap();
    assert_eq!(names(), ["fc1"]);
}

/// A stream is read to its end, in the pieces in which it comes.
#[test]
fn streams() {
    let place = mftma_files::Place::file("-");
    let bytes = std::fs::read(fixture("numbers_many.pt")).unwrap();
    let read = read::slurp(&place, &mut &bytes[..], OPTIONS).unwrap();
    assert_eq!(&read[..], &bytes[..]);
    let mut entries = read::open_any(&place, read).unwrap();
    check(take(&mut entries, "half"), "6 x 8 float16", 8, number);
}
