//! `mftma info`.

use std::fmt::Write as _;

use super::{
    Input, Request, classes_by_layout, in_folder, input, open, read_options, without_labels,
};
use crate::cli::InfoArgs;
use crate::report::print;
use crate::report::{Cell, Table};
use mftma_files::array::Layout;
use mftma_files::read::{self, Entry, labels};

/// Runs the command.
pub fn run(args: &InfoArgs) -> anyhow::Result<()> {
    let options = read_options(args.input.inflate_bytes());
    let layout = args.input.layout;
    let request = Request {
        paths: std::slice::from_ref(&args.file),
        layers: &[],
        labels: args.labels.as_deref(),
        leave_out: &[],
        layout,
        time_axis: args.input.time_axis,
        options,
    };
    let mut entries = match layout {
        // The arrays are classes of one layer.
        Layout::OneArrayPerClass if args.labels.is_none() => classes_by_layout(&request)?.0,
        _ => open(&args.file, options)?,
    };
    if let Some(axis) = args.input.time_axis {
        entries = read::bins(entries, axis)?;
    }
    if let Some(reference) = &args.labels {
        entries = without_labels(entries, reference, in_folder(reference).as_ref(), false);
    }
    let mut table = Table::default();
    for entry in &entries {
        table.push(row(entry, layout));
    }
    let mut out = Vec::new();
    table.write_text(&mut out)?;
    let mut text = String::new();
    for entry in &entries {
        if let Err(error) = &entry.info {
            writeln!(text, "\n{error}")?;
        }
    }
    if args.labels.is_some() || layout.tells_classes() {
        let Input {
            entries,
            labels,
            notes,
            behind: _,
        } = input(&request)?;
        describe_classes(&mut text, &labels)?;
        describe_cost(&mut text, &entries, &labels, labels.classes.len())?;
        for note in notes {
            writeln!(text, "note: {note}")?;
        }
    } else {
        writeln!(
            text,
            "\nadd --labels FILE to see the classes and what an analysis would cost"
        )?;
    }
    out.extend_from_slice(text.as_bytes());
    print(&out)
}

fn row(entry: &Entry, layout: Layout) -> Vec<(String, Cell)> {
    let mut row = vec![("array".to_owned(), Cell::Text(entry.name.clone()))];
    let (description, size, sides, storage) = match &entry.info {
        Ok(info) => {
            let points = layout.points(&info.shape);
            let total = info.data_len().unwrap_or(usize::MAX) / info.element.size();
            let sides = match (info.shape.len(), points) {
                (2.., Some(points)) => Some((points, total.checked_div(points).unwrap_or(0))),
                _ => None,
            };
            (info.describe(), info.data_len(), sides, entry.stored())
        }
        Err(_) => ("cannot be used (see below)".to_owned(), None, None, ""),
    };
    let mib = |bytes: usize| format!("{:.1}", bytes as f64 / (1 << 20) as f64);
    let count = |n: Option<usize>| Cell::Text(n.map_or_else(|| "-".into(), |n| n.to_string()));
    row.push(("contents".to_owned(), Cell::Text(description)));
    row.push(("points".to_owned(), count(sides.map(|s| s.0))));
    row.push(("features".to_owned(), count(sides.map(|s| s.1))));
    row.push((
        "MiB".to_owned(),
        Cell::Text(size.map_or_else(|| "-".into(), mib)),
    ));
    row.push(("storage".to_owned(), Cell::Text(storage.to_owned())));
    row
}

fn describe_classes(text: &mut String, labels: &labels::Labels) -> std::fmt::Result {
    let counts = labels.counts();
    writeln!(
        text,
        "\n{} classes in {}:",
        labels.names.len(),
        labels.place
    )?;
    const SHOWN: usize = 20;
    for (name, count) in labels.names.iter().zip(&counts).take(SHOWN) {
        writeln!(text, "  {name}: {count} points")?;
    }
    if counts.len() > SHOWN {
        let (least, most) = (counts.iter().min(), counts.iter().max());
        writeln!(
            text,
            "  ... and {} more; {} to {} points each",
            counts.len() - SHOWN,
            least.unwrap_or(&0),
            most.unwrap_or(&0)
        )?;
    }
    Ok(())
}

/// Bytes and operations of `mftma analyze` with its defaults, per layer.
fn describe_cost(
    text: &mut String,
    entries: &[Entry],
    labels: &labels::Labels,
    n_points: usize,
) -> std::fmt::Result {
    let counts: Vec<f64> = labels.counts().iter().map(|&m| m as f64).collect();
    let classes = counts.len() as f64;
    let squares: f64 = counts.iter().map(|m| m * m).sum();
    let points = n_points as f64;
    // Inner products within classes and of points with centres, in doubles; one block of features.
    let memory = 8.0 * (squares + points * classes + classes * classes) + (64 << 20) as f64;
    writeln!(text, "\nwhat `mftma analyze` does, per layer:")?;
    for entry in entries {
        let Ok(info) = &entry.info else { continue };
        let bytes = info.data_len().unwrap_or(usize::MAX) as f64;
        let features = bytes / info.element.size() as f64 / points.max(1.0);
        writeln!(
            text,
            "  {}: reads {} once, {:.1} Gflop of inner products, {} problems of up to {} points (n_t 200), about {} of memory",
            entry.name,
            size(bytes),
            2.0 * features * (squares + points * classes) / 1e9,
            counts.len() * 200,
            counts.iter().copied().fold(0.0, f64::max),
            size(memory),
        )?;
    }
    Ok(())
}

fn size(bytes: f64) -> String {
    if bytes < (1 << 30) as f64 {
        format!("{:.0} MiB", (bytes / (1 << 20) as f64).ceil())
    } else {
        format!("{:.1} GiB", bytes / (1 << 30) as f64)
    }
}
