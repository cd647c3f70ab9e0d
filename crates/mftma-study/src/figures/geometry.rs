//! What the figures of manifold geometry share: stages, table rows, and panels of measures by layer.

use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::{Context, Result};
use mftma_data::ExampleGroup;

use super::group_colour;
use super::{Figure, Study, geometry_rows, over_runs};
use crate::cache::Stage;
use crate::experiment::Experiment;
use crate::stages::{GeometryStage, LayerGeometry, TrainStage};
use crate::table::{Condition, Measure, Row};
use mftma_draw::{
    Anchor, Band, Canvas, Colour, INK, Panel, TextStyle, Weight, colour_bar, epoch_colour,
    footnote, nice_ticks,
};

/// A measure as it is drawn: which, label, symbol and its subscript.
pub type Shown = (Measure, &'static str, (&'static str, &'static str));

/// The names of the panels.
pub const PANELS: [&str; 4] = ["a", "b", "c", "d"];
/// What each panel shows, of all columns side by side.
pub const MEASURES: [Shown; 4] = [
    (Measure::CAPACITY, "Capacity", ("α", "M")),
    (Measure::RADIUS, "Radius", ("R", "M")),
    (Measure::DIMENSION, "Dimension", ("D", "M")),
    (
        Measure::CENTRE_CORRELATION,
        "Centre correl.",
        ("ρ", "centre"),
    ),
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

/// A figure of four measures by layer and epoch for the four example groups: the main run's, or another experiment's.
pub struct GeometryFigure {
    /// The name on the command line and of the files.
    pub name: &'static str,
    /// What it shows, in one line.
    pub title: &'static str,
    /// The profile's table of points and manifolds.
    pub table: &'static str,
    /// Whose layers are measured.
    pub runs: fn(&Study<'_>) -> Result<Runs>,
}

/// The runs of a figure, or why the profile has none.
pub enum Runs {
    /// At least one run.
    Chosen(Vec<Rc<Experiment>>),
    /// The profile leaves the figure out, for the reason given.
    LeftOut(String),
}

impl GeometryFigure {
    fn chosen(&self, study: &Study<'_>) -> Result<Vec<Rc<Experiment>>> {
        Ok(match (self.runs)(study)? {
            Runs::Chosen(runs) => runs,
            Runs::LeftOut(_) => Vec::new(),
        })
    }
}

impl Figure for GeometryFigure {
    fn name(&self) -> &'static str {
        self.name
    }

    fn title(&self) -> &'static str {
        self.title
    }

    fn caption(&self, study: &Study<'_>) -> String {
        match (self.runs)(study) {
            Ok(Runs::Chosen(runs)) => format!(
                "{}. Colours are epochs; columns are the four example groups. {}",
                self.title,
                caption(&runs)
            ),
            Ok(Runs::LeftOut(why)) => format!("{LEFT_OUT}{why}"),
            Err(error) => format!("{error:#}"),
        }
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn check(&self, study: &Study<'_>) -> Result<()> {
        for run in self.chosen(study)? {
            for group in ExampleGroup::ALL {
                check_size(&GeometryStage::new(Rc::clone(&run), 0, group), self.table)?;
            }
        }
        Ok(())
    }

    fn stages(&self, study: &Study<'_>, _panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        let mut stages = Vec::new();
        for run in self.chosen(study)? {
            stages.extend(train_and_measure(&run, study, &ExampleGroup::ALL)?);
        }
        Ok(stages)
    }

    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>> {
        let mut table = Vec::new();
        for run in self.chosen(study)? {
            let stages = study.geometry(&run, &ExampleGroup::ALL)?;
            table.extend(rows(&run, study, &stages, None)?);
        }
        retain_shown(&mut table, panels);
        Ok(table)
    }

    fn draw(&self, study: &Study<'_>, panels: &[&str], table: &[Row]) -> Result<String> {
        Ok(match (self.runs)(study)? {
            Runs::Chosen(runs) => {
                let series = ("Epoch", &by_epoch as &dyn Fn(&Row) -> _);
                draw_groups(
                    self.title,
                    table,
                    series,
                    &measures_of(panels),
                    &note(&runs, &study.setting_of(&runs)),
                )
            }
            Runs::LeftOut(why) => left_out(self.title, &why),
        })
    }
}

/// Checks that there are as many examples as `table` of the profile asks for.
pub fn check_size(stage: &GeometryStage, table: &str) -> Result<()> {
    let manifolds = stage.manifolds();
    manifolds.with_context(|| format!("{table}.points or {table}.manifolds of the profile"))?;
    Ok(())
}

/// How the text of a page without a figure begins.
pub const LEFT_OUT: &str = "Left out: ";

/// A page that says why there is no figure.
fn left_out(title: &str, why: &str) -> String {
    let mut canvas = Canvas::new(WIDTH, 60.0, title);
    let style = TextStyle::new(TEXT, INK, Anchor::Start).weight(Weight::Bold);
    canvas.text((6.0, 16.0), title, style);
    footnote(&mut canvas, &format!("{LEFT_OUT}{why}"), (WIDTH, 60.0));
    canvas.finish()
}

/// What the chosen panels show.
pub fn measures_of(panels: &[&str]) -> Vec<Shown> {
    let chosen = PANELS
        .iter()
        .zip(MEASURES)
        .filter(|(panel, _)| panels.contains(panel));
    chosen.map(|(_, measure)| measure).collect()
}

/// Leaves the rows of the chosen panels. What no panel shows is in the table of the whole figure.
pub fn retain_shown(rows: &mut Vec<Row>, panels: &[&str]) {
    let shown = |panels: &[&str], measure| {
        let shown = measures_of(panels);
        shown.iter().any(|(name, ..)| *name == measure)
    };
    rows.retain(|row| {
        // K, the directions removed, belongs with the correlation that they explain.
        let measure = match row.measure {
            Measure::CENTRE_RANK => Measure::CENTRE_CORRELATION,
            other => other,
        };
        shown(panels, measure) || panels == PANELS && !shown(&PANELS, measure)
    });
}

/// For the report: the panels of the measures of these runs.
pub fn caption(runs: &[Rc<Experiment>]) -> String {
    let Some(run) = runs.first() else {
        return String::new();
    };
    let geometry = &run.settings.geometry;
    let bands = spread_over(runs);
    format!(
        "Layers from input to output along each horizontal axis. a: capacity, the load up to which classes can be separated (harmonic \
         mean over classes). b: radius and c: dimension of the anchor points (means over classes); small ones make classes separable. \
         d: mean absolute cosine between the centres of two classes. Mean-field theory on the outputs of each layer: {} points of each \
         class at most, {} Gaussian vectors, margin {}. Bands: one standard error over {bands} (for d, half a 68 % interval over resampled classes).",
        geometry.points, geometry.gaussian_vectors, geometry.margin,
    )
}

/// Training and geometry of a run, in the order in which they must be done.
pub fn train_and_measure(
    run: &Rc<Experiment>,
    study: &Study<'_>,
    groups: &[ExampleGroup],
) -> Result<Vec<Box<dyn Stage>>> {
    let mut stages: Vec<Box<dyn Stage>> = vec![Box::new(TrainStage::new(Rc::clone(run)))];
    for stage in study.geometry(run, groups)? {
        stages.push(Box::new(stage));
    }
    Ok(stages)
}

/// The rows of finished stages of one run.
pub fn rows(
    run: &Experiment,
    study: &Study<'_>,
    stages: &[GeometryStage],
    condition: Option<Condition>,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for stage in stages {
        let layers: Vec<LayerGeometry> = study.cache.output(stage)?;
        let row = Row {
            epoch: stage.epoch(),
            condition: condition.clone(),
            group: stage.group().into(),
            ..study.row(run)
        };
        rows.extend(geometry_rows(&layers, &row));
    }
    Ok(rows)
}

/// What the bands and manifolds of these runs are, for the foot of a figure, after what stands about their `setting`.
pub fn note(runs: &[Rc<Experiment>], setting: &str) -> String {
    let (manifolds, over) = (manifolds_in_words(runs), spread_over(runs));
    format!("{setting}. {manifolds} Bands: one standard error over {over}.")
}

/// What standard errors of these runs are taken over.
pub fn spread_over(runs: &[Rc<Experiment>]) -> &'static str {
    match runs.len() {
        1 => "classes",
        _ => "runs",
    }
}

/// How many manifolds of these runs are measured, and how finely.
pub fn manifolds_in_words(runs: &[Rc<Experiment>]) -> String {
    let geometry = &runs[0].settings.geometry;
    format!(
        "P = {} manifolds of M = {} points, {} Gaussian vectors, margin {}.",
        geometry.manifolds.min(runs[0].data.dataset().classes()),
        geometry.points,
        geometry.gaussian_vectors,
        geometry.margin,
    )
}

/// One column of panels.
pub struct Column<'a> {
    /// What stands above it.
    pub heading: String,
    /// The heading's colour.
    pub colour: Colour,
    /// The lines, first drawn first.
    pub lines: Vec<Line<'a>>,
}

/// One line in each panel of a column.
pub struct Line<'a> {
    /// Its colour.
    pub colour: Colour,
    /// Whether it is broken, and without band.
    pub dashed: bool,
    /// Rows of every measure.
    pub rows: Vec<&'a Row>,
}

/// A colour bar: a title, and its entries from below.
pub struct Key {
    /// What the colours stand for.
    pub title: String,
    /// Label and colour of each step.
    pub entries: Vec<(String, Colour)>,
}

impl Key {
    /// Colours by rank, from early to late on the epoch scale: values are chosen close together where much happens.
    pub fn ranked(title: &str, labels: &[String]) -> Self {
        let last = labels.len().max(2) as f64 - 1.0;
        Self {
            title: title.to_owned(),
            entries: labels
                .iter()
                .enumerate()
                .map(|(index, label)| (label.clone(), epoch_colour(index as f64 / last)))
                .collect(),
        }
    }
}

/// Which line a row belongs to: its rank and its label.
pub type Series<'a> = &'a dyn Fn(&Row) -> (usize, String);

/// A column for each example group, a line for each value of `series`.
pub fn draw_groups(
    title: &str,
    table: &[Row],
    (key, series): (&str, Series<'_>),
    measures: &[Shown],
    note: &str,
) -> String {
    let values: BTreeSet<(usize, String)> = table.iter().map(series).collect();
    let labels: Vec<String> = values.iter().map(|(_, label)| label.clone()).collect();
    let key = Key::ranked(key, &labels);
    let columns: Vec<Column<'_>> = ExampleGroup::ALL
        .into_iter()
        .map(|group| Column {
            heading: group.name().to_owned(),
            colour: group_colour(group),
            lines: values
                .iter()
                .zip(&key.entries)
                .map(|(value, (_, colour))| {
                    let rows = table
                        .iter()
                        .filter(|row| row.group == group && series(row) == *value);
                    Line {
                        colour: *colour,
                        dashed: false,
                        rows: rows.collect(),
                    }
                })
                .collect(),
        })
        .collect();
    draw_columns(title, &columns, &[key], measures, note)
}

/// A line for each epoch.
pub fn by_epoch(row: &Row) -> (usize, String) {
    (row.epoch, row.epoch.to_string())
}

/// The points of a line in one panel: the values over layers, averaged over runs.
pub fn points(rows: &[&Row], measure: Measure) -> Vec<Band> {
    let layers: BTreeSet<usize> = rows.iter().filter_map(|row| row.layer_index).collect();
    layers
        .into_iter()
        .filter_map(|layer| {
            let values: Vec<_> = rows
                .iter()
                .filter(|row| row.layer_index == Some(layer) && row.measure == measure)
                .map(|row| (row.value, row.standard_error))
                .collect();
            let (mean, error) = over_runs(&values);
            (!values.is_empty()).then_some((layer as f64, mean, error))
        })
        .collect()
}

/// The names of the layers of a table, in their order.
pub fn layer_names<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<String> {
    let names: BTreeSet<(usize, &str)> = rows
        .filter_map(|row| Some((row.layer_index?, row.layer.as_deref()?)))
        .collect();
    names.into_iter().map(|(_, name)| name.to_owned()).collect()
}

/// Panels of measures over layers, a row each; the keys stand one below the other at the right.
pub fn draw_columns(
    title: &str,
    columns: &[Column<'_>],
    keys: &[Key],
    measures: &[Shown],
    note: &str,
) -> String {
    let [left, top, right, bottom] = MARGINS;
    let count = columns.len() as f64;
    let panel_width = (WIDTH - left - right - GAPS.0 * (count - 1.0)) / count;
    let rows_height = PANEL_HEIGHT * measures.len() as f64 + GAPS.1 * (measures.len() - 1) as f64;
    let height = top + rows_height + bottom;
    let mut canvas = Canvas::new(WIDTH, height, title);
    let every_row = columns.iter().flat_map(|column| &column.lines);
    let names = layer_names(every_row.flat_map(|line| line.rows.iter().copied()));

    for (index, column) in columns.iter().enumerate() {
        let x = left + (panel_width + GAPS.0) * index as f64;
        let style = TextStyle::new(TEXT, column.colour, Anchor::Start).weight(Weight::Bold);
        canvas.text((x, top - 8.0), &column.heading, style);
        canvas.rectangle([x, top - 5.5, panel_width, 1.2], column.colour);
    }
    for (row, &(measure, label, symbol)) in measures.iter().enumerate() {
        let y = top + (PANEL_HEIGHT + GAPS.1) * row as f64;
        // One scale for all columns, so that they compare at a glance.
        let lines: Vec<Vec<(&Line<'_>, Vec<Band>)>> = columns
            .iter()
            .map(|column| {
                let lines = column.lines.iter();
                lines
                    .map(|line| (line, points(&line.rows, measure)))
                    .collect()
            })
            .collect();
        let (low, high) = range(lines.iter().flatten().flat_map(|(_, points)| points));
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
            for (line, points) in lines.iter().filter(|(line, _)| !line.dashed) {
                panel.band(&mut canvas, points, line.colour);
            }
            for (line, points) in lines {
                if line.dashed {
                    panel.dashed(&mut canvas, points, line.colour);
                } else {
                    panel.line(&mut canvas, points, line.colour, false);
                }
            }
            panel.frame(&mut canvas);
            panel.x_names(&mut canvas, &names, row + 1 == measures.len());
        }
    }
    let mut y = top;
    for key in keys {
        let room = (rows_height - (y - top)).max(0.0);
        let bar_height = (11.0 * key.entries.len() as f64).min(room);
        let area = [WIDTH - right + 12.0, y, 8.0, bar_height];
        colour_bar(&mut canvas, area, &key.title, &key.entries);
        y += bar_height + 28.0;
    }
    footnote(&mut canvas, note, (WIDTH, height));
    canvas.finish()
}

/// The range of values with their errors, 0 included: all four measures have a meaningful zero.
pub fn range<'a>(points: impl Iterator<Item = &'a Band>) -> (f64, f64) {
    points.fold((0.0, 0.0), |(low, high): (f64, f64), &(_, value, error)| {
        (low.min(value - error), high.max(value + error))
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use mftma_draw::{clipped_texts, to_png};

    /// A table with the longest names and largest numbers that come up.
    pub fn table() -> Vec<Row> {
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
                            layer: Some(format!("b2_conv{layer}")),
                            epoch,
                            step: None,
                            condition: None,
                            group: group.into(),
                            measure,
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

    fn draw(table: &[Row], note: &str) -> String {
        draw_groups("A title", table, ("Epoch", &by_epoch), &MEASURES, note)
    }

    #[test]
    fn no_label_is_clipped() {
        let svg = draw(&table(), &"A long note. ".repeat(20));
        assert_eq!(clipped_texts(&svg), Vec::<String>::new());
    }

    #[test]
    fn the_test_for_clipping_can_fail() {
        let mut table = table();
        for row in &mut table {
            row.layer = row.layer.take().map(|name| format!("stage4_block2_{name}"));
        }
        assert!(!clipped_texts(&draw(&table, "")).is_empty());
    }

    #[test]
    fn the_png_is_a_png_of_the_printed_size() {
        let png = to_png(&draw(&table(), "note"), 300.0).unwrap();
        assert_eq!(&png[1..4], b"PNG");
        let width = u32::from_be_bytes([png[16], png[17], png[18], png[19]]);
        assert_eq!(width, (WIDTH / 72.0 * 300.0).ceil() as u32);
    }

    #[test]
    fn lines_average_over_runs_and_keep_the_order_of_layers() {
        let rows = table();
        let mut rows: Vec<&Row> = rows
            .iter()
            .filter(|row| row.epoch == 5 && row.group == ExampleGroup::Test)
            .collect();
        rows.reverse();
        let points = points(&rows, Measure::RADIUS);
        assert_eq!(points.len(), 17);
        assert!(points.windows(2).all(|w| w[0].0 < w[1].0));
        assert_eq!(points[0], (0.0, 1005.0, 10.0));
    }

    #[test]
    fn a_figure_that_is_left_out_says_so() {
        let svg = left_out("Tiny ImageNet", "It needs a download.");
        assert!(svg.contains("Left out: It needs a download."));
        assert_eq!(clipped_texts(&svg), Vec::<String>::new());
    }

    #[test]
    fn several_keys_stand_below_one_another() {
        let table = table();
        let labels: Vec<String> = (0..7).map(|i| (i * 1000).to_string()).collect();
        let keys: Vec<Key> = ["P", "M", "n_t"].map(|t| Key::ranked(t, &labels)).into();
        let column = Column {
            heading: "number of manifolds P".into(),
            colour: INK,
            lines: vec![Line {
                colour: INK,
                dashed: true,
                rows: table.iter().collect(),
            }],
        };
        let svg = draw_columns("A title", &[column], &keys, &MEASURES, "");
        assert_eq!(clipped_texts(&svg), Vec::<String>::new());
    }
}
