//! Where figure 4's panels f and g agree with the claim that memorization is late in depth, and where not.
//!
//! The claim is made from manifolds and from rewinding; Maini et al. (2023, arXiv 2307.09542) reset single layers and zero single
//! channels instead, and find what is memorized spread over depth. Rules and thresholds are fixed here, before any run.

use std::collections::BTreeMap;

use super::{Scored, over_runs};
use crate::stages::HELD_GROUPS;
use crate::table::{Condition, Group, Measure, Row};

/// A difference counts from so many of its standard errors on \[D\].
const ERRORS: f64 = 2.0;

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

/// What one of the two views says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Later,
    Earlier,
    NoDifference,
}

impl Says {
    /// Of a difference late minus early, or permuted minus unpermuted depth, with its standard error.
    fn of((difference, error): (f64, f64)) -> Self {
        match difference / error {
            ratio if ratio > ERRORS => Self::Later,
            ratio if ratio < -ERRORS => Self::Earlier,
            _ => Self::NoDifference,
        }
    }
}

/// What the table says, in words; none without the rows of either panel.
pub fn reading(table: &[Row]) -> Option<String> {
    let resets = resets(table);
    let channels = channels(table);
    let mut text = String::new();
    if let Some(found) = &resets {
        text += &found.describe();
    }
    if let Some(found) = &channels {
        text += &found.describe();
    }
    let says: Vec<Says> = [resets.map(|r| r.says()), channels.map(|c| c.says())]
        .into_iter()
        .flatten()
        .collect();
    let verdict = match says.as_slice() {
        [] => return None,
        all if all.iter().all(|says| *says == Says::Later) => {
            "Here this view agrees with the claim that memorization is late in depth"
        }
        all if all.contains(&Says::Later) => {
            "Here this view agrees with the claim that memorization is late in depth in one of its two measures and not in the other"
        }
        _ => "Here this view does not agree with the claim that memorization is late in depth",
    };
    Some(format!("{text}{verdict} ({ERRORS} standard errors)."))
}

/// How much more of the permuted examples than of the unpermuted ones is forgotten, in the earlier and in the later half of the
/// layers, each one put back to the epoch of the highest test accuracy.
struct ByHalf {
    early: (f64, f64),
    late: (f64, f64),
    /// Layers in which it is more by [`ERRORS`] standard errors, and all.
    more: (usize, usize),
}

impl ByHalf {
    fn says(&self) -> Says {
        let difference = self.late.0 - self.early.0;
        Says::of((difference, self.early.1.hypot(self.late.1)))
    }

    fn describe(&self) -> String {
        let percent =
            |(mean, error): (f64, f64)| format!("{:+.1} ± {:.1}", 100.0 * mean, 100.0 * error);
        format!(
            "Put back to the epoch of the highest test accuracy, the earlier half of the layers costs {} percentage points more of the \
             permuted examples than of the unpermuted ones, the later half {}; it is more in {} of {} layers. ",
            percent(self.early),
            percent(self.late),
            self.more.0,
            self.more.1,
        )
    }
}

fn resets(table: &[Row]) -> Option<ByHalf> {
    let rows = || {
        let of_resets = table.iter().filter(|row| row.measure == Measure::Forgotten);
        of_resets.filter(|row| matches!(row.condition, Some(Condition::Reset(_))) && row.epoch > 0)
    };
    let mut layers: BTreeMap<usize, [Vec<Scored>; 2]> = BTreeMap::new();
    for row in rows() {
        let group = HELD_GROUPS.iter().position(|&group| row.group == group);
        if let (Some(layer), Some(group)) = (row.layer_index, group) {
            layers.entry(layer).or_default()[group].push((row.value, row.standard_error));
        }
    }
    let differences: Vec<(f64, f64)> = layers
        .values()
        .filter(|groups| groups.iter().all(|values| !values.is_empty()))
        .map(|[unpermuted, permuted]| {
            let (unpermuted, permuted) = (over_runs(unpermuted), over_runs(permuted));
            (permuted.0 - unpermuted.0, permuted.1.hypot(unpermuted.1))
        })
        .collect();
    let (early, late) = differences.split_at(differences.len() / 2);
    let mean = |of: &[(f64, f64)]| {
        let n = of.len() as f64;
        let squares: f64 = of.iter().map(|(_, error)| error * error).sum();
        (
            of.iter().map(|(value, _)| value).sum::<f64>() / n,
            squares.sqrt() / n,
        )
    };
    let more = differences.iter().filter(|d| Says::of(**d) == Says::Later);
    (!early.is_empty()).then(|| ByHalf {
        early: mean(early),
        late: mean(late),
        more: (more.count(), differences.len()),
    })
}

/// The mean depth of the channels that undo the examples of each of [`HELD_GROUPS`], and of all channels.
struct Depths {
    groups: [(f64, f64); 2],
    all: Option<f64>,
}

impl Depths {
    fn says(&self) -> Says {
        let [unpermuted, permuted] = self.groups;
        Says::of((permuted.0 - unpermuted.0, permuted.1.hypot(unpermuted.1)))
    }

    fn describe(&self) -> String {
        let [unpermuted, permuted] = self
            .groups
            .map(|(mean, error)| format!("{mean:.2} ± {error:.2}"));
        let all = self.all.map(|all| format!(" ({all:.2} for all channels)"));
        format!(
            "The channels that undo permuted examples lie at depth {permuted} on average, those of unpermuted examples at {unpermuted}, \
             0 being the first layer and 1 the last{}. ",
            all.unwrap_or_default(),
        )
    }
}

fn channels(table: &[Row]) -> Option<Depths> {
    let of_group = |group: Group| {
        let rows = table
            .iter()
            .filter(|row| row.measure == Measure::DepthOfChannels && row.group == group);
        let values: Vec<_> = rows.map(|row| (row.value, row.standard_error)).collect();
        (!values.is_empty()).then(|| over_runs(&values))
    };
    let [unpermuted, permuted] = HELD_GROUPS.map(|group| of_group(group.into()));
    Some(Depths {
        groups: [unpermuted?, permuted?],
        all: of_group(Group::Training).map(|(mean, _)| mean),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mftma_data::ExampleGroup;

    fn row(group: Group, measure: Measure, value: f64, error: f64) -> Row {
        Row {
            profile: "test".into(),
            dataset: "glyphs".into(),
            architecture: "vgg11".into(),
            width: 1,
            seed: 1,
            layer_index: None,
            layer: None,
            epoch: 7,
            step: None,
            condition: None,
            group,
            measure,
            value,
            standard_error: Some(error),
            standard_error_vectors: None,
            count: 100,
        }
    }

    /// Resets of four layers: the excess of permuted examples that each forgets, and the error of each share.
    fn resets_of(excess: [f64; 4], error: f64) -> Vec<Row> {
        let mut rows = Vec::new();
        for (layer, excess) in excess.into_iter().enumerate() {
            for (group, value) in HELD_GROUPS.into_iter().zip([0.2, 0.2 + excess]) {
                let reset = |epoch, value| Row {
                    layer_index: Some(3 * layer),
                    condition: Some(Condition::Reset(format!("layer {layer}"))),
                    epoch,
                    ..row(group.into(), Measure::Forgotten, value, error)
                };
                // Put back to the initialization everything is forgotten: no part of the reading.
                rows.extend([reset(0, 1.0), reset(7, value)]);
            }
        }
        rows
    }

    fn depths(unpermuted: f64, permuted: f64) -> Vec<Row> {
        let of =
            |group: ExampleGroup, value| row(group.into(), Measure::DepthOfChannels, value, 0.03);
        vec![
            of(ExampleGroup::Unpermuted, unpermuted),
            of(ExampleGroup::Permuted, permuted),
            row(Group::Training, Measure::DepthOfChannels, 0.5, 0.0),
        ]
    }

    #[test]
    fn means_of_halves_by_hand() {
        let found = resets(&resets_of([0.0, 0.02, 0.3, 0.1], 0.03)).unwrap();
        assert!((found.early.0 - 0.01).abs() < 1e-12 && (found.late.0 - 0.2).abs() < 1e-12);
        // Two differences of two shares each: √(4 · 0.03²) / 2.
        assert!((found.early.1 - 0.03).abs() < 1e-12);
        assert_eq!(found.more, (2, 4));
        let text = found.describe();
        assert!(
            text.contains("costs +1.0 ± 3.0 percentage") && text.contains("half +20.0 ± 3.0;"),
            "{text}"
        );
    }

    #[test]
    fn either_answer_can_be_given() {
        let says = |excess, depths: Vec<Row>| {
            let table = [resets_of(excess, 0.02), depths].concat();
            reading(&table).unwrap()
        };
        let (late, spread) = ([0.0, 0.0, 0.2, 0.2], [0.2, 0.2, 0.2, 0.2]);
        let agrees = "Here this view agrees with the claim that memorization is late in depth (2";
        assert!(says(late, depths(0.4, 0.6)).contains(agrees));
        assert!(says(late, depths(0.5, 0.52)).contains("in one of its two measures"));
        assert!(says(spread, depths(0.4, 0.6)).contains("in one of its two measures"));
        assert!(says(spread, depths(0.6, 0.4)).contains("does not agree"));
        assert!(says([0.3, 0.3, 0.0, 0.0], Vec::new()).contains("does not agree"));
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        assert_eq!(reading(&[]), None);
        assert_eq!(reading(&depths(0.4, 0.6)[..1]), None);
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
