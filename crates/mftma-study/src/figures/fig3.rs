//! Figure 3: geometry at the best and at the last epoch, in the published layout, with the published values beside ours.
//!
//! What is held against the paper is measured by the conventions of the reference ([`mftma::Conventions::reference`]), whatever our own
//! are. The geometry by our conventions over all epochs, which the claims are judged on, is made with it and drawn in figure S7.

use std::rc::Rc;

use anyhow::{Result, ensure};
use mftma_data::ExampleGroup;
use mftma_draw::{
    Anchor, Band, Canvas, Colour, INK, Panel, TextStyle, Weight, footnote, nice_ticks, text_width,
};

use super::geometry::{
    MEASURES, check_size, layer_names, manifolds_in_words, points, range, spread_over,
    train_and_measure,
};
use super::{Comparison, Figure, Study, foot, geometry_rows, group_colour};
use crate::cache::Stage;
use crate::claims::inputs::as_in_figure3;
use crate::experiment::Experiment;
use crate::published::{
    self, Difference, Epoch, LAYERS, LayerPoint, Measure as Published, Measured, differences,
};
use crate::stages::{GeometryStage, LayerGeometry};
use crate::table::{Condition, Curve, Measure, Row};

/// Columns.
const PANELS: [&str; 3] = ["a", "b", "c"];
/// What each column shows: in tables, and in the published values.
const COLUMNS: [Column; 3] = [
    (Measure::CAPACITY, Published::Capacity),
    (Measure::RADIUS, Published::Radius),
    (Measure::DIMENSION, Published::Dimension),
];
/// Width in points: two columns of a journal.
const WIDTH: f64 = 510.0;
/// Height of a panel in points.
const PANEL_HEIGHT: f64 = 130.0;
/// Left, top and right margin, and room below the panels for the names of layers.
const MARGINS: [f64; 4] = [34.0, 28.0, 8.0, 34.0];
/// Between columns, for their ticks, and between rows.
const GAPS: (f64, f64) = (34.0, 14.0);
/// Text size in points.
const TEXT: f64 = 7.5;
/// Between the names of two groups.
const LEGEND_GAP: f64 = 10.0;
/// The mark of a mean over all groups.
const ALL_GROUPS: &str = "all";

type Column = (Measure, Published);

/// Geometry at two epochs, beside the published figure.
pub struct Figure3;

impl Figure for Figure3 {
    fn name(&self) -> &'static str {
        "fig3"
    }

    fn title(&self) -> &'static str {
        "Manifold geometry by layer at the best and at the last epoch"
    }

    fn caption(&self, study: &Study<'_>) -> String {
        let beside = if as_in_figure3(study) {
            "Rings: the published values, read off the paper's Figure 3."
        } else {
            "The published values belong to VGG-16 on all of CIFAR-100 with half of the labels permuted, and are not drawn beside this network."
        };
        format!(
            "Layers from input to output along each horizontal axis; upper row: the epoch of highest test accuracy, lower row: the last, with the \
             curves of the upper row faded. a: capacity (harmonic mean over classes), b: radius and c: dimension of the anchor points (means over \
             classes). {beside} Mean-field theory by the conventions of the reference package. {} Bars: one standard error over {}.",
            manifolds_in_words(&study.runs),
            spread_over(&study.runs)
        )
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn check(&self, study: &Study<'_>) -> Result<()> {
        for run in &study.runs {
            for group in ExampleGroup::ALL {
                check_size(&GeometryStage::new(Rc::clone(run), 0, group), "geometry")?;
            }
        }
        Ok(())
    }

    fn stages(&self, study: &Study<'_>, _panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        let mut stages = Vec::new();
        for run in &study.runs {
            stages.extend(train_and_measure(run, study, &ExampleGroup::ALL)?);
            for (_, stage) in shown(study, run)? {
                stages.push(Box::new(stage) as Box<dyn Stage>);
            }
        }
        Ok(stages)
    }

    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>> {
        let mut table = Vec::new();
        for run in &study.runs {
            for (epoch, stage) in shown(study, run)? {
                let layers: Vec<LayerGeometry> = study.cache.output(&stage)?;
                let row = Row {
                    epoch: stage.epoch(),
                    condition: Some(Condition::Shown(epoch)),
                    group: stage.group().into(),
                    ..study.row(run)
                };
                table.extend(geometry_rows(&layers, &row));
            }
        }
        if as_in_figure3(study) {
            table.extend(beside(study, &table)?);
        }
        let chosen = columns(panels);
        table.retain(|row| {
            let measure = match &row.condition {
                Some(Condition::Difference(curve)) => in_tables(curve.measure),
                _ => Some(row.measure),
            };
            chosen.iter().any(|(shown, _)| Some(*shown) == measure)
        });
        Ok(table)
    }

    fn draw(&self, study: &Study<'_>, panels: &[&str], table: &[Row]) -> Result<String> {
        let mut note = format!(
            "{}. {} Bars: one standard error over {}. Faint: the best epoch again.",
            study.setting(),
            manifolds_in_words(&study.runs),
            spread_over(&study.runs)
        );
        let published = |row: &Row| matches!(row.condition, Some(Condition::Published(_)));
        if table.iter().any(published) {
            note.push_str(" Rings: published (Stephenson et al. 2021), width 64.");
        }
        draw(self.title(), &columns(panels), table, &note)
    }

    fn comparison(&self, table: &[Row]) -> Option<Comparison> {
        comparison(table)
    }
}

/// The chosen columns.
fn columns(panels: &[&str]) -> Vec<Column> {
    let all = PANELS.iter().zip(COLUMNS);
    let chosen = all.filter(|(panel, _)| panels.contains(panel));
    chosen.map(|(_, column)| column).collect()
}

/// A published measure's name in our tables.
fn in_tables(measure: Published) -> Option<Measure> {
    let found = COLUMNS.into_iter().find(|(_, other)| *other == measure);
    found.map(|(measure, _)| measure)
}

/// What is shown of a run: each group at the best and at the last epoch, by the conventions of the reference. Nothing before the training
/// is finished: which epochs they are is not known.
fn shown(study: &Study<'_>, run: &Rc<Experiment>) -> Result<Vec<(Epoch, GeometryStage)>> {
    let Some(record) = study.record(run)? else {
        return Ok(Vec::new());
    };
    let last = record.last_epoch();
    let epochs = [record.best_epoch(), last];
    let mut stages = Vec::new();
    for (name, epoch) in Epoch::ALL.into_iter().zip(epochs) {
        for group in ExampleGroup::ALL {
            let stage = GeometryStage::new(Rc::clone(run), epoch, group).by_reference();
            stages.push((name, stage));
        }
    }
    Ok(stages)
}

/// The published values as rows, and how far ours lie from them.
fn beside(study: &Study<'_>, ours: &[Row]) -> Result<Vec<Row>> {
    let published = published::figure3()?;
    let row = |epoch: Epoch, group: ExampleGroup| Row {
        epoch: line(ours, &Condition::Shown(epoch), group)
            .next()
            .map_or(0, |row| row.epoch),
        group: group.into(),
        ..study.row(&study.runs[0])
    };
    let mut rows = Vec::new();
    for point in &published {
        let Some(measure) = in_tables(point.measure) else {
            continue;
        };
        rows.push(Row {
            layer_index: Some(point.layer_index),
            layer: Some(LAYERS[point.layer_index].to_owned()),
            condition: Some(Condition::Published(point.epoch)),
            measure,
            value: point.value,
            // Not an error over classes: that of reading the figure.
            standard_error: Some(point.measure.reading_error()),
            count: 1,
            ..row(point.epoch, point.group)
        });
    }
    let measured = measured(ours);
    for difference in differences(&published, &measured, |_, _| 1.0) {
        rows.extend(difference_rows(
            &difference,
            false,
            &row(difference.epoch, difference.group),
        ));
    }
    let factor = |measure, group| offset(&published, &measured, measure, group);
    for difference in differences(&published, &measured, |measure, group| {
        factor(measure, group).unwrap_or(1.0)
    }) {
        // Only the capacity is off at the input.
        if difference.measure == Published::Capacity
            && factor(difference.measure, difference.group).is_some()
        {
            rows.extend(difference_rows(
                &difference,
                true,
                &row(difference.epoch, difference.group),
            ));
        }
    }
    Ok(rows)
}

/// The rows of one curve's differences.
fn difference_rows(difference: &Difference, without_offset: bool, row: &Row) -> [Row; 3] {
    let row = Row {
        condition: Some(Condition::Difference(Curve {
            epoch: difference.epoch,
            measure: difference.measure,
            without_offset,
        })),
        count: difference.points,
        ..row.clone()
    };
    let of = |measure, value| Row {
        measure,
        value,
        ..row.clone()
    };
    let largest = difference.largest_layer;
    [
        of(Measure::MeanDifference, difference.mean),
        Row {
            layer_index: Some(largest),
            layer: Some(LAYERS[largest].to_owned()),
            ..of(Measure::LargestDifference, difference.largest)
        },
        of(Measure::DifferenceInErrors, difference.mean_in_errors),
    ]
}

/// Our values, averaged over runs, as they are compared.
fn measured(rows: &[Row]) -> Vec<Measured> {
    let mut found = Vec::new();
    for epoch in Epoch::ALL {
        for group in ExampleGroup::ALL {
            let condition = Condition::Shown(epoch);
            let line: Vec<&Row> = line(rows, &condition, group).collect();
            for (measure, column) in COLUMNS {
                let points = points(&line, measure).into_iter();
                found.extend(points.map(|(layer, value, standard_error)| Measured {
                    point: LayerPoint {
                        epoch,
                        group,
                        measure: column,
                        layer_index: layer as usize,
                        value,
                    },
                    standard_error,
                }));
            }
        }
    }
    found
}

/// Published over measured value at the input, where nothing is trained, so that both rows of the figure show the same.
///
/// There the mark of test manifolds hides those of the other two groups with true labels, whose published value is then theirs.
fn offset(
    published: &[LayerPoint],
    measured: &[Measured],
    measure: Published,
    group: ExampleGroup,
) -> Option<f64> {
    let at_input = |point: &LayerPoint, group: ExampleGroup| {
        (point.measure, point.group, point.layer_index) == (measure, group, 0)
    };
    let read_of = |group| {
        let read = published.iter().filter(|point| at_input(point, group));
        let values: Vec<f64> = read.map(|point| point.value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let hidden = || match group {
        ExampleGroup::Unpermuted | ExampleGroup::Restored => read_of(ExampleGroup::Test),
        _ => None,
    };
    let ours = measured.iter().find(|m| at_input(&m.point, group))?;
    Some(read_of(group).or_else(hidden)? / ours.point.value)
}

/// The rows of a curve, all measures.
fn line<'a>(
    rows: &'a [Row],
    condition: &'a Condition,
    group: ExampleGroup,
) -> impl Iterator<Item = &'a Row> {
    rows.iter()
        .filter(move |row| row.condition.as_ref() == Some(condition) && row.group == group)
}

/// Two thirds of the way to white.
fn faded(Colour(r, g, b): Colour) -> Colour {
    let fade = |c: u8| 255 - (255 - c) / 3;
    Colour(fade(r), fade(g), fade(b))
}

fn draw(title: &str, columns: &[Column], table: &[Row], note: &str) -> Result<String> {
    ensure!(!columns.is_empty(), "no column is chosen");
    let [left, top, right, below] = MARGINS;
    let count = columns.len() as f64;
    // A single column is as wide as among three.
    let panel_width = (WIDTH - left - right - 2.0 * GAPS.0) / 3.0;
    let wanted = left + right + panel_width * count + GAPS.0 * (count - 1.0);
    let width = wanted.max(left + legend_width());
    let height = top + 2.0 * PANEL_HEIGHT + GAPS.1 + below + foot(note, width);
    let mut canvas = Canvas::new(width, height, title);
    let ours = |row: &&Row| matches!(row.condition, Some(Condition::Shown(_)));
    let names = layer_names(table.iter().filter(ours));
    legend(&mut canvas, (left, 9.0));
    for (index, (measure, _)) in columns.iter().enumerate() {
        let x = left + (panel_width + GAPS.0) * index as f64;
        draw_column(&mut canvas, (x, panel_width), *measure, table, &names);
    }
    for (row, epoch) in Epoch::ALL.into_iter().enumerate() {
        let y = top + (PANEL_HEIGHT + GAPS.1) * row as f64 + PANEL_HEIGHT / 2.0;
        let style = TextStyle::new(TEXT, INK, Anchor::Middle).weight(Weight::Bold);
        let text = format!("{} epoch", epoch.name());
        canvas.text((8.0, y), &text, style.rotated(90.0));
    }
    footnote(&mut canvas, note, (width, height));
    Ok(canvas.finish())
}

fn legend_width() -> f64 {
    let of = |group: ExampleGroup| text_width(group.name(), TEXT, Weight::Bold) + LEGEND_GAP;
    ExampleGroup::ALL.into_iter().map(of).sum()
}

/// The groups in their colours.
fn legend(canvas: &mut Canvas, (mut x, y): (f64, f64)) {
    for group in ExampleGroup::ALL {
        let style = TextStyle::new(TEXT, group_colour(group), Anchor::Start).weight(Weight::Bold);
        canvas.text((x, y), group.name(), style);
        x += text_width(group.name(), TEXT, Weight::Bold) + LEGEND_GAP;
    }
}

/// One measure at both epochs, on one scale.
fn draw_column(
    canvas: &mut Canvas,
    (x, panel_width): (f64, f64),
    measure: Measure,
    table: &[Row],
    names: &[String],
) {
    let top = MARGINS[1];
    let curves = |condition: Condition| -> Vec<(Colour, Vec<Band>)> {
        let curve = |group| {
            let rows: Vec<&Row> = line(table, &condition, group).collect();
            (group_colour(group), points(&rows, measure))
        };
        ExampleGroup::ALL.into_iter().map(curve).collect()
    };
    let rows = Epoch::ALL.map(|epoch| {
        (
            curves(Condition::Shown(epoch)),
            curves(Condition::Published(epoch)),
        )
    });
    let all = rows
        .iter()
        .flat_map(|(ours, published)| ours.iter().chain(published));
    let (low, high) = range(all.flat_map(|(_, points)| points));
    let ticks = nice_ticks(low, high, 4);
    let limits = (ticks[0], ticks[ticks.len() - 1]);
    if let Some(&(_, label, symbol)) = MEASURES.iter().find(|(shown, ..)| *shown == measure) {
        let style = TextStyle::new(TEXT, INK, Anchor::Start);
        canvas.text_with_symbol((x, top - 7.0), label, symbol, style);
    }
    for (row, (ours, published)) in rows.iter().enumerate() {
        let y = top + (PANEL_HEIGHT + GAPS.1) * row as f64;
        let last = names.len().max(2) as f64 - 1.0;
        let area = [x, y, panel_width, PANEL_HEIGHT];
        let panel = Panel::new(area, (-0.5, last + 0.5), limits);
        panel.y_axis(canvas, &ticks, true);
        if row > 0 {
            for (colour, points) in &rows[0].0 {
                panel.line(canvas, points, faded(*colour), false);
            }
        }
        for (colour, points) in published {
            panel.rings(canvas, points, *colour);
        }
        for (colour, points) in ours {
            panel.line(canvas, points, *colour, false);
            panel.dots(canvas, points, *colour);
        }
        panel.frame(canvas);
        panel.x_names(canvas, names, row > 0);
    }
}

/// The differences, for people: every group, then all.
fn comparison(table: &[Row]) -> Option<Comparison> {
    let mut rows = Vec::new();
    for epoch in Epoch::ALL {
        for (_, measure) in COLUMNS {
            for without_offset in [false, true] {
                let curve = Curve {
                    epoch,
                    measure,
                    without_offset,
                };
                let condition = Condition::Difference(curve);
                let groups: Vec<Distances<'_>> = ExampleGroup::ALL
                    .into_iter()
                    .filter_map(|group| distances(line(table, &condition, group), group.name()))
                    .collect();
                rows.extend(groups.iter().map(|group| cells(curve, group)));
                rows.extend(over_groups(&groups).map(|all| cells(curve, &all)));
            }
        }
    }
    const HEADINGS: [&str; 7] = [
        "Epoch",
        "Measure",
        "Group",
        "Points",
        "Mean, %",
        "Largest, %",
        "Mean, in errors",
    ];
    (!rows.is_empty()).then(|| Comparison {
        title: "Beside the published Figure 3".to_owned(),
        text: "How far our values lie from those read off the paper's Figure 3: mean and largest |ours / published − 1| over the layers that \
               are given, and the mean of |ours − published| in units of both errors (ours over classes or runs, and that of reading the \
               figure). The published capacities lie some per cent below those that the reference package itself gives on the same pixels; so \
               capacity stands also with each group's offset at the input divided out (of unpermuted and restored manifolds, whose marks there \
               are hidden by the test ones, to the latter's published value)."
            .to_owned(),
        headings: HEADINGS.map(str::to_owned).to_vec(),
        rows,
    })
}

/// The differences of a curve, or of several.
struct Distances<'a> {
    group: &'a str,
    points: usize,
    mean: f64,
    largest: f64,
    largest_at: String,
    in_errors: f64,
}

fn distances<'a>(rows: impl Iterator<Item = &'a Row>, group: &'a str) -> Option<Distances<'a>> {
    let rows: Vec<&Row> = rows.collect();
    let of = |measure| rows.iter().find(|row| row.measure == measure);
    let largest = of(Measure::LargestDifference)?;
    Some(Distances {
        group,
        points: largest.count,
        mean: of(Measure::MeanDifference)?.value,
        largest: largest.value,
        largest_at: largest.layer.clone()?,
        in_errors: of(Measure::DifferenceInErrors)?.value,
    })
}

/// The mean over the points of all groups.
fn over_groups<'a>(groups: &[Distances<'a>]) -> Option<Distances<'a>> {
    let points: usize = groups.iter().map(|group| group.points).sum();
    let mean = |value: fn(&Distances<'_>) -> f64| {
        let sum: f64 = groups.iter().map(|g| g.points as f64 * value(g)).sum();
        sum / points as f64
    };
    let worst = groups
        .iter()
        .max_by(|a, b| a.largest.total_cmp(&b.largest))?;
    Some(Distances {
        group: ALL_GROUPS,
        points,
        mean: mean(|group| group.mean),
        largest: worst.largest,
        largest_at: format!("{}, {}", worst.group, worst.largest_at),
        in_errors: mean(|group| group.in_errors),
    })
}

fn cells(curve: Curve, found: &Distances<'_>) -> Vec<String> {
    let offset = if curve.without_offset {
        ", offset divided out"
    } else {
        ""
    };
    vec![
        curve.epoch.name().to_owned(),
        format!("{}{offset}", curve.measure.name()),
        found.group.to_owned(),
        found.points.to_string(),
        format!("{:.1}", 100.0 * found.mean),
        format!("{:.1} ({})", 100.0 * found.largest, found.largest_at),
        format!("{:.1}", found.in_errors),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::geometry::tests::table;
    use super::*;
    use mftma_draw::{clipped_texts, to_png};

    /// The published values as if measured, times `factor`, in two runs that differ by `spread`.
    fn rows(factor: f64, spread: f64) -> Vec<Row> {
        let plain = table().remove(0);
        let mut rows = Vec::new();
        let mut points = published::figure3().unwrap();
        // What the mark of the test manifolds hides.
        for group in [ExampleGroup::Unpermuted, ExampleGroup::Restored] {
            points.push(LayerPoint {
                epoch: Epoch::Best,
                group,
                measure: Published::Capacity,
                layer_index: 0,
                value: 0.041,
            });
        }
        for point in points {
            for (seed, sign) in [(1, 1.0), (2, -1.0)] {
                rows.push(Row {
                    seed,
                    layer_index: Some(point.layer_index),
                    layer: Some(LAYERS[point.layer_index].into()),
                    condition: Some(Condition::Shown(point.epoch)),
                    group: point.group.into(),
                    measure: in_tables(point.measure).unwrap(),
                    value: factor * point.value * (1.0 + sign * spread),
                    ..plain.clone()
                });
            }
        }
        rows
    }

    fn differences_of(rows: &[Row], without_offset: bool) -> Vec<Difference> {
        let published = published::figure3().unwrap();
        let measured = measured(rows);
        differences(
            &published,
            &measured,
            |measure, group| match without_offset {
                true => offset(&published, &measured, measure, group).unwrap_or(1.0),
                false => 1.0,
            },
        )
    }

    #[test]
    fn runs_are_averaged_and_an_offset_at_the_input_is_taken_out() {
        let found = differences_of(&rows(1.0, 0.1), false);
        assert_eq!(found.iter().map(|d| d.points).sum::<usize>(), 334);
        assert!(found.iter().all(|d| d.largest < 1e-9));
        let found = differences_of(&rows(1.05, 0.0), false);
        assert!(found.iter().all(|d| (d.mean - 0.05).abs() < 1e-9));
        for difference in differences_of(&rows(1.05, 0.0), true) {
            // Two rows of the input are read to three digits: they may differ by a reading error.
            if difference.measure == Published::Capacity {
                assert!(difference.mean < 0.02, "{difference:?}");
            }
        }
    }

    #[test]
    fn the_comparison_says_what_the_rows_say() {
        let difference = |group, mean, points| Difference {
            epoch: Epoch::Best,
            measure: Published::Radius,
            group,
            points,
            mean,
            largest: 2.0 * mean,
            largest_layer: 19,
            mean_in_errors: 10.0 * mean,
        };
        let plain = table().remove(0);
        let mut rows = Vec::new();
        for (group, mean, points) in [
            (ExampleGroup::Permuted, 0.01, 10),
            (ExampleGroup::Test, 0.04, 20),
        ] {
            let row = Row {
                group: group.into(),
                ..plain.clone()
            };
            rows.extend(difference_rows(
                &difference(group, mean, points),
                false,
                &row,
            ));
        }
        let found = comparison(&rows).unwrap();
        assert_eq!(found.rows.len(), 3);
        assert_eq!(
            found.rows[2],
            [
                "best",
                "radius",
                "all",
                "30",
                "3.0",
                "8.0 (test, fc1)",
                "0.3"
            ]
        );
        assert_eq!(
            found.rows[0][2..],
            ["permuted", "10", "1.0", "2.0 (fc1)", "0.1"]
        );
        assert_eq!(comparison(&[plain]), None);
    }

    #[test]
    fn no_text_leaves_the_page_and_one_panel_is_a_page_of_its_own() {
        let mut table = rows(1.02, 0.01);
        let published: Vec<Row> = table
            .iter()
            .map(|row| match row.condition {
                Some(Condition::Shown(epoch)) => Row {
                    condition: Some(Condition::Published(epoch)),
                    ..row.clone()
                },
                _ => row.clone(),
            })
            .collect();
        table.extend(published);
        for panels in [&["a", "b", "c"][..], &["b"]] {
            let svg = draw("A title", &columns(panels), &table, "A note.").unwrap();
            assert_eq!(clipped_texts(&svg), Vec::<String>::new());
            assert!(to_png(&svg, 72.0).is_ok());
        }
    }
}
