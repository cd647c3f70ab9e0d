//! The figures: one file each, with the figure's own settings at its top.
//!
//! A figure names the stages it needs and draws from their outputs. It computes nothing expensive.

mod fig2;
mod fig3;

use std::rc::Rc;

use anyhow::{Result, bail};

use crate::cache::{Cache, Stage};
use crate::experiment::Experiment;
use crate::table::Row;

/// A figure of the study.
pub trait Figure {
    /// The name on the command line and of the files: `fig3`.
    fn name(&self) -> &'static str;

    /// What it shows, in one line.
    fn title(&self) -> &'static str;

    /// Checks before any work begins that the data allow what the figure needs.
    fn check(&self, _study: &Study<'_>) -> Result<()> {
        Ok(())
    }

    /// The stages it needs, each after those it builds on. Called again as stages finish: what is needed may depend on
    /// them (training may end before its last planned epoch).
    fn stages(&self, study: &Study<'_>) -> Result<Vec<Box<dyn Stage>>>;

    /// The table that the figure is drawn from; every stage is finished.
    fn table(&self, study: &Study<'_>) -> Result<Vec<Row>>;

    /// Draws the table as SVG.
    fn draw(&self, study: &Study<'_>, table: &[Row]) -> Result<String>;
}

/// What a figure works with.
pub struct Study<'a> {
    /// Name of the profile.
    pub profile_name: &'a str,
    /// The runs; at least one.
    pub runs: &'a [Rc<Experiment>],
    /// The finished work.
    pub cache: &'a Cache,
}

impl Study<'_> {
    /// A row of a run, about the whole network: the other fields are the caller's.
    pub fn row(&self, run: &Experiment) -> Row {
        Row {
            profile: self.profile_name.to_owned(),
            dataset: run.data.dataset().name().to_owned(),
            architecture: run.profile.network.architecture.to_string(),
            width: run.profile.network.width,
            seed: run.seed,
            layer_index: None,
            layer: None,
            epoch: 0,
            group: String::new(),
            measure: String::new(),
            value: f64::NAN,
            standard_error: None,
            standard_error_vectors: None,
            count: 0,
        }
    }

    /// One line about network and data, for the foot of a figure.
    pub fn setting(&self) -> String {
        let run = &self.runs[0];
        let data = &run.profile.data;
        let network = &run.profile.network;
        let train = run.data.dataset().train().len();
        let classes = run.data.dataset().classes();
        let runs = if self.runs.len() == 1 {
            "one run".to_owned()
        } else {
            format!("{} runs", self.runs.len())
        };
        format!(
            "{}, width {} (published: 64), on {}: {train} training images of {classes} classes, {:.0} % of labels permuted; {runs}",
            network.architecture,
            network.width,
            data.dataset,
            100.0 * data.permuted_fraction
        )
    }
}

/// All figures, in the order of the paper.
pub fn all() -> Vec<Box<dyn Figure>> {
    vec![Box::new(fig2::Figure2), Box::new(fig3::Figure3)]
}

/// The figures asked for: one by name, or all.
pub fn select(name: Option<&str>) -> Result<Vec<Box<dyn Figure>>> {
    let figures = all();
    let Some(name) = name else {
        return Ok(figures);
    };
    let known: Vec<&str> = figures.iter().map(|figure| figure.name()).collect();
    let known = known.join(", ");
    let chosen: Vec<_> = figures
        .into_iter()
        .filter(|figure| figure.name() == name)
        .collect();
    if chosen.is_empty() {
        bail!("no figure is called {name:?}: give one of {known}, or none for all");
    }
    Ok(chosen)
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
        let error = select(Some("fig99")).err().unwrap().to_string();
        assert!(error.contains("fig3"), "{error}");
        assert_eq!(select(None).unwrap().len(), all().len());
    }
}
