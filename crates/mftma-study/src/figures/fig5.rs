//! Figure 5: gradients near initialization. What unpermuted and permuted examples contribute to each layer's gradient (a), their
//! share of the total and their cosine with it over the first steps and epochs (b), measured against predicted by the class-mean
//! term, with its noise floor (c), the same without class means in the inputs (d), and the gradient taken apart into what labels pull and what
//! pulls without them, with normalisation and without (e).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use anyhow::{Result, bail};
use mftma_data::ExampleGroup;
use mftma_gradients::{
    Advantage, AdvantageVerdict, GradientGroup, GradientPart, InputAblation, LayerRatio,
    Measure as Gradient, Row as Measured,
};
use mftma_train::Architecture;

use super::geometry::layer_names;
use super::group_colour;
use super::{Figure, Study, over_runs};
use crate::cache::Stage;
use crate::stages::{ExpansionStage, GradientStage};
use crate::table::{Condition, GradientInputs, Measure, Normalisation, Row, WeightScale};
use mftma_draw::{
    Anchor, Band, Canvas, Colour, GREY, INK, Panel, TextStyle, Weight, footnote, log_ticks,
    nice_ticks, text_width,
};

/// Width in points: two columns of a journal.
const WIDTH: f64 = 510.0;
/// Left and right margin around the panels, and the gap between those of a row.
const MARGINS: (f64, f64) = (44.0, 10.0);
const GAP: f64 = 40.0;
/// Panels in a row.
const COLUMNS: usize = 3;
/// Height of what stands above the panels of a row, of the panels, and of what stands below.
const ROW: (f64, f64, f64) = (34.0, 88.0, 40.0);
/// Room for the note.
const NOTE: f64 = 22.0;
/// Text size in points.
const TEXT: f64 = 7.0;
/// The groups that are drawn.
const GROUPS: [GradientGroup; 3] = [
    GradientGroup::Unpermuted,
    GradientGroup::Permuted,
    GradientGroup::Restored,
];
/// Significant digits of a value in the table, which has some ten thousand rows.
const DIGITS: usize = 7;

/// The panels: norms, shares, predictions, ablations, parts.
const PANELS: [&str; 5] = ["a", "b", "c", "d", "e"];
/// The one that shows perceptrons too.
const PERCEPTRONS: &str = "c";

/// Gradients near initialization.
pub struct Figure5;

impl Figure for Figure5 {
    fn name(&self) -> &'static str {
        "fig5"
    }

    fn title(&self) -> &'static str {
        "Gradients near initialization: what unpermuted and permuted examples contribute"
    }

    fn caption(&self, study: &Study<'_>) -> String {
        format!(
            "Exact gradients of the summed cross-entropy over all training examples, at single steps of a training of its own ({} runs). a: norm of \
             each group's summed gradient by layer. b: the groups' share of the total gradient, their cosine with it, and the size of single \
             and of mean gradients per parameter, in the first and the last third of the layers: small single gradients would be vanishing \
             gradients, large ones with a small mean cancel. c: norms per example beside the class-mean (shared feature) term of the theory \
             and its O(1/√n) noise floor, the floor being the norm that randomly permuted labels leave. At small weights the theory is exact to \
             its stated order; at the usual scale the logits of all examples share an offset, whose gradient is the same for both groups. d: \
             norm of permuted over norm of unpermuted examples' mean gradient, on raw inputs, after each class is moved onto the global mean, \
             and with every image replaced by its class mean; the softmax made uniform by small weights of the last layer (orange), or as initialized \
             (grey), beside the ratio that the moments of the pixels predict. e: the same ratio for the whole gradient and for its two parts, what the \
             labels pull (1/C − e_y) and what pulls without them (p − 1/C), each measured by its own backward pass, in the \
             network as it is trained and in one trained with its batch normalisation {}, at initialization and, as means over layers, over the optimiser steps (right; the latter broken); \
             left, broken: the share of \
             the labels' signal at a layer that goes with the class means of the pixels, that is with features linear in them. Restored: the permuted images with their true labels, which no step follows. \
             Bands: one standard error over runs; verdicts by the 95 % interval over runs of the mean logarithm over layers.",
            study.profile.gradients.runs,
            if study.profile.gradients.experiment.network.batch_norm {
                "left out"
            } else {
                "put in"
            }
        )
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn check(&self, study: &Study<'_>) -> Result<()> {
        let fraction = study.profile.experiment.data.permuted_fraction;
        if fraction <= 0.0 || fraction >= 1.0 {
            bail!(
                "figure 5 compares unpermuted with permuted examples, but data.permuted_fraction is {fraction}: give a number between 0 and 1"
            );
        }
        Ok(())
    }

    fn stages(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        for run in study.gradient_runs()? {
            stages.push(Box::new(GradientStage::new(Rc::clone(&run))));
            if panels.contains(&PERCEPTRONS) {
                stages.push(Box::new(ExpansionStage::new(run)));
            }
        }
        for run in study.otherwise_normalised_runs()? {
            stages.push(Box::new(GradientStage::otherwise_normalised(run)));
        }
        Ok(stages)
    }

    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>> {
        let mut table = Vec::new();
        for run in study.gradient_runs()? {
            let row = study.row(&run);
            let of_epoch = GradientStage::steps_per_epoch(&run);
            let measured = study.cache.output(&GradientStage::new(Rc::clone(&run)))?;
            table.extend(tidy(&measured, Given::Inputs, &row, of_epoch));
            if !panels.contains(&PERCEPTRONS) {
                continue;
            }
            let expansion = ExpansionStage::new(Rc::clone(&run));
            let measured = study.cache.output(&expansion)?;
            let row = Row {
                architecture: expansion.network().architecture.to_string(),
                width: expansion.network().width,
                ..row
            };
            table.extend(tidy(&measured, Given::Scale, &row, of_epoch));
        }
        for run in study.otherwise_normalised_runs()? {
            let of_epoch = GradientStage::steps_per_epoch(&run);
            let row = study.row(&run);
            let stage = GradientStage::otherwise_normalised(run);
            table.extend(tidy(
                &study.cache.output(&stage)?,
                Given::Inputs,
                &row,
                of_epoch,
            ));
        }
        let derived = [advantages(&table), linear_shares(&table)];
        table.extend(derived.into_iter().flatten());
        Ok(table)
    }

    fn draw(&self, study: &Study<'_>, panels: &[&str], table: &[Row]) -> Result<String> {
        let runs = study.gradient_runs()?;
        let Some(run) = runs.first() else {
            bail!("gradients.runs of the profile is 0: give at least 1");
        };
        let perceptron = ExpansionStage::new(Rc::clone(run));
        let note = format!(
            "{}. Perceptron: two hidden layers of {} units. Exact gradients of all training examples, normalisation statistics measured anew; \
             norms per unit of parameter, in nats. Bands and bars: one standard error over runs. Verdicts: 95 % interval over runs.",
            study.setting_of(&runs),
            8 * perceptron.network().width,
        );
        let of_epoch = GradientStage::steps_per_epoch(run);
        Ok(draw(self.title(), panels, &Data { table, of_epoch }, &note))
    }
}

/// What a network was given, or how it began.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Given {
    /// The network itself, with these inputs.
    Inputs(GradientInputs),
    /// A perceptron with weights of this scale.
    Scale(WeightScale),
}

impl Given {
    /// Images as they are.
    const RAW: Self = Self::Inputs(GradientInputs::RAW);

    /// What a row is about.
    fn of(row: &Row) -> Option<Self> {
        match row.condition {
            Some(Condition::Inputs(inputs)) => Some(Self::Inputs(inputs)),
            Some(Condition::WeightScale(scale)) => Some(Self::Scale(scale)),
            _ => None,
        }
    }

    fn condition(self) -> Condition {
        match self {
            Self::Inputs(inputs) => Condition::Inputs(inputs),
            Self::Scale(scale) => Condition::WeightScale(scale),
        }
    }
}

/// Whether a row of a stage is in the figure's table.
fn is_kept<I>(row: &Measured<I>, given: Given) -> bool {
    if matches!(given, Given::Inputs(inputs) if inputs != GradientInputs::RAW) {
        return matches!(
            row.measure,
            Gradient::MeanNorm | Gradient::Ratio | Gradient::PredictedRatio
        );
    }
    match (row.group, row.measure) {
        // A quotient of two others.
        (_, Gradient::Coherence) => false,
        (_, Gradient::Parameters) => row.step == 0,
        (GradientGroup::All, measure) => {
            matches!(measure, Gradient::MeanNorm | Gradient::ExampleNorm)
        }
        (
            GradientGroup::Restored,
            Gradient::ExampleNorm | Gradient::NoiseFloor | Gradient::SignalToNoise,
        ) => false,
        // The same on both groups.
        (GradientGroup::Unpermuted, Gradient::CosineUnpermutedPermuted) => false,
        _ => true,
    }
}

/// The rows of the figure's table for the rows of one stage.
fn tidy<I: Copy>(
    measured: &[Measured<I>],
    given: fn(I) -> Given,
    like: &Row,
    of_epoch: usize,
) -> Vec<Row> {
    let rounded = |value: f64| format!("{value:.*e}", DIGITS - 1).parse().unwrap_or(value);
    measured
        .iter()
        .filter(|row| is_kept(row, given(row.inputs)))
        .map(|row| Row {
            layer_index: Some(row.layer_index),
            layer: Some(row.layer.clone()),
            epoch: row.step as usize / of_epoch,
            step: Some(row.step as usize),
            condition: Some(given(row.inputs).condition()),
            group: row.group.into(),
            measure: row.measure.into(),
            value: rounded(row.value),
            standard_error: row.standard_error.map(rounded),
            count: row.examples,
            ..like.clone()
        })
        .collect()
}

/// The ratios of each seed at initialization on one kind of inputs, layer by layer.
fn ratios(table: &[Row], inputs: GradientInputs) -> Vec<(u64, Vec<LayerRatio>)> {
    let data = Data { table, of_epoch: 1 };
    let rows = |group, measure| {
        let wanted = Wanted {
            given: Given::Inputs(inputs),
            group,
            measure,
        };
        data.rows(wanted).filter(|row| row.step == Some(0))
    };
    let unpermuted = rows(GradientGroup::Unpermuted, Gradient::MeanNorm)
        .map(|row| row.count)
        .next()
        .unwrap_or(0);
    let mut seeds: BTreeMap<u64, Vec<LayerRatio>> = BTreeMap::new();
    for row in rows(GradientGroup::Permuted, Gradient::Ratio) {
        seeds.entry(row.seed).or_default().push(LayerRatio {
            layer: row.layer.clone().unwrap_or_default(),
            ratio: row.value,
            examples: (unpermuted, row.count),
        });
    }
    seeds.into_iter().collect()
}

/// How many times more an unpermuted example contributes than a permuted one, over all layers, for each kind of inputs and seed.
fn advantages(table: &[Row]) -> Vec<Row> {
    let mut out = Vec::new();
    for inputs in GradientInputs::all() {
        for (seed, layers) in ratios(table, inputs) {
            let like = table
                .iter()
                .find(|row| row.seed == seed && Given::of(row) == Some(Given::Inputs(inputs)));
            let advantage = Advantage::judge(&[layers]);
            if let (Some(like), Some(advantage)) = (like, advantage) {
                out.push(Row {
                    layer_index: None,
                    layer: None,
                    epoch: 0,
                    step: Some(0),
                    group: GradientGroup::Permuted.into(),
                    measure: Measure::Advantage,
                    value: (-advantage.log_ratio.mean).exp(),
                    standard_error: None,
                    ..like.clone()
                });
            }
        }
    }
    out
}

/// Of each layer and seed at initialization: the share of the labels' signal that goes when the class means of the pixels go (equation 17 of the
/// note).
fn linear_shares(table: &[Row]) -> Vec<Row> {
    let raw = label_signals(table, InputAblation::Raw);
    let centred = label_signals(table, InputAblation::CentredClasses);
    let shares = raw.iter().filter_map(|(key, (with, like))| {
        let (without, _) = centred.get(key)?;
        (*with > 0.0).then(|| Row {
            measure: Measure::LinearShare,
            value: 1.0 - without / with,
            standard_error: None,
            ..(*like).clone()
        })
    });
    shares.collect()
}

/// What the unpermuted group's squared norm has beyond the permuted group's, in the label part at initialization, by seed and layer.
fn label_signals(
    table: &[Row],
    ablation: InputAblation,
) -> BTreeMap<(u64, Option<usize>), (f64, &Row)> {
    let data = Data { table, of_epoch: 1 };
    let rows = |group| {
        let wanted = Wanted {
            given: Given::Inputs(GradientInputs::of(ablation).part(GradientPart::Label)),
            group,
            measure: Gradient::MeanNorm,
        };
        let rows = data.rows(wanted).filter(|row| row.step == Some(0));
        rows.map(|row| ((row.seed, row.layer_index), row))
    };
    let permuted: BTreeMap<_, &Row> = rows(GradientGroup::Permuted).collect();
    rows(GradientGroup::Unpermuted)
        .filter_map(|(key, row)| {
            let noise = permuted.get(&key)?.value;
            Some((key, (row.value.powi(2) - noise.powi(2), row)))
        })
        .collect()
}

/// What is drawn.
struct Data<'a> {
    table: &'a [Row],
    /// Optimiser steps of an epoch.
    of_epoch: usize,
}

/// One selection of rows: those of a line before its layers or steps are told apart.
#[derive(Clone, Copy)]
struct Wanted {
    given: Given,
    group: GradientGroup,
    measure: Gradient,
}

impl<'a> Data<'a> {
    fn rows(&self, wanted: Wanted) -> impl Iterator<Item = &'a Row> + use<'a> {
        self.table.iter().filter(move |row| {
            Given::of(row) == Some(wanted.given)
                && row.group == wanted.group
                && row.measure == Measure::Gradient(wanted.measure)
        })
    }

    /// Mean over runs of the common logarithm, layer by layer, at one step.
    fn by_layer(&self, wanted: Wanted, step: usize) -> Vec<Band> {
        let mut layers: BTreeMap<usize, Vec<(f64, Option<f64>)>> = BTreeMap::new();
        for row in self.rows(wanted).filter(|row| row.step == Some(step)) {
            if let Some(layer) = row.layer_index {
                layers
                    .entry(layer)
                    .or_default()
                    .push((row.value.log10(), None));
            }
        }
        layers
            .into_iter()
            .map(|(x, v)| band(x as f64, &v))
            .collect()
    }

    /// Mean over runs of the common logarithm of the linear share, layer by layer; layers without one are left out.
    fn linear_shares(&self) -> Vec<Band> {
        let mut layers: BTreeMap<usize, Vec<(f64, Option<f64>)>> = BTreeMap::new();
        let rows = self.table.iter();
        for row in rows.filter(|row| row.measure == Measure::LinearShare && row.value > 0.0) {
            if let Some(layer) = row.layer_index {
                let values = layers.entry(layer).or_default();
                values.push((row.value.log10(), None));
            }
        }
        let bands = layers.into_iter();
        bands.map(|(x, v)| band(x as f64, &v)).collect()
    }

    /// Mean over runs and over some layers, step by step, of `value` of a row.
    fn by_step(
        &self,
        wanted: Wanted,
        layers: &BTreeSet<usize>,
        value: impl Fn(&Row) -> f64,
    ) -> Vec<Band> {
        let mut seeds: BTreeMap<(usize, u64), Vec<f64>> = BTreeMap::new();
        for row in self.rows(wanted) {
            if let (Some(step), Some(layer)) = (row.step, row.layer_index)
                && layers.contains(&layer)
            {
                seeds.entry((step, row.seed)).or_default().push(value(row));
            }
        }
        let mut steps: BTreeMap<usize, Vec<(f64, Option<f64>)>> = BTreeMap::new();
        for ((step, _), values) in seeds {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            steps.entry(step).or_default().push((mean, None));
        }
        let points = steps.into_iter();
        points.map(|(step, v)| band(place(step), &v)).collect()
    }

    /// The steps of the plain measurements, ascending.
    fn steps(&self) -> Vec<usize> {
        let raw = Wanted {
            given: Given::RAW,
            group: GradientGroup::Unpermuted,
            measure: Gradient::MeanNorm,
        };
        let steps: BTreeSet<usize> = self.rows(raw).filter_map(|row| row.step).collect();
        steps.into_iter().collect()
    }

    /// The layers of a network.
    fn layers(&self, given: Given) -> Vec<String> {
        let norm = Measure::Gradient(Gradient::MeanNorm);
        let rows = self.table.iter().filter(|row| row.measure == norm);
        layer_names(rows.filter(|row| Given::of(row) == Some(given)))
    }
}

/// Where a step stands on the horizontal axis: evenly for doublings, with room for step 0.
fn place(step: usize) -> f64 {
    (1.0 + step as f64).log2()
}

fn band(x: f64, values: &[(f64, Option<f64>)]) -> Band {
    let (mean, error) = over_runs(values);
    (x, mean, error)
}

/// The colour of a group, the same as everywhere.
fn colour(group: GradientGroup) -> Colour {
    match group {
        GradientGroup::All => INK,
        GradientGroup::Unpermuted => group_colour(ExampleGroup::Unpermuted),
        GradientGroup::Permuted => group_colour(ExampleGroup::Permuted),
        GradientGroup::Restored => group_colour(ExampleGroup::Restored),
    }
}

/// One line of a panel.
struct Line {
    points: Vec<Band>,
    colour: Colour,
    dashed: bool,
}

impl Line {
    fn solid(points: Vec<Band>, colour: Colour) -> Self {
        Self {
            points,
            colour,
            dashed: false,
        }
    }

    fn dashed(points: Vec<Band>, colour: Colour) -> Self {
        Self {
            points,
            colour,
            dashed: true,
        }
    }

    /// Both ends of every point's error.
    fn ends(&self) -> impl Iterator<Item = f64> {
        let points = self.points.iter();
        points.flat_map(|&(_, y, e)| [y - e, y + e])
    }
}

/// The page, and where its next row begins.
struct Page {
    canvas: Canvas,
    top: f64,
}

fn draw(title: &str, panels: &[&str], data: &Data<'_>, note: &str) -> String {
    let drawn: [fn(&mut Page, &Data<'_>); 5] = [norms, shares, predictions, ablations, parts];
    let chosen = PANELS.iter().zip(drawn);
    let rows: Vec<_> = chosen
        .filter(|(panel, _)| panels.contains(panel))
        .map(|(_, row)| row)
        .collect();
    let height = (ROW.0 + ROW.1 + ROW.2) * rows.len() as f64 + NOTE;
    let mut page = Page {
        canvas: Canvas::new(WIDTH, height, title),
        top: 0.0,
    };
    for row in rows {
        row(&mut page, data);
        page.top += ROW.0 + ROW.1 + ROW.2;
    }
    footnote(&mut page.canvas, note, (WIDTH, height));
    page.canvas.finish()
}

impl Page {
    /// The letter and the title of a row, and the names of its colours at the right.
    fn head(&mut self, letter: &str, title: &str, names: &[(&str, Colour)]) {
        let y = self.top + 11.0;
        let bold = |colour| TextStyle::new(TEXT + 1.0, colour, Anchor::Start).weight(Weight::Bold);
        self.canvas.text((6.0, y), letter, bold(INK));
        self.canvas.text((18.0, y), title, bold(INK));
        let mut right = WIDTH - MARGINS.1;
        for (name, colour) in names.iter().rev() {
            let style = TextStyle::new(TEXT, *colour, Anchor::End).weight(Weight::Bold);
            self.canvas.text((right, y), name, style);
            right -= text_width(name, TEXT, Weight::Bold) + 9.0;
        }
    }

    /// The area of a panel of the row.
    fn area(&self, column: usize) -> [f64; 4] {
        let width = (WIDTH - MARGINS.0 - MARGINS.1 - GAP * (COLUMNS - 1) as f64) / COLUMNS as f64;
        let left = MARGINS.0 + (width + GAP) * column as f64;
        [left, self.top + ROW.0, width, ROW.1]
    }

    /// What a panel shows, above it.
    fn heading(&mut self, column: usize, text: &str) {
        let [left, top, ..] = self.area(column);
        let style = TextStyle::new(TEXT, GREY, Anchor::Start);
        self.canvas.text((left, top - 5.0), text, style);
    }

    /// What the vertical axis counts.
    fn y_label(&mut self, column: usize, text: &str) {
        let [left, top, _, height] = self.area(column);
        let style = TextStyle::new(TEXT, INK, Anchor::Middle).rotated(90.0);
        let at = (left - 30.0, top + height / 2.0);
        self.canvas.text(at, text, style);
    }

    /// A panel with a logarithmic vertical axis over `lines` and `also`.
    fn log_panel(&mut self, column: usize, x: (f64, f64), lines: &[Line], also: &[f64]) -> Panel {
        let values = lines.iter().flat_map(Line::ends);
        let values = values.chain(also.iter().copied());
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let ticks = log_ticks(low, high);
        let limits = (ticks[0].0, ticks[ticks.len() - 1].0);
        let panel = Panel::new(self.area(column), x, limits);
        panel.y_marks(&mut self.canvas, &ticks);
        panel
    }

    /// A panel of ratios, with a line at 1.
    fn ratios(
        &mut self,
        column: usize,
        heading: &str,
        x: (f64, f64),
        lines: &[Line],
        also: &[f64],
    ) -> Panel {
        self.heading(column, heading);
        let panel = self.log_panel(column, x, lines, also);
        let one = [(x.0, 0.0, 0.0), (x.1, 0.0, 0.0)];
        panel.line(&mut self.canvas, &one, INK, false);
        self.lines(&panel, lines);
        panel.frame(&mut self.canvas);
        panel
    }

    fn lines(&mut self, panel: &Panel, lines: &[Line]) {
        for line in lines.iter().filter(|line| !line.dashed) {
            panel.band(&mut self.canvas, &line.points, line.colour);
        }
        for line in lines {
            if line.dashed {
                panel.dashed(&mut self.canvas, &line.points, line.colour);
            } else {
                panel.line(&mut self.canvas, &line.points, line.colour, false);
            }
        }
    }
}

/// The range of a horizontal axis of `count` names.
fn over(count: usize) -> (f64, f64) {
    (-0.4, count.max(2) as f64 - 0.6)
}

fn group_names() -> Vec<(&'static str, Colour)> {
    let named = |group: GradientGroup| (group.name(), colour(group));
    GROUPS.into_iter().map(named).collect()
}

/// Panel a: the norm of each group's summed gradient by layer, at the first, a middle and the last measured step.
fn norms(page: &mut Page, data: &Data<'_>) {
    page.head("a", "Norm of each group's summed gradient", &group_names());
    let steps = data.steps();
    let names = data.layers(Given::RAW);
    let middle = steps.partition_point(|&step| step < data.of_epoch);
    let shown = [
        0,
        middle.min(steps.len().saturating_sub(1)),
        steps.len().saturating_sub(1),
    ];
    let of_step = |step: usize| -> Vec<Line> {
        let line = |group| {
            let wanted = Wanted {
                given: Given::RAW,
                group,
                measure: Gradient::SummedNorm,
            };
            Line::solid(data.by_layer(wanted, step), colour(group))
        };
        GROUPS.into_iter().map(line).collect()
    };
    page.y_label(0, "Norm");
    for (column, &index) in shown.iter().enumerate() {
        let Some(&step) = steps.get(index) else {
            continue;
        };
        let lines = of_step(step);
        let heading = match (step, step % data.of_epoch) {
            (0, _) => "at initialization".to_owned(),
            (_, 0) => format!("after epoch {}", step / data.of_epoch),
            _ => format!("after {step} steps"),
        };
        page.heading(column, &heading);
        let panel = page.log_panel(column, over(names.len()), &lines, &[]);
        page.lines(&panel, &lines);
        panel.frame(&mut page.canvas);
        panel.x_names(&mut page.canvas, &names, true);
    }
}

/// Panel b: share, cosine and size over the first steps and epochs, in the first and in the last third of the layers.
fn shares(page: &mut Page, data: &Data<'_>) {
    let title =
        "Over the first steps and epochs: first third of the layers (solid), last third (broken)";
    page.head("b", title, &group_names()[..2]);
    let raw = Given::RAW;
    let steps = data.steps();
    let count = data.layers(raw).len();
    let third = (count / 3).max(1);
    let early: BTreeSet<usize> = (0..third).collect();
    let late: BTreeSet<usize> = (count.saturating_sub(third)..count).collect();
    let last = steps.last().copied().unwrap_or(1);
    let x = (-0.3, place(last) + 0.3);
    let ticks: Vec<(f64, String)> = steps
        .iter()
        .map(|&step| (place(step), step.to_string()))
        .collect();
    let labels = [
        (Gradient::Share, "share of the total gradient"),
        (Gradient::CosineWithTotal, "cosine with the total gradient"),
    ];
    for (column, (measure, heading)) in labels.into_iter().enumerate() {
        let lines: Vec<Line> = [GradientGroup::Unpermuted, GradientGroup::Permuted]
            .into_iter()
            .flat_map(|group| {
                let wanted = Wanted {
                    given: raw,
                    group,
                    measure,
                };
                [
                    Line::solid(data.by_step(wanted, &early, |row| row.value), colour(group)),
                    Line::dashed(data.by_step(wanted, &late, |row| row.value), colour(group)),
                ]
            })
            .collect();
        page.heading(column, heading);
        let ends = lines.iter().flat_map(|line| &line.points);
        let (low, high) = ends.fold((0.0f64, 1.0f64), |(low, high), &(_, y, e)| {
            (low.min(y - e), high.max(y + e))
        });
        let values = nice_ticks(low, high, 4);
        let limits = (values[0], values[values.len() - 1]);
        let panel = Panel::new(page.area(column), x, limits);
        panel.y_axis(&mut page.canvas, &values, true);
        page.lines(&panel, &lines);
        panel.frame(&mut page.canvas);
        panel.x_marks(&mut page.canvas, &ticks);
    }
    // Small gradients of single examples are vanishing gradients; large ones with a small mean cancel.
    let parameters: BTreeMap<usize, f64> = data
        .rows(Wanted {
            given: raw,
            group: GradientGroup::All,
            measure: Gradient::Parameters,
        })
        .filter_map(|row| Some((row.layer_index?, row.value)))
        .collect();
    let size = |row: &Row| {
        let layer = row.layer_index.unwrap_or_default();
        (row.value / parameters.get(&layer).copied().unwrap_or(1.0).sqrt()).log10()
    };
    let lines: Vec<Line> = [(Gradient::MeanNorm, INK), (Gradient::ExampleNorm, GREY)]
        .into_iter()
        .flat_map(|(measure, colour)| {
            let wanted = Wanted {
                given: raw,
                group: GradientGroup::All,
                measure,
            };
            [
                Line::solid(data.by_step(wanted, &early, size), colour),
                Line::dashed(data.by_step(wanted, &late, size), colour),
            ]
        })
        .collect();
    page.heading(2, "per parameter (grey: one example)");
    let panel = page.log_panel(2, x, &lines, &[]);
    page.lines(&panel, &lines);
    panel.frame(&mut page.canvas);
    panel.x_marks(&mut page.canvas, &ticks);
    for column in 0..COLUMNS {
        let [left, top, width, height] = page.area(column);
        let text = format!("Optimiser steps (one epoch: {})", data.of_epoch);
        let style = TextStyle::new(TEXT, INK, Anchor::Middle);
        let at = (left + width / 2.0, top + height + 22.0);
        page.canvas.text(at, &text, style);
    }
}

/// Panel c: norms per example, measured and predicted: the perceptron of each weight scale, and the network itself.
fn predictions(page: &mut Page, data: &Data<'_>) {
    let title = "Per example, at initialization: measured (discs, lines), class-mean term (rings), noise floor (broken)";
    page.head("c", title, &[]);
    let mut scales: Vec<WeightScale> = data
        .table
        .iter()
        .filter_map(|row| match Given::of(row) {
            Some(Given::Scale(scale)) => Some(scale),
            _ => None,
        })
        .collect();
    scales.sort_by(|a, b| a.0.total_cmp(&b.0));
    scales.dedup();
    page.y_label(0, "Norm of mean gradient");
    // The smallest scale, where the theory holds, and the largest.
    let shown = scales.first().into_iter().chain(scales.last());
    for (column, &scale) in shown.enumerate().take(COLUMNS - 1) {
        let given = Given::Scale(scale);
        let names = data.layers(given);
        let of = |group, measure| {
            let wanted = Wanted {
                given,
                group,
                measure,
            };
            // Groups side by side.
            let shift = 0.22 * (group as usize as f64 - 2.0);
            let points = data.by_layer(wanted, 0).into_iter();
            points
                .map(|(x, y, e)| (x + shift, y, e))
                .collect::<Vec<_>>()
        };
        let lines: Vec<Line> = GROUPS
            .into_iter()
            .flat_map(|group| {
                [
                    Gradient::WeightNorm,
                    Gradient::PredictedNorm,
                    Gradient::PredictedFloor,
                ]
                .map(|measure| Line::solid(of(group, measure), colour(group)))
            })
            .collect();
        page.heading(column, &format!("perceptron, {scale}"));
        let panel = page.log_panel(column, (-0.5, names.len() as f64 - 0.5), &lines, &[]);
        for of_group in lines.chunks(3) {
            let [measured, predicted, floor] = of_group else {
                continue;
            };
            panel.dots(&mut page.canvas, &measured.points, measured.colour);
            panel.rings(&mut page.canvas, &predicted.points, predicted.colour);
            for &(x, y, _) in &floor.points {
                let dash = [(x - 0.1, y, 0.0), (x + 0.1, y, 0.0)];
                panel.dashed(&mut page.canvas, &dash, floor.colour);
            }
        }
        panel.frame(&mut page.canvas);
        panel.x_names(&mut page.canvas, &names, true);
    }
    let raw = Given::RAW;
    let names = data.layers(raw);
    let of = |group, measure| {
        let wanted = Wanted {
            given: raw,
            group,
            measure,
        };
        data.by_layer(wanted, 0)
    };
    let pair = [GradientGroup::Unpermuted, GradientGroup::Permuted];
    let lines: Vec<Line> = pair
        .into_iter()
        .flat_map(|group| {
            [
                Line::solid(of(group, Gradient::MeanNorm), colour(group)),
                Line::dashed(of(group, Gradient::NoiseFloor), colour(group)),
            ]
        })
        .collect();
    let rings = pair.map(|group| (of(group, Gradient::PredictedNorm), colour(group)));
    let also: Vec<f64> = rings
        .iter()
        .flat_map(|(points, _)| points)
        .map(|point| point.1)
        .collect();
    let network = data
        .table
        .first()
        .and_then(|row| {
            let named = |a: &Architecture| a.name() == row.architecture;
            Architecture::ALL.into_iter().find(named)
        })
        .map_or("network", Architecture::title);
    page.heading(COLUMNS - 1, &format!("{network}, its own initialization"));
    let panel = page.log_panel(COLUMNS - 1, over(names.len()), &lines, &also);
    page.lines(&panel, &lines);
    for (points, colour) in &rings {
        panel.rings(&mut page.canvas, points, *colour);
    }
    panel.frame(&mut page.canvas);
    panel.x_names(&mut page.canvas, &names, true);
}

/// Panel d: the ratio of the groups for each ablation of the inputs, with the verdict on the advantage where the softmax is uniform.
fn ablations(page: &mut Page, data: &Data<'_>) {
    let title = "Permuted over unpermuted, per example: softmax uniform (orange), as initialized (grey), predicted from pixels (broken)";
    page.head("d", title, &[]);
    page.y_label(0, "Ratio of norms");
    let of = |inputs, measure| {
        let wanted = Wanted {
            given: Given::Inputs(inputs),
            group: GradientGroup::Permuted,
            measure,
        };
        data.by_layer(wanted, 0)
    };
    let names = data.layers(Given::RAW);
    let ends = over(names.len());
    let each = InputAblation::ALL.map(|ablation| {
        let mut lines = vec![
            Line::solid(of(GradientInputs::of(ablation), Gradient::Ratio), GREY),
            Line::solid(
                of(GradientInputs::uniform(ablation), Gradient::Ratio),
                colour(GradientGroup::Permuted),
            ),
        ];
        for (_, y, _) in of(GradientInputs::of(ablation), Gradient::PredictedRatio) {
            lines.push(Line::dashed(vec![(ends.0, y, 0.0), (ends.1, y, 0.0)], INK));
        }
        lines
    });
    // One scale for all three, which holds 1.
    let also: Vec<f64> = each
        .iter()
        .flatten()
        .flat_map(Line::ends)
        .chain([0.0])
        .collect();
    for (column, (ablation, lines)) in InputAblation::ALL.into_iter().zip(&each).enumerate() {
        let seeds: Vec<Vec<LayerRatio>> = ratios(data.table, GradientInputs::uniform(ablation))
            .into_iter()
            .map(|(_, layers)| layers)
            .collect();
        let verdict = match Advantage::judge(&seeds).map(|advantage| advantage.verdict) {
            Some(AdvantageVerdict::Present) => "advantage present",
            Some(AdvantageVerdict::Vanished) => "advantage vanished",
            _ => "undecided",
        };
        let inputs = match ablation {
            InputAblation::Raw => "raw inputs",
            other => other.name(),
        };
        let panel = page.ratios(column, &format!("{inputs}: {verdict}"), ends, lines, &also);
        panel.x_names(&mut page.canvas, &names, true);
    }
}

/// Panel e: the ratio of the groups for the whole gradient and its parts, as the network is trained and otherwise normalised, and over steps.
fn parts(page: &mut Page, data: &Data<'_>) {
    let colours = [
        (GradientPart::Whole, GREY),
        (GradientPart::Label, colour(GradientGroup::Permuted)),
        (GradientPart::LabelFree, INK),
    ];
    let title = "Permuted over unpermuted, per example, the gradient taken apart";
    page.head(
        "e",
        title,
        &colours.map(|(part, colour)| (part.name(), colour)),
    );
    page.y_label(0, "Ratio of norms");
    let names = data.layers(Given::RAW);
    let ends = over(names.len());
    let wanted = |inputs, measure| Wanted {
        given: Given::Inputs(inputs),
        group: GradientGroup::Permuted,
        measure,
    };
    let lines_of = |inputs: GradientInputs| -> Vec<Line> {
        let of = |(part, colour)| {
            let ratio = wanted(inputs.part(part), Gradient::Ratio);
            Line::solid(data.by_layer(ratio, 0), colour)
        };
        colours.into_iter().map(of).collect()
    };
    let mut own = lines_of(GradientInputs::RAW);
    own.push(Line::dashed(data.linear_shares(), GREY));
    let other = Normalisation::ALL
        .into_iter()
        .filter(|normalisation| *normalisation != Normalisation::AsTrained)
        .map(|normalisation| {
            (
                normalisation,
                lines_of(GradientInputs::RAW.with(normalisation)),
            )
        })
        .find(|(_, lines)| lines.iter().any(|line| !line.points.is_empty()));
    let otherwise = other.as_ref().map(|(normalisation, _)| *normalisation);
    let mut columns = vec![("at initialization (broken: linear share)", own)];
    columns.extend(other.map(|(normalisation, lines)| match normalisation {
        Normalisation::With => ("the same with normalisation", lines),
        _ => ("the same without normalisation", lines),
    }));
    let steps = data.steps();
    let all: BTreeSet<usize> = (0..names.len()).collect();
    let means = |inputs: GradientInputs, part| {
        let ratio = wanted(inputs.part(part), Gradient::Ratio);
        data.by_step(ratio, &all, |row| row.value.log10())
    };
    let mut over_steps: Vec<Line> = colours
        .into_iter()
        .map(|(part, colour)| Line::solid(means(GradientInputs::RAW, part), colour))
        .collect();
    if let Some(normalisation) = otherwise {
        let inputs = GradientInputs::RAW.with(normalisation);
        let lines = colours.map(|(part, colour)| Line::dashed(means(inputs, part), colour));
        over_steps.extend(lines);
    }
    // One scale for all, which holds 1.
    let shown = columns.iter().flat_map(|(_, lines)| lines);
    let mut also: Vec<f64> = shown.chain(&over_steps).flat_map(Line::ends).collect();
    also.push(0.0);
    for (column, (heading, lines)) in columns.iter().enumerate() {
        let panel = page.ratios(column, heading, ends, lines, &also);
        panel.x_names(&mut page.canvas, &names, true);
    }
    let last = steps.last().copied().unwrap_or(1);
    let x = (-0.3, place(last) + 0.3);
    let ticks: Vec<(f64, String)> = steps
        .iter()
        .map(|&step| (place(step), step.to_string()))
        .collect();
    let column = COLUMNS - 1;
    let heading = match otherwise {
        Some(Normalisation::With) => "over steps (broken: normalised)",
        Some(_) => "over steps (broken: not normalised)",
        None => "over optimiser steps, mean over layers",
    };
    let panel = page.ratios(column, heading, x, &over_steps, &also);
    panel.x_marks(&mut page.canvas, &ticks);
}

#[cfg(test)]
mod tests {
    use super::super::geometry::tests::table as geometry_table;
    use super::*;
    use mftma_draw::clipped_texts;

    /// Rows of one seed: 17 layers at four steps, all three kinds of inputs, permuted examples contributing `ratio` times what
    /// unpermuted ones do; and a perceptron of two scales.
    fn measured(seed: u64, ratio: f64) -> Vec<Measured<Given>> {
        let mut rows = Vec::new();
        let mut push =
            |inputs: Given, step, layer_index, layer: String, measure: Gradient, scale: f64| {
                for group in GradientGroup::ALL {
                    let of_group = if group == GradientGroup::Permuted {
                        ratio
                    } else {
                        1.0
                    };
                    let value = match measure {
                        Gradient::Ratio if group != GradientGroup::Permuted => continue,
                        Gradient::Parameters if group != GradientGroup::All => continue,
                        Gradient::Ratio => ratio,
                        _ => scale * of_group,
                    };
                    rows.push(Measured {
                        inputs,
                        seed,
                        step,
                        layer_index,
                        layer: layer.clone(),
                        group,
                        examples: 1800,
                        measure,
                        value: value * (1.0 + 0.01 * seed as f64),
                        standard_error: None,
                    });
                }
            };
        let plain = [
            Gradient::SummedNorm,
            Gradient::MeanNorm,
            Gradient::ExampleNorm,
            Gradient::Coherence,
            Gradient::NoiseFloor,
            Gradient::Share,
            Gradient::CosineWithTotal,
            Gradient::Ratio,
            Gradient::Parameters,
        ];
        for layer in 0..17 {
            for ablation in InputAblation::ALL {
                push(
                    Given::Inputs(GradientInputs::uniform(ablation)),
                    0,
                    layer,
                    format!("b2_conv{layer}"),
                    Gradient::Ratio,
                    1.0,
                );
                push(
                    Given::Inputs(GradientInputs::uniform(ablation)),
                    0,
                    layer,
                    format!("b2_conv{layer}"),
                    Gradient::MeanNorm,
                    1.0,
                );
                for normalisation in [Normalisation::AsTrained, Normalisation::Without] {
                    for part in [GradientPart::Label, GradientPart::LabelFree] {
                        for measure in [Gradient::Ratio, Gradient::MeanNorm] {
                            let inputs = GradientInputs::of(ablation).with(normalisation);
                            // Without class means there is a tenth of the signal.
                            let scale = match ablation {
                                InputAblation::CentredClasses => 0.1f64.sqrt(),
                                _ => 1.0,
                            };
                            let given = Given::Inputs(inputs.part(part));
                            push(given, 0, layer, format!("b2_conv{layer}"), measure, scale);
                        }
                    }
                }
                for step in [0, 8, 29, 2900] {
                    for measure in plain {
                        let scale = 10f64.powi(layer as i32 % 5 - 2);
                        push(
                            Given::Inputs(GradientInputs::of(ablation)),
                            step,
                            layer,
                            format!("b2_conv{layer}"),
                            measure,
                            scale,
                        );
                    }
                }
            }
        }
        for condition in [0.1, 1.0].map(|scale| Given::Scale(WeightScale(scale))) {
            for layer in 0..3 {
                for measure in [
                    Gradient::MeanNorm,
                    Gradient::WeightNorm,
                    Gradient::PredictedNorm,
                    Gradient::PredictedFloor,
                ] {
                    push(
                        condition,
                        0,
                        layer,
                        format!("fc{}", layer + 1),
                        measure,
                        1e-7,
                    );
                }
            }
        }
        rows
    }

    fn table(ratio: f64) -> Vec<Row> {
        let like = geometry_table().remove(0);
        let mut table: Vec<Row> = (0..3)
            .flat_map(|seed| {
                let like = Row {
                    seed,
                    ..like.clone()
                };
                tidy(&measured(seed, ratio), |given| given, &like, 29)
            })
            .collect();
        let derived = [advantages(&table), linear_shares(&table)];
        table.extend(derived.into_iter().flatten());
        table
    }

    fn draw_all(table: &[Row], panels: &[&str]) -> String {
        let data = Data {
            table,
            of_epoch: 29,
        };
        draw("A title", panels, &data, &"A long note. ".repeat(20))
    }

    #[test]
    fn no_label_is_clipped() {
        let table = table(0.3);
        for panels in [&PANELS[..], &["a"], &["b"], &["c"], &["d"], &["e"]] {
            assert_eq!(
                clipped_texts(&draw_all(&table, panels)),
                Vec::<String>::new()
            );
        }
    }

    #[test]
    fn verdicts_follow_the_ratios() {
        let svg = |ratio| draw_all(&table(ratio), &["d"]);
        assert!(svg(0.3).contains("raw inputs: advantage present"));
        assert!(svg(1.0).contains("raw inputs: advantage vanished"));
    }

    #[test]
    fn the_table_holds_what_is_drawn_and_the_advantage() {
        let table = table(0.5);
        let rows = |measure: Gradient| {
            let measure = Measure::Gradient(measure);
            table.iter().filter(|r| r.measure == measure).count()
        };
        assert_eq!(rows(Gradient::Coherence), 0);
        // Once a layer and seed.
        assert_eq!(rows(Gradient::Parameters), 17 * 3);
        let shares: Vec<&Row> = (table.iter())
            .filter(|r| r.measure == Measure::LinearShare)
            .collect();
        assert_eq!(shares.len(), 17 * 3);
        assert!(shares.iter().all(|row| (row.value - 0.9).abs() < 1e-6));
        // Once for each kind of inputs and softmax, of part and normalisation, and seed: twice as much from an unpermuted example.
        let advantage: Vec<&Row> = table
            .iter()
            .filter(|r| r.measure == Measure::Advantage)
            .collect();
        assert_eq!(advantage.len(), (2 * 3 + 3 * 2 * 2) * 3);
        assert!(
            (advantage[0].value - 2.0).abs() < 1e-6,
            "{}",
            advantage[0].value
        );
        let row = table.iter().find(|r| r.step == Some(2900)).unwrap();
        assert_eq!(row.epoch, 100);
    }

    #[test]
    fn lines_are_means_over_runs_of_logarithms() {
        let table = table(0.5);
        let data = Data {
            table: &table,
            of_epoch: 29,
        };
        let wanted = Wanted {
            given: Given::RAW,
            group: GradientGroup::Permuted,
            measure: Gradient::SummedNorm,
        };
        let points = data.by_layer(wanted, 0);
        assert_eq!(points.len(), 17);
        let mean = [0.5, 0.505, 0.51].map(f64::log10).iter().sum::<f64>() / 3.0;
        assert!((points[2].1 - mean).abs() < 1e-6, "{:?}", points[2]);
        assert_eq!(data.steps(), [0, 8, 29, 2900]);
    }
}
