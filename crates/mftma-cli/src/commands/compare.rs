//! `mftma compare`.

use anyhow::Context;
use mftma::Error;
use mftma::similarity::matching::{Neurons, maximum_match};
use mftma::similarity::{Representation, debiased_cka, linear_cka, pwcca, svcca};
use rand::{SeedableRng, seq::index};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::pieces::{Failures, Piece, Task, in_pieces, listed};
use super::{
    Files, Interrupted, Outcome, any_readable, common_points, layers, matrix, pool, read_options,
};
use crate::cli::CompareArgs;
use crate::interrupt;
use crate::report::{Cell, Table};
use crate::settings::SettingsError;
use mftma_files::array::Matrix;
use mftma_files::error::{InputError, Place};
use mftma_files::source::{LayerSource, input_error};

/// ChaCha stream of the draw of points; 1 and 2 are those of [`mftma_files::Selection`].
const STREAM_COMPARE: u64 = 3;

/// The points of `n` that are compared, rising: all, or `most` of them drawn at random.
pub fn compared_points(n: usize, most: usize, seed: u64) -> Vec<usize> {
    if n <= most {
        return (0..n).collect();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM_COMPARE);
    let mut points = index::sample(&mut rng, n, most).into_vec();
    points.sort_unstable();
    points
}

/// One layer, ready to be compared.
struct Side {
    name: String,
    matrix: Matrix,
    representation: Representation,
    /// Where they are matched.
    neurons: Option<Neurons>,
}

/// Runs the command.
pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    if !(args.variance > 0.0 && args.variance <= 1.0) {
        return Err(SettingsError::Range {
            name: "variance",
            value: args.variance.to_string(),
            requirement: "above 0 and at most 1",
        }
        .into());
    }
    if args.points < 2 {
        return Err(SettingsError::Range {
            name: "points",
            value: args.points.to_string(),
            requirement: "at least 2",
        }
        .into());
    }
    if let Some(epsilon) = args.matching
        && !(0.0..1.0).contains(&epsilon)
    {
        return Err(SettingsError::Range {
            name: "matching",
            value: epsilon.to_string(),
            requirement: "at least 0 and below 1",
        }
        .into());
    }
    args.output.check(&Files {
        inputs: vec![&args.a, &args.b],
        ..Files::default()
    })?;
    let options = read_options(args.input.inflate_bytes());
    let listed = |path| {
        let (path, axis) = (std::slice::from_ref(path), args.input.time_axis);
        any_readable(layers(path, &[], axis, options)?)
    };
    let (first, second) = (listed(&args.a)?, listed(&args.b)?);
    args.output
        .check_layers(None, first.iter().chain(&second))?;
    let (n, n_second) = (
        common_points(&first, args.input.layout)?,
        common_points(&second, args.input.layout)?,
    );
    if n != n_second {
        return Err(InputError::content(
            &Place::file(&args.b),
            format!("{n_second} points, but {} has {n}", args.a.display()),
            "both must hold the same points in the same order",
        )
        .into());
    }
    let points = compared_points(n, args.points, args.input.seed);
    let group = [points.len()];
    let mut doubts: Vec<String> = (first.iter().chain(&second))
        .filter_map(mftma_files::read::Entry::note)
        .collect();
    doubts.dedup();
    let total = first.len() * second.len();
    let pool = pool(args.input.threads)?;
    let source =
        |matrix: &Matrix| LayerSource::new(matrix.clone(), &points, &group, &interrupt::requested);
    let side = |entry: mftma_files::read::Entry| -> anyhow::Result<Side> {
        let name = entry.name.clone();
        let matrix = matrix(entry, args.input.layout, options)?;
        let (representation, neurons) = pool
            .install(|| {
                let representation = Representation::new(&source(&matrix))?;
                let neurons = args.matching.map(|_| Neurons::new(&source(&matrix)));
                Ok((representation, neurons.transpose()?))
            })
            .map_err(explain)
            .with_context(|| matrix.place().to_string())?;
        Ok(Side {
            name,
            matrix,
            representation,
            neurons,
        })
    };
    let pair = |a: &Side, b: &Side| -> anyhow::Result<Pair> {
        let features = a.representation.features().max(b.representation.features());
        let (cka, debiased, correlations, weighted, matched) = pool
            .install(|| {
                let cka = linear_cka(&a.representation, &b.representation)?;
                let debiased = debiased_cka(&a.representation, &b.representation)?;
                let correlations = svcca(&a.representation, &b.representation, args.variance)?;
                let weighted = pwcca(&correlations, &source(&a.matrix))?;
                let matched = match (&a.neurons, &b.neurons, args.matching) {
                    (Some(a), Some(b), Some(epsilon)) => Some(maximum_match(a, b, epsilon)?),
                    _ => None,
                };
                Ok((cka, debiased, correlations, weighted, matched))
            })
            .map_err(explain)
            .with_context(|| format!("{} against {}", a.matrix.place(), b.matrix.place()))?;
        let mut row: Vec<(String, Cell)> = [
            ("layer_a", Cell::Text(a.name.clone())),
            ("layer_b", Cell::Text(b.name.clone())),
            ("cka", Cell::real(cka)),
            ("cka_debiased", Cell::Real(debiased)),
            ("svcca", Cell::real(correlations.mean())),
            ("pwcca", Cell::real(weighted)),
            ("directions_a", Cell::count(correlations.kept.0)),
            ("directions_b", Cell::count(correlations.kept.1)),
            ("forced", Cell::count(correlations.forced)),
        ]
        .map(|(name, cell)| (name.to_owned(), cell))
        .into();
        let mut spanned = false;
        if let Some(matched) = &matched {
            spanned = matched.ranks.0.max(matched.ranks.1) == points.len();
            row.extend(
                [
                    ("maximum_match", Cell::real(matched.similarity())),
                    ("matched_a", Cell::count(matched.first.len())),
                    ("matched_b", Cell::count(matched.second.len())),
                ]
                .map(|(name, cell)| (name.to_owned(), cell)),
            );
        }
        Ok(Pair {
            row,
            few_points: a.representation.points() <= features,
            spanned,
        })
    };
    let layers = first.len() + second.len();
    in_pieces(
        Task {
            of: &format!("{layers} layers and {total} pairs"),
            total,
            taken: Vec::new(),
        },
        |done| {
            let usable = |entry: mftma_files::read::Entry| -> Result<Option<Side>, Interrupted> {
                let name = entry.name.clone();
                match side(entry) {
                    _ if interrupt::requested() => Err(Interrupted),
                    Ok(side) => Ok(Some(side)),
                    Err(error) => {
                        done(Piece::Failed(name, error));
                        Ok(None)
                    }
                }
            };
            let second = second
                .into_iter()
                .filter_map(|entry| usable(entry).transpose());
            let second = second.collect::<Result<Vec<Side>, _>>()?;
            let mut at = 0;
            for entry in first {
                let Some(a) = usable(entry)? else { continue };
                for b in &second {
                    if interrupt::requested() {
                        return Err(Interrupted);
                    }
                    let name = format!("{} against {}", a.name, b.name);
                    done(match pair(&a, b) {
                        Ok(pair) => Piece::Finished(at, name, pair),
                        Err(_) if interrupt::requested() => return Err(Interrupted),
                        Err(error) => Piece::Failed(name, error),
                    });
                    at += 1;
                }
            }
            Ok(())
        },
        |pairs, failures, whole| {
            let results = Results {
                pairs,
                failures,
                whole,
                doubts: &doubts,
                points: points.len(),
                n,
            };
            write(args, &results)
        },
    )
}

/// Two layers, compared.
struct Pair {
    row: Vec<(String, Cell)>,
    /// No more points than features.
    few_points: bool,
    /// As many independent features as points.
    spanned: bool,
}

/// All that is written.
struct Results<'a> {
    pairs: &'a [Pair],
    failures: &'a Failures,
    whole: bool,
    doubts: &'a [String],
    /// Points compared, of so many.
    points: usize,
    n: usize,
}

fn write(args: &CompareArgs, results: &Results<'_>) -> anyhow::Result<()> {
    let &Results {
        pairs,
        failures,
        whole,
        doubts,
        points,
        n,
    } = results;
    let mut table = Table::default();
    for pair in pairs {
        table.push(pair.row.clone());
    }
    let mut notes: Vec<String> = failures
        .iter()
        .map(|(name, error)| format!("{name} is left out: {error:#}"))
        .collect();
    notes.extend_from_slice(doubts);
    if pairs.iter().any(|pair| pair.few_points) {
        notes.push(
            "no more points than features: cka is near 1 and svcca and pwcca are high whatever the data; cka_debiased is about 0 for independent layers"
                .to_owned(),
        );
    }
    if pairs.iter().any(|pair| pair.spanned) {
        notes.push(format!(
            "as many independent features as points ({}): every feature of the other layer lies in their span and matches; maximum_match says something \
             with more points than features",
            points
        ));
    }
    let rows: Vec<_> = table.rows.iter().map(|row| table.object(row)).collect();
    let document = json!({
        "program": concat!("mftma ", env!("CARGO_PKG_VERSION")),
        "command": "compare",
        "complete": whole && failures.is_empty(),
        "settings": {
            "a": args.a.display().to_string(),
            "b": args.b.display().to_string(),
            "layout": args.input.layout,
            "time-axis": args.input.time_axis,
            "variance": args.variance,
            "matching": args.matching,
            "points": points,
            "points-in-file": n,
            "seed": args.input.seed,
        },
        "comparisons": rows,
        "failed": listed(failures),
        "notes": notes,
    });
    let below = format!(
        "\n{} of {n} points; SVCCA and PWCCA keep {} of the variance; forced: correlations that are 1 for want of points\n",
        points, args.variance
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

/// Errors of reading say themselves what to do.
pub(super) fn explain(error: Error) -> anyhow::Error {
    match error {
        Error::Source(source) => match input_error(source) {
            Ok(error) => error.into(),
            Err(source) => anyhow::anyhow!(source),
        },
        other => anyhow::anyhow!("{other}"),
    }
}
