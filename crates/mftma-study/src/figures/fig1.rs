//! Figure 1: manifold analysis.
//!
//! a: images of the unpermuted, permuted and restored groups, with the label used in training and in analysis.
//! b: simulated against mean-field and joint capacity in a few layers of the trained network.
//! c: how capacity falls with radius, dimension and centre correlation (theory), and the hypothesis of how training
//! changes it (a drawing).

use std::io::Cursor;
use std::rc::Rc;

use anyhow::{Context, Result};
use image::{ImageFormat, RgbImage};
use mftma_data::{ExampleGroup, Split};
use rand::seq::SliceRandom;

use super::{Figure, Study, foot, group_colour};
use crate::cache::Stage;
use crate::experiment::Experiment;
use crate::stages::{LayerCapacities, LayerJoint, SIMULATED_GROUPS, TrainStage};
use crate::table::{Ball, BallProperty, Condition, Group, Measure, Row};
use mftma_draw::{
    Anchor, Canvas, GREY, INK, Panel, TextStyle, Weight, epoch_colour, footnote, nice_ticks,
};

/// The panels, in order.
const PANELS: [&str; 3] = ["a", "b", "c"];
/// Width in points: two columns of a journal.
const WIDTH: f64 = 510.0;
/// Height of the upper row (a and b) and of the lower one (c), heads included.
const HEIGHTS: [f64; 2] = [214.0, 132.0];
/// Below everything, for the small print.
const FOOT: f64 = 26.0;
/// Above the panels of a row, for their letters.
const HEAD: f64 = 24.0;
/// Text size in points.
const TEXT: f64 = 7.0;
/// Size of the labels below images.
const SMALL: f64 = 5.5;

/// Images of each group.
const IMAGES: usize = 4;
/// Side of an image, and from one to the next across and down.
const IMAGE: (f64, f64, f64) = (36.0, 62.0, 61.0);
/// Where the images begin, from the left edge.
const IMAGES_LEFT: f64 = 62.0;

/// Panel b: left edge beside panel a and alone, side.
const SCATTER: (f64, f64, f64) = (352.0, 42.0, 146.0);

/// Panel c: left edge of the first plot, width of a plot of the theory, of a drawing, gaps after either.
const THEORY: [f64; 5] = [38.0, 84.0, 66.0, 22.0, 12.0];
/// Radii and dimensions of the curves, and what is held fixed over the correlation \[D\].
const DIMENSIONS: [f64; 4] = [2.0, 5.0, 10.0, 30.0];
const RADII: [f64; 4] = [0.25, 0.5, 1.0, 2.0];
const FIXED_DIMENSION: f64 = 10.0;
/// Points of a curve.
const POINTS: usize = 60;

/// Images, simulated capacity, theory.
pub struct Figure1;

impl Figure for Figure1 {
    fn name(&self) -> &'static str {
        "fig1"
    }

    fn title(&self) -> &'static str {
        "Manifold analysis: the example groups, simulated and mean-field capacity, and what capacity depends on"
    }

    fn caption(&self, study: &Study<'_>) -> String {
        let settings = &study.profile.simulation;
        format!(
            "a: training examples of three groups. Restored examples are the permuted ones under their true labels, for the analysis only. \
             b: capacity of the trained network's manifolds in {}, by simulation (the load at which half of {} random dichotomies of \
             randomly projected manifolds can be separated) against mean-field theory, on the same {} points of each class; larger dots \
             are later layers, bars 68 % intervals, the line is equality; rings have the joint capacity, of all classes at once, in place of the \
             mean-field one. c: mean-field capacity of a ball over its radius, its \
             dimension, and the correlation of the centres, where one direction shared by all centres (with random sign) makes it up; \
             removing that direction leaves balls that are larger relative to their centres. Right: the hypothesis, as a drawing and \
             not as data: shared features first raise the capacity of unpermuted and restored manifolds in all layers, and later \
             memorization raises that of permuted manifolds in late layers only.",
            settings.layers.join(", "),
            settings.repetitions,
            settings.points,
        )
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn check(&self, study: &Study<'_>) -> Result<()> {
        study.runs[0].check_layers("simulation.layers", &study.profile.simulation.layers)?;
        for (stage, _) in study.simulations()? {
            stage.manifolds()?;
        }
        Ok(())
    }

    fn stages(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        if panels.contains(&"b") {
            stages.push(Box::new(TrainStage::new(Rc::clone(&study.runs[0]))));
            for (simulated, joint) in study.simulations()? {
                stages.push(Box::new(simulated));
                stages.push(Box::new(joint));
            }
        }
        Ok(stages)
    }

    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>> {
        let run = &study.runs[0];
        let mut rows = Vec::new();
        if panels.contains(&"a") {
            for example in examples(run) {
                let row = Row {
                    condition: Some(Condition::TrainingExample(example.index)),
                    group: example.group.into(),
                    count: 1,
                    ..study.row(run)
                };
                for (measure, label) in [
                    (Measure::LabelInTraining, example.trained_as),
                    (Measure::LabelInAnalysis, example.analysed_as),
                ] {
                    rows.push(Row {
                        measure,
                        value: f64::from(label),
                        ..row.clone()
                    });
                }
            }
        }
        if panels.contains(&"b") {
            for (stage, joint) in study.simulations()? {
                let layers: Vec<LayerCapacities> = study.cache.output(&stage)?;
                let joints: Vec<LayerJoint> = study.cache.output(&joint)?;
                for (layer, joint) in layers.into_iter().zip(joints) {
                    let row = Row {
                        layer: Some(layer.layer),
                        epoch: stage.epoch(),
                        group: stage.group().into(),
                        count: layer.manifolds,
                        ..study.row(run)
                    };
                    let theory = layer.mean_field;
                    rows.extend(joint.capacity.map(|capacity| Row {
                        measure: Measure::JointCapacity,
                        value: capacity.value,
                        standard_error_vectors: capacity.standard_error,
                        ..row.clone()
                    }));
                    for (measure, value) in [
                        (Measure::CAPACITY, Some(theory.value)),
                        (Measure::CapacityLower, theory.interval.map(|i| i.lower)),
                        (Measure::CapacityUpper, theory.interval.map(|i| i.upper)),
                        (Measure::SimulatedCapacity, layer.simulated[0]),
                        (Measure::SimulatedCapacityLower, layer.simulated[1]),
                        (Measure::SimulatedCapacityUpper, layer.simulated[2]),
                    ] {
                        rows.extend(value.map(|value| Row {
                            measure,
                            value,
                            ..row.clone()
                        }));
                    }
                }
            }
        }
        if panels.contains(&"c") {
            for plot in theory() {
                for curve in plot.curves {
                    for (x, value) in curve.points {
                        rows.push(Row {
                            condition: Some(Condition::Ball(Ball::new(
                                curve.fixed.clone(),
                                plot.varied,
                                x,
                            ))),
                            group: Group::Theory,
                            measure: Measure::CAPACITY,
                            value,
                            count: 1,
                            ..study.row(run)
                        });
                    }
                }
            }
        }
        Ok(rows)
    }

    fn draw(&self, study: &Study<'_>, panels: &[&str], table: &[Row]) -> Result<String> {
        let pictures = if panels.contains(&"a") {
            pictures(&study.runs[0])?
        } else {
            Vec::new()
        };
        let settings = &study.profile.simulation;
        let mut note = format!("{}.", study.setting());
        if panels.contains(&"b") {
            note += &format!(
                " b: P = {} manifolds of M = {} points, {} simulated dichotomies, {} Gaussian vectors; dots grow from {} to {}.",
                settings
                    .manifolds
                    .min(study.runs[0].data.dataset().classes()),
                settings.points,
                settings.repetitions,
                study.profile.experiment.geometry.gaussian_vectors,
                settings.layers.first().map_or("", String::as_str),
                settings.layers.last().map_or("", String::as_str),
            );
        }
        Ok(draw(self.title(), panels, table, &pictures, &note))
    }
}

/// A training example in panel a.
struct Example {
    group: ExampleGroup,
    index: usize,
    trained_as: u16,
    analysed_as: u16,
}

/// The examples of panel a: some unpermuted ones, and some permuted ones twice. Examples that drew their own label back are
/// passed over: they would show nothing.
fn examples(run: &Experiment) -> Vec<Example> {
    let data = &run.data;
    let (truth, assigned) = (
        data.permutation().true_labels(),
        data.permutation().assigned_labels(),
    );
    let drawn = |group: ExampleGroup| {
        let mut indices = data.group_indices(group);
        indices.retain(|&i| (assigned[i] != truth[i]) == (group != ExampleGroup::Unpermuted));
        let purpose = format!("xtask/figure 1/{group}");
        indices.shuffle(&mut mftma_data::stream(run.seed, &purpose));
        indices.truncate(IMAGES);
        indices
    };
    let mut examples = Vec::new();
    for index in drawn(ExampleGroup::Unpermuted) {
        examples.push((ExampleGroup::Unpermuted, index));
    }
    let permuted = drawn(ExampleGroup::Permuted);
    for group in [ExampleGroup::Permuted, ExampleGroup::Restored] {
        examples.extend(permuted.iter().map(|&index| (group, index)));
    }
    examples
        .into_iter()
        .map(|(group, index)| Example {
            group,
            index,
            trained_as: assigned[index],
            analysed_as: data.labels(group)[index],
        })
        .collect()
}

/// An image with its labels, ready to be drawn.
struct Picture {
    group: ExampleGroup,
    png: Vec<u8>,
    trained_as: String,
    analysed_as: String,
}

fn pictures(run: &Experiment) -> Result<Vec<Picture>> {
    let names = run.data.dataset().class_names();
    let name = |label: u16| names[usize::from(label)].clone();
    examples(run)
        .into_iter()
        .map(|example| {
            Ok(Picture {
                group: example.group,
                png: png(run.data.split(example.group), example.index)?,
                trained_as: name(example.trained_as),
                analysed_as: name(example.analysed_as),
            })
        })
        .collect()
}

/// An image of one (grey) or three channels as PNG.
fn png(split: &Split, index: usize) -> Result<Vec<u8>> {
    let image = split.image(index);
    let (channels, height, width) = image.dim();
    let picture = RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let value = |channel: usize| image[[channel.min(channels - 1), y as usize, x as usize]];
        image::Rgb([value(0), value(1), value(2)])
    });
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .context("cannot encode an image")?;
    Ok(bytes.into_inner())
}

/// A plot of the theory.
struct Plot {
    /// What varies.
    varied: BallProperty,
    /// What stands below the axis.
    label: &'static str,
    symbol: (&'static str, &'static str),
    from: f64,
    to: f64,
    curves: Vec<Curve>,
}

/// Capacity over one quantity.
struct Curve {
    /// What is held fixed.
    fixed: Vec<(BallProperty, f64)>,
    /// What stands beside the curve.
    label: String,
    points: Vec<(f64, f64)>,
}

/// Mean-field capacity of balls over radius, dimension and centre correlation.
///
/// Correlation: let each centre have a part √(1 − ρ) of its own and a part ±√ρ along one direction that all share. Then
/// the cosines between centres are ±ρ, the shared direction is what the analysis removes, and a ball of radius R is left
/// with a centre of norm √(1 − ρ): its relative radius is R/√(1 − ρ).
fn theory() -> Vec<Plot> {
    use BallProperty::{Correlation, Dimension, Radius};
    let curve = |fixed: Vec<(BallProperty, f64)>,
                 label: String,
                 (from, to): (f64, f64),
                 ball: &dyn Fn(f64) -> (f64, f64)| {
        let points = (0..=POINTS)
            .filter_map(|i| {
                let x = from + (to - from) * i as f64 / POINTS as f64;
                let (radius, dimension) = ball(x);
                Some((x, mftma::ball_capacity(radius, dimension, 0.0)?))
            })
            .collect();
        Curve {
            fixed,
            label,
            points,
        }
    };
    let (radii, dimensions, correlations) = ((0.0, 3.0), (1.0, 50.0), (0.0, 0.95));
    vec![
        Plot {
            varied: Radius,
            label: "Radius",
            symbol: ("R", "M"),
            from: radii.0,
            to: radii.1,
            curves: DIMENSIONS
                .iter()
                .map(|&d| curve(vec![(Dimension, d)], format!("D = {d}"), radii, &|r| (r, d)))
                .collect(),
        },
        Plot {
            varied: Dimension,
            label: "Dimension",
            symbol: ("D", "M"),
            from: dimensions.0,
            to: dimensions.1,
            curves: RADII
                .iter()
                .map(|&r| {
                    curve(vec![(Radius, r)], format!("R = {r}"), dimensions, &|d| {
                        (r, d)
                    })
                })
                .collect(),
        },
        Plot {
            varied: Correlation,
            label: "Centre correlation",
            symbol: ("ρ", "centre"),
            from: correlations.0,
            to: 1.0,
            curves: RADII
                .iter()
                .map(|&r| {
                    curve(
                        vec![(Radius, r), (Dimension, FIXED_DIMENSION)],
                        format!("R = {r}"),
                        correlations,
                        &|rho| (r / (1.0 - rho).sqrt(), FIXED_DIMENSION),
                    )
                })
                .collect(),
        },
    ]
}

fn draw(title: &str, panels: &[&str], table: &[Row], pictures: &[Picture], note: &str) -> String {
    let upper = panels.iter().any(|panel| ["a", "b"].contains(panel));
    let lower = panels.contains(&"c");
    let below = if upper { HEIGHTS[0] } else { 0.0 };
    let height = below + if lower { HEIGHTS[1] } else { 0.0 } + FOOT;
    // A panel alone is cropped to itself.
    let alone = panels.len() == 1;
    let (scatter, width) = match panels {
        ["a"] => (SCATTER.0, IMAGES_LEFT + IMAGE.1 * IMAGES as f64 + 10.0),
        ["b"] => (SCATTER.1, SCATTER.1 + SCATTER.2 + 12.0),
        _ => (SCATTER.0, WIDTH),
    };
    let foot = FOOT.max(foot(note, width));
    let height = if alone { height - FOOT + foot } else { height };
    let mut canvas = Canvas::new(width, height, title);
    let mut letter = |(x, y): (f64, f64), letter: &str| {
        let style = TextStyle::new(TEXT + 1.5, INK, Anchor::Start).weight(Weight::Bold);
        canvas.text((x, y), letter, style);
    };
    for &panel in panels {
        match panel {
            "a" => letter((6.0, 13.0), panel),
            "b" => letter((scatter - 36.0, 13.0), panel),
            _ => letter((6.0, below + 13.0), panel),
        }
    }
    for &panel in panels {
        match panel {
            "a" => draw_images(&mut canvas, pictures),
            "b" => draw_capacities(&mut canvas, table, scatter),
            _ => draw_theory(&mut canvas, below + HEAD),
        }
    }
    footnote(&mut canvas, note, (width, height));
    canvas.finish()
}

fn draw_images(canvas: &mut Canvas, pictures: &[Picture]) {
    let (side, across, down) = IMAGE;
    let groups = [
        ExampleGroup::Unpermuted,
        ExampleGroup::Permuted,
        ExampleGroup::Restored,
    ];
    for (row, group) in groups.into_iter().enumerate() {
        let y = HEAD + down * row as f64;
        let style = TextStyle::new(TEXT, group_colour(group), Anchor::Start).weight(Weight::Bold);
        canvas.text((6.0, y + side / 2.0), group.name(), style);
        let lines = [y + side + SMALL + 1.5, y + side + 2.0 * SMALL + 3.0];
        for (y, text) in lines.into_iter().zip(["training label", "analysis label"]) {
            canvas.text((6.0, y), text, TextStyle::new(SMALL, GREY, Anchor::Start));
        }
        let of_group = pictures.iter().filter(|picture| picture.group == group);
        for (column, picture) in of_group.enumerate() {
            let x = IMAGES_LEFT + across * column as f64;
            canvas.picture([x + (across - side) / 2.0, y, side, side], &picture.png);
            // Noise is orange: the label trained on of all permuted images, the label of the analysis of one group.
            let labels = [
                (&picture.trained_as, group != ExampleGroup::Unpermuted),
                (&picture.analysed_as, group == ExampleGroup::Permuted),
            ];
            for (y, (label, noise)) in lines.into_iter().zip(labels) {
                let colour = if noise {
                    group_colour(ExampleGroup::Permuted)
                } else {
                    INK
                };
                let style = TextStyle::new(SMALL, colour, Anchor::Middle);
                canvas.text((x + across / 2.0, y), label, style);
            }
        }
    }
}

/// Simulated over mean-field capacity, both on logarithmic scales, from `left` to the right.
fn draw_capacities(canvas: &mut Canvas, table: &[Row], left: f64) {
    let side = SCATTER.2;
    let of = |measure: Measure, group: ExampleGroup, layer: &str| {
        table
            .iter()
            .find(|row| {
                row.measure == measure && row.group == group && row.layer.as_deref() == Some(layer)
            })
            .map(|row| row.value.log10())
    };
    let values: Vec<f64> = table
        .iter()
        .filter(|row| row.layer.is_some())
        .map(|row| row.value.log10())
        .collect();
    if values.is_empty() {
        return;
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min) - 0.04;
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max) + 0.04;
    let panel = Panel::new([left, HEAD, side, side], (low, high), (low, high));
    let marks: Vec<(f64, String)> = [0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0]
        .into_iter()
        .map(|value: f64| (value.log10(), value.to_string()))
        .filter(|(at, _)| (low..=high).contains(at))
        .collect();
    panel.y_marks(canvas, &marks);
    canvas.line(panel.at(low, low), panel.at(high, high), GREY, 0.7);
    let mut layers: Vec<&str> = Vec::new();
    for row in table {
        if let Some(layer) = row.layer.as_deref().filter(|layer| !layers.contains(layer)) {
            layers.push(layer);
        }
    }
    for group in SIMULATED_GROUPS {
        let colour = group_colour(group);
        let mut points = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let at = |measure| of(measure, group, layer);
            let (Some(x), Some(y)) = (at(Measure::CAPACITY), at(Measure::SimulatedCapacity)) else {
                continue;
            };
            let ends =
                |lower, upper, value: f64| (at(lower).unwrap_or(value), at(upper).unwrap_or(value));
            let (from, to) = ends(Measure::CapacityLower, Measure::CapacityUpper, x);
            canvas.line(panel.at(from, y), panel.at(to, y), colour, 0.6);
            let (lower, upper) = (
                Measure::SimulatedCapacityLower,
                Measure::SimulatedCapacityUpper,
            );
            let (from, to) = ends(lower, upper, y);
            canvas.line(panel.at(x, from), panel.at(x, to), colour, 0.6);
            let size = 1.0 + 1.6 * index as f64 / (layers.len().max(2) - 1) as f64;
            points.push((panel.at(x, y), size));
            if let Some(x) = at(Measure::JointCapacity) {
                canvas.ring(panel.at(x, y), size, colour);
            }
        }
        let line: Vec<_> = points.iter().map(|(at, _)| *at).collect();
        canvas.polyline(&line, colour, 0.4);
        for (at, size) in points {
            canvas.disc(at, size, colour);
        }
    }
    panel.frame(canvas);
    panel.x_marks(canvas, &marks);
    for (index, group) in SIMULATED_GROUPS.into_iter().enumerate() {
        let style = TextStyle::new(TEXT, group_colour(group), Anchor::Start).weight(Weight::Bold);
        let y = HEAD + 9.0 + (TEXT + 2.0) * index as f64;
        canvas.text((left + 6.0, y), group.name(), style);
    }
    let style = TextStyle::new(SMALL, GREY, Anchor::Start);
    let y = HEAD + 9.0 + (TEXT + 2.0) * SIMULATED_GROUPS.len() as f64;
    canvas.text((left + 6.0, y), "rings: joint capacity", style);
    let style = TextStyle::new(TEXT, INK, Anchor::Middle);
    let (text, symbol) = ("Mean-field capacity", ("α", "M"));
    canvas.text_with_symbol((left + side / 2.0, HEAD + side + 21.0), text, symbol, style);
    let (text, symbol) = ("Simulated capacity", ("α", "sim"));
    let place = (left - 25.0, HEAD + side / 2.0);
    canvas.text_with_symbol(place, text, symbol, style.rotated(90.0));
}

fn draw_theory(canvas: &mut Canvas, top: f64) {
    let [left, width, drawing, gap, small_gap] = THEORY;
    let height = HEIGHTS[1] - HEAD - 30.0;
    let mut x = left;
    for (index, plot) in theory().into_iter().enumerate() {
        let panel = Panel::new([x, top, width, height], (plot.from, plot.to), (0.0, 2.0));
        panel.y_axis(canvas, &[0.0, 0.5, 1.0, 1.5, 2.0], index == 0);
        let count = plot.curves.len();
        for (index, curve) in plot.curves.iter().enumerate() {
            let colour = epoch_colour(index as f64 / count as f64);
            let line: Vec<_> = curve.points.iter().map(|&(x, y)| panel.at(x, y)).collect();
            canvas.polyline(&line, colour, 1.0);
            // The names stand in the empty upper right corner, in the order of the curves.
            let style = TextStyle::new(SMALL, colour, Anchor::End);
            let y = top + 5.0 + (SMALL + 1.5) * index as f64;
            canvas.text((x + width, y), &curve.label, style);
        }
        panel.frame(canvas);
        let ticks: Vec<f64> = nice_ticks(plot.from.floor(), plot.to, 3)
            .into_iter()
            .filter(|tick| (plot.from..=plot.to).contains(tick))
            .collect();
        panel.x_axis(canvas, &ticks);
        let style = TextStyle::new(TEXT, INK, Anchor::Middle);
        let place = (x + width / 2.0, top + height + 21.0);
        canvas.text_with_symbol(place, plot.label, plot.symbol, style);
        if index == 0 {
            let place = (11.0, top + height / 2.0);
            canvas.text_with_symbol(place, "Capacity", ("α", "M"), style.rotated(90.0));
        }
        x += width + gap;
    }
    for (index, (title, lines)) in hypothesis().into_iter().enumerate() {
        let panel = Panel::new([x, top, drawing, height], (0.0, 1.0), (0.0, 1.0));
        for (group, line) in lines {
            let line: Vec<_> = line.iter().map(|&(x, y)| panel.at(x, y)).collect();
            canvas.polyline(&line, group_colour(group), 1.3);
        }
        panel.frame(canvas);
        let style = TextStyle::new(TEXT, INK, Anchor::Middle);
        canvas.text((x + drawing / 2.0, top + height + 9.0), "Epochs →", style);
        canvas.text((x + drawing / 2.0, top + height + 21.0), title, style);
        if index == 0 {
            let place = (x - 4.0, top + height / 2.0);
            canvas.text(place, "Capacity →", style.rotated(90.0));
            let style = TextStyle::new(TEXT, GREY, Anchor::Start);
            canvas.text((x, top - 9.0), "Hypothesis (a drawing, not data)", style);
        }
        x += drawing + small_gap;
    }
}

/// A line of the hypothesis, in the unit square.
type Sketch = (ExampleGroup, Vec<(f64, f64)>);

/// The hypothesis: what training does to capacity in early and in late layers, in two phases.
fn hypothesis() -> Vec<(&'static str, Vec<Sketch>)> {
    let step = |x: f64, at: f64| 1.0 / (1.0 + (-22.0 * (x - at)).exp());
    let sketch = |group, height: &dyn Fn(f64) -> f64| -> Sketch {
        let xs = (0..=POINTS).map(|i| i as f64 / POINTS as f64);
        (group, xs.map(|x| (x, height(x))).collect())
    };
    // Generalization first, memorization in the second half.
    let (shared, memorized) = (0.2, 0.65);
    vec![
        (
            "Early layers",
            vec![
                sketch(ExampleGroup::Unpermuted, &|x| 0.12 + 0.3 * step(x, shared)),
                sketch(ExampleGroup::Restored, &|x| 0.10 + 0.27 * step(x, shared)),
                sketch(ExampleGroup::Permuted, &|_| 0.06),
            ],
        ),
        (
            "Late layers",
            vec![
                sketch(ExampleGroup::Unpermuted, &|x| {
                    0.12 + 0.5 * step(x, shared) + 0.3 * step(x, memorized)
                }),
                sketch(ExampleGroup::Restored, &|x| {
                    0.10 + 0.42 * step(x, shared) - 0.34 * step(x, memorized)
                }),
                sketch(ExampleGroup::Permuted, &|x| {
                    0.06 + 0.78 * step(x, memorized)
                }),
            ],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use mftma_draw::clipped_texts;

    fn row(measure: Measure, group: ExampleGroup, layer: &str, value: f64) -> Row {
        Row {
            profile: "test".into(),
            dataset: "cifar100".into(),
            architecture: "vgg16".into(),
            width: 64,
            seed: 1,
            layer_index: None,
            layer: Some(layer.into()),
            epoch: 1000,
            step: None,
            condition: None,
            group: group.into(),
            measure,
            value,
            standard_error: None,
            standard_error_vectors: None,
            count: 100,
        }
    }

    fn table() -> Vec<Row> {
        let mut rows = Vec::new();
        for (index, layer) in ["conv1_2", "conv3_3", "conv5_3"].into_iter().enumerate() {
            for group in SIMULATED_GROUPS {
                rows.push(row(Measure::JointCapacity, group, layer, 0.012));
                for measure in ["capacity", "simulated_capacity"] {
                    let value = 0.011 * 12f64.powi(index as i32);
                    for (end, factor) in [("", 1.0), ("_lower", 0.9), ("_upper", 1.1)] {
                        let measure = format!("{measure}{end}").parse().unwrap();
                        rows.push(row(measure, group, layer, factor * value));
                    }
                }
            }
        }
        rows
    }

    fn pictures() -> Vec<Picture> {
        let longest = "aquarium_fish".to_owned();
        let groups = [
            ExampleGroup::Unpermuted,
            ExampleGroup::Permuted,
            ExampleGroup::Restored,
        ];
        groups
            .into_iter()
            .flat_map(|group| (0..IMAGES).map(move |_| group))
            .map(|group| Picture {
                group,
                png: Vec::new(),
                trained_as: longest.clone(),
                analysed_as: longest.clone(),
            })
            .collect()
    }

    #[test]
    fn nothing_is_clipped_with_the_longest_names() {
        for panels in [&PANELS[..], &["a"], &["b"], &["c"]] {
            let svg = draw(
                "A title",
                panels,
                &table(),
                &pictures(),
                &"A note. ".repeat(20),
            );
            assert_eq!(clipped_texts(&svg), Vec::<String>::new());
        }
    }

    #[test]
    fn capacity_falls_with_all_three_and_starts_at_that_of_points() {
        let plots = theory();
        assert_eq!(plots.len(), 3);
        for plot in &plots {
            for curve in &plot.curves {
                assert_eq!(curve.points.len(), POINTS + 1);
                let falls = |w: &[(f64, f64)]| w[1].1 < w[0].1 + 1e-12;
                assert!(curve.points.windows(2).all(falls), "{:?}", curve.fixed);
            }
        }
        for curve in &plots[0].curves {
            assert!((curve.points[0].1 - 2.0).abs() < 1e-9);
        }
        // Without correlation the third plot has the values of the first two.
        let uncorrelated = plots[2].curves[2].points[0].1;
        let ball = mftma::ball_capacity(RADII[2], FIXED_DIMENSION, 0.0).unwrap();
        assert!((uncorrelated - ball).abs() < 1e-12);
    }

    #[test]
    fn examples_show_what_their_group_means() {
        let profile = crate::profile::Profile::load("smoke").unwrap().1;
        let run = crate::experiment::Experiments::new(None)
            .main(profile, 1)
            .unwrap();
        let examples = examples(&run);
        assert_eq!(examples.len(), 3 * IMAGES);
        let truth = run.data.permutation().true_labels();
        for example in &examples {
            let noisy = example.group != ExampleGroup::Unpermuted;
            assert_eq!(example.trained_as != truth[example.index], noisy);
            let true_label = example.analysed_as == truth[example.index];
            assert_eq!(true_label, example.group != ExampleGroup::Permuted);
        }
        let png = png(run.data.split(ExampleGroup::Permuted), examples[0].index).unwrap();
        let image = image::load_from_memory(&png).unwrap();
        assert_eq!((image.width(), image.height()), (32, 32));
    }

    #[test]
    fn images_are_embedded_and_rendered() {
        let mut canvas = Canvas::new(10.0, 10.0, "");
        let red = RgbImage::from_pixel(2, 2, image::Rgb([255, 0, 0]));
        let mut bytes = Cursor::new(Vec::new());
        red.write_to(&mut bytes, ImageFormat::Png).unwrap();
        canvas.picture([0.0, 0.0, 10.0, 10.0], &bytes.into_inner());
        let png = mftma_draw::to_png(&canvas.finish(), 72.0).unwrap();
        let drawn = image::load_from_memory(&png).unwrap().to_rgb8();
        assert_eq!(*drawn.get_pixel(5, 5), image::Rgb([255, 0, 0]));
    }
}
