//! Figure S5: how the measures of the trained network depend on the number of manifolds P, of points M and of Gaussian vectors n_t.

use std::rc::Rc;

use anyhow::{Context, Result};
use mftma_data::ExampleGroup;

use super::geometry::{
    Column, Key, Line, PANELS, Shown, caption, draw_columns, measures_of, retain_shown, rows,
};
use super::{Figure, Study};
use crate::cache::Stage;
use crate::experiment::Experiment;
use crate::profile::{GeometrySettings, SensitivitySettings};
use crate::stages::{GeometryStage, TrainStage};
use crate::table::{AnalysisSetting, Condition, Row};
use mftma_draw::INK;

/// The groups that are measured anew: the extremes. Permuted is drawn solid, unpermuted broken.
const GROUPS: [ExampleGroup; 2] = [ExampleGroup::Permuted, ExampleGroup::Unpermuted];

/// One setting that is varied: which, what it counts, its values, and how an experiment gets one.
struct Varied {
    setting: AnalysisSetting,
    counts: &'static str,
    /// Its key, and those of what goes with it.
    keys: &'static str,
    values: fn(&SensitivitySettings) -> &[usize],
    set: fn(&mut GeometrySettings, &SensitivitySettings, usize),
}

const VARIED: [Varied; 3] = [
    Varied {
        setting: AnalysisSetting::Manifolds,
        counts: "number of manifolds P",
        keys: "supplement.sensitivity.manifolds or supplement.sensitivity.points_while_manifolds_vary",
        values: |sensitivity| &sensitivity.manifolds,
        set: |geometry, sensitivity, value| {
            geometry.manifolds = value;
            geometry.points = sensitivity.points_while_manifolds_vary;
        },
    },
    Varied {
        setting: AnalysisSetting::Points,
        counts: "points of a manifold M",
        keys: "supplement.sensitivity.points",
        values: |sensitivity| &sensitivity.points,
        set: |geometry, _, value| geometry.points = value,
    },
    Varied {
        setting: AnalysisSetting::GaussianVectors,
        counts: "Gaussian vectors n_t",
        keys: "supplement.sensitivity.gaussian_vectors",
        values: |sensitivity| &sensitivity.gaussian_vectors,
        set: |geometry, _, value| geometry.gaussian_vectors = value,
    },
];

/// Sensitivity to P, M and n_t.
pub struct FigureS5;

impl FigureS5 {
    /// Every value of every setting, with the main runs under it. Their training is the main one's.
    fn runs(study: &Study<'_>) -> Result<Vec<(&'static Varied, usize, Rc<Experiment>)>> {
        let sensitivity = &study.profile.supplement.sensitivity;
        let mut runs = Vec::new();
        for varied in &VARIED {
            for &value in (varied.values)(sensitivity) {
                let mut settings = study.profile.experiment.clone();
                (varied.set)(&mut settings.geometry, sensitivity, value);
                for run in 0..study.profile.runs {
                    runs.push((varied, value, study.experiment(settings.clone(), run)?));
                }
            }
        }
        Ok(runs)
    }

    fn geometry(study: &Study<'_>, run: &Rc<Experiment>) -> Result<Vec<GeometryStage>> {
        let last = study.last_epoch(run)?;
        let of_group = |group| Some(GeometryStage::new(Rc::clone(run), last?, group));
        Ok(GROUPS.into_iter().filter_map(of_group).collect())
    }
}

impl Figure for FigureS5 {
    fn name(&self) -> &'static str {
        "s5"
    }

    fn title(&self) -> &'static str {
        "Sensitivity of the measures to manifolds, points and Gaussian vectors"
    }

    fn caption(&self, study: &Study<'_>) -> String {
        format!(
            "{}. In each column one setting of the analysis takes the values of the colours, the others stay as in figure 3; permuted \
             examples solid, unpermuted ones broken. {}",
            self.title(),
            caption(&study.runs)
        )
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn check(&self, study: &Study<'_>) -> Result<()> {
        for (varied, value, run) in Self::runs(study)? {
            for group in GROUPS {
                let manifolds = GeometryStage::new(Rc::clone(&run), 0, group).manifolds();
                manifolds.with_context(|| {
                    format!(
                        "{} of the profile, {} = {value}",
                        varied.keys,
                        varied.setting.symbol()
                    )
                })?;
            }
        }
        Ok(())
    }

    fn stages(&self, study: &Study<'_>, _panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        let mut stages: Vec<Box<dyn Stage>> = Vec::new();
        for run in &study.runs {
            stages.push(Box::new(TrainStage::new(Rc::clone(run))));
        }
        for (_, _, run) in Self::runs(study)? {
            for stage in Self::geometry(study, &run)? {
                stages.push(Box::new(stage));
            }
        }
        Ok(stages)
    }

    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>> {
        let mut table = Vec::new();
        for (varied, value, run) in Self::runs(study)? {
            let condition = Condition::Setting(varied.setting, value);
            let stages = Self::geometry(study, &run)?;
            table.extend(rows(&run, study, &stages, Some(condition))?);
        }
        retain_shown(&mut table, panels);
        Ok(table)
    }

    fn draw(&self, study: &Study<'_>, panels: &[&str], table: &[Row]) -> Result<String> {
        let geometry = &study.profile.experiment.geometry;
        let note = format!(
            "{}. After the last epoch. Solid: permuted examples; broken: unpermuted. What is not varied is as in figure 3: P = {}, M = {} ({} while P varies), n_t = {}. \
             Bands: one standard error over classes.",
            study.setting(),
            geometry.manifolds,
            geometry.points,
            study
                .profile
                .supplement
                .sensitivity
                .points_while_manifolds_vary,
            geometry.gaussian_vectors
        );
        let measures = measures_of(panels);
        let sensitivity = &study.profile.supplement.sensitivity;
        Ok(draw(self.title(), sensitivity, table, &measures, &note))
    }
}

fn draw(
    title: &str,
    sensitivity: &SensitivitySettings,
    table: &[Row],
    measures: &[Shown],
    note: &str,
) -> String {
    let mut keys = Vec::new();
    let mut columns = Vec::new();
    for varied in &VARIED {
        let values = (varied.values)(sensitivity);
        let labels: Vec<String> = values.iter().map(usize::to_string).collect();
        let key = Key::ranked(varied.setting.symbol(), &labels);
        let mut lines = Vec::new();
        for (&value, (_, colour)) in values.iter().zip(&key.entries) {
            let condition = Some(Condition::Setting(varied.setting, value));
            for group in GROUPS {
                let of_line = table
                    .iter()
                    .filter(|row| row.condition == condition && row.group == group);
                lines.push(Line {
                    colour: *colour,
                    dashed: group != GROUPS[0],
                    rows: of_line.collect(),
                });
            }
        }
        columns.push(Column {
            heading: varied.counts.to_owned(),
            colour: INK,
            lines,
        });
        keys.push(key);
    }
    draw_columns(title, &columns, &keys, measures, note)
}

#[cfg(test)]
mod tests {
    use super::super::geometry::tests::table;
    use super::*;
    use crate::profile::Profile;
    use mftma_draw::clipped_texts;

    #[test]
    fn every_value_has_a_line_for_each_group() {
        let profile = Profile::load("quick").unwrap().1;
        let sensitivity = &profile.supplement.sensitivity;
        let mut rows = Vec::new();
        let mut lines = 0;
        for varied in &VARIED {
            for &value in (varied.values)(sensitivity) {
                lines += GROUPS.len();
                rows.extend(table().into_iter().filter(|r| r.epoch == 5).map(|row| Row {
                    condition: Some(Condition::Setting(varied.setting, value)),
                    ..row
                }));
            }
        }
        let note = "A long note. ".repeat(20);
        let svg = draw("A title", sensitivity, &rows, &measures_of(&PANELS), &note);
        assert_eq!(svg.matches("<polyline").count(), lines * 4);
        assert_eq!(clipped_texts(&svg), Vec::<String>::new());
    }
}
