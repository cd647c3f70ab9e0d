//! Figure S9: how examples are memorized, by measures that look at the function and at the weights instead of the activations.
//!
//! Sensitivity to the image and critical samples (Arpit et al. 2017), the Jacobian and linear regions (Novak et al. 2018), norms and margins
//! (Neyshabur et al. 2017), and explicit regularisation as a control (Zhang et al. 2016). Formulas: `mftma-sensitivity`, docs/measures.md.

use std::collections::BTreeSet;

use anyhow::Result;
use mftma_data::ExampleGroup;
use mftma_sensitivity::Estimate;

use super::geometry::layer_names;
use super::{Figure, Study, foot, group_colour, means_over_runs};
use crate::cache::{Stage, Status};
use crate::stages::{Complexity, GroupSensitivity, Learned, Margins, TrainStage, TrainingRecord};
use crate::table::{Condition, Control, Measure, Row};
use mftma_draw::{
    Anchor, Band, Canvas, Colour, INK, Panel, TextStyle, Weight, epoch_colour, footnote, log_ticks,
    nice_ticks,
};

/// The panels, in order: what stands above each, what is measured, and how it is drawn.
const PLOTS: [Plot; 9] = [
    Plot::new(
        "a",
        "Critical sample ratio",
        Measure::CriticalSamples,
        View::Epochs,
    ),
    Plot::new(
        "b",
        "Loss sensitivity (nats)",
        Measure::LossSensitivity,
        View::EpochsLog,
    ),
    Plot::new(
        "c",
        "Learned for good (share)",
        Measure::Learned,
        View::Epochs,
    ),
    Plot::new("d", "Jacobian norm", Measure::JacobianNorm, View::EpochsLog),
    Plot::new("e", "Switches on a circle", Measure::Switches, View::Epochs),
    Plot::new("f", "Switches per unit", Measure::Switches, View::Layers),
    Plot::new(
        "g",
        "Spectral norm of a layer",
        Measure::SpectralNorm,
        View::Norms,
    ),
    Plot::new(
        "h",
        "Margin / path norm",
        Measure::NormalisedMargin,
        View::Epochs,
    ),
    Plot::new("i", "Accuracy (share)", Measure::Accuracy, View::Controls),
];
/// The names of the panels.
const PANELS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
/// Width in points: two columns of a journal.
const WIDTH: f64 = 510.0;
/// Panels side by side.
const COLUMNS: usize = 3;
/// Left, top and right margin.
const MARGINS: [f64; 3] = [36.0, 38.0, 10.0];
/// Between columns and between rows.
const GAPS: (f64, f64) = (40.0, 50.0);
/// Height of a panel.
const HEIGHT: f64 = 92.0;
/// Text size in points.
const TEXT: f64 = 7.0;

/// What a panel varies along its axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// Epochs, a line for each group.
    Epochs,
    /// The same on a logarithmic scale.
    EpochsLog,
    /// Layers at the last epoch, a line for each group; broken: before training.
    Layers,
    /// Layers, a line for each of some epochs.
    Norms,
    /// Epochs of the trainings with and without regularisation.
    Controls,
}

struct Plot {
    panel: &'static str,
    label: &'static str,
    measure: Measure,
    view: View,
}

impl Plot {
    const fn new(panel: &'static str, label: &'static str, measure: Measure, view: View) -> Self {
        Self {
            panel,
            label,
            measure,
            view,
        }
    }
}

/// One line of a panel.
struct Line {
    name: String,
    colour: Colour,
    dashed: bool,
    points: Vec<Band>,
}

/// The colours of the controls.
fn control_colour(control: Control) -> Colour {
    match control {
        Control::Plain => INK,
        Control::WeightDecay => Colour(0xD5, 0x5E, 0x00),
        Control::Augmentation => Colour(0x56, 0xB4, 0xE9),
    }
}

/// How examples are memorized.
pub struct FigureS9;

impl Figure for FigureS9 {
    fn name(&self) -> &'static str {
        "s9"
    }

    fn title(&self) -> &'static str {
        "How examples are memorized: sensitivity, linear regions, norms, margins, regularisation"
    }

    fn caption(&self, study: &Study<'_>) -> String {
        let settings = &study.profile.supplement.memorization;
        let (sensitivity, controls) = (&settings.sensitivity, &settings.controls);
        format!(
            "{}. a: critical sample ratio, the share of examples for which a search finds another class within {} grey levels of 255 at every \
             pixel (Arpit et al. 2017); a search that fails proves nothing, so it is a lower bound. b: loss sensitivity, the mean over \
             examples of the 1-norm of the gradient of the loss by the image (the same), by the labels of each group. c: share of examples \
             that are correct from an epoch on, at every later measured one too. d: Frobenius norm of the Jacobian of the class probabilities \
             (Novak et al. 2018), exact, by a backward pass for each class. a and d use no labels: restored examples are the permuted \
             images. e: rectifiers that go on or off along a circle through three images of one label (the same), {} points on {} circles, \
             a lower bound; f: the same per unit and layer, after training (lines) and before (broken). g: largest singular value of each \
             layer as a linear map, its normalisation folded in. h: mean margin (score at the label less the largest of the others) over the \
             path norm (Neyshabur et al. 2015). i: accuracy of permuted (lines) and test examples (broken) in the supplement's network without \
             regularisation, with weight decay {:.0e} and with random shifts of {} pixels and reflections: whether explicit regularisation \
             keeps permuted labels from being fitted is an answer of this panel, not an assumption. Bands: one standard error over \
             examples or circles, with several runs over runs; the norms of one network have none. What it shows about layers: f and g \
             alone have a layer axis, and they tell where rectifiers lie close to the data and where weights are large, not where an example \
             is stored. Everything else is of the whole function: it tells permuted from unpermuted examples and when, and can neither \
             support nor contradict the claim that memorization is late in depth.",
            self.title(),
            sensitivity.critical.radius,
            sensitivity.circle_points,
            sensitivity.circles,
            controls.weight_decay,
            controls.shift,
        )
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn stages(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        let any = |wanted: &[&str]| wanted.iter().any(|panel| panels.contains(panel));
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        if any(&["a", "b", "c", "d", "e", "f", "g", "h"]) {
            for run in &study.runs {
                stages.push(Box::new(TrainStage::new(run.clone())));
                let (sensitivity, complexity, learning) = study.holding(run)?;
                if any(&["a", "b", "d", "e", "f"]) {
                    for stage in sensitivity {
                        stages.push(Box::new(stage));
                    }
                }
                if any(&["c"]) {
                    stages.push(Box::new(learning));
                }
                if any(&["g", "h"]) {
                    for stage in complexity {
                        stages.push(Box::new(stage));
                    }
                }
            }
        }
        if any(&["i"]) {
            for (_, run, complexity) in study.controls()? {
                stages.push(Box::new(TrainStage::new(run)));
                stages.push(Box::new(complexity));
            }
        }
        Ok(stages)
    }

    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>> {
        let mut table = Vec::new();
        for run in &study.runs {
            let (sensitivity, complexity, learning) = study.holding(run)?;
            let finished = |stage: &dyn Stage| study.cache.status(stage) == Status::Finished;
            let plain = study.row(run);
            for stage in sensitivity.iter().filter(|stage| finished(*stage)) {
                let row = Row {
                    epoch: stage.epoch(),
                    ..plain.clone()
                };
                for group in study.cache.output(stage)? {
                    table.extend(sensitivity_rows(&group, &row));
                }
            }
            if finished(&learning) {
                for learned in study.cache.output(&learning)? {
                    table.extend(learning_rows(&learned, &plain));
                }
            }
            for stage in complexity.iter().filter(|stage| finished(*stage)) {
                let row = Row {
                    epoch: stage.epoch(),
                    ..plain.clone()
                };
                table.extend(complexity_rows(&study.cache.output(stage)?, &row));
            }
        }
        if panels.contains(&"i") {
            for (control, run, complexity) in study.controls()? {
                let record = study.cache.output(&TrainStage::new(run.clone()))?;
                let plain = Row {
                    condition: Some(Condition::Control(control)),
                    ..study.row(&run)
                };
                table.extend(control_rows(&record, &plain));
                let row = Row {
                    epoch: complexity.epoch(),
                    ..plain
                };
                let found = complexity_rows(&study.cache.output(&complexity)?, &row);
                // Deciles have a condition of their own.
                let control = Some(Condition::Control(control));
                table.extend(found.into_iter().filter(|row| row.condition == control));
            }
        }
        table.retain(|row| panels.contains(&panel_of(row)));
        Ok(table)
    }

    fn draw(&self, study: &Study<'_>, panels: &[&str], table: &[Row]) -> Result<String> {
        let settings = &study.profile.supplement.memorization;
        let note = format!(
            "{}. a: {} examples of each group at most, within {} grey levels. b, d: per standard deviation of the pixels. d: {} examples. e, f: \
             {} circles of {} points through three images of one label; broken: before training. g: normalisation folded in. i: the \
             supplement's network; lines: permuted, broken: test. Bands: one standard error over examples, circles or, of several, runs.",
            study.setting(),
            settings.sensitivity.examples,
            settings.sensitivity.critical.radius,
            settings.sensitivity.jacobian_examples,
            settings.sensitivity.circles,
            settings.sensitivity.circle_points,
        );
        Ok(draw(self.title(), panels, table, &note))
    }
}

/// A row with an estimate in it, where there is one.
fn with(row: &Row, measure: Measure, estimate: Option<Estimate>) -> Option<Row> {
    estimate.map(|estimate| Row {
        measure,
        value: estimate.mean,
        standard_error: estimate.standard_error,
        count: estimate.count,
        ..row.clone()
    })
}

fn sensitivity_rows(found: &GroupSensitivity, like: &Row) -> Vec<Row> {
    let row = Row {
        group: found.group.into(),
        ..like.clone()
    };
    let mut rows: Vec<Row> = [
        (Measure::CriticalSamples, found.critical),
        (Measure::LossSensitivity, found.loss),
        (Measure::JacobianNorm, found.jacobian),
        (Measure::Switches, found.switches),
    ]
    .into_iter()
    .filter_map(|(measure, estimate)| with(&row, measure, estimate))
    .collect();
    for (index, name, estimate) in &found.by_layer {
        let row = Row {
            layer_index: Some(*index),
            layer: Some(name.clone()),
            ..row.clone()
        };
        rows.extend(with(&row, Measure::Switches, *estimate));
    }
    rows
}

fn learning_rows(learned: &Learned, like: &Row) -> Vec<Row> {
    let shares = learned.shares.iter();
    shares
        .filter_map(|&(epoch, share)| {
            let row = Row {
                epoch,
                group: learned.group.into(),
                ..like.clone()
            };
            with(&row, Measure::Learned, Some(share))
        })
        .collect()
}

fn complexity_rows(found: &Complexity, like: &Row) -> Vec<Row> {
    let like = Row {
        group: crate::table::Group::Training,
        count: 1,
        ..like.clone()
    };
    let mut rows = vec![Row {
        measure: Measure::PathNorm,
        value: found.path_norm,
        ..like.clone()
    }];
    for layer in &found.layers {
        for (measure, value) in [
            (Measure::SpectralNorm, layer.spectral),
            (Measure::StableRank, layer.stable_rank()),
        ] {
            // The norm of a layer of zeros is 0, and its rank no number.
            if value.is_finite() {
                rows.push(Row {
                    layer_index: Some(layer.layer_index),
                    layer: Some(layer.layer.clone()),
                    measure,
                    value,
                    ..like.clone()
                });
            }
        }
    }
    for Margins {
        group,
        mean: margin,
        deciles,
    } in &found.margins
    {
        let row = Row {
            group: (*group).into(),
            ..like.clone()
        };
        let over = 1.0 / found.path_norm;
        let normalised = Estimate {
            mean: margin.mean * over,
            standard_error: margin.standard_error.map(|error| error * over),
            ..*margin
        };
        rows.extend(with(&row, Measure::Margin, Some(*margin)));
        if normalised.mean.is_finite() {
            rows.extend(with(&row, Measure::NormalisedMargin, Some(normalised)));
        }
        for (tenth, &(value, error)) in (1u8..).zip(deciles) {
            rows.push(Row {
                condition: Some(Condition::Quantile(10 * tenth)),
                measure: Measure::Margin,
                value,
                standard_error: Some(error),
                count: margin.count,
                ..row.clone()
            });
        }
    }
    rows
}

fn control_rows(record: &TrainingRecord, like: &Row) -> Vec<Row> {
    let mut rows = Vec::new();
    for metrics in &record.history {
        for group in [ExampleGroup::Permuted, ExampleGroup::Test] {
            rows.extend(metrics.groups.get(&group).map(|score| Row {
                epoch: metrics.epoch,
                group: group.into(),
                value: score.accuracy(),
                standard_error: Some(score.standard_error()),
                count: score.examples,
                ..like.clone()
            }));
        }
    }
    rows
}

/// The panel that a row belongs to.
fn panel_of(row: &Row) -> &'static str {
    if matches!(row.condition, Some(Condition::Control(_))) {
        return "i";
    }
    match row.measure {
        Measure::CriticalSamples => "a",
        Measure::LossSensitivity => "b",
        Measure::Learned => "c",
        Measure::JacobianNorm => "d",
        Measure::Switches if row.layer.is_none() => "e",
        Measure::Switches => "f",
        Measure::SpectralNorm | Measure::StableRank => "g",
        _ => "h",
    }
}

/// The mean over runs at each place of the rows that `wanted` picks.
fn points(rows: &[&Row], place: impl Fn(&Row) -> f64, wanted: impl Fn(&Row) -> bool) -> Vec<Band> {
    let wanted = rows.iter().copied().filter(|row| wanted(row));
    means_over_runs(wanted, |row| Some(place(row)))
}

/// The lines of a panel, and the names along its axis where it runs over layers.
fn lines(plot: &Plot, rows: &[&Row]) -> (Vec<Line>, Vec<String>) {
    let names = layer_names(rows.iter().copied().filter(|row| row.layer.is_some()));
    let epoch = |row: &Row| row.epoch as f64;
    let layer = |row: &Row| {
        let at = names
            .iter()
            .position(|name| row.layer.as_ref() == Some(name));
        at.unwrap_or_default() as f64
    };
    let epochs: BTreeSet<usize> = rows.iter().map(|row| row.epoch).collect();
    let ends = (epochs.first().copied(), epochs.last().copied());
    let groups = ExampleGroup::ALL.into_iter();
    let found: Vec<Line> = match plot.view {
        View::Epochs | View::EpochsLog => groups
            .map(|group| Line {
                name: group.name().to_owned(),
                colour: group_colour(group),
                dashed: false,
                points: points(rows, epoch, |row| row.group == group),
            })
            .collect(),
        View::Layers => groups
            .flat_map(|group| [(group, ends.0, true), (group, ends.1, false)])
            .map(|(group, at, dashed)| Line {
                name: String::new(),
                colour: group_colour(group),
                dashed,
                points: points(rows, layer, |row| {
                    row.group == group && Some(row.epoch) == at
                }),
            })
            .collect(),
        View::Norms => {
            // The first, one in the middle, and the last.
            let all: Vec<usize> = epochs.iter().copied().collect();
            let shown: BTreeSet<usize> = match all.len() {
                0 => BTreeSet::new(),
                n => [all[0], all[n / 2], all[n - 1]].into(),
            };
            let last = shown.len().max(2) as f64 - 1.0;
            let ranked = shown.into_iter().enumerate();
            ranked
                .map(|(rank, at)| Line {
                    name: format!("epoch {at}"),
                    colour: epoch_colour(rank as f64 / last),
                    dashed: false,
                    points: points(rows, layer, |row| row.epoch == at),
                })
                .collect()
        }
        View::Controls => Control::ALL
            .into_iter()
            .flat_map(|control| {
                let of = |group| (control, group, group == ExampleGroup::Test);
                [of(ExampleGroup::Permuted), of(ExampleGroup::Test)]
            })
            .map(|(control, group, dashed)| Line {
                name: if dashed {
                    String::new()
                } else {
                    control.name().to_owned()
                },
                colour: control_colour(control),
                dashed,
                points: points(rows, epoch, |row| {
                    row.condition == Some(Condition::Control(control)) && row.group == group
                }),
            })
            .collect(),
    };
    let found = found.into_iter().filter(|line| !line.points.is_empty());
    (found.collect(), names)
}

/// On a logarithmic scale: the common logarithm, and its error to first order. Values that are not positive have no place there.
fn logarithms(points: &[Band]) -> Vec<Band> {
    let positive = points.iter().filter(|(_, value, _)| *value > 0.0);
    positive
        .map(|&(x, value, error)| {
            let spread = (error / value / std::f64::consts::LN_10).min(1.0);
            (x, value.log10(), spread)
        })
        .collect()
}

fn draw(title: &str, panels: &[&str], table: &[Row], note: &str) -> String {
    let shown: Vec<&Plot> = PLOTS
        .iter()
        .filter(|plot| panels.contains(&plot.panel))
        .collect();
    let columns = shown.len().clamp(1, COLUMNS);
    let [left, top, right] = MARGINS;
    let side = (WIDTH - left - right - GAPS.0 * (COLUMNS as f64 - 1.0)) / COLUMNS as f64;
    let page = left + right + side * columns as f64 + GAPS.0 * (columns as f64 - 1.0);
    // A legend of groups needs its room.
    let page = page.max(240.0);
    let rows = shown.len().div_ceil(COLUMNS).max(1) as f64;
    let height = top + rows * (HEIGHT + GAPS.1) - 8.0 + foot(note, page);
    let mut canvas = Canvas::new(page, height, title);
    legend(&mut canvas, left);
    for (index, plot) in shown.into_iter().enumerate() {
        let x = left + (side + GAPS.0) * (index % COLUMNS) as f64;
        let y = top + (HEIGHT + GAPS.1) * (index / COLUMNS) as f64;
        let of_plot: Vec<&Row> = table
            .iter()
            .filter(|row| panel_of(row) == plot.panel && row.measure == plot.measure)
            .filter(|row| !matches!(row.condition, Some(Condition::Quantile(_))))
            .collect();
        draw_plot(&mut canvas, [x, y, side, HEIGHT], plot, &of_plot);
    }
    footnote(&mut canvas, note, (page, height));
    canvas.finish()
}

/// The four groups.
fn legend(canvas: &mut Canvas, left: f64) {
    let mut x = left;
    for group in ExampleGroup::ALL {
        let style = TextStyle::new(TEXT, group_colour(group), Anchor::Start).weight(Weight::Bold);
        canvas.text((x, 11.0), group.name(), style);
        x += mftma_draw::text_width(group.name(), TEXT, Weight::Bold) + 10.0;
    }
}

fn draw_plot(canvas: &mut Canvas, [x, y, width, height]: [f64; 4], plot: &Plot, rows: &[&Row]) {
    let logarithmic = matches!(plot.view, View::EpochsLog | View::Norms);
    let (mut lines, names) = lines(plot, rows);
    if logarithmic {
        for line in &mut lines {
            line.points = logarithms(&line.points);
        }
    }
    let style = TextStyle::new(TEXT + 1.5, INK, Anchor::Start).weight(Weight::Bold);
    canvas.text((x - 30.0, y - 8.0), plot.panel, style);
    let style = TextStyle::new(TEXT, INK, Anchor::Start);
    canvas.text((x - 20.0, y - 8.0), plot.label, style);
    let all = || lines.iter().flat_map(|line| &line.points);
    let low = all().map(|(_, v, e)| v - e).fold(f64::INFINITY, f64::min);
    let high = all()
        .map(|(_, v, e)| v + e)
        .fold(f64::NEG_INFINITY, f64::max);
    if !low.is_finite() || !high.is_finite() {
        return;
    }
    let layers = matches!(plot.view, View::Layers | View::Norms);
    let limits = if layers {
        (-0.4, names.len().max(2) as f64 - 0.6)
    } else {
        let last = all().map(|(x, ..)| *x).fold(1.0, f64::max);
        (-0.03 * last, 1.03 * last)
    };
    let marks: Vec<(f64, String)> = if logarithmic {
        log_ticks(low, high)
    } else {
        Vec::new()
    };
    let ticks = if logarithmic {
        marks.iter().map(|(at, _)| *at).collect()
    } else {
        // All have a meaningful 0.
        nice_ticks(low.min(0.0), high, 4)
    };
    let scale = (ticks[0], ticks[ticks.len() - 1]);
    let panel = Panel::new([x, y, width, height], limits, scale);
    if logarithmic {
        panel.y_marks(canvas, &marks);
    } else {
        panel.y_axis(canvas, &ticks, true);
    }
    for line in lines.iter().filter(|line| !line.dashed) {
        panel.band(canvas, &line.points, line.colour);
    }
    for line in &lines {
        if line.dashed {
            panel.dashed(canvas, &line.points, line.colour);
        } else {
            panel.line(canvas, &line.points, line.colour, true);
        }
    }
    panel.frame(canvas);
    if layers {
        panel.x_names(canvas, &names, true);
    } else {
        let mut ticks = nice_ticks(0.0, limits.1 / 1.03, 4);
        ticks.retain(|&tick| tick <= limits.1);
        panel.x_axis(canvas, &ticks);
        let style = TextStyle::new(TEXT, INK, Anchor::Middle);
        canvas.text((x + width / 2.0, y + height + 20.0), "Epoch", style);
    }
    // Lines that are no groups are named in the panel.
    if matches!(plot.view, View::Norms | View::Controls) {
        let named: Vec<&Line> = lines.iter().filter(|line| !line.name.is_empty()).collect();
        let long = |line: &&Line| mftma_draw::text_width(&line.name, TEXT - 1.0, Weight::Bold);
        let size = (
            named.iter().map(long).fold(0.0, f64::max) / width,
            8.0 * named.len() as f64 / height,
        );
        let within = |point: &(f64, f64, f64)| {
            let across = (point.0 - limits.0) / (limits.1 - limits.0);
            (across, (scale.1 - point.1) / (scale.1 - scale.0))
        };
        let (across, down) = emptiest(&lines, size, within);
        for (place, line) in named.into_iter().enumerate() {
            let style = TextStyle::new(TEXT - 1.0, line.colour, Anchor::Start).weight(Weight::Bold);
            let at = y + down * height + 6.0 + 8.0 * place as f64;
            canvas.text((x + across * width, at), &line.name, style);
        }
    }
}

/// Where in the unit square, from its upper left corner, a box of `size` covers least of the lines.
fn emptiest(
    lines: &[Line],
    (wide, high): (f64, f64),
    within: impl Fn(&(f64, f64, f64)) -> (f64, f64),
) -> (f64, f64) {
    const STEPS: usize = 12;
    let mut samples = Vec::new();
    for line in lines {
        for pair in line.points.windows(2) {
            let (from, to) = (within(&pair[0]), within(&pair[1]));
            samples.extend((0..=STEPS).map(|step| {
                let t = step as f64 / STEPS as f64;
                (from.0 + t * (to.0 - from.0), from.1 + t * (to.1 - from.1))
            }));
        }
    }
    let covered = |&(left, top): &(f64, f64)| {
        let inside = |&&(x, y): &&(f64, f64)| {
            (left..=left + wide).contains(&x) && (top..=top + high).contains(&y)
        };
        samples.iter().filter(inside).count()
    };
    let (right, bottom) = ((0.97 - wide).max(0.03), (0.97 - high).max(0.0));
    let places = (0..=4).flat_map(|step| {
        let top = bottom * f64::from(step) / 4.0;
        [(0.03, top), (right, top)]
    });
    places.min_by_key(covered).unwrap_or((0.03, 0.0))
}

#[cfg(test)]
mod tests {
    use super::super::geometry::tests::table as geometry_table;
    use super::*;
    use mftma_draw::clipped_texts;
    use mftma_sensitivity::LayerNorms;

    /// Every kind of row, with the longest names.
    fn table() -> Vec<Row> {
        let like = geometry_table().remove(0);
        let like = Row {
            layer: None,
            layer_index: None,
            ..like
        };
        let estimate = Estimate {
            mean: 0.5,
            standard_error: Some(0.01),
            count: 100,
        };
        let names = ["conv1_1", "b2_conv12", "conv5_3"];
        let mut rows = Vec::new();
        for epoch in [0, 5, 1000] {
            let row = Row {
                epoch,
                ..like.clone()
            };
            for group in ExampleGroup::ALL {
                let labelled = (group != ExampleGroup::Restored).then_some(estimate);
                let found = GroupSensitivity {
                    group,
                    loss: Some(estimate),
                    jacobian: labelled,
                    critical: labelled,
                    switches: Some(estimate),
                    by_layer: names
                        .iter()
                        .enumerate()
                        .map(|(i, name)| (i + 1, (*name).to_owned(), Some(estimate)))
                        .collect(),
                };
                rows.extend(sensitivity_rows(&found, &row));
                let shares = vec![(epoch, estimate)];
                rows.extend(learning_rows(&Learned { group, shares }, &like));
            }
            let norms = |(i, name): (usize, &&str)| LayerNorms {
                layer_index: i + 1,
                layer: (*name).to_owned(),
                spectral: 2.0,
                residual: 0.0,
                frobenius: 4.0,
            };
            let found = Complexity {
                layers: names.iter().enumerate().map(norms).collect(),
                path_norm: 2.0,
                margins: ExampleGroup::ALL
                    .map(|group| Margins {
                        group,
                        mean: estimate,
                        deciles: vec![(0.5, 0.1); 9],
                    })
                    .into(),
            };
            rows.extend(complexity_rows(&found, &row));
            for control in Control::ALL {
                rows.push(Row {
                    condition: Some(Condition::Control(control)),
                    group: ExampleGroup::Permuted.into(),
                    measure: Measure::Accuracy,
                    value: 0.5,
                    ..row.clone()
                });
            }
        }
        rows
    }

    #[test]
    fn no_label_is_clipped_and_every_line_is_there() {
        let svg = draw("A title", &PANELS, &table(), &"A long note. ".repeat(20));
        assert_eq!(clipped_texts(&svg), Vec::<String>::new());
        // Groups: 3 + 4 + 4 + 3 + 4 + 2 × 4 + 4; three epochs; three controls.
        let lines = svg.matches("<polyline").count();
        assert_eq!(lines, 3 + 4 + 4 + 3 + 4 + 8 + 4 + 3 + 3);
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn every_row_has_a_panel_and_a_panel_stands_alone() {
        for panel in PANELS {
            let rows: Vec<Row> = table()
                .into_iter()
                .filter(|r| panel_of(r) == panel)
                .collect();
            assert!(!rows.is_empty(), "{panel}");
            let svg = draw("A title", &[panel], &rows, &"A long note. ".repeat(20));
            assert_eq!(clipped_texts(&svg), Vec::<String>::new(), "{panel}");
            assert!(svg.contains("<polyline"), "{panel}");
        }
        let empty = draw("A title", &PANELS, &[], "");
        assert!(!empty.contains("NaN") && !empty.contains("inf"));
    }

    #[test]
    fn a_margin_over_the_path_norm_carries_its_error() {
        let rows = table();
        let found = rows
            .iter()
            .find(|r| r.measure == Measure::NormalisedMargin)
            .unwrap();
        assert_eq!((found.value, found.standard_error), (0.25, Some(0.005)));
        let deciles = |row: &&Row| matches!(row.condition, Some(Condition::Quantile(_)));
        assert_eq!(rows.iter().filter(deciles).count(), 3 * 4 * 9);
    }
}
