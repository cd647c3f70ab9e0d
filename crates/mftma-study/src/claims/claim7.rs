//! Claim 7, gradients of permuted examples start small: near initialization ‖g_permuted‖ ≪ ‖g_unpermuted‖ per example,
//! because the class means of permuted examples coincide.
//!
//! An example's pull on its scores is ∂ℓ/∂z = (p − 1/C) + (1/C − e_y). The first part does not depend on the labels: it is the same for both
//! groups but for sampling, and at random weights of ordinary size it hides the second, which is what the claim is about. So the statistic is
//! the norm of the mean *label part* of the gradient of the permuted examples over that of the unpermuted ones (geometric mean over layers;
//! `crates/mftma-gradients/docs/derivation.md`, equations 14 and 15), in three places:
//!
//! - at initialization, in the network that is trained;
//! - over the steps measured in the first epoch;
//! - at initialization with the class means taken out of the images, for the *because*: if they are the cause, the ratio must come
//!   back towards 1.

use std::collections::{BTreeMap, BTreeSet};

use mftma_gradients::{GradientGroup, GradientPart, InputAblation};

use super::inputs::{self, GradientMeasure, GradientValue, Stages};
use super::statistics::{End, mean, over_runs};
use super::{Claim, Gap, Part, Side};
use crate::study::Study;
use crate::table::GradientInputs;

/// A ratio below this is much smaller \[D\].
const MUCH_SMALLER: f64 = 0.5;
/// A ratio above this, without class means, is back near 1 \[D\].
const NEAR_ONE: f64 = 0.8;
const PARTS: usize = 3;

/// Why much smaller is a half.
const REASON: &str = "a half: the weakest reading of `much smaller`; two groups of equal size that differ in nothing give 1";
/// What the gradient is taken of.
const LABEL: GradientInputs = GradientInputs::RAW.part(GradientPart::Label);
const WITHOUT_MEANS: GradientInputs =
    GradientInputs::of(InputAblation::CentredClasses).part(GradientPart::Label);

/// The claim.
pub struct SmallPermutedGradients;

impl Claim for SmallPermutedGradients {
    fn number(&self) -> usize {
        7
    }

    fn title(&self) -> &'static str {
        "Gradients of permuted examples start small"
    }

    fn statement(&self) -> &'static str {
        "Near initialization the gradient of permuted examples (the part of it that labels pull) is much smaller per example than that of \
         unpermuted ones, because the class means of permuted examples coincide."
    }

    fn stages(&self, study: &Study<'_>) -> anyhow::Result<Stages> {
        inputs::gradients_measured(study)
    }

    fn parts(&self, study: &Study<'_>) -> Result<Vec<Part>, Gap> {
        parts(&inputs::gradients(study)?)
    }
}

/// The parts of the claim.
fn parts(gradients: &[GradientValue]) -> Result<Vec<Part>, Gap> {
    let ratio = |inputs, first_epoch| {
        let logs = log_ratios(gradients, inputs, first_epoch)?;
        Ok::<_, String>(over_runs(&[logs], End::Least, PARTS)?.map(f64::exp))
    };
    Ok(vec![
        Part::new(
            "Norm of the mean gradient, its label part, of permuted over that of unpermuted examples, at initialization (ratio, mean over \
             layers)",
            ratio(LABEL, false)?,
            Side::Below,
            MUCH_SMALLER,
            REASON,
        ),
        Part::new(
            "The same over the first epoch after its first step (ratio, mean over layers)",
            ratio(LABEL, true)?,
            Side::Below,
            MUCH_SMALLER,
            REASON,
        ),
        Part::new(
            "The same at initialization, class means taken out of the images (ratio, mean over layers)",
            ratio(WITHOUT_MEANS, false)?,
            Side::Above,
            NEAR_ONE,
            "four fifths: without class means theory predicts 1, and the ratio of two noise norms scatters by some per cent",
        ),
    ])
}

/// For each run: the logarithm of the ratio, averaged over layers, and over the steps of the first epoch or at the first step.
fn log_ratios(
    gradients: &[GradientValue],
    inputs: GradientInputs,
    first_epoch: bool,
) -> Result<Vec<f64>, String> {
    let rows: Vec<&GradientValue> = gradients
        .iter()
        .filter(|row| {
            row.inputs == inputs
                && row.measure == GradientMeasure::MeanNorm
                && row.epoch == 0
                && (row.step > 0) == first_epoch
        })
        .collect();
    let steps: BTreeSet<usize> = rows.iter().map(|row| row.step).collect();
    if steps.is_empty() {
        return Err(format!(
            "there are no gradients {} on inputs `{inputs}`",
            if first_epoch {
                "of the first epoch"
            } else {
                "at initialization"
            }
        ));
    }
    let norms: BTreeMap<(u64, usize, usize, GradientGroup), f64> = rows
        .iter()
        .map(|row| {
            let key = (row.seed, row.step, row.layer_index, row.group);
            (key, row.value)
        })
        .collect();
    let seeds: BTreeSet<u64> = rows.iter().map(|row| row.seed).collect();
    let layers: BTreeSet<usize> = rows.iter().map(|row| row.layer_index).collect();
    let places: Vec<(usize, usize)> = steps
        .iter()
        .flat_map(|&step| layers.iter().map(move |&layer| (step, layer)))
        .collect();
    seeds
        .into_iter()
        .map(|seed| {
            let norm = |step, layer, group: GradientGroup| {
                norms
                    .get(&(seed, step, layer, group))
                    .filter(|norm| **norm > 0.0)
                    .ok_or_else(|| {
                        format!(
                            "there is no gradient above 0 of {} examples in layer {layer} at step {step} of run {seed}",
                            group.name()
                        )
                    })
            };
            let logs: Result<Vec<f64>, String> = places
                .iter()
                .map(|&(step, layer)| {
                    Ok((norm(step, layer, GradientGroup::Permuted)? / norm(step, layer, GradientGroup::Unpermuted)?).ln())
                })
                .collect();
            Ok(mean(&logs?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Verdict;
    use crate::claims::synthetic::{gradients, verdict};

    /// Label part of the gradient of permuted examples relative to unpermuted ones: at initialization, in the first epoch, and at
    /// initialization without class means. The whole gradient shows nothing.
    fn table(runs: u64, [start, epoch, removed]: [f64; 3], spread: f64) -> Vec<GradientValue> {
        gradients(runs, spread, move |step, _, group, inputs| {
            match (group, inputs, step) {
                (GradientGroup::Permuted, LABEL, 0) => start,
                (GradientGroup::Permuted, LABEL, 10) => epoch,
                (GradientGroup::Permuted, WITHOUT_MEANS, 0) => removed,
                _ => 1.0,
            }
        })
    }

    #[test]
    fn it_holds_where_class_means_make_the_difference() {
        assert_eq!(
            verdict(parts(&table(3, [0.2, 0.2, 1.0], 0.02))),
            Verdict::Holds
        );
    }

    #[test]
    fn it_fails_where_there_is_no_difference_or_another_cause() {
        assert_eq!(
            verdict(parts(&table(3, [0.9, 0.2, 1.0], 0.02))),
            Verdict::DoesNotHold
        );
        assert_eq!(
            verdict(parts(&table(3, [0.2, 0.2, 0.3], 0.02))),
            Verdict::DoesNotHold
        );
    }

    #[test]
    fn it_is_open_where_runs_differ_or_are_too_few() {
        assert_eq!(
            verdict(parts(&table(3, [0.45, 0.45, 0.9], 1.5))),
            Verdict::Undecided
        );
        assert!(parts(&table(1, [0.2, 0.2, 1.0], 0.02)).is_err());
    }

    #[test]
    fn the_statistic_is_the_ratio() {
        let found = parts(&table(2, [0.25, 0.3, 1.0], 0.0)).unwrap();
        assert!((found[0].value - 0.25).abs() < 1e-12);
        assert!((found[1].value - 0.3).abs() < 1e-12);
        assert!((found[2].value - 1.0).abs() < 1e-12);
    }
}
