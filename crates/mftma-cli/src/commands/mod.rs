//! One file per command, and what they share.

pub mod analyze;
pub mod capacity;
pub mod compare;
pub mod info;
mod pieces;
mod resume;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;

use crate::cli::OutputArgs;
use crate::interrupt;
use crate::report::{self, Format, Table};
use crate::say::say;
use crate::settings::SettingsError;
use mftma_files::array::{Layout, Matrix};
use mftma_files::bytes::Bytes;
use mftma_files::error::{InputError, Place};
use mftma_files::read::labels::{self, Labels};
use mftma_files::read::{self, Entry, ReadOptions};
use mftma_files::source::whole_names;

/// Stopped by Ctrl-C. What was finished has been dealt with.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Some layers failed; the others' results were written.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {of} could not be analysed:\n{details}")]
pub struct LayersFailed {
    /// How many.
    pub failed: usize,
    /// Of how many of what.
    pub of: String,
    /// What was wrong with each.
    pub details: String,
    /// Whether every failure lies in the input.
    pub input: bool,
}

fn read_options(inflate_bytes: u64) -> ReadOptions<'static> {
    ReadOptions {
        inflate_limit: inflate_bytes,
        interrupted: &interrupt::requested,
    }
}

/// What stands for standard input among files.
const STDIN: &str = "-";

/// All that standard input or a pipe gives; `None` for what can be read anywhere and again, such as a file. Read once, so that one
/// stream may hold activations and labels.
fn stream(path: &Path, options: ReadOptions<'_>) -> Result<Option<Arc<Bytes>>, InputError> {
    static READ: Mutex<BTreeMap<PathBuf, Arc<Bytes>>> = Mutex::new(BTreeMap::new());
    let standard = path == Path::new(STDIN);
    if !standard && !is_pipe(path) {
        return Ok(None);
    }
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = read.get(path) {
        return Ok(Some(Arc::clone(bytes)));
    }
    let place = Place::file(path);
    let bytes = match standard {
        true => read::slurp(&place, &mut io::stdin().lock(), options)?,
        false => {
            let mut file = File::open(path).map_err(|e| InputError::io(&place, e))?;
            read::slurp(&place, &mut file, options)?
        }
    };
    read.insert(path.to_path_buf(), Arc::clone(&bytes));
    Ok(Some(bytes))
}

/// Whether a path leads to a pipe, as a shell's `<(...)` does, or a terminal. Other devices may never end.
#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::io::IsTerminal;
    use std::os::unix::fs::FileTypeExt;
    path.metadata().is_ok_and(|metadata| {
        let kind = metadata.file_type();
        kind.is_fifo()
            || kind.is_char_device() && File::open(path).is_ok_and(|file| file.is_terminal())
    })
}

#[cfg(not(unix))]
fn is_pipe(_path: &Path) -> bool {
    false
}

/// The arrays of a file, a folder, standard input (`-`) or a pipe.
fn open(path: &Path, options: ReadOptions<'_>) -> Result<Vec<Entry>, InputError> {
    let Some(bytes) = stream(path, options)? else {
        return read::open(path);
    };
    let mut entries = read::open_any(&Place::file(path), bytes)?;
    for entry in &mut entries {
        if entry.place.array.is_none() && path == Path::new(STDIN) {
            entry.name = "stdin".to_owned();
        }
    }
    Ok(entries)
}

/// The labels that a reference names, from a file, standard input or a pipe.
fn read_labels(reference: &str, n: usize, options: ReadOptions<'_>) -> Result<Labels, InputError> {
    let (file, name) = labels::split_reference(reference);
    match stream(file, options)? {
        Some(bytes) => labels::parse(&Place::file(file), name, bytes, n, options),
        None => labels::read(reference, n, options),
    }
}

/// Lists the layers of several files: those named, in that order, or all arrays with two or more axes; one for each bin where
/// an axis is time.
fn layers(
    paths: &[PathBuf],
    wanted: &[String],
    time_axis: Option<usize>,
    options: ReadOptions<'_>,
) -> Result<Vec<Entry>, InputError> {
    let entries = whole_layers(paths, wanted, options)?;
    match time_axis {
        Some(axis) => read::bins(entries, axis),
        None => Ok(entries),
    }
}

fn whole_layers(
    paths: &[PathBuf],
    wanted: &[String],
    options: ReadOptions<'_>,
) -> Result<Vec<Entry>, InputError> {
    let mut entries = Vec::new();
    for path in paths {
        let mut of_path = open(path, options)?;
        // Several files may hold arrays of the same name.
        if paths.len() > 1 && of_path.len() > 1 {
            let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
            for entry in &mut of_path {
                entry.name = format!("{}/{}", stem.clone().unwrap_or_default(), entry.name);
            }
        }
        entries.append(&mut of_path);
    }
    read::make_distinct(&mut entries);
    let place = Place::file(&paths[0]);
    if wanted.is_empty() {
        let (matrices, others): (Vec<Entry>, Vec<Entry>) = entries
            .into_iter()
            .partition(|e| e.info.as_ref().map_or(true, |info| info.shape.len() >= 2));
        if matrices.is_empty() {
            let names: Vec<String> = others
                .iter()
                .filter_map(|e| Some(format!("{} ({})", e.name, e.info.as_ref().ok()?.describe())))
                .collect();
            return Err(InputError::content(
                &place,
                format!(
                    "no array with two or more axes; there are {}",
                    names.join(", ")
                ),
                "save activations as points x features",
            ));
        }
        return Ok(matrices);
    }
    choose(entries, wanted, &paths[0])
}

/// The entries named, in that order.
fn choose(
    mut entries: Vec<Entry>,
    wanted: &[String],
    path: &Path,
) -> Result<Vec<Entry>, InputError> {
    let place = Place::file(path);
    let mut chosen = Vec::new();
    for (name, _) in whole_names(wanted, |name| entries.iter().any(|e| e.name == name)) {
        let Some(at) = entries.iter().position(|e| e.name == name) else {
            let names: Vec<&str> = entries.iter().map(|e| e.name.as_str()).collect();
            return Err(InputError::content(
                &place,
                format!(
                    "no array {name:?} (or it is named twice); there are {}",
                    names.join(", ")
                ),
                "--layers with these names (see `mftma info FILE`)",
            ));
        };
        chosen.push(entries.remove(at));
    }
    Ok(chosen)
}

/// Refuses layers none of which can be read: nothing else tells how many points there are.
fn any_readable(entries: Vec<Entry>) -> anyhow::Result<Vec<Entry>> {
    if entries.iter().any(|entry| entry.info.is_ok()) {
        return Ok(entries);
    }
    let of = format!("{} layers", entries.len());
    let failure = |entry: Entry| Some((entry.name, entry.info.err()?.into()));
    fail(
        entries.into_iter().filter_map(failure).collect(),
        &of,
        false,
    )?;
    Ok(Vec::new())
}

/// Number of points that every layer must have, from the first whose shape is known.
fn common_points(entries: &[Entry], layout: Layout) -> Result<usize, InputError> {
    let mut common: Option<(usize, &Entry)> = None;
    for entry in entries {
        let Some(n) = entry
            .info
            .as_ref()
            .ok()
            .and_then(|info| layout.points(&info.shape))
        else {
            continue;
        };
        match common {
            None => common = Some((n, entry)),
            Some((first, other)) if first != n => {
                return Err(InputError::content(
                    &entry.place,
                    format!("{n} points, but layer {:?} has {first}", other.name),
                    "all layers must hold the same points; choose among them with --layers, or turn them with --layout",
                ));
            }
            Some(_) => {}
        }
    }
    Ok(common.map_or(0, |(n, _)| n))
}

/// Layers and the class of every point.
struct Input {
    entries: Vec<Entry>,
    labels: Labels,
    /// The array of labels in a folder, where one was named.
    behind: Option<Entry>,
    /// What a user should know about them.
    notes: Vec<String>,
}

/// What to read.
struct Request<'a> {
    paths: &'a [PathBuf],
    /// Layers by name; empty for all.
    layers: &'a [String],
    labels: Option<&'a str>,
    /// Classes that will be left out.
    leave_out: &'a [String],
    layout: Layout,
    /// The axis of arrays that is time.
    time_axis: Option<usize>,
    options: ReadOptions<'a>,
}

/// Lists layers and reads labels, as the layout says.
fn input(request: &Request<'_>) -> anyhow::Result<Input> {
    let layout = request.layout;
    let behind = request.labels.and_then(in_folder);
    let (entries, labels) = match (layout.tells_classes(), request.labels) {
        (false, Some(reference)) => labelled(request, reference, behind.as_ref())?,
        (true, None) => classes_by_layout(request)?,
        (false, None) => {
            return Err(SettingsError::Flags {
                problem: "--labels is missing".into(),
                remedy: "--labels FILE with the class of every point, or a --layout that tells the classes \
                         (classes-by-points-by-features, one-array-per-class)"
                    .into(),
            }
            .into());
        }
        (true, Some(reference)) => {
            return Err(SettingsError::Flags {
                problem: format!(
                    "--labels {reference}, but the layout tells the class of every point"
                ),
                remedy: "leave out --labels or --layout".into(),
            }
            .into());
        }
    };
    let mut notes = labels.notes(request.leave_out);
    notes.extend(entries.iter().filter_map(Entry::note));
    for entry in &entries {
        notes.extend(axis_note(entry, layout));
        notes.extend(pieces_note(entry, layout));
    }
    Ok(Input {
        entries,
        labels,
        behind,
        notes,
    })
}

/// That numbered arrays were joined.
fn pieces_note(entry: &Entry, layout: Layout) -> Option<String> {
    let pieces = entry.pieces();
    (pieces > 1 && !layout.tells_classes()).then(|| {
        format!(
            "{}: {pieces} numbered arrays were joined to one layer",
            entry.name
        )
    })
}

/// Which axis of a square matrix was taken for the points.
fn axis_note(entry: &Entry, layout: Layout) -> Option<String> {
    let info = entry.info.as_ref().ok()?;
    let (false, &[rows, columns]) = (layout.tells_classes(), info.shape.as_slice()) else {
        return None;
    };
    let (taken, other) = match layout {
        Layout::FeaturesByPoints => ("columns", "points-by-features takes the rows"),
        _ => ("rows", "features-by-points takes the columns"),
    };
    (rows == columns).then(|| {
        format!(
            "{}: {rows} x {columns}, as many points as features; the {taken} were taken for the points (--layout {other})",
            entry.name
        )
    })
}

/// Layers beside a file of labels.
fn labelled(
    request: &Request<'_>,
    reference: &str,
    behind: Option<&Entry>,
) -> anyhow::Result<(Vec<Entry>, Labels)> {
    let mut entries = whole_layers(request.paths, request.layers, request.options)?;
    entries = any_readable(without_labels(
        entries,
        reference,
        behind,
        request.layers.is_empty(),
    ))?;
    if let Some(axis) = request.time_axis {
        entries = read::bins(entries, axis)?;
    }
    let read = |n| read_labels(reference, n, request.options);
    let first = common_points(&entries, request.layout).and_then(|n| Ok((n, read(n)?)));
    let error = match first {
        Ok((_, labels)) => return Ok((entries, labels)),
        Err(error) => error,
    };
    // A heading among the points makes one too many.
    let note = entries.iter().find_map(Entry::note);
    // Numbered pieces of layers, if their points add up to the labels; else what was wrong in the first place. A file of
    // labels is told its number of points because of the heading it may have; a piece's sum is tried for it.
    if request.layout == Layout::PointsByFeatures
        && let Some(n) = read::pieces_total(&entries).filter(|&n| read::joins(&entries, n))
        && let Ok(labels) = read(n)
    {
        let joined = read::join_numbered(entries, n).unwrap_or_else(|as_it_was| as_it_was);
        return Ok((joined, labels));
    }
    let error = match common_points(&entries, request.layout) {
        Ok(n) => other_layout(&entries, request.layout, n, read).unwrap_or(error),
        Err(_) => error,
    };
    let error = anyhow::Error::new(error);
    Err(match note {
        Some(note) => error.context(note),
        None => error,
    })
}

/// That there are as many labels as another layout has points, with that layout as the remedy.
fn other_layout(
    entries: &[Entry],
    layout: Layout,
    n: usize,
    read: impl Fn(usize) -> Result<Labels, InputError>,
) -> Option<InputError> {
    let shape = |e: &Entry| Some(e.info.as_ref().ok()?.shape.clone());
    let shape = entries.iter().find_map(shape)?;
    let others = [
        Layout::PointsByFeatures,
        Layout::FeaturesByPoints,
        Layout::ClassesByPointsByFeatures,
    ];
    others.into_iter().filter(|&other| other != layout).find_map(|other| {
        let labels = read(other.points(&shape)?).ok()?;
        let word = analyze::word(&other);
        let remedy = match (other, shape.as_slice()) {
            (Layout::ClassesByPointsByFeatures, [classes, points, ..]) => format!(
                "--layout {word} without --labels, where the {classes} classes have {points} points each, one class after the other"
            ),
            _ => format!("--layout {word}"),
        };
        let problem = format!("{} labels for {n} points of activations", labels.classes.len());
        Some(InputError::content(&labels.place, problem, remedy))
    })
}

/// The array that labels are read from, where they lie in a folder or a zarr store.
fn in_folder(reference: &str) -> Option<Entry> {
    let (folder, name) = labels::split_reference(reference);
    if !folder.is_dir() {
        return None;
    }
    let mut entries = read::open(folder).ok()?;
    let at = match name {
        Some(name) => entries.iter().position(|entry| entry.name == name)?,
        None => 0,
    };
    Some(entries.swap_remove(at))
}

/// Whether two arrays are the same. Those of a store are folders in it.
fn same_array(a: &Place, b: &Place) -> bool {
    let whole = |place: &Place| match &place.array {
        Some(array) if place.file.is_dir() => Place::file(place.file.join(array)),
        _ => place.clone(),
    };
    let (a, b) = (whole(a), whole(b));
    a.array == b.array && same_file(&a.file, &b.file)
}

/// An array that is given as labels is no layer, unless it was named as one; a column that is, no feature.
fn without_labels(
    entries: Vec<Entry>,
    reference: &str,
    behind: Option<&Entry>,
    also_arrays: bool,
) -> Vec<Entry> {
    let (file, array) = labels::split_reference(reference);
    let (mut others, mut labels) = (Vec::new(), Vec::new());
    for mut entry in entries {
        let named = match (&entry.place.array, array) {
            (Some(own), Some(array)) => own == array,
            (None, _) => true,
            (Some(_), None) => false,
        };
        let dropped = match behind {
            Some(behind) => same_array(&entry.place, &behind.place),
            None => {
                named
                    && same_file(&entry.place.file, file)
                    && !array.is_some_and(|column| entry.drop_column(column))
            }
        };
        if dropped && also_arrays {
            labels.push(entry);
        } else {
            others.push(entry);
        }
    }
    // Nothing else was given: let the user be told what is wrong with it.
    if others.is_empty() { labels } else { others }
}

/// Layers whose layout says the class of every point.
fn classes_by_layout(request: &Request<'_>) -> anyhow::Result<(Vec<Entry>, Labels)> {
    if request.layout == Layout::ClassesByPointsByFeatures {
        let entries = layers(
            request.paths,
            request.layers,
            request.time_axis,
            request.options,
        )?;
        common_points(&entries, request.layout)?;
        let mut found: Option<Labels> = None;
        for entry in &entries {
            let Ok(&[classes, points, _, ..]) = entry.info.as_ref().map(|i| i.shape.as_slice())
            else {
                continue;
            };
            entry.check()?;
            let labels = Labels {
                place: entry.place.clone(),
                names: (0..classes).map(|c| c.to_string()).collect(),
                classes: (0..classes)
                    .flat_map(|c| std::iter::repeat_n(c, points))
                    .collect(),
                heading: None,
            };
            same_classes(found.get_or_insert_with(|| labels.clone()), &labels)?;
        }
        let labels = found.ok_or_else(|| {
            InputError::content(
                &Place::file(&request.paths[0]),
                "no array of classes x points x features",
                "save an array of three axes or more, or choose another --layout",
            )
        })?;
        return Ok((entries, labels));
    }
    if let Some(axis) = request.time_axis {
        return Err(SettingsError::Flags {
            problem: format!("--time-axis {axis} with --layout one-array-per-class"),
            remedy: "save the bins as files of their own, or classes x points x time x features with --layout \
                     classes-by-points-by-features --time-axis 2"
                .into(),
        }
        .into());
    }
    let mut entries = Vec::new();
    let mut found: Option<Labels> = None;
    for path in request.paths {
        let (entry, labels) = read::one_array_per_class(path, open(path, request.options)?)?;
        same_classes(found.get_or_insert_with(|| labels.clone()), &labels)?;
        entries.push(entry);
    }
    read::make_distinct(&mut entries);
    let entries = if request.layers.is_empty() {
        entries
    } else {
        choose(entries, request.layers, &request.paths[0])?
    };
    let labels = found.ok_or_else(|| {
        InputError::content(
            &Place::file(&request.paths[0]),
            "holds no class",
            "give a file or folder with one array per class",
        )
    })?;
    Ok((entries, labels))
}

fn same_classes(first: &Labels, other: &Labels) -> Result<(), InputError> {
    if first.names == other.names && first.classes == other.classes {
        return Ok(());
    }
    Err(InputError::content(
        &other.place,
        format!(
            "other classes, or other numbers of points, than {}",
            first.place
        ),
        "all layers must hold the same points of the same classes",
    ))
}

fn matrix(entry: Entry, layout: Layout, options: ReadOptions<'_>) -> Result<Matrix, InputError> {
    Matrix::new(entry.load(options)?, layout)
}

fn pool(threads: usize) -> anyhow::Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .context("cannot start the threads")
}

/// A failure that is all there is speaks for itself; of several, all are told. `others` tells whether anything is finished.
fn fail(mut failures: Vec<(String, anyhow::Error)>, of: &str, others: bool) -> anyhow::Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    if failures.len() == 1 && !others {
        return Err(failures.remove(0).1);
    }
    let lines: Vec<String> = failures
        .iter()
        .map(|(name, error)| format!("{name}: {error:#}"))
        .collect();
    Err(LayersFailed {
        failed: failures.len(),
        of: of.to_owned(),
        details: lines.join("\n"),
        input: failures.iter().all(|(_, e)| e.is::<InputError>()),
    }
    .into())
}

/// What a command reads and writes besides its result.
#[derive(Default)]
struct Files<'a> {
    inputs: Vec<&'a Path>,
    /// Whether it can go on from an earlier result, and from which it does.
    resumes: bool,
    resumed: Option<&'a Path>,
    plot: Option<&'a Path>,
}

impl<'a> Files<'a> {
    /// Activations and labels.
    fn read(activations: &'a [PathBuf], labels: Option<&'a str>) -> Self {
        let labels = labels.map(|reference| labels::split_reference(reference).0);
        let activations = activations.iter().map(PathBuf::as_path);
        Self {
            inputs: activations.chain(labels).collect(),
            ..Self::default()
        }
    }
}

const OUTPUT: &str = "--output";
/// What an interrupted run writes.
const OUTPUT_PARTIAL: &str = "--output, if interrupted,";
const PLOT: &str = "--plot";

/// Whether two names lead, or will lead, to one file.
fn same_file(a: &Path, b: &Path) -> bool {
    let end = |path: &Path| {
        path.canonicalize().ok().or_else(|| {
            let folder = mftma_atomic::folder(path).canonicalize().ok()?;
            Some(folder.join(path.file_name()?))
        })
    };
    a == b || end(a).is_some_and(|a| end(b) == Some(a))
}

fn not_replaced(flag: &str, path: &Path, input: &Path) -> Result<(), SettingsError> {
    if !same_file(path, input) {
        return Ok(());
    }
    Err(SettingsError::Flags {
        problem: format!(
            "{flag} {} would replace {}, which is read",
            path.display(),
            input.display()
        ),
        remedy: format!(
            "{} with another name",
            flag.split(',').next().unwrap_or(flag)
        ),
    })
}

impl OutputArgs {
    fn format(&self) -> Format {
        self.format
            .or_else(|| self.output.as_deref().and_then(Format::of_path))
            .unwrap_or(Format::Table)
    }

    /// Refuses, before any work, what could not be written after it, or would be written over what is read. What an interrupted run
    /// left is `resumed`, or is not written over.
    fn check(&self, files: &Files<'_>) -> anyhow::Result<()> {
        let written = self.written(files.plot);
        for (i, (flag, path)) in written.iter().enumerate() {
            if let Some((other, _)) = written[..i].iter().find(|(_, p)| same_file(p, path)) {
                return Err(SettingsError::Flags {
                    problem: format!("{flag} {} is the file of {other} too", path.display()),
                    remedy: format!("{flag} with another name"),
                }
                .into());
            }
            // Its own earlier result may be replaced by the new one.
            let resumed = files.resumed.filter(|_| *flag == PLOT);
            for input in files.inputs.iter().copied().chain(resumed) {
                not_replaced(flag, path, input)?;
            }
        }
        if self.file().is_none() && !self.for_standard_output() {
            anyhow::bail!("Parquet is not for the terminal\n  try: --output results.parquet");
        }
        if let Some(path) = self.file() {
            report::check_writable(path, self.force)?;
            let partial = report::partial(path);
            let resumed = files
                .resumed
                .is_some_and(|resumed| same_file(resumed, &partial));
            let remedy = match self.format() {
                Format::Json if files.resumes => {
                    "--resume with that file to go on from there, or --force to overwrite it"
                }
                _ => "--force to overwrite it, or another name",
            };
            report::check_partial(path, self.force || resumed, remedy)?;
        }
        if let Some(path) = files.plot {
            report::check_writable(path, self.force)?;
        }
        Ok(())
    }

    /// Refuses to write over a file behind a layer: where a folder is given, it is known only now.
    fn check_layers<'a>(
        &self,
        plot: Option<&Path>,
        layers: impl IntoIterator<Item = &'a Entry>,
    ) -> anyhow::Result<()> {
        let written = self.written(plot);
        if written.is_empty() {
            return Ok(());
        }
        let leads_to = |path: &Path| path.canonicalize().ok();
        let targets: Vec<_> = written.iter().map(|(_, path)| leads_to(path)).collect();
        let mut refused = Ok(());
        let mut last = None;
        for layer in layers {
            // Bins of time come from the same files.
            if last.replace(&layer.place) == Some(&layer.place) {
                continue;
            }
            layer.each_file(&mut |file| {
                let link = file.is_symlink();
                let is_name_of = |path: &Path| link || file.file_name() == path.file_name();
                for ((flag, path), target) in written.iter().zip(&targets) {
                    // By name first, links apart: there may be millions of them.
                    if refused.is_ok()
                        && (is_name_of(path) || target.as_deref().is_some_and(is_name_of))
                    {
                        refused = not_replaced(flag, path, file);
                    }
                }
            });
        }
        Ok(refused?)
    }

    /// The files that may be written, with their flags; a device or pipe is nobody's input.
    fn written(&self, plot: Option<&Path>) -> Vec<(&'static str, PathBuf)> {
        let output = self.file().map(|path| (OUTPUT, path.to_path_buf()));
        let partial = self
            .file()
            .map(|path| (OUTPUT_PARTIAL, report::partial(path)));
        let plot = plot.map(|path| (PLOT, path.to_path_buf()));
        let all = [output, partial, plot].into_iter().flatten();
        all.filter(|(_, path)| !report::in_place(path)).collect()
    }

    /// Whether the result may go to standard output: to a terminal as text only.
    fn for_standard_output(&self) -> bool {
        !self.format().is_binary() || !io::stdout().is_terminal()
    }

    /// The file of `--output`; `-` is standard output.
    fn file(&self) -> Option<&Path> {
        self.output
            .as_deref()
            .filter(|path| *path != Path::new("-"))
    }

    /// Writes a table, or `json` where that is the format; what is not whole under a name that shows it. Notes go to standard error
    /// too unless they stand below the table on the terminal.
    fn write(&self, result: Outcome<'_>, whole: bool) -> anyhow::Result<()> {
        let notes: String = result
            .notes
            .iter()
            .map(|note| format!("note: {note}\n"))
            .collect();
        let mut out = Vec::new();
        match self.format() {
            Format::Table => {
                result.table.write_text(&mut out)?;
                out.extend_from_slice(result.below.as_bytes());
                out.extend_from_slice(notes.as_bytes());
            }
            Format::Csv => result.table.write_csv(&mut out)?,
            Format::Json => {
                serde_json::to_writer_pretty(&mut out, result.json)?;
                out.push(b'\n');
            }
            #[cfg(feature = "parquet")]
            Format::Parquet => result.table.write_parquet(&mut out)?,
        }
        let below_the_table = self.format() == Format::Table && self.file().is_none();
        let path = self.file().map(|path| match whole {
            true => path.to_path_buf(),
            false => report::partial(path),
        });
        let written = match &path {
            Some(path) => report::save(path, &out, self.force || !whole),
            None => report::print(&out),
        };
        let written = written.map_err(|error| {
            // Ctrl-C ends a whole pipeline, where nobody has read enough.
            if report::is_closed_pipe(&error) && !interrupt::requested() {
                return error;
            }
            let name = path.as_deref().and_then(Path::file_name);
            let name = name.map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_else(|| format!("result.{}", self.format().ending()));
            let stdout = path.is_some() && self.for_standard_output();
            report::rescue(&name, &out, stdout, error)
        });
        if let (Some(path), false, Ok(())) = (&path, whole, &written) {
            say(format_args!("what was finished is in {}", path.display()));
        }
        if !below_the_table && !notes.is_empty() {
            say(notes.trim_end());
        }
        written
    }
}

/// A result in all its forms.
struct Outcome<'a> {
    table: &'a Table,
    json: &'a serde_json::Value,
    /// What stands below the table.
    below: &'a str,
    /// What a user should know, each in a sentence.
    notes: &'a [String],
}
