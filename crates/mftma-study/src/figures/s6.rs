//! Figure S6: the comparative measures that the paper contrasts manifold geometry with. Linear CKA, SVCCA and PWCCA between layers of the
//! trained network, and between each layer's epochs and its last; of the latter also the largest match of their neurons.

use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::{Result, ensure};
use mftma_data::ExampleGroup;

use super::geometry::{Key, layer_names};
use super::{Figure, Study, over_runs};
use crate::cache::Stage;
use crate::experiment::Experiment;
use crate::stages::{Comparison, SimilarityStage, TrainStage};
use crate::table::{Condition, Measure, Row};
use mftma_draw::{
    Anchor, Band, Canvas, INK, Panel, TextStyle, Weight, colour_bar, footnote, similarity_colour,
};

/// The measures, one column each, with headings.
const MEASURES: [(Measure, &str); 3] = [
    (Measure::Cka, "linear CKA"),
    (Measure::Svcca, "SVCCA"),
    (Measure::Pwcca, "PWCCA"),
];
/// The names of the panels: between layers, between epochs, and matches between epochs.
const PANELS: [&str; 3] = ["a", "b", "c"];
/// Tolerances that panel c has room for.
const TOLERANCES: usize = 3;
/// Width in points: two columns of a journal.
const WIDTH: f64 = 510.0;
/// Left, top, right and bottom margin.
const MARGINS: [f64; 4] = [46.0, 22.0, 42.0, 20.0];
/// Between columns; below the maps, where layer names stand; and below the other rows.
const GAPS: (f64, f64, f64) = (12.0, 52.0, 46.0);
/// Height of the panels over epochs.
const PANEL_HEIGHT: f64 = 100.0;
/// Text size in points.
const TEXT: f64 = 7.5;
/// Steps of the colour bar of similarities.
const STEPS: usize = 11;

/// CKA, SVCCA and PWCCA.
pub struct FigureS6;

impl FigureS6 {
    fn stage(study: &Study<'_>, run: &Rc<Experiment>) -> Result<Option<SimilarityStage>> {
        if study.last_epoch(run)?.is_none() {
            return Ok(None);
        }
        let epochs = study.epochs(run)?;
        Ok(Some(SimilarityStage::new(Rc::clone(run), epochs)))
    }
}

impl Figure for FigureS6 {
    fn name(&self) -> &'static str {
        "s6"
    }

    fn title(&self) -> &'static str {
        "Comparative measures: similarity between layers and between epochs"
    }

    fn check(&self, study: &Study<'_>) -> Result<()> {
        let tolerances = &study.profile.supplement.similarity.tolerances;
        let fit = |tolerance: &f64| (0.0..1.0).contains(tolerance);
        ensure!(
            tolerances.len() <= TOLERANCES && tolerances.iter().all(fit),
            "supplement.similarity.tolerances of the profile is {tolerances:?}; give at most {TOLERANCES} values from 0 to below 1"
        );
        Ok(())
    }

    fn caption(&self, study: &Study<'_>) -> String {
        let settings = &study.profile.supplement.similarity;
        format!(
            "{}: linear CKA, SVCCA and PWCCA, which use no labels, on the features of {} test images at most. a: every layer with every \
             other after the last epoch (PWCCA weighted by the features of the layer at the left). b: each layer with itself after the last \
             epoch; colours are epochs. SVCCA and PWCCA keep {:.0} % of the variance; where two layers keep more directions together than \
             there are images, some canonical correlations are 1 whatever the data, so that their values are upper bounds. c: the share \
             of a layer's neurons, at the epoch and at the last, that are in their largest ε-approximate match (Wang et al. 2018, arXiv \
             1810.11750): each of them lies within ε of its own length from the span of the others' partners. Neurons are channels, \
             their vectors up to {} values at places of these images; where they span all of them, the match says nothing and no point \
             is drawn. Bands: one standard error over runs.",
            self.title(),
            settings.points,
            100.0 * settings.variance,
            settings.neuron_values.max(settings.points),
        )
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn stages(&self, study: &Study<'_>, _panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        for run in &study.runs {
            stages.push(Box::new(TrainStage::new(Rc::clone(run))));
            if let Some(stage) = Self::stage(study, run)? {
                stages.push(Box::new(stage));
            }
        }
        Ok(stages)
    }

    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>> {
        let mut table = Vec::new();
        for run in &study.runs {
            let (Some(stage), Some(last)) = (Self::stage(study, run)?, study.last_epoch(run)?)
            else {
                continue;
            };
            let comparisons: Vec<Comparison> = study.cache.output(&stage)?;
            for comparison in comparisons {
                table.extend(tidy(&comparison, last, &study.row(run)));
            }
        }
        table.retain(|row| panels.contains(&panel_of(row)));
        Ok(table)
    }

    fn draw(&self, study: &Study<'_>, panels: &[&str], table: &[Row]) -> Result<String> {
        let settings = &study.profile.supplement.similarity;
        let images = table.iter().filter(|row| panel_of(row) != PANELS[2]);
        let points = images.map(|row| row.count).max().unwrap_or(settings.points);
        let note = format!(
            "{}. {points} test images. Above: pairs of layers after the last epoch; PWCCA is weighted by the features of the layer at the left. Below: \
             each layer at an epoch with itself after the last. SVCCA and PWCCA keep {:.0} % of the variance. Matches: share of channels \
             in the largest match of tolerance ε.",
            study.setting(),
            100.0 * settings.variance
        );
        Ok(draw(self.title(), panels, table, &note))
    }
}

/// The rows of one comparison: with another layer at the last epoch, or with the same layer's last epoch.
fn tidy(comparison: &Comparison, last: usize, like: &Row) -> Vec<Row> {
    let condition = if comparison.epoch == last {
        Condition::Layers(comparison.layer.clone(), comparison.other.clone())
    } else {
        Condition::Epochs(comparison.epoch, last)
    };
    let values = [comparison.cka, comparison.svcca, comparison.pwcca];
    let plain = Row {
        layer_index: Some(comparison.layer_index),
        layer: Some(comparison.layer.clone()),
        epoch: comparison.epoch,
        condition: Some(condition),
        group: ExampleGroup::Test.into(),
        count: comparison.points,
        ..like.clone()
    };
    let similarities = MEASURES
        .iter()
        .zip(values)
        .map(|((measure, _), value)| Row {
            measure: *measure,
            value,
            ..plain.clone()
        });
    // Where one side spans everything, all of the other matches whatever it represents.
    let telling = comparison.matches.iter().filter(|found| !found.trivial);
    let matches = telling.map(|found| Row {
        measure: Measure::MaximumMatch,
        condition: Some(Condition::Matched {
            epochs: (comparison.epoch, last),
            tolerance: found.tolerance,
        }),
        value: found.similarity,
        count: found.values,
        ..plain.clone()
    });
    similarities.chain(matches).collect()
}

/// The panel that a row belongs to.
fn panel_of(row: &Row) -> &'static str {
    match row.condition {
        Some(Condition::Matched { .. }) => PANELS[2],
        Some(Condition::Epochs(..)) => PANELS[1],
        _ => PANELS[0],
    }
}

/// Mean over runs of the rows that `wanted` chooses.
fn mean(table: &[&Row], wanted: impl Fn(&Row) -> bool) -> Option<(f64, f64)> {
    let values: Vec<_> = table
        .iter()
        .filter(|row| wanted(row))
        .map(|row| (row.value, None))
        .collect();
    (!values.is_empty()).then(|| over_runs(&values))
}

fn draw(title: &str, panels: &[&str], table: &[Row], note: &str) -> String {
    let [left, top, right, bottom] = MARGINS;
    let side = (WIDTH - left - right - GAPS.0 * 2.0) / 3.0;
    let heights = [side + GAPS.1, PANEL_HEIGHT + GAPS.2, PANEL_HEIGHT + GAPS.2];
    let chosen = PANELS.iter().zip(heights);
    let rows: f64 = chosen
        .filter(|(panel, _)| panels.contains(panel))
        .map(|(_, height)| height)
        .sum();
    let height = top + rows + bottom;
    let mut canvas = Canvas::new(WIDTH, height, title);
    let names = layer_names(table.iter());
    let tolerances = by_tolerance(panels, table);
    for (column, (measure, heading)) in MEASURES.into_iter().enumerate() {
        let x = left + (side + GAPS.0) * column as f64;
        let style = TextStyle::new(TEXT, INK, Anchor::Start).weight(Weight::Bold);
        canvas.text((x, top - 6.0), heading, style);
        let of_measure: Vec<&Row> = table.iter().filter(|r| r.measure == measure).collect();
        let mut y = top;
        if panels.contains(&PANELS[0]) {
            layers(
                &mut canvas,
                [x, y, side, side],
                &of_measure,
                &names,
                column == 0,
            );
            y += heights[0];
        }
        if panels.contains(&PANELS[1]) {
            let area = [x, y, side, PANEL_HEIGHT];
            over_epochs(&mut canvas, area, &of_measure, &names, column == 0);
            y += heights[1];
        }
        if let Some((heading, matches)) = tolerances.get(column) {
            let style = TextStyle::new(TEXT, INK, Anchor::Start).weight(Weight::Bold);
            canvas.text((x, y - 6.0), heading, style);
            let area = [x, y, side, PANEL_HEIGHT];
            over_epochs(&mut canvas, area, matches, &names, column == 0);
        }
    }
    let x = WIDTH - right + 12.0;
    let mut y = top;
    if panels.contains(&PANELS[0]) {
        let value = |step: usize| step as f64 / (STEPS - 1) as f64;
        let label = |step: usize| match step % 5 {
            0 => format!("{:.1}", value(step)),
            _ => String::new(),
        };
        let steps: Vec<_> = (0..STEPS)
            .map(|step| (label(step), similarity_colour(value(step))))
            .collect();
        colour_bar(&mut canvas, [x, y, 8.0, side], "Similarity", &steps);
        y += heights[0];
    }
    let below = [(1, "With the last epoch"), (2, "Neurons matched")];
    let below = below.map(|(panel, axis)| (panels.contains(&PANELS[panel]), heights[panel], axis));
    for (_, height, axis) in below.into_iter().filter(|(shown, ..)| *shown) {
        let style = TextStyle::new(TEXT, INK, Anchor::Middle).rotated(90.0);
        let middle = y + PANEL_HEIGHT / 2.0;
        canvas.text((11.0, middle), axis, style);
        let key = epoch_key(table.iter());
        let bar_height = (11.0 * key.entries.len() as f64).min(PANEL_HEIGHT);
        let area = [x, y, 8.0, bar_height];
        colour_bar(&mut canvas, area, &key.title, &key.entries);
        y += height;
    }
    footnote(&mut canvas, note, (WIDTH, height));
    canvas.finish()
}

/// The matches of each tolerance, with a heading, where they are to be drawn.
fn by_tolerance<'a>(panels: &[&str], table: &'a [Row]) -> Vec<(String, Vec<&'a Row>)> {
    if !panels.contains(&PANELS[2]) {
        return Vec::new();
    }
    let mut found: Vec<(String, Vec<&Row>)> = Vec::new();
    for row in table {
        let Some(Condition::Matched { tolerance, .. }) = row.condition else {
            continue;
        };
        let heading = format!("maximum match, ε = {tolerance}");
        match found.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, rows)) => rows.push(row),
            None => found.push((heading, vec![row])),
        }
    }
    found
}

/// The colours of the epochs that are compared with the last.
fn epoch_key<'a>(rows: impl Iterator<Item = &'a Row>) -> Key {
    let epochs: BTreeSet<usize> = rows
        .filter(|row| panel_of(row) != PANELS[0])
        .map(|row| row.epoch)
        .collect();
    let labels: Vec<String> = epochs.iter().map(usize::to_string).collect();
    Key::ranked("Epoch", &labels)
}

/// A map of every layer with every other; the first of a pair down, the other across.
fn layers(canvas: &mut Canvas, area: [f64; 4], rows: &[&Row], names: &[String], labels: bool) {
    let ends = (-0.5, names.len() as f64 - 0.5);
    let map = Panel::new(area, ends, (ends.1, ends.0));
    for (down, first) in names.iter().enumerate() {
        for (across, other) in names.iter().enumerate() {
            let pair = Some(Condition::Layers(first.clone(), other.clone()));
            let Some((value, _)) = mean(rows, |row| row.condition == pair) else {
                continue;
            };
            let (x, y) = map.at(across as f64 - 0.5, down as f64 - 0.5);
            let end = map.at(across as f64 + 0.5, down as f64 + 0.5);
            // A hair of overlap, so that no white shows between the cells.
            let area = [x, y, end.0 - x + 0.1, end.1 - y + 0.1];
            canvas.rectangle(area, similarity_colour(value));
        }
    }
    map.x_names(canvas, names, true);
    map.y_names(canvas, names, labels);
}

/// Similarity of each layer to itself after the last epoch, a line for each epoch.
fn over_epochs(canvas: &mut Canvas, area: [f64; 4], rows: &[&Row], names: &[String], labels: bool) {
    let panel = Panel::new(area, (-0.4, names.len().max(2) as f64 - 0.6), (0.0, 1.0));
    panel.y_axis(canvas, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0], labels);
    for (epoch, colour) in epoch_key(rows.iter().copied()).entries {
        let points: Vec<Band> = names
            .iter()
            .enumerate()
            .filter_map(|(place, name)| {
                let (value, error) = mean(rows, |row| {
                    panel_of(row) != PANELS[0]
                        && row.epoch.to_string() == epoch
                        && row.layer.as_ref() == Some(name)
                })?;
                Some((place as f64, value, error))
            })
            .collect();
        panel.band(canvas, &points, colour);
        panel.line(canvas, &points, colour, false);
    }
    panel.frame(canvas);
    panel.x_names(canvas, names, true);
}

#[cfg(test)]
mod tests {
    use super::super::geometry::tests::table as geometry_table;
    use super::*;
    use crate::stages::Match;
    use mftma_draw::clipped_texts;

    /// Five layers after epoch 1000, and two earlier epochs of each.
    fn table() -> Vec<Row> {
        let like = geometry_table().remove(0);
        let names = ["input", "conv1_1", "b2_conv12", "conv5_3", "fc1"];
        let mut rows = Vec::new();
        for (layer_index, layer) in names.into_iter().enumerate() {
            let comparison = |epoch, other: &str| Comparison {
                layer_index,
                layer: layer.into(),
                epoch,
                other: other.into(),
                points: 400,
                cka: 0.25,
                svcca: 0.5,
                pwcca: 0.75,
                matches: Vec::new(),
            };
            let matched = |epoch, layer: &str| Comparison {
                // The input's values span everything.
                matches: [0.1, 0.3, 0.5]
                    .map(|tolerance| Match {
                        tolerance,
                        similarity: 0.5,
                        values: 2000,
                        trivial: layer == "input",
                    })
                    .to_vec(),
                ..comparison(epoch, layer)
            };
            for other in names {
                rows.extend(tidy(&comparison(1000, other), 1000, &like));
            }
            for epoch in [0, 100] {
                rows.extend(tidy(&matched(epoch, layer), 1000, &like));
            }
        }
        rows
    }

    #[test]
    fn every_pair_has_a_cell_and_every_epoch_a_line() {
        let svg = draw("A title", &PANELS, &table(), &"A long note. ".repeat(20));
        assert_eq!(clipped_texts(&svg), Vec::<String>::new());
        assert_eq!(svg.matches("<polyline").count(), 3 * 2 + 3 * 2);
        let colour = similarity_colour(0.25).to_string();
        assert_eq!(svg.matches(&colour).count(), 25);
    }

    #[test]
    fn a_panel_stands_alone() {
        let only = |panel: &str| -> Vec<Row> {
            let table = table().into_iter();
            table.filter(|row| panel_of(row) == panel).collect()
        };
        let svg = draw("A title", &["b"], &only("b"), "note");
        assert_eq!(svg.matches("<polyline").count(), 3 * 2);
        assert!(!svg.contains("Similarity"));
        assert!(!draw("A title", &["a"], &only("a"), "note").contains("<polyline"));
        let matches = only("c");
        assert!(matches.iter().all(|row| row.layer_index != Some(0)));
        let svg = draw("A title", &["c"], &matches, "note");
        assert_eq!(svg.matches("<polyline").count(), 3 * 2);
        assert_eq!(svg.matches("maximum match").count(), 3);
    }
}
