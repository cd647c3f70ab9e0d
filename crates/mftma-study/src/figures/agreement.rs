//! What figure 4's panels f and g say beside the claim that memorization is late in depth.
//!
//! The claim is made from manifolds and from rewinding; Maini et al. (2023, arXiv 2307.09542) reset single layers and zero single
//! channels instead, and find what is memorized spread over depth. Rules are fixed here, before any run: a difference counts where its
//! interval of 95 % does not hold 0 \[D\], over runs where there are several, else over examples.

use std::collections::{BTreeMap, BTreeSet};

use crate::claims::statistics::{normal, student};
use crate::stages::HELD_GROUPS;
use crate::table::{Condition, Group, Measure, Row};

/// Coverage of the intervals \[D\].
const COVERAGE: f64 = 0.95;

/// Where layers lie among some: 0 the first, 1 the last.
pub struct Depth(Vec<usize>);

impl Depth {
    /// Of layers at these places in the network.
    pub fn of(places: impl IntoIterator<Item = usize>) -> Self {
        let mut places: Vec<usize> = places.into_iter().collect();
        places.sort_unstable();
        places.dedup();
        Self(places)
    }

    /// The mean depth of layers at `places`, each as often as it is named; none where there is none.
    pub fn mean(&self, places: impl Iterator<Item = usize>) -> Option<f64> {
        let last = self.0.len().saturating_sub(1).max(1) as f64;
        let depths = places.filter_map(|place| self.0.binary_search(&place).ok());
        let (sum, count) = depths.fold((0, 0), |(sum, count), depth| (sum + depth, count + 1));
        (count > 0).then(|| sum as f64 / last / f64::from(count))
    }
}

/// A value of a run with the variance of its error; none where no error is known.
#[derive(Debug, Clone, Copy)]
struct Value {
    value: f64,
    variance: Option<f64>,
}

impl Value {
    fn of(row: &Row) -> Self {
        Self {
            value: row.value,
            variance: row.standard_error.map(|error| error * error),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            value: self.value - other.value,
            variance: self.variance.zip(other.variance).map(|(a, b)| a + b),
        }
    }

    /// Errors of layers are taken as independent, though their examples are the same.
    fn mean(of: &[Self]) -> Self {
        let n = of.len() as f64;
        let variance: Option<f64> = of.iter().map(|one| one.variance).sum();
        Self {
            value: of.iter().map(|one| one.value).sum::<f64>() / n,
            variance: variance.map(|sum| sum / (n * n)),
        }
    }
}

/// The mean over runs, and half the width of its interval; none where that cannot be known.
fn over_runs(runs: &[Value]) -> (f64, Option<f64>) {
    let n = runs.len() as f64;
    let mean = runs.iter().map(|run| run.value).sum::<f64>() / n;
    let half = match runs {
        [one] => one.variance.map(|v| normal(COVERAGE) * v.sqrt()),
        _ => {
            let squares: f64 = runs.iter().map(|run| (run.value - mean).powi(2)).sum();
            Some(student(n - 1.0, COVERAGE) * (squares / (n - 1.0) / n).sqrt())
        }
    };
    (mean, half.filter(|half| *half > 0.0))
}

/// What one of the two measures says of where memorized examples sit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Later,
    Earlier,
    NoDifference,
}

impl Says {
    fn of((difference, half): (f64, Option<f64>)) -> Self {
        match half {
            Some(half) if difference > half => Self::Later,
            Some(half) if difference < -half => Self::Earlier,
            _ => Self::NoDifference,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Later => "later, as claimed",
            Self::Earlier => "earlier, against the claim",
            Self::NoDifference => "no difference found",
        }
    }
}

/// What the table says, in words; none without the rows of either panel.
pub fn reading(table: &[Row]) -> Option<String> {
    let found = [
        ("the resets", resets(table)),
        ("the zeroed channels", channels(table)),
    ];
    let found: Vec<(&str, Found)> = found
        .into_iter()
        .filter_map(|(name, found)| Some((name, found?)))
        .collect();
    let text: String = found.iter().map(|(_, found)| found.text.as_str()).collect();
    let says: Vec<String> = found
        .iter()
        .map(|(name, found)| format!("{name} say: {}", Says::of(found.difference).in_words()))
        .collect();
    (!says.is_empty()).then(|| {
        format!(
            "{text}Beside the claim that memorization is late in depth, {}.",
            says.join("; ")
        )
    })
}

/// What one measure found.
struct Found {
    /// Late minus early, with half its interval.
    difference: (f64, Option<f64>),
    /// In numbers.
    text: String,
}

fn interval((mean, half): (f64, Option<f64>), scale: f64, digits: usize) -> String {
    let half = match half {
        Some(half) => format!("{:.digits$}", scale * half),
        None => "?".to_owned(),
    };
    format!("difference {:+.digits$} ± {half}", scale * mean)
}

/// How much more of the permuted examples than of the unpermuted ones is forgotten as single layers are put back to the epoch of the highest
/// test accuracy: the later half of the layers, the middle one included, against the earlier half.
fn resets(table: &[Row]) -> Option<Found> {
    let of_resets = table.iter().filter(|row| {
        row.measure == Measure::Forgotten
            && matches!(row.condition, Some(Condition::Reset(_)))
            && row.epoch > 0
    });
    let mut runs: BTreeMap<u64, BTreeMap<usize, [Option<Value>; 2]>> = BTreeMap::new();
    for row in of_resets {
        let group = HELD_GROUPS.iter().position(|&group| row.group == group);
        if let (Some(layer), Some(group)) = (row.layer_index, group) {
            let layers = runs.entry(row.seed).or_default();
            layers.entry(layer).or_default()[group] = Some(Value::of(row));
        }
    }
    let halves: Vec<[Value; 2]> = runs
        .values()
        .filter_map(|layers| {
            let excess: Vec<Value> = layers
                .values()
                .filter_map(|[unpermuted, permuted]| Some((*permuted)?.minus((*unpermuted)?)))
                .collect();
            let (early, late) = excess.split_at(excess.len() / 2);
            (!early.is_empty()).then(|| [Value::mean(early), Value::mean(late)])
        })
        .collect();
    if halves.is_empty() {
        return None;
    }
    let differences: Vec<Value> = halves
        .iter()
        .map(|[early, late]| late.minus(*early))
        .collect();
    let difference = over_runs(&differences);
    let [early, late] = [0, 1].map(|half| {
        let values: Vec<Value> = halves.iter().map(|of| of[half]).collect();
        over_runs(&values).0
    });
    let text = format!(
        "Each layer put back alone to the epoch of the highest test accuracy: the share forgotten of permuted examples minus that of \
         unpermuted ones is {:+.1} percentage points on average over the earlier half of the layers and {:+.1} over the later half ({}, \
         interval of 95 %). ",
        100.0 * early,
        100.0 * late,
        interval(difference, 100.0, 1),
    );
    Some(Found { difference, text })
}

/// How much deeper the channels lie that undo permuted examples than those that undo unpermuted ones.
fn channels(table: &[Row]) -> Option<Found> {
    let rows = || {
        table
            .iter()
            .filter(|row| row.measure == Measure::DepthOfChannels)
    };
    let of = |group: Group, seed: u64| {
        let mut found = rows().filter(|row| row.group == group && row.seed == seed);
        found.next().map(Value::of)
    };
    let seeds: BTreeSet<u64> = rows().map(|row| row.seed).collect();
    let pairs: Vec<[Value; 2]> = seeds
        .into_iter()
        .filter_map(|seed| {
            let [unpermuted, permuted] = HELD_GROUPS.map(|group| of(group.into(), seed));
            Some([unpermuted?, permuted?])
        })
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let differences: Vec<Value> = pairs.iter().map(|[u, p]| p.minus(*u)).collect();
    let difference = over_runs(&differences);
    let [unpermuted, permuted] = [0, 1].map(|group| {
        let values: Vec<Value> = pairs.iter().map(|of| of[group]).collect();
        over_runs(&values).0
    });
    let all: Vec<Value> = rows()
        .filter(|row| row.group == Group::Training)
        .map(Value::of)
        .collect();
    let all = match all.is_empty() {
        true => String::new(),
        false => format!("; all channels at {:.2}", over_runs(&all).0),
    };
    let text = format!(
        "The channels that undo permuted examples lie at depth {permuted:.2} on average, those of unpermuted examples at \
         {unpermuted:.2} ({}, interval of 95 %), 0 being the first layer and 1 the last{all}. ",
        interval(difference, 1.0, 2),
    );
    Some(Found { difference, text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mftma_data::ExampleGroup;

    fn row(seed: u64, group: Group, measure: Measure, value: f64, error: Option<f64>) -> Row {
        Row {
            profile: "test".into(),
            dataset: "glyphs".into(),
            architecture: "vgg11".into(),
            width: 1,
            seed,
            layer_index: None,
            layer: None,
            epoch: 7,
            step: None,
            condition: None,
            group,
            measure,
            value,
            standard_error: error,
            standard_error_vectors: None,
            count: 100,
        }
    }

    /// Resets of layers: the excess of permuted examples that each forgets, and the error of each share.
    fn resets_of(seed: u64, excess: &[f64], error: Option<f64>) -> Vec<Row> {
        let mut rows = Vec::new();
        for (layer, excess) in excess.iter().enumerate() {
            for (group, value) in HELD_GROUPS.into_iter().zip([0.2, 0.2 + excess]) {
                let reset = |epoch, value| Row {
                    layer_index: Some(3 * layer),
                    condition: Some(Condition::Reset(format!("layer {layer}"))),
                    epoch,
                    ..row(seed, group.into(), Measure::Forgotten, value, error)
                };
                // Put back to the initialization everything is forgotten: no part of the reading.
                rows.extend([reset(0, 1.0), reset(7, value)]);
            }
        }
        rows
    }

    fn depths(unpermuted: f64, permuted: f64) -> Vec<Row> {
        let of = |group: ExampleGroup, value| {
            row(1, group.into(), Measure::DepthOfChannels, value, Some(0.03))
        };
        vec![
            of(ExampleGroup::Unpermuted, unpermuted),
            of(ExampleGroup::Permuted, permuted),
            row(1, Group::Training, Measure::DepthOfChannels, 0.5, None),
        ]
    }

    #[test]
    fn one_run_by_hand() {
        let table = resets_of(1, &[0.0, 0.02, 0.3, 0.1, 0.2], Some(0.03));
        let found = resets(&table).unwrap();
        // The middle layer counts as late. A share has the variance 0.03², a difference of two twice that.
        assert!((found.difference.0 - 0.19).abs() < 1e-12);
        let variance = 2.0 * 0.03 * 0.03 * (1.0 / 2.0 + 1.0 / 3.0);
        let half = 1.959_964 * f64::sqrt(variance);
        assert!((found.difference.1.unwrap() - half).abs() < 1e-6);
        let said = "is +1.0 percentage points on average over the earlier half of the layers and +20.0 over the later half (difference +19.0 ± 7.6";
        assert!(found.text.contains(said), "{}", found.text);
    }

    #[test]
    fn several_runs_are_judged_by_students_interval_over_them() {
        let runs = |late: [f64; 3]| -> Vec<Row> {
            let each = late.into_iter().zip(1..);
            each.flat_map(|(late, seed)| resets_of(seed, &[0.0, late], Some(1e-6)))
                .collect()
        };
        let found = resets(&runs([0.1, 0.2, 0.3])).unwrap();
        let half = 4.302_653 * 0.1 / f64::sqrt(3.0);
        assert!((found.difference.0 - 0.2).abs() < 1e-12);
        assert!((found.difference.1.unwrap() - half).abs() < 1e-6);
        assert_eq!(Says::of(found.difference), Says::NoDifference);
        let near = resets(&runs([0.19, 0.2, 0.21])).unwrap();
        assert_eq!(Says::of(near.difference), Says::Later);
    }

    #[test]
    fn every_answer_can_be_given() {
        let says = |excess: &[f64], depths: Vec<Row>| {
            let table = [resets_of(1, excess, Some(0.02)), depths].concat();
            reading(&table).unwrap()
        };
        let (late, spread, early) = ([0.0, 0.3], [0.2, 0.2], [0.3, 0.0]);
        for (excess, resets) in [
            (late, "the resets say: later, as claimed"),
            (spread, "the resets say: no difference found"),
            (early, "the resets say: earlier, against the claim"),
        ] {
            assert!(says(&excess, Vec::new()).ends_with(&format!("{resets}.")));
            for (permuted, channels) in [
                (0.7, "later, as claimed"),
                (0.52, "no difference found"),
                (0.3, "earlier, against the claim"),
            ] {
                let end = format!("{resets}; the zeroed channels say: {channels}.");
                let said = says(&excess, depths(0.5, permuted));
                assert!(said.ends_with(&end), "{said}");
            }
        }
    }

    #[test]
    fn an_error_that_is_not_known_decides_nothing() {
        for error in [None, Some(0.0)] {
            let found = resets(&resets_of(1, &[0.0, 0.9], error)).unwrap();
            assert_eq!(Says::of(found.difference), Says::NoDifference);
            assert!(found.text.contains("+90.0 ± ?"), "{}", found.text);
        }
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        assert_eq!(reading(&[]), None);
        assert_eq!(reading(&depths(0.4, 0.6)[..1]), None);
        assert_eq!(reading(&resets_of(1, &[0.1], Some(0.1))), None);
    }

    #[test]
    fn depth_runs_from_the_first_layer_that_has_channels_to_the_last() {
        let depth = Depth::of([7, 2, 4, 2]);
        assert_eq!(depth.mean([2, 7].into_iter()), Some(0.5));
        assert_eq!(depth.mean([4, 4, 7].into_iter()), Some(2.0 / 3.0));
        assert_eq!(depth.mean([].into_iter()), None);
        assert_eq!(Depth::of([3]).mean([3].into_iter()), Some(0.0));
    }
}
