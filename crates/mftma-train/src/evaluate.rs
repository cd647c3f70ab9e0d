//! Accuracy and loss of example groups.

use std::collections::BTreeMap;

use mftma_data::{ExampleGroup, Split};
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::batches::{check_classes, check_indices, images_view};
use crate::{Network, TrainError, TrainingData};

/// Examples in one forward pass of an evaluation. No result depends on it: running statistics treat examples one by one.
const BATCH: usize = 250;

/// How a network does on one group of examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupScore {
    /// Number of examples.
    pub examples: usize,
    /// Examples whose highest class score is at their label (the first of equal scores counts).
    pub correct: usize,
    /// Mean cross-entropy in nats.
    pub loss: f64,
}

impl GroupScore {
    /// Share of correct examples, 0 to 1; NaN where there is no example.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.examples as f64
    }

    /// Binomial standard error of the accuracy.
    pub fn standard_error(&self) -> f64 {
        let p = self.accuracy();
        (p * (1.0 - p) / self.examples as f64).sqrt()
    }
}

/// Scores of the groups, in their usual order.
pub type GroupScores = BTreeMap<ExampleGroup, GroupScore>;

/// Running count of one group.
#[derive(Default)]
struct Tally {
    examples: usize,
    correct: usize,
    loss: f64,
}

impl Tally {
    /// Counts an example; whether it is correct.
    fn add(&mut self, scores: &[f32], label: u16) -> bool {
        self.examples += 1;
        let (mut best, mut top) = (0, f32::NEG_INFINITY);
        for (class, &score) in scores.iter().enumerate() {
            if score > top {
                (best, top) = (class, score);
            }
        }
        let correct = best == usize::from(label);
        self.correct += usize::from(correct);
        let sum: f64 = scores.iter().map(|&s| f64::from(s - top).exp()).sum();
        self.loss += sum.ln() - f64::from(scores[usize::from(label)] - top);
        correct
    }

    fn score(&self) -> GroupScore {
        GroupScore {
            examples: self.examples,
            correct: self.correct,
            loss: self.loss / self.examples as f64,
        }
    }
}

/// Accuracy and loss of `network` on `groups`, in evaluation mode (running statistics). Each image passes through once, also
/// where it belongs to two groups. Groups without examples are left out.
///
/// # Errors
/// [`TrainError::Network`] where the images do not fit, [`TrainError::Shape`] where the network has fewer classes than the data.
pub fn evaluate(
    network: &dyn Network,
    data: &TrainingData,
    groups: &[ExampleGroup],
) -> Result<GroupScores, TrainError> {
    evaluate_at_most(network, data, groups, None)
}

/// The same on `limit` unpermuted and `limit` permuted training images at most, evenly spread over the training set, the same in every
/// call; and on all test images.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_at_most(
    network: &dyn Network,
    data: &TrainingData,
    groups: &[ExampleGroup],
    limit: Option<usize>,
) -> Result<GroupScores, TrainError> {
    check_classes(network, data)?;
    let mut tallies: BTreeMap<ExampleGroup, Tally> = BTreeMap::new();
    let mask = data.permutation().mask();
    let wanted = |group: ExampleGroup| groups.contains(&group);

    let mut train = Vec::new();
    for permuted in [false, true] {
        let used = match permuted {
            false => wanted(ExampleGroup::Unpermuted),
            true => wanted(ExampleGroup::Permuted) || wanted(ExampleGroup::Restored),
        };
        if used {
            let all: Vec<usize> = (0..mask.len()).filter(|&i| mask[i] == permuted).collect();
            train.extend(spread(&all, limit));
        }
    }
    train.sort_unstable();
    for_each_score(
        network,
        data,
        data.dataset().train(),
        &train,
        |i, scores| {
            let of_example: &[ExampleGroup] = if mask[i] {
                &[ExampleGroup::Permuted, ExampleGroup::Restored]
            } else {
                &[ExampleGroup::Unpermuted]
            };
            for &group in of_example.iter().filter(|&&g| wanted(g)) {
                tallies
                    .entry(group)
                    .or_default()
                    .add(scores, data.labels(group)[i]);
            }
        },
    )?;

    if wanted(ExampleGroup::Test) {
        let test = data.group_indices(ExampleGroup::Test);
        let labels = data.labels(ExampleGroup::Test);
        for_each_score(network, data, data.dataset().test(), &test, |i, scores| {
            tallies
                .entry(ExampleGroup::Test)
                .or_default()
                .add(scores, labels[i]);
        })?;
    }
    Ok(tallies
        .iter()
        .map(|(&group, tally)| (group, tally.score()))
        .collect())
}

/// `limit` of `all` at equal distances; all of them where there are no more.
fn spread(all: &[usize], limit: Option<usize>) -> Vec<usize> {
    let count = limit.map_or(all.len(), |limit| limit.min(all.len()));
    (0..count).map(|i| all[i * all.len() / count]).collect()
}

/// Accuracy and loss of `network` on some examples of one group, in evaluation mode: `indices` point into the split of the
/// group. Their labels are those that the group's accuracy is counted against ([`TrainingData::labels`]).
///
/// # Errors
/// As [`evaluate`], and [`TrainError::Shape`] where an index is not below the number of examples.
pub fn evaluate_examples(
    network: &dyn Network,
    data: &TrainingData,
    group: ExampleGroup,
    indices: &[usize],
) -> Result<GroupScore, TrainError> {
    Ok(score_examples(network, data, group, indices)?.0)
}

/// The same, and which of the examples are correct, in the order of `indices`: two networks can then be compared image by image.
///
/// # Errors
/// As [`evaluate_examples`].
pub fn score_examples(
    network: &dyn Network,
    data: &TrainingData,
    group: ExampleGroup,
    indices: &[usize],
) -> Result<(GroupScore, Vec<bool>), TrainError> {
    check_classes(network, data)?;
    let (split, labels) = (data.split(group), data.labels(group));
    check_indices(split, indices)?;
    let mut tally = Tally::default();
    let mut correct = Vec::with_capacity(indices.len());
    for_each_score(network, data, split, indices, |i, scores| {
        correct.push(tally.add(scores, labels[i]));
    })?;
    Ok((tally.score(), correct))
}

/// Passes `indices` of `split` through the network in fixed batches and hands each example's class scores on, in order.
fn for_each_score(
    network: &dyn Network,
    data: &TrainingData,
    split: &Split,
    indices: &[usize],
    mut each: impl FnMut(usize, &[f32]),
) -> Result<(), TrainError> {
    let mut buffer = Vec::new();
    for indices in indices.chunks(BATCH) {
        data.batch_into(split, indices, &mut buffer);
        let scores = network.logits(images_view(split, indices.len(), &buffer))?;
        let scores = scores.as_standard_layout();
        let rows: ArrayView2<'_, f32> = scores.view();
        for (row, &i) in rows.rows().into_iter().zip(indices) {
            // Rows of an array in standard layout are contiguous.
            each(i, row.to_slice().unwrap_or_default());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_all() {
        let all: Vec<usize> = (10..20).collect();
        assert_eq!(spread(&all, Some(3)), [10, 13, 16]);
        assert_eq!(spread(&all, Some(10)), all);
        assert_eq!(spread(&all, Some(99)), all);
        assert_eq!(spread(&all, None), all);
        assert!(spread(&[], Some(3)).is_empty());
    }

    #[test]
    fn loss_and_hits_by_hand() {
        let mut tally = Tally::default();
        assert!(tally.add(&[0.0, 0.0], 0)); // ln 2; the first of equals
        assert!(!tally.add(&[1000.0, 0.0], 1)); // 1000, without overflow
        let score = tally.score();
        assert_eq!((score.examples, score.correct), (2, 1));
        assert!((score.loss - (2f64.ln() + 1000.0) / 2.0).abs() < 1e-9);
        assert!((score.standard_error() - (0.125f64).sqrt()).abs() < 1e-12);
    }
}
