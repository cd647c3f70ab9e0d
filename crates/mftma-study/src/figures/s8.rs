//! Figure S8: three capacities of the same points over layers and epochs, and what of the joint one's change is utility, radius and
//! dimension.
//!
//! a: joint and b: mean-field capacity after some epochs, both with the simulated one. c: the change of the logarithm of joint
//! capacity over training as the sum of three: ln α = ln Ψ + ln(1 + R⁻²) − ln D holds exactly (Chou et al., bioRxiv
//! 2024.02.26.582157).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use anyhow::Result;
use mftma_data::ExampleGroup;

use super::geometry::{Key, layer_names, spread_over};
use super::{Figure, Study, foot, group_colour, over_runs};
use crate::cache::Stage;
use crate::experiment::Experiment;
use crate::stages::{
    Effective, EffectiveStage, LayerCapacities, LayerEffective, SimulateStage, TrainStage,
};
use crate::table::{Condition, Measure, Row};
use mftma_draw::{
    Anchor, Canvas, Colour, GREY, INK, Panel, TextStyle, Weight, colour_bar, footnote, log_ticks,
    nice_ticks,
};

/// The names of the panels.
const PANELS: [&str; 3] = ["a", "b", "c"];
/// The capacities of panels a and b.
const CAPACITIES: [(Measure, &str, (&str, &str)); 2] = [
    (Measure::JointCapacity, "Joint capacity", ("α", "joint")),
    (Measure::CAPACITY, "Mean-field capacity", ("α", "M")),
];
/// The simulated capacity with the ends of its interval.
const SIMULATED: [Measure; 3] = [
    Measure::SimulatedCapacity,
    Measure::SimulatedCapacityLower,
    Measure::SimulatedCapacityUpper,
];
/// The parts of a change, in panel c from left to right: utility, radius, dimension. Colours of Okabe and Ito that no group has.
const PARTS: [(Measure, &str, Colour); 3] = [
    (
        Measure::UtilityLogChange,
        "utility Ψ",
        Colour(0x56, 0xB4, 0xE9),
    ),
    (
        Measure::RadiusLogChange,
        "radius, 1 + 1/R²",
        Colour(0xD5, 0x5E, 0x00),
    ),
    (
        Measure::DimensionLogChange,
        "dimension, 1/D",
        Colour(0xCC, 0x79, 0xA7),
    ),
];
/// Width in points: two columns of a journal.
const WIDTH: f64 = 510.0;
/// Left, top and right margin around the panels.
const MARGINS: [f64; 3] = [50.0, 22.0, 52.0];
/// Height of a panel, and room below the last: for the names of layers.
const PANEL_HEIGHT: f64 = 100.0;
const BELOW: f64 = 36.0;
/// Between columns, between rows, and above panel c, where its colours are named.
const GAPS: (f64, f64, f64) = (9.0, 12.0, 24.0);
/// Text size in points.
const TEXT: f64 = 7.5;
/// Size of legends.
const SMALL: f64 = 6.5;
/// Width of a bar of panel c; the distance of two layers is 1.
const BAR: f64 = 0.2;

/// Joint, mean-field and simulated capacity.
pub struct FigureS8;

impl FigureS8 {
    fn last_epoch(study: &Study<'_>, run: &Rc<Experiment>) -> Result<usize> {
        let last = study.last_epoch(run)?;
        Ok(last.unwrap_or(run.settings.training.stop.max_epochs))
    }

    /// The epochs of a list that training reached, and its last.
    fn epochs(epochs: &[usize], last: usize) -> BTreeSet<usize> {
        let reached = epochs.iter().copied().filter(|&epoch| epoch < last);
        reached.chain([last]).collect()
    }

    /// The joint and mean-field capacities of a run.
    fn measured(study: &Study<'_>, run: &Rc<Experiment>) -> Result<Vec<EffectiveStage>> {
        let settings = &study.profile.supplement.joint;
        let mut stages = Vec::new();
        for epoch in Self::epochs(&settings.epochs, Self::last_epoch(study, run)?) {
            for &group in &settings.groups {
                stages.push(EffectiveStage::new(Rc::clone(run), epoch, group));
            }
        }
        Ok(stages)
    }

    /// The simulated ones, of the first run.
    fn simulated(study: &Study<'_>) -> Result<Vec<SimulateStage>> {
        let (run, settings) = (&study.runs[0], &study.profile.supplement.joint);
        let mut stages = Vec::new();
        for epoch in Self::epochs(&settings.simulated_epochs, Self::last_epoch(study, run)?) {
            for &group in &settings.groups {
                let stage = SimulateStage::new(Rc::clone(run), epoch, group);
                stages.push(stage.with(study.profile.compared()));
            }
        }
        Ok(stages)
    }
}

impl Figure for FigureS8 {
    fn name(&self) -> &'static str {
        "s8"
    }

    fn title(&self) -> &'static str {
        "Joint, mean-field and simulated capacity, and what changes the joint one"
    }

    fn caption(&self, study: &Study<'_>) -> String {
        let (joint, compared) = (&study.profile.supplement.joint, study.profile.compared());
        format!(
            "{}, of the same {} points of each of {} classes, about the mean of the classes. Columns are example groups, colours are epochs. \
             a: joint capacity, one problem over all points of all classes ({} Gaussian vectors; of half of the classes, a quarter, … in each draw \
             where the layer has too few directions to separate more, by the table's manifolds_per_draw). b: mean-field capacity, class by class after \
             shared directions of the centres are removed. Dots in both: capacity by simulation ({} random dichotomies) in {}, with 68 % intervals. \
             c: change of the natural logarithm of the joint capacity from the first of the epochs to the last (black), and its three parts, which \
             add up to it exactly, since α = Ψ(1 + 1/R²)/D: utility Ψ (how much of the geometry the labellings can use), radius R and \
             dimension D of the anchor points; what lies above 0 makes classes easier to separate. Bands and bars: one standard error over {}.",
            self.title(),
            compared.points,
            compared
                .manifolds
                .min(study.runs[0].data.dataset().classes()),
            joint.gaussian_vectors,
            compared.repetitions,
            compared.layers.join(", "),
            spread_over(&study.runs),
        )
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn check(&self, study: &Study<'_>) -> Result<()> {
        let run = &study.runs[0];
        run.check_layers("supplement.joint.layers", study.profile.compared_layers())?;
        run.check_layers("simulation.layers", &study.profile.simulation.layers)?;
        for &group in &study.profile.supplement.joint.groups {
            EffectiveStage::new(Rc::clone(run), 0, group).manifolds()?;
        }
        Ok(())
    }

    fn stages(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        for run in &study.runs {
            stages.push(Box::new(TrainStage::new(Rc::clone(run))));
            for stage in Self::measured(study, run)? {
                stages.push(Box::new(stage));
            }
        }
        if panels != [PANELS[2]] {
            for stage in Self::simulated(study)? {
                stages.push(Box::new(stage));
            }
        }
        Ok(stages)
    }

    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>> {
        let mut table = Vec::new();
        for run in &study.runs {
            let mut first: BTreeMap<(ExampleGroup, String), (usize, Effective)> = BTreeMap::new();
            for stage in Self::measured(study, run)? {
                let layers: Vec<LayerEffective> = study.cache.output(&stage)?;
                for layer in layers {
                    let row = Row {
                        layer_index: Some(layer.layer_index),
                        layer: Some(layer.layer.clone()),
                        epoch: stage.epoch(),
                        group: stage.group().into(),
                        ..study.row(run)
                    };
                    table.extend(capacity_rows(&layer, &row));
                    let Some(joint) = layer.joint else {
                        continue;
                    };
                    let key = (stage.group(), layer.layer);
                    if let Some((epoch, start)) = first.get(&key) {
                        let condition = Condition::Epochs(*epoch, stage.epoch());
                        table.extend(change_rows(start, &joint, condition, &row));
                    } else {
                        first.insert(key, (stage.epoch(), joint));
                    }
                }
            }
        }
        if panels != [PANELS[2]] {
            let run = &study.runs[0];
            for stage in Self::simulated(study)? {
                let layers: Vec<LayerCapacities> = study.cache.output(&stage)?;
                for layer in layers {
                    let row = Row {
                        layer_index: None,
                        layer: Some(layer.layer),
                        epoch: stage.epoch(),
                        group: stage.group().into(),
                        count: layer.manifolds,
                        ..study.row(run)
                    };
                    table.extend(SIMULATED.into_iter().zip(layer.simulated).filter_map(
                        |(measure, value)| {
                            Some(Row {
                                measure,
                                value: value?,
                                ..row.clone()
                            })
                        },
                    ));
                }
            }
        }
        table.retain(|row| panels.iter().any(|panel| belongs(panel, row.measure)));
        Ok(table)
    }

    fn draw(&self, study: &Study<'_>, panels: &[&str], table: &[Row]) -> Result<String> {
        let compared = study.profile.compared();
        let note = format!(
            "{}. P = {} manifolds of M = {} points, {} Gaussian vectors, {} simulated dichotomies. Bands and bars: one standard error over {}; \
             of simulation 68 % intervals{}.",
            study.setting(),
            compared
                .manifolds
                .min(study.runs[0].data.dataset().classes()),
            compared.points,
            study.profile.supplement.joint.gaussian_vectors,
            compared.repetitions,
            spread_over(&study.runs),
            match study.runs.len() {
                1 => "",
                _ => " of the first run",
            }
        );
        let groups = &study.profile.supplement.joint.groups;
        Ok(draw(self.title(), panels, groups, table, &note))
    }
}

/// Whether a measure is part of a panel. What no panel draws belongs to the changes that it explains.
fn belongs(panel: &str, measure: Measure) -> bool {
    let drawn = |place: usize| CAPACITIES[place].0 == measure;
    match panel {
        "a" => drawn(0) || measure == Measure::ManifoldsPerDraw || SIMULATED.contains(&measure),
        "b" => drawn(1) || SIMULATED.contains(&measure),
        _ => !drawn(0) && !drawn(1) && !SIMULATED.contains(&measure),
    }
}

/// The joint measures and the mean-field capacity of a layer.
fn capacity_rows(layer: &LayerEffective, like: &Row) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut count = 0;
    if let Some(joint) = &layer.joint {
        count = joint.shares.len();
        let values = [joint.capacity, joint.radius, joint.dimension, joint.utility];
        let measures = [
            Measure::JointCapacity,
            Measure::EffectiveRadius,
            Measure::EffectiveDimension,
            Measure::Utility,
        ];
        rows.push(Row {
            measure: Measure::ManifoldsPerDraw,
            value: joint.manifolds as f64,
            count,
            ..like.clone()
        });
        let relative = relative_influences(&joint.shares);
        for (place, measure) in measures.into_iter().enumerate() {
            let spread = error_of_sum(&relative[place]);
            rows.push(Row {
                measure,
                value: values[place],
                standard_error: spread.map(|error| error * values[place]),
                standard_error_vectors: joint.errors[place],
                count,
                ..like.clone()
            });
        }
    }
    if let Some(capacity) = &layer.mean_field {
        rows.push(Row {
            measure: Measure::CAPACITY,
            value: capacity.value,
            // Half a 68 % interval over resampled classes.
            standard_error: capacity.interval.map(|i| (i.upper - i.lower) / 2.0),
            standard_error_vectors: capacity.standard_error,
            count: count.max(1),
            ..like.clone()
        });
    }
    let possible = |row: &Row| {
        let errors = [row.standard_error, row.standard_error_vectors];
        row.value.is_finite() && errors.into_iter().flatten().all(f64::is_finite)
    };
    rows.retain(possible);
    rows
}

/// The change of ln α and its parts from `start` to `end`, with errors; nothing where a logarithm has no value, or other numbers of
/// manifolds take part.
fn change_rows(start: &Effective, end: &Effective, condition: Condition, like: &Row) -> Vec<Row> {
    let (from, to) = (logarithms(start), logarithms(end));
    let (from_vectors, to_vectors) = (errors_over_vectors(start), errors_over_vectors(end));
    let (from_classes, to_classes) = (log_influences(&start.shares), log_influences(&end.shares));
    let measures = [
        Measure::CapacityLogChange,
        Measure::UtilityLogChange,
        Measure::RadiusLogChange,
        Measure::DimensionLogChange,
    ];
    let alike = start.manifolds == end.manifolds && start.shares.len() == end.shares.len();
    if !alike || !from.iter().chain(&to).all(|value| value.is_finite()) {
        return Vec::new();
    }
    let row = |place: usize| {
        // The same classes at both epochs: the error is that of the differences.
        let pairs = to_classes[place].iter().zip(&from_classes[place]);
        let differences: Vec<f64> = pairs.map(|(to, from)| to - from).collect();
        let finite = |error: &f64| error.is_finite();
        Row {
            measure: measures[place],
            value: to[place] - from[place],
            standard_error: error_of_sum(&differences).filter(finite),
            standard_error_vectors: from_vectors[place]
                .zip(to_vectors[place])
                .map(|(from, to)| from.hypot(to))
                .filter(finite),
            condition: Some(condition.clone()),
            count: end.shares.len(),
            ..like.clone()
        }
    };
    (0..measures.len()).map(row).collect()
}

/// ln α and what adds up to it: ln Ψ, ln(1 + R⁻²), −ln D.
fn logarithms(joint: &Effective) -> [f64; 4] {
    [
        joint.capacity.ln(),
        joint.utility.ln(),
        joint.radius.powi(-2).ln_1p(),
        -joint.dimension.ln(),
    ]
}

/// Their standard errors over Gaussian vectors.
fn errors_over_vectors(joint: &Effective) -> [Option<f64>; 4] {
    let [capacity, radius, dimension, utility] = joint.errors;
    let r = joint.radius;
    [
        capacity.map(|error| error / joint.capacity),
        utility.map(|error| error / joint.utility),
        radius.map(|error| 2.0 * error / (r * (r * r + 1.0))),
        dimension.map(|error| error / joint.dimension),
    ]
}

/// What each class adds to the deviation of the logarithms: of a sum of shares, its share of the sum less 1/P.
fn log_influences(shares: &[[f64; 3]]) -> [Vec<f64>; 4] {
    let sum = |place: usize| shares.iter().map(|share| share[place]).sum::<f64>();
    let sums = [sum(0), sum(1), sum(2)];
    let of = |weights: [f64; 3]| {
        let one = |share: &[f64; 3]| {
            let parts = (0..3).filter(|&k| weights[k] != 0.0);
            parts.map(|k| weights[k] * share[k] / sums[k]).sum::<f64>()
        };
        shares.iter().map(one).collect()
    };
    // In terms of ΣF, Σb, Σc: α = P/ΣF, Ψ = Σc/ΣF, 1 + R⁻² = Σb/Σc, D = Σb/P.
    [
        of([-1.0, 0.0, 0.0]),
        of([-1.0, 0.0, 1.0]),
        of([0.0, 1.0, -1.0]),
        of([0.0, -1.0, 0.0]),
    ]
}

/// The same for α, R, D and Ψ, relative to their values.
fn relative_influences(shares: &[[f64; 3]]) -> [Vec<f64>; 4] {
    let [capacity, utility, term, dimension] = log_influences(shares);
    let sum = |place: usize| shares.iter().map(|share| share[place]).sum::<f64>();
    let (b, c) = (sum(1), sum(2));
    // d ln R = −½ (1 + R²) d ln(1 + R⁻²), and 1 + R² = b/(b − c).
    let slope = -0.5 * b / (b - c);
    [
        capacity,
        term.iter().map(|x| slope * x).collect(),
        dimension,
        utility,
    ]
}

/// Standard error of a sum over classes, each of which was drawn by itself; none for fewer than two.
fn error_of_sum(terms: &[f64]) -> Option<f64> {
    let n = terms.len() as f64;
    (terms.len() > 1).then(|| {
        let mean = terms.iter().sum::<f64>() / n;
        let squares: f64 = terms.iter().map(|term| (term - mean).powi(2)).sum();
        (n / (n - 1.0) * squares).sqrt()
    })
}

/// What is drawn of a table.
struct Drawn<'a> {
    table: &'a [Row],
    names: Vec<String>,
    /// Rank and label of each epoch.
    epochs: Vec<(usize, String)>,
    /// Last epoch of each run.
    last: BTreeMap<u64, usize>,
}

impl<'a> Drawn<'a> {
    fn new(table: &'a [Row]) -> Self {
        let mut last = BTreeMap::new();
        for row in table {
            let of_run = last.entry(row.seed).or_insert(0);
            *of_run = row.epoch.max(*of_run);
        }
        let mut drawn = Self {
            table,
            names: layer_names(table.iter()),
            epochs: Vec::new(),
            last,
        };
        let epochs: BTreeSet<(usize, String)> = table.iter().map(|row| drawn.epoch(row)).collect();
        drawn.epochs = epochs.into_iter().collect();
        drawn
    }

    /// Rank and label of a row's epoch. Where runs end at different epochs, their ends are one.
    fn epoch(&self, row: &Row) -> (usize, String) {
        let ends: BTreeSet<&usize> = self.last.values().collect();
        if ends.len() > 1 && self.last.get(&row.seed) == Some(&row.epoch) {
            (usize::MAX, "last".to_owned())
        } else {
            (row.epoch, row.epoch.to_string())
        }
    }

    /// Mean over runs and its error, where there is a value.
    fn value(
        &self,
        measure: Measure,
        group: ExampleGroup,
        layer: &str,
        epoch: usize,
    ) -> Option<(f64, f64)> {
        let values: Vec<_> = self
            .table
            .iter()
            .filter(|row| {
                row.measure == measure
                    && row.group == group
                    && row.layer.as_deref() == Some(layer)
                    && self.epoch(row).0 == epoch
            })
            .map(|row| (row.value, row.standard_error))
            .collect();
        (!values.is_empty()).then(|| over_runs(&values))
    }
}

fn draw(
    title: &str,
    panels: &[&str],
    groups: &[ExampleGroup],
    table: &[Row],
    note: &str,
) -> String {
    let [left, top, right] = MARGINS;
    let count = groups.len().max(1) as f64;
    let panel_width = (WIDTH - left - right - GAPS.0 * (count - 1.0)) / count;
    let shown: Vec<&str> = PANELS
        .into_iter()
        .filter(|panel| panels.contains(panel))
        .collect();
    let mut tops = Vec::new();
    let mut y = top;
    for &panel in &shown {
        if panel == PANELS[2] {
            y += GAPS.2 - GAPS.1;
        }
        tops.push(y);
        y += PANEL_HEIGHT + GAPS.1;
    }
    let height = y - GAPS.1 + BELOW + foot(note, WIDTH);
    let mut canvas = Canvas::new(WIDTH, height, title);
    let drawn = Drawn::new(table);
    for (index, &group) in groups.iter().enumerate() {
        let x = left + (panel_width + GAPS.0) * index as f64;
        let colour = group_colour(group);
        let style = TextStyle::new(TEXT, colour, Anchor::Start).weight(Weight::Bold);
        canvas.text((x, top - 10.0), group.name(), style);
        canvas.rectangle([x, top - 7.5, panel_width, 1.2], colour);
    }
    let columns: Vec<(ExampleGroup, [f64; 2])> = groups
        .iter()
        .enumerate()
        .map(|(index, &group)| {
            let x = left + (panel_width + GAPS.0) * index as f64;
            (group, [x, panel_width])
        })
        .collect();
    for (&panel, &y) in shown.iter().zip(&tops) {
        let style = TextStyle::new(TEXT + 1.5, INK, Anchor::Start).weight(Weight::Bold);
        canvas.text((4.0, y + 3.0), panel, style);
        let names = shown.last() == Some(&panel);
        match panel {
            "a" => capacities(&mut canvas, &drawn, &columns, y, 0, names),
            "b" => capacities(&mut canvas, &drawn, &columns, y, 1, names),
            _ => changes(&mut canvas, &drawn, &columns, y, names),
        }
    }
    if shown.first() != Some(&PANELS[2]) {
        let labels: Vec<String> = drawn
            .epochs
            .iter()
            .map(|(_, label)| label.clone())
            .collect();
        let key = Key::ranked("Epoch", &labels);
        let x = WIDTH - right + 12.0;
        let bar = 11.0 * key.entries.len() as f64;
        colour_bar(
            &mut canvas,
            [x, top + 6.0, 8.0, bar],
            &key.title,
            &key.entries,
        );
        let y = top + 6.0 + bar + 14.0;
        canvas.line((x + 2.0, y - 6.0), (x + 2.0, y + 2.0), INK, 0.7);
        canvas.disc((x + 2.0, y - 2.0), 1.8, INK);
        let style = TextStyle::new(SMALL, INK, Anchor::Start);
        canvas.text((x + 6.0, y), "simulated", style);
    }
    footnote(&mut canvas, note, (WIDTH, height));
    canvas.finish()
}

/// A capacity over layers on a logarithmic scale, a line for each epoch, with the simulated one.
fn capacities(
    canvas: &mut Canvas,
    drawn: &Drawn<'_>,
    columns: &[(ExampleGroup, [f64; 2])],
    top: f64,
    place: usize,
    names: bool,
) {
    let (measure, label, symbol) = CAPACITIES[place];
    // One scale for all columns and both capacities, so that they compare at a glance.
    let all = [Measure::JointCapacity, Measure::CAPACITY];
    let ends = drawn.table.iter().filter_map(|row| {
        let wanted = all.contains(&row.measure) || SIMULATED.contains(&row.measure);
        let error = row.standard_error.unwrap_or(0.0);
        wanted.then_some((
            (row.value - error).max(0.5 * row.value).log10(),
            (row.value + error).log10(),
        ))
    });
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (a, b)| {
        (low.min(a), high.max(b))
    });
    let ticks = log_ticks(low, high);
    let limits = match (ticks.first(), ticks.last()) {
        (Some(first), Some(last)) => (first.0, last.0),
        _ => (-1.0, 0.0),
    };
    let style = TextStyle::new(TEXT, INK, Anchor::Middle).rotated(90.0);
    let middle = top + PANEL_HEIGHT / 2.0;
    canvas.text_with_symbol((20.0, middle), label, symbol, style);
    for (index, &(group, [x, width])) in columns.iter().enumerate() {
        let last = drawn.names.len().max(2) as f64 - 1.0;
        let area = [x, top, width, PANEL_HEIGHT];
        let panel = Panel::new(area, (-0.5, last + 0.5), limits);
        let marks: Vec<(f64, String)> = ticks
            .iter()
            .map(|(at, label)| {
                (
                    *at,
                    if index == 0 {
                        label.clone()
                    } else {
                        String::new()
                    },
                )
            })
            .collect();
        panel.y_marks(canvas, &marks);
        let labels: Vec<String> = drawn.epochs.iter().map(|(_, l)| l.clone()).collect();
        let colours = Key::ranked("", &labels).entries;
        let lines = || drawn.epochs.iter().zip(&colours);
        for ((epoch, _), (_, colour)) in lines() {
            let mut line = Vec::new();
            let mut band = Vec::new();
            for (at, name) in drawn.names.iter().enumerate() {
                if let Some((value, error)) = drawn.value(measure, group, name, *epoch) {
                    let at = at as f64;
                    line.push((at, value.log10(), 0.0));
                    let low = (value - error).max(1e-3 * value);
                    band.push((at, low.log10(), (value + error).log10()));
                }
            }
            panel.interval_band(canvas, &band, *colour);
            panel.line(canvas, &line, *colour, false);
        }
        for ((epoch, _), (_, colour)) in lines() {
            for (at, name) in drawn.names.iter().enumerate() {
                let of = |measure| Some(drawn.value(measure, group, name, *epoch)?.0.log10());
                let Some(value) = of(SIMULATED[0]) else {
                    continue;
                };
                let at = at as f64;
                if let (Some(low), Some(high)) = (of(SIMULATED[1]), of(SIMULATED[2])) {
                    canvas.line(panel.at(at, low), panel.at(at, high), *colour, 0.8);
                }
                canvas.disc(panel.at(at, value), 1.8, *colour);
            }
        }
        panel.frame(canvas);
        panel.x_names(canvas, &drawn.names, names);
    }
}

/// The changes over training: three bars for each layer, and their sum.
fn changes(
    canvas: &mut Canvas,
    drawn: &Drawn<'_>,
    columns: &[(ExampleGroup, [f64; 2])],
    top: f64,
    names: bool,
) {
    // The changes up to the last epoch; those up to others are in the table.
    let Some(&(end, _)) = drawn.epochs.last() else {
        return;
    };
    let measures = PARTS.map(|(measure, ..)| measure);
    let all = [
        Measure::CapacityLogChange,
        measures[0],
        measures[1],
        measures[2],
    ];
    let values: Vec<(f64, f64)> = columns
        .iter()
        .flat_map(|&(group, _)| drawn.names.iter().map(move |name| (group, name)))
        .flat_map(|(group, name)| {
            let of = move |measure| drawn.value(measure, group, name, end);
            all.into_iter().filter_map(of)
        })
        .collect();
    let (low, high) = values
        .iter()
        .fold((0.0_f64, 0.0_f64), |(low, high), (value, error)| {
            (low.min(value - error), high.max(value + error))
        });
    let ticks = nice_ticks(low, high, 5);
    let limits = (ticks[0], ticks[ticks.len() - 1]);
    let style = TextStyle::new(TEXT, INK, Anchor::Middle).rotated(90.0);
    let middle = top + PANEL_HEIGHT / 2.0;
    canvas.text_with_symbol((20.0, middle), "Change of ln", ("α", "joint"), style);
    for (index, &(group, [x, width])) in columns.iter().enumerate() {
        let last = drawn.names.len().max(2) as f64 - 1.0;
        let area = [x, top, width, PANEL_HEIGHT];
        let panel = Panel::new(area, (-0.5, last + 0.5), limits);
        panel.y_axis(canvas, &ticks, index == 0);
        panel.horizontal(canvas, 0.0, GREY);
        for (at, name) in drawn.names.iter().enumerate() {
            let left = at as f64 - 2.0 * BAR;
            for (part, &(measure, _, colour)) in PARTS.iter().enumerate() {
                let Some((value, error)) = drawn.value(measure, group, name, end) else {
                    continue;
                };
                let from = left + BAR * part as f64;
                let (upper, lower) = (value.max(0.0), value.min(0.0));
                let (corner, end) = (panel.at(from, upper), panel.at(from + 0.9 * BAR, lower));
                canvas.rectangle(
                    [corner.0, corner.1, end.0 - corner.0, end.1 - corner.1],
                    colour,
                );
                let middle = from + 0.45 * BAR;
                let ends = [value - error, value + error].map(|y| panel.at(middle, y));
                canvas.line(ends[0], ends[1], INK, 0.5);
            }
            if let Some((value, error)) = drawn.value(all[0], group, name, end) {
                panel.dots(canvas, &[(left + 3.5 * BAR, value, error)], INK);
            }
        }
        panel.frame(canvas);
        panel.x_names(canvas, &drawn.names, names);
    }
    let mut x = columns.first().map_or(0.0, |(_, [x, _])| *x);
    let y = top - 6.0;
    let style = TextStyle::new(SMALL, INK, Anchor::Start);
    for (_, name, colour) in PARTS {
        canvas.rectangle([x, y - 5.0, 6.0, 5.0], colour);
        canvas.text((x + 9.0, y), name, style);
        x += 9.0 + mftma_draw::text_width(name, SMALL, Weight::Regular) + 12.0;
    }
    canvas.disc((x + 2.0, y - 2.3), 1.8, INK);
    canvas.text((x + 7.0, y), "their sum, the change of ln α", style);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::cache::{Cache, key};
    use crate::experiment::Experiments;
    use crate::profile::Profile;
    use crate::progress::Progress;
    use crate::table::{from_csv, to_csv};
    use mftma::ArrayActivations;
    use mftma::joint::{JointSettings, joint_geometry};
    use mftma_draw::clipped_texts;
    use ndarray::Array2;

    const P: usize = 6;
    const M: usize = 5;

    /// Clouds about centres; `spread` times as far from them as the centres are long.
    fn joint(spread: f64) -> Effective {
        let wave = |i: usize, j: usize| ((i * 37 + j * 11 + i * j * j) as f64).sin();
        let points = Array2::from_shape_fn((P * M, 40), |(i, j)| {
            wave(i / M + 1, j + 3) + spread * wave(i + 17, j + 5)
        });
        let source = ArrayActivations::new(points.view(), &[M; P]).unwrap();
        let settings = JointSettings::default().vectors(60);
        Effective::of(&joint_geometry(&source, &settings).unwrap())
    }

    fn like() -> Row {
        super::super::geometry::tests::table().remove(0)
    }

    /// Layers with the longest names, three epochs, all groups; simulated in one layer.
    fn table() -> Vec<Row> {
        let mut rows = Vec::new();
        for group in ExampleGroup::ALL {
            for (place, name) in ["conv1_1", "b2_conv12", "conv4_3", "conv5_3", "b8_conv16"]
                .into_iter()
                .enumerate()
            {
                let row = |epoch| Row {
                    layer_index: Some(place),
                    layer: Some(name.into()),
                    epoch,
                    group: group.into(),
                    ..like()
                };
                let start = joint(2.0);
                for (step, epoch) in [0, 20, 1000].into_iter().enumerate() {
                    let joint = joint(2.0 / (1.0 + (step * place) as f64));
                    let layer = LayerEffective {
                        layer_index: place,
                        layer: name.into(),
                        mean_field: None,
                        joint: Some(joint.clone()),
                        problem: None,
                    };
                    rows.extend(capacity_rows(&layer, &row(epoch)));
                    rows.push(Row {
                        measure: Measure::CAPACITY,
                        value: 1.2 * joint.capacity,
                        ..row(epoch)
                    });
                    if epoch > 0 {
                        let epochs = Condition::Epochs(0, epoch);
                        rows.extend(change_rows(&start, &joint, epochs, &row(epoch)));
                    }
                }
                if name == "conv5_3" {
                    for (measure, value) in SIMULATED.into_iter().zip([0.3, 0.28, 0.33]) {
                        rows.push(Row {
                            layer_index: None,
                            measure,
                            value,
                            ..row(1000)
                        });
                    }
                }
            }
        }
        rows
    }

    #[test]
    fn the_parts_add_up_to_the_change_in_the_table() {
        let table = from_csv(&to_csv(&table()).unwrap()).unwrap();
        let mut changes = 0;
        for whole in table
            .iter()
            .filter(|row| row.measure == Measure::CapacityLogChange)
        {
            let parts = PARTS.map(|(measure, ..)| {
                let same = |row: &&Row| {
                    row.measure == measure
                        && (row.group, &row.layer, &row.condition)
                            == (whole.group, &whole.layer, &whole.condition)
                };
                table.iter().find(same).unwrap().value
            });
            let of = |measure: Measure, epoch: usize| {
                let same = |row: &&Row| {
                    row.measure == measure
                        && row.epoch == epoch
                        && (row.group, &row.layer) == (whole.group, &whole.layer)
                };
                table.iter().find(same).unwrap().value
            };
            let capacity = |epoch| of(Measure::JointCapacity, epoch);
            assert!((parts.iter().sum::<f64>() - whole.value).abs() < 1e-12);
            let ratio = capacity(whole.epoch) / capacity(0);
            assert!((ratio.ln() - whole.value).abs() < 1e-12);
            // Each part is that of the measures in the table.
            let utility = of(Measure::Utility, whole.epoch) / of(Measure::Utility, 0);
            assert!((utility.ln() - parts[0]).abs() < 1e-12);
            let dimension = |epoch| of(Measure::EffectiveDimension, epoch);
            assert!(((dimension(0) / dimension(whole.epoch)).ln() - parts[2]).abs() < 1e-12);
            changes += 1;
        }
        assert_eq!(changes, 4 * 5 * 2);
    }

    #[test]
    fn shares_of_classes_make_up_the_measures() {
        let joint = joint(1.0);
        let sum = |place: usize| joint.shares.iter().map(|share| share[place]).sum::<f64>();
        let (f, b, c) = (sum(0), sum(1), sum(2));
        let near = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}");
        near(P as f64 / f, joint.capacity);
        near((c / (b - c)).sqrt(), joint.radius);
        near(b / P as f64, joint.dimension);
        near(c / f, joint.utility);
    }

    /// Errors over classes against a jackknife of the measures themselves.
    #[test]
    fn errors_over_classes_are_those_of_a_jackknife() {
        let mut shares = joint(1.0).shares;
        // Many classes, so that the jackknife's own terms of the order 1/P vanish.
        for i in 0..200 {
            let [f, b, c] = shares[i % P];
            let by = 1.0 + 0.05 * ((i * 7919) as f64).sin();
            let other = 1.0 + 0.02 * ((i * 104_729) as f64).sin();
            shares.push([f * by, b * by * other, c * other]);
        }
        let logs = |leave: usize| {
            let kept = shares.iter().enumerate().filter(|(i, _)| *i != leave);
            let mut sums = [0.0; 3];
            let mut count = 0.0;
            for (_, share) in kept {
                (0..3).for_each(|k| sums[k] += share[k]);
                count += 1.0;
            }
            let [f, b, c] = sums;
            [
                (count / f).ln(),
                (c / f).ln(),
                (b / c).ln(),
                -(b / count).ln(),
            ]
        };
        let n = shares.len() as f64;
        let all: Vec<[f64; 4]> = (0..shares.len()).map(logs).collect();
        for (place, terms) in log_influences(&shares).iter().enumerate() {
            let values: Vec<f64> = all.iter().map(|logs| logs[place]).collect();
            let mean = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let jackknife = ((n - 1.0) / n * squares).sqrt();
            let error = error_of_sum(terms).unwrap();
            assert!(
                (error / jackknife - 1.0).abs() < 0.02,
                "{place}: {error} {jackknife}"
            );
        }
    }

    #[test]
    fn points_without_extent_have_no_change_and_break_nothing() {
        let mut flat = joint(1.0);
        flat.radius = 0.0;
        assert!(change_rows(&flat, &joint(1.0), Condition::Epochs(0, 1), &like()).is_empty());
    }

    #[test]
    fn every_panel_is_drawn_and_nothing_is_clipped() {
        let table = table();
        let note = "A long note. ".repeat(20);
        let whole = draw("A title", &PANELS, &ExampleGroup::ALL, &table, &note);
        assert_eq!(clipped_texts(&whole), Vec::<String>::new());
        // Two capacities, four groups, three epochs.
        assert_eq!(whole.matches("<polyline").count(), 2 * 4 * 3);
        for (_, name, colour) in PARTS {
            // A bar for each group and layer, and one in the legend.
            let bars = whole.matches(&format!("fill=\"{colour}\"")).count();
            assert_eq!(bars, 4 * 5 + 1, "{name}");
        }
        for panel in PANELS {
            let rows: Vec<Row> = table
                .iter()
                .filter(|row| belongs(panel, row.measure))
                .cloned()
                .collect();
            let svg = draw("A title", &[panel], &ExampleGroup::ALL[..2], &rows, "note");
            assert_eq!(clipped_texts(&svg), Vec::<String>::new());
            let lines = if panel == "c" { 0 } else { 2 * 3 };
            assert_eq!(svg.matches("<polyline").count(), lines, "{panel}");
        }
    }

    #[test]
    fn runs_that_end_at_different_epochs_meet_at_their_ends() {
        let mut rows = table();
        let mut other = rows.clone();
        for row in &mut other {
            row.seed += 1;
            row.epoch = row.epoch.min(900);
        }
        rows.extend(other);
        let labels: Vec<String> = Drawn::new(&rows)
            .epochs
            .into_iter()
            .map(|(_, label)| label)
            .collect();
        assert_eq!(labels, ["0", "20", "last"]);
    }

    /// The whole figure of a tiny study: the mean-field capacity beside the simulation is the one that is drawn, and the parts add up.
    #[test]
    fn a_study_gives_the_figure() {
        let changes = [
            ("data.classes", 6.into()),
            ("data.train_per_class", 24.into()),
            ("data.test_per_class", 8.into()),
            ("network.width", 2.into()),
            ("training.batch_size", 16.into()),
            ("geometry.gaussian_vectors", 20.into()),
            ("simulation.manifolds", 6.into()),
            ("simulation.points", 5.into()),
            ("supplement.joint.gaussian_vectors", 20.into()),
        ];
        let (name, profile) = Profile::load_with("smoke", &changes).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("cache"), Progress::silent());
        let study = Study::new(&name, &profile, Experiments::new(None), &cache).unwrap();
        let figure = FigureS8;
        figure.check(&study).unwrap();
        let stages = || figure.stages(&study, &PANELS);
        study.finish(stages, false, &mut HashSet::new()).unwrap();
        let table = figure.table(&study, &PANELS).unwrap();
        let svg = figure.draw(&study, &PANELS, &table).unwrap();
        assert_eq!(clipped_texts(&svg), Vec::<String>::new());
        let mut changes = 0;
        for whole in table
            .iter()
            .filter(|row| row.measure == Measure::CapacityLogChange)
        {
            let parts = PARTS.map(|(measure, ..)| {
                let same = |row: &&Row| {
                    row.measure == measure
                        && (row.group, &row.layer, &row.condition)
                            == (whole.group, &whole.layer, &whole.condition)
                };
                table.iter().find(same).unwrap().value
            });
            assert!((parts.iter().sum::<f64>() - whole.value).abs() < 1e-12);
            changes += 1;
        }
        assert_eq!(changes, 4 * profile.compared_layers().len());
        // Of the same points with the same settings: the stage of figure 1 and this one agree to the bit.
        let mut compared = 0;
        for stage in FigureS8::simulated(&study).unwrap() {
            let layers: Vec<LayerCapacities> = cache.output(&stage).unwrap();
            for layer in layers {
                let same = |row: &&Row| {
                    row.measure == Measure::CAPACITY
                        && row.group == stage.group()
                        && row.epoch == stage.epoch()
                        && row.layer.as_ref() == Some(&layer.layer)
                };
                if let Some(row) = table.iter().find(same) {
                    assert_eq!(row.value, layer.mean_field.value);
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 2 * 4 * 2);
        // Figure 1 simulates the same: its stages are among these.
        let keys: Vec<String> = stages().unwrap().iter().map(|s| key(s.as_ref())).collect();
        for (simulated, _) in study.simulations().unwrap() {
            assert!(keys.contains(&key(&simulated)));
        }
    }
}
