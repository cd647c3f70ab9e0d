//! The figures: one file each, with the figure's own settings at its top.
//!
//! A figure names the stages it needs and draws from their outputs. It computes nothing expensive.

mod agreement;
mod fig1;
mod fig2;
mod fig3;
mod fig4;
mod fig5;
mod geometry;
mod s1;
mod s10;
mod s2;
mod s3;
mod s4;
mod s5;
mod s6;
mod s7;
mod s8;
mod s9;
mod supplement;

use std::rc::Rc;

use anyhow::{Result, bail};
use mftma::Geometry;
use mftma::measures::{Kind, MeanKind};
use mftma_data::ExampleGroup;
use mftma_draw::{Band, Colour, Weight, text_width};

use crate::cache::Stage;
use crate::experiment::Experiment;
use crate::stages::LayerGeometry;
pub use crate::study::Study;
use crate::table::{Measure, OfManifolds, Row};

pub use geometry::LEFT_OUT;

/// A figure of the study.
pub trait Figure {
    /// The name on the command line and of the files: `fig3`.
    fn name(&self) -> &'static str;

    /// What it shows, in one line.
    fn title(&self) -> &'static str;

    /// For the report: what each panel shows, how it was made, and what bands and symbols mean. Plain text.
    fn caption(&self, study: &Study<'_>) -> String;

    /// The names of its panels, in order: `a`, `b`, …
    fn panels(&self) -> &'static [&'static str];

    /// Checks before any work begins that the data allow what the figure needs.
    fn check(&self, _study: &Study<'_>) -> Result<()> {
        Ok(())
    }

    /// The stages that some of its panels need, each after those it builds on. Called again as stages finish: what is
    /// needed may depend on them (training may end before its last planned epoch).
    fn stages(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Box<dyn Stage>>>;

    /// The table that these panels are drawn from; every stage is finished.
    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>>;

    /// Draws these panels, and no others, from their table as SVG.
    fn draw(&self, study: &Study<'_>, panels: &[&str], table: &[Row]) -> Result<String>;

    /// What its table says beside the claims, in sentences made from its numbers: no verdict. Shown below the caption.
    fn reading(&self, _table: &[Row]) -> Option<String> {
        None
    }

    /// How its table compares with published values, where it holds them.
    fn comparison(&self, _table: &[Row]) -> Option<Comparison> {
        None
    }
}

/// A comparison with published values, for the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What is compared.
    pub title: String,
    /// How, in a few sentences.
    pub text: String,
    /// Headings of the columns.
    pub headings: Vec<String>,
    /// The rows; those over all groups have `all` as their group.
    pub rows: Vec<Vec<String>>,
}

/// A figure with the panels of it that were asked for.
pub struct Selection {
    /// The figure.
    pub figure: Box<dyn Figure>,
    /// All its panels, or one of them.
    pub panels: Vec<&'static str>,
}

impl Selection {
    /// Every panel of a figure.
    pub fn whole(figure: Box<dyn Figure>) -> Self {
        let panels = figure.panels().to_vec();
        Self { figure, panels }
    }

    /// The name of the files, without ending: `fig3`, or `fig3-b` for a panel of several.
    pub fn stem(&self) -> String {
        if self.panels == self.figure.panels() {
            self.figure.name().to_owned()
        } else {
            format!("{}-{}", self.figure.name(), self.panels.join("-"))
        }
    }

    /// The stages it needs.
    pub fn stages(&self, study: &Study<'_>) -> Result<Vec<Box<dyn Stage>>> {
        self.figure.stages(study, &self.panels)
    }

    /// Its table.
    pub fn table(&self, study: &Study<'_>) -> Result<Vec<Row>> {
        self.figure.table(study, &self.panels)
    }

    /// The table drawn as SVG.
    pub fn draw(&self, study: &Study<'_>, table: &[Row]) -> Result<String> {
        self.figure.draw(study, &self.panels, table)
    }
}

impl Study<'_> {
    /// A row of a run, about the whole network: of its test examples' accuracy, until the caller says otherwise.
    pub fn row(&self, run: &Experiment) -> Row {
        Row {
            profile: self.profile_name.to_owned(),
            dataset: run.data.dataset().name().to_owned(),
            architecture: run.settings.network.architecture.to_string(),
            width: run.settings.network.width,
            seed: run.seed,
            layer_index: None,
            layer: None,
            epoch: 0,
            step: None,
            condition: None,
            group: ExampleGroup::Test.into(),
            measure: Measure::Accuracy,
            value: f64::NAN,
            standard_error: None,
            standard_error_vectors: None,
            count: 0,
        }
    }

    /// One line about network and data, for the foot of a figure.
    pub fn setting(&self) -> String {
        self.setting_of(&self.runs)
    }

    /// The same for the runs of another experiment; at least one.
    pub fn setting_of(&self, runs: &[Rc<Experiment>]) -> String {
        let permuted = 100.0 * runs[0].settings.data.permuted_fraction;
        self.setting_with(runs, &format!("{permuted:.0} % of labels permuted"))
    }

    /// The same with other words about the permuted labels.
    pub fn setting_with(&self, runs: &[Rc<Experiment>], permuted: &str) -> String {
        let run = &runs[0];
        let network = &run.settings.network;
        let train = run.data.dataset().train().len();
        let classes = run.data.dataset().classes();
        let runs = runs_in_words(runs.len() as u64);
        format!(
            "{}, width {} (published: 64), on {}: {train} training images of {classes} classes, {permuted}; {runs}",
            network.architecture.title(),
            network.width,
            run.settings.data.dataset,
        )
    }
}

/// All figures, in the order of the paper.
pub fn all() -> Vec<Box<dyn Figure>> {
    vec![
        Box::new(fig1::Figure1),
        Box::new(fig2::Figure2),
        Box::new(fig3::Figure3),
        Box::new(fig4::Figure4),
        Box::new(fig5::Figure5),
        Box::new(s1::FIGURE),
        Box::new(s2::FIGURE),
        Box::new(s3::FIGURE),
        Box::new(s4::FigureS4),
        Box::new(s5::FigureS5),
        Box::new(s6::FigureS6),
        Box::new(s7::FIGURE),
        Box::new(s8::FigureS8),
        Box::new(s9::FigureS9),
        Box::new(s10::FigureS10),
    ]
}

/// What was asked for: figures by name, one panel of a figure, or everything where no name is given.
pub fn select(names: &[String], panel: Option<&str>) -> Result<Vec<Selection>> {
    let mut figures = all();
    if names.is_empty() {
        return Ok(figures.into_iter().map(Selection::whole).collect());
    }
    let known: Vec<&str> = figures.iter().map(|figure| figure.name()).collect();
    for name in names {
        if !known.contains(&name.as_str()) {
            let known = known.join(", ");
            bail!("no figure is called {name:?}: give some of {known}, or none for all");
        }
    }
    figures.retain(|figure| names.iter().any(|name| name == figure.name()));
    let mut selected: Vec<Selection> = figures.into_iter().map(Selection::whole).collect();
    if let Some(panel) = panel {
        let [selection] = selected.as_mut_slice() else {
            bail!(
                "--panel {panel} belongs to one figure, but {} are named",
                selected.len()
            );
        };
        let known = selection.panels.join(", ");
        selection.panels.retain(|known| *known == panel);
        if selection.panels.is_empty() {
            let name = selection.figure.name();
            bail!("{name} has no panel {panel:?}: give one of {known}, or none for all");
        }
    }
    Ok(selected)
}

/// The colour of an example group in every figure: from the palette of Okabe and Ito, which stays distinct under the
/// common colour-vision deficiencies; permuted examples are orange, as in the paper.
pub fn group_colour(group: ExampleGroup) -> Colour {
    match group {
        ExampleGroup::Unpermuted => Colour(0x00, 0x72, 0xB2),
        ExampleGroup::Permuted => Colour(0xE6, 0x9F, 0x00),
        ExampleGroup::Restored => Colour(0x00, 0x9E, 0x73),
        ExampleGroup::Test => Colour(0x66, 0x66, 0x66),
    }
}

/// Room for a note at the foot of a page of some width, in points: no less than it needs.
pub fn foot(note: &str, width: f64) -> f64 {
    let wide = |text: &str| text_width(text, 5.0, Weight::Regular);
    let longest = note.split(' ').map(wide).fold(0.0, f64::max);
    // Every line but the last is full up to the word that did not fit.
    let filled = (width - 12.0 - longest - wide(" ")).max(1.0);
    8.0 + 6.5 * (wide(note) / filled).ceil()
}

/// `one run`, `3 runs`.
pub fn runs_in_words(runs: u64) -> String {
    if runs == 1 {
        "one run".to_owned()
    } else {
        format!("{runs} runs")
    }
}

/// Mean over runs of values with their standard errors.
///
/// With one run the error is the value's own; with several it is that of the mean over runs.
pub fn over_runs(values: &[(f64, Option<f64>)]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|(value, _)| value).sum::<f64>() / n;
    match values {
        [(_, error)] => (mean, error.unwrap_or(0.0)),
        _ => {
            let squares: f64 = values.iter().map(|(value, _)| (value - mean).powi(2)).sum();
            (mean, (squares / (n - 1.0) / n).sqrt())
        }
    }
}

/// A value and its own standard error.
type Scored = (f64, Option<f64>);

/// Means over runs with their errors ([`over_runs`]), at each place that `at` gives a row, rising; rows without one are left out.
pub fn means_over_runs<'a>(
    rows: impl IntoIterator<Item = &'a Row>,
    at: impl Fn(&Row) -> Option<f64>,
) -> Vec<Band> {
    let mut found: Vec<(f64, Vec<Scored>)> = Vec::new();
    for row in rows {
        let Some(x) = at(row) else { continue };
        match found.iter_mut().find(|(known, _)| *known == x) {
            Some((_, values)) => values.push((row.value, row.standard_error)),
            None => found.push((x, vec![(row.value, row.standard_error)])),
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found
        .into_iter()
        .map(|(x, values)| {
            let (mean, error) = over_runs(&values);
            (x, mean, error)
        })
        .collect()
}

/// Rows of every layer that has a geometry. `row` says whose geometry it is: epoch, group and condition are the caller's.
pub fn geometry_rows(layers: &[LayerGeometry], row: &Row) -> Vec<Row> {
    let mut rows = Vec::new();
    for layer in layers {
        let Some(geometry) = &layer.geometry else {
            continue;
        };
        let row = Row {
            layer_index: Some(layer.layer_index),
            layer: Some(layer.layer.clone()),
            count: geometry.manifolds.len(),
            ..row.clone()
        };
        rows.extend(measures(geometry).into_iter().map(
            |(measure, value, standard_error, standard_error_vectors)| Row {
                measure,
                value,
                standard_error,
                standard_error_vectors,
                ..row.clone()
            },
        ));
    }
    rows
}

/// The measures of a layer: which, value, standard error over classes, standard error over Gaussian vectors.
fn measures(geometry: &Geometry) -> Vec<(Measure, f64, Option<f64>, Option<f64>)> {
    let row = |measure: OfManifolds| {
        let entry = measure.entry();
        let reading = entry.of_layer(geometry)?;
        let error = match entry.kind {
            Kind::Averaged(mean) => error_over_manifolds(entry, mean, reading.value, geometry),
            // A mean over pairs has no simple error: half the 68 % interval over resampled classes stands for it.
            _ => reading.interval.map(|i| (i.upper - i.lower) / 2.0),
        };
        Some((measure.into(), reading.value, error, reading.standard_error))
    };
    OfManifolds::all().filter_map(row).collect()
}

/// Standard error, over the manifolds of a layer, of the mean of a measure.
fn error_over_manifolds(
    measure: &mftma::measures::Measure,
    kind: MeanKind,
    mean: f64,
    geometry: &Geometry,
) -> Option<f64> {
    let manifolds = geometry.manifolds.iter();
    let values = manifolds.filter_map(|manifold| Some(measure.of_manifold(manifold)?.value));
    match kind {
        MeanKind::Arithmetic => error_of_mean(&values.collect::<Vec<_>>()),
        // The mean is 1 / mean(1/x), so its error is its square times that of mean(1/x).
        MeanKind::Harmonic => {
            let inverse: Vec<f64> = values.map(|value| 1.0 / value).collect();
            error_of_mean(&inverse).map(|error| mean.powi(2) * error)
        }
    }
}

/// Standard error of the mean of values; none for fewer than two.
fn error_of_mean(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    (values.len() > 1).then(|| {
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / (n - 1.0) / n).sqrt()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_over_runs_carries_the_error_between_them() {
        assert_eq!(over_runs(&[(2.0, Some(0.5))]), (2.0, 0.5));
        let (mean, error) = over_runs(&[(1.0, Some(9.0)), (3.0, None)]);
        assert_eq!(mean, 2.0);
        assert!((error - 1.0).abs() < 1e-12);
    }

    #[test]
    fn unknown_figures_are_refused_with_the_known_names() {
        let refused = |names: &[&str], panel| {
            let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
            select(&names, panel).err().unwrap().to_string()
        };
        let error = refused(&["fig1", "fig99"], None);
        assert!(error.contains("fig99") && error.contains("fig3"), "{error}");
        let error = refused(&["fig3"], Some("z"));
        assert!(error.contains("a, b, c"), "{error}");
        let error = refused(&["fig3", "fig4"], Some("a"));
        assert!(error.contains("one figure"), "{error}");
        assert_eq!(select(&[], None).unwrap().len(), all().len());
    }

    #[test]
    fn several_figures_come_once_each_in_the_papers_order() {
        let names = ["fig4", "fig3", "fig4"].map(String::from);
        let stems: Vec<String> = select(&names, None)
            .unwrap()
            .iter()
            .map(Selection::stem)
            .collect();
        assert_eq!(stems, ["fig3", "fig4"]);
    }

    #[test]
    fn a_panel_has_files_of_its_own() {
        let stem = |panel| select(&["fig3".into()], panel).unwrap()[0].stem();
        assert_eq!(stem(None), "fig3");
        assert_eq!(stem(Some("b")), "fig3-b");
    }

    #[test]
    fn errors_of_means_by_hand() {
        assert_eq!(error_of_mean(&[1.0]), None);
        assert!((error_of_mean(&[1.0, 3.0]).unwrap() - 1.0).abs() < 1e-12);
    }
}
