//! `mftma capacity --simulate`.

use mftma::{Simulation, simulate_capacity};
use serde_json::json;

use super::analyze::word;
use super::compare::{explain, record};
use super::pieces::{Failures, Piece, Task, in_pieces, listed};
use super::{Files, Input, Interrupted, Outcome, Request, input, matrix, pool, read_options};
use crate::cli::CapacityArgs;
use crate::interrupt;
use crate::report::{Cell, Format, Table};
use crate::settings::{SettingsError, check_choice};
use mftma_files::read::Entry;
use mftma_files::source::{LayerSource, Selection, Wanted};

/// Runs the command.
pub fn run(args: &CapacityArgs) -> anyhow::Result<()> {
    if args.dichotomies == 0 || args.points == Some(0) {
        return Err(SettingsError::Range {
            name: if args.dichotomies == 0 {
                "dichotomies"
            } else {
                "points"
            },
            value: "0".into(),
            requirement: "at least 1",
        }
        .into());
    }
    check_choice(args.points, args.classes)?;
    let files = Files::read(&args.activations, args.labels.as_deref());
    args.output.check(&files)?;
    let options = read_options(args.input.inflate_bytes());
    let Input {
        entries,
        labels,
        behind,
        notes,
    } = input(&Request {
        paths: &args.activations,
        layers: &args.layers,
        labels: args.labels.as_deref(),
        leave_out: &args.leave_out,
        layout: args.input.layout,
        time_axis: args.input.time_axis,
        options,
    })?;
    args.output
        .check_layers(None, entries.iter().chain(&behind))?;
    let selection = Selection::new(
        &labels,
        &Wanted {
            points: args.points,
            classes: args.classes,
            only_classes: &args.only_classes,
            leave_out: &args.leave_out,
            seed: args.input.seed,
        },
    )?;
    let simulation = Simulation::default()
        .repetitions(args.dichotomies)
        .seed(args.input.seed);
    let total = entries.len();
    let pool = pool(args.input.threads)?;
    let simulate = |entry: Entry| -> anyhow::Result<Simulated> {
        let name = entry.name.clone();
        let matrix = matrix(entry, args.input.layout, options)?;
        let place = matrix.place().clone();
        let source = LayerSource::new(
            matrix,
            &selection.points,
            &selection.points_per_class,
            &interrupt::requested,
        );
        let found = pool
            .install(|| simulate_capacity(&source, &simulation))
            .map_err(|error| explain(error, &place))?;
        let separable = found.thresholds.iter().flatten().count();
        let note = found.capacity.is_none().then(|| {
            format!(
                "{name}: all features together separate {separable} of {} labellings, fewer than half: there is no capacity to tell; try --classes with \
                 fewer, or --points with fewer of each; if each class was centred or scaled by itself, do that to all classes together",
                args.dichotomies
            )
        });
        let bound = |x: f64| Cell::Real(Some(x).filter(|x| x.is_finite()));
        let mut row: Vec<(String, Cell)> = [
            ("layer", Cell::Text(name)),
            ("classes", Cell::count(selection.classes.len())),
            ("points", Cell::count(selection.points.len())),
            ("simulated_capacity", Cell::Real(found.capacity)),
            ("lower", bound(found.interval.0)),
            ("upper", bound(found.interval.1)),
            ("dimensions", Cell::Real(found.dimensions)),
            ("separable", Cell::count(separable)),
            ("dichotomies", Cell::count(args.dichotomies)),
            ("seed", Cell::seed(args.input.seed)),
        ]
        .map(|(name, cell)| (name.to_owned(), cell))
        .into();
        if args.output.format() != Format::Table {
            row.push((
                "file".to_owned(),
                Cell::Text(place.file.display().to_string()),
            ));
        }
        Ok(Simulated { row, note })
    };
    in_pieces(
        Task {
            of: &format!("{total} layers"),
            total,
            taken: Vec::new(),
        },
        |done| {
            for (at, entry) in entries.into_iter().enumerate() {
                let name = entry.name.clone();
                if interrupt::requested() {
                    return Err(Interrupted);
                }
                done(match simulate(entry) {
                    Ok(simulated) => Piece::Finished(at, name, simulated),
                    Err(_) if interrupt::requested() => return Err(Interrupted),
                    Err(error) => Piece::Failed(name, error),
                });
            }
            Ok(())
        },
        |layers, failures, whole| {
            write(args, layers, failures, whole, &notes, simulation.confidence)
        },
    )
}

/// A layer.
struct Simulated {
    /// Its cells, under their columns.
    row: Vec<(String, Cell)>,
    /// Why it has no capacity, where it has none.
    note: Option<String>,
}

fn write(
    args: &CapacityArgs,
    layers: &[Simulated],
    failures: &Failures,
    whole: bool,
    notes: &[String],
    confidence: f64,
) -> anyhow::Result<()> {
    let mut table = Table::default();
    let mut notes = notes.to_vec();
    for layer in layers {
        table.push(layer.row.clone());
        notes.extend(layer.note.clone());
    }
    let document = json!({
        "program": concat!("mftma ", env!("CARGO_PKG_VERSION")),
        "command": "capacity",
        "complete": whole && failures.is_empty(),
        "settings": {
            "labels": args.labels,
            "layout": args.input.layout,
            "time-axis": args.input.time_axis,
            "dichotomies": args.dichotomies,
            "points": args.points,
            "classes": args.classes,
            "only-classes": args.only_classes,
            "leave-out": args.leave_out,
            "seed": args.input.seed,
            "confidence": confidence,
        },
        "notes": notes,
        "layers": table.rows.iter().map(|row| table.object(row)).collect::<Vec<_>>(),
        "failed": listed(failures),
    });
    if args.output.format() != Format::Table {
        let names = |names: &[String]| Cell::Text(names.join(","));
        let settings = [
            (
                "labels",
                Cell::Text(args.labels.clone().unwrap_or_default()),
            ),
            ("layout", Cell::Text(word(&args.input.layout))),
            ("time-axis", Cell::maybe(args.input.time_axis)),
            ("layers", names(&args.layers)),
            ("points", Cell::maybe(args.points)),
            ("classes", Cell::maybe(args.classes)),
            ("only-classes", names(&args.only_classes)),
            ("leave-out", names(&args.leave_out)),
            ("confidence", Cell::real(confidence)),
        ];
        record(&mut table, &settings, &notes);
    }
    let below = format!(
        "\nclasses / dimensions at which half of the random labellings are separable; lower and upper: {:.0} % interval;\n\
         separable: labellings that all features separate\n",
        100.0 * confidence
    );
    args.output.write(
        Outcome {
            table: &table,
            json: &document,
            below: &below,
            notes: &notes,
        },
        whole,
    )
}
