//! Analyses: mean-field geometry, joint capacity, simulated capacity.

use std::sync::{Arc, OnceLock};

use mftma::joint::{JointGeometry, JointSettings, Labels as JointLabels, joint_geometry_with};
use mftma::{
    ArrayActivations, Conventions, Dichotomy, Geometry, RankRule, Simulation, Vectors,
    simulate_capacity_with,
};
use mftma_cli::measure::{self, Found, Plan};
use mftma_cli::settings::{Settings, SettingsError};
use mftma_files::error::{InputError, Place};
use mftma_files::read::{labels::Labels, natural_order};
use mftma_files::source::{Selection, Wanted};
use ndarray::Array2;
use numpy::{PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pythonize::{depythonize, pythonize};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::errors::{self, Context};
use crate::source::{Rows, Stack};
use crate::work::{self, Control};

/// Addresses of the values that an analysis of these arrays would read: those of the arrays themselves.
#[pyfunction]
pub(crate) fn addresses(parts: Vec<Bound<'_, PyAny>>) -> PyResult<Vec<usize>> {
    Ok(Stack::new(&parts)?.addresses())
}

/// The program's settings at their defaults.
#[pyfunction]
pub(crate) fn default_settings(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Ok(pythonize(py, defaults()?)?)
}

/// The sentence of a warning as results hold it, with classes by name.
#[pyfunction]
pub(crate) fn describe_warning(
    warning: &Bound<'_, PyAny>,
    classes: Vec<String>,
) -> PyResult<String> {
    let warning: mftma::Warning = depythonize(warning)?;
    Ok(warning.describe(&|index| {
        classes.get(index).map_or_else(
            || format!("manifold {index}"),
            |name| format!("class {name:?}"),
        )
    }))
}

/// Everything that an analysis reads.
struct Input {
    stack: Arc<Stack>,
    selection: Arc<Selection>,
    notes: Vec<String>,
}

/// Classes and points as the program chooses them. `names` are the distinct labels in any order, `codes` each point's index into them.
fn input(
    parts: &[Bound<'_, PyAny>],
    names: Vec<String>,
    codes: &PyReadonlyArray1<'_, i64>,
    wanted: &Wanted<'_>,
) -> PyResult<Input> {
    let stack = Stack::new(parts)?;
    let codes = codes.as_array();
    if codes.len() != stack.rows() {
        return Err(errors::value(format_args!(
            "{} labels for {} points\n  try: give one label per row of x, in the same order; if x is features x points, add \
             layout='features-by-points'",
            codes.len(),
            stack.rows()
        )));
    }
    let labels = labels(names, codes.iter().copied())?;
    let selection = Selection::new(&labels, wanted).map_err(|e| explain_input(&e))?;
    let notes = labels.notes(wanted.leave_out);
    Ok(Input {
        stack,
        selection: Arc::new(selection),
        notes: notes.iter().map(|note| errors::pythonic(note)).collect(),
    })
}

fn labels(names: Vec<String>, codes: impl Iterator<Item = i64>) -> PyResult<Labels> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|&a, &b| {
        natural_order(&names[a], &names[b]).then_with(|| names[a].cmp(&names[b]))
    });
    let mut place_of = vec![0; names.len()];
    for (place, &code) in order.iter().enumerate() {
        place_of[code] = place;
    }
    let classes = codes
        .map(|code| {
            usize::try_from(code)
                .ok()
                .and_then(|code| place_of.get(code).copied())
                .ok_or_else(|| PyValueError::new_err(format!("no label number {code}")))
        })
        .collect::<PyResult<_>>()?;
    Ok(Labels {
        place: Place::file("labels"),
        names: order.into_iter().map(|code| names[code].clone()).collect(),
        classes,
        heading: None,
    })
}

/// Without the name of the file, which is always `labels` here.
fn explain_input(error: &InputError) -> PyErr {
    errors::value(error)
}

/// The settings at their defaults, with `given` over them.
fn settings<T: Serialize + for<'a> Deserialize<'a>>(
    defaults: &T,
    given: &Bound<'_, PyDict>,
) -> PyResult<T> {
    let defaults = serde_json::to_value(defaults).map_err(errors::value)?;
    let given: serde_json::Map<String, Value> = depythonize(given)?;
    let with = |given: &mut dyn Iterator<Item = (&String, &Value)>| {
        let mut all = defaults.clone();
        if let Some(all) = all.as_object_mut() {
            all.extend(given.map(|(name, value)| (name.clone(), value.clone())));
        }
        T::deserialize(all)
    };
    with(&mut given.iter()).map_err(|error| {
        // The error does not say which it was: by itself each tells.
        for (name, value) in &given {
            if let Err(error) = with(&mut std::iter::once((name, value))) {
                return errors::setting(name, value, &error);
            }
        }
        errors::value(error)
    })
}

/// The program's settings at their defaults. Its flags, which tell them, take longer to build than a small analysis.
fn defaults() -> PyResult<&'static Settings> {
    static DEFAULTS: OnceLock<Settings> = OnceLock::new();
    if let Some(defaults) = DEFAULTS.get() {
        return Ok(defaults);
    }
    let read = Settings::from_config("").map_err(|e| explain_settings(&e))?;
    Ok(DEFAULTS.get_or_init(|| read))
}

fn explain_settings(error: &SettingsError) -> PyErr {
    errors::value(error)
}

#[derive(Serialize)]
struct Outcome<'a, G> {
    geometry: &'a G,
    settings: Value,
    classes: &'a [String],
    points_per_class: &'a [usize],
    notes: &'a [String],
}

fn outcome<'py, G: Serialize>(
    py: Python<'py>,
    geometry: &G,
    settings: &impl Serialize,
    selection: &Selection,
    notes: &[String],
) -> PyResult<Bound<'py, PyAny>> {
    Ok(pythonize(
        py,
        &Outcome {
            geometry,
            settings: serde_json::to_value(settings).map_err(errors::value)?,
            classes: &selection.classes,
            points_per_class: &selection.points_per_class,
            notes,
        },
    )?)
}

/// What the engine takes beyond the program's settings.
struct Given {
    vectors: Option<Vec<Array2<f64>>>,
    rank_rule: Option<RankRule>,
}

/// What the program measures with these settings. Where vectors or directions are given, mean-field measures are compared, and nothing
/// else is measured.
fn plan(settings: &Settings, given: Given) -> PyResult<Plan> {
    let explained = |e| Context::nothing().explain(e);
    if given.vectors.is_none() && given.rank_rule.is_none() {
        return Plan::new(settings).map_err(explained);
    }
    let mut engine = settings.engine();
    if let Some(vectors) = given.vectors {
        engine = engine.sampling(Vectors::Given(vectors));
    }
    if let Some(rule) = given.rank_rule {
        let conventions: Conventions = engine.conventions.clone();
        engine = engine.conventions(conventions.rank_rule(rule));
    }
    Ok(Plan {
        analysis: Some(engine.build().map_err(explained)?),
        joint: None,
    })
}

/// What [`analyze`] found: of the measures that were not asked for, or cannot be taken, there are none.
#[derive(Serialize)]
struct Measured<'a> {
    geometry: Option<&'a Geometry>,
    joint: Option<&'a JointGeometry>,
    settings: Value,
    classes: &'a [String],
    points_per_class: &'a [usize],
    notes: &'a [String],
}

/// The joint and the mean-field geometry. `given` holds the program's settings that differ from their defaults; `vectors` (n_t, D + 1) for each
/// class, and `directions` (N, K) are for comparisons with the reference.
#[pyfunction]
#[pyo3(signature = (parts, names, codes, given, progress=None, vectors=None, directions=None))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn analyze<'py>(
    py: Python<'py>,
    parts: Vec<Bound<'py, PyAny>>,
    names: Vec<String>,
    codes: PyReadonlyArray1<'py, i64>,
    given: &Bound<'py, PyDict>,
    progress: Option<&Bound<'py, PyAny>>,
    vectors: Option<Vec<PyReadonlyArray2<'py, f64>>>,
    directions: Option<PyReadonlyArray2<'py, f64>>,
) -> PyResult<Bound<'py, PyAny>> {
    let settings: Settings = settings(defaults()?, given)?;
    settings.validate().map_err(|e| explain_settings(&e))?;
    let rank_rule = directions.map(|v| RankRule::Given {
        directions: v.as_array().to_owned(),
    });
    let vectors = vectors.map(|all| all.iter().map(|t| t.as_array().to_owned()).collect());
    let plan = plan(&settings, Given { vectors, rank_rule })?;
    let input = input(&parts, names, &codes, &settings.wanted())?;
    let (projection, seed) = (settings.projection, settings.seed);
    let run = (settings.threads, progress);
    let (found, mut notes) = found(py, &input, run, move |source, control| {
        let tell = |p| control.tell(p);
        if projection == 0 {
            return plan.run(source, &tell);
        }
        let projected = mftma::project(source, projection, seed)?;
        let source = ArrayActivations::new(projected.view(), source.sizes)?;
        plan.run(&source, &tell)
    })?;
    let Found {
        geometry,
        joint,
        left_out,
    } = found;
    let classes = &input.selection.classes;
    let name = |class: usize| match classes.get(class) {
        Some(name) => format!("class {name:?}"),
        None => format!("class number {class}"),
    };
    notes.extend(left_out.map(|left| errors::pythonic(&left.describe(&name))));
    let doubtful = joint.iter().flat_map(measure::doubtful);
    notes.extend(doubtful.map(|note| errors::pythonic(&note)));
    Ok(pythonize(
        py,
        &Measured {
            geometry: geometry.as_ref(),
            joint: joint.as_ref(),
            settings: serde_json::to_value(&settings).map_err(errors::value)?,
            classes,
            points_per_class: &input.selection.points_per_class,
            notes: &notes,
        },
    )?)
}

/// Measures what was read, on `threads` threads and outside Python's lock, and gives it with the notes on the input.
fn found<G: Send + 'static>(
    py: Python<'_>,
    input: &Input,
    (threads, progress): (usize, Option<&Bound<'_, PyAny>>),
    measure: impl FnOnce(&Rows<'_>, &Control) -> Result<G, mftma::Error> + Send + 'static,
) -> PyResult<(G, Vec<String>)> {
    let (shared, chosen) = (Arc::clone(&input.stack), Arc::clone(&input.selection));
    let found = work::run(py, threads, progress, move |control: &Control| {
        let source = Rows {
            stack: &shared,
            rows: &chosen.points,
            sizes: &chosen.points_per_class,
            stop: &control.stop,
        };
        measure(&source, control)
    })?
    .map_err(|e| Context::of(&input.stack, &input.selection).explain(e))?;
    Ok((found, input.notes.clone()))
}

/// The same as one result, with what a reader needs beside it.
fn measured<'py, G: Serialize + Send + 'static>(
    py: Python<'py>,
    input: Input,
    (threads, progress): (usize, Option<&Bound<'py, PyAny>>),
    settings: &impl Serialize,
    measure: impl FnOnce(&Rows<'_>, &Control) -> Result<G, mftma::Error> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    let (found, notes) = found(py, &input, (threads, progress), measure)?;
    outcome(py, &found, settings, &input.selection, &notes)
}

impl<'a> Context<'a> {
    fn of(stack: &'a Stack, selection: &'a Selection) -> Self {
        Self {
            stack,
            rows: &selection.points,
            classes: &selection.classes,
        }
    }
}

/// Choice of points, as `mftma capacity` has it, and threads.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    points: Option<usize>,
    classes: Option<usize>,
    only_classes: Vec<String>,
    leave_out: Vec<String>,
    seed: u64,
    threads: usize,
}

impl Choice {
    fn read(given: &Bound<'_, PyDict>) -> PyResult<Self> {
        let defaults = Self {
            points: None,
            classes: None,
            only_classes: Vec::new(),
            leave_out: Vec::new(),
            seed: 0,
            threads: 0,
        };
        let choice: Self = settings(&defaults, given)?;
        if choice.points == Some(0) {
            return Err(PyValueError::new_err("points is 0, but must be at least 1"));
        }
        Ok(choice)
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            points: self.points,
            classes: self.classes,
            only_classes: &self.only_classes,
            leave_out: &self.leave_out,
            seed: self.seed,
        }
    }
}

/// Capacity by simulation, on the points that `choice` chooses, with the settings of `given`.
#[pyfunction]
#[pyo3(signature = (parts, names, codes, choice, given, positive=None, progress=None))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn simulate_capacity<'py>(
    py: Python<'py>,
    parts: Vec<Bound<'py, PyAny>>,
    names: Vec<String>,
    codes: PyReadonlyArray1<'py, i64>,
    choice: &Bound<'py, PyDict>,
    given: &Bound<'py, PyDict>,
    positive: Option<usize>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let choice = Choice::read(choice)?;
    let mut simulation: Simulation = settings(&Simulation::default().seed(choice.seed), given)?;
    if let Some(positive) = positive {
        simulation = simulation.dichotomy(Dichotomy::Sparse { positive });
    }
    simulation
        .check()
        .map_err(|e| Context::nothing().explain(e))?;
    let input = input(&parts, names, &codes, &choice.wanted())?;
    let run = (choice.threads, progress);
    measured(py, input, run, &choice, move |source, control| {
        simulate_capacity_with(source, &simulation, &|p| control.tell(p))
    })
}

/// Joint capacity and effective geometry. `labellings` is a name, or rows of ±1, one row per dichotomy.
#[pyfunction]
#[pyo3(signature = (parts, names, codes, choice, given, n_t, target_error=None, labellings=None, vectors=None, progress=None))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn joint_capacity<'py>(
    py: Python<'py>,
    parts: Vec<Bound<'py, PyAny>>,
    names: Vec<String>,
    codes: PyReadonlyArray1<'py, i64>,
    choice: &Bound<'py, PyDict>,
    given: &Bound<'py, PyDict>,
    n_t: usize,
    target_error: Option<f64>,
    labellings: Option<Vec<Vec<i8>>>,
    vectors: Option<PyReadonlyArray2<'py, f64>>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let choice = Choice::read(choice)?;
    let mut joint: JointSettings = settings(&JointSettings::default().seed(choice.seed), given)?;
    joint = match (vectors, target_error) {
        (Some(vectors), _) => joint.given_vectors(vectors.as_array().to_owned()),
        (None, Some(error)) => joint.until_relative_error(error, n_t),
        (None, None) => joint.vectors(n_t),
    };
    if let Some(rows) = labellings {
        joint = joint.labels(JointLabels::Fixed(rows));
    }
    let input = input(&parts, names, &codes, &choice.wanted())?;
    let run = (choice.threads, progress);
    let (found, mut notes) = found(py, &input, run, move |source, control| {
        joint_geometry_with(source, &joint, &|p| control.tell(p))
    })?;
    notes.extend(measure::doubtful(&found).map(|note| errors::pythonic(&note)));
    outcome(py, &found, &choice, &input.selection, &notes)
}

/// Participation ratio of all rows about their mean, and the directions that hold `share` of their variance; `None` where all rows
/// are the same.
#[pyfunction]
#[pyo3(signature = (parts, share, threads=0))]
pub(crate) fn variance_spectrum(
    py: Python<'_>,
    parts: Vec<Bound<'_, PyAny>>,
    share: f64,
    threads: usize,
) -> PyResult<Option<(f64, usize)>> {
    let stack = Stack::new(&parts)?;
    let all: Vec<usize> = (0..stack.rows()).collect();
    let (shared, every) = (Arc::clone(&stack), all.clone());
    // However the rows are parted the spectrum is the same, but the engine wants two parts at least.
    let sizes = match stack.sizes() {
        sizes if sizes.len() > 1 => sizes,
        _ => vec![all.len() / 2, all.len() - all.len() / 2],
    };
    let found = work::run(py, threads, None, move |control| {
        let source = Rows {
            stack: &shared,
            rows: &every,
            sizes: &sizes,
            stop: &control.stop,
        };
        mftma::variance_spectrum(&source, share, &|p| control.tell(p))
    })?
    .map_err(|e| {
        Context {
            stack: &stack,
            rows: &all,
            classes: &[],
        }
        .explain(e)
    })?;
    Ok(found.map(|found| {
        (
            found.participation_ratio,
            found.explained_variance_dimension,
        )
    }))
}

/// The reference's random projection of all rows to `features` directions.
#[pyfunction]
#[pyo3(signature = (parts, features, seed, threads=0))]
pub(crate) fn project<'py>(
    py: Python<'py>,
    parts: Vec<Bound<'py, PyAny>>,
    features: usize,
    seed: u64,
    threads: usize,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let stack = Stack::new(&parts)?;
    let all: Vec<usize> = (0..stack.rows()).collect();
    let (shared, every) = (Arc::clone(&stack), all.clone());
    let projected = work::run(py, threads, None, move |control| {
        let source = Rows {
            stack: &shared,
            rows: &every,
            sizes: &[every.len()],
            stop: &control.stop,
        };
        mftma::project(&source, features, seed)
    })?
    .map_err(|e| {
        Context {
            stack: &stack,
            rows: &all,
            classes: &[],
        }
        .explain(e)
    })?;
    Ok(PyArray2::from_owned_array(py, projected))
}
