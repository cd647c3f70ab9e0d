//! `cargo xtask reproduce --check`: whether results agree with the results of record.
//!
//! The same code on the same processor gives the same bytes. Another processor may have other vector instructions and so sum in
//! another order; training amplifies the last bit into another network of the same kind. The tolerances are for that:
//! they let such a network pass, and not a change of what is measured.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::claims::Finding;
use crate::results::{CLAIMS, Claims, read};
use crate::table::{Measure, Row, from_csv};

/// Standard errors by which two values may differ, beside the tolerance of their measure \[D\].
const STANDARD_ERRORS: f64 = 4.0;
/// Fractions of examples may differ by this \[D\].
const FRACTION: f64 = 0.03;
/// Other values may differ by this share of the larger \[D\].
const SHARE: f64 = 0.1;
/// Of a table's rows this share may lie outside \[D\]: among thousands, some do by chance.
const ROWS_OUTSIDE: f64 = 0.01;
/// Rows that are named at most.
const NAMED: usize = 20;

/// A check into the folder of record would overwrite what it compares with.
pub fn refuse_same_folder(out: &Path, of_record: &Path) -> Result<()> {
    let same = match (fs::canonicalize(out), fs::canonicalize(of_record)) {
        (Ok(out), Ok(of_record)) => out == of_record,
        _ => out == of_record,
    };
    ensure!(
        !same,
        "--out {} is the folder of the results of record: name another, or leave it out",
        out.display()
    );
    ensure!(
        of_record.is_dir(),
        "there are no results of record in {}: run from the root of the repository, with a profile whose results are committed",
        of_record.display()
    );
    Ok(())
}

/// Compares tables, and with `claims` the verdicts; prints what differs. An error where anything does by more than it may.
pub fn run(
    out: &Path,
    of_record: &Path,
    stems: &[String],
    claims: bool,
    to: &mut dyn Write,
) -> Result<()> {
    say!(
        to,
        "compared with {}: values may differ by {STANDARD_ERRORS} standard errors plus {FRACTION} (accuracies, errors) or {} % (others), in \
         all but {} % of a table's rows; verdicts must be the same",
        of_record.display(),
        100.0 * SHARE,
        100.0 * ROWS_OUTSIDE
    );
    let mut differing = Vec::new();
    for stem in stems {
        let table = |folder: &Path| {
            let path = folder.join(format!("{stem}.csv"));
            from_csv(&read(&path)?).with_context(|| format!("{}", path.display()))
        };
        if !of_record.join(format!("{stem}.csv")).exists() {
            say!(to, "  {stem}: not among the results of record");
            differing.push(stem.clone());
            continue;
        }
        let found = compare(&table(of_record)?, &table(out)?);
        say!(to, "  {stem}: {}", found.summary());
        for line in found.outside.iter().take(NAMED) {
            say!(to, "    {line}");
        }
        if found.outside.len() > NAMED {
            say!(to, "    and {} more", found.outside.len() - NAMED);
        }
        if found.fails() {
            differing.push(stem.clone());
        }
    }
    if claims {
        let claims = |folder: &Path| -> Result<Claims> {
            let path = folder.join(CLAIMS);
            serde_json::from_slice(&read(&path)?).with_context(|| format!("{}", path.display()))
        };
        let lines = compare_claims(&claims(of_record)?.claims, &claims(out)?.claims);
        for line in &lines {
            say!(to, "  {line}");
        }
        if !lines.is_empty() {
            differing.push("the claims".into());
        }
    }
    if !differing.is_empty() {
        bail!(
            "{} differ from the results of record in {}",
            differing.join(", "),
            of_record.display()
        );
    }
    say!(to, "  nothing differs by more than it may");
    Ok(())
}

/// How two tables compare.
#[derive(Debug, Default)]
struct Comparison {
    rows: usize,
    identical: usize,
    /// A line for each row that is outside its tolerance, or in one table only.
    outside: Vec<String>,
}

impl Comparison {
    fn fails(&self) -> bool {
        self.outside.len() as f64 > ROWS_OUTSIDE * self.rows as f64
    }

    fn summary(&self) -> String {
        format!(
            "{} rows, {} equal to the last bit, {} outside their tolerance",
            self.rows,
            self.identical,
            self.outside.len()
        )
    }
}

/// All that identifies a row.
fn identity(row: &Row) -> String {
    let mut words = vec![
        row.dataset.clone(),
        format!("{} x{}", row.architecture, row.width),
        format!("seed {}", row.seed),
        format!("epoch {}", row.epoch),
    ];
    words.extend(row.step.map(|step| format!("step {step}")));
    words.extend(row.condition.as_ref().map(ToString::to_string));
    words.extend(row.layer.clone());
    words.push(row.group.to_string());
    words.push(row.measure.to_string());
    words.join(", ")
}

fn compare(of_record: &[Row], new: &[Row]) -> Comparison {
    let index = |rows: &[Row]| -> BTreeMap<String, Vec<Row>> {
        let mut by_identity: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for row in rows {
            by_identity
                .entry(identity(row))
                .or_default()
                .push(row.clone());
        }
        by_identity
    };
    let (old, mut new) = (index(of_record), index(new));
    let mut found = Comparison::default();
    for (name, old) in old {
        let new = new.remove(&name).unwrap_or_default();
        found.rows += old.len().max(new.len());
        if old.len() != new.len() {
            found.outside.push(format!(
                "{name}: {} times in the record, {} times now",
                old.len(),
                new.len()
            ));
        }
        for (old, new) in old.iter().zip(&new) {
            let allowed = tolerance(old, new);
            let away = (old.value - new.value).abs();
            if old.value == new.value {
                found.identical += 1;
            } else if away.is_nan() || away > allowed {
                found.outside.push(format!(
                    "{name}: {} in the record, {} now, may differ by {allowed:.2e}",
                    old.value, new.value
                ));
            }
        }
    }
    for (name, rows) in new {
        found.rows += rows.len();
        found.outside.push(format!("{name}: not in the record"));
    }
    found
}

/// By how much two values may differ.
fn tolerance(old: &Row, new: &Row) -> f64 {
    let error = |row: &Row| {
        row.standard_error
            .unwrap_or(0.0)
            .hypot(row.standard_error_vectors.unwrap_or(0.0))
    };
    let own = match old.measure {
        Measure::Accuracy | Measure::Error | Measure::TrainingError => FRACTION,
        _ => SHARE * old.value.abs().max(new.value.abs()),
    };
    own + STANDARD_ERRORS * error(old).hypot(error(new))
}

/// A line for each claim whose verdict differs.
fn compare_claims(of_record: &[Finding], new: &[Finding]) -> Vec<String> {
    of_record
        .iter()
        .filter_map(|old| {
            let now = new.iter().find(|new| new.number == old.number)?;
            (now.verdict != old.verdict).then(|| {
                format!(
                    "claim {} ({}): {} in the record, {} now",
                    old.number, old.title, old.verdict, now.verdict
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Verdict;

    fn row(measure: &str, layer: usize, value: f64) -> Row {
        Row {
            profile: "test".into(),
            dataset: "glyphs".into(),
            architecture: "vgg11".into(),
            width: 4,
            seed: 1,
            layer_index: Some(layer),
            layer: Some(format!("conv{layer}")),
            epoch: 5,
            step: None,
            condition: None,
            group: "test".parse().unwrap(),
            measure: measure.parse().unwrap(),
            value,
            standard_error: Some(0.01),
            standard_error_vectors: None,
            count: 10,
        }
    }

    #[test]
    fn rows_that_differ_are_named() {
        let old = [
            row("capacity", 1, 1.0),
            row("accuracy", 2, 0.5),
            row("radius", 3, 2.0),
        ];
        let found = compare(&old, &old);
        assert_eq!((found.rows, found.identical, found.fails()), (3, 3, false));
        // Within and beyond tolerance: 10 % and four standard errors; 0.03 and four standard errors.
        let new = [
            row("capacity", 1, 1.12),
            row("accuracy", 2, 0.6),
            row("radius", 3, 2.0),
        ];
        let found = compare(&old, &new);
        assert_eq!((found.identical, found.outside.len()), (1, 1));
        assert!(found.outside[0].contains("conv2, test, accuracy: 0.5 in the record, 0.6 now"));
        assert!(found.fails());
    }

    #[test]
    fn rows_in_one_table_only_are_named() {
        let found = compare(&[row("radius", 1, 1.0)], &[row("radius", 2, 1.0)]);
        assert_eq!(found.rows, 2);
        assert!(
            found.outside[0].contains("conv1, test, radius: 1 times in the record, 0 times now")
        );
        assert!(found.outside[1].contains("conv2, test, radius: not in the record"));
        let nan = compare(&[row("radius", 1, f64::NAN)], &[row("radius", 1, 1.0)]);
        assert!(nan.fails());
    }

    #[test]
    fn one_row_in_a_hundred_may_lie_outside() {
        let table = |away: usize| -> Vec<Row> {
            let value = |layer| if layer < away { 2.0 } else { 1.0 };
            (0..100)
                .map(|layer| row("radius", layer, value(layer)))
                .collect()
        };
        assert!(!compare(&table(0), &table(1)).fails());
        assert!(compare(&table(0), &table(2)).fails());
    }

    #[test]
    fn verdicts_must_be_the_same() {
        let finding = |verdict| Finding {
            number: 3,
            title: "T".into(),
            statement: String::new(),
            verdict,
            reason: None,
            parts: vec![],
        };
        let (holds, open) = ([finding(Verdict::Holds)], [finding(Verdict::Undecided)]);
        assert!(compare_claims(&holds, &holds).is_empty());
        assert_eq!(
            compare_claims(&holds, &open),
            ["claim 3 (T): holds in the record, undecided now"]
        );
    }
}
