//! `cargo xtask check`: whether a results folder holds every figure and table, with numbers that can be true.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::cli::CheckArgs;
use crate::figures::select;
use crate::reproduce::read;
use crate::table::{Row, from_csv};

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<()> {
    for figure in select(args.figure.as_deref(), None)? {
        let rows = check(&args.folder, &figure.stem())?;
        println!("{}: figure and table hold, {rows} rows", figure.stem());
    }
    Ok(())
}

fn check(folder: &Path, figure: &str) -> Result<usize> {
    let svg = read(&folder.join(format!("{figure}.svg")))?;
    ensure!(
        svg.starts_with(b"<svg") && svg.ends_with(b"</svg>\n"),
        "{figure}.svg is not a whole SVG; draw it again"
    );
    let png = read(&folder.join(format!("{figure}.png")))?;
    ensure!(
        png.starts_with(b"\x89PNG\r\n\x1a\n") && png.ends_with(b"IEND\xaeB`\x82"),
        "{figure}.png is not a whole PNG; draw it again"
    );
    let path = folder.join(format!("{figure}.csv"));
    let rows = from_csv(&read(&path)?).with_context(|| format!("{}", path.display()))?;
    ensure!(!rows.is_empty(), "{} has no rows", path.display());
    for (index, row) in rows.iter().enumerate() {
        // The header is line 1.
        check_row(row).with_context(|| format!("{}, line {}", path.display(), index + 2))?;
    }
    Ok(rows.len())
}

/// Whether a value lies where its measure can lie.
fn check_row(row: &Row) -> Result<()> {
    let (low, high) = match row.measure.as_str() {
        // A point manifold has capacity 2 at margin 0; nothing can be easier to separate.
        "capacity" => (f64::MIN_POSITIVE, 2.0 + 1e-9),
        "radius" | "cross_entropy" => (0.0, f64::MAX),
        "dimension" => (0.0, 1e6),
        "centre_correlation" | "accuracy" => (0.0, 1.0 + 1e-9),
        "centre_rank" => (0.0, row.count as f64),
        other => bail!("no measure is called {other:?}"),
    };
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
            group: "test".into(),
            measure: measure.into(),
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
            row("nonsense", 0.5),
            Row {
                standard_error: Some(f64::NAN),
                ..row("radius", 1.0)
            },
        ] {
            assert!(check_row(&bad).is_err(), "{bad:?}");
        }
    }
}
