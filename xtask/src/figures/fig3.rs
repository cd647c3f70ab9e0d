//! Figure 3: geometry. Capacity, radius, dimension and centre correlation by layer and epoch, for each example group.

use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::Result;
use mftma_data::ExampleGroup;

use super::{Figure, Study, geometry_rows, over_runs};
use crate::cache::{Stage, Status};
use crate::draw::{
    Anchor, Band, Canvas, Colour, INK, Panel, TextStyle, Weight, colour_bar, epoch_colour,
    footnote, group_colour, nice_ticks,
};
use crate::experiment::Experiment;
use crate::stages::{GeometryStage, LayerGeometry, TrainStage, TrainingRecord};
use crate::table::Row;

/// A measure: name in the table, label, symbol and its subscript.
type Measure = (&'static str, &'static str, (&'static str, &'static str));

/// The names of the panels, and what each shows of all groups side by side.
const PANELS: [&str; 4] = ["a", "b", "c", "d"];
const MEASURES: [Measure; 4] = [
    ("capacity", "Capacity", ("α", "M")),
    ("radius", "Radius", ("R", "M")),
    ("dimension", "Dimension", ("D", "M")),
    ("centre_correlation", "Centre correl.", ("ρ", "centre")),
];
/// Width in points: two columns of a journal.
const WIDTH: f64 = 510.0;
/// Height of a panel in points.
const PANEL_HEIGHT: f64 = 82.0;
/// Left, top, right and bottom margin around the panels.
const MARGINS: [f64; 4] = [46.0, 20.0, 42.0, 50.0];
/// Between columns and between rows.
const GAPS: (f64, f64) = (9.0, 12.0);
/// Text size in points.
const TEXT: f64 = 7.5;

/// Geometry by layer and epoch.
pub struct Figure3;

impl Figure3 {
    /// The epochs measured in one run: those of the profile that training reached, and its last.
    ///
    /// Before training is finished the profile's epochs are all that is known.
    fn epochs(run: &Rc<Experiment>, study: &Study<'_>) -> Result<Vec<usize>> {
        let mut epochs: BTreeSet<usize> = run.profile.geometry.epochs.iter().copied().collect();
        let train = TrainStage::new(Rc::clone(run));
        if study.cache.status(&train) == Status::Finished {
            let record: TrainingRecord = study.cache.output(&train)?;
            let last = record.last_epoch();
            epochs.retain(|&epoch| epoch <= last);
            epochs.insert(last);
        }
        Ok(epochs.into_iter().collect())
    }

    /// The analyses behind the figure, of one run.
    pub fn geometry_stages(run: &Rc<Experiment>, study: &Study<'_>) -> Result<Vec<GeometryStage>> {
        let mut stages = Vec::new();
        for epoch in Self::epochs(run, study)? {
            for group in ExampleGroup::ALL {
                stages.push(GeometryStage::new(Rc::clone(run), epoch, group));
            }
        }
        Ok(stages)
    }
}

/// What the chosen panels show.
fn measures_of(panels: &[&str]) -> Vec<Measure> {
    let chosen = PANELS
        .iter()
        .zip(MEASURES)
        .filter(|(panel, _)| panels.contains(panel));
    chosen.map(|(_, measure)| measure).collect()
}

impl Figure for Figure3 {
    fn name(&self) -> &'static str {
        "fig3"
    }

    fn title(&self) -> &'static str {
        "Manifold geometry by layer and epoch for the four example groups"
    }

    fn check(&self, study: &Study<'_>) -> Result<()> {
        for run in &study.runs {
            for group in ExampleGroup::ALL {
                GeometryStage::new(Rc::clone(run), 0, group).manifolds()?;
            }
        }
        Ok(())
    }

    fn caption(&self, study: &Study<'_>) -> String {
        let geometry = &study.profile.geometry;
        let bands = match study.runs.len() {
            1 => "classes",
            _ => "runs",
        };
        format!(
            "Layers from input to output along each horizontal axis; colours are epochs; columns are the four example groups. a: \
             capacity, the load up to which classes can be separated (harmonic mean over classes). b: radius and c: dimension of the \
             anchor points (means over classes); small ones make classes separable. d: mean absolute cosine between the centres of two \
             classes. Mean-field theory on the outputs of each layer: {} points of each class at most, {} Gaussian vectors, margin {}. \
             Bands: one standard error over {bands} (for d, half a 68 % interval over resampled classes).",
            geometry.points, geometry.gaussian_vectors, geometry.margin,
        )
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn stages(&self, study: &Study<'_>, _panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        for run in &study.runs {
            stages.push(Box::new(TrainStage::new(Rc::clone(run))));
            for stage in Self::geometry_stages(run, study)? {
                stages.push(Box::new(stage));
            }
        }
        Ok(stages)
    }

    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for run in &study.runs {
            for stage in Self::geometry_stages(run, study)? {
                let layers: Vec<LayerGeometry> = study.cache.output(&stage)?;
                let row = Row {
                    epoch: stage.epoch(),
                    group: stage.group().name().into(),
                    ..study.row(run)
                };
                rows.extend(geometry_rows(&layers, &row));
            }
        }
        let chosen = measures_of(panels);
        rows.retain(|row| {
            // K, the directions removed, belongs with the correlation that they explain.
            let shown = match row.measure.as_str() {
                "centre_rank" => "centre_correlation",
                other => other,
            };
            chosen.iter().any(|(name, ..)| *name == shown)
        });
        Ok(rows)
    }

    fn draw(&self, study: &Study<'_>, panels: &[&str], table: &[Row]) -> Result<String> {
        let geometry = &study.runs[0].profile.geometry;
        let errors = if study.runs.len() == 1 {
            "classes"
        } else {
            "runs"
        };
        let note = format!(
            "{}. P = {} manifolds of M = {} points, {} Gaussian vectors, margin {}. Bands: one standard error over {errors}.",
            study.setting(),
            geometry
                .manifolds
                .min(study.runs[0].data.dataset().classes()),
            geometry.points,
            geometry.gaussian_vectors,
            geometry.margin,
        );
        Ok(draw(self.title(), table, &measures_of(panels), &note))
    }
}

/// One line of one panel: the values over layers at one epoch, averaged over runs.
fn line(table: &[Row], measure: &str, group: ExampleGroup, epoch: usize) -> Vec<Band> {
    let rows: Vec<&Row> = table
        .iter()
        .filter(|row| row.measure == measure && row.group == group.name() && row.epoch == epoch)
        .collect();
    let layers: BTreeSet<usize> = rows.iter().filter_map(|row| row.layer_index).collect();
    layers
        .into_iter()
        .map(|layer| {
            let values: Vec<_> = rows
                .iter()
                .filter(|row| row.layer_index == Some(layer))
                .map(|row| (row.value, row.standard_error))
                .collect();
            let (mean, error) = over_runs(&values);
            (layer as f64, mean, error)
        })
        .collect()
}

fn draw(title: &str, table: &[Row], measures: &[Measure], note: &str) -> String {
    let [left, top, right, bottom] = MARGINS;
    let groups = ExampleGroup::ALL;
    let panel_width =
        (WIDTH - left - right - GAPS.0 * (groups.len() - 1) as f64) / groups.len() as f64;
    let rows_height = PANEL_HEIGHT * measures.len() as f64 + GAPS.1 * (measures.len() - 1) as f64;
    let height = top + rows_height + bottom;
    let mut canvas = Canvas::new(WIDTH, height, title);

    let epochs: BTreeSet<usize> = table.iter().map(|row| row.epoch).collect();
    let mut names: Vec<(usize, String)> = table
        .iter()
        .filter_map(|row| Some((row.layer_index?, row.layer.clone()?)))
        .collect();
    names.sort();
    names.dedup();
    let names: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
    let colours: Vec<(usize, Colour)> = epochs
        .iter()
        .enumerate()
        .map(|(index, &epoch)| {
            // By rank: epochs are chosen close together where much happens.
            let fraction = index as f64 / (epochs.len().max(2) - 1) as f64;
            (epoch, epoch_colour(fraction))
        })
        .collect();

    for (column, group) in groups.into_iter().enumerate() {
        let x = left + (panel_width + GAPS.0) * column as f64;
        let style = TextStyle::new(TEXT, group_colour(group), Anchor::Start).weight(Weight::Bold);
        canvas.text((x, top - 8.0), group.name(), style);
        canvas.rectangle([x, top - 5.5, panel_width, 1.2], group_colour(group));
    }
    for (row, &(measure, label, symbol)) in measures.iter().enumerate() {
        let y = top + (PANEL_HEIGHT + GAPS.1) * row as f64;
        // One scale for all groups, so that columns compare at a glance.
        let lines: Vec<Vec<Vec<Band>>> = groups
            .iter()
            .map(|&group| {
                colours
                    .iter()
                    .map(|&(epoch, _)| line(table, measure, group, epoch))
                    .collect()
            })
            .collect();
        let (low, high) = range(lines.iter().flatten().flatten());
        let ticks = nice_ticks(low, high, 4);
        let limits = (ticks[0], ticks[ticks.len() - 1]);
        let style = TextStyle::new(TEXT, INK, Anchor::Middle).rotated(90.0);
        canvas.text_with_symbol((11.0, y + PANEL_HEIGHT / 2.0), label, symbol, style);
        for (column, lines) in lines.iter().enumerate() {
            let x = left + (panel_width + GAPS.0) * column as f64;
            let last = names.len().max(2) as f64 - 1.0;
            let panel = Panel::new(
                [x, y, panel_width, PANEL_HEIGHT],
                (-0.4, last + 0.4),
                limits,
            );
            panel.y_axis(&mut canvas, &ticks, column == 0);
            for (points, (_, colour)) in lines.iter().zip(&colours) {
                panel.band(&mut canvas, points, *colour);
            }
            for (points, (_, colour)) in lines.iter().zip(&colours) {
                panel.line(&mut canvas, points, *colour, false);
            }
            panel.frame(&mut canvas);
            panel.x_names(&mut canvas, &names, row + 1 == measures.len());
        }
    }
    let entries: Vec<_> = colours
        .iter()
        .map(|&(epoch, colour)| (epoch.to_string(), colour))
        .collect();
    let bar_height = (11.0 * entries.len() as f64).min(rows_height);
    colour_bar(
        &mut canvas,
        [WIDTH - right + 12.0, top, 8.0, bar_height],
        "Epoch",
        &entries,
    );
    footnote(&mut canvas, note, (WIDTH, height));
    canvas.finish()
}

/// The range of values with their errors, 0 included: all four measures have a meaningful zero.
fn range<'a>(points: impl Iterator<Item = &'a Band>) -> (f64, f64) {
    points.fold((0.0, 0.0), |(low, high): (f64, f64), &(_, value, error)| {
        (low.min(value - error), high.max(value + error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::{clipped_texts, to_png};

    /// A table with the longest names and largest numbers that come up.
    fn table() -> Vec<Row> {
        let mut rows = Vec::new();
        for (measure, _, _) in MEASURES {
            for group in ExampleGroup::ALL {
                for epoch in [0, 5, 1000] {
                    for layer in 0..17 {
                        rows.push(Row {
                            profile: "test".into(),
                            dataset: "cifar100".into(),
                            architecture: "vgg16".into(),
                            width: 16,
                            seed: 1,
                            layer_index: Some(layer),
                            layer: Some(format!("stage4_block2_conv{layer}")),
                            epoch,
                            step: None,
                            condition: None,
                            group: group.name().into(),
                            measure: measure.into(),
                            value: 1000.0 / (1.0 + layer as f64) + epoch as f64,
                            standard_error: Some(10.0),
                            standard_error_vectors: None,
                            count: 20,
                        });
                    }
                }
            }
        }
        rows
    }

    #[test]
    fn no_label_is_clipped() {
        let mut table = table();
        for row in &mut table {
            row.layer = row
                .layer
                .take()
                .map(|name| name.replace("stage4_block2_", "b2_"));
        }
        let svg = draw("A title", &table, &MEASURES, &"A long note. ".repeat(20));
        assert_eq!(clipped_texts(&svg), Vec::<String>::new());
    }

    #[test]
    fn the_test_for_clipping_can_fail() {
        let svg = draw("A title", &table(), &MEASURES, "");
        assert!(!clipped_texts(&svg).is_empty());
    }

    #[test]
    fn the_png_is_a_png_of_the_printed_size() {
        let png = to_png(&draw("A title", &table(), &MEASURES, "note"), 300.0).unwrap();
        assert_eq!(&png[1..4], b"PNG");
        let width = u32::from_be_bytes([png[16], png[17], png[18], png[19]]);
        assert_eq!(width, (WIDTH / 72.0 * 300.0).ceil() as u32);
    }

    #[test]
    fn lines_average_over_runs_and_keep_the_order_of_layers() {
        let mut rows = table();
        rows.reverse();
        let points = line(&rows, "radius", ExampleGroup::Test, 5);
        assert_eq!(points.len(), 17);
        assert!(points.windows(2).all(|w| w[0].0 < w[1].0));
        assert_eq!(points[0], (0.0, 1005.0, 10.0));
    }
}
