//! Claim 5, rewinding restores generalization: rewinding the last layers to an epoch before memorization raises test
//! accuracy, rewinding early layers does not.
//!
//! The epoch is that of the highest test accuracy among those rewound to, taken from the course of training, not from the
//! rewound networks: choosing the best rewound network would find a gain in noise. The gain is the rewound
//! network's test accuracy less the trained one's.
//!
//! With three runs or more the interval is over runs. With fewer it is that of two proportions as if of separate test
//! images; they are the same images, whose errors go together, so that it is too wide rather than too narrow.

use std::collections::BTreeMap;

use mftma_data::ExampleGroup;

use super::inputs::{
    self, Accuracy, RewoundAccuracy, Stages, early, epoch_of_highest_test_accuracy,
};
use super::statistics::{End, Estimate, mean, over_runs, with_errors};
use super::{Claim, Gap, Part, Side};
use crate::stages::Rewound;
use crate::study::Study;

/// A gain above this is one, a gain below is none \[D\].
const GAIN: f64 = 0.01;
/// Why.
const REASON: &str =
    "one percentage point: the last digit in which accuracies of this kind are reported";
/// Accuracy on permuted labels from which they count as memorized \[D\].
const MEMORIZED: f64 = 0.5;
/// Runs from which the interval is over runs \[D\]: with two, Student's quantile is 12.7.
const RUNS: usize = 3;
const PARTS: usize = 2;

/// Accuracy and its standard error.
type Scored = (f64, f64);

/// The claim.
pub struct RewindingRestores;

impl Claim for RewindingRestores {
    fn number(&self) -> usize {
        5
    }

    fn title(&self) -> &'static str {
        "Rewinding restores generalization"
    }

    fn statement(&self) -> &'static str {
        "Rewinding the last layers to an epoch before memorization raises test accuracy; rewinding early layers does not."
    }

    fn stages(&self, study: &Study<'_>) -> anyhow::Result<Stages> {
        inputs::trained_and_rewound(study)
    }

    fn parts(&self, study: &Study<'_>) -> Result<Vec<Part>, Gap> {
        parts(&inputs::accuracy(study)?, &inputs::rewound(study)?)
    }
}

/// The parts of the claim.
fn parts(accuracy: &[Accuracy], rewound: &[RewoundAccuracy]) -> Result<Vec<Part>, Gap> {
    let mut runs: BTreeMap<u64, Vec<&RewoundAccuracy>> = BTreeMap::new();
    for row in rewound {
        runs.entry(row.seed).or_default().push(row);
    }
    if runs.is_empty() {
        return Err("no networks were rewound".to_owned().into());
    }
    let mut last_gains = Vec::new();
    let mut early_gains = Vec::new();
    let (mut epochs, mut count, mut objection) = (Vec::new(), 0, None);
    for (&seed, rows) in &runs {
        let gains = gains(seed, accuracy, rows)?;
        last_gains.push(vec![gains.last]);
        early_gains.push(gains.early);
        epochs.push(gains.epoch.to_string());
        count = gains.last_layers;
        objection = objection.or(gains.objection);
    }
    epochs.dedup();
    let epochs = epochs.join(", ");
    let parts = vec![
        Part::new(
            format!(
                "Gain of test accuracy by rewinding the last {count} layers to epoch {epochs} (fraction of test images)"
            ),
            estimate(&last_gains, End::Least)?,
            Side::Above,
            GAIN,
            REASON,
        ),
        Part::new(
            format!(
                "Greatest gain of test accuracy by rewinding any one early layer to epoch {epochs} (fraction of test images)"
            ),
            estimate(&early_gains, End::Greatest)?,
            Side::Below,
            GAIN,
            REASON,
        ),
    ];
    objection.map_or(Ok(parts), |why| Err(Gap::Premise(why)))
}

struct Gains {
    /// Why the claim makes no sense for the run, where that is so.
    objection: Option<String>,
    epoch: usize,
    last_layers: usize,
    last: Scored,
    early: Vec<Scored>,
}

/// The gains of one run.
fn gains(seed: u64, accuracy: &[Accuracy], rows: &[&RewoundAccuracy]) -> Result<Gains, String> {
    let score = |group: ExampleGroup, what: Rewound, epoch: Option<usize>| {
        rows.iter()
            .find(|row| {
                row.group == group && row.what == what && epoch.is_none_or(|e| e == row.epoch)
            })
            .map(|row| (row.accuracy, row.standard_error))
            .ok_or_else(|| format!("there is no {group} accuracy with {what} of run {seed}"))
    };
    let (memorized, _) = score(ExampleGroup::Permuted, Rewound::None, None)?;
    let objection = (memorized < MEMORIZED).then(|| {
        format!(
            "run {seed} ended with {:.0} % accuracy on permuted labels: nothing was memorized that rewinding could undo",
            100.0 * memorized
        )
    });
    let trained = score(ExampleGroup::Test, Rewound::None, None)?;
    let mut layers: Vec<usize> = Vec::new();
    let (mut epochs, mut depths) = (Vec::new(), Vec::new());
    for row in rows {
        match row.what {
            Rewound::Layer(index) => layers.push(index),
            Rewound::Last(k) => {
                depths.push(k);
                epochs.push(row.epoch);
            }
            Rewound::None => {}
        }
    }
    layers.sort_unstable();
    layers.dedup();
    if layers.len() < 4 {
        return Err(format!(
            "{} single layers were rewound of run {seed}; at least 4 are needed to tell early from late",
            layers.len()
        ));
    }
    // The last quarter, or the nearest depth that was rewound.
    let quarter = layers.len().div_ceil(4);
    let last_layers = depths
        .into_iter()
        .min_by_key(|&k| (k.abs_diff(quarter), k))
        .ok_or_else(|| format!("no last layers of run {seed} were rewound"))?;
    let epoch = epoch_of_highest_test_accuracy(accuracy, seed, &epochs)?;
    let gain = |what| {
        let (value, error) = score(ExampleGroup::Test, what, Some(epoch))?;
        Ok::<_, String>((value - trained.0, error.hypot(trained.1)))
    };
    Ok(Gains {
        objection,
        epoch,
        last_layers,
        last: gain(Rewound::Last(last_layers))?,
        early: early(&layers)
            .iter()
            .map(|&layer| gain(Rewound::Layer(layer)))
            .collect::<Result<_, _>>()?,
    })
}

/// From one list per run to the estimate.
fn estimate(runs: &[Vec<Scored>], end: End) -> Result<Estimate, String> {
    let numbers = runs[0].len();
    if runs.iter().any(|run| run.len() != numbers) {
        return Err("different layers were rewound in different runs".into());
    }
    let column = |index: usize| -> Vec<Scored> { runs.iter().map(|run| run[index]).collect() };
    if runs.len() >= RUNS {
        let columns: Vec<Vec<f64>> = (0..numbers)
            .map(|index| column(index).into_iter().map(|(value, _)| value).collect())
            .collect();
        return over_runs(&columns, end, PARTS);
    }
    let means: Vec<Scored> = (0..numbers)
        .map(|index| {
            let (values, errors): (Vec<f64>, Vec<f64>) = column(index).into_iter().unzip();
            let squares: f64 = errors.iter().map(|error| error * error).sum();
            (mean(&values), squares.sqrt() / errors.len() as f64)
        })
        .collect();
    let over = format!("test images, {} run(s)", runs.len());
    with_errors(&means, end, PARTS, &over)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Verdict;
    use crate::claims::synthetic::{accuracy, noise, verdict};

    /// Eight layers rewound to epochs 5 and 20; what rewinding the last two, or an early one, to epoch 5 adds.
    fn table(runs: u64, last: f64, early: f64, spread: f64, error: f64) -> Vec<RewoundAccuracy> {
        let mut rows = Vec::new();
        let mut random = noise(spread);
        for seed in 1..=runs {
            let mut push = |group, what, epoch, accuracy: f64| {
                rows.push(RewoundAccuracy {
                    seed,
                    what,
                    epoch,
                    group,
                    accuracy,
                    standard_error: error,
                });
            };
            push(ExampleGroup::Permuted, Rewound::None, 60, 0.97);
            push(ExampleGroup::Test, Rewound::None, 60, 0.5);
            for epoch in [5, 20] {
                for layer in 0..8 {
                    let gain = if layer < 4 { early } else { last };
                    push(
                        ExampleGroup::Test,
                        Rewound::Layer(layer),
                        epoch,
                        0.5 + gain + random(),
                    );
                }
                for k in 1..8 {
                    let gain = if epoch == 5 { last } else { 0.0 };
                    push(
                        ExampleGroup::Test,
                        Rewound::Last(k),
                        epoch,
                        0.5 + gain + random(),
                    );
                }
            }
        }
        rows
    }

    #[test]
    fn it_holds_where_only_last_layers_restore() {
        for runs in [1, 4] {
            let found = parts(&accuracy(), &table(runs, 0.15, -0.1, 0.005, 0.01));
            assert_eq!(verdict(found), Verdict::Holds, "{runs} runs");
        }
    }

    #[test]
    fn it_fails_where_nothing_or_early_layers_restore() {
        for runs in [1, 4] {
            let found = parts(&accuracy(), &table(runs, -0.1, -0.1, 0.005, 0.01));
            assert_eq!(verdict(found), Verdict::DoesNotHold, "{runs} runs");
            let found = parts(&accuracy(), &table(runs, 0.15, 0.12, 0.005, 0.01));
            assert_eq!(verdict(found), Verdict::DoesNotHold, "{runs} runs");
        }
    }

    #[test]
    fn it_is_open_where_test_images_are_few_or_nothing_was_memorized() {
        let found = parts(&accuracy(), &table(1, 0.05, -0.05, 0.0, 0.05));
        assert_eq!(verdict(found), Verdict::Undecided);
        let mut rows = table(1, 0.15, 0.0, 0.0, 0.01);
        rows[0].accuracy = 0.1;
        let error = parts(&accuracy(), &rows).unwrap_err().to_string();
        assert!(error.contains("nothing was memorized"), "{error}");
    }

    #[test]
    fn the_last_quarter_and_the_epoch_of_the_highest_test_accuracy_are_taken() {
        let found = parts(&accuracy(), &table(1, 0.15, 0.0, 0.0, 0.01)).unwrap();
        assert!(
            found[0].statistic.contains("last 2 layers to epoch 5"),
            "{}",
            found[0].statistic
        );
        assert!((found[0].value - 0.15).abs() < 1e-12);
    }
}
