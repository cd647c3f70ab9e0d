//! `mftma capacity --simulate`.

use anyhow::Context;
use mftma::{Simulation, simulate_capacity};
use serde_json::json;

use super::{Interrupted, common_points, layers, matrix, pool, read_options};
use crate::cli::CapacityArgs;
use crate::interrupt;
use crate::report::{Cell, Table};
use crate::settings::SettingsError;
use mftma_files::read::labels;
use mftma_files::source::{LayerSource, Selection, Wanted, in_memory, input_error};

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
    args.output.check()?;
    let options = read_options(args.input.inflate_bytes());
    let entries = layers(&args.activations, &[])?;
    let n_points = common_points(&entries, args.input.layout)?;
    let labels = labels::read(&args.labels, n_points, options)?;
    let selection = Selection::new(
        &labels,
        &Wanted {
            points: args.points,
            classes: args.classes,
            only_classes: &[],
            seed: args.input.seed,
        },
    )?;
    let simulation = Simulation {
        repetitions: args.dichotomies,
        seed: args.input.seed,
        ..Simulation::default()
    };
    interrupt::expect(entries.len());
    let pool = pool(args.input.threads)?;
    let mut table = Table::default();
    for entry in entries {
        if interrupt::requested() {
            return Err(Interrupted.into());
        }
        let name = entry.name.clone();
        let matrix = matrix(entry, args.input.layout, options)?;
        let place = matrix.place().clone();
        let source = LayerSource::new(
            matrix,
            &selection.points,
            &selection.points_per_class,
            &interrupt::requested,
        );
        let found = pool.install(|| -> anyhow::Result<_> {
            let points = in_memory(&source).map_err(|e| match input_error(e) {
                Ok(error) => error.into(),
                Err(source) => anyhow::anyhow!(source),
            })?;
            simulate_capacity(points.view(), &selection.points_per_class, &simulation)
                .with_context(|| place.to_string())
        })?;
        let separable = found.thresholds.iter().flatten().count();
        let bound = |x: f64| Cell::Real(Some(x).filter(|x| x.is_finite()));
        table.push(
            [
                ("layer", Cell::Text(name.clone())),
                ("classes", Cell::count(selection.classes.len())),
                ("points", Cell::count(selection.points.len())),
                ("simulated_capacity", Cell::Real(found.capacity)),
                ("lower", bound(found.interval.0)),
                ("upper", bound(found.interval.1)),
                ("dimensions", Cell::Real(found.dimensions)),
                ("separable", Cell::count(separable)),
                ("dichotomies", Cell::count(args.dichotomies)),
                ("seed", Cell::Integer(args.input.seed as i64)),
            ]
            .map(|(name, cell)| (name.to_owned(), cell))
            .into(),
        );
        interrupt::finished(&name);
    }
    let document = json!({
        "program": concat!("mftma ", env!("CARGO_PKG_VERSION")),
        "command": "capacity",
        "settings": {
            "labels": args.labels,
            "layout": args.input.layout,
            "dichotomies": args.dichotomies,
            "points": args.points,
            "classes": args.classes,
            "seed": args.input.seed,
            "confidence": simulation.confidence,
        },
        "layers": table.rows.iter().map(|row| table.object(row)).collect::<Vec<_>>(),
    });
    let notes = format!(
        "\nclasses / dimensions at which half of the random labellings are separable; lower and upper: {:.0} % interval;\n\
         separable: labellings that all features separate\n",
        100.0 * simulation.confidence
    );
    args.output.write(&table, &document, &notes)
}
