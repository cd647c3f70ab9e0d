//! `mftma compare`.

use std::path::{Path, PathBuf};

use mftma::Error;
use mftma::similarity::matching::{Neurons, maximum_match};
use mftma::similarity::{Representation, debiased_cka, linear_cka, pwcca, svcca};
use rand::{SeedableRng, seq::index};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::analyze::word;
use super::pieces::{Failures, Piece, Task, in_pieces, listed as listed_failures};
use super::{
    Files, Interrupted, Outcome, Request, any_readable, axis_note, classes_by_layout,
    common_points, layers, matrix, open, pieces_note, pool, read_options, same_classes,
};
use crate::cli::CompareArgs;
use crate::interrupt;
use crate::report::{Cell, Format, Table};
use crate::settings::SettingsError;
use mftma_files::array::{Layout, Matrix};
use mftma_files::error::{InputError, Place};
use mftma_files::read::labels::{Labels, shell_word};
use mftma_files::read::{self, Entry, ReadOptions};
use mftma_files::source::{LayerSource, input_error, whole_names};

/// ChaCha stream of the draw of points; 1 and 2 are those of [`mftma_files::Selection`].
const STREAM_COMPARE: u64 = 3;

/// The points of `n` that are compared, rising: all, or `most` of them drawn at random.
pub fn compared_points(n: usize, most: usize, seed: u64) -> Vec<usize> {
    if n <= most {
        return (0..n).collect();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM_COMPARE);
    let mut points = index::sample(&mut rng, n, most).into_vec();
    points.sort_unstable();
    points
}

/// One layer, ready to be compared.
struct Side {
    name: String,
    matrix: Matrix,
    representation: Representation,
    /// Where they are matched.
    neurons: Option<Neurons>,
}

/// The layers of one file or folder.
struct Listed {
    entries: Vec<Entry>,
    /// What --layers may name.
    names: Vec<String>,
    /// Where the layout tells the classes.
    labels: Option<Labels>,
}

/// Lists the layers of both sides: those named, or all that can be activations.
fn listed(
    args: &CompareArgs,
    options: ReadOptions<'_>,
    notes: &mut Vec<String>,
) -> anyhow::Result<[Listed; 2]> {
    let layout = args.input.layout;
    let per_class = layout == Layout::OneArrayPerClass;
    if per_class && !args.layers.is_empty() {
        return Err(SettingsError::Flags {
            problem:
                "--layers with --layout one-array-per-class, which makes one layer of each side"
                    .into(),
            remedy: "leave out --layers".into(),
        }
        .into());
    }
    let mut found = vec![false; args.layers.len()];
    let mut side = |path: &PathBuf| -> anyhow::Result<Listed> {
        let mut all = open(path, options)?;
        read::make_distinct(&mut all);
        let mut named = Vec::new();
        let known = |name: &str| all.iter().any(|entry| entry.name == name);
        let mut at = 0;
        for (name, items) in whole_names(&args.layers, known) {
            if known(&name) {
                found[at..at + items].fill(true);
                named.push(name);
            }
            at += items;
        }
        let names = all.iter().map(|entry| entry.name.clone()).collect();
        let by_value = match named.is_empty() && !layout.tells_classes() {
            true => columns_of_labels(path, &all, layout, options)?,
            false => Vec::new(),
        };
        let (activations, others): (Vec<Entry>, Vec<Entry>) = all.into_iter().partition(|entry| {
            may_be_activations(entry, layout) && !by_value.contains(&entry.name)
        });
        if named.is_empty() && !per_class && !activations.is_empty() && !others.is_empty() {
            named = activations.into_iter().map(|entry| entry.name).collect();
            let by = |entry: &Entry| match by_value.contains(&entry.name) {
                true => "values",
                false => "shape",
            };
            notes.extend(others.iter().map(|entry| left_out(path, entry, by(entry))));
        }
        let request = Request {
            paths: std::slice::from_ref(path),
            layers: &named,
            labels: None,
            leave_out: &[],
            layout,
            time_axis: args.input.time_axis,
            options,
        };
        if layout.tells_classes() {
            let (entries, labels) = classes_by_layout(&request)?;
            return Ok(Listed {
                entries,
                names,
                labels: Some(labels),
            });
        }
        let mut entries = layers(request.paths, &named, request.time_axis, options)?;
        entries.iter_mut().for_each(without_flag_of_labels);
        Ok(Listed {
            entries: any_readable(entries)?,
            names,
            labels: None,
        })
    };
    let sides = [side(&args.a)?, side(&args.b)?];
    if let Some(at) = found.iter().position(|found| !found) {
        let mut there = sides.each_ref().map(|side| side.names.join(", ")).to_vec();
        there.dedup();
        return Err(InputError::content(
            &Place::file(&args.a),
            format!(
                "no array {:?}, and none in {}; there are {}",
                args.layers[at],
                args.b.display(),
                there.join(", ")
            ),
            "--layers with these names (see `mftma info FILE`)",
        )
        .into());
    }
    if let [Some(first), Some(second)] = [&sides[0].labels, &sides[1].labels] {
        same_classes(first, second)?;
    }
    Ok(sides)
}

/// Not what has a single axis, and not one column of whole numbers: labels lie so beside layers. What cannot be read is told of later.
fn may_be_activations(entry: &Entry, layout: Layout) -> bool {
    let Ok(info) = &entry.info else { return true };
    let points = layout.points(&info.shape);
    let values = info
        .shape
        .iter()
        .try_fold(1, |a: usize, &b| a.checked_mul(b));
    let column = !info.element.is_float() && points.is_some() && points == values;
    info.shape.len() > 1 && !column
}

/// Most values that are looked at to tell labels from a layer.
const LABELS: usize = 1 << 20;

/// Columns of floating-point numbers that hold labels: whole numbers, of which some are the same and some are not.
fn columns_of_labels(
    path: &Path,
    all: &[Entry],
    layout: Layout,
    options: ReadOptions<'_>,
) -> Result<Vec<String>, InputError> {
    let is_column = |entry: &&Entry| {
        let Ok(info) = &entry.info else { return false };
        let values = info
            .shape
            .iter()
            .try_fold(1, |a: usize, &b| a.checked_mul(b));
        let small = values.is_some_and(|n| n <= LABELS);
        info.element.is_float() && small && layout.points(&info.shape) == values
    };
    let columns: Vec<&Entry> = all.iter().filter(is_column).collect();
    // Alone it is what was asked for.
    if columns.is_empty() || columns.len() == all.len() {
        return Ok(Vec::new());
    }
    let mut again = open(path, options)?;
    read::make_distinct(&mut again);
    again.retain(|entry| columns.iter().any(|column| column.name == entry.name));
    let holds_labels = |entry: Entry| {
        let name = entry.name.clone();
        // What cannot be read is told of later.
        let matrix = matrix(entry, layout, options).ok()?;
        let points: Vec<usize> = (0..matrix.n_points()).collect();
        let values = matrix.gather::<f64>(&points, 0..1);
        let whole = values.iter().all(|x| x.fract() == 0.0);
        let classes: std::collections::HashSet<u64> =
            values.iter().map(|x| (x + 0.0).to_bits()).collect();
        (whole && classes.len() > 1 && classes.len() <= points.len() / 2).then_some(name)
    };
    Ok(again.into_iter().filter_map(holds_labels).collect())
}

/// A table says which flag would take its column for the labels; there is none here.
fn without_flag_of_labels(entry: &mut Entry) {
    if let Err(InputError::Content { remedy, .. }) = &mut entry.info
        && remedy.starts_with("--labels ")
    {
        "leave the column out of the file".clone_into(remedy);
    }
}

fn left_out(path: &Path, entry: &Entry, by: &str) -> String {
    let info = entry.info.as_ref().map(|info| info.describe());
    format!(
        "{}: {} ({}) is no layer but labels by its {by}, and left out; --layers {} takes it",
        path.display(),
        entry.name,
        info.unwrap_or_default(),
        shell_word(&entry.name)
    )
}

/// Joins numbered pieces of layers where only so both sides have as many points, or where names say that they are pieces.
fn joined(sides: [Vec<Entry>; 2], layout: Layout) -> [Vec<Entry>; 2] {
    if layout != Layout::PointsByFeatures {
        return sides;
    }
    let count = |entries: &[Entry]| common_points(entries, layout).ok();
    let total = read::pieces_total(&sides[0]);
    let by_name = sides.iter().any(|entries| read::named_as_pieces(entries));
    let candidates = [
        total.filter(|_| by_name),
        count(&sides[0]),
        count(&sides[1]),
        total,
    ];
    let fits = |n: usize| {
        let mut sides = sides.iter();
        sides.all(|entries| count(entries) == Some(n) || read::joins(entries, n))
    };
    match candidates.into_iter().flatten().find(|&n| fits(n)) {
        Some(n) => sides
            .map(|entries| read::join_numbered(entries, n).unwrap_or_else(|as_it_was| as_it_was)),
        None => sides,
    }
}

/// Columns that every row of a result's file has: the settings, the program, and what a reader should know.
pub(super) fn record(table: &mut Table, settings: &[(&str, Cell)], notes: &[String]) {
    let named = settings
        .iter()
        .map(|(name, cell)| (format!("setting_{}", name.replace('-', "_")), cell.clone()));
    let program = concat!("mftma ", env!("CARGO_PKG_VERSION")).to_owned();
    let of_all: Vec<(String, Cell)> = named
        .chain([
            ("program".to_owned(), Cell::Text(program)),
            ("notes".to_owned(), Cell::Text(notes.join("; "))),
        ])
        .collect();
    table
        .columns
        .extend(of_all.iter().map(|(name, _)| name.clone()));
    for row in &mut table.rows {
        row.extend(of_all.iter().map(|(_, cell)| cell.clone()));
    }
}

/// Begins a remedy.
const TRY: &str = "\n  try:";

/// A layer that cannot be compared.
struct Failure {
    name: String,
    /// A or B.
    side: &'static str,
    error: anyhow::Error,
}

impl Failure {
    /// Its words, with a remedy where it has none itself: the layers that `stand`.
    fn told(self, stand: &[String]) -> (String, anyhow::Error) {
        let error = match self.error.is::<InputError>() {
            true => self.error,
            false if stand.is_empty() && self.error.to_string().contains(TRY) => self.error,
            false if stand.is_empty() => anyhow::anyhow!(
                "{:#}\n  try: look at the code that collected it: a layer needs points that differ",
                self.error
            ),
            false => {
                let text = format!("{:#}", self.error);
                let or = if text.contains(TRY) { ", or" } else { TRY };
                anyhow::anyhow!("{text}{or} --layers {}", stand.join(","))
            }
        };
        (format!("{} ({})", self.name, self.side), error)
    }
}

/// Runs the command.
pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    if !(args.variance > 0.0 && args.variance <= 1.0) {
        return Err(SettingsError::Range {
            name: "variance",
            value: args.variance.to_string(),
            requirement: "above 0 and at most 1",
        }
        .into());
    }
    if args.points < 2 {
        return Err(SettingsError::Range {
            name: "points",
            value: args.points.to_string(),
            requirement: "at least 2",
        }
        .into());
    }
    if let Some(epsilon) = args.matching
        && !(0.0..1.0).contains(&epsilon)
    {
        return Err(SettingsError::Range {
            name: "matching",
            value: epsilon.to_string(),
            requirement: "at least 0 and below 1",
        }
        .into());
    }
    args.output.check(&Files {
        inputs: vec![&args.a, &args.b],
        ..Files::default()
    })?;
    let options = read_options(args.input.inflate_bytes());
    let mut notes: Vec<String> = Vec::new();
    let sides = listed(args, options, &mut notes)?;
    let names: Vec<String> = sides.iter().flat_map(|side| side.names.clone()).collect();
    let [first, second] = joined(sides.map(|side| side.entries), args.input.layout);
    args.output
        .check_layers(None, first.iter().chain(&second))?;
    let (n, n_second) = (
        common_points(&first, args.input.layout)?,
        common_points(&second, args.input.layout)?,
    );
    if n != n_second {
        return Err(InputError::content(
            &Place::file(&args.b),
            format!("{n_second} points, but {} has {n}", args.a.display()),
            "both must hold the same points in the same order; if one is features x points, save its transpose, or add --layout features-by-points if both are",
        )
        .into());
    }
    let points = compared_points(n, args.points, args.input.seed);
    let group = [points.len()];
    for side in [&first, &second] {
        if read::may_be_pieces(side) && read::pieces_total(side).is_some() {
            notes.push(format!(
                "{} numbered arrays ({}, ...) are compared as layers of their own; pieces of one layer are joined where their names have leading \
                 zeros, as features_01 has",
                side.len(),
                side[0].name
            ));
        }
    }
    for entry in first.iter().chain(&second) {
        notes.extend(entry.note());
        notes.extend(axis_note(entry, args.input.layout));
        notes.extend(pieces_note(entry, args.input.layout));
    }
    let mut seen = std::collections::HashSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    let total = first.len() * second.len();
    let pool = pool(args.input.threads)?;
    let source =
        |matrix: &Matrix| LayerSource::new(matrix.clone(), &points, &group, &interrupt::requested);
    let side = |entry: Entry| -> anyhow::Result<Side> {
        let name = entry.name.clone();
        let matrix = matrix(entry, args.input.layout, options)?;
        let (representation, neurons) = pool
            .install(|| {
                let representation = Representation::new(&source(&matrix))?;
                let neurons = args.matching.map(|_| Neurons::new(&source(&matrix)));
                Ok((representation, neurons.transpose()?))
            })
            .map_err(|error| explain(error, matrix.place()))?;
        Ok(Side {
            name,
            matrix,
            representation,
            neurons,
        })
    };
    let pair = |a: &Side, b: &Side| -> anyhow::Result<Pair> {
        let features = a.representation.features().max(b.representation.features());
        let (cka, debiased, correlations, weighted, matched) = pool
            .install(|| {
                let cka = linear_cka(&a.representation, &b.representation)?;
                let debiased = debiased_cka(&a.representation, &b.representation)?;
                let correlations = svcca(&a.representation, &b.representation, args.variance)?;
                let weighted = pwcca(&correlations, &source(&a.matrix))?;
                let matched = match (&a.neurons, &b.neurons, args.matching) {
                    (Some(a), Some(b), Some(epsilon)) => Some(maximum_match(a, b, epsilon)?),
                    _ => None,
                };
                Ok((cka, debiased, correlations, weighted, matched))
            })
            .map_err(|error| explain(error, a.matrix.place()))?;
        let mut row: Vec<(String, Cell)> = [
            ("layer_a", Cell::Text(a.name.clone())),
            ("layer_b", Cell::Text(b.name.clone())),
            ("cka", Cell::real(cka)),
            ("cka_debiased", Cell::Real(debiased)),
            ("svcca", Cell::real(correlations.mean())),
            ("pwcca", Cell::real(weighted)),
            ("directions_a", Cell::count(correlations.kept.0)),
            ("directions_b", Cell::count(correlations.kept.1)),
            ("forced", Cell::count(correlations.forced)),
        ]
        .map(|(name, cell)| (name.to_owned(), cell))
        .into();
        let mut spanned = false;
        if let Some(matched) = &matched {
            spanned = matched.ranks.0.max(matched.ranks.1) == points.len();
            row.extend(
                [
                    ("maximum_match", Cell::real(matched.similarity())),
                    ("matched_a", Cell::count(matched.first.len())),
                    ("matched_b", Cell::count(matched.second.len())),
                ]
                .map(|(name, cell)| (name.to_owned(), cell)),
            );
        }
        if args.output.format() != Format::Table {
            for (name, side) in [("file_a", a), ("file_b", b)] {
                let file = side.matrix.place().file.display().to_string();
                row.push((name.to_owned(), Cell::Text(file)));
            }
        }
        Ok(Pair {
            row,
            few_points: a.representation.points() <= features,
            spanned,
        })
    };
    let layers = first.len() + second.len();
    in_pieces(
        Task {
            of: &format!("{layers} layers and {total} pairs"),
            total,
            taken: Vec::new(),
        },
        |done| {
            let mut sides = Sides::new(&names);
            let second: Vec<Side> = second
                .into_iter()
                .map_while(|entry| going_on().map(|()| sides.usable(entry, "B", &side)))
                .flatten()
                .collect();
            let mut at = 0;
            for entry in first {
                let Some(a) = going_on().and_then(|()| sides.usable(entry, "A", &side)) else {
                    continue;
                };
                for b in &second {
                    if going_on().is_none() {
                        break;
                    }
                    let name = format!("{} against {}", a.name, b.name);
                    match pair(&a, b) {
                        Ok(pair) => {
                            sides.compared = true;
                            done(Piece::Finished(at, name, pair));
                        }
                        Err(_) if interrupt::requested() => {}
                        Err(error) => done(Piece::Failed(name, error)),
                    }
                    at += 1;
                }
            }
            for (name, error) in sides.told() {
                done(Piece::Failed(name, error));
            }
            going_on().ok_or(Interrupted)
        },
        |pairs, failures, whole| {
            let results = Results {
                pairs,
                failures,
                whole,
                notes: &notes,
                points: points.len(),
                n,
            };
            write(args, &results)
        },
    )
}

/// None once a signal came.
fn going_on() -> Option<()> {
    (!interrupt::requested()).then_some(())
}

/// Which layers can be compared, as far as they were looked at.
struct Sides<'a> {
    /// What --layers may name.
    names: &'a [String],
    failures: Vec<Failure>,
    /// Those that can.
    stand: Vec<String>,
    /// Whether a flag takes all of them: bins, and layers that were joined, have names that none takes.
    nameable: bool,
    /// Whether any pair was.
    compared: bool,
}

impl<'a> Sides<'a> {
    fn new(names: &'a [String]) -> Self {
        Self {
            names,
            failures: Vec::new(),
            stand: Vec::new(),
            nameable: true,
            compared: false,
        }
    }

    fn usable(
        &mut self,
        entry: Entry,
        of: &'static str,
        ready: &impl Fn(Entry) -> anyhow::Result<Side>,
    ) -> Option<Side> {
        let name = entry.name.clone();
        match ready(entry) {
            Ok(side) => {
                self.nameable &= self.names.contains(&name);
                let name = shell_word(&name);
                if !self.stand.contains(&name) {
                    self.stand.push(name);
                }
                Some(side)
            }
            Err(_) if interrupt::requested() => None,
            Err(error) => {
                self.failures.push(Failure {
                    name,
                    side: of,
                    error,
                });
                None
            }
        }
    }

    /// Those that cannot, by side, with a remedy.
    fn told(mut self) -> Vec<(String, anyhow::Error)> {
        let failures = &self.failures;
        // The remedy keeps a name out on both sides.
        let failed = |name: &String| failures.iter().any(|f| shell_word(&f.name) == *name);
        self.stand.retain(|name| !failed(name));
        if !self.compared || !self.nameable {
            // Nothing is left on one of the sides, or cannot be named.
            self.stand.clear();
        }
        self.failures.sort_by_key(|failure| failure.side);
        let stand = self.stand;
        let told = |failure: Failure| failure.told(&stand);
        self.failures.into_iter().map(told).collect()
    }
}

/// Two layers, compared.
struct Pair {
    row: Vec<(String, Cell)>,
    /// No more points than features.
    few_points: bool,
    /// As many independent features as points.
    spanned: bool,
}

/// All that is written.
struct Results<'a> {
    pairs: &'a [Pair],
    failures: &'a Failures,
    whole: bool,
    notes: &'a [String],
    /// Points compared, of so many.
    points: usize,
    n: usize,
}

fn write(args: &CompareArgs, results: &Results<'_>) -> anyhow::Result<()> {
    let &Results {
        pairs,
        failures,
        whole,
        notes,
        points,
        n,
    } = results;
    let mut table = Table::default();
    for pair in pairs {
        table.push(pair.row.clone());
    }
    let mut notes = notes.to_vec();
    notes.extend(failures.iter().map(|(name, error)| {
        let error = format!("{error:#}").replace("\n  try:", "; try:");
        format!("{name} is left out: {error}")
    }));
    if pairs.iter().any(|pair| pair.few_points) {
        notes.push(
            "no more points than features: cka is near 1 and svcca and pwcca are high whatever the data; cka_debiased is about 0 for independent layers"
                .to_owned(),
        );
    }
    if pairs.iter().any(|pair| pair.spanned) {
        notes.push(format!(
            "as many independent features as points ({}): every feature of the other layer lies in their span and matches; maximum_match says something \
             with more points than features",
            points
        ));
    }
    let rows: Vec<_> = table.rows.iter().map(|row| table.object(row)).collect();
    let document = json!({
        "program": concat!("mftma ", env!("CARGO_PKG_VERSION")),
        "command": "compare",
        "complete": whole && failures.is_empty(),
        "settings": {
            "a": args.a.display().to_string(),
            "b": args.b.display().to_string(),
            "layers": args.layers,
            "layout": args.input.layout,
            "time-axis": args.input.time_axis,
            "variance": args.variance,
            "matching": args.matching,
            "points": points,
            "points-in-file": n,
            "seed": args.input.seed,
        },
        "comparisons": rows,
        "failed": listed_failures(failures),
        "notes": notes,
    });
    if args.output.format() != Format::Table {
        let settings = [
            ("a", Cell::Text(args.a.display().to_string())),
            ("b", Cell::Text(args.b.display().to_string())),
            ("layers", Cell::Text(args.layers.join(","))),
            ("layout", Cell::Text(word(&args.input.layout))),
            ("time-axis", Cell::maybe(args.input.time_axis)),
            ("variance", Cell::real(args.variance)),
            ("matching", Cell::Real(args.matching)),
            ("points", Cell::count(points)),
            ("points-in-file", Cell::count(n)),
            ("seed", Cell::seed(args.input.seed)),
        ];
        record(&mut table, &settings, &notes);
    }
    let below = format!(
        "\n{} of {n} points; SVCCA and PWCCA keep {} of the variance; forced: correlations that are 1 for want of points\n",
        points, args.variance
    );
    args.output.write(
        Outcome {
            table: &table,
            json: &document,
            below: &below,
            notes: &notes,
        },
        whole,
    )
}

/// Errors of reading say themselves where and what to do; others get the place.
pub(super) fn explain(error: Error, place: &Place) -> anyhow::Error {
    match error {
        Error::Source(source) => match input_error(source) {
            Ok(error) => error.into(),
            Err(source) => anyhow::anyhow!(source),
        },
        Error::Eigenproblem { what } => anyhow::anyhow!(
            "{place}: the eigenvalues of {what} could not be found: activations may be too large to square in double precision{TRY} scale \
             them down"
        ),
        other => anyhow::anyhow!("{place}: {other}"),
    }
}
