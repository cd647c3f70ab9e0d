//! Inputs and outputs of every habit, by the real program on small files made here.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::*;

/// 240 points in 16 features: no readout separates labellings of all classes.
#[test]
fn more_classes_than_the_features_can_separate() {
    let case = Case::new();
    let mut state = 7_u32;
    let mut draw = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let points: Vec<f32> = (0..240 * 16).map(|_| draw()).collect();
    case.npy("x.npy", &[240, 16], &points);
    let labels: String = (0..240).map(|i| format!("{}\n", i / 8)).collect();
    case.write("y.txt", labels);

    let (found, _) = case.analyze("x.npy --labels y.txt");
    let joint = &found["layers"][0]["joint"];
    let taken = joint["manifolds_per_draw"].as_u64().unwrap();
    assert!(
        taken < 30 && joint["separable"].as_f64().unwrap() > 0.5,
        "{joint}"
    );
    let told = notes(&found);
    assert!(
        told.contains(&format!("of {taken} of the 30 classes")),
        "{told}"
    );

    // Asked for, that number gives the same and no note of it; all of them have no joint measures, and the rest stays.
    let asked = format!("x.npy --labels y.txt --classes-per-draw {taken}");
    let (same, _) = case.analyze(&asked);
    assert_eq!(same["layers"][0]["joint"]["capacity"], joint["capacity"]);
    assert!(
        !same["layers"][0]["warnings"]
            .to_string()
            .contains("of the 30 classes")
    );
    let (all, _) = case.analyze("x.npy --labels y.txt --classes-per-draw 30");
    assert!(all["layers"][0]["joint"].is_null() && !all["layers"][0]["geometry"].is_null());
    let told = notes(&all);
    assert!(
        told.contains("separate 0 of 20 labellings") && told.contains("--classes-per-draw"),
        "{told}"
    );
    let alone = "analyze x.npy --labels y.txt --measures joint --n-t 20";
    let refusal = ["separate 0 of 20 labellings", "--classes-per-draw"];
    case.fails(&format!("{alone} --classes-per-draw 30"), 3, &refusal);
    case.fails(
        &format!("{alone} --classes-per-draw 31"),
        2,
        &["--classes-per-draw is 31"],
    );
    case.fails(
        &format!("{alone} --classes-per-draw 1"),
        2,
        &["--classes-per-draw is 1"],
    );
    case.succeeds(alone);
}

#[test]
fn semicolons_part_columns() {
    let case = Case::new();
    case.layer();
    let rows: String = labels().map(|c| format!("im.png;{c}\n")).collect();
    case.write("y.csv", format!("file;label\n{rows}"));
    case.fails(
        "analyze x.npy --labels y.csv",
        3,
        &["2 columns", "file,label", "--labels y.csv::COLUMN"],
    );
    let (by_column, _) = case.analyze("x.npy --labels y.csv::label");
    let (by_lines, _) = case.analyze("x.npy --labels y.txt");
    assert_eq!(measures(&by_column), measures(&by_lines));
}

#[test]
fn marks_of_no_label_are_noted_and_can_be_left_out() {
    for mark in ["-1", "NA"] {
        let case = Case::new();
        case.layer();
        let rows: String = labels()
            .map(|c| {
                if c == 2 {
                    format!("{mark}\n")
                } else {
                    format!("{c}\n")
                }
            })
            .collect();
        case.write("y.csv", format!("label\n{rows}"));
        let (value, err) = case.analyze("x.npy --labels y.csv");
        let remedy = format!("--leave-out {mark}");
        assert!(notes(&value).contains(&remedy), "{value}");
        assert!(err.contains(&remedy), "{err}");
        let (table, _) = case.succeeds("analyze x.npy --labels y.csv --n-t 20");
        assert!(table.contains(&remedy), "{table}");
        let (csv, err) = case.succeeds("analyze x.npy --labels y.csv --n-t 20 --format csv");
        assert!(
            csv.contains(&remedy) && err.contains(&remedy),
            "{csv} {err}"
        );
        // The remedy works.
        let (value, err) = case.analyze(&format!("x.npy --labels y.csv {remedy}"));
        assert_eq!(value["classes"].as_array().unwrap().len(), CLASSES - 1);
        assert_eq!(value["classes"][0]["name"], "0");
        assert!(!err.contains("--leave-out"), "{err}");
        let (out, _) = case.succeeds(&format!(
            "capacity --simulate x.npy --labels y.csv {remedy} --dichotomies 5 --format json"
        ));
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["layers"][0]["classes"], CLASSES - 1);
    }
    let case = Case::new();
    case.layer();
    case.fails(
        "analyze x.npy --labels y.txt --leave-out cat",
        3,
        &["no class \"cat\"", "--leave-out"],
    );
}

/// A mark is chosen by its name as it is left out.
#[test]
fn classes_may_begin_with_a_minus() {
    let case = Case::new();
    case.npy("x.npy", &[POINTS, FEATURES], &values(1));
    case.write("y.txt", lines().replace("0\n", "-1\n"));
    let (value, _) = case.analyze("x.npy --labels y.txt --only-classes -1,2");
    assert_eq!(value["classes"][0]["name"], "-1");
    assert_eq!(value["classes"].as_array().unwrap().len(), 2);
    case.succeeds("capacity x.npy --simulate --labels y.txt --dichotomies 5 --only-classes -1,2");
}

/// Lists are cut at commas; names that hold commas are known again.
#[test]
fn names_may_hold_commas() {
    let case = Case::new();
    case.npy("x/conv,1.npy", &[POINTS, FEATURES], &values(1));
    case.npy("x/conv,2.npy", &[POINTS, FEATURES], &values(2));
    let named = lines().replace("0\n", "\"tench,Tinca,t\"\n");
    case.write("y.csv", named.replace("1\n", "Tinca\n"));
    let (value, _) = case
        .analyze("x --labels y.csv --layers conv,2,conv,1 --only-classes 2,tench,Tinca,t,Tinca");
    assert_eq!(value["layers"][0]["layer"], "conv,2");
    assert_eq!(value["layers"][1]["layer"], "conv,1");
    let classes = value["classes"].as_array().unwrap();
    let names: Vec<_> = classes.iter().map(|class| class["name"].as_str()).collect();
    let wanted = ["tench,Tinca,t", "Tinca", "2"];
    assert!(
        names.len() == 3 && wanted.iter().all(|w| names.contains(&Some(w))),
        "{names:?}"
    );
    let (value, _) = case.analyze("x --labels y.csv --leave-out tench,Tinca,t");
    assert_eq!(value["classes"].as_array().unwrap().len(), CLASSES - 1);
    case.succeeds("compare x x --layers conv,2,conv,1");
    case.fails("compare x x --layers conv,3", 3, &["no array \"conv\""]);
}

/// Blank lines are labels that are missing: the heading above them stays one.
#[test]
fn blank_lines_are_missing_labels() {
    let case = Case::new();
    case.layer();
    for (name, heading) in [("y.csv", "label\n"), ("z.txt", "label\n"), ("w.txt", "")] {
        case.write(
            name,
            format!("{heading}{}", lines().replacen("2\n", "\n", 1)),
        );
        let (value, err) = case.analyze(&format!("x.npy --labels {name}"));
        let classes = value["classes"].as_array().unwrap();
        let found: Vec<&str> = classes
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(found, ["0", "1", "2", "3", "NA"], "{name}");
        assert!(err.contains("--leave-out NA"), "{err}");
        let (out, _) = case.succeeds(&format!(
            "capacity x.npy --simulate --labels {name} --leave-out NA --dichotomies 5 --format json"
        ));
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["layers"][0]["points"], POINTS - 1, "{name}");
    }
    // One too many, and no heading by its looks.
    case.write("long.txt", format!("0\n{}", lines()));
    let (value, _) = case.analyze("x.npy --labels long.txt");
    assert!(
        notes(&value).contains("was taken for the heading"),
        "{value}"
    );
}

/// Labels in a folder or a store, by whatever name they are given, are no layer, and nothing is written over them.
#[test]
fn labels_in_a_folder_are_no_layer_and_stay() {
    let case = Case::new();
    let x = values(1);
    let y: Vec<f32> = labels().map(|c| c as f32).collect();
    case.npy("fold/l1.npy", &[POINTS, FEATURES], &x);
    case.npy("fold/labels.npy", &[POINTS, 1], &y);
    assert_eq!(case.layers("fold --labels fold::labels"), ["l1"]);
    assert_eq!(case.layers("fold --labels fold/labels.npy"), ["l1"]);
    for (name, features, values) in [("l1", FEATURES, &x), ("labels", 1, &y)] {
        let description = serde_json::json!({
            "zarr_format": 2, "shape": [POINTS, features], "chunks": [POINTS, features], "dtype": "<f4", "order": "C",
            "compressor": null, "filters": null, "fill_value": 0.0,
        });
        case.write("st.zarr/.zgroup", "{\"zarr_format\": 2}");
        case.write(&format!("st.zarr/{name}/.zarray"), description.to_string());
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        case.write(&format!("st.zarr/{name}/0.0"), bytes);
    }
    for reference in ["st.zarr::labels", "st.zarr/labels", "./st.zarr/labels"] {
        let line = format!("st.zarr --labels {reference}");
        assert_eq!(case.layers(&line), ["l1"], "{reference}");
    }
    // Named, it is one.
    let named = case.layers("fold --labels fold::labels --layers l1,labels");
    assert_eq!(named, ["l1", "labels"]);
    case.npy("x.npy", &[POINTS, FEATURES], &x);
    for (args, file) in [
        (
            "analyze fold/l1.npy --n-t 20 --labels fold::labels",
            "fold/labels.npy",
        ),
        (
            "analyze x.npy --n-t 20 --labels st.zarr/labels",
            "st.zarr/labels/0.0",
        ),
        (
            "capacity x.npy --simulate --dichotomies 5 --labels fold::labels",
            "fold/labels.npy",
        ),
    ] {
        let before = std::fs::read(case.path(file)).unwrap();
        let words = format!("would replace {file}");
        case.fails(&format!("{args} --force -o {file}"), 2, &[&words]);
        assert_eq!(std::fs::read(case.path(file)).unwrap(), before);
    }
}

#[test]
fn one_class_per_point_is_noted() {
    let case = Case::new();
    case.layer();
    let targets: String = (0..POINTS).map(|i| format!("0.{i:03}7\n")).collect();
    case.write("t.txt", targets);
    let output = case.run("analyze x.npy --labels t.txt --n-t 10 --format json");
    let (_, err) = texts(&output);
    assert!(err.contains("a class of its own"), "{err}");
    // Not of labels that are right.
    let (value, _) = case.analyze("x.npy --labels y.txt");
    assert_eq!(notes(&value).matches("class of its own").count(), 0);
}

#[test]
fn object_labels_get_a_remedy_for_labels() {
    let case = Case::new();
    case.layer();
    let header = format!("{{'descr': '|O', 'fortran_order': False, 'shape': ({POINTS},), }}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    file.extend(b"\x80\x04.");
    case.write("y.npy", file);
    case.fails(
        "analyze x.npy --labels y.npy",
        3,
        &["object", ".astype(str)"],
    );
}

#[test]
fn labels_inside_the_archive_are_no_layer() {
    let case = Case::new();
    let (x, y) = (POINTS * FEATURES * 4, POINTS * 8);
    let json = format!(
        "{{\"l1\":{{\"dtype\":\"F32\",\"shape\":[{POINTS},{FEATURES}],\"data_offsets\":[0,{x}]}},\
         \"labels\":{{\"dtype\":\"I64\",\"shape\":[{POINTS},1],\"data_offsets\":[{x},{}]}}}}",
        x + y
    );
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend(json.bytes());
    file.extend(values(1).iter().flat_map(|x| x.to_le_bytes()));
    file.extend(labels().flat_map(|c| (c as i64).to_le_bytes()));
    case.write("all.safetensors", file);
    assert_eq!(
        case.layers("all.safetensors --labels all.safetensors::labels"),
        ["l1"]
    );
}

#[test]
fn hidden_files_are_passed_over() {
    let case = Case::new();
    case.layer();
    case.npy("layers/layer1.npy", &[POINTS, FEATURES], &values(1));
    case.write("layers/._layer1.npy", "Mac OS X");
    assert_eq!(case.layers("layers --labels y.txt"), ["layer1"]);
}

#[test]
fn a_folder_per_module_is_read_one_level_down() {
    let case = Case::new();
    case.layer();
    for (seed, module) in ["fc2", "conv1"].into_iter().enumerate() {
        let name = format!("things/{module}/features.npy");
        case.npy(&name, &[POINTS, FEATURES], &values(seed as u32));
        case.write(&format!("things/{module}/file_names.txt"), "a.png\n");
    }
    assert_eq!(case.layers("things --labels y.txt"), ["conv1", "fc2"]);
    let (value, _) = case.analyze("things/fc2 things/conv1 --labels y.txt");
    assert_eq!(names(&value), ["fc2/features", "conv1/features"]);
    let (csv, _) = case.succeeds("analyze things --labels y.txt --n-t 20 --format csv");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let file = reader.headers().unwrap().iter().position(|h| h == "file");
    let row = reader.records().next().unwrap().unwrap();
    assert!(Path::new(&row[file.unwrap()]).ends_with("conv1/features.npy"));
}

#[test]
fn numbered_files_are_joined_where_the_counts_add_up() {
    let case = Case::new();
    case.layer();
    let all = values(1);
    let cuts = [0, 5, 16, POINTS];
    for (i, cut) in cuts.windows(2).enumerate() {
        let part = &all[cut[0] * FEATURES..cut[1] * FEATURES];
        let name = format!("chunks/features_{}.npy", i + 1);
        case.npy(&name, &[cut[1] - cut[0], FEATURES], part);
    }
    let (joined, _) = case.analyze("chunks --labels y.txt");
    assert_eq!(names(&joined), ["features"]);
    assert!(notes(&joined).contains("features: 3 numbered arrays were joined to one layer"));
    let (_, err) =
        case.succeeds("capacity chunks --simulate --labels y.txt --dichotomies 5 -o r.csv");
    assert!(err.contains("3 numbered arrays were joined"), "{err}");
    let (whole, _) = case.analyze("x.npy --labels y.txt");
    assert_eq!(measures(&joined), measures(&whole));
    // Labels for another number of points do not fit.
    case.write("short.txt", "0\n1\n");
    case.fails("analyze chunks --labels short.txt", 3, &["points"]);
    // Whole layers with numbers in their names stay layers.
    for layer in ["conv1", "conv2"] {
        case.npy(&format!("layers/{layer}.npy"), &[POINTS, FEATURES], &all);
    }
    assert_eq!(case.layers("layers --labels y.txt"), ["conv1", "conv2"]);
}

#[test]
fn layouts_that_tell_the_classes() {
    let case = Case::new();
    case.layer();
    let all = values(1);
    let (expected, _) = case.analyze("x.npy --labels y.txt");
    case.npy("pmn.npy", &[CLASSES, PER_CLASS, FEATURES], &all);
    let (value, _) = case.analyze("pmn.npy --layout classes-by-points-by-features");
    assert_eq!(measures(&value), measures(&expected));
    for (class, part) in all.chunks(PER_CLASS * FEATURES).enumerate() {
        let name = format!("classes/class{class}.npy");
        case.npy(&name, &[PER_CLASS, FEATURES], part);
    }
    let (value, _) = case.analyze("classes --layout one-array-per-class");
    assert_eq!(measures(&value), measures(&expected));
    assert_eq!(names(&value), ["classes"]);
    assert_eq!(value["classes"][3]["name"], "class3");

    let pmn = "pmn.npy --layout classes-by-points-by-features";
    case.fails(
        &format!("analyze {pmn} --labels y.txt"),
        2,
        &["leave out --labels"],
    );
    case.fails(
        "analyze x.npy --layout classes-by-points-by-features",
        3,
        &["x.npy", "three axes"],
    );
    case.fails(
        "analyze x.npy --layout points-by-features",
        2,
        &["--labels"],
    );
    case.npy("classes/class9.npy", &[PER_CLASS, 3], &[0.5; PER_CLASS * 3]);
    case.fails(
        "analyze classes --layout one-array-per-class",
        3,
        &["class9", "does not go with"],
    );
}

#[test]
fn square_matrices_say_which_axis_was_taken() {
    let case = Case::new();
    case.layer();
    let square: Vec<f32> = (0..3).flat_map(values).take(POINTS * POINTS).collect();
    case.npy("square.npy", &[POINTS, POINTS], &square);
    let (value, err) = case.analyze("square.npy --labels y.txt");
    for text in [notes(&value), err] {
        assert!(
            text.contains("rows") && text.contains("features-by-points"),
            "{text}"
        );
    }
    let (value, _) = case.analyze("square.npy --labels y.txt --layout features-by-points");
    assert!(notes(&value).contains("columns"), "{value}");
    let (table, _) = case.succeeds("compare square.npy x.npy");
    assert!(
        table.contains("square: 24 x 24") && table.contains("rows"),
        "{table}"
    );
}

#[test]
fn errors_of_settings_name_the_key() {
    let case = Case::new();
    case.layer();
    for (text, words) in [
        ("labels = 3\n", ["labels", "no setting"]),
        ("kappa = 0.0\nn-t = \"50\"\n", ["n-t", "invalid type"]),
        ("only-classes = [[1]]\n", ["only-classes", "invalid type"]),
        ("kappa = nan\n", ["s.toml: kappa is NaN", "finite"]),
        ("points = 0\n", ["s.toml: points is 0", "at least 1"]),
        (
            "rank = 1\nmax-rank = 2\n",
            ["s.toml: rank and max-rank", "one of them"],
        ),
        ("n-t = \"50\"\n", ["s.toml: n-t = \"50\"", "try: n-t = 50"]),
        (
            "target-error = [1]\n",
            ["s.toml: target-error", "try: target-error = 0.5"],
        ),
        (
            "only-classes = 1\n",
            ["s.toml: only-classes = 1", "try: only-classes = [\"1\"]"],
        ),
        (
            "measures = [1, 2]\n",
            [
                "measures = [1, 2] is none of its values",
                "try: measures = \"mean-field\" or \"joint\"",
            ],
        ),
    ] {
        case.write("s.toml", text);
        case.fails("analyze x.npy --labels y.txt --config s.toml", 2, &words);
    }
    // What a flag says is told by the flag, whatever stands in the file.
    case.write("s.toml", "kappa = 1\n");
    let analyze = "analyze x.npy --labels y.txt --config s.toml --kappa nan";
    case.fails(analyze, 2, &["error: --kappa is NaN"]);
    for count in [0, 1] {
        let capacity = format!("capacity x.npy --simulate --labels y.txt --classes {count}");
        let words = format!("--classes is {count}, but must be at least 2");
        case.fails(&capacity, 2, &[&words]);
    }
    case.write("s.toml", "only-classes = [1, 2, 3]\n");
    let (value, _) = case.analyze("x.npy --labels y.txt --config s.toml");
    assert_eq!(value["classes"].as_array().unwrap().len(), 3);
}

#[test]
fn results_go_where_they_were_asked_to() {
    let case = Case::new();
    case.layer();
    let analyze = "analyze x.npy --labels y.txt --n-t 20";
    // Found out before the work, so that it is not lost.
    case.fails(
        &format!("{analyze} -o nowhere/r.csv"),
        1,
        &["nowhere", "no folder"],
    );
    case.fails(
        &format!("{analyze} --plot nowhere/p.svg"),
        1,
        &["no folder"],
    );
    case.fails(&format!("{analyze} -o ."), 1, &["folder"]);
    let (plain, _) = case.succeeds(&format!("{analyze} --format csv"));
    let (dash, _) = case.succeeds(&format!("{analyze} --format csv -o -"));
    assert_eq!(dash, plain);
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let (device, _) = case.succeeds(&format!("{analyze} --format csv -o /dev/stdout --force"));
        assert_eq!(device, plain);
        // A pipe stays a pipe.
        let pipe = case.path("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read_to_string(pipe).unwrap()
        });
        case.succeeds(&format!("{analyze} --format csv -o pipe --force"));
        assert_eq!(reader.join().unwrap(), plain);
        assert!(pipe.metadata().unwrap().file_type().is_fifo());
        // A link stays a link, and what it leads to is replaced.
        case.write("real.csv", "old");
        std::os::unix::fs::symlink("real.csv", case.path("link.csv")).unwrap();
        case.fails(&format!("{analyze} -o link.csv"), 4, &["--force"]);
        case.succeeds(&format!("{analyze} -o link.csv --force"));
        assert!(
            case.path("link.csv")
                .symlink_metadata()
                .unwrap()
                .is_symlink()
        );
        assert_eq!(
            std::fs::read_to_string(case.path("real.csv")).unwrap(),
            plain
        );
    }
}

/// Nothing that is read is written over, nor one result by another, whatever the names; not with `--force` either.
#[test]
fn results_replace_neither_inputs_nor_each_other() {
    let case = Case::new();
    case.layer();
    case.npy("layers/a.npy", &[POINTS, FEATURES], &values(1));
    case.npy("layers/b.npy", &[POINTS, FEATURES], &values(2));
    case.write("s.toml", "n-t = 20\n");
    #[cfg(unix)]
    for (to, link) in [("x.npy", "link.npy"), ("../layers/b.npy", "linked/c.npy")] {
        std::os::unix::fs::symlink(to, case.path(link)).unwrap();
    }
    let analyze = "analyze x.npy --labels y.txt --n-t 20 --force";
    let capacity = "capacity layers --simulate --labels y.txt --dichotomies 5 --force";
    for (args, words) in [
        (
            format!("{analyze} -o F.svg --plot F.svg"),
            "--plot F.svg is the file of --output too",
        ),
        (
            format!("{analyze} -o F.svg --plot layers/../F.svg"),
            "is the file of --output too",
        ),
        (
            format!("{analyze} -o x.npy"),
            "--output x.npy would replace x.npy",
        ),
        (
            format!("{analyze} -o layers/../y.txt"),
            "would replace y.txt",
        ),
        (
            format!("{analyze} -o s.toml --config s.toml"),
            "would replace s.toml",
        ),
        #[cfg(unix)]
        (format!("{analyze} -o link.npy"), "would replace x.npy"),
        #[cfg(unix)]
        (
            "analyze linked --labels y.txt --n-t 20 --force -o layers/b.npy".to_owned(),
            "would replace linked/c.npy",
        ),
        (
            format!("{capacity} -o layers/b.npy"),
            "would replace layers/b.npy",
        ),
        (
            "compare layers x.npy --force -o layers/a.npy".to_owned(),
            "would replace layers/a.npy",
        ),
    ] {
        let before = |name: &str| std::fs::read(case.path(name)).unwrap();
        let files = ["x.npy", "y.txt", "s.toml", "layers/a.npy", "layers/b.npy"];
        let held = files.map(before);
        case.fails(&args, 2, &[words]);
        assert_eq!(files.map(before), held, "{args}");
        assert!(!case.path("F.svg").exists());
    }
    // Its own result may be gone on from and replaced; a new file may lie among the layers.
    case.succeeds(&format!("{analyze} -o r.json"));
    case.succeeds(&format!("{analyze} --resume r.json -o r.json"));
    case.succeeds("analyze layers --labels y.txt --n-t 20 -o layers/r.csv");
    case.succeeds("analyze layers --labels y.txt --n-t 20 -o layers/r.csv --force");
}

#[test]
fn plots_are_what_their_names_say() {
    let case = Case::new();
    let names = ["layer_0.out_proj", "layer_1.out_proj"];
    for name in names {
        let file = format!("long/features.module.encoder.{name}.npy");
        case.npy(&file, &[POINTS, FEATURES], &values(1));
    }
    case.write("y.txt", lines());
    let analyze = "analyze long --labels y.txt --n-t 20";
    case.succeeds(&format!("{analyze} --plot p.svg"));
    let svg = std::fs::read_to_string(case.path("p.svg")).unwrap();
    for name in names {
        assert!(
            svg.contains(&format!("…{name}")[..]) || svg.contains(name),
            "{svg}"
        );
    }
    case.succeeds(&format!("{analyze} --plot p.png"));
    let png = std::fs::read(case.path("p.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n"));
    case.succeeds(&format!("{analyze} --plot p.pdf"));
    let pdf = std::fs::read(case.path("p.pdf")).unwrap();
    assert!(pdf.starts_with(b"%PDF-"));
    case.fails(
        &format!("{analyze} --plot p.jpg"),
        2,
        &["p.jpg", "--plot p.svg"],
    );
}

/// They are brought near 1 by a power of two first.
#[test]
fn activations_too_large_to_square_are_measured() {
    let case = Case::new();
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    let header =
        format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({POINTS}, {FEATURES}), }}\n");
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    file.extend(
        values(1)
            .iter()
            .flat_map(|&x| (1e160 * f64::from(x)).to_le_bytes()),
    );
    case.write("x.npy", file);
    let digits: String = (0..POINTS)
        .map(|i| format!("{}\n", i / PER_CLASS))
        .collect();
    case.write("y.txt", digits);
    case.npy("plain.npy", &[POINTS, FEATURES], &values(1));
    let capacity = |file: &str| {
        let (value, _) = case.analyze(&format!("{file} --labels y.txt"));
        let capacity = &value["layers"][0]["geometry"]["capacity"]["value"];
        capacity.as_f64().unwrap()
    };
    let ratio = capacity("x.npy") / capacity("plain.npy");
    assert!((ratio - 1.0).abs() < 1e-9, "{ratio}");
}

#[test]
fn folders_of_layers_are_curves_of_one_plot() {
    let case = Case::new();
    for (seed, file) in ["one/a", "one/b", "two/a", "two/b"].iter().enumerate() {
        let file = format!("{file}.npy");
        case.npy(&file, &[POINTS, FEATURES], &values(1 + seed as u32));
    }
    case.write("y.txt", lines());
    case.succeeds("analyze one two --labels y.txt --n-t 20 --plot p.svg");
    let svg = std::fs::read_to_string(case.path("p.svg")).unwrap();
    let written = |text: &str| svg.matches(&format!(">{text}<")).count();
    // Two curves with a name each in four panels of joint and four of mean-field measures, over the same two layers.
    assert_eq!(svg.matches("<polyline").count(), 2 * 8);
    assert_eq!([written("one"), written("two")], [1, 1]);
    assert_eq!([written("a"), written("b")], [8, 8]);
    assert_eq!(written("Layer"), 8);
    assert!(svg.contains("Bands: 95 % intervals over classes"), "{svg}");
    case.succeeds("analyze one --labels y.txt --n-t 20 --resamples 0 --plot q.svg");
    let svg = std::fs::read_to_string(case.path("q.svg")).unwrap();
    assert!(!svg.contains("Bands") && !svg.contains("fill-opacity"));
}

#[cfg(unix)]
#[test]
fn asked_to_end_is_as_ctrl_c() {
    use std::time::{Duration, Instant};
    for signal in ["-TERM", "-HUP"] {
        let case = Case::new();
        case.layer();
        // Enough classes and layers for work that would take hours.
        let mut child = Command::new(env!("CARGO_BIN_EXE_mftma"))
            .args(
                "analyze x.npy --labels y.txt --target-error 1e-7 --max-n-t 2000000000".split(' '),
            )
            .current_dir(case.0.path())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(500));
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        let asked = Instant::now();
        let status = child.wait().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(10));
        assert_eq!(status.code(), Some(130), "{signal}");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut text).unwrap();
        assert!(
            text.contains("interrupted: none of 1 finished"),
            "{signal}: {text}"
        );
    }
}

#[test]
fn the_number_of_removed_directions_can_be_set() {
    let case = Case::new();
    case.layer();
    let rank = |args: &str| {
        let (value, _) = case.analyze(&format!("x.npy --labels y.txt {args}"));
        value["layers"][0]["geometry"]["rank"].as_u64().unwrap()
    };
    for k in 0..3 {
        assert_eq!(rank(&format!("--rank {k}")), k);
        assert!(rank(&format!("--max-rank {k}")) <= k);
    }
    assert_eq!(rank("--rank 1 --convention reference"), 1);
    case.fails(
        "analyze x.npy --labels y.txt --rank 3",
        2,
        &["--rank", "below the number of dimensions"],
    );
    case.fails("analyze x.npy --labels y.txt --rank 1 --max-rank 2", 2, &[]);
    case.fails(
        "analyze x.npy --labels y.txt --max-rank 2 --convention reference",
        2,
        &["--max-rank", "--rank"],
    );
    case.write("both.toml", "rank = 1\nmax-rank = 2\n");
    case.fails(
        "analyze x.npy --labels y.txt --config both.toml",
        2,
        &["max-rank"],
    );
}

/// What one direction fewer and more would change, and intervals over classes, in every format.
#[test]
fn what_k_changes_is_told() {
    let case = Case::new();
    case.layer();
    let (table, _) = case.succeeds("analyze x.npy --labels y.txt --n-t 20 --rank 1");
    let header = table.lines().next().unwrap();
    for word in ["95 %", "at K-1", "at K+1"] {
        assert!(header.contains(word), "{header}");
    }
    let (csv, _) = case.succeeds("analyze x.npy --labels y.txt --n-t 20 --rank 1 --format csv");
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let columns = rows.headers().unwrap().clone();
    let row = rows.records().next().unwrap().unwrap();
    let (value, _) = case.analyze("x.npy --labels y.txt --rank 1");
    let others = &value["layers"][0]["geometry"]["rank_alternatives"];
    for (i, side) in ["lower", "higher"].iter().enumerate() {
        assert_eq!(others[i]["rank"], 2 * i);
        for measure in ["capacity", "radius", "dimension"] {
            let name = format!("{measure}_change_at_{side}_rank");
            let at = columns.iter().position(|c| c == name).unwrap();
            let found: f64 = row[at].parse().unwrap();
            assert_eq!(found, others[i][format!("{measure}_change")]);
        }
    }
}

/// Classes under other names, and points in another order, are the same classes.
#[test]
fn names_and_order_of_classes_change_no_measure() {
    let case = Case::new();
    case.layer();
    let renamed: String = labels()
        .map(|c| format!("{}\n", (c + 2) % CLASSES))
        .collect();
    case.write("z.txt", renamed);
    let (a, _) = case.analyze("x.npy --labels y.txt --measures both");
    let (b, _) = case.analyze("x.npy --labels z.txt --measures both");
    for measures in ["geometry", "joint"] {
        let (a, b) = (&a["layers"][0][measures], &b["layers"][0][measures]);
        for mean in ["capacity", "radius", "dimension"] {
            assert_eq!(a[mean], b[mean], "{measures} {mean}");
        }
        for class in 0..CLASSES {
            let other = &b["manifolds"][(class + 2) % CLASSES];
            assert_eq!(a["manifolds"][class]["capacity"], other["capacity"]);
        }
    }
}

#[test]
fn classes_centred_by_themselves_are_refused() {
    let case = Case::new();
    case.layer();
    let mut centred = values(1);
    for class in 0..CLASSES {
        for feature in 0..FEATURES {
            let at = |point: usize| (class * PER_CLASS + point) * FEATURES + feature;
            let mean = (0..PER_CLASS).map(|p| centred[at(p)]).sum::<f32>() / PER_CLASS as f32;
            (0..PER_CLASS).for_each(|p| centred[at(p)] -= mean);
        }
    }
    case.npy("centred.npy", &[POINTS, FEATURES], &centred);
    case.fails(
        "analyze centred.npy --labels y.txt",
        3,
        &["centred.npy", "coincide", "each class was centred"],
    );
}

#[test]
fn a_class_near_the_global_mean_is_named() {
    let case = Case::new();
    case.write(
        "y.txt",
        labels().map(|c| format!("class{c}\n")).collect::<String>(),
    );
    let mut near = values(1);
    let centre = |values: &[f32], class: usize, feature: usize| {
        let of = (0..PER_CLASS).map(|p| values[(class * PER_CLASS + p) * FEATURES + feature]);
        of.sum::<f32>() / PER_CLASS as f32
    };
    let original = near.clone();
    for feature in 0..FEATURES {
        let others = (0..CLASSES).filter(|&c| c != 2);
        let mean = others.map(|c| centre(&original, c, feature)).sum::<f32>() / 3.0;
        let shift = 0.99 * (mean - centre(&original, 2, feature));
        (0..PER_CLASS).for_each(|p| near[(2 * PER_CLASS + p) * FEATURES + feature] += shift);
    }
    case.npy("near.npy", &[POINTS, FEATURES], &near);
    for format in ["table", "csv", "json"] {
        let args = format!("analyze near.npy --labels y.txt --n-t 20 --rank 0 --format {format}");
        let (out, err) = case.succeeds(&args);
        assert!(
            out.replace("\"\"", "\"")
                .replace("\\\"", "\"")
                .contains("\"class2\": its centre"),
            "{format}: {out}"
        );
        assert!(out.contains("--leave-out class2"), "{format}: {out}");
        assert_eq!(
            err.contains("near the global mean"),
            format != "table",
            "{err}"
        );
    }
}

#[test]
fn joint_measures_come_in_every_format() {
    let case = Case::new();
    case.layer();
    let joint = "analyze x.npy --labels y.txt --n-t 50 --measures joint";
    let (table, _) = case.succeeds(joint);
    assert!(
        table.contains("joint capacity") && table.contains("utility"),
        "{table}"
    );
    assert!(!table.contains("correlation"), "{table}");
    let (json, _) = case.succeeds(&format!("{joint} --format json"));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let layer = &value["layers"][0];
    assert!(layer["geometry"].is_null());
    let of = |name: &str| layer["joint"][name]["value"].as_f64().unwrap();
    let rebuilt = of("utility") * (1.0 + of("radius").powi(-2)) / of("dimension");
    assert!((rebuilt / of("capacity") - 1.0).abs() < 1e-12);
    for rows in ["layers", "classes"] {
        let (csv, _) = case.succeeds(&format!("{joint} --format csv --rows {rows}"));
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let columns = reader.headers().unwrap().clone();
        let at = columns.iter().position(|c| c == "joint_capacity").unwrap();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        let first: f64 = rows[0][at].parse().unwrap();
        match rows.len() {
            1 => assert_eq!(first, of("capacity")),
            n => {
                assert_eq!(n, CLASSES);
                assert_eq!(first, layer["joint"]["manifolds"][0]["capacity"]["value"]);
            }
        }
    }
    case.succeeds("analyze x.npy --labels y.txt --n-t 50 --measures both --plot p.svg -o r.csv");
    let svg = std::fs::read_to_string(case.path("p.svg")).unwrap();
    assert!(svg.contains("Utility") && svg.contains("Centre correlation"));
    case.fails(&format!("{joint} --joint-kappa -1"), 2, &["--joint-kappa"]);
    for choice in [
        "--dichotomies balanced",
        "--dichotomies one-against-rest",
        "--dichotomies pairs",
        "--centring none",
        "--inactive active",
    ] {
        let (other, _) = case.succeeds(&format!("{joint} {choice} --format json"));
        let other: serde_json::Value = serde_json::from_str(&other).unwrap();
        assert_ne!(other["layers"][0]["joint"], layer["joint"], "{choice}");
    }
}

/// Layers of an earlier result are taken over and give the same result; one that was made otherwise is refused, and says how.
#[test]
fn finished_layers_are_not_measured_again() {
    let case = Case::new();
    case.npy("layers/a.npy", &[POINTS, FEATURES], &values(1));
    case.write("labels.txt", lines());
    let analyze = "analyze layers --labels labels.txt --n-t 20 --measures both --format json";
    case.succeeds(&format!("{analyze} -o first.json"));
    case.npy("layers/b.npy", &[POINTS, FEATURES], &values(2));
    let (whole, _) = case.succeeds(analyze);
    let (resumed, _) = case.succeeds(&format!("{analyze} --threads 1 --resume first.json"));
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let (whole, resumed) = (parse(&whole), parse(&resumed));
    assert_eq!(whole["layers"], resumed["layers"]);
    // Of other labels of the same classes and counts nothing is taken over.
    let swapped: String = lines()
        .lines()
        .rev()
        .map(|line| format!("{line}\n"))
        .collect();
    case.write("labels.txt", swapped);
    case.fails(
        &format!("{analyze} --resume first.json"),
        3,
        &["other labels"],
    );
    case.write("labels.txt", lines());
    // It is taken from there: a number that was changed comes back.
    let text = std::fs::read_to_string(case.path("first.json")).unwrap();
    let mut changed = parse(&text);
    changed["layers"][0]["geometry"]["capacity"]["value"] = 0.125.into();
    case.write("changed.json", changed.to_string());
    let (resumed, _) = case.succeeds(&format!("{analyze} --resume changed.json"));
    let resumed = parse(&resumed);
    assert_eq!(resumed["layers"][0]["geometry"]["capacity"]["value"], 0.125);
    assert_eq!(resumed["layers"][1], whole["layers"][1]);
    case.fails(
        &format!("{analyze} --seed 1 --resume first.json"),
        3,
        &["first.json", "--seed 0, not 1", "try"],
    );
    case.fails(
        &format!("{analyze} --resume labels.txt"),
        3,
        &["labels.txt", "JSON"],
    );
    case.fails(
        &format!("{analyze} --resume nowhere.json"),
        3,
        &["nowhere.json"],
    );
}

/// However files are spelled, and where a kind of measures was left out: what is finished is taken over, and that is said.
#[test]
fn finished_layers_are_known_again_by_any_name() {
    let case = Case::new();
    case.npy("layers/a.npy", &[POINTS, FEATURES], &values(1));
    case.npy("layers/b.npy", &[POINTS, FEATURES], &values(2));
    case.write("y.txt", lines());
    let analyze = |args: &str| case.analyze(&format!("{args} --resume first.json"));
    case.succeeds("analyze layers --labels y.txt --n-t 20 -o first.json");
    for input in [
        "layers --labels y.txt",
        "./layers --labels y.txt",
        "layers --labels ./y.txt",
        "layers/../layers --labels layers/../y.txt",
    ] {
        let (_, err) = analyze(input);
        assert!(err.contains("2 of 2 layers taken over"), "{input}: {err}");
    }
    let (_, err) = analyze("layers/a.npy --labels y.txt");
    assert!(err.contains("1 of 1 layers taken over"), "{err}");
    // From another folder, or with the folder of all of it at another place.
    std::fs::create_dir_all(case.path("sub/sub")).unwrap();
    let from = |folder: &str, args: &str| {
        let mut command = case.command(env!("CARGO_BIN_EXE_mftma"));
        let command = command.current_dir(case.path(folder));
        let output = command.args(args.split(' ')).output().unwrap();
        texts(&output).1
    };
    let err = from(
        "sub/sub",
        "analyze ../../layers --labels ../../y.txt --n-t 20 --resume ../../first.json",
    );
    assert!(err.contains("2 of 2 layers taken over"), "{err}");
    let (there, back) = (case.path("moved/layers"), case.path("layers"));
    std::fs::rename(&back, &there).unwrap();
    let err = from(
        "moved",
        "analyze layers --labels ../y.txt --n-t 20 --resume ../first.json",
    );
    assert!(err.contains("2 of 2 layers taken over"), "{err}");
    std::fs::rename(there, back).unwrap();
    // What JSON does not hold is measured again, and that is said.
    let text = std::fs::read_to_string(case.path("first.json")).unwrap();
    let mut infinite: serde_json::Value = serde_json::from_str(&text).unwrap();
    infinite["layers"][1]["geometry"]["capacity"]["value"] = serde_json::Value::Null;
    case.write("infinite.json", infinite.to_string());
    let (_, err) = case.analyze("layers --labels y.txt --resume infinite.json");
    assert!(
        err.contains("1 of 2 layers taken over") && err.contains("b is measured again"),
        "{err}"
    );
    case.npy("layers/b.npy", &[POINTS, FEATURES], &values(3));
    let (_, err) = analyze("layers --labels y.txt");
    assert!(err.contains("1 of 2 layers taken over"), "{err}");
    // In the middle of three classes on a line none has a centre, so that the mean-field measures are left out.
    let middle: Vec<f32> = (0..3 * PER_CLASS)
        .flat_map(|i| {
            let sign = [4.0, -4.0, 0.0][i / PER_CLASS];
            let mut x = [sign, 0.0, 0.0, 0.0];
            x[1 + i % PER_CLASS / 2] = if i % 2 == 0 { 1.0 } else { -1.0 };
            x
        })
        .collect();
    case.npy("middle.npy", &[3 * PER_CLASS, 4], &middle);
    let labels: String = (0..3 * PER_CLASS)
        .map(|i| format!("{}\n", i / PER_CLASS))
        .collect();
    case.write("middle.txt", labels);
    let middle = "middle.npy --labels middle.txt";
    case.succeeds(&format!("analyze {middle} --n-t 20 -o first.json --force"));
    let (first, _) = case.analyze(middle);
    assert!(
        notes(&first).contains("mean-field measures are left out"),
        "{first}"
    );
    let (again, err) = analyze(middle);
    assert!(err.contains("1 of 1 layers taken over"), "{err}");
    assert_eq!(
        (&again["layers"], &again["notes"]),
        (&first["layers"], &first["notes"])
    );
}

/// A layer comes from all its files: where one of them was written to since, it is measured again.
#[test]
fn a_layer_of_several_files_is_stale_with_each_of_them() {
    let case = Case::new();
    let x = values(1);
    let half = POINTS / 2 * FEATURES;
    case.npy("numbered/x_01.npy", &[POINTS / 2, FEATURES], &x[..half]);
    case.npy("numbered/x_02.npy", &[POINTS / 2, FEATURES], &x[half..]);
    for class in 0..CLASSES {
        let of_class = &x[class * PER_CLASS * FEATURES..][..PER_CLASS * FEATURES];
        let name = format!("per_class/c{class}.npy");
        case.npy(&name, &[PER_CLASS, FEATURES], of_class);
    }
    let bytes = |x: &[f32]| x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    for (store, shape) in [
        ("s.zarr", vec![POINTS, FEATURES]),
        ("t.zarr", vec![POINTS, 1, FEATURES]),
    ] {
        let mut chunks = shape.clone();
        chunks[0] = POINTS / 2;
        let description = serde_json::json!({
            "zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": "<f4", "order": "C", "compressor": null,
            "filters": null, "fill_value": 0.0, "dimension_separator": "/",
        });
        case.write(&format!("{store}/.zarray"), description.to_string());
        let end = if shape.len() == 2 { "0" } else { "0/0" };
        case.write(&format!("{store}/0/{end}"), bytes(&x[..half]));
        case.write(&format!("{store}/1/{end}"), bytes(&x[half..]));
    }
    case.write("y.txt", lines());
    let other = values(2);
    let changed = |name: &str, shape: [usize; 2]| {
        case.npy(name, &shape, &other[..shape[0] * shape[1]]);
    };
    let zarr = |name: &str| case.write(name, bytes(&other[..half]));
    let changes: [(&str, &dyn Fn()); 4] = [
        ("numbered --labels y.txt", &|| {
            changed("numbered/x_02.npy", [POINTS / 2, FEATURES])
        }),
        ("per_class --layout one-array-per-class", &|| {
            changed("per_class/c3.npy", [PER_CLASS, FEATURES])
        }),
        ("s.zarr --labels y.txt", &|| zarr("s.zarr/1/0")),
        ("t.zarr --labels y.txt --time-axis 1", &|| {
            zarr("t.zarr/1/0/0")
        }),
    ];
    for (input, change) in changes {
        let first = format!("analyze {input} --n-t 20 -o first.json --force");
        case.succeeds(&first);
        // Nothing was written to: it is taken from there, with a number that was changed to tell.
        let text = std::fs::read_to_string(case.path("first.json")).unwrap();
        let mut marked: serde_json::Value = serde_json::from_str(&text).unwrap();
        marked["layers"][0]["geometry"]["capacity"]["value"] = 0.125.into();
        case.write("first.json", marked.to_string());
        let capacity =
            |value: &serde_json::Value| value["layers"][0]["geometry"]["capacity"]["value"].clone();
        let (same, _) = case.analyze(&format!("{input} --resume first.json"));
        assert_eq!(capacity(&same), 0.125, "{input}");
        // The clock of a file system may stand still for some milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        change();
        let (resumed, _) = case.analyze(&format!("{input} --resume first.json"));
        let (anew, _) = case.analyze(input);
        assert_eq!(resumed["layers"], anew["layers"], "{input}");
        assert_ne!(capacity(&resumed), 0.125, "{input}");
    }
}

/// Neurons that were planted match, strangers do not; a layer that spans everything is told of.
#[test]
fn planted_neurons_are_matched() {
    let case = Case::new();
    let (points, features) = (POINTS, 5);
    let first = values(1)[..points * features].to_vec();
    let strangers = values(2);
    // Two of the second layer's features are sums of the first's, the others are their own.
    let second: Vec<f32> = (0..points)
        .flat_map(|i| {
            let x = &first[i * features..][..features];
            let own = &strangers[i * 4..][..4];
            [x[0] + x[1], x[0] - 2.0 * x[1], own[0], own[1]]
        })
        .collect();
    case.npy("a.npy", &[points, features], &first);
    case.npy("b.npy", &[points, 4], &second);
    let (out, _) = case.succeeds("compare a.npy b.npy --matching 0.00001 --format json");
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    let row = &value["comparisons"][0];
    assert_eq!(
        (&row["matched_a"], &row["matched_b"]),
        (&2.into(), &2.into())
    );
    assert!((row["maximum_match"].as_f64().unwrap() - 4.0 / 9.0).abs() < 1e-12);
    let (out, _) = case.succeeds("compare a.npy a.npy --matching 0 --points 5 --format json");
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(notes(&value).contains("as many independent features as points (5)"));
    let (plain, _) = case.succeeds("compare a.npy b.npy --format csv");
    assert!(!plain.contains("maximum_match"));
    case.fails(
        "compare a.npy b.npy --matching 1",
        2,
        &["--matching", "below 1"],
    );
}

/// A dead layer does not keep the others from being compared.
#[test]
fn dead_layers_are_named_and_the_others_compared() {
    let case = Case::new();
    case.npy("layers/a.npy", &[POINTS, FEATURES], &values(1));
    case.npy("layers/b.npy", &[POINTS, FEATURES], &values(2));
    case.npy(
        "layers/dead.npy",
        &[POINTS, FEATURES],
        &[0.1; POINTS * FEATURES],
    );
    let output = case.run("compare layers layers --format json");
    let (out, err) = texts(&output);
    assert_ne!(output.status.code(), Some(0), "{err}");
    // Which side, the file once, and what to do.
    for side in ["dead (A)", "dead (B)"] {
        let line = format!("{side}: layers/dead.npy: all points are the same");
        assert_eq!(err.matches(&line).count(), 1, "{err}");
        assert!(err.contains("try: --layers a,b"), "{err}");
    }
    assert!(!err.contains("layers/dead.npy: layers/dead.npy"), "{err}");
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["comparisons"].as_array().unwrap().len(), 4);
    assert!(notes(&value).contains("dead (A) is left out"));
    let (out, err) = case.succeeds("compare layers layers --layers a,b --format json");
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["comparisons"].as_array().unwrap().len(), 4);
    assert!(!err.contains("dead"), "{err}");
    case.fails(
        "compare layers/a.npy layers/dead.npy",
        1,
        &[
            "layers/dead.npy: all points are the same",
            "try: look at the code",
        ],
    );

    case.npy("wide_a.npy", &[6, 40], &values(3));
    case.npy("wide_b.npy", &[6, 40], &values(4));
    let (out, _) = case.succeeds("compare wide_a.npy wide_b.npy --format json");
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    let row = &value["comparisons"][0];
    assert!(row["cka_debiased"].as_f64() < row["cka"].as_f64());
    assert!(notes(&value).contains("no more points than features"));
}

/// One layer, or one pair of layers, that cannot be used does not keep the others from being written.
#[test]
fn a_bad_layer_or_pair_keeps_the_others() {
    let case = Case::new();
    case.npy("layers/a.npy", &[POINTS, FEATURES], &values(1));
    case.npy("layers/c.npy", &[POINTS, FEATURES], &values(2));
    case.npy(
        "layers/b.npy",
        &[POINTS, FEATURES],
        &[f32::NAN; POINTS * FEATURES],
    );
    case.write("y.txt", lines());
    let capacity = "capacity layers --simulate --labels y.txt --dichotomies 5";
    case.fails(
        &format!("{capacity} -o r.json"),
        3,
        &["1 of 3 layers could not be analysed", "b.npy", "NaN"],
    );
    let text = std::fs::read_to_string(case.path("r.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(names(&value), ["a", "c"]);
    assert_eq!(value["complete"], false);
    assert_eq!(value["failed"][0]["layer"], "b");
    // Alone, it speaks for itself.
    case.fails(
        &format!("{capacity} --layers b"),
        3,
        &["error: layers/b.npy"],
    );

    // The squares of these are no numbers.
    let text = |scale: f64| -> String {
        let row = |x: &[f32]| {
            x.iter()
                .map(|&x| format!("{:e}", scale * f64::from(x)))
                .collect::<Vec<_>>()
                .join(",")
        };
        values(3).chunks(FEATURES).map(|x| row(x) + "\n").collect()
    };
    case.write("pairs/a.csv", text(1.0));
    case.write("pairs/huge.csv", text(1e160));
    let output = case.run("compare pairs pairs --format json");
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(
        err.contains("huge") && err.contains("could not be analysed"),
        "{err}"
    );
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    let rows = value["comparisons"].as_array().unwrap();
    assert!(
        rows.iter()
            .any(|row| row["layer_a"] == "a" && row["layer_b"] == "a"),
        "{out}"
    );
    assert!(!value["failed"].as_array().unwrap().is_empty());
    // Its own remedy is the one that helps.
    let output = case.run("compare pairs/huge.csv pairs/huge.csv");
    let (_, err) = texts(&output);
    assert!(
        err.contains("scale them down") && !err.contains("points that differ"),
        "{err}"
    );
}

/// What `compare` proposes it has.
#[test]
fn columns_of_text_get_a_remedy_of_this_command() {
    let case = Case::new();
    let rows = |name: &str| -> String {
        (0..6)
            .map(|i| format!("{i}.5,{}.25,{name}\n", 2 * i))
            .collect()
    };
    case.write("t.csv", format!("a,b,label\n{}", rows("cat")));
    let output = case.run("compare t.csv t.csv");
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(
        err.contains("leave the column out") && !err.contains("--labels"),
        "{err}"
    );
}

/// The names of a table's or a CSV's columns that are measures of capacity, in their order.
fn capacities<'a>(columns: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let capacity = |name: &&str| ["joint_capacity", "capacity"].contains(name);
    columns.filter(capacity).collect()
}

#[test]
fn both_kinds_of_measures_come_unasked_and_the_joint_capacity_first() {
    let case = Case::new();
    case.layer();
    let (table, _) = case.succeeds("analyze x.npy --labels y.txt --n-t 20");
    let head = table.lines().next().unwrap();
    let measures = head.split_once("points").unwrap().1.trim_start();
    assert!(measures.starts_with("joint capacity"), "{head}");
    assert!(measures.contains("  capacity") && measures.contains("joint R"));
    for rows in ["layers", "classes"] {
        let args = format!("analyze x.npy --labels y.txt --n-t 20 --rows {rows} --format csv");
        let (csv, _) = case.succeeds(&args);
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let columns = reader.headers().unwrap().clone();
        assert_eq!(capacities(columns.iter()), ["joint_capacity", "capacity"]);
    }
    let (value, _) = case.analyze("x.npy --labels y.txt");
    assert_eq!(value["settings"]["measures"], "both");
    let (alone, _) = case.analyze("x.npy --labels y.txt --measures mean-field");
    assert!(alone["layers"][0]["joint"].is_null());
    assert_eq!(
        alone["layers"][0]["geometry"],
        value["layers"][0]["geometry"]
    );
    let (alone, _) = case.analyze("x.npy --labels y.txt --measures joint");
    assert_eq!(alone["layers"][0]["joint"], value["layers"][0]["joint"]);
    let (table, _) = case.succeeds("analyze x.npy --labels y.txt --measures mean-field");
    assert!(!table.contains("joint"), "{table}");
}

/// One layer where a class has no centre beside one where all is well: one table, joint measures of both.
#[test]
fn where_the_mean_field_measures_fail_the_joint_ones_stand() {
    let case = Case::new();
    // Multiples of 18/8, so that sums of them, and eighteenths, are exact.
    let good: Vec<f32> = values(1).iter().map(|x| (8.0 * x).round() * 2.25).collect();
    let mut bad = good.clone();
    for feature in 0..FEATURES {
        let sum = |of: &dyn Fn(usize) -> bool| -> f32 {
            let points = (0..POINTS).filter(|point| of(point / PER_CLASS));
            points.map(|point| bad[point * FEATURES + feature]).sum()
        };
        let (own, others) = (sum(&|class| class == 2), sum(&|class| class != 2));
        // The points of class 2, without their centre, about the centre of the others.
        for point in 2 * PER_CLASS..3 * PER_CLASS {
            let x = &mut bad[point * FEATURES + feature];
            *x = (PER_CLASS as f32 * *x - own) / 8.0 + others / 18.0;
        }
    }
    case.npy("layers/a.npy", &[POINTS, FEATURES], &good);
    case.npy("layers/b.npy", &[POINTS, FEATURES], &bad);
    case.write(
        "y.txt",
        labels().map(|c| format!("class{c}\n")).collect::<String>(),
    );
    let analyze = "layers --labels y.txt --rank 0";
    let (value, err) = case.analyze(analyze);
    let left_out = "the mean-field measures are left out: class \"class2\"";
    assert!(err.contains(left_out), "{err}");
    assert!(notes(&value).contains("b: the mean-field measures are left out"));
    let layers = value["layers"].as_array().unwrap();
    assert!(layers[0]["geometry"].is_object() && layers[1]["geometry"].is_null());
    let (joint, _) = case.analyze(&format!("{analyze} --measures joint"));
    for layer in 0..2 {
        assert_eq!(layers[layer]["joint"], joint["layers"][layer]["joint"]);
    }
    let (csv, _) = case.succeeds(&format!("analyze {analyze} --n-t 20 --format csv"));
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let columns = reader.headers().unwrap().clone();
    let at = |name: &str| columns.iter().position(|c| c == name).unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert!(!rows[0][at("capacity")].is_empty() && rows[1][at("capacity")].is_empty());
    assert!(rows.iter().all(|row| !row[at("joint_capacity")].is_empty()));
    assert!(
        rows[1][at("notes")].contains("left out") && !rows[0][at("notes")].contains("left out")
    );
    let (table, _) = case.succeeds(&format!("analyze {analyze} --n-t 20"));
    let widths: Vec<usize> = table
        .lines()
        .take(3)
        .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).count())
        .collect();
    assert!(widths.iter().all(|&n| n == widths[0]), "{table}");
    // Alone, they are what was asked for.
    let mean_field = format!("analyze {analyze} --measures mean-field --layers b");
    case.fails(&mean_field, 3, &["class2"]);
    let (parquet, _) = case.succeeds(&format!("analyze {analyze} --n-t 20 --plot p.svg -o r.csv"));
    assert!(parquet.is_empty());
}

#[test]
fn joint_measures_of_very_many_points_are_left_out_and_said_so() {
    let case = Case::new();
    const EACH: usize = 2_501;
    let mut state = 1_u32;
    let points: Vec<f32> = (0..CLASSES * EACH * 2)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / (1 << 24) as f32;
            noise + (3 * (i / 2 / EACH) + i % 2) as f32
        })
        .collect();
    case.npy("x.npy", &[CLASSES * EACH, 2], &points);
    let labels: String = (0..CLASSES * EACH)
        .map(|i| format!("{}\n", i / EACH))
        .collect();
    case.write("y.txt", labels);
    let (value, err) = case.analyze("x.npy --labels y.txt --rank 0");
    assert!(value["layers"][0]["joint"].is_null());
    assert!(value["layers"][0]["geometry"].is_object());
    for words in ["10004 points", "--points 2500", "--measures joint"] {
        assert!(
            err.contains(words) && notes(&value).contains(words),
            "{err}"
        );
    }
    // That is all that can be finished of it, and need not be done again.
    case.write("first.json", value.to_string());
    let (again, err) = case.analyze("x.npy --labels y.txt --rank 0 --resume first.json");
    assert!(err.contains("1 of 1 layers taken over"), "{err}");
    assert_eq!(again["notes"], value["notes"]);
    // The remedy works.
    let (value, err) = case.analyze("x.npy --labels y.txt --rank 0 --points 20");
    assert!(value["layers"][0]["joint"].is_object(), "{err}");
    assert!(!notes(&value).contains("left out"));
}

/// Wavelengths above the columns of a table, as a data frame writes them.
#[test]
fn a_heading_of_numbers_is_no_point_in_silence() {
    let case = Case::new();
    let rows: String = values(1)
        .chunks(FEATURES)
        .map(|x| x.iter().map(f32::to_string).collect::<Vec<_>>().join(",") + "\n")
        .collect();
    let heading: Vec<String> = (0..FEATURES).map(|i| (400 + 10 * i).to_string()).collect();
    case.write("x.csv", format!("{}\n{rows}", heading.join(",")));
    case.write("plain.csv", &rows);
    case.write("y.txt", lines());
    case.write("longer.txt", format!("0\n{}", lines()));
    let told = "x.csv: the first line, rising whole numbers alone, was taken for a point";
    case.fails(
        "analyze x.csv --labels y.txt",
        3,
        &[told, "24 labels for 25 points"],
    );
    let (value, err) = case.analyze("x.csv --labels longer.txt");
    assert!(
        err.contains(told) && notes(&value).contains("remove the line"),
        "{err}"
    );
    let (_, err) = case.succeeds("compare x.csv x.csv --format json");
    assert_eq!(err.matches(told).count(), 1, "{err}");
    // Counted from 0 it is a heading, and values are none.
    let counted: Vec<String> = (0..FEATURES).map(|i| i.to_string()).collect();
    case.write("counted.csv", format!("{}\n{rows}", counted.join(",")));
    for file in ["counted.csv", "plain.csv"] {
        let (_, err) = case.succeeds(&format!("analyze {file} --labels y.txt --n-t 20"));
        assert!(!err.contains("the first line"), "{file}: {err}");
    }
}

fn compared(case: &Case, args: &str) -> (serde_json::Value, String) {
    let (out, err) = case.succeeds(&format!("compare {args} --format json"));
    (serde_json::from_str(&out).unwrap(), err)
}

/// The names of the layers compared.
fn pairs(value: &serde_json::Value) -> Vec<(&str, &str)> {
    let rows = value["comparisons"].as_array().unwrap();
    let name = |row: &'_ serde_json::Value, side: &str| row[side].as_str().unwrap().len();
    assert!(rows.iter().all(|row| name(row, "layer_a") > 0));
    rows.iter()
        .map(|row| {
            (
                row["layer_a"].as_str().unwrap(),
                row["layer_b"].as_str().unwrap(),
            )
        })
        .collect()
}

/// `cuts` of the points of a layer as numbered files.
fn chunks(case: &Case, folder: &str, all: &[f32], cuts: &[usize]) {
    for (i, cut) in cuts.windows(2).enumerate() {
        let part = &all[cut[0] * FEATURES..cut[1] * FEATURES];
        let name = format!("{folder}/features_0{}.npy", i + 1);
        case.npy(&name, &[cut[1] - cut[0], FEATURES], part);
    }
}

#[test]
fn numbered_files_are_compared_as_one_layer() {
    let case = Case::new();
    case.layer();
    let all = values(1);
    case.npy("other.npy", &[POINTS, FEATURES], &values(2));
    chunks(&case, "equal", &all, &[0, 8, 16, POINTS]);
    chunks(&case, "unequal", &all, &[0, 5, 16, POINTS]);
    chunks(&case, "things/conv1", &all, &[0, 8, 16, POINTS]);
    let (expected, _) = compared(&case, "x.npy other.npy");
    for side in ["equal", "unequal"] {
        let (found, err) = compared(&case, &format!("{side} other.npy"));
        assert_eq!(pairs(&found), [("features", "other")]);
        assert_eq!(
            found["comparisons"][0]["cka"],
            expected["comparisons"][0]["cka"]
        );
        assert!(
            err.contains("features: 3 numbered arrays were joined"),
            "{err}"
        );
        let (found, _) = compared(&case, &format!("other.npy {side}"));
        assert_eq!(pairs(&found), [("other", "features")]);
    }
    // As modules are named, they are layers, and a note says so.
    for (from, to) in [("1", "plain/features_1"), ("2", "plain/features_2")] {
        let part = std::fs::read(case.path(&format!("equal/features_0{from}.npy"))).unwrap();
        case.write(&format!("{to}.npy"), part);
    }
    let (found, err) = compared(&case, "plain plain");
    assert_eq!(found["comparisons"].as_array().unwrap().len(), 4);
    assert!(err.contains("compared as layers of their own"), "{err}");
    // Nothing but names and sums tells.
    for sides in ["equal equal", "equal unequal", "things equal"] {
        let (found, _) = compared(&case, sides);
        assert_eq!(found["settings"]["points"], POINTS, "{sides}");
        assert_eq!(found["comparisons"].as_array().unwrap().len(), 1, "{sides}");
    }
    // Whole layers with numbers in their names stay layers.
    for layer in ["conv1", "conv2"] {
        case.npy(&format!("layers/{layer}.npy"), &[POINTS, FEATURES], &all);
    }
    let (found, _) = compared(&case, "layers layers");
    assert_eq!(found["comparisons"].as_array().unwrap().len(), 4);
    // The file that holds what is no number is named, and its own index.
    let mut bad = all[8 * FEATURES..16 * FEATURES].to_vec();
    bad[3 * FEATURES + 2] = f32::NAN;
    case.npy("equal/features_02.npy", &[8, FEATURES], &bad);
    let words = ["equal/features_02.npy", "NaN at index [3, 2] (point 11)"];
    case.fails("compare equal other.npy", 3, &words);
    case.fails("analyze equal --labels y.txt --n-t 20", 3, &words);
}

#[test]
fn one_array_per_class_is_one_layer_to_compare_and_list() {
    let case = Case::new();
    case.layer();
    let mut other = values(2);
    for (folder, all) in [("a", &values(1)), ("b", &other)] {
        for (class, part) in all.chunks(PER_CLASS * FEATURES).enumerate() {
            let name = format!("{folder}/class{class}.npy");
            case.npy(&name, &[PER_CLASS, FEATURES], part);
        }
    }
    case.npy("other.npy", &[POINTS, FEATURES], &other);
    let (expected, _) = compared(&case, "x.npy other.npy");
    let (found, _) = compared(&case, "a b --layout one-array-per-class");
    assert_eq!(pairs(&found), [("a", "b")]);
    assert_eq!(
        found["comparisons"][0]["pwcca"],
        expected["comparisons"][0]["pwcca"]
    );
    let (listed, _) = case.succeeds("info a --layout one-array-per-class");
    for words in ["24 x 10 float32", "4 classes", "class3: 6 points"] {
        assert!(listed.contains(words), "{listed}");
    }
    other.truncate(3 * FEATURES);
    case.npy("b/class3.npy", &[3, FEATURES], &other);
    case.fails(
        "compare a b --layout one-array-per-class",
        3,
        &["other classes, or other numbers of points"],
    );
}

/// A column of whole numbers beside a layer, as labels lie there.
#[test]
fn labels_are_no_layer_to_compare() {
    let case = Case::new();
    case.layer();
    let (x, y) = (POINTS * FEATURES * 4, POINTS * 8);
    let json = format!(
        "{{\"l1\":{{\"dtype\":\"F32\",\"shape\":[{POINTS},{FEATURES}],\"data_offsets\":[0,{x}]}},\
         \"targets\":{{\"dtype\":\"I64\",\"shape\":[{POINTS},1],\"data_offsets\":[{x},{}]}}}}",
        x + y
    );
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend(json.bytes());
    file.extend(values(1).iter().flat_map(|x| x.to_le_bytes()));
    file.extend(labels().flat_map(|c| (c as i64).to_le_bytes()));
    case.write("all.safetensors", file);
    let (found, err) = compared(&case, "all.safetensors x.npy");
    assert_eq!(pairs(&found), [("l1", "x")]);
    assert!(err.contains("--layers targets takes it"), "{err}");
    let (found, _) = compared(&case, "all.safetensors x.npy --layers targets");
    assert_eq!(pairs(&found), [("targets", "x")]);
    // Whole numbers that are stored as others are labels by their values; a single feature is a layer.
    let y: Vec<f32> = labels().map(|c| c as f32).collect();
    case.npy("both/l1.npy", &[POINTS, FEATURES], &values(1));
    case.npy("both/targets.npy", &[POINTS, 1], &y);
    case.npy("both/one.npy", &[POINTS, 1], &values(1)[..POINTS]);
    let (found, err) = compared(&case, "both x.npy");
    assert_eq!(pairs(&found), [("l1", "x"), ("one", "x")]);
    assert!(err.contains("labels by its values"), "{err}");
    let (found, _) = compared(&case, "both x.npy --layers targets");
    assert_eq!(pairs(&found), [("targets", "x")]);
    case.fails(
        "compare all.safetensors x.npy --layers l2",
        3,
        &["no array \"l2\"", "l1, targets, x"],
    );
}

/// Settings and notes stand in tables of every command, as those of `analyze` do.
#[test]
fn tables_tell_how_they_were_made() {
    let case = Case::new();
    case.layer();
    case.npy("wide.npy", &[POINTS, POINTS], &repeated_values());
    let record = |line: &str| -> csv::StringRecord {
        let (out, _) = case.succeeds(&format!("{line} --format csv"));
        let mut reader = csv::Reader::from_reader(out.as_bytes());
        let names = reader.headers().unwrap().clone();
        let row = reader.records().next().unwrap().unwrap();
        let cells = names
            .iter()
            .zip(&row)
            .map(|(name, cell)| format!("{name}={cell}"));
        cells.collect()
    };
    let has =
        |record: &csv::StringRecord, words: &str| record.iter().any(|cell| cell.starts_with(words));
    let compared = record("compare wide.npy x.npy --variance 0.9 --seed 3");
    for words in [
        "setting_variance=0.9",
        "setting_seed=3",
        "setting_points=24",
        "setting_layout=points-by-features",
        "file_a=wide.npy",
        "program=mftma",
        "notes=wide: 24 x 24, as many points as features",
    ] {
        assert!(has(&compared, words), "{words}: {compared:?}");
    }
    let capacity = record("capacity --simulate x.npy --labels y.txt --dichotomies 5 --points 3");
    for words in [
        "setting_labels=y.txt",
        "setting_points=3",
        "points=12",
        "notes=",
    ] {
        assert!(has(&capacity, words), "{words}: {capacity:?}");
    }
    #[cfg(feature = "parquet")]
    for line in [
        "compare wide.npy x.npy -o c.parquet",
        "capacity --simulate x.npy --labels y.txt --dichotomies 5 -o s.parquet",
    ] {
        case.succeeds(line);
    }
}

fn repeated_values() -> Vec<f32> {
    (0..3).flat_map(values).take(POINTS * POINTS).collect()
}

/// Every class centred by itself: nothing separates them, and that is said.
#[test]
fn no_capacity_to_simulate_is_said() {
    let case = Case::new();
    case.layer();
    let mut all = values(1);
    for class in all.chunks_mut(PER_CLASS * FEATURES) {
        for feature in 0..FEATURES {
            let mean = class.iter().skip(feature).step_by(FEATURES).sum::<f32>() / PER_CLASS as f32;
            class
                .iter_mut()
                .skip(feature)
                .step_by(FEATURES)
                .for_each(|x| *x -= mean);
        }
    }
    case.npy("own.npy", &[POINTS, FEATURES], &all);
    let (out, err) = case.succeeds("capacity --simulate own.npy --labels y.txt --dichotomies 20");
    assert!(
        out.contains("own: all features together separate") && out.contains("centred"),
        "{out} {err}"
    );
}

/// The file w01 of the cases: 40 clouds in 30 dimensions whose independent centres share no direction; .809 by the mean-field theory without
/// any removed.
#[test]
fn simulation_holds_the_capacity_of_independent_clouds() {
    let case = Case::new();
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    for file in ["w01_clouds.npy", "w01_labels.npy"] {
        case.write(file, std::fs::read(format!("{fixtures}/{file}")).unwrap());
    }
    let (out, _) =
        case.succeeds("capacity --simulate w01_clouds.npy --labels w01_labels.npy --format json");
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    let of = |name: &str| value["layers"][0][name].as_f64().unwrap();
    assert!(of("lower") < 0.809 && 0.809 < of("upper"), "{value}");
}

#[test]
fn labels_of_every_habit_are_read_or_told_what_to_do() {
    let case = Case::new();
    case.layer();
    let hot = |c: usize| -> String {
        let cells: Vec<&str> = (0..CLASSES)
            .map(|i| if i == c { "1" } else { "0" })
            .collect();
        cells.join(",") + "\n"
    };
    let rows: String = labels().map(hot).collect();
    case.write("hot.csv", &rows);
    case.write("named.csv", format!("a,b,c,d\n{rows}"));
    for reference in ["hot.csv", "hot.csv::1", "named.csv"] {
        let line = format!("analyze x.npy --labels {reference}");
        case.fails(&line, 3, &["4 columns of 0 and 1", "argmax(axis=1)"]);
    }
    // One class against the others is a choice.
    let (value, _) = case.analyze("x.npy --labels named.csv::b");
    assert_eq!(value["classes"].as_array().unwrap().len(), 2);
    let pairs: String = labels().map(|c| format!("im{c},{c}\n")).collect();
    case.write("bare.csv", pairs);
    case.fails(
        "analyze x.npy --labels bare.csv::0",
        3,
        &["24 lines for 24 points", "write the names of the columns"],
    );
    // What pandas has no label for.
    let missing: String = labels()
        .map(|c| {
            if c == 2 {
                "im,\n".to_owned()
            } else {
                format!("im,{c}\n")
            }
        })
        .collect();
    case.write("missing.csv", format!("file,label\n{missing}"));
    let (value, err) = case.analyze("x.npy --labels missing.csv::label --leave-out NA");
    assert_eq!(value["classes"].as_array().unwrap().len(), CLASSES - 1);
    assert!(!err.contains("--leave-out"), "{err}");
    // All on one line.
    let line = lines();
    let line = line.trim_end();
    for (file, between) in [("one.txt", " "), ("one.csv", ","), ("tabs.tsv", "\t")] {
        case.write(file, line.replace('\n', between));
        let words = ["24 labels on one line", "one label a line"];
        case.fails(&format!("analyze x.npy --labels {file}"), 3, &words);
    }
}

/// Pipes are read once and whole, as standard input is.
#[cfg(unix)]
#[test]
fn pipes_are_read() {
    let case = Case::new();
    case.layer();
    let (expected, _) = case.analyze("x.npy --labels y.txt");
    // What still waits for a reader is ended, so that a refusal does not wait with it.
    let line = "mkfifo a b
        { cat x.npy > a; } > out 2>&1 & first=$!
        { cat y.txt > b; } > out 2>&1 & second=$!
        \"$PROGRAM\" analyze a --labels b --n-t 20 --format json
        code=$?; kill $first $second 2> out; exit $code";
    let output = Command::new("sh")
        .args(["-c", line])
        .env("PROGRAM", env!("CARGO_BIN_EXE_mftma"))
        .current_dir(case.0.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{err}");
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(measures(&value), measures(&expected));
    assert_eq!(names(&value), ["a"]);
}

/// The first bytes tell, not the name.
#[test]
fn numbers_as_text_are_read_by_any_name() {
    let case = Case::new();
    case.layer();
    let rows: String = values(1)
        .chunks(FEATURES)
        .map(|x| x.iter().map(f32::to_string).collect::<Vec<_>>().join(",") + "\n")
        .collect();
    case.write("text.npy", &rows);
    case.write("labels.npy", lines());
    case.write(
        "words.npy",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
    );
    assert_eq!(case.layers("text.npy --labels labels.npy"), ["text"]);
    case.fails("info words.npy", 3, &["words.npy"]);
}
