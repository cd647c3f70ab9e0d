//! What messages propose is done: the flag or the command is taken from the message itself, typed, and the message is gone.

use std::process::{Command, Output, Stdio};

use crate::common::*;

/// A message, and what is done about it.
struct Remedy {
    /// What brings the message about, as it is typed.
    typed: &'static str,
    /// Words of the message.
    problem: &'static str,
    /// Words of its remedy, which stand behind the problem; `*` is any one word.
    taken: &'static str,
    /// What takes the place of a word in capitals, or follows a flag that is named without a value.
    value: &'static str,
    /// What is typed then, with `{}` for the words taken.
    again: &'static str,
}

const fn remedy(
    typed: &'static str,
    problem: &'static str,
    taken: &'static str,
    value: &'static str,
    again: &'static str,
) -> Remedy {
    Remedy {
        typed,
        problem,
        taken,
        value,
        again,
    }
}

/// Messages of settings, labels and layers. (That too many points are more than a memory holds is tried in `cases.rs`: at this size it takes
/// gigabytes.)
const REMEDIES: &[Remedy] = &[
    remedy(
        "mftma analyze turned.npy --labels y.txt",
        "24 labels for 10 points",
        "--layout *",
        "",
        "mftma analyze turned.npy --labels y.txt {}",
    ),
    remedy(
        "mftma analyze square.npy --labels y.txt --format json",
        "the rows were taken for the points",
        "--layout *",
        "",
        "mftma analyze square.npy --labels y.txt --format json {}",
    ),
    remedy(
        "mftma analyze square.npy --labels y.txt --format json --layout features-by-points",
        "the columns were taken for the points",
        "--layout *",
        "",
        "mftma analyze square.npy --labels y.txt --format json {}",
    ),
    remedy(
        "mftma analyze x.npy --labels minus.txt --format json",
        "looks like a mark for points without a label",
        "--leave-out *",
        "",
        "mftma analyze x.npy --labels minus.txt --format json {}",
    ),
    remedy(
        "mftma analyze x.npy --labels question.txt --format json",
        "looks like a mark for points without a label",
        "--leave-out *",
        "",
        "mftma analyze x.npy --labels question.txt --format json {}",
    ),
    remedy(
        "mftma analyze cube.npy --labels y.txt",
        "24 labels for 4 points",
        "--layout *",
        "",
        "mftma analyze cube.npy {}",
    ),
    remedy(
        "mftma analyze cube.npy",
        "--labels is missing",
        "--layout",
        "classes-by-points-by-features",
        "mftma analyze cube.npy {}",
    ),
    remedy(
        "mftma capacity --simulate x.npy --dichotomies 5",
        "--labels is missing",
        "--labels FILE",
        "y.txt",
        "mftma capacity --simulate x.npy --dichotomies 5 {}",
    ),
    remedy(
        "mftma analyze x.npy --labels missing.csv::label --format json",
        "looks like a mark for points without a label",
        "--leave-out *",
        "",
        "mftma analyze x.npy --labels missing.csv::label --format json {}",
    ),
    remedy(
        "mftma analyze x.npy --labels oneline.txt",
        "24 labels on one line",
        "tr -s * * < * > *",
        "",
        "{} && mftma analyze x.npy --labels labels.txt",
    ),
    remedy(
        "mftma analyze x.npy --labels listed.txt",
        "24 labels on one line",
        "tr -s * * < * > *",
        "",
        "{} && mftma analyze x.npy --labels labels.txt --only-classes 0,1,2,3 && test $(mftma info x.npy --labels labels.txt | grep -c ']') = 0",
    ),
    remedy(
        "mftma analyze x.npy --labels old_mac.txt",
        "24 labels on one line",
        "tr -s * * < * > *",
        "",
        "{} && mftma analyze x.npy --labels labels.txt",
    ),
    remedy(
        "mftma analyze x.npy --labels doubled.txt",
        "47 lines for 24 points, 23 of them blank",
        "grep * * > *",
        "",
        "{} && mftma analyze x.npy --labels labels.txt",
    ),
    remedy(
        "mftma compare dead dead",
        "all points are the same",
        "--layers *",
        "",
        "mftma compare dead dead {}",
    ),
    remedy(
        "mftma analyze x.npy --labels bare.csv::0",
        "leave none for the names of the columns",
        "write the names of the columns above",
        "",
        "(echo image,label; cat bare.csv) > above.csv && mftma analyze x.npy --labels above.csv::label",
    ),
    remedy(
        "mftma compare lying/a.npy lying/b.npy",
        "9 points, but lying/a.npy has 6",
        "--layout *",
        "",
        "mftma compare lying/a.npy lying/b.npy {}",
    ),
    remedy(
        "mftma compare plain plain --format json",
        "are compared as layers of their own",
        "features_01",
        "",
        "mv plain/features_1.npy plain/{}.npy && mv plain/features_2.npy plain/features_02.npy && mftma compare plain plain --format json",
    ),
    remedy(
        "mftma compare layer.safetensors x.npy --layers y",
        "no array \"y\", and none in x.npy; there are",
        "--layers",
        "x",
        "mftma compare layer.safetensors x.npy {}",
    ),
    remedy(
        "mftma compare layer.safetensors x.npy --format json",
        "is no layer but labels by its shape",
        "--layers *",
        "",
        "mftma compare layer.safetensors x.npy --format json --layers x",
    ),
    remedy(
        "mftma compare per_class per_class --layout one-array-per-class --layers cat",
        "which makes one layer of each side",
        "leave out --layers",
        "",
        "mftma compare per_class per_class --layout one-array-per-class",
    ),
    remedy(
        "mftma analyze near.npy --labels y.txt --rank 0 --format json",
        "its centre lies near the global mean",
        "--leave-out *",
        "",
        "mftma analyze near.npy --labels y.txt --rank 0 --format json {}",
    ),
    remedy(
        "mftma capacity --simulate many.npy --labels many.txt --dichotomies 20 --format json",
        "there is no capacity to tell",
        "--points",
        "1",
        "mftma capacity --simulate many.npy --labels many.txt --dichotomies 20 --classes 8 --format json {}",
    ),
    remedy(
        "mftma analyze x.npy --layout points-by-features",
        "--labels is missing",
        "--labels FILE",
        "y.txt",
        "mftma analyze x.npy {}",
    ),
    remedy(
        "mftma analyze cube.npy --layout points-by-features",
        "--labels is missing",
        "--layout",
        "classes-by-points-by-features",
        "mftma analyze cube.npy {}",
    ),
    remedy(
        "mftma analyze cube.npy --labels y.txt --layout classes-by-points-by-features",
        "but the layout tells the class of every point",
        "leave out --labels",
        "",
        "mftma analyze cube.npy --layout classes-by-points-by-features",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --layout classes-by-points-by-features",
        "but the layout tells the class of every point",
        "or --layout",
        "",
        "mftma analyze x.npy --labels y.txt",
    ),
    remedy(
        "mftma analyze x.npy --layout classes-by-points-by-features",
        "no array of classes x points x features",
        "another --layout",
        "points-by-features",
        "mftma analyze x.npy --labels y.txt --layout points-by-features",
    ),
    remedy(
        "mftma analyze mixed --layout classes-by-points-by-features",
        "has 2 axes; classes x points x features were announced",
        "--layout points-by-features with --labels",
        "y.txt",
        "mftma analyze mixed --layout points-by-features --labels y.txt",
    ),
    remedy(
        "mftma analyze x.npy --labels several.safetensors",
        "holds several arrays (fine, rough)",
        "--labels *",
        "rough",
        "mftma analyze x.npy {}",
    ),
    remedy(
        "mftma analyze x.npy --labels several.safetensors::other",
        "no array \"other\"; there are fine, rough",
        "--labels *",
        "fine",
        "mftma analyze x.npy {}",
    ),
    remedy(
        "mftma analyze x.npy --labels two.csv",
        "2 columns; which holds the labels?",
        "--labels *",
        "class",
        "mftma analyze x.npy {}",
    ),
    remedy(
        "mftma analyze x.npy --labels two.csv::other",
        "no column \"other\"",
        "--labels *",
        "class",
        "mftma analyze x.npy {}",
    ),
    remedy(
        "mftma analyze headed.csv --labels y.txt",
        "was taken for a point",
        "remove the line",
        "",
        "sed 1d headed.csv > bare.csv && mftma analyze bare.csv --labels y.txt",
    ),
    remedy(
        "mftma analyze named.csv --labels y.txt",
        "column \"my class\" holds",
        "--labels *",
        "",
        "mftma analyze named.csv {}",
    ),
    remedy(
        "mftma analyze pair --labels y.txt --layers c",
        "no array \"c\" (or it is named twice); there are a, b",
        "--layers",
        "b,a",
        "mftma analyze pair --labels y.txt {}",
    ),
    remedy(
        "mftma analyze pair --labels y.txt --layers c",
        "no array \"c\"",
        "mftma info FILE",
        "pair",
        "{}",
    ),
    remedy(
        "mftma info x.npy 1>&2",
        "24 x 10 float32",
        "--labels FILE",
        "y.txt",
        "mftma info x.npy {} | grep 4",
    ),
    remedy(
        "mftma analyze unlike --labels y.txt",
        "points, but layer",
        "--layers",
        "a",
        "mftma analyze unlike --labels y.txt {}",
    ),
    remedy(
        "mftma analyze lying --labels y.txt",
        "points, but layer",
        "--layout",
        "features-by-points",
        "mftma analyze lying --labels y.txt {}",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --classes 9",
        "--classes 9, but there are 4",
        "--classes *",
        "",
        "mftma analyze x.npy --labels y.txt {}",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --classes 9",
        "--classes 9, but there are 4",
        "leave the flag out",
        "",
        "mftma analyze x.npy --labels y.txt",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --only-classes cat,dog",
        "no class \"cat\"; there are 0, 1, 2, 3",
        "--only-classes",
        "0,1",
        "mftma analyze x.npy --labels y.txt {}",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --leave-out cat",
        "no class \"cat\"",
        "--leave-out",
        "3",
        "mftma analyze x.npy --labels y.txt {}",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --only-classes 2",
        "only one class (2)",
        "--only-classes",
        "2,3",
        "mftma analyze x.npy --labels y.txt {}",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --leave-out 0,1,2",
        "only one class (3)",
        "--leave-out",
        "0",
        "mftma analyze x.npy --labels y.txt {}",
    ),
    remedy(
        "mftma analyze bins.npy --labels y.txt --time-axis 3",
        "--time-axis 3, but",
        "--time-axis",
        "1",
        "mftma analyze bins.npy --labels y.txt {}",
    ),
    remedy(
        "mftma analyze timed --labels y.txt --time-axis 1",
        "--time-axis 1, but \"b\"",
        "--layers",
        "a",
        "mftma analyze timed --labels y.txt --time-axis 1 {}",
    ),
    remedy(
        "mftma analyze per_class --layout one-array-per-class --time-axis 1",
        "--time-axis 1 with --layout one-array-per-class",
        "--layout * --time-axis *",
        "",
        "mftma analyze pmtn.npy {}",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --measures joint --classes-per-draw 9",
        "--classes-per-draw is 9",
        "at most the number of classes",
        "",
        "mftma analyze x.npy --labels y.txt --measures joint --classes-per-draw 4",
    ),
    remedy(
        "mftma analyze many.npy --labels many.txt --measures joint --classes-per-draw 30",
        "the joint capacity is below what so few can show",
        "--classes-per-draw",
        "2",
        "mftma analyze many.npy --labels many.txt --measures joint {}",
    ),
    remedy(
        "mftma analyze many.npy --labels many.txt --measures joint --classes-per-draw 30",
        "the joint capacity is below what so few can show",
        "or left out",
        "",
        "mftma analyze many.npy --labels many.txt --measures joint",
    ),
    remedy(
        "mftma analyze many.npy --labels many.txt --measures joint --classes-per-draw 30",
        "the joint capacity is below what so few can show",
        "--points",
        "1",
        "mftma analyze many.npy --labels many.txt --measures joint --classes-per-draw 30 {}",
    ),
    remedy(
        "mftma analyze many.npy --labels many.txt --measures joint --classes-per-draw 30",
        "the joint capacity is below what so few can show",
        "--measures *",
        "",
        "mftma analyze many.npy --labels many.txt {}",
    ),
    remedy(
        "mftma analyze many.npy --labels many.txt --classes-per-draw 30 --format json",
        "the joint measures are left out",
        "--classes-per-draw",
        "2",
        "mftma analyze many.npy --labels many.txt --format json {}",
    ),
    remedy(
        "mftma analyze many.npy --labels many.txt --format json",
        "of the 30 classes in each draw",
        "--classes-per-draw *",
        "",
        "mftma analyze many.npy --labels many.txt --format json {}",
    ),
    remedy(
        "mftma analyze heap.npy --labels y.txt --classes 2 --measures joint --centring none --format json",
        "draws of the joint capacity cannot be separated",
        "--points",
        "1",
        "mftma analyze heap.npy --labels y.txt --classes 2 --measures joint --centring none --format json {}",
    ),
    remedy(
        "mftma analyze middle.npy --labels middle.txt --rank 0 --measures mean-field",
        "class \"2\"",
        "--leave-out",
        "2",
        "mftma analyze middle.npy --labels middle.txt --rank 0 --measures mean-field {}",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --convention reference --max-rank 2",
        "the reference's rule knows no cap",
        "--rank",
        "1",
        "mftma analyze x.npy --labels y.txt --convention reference {}",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --convention reference --max-rank 2",
        "the reference's rule knows no cap",
        "--convention *",
        "",
        "mftma analyze x.npy --labels y.txt --max-rank 2 {}",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --config unknown.toml",
        "no setting of that name",
        "seed",
        "",
        "sed 's/seeed/seed/' unknown.toml > known.toml && mftma analyze x.npy --labels y.txt --config known.toml",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --config quoted.toml",
        "invalid type",
        "max-n-t = *",
        "",
        "echo '{}' > bare.toml && mftma analyze x.npy --labels y.txt --config bare.toml",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --config chosen.toml",
        "is none of its values",
        "measures = *",
        "",
        "echo '{}' > choice.toml && mftma analyze x.npy --labels y.txt --config choice.toml",
    ),
    remedy(
        "mftma analyze deflated.npz --labels labels.npy --inflate-limit 0.000001",
        "unpacks to",
        "--inflate-limit",
        "1",
        "mftma analyze deflated.npz --labels labels.npy {}",
    ),
    remedy(
        "mftma analyze text.npy --labels labels.npy",
        "an array of strings; activations are numbers",
        "--labels",
        "text.npy",
        "mftma analyze deflated.npz {}",
    ),
    remedy(
        "mftma analyze layer.safetensors --labels y.txt --layers targets",
        "has 1 axis; activations need two or more",
        "--layers",
        "x",
        "mftma analyze layer.safetensors --labels y.txt {}",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --plot p.jpg",
        "the name ends in none of",
        "--plot *",
        "",
        "mftma analyze x.npy --labels y.txt {} && test -s p.svg",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --force --output x.npy",
        "would replace x.npy, which is read",
        "--output",
        "other.txt",
        "mftma analyze x.npy --labels y.txt {}",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --force --output p.svg --plot p.svg",
        "is the file of --output too",
        "--plot",
        "other.svg",
        "mftma analyze x.npy --labels y.txt --force --output p.svg {}",
    ),
    remedy(
        "echo '{}' > again.json.partial; mftma analyze x.npy --labels y.txt -o again.json",
        "again.json.partial exists already",
        "--force",
        "",
        "mftma analyze x.npy --labels y.txt -o again.json {}",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt -o two.csv",
        "two.csv exists already",
        "--force",
        "",
        "cp y.txt z.txt && mftma analyze x.npy --labels y.txt -o z.txt {}",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt -o none/r.csv",
        "there is no folder none",
        "make the folder first",
        "",
        "mkdir none && mftma analyze x.npy --labels y.txt -o none/r.csv",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt -o r.json && mftma analyze x.npy --labels y.txt --seed 7 --resume r.json",
        "was made with --seed 0, not 7",
        "the same settings",
        "",
        "mftma analyze x.npy --labels y.txt --resume r.json",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --seed 7 --resume r.json",
        "was made with --seed 0, not 7",
        "leave out --resume",
        "",
        "mftma analyze x.npy --labels y.txt --seed 7",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --resume y.txt",
        "is no JSON result of mftma analyze",
        "--format *",
        "",
        "mftma analyze x.npy --labels y.txt {} > s.json && mftma analyze x.npy --labels y.txt --resume s.json",
    ),
    remedy(
        "mftma analyze x.npy --labels y.txt --resume none.json",
        "none.json: cannot be read",
        "leave out --resume",
        "",
        "mftma analyze x.npy --labels y.txt",
    ),
    remedy(
        "mkdir -p linked && cp x.npy linked/a.npy && ln -sf gone.npy linked/b.npy && mftma analyze linked --labels y.txt",
        "a link to what is not there",
        "remove the link",
        "",
        "rm linked/b.npy && mftma analyze linked --labels y.txt",
    ),
    remedy(
        "gzip -k x.npy && mftma analyze x.npy.gz --labels y.txt",
        "compressed by gzip as a whole",
        "gunzip",
        "",
        "{} -c x.npy.gz > unpacked.npy && mftma analyze unpacked.npy --labels y.txt",
    ),
];

/// Remedies in Python: code that makes the file, the command, words of the message, and the code that follows `expression`, which is what is
/// taken from the message. `{}` is that.
const PYTHON: &[(&str, &str, &str, &str, &str)] = &[
    (
        "numpy.save('words.npy', numpy.array(['a', 'b', 'c', 'd'], dtype=object).repeat(6))",
        "mftma analyze x.npy --labels words.npy",
        "object array",
        "y = numpy.load('words.npy', allow_pickle=True); file = 'mended.npy'; {}",
        "mftma analyze x.npy --labels mended.npy",
    ),
    (
        "numpy.save('hot.npy', numpy.eye(4).repeat(6, axis=0))",
        "mftma analyze x.npy --labels hot.npy",
        "one label per point was expected",
        "y = numpy.load('hot.npy'); numpy.save('mended.npy', {})",
        "mftma analyze x.npy --labels mended.npy",
    ),
    (
        "numpy.savetxt('hot.csv', numpy.eye(4).repeat(6, axis=0), fmt='%d', delimiter=',')",
        "mftma analyze x.npy --labels hot.csv",
        "4 columns of 0 and 1",
        "y = numpy.loadtxt('hot.csv', delimiter=','); {}",
        "mftma analyze x.npy --labels labels.txt",
    ),
    (
        "numpy.save('half.npy', numpy.arange(4).repeat(6) + 0.5)",
        "mftma analyze x.npy --labels half.npy",
        "not a whole number",
        "y = numpy.load('half.npy'); numpy.save('mended.npy', {})",
        "mftma analyze x.npy --labels mended.npy",
    ),
    (
        "import pickle; pickle.dump(numpy.load('x.npy'), open('x.pkl', 'wb'))",
        "mftma analyze x.pkl --labels y.txt",
        "Python pickle",
        "import pickle; x = pickle.load(open('x.pkl', 'rb')); {}",
        "mftma analyze acts.npy --labels y.txt",
    ),
    (
        "a = numpy.empty(24, dtype=object); a[:] = list(numpy.load('x.npy')); numpy.save('ragged.npy', a)",
        "mftma analyze ragged.npy --labels y.txt",
        "object array",
        "x = numpy.load('ragged.npy', allow_pickle=True); file = 'mended.npy'; {}",
        "mftma analyze mended.npy --labels y.txt",
    ),
    (
        "numpy.save('complex.npy', numpy.load('x.npy') * (1 + 1j))",
        "mftma analyze complex.npy --labels y.txt",
        "complex numbers",
        "x = numpy.load('complex.npy'); numpy.save('mended.npy', {})",
        "mftma analyze mended.npy --labels y.txt",
    ),
    (
        "numpy.save('long.npy', numpy.load('x.npy').astype('longdouble'))",
        "mftma analyze long.npy --labels y.txt",
        "longdouble",
        "x = numpy.load('long.npy'); numpy.save('mended.npy', {})",
        "mftma analyze mended.npy --labels y.txt",
    ),
    (
        "x = numpy.load('x.npy'); a = numpy.zeros(24, dtype=[('field', 'f4', 10)]); a['field'] = x; numpy.save('fields.npy', a)",
        "mftma analyze fields.npy --labels y.txt",
        "structured array",
        "x = numpy.load('fields.npy'); file = 'mended.npy'; {}",
        "mftma analyze mended.npy --labels y.txt",
    ),
    (
        "numpy.save('fortran.npy', numpy.asfortranarray(numpy.load('cube.npy')))",
        "mftma analyze fortran.npy --layout classes-by-points-by-features",
        "in Fortran order",
        "x = numpy.load('fortran.npy'); numpy.save('mended.npy', {})",
        "mftma analyze mended.npy --layout classes-by-points-by-features",
    ),
    (
        "open('short.csv', 'w').write('1,2\\n' * 23 + '1\\n')",
        "mftma analyze short.csv --labels y.txt",
        "values, row 0 has 2",
        "x = numpy.load('x.npy'); {}",
        "mftma analyze acts.csv --labels y.txt",
    ),
];

/// The files that the commands above read.
fn files() -> Case {
    let case = Case::new();
    case.layer();
    let x = values(1);
    case.npy("turned.npy", &[FEATURES, POINTS], &x);
    case.npy("square.npy", &[POINTS, POINTS], &repeated(&x, 24 * 24));
    case.npy("cube.npy", &[CLASSES, PER_CLASS, FEATURES], &x);
    case.npy("pmtn.npy", &[4, 6, 3, 10], &repeated(&x, 4 * 6 * 3 * 10));
    case.npy("bins.npy", &[POINTS, 3, FEATURES], &repeated(&x, 24 * 30));
    for (name, shape) in [
        ("pair/a", &[24, 10][..]),
        ("pair/b", &[24, 10]),
        ("mixed/a", &[24, 5, 10]),
        ("mixed/b", &[24, 10]),
        ("unlike/a", &[24, 10]),
        ("unlike/b", &[10, 24]),
        ("lying/a", &[6, 24]),
        ("lying/b", &[9, 24]),
        ("timed/a", &[24, 3, 10]),
        ("timed/b", &[24, 10]),
        ("per_class/cat", &[6, 10]),
        ("per_class/dog", &[6, 10]),
        ("plain/features_1", &[6, 10]),
        ("plain/features_2", &[6, 10]),
    ] {
        let all = repeated(&x, shape.iter().product());
        case.npy(&format!("{name}.npy"), shape, &all);
    }
    let marked = |mark: &str| lines().replace("0\n", &format!("{mark}\n"));
    let rows: String = labels()
        .map(|c| {
            if c == 2 {
                "im,\n".to_owned()
            } else {
                format!("im,{c}\n")
            }
        })
        .collect();
    case.write("missing.csv", format!("file,label\n{rows}"));
    let rows: String = labels().map(|c| format!("im,{c}\n")).collect();
    case.write("bare.csv", rows);
    case.write("oneline.txt", lines().trim_end().replace('\n', " "));
    let list = lines().trim_end().replace('\n', ", ");
    case.write("listed.txt", format!("[{list}]\n"));
    case.write("old_mac.txt", lines().replace('\n', "\r"));
    case.write("doubled.txt", lines().trim_end().replace('\n', "\n\n"));
    case.npy("dead/a.npy", &[POINTS, FEATURES], &x);
    case.npy("dead/b.npy", &[POINTS, FEATURES], &[0.1; POINTS * FEATURES]);
    // The last class lies almost where the mean of the others does.
    let mut near = x.clone();
    for feature in 0..FEATURES {
        let mean = |class: usize| {
            let of = (0..PER_CLASS).map(|p| x[(class * PER_CLASS + p) * FEATURES + feature]);
            of.sum::<f32>() / PER_CLASS as f32
        };
        let shift = 0.99 * ((0..3).map(mean).sum::<f32>() / 3.0 - mean(3));
        (18..24).for_each(|p| near[p * FEATURES + feature] += shift);
    }
    case.npy("near.npy", &[POINTS, FEATURES], &near);
    case.write("minus.txt", marked("-1"));
    case.write("question.txt", marked("?"));
    case.write("unknown.toml", "seeed = 3\n");
    case.write("quoted.toml", "max-n-t = \"50\"\n");
    case.write("chosen.toml", "measures = \"all\"\n");
    let rows: String = labels().map(|c| format!("{c},class{c}\n")).collect();
    case.write("two.csv", format!("id,class\n{rows}"));
    let rows: String = (labels().zip(x.chunks(FEATURES)))
        .map(|(c, x)| format!("{},{},class{c}\n", x[0], x[1]))
        .collect();
    let bare: String = (x.chunks(FEATURES))
        .map(|x| format!("{},{}\n", x[0], x[1]))
        .collect();
    case.write("headed.csv", format!("1990,2000\n{bare}"));
    case.write("named.csv", format!("a,b,my class\n{rows}"));
    let targets: Vec<u8> = labels().flat_map(|c| (c as i64).to_le_bytes()).collect();
    let floats: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
    let whole = ("I64", vec![POINTS], targets);
    let tensors = [("fine", whole.clone()), ("rough", whole.clone())];
    safetensors(&case, "several.safetensors", &tensors);
    let tensors = [
        ("targets", whole),
        ("x", ("F32", vec![POINTS, FEATURES], floats)),
    ];
    safetensors(&case, "layer.safetensors", &tensors);
    // 240 points in 16 features: no readout separates labellings of all classes.
    let many: String = (0..240).map(|i| format!("{}\n", i / 8)).collect();
    case.write("many.txt", many);
    let mut draw = draws(7);
    let noise: Vec<f32> = (0..240 * 16).map(|_| draw()).collect();
    case.npy("many.npy", &[240, 16], &noise);
    // All classes in one heap, far from the origin, in two features.
    let mut draw = draws(3);
    let heap: Vec<f32> = (0..2 * POINTS).map(|_| 5.0 + draw()).collect();
    case.npy("heap.npy", &[POINTS, 2], &heap);
    // Classes about c, -c and nought, whole numbers all of them.
    let mut middle = Vec::new();
    for sign in [4.0, -4.0, 0.0] {
        for point in 0..6 {
            let mut x = [sign, 0.0, 0.0, 0.0];
            x[1 + point / 2] = if point % 2 == 0 { 1.0 } else { -1.0 };
            middle.extend(x);
        }
    }
    case.npy("middle.npy", &[18, 4], &middle);
    let labels: String = (0..18).map(|i| format!("{}\n", i / 6)).collect();
    case.write("middle.txt", labels);
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../mftma-files/tests/fixtures");
    for (from, to) in [
        ("layers_deflated.npz", "deflated.npz"),
        ("labels.npy", "labels.npy"),
        ("labels_text.npy", "text.npy"),
    ] {
        case.write(to, std::fs::read(format!("{fixtures}/{from}")).unwrap());
    }
    case
}

fn repeated(values: &[f32], count: usize) -> Vec<f32> {
    // Not quite the same each time, so that no two points are.
    let of = |i: usize| values[i % values.len()] + (i / values.len()) as f32 * 0.01;
    (0..count).map(of).collect()
}

fn draws(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    }
}

type Tensor = (&'static str, Vec<usize>, Vec<u8>);

fn safetensors(case: &Case, name: &str, tensors: &[(&str, Tensor)]) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, (kind, shape, bytes)) in tensors {
        let start = data.len();
        data.extend(bytes);
        let offsets = [start, data.len()];
        let tensor = serde_json::json!({"dtype": kind, "shape": shape, "data_offsets": offsets});
        header.insert((*name).to_owned(), tensor);
    }
    let header = serde_json::to_string(&header).unwrap();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(data);
    case.write(name, file);
}

/// Types a line into a shell in which `mftma` is the program, with few Gaussian vectors in an analysis.
fn typed(case: &Case, line: &str) -> Output {
    let line = line.replace("mftma analyze", "mftma analyze --n-t 20");
    Command::new("sh")
        .args(["-c", &format!("mftma() {{ \"$PROGRAM\" \"$@\"; }}\n{line}")])
        .env("PROGRAM", env!("CARGO_BIN_EXE_mftma"))
        .current_dir(case.0.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What people read of it, besides results.
fn said(output: &Output) -> String {
    texts(output).1
}

/// The words of `text` that `pattern` describes, without what sets them apart from the sentence.
fn words(text: &str, pattern: &str) -> Option<String> {
    let bare = |word: &str| {
        let word = word.trim_start_matches(['(', '`']);
        word.trim_end_matches([',', ';', '.', ')', '`', ':'])
            .to_owned()
    };
    // A word in quotation marks may hold spaces.
    let mut all: Vec<String> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let quoted = rest.strip_prefix('\'').and_then(|rest| rest.find('\''));
        let from = quoted.map_or(0, |at| at + 2);
        let space = rest[from..].find(char::is_whitespace);
        let (word, left) = rest.split_at(space.map_or(rest.len(), |at| from + at));
        all.push(bare(word));
        rest = left.trim_start();
    }
    let pattern: Vec<&str> = pattern.split(' ').collect();
    let fits = |found: &&[String]| {
        let mut pairs = found.iter().zip(&pattern);
        pairs.all(|(word, wanted)| *wanted == "*" || word == wanted)
    };
    Some(all.windows(pattern.len()).find(fits)?.join(" "))
}

/// Words taken with the value that they leave to the reader.
fn filled(taken: &str, value: &str) -> String {
    let open = ["FILE", "NAME", "COLUMN"];
    match open.iter().find(|word| taken.ends_with(*word)) {
        Some(word) => taken.replace(word, value),
        None if value.is_empty() => taken.to_owned(),
        None => format!("{taken} {value}"),
    }
}

#[test]
fn what_messages_propose_works() {
    let case = files();
    let mut wrong = Vec::new();
    for remedy in REMEDIES {
        let Remedy {
            typed: line,
            problem,
            ..
        } = remedy;
        let first = said(&typed(&case, line));
        let Some((_, rest)) = first.split_once(problem) else {
            wrong.push(format!("`{line}` does not say {problem:?}: {first}"));
            continue;
        };
        let Some(taken) = words(rest, remedy.taken) else {
            wrong.push(format!("`{line}` does not say {:?}: {first}", remedy.taken));
            continue;
        };
        let again = remedy.again.replace("{}", &filled(&taken, remedy.value));
        let output = typed(&case, &again);
        let then = said(&output);
        if !output.status.success() || (then.contains(problem) && !line.starts_with("mftma info")) {
            wrong.push(format!("`{line}` says {first}\nbut `{again}` says {then}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The code of a remedy: what stands behind `save ` or the last colon, or a call of NumPy.
fn code(message: &str) -> Option<&str> {
    let (_, remedy) = message.split_once("try: ")?;
    let line = remedy.lines().next()?;
    let starts = ["numpy.", "y.", "x."];
    let at = starts.iter().filter_map(|start| line.find(start)).min()?;
    // To the end of the outermost brackets.
    let mut depth = 0;
    for (i, c) in line[at..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' if depth == 1 => return Some(&line[at..=at + i]),
            ')' | ']' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[test]
fn what_messages_propose_in_python_works() {
    let case = files();
    let python = |code: &str| {
        Command::new("python3")
            .args(["-c", &format!("import numpy\n{code}")])
            .current_dir(case.0.path())
            .output()
    };
    if !python("").is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: there is no python3 with numpy");
        return;
    }
    let run = |text: &str| {
        let output = python(text).unwrap();
        assert!(output.status.success(), "{text}: {}", said(&output));
    };
    for (make, line, problem, mend, again) in PYTHON {
        run(make);
        let first = said(&typed(&case, line));
        assert!(
            first.contains(problem),
            "`{line}` does not say {problem:?}: {first}"
        );
        let code = code(&first).unwrap_or_else(|| panic!("no code in: {first}"));
        run(&mend.replace("{}", code));
        let output = typed(&case, again);
        let then = said(&output);
        assert!(
            output.status.success() && !then.contains(problem),
            "`{line}` says {first}\nbut after `{code}` `{again}` says {then}"
        );
    }
}
