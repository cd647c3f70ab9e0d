//! Figure 2: learning.
//!
//! a: accuracy of the four example groups over epochs.
//! b: features of an early and a late layer of the trained network in two dimensions, by UMAP.

use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::Result;
use mftma_data::ExampleGroup;

use super::group_colour;
use super::{Figure, Study, over_runs};
use crate::cache::Stage;
use crate::stages::{PICTURED_GROUPS, PicturePoint, TrainStage, TrainingRecord, UmapStage};
use crate::table::{Condition, Measure, Row};
use mftma_draw::{
    Anchor, Canvas, Colour, INK, Panel, TextStyle, Weight, class_colour, footnote, nice_ticks,
    text_width,
};

/// The panels, in order.
const PANELS: [&str; 2] = ["a", "b"];
/// Width in points: one column of a journal for either panel.
const COLUMN: f64 = 255.0;
/// Height in points.
const HEIGHT: f64 = 216.0;
/// Panel a: left, top, right and bottom margin; on the right stand the names of the lines.
const MARGINS: [f64; 4] = [38.0, 22.0, 58.0, 63.0];
/// Panel b: left margin, top margin, side of a picture, and between pictures.
const PICTURES: [f64; 4] = [26.0, 34.0, 68.0, 6.0];
/// Text size in points.
const TEXT: f64 = 7.0;
/// Ground of the pictures.
const GROUND: Colour = Colour(0xF6, 0xF6, 0xF6);

/// Where a point of a picture lies.
const COORDINATES: [Measure; 2] = [Measure::UmapX, Measure::UmapY];

/// Accuracy over epochs, and pictures of features.
pub struct Figure2;

impl Figure2 {
    /// The pictures of the first run. Which epoch is the last is known once training is finished.
    fn pictures(study: &Study<'_>) -> Result<Vec<(String, UmapStage)>> {
        let run = &study.runs[0];
        let last = study
            .last_epoch(run)?
            .unwrap_or(run.settings.training.stop.max_epochs);
        Ok(study
            .profile
            .umap
            .layers
            .iter()
            .map(|layer| {
                let stage = UmapStage::new(Rc::clone(run), last, layer.clone());
                (layer.clone(), stage)
            })
            .collect())
    }
}

impl Figure for Figure2 {
    fn name(&self) -> &'static str {
        "fig2"
    }

    fn title(&self) -> &'static str {
        "Learning: accuracy of the four example groups over epochs, and features in two dimensions"
    }

    fn caption(&self, study: &Study<'_>) -> String {
        let bands = match study.runs.len() {
            1 => "over examples (binomial)",
            _ => "over runs",
        };
        let umap = &study.profile.umap;
        format!(
            "a: accuracy after each epoch, in evaluation mode. Unpermuted and permuted examples are scored by the labels that were \
             trained on, restored ones (the permuted images again) by their true labels, test examples by theirs. Permuted labels can \
             only be memorized; where they are, accuracy on restored labels falls. Bands: one standard error {bands}. b: features of {} \
             after training, drawn in two dimensions by UMAP ({} neighbours, least distance {}): up to {} training examples of each of {} \
             classes in each group. The three pictures of a layer are one layout with the points of one group in colour; the colour is \
             the class by the label of that group.",
            umap.layers.join(" and "),
            umap.neighbours,
            umap.min_distance,
            umap.points,
            umap.classes,
        )
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn check(&self, study: &Study<'_>) -> Result<()> {
        study.runs[0].check_layers("umap.layers", &study.profile.umap.layers)
    }

    fn stages(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        for run in &study.runs {
            stages.push(Box::new(TrainStage::new(Rc::clone(run))));
        }
        if panels.contains(&"b") {
            for (_, stage) in Self::pictures(study)? {
                stages.push(Box::new(stage));
            }
        }
        Ok(stages)
    }

    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        if panels.contains(&"a") {
            for run in &study.runs {
                let record: TrainingRecord =
                    study.cache.output(&TrainStage::new(Rc::clone(run)))?;
                for metrics in &record.history {
                    for (group, score) in &metrics.groups {
                        let row = Row {
                            epoch: metrics.epoch,
                            group: (*group).into(),
                            count: score.examples,
                            ..study.row(run)
                        };
                        rows.push(Row {
                            measure: Measure::Accuracy,
                            value: score.accuracy(),
                            standard_error: Some(score.standard_error()),
                            ..row.clone()
                        });
                        rows.push(Row {
                            measure: Measure::CrossEntropy,
                            value: score.loss,
                            ..row
                        });
                    }
                }
            }
        }
        if panels.contains(&"b") {
            let run = &study.runs[0];
            let names = run.data.dataset().class_names();
            for (layer, stage) in Self::pictures(study)? {
                let picture: Vec<PicturePoint> = study.cache.output(&stage)?;
                for (index, point) in picture.iter().enumerate() {
                    for (measure, value) in COORDINATES.into_iter().zip(point.at) {
                        rows.push(Row {
                            layer: Some(layer.clone()),
                            epoch: stage.epoch(),
                            step: None,
                            condition: Some(Condition::PicturePoint {
                                index,
                                class: names[usize::from(point.class)].clone(),
                            }),
                            group: point.group.into(),
                            measure,
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
        Ok(draw(self.title(), panels, table, &study.setting()))
    }
}

fn draw(title: &str, panels: &[&str], table: &[Row], note: &str) -> String {
    let width = COLUMN * panels.len() as f64;
    let mut canvas = Canvas::new(width, HEIGHT, title);
    for (column, panel) in panels.iter().enumerate() {
        let left = COLUMN * column as f64;
        let style = TextStyle::new(TEXT + 1.5, INK, Anchor::Start).weight(Weight::Bold);
        canvas.text((left + 6.0, 13.0), panel, style);
        match *panel {
            "a" => draw_accuracy(&mut canvas, left, table),
            _ => draw_pictures(&mut canvas, left, table),
        }
    }
    footnote(&mut canvas, note, (width, HEIGHT));
    canvas.finish()
}

/// Accuracy over epochs, from `start` to the right.
fn draw_accuracy(canvas: &mut Canvas, start: f64, table: &[Row]) {
    let [left, top, right, bottom] = MARGINS;
    let left = start + left;
    let end = start + COLUMN - right;
    let rows: Vec<&Row> = table
        .iter()
        .filter(|row| row.measure == Measure::Accuracy)
        .collect();
    let last = rows.iter().map(|row| row.epoch).max().unwrap_or(1);
    let panel = Panel::new(
        [left, top, end - left, HEIGHT - top - bottom],
        (0.0, last.max(1) as f64),
        (0.0, 100.0),
    );
    panel.y_axis(canvas, &nice_ticks(0.0, 100.0, 5), true);
    let mut names = Vec::new();
    for group in ExampleGroup::ALL {
        let points: Vec<_> = (0..=last)
            .filter_map(|epoch| {
                let values: Vec<_> = rows
                    .iter()
                    .filter(|row| row.epoch == epoch && row.group == group)
                    .map(|row| (row.value, row.standard_error))
                    .collect();
                (!values.is_empty()).then(|| {
                    let (mean, error) = over_runs(&values);
                    (epoch as f64, 100.0 * mean, 100.0 * error)
                })
            })
            .collect();
        panel.band(canvas, &points, group_colour(group));
        panel.line(canvas, &points, group_colour(group), false);
        if let Some(&(x, y, _)) = points.last() {
            names.push((panel.at(x, y).1, group));
        }
    }
    panel.frame(canvas);
    let ticks: Vec<f64> = nice_ticks(0.0, last.max(1) as f64, 6)
        .into_iter()
        .filter(|&tick| tick <= last.max(1) as f64)
        .collect();
    panel.x_axis(canvas, &ticks);

    // The lines are named at their ends, pushed apart where they end close together.
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = top;
    let gap = TEXT + 1.5;
    let lowest = HEIGHT - bottom;
    let count = names.len();
    for (index, (y, group)) in names.into_iter().enumerate() {
        let room = lowest - gap * (count - index - 1) as f64;
        let y = y.max(free).min(room);
        free = y + gap;
        let style = TextStyle::new(TEXT, group_colour(group), Anchor::Start).weight(Weight::Bold);
        canvas.text((end + 5.0, y + 0.36 * TEXT), group.name(), style);
    }
    let style = TextStyle::new(TEXT, INK, Anchor::Middle);
    canvas.text(((left + end) / 2.0, HEIGHT - bottom + 21.0), "Epoch", style);
    let middle = top + (HEIGHT - top - bottom) / 2.0;
    canvas.text((start + 11.0, middle), "Accuracy (%)", style.rotated(90.0));
}

/// One picture for each layer and group, from `start` to the right.
fn draw_pictures(canvas: &mut Canvas, start: f64, table: &[Row]) {
    let [left, top, side, gap] = PICTURES;
    let left = start + left;
    let picked = |measure: Measure| -> Vec<&Row> {
        table.iter().filter(|row| row.measure == measure).collect()
    };
    // Rows of the two coordinates come in pairs.
    let points: Vec<(&Row, f64, f64)> = picked(COORDINATES[0])
        .into_iter()
        .zip(picked(COORDINATES[1]))
        .map(|(x, y)| (x, x.value, y.value))
        .collect();
    let mut layers: Vec<&str> = Vec::new();
    let mut classes: BTreeSet<&str> = BTreeSet::new();
    for (row, ..) in &points {
        let layer = row.layer.as_deref().unwrap_or_default();
        if !layers.contains(&layer) {
            layers.push(layer);
        }
        classes.extend(class(row));
    }
    let classes: Vec<&str> = classes.into_iter().collect();
    for (column, group) in PICTURED_GROUPS.into_iter().enumerate() {
        let x = left + (side + gap) * column as f64;
        let style = TextStyle::new(TEXT, group_colour(group), Anchor::Start).weight(Weight::Bold);
        canvas.text((x, top - 7.0), group.name(), style);
        canvas.rectangle([x, top - 4.5, side, 1.2], group_colour(group));
    }
    for (row, layer) in layers.iter().enumerate() {
        let y = top + (side + gap) * row as f64;
        let of_layer: Vec<_> = points
            .iter()
            .filter(|(point, ..)| point.layer.as_deref() == Some(layer))
            .collect();
        let limits = |value: fn(&(&Row, f64, f64)) -> f64| {
            let values = of_layer.iter().map(|point| value(point));
            let low = values.clone().fold(f64::INFINITY, f64::min);
            let high = values.fold(f64::NEG_INFINITY, f64::max);
            let margin = 0.04 * (high - low);
            (low - margin, high + margin)
        };
        let (horizontal, vertical) = (limits(|point| point.1), limits(|point| point.2));
        let style = TextStyle::new(TEXT, INK, Anchor::Middle).rotated(90.0);
        canvas.text((left - 7.0, y + side / 2.0), layer, style);
        for (column, group) in PICTURED_GROUPS.into_iter().enumerate() {
            let x = left + (side + gap) * column as f64;
            canvas.rectangle([x, y, side, side], GROUND);
            let panel = Panel::new([x, y, side, side], horizontal, vertical);
            // The other groups show the layout as a whole.
            let (of_group, others): (Vec<_>, Vec<_>) = of_layer
                .iter()
                .copied()
                .partition(|(point, ..)| point.group == group);
            for (_, x, y) in others {
                canvas.disc(panel.at(x, y), 0.55, Colour(0xD4, 0xD4, 0xD4));
            }
            for (point, x, y) in of_group {
                let place = classes.iter().position(|name| class(point) == Some(name));
                canvas.disc(panel.at(x, y), 0.9, class_colour(place.unwrap_or(0)));
            }
        }
    }
    // Names of the classes, in as many lines as they need.
    let bottom = top + (side + gap) * layers.len() as f64;
    let style =
        |index| TextStyle::new(TEXT - 0.5, class_colour(index), Anchor::Start).weight(Weight::Bold);
    let (mut x, mut y) = (left, bottom + 6.0);
    for (index, name) in classes.iter().enumerate() {
        let wide = text_width(name, TEXT - 0.5, Weight::Bold) + 14.0;
        if x + wide > start + COLUMN && x > left {
            (x, y) = (left, y + TEXT + 1.0);
        }
        canvas.disc((x + 2.0, y - 0.35 * TEXT), 1.8, class_colour(index));
        canvas.text((x + 6.0, y), name, style(index));
        x += wide;
    }
}

/// The class of a point of a picture.
fn class(row: &Row) -> Option<&str> {
    match &row.condition {
        Some(Condition::PicturePoint { class, .. }) => Some(class),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mftma_draw::clipped_texts;

    fn row(measure: Measure, group: ExampleGroup, value: f64) -> Row {
        Row {
            profile: "test".into(),
            dataset: "cifar100".into(),
            architecture: "vgg16".into(),
            width: 64,
            seed: 1,
            layer_index: None,
            layer: None,
            epoch: 0,
            step: None,
            condition: None,
            group: group.into(),
            measure,
            value,
            standard_error: None,
            standard_error_vectors: None,
            count: 1,
        }
    }

    fn table() -> Vec<Row> {
        let mut rows = Vec::new();
        for group in ExampleGroup::ALL {
            for epoch in 0..1000 {
                let accuracy = row(Measure::Accuracy, group, 0.999);
                rows.push(Row { epoch, ..accuracy });
            }
        }
        let names = [
            "aquarium_fish",
            "sweet_pepper",
            "pickup_truck",
            "caterpillar",
            "chimpanzee",
            "willow_tree",
        ];
        for layer in ["conv1_2", "conv5_3"] {
            for (index, name) in names.into_iter().enumerate() {
                for group in PICTURED_GROUPS {
                    for measure in COORDINATES {
                        rows.push(Row {
                            layer: Some(layer.into()),
                            condition: Some(Condition::PicturePoint {
                                index,
                                class: name.into(),
                            }),
                            ..row(measure, group, index as f64)
                        });
                    }
                }
            }
        }
        rows
    }

    #[test]
    fn nothing_is_clipped_with_the_longest_names() {
        for panels in [&PANELS[..], &["a"], &["b"]] {
            let svg = draw("A title", panels, &table(), &"A note. ".repeat(10));
            assert_eq!(clipped_texts(&svg), Vec::<String>::new());
        }
    }

    #[test]
    fn every_point_is_drawn_in_the_colour_of_its_class_once_and_grey_elsewhere() {
        let svg = draw("A title", &["b"], &table(), "");
        let count = |colour: Colour| svg.matches(&format!(r#"r="0.9" fill="{colour}""#)).count();
        for index in 0..6 {
            // Two layers, three groups.
            assert_eq!(count(class_colour(index)), 6);
        }
        assert_eq!(svg.matches("#D4D4D4").count(), 2 * 3 * 2 * 6);
    }
}
