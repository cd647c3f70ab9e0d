//! Figure 2: learning. Panel A: accuracy of the four example groups over epochs.

use std::rc::Rc;

use anyhow::Result;
use mftma_data::ExampleGroup;

use super::{Figure, Study, over_runs};
use crate::cache::Stage;
use crate::draw::{
    Anchor, Canvas, INK, Panel, TextStyle, Weight, footnote, group_colour, nice_ticks,
};
use crate::stages::{TrainStage, TrainingRecord};
use crate::table::Row;

/// Width and height in points: one column of a journal, with room for the names of the lines.
const SIZE: (f64, f64) = (260.0, 170.0);
/// The panel: left, top, right and bottom margin.
const MARGINS: [f64; 4] = [38.0, 10.0, 62.0, 42.0];
/// Text size in points.
const TEXT: f64 = 7.0;

/// Accuracy over epochs.
pub struct Figure2;

impl Figure for Figure2 {
    fn name(&self) -> &'static str {
        "fig2"
    }

    fn title(&self) -> &'static str {
        "Accuracy of the four example groups over epochs"
    }

    fn caption(&self, study: &Study<'_>) -> String {
        let bands = match study.runs.len() {
            1 => "over examples (binomial)",
            _ => "over runs",
        };
        format!(
            "a: accuracy after each epoch, in evaluation mode. Unpermuted and permuted examples are scored by the labels that were \
             trained on, restored ones (the permuted images again) by their true labels, test examples by theirs. Permuted labels can \
             only be memorized; where they are, accuracy on restored labels falls. Bands: one standard error {bands}."
        )
    }

    fn panels(&self) -> &'static [&'static str] {
        &["a"]
    }

    fn stages(&self, study: &Study<'_>, _panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        Ok(study
            .runs
            .iter()
            .map(|run| Box::new(TrainStage::new(Rc::clone(run))) as Box<dyn Stage>)
            .collect())
    }

    fn table(&self, study: &Study<'_>, _panels: &[&str]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for run in &study.runs {
            let record: TrainingRecord = study.cache.output(&TrainStage::new(Rc::clone(run)))?;
            for metrics in &record.history {
                for (group, score) in &metrics.groups {
                    let row = Row {
                        epoch: metrics.epoch,
                        group: group.name().into(),
                        count: score.examples,
                        ..study.row(run)
                    };
                    rows.push(Row {
                        measure: "accuracy".into(),
                        value: score.accuracy(),
                        standard_error: Some(score.standard_error()),
                        ..row.clone()
                    });
                    rows.push(Row {
                        measure: "cross_entropy".into(),
                        value: score.loss,
                        ..row
                    });
                }
            }
        }
        Ok(rows)
    }

    fn draw(&self, study: &Study<'_>, _panels: &[&str], table: &[Row]) -> Result<String> {
        let (width, height) = SIZE;
        let [left, top, right, bottom] = MARGINS;
        let mut canvas = Canvas::new(width, height, self.title());
        let last = table.iter().map(|row| row.epoch).max().unwrap_or(1);
        let panel = Panel::new(
            [left, top, width - left - right, height - top - bottom],
            (0.0, last.max(1) as f64),
            (0.0, 100.0),
        );
        panel.y_axis(&mut canvas, &nice_ticks(0.0, 100.0, 5), true);
        let mut names = Vec::new();
        for group in ExampleGroup::ALL {
            let points: Vec<_> = (0..=last)
                .filter_map(|epoch| {
                    let values: Vec<_> = table
                        .iter()
                        .filter(|row| {
                            row.epoch == epoch
                                && row.group == group.name()
                                && row.measure == "accuracy"
                        })
                        .map(|row| (row.value, row.standard_error))
                        .collect();
                    (!values.is_empty()).then(|| {
                        let (mean, error) = over_runs(&values);
                        (epoch as f64, 100.0 * mean, 100.0 * error)
                    })
                })
                .collect();
            panel.band(&mut canvas, &points, group_colour(group));
            panel.line(&mut canvas, &points, group_colour(group), false);
            if let Some(&(x, y, _)) = points.last() {
                names.push((panel.at(x, y).1, group));
            }
        }
        panel.frame(&mut canvas);
        let ticks: Vec<f64> = nice_ticks(0.0, last.max(1) as f64, 6)
            .into_iter()
            .filter(|&tick| tick <= last.max(1) as f64)
            .collect();
        panel.x_axis(&mut canvas, &ticks);

        // The lines are named at their ends, pushed apart where they end close together.
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut free = top;
        let gap = TEXT + 1.5;
        let lowest = height - bottom;
        let count = names.len();
        for (index, (y, group)) in names.into_iter().enumerate() {
            let room = lowest - gap * (count - index - 1) as f64;
            let y = y.max(free).min(room);
            free = y + gap;
            let style =
                TextStyle::new(TEXT, group_colour(group), Anchor::Start).weight(Weight::Bold);
            canvas.text((width - right + 5.0, y + 0.36 * TEXT), group.name(), style);
        }

        let middle = left + (width - left - right) / 2.0;
        canvas.text(
            (middle, height - bottom + 21.0),
            "Epoch",
            TextStyle::new(TEXT, INK, Anchor::Middle),
        );
        canvas.text(
            (11.0, top + (height - top - bottom) / 2.0),
            "Accuracy (%)",
            TextStyle::new(TEXT, INK, Anchor::Middle).rotated(90.0),
        );
        footnote(&mut canvas, &study.setting(), (width, height));
        Ok(canvas.finish())
    }
}
