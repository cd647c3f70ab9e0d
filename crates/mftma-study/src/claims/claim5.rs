//! Claim 5, rewinding restores generalization: rewinding the layers that memorize to the epoch before they do raises test
//! accuracy, rewinding early layers does not.
//!
//! *The geometry chooses* what is rewound, in each run, by a rule on the capacity of permuted manifolds alone (geometric mean over
//! classes); no accuracy of a trained or rewound network enters it, so that the gain is not picked from among noise:
//!
//! - a layer *rises* where its capacity at the last measured epoch is above its lowest over the epochs by a tenth. The lowest, not
//!   that at initialization: what the random network has in deep layers is not where memorization starts from;
//! - the layers are the last ones: from the first layer on behind which every layer rises. Poolings count, and carry no parameters;
//! - the epoch is the last measured one at which these layers together (mean of logarithms) have made less than a tenth of their whole
//!   rise.
//!
//! The gain is the rewound network's test accuracy less the trained one's, on the same test images. With three runs or more the interval
//! is over runs. With fewer it is over test images, as of paired proportions.

use std::collections::{BTreeMap, BTreeSet};

use mftma_data::ExampleGroup;

use super::inputs::{self, ClassValue, RewoundRun, Stages, capacity, early, logs_at};
use super::statistics::{End, Estimate, mean, over_runs, with_errors};
use super::{Claim, Gap, Part, Side};
use crate::stages::Rewound;
use crate::study::Study;

/// A layer whose capacity is above its lowest by this factor rises \[D\]: a tenth, as in claim 2.
const RISE: f64 = 1.1;
/// Before they have made this share of their rise, layers have not begun to rise \[D\]: a tenth again.
const ONSET: f64 = 0.1;
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

/// The groups whose geometry is needed.
const GROUPS: [ExampleGroup; 1] = [ExampleGroup::Permuted];

/// A gain and its standard error.
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
        "Rewinding the last layers, those whose permuted capacity rises, to the epoch before it does raises test accuracy; rewinding early \
         layers does not."
    }

    fn stages(&self, study: &Study<'_>) -> anyhow::Result<Stages> {
        inputs::measured_and_rewound(study, &GROUPS)
    }

    fn parts(&self, study: &Study<'_>) -> Result<Vec<Part>, Gap> {
        parts(&inputs::classes(study, &GROUPS)?, &inputs::rewound(study)?)
    }
}

/// The parts of the claim.
fn parts(classes: &[ClassValue], runs: &[RewoundRun]) -> Result<Vec<Part>, Gap> {
    if runs.is_empty() {
        return Err("no networks were rewound".to_owned().into());
    }
    let (mut last_gains, mut early_gains) = (Vec::new(), Vec::new());
    let (mut chosen, mut objection) = (Vec::new(), None);
    for run in runs {
        match gains(classes, run)? {
            Found::Gains(gains) => {
                last_gains.push(vec![gains.last]);
                early_gains.push(gains.early);
                chosen.push(gains.choice);
            }
            Found::Nothing(why) => objection = objection.or(Some(why)),
        }
    }
    if let Some(why) = objection {
        return Err(Gap::Premise(why));
    }
    let words = |word: fn(&Choice) -> String| {
        let words: BTreeSet<String> = chosen.iter().map(word).collect();
        words.into_iter().collect::<Vec<_>>().join(" or ")
    };
    let epochs = words(|choice| choice.epoch.to_string());
    let layers = words(|choice| format!("{} from {} on", choice.layers, choice.first));
    // Where runs choose differently, only layers that are early in all are compared.
    let common = early_gains.iter().map(Vec::len).min().unwrap_or(0);
    early_gains
        .iter_mut()
        .for_each(|gains| gains.truncate(common));
    Ok(vec![
        Part::new(
            format!(
                "Gain of test accuracy by rewinding the last layers whose permuted capacity rises ({layers}) to the last epoch before \
                 ({epochs}) (fraction of test images)"
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
    ])
}

/// What the geometry chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Choice {
    /// How many of the last layers with parameters.
    layers: usize,
    /// The first layer that rises with all behind it.
    first: String,
    /// The last epoch before.
    epoch: usize,
}

/// The rule; none where the last layer does not rise. `places` are those of the layers with parameters.
fn choose(classes: &[ClassValue], seed: u64, places: &[usize]) -> Result<Option<Choice>, String> {
    let of_run: Vec<ClassValue> = classes.iter().filter(|v| v.seed == seed).cloned().collect();
    let epochs: BTreeSet<usize> = of_run.iter().map(|value| value.epoch).collect();
    let (mut curves, mut names) = (BTreeMap::<usize, Vec<f64>>::new(), BTreeMap::new());
    for &epoch in &epochs {
        let at = BTreeMap::from([(seed, epoch)]);
        for layer in inputs::hidden(logs_at(&of_run, ExampleGroup::Permuted, capacity, &at)?)? {
            let curve = curves.entry(layer.place).or_default();
            curve.push(mean(&layer.classes));
            names.insert(layer.place, layer.layer);
        }
    }
    // How far each layer is above its lowest, epoch by epoch.
    for curve in curves.values_mut() {
        let lowest = curve.iter().copied().fold(f64::INFINITY, f64::min);
        curve.iter_mut().for_each(|value| *value -= lowest);
    }
    let last = epochs.len() - 1;
    let rising: Vec<(&usize, &Vec<f64>)> = curves
        .iter()
        .rev()
        .take_while(|(_, curve)| curve[last] > RISE.ln())
        .collect();
    let Some(&(&first, _)) = rising.last() else {
        return Ok(None);
    };
    let together = |at: usize| rising.iter().map(|(_, curve)| curve[at]).sum::<f64>();
    let before = (0..last)
        .rev()
        .find(|&at| together(at) < ONSET * together(last));
    let epoch = before.and_then(|at| epochs.iter().nth(at).copied());
    let layers = places.iter().filter(|&&place| place >= first).count();
    Ok(epoch.map(|epoch| Choice {
        layers,
        first: names[&first].clone(),
        epoch,
    }))
}

struct Gains {
    choice: Choice,
    last: Scored,
    early: Vec<Scored>,
}

enum Found {
    Gains(Gains),
    /// Why the claim makes no sense for the run.
    Nothing(String),
}

/// The gains of one run.
fn gains(classes: &[ClassValue], run: &RewoundRun) -> Result<Found, String> {
    let RewoundRun {
        seed,
        places,
        networks,
    } = run;
    if places.len() < 4 {
        return Err(format!(
            "{} single layers were rewound of run {seed}; at least 4 are needed to tell early from late",
            places.len()
        ));
    }
    let found = |group: ExampleGroup, what: Rewound, epoch: Option<usize>| {
        networks
            .iter()
            .find(|n| n.group == group && n.what == what && epoch.is_none_or(|e| e == n.epoch))
            .ok_or_else(|| {
                let to = epoch.map_or(String::new(), |epoch| format!(" to epoch {epoch}"));
                format!("there is no {group} accuracy with {what}{to} of run {seed}")
            })
    };
    let memorized = found(ExampleGroup::Permuted, Rewound::None, None)?.accuracy;
    let choice = choose(classes, *seed, places)?;
    // Whatever the geometry may choose must be there, before what was chosen or why nothing was.
    let measured: BTreeSet<usize> = classes
        .iter()
        .filter(|value| value.seed == *seed)
        .map(|value| value.epoch)
        .collect();
    for &epoch in measured.iter().rev().skip(1) {
        let singly = (0..places.len()).map(Rewound::Layer);
        for what in singly.chain((1..=places.len()).map(Rewound::Last)) {
            found(ExampleGroup::Test, what, Some(epoch))?;
        }
    }
    if memorized < MEMORIZED {
        return Ok(Found::Nothing(format!(
            "run {seed} ended with {:.0} % accuracy on permuted labels: nothing was memorized that rewinding could undo",
            100.0 * memorized
        )));
    }
    let Some(choice) = choice else {
        return Ok(Found::Nothing(format!(
            "the permuted manifolds' capacity does not rise in the last layer of run {seed}: the geometry chooses nothing to rewind"
        )));
    };
    let gain = |what| Ok::<_, String>(found(ExampleGroup::Test, what, Some(choice.epoch))?.gain);
    let indices: Vec<usize> = (0..places.len() - choice.layers.min(places.len())).collect();
    let half = early(places).len().min(indices.len());
    let early: Vec<Scored> = indices[..half]
        .iter()
        .map(|&layer| gain(Rewound::Layer(layer)))
        .collect::<Result<_, _>>()?;
    if early.is_empty() {
        return Ok(Found::Nothing(format!(
            "the permuted manifolds' capacity rises in every layer of run {seed}: no early one is left to compare with"
        )));
    }
    Ok(Found::Gains(Gains {
        last: gain(Rewound::Last(choice.layers))?,
        early,
        choice,
    }))
}

/// From one list per run to the estimate.
fn estimate(runs: &[Vec<Scored>], end: End) -> Result<Estimate, String> {
    let numbers = runs[0].len();
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
    use crate::claims::synthetic::{self, Law, noise, verdict};

    /// Eight layers rewound to epochs 0 and 5; what rewinding the last two, or an early one, to epoch 5 adds.
    fn table(runs: u64, last: f64, early: f64, spread: f64, error: f64) -> Vec<RewoundRun> {
        let mut random = noise(spread);
        let mut run = |seed| {
            let mut networks = Vec::new();
            let mut push = |group, what, epoch, accuracy: f64, gain| {
                networks.push(inputs::RewoundAccuracy {
                    what,
                    epoch,
                    group,
                    accuracy,
                    gain: (gain, error),
                });
            };
            push(ExampleGroup::Permuted, Rewound::None, 0, 0.97, 0.0);
            for epoch in [0, 5] {
                for layer in 0..8 {
                    let gain = if layer < 4 { early } else { 0.0 };
                    let gain = gain + random();
                    push(
                        ExampleGroup::Test,
                        Rewound::Layer(layer),
                        epoch,
                        0.5 + gain,
                        gain,
                    );
                }
                for k in 1..=8 {
                    let here = epoch == 5 && k == 2;
                    let gain = if here { last } else { -0.1 } + random();
                    push(
                        ExampleGroup::Test,
                        Rewound::Last(k),
                        epoch,
                        0.5 + gain,
                        gain,
                    );
                }
            }
            RewoundRun {
                seed,
                places: (1..=8).collect(),
                networks,
            }
        };
        (1..=runs).map(&mut run).collect()
    }

    /// Capacity of permuted manifolds by epoch (0, 5 and 60) and layer, in four runs.
    fn geometry(capacity: impl Fn(usize, usize) -> f64 + 'static) -> Vec<ClassValue> {
        let law = Law::new(0.02, move |_, epoch, layer| {
            [0.04 * capacity(epoch, layer), 1.0, 20.0]
        });
        let of_run = |seed| {
            let values = synthetic::classes(&law).into_iter();
            values.map(move |value| ClassValue { seed, ..value })
        };
        (1..=4).flat_map(of_run).collect()
    }

    /// Only the last two layers rise, after epoch 5.
    fn late(epoch: usize, layer: usize) -> f64 {
        if epoch == 60 && layer > 6 { 2.0 } else { 1.0 }
    }

    #[test]
    fn it_holds_where_only_the_chosen_layers_restore() {
        for runs in [1, 4] {
            let found = parts(&geometry(late), &table(runs, 0.15, -0.1, 0.005, 0.01));
            assert_eq!(verdict(found), Verdict::Holds, "{runs} runs");
        }
    }

    #[test]
    fn it_fails_where_nothing_or_early_layers_restore() {
        for runs in [1, 4] {
            let found = parts(&geometry(late), &table(runs, -0.1, -0.1, 0.005, 0.01));
            assert_eq!(verdict(found), Verdict::DoesNotHold, "{runs} runs");
            let found = parts(&geometry(late), &table(runs, 0.15, 0.12, 0.005, 0.01));
            assert_eq!(verdict(found), Verdict::DoesNotHold, "{runs} runs");
        }
    }

    /// What would have been the better choice by accuracy does not count.
    #[test]
    fn it_fails_where_the_geometry_chooses_wrongly() {
        let found = parts(
            &geometry(|epoch, layer| if epoch == 60 && layer > 5 { 2.0 } else { 1.0 }),
            &table(4, 0.15, -0.1, 0.005, 0.01),
        );
        assert_eq!(verdict(found), Verdict::DoesNotHold);
    }

    #[test]
    fn it_is_open_where_test_images_are_few_or_nothing_was_memorized() {
        let found = parts(&geometry(late), &table(1, 0.05, -0.05, 0.0, 0.05));
        assert_eq!(verdict(found), Verdict::Undecided);
        let mut runs = table(1, 0.15, 0.0, 0.0, 0.01);
        runs[0].networks[0].accuracy = 0.1;
        let open = |geometry: &[ClassValue], runs: &[RewoundRun]| {
            parts(geometry, runs).unwrap_err().to_string()
        };
        let error = open(&geometry(late), &runs);
        assert!(error.contains("nothing was memorized"), "{error}");
        let runs = table(1, 0.15, 0.0, 0.0, 0.01);
        let error = open(&geometry(|_, _| 1.0), &runs);
        assert!(error.contains("chooses nothing"), "{error}");
        let everywhere = |epoch, layer| if epoch == 60 && layer > 0 { 2.0 } else { 1.0 };
        let error = open(&geometry(everywhere), &runs);
        assert!(error.contains("every layer"), "{error}");
    }

    /// A network that is not there is missing, also where nothing would have been chosen.
    #[test]
    fn a_rewound_network_that_is_missing_is_told_first() {
        for what in [Rewound::Layer(1), Rewound::Last(8)] {
            let mut runs = table(1, 0.15, 0.0, 0.0, 0.01);
            runs[0].networks[0].accuracy = 0.1;
            runs[0].networks.retain(|n| n.what != what || n.epoch != 0);
            let gap = parts(&geometry(|_, _| 1.0), &runs).unwrap_err();
            assert!(matches!(gap, Gap::Missing(_)), "{gap}");
            assert!(gap.to_string().contains("to epoch 0"), "{gap}");
        }
    }

    #[test]
    fn the_choice_follows_the_rule() {
        let places = [1, 2, 4, 5, 7, 8];
        let chosen =
            |capacity: fn(usize, usize) -> f64| choose(&geometry(capacity), 1, &places).unwrap();
        let expected = |layers, first: &str, epoch| {
            let first = first.into();
            Some(Choice {
                layers,
                first,
                epoch,
            })
        };
        assert_eq!(chosen(late), expected(2, "layer7", 5));
        // Layer 6 has no parameters; layer 4 rises, but layer 5 behind it does not.
        let holes = |epoch, layer| match (epoch, layer) {
            (60, 4 | 6..) => 1.5,
            _ => 1.0,
        };
        assert_eq!(chosen(holes), expected(2, "layer6", 5));
        // A fifth of the rise is behind it at epoch 5: the epoch before it is taken.
        let early = |epoch, layer| match (epoch, layer) {
            (60, 7..) => 4.0,
            (5, 7..) => 1.4,
            _ => 1.0,
        };
        assert_eq!(chosen(early), expected(2, "layer7", 0));
        // A layer that starts high and falls rises from its lowest.
        let falling = |epoch, layer| match (epoch, layer) {
            (60, 8) => 1.5,
            (0, 8) => 2.0,
            _ => 1.0,
        };
        assert_eq!(chosen(falling), expected(1, "layer8", 5));
        assert_eq!(
            chosen(|epoch, layer| if epoch == 60 && layer == 8 { 1.05 } else { 1.0 }),
            None
        );
    }
}
