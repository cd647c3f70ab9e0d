//! Figure S4: geometry after training, for fractions of permuted labels from none to all.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::Result;
use mftma_data::ExampleGroup;

use super::geometry::{
    PANELS, Shown, caption, check_size, draw_groups, measures_of, note, retain_shown, rows,
    train_and_measure,
};
use super::supplement::runs;
use super::{Figure, Study};
use crate::cache::Stage;
use crate::experiment::Experiment;
use crate::stages::GeometryStage;
use crate::table::{Condition, Row};

/// Geometry by permuted fraction.
pub struct FigureS4;

impl FigureS4 {
    /// The runs of each permuted fraction of the profile.
    fn runs(study: &Study<'_>) -> Result<Vec<(f64, Vec<Rc<Experiment>>)>> {
        let fractions = &study.profile.supplement.permuted_fractions;
        fractions
            .iter()
            .map(|&fraction| {
                let mut settings = study.profile.supplement.experiment.clone();
                settings.data.permuted_fraction = fraction;
                Ok((fraction, runs(study, &settings)?))
            })
            .collect()
    }

    /// The groups that have enough examples at this run's permuted fraction.
    fn groups(run: &Rc<Experiment>) -> Vec<ExampleGroup> {
        let enough = |&group: &ExampleGroup| {
            GeometryStage::new(Rc::clone(run), 0, group)
                .manifolds()
                .is_ok()
        };
        ExampleGroup::ALL.into_iter().filter(enough).collect()
    }
}

impl Figure for FigureS4 {
    fn name(&self) -> &'static str {
        "s4"
    }

    fn title(&self) -> &'static str {
        "Manifold geometry after training by fraction of permuted labels"
    }

    fn caption(&self, study: &Study<'_>) -> String {
        let runs = Self::runs(study).unwrap_or_default();
        let first = runs.first().map_or(&[][..], |(_, runs)| runs);
        format!(
            "{}. Colours are fractions of permuted labels, each after the last epoch of its training; columns are the four example groups, \
             of which some do not exist at some fractions. {}",
            self.title(),
            caption(first)
        )
    }

    fn panels(&self) -> &'static [&'static str] {
        &PANELS
    }

    fn check(&self, study: &Study<'_>) -> Result<()> {
        for run in Self::runs(study)?.iter().flat_map(|(_, runs)| runs) {
            // The other groups may be too small at some fraction; this one has the same size at all.
            let test = GeometryStage::new(Rc::clone(run), 0, ExampleGroup::Test);
            check_size(&test, "supplement.geometry")?;
        }
        Ok(())
    }

    fn stages(&self, study: &Study<'_>, _panels: &[&str]) -> Result<Vec<Box<dyn Stage>>> {
        let mut stages = Vec::new();
        for run in Self::runs(study)?.iter().flat_map(|(_, runs)| runs) {
            stages.extend(train_and_measure(run, study, &Self::groups(run))?);
        }
        Ok(stages)
    }

    fn table(&self, study: &Study<'_>, panels: &[&str]) -> Result<Vec<Row>> {
        let mut table = Vec::new();
        for (fraction, runs) in Self::runs(study)? {
            let condition = Condition::PermutedFraction(fraction);
            for run in &runs {
                let stages = study.geometry(run, &Self::groups(run))?;
                table.extend(rows(run, study, &stages, Some(condition.clone()))?);
            }
        }
        retain_shown(&mut table, panels);
        Ok(table)
    }

    fn draw(&self, study: &Study<'_>, panels: &[&str], table: &[Row]) -> Result<String> {
        let runs = Self::runs(study)?;
        let Some((_, first)) = runs.first() else {
            anyhow::bail!(
                "supplement.permuted_fractions of the profile is empty: give at least one"
            );
        };
        let note = format!(
            "{} Each fraction after its last epoch. Lines are missing where a group has fewer than M examples of some class.",
            note(
                first,
                &study.setting_with(first, "labels permuted as coloured")
            )
        );
        Ok(draw(self.title(), table, &measures_of(panels), &note))
    }
}

/// Draws the last epoch of each run.
fn draw(title: &str, table: &[Row], measures: &[Shown], note: &str) -> String {
    let run = |row: &Row| (by_fraction(row), row.seed);
    let mut last: HashMap<_, usize> = HashMap::new();
    for row in table {
        let of_run = last.entry(run(row)).or_default();
        *of_run = row.epoch.max(*of_run);
    }
    let table: Vec<Row> = table
        .iter()
        .filter(|row| last.get(&run(row)) == Some(&row.epoch))
        .cloned()
        .collect();
    draw_groups(title, &table, ("Permuted", &by_fraction), measures, note)
}

/// A line for each fraction.
fn by_fraction(row: &Row) -> (usize, String) {
    let percent = match row.condition {
        Some(Condition::PermutedFraction(fraction)) => 100.0 * fraction,
        _ => 0.0,
    };
    (percent.round() as usize, format!("{percent:.0} %"))
}

#[cfg(test)]
mod tests {
    use super::super::geometry::tests::table;
    use super::*;
    use mftma_draw::clipped_texts;

    #[test]
    fn each_fraction_is_drawn_at_its_own_last_epoch() {
        let mut rows = Vec::new();
        for (fraction, epochs) in [(0.1, [0, 5]), (1.0, [0, 1000])] {
            for row in table().into_iter().filter(|r| epochs.contains(&r.epoch)) {
                rows.push(Row {
                    condition: Some(Condition::PermutedFraction(fraction)),
                    ..row
                });
            }
        }
        assert_eq!(by_fraction(&rows[0]), (10, "10 %".into()));
        let svg = draw("A title", &rows, &measures_of(&PANELS), "note");
        assert!(svg.contains("10 %") && svg.contains("100 %"));
        assert_eq!(clipped_texts(&svg), Vec::<String>::new());
        // Two fractions, four groups, four measures: a line each.
        assert_eq!(svg.matches("<polyline").count(), 2 * 4 * 4);
    }
}
