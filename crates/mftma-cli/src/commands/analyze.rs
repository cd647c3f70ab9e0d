//! `mftma analyze`.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mftma::joint::JointGeometry;
use mftma::measures::{Kind, MEASURES, MeanKind, Measure, Reading};
use mftma::{AnalysisSettings, ArrayActivations, Error, Geometry, Interval, Progress, Warning};
use serde_json::json;

use super::pieces::{Failures, Piece, Task, in_pieces, listed};
use super::resume::{self, Earlier, Stamp};
use super::{Files, Input, Interrupted, Outcome, Request, input, matrix, pool, read_options};
use crate::cli::{AnalyzeArgs, Rows};
use crate::interrupt;
use crate::measure::{Found, Plan, doubtful, not_separable};
use crate::plot::{self, Measured, Plot};
use crate::report::{self, Cell, Table};
use crate::say::say;
use crate::settings::{Measures, Settings, SettingsError};
use mftma_files::error::{InputError, Place};
use mftma_files::read::Entry;
use mftma_files::read::labels::shell_word;
use mftma_files::source::{LayerSource, Selection, input_error};

/// One analysed layer.
struct Layer {
    name: String,
    place: Place,
    array: String,
    stamp: Option<Stamp>,
    classes: Vec<String>,
    geometry: Option<Geometry>,
    joint: Option<JointGeometry>,
    /// What was asked for and is not there, in words.
    left_out: Option<String>,
}

impl Layer {
    /// What the engine has to say, with classes by name.
    fn warnings(&self) -> Vec<String> {
        let name = |i: usize| class(&self.classes, i);
        let left_out = self.left_out.iter().cloned();
        let warnings = self.geometry.iter().flat_map(|g| &g.warnings);
        let known = warnings.map(|warning| match *warning {
            // The engine knows no flags.
            Warning::NearGlobalMean { manifold, .. } if manifold < self.classes.len() => format!(
                "{} (--leave-out {})",
                warning.describe(&name),
                shell_word(&self.classes[manifold])
            ),
            _ => warning.describe(&name),
        });
        left_out
            .chain(known)
            .chain(self.joint.iter().flat_map(doubtful))
            .collect()
    }

    /// A measure of the layer, where it was asked for.
    fn reading(&self, measure: &Measure) -> Option<Reading> {
        let mean_field = self.geometry.as_ref().and_then(|g| measure.of_layer(g));
        mean_field.or_else(|| self.joint.as_ref().and_then(|j| measure.of_joint(j)))
    }

    /// A measure of one class, where it was asked for.
    fn class_reading(&self, measure: &Measure, class: usize) -> Option<Reading> {
        let own = self.geometry.as_ref().and_then(|g| g.manifolds.get(class));
        let joint = self.joint.as_ref().and_then(|j| j.manifolds.get(class));
        own.and_then(|m| measure.of_manifold(m))
            .or_else(|| joint.and_then(|m| measure.of_joint_manifold(m)))
    }
}

/// What a class is called in errors and notes.
fn class(classes: &[String], manifold: usize) -> String {
    match classes.get(manifold) {
        Some(name) => format!("class {name:?}"),
        None => format!("class number {manifold}"),
    }
}

/// Runs the command; `matches` tells flags that were given from defaults.
pub fn run(args: &AnalyzeArgs, matches: &ArgMatches) -> anyhow::Result<()> {
    let mut settings = args.settings.clone();
    if let Some(path) = &args.config {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| SettingsError::Config {
            file: name.clone(),
            message: e.to_string(),
        })?;
        settings = settings.merge_config(matches, &name, &text)?;
    }
    settings.validate()?;
    let plan = Plan::new(&settings)?;
    if let Some(path) = &args.plot {
        plot::Kind::of_path(path)?;
    }
    let mut files = Files::read(&args.activations, args.labels.as_deref());
    files.inputs.extend(args.config.as_deref());
    files.resumes = true;
    files.resumed = args.resume.as_deref();
    files.plot = args.plot.as_deref();
    args.output.check(&files)?;

    let options = read_options(settings.inflate_bytes());
    let Input {
        entries,
        labels,
        behind,
        notes,
    } = input(&Request {
        paths: &args.activations,
        layers: &settings.layers,
        labels: args.labels.as_deref(),
        leave_out: &settings.leave_out,
        layout: settings.layout,
        time_axis: settings.time_axis,
        options,
    })?;
    args.output
        .check_layers(files.plot, entries.iter().chain(&behind))?;
    let selection = Selection::new(&labels, &settings.wanted())?;

    let mut earlier = match &args.resume {
        Some(path) => Earlier::read(path, &settings, &selection)?,
        None => Earlier::default(),
    };
    let total = entries.len();
    // All that is taken over first: an interruption before its turn would lose it.
    let (mut taken, mut open) = (Vec::new(), Vec::new());
    // Bins of time come from the same files.
    let mut stamped: Option<(Place, Option<Stamp>)> = None;
    for (at, entry) in entries.into_iter().enumerate() {
        let stamp = match stamped.take() {
            Some((place, stamp)) if place == entry.place => stamp,
            _ => Stamp::of(&entry),
        };
        stamped = Some((entry.place.clone(), stamp.clone()));
        match earlier.take(&entry, stamp.as_ref()) {
            Some(finished) => {
                let layer = Layer {
                    name: entry.name.clone(),
                    array: describe(&entry),
                    stamp,
                    place: entry.place,
                    classes: selection.classes.clone(),
                    geometry: finished.geometry,
                    joint: finished.joint,
                    left_out: finished.left_out,
                };
                taken.push(Piece::Finished(at, entry.name, layer));
            }
            None => open.push((at, entry, stamp)),
        }
    }
    if args.resume.is_some() {
        say(format_args!("{} of {total} layers taken over", taken.len()));
        for note in earlier.notes() {
            say(format_args!("note: {note}"));
        }
    }
    let carried = earlier.rest();
    let bar = Bar::new(args.quiet, total);
    taken.iter().for_each(|_| bar.next());
    let pool = pool(settings.threads)?;
    in_pieces(
        Task {
            of: &format!("{total} layers"),
            total,
            taken,
        },
        |done| {
            for (at, entry, stamp) in open {
                let name = entry.name.clone();
                bar.layer(&name);
                let outcome = pool
                    .install(|| analyze_layer(entry, stamp, &settings, &selection, &plan, &bar));
                done(match outcome {
                    Ok(layer) => Piece::Finished(at, name, layer),
                    Err(_) if interrupt::requested() => return Err(Interrupted),
                    Err(error) => Piece::Failed(name, error),
                });
                bar.next();
            }
            bar.finish();
            Ok(())
        },
        |done, failures, whole| {
            bar.finish();
            let results = Results {
                settings: &settings,
                selection: &selection,
                notes: &notes,
                carried: &carried,
                done,
                failures,
                whole,
            };
            write(args, &results)
        },
    )
}

/// Type and shape of an array.
fn describe(entry: &Entry) -> String {
    let info = entry.info.as_ref();
    info.map(|info| info.describe()).unwrap_or_default()
}

fn analyze_layer(
    entry: Entry,
    stamp: Option<Stamp>,
    settings: &Settings,
    selection: &Selection,
    plan: &Plan,
    bar: &Bar,
) -> anyhow::Result<Layer> {
    let name = entry.name.clone();
    let place = entry.place.clone();
    let array = describe(&entry);
    let options = read_options(settings.inflate_bytes());
    let matrix = matrix(entry, settings.layout, options)?;
    let source = LayerSource::new(
        matrix,
        &selection.points,
        &selection.points_per_class,
        &interrupt::requested,
    );
    let progress = |progress: Progress| {
        bar.progress(progress);
        if interrupt::requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let outcome = if settings.projection == 0 {
        plan.run(&source, &progress)
    } else {
        mftma::project(&source, settings.projection, settings.seed).and_then(|projected| {
            let source = ArrayActivations::new(projected.view(), &selection.points_per_class)?;
            plan.run(&source, &progress)
        })
    };
    let Found {
        geometry,
        joint,
        left_out,
    } = outcome.map_err(|e| explain(e, &place, &selection.classes))?;
    let left_out = left_out.map(|left| left.describe(&|i| class(&selection.classes, i)));
    Ok(Layer {
        name,
        place,
        array,
        stamp,
        classes: selection.classes.clone(),
        geometry,
        joint,
        left_out,
    })
}

/// Says an engine error in the user's terms: files, and classes by name.
fn explain(error: Error, place: &Place, classes: &[String]) -> anyhow::Error {
    let class = |manifold: usize| class(classes, manifold);
    if let Some((problem, remedy)) = not_separable(&error) {
        let remedy = format!("{remedy}, or --measures mean-field");
        return InputError::content(place, problem, remedy).into();
    }
    match error {
        Error::Source(source) => match input_error(source) {
            Ok(error) => error.into(),
            Err(source) => anyhow::anyhow!(source),
        },
        Error::NoCentre {
            manifold, reason, ..
        } => InputError::content(
            place,
            format!("{}: {reason}", class(manifold)),
            "--leave-out of that class, or --max-rank if its centre was removed",
        )
        .into(),
        Error::CoincidentCentres { longest, spread } => InputError::content(
            place,
            format!(
                "the centres of all classes coincide to rounding: the longest is {longest:.1e}, points lie {spread:.1e} from them"
            ),
            "if each class was centred or scaled by itself, do that to all classes together; a constant layer cannot be measured",
        )
        .into(),
        Error::Setting {
            setting: "manifolds_per_draw",
            value,
            requirement: _,
        } => SettingsError::Range {
            name: "classes-per-draw",
            value,
            requirement: "at least 2 and at most the number of classes",
        }
        .into(),
        Error::Setting {
            setting: "rank",
            value,
            requirement,
        } => SettingsError::Range {
            name: "rank",
            value,
            requirement,
        }
        .into(),
        Error::Manifold { manifold, source } => anyhow::Error::new(source)
            .context(class(manifold))
            .context(place.to_string()),
        other => anyhow::Error::new(other).context(place.to_string()),
    }
}

/// All that is written.
struct Results<'a> {
    settings: &'a Settings,
    selection: &'a Selection,
    notes: &'a [String],
    /// Layers of the earlier result that this run does not measure: the next one may want them.
    carried: &'a [serde_json::Value],
    done: &'a [Layer],
    failures: &'a Failures,
    whole: bool,
}

fn write(args: &AnalyzeArgs, results: &Results<'_>) -> anyhow::Result<()> {
    let &Results {
        settings,
        selection,
        notes: of_input,
        carried,
        done,
        failures,
        whole,
    } = results;
    let layout = match args.output.format() {
        report::Format::Table => Layout::Terminal {
            both: settings.measures == Measures::Both,
        },
        _ => Layout::File,
    };
    let mut table = Table::default();
    match args.rows {
        Rows::Layers => {
            let columns = columns(|of| done.iter().map(|layer| layer.reading(of)).collect());
            for layer in done {
                let row = layer_row(layer, &columns, selection, layout, settings, of_input);
                table.push(row);
            }
        }
        Rows::Classes => {
            let of_classes = |layer: &Layer, of: &Measure| -> Vec<Option<Reading>> {
                let classes = 0..selection.classes.len();
                classes
                    .map(|class| layer.class_reading(of, class))
                    .collect()
            };
            let columns = columns(|of| done.iter().flat_map(|l| of_classes(l, of)).collect());
            for layer in done {
                class_rows(
                    &mut table, layer, &columns, selection, layout, settings, of_input,
                );
            }
        }
    }
    let classes: Vec<_> = selection
        .classes
        .iter()
        .zip(&selection.points_per_class)
        .map(|(name, points)| json!({"name": name, "points": points}))
        .collect();
    let mut layers: Vec<_> = done
        .iter()
        .map(|layer| {
            json!({
                "layer": layer.name,
                "file": layer.place.file.display().to_string(),
                "path": resume::path(&layer.place.file),
                "array": layer.array,
                "stamp": layer.stamp,
                "geometry": layer.geometry,
                "joint": layer.joint,
                "left_out": layer.left_out,
            })
        })
        .collect();
    if !whole {
        layers.extend_from_slice(carried);
    }
    let document = json!({
        "program": concat!("mftma ", env!("CARGO_PKG_VERSION")),
        "command": "analyze",
        "complete": whole && failures.is_empty(),
        "settings": settings,
        "labels": args.labels,
        "points_digest": resume::digest(selection),
        "notes": notes(of_input, done),
        "classes": classes,
        "layers": layers,
        "failed": listed(failures),
    });
    let written = args.output.write(
        Outcome {
            table: &table,
            json: &document,
            below: &below(settings, selection),
            notes: &notes(of_input, done),
        },
        whole,
    );
    // Also where the result cannot be written, or is not read to its end.
    let drawn = match &args.plot {
        Some(path) if whole => draw(args, path, done, settings),
        _ => Ok(()),
    };
    match (written, drawn) {
        (Err(error), Err(other)) => {
            say(format_args!("error: {other:#}"));
            Err(error)
        }
        (written, drawn) => written.and(drawn),
    }
}

/// Writes the plot.
fn draw(
    args: &AnalyzeArgs,
    path: &Path,
    done: &[Layer],
    settings: &Settings,
) -> anyhow::Result<()> {
    let svg = plotted(&args.activations, done, settings).draw();
    let plot = plot::Kind::of_path(path)?.encode(svg)?;
    report::save(path, &plot, args.output.force)
}

fn pair(name: &str, cell: Cell) -> (String, Cell) {
    (name.to_owned(), cell)
}

/// Heads the intervals on the terminal.
const INTERVAL: &str = "95 %";

/// A measure of a table, and whether any of its values has an interval: rows that lack it keep its columns.
struct Column {
    measure: &'static Measure,
    interval: bool,
}

/// The measures that some row has, in the order of tables.
fn columns(readings: impl Fn(&Measure) -> Vec<Option<Reading>>) -> Vec<Column> {
    MEASURES
        .iter()
        .filter_map(|measure| {
            let readings = readings(measure);
            let mut known = readings.iter().flatten().peekable();
            known.peek()?;
            let interval = known.any(|reading| reading.interval.is_some());
            Some(Column { measure, interval })
        })
        .collect()
}

/// How a table is laid out.
#[derive(Clone, Copy)]
enum Layout {
    /// For a terminal: not every measure, and of its interval and its standard error one. Of two kinds of measures only capacities
    /// have either.
    Terminal { both: bool },
    /// Everything.
    File,
}

/// The columns of one measure: its value, its interval over classes, and its standard error.
fn measure(
    row: &mut Vec<(String, Cell)>,
    column: &Column,
    reading: Option<Reading>,
    layout: Layout,
    intervals: bool,
) {
    let measure = column.measure;
    let terminal = matches!(layout, Layout::Terminal { .. });
    let Some(name) = (if terminal {
        measure.heading
    } else {
        Some(measure.name)
    }) else {
        return;
    };
    let value = reading.map(|reading| reading.value);
    row.push(pair(
        name,
        match measure.kind {
            Kind::Count => Cell::Integer(value.map(|value| value as i64)),
            _ => Cell::Real(value),
        },
    ));
    if !measure.is_averaged() {
        return;
    }
    let capacity = measure.kind == Kind::Averaged(MeanKind::Harmonic);
    if matches!(layout, Layout::Terminal { both: true }) && !capacity {
        return;
    }
    let error = Cell::Real(reading.and_then(|reading| reading.standard_error));
    let interval = reading.and_then(|reading| reading.interval);
    if terminal {
        row.push(match (column.interval, interval) {
            (true, Some(i)) => pair(
                INTERVAL,
                Cell::Text(format!(
                    "[{}, {}]",
                    report::short(i.lower),
                    report::short(i.upper)
                )),
            ),
            (true, None) => pair(INTERVAL, Cell::Text("-".to_owned())),
            (false, _) => pair("±", error),
        });
        return;
    }
    if intervals {
        let end = |of: fn(Interval) -> f64| Cell::Real(interval.map(of));
        row.push((format!("{name}_lower"), end(|i| i.lower)));
        row.push((format!("{name}_upper"), end(|i| i.upper)));
    }
    row.push((format!("{name}_standard_error"), error));
}

fn layer_row(
    layer: &Layer,
    columns: &[Column],
    selection: &Selection,
    layout: Layout,
    settings: &Settings,
    notes: &[String],
) -> Vec<(String, Cell)> {
    let features = layer.geometry.as_ref().map(|g| g.features);
    let features = features.or(layer.joint.as_ref().map(|j| j.features));
    let mut row = vec![
        pair("layer", Cell::Text(layer.name.clone())),
        pair("features", Cell::count(features.unwrap_or(0))),
        pair("classes", Cell::count(selection.classes.len())),
        pair("points", Cell::count(selection.points.len())),
    ];
    for column in columns {
        let reading = layer.reading(column.measure);
        measure(&mut row, column, reading, layout, true);
    }
    if matches!(layout, Layout::File) {
        record(&mut row, settings, layer, notes);
    }
    row
}

fn class_rows(
    table: &mut Table,
    layer: &Layer,
    columns: &[Column],
    selection: &Selection,
    layout: Layout,
    settings: &Settings,
    notes: &[String],
) {
    for (i, class) in selection.classes.iter().enumerate() {
        let mut row = vec![
            pair("layer", Cell::Text(layer.name.clone())),
            pair("class", Cell::Text(class.clone())),
        ];
        for column in columns {
            let reading = layer.class_reading(column.measure, i);
            measure(&mut row, column, reading, layout, false);
        }
        if matches!(layout, Layout::File) {
            record(&mut row, settings, layer, notes);
        }
        table.push(row);
    }
}

/// Every setting under the name of its flag, numbers as numbers.
fn setting_cells(settings: &Settings) -> Vec<(&'static str, Cell)> {
    // In full, so that a new setting cannot be left out.
    let Settings {
        layout,
        time_axis,
        layers,
        n_t,
        target_error,
        max_n_t,
        margin,
        points,
        classes,
        only_classes,
        leave_out,
        seed,
        threads,
        convention,
        measures,
        rank,
        max_rank,
        dichotomies,
        classes_per_draw,
        centring,
        inactive,
        joint_margin,
        projection,
        restarts,
        resamples,
        spectrum,
        inflate_limit,
    } = settings;
    let names = |names: &[String]| Cell::Text(names.join(","));
    let maybe = |n: &Option<usize>| Cell::maybe(*n);
    vec![
        ("layout", Cell::Text(word(layout))),
        ("time_axis", maybe(time_axis)),
        ("layers", names(layers)),
        ("n_t", Cell::count(*n_t)),
        ("target_error", Cell::Real(*target_error)),
        ("max_n_t", Cell::count(*max_n_t)),
        ("kappa", Cell::real(*margin)),
        ("points", maybe(points)),
        ("classes", maybe(classes)),
        ("only_classes", names(only_classes)),
        ("leave_out", names(leave_out)),
        ("seed", Cell::seed(*seed)),
        ("threads", Cell::count(*threads)),
        ("convention", Cell::Text(word(convention))),
        ("measures", Cell::Text(word(measures))),
        ("rank", maybe(rank)),
        ("max_rank", maybe(max_rank)),
        ("dichotomies", Cell::Text(word(dichotomies))),
        ("classes_per_draw", maybe(classes_per_draw)),
        ("centring", Cell::Text(word(centring))),
        ("inactive", Cell::Text(word(inactive))),
        ("joint_kappa", Cell::real(*joint_margin)),
        ("projection", Cell::count(*projection)),
        ("restarts", Cell::count(*restarts)),
        ("resamples", Cell::count(*resamples)),
        ("spectrum", Cell::real(*spectrum)),
        ("inflate_limit", Cell::real(*inflate_limit)),
    ]
}

/// The word that serde writes for a choice.
pub(super) fn word(choice: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(choice).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// Every setting, the file and the notes as columns, so that a table tells how it was made.
fn record(row: &mut Vec<(String, Cell)>, settings: &Settings, layer: &Layer, notes: &[String]) {
    for (name, cell) in setting_cells(settings) {
        row.push((format!("setting_{name}"), cell));
    }
    row.push(pair(
        "program",
        Cell::Text(concat!("mftma ", env!("CARGO_PKG_VERSION")).to_owned()),
    ));
    row.push(pair(
        "file",
        Cell::Text(layer.place.file.display().to_string()),
    ));
    let notes: Vec<String> = notes.iter().cloned().chain(layer.warnings()).collect();
    row.push(pair("notes", Cell::Text(notes.join("; "))));
}

/// What stands below the table: the settings that matter.
fn below(settings: &Settings, selection: &Selection) -> String {
    let (least, most) = (
        selection
            .points_per_class
            .iter()
            .min()
            .copied()
            .unwrap_or(0),
        selection
            .points_per_class
            .iter()
            .max()
            .copied()
            .unwrap_or(0),
    );
    let points = if least == most {
        format!("{least} points each")
    } else {
        format!("{least} to {most} points each")
    };
    format!(
        "\n{} classes of {points}; {}; {}\n{}{}",
        selection.classes.len(),
        caption(settings),
        if settings.resamples > 0 {
            "[ ] is the 95 % interval over classes"
        } else {
            "± is the standard error over Gaussian vectors, the classes and K held fixed"
        },
        match settings.measures {
            Measures::MeanField => "",
            Measures::Joint =>
                "joint capacity = utility x (1 + 1/joint R^2)/joint D, all classes at once\n",
            Measures::Both =>
                "joint capacity = utility x (1 + 1/joint R^2)/joint D, all classes at once; capacity, radius and dimension: mean-field, class by class\n",
        },
        if settings.measures.mean_field() {
            "K directions common to the centres were removed; at K-1, at K+1: the share by which one fewer and one more would change capacity\n"
        } else {
            ""
        }
    )
}

/// Notes on the input, then the engine's warnings.
fn notes(of_input: &[String], done: &[Layer]) -> Vec<String> {
    let mut text = of_input.to_vec();
    // One line for what several layers have in common.
    let mut notes: Vec<(String, Vec<&str>)> = Vec::new();
    for layer in done {
        for warning in layer.warnings() {
            match notes.iter_mut().find(|(known, _)| *known == warning) {
                Some((_, layers)) => layers.push(&layer.name),
                None => notes.push((warning, vec![&layer.name])),
            }
        }
    }
    for (warning, layers) in notes {
        let of = match layers.as_slice() {
            all if all.len() == done.len() && all.len() > 1 => format!("all {} layers", all.len()),
            some => some.join(", "),
        };
        text.push(format!("{of}: {warning}"));
    }
    text
}

fn caption(settings: &Settings) -> String {
    let vectors = match settings.target_error {
        Some(error) => format!("target error {error}"),
        None => format!("n_t {}", settings.n_t),
    };
    let convention = word(&settings.convention);
    let projection = match settings.projection {
        0 => String::new(),
        n => format!(", projection to {n}"),
    };
    format!(
        "kappa {}, {vectors}, seed {}, convention {convention}{projection}",
        settings.margin, settings.seed
    )
}

/// The layers' measures over layers. Where what was given holds several layers each, a curve for each.
fn plotted(given: &[PathBuf], done: &[Layer], settings: &Settings) -> Plot {
    let of = |layer: &Layer| {
        let holds = |path: &PathBuf| layer.place.file.starts_with(path);
        given.iter().position(holds).unwrap_or(0)
    };
    let curves: Vec<usize> = (0..given.len())
        .filter(|&curve| done.iter().any(|layer| of(layer) == curve))
        .collect();
    let several = curves.len() > 1 && curves.len() < done.len();
    // Layers of several files are told apart by their file, which here is the curve.
    let name = |layer: &Layer| match layer.name.split_once('/') {
        Some((stem, name)) if several && file_stem(&given[of(layer)]) == stem => name.to_owned(),
        _ => layer.name.clone(),
    };
    let mut layers: Vec<String> = Vec::new();
    for name in done.iter().map(name) {
        if !layers.contains(&name) {
            layers.push(name);
        }
    }
    let curves = if several { curves } else { vec![0] };
    let panels = MEASURES
        .iter()
        .filter(|measure| {
            let drawn = !matches!(measure.kind, Kind::Count | Kind::Change);
            drawn && measure.heading.is_some()
        })
        .map(|measure| Measured {
            measure,
            values: curves
                .iter()
                .map(|&curve| {
                    let mut values = vec![None; layers.len()];
                    for layer in done.iter().filter(|layer| !several || of(layer) == curve) {
                        let at = layers.iter().position(|known| *known == name(layer));
                        if let Some(value) = at.and_then(|at| values.get_mut(at)) {
                            *value = layer.reading(measure);
                        }
                    }
                    values
                })
                .collect(),
        })
        .filter(|panel| panel.values.iter().flatten().any(Option::is_some))
        .collect();
    Plot {
        layers,
        curves: curves
            .iter()
            .map(|&curve| given[curve].display().to_string())
            .collect(),
        panels,
        note: plot_note(settings),
    }
}

fn file_stem(path: &Path) -> String {
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The settings, and what the bands are.
fn plot_note(settings: &Settings) -> String {
    let coverage = 100.0 * AnalysisSettings::default().interval_coverage;
    match settings.resamples {
        0 => caption(settings),
        n => format!(
            "{}. Bands: {coverage} % intervals over classes, drawn {n} times with replacement.",
            caption(settings)
        ),
    }
}

/// A progress bar over layers on standard error; nothing where that is no terminal.
struct Bar(ProgressBar);

/// Steps of the bar for one layer: reading and solving take the larger part of the time each.
const STEPS: u64 = 1000;

impl Bar {
    fn new(quiet: bool, layers: usize) -> Self {
        let target = if quiet || !std::io::stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(layers as u64 * STEPS), target);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {elapsed} (left {eta}) {prefix}: {msg}")
        {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn layer(&self, name: &str) {
        self.0.set_prefix(name.to_owned());
        self.0.set_message("opening");
    }

    fn progress(&self, progress: Progress) {
        let start = self.0.position() / STEPS * STEPS;
        match progress {
            Progress::Features { done, of } => {
                self.0.set_message(format!("feature {done} of {of}"));
                self.0
                    .set_position(start + STEPS / 2 * done as u64 / of.max(1) as u64);
            }
            Progress::Vectors { done, of } => {
                self.0.set_message(format!("joint draw {done} of {of}"));
                let share = (STEPS / 2 - 1) * done as u64 / of.max(1) as u64;
                self.0.set_position(start + STEPS / 2 + share);
            }
            Progress::Centres => self.0.set_message("centres"),
            Progress::Manifolds { done, of } => {
                self.0.set_message(format!("class {done} of {of}"));
                let share = (STEPS / 2 - 1) * done as u64 / of.max(1) as u64;
                self.0.set_position(start + STEPS / 2 + share);
            }
            _ => {}
        }
    }

    fn next(&self) {
        let start = self.0.position() / STEPS * STEPS;
        self.0.set_position(start + STEPS);
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}
