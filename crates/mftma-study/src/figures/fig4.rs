//! Figure 4: rewinding and double descent.
//!
//! a, b: accuracy after the parameters of a single layer, or of the last k layers, are put back to each saved epoch.
//! f, g: which single layers and which few channels hold a memorized example.
//! c–e: test accuracy and geometry at the best and the final epoch over the number of parameters of the network, label noise fixed.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use mftma_data::ExampleGroup;
use mftma_gradients::Measure as GradientMeasure;
use mftma_sensitivity::Estimate;

use super::agreement::{self, Depth};
use super::geometry::check_size;
use super::group_colour;
use super::{Figure, Study, foot, geometry_rows, over_runs, runs_in_words};
use crate::cache::Stage;
use crate::claims::inputs::as_in_figure4;
use crate::experiment::Experiment;
use crate::profile::{ExperimentSettings, RewindingStatistics};
use crate::published::{self, Epoch, WidthPoint, figure4};
use crate::stages::{
    ChannelsUndone, HELD_GROUPS, LayerGeometry, REWOUND_GROUPS, Resets, RewindStage, Rewindings,
    Rewound, RewoundScore, TrainStage, TrainingRecord,
};
use crate::table::{Condition, Group, Measure, RewoundLayers, Row};
use mftma_draw::{
    Anchor, Band, Canvas, Colour, GREY, INK, Panel, TextStyle, Weight, colour_bar, epoch_colour,
    footnote, nice_ticks,
};

/// Width in points: two columns of a journal.
const WIDTH: f64 = 510.0;
/// Left and right margin.
const SIDES: (f64, f64) = (42.0, 44.0);
/// Height of a panel of rewinding, and between its two rows.
const REWINDING: (f64, f64) = (76.0, 10.0);
/// Height of a panel of double descent.
const DESCENT: f64 = 92.0;
/// Between panels side by side: of rewinding, which share their scale, and of double descent, which do not.
const GAPS: (f64, f64) = (14.0, 36.0);
/// Above a row of panels, and below the panels of rewinding for the names of layers.
const HEAD: f64 = 24.0;
const NAMES: f64 = 40.0;
/// Below everything, for the small print.
const FOOT: f64 = 30.0;
/// Text size in points.
const TEXT: f64 = 7.0;
/// Training error below which a network counts as interpolating its training labels, drawn as a line \[D\].
const INTERPOLATING: f64 = 0.05;

/// The panels, in order.
const PANELS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
/// Room below a plot of the sweep for its axis.
const BELOW_DESCENT: f64 = 32.0;
/// Height of a plot of published values alone, and room above it.
const PUBLISHED: f64 = 58.0;
const HEAD_OF_PUBLISHED: f64 = 12.0;

/// A plot of the sweep: panel, measure, label, symbol and subscript.
type SweepPlot = (
    &'static str,
    Measure,
    &'static str,
    (&'static str, &'static str),
);

/// The plots of the sweep.
const SWEEP_PLOTS: [SweepPlot; 5] = [
    ("c", Measure::Accuracy, "Test accuracy (%)", ("", "")),
    ("d", Measure::RADIUS, "Radius", ("R", "M")),
    (
        "d",
        Measure::CENTRE_CORRELATION,
        "Centre corr.",
        ("ρ", "centre"),
    ),
    ("e", Measure::DIMENSION, "Dimension", ("D", "M")),
    ("e", Measure::CAPACITY, "Capacity", ("α", "M")),
];

/// The two epochs of the sweep: colour, name and place of the name above the first plot.
const EPOCHS: [(Epoch, Colour, &str, f64); 2] = [
    (Epoch::Best, Colour(0x00, 0x72, 0xB2), "best", -16.0),
    (Epoch::Last, Colour(0xD5, 0x5E, 0x00), "final epoch", 6.0),
];

/// Height of a panel of resets and channels.
const HOLDING: f64 = 84.0;
/// Widths of the plots of panel f and of panel g, which has two; what room they leave is between them.
const HOLDING_WIDTHS: [(&str, f64); 3] = [("f", 188.0), ("g", 98.0), ("g", 98.0)];

/// Whether resets or channels are among the panels.
fn holding(panels: &[&str]) -> bool {
    panels.iter().any(|panel| ["f", "g"].contains(panel))
}

/// Rewinding and double descent.
pub struct Figure4;

/// Whether rewinding is among the panels.
fn rewinding(panels: &[&str]) -> bool {
    panels.iter().any(|panel| ["a", "b"].contains(panel))
}

/// Whether the sweep over widths is among the panels.
fn sweeping(panels: &[&str]) -> bool {
    panels.iter().any(|panel| ["c", "d", "e"].contains(panel))
}

impl Figure for Figure4 {
    fn name(&self) -> &'static str {
        "fig4"
    }

    fn title(&self) -> &'static str {
        "Rewinding of layers to earlier epochs; double descent over the width of the network; layers and channels that hold examples"
    }

    fn caption(&self, study: &Study<'_>) -> String {
        let sweep = &study.profile.double_descent;
        format!(
            "a: accuracy of the trained network after the parameters of one layer are put back to an earlier epoch (colour), for test \
             examples (above) and for permuted examples by the labels trained on (below); b: the same for the last k layers together. \
             The black line is the trained network, its statistics treated alike. {} Where test accuracy rises above the line and permuted accuracy falls, what was \
             memorized was in those layers. c: test accuracy of networks of growing width over the number of their parameters, {:.0} % \
             of the training labels permuted; d: radius and centre correlation, e: dimension and capacity of the test examples' manifolds in \
             layer {}; at the epoch of the highest test accuracy of each training (best) and at its end (final). Dots are single runs, lines \
             their means, bands one standard error. {} A grey line marks the first width, if any, at which the training error is below {} %. \
             f, g: another view (Maini et al. 2023), on training examples that the trained network gives their label. f: share of them \
             that it no longer does after one layer is put back to the initialization (broken) or to the epoch of the highest test accuracy \
             (lines). g, left: in which layers the channels lie that are zeroed, one by one and greedily by gradient, until an example is \
             undone while others are kept (grey: where all channels lie); right: share of examples undone after so many channels. {} \
             Where the orange line of f lies above the blue one in late layers more than in early ones, and where the channels that undo \
             permuted examples are later ones than those of unpermuted examples, this view agrees with the claim that memorization is late \
             in depth. Putting back a layer to its initialization destroys what later layers build on, so that early layers can matter to \
             an example that is stored in later ones, and only the difference between the two groups speaks of memorization.",
            statistics_in_words(study),
            100.0 * sweep.experiment.data.permuted_fraction,
            sweep.layer,
            published_in_words(study),
            100.0 * INTERPOLATING,
            channels_in_words(study),
        )
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn check(&self, study: &Study<'_>) -> Result<()> {
        let settings = &study.profile.double_descent;
        for experiment in study.networks_of_widths()? {
            let layer = std::slice::from_ref(&settings.layer);
            experiment.check_layers("double_descent.layer", layer)?;
            let last = experiment.settings.training.stop.max_epochs;
            let stage = Study::geometry_of_width(&experiment, last);
            check_size(&stage, "double_descent.geometry")?;
        }
        ensure!(
            settings.widths.windows(2).all(|pair| pair[0] < pair[1]),
            "double_descent.widths of the profile are not ascending: {:?}",
            settings.widths
        );
        Ok(())
    }

    fn stages(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        if rewinding(panels) {
            for run in &study.runs {
                stages.push(Box::new(TrainStage::new(Rc::clone(run))));
                for stage in study.rewindings(run)? {
                    stages.push(Box::new(stage));
                }
            }
        }
        if sweeping(panels) {
            for experiment in study.networks_of_widths()? {
                stages.push(Box::new(TrainStage::new(Rc::clone(&experiment))));
                for stage in study.geometries_of_width(&experiment)? {
                    stages.push(Box::new(stage));
                }
            }
        }
        if holding(panels) {
            for run in &study.runs {
                stages.push(Box::new(TrainStage::new(Rc::clone(run))));
                if panels.contains(&"f") {
                    for stage in study.resets(run)? {
                        stages.push(Box::new(stage));
                    }
                }
                if panels.contains(&"g") {
                    stages.push(Box::new(study.channels(run)?));
                }
            }
        }
        Ok(stages)
    }

    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        if rewinding(panels) {
            for run in &study.runs {
                for (index, stage) in study.rewindings(run)?.iter().enumerate() {
                    let rewindings: Rewindings = study.cache.output(stage)?;
                    rows.extend(rewinding_rows(
                        &study.row(run),
                        stage,
                        &rewindings,
                        index == 0,
                    ));
                }
            }
        }
        if sweeping(panels) {
            for experiment in study.networks_of_widths()? {
                rows.extend(sweep_rows(study, &experiment)?);
            }
        }
        for run in &study.runs {
            if panels.contains(&"f") {
                for stage in study.resets(run)? {
                    let resets: Resets = study.cache.output(&stage)?;
                    rows.extend(reset_rows(&study.row(run), stage.epoch(), &resets));
                }
            }
            if panels.contains(&"g") {
                let found: ChannelsUndone = study.cache.output(&study.channels(run)?)?;
                let row = Row {
                    epoch: study.last_epoch(run)?.unwrap_or_default(),
                    ..study.row(run)
                };
                rows.extend(channel_rows(&row, &found));
            }
        }
        Ok(rows)
    }

    fn reading(&self, table: &[Row]) -> Option<String> {
        agreement::reading(table)
    }

    fn draw(&self, study: &Study<'_>, panels: &[&str], table: &[Row]) -> Result<String> {
        let sweep = &study.profile.double_descent;
        let mut note = String::new();
        if rewinding(panels) {
            note += &format!(
                "a, b: {}. {} Bands: one standard error over {}. ",
                study.setting(),
                statistics_in_words(study),
                match study.runs.len() {
                    1 => "examples",
                    _ => "runs",
                },
            );
        }
        if sweeping(panels) {
            let ExperimentSettings {
                data,
                network,
                training,
                geometry,
            } = &sweep.experiment;
            note += &format!(
                "c–e: {} on {}, {} training images of {} classes, {:.0} % of labels permuted, {} epochs{}; \
                 geometry of the test examples in layer {}, P = {}, M = {}, {} Gaussian vectors; {}, dots: single runs, bands: one \
                 standard error over {}. {} Grey line: the first width, if any, at which the training error is below {} %.",
                network.architecture.title(),
                data.dataset,
                data.classes * data.train_per_class,
                data.classes,
                100.0 * data.permuted_fraction,
                training.stop.max_epochs,
                match training.optimizer.weight_decay() {
                    0.0 => " without regularisation",
                    _ => "",
                },
                sweep.layer,
                geometry.manifolds,
                geometry.points,
                geometry.gaussian_vectors,
                runs_in_words(sweep.runs),
                match sweep.runs {
                    1 => "classes or examples",
                    _ => "runs",
                },
                published_in_words(study),
                100.0 * INTERPOLATING,
            );
        }
        if holding(panels) {
            note += &format!(
                " f, g: training examples that the trained network gives their label; f: one layer put back to epoch 0 (broken) and to the \
                 epoch of the highest test accuracy (lines). {} Bands: one standard error over {}.",
                channels_in_words(study),
                match study.runs.len() {
                    1 => "examples",
                    _ => "runs",
                },
            );
        }
        let published = figure4()?;
        let sweep = Sweep {
            layer: &sweep.layer,
            published: match published_beside(study) {
                Some(true) => Published::Same(&published),
                Some(false) => Published::Other(&published),
                None => Published::None,
            },
        };
        Ok(draw(self.title(), panels, table, &sweep, &note))
    }
}

/// What is drawn of the sweep beside the table.
struct Sweep<'a> {
    /// The layer measured.
    layer: &'a str,
    /// The paper's points.
    published: Published<'a>,
}

/// The paper's points beside ours.
#[derive(Clone, Copy)]
enum Published<'a> {
    /// They are not drawn: other images.
    None,
    /// Of the same networks, in the same plots.
    Same(&'a [WidthPoint]),
    /// Of others on more of the same images, in plots of their own.
    Other(&'a [WidthPoint]),
}

/// Whether the paper's points are of the same networks; none where they are of other images.
fn published_beside(study: &Study<'_>) -> Option<bool> {
    let images = &study.profile.double_descent.experiment.data.dataset;
    (images == "cifar100").then(|| as_in_figure4(study.profile))
}

fn published_in_words(study: &Study<'_>) -> &'static str {
    match published_beside(study) {
        Some(true) => {
            "Rings: values read off the paper's figure, beside which radius and dimension are by the conventions of the reference package."
        }
        Some(false) => {
            "Below, on scales of their own: values read off the paper's figure, of ResNet-18 on all images of CIFAR-100."
        }
        None => {
            "The paper's values are not drawn: they are of ResNet-18 on all images of CIFAR-100."
        }
    }
}

fn statistics_in_words(study: &Study<'_>) -> &'static str {
    match study.profile.rewinding.statistics {
        RewindingStatistics::Rewound => {
            "Running statistics of normalisations are put back with the layers."
        }
        RewindingStatistics::Kept => "Running statistics of normalisations stay as they are.",
        RewindingStatistics::Reestimated => {
            "Running statistics of normalisations are measured anew on training images."
        }
    }
}

fn channels_in_words(study: &Study<'_>) -> String {
    let settings = &study.profile.supplement.memorization.channels;
    format!(
        "g: {} examples of each group at most, {} channels at most; each step raises the loss of an example and its {} noisy copies over \
         that of {} others.",
        settings.examples, settings.search.limit, settings.search.copies, settings.reference
    )
}

/// What each group forgot where single layers were put back to `epoch`.
fn reset_rows(plain: &Row, epoch: usize, resets: &Resets) -> Vec<Row> {
    let mut rows = Vec::new();
    for (place, name, forgotten) in &resets.layers {
        for (group, forgotten) in HELD_GROUPS.into_iter().zip(forgotten) {
            let row = Row {
                epoch,
                layer_index: Some(*place),
                layer: Some(name.clone()),
                condition: Some(Condition::Reset(name.clone())),
                group: group.into(),
                ..plain.clone()
            };
            rows.extend(estimated(&row, Measure::Forgotten, forgotten.share()));
        }
    }
    rows
}

fn estimated(row: &Row, measure: Measure, estimate: Option<Estimate>) -> Option<Row> {
    estimate.map(|estimate| Row {
        measure,
        value: estimate.mean,
        standard_error: estimate.standard_error,
        count: estimate.count,
        ..row.clone()
    })
}

/// How many channels undid the examples of each group, and where they lie.
fn channel_rows(plain: &Row, found: &ChannelsUndone) -> Vec<Row> {
    let mut rows = Vec::new();
    let all: usize = found.layers.iter().map(|(_, _, count)| count).sum();
    let depth = Depth::of(found.layers.iter().map(|(place, _, _)| *place));
    let in_layer = |place: usize, name: &str| Row {
        layer_index: Some(place),
        layer: Some(name.to_owned()),
        ..plain.clone()
    };
    for (place, name, count) in &found.layers {
        rows.push(Row {
            group: Group::Training,
            measure: Measure::ShareOfChannels,
            value: *count as f64 / all as f64,
            count: all,
            ..in_layer(*place, name)
        });
    }
    let of_all = found
        .layers
        .iter()
        .flat_map(|(place, _, count)| std::iter::repeat_n(*place, *count));
    rows.extend(depth.mean(of_all).map(|value| Row {
        group: Group::Training,
        measure: Measure::DepthOfChannels,
        value,
        count: all,
        ..plain.clone()
    }));
    for group in HELD_GROUPS {
        let of_group = || found.examples.iter().filter(move |e| e.group == group);
        let row = Row {
            group: group.into(),
            ..plain.clone()
        };
        let counts = of_group().map(|e| e.undoing.zeroed.len() as f64);
        rows.extend(estimated(
            &row,
            Measure::ChannelsZeroed,
            Estimate::of(counts),
        ));
        // Of each example that any channel was zeroed for: the mean over its channels.
        let depths =
            of_group().filter_map(|e| depth.mean(e.undoing.zeroed.iter().map(|c| c.layer)));
        rows.extend(estimated(
            &row,
            Measure::DepthOfChannels,
            Estimate::of(depths),
        ));
        let kept = Estimate::of(of_group().filter_map(|e| e.held));
        rows.extend(estimated(&row, Measure::Kept, kept));
        // As far as the longest search of either group, so that both lines end together.
        let longest = found.examples.iter().map(|e| e.undoing.zeroed.len()).max();
        for count in 0..=longest.unwrap_or(0) {
            let row = Row {
                condition: Some(Condition::Zeroed(count)),
                ..row.clone()
            };
            let undone = of_group().map(|e| e.undoing.undone && e.undoing.zeroed.len() <= count);
            rows.extend(estimated(&row, Measure::Undone, Estimate::share(undone)));
        }
        // Each example counts once, however many channels it took: shares within it, averaged over examples.
        for (place, name, _) in &found.layers {
            let zeroed = of_group().map(|e| &e.undoing.zeroed);
            let shares = zeroed.filter(|zeroed| !zeroed.is_empty()).map(|zeroed| {
                let here = zeroed.iter().filter(|channel| channel.layer == *place);
                here.count() as f64 / zeroed.len() as f64
            });
            let row = Row {
                group: group.into(),
                ..in_layer(*place, name)
            };
            rows.extend(estimated(
                &row,
                Measure::ShareOfZeroed,
                Estimate::of(shares),
            ));
        }
    }
    rows
}

/// Accuracies after the rewindings of one run to one epoch. The trained network is the same at every epoch: its rows are
/// wanted `with_end` only.
fn rewinding_rows(
    plain: &Row,
    stage: &RewindStage,
    rewindings: &Rewindings,
    with_end: bool,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for (rewound, scores) in &rewindings.scores {
        let plain = plain.clone();
        let row = match *rewound {
            Rewound::None if !with_end => continue,
            Rewound::None => Row {
                epoch: stage.last(),
                condition: Some(Condition::Rewound(RewoundLayers::None)),
                ..plain
            },
            Rewound::Layer(i) => {
                let (place, name) = &rewindings.layers[i];
                Row {
                    epoch: stage.epoch(),
                    layer_index: Some(*place),
                    layer: Some(name.clone()),
                    condition: Some(Condition::Rewound(RewoundLayers::One(name.clone()))),
                    ..plain
                }
            }
            Rewound::Last(k) => Row {
                epoch: stage.epoch(),
                condition: Some(Condition::Rewound(RewoundLayers::Last(k))),
                ..plain
            },
        };
        for (group, score) in REWOUND_GROUPS.into_iter().zip(scores) {
            rows.extend(score.map(|RewoundScore { score, .. }| Row {
                group: group.into(),
                measure: Measure::Accuracy,
                value: score.accuracy(),
                standard_error: Some(score.standard_error()),
                count: score.examples,
                ..row.clone()
            }));
        }
    }
    rows
}

/// Accuracies and geometry of one network of the sweep, at its best and at its final epoch; its parameters and training error.
fn sweep_rows(study: &Study<'_>, experiment: &Rc<Experiment>) -> Result<Vec<Row>> {
    let train = TrainStage::new(Rc::clone(experiment));
    let record: TrainingRecord = study.cache.output(&train)?;
    let end = record.history.last().context("the training has no epoch")?;
    let of_training = Row {
        epoch: end.epoch,
        condition: Some(Condition::WidthSweep(Epoch::Last)),
        group: Group::Training,
        count: experiment.data.dataset().train().len(),
        ..study.row(experiment)
    };
    let mut rows = vec![
        Row {
            measure: Measure::TrainingError,
            value: 1.0 - end.training_accuracy,
            ..of_training.clone()
        },
        Row {
            measure: GradientMeasure::Parameters.into(),
            value: experiment.parameters()? as f64,
            ..of_training
        },
    ];
    for (which, epoch) in [
        (Epoch::Best, record.best_epoch()),
        (Epoch::Last, record.last_epoch()),
    ] {
        let row = Row {
            epoch,
            condition: Some(Condition::WidthSweep(which)),
            ..study.row(experiment)
        };
        let metrics = record.history.iter().find(|metrics| metrics.epoch == epoch);
        for (&group, score) in metrics.iter().flat_map(|metrics| &metrics.groups) {
            rows.push(Row {
                group: group.into(),
                measure: Measure::Accuracy,
                value: score.accuracy(),
                standard_error: Some(score.standard_error()),
                count: score.examples,
                ..row.clone()
            });
        }
        let stage = Study::geometry_of_width(experiment, epoch);
        let layers: Vec<LayerGeometry> = study.cache.output(&stage)?;
        rows.extend(geometry_rows(&layers, &row));
    }
    Ok(rows)
}

/// Mean and standard error over the runs of the rows that `wanted` picks; none where it picks none.
fn mean(rows: &[&Row], wanted: impl Fn(&Row) -> bool) -> Option<(f64, f64)> {
    let values: Vec<_> = rows
        .iter()
        .filter(|row| wanted(row))
        .map(|row| (row.value, row.standard_error))
        .collect();
    (!values.is_empty()).then(|| over_runs(&values))
}

/// In percent.
fn percent((x, mean, error): Band) -> Band {
    (x, 100.0 * mean, 100.0 * error)
}

fn draw(title: &str, panels: &[&str], table: &[Row], sweep: &Sweep<'_>, note: &str) -> String {
    let mut height = 0.0;
    let mut tops = [None; 3];
    for (top, (wanted, below)) in tops.iter_mut().zip([
        (rewinding(panels), 2.0 * REWINDING.0 + REWINDING.1 + NAMES),
        (sweeping(panels), sweep_height(panels, sweep)),
        (holding(panels), HOLDING + NAMES),
    ]) {
        if wanted {
            *top = Some(height + HEAD);
            height += HEAD + below;
        }
    }
    let width = page_width(panels);
    height += FOOT.max(foot(note, width));
    let mut canvas = Canvas::new(width, height, title);
    if let Some(top) = tops[0] {
        draw_rewinding(&mut canvas, panels, table, top);
    }
    if let Some(top) = tops[1] {
        draw_sweep(&mut canvas, panels, table, sweep, top);
    }
    if let Some(top) = tops[2] {
        draw_holding(&mut canvas, panels, table, top);
    }
    footnote(&mut canvas, note, (width, height));
    canvas.finish()
}

/// Height of the plots of double descent, with what stands below them.
fn sweep_height(panels: &[&str], sweep: &Sweep<'_>) -> f64 {
    let own = DESCENT + BELOW_DESCENT;
    let is_published =
        |(panel, measure, ..): &SweepPlot| panels.contains(panel) && in_figure(*measure).is_some();
    match sweep.published {
        Published::Other(_) if SWEEP_PLOTS.iter().any(is_published) => {
            own + HEAD_OF_PUBLISHED + PUBLISHED + BELOW_DESCENT
        }
        _ => own,
    }
}

/// Width of a panel of rewinding: two fill the page.
const REWINDING_WIDTH: f64 = (WIDTH - SIDES.0 - SIDES.1 - GAPS.0) / 2.0;
/// Right margin of the panels of double descent.
const DESCENT_RIGHT: f64 = 12.0;

/// As wide as what is drawn: a panel alone is cropped to itself.
fn page_width(panels: &[&str]) -> f64 {
    let row = |count: usize, width: f64, gap: f64, sides: f64| match count {
        0 => 0.0,
        _ => sides + width * count as f64 + gap * (count - 1) as f64,
    };
    let rewound = panels.iter().filter(|p| ["a", "b"].contains(p)).count();
    let all = SWEEP_PLOTS.len();
    let plots = SWEEP_PLOTS.iter().filter(|(p, ..)| panels.contains(p));
    let plots = plots.count();
    let sides = SIDES.0 + DESCENT_RIGHT;
    let plot = (WIDTH - sides - GAPS.1 * (all - 1) as f64) / all as f64;
    // One plot takes the room of two.
    let plots = if plots == 1 { 2 } else { plots };
    let held: Vec<f64> = HOLDING_WIDTHS
        .iter()
        .filter(|(panel, _)| panels.contains(panel))
        .map(|(_, width)| *width)
        .collect();
    let held = match held.len() {
        0 => 0.0,
        n => sides + held.iter().sum::<f64>() + GAPS.1 * (n - 1) as f64,
    };
    row(rewound, REWINDING_WIDTH, GAPS.0, SIDES.0 + SIDES.1)
        .max(row(plots, plot, GAPS.1, sides))
        .max(held)
        .min(WIDTH)
}

fn letter(canvas: &mut Canvas, (x, y): (f64, f64), letter: &str, text: &str) {
    let style = TextStyle::new(TEXT + 1.5, INK, Anchor::Start).weight(Weight::Bold);
    canvas.text((x, y), letter, style);
    let style = TextStyle::new(TEXT, INK, Anchor::Start);
    canvas.text((x + 10.0, y), text, style);
}

/// Accuracy over layers, one line for each epoch: the test examples above, the permuted below.
fn draw_rewinding(canvas: &mut Canvas, panels: &[&str], table: &[Row], top: f64) {
    let (trained, rows): (Vec<&Row>, Vec<&Row>) = table
        .iter()
        .filter(|row| matches!(row.condition, Some(Condition::Rewound(_))))
        .partition(|row| row.condition == Some(Condition::Rewound(RewoundLayers::None)));
    let epochs: BTreeSet<usize> = rows.iter().map(|row| row.epoch).collect();
    let colours: Vec<(usize, Colour)> = epochs
        .iter()
        .enumerate()
        .map(|(index, &epoch)| {
            // The end of training has the last colour, as in figure 3.
            (epoch, epoch_colour(index as f64 / epochs.len() as f64))
        })
        .collect();
    let mut layers: Vec<(usize, String)> = rows
        .iter()
        .filter_map(|row| Some((row.layer_index?, row.layer.clone()?)))
        .collect();
    layers.sort();
    layers.dedup();
    let names: Vec<String> = layers.iter().map(|(_, name)| name.clone()).collect();
    let count = names.len();
    let counts: Vec<String> = (1..=count).map(|k| k.to_string()).collect();
    let rewound = |layers| Some(Condition::Rewound(layers));
    let one = |name: &String| rewound(RewoundLayers::One(name.clone()));
    let singles: Vec<_> = names.iter().map(one).collect();
    let lasts: Vec<_> = (1..=count)
        .map(|k| rewound(RewoundLayers::Last(k)))
        .collect();

    // What each panel varies: the values of `condition`, their names along the axis, and the axis's name.
    let columns: Vec<_> = [
        (
            "a",
            "One layer put back to an earlier epoch",
            singles,
            names,
            "Layer put back",
            NAMES - 4.0,
        ),
        (
            "b",
            "The last k layers put back",
            lasts,
            counts,
            "k, layers put back",
            22.0,
        ),
    ]
    .into_iter()
    .filter(|(panel, ..)| panels.contains(panel))
    .collect();

    let (left, right) = SIDES;
    let (page, width) = (page_width(panels), REWINDING_WIDTH);
    for (row, group) in REWOUND_GROUPS.into_iter().enumerate() {
        let y = top + (REWINDING.0 + REWINDING.1) * row as f64;
        let of_group: Vec<&Row> = rows
            .iter()
            .copied()
            .filter(|row| row.group == group)
            .collect();
        let end = mean(&trained, |row| row.group == group);
        let lines: Vec<Vec<Vec<Band>>> = columns
            .iter()
            .map(|(_, _, conditions, ..)| {
                colours
                    .iter()
                    .map(|&(epoch, _)| {
                        conditions
                            .iter()
                            .enumerate()
                            .filter_map(|(x, condition)| {
                                let (mean, error) = mean(&of_group, |row| {
                                    row.epoch == epoch && row.condition == *condition
                                })?;
                                Some(percent((x as f64, mean, error)))
                            })
                            .collect()
                    })
                    .collect()
            })
            .collect();
        let highest = lines
            .iter()
            .flatten()
            .flatten()
            .map(|&(_, value, error)| value + error)
            .chain(end.map(|(value, _)| 100.0 * value))
            .fold(1.0, f64::max);
        let ticks = nice_ticks(0.0, highest.min(100.0), 4);
        let label = format!("{} accuracy (%)", capitalised(group.name()));
        let style = TextStyle::new(TEXT, group_colour(group), Anchor::Middle)
            .weight(Weight::Bold)
            .rotated(90.0);
        canvas.text((11.0, y + REWINDING.0 / 2.0), &label, style);
        for (column, (lines, (name, text, _, names, axis, below))) in
            lines.iter().zip(&columns).enumerate()
        {
            let x = left + (width + GAPS.0) * column as f64;
            let panel = Panel::new(
                [x, y, width, REWINDING.0],
                (-0.4, count.max(2) as f64 - 0.6),
                (ticks[0], ticks[ticks.len() - 1]),
            );
            panel.y_axis(canvas, &ticks, column == 0);
            for (points, (_, colour)) in lines.iter().zip(&colours) {
                panel.band(canvas, points, *colour);
            }
            if let Some((value, _)) = end {
                panel.horizontal(canvas, 100.0 * value, INK);
            }
            for (points, (_, colour)) in lines.iter().zip(&colours) {
                panel.line(canvas, points, *colour, true);
            }
            panel.frame(canvas);
            panel.x_names(canvas, names, row == 1);
            if row == 0 {
                letter(canvas, (x - 4.0, y - 9.0), name, text);
            } else {
                let style = TextStyle::new(TEXT, INK, Anchor::Middle);
                canvas.text((x + width / 2.0, y + REWINDING.0 + below), axis, style);
            }
        }
    }
    let mut entries: Vec<_> = colours
        .iter()
        .map(|&(epoch, colour)| (epoch.to_string(), colour))
        .collect();
    if !trained.is_empty() {
        entries.push(("end".into(), INK));
    }
    colour_bar(
        canvas,
        [
            page - right + 10.0,
            top + 12.0,
            8.0,
            11.0 * entries.len() as f64,
        ],
        "to epoch",
        &entries,
    );
    let style = TextStyle::new(6.5, GREY, Anchor::Start);
    canvas.text((page - right + 10.0, top - 1.5), "Put back", style);
}

/// What is forgotten when one layer is put back; where the channels lie that undo an example, and how many it takes.
fn draw_holding(canvas: &mut Canvas, panels: &[&str], table: &[Row], top: f64) {
    let of = |measure: Measure| -> Vec<&Row> {
        table.iter().filter(|row| row.measure == measure).collect()
    };
    let mut x = SIDES.0;
    for (plot, (panel, width)) in HOLDING_WIDTHS.into_iter().enumerate() {
        if !panels.contains(&panel) {
            continue;
        }
        let area = [x, top, width, HOLDING];
        match plot {
            0 => draw_resets(canvas, area, &of(Measure::Forgotten)),
            1 => {
                let mut rows = of(Measure::ShareOfZeroed);
                rows.extend(of(Measure::ShareOfChannels));
                draw_places(canvas, area, &rows);
            }
            _ => draw_counts(canvas, area, &of(Measure::Undone)),
        }
        x += width + GAPS.1;
    }
}

/// Names of layers and their places along an axis.
fn along(rows: &[&Row]) -> (Vec<String>, BTreeMap<String, f64>) {
    let names = super::geometry::layer_names(rows.iter().copied());
    let places = names.iter().enumerate();
    let places = places.map(|(place, name)| (name.clone(), place as f64));
    (names.clone(), places.collect())
}

/// The axis of percentages of a plot, its frame, and the name of its ordinate.
fn percentages(
    canvas: &mut Canvas,
    area: [f64; 4],
    ends: (f64, f64),
    lines: &[Vec<Band>],
    label: &str,
) -> Panel {
    let [x, y, _, height] = area;
    let values = lines
        .iter()
        .flatten()
        .map(|&(_, value, error)| value + error);
    let highest = values.fold(1.0, f64::max).min(100.0);
    let ticks = nice_ticks(0.0, highest, 4);
    let panel = Panel::new(area, ends, (0.0, ticks[ticks.len() - 1]));
    panel.y_axis(canvas, &ticks, true);
    let style = TextStyle::new(TEXT, INK, Anchor::Middle).rotated(90.0);
    canvas.text((x - 26.0, y + height / 2.0), label, style);
    panel
}

/// The values of each layer for one group and epoch, in percent.
fn over_layers(
    rows: &[&Row],
    places: &BTreeMap<String, f64>,
    wanted: impl Fn(&Row) -> bool,
) -> Vec<Band> {
    let mut found: Vec<Band> = places
        .iter()
        .filter_map(|(name, &x)| {
            let (value, error) = mean(rows, |row| row.layer.as_ref() == Some(name) && wanted(row))?;
            Some(percent((x, value, error)))
        })
        .collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found
}

/// The greatest number of each run.
fn most_by_seed(rows: &[&Row], number: impl Fn(&Row) -> Option<usize>) -> BTreeMap<u64, usize> {
    let mut most = BTreeMap::new();
    for row in rows {
        if let Some(number) = number(row) {
            let entry = most.entry(row.seed).or_insert(number);
            *entry = number.max(*entry);
        }
    }
    most
}

fn draw_resets(canvas: &mut Canvas, area: [f64; 4], rows: &[&Row]) {
    let [x, y, ..] = area;
    letter(
        canvas,
        (x - 30.0, y - 9.0),
        "f",
        "Forgotten after one layer is put back",
    );
    let (names, places) = along(rows);
    // Each run has a best epoch of its own.
    let latest = most_by_seed(rows, |row| Some(row.epoch));
    let is_latest = |row: &Row| latest.get(&row.seed) == Some(&row.epoch);
    let earlier: BTreeSet<usize> = rows
        .iter()
        .filter(|row| !is_latest(row))
        .map(|row| row.epoch)
        .collect();
    let mut lines = Vec::new();
    for group in HELD_GROUPS {
        for epoch in &earlier {
            let points = over_layers(rows, &places, |r| {
                r.epoch == *epoch && !is_latest(r) && r.group == group
            });
            lines.push((group_colour(group), false, points));
        }
        let points = over_layers(rows, &places, |r| is_latest(r) && r.group == group);
        lines.push((group_colour(group), true, points));
    }
    let all: Vec<Vec<Band>> = lines.iter().map(|(.., points)| points.clone()).collect();
    let ends = (-0.4, names.len().max(2) as f64 - 0.6);
    let panel = percentages(canvas, area, ends, &all, "Forgotten (%)");
    for (colour, full, points) in &lines {
        if *full {
            panel.band(canvas, points, *colour);
            panel.line(canvas, points, *colour, true);
        } else {
            panel.dashed(canvas, points, *colour);
        }
    }
    panel.frame(canvas);
    panel.x_names(canvas, &names, true);
    for (place, group) in HELD_GROUPS.into_iter().enumerate() {
        let style = TextStyle::new(TEXT - 1.0, group_colour(group), Anchor::End);
        let at = (x + area[2] - 4.0, y + 9.0 + 8.0 * place as f64);
        canvas.text(at, group.name(), style.weight(Weight::Bold));
    }
}

fn draw_places(canvas: &mut Canvas, area: [f64; 4], rows: &[&Row]) {
    letter(
        canvas,
        (area[0] - 30.0, area[1] - 9.0),
        "g",
        "Channels that undo it",
    );
    let (names, places) = along(rows);
    if names.is_empty() {
        return;
    }
    let share = over_layers(rows, &places, |r| r.measure == Measure::ShareOfChannels);
    let lines = HELD_GROUPS.map(|group| {
        over_layers(rows, &places, |r| {
            r.measure == Measure::ShareOfZeroed && r.group == group
        })
    });
    let all = [&[share.clone()][..], &lines[..]].concat();
    let ends = (-0.4, names.len().max(2) as f64 - 0.6);
    let panel = percentages(canvas, area, ends, &all, "In the layer (%)");
    panel.dashed(canvas, &share, GREY);
    for (group, points) in HELD_GROUPS.into_iter().zip(&lines) {
        panel.band(canvas, points, group_colour(group));
        panel.line(canvas, points, group_colour(group), true);
    }
    panel.frame(canvas);
    panel.x_names(canvas, &names, true);
}

fn draw_counts(canvas: &mut Canvas, area: [f64; 4], rows: &[&Row]) {
    let [x, y, width, height] = area;
    let count = |row: &Row| match row.condition {
        Some(Condition::Zeroed(count)) => Some(count),
        _ => None,
    };
    let counts: BTreeSet<usize> = rows.iter().filter_map(|row| count(row)).collect();
    let Some(&last) = counts.last() else {
        return;
    };
    // Where the searches of a run have ended its share stays.
    let longest = most_by_seed(rows, count);
    let lines = HELD_GROUPS.map(|group| -> Vec<Band> {
        let at = |&n: &usize| {
            let here = |r: &Row| count(r) == longest.get(&r.seed).map(|&longest| n.min(longest));
            let (value, error) = mean(rows, |r| r.group == group && here(r))?;
            Some(percent((n as f64, value, error)))
        };
        counts.iter().filter_map(at).collect()
    });
    let last = last.max(1) as f64;
    let panel = percentages(canvas, area, (0.0, last), &lines, "Undone (%)");
    for (group, points) in HELD_GROUPS.into_iter().zip(&lines) {
        panel.band(canvas, points, group_colour(group));
        panel.line(canvas, points, group_colour(group), false);
    }
    panel.frame(canvas);
    let ticks = nice_ticks(0.0, last, 4);
    let ticks: Vec<f64> = ticks.into_iter().filter(|tick| *tick <= last).collect();
    panel.x_axis(canvas, &ticks);
    let style = TextStyle::new(TEXT, INK, Anchor::Middle);
    canvas.text(
        (x + width / 2.0, y + height + 22.0),
        "Channels zeroed",
        style,
    );
}

/// Accuracy and geometry over the number of parameters.
fn draw_sweep(canvas: &mut Canvas, panels: &[&str], table: &[Row], sweep: &Sweep<'_>, top: f64) {
    let rows: Vec<&Row> = table
        .iter()
        .filter(|row| matches!(row.condition, Some(Condition::WidthSweep(_))))
        .filter(|row| row.layer.as_deref().is_none_or(|name| name == sweep.layer))
        .collect();
    let places = places(&rows);
    let (Some(first), Some(last)) = (places.first(), places.last()) else {
        return;
    };
    // A published network that is larger than all of ours is left out.
    let margin = 0.05 * (last.1 - first.1).max(0.3);
    let limits = (first.1 - margin, last.1 + margin);
    let threshold = places.iter().find(|(width, _)| {
        let of_training = |row: &Row| row.width == *width && row.measure == Measure::TrainingError;
        mean(&rows, of_training).is_some_and(|(error, _)| error < INTERPOLATING)
    });
    let threshold = threshold.map(|(_, at)| *at);
    let plots: Vec<_> = SWEEP_PLOTS
        .into_iter()
        .filter(|(name, ..)| panels.contains(name))
        .collect();
    let (left, count) = (SIDES.0, plots.len() as f64);
    let width = (page_width(panels) - left - DESCENT_RIGHT - GAPS.1 * (count - 1.0)) / count;
    let mut lettered = None;
    let mut headed = false;
    for (index, (name, measure, label, symbol)) in plots.into_iter().enumerate() {
        let x = left + (width + GAPS.1) * index as f64;
        let same = match sweep.published {
            Published::Same(points) => points,
            _ => &[],
        };
        let curves: Vec<SweepCurve> = EPOCHS
            .iter()
            .map(|&(epoch, colour, ..)| {
                SweepCurve::new((epoch, colour), measure, &rows, &places, same)
            })
            .collect();
        let name_of_axis = (label, symbol);
        if !plot_sweep(
            canvas,
            [x, top, width, DESCENT],
            limits,
            &curves,
            name_of_axis,
            threshold,
        ) {
            continue;
        }
        if lettered.replace(name) != Some(name) {
            letter(canvas, (x - 30.0, top - 9.0), name, "");
        }
        if index == 0 {
            for (_, colour, text, along) in EPOCHS {
                let style = TextStyle::new(TEXT, colour, Anchor::Start).weight(Weight::Bold);
                canvas.text((x + along, top - 9.0), text, style);
            }
        }
        let Published::Other(points) = sweep.published else {
            continue;
        };
        let curves: Vec<SweepCurve> = EPOCHS
            .iter()
            .map(|&(epoch, colour, ..)| SweepCurve::new((epoch, colour), measure, &[], &[], points))
            .collect();
        let along = curves.iter().flat_map(|curve| &curve.published);
        let (low, high) = along.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
            (low.min(point.0), high.max(point.0))
        });
        let margin = 0.05 * (high - low);
        let limits = (low - margin, high + margin);
        let y = top + DESCENT + BELOW_DESCENT + HEAD_OF_PUBLISHED;
        let area = [x, y, width, PUBLISHED];
        if plot_sweep(canvas, area, limits, &curves, name_of_axis, None) && !headed {
            headed = true;
            let style = TextStyle::new(TEXT, INK, Anchor::Start);
            canvas.text((x - 16.0, y - 5.0), "published", style);
        }
    }
}

/// One plot of the sweep; false where it has nothing to show.
fn plot_sweep(
    canvas: &mut Canvas,
    area: [f64; 4],
    limits: (f64, f64),
    curves: &[SweepCurve],
    (label, symbol): (&str, (&str, &str)),
    threshold: Option<f64>,
) -> bool {
    let [x, y, width, height] = area;
    let values: Vec<f64> = curves.iter().flat_map(SweepCurve::values).collect();
    if values.is_empty() {
        return false;
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let ticks = nice_ticks(low, high, 4);
    let panel = Panel::new(area, limits, (ticks[0], ticks[ticks.len() - 1]));
    panel.y_axis(canvas, &ticks, true);
    if let Some(at) = threshold {
        panel.vertical(canvas, at, Colour(0xAA, 0xAA, 0xAA));
    }
    for curve in curves {
        panel.band(canvas, &curve.means, curve.colour);
        panel.line(canvas, &curve.means, curve.colour, false);
        for &(x, y) in &curve.runs {
            canvas.disc(panel.at(x, y), 0.8, curve.colour);
        }
        let inside = |x: f64| (limits.0..=limits.1).contains(&x);
        for &(x, y) in curve.published.iter().filter(|(x, _)| inside(*x)) {
            canvas.ring(panel.at(x, y), 1.6, curve.colour);
        }
    }
    panel.frame(canvas);
    panel.x_marks(canvas, &marks(limits));
    let style = TextStyle::new(TEXT, INK, Anchor::Middle).rotated(90.0);
    let place = (x - 26.0, y + height / 2.0);
    if symbol.0.is_empty() {
        canvas.text(place, label, style);
    } else {
        canvas.text_with_symbol(place, label, symbol, style);
    }
    let style = TextStyle::new(TEXT, INK, Anchor::Middle);
    canvas.text((x + width / 2.0, y + height + 22.0), "Parameters", style);
    true
}

/// The widths of the sweep, and where they stand on its axis: the common logarithm of the number of parameters.
fn places(rows: &[&Row]) -> Vec<(usize, f64)> {
    let parameters = Measure::from(GradientMeasure::Parameters);
    let widths: BTreeSet<usize> = rows.iter().map(|row| row.width).collect();
    let place = |width| {
        let counted = |row: &Row| row.width == width && row.measure == parameters;
        Some((width, mean(rows, counted)?.0.log10()))
    };
    widths.into_iter().filter_map(place).collect()
}

/// One measure over parameters at one of the two epochs.
struct SweepCurve {
    colour: Colour,
    means: Vec<Band>,
    runs: Vec<(f64, f64)>,
    published: Vec<(f64, f64)>,
}

impl SweepCurve {
    fn new(
        (epoch, colour): (Epoch, Colour),
        measure: Measure,
        rows: &[&Row],
        places: &[(usize, f64)],
        published: &[WidthPoint],
    ) -> Self {
        let scale = if measure == Measure::Accuracy {
            100.0
        } else {
            1.0
        };
        let of_curve = |row: &&Row| {
            row.condition == Some(Condition::WidthSweep(epoch))
                && row.measure == measure
                && row.group == ExampleGroup::Test
        };
        let rows: Vec<&Row> = rows.iter().copied().filter(of_curve).collect();
        let (mut means, mut runs) = (Vec::new(), Vec::new());
        for &(width, x) in places {
            let of_width = |row: &Row| row.width == width;
            means.extend(mean(&rows, of_width).map(|(y, e)| (x, scale * y, scale * e)));
            let single = rows.iter().filter(|row| of_width(row));
            runs.extend(single.map(|row| (x, scale * row.value)));
        }
        let name = in_figure(measure);
        let of_figure = published
            .iter()
            .filter(|point| point.epoch == epoch && Some(point.measure) == name);
        Self {
            colour,
            means,
            runs,
            published: of_figure
                .map(|point| ((point.parameters as f64).log10(), point.value))
                .collect(),
        }
    }

    /// All that the scale must hold: single runs, bands and published values.
    fn values(&self) -> Vec<f64> {
        let bands = self.means.iter().flat_map(|&(_, y, e)| [y - e, y + e]);
        let single = self.runs.iter().chain(&self.published).map(|&(_, y)| y);
        bands.chain(single).collect()
    }
}

/// A measure's name in the paper's figure, where it is there.
fn in_figure(measure: Measure) -> Option<published::Measure> {
    match measure {
        Measure::Accuracy => Some(published::Measure::TestAccuracy),
        Measure::RADIUS => Some(published::Measure::Radius),
        Measure::DIMENSION => Some(published::Measure::Dimension),
        _ => None,
    }
}

/// Powers of ten between limits that are logarithms, and where there is but one, its threefold and a third of it.
fn marks((low, high): (f64, f64)) -> Vec<(f64, String)> {
    let text = |power: i32, factor: u32| match power {
        6.. => format!("{}M", factor * 10u32.pow((power - 6).min(3) as u32)),
        3..=5 => format!("{}k", factor * 10u32.pow((power - 3) as u32)),
        _ => (factor * 10u32.pow(power.max(0) as u32)).to_string(),
    };
    let of = |factors: &[u32]| -> Vec<(f64, String)> {
        (0..10)
            .flat_map(|power| factors.iter().map(move |&factor| (power, factor)))
            .map(|(power, factor)| {
                (
                    f64::from(power) + f64::from(factor).log10(),
                    text(power, factor),
                )
            })
            .filter(|(at, _)| (low..=high).contains(at))
            .collect()
    };
    match of(&[1]) {
        marks if marks.len() > 1 => marks,
        _ => of(&[1, 3]),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::{ExampleUndone, Forgotten};
    use mftma_draw::clipped_texts;
    use mftma_sensitivity::{Channel, Undoing};

    fn row(seed: u64, width: usize, epoch: usize) -> Row {
        Row {
            profile: "test".into(),
            dataset: "cifar100".into(),
            architecture: "vgg16".into(),
            width,
            seed,
            layer_index: None,
            layer: None,
            epoch,
            step: None,
            condition: None,
            group: ExampleGroup::Test.into(),
            measure: Measure::Accuracy,
            value: 0.5,
            standard_error: Some(0.02),
            standard_error_vectors: None,
            count: 100,
        }
    }

    /// A table as large as they come: every layer of a VGG-16 with a long name, all epochs of the paper's profile.
    fn table() -> Vec<Row> {
        let mut rows = Vec::new();
        let test = Group::Examples(ExampleGroup::Test);
        for seed in 1..3 {
            for group in REWOUND_GROUPS {
                rows.push(Row {
                    condition: Some(Condition::Rewound(RewoundLayers::None)),
                    group: group.into(),
                    ..row(seed, 64, 1000)
                });
                for epoch in [0, 1, 2, 5, 10, 20, 40, 60, 80, 100, 150, 200, 300, 500] {
                    for layer in 1..17 {
                        let name = format!("conv{layer}_1b");
                        rows.push(Row {
                            layer_index: Some(layer),
                            condition: Some(Condition::Rewound(RewoundLayers::One(name.clone()))),
                            layer: Some(name),
                            group: group.into(),
                            ..row(seed, 64, epoch)
                        });
                        rows.push(Row {
                            condition: Some(Condition::Rewound(RewoundLayers::Last(layer))),
                            group: group.into(),
                            value: 1.0,
                            ..row(seed, 64, epoch)
                        });
                    }
                }
            }
            for (place, layer) in ["conv1_1", "conv5_3b"].into_iter().enumerate() {
                for (group, epoch) in HELD_GROUPS.into_iter().flat_map(|g| [(g, 0), (g, 40)]) {
                    rows.push(Row {
                        layer_index: Some(place + 1),
                        layer: Some(layer.into()),
                        condition: Some(Condition::Reset(layer.into())),
                        group: group.into(),
                        measure: Measure::Forgotten,
                        value: 1.0,
                        ..row(seed, 64, epoch)
                    });
                }
            }
            rows.extend(channel_rows(&row(seed, 64, 1000), &undone()));
            for (index, width) in [1, 2, 3, 4, 6, 8, 16, 32, 64].into_iter().enumerate() {
                let sweep = row(seed, width, 100);
                let parameters = GradientMeasure::Parameters.into();
                for (measure, group, value) in [
                    (Measure::Accuracy, test, [0.9, 0.5, 0.7][index % 3]),
                    (Measure::TrainingError, Group::Training, 0.2 / width as f64),
                    (parameters, Group::Training, 3000.0 * (width * width) as f64),
                    (Measure::CAPACITY, test, 0.123),
                    (Measure::RADIUS, test, 1000.5 + seed as f64),
                    (Measure::DIMENSION, test, 12345.0),
                    (Measure::CENTRE_CORRELATION, test, 0.01),
                ] {
                    let of_layer = group == test && measure != Measure::Accuracy;
                    for epoch in [Epoch::Best, Epoch::Last] {
                        rows.push(Row {
                            condition: Some(Condition::WidthSweep(epoch)),
                            layer: of_layer.then(|| "fc2".into()),
                            layer_index: of_layer.then_some(2),
                            measure,
                            group,
                            value,
                            ..sweep.clone()
                        });
                    }
                }
            }
        }
        rows
    }

    /// Two permuted examples, the first of which three channels undo, the second none; one unpermuted example that one undoes.
    fn undone() -> ChannelsUndone {
        let channel = |layer| Channel { layer, channel: 0 };
        let example = |group, layers: &[usize], undone| ExampleUndone {
            group,
            example: 0,
            undoing: Undoing {
                zeroed: layers.iter().map(|layer| channel(*layer)).collect(),
                undone,
                kept: None,
            },
            held: Some(0.5),
        };
        let [unpermuted, permuted] = HELD_GROUPS;
        ChannelsUndone {
            layers: vec![(1, "conv1_1".into(), 10), (2, "conv5_3b".into(), 30)],
            examples: vec![
                example(unpermuted, &[2], true),
                example(permuted, &[1, 2, 2], true),
                example(permuted, &[1, 2], false),
            ],
        }
    }

    #[test]
    fn channels_by_hand() {
        let rows = channel_rows(&row(1, 64, 9), &undone());
        let [unpermuted, permuted] = HELD_GROUPS.map(Group::from);
        let value = |group: Group, measure, condition: Option<Condition>, layer: Option<&str>| {
            let mut found = rows.iter().filter(|row| {
                row.group == group
                    && row.measure == measure
                    && row.condition == condition
                    && row.layer.as_deref() == layer
            });
            found.next().map(|row| row.value)
        };
        let undone =
            |group, count| value(group, Measure::Undone, Some(Condition::Zeroed(count)), None);
        assert_eq!(
            (undone(permuted, 2), undone(permuted, 3)),
            (Some(0.0), Some(0.5))
        );
        assert_eq!(
            (undone(unpermuted, 0), undone(unpermuted, 1)),
            (Some(0.0), Some(1.0))
        );
        assert_eq!(
            value(permuted, Measure::ChannelsZeroed, None, None),
            Some(2.5)
        );
        let share = |group, layer| value(group, Measure::ShareOfZeroed, None, Some(layer)).unwrap();
        // Of the first a third, of the second a half.
        assert!((share(permuted, "conv1_1") - 5.0 / 12.0).abs() < 1e-12);
        assert_eq!(share(unpermuted, "conv5_3b"), 1.0);
        let depth = |group| value(group, Measure::DepthOfChannels, None, None).unwrap();
        // Of the first two thirds, of the second a half; 30 of all 40 channels are in the last layer.
        assert!((depth(permuted) - 7.0 / 12.0).abs() < 1e-12);
        assert_eq!((depth(unpermuted), depth(Group::Training)), (1.0, 0.75));
        let all = value(
            Group::Training,
            Measure::ShareOfChannels,
            None,
            Some("conv1_1"),
        );
        assert_eq!(all, Some(0.25));
    }

    #[test]
    fn resets_by_hand() {
        let forgotten = [(10, 1), (0, 0)].map(|(known, forgotten)| Forgotten { known, forgotten });
        let resets = Resets {
            layers: vec![(1, "conv1_1".into(), forgotten)],
        };
        // A group of which nothing was known has no row.
        let rows = reset_rows(&row(1, 64, 9), 4, &resets);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].value, rows[0].count, rows[0].epoch), (0.1, 10, 4));
        assert!((rows[0].standard_error.unwrap() - 0.009f64.sqrt()).abs() < 1e-12);
    }

    /// One line of either group for the best epochs, whichever each run has, one broken for epoch 0.
    #[test]
    fn runs_with_other_best_epochs_share_their_lines() {
        let rows = |best: [usize; 2]| -> Vec<Row> {
            let each = best.into_iter().zip(1..).flat_map(|(best, seed)| {
                let groups = HELD_GROUPS.into_iter();
                groups.flat_map(move |group| [(group, seed, 0, 0.9), (group, seed, best, 0.4)])
            });
            let each = each.flat_map(|(group, seed, epoch, value)| {
                let layers = ["conv1_1", "conv1_2"].into_iter().enumerate();
                layers.map(move |(place, layer)| Row {
                    layer_index: Some(place + 1),
                    layer: Some(layer.into()),
                    condition: Some(Condition::Reset(layer.into())),
                    group: group.into(),
                    measure: Measure::Forgotten,
                    value,
                    ..row(seed, 64, epoch)
                })
            });
            each.collect()
        };
        let svg = |best| draw("A title", &["f"], &rows(best), &with(&[]), "");
        assert_eq!(svg([40, 41]), svg([40, 40]));
        assert_eq!(svg([40, 41]).matches("stroke-dasharray").count(), 2);
    }

    #[test]
    fn nothing_is_clipped() {
        let svg = draw(
            "A title",
            &PANELS,
            &table(),
            &with(&figure4().unwrap()),
            &"A long note. ".repeat(40),
        );
        assert_eq!(clipped_texts(&svg), Vec::<String>::new());
        let figure = figure4().unwrap();
        for panels in [&PANELS[..], &["d"], &["e"]] {
            let other = Sweep {
                published: Published::Other(&figure),
                ..with(&[])
            };
            let svg = draw("A title", panels, &table(), &other, "A note.");
            assert_eq!(clipped_texts(&svg), Vec::<String>::new());
            assert!(svg.contains("published"));
        }
    }

    fn with(published: &[WidthPoint]) -> Sweep<'_> {
        Sweep {
            layer: "fc2",
            published: Published::Same(published),
        }
    }

    #[test]
    fn published_values_are_rings_within_the_axis() {
        let rings = |published: &[WidthPoint]| {
            let svg = draw("A title", &["c"], &table(), &with(published), "");
            svg.matches("<circle").count()
        };
        let figure = figure4().unwrap();
        let of_panel = figure.iter().filter(|point| {
            // The table's networks have 3,000 to 12.3 million parameters: all of the figure's lie between.
            point.measure == published::Measure::TestAccuracy
        });
        let count = of_panel.count();
        assert_eq!(rings(&figure) - rings(&[]), count);
        // The same points in a plot of their own.
        let other = Sweep {
            published: Published::Other(&figure),
            ..with(&[])
        };
        let svg = draw("A title", &["c"], &table(), &other, "");
        assert_eq!(svg.matches("<circle").count() - rings(&[]), count);
    }

    #[test]
    fn a_panel_is_drawn_alone() {
        let has = |panels: &[&str], text: &str| {
            draw("A title", panels, &table(), &with(&[]), "").contains(&format!(">{text}<"))
        };
        assert!(has(&["b"], "k, layers put back") && !has(&["b"], "Layer put back"));
        assert!(has(&["c"], "Test accuracy (%)") && !has(&["d"], "Test accuracy (%)"));
        assert!(has(&["d"], "d") && !has(&["d"], "a"));
    }

    #[test]
    fn a_panel_alone_is_cropped_to_itself() {
        assert_eq!(page_width(&PANELS), WIDTH);
        for panel in PANELS {
            assert!(page_width(&[panel]) < 0.6 * WIDTH, "{panel}");
            let note = "A long note. ".repeat(20);
            let svg = draw("A title", &[panel], &table(), &with(&[]), &note);
            assert_eq!(clipped_texts(&svg), Vec::<String>::new(), "{panel}");
        }
    }

    #[test]
    fn an_empty_table_draws_no_numbers_that_are_none() {
        for panels in [&PANELS[..], &["a"], &["e"]] {
            let svg = draw("A title", panels, &[], &with(&[]), "");
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
        }
    }

    #[test]
    fn means_are_over_the_rows_asked_for() {
        let rows = [
            Row {
                value: 1.0,
                ..row(1, 2, 0)
            },
            Row {
                value: 3.0,
                ..row(2, 2, 0)
            },
            Row {
                value: 100.0,
                ..row(1, 4, 0)
            },
        ];
        let rows: Vec<&Row> = rows.iter().collect();
        let (value, error) = mean(&rows, |row| row.width == 2).unwrap();
        assert_eq!((value, error), (2.0, 1.0));
        assert_eq!(mean(&rows, |row| row.width == 3), None);
    }

    #[test]
    fn marks_are_powers_of_ten_within_the_limits() {
        let labels = |low: f64, high: f64| -> Vec<String> {
            let limits = (low.log10(), high.log10());
            marks(limits).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(4e4, 1.2e7), ["100k", "1M", "10M"]);
        assert_eq!(labels(90.0, 1100.0), ["100", "1k"]);
        assert_eq!(labels(2000.0, 50_000.0), ["3k", "10k", "30k"]);
    }
}
