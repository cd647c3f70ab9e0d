//! Figure S10: what the exact theory of deep linear networks says of the same images and labels, beside a linear network and the network of
//! the study.
//!
//! a: singular values of the input–output correlation of either half of the training examples, with the band of random labels.
//! b: how much of the four groups' labels is learned over time, by theory and in a trained linear network.
//! c: accuracy over epochs in the network of the study.
//! d: time until a group is half learned, in units of that of unpermuted examples.

use std::rc::Rc;

use anyhow::{Result, ensure};
use mftma_data::ExampleGroup;

use super::{Figure, Study, group_colour, means_over_runs};
use crate::cache::Stage;
use crate::stages::{
    HALVES, LearnedLabels, LearningCurve, LinearLearning, LinearStage, TrainStage, TrainingRecord,
};
use crate::table::{Condition, Learner, Measure, Row};
use mftma_draw::{
    Anchor, Band, Canvas, Colour, INK, Panel, TextStyle, Weight, footnote, log_ticks, nice_ticks,
};

const PANELS: [&str; 4] = ["a", "b", "c", "d"];
/// Width of a panel's column and height of its row, points: two of each at most.
const CELL: (f64, f64) = (255.0, 168.0);
/// Left, top, right and bottom margin in a cell.
const MARGINS: [f64; 4] = [40.0, 26.0, 14.0, 34.0];
/// Below the panels: the names of the groups, and the note.
const FOOT: f64 = 44.0;
/// Text size in points.
const TEXT: f64 = 7.0;
/// Share of the highest value at which a group counts as learned \[D\].
const LEARNED: f64 = 0.5;
/// Between whom learning times are compared.
const LEARNERS: [Learner; 3] = Learner::ALL;

/// Linear theory, linear network, network.
pub struct FigureS10;

impl Figure for FigureS10 {
    fn name(&self) -> &'static str {
        "s10"
    }

    fn title(&self) -> &'static str {
        "The same images and labels by the exact theory of deep linear networks"
    }

    fn caption(&self, study: &Study<'_>) -> String {
        let linear = &study.profile.supplement.linear;
        format!(
            "{}. A network of {} linear layers learns the modes of the input–output correlation one by one, strong ones first (Saxe, McClelland \
             & Ganguli 2013, arXiv 1312.6120; Lampinen & Ganguli 2018, arXiv 1809.10374). At most {} training images, made white in their {} \
             leading principal axes; one-hot targets less their means; squared error, all examples in every step. a: singular values of either \
             half of the training examples, each white in itself. Grey: between which values those of random labels lie (Wachter 1980), here \
             the prediction for the permuted half; what unpermuted labels have above it is shared by many images. b: how much of the four \
             groups' labels (those of figure 2) the scores hold, ⟨ŷ · y⟩/⟨‖y‖²⟩, by theory (lines) and in a linear network from small random weights \
             (dots); time in units of that in which the strongest mode is half learned. c: accuracy in the network of the study. d: time until a group \
             is half learned: half of its highest value in b, halfway from chance to its highest accuracy in c, as a multiple of that of unpermuted \
             examples; between two looks on a straight line; no mark where a group never came to twice the chance level. Order and relative times can be compared with the linear theory, \
             heights cannot: a linear network can't fit all labels. Bars and bands: one standard error over runs; with one run of b and c over examples.",
            self.title(),
            linear.depth,
            linear.examples,
            linear.components,
        )
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn check(&self, study: &Study<'_>) -> Result<()> {
        let linear = &study.profile.supplement.linear;
        let data = study.runs[0].data.dataset();
        let examples = linear.examples.min(data.train().len());
        let least = linear.components + data.classes();
        ensure!(
            linear.components >= 1 && examples / 3 > least,
            "supplement.linear.components of the profile is {}: {} classes then need more than {} training images, and there are {examples}; \
             give fewer components, or more supplement.linear.examples",
            linear.components,
            data.classes(),
            3 * least,
        );
        ensure!(
            linear.depth >= 2,
            "supplement.linear.depth of the profile is {}; give 2 or more: with one layer all modes are learned in the same time",
            linear.depth
        );
        for (name, value, most) in [
            ("initial", linear.initial, 0.4),
            ("rate", linear.rate, 0.5),
            ("horizon", linear.horizon, 1e4),
        ] {
            let least = if name == "horizon" { 1.0 } else { 1e-6 };
            ensure!(
                (least..=most).contains(&value),
                "supplement.linear.{name} of the profile is {value}; give a value from {least} to {most}"
            );
        }
        Ok(())
    }

    fn stages(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        for run in &study.runs {
            if panels.iter().any(|panel| ["c", "d"].contains(panel)) {
                stages.push(Box::new(TrainStage::new(Rc::clone(run))));
            }
            if panels.iter().any(|panel| *panel != "c") {
                stages.push(Box::new(LinearStage::new(Rc::clone(run))));
            }
        }
        Ok(stages)
    }

    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>> {
        let mut table = Vec::new();
        for run in &study.runs {
            let like = study.row(run);
            let mut courses: Vec<Course> = Vec::new();
            if panels.iter().any(|panel| *panel != "c") {
                let found: LinearLearning =
                    study.cache.output(&LinearStage::new(Rc::clone(run)))?;
                if panels.contains(&"a") {
                    table.extend(spectra(&found, &like));
                }
                if panels.contains(&"b") {
                    table.extend(
                        found
                            .curves
                            .iter()
                            .flat_map(|curve| over_time(curve, &like)),
                    );
                }
                courses.extend(of_curves(&found.curves));
            }
            if panels.iter().any(|panel| ["c", "d"].contains(panel)) {
                let record: TrainingRecord =
                    study.cache.output(&TrainStage::new(Rc::clone(run)))?;
                if panels.contains(&"c") {
                    table.extend(over_epochs(&record, &like));
                }
                courses.extend(of_network(&record, run.data.dataset().classes()));
            }
            if panels.contains(&"d") {
                table.extend(learning_times(&courses, &like));
            }
        }
        Ok(table)
    }

    fn draw(&self, study: &Study<'_>, panels: &[&str], table: &[Row]) -> Result<String> {
        let linear = &study.profile.supplement.linear;
        let note = format!(
            "{}. Linear theory and network: {} training images at most, white in {} principal axes, {} layers. Grey: singular values of random labels.",
            study.setting(),
            linear.examples,
            linear.components,
            linear.depth,
        );
        Ok(draw(self.title(), panels, table, &note))
    }
}

/// Singular values of the halves and the edges of random ones.
fn spectra(found: &LinearLearning, like: &Row) -> Vec<Row> {
    let mut rows = Vec::new();
    for spectrum in &found.spectra {
        let row = Row {
            group: spectrum.group.into(),
            count: spectrum.examples,
            ..like.clone()
        };
        for (rank, &value) in spectrum.values.iter().enumerate() {
            rows.push(Row {
                condition: Some(Condition::Mode(rank)),
                measure: Measure::SingularValue,
                value,
                ..row.clone()
            });
        }
        let (lower, upper) = spectrum.random;
        for (measure, value) in [
            (Measure::RandomLowerEdge, lower),
            (Measure::RandomUpperEdge, upper),
        ] {
            rows.push(Row {
                measure,
                value,
                ..row.clone()
            });
        }
    }
    rows
}

/// What is learned at each time.
fn over_time(curve: &LearningCurve, like: &Row) -> Vec<Row> {
    let row = |point: &LearnedLabels| Row {
        condition: Some(Condition::Learning {
            learner: curve.learner,
            time: Some(point.time),
        }),
        group: curve.group.into(),
        measure: Measure::LearnedShare,
        value: point.share,
        standard_error: Some(point.error),
        count: curve.examples,
        ..like.clone()
    };
    curve.points.iter().map(row).collect()
}

/// Accuracy of the network of the study after each epoch.
fn over_epochs(record: &TrainingRecord, like: &Row) -> Vec<Row> {
    let mut rows = Vec::new();
    for metrics in &record.history {
        rows.extend(metrics.groups.iter().map(|(&group, score)| Row {
            epoch: metrics.epoch,
            condition: Some(Condition::Learning {
                learner: Learner::Network,
                time: None,
            }),
            group: group.into(),
            value: score.accuracy(),
            standard_error: Some(score.standard_error()),
            count: score.examples,
            ..like.clone()
        }));
    }
    rows
}

/// One group's course: time and value.
struct Course {
    learner: Learner,
    group: ExampleGroup,
    examples: usize,
    points: Vec<(f64, f64)>,
}

/// The courses of theory and linear network.
fn of_curves(curves: &[LearningCurve]) -> Vec<Course> {
    let course = |curve: &LearningCurve| Course {
        learner: curve.learner,
        group: curve.group,
        examples: curve.examples,
        points: curve.points.iter().map(|p| (p.time, p.share)).collect(),
    };
    curves.iter().map(course).collect()
}

/// Accuracy above chance in the network of the study; none of a group that never comes to twice the chance level.
fn of_network(record: &TrainingRecord, classes: usize) -> Vec<Course> {
    let chance = 1.0 / classes as f64;
    let of_group = |group| {
        let scores = record.history.iter();
        let scores = scores.filter_map(|m| Some((m.epoch as f64, m.groups.get(&group)?)));
        let scores: Vec<_> = scores.collect();
        let points = scores
            .iter()
            .map(|(epoch, score)| (*epoch, score.accuracy() - chance));
        let points: Vec<_> = points.collect();
        let known = points.iter().any(|point| point.1 >= chance);
        known.then(|| Course {
            learner: Learner::Network,
            group,
            examples: scores.last().map_or(0, |(_, score)| score.examples),
            points,
        })
    };
    ExampleGroup::ALL.into_iter().filter_map(of_group).collect()
}

/// When a course first has the share [`LEARNED`] of its highest value, between its points on a straight line.
fn time_to_learn(points: &[(f64, f64)]) -> Option<f64> {
    let highest = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let wanted = LEARNED * highest;
    let first = points
        .iter()
        .position(|point| highest > 0.0 && point.1 >= wanted)?;
    let (time, value) = points[first];
    let Some(&(before, low)) = first.checked_sub(1).and_then(|index| points.get(index)) else {
        return Some(time);
    };
    Some(before + (time - before) * (wanted - low) / (value - low))
}

/// Learning times of all groups in units of that of unpermuted examples; none where these are learned at once.
fn learning_times(courses: &[Course], like: &Row) -> Vec<Row> {
    let mut rows = Vec::new();
    for learner in LEARNERS {
        let of = |group| {
            courses
                .iter()
                .find(|c| c.learner == learner && c.group == group)
        };
        let time =
            |group| of(group).and_then(|course| Some((course, time_to_learn(&course.points)?)));
        let Some((_, unit)) = time(ExampleGroup::Unpermuted).filter(|&(_, unit)| unit > 0.0) else {
            continue;
        };
        for (course, time) in ExampleGroup::ALL.into_iter().filter_map(time) {
            rows.push(Row {
                condition: Some(Condition::Learning {
                    learner,
                    time: None,
                }),
                group: course.group.into(),
                measure: Measure::LearningTime,
                value: time / unit,
                count: course.examples,
                ..like.clone()
            });
        }
    }
    rows
}

fn draw(title: &str, panels: &[&str], table: &[Row], note: &str) -> String {
    let columns = panels.len().min(2);
    let width = CELL.0 * columns as f64;
    let height = CELL.1 * panels.len().div_ceil(2) as f64 + FOOT;
    let mut canvas = Canvas::new(width, height, title);
    let [left, top, right, bottom] = MARGINS;
    for (index, panel) in panels.iter().enumerate() {
        let corner = (CELL.0 * (index % 2) as f64, CELL.1 * (index / 2) as f64);
        let area = [
            corner.0 + left,
            corner.1 + top,
            CELL.0 - left - right,
            CELL.1 - top - bottom,
        ];
        let style = TextStyle::new(TEXT + 1.5, INK, Anchor::Start).weight(Weight::Bold);
        canvas.text((corner.0 + 6.0, corner.1 + 14.0), panel, style);
        match *panel {
            "a" => draw_spectra(&mut canvas, area, table),
            "b" => draw_learning(&mut canvas, area, table, false),
            "c" => draw_learning(&mut canvas, area, table, true),
            _ => draw_times(&mut canvas, area, table),
        }
    }
    // The groups, once for all panels.
    let mut x = left;
    let y = height - FOOT + 8.0;
    for group in ExampleGroup::ALL {
        canvas.disc((x, y - 0.35 * TEXT), 2.2, group_colour(group));
        let style = TextStyle::new(TEXT, group_colour(group), Anchor::Start).weight(Weight::Bold);
        canvas.text((x + 5.0, y), group.name(), style);
        x += 54.0;
    }
    footnote(&mut canvas, note, (width, height));
    canvas.finish()
}

/// What an axis says, below and to the left of a panel, and a heading above it.
fn words(canvas: &mut Canvas, area: [f64; 4], heading: &str, across: &str, up: &str) {
    let [left, top, width, height] = area;
    let style = TextStyle::new(TEXT, INK, Anchor::Middle);
    canvas.text((left + width / 2.0, top + height + 22.0), across, style);
    canvas.text((left - 30.0, top + height / 2.0), up, style.rotated(90.0));
    let style = TextStyle::new(TEXT, INK, Anchor::Start).weight(Weight::Bold);
    canvas.text((left, top - 6.0), heading, style);
}

fn draw_spectra(canvas: &mut Canvas, area: [f64; 4], table: &[Row]) {
    let of = |measure: Measure, group: ExampleGroup| {
        table
            .iter()
            .filter(move |row| row.measure == measure && row.group == group)
    };
    let rank = |row: &Row| match row.condition {
        Some(Condition::Mode(rank)) => Some(rank as f64 + 1.0),
        _ => None,
    };
    let curves = HALVES.map(|group| means_over_runs(of(Measure::SingularValue, group), rank));
    let edge = |measure| means_over_runs(of(measure, ExampleGroup::Permuted), |_| Some(0.0));
    let edges = [Measure::RandomLowerEdge, Measure::RandomUpperEdge].map(edge);
    let all = || curves.iter().chain(&edges).flatten();
    let highest = all().map(|point| point.1).fold(0.0, f64::max).max(1e-9);
    let modes = all().map(|point| point.0).fold(1.0, f64::max);
    let ticks = nice_ticks(0.0, highest, 5);
    let top = ticks.last().copied().unwrap_or(highest);
    let panel = Panel::new(area, (0.0, modes + 1.0), (0.0, top));
    panel.y_axis(canvas, &ticks, true);
    if let [[(_, low, _)], [(_, high, _)]] = [&edges[0][..], &edges[1][..]] {
        let ends = [(0.0, *low, *high), (modes + 1.0, *low, *high)];
        panel.interval_band(canvas, &ends, Colour(0x44, 0x44, 0x44));
    }
    for (group, curve) in HALVES.into_iter().zip(&curves) {
        panel.dots(canvas, curve, group_colour(group));
    }
    panel.frame(canvas);
    let ticks = nice_ticks(0.0, modes, 5).into_iter();
    let ticks: Vec<f64> = ticks.filter(|&tick| tick <= modes + 1.0).collect();
    panel.x_axis(canvas, &ticks);
    words(
        canvas,
        area,
        "modes of the images and labels",
        "Mode",
        "Singular value",
    );
}

/// What is learned by theory and linear network over time, or accuracy of the network of the study over epochs; both in per cent.
fn draw_learning(canvas: &mut Canvas, area: [f64; 4], table: &[Row], of_study: bool) {
    let measure = if of_study {
        Measure::Accuracy
    } else {
        Measure::LearnedShare
    };
    let learning = |row: &Row| match row.condition {
        Some(Condition::Learning { learner, time }) if row.measure == measure => {
            Some((learner, time))
        }
        _ => None,
    };
    let place = |row: &Row| {
        let (_, time) = learning(row)?;
        // Epoch 0 has no logarithm; time does not begin at 0.
        Some(time.unwrap_or(row.epoch as f64 + 1.0).log10())
    };
    let curve = |learner, group: ExampleGroup| {
        let rows = table.iter().filter(move |row| {
            row.group == group && learning(row).is_some_and(|(known, _)| known == learner)
        });
        let rows = means_over_runs(rows, place).into_iter();
        let percent = rows.map(|(x, y, error)| (x, 100.0 * y, 100.0 * error));
        percent.collect::<Vec<Band>>()
    };
    let learners: &[Learner] = if of_study {
        &[Learner::Network]
    } else {
        &[Learner::Theory, Learner::LinearNetwork]
    };
    let curves: Vec<_> = learners
        .iter()
        .flat_map(|&learner| ExampleGroup::ALL.map(|group| (learner, group, curve(learner, group))))
        .collect();
    let all = || curves.iter().flat_map(|(.., points)| points);
    let low = all().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let high = all().map(|point| point.0).fold(f64::NEG_INFINITY, f64::max);
    let highest = all().map(|point| point.1).fold(1.0, f64::max);
    // Test images may be known worse than not at all.
    let lowest = all().map(|point| point.1).fold(0.0, f64::min);
    let ticks = nice_ticks(lowest, highest, 5);
    let limits = match (ticks.first(), ticks.last()) {
        (Some(&first), Some(&last)) => (first, last),
        _ => (0.0, 100.0),
    };
    let marks = log_ticks(low, high);
    let ends = match (marks.first(), marks.last()) {
        (Some(first), Some(last)) => (first.0, last.0),
        _ => (0.0, 1.0),
    };
    let panel = Panel::new(area, ends, limits);
    panel.y_axis(canvas, &ticks, true);
    for (learner, group, points) in &curves {
        match learner {
            Learner::LinearNetwork => panel.dots(canvas, points, group_colour(*group)),
            _ => {
                panel.band(canvas, points, group_colour(*group));
                panel.line(canvas, points, group_colour(*group), false);
            }
        }
    }
    panel.frame(canvas);
    panel.x_marks(canvas, &marks);
    let [heading, across, up] = if of_study {
        ["the network of the study", "Epoch + 1", "Accuracy (%)"]
    } else {
        [
            "linear: theory (lines), network (dots)",
            "Time / time of the strongest mode",
            "Labels learned (%)",
        ]
    };
    words(canvas, area, heading, across, up);
}

/// Learning times, a column for each learner.
fn draw_times(canvas: &mut Canvas, area: [f64; 4], table: &[Row]) {
    let times = |learner: Learner, group: ExampleGroup, x: f64| {
        let rows = table.iter().filter(move |row| {
            let wanted = Some(Condition::Learning {
                learner,
                time: None,
            });
            row.measure == Measure::LearningTime && row.group == group && row.condition == wanted
        });
        means_over_runs(rows, move |_| Some(x))
            .into_iter()
            .map(|(x, value, error)| {
                // An error of a logarithm.
                (
                    x,
                    value.max(1e-6).log10(),
                    error / value.max(1e-6) / std::f64::consts::LN_10,
                )
            })
    };
    let mut dots: Vec<(ExampleGroup, Vec<Band>)> = Vec::new();
    for (column, learner) in LEARNERS.into_iter().enumerate() {
        for (place, group) in ExampleGroup::ALL.into_iter().enumerate() {
            let x = column as f64 + 0.16 * (place as f64 - 1.5);
            dots.push((group, times(learner, group, x).collect()));
        }
    }
    let values = || {
        dots.iter()
            .flat_map(|(_, points)| points)
            .map(|point| point.1)
    };
    let low = values().fold(-0.3, f64::min);
    let high = values().fold(0.3, f64::max);
    let marks = log_ticks(low, high);
    let ends = match (marks.first(), marks.last()) {
        (Some(first), Some(last)) => (first.0, last.0),
        _ => (-1.0, 1.0),
    };
    let panel = Panel::new(area, (-0.5, LEARNERS.len() as f64 - 0.5), ends);
    panel.y_marks(canvas, &marks);
    for (group, points) in &dots {
        panel.dots(canvas, points, group_colour(*group));
    }
    panel.frame(canvas);
    let names = LEARNERS.iter().enumerate();
    let names: Vec<(f64, String)> = names
        .map(|(column, learner)| (column as f64, learner.name().to_owned()))
        .collect();
    panel.x_marks(canvas, &names);
    words(
        canvas,
        area,
        "time until half learned",
        "",
        "Time / that of unpermuted",
    );
}

#[cfg(test)]
mod tests {
    use super::super::geometry::tests::table as geometry_table;
    use super::*;
    use crate::stages::Spectrum;
    use mftma_draw::clipped_texts;

    fn course(learner: Learner, group: ExampleGroup, points: &[(f64, f64)]) -> Course {
        Course {
            learner,
            group,
            examples: 100,
            points: points.to_vec(),
        }
    }

    #[test]
    fn learning_times_are_where_half_of_the_highest_value_is() {
        let rise = [(1.0, 0.0), (2.0, 0.2), (3.0, 0.8), (4.0, 0.6)];
        let time = time_to_learn(&rise).unwrap();
        assert!((time - (2.0 + 1.0 / 3.0)).abs() < 1e-12, "{time}");
        assert_eq!(time_to_learn(&[(1.0, 0.5), (2.0, 0.8)]), Some(1.0));
        // Nothing, or less than nothing, was learned.
        assert_eq!(time_to_learn(&[(1.0, 0.0), (2.0, -0.1)]), None);
        assert_eq!(time_to_learn(&[]), None);
        let like = geometry_table().remove(0);
        let courses = [
            course(
                Learner::Theory,
                ExampleGroup::Unpermuted,
                &[(1.0, 0.0), (3.0, 1.0)],
            ),
            course(
                Learner::Theory,
                ExampleGroup::Permuted,
                &[(5.0, 0.0), (9.0, 1.0)],
            ),
            // Learned at once: nothing to compare with.
            course(Learner::Network, ExampleGroup::Unpermuted, &[(0.0, 1.0)]),
            course(
                Learner::Network,
                ExampleGroup::Permuted,
                &[(0.0, 0.0), (9.0, 1.0)],
            ),
        ];
        let times = learning_times(&courses, &like);
        let values: Vec<f64> = times.iter().map(|row| row.value).collect();
        assert_eq!(values, [1.0, 3.5]);
    }

    /// Two runs.
    fn table() -> Vec<Row> {
        let mut rows = Vec::new();
        for seed in [1, 2] {
            let like = Row {
                seed,
                layer: None,
                layer_index: None,
                measure: Measure::Accuracy,
                ..geometry_table().remove(0)
            };
            let spectra_of = HALVES.map(|group| Spectrum {
                group,
                examples: 2000,
                values: vec![0.09, 0.05, 0.03],
                random: (0.01, 0.04),
            });
            let shares = [(0.2, 0.0), (1.0, 0.3 + 0.01 * seed as f64), (30.0, 0.6)];
            let mut curves = Vec::new();
            for learner in [Learner::Theory, Learner::LinearNetwork] {
                curves.extend(ExampleGroup::ALL.map(|group| {
                    LearningCurve {
                        learner,
                        group,
                        examples: 100,
                        points: shares
                            .map(|(time, share)| LearnedLabels {
                                time,
                                share,
                                error: 0.01,
                            })
                            .to_vec(),
                    }
                }));
            }
            rows.extend(curves.iter().flat_map(|curve| over_time(curve, &like)));
            for group in ExampleGroup::ALL {
                rows.extend(shares.iter().enumerate().map(|(epoch, &(_, value))| Row {
                    epoch,
                    condition: Some(Condition::Learning {
                        learner: Learner::Network,
                        time: None,
                    }),
                    group: group.into(),
                    value,
                    ..like.clone()
                }));
            }
            let mut courses = of_curves(&curves);
            courses.extend(ExampleGroup::ALL.map(|group| course(Learner::Network, group, &shares)));
            rows.extend(learning_times(&courses, &like));
            let found = LinearLearning {
                spectra: spectra_of.to_vec(),
                curves,
            };
            rows.extend(spectra(&found, &like));
        }
        rows
    }

    #[test]
    fn every_panel_has_its_marks_and_no_label_is_cut() {
        let svg = draw("A title", &PANELS, &table(), &"A long note. ".repeat(20));
        assert_eq!(clipped_texts(&svg), Vec::<String>::new());
        // Theory and network: a line for each group.
        assert_eq!(svg.matches("<polyline").count(), 2 * 4);
        for (panel, lines) in [("a", 0), ("b", 4), ("c", 4), ("d", 0)] {
            let svg = draw("A title", &[panel], &table(), "note");
            assert_eq!(svg.matches("<polyline").count(), lines, "{panel}");
            assert_eq!(clipped_texts(&svg), Vec::<String>::new(), "{panel}");
        }
    }
}
