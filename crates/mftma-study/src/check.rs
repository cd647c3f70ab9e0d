//! `cargo xtask check`: whether a results folder holds every figure, table, claim and the report, with numbers that can be true.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::claims::{Finding, all};
use crate::figures::{LEFT_OUT, select};
use crate::report::is_whole;
use crate::results::{CLAIMS, Claims, REPORT, read};
use crate::table::{Measure, Row, from_csv};

/// Checks the folder; the named figures, or all where none is named. Lines for people go to `to`.
pub fn run(folder: &Path, figures: &[String], to: &mut dyn Write) -> Result<()> {
    for figure in select(figures, None)? {
        let rows = check(folder, &figure.stem())?;
        say!(to, "{}: figure and table hold, {rows} rows", figure.stem());
    }
    let verdicts = check_claims(folder)?;
    say!(
        to,
        "{CLAIMS}: {verdicts} claims, verdicts follow from their numbers"
    );
    let page = read(&folder.join(REPORT))?;
    ensure!(
        is_whole(&page),
        "{REPORT} is not a whole page; run `cargo xtask reproduce` again"
    );
    say!(to, "{REPORT}: whole");
    Ok(())
}

/// Whether every claim is there, and its verdict is the one that its numbers give.
fn check_claims(folder: &Path) -> Result<usize> {
    let path = folder.join(CLAIMS);
    let claims: Claims = serde_json::from_slice(&read(&path)?)
        .with_context(|| format!("{} is not as this program writes it", path.display()))?;
    let numbers: Vec<usize> = claims.claims.iter().map(|claim| claim.number).collect();
    ensure!(
        numbers == (1..=all().len()).collect::<Vec<_>>(),
        "{} holds the claims {numbers:?}, not 1 to {}; run `cargo xtask reproduce` again",
        path.display(),
        all().len()
    );
    for claim in &claims.claims {
        check_claim(claim)
            .with_context(|| format!("{}, claim {}", path.display(), claim.number))?;
    }
    Ok(claims.claims.len())
}

fn check_claim(claim: &Finding) -> Result<()> {
    for part in &claim.parts {
        let [low, high] = part.interval;
        let [wide_low, wide_high] = part.wide_interval;
        ensure!(
            wide_low <= low && low <= part.value && part.value <= high && high <= wide_high,
            "{} is {}, outside its interval [{low}, {high}] within [{wide_low}, {wide_high}]",
            part.statistic,
            part.value
        );
        ensure!(
            part.verdict == part.judge(),
            "{} is said to be {:?}, but its numbers say {:?}",
            part.statistic,
            part.verdict,
            part.judge()
        );
    }
    ensure!(
        claim.verdict == claim.judge(),
        "the verdict is {}, but its parts say {}",
        claim.verdict,
        claim.judge()
    );
    ensure!(
        claim.parts.is_empty() == claim.reason.is_some(),
        "either parts or the reason why there are none must be given"
    );
    Ok(())
}

fn check(folder: &Path, figure: &str) -> Result<usize> {
    let svg = read(&folder.join(format!("{figure}.svg")))?;
    ensure!(
        svg.starts_with(b"<svg") && svg.ends_with(b"</svg>\n"),
        "{figure}.svg is not a whole SVG; draw it again"
    );
    ensure!(
        !String::from_utf8_lossy(&svg).contains(" id=\""),
        "{figure}.svg names an element by id, which may collide with another figure's on the page of the report"
    );
    let png = read(&folder.join(format!("{figure}.png")))?;
    ensure!(
        png.starts_with(b"\x89PNG\r\n\x1a\n") && png.ends_with(b"IEND\xaeB`\x82"),
        "{figure}.png is not a whole PNG; draw it again"
    );
    let path = folder.join(format!("{figure}.csv"));
    let rows = from_csv(&read(&path)?).with_context(|| format!("{}", path.display()))?;
    // A figure that its profile leaves out says so, and has no rows.
    let left_out = String::from_utf8_lossy(&svg).contains(LEFT_OUT);
    ensure!(
        left_out || !rows.is_empty(),
        "{} has no rows",
        path.display()
    );
    for (index, row) in rows.iter().enumerate() {
        // The header is line 1.
        check_row(row).with_context(|| format!("{}, line {}", path.display(), index + 2))?;
    }
    Ok(rows.len())
}

/// Whether a value lies where its measure can lie.
fn check_row(row: &Row) -> Result<()> {
    let (low, mut high) = row.measure.range();
    if row.measure == Measure::CENTRE_RANK {
        high = row.count as f64;
    }
    ensure!(
        row.value.is_finite() && (low..=high).contains(&row.value),
        "{} is {}, which is not between {low} and {high}",
        row.measure,
        row.value
    );
    for error in [row.standard_error, row.standard_error_vectors]
        .into_iter()
        .flatten()
    {
        ensure!(
            error.is_finite() && error >= 0.0,
            "the standard error of {} is {error}",
            row.measure
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(measure: &str, value: f64) -> Row {
        Row {
            profile: String::new(),
            dataset: String::new(),
            architecture: String::new(),
            width: 1,
            seed: 1,
            layer_index: None,
            layer: None,
            epoch: 0,
            step: None,
            condition: None,
            group: "test".parse().unwrap(),
            measure: measure.parse().unwrap(),
            value,
            standard_error: Some(0.1),
            standard_error_vectors: None,
            count: 5,
        }
    }

    #[test]
    fn impossible_numbers_are_found() {
        check_row(&row("capacity", 0.1)).unwrap();
        for bad in [
            row("capacity", 0.0),
            row("capacity", 2.1),
            row("capacity", f64::NAN),
            row("radius", f64::INFINITY),
            row("accuracy", 1.5),
            row("centre_correlation", -0.1),
            Row {
                count: 3,
                ..row("centre_rank", 4.0)
            },
            Row {
                standard_error: Some(f64::NAN),
                ..row("radius", 1.0)
            },
        ] {
            assert!(check_row(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn verdicts_that_do_not_follow_are_found() {
        use crate::claims::{Part, Side, Verdict};
        let part = Part {
            statistic: "x".into(),
            value: 1.5,
            interval: [1.2, 1.8],
            wide_interval: [1.1, 1.9],
            over: "9 runs".into(),
            wanted: Side::Above,
            threshold: 1.0,
            reason: "for the test".into(),
            verdict: Verdict::Holds,
            runs: None,
            published: None,
        };
        let claim = Finding {
            number: 1,
            title: "T".into(),
            statement: "S".into(),
            verdict: Verdict::Holds,
            reason: None,
            parts: vec![part.clone()],
        };
        check_claim(&claim).unwrap();
        let with = |part: Part| Finding {
            parts: vec![part],
            ..claim.clone()
        };
        for bad in [
            Finding {
                verdict: Verdict::Undecided,
                ..claim.clone()
            },
            Finding {
                parts: vec![],
                verdict: Verdict::Undecided,
                ..claim.clone()
            },
            with(Part {
                verdict: Verdict::DoesNotHold,
                ..part.clone()
            }),
            with(Part {
                value: 2.0,
                ..part.clone()
            }),
            with(Part {
                threshold: 1.3,
                ..part
            }),
        ] {
            assert!(check_claim(&bad).is_err(), "{bad:?}");
        }
    }
}
